//! What takes a rule's draft to its live version: a second person.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::pass::Mode;
use super::store::{DraftRow, Version};
use super::{Content, Live, Rule};
use crate::Domain;
use crate::access::{Actor, GLOBAL, Permission, Portfolio, Scope};
use crate::approval::{Approval, BlastRadius, Emergency, NewApproval, Stage, Subject};
use crate::error::{Code, Error, Result};
use crate::finding::query::{Count, FindingFilter};
use crate::finding::selection::is_active;
use crate::inventory::record::Diff;
use crate::ledger::AuditEntry;
use crate::store::Tx;
use crate::vocabulary::criteria::{Compiled, Criteria};
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

/// A rule's draft and where it stands.
#[derive(Clone, Debug)]
pub struct Drafted {
    pub rule: Uuid,
    pub content: Content,
    pub content_hash: String,
    pub stage: DraftStage,
    /// What was asked for it last.
    pub approval: Option<Uuid>,
    pub author: Uuid,
    pub editor: Uuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

terms! {
    /// Where a draft stands on its way.
    DraftStage { Draft = "DRAFT", Pending = "PENDING", Rejected = "REJECTED" }
}

impl DraftStage {
    /// Where the draft stands by what was asked for it last.
    pub(super) fn of(approval: Option<Stage>) -> Self {
        match approval {
            Some(Stage::Pending) => Self::Pending,
            Some(Stage::Rejected) => Self::Rejected,
            _ => Self::Draft,
        }
    }
}

impl Rule {
    /// Whether the actor may ask for the approval of this rule's draft.
    pub fn may_submit(&self, actor: &Actor, draft: Option<&Drafted>) -> Result<()> {
        self.may_edit(actor)?;
        match draft.map(|draft| draft.stage) {
            None => Err(no_draft()),
            Some(DraftStage::Pending) => Err(waits_already()),
            Some(DraftStage::Draft | DraftStage::Rejected) => Ok(()),
        }
    }

    /// Whether the actor may make this rule's draft, with what it says and where it stands, live. A
    /// policy that gates it only since it was written is not looked at.
    pub fn may_publish(&self, actor: &Actor, draft: Option<(&Content, DraftStage)>) -> Result<()> {
        self.may_edit(actor)?;
        match draft {
            None => Err(no_draft()),
            Some((content, _)) if self.gated || content.requires_approval => Err(takes_approval()),
            Some((_, DraftStage::Pending)) => Err(waits_already()),
            Some((_, DraftStage::Draft | DraftStage::Rejected)) => Ok(()),
        }
    }
}

pub(super) fn no_draft() -> Error {
    Error::new(Code::IllegalState, "This rule has no draft.")
}

fn waits_already() -> Error {
    Error::new(Code::IllegalState, "The draft waits for approval already.")
}

fn takes_approval() -> Error {
    Error::new(Code::IllegalState, "This draft takes a second person: ask for its approval.")
}

impl Domain {
    /// The drafts of these rules, for a loader.
    pub async fn rule_drafts(&self, actor: &Actor, rules: &[Uuid]) -> Result<HashMap<Uuid, Drafted>> {
        let scope = actor.allow(Permission::Read)?;
        let drafts = self.db().rule_drafts(&scope, rules).await?;
        Ok(drafts.into_iter().map(|draft| (draft.rule, draft)).collect())
    }

    /// A rule with what its draft says, if it has one: what an edit changes and a preview tries.
    pub async fn rule_as_drafted(&self, actor: &Actor, id: Uuid) -> Result<Rule> {
        let rule = self.rule(actor, id).await?;
        let draft = self.rule_drafts(actor, &[id]).await?.remove(&id);
        Ok(match draft {
            Some(draft) => rule.saying(draft.content),
            None => rule,
        })
    }

    /// Asks for the approval of a rule's draft as it stands now.
    pub async fn rule_submit(&self, actor: &Actor, id: Uuid, expected_version: i64) -> Result<Approval> {
        let scope = actor.allow(Permission::WriteRules)?;
        let drafted = self.rule_as_drafted(actor, id).await?;
        let blast = self.blast_radius(&drafted).await?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let rule = tx.rule_to_edit(&scope, id, Some(expected_version)).await?;
        let approval = self.submit_rule(&mut tx, actor, &scope, &rule, blast).await?;
        tx.answer(approval.id);
        tx.commit().await?;
        Ok(approval)
    }

    /// Asks for the approval of the draft of a rule that `tx` holds.
    pub(crate) async fn submit_rule(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        scope: &Scope,
        rule: &Rule,
        blast: BlastRadius,
    ) -> Result<Approval> {
        rule.may_edit(actor)?;
        let Some(draft) = tx.rule_draft(scope, rule.id).await? else {
            return Err(no_draft());
        };
        if tx.approval_stage(scope, draft.approval).await? == Some(Stage::Pending) {
            return Err(waits_already());
        }
        let live = rule.live.map(|_| rule.content.json()).unwrap_or_else(|| json!({}));
        let diff = Diff::of(&live, &draft.content.json()).map_or(json!({}), Diff::payload);
        let mut reasons = tx.gates_on(scope, &draft.content).await?;
        if draft.content.requires_approval || rule.gated && reasons.is_empty() {
            reasons.insert(0, "The rule asks for the approval of its changes.".to_owned());
        } else if reasons.is_empty() {
            reasons.push("Its author asks for it.".to_owned());
        }
        let new = NewApproval {
            subject: Subject::Rule(rule.id),
            title: draft.content.name.clone(),
            reasons,
            content: draft.content.json(),
            content_hash: draft.content_hash.clone(),
            diff,
            blast,
            author: draft.author,
            editor: draft.editor,
        };
        let approval = self.open_approval(tx, actor, scope, new).await?;
        tx.delete_rule_drafts(&[rule.id]).await?;
        tx.insert_rule_drafts(&[&DraftRow { approval: Some(approval.id), ..draft }]).await?;
        Ok(approval)
    }

    /// How many active findings a rule's criteria hold for now: of all companies where it is global.
    pub(crate) async fn blast_radius(&self, rule: &Rule) -> Result<BlastRadius> {
        self.blast_radius_of(rule.company, &rule.content.criteria).await
    }

    /// How many active findings these criteria hold for now, in a company or, of the global one, in all.
    pub(crate) async fn blast_radius_of(&self, company: Uuid, criteria: &Json) -> Result<BlastRadius> {
        let now = self.clock().now();
        let scope = if company == GLOBAL { Scope::System } else { Scope::Company(company, Portfolio::Whole) };
        let active = Criteria::parse(&FINDING, &is_active())?;
        let matched = active.clone().and(Criteria::parse(&FINDING, criteria)?);
        let counted = async |tree: &Criteria| {
            let filter = FindingFilter::new(Some(Compiled::new(tree)), now);
            Ok::<_, Error>(match self.db().finding_count(&scope, &filter).await? {
                Count::Exact(count) => Some(count),
                Count::Unknown(_) => None,
            })
        };
        let (count, total) = (counted(&matched).await?, counted(&active).await?.unwrap_or(0));
        let share = count.map(|count| if total == 0 { 0.0 } else { count as f64 / total as f64 });
        Ok(BlastRadius { count, share, as_of: now })
    }

    /// Makes the draft of a rule that takes no second person its live version.
    ///
    /// # Errors
    /// `ILLEGAL_STATE` where the rule has no draft, where it waits for approval, or where it takes one.
    pub async fn rule_publish(&self, actor: &Actor, id: Uuid, expected_version: i64) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let rule = tx.rule_to_edit(&scope, id, Some(expected_version)).await?;
        rule.may_edit(actor)?;
        let draft = tx.rule_draft(&scope, id).await?.ok_or_else(no_draft)?;
        let stage = DraftStage::of(tx.approval_stage(&scope, draft.approval).await?);
        rule.may_publish(actor, Some((&draft.content, stage)))?;
        if !tx.gates_on(&scope, &draft.content).await?.is_empty() {
            return Err(takes_approval());
        }
        let live = self.put_live(&mut tx, &scope, rule, draft, None, None).await?;
        tx.commit().await?;
        Ok(live)
    }

    /// Makes the draft that was approved the live version of its rule, which `tx` holds.
    pub(crate) async fn rule_goes_live(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        rule: Rule,
        approval: &Approval,
        emergency: Option<&Emergency>,
    ) -> Result<()> {
        let draft = tx.rule_draft(scope, rule.id).await?;
        // Every edit takes back what was asked before it, so this is what the voters saw.
        let draft = draft.filter(|draft| draft.content_hash == approval.content_hash);
        let Some(draft) = draft else {
            return Err(Error::new(
                Code::Conflict,
                "The draft was changed since its approval was asked for.",
            ));
        };
        let until = emergency.map(|emergency| emergency.until);
        self.put_live(tx, scope, rule, draft, Some(approval.id), until).await?;
        Ok(())
    }

    /// Puts a draft in the place of the live version of its rule, which `tx` holds.
    async fn put_live(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        rule: Rule,
        draft: DraftRow,
        approval: Option<Uuid>,
        emergency_until: Option<Timestamp>,
    ) -> Result<Rule> {
        tx.require_members(&draft.content.action).await?;
        let live = Live { version: rule.version + 1, since: tx.now(), emergency_until };
        let gated = draft.content.requires_approval || !tx.gates_on(scope, &draft.content).await?.is_empty();
        let before = rule.snapshot();
        let after = Rule { live: Some(live), gated, version: live.version, updated_at: live.since, ..rule };
        let after = after.saying(draft.content);
        let version = Version { rule: after, drafted: None, editor: draft.editor.id, approval };
        tx.put_rules(std::slice::from_ref(&version)).await?;
        let after = version.rule;
        tx.delete_rule_drafts(&[after.id]).await?;
        let entry = AuditEntry::new("rule.went_live", after.id).before(before).after(after.snapshot());
        tx.audit(match approval {
            Some(approval) => entry.because(json!({ "approval": approval })),
            None => entry,
        });
        tx.rules_changed();
        Ok(after)
    }

    /// What becomes of a rule whose emergency approval was reviewed: it stays, or it is turned off.
    pub(crate) async fn rule_reviewed(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        rule: Rule,
        approval: &Approval,
        upheld: bool,
    ) -> Result<()> {
        let of_this = rule.live.filter(|_| rule.content_hash == approval.content_hash);
        let Some(live) = of_this else { return Ok(()) };
        let after = if upheld {
            Rule { live: Some(Live { emergency_until: None, ..live }), ..rule.clone() }
        } else {
            // Ended with it, so that to turn it on again takes another approval.
            Rule {
                mode: Mode::Off,
                live: Some(Live { emergency_until: Some(tx.now()), ..live }),
                ..rule.clone()
            }
        };
        tx.rewrite_rule(actor, "rule.reviewed", rule, after).await?;
        Ok(())
    }
}

impl Tx {
    /// Refuses to let a rule write on findings where the policy in force gates what it says and nobody
    /// agreed to that: it was let through by a policy that asked less.
    pub(crate) async fn require_agreed(&self, scope: &Scope, rule: &Rule) -> Result<()> {
        let Some(live) = rule.live else { return Ok(()) };
        if self.is_agreed_to(scope, rule.id, live.version).await? {
            return Ok(());
        }
        let gates = self.gates_on(scope, &rule.content).await?;
        if gates.is_empty() {
            return Ok(());
        }
        let message = "A second person has to agree to what this rule says before it is turned on.";
        Err(Error::new(Code::IllegalState, message).at("mode").with("reasons", json!(gates)))
    }
}
