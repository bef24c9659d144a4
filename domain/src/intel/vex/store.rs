//! VEX statements in the database.

use sea_orm::QueryResult;
use uuid::Uuid;

use super::query::{Listed, VexFilter};
use super::{Said, Statement, Statements};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::intake::report::Fingerprint;
use crate::intake::text;
use crate::job::JobState;
use crate::page::{Key, KeyKind, Page, PageArgs, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

const STATEMENT: &[Column] = &[
    ("company_id", Type::Uuid),
    ("project_id", Type::Uuid),
    ("vulnerability", Type::Text),
    ("series_id", Type::Uuid),
    ("statement_key", Type::Uuid),
    ("said", Type::Text),
    ("said_at", Type::BigInt),
    ("seen_at", Type::BigInt),
    ("scan_id", Type::Uuid),
    ("changed_by", Type::Uuid),
];

/// How many names of vulnerabilities one statement asks for.
const ASKED: usize = 10_000;
/// How many names findings are told of at a time.
const NAMES: i64 = 500;
/// How many statements are withdrawn at a time.
const WITHDRAWN: i64 = 2_000;

const BY_NAME: Sort = Sort::new(
    "vulnerability",
    &[
        Key::new("v.vulnerability", KeyKind::Text),
        Key::new("v.project_id", KeyKind::Uuid),
        Key::new("v.series_id", KeyKind::Uuid),
        Key::new("v.statement_key", KeyKind::Uuid),
    ],
);

/// A statement of a document under one name of its vulnerability.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub vulnerability: String,
    pub key: Fingerprint,
    pub said: String,
    pub said_at: Timestamp,
}

/// The document that statements are of, and the import that takes it in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document {
    pub project: Uuid,
    pub series: Uuid,
    pub scan: Uuid,
    pub scanned_at: Timestamp,
    pub job: Uuid,
}

/// What findings have yet to hear of: what this import changed, and what one did that has ended.
fn untold(sql: Sql, job: Uuid) -> Sql {
    sql.push(" AND v.changed_by IS NOT NULL AND (v.changed_by = ")
        .bind(job)
        .push(" OR NOT EXISTS (SELECT 1 FROM job AS j WHERE j.id = v.changed_by AND j.state < ")
        .bind(i32::from(JobState::Completed.code()))
        .push("))")
}

impl Db {
    /// The projects of the scope's company that have statements.
    pub(crate) async fn vex_projects(&self, scope: &Scope) -> Result<Vec<Uuid>> {
        let rows = Sql::new(self.dialect, "SELECT p.id FROM project AS p WHERE p.company_id = ")
            .bind(scope.company()?)
            .push(
                " AND EXISTS (SELECT 1 FROM vex_statement AS v WHERE v.company_id = p.company_id \
                 AND v.project_id = p.id)",
            )
            .all(self.read())
            .await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// Adds what is said of these vulnerabilities in a project.
    pub(crate) async fn vex_statements_of(
        &self,
        scope: &Scope,
        project: Uuid,
        vulnerabilities: &[&str],
        statements: &mut Statements,
    ) -> Result<()> {
        for some in vulnerabilities.chunks(ASKED) {
            let head = "SELECT v.vulnerability, v.series_id, v.statement_key, v.said, v.said_at \
                        FROM vex_statement AS v WHERE v.company_id = ";
            let rows = Sql::new(self.dialect, head)
                .bind(scope.company()?)
                .push(" AND v.project_id = ")
                .bind(project)
                .push(" AND v.said IS NOT NULL AND ")
                .one_of_texts("v.vulnerability", some.iter().copied())
                .all(self.read())
                .await?;
            for row in &rows {
                statements.add(project, row.try_get("", "vulnerability")?, statement(row)?);
            }
        }
        Ok(())
    }

    /// The next names of vulnerabilities of which findings have yet to hear something, from `from`
    /// on, or behind it.
    pub(crate) async fn vex_untold(
        &self,
        scope: &Scope,
        (project, job): (Uuid, Uuid),
        (from, behind): (&str, bool),
    ) -> Result<Vec<String>> {
        let head = "SELECT DISTINCT v.vulnerability FROM vex_statement AS v WHERE v.company_id = ";
        let sql = Sql::new(self.dialect, head).bind(scope.company()?);
        let sql = sql.push(" AND v.project_id = ").bind(project).push(" AND v.vulnerability ");
        let sql = sql.push(if behind { "> " } else { ">= " }).bind(from);
        let sql = untold(sql, job).push(" ORDER BY v.vulnerability LIMIT ").bind(NAMES);
        sql.all(self.read()).await?.iter().map(|row| Ok(row.try_get("", "vulnerability")?)).collect()
    }
}

fn listed(sql: Sql, scope: &Scope, filter: &VexFilter) -> Sql {
    let sql = sql.push(" FROM vex_statement AS v WHERE v.said IS NOT NULL").own(scope, "v");
    let mut sql = sql.covered_project(scope, "v.project_id");
    if let Some(project) = filter.project {
        sql = sql.push(" AND v.project_id = ").bind(project);
    }
    if let Some(name) = &filter.vulnerability {
        sql = sql.push(" AND v.vulnerability = ").bind(text::vulnerability(name));
    }
    sql
}

impl Db {
    pub(crate) async fn vex_page(
        &self,
        scope: &Scope,
        filter: &VexFilter,
        args: &PageArgs,
    ) -> Result<Page<Listed>> {
        let window = Window::new(args, BY_NAME)?;
        let sql = Sql::new(self.dialect, "SELECT v.*").push(&key_columns(&BY_NAME));
        let rows = listed(sql, scope, filter).window(&window).all(self.read()).await?;
        page(&window, &rows, |row| {
            Ok(Listed {
                project: row.try_get("", "project_id")?,
                vulnerability: row.try_get("", "vulnerability")?,
                said: said(row)?,
                said_at: Timestamp(row.try_get("", "said_at")?),
                scan: row.try_get("", "scan_id")?,
            })
        })
    }

    pub(crate) async fn vex_count(&self, scope: &Scope, filter: &VexFilter) -> Result<i64> {
        listed(Sql::new(self.dialect, "SELECT COUNT(*) AS n"), scope, filter).count(self.read()).await
    }
}

fn said(row: &QueryResult) -> Result<Said> {
    serde_json::from_str(&row.try_get::<String>("", "said")?).map_err(Error::internal)
}

fn statement(row: &QueryResult) -> Result<Statement> {
    Ok(Statement {
        series: row.try_get("", "series_id")?,
        key: row.try_get("", "statement_key")?,
        said_at: Timestamp(row.try_get("", "said_at")?),
        said: said(row)?,
    })
}

impl Tx {
    /// Writes what a document says. What a later document of the series said stays.
    pub(crate) async fn write_vex(&self, document: &Document, said: &[Row]) -> Result<()> {
        let mut rows = Rows::new(STATEMENT, said.len());
        for row in said {
            rows.push([
                self.company.into(),
                document.project.into(),
                row.vulnerability.as_str().into(),
                document.series.into(),
                row.key.into(),
                row.said.as_str().into(),
                row.said_at.0.into(),
                document.scanned_at.0.into(),
                document.scan.into(),
                document.job.into(),
            ]);
        }
        let then = "ON CONFLICT (company_id, project_id, vulnerability, series_id, statement_key) DO UPDATE \
                    SET said = excluded.said, said_at = excluded.said_at, seen_at = excluded.seen_at, \
                    scan_id = excluded.scan_id, changed_by = CASE WHEN vex_statement.said = excluded.said \
                    AND vex_statement.said_at = excluded.said_at THEN vex_statement.changed_by \
                    ELSE excluded.changed_by END WHERE vex_statement.seen_at <= excluded.seen_at";
        rows.insert(self.conn(), self.dialect, "vex_statement", then).await?;
        Ok(())
    }

    /// Withdraws some of what the series said before and a complete document does not name. `false`:
    /// nothing was left.
    pub(crate) async fn withdraw_vex(&self, document: &Document) -> Result<bool> {
        let key = "company_id, project_id, vulnerability, series_id, statement_key";
        let withdrawn = Sql::new(self.dialect, "UPDATE vex_statement SET said = NULL, changed_by = ")
            .bind(document.job)
            .push(&format!(" WHERE ({key}) IN (SELECT {key} FROM vex_statement WHERE company_id = "))
            .bind(self.company)
            .push(" AND project_id = ")
            .bind(document.project)
            .push(" AND series_id = ")
            .bind(document.series)
            .push(" AND scan_id <> ")
            .bind(document.scan)
            .push(" AND seen_at < ")
            .bind(document.scanned_at.0)
            .push(" AND said IS NOT NULL LIMIT ")
            .bind(WITHDRAWN)
            .push(")")
            .run(self.conn())
            .await?;
        Ok(withdrawn.rows_affected() > 0)
    }

    /// Notes that findings have heard of these vulnerabilities, and forgets what was withdrawn.
    pub(crate) async fn vex_told(&self, (project, job): (Uuid, Uuid), names: &[String]) -> Result<()> {
        let these = |head: &str| {
            let sql = Sql::new(self.dialect, head).push(" WHERE v.company_id = ").bind(self.company);
            let sql = sql.push(" AND v.project_id = ").bind(project).push(" AND ");
            untold(sql.one_of_texts("v.vulnerability", names.iter().map(String::as_str)), job)
        };
        let forget = these("DELETE FROM vex_statement AS v").push(" AND v.said IS NULL");
        forget.run(self.conn()).await?;
        these("UPDATE vex_statement AS v SET changed_by = NULL").run(self.conn()).await?;
        Ok(())
    }
}
