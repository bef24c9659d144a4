//! Writing rules: what is not gated goes live at once, what is becomes a draft.

use uuid::Uuid;

use super::draft::{RuleDraft, slug};
use super::gate::no_draft;
use super::pass::Mode;
use super::store::{DraftRow, Version};
use super::writing::{Gatekeeper, Writing};
use super::{Content, Live, Rule};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::approval::Hand;
use crate::error::{Code, Error, Result};
use crate::ledger::AuditEntry;
use crate::store::Tx;
use crate::vocabulary::time::Timestamp;

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
            Some(key) if !tx.rule_keys_taken(scope, &[&key]).await?.is_empty() => return Err(key_taken()),
            Some(key) => key,
            None => free_key(tx, scope, &content.name).await?,
        };
        let by_policy = !tx.gates_on(scope, &content).await?.is_empty();
        let new = NewRule { id: self.clock().id(), key, library_key, mode, content };
        let writing = new.made(scope, actor, by_policy, tx.now())?;
        self.write_rules(tx, actor, std::slice::from_ref(&writing)).await?;
        Ok(writing.after)
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
        let change = Change { rule: Rule { mode, ..before.clone() }, before, content, towards };
        self.change_content(tx, actor, scope, change).await
    }

    /// Gives a rule that `tx` holds other content: live or as its draft.
    async fn change_content(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        scope: &Scope,
        change: Change,
    ) -> Result<Rule> {
        let draft = tx.rule_draft(scope, change.rule.id).await?;
        let gatekeeper = tx.gatekeeper(scope).await?;
        match tx.made(actor, scope, &gatekeeper, change, draft).await? {
            Made::Written(writing) => {
                self.write_rules(tx, actor, std::slice::from_ref(&*writing)).await?;
                Ok(writing.after)
            }
            Made::Same(rule) => Ok(*rule),
        }
    }

    /// Turns a rule off or on, or lets it observe. This takes no approval: of a gated rule, what is
    /// evaluated was approved. What the policy has come to gate since it was written is not turned on.
    /// What the rule said stays until the next pass.
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
        if after.is_turned_on(&before) {
            tx.require_agreed(&scope, &before).await?;
        }
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
        let draft = tx.rule_draft(scope, before.id).await?;
        let Some(writing) = archived(before.clone(), draft, tx.now()) else { return Ok(before) };
        self.write_rules(tx, actor, std::slice::from_ref(&writing)).await?;
        Ok(writing.after)
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
            return Err(no_draft());
        };
        self.supersede(&mut tx, draft.approval, GIVEN_UP).await?;
        tx.delete_rule_drafts(&[id]).await?;
        let rule = Rule { version: before.version + 1, updated_at: tx.now(), ..before };
        let version = Version { rule, drafted: None, editor: actor.id, approval: None };
        tx.put_rules(std::slice::from_ref(&version)).await?;
        let after = version.rule;
        tx.audit(AuditEntry::new("rule.draft_discarded", id).before(draft.content.json()));
        tx.commit().await?;
        Ok(after)
    }
}

/// Why a draft that goes is asked for no more.
const GIVEN_UP: &str = "Its draft was given up.";

/// A rule that is to be made.
pub(super) struct NewRule {
    pub id: Uuid,
    pub key: String,
    pub library_key: Option<String>,
    pub mode: Mode,
    pub content: Content,
}

impl NewRule {
    /// The rule: live, or, where it asks for approval itself or by the company's policy, as a draft.
    pub fn made(self, scope: &Scope, actor: &Actor, by_policy: bool, now: Timestamp) -> Result<Writing> {
        let Self { id, key, library_key, mode, content } = self;
        let company = scope.company()?;
        let gated = content.requires_approval || by_policy;
        let rule = Rule {
            id,
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
        let draft = gated.then(|| DraftRow::new(&rule, rule.content.clone(), Hand::of(actor), now));
        Ok(Writing::new(rule, draft))
    }
}

/// What a rule that `before` was is to say, with the rest of it as it is to be.
pub(super) struct Change {
    pub before: Rule,
    pub rule: Rule,
    pub content: Content,
    pub towards: Towards,
}

/// What comes of a change.
pub(super) enum Made {
    Written(Box<Writing>),
    /// Nothing: the rule says so already.
    Same(Box<Rule>),
}

/// Where the content of a change comes to stand.
struct Landing {
    /// The live version does the same: only words change, at once.
    binds_as_live: bool,
    gated: bool,
    /// It becomes the draft, though nothing gates it.
    keeps: bool,
}

impl Change {
    fn landing(&self, has_draft: bool, by_policy: bool, now: Timestamp) -> Landing {
        let Self { rule, content, towards, .. } = self;
        // What an emergency let through until then is said anew to be approved again.
        let stands = rule.live.is_some_and(|live| live.emergency_until.is_none_or(|until| until > now));
        Landing {
            binds_as_live: stands && content.hash(rule.company) == rule.content_hash,
            gated: content.requires_approval || rule.gated || by_policy,
            keeps: match towards {
                Towards::Live => false,
                Towards::AsItStands => has_draft,
                Towards::Draft => true,
            },
        }
    }

    /// The rule with its content live or as its draft. `draft` is the one that it has.
    fn made(self, landing: &Landing, draft: Option<DraftRow>, actor: &Actor, now: Timestamp) -> Made {
        let Self { before, rule, content, .. } = self;
        let Landing { binds_as_live, gated, .. } = *landing;
        if landing.is_live() {
            let live = Live { version: before.version + 1, since: now, emergency_until: None };
            let live = if binds_as_live { rule.live } else { Some(live) };
            let after = Rule { gated, live, ..rule.saying(content) };
            if draft.is_none() && after == before {
                return Made::Same(Box::new(before));
            }
            let writing = Writing::of("rule.updated", before, after, now).without(draft, GIVEN_UP);
            return Made::Written(Box::new(writing));
        }
        let kept = draft.as_ref().map(|draft| &draft.content);
        if kept == Some(&content) && rule == before {
            return Made::Same(Box::new(before));
        }
        let mut next = DraftRow::new(&rule, content.clone(), Hand::of(actor), now);
        if let Some(draft) = &draft {
            next = DraftRow { author: draft.author, created_at: draft.created_at, ..next };
        }
        let shown = if rule.live.is_some() { rule.content.clone() } else { content };
        let rule = Rule { gated, ..rule.saying(shown) };
        // What was asked to be approved is no longer what the draft says.
        let writing = Writing::of("rule.drafted", before, rule, now).without(draft, "It was edited.");
        Made::Written(Box::new(writing.drafting(next)))
    }
}

impl Landing {
    fn is_live(&self) -> bool {
        self.binds_as_live || !(self.gated || self.keeps)
    }
}

/// A rule put away, and its draft with it; `None` where it is already.
pub(super) fn archived(before: Rule, draft: Option<DraftRow>, now: Timestamp) -> Option<Writing> {
    let archived_at = before.archived_at.or(Some(now));
    let after = Rule { archived_at, mode: Mode::Off, ..before.clone() };
    let changes = draft.is_some() || after != before;
    changes.then(|| Writing::of("rule.archived", before, after, now).without(draft, GIVEN_UP))
}

pub(super) fn key_taken() -> Error {
    Error::new(Code::Taken, "There is already a rule with this key.").at("key")
}

impl Tx {
    /// What comes of a change of a rule that has this draft. What stood before and was not agreed to is not
    /// turned on by it.
    pub(super) async fn made(
        &self,
        actor: &Actor,
        scope: &Scope,
        gatekeeper: &Gatekeeper,
        change: Change,
        draft: Option<DraftRow>,
    ) -> Result<Made> {
        let by_policy = !gatekeeper.gates_on(self, scope, &change.content).await?.is_empty();
        let landing = change.landing(draft.is_some(), by_policy, self.now());
        let stood_before = landing.binds_as_live || !landing.is_live();
        if stood_before && change.rule.is_turned_on(&change.before) {
            self.require_agreed(scope, &change.before).await?;
        }
        Ok(change.made(&landing, draft, actor, self.now()))
    }

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
}

/// A key that no rule of the scope's company has, made of a name.
async fn free_key(tx: &Tx, scope: &Scope, name: &str) -> Result<String> {
    let mut stem = slug(name);
    stem.truncate(90);
    let stem = if stem.is_empty() { "rule" } else { stem.trim_end_matches('-') };
    for number in 1..KEYS {
        let key = if number == 1 { stem.to_owned() } else { format!("{stem}-{number}") };
        if tx.rule_keys_taken(scope, &[&key]).await?.is_empty() {
            return Ok(key);
        }
    }
    Err(Error::new(Code::Taken, "Too many rules have this name: give a key.").at("key"))
}
