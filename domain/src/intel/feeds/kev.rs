//! CISA's catalogue of known exploited vulnerabilities, as JSON.

use serde::Deserialize;

use super::bounded;
use crate::error::Result;
use crate::intake::source::Source;
use crate::intake::text;
use crate::intel::fact::{Exploited, Fact};
use crate::intel::feed::{Entry, Sink, days};
use crate::vocabulary::time::{Span, Timestamp};

pub const ENTRY: Entry = Entry {
    label: "CISA KEV",
    files: "`known_exploited_vulnerabilities.json`",
    archived: None,
    says: "`known_exploit` is true; `kev_due_at`, the earliest due date; `ransomware_use`, whether \
           the catalogue knows of it for any of the CVEs.",
    snapshot: true,
    stale: days(7),
    every: Span(6 * Span::HOUR.0),
    read,
};

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "cveID")]
    cve: String,
    #[serde(rename = "dueDate")]
    due: Option<String>,
    #[serde(rename = "knownRansomwareCampaignUse")]
    ransomware: Option<String>,
}

/// Reads a catalogue. One that has fewer entries than it says was cut off, and is refused.
pub fn read(source: Source, sink: Sink<'_>) -> Result<Option<Timestamp>> {
    let meter = source.meter();
    let mut emit = bounded(source.limits(), source.meter(), sink);
    let (mut released, mut counted, mut listed) = (None, None, None::<u64>);
    source.json(&mut |root| {
        root.object(&mut |name, value| {
            match name {
                "dateReleased" => released = value.get::<Option<String>>()?.as_deref().and_then(text::time),
                "count" => counted = value.get::<Option<u64>>()?,
                "vulnerabilities" => {
                    let mut seen = 0;
                    value.array(&mut |entry| {
                        let entry: Listed = entry.get()?;
                        let cve =
                            text::cve(&entry.cve).ok_or_else(|| meter.malformed("this is not a CVE id"))?;
                        let due = match entry.due.as_deref().map(str::trim).filter(|due| !due.is_empty()) {
                            None => None,
                            Some(due) => Some(
                                text::time(due)
                                    .ok_or_else(|| meter.malformed("the due date is not a date"))?,
                            ),
                        };
                        let known = |word: &str| word.trim().eq_ignore_ascii_case("known");
                        let ransomware = entry.ransomware.as_deref().is_some_and(known);
                        seen += 1;
                        let exploited = Some(Exploited { due, ransomware });
                        emit(cve, Fact { exploited, ..Fact::default() })
                    })?;
                    listed = Some(seen);
                }
                _ => {}
            }
            Ok(())
        })
    })?;
    match (listed, counted) {
        (None, _) => Err(meter.malformed("there is no `vulnerabilities`: this is not the KEV catalogue")),
        (Some(listed), Some(counted)) if listed != counted => {
            let message = format!("it says that it has {counted} entries, and has {listed}");
            Err(meter.malformed(message))
        }
        _ => Ok(released),
    }
}
