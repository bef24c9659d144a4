//! Acceptances in the database.

use std::collections::HashMap;

use entity::acceptance::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{Acceptance, AcceptanceEnd, AcceptanceFilter, Terms};
use crate::access::{GLOBAL, Scope};
use crate::error::Result;
use crate::page::{Key, KeyKind, Page, Sort, Window};
use crate::policy::store::WARN_DAYS;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::read_term;
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::{Span, Timestamp};

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("finding_id", Type::Uuid),
    ("reason", Type::Text),
    ("reference", Type::Text),
    ("owner_id", Type::Uuid),
    ("until", Type::BigInt),
    ("accepted_by", Type::Uuid),
    ("accepted_at", Type::BigInt),
    ("request_id", Type::Uuid),
];

pub(super) const FIRST_TO_END: Sort =
    Sort::new("until", &[Key::new("a.until", KeyKind::Int).nullable(), Key::new("a.id", KeyKind::Uuid)]);

/// What acceptances begin and end with a change of findings.
#[derive(Default)]
pub(crate) struct Turned {
    pub begun: Vec<Acceptance>,
    /// The findings whose acceptance ends, and how.
    pub ended: Vec<(Uuid, AcceptanceEnd)>,
}

/// What a company's server has to do about an end date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The acceptance ends.
    End,
    /// Its end is to be warned of.
    Warning,
}

/// A rule whose end date has come, of which a company's findings have yet to hear.
pub(crate) struct Lapse {
    pub company: Uuid,
    pub rule: Uuid,
    pub until: String,
}

fn read(row: &QueryResult) -> Result<Acceptance> {
    let row = Model::from_query_result(row, "")?;
    let how = row.ended_how.map(read_term).transpose()?;
    Ok(Acceptance {
        id: row.id,
        company: row.company_id,
        finding: row.finding_id,
        terms: Terms {
            reason: row.reason,
            reference: row.reference,
            owner: row.owner_id,
            until: row.until.map(Timestamp),
        },
        by: row.accepted_by,
        at: Timestamp(row.accepted_at),
        request: row.request_id,
        warned_at: row.warned_at.map(Timestamp),
        ended: row.ended_at.map(Timestamp).zip(how),
    })
}

/// That an acceptance is not as its company's policy in force asks; never NULL.
const UNLIKE: &str = "EXISTS (SELECT 1 FROM change_policy AS p WHERE p.company_id = a.company_id AND \
                      ((p.accepting_risk AND a.request_id IS NULL) OR (p.acceptance_days IS NOT NULL AND \
                      (a.until IS NULL OR a.until > a.accepted_at + p.acceptance_days * CAST(86400000000 AS BIGINT)))))";

/// `head` of the acceptances of findings in scope that the filter finds.
fn listed(dialect: Dialect, scope: &Scope, filter: &AcceptanceFilter, head: &str) -> Result<Sql> {
    let mut sql = Sql::new(dialect, head)
        .push(" FROM acceptance AS a JOIN finding AS f ON f.id = a.finding_id WHERE a.company_id = ")
        .bind(scope.company()?)
        .covered_finding(scope, "f");
    if let Some(owner) = filter.owner {
        sql = sql.push(" AND a.owner_id = ").bind(owner);
    }
    if let Some(finding) = filter.finding {
        sql = sql.push(" AND a.finding_id = ").bind(finding);
    }
    if let Some(project) = filter.project {
        sql = sql.push(" AND f.project_id = ").bind(project);
    }
    let is_null = |is: bool| if is { " IS NULL" } else { " IS NOT NULL" };
    if let Some(open) = filter.open {
        sql = sql.push(" AND a.ended_at").push(is_null(open));
    }
    if let Some(conforming) = filter.conforming {
        sql = sql.push(if conforming { " AND NOT (" } else { " AND (" }).push(UNLIKE).push(")");
    }
    if let Some(before) = filter.ending_before {
        sql = sql.push(" AND a.until < ").bind(before.0);
    }
    Ok(sql)
}

/// Adds that an acceptance is due at `now`; of a company whose row of `change_policy`, if there is one,
/// is called `p`.
fn due(sql: Sql, due: Due, now: Timestamp) -> Sql {
    match due {
        Due::End => sql.push(" AND a.ended_at IS NULL AND a.until <= ").bind(now.0),
        Due::Warning => sql
            .push(" AND a.ended_at IS NULL AND a.warned_at IS NULL AND a.until > ")
            .bind(now.0)
            .push(" AND a.until <= ")
            .bind(now.0)
            .push(&format!(" + COALESCE(p.warn_days, {WARN_DAYS}) * CAST({} AS BIGINT)", Span::DAY.0)),
    }
}

impl Db {
    pub(super) async fn acceptances(
        &self,
        scope: &Scope,
        filter: &AcceptanceFilter,
        window: &Window,
    ) -> Result<Page<Acceptance>> {
        let head = format!("SELECT a.*{}", key_columns(&window.sort));
        let rows = listed(self.dialect, scope, filter, &head)?.window(window).all(self.read()).await?;
        page(window, &rows, read)
    }

    pub(crate) async fn acceptance_count(&self, scope: &Scope, filter: &AcceptanceFilter) -> Result<i64> {
        listed(self.dialect, scope, filter, "SELECT COUNT(*) AS n")?.count(self.read()).await
    }

    pub(super) async fn acceptance(&self, scope: &Scope, id: Uuid) -> Result<Option<Acceptance>> {
        let sql = listed(self.dialect, scope, &AcceptanceFilter::default(), "SELECT a.*")?;
        let row = sql.push(" AND a.id = ").bind(id).one(self.read()).await?;
        row.as_ref().map(read).transpose()
    }

    /// The open acceptances of these findings, by the finding.
    pub(crate) async fn open_acceptances(
        &self,
        scope: &Scope,
        findings: &[Uuid],
    ) -> Result<HashMap<Uuid, Acceptance>> {
        if findings.is_empty() {
            return Ok(HashMap::new());
        }
        let filter = AcceptanceFilter { open: Some(true), ..AcceptanceFilter::default() };
        let sql = listed(self.dialect, scope, &filter, "SELECT a.*")?.push(" AND ");
        let rows = sql.one_of("a.finding_id", findings.iter().copied()).all(self.read()).await?;
        rows.iter().map(|row| read(row).map(|acceptance| (acceptance.finding, acceptance))).collect()
    }

    /// The companies that have something due: one look at an index for each.
    pub(super) async fn companies_due(&self, scope: &Scope, what: Due, now: Timestamp) -> Result<Vec<Uuid>> {
        debug_assert_eq!(*scope, Scope::System);
        let sql = Sql::new(
            self.dialect,
            "SELECT c.id FROM company AS c LEFT JOIN change_policy AS p ON p.company_id = c.id WHERE \
             EXISTS (SELECT 1 FROM acceptance AS a WHERE a.company_id = c.id",
        );
        let rows = due(sql, what, now).push(") ORDER BY c.id").all(self.read()).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// The first of a company's acceptances whose end date has come.
    pub(super) async fn acceptances_to_end(
        &self,
        scope: &Scope,
        now: Timestamp,
        most: i64,
    ) -> Result<Vec<Acceptance>> {
        let sql = Sql::new(self.dialect, "SELECT a.* FROM acceptance AS a WHERE a.company_id = ");
        let sql = due(sql.bind(scope.company()?), Due::End, now);
        let rows = sql.push(" ORDER BY a.until LIMIT ").bind(most).all(self.read()).await?;
        rows.iter().map(read).collect()
    }

    /// The end dates of rules that have come and of which findings have yet to hear: those of global
    /// rules once for every company.
    pub(super) async fn rules_to_lapse(
        &self,
        scope: &Scope,
        now: Timestamp,
        most: i64,
    ) -> Result<Vec<Lapse>> {
        debug_assert_eq!(*scope, Scope::System);
        let until = match self.dialect {
            Dialect::Sqlite => "json_extract(action, '$.config.until')",
            Dialect::Postgres => "((action::jsonb) #>> '{config,until}')",
        };
        let rows = Sql::new(
            self.dialect,
            "SELECT c.id AS company, r.id AS rule, r.until FROM (SELECT id, company_id, ",
        )
        .push(until)
        .push(" AS until FROM rule WHERE ")
        .push(until)
        .push(" <= ")
        .bind(now.to_string())
        .push(") AS r JOIN company AS c ON (c.id = r.company_id OR r.company_id = ")
        .bind(GLOBAL)
        .push(") WHERE c.id <> ")
        .bind(GLOBAL)
        .push(
            " AND NOT EXISTS (SELECT 1 FROM rule_lapse AS l WHERE l.company_id = c.id AND \
                 l.rule_id = r.id AND l.until = r.until) ORDER BY c.id, r.id LIMIT ",
        )
        .bind(most)
        .all(self.read())
        .await?;
        let lapse = |row: &QueryResult| {
            Ok(Lapse {
                company: row.try_get("", "company")?,
                rule: row.try_get("", "rule")?,
                until: row.try_get("", "until")?,
            })
        };
        rows.iter().map(lapse).collect()
    }
}

impl Tx {
    /// Writes what begins and ends: an acceptance that takes another's place comes after its end.
    pub(crate) async fn turn_acceptances(&self, turned: Turned) -> Result<()> {
        for how in AcceptanceEnd::ALL {
            let ended = turned.ended.iter().filter(|(_, end)| end == how).map(|(finding, _)| *finding);
            let ended: Vec<Uuid> = ended.collect();
            if ended.is_empty() {
                continue;
            }
            self.end("finding_id", &ended, *how).await?;
        }
        if turned.begun.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(COLUMNS, turned.begun.len());
        for Acceptance { id, company, finding, terms, by, at, request, .. } in turned.begun {
            rows.push([
                id.into(),
                company.into(),
                finding.into(),
                terms.reason.into(),
                terms.reference.into(),
                terms.owner.into(),
                terms.until.map(|until| until.0).into(),
                by.into(),
                at.0.into(),
                request.into(),
            ]);
        }
        rows.insert(self.conn(), self.dialect, "acceptance", "").await?;
        Ok(())
    }

    /// Ends these acceptances, where they have not ended: their findings stand elsewhere already.
    pub(super) async fn end_acceptances(&self, ids: &[Uuid], how: AcceptanceEnd) -> Result<()> {
        self.end("id", ids, how).await
    }

    /// Ends the open acceptances of which `column` is one of these.
    async fn end(&self, column: &str, among: &[Uuid], how: AcceptanceEnd) -> Result<()> {
        Sql::new(self.dialect, "UPDATE acceptance SET ended_at = ")
            .bind(self.now().0)
            .push(", ended_how = ")
            .bind(i32::from(how.code()))
            .push(" WHERE ended_at IS NULL AND company_id = ")
            .bind(self.company)
            .push(" AND ")
            .one_of(column, among.iter().copied())
            .run(self.conn())
            .await?;
        Ok(())
    }

    /// The first of the company's acceptances whose end is to be warned of, held against other servers
    /// and marked as warned of.
    pub(super) async fn warn_acceptances(&self, most: i64) -> Result<Vec<Acceptance>> {
        let sql = Sql::new(
            self.dialect,
            "SELECT a.* FROM acceptance AS a LEFT JOIN change_policy AS p ON p.company_id = a.company_id \
             WHERE a.company_id = ",
        );
        let sql = due(sql.bind(self.company), Due::Warning, self.now());
        let sql = sql.push(" ORDER BY a.until, a.id LIMIT ").bind(most);
        let sql = match self.dialect {
            Dialect::Sqlite => sql,
            Dialect::Postgres => sql.push(" FOR NO KEY UPDATE OF a"),
        };
        let rows = sql.all(self.conn()).await?;
        let warned: Vec<Acceptance> = rows.iter().map(read).collect::<Result<_>>()?;
        if warned.is_empty() {
            return Ok(warned);
        }
        Sql::new(self.dialect, "UPDATE acceptance SET warned_at = ")
            .bind(self.now().0)
            .push(" WHERE ")
            .one_of("id", warned.iter().map(|acceptance| acceptance.id))
            .run(self.conn())
            .await?;
        Ok(warned)
    }

    /// Notes that the company's findings hear of the end date of a rule. `false`: another server was
    /// first.
    pub(super) async fn note_lapse(&self, lapse: &Lapse) -> Result<bool> {
        let noted = Sql::new(self.dialect, "INSERT INTO rule_lapse (company_id, rule_id, until) VALUES (")
            .bind(self.company)
            .push(", ")
            .bind(lapse.rule)
            .push(", ")
            .bind(lapse.until.as_str())
            .push(") ON CONFLICT DO NOTHING")
            .run(self.conn())
            .await?;
        Ok(noted.rows_affected() == 1)
    }
}
