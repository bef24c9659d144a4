//! The mode that a company sets for itself of a rule that holds for all.

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use super::Rule;
use super::pass::Mode;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};
use crate::ledger::AuditEntry;
use crate::store::Tx;

pub(crate) mod store;

impl Rule {
    /// Whether the actor may set a mode of its company for this rule, which it sees.
    pub fn may_set_company_mode(&self, actor: &Actor) -> Result<()> {
        actor.allow(Permission::WriteRules)?.of_tenant()?;
        if !self.is_global() {
            let message = "This rule is the company's own: set its mode.";
            return Err(Error::new(Code::IllegalState, message));
        }
        if self.archived_at.is_some() {
            return Err(Error::new(Code::IllegalState, "An archived rule is not changed."));
        }
        Ok(())
    }

    /// The rule as it holds for a company that set this mode for it.
    #[must_use]
    pub fn under(self, company_mode: Option<Mode>) -> Self {
        Self { mode: company_mode.unwrap_or(self.mode), ..self }
    }
}

impl Domain {
    /// The modes that the actor's company set for these rules.
    pub async fn rule_company_modes(&self, actor: &Actor, rules: &[Uuid]) -> Result<HashMap<Uuid, Mode>> {
        let scope = actor.allow(Permission::Read)?;
        let mut modes = self.db().company_modes(&scope).await?;
        modes.retain(|rule, _| rules.contains(rule));
        Ok(modes)
    }

    /// Sets the mode that a global rule has for the actor's company; none, to follow the rule's own.
    /// What the rule said stays until the next pass.
    pub async fn rule_set_company_mode(&self, actor: &Actor, id: Uuid, mode: Option<Mode>) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let rule = self.rule(actor, id).await?;
        rule.may_set_company_mode(actor)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let followed = |mode: Option<Mode>| rule.clone().under(mode);
        if followed(mode).is_turned_on(&followed(tx.company_mode(id).await?)) {
            tx.require_agreed(&scope, &rule).await?;
        }
        tx.set_company_mode(&rule, mode, actor.id).await?;
        tx.answer(id);
        tx.commit().await?;
        Ok(rule)
    }
}

impl Tx {
    /// Sets the company's mode for a global rule, if it is another, and audits it.
    pub(crate) async fn set_company_mode(&mut self, rule: &Rule, mode: Option<Mode>, by: Uuid) -> Result<()> {
        let before = self.company_mode(rule.id).await?;
        if before == mode {
            return Ok(());
        }
        self.write_company_mode(rule.id, mode, by).await?;
        let entry = AuditEntry::new("rule.company_mode_set", rule.id);
        self.audit(entry.before(json!({ "mode": before })).after(json!({ "mode": mode })));
        self.rules_changed();
        Ok(())
    }
}
