//! Long work: one model for all of it.
//!
//! A job is claimed under a lease with a fencing number. Each of its chunks commits its effects, its
//! new position and a row of progress in one transaction that names the fence: where another has
//! taken over, or the job was cancelled, no row answers and the chunk is taken back. So a job that
//! is cut off at any moment goes on behind its last whole chunk.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::ledger::{AuditEntry, Speaker};
use crate::page::{Page, PageArgs};
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::{Span, Timestamp};

use store::Cancelled;

pub mod runner;
pub mod store;
mod waiting;

terms! {
    /// What a job does.
    JobKind {
        Import = "IMPORT", Sweep = "SWEEP", BulkChange = "BULK_CHANGE", Export = "EXPORT",
        IntelLoad = "INTEL_LOAD", Revoke = "REVOKE",
    }

    /// Where a job stands. The last three are its ends.
    JobState {
        Waiting = "WAITING", Pending = "PENDING", Running = "RUNNING",
        Completed = "COMPLETED", Failed = "FAILED", Cancelled = "CANCELLED",
    }
}

impl JobState {
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// How long a claim lasts without a sign of life.
pub const LEASE: Span = Span(30 * Span::SECOND.0);

/// On whose behalf a job works, with the rights of the moment it was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Principal {
    pub speaker: Speaker,
    #[serde(default)]
    pub person: Uuid,
    pub role: Role,
    pub portfolio: Portfolio,
}

impl Principal {
    pub fn of(actor: &Actor) -> Self {
        Self {
            speaker: Speaker::of(actor),
            person: actor.person,
            role: actor.role,
            portfolio: actor.portfolio.clone(),
        }
    }

    /// The actor again, working for `company`.
    pub fn actor(&self, company: Uuid) -> Actor {
        Actor {
            kind: self.speaker.kind,
            id: self.speaker.id,
            person: self.person,
            name: self.speaker.name.clone(),
            company,
            role: self.role,
            portfolio: self.portfolio.clone(),
            token_scopes: None,
            token: self.speaker.token,
            session: self.speaker.session,
            expires_at: None,
            address: self.speaker.address.clone(),
            trace: self.speaker.trace.clone(),
            idempotency: None,
        }
    }
}

/// A piece of long work.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: Uuid,
    pub company: Uuid,
    pub kind: JobKind,
    pub state: JobState,
    pub principal: Principal,
    /// The project it works in, where it works in one.
    pub project: Option<Uuid>,
    /// What was asked for; its shape is the kind's.
    pub params: Json,
    /// What it is expected to cost, in bytes of a report.
    pub weight: i64,
    /// Where the next chunk begins; its shape is the kind's.
    pub position: Option<Json>,
    pub total: Option<i64>,
    pub done: i64,
    pub counts: Map<String, Json>,
    /// Why it failed: `code`, `message`, and details such as the place of a fault.
    pub error: Option<Json>,
    pub cancel_requested: bool,
    pub fence: i64,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

impl Job {
    /// What its steps have counted under this name so far.
    pub(crate) fn counted(&self, name: &str) -> i64 {
        self.counts.get(name).and_then(Json::as_i64).unwrap_or(0)
    }

    /// A member of where its next chunk begins.
    pub(crate) fn at(&self, name: &str) -> Option<&Json> {
        self.position.as_ref()?.get(name)
    }

    /// The record behind which its next chunk begins, of a job that goes by ids.
    pub(crate) fn after(&self) -> Uuid {
        self.at("after").and_then(|after| after.as_str()?.parse().ok()).unwrap_or_default()
    }
}

impl JobKind {
    /// What such a job is expected to cost: an import weighs what its report does, once that is
    /// there, and a sweep of all that a company has is as heavy as can be.
    fn weight(self, params: &Json) -> i64 {
        match self {
            Self::IntelLoad | Self::Revoke => i64::MAX,
            Self::Sweep if ["asset", "rule"].iter().all(|of| params.get(of).is_none_or(Json::is_null)) => {
                i64::MAX
            }
            _ => 0,
        }
    }

    /// The right to start such a job.
    pub(crate) fn right(self) -> Permission {
        match self {
            Self::Import => Permission::Import,
            Self::Sweep | Self::Revoke => Permission::WriteRules,
            Self::BulkChange => Permission::EditFindings,
            Self::Export => Permission::Export,
            Self::IntelLoad => Permission::ManageSettings,
        }
    }
}

impl Job {
    /// Whether the actor may ask for the end of this job, which it sees.
    pub fn may_cancel(&self, actor: &Actor) -> Result<()> {
        self.allow_cancel(actor)?;
        if self.state.is_end() || self.cancel_requested {
            return Err(Error::new(Code::IllegalState, "This job has ended or is about to."));
        }
        Ok(())
    }

    /// Whoever may start such a job may end their own; who manages the company's settings, any.
    fn allow_cancel(&self, actor: &Actor) -> Result<Scope> {
        let own = self.principal.speaker.id == actor.id && actor.can(self.kind.right());
        actor.allow(if own { self.kind.right() } else { Permission::ManageSettings })
    }

    /// How many of its things it does in a second, since a worker took it up.
    pub fn rate(&self) -> Option<f64> {
        let micros = self.updated_at.0 - self.started_at?.0;
        (micros > 0 && self.done > 0).then(|| self.done as f64 * 1e6 / micros as f64)
    }

    /// When it will have ended if it goes on as it does.
    pub fn eta(&self) -> Option<Timestamp> {
        let left = (self.total? - self.done).max(0);
        if self.state != JobState::Running {
            return None;
        }
        let micros = left as f64 * 1e6 / self.rate()?;
        Some(self.updated_at.plus(Span(micros as i64)))
    }

    /// The scan that an import makes.
    pub fn scan(&self) -> Option<Uuid> {
        self.params.get("scan")?.as_str()?.parse().ok()
    }
}

/// A step of a job, as its watchers see it.
#[derive(Clone, Debug)]
pub struct Progress {
    pub seq: i64,
    pub at: Timestamp,
    pub state: JobState,
    /// What it is doing, in a word: `checking`, `storing`, `closing`.
    pub stage: String,
    pub total: Option<i64>,
    pub done: i64,
    pub counts: Map<String, Json>,
}

impl Progress {
    /// Where a job stands that has made no step yet.
    pub(crate) fn before_the_first(job: &Job) -> Self {
        Self {
            seq: 0,
            at: job.updated_at,
            state: job.state,
            stage: "waiting".to_owned(),
            total: job.total,
            done: job.done,
            counts: job.counts.clone(),
        }
    }
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    pub kinds: Vec<JobKind>,
    pub states: Vec<JobState>,
    pub project: Option<Uuid>,
}

impl Domain {
    /// A job inside of the actor's scope.
    pub async fn job(&self, actor: &Actor, id: Uuid) -> Result<Job> {
        let scope = actor.allow(Permission::Read)?;
        self.db().job_of(&scope, actor.id, id).await?.ok_or_else(|| Error::not_found("job"))
    }

    /// The jobs of these ids that the actor may see, for a loader.
    pub async fn jobs_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Job>> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().jobs_by_id(&scope, actor.id, ids).await?;
        Ok(found.into_iter().map(|job| (job.id, job)).collect())
    }

    /// Jobs, the newest first.
    pub async fn jobs(&self, actor: &Actor, filter: &JobFilter, page: &PageArgs) -> Result<Page<Job>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().jobs(&scope, actor.id, filter, page).await
    }

    /// How many jobs the filter finds.
    pub async fn job_count(&self, actor: &Actor, filter: &JobFilter) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.db().job_count(&scope, actor.id, filter).await
    }

    /// The steps of a job after `seq`, oldest first, at most 500.
    pub async fn job_progress(&self, actor: &Actor, id: Uuid, seq: i64) -> Result<Vec<Progress>> {
        let scope = actor.allow(Permission::Read)?;
        self.job(actor, id).await?;
        self.db().job_progress(&scope, id, seq).await
    }

    /// Asks a job to stop. It ends behind its present chunk; what its chunks did stays.
    pub async fn job_cancel(&self, actor: &Actor, id: Uuid) -> Result<Job> {
        let job = self.job(actor, id).await?;
        let scope = job.allow_cancel(actor)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        match tx.cancel_job(id).await? {
            Cancelled::Already => return Ok(job),
            Cancelled::Asked => {}
            Cancelled::Ended if job.kind == JobKind::Import => self.end_scan_of(&mut tx, &job, None).await?,
            Cancelled::Ended if job.kind == JobKind::IntelLoad => self.end_load_of(&tx, &job, None).await?,
            Cancelled::Ended => tx.end_request_of(&job).await?,
        }
        tx.audit(AuditEntry::new("job.cancelled", id));
        tx.commit().await?;
        self.wake_jobs();
        self.job(actor, id).await
    }
}
