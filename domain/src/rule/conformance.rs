//! Conformance: how a rule held over a period, as the audit tells.
//!
//! All of it is counted from the entries of the rule's turns, so it says the same whenever it is asked. A
//! rule *matched* a finding if at any moment of the period it held there: since before, or from a turn
//! in it. Where its turn came and its criteria could not be decided, it said what it had said before: such
//! findings are counted as *errored*.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Error, Result};
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// How a rule held over a period. Findings, but for what is said to be turns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conformance {
    pub rule: Uuid,
    /// On which it held when the period began, and when it ended.
    pub held_before: i64,
    pub held_after: i64,
    pub matched: i64,
    /// Turns: it began to hold, it said something else, it was taken back or held no more.
    pub applied: i64,
    pub changed: i64,
    pub withdrawn: i64,
    /// Turns of a rule that is only observed.
    pub observed: i64,
    /// Of which it did not speak at any moment of the period, as somebody had taken back what it said.
    pub exempted: i64,
    /// On which its turn came and could not be decided.
    pub errored: i64,
    /// Who said something else of a field that it had spoken of, the most findings first.
    pub overridden: Vec<Override>,
}

/// Somebody who said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub by: Uuid,
    pub name: String,
    pub findings: i64,
}

/// The names under which it is told.
pub(crate) const HELD: &[&str] = &[
    "rule",
    "held_before",
    "held_after",
    "matched",
    "applied",
    "changed",
    "withdrawn",
    "observed",
    "exempted",
    "errored",
    "overridden",
];

impl Conformance {
    pub(crate) fn json(&self) -> Json {
        let said = |one: &Override| json!({ "by": one.by, "name": one.name, "findings": one.findings });
        let overridden: Vec<Json> = self.overridden.iter().map(said).collect();
        json!({
            "rule": self.rule, "held_before": self.held_before, "held_after": self.held_after,
            "matched": self.matched, "applied": self.applied, "changed": self.changed,
            "withdrawn": self.withdrawn, "observed": self.observed, "exempted": self.exempted,
            "errored": self.errored, "overridden": overridden,
        })
    }
}

impl Domain {
    /// How a rule held in a period, on the findings of the actor's company: a global rule too. The audit is read for it.
    pub async fn rule_conformance(
        &self,
        actor: &Actor,
        rule: Uuid,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Conformance> {
        let scope = actor.allow(Permission::ReadAudit)?;
        self.rule(actor, rule).await.map_err(|error| error.at("rule"))?;
        if from >= to {
            return Err(Error::invalid("to", "The period ends after it begins."));
        }
        let found = self.db().conformance(&scope, Some(rule), (from, to)).await?.pop();
        Ok(found.unwrap_or(Conformance { rule, ..Conformance::default() }))
    }
}
