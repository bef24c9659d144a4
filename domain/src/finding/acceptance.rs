//! Accepted risks: why a person bears one, who answers for it, and until when.
//!
//! An acceptance is open as long as the lifecycle of its finding stands at ACCEPTED_RISK. It begins with
//! [`Change::Accepted`](super::change::Change), and whatever moves the lifecycle on ends it, in the same
//! transaction: both are told by the [`Batch`](super::batch::Batch). At its end date the server opens the
//! finding again (`acceptance/ending.rs`). What a rule accepts is kept with the rule.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::facts::Finding;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};
use crate::finding::layers::{Layer, Source};
use crate::page::{Page, PageArgs, Window};
use crate::vocabulary::terms::{Status, terms};
use crate::vocabulary::time::Timestamp;

pub(crate) mod ending;
pub(crate) mod store;

/// The most bytes of a reason or a reference.
const TEXT: usize = 8 * 1_024;

terms! {
    /// How an acceptance came to its end.
    AcceptanceEnd {
        Fixed = "FIXED", Expired = "EXPIRED", Reopened = "REOPENED", Extended = "EXTENDED",
        Revoked = "REVOKED",
    }
}

/// What is agreed on when a risk is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub reason: String,
    /// Where it is written down elsewhere: a ticket, a register of risks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The user who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Uuid>,
    /// When the finding is open again; never, if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Terms {
    /// Brings the words into their form, and checks that the end lies ahead.
    pub(crate) fn check(self, now: Timestamp) -> Result<Self> {
        let reference =
            self.reference.map(|text| text.trim().to_owned()).filter(|reference| !reference.is_empty());
        if reference.as_ref().is_some_and(|text| text.len() > TEXT) {
            return Err(Error::invalid("reference", "A reference has at most 8 KiB."));
        }
        ahead(self.until, now)?;
        Ok(Self { reason: reason(&self.reason)?, reference, ..self })
    }

    /// The terms for the audit.
    pub(crate) fn json(&self) -> Json {
        json!(self)
    }
}

/// The reason of an acceptance, which is never empty.
pub(crate) fn reason(text: &str) -> Result<String> {
    let text = text.trim();
    match text.len() {
        0 => Err(Error::new(Code::Required, "Say why the risk is borne.").at("reason")),
        len if len > TEXT => Err(Error::invalid("reason", "A reason has at most 8 KiB.")),
        _ => Ok(text.to_owned()),
    }
}

/// Refuses an end date that has passed.
pub(crate) fn ahead(until: Option<Timestamp>, now: Timestamp) -> Result<()> {
    if until.is_some_and(|until| until <= now) {
        return Err(Error::invalid("until", "The end date lies ahead."));
    }
    Ok(())
}

/// A risk that a person accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    pub id: Uuid,
    pub company: Uuid,
    pub finding: Uuid,
    pub terms: Terms,
    /// Who accepted it; none where that was not kept.
    pub by: Option<Uuid>,
    pub at: Timestamp,
    /// The request by which a second person agreed.
    pub request: Option<Uuid>,
    /// When its end was warned of.
    pub warned_at: Option<Timestamp>,
    pub ended: Option<(Timestamp, AcceptanceEnd)>,
}

impl Acceptance {
    /// Whether the actor may accept this risk for longer.
    pub fn may_extend(&self, actor: &Actor) -> Result<()> {
        actor.allow(Permission::EditFindings)?;
        match (self.ended, self.terms.until) {
            (Some(_), _) => Err(Error::new(Code::IllegalState, "This acceptance has ended.")),
            (None, None) => Err(Error::new(Code::IllegalState, "This acceptance has no end date.")),
            (None, Some(_)) => Ok(()),
        }
    }
}

impl Finding {
    /// Whether the lifecycle says that its risk is accepted, whatever a rule says over it.
    pub fn is_accepted(&self) -> bool {
        self.layers.status().lifecycle.value == Status::AcceptedRisk
    }

    /// Who moved the lifecycle to where it stands, if that was a person.
    pub fn decided_by(&self) -> Option<Uuid> {
        let Source { layer, by } = self.layers.status().lifecycle.source;
        (layer == Layer::Human).then_some(by)
    }

    /// The rule whose acceptance is what the finding shows.
    pub fn accepting_rule(&self) -> Option<Uuid> {
        let verdict = self.layers.status().verdict()?;
        let accepts = verdict.value.status == Status::AcceptedRisk && verdict.source.layer == Layer::Rule;
        accepts.then_some(verdict.source.by)
    }
}

/// Which acceptances a list has: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct AcceptanceFilter {
    pub owner: Option<Uuid>,
    pub finding: Option<Uuid>,
    pub project: Option<Uuid>,
    /// Those that have not ended, or those that have.
    pub open: Option<bool>,
    pub ending_before: Option<Timestamp>,
    /// Whether it is as the policy in force asks: with an end that is near enough, and agreed to by a
    /// second person.
    pub conforming: Option<bool>,
}

impl Domain {
    /// The acceptances of findings in scope, the first to end first, those without an end last.
    pub async fn acceptances(
        &self,
        actor: &Actor,
        filter: &AcceptanceFilter,
        page: &PageArgs,
    ) -> Result<Page<Acceptance>> {
        let scope = actor.allow(Permission::Read)?;
        let window = Window::new(page, store::FIRST_TO_END)?;
        self.db().acceptances(&scope, filter, &window).await
    }

    pub async fn acceptance_count(&self, actor: &Actor, filter: &AcceptanceFilter) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.db().acceptance_count(&scope, filter).await
    }

    pub async fn acceptance(&self, actor: &Actor, id: Uuid) -> Result<Acceptance> {
        let scope = actor.allow(Permission::Read)?;
        self.db().acceptance(&scope, id).await?.ok_or_else(|| Error::not_found("acceptance"))
    }

    /// The open acceptances of these findings, for a loader.
    pub async fn acceptances_of(
        &self,
        actor: &Actor,
        findings: &[Uuid],
    ) -> Result<HashMap<Uuid, Acceptance>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().open_acceptances(&scope, findings).await
    }
}
