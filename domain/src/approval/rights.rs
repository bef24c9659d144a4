//! Who may vote, alone or for others, who may take a question back, and who may review.

use uuid::Uuid;

use super::state::{Pending, Vote};
use super::{Approval, Emergency, Hand, SubjectKind};
use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::vocabulary::time::Timestamp;

/// The actor's voices: its own, if it may approve, and those of the approvers it stands in for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Voices(pub Vec<Uuid>);

impl Voices {
    /// A voice by which the actor can vote on a pending approval.
    pub(super) fn on(&self, approval: &Pending, hand: Hand) -> Result<Uuid> {
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

/// What the actor may do about an approval, or why not.
#[derive(Debug)]
pub struct ApprovalRights {
    pub vote: Result<()>,
    pub withdraw: Result<()>,
    pub emergency: Result<()>,
    pub review: Result<()>,
}

impl Domain {
    pub(super) async fn voices(&self, actor: &Actor, scope: &Scope, wanted: bool) -> Result<Voices> {
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
}

/// The scope of an actor with the right to anything that is asked for.
pub(super) fn asks(actor: &Actor) -> Result<Scope> {
    let rights = [Permission::WriteRules, Permission::Approve];
    let right = rights.into_iter().find(|right| actor.can(*right));
    actor.allow(right.unwrap_or(Permission::EditFindings))
}

pub(super) fn may_withdraw(actor: &Actor, approval: &Approval) -> Result<()> {
    asks(actor)?;
    approval.pending()?;
    let hand = Hand::of(actor);
    if approval.author.is(hand) || approval.editor.is(hand) || is_admin(actor) {
        return Ok(());
    }
    Err(Error::forbidden("take back what others asked for"))
}

pub(super) fn may_alone(actor: &Actor, approval: &Approval) -> Result<()> {
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

pub(super) fn may_review(actor: &Actor, approval: &Approval) -> Result<()> {
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
