//! Findings in the orders in which documents of VEX need them, and what people said when they decided.

use std::collections::HashMap;

use serde_json::Value as Json;
use uuid::Uuid;

use super::PAGE;
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::finding::facts::Finding;
use crate::finding::query::FindingFilter;
use crate::finding::query::store::matching;
use crate::finding::store::{read, selection};
use crate::inventory::asset::Asset;
use crate::ledger::Speaker;
use crate::page::{Key, KeyKind, KeyValue, Sort, Window};
use crate::store::Db;
use crate::store::page::{key_columns, read_keys};
use crate::store::sql::Sql;

/// Asset by asset.
const BY_ASSET: Sort =
    Sort::new("asset", &[Key::new("f.asset_id", KeyKind::Uuid), Key::new("f.id", KeyKind::Uuid)]);

/// Vulnerability by vulnerability, and asset by asset in it.
const BY_NAME: Sort = Sort::new(
    "name",
    &[
        Key::new("n.cve_id", KeyKind::Text),
        Key::new("f.asset_id", KeyKind::Uuid),
        Key::new("f.id", KeyKind::Uuid),
    ],
);

const NAMES: &str = " JOIN finding_cve AS n ON n.company_id = f.company_id AND n.finding_id = f.id";

/// Where a walk stands: behind the row with these keys.
pub(super) type Place = Option<Vec<KeyValue>>;

/// A page of a walk: findings that pass, each with its asset, and the name of its vulnerability where the walk goes by names.
#[derive(Default)]
pub(super) struct Walked {
    pub rows: Vec<(Option<String>, Finding)>,
    pub assets: HashMap<Uuid, Asset>,
    /// Where the next page begins; `None` at the end.
    pub next: Place,
}

impl Db {
    /// The next findings that pass, asset by asset.
    pub(super) async fn findings_by_asset(
        &self,
        scope: &Scope,
        filter: &FindingFilter,
        place: Place,
    ) -> Result<Walked> {
        self.walk_findings(scope, filter, BY_ASSET, place).await
    }

    /// The next findings that pass, once for each name of their vulnerability, name by name.
    pub(super) async fn findings_by_name(
        &self,
        scope: &Scope,
        filter: &FindingFilter,
        place: Place,
    ) -> Result<Walked> {
        self.walk_findings(scope, filter, BY_NAME, place).await
    }

    async fn walk_findings(
        &self,
        scope: &Scope,
        filter: &FindingFilter,
        sort: Sort,
        place: Place,
    ) -> Result<Walked> {
        let by_name = sort.keys.len() == BY_NAME.keys.len();
        let (name, joins) = if by_name { (", n.cve_id AS name", NAMES) } else { ("", "") };
        let head = format!("SELECT {}{name}{}", selection(self.dialect), key_columns(&sort));
        let window = Window { sort, limit: PAGE as u16, backward: false, after: place, before: None };
        let mut asked = matching(self.dialect, scope, filter, &head, joins, false);
        if by_name && let Some(KeyValue::Text(name)) = window.after.as_ref().and_then(|keys| keys.first()) {
            // Said apart, so that the index of the names is entered where the walk stands.
            asked.sql = asked.sql.push(" AND n.cve_id >= ").bind(name.as_str());
        }
        let rows = asked.sql.window(&window).all(self.read()).await?;
        let more = rows.len() > PAGE;
        let rows = &rows[..rows.len().min(PAGE)];
        let mut walked = Walked::default();
        for row in rows {
            let name = if by_name { Some(row.try_get("", "name")?) } else { None };
            walked.rows.push((name, read(row)?));
        }
        if let (true, Some(last)) = (more, rows.last()) {
            walked.next = Some(read_keys(&sort, last)?);
        }
        walked.assets = self.assets_on(scope, walked.rows.iter().map(|(_, finding)| finding)).await?;
        let assets = &walked.assets;
        walked.rows.retain(|(_, finding)| {
            let asset = assets.get(&finding.asset);
            asset.is_some_and(|asset| asked.exact || filter.holds(finding, asset))
        });
        Ok(walked)
    }

    /// Who moved each of these findings to where its lifecycle stands, and the reason that was given.
    pub(super) async fn words_of_moves(
        &self,
        scope: &Scope,
        findings: &[Uuid],
    ) -> Result<HashMap<Uuid, (String, Option<String>)>> {
        if findings.is_empty() {
            return Ok(HashMap::new());
        }
        let head = "SELECT e.record_id, e.actor, e.cause FROM (SELECT e.record_id, e.actor, e.cause, \
                    ROW_NUMBER() OVER (PARTITION BY e.record_id ORDER BY e.seq DESC) AS place \
                    FROM audit_entry AS e WHERE e.action IN \
                    ('finding.status_changed', 'finding.acceptance_changed') AND ";
        let sql = Sql::new(self.dialect, head).one_of("e.record_id", findings.iter().copied());
        let rows = sql.own(scope, "e").push(") AS e WHERE e.place = 1").all(self.read()).await?;
        rows.iter()
            .map(|row| {
                let actor: String = row.try_get("", "actor")?;
                let speaker: Speaker = serde_json::from_str(&actor).map_err(Error::internal)?;
                let cause: Option<String> = row.try_get("", "cause")?;
                let cause: Option<Json> =
                    cause.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::internal)?;
                let reason = cause.as_ref().and_then(|cause| cause.get("reason")).and_then(Json::as_str);
                Ok((row.try_get("", "record_id")?, (speaker.name, reason.map(str::to_owned))))
            })
            .collect()
    }
}
