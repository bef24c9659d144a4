//! The algebra of layers and of the pass, on random findings, rules and histories.
//!
//! A history is a random sequence of what can befall a finding: sightings, closings, what people,
//! runbooks and feeds say, edits of rules, passes and revokes. After every step the finding is held
//! against a model that knows nothing of stacks.

mod history;
mod matcher;
mod stories;

use domain::finding::change::Change;
use domain::finding::facts::scanner_statements;
use domain::finding::layers::{Layer, RevokeMode, Source, revoke};
use domain::finding::shown::Shown;
use domain::rule::pass::pass;
use domain::rule::revoke::judge;
use domain::vocabulary::terms::Status;
use domain::vocabulary::time::Span;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value as Json;
use support::trees::runner;

use history::{BY, Step, bare_rule, finding_of, history, live, reported};

const CASES: u32 = 2_000;

/// Tries a property on random inputs, and says how many held.
fn holds<S: Strategy>(property: &str, of: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    holds_for(CASES, property, of, test);
}

fn holds_for<S: Strategy>(
    cases: u32,
    property: &str,
    of: S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let mut runner = runner(cases);
    if let Err(fault) = runner.run(&of, test) {
        panic!("{property}: {fault}");
    }
    support::tell(&format!("{property}: {} cases", runner.config().cases));
}

#[test]
fn any_history_keeps_the_laws() {
    let of = history(24);
    holds("every step of a history keeps the laws of layers", of, |(mut past, steps)| {
        past.check()?;
        for step in steps {
            past.take(step)?;
            past.check()?;
        }
        Ok(())
    });
}

#[test]
fn a_second_pass_changes_nothing() {
    holds("pass(pass(x)) = pass(x)", history(12), |(mut past, steps)| {
        past.take_all(steps)?;
        past.take(Step::Pass)?;
        let again = pass(&past.finding, &past.asset, &past.live(), &past.exempt(), past.now);
        if let Some(again) = again {
            prop_assert_eq!(&again.layers(&past.finding.layers), &past.finding.layers);
            prop_assert!(again.applications.is_empty(), "{:?}", again.applications);
        }
        Ok(())
    });
}

#[test]
fn apply_then_revoke_is_the_identity() {
    let of = (history(12), bare_rule(), prop::bool::ANY);
    holds("apply then revoke is the identity", of, |((mut past, steps), rule, force)| {
        past.take_all(steps)?;
        past.take(Step::Pass)?;
        let mode = if force { RevokeMode::Force } else { RevokeMode::Safe };
        let before = past.finding.clone();
        let id = past.fresh_id();
        let rules: Vec<_> = past.live().into_iter().chain([live(id, &rule)]).collect();
        let mut after = past.finding.clone();
        if let Some(passed) = pass(&after, &past.asset, &rules, &past.exempt(), past.now) {
            after.layers = passed.layers(&after.layers);
        }
        let applied = after.layers.clone();
        let (taken, conflicts) = revoke(&mut after.layers, id, mode);
        prop_assert_eq!(&after.layers, &before.layers);
        prop_assert_eq!(taken, applied != before.layers);
        prop_assert!(conflicts.is_empty(), "{:?}", conflicts);
        Ok(())
    });
}

#[test]
fn what_was_taken_back_does_not_come_back() {
    let of = (history(12), bare_rule(), history(8));
    let property = "a rule that was taken back says nothing until it changes";
    holds(property, of, |((mut past, steps), rule, (_, later))| {
        past.take_all(steps)?;
        let (id, rule) = (past.fresh_id(), rule);
        let rules: Vec<_> = past.live().into_iter().chain([live(id, &rule)]).collect();
        if let Some(passed) = pass(&past.finding, &past.asset, &rules, &past.exempt(), past.now) {
            passed.apply(&mut past.finding);
        }
        let judged = judge(Some(&past.finding), true, id, RevokeMode::Force);
        prop_assume!(judged.takes());
        revoke(&mut past.finding.layers, id, RevokeMode::Force);
        past.finding.shown = Shown::of(&past.finding.layers);
        let mut exempt = past.exempt();
        exempt.add(past.finding.id, id, String::new());
        // Whatever people, reports and feeds say since.
        for step in later.into_iter().filter(|step| !step.is_of_rules()) {
            past.take(step)?;
            let rules: Vec<_> = past.live().into_iter().chain([live(id, &rule)]).collect();
            if let Some(passed) = pass(&past.finding, &past.asset, &rules, &exempt, past.now) {
                prop_assert!(!passed.layers(&past.finding.layers).rules().contains(&id));
                passed.apply(&mut past.finding);
            }
        }
        Ok(())
    });
}

#[test]
fn the_same_report_twice_is_nothing() {
    let of = (history(12), reported());
    holds("the same report twice is nothing", of, |((mut past, steps), report)| {
        past.take_all(steps)?;
        past.take(Step::Sight(report.clone()))?;
        past.take(Step::Pass)?;
        // The same scan again, and a later one that says the same.
        for seen_at in [past.finding.last_seen_at, past.now.plus(Span::DAY)] {
            let mut again = past.finding.clone();
            let sighted = Change::Sighted {
                evidence: Box::new(again.evidence.clone()),
                facts: scanner_statements(&report),
                seen_at,
                by: BY,
            };
            let entries = again.change(sighted, &Json::Null).expect("a sighting is always allowed");
            prop_assert!(entries.is_empty(), "{:?}", entries);
            prop_assert_eq!(&again.layers, &past.finding.layers);
            prop_assert_eq!(&again.shown, &past.finding.shown);
            // Rules may read when it was seen.
            again.last_seen_at = past.finding.last_seen_at;
            if let Some(passed) = pass(&again, &past.asset, &past.live(), &past.exempt(), past.now) {
                prop_assert_eq!(&passed.layers(&again.layers), &again.layers);
                prop_assert!(passed.applications.is_empty());
            }
        }
        Ok(())
    });
}

#[test]
fn revokes_respect_people_or_say_what_they_take() {
    let of = (history(24), prop::bool::ANY, any::<prop::sample::Index>());
    holds("SAFE keeps what is above, FORCE leaves no entry", of, |((mut past, steps), force, which)| {
        past.take_all(steps)?;
        let spoken = past.finding.layers.rules();
        prop_assume!(!spoken.is_empty());
        let rule = *which.get(&spoken);
        let before = past.finding.layers.clone();
        let mode = if force { RevokeMode::Force } else { RevokeMode::Safe };
        let mut after = before.clone();
        let (_, conflicts) = revoke(&mut after, rule, mode);
        if force {
            prop_assert!(conflicts.is_empty());
            prop_assert!(!after.rules().contains(&rule));
        } else {
            let others = |source: Source| source != Source::rule(rule);
            prop_assert_eq!(history::entries(&after, others), history::entries(&before, others));
            prop_assert_eq!(&after.status().lifecycle, &before.status().lifecycle);
            // What stays of the rule is exactly what was in conflict, and each names who is above.
            prop_assert_eq!(after.rules().contains(&rule), !conflicts.is_empty());
            prop_assert!(conflicts.iter().all(|conflict| !conflict.above.is_empty()));
        }
        // Nothing below the rule's entries is ever touched.
        let below = |source: Source| source.layer < Layer::Rule;
        prop_assert_eq!(history::entries(&after, below), history::entries(&before, below));
        // A second time there is nothing to take.
        let once = after.clone();
        let (taken, _) = revoke(&mut after, rule, mode);
        prop_assert!(!taken);
        prop_assert_eq!(after, once);
        Ok(())
    });
}

#[test]
fn a_new_finding_shows_what_its_scanner_says() {
    holds("a new finding shows what its scanner says", reported(), |report| {
        let finding = finding_of(&report);
        prop_assert_eq!(finding.shown.severity, report.severity);
        prop_assert_eq!(&finding.shown.title, &report.title);
        let status = report.verdict.as_ref().map_or(Status::Open, |verdict| verdict.status);
        prop_assert_eq!(finding.shown.status, status);
        if report.verdict.is_none() {
            prop_assert_eq!(finding.layers.encode(), "{}", "nothing but the columns is stored");
        }
        Ok(())
    });
}
