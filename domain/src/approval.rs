//! What takes a second person: one queue for everything that can be approved.
//!
//! Whoever wants something to be approved opens an [`Approval`] with what it is about, its content and
//! hash, the difference that it makes and how much it touches. Its states and who may vote are pure
//! ([`state`]); the vote that decides does, in the same transaction, what the [`Subject`] stands for.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs};
use crate::store::Tx;
use crate::vocabulary::terms::{Term, terms};
use crate::vocabulary::time::{Span, Timestamp};
use state::{Pending, Vote, Voted};

pub use state::Hand;

pub mod absence;
pub mod due;
pub mod state;
pub(crate) mod store;

/// How long an emergency approval lasts, at most, before somebody reviews it.
pub const EMERGENCY: Span = Span(72 * Span::HOUR.0);
/// The most bytes of a reason or comment.
const TEXT: usize = 8 * 1_024;

terms! {
    /// Where an approval stands.
    Stage {
        Pending = "PENDING", Approved = "APPROVED", Rejected = "REJECTED", Withdrawn = "WITHDRAWN",
    }

    /// What kind of thing is to be approved.
    SubjectKind { Rule = "RULE", Change = "CHANGE", Policy = "POLICY" }
}

/// What is to be approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The draft of a rule.
    Rule(Uuid),
    /// A change of findings that a person asked for.
    Change(Uuid),
    /// What a company asks of changes, where it is to ask less.
    Policy(Uuid),
}

impl Subject {
    pub fn kind(self) -> SubjectKind {
        match self {
            Self::Rule(_) => SubjectKind::Rule,
            Self::Change(_) => SubjectKind::Change,
            Self::Policy(_) => SubjectKind::Policy,
        }
    }

    pub fn id(self) -> Uuid {
        match self {
            Self::Rule(id) | Self::Change(id) | Self::Policy(id) => id,
        }
    }

    pub(crate) fn new(kind: SubjectKind, id: Uuid) -> Self {
        match kind {
            SubjectKind::Rule => Self::Rule(id),
            SubjectKind::Change => Self::Change(id),
            SubjectKind::Policy => Self::Policy(id),
        }
    }
}

/// How many active findings something touches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlastRadius {
    /// None: more than is counted.
    pub count: Option<i64>,
    /// Of all active findings, from 0 to 1.
    pub share: Option<f64>,
    pub as_of: Timestamp,
}

/// An approval that one administrator gave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emergency {
    /// What was approved ends then, unless it is reviewed.
    pub until: Timestamp,
    pub review: Option<Review>,
}

/// What a second person made of an emergency approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Review {
    pub by: Uuid,
    pub at: Timestamp,
    pub upheld: bool,
}

/// Something that waits for a second person, or waited.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    pub id: Uuid,
    pub company: Uuid,
    pub subject: Subject,
    pub stage: Stage,
    pub title: String,
    /// Why it takes a second person.
    pub reasons: Vec<String>,
    /// What is to be approved: an object.
    pub content: Json,
    pub content_hash: String,
    /// `changed`, `before` and `after`.
    pub diff: Json,
    /// When it was asked for; once decided, at the decision.
    pub blast: BlastRadius,
    pub author: Hand,
    pub editor: Hand,
    /// How many votes it takes.
    pub required: usize,
    pub votes: Vec<Vote>,
    pub remind_at: Option<Timestamp>,
    pub reminded_at: Option<Timestamp>,
    /// It is withdrawn then.
    pub deadline: Option<Timestamp>,
    pub decided_at: Option<Timestamp>,
    pub decided_by: Option<Uuid>,
    /// Why it was rejected or withdrawn, or approved in an emergency.
    pub reason: Option<String>,
    pub emergency: Option<Emergency>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// What somebody asks to be approved.
#[derive(Clone, Debug)]
pub(crate) struct NewApproval {
    pub subject: Subject,
    pub title: String,
    pub reasons: Vec<String>,
    pub content: Json,
    pub content_hash: String,
    pub diff: Json,
    pub blast: BlastRadius,
    pub author: Hand,
    pub editor: Hand,
}

/// Which approvals: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct ApprovalFilter {
    /// Only those that wait for a vote of the actor.
    pub for_me: bool,
    pub stages: Vec<Stage>,
    pub kinds: Vec<SubjectKind>,
    /// Only emergencies that nobody has reviewed.
    pub unreviewed: bool,
    pub subject: Option<Uuid>,
}

/// How a company has things approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub quorum: usize,
    pub remind_after: Option<Span>,
    pub end_after: Option<Span>,
}

impl Hand {
    pub fn of(actor: &Actor) -> Self {
        Self { id: actor.id, person: actor.person }
    }
}

impl Approval {
    /// The approval as its states see it, while it is pending.
    fn pending(&self) -> Result<Pending> {
        if self.stage != Stage::Pending {
            let stage = self.stage.word().to_ascii_lowercase();
            return Err(Error::new(Code::IllegalState, format!("This is {stage} already.")));
        }
        let draft = state::Draft { author: self.author, editor: self.editor };
        let pending = draft.submit(self.content_hash.clone(), self.required);
        Ok(Pending { votes: self.votes.clone(), ..pending })
    }

    /// What the audit keeps of it.
    fn facts(&self) -> Json {
        json!({
            "subject": { "kind": self.subject.kind(), "id": self.subject.id() },
            "title": self.title, "stage": self.stage, "content_hash": self.content_hash,
            "reasons": self.reasons, "required": self.required,
            "blast": { "count": self.blast.count, "share": self.blast.share, "as_of": self.blast.as_of },
            "votes": self.votes.iter().map(|vote| json!({ "by": vote.hand.id, "voice": vote.voice,
                "comment": vote.comment, "at": vote.at })).collect::<Vec<_>>(),
            "reason": self.reason, "deadline": self.deadline,
            "emergency_until": self.emergency.map(|emergency| emergency.until),
        })
    }

    fn event(&self, kind: EventKind) -> Event {
        let payload = json!({ "subject": { "kind": self.subject.kind(), "id": self.subject.id() },
                              "title": self.title, "stage": self.stage });
        Event::new(kind, self.id, payload)
    }
}

/// The actor's voices: its own, if it may approve, and those of the approvers it stands in for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Voices(pub Vec<Uuid>);

impl Voices {
    /// A voice by which the actor can vote on a pending approval.
    fn on(&self, approval: &Pending, hand: Hand) -> Result<Uuid> {
        if self.0.is_empty() {
            return Err(Error::forbidden("approve"));
        }
        let mut refused = None;
        for voice in &self.0 {
            let vote = Vote { hand, voice: *voice, comment: None, at: Timestamp(0) };
            match approval.clone().approve(vote, &approval.content_hash) {
                Ok(_) => return Ok(*voice),
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        Err(refused.unwrap_or_else(|| Error::forbidden("approve")))
    }
}

impl Domain {
    /// An approval of the company; who covers only a part of it sees what they asked for themselves.
    pub async fn approval(&self, actor: &Actor, id: Uuid) -> Result<Approval> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().approvals_by_id(&scope, reader(actor), &[id]).await?.pop();
        found.ok_or_else(|| Error::not_found("approval"))
    }

    /// The approvals of these ids that [`Domain::approval`] finds, for a loader.
    pub async fn approvals_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Approval>> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().approvals_by_id(&scope, reader(actor), ids).await?;
        Ok(found.into_iter().map(|approval| (approval.id, approval)).collect())
    }

    /// Approvals, the newest first.
    pub async fn approvals(
        &self,
        actor: &Actor,
        filter: &ApprovalFilter,
        args: &PageArgs,
    ) -> Result<Page<Approval>> {
        let scope = actor.allow(Permission::Read)?;
        let voices = self.voices(actor, &scope, filter.for_me).await?;
        self.db().approvals(&scope, reader(actor), filter, (&voices, Hand::of(actor)), args).await
    }

    pub async fn approval_count(&self, actor: &Actor, filter: &ApprovalFilter) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        let voices = self.voices(actor, &scope, filter.for_me).await?;
        self.db().approval_count(&scope, reader(actor), filter, (&voices, Hand::of(actor))).await
    }

    async fn voices(&self, actor: &Actor, scope: &Scope, wanted: bool) -> Result<Voices> {
        if !wanted {
            return Ok(Voices::default());
        }
        // A token without this right does not give the votes of others either, and what others decide on
        // concerns the whole company.
        let scoped = actor.token_scopes.as_ref().is_none_or(|scopes| scopes.contains(&Permission::Approve));
        if !scoped || actor.portfolio != Portfolio::Whole {
            return Ok(Voices::default());
        }
        let mut voices = self.db().stood_in_for(scope, actor.person, self.clock().now()).await?;
        if actor.can(Permission::Approve) {
            voices.insert(0, actor.person);
        }
        Ok(Voices(voices))
    }

    /// Whether the actor may vote on an approval that it sees, withdraw it, or review it.
    pub async fn approval_rights(
        &self,
        actor: &Actor,
        approvals: &[&Approval],
    ) -> Result<Vec<ApprovalRights>> {
        let scope = actor.allow(Permission::Read)?;
        let voices = self.voices(actor, &scope, true).await?;
        let hand = Hand::of(actor);
        let rights = |approval: &&Approval| ApprovalRights {
            vote: approval.pending().and_then(|pending| voices.on(&pending, hand).map(drop)),
            withdraw: may_withdraw(actor, approval),
            emergency: may_alone(actor, approval),
            review: may_review(actor, approval),
        };
        Ok(approvals.iter().map(rights).collect())
    }

    /// Votes for what had the hash `seen`. The vote that suffices does what was asked for.
    pub async fn approval_approve(
        &self,
        actor: &Actor,
        id: Uuid,
        seen: &str,
        comment: Option<String>,
    ) -> Result<Approval> {
        let scope = actor.allow(Permission::Read)?;
        let comment = text(comment.unwrap_or_default(), "comment")?;
        let (mut tx, mut approval, held) = self.held(actor, &scope, id).await?;
        let pending = approval.pending()?;
        let voices = self.voices(actor, &scope, true).await?;
        let hand = Hand::of(actor);
        let voice = voices.on(&pending, hand)?;
        let vote = Vote { hand, voice, comment: (!comment.is_empty()).then_some(comment), at: tx.now() };
        tx.insert_vote(&approval, &vote).await?;
        match pending.approve(vote, seen)? {
            Voted::Pending(pending) => {
                approval.votes = pending.votes;
                self.note(&mut tx, &mut approval, "approval.voted", EventKind::ApprovalVoted).await?;
            }
            Voted::Approved(approved) => {
                approval.votes = approved.votes;
                self.decide(&mut tx, actor, &scope, &mut approval, held).await?;
            }
        }
        tx.answer(approval.id);
        tx.commit().await?;
        self.wake_jobs();
        Ok(approval)
    }

    /// Approves alone, for a reason, until a second person has reviewed it. For administrators who did
    /// not write it.
    pub async fn approval_approve_emergency(
        &self,
        actor: &Actor,
        id: Uuid,
        seen: &str,
        reason: &str,
        until: Timestamp,
    ) -> Result<Approval> {
        let scope = actor.allow(Permission::Approve)?;
        let reason = text(reason.to_owned(), "reason")?;
        if reason.is_empty() {
            return Err(Error::new(Code::Required, "An emergency has a reason.").at("reason"));
        }
        let (mut tx, mut approval, held) = self.held(actor, &scope, id).await?;
        may_alone(actor, &approval)?;
        if until <= tx.now() || until > tx.now().plus(EMERGENCY) {
            return Err(Error::invalid("until", "An emergency approval lasts for at most 72 hours."));
        }
        let hand = Hand::of(actor);
        let vote = Vote { hand, voice: actor.person, comment: None, at: tx.now() };
        if !approval.votes.iter().any(|vote| vote.hand.is(hand)) {
            tx.insert_vote(&approval, &vote).await?;
        }
        let others = Pending { votes: Vec::new(), ..approval.pending()? };
        let approved = others.approve_alone(vote, seen)?;
        approval.votes.retain(|vote| !vote.hand.is(hand));
        approval.votes.extend(approved.votes);
        approval.reason = Some(reason);
        approval.emergency = Some(Emergency { until, review: None });
        self.decide(&mut tx, actor, &scope, &mut approval, held).await?;
        tx.answer(approval.id);
        tx.commit().await?;
        self.wake_jobs();
        Ok(approval)
    }

    /// Refuses what waits, for a reason.
    pub async fn approval_reject(&self, actor: &Actor, id: Uuid, reason: &str) -> Result<Approval> {
        let scope = actor.allow(Permission::Read)?;
        let reason = text(reason.to_owned(), "reason")?;
        let (mut tx, mut approval, held) = self.held(actor, &scope, id).await?;
        let pending = approval.pending()?;
        let voices = self.voices(actor, &scope, true).await?;
        let voice = *voices.0.first().ok_or_else(|| Error::forbidden("reject"))?;
        let rejected = pending.reject(Hand::of(actor), voice, &reason)?;
        approval.stage = Stage::Rejected;
        approval.decided_by = Some(rejected.by.id);
        approval.reason = Some(rejected.reason);
        if let Held::Change(request) = held {
            tx.drop_change_request(request).await?;
        }
        self.note(&mut tx, &mut approval, "approval.rejected", EventKind::ApprovalRejected).await?;
        tx.answer(approval.id);
        tx.commit().await?;
        Ok(approval)
    }

    /// Takes a question back. For who wrote it, and for administrators.
    pub async fn approval_withdraw(&self, actor: &Actor, id: Uuid) -> Result<Approval> {
        let scope = asks(actor)?;
        let (mut tx, mut approval, _held) = self.held(actor, &scope, id).await?;
        may_withdraw(actor, &approval)?;
        approval.decided_by = Some(actor.id);
        self.withdraw(&mut tx, &mut approval, "It was taken back.").await?;
        tx.answer(approval.id);
        tx.commit().await?;
        Ok(approval)
    }

    /// Says what a second person makes of an emergency approval: it holds, or what it did is stopped.
    pub async fn approval_review(&self, actor: &Actor, id: Uuid, upheld: bool) -> Result<Approval> {
        let scope = actor.allow(Permission::Approve)?;
        let (mut tx, mut approval, held) = self.held(actor, &scope, id).await?;
        may_review(actor, &approval)?;
        let Some(emergency) = &mut approval.emergency else {
            return Err(Error::internal("an approval without an emergency passed for one"));
        };
        emergency.review = Some(Review { by: actor.id, at: tx.now(), upheld });
        match held {
            Held::Rule(rule) => self.rule_reviewed(&mut tx, actor, *rule, &approval, upheld).await?,
            // Nobody approves those alone.
            Held::Change(_) | Held::Policy => {}
        }
        self.note(&mut tx, &mut approval, "approval.reviewed", EventKind::ApprovalReviewed).await?;
        tx.answer(approval.id);
        tx.commit().await?;
        Ok(approval)
    }

    /// Asks for an approval in `tx`.
    pub(crate) async fn open_approval(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        scope: &Scope,
        new: NewApproval,
    ) -> Result<Approval> {
        let terms = tx.approval_terms(scope).await?;
        let now = tx.now();
        let approval = Approval {
            id: self.clock().id(),
            company: scope.company()?,
            subject: new.subject,
            stage: Stage::Pending,
            title: new.title,
            reasons: new.reasons,
            content: new.content,
            content_hash: new.content_hash,
            diff: new.diff,
            blast: new.blast,
            author: new.author,
            editor: new.editor,
            required: terms.quorum.max(1),
            votes: Vec::new(),
            remind_at: terms.remind_after.map(|span| now.plus(span)),
            reminded_at: None,
            deadline: terms.end_after.map(|span| now.plus(span)),
            decided_at: None,
            decided_by: None,
            reason: None,
            emergency: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        tx.insert_approval(&approval).await?;
        tx.audit(AuditEntry::new("approval.requested", approval.id).after(approval.facts()));
        tx.emit(approval.event(EventKind::ApprovalRequested));
        tracing::debug!(approval = %approval.id, by = %actor.id, "an approval was asked for");
        Ok(approval)
    }

    /// Takes back a question that something else made pointless, if it still waits.
    pub(crate) async fn supersede(&self, tx: &mut Tx, approval: Option<Uuid>, reason: &str) -> Result<()> {
        let Some(id) = approval else { return Ok(()) };
        let Some(mut approval) = tx.approval_to_change(id).await? else { return Ok(()) };
        if approval.stage == Stage::Pending {
            self.withdraw(tx, &mut approval, reason).await?;
        }
        Ok(())
    }

    async fn withdraw(&self, tx: &mut Tx, approval: &mut Approval, reason: &str) -> Result<()> {
        let _draft = approval.pending()?.withdraw();
        approval.stage = Stage::Withdrawn;
        approval.reason = Some(reason.to_owned());
        if let Subject::Change(request) = approval.subject {
            tx.drop_change_request(request).await?;
        }
        self.note(tx, approval, "approval.withdrawn", EventKind::ApprovalWithdrawn).await
    }

    /// Does what was approved.
    async fn decide(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        scope: &Scope,
        approval: &mut Approval,
        held: Held,
    ) -> Result<()> {
        approval.stage = Stage::Approved;
        approval.decided_by = Some(actor.id);
        match held {
            Held::Rule(rule) => {
                let emergency = approval.emergency;
                self.rule_goes_live(tx, scope, *rule, approval, emergency.as_ref()).await?;
            }
            Held::Change(request) => {
                tx.apply_change_request(request, self.clock().id(), approval.id).await?;
            }
            Held::Policy => tx.put_approved_policy(approval).await?,
        }
        self.note(tx, approval, "approval.approved", EventKind::ApprovalApproved).await
    }

    /// Writes what became of an approval, audited and told.
    async fn note(
        &self,
        tx: &mut Tx,
        approval: &mut Approval,
        action: &'static str,
        kind: EventKind,
    ) -> Result<()> {
        let now = tx.now();
        approval.updated_at = now;
        approval.version += 1;
        if approval.stage != Stage::Pending {
            approval.decided_at = approval.decided_at.or(Some(now));
        }
        tx.update_approval(approval).await?;
        tx.audit(AuditEntry::new(action, approval.id).after(approval.facts()));
        tx.emit(approval.event(kind));
        Ok(())
    }

    /// An approval that the actor sees, and what it is about, both held: that first, as whoever edits
    /// it holds it before its approval.
    async fn held(&self, actor: &Actor, scope: &Scope, id: Uuid) -> Result<(Tx, Approval, Held)> {
        let seen = self.approval(actor, id).await?;
        // How much it touches is told as it is when somebody decides, not as it was when it was asked.
        let blast = match seen.subject {
            Subject::Rule(rule) if seen.stage == Stage::Pending => {
                let rule = self.rule_as_drafted(actor, rule).await?;
                Some(self.blast_radius(&rule).await?)
            }
            Subject::Rule(_) | Subject::Change(_) | Subject::Policy(_) => None,
        };
        let mut tx = self.db().begin(actor, scope, self.clock().now()).await?;
        let held = match seen.subject {
            Subject::Rule(rule) => Held::Rule(Box::new(tx.rule_to_edit(scope, rule, None).await?)),
            // Only what becomes of its approval moves a request.
            Subject::Change(request) => Held::Change(request),
            Subject::Policy(_) => {
                tx.lock_change_policy().await?;
                Held::Policy
            }
        };
        let approval = tx.approval_to_change(id).await?.ok_or_else(|| Error::not_found("approval"))?;
        let blast = blast.unwrap_or(approval.blast);
        Ok((tx, Approval { blast, ..approval }, held))
    }
}

/// What an approval is about, as a transaction holds it.
enum Held {
    Rule(Box<crate::rule::Rule>),
    Change(Uuid),
    Policy,
}

/// What the actor may do about an approval, or why not.
#[derive(Debug)]
pub struct ApprovalRights {
    pub vote: Result<()>,
    pub withdraw: Result<()>,
    pub emergency: Result<()>,
    pub review: Result<()>,
}

/// Whose questions alone an actor sees: its own, where it covers a part of the company.
fn reader(actor: &Actor) -> Option<Uuid> {
    (actor.portfolio != Portfolio::Whole).then_some(actor.person)
}

/// The scope of an actor with the right to anything that is asked for.
fn asks(actor: &Actor) -> Result<Scope> {
    let rights = [Permission::WriteRules, Permission::Approve];
    let right = rights.into_iter().find(|right| actor.can(*right));
    actor.allow(right.unwrap_or(Permission::EditFindings))
}

fn may_withdraw(actor: &Actor, approval: &Approval) -> Result<()> {
    asks(actor)?;
    approval.pending()?;
    let hand = Hand::of(actor);
    if approval.author.is(hand) || approval.editor.is(hand) || is_admin(actor) {
        return Ok(());
    }
    Err(Error::forbidden("take back what others asked for"))
}

fn may_alone(actor: &Actor, approval: &Approval) -> Result<()> {
    actor.allow(Permission::Approve)?;
    if !is_admin(actor) {
        return Err(Error::forbidden("approve alone"));
    }
    if approval.subject.kind() != SubjectKind::Rule {
        let message = "Only a rule is approved in an emergency: it can be stopped when its time is over.";
        return Err(Error::new(Code::IllegalState, message));
    }
    let pending = Pending { votes: Vec::new(), ..approval.pending()? };
    Voices(vec![actor.person]).on(&pending, Hand::of(actor)).map(drop)
}

fn may_review(actor: &Actor, approval: &Approval) -> Result<()> {
    actor.allow(Permission::Approve)?;
    let Some(Emergency { review: None, .. }) = approval.emergency else {
        return Err(Error::new(Code::IllegalState, "There is nothing to be reviewed."));
    };
    let hand = Hand::of(actor);
    let concerned = approval.votes.iter().map(|vote| vote.hand).chain([approval.author, approval.editor]);
    if concerned.into_iter().any(|other| other.is(hand)) {
        let message = "Who wrote this or approved it does not review it: another person does.";
        return Err(Error::new(Code::SelfApproval, message));
    }
    Ok(())
}

fn is_admin(actor: &Actor) -> bool {
    matches!(actor.role, Role::Admin | Role::PlatformAdmin) && actor.can(Permission::Approve)
}

fn text(text: String, field: &str) -> Result<String> {
    let text = text.trim().replace('\0', "");
    if text.len() > TEXT {
        return Err(Error::invalid(field, format!("This has at most {TEXT} bytes.")));
    }
    Ok(text)
}
