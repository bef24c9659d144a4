//! Rules on their way into the database: what becomes of each is found out first, and then all of them
//! are written in a few statements, however many there are.

use uuid::Uuid;

use super::store::{DraftRow, Version};
use super::{Content, Rule};
use crate::Domain;
use crate::access::{Actor, Portfolio, Scope};
use crate::error::Result;
use crate::finding::query::FindingFilter;
use crate::finding::selection::is_active;
use crate::ledger::AuditEntry;
use crate::policy::{Policy, RuleFacts};
use crate::store::Tx;
use crate::vocabulary::criteria::{Compiled, Criteria};
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::time::Timestamp;

/// A rule that is to be written.
pub(crate) struct Writing {
    action: &'static str,
    /// None: it is new.
    before: Option<Rule>,
    pub after: Rule,
    /// The draft that it had, where that goes or is replaced, and why.
    gone: Option<(DraftRow, &'static str)>,
    /// Its draft, where that is what changes.
    draft: Option<DraftRow>,
}

impl Writing {
    /// A new rule, with its draft if it is not live.
    pub fn new(rule: Rule, draft: Option<DraftRow>) -> Self {
        Self { action: "rule.created", before: None, after: rule, gone: None, draft }
    }

    /// A rule that was `before`, with a version of its own.
    pub fn of(action: &'static str, before: Rule, after: Rule, now: Timestamp) -> Self {
        let after = Rule { version: before.version + 1, updated_at: now, ..after };
        Self { action, before: Some(before), after, gone: None, draft: None }
    }

    /// Takes the draft away that it had, and back what was asked for it.
    pub fn without(self, draft: Option<DraftRow>, why: &'static str) -> Self {
        Self { gone: draft.map(|draft| (draft, why)), ..self }
    }

    /// Makes this its draft.
    pub fn drafting(self, draft: DraftRow) -> Self {
        Self { draft: Some(draft), ..self }
    }

    /// Whether it has a draft from now on that was written with it.
    pub fn is_drafted(&self) -> bool {
        self.draft.is_some()
    }

    /// The rule as it was, where it comes to write on findings with what was live before.
    fn turned_on(&self) -> Option<&Rule> {
        let before = self.before.as_ref()?;
        (self.after.is_turned_on(before) && self.after.live == before.live).then_some(before)
    }

    /// What the draft says that changes, of a rule that there was.
    fn drafted(&self) -> Option<&Content> {
        self.draft.as_ref().filter(|_| self.before.is_some()).map(|draft| &draft.content)
    }

    /// Whether passes have to look at the rules anew.
    fn is_heard(&self) -> bool {
        match &self.before {
            None => self.after.live.is_some(),
            Some(before) => self.draft.is_none() || before.mode != self.after.mode,
        }
    }
}

impl Domain {
    /// Writes rules, and takes back what was asked for drafts that go.
    pub(super) async fn write_rules(&self, tx: &mut Tx, actor: &Actor, writings: &[Writing]) -> Result<()> {
        for (draft, why) in writings.iter().filter_map(|writing| writing.gone.as_ref()) {
            self.supersede(tx, draft.approval, why).await?;
        }
        tx.put_writings(actor, writings).await
    }
}

impl Tx {
    /// Writes a rule that was `before`, unless nothing changed.
    pub(crate) async fn rewrite_rule(
        &mut self,
        actor: &Actor,
        action: &'static str,
        before: Rule,
        after: Rule,
    ) -> Result<Rule> {
        if before == after {
            return Ok(before);
        }
        let writing = Writing::of(action, before, after, self.now());
        self.put_writings(actor, std::slice::from_ref(&writing)).await?;
        Ok(writing.after)
    }

    async fn put_writings(&mut self, actor: &Actor, writings: &[Writing]) -> Result<()> {
        for writing in writings {
            if let Some(before) = writing.turned_on() {
                let scope = Scope::Company(before.company, Portfolio::Whole);
                self.require_agreed(&scope, before).await?;
            }
        }
        let version = |writing: &Writing| Version {
            rule: writing.after.clone(),
            drafted: writing.drafted().cloned(),
            editor: actor.id,
            approval: None,
        };
        let versions: Vec<Version> = writings.iter().map(version).collect();
        self.put_rules(&versions).await?;
        let gone: Vec<Uuid> = writings
            .iter()
            .filter(|writing| writing.gone.is_some() || writing.drafted().is_some())
            .map(|writing| writing.after.id)
            .collect();
        self.delete_rule_drafts(&gone).await?;
        let drafts: Vec<&DraftRow> = writings.iter().filter_map(|writing| writing.draft.as_ref()).collect();
        self.insert_rule_drafts(&drafts).await?;
        for (writing, version) in writings.iter().zip(&versions) {
            let entry = AuditEntry::new(writing.action, writing.after.id).after(version.said().snapshot());
            self.audit(match &writing.before {
                Some(before) => entry.before(before.snapshot()),
                None => entry,
            });
        }
        if writings.iter().any(Writing::is_heard) {
            self.rules_changed();
        }
        Ok(())
    }

    /// What the company's policy asks of rules, read once for all that a transaction writes.
    pub(crate) async fn gatekeeper(&self, scope: &Scope) -> Result<Gatekeeper> {
        let policy = self.policy_in_force(scope).await?;
        let active = match policy.counts() {
            true => self.active_findings(scope, None).await?.unwrap_or(0),
            false => 0,
        };
        Ok(Gatekeeper { policy, active })
    }

    /// Why the company's policy asks for the approval of a rule that says this; empty where it does not.
    pub(crate) async fn gates_on(&self, scope: &Scope, content: &Content) -> Result<Vec<String>> {
        self.gatekeeper(scope).await?.gates_on(self, scope, content).await
    }

    /// How many findings are active, of those that the criteria hold for; `None` where that takes trying
    /// them one by one.
    async fn active_findings(&self, scope: &Scope, criteria: Option<&Criteria>) -> Result<Option<i64>> {
        let active = Criteria::parse(&FINDING, &is_active())?;
        let tree = match criteria {
            Some(criteria) => active.and(criteria.clone()),
            None => active,
        };
        self.finding_count(scope, &FindingFilter::new(Some(Compiled::new(&tree)), self.now())).await
    }
}

/// What a company asks of its rules.
pub(crate) struct Gatekeeper {
    policy: Policy,
    /// How many findings are active, where the policy asks.
    active: i64,
}

impl Gatekeeper {
    /// Why it asks for the approval of a rule that says this; empty where it does not.
    pub async fn gates_on(&self, tx: &Tx, scope: &Scope, content: &Content) -> Result<Vec<String>> {
        let criteria = Criteria::parse(&FINDING, &content.criteria).ok();
        let touched = match criteria.as_ref().filter(|_| self.policy.counts()) {
            // More than it can be tried on, where there is no count.
            Some(criteria) => tx.active_findings(scope, Some(criteria)).await?.unwrap_or(self.active),
            None => 0,
        };
        let criteria = criteria.as_ref();
        let facts = RuleFacts { action: &content.action, criteria, touched, active: self.active };
        Ok(self.policy.for_rule(&facts).into_iter().map(|gate| gate.reason().to_owned()).collect())
    }
}
