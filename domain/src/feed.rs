//! What happens, as it happens: streams that open with where things stand and go on from a number
//! in the ledger, so that whoever comes back with the last number misses nothing.
//!
//! A stream is pulled: it reads the ledger when its reader asks for more, so a slow reader costs
//! no memory. It is woken by commits of this process, and looks by itself for those of others.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::finding::facts::Finding;
use crate::finding::query::FindingFilter;
use crate::job::{Job, Progress};
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

pub mod approvals;
pub mod store;

/// How long a stream sleeps when nothing wakes it: other servers do not.
const LOOK: Duration = Duration::from_millis(500);
/// How many events a stream reads at a time.
const BATCH: i64 = 500;

terms! {
    /// What a change means for a filtered list.
    Delta { Entered = "ENTERED", Changed = "CHANGED", Left = "LEFT" }
}

/// An event of the ledger.
#[derive(Clone, Debug)]
pub struct Told {
    pub seq: i64,
    pub at: Timestamp,
    pub kind: String,
    pub subject: Uuid,
    pub payload: serde_json::Value,
}

/// A finding in scope that changed.
#[derive(Clone, Debug)]
pub struct FindingChange {
    /// The number of the event: where to go on from.
    pub seq: i64,
    pub at: Timestamp,
    /// The kind of the event.
    pub event: String,
    pub delta: Delta,
    /// The finding as it is now, not as it was at the event.
    pub finding: Finding,
}

/// A step of a job, with the job as it is now.
#[derive(Clone, Debug)]
pub struct JobStep {
    pub job: Job,
    pub progress: Progress,
}

impl Domain {
    /// Where the events of the actor's company stand: where a stream that is opened now begins.
    pub async fn event_seq(&self, actor: &Actor) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        Ok(self.db().ledger_head(&scope).await?.event_seq)
    }

    /// The findings in scope that change after event `after`, in the order of the ledger. A finding
    /// that passes the filter ENTERED with its creation and CHANGED later; one that does not pass
    /// LEFT, which may also name one that the reader never saw.
    pub async fn finding_changes(
        &self,
        actor: &Actor,
        filter: FindingFilter,
        after: Option<i64>,
    ) -> Result<impl Stream<Item = Result<Vec<FindingChange>>> + Send + use<>> {
        let scope = actor.allow(Permission::Read)?;
        let news = self.db().news();
        let head = self.db().ledger_head(&scope).await?.event_seq;
        let after = checked(after, head)?;
        let watch = Watch { domain: self.clone(), scope, news };
        Ok(try_unfold((watch, filter, after), |(mut watch, filter, after)| async move {
            let mut after = after;
            loop {
                let events =
                    watch.domain.db().events_about(&watch.scope, Subject::Finding, after, BATCH).await?;
                let Some(last) = events.last().map(|event| event.seq) else {
                    watch.wait().await;
                    continue;
                };
                after = last;
                let changes = watch.changes(&filter, events).await?;
                if !changes.is_empty() {
                    return Ok(Some((changes, (watch, filter, after))));
                }
            }
        }))
    }

    /// The steps of a job after step `after`, until its end. Without `after` it opens with where the
    /// job stands: its latest step, or step 0 before its first.
    pub async fn job_steps(
        &self,
        actor: &Actor,
        id: Uuid,
        after: Option<i64>,
    ) -> Result<impl Stream<Item = Result<JobStep>> + Send + use<>> {
        let scope = actor.allow(Permission::Read)?;
        let news = self.db().news();
        let job = self.job(actor, id).await?;
        let (after, ready) = match after {
            Some(after) => (after, Vec::new()),
            None => {
                let last = self.db().job_last_step(&scope, id).await?;
                let now = last.unwrap_or_else(|| Progress::before_the_first(&job));
                (now.seq, vec![now])
            }
        };
        let watch = Watch { domain: self.clone(), scope, news };
        let start = (watch, job.id, after, ready, false);
        Ok(try_unfold(start, |(mut watch, id, after, mut ready, ended)| async move {
            loop {
                if let Some(progress) = (!ready.is_empty()).then(|| ready.remove(0)) {
                    let job = watch.domain.db().job(&watch.scope, id).await?;
                    let job = job.ok_or_else(|| Error::not_found("job"))?;
                    let (seq, ended) = (progress.seq, progress.state.is_end());
                    return Ok(Some((JobStep { job, progress }, (watch, id, seq, ready, ended))));
                }
                if ended {
                    return Ok(None);
                }
                ready = watch.domain.db().job_progress(&watch.scope, id, after).await?;
                if ready.is_empty() {
                    let job = watch.domain.db().job(&watch.scope, id).await?;
                    // Whoever comes back after the last step is told at once that there is no more.
                    if job.is_none_or(|job| job.state.is_end()) {
                        ready = watch.domain.db().job_progress(&watch.scope, id, after).await?;
                        if ready.is_empty() {
                            return Ok(None);
                        }
                        continue;
                    }
                    watch.wait().await;
                }
            }
        }))
    }
}

/// The number that a stream begins behind: `head` if none was said.
fn checked(after: Option<i64>, head: i64) -> Result<i64> {
    let after = after.unwrap_or(head);
    if (0..=head).contains(&after) {
        return Ok(after);
    }
    Err(Error::new(Code::CursorInvalid, "This cursor is not of this stream.").at("after"))
}

/// What the events of a stream are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Finding,
    Approval,
}

/// A stream's ear.
struct Watch {
    domain: Domain,
    scope: Scope,
    news: broadcast::Receiver<Uuid>,
}

impl Watch {
    /// Returns when there may be something new for this company.
    async fn wait(&mut self) {
        let company = self.scope.company().unwrap_or_default();
        let heard = async {
            loop {
                match self.news.recv().await {
                    Ok(told) if told != company => {}
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let _late = tokio::time::timeout(LOOK, heard).await;
    }

    async fn changes(&self, filter: &FindingFilter, events: Vec<Told>) -> Result<Vec<FindingChange>> {
        let db = self.domain.db();
        if let Some(first) = events.first() {
            let micros = (self.domain.clock().now().0 - first.at.0).max(0);
            metrics::histogram!("countersign_stream_lag_seconds").record(micros as f64 / 1e6);
        }
        let mut ids: Vec<Uuid> = events.iter().map(|event| event.subject).collect();
        ids.sort_unstable();
        ids.dedup();
        let findings = db.findings_by_id(&self.scope, &ids).await?;
        let assets = db.assets_on(&self.scope, &findings).await?;
        let findings: HashMap<Uuid, Finding> =
            findings.into_iter().map(|finding| (finding.id, finding)).collect();
        let now = FindingFilter { now: self.domain.clock().now(), ..filter.clone() };
        let changes = events.into_iter().filter_map(|event| {
            let finding = findings.get(&event.subject)?;
            let created = event.kind == "finding_created";
            let delta = match now.holds(finding, assets.get(&finding.asset)?) {
                true if created => Delta::Entered,
                true => Delta::Changed,
                false if created => return None,
                false => Delta::Left,
            };
            let finding = finding.clone();
            Some(FindingChange { seq: event.seq, at: event.at, event: event.kind, delta, finding })
        });
        Ok(changes.collect())
    }
}
