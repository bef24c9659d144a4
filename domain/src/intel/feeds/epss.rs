//! EPSS scores, as the table that is published each day or any other with the same columns.

use super::bounded;
use crate::error::Result;
use crate::intake::formats::tabular::refuse;
use crate::intake::place::Place;
use crate::intake::source::Source;
use crate::intake::text;
use crate::intel::fact::{Epss, Fact};
use crate::intel::feed::{Entry, Sink, days};
use crate::vocabulary::time::{Span, Timestamp};

pub const ENTRY: Entry = Entry {
    label: "EPSS",
    files: "`epss_scores-YYYY-MM-DD.csv`, plain or gzip; any table with the columns `cve` and `epss`, \
            and `percentile` or `EPSS Percentile`",
    archived: None,
    says: "`epss_score`, the highest of the CVEs, and `epss_percentile`, that of the same CVE.",
    snapshot: true,
    stale: days(3),
    every: Span::DAY,
    read,
};

/// Reads a table. Its first line may be a comment: `#model_version:v2025.03.14,score_date:…`.
pub fn read(source: Source, sink: Sink<'_>) -> Result<Option<Timestamp>> {
    let meter = source.meter();
    let limits = source.limits().clone();
    let mut emit = bounded(&limits, source.meter(), sink);
    let scored = scored(source.head());
    let mut rows = ::csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(source.table(b','));
    meter.fence(limits.item);
    let header = rows.headers().map_err(|error| refuse(&meter, error))?.clone();
    let place = |row: &::csv::StringRecord| {
        row.position()
            .map_or_else(|| meter.place(), |at| Place { line: at.line(), column: 1, offset: at.byte() })
    };
    let column = |names: &[&str]| {
        header.iter().position(|cell| names.iter().any(|name| cell.trim().eq_ignore_ascii_case(name)))
    };
    let (Some(cve), Some(score)) = (column(&["cve", "cve_id"]), column(&["epss", "epss_score"])) else {
        return Err(
            place(&header).malformed("there are no columns `cve` and `epss`: these are not EPSS scores")
        );
    };
    let percentile = column(&["percentile", "epss percentile", "epss_percentile"]);
    let mut row = ::csv::StringRecord::new();
    loop {
        meter.fence(limits.item);
        if !rows.read_record(&mut row).map_err(|error| refuse(&meter, error))? {
            return Ok(scored);
        }
        if row.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let place = place(&row);
        let share = |at: Option<usize>, what: &str| {
            let cell = at.and_then(|at| row.get(at)).map(str::trim).unwrap_or_default();
            cell.parse()
                .ok()
                .filter(|share: &f64| (0.0..=1.0).contains(share))
                .ok_or_else(|| place.malformed(format!("the {what} is not a number from 0 to 1")))
        };
        let id = row.get(cve).and_then(text::cve);
        let id = id.ok_or_else(|| place.malformed("the first column is not a CVE id"))?;
        let score = share(Some(score), "score")?;
        let percentile = percentile.map(|at| share(Some(at), "percentile")).transpose()?;
        emit(id, Fact { epss: Some(Epss { score, percentile }), ..Fact::default() })?;
    }
}

/// The date of the scores, where the first line is a comment that says it.
fn scored(head: &[u8]) -> Option<Timestamp> {
    let line = head.split(|byte| *byte == b'\n').next().filter(|line| line.starts_with(b"#"))?;
    let line = String::from_utf8_lossy(line);
    let date = line.split([',', '#']).find_map(|part| part.trim().strip_prefix("score_date:"));
    date.and_then(text::time)
}
