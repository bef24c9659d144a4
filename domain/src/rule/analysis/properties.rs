//! What is claimed for certain is so, on random rules and findings; and what people would call odd is
//! found.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Warning, WarningKind, analyse};
use crate::finding::facts::Finding;
use crate::finding::layers::{Scalar, ScalarField, SetField, Source, Statement};
use crate::finding::shown::Shown;
use crate::inventory::asset::Asset;
use crate::rule::action::Action;
use crate::rule::pass::{Exempt, LiveRule, Mode, badges, pass};
use crate::rule::preview::drafted;
use crate::rule::test::supplied;
use crate::rule::{Content, OnExpiry, Rule};
use crate::vocabulary::terms::{Severity, Status, Term};
use crate::vocabulary::time::Timestamp;

const NOW: Timestamp = Timestamp(1_795_248_000_000_000);
const COMPANY: Uuid = Uuid::from_u128(1);
const SEVERITIES: &[&str] = Severity::WORDS;

/// The rule at this place in the walk.
fn rule(at: usize, mode: Mode, criteria: &Json, action: &Json) -> Rule {
    let content = Content {
        name: format!("R{at}"),
        description: None,
        order: i32::try_from(at).unwrap_or(i32::MAX),
        criteria: criteria.clone(),
        action: Action::parse(action).unwrap_or_else(|error| panic!("{error}")),
        expires_at: None,
        on_expiry: OnExpiry::Keep,
        requires_approval: false,
    };
    Rule { mode, ..drafted(None, content, COMPANY, NOW, Uuid::from_u128(100 + at as u128)) }
}

fn leaf() -> BoxedStrategy<Json> {
    let leaf = |field: &str, operator: &str, value: Json| json!({ "field": field, "operator": operator, "value": value });
    let word = || select(SEVERITIES);
    prop_oneof![
        4 => (select(&["eq", "neq", "gt", "lt", "gte_ord", "lte_ord"][..]), word())
            .prop_map(move |(operator, word)| leaf("severity", operator, json!(word))),
        2 => (select(&["eq", "neq", "contains"][..]), select(&["a", "b"][..]))
            .prop_map(move |(operator, tag)| leaf("tags", operator, json!(tag))),
        1 => (select(&["in", "not_in", "all_in"][..]), subsequence(vec!["a", "b"], 1..=2))
            .prop_map(move |(operator, tags)| leaf("tags", operator, json!(tags))),
        2 => any::<bool>().prop_map(move |known| leaf("known_exploit", "eq", json!(known))),
        1 => Just(json!({ "field": "known_exploit", "operator": "is_empty" })),
        2 => (select(&["eq", "neq", "contains", "starts_with", "matches_regex"][..]), select(&["x", "xy", "X y"][..]))
            .prop_map(move |(operator, text)| leaf("title", operator, json!(text))),
        1 => (select(&["gt", "lt", "eq"][..]), select(&[0.0, 5.0, 10.0][..]))
            .prop_map(move |(operator, number)| leaf("cvss_score", operator, json!(number))),
        1 => (select(&["older_than", "within_last"][..]), select(&["1d", "7d"][..]))
            .prop_map(move |(operator, span)| leaf("first_seen_at", operator, json!(span))),
        1 => (select(&["eq", "neq"][..]), select(Status::WORDS))
            .prop_map(move |(operator, status)| leaf("status", operator, json!(status))),
        1 => (select(&["eq", "neq"][..]), select(&["injection", "secret"][..]))
            .prop_map(move |(operator, text)| leaf("vulnerability_type", operator, json!(text))),
    ]
    .boxed()
}

fn tree() -> BoxedStrategy<Json> {
    leaf()
        .prop_recursive(2, 6, 3, |inner| {
            (select(&["AND", "AND", "OR"][..]), prop::collection::vec(inner, 1..4))
                .prop_map(|(logic, conditions)| json!({ "logic": logic, "conditions": conditions }))
        })
        .boxed()
}

fn action() -> BoxedStrategy<Json> {
    let action = |kind: &str, config: Json| json!({ "type": kind, "config": config });
    prop_oneof![
        4 => select(SEVERITIES).prop_map(move |word| action("override_severity", json!({ "severity": word }))),
        2 => subsequence(vec!["a", "b"], 1..=2).prop_map(move |tags| action("append_tag", json!({ "tags": tags }))),
        1 => Just(action("normalize_title", json!({}))),
        1 => Just(action("accepted_risk", json!({ "reason": "so be it" }))),
        1 => select(&["injection", "secret"][..])
            .prop_map(move |kind| action("set_vuln_type", json!({ "vulnerability_type": kind }))),
    ]
    .boxed()
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let mode = prop_oneof![4 => Just(Mode::Enforce), 1 => Just(Mode::Observe)];
    // Few trees, so that one implies another by chance.
    let parts = (
        prop::collection::vec(tree(), 1..4),
        prop::collection::vec((any::<prop::sample::Index>(), action(), mode), 1..6),
    );
    parts.prop_map(|(trees, rules)| {
        let rule = |(at, (tree, action, mode)): (usize, (prop::sample::Index, Json, Mode))| {
            rule(at, mode, tree.get(&trees), &action)
        };
        rules.into_iter().enumerate().map(rule).collect()
    })
}

fn finding() -> impl Strategy<Value = (Finding, Asset)> {
    let facts = (
        select(SEVERITIES),
        subsequence(vec!["a", "b", "c"], 0..=3),
        any::<Option<bool>>(),
        select(&["x", "xy", "X y", "axb", "z"][..]),
        prop::option::of(select(&[0.0, 4.9, 5.0, 10.0][..])),
        select(&["2026-11-21T08:00:00Z", "2026-11-18T08:00:00Z", "2020-01-01T00:00:00Z"][..]),
        prop::option::of(select(&["injection", "secret", "other"][..])),
        (prop::option::of(select(SEVERITIES)), prop::option::of(any::<bool>()), any::<bool>()),
    );
    facts.prop_map(|(severity, tags, known, title, cvss, seen, kind, (said, tagged, moved))| {
        let json = json!({ "severity": severity, "tags": tags, "known_exploit": known, "title": title,
            "cvss_score": cvss, "first_seen_at": seen, "vulnerability_type": kind });
        let (mut finding, asset) = supplied(COMPANY, &json, NOW).unwrap_or_else(|error| panic!("{error}"));
        let person = Source::human(Uuid::from_u128(9));
        if let Some(said) = said.and_then(Severity::parse) {
            finding.layers.say(person, Statement::Set(ScalarField::Severity, Some(Scalar::Severity(said))));
        }
        if let Some(present) = tagged {
            finding.layers.say(person, Statement::Element(SetField::Tags, "a".to_owned(), present));
        }
        if moved {
            finding.layers.move_to(person, Status::InProgress);
        }
        finding.shown = Shown::of(&finding.layers);
        (finding, asset)
    })
}

fn live(rules: &[Rule]) -> Vec<LiveRule> {
    rules.iter().cloned().map(LiveRule::of).collect()
}

fn of_kind(warnings: &[Warning], kind: WarningKind) -> Vec<&Warning> {
    warnings.iter().filter(|warning| warning.kind == kind).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn what_never_matches_or_never_shows_does_not(
        rules in rules(), findings in prop::collection::vec(finding(), 1..12),
    ) {
        let analysis = analyse(&rules, None);
        prop_assert!(analysis.complete);
        let rules_live = live(&rules);
        let silent: Vec<Uuid> = of_kind(&analysis.warnings, WarningKind::NeverMatches)
            .into_iter().map(|warning| warning.rules[0]).collect();
        let shadowed: Vec<Uuid> = of_kind(&analysis.warnings, WarningKind::Shadowed)
            .into_iter().map(|warning| warning.rules[0]).collect();
        for (finding, asset) in &findings {
            let Some(passed) = pass(finding, asset, &rules_live, &Exempt::default(), NOW) else { continue };
            let spoke: Vec<Uuid> =
                passed.applications.iter().map(|application| rules[application.rule].id).collect();
            prop_assert!(!spoke.iter().any(|rule| silent.contains(rule)), "{:?}", analysis.warnings);
            for (rule, field, ..) in badges(&passed.layers(&finding.layers)) {
                prop_assert!(!shadowed.contains(&rule), "{field} {:?}", analysis.warnings);
            }
        }
    }

    #[test]
    fn what_concerns_one_rule_is_what_concerns_it_of_all(rules in rules(), at in any::<prop::sample::Index>()) {
        let at = at.index(rules.len());
        let all = analyse(&rules, None).warnings;
        let own: Vec<Warning> =
            all.into_iter().filter(|warning| warning.rules.contains(&rules[at].id)).collect();
        prop_assert_eq!(analyse(&rules, Some(&[rules[at].id].into())).warnings, own);
    }

    #[test]
    fn places_lead_into_the_rules(rules in rules()) {
        for warning in analyse(&rules, None).warnings {
            prop_assert!(!warning.places.is_empty());
            for place in &warning.places {
                let rule = rules.iter().find(|rule| rule.id == place.rule).expect("it is one of them");
                let whole = json!({ "criteria": rule.content.criteria, "action": rule.content.action });
                prop_assert!(whole.pointer(&place.pointer).is_some(), "{place:?} {whole}");
                prop_assert!(warning.rules.contains(&place.rule));
            }
        }
    }
}

fn is(severity: &str) -> Json {
    json!({ "field": "severity", "operator": "eq", "value": severity })
}

fn make(severity: &str) -> Json {
    json!({ "type": "override_severity", "config": { "severity": severity } })
}

fn all(conditions: &[Json]) -> Json {
    json!({ "logic": "AND", "conditions": conditions })
}

/// What is told of enforced rules in this order: kinds, rules and places.
fn told(rules: &[(Json, Json)]) -> Vec<(WarningKind, Vec<usize>, Vec<String>)> {
    let rules: Vec<Rule> = rules
        .iter()
        .enumerate()
        .map(|(at, (criteria, action))| rule(at, Mode::Enforce, criteria, action))
        .collect();
    let at = |id: Uuid| rules.iter().position(|rule| rule.id == id).expect("it is one of them");
    let analysis = analyse(&rules, None);
    assert!(analysis.complete);
    let told = |warning: Warning| {
        let places =
            warning.places.iter().map(|place| format!("{}{}", at(place.rule), place.pointer)).collect();
        (warning.kind, warning.rules.iter().map(|id| at(*id)).collect(), places)
    };
    analysis.warnings.into_iter().map(told).collect()
}

#[test]
fn what_cannot_hold_together_is_named() {
    let leaf = |field: &str, operator: &str, value: Json| json!({ "field": field, "operator": operator, "value": value });
    let tag = || json!({ "type": "append_tag", "config": { "tags": ["x"] } });
    let never = |criteria: Json| told(&[(criteria, tag())]).into_iter().map(|(_, _, places)| places).next();
    let mixed = all(&[
        leaf("tags", "eq", json!("pci")),
        is("high"),
        leaf("title", "contains", json!("x")),
        is("low"),
    ]);
    assert_eq!(never(mixed).unwrap(), ["0/criteria/conditions/1", "0/criteria/conditions/3"]);
    let closed = never(leaf("status", "in", json!(["FIXED", "CLOSED"])));
    assert_eq!(closed.unwrap(), ["0/criteria"], "rules look at active findings alone");
    let beyond = all(&[is("high"), leaf("cvss_score", "gt", json!(10))]);
    assert_eq!(never(beyond).unwrap(), ["0/criteria/conditions/1"]);
    let either = json!({ "logic": "OR", "conditions": [all(&[is("high"), is("low")]), leaf("severity", "lt", json!("info"))] });
    let expected = [
        "0/criteria/conditions/0/conditions/0",
        "0/criteria/conditions/0/conditions/1",
        "0/criteria/conditions/1",
    ];
    assert_eq!(never(either).unwrap(), expected);
    let possible = [
        all(&[leaf("title", "contains", json!("a")), leaf("title", "starts_with", json!("b"))]),
        all(&[leaf("title", "eq", json!("abc")), leaf("title", "matches_regex", json!("^A"))]),
        all(&[leaf("tags", "eq", json!("a")), leaf("tags", "eq", json!("b"))]),
        all(&[leaf("due_at", "older_than", json!("1d")), leaf("due_at", "gt", json!("2999-01-01"))]),
    ];
    for criteria in possible {
        assert_eq!(never(criteria.clone()), None, "{criteria}");
    }
}

#[test]
fn what_people_would_call_odd_is_found() {
    use WarningKind::{Contradicts, OrderMatters, Shadowed};

    let exploited = json!({ "field": "known_exploit", "operator": "eq", "value": true });
    let exposed = json!({ "field": "internet_exposed", "operator": "eq", "value": true });
    let kinds = |rules: &[(Json, Json)]| -> Vec<(WarningKind, Vec<usize>)> {
        told(rules).into_iter().map(|(kind, rules, _)| (kind, rules)).collect()
    };
    let both = all(&[exploited.clone(), exposed.clone()]);
    // The narrow one says nothing that the wide one has not said.
    assert_eq!(
        kinds(&[(exploited.clone(), make("urgent")), (both.clone(), make("urgent"))]),
        [(Shadowed, vec![1, 0])]
    );
    // The wide one lies over all of the narrow one.
    assert_eq!(
        kinds(&[(both.clone(), make("low")), (exploited.clone(), make("urgent"))]),
        [(Shadowed, vec![0, 1])]
    );
    // The other way round the narrow one is an exception, and the two differ where both match.
    assert_eq!(
        kinds(&[(exploited.clone(), make("low")), (both.clone(), make("urgent"))]),
        [(Contradicts, vec![0, 1])]
    );
    assert_eq!(
        kinds(&[(exploited.clone(), make("low")), (exposed.clone(), make("high"))]),
        [(Contradicts, vec![0, 1])]
    );
    // What never meets does not contradict.
    let unexploited = json!({ "field": "known_exploit", "operator": "eq", "value": false });
    assert_eq!(kinds(&[(exploited.clone(), make("low")), (unexploited, make("high"))]), []);
    // One writes what the other asks about.
    let tag = |tag: &str| json!({ "type": "append_tag", "config": { "tags": [tag] } });
    let tagged = json!({ "field": "tags", "operator": "contains", "value": "pci" });
    let ordered =
        told(&[(exposed.clone(), tag("pci")), (all(&[exploited.clone(), tagged.clone()]), make("urgent"))]);
    let places = vec!["0/action/config/tags".to_owned(), "1/criteria/conditions/1".to_owned()];
    assert_eq!(ordered, [(OrderMatters, vec![0, 1], places)]);
    assert_eq!(kinds(&[(exposed.clone(), tag("web")), (tagged, make("urgent"))]), []);
    // Down, and what was critical is no more: who asks for critical comes before or after.
    assert_eq!(
        kinds(&[(all(&[is("critical"), exposed.clone()]), make("high")), (is("critical"), tag("worst"))]),
        [(OrderMatters, vec![0, 1])]
    );
    // A rule between them may bring about what the first did not see.
    let between =
        [(is("high"), make("low")), (exploited, make("high")), (all(&[is("high"), exposed]), make("low"))];
    assert!(kinds(&between).iter().all(|(kind, _)| *kind != Shadowed));
}

#[test]
fn rules_that_never_meet_are_not_compared() {
    let own = |name: usize| {
        let component = json!({ "field": "component_name", "operator": "eq", "value": format!("c{name}") });
        all(&[component, is("high")])
    };
    let rules: Vec<Rule> = (0..1_000).map(|at| rule(at, Mode::Enforce, &own(at), &make("low"))).collect();
    let analysis = analyse(&rules, None);
    assert_eq!((analysis.compared, analysis.warnings.len(), analysis.complete), (0, 0, true));
    // Where all of them meet, the analysis ends, and says what it left out.
    let rules: Vec<Rule> = (0..1_000)
        .map(|at| {
            let word = json!({ "field": "title", "operator": "contains", "value": format!("word {at}") });
            rule(at, Mode::Enforce, &word, &make(SEVERITIES[at % 6]))
        })
        .collect();
    let analysis = analyse(&rules, None);
    assert_eq!((analysis.warnings.len(), analysis.complete), (super::MOST, false));
}

#[test]
fn random_rules_are_odd_often_enough() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut kinds = std::collections::BTreeMap::new();
    for _ in 0..300 {
        let rules = rules().new_tree(&mut runner).expect("nothing is rejected").current();
        for warning in analyse(&rules, None).warnings {
            *kinds.entry(warning.kind).or_insert(0) += 1;
        }
    }
    // Else the properties would show little.
    assert!(
        WarningKind::ALL.iter().all(|kind| kinds.get(kind).is_some_and(|count| *count > 20)),
        "{kinds:?}"
    );
}
