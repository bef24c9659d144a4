//! Grype's JSON, with the matches that it was told to ignore.

use serde::Deserialize;

use crate::error::Result;
use crate::intake::cvss::{self, Rating};
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::json::{Raw, Value, or_default};
use crate::intake::late::{Late, Weight};
use crate::intake::place::Meter;
use crate::intake::report::{ReportHead, Reported, ReportedAsset, Verdict};
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::vocabulary::terms::Severity;
use crate::vocabulary::time::Timestamp;

pub const FORMAT: Entry = Entry {
    key: "GRYPE_JSON",
    label: "Grype JSON",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "grype",
    counting: "Each entry of `matches`, and each of `ignoredMatches`: what Grype was told to ignore is a finding with a \
         verdict (see the table of verdicts). Matches of the same package and vulnerability at the same path, which Grype \
         lists once for each way of matching, are one finding.",
    identity: "The package's type and name, the vulnerability's id, and the package's first path unless it is a package of \
         the system; in the path the installed version is written `*`. The installed version is no part of it.",
    asset: "`userInput` of the source's target for an image, or else the target; a target `.` or none is the asset that the \
         caller names.",
    required: "`matches` or `ignoredMatches` (which may be null); `id` of a vulnerability and `name` of an artifact.",
    severities: &[
        ("Unknown, Negligible", "info"),
        ("Low", "low"),
        ("Medium", "medium"),
        ("High", "high"),
        ("Critical", "critical"),
    ],
    fields: &[
        ("title", "the id and the package"),
        ("description", "`description` of the vulnerability, or else of the first related one that has one"),
        ("severity", "`severity`; where it is Unknown or absent that of the CVSS score, or else info"),
        ("vulnerability_type", "`vulnerable_package`"),
        ("scanner_category", "`namespace`"),
        ("scanner_reference", "`id`"),
        (
            "cvss_score, cvss_vector",
            "of the vulnerability, or else of the related ones: CVSS version 4, or else 3, or else 2; of several the first",
        ),
        ("epss_score, known_exploit", "the highest `epss`; true where there is a `knownExploited`"),
        ("cve_ids, cwe_ids", "`id`, and those of `relatedVulnerabilities`; `cwes`"),
        ("component_name, component_version, component_purl", "`name`, `version`, `purl` of the artifact"),
        (
            "fixed_version, fix_available",
            "`fix.versions`; true for the state `fixed`, false for `not-fixed` and `wont-fix`",
        ),
        ("file_path", "the path of the first location"),
        ("tags", "the artifact's `type`, and the state of the fix"),
        ("references", "`dataSource`, `urls`, links of `advisories`"),
        ("verdict", "of `appliedIgnoreRules`: `vex-status` with `vex-justification`, or else `reason`"),
        ("excerpt", "the beginning of the match"),
        ("time of the scan", "`timestamp` of the descriptor"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| !head.array && (head.has("matches") || head.has("ignoredMatches")),
    reader: |plan| Ok(Box::new(Grype::new(plan))),
};

#[derive(Clone, Default)]
struct Grype {
    /// The asset that the caller names.
    asset: Option<String>,
    scanned_at: Option<Timestamp>,
    artifacts: Late<Artifact>,
}

/// What was scanned.
#[derive(Clone, Debug, Default)]
struct Artifact {
    name: Option<String>,
    kind: Option<String>,
}

impl Weight for Artifact {
    fn weight(&self) -> usize {
        self.name.as_ref().map_or(0, String::len) + self.kind.as_ref().map_or(0, String::len)
    }
}

impl Grype {
    fn new(plan: &Plan<'_>) -> Self {
        Self { asset: plan.asset.map(str::to_owned), ..Self::default() }
    }
}

impl Reader for Grype {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.artifacts.rewind();
        self.scanned_at = None;
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut artifact = self.artifacts.begin();
        let mut own = false;
        source.json(&mut |root| {
            root.object(&mut |name, value| match name {
                "matches" | "ignoredMatches" => {
                    own = true;
                    value.array(&mut |entry| {
                        let raw = entry.raw()?;
                        let mut reported = raw.parse::<Match>(&meter)?.reported(&meter)?;
                        reported.asset = asset(artifact.used(), self.asset.as_deref());
                        reported.excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
                        emit(FORMAT.scanner, reported)
                    })
                }
                "source" => {
                    let target = source_of(value, &meter)?;
                    artifact.learn(|artifact| *artifact = target);
                    Ok(())
                }
                "descriptor" => value.object(&mut |name, value| {
                    if name == "timestamp" {
                        self.scanned_at = value.get::<Option<String>>()?.as_deref().and_then(text::time);
                    }
                    Ok(())
                }),
                _ => Ok(()),
            })
        })?;
        if !own {
            return Err(meter.malformed("this is not a report of Grype: it has no `matches`"));
        }
        self.artifacts.end(artifact, &limits, &meter)?;
        Ok(Pass::again(self.artifacts.again()))
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

/// The target is a text, or an object with what the user asked for.
fn source_of(value: Value<'_>, meter: &Meter) -> Result<Artifact> {
    #[derive(Deserialize)]
    struct Target {
        #[serde(rename = "userInput")]
        user_input: Option<String>,
    }
    let mut artifact = Artifact::default();
    let mut target: Option<Raw> = None;
    value.object(&mut |name, value| {
        match name {
            "type" => artifact.kind = value.get()?,
            "target" => target = Some(value.raw()?),
            _ => {}
        }
        Ok(())
    })?;
    artifact.name = match target {
        Some(raw) if raw.text().starts_with('{') => raw.parse::<Target>(meter)?.user_input,
        Some(raw) => raw.parse(meter)?,
        None => None,
    };
    Ok(artifact)
}

fn asset(artifact: &Artifact, by_caller: Option<&str>) -> ReportedAsset {
    // Old versions quote the folder's name inside of the text.
    let named = artifact.name.as_deref().map(|name| name.trim().trim_matches('"'));
    let name = named.filter(|name| !matches!(*name, "" | ".")).or(by_caller).or(named).unwrap_or_default();
    let kind = match artifact.kind.as_deref() {
        Some("image") => "container_image",
        Some("directory" | "file") => "filesystem",
        Some(other) => other,
        None => "",
    };
    ReportedAsset { name: name.to_owned(), kind: Some(kind.to_owned()) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    vulnerability: Vulnerability,
    #[serde(default, deserialize_with = "or_default")]
    related_vulnerabilities: Vec<Vulnerability>,
    artifact: Package,
    #[serde(default, deserialize_with = "or_default")]
    applied_ignore_rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vulnerability {
    id: String,
    data_source: Option<String>,
    namespace: Option<String>,
    severity: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    urls: Vec<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    cvss: Vec<Cvss>,
    #[serde(default, deserialize_with = "or_default")]
    epss: Vec<Epss>,
    #[serde(default, deserialize_with = "or_default")]
    cwes: Vec<Cwe>,
    #[serde(default, deserialize_with = "or_default")]
    known_exploited: Vec<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "or_default")]
    fix: Fix,
    #[serde(default, deserialize_with = "or_default")]
    advisories: Vec<Advisory>,
}

#[derive(Deserialize)]
struct Cvss {
    version: Option<String>,
    vector: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    metrics: Metrics,
}

#[derive(Default, Deserialize)]
struct Metrics {
    #[serde(rename = "baseScore")]
    base_score: Option<f64>,
}

#[derive(Deserialize)]
struct Epss {
    epss: Option<f64>,
}

#[derive(Deserialize)]
struct Cwe {
    cwe: Option<String>,
}

#[derive(Default, Deserialize)]
struct Fix {
    #[serde(default, deserialize_with = "or_default")]
    versions: Vec<String>,
    state: Option<String>,
}

#[derive(Deserialize)]
struct Advisory {
    link: Option<String>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    purl: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    locations: Vec<Location>,
}

#[derive(Deserialize)]
struct Location {
    path: Option<String>,
}

/// A rule by which a match was ignored.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Rule {
    reason: Option<String>,
    fix_state: Option<String>,
    vex_status: Option<String>,
    vex_justification: Option<String>,
}

/// The package types of operating systems: of such a package there is one.
const SYSTEM: [&str; 6] = ["apk", "alpm", "deb", "linux-kernel", "portage", "rpm"];

impl Match {
    fn reported(self, meter: &Meter) -> Result<Reported> {
        let Self { vulnerability, related_vulnerabilities: related, artifact, applied_ignore_rules } = self;
        let all = || std::iter::once(&vulnerability).chain(&related);
        let ratings = all().flat_map(|one| &one.cvss).map(|cvss| {
            let version = cvss.version.as_deref().unwrap_or_default();
            Rating::new(version, cvss.metrics.base_score, cvss.vector.as_deref())
        });
        let rating = cvss::best(ratings);
        let word = vulnerability.severity.as_deref().map(str::trim).unwrap_or_default();
        let severity = match word {
            "" | "Unknown" => rating.score.map_or(Severity::Info, cvss::severity),
            word => text::severity(word, FORMAT.severities).ok_or_else(|| {
                let word = text::beginning(word, 80);
                meter.malformed(format_args!("`{word}` is not a severity of Grype"))
            })?,
        };
        let kind = artifact.kind.unwrap_or_default();
        let path = artifact.locations.into_iter().find_map(|location| location.path);
        let version = artifact.version.unwrap_or_default();
        let place = match &path {
            Some(path) if !SYSTEM.contains(&kind.as_str()) => text::without_version(path, &version),
            _ => String::new(),
        };
        let fix = &vulnerability.fix;
        let fixed: Vec<&str> =
            fix.versions.iter().map(String::as_str).filter(|one| !one.is_empty()).collect();
        let fix_available = match fix.state.as_deref() {
            Some("fixed") => Some(true),
            Some("not-fixed" | "wont-fix") => Some(false),
            _ => (!fixed.is_empty()).then_some(true),
        };
        let links = vulnerability.advisories.iter().filter_map(|advisory| advisory.link.clone());
        Ok(Reported {
            identity: vec![
                "vulnerability".to_owned(),
                kind.clone(),
                place,
                artifact.name.clone(),
                vulnerability.id.clone(),
            ],
            title: format!("{} in {}", vulnerability.id, artifact.name),
            description: all().find_map(|one| one.description.clone().filter(|text| !text.trim().is_empty())),
            severity,
            scanner_category: vulnerability.namespace.clone(),
            scanner_reference: Some(vulnerability.id.clone()),
            vulnerability_type: Some("vulnerable_package".to_owned()),
            cvss_score: rating.score,
            cvss_vector: rating.vector,
            epss_score: all().flat_map(|one| &one.epss).filter_map(|epss| epss.epss).reduce(f64::max),
            known_exploit: all().any(|one| !one.known_exploited.is_empty()).then_some(true),
            cve_ids: all().filter_map(|one| text::cve(&one.id)).collect(),
            cwe_ids: all()
                .flat_map(|one| &one.cwes)
                .filter_map(|cwe| text::cwe(cwe.cwe.as_deref()?))
                .collect(),
            component_name: Some(artifact.name),
            component_version: Some(version),
            component_purl: artifact.purl,
            fixed_version: (!fixed.is_empty()).then(|| fixed.join(", ")),
            fix_available,
            file_path: path,
            references: vulnerability
                .data_source
                .iter()
                .chain(&vulnerability.urls)
                .cloned()
                .chain(links)
                .collect(),
            tags: [kind].into_iter().chain(fix.state.clone()).collect(),
            verdict: applied_ignore_rules.first().and_then(Rule::verdict),
            ..Reported::default()
        })
    }
}

impl Rule {
    fn verdict(&self) -> Option<Verdict> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let (vex_status, why) = (said(&self.vex_status), said(&self.vex_justification));
        if let Some(status) = vex_status {
            return vex::verdict(Vocabulary::OpenVex, &status, why.as_deref(), said(&self.reason), None);
        }
        let reason = said(&self.reason);
        let why = reason.clone().or_else(|| said(&self.fix_state).map(|state| format!("fix-state: {state}")));
        vex::verdict(Vocabulary::Grype, "ignored", why.as_deref(), reason, None)
    }
}
