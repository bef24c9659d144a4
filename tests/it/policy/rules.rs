//! Rules under what a company asks of changes.

use domain::error::Code;
use domain::policy::Policy;
use domain::rule::RuleDraft;
use domain::rule::pass::Mode;
use domain::vocabulary::terms::Severity;
use serde_json::json;
use support::{World, draft, on_both};

use super::{approver, line, set};

on_both!(rules_wait_for_a_second_person_too, what_nobody_agreed_to_is_not_turned_on);

async fn rules_wait_for_a_second_person_too(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    world.import_lines(&[line("a", Severity::Critical), line("b", Severity::High)]).await;
    let is = |severity: Severity| json!({ "field": "severity", "operator": "eq", "value": severity });
    let make =
        |severity: Severity| json!({ "type": "override_severity", "config": { "severity": severity } });
    let accept = json!({ "type": "accepted_risk", "config": { "reason": "x" } });
    let kinds = Policy { accepting_risk: true, lowering_critical: true, ..Policy::default() };
    let few = Policy { findings: Some(0), ..Policy::default() };
    let every = Policy { rules: true, ..Policy::default() };
    let cases = [
        (&kinds, is(Severity::Low), accept, false),
        (&kinds, is(Severity::Critical), make(Severity::Low), false),
        (&kinds, is(Severity::High), make(Severity::Low), true),
        (&few, is(Severity::High), make(Severity::Medium), false),
        (&few, is(Severity::Info), make(Severity::Low), true),
        (&every, is(Severity::Info), make(Severity::Low), false),
    ];
    for (at, (policy, criteria, action, live)) in cases.into_iter().enumerate() {
        set(world, policy.clone()).await;
        let rule =
            domain.rule_create(author, draft(&format!("Rule {at}"), 1, criteria, action)).await.unwrap();
        assert_eq!(rule.live.is_some(), live, "{at}");
        if !live {
            let asked = domain.rule_submit(author, rule.id, rule.version).await.unwrap();
            assert!(!asked.reasons.is_empty());
            domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await.unwrap();
        }
    }
    // What was agreed to conforms, whatever the policy asks.
    set(world, kinds).await;
    let told = domain.change_policy_conformance(author).await.unwrap();
    assert_eq!(told.rules.len(), 0, "{:?}", told.rules);
    set(world, every).await;
    let told = domain.change_policy_conformance(author).await.unwrap();
    let names: Vec<&str> = told.rules.iter().map(|unagreed| unagreed.rule.content.name.as_str()).collect();
    assert_eq!(names, ["Rule 2", "Rule 4"], "those that no policy gated when they were written");
    world.assert_ledger_whole().await;
}

async fn what_nobody_agreed_to_is_not_turned_on(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let critical = || json!({ "field": "severity", "operator": "eq", "value": "critical" });
    let lower = || json!({ "type": "override_severity", "config": { "severity": "low" } });
    let written = |name: &str, mode| RuleDraft { mode, ..draft(name, 1, critical(), lower()) };
    let off = domain.rule_create(author, written("off", Mode::Off)).await.unwrap();
    let on = domain.rule_create(author, written("on", Mode::Enforce)).await.unwrap();
    let global = domain.rule_create(&world.root, written("global", Mode::Observe)).await.unwrap();
    assert!(off.live.is_some() && on.live.is_some(), "nothing was asked of rules then");
    set(world, Policy { lowering_critical: true, ..Policy::default() }).await;

    // What holds goes on, and may be made to do less; it is not turned on again.
    let refused = |error: domain::error::Error| (error.code, error.field);
    let illegal = || (Code::IllegalState, vec!["mode".to_owned()]);
    let turn = async |id, mode| domain.rule_set_mode(author, id, None, mode).await;
    assert_eq!(refused(turn(off.id, Mode::Enforce).await.unwrap_err()), illegal());
    turn(off.id, Mode::Observe).await.unwrap();
    assert_eq!(turn(on.id, Mode::Enforce).await.unwrap().version, on.version, "it is on");
    turn(on.id, Mode::Observe).await.unwrap();
    assert_eq!(refused(turn(on.id, Mode::Enforce).await.unwrap_err()), illegal());
    // Neither with an edit that leaves what it says, nor with one that waits.
    let version = domain.rule(author, off.id).await.unwrap().version;
    for action in [lower(), json!({ "type": "override_severity", "config": { "severity": "info" } })] {
        let edited = draft("off", 1, critical(), action);
        let error = domain.rule_update(author, off.id, version, edited).await.unwrap_err();
        assert_eq!(refused(error), illegal());
    }
    // Nor by the company for itself.
    let own = async |mode| domain.rule_set_company_mode(author, global.id, mode).await;
    assert_eq!(refused(own(Some(Mode::Enforce)).await.unwrap_err()), illegal());
    own(Some(Mode::Off)).await.unwrap();
    own(None).await.unwrap();

    // Once somebody agreed, it is.
    let asked = RuleDraft { requires_approval: true, ..written("off", Mode::Observe) };
    let asked = domain.rule_update(author, off.id, version, asked).await.unwrap();
    let asked = domain.rule_submit(author, off.id, asked.version).await.unwrap();
    domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await.unwrap();
    assert_eq!(turn(off.id, Mode::Enforce).await.unwrap().mode, Mode::Enforce);
    world.assert_ledger_whole().await;
}
