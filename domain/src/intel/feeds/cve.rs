//! CVE records, JSON 5: what the CNA says, and what an ADP such as CISA's adds to it.

use serde::Deserialize;
use serde_json::Value as Json;

use super::{bounded, is_json};
use crate::error::Result;
use crate::intake::json::or_default;
use crate::intake::source::Source;
use crate::intake::text;
use crate::intel::fact::{Cvss, Fact};
use crate::intel::feed::{Entry, Sink, days};
use crate::vocabulary::time::{Span, Timestamp};

pub const ENTRY: Entry = Entry {
    label: "CVE records",
    files: "CVE JSON 5: records one after the other, on lines or not, and arrays of them; plain, gzip, or a ZIP archive of \
            any number of `.json` files, such as the releases of the CVE list, whose archive inside of the archive is read too",
    archived: Some(is_record),
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

/// Whether a file of an archive has records in it: what the CVE list says of itself has not.
fn is_record(name: &str) -> bool {
    const LISTS: [&str; 3] = ["delta.json", "deltaLog.json", "recent_activities.json"];
    is_json(name) && !LISTS.contains(&name.rsplit('/').next().unwrap_or(name))
}

/// Reads records and arrays of records. A rejected one says nothing, which withdraws what it said before.
pub fn read(source: Source, sink: Sink<'_>) -> Result<Option<Timestamp>> {
    let meter = source.meter();
    let mut emit = bounded(source.limits(), source.meter(), sink);
    let mut newest = None;
    let mut take = |record: Record| {
        let cve =
            text::cve(&record.metadata.cve_id).ok_or_else(|| meter.malformed("`cveId` is not a CVE id"))?;
        newest = newest.max(record.metadata.date_updated.as_deref().and_then(text::time));
        let rejected = record.metadata.state.as_deref().is_some_and(|state| state == "REJECTED");
        emit(cve, if rejected { Fact::default() } else { record.containers.fact() })
    };
    source.json_values(&mut |mut root| {
        if root.is_array()? { root.array(&mut |element| take(element.get()?)) } else { take(root.get()?) }
    })?;
    Ok(newest)
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
