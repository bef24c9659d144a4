//! Facts, feeds and the index from CVEs to findings, in the database.

use std::collections::HashMap;

use sea_orm::{QueryResult, Value};
use uuid::Uuid;

use super::fact::{Fact, Known};
use super::feed::Feed;
use super::standing::Standing;
use crate::access::{GLOBAL, Scope};
use crate::error::{Error, Result};
use crate::job::JobState;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_term, write_term};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::{Span, Timestamp};

const FACT: &[Column] = &[
    ("company_id", Type::Uuid),
    ("feed", Type::Int),
    ("cve_id", Type::Text),
    ("fact", Type::Text),
    ("load", Type::BigInt),
];

const NAMED: &[Column] = &[("company_id", Type::Uuid), ("cve_id", Type::Text), ("finding_id", Type::Uuid)];

/// How many facts one statement writes: as many as its values fit.
pub(crate) const FACTS: usize = 32_766 / FACT.len();

/// How many CVE ids one statement asks for.
const ASKED: usize = 10_000;

/// A CVE with what a feed now says of it; `None`: it has withdrawn what it said.
pub(crate) type Said = (String, Option<String>);

/// The load of a feed that a job has taken up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Its number.
    pub load: i64,
    /// The number of the last load of which all findings have heard.
    pub informed: i64,
}

/// What a server has to know to ask for a feed again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub etag: Option<String>,
    pub modified: Option<String>,
    pub failures: i32,
    pub source: Option<String>,
}

impl Db {
    /// Whether any feed has been loaded for the scope's company, or for all.
    pub(crate) async fn any_feed_loaded(&self, scope: &Scope) -> Result<bool> {
        let row = Sql::new(self.dialect, "SELECT 1 AS n FROM feed_state AS k WHERE k.loads > 0")
            .own_or_global(scope, "k")
            .push(" LIMIT 1")
            .one(self.read())
            .await?;
        Ok(row.is_some())
    }

    /// What is known of these CVEs: the company's own word before the global one.
    pub(crate) async fn facts(&self, scope: &Scope, cves: &[&str]) -> Result<Known> {
        let mut known = Known::default();
        for some in cves.chunks(ASKED) {
            let head = "SELECT k.company_id, k.feed, k.cve_id, k.fact FROM cve_fact AS k WHERE ";
            // The key of the table begins with the company and the feed: all are named.
            let rows = Sql::new(self.dialect, head)
                .one_of_terms("k.feed", Feed::ALL)
                .own_or_global(scope, "k")
                .push(" AND k.fact IS NOT NULL AND ")
                .one_of_texts("k.cve_id", some.iter().copied())
                .all(self.read())
                .await?;
            let global = |row: &QueryResult| row.try_get::<Uuid>("", "company_id").map(|id| id == GLOBAL);
            for is_own in [false, true] {
                for row in &rows {
                    if global(row)? == is_own && scope.company()? != GLOBAL {
                        continue;
                    }
                    let fact: Fact =
                        serde_json::from_str(&row.try_get::<String>("", "fact")?).map_err(Error::internal)?;
                    known.add(row.try_get("", "cve_id")?, read_term(row.try_get("", "feed")?)?, fact);
                }
            }
        }
        Ok(known)
    }

    /// What the scope's company keeps of these CVEs by one feed, as it is written.
    pub(crate) async fn facts_of(
        &self,
        scope: &Scope,
        feed: Feed,
        cves: &[&str],
    ) -> Result<HashMap<String, Option<String>>> {
        let rows = Sql::new(self.dialect, "SELECT cve_id, fact FROM cve_fact WHERE company_id = ")
            .bind(scope.company()?)
            .push(" AND feed = ")
            .bind(write_term(feed))
            .push(" AND ")
            .one_of_texts("cve_id", cves.iter().copied())
            .all(self.read())
            .await?;
        rows.iter().map(|row| Ok((row.try_get("", "cve_id")?, row.try_get("", "fact")?))).collect()
    }

    /// The next CVEs of which the feed says anything, after `after`.
    pub(crate) async fn cves_of(&self, scope: &Scope, feed: Feed, after: &str) -> Result<Vec<String>> {
        let sql = self.of_feed("SELECT cve_id FROM cve_fact", scope, feed)?;
        let sql = sql.push(" AND fact IS NOT NULL AND cve_id > ").bind(after);
        let sql = sql.push(" ORDER BY cve_id LIMIT ").bind(ASKED as i64);
        texts(&sql.all(self.read()).await?)
    }

    /// The next CVEs that changed in loads after `informed`, from `from` on, or behind it.
    pub(crate) async fn cves_changed(
        &self,
        scope: &Scope,
        feed: Feed,
        informed: i64,
        (from, behind): (&str, bool),
    ) -> Result<Vec<String>> {
        let sql = self.of_feed("SELECT cve_id FROM cve_fact", scope, feed)?;
        let sql = sql.push(" AND load > ").bind(informed);
        let sql = sql.push(if behind { " AND cve_id > " } else { " AND cve_id >= " }).bind(from);
        let sql = sql.push(" ORDER BY cve_id LIMIT ").bind(ASKED as i64);
        texts(&sql.all(self.read()).await?)
    }

    /// How many CVEs the feed says anything of.
    pub(crate) async fn count_facts(&self, scope: &Scope, feed: Feed) -> Result<i64> {
        let sql = self.of_feed("SELECT COUNT(*) AS n FROM cve_fact", scope, feed)?;
        sql.push(" AND fact IS NOT NULL").count(self.read()).await
    }

    fn of_feed(&self, head: &str, scope: &Scope, feed: Feed) -> Result<Sql> {
        let sql = Sql::new(self.dialect, head).push(" WHERE company_id = ").bind(scope.company()?);
        Ok(sql.push(" AND feed = ").bind(write_term(feed)))
    }

    /// The next findings of the scope's company, or of one project, that name one of these
    /// vulnerabilities, each with the name, after that of `after`.
    pub(crate) async fn findings_naming(
        &self,
        scope: &Scope,
        project: Option<Uuid>,
        names: &[String],
        after: (&str, Uuid),
        most: i64,
    ) -> Result<Vec<(String, Uuid)>> {
        let sql = Sql::new(self.dialect, "SELECT n.cve_id, n.finding_id FROM finding_cve AS n");
        let sql = match project {
            Some(_) => sql.push(" JOIN finding AS f ON f.id = n.finding_id"),
            None => sql,
        };
        let sql = sql.push(" WHERE n.company_id = ").bind(scope.company()?);
        let sql = match project {
            Some(project) => sql.push(" AND f.project_id = ").bind(project),
            None => sql,
        };
        // The names that are behind are left out here. A comparison of both columns would say the same,
        // and PostgreSQL would walk the index from there to its end for every name.
        let names = names.iter().map(String::as_str).filter(|name| *name >= after.0);
        let rows = sql
            .push(" AND ")
            .one_of_texts("n.cve_id", names)
            .push(" AND (n.cve_id <> ")
            .bind(after.0)
            .push(" OR n.finding_id > ")
            .bind(after.1)
            .push(") ORDER BY n.cve_id, n.finding_id LIMIT ")
            .bind(most)
            .all(self.read())
            .await?;
        rows.iter().map(|row| Ok((row.try_get("", "cve_id")?, row.try_get("", "finding_id")?))).collect()
    }

    /// How the feeds of the scope's company and the global ones stand.
    pub(crate) async fn feeds(&self, scope: &Scope) -> Result<Vec<Standing>> {
        let head = "SELECT company_id, feed, loaded_at, current_at, as_of, facts, source, error, error_at \
                    FROM feed_state AS k WHERE 1 = 1";
        let rows = Sql::new(self.dialect, head)
            .own_or_global(scope, "k")
            .push(" ORDER BY feed, company_id")
            .all(self.read())
            .await?;
        let time = |row: &QueryResult, name| row.try_get::<Option<i64>>("", name).map(|at| at.map(Timestamp));
        let read = |row: &QueryResult| {
            Ok(Standing {
                feed: read_term(row.try_get("", "feed")?)?,
                company: row.try_get("", "company_id")?,
                loaded_at: time(row, "loaded_at")?,
                current_at: time(row, "current_at")?,
                as_of: time(row, "as_of")?,
                facts: row.try_get("", "facts")?,
                source: row.try_get("", "source")?,
                error: row.try_get("", "error")?,
                error_at: time(row, "error_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Takes the fetch of a global feed, where it is due and no other server is on it.
    pub(crate) async fn take_fetch(
        &self,
        scope: &Scope,
        feed: Feed,
        now: Timestamp,
        lease: Span,
    ) -> Result<Option<Asked>> {
        debug_assert_eq!(*scope, Scope::Global);
        let conn = self.transaction().await?;
        open(self.dialect, GLOBAL, feed).run(&conn).await?;
        let row = Sql::new(self.dialect, "UPDATE feed_state SET fetch_until = ")
            .bind(now.plus(lease).0)
            .push(" WHERE company_id = ")
            .bind(GLOBAL)
            .push(" AND feed = ")
            .bind(write_term(feed))
            .push(" AND (fetch_next IS NULL OR fetch_next <= ")
            .bind(now.0)
            .push(") AND (fetch_until IS NULL OR fetch_until < ")
            .bind(now.0)
            .push(") RETURNING etag, modified, failures, source")
            .one(&conn)
            .await?;
        conn.commit().await?;
        let read = |row: QueryResult| {
            Ok(Asked {
                etag: row.try_get("", "etag")?,
                modified: row.try_get("", "modified")?,
                failures: row.try_get("", "failures")?,
                source: row.try_get("", "source")?,
            })
        };
        row.map(read).transpose()
    }

    /// Gives a fetch back: when the next is due, and what became of this one. `current`: what is
    /// loaded was found to be the newest.
    pub(crate) async fn end_fetch(
        &self,
        scope: &Scope,
        feed: Feed,
        now: Timestamp,
        next: Timestamp,
        outcome: Result<bool, &str>,
    ) -> Result<()> {
        debug_assert_eq!(*scope, Scope::Global);
        let conn = self.transaction().await?;
        let sql =
            Sql::new(self.dialect, "UPDATE feed_state SET fetch_until = NULL, fetch_next = ").bind(next.0);
        let sql = match outcome {
            Ok(true) => sql.push(", failures = 0, error = NULL, error_at = NULL, current_at = ").bind(now.0),
            Ok(false) => sql.push(", failures = 0"),
            Err(why) => {
                let sql = sql.push(", failures = failures + 1, error = ").bind(why);
                sql.push(", error_at = ").bind(now.0)
            }
        };
        sql.push(" WHERE company_id = ")
            .bind(GLOBAL)
            .push(" AND feed = ")
            .bind(write_term(feed))
            .run(&conn)
            .await?;
        conn.commit().await?;
        Ok(())
    }
}

/// Makes the row of a feed, if it is not there.
fn open(dialect: Dialect, company: Uuid, feed: Feed) -> Sql {
    Sql::new(dialect, "INSERT INTO feed_state (company_id, feed, loads, informed, facts, failures) VALUES (")
        .bind(company)
        .push(", ")
        .bind(write_term(feed))
        .push(", 0, 0, 0, 0) ON CONFLICT DO NOTHING")
}

fn texts(rows: &[QueryResult]) -> Result<Vec<String>> {
    rows.iter().map(|row| Ok(row.try_get("", "cve_id")?)).collect()
}

impl Tx {
    /// Takes the feed for a job, under a number of its own, unless another job that goes on has it.
    pub(crate) async fn take_feed(&self, feed: Feed, job: Uuid) -> Result<Option<Taken>> {
        open(self.dialect, self.company, feed).run(self.conn()).await?;
        let row = Sql::new(self.dialect, "UPDATE feed_state SET loads = loads + CASE WHEN loading = ")
            .bind(job)
            .push(" THEN 0 ELSE 1 END, loading = ")
            .bind(job)
            .push(" WHERE company_id = ")
            .bind(self.company)
            .push(" AND feed = ")
            .bind(write_term(feed))
            .push(" AND (loading IS NULL OR loading = ")
            .bind(job)
            .push(" OR NOT EXISTS (SELECT 1 FROM job AS j WHERE j.id = feed_state.loading AND j.state < ")
            .bind(i32::from(JobState::Completed.code()))
            .push(")) RETURNING loads, informed")
            .one(self.conn())
            .await?;
        row.map(|row| Ok(Taken { load: row.try_get("", "loads")?, informed: row.try_get("", "informed")? }))
            .transpose()
    }

    /// Writes what a feed says anew, or says no longer.
    pub(crate) async fn write_facts(&self, feed: Feed, load: i64, said: Vec<Said>) -> Result<()> {
        let mut rows = Rows::new(FACT, said.len());
        for (cve, fact) in said {
            rows.push([self.company.into(), write_term(feed).into(), cve.into(), fact.into(), load.into()]);
        }
        let then =
            "ON CONFLICT (company_id, feed, cve_id) DO UPDATE SET fact = excluded.fact, load = excluded.load";
        rows.insert(self.conn(), self.dialect, "cve_fact", then).await?;
        Ok(())
    }

    /// Notes that the feed is loaded: the findings have yet to hear of it.
    pub(crate) async fn feed_loaded(
        &self,
        feed: Feed,
        facts: i64,
        as_of: Option<Timestamp>,
        told: &super::start::LoadParams,
    ) -> Result<()> {
        let now = self.now().0;
        Sql::new(self.dialect, "UPDATE feed_state SET error = NULL, error_at = NULL, loaded_at = ")
            .bind(now)
            .push(", current_at = ")
            .bind(now)
            .push(", as_of = ")
            .bind(as_of.map(|at| at.0))
            .push(", facts = ")
            .bind(facts)
            .push(", source = ")
            .bind(told.source.as_deref().unwrap_or(&told.name))
            .push(", etag = ")
            .bind(told.etag.clone())
            .push(", modified = ")
            .bind(told.modified.clone())
            .push(" WHERE company_id = ")
            .bind(self.company)
            .push(" AND feed = ")
            .bind(write_term(feed))
            .run(self.conn())
            .await?;
        Ok(())
    }

    /// Notes that all findings have heard of the load, and forgets what was withdrawn.
    pub(crate) async fn feed_heard(&self, feed: Feed, load: i64) -> Result<()> {
        Sql::new(self.dialect, "UPDATE feed_state SET loading = NULL, informed = ")
            .bind(load)
            .push(" WHERE company_id = ")
            .bind(self.company)
            .push(" AND feed = ")
            .bind(write_term(feed))
            .run(self.conn())
            .await?;
        Sql::new(self.dialect, "DELETE FROM cve_fact WHERE fact IS NULL AND company_id = ")
            .bind(self.company)
            .push(" AND feed = ")
            .bind(write_term(feed))
            .run(self.conn())
            .await?;
        Ok(())
    }

    /// Notes why a load of the feed failed.
    pub(crate) async fn feed_failed(&self, feed: Feed, why: &str) -> Result<()> {
        open(self.dialect, self.company, feed).run(self.conn()).await?;
        Sql::new(self.dialect, "UPDATE feed_state SET error = ")
            .bind(why)
            .push(", error_at = ")
            .bind(self.now().0)
            .push(" WHERE company_id = ")
            .bind(self.company)
            .push(" AND feed = ")
            .bind(write_term(feed))
            .run(self.conn())
            .await?;
        Ok(())
    }

    /// Brings the index from CVEs to findings in step.
    pub(crate) async fn index_cves(
        &self,
        mut named: Vec<(String, Uuid)>,
        unnamed: Vec<(String, Uuid)>,
    ) -> Result<()> {
        for some in unnamed.chunks(ASKED) {
            let mut sql =
                Sql::new(self.dialect, "DELETE FROM finding_cve WHERE company_id = ").bind(self.company);
            sql = sql.push(" AND (cve_id, finding_id) IN (VALUES ");
            for (at, (cve, finding)) in some.iter().enumerate() {
                let sep = if at == 0 { "(" } else { ", (" };
                sql = sql.push(sep).bind(cve.as_str()).push(", ").bind(*finding).push(")");
            }
            sql.push(")").run(self.conn()).await?;
        }
        named.sort_unstable();
        let mut rows = Rows::new(NAMED, named.len());
        for (cve, finding) in named {
            rows.push([self.company.into(), Value::from(cve), finding.into()]);
        }
        rows.insert(self.conn(), self.dialect, "finding_cve", "ON CONFLICT DO NOTHING").await?;
        Ok(())
    }
}
