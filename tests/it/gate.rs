//! The gate of a release: what it says, and what the command makes of it.

use std::process::Output;

use domain::access::Role;
use domain::finding::edit::Edit;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::inventory::view::{NewView, ViewNoun};
use domain::vocabulary::terms::Status;
use domain::vocabulary::time::Span;
use serde_json::{Value as Json, json};
use support::{Wire, World, on_both};
use uuid::Uuid;

use crate::crash::process::countersign;
use crate::tenancy::calls::global;
use api::graphql::id::Noun;

on_both!(
    what_stands_against_a_project,
    a_gate_that_is_asked_wrongly_does_not_pass,
    the_command_ends_as_the_gate_says
);

const GATE: &str = "query($project: ID!, $view: ID, $filter: Criteria, $age: Duration, $first: Int = 10) {
    releaseGate(project: $project, view: $view, filter: $filter, maxScanAge: $age, first: $first) {
        pass lastScanAt view { name } reasons { kind message count severities { severity count } findings { title } } } }";

fn line(title: &str, severity: &str) -> Json {
    json!({ "scanner_reference": title, "title": title, "asset": "web-01", "severity": severity, "cve_ids": "CVE-2026-0001" })
}

async fn view(world: &World, name: &str, filter: Json, noun: ViewNoun, shared: bool) -> Uuid {
    let new = NewView { name: name.to_owned(), noun, filter, shared };
    world.domain.view_create(world.acme.analyst(), new).await.unwrap().id
}

async fn move_to(world: &World, title: &str, status: Status) {
    let finding = world.finding(title).await;
    world.edit(finding.id, Edit::SetStatus { status, reason: Some("Looked at.".to_owned()) }).await;
}

/// The kinds of the reasons.
fn kinds(gate: &Json) -> Vec<&str> {
    gate["reasons"].as_array().unwrap().iter().map(|reason| reason["kind"].as_str().unwrap()).collect()
}

async fn what_stands_against_a_project(world: &World) {
    let wire = Wire::of(world, world.acme.person(Role::Viewer)).await;
    let project = global(Noun::Project, world.acme.project);
    let ask = async |said: Json| {
        let mut variables = json!({ "project": project });
        variables.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let gate = wire.ask(GATE, variables).await["releaseGate"].clone();
        assert_eq!(gate["pass"], json!(kinds(&gate).is_empty()));
        gate
    };
    let gate = ask(json!({})).await;
    assert_eq!((kinds(&gate), &gate["lastScanAt"]), (vec!["NEVER_SCANNED"], &Json::Null));
    // Somebody's word is no look.
    let word = json!({ "@context": "https://openvex.dev/ns/v0.2.0", "@id": "urn:x:1", "author": "Us", "version": 1,
        "timestamp": "2026-11-21T07:00:00Z",
        "statements": [{ "vulnerability": { "name": "CVE-2026-0009" }, "products": [{ "@id": "urn:x:web" }], "status": "fixed" }] });
    let request = ImportRequest { format: Some(Format::Openvex), mapping: None, ..world.request("word") };
    world.import(world.acme.analyst(), request, &word.to_string()).await;
    assert_eq!(kinds(&ask(json!({})).await), ["NEVER_SCANNED"]);
    // A clean scan passes, for as long as it is young enough.
    world.import_lines(&[]).await;
    world.clock.advance(Span::HOUR);
    assert_eq!(kinds(&ask(json!({})).await), [""; 0]);
    assert_eq!(kinds(&ask(json!({ "age": "PT2H" })).await), [""; 0]);
    assert_eq!(kinds(&ask(json!({ "age": "30m" })).await), ["SCAN_TOO_OLD"]);

    let lines =
        [line("a", "critical"), line("b", "high"), line("c", "high"), line("d", "low"), line("e", "urgent")];
    world.import_lines(&lines).await;
    move_to(world, "e", Status::AcceptedRisk).await;
    move_to(world, "b", Status::InProgress).await;
    let gate = ask(json!({ "first": 2 })).await;
    assert_eq!(
        gate["reasons"],
        json!([{ "kind": "ACTIVE_FINDINGS", "message": "4 active findings are in the way.", "count": 4,
            "severities": [{ "severity": "CRITICAL", "count": 1 }, { "severity": "HIGH", "count": 2 }, { "severity": "LOW", "count": 1 }],
            "findings": [{ "title": "a" }, gate["reasons"][0]["findings"][1].clone()] }])
    );
    let high = json!({ "field": "severity", "operator": "gte_ord", "value": "high" });
    let shipped = view(world, "Ship stoppers", high.clone(), ViewNoun::Findings, true).await;
    let b = json!({ "field": "title", "operator": "matches_regex", "value": "^[bd]$" });
    for (said, count) in [
        (json!({ "view": global(Noun::View, shipped) }), 3),
        (json!({ "view": global(Noun::View, shipped), "filter": b }), 1),
        (json!({ "filter": b, "first": 0 }), 2),
        (json!({ "filter": { "field": "title", "operator": "eq", "value": "e" } }), 0),
    ] {
        let gate = ask(said.clone()).await;
        assert_eq!(gate["reasons"][0]["count"].as_i64().unwrap_or(0), count, "{said}");
        assert_eq!(gate["pass"], json!(count == 0), "{said}");
    }
    assert_eq!(ask(json!({ "view": global(Noun::View, shipped) })).await["view"]["name"], "Ship stoppers");
    for title in ["a", "b", "c"] {
        move_to(world, title, Status::FalsePositive).await;
    }
    assert_eq!(kinds(&ask(json!({ "view": global(Noun::View, shipped) })).await), [""; 0]);
    // An archived project does not go out, whatever else holds; another project is not asked.
    let version = world.domain.project(world.acme.admin(), world.acme.project).await.unwrap().version;
    world.domain.project_archive(world.acme.admin(), world.acme.project, version, true).await.unwrap();
    assert_eq!(kinds(&ask(json!({ "age": "1s" })).await), ["PROJECT_ARCHIVED", "ACTIVE_FINDINGS"]);
    world.clock.advance(Span::DAY);
    assert_eq!(
        kinds(&ask(json!({ "age": "1h" })).await),
        ["PROJECT_ARCHIVED", "SCAN_TOO_OLD", "ACTIVE_FINDINGS"]
    );
}

async fn a_gate_that_is_asked_wrongly_does_not_pass(world: &World) {
    world.import_lines(&[]).await;
    let mine = view(world, "Mine", json!({}), ViewNoun::Findings, false).await;
    let assets = view(world, "Assets", json!({}), ViewNoun::Assets, true).await;
    let wire = Wire::of(world, world.acme.person(Role::Viewer)).await;
    let project = global(Noun::Project, world.acme.project);
    let (other, foreign) =
        (global(Noun::Project, world.acme.other_project), global(Noun::Project, world.globex.project));
    let empty = json!({ "logic": "AND", "conditions": [] });
    for (said, code) in [
        (json!({ "project": foreign }), "NOT_FOUND"),
        (json!({ "project": "nothing" }), "NOT_FOUND"),
        // Somebody else's view that is not shared, one of nobody, and one of assets.
        (json!({ "project": project, "view": global(Noun::View, mine) }), "NOT_FOUND"),
        (json!({ "project": project, "view": global(Noun::View, Uuid::nil()) }), "NOT_FOUND"),
        (json!({ "project": project, "view": global(Noun::View, assets) }), "INVALID"),
        (json!({ "project": project, "filter": empty }), "CRITERIA_EMPTY"),
        (json!({ "project": project, "first": 501 }), "INVALID"),
    ] {
        let answer = wire.answer(GATE, said.clone()).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{said}: {answer}");
        assert!(answer["data"].is_null() || answer["data"]["releaseGate"].is_null(), "{answer}");
    }
    // A portfolio has its own projects, and no others.
    let narrow = wire.with(&world.acme.narrow.token);
    assert_eq!(narrow.ask(GATE, json!({ "project": project })).await["releaseGate"]["pass"], true);
    let answer = narrow.answer(GATE, json!({ "project": other })).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND");
}

async fn the_command_ends_as_the_gate_says(world: &World) {
    let wire = Wire::of(world, world.acme.person(Role::Viewer)).await;
    let token = world.acme.person(Role::Viewer).token.clone();
    let url = wire.url();
    let run = async |token: Option<&str>, arguments: &[&str]| -> (i32, String, String) {
        let mut command = countersign();
        command.arg("gate").args(["--url", &url]).args(arguments);
        if let Some(token) = token {
            command.env("COUNTERSIGN_TOKEN", token);
        }
        // The binary waits for this process to answer.
        let output: Output =
            tokio::task::spawn_blocking(move || command.output().expect("the binary runs")).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let shop = ["--project", "Web shop"];
    let (code, said, _) = run(Some(&token), &shop).await;
    assert_eq!((code, said.contains("NEVER_SCANNED")), (1, true), "{said}");
    world.import_lines(&[line("a", "critical"), line("b", "high"), line("c", "low")]).await;
    view(
        world,
        "Ship stoppers",
        json!({ "field": "severity", "operator": "gte_ord", "value": "high" }),
        ViewNoun::Findings,
        true,
    )
    .await;
    let stoppers = [&shop[..], &["--view", "Ship stoppers", "--findings", "1"]].concat();
    let (code, said, _) = run(Some(&token), &stoppers).await;
    assert_eq!(code, 1);
    for words in [
        "FAIL Web shop, by the view Ship stoppers",
        "2 active findings",
        "1 critical, 1 high",
        "CRITICAL a",
        "[web-01]",
        "and 1 more",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    let (code, said, _) = run(Some(&token), &[&stoppers[..], &["--json"]].concat()).await;
    let answer: Json = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &answer["pass"], &answer["reasons"][0]["count"]), (1, &json!(false), &json!(2)));
    for title in ["a", "b"] {
        move_to(world, title, Status::FalsePositive).await;
    }
    let (code, said, _) = run(Some(&token), &stoppers).await;
    assert_eq!((code, said.starts_with("PASS Web shop")), (0, true), "{said}");
    let id = global(Noun::Project, world.acme.project);
    let filter = r#"{ "field": "title", "operator": "eq", "value": "c" }"#;
    let (code, ..) = run(Some(&token), &["--project", &id, "--filter", filter]).await;
    assert_eq!(code, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let by_file = [&stoppers[..], &["--token-file", file.to_str().unwrap()]].concat();
    assert_eq!(run(None, &by_file).await.0, 0);

    // Nobody can tell: neither yes nor no.
    let gone = ["--project", "No such project"];
    for (token, arguments, words) in [
        (Some(token.as_str()), &gone[..], "There is no such project"),
        (Some(&token), &["--project", "Web shop", "--view", "No such view"], "There is no such view"),
        (Some(&token), &["--project", "Web shop", "--filter", "{"], "filter"),
        (Some(&token), &["--project", "Web shop", "--max-scan-age", "soon"], "duration"),
        (Some("cs_wrong"), &shop, ""),
        (None, &shop, "COUNTERSIGN_TOKEN"),
    ] {
        let (code, said, complaint) = run(token, arguments).await;
        assert_eq!((code, said.as_str()), (2, ""), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words) && !complaint.is_empty(), "{arguments:?}: {complaint}");
    }
    wire.stop();
}
