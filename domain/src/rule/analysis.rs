//! What is odd about a rule, or between rules, whatever findings there are. Pure.
//!
//! That a rule never matches, and that it never shows, is told where it is proven: what cannot be
//! decided is not claimed. The other two are hints: that rules contradict each other where both can
//! match, and that their order matters, are told where the search finds how.
//!
//! Rules are compared that have to do with each other: one writes what the other reads or writes, and
//! nothing that both demand excludes the other. All of it has a budget; where that runs out, the
//! analysis says so.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use uuid::Uuid;

use super::Rule;
use super::action::Action;
use crate::vocabulary::criteria::cells::{Goal, possible};
use crate::vocabulary::criteria::{Compiled, Criteria, Leaf, Logic, Step};
use crate::vocabulary::field::finding::{FINDING, FindingField};
use crate::vocabulary::terms::{Status, Term, terms};

mod pair;
mod part;

#[cfg(test)]
mod properties;

use part::Part;

terms! {
    /// What is odd.
    WarningKind {
        NeverMatches = "NEVER_MATCHES", Shadowed = "SHADOWED", Contradicts = "CONTRADICTS",
        OrderMatters = "ORDER_MATTERS",
    }
}

/// Something odd about one rule, or between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub kind: WarningKind,
    pub message: String,
    /// The rules, the one that it is about first.
    pub rules: Vec<Uuid>,
    /// The conditions and members of actions that it comes from.
    pub places: Vec<Place>,
}

/// A part of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub rule: Uuid,
    /// A JSON Pointer into the rule: `/criteria/conditions/0`, `/action/config/severity`.
    pub pointer: String,
}

/// What an analysis came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// In the order of their kinds, then of the rules.
    pub warnings: Vec<Warning>,
    /// Pairs of rules whose trees were compared.
    pub compared: usize,
    /// Everything that has to do with each other was compared, and every warning is here.
    pub complete: bool,
}

/// Tests of a condition on a value that one analysis makes.
const BUDGET: usize = 40_000_000;
/// Those that one question may take.
const QUESTION: usize = 400_000;
/// Warnings that one analysis tells.
pub const MOST: usize = 1_000;

/// What is odd about these rules, which are those that hold, in the order of the walk; with `about`,
/// only what rules of these ids have to do with.
pub fn analyse(rules: &[Rule], about: Option<&BTreeSet<Uuid>>) -> Analysis {
    let parts: Vec<Part<'_>> = rules.iter().filter_map(Part::of).collect();
    let concerns = |part: &Part<'_>| about.is_none_or(|about| about.contains(&part.rule.id));
    let mut asking = Asking { budget: BUDGET, analysis: Analysis { complete: true, ..Analysis::default() } };
    let mut can_match = Vec::with_capacity(parts.len());
    for part in &parts {
        // What cannot match has nothing to do with others.
        let never = asking.possible(&[part.holds()]) == Some(false);
        if never && concerns(part) {
            let warning = never_matches(part, &mut asking);
            asking.warn(warning);
        }
        can_match.push(!never);
    }
    for later in 0..parts.len() {
        for earlier in 0..later {
            let ours = concerns(&parts[earlier]) || concerns(&parts[later]);
            if ours && can_match[earlier] && can_match[later] {
                pair::compare(&parts, earlier, later, &mut asking);
            }
        }
    }
    let mut analysis = asking.analysis;
    analysis.warnings.sort_by_key(|warning| warning.kind);
    analysis
}

/// The analysis on its way.
struct Asking {
    budget: usize,
    analysis: Analysis,
}

impl Asking {
    /// Whether some finding that rules look at, an active one, brings about all of these.
    fn possible(&mut self, goals: &[Goal<'_>]) -> Option<bool> {
        let active = Status::ALL.iter().filter(|status| status.is_active());
        let codes = active.fold(0, |codes, status| codes | 1_u64 << status.code());
        let most = QUESTION.min(self.budget);
        let mut left = most;
        let answer = possible(&FINDING, goals, &[(FindingField::Status.index(), codes)], &mut left);
        self.budget -= if answer.is_none() { most } else { most - left };
        self.analysis.complete &= self.budget > 0;
        answer
    }

    fn warn(&mut self, warning: Warning) {
        if self.analysis.warnings.len() < MOST {
            self.analysis.warnings.push(warning);
        } else {
            self.analysis.complete = false;
        }
    }
}

fn never_matches(part: &Part<'_>, asking: &mut Asking) -> Warning {
    let mut leaves = Vec::new();
    clashing(&part.tree.root, "/criteria", asking, &mut leaves);
    let place = |pointer: String| Place { rule: part.rule.id, pointer };
    Warning {
        kind: WarningKind::NeverMatches,
        message: format!(
            "'{}' never matches: no active finding can meet its conditions, or these of them together.",
            part.rule.content.name
        ),
        rules: vec![part.rule.id],
        places: leaves.into_iter().map(place).collect(),
    }
}

/// The leaves of a part of a tree that cannot hold: of what is joined by AND, as few conditions as
/// still cannot hold together; of what is joined by OR, all.
fn clashing(step: &Step, pointer: &str, asking: &mut Asking, leaves: &mut Vec<String>) {
    let Step::Group(logic, steps) = step else { return leaves.push(pointer.to_owned()) };
    let mut kept: Vec<usize> = (0..steps.len()).collect();
    if *logic == Logic::And {
        for at in 0..steps.len() {
            let rest = kept.iter().filter(|kept| **kept != at);
            let goals: Vec<Goal<'_>> = rest.map(|at| Goal { step: &steps[*at], holds: true }).collect();
            if !goals.is_empty() && asking.possible(&goals) == Some(false) {
                kept.retain(|kept| *kept != at);
            }
        }
    }
    for at in &kept {
        let pointer = format!("{pointer}/conditions/{at}");
        // Only one is left that cannot hold by itself, or each takes part with all of its leaves.
        match (&steps[*at], kept.len() == 1 || *logic == Logic::Or) {
            (step, true) => clashing(step, &pointer, asking, leaves),
            (step, false) => part::leaves(step, &pointer, &mut |pointer, _, _| leaves.push(pointer)),
        }
    }
}
