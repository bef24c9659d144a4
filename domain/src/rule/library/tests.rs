//! Every suggested rule is in order, and does what its examples say.

use std::collections::BTreeSet;

use super::*;
use crate::rule::action::{ACTIONS, Action};
use crate::rule::check_criteria;
use crate::rule::test::tried;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

const NOW: Timestamp = Timestamp(1_795_248_000_000_000);

/// What an example runs with.
fn slots(suggestion: &Suggestion, example: &Example) -> Map<String, Json> {
    let mut slots: Map<String, Json> =
        suggestion.slots.iter().map(|slot| (slot.key.clone(), slot.sample.clone())).collect();
    slots.extend(example.slots.clone());
    slots
}

#[test]
fn there_are_at_least_twenty_of_every_category_with_their_own_keys_and_names() {
    assert!(LIBRARY.len() >= 20);
    for part in [|s: &Suggestion| s.key.clone(), |s: &Suggestion| s.name.clone()] {
        let all: BTreeSet<String> = LIBRARY.iter().map(part).collect();
        assert_eq!(all.len(), LIBRARY.len());
    }
    for category in Category::ALL {
        assert!(LIBRARY.iter().any(|suggestion| suggestion.category == *category), "{category}");
    }
    let used: BTreeSet<&str> =
        LIBRARY.iter().filter_map(|suggestion| suggestion.action["type"].as_str()).collect();
    assert_eq!(used, ACTIONS.iter().map(|action| action.key).collect());
}

#[test]
fn each_is_explained_and_each_slot_is_used() {
    for suggestion in LIBRARY.iter() {
        let key = &suggestion.key;
        for text in [&suggestion.name, &suggestion.description, &suggestion.rationale] {
            assert!(text.trim().len() > 8, "{key}");
        }
        assert_ne!(suggestion.mode, Mode::Off, "{key}");
        for slot in &suggestion.slots {
            assert!(slot.check(&slot.sample).is_ok(), "{key}: {}", slot.key);
            assert!(slot.default.as_ref().is_none_or(|default| slot.check(default).is_ok()), "{key}");
            assert!(names(&suggestion.criteria, &slot.key) || names(&suggestion.action, &slot.key), "{key}");
        }
        let left = |draft: RuleDraft| {
            [draft.criteria, draft.action].iter().any(|json| json.to_string().contains("\"slot\""))
        };
        assert!(
            !suggestion.outline().is_some_and(left),
            "{key}: what is written as a slot is declared as one"
        );
    }
}

#[test]
fn examples_come_out_as_they_say() {
    for suggestion in LIBRARY.iter() {
        let key = &suggestion.key;
        let matched = suggestion.examples.iter().filter(|example| example.after.is_some()).count();
        assert!(
            matched > 0 && matched < suggestion.examples.len(),
            "{key} shows what it holds for, and what not"
        );
        for example in &suggestion.examples {
            let place = format!("{key}: {}", example.tells);
            let draft =
                suggestion.draft(&slots(suggestion, example)).unwrap_or_else(|e| panic!("{place}: {e}"));
            let tree = check_criteria(&draft.criteria).unwrap_or_else(|e| panic!("{place}: {e}"));
            let action = Action::parse(&draft.action).unwrap_or_else(|e| panic!("{place}: {e}"));
            let tested = tried(uuid::Uuid::nil(), &draft.name, &tree, action, &example.finding, NOW);
            let tested = tested.unwrap_or_else(|e| panic!("{place}: {e}"));
            assert_eq!(tested.matched, example.after.is_some(), "{place}");
            assert_eq!(tested.after, example.after.clone().unwrap_or_default(), "{place}");
        }
    }
}

#[test]
fn slots_are_asked_for_and_checked() {
    let refused = |key: &str, slots: Json| {
        let slots = slots.as_object().cloned().unwrap_or_default();
        let error =
            suggestion(key).and_then(|suggestion| suggestion.draft(&slots)).expect_err("it is refused");
        (error.code, error.field.join("."))
    };
    let team = "01938e2a-7c00-7000-8000-000000000001";
    let group = json!({ "groups": ["payments"] });
    assert_eq!(refused("route-by-asset-group", json!({})), (Code::Required, "slots.groups".to_owned()));
    assert_eq!(refused("route-by-asset-group", group), (Code::Required, "slots.team".to_owned()));
    let odd = json!({ "groups": "payments", "team": team });
    assert_eq!(refused("route-by-asset-group", odd), (Code::Invalid, "slots.groups".to_owned()));
    assert_eq!(refused("route-secrets", json!({ "team": "Blue" })), (Code::Invalid, "slots.team".to_owned()));
    assert_eq!(refused("route-secrets", json!({ "tema": team })), (Code::Invalid, "slots.tema".to_owned()));
    assert_eq!(refused("nothing", json!({})), (Code::NotFound, "key".to_owned()));
    let draft = suggestion("epss-high").and_then(|s| s.draft(&Map::new())).expect("a default stands in");
    assert_eq!(draft.criteria["conditions"][0]["value"], 0.5);
    assert!(suggestion("route-by-asset-group").is_ok_and(|s| s.outline().is_none()));
    assert!(suggestion("route-secrets").is_ok_and(|s| s.outline().is_some()));
}
