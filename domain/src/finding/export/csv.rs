//! Findings as rows of a table.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{PAGE, Taken, Writer};
use crate::access::Permission;
use crate::error::{Error, Result};
use crate::finding::facts::{Facts, Finding};
use crate::inventory::asset::Asset;
use crate::vocabulary::criteria::Subject;
use crate::vocabulary::field::finding::FindingField;

pub(super) struct Csv {
    taken: Taken,
    fields: Vec<FindingField>,
    /// `None` before the header row.
    after: Option<Uuid>,
    rows: i64,
}

impl Csv {
    pub fn new(taken: Taken, params: &Json) -> Self {
        let named = params.get("fields").and_then(Json::as_array).into_iter().flatten();
        let mut fields: Vec<FindingField> =
            named.filter_map(Json::as_str).filter_map(FindingField::from_key).collect();
        if fields.is_empty() {
            fields = FindingField::ALL.to_vec();
        }
        Self { taken, fields, after: None, rows: 0 }
    }

    async fn page(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(after) = self.after else {
            let header = std::iter::once("id").chain(self.fields.iter().map(|field| field.key()));
            self.after = Some(Uuid::nil());
            return table([header]).map(Some);
        };
        let scope = self.taken.actor.allow(Permission::Export)?;
        let db = self.taken.domain.db();
        let ids = db.finding_ids(&scope, &self.taken.filter, after, PAGE).await?;
        let Some(last) = ids.last().copied() else { return Ok(None) };
        let mut findings = db.findings_by_id(&scope, &ids).await?;
        findings.sort_unstable_by_key(|finding| finding.id);
        let assets = db.assets_on(&scope, &findings).await?;
        let cells = |finding: &Finding| Some(self.cells(finding, assets.get(&finding.asset)?));
        let rows = table(findings.iter().filter_map(cells))?;
        self.rows += i64::try_from(findings.len()).unwrap_or(i64::MAX);
        self.after = Some(last);
        Ok(Some(rows))
    }

    fn cells(&self, finding: &Finding, asset: &Asset) -> Vec<String> {
        let facts = Facts { finding, asset, shown: &finding.shown };
        let cell = |field: &FindingField| {
            let value = facts.read(field.index()).map(|value| value.to_json(field.field().kind));
            value.map_or_else(|_| String::new(), |value| cell(&value))
        };
        std::iter::once(finding.id.to_string()).chain(self.fields.iter().map(cell)).collect()
    }
}

impl Writer for Csv {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>>> {
        self.page().boxed()
    }

    fn counts(&self) -> Map<String, Json> {
        Map::from_iter([("rows".to_owned(), json!(self.rows))])
    }
}

/// Rows of cells as CSV.
pub(crate) fn table<T: AsRef<[u8]>>(
    rows: impl IntoIterator<Item = impl IntoIterator<Item = T>>,
) -> Result<Vec<u8>> {
    let mut csv = ::csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.write_record(row).map_err(Error::internal)?;
    }
    csv.into_inner().map_err(|error| Error::internal(error.to_string()))
}

/// A value as the text of a cell.
pub(crate) fn cell(value: &Json) -> String {
    guarded(text(value))
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(elements) => elements.iter().map(text).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

/// A cell that a spreadsheet would take for a formula is told to be text.
fn guarded(cell: String) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    if formula { format!("'{cell}") } else { cell }
}
