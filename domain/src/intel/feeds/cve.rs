//! CVE records, JSON 5: what the CNA says, and what an ADP such as CISA's adds to it.

use serde::Deserialize;
use serde_json::Value as Json;

use super::bounded;
use crate::error::{Error, Result};
use crate::intake::formats::tabular::read_line;
use crate::intake::json::{or_default, without_place};
use crate::intake::place::Place;
use crate::intake::source::Source;
use crate::intake::text;
use crate::intel::fact::{Cvss, Fact};
use crate::intel::feed::{Entry, Sink, days};
use crate::vocabulary::time::{Span, Timestamp};

pub const ENTRY: Entry = Entry {
    label: "CVE records",
    files: "CVE JSON 5: one record, an array of them, or a record on each line; plain or gzip",
    says: "`cvss_score` and `cvss_vector`, `cwe_ids` and references where the scanner gave none and NVD \
           says nothing, from the CNA or else from an ADP such as CISA's.",
    snapshot: false,
    stale: days(30),
    every: Span::DAY,
    read,
};

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "cveMetadata")]
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    containers: Containers,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    cve_id: String,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    date_updated: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Containers {
    #[serde(deserialize_with = "or_default")]
    cna: Container,
    #[serde(deserialize_with = "or_default")]
    adp: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    #[serde(deserialize_with = "or_default")]
    metrics: Vec<Json>,
    #[serde(deserialize_with = "or_default")]
    problem_types: Vec<ProblemType>,
    #[serde(deserialize_with = "or_default")]
    references: Vec<Reference>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemType {
    #[serde(deserialize_with = "or_default")]
    descriptions: Vec<Problem>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "cweId")]
    cwe: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    url: String,
}

/// The members of a metric that hold a CVSS score, the newest version first.
const VERSIONS: [&str; 4] = ["cvssV4_0", "cvssV3_1", "cvssV3_0", "cvssV2_0"];

/// Reads a record, an array of records, or a record on each line. A rejected one says nothing, which
/// withdraws what it said before.
pub fn read(source: Source, sink: Sink<'_>) -> Result<Option<Timestamp>> {
    let meter = source.meter();
    let limits = source.limits().clone();
    let mut emit = bounded(&limits, source.meter(), sink);
    let mut newest = None;
    let mut take = |record: Record, fault: &dyn Fn(&str) -> Error| {
        let cve = text::cve(&record.metadata.cve_id).ok_or_else(|| fault("`cveId` is not a CVE id"))?;
        newest = newest.max(record.metadata.date_updated.as_deref().and_then(text::time));
        let rejected = record.metadata.state.as_deref().is_some_and(|state| state == "REJECTED");
        emit(cve, if rejected { Fact::default() } else { record.containers.fact() })
    };
    if starts_lines(source.head()) {
        lines(source, &mut take)?;
    } else if source.head().trim_ascii_start().starts_with(b"[") {
        source.json(&mut |root| {
            root.array(&mut |element| take(element.get()?, &|what| meter.malformed(what)))
        })?;
    } else {
        source.json(&mut |root| take(root.get()?, &|what| meter.malformed(what)))?;
    }
    Ok(newest)
}

/// Whether the first line holds a whole object: a record on each line, if only one.
fn starts_lines(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    line.starts_with(b"{") && (line.ends_with(b"}") || line.len() == head.len())
}

type Take<'t> = &'t mut dyn FnMut(Record, &dyn Fn(&str) -> Error) -> Result<()>;

fn lines(source: Source, take: Take<'_>) -> Result<()> {
    let meter = source.meter();
    let limits = source.limits().clone();
    let mut guard = source.lines();
    let mut line = Vec::new();
    loop {
        line.clear();
        let start = Place { line: meter.line(), column: 1, offset: meter.offset() };
        if !read_line(&mut guard, &mut line, &meter, &limits)? {
            return Ok(());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let record = serde_json::from_slice(&line).map_err(|error| {
            let column = error.column().max(1) as u64;
            let place = Place { column, offset: start.offset + column - 1, ..start };
            place.malformed(without_place(&error.to_string()))
        })?;
        take(record, &|what| start.malformed(what))?;
    }
}

impl Containers {
    fn fact(self) -> Fact {
        let all = || std::iter::once(&self.cna).chain(&self.adp);
        let cvss = VERSIONS.iter().find_map(|version| all().find_map(|container| container.cvss(version)));
        let cwes = all().map(Container::cwes).find(|cwes| !cwes.is_empty()).unwrap_or_default();
        let references = all().flat_map(|container| &container.references);
        let references = references.map(|reference| reference.url.trim().to_owned()).collect();
        Fact { cvss, cwes, references, ..Fact::default() }
    }
}

impl Container {
    fn cvss(&self, version: &str) -> Option<Cvss> {
        self.metrics.iter().find_map(|metric| {
            let cvss = metric.get(version)?;
            Cvss::of(cvss.get("baseScore").and_then(Json::as_f64), cvss.get("vectorString")?.as_str())
        })
    }

    fn cwes(&self) -> Vec<String> {
        let problems = self.problem_types.iter().flat_map(|kind| &kind.descriptions);
        let named = |problem: &Problem| {
            let said = problem.description.as_deref().filter(|text| text.contains("CWE-"));
            problem.cwe.as_deref().and_then(text::cwe).or_else(|| text::cwe(said?))
        };
        problems.filter_map(named).collect()
    }
}
