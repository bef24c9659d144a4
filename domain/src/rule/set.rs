//! All rules of a company as code: written as a document, planned against what stands, and applied
//! whole or not at all.
//!
//! A rule is known again by its key. A plan is a difference that somebody looks at; its hash binds what
//! is applied to what was seen. What is gated becomes a draft, as by any edit, and is submitted for
//! approval where that is asked for. Nothing is archived unless it is asked for.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::draft::RuleDraft;
use super::edit::{Change, Made, NewRule, Towards, archived, key_taken};
use super::writing::Writing;
use super::{Content, Rule, RuleFilter};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::ledger::AuditEntry;
use crate::page::PageArgs;
use crate::store::Tx;
use crate::vocabulary::criteria::Fault;
use document::Notation;
use plan::{Planned, Step};

pub mod document;
pub mod plan;

/// How a document is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// Archives rules that the document does not have.
    pub prune: bool,
    /// Asks for the approval of what is gated.
    pub submit: bool,
}

/// What a document would make of the rules.
#[derive(Clone, Debug)]
pub struct SetPlan {
    /// Binds an application to this plan: it is another as soon as the document or any rule is.
    pub hash: String,
    /// In the order of the document, and then what it does not have, by key.
    pub planned: Vec<Planned>,
}

/// What is wrong with a document, or what it would do.
pub type Read = std::result::Result<SetPlan, Vec<Fault>>;

/// A rule as it stands, with what its draft says, if it has one.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub rule: Rule,
    /// What an edit of it would change.
    pub written: RuleDraft,
}

/// All faults of a document as one refusal.
fn refused(faults: Vec<Fault>) -> Error {
    let all: Vec<Json> = faults
        .iter()
        .map(|fault| json!({ "pointer": fault.pointer, "code": fault.code.word(), "message": fault.message }))
        .collect();
    let message = faults.first().map_or_else(String::new, ToString::to_string);
    let code = faults.first().map_or(Code::Invalid, |fault| fault.code);
    Error::new(code, message).with("faults", all).at("document")
}

/// A refusal of what the document says of one rule.
fn named(key: &str, error: Error) -> Error {
    error.at(key).at("document")
}

/// The users and teams that actions name, and the rules whose they are.
#[derive(Default)]
struct Assignees {
    users: BTreeMap<Uuid, String>,
    teams: BTreeMap<Uuid, String>,
}

impl Assignees {
    fn add(&mut self, key: &str, content: &Content) {
        let (users, teams) = content.action.names();
        self.users.extend(users.into_iter().map(|user| (user, key.to_owned())));
        self.teams.extend(teams.into_iter().map(|team| (team, key.to_owned())));
    }

    /// Refuses those who are not of the company, at a rule that names one.
    async fn require(&self, tx: &Tx) -> Result<()> {
        let ids = |of: &BTreeMap<Uuid, String>| of.keys().copied().collect::<Vec<_>>();
        let Err(error) = tx.require_assignable(&ids(&self.users), &ids(&self.teams)).await else {
            return Ok(());
        };
        let stranger = error.details.get("id").and_then(Json::as_str).and_then(|id| id.parse::<Uuid>().ok());
        let key = stranger.and_then(|id| self.users.get(&id).or_else(|| self.teams.get(&id)));
        let error = error.at("config").at("action");
        Err(match key {
            Some(key) => named(key, error),
            None => error.at("document"),
        })
    }
}

impl Domain {
    /// All rules of the actor's company as a document, with what their drafts say.
    pub async fn rule_set_export(&self, actor: &Actor, notation: Notation) -> Result<String> {
        let scope = actor.allow(Permission::Read)?;
        let standing = self.standing_rules(actor, &scope).await?;
        let kept = standing.into_iter().filter(|one| one.rule.archived_at.is_none());
        let written: Vec<RuleDraft> = kept.map(|one| one.written).collect();
        document::write(&written, notation)
    }

    /// What a document would do. Nothing is written.
    pub async fn rule_set_plan(&self, actor: &Actor, text: &str, options: SetOptions) -> Result<Read> {
        let scope = actor.allow(Permission::Read)?;
        Ok(self.planned(actor, &scope, text, options).await?.map(|(plan, _)| plan))
    }

    /// The plan of what is left to do of a document that is in order.
    pub async fn rule_set_left(&self, actor: &Actor, text: &str, options: SetOptions) -> Result<SetPlan> {
        self.rule_set_plan(actor, text, options).await?.map_err(refused)
    }

    /// Does what a plan says, in one transaction. `hash` is that of the plan that was seen.
    ///
    /// # Errors
    /// The first of the document's faults; `CONFLICT` where the plan is another by now.
    pub async fn rule_set_apply(
        &self,
        actor: &Actor,
        text: &str,
        options: SetOptions,
        hash: &str,
    ) -> Result<SetPlan> {
        let scope = actor.allow(Permission::WriteRules)?;
        let planned = self.planned(actor, &scope, text, options).await?;
        let (plan, standing) = planned.map_err(refused)?;
        if plan.hash != hash {
            let message =
                "The rules or the document are not what they were when the plan was made: plan again.";
            return Err(Error::new(Code::Conflict, message).at("planHash"));
        }
        // What approvers are told is counted before the transaction, which holds the rules.
        let mut blasts = HashMap::new();
        if options.submit {
            for one in plan.planned.iter().filter(|one| matches!(one.step, Step::Create | Step::Change(_))) {
                let Some(draft) = &one.draft else { continue };
                let blast = self.blast_radius_of(scope.company()?, &draft.criteria).await?;
                blasts.insert(one.key.clone(), blast);
            }
        }
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let writings = self.writings(&mut tx, actor, &scope, &plan.planned, &standing).await?;
        self.write_rules(&mut tx, actor, &writings).await?;
        for writing in writings.iter().filter(|writing| writing.is_drafted()) {
            let rule = &writing.after;
            if let Some(blast) = blasts.remove(&rule.key) {
                let submitted = self.submit_rule(&mut tx, actor, &scope, rule, blast).await;
                submitted.map_err(|error| named(&rule.key, error))?;
            }
        }
        if plan.planned.iter().any(|one| one.step.writes()) {
            let told = AuditEntry::new("rule_set.applied", self.clock().id());
            tx.audit(
                told.after(json!({ "hash": plan.hash, "prune": options.prune, "submit": options.submit })),
            );
            tx.commit().await?;
        }
        Ok(plan)
    }

    /// What is to be written for a plan whose rules stood so when it was made: what has to be known of them is
    /// read for all of them together.
    async fn writings(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        scope: &Scope,
        planned: &[Planned],
        standing: &HashMap<Uuid, Rule>,
    ) -> Result<Vec<Writing>> {
        let (company, now) = (scope.company()?, tx.now());
        let planned: Vec<&Planned> = planned.iter().filter(|one| one.step.writes()).collect();
        let ids: Vec<Uuid> = planned.iter().filter_map(|one| one.rule).collect();
        let held = tx.rules_to_change(scope, &ids).await?;
        let mut held: HashMap<Uuid, Rule> = held.into_iter().map(|rule| (rule.id, rule)).collect();
        let mut drafts = tx.rule_drafts_of(scope, &ids).await?;
        let made = planned.iter().filter(|one| one.step == Step::Create);
        let keys: Vec<&str> = made.map(|one| one.key.as_str()).collect();
        let taken = tx.rule_keys_taken(scope, &keys).await?;
        let gatekeeper = tx.gatekeeper(scope).await?;
        let mut people = Assignees::default();
        let mut writings = Vec::with_capacity(planned.len());
        for one in planned {
            let named = |error| named(&one.key, error);
            let before = match one.rule {
                Some(id) => {
                    let rule = held.remove(&id).ok_or_else(|| Error::not_found("rule"))?;
                    if standing.get(&id).is_none_or(|stood| stood.version != rule.version) {
                        return Err(tx.conflict("rule", id, rule.version).await?);
                    }
                    Some((rule, drafts.remove(&id)))
                }
                None => None,
            };
            let Some(draft) = &one.draft else {
                let Some((before, draft)) = before else { continue };
                before.may_archive(actor).map_err(named)?;
                writings.extend(archived(before, draft, now));
                continue;
            };
            let (content, mode) = draft.clone().check(company).map_err(named)?;
            people.add(&one.key, &content);
            let by_policy = !gatekeeper.gates_on(tx, scope, &content).await?.is_empty();
            let Some((before, kept)) = before else {
                if taken.contains(&one.key) {
                    return Err(named(key_taken()));
                }
                let (id, key) = (self.clock().id(), one.key.clone());
                let new = NewRule { id, key, library_key: None, mode, content };
                writings.push(new.made(scope, actor, by_policy, now)?);
                continue;
            };
            before.may_edit(actor).map_err(named)?;
            let rule = Rule { mode, ..before.clone() };
            let change = Change { before, rule, content, towards: Towards::Live };
            if let Made::Written(writing) = change.made(kept, actor, by_policy, now) {
                writings.push(*writing);
            }
        }
        people.require(tx).await?;
        Ok(writings)
    }

    /// What a document would do, and the rules as they stand, by id.
    async fn planned(
        &self,
        actor: &Actor,
        scope: &Scope,
        text: &str,
        options: SetOptions,
    ) -> Result<std::result::Result<(SetPlan, HashMap<Uuid, Rule>), Vec<Fault>>> {
        let drafts = match document::read(text) {
            Ok(drafts) => drafts,
            Err(faults) => return Ok(Err(faults)),
        };
        let standing = self.standing_rules(actor, scope).await?;
        let mut faults = Vec::new();
        let mut checked = Vec::with_capacity(drafts.len());
        let of_each = self.rules_faults(actor, &drafts).await?;
        for (at, (draft, own)) in drafts.into_iter().zip(of_each).enumerate() {
            let place = |fault: Fault| Fault { pointer: format!("/rules/{at}{}", fault.pointer), ..fault };
            if own.is_empty() {
                let (content, mode) = draft.clone().check(scope.company()?)?;
                checked.push((draft, content, mode));
            } else {
                faults.extend(own.into_iter().map(place));
            }
        }
        if !faults.is_empty() {
            return Ok(Err(faults));
        }
        match plan::plan(checked, &standing, options) {
            Ok(plan) => {
                let rules = standing.into_iter().map(|one| (one.rule.id, one.rule)).collect();
                Ok(Ok((plan, rules)))
            }
            Err(faults) => Ok(Err(faults)),
        }
    }

    /// The rules of the scope's own company, archived ones too, with their drafts.
    async fn standing_rules(&self, actor: &Actor, scope: &Scope) -> Result<Vec<Standing>> {
        let company = scope.company()?;
        let filter = RuleFilter { archived: true, ..RuleFilter::default() };
        let mut page = PageArgs::first(500);
        let mut rules: Vec<Rule> = Vec::new();
        loop {
            let some = self.rules(actor, &filter, &page).await?;
            page.after = some.edges.last().map(|edge| edge.cursor.clone());
            let more = some.has_next;
            rules.extend(some.nodes().filter(|rule| rule.company == company));
            if !more {
                break;
            }
        }
        let ids: Vec<Uuid> = rules.iter().map(|rule| rule.id).collect();
        let mut drafts = BTreeMap::new();
        for some in ids.chunks(1_000) {
            drafts.extend(self.rule_drafts(actor, some).await?);
        }
        let standing = rules.into_iter().map(|rule| {
            let drafted = drafts.remove(&rule.id).map(|draft| draft.content);
            let written = match drafted {
                Some(content) => RuleDraft::of(&rule.clone().saying(content)),
                None => RuleDraft::of(&rule),
            };
            let written = RuleDraft { key: Some(rule.key.clone()), ..written };
            Standing { rule, written }
        });
        Ok(standing.collect())
    }
}
