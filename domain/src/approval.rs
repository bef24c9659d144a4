//! What takes a second person: one queue for everything that can be approved.
//!
//! Whoever wants something to be approved opens an [`Approval`] with what it is about, its content and
//! hash, the difference that it makes and how much it touches. Its states and who may vote are pure
//! ([`state`]); the vote that decides does, in the same transaction, what the [`Subject`] stands for.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Portfolio};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::page::{Page, PageArgs};
use crate::vocabulary::terms::{Term, terms};
use crate::vocabulary::time::{Span, Timestamp};
use state::{Pending, Vote};

pub use rights::ApprovalRights;
pub use state::Hand;

pub mod absence;
mod decide;
pub mod due;
mod rights;
pub mod state;
pub(crate) mod store;

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
}

/// Whose questions alone an actor sees: its own, where it covers a part of the company.
fn reader(actor: &Actor) -> Option<Uuid> {
    (actor.portfolio != Portfolio::Whole).then_some(actor.person)
}
