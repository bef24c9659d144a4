//! Rules that end with REVERT: what they said is taken back when their time is over.
//!
//! Every server looks, and the first to see an expiry starts the one revoke of it: a row for the rule,
//! the company and the moment stands in the way of a second, whichever server looks and however late.

use serde_json::json;
use uuid::Uuid;

use super::Rule;
use super::revoke::{Picks, Revoke};
use crate::Domain;
use crate::access::{Actor, Scope};
use crate::error::{Error, Result};
use crate::finding::layers::RevokeMode;
use crate::job::{JobState, Principal};
use crate::ledger::AuditEntry;
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// Who takes back what an expired rule said, in the audit.
const NAME: &str = "expiry";

impl Domain {
    /// Starts a revoke for each rule that ended with REVERT and was not seen to yet, in each company
    /// where it did something. Returns the jobs.
    pub async fn revert_expired(&self) -> Result<Vec<Uuid>> {
        let mut started = Vec::new();
        for (company, rule) in self.db().rules_to_revert(&Scope::System, self.clock().now()).await? {
            let expires_at =
                rule.content.expires_at.ok_or_else(|| Error::internal("an expired rule has no end"))?;
            started.extend(self.revert(company, &rule, expires_at).await?);
        }
        if !started.is_empty() {
            self.wake_jobs();
        }
        Ok(started)
    }

    /// `None`: another server was faster, or the rule did nothing there.
    async fn revert(&self, company: Uuid, rule: &Rule, expires_at: Timestamp) -> Result<Option<Uuid>> {
        let actor = Actor::system(company, NAME);
        let scope = actor.allow(crate::access::Permission::WriteRules)?;
        let id = self.clock().id();
        let mut tx = self.db().begin(&actor, &scope, self.clock().now()).await?;
        let applied = tx.has_applied(rule.id).await?;
        if !tx.see_to_expiry(rule.id, expires_at, applied.then_some(id)).await? {
            return Ok(None);
        }
        tx.audit(AuditEntry::new("rule.expired", rule.id).after(json!({ "expires_at": expires_at })));
        // A pass that began before the end and has not written yet begins again, without the rule.
        tx.rules_changed();
        if !applied {
            tx.commit().await?;
            return Ok(None);
        }
        tx.lock_ledger().await?;
        let revoke = Revoke {
            rule: rule.id,
            version: rule.live_version(),
            content_hash: rule.content_hash.clone(),
            mode: RevokeMode::Safe,
            picks: Picks::Between { from: None, to: None },
            until: tx.audit_seq().await?,
            exempt: false,
            turned_off: false,
            sweep: None,
            reason: Some(format!("The rule ended at {expires_at}.")),
        };
        tx.begin_revoke(id, &revoke, &Principal::of(&actor), JobState::Pending).await?;
        tx.commit().await?;
        Ok(Some(id))
    }
}
