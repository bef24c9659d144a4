//! Scans in the database, and the series of which they are a part.

use sea_orm::QueryResult;
use uuid::Uuid;

use super::{Scan, ScanFilter, ScanStatus, SeverityTotals};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::finding::sighting::store::Series;
use crate::intake::census::SeverityCounts;
use crate::page::{Key, KeyKind, Page, PageArgs, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_term, write_term};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::terms::{Severity, Term};
use crate::vocabulary::time::Timestamp;

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("project_id", Type::Uuid),
    ("series_id", Type::Uuid),
    ("job_id", Type::Uuid),
    ("scanner", Type::Text),
    ("format", Type::Text),
    ("name", Type::Text),
    ("status", Type::Int),
    ("complete", Type::Bool),
    ("scanned_at", Type::BigInt),
    ("info", Type::BigInt),
    ("low", Type::BigInt),
    ("medium", Type::BigInt),
    ("high", Type::BigInt),
    ("critical", Type::BigInt),
    ("urgent", Type::BigInt),
    ("total", Type::BigInt),
    ("error", Type::Text),
    ("archived_at", Type::BigInt),
    ("created_at", Type::BigInt),
    ("finished_at", Type::BigInt),
    ("version", Type::BigInt),
];

const NEWEST: Sort = Sort::new(
    "created",
    &[Key::new("s.created_at", KeyKind::Int).descending(), Key::new("s.id", KeyKind::Uuid).descending()],
);

fn read(row: &QueryResult) -> Result<Scan> {
    let mut totals = SeverityTotals::default();
    for severity in Severity::ALL {
        totals.0[usize::from(severity.code())] = row.try_get("", severity.word())?;
    }
    let time = |name| row.try_get::<Option<i64>>("", name).map(|at| at.map(Timestamp));
    Ok(Scan {
        id: row.try_get("", "id")?,
        company: row.try_get("", "company_id")?,
        project: row.try_get("", "project_id")?,
        series: row.try_get("", "series_id")?,
        job: row.try_get("", "job_id")?,
        scanner: row.try_get("", "scanner")?,
        format: row.try_get("", "format")?,
        name: row.try_get("", "name")?,
        status: read_term(row.try_get("", "status")?)?,
        complete: row.try_get("", "complete")?,
        scanned_at: Timestamp(row.try_get("", "scanned_at")?),
        totals,
        error: row.try_get("", "error")?,
        archived_at: time("archived_at")?,
        created_at: Timestamp(row.try_get("", "created_at")?),
        finished_at: time("finished_at")?,
        version: row.try_get("", "version")?,
    })
}

fn matching(sql: Sql, scope: &Scope, filter: &ScanFilter) -> Sql {
    let mut sql =
        sql.push(" FROM scan AS s WHERE 1 = 1").own(scope, "s").covered_project(scope, "s.project_id");
    if let Some(project) = filter.project {
        sql = sql.push(" AND s.project_id = ").bind(project);
    }
    if !filter.statuses.is_empty() {
        sql = sql.push(" AND ").one_of_terms("s.status", &filter.statuses);
    }
    if !filter.archived {
        sql = sql.push(" AND s.archived_at IS NULL");
    }
    sql
}

const ALL: ScanFilter = ScanFilter { project: None, statuses: Vec::new(), archived: true };

/// How many of a project's last scans are looked through for one of the same name.
const LATELY: i64 = 100;

impl Db {
    /// The series that a report most likely belongs to, before its scanner is known: the one seen last
    /// of those called `named`; without that, the one of the last scan under the name of the report.
    pub(crate) async fn likely_series(
        &self,
        scope: &Scope,
        project: Uuid,
        named: Option<&str>,
        report: &str,
    ) -> Result<Option<Series>> {
        let sql =
            Sql::new(self.dialect, "SELECT ").push(Series::COLUMNS).push(" FROM series WHERE company_id = ");
        let sql = sql.bind(scope.company()?).push(" AND project_id = ").bind(project);
        let sql = match named {
            Some(name) => sql.push(" AND name = ").bind(name).push(" ORDER BY seen_at DESC LIMIT 1"),
            None => sql
                .push(" AND id = (SELECT series_id FROM (SELECT series_id, name, created_at FROM scan ")
                .push("WHERE project_id = ")
                .bind(project)
                .push(" ORDER BY created_at DESC LIMIT ")
                .bind(LATELY)
                .push(") AS s WHERE series_id IS NOT NULL AND name = ")
                .bind(report)
                .push(" ORDER BY created_at DESC LIMIT 1)"),
        };
        sql.one(self.read()).await?.as_ref().map(Series::read).transpose()
    }

    pub(crate) async fn scan(&self, scope: &Scope, id: Uuid) -> Result<Option<Scan>> {
        Ok(self.scans_by_id(scope, &[id]).await?.pop())
    }

    pub(crate) async fn scans_by_id(&self, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Scan>> {
        let sql = matching(Sql::new(self.dialect, "SELECT s.*"), scope, &ALL);
        let rows = sql.push(" AND ").one_of("s.id", ids.iter().copied()).all(self.read()).await?;
        rows.iter().map(read).collect()
    }

    /// The newest finished scan of each of these series.
    pub(crate) async fn newest_scans(&self, scope: &Scope, series: &[Uuid]) -> Result<Vec<Scan>> {
        let place = "SELECT * FROM (SELECT s.*, ROW_NUMBER() OVER \
                     (PARTITION BY s.series_id ORDER BY s.scanned_at DESC, s.id DESC) AS place";
        let sql = matching(Sql::new(self.dialect, place), scope, &ALL).push(" AND ");
        let sql = sql.one_of("s.series_id", series.iter().copied()).push(" AND ");
        let rows = sql.one_of_terms("s.status", &[ScanStatus::Finished]).push(") AS s WHERE place = 1");
        rows.all(self.read()).await?.iter().map(read).collect()
    }

    pub(crate) async fn scans(
        &self,
        scope: &Scope,
        filter: &ScanFilter,
        args: &PageArgs,
    ) -> Result<Page<Scan>> {
        let window = Window::new(args, NEWEST)?;
        let sql = Sql::new(self.dialect, "SELECT s.*").push(&key_columns(&NEWEST));
        let rows = matching(sql, scope, filter).window(&window).all(self.read()).await?;
        page(&window, &rows, read)
    }

    /// When the newest finished scan of a project looked, and whether one is being stored. What is of one of `formats` is no scan,
    /// and what was put away does not count.
    pub(crate) async fn last_look(
        &self,
        scope: &Scope,
        project: Uuid,
        formats: &[&str],
    ) -> Result<(Option<Timestamp>, bool)> {
        let filter = ScanFilter { project: Some(project), ..ScanFilter::default() };
        let head = Sql::new(self.dialect, "SELECT MAX(CASE WHEN s.status = ")
            .bind(write_term(ScanStatus::Finished))
            .push(" THEN s.scanned_at END) AS looked, COUNT(CASE WHEN s.status = ")
            .bind(write_term(ScanStatus::Running))
            .push(" THEN 1 END) AS running");
        let sql = matching(head, scope, &filter).push(" AND (s.format IS NULL OR NOT (");
        let row = sql.one_of_texts("s.format", formats.iter().copied()).push("))").one(self.read()).await?;
        let row = row.ok_or_else(|| Error::internal("a statement that counts has a row"))?;
        let looked: Option<i64> = row.try_get("", "looked")?;
        Ok((looked.map(Timestamp), row.try_get::<i64>("", "running")? > 0))
    }

    pub(crate) async fn scan_count(&self, scope: &Scope, filter: &ScanFilter) -> Result<i64> {
        matching(Sql::new(self.dialect, "SELECT COUNT(*) AS n"), scope, filter).count(self.read()).await
    }
}

impl Tx {
    /// The scan, held until the transaction ends.
    pub(crate) async fn lock_scan(&self, scope: &Scope, id: Uuid) -> Result<Option<Scan>> {
        let sql = matching(Sql::new(self.dialect, "SELECT s.*"), scope, &ALL);
        let row = sql.push(" AND s.id = ").bind(id).locked().one(self.conn()).await?;
        row.as_ref().map(read).transpose()
    }

    /// Writes a scan, new or changed.
    pub(crate) async fn write_scan(&self, scan: &Scan) -> Result<()> {
        let totals = |severity| scan.totals.of(severity).into();
        let mut rows = Rows::new(COLUMNS, 1);
        rows.push([
            scan.id.into(),
            scan.company.into(),
            scan.project.into(),
            scan.series.into(),
            scan.job.into(),
            scan.scanner.clone().into(),
            scan.format.clone().into(),
            scan.name.as_str().into(),
            write_term(scan.status).into(),
            scan.complete.into(),
            scan.scanned_at.0.into(),
            totals(Severity::Info),
            totals(Severity::Low),
            totals(Severity::Medium),
            totals(Severity::High),
            totals(Severity::Critical),
            totals(Severity::Urgent),
            scan.totals.total().into(),
            scan.error.clone().into(),
            scan.archived_at.map(|at| at.0).into(),
            scan.created_at.0.into(),
            scan.finished_at.map(|at| at.0).into(),
            scan.version.into(),
        ]);
        if scan.version == 1 {
            rows.insert(self.conn(), self.dialect, "scan", "").await?;
        } else {
            rows.update(self.conn(), self.dialect, "scan", &["name", "archived_at", "version"], "").await?;
        }
        Ok(())
    }

    /// The series of this name, made if it is new.
    pub(crate) async fn ensure_series(
        &self,
        id: Uuid,
        project: Uuid,
        scanner: &str,
        name: &str,
    ) -> Result<Series> {
        let row = Sql::new(
            self.dialect,
            "INSERT INTO series (id, company_id, project_id, scanner, name, seen_at, created_at) VALUES (",
        )
        .bind(id)
        .push(", ")
        .bind(self.company)
        .push(", ")
        .bind(project)
        .push(", ")
        .bind(scanner)
        .push(", ")
        .bind(name)
        .push(", ")
        // Nothing is present in it, so nothing was seen with it.
        .bind(i64::MIN)
        .push(", ")
        .bind(self.now().0)
        // An update that changes nothing, so that the row that is there already is returned.
        .push(") ON CONFLICT (company_id, project_id, scanner, name) DO UPDATE SET name = excluded.name RETURNING ")
        .push(Series::COLUMNS)
        .one(self.conn())
        .await?
        .ok_or_else(|| Error::internal("a series was neither found nor made"))?;
        Series::read(&row)
    }

    /// Writes into a scan what the check of its report found.
    pub(crate) async fn open_scan(
        &self,
        scan: Uuid,
        series: Uuid,
        (scanner, format): (&str, &str),
        scanned_at: Timestamp,
        counts: &SeverityCounts,
    ) -> Result<()> {
        let mut sql = Sql::new(self.dialect, "UPDATE scan SET status = ")
            .bind(write_term(ScanStatus::Running))
            .push(", series_id = ")
            .bind(series)
            .push(", scanner = ")
            .bind(scanner)
            .push(", format = ")
            .bind(format)
            .push(", scanned_at = ")
            .bind(scanned_at.0)
            .push(", total = ")
            .bind(i64::try_from(counts.total()).unwrap_or(i64::MAX));
        for (severity, count) in counts.iter() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            sql = sql.push(&format!(", {severity} = ")).bind(count);
        }
        sql.push(" WHERE id = ").bind(scan).run(self.conn()).await?;
        Ok(())
    }

    pub(crate) async fn end_scan(&self, scan: Uuid, status: ScanStatus, error: Option<&str>) -> Result<()> {
        Sql::new(self.dialect, "UPDATE scan SET status = ")
            .bind(write_term(status))
            .push(", error = ")
            .bind(error.map(str::to_owned))
            .push(", finished_at = ")
            .bind(self.now().0)
            .push(" WHERE id = ")
            .bind(scan)
            .run(self.conn())
            .await?;
        Ok(())
    }
}
