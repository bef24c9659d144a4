//! The sweep: the pass over findings that are there already, as a job of small chunks.

use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::finding::batch::{Batch, Outcome};
use crate::finding::change::Change;
use crate::finding::facts::Finding;
use crate::finding::store::Swath;
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::job::{Job, JobKind, JobState, Principal};
use crate::ledger::AuditEntry;
use crate::store::{RulesVersion, Tx, is_transient};

/// How many findings a chunk reads: few enough that a writer of SQLite is not held for long.
const CHUNK: i64 = 250;
/// How often a chunk is tried again after others wrote its findings or rules meanwhile.
const TRIES: usize = 20;

/// How a chunk came out.
enum Kept {
    Yes,
    /// Others wrote the same findings or the rules meanwhile.
    Again,
    /// The job is no longer ours.
    Lost,
}

/// Where a sweep stands.
struct Swept {
    after: Uuid,
    done: i64,
    changed: i64,
}

impl Domain {
    pub(crate) async fn run_sweep(&self, job: &Job, stop: &CancellationToken) -> Result<Left> {
        let scope = job.scope();
        let swath = swath(&job.params);
        let number = |name| job.at(name).and_then(Json::as_i64).unwrap_or(0);
        let mut swept = Swept { after: job.after(), done: number("done"), changed: number("changed") };
        let total = self.db().count_to_sweep(&scope, swath).await?;
        while !stop.is_cancelled() {
            let chunk = self.db().findings_to_sweep(&scope, swath, swept.after, CHUNK).await?;
            if chunk.is_empty() {
                return self.finish_sweep(job, &swept, total).await;
            }
            if !self.sweep_chunk(job, swath, chunk, &mut swept, total).await? {
                return Ok(Left::Stopped);
            }
            tokio::task::yield_now().await;
        }
        Ok(Left::Stopped)
    }

    /// Passes one chunk. `false`: the job is no longer ours.
    async fn sweep_chunk(
        &self,
        job: &Job,
        swath: Swath,
        chunk: Vec<Finding>,
        swept: &mut Swept,
        total: i64,
    ) -> Result<bool> {
        let scope = job.scope();
        let ids: Vec<Uuid> = chunk.iter().map(|finding| finding.id).collect();
        let last = ids.last().copied().unwrap_or_default();
        let mut chunk = chunk;
        for _ in 0..TRIES {
            let cause = json!({ "job": job.id });
            let (rules, outcome) = match swath {
                // What VEX documents say hangs on the asset's name, which may be what changed.
                Swath::Asset(_) => {
                    let heard = self.hear(&scope, &ids, &cause).await?;
                    (heard.rules, heard.outcome)
                }
                Swath::Company => self.passed(&scope, chunk, None, &cause).await?,
                Swath::AcceptedBy(rule) => self.passed(&scope, chunk, Some(rule), &cause).await?,
            };
            let after = Swept {
                after: last,
                done: swept.done + i64::try_from(ids.len()).unwrap_or(i64::MAX),
                changed: swept.changed + outcome.changed(),
            };
            match self.keep_sweep(job, outcome, &after, total, rules).await {
                Ok(Kept::Yes) => {
                    *swept = after;
                    return Ok(true);
                }
                Ok(Kept::Lost) => return Ok(false),
                Ok(Kept::Again) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
            chunk = self.db().findings_by_id(&scope, &ids).await?;
        }
        Err(Error::internal("a chunk of a sweep was written by others every time it was tried"))
    }

    /// The pass over findings as they are; or as they are when what `lapsed` accepted has ended. A rule
    /// that holds withdraws that by itself.
    async fn passed(
        &self,
        scope: &Scope,
        chunk: Vec<Finding>,
        lapsed: Option<Uuid>,
        cause: &Json,
    ) -> Result<(RulesVersion, Outcome)> {
        let now = self.clock().now();
        let rules = self.live_rules(scope, now).await?;
        let assets = self.db().assets_on(scope, &chunk).await?;
        let holds = |rule: &Uuid| rules.matcher.rules().iter().any(|live| live.enforced && live.id == *rule);
        let changes: Vec<Change> = lapsed
            .filter(|rule| !holds(rule))
            .map(|rule| Change::Lapsed { rule: Some(rule) })
            .into_iter()
            .collect();
        let exempt = self.exempt(scope, &rules, chunk.iter().map(|finding| finding.id)).await?;
        let mut batch = Batch::new(now, cause);
        for finding in chunk {
            if let Some(asset) = assets.get(&finding.asset) {
                batch.change(finding, asset, changes.clone())?;
            }
        }
        Ok((rules.version, batch.pass(Some((&rules.matcher, &exempt)))))
    }

    async fn keep_sweep(
        &self,
        job: &Job,
        outcome: Outcome,
        after: &Swept,
        total: i64,
        rules: RulesVersion,
    ) -> Result<Kept> {
        let actor = job.principal.actor(job.company);
        let mut tx = self.db().begin(&actor, &job.scope(), self.clock().now()).await?;
        if !outcome.write(&mut tx).await? {
            return Ok(Kept::Again);
        }
        if !tx.step_job(job, &after.step(total, None)).await? {
            return Ok(Kept::Lost);
        }
        Ok(if tx.commit_under(rules).await?.is_some() { Kept::Yes } else { Kept::Again })
    }

    async fn finish_sweep(&self, job: &Job, swept: &Swept, total: i64) -> Result<Left> {
        let actor = job.principal.actor(job.company);
        let tx = self.db().begin(&actor, &job.scope(), self.clock().now()).await?;
        if !tx.step_job(job, &swept.step(total.max(swept.done), Some((JobState::Completed, None)))).await? {
            return Ok(Left::Stopped);
        }
        tx.commit().await?;
        Ok(Left::Ended)
    }
}

/// Which findings the parameters of a sweep name.
fn swath(params: &Json) -> Swath {
    let id = |of: &str| params.get(of).and_then(Json::as_str).and_then(|id| id.parse::<Uuid>().ok());
    match (id("asset"), id("rule")) {
        (Some(asset), _) => Swath::Asset(asset),
        (None, Some(rule)) => Swath::AcceptedBy(rule),
        (None, None) => Swath::Company,
    }
}

impl Swept {
    fn step(&self, total: i64, end: Option<(JobState, Option<Json>)>) -> Step<'static> {
        Step {
            stage: if end.is_some() { "finished" } else { "sweeping" },
            position: Some(json!({ "after": self.after, "done": self.done, "changed": self.changed })),
            total: Some(total),
            done: self.done,
            counts: Map::from_iter([("changed".to_owned(), json!(self.changed))]),
            end,
        }
    }
}

impl Domain {
    /// Runs the pass over every active finding of the company as a job; returns its id.
    pub async fn rule_sweep(&self, actor: &Actor) -> Result<Uuid> {
        let scope = actor.allow(Permission::WriteRules)?;
        let id = self.clock().id();
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        tx.start_sweep(id, &Principal::of(actor), &json!({})).await?;
        tx.commit().await?;
        self.wake_jobs();
        Ok(id)
    }
}

impl Tx {
    /// Starts a pass over findings as a job of this transaction: `params` may name one `asset`, or a
    /// `rule` whose end date has come.
    pub(crate) async fn start_sweep(&mut self, id: Uuid, principal: &Principal, params: &Json) -> Result<()> {
        self.insert_job(id, JobKind::Sweep, JobState::Pending, principal, None, params).await?;
        self.audit(
            AuditEntry::new("job.started", id).after(json!({ "kind": JobKind::Sweep, "params": params })),
        );
        Ok(())
    }
}
