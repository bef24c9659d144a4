//! Evidence of a period: what is in the archive, who gets it, and that every byte of it is proved.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use domain::access::Role;
use domain::evidence::verify::{Fault, verify};
use domain::finding::edit::Edit;
use domain::finding::layers::RevokeMode;
use domain::gateway::folder::signing_key;
use domain::gateway::signing::SigningKey;
use domain::rule::RuleDraft;
use domain::rule::pass::Mode;
use domain::rule::revoke::{RevokeOf, RevokeRequest};
use domain::vocabulary::terms::{Severity, Status};
use domain::vocabulary::time::{Span, Timestamp};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use support::{NOW, Wire, World, draft, on_both};
use uuid::Uuid;

use api::graphql::id::Noun;

use crate::crash::process::countersign;
use crate::tenancy::calls::global;

on_both!(
    an_archive_holds_what_happened_and_proves_itself,
    who_may_not_read_the_audit_gets_no_evidence,
    a_rule_held_as_the_audit_tells,
);

const EXPORT: &str = "mutation($from: DateTime!, $to: DateTime!) { evidenceExport(from: $from, to: $to) {
    url job { id } userErrors { code field } } }";

fn line(title: &str) -> Json {
    json!({ "scanner_reference": title, "title": title, "asset": "web-01", "severity": "critical" })
}

fn key(world: &World) -> SigningKey {
    signing_key(&world.domain.settings().folder).unwrap()
}

async fn fetched(wire: &Wire, from: &str, to: &str) -> Vec<u8> {
    let asked = wire.done(EXPORT, json!({ "from": from, "to": to })).await;
    let response = wire.asking(reqwest::Method::GET, asked["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()),
        (200, "application/zip")
    );
    response.bytes().await.unwrap().to_vec()
}

/// The files of an archive, by name.
fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(archive)).expect("it is a ZIP");
    (0..zip.len())
        .map(|at| {
            let mut file = zip.by_index(at).unwrap();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            (file.name().unwrap().into_owned(), content)
        })
        .collect()
}

fn rows(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<Json> {
    let list: Vec<Json> = serde_json::from_slice(&files[&format!("{name}.json")])
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut csv = csv_rows(&files[&format!("{name}.csv")]);
    assert!(!csv.remove(0).is_empty(), "{name} has a header");
    assert_eq!(csv.len(), list.len(), "{name} is the same twice");
    list
}

/// The rows of a table, by its quotes.
fn csv_rows(text: &[u8]) -> Vec<String> {
    let (mut rows, mut row, mut quoted) = (Vec::new(), String::new(), false);
    for letter in String::from_utf8(text.to_vec()).unwrap().chars() {
        quoted ^= letter == '"';
        if letter == '\n' && !quoted {
            rows.push(std::mem::take(&mut row));
        } else {
            row.push(letter);
        }
    }
    assert!(row.is_empty(), "a table ends with its last row");
    rows
}

async fn an_archive_holds_what_happened_and_proves_itself(world: &World) {
    // Before the period: a rule, and a person's word.
    let all = json!({ "field": "severity", "operator": "eq", "value": "critical" });
    let high = json!({ "type": "override_severity", "config": { "severity": "high" } });
    let rule = world.rule("=Calm", 1, all, high).await;
    world.clock.advance(Span::HOUR);
    let from = world.clock.now();
    world.import_lines(&[line("a"), line("b")]).await;
    let a = world.finding("a").await;
    let reason = Some("We bear it.".to_owned());
    world.edit(a.id, Edit::SetStatus { status: Status::AcceptedRisk, reason }).await;
    world.clock.advance(Span::HOUR);
    let to = world.clock.now();
    world.domain.rule_set_order(world.acme.author(), rule.id, None, 9).await.unwrap();
    world.clock.advance(Span::HOUR);

    let wire = Wire::of(world, world.acme.person(Role::Auditor)).await;
    let archive = fetched(&wire, &from.to_string(), &to.to_string()).await;
    let key = key(world);
    let manifest = verify(Cursor::new(&archive), &key).unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!(
        (manifest.company, manifest.from, manifest.to, manifest.company_name.as_str()),
        (world.acme.id, from, to, "Acme")
    );
    let files = files(&archive);
    assert_eq!(manifest.files.len() + 2, files.len());
    for name in [
        "audit",
        "rules",
        "rule_versions",
        "rule_changes",
        "approvals",
        "approval_requests",
        "approval_votes",
        "applications",
        "revokes",
        "exceptions",
        "accepted_risks",
        "members",
        "exemptions",
        "revoke_outcomes",
        "conformance",
        "member_changes",
    ] {
        rows(&files, name);
    }
    // The chain's stretch is whole, and all of the period is in it.
    let entries = rows(&files, "audit");
    assert_eq!(entries.len() as i64, manifest.audit.last - manifest.audit.after);
    assert_eq!(entries.last().unwrap()["hash"], json!(manifest.audit.hash_last));
    assert!(entries.iter().all(|entry| {
        let at = entry["at"].as_i64().unwrap();
        from.0 <= at && at < to.0
    }));
    let applied = rows(&files, "applications");
    assert_eq!(applied.len(), 2);
    assert!(applied.iter().all(|row| row["rule"] == json!(rule.id)
        && row["change"] == "ADDED"
        && row["hash"] == json!(rule.content_hash)));
    // As it stood: what came after is not in it.
    let rules = rows(&files, "rules");
    assert_eq!(
        (rules.len(), &rules[0]["key"], &rules[0]["content"]["order"]),
        (1, &json!(rule.key), &json!(1))
    );
    assert!(String::from_utf8_lossy(&files["rules.csv"]).contains(&rule.key));
    assert_eq!((rows(&files, "rule_versions").len(), rows(&files, "rule_changes").len()), (0, 0));
    let exceptions = rows(&files, "exceptions");
    assert_eq!(
        (exceptions.len(), &exceptions[0]["cause"]["reason"], &exceptions[0]["actor_name"]),
        (1, &json!("We bear it."), &json!("Acme ANALYST"))
    );
    assert_eq!(rows(&files, "accepted_risks").len(), 1);
    let roles: Vec<String> =
        rows(&files, "members").iter().map(|row| row["role"].as_str().unwrap().to_owned()).collect();
    assert!(roles.contains(&"AUDITOR".to_owned()) && roles.len() >= 7, "{roles:?}");
    assert!(!String::from_utf8_lossy(&archive).contains("globex"), "nothing of others is in it");

    // Whatever byte is another, it is found.
    let flipped = |at: usize, mask: u8| {
        let mut other = archive.clone();
        other[at] ^= mask;
        match verify(Cursor::new(&other), &key) {
            Err(Fault::Altered(altered)) => altered.to_string(),
            other => panic!("byte {at} of {}: {other:?}", archive.len()),
        }
    };
    let place = |part: &[u8]| archive.windows(part.len()).position(|window| window == part).unwrap();
    assert!(flipped(place(b"We bear it."), 1).starts_with("audit.json: "));
    proptest!(ProptestConfig::with_cases(200), |(at in 0..archive.len(), mask in 1..=255_u8)| {
        prop_assert!(!flipped(at, mask).is_empty());
    });

    // The command says the same, and holds the head against the chain.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evidence.zip");
    let run = async |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let mut command = countersign();
        command.args(["audit", "verify", "--evidence", file.to_str().unwrap()]);
        command.args([
            "--database",
            world.url(),
            "--folder",
            world.domain.settings().folder.to_str().unwrap(),
        ]);
        let output =
            tokio::task::spawn_blocking(move || command.output().expect("the binary runs")).await.unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = run(&archive).await;
    assert_eq!((code, said.contains("files of Acme") && said.contains("events: whole")), (0, true), "{said}");
    let mut other = archive.clone();
    other[place(b"We bear it.")] = b'V';
    let (code, said) = run(&other).await;
    assert_eq!((code, said.contains("BROKEN") && said.contains("audit.json")), (1, true), "{said}");
    world.assert_ledger_whole().await;
}

async fn who_may_not_read_the_audit_gets_no_evidence(world: &World) {
    let wire = Wire::of(world, world.acme.person(Role::Analyst)).await;
    let period = json!({ "from": NOW.minus(Span::DAY).to_string(), "to": NOW.to_string() });
    let refused = wire.answer(EXPORT, period.clone()).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
    let auditor = wire.with(&world.acme.person(Role::Auditor).token);
    for (from, to) in [(NOW, NOW), (NOW, NOW.plus(Span::DAY))] {
        let refused = auditor.try_do(EXPORT, json!({ "from": from.to_string(), "to": to.to_string() })).await;
        assert_eq!(
            (&refused["userErrors"][0]["code"], &refused["userErrors"][0]["field"][0]),
            (&json!("INVALID"), &json!("to"))
        );
    }
    // Fetched once, and by nobody else.
    let asked = auditor.done(EXPORT, period).await;
    let url = asked["url"].as_str().unwrap();
    assert_eq!(wire.with(&world.acme.person(Role::Admin).token).get(url).await.0, 404);
    let first = auditor.asking(reqwest::Method::GET, url).send().await.unwrap();
    assert_eq!(first.status().as_u16(), 200);
    let archive = first.bytes().await.unwrap();
    // An empty period is a whole archive too.
    let manifest = verify(Cursor::new(&archive), &key(world)).unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!(manifest.audit.after, manifest.audit.last);
    assert_eq!(auditor.get(url).await.0, 409);
}

const CONFORMANCE: &str = "query($rule: ID!, $from: DateTime!, $to: DateTime!) { ruleConformance(rule: $rule, from: $from, to: $to) {
    rule { name } heldBefore heldAfter matched applied changed withdrawn observed exempted overridden { name findings } } }";

async fn a_rule_held_as_the_audit_tells(world: &World) {
    let severity = |of: &str| json!({ "type": "override_severity", "config": { "severity": of } });
    let critical = json!({ "field": "severity", "operator": "eq", "value": "critical" });
    let rule = world.rule("Calm", 1, critical.clone(), severity("high")).await;
    let watched = RuleDraft { mode: Mode::Observe, ..draft("Watched", 2, critical, severity("medium")) };
    let watched = world.domain.rule_create(world.acme.author(), watched).await.unwrap();
    let as_is = |title: &str, of: &str| {
        let mut line = line(title);
        line["severity"] = json!(of);
        line
    };
    world.import_lines(&[as_is("a", "critical"), as_is("b", "critical")]).await;
    world.clock.advance(Span::HOUR);
    let from = world.clock.now();
    // Within the period: one holds no more, one begins to, and somebody says otherwise of that one's severity and another's tags.
    world.import_lines(&[as_is("a", "low"), as_is("b", "critical"), as_is("c", "critical")]).await;
    let c = world.finding("c").await;
    world.edit(c.id, Edit::SetSeverity { severity: Severity::Low, reason: None }).await;
    let b = world.finding("b").await;
    world.edit(b.id, Edit::Tag { add: vec!["seen".into()], remove: vec![] }).await;
    world.clock.advance(Span::HOUR);
    let to = world.clock.now();

    let wire = Wire::of(world, world.acme.person(Role::Auditor)).await;
    let asked = async |rule: Uuid, from: Timestamp, to: Timestamp| {
        let variables =
            json!({ "rule": global(Noun::Rule, rule), "from": from.to_string(), "to": to.to_string() });
        wire.ask(CONFORMANCE, variables).await["ruleConformance"].clone()
    };
    let held = json!({ "rule": { "name": "Calm" }, "heldBefore": 2, "heldAfter": 2, "matched": 3, "applied": 1, "changed": 0,
        "withdrawn": 1, "observed": 0, "exempted": 0, "overridden": [{ "name": "Acme ANALYST", "findings": 1 }] });
    assert_eq!(asked(rule.id, from, to).await, held);
    // The hour before: two began to hold.
    let before = asked(rule.id, NOW, from).await;
    assert_eq!(
        [&before["heldBefore"], &before["applied"], &before["heldAfter"]],
        [&json!(0), &json!(2), &json!(2)]
    );
    assert_eq!(before["overridden"], json!([]));
    // What is only observed held nowhere: the first rule leaves nothing critical for it.
    let seen = asked(watched.id, NOW, to).await;
    assert_eq!((&seen["matched"], &seen["applied"]), (&json!(0), &json!(0)));
    // What is taken back later does not change what is said of the period; of the next it is.
    let of = RevokeOf::Rule { rule: rule.id, from: None, to: None };
    let request = RevokeRequest { of, mode: RevokeMode::Safe, turn_off: false, sweep: false, reason: None };
    world.domain.rule_revoke(world.acme.author(), request).await.unwrap();
    world.clock.advance(Span::HOUR);
    let now = world.clock.now();
    assert_eq!(asked(rule.id, from, to).await, held);
    let after = asked(rule.id, to, now).await;
    assert_eq!(
        [&after["withdrawn"], &after["heldAfter"], &after["exempted"]],
        [&json!(1), &json!(1), &json!(1)],
        "{after}"
    );
    // The archive says the same.
    let archive = fetched(&wire, &from.to_string(), &to.to_string()).await;
    let told = rows(&files(&archive), "conformance");
    let told = told.iter().find(|row| row["rule"] == json!(rule.id)).unwrap();
    assert_eq!((&told["matched"], &told["overridden"][0]["findings"]), (&json!(3), &json!(1)));
    // A period that does not end is refused, and so is a rule of others.
    let backwards =
        json!({ "rule": global(Noun::Rule, rule.id), "from": to.to_string(), "to": from.to_string() });
    assert_eq!(wire.answer(CONFORMANCE, backwards).await["errors"][0]["extensions"]["code"], "INVALID");
    let globex = wire.with(&world.globex.person(Role::Auditor).token);
    let variables =
        json!({ "rule": global(Noun::Rule, rule.id), "from": from.to_string(), "to": to.to_string() });
    assert_eq!(globex.answer(CONFORMANCE, variables).await["errors"][0]["extensions"]["code"], "NOT_FOUND");
    world.assert_ledger_whole().await;
}
