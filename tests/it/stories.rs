//! Stories from a report to triaged findings, over real imports on both databases.

use std::time::Duration;

use domain::error::Code;
use domain::finding::edit::Edit;
use domain::finding::facts::Finding;
use domain::finding::layers::{Layer, Scalar, ScalarField, SetField};
use domain::finding::shown::Shown;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::inventory::asset::AssetChange;
use domain::inventory::scan::{ScanFilter, ScanStatus};
use domain::job::{JobFilter, JobKind, JobState};
use domain::ledger::audit::AuditFilter;
use domain::page::PageArgs;
use domain::rule::pass::{Mode, badges};
use domain::vocabulary::terms::Severity::{Critical, High, Low, Urgent};
use domain::vocabulary::terms::{Criticality, Severity, Status, Term};
use domain::vocabulary::time::Span;
use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use support::{Engine, World, content, draft, finished, on_both, upload};
use uuid::Uuid;

on_both!(
    a_person_speaks_over_a_rule,
    a_removed_tag_stays_removed,
    there_is_no_ratchet,
    the_same_report_twice_is_nothing,
    what_a_series_no_longer_names_is_closed,
    an_older_scan_changes_nothing,
    a_malformed_report_leaves_nothing,
    a_restart_goes_on_under_the_rules_that_live_then,
    another_server_asks_for_the_report_again,
    a_change_of_an_asset_runs_the_pass,
    a_new_rule_holds_after_a_sweep,
    observed_rules_are_recorded_and_change_nothing,
    every_action_says_its_part,
    changes_are_told_as_they_happen,
    other_tenants_see_nothing,
    two_servers_write_one_chain,
);

fn line(reference: &str, severity: Severity) -> Json {
    json!({ "scanner_reference": reference, "title": reference, "asset": "web-01", "severity": severity })
}

fn is(severity: Severity) -> Json {
    json!({ "field": "severity", "operator": "eq", "value": severity })
}

fn make(severity: Severity) -> Json {
    json!({ "type": "override_severity", "config": { "severity": severity } })
}

fn layers_of(finding: &Finding, field: ScalarField) -> Vec<(Layer, Option<Scalar>)> {
    finding.layers.stack(field).iter().map(|entry| (entry.source.layer, entry.value.clone())).collect()
}

/// The time goes on between two nights.
fn next_night(world: &World) {
    world.clock.advance(Span::DAY);
}

async fn actions_of(world: &World, record: Uuid) -> Vec<String> {
    world.told_of(record).await.into_iter().map(|entry| entry.action).collect()
}

async fn a_person_speaks_over_a_rule(world: &World) {
    let rule = world.rule("No Exploit Critical to High", 1, is(Critical), make(High)).await;
    assert_eq!(world.import_lines(&[line("a", Critical)]).await.counts(), [1, 0, 0, 0]);
    let finding = world.finding("a").await;
    assert_eq!(finding.shown.severity, High);
    assert_eq!(badges(&finding.layers)[0].0, rule.id);
    assert_eq!(actions_of(world, finding.id).await, ["finding.created", "finding.rule_applied"]);

    world.edit(finding.id, Edit::SetSeverity { severity: Low, reason: Some("no route".to_owned()) }).await;
    next_night(world);
    assert_eq!(world.import_lines(&[line("a", Urgent)]).await.counts(), [0, 1, 0, 0]);

    let finding = world.finding("a").await;
    assert_eq!(finding.shown.severity, Low);
    let said = |layer, severity| (layer, Some(Scalar::Severity(severity)));
    assert_eq!(
        layers_of(&finding, ScalarField::Severity),
        [said(Layer::Scanner, Urgent), said(Layer::Rule, High), said(Layer::Human, Low)]
    );
    assert_eq!(badges(&finding.layers), []);
    let told = world.told_of(finding.id).await;
    let actions: Vec<&str> = told.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        ["finding.created", "finding.rule_applied", "finding.updated", "finding.refreshed"],
        "the re-import is one entry"
    );
    assert_eq!(content(&told[2].cause), json!({ "reason": "no route" }));
    assert_eq!(content(&told[3].before)["severity"], "critical");
    assert_eq!(content(&told[3].after)["severity"], "urgent");

    let released = world.edit(finding.id, Edit::Release { fields: vec!["severity".to_owned()] }).await;
    assert_eq!(released.shown.severity, High, "what lies below a released word is shown again");
    world.sweep().await;
    assert_eq!(world.finding("a").await.shown.severity, Urgent, "and the next pass looks at it anew");
    world.assert_ledger_whole().await;
}

async fn a_removed_tag_stays_removed(world: &World) {
    let tag = json!({ "type": "append_tag", "config": { "tags": ["pci"] } });
    world.rule("Tag", 1, is(High), tag).await;
    let report = [line("a", High), line("b", High)];
    world.import_lines(&report).await;
    let finding = world.finding("a").await;
    assert_eq!(finding.shown.set(SetField::Tags), ["pci"]);
    world.edit(finding.id, Edit::Tag { add: vec![], remove: vec!["pci".to_owned()] }).await;
    let before = world.finding("a").await;
    next_night(world);
    assert_eq!(world.import_lines(&report).await.counts(), [0, 0, 2, 0]);
    let after = world.finding("a").await;
    assert!(after.shown.set(SetField::Tags).is_empty());
    assert_eq!((&after.layers, after.revision), (&before.layers, before.revision), "nothing was written");
    assert_eq!(world.finding("b").await.shown.set(SetField::Tags), ["pci"]);
    world.assert_ledger_whole().await;
}

async fn there_is_no_ratchet(world: &World) {
    world.rule("High to medium", 1, is(High), make(Severity::Medium)).await;
    world.rule("Critical to high", 2, is(Critical), make(High)).await;
    for night in 0..3 {
        let counts = world.import_lines(&[line("a", Critical)]).await.counts();
        assert_eq!(counts, if night == 0 { [1, 0, 0, 0] } else { [0, 0, 1, 0] });
        assert_eq!(world.finding("a").await.shown.severity, High);
        next_night(world);
    }
}

async fn the_same_report_twice_is_nothing(world: &World) {
    world.rule("Critical to high", 1, is(Critical), make(High)).await;
    let report: Vec<Json> = (0..40)
        .map(|at| {
            let mut line = line(&format!("finding {at}"), Severity::ALL[at % 6]);
            line["tags"] = json!(["b", "a"]);
            line["cvss_score"] = json!(9.8);
            line["description"] = json!("  spaces around, and a \u{0} in it ");
            line["cve_ids"] = json!(["CVE-2021-44228"]);
            line
        })
        .collect();
    assert_eq!(world.import_lines(&report).await.counts(), [40, 0, 0, 0]);
    let findings = world.findings(world.acme.admin(), None).await;
    let ledger = world.ledger().await;
    for again in 1..=2 {
        next_night(world);
        assert_eq!(world.import_lines(&report).await.counts(), [0, 0, 40, 0]);
        let now = world.ledger().await;
        // The import tells of itself, and of nothing else.
        let entries = world.audit(&AuditFilter::default(), now.0 - ledger.0).await;
        let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["import.started", "import.uploaded", "import.finished"].repeat(again));
        assert_eq!(now.1 - ledger.1, 2 * again as i64, "scan_started and scan_finished");
    }
    let after = world.findings(world.acme.admin(), None).await;
    for (before, after) in findings.iter().zip(&after) {
        assert_eq!(after.last_seen_at, before.last_seen_at.plus(Span(2 * Span::DAY.0)));
        assert_eq!(*after, Finding { last_seen_at: after.last_seen_at, ..before.clone() });
    }
    world.assert_ledger_whole().await;
}

async fn what_a_series_no_longer_names_is_closed(world: &World) {
    let status = async |title| world.finding(title).await.shown.status;
    let both = [line("a", High), line("b", High)];
    world.import_lines(&both).await;

    // A partial report, and one of another series, close nothing.
    for (series, complete) in [("nightly", false), ("weekly", true)] {
        next_night(world);
        let request = ImportRequest { complete, ..world.request(series) };
        let report = line("a", High).to_string();
        let outcome = world.import(world.acme.analyst(), request, &report).await;
        assert_eq!(outcome.counts(), [0, 0, 1, 0], "{series}");
    }
    assert_eq!(status("b").await, Status::Open);

    // The weekly series saw `a` last: the nightly one does not close it, but closes `b`.
    next_night(world);
    assert_eq!(world.import_lines(&[line("c", Low)]).await.counts()[0], 1);
    assert_eq!(status("b").await, Status::Fixed);
    let gone = world.finding("b").await;
    assert_eq!(
        actions_of(world, gone.id).await,
        ["finding.created", "finding.status_changed"],
        "the closing is audited"
    );

    // Seen again, it reopens; what a person called false does not.
    next_night(world);
    let analyst = world.acme.analyst();
    let false_positive = Edit::SetStatus { status: Status::FalsePositive, reason: None };
    world.edit(world.finding("c").await.id, false_positive).await;
    let counts = world.import_lines(&[line("a", High), line("b", High), line("c", Low)]).await.counts();
    assert_eq!(counts, [0, 1, 2, 0]);
    assert_eq!((status("b").await, status("c").await), (Status::Open, Status::FalsePositive));

    // A closing is not undone by the report that came before it.
    let closed = Edit::SetStatus { status: Status::Closed, reason: None };
    world.edit(world.finding("a").await.id, closed).await;
    world.import_lines(&both).await;
    assert_eq!(status("a").await, Status::Closed);
    next_night(world);
    world.import_lines(&both).await;
    assert_eq!(status("a").await, Status::Open);

    // And an archived rule of the lifecycle's table: a closed finding is not accepted.
    let b = world.finding("b").await.id;
    world.edit(b, Edit::SetStatus { status: Status::Closed, reason: None }).await;
    let accept = Edit::SetStatus { status: Status::AcceptedRisk, reason: Some("no".to_owned()) };
    let refused = world.domain.finding_edit(analyst, b, None, accept).await;
    assert_eq!(refused.expect_err("the table has no such move").code, Code::IllegalState);
    world.assert_ledger_whole().await;
}

/// A report of Trivy's with one vulnerability of each name, scanned at this time.
fn trivy(scanned_at: &str, found: &[(&str, &str)]) -> String {
    let vulnerabilities: Vec<Json> = found
        .iter()
        .map(|(id, severity)| {
            json!({ "VulnerabilityID": id, "PkgName": "openssl", "InstalledVersion": "1.1.1", "Title": id,
                    "Severity": severity })
        })
        .collect();
    json!({
        "SchemaVersion": 2, "CreatedAt": scanned_at, "ArtifactName": "shop:1", "ArtifactType": "container_image",
        "Results": [{ "Target": "shop:1 (debian 12)", "Class": "os-pkgs", "Type": "debian",
                      "Vulnerabilities": vulnerabilities }],
    })
    .to_string()
}

async fn an_older_scan_changes_nothing(world: &World) {
    let import = async |at: &str, found: &[(&str, &str)]| {
        let request = ImportRequest { format: None, mapping: None, series: None, ..world.request("") };
        let outcome = world.import(world.acme.analyst(), request, &trivy(at, found)).await;
        outcome.counts()
    };
    let newer = [("CVE-2022-0001", "HIGH"), ("CVE-2022-0002", "LOW")];
    assert_eq!(import("2026-11-20T00:00:00Z", &newer).await, [2, 0, 0, 0]);
    let before = world.findings(world.acme.admin(), None).await;
    assert_eq!(before[0].evidence.scanner_source, "trivy");
    let older = [("CVE-2022-0001", "CRITICAL")];
    assert_eq!(import("2026-11-19T00:00:00Z", &older).await, [0, 0, 1, 0]);
    assert_eq!(world.findings(world.acme.admin(), None).await, before, "neither refreshed nor closed");
    let scans = world.domain.scans(world.acme.admin(), &ScanFilter::default(), &PageArgs::first(10)).await;
    let scans: Vec<_> = scans.expect("scans can be listed").nodes().collect();
    assert_eq!(scans.iter().map(|scan| scan.totals.total()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(scans[0].series, scans[1].series, "reports of the same assets complete each other");
}

async fn a_malformed_report_leaves_nothing(world: &World) {
    let good: Vec<String> = (0..700).map(|at| line(&format!("finding {at}"), High).to_string()).collect();
    let faults = [
        ("{\"title\": \"cut off", Code::ReportMalformed),
        ("{\"title\": \"a\", \"asset\": \"b\", \"severity\": \"dire\"}", Code::ReportMalformed),
        ("[1]", Code::ReportMalformed),
    ];
    for (fault, code) in faults {
        let ledger = world.ledger().await;
        let report = format!("{}\n{fault}", good.join("\n"));
        let outcome = world.import(world.acme.analyst(), world.request("nightly"), &report).await;
        assert_eq!(outcome.job.state, JobState::Failed);
        let error = outcome.job.error.expect("a failure has a reason");
        assert_eq!(error["code"], code.word(), "{error}");
        assert_eq!(error["line"], 701, "{error}");
        assert_eq!(world.findings(world.acme.admin(), None).await, []);
        let now = world.ledger().await;
        let entries = world.audit(&AuditFilter::default(), now.0 - ledger.0).await;
        let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["import.started", "import.uploaded", "job.failed"]);
    }
    let scans = world.domain.scans(world.acme.admin(), &ScanFilter::default(), &PageArgs::first(10)).await;
    assert!(scans.expect("scans can be listed").nodes().all(|scan| scan.status == ScanStatus::Failed));
    world.assert_ledger_whole().await;
}

/// How many findings an import has that is to be cut off: several chunks.
const MANY: usize = 4_000;

fn many() -> String {
    (0..MANY).map(|at| format!("{}\n", line(&format!("finding {at:04}"), Critical))).collect()
}

/// Starts an import of many findings and stops the server after some of its chunks. Returns the
/// job and how many findings it had stored.
async fn cut_off(world: &World) -> (Uuid, usize) {
    let analyst = world.acme.analyst();
    world.import_lines(&[line("an old one", Low)]).await;
    next_night(world);
    let job = upload(&world.domain, analyst, world.request("nightly"), many().as_bytes()).await;
    let steps = world.domain.job_steps(analyst, job, None).await.expect("the job can be followed");
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = steps.next().await {
        if step.expect("the steps can be read").progress.done > 0 {
            break;
        }
    }
    world.stop().await;
    let stored = world.findings(world.acme.admin(), Some(is_new())).await.len();
    let done = world.domain.job(analyst, job).await.expect("the job is there").done;
    assert_eq!(done, i64::try_from(stored).expect("it is small"), "whole chunks, and all that are counted");
    assert!(stored > 0 && stored < MANY, "the import was cut off in its middle: {stored}");
    (job, stored)
}

/// Findings of the report that is cut off.
fn is_new() -> Json {
    json!({ "field": "title", "operator": "starts_with", "value": "finding" })
}

async fn a_restart_goes_on_under_the_rules_that_live_then(world: &World) {
    let rule = world.rule("Critical to high", 1, is(Critical), make(High)).await;
    let (job, stored) = cut_off(world).await;
    let edited = draft("Critical to low", 1, is(Critical), make(Low));
    let author = world.acme.author();
    world.domain.rule_update(author, rule.id, rule.version, edited).await.expect("the edit is in order");

    world.start(0).await;
    let job = finished(&world.domain, world.acme.analyst(), job).await;
    assert_eq!(job.state, JobState::Completed, "{:?}", job.error);
    assert_eq!(job.counts["created"], MANY);
    let findings = world.findings(world.acme.admin(), Some(is_new())).await;
    assert_eq!(findings.len(), MANY, "none is missing or there twice");
    let (old, new) = findings.split_at(stored);
    assert!(old.iter().all(|finding| finding.shown.severity == High), "the first chunks stay as they were");
    assert!(new.iter().all(|finding| finding.shown.severity == Low), "the others follow the rule of now");
    let applied = world.told_of(new[0].id).await.remove(1);
    assert_eq!(content(&applied.cause)["version"], 2, "and say which version it was");
    assert_eq!(world.finding("an old one").await.shown.status, Status::Fixed);
    world.sweep().await;
    let findings = world.findings(world.acme.admin(), Some(is_new())).await;
    assert!(findings.iter().all(|finding| finding.shown.severity == Low));
    world.assert_ledger_whole().await;
}

async fn another_server_asks_for_the_report_again(world: &World) {
    let (job, stored) = cut_off(world).await;
    // The first server's claim has to run out.
    world.clock.advance(Span(2 * Span::MINUTE.0));
    let other = world.start(1).await;
    let analyst = world.acme.analyst();
    let job = finished(&world.domain, analyst, job).await;
    assert_eq!(job.state, JobState::Failed);
    let error = job.error.expect("a failure has a reason");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("upload it again")), "{error}");
    assert_eq!(world.findings(analyst, Some(is_new())).await.len(), stored, "whole chunks stay");
    assert_eq!(world.finding("an old one").await.shown.status, Status::Open, "nothing is closed");

    next_night(world);
    let again = upload(&other, analyst, world.request("nightly"), many().as_bytes()).await;
    let again = finished(&other, analyst, again).await;
    assert_eq!(again.state, JobState::Completed, "{:?}", again.error);
    assert_eq!(again.counts["created"], MANY - stored);
    assert_eq!(world.finding("an old one").await.shown.status, Status::Fixed);
    world.assert_ledger_whole().await;
}

async fn a_change_of_an_asset_runs_the_pass(world: &World) {
    let critical = json!({ "field": "asset_criticality", "operator": "gte_ord", "value": "critical" });
    world.rule("Crown jewels", 1, critical, make(Urgent)).await;
    world.import_lines(&[line("a", Low)]).await;
    let finding = world.finding("a").await;
    assert_eq!(finding.shown.severity, Low);
    let analyst = world.acme.analyst();
    for (version, (criticality, shown)) in
        [(Some(Criticality::Critical), Urgent), (None, Low)].iter().enumerate()
    {
        let change = AssetChange { criticality: Some(*criticality), ..AssetChange::default() };
        let version = i64::try_from(version).expect("it is small") + 1;
        world.domain.asset_update(analyst, finding.asset, version, change).await.expect("it can be changed");
        let filter = JobFilter { kinds: vec![JobKind::Sweep], ..JobFilter::default() };
        let jobs =
            world.domain.jobs(analyst, &filter, &PageArgs::first(10)).await.expect("jobs can be listed");
        let job = jobs.nodes().next().expect("the change starts a sweep");
        assert_eq!(job.params["asset"], json!(finding.asset));
        assert_eq!(finished(&world.domain, analyst, job.id).await.state, JobState::Completed);
        assert_eq!(world.finding("a").await.shown.severity, *shown);
    }
    world.assert_ledger_whole().await;
}

async fn a_new_rule_holds_after_a_sweep(world: &World) {
    let report: Vec<Json> = (0..600).map(|at| line(&format!("finding {at}"), Critical)).collect();
    world.import_lines(&report).await;
    let rule = world.rule("Critical to high", 1, is(Critical), make(High)).await;
    let job = world.sweep().await;
    assert_eq!((job.state, job.done, &job.counts["changed"]), (JobState::Completed, 600, &json!(600)));
    assert_eq!(world.findings(world.acme.admin(), Some(is(High))).await.len(), 600);
    let events = world.ledger().await.1;
    assert_eq!(world.sweep().await.counts["changed"], 0);
    assert_eq!(world.ledger().await.1, events, "a second sweep has nothing to tell");
    // What a rule said stays when it is turned off, and goes when it no longer matches.
    let author = world.acme.author();
    let off =
        world.domain.rule_set_mode(author, rule.id, None, Mode::Off).await.expect("it can be turned off");
    assert_eq!(world.sweep().await.counts["changed"], 0);
    let edited = draft("Urgent to high", 1, is(Urgent), make(High));
    world.domain.rule_update(author, rule.id, off.version, edited).await.expect("the edit is in order");
    assert_eq!(world.sweep().await.counts["changed"], 600);
    assert_eq!(world.findings(world.acme.admin(), Some(is(Critical))).await.len(), 600);
    world.assert_ledger_whole().await;
}

async fn observed_rules_are_recorded_and_change_nothing(world: &World) {
    let observed =
        domain::rule::RuleDraft { mode: Mode::Observe, ..draft("Try", 1, is(Critical), make(High)) };
    let author = world.acme.author();
    let rule = world.domain.rule_create(author, observed).await.expect("the rule is in order");
    world.import_lines(&[line("a", Critical)]).await;
    let finding = world.finding("a").await;
    assert_eq!(finding.shown.severity, Critical);
    assert!(finding.layers.observed().contains_key(&rule.id));
    assert_eq!(actions_of(world, finding.id).await, ["finding.created", "finding.rule_observed"]);
    world.domain.rule_set_mode(author, rule.id, None, Mode::Enforce).await.expect("it can be enforced");
    world.sweep().await;
    let finding = world.finding("a").await;
    assert_eq!(finding.shown.severity, High);
    assert!(finding.layers.observed().is_empty());
}

async fn every_action_says_its_part(world: &World) {
    let (analyst, team) = (world.acme.analyst().id, world.acme.team);
    let everything = json!({ "field": "asset_name", "operator": "eq", "value": "WEB-01" });
    let actions = [
        ("override_severity", json!({ "severity": "low" })),
        ("assign", json!({ "users": [analyst], "teams": [team] })),
        ("append_tag", json!({ "tags": ["pci", "edge"] })),
        ("set_vuln_type", json!({ "vulnerability_type": "injection" })),
        ("set_remediation", json!({ "remediation": "Upgrade.", "techniques": ["patch"] })),
        ("normalize_title", json!({})),
        ("accepted_risk", json!({ "reason": "no route", "until": "2026-12-01T00:00:00Z" })),
    ];
    assert_eq!(actions.len(), domain::rule::action::ACTIONS.len());
    for (order, (action, config)) in (0..).zip(&actions) {
        let action = json!({ "type": action, "config": config });
        world.rule(&action["type"].to_string(), order, everything.clone(), action).await;
    }
    let tautology = json!({ "field": "title", "operator": "is_not_empty" });
    let refused = world.domain.rule_create(world.acme.author(), draft("All", 9, tautology, make(Low))).await;
    assert_eq!(refused.expect_err("it matches everything").code, Code::CriteriaTautology);

    world.import_lines(&[line("the  SQL injection in openssl", High)]).await;
    let finding = world.findings(world.acme.admin(), None).await.remove(0);
    let shown = &finding.shown;
    assert_eq!((shown.severity, shown.status), (Low, Status::AcceptedRisk));
    assert_eq!(shown.title, "The SQL Injection in Openssl");
    assert_eq!(shown.set(SetField::AssignedUsers), [analyst.to_string()]);
    assert_eq!(shown.set(SetField::AssignedTeams), [team.to_string()]);
    assert_eq!(shown.set(SetField::Tags), ["edge", "pci"]);
    assert_eq!(shown.set(SetField::RemediationTechniques), ["patch"]);
    let texts = (shown.vulnerability_type.as_deref(), shown.remediation.as_deref());
    assert_eq!(texts, (Some("injection"), Some("Upgrade.")));
    assert_eq!(badges(&finding.layers).len(), 10);
    assert_eq!(actions_of(world, finding.id).await.len(), 8, "one entry for each application");

    // An acceptance ends with its date, at the next pass.
    world.clock.advance(Span(30 * Span::DAY.0));
    world.sweep().await;
    assert_eq!(world.findings(world.acme.admin(), None).await.remove(0).shown.status, Status::Open);
}

async fn changes_are_told_as_they_happen(world: &World) {
    let analyst = world.acme.analyst();
    world.rule("Critical to high", 1, is(Critical), make(High)).await;
    let filter = world.domain.finding_filter(Some(&is(High))).expect("the filter is in order");
    let start = world.domain.event_seq(analyst).await.expect("events can be read");
    world.import_lines(&[line("a", Critical), line("b", Low)]).await;
    let (a, b) = (world.finding("a").await.id, world.finding("b").await.id);
    world.edit(b, Edit::SetSeverity { severity: High, reason: None }).await;
    let assign = Edit::Assign {
        add_users: vec![analyst.id],
        add_teams: vec![],
        remove_users: vec![],
        remove_teams: vec![],
    };
    world.edit(a, assign).await;
    world.edit(a, Edit::SetStatus { status: Status::InProgress, reason: None }).await;
    world.domain.finding_comment(analyst, a, "Looking.").await.expect("the comment is in order");
    world.edit(b, Edit::SetSeverity { severity: Low, reason: None }).await;

    let changes = world.domain.finding_changes(analyst, filter, Some(start)).await;
    let mut changes = std::pin::pin!(changes.expect("the cursor is in order"));
    let mut told = Vec::new();
    while told.len() < 7 {
        let batch = tokio::time::timeout(Duration::from_secs(120), changes.next()).await;
        let batch = batch.unwrap_or_else(|_| panic!("no more is told than {told:?}"));
        let batch = batch.expect("the stream goes on").expect("events can be read");
        told.extend(batch.into_iter().map(|change| (change.seq, change.finding.id, change.event)));
    }
    let numbers: Vec<i64> = told.iter().map(|(seq, ..)| *seq).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "in the order of the ledger: {numbers:?}");
    let of = |id| {
        told.iter().filter(|(_, of, _)| *of == id).map(|(_, _, event)| event.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(
        of(a),
        [
            "finding_rule_applied",
            "finding_created",
            "finding_assigned",
            "finding_status_changed",
            "finding_note_added"
        ]
    );
    assert_eq!(
        of(b),
        ["finding_updated", "finding_updated"],
        "what never passed the filter is not told as new"
    );

    // Whoever comes back with the last cursor misses nothing and sees nothing twice.
    let filter = world.domain.finding_filter(None).expect("no filter is in order");
    let after = told[told.len() - 2].0;
    let again = world.domain.finding_changes(analyst, filter, Some(after)).await;
    let mut again = std::pin::pin!(again.expect("the cursor is in order"));
    let rest = again.next().await.expect("the stream goes on").expect("events can be read");
    assert_eq!(rest.iter().map(|change| change.seq).collect::<Vec<_>>(), numbers[numbers.len() - 1..]);
}

async fn other_tenants_see_nothing(world: &World) {
    world.import_lines(&[line("a", Critical)]).await;
    let mut request = world.request("nightly");
    request.project = world.acme.other_project;
    world.import(world.acme.analyst(), request, &line("b", High).to_string()).await;
    let (a, b) = (world.finding("a").await, world.finding("b").await);

    let stranger = world.globex.admin();
    assert_eq!(world.findings(stranger, None).await, []);
    assert_eq!(world.findings(&world.acme.narrow.actor, None).await.len(), 1);
    let no_such_id = Uuid::from_u128(7);
    for (actor, finding) in [(stranger, &a), (&world.acme.narrow.actor, &b)] {
        let missing = world.domain.finding(actor, no_such_id).await.expect_err("there is no such id");
        let hidden = world.domain.finding(actor, finding.id).await.expect_err("it is out of sight");
        assert_eq!((hidden.code, &hidden.message), (missing.code, &missing.message));
        let edit = Edit::SetSeverity { severity: Low, reason: None };
        let missing = world.domain.finding_edit(actor, no_such_id, None, edit.clone()).await;
        let hidden = world.domain.finding_edit(actor, finding.id, None, edit).await;
        let (missing, hidden) = (missing.expect_err("there is none"), hidden.expect_err("it is hidden"));
        assert_eq!((hidden.code, &hidden.message), (missing.code, &missing.message));
    }
    let mut request = world.request("nightly");
    request.format = Some(Format::Jsonl);
    let refused = world.domain.import_start(stranger, request).await.expect_err("the project is not theirs");
    assert_eq!(refused.code, Code::NotFound);
    let viewer = world.acme.person(domain::access::Role::Viewer);
    let refused = world.domain.finding_edit(
        &viewer.actor,
        a.id,
        None,
        Edit::Release { fields: vec!["tags".to_owned()] },
    );
    assert_eq!(refused.await.expect_err("viewers read").code, Code::Forbidden);
}

async fn two_servers_write_one_chain(world: &World) {
    const FINDINGS: usize = 1_500;
    // SQLite has one server.
    if world.engine == Engine::Sqlite {
        return;
    }
    let other = world.start(1).await;
    world.rule("Critical to high", 1, is(Critical), make(High)).await;
    let report = |from: usize, severity| -> String {
        let lines = (from..from + FINDINGS).map(|at| line(&format!("finding {at:04}"), severity));
        lines.map(|line| format!("{line}\n")).collect()
    };
    // Both import, and most findings are in both reports; both edit what is there meanwhile.
    let import = async |domain: &domain::Domain, series: &str, from: usize, severity| {
        let request = ImportRequest { complete: false, ..world.request(series) };
        let actor = world.acme.analyst();
        let job = upload(domain, actor, request, report(from, severity).as_bytes()).await;
        let job = finished(domain, actor, job).await;
        assert_eq!(job.state, JobState::Completed, "{:?}", job.error);
        let count = |name: &str| job.counts[name].as_u64().expect("it is a count") as usize;
        assert_eq!(count("created") + count("changed") + count("unchanged"), FINDINGS);
        count("created")
    };
    let edits = async |domain: &domain::Domain, tag: &str| {
        let mut edited = 0;
        while edited < 60 {
            let filter = domain.finding_filter(None).expect("no filter is in order");
            let order = (domain::finding::query::FindingOrder::Severity, false);
            let page = domain.findings(world.acme.analyst(), &filter, order, &PageArgs::first(20)).await;
            for finding in page.expect("findings can be listed").nodes() {
                let edit = Edit::Tag { add: vec![format!("{tag}{edited}")], remove: vec![] };
                domain
                    .finding_edit(world.acme.analyst(), finding.id, None, edit)
                    .await
                    .expect("it is edited");
                edited += 1;
            }
            tokio::task::yield_now().await;
        }
    };
    let (first, second, (), (), ()) = tokio::join!(
        import(&world.domain, "one", 0, Critical),
        import(&other, "two", 500, High),
        edits(&world.domain, "x"),
        edits(&other, "y"),
        async {
            for order in 2..8 {
                let name = format!("Rule {order}");
                world.rule(&name, order, is(Low), make(Severity::Medium)).await;
            }
        },
    );
    let findings = world.findings(world.acme.admin(), None).await;
    assert_eq!(findings.len(), FINDINGS + 500);
    assert_eq!(first + second, FINDINGS + 500, "each finding was made once");
    for finding in &findings {
        assert_eq!(finding.shown, Shown::of(&finding.layers));
    }
    world.assert_ledger_whole().await;
    let (entries, events) = world.ledger().await;
    support::tell(&format!(
        "two servers on one PostgreSQL: {entries} entries and {events} events, one chain"
    ));
}
