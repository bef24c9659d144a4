//! What people do to findings: one at a time, or many at once.
//!
//! A change of many findings up to [`INLINE`] happens at once; a larger one is a job. Each finding
//! is changed or not by itself: one that cannot be (its lifecycle does not allow the move) is
//! counted as refused, and the others go on.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::{Batch, Outcome};
use super::change::Change;
use super::facts::{Evidence, Finding, Shown, scanner_statements};
use super::layers::{Layers, Scalar, ScalarField, SetField, Source, Statement};
use super::query::FindingFilter;
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::intake::fingerprint;
use crate::intake::report::Reported;
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::job::{Job, JobKind, JobState, Principal};
use crate::ledger::{AuditEntry, Speaker};
use crate::rule::pass::Exempt;
use crate::store::{Tx, is_transient};
use crate::vocabulary::criteria::{Compiled, Criteria};
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::terms::{Severity, Status, Term};
use crate::vocabulary::time::Timestamp;

/// Up to how many findings a change of many happens at once.
pub const INLINE: usize = 200;
/// How many ids a change of many may name.
pub const NAMED: usize = 10_000;
const CHUNK: usize = 200;
const TRIES: usize = 20;

/// What a person wants of a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    SetStatus {
        status: Status,
        reason: Option<String>,
    },
    SetSeverity {
        severity: Severity,
        reason: Option<String>,
    },
    Tag {
        add: Vec<String>,
        remove: Vec<String>,
    },
    Assign {
        add_users: Vec<Uuid>,
        add_teams: Vec<Uuid>,
        remove_users: Vec<Uuid>,
        remove_teams: Vec<Uuid>,
    },
    Release {
        fields: Vec<String>,
    },
    /// Says which issue it is of; one of its own, for none.
    Link {
        issue: Option<Uuid>,
    },
}

/// Which findings a change of many means.
#[derive(Clone, Debug)]
pub enum Selection {
    Ids(Vec<Uuid>),
    /// A criteria tree; everything in scope is never meant by accident.
    Matching(Json),
}

/// A finding that a person enters.
#[derive(Clone, Debug)]
pub struct NewFinding {
    pub project: Uuid,
    pub asset: Uuid,
    /// The one who found it: a part of the fingerprint; `manual` if not given.
    pub scanner: Option<String>,
    pub reported: Reported,
}

/// A comment on a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Comment {
    pub id: Uuid,
    pub finding: Uuid,
    pub author_id: Uuid,
    pub author: String,
    pub body: String,
    pub created_at: Timestamp,
}

impl Edit {
    /// Brings the words of an edit into their form.
    fn check(self) -> Result<Self> {
        let reason = |reason: Option<String>| {
            let reason = reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
            match reason {
                Some(text) if text.len() > 8 * 1_024 => {
                    Err(Error::invalid("reason", "A reason has at most 8 KiB."))
                }
                reason => Ok(reason),
            }
        };
        let tags = |field: &str, tags: Vec<String>| -> Result<Vec<String>> {
            let mut tags: Vec<String> = tags.iter().map(|tag| tag.trim().to_owned()).collect();
            tags.sort();
            tags.dedup();
            if tags.len() > 50
                || tags.iter().any(|tag| tag.is_empty() || tag.len() > 200 || tag.contains('\0'))
            {
                return Err(Error::invalid(field, "At most 50 tags of 1 to 200 bytes."));
            }
            Ok(tags)
        };
        Ok(match self {
            Self::SetStatus { status, reason: why } => Self::SetStatus { status, reason: reason(why)? },
            Self::SetSeverity { severity, reason: why } => {
                Self::SetSeverity { severity, reason: reason(why)? }
            }
            Self::Tag { add, remove } => {
                let (add, remove) = (tags("add", add)?, tags("remove", remove)?);
                if add.iter().any(|tag| remove.contains(tag)) {
                    return Err(Error::invalid("remove", "A tag is added or removed, not both."));
                }
                Self::Tag { add, remove }
            }
            Self::Release { fields } => {
                let known = |field: &&String| {
                    ["status", "issue"].contains(&field.as_str())
                        || ScalarField::parse(field).is_some()
                        || SetField::parse(field).is_some()
                };
                if fields.is_empty() {
                    return Err(Error::new(Code::Required, "Name the fields to release.").at("fields"));
                }
                if let Some(stranger) = fields.iter().find(|field| !known(field)) {
                    return Err(Error::invalid(
                        "fields",
                        format!("`{stranger}` is not a field that people set."),
                    ));
                }
                Self::Release { fields }
            }
            edit @ (Self::Assign { .. } | Self::Link { .. }) => edit,
        })
    }

    /// The people and teams that the edit adds.
    fn assigned(&self) -> (&[Uuid], &[Uuid]) {
        match self {
            Self::Assign { add_users, add_teams, .. } => (add_users, add_teams),
            _ => (&[], &[]),
        }
    }

    fn changes(&self, source: Source, now: Timestamp) -> Vec<Change> {
        let said = |statements| vec![Change::Said { source, statements }];
        let elements = |field, ids: &[Uuid], present| -> Vec<Statement> {
            ids.iter().map(|id| Statement::Element(field, id.to_string(), present)).collect()
        };
        match self {
            Self::SetStatus { status, .. } => vec![Change::Moved { source, status: *status, at: now }],
            Self::SetSeverity { severity, .. } => {
                said(vec![Statement::Set(ScalarField::Severity, Some(Scalar::Severity(*severity)))])
            }
            Self::Tag { add, remove } => said(
                add.iter()
                    .map(|tag| Statement::Element(SetField::Tags, tag.clone(), true))
                    .chain(remove.iter().map(|tag| Statement::Element(SetField::Tags, tag.clone(), false)))
                    .collect(),
            ),
            Self::Assign { add_users, add_teams, remove_users, remove_teams } => said(
                [
                    elements(SetField::AssignedUsers, add_users, true),
                    elements(SetField::AssignedTeams, add_teams, true),
                    elements(SetField::AssignedUsers, remove_users, false),
                    elements(SetField::AssignedTeams, remove_teams, false),
                ]
                .concat(),
            ),
            Self::Link { issue } => vec![Change::Linked { by: source.by, issue: *issue }],
            Self::Release { fields } => vec![Change::Released {
                scalars: fields.iter().filter_map(|field| ScalarField::parse(field)).collect(),
                sets: fields.iter().filter_map(|field| SetField::parse(field)).collect(),
                status: fields.iter().any(|field| field == "status"),
                issue: fields.iter().any(|field| field == "issue"),
            }],
        }
    }

    fn cause(&self) -> Json {
        match self {
            Self::SetStatus { reason: Some(reason), .. } | Self::SetSeverity { reason: Some(reason), .. } => {
                json!({ "reason": reason })
            }
            _ => Json::Null,
        }
    }
}

impl Finding {
    /// Whether the actor may change this finding, which it sees, or comment on it.
    pub fn may_edit(&self, actor: &Actor) -> Result<()> {
        actor.allow(Permission::EditFindings).map(drop)
    }

    /// Whether the actor may drop what people said of this finding: whether anybody said anything.
    pub fn may_release(&self, actor: &Actor) -> Result<()> {
        self.may_edit(actor)?;
        if self.layers.has_human() || self.issue_by.is_some() {
            return Ok(());
        }
        Err(Error::new(
            Code::IllegalState,
            "Nobody has said anything of this finding that could be released.",
        ))
    }
}

impl Domain {
    /// Makes one change to one finding. `expected` is the revision that the caller saw.
    pub async fn finding_edit(
        &self,
        actor: &Actor,
        id: Uuid,
        expected: Option<i64>,
        edit: Edit,
    ) -> Result<Finding> {
        let scope = actor.allow(Permission::EditFindings)?;
        let edit = edit.check()?;
        let cause = edit.cause();
        for _ in 0..TRIES {
            let finding = self.db().findings_by_id(&scope, &[id]).await?.pop();
            let finding = finding.ok_or_else(|| Error::not_found("finding"))?;
            let assets = self.db().assets_on(&scope, std::slice::from_ref(&finding)).await?;
            let now = self.clock().now();
            let mut tx = self.db().begin(actor, &scope, now).await?;
            if let Some(expected) = expected
                && expected != finding.revision
            {
                return Err(tx.conflict("finding", id, finding.revision).await?);
            }
            let (users, teams) = edit.assigned();
            tx.require_assignable(users, teams).await?;
            let asset =
                assets.get(&finding.asset).ok_or_else(|| Error::internal("a finding has no asset"))?;
            let mut batch = Batch::new(now, &cause);
            batch.change(finding.clone(), asset, edit.changes(Source::human(actor.id), now))?;
            let outcome = batch.pass(None);
            if !outcome.unchanged().is_empty() {
                return Ok(finding);
            }
            if outcome.write(&mut tx).await? {
                tx.answer(id);
                tx.commit().await?;
                let finding = self.db().findings_by_id(&scope.whole(), &[id]).await?.pop();
                return finding.ok_or_else(|| Error::not_found("finding"));
            }
        }
        Err(Error::internal("a finding was written by others every time the change was tried"))
    }

    /// Makes one change to many findings: at once, as a job that has ended when this returns, or as
    /// one that goes on. Its counts say what became of them: `changed`, `unchanged`, `refused`.
    pub async fn finding_bulk(&self, actor: &Actor, selection: Selection, edit: Edit) -> Result<Job> {
        let scope = actor.allow(Permission::EditFindings)?;
        let edit = edit.check().map_err(|error| error.at("edit"))?;
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
        let now = self.clock().now();
        let id = self.clock().id();
        let principal = Principal::of(actor);
        let mut tx = self.db().begin(actor, &scope, now).await?;
        let (users, teams) = edit.assigned();
        tx.require_assignable(users, teams).await.map_err(|error| error.at("edit"))?;
        if let Some(params) = params {
            tx.insert_job(id, JobKind::BulkChange, JobState::Pending, &principal, None, &params).await?;
            let told = json!({ "kind": JobKind::BulkChange, "edit": edit });
            tx.audit(AuditEntry::new("job.started", id).after(told));
            tx.answer(id);
            tx.commit().await?;
            self.wake_jobs();
            return self.job(actor, id).await;
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
                return self.job(actor, id).await;
            }
        }
        Err(Error::internal("findings were written by others every time the change was tried"))
    }

    /// The findings of `ids` that are in scope, edited.
    pub(super) async fn edited(
        &self,
        actor: &Actor,
        scope: &Scope,
        ids: &[Uuid],
        edit: &Edit,
        cause: &Json,
        now: Timestamp,
    ) -> Result<(Outcome, Tally)> {
        let findings = self.db().findings_by_id(scope, ids).await?;
        let assets = self.db().assets_on(scope, &findings).await?;
        let mut batch = Batch::new(now, cause);
        let mut tally = Tally::default();
        for finding in findings {
            let Some(asset) = assets.get(&finding.asset) else { continue };
            match batch.change(finding, asset, edit.changes(Source::human(actor.id), now)) {
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
        let edit: Edit = serde_json::from_value(job.params["edit"].clone()).map_err(Error::internal)?;
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

    /// Enters a finding by hand. It is passed like one that a scanner reports.
    pub async fn finding_create(&self, actor: &Actor, new: NewFinding) -> Result<Finding> {
        let scope = actor.allow(Permission::EditFindings)?;
        self.project(actor, new.project).await.map_err(|error| error.at("project"))?;
        let asset = self.asset(actor, new.asset).await.map_err(|error| error.at("asset"))?;
        let scanner =
            new.scanner.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
        let scanner = scanner.unwrap_or_else(|| "manual".to_owned());
        let id = self.clock().id();
        let mut reported = new.reported;
        reported.asset.name = asset.name.clone();
        if reported.identity.is_empty() {
            // What a person enters without an id of its own is always something new.
            reported.identity = vec![reported.scanner_reference.clone().unwrap_or_else(|| id.to_string())];
        }
        crate::intake::text::tidy(&mut reported, self.settings().limits.list);
        if reported.title.is_empty() {
            return Err(Error::new(Code::Required, "A finding has a title.").at("title"));
        }
        let fingerprint = fingerprint::fingerprint(fingerprint::VERSION, &scanner, &reported);
        for _ in 0..TRIES {
            let now = self.clock().now();
            let rules = self.live_rules(&scope, now).await?;
            let mut layers = Layers::new();
            layers.refresh(scanner_statements(&reported));
            let mut finding = Finding {
                id,
                company: scope.company()?,
                project: new.project,
                asset: asset.id,
                fingerprint,
                issue: id,
                issue_by: None,
                evidence: Evidence::of(&scanner, &reported),
                shown: Shown::of(&layers),
                layers,
                first_seen_at: reported.first_seen_at.unwrap_or(now).min(now),
                last_seen_at: now,
                sighting: None,
                closed_at: None,
                sla_breached: None,
                due_at: None,
                revision: 1,
                created_at: now,
                updated_at: now,
            };
            finding.correlate();
            let named = finding.vulnerabilities().into_iter().map(|name| (new.project, name));
            let known = self.known(&scope, &rules, named).await?;
            let mut batch = Batch::new(now, &Json::Null);
            batch.create(finding, &asset, known.as_ref())?;
            // What is new is exempt from nothing.
            let outcome = batch.pass(Some((&rules.matcher, &Exempt::default())));
            let mut tx = self.db().begin(actor, &scope, now).await?;
            if !outcome.write(&mut tx).await? {
                return Err(Error::new(Code::Taken, "There is already a finding with this identity."));
            }
            tx.answer(id);
            if tx.commit_under(rules.version).await?.is_some() {
                let finding = self.db().findings_by_id(&scope.whole(), &[id]).await?.pop();
                return finding.ok_or_else(|| Error::not_found("finding"));
            }
        }
        Err(Error::internal("the rules changed every time the finding was tried"))
    }

    /// Comments on a finding.
    pub async fn finding_comment(&self, actor: &Actor, id: Uuid, body: &str) -> Result<Comment> {
        let scope = actor.allow(Permission::EditFindings)?;
        let body = body.trim().replace('\0', "");
        if body.is_empty() || body.len() > 32 * 1_024 {
            return Err(Error::invalid("body", "A comment has 1 byte to 32 KiB."));
        }
        let finding = self.finding(actor, id).await?;
        let now = self.clock().now();
        let comment = Comment {
            id: self.clock().id(),
            finding: finding.id,
            author_id: actor.id,
            author: actor.name.clone(),
            body,
            created_at: now,
        };
        let mut tx = self.db().begin(actor, &scope, now).await?;
        tx.insert_comment(&comment, &Speaker::of(actor)).await?;
        tx.audit(
            AuditEntry::new("finding.commented", finding.id)
                .after(json!({ "comment": comment.id, "body": comment.body })),
        );
        let told = json!({ "comment": comment.id });
        tx.emit(Event::new(EventKind::FindingNoteAdded, finding.id, told));
        tx.answer(comment.id);
        tx.commit().await?;
        Ok(comment)
    }

    pub async fn comment(&self, actor: &Actor, id: Uuid) -> Result<Comment> {
        let scope = actor.allow(Permission::Read)?;
        self.db().comment(&scope, id).await?.ok_or_else(|| Error::not_found("comment"))
    }

    /// The comments on these findings, oldest first, at most 100 of each.
    pub async fn comments_on(&self, actor: &Actor, findings: &[Uuid]) -> Result<HashMap<Uuid, Vec<Comment>>> {
        let scope = actor.allow(Permission::Read)?;
        let mut comments: HashMap<Uuid, Vec<Comment>> = HashMap::new();
        for comment in self.db().comments_on(&scope, findings).await? {
            comments.entry(comment.finding).or_default().push(comment);
        }
        Ok(comments)
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
        let count = |name| job.counts.get(name).and_then(Json::as_i64).unwrap_or(0);
        let after = job.position.as_ref().and_then(|at| at.get("after")?.as_str()?.parse().ok());
        Self {
            after: after.unwrap_or_default(),
            changed: count("changed"),
            unchanged: count("unchanged"),
            refused: count("refused"),
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
