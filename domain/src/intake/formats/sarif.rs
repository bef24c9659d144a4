//! SARIF 2.1.0, the exchange format of static analysis.

mod result;
mod run;

use crate::error::Result;
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::formats::sarif::result::ResultItem;
use crate::intake::formats::sarif::run::Run;
use crate::intake::json::Value;
use crate::intake::late::{Late, Scope};
use crate::intake::place::Meter;
use crate::intake::report::ReportHead;
use crate::intake::source::Source;
use crate::intake::text;
use crate::vocabulary::time::Timestamp;

pub const FORMAT: Entry = Entry {
    key: "SARIF",
    label: "SARIF 2.1.0",
    media_types: &["application/sarif+json", "application/json"],
    extensions: &["sarif", "sarif.json", "json"],
    scanner: "sarif",
    counting: "Each entry of `results` of each run whose `kind` is `fail` (also if absent), `open` or `review`, and \
         whose `baselineState` is not `absent`. `pass`, `notApplicable` and `informational` say that nothing is wrong, and an \
         absent result is gone. A suppressed result is a finding with the tag `suppressed` and a verdict (see the table of verdicts). The same result at the same place, \
         found in several commits, is one finding.",
    identity: "The rule with `fingerprints`; or else the rule and the file with `partialFingerprints` (but not hashes of whole files, where there are others); or else the rule, the \
         file, the logical location, and the text of the snippet with its column, or without a snippet the line, column \
         and offset; without any location the message.",
    asset: "`versionControlProvenance`'s first `repositoryUri`; or else the host of a result at an http address; or else \
         the asset that the caller names, the `automationDetails.id` of the run, or `source code`.",
    required: "`version` 2.1.0 and `runs` (which may be null or empty).",
    severities: &[
        ("security-severity 9.0 and more", "critical"),
        ("security-severity 7.0 and more; else level error", "high"),
        ("security-severity 4.0 and more; else level warning, absent", "medium"),
        ("security-severity above 0; else level note", "low"),
        ("security-severity 0; else level none", "info"),
    ],
    fields: &[
        (
            "scanner",
            "`tool.driver.name` in lower case; the results of a further run by another tool have its name in their fingerprint and in the tag `scanner:name`",
        ),
        (
            "severity",
            "`security-severity` of the result, or else of its rule; or else the `level` of the result, or else of its rule",
        ),
        (
            "title",
            "`shortDescription` of the rule, or else the message's first line, or else the rule's name or id",
        ),
        ("description", "the message, its arguments in place, and the rule's `fullDescription`"),
        ("scanner_reference", "`ruleId`, or else the id of the rule that the index points at"),
        ("cve_ids", "the rule's id, where it is one"),
        ("cwe_ids", "tags with a CWE id, and taxa and relationships to CWE"),
        (
            "file_path, line",
            "the first location, resolved against `originalUriBaseIds` as far as these are relative",
        ),
        ("endpoint", "the first location, where it is an http address"),
        ("component_name", "the fully qualified name of the logical location"),
        ("references", "`helpUri`"),
        ("remediation", "`help`"),
        ("tags", "tags of the result and of its rule; `suppressed`; `kind:open`, `kind:review`"),
        ("first_seen_at", "`provenance.firstDetectionTimeUtc`"),
        (
            "verdict",
            "`suppressions`, where none is under review or rejected: `kind` and `justification` of the first",
        ),
        ("excerpt", "the beginning of the result"),
        ("time of the scan", "the latest `endTimeUtc`, or else `startTimeUtc`, of the invocations"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| !head.array && head.has("runs"),
    reader: |plan| Ok(Box::new(Sarif::new(plan))),
};

const VERSION: &str = "2.1.0";

#[derive(Clone, Default)]
struct Sarif {
    /// The asset that the caller names.
    asset: Option<String>,
    /// The tool of the first run.
    scanner: Option<String>,
    scanned_at: Option<Timestamp>,
    runs: Late<Run>,
}

impl Reader for Sarif {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.runs.rewind();
        self.scanner = None;
        let (meter, limits) = (source.meter(), source.limits().clone());
        let (mut versioned, mut has_runs) = (false, false);
        source.json(&mut |root| {
            root.object(&mut |name, value| match name {
                "version" => {
                    let version: String = value.get()?;
                    versioned = true;
                    if version == VERSION {
                        Ok(())
                    } else {
                        Err(meter.malformed(format_args!("only version {VERSION} of SARIF is read")))
                    }
                }
                "runs" => {
                    has_runs = true;
                    value.array(&mut |run| {
                        let mut known = self.runs.begin();
                        run.object(&mut |name, value| match name {
                            "results" => {
                                value.array(&mut |result| self.result(result, &mut known, &meter, emit))
                            }
                            "invocations" => self.invocations(value),
                            _ => run::learn(name, value, &mut known, &limits, &meter),
                        })?;
                        if self.scanner.is_none() {
                            self.scanner = known.so_far().scanner.clone();
                        }
                        self.runs.end(known, &limits, &meter)
                    })
                }
                _ => Ok(()),
            })
        })?;
        if !has_runs {
            return Err(meter.malformed("it has no `runs`"));
        }
        if !versioned {
            return Err(meter.malformed("it has no `version`"));
        }
        Ok(Pass::again(self.runs.again()))
    }

    fn head(&self) -> ReportHead {
        let scanner = self.scanner.as_deref().unwrap_or(FORMAT.scanner).to_owned();
        ReportHead { scanner, scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

impl Sarif {
    fn new(plan: &Plan<'_>) -> Self {
        Self { asset: plan.asset.map(str::to_owned), ..Self::default() }
    }

    fn result(
        &mut self,
        value: Value<'_>,
        run: &mut Scope<Run>,
        meter: &Meter,
        emit: Emit<'_>,
    ) -> Result<()> {
        let raw = value.raw()?;
        let item: ResultItem<'_> = raw.parse(meter)?;
        let run = run.used();
        let scanner = run.scanner.as_deref().unwrap_or(FORMAT.scanner);
        let first = self.scanner.get_or_insert_with(|| scanner.to_owned());
        if let Some(mut reported) = item.reported(run, self.asset.as_deref(), meter)? {
            if scanner != first {
                reported.tags.push(format!("scanner:{scanner}"));
            }
            reported.excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
            emit(scanner, reported)?;
        }
        Ok(())
    }

    fn invocations(&mut self, value: Value<'_>) -> Result<()> {
        value.array(&mut |invocation| {
            let (mut started, mut ended) = (None, None);
            invocation.object(&mut |name, value| {
                match name {
                    "startTimeUtc" => started = run::time(value)?,
                    "endTimeUtc" => ended = run::time(value)?,
                    _ => {}
                }
                Ok(())
            })?;
            self.scanned_at = self.scanned_at.max(ended.or(started));
            Ok(())
        })
    }
}
