//! What is odd about rules is told when they are written, and of the whole set.

use api::graphql::schema;
use serde_json::{Value as Json, json};
use support::{World, on_both};

use crate::graph::Client;

on_both!(what_is_odd_is_told_on_save_and_for_the_whole_set);

const WARNINGS: &str = "warnings { kind message rules { name } places { rule { name } pointer } }";

fn is(severity: &str) -> Json {
    json!({ "field": "severity", "operator": "eq", "value": severity })
}

fn make(severity: &str) -> Json {
    json!({ "type": "override_severity", "config": { "severity": severity } })
}

async fn what_is_odd_is_told_on_save_and_for_the_whole_set(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let author = Client { schema: &schema, actor: world.acme.author().clone() };
    let create = format!(
        "mutation($input: RuleDraftInput!) {{ ruleCreate(input: $input) {{ rule {{ id version {WARNINGS} }} userErrors {{ code }} }} }}"
    );
    let write = async |name: &str, order: i32, criteria: Json, action: Json| -> Json {
        let input = json!({ "name": name, "order": order, "mode": "ENFORCE", "criteria": criteria, "action": action });
        author.ask(&create, json!({ "input": input })).await["ruleCreate"]["rule"].clone()
    };
    let exploited = json!({ "field": "known_exploit", "operator": "eq", "value": true });
    let never = json!({ "logic": "AND", "conditions": [is("high"), exploited, is("low")] });
    let made = write("Never", 10, never, make("urgent")).await;
    assert_eq!(
        made["warnings"],
        json!([{ "kind": "NEVER_MATCHES",
            "message": "'Never' never matches: no active finding can meet its conditions, or these of them together.",
            "rules": [{ "name": "Never" }],
            "places": [{ "rule": { "name": "Never" }, "pointer": "/criteria/conditions/0" },
                       { "rule": { "name": "Never" }, "pointer": "/criteria/conditions/2" }] }])
    );
    assert_eq!(write("Exploited", 20, exploited.clone(), make("urgent")).await["warnings"], json!([]));
    let pci = json!({ "field": "tags", "operator": "contains", "value": "pci" });
    let odd = write("PCI", 30, pci.clone(), make("critical")).await;
    assert_eq!(odd["warnings"][0]["kind"], "CONTRADICTS");
    assert_eq!(
        odd["warnings"][0]["places"][0],
        json!({ "rule": { "name": "Exploited" }, "pointer": "/action/config/severity" })
    );

    // A draft is told of before it is kept, at its own place or at another rule's.
    let validate = format!(
        "query($draft: RuleDraftInput!, $rule: ID) {{ ruleValidate(draft: $draft, rule: $rule) {{ valid {WARNINGS} }} }}"
    );
    let both = json!({ "logic": "AND", "conditions": [exploited, pci] });
    let draft = json!({ "name": "Both", "order": 40, "criteria": both, "action": make("critical") });
    let told = author.ask(&validate, json!({ "draft": draft })).await["ruleValidate"].clone();
    assert_eq!(told["valid"], true);
    let shadowed = &told["warnings"][0];
    assert_eq!((&shadowed["kind"], &shadowed["rules"]), (&json!("SHADOWED"), &json!([{ "name": "PCI" }])));
    assert_eq!(shadowed["places"][0], json!({ "rule": null, "pointer": "/action/config/severity" }));
    let instead =
        author.ask(&validate, json!({ "draft": draft, "rule": odd["id"] })).await["ruleValidate"].clone();
    assert!(instead["warnings"].as_array().unwrap().iter().all(|warning| warning["kind"] != "SHADOWED"));

    // An update is told of the same way.
    let update = format!(
        "mutation($id: ID!, $input: RuleUpdateInput!) {{ ruleUpdate(id: $id, expectedVersion: 1, input: $input) {{ rule {{ {WARNINGS} }} userErrors {{ code }} }} }}"
    );
    let change = json!({ "id": odd["id"], "input": { "action": make("urgent") } });
    let told = author.ask(&update, change).await["ruleUpdate"].clone();
    assert_eq!(told["rule"]["warnings"], json!([]), "now they say the same: {told}");

    write("Tags", 50, is("urgent"), json!({ "type": "append_tag", "config": { "tags": ["loud"] } })).await;
    let set = "query($kinds: [RuleWarningKind!]) { ruleSetWarnings(kinds: $kinds, first: 1) {
        totalCount compared complete warnings { kind rules { name } } } }";
    let all = author.ask(set, json!({})).await["ruleSetWarnings"].clone();
    assert_eq!((&all["complete"], &all["warnings"][0]["kind"]), (&json!(true), &json!("NEVER_MATCHES")));
    assert_eq!(all["warnings"].as_array().map(Vec::len), Some(1));
    let order = author.ask(set, json!({ "kinds": ["ORDER_MATTERS"] })).await["ruleSetWarnings"].clone();
    assert_eq!(order["totalCount"], 2, "two make urgent what is tagged then: {order}");

    // Another company's rules are no business of these.
    let stranger = Client { schema: &schema, actor: world.globex.author().clone() };
    let other = stranger.ask(set, json!({})).await["ruleSetWarnings"].clone();
    assert_eq!((&other["totalCount"], &other["compared"]), (&json!(0), &json!(0)));
    let refused = stranger.fails(&validate, json!({ "draft": draft, "rule": odd["id"] })).await;
    assert_eq!(refused, domain::error::Code::NotFound);
}
