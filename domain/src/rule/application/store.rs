//! Applications in the audit.

use std::collections::{BTreeSet, HashMap};

use entity::audit_entry::Model;
use sea_orm::{FromQueryResult, QueryResult};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{ApplicationFilter, Observed, RuleApplication};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::finding::store::within;
use crate::page::{Key, KeyKind, Page, Sort, Window};
use crate::rule::pass::Turn;
use crate::store::Db;
use crate::store::page::{key_columns, page, place_column, read_keys};
use crate::store::sql::Sql;
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

pub(super) const NEWEST: Sort = Sort::new("applications", &[Key::new("e.seq", KeyKind::Int).descending()]);

pub(crate) const OBSERVED: &str = "finding.rule_observed";
/// What is said of an entry of a rule that is enforced.
pub(crate) const APPLIED: &str = "finding.rule_applied";

fn read(row: &QueryResult) -> Result<RuleApplication> {
    let row = Model::from_query_result(row, "")?;
    let json = |text: &str| serde_json::from_str::<Json>(text).map_err(Error::internal);
    let missing = || Error::internal("an application does not say of what rule");
    let mut cause: Map<String, Json> =
        serde_json::from_str(row.cause.as_deref().unwrap_or("{}")).map_err(Error::internal)?;
    let mut taken = |name: &str| cause.remove(name).ok_or_else(missing);
    let (version, hash, change) = (taken("version")?, taken("hash")?, taken("change")?);
    cause.remove("rule");
    Ok(RuleApplication {
        company: row.company_id,
        seq: row.seq,
        at: Timestamp(row.at),
        rule: row.rule_id.ok_or_else(missing)?,
        version: version.as_i64().ok_or_else(missing)?,
        content_hash: hash.as_str().unwrap_or_default().to_owned(),
        finding: row.record_id,
        change: change.as_str().and_then(Turn::parse).ok_or_else(missing)?,
        observed: row.action == OBSERVED,
        before: row.before.as_deref().map(json).transpose()?,
        after: row.after.as_deref().map(json).transpose()?,
        cause,
        actor: serde_json::from_str(&row.actor).map_err(Error::internal)?,
    })
}

/// The entries that tell of rules' turns on findings in the scope.
fn matching(dialect: Dialect, scope: &Scope, columns: &str, filter: &ApplicationFilter) -> Sql {
    let sql = Sql::new(dialect, "SELECT ").push(columns).push(" FROM audit_entry e WHERE ");
    let mut sql = match filter.finding {
        Some(finding) => sql.push("e.record_id = ").bind(finding).own_too(scope, "e"),
        None => sql.push("1 = 1").own(scope, "e"),
    };
    sql = match filter.rule {
        Some(rule) => sql.push(" AND e.rule_id = ").bind(rule),
        None => sql.push(" AND e.rule_id IS NOT NULL"),
    };
    sql = sql.push(" AND EXISTS (SELECT 1 FROM finding AS f WHERE f.id = e.record_id AND ");
    sql = within(sql, scope).push(")");
    if let Some(from) = filter.from {
        sql = sql.push(" AND e.at >= ").bind(from.0);
    }
    if let Some(to) = filter.to {
        sql = sql.push(" AND e.at < ").bind(to.0);
    }
    if let Some(observed) = filter.observed {
        sql = sql.push(" AND e.action = ").bind(if observed { OBSERVED } else { APPLIED });
    }
    if let Some(change) = filter.change {
        // Inside of a text the quotes would be escaped: this is the change and nothing else.
        sql = sql.push(" AND ").contains("e.cause", &format!("\"change\":\"{}\"", change.word()));
    }
    sql
}

impl Db {
    pub(super) async fn applications(
        &self,
        scope: &Scope,
        filter: &ApplicationFilter,
        window: &Window,
    ) -> Result<Page<RuleApplication>> {
        let columns = format!("e.*{}", key_columns(&window.sort));
        let sql = matching(self.dialect, scope, &columns, filter).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn application_count(&self, scope: &Scope, filter: &ApplicationFilter) -> Result<i64> {
        matching(self.dialect, scope, "COUNT(*) AS n", filter).count(self.read()).await
    }

    pub(crate) async fn applications_by_seq(
        &self,
        scope: &Scope,
        seqs: &[i64],
    ) -> Result<Vec<RuleApplication>> {
        let sql = matching(self.dialect, scope, "e.*", &ApplicationFilter::default()).push(" AND e.seq IN (");
        let sql = seqs.iter().fold(sql.push("0"), |sql, seq| sql.push(", ").bind(*seq)).push(")");
        sql.all(self.read()).await?.iter().map(read).collect()
    }

    pub(super) async fn applications_of_rules(
        &self,
        scope: &Scope,
        rules: &[Uuid],
        filter: &ApplicationFilter,
        window: &Window,
    ) -> Result<HashMap<Uuid, Page<RuleApplication>>> {
        let (keys, place) = (key_columns(&window.sort), place_column(window, "e.rule_id"));
        let columns = format!("* FROM (SELECT e.*{keys}{place}");
        let sql = matching(self.dialect, scope, &columns, filter).push(" AND ");
        let sql = sql.one_of("e.rule_id", rules.iter().copied());
        let mut found: HashMap<Uuid, Vec<_>> = HashMap::new();
        for row in sql.windows(window).all(self.read()).await? {
            let application = read(&row)?;
            found.entry(application.rule).or_default().push((read_keys(&window.sort, &row)?, application));
        }
        Ok(found.into_iter().map(|(rule, rows)| (rule, window.page(rows))).collect())
    }

    pub(super) async fn application_counts(
        &self,
        scope: &Scope,
        rules: &[Uuid],
        filter: &ApplicationFilter,
    ) -> Result<HashMap<Uuid, i64>> {
        let sql = matching(self.dialect, scope, "e.rule_id, COUNT(*) AS n", filter).push(" AND ");
        let sql = sql.one_of("e.rule_id", rules.iter().copied()).push(" GROUP BY e.rule_id");
        let rows = sql.all(self.read()).await?;
        rows.iter().map(|row| Ok((row.try_get("", "rule_id")?, row.try_get("", "n")?))).collect()
    }

    pub(super) async fn observed_counts(
        &self,
        scope: &Scope,
        rules: &[Uuid],
    ) -> Result<HashMap<Uuid, Observed>> {
        let filter = ApplicationFilter { observed: Some(true), ..ApplicationFilter::default() };
        let columns = "e.rule_id, COUNT(*) AS turns, COUNT(DISTINCT e.record_id) AS findings";
        let sql = matching(self.dialect, scope, columns, &filter).push(" AND ");
        let sql = sql.one_of("e.rule_id", rules.iter().copied()).push(" GROUP BY e.rule_id");
        let read = |row: &QueryResult| {
            let observed =
                Observed { turns: row.try_get("", "turns")?, findings: row.try_get("", "findings")? };
            Ok((row.try_get("", "rule_id")?, observed))
        };
        sql.all(self.read()).await?.iter().map(read).collect()
    }

    pub(super) async fn rule_actions_at(
        &self,
        scope: &Scope,
        versions: &[(Uuid, i64)],
    ) -> Result<HashMap<(Uuid, i64), Json>> {
        let numbers: BTreeSet<String> = versions.iter().map(|(_, version)| version.to_string()).collect();
        if numbers.is_empty() {
            return Ok(HashMap::new());
        }
        let numbers: Vec<String> = numbers.into_iter().collect();
        let sql = Sql::new(self.dialect, "SELECT v.rule_id, v.version, v.content FROM rule_version v WHERE ");
        let sql = sql.one_of("v.rule_id", versions.iter().map(|(rule, _)| *rule));
        let sql = sql.push(&format!(" AND v.version IN ({})", numbers.join(", "))).own_or_global(scope, "v");
        let mut actions = HashMap::new();
        for row in sql.all(self.read()).await? {
            let content: String = row.try_get("", "content")?;
            let mut content: Json = serde_json::from_str(&content).map_err(Error::internal)?;
            let at = (row.try_get("", "rule_id")?, row.try_get("", "version")?);
            actions.insert(at, content["action"].take());
        }
        Ok(actions)
    }
}
