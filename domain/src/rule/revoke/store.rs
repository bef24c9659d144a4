//! What revokes mean and what came of them, in the database.

use std::collections::{BTreeSet, HashMap};

use sea_orm::QueryResult;
use uuid::Uuid;

use super::listing::{OutcomeFilter, RevokedFinding};
use super::{Judged, Pick, Picks, Revoke, RevokeOutcome};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, Sort, Window};
use crate::rule::application::store::APPLIED;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_term, write_term};
use crate::store::page::{key_columns, place_column, read_keys};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};

const COLUMNS: &[Column] = &[
    ("job_id", Type::Uuid),
    ("place", Type::BigInt),
    ("company_id", Type::Uuid),
    ("finding_id", Type::Uuid),
    ("application", Type::BigInt),
    ("replaced_by", Type::BigInt),
    ("outcome", Type::Int),
    ("restored", Type::Text),
    ("conflicts", Type::Text),
];

/// In the order in which they came out: those that follow come behind those that are there.
pub(super) const ORDER: Sort = Sort::new("outcomes", &[Key::new("o.place", KeyKind::Int)]);

/// What left something of the rule where it was.
const CONFLICTS: &[RevokeOutcome] = &[RevokeOutcome::Partial, RevokeOutcome::Conflict];

/// A turn of the rule on a finding, or a finding that an earlier revoke left in conflict.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turned {
    /// Its place in the walk.
    pub place: i64,
    pub finding: Uuid,
}

/// The findings of these turns, each once.
pub(super) fn findings(turns: &[Turned]) -> Vec<Uuid> {
    turns.iter().map(|turned| turned.finding).collect::<BTreeSet<_>>().into_iter().collect()
}

fn read_turned(row: &QueryResult) -> Result<Turned> {
    Ok(Turned { place: row.try_get("", "place")?, finding: row.try_get("", "finding_id")? })
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// That an entry tells of the rule's turn on a finding.
fn of_rule(sql: Sql, scope: &Scope, revoke: &Revoke) -> Sql {
    let sql = sql.push("e.rule_id = ").bind(revoke.rule).push(" AND e.action = ").bind(APPLIED);
    sql.own(scope, "e")
}

/// That it is one of those that are meant, where these are told by their time.
fn between(mut sql: Sql, revoke: &Revoke) -> Sql {
    sql = sql.push("e.seq <= ").bind(revoke.until);
    if let Picks::Between { from, to } = revoke.picks {
        if let Some(from) = from {
            sql = sql.push(" AND e.at >= ").bind(from.0);
        }
        if let Some(to) = to {
            sql = sql.push(" AND e.at < ").bind(to.0);
        }
    }
    sql
}

impl Db {
    /// The next turns that a revoke may mean, in the order of its walk.
    pub(crate) async fn picks(
        &self,
        scope: &Scope,
        revoke: &Revoke,
        after: Option<i64>,
        most: usize,
    ) -> Result<Vec<Turned>> {
        let after = after.unwrap_or(0);
        let head = "SELECT e.seq AS place, e.record_id AS finding_id FROM audit_entry e WHERE ";
        let turns = || of_rule(Sql::new(self.dialect, head), scope, revoke);
        let sql = match &revoke.picks {
            Picks::Between { .. } => {
                let sql = between(turns().push(" AND e.seq > ").bind(after).push(" AND "), revoke);
                sql.push(" ORDER BY e.seq LIMIT ").bind(limit(most))
            }
            Picks::Named(seqs) => {
                let next = seqs.iter().filter(|seq| **seq > after).take(most);
                let sql = next.fold(turns().push(" AND e.seq IN (0"), |sql, seq| sql.push(", ").bind(*seq));
                sql.push(") ORDER BY e.seq")
            }
            Picks::Conflicts(job) => {
                let head = "SELECT o.place, o.finding_id FROM revoke_outcome o WHERE o.job_id = ";
                let sql = Sql::new(self.dialect, head);
                let sql = sql.bind(*job).own(scope, "o").push(" AND o.place > ").bind(after).push(" AND ");
                sql.one_of_terms("o.outcome", CONFLICTS).push(" ORDER BY o.place LIMIT ").bind(limit(most))
            }
        };
        sql.all(self.read()).await?.iter().map(read_turned).collect()
    }

    /// How many findings a revoke means.
    pub(crate) async fn count_picks(&self, scope: &Scope, revoke: &Revoke) -> Result<i64> {
        let sql = match &revoke.picks {
            Picks::Named(seqs) => return Ok(limit(seqs.len())),
            Picks::Between { .. } => {
                let count = "SELECT COUNT(DISTINCT e.record_id) AS n FROM audit_entry e WHERE ";
                between(of_rule(Sql::new(self.dialect, count), scope, revoke).push(" AND "), revoke)
            }
            Picks::Conflicts(job) => {
                let count = "SELECT COUNT(*) AS n FROM revoke_outcome o WHERE o.job_id = ";
                Sql::new(self.dialect, count)
                    .bind(*job)
                    .own(scope, "o")
                    .push(" AND ")
                    .one_of_terms("o.outcome", CONFLICTS)
            }
        };
        sql.count(self.read()).await
    }

    /// Of each of these turns that is the newest one meant on its finding: which application is meant
    /// there, and which is the newest of all.
    pub(crate) async fn newest_turns(
        &self,
        scope: &Scope,
        revoke: &Revoke,
        turns: &[Turned],
        findings: &[Uuid],
    ) -> Result<Vec<Pick>> {
        let sql = Sql::new(self.dialect, "SELECT e.record_id, MAX(e.seq) AS newest, MAX(CASE WHEN ");
        let sql = between(sql, revoke).push(" THEN e.seq END) AS meant FROM audit_entry e WHERE ");
        // By their findings, whatever a planner thinks of an index on rules or companies.
        let sql = sql.one_of("e.record_id", findings.iter().copied()).own_too(scope, "e");
        let sql = sql.push(" AND (e.rule_id = ").bind(revoke.rule).push(") IS TRUE AND e.action = ");
        let rows = sql.bind(APPLIED).push(" GROUP BY e.record_id").all(self.read()).await?;
        let mut newest: HashMap<Uuid, (i64, Option<i64>)> = HashMap::new();
        for row in rows {
            let (newest_of_all, meant) = (row.try_get("", "newest")?, row.try_get("", "meant")?);
            newest.insert(row.try_get("", "record_id")?, (newest_of_all, meant));
        }
        let pick = |turned: &Turned| {
            let (newest, meant) = *newest.get(&turned.finding)?;
            let application = match revoke.picks {
                Picks::Between { .. } => meant.filter(|meant| *meant == turned.place)?,
                Picks::Named(_) => turned.place,
                Picks::Conflicts(_) => meant?,
            };
            Some(Pick { finding: turned.finding, application, newest })
        };
        Ok(turns.iter().filter_map(pick).collect())
    }

    /// A page of what came of each of these revokes, in the order in which it did.
    pub(super) async fn revoke_outcomes(
        &self,
        scope: &Scope,
        jobs: &[Uuid],
        filter: &OutcomeFilter,
        window: &Window,
    ) -> Result<HashMap<Uuid, Page<RevokedFinding>>> {
        let (keys, numbers) = (key_columns(&window.sort), place_column(window, "o.job_id"));
        let head = format!(
            "SELECT * FROM (SELECT o.job_id, o.company_id, o.finding_id, o.application, o.replaced_by, \
             o.outcome, o.restored, o.conflicts{keys}{numbers} FROM revoke_outcome o WHERE "
        );
        let sql = filtered(Sql::new(self.dialect, &head).one_of("o.job_id", jobs.iter().copied()), filter);
        let mut found: HashMap<Uuid, Vec<_>> = HashMap::new();
        for row in sql.own(scope, "o").windows(window).all(self.read()).await? {
            let outcome = read(&row)?;
            found.entry(outcome.job).or_default().push((read_keys(&window.sort, &row)?, outcome));
        }
        Ok(found.into_iter().map(|(job, rows)| (job, window.page(rows))).collect())
    }

    pub(super) async fn revoke_outcome_counts(
        &self,
        scope: &Scope,
        jobs: &[Uuid],
        filter: &OutcomeFilter,
    ) -> Result<HashMap<Uuid, i64>> {
        let sql = Sql::new(self.dialect, "SELECT o.job_id, COUNT(*) AS n FROM revoke_outcome o WHERE ");
        let sql = filtered(sql.one_of("o.job_id", jobs.iter().copied()), filter).own(scope, "o");
        let rows = sql.push(" GROUP BY o.job_id").all(self.read()).await?;
        rows.iter().map(|row| Ok((row.try_get("", "job_id")?, row.try_get("", "n")?))).collect()
    }
}

fn filtered(mut sql: Sql, filter: &OutcomeFilter) -> Sql {
    if !filter.outcomes.is_empty() {
        sql = sql.push(" AND ").one_of_terms("o.outcome", &filter.outcomes);
    }
    if let Some(finding) = filter.finding {
        sql = sql.push(" AND o.finding_id = ").bind(finding);
    }
    sql
}

fn read(row: &QueryResult) -> Result<RevokedFinding> {
    let list = |name: &str| -> Result<String> { Ok(row.try_get("", name)?) };
    Ok(RevokedFinding {
        job: row.try_get("", "job_id")?,
        company: row.try_get("", "company_id")?,
        finding: row.try_get("", "finding_id")?,
        application: row.try_get("", "application")?,
        replaced_by: row.try_get("", "replaced_by")?,
        outcome: read_term(row.try_get("", "outcome")?)?,
        restored: serde_json::from_str(&list("restored")?).map_err(Error::internal)?,
        conflicts: serde_json::from_str(&list("conflicts")?).map_err(Error::internal)?,
    })
}

impl Tx {
    /// The number of the newest audit entry of the transaction's company.
    pub(crate) async fn audit_seq(&self) -> Result<i64> {
        let sql = Sql::new(self.dialect, "SELECT audit_seq AS n FROM ledger_head WHERE company_id = ");
        sql.bind(self.company).count(self.conn()).await
    }

    /// Keeps what came of findings, behind the `done` that came out before.
    pub(super) async fn keep_outcomes(&self, job: Uuid, done: i64, judged: &[(Pick, Judged)]) -> Result<()> {
        let mut rows = Rows::new(COLUMNS, judged.len());
        for ((pick, judged), place) in judged.iter().zip(done + 1..) {
            let replaced = (pick.newest != pick.application).then_some(pick.newest);
            rows.push([
                job.into(),
                place.into(),
                self.company.into(),
                pick.finding.into(),
                pick.application.into(),
                replaced.into(),
                write_term(judged.outcome).into(),
                serde_json::to_string(&judged.restored).map_err(Error::internal)?.into(),
                serde_json::to_string(&judged.conflicts).map_err(Error::internal)?.into(),
            ]);
        }
        rows.insert(self.conn(), self.dialect, "revoke_outcome", "").await?;
        Ok(())
    }
}
