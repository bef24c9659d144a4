//! Change policies in the database.

use std::collections::HashSet;

use entity::change_policy::Model;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::{Kept, Policy};
use crate::access::Scope;
use crate::error::Result;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::time::Timestamp;

/// How many days before its end an acceptance is warned of where the company says nothing.
pub(crate) const WARN_DAYS: i32 = 14;

const COLUMNS: &[Column] = &[
    ("company_id", Type::Uuid),
    ("accepting_risk", Type::Bool),
    ("false_positive", Type::Bool),
    ("lowering_critical", Type::Bool),
    ("rules", Type::Bool),
    ("share", Type::Double),
    ("findings", Type::BigInt),
    ("quorum", Type::Int),
    ("deadline_hours", Type::Int),
    ("reminder_hours", Type::Int),
    ("warn_days", Type::Int),
    ("acceptance_days", Type::Int),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

/// The names of what a policy says, in the order of its columns.
pub(crate) fn members() -> impl Iterator<Item = &'static str> {
    let about = ["company_id", "updated_at", "version"];
    COLUMNS.iter().map(|(name, _)| *name).filter(move |name| !about.contains(name))
}

fn read(row: Model) -> Kept {
    Kept {
        company: row.company_id,
        policy: Policy {
            accepting_risk: row.accepting_risk,
            false_positive: row.false_positive,
            lowering_critical: row.lowering_critical,
            rules: row.rules,
            share: row.share,
            findings: row.findings,
            quorum: row.quorum,
            deadline_hours: row.deadline_hours,
            reminder_hours: row.reminder_hours,
            warn_days: row.warn_days,
            acceptance_days: row.acceptance_days,
        },
        updated_at: Some(Timestamp(row.updated_at)),
        version: row.version,
    }
}

impl Db {
    /// The rules of which a second person agreed to what is live.
    pub(super) async fn rules_agreed_to(&self, scope: &Scope) -> Result<HashSet<Uuid>> {
        let sql = Sql::new(
            self.dialect,
            "SELECT r.id FROM rule AS r JOIN rule_version AS v ON v.rule_id = r.id AND \
             v.version = r.live_version WHERE v.approval_id IS NOT NULL",
        );
        let rows = sql.own_or_global(scope, "r").all(self.read()).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// The policy in force for the scope's company.
    pub(crate) async fn change_policy(&self, scope: &Scope) -> Result<Kept> {
        let company = scope.company()?;
        let sql = Sql::new(self.dialect, "SELECT p.* FROM change_policy AS p WHERE p.company_id = ");
        let row = sql.bind(company).one(self.read()).await?;
        let none = Kept { company, policy: Policy::default(), updated_at: None, version: 0 };
        row.map_or(Ok(none), |row| Ok(read(Model::from_query_result(&row, "")?)))
    }
}

impl Tx {
    /// The policy in force for the scope's company, as the transaction sees it.
    pub(crate) async fn policy_in_force(&self, scope: &Scope) -> Result<Policy> {
        let sql = Sql::new(self.dialect, "SELECT p.* FROM change_policy AS p WHERE p.company_id = ");
        let row = sql.bind(scope.company()?).one(self.conn()).await?;
        row.map_or(Ok(Policy::default()), |row| Ok(read(Model::from_query_result(&row, "")?).policy))
    }

    /// The company's policy, held until the transaction ends; none where it never set one.
    pub(crate) async fn lock_change_policy(&self) -> Result<Option<Kept>> {
        let sql = Sql::new(self.dialect, "SELECT p.* FROM change_policy AS p WHERE p.company_id = ");
        let row = sql.bind(self.company).locked().one(self.conn()).await?;
        row.map(|row| Ok(read(Model::from_query_result(&row, "")?))).transpose()
    }

    /// Writes the policy: as the first, or in the place of the one before.
    pub(super) async fn write_change_policy(&self, kept: &Kept) -> Result<()> {
        let policy = &kept.policy;
        let mut rows = Rows::new(COLUMNS, 1);
        rows.push([
            kept.company.into(),
            policy.accepting_risk.into(),
            policy.false_positive.into(),
            policy.lowering_critical.into(),
            policy.rules.into(),
            policy.share.into(),
            policy.findings.into(),
            policy.quorum.into(),
            policy.deadline_hours.into(),
            policy.reminder_hours.into(),
            policy.warn_days.into(),
            policy.acceptance_days.into(),
            self.now().0.into(),
            kept.version.into(),
        ]);
        if kept.version == 1 {
            rows.insert(self.conn(), self.dialect, "change_policy", "").await?;
        } else {
            let set: Vec<&str> = COLUMNS[1..].iter().map(|(name, _)| *name).collect();
            rows.update(self.conn(), self.dialect, "change_policy", &set, "").await?;
        }
        Ok(())
    }
}
