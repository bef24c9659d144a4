//! What a company asks of changes: which of them take a second person.

use std::collections::BTreeSet;

use api::graphql::id::Noun;
use api::graphql::{Schema, schema};
use domain::access::{Actor, Role};
use domain::approval::Stage;
use domain::error::Code;
use domain::finding::acceptance::{AcceptanceFilter, Terms};
use domain::finding::bulk::Selection;
use domain::finding::edit::Edit;
use domain::finding::request::{ChangeRequest, RequestState};
use domain::job::{Job, JobState};
use domain::page::PageArgs;
use domain::policy::Policy;
use domain::vocabulary::terms::{Severity, Status};
use domain::vocabulary::time::Span;
use serde_json::{Value as Json, json};
use support::{NOW, World, content, finished, on_both};

use crate::graph::Client;

mod rules;

on_both!(
    a_policy_is_set_and_seen,
    gated_changes_become_requests,
    what_does_not_conform_is_told,
    a_change_is_made_where_nothing_moved,
    a_request_that_nobody_agrees_to_is_dropped,
    asking_less_takes_a_second_person,
);

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

fn client<'a>(schema: &'a Schema, actor: &Actor) -> Client<'a> {
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

/// Puts a policy in the place of Acme's, whatever that is: a second person agrees where it asks less.
async fn set(world: &World, policy: Policy) {
    let admin = world.acme.admin();
    let version = world.domain.change_policy(admin).await.unwrap().version;
    let set = world.domain.change_policy_set(admin, version, policy.clone()).await.unwrap();
    if let Some(asked) = set.approval {
        let agreed =
            world.domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await;
        assert_eq!(agreed.unwrap().stage, Stage::Approved);
    }
    assert_eq!(world.domain.change_policy(admin).await.unwrap().policy, policy);
}

fn approver(world: &World) -> &Actor {
    &world.acme.person(Role::Approver).actor
}

/// Makes a change that the policy gates, as an analyst, and returns the request.
async fn ask(world: &World, finding: &str, edit: Edit) -> ChangeRequest {
    let id = world.finding(finding).await.id;
    let made = world.domain.finding_edit(world.acme.analyst(), id, None, edit).await.unwrap();
    made.asked().expect("it is gated")
}

/// The vote of the approver for what a request asks.
async fn agree(world: &World, request: &ChangeRequest) -> Stage {
    let hash = &request.digest;
    let voted = world.domain.approval_approve(approver(world), request.approval, hash, None).await;
    voted.expect("approvers vote").stage
}

/// The job of a request, once it has ended.
async fn made(world: &World, request: &ChangeRequest) -> (RequestState, Job) {
    let admin = world.acme.admin();
    let request = world.domain.change_request(admin, request.id).await.unwrap();
    let job = finished(&world.domain, admin, request.job.expect("it was agreed to")).await;
    (world.domain.change_request(admin, request.id).await.unwrap().state, job)
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
    assert_eq!(content(&entry.after)["share"], 0.25);
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
    let accept = Edit::SetStatus { status: Status::AcceptedRisk, reason: Some("x".to_owned()) };
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

const APPROVE: &str = "mutation($id: ID!, $hash: String!) { approvalApprove(id: $id, contentHash: $hash) {
    approval { stage kind subject { ... on ChangeRequest { state job { id } } } } userErrors { code } } }";

async fn a_change_is_made_where_nothing_moved(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let (ann, second) = (client(&schema, world.acme.analyst()), client(&schema, approver(world)));
    world.import_lines(&["a", "b", "c", "d"].map(|name| line(name, Severity::High))).await;
    set(world, Policy { accepting_risk: true, ..Policy::default() }).await;
    let until = NOW.plus(Span::WEEK);
    let all = json!({ "field": "severity", "operator": "eq", "value": "high" });
    let accept = json!({ "acceptRisk": { "reason": "Known.", "reference": "RISK-1", "until": until } });
    let query = "mutation($filter: Criteria!, $edit: FindingEditInput!) { findingBulkUpdate(filter: $filter, edit: $edit) {
        request { id approval { id kind stage title reasons contentHash required content blastRadius { count share }
            diff { field before after } author { ... on User { name } } } } } }";
    let asked =
        ann.ask(query, json!({ "filter": all, "edit": accept })).await["findingBulkUpdate"]["request"]
            .clone();
    let approval = &asked["approval"];
    assert_eq!(
        (&approval["kind"], &approval["stage"], &approval["title"]),
        (&json!("CHANGE"), &json!("PENDING"), &json!("Acceptance of the risk of 4 findings"))
    );
    assert_eq!(approval["reasons"], json!(["It accepts a risk."]));
    assert_eq!(approval["blastRadius"], json!({ "count": 4, "share": 1.0 }));
    assert_eq!(approval["diff"][0], json!({ "field": "status", "before": "OPEN", "after": "ACCEPTED_RISK" }));
    assert_eq!(approval["diff"][1]["after"]["reference"], "RISK-1");

    // Meanwhile one moves on, and another changes in what is not asked about.
    world
        .edit(world.finding("b").await.id, Edit::SetStatus { status: Status::InProgress, reason: None })
        .await;
    world
        .edit(world.finding("c").await.id, Edit::SetSeverity { severity: Severity::Low, reason: None })
        .await;
    let vote = json!({ "id": approval["id"], "hash": approval["contentHash"] });
    assert_eq!(ann.fails(APPROVE, vote.clone()).await, Code::Forbidden);
    let voted = second.ask(APPROVE, vote).await["approvalApprove"].clone();
    assert_eq!(
        (&voted["approval"]["stage"], &voted["approval"]["kind"]),
        (&json!("APPROVED"), &json!("CHANGE"))
    );
    let requests =
        world.domain.change_requests(world.acme.admin(), &Default::default(), &PageArgs::first(1)).await;
    let request = requests.unwrap().nodes().next().unwrap();
    let (state, job) = made(world, &request).await;
    assert_eq!((state, job.state), (RequestState::Applied, JobState::Completed));
    assert_eq!(
        [&job.counts["applied"], &job.counts["moved"], &job.counts["gone"]],
        [&json!(3), &json!(1), &json!(0)]
    );
    let changes =
        ann.ask(CHANGES, json!({ "id": asked["id"] })).await["changeRequestFindings"]["nodes"].clone();
    for change in changes.as_array().unwrap() {
        let title = change["finding"]["title"].as_str().unwrap();
        let expected = match title {
            "b" => ("MOVED", json!({ "field": "status", "was": "OPEN", "is": "IN_PROGRESS" })),
            _ => ("APPLIED", Json::Null),
        };
        assert_eq!(
            (change["outcome"].as_str().unwrap(), &change["moved"]),
            (expected.0, &expected.1),
            "{title}"
        );
        let status = world.finding(title).await.shown.status;
        assert_eq!(status, if title == "b" { Status::InProgress } else { Status::AcceptedRisk });
    }
    // It is whoever asked who accepted, and the audit knows who agreed.
    let a = world.finding("a").await;
    assert_eq!(a.decided_by(), Some(world.acme.analyst().id));
    let entry = world
        .told_of(a.id)
        .await
        .into_iter()
        .rfind(|entry| entry.action == "finding.status_changed")
        .unwrap();
    assert_eq!(
        content(&entry.cause),
        json!({ "reason": "Known.", "request": request.id, "approval": request.approval })
    );
    let conforming =
        AcceptanceFilter { conforming: Some(true), open: Some(true), ..AcceptanceFilter::default() };
    assert_eq!(world.domain.acceptance_count(world.acme.admin(), &conforming).await.unwrap(), 3);
    let again = world.domain.approval_approve(approver(world), request.approval, &request.digest, None).await;
    assert_eq!(again.unwrap_err().code, Code::IllegalState);

    // To bear it for longer takes a second person again, and then it lasts that long.
    let longer =
        Edit::Extend { until: NOW.plus(Span::DAY.times(30).unwrap()), reason: "Still known.".to_owned() };
    let extension = ask(world, "a", longer).await;
    assert_eq!(agree(world, &extension).await, Stage::Approved);
    assert_eq!(made(world, &extension).await.0, RequestState::Applied);
    world.clock.advance(Span::DAY.times(8).unwrap());
    assert_eq!(world.domain.keep_acceptances().await.unwrap().1, 2, "the other two have ended");
    assert_eq!(world.finding("a").await.shown.status, Status::AcceptedRisk);

    // An acceptance that another one replaced meanwhile has moved on.
    let terms = |reason: &str| Terms { reason: reason.to_owned(), reference: None, owner: None, until: None };
    let first = ask(world, "d", Edit::Accept(terms("One."))).await;
    let second = ask(world, "d", Edit::Accept(terms("Two."))).await;
    assert_eq!(
        (agree(world, &second).await, made(world, &second).await.0),
        (Stage::Approved, RequestState::Applied)
    );
    assert_eq!(agree(world, &first).await, Stage::Approved);
    assert_eq!(made(world, &first).await.1.counts["moved"], 1);
    world.assert_ledger_whole().await;
}

async fn a_request_that_nobody_agrees_to_is_dropped(world: &World) {
    world.import_lines(&["a", "b", "c"].map(|name| line(name, Severity::Critical))).await;
    let policy = Policy {
        lowering_critical: true,
        quorum: 2,
        deadline_hours: 10,
        reminder_hours: 5,
        ..Policy::default()
    };
    set(world, policy).await;
    let lower = || Edit::SetSeverity { severity: Severity::Low, reason: None };
    let (domain, admin) = (&world.domain, world.acme.admin());
    let (a, b, c) =
        (ask(world, "a", lower()).await, ask(world, "b", lower()).await, ask(world, "c", lower()).await);
    let approval = domain.approval(admin, a.approval).await.unwrap();
    let hour = |hours| Some(NOW.plus(Span::HOUR.times(hours).unwrap()));
    assert_eq!((approval.required, approval.remind_at, approval.deadline), (2, hour(5), hour(10)));
    domain.approval_reject(approver(world), a.approval, "Not so.").await.unwrap();
    domain.approval_withdraw(world.acme.analyst(), b.approval).await.unwrap();
    assert_eq!(agree(world, &c).await, Stage::Pending, "one vote of two");
    // Nobody who wrote it, and nobody alone.
    let own = domain
        .finding_edit(admin, world.finding("a").await.id, None, lower())
        .await
        .unwrap()
        .asked()
        .unwrap();
    let refused = domain.approval_approve(admin, own.approval, &own.digest, None).await;
    assert_eq!(refused.unwrap_err().code, Code::SelfApproval);
    let until = NOW.plus(Span::HOUR);
    let alone = domain.approval_approve_emergency(admin, c.approval, &c.digest, "Now!", until).await;
    assert_eq!(alone.unwrap_err().code, Code::IllegalState);
    world.clock.advance(Span::HOUR.times(11).unwrap());
    domain.tidy_up(&mut BTreeSet::new()).await.unwrap();
    for request in [&a, &b, &c, &own] {
        let stands = domain.change_request(admin, request.id).await.unwrap();
        assert_eq!((stands.state, stands.job), (RequestState::Dropped, None));
    }
    let findings = world.findings(admin, None).await;
    assert!(findings.iter().all(|finding| finding.shown.severity == Severity::Critical), "nothing happened");
    let late = domain.approval_approve(admin, c.approval, &c.digest, None).await;
    assert_eq!(late.unwrap_err().code, Code::IllegalState);
    world.assert_ledger_whole().await;
}

async fn asking_less_takes_a_second_person(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let (admin, second) = (client(&schema, world.acme.admin()), client(&schema, approver(world)));
    let set = "mutation($version: Int!, $input: ChangePolicyInput!) {
        changePolicySet(expectedVersion: $version, input: $input) { changePolicy { falsePositive quorum version }
            approval { id kind stage contentHash reasons diff { field before after } } userErrors { code } } }";
    let strict = input(json!({ "falsePositive": true, "share": 0.1, "quorum": 2 }));
    let made = admin.ask(set, json!({ "version": 0, "input": strict })).await["changePolicySet"].clone();
    assert_eq!(
        (&made["changePolicy"]["version"], &made["approval"]),
        (&json!(1), &Json::Null),
        "asking more is free"
    );
    let looser = input(json!({ "share": 0.5, "quorum": 1 }));
    let asked = admin.ask(set, json!({ "version": 1, "input": looser })).await["changePolicySet"].clone();
    let (kept, waiting) = (&asked["changePolicy"], &asked["approval"]);
    assert_eq!((&kept["falsePositive"], &kept["version"]), (&json!(true), &json!(1)), "the policy goes on");
    assert_eq!((&waiting["kind"], &waiting["stage"]), (&json!("POLICY"), &json!("PENDING")));
    let reasons = json!(["It asks less: false_positive.", "It asks less: share.", "It asks less: quorum."]);
    assert_eq!(waiting["reasons"], reasons);
    let approve = "mutation($id: ID!, $hash: String!) { approvalApprove(id: $id, contentHash: $hash) {
        approval { stage subject { ... on ChangePolicy { version } } } userErrors { code } } }";
    let vote = |waiting: &Json| json!({ "id": waiting["id"], "hash": waiting["contentHash"] });
    let own = admin.ask(approve, vote(waiting)).await["approvalApprove"].clone();
    assert_eq!(own["userErrors"][0]["code"], "SELF_APPROVAL");
    // The policy in force wants two: a second question takes the first one back.
    let anew =
        admin.ask(set, json!({ "version": 1, "input": looser })).await["changePolicySet"]["approval"].clone();
    let first = second.ask(approve, vote(waiting)).await["approvalApprove"].clone();
    assert_eq!(first["userErrors"][0]["code"], "ILLEGAL_STATE");
    let one = second.ask(approve, vote(&anew)).await["approvalApprove"]["approval"].clone();
    assert_eq!(one, json!({ "stage": "PENDING", "subject": { "version": 1 } }));
    let new = domain::inventory::user::NewUser {
        email: "third@acme.example".to_owned(),
        name: "Third".to_owned(),
        grant: Some((Role::Approver, domain::access::Portfolio::Whole)),
        platform_admin: false,
    };
    let third = world.domain.user_create(world.acme.admin(), new).await.unwrap();
    let third = Actor { id: third.id, person: third.id, ..approver(world).clone() };
    let two = client(&schema, &third).ask(approve, vote(&anew)).await["approvalApprove"]["approval"].clone();
    assert_eq!(two, json!({ "stage": "APPROVED", "subject": { "version": 2 } }));
    let now = admin.ask("{ changePolicy { falsePositive share quorum version } }", json!({})).await;
    assert_eq!(
        now["changePolicy"],
        json!({ "falsePositive": false, "share": 0.5, "quorum": 1, "version": 2 })
    );
    world.assert_ledger_whole().await;
}
