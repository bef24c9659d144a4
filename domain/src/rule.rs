//! Rules: policies that hold for findings from the moment they arrive.
//!
//! A rule has a live version, which passes evaluate, and perhaps a draft that is to take its place
//! ([`draft`]). What is written goes live at once, or, where the rule is gated, once a second person
//! approved it ([`gate`]).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, GLOBAL, Permission};
use crate::error::{Code, Error, Result};
use crate::page::{Page, PageArgs};
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;
use action::Action;
use pass::Mode;

pub mod action;
pub mod analysis;
pub mod application;
pub mod backtest;
pub mod company_mode;
pub mod conformance;
pub mod draft;
pub mod edit;
pub mod exemption;
pub mod expiry;
pub mod gate;
pub mod library;
pub mod limits;
pub mod live;
pub mod matcher;
pub mod pass;
pub mod preview;
pub mod revoke;
pub(crate) mod script;
pub mod set;
pub mod store;
pub mod sweep;
pub mod test;
pub mod title;
pub mod version;
pub mod warnings;
mod writing;

pub use draft::{RuleDraft, check_criteria};

terms! {
    /// What becomes of a rule's entries when it expires.
    OnExpiry { Keep = "KEEP", Revert = "REVERT" }
}

/// What a rule does and where: the part of it that has versions and may need approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    pub name: String,
    pub description: Option<String>,
    /// Rules are walked in ascending order, the older first among equals.
    pub order: i32,
    /// The criteria tree in its published form.
    pub criteria: Json,
    pub action: Action,
    pub expires_at: Option<Timestamp>,
    pub on_expiry: OnExpiry,
    /// Whether a change of it takes a second person.
    pub requires_approval: bool,
}

impl Content {
    /// SHA-256, in hexadecimal, of what an approval binds to: all but the words, in `company`.
    pub fn hash(&self, company: Uuid) -> String {
        let bound = json!({
            "company": company, "criteria": self.criteria, "action": self.action, "order": self.order,
            "expires_at": self.expires_at, "on_expiry": self.on_expiry,
            "requires_approval": self.requires_approval,
        });
        let digest = Sha256::digest(bound.to_string());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As versions, the audit and approvals keep it: an object.
    pub(crate) fn json(&self) -> Json {
        serde_json::to_value(self).expect("the content of a rule encodes")
    }
}

/// Since when which version of a rule is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    pub version: i64,
    pub since: Timestamp,
    /// It was approved in an emergency, and nobody has reviewed that yet: it ends then.
    pub emergency_until: Option<Timestamp>,
}

/// A rule as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub id: Uuid,
    /// The company, or [`GLOBAL`].
    pub company: Uuid,
    /// Its stable name for programs; unique in its company.
    pub key: String,
    /// Which suggested rule it was made of.
    pub library_key: Option<String>,
    pub mode: Mode,
    /// What is live; of a rule that never was, what its draft says.
    pub content: Content,
    pub content_hash: String,
    /// Whether a change of its content waits for approval: it is itself changed only by what goes live.
    pub gated: bool,
    /// None: it never was live.
    pub live: Option<Live>,
    pub author: Uuid,
    pub archived_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts its changes, those of its draft too.
    pub version: i64,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct RuleFilter {
    pub modes: Vec<Mode>,
    /// Archived rules are listed only where they are asked for.
    pub archived: bool,
    /// Words of the name, ignoring ASCII case.
    pub query: Option<String>,
}

impl Rule {
    /// The whole rule, as its versions and the audit keep it.
    pub(crate) fn snapshot(&self) -> Json {
        let mut all = self.content.json();
        all["key"] = json!(self.key);
        all["mode"] = json!(self.mode);
        all["archived"] = json!(self.archived_at.is_some());
        all
    }

    /// The rule with other content.
    pub(crate) fn saying(self, content: Content) -> Self {
        Self { content_hash: content.hash(self.company), content, ..self }
    }

    pub fn is_global(&self) -> bool {
        self.company == GLOBAL
    }

    /// Whether the actor may edit this rule, which it sees, or set its mode.
    pub fn may_edit(&self, actor: &Actor) -> Result<()> {
        self.may_archive(actor)?;
        if self.archived_at.is_some() {
            return Err(Error::new(Code::IllegalState, "An archived rule is not changed."));
        }
        Ok(())
    }

    /// Whether the actor may archive this rule, which it sees.
    pub fn may_archive(&self, actor: &Actor) -> Result<()> {
        let scope = actor.allow(Permission::WriteRules)?;
        if self.company == scope.company()? {
            return Ok(());
        }
        Err(Error::forbidden("change global rules"))
    }

    /// Why the rule does nothing at `now`, if it does nothing.
    pub fn idle(&self, now: Timestamp) -> Option<&'static str> {
        let Some(live) = self.live else {
            return Some(if self.archived_at.is_some() { "archived" } else { "waiting for approval" });
        };
        if self.archived_at.is_some() {
            Some("archived")
        } else if self.mode == Mode::Off {
            Some("off")
        } else if self.content.expires_at.is_some_and(|at| at <= now) {
            Some("expired")
        } else if live.emergency_until.is_some_and(|at| at <= now) {
            Some("its emergency approval ended")
        } else {
            None
        }
    }

    /// Whether it writes on findings, and did not as it was `before`.
    pub(crate) fn is_turned_on(&self, before: &Self) -> bool {
        self.mode == Mode::Enforce && before.mode != Mode::Enforce
    }

    /// The version that is evaluated; of a rule that never was live, its newest.
    pub fn live_version(&self) -> i64 {
        self.live.map_or(self.version, |live| live.version)
    }

    /// When the rule stops by itself.
    pub(crate) fn stops_at(&self) -> Option<Timestamp> {
        let emergency = self.live.and_then(|live| live.emergency_until);
        self.content.expires_at.into_iter().chain(emergency).min()
    }
}

impl Domain {
    pub async fn rule(&self, actor: &Actor, id: Uuid) -> Result<Rule> {
        let scope = actor.allow(Permission::Read)?;
        self.db().rule(&scope, id).await?.ok_or_else(|| Error::not_found("rule"))
    }

    /// Rules in the order in which they are walked; the global ones among them.
    pub async fn rules(&self, actor: &Actor, filter: &RuleFilter, args: &PageArgs) -> Result<Page<Rule>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().rules(&scope, filter, args).await
    }

    pub async fn rule_count(&self, actor: &Actor, filter: &RuleFilter) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.db().rule_count(&scope, filter).await
    }

    /// The rules of these ids inside of the scope, for a loader.
    pub async fn rules_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Rule>> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().rules_by_id(&scope, ids).await?;
        Ok(found.into_iter().map(|rule| (rule.id, rule)).collect())
    }
}
