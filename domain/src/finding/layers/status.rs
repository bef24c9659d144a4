//! The status of a finding: where its lifecycle stands and why, and what others call it meanwhile.

use serde::{Deserialize, Serialize};

use super::{Entry, Layer, Stack};
use crate::vocabulary::terms::{Justification, Status};

/// What somebody calls a finding whose scanner goes on seeing it: a VEX statement, a suppression, an
/// acceptance. It lies over the lifecycle and never takes the finding away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Verdict {
    /// `FALSE_POSITIVE`, `ACCEPTED_RISK` or `FIXED`.
    pub status: Status,
    /// Why, in the word of the format: `vulnerable_code_not_present`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// Why, in the words of the author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// Who says so: a vendor, a person, a file of suppressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

impl Verdict {
    /// A verdict whose reason is kept by who gives it.
    pub fn of(status: Status) -> Self {
        Self { status, justification: None, statement: None, author: None }
    }
}

/// Why a person moved the lifecycle. Of an accepted risk its acceptance says more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grounds {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<Justification>,
}

impl Grounds {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The status of a finding: its lifecycle and the verdicts that lie over it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusLayers {
    /// Where the lifecycle stands, and who moved it there.
    pub lifecycle: Entry<Status>,
    /// Why it was moved there.
    #[serde(default, skip_serializing_if = "Grounds::is_empty")]
    pub grounds: Grounds,
    #[serde(default, skip_serializing_if = "Stack::is_empty")]
    pub verdicts: Stack<Verdict>,
}

impl StatusLayers {
    pub fn is_settled(&self) -> bool {
        self.lifecycle.source.layer >= Layer::Runbook
    }

    pub fn shown(&self) -> Status {
        self.verdict().map_or(self.lifecycle.value, |top| top.value.status)
    }

    /// The verdict that is shown: it lies over the lifecycle until that says FIXED or CLOSED, or a
    /// person or a runbook has decided otherwise.
    pub fn verdict(&self) -> Option<&Entry<Verdict>> {
        let ended = matches!(self.lifecycle.value, Status::Fixed | Status::Closed);
        self.verdicts.top().filter(|_| !ended && !self.is_settled())
    }
}
