//! Making a change that a second person agreed to: a job, so that it is made once, goes on after a crash
//! where it was, and says of each finding what became of it.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CHUNK, ChangeRequest, Item, ItemOutcome, RequestState, fields_of, moved};
use crate::Domain;
use crate::access::{Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::finding::batch::{Batch, Outcome};
use crate::finding::edit::{TRIES, Voice};
use crate::finding::facts::Finding;
use crate::finding::request::Moved;
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::job::{Job, JobKind, JobState};
use crate::ledger::AuditEntry;
use crate::store::{Tx, is_transient};

impl Tx {
    /// Begins to make the change of a request, in the transaction in which the last of those who had to
    /// agree did.
    pub(crate) async fn apply_change_request(&mut self, id: Uuid, job: Uuid, approval: Uuid) -> Result<()> {
        let request =
            self.lock_change_request(id).await?.ok_or_else(|| Error::not_found("change request"))?;
        let to = (RequestState::Waiting, RequestState::Applying);
        if !self.move_change_request(id, to, Some(job)).await? {
            return Err(Error::new(Code::IllegalState, "This change was made or dropped already."));
        }
        let params = json!({ "request": id, "edit": request.edit });
        self.insert_job(job, JobKind::BulkChange, JobState::Pending, &request.principal, None, &params)
            .await?;
        let told = json!({ "kind": JobKind::BulkChange, "edit": request.edit, "request": id });
        self.audit(AuditEntry::new("job.started", job).after(told));
        self.audit(
            AuditEntry::new("change_request.applying", id).after(json!({ "job": job, "approval": approval })),
        );
        Ok(())
    }

    /// Ends the request, if any, whose job ended before its time: what was not changed by then never is.
    pub(crate) async fn end_request_of(&mut self, job: &Job) -> Result<()> {
        let request = job.params.get("request").and_then(Json::as_str).and_then(|id| id.parse().ok());
        if let Some(request) = request.filter(|_| job.kind == JobKind::BulkChange) {
            self.move_change_request(request, (RequestState::Applying, RequestState::Applied), None).await?;
        }
        Ok(())
    }

    /// Drops a request that nobody agreed to in time, or that somebody refused or took back. `false`: it
    /// does not wait any more.
    pub(crate) async fn drop_change_request(&mut self, id: Uuid) -> Result<bool> {
        let to = (RequestState::Waiting, RequestState::Dropped);
        if !self.move_change_request(id, to, None).await? {
            return Ok(false);
        }
        self.audit(AuditEntry::new("change_request.dropped", id));
        Ok(true)
    }
}

/// How far the change is.
#[derive(Clone, Copy, Default)]
struct Tally {
    after: Uuid,
    applied: i64,
    moved: i64,
    gone: i64,
}

impl Tally {
    fn read(job: &Job) -> Self {
        Self {
            after: job.after(),
            applied: job.counted("applied"),
            moved: job.counted("moved"),
            gone: job.counted("gone"),
        }
    }

    fn add(mut self, items: &[Item]) -> Self {
        for item in items {
            match item.outcome {
                ItemOutcome::Waiting => {}
                ItemOutcome::Applied => self.applied += 1,
                ItemOutcome::Moved => self.moved += 1,
                ItemOutcome::Gone => self.gone += 1,
            }
            self.after = item.finding;
        }
        self
    }

    fn counts(self) -> Map<String, Json> {
        [("applied", self.applied), ("moved", self.moved), ("gone", self.gone)]
            .map(|(name, count)| (name.to_owned(), json!(count)))
            .into_iter()
            .collect()
    }

    fn step(self, total: i64, end: Option<(JobState, Option<Json>)>) -> Step<'static> {
        Step {
            stage: if end.is_some() { "finished" } else { "changing" },
            position: Some(json!({ "after": self.after })),
            total: Some(total),
            done: self.applied + self.moved + self.gone,
            counts: self.counts(),
            end,
        }
    }
}

impl Domain {
    pub(in crate::finding) async fn run_request(
        &self,
        job: &Job,
        id: Uuid,
        stop: &CancellationToken,
    ) -> Result<Left> {
        let actor = job.principal.actor(job.company);
        let scope = actor.allow(Permission::EditFindings)?;
        let request = self.db().change_requests_by_id(&scope.whole(), actor.id, &[id]).await?.pop();
        let request = request.ok_or_else(|| Error::not_found("change request"))?;
        let mut cause = Map::from_iter([
            ("request".to_owned(), json!(id)),
            ("approval".to_owned(), json!(request.approval)),
        ]);
        cause.extend(request.edit.reason().map(|reason| ("reason".to_owned(), json!(reason))));
        let cause = Json::from(cause);
        let mut tally = Tally::read(job);
        let mut tries = 0;
        while !stop.is_cancelled() {
            let mut items = self.db().items_to_apply(&scope, id, tally.after, CHUNK).await?;
            if items.is_empty() {
                return self.finish_request(job, &request, tally).await;
            }
            let outcome = self.applied(&scope, &request, &mut items, &cause).await?;
            let next = tally.add(&items);
            let mut tx = self.db().begin(&actor, &scope, self.clock().now()).await?;
            let written = match outcome.write(&mut tx).await {
                Ok(written) => written,
                Err(error) if is_transient(&error) => false,
                Err(error) => return Err(error),
            };
            if !written {
                tries += 1;
                if tries == TRIES {
                    return Err(Error::internal("findings were written by others every time"));
                }
                continue;
            }
            tx.settle_items(id, &items).await?;
            if !tx.step_job(job, &next.step(request.findings, None)).await? {
                return Ok(Left::Stopped);
            }
            tx.commit().await?;
            (tally, tries) = (next, 0);
        }
        Ok(Left::Stopped)
    }

    /// Makes the change in memory where findings still are as they were, and says of each what becomes
    /// of it.
    async fn applied(
        &self,
        scope: &Scope,
        request: &ChangeRequest,
        items: &mut [Item],
        cause: &Json,
    ) -> Result<Outcome> {
        let ids: Vec<Uuid> = items.iter().map(|item| item.finding).collect();
        let findings = self.db().findings_by_id(scope, &ids).await?;
        let open = self.accepted_among(scope, &findings, &request.edit).await?;
        let assets = self.db().assets_on(scope, &findings).await?;
        let mut findings: HashMap<Uuid, Finding> =
            findings.into_iter().map(|finding| (finding.id, finding)).collect();
        let now = self.clock().now();
        let by = request.principal.speaker.id;
        let voice = Voice { by, now, clock: self.clock(), request: Some(request.id) };
        let fields = request.edit.fields();
        let mut batch = Batch::new(now, cause);
        for item in items {
            let found = findings.remove(&item.finding);
            let found = found.and_then(|finding| Some((assets.get(&finding.asset)?, finding)));
            let Some((asset, finding)) = found else {
                item.outcome = ItemOutcome::Gone;
                continue;
            };
            let open = open.get(&finding.id);
            let is = fields_of(&fields, &finding, open);
            item.moved = moved(&item.was, &is);
            if item.moved.is_none() {
                let changes = request.edit.changes(&finding, open, &voice);
                let status = json!(finding.shown.status);
                match changes.and_then(|changes| batch.change(finding, asset, changes)) {
                    Ok(()) => {}
                    // Its lifecycle no longer has the move.
                    Err(error) if error.code == Code::IllegalState => {
                        let was = item.was.get("status").cloned().unwrap_or(Json::Null);
                        item.moved = Some(Moved { field: "status".to_owned(), was, is: status });
                    }
                    Err(error) => return Err(error),
                }
            }
            item.outcome = if item.moved.is_some() { ItemOutcome::Moved } else { ItemOutcome::Applied };
        }
        Ok(batch.pass(None))
    }

    async fn finish_request(&self, job: &Job, request: &ChangeRequest, tally: Tally) -> Result<Left> {
        let actor = job.principal.actor(job.company);
        let mut tx = self.db().begin(&actor, &job.scope(), self.clock().now()).await?;
        if !tx.step_job(job, &tally.step(request.findings, Some((JobState::Completed, None)))).await? {
            return Ok(Left::Stopped);
        }
        tx.move_change_request(request.id, (RequestState::Applying, RequestState::Applied), None).await?;
        let mut told = tally.counts();
        tx.audit(AuditEntry::new("change_request.applied", request.id).after(Json::from(told.clone())));
        told.insert("job".to_owned(), json!(job.id));
        told.insert("changed".to_owned(), json!(tally.applied));
        told.insert("unchanged".to_owned(), json!(0));
        told.insert("refused".to_owned(), json!(tally.moved + tally.gone));
        tx.audit(AuditEntry::new("job.ended", job.id).after(Json::from(told.clone())));
        tx.emit(Event::new(EventKind::FindingBulkUpdated, job.id, Json::from(told)));
        tx.commit().await?;
        Ok(Left::Ended)
    }
}
