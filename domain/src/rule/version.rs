//! The history of a rule: everything that it and its drafts have said, and by whom.

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::edit::Towards;
use super::{Content, Rule, RuleDraft};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Error, Result};
use crate::inventory::record::Diff;
use crate::page::{Page, PageArgs};
use crate::vocabulary::time::Timestamp;

mod store;

/// What a rule said from some change on.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleVersion {
    pub id: Uuid,
    pub rule: Uuid,
    pub company: Uuid,
    pub version: i64,
    /// The whole rule, or its draft, as it was.
    pub snapshot: Json,
    pub content_hash: String,
    /// Whether it went live with this version.
    pub live: bool,
    /// The approval by which it did.
    pub approval: Option<Uuid>,
    /// Who made the change.
    pub author: Uuid,
    pub created_at: Timestamp,
    /// The version before it.
    previous: Option<Json>,
}

/// The id of a version, which is known by its rule and number.
pub(super) fn id(rule: Uuid, version: i64) -> Uuid {
    let digest = Sha256::new().chain_update(rule).chain_update(version.to_be_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

impl RuleVersion {
    /// The names of what changed with it, and their values before and after.
    pub fn changes(&self) -> Vec<(String, Json, Json)> {
        let before = self.previous.clone().unwrap_or_else(|| json!({}));
        let Some(diff) = Diff::of(&before, &self.snapshot) else { return Vec::new() };
        let value = |of: &Json, name: &str| of.get(name).cloned().unwrap_or_default();
        diff.changed
            .iter()
            .map(|name| (name.clone(), value(&diff.before, name), value(&diff.after, name)))
            .collect()
    }

    pub fn content(&self) -> Result<Content> {
        serde_json::from_value(self.snapshot.clone()).map_err(Error::internal)
    }
}

impl Domain {
    pub async fn rule_version(&self, actor: &Actor, id: Uuid) -> Result<RuleVersion> {
        let scope = actor.allow(Permission::Read)?;
        self.db().rule_version(&scope, id).await?.ok_or_else(|| Error::not_found("rule version"))
    }

    /// The versions of a rule, the newest first.
    pub async fn rule_versions(
        &self,
        actor: &Actor,
        rule: Uuid,
        args: &PageArgs,
    ) -> Result<Page<RuleVersion>> {
        let scope = actor.allow(Permission::Read)?;
        self.rule(actor, rule).await?;
        self.db().rule_versions(&scope, rule, args).await
    }

    pub async fn rule_version_count(&self, actor: &Actor, rule: Uuid) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.db().rule_version_count(&scope, rule).await
    }

    /// Writes what a rule said in an earlier version again, as its draft: what is live goes on. Where that
    /// is what the earlier version says, the draft that the rule has is given up instead.
    pub async fn rule_restore(
        &self,
        actor: &Actor,
        rule: Uuid,
        expected_version: i64,
        version: i64,
    ) -> Result<Rule> {
        let old = self.rule_version(actor, id(rule, version)).await.map_err(|error| error.at("version"))?;
        let content = old.content()?;
        let scope = actor.allow(Permission::WriteRules)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let before = tx.rule_to_edit(&scope, rule, Some(expected_version)).await?;
        let draft = RuleDraft::of(&before.clone().saying(content));
        let after = self.update_rule(&mut tx, actor, &scope, before, draft, Towards::Draft).await?;
        tx.commit().await?;
        Ok(after)
    }
}
