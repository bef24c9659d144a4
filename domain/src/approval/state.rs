//! The states of what waits for approval, and what leads from one to the next. Pure: a transition
//! consumes the state that it leaves, so none can be taken twice.

use uuid::Uuid;

use crate::error::{Code, Error, Result};
use crate::vocabulary::time::Timestamp;

/// Who wrote or voted: the account, and the person behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hand {
    pub id: Uuid,
    pub person: Uuid,
}

impl Hand {
    /// Whether one person is behind both.
    pub fn is(self, other: Self) -> bool {
        self.id == other.id || self.person == other.person
    }
}

/// A vote for what somebody saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub hand: Hand,
    /// Whose voice it is: the voter's own, or that of an approver who is away.
    pub voice: Uuid,
    pub comment: Option<String>,
    pub at: Timestamp,
}

/// What is still being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub author: Hand,
    /// Who wrote last.
    pub editor: Hand,
}

/// What waits for its votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub draft: Draft,
    /// The hash of what is to be approved.
    pub content_hash: String,
    /// How many votes it takes, at least one.
    pub required: usize,
    pub votes: Vec<Vote>,
}

/// What has the votes that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub content_hash: String,
    pub votes: Vec<Vote>,
}

/// What somebody refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub by: Hand,
    pub reason: String,
}

/// What a vote leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voted {
    /// Others have to vote too.
    Pending(Pending),
    Approved(Approved),
}

impl Draft {
    /// Asks for `required` votes.
    pub fn submit(self, content_hash: String, required: usize) -> Pending {
        Pending { draft: self, content_hash, required: required.max(1), votes: Vec::new() }
    }

    /// Refuses the voice of who wrote it.
    fn is_judged_by(&self, hand: Hand, voice: Uuid) -> Result<()> {
        let wrote = |other: Hand| other.is(hand) || other.person == voice || other.id == voice;
        if wrote(self.author) || wrote(self.editor) {
            let message = "Who wrote or last edited this does not decide on it: a second person does.";
            return Err(Error::new(Code::SelfApproval, message));
        }
        Ok(())
    }
}

impl Pending {
    /// A vote for what had the hash `seen`.
    ///
    /// # Errors
    ///
    /// `SELF_APPROVAL`; `CONFLICT` where something else is to be approved by now; `ILLEGAL_STATE` for a
    /// second vote of one voice or of one person.
    pub fn approve(self, vote: Vote, seen: &str) -> Result<Voted> {
        let mut voted = self.vote(vote, seen)?;
        if voted.votes.len() < voted.required {
            return Ok(Voted::Pending(voted));
        }
        let votes = std::mem::take(&mut voted.votes);
        Ok(Voted::Approved(Approved { content_hash: voted.content_hash, votes }))
    }

    /// A vote that suffices by itself: an emergency.
    pub fn approve_alone(self, vote: Vote, seen: &str) -> Result<Approved> {
        let voted = self.vote(vote, seen)?;
        Ok(Approved { content_hash: voted.content_hash, votes: voted.votes })
    }

    fn vote(mut self, vote: Vote, seen: &str) -> Result<Self> {
        self.draft.is_judged_by(vote.hand, vote.voice)?;
        if seen != self.content_hash {
            let message = "What is to be approved was changed since you saw it.";
            return Err(Error::new(Code::Conflict, message)
                .with("contentHash", self.content_hash)
                .at("contentHash"));
        }
        let again = |other: &Vote| other.voice == vote.voice || other.hand.is(vote.hand);
        if self.votes.iter().any(again) {
            return Err(Error::new(Code::IllegalState, "You have voted on this."));
        }
        self.votes.push(vote);
        Ok(self)
    }

    /// Refuses it, for a reason.
    pub fn reject(self, by: Hand, voice: Uuid, reason: &str) -> Result<Rejected> {
        self.draft.is_judged_by(by, voice)?;
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Error::new(Code::Required, "A rejection has a reason.").at("reason"));
        }
        Ok(Rejected { by, reason: reason.to_owned() })
    }

    /// Takes the question back: it is a draft again.
    pub fn withdraw(self) -> Draft {
        self.draft
    }
}

#[cfg(test)]
mod properties;
