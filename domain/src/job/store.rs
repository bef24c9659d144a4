//! Jobs in the database: claims, leases, fences and steps.

use sea_orm::{ConnectionTrait, QueryResult};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{Job, JobFilter, JobKind, JobState, LEASE, Principal, Progress};
use crate::access::{Portfolio, Scope};
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, PageArgs, Sort, Window};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

const COLUMNS: &str = "SELECT j.id, j.company_id, j.kind, j.state, j.actor, j.project_id, j.params, j.weight, j.position, \
                       j.total, j.done, j.counts, j.error, j.cancel_requested, j.fence, j.created_at, \
                       j.started_at, j.finished_at, j.updated_at";

const NEWEST: Sort = Sort::new(
    "created",
    &[Key::new("j.created_at", KeyKind::Int).descending(), Key::new("j.id", KeyKind::Uuid).descending()],
);

fn select(dialect: Dialect) -> Sql {
    Sql::new(dialect, COLUMNS).push(" FROM job AS j WHERE ")
}

/// What a chunk changes of its job.
pub(crate) struct Step<'a> {
    pub stage: &'a str,
    pub position: Option<Json>,
    pub total: Option<i64>,
    pub done: i64,
    pub counts: Map<String, Json>,
    /// Set by the last step.
    pub end: Option<(JobState, Option<Json>)>,
}

fn parse(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn object(text: &str) -> Result<Map<String, Json>> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn state(code: i32) -> Result<JobState> {
    u8::try_from(code).ok().and_then(JobState::from_code).ok_or_else(|| Error::internal("no such job state"))
}

pub(crate) fn read(row: &QueryResult) -> Result<Job> {
    let kind: String = row.try_get("", "kind")?;
    let actor: String = row.try_get("", "actor")?;
    let position: Option<String> = row.try_get("", "position")?;
    let error: Option<String> = row.try_get("", "error")?;
    let time = |name| row.try_get::<Option<i64>>("", name).map(|at| at.map(Timestamp));
    Ok(Job {
        id: row.try_get("", "id")?,
        company: row.try_get("", "company_id")?,
        kind: JobKind::parse(&kind).ok_or_else(|| Error::internal("no such kind of job"))?,
        state: state(row.try_get("", "state")?)?,
        principal: serde_json::from_str::<Principal>(&actor).map_err(Error::internal)?,
        project: row.try_get("", "project_id")?,
        params: parse(&row.try_get::<String>("", "params")?)?,
        weight: row.try_get("", "weight")?,
        position: position.as_deref().map(parse).transpose()?,
        total: row.try_get("", "total")?,
        done: row.try_get("", "done")?,
        counts: object(&row.try_get::<String>("", "counts")?)?,
        error: error.as_deref().map(parse).transpose()?,
        cancel_requested: row.try_get("", "cancel_requested")?,
        fence: row.try_get("", "fence")?,
        created_at: Timestamp(row.try_get("", "created_at")?),
        started_at: time("started_at")?,
        finished_at: time("finished_at")?,
        updated_at: Timestamp(row.try_get("", "updated_at")?),
    })
}

/// A job outside of the portfolio is one that does not exist: members of a narrow one see the jobs
/// of their projects, and those that they started themselves.
fn within(sql: Sql, scope: &Scope, starter: Uuid) -> Result<Sql> {
    let sql = sql.push("j.company_id = ").bind(scope.company()?);
    Ok(match scope {
        Scope::Company(_, Portfolio::Only { projects, .. }) => sql
            .push(" AND (")
            .one_of("j.project_id", projects.iter().copied())
            .push(" OR ")
            .contains("j.actor", &format!("\"id\":\"{starter}\""))
            .push(")"),
        _ => sql,
    })
}

fn filtered(mut sql: Sql, filter: &JobFilter) -> Sql {
    let either = |mut sql: Sql, column: &str, values: Vec<sea_orm::Value>| {
        sql = sql.push(" AND ").push(column).push(" IN (");
        for (at, value) in values.into_iter().enumerate() {
            sql = if at == 0 { sql } else { sql.push(", ") }.bind(value);
        }
        sql.push(")")
    };
    if !filter.kinds.is_empty() {
        sql = either(sql, "j.kind", filter.kinds.iter().map(|kind| kind.word().into()).collect());
    }
    if !filter.states.is_empty() {
        let codes = filter.states.iter().map(|state| i32::from(state.code()).into()).collect();
        sql = either(sql, "j.state", codes);
    }
    if let Some(project) = filter.project {
        sql = sql.push(" AND j.project_id = ").bind(project);
    }
    sql
}

fn steps(dialect: Dialect, scope: &Scope, job: Uuid) -> Result<Sql> {
    let head = "SELECT seq, at, state, stage, total, done, counts FROM job_progress WHERE job_id = ";
    Ok(Sql::new(dialect, head).bind(job).push(" AND company_id = ").bind(scope.company()?))
}

fn read_step(row: &QueryResult) -> Result<Progress> {
    Ok(Progress {
        seq: row.try_get("", "seq")?,
        at: Timestamp(row.try_get("", "at")?),
        state: state(row.try_get("", "state")?)?,
        stage: row.try_get("", "stage")?,
        total: row.try_get("", "total")?,
        done: row.try_get("", "done")?,
        counts: object(&row.try_get::<String>("", "counts")?)?,
    })
}

/// The jobs that are in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    pub state: JobState,
    pub jobs: i64,
    /// When the oldest of them was asked for.
    pub oldest: Timestamp,
}

/// What became of the wish that a job end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It had ended, or the wish was known.
    Already,
    /// Its worker will end it behind its present chunk.
    Asked,
    /// Nobody worked on it: it has ended.
    Ended,
}

impl Db {
    /// A job of the scope's company, for its own work.
    pub(crate) async fn job(&self, scope: &Scope, id: Uuid) -> Result<Option<Job>> {
        self.job_of(&scope.whole(), Uuid::nil(), id).await
    }

    /// A job inside of the scope, or one that `starter` started.
    pub(crate) async fn job_of(&self, scope: &Scope, starter: Uuid, id: Uuid) -> Result<Option<Job>> {
        Ok(self.jobs_by_id(scope, starter, &[id]).await?.pop())
    }

    pub(crate) async fn jobs_by_id(&self, scope: &Scope, starter: Uuid, ids: &[Uuid]) -> Result<Vec<Job>> {
        let sql = within(select(self.dialect), scope, starter)?.push(" AND ");
        sql.one_of("j.id", ids.iter().copied()).all(self.read()).await?.iter().map(read).collect()
    }

    pub(crate) async fn jobs(
        &self,
        scope: &Scope,
        starter: Uuid,
        filter: &JobFilter,
        args: &PageArgs,
    ) -> Result<Page<Job>> {
        let window = Window::new(args, NEWEST)?;
        let sql = Sql::new(self.dialect, COLUMNS).push(&key_columns(&NEWEST)).push(" FROM job AS j WHERE ");
        let rows = filtered(within(sql, scope, starter)?, filter).window(&window).all(self.read()).await?;
        page(&window, &rows, read)
    }

    pub(crate) async fn job_count(&self, scope: &Scope, starter: Uuid, filter: &JobFilter) -> Result<i64> {
        let sql = Sql::new(self.dialect, "SELECT COUNT(*) AS n FROM job AS j WHERE ");
        let sql = within(sql, scope, starter)?;
        let row = filtered(sql, filter).one(self.read()).await?;
        row.map_or(Ok(0), |row| Ok(row.try_get("", "n")?))
    }

    pub(crate) async fn job_progress(&self, scope: &Scope, job: Uuid, after: i64) -> Result<Vec<Progress>> {
        let sql = steps(self.dialect, scope, job)?.push(" AND seq > ").bind(after);
        let rows = sql.push(" ORDER BY seq LIMIT 500").all(self.read()).await?;
        rows.iter().map(read_step).collect()
    }

    /// The latest step of a job; none before its first.
    pub(crate) async fn job_last_step(&self, scope: &Scope, job: Uuid) -> Result<Option<Progress>> {
        let sql = steps(self.dialect, scope, job)?.push(" ORDER BY seq DESC LIMIT 1");
        sql.one(self.read()).await?.as_ref().map(read_step).transpose()
    }

    /// Takes a job of at most `weight` that waits for a worker or whose worker gave no sign of life:
    /// of the company on whose jobs the fewest workers are, the oldest.
    pub(crate) async fn claim_job(
        &self,
        scope: &Scope,
        worker: Uuid,
        weight: i64,
        now: Timestamp,
    ) -> Result<Option<Job>> {
        debug_assert_eq!(*scope, Scope::System);
        let skip = if self.dialect == Dialect::Postgres { " FOR UPDATE SKIP LOCKED" } else { "" };
        let conn = self.transaction().await?;
        let claimed = Sql::new(self.dialect, "UPDATE job SET state = ")
            .bind(i32::from(JobState::Running.code()))
            .push(", fence = fence + 1, lease_owner = ")
            .bind(worker)
            .push(", lease_until = ")
            .bind(now.plus(LEASE).0)
            .push(", started_at = COALESCE(started_at, ")
            .bind(now.0)
            .push(") WHERE id = (SELECT id FROM job AS j WHERE weight <= ")
            .bind(weight)
            .push(" AND ((state = ")
            .bind(i32::from(JobState::Pending.code()))
            // What an import needs lies on the server that took it: the others wait for that one.
            .push(" AND (lease_owner IS NULL OR lease_owner = ")
            .bind(worker)
            .push(" OR updated_at < ")
            .bind(now.minus(LEASE).0)
            .push(")) OR (state = ")
            .bind(i32::from(JobState::Running.code()))
            .push(" AND lease_until < ")
            .bind(now.0)
            .push(
                ")) ORDER BY (SELECT COUNT(*) FROM job AS r WHERE r.company_id = j.company_id AND r.state = ",
            )
            .bind(i32::from(JobState::Running.code()))
            .push(" AND r.lease_until >= ")
            .bind(now.0)
            .push("), created_at, id LIMIT 1")
            .push(skip)
            .push(") RETURNING id")
            .one(&conn)
            .await?;
        let Some(claimed) = claimed else { return Ok(None) };
        let id: Uuid = claimed.try_get("", "id")?;
        let row = select(self.dialect).push("j.id = ").bind(id).one(&conn).await?;
        conn.commit().await?;
        row.as_ref().map(read).transpose()
    }

    /// Frees what an earlier process of this node had claimed when it was cut off.
    pub(crate) async fn release_leases(&self, scope: &Scope, worker: Uuid) -> Result<()> {
        debug_assert_eq!(*scope, Scope::System);
        let conn = self.transaction().await?;
        Sql::new(self.dialect, "UPDATE job SET lease_until = 0 WHERE state = ")
            .bind(i32::from(JobState::Running.code()))
            .push(" AND lease_owner = ")
            .bind(worker)
            .run(&conn)
            .await?;
        conn.commit().await?;
        Ok(())
    }

    /// Some of the jobs that have waited until their time was over.
    pub(crate) async fn overdue_jobs(&self, scope: &Scope, now: Timestamp) -> Result<Vec<Job>> {
        debug_assert_eq!(*scope, Scope::System);
        let sql = select(self.dialect).push("j.state = ").bind(i32::from(JobState::Waiting.code()));
        let sql =
            sql.push(" AND j.lease_until < ").bind(now.0).push(" ORDER BY j.lease_until, j.id LIMIT 100");
        sql.all(self.read()).await?.iter().map(read).collect()
    }

    /// A sign of life, and whether to go on: `false` where another took over or the job is to end.
    pub(crate) async fn renew_lease(&self, scope: &Scope, job: &Job, now: Timestamp) -> Result<bool> {
        debug_assert_eq!(*scope, Scope::System);
        let conn = self.transaction().await?;
        let renewed = Sql::new(self.dialect, "UPDATE job SET lease_until = ")
            .bind(now.plus(LEASE).0)
            .push(" WHERE id = ")
            .bind(job.id)
            .push(" AND fence = ")
            .bind(job.fence)
            .push(" AND NOT cancel_requested")
            .run(&conn)
            .await?;
        conn.commit().await?;
        Ok(renewed.rows_affected() == 1)
    }

    /// How many jobs are not at their end and when the oldest of them was asked for, by state.
    pub(crate) async fn jobs_open(&self, scope: &Scope) -> Result<Vec<Queued>> {
        debug_assert_eq!(*scope, Scope::System);
        let head = "SELECT state, COUNT(*) AS n, MIN(created_at) AS oldest FROM job WHERE state IN (0, 1, 2) GROUP BY state";
        let rows = Sql::new(self.dialect, head).all(self.read()).await?;
        let read = |row: &QueryResult| {
            Ok(Queued {
                state: state(row.try_get("", "state")?)?,
                jobs: row.try_get("", "n")?,
                oldest: Timestamp(row.try_get("", "oldest")?),
            })
        };
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// Makes a job that begins in `state`.
    pub(crate) async fn insert_job(
        &self,
        id: Uuid,
        kind: JobKind,
        state: JobState,
        principal: &Principal,
        project: Option<Uuid>,
        params: &Json,
    ) -> Result<()> {
        let now = self.now().0;
        Sql::new(
            self.dialect,
            "INSERT INTO job (id, company_id, kind, state, actor, project_id, params, weight, done, counts, \
             cancel_requested, lease_until, fence, created_at, updated_at) VALUES (",
        )
        .bind(id)
        .push(", ")
        .bind(self.company)
        .push(", ")
        .bind(kind.word())
        .push(", ")
        .bind(i32::from(state.code()))
        .push(", ")
        .bind(serde_json::to_string(principal).map_err(Error::internal)?)
        .push(", ")
        .bind(project)
        .push(", ")
        .bind(params.to_string())
        .push(", ")
        .bind(kind.weight(params))
        .push(", 0, '{}', FALSE, ")
        .bind(
            kind.patience(params).filter(|_| state == JobState::Waiting).map(|wait| self.now().plus(wait).0),
        )
        .push(", 0, ")
        .bind(now)
        .push(", ")
        .bind(now)
        .push(")")
        .run(self.conn())
        .await?;
        Ok(())
    }

    /// Asks for the end of a job. One that nobody works on ends at once.
    pub(crate) async fn cancel_job(&self, id: Uuid) -> Result<Cancelled> {
        let now = self.now();
        let asked = Sql::new(self.dialect, "UPDATE job SET cancel_requested = TRUE WHERE state < ")
            .bind(i32::from(JobState::Completed.code()))
            .push(" AND NOT cancel_requested AND company_id = ")
            .bind(self.company)
            .push(" AND id = ")
            .bind(id)
            .run(self.conn())
            .await?;
        if asked.rows_affected() == 0 {
            return Ok(Cancelled::Already);
        }
        let ended = Sql::new(self.dialect, "UPDATE job SET state = ")
            .bind(i32::from(JobState::Cancelled.code()))
            .push(", finished_at = ")
            .bind(now.0)
            .push(", updated_at = ")
            .bind(now.0)
            .push(" WHERE state < ")
            .bind(i32::from(JobState::Running.code()))
            .push(" AND id = ")
            .bind(id)
            .run(self.conn())
            .await?;
        if ended.rows_affected() == 0 {
            return Ok(Cancelled::Asked);
        }
        note(self.conn(), self.dialect, id, now, "cancelled").await?;
        Ok(Cancelled::Ended)
    }

    /// Ends a job that waited for too long. `false`: it waits no more.
    pub(crate) async fn end_waiting_job(&self, id: Uuid, error: &Json) -> Result<bool> {
        let now = self.now();
        let ended = Sql::new(self.dialect, "UPDATE job SET state = ")
            .bind(i32::from(JobState::Failed.code()))
            .push(", error = ")
            .bind(error.to_string())
            .push(", finished_at = ")
            .bind(now.0)
            .push(", updated_at = ")
            .bind(now.0)
            .push(" WHERE company_id = ")
            .bind(self.company)
            .push(" AND id = ")
            .bind(id)
            .push(" AND state = ")
            .bind(i32::from(JobState::Waiting.code()))
            .run(self.conn())
            .await?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        note(self.conn(), self.dialect, id, now, "failed").await?;
        Ok(true)
    }

    /// Makes a waiting job ready, with what it now knows and weighs, for `worker` before others.
    pub(crate) async fn ready_job(&self, id: Uuid, worker: Uuid, params: &Json, weight: i64) -> Result<bool> {
        let readied = Sql::new(self.dialect, "UPDATE job SET state = ")
            .bind(i32::from(JobState::Pending.code()))
            .push(", lease_owner = ")
            .bind(worker)
            .push(", params = ")
            .bind(params.to_string())
            .push(", weight = ")
            .bind(weight)
            .push(", updated_at = ")
            .bind(self.now().0)
            .push(" WHERE id = ")
            .bind(id)
            .push(" AND state = ")
            .bind(i32::from(JobState::Waiting.code()))
            .run(self.conn())
            .await?;
        Ok(readied.rows_affected() == 1)
    }

    /// Records a step of the job. `false`: another took over, or it is to end; nothing of this
    /// transaction may be kept.
    pub(crate) async fn step_job(&self, job: &Job, step: &Step<'_>) -> Result<bool> {
        self.step_job_at(job.id, job.fence, step).await
    }

    /// The same of a job that was claimed under `fence`; 0 before its first claim.
    pub(crate) async fn step_job_at(&self, id: Uuid, fence: i64, step: &Step<'_>) -> Result<bool> {
        let now = self.now();
        let span = self.conn().span();
        if !span.is_disabled() {
            span.record("job.id", id.to_string())
                .record("job.stage", step.stage)
                .record("job.done", step.done);
        }
        let (state, error) = step.end.clone().unwrap_or((JobState::Running, None));
        let sql = Sql::new(self.dialect, "UPDATE job SET state = ")
            .bind(i32::from(state.code()))
            .push(", position = ")
            .bind(step.position.as_ref().map(Json::to_string))
            .push(", total = ")
            .bind(step.total)
            .push(", done = ")
            .bind(step.done)
            .push(", counts = ")
            .bind(json!(step.counts).to_string())
            .push(", error = ")
            .bind(error.map(|error| error.to_string()))
            .push(", lease_until = ")
            .bind(now.plus(LEASE).0)
            .push(", finished_at = ")
            .bind(state.is_end().then_some(now.0))
            .push(", updated_at = ")
            .bind(now.0)
            .push(" WHERE id = ")
            .bind(id)
            .push(" AND fence = ")
            .bind(fence);
        // Whoever asked for the end gets it: only the step that says so is still taken.
        let sql = if state == JobState::Running { sql.push(" AND NOT cancel_requested") } else { sql };
        if sql.run(self.conn()).await?.rows_affected() == 0 {
            return Ok(false);
        }
        note(self.conn(), self.dialect, id, now, step.stage).await?;
        Ok(true)
    }
}

/// Copies where the job stands into a row of progress.
async fn note(
    conn: &impl ConnectionTrait,
    dialect: Dialect,
    job: Uuid,
    now: Timestamp,
    stage: &str,
) -> Result<()> {
    Sql::new(
        dialect,
        "INSERT INTO job_progress (job_id, seq, company_id, at, state, stage, total, done, counts) \
         SELECT id, (SELECT COALESCE(MAX(seq), 0) + 1 FROM job_progress WHERE job_id = ",
    )
    .bind(job)
    .push("), company_id, CAST(")
    .bind(now.0)
    .push(" AS BIGINT), state, CAST(")
    .bind(stage)
    .push(" AS TEXT), total, done, counts FROM job WHERE id = ")
    .bind(job)
    .run(conn)
    .await?;
    Ok(())
}
