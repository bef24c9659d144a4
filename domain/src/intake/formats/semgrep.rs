//! Semgrep's own JSON (`semgrep --json`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::error::Result;
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::json::{Raw, or_default};
use crate::intake::lenient::Texts;
use crate::intake::place::Meter;
use crate::intake::report::{ReportHead, Reported, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::vocabulary::terms::Severity;

pub const FORMAT: Entry = Entry {
    key: "SEMGREP_JSON",
    label: "Semgrep JSON",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "semgrep",
    counting: "Each entry of `results`. One that a comment in the code tells Semgrep to ignore (`extra.is_ignored`) is a \
         finding with the verdict ACCEPTED_RISK: the comment gives no reason. `errors` are about the scan and are no findings.",
    identity: "The rule, the path, and `extra.fingerprint`; or else, where there is none or it needs a login, the line.",
    asset: "The asset that the caller names, or else `source code`.",
    required: "`results`; `check_id` and `path` of each.",
    severities: &[
        ("CRITICAL", "critical"),
        ("ERROR, HIGH", "high"),
        ("WARNING, MEDIUM", "medium"),
        ("INFO, LOW", "low"),
        ("INVENTORY, EXPERIMENT, absent", "info"),
    ],
    fields: &[
        ("title", "the last part of `check_id`"),
        ("description", "`extra.message`"),
        ("scanner_category", "`metadata.category`"),
        ("scanner_reference", "`check_id`"),
        ("vulnerability_type", "the first `metadata.vulnerability_class`"),
        ("cve_ids", "`metadata.cve`, `metadata.sca-vuln-database-identifier`"),
        ("cwe_ids", "`metadata.cwe`"),
        ("component_name, component_version", "`extra.sca_info.dependency_match.found_dependency`"),
        ("file_path, line", "`path`, `start.line`"),
        (
            "references",
            "`metadata.references`, `metadata.source`, `metadata.shortlink`, `metadata.source-rule-url`",
        ),
        (
            "tags",
            "`metadata.owasp`, `metadata.technology`, `confidence:` with `metadata.confidence`, `validation:` with `extra.validation_state`",
        ),
        ("remediation, fix_available", "`extra.fix`; true where there is one"),
        ("excerpt", "`extra.lines`, or else the beginning of the result"),
        ("verdict", "ACCEPTED_RISK, justified by `nosemgrep`, for `extra.is_ignored`"),
        ("time of the scan", "none: the report has no time"),
    ],
    mapped: false,
    vex: None,
    // Other scanners of code write `results` with `errors` too, but with these beside them.
    sniff: |head| {
        !head.array
            && head.has("results")
            && head.has("errors")
            && !head.has("metrics")
            && !head.has("generated_at")
    },
    reader: |plan| Ok(Box::new(Semgrep::new(plan))),
};

/// What stands for a value that only a login shows.
const HIDDEN: &str = "requires login";

#[derive(Clone)]
struct Semgrep {
    asset: ReportedAsset,
}

impl Semgrep {
    fn new(plan: &Plan<'_>) -> Self {
        let name = plan.asset.unwrap_or("source code").to_owned();
        Self { asset: ReportedAsset { name, kind: Some("repository".to_owned()) } }
    }
}

impl Reader for Semgrep {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        let meter = source.meter();
        let mut has_results = false;
        source.json(&mut |root| {
            root.object(&mut |name, value| {
                if name != "results" {
                    return Ok(());
                }
                has_results = true;
                value.array(&mut |result| emit(FORMAT.scanner, read(&result.raw()?, &meter, &self.asset)?))
            })
        })?;
        if has_results { Ok(Pass::Settled) } else { Err(meter.malformed("it has no `results`")) }
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: None }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    check_id: Texts,
    path: Texts,
    start: Option<Position>,
    extra: Option<Extra>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Position {
    line: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Extra {
    message: Texts,
    severity: Texts,
    /// Whatever the author of the rule wrote.
    #[serde(deserialize_with = "or_default")]
    metadata: BTreeMap<String, Json>,
    fingerprint: Texts,
    lines: Texts,
    fix: Texts,
    is_ignored: Option<bool>,
    validation_state: Texts,
    sca_info: Option<Supply>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Supply {
    dependency_match: Option<Match>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Match {
    found_dependency: Option<Dependency>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Dependency {
    package: Texts,
    version: Texts,
}

fn read(raw: &Raw, meter: &Meter, asset: &ReportedAsset) -> Result<Reported> {
    let read: Written = raw.parse(meter)?;
    let (Some(rule), Some(path)) = (read.check_id.first(), read.path.first()) else {
        return Err(meter.malformed("a result has no `check_id` or no `path`"));
    };
    let extra = read.extra.unwrap_or_default();
    let severity = match extra.severity.word().to_ascii_uppercase().as_str() {
        "" | "INVENTORY" | "EXPERIMENT" => Severity::Info,
        "INFO" | "LOW" => Severity::Low,
        "WARNING" | "MEDIUM" => Severity::Medium,
        "ERROR" | "HIGH" => Severity::High,
        "CRITICAL" => Severity::Critical,
        other => {
            let other = text::beginning(other, 80);
            return Err(meter.malformed(format_args!("`{other}` is not a severity of Semgrep")));
        }
    };
    let metadata = |name: &str| extra.metadata.get(name).map(Texts::of).unwrap_or_default();
    let shown = |texts: &Texts| texts.first().filter(|text| *text != HIDDEN).map(str::to_owned);
    let line = read.start.and_then(|start| start.line).filter(|line| *line > 0);
    let place =
        shown(&extra.fingerprint).unwrap_or_else(|| line.map(|line| line.to_string()).unwrap_or_default());
    let labelled = |label: &str, texts: &Texts| texts.first().map(|word| format!("{label}:{word}"));
    let component =
        extra.sca_info.and_then(|info| info.dependency_match?.found_dependency).unwrap_or_default();
    let fix = extra.fix.into_first();
    let cves = [metadata("cve"), metadata("sca-vuln-database-identifier")];
    let references = ["references", "source", "shortlink", "source-rule-url"];
    let ignored = (extra.is_ignored == Some(true)).then_some("nosemgrep");
    Ok(Reported {
        asset: asset.clone(),
        identity: vec![rule.to_owned(), path.to_owned(), place],
        title: rule.rsplit('.').next().unwrap_or(rule).to_owned(),
        description: extra.message.into_first(),
        severity,
        scanner_category: metadata("category").into_first(),
        scanner_reference: Some(rule.to_owned()),
        vulnerability_type: metadata("vulnerability_class").into_first(),
        cve_ids: cves.iter().flat_map(Texts::parts).filter_map(text::cve).collect(),
        cwe_ids: metadata("cwe").iter().filter_map(text::cwe).collect(),
        component_name: component.package.into_first(),
        component_version: component.version.into_first(),
        file_path: Some(path.to_owned()),
        line,
        references: references.iter().flat_map(|name| metadata(name).0).collect(),
        tags: metadata("owasp")
            .0
            .into_iter()
            .chain(metadata("technology").0)
            .chain(labelled("confidence", &metadata("confidence")))
            .chain(labelled("validation", &extra.validation_state))
            .collect(),
        fix_available: fix.is_some().then_some(true),
        remediation: fix,
        excerpt: Some(
            shown(&extra.lines).unwrap_or_else(|| text::beginning(raw.text(), text::EXCERPT).to_owned()),
        ),
        verdict: ignored.and_then(|why| vex::verdict(Vocabulary::Semgrep, why, ignored, None, None)),
        ..Reported::default()
    })
}
