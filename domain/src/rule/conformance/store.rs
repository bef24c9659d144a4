//! The turns of rules, counted.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Conformance, Override};
use crate::access::Scope;
use crate::error::Result;
use crate::rule::application::{APPLIED, ERRORED, OBSERVED};
use crate::rule::exemption::store::EVER;
use crate::store::Db;
use crate::store::sql::Sql;
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

/// That an entry is of a turn of this kind: inside of a text the quotes would be escaped.
fn turn(alias: &str, dialect: Dialect, word: &str) -> String {
    let find = match dialect {
        Dialect::Sqlite => "instr",
        Dialect::Postgres => "strpos",
    };
    format!("{find}({alias}.cause, '\"change\":\"{word}\"') > 0")
}

impl Db {
    /// How rules held in a period, each that ever turned before its end: four statements for all of them.
    pub(crate) async fn conformance(
        &self,
        scope: &Scope,
        rule: Option<Uuid>,
        period: (Timestamp, Timestamp),
    ) -> Result<Vec<Conformance>> {
        let mut found: BTreeMap<Uuid, Conformance> = BTreeMap::new();
        for row in self.turns(scope, rule, period).all(self.read()).await? {
            let of = row.try_get("", "rule_id")?;
            let count = |name: &str| row.try_get::<i64>("", name);
            let conformance = Conformance {
                rule: of,
                held_before: count("held_before")?,
                held_after: count("held_after")?,
                matched: count("matched")?,
                applied: count("applied")?,
                changed: count("changed")?,
                withdrawn: count("withdrawn")?,
                observed: count("observed")?,
                exempted: 0,
                errored: 0,
                overridden: Vec::new(),
            };
            found.insert(of, conformance);
        }
        for row in self.overrides(scope, rule, period).all(self.read()).await? {
            if let Some(conformance) = found.get_mut(&row.try_get("", "rule_id")?) {
                let by: String = row.try_get("", "speaker")?;
                conformance.overridden.push(Override {
                    by: Uuid::parse_str(&by).unwrap_or_default(),
                    name: row.try_get::<Option<String>>("", "name")?.unwrap_or_default(),
                    findings: row.try_get("", "findings")?,
                });
            }
        }
        for row in self.exempted(scope, rule, period).all(self.read()).await? {
            let rule = row.try_get("", "rule_id")?;
            found.entry(rule).or_insert(Conformance { rule, ..Conformance::default() }).exempted =
                row.try_get("", "n")?;
        }
        for row in self.errors(scope, rule, period).all(self.read()).await? {
            let rule = row.try_get("", "rule_id")?;
            found.entry(rule).or_insert(Conformance { rule, ..Conformance::default() }).errored =
                row.try_get("", "n")?;
        }
        Ok(found.into_values().collect())
    }

    /// Turns by finding, and then by rule.
    fn turns(&self, scope: &Scope, rule: Option<Uuid>, (from, to): (Timestamp, Timestamp)) -> Sql {
        let [added, changed, withdrawn] =
            ["ADDED", "CHANGED", "WITHDRAWN"].map(|word| turn("e", self.dialect, word));
        let (applied, observed) = (format!("e.action = '{APPLIED}'"), format!("e.action = '{OBSERVED}'"));
        let mut sql = Sql::new(
            self.dialect,
            "SELECT t.rule_id, COUNT(CASE WHEN t.stood_before THEN 1 END) AS held_before, \
             COUNT(CASE WHEN t.stood_after THEN 1 END) AS held_after, \
             COUNT(CASE WHEN t.stood_before OR t.added > 0 OR t.changed > 0 THEN 1 END) AS matched, \
             CAST(SUM(t.added) AS BIGINT) AS applied, CAST(SUM(t.changed) AS BIGINT) AS changed, \
             CAST(SUM(t.withdrawn) AS BIGINT) AS withdrawn, CAST(SUM(t.observed) AS BIGINT) AS observed FROM (\
             SELECT e.rule_id, e.record_id",
        );
        // It held if its last turn until then was no withdrawal.
        for (name, until) in [("stood_before", from), ("stood_after", to)] {
            let last = |sql: Sql, also: &str| {
                sql.push(&format!("MAX(CASE WHEN {applied}{also} AND e.at < "))
                    .bind(until.0)
                    .push(" THEN e.seq END)")
            };
            sql = last(sql.push(", COALESCE("), "").push(" > COALESCE(");
            sql = last(sql, &format!(" AND {withdrawn}")).push(&format!(", 0), FALSE) AS {name}"));
        }
        for (name, kind) in [
            ("added", format!("{applied} AND {added}")),
            ("changed", format!("{applied} AND {changed}")),
            ("withdrawn", format!("{applied} AND {withdrawn}")),
            ("observed", observed.clone()),
        ] {
            let head = format!(", COUNT(CASE WHEN {kind} AND e.at >= ");
            sql = sql.push(&head).bind(from.0).push(&format!(" THEN 1 END) AS {name}"));
        }
        sql = sql.push(" FROM audit_entry AS e WHERE e.rule_id ");
        sql = match rule {
            Some(rule) => sql.push("= ").bind(rule),
            None => sql.push("IS NOT NULL"),
        };
        sql = sql.own(scope, "e").push(" AND e.at < ").bind(to.0);
        sql.push(" GROUP BY e.rule_id, e.record_id) AS t GROUP BY t.rule_id ORDER BY t.rule_id")
    }

    /// Of how many findings rules did not speak at any moment.
    fn exempted(&self, scope: &Scope, rule: Option<Uuid>, (from, to): (Timestamp, Timestamp)) -> Sql {
        let sql = Sql::new(self.dialect, "SELECT x.rule_id, COUNT(DISTINCT x.finding_id) AS n FROM ");
        let sql = sql.push(EVER).push(" WHERE x.created_at < ").bind(to.0);
        let sql =
            sql.push(" AND (x.ended_at IS NULL OR x.ended_at >= ").bind(from.0).push(")").own(scope, "x");
        let sql = match rule {
            Some(rule) => sql.push(" AND x.rule_id = ").bind(rule),
            None => sql,
        };
        sql.push(" GROUP BY x.rule_id")
    }

    /// On how many findings the turns of rules could not be decided.
    fn errors(&self, scope: &Scope, rule: Option<Uuid>, (from, to): (Timestamp, Timestamp)) -> Sql {
        let findings = match self.dialect {
            Dialect::Sqlite => "json_each(e.after, '$.findings') AS k",
            Dialect::Postgres => {
                "LATERAL jsonb_array_elements_text(CAST(e.after AS jsonb) -> 'findings') AS k(value)"
            }
        };
        let head = format!(
            "SELECT e.record_id AS rule_id, COUNT(DISTINCT k.value) AS n FROM audit_entry AS e \
             CROSS JOIN {findings} WHERE e.action = '{ERRORED}' AND e.at >= "
        );
        let sql = Sql::new(self.dialect, &head).bind(from.0).push(" AND e.at < ").bind(to.0).own(scope, "e");
        let sql = match rule {
            Some(rule) => sql.push(" AND e.record_id = ").bind(rule),
            None => sql,
        };
        sql.push(" GROUP BY e.record_id")
    }

    /// Whoever said otherwise of a field that a rule had spoken of, by rule and speaker. What a scan did is nobody's word.
    fn overrides(&self, scope: &Scope, rule: Option<Uuid>, (from, to): (Timestamp, Timestamp)) -> Sql {
        let (id, name, kind, common, scan) = match self.dialect {
            Dialect::Sqlite => (
                "json_extract(h.actor, '$.id')",
                "json_extract(h.actor, '$.name')",
                "json_extract(h.actor, '$.kind')",
                "SELECT 1 FROM json_each(e.after) AS k JOIN json_each(h.after) AS l ON l.key = k.key",
                "instr",
            ),
            Dialect::Postgres => (
                "CAST(h.actor AS jsonb) ->> 'id'",
                "CAST(h.actor AS jsonb) ->> 'name'",
                "CAST(h.actor AS jsonb) ->> 'kind'",
                "SELECT 1 FROM jsonb_each(CAST(e.after AS jsonb)) AS k JOIN jsonb_each(CAST(h.after AS jsonb)) AS l \
                 ON l.key = k.key",
                "strpos",
            ),
        };
        let head = format!(
            "SELECT e.rule_id, {id} AS speaker, MAX({name}) AS name, COUNT(DISTINCT h.record_id) AS findings \
             FROM audit_entry AS e JOIN audit_entry AS h ON h.record_id = e.record_id AND h.company_id = e.company_id \
             AND h.seq > e.seq AND h.action IN ('finding.updated', 'finding.status_changed') \
             AND {kind} <> 'system' AND {scan}(COALESCE(h.cause, ''), '\"scan\":') = 0 AND h.at >= "
        );
        let sql = Sql::new(self.dialect, &head).bind(from.0).push(" AND h.at < ").bind(to.0);
        let sql = sql.push(&format!(" WHERE e.action = '{APPLIED}' AND e.rule_id "));
        let sql = match rule {
            Some(rule) => sql.push("= ").bind(rule),
            None => sql.push("IS NOT NULL"),
        };
        let sql = sql.own(scope, "e").push(&format!(" AND EXISTS ({common})"));
        sql.push(&format!(" GROUP BY e.rule_id, {id} ORDER BY findings DESC, speaker"))
    }
}
