//! Rules before they hold: validated, tried, changed; and the catalogues that they are built from.

use api::graphql::schema;
use domain::access::Role;
use domain::error::Code;
use serde_json::{Value as Json, json};
use support::{World, on_both};

use super::{RULE, client, leaf, rule};

on_both!(rules_are_tried_before_they_hold);

async fn rules_are_tried_before_they_hold(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let author = client(&schema, world.acme.author());
    let validate = "query($draft: RuleDraftInput!) { ruleValidate(draft: $draft) { valid sentence faults { pointer code } } }";
    let bad = json!({ "name": " ", "action": { "type": "override_severity", "config": { "severity": "awful" } },
        "criteria": { "logic": "AND", "conditions": [
            leaf("severity", "eq", json!("dire")), leaf("nothing", "eq", json!(1)) ] } });
    let told = author.ask(validate, json!({ "draft": bad })).await["ruleValidate"].clone();
    assert_eq!((&told["valid"], &told["sentence"]), (&json!(false), &Json::Null));
    let pointers: Vec<&str> =
        told["faults"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    let expected =
        ["/name", "/criteria/conditions/0/value", "/criteria/conditions/1/field", "/action/config/severity"];
    assert_eq!(pointers, expected);
    let always = json!({ "name": "All", "action": { "type": "append_tag", "config": { "tags": ["x"] } },
        "criteria": { "logic": "OR", "conditions": [
            { "field": "cvss_score", "operator": "is_empty" }, { "field": "cvss_score", "operator": "is_not_empty" } ] } });
    let told = author.ask(validate, json!({ "draft": always })).await["ruleValidate"].clone();
    assert_eq!(told["faults"][0]["code"], "CRITERIA_TAUTOLOGY");
    let refused = author.ask(RULE, json!({ "input": always })).await["ruleCreate"].clone();
    assert_eq!(refused["userErrors"][0]["code"], "CRITERIA_TAUTOLOGY");

    let test = "query($input: RuleTestInput!, $finding: JSON!) { ruleTest(input: $input, finding: $finding) {
        matched before after messages explanation conditions { pointer field operator operand seen outcome } } }";
    let criteria = json!({ "logic": "AND", "conditions": [
        leaf("severity", "gte_ord", json!("high")), leaf("known_exploit", "neq", json!(true)) ] });
    let action = json!({ "type": "override_severity", "config": { "severity": "low" } });
    let input = json!({ "name": "Calm", "criteria": criteria, "action": action });
    let tried =
        author.ask(test, json!({ "input": input, "finding": { "severity": "critical" } })).await["ruleTest"]
            .clone();
    assert_eq!((&tried["matched"], &tried["after"]), (&json!(true), &json!({ "severity": "low" })));
    assert_eq!(tried["messages"], json!(["Rule 'Calm': severity critical to low"]));
    assert_eq!(
        tried["conditions"][1],
        json!({ "pointer": "/conditions/1", "field": "known_exploit", "operator": "neq", "operand": true,
                "seen": null, "outcome": "TRUE" })
    );
    let made = rule(&author, "Calm", criteria, action).await;
    let kept = json!({ "input": { "rule": made["id"] }, "finding": { "severity": "medium" } });
    assert_eq!(author.ask(test, kept).await["ruleTest"]["matched"], false);

    let update = "mutation($id: ID!, $version: Int!, $input: RuleUpdateInput!) { ruleUpdate(id: $id, expectedVersion: $version, input: $input) {
        rule { name order version description contentHash action { json } } userErrors { code details } } }";
    let change = json!({ "id": made["id"], "version": 1, "input": { "order": 5, "description": "Why." } });
    let changed = author.ask(update, change.clone()).await["ruleUpdate"]["rule"].clone();
    assert_eq!(
        (&changed["order"], &changed["name"], &changed["version"]),
        (&json!(5), &json!("Calm"), &json!(2))
    );
    assert_eq!(author.ask(update, change).await["ruleUpdate"]["userErrors"][0]["code"], "CONFLICT");
    let off = "mutation($id: ID!) { mode: ruleSetMode(id: $id, mode: OBSERVE) { rule { mode idle } }
        order: ruleSetOrder(id: $id, order: 7) { rule { order } }
        gone: ruleArchive(id: $id, expectedVersion: 4) { rule { mode idle archivedAt viewerCan { edit { allowed reason } } } userErrors { code } } }";
    let off = author.ask(off, json!({ "id": made["id"] })).await;
    assert_eq!(
        (&off["mode"]["rule"]["mode"], &off["order"]["rule"]["order"]),
        (&json!("OBSERVE"), &json!(7))
    );
    assert_eq!((&off["gone"]["rule"]["idle"], &off["gone"]["userErrors"]), (&json!("archived"), &json!([])));
    assert_eq!(off["gone"]["rule"]["viewerCan"]["edit"]["allowed"], false);
    let lists = "{ live: rules { totalCount } all: rules(filter: { archived: true, query: \"CALM\" }) { nodes { id } } }";
    let lists = author.ask(lists, json!({})).await;
    assert_eq!((&lists["live"]["totalCount"], &lists["all"]["nodes"][0]["id"]), (&json!(0), &made["id"]));

    let registry = "{ ruleBuilder { fields { path kind widget operators { key arity valueKind } options { value rank } } actions { key configSchema sample } operators { key arity } }
        criteriaSchema eventTypes { key sample } reportFormats { formats { key mapped } mapped } }";
    let registry = author.ask(registry, json!({})).await;
    assert_eq!(registry["ruleBuilder"]["operators"].as_array().unwrap().len(), 18);
    assert_eq!(registry["ruleBuilder"]["actions"].as_array().unwrap().len(), 7);
    assert!(registry["criteriaSchema"]["$defs"]["condition"].is_object());
    let sentence = "query($c: Criteria!) { criteriaSentence(criteria: $c) { sentence faults { pointer } } }";
    let said = author.ask(sentence, json!({ "c": leaf("tags", "contains", json!("pci")) })).await;
    assert_eq!(said["criteriaSentence"]["sentence"], "tags contains \"pci\"");
    let viewer = client(&schema, &world.acme.person(Role::Viewer).actor);
    let input = json!({ "name": "X", "criteria": leaf("tags", "eq", json!("x")), "action": { "type": "normalize_title" } });
    assert_eq!(viewer.fails(RULE, json!({ "input": input })).await, Code::Forbidden);
}
