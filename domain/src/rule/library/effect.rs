//! What suggested rules would do here and now, which of them are rules already, and how one becomes
//! a rule.
//!
//! The newest active findings are read once and passed once, under the rules that hold and with every
//! suggested one among them as a rule that observes: what each would say is what it would do.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{LIBRARY, Suggestion, suggestion};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::finding::facts::Finding;
use crate::inventory::asset::Asset;
use crate::rule::matcher::Matcher;
use crate::rule::pass::{Exempt, LiveRule, Mode};
use crate::rule::preview::{Reach, drafted, walk_key};
use crate::rule::{Rule, RuleDraft};
use crate::vocabulary::time::Timestamp;

/// How a company's own rule differs from what is suggested.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Values of slots, by key.
    pub slots: Map<String, Json>,
    pub name: Option<String>,
    pub order: Option<i32>,
    pub mode: Option<Mode>,
    pub requires_approval: bool,
}

/// What suggested rules would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    pub as_of: Timestamp,
    /// How many findings were evaluated.
    pub evaluated: usize,
    /// There are more active findings than these.
    pub truncated: bool,
    of: HashMap<&'static str, Effect>,
}

/// What one suggested rule would do, beyond what the rules that hold do already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// How many findings it would change.
    pub findings: i64,
    /// How many of them in this field.
    pub fields: BTreeMap<&'static str, i64>,
    /// Of how many it could not be told whether its criteria hold.
    pub errors: i64,
}

impl Effects {
    /// `None`: its criteria wait for the company's word.
    pub fn of(&self, suggestion: &Suggestion) -> Option<&Effect> {
        self.of.get(suggestion.key.as_str())
    }
}

/// A suggested rule among the others.
struct Candidate {
    key: &'static str,
    rule: Rule,
}

impl Domain {
    /// What the suggested rules of these keys would do to the newest active findings that the actor may
    /// see.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub async fn suggested_effects(&self, actor: &Actor, keys: &[&str]) -> Result<Effects> {
        let scope = actor.allow(Permission::Read)?.of_tenant()?;
        let now = self.clock().now();
        let candidates = self.candidates(&scope, keys, now)?;
        let rules = self.db().rules_that_may_hold(&scope).await?;
        let rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.idle(now).is_none()).collect();
        let (findings, truncated) = self.findings_to_try(&scope, Reach::Affected).await?;
        let evaluated = findings.len();
        let exempt = self.exempt_now(&scope, findings.iter().map(|(finding, _)| finding.id)).await?;
        let tried = tokio::task::spawn_blocking(move || {
            let pairs: Vec<(&Finding, &Asset)> = findings.iter().map(|(f, asset)| (f, &**asset)).collect();
            effects(rules, candidates, &pairs, &exempt, now)
        });
        let of = tried.await.map_err(Error::internal)?;
        Ok(Effects { as_of: now, evaluated, truncated, of })
    }

    fn candidates(&self, scope: &Scope, keys: &[&str], now: Timestamp) -> Result<Vec<Candidate>> {
        let company = scope.company()?;
        let wanted = LIBRARY.iter().filter(|suggestion| keys.contains(&suggestion.key.as_str()));
        let outlines = wanted.filter_map(|suggestion| Some((suggestion, suggestion.outline()?)));
        let candidate = |(suggestion, outline): (&'static Suggestion, RuleDraft)| {
            let (content, _) = outline.check(company)?;
            let rule = drafted(None, content, company, now, self.clock().id());
            Ok(Candidate { key: &suggestion.key, rule: Rule { mode: Mode::Observe, ..rule } })
        };
        outlines.map(candidate).collect()
    }

    /// The rules, not archived, that were made of suggested ones, by their keys, in the order of the
    /// walk.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub async fn rules_of_library(&self, actor: &Actor) -> Result<HashMap<String, Vec<Rule>>> {
        let scope = actor.allow(Permission::Read)?;
        let mut found: HashMap<String, Vec<Rule>> = HashMap::new();
        for rule in self.db().rules_of_library(&scope).await? {
            let Some(key) = rule.library_key.clone() else { continue };
            found.entry(key).or_default().push(rule);
        }
        Ok(found)
    }

    /// Makes a rule of a suggested one.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` for a key of none; what its slots are refused for; those of making a rule.
    pub async fn suggested_rule_enable(&self, actor: &Actor, key: &str, wish: Wish) -> Result<Rule> {
        let scope = actor.allow(Permission::WriteRules)?;
        let suggestion = suggestion(key)?;
        let mut draft = suggestion.draft(&wish.slots)?;
        draft.name = wish.name.unwrap_or(draft.name);
        draft.order = wish.order.unwrap_or(draft.order);
        draft.mode = wish.mode.unwrap_or(draft.mode);
        draft.requires_approval = wish.requires_approval;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let made = self.create_rule(&mut tx, actor, &scope, draft, Some(key.to_owned())).await;
        let rule = made.map_err(|error| of_slots(suggestion, error))?;
        tx.commit().await?;
        Ok(rule)
    }
}

/// The company writes slots, not the action: what is refused there is refused at the slot that says it.
fn of_slots(suggestion: &Suggestion, mut error: Error) -> Error {
    let slot = match error.field.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["action", "config", member, ..] => {
            let written = &suggestion.action["config"][member];
            suggestion.slots.iter().find(|slot| super::names(written, &slot.key))
        }
        _ => None,
    };
    if let Some(slot) = slot {
        error.field = vec!["slots".to_owned(), slot.key.clone()];
    }
    error
}

/// What each candidate would say of the findings, at its place among the rules. Pure.
fn effects(
    rules: Vec<Rule>,
    candidates: Vec<Candidate>,
    findings: &[(&Finding, &Asset)],
    exempt: &Exempt,
    now: Timestamp,
) -> HashMap<&'static str, Effect> {
    let keys: HashMap<Uuid, &'static str> = candidates.iter().map(|one| (one.rule.id, one.key)).collect();
    let mut effects: HashMap<&'static str, Effect> =
        keys.values().map(|key| (*key, Effect::default())).collect();
    let mut all = rules;
    all.extend(candidates.into_iter().map(|candidate| candidate.rule));
    all.sort_by_key(walk_key);
    let matcher = Matcher::new(all.into_iter().map(LiveRule::of).collect());
    let key = |at: usize| keys.get(&matcher.rules()[at].id);
    for passed in matcher.pass(findings, exempt, now).into_iter().flatten() {
        for application in &passed.applications {
            let Some(effect) = key(application.rule).and_then(|key| effects.get_mut(key)) else { continue };
            effect.findings += 1;
            for field in application.fields() {
                *effect.fields.entry(field).or_default() += 1;
            }
        }
        for (at, _) in &passed.errors {
            if let Some(effect) = key(*at).and_then(|key| effects.get_mut(key)) {
                effect.errors += 1;
            }
        }
    }
    effects
}
