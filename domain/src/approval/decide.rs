//! Asking, voting, refusing, taking back, reviewing: each one transaction, which also does what follows.

use uuid::Uuid;

use super::rights::{asks, may_alone, may_review, may_withdraw};
use super::state::{Pending, Vote, Voted};
use super::{Approval, Emergency, Hand, NewApproval, Review, Stage, Subject};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::EventKind;
use crate::ledger::AuditEntry;
use crate::store::Tx;
use crate::vocabulary::time::{Span, Timestamp};

/// How long an emergency approval lasts, at most, before somebody reviews it.
const EMERGENCY: Span = Span(72 * Span::HOUR.0);
/// The most bytes of a reason or comment.
const TEXT: usize = 8 * 1_024;

impl Domain {
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
        let voices = self.voices(actor, &scope, true).await?;
        let (mut tx, mut approval, held) = self.held(actor, &scope, id).await?;
        let pending = approval.pending()?;
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
        let voices = self.voices(actor, &scope, true).await?;
        let (mut tx, mut approval, held) = self.held(actor, &scope, id).await?;
        let pending = approval.pending()?;
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

    pub(super) async fn withdraw(&self, tx: &mut Tx, approval: &mut Approval, reason: &str) -> Result<()> {
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
    pub(super) async fn note(
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

fn text(text: String, field: &str) -> Result<String> {
    let text = text.trim().replace('\0', "");
    if text.len() > TEXT {
        return Err(Error::invalid(field, format!("This has at most {TEXT} bytes.")));
    }
    Ok(text)
}
