//! Writing rules: what is not gated goes live at once, what is becomes a draft.

use uuid::Uuid;

use super::draft::{RuleDraft, slug};
use super::pass::Mode;
use super::store::DraftRow;
use super::{Content, Live, Rule};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::approval::Hand;
use crate::error::{Code, Error, Result};
use crate::ledger::AuditEntry;
use crate::store::Tx;

/// How many keys are tried for a name that others have.
const KEYS: u32 = 1_000;

/// Where what is written of a rule goes, where nothing gates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    /// Live, and a draft that was kept is given up.
    Live,
    /// Into the draft that the rule has; live, where it has none.
    AsItStands,
    /// Into its draft.
    Draft,
}

impl Domain {
    pub async fn rule_create(&self, actor: &Actor, draft: RuleDraft) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let rule = self.create_rule(&mut tx, actor, &scope, draft, None).await?;
        tx.commit().await?;
        Ok(rule)
    }

    /// Writes a new rule into `tx`: live, or, where it is gated, as a draft.
    pub(crate) async fn create_rule(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        scope: &Scope,
        draft: RuleDraft,
        library_key: Option<String>,
    ) -> Result<Rule> {
        let company = scope.company()?;
        let key = draft.key.clone();
        let (content, mode) = draft.check(company)?;
        tx.require_members(&content.action).await?;
        let key = match key {
            Some(key) if tx.rule_key_taken(scope, &key).await? => {
                return Err(Error::new(Code::Taken, "There is already a rule with this key.").at("key"));
            }
            Some(key) => key,
            None => free_key(tx, scope, &content.name).await?,
        };
        let now = tx.now();
        let gated = content.requires_approval || !tx.gates_on(scope, &content).await?.is_empty();
        let rule = Rule {
            id: self.clock().id(),
            company,
            key,
            library_key,
            mode,
            content_hash: content.hash(company),
            content,
            gated,
            live: (!gated).then_some(Live { version: 1, since: now, emergency_until: None }),
            author: actor.id,
            archived_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        tx.write_rule(&rule, actor.id, None).await?;
        if gated {
            tx.write_rule_draft(&DraftRow::new(&rule, rule.content.clone(), Hand::of(actor), now)).await?;
        }
        tx.audit(AuditEntry::new("rule.created", rule.id).after(rule.snapshot()));
        if rule.live.is_some() {
            tx.rules_changed();
        }
        Ok(rule)
    }

    /// Replaces what the author wrote. Where that is gated, or the rule has a draft, it becomes the
    /// rule's draft, and the live version goes on.
    pub async fn rule_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        draft: RuleDraft,
    ) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let before = tx.rule_to_edit(&scope, id, Some(expected_version)).await?;
        let after = self.update_rule(&mut tx, actor, &scope, before, draft, Towards::AsItStands).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Writes a rule that `tx` holds anew.
    pub(crate) async fn update_rule(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        scope: &Scope,
        before: Rule,
        draft: RuleDraft,
        towards: Towards,
    ) -> Result<Rule> {
        before.may_edit(actor)?;
        let (content, mode) = draft.check(scope.company()?)?;
        tx.require_members(&content.action).await?;
        let after = Change { rule: Rule { mode, ..before.clone() }, before, content, towards };
        self.change_content(tx, actor, scope, after).await
    }

    /// Gives a rule other content: live or as its draft.
    async fn change_content(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        scope: &Scope,
        change: Change,
    ) -> Result<Rule> {
        let Change { before, rule, content, towards } = change;
        let draft = tx.rule_draft(scope, rule.id).await?;
        let binds_as_live = rule.live.is_some() && content.hash(rule.company) == rule.content_hash;
        let gated =
            content.requires_approval || rule.gated || !tx.gates_on(scope, &content).await?.is_empty();
        let keeps = match towards {
            Towards::Live => false,
            Towards::AsItStands => draft.is_some(),
            Towards::Draft => true,
        };
        if binds_as_live || !(gated || keeps) {
            let live = Live { version: before.version + 1, since: tx.now(), emergency_until: None };
            let live = if binds_as_live { rule.live } else { Some(live) };
            let after = Rule { gated, live, ..rule.saying(content) };
            return match draft {
                Some(draft) => {
                    self.discard(tx, &draft).await?;
                    tx.rewrite_rule_as(actor, "rule.updated", before, after, None).await
                }
                None => tx.rewrite_rule(actor, "rule.updated", before, after).await,
            };
        }
        let now = tx.now();
        let kept = draft.as_ref().map(|draft| &draft.content);
        if kept == Some(&content) && rule == before {
            return Ok(before);
        }
        let mut next = DraftRow::new(&rule, content.clone(), Hand::of(actor), now);
        if let Some(draft) = draft {
            // What was asked to be approved is no longer what the draft says.
            self.supersede(tx, draft.approval, "It was edited.").await?;
            next = DraftRow { author: draft.author, created_at: draft.created_at, ..next };
        }
        tx.write_rule_draft(&next).await?;
        let shown = if rule.live.is_some() { rule.content.clone() } else { content };
        let rule = Rule { gated, ..rule.saying(shown) };
        tx.rewrite_rule_as(actor, "rule.drafted", before, rule, Some(&next)).await
    }

    /// Turns a rule off or on, or lets it observe: this takes no approval, as what is evaluated was
    /// approved. What it said stays until the next pass.
    pub async fn rule_set_mode(
        &self,
        actor: &Actor,
        id: Uuid,
        version: Option<i64>,
        mode: Mode,
    ) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let before = tx.rule_to_edit(&scope, id, version).await?;
        before.may_edit(actor)?;
        let after = Rule { mode, ..before.clone() };
        let after = tx.rewrite_rule(actor, "rule.mode_set", before, after).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Moves a rule in the walk; of one that is gated or has a draft, its draft.
    pub async fn rule_set_order(
        &self,
        actor: &Actor,
        id: Uuid,
        version: Option<i64>,
        order: i32,
    ) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let before = tx.rule_to_edit(&scope, id, version).await?;
        before.may_edit(actor)?;
        let drafted = tx.rule_draft(&scope, id).await?.map(|draft| draft.content);
        let content = Content { order, ..drafted.unwrap_or_else(|| before.content.clone()) };
        let change = Change { rule: before.clone(), before, content, towards: Towards::AsItStands };
        let after = self.change_content(&mut tx, actor, &scope, change).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Puts a rule away. Its entries and its history stay; its draft goes.
    pub async fn rule_archive(&self, actor: &Actor, id: Uuid, version: Option<i64>) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let before = tx.rule_to_edit(&scope, id, version).await?;
        let after = self.archive_rule(&mut tx, actor, &scope, before).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Puts away a rule that `tx` holds.
    pub(crate) async fn archive_rule(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        scope: &Scope,
        before: Rule,
    ) -> Result<Rule> {
        before.may_archive(actor)?;
        if let Some(draft) = tx.rule_draft(scope, before.id).await? {
            self.discard(tx, &draft).await?;
        }
        let archived_at = before.archived_at.or(Some(tx.now()));
        let after = Rule { archived_at, mode: Mode::Off, ..before.clone() };
        tx.rewrite_rule(actor, "rule.archived", before, after).await
    }

    /// Gives up a rule's draft: the live version goes on. A rule that never was live is archived.
    pub async fn rule_discard_draft(&self, actor: &Actor, id: Uuid, version: Option<i64>) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let before = tx.rule_to_edit(&scope, id, version).await?;
        before.may_edit(actor)?;
        if before.live.is_none() {
            let message = "This rule has no live version to go back to: archive it instead.";
            return Err(Error::new(Code::IllegalState, message));
        }
        let Some(draft) = tx.rule_draft(&scope, id).await? else {
            return Err(Error::new(Code::IllegalState, "This rule has no draft."));
        };
        self.discard(&mut tx, &draft).await?;
        let after = Rule { version: before.version + 1, updated_at: tx.now(), ..before };
        tx.write_rule(&after, actor.id, None).await?;
        tx.audit(AuditEntry::new("rule.draft_discarded", id).before(draft.content.json()));
        tx.commit().await?;
        Ok(after)
    }

    /// Takes a draft away, and back what was asked for it.
    async fn discard(&self, tx: &mut Tx, draft: &DraftRow) -> Result<()> {
        self.supersede(tx, draft.approval, "Its draft was given up.").await?;
        tx.delete_rule_draft(draft.rule).await
    }
}

/// What a rule that `before` was is to say, with the rest of it as it is to be.
struct Change {
    before: Rule,
    rule: Rule,
    content: Content,
    towards: Towards,
}

impl Tx {
    /// The rule of the scope's company, held, if it still is at `expected`.
    pub(crate) async fn rule_to_edit(
        &mut self,
        scope: &Scope,
        id: Uuid,
        expected: Option<i64>,
    ) -> Result<Rule> {
        let rule = self.rule_to_change(scope, id).await?.ok_or_else(|| Error::not_found("rule"))?;
        match expected {
            Some(expected) if expected != rule.version => {
                Err(self.conflict("rule", rule.id, rule.version).await?)
            }
            _ => Ok(rule),
        }
    }

    /// Writes a rule that was `before`, with a version of its own, unless nothing changed.
    pub(crate) async fn rewrite_rule(
        &mut self,
        actor: &Actor,
        action: &'static str,
        before: Rule,
        after: Rule,
    ) -> Result<Rule> {
        if after == before {
            return Ok(before);
        }
        self.rewrite_rule_as(actor, action, before, after, None).await
    }

    /// The same, where `draft` may be what changed.
    async fn rewrite_rule_as(
        &mut self,
        actor: &Actor,
        action: &'static str,
        before: Rule,
        after: Rule,
        draft: Option<&DraftRow>,
    ) -> Result<Rule> {
        let after = Rule { version: before.version + 1, updated_at: self.now(), ..after };
        self.write_rule(&after, actor.id, draft).await?;
        let said = match draft {
            Some(draft) => after.clone().saying(draft.content.clone()).snapshot(),
            None => after.snapshot(),
        };
        self.audit(AuditEntry::new(action, after.id).before(before.snapshot()).after(said));
        if draft.is_none() || before.mode != after.mode {
            self.rules_changed();
        }
        Ok(after)
    }
}

/// A key that no rule of the scope's company has, made of a name.
async fn free_key(tx: &Tx, scope: &Scope, name: &str) -> Result<String> {
    let mut stem = slug(name);
    stem.truncate(90);
    let stem = if stem.is_empty() { "rule" } else { stem.trim_end_matches('-') };
    for number in 1..KEYS {
        let key = if number == 1 { stem.to_owned() } else { format!("{stem}-{number}") };
        if !tx.rule_key_taken(scope, &key).await? {
            return Ok(key);
        }
    }
    Err(Error::new(Code::Taken, "Too many rules have this name: give a key.").at("key"))
}
