//! What the audit and the versions of rules tell of the past.

use sea_orm::QueryResult;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::access::{GLOBAL, Scope};
use crate::error::{Error, Result};
use crate::finding::store::within;
use crate::rule::action::Action;
use crate::rule::preview::drafted;
use crate::rule::{OnExpiry, Rule, RuleDraft};
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

    /// Every version before a moment of the rules that the company may read, oldest first of each rule.
    pub(super) async fn rules_until(&self, scope: &Scope, to: Timestamp) -> Result<Vec<Stood>> {
        let rows = Sql::new(
            self.dialect,
            "SELECT v.rule_id, v.version, v.content, v.content_hash, v.created_at AS since, r.company_id, \
             r.author_id, r.created_at FROM rule_version AS v JOIN rule AS r ON r.id = v.rule_id \
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
        let stood = rows.iter().map(stood).collect::<Result<Vec<_>>>()?;
        Ok(stood.into_iter().flatten().collect())
    }
}

/// A version as a rule. `None` for what this release no longer reads.
fn stood(row: &QueryResult) -> Result<Option<Stood>> {
    let content: String = row.try_get("", "content")?;
    let content: Json = serde_json::from_str(&content).map_err(Error::internal)?;
    let Ok(action) = serde_json::from_value::<Action>(content["action"].clone()) else { return Ok(None) };
    let time = |value: &Json| value.as_str().and_then(Timestamp::parse);
    let draft = RuleDraft {
        name: content["name"].as_str().unwrap_or_default().to_owned(),
        description: None,
        order: content["order"].as_i64().and_then(|order| i32::try_from(order).ok()).unwrap_or_default(),
        mode: Term::parse(content["mode"].as_str().unwrap_or_default()).unwrap_or(super::Mode::Off),
        expires_at: time(&content["expires_at"]),
        on_expiry: OnExpiry::Keep,
        criteria: content["criteria"].clone(),
        action: content["action"].clone(),
        requires_approval: content["requires_approval"] == true,
    };
    let since = Timestamp(row.try_get("", "since")?);
    let (mode, expires_at, requires_approval) = (draft.mode, draft.expires_at, draft.requires_approval);
    let (company, author) = (row.try_get("", "company_id")?, row.try_get("", "author_id")?);
    let rule = drafted(None, draft, action, company, author, since, row.try_get("", "rule_id")?);
    let rule = Rule {
        mode,
        expires_at,
        requires_approval,
        version: row.try_get("", "version")?,
        content_hash: row.try_get("", "content_hash")?,
        created_at: Timestamp(row.try_get("", "created_at")?),
        archived_at: (content["archived"] == true).then_some(since),
        ..rule
    };
    Ok(Some(Stood { since, rule }))
}
