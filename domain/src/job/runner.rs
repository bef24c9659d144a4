//! The workers: they claim jobs and see them to an end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Map, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::store::Step;
use super::{Job, JobKind, JobState};
use crate::Domain;
use crate::access::Scope;
use crate::error::{Class, Error, Result};
use crate::ledger::AuditEntry;
use crate::store::at_work;
use crate::vocabulary::terms::Term;

/// How many jobs of any weight one server works on at a time.
const WORKERS: usize = 3;
/// How many light ones beside them, so that none waits for a heavy one to end.
const LIGHT_WORKERS: usize = 3;
/// The most that a light job weighs: some thousand findings.
const LIGHT: i64 = 8 << 20;
/// How long a worker waits for news before it looks by itself: other servers do not tell it.
const LOOK: Duration = Duration::from_millis(500);

/// How a job was left by its work.
pub(crate) enum Left {
    /// Its own last step said how it ended.
    Ended,
    /// It was taken over by another worker, or somebody asked for its end.
    Stopped,
}

impl Domain {
    /// Works on jobs until `stop`, then lets each finish its chunk. A job that is cut off is taken
    /// up again by the next claim.
    pub async fn run_jobs(&self, stop: CancellationToken) -> Result<()> {
        self.db().release_leases(&Scope::System, self.worker()).await?;
        self.tidy_spool().await?;
        let places = Arc::new(Semaphore::new(WORKERS));
        let light_places = Arc::new(Semaphore::new(LIGHT_WORKERS));
        while !stop.is_cancelled() {
            let place = Arc::clone(&places).try_acquire_owned().ok();
            let light = Arc::clone(&light_places).try_acquire_owned().ok();
            let claimed = match (&place, &light) {
                (None, None) => Ok(None),
                (place, _) => {
                    let most = if place.is_some() { i64::MAX } else { LIGHT };
                    self.db().claim_job(&Scope::System, self.worker(), most, self.clock().now()).await
                }
            };
            match claimed {
                Ok(Some(job)) => {
                    // A light job leaves the place to others where it can.
                    let place = if job.weight <= LIGHT { light.or(place) } else { place };
                    let domain = self.clone();
                    let stop = stop.clone();
                    // A trace of its own: who asked for it is long answered. Its lines carry their id.
                    let span = tracing::info_span!(
                        parent: None,
                        "job",
                        job.id = %job.id,
                        job.kind = %job.kind,
                        trace = job.principal.speaker.trace,
                    );
                    let work = async move {
                        domain.run_job(job, &stop).await;
                        drop(place);
                        domain.wake_jobs();
                    };
                    tokio::spawn(work.instrument(span));
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "jobs cannot be claimed"),
            }
            drop((place, light));
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.jobs_woken() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        // Every place back means that every job has left its chunk.
        let _all = places.acquire_many(u32::try_from(WORKERS).unwrap_or(u32::MAX)).await;
        let _light = light_places.acquire_many(u32::try_from(LIGHT_WORKERS).unwrap_or(u32::MAX)).await;
        Ok(())
    }

    /// Brings the gauges of the queue up to date: the jobs of the whole database, not of this server.
    pub(crate) async fn measure_jobs(&self) -> Result<()> {
        let queued = self.db().jobs_open(&Scope::System).await?;
        let now = self.clock().now();
        for state in JobState::ALL.iter().filter(|state| !state.is_end()) {
            let here = queued.iter().find(|queued| queued.state == *state);
            let jobs = here.map_or(0, |queued| queued.jobs);
            let age = here.map_or(0, |queued| (now.0 - queued.oldest.0).max(0));
            metrics::gauge!("countersign_jobs", "state" => state.word()).set(jobs as f64);
            metrics::gauge!("countersign_jobs_oldest_seconds", "state" => state.word()).set(age as f64 / 1e6);
        }
        Ok(())
    }

    async fn run_job(&self, job: Job, stop: &CancellationToken) {
        tracing::info!(job = %job.id, kind = %job.kind, fence = job.fence, "a job begins");
        // A job that panics would be claimed and panic again for ever: it fails like any other.
        let worked = AssertUnwindSafe(at_work(self.work(&job, stop))).catch_unwind().await;
        let worked = worked.unwrap_or_else(|_| Err(Error::internal("the job panicked")));
        let left = match worked {
            Ok(Left::Ended) => Ok(()),
            Ok(Left::Stopped) if stop.is_cancelled() => Ok(()),
            Ok(Left::Stopped) => self.end_cancelled(&job).await,
            Err(error) => self.end_failed(&job, &error).await,
        };
        match left {
            Ok(()) => tracing::info!(job = %job.id, "a job was left"),
            Err(error) => tracing::error!(job = %job.id, %error, "a job's end could not be recorded"),
        }
    }

    async fn work(&self, job: &Job, stop: &CancellationToken) -> Result<Left> {
        match job.kind {
            JobKind::Import => self.run_import(job, stop).await,
            JobKind::Sweep => self.run_sweep(job, stop).await,
            JobKind::BulkChange => self.run_bulk_change(job, stop).await,
            JobKind::Export => self.run_export(job).await,
            JobKind::IntelLoad => self.run_intel_load(job, stop).await,
            JobKind::Revoke => self.run_revoke(job, stop).await,
        }
    }

    /// Ends a job that somebody asked to stop; one that another took over is not ours to end.
    async fn end_cancelled(&self, job: &Job) -> Result<()> {
        let now = self.db().job(&job.scope(), job.id).await?;
        let Some(now) = now.filter(|now| now.cancel_requested && now.fence == job.fence) else {
            return Ok(());
        };
        self.end_job(&now, JobState::Cancelled, None).await
    }

    async fn end_failed(&self, job: &Job, error: &Error) -> Result<()> {
        if error.class() == Class::Fault {
            tracing::error!(job = %job.id, %error, "a job failed");
        }
        let mut told = Map::from_iter([
            ("code".to_owned(), json!(error.code.word())),
            ("message".to_owned(), json!(error.message)),
        ]);
        told.extend(error.details.clone());
        let now = self.db().job(&job.scope(), job.id).await?.unwrap_or_else(|| job.clone());
        self.end_job(&Job { fence: job.fence, ..now }, JobState::Failed, Some(told)).await
    }

    async fn end_job(
        &self,
        job: &Job,
        state: JobState,
        error: Option<Map<String, serde_json::Value>>,
    ) -> Result<()> {
        let actor = job.principal.actor(job.company);
        let mut tx = self.db().begin(&actor, &job.scope(), self.clock().now()).await?;
        let step = Step {
            stage: match state {
                JobState::Cancelled => "cancelled",
                _ => "failed",
            },
            position: job.position.clone(),
            total: job.total,
            done: job.done,
            counts: job.counts.clone(),
            end: Some((state, error.clone().map(Into::into))),
        };
        if !tx.step_job(job, &step).await? {
            return Ok(());
        }
        if job.kind == JobKind::Import {
            self.end_scan_of(&mut tx, job, error.as_ref()).await?;
        }
        if job.kind == JobKind::IntelLoad {
            self.end_load_of(&tx, job, error.as_ref()).await?;
        }
        tx.end_request_of(job).await?;
        let entry =
            AuditEntry::new(if state == JobState::Failed { "job.failed" } else { "job.ended" }, job.id);
        tx.audit(entry.after(json!({ "state": state, "error": error })));
        tx.commit().await?;
        Ok(())
    }
}

impl Job {
    /// What the job may reach: all of its company, whoever asked for it; what it touches was settled
    /// when it was asked for.
    pub(crate) fn scope(&self) -> Scope {
        if self.company == crate::access::GLOBAL {
            Scope::Global
        } else {
            Scope::Company(self.company, crate::access::Portfolio::Whole)
        }
    }
}
