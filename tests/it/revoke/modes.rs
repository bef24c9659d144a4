//! A company's own mode for a rule that holds for all.

use domain::access::Role;
use domain::error::Code;
use domain::rule::pass::Mode;
use domain::vocabulary::terms::Severity;
use serde_json::{Value as Json, json};
use support::{Wire, World, draft, on_both};

use api::graphql::id::Noun;

use super::{
    ApplicationFilter, RevokeRequest, all_of, applications, counted, counts, is, line, make, take_back,
};

on_both!(a_company_sets_its_own_mode, a_global_rule_is_taken_back_for_one_company);

async fn a_company_sets_its_own_mode(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let new = draft("Everywhere", 1, is(Severity::Critical), make(Severity::High));
    let rule = domain.rule_create(&world.root, new).await.unwrap();
    let severity = async |title: &str| world.finding(title).await.shown.severity;
    let wire = Wire::of(world, world.acme.person(Role::Author)).await;
    let id = Noun::Rule.id(rule.id).to_string();
    let set = "mutation($id: ID!, $mode: RuleMode) { ruleSetCompanyMode(id: $id, mode: $mode) {
        rule { mode companyMode effectiveMode idle observed { turns } } userErrors { code field } } }";
    let told = wire.done(set, json!({ "id": id, "mode": "OBSERVE" })).await["rule"].clone();
    assert_eq!(
        told,
        json!({ "mode": "ENFORCE", "companyMode": "OBSERVE", "effectiveMode": "OBSERVE", "idle": null,
                "observed": { "turns": 0 } })
    );
    world.import_lines(&[line("a", Severity::Critical)]).await;
    assert_eq!(severity("a").await, Severity::Critical);
    let seen = applications(world, ApplicationFilter { rule: Some(rule.id), ..Default::default() }).await;
    assert!(seen.len() == 1 && seen[0].observed);

    // The same report again: the rule has come to hold.
    let told = wire.done(set, json!({ "id": id })).await["rule"].clone();
    assert_eq!((&told["companyMode"], &told["effectiveMode"]), (&Json::Null, &json!("ENFORCE")));
    world.import_lines(&[line("a", Severity::Critical)]).await;
    assert_eq!(severity("a").await, Severity::High);
    let told = wire.done(set, json!({ "id": id, "mode": "OFF" })).await["rule"].clone();
    assert_eq!((&told["effectiveMode"], &told["idle"]), (&json!("OFF"), &json!("off")));
    world.import_lines(&[line("b", Severity::Critical)]).await;
    assert_eq!(severity("b").await, Severity::Critical);
    // Others follow the rule's own.
    let others = Wire::of(world, world.globex.person(Role::Author)).await;
    let mode = "query($id: ID!) { rule(id: $id) { companyMode effectiveMode } }";
    let told = others.ask(mode, json!({ "id": id })).await["rule"].clone();
    assert_eq!(told, json!({ "companyMode": null, "effectiveMode": "ENFORCE" }));

    // Where it is off for all, one may still want it.
    domain.rule_set_mode(&world.root, rule.id, None, Mode::Off).await.unwrap();
    domain.rule_set_company_mode(author, rule.id, Some(Mode::Enforce)).await.unwrap();
    world.sweep().await;
    assert_eq!(severity("b").await, Severity::High);
    let own = world.rule("Own", 2, is(Severity::Low), make(Severity::Info)).await;
    let refused = |error: domain::error::Error| error.code;
    let mode = Some(Mode::Off);
    assert_eq!(
        domain.rule_set_company_mode(author, own.id, mode).await.map_err(refused).unwrap_err(),
        Code::IllegalState
    );
    let analyst = world.acme.analyst();
    assert_eq!(
        domain.rule_set_company_mode(analyst, rule.id, mode).await.map_err(refused).unwrap_err(),
        Code::Forbidden
    );
    let root = &world.root;
    assert_eq!(
        domain.rule_set_company_mode(root, rule.id, mode).await.map_err(refused).unwrap_err(),
        Code::IllegalState
    );
    let told = world.told_of(rule.id).await;
    assert_eq!(told.iter().filter(|entry| entry.action == "rule.company_mode_set").count(), 4);
    world.assert_ledger_whole().await;
}

async fn a_global_rule_is_taken_back_for_one_company(world: &World) {
    let new = draft("Everywhere", 1, is(Severity::Critical), make(Severity::High));
    let rule = world.domain.rule_create(&world.root, new).await.unwrap();
    world.import_lines(&[line("a", Severity::Critical)]).await;
    let theirs =
        domain::intake::import::ImportRequest { project: world.globex.project, ..world.request("x") };
    world.import(world.globex.analyst(), theirs, &format!("{}\n", line("z", Severity::Critical))).await;
    let job = take_back(world, RevokeRequest { turn_off: true, ..all_of(rule.id) }).await;
    assert_eq!(counts(&job), counted(&[("restored", 1)]));
    let modes = world.domain.rule_company_modes(world.acme.author(), &[rule.id]).await.unwrap();
    assert_eq!(modes[&rule.id], Mode::Off);
    world.sweep().await;
    assert_eq!(world.finding("a").await.shown.severity, Severity::Critical);
    let kept = world.findings(world.globex.admin(), None).await;
    assert_eq!(kept[0].shown.severity, Severity::High, "what another company has is its own");
    let rule = world.domain.rule(world.globex.admin(), rule.id).await.unwrap();
    assert_eq!(rule.mode, Mode::Enforce);
}
