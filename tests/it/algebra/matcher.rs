//! The pass over a batch is the pass over each of its findings.

use std::collections::BTreeMap;

use domain::finding::facts::Finding;
use domain::inventory::asset::Asset;
use domain::rule::matcher::{Matcher, WIDTH};
use domain::rule::pass::{Exempt, LiveRule, pass};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use uuid::Uuid;

use super::history::{Past, Step, history, live, rule};
use super::holds;

/// Passes all at once and one by one.
fn agree(rules: Vec<LiveRule>, pasts: &[Past]) -> Result<(), TestCaseError> {
    let matcher = Matcher::new(rules);
    let findings: Vec<(&Finding, &Asset)> = pasts.iter().map(|past| (&past.finding, &past.asset)).collect();
    let now = pasts.iter().map(|past| past.now).max().unwrap_or(support::NOW);
    let mut exempt = Exempt::default();
    for past in pasts {
        for (rule, hash) in past.exempt().of(past.finding.id) {
            exempt.add(past.finding.id, *rule, hash.clone());
        }
    }
    let together = matcher.pass(&findings, &exempt, now);
    prop_assert_eq!(together.len(), findings.len());
    for ((finding, asset), passed) in findings.into_iter().zip(together) {
        let alone = pass(finding, asset, matcher.rules(), &exempt, now);
        prop_assert_eq!(passed, alone);
    }
    Ok(())
}

/// Findings with pasts of their own, and a rule set that has the rules of them all (so that some
/// have entries of rules that are evaluated, some of rules that are not), and new ones.
fn batch(most: usize) -> impl Strategy<Value = (Vec<Past>, Vec<LiveRule>)> {
    let pasts = prop::collection::vec(history(10), 0..most);
    let fresh = prop::collection::vec(rule(), 0..8);
    (pasts, fresh, any::<bool>()).prop_map(|(pasts, fresh, settled)| {
        let pasts: Vec<Past> = pasts
            .into_iter()
            .zip(1..)
            .map(|((past, steps), id)| {
                // Exemptions are told apart by their findings.
                let mut past = past.of_finding(Uuid::from_u128(id));
                past.take_all(steps).expect("the laws hold, or another test says so");
                if settled {
                    past.take(Step::Pass).expect("the laws hold, or another test says so");
                }
                past
            })
            .collect();
        let known = pasts.iter().flat_map(|past| past.live()).map(|rule| (rule.id, rule));
        let mut rules: Vec<LiveRule> = known.collect::<BTreeMap<_, _>>().into_values().collect();
        for (at, bare) in fresh.iter().enumerate().filter(|(_, bare)| bare.is_on()) {
            let place = (at * 7) % (rules.len() + 1);
            rules.insert(place, live(Uuid::from_u128(0x9000 + at as u128), bare));
        }
        (pasts, rules)
    })
}

#[test]
fn a_batch_is_passed_as_its_findings_are() {
    holds("a batch is passed as its findings are", batch(6), |(pasts, rules)| agree(rules, &pasts));
}

#[test]
fn a_batch_of_many_blocks_is_passed_as_its_findings_are() {
    super::holds_for(
        100,
        "a batch of many blocks is passed as its findings are",
        batch(24),
        |(pasts, rules)| {
            let many: Vec<Past> =
                pasts.iter().cycle().take(pasts.len().min(1) * (WIDTH + WIDTH / 4)).cloned().collect();
            agree(rules, &many)?;
            Ok(())
        },
    );
}

#[test]
fn equal_findings_are_passed_alike() {
    super::holds_for(
        500,
        "equal findings are passed alike",
        (batch(2), 0_usize..9),
        |((pasts, rules), times)| {
            let equal: Vec<Past> =
                pasts.iter().flat_map(|past| std::iter::repeat_n(past.clone(), times)).collect();
            agree(rules, &equal)?;
            Ok(())
        },
    );
}
