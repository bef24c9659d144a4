//! What a company asks of changes: which of them take a second person.

use std::collections::BTreeSet;

use api::graphql::id::Noun;
use api::graphql::{Schema, schema};
use domain::access::{Actor, Role};
use domain::error::Code;
use domain::finding::bulk::Selection;
use domain::finding::edit::Edit;
use domain::policy::Policy;
use domain::vocabulary::terms::Severity;
use domain::vocabulary::time::Span;
use serde_json::{Value as Json, json};
use support::{NOW, World, on_both};

use crate::graph::Client;

on_both!(a_policy_is_set_and_seen, gated_changes_become_requests, what_does_not_conform_is_told);

const SET: &str = "mutation($version: Int!, $input: ChangePolicyInput!) {
    changePolicySet(expectedVersion: $version, input: $input) {
        changePolicy { acceptingRisk falsePositive loweringCritical rules share findings quorum deadlineHours
            reminderHours warnDays acceptanceDays version updatedAt } userErrors { code field details } } }";

const BULK: &str = "mutation($ids: [ID!], $filter: Criteria, $edit: FindingEditInput!) {
    findingBulkUpdate(ids: $ids, filter: $filter, edit: $edit) {
        changed unchanged refused job { id } request { id gates findingCount activeCount activeShare state edit digest
            author { ... on User { name } } } userErrors { code field details } } }";

const CHANGES: &str = "query($id: ID!) { changeRequestFindings(id: $id) { totalCount nodes {
    finding { title } before after outcome moved { field was is } } } }";

pub fn client<'a>(schema: &'a Schema, actor: &Actor) -> Client<'a> {
    Client { schema, actor: actor.clone() }
}

fn input(change: Json) -> Json {
    let mut input =
        json!({ "acceptingRisk": false, "falsePositive": false, "loweringCritical": false, "rules": false });
    input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    input
}

fn line(name: &str, severity: Severity) -> Json {
    json!({ "scanner_reference": name, "title": name, "asset": "web", "severity": severity })
}

/// Puts a policy in the place of Acme's, whatever that is.
pub async fn set(world: &World, policy: Policy) {
    let admin = world.acme.admin();
    let version = world.domain.change_policy(admin).await.unwrap().version;
    world.domain.change_policy_set(admin, version, policy).await.unwrap();
}

async fn a_policy_is_set_and_seen(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let admin = client(&schema, world.acme.admin());
    let seen = "{ changePolicy { acceptingRisk share quorum warnDays acceptanceDays version updatedAt } }";
    let none = json!({ "acceptingRisk": false, "share": null, "quorum": 1, "warnDays": 14, "acceptanceDays": null,
        "version": 0, "updatedAt": null });
    assert_eq!(admin.ask(seen, json!({})).await["changePolicy"], none);
    let asked = input(json!({ "acceptingRisk": true, "share": 0.25, "findings": 10, "acceptanceDays": 365 }));
    let made = admin.ask(SET, json!({ "version": 0, "input": asked })).await["changePolicySet"].clone();
    assert_eq!(made["userErrors"], json!([]));
    let policy = &made["changePolicy"];
    assert_eq!(
        (&policy["share"], &policy["version"], &policy["updatedAt"]),
        (&json!(0.25), &json!(1), &json!(NOW))
    );
    let stale = admin.ask(SET, json!({ "version": 0, "input": asked })).await["changePolicySet"].clone();
    assert_eq!(stale["userErrors"][0]["code"], "CONFLICT");
    assert_eq!(stale["userErrors"][0]["details"]["currentVersion"], 1);
    for (member, value) in [("share", json!(2.0)), ("quorum", json!(0)), ("acceptanceDays", json!(-1))] {
        let refused = admin.ask(SET, json!({ "version": 1, "input": input(json!({ member: value })) })).await;
        let error = &refused["changePolicySet"]["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("INVALID"), &json!(["input", member])));
    }
    let analyst = client(&schema, world.acme.analyst());
    assert_eq!(analyst.ask(seen, json!({})).await["changePolicy"]["version"], 1, "everybody may know");
    assert_eq!(analyst.fails(SET, json!({ "version": 1, "input": asked })).await, Code::Forbidden);
    let gia = client(&schema, world.globex.admin());
    assert_eq!(gia.ask(seen, json!({})).await["changePolicy"]["version"], 0, "another company has its own");
    let told = world.told_of(world.acme.id).await;
    let entry = told.iter().rfind(|entry| entry.action == "change_policy.set").unwrap();
    assert_eq!(entry.after.as_ref().unwrap()["share"], 0.25);
    world.assert_ledger_whole().await;
}

async fn gated_changes_become_requests(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    let lines = [
        line("a", Severity::Critical),
        line("b", Severity::High),
        line("c", Severity::Medium),
        line("d", Severity::Low),
    ];
    world.import_lines(&lines).await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(json!(Noun::Finding.id(world.finding(name).await.id)));
    }
    let all = json!({ "field": "severity", "operator": "gte_ord", "value": "info" });
    let accept = json!({ "acceptRisk": { "reason": "Known.", "until": NOW.plus(Span::WEEK) } });
    let lower = json!({ "setSeverity": { "severity": "LOW", "reason": "Behind a proxy." } });
    let mistaken = json!({ "setStatus": { "status": "FALSE_POSITIVE" } });
    let justified =
        json!({ "setStatus": { "status": "FALSE_POSITIVE", "justification": "COMPONENT_NOT_PRESENT" } });
    let tag = json!({ "tag": { "add": ["x"] } });
    let named = |at: &[usize]| json!({ "ids": at.iter().map(|at| ids[*at].clone()).collect::<Vec<_>>() });
    let filter = json!({ "filter": all });
    let plain = Policy::default();
    let kinds =
        Policy { accepting_risk: true, false_positive: true, lowering_critical: true, ..plain.clone() };
    let few = Policy { findings: Some(2), ..plain.clone() };
    let half = Policy { share: Some(0.5), ..plain.clone() };
    let cases = [
        (&kinds, named(&[1]), &accept, vec!["ACCEPTING_RISK"], 1),
        (&kinds, filter.clone(), &accept, vec!["ACCEPTING_RISK"], 4),
        (&kinds, named(&[1, 2]), &mistaken, vec!["FALSE_POSITIVE"], 2),
        (&kinds, named(&[2]), &justified, vec!["FALSE_POSITIVE"], 1),
        (&kinds, named(&[0]), &lower, vec!["LOWERING_CRITICAL"], 1),
        // One is low as it is; that a person says so is a change.
        (&kinds, filter.clone(), &lower, vec!["LOWERING_CRITICAL"], 4),
        (&few, named(&[0, 1, 2]), &tag, vec!["FINDINGS"], 3),
        (&half, filter.clone(), &tag, vec!["SHARE"], 4),
        (&few, filter.clone(), &accept, vec!["FINDINGS"], 4),
    ];
    let before = world.findings(world.acme.admin(), None).await;
    let mut asked = BTreeSet::new();
    for (policy, selection, edit, gates, findings) in cases {
        set(world, policy.clone()).await;
        let mut variables = selection.clone();
        variables["edit"] = edit.clone();
        let answer = ann.ask(BULK, variables).await["findingBulkUpdate"].clone();
        let request = answer["request"].clone();
        assert_eq!((&answer["job"], &answer["changed"]), (&Json::Null, &Json::Null), "{answer}");
        assert_eq!(
            (&request["gates"], &request["findingCount"]),
            (&json!(gates), &json!(findings)),
            "{edit}"
        );
        assert_eq!(
            (&request["state"], &request["author"]["name"]),
            (&json!("WAITING"), &json!("Acme ANALYST"))
        );
        assert_eq!(request["activeShare"], json!(f64::from(findings) / 4.0));
        let changes = ann.ask(CHANGES, json!({ "id": request["id"] })).await["changeRequestFindings"].clone();
        assert_eq!(changes["totalCount"], findings);
        assert!(changes["nodes"].as_array().unwrap().iter().all(|node| node["outcome"] == "WAITING"));
        asked.insert(request["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(world.findings(world.acme.admin(), None).await, before, "nothing was changed");
    let list = "{ changeRequests { totalCount nodes { id } } }";
    let listed = ann.ask(list, json!({})).await["changeRequests"].clone();
    assert_eq!(listed["totalCount"].as_u64().unwrap() as usize, asked.len());

    // One finding: the same through the mutations of one.
    set(world, kinds.clone()).await;
    let one = "mutation($id: ID!, $key: String) { findingSetSeverity(id: $id, severity: LOW, reason: \"Old.\", idempotencyKey: $key) {
        finding { severity version } request { id gates } userErrors { code } } }";
    let variables = json!({ "id": ids[0], "key": "once" });
    let gated = ann.ask(one, variables.clone()).await["findingSetSeverity"].clone();
    assert_eq!(
        (&gated["finding"]["severity"], &gated["request"]["gates"]),
        (&json!("CRITICAL"), &json!(["LOWERING_CRITICAL"]))
    );
    assert_eq!(
        ann.ask(one, variables).await["findingSetSeverity"],
        gated,
        "the same key is the same request"
    );
    let changes =
        ann.ask(CHANGES, json!({ "id": gated["request"]["id"] })).await["changeRequestFindings"]["nodes"][0]
            .clone();
    assert_eq!(
        (&changes["before"], &changes["after"]),
        (&json!({ "severity": "critical" }), &json!({ "severity": "low" }))
    );
    let accept_one = "mutation($id: ID!) { findingAcceptRisk(id: $id, input: { reason: \"Known.\" }) { finding { status } request { gates } } }";
    let gated = ann.ask(accept_one, json!({ "id": ids[1] })).await["findingAcceptRisk"].clone();
    assert_eq!(
        (&gated["finding"]["status"], &gated["request"]["gates"][0]),
        (&json!("OPEN"), &json!("ACCEPTING_RISK"))
    );

    // What is not gated happens.
    let done = ann.ask(one, json!({ "id": ids[1] })).await["findingSetSeverity"].clone();
    assert_eq!((&done["finding"]["severity"], &done["request"]), (&json!("LOW"), &Json::Null));
    set(world, few).await;
    let mut variables = named(&[0, 1]);
    variables["edit"] = tag;
    assert_eq!(ann.ask(BULK, variables).await["findingBulkUpdate"]["changed"], 2);

    // Dropping one's own word can lower a critical, too.
    set(world, plain.clone()).await;
    let b = world.finding("d").await.id;
    world.edit(b, Edit::SetSeverity { severity: Severity::Urgent, reason: None }).await;
    set(world, kinds).await;
    let release = Edit::Release { fields: vec!["severity".to_owned()] };
    let made = world.domain.finding_edit(world.acme.analyst(), b, None, release).await.unwrap();
    assert_eq!(made.asked().unwrap().gates, [domain::policy::Gate::LoweringCritical]);

    // An end date that the policy asks for.
    set(world, Policy { acceptance_days: Some(30), ..plain }).await;
    for (until, fits) in [
        (Json::Null, false),
        (json!(NOW.plus(Span::DAY.times(31).unwrap())), false),
        (json!(NOW.plus(Span::DAY)), true),
    ] {
        let edit = json!({ "acceptRisk": { "reason": "Known.", "until": until } });
        let mut variables = named(&[2]);
        variables["edit"] = edit;
        let answer = ann.ask(BULK, variables).await["findingBulkUpdate"].clone();
        assert_eq!(answer["userErrors"] == json!([]), fits, "{answer}");
        if !fits {
            assert_eq!(answer["userErrors"][0]["field"], json!(["edit", "until"]));
        }
    }

    // Requests are their company's; of a narrow portfolio, who asked sees them.
    let request = json!({ "id": asked.first().unwrap() });
    let node =
        "query($id: ID!) { changeRequest(id: $id) { id } changeRequestFindings(id: $id) { totalCount } }";
    for actor in [world.globex.admin(), &world.acme.narrow.actor] {
        let hidden = client(&schema, actor).ask(node, request.clone()).await;
        assert_eq!(hidden, json!({ "changeRequest": null, "changeRequestFindings": null }));
    }
    let viewer = client(&schema, &world.acme.person(Role::Viewer).actor);
    assert_eq!(viewer.ask(node, request.clone()).await["changeRequest"]["id"], request["id"]);
    let selection = Selection::Ids(vec![world.finding("a").await.id]);
    let viewer = &world.acme.person(Role::Viewer).actor;
    let refused =
        world.domain.finding_bulk(viewer, selection, Edit::Release { fields: vec!["tags".to_owned()] }).await;
    assert_eq!(refused.unwrap_err().code, Code::Forbidden);
    world.assert_ledger_whole().await;
}

async fn what_does_not_conform_is_told(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    world.import_lines(&[line("a", Severity::Critical), line("b", Severity::High)]).await;
    let is = |severity: Severity| json!({ "field": "severity", "operator": "eq", "value": severity });
    let make =
        |severity: Severity| json!({ "type": "override_severity", "config": { "severity": severity } });
    world.rule("Lowers", 1, is(Severity::Critical), make(Severity::High)).await;
    world.rule("Harmless", 2, is(Severity::High), make(Severity::Medium)).await;
    world
        .rule(
            "Accepts",
            3,
            is(Severity::Low),
            json!({ "type": "accepted_risk", "config": { "reason": "x" } }),
        )
        .await;
    let accept = Edit::SetStatus {
        status: domain::vocabulary::terms::Status::AcceptedRisk,
        reason: Some("x".to_owned()),
    };
    world.edit(world.finding("b").await.id, accept).await;
    let query = "{ changePolicyConformance { rules { rule { name } gates } acceptanceCount }
        acceptances(filter: { conforming: false }) { nodes { finding { title } } } }";
    let told = async || ann.ask(query, json!({})).await;
    let nothing = json!({ "changePolicyConformance": { "rules": [], "acceptanceCount": 0 }, "acceptances": { "nodes": [] } });
    assert_eq!(told().await, nothing);
    let cases = [
        (
            Policy { accepting_risk: true, lowering_critical: true, ..Policy::default() },
            json!([{ "rule": { "name": "Lowers" }, "gates": ["LOWERING_CRITICAL"] },
                   { "rule": { "name": "Accepts" }, "gates": ["ACCEPTING_RISK"] }]),
            1,
        ),
        (
            Policy { findings: Some(0), ..Policy::default() },
            json!([{ "rule": { "name": "Lowers" }, "gates": ["FINDINGS"] },
                   { "rule": { "name": "Harmless" }, "gates": ["FINDINGS"] }]),
            0,
        ),
        (Policy { acceptance_days: Some(30), ..Policy::default() }, json!([]), 1),
    ];
    for (policy, rules, acceptances) in cases {
        set(world, policy).await;
        let told = told().await;
        assert_eq!(
            told["changePolicyConformance"],
            json!({ "rules": rules, "acceptanceCount": acceptances })
        );
        assert_eq!(told["acceptances"]["nodes"].as_array().unwrap().len(), acceptances);
    }
    set(world, Policy { rules: true, ..Policy::default() }).await;
    assert_eq!(told().await["changePolicyConformance"]["rules"].as_array().unwrap().len(), 3);
}
