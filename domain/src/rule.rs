//! Rules: policies that hold for findings from the moment they arrive.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, GLOBAL, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::job::{JobKind, JobState, Principal};
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs};
use crate::store::Tx;
use crate::vocabulary::criteria::{Criteria, Fault};
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;
use action::Action;
use pass::Mode;

pub mod action;
pub mod live;
pub mod matcher;
pub mod pass;
pub mod preview;
pub mod store;
pub mod sweep;
pub mod test;
pub mod title;

terms! {
    /// What becomes of a rule's entries when it expires.
    OnExpiry { Keep = "KEEP", Revert = "REVERT" }
}

/// A rule as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub id: Uuid,
    /// The company, or [`GLOBAL`].
    pub company: Uuid,
    pub name: String,
    pub description: Option<String>,
    /// Rules are walked in ascending order, the older first among equals.
    pub order: i32,
    pub mode: Mode,
    pub expires_at: Option<Timestamp>,
    pub on_expiry: OnExpiry,
    /// The criteria tree in its published form.
    pub criteria: Json,
    pub action: Action,
    /// A gated rule does nothing until it has been approved.
    pub requires_approval: bool,
    /// SHA-256, in hexadecimal, of what an approval binds to: [`Rule::content`].
    pub content_hash: String,
    pub author: Uuid,
    pub archived_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// What the author of a rule writes.
#[derive(Clone, Debug)]
pub struct RuleDraft {
    pub name: String,
    pub description: Option<String>,
    pub order: i32,
    pub mode: Mode,
    pub expires_at: Option<Timestamp>,
    pub on_expiry: OnExpiry,
    pub criteria: Json,
    pub action: Json,
    pub requires_approval: bool,
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
    /// What the rule does and where: the part of it that an approval binds to.
    fn content(&self) -> Json {
        json!({
            "company": self.company, "criteria": self.criteria, "action": self.action, "order": self.order,
            "expires_at": self.expires_at, "on_expiry": self.on_expiry,
            "requires_approval": self.requires_approval,
        })
    }

    /// The whole rule, as its versions and the audit keep it.
    pub(crate) fn snapshot(&self) -> Json {
        json!({
            "name": self.name, "description": self.description, "mode": self.mode, "order": self.order,
            "criteria": self.criteria, "action": self.action, "expires_at": self.expires_at,
            "on_expiry": self.on_expiry, "requires_approval": self.requires_approval,
            "archived": self.archived_at.is_some(),
        })
    }

    fn hashed(mut self) -> Self {
        let digest = Sha256::digest(self.content().to_string());
        self.content_hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self
    }

    pub fn is_global(&self) -> bool {
        self.company == GLOBAL
    }

    /// Whether the actor may edit this rule, which it sees, or set its mode.
    pub fn may_edit(&self, actor: &Actor) -> Result<()> {
        self.may_order(actor)?;
        if self.archived_at.is_some() {
            return Err(Error::new(Code::IllegalState, "An archived rule is not changed."));
        }
        Ok(())
    }

    /// Whether the actor may move this rule, which it sees, in the walk, or archive it.
    pub fn may_order(&self, actor: &Actor) -> Result<()> {
        let scope = actor.allow(Permission::WriteRules)?;
        if self.company == scope.company()? {
            return Ok(());
        }
        Err(Error::forbidden("change global rules"))
    }

    /// Why the rule does nothing at `now`, if it does nothing.
    pub fn idle(&self, now: Timestamp) -> Option<&'static str> {
        if self.archived_at.is_some() {
            Some("archived")
        } else if self.mode == Mode::Off {
            Some("off")
        } else if self.expires_at.is_some_and(|at| at <= now) {
            Some("expired")
        } else if self.requires_approval {
            Some("waiting for approval")
        } else {
            None
        }
    }
}

/// Checks criteria for a rule: well formed, and not provably true of every finding.
pub fn check_criteria(criteria: &Json) -> Result<Criteria> {
    let tree = Criteria::parse(&FINDING, criteria)?;
    tree.refuse_tautology()?;
    Ok(tree)
}

impl RuleDraft {
    /// Checks everything that can be checked without the database.
    pub(crate) fn check(mut self, company: Uuid) -> Result<(Self, Action)> {
        self.check_words()?;
        self.criteria = check_criteria(&self.criteria).map_err(|error| error.at("criteria"))?.to_json();
        let action = self.check_action(company)?;
        Ok((self, action))
    }

    fn check_words(&mut self) -> Result<()> {
        self.name = self.name.trim().to_owned();
        if self.name.is_empty() || self.name.len() > 200 {
            return Err(Error::invalid("name", "A name has 1 to 200 bytes."));
        }
        self.description =
            self.description.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if self.description.as_ref().is_some_and(|text| text.len() > 8 * 1_024) {
            return Err(Error::invalid("description", "A description has at most 8 KiB."));
        }
        Ok(())
    }

    fn check_action(&self, company: Uuid) -> Result<Action> {
        let action = Action::parse(&self.action).map_err(|error| error.at("action"))?;
        let (users, teams) = action.names();
        if company == GLOBAL && !(users.is_empty() && teams.is_empty()) {
            let message = "A global rule names no users or teams: those belong to a company.";
            return Err(Error::invalid("action", message));
        }
        Ok(action)
    }
}

/// A fault of the member `of` of a draft.
fn fault_of(of: &str, fault: &Fault) -> Fault {
    Fault { pointer: format!("/{of}{}", fault.pointer), ..fault.clone() }
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

    pub async fn rule_create(&self, actor: &Actor, draft: RuleDraft) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let company = scope.company()?;
        let (draft, action) = draft.check(company)?;
        let now = self.clock().now();
        let mut tx = self.db().begin(actor, &scope, now).await?;
        tx.require_members(&action).await?;
        let rule = Rule {
            id: self.clock().id(),
            company,
            name: draft.name,
            description: draft.description,
            order: draft.order,
            mode: draft.mode,
            expires_at: draft.expires_at,
            on_expiry: draft.on_expiry,
            criteria: draft.criteria,
            action,
            requires_approval: draft.requires_approval,
            content_hash: String::new(),
            author: actor.id,
            archived_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        }
        .hashed();
        tx.write_rule(&rule, actor.id).await?;
        tx.audit(AuditEntry::new("rule.created", rule.id).after(rule.snapshot()));
        tx.rules_changed();
        tx.commit().await?;
        Ok(rule)
    }

    /// All that is wrong with a draft, each with its place in it: nothing is written.
    pub async fn rule_faults(&self, actor: &Actor, draft: &RuleDraft) -> Result<Vec<Fault>> {
        let scope = actor.allow(Permission::Read)?;
        let mut faults = Vec::new();
        faults.extend(draft.clone().check_words().err().map(Fault::from));
        match Criteria::parse(&FINDING, &draft.criteria) {
            Ok(tree) => {
                faults.extend(tree.refuse_tautology().err().map(|fault| fault_of("criteria", &fault)));
            }
            Err(all) => faults.extend(all.iter().map(|fault| fault_of("criteria", fault))),
        }
        match draft.check_action(scope.company()?) {
            Ok(action) => faults.extend(self.strangers(actor, &action).await?.into_iter().map(Fault::from)),
            Err(error) => faults.push(error.into()),
        }
        Ok(faults)
    }

    /// What is wrong with the users and teams that an action names: each of its nouns of which one is
    /// not of the company.
    pub(crate) async fn strangers(&self, actor: &Actor, action: &Action) -> Result<Vec<Error>> {
        let (users, teams) = action.names();
        let known_users = self.users_by_id(actor, &users).await?;
        let known_teams = self.teams_by_id(actor, &teams).await?;
        let strangers = [
            ("user", users.iter().any(|user| !known_users.contains_key(user))),
            ("team", teams.iter().any(|team| !known_teams.contains_key(team))),
        ];
        let unknown = strangers.into_iter().filter(|(_, unknown)| *unknown);
        let error = |noun: &str| Error::not_found(noun).at(&format!("{noun}s")).at("config").at("action");
        Ok(unknown.map(|(noun, _)| error(noun)).collect())
    }

    /// Replaces what the author wrote.
    pub async fn rule_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        draft: RuleDraft,
    ) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let (draft, action) = draft.check(scope.company()?)?;
        self.change_rule(actor, &scope, id, Some(expected_version), "rule.updated", |rule| {
            rule.may_edit(actor)?;
            Ok(Rule {
                name: draft.name,
                description: draft.description,
                order: draft.order,
                mode: draft.mode,
                expires_at: draft.expires_at,
                on_expiry: draft.on_expiry,
                criteria: draft.criteria,
                action,
                requires_approval: draft.requires_approval,
                ..rule
            })
        })
        .await
    }

    /// Turns a rule off or on, or lets it observe. What it said stays until the next pass.
    pub async fn rule_set_mode(
        &self,
        actor: &Actor,
        id: Uuid,
        version: Option<i64>,
        mode: Mode,
    ) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        self.change_rule(actor, &scope, id, version, "rule.mode_set", |rule| {
            rule.may_edit(actor)?;
            Ok(Rule { mode, ..rule })
        })
        .await
    }

    /// Moves a rule in the walk.
    pub async fn rule_set_order(
        &self,
        actor: &Actor,
        id: Uuid,
        version: Option<i64>,
        order: i32,
    ) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        self.change_rule(actor, &scope, id, version, "rule.order_set", |rule| Ok(Rule { order, ..rule }))
            .await
    }

    /// Puts a rule away. Its entries and its history stay.
    pub async fn rule_archive(&self, actor: &Actor, id: Uuid, version: Option<i64>) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let now = self.clock().now();
        self.change_rule(actor, &scope, id, version, "rule.archived", |rule| {
            Ok(Rule { archived_at: rule.archived_at.or(Some(now)), mode: Mode::Off, ..rule })
        })
        .await
    }

    async fn change_rule(
        &self,
        actor: &Actor,
        scope: &Scope,
        id: Uuid,
        expected: Option<i64>,
        action: &'static str,
        change: impl FnOnce(Rule) -> Result<Rule>,
    ) -> Result<Rule> {
        let now = self.clock().now();
        let mut tx = self.db().begin(actor, scope, now).await?;
        let before = tx.rule_to_change(scope, id).await?.ok_or_else(|| Error::not_found("rule"))?;
        if let Some(expected) = expected
            && expected != before.version
        {
            return Err(tx.conflict("rule", before.id, before.version).await?);
        }
        let after = change(before.clone())?;
        if after == before {
            return Ok(before);
        }
        tx.require_members(&after.action).await?;
        let after = Rule { version: before.version + 1, updated_at: now, ..after }.hashed();
        tx.write_rule(&after, actor.id).await?;
        tx.audit(AuditEntry::new(action, id).before(before.snapshot()).after(after.snapshot()));
        tx.rules_changed();
        tx.commit().await?;
        Ok(after)
    }

    /// Runs the pass over every active finding of the company as a job; returns its id.
    pub async fn rule_sweep(&self, actor: &Actor) -> Result<Uuid> {
        let scope = actor.allow(Permission::WriteRules)?;
        let id = self.clock().id();
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        tx.start_sweep(id, &Principal::of(actor), &json!({})).await?;
        tx.commit().await?;
        self.wake_jobs();
        Ok(id)
    }
}

impl Tx {
    /// Starts a pass over findings as a job of this transaction: `params` may name one `asset`, or a
    /// `rule` whose end date has come.
    pub(crate) async fn start_sweep(&mut self, id: Uuid, principal: &Principal, params: &Json) -> Result<()> {
        self.insert_job(id, JobKind::Sweep, JobState::Pending, principal, None, params).await?;
        self.audit(
            AuditEntry::new("job.started", id).after(json!({ "kind": JobKind::Sweep, "params": params })),
        );
        Ok(())
    }
}
