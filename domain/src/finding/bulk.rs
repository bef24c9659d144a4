//! What people do to many findings at once.
//!
//! A change of up to [`INLINE`] findings happens at once; a larger one is a job. Each finding is changed
//! or not by itself: one that cannot be (its lifecycle does not allow the move) is counted as refused,
//! and the others go on.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::acceptance::Acceptance;
use super::batch::{Batch, Outcome};
use super::edit::{Edit, TRIES, Voice};
use super::facts::Finding;
use super::query::{Count, FindingFilter};
use super::request::{Draft, Made};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::job::{Job, JobKind, JobState, Principal};
use crate::ledger::AuditEntry;
use crate::policy::{ChangeFacts, Policy};
use crate::store::{Tx, is_transient};
use crate::vocabulary::criteria::{Compiled, Criteria};
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::terms::{Severity, Status};
use crate::vocabulary::time::Timestamp;

/// Up to how many findings a change of many happens at once.
pub const INLINE: usize = 200;
/// How many ids a change of many may name, and how many findings a request may cover.
pub const NAMED: usize = 10_000;
pub(super) const CHUNK: usize = 200;

/// Which findings a change of many means.
#[derive(Clone, Debug)]
pub enum Selection {
    Ids(Vec<Uuid>),
    /// A criteria tree; everything in scope is never meant by accident.
    Matching(Json),
}

impl Domain {
    /// Makes one change to many findings: at once, as a job that has ended when this returns, or as
    /// one that goes on. Its counts say what became of them: `changed`, `unchanged`, `refused`. Where the
    /// company's policy gates the change, it is asked for instead.
    pub async fn finding_bulk(&self, actor: &Actor, selection: Selection, edit: Edit) -> Result<Made<Job>> {
        let scope = actor.allow(Permission::EditFindings)?;
        let now = self.clock().now();
        let policy = self.db().change_policy(&scope).await?.policy;
        let edit = edit.check(now).and_then(|edit| edit.check_policy(&policy, now).map(|()| edit));
        let edit = edit.map_err(|error| error.at("edit"))?;
        let draft = self.draft_of_many(actor, &scope, &policy, &selection, &edit).await?;
        let request = self.request_if_gated(actor, &scope, &policy, &edit, draft).await?;
        let (ids, params) = match selection {
            Selection::Ids(ids) if ids.len() > NAMED => {
                return Err(Error::invalid(
                    "ids",
                    format!("Name at most {NAMED} findings, or use a filter."),
                ));
            }
            Selection::Ids(ids) => {
                let params = (ids.len() > INLINE).then(|| json!({ "ids": ids, "edit": edit }));
                (ids, params)
            }
            Selection::Matching(criteria) => {
                let filter = self.finding_filter(Some(&criteria))?;
                let ids = self.db().finding_ids(&scope, &filter, Uuid::nil(), INLINE + 1).await?;
                let params = (ids.len() > INLINE).then(|| json!({ "filter": criteria, "edit": edit }));
                (ids, params)
            }
        };
        let id = self.clock().id();
        let principal = Principal::of(actor);
        let mut tx = self.db().begin(actor, &scope, now).await?;
        let (users, teams) = edit.assigned();
        let assignable = tx.require_assignable(&users, &teams).await;
        assignable.map_err(|error| edit.name_stranger(error).at("edit"))?;
        if let Some((request, items)) = request {
            return Ok(Made::Asked(Box::new(self.ask(tx, actor, &scope, request, items).await?)));
        }
        if let Some(params) = params {
            tx.insert_job(id, JobKind::BulkChange, JobState::Pending, &principal, None, &params).await?;
            let told = json!({ "kind": JobKind::BulkChange, "edit": edit });
            tx.audit(AuditEntry::new("job.started", id).after(told));
            tx.answer(id);
            tx.commit().await?;
            self.wake_jobs();
            return self.job(actor, id).await.map(Made::Done);
        }
        drop(tx);
        let cause = edit.cause();
        let params = json!({ "ids": ids, "edit": edit });
        for _ in 0..TRIES {
            let (outcome, tally) = self.edited(actor, &scope, &ids, &edit, &cause, now).await?;
            let mut tx = self.db().begin(actor, &scope, now).await?;
            if outcome.write(&mut tx).await? {
                tx.insert_job(id, JobKind::BulkChange, JobState::Running, &principal, None, &params).await?;
                tx.step_job_at(id, 0, &tally.step("finished", Some((JobState::Completed, None)))).await?;
                tally.tell(&mut tx, id);
                tx.answer(id);
                tx.commit().await?;
                return self.job(actor, id).await.map(Made::Done);
            }
        }
        Err(Error::internal("findings were written by others every time the change was tried"))
    }

    /// What a change of many findings comes to, where the policy may gate it.
    ///
    /// # Errors
    ///
    /// `INVALID` where more findings would have to be agreed to than a request covers.
    async fn draft_of_many(
        &self,
        actor: &Actor,
        scope: &Scope,
        policy: &Policy,
        selection: &Selection,
        edit: &Edit,
    ) -> Result<Draft> {
        let mut draft = Draft::default();
        if !policy.watches_people() {
            return Ok(draft);
        }
        let ids = match selection {
            Selection::Ids(ids) => {
                let mut ids = ids.clone();
                ids.sort_unstable();
                ids.dedup();
                ids
            }
            Selection::Matching(criteria) => {
                let filter = self.finding_filter(Some(criteria))?;
                let ids = self.db().finding_ids(scope, &filter, Uuid::nil(), NAMED + 1).await?;
                if ids.len() > NAMED {
                    self.refuse_if_gated(scope, policy, criteria, edit).await?;
                    return Ok(draft);
                }
                ids
            }
        };
        for ids in ids.chunks(CHUNK) {
            let findings = self.db().findings_by_id(scope, ids).await?;
            let open = self.accepted_among(scope, &findings, edit).await?;
            let voice = Voice { by: actor.id, now: self.clock().now(), clock: self.clock(), request: None };
            for finding in &findings {
                let open = open.get(&finding.id);
                match edit
                    .changes(finding, open, &voice)
                    .and_then(|changes| draft.add(finding, open, edit, changes))
                {
                    Ok(()) => {}
                    Err(error) if error.code == Code::IllegalState => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(draft)
    }

    /// Refuses a change of more findings than a request covers, where it would be gated: taken for the
    /// worst that it can be.
    async fn refuse_if_gated(
        &self,
        scope: &Scope,
        policy: &Policy,
        criteria: &Json,
        edit: &Edit,
    ) -> Result<()> {
        let count = async |tree: &Criteria| -> Result<i64> {
            let filter = FindingFilter::new(Some(Compiled::new(tree)), self.clock().now());
            Ok(match self.db().finding_count(scope, &filter).await? {
                Count::Exact(count) => count,
                Count::Unknown(_) => i64::MAX,
            })
        };
        let asked = Criteria::parse(&FINDING, criteria)?;
        let lowered = if policy.lowering_critical && edit.may_lower() {
            let critical = json!({ "field": "severity", "operator": "gte_ord", "value": Severity::Critical });
            count(&Criteria::parse(&FINDING, &critical)?.and(asked.clone())).await?
        } else {
            0
        };
        let to = |status| i64::from(edit.may_move_to(status));
        let gates = policy.gates(&ChangeFacts {
            accepted: to(Status::AcceptedRisk),
            called_false: to(Status::FalsePositive),
            lowered,
            touched: if policy.counts() { count(&asked).await? } else { 0 },
            active: self.db().count_active(scope).await?,
            rule: false,
        });
        if gates.is_empty() {
            return Ok(());
        }
        let message = format!(
            "A second person has to agree to this change, to at most {NAMED} findings at a time: this filter finds more."
        );
        Err(Error::invalid("filter", message).with("gates", json!(gates)))
    }

    /// The open acceptances of these findings, where the edit speaks of any.
    pub(super) async fn accepted_among(
        &self,
        scope: &Scope,
        findings: &[Finding],
        edit: &Edit,
    ) -> Result<HashMap<Uuid, Acceptance>> {
        if !edit.is_of_acceptance() {
            return Ok(HashMap::new());
        }
        let accepted: Vec<Uuid> =
            findings.iter().filter(|finding| finding.is_accepted()).map(|finding| finding.id).collect();
        self.db().open_acceptances(&scope.whole(), &accepted).await
    }

    /// The findings of `ids` that are in scope, edited. One of which the policy in force gates what would
    /// become of it is refused: it came to be so after the change was asked for.
    pub(super) async fn edited(
        &self,
        actor: &Actor,
        scope: &Scope,
        ids: &[Uuid],
        edit: &Edit,
        cause: &Json,
        now: Timestamp,
    ) -> Result<(Outcome, Tally)> {
        let policy = self.db().change_policy(scope).await?.policy;
        let findings = self.db().findings_by_id(scope, ids).await?;
        let open = self.accepted_among(scope, &findings, edit).await?;
        let assets = self.db().assets_on(scope, &findings).await?;
        let voice = Voice { by: actor.id, now, clock: self.clock(), request: None };
        let mut batch = Batch::new(now, cause);
        let mut tally = Tally::default();
        for finding in findings {
            let Some(asset) = assets.get(&finding.asset) else { continue };
            let open = open.get(&finding.id);
            let changed = edit.changes(&finding, open, &voice).and_then(|changes| {
                policy.refuse_kinds(&finding, &changes)?;
                batch.change(finding, asset, changes)
            });
            match changed {
                Ok(()) => {}
                Err(error) if error.code == Code::IllegalState => tally.refused += 1,
                Err(error) => return Err(error),
            }
        }
        let outcome = batch.pass(None);
        tally.changed = outcome.changed();
        tally.unchanged = i64::try_from(outcome.unchanged().len()).unwrap_or(i64::MAX);
        Ok((outcome, tally))
    }

    pub(crate) async fn run_bulk_change(&self, job: &Job, stop: &CancellationToken) -> Result<Left> {
        let actor = job.principal.actor(job.company);
        let scope = actor.allow(Permission::EditFindings)?;
        if let Some(request) = job.params.get("request").and_then(Json::as_str) {
            return self.run_request(job, request.parse().map_err(Error::internal)?, stop).await;
        }
        let edit: Edit = serde_json::from_value(job.params["edit"].clone()).map_err(Error::internal)?;
        let edit = edit.check(job.created_at)?;
        let named: Option<Vec<Uuid>> = job
            .params
            .get("ids")
            .map(|ids| serde_json::from_value(ids.clone()).map_err(Error::internal))
            .transpose()?;
        let named = named.map(|mut ids| {
            ids.sort_unstable();
            ids.dedup();
            ids
        });
        let filter = match job.params.get("filter") {
            Some(criteria) => {
                let tree = Criteria::parse(&FINDING, criteria).map_err(Error::from)?;
                FindingFilter::new(Some(Compiled::new(&tree)), job.created_at)
            }
            None => FindingFilter::new(None, job.created_at),
        };
        let mut tally = Tally::read(job);
        let cause = edit.cause();
        let mut tries = 0;
        while !stop.is_cancelled() {
            let after = tally.after;
            let ids: Vec<Uuid> = match &named {
                Some(ids) => ids.iter().copied().filter(|id| *id > after).take(CHUNK).collect(),
                None => self.db().finding_ids(&scope, &filter, after, CHUNK).await?,
            };
            let Some(last) = ids.last().copied() else {
                return self.finish_bulk(job, &actor, &scope, &tally).await;
            };
            let now = self.clock().now();
            let (outcome, chunk) = self.edited(&actor, &scope, &ids, &edit, &cause, now).await?;
            let next = Tally {
                after: last,
                changed: tally.changed + chunk.changed,
                unchanged: tally.unchanged + chunk.unchanged,
                refused: tally.refused + chunk.refused,
            };
            let mut tx = self.db().begin(&actor, &scope, now).await?;
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
            if !tx.step_job(job, &next.step("changing", None)).await? {
                return Ok(Left::Stopped);
            }
            tx.commit().await?;
            (tally, tries) = (next, 0);
        }
        Ok(Left::Stopped)
    }

    async fn finish_bulk(&self, job: &Job, actor: &Actor, scope: &Scope, tally: &Tally) -> Result<Left> {
        let mut tx = self.db().begin(actor, scope, self.clock().now()).await?;
        if !tx.step_job(job, &tally.step("finished", Some((JobState::Completed, None)))).await? {
            return Ok(Left::Stopped);
        }
        tally.tell(&mut tx, job.id);
        tx.commit().await?;
        Ok(Left::Ended)
    }
}

/// How far a change of many is.
#[derive(Default)]
pub(super) struct Tally {
    after: Uuid,
    changed: i64,
    unchanged: i64,
    refused: i64,
}

impl Tally {
    fn read(job: &Job) -> Self {
        Self {
            after: job.after(),
            changed: job.counted("changed"),
            unchanged: job.counted("unchanged"),
            refused: job.counted("refused"),
        }
    }

    /// Says what came of the change, at its end.
    fn tell(&self, tx: &mut Tx, job: Uuid) {
        let told = json!({ "job": job, "changed": self.changed, "unchanged": self.unchanged,
                           "refused": self.refused });
        tx.audit(AuditEntry::new("job.ended", job).after(told.clone()));
        tx.emit(Event::new(EventKind::FindingBulkUpdated, job, told));
    }

    fn step(&self, stage: &'static str, end: Option<(JobState, Option<Json>)>) -> Step<'static> {
        let done = self.changed + self.unchanged + self.refused;
        Step {
            stage,
            position: Some(json!({ "after": self.after })),
            total: end.is_some().then_some(done),
            done,
            counts: Map::from_iter([
                ("changed".to_owned(), json!(self.changed)),
                ("unchanged".to_owned(), json!(self.unchanged)),
                ("refused".to_owned(), json!(self.refused)),
            ]),
            end,
        }
    }
}
