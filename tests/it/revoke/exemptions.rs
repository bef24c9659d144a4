//! What was taken back stays so, until the rule changes or somebody clears it.

use api::graphql::id::Noun;
use domain::access::Role;
use domain::error::Code;
use domain::page::PageArgs;
use domain::rule::exemption::{Clearing, Exemption, ExemptionFilter};
use domain::rule::preview::{Reach, Tried};
use domain::vocabulary::terms::Severity;
use domain::vocabulary::time::Span;
use serde_json::{Value as Json, json};
use support::{Wire, World, content, draft, on_both};
use uuid::Uuid;

use super::{all_of, is, line, make, take_back};

on_both!(
    passes_honour_an_exemption_until_it_is_cleared,
    a_rule_that_changed_speaks_again,
    exemptions_over_the_wire,
);

async fn exemptions(world: &World, filter: ExemptionFilter) -> Vec<Exemption> {
    let page = world.domain.rule_exemptions(world.acme.admin(), &filter, &PageArgs::first(99)).await;
    page.unwrap().nodes().collect()
}

fn report() -> [Json; 2] {
    [line("a", Severity::Critical), line("b", Severity::Critical)]
}

async fn severities(world: &World) -> [Severity; 2] {
    [world.finding("a").await.shown.severity, world.finding("b").await.shown.severity]
}

async fn passes_honour_an_exemption_until_it_is_cleared(world: &World) {
    let rule = world.rule("Down", 1, is(Severity::Critical), make(Severity::High)).await;
    world.import_lines(&report()).await;
    take_back(world, all_of(rule.id)).await;
    // The same report, the same with something new, a sweep and a preview.
    world.import_lines(&report()).await;
    assert_eq!(severities(world).await, [Severity::Critical; 2]);
    world.clock.advance(Span::HOUR);
    let more = [&report()[..], &[line("c", Severity::Critical)]].concat();
    world.import_lines(&more).await;
    world.sweep().await;
    assert_eq!(severities(world).await, [Severity::Critical; 2]);
    assert_eq!(world.finding("c").await.shown.severity, Severity::High, "it speaks of all others");
    let author = world.acme.author();
    let preview = world.domain.rule_preview(author, Tried::Kept(rule.id), Reach::Preview).await.unwrap();
    assert_eq!(preview.totals.matched, 1, "a preview honours exemptions too");

    let all = exemptions(world, ExemptionFilter { rule: Some(rule.id), ..Default::default() }).await;
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|one| one.content_hash == rule.content_hash && one.author == author.id));
    let a = world.finding("a").await.id;
    let of_a = all.iter().find(|one| one.finding == a).unwrap().id;
    let named = |ids: Vec<Uuid>| Clearing::Named(ids);
    for (actor, code) in [(world.acme.analyst(), Code::Forbidden), (world.globex.admin(), Code::NotFound)] {
        let refused = world.domain.rule_exemption_clear(actor, named(vec![of_a])).await.unwrap_err();
        assert_eq!(refused.code, code);
    }
    assert_eq!(world.domain.rule_exemption_clear(author, named(vec![of_a])).await.unwrap(), 1);
    let told = world.told_of(rule.id).await;
    assert_eq!(told.last().unwrap().action, "rule.exemptions_cleared");
    assert_eq!(content(&told.last().unwrap().before), json!({ "findings": [a] }));
    // The same report as before says nothing new of it, but the rule has something to say.
    world.clock.advance(Span::HOUR);
    world.import_lines(&more).await;
    assert_eq!(severities(world).await, [Severity::High, Severity::Critical]);
    assert_eq!(world.domain.rule_exemption_clear(author, Clearing::OfRule(rule.id)).await.unwrap(), 1);
    assert_eq!(world.domain.rule_exemption_clear(author, Clearing::OfRule(rule.id)).await.unwrap(), 0);
    world.sweep().await;
    assert_eq!(severities(world).await, [Severity::High; 2]);
    world.assert_ledger_whole().await;
}

async fn a_rule_that_changed_speaks_again(world: &World) {
    let author = world.acme.author();
    let rule = world.rule("Down", 1, is(Severity::Critical), make(Severity::High)).await;
    world.import_lines(&report()).await;
    take_back(world, all_of(rule.id)).await;
    // Another name is no other rule.
    let named = draft("Calm", 1, is(Severity::Critical), make(Severity::High));
    let renamed = world.domain.rule_update(author, rule.id, rule.version, named).await.unwrap();
    world.sweep().await;
    assert_eq!(severities(world).await, [Severity::Critical; 2]);
    let changed = draft("Calm", 1, is(Severity::Critical), make(Severity::Medium));
    world.domain.rule_update(author, rule.id, renamed.version, changed).await.unwrap();
    let holds = |holds| ExemptionFilter { holds: Some(holds), ..Default::default() };
    assert!(exemptions(world, holds(true)).await.is_empty());
    assert_eq!(exemptions(world, holds(false)).await.len(), 2);
    world.sweep().await;
    assert_eq!(severities(world).await, [Severity::Medium; 2]);
    // Taken back again, it is exempt as it is now.
    take_back(world, all_of(rule.id)).await;
    world.sweep().await;
    assert_eq!(severities(world).await, [Severity::Critical; 2]);
    assert_eq!(exemptions(world, holds(true)).await.len(), 2);
}

async fn exemptions_over_the_wire(world: &World) {
    let wire = Wire::of(world, world.acme.person(Role::Author)).await;
    let rule = world.rule("Down", 1, is(Severity::Critical), make(Severity::High)).await;
    world.import_lines(&report()).await;
    let job = take_back(world, all_of(rule.id)).await;
    let query = "query($rule: ID!) { ruleExemptions(filter: { rule: $rule, holds: true }, first: 1) { totalCount nodes {
        id holds contentHash createdAt author { ... on User { name } } rule { name } finding { title }
        revoke { id } } } }";
    let id = Noun::Rule.id(rule.id).to_string();
    let told = wire.ask(query, json!({ "rule": id })).await["ruleExemptions"].clone();
    assert_eq!(told["totalCount"], 2);
    let node = &told["nodes"][0];
    assert_eq!((&node["holds"], &node["rule"]["name"]), (&json!(true), &json!("Down")));
    assert_eq!(node["revoke"]["id"], Noun::Job.id(job.id).to_string());
    let clear = "mutation($input: RuleExemptionClearInput!, $key: String) {
        ruleExemptionClear(input: $input, idempotencyKey: $key) { cleared userErrors { code field } } }";
    let variables = json!({ "input": { "exemptions": [node["id"]] }, "key": "k" });
    assert_eq!(wire.done(clear, variables.clone()).await["cleared"], 1);
    assert_eq!(wire.done(clear, variables).await["cleared"], Json::Null, "it happened once");
    let refused = wire.try_do(clear, json!({ "input": { "exemptions": [node["id"]] } })).await;
    let error = &refused["userErrors"][0];
    assert_eq!((&error["code"], &error["field"]), (&json!("NOT_FOUND"), &json!(["input", "exemptions"])));
    assert_eq!(wire.done(clear, json!({ "input": { "rule": id } })).await["cleared"], 1);
}
