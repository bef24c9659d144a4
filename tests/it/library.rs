//! Suggested rules: what each would do is told, comes true, and one call makes a rule of one.

use api::graphql::schema;
use domain::access::Role;
use domain::error::Code;
use domain::page::PageArgs;
use domain::rule::library::LIBRARY;
use domain::rule::pass::Mode;
use domain::rule::preview::{Reach, Tried};
use serde_json::{Value as Json, json};
use support::{World, on_both};

use crate::graph::Client;

on_both!(
    what_is_suggested_is_tried_together_as_each_by_itself,
    one_call_makes_a_rule,
    what_is_missing_or_not_theirs_is_refused,
);

const SUGGESTED: &str = "{ suggestedRules { key name category mode rationale sentence criteria action
    slots { key field operator sample default required } examples { tells finding matched after }
    effect { evaluated truncated findings errors fields { field count } }
    rules { id name mode } } }";

const ENABLE: &str = "mutation($input: SuggestedRuleEnableInput!, $key: String) {
    suggestedRuleEnable(input: $input, idempotencyKey: $key) {
        rule { id name mode order description criteria action { json } }
        userErrors { code field message } } }";

fn lines() -> Vec<Json> {
    let line = |reference: &str, more: Json| {
        let mut line = json!({ "scanner_reference": reference, "title": reference, "asset": "web-01", "severity": "high" });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    vec![
        line("secret in config", json!({ "vulnerability_type": "secret", "severity": "medium" })),
        line("open source licence", json!({ "vulnerability_type": "license" })),
        line(
            "CVE-2026-0001",
            json!({ "severity": "critical", "component_name": "zlib", "fix_available": true,
            "vulnerability_type": "vulnerable_package" }),
        ),
        line("CVE-2026-0002", json!({ "severity": "critical", "known_exploit": true })),
        line("CVE-2026-0003", json!({ "severity": "low", "fix_available": false })),
        line("PHP is end of life", json!({ "severity": "medium" })),
        line("likely", json!({ "epss_score": 0.8 })),
        line("nothing to see", json!({ "severity": "info" })),
    ]
}

async fn what_is_suggested_is_tried_together_as_each_by_itself(world: &World) {
    world.import_lines(&lines()).await;
    let (domain, actor) = (&world.domain, world.acme.author());
    let before = world.contents().await;
    let keys: Vec<&str> = LIBRARY.iter().map(|suggestion| suggestion.key.as_str()).collect();
    let effects = domain.suggested_effects(actor, &keys).await.unwrap();
    assert!(world.contents().await == before, "nothing is written");
    assert_eq!((effects.evaluated, effects.truncated), (8, false));
    let mut changing = 0;
    for suggestion in LIBRARY.iter() {
        let outline = suggestion.outline();
        let effect = effects.of(suggestion);
        assert_eq!(outline.is_some(), effect.is_some(), "{}", suggestion.key);
        let (Some(draft), Some(effect)) = (outline, effect) else { continue };
        // Samples stand for teams, which a preview refuses.
        if suggestion.slots.iter().any(|slot| slot.key == "team") {
            continue;
        }
        let tried = Tried::Draft { of: None, draft: Box::new(draft) };
        let preview = domain.rule_preview(actor, tried, Reach::Affected).await.unwrap();
        assert_eq!(effect.findings, preview.totals.changed, "{}", suggestion.key);
        assert_eq!(effect.fields, preview.totals.fields, "{}", suggestion.key);
        changing += i64::from(effect.findings > 0);
    }
    assert!(changing >= 6, "the findings are such that many have something to do: {changing}");
    // A narrow portfolio sees what it would do to its own findings.
    let narrow = domain.suggested_effects(&world.acme.narrow.actor, &keys).await.unwrap();
    assert_eq!(narrow.evaluated, world.findings(&world.acme.narrow.actor, None).await.len());
    let globex = domain.suggested_effects(world.globex.author(), &keys).await.unwrap();
    assert_eq!(globex.evaluated, 0);
}

async fn one_call_makes_a_rule(world: &World) {
    world.import_lines(&lines()).await;
    let schema = schema(world.domain.clone()).finish();
    let author = Client { schema: &schema, actor: world.acme.author().clone() };
    let of = |told: &Json, key: &str| -> Json {
        let all = told["suggestedRules"].as_array().unwrap();
        all.iter().find(|suggestion| suggestion["key"] == key).unwrap().clone()
    };
    let told = author.ask(SUGGESTED, json!({})).await;
    assert_eq!(told["suggestedRules"].as_array().map(Vec::len), Some(LIBRARY.len()));
    let secrets = of(&told, "secret-found");
    assert_eq!((&secrets["effect"]["findings"], &secrets["rules"]), (&json!(1), &json!([])));
    assert!(of(&told, "route-by-asset-group")["effect"].is_null(), "its criteria wait for a group");

    let input = json!({ "key": "secret-found" });
    let made = author.ask(ENABLE, json!({ "input": input, "key": "k" })).await["suggestedRuleEnable"].clone();
    assert_eq!(made["userErrors"], json!([]));
    assert_eq!((&made["rule"]["mode"], &made["rule"]["name"]), (&json!("ENFORCE"), &secrets["name"]));
    let again = author.ask(ENABLE, json!({ "input": input, "key": "k" })).await;
    assert_eq!(again["suggestedRuleEnable"], made);
    world.sweep().await;
    assert_eq!(world.finding("secret in config").await.shown.severity.to_string(), "critical");
    let told = of(&author.ask(SUGGESTED, json!({})).await, "secret-found");
    assert_eq!(
        told["rules"],
        json!([{ "id": made["rule"]["id"], "name": secrets["name"], "mode": "ENFORCE" }])
    );
    assert_eq!(told["effect"]["findings"], 0, "what a rule does already is no effect");

    // With slots, another mode and another name.
    let slots = json!({ "groups": ["payments"], "team": world.acme.team });
    let input = json!({ "key": "route-by-asset-group", "slots": slots, "mode": "OBSERVE", "order": 7 });
    let routed = author.ask(ENABLE, json!({ "input": input })).await["suggestedRuleEnable"]["rule"].clone();
    assert_eq!((&routed["mode"], &routed["order"]), (&json!("OBSERVE"), &json!(7)));
    assert_eq!(routed["criteria"]["conditions"][0]["value"], json!(["payments"]));
    assert_eq!(routed["action"]["json"]["config"]["teams"], json!([world.acme.team]));
    let rules =
        world.domain.rules(world.acme.author(), &Default::default(), &PageArgs::first(10)).await.unwrap();
    assert!(rules.nodes().any(|rule| rule.mode == Mode::Observe));
    // What is archived is enabled no more.
    let archive = "mutation($id: ID!) { ruleArchive(id: $id) { userErrors { code } } }";
    author.ask(archive, json!({ "id": made["rule"]["id"] })).await;
    assert_eq!(of(&author.ask(SUGGESTED, json!({})).await, "secret-found")["rules"], json!([]));
}

async fn what_is_missing_or_not_theirs_is_refused(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let author = Client { schema: &schema, actor: world.acme.author().clone() };
    let cases = [
        (json!({ "key": "nothing" }), "NOT_FOUND", vec!["input", "key"]),
        (json!({ "key": "route-secrets" }), "REQUIRED", vec!["input", "slots", "team"]),
        (
            json!({ "key": "route-secrets", "slots": { "team": "Blue" } }),
            "INVALID",
            vec!["input", "slots", "team"],
        ),
        (
            json!({ "key": "route-secrets", "slots": { "team": world.globex.team } }),
            "NOT_FOUND",
            vec!["input", "slots", "team"],
        ),
        (json!({ "key": "secret-found", "slots": { "x": 1 } }), "INVALID", vec!["input", "slots", "x"]),
        (json!({ "key": "secret-found", "slots": [1] }), "INVALID", vec!["input", "slots"]),
        (json!({ "key": "secret-found", "name": " " }), "INVALID", vec!["input", "name"]),
    ];
    for (input, code, field) in cases {
        let refused = author.ask(ENABLE, json!({ "input": input })).await["suggestedRuleEnable"].clone();
        assert!(refused["rule"].is_null());
        let error = &refused["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!(code), &json!(field)), "{input}");
    }
    let viewer = Client { schema: &schema, actor: world.acme.person(Role::Viewer).actor.clone() };
    assert_eq!(viewer.fails(ENABLE, json!({ "input": { "key": "secret-found" } })).await, Code::Forbidden);
    // What is global names no team.
    let root = Client { schema: &schema, actor: world.root.clone() };
    let input = json!({ "key": "route-secrets", "slots": { "team": world.acme.team } });
    let refused = root.ask(ENABLE, json!({ "input": input })).await["suggestedRuleEnable"].clone();
    assert_eq!(refused["userErrors"][0]["code"], "INVALID");
    let global =
        root.ask(ENABLE, json!({ "input": { "key": "pci-scope" } })).await["suggestedRuleEnable"].clone();
    assert_eq!(global["userErrors"], json!([]));
    let told = author.ask("{ suggestedRules(category: TAG) { key rules { global } } }", json!({})).await;
    let pci =
        told["suggestedRules"].as_array().unwrap().iter().find(|one| one["key"] == "pci-scope").unwrap();
    assert_eq!(pci["rules"], json!([{ "global": true }]));
}
