//! Expiries in the database.

use entity::rule;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::access::{GLOBAL, Scope};
use crate::error::Result;
use crate::rule::application::store::APPLIED;
use crate::rule::{OnExpiry, Rule, store as rules};
use crate::store::column::write_term;
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::time::Timestamp;

impl Db {
    /// The rules that ended with REVERT and were not seen to yet, each with a company: its own, or for a
    /// global one every company.
    pub(super) async fn rules_to_revert(&self, scope: &Scope, now: Timestamp) -> Result<Vec<(Uuid, Rule)>> {
        debug_assert_eq!(*scope, Scope::System);
        let rows = Sql::new(
            self.dialect,
            "SELECT r.*, c.id AS for_company FROM rule AS r JOIN company AS c ON ",
        )
        .push("(c.id = r.company_id OR r.company_id = ")
        .bind(GLOBAL)
        .push(") AND c.id <> ")
        .bind(GLOBAL)
        .push(" WHERE r.on_expiry = ")
        .bind(write_term(OnExpiry::Revert))
        .push(" AND r.archived_at IS NULL AND r.live_version IS NOT NULL AND r.expires_at <= ")
        .bind(now.0)
        .push(
            " AND NOT EXISTS (SELECT 1 FROM rule_expiry AS x WHERE x.company_id = c.id AND x.rule_id = r.id \
                 AND x.expires_at = r.expires_at) ORDER BY r.expires_at, r.id, c.id LIMIT 100",
        )
        .all(self.read())
        .await?;
        let read = |row: &sea_orm::QueryResult| {
            Ok((row.try_get("", "for_company")?, rules::read(rule::Model::from_query_result(row, "")?)?))
        };
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// Whether the rule ever did anything to a finding of the company.
    pub(super) async fn has_applied(&self, rule: Uuid) -> Result<bool> {
        let sql = Sql::new(self.dialect, "SELECT 1 AS n FROM audit_entry e WHERE e.company_id = ");
        let sql = sql.bind(self.company).push(" AND e.rule_id = ").bind(rule).push(" AND e.action = ");
        Ok(sql.bind(APPLIED).push(" LIMIT 1").one(self.conn()).await?.is_some())
    }

    /// Says that the end of a rule was seen to, by this job if it takes one. `false`: it was before.
    pub(super) async fn see_to_expiry(
        &self,
        rule: Uuid,
        expires_at: Timestamp,
        job: Option<Uuid>,
    ) -> Result<bool> {
        let seen = Sql::new(
            self.dialect,
            "INSERT INTO rule_expiry (company_id, rule_id, expires_at, job_id) VALUES (",
        )
        .bind(self.company)
        .push(", ")
        .bind(rule)
        .push(", ")
        .bind(expires_at.0)
        .push(", ")
        .bind(job)
        .push(") ON CONFLICT DO NOTHING")
        .run(self.conn())
        .await?;
        Ok(seen.rows_affected() == 1)
    }
}
