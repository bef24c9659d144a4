//! Exemptions: findings of which a rule does not speak, because what it said there was taken back.
//!
//! An exemption names the rule as it was, by its content hash: it ends when the rule changes, or when
//! somebody clears it. Passes read those of their findings in one statement, and none at all where the
//! company has none.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use uuid::Uuid;

use super::live::RuleSet;
use super::pass::Exempt;
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs};
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// How many exemptions a clearing may name.
pub const NAMED: usize = 10_000;
/// How many are cleared in one transaction.
const CHUNK: usize = 1_000;

/// A finding of which a rule does not speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption {
    pub id: Uuid,
    pub rule: Uuid,
    pub finding: Uuid,
    /// The rule as it was: another hash, and it speaks again.
    pub content_hash: String,
    /// The revoke that left it.
    pub job: Uuid,
    pub author: Uuid,
    pub created_at: Timestamp,
}

terms! {
    /// How an exemption ended: somebody cleared it, or another took its place.
    ExemptionEnd { Cleared = "CLEARED", Replaced = "REPLACED" }
}

/// What to list: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct ExemptionFilter {
    pub rule: Option<Uuid>,
    pub finding: Option<Uuid>,
    /// Whether the rule still is as it was.
    pub holds: Option<bool>,
}

/// Which exemptions to clear.
#[derive(Clone, Debug)]
pub enum Clearing {
    Named(Vec<Uuid>),
    OfRule(Uuid),
}

impl Domain {
    /// Which rules of the set do not speak of which of these findings. The findings are to be read
    /// first: whoever takes back what a rule said writes the finding and its exemption together.
    pub(crate) async fn exempt(
        &self,
        scope: &Scope,
        rules: &RuleSet,
        findings: impl IntoIterator<Item = Uuid>,
    ) -> Result<Exempt> {
        if !rules.exempts {
            return Ok(Exempt::default());
        }
        self.db().exempt(scope, findings).await
    }

    /// The same where no rule set is at hand.
    pub(crate) async fn exempt_now(
        &self,
        scope: &Scope,
        findings: impl IntoIterator<Item = Uuid>,
    ) -> Result<Exempt> {
        if !self.db().any_exemption(scope).await? {
            return Ok(Exempt::default());
        }
        self.db().exempt(scope, findings).await
    }

    /// An exemption of a finding that the actor may see.
    pub async fn rule_exemption(&self, actor: &Actor, id: Uuid) -> Result<Exemption> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().exemptions_by_id(&scope, &[id]).await?.pop();
        found.ok_or_else(|| Error::not_found("rule exemption"))
    }

    /// The exemptions of findings that the actor may see, the newest first.
    pub async fn rule_exemptions(
        &self,
        actor: &Actor,
        filter: &ExemptionFilter,
        args: &PageArgs,
    ) -> Result<Page<Exemption>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().exemptions(&scope, filter, args).await
    }

    pub async fn rule_exemption_count(&self, actor: &Actor, filter: &ExemptionFilter) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.db().exemption_count(&scope, filter).await
    }

    /// How many findings are exempt from each of these rules as it is now, where any is.
    pub async fn rule_exemption_counts(&self, actor: &Actor, rules: &[Uuid]) -> Result<HashMap<Uuid, i64>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().exemption_counts(&scope, rules).await
    }

    /// Clears exemptions: the rules speak again at the next pass of each finding. Returns how many.
    pub async fn rule_exemption_clear(&self, actor: &Actor, which: Clearing) -> Result<i64> {
        let scope = actor.allow(Permission::WriteRules)?;
        let mut left = match which {
            Clearing::Named(ids) if ids.is_empty() || ids.len() > NAMED => {
                let message = format!("Name 1 to {NAMED} exemptions.");
                return Err(Error::new(Code::Invalid, message).at("exemptions"));
            }
            Clearing::Named(ids) => {
                let known = self.db().exemptions_by_id(&scope, &ids).await?;
                if let Some(stranger) = ids.iter().find(|id| !known.iter().any(|one| one.id == **id)) {
                    let error = Error::not_found("rule exemption").at("exemptions");
                    return Err(error.with("id", stranger.to_string()));
                }
                known
            }
            Clearing::OfRule(rule) => {
                self.rule(actor, rule).await.map_err(|error| error.at("rule"))?;
                self.db().exemptions_of_rule(&scope, rule).await?
            }
        };
        let mut actor = actor.clone();
        let mut cleared = 0;
        loop {
            let rest = left.split_off(left.len().min(CHUNK));
            cleared += self.clear_some(&actor, &scope, &left, rest.is_empty()).await?;
            // The key of the request stands for its first step: the others follow from that.
            actor.idempotency = None;
            if rest.is_empty() {
                return Ok(cleared);
            }
            left = rest;
        }
    }

    async fn clear_some(&self, actor: &Actor, scope: &Scope, some: &[Exemption], last: bool) -> Result<i64> {
        let mut tx = self.db().begin(actor, scope, self.clock().now()).await?;
        let gone = tx.clear_exemptions(some.iter().map(|one| one.id), actor.id).await?;
        let mut by_rule: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
        for (rule, finding) in &gone {
            by_rule.entry(*rule).or_default().push(*finding);
        }
        for (rule, findings) in by_rule {
            let told = json!({ "findings": findings });
            tx.audit(AuditEntry::new("rule.exemptions_cleared", rule).before(told));
        }
        // Passes need not look for exemptions any more.
        if last && !gone.is_empty() && !tx.any_exemption().await? {
            tx.rules_changed();
        }
        if let Some(first) = some.first() {
            tx.answer(first.rule);
        }
        tx.commit().await?;
        Ok(i64::try_from(gone.len()).unwrap_or(i64::MAX))
    }
}
