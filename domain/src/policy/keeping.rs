//! Looking at the change policy, and setting it. Where it is to ask less than the one in force, that is
//! what takes a second person.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Kept, Policy};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::approval::{Approval, BlastRadius, Hand, NewApproval, Subject};
use crate::error::{Code, Error, Result};
use crate::inventory::record::Diff;
use crate::ledger::AuditEntry;
use crate::store::Tx;

/// What came of setting the policy: the one in force, and what waits where that is to ask less.
#[derive(Clone, Debug)]
pub struct PolicySet {
    pub kept: Kept,
    pub approval: Option<Box<Approval>>,
}

/// What is to be approved: a policy in the place of the one that had a version.
#[derive(Serialize, Deserialize)]
struct Asked {
    in_place_of: i64,
    policy: Policy,
}

impl Domain {
    /// What the company asks of changes.
    pub async fn change_policy(&self, actor: &Actor) -> Result<Kept> {
        let scope = actor.allow(Permission::Read)?;
        self.db().change_policy(&scope).await
    }

    /// Sets what the company asks of changes, or asks for that where the policy in force asks more. What
    /// was asked for before is taken back.
    pub async fn change_policy_set(
        &self,
        actor: &Actor,
        expected_version: i64,
        policy: Policy,
    ) -> Result<PolicySet> {
        let scope = actor.allow(Permission::ManageSettings)?.of_tenant()?;
        let policy = policy.check()?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let before = tx.policy_to_change().await?;
        if before.version != expected_version {
            return Err(tx.conflict("change policy", before.company, before.version).await?);
        }
        let waiting = tx.pending_approval_of(Subject::Policy(before.company)).await?;
        self.supersede(&mut tx, waiting, "The policy was set anew.").await?;
        let loosened = before.policy.loosened_by(&policy);
        let Some(diff) = Diff::of(&json!(before.policy), &json!(policy)) else {
            tx.commit().await?;
            return Ok(PolicySet { kept: before, approval: None });
        };
        let set = if loosened.is_empty() {
            let kept = tx.put_policy(before, policy, Json::Null).await?;
            PolicySet { kept, approval: None }
        } else {
            let content = json!(Asked { in_place_of: before.version, policy });
            let digest = Sha256::digest(content.to_string());
            let new = NewApproval {
                subject: Subject::Policy(before.company),
                title: "A change policy that asks less".to_owned(),
                reasons: loosened.iter().map(|member| format!("It asks less: {member}.")).collect(),
                content,
                content_hash: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                diff: diff.payload(),
                blast: BlastRadius { count: None, share: None, as_of: tx.now() },
                author: Hand::of(actor),
                editor: Hand::of(actor),
            };
            let approval = self.open_approval(&mut tx, actor, &scope, new).await?;
            PolicySet { kept: before, approval: Some(Box::new(approval)) }
        };
        tx.answer(set.approval.as_ref().map_or(set.kept.company, |approval| approval.id));
        tx.commit().await?;
        Ok(set)
    }

    /// What setting the policy answered with, by what it answered: the company, or what waits.
    pub async fn change_policy_answer(&self, actor: &Actor, answer: Uuid) -> Result<PolicySet> {
        let kept = self.change_policy(actor).await?;
        if kept.company == answer {
            return Ok(PolicySet { kept, approval: None });
        }
        let approval = self.approval(actor, answer).await?;
        Ok(PolicySet { kept, approval: Some(Box::new(approval)) })
    }
}

impl Tx {
    /// The company's policy, held; what it asks where it never set one.
    async fn policy_to_change(&self) -> Result<Kept> {
        let none = Kept { company: self.company, policy: Policy::default(), updated_at: None, version: 0 };
        Ok(self.lock_change_policy().await?.unwrap_or(none))
    }

    /// Puts a policy in the place of the one that is held.
    async fn put_policy(&mut self, before: Kept, policy: Policy, cause: Json) -> Result<Kept> {
        let diff = Diff::of(&json!(before.policy), &json!(policy));
        let kept = Kept { policy, updated_at: Some(self.now()), version: before.version + 1, ..before };
        self.write_change_policy(&kept).await.map_err(|error| match error.code {
            // Two who set the first at once.
            Code::Taken => Error::new(Code::Conflict, "The change policy was set since you read it."),
            _ => error,
        })?;
        if let Some(diff) = diff {
            let entry =
                AuditEntry::new("change_policy.set", self.company).before(diff.before).after(diff.after);
            self.audit(if cause.is_null() { entry } else { entry.because(cause) });
        }
        Ok(kept)
    }

    /// Puts the policy in force that was approved.
    pub(crate) async fn put_approved_policy(&mut self, approval: &Approval) -> Result<()> {
        let asked: Asked = serde_json::from_value(approval.content.clone()).map_err(Error::internal)?;
        let before = self.policy_to_change().await?;
        // Setting it takes back what was asked for before, so this is what the voters saw it replace.
        if before.version != asked.in_place_of {
            return Err(Error::new(Code::Conflict, "The change policy was set since this was asked for."));
        }
        self.put_policy(before, asked.policy, json!({ "approval": approval.id })).await?;
        Ok(())
    }
}
