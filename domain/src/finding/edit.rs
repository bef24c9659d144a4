//! What people do to findings, one at a time: edits, new findings, comments.
//!
//! Where the company's policy gates an edit, nothing of it happens: it becomes a request
//! (`finding/request.rs`).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::acceptance::{self, Acceptance, Terms};
use super::batch::Batch;
use super::change::Change;
use super::facts::{Evidence, Finding, scanner_statements};
use super::layers::{Grounds, Layers, Scalar, ScalarField, SetField, Source, Statement};
use super::request::{Draft, Made};
use super::shown::Shown;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::gateway::clock::Clock;
use crate::intake::fingerprint;
use crate::intake::report::Reported;
use crate::ledger::{AuditEntry, Speaker};
use crate::policy::Policy;
use crate::rule::pass::Exempt;
use crate::vocabulary::terms::{Justification, Severity, Status, Term};
use crate::vocabulary::time::Timestamp;

pub(super) const TRIES: usize = 20;

/// What a person wants of a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    SetStatus {
        status: Status,
        reason: Option<String>,
    },
    /// Says that it is not what the scanner takes it for, and why.
    CallFalse {
        justification: Justification,
        reason: Option<String>,
    },
    /// Bears its risk.
    Accept(Terms),
    /// Bears its risk for longer than was agreed.
    Extend {
        until: Timestamp,
        reason: String,
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
    /// Another status, with the justification that only a false positive has.
    pub fn status(
        status: Status,
        reason: Option<String>,
        justification: Option<Justification>,
    ) -> Result<Self> {
        match justification {
            None => Ok(Self::SetStatus { status, reason }),
            Some(justification) if status == Status::FalsePositive => {
                Ok(Self::CallFalse { justification, reason })
            }
            Some(_) => Err(Error::invalid("justification", "Only a false positive is justified like that.")),
        }
    }

    /// Brings the words of an edit into their form.
    pub(super) fn check(self, now: Timestamp) -> Result<Self> {
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
            // Whoever moves a finding there bears its risk, and says why.
            Self::SetStatus { status: Status::AcceptedRisk, reason } => {
                let reason = reason.unwrap_or_default();
                Self::Accept(Terms { reason, reference: None, owner: None, until: None }.check(now)?)
            }
            Self::SetStatus { status, reason: why } => Self::SetStatus { status, reason: reason(why)? },
            Self::CallFalse { justification, reason: why } => {
                Self::CallFalse { justification, reason: reason(why)? }
            }
            Self::Accept(terms) => Self::Accept(terms.check(now)?),
            Self::Extend { until, reason } => {
                acceptance::ahead(Some(until), now)?;
                Self::Extend { until, reason: acceptance::reason(&reason)? }
            }
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
    pub(super) fn assigned(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        match self {
            Self::Assign { add_users, add_teams, .. } => (add_users.clone(), add_teams.clone()),
            Self::Accept(Terms { owner, .. }) => (owner.iter().copied().collect(), Vec::new()),
            _ => (Vec::new(), Vec::new()),
        }
    }

    /// What is done, for whoever has to agree to it.
    pub(super) fn title(&self) -> String {
        match self {
            Self::SetStatus { status, .. } => format!("Status {status}"),
            Self::CallFalse { .. } => format!("Status {}", Status::FalsePositive),
            Self::Accept(_) => "Acceptance of the risk".to_owned(),
            Self::Extend { .. } => "Longer acceptance of the risk".to_owned(),
            Self::SetSeverity { severity, .. } => format!("Severity {severity}"),
            Self::Tag { .. } => "Tags".to_owned(),
            Self::Assign { .. } => "Assignment".to_owned(),
            Self::Release { fields } => format!("Release of {}", fields.join(", ")),
            Self::Link { .. } => "Issue".to_owned(),
        }
    }

    /// Whether the edit speaks of the acceptance of a finding's risk.
    pub(super) fn is_of_acceptance(&self) -> bool {
        matches!(self, Self::Accept(_) | Self::Extend { .. })
    }

    /// Whether the edit may bring a finding to show this status: what is released may show anything.
    pub(super) fn may_move_to(&self, status: Status) -> bool {
        match self {
            Self::SetStatus { status: to, .. } => *to == status,
            Self::CallFalse { .. } => status == Status::FalsePositive,
            Self::Accept(_) | Self::Extend { .. } => status == Status::AcceptedRisk,
            Self::Release { fields } => fields.iter().any(|field| field == "status"),
            _ => false,
        }
    }

    /// Whether the edit may make something that is critical or worse less so.
    pub(super) fn may_lower(&self) -> bool {
        match self {
            Self::SetSeverity { severity, .. } => *severity < Severity::Urgent,
            Self::Release { fields } => fields.iter().any(|field| field == ScalarField::Severity.word()),
            _ => false,
        }
    }

    /// The keys of the fields that the edit touches.
    pub(super) fn fields(&self) -> Vec<&str> {
        match self {
            Self::SetStatus { .. } | Self::CallFalse { .. } => vec!["status"],
            Self::Accept(_) | Self::Extend { .. } => vec!["status", "acceptance"],
            Self::SetSeverity { .. } => vec![ScalarField::Severity.word()],
            Self::Tag { .. } => vec![SetField::Tags.word()],
            Self::Assign { .. } => vec![SetField::AssignedUsers.word(), SetField::AssignedTeams.word()],
            Self::Release { fields } => fields.iter().map(String::as_str).collect(),
            Self::Link { .. } => vec!["issue"],
        }
    }

    /// Refuses what the policy does not let anybody agree to.
    pub(super) fn check_policy(&self, policy: &Policy, now: Timestamp) -> Result<()> {
        let until = match self {
            Self::Accept(terms) => terms.until,
            Self::Extend { until, .. } => Some(*until),
            _ => return Ok(()),
        };
        if policy.permits(until, now) {
            return Ok(());
        }
        let days = policy.acceptance_days.unwrap_or_default();
        let message =
            format!("The company accepts risks for at most {days} days: give an end date within them.");
        Err(Error::invalid("until", message))
    }

    /// The changes that the edit makes of a finding, whose risk is accepted as `open` says.
    ///
    /// # Errors
    ///
    /// `ILLEGAL_STATE` where there is no acceptance that could last longer.
    pub(super) fn changes(
        &self,
        finding: &Finding,
        open: Option<&Acceptance>,
        voice: &Voice<'_>,
    ) -> Result<Vec<Change>> {
        let source = Source::human(voice.by);
        let said = |statements| vec![Change::Said { source, statements }];
        let elements = |field, ids: &[Uuid], present| -> Vec<Statement> {
            ids.iter().map(|id| Statement::Element(field, id.to_string(), present)).collect()
        };
        let open = open.filter(|_| finding.is_accepted());
        Ok(match self {
            Self::SetStatus { status, reason } => {
                vec![voice.moves(*status, Grounds { reason: reason.clone(), justification: None })]
            }
            Self::CallFalse { justification, reason } => {
                let grounds = Grounds { reason: reason.clone(), justification: Some(*justification) };
                vec![voice.moves(Status::FalsePositive, grounds)]
            }
            Self::Accept(terms) if open.is_some_and(|open| open.terms == *terms) => Vec::new(),
            Self::Accept(terms) => vec![voice.accepts(finding, terms.clone())],
            Self::Extend { until, reason } => {
                let illegal = |message| Error::new(Code::IllegalState, message).at("id");
                let open = open.ok_or_else(|| illegal("Nobody has accepted the risk of this finding."))?;
                match open.terms.until {
                    None => return Err(illegal("This acceptance has no end date.")),
                    Some(end) if *until <= end => {
                        return Err(illegal("This acceptance lasts that long already."));
                    }
                    Some(_) => {}
                }
                let terms = Terms { until: Some(*until), reason: reason.clone(), ..open.terms.clone() };
                vec![voice.accepts(finding, terms)]
            }
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
        })
    }

    /// The owner of an acceptance is no assignee.
    pub(super) fn name_stranger(&self, mut error: Error) -> Error {
        if self.is_of_acceptance() && error.code == Code::NotFound {
            error.field = vec!["owner".to_owned()];
        }
        error
    }

    /// Why, in the person's words.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::SetStatus { reason, .. }
            | Self::CallFalse { reason, .. }
            | Self::SetSeverity { reason, .. } => reason.as_deref(),
            Self::Accept(Terms { reason, .. }) | Self::Extend { reason, .. } => Some(reason),
            _ => None,
        }
    }

    pub(super) fn cause(&self) -> Json {
        self.reason().map_or(Json::Null, |reason| json!({ "reason": reason }))
    }
}

/// Who makes an edit, and when.
pub(super) struct Voice<'a> {
    pub by: Uuid,
    pub now: Timestamp,
    pub clock: &'a Clock,
    /// The request by which a second person agreed.
    pub request: Option<Uuid>,
}

impl Voice<'_> {
    fn moves(&self, status: Status, grounds: Grounds) -> Change {
        Change::Moved { source: Source::human(self.by), status, grounds, at: self.now }
    }

    fn accepts(&self, finding: &Finding, terms: Terms) -> Change {
        let acceptance = Acceptance {
            id: self.clock.id(),
            company: finding.company,
            finding: finding.id,
            terms,
            by: Some(self.by),
            at: self.now,
            request: self.request,
            warned_at: None,
            ended: None,
        };
        Change::Accepted { acceptance: Box::new(acceptance) }
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
    /// Makes one change to one finding, or asks for it where the company's policy gates it. `expected`
    /// is the revision that the caller saw.
    pub async fn finding_edit(
        &self,
        actor: &Actor,
        id: Uuid,
        expected: Option<i64>,
        edit: Edit,
    ) -> Result<Made<Finding>> {
        let scope = actor.allow(Permission::EditFindings)?;
        let edit = edit.check(self.clock().now())?;
        let policy = self.db().change_policy(&scope).await?.policy;
        edit.check_policy(&policy, self.clock().now())?;
        let cause = edit.cause();
        for _ in 0..TRIES {
            let finding = self.db().findings_by_id(&scope, &[id]).await?.pop();
            let finding = finding.ok_or_else(|| Error::not_found("finding"))?;
            let open = self.accepted_among(&scope, std::slice::from_ref(&finding), &edit).await?;
            let assets = self.db().assets_on(&scope, std::slice::from_ref(&finding)).await?;
            let now = self.clock().now();
            let voice = Voice { by: actor.id, now, clock: self.clock(), request: None };
            let changes = edit.changes(&finding, open.get(&id), &voice)?;
            let mut draft = Draft::default();
            if policy.watches_people() {
                draft.add(&finding, open.get(&id), &edit, changes.clone())?;
            }
            let request = self.request_if_gated(actor, &scope, &policy, &edit, draft).await?;
            let mut tx = self.db().begin(actor, &scope, now).await?;
            if let Some(expected) = expected
                && expected != finding.revision
            {
                return Err(tx.conflict("finding", id, finding.revision).await?);
            }
            let (users, teams) = edit.assigned();
            let assignable = tx.require_assignable(&users, &teams).await;
            assignable.map_err(|error| edit.name_stranger(error))?;
            if let Some((request, items)) = request {
                return Ok(Made::Asked(Box::new(self.ask(tx, actor, &scope, request, items).await?)));
            }
            let asset =
                assets.get(&finding.asset).ok_or_else(|| Error::internal("a finding has no asset"))?;
            let mut batch = Batch::new(now, &cause);
            batch.change(finding.clone(), asset, changes)?;
            let outcome = batch.pass(None);
            if !outcome.unchanged().is_empty() {
                return Ok(Made::Done(finding));
            }
            if outcome.write(&mut tx).await? {
                tx.answer(id);
                tx.commit().await?;
                let finding = self.db().findings_by_id(&scope.whole(), &[id]).await?.pop();
                return finding.map(Made::Done).ok_or_else(|| Error::not_found("finding"));
            }
        }
        Err(Error::internal("a finding was written by others every time the change was tried"))
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
