//! Sightings in the database. They are columns of the finding and of its series.

use sea_orm::QueryResult;
use uuid::Uuid;

use crate::access::Scope;
use crate::error::Result;
use crate::intake::report::Fingerprint;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::read_term;
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::terms::Status;
use crate::vocabulary::time::Timestamp;

const SIGHTED: &[Column] = &[
    ("id", Type::Uuid),
    ("series_id", Type::Uuid),
    ("present", Type::Bool),
    ("said", Type::BigInt),
    ("last_seen_at", Type::BigInt),
];

const MISSED: &[Column] = &[("id", Type::Uuid), ("present", Type::Bool), ("last_seen_at", Type::BigInt)];

/// Other scans than the one of `cause`, that change findings of its project or make new ones in its
/// series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others<'a> {
    pub project: Uuid,
    pub series: Uuid,
    pub cause: &'a str,
}

/// A series of scans as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub id: Uuid,
    /// When all that is present in it was seen last.
    pub seen_at: Timestamp,
    /// The rules that all that is present in it was passed under then.
    pub rules: Option<Uuid>,
}

impl Series {
    pub const COLUMNS: &str = "id, seen_at, rules";

    pub fn read(row: &QueryResult) -> Result<Self> {
        let seen_at = Timestamp(row.try_get("", "seen_at")?);
        Ok(Self { id: row.try_get("", "id")?, seen_at, rules: row.try_get("", "rules")? })
    }
}

/// What tells whether a finding that is present in a series has to be looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    pub id: Uuid,
    pub fingerprint: Fingerprint,
    pub said: Option<i64>,
    /// When it was seen by itself, whatever its series says.
    pub seen_at: Timestamp,
    pub status: Status,
}

impl Db {
    /// The next findings after `after` that are present in a series, in the order of their ids.
    pub(crate) async fn present_in(
        &self,
        scope: &Scope,
        series: Uuid,
        after: Uuid,
        most: i64,
    ) -> Result<Vec<Present>> {
        let rows = Sql::new(self.dialect, "SELECT id, fingerprint, said, last_seen_at, status FROM finding ")
            .push("WHERE series_id = ")
            .bind(series)
            .push(" AND present AND company_id = ")
            .bind(scope.company()?)
            .push(" AND id > ")
            .bind(after)
            .push(" ORDER BY id LIMIT ")
            .bind(most)
            .all(self.read())
            .await?;
        let read = |row: &QueryResult| {
            Ok(Present {
                id: row.try_get_by_index(0)?,
                fingerprint: row.try_get_by_index(1)?,
                said: row.try_get_by_index(2)?,
                seen_at: Timestamp(row.try_get_by_index(3)?),
                status: read_term(row.try_get_by_index(4)?)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The next findings after `after` that a series saw last, before `at`, that some later scan of
    /// it did not see, and that somebody made active again.
    pub(crate) async fn reopened_in(
        &self,
        scope: &Scope,
        series: Uuid,
        at: Timestamp,
        after: Uuid,
        most: i64,
    ) -> Result<Vec<Uuid>> {
        let rows = Sql::new(self.dialect, "SELECT id FROM finding WHERE series_id = ")
            .bind(series)
            .push(" AND NOT present AND status IN (0, 1, 3) AND company_id = ")
            .bind(scope.company()?)
            .push(" AND last_seen_at < ")
            .bind(at.0)
            .push(" AND id > ")
            .bind(after)
            .push(" ORDER BY id LIMIT ")
            .bind(most)
            .all(self.read())
            .await?;
        rows.iter().map(|row| Ok(row.try_get_by_index(0)?)).collect()
    }

    pub(crate) async fn count_present(&self, scope: &Scope, series: Uuid) -> Result<i64> {
        let row = present_count(self.dialect, scope, series)?.one(self.read()).await?;
        row.map_or(Ok(0), |row| Ok(row.try_get("", "n")?))
    }
}

fn present_count(dialect: Dialect, scope: &Scope, series: Uuid) -> Result<Sql> {
    // The company is asked of the series, so that an index alone has the answer.
    let text = "SELECT COUNT(*) AS n FROM finding WHERE series_id = (SELECT id FROM series WHERE id = ";
    Ok(Sql::new(dialect, text)
        .bind(series)
        .push(" AND company_id = ")
        .bind(scope.company()?)
        .push(") AND present"))
}

impl Tx {
    /// The series as it stands, held until the transaction ends.
    pub(crate) async fn lock_series(&self, series: Uuid) -> Result<Option<Series>> {
        let sql = Sql::new(self.dialect, "SELECT ").push(Series::COLUMNS).push(" FROM series WHERE id = ");
        sql.bind(series).locked().one(self.conn()).await?.as_ref().map(Series::read).transpose()
    }

    /// All that is present in a series was seen at `at`, and was passed under `rules`.
    pub(crate) async fn move_series(&self, series: Uuid, at: Timestamp, rules: Option<Uuid>) -> Result<()> {
        let sql = Sql::new(self.dialect, "UPDATE series SET seen_at = ").bind(at.0).push(", rules = ");
        sql.bind(rules).push(" WHERE id = ").bind(series).run(self.conn()).await?;
        Ok(())
    }

    pub(crate) async fn count_present(&self, scope: &Scope, series: Uuid) -> Result<i64> {
        let row = present_count(self.dialect, scope, series)?.one(self.conn()).await?;
        row.map_or(Ok(0), |row| Ok(row.try_get("", "n")?))
    }

    /// Notes that a scan of `series` saw these findings, what it said of them, and nothing else.
    pub(crate) async fn sight_findings(
        &self,
        series: Uuid,
        at: Timestamp,
        seen: &[(Uuid, i64)],
    ) -> Result<()> {
        let mut rows = Rows::new(SIGHTED, seen.len());
        for (finding, said) in seen {
            rows.push([(*finding).into(), series.into(), true.into(), (*said).into(), at.0.into()]);
        }
        let set = ["series_id", "present", "said", "last_seen_at"];
        let then = "AND finding.last_seen_at <= new.last_seen_at";
        rows.update(self.conn(), self.dialect, "finding", &set, then).await?;
        Ok(())
    }

    /// Notes that these findings were last seen then, and are not present any more.
    pub(crate) async fn miss_findings(&self, missed: &[(Uuid, Timestamp)]) -> Result<()> {
        let mut rows = Rows::new(MISSED, missed.len());
        for (finding, seen_at) in missed {
            rows.push([(*finding).into(), false.into(), seen_at.0.into()]);
        }
        rows.update(self.conn(), self.dialect, "finding", &["present", "last_seen_at"], "").await?;
        Ok(())
    }

    pub(crate) async fn others_changed(&self, of: Others<'_>, seqs: (i64, i64)) -> Result<bool> {
        Ok(others_changed(self.dialect, self.company, of, seqs).one(self.conn()).await?.is_some())
    }
}

impl Db {
    /// Whether another scan changed a finding, by the entries of the ledger after the first and up to the
    /// second of `seqs`.
    pub(crate) async fn others_changed(
        &self,
        scope: &Scope,
        of: Others<'_>,
        seqs: (i64, i64),
    ) -> Result<bool> {
        let sql = others_changed(self.dialect, scope.company()?, of, seqs);
        Ok(sql.one(self.read()).await?.is_some())
    }
}

fn others_changed(
    dialect: Dialect,
    company: Uuid,
    Others { project, series, cause }: Others<'_>,
    (after, until): (i64, i64),
) -> Sql {
    Sql::new(dialect, "SELECT 1 AS n FROM audit_entry AS e WHERE e.company_id = ")
        .bind(company)
        .push(" AND e.seq > ")
        .bind(after)
        .push(" AND e.seq <= ")
        .bind(until)
        .push(" AND e.action IN ('finding.created', 'finding.refreshed', 'finding.status_changed') AND e.cause <> ")
        .bind(cause)
        .push(" AND e.cause LIKE '%\"scan\":\"%' AND EXISTS (SELECT 1 FROM finding AS f WHERE f.id = e.record_id")
        .push(" AND f.project_id = ")
        .bind(project)
        .push(" AND (e.action <> 'finding.created' OR f.series_id = ")
        .bind(series)
        .push(")) LIMIT 1")
}
