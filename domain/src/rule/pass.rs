//! The pass: what the rules make of a finding. Pure, and `pass(pass(x)) = pass(x)`.
//!
//! It starts from the *base*, all entries but those of the rules it evaluates, and walks those rules
//! in order; each sees what the earlier ones made of the finding. It yields their entries anew, so
//! that what no longer holds falls away. What a runbook or a person settled is read, never touched;
//! a finding that is not active on the base is left as it is; the walk ends where a rule makes it
//! inactive. A rule whose criteria end in an error keeps what it said: an error is neither a match
//! nor a silent no-match.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::action::Action;
use crate::finding::facts::{Facts, Finding, Shown};
use crate::finding::layers::{Layers, Source, Statement};
use crate::inventory::asset::Asset;
use crate::vocabulary::criteria::{Compiled, Outcome};
use crate::vocabulary::terms::{Term, terms};
use crate::vocabulary::time::Timestamp;

terms! {
    /// Whether a rule is evaluated, and whether what it says is shown.
    Mode { Off = "OFF", Observe = "OBSERVE", Enforce = "ENFORCE" }
}

/// A rule as the pass evaluates it: live, unexpired, in ENFORCE or OBSERVE.
#[derive(Debug)]
pub struct LiveRule {
    pub id: Uuid,
    pub name: String,
    pub version: i64,
    pub content_hash: String,
    /// ENFORCE, or else OBSERVE.
    pub enforced: bool,
    /// The compiled criteria, or why they no longer compile.
    pub criteria: Result<Compiled, String>,
    pub action: Action,
}

/// How a rule's entries on a finding changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Added,
    Changed,
    Withdrawn,
}

impl Turn {
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Changed => "CHANGED",
            Self::Withdrawn => "WITHDRAWN",
        }
    }
}

/// The application of one rule to one finding: the difference that a pass made.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// The place of the rule in the walk.
    pub rule: usize,
    pub turn: Turn,
    /// What the rule would say but, being observed, does not.
    pub observed: bool,
    /// The fields it speaks of, as they were before it spoke and after.
    pub before: Map<String, Json>,
    pub after: Map<String, Json>,
}

/// What a pass makes of a finding.
#[derive(Debug)]
pub struct Passed {
    pub layers: Layers,
    pub shown: Shown,
    pub applications: Vec<Application>,
    /// The rules whose criteria could not be decided, and why.
    pub errors: Vec<(usize, String)>,
}

/// What one rule said at its turn.
struct Said {
    rule: usize,
    statements: Vec<Statement>,
    before: Map<String, Json>,
    after: Map<String, Json>,
}

/// Walks `rules` over a finding whose layers are `finding.layers`. `None`: nothing changes.
pub fn pass(finding: &Finding, asset: &Asset, rules: &[LiveRule], now: Timestamp) -> Option<Passed> {
    // Without rules there is nothing to say, but what a rule that is gone would have said is to go.
    if rules.is_empty() && finding.layers.observed().is_empty() {
        return None;
    }
    // Most findings were never touched by a rule: their base is what they are.
    let touched: BTreeSet<Uuid> = finding.layers.rules().into_iter().collect();
    let evaluated = |rule: Uuid| rules.iter().any(|live| live.enforced && live.id == rule);
    let base = if touched.iter().any(|rule| evaluated(*rule)) {
        finding.layers.without(evaluated)
    } else {
        finding.layers.clone()
    };
    if !base.status().shown().is_active() {
        return None;
    }
    let mut shown = Shown::of(&base);
    let mut said = Vec::new();
    let mut observed = Vec::new();
    let mut errors = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let statements = match holds(rule, &Facts { finding, asset, shown: &shown }, now) {
            Ok(false) => continue,
            Ok(true) => rule.action.statements(&shown, now),
            Err(error) => {
                errors.push((at, error));
                if rule.enforced {
                    finding.layers.said_by(rule.id)
                } else {
                    finding.layers.observed().get(&rule.id).cloned().unwrap_or_default()
                }
            }
        };
        let statements: Vec<Statement> = statements
            .into_iter()
            .filter(|statement| !base.is_settled(statement) && !shown.says(statement))
            .collect();
        if statements.is_empty() {
            continue;
        }
        let mut after = shown.clone();
        statements.iter().for_each(|statement| after.show(statement));
        let turn = Said {
            rule: at,
            before: values(&shown, &statements),
            after: values(&after, &statements),
            statements,
        };
        if rule.enforced {
            shown = after;
            said.push(turn);
            if !shown.status.is_active() {
                break;
            }
        } else {
            observed.push(turn);
        }
    }
    let mut layers = base;
    for turn in &said {
        for statement in &turn.statements {
            layers.say(Source::rule(rules[turn.rule].id), statement.clone());
        }
    }
    layers.observe(observed.iter().map(|turn| (rules[turn.rule].id, turn.statements.clone())).collect());
    if layers == finding.layers && errors.is_empty() {
        return None;
    }
    let shown = Shown::of(&layers);
    let applications = applications(finding, &shown, rules, &layers, said, observed);
    Some(Passed { layers, shown, applications, errors })
}

fn holds(rule: &LiveRule, facts: &Facts<'_>, now: Timestamp) -> Result<bool, String> {
    match rule.criteria.as_ref().map_err(Clone::clone)?.matches(facts, now) {
        Outcome::True => Ok(true),
        Outcome::False => Ok(false),
        Outcome::Error => Err("the criteria could not be decided".to_owned()),
    }
}

/// The difference between what each rule said before and says now, in the order of the walk.
fn applications(
    finding: &Finding,
    shown: &Shown,
    rules: &[LiveRule],
    layers: &Layers,
    said: Vec<Said>,
    observed: Vec<Said>,
) -> Vec<Application> {
    let mut said: BTreeMap<usize, Said> = said.into_iter().map(|turn| (turn.rule, turn)).collect();
    let mut observed: BTreeMap<usize, Said> = observed.into_iter().map(|turn| (turn.rule, turn)).collect();
    let none = Vec::new();
    let mut applications = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let (then, now, turn) = if rule.enforced {
            (finding.layers.said_by(rule.id), layers.said_by(rule.id), said.remove(&at))
        } else {
            let then = finding.layers.observed().get(&rule.id).unwrap_or(&none);
            let now = layers.observed().get(&rule.id).unwrap_or(&none);
            (then.clone(), now.clone(), observed.remove(&at))
        };
        let kind = match (then.is_empty(), now.is_empty()) {
            (true, true) => continue,
            _ if then == now && !comes_to_show(&finding.shown, shown, turn.as_ref()) => continue,
            (true, false) => Turn::Added,
            (false, true) => Turn::Withdrawn,
            (false, false) => Turn::Changed,
        };
        let (before, after) = match turn {
            Some(turn) => (turn.before, turn.after),
            None => (values(&finding.shown, &then), values(shown, &then)),
        };
        applications.push(Application { rule: at, turn: kind, observed: !rule.enforced, before, after });
    }
    applications
}

/// Whether what the rule says, though it is what it said before, only now is what is shown: the
/// order of the rules changed.
fn comes_to_show(then: &Shown, now: &Shown, turn: Option<&Said>) -> bool {
    turn.is_some_and(|turn| {
        turn.after.iter().any(|(field, value)| now.json(field) == *value && then.json(field) != *value)
    })
}

/// The fields that `statements` speak of, as `shown` shows them.
fn values(shown: &Shown, statements: &[Statement]) -> Map<String, Json> {
    let fields = statements.iter().map(|statement| match statement {
        Statement::Set(field, _) => field.word(),
        Statement::Element(field, _, _) => field.word(),
        Statement::Judge(_) => "status",
    });
    fields.map(|field| (field.to_owned(), shown.json(field))).collect()
}

/// The badge of a rule whose entry is on top: `Rule 'No Exploit Critical to High': severity
/// critical to high`.
pub fn badge(rule: &str, field: &str, before: &Json, after: &Json) -> String {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Null => "none".to_owned(),
        other => other.to_string(),
    };
    format!("Rule '{rule}': {field} {} to {}", text(before), text(after))
}

/// What the rules show on a finding now: for each field whose top entry is a rule's, the rule and
/// the change from what lies below it.
pub fn badges(layers: &Layers) -> Vec<(Uuid, &'static str, Json, Json)> {
    use crate::finding::layers::{Entry, Layer, ScalarField, SetField};

    let mut badges = Vec::new();
    for field in ScalarField::ALL {
        if let [below @ .., Entry { source, value: Some(value) }] = layers.stack(*field)
            && source.layer == Layer::Rule
        {
            let below = below.last().and_then(|entry| entry.value.as_ref());
            badges.push((source.by, field.word(), below.map_or(Json::Null, |v| v.json()), value.json()));
        }
    }
    for field in SetField::ALL {
        for (element, stack) in layers.elements(*field) {
            if let [.., Entry { source, value: true }] = stack
                && source.layer == Layer::Rule
            {
                badges.push((source.by, field.word(), Json::Null, json!(element)));
            }
        }
    }
    let status = layers.status();
    if let Some(verdict) = status.verdict().filter(|verdict| verdict.source.layer == Layer::Rule) {
        badges.push((verdict.source.by, "status", json!(status.lifecycle.value), json!(status.shown())));
    }
    badges
}
