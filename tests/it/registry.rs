//! The registry says all that there is to say: what is made of its words alone is accepted, and reads
//! as it says; what leaves its words is refused where it does.

mod build;

use std::collections::BTreeSet;

use api::graphql::schema;
use serde_json::{Value as Json, json};
use support::{Engine, World, on_both};

use crate::graph::Client;
use build::{Dice, Registry};

on_both!(what_the_registry_says_is_accepted_and_nothing_else);

/// How many rules are made and broken. What is told of them hardly hangs on the database.
fn rules(world: &World) -> u64 {
    match world.engine {
        Engine::Sqlite => 1_000,
        Engine::Postgres => 100,
    }
}

const REGISTRY: &str = "{ ruleBuilder {
    fields { path phrase kind group label description alwaysPresent widget
        operators { key label arity valueKind valueSchema sentence quoted }
        options { value label rank colour } source search { query argument value } }
    actions { key label sentence configSchema sample }
    operators { key arity } logics { key }
    limits { nameBytes descriptionBytes depth conditions values valuesInTree textBytes patternCharacters
        patterns patternBytes patternFindings valuesInSentence actionNames preview affected
        previewMinutes codes } } }";

const VALIDATE: &str = "query($draft: RuleDraftInput!) { ruleValidate(draft: $draft) {
    valid sentence faults { pointer code message } } }";

const CREATE: &str = "mutation($input: RuleDraftInput!) { ruleCreate(input: $input) {
    rule { id } userErrors { code field details } } }";

async fn what_the_registry_says_is_accepted_and_nothing_else(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let author = Client { schema: &schema, actor: world.acme.author().clone() };
    world
        .domain
        .code_set(
            world.acme.admin(),
            domain::inventory::code::CodeList::RemediationTechniques,
            "UPDATE",
            "Update",
        )
        .await
        .unwrap();
    let told = author.ask(REGISTRY, json!({})).await["ruleBuilder"].clone();
    let mut registry = Registry::new(told);
    for (field, search) in registry.searches() {
        let query = format!(
            "query($of: String!) {{ found: {}({}: $of, query: \"\") {{ value }} }}",
            text(&search["query"]),
            text(&search["argument"])
        );
        let found = author.ask(&query, json!({ "of": search["value"] })).await;
        let values = found["found"].as_array().unwrap().iter().map(|found| found["value"].clone());
        registry.found(&field, values.collect());
    }
    assert_eq!(registry.known("assigned_teams"), [json!(world.acme.team)]);

    let mut broken = BTreeSet::new();
    for round in 0..rules(world) {
        let mut dice = Dice::new(round);
        let rule = registry.rule(&mut dice);
        let told = author.ask(VALIDATE, json!({ "draft": rule })).await["ruleValidate"].clone();
        assert_eq!(told["faults"], json!([]), "round {round}: {rule}");
        assert_eq!(told["sentence"], registry.sentence(&rule["criteria"]), "round {round}: {rule}");
        let (bad, place, how) = registry.broken(&mut dice, rule.clone(), round);
        let told = author.ask(VALIDATE, json!({ "draft": bad })).await["ruleValidate"].clone();
        let places: Vec<&str> =
            told["faults"].as_array().unwrap().iter().map(|fault| text(&fault["pointer"])).collect();
        assert!(
            places.contains(&place.as_str()),
            "round {round}, {how}: {place} is not in {places:?}: {bad}"
        );
        if broken.insert(how) {
            let made = author.ask(CREATE, json!({ "input": rule })).await["ruleCreate"].clone();
            assert_eq!(made["userErrors"], json!([]), "{rule}");
            let refused = author.ask(CREATE, json!({ "input": bad })).await["ruleCreate"].clone();
            assert!(
                refused["rule"].is_null() && !refused["userErrors"][0]["field"].is_null(),
                "{how}: {refused}"
            );
        }
    }
    assert_eq!(broken.len(), build::WAYS.len(), "every way was tried: {broken:?}");
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}
