//! What the audit and the versions of rules tell of the past.

use sea_orm::QueryResult;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::access::{GLOBAL, Scope};
use crate::error::{Error, Result};
use crate::finding::store::within;
use crate::rule::pass::Mode;
use crate::rule::preview::drafted;
use crate::rule::{Content, Live, Rule};
use crate::store::Db;
use crate::store::sql::Sql;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

/// An entry of the audit.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub at: Timestamp,
    pub action: String,
    pub record: Uuid,
    /// Somebody said what the finding is, or moved it.
    pub by_person: bool,
    pub before: Map<String, Json>,
    pub after: Map<String, Json>,
    pub cause: Json,
}

/// A rule as it stood from a moment on.
#[derive(Clone, Debug)]
pub(super) struct Stood {
    pub since: Timestamp,
    pub rule: Rule,
}

/// The mode that the company set for a global rule; none, to follow the rule's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompanyMode {
    pub since: Timestamp,
    pub rule: Uuid,
    pub mode: Option<Mode>,
}

impl Entry {
    fn read(row: &QueryResult) -> Result<Self> {
        let json = |column: &str| -> Result<Json> {
            let text: Option<String> = row.try_get("", column)?;
            text.map_or(Ok(Json::Null), |text| serde_json::from_str(&text).map_err(Error::internal))
        };
        let members = |json: Json| match json {
            Json::Object(members) => members,
            _ => Map::new(),
        };
        let cause = json("cause")?;
        let action: String = row.try_get("", "action")?;
        // A scan moves the lifecycle too, and says that it was one.
        let by_person = match action.as_str() {
            "finding.updated" | "finding.released" => true,
            "finding.status_changed" => cause["scan"].is_null(),
            _ => false,
        };
        Ok(Self {
            at: Timestamp(row.try_get("", "at")?),
            action,
            record: row.try_get("", "record_id")?,
            by_person,
            before: members(json("before")?),
            after: members(json("after")?),
            cause,
        })
    }

    /// An id in what it came from.
    pub fn because(&self, of: &str) -> Option<Uuid> {
        self.cause[of].as_str()?.parse().ok()
    }
}

const COLUMNS: &str = "e.at, e.action, e.record_id, e.before, e.after, e.cause";

impl Db {
    /// The newest `most` entries of a period in which imports made findings of the scope or refreshed
    /// them, the newest first.
    pub(super) async fn imported(
        &self,
        scope: &Scope,
        from: Timestamp,
        to: Timestamp,
        most: usize,
    ) -> Result<Vec<Entry>> {
        let sql = Sql::new(self.dialect, "SELECT ").push(COLUMNS);
        let sql = sql.push(" FROM audit_entry AS e JOIN finding AS f ON f.id = e.record_id WHERE ");
        let rows = within(sql, scope)
            .own(scope, "e")
            .push(" AND e.action IN ('finding.created', 'finding.refreshed') AND e.at >= ")
            .bind(from.0)
            .push(" AND e.at < ")
            .bind(to.0)
            .push(" AND ")
            .contains("e.cause", "\"scan\":")
            .push(" ORDER BY e.seq DESC LIMIT ")
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .all(self.read())
            .await?;
        rows.iter().map(Entry::read).collect()
    }

    /// What the audit tells of these records from a moment on, oldest first.
    pub(super) async fn entries_since(
        &self,
        scope: &Scope,
        records: &[Uuid],
        since: Timestamp,
    ) -> Result<Vec<Entry>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let sql = Sql::new(self.dialect, "SELECT ").push(COLUMNS).push(" FROM audit_entry AS e WHERE ");
        let rows = sql
            .one_of("e.record_id", records.iter().copied())
            .own(scope, "e")
            .push(" AND e.at >= ")
            .bind(since.0)
            .push(" ORDER BY e.seq")
            .all(self.read())
            .await?;
        rows.iter().map(Entry::read).collect()
    }

    /// The modes that the company set for global rules before a moment, oldest first.
    pub(super) async fn company_modes_until(&self, scope: &Scope, to: Timestamp) -> Result<Vec<CompanyMode>> {
        let sql = Sql::new(self.dialect, "SELECT ").push(COLUMNS);
        let rows = sql
            .push(" FROM audit_entry AS e WHERE e.action = 'rule.company_mode_set' AND e.at < ")
            .bind(to.0)
            .own(scope, "e")
            .push(" ORDER BY e.seq")
            .all(self.read())
            .await?;
        let mode = |row: &QueryResult| {
            let entry = Entry::read(row)?;
            let mode = entry.after.get("mode").and_then(Json::as_str).and_then(Mode::parse);
            Ok(CompanyMode { since: entry.at, rule: entry.record, mode })
        };
        rows.iter().map(mode).collect()
    }

    /// Every version before a moment of the rules that the company may read, oldest first of each rule,
    /// as the rule stood from then on.
    pub(super) async fn rules_until(&self, scope: &Scope, to: Timestamp) -> Result<Vec<Stood>> {
        let rows = Sql::new(
            self.dialect,
            "SELECT v.rule_id, v.version, v.content, v.content_hash, v.live, v.created_at AS since, \
             r.company_id, r.created_at FROM rule_version AS v JOIN rule AS r ON r.id = v.rule_id \
             WHERE r.company_id IN (",
        )
        .bind(scope.company()?)
        .push(", ")
        .bind(GLOBAL)
        .push(") AND v.created_at < ")
        .bind(to.0)
        .push(" ORDER BY v.rule_id, v.version")
        .all(self.read())
        .await?;
        let mut stood: Vec<Stood> = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: Uuid = row.try_get("", "rule_id")?;
            let before = stood.last().map(|stood| &stood.rule).filter(|rule| rule.id == id);
            if let Some(rule) = version(row, before)? {
                stood.push(Stood { since: Timestamp(row.try_get("", "since")?), rule });
            }
        }
        Ok(stood)
    }
}

/// The rule from a version on. A version of which the content is not live is a change of its mode, or
/// of its draft alone. `None`: it is not live yet, or this release no longer reads it.
fn version(row: &QueryResult, before: Option<&Rule>) -> Result<Option<Rule>> {
    let written: String = row.try_get("", "content")?;
    let written: Json = serde_json::from_str(&written).map_err(Error::internal)?;
    let since = Timestamp(row.try_get("", "since")?);
    let hash: String = row.try_get("", "content_hash")?;
    let number: i64 = row.try_get("", "version")?;
    let live: bool = row.try_get("", "live")?;
    let mode = Mode::parse(written["mode"].as_str().unwrap_or_default()).unwrap_or(Mode::Off);
    let archived_at = (written["archived"] == true).then_some(since);
    if let Some(before) = before.filter(|before| !live && before.content_hash != hash) {
        return Ok(Some(Rule { mode, archived_at, version: number, ..before.clone() }));
    }
    let Ok(content) = serde_json::from_value::<Content>(written) else { return Ok(None) };
    let since_live = match before {
        None if !live => return Ok(None),
        Some(before) if !live => before.live,
        _ => Some(Live { version: number, since, emergency_until: None }),
    };
    let (company, id) = (row.try_get("", "company_id")?, row.try_get("", "rule_id")?);
    let created_at = Timestamp(row.try_get("", "created_at")?);
    let rule = drafted(None, content, company, created_at, id);
    Ok(Some(Rule { mode, archived_at, live: since_live, content_hash: hash, version: number, ..rule }))
}
