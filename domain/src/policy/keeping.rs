//! Looking at the change policy, and setting it.

use serde_json::json;

use super::{Kept, Policy};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};
use crate::inventory::record::Diff;
use crate::ledger::AuditEntry;
use crate::store::Tx;

impl Domain {
    /// What the company asks of changes.
    pub async fn change_policy(&self, actor: &Actor) -> Result<Kept> {
        let scope = actor.allow(Permission::Read)?;
        self.db().change_policy(&scope).await
    }

    /// Sets what the company asks of changes.
    pub async fn change_policy_set(
        &self,
        actor: &Actor,
        expected_version: i64,
        policy: Policy,
    ) -> Result<Kept> {
        let scope = actor.allow(Permission::ManageSettings)?.of_tenant()?;
        let policy = policy.check()?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let kept = tx.set_change_policy(expected_version, policy).await?;
        tx.answer(kept.company);
        tx.commit().await?;
        Ok(kept)
    }
}

impl Tx {
    /// Puts a policy in force, if the one in force is the one that was seen.
    async fn set_change_policy(&mut self, expected: i64, policy: Policy) -> Result<Kept> {
        let none = Kept { company: self.company, policy: Policy::default(), updated_at: None, version: 0 };
        let before = self.lock_change_policy().await?.unwrap_or(none);
        if before.version != expected {
            return Err(self.conflict("change policy", self.company, before.version).await?);
        }
        let Some(diff) = Diff::of(&json!(before.policy), &json!(policy)) else { return Ok(before) };
        let kept = Kept { policy, updated_at: Some(self.now()), version: before.version + 1, ..before };
        self.write_change_policy(&kept).await.map_err(|error| match error.code {
            // Two who set the first at once.
            Code::Taken => Error::new(Code::Conflict, "The change policy was set since you read it."),
            _ => error,
        })?;
        self.audit(AuditEntry::new("change_policy.set", self.company).before(diff.before).after(diff.after));
        Ok(kept)
    }
}
