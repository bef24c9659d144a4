//! Responses of the NVD API, version 2.0, and the files of the same form.

use indexmap::IndexMap;
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
    label: "NVD",
    files: "Responses of the NVD API 2.0, one or several after each other, and its yearly and recent files; plain, gzip, \
            or in a ZIP archive with any number of `.json` files",
    archived: Some(is_json),
    says: "`cvss_score` and `cvss_vector`, `cwe_ids` and references where the scanner gave none.",
    snapshot: false,
    stale: days(30),
    every: Span::DAY,
    read,
};

#[derive(Deserialize)]
struct Item {
    cve: Described,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    id: String,
    #[serde(default)]
    vuln_status: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    metrics: IndexMap<String, Json>,
    #[serde(default, deserialize_with = "or_default")]
    weaknesses: Vec<Weakness>,
    #[serde(default, deserialize_with = "or_default")]
    references: Vec<Reference>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Weakness {
    #[serde(deserialize_with = "or_default")]
    description: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    value: String,
}

#[derive(Deserialize)]
struct Reference {
    url: String,
}

/// The lists of scores, the newest version first.
const VERSIONS: [&str; 4] = ["cvssMetricV40", "cvssMetricV31", "cvssMetricV30", "cvssMetricV2"];

/// Reads responses. A rejected CVE says nothing, which withdraws what it said before.
pub fn read(source: Source, sink: Sink<'_>) -> Result<Option<Timestamp>> {
    let meter = source.meter();
    let mut emit = bounded(source.limits(), source.meter(), sink);
    let mut newest = None;
    source.json_values(&mut |root| {
        let mut found = false;
        root.object(&mut |name, value| {
            match name {
                "timestamp" => {
                    newest = newest.max(value.get::<Option<String>>()?.as_deref().and_then(text::time));
                }
                "vulnerabilities" => {
                    found = true;
                    value.array(&mut |item| {
                        let item: Item = item.get()?;
                        let cve =
                            text::cve(&item.cve.id).ok_or_else(|| meter.malformed("this is not a CVE id"))?;
                        emit(cve, item.cve.fact())
                    })?;
                }
                _ => {}
            }
            Ok(())
        })?;
        if found {
            return Ok(());
        }
        Err(meter.malformed("there is no `vulnerabilities`: this is not of the NVD"))
    })?;
    Ok(newest)
}

impl Described {
    fn fact(self) -> Fact {
        if self.vuln_status.as_deref() == Some("Rejected") {
            return Fact::default();
        }
        let cwes = self.weaknesses.iter().flat_map(|weakness| &weakness.description);
        // `NVD-CWE-noinfo` and `NVD-CWE-Other` are no weaknesses.
        let cwes =
            cwes.filter(|text| text.value.starts_with("CWE-")).filter_map(|text| text::cwe(&text.value));
        let references = self.references.iter().map(|reference| reference.url.trim().to_owned());
        Fact {
            cvss: VERSIONS.iter().find_map(|version| scored(self.metrics.get(*version)?)),
            cwes: cwes.collect(),
            references: references.collect(),
            ..Fact::default()
        }
    }
}

/// The primary score of a list, or else its first.
fn scored(metrics: &Json) -> Option<Cvss> {
    let metrics = metrics.as_array()?;
    let primary = |metric: &&Json| metric.get("type").and_then(Json::as_str) == Some("Primary");
    let cvss = metrics.iter().find(primary).or(metrics.first())?.get("cvssData")?;
    Cvss::of(cvss.get("baseScore").and_then(Json::as_f64), cvss.get("vectorString").and_then(Json::as_str))
}
