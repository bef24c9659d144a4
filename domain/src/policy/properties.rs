//! What holds of every policy and every change, tried on random ones.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::vocabulary::field::finding::FINDING;

fn policy() -> impl Strategy<Value = Policy> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let bounds = (prop::option::of(0.0..=1.0), prop::option::of(0..20i64), 1..4i32);
    (flags, bounds, prop::option::of(1..400i32)).prop_map(|(flags, (share, findings, quorum), days)| Policy {
        accepting_risk: flags.0,
        false_positive: flags.1,
        lowering_critical: flags.2,
        rules: flags.3,
        share,
        findings,
        quorum,
        acceptance_days: days,
        ..Policy::default()
    })
}

fn facts() -> impl Strategy<Value = ChangeFacts> {
    let counts = (0..3i64, 0..3i64, 0..3i64);
    (counts, 0..20i64, 0..20i64, any::<bool>()).prop_map(|(counts, touched, others, rule)| ChangeFacts {
        accepted: counts.0,
        called_false: counts.1,
        lowered: counts.2,
        touched,
        active: touched + others,
        rule,
    })
}

proptest! {
    /// Nothing is gated where nothing is asked.
    #[test]
    fn a_policy_that_asks_nothing_gates_nothing(facts in facts()) {
        prop_assert!(Policy::default().gates(&facts).is_empty());
    }

    /// What a policy gates, one that asks no less gates too: so what is not loosened lets nothing through.
    #[test]
    fn what_is_not_loosened_lets_nothing_more_through(ours in policy(), theirs in policy(), facts in facts()) {
        if ours.loosened_by(&theirs).is_empty() {
            let (ours, theirs) = (ours.gates(&facts), theirs.gates(&facts));
            prop_assert!(ours.iter().all(|gate| theirs.contains(gate)), "{ours:?} {theirs:?}");
        }
        prop_assert!(ours.loosened_by(&ours).is_empty());
    }

    /// Touching more is never gated less, and more findings being there never gates more.
    #[test]
    fn more_is_never_gated_less(policy in policy(), facts in facts(), more in 1..5i64) {
        let larger = ChangeFacts { touched: facts.touched + more, active: facts.active + more, ..facts };
        let gates = policy.gates(&larger);
        prop_assert!(policy.gates(&facts).iter().all(|gate| gates.contains(gate)));
        let among_more = ChangeFacts { active: facts.active + more, ..facts };
        let gates = policy.gates(&facts);
        prop_assert!(policy.gates(&among_more).iter().all(|gate| gates.contains(gate)));
    }

    /// Each gate is there for its own reason.
    #[test]
    fn a_gate_says_why(policy in policy(), facts in facts()) {
        for gate in policy.gates(&facts) {
            let holds = match gate {
                Gate::AcceptingRisk => policy.accepting_risk && facts.accepted > 0,
                Gate::FalsePositive => policy.false_positive && facts.called_false > 0,
                Gate::LoweringCritical => policy.lowering_critical && facts.lowered > 0,
                Gate::Share => facts.touched as f64 > policy.share.unwrap() * facts.active as f64 - 1e-9,
                Gate::Findings => facts.touched > policy.findings.unwrap(),
                Gate::Rules => policy.rules && facts.rule,
            };
            prop_assert!(holds, "{gate}");
        }
    }

    /// Of a finding only what comes to be counts.
    #[test]
    fn a_finding_counts_for_what_becomes_of_it(
        was in (0..6u8, 0..6u8), is in (0..6u8, 0..6u8), accepted in any::<bool>()
    ) {
        let read = |(severity, status): (u8, u8)| {
            (Severity::from_code(severity).unwrap(), Status::from_code(status).unwrap())
        };
        let (was, is) = (read(was), read(is));
        let mut facts = ChangeFacts::default();
        facts.add(was, is, accepted);
        prop_assert_eq!(facts.lowered == 1, was.0 >= Severity::Critical && is.0 < was.0);
        prop_assert_eq!(facts.touched == 1, was.1.is_active());
        prop_assert_eq!(facts.called_false == 1, was.1 != is.1 && is.1 == Status::FalsePositive);
        prop_assert!(!accepted || facts.accepted == 1);
    }
}

#[test]
fn a_rule_is_gated_for_what_it_may_do() {
    let policy = Policy { accepting_risk: true, lowering_critical: true, ..Policy::default() };
    let cases = [
        (
            json!({ "type": "accepted_risk", "config": { "reason": "x" } }),
            "tags",
            json!("a"),
            vec![Gate::AcceptingRisk],
        ),
        (
            json!({ "type": "override_severity", "config": { "severity": "low" } }),
            "severity",
            json!("high"),
            vec![],
        ),
        (
            json!({ "type": "override_severity", "config": { "severity": "low" } }),
            "severity",
            json!("urgent"),
            vec![Gate::LoweringCritical],
        ),
        (
            json!({ "type": "override_severity", "config": { "severity": "critical" } }),
            "severity",
            json!("critical"),
            vec![],
        ),
        (
            json!({ "type": "override_severity", "config": { "severity": "critical" } }),
            "tags",
            json!("a"),
            vec![Gate::LoweringCritical],
        ),
        (
            json!({ "type": "override_severity", "config": { "severity": "urgent" } }),
            "tags",
            json!("a"),
            vec![],
        ),
        (json!({ "type": "append_tag", "config": { "tags": ["x"] } }), "tags", json!("a"), vec![]),
    ];
    for (action, field, value, expected) in cases {
        let tree =
            Criteria::parse(&FINDING, &json!({ "field": field, "operator": "eq", "value": value })).unwrap();
        let action = Action::parse(&action).unwrap();
        let facts = RuleFacts { action: &action, criteria: Some(&tree), touched: 1, active: 1 };
        assert_eq!(policy.for_rule(&facts), expected, "{action:?} {value}");
        let unread = RuleFacts { criteria: None, ..facts };
        assert!(policy.for_rule(&unread).len() >= expected.len());
        let all = Policy { rules: true, ..policy.clone() };
        assert!(all.for_rule(&RuleFacts { criteria: Some(&tree), ..unread }).contains(&Gate::Rules));
    }
}

#[test]
fn bounds_are_checked_by_the_member() {
    let sound = Policy::default();
    let cases = [
        ("share", Policy { share: Some(1.5), ..sound.clone() }),
        ("share", Policy { share: Some(f64::NAN), ..sound.clone() }),
        ("findings", Policy { findings: Some(-1), ..sound.clone() }),
        ("quorum", Policy { quorum: 0, ..sound.clone() }),
        ("deadlineHours", Policy { deadline_hours: 0, ..sound.clone() }),
        ("reminderHours", Policy { reminder_hours: -3, ..sound.clone() }),
        ("warnDays", Policy { warn_days: -1, ..sound.clone() }),
        ("acceptanceDays", Policy { acceptance_days: Some(0), ..sound.clone() }),
    ];
    for (field, policy) in cases {
        assert_eq!(policy.check().unwrap_err().field, [field]);
    }
    assert_eq!(sound.clone().check().unwrap(), sound);
}
