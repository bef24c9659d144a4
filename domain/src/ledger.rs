//! What was done, in an order that nobody can change: the audit chain of each company, and the
//! events beside it.
//!
//! Entry *n* has `digest = SHA-256(content)` and `hash = SHA-256(hash of n-1, n, digest)`; the hash
//! before the first is 32 zero bytes. Numbers have no gaps and follow the order of commits.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::access::{Actor, ActorKind};
use crate::error::{Error, Result};

pub mod audit;
pub mod store;
pub mod verify;

pub type Hash = [u8; 32];

/// The hash before the first entry.
pub const GENESIS: Hash = [0; 32];

/// Who is written into an entry: the actor without its rights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speaker {
    pub kind: ActorKind,
    pub id: Uuid,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl Speaker {
    pub fn of(actor: &Actor) -> Self {
        Self {
            kind: actor.kind,
            id: actor.id,
            name: actor.name.clone(),
            token: actor.token,
            session: actor.session,
            address: actor.address.clone(),
            trace: actor.trace.clone(),
        }
    }
}

/// A JSON value as the ledger writes it: text.
#[derive(Clone, Debug)]
pub struct Document(Text);

#[derive(Clone, Debug)]
enum Text {
    Own(String),
    /// What many entries of a transaction say alike, or one after the other, is there once.
    Part {
        of: Arc<String>,
        begin: u32,
        end: u32,
    },
}

impl Document {
    pub fn of(value: &impl Serialize) -> Self {
        Self::written(serde_json::to_string(value).expect("maps of text keys encode"))
    }

    /// A document that was written before, or is stored: `text` is one JSON value.
    pub(crate) fn written(text: String) -> Self {
        Self(Text::Own(text))
    }

    /// A document that stands in a longer text: that part of it is one JSON value.
    pub(crate) fn part(of: &Arc<String>, Range { start, end }: Range<u32>) -> Self {
        Self(Text::Part { of: Arc::clone(of), begin: start, end })
    }

    /// The document as one that costs nothing to clone.
    #[must_use]
    pub fn shared(self) -> Self {
        match self.0 {
            Text::Own(text) => match u32::try_from(text.len()) {
                Ok(end) => Self(Text::Part { of: Arc::new(text), begin: 0, end }),
                Err(_) => Self(Text::Own(text)),
            },
            Text::Part { .. } => self,
        }
    }

    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Own(text) => text,
            Text::Part { of, begin, end } => &of[*begin as usize..*end as usize],
        }
    }

    pub fn into_text(self) -> String {
        match self.0 {
            Text::Own(text) => text,
            Text::Part { .. } => self.as_str().to_owned(),
        }
    }

    /// The value, read from the text.
    pub fn json(&self) -> Result<Json> {
        serde_json::from_str(self.as_str()).map_err(Error::internal)
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Document {}

impl From<Json> for Document {
    fn from(value: Json) -> Self {
        Self::written(value.to_string())
    }
}

/// What a transaction says that it did to one record.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Noun and past participle: `asset.created`, `finding.rule_applied`.
    pub action: &'static str,
    pub record: Uuid,
    pub before: Option<Document>,
    pub after: Option<Document>,
    /// Because of what: the rule and its version, the import, the reason a person gave.
    pub cause: Option<Document>,
    /// The rule of whose turn on a finding it tells, if it does: what it is found by.
    pub rule: Option<Uuid>,
}

impl AuditEntry {
    pub fn new(action: &'static str, record: Uuid) -> Self {
        Self { action, record, before: None, after: None, cause: None, rule: None }
    }

    /// The noun of the action: what kind of record it is of.
    pub fn record_kind(&self) -> &'static str {
        self.action.split_once('.').map_or(self.action, |(noun, _)| noun)
    }

    #[must_use]
    pub fn before(mut self, before: impl Into<Document>) -> Self {
        self.before = Some(before.into());
        self
    }

    #[must_use]
    pub fn after(mut self, after: impl Into<Document>) -> Self {
        self.after = Some(after.into());
        self
    }

    #[must_use]
    pub fn because(mut self, cause: impl Into<Document>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

/// The parts of an entry that are hashed, as they are stored.
pub struct Content<'a> {
    pub at: i64,
    pub action: &'a str,
    pub record_kind: &'a str,
    pub record: Uuid,
    pub actor: &'a str,
    pub before: Option<&'a str>,
    pub after: Option<&'a str>,
    pub cause: Option<&'a str>,
}

impl Content<'_> {
    /// Every part with its length in front, so that no two contents look alike.
    pub fn digest(&self) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(self.at.to_be_bytes());
        hasher.update(self.record.as_bytes());
        for text in [self.action, self.record_kind, self.actor] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        for text in [self.before, self.after, self.cause] {
            match text {
                Some(text) => {
                    hasher.update((text.len() as u64).to_be_bytes());
                    hasher.update(text);
                }
                None => hasher.update(u64::MAX.to_be_bytes()),
            }
        }
        hasher.finalize().into()
    }
}

/// The hash of entry `seq`, which follows the entry hashed as `previous`.
pub fn chain(previous: &Hash, seq: i64, digest: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(seq.to_be_bytes());
    hasher.update(digest);
    hasher.finalize().into()
}
