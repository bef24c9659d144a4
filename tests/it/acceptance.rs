//! Accepted risks over their whole life: accepted, warned of, extended, ended, and open again.

use std::collections::BTreeMap;

use api::graphql::{Schema, schema};
use domain::Domain;
use domain::access::{Actor, Role};
use domain::error::Code;
use domain::finding::acceptance::{AcceptanceEnd, AcceptanceFilter, Terms};
use domain::finding::bulk::Selection;
use domain::finding::edit::Edit;
use domain::finding::facts::Finding;
use domain::job::{JobFilter, JobKind, JobState};
use domain::page::PageArgs;
use domain::rule::pass::Mode;
use domain::vocabulary::terms::{Severity, Status};
use domain::vocabulary::time::{Span, Timestamp};
use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::{Value as Json, json};
use support::{NOW, World, content, finished, on_both};

use crate::graph::Client;

on_both!(
    a_risk_is_borne_until_its_date,
    an_acceptance_ends_with_what_becomes_of_its_finding,
    who_accepts_says_why,
    the_end_of_a_rule_is_heard,
    servers_end_each_acceptance_once,
    what_was_accepted_before_is_listed,
);

const ACCEPT: &str =
    "mutation($id: ID!, $input: AcceptRiskInput!) { findingAcceptRisk(id: $id, input: $input) {
    finding { status } request { id } userErrors { code field message } } }";

const EXTEND: &str = "mutation($id: ID!, $input: ExtendAcceptanceInput!) {
    findingAcceptanceExtend(id: $id, input: $input) { finding { status } userErrors { code field } } }";

const SHOWN: &str = "query($id: ID!) { node(id: $id) { ... on Finding { status version acceptance {
    reason reference owner { name } until by { ... on User { name } } at warned rule { name }
    acceptance { id warnedAt endedAt viewerCan { extend { allowed } } } } } } }";

const LIST: &str = "query($filter: AcceptanceFilterInput) { acceptances(filter: $filter) { totalCount nodes {
    reason until endedHow warnedAt finding { title } owner { name } } } }";

fn line(name: &str) -> Json {
    json!({ "scanner_reference": name, "title": name, "asset": "web", "severity": "high" })
}

fn client<'a>(schema: &'a Schema, actor: &Actor) -> Client<'a> {
    Client { schema, actor: actor.clone() }
}

fn after(days: i64) -> Timestamp {
    NOW.plus(Span::DAY.times(days).unwrap())
}

fn id(finding: &Finding) -> Json {
    json!(api::graphql::id::Noun::Finding.id(finding.id))
}

async fn shown(client: &Client<'_>, finding: &Finding) -> Json {
    client.ask(SHOWN, json!({ "id": id(finding) })).await["node"].clone()
}

/// How each acceptance of a finding stands, in the order in which they were made.
async fn ends(world: &World, finding: &Finding) -> Vec<Option<AcceptanceEnd>> {
    let filter = AcceptanceFilter { finding: Some(finding.id), ..AcceptanceFilter::default() };
    let page = world.domain.acceptances(world.acme.admin(), &filter, &PageArgs::first(50)).await.unwrap();
    let mut all: Vec<_> = page.nodes().collect();
    all.sort_by_key(|acceptance| (acceptance.at, acceptance.id));
    all.into_iter().map(|acceptance| acceptance.ended.map(|(_, how)| how)).collect()
}

/// The kinds of the events about a finding, oldest first.
async fn told(world: &World, finding: &Finding) -> Vec<String> {
    let tables = Database::connect(world.url()).await.unwrap();
    let backend = tables.get_database_backend();
    let id = match world.engine {
        support::Engine::Sqlite => format!("X'{}'", finding.id.simple()),
        support::Engine::Postgres => format!("'{}'", finding.id),
    };
    let sql = format!("SELECT kind FROM event WHERE subject_id = {id} ORDER BY seq");
    let rows = tables.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
    tables.close().await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

async fn a_risk_is_borne_until_its_date(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    let tag = json!({ "type": "append_tag", "config": { "tags": ["seen"] } });
    world.import_lines(&[line("a"), line("b")]).await;
    let (a, b) = (world.finding("a").await, world.finding("b").await);
    let owner = json!(api::graphql::id::Noun::User.id(world.acme.author().id));
    let input =
        json!({ "reason": " No route to it. ", "reference": "RISK-7", "owner": owner, "until": after(30) });
    let accepted =
        ann.ask(ACCEPT, json!({ "id": id(&a), "input": input })).await["findingAcceptRisk"].clone();
    assert_eq!(
        accepted,
        json!({ "finding": { "status": "ACCEPTED_RISK" }, "request": null, "userErrors": [] })
    );
    let now = shown(&ann, &a).await;
    let expected = json!({ "reason": "No route to it.", "reference": "RISK-7", "owner": { "name": "Acme AUTHOR" },
        "until": after(30), "by": { "name": "Acme ANALYST" }, "at": NOW, "warned": false, "rule": null });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&now["acceptance"][member], value, "{member}");
    }
    assert_eq!(shown(&ann, &b).await["acceptance"], Json::Null);
    // The same again is nothing.
    ann.ask(ACCEPT, json!({ "id": id(&a), "input": input })).await;
    assert_eq!(shown(&ann, &a).await["version"], now["version"]);

    // The rule comes when the finding is not active: nothing is said until it is.
    world.rule("Seen", 1, json!({ "field": "status", "operator": "eq", "value": "OPEN" }), tag).await;
    world.sweep().await;
    assert!(world.finding("a").await.shown.set(domain::finding::layers::SetField::Tags).is_empty());

    // It is warned of once, fourteen days before its end.
    world.clock.advance(Span(16 * Span::DAY.0 - 1));
    assert_eq!(world.domain.keep_acceptances().await.unwrap(), (0, 0));
    world.clock.advance(Span(1));
    assert_eq!(world.domain.keep_acceptances().await.unwrap(), (1, 0));
    assert_eq!(world.domain.keep_acceptances().await.unwrap(), (0, 0));
    assert_eq!(told(world, &a).await.last().unwrap(), "finding_acceptance_ending");
    assert_eq!(world.told_of(a.id).await.last().unwrap().action, "finding.acceptance_ending");
    assert_eq!(shown(&ann, &a).await["acceptance"]["warned"], true);

    // It lasts longer by another one, which ends later.
    for until in [after(1), after(30)] {
        let input = json!({ "until": until, "reason": "Still none." });
        let refused = ann.ask(EXTEND, json!({ "id": id(&a), "input": input })).await;
        let code = refused["findingAcceptanceExtend"]["userErrors"][0]["code"].clone();
        assert_eq!(code, if until == after(1) { "INVALID" } else { "ILLEGAL_STATE" });
    }
    let input = json!({ "until": after(60), "reason": "Still none." });
    let extended = ann.ask(EXTEND, json!({ "id": id(&a), "input": input.clone() })).await;
    assert_eq!(extended["findingAcceptanceExtend"]["userErrors"], json!([]));
    let extend_b = ann.ask(EXTEND, json!({ "id": id(&b), "input": input })).await;
    assert_eq!(extend_b["findingAcceptanceExtend"]["userErrors"][0]["code"], "ILLEGAL_STATE");
    let now = shown(&ann, &a).await["acceptance"].clone();
    assert_eq!(
        (&now["reason"], &now["reference"], &now["owner"]["name"], &now["until"], &now["warned"]),
        (&json!("Still none."), &json!("RISK-7"), &json!("Acme AUTHOR"), &json!(after(60)), &json!(false))
    );
    let ending =
        ann.ask(LIST, json!({ "filter": { "open": true, "owner": owner, "endingBefore": after(61) } })).await;
    assert_eq!(ending["acceptances"]["totalCount"], 1);
    assert_eq!(ending["acceptances"]["nodes"][0]["finding"]["title"], "a");
    let over = ann.ask(LIST, json!({ "filter": { "open": false } })).await["acceptances"].clone();
    assert_eq!((&over["totalCount"], &over["nodes"][0]["endedHow"]), (&json!(1), &json!("EXTENDED")));

    // No server ran when its date came: it is open again as soon as one does, and rules are heard.
    world.clock.advance(Span::DAY.times(300).unwrap());
    assert_eq!(world.domain.keep_acceptances().await.unwrap(), (0, 1));
    let open = world.finding("a").await;
    assert_eq!((open.shown.status, open.closed_at), (Status::Open, None));
    assert_eq!(open.shown.set(domain::finding::layers::SetField::Tags), ["seen"]);
    assert_eq!(ends(world, &a).await, [Some(AcceptanceEnd::Extended), Some(AcceptanceEnd::Expired)]);
    let entry = world
        .told_of(a.id)
        .await
        .into_iter()
        .rfind(|entry| entry.action == "finding.status_changed")
        .unwrap();
    assert_eq!(
        (content(&entry.before), content(&entry.after), content(&entry.cause)),
        (
            json!({ "status": "ACCEPTED_RISK" }),
            json!({ "status": "OPEN" }),
            json!({ "acceptance": "EXPIRED" })
        )
    );
    let moves = told(world, &a).await.into_iter().filter(|kind| kind == "finding_status_changed");
    assert_eq!(moves.count(), 2, "accepted and open again");
    assert_eq!(world.domain.keep_acceptances().await.unwrap(), (0, 0));
    assert_eq!(shown(&ann, &a).await["acceptance"], Json::Null);
    world.assert_ledger_whole().await;
}

async fn an_acceptance_ends_with_what_becomes_of_its_finding(world: &World) {
    let names = ["gone", "mended", "reopened", "false", "again", "released"];
    world.import_lines(&names.map(line)).await;
    let mut findings = BTreeMap::new();
    for name in names {
        let finding = world.finding(name).await;
        let terms =
            Terms { reason: "Known.".to_owned(), reference: None, owner: None, until: Some(after(9)) };
        assert_eq!(world.edit(finding.id, Edit::Accept(terms)).await.shown.status, Status::AcceptedRisk);
        findings.insert(name, finding);
    }
    let to = |status| Edit::SetStatus { status, reason: Some("Looked again.".to_owned()) };
    world.edit(findings["mended"].id, to(Status::Fixed)).await;
    world.edit(findings["reopened"].id, to(Status::InProgress)).await;
    world.edit(findings["false"].id, to(Status::FalsePositive)).await;
    world.edit(findings["again"].id, to(Status::AcceptedRisk)).await;
    world.edit(findings["released"].id, Edit::Release { fields: vec!["status".to_owned()] }).await;
    world.clock.advance(Span::DAY);
    world.import_lines(&["reopened", "false", "again", "released"].map(line)).await;
    let expected = [
        ("gone", vec![Some(AcceptanceEnd::Fixed)], Status::Fixed),
        ("mended", vec![Some(AcceptanceEnd::Fixed)], Status::Fixed),
        ("reopened", vec![Some(AcceptanceEnd::Reopened)], Status::InProgress),
        ("false", vec![Some(AcceptanceEnd::Reopened)], Status::FalsePositive),
        ("again", vec![Some(AcceptanceEnd::Extended), None], Status::AcceptedRisk),
        // Whose word it was is dropped; the risk is borne until its date all the same.
        ("released", vec![None], Status::AcceptedRisk),
    ];
    for (name, how, status) in expected {
        assert_eq!(ends(world, &findings[name]).await, how, "{name}");
        assert_eq!(world.finding(name).await.shown.status, status, "{name}");
    }
    world.clock.advance(Span::DAY.times(10).unwrap());
    // One has no end, and one ends.
    assert_eq!(world.domain.keep_acceptances().await.unwrap(), (0, 1));
    assert_eq!(world.finding("released").await.shown.status, Status::Open);
    assert_eq!(world.finding("again").await.shown.status, Status::AcceptedRisk);
    world.assert_ledger_whole().await;
}

async fn who_accepts_says_why(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let (ann, gia) = (client(&schema, world.acme.analyst()), client(&schema, world.globex.admin()));
    world.import_lines(&[line("a"), line("b")]).await;
    let (a, b) = (world.finding("a").await, world.finding("b").await);
    let stranger = json!(api::graphql::id::Noun::User.id(world.globex.analyst().id));
    let cases = [
        (json!({ "reason": " " }), "REQUIRED", "reason"),
        (json!({ "reason": "x".repeat(9_000) }), "INVALID", "reason"),
        (json!({ "reason": "x", "until": NOW }), "INVALID", "until"),
        (json!({ "reason": "x", "owner": stranger }), "NOT_FOUND", "owner"),
    ];
    for (input, code, field) in cases {
        let refused =
            ann.ask(ACCEPT, json!({ "id": id(&a), "input": input })).await["findingAcceptRisk"].clone();
        let error = &refused["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!(code), &json!(["input", field])), "{input}");
        assert_eq!(refused["finding"], Json::Null);
    }
    let set = "mutation($id: ID!, $to: FindingStatus!, $why: String, $word: Justification) {
        findingSetStatus(id: $id, status: $to, reason: $why, justification: $word) {
            finding { status decision { status reason justification by { ... on User { name } } } acceptance { reason } }
            userErrors { code field } } }";
    let bare = ann.ask(set, json!({ "id": id(&a), "to": "ACCEPTED_RISK" })).await["findingSetStatus"].clone();
    assert_eq!(bare["userErrors"][0], json!({ "code": "REQUIRED", "field": ["reason"] }));
    let why = json!({ "id": id(&a), "to": "ACCEPTED_RISK", "why": "Known." });
    let done = ann.ask(set, why).await["findingSetStatus"]["finding"].clone();
    assert_eq!(done["acceptance"]["reason"], "Known.");
    assert_eq!(done["decision"]["by"]["name"], "Acme ANALYST");

    // A false positive may have a reason and a word for it; nothing else has that word.
    let wrong = json!({ "id": id(&b), "to": "CLOSED", "word": "COMPONENT_NOT_PRESENT" });
    let wrong = ann.ask(set, wrong).await["findingSetStatus"].clone();
    assert_eq!(wrong["userErrors"][0], json!({ "code": "INVALID", "field": ["justification"] }));
    let called = json!({ "id": id(&b), "to": "FALSE_POSITIVE", "why": "Not built in.", "word": "COMPONENT_NOT_PRESENT" });
    let called = ann.ask(set, called).await["findingSetStatus"]["finding"].clone();
    let decision = json!({ "status": "FALSE_POSITIVE", "reason": "Not built in.",
        "justification": "COMPONENT_NOT_PRESENT", "by": { "name": "Acme ANALYST" } });
    assert_eq!((&called["decision"], &called["acceptance"]), (&decision, &Json::Null));
    world.import_lines(&[line("a"), line("b")]).await;
    let kept = "query($id: ID!) { node(id: $id) { ... on Finding { decision { reason justification } } } }";
    let kept = ann.ask(kept, json!({ "id": id(&b) })).await["node"]["decision"].clone();
    assert_eq!(kept["justification"], "COMPONENT_NOT_PRESENT");

    // Others see nothing of it, and viewers accept nothing.
    assert_eq!(gia.ask(LIST, json!({})).await["acceptances"]["totalCount"], 0);
    let one = shown(&ann, &a).await["acceptance"]["acceptance"]["id"].clone();
    let node = "query($id: ID!) { node(id: $id) { id } }";
    assert_eq!(gia.ask(node, json!({ "id": one })).await["node"], Json::Null);
    assert_eq!(ann.ask(node, json!({ "id": one })).await["node"]["id"], one);
    let viewer = client(&schema, &world.acme.person(Role::Viewer).actor);
    let input = json!({ "id": id(&b), "input": { "reason": "x" } });
    assert_eq!(viewer.fails(ACCEPT, input).await, Code::Forbidden);
    // What lies outside of the portfolio is not listed.
    let mut request = world.request("other");
    request.project = world.acme.other_project;
    world.import(world.acme.analyst(), request, &line("c").to_string()).await;
    let c = world.finding("c").await;
    world.edit(c.id, Edit::SetStatus { status: Status::AcceptedRisk, reason: Some("x".to_owned()) }).await;
    let count = async |actor: &Actor| {
        client(&schema, actor).ask(LIST, json!({})).await["acceptances"]["totalCount"].clone()
    };
    assert_eq!(
        (count(world.acme.analyst()).await, count(&world.acme.narrow.actor).await),
        (json!(2), json!(1))
    );
}

/// The sweeps of Acme, the newest first.
async fn sweeps(world: &World) -> Vec<domain::job::Job> {
    let filter = JobFilter { kinds: vec![JobKind::Sweep], ..JobFilter::default() };
    world.domain.jobs(world.acme.admin(), &filter, &PageArgs::first(50)).await.unwrap().nodes().collect()
}

async fn the_end_of_a_rule_is_heard(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    let owner = world.acme.author().id;
    let title = |name: &str| json!({ "field": "title", "operator": "eq", "value": name });
    let accept = |days| {
        json!({ "type": "accepted_risk", "config": {
        "reason": "Isolated.", "reference": "RISK-1", "owner": owner, "until": after(days) } })
    };
    world.rule("Short", 1, title("short"), accept(5)).await;
    let off = world.rule("Off by then", 2, title("off"), accept(5)).await;
    world.rule("Long", 3, title("long"), accept(50)).await;
    let names = ["short", "off", "long", "plain", "person"];
    let lines: Vec<Json> = names.iter().map(|name| line(name)).collect();
    world.import_lines(&lines).await;
    let person = world.finding("person").await;
    world
        .edit(person.id, Edit::SetStatus { status: Status::AcceptedRisk, reason: Some("x".to_owned()) })
        .await;
    world.domain.rule_set_mode(world.acme.author(), off.id, None, Mode::Off).await.unwrap();
    let short = world.finding("short").await;
    let now = shown(&ann, &short).await["acceptance"].clone();
    assert_eq!(
        (&now["reason"], &now["rule"]["name"], &now["until"], &now["owner"]["name"], &now["acceptance"]),
        (&json!("Isolated."), &json!("Short"), &json!(after(5)), &json!("Acme AUTHOR"), &Json::Null)
    );
    let status = async |name: &str| world.finding(name).await.shown.status;
    let before = sweeps(world).await.len();
    world.clock.advance(Span(5 * Span::DAY.0 - 1));
    world.domain.keep_acceptances().await.unwrap();
    assert_eq!(sweeps(world).await.len(), before, "its date has not come");

    // Two servers hear of it, and start the work once; no report has to come.
    world.clock.advance(Span(1));
    let other = world.start(1).await;
    let (one, two) = tokio::join!(world.domain.keep_acceptances(), other.keep_acceptances());
    assert_eq!((one.unwrap(), two.unwrap()), ((0, 0), (0, 0)));
    world.domain.keep_acceptances().await.unwrap();
    let started = sweeps(world).await;
    assert_eq!(started.len(), before + 2, "one for each rule and date");
    for job in &started[..2] {
        let job = finished(&world.domain, world.acme.admin(), job.id).await;
        assert_eq!((job.state, job.counts["changed"].clone()), (JobState::Completed, json!(1)));
    }
    let expected = [
        ("short", Status::Open),
        ("off", Status::Open),
        ("long", Status::AcceptedRisk),
        ("plain", Status::Open),
        ("person", Status::AcceptedRisk),
    ];
    for (name, expected) in expected {
        assert_eq!(status(name).await, expected, "{name}");
    }
    assert!(told(world, &short).await.contains(&"finding_status_changed".to_owned()));
    world.assert_ledger_whole().await;
}

async fn servers_end_each_acceptance_once(world: &World) {
    const FINDINGS: usize = 700;
    let names: Vec<String> = (0..FINDINGS).map(|at| format!("finding {at:03}")).collect();
    let lines: Vec<Json> = names.iter().map(|name| line(name)).collect();
    world.import_lines(&lines).await;
    let terms = Terms { reason: "Known.".to_owned(), reference: None, owner: None, until: Some(after(20)) };
    let all = json!({ "field": "severity", "operator": "eq", "value": Severity::High });
    let job =
        world.domain.finding_bulk(world.acme.analyst(), Selection::Matching(all), Edit::Accept(terms)).await;
    let job = finished(&world.domain, world.acme.analyst(), job.unwrap().done().unwrap().id).await;
    assert_eq!(job.counts["changed"], json!(FINDINGS));
    let open = AcceptanceFilter { open: Some(true), ..AcceptanceFilter::default() };
    let count = async || world.domain.acceptance_count(world.acme.admin(), &open).await.unwrap();
    assert_eq!(count().await, FINDINGS as i64);
    let other = world.start(1).await;
    let keep = async |domain: &Domain| domain.keep_acceptances().await.unwrap();
    let (_, before) = world.ledger().await;
    world.clock.advance(Span::DAY.times(10).unwrap());
    let (one, two) = tokio::join!(keep(&world.domain), keep(&other));
    assert_eq!((one.0 + two.0, one.1 + two.1), (FINDINGS, 0), "each is warned of once");
    world.clock.advance(Span::DAY.times(10).unwrap());
    let (one, two) = tokio::join!(keep(&world.domain), keep(&other));
    assert_eq!((one.0 + two.0, one.1 + two.1), (0, FINDINGS), "each is opened once");
    let (_, events) = world.ledger().await;
    assert_eq!(events - before, 2 * FINDINGS as i64, "one warning and one change each");
    assert_eq!(count().await, 0);
    let findings = world.findings(world.acme.admin(), None).await;
    assert!(findings.iter().all(|finding| finding.shown.status == Status::Open));
    world.assert_ledger_whole().await;
}

async fn what_was_accepted_before_is_listed(world: &World) {
    use migration::MigratorTrait;

    world.import_lines(&["a", "b", "c", "d"].map(line)).await;
    let accept = || Edit::SetStatus { status: Status::AcceptedRisk, reason: Some("Once.".to_owned()) };
    let (a, b, c) = (world.finding("a").await, world.finding("b").await, world.finding("c").await);
    world.edit(a.id, accept()).await;
    world.edit(b.id, accept()).await;
    world.edit(b.id, Edit::Release { fields: vec!["status".to_owned()] }).await;
    let action = json!({ "type": "accepted_risk", "config": { "reason": "By rule." } });
    world.rule("C", 1, json!({ "field": "title", "operator": "eq", "value": "c" }), action).await;
    world.sweep().await;
    // As an earlier release left it: findings whose acceptance nobody kept.
    let tables = Database::connect(world.url()).await.unwrap();
    let steps = migration::Migrator::get_migration_files();
    let since = steps.iter().rev().position(|step| step.name() == "m0016_acceptance").unwrap() + 1;
    let since = u32::try_from(since).unwrap();
    migration::Migrator::down(&tables, Some(since)).await.unwrap();
    migration::Migrator::up(&tables, None).await.unwrap();
    tables.close().await.unwrap();
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    let listed = ann.ask(LIST, json!({ "filter": { "open": true } })).await["acceptances"].clone();
    assert_eq!(listed["totalCount"], 2, "what a rule accepts is kept with the rule");
    assert!(listed["nodes"][0]["reason"].as_str().unwrap().starts_with("Accepted before"));
    let known = shown(&ann, &a).await["acceptance"].clone();
    assert_eq!((&known["by"]["name"], &known["until"]), (&json!("Acme ANALYST"), &Json::Null));
    assert_eq!(shown(&ann, &c).await["acceptance"]["rule"]["name"], "C");
    // It ends like any other.
    world.edit(a.id, Edit::SetStatus { status: Status::Fixed, reason: None }).await;
    assert_eq!(ends(world, &a).await, [Some(AcceptanceEnd::Fixed)]);
}
