//! Evidence of a period: what is in the archive, who gets it, and that every byte of it is proved.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use domain::access::{Portfolio, Role};
use domain::evidence::verify::{Fault, verify};
use domain::finding::acceptance::Terms;
use domain::finding::edit::Edit;
use domain::finding::layers::RevokeMode;
use domain::gateway::folder::signing_key;
use domain::gateway::signing::SigningKey;
use domain::inventory::membership::MembershipChange;
use domain::inventory::service_account::ServiceAccountChange;
use domain::policy::Policy;
use domain::rule::RuleDraft;
use domain::rule::exemption::Clearing;
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
    what_could_not_be_decided_is_counted,
    what_stood_at_the_end_of_the_period_is_told,
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
        "rule_errors",
        "policy_changes",
        "change_policy",
        "service_accounts",
        "change_requests",
        "change_request_findings",
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
    rule { name } heldBefore heldAfter matched applied changed withdrawn observed exempted errored overridden { name findings } } }";

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
        "withdrawn": 1, "observed": 0, "exempted": 0, "errored": 0, "overridden": [{ "name": "Acme ANALYST", "findings": 1 }] });
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

async fn what_could_not_be_decided_is_counted(world: &World) {
    let critical = json!({ "field": "severity", "operator": "eq", "value": "critical" });
    let high = json!({ "type": "override_severity", "config": { "severity": "high" } });
    let rule = world.rule("Calm", 1, critical.clone(), high.clone()).await;
    world.import_lines(&[line("a")]).await;
    world.clock.advance(Span::HOUR);
    let from = world.clock.now();
    // A release that no longer reads the criteria: what was said stays, and nothing new is.
    world.garble_rule(rule.id).await;
    world.rule("Other", 2, json!({ "field": "title", "operator": "eq", "value": "x" }), high).await;
    world.import_lines(&[line("a"), line("b")]).await;
    world.sweep().await;
    let shown = async |title: &str| world.finding(title).await.shown.severity;
    assert_eq!((shown("a").await, shown("b").await), (Severity::High, Severity::Critical));
    world.clock.advance(Span::HOUR);
    let to = world.clock.now();
    let wire = Wire::of(world, world.acme.person(Role::Auditor)).await;
    let period =
        json!({ "rule": global(Noun::Rule, rule.id), "from": from.to_string(), "to": to.to_string() });
    let held = wire.ask(CONFORMANCE, period).await["ruleConformance"].clone();
    assert_eq!(
        [&held["errored"], &held["matched"], &held["applied"]],
        [&json!(2), &json!(1), &json!(0)],
        "two findings, however often their turn came"
    );
    let files = files(&fetched(&wire, &from.to_string(), &to.to_string()).await);
    let told = rows(&files, "conformance").into_iter().find(|row| row["rule"] == json!(rule.id)).unwrap();
    assert_eq!(told["errored"], 2);
    let errors = rows(&files, "rule_errors");
    assert!(!errors.is_empty() && errors.iter().all(|row| row["record"] == json!(rule.id)));
    assert_eq!(errors[0]["after"]["hash"], json!(rule.content_hash));
    assert!(rows(&files, "rule_changes").iter().all(|row| row["action"] != "rule.errored"));
    world.assert_ledger_whole().await;
}

/// Everything that an archive tells of its period is changed once in it, and once more after it.
async fn what_stood_at_the_end_of_the_period_is_told(world: &World) {
    let (domain, admin, author) = (&world.domain, world.acme.admin(), world.acme.author());
    let critical = json!({ "field": "severity", "operator": "eq", "value": "critical" });
    let high = json!({ "type": "override_severity", "config": { "severity": "high" } });
    let rule = world.rule("Calm", 1, critical, high).await;
    world.import_lines(&["a", "b", "c"].map(line)).await;
    let ids = [world.finding("a").await.id, world.finding("b").await.id, world.finding("c").await.id];
    let accept = async |finding: Uuid, reason: &str| {
        let terms = Terms { reason: reason.to_owned(), reference: None, owner: None, until: None };
        domain.finding_edit(world.acme.analyst(), finding, None, Edit::Accept(terms)).await.unwrap()
    };
    let open = |finding: Uuid| world.edit(finding, Edit::SetStatus { status: Status::Open, reason: None });
    let revoke = async || {
        let of = RevokeOf::Rule { rule: rule.id, from: None, to: None };
        let request =
            RevokeRequest { of, mode: RevokeMode::Safe, turn_off: false, sweep: false, reason: None };
        domain.rule_revoke(author, request).await.unwrap().id
    };
    let clear = async || domain.rule_exemption_clear(author, Clearing::OfRule(rule.id)).await.unwrap();
    let later = |span: Span| world.clock.advance(span);
    let role = async |name: &str, role: Role| {
        let member = domain.membership_of(admin, world.acme.people[name].actor.id).await.unwrap();
        let change = MembershipChange { role: Some(role), portfolio: None };
        domain.membership_update(admin, member.id, member.version, change).await.unwrap()
    };
    let policy = async |policy: Policy| {
        let version = domain.change_policy(admin).await.unwrap().version;
        domain.change_policy_set(admin, version, policy).await.unwrap()
    };
    let robot = domain.service_account_create(admin, "robot", Role::Analyst, Portfolio::Whole).await.unwrap();

    // Before the period: an acceptance and exemptions that end before it, and one acceptance that does not.
    accept(ids[0], "Over by then.").await;
    open(ids[0]).await;
    accept(ids[1], "Held throughout.").await;
    revoke().await;
    clear().await;
    later(Span::HOUR);
    let from = world.clock.now();

    // In it.
    world.sweep().await;
    let second = revoke().await;
    accept(ids[2], "In the period.").await;
    let dora = world.join("Dora", Role::Viewer).await.actor;
    role("VIEWER", Role::Auditor).await;
    let renamed = ServiceAccountChange { name: Some("clerk".to_owned()), ..ServiceAccountChange::default() };
    let robot = domain.service_account_update(admin, robot.id, robot.version, renamed).await.unwrap();
    policy(Policy { accepting_risk: true, ..Policy::default() }).await;
    let asked = accept(ids[0], "Asked for.").await.asked().unwrap();
    later(Span::HOUR);
    let to = world.clock.now();

    // After it: all of that is otherwise.
    clear().await;
    open(ids[2]).await;
    role("VIEWER", Role::Author).await;
    let member = domain.membership_of(admin, dora.id).await.unwrap();
    domain.membership_remove(admin, member.id, member.version).await.unwrap();
    world.join("Late", Role::Viewer).await;
    domain.service_account_archive(admin, robot.id, robot.version).await.unwrap();
    domain.service_account_create(admin, "later", Role::Viewer, Portfolio::Whole).await.unwrap();
    policy(Policy { accepting_risk: true, false_positive: true, ..Policy::default() }).await;
    let approver = &world.acme.person(Role::Approver).actor;
    domain.approval_reject(approver, asked.approval, "No.").await.unwrap();
    later(Span::HOUR);

    let wire = Wire::of(world, world.acme.person(Role::Auditor)).await;
    let files = files(&fetched(&wire, &from.to_string(), &to.to_string()).await);
    let told = |name: &str, columns: &[&str]| -> BTreeSet<String> {
        let row =
            |row: &Json| columns.iter().map(|column| row[*column].clone()).collect::<Json>().to_string();
        rows(&files, name).iter().map(row).collect()
    };
    let analyst = world.acme.analyst().id;
    let expected = [
        json!(["Held throughout.", ids[1], analyst, null]),
        json!(["In the period.", ids[2], analyst, "REOPENED"]),
    ];
    let acceptances = told("accepted_risks", &["reason", "finding", "accepted_by", "ended_how"]);
    assert_eq!(acceptances, expected.iter().map(Json::to_string).collect());

    let exemptions = rows(&files, "exemptions");
    assert_eq!(exemptions.len(), 2, "of the two that are active: {exemptions:?}");
    for row in &exemptions {
        assert_eq!((&row["revoke"], &row["author"]), (&json!(second), &json!(author.id)));
        assert_eq!((&row["ended_at"], &row["ended_how"]), (&json!(to), &json!("CLEARED")));
        assert_eq!((&row["ended_by"], &row["rule_changed_at"]), (&json!(author.id), &Json::Null));
    }
    let conformance = rows(&files, "conformance");
    let held = conformance.iter().find(|row| row["rule"] == json!(rule.id)).unwrap();
    assert_eq!(held["exempted"], 2, "though they were cleared since");

    let members = rows(&files, "members");
    let member = |name: &str| members.iter().find(|row| row["name"] == name);
    assert_eq!(member("Acme VIEWER").unwrap()["role"], "AUDITOR");
    let dora = member("Acme Dora").expect("she was a member then");
    assert_eq!((&dora["role"], &dora["email"]), (&json!("VIEWER"), &json!("dora@acme.example")));
    assert!(member("Acme Late").is_none() && member("Acme ADMIN").is_some());
    let accounts = told("service_accounts", &["name", "role", "archived"]);
    assert_eq!(accounts, BTreeSet::from([json!(["clerk", "ANALYST", false]).to_string()]));
    let stood = rows(&files, "change_policy");
    assert_eq!((&stood[0]["accepting_risk"], &stood[0]["false_positive"]), (&json!(true), &json!(false)));
    assert_eq!(rows(&files, "policy_changes").len(), 1);

    let requests = rows(&files, "change_requests");
    assert_eq!(
        (&requests[0]["request"], &requests[0]["gates"]),
        (&json!(asked.id), &json!(["ACCEPTING_RISK"]))
    );
    let of = told("change_request_findings", &["request", "finding"]);
    assert_eq!(of, BTreeSet::from([json!([asked.id, ids[0]]).to_string()]));

    // A period in which nothing of it was yet.
    let before = files_of_nothing(&wire).await;
    for name in ["accepted_risks", "exemptions", "change_requests", "members", "service_accounts"] {
        assert_eq!(rows(&before, name).len(), 0, "{name}");
    }
    assert_eq!(rows(&before, "change_policy")[0]["accepting_risk"], false);
    world.assert_ledger_whole().await;
}

/// The archive of a day before there was anything.
async fn files_of_nothing(wire: &Wire) -> BTreeMap<String, Vec<u8>> {
    let (from, to) = (NOW.minus(Span::WEEK), NOW.minus(Span::DAY));
    files(&fetched(wire, &from.to_string(), &to.to_string()).await)
}
