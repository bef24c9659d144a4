//! VEX statements: what a document says of the findings of other reports.

use std::collections::BTreeMap;

use domain::access::{Actor, Role};
use domain::finding::edit::Edit;
use domain::finding::facts::Finding;
use domain::finding::layers::{Layer, Verdict};
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::inventory::asset::AssetChange;
use domain::job::{JobFilter, JobKind, JobState};
use domain::page::PageArgs;
use domain::vocabulary::terms::{Severity, Status};
use domain::vocabulary::time::Span;
use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use support::{Outcome, Wire, World, finished, on_both, upload};
use uuid::Uuid;

on_both!(
    statements_hold_for_findings_that_are_there_and_those_to_come,
    the_last_word_counts,
    people_and_rules_speak_over_them,
    every_format_of_statements_is_heard,
    other_names_of_a_vulnerability_are_known,
    an_import_that_is_cut_off_tells_the_rest,
    what_a_cancelled_import_left_is_told_by_the_next,
    ranges_of_versions_hold_where_they_are_understood,
    a_renamed_asset_hears_at_once,
);

const IMAGE: &str = "registry.example/team/shop:2";
const SHOP: &str = "pkg:oci/shop@sha256%3Aab12?repository_url=registry.example/team/shop";

/// A report of Trivy of so many vulnerabilities, each of a package of its own.
fn trivy(day: u8, names: &[&str]) -> String {
    let one = |(at, name): (usize, &&str)| {
        json!({ "VulnerabilityID": format!("CVE-2026-{:04}", at + 1), "PkgName": format!("lib{name}"),
            "InstalledVersion": "1.0", "Severity": "HIGH", "Title": name,
            "PkgIdentifier": { "PURL": format!("pkg:deb/debian/lib{name}@1.0?arch=amd64&distro=debian-12") } })
    };
    let found: Vec<Json> = names.iter().enumerate().map(one).collect();
    json!({ "SchemaVersion": 2, "ArtifactName": IMAGE, "ArtifactType": "container_image",
        "CreatedAt": format!("2026-11-{day:02}T00:00:00Z"),
        "Results": [{ "Target": "debian 12", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": found }] })
    .to_string()
}

/// An OpenVEX document of that day.
fn openvex(day: u8, statements: &[Json]) -> String {
    json!({ "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://shop.example/vex", "author": "The Shop",
        "timestamp": format!("2026-11-{day:02}T12:00:00Z"), "version": 1, "statements": statements })
    .to_string()
}

fn states(cve: u32, product: Json, status: &str, why: Option<&str>) -> Json {
    let mut statement = json!({ "vulnerability": { "name": format!("CVE-2026-{cve:04}") },
        "products": [product], "status": status });
    if let Some(why) = why {
        statement["justification"] = json!(why);
        statement["impact_statement"] = json!("We looked.");
    }
    statement
}

fn part_of_shop(component: &str) -> Json {
    json!({ "@id": SHOP, "subcomponents": [{ "@id": component }] })
}

/// What the shop says of the first four findings of [`trivy`], and of one of another product.
fn what_the_shop_says() -> Vec<Json> {
    vec![
        states(
            1,
            part_of_shop("pkg:deb/debian/liba@1.0"),
            "not_affected",
            Some("vulnerable_code_not_present"),
        ),
        states(
            2,
            json!({ "@id": "pkg:deb/debian/libb" }),
            "not_affected",
            Some("inline_mitigations_already_exist"),
        ),
        states(3, json!({ "@id": SHOP }), "fixed", None),
        states(4, part_of_shop("pkg:deb/debian/libd@2.0"), "not_affected", Some("component_not_present")),
        states(
            5,
            json!({ "@id": "pkg:oci/stall", "subcomponents": [{ "@id": "pkg:deb/debian/libe" }] }),
            "fixed",
            None,
        ),
    ]
}

const ALL: [&str; 5] = ["a", "b", "c", "d", "e"];

fn request(world: &World, format: Format, project: Uuid, series: &str) -> ImportRequest {
    let name = format!("{series}.json");
    ImportRequest { format: Some(format), mapping: None, project, name, ..world.request(series) }
}

async fn imported(world: &World, format: Format, project: Uuid, series: &str, report: &str) -> Outcome {
    world.clock.advance(Span::SECOND);
    let outcome = world.import(world.acme.analyst(), request(world, format, project, series), report).await;
    assert_eq!(outcome.job.state, JobState::Completed, "{:?}", outcome.job.error);
    outcome
}

/// How many findings of other reports heard something new.
fn told(outcome: &Outcome) -> i64 {
    outcome.job.counts["told"].as_i64().unwrap()
}

/// The findings of Trivy, or of JSON lines, in a project, by title.
async fn found(world: &World, actor: &Actor, project: Uuid) -> BTreeMap<String, Finding> {
    let all = world.findings(actor, None).await.into_iter();
    let of_scanner =
        |finding: &Finding| ["trivy", "probe"].contains(&finding.evidence.scanner_source.as_str());
    all.filter(|finding| finding.project == project && of_scanner(finding))
        .map(|finding| (finding.shown.title.clone(), finding))
        .collect()
}

async fn statuses(world: &World, actor: &Actor, project: Uuid) -> Vec<Status> {
    found(world, actor, project).await.values().map(|finding| finding.shown.status).collect()
}

use Status::{AcceptedRisk, FalsePositive, Fixed, InProgress, Open};

const LAYERS: &str =
    "query($filter: Criteria) { findings(first: 1, filter: $filter) { nodes { status layers { field
    entries { layer feed value shown justification statement author
        by { __typename ... on Scan { name format project { name } } } } } } } }";

async fn statements_hold_for_findings_that_are_there_and_those_to_come(world: &World) {
    let acme = &world.acme;
    let (before, after) = (acme.project, acme.other_project);
    let judged = vec![FalsePositive, AcceptedRisk, Fixed, Open, Open];
    let document = openvex(20, &what_the_shop_says());

    // The document first: findings are born with what it says.
    assert_eq!(told(&imported(world, Format::Openvex, before, "vex", &document).await), 0);
    imported(world, Format::TrivyJson, before, "nightly", &trivy(19, &ALL)).await;
    assert_eq!(statuses(world, acme.admin(), before).await, judged);
    let a = found(world, acme.admin(), before).await.remove("a").unwrap();
    let actions: Vec<String> = world.told_of(a.id).await.into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["finding.created", "finding.informed"]);

    // The report first, in a project of its own: the document of the other one does not reach it.
    imported(world, Format::TrivyJson, after, "nightly", &trivy(19, &ALL)).await;
    assert_eq!(statuses(world, acme.admin(), after).await, [Open; 5]);
    let globex = ImportRequest {
        project: world.globex.project,
        ..request(world, Format::TrivyJson, world.globex.project, "nightly")
    };
    world.import(world.globex.analyst(), globex, &trivy(19, &ALL)).await;
    assert_eq!(told(&imported(world, Format::Openvex, after, "vex", &document).await), 3);
    assert_eq!(statuses(world, acme.admin(), after).await, judged);
    assert_eq!(statuses(world, world.globex.admin(), world.globex.project).await, [Open; 5]);

    // The same again, and the report again: nothing but the imports themselves is told.
    for (format, series, report) in
        [(Format::Openvex, "vex", &document), (Format::TrivyJson, "nightly", &trivy(19, &ALL))]
    {
        let stood = world.ledger().await;
        let again = imported(world, format, after, series, report).await;
        assert_eq!((told(&again), again.created, again.changed), (0, 0, 0));
        let stands = world.ledger().await;
        assert_eq!((stands.0 - stood.0, stands.1 - stood.1), (3, 2), "{series}");
    }

    // Who said it and why is seen over the wire.
    let wire = Wire::of(world, acme.person(Role::Viewer)).await;
    let filter = json!({ "logic": "AND", "conditions": [
        { "field": "title", "operator": "eq", "value": "a" },
        { "field": "project", "operator": "eq", "value": before } ] });
    let seen = wire.ask(LAYERS, json!({ "filter": filter })).await["findings"]["nodes"][0].clone();
    assert_eq!(seen["status"], "FALSE_POSITIVE");
    let layers = seen["layers"].as_array().unwrap();
    let status = layers.iter().find(|layer| layer["field"] == "status").unwrap();
    assert_eq!(status["entries"][0]["layer"], "SCANNER");
    let entry = &status["entries"][1];
    assert_eq!(
        (&entry["layer"], &entry["value"], &entry["shown"]),
        (&json!("INTEL"), &json!("FALSE_POSITIVE"), &json!(true))
    );
    assert_eq!(
        (&entry["justification"], &entry["statement"], &entry["author"], &entry["feed"]),
        (&json!("vulnerable_code_not_present"), &json!("We looked."), &json!("The Shop"), &Json::Null)
    );
    assert_eq!((&entry["by"]["__typename"], &entry["by"]["name"]), (&json!("Scan"), &json!("vex.json")));

    // The statements are listed, for those who see the project.
    let listed = "query($filter: VexStatementFilterInput) { vexStatements(first: 2, filter: $filter) { totalCount
        nodes { vulnerability state status justification product componentName ofComponent saidAt scan { name } } } }";
    let all = wire.ask(listed, json!({})).await["vexStatements"].clone();
    assert_eq!(all["totalCount"], 10, "of two projects");
    let one = wire.ask(listed, json!({ "filter": { "vulnerability": "cve-2026-0001" } })).await;
    let one = &one["vexStatements"];
    assert_eq!(one["totalCount"], 2);
    assert_eq!(
        one["nodes"][0],
        json!({ "vulnerability": "CVE-2026-0001", "state": "not_affected", "status": "FALSE_POSITIVE",
            "justification": "vulnerable_code_not_present", "product": "pkg:oci/shop", "componentName": "liba",
            "ofComponent": true, "saidAt": "2026-11-20T12:00:00.000000Z", "scan": { "name": "vex.json" } })
    );
    let narrow = wire.with(&acme.narrow.token);
    assert_eq!(narrow.ask(listed, json!({})).await["vexStatements"]["totalCount"], 5);
    let globex = wire.with(&world.globex.person(Role::Admin).token);
    assert_eq!(globex.ask(listed, json!({})).await["vexStatements"]["totalCount"], 0);
    world.assert_ledger_whole().await;
}

async fn the_last_word_counts(world: &World) {
    let project = world.acme.project;
    imported(world, Format::TrivyJson, project, "nightly", &trivy(19, &ALL)).await;
    let all = openvex(10, &what_the_shop_says());
    assert_eq!(told(&imported(world, Format::Openvex, project, "vendor", &all).await), 3);
    let shown = async || statuses(world, world.acme.admin(), project).await;
    assert_eq!(shown().await, [FalsePositive, AcceptedRisk, Fixed, Open, Open]);

    // Somebody else says of two that they are affected: of one before the shop spoke, of one after.
    let affected = |cve, name: &str, at: &str| {
        let mut statement =
            states(cve, json!({ "@id": format!("pkg:deb/debian/lib{name}") }), "affected", None);
        statement["timestamp"] = json!(at);
        statement["action_statement"] = json!("Wait.");
        statement
    };
    let doubts = [affected(1, "a", "2026-11-01T00:00:00Z"), affected(2, "b", "2026-11-15T00:00:00Z")];
    assert_eq!(told(&imported(world, Format::Openvex, project, "doubts", &openvex(15, &doubts)).await), 1);
    assert_eq!(shown().await, [FalsePositive, Open, Fixed, Open, Open]);
    // An older document of the shop changes nothing, and nothing of what it says holds.
    let older = ImportRequest { complete: false, ..request(world, Format::Openvex, project, "vendor") };
    let report = openvex(9, &[states(1, part_of_shop("pkg:deb/debian/liba@1.0"), "affected", None)]);
    let outcome = world.import(world.acme.analyst(), older, &report).await;
    assert_eq!((outcome.job.state, told(&outcome)), (JobState::Completed, 0));
    assert_eq!(shown().await, [FalsePositive, Open, Fixed, Open, Open]);

    // The doubts are withdrawn by a complete document that has others.
    let others = openvex(16, &[affected(3, "z", "2026-11-16T00:00:00Z")]);
    assert_eq!(told(&imported(world, Format::Openvex, project, "doubts", &others).await), 1);
    assert_eq!(shown().await, [FalsePositive, AcceptedRisk, Fixed, Open, Open]);
    // The shop's next document says one thing otherwise, and says nothing more of another.
    let next = [
        states(2, json!({ "@id": "pkg:deb/debian/libb" }), "not_affected", Some("component_not_present")),
        states(3, json!({ "@id": SHOP }), "under_investigation", None),
    ];
    assert_eq!(told(&imported(world, Format::Openvex, project, "vendor", &openvex(18, &next)).await), 3);
    assert_eq!(shown().await, [Open, FalsePositive, Open, Open, Open]);
    let wire = Wire::of(world, world.acme.person(Role::Viewer)).await;
    let counted = wire.ask("{ vexStatements { totalCount } }", json!({})).await;
    assert_eq!(counted["vexStatements"]["totalCount"], 3, "what was withdrawn is gone");
    // A report that comes after all of it says the same.
    imported(world, Format::TrivyJson, project, "nightly", &trivy(20, &ALL)).await;
    assert_eq!(shown().await, [Open, FalsePositive, Open, Open, Open]);
    world.assert_ledger_whole().await;
}

async fn people_and_rules_speak_over_them(world: &World) {
    let project = world.acme.project;
    imported(world, Format::TrivyJson, project, "nightly", &trivy(19, &ALL)).await;
    imported(world, Format::Openvex, project, "vex", &openvex(10, &what_the_shop_says())).await;
    let shown = async |title: &str| found(world, world.acme.admin(), project).await.remove(title).unwrap();

    // A rule leaves what is not active as it is.
    let all = json!({ "field": "severity", "operator": "eq", "value": "high" });
    let low = json!({ "type": "override_severity", "config": { "severity": "low" } });
    world.rule("All low", 1, all, low).await;
    world.sweep().await;
    let severities: Vec<Severity> =
        found(world, world.acme.admin(), project).await.values().map(|one| one.shown.severity).collect();
    assert_eq!(severities, [Severity::High, Severity::High, Severity::High, Severity::Low, Severity::Low]);

    // What a person decides stays, whatever is said after.
    let a = shown("a").await;
    world.edit(a.id, Edit::SetStatus { status: InProgress, reason: None }).await;
    let fixed = [states(1, part_of_shop("pkg:deb/debian/liba@1.0"), "fixed", None)];
    assert_eq!(told(&imported(world, Format::Openvex, project, "vex", &openvex(12, &fixed)).await), 3);
    let a = shown("a").await;
    assert_eq!(a.shown.status, InProgress);
    let verdicts: Vec<(Layer, Status)> =
        a.layers.status().verdicts.entries().iter().map(|one| (one.source.layer, one.value.status)).collect();
    assert_eq!(verdicts, [(Layer::Intel, Fixed)], "it is heard all the same");
    // Released, the finding shows it; and what was withdrawn of another lets the rules speak again.
    world.edit(a.id, Edit::Release { fields: vec!["status".to_owned()] }).await;
    assert_eq!(shown("a").await.shown.status, Fixed);
    let c = shown("c").await;
    assert_eq!((c.shown.status, c.shown.severity), (Open, Severity::Low));
    assert!(!c.layers.has_intel());
    world.assert_ledger_whole().await;
}

async fn every_format_of_statements_is_heard(world: &World) {
    let project = world.acme.project;
    imported(world, Format::TrivyJson, project, "nightly", &trivy(19, &ALL)).await;
    let csaf = json!({
        "document": { "category": "csaf_vex", "csaf_version": "2.0", "title": "Shop", "publisher": { "name": "The Vendor",
                "category": "vendor", "namespace": "https://vendor.example" },
            "tracking": { "id": "V-1", "version": "1", "status": "final", "current_release_date": "2026-11-10T00:00:00Z",
                "initial_release_date": "2026-11-10T00:00:00Z", "revision_history": [] } },
        "product_tree": { "full_product_names": [
            { "product_id": "liba", "name": "liba 1.0", "product_identification_helper": { "purl": "pkg:deb/debian/liba@1.0" } },
            { "product_id": "shop", "name": "registry.example/team/shop" } ] },
        "vulnerabilities": [
            { "cve": "CVE-2026-0001", "product_status": { "known_not_affected": ["liba"] },
              "flags": [{ "label": "vulnerable_code_not_in_execute_path", "product_ids": ["liba"] }] },
            { "cve": "CVE-2026-0002", "product_status": { "fixed": ["shop"] } } ] })
    .to_string();
    assert_eq!(told(&imported(world, Format::Csaf, project, "csaf", &csaf).await), 2);
    let bom = |analysis: Json| {
        json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
            "metadata": { "timestamp": "2026-11-11T00:00:00Z", "supplier": { "name": "The Maker" },
                "component": { "type": "container", "bom-ref": "shop", "name": "registry.example/team/shop", "version": "2" } },
            "components": [{ "type": "library", "bom-ref": "c", "name": "libc", "version": "1.0", "purl": "pkg:deb/debian/libc@1.0" }],
            "vulnerabilities": [
                { "id": "CVE-2026-0003", "affects": [{ "ref": "c" }], "analysis": analysis },
                { "id": "CVE-2026-0004", "affects": [{ "ref": "shop" }] } ] })
        .to_string()
    };
    let accepted =
        json!({ "state": "not_affected", "justification": "protected_at_perimeter", "detail": "A wall." });
    assert_eq!(told(&imported(world, Format::CyclonedxJson, project, "bom", &bom(accepted)).await), 1);
    let all = found(world, world.acme.admin(), project).await;
    let verdict = |title: &str| -> Option<Verdict> {
        all[title].layers.status().verdict().map(|entry| entry.value.clone())
    };
    let said = |status, why: Option<&str>, statement: Option<&str>, author: &str| {
        let [justification, statement, author] =
            [why, statement, Some(author)].map(|text| text.map(str::to_owned));
        Some(Verdict { status, justification, statement, author })
    };
    assert_eq!(
        verdict("a"),
        said(FalsePositive, Some("vulnerable_code_not_in_execute_path"), None, "The Vendor")
    );
    assert_eq!(verdict("b"), said(Fixed, None, None, "The Vendor"));
    assert_eq!(
        verdict("c"),
        said(AcceptedRisk, Some("protected_at_perimeter"), Some("A wall."), "The Maker")
    );
    assert_eq!((verdict("d"), verdict("e")), (None, None), "without an analysis it is no statement");
    // A bill without an analysis takes the place of one that had it.
    let stands = bom(json!(null)).replace("2026-11-11", "2026-11-12");
    assert_eq!(told(&imported(world, Format::CyclonedxJson, project, "bom", &stands).await), 1);
    assert_eq!(statuses(world, world.acme.admin(), project).await, [FalsePositive, Fixed, Open, Open, Open]);
}

fn line(title: &str, reference: &str, cve: &str) -> Json {
    json!({ "scanner_reference": reference, "title": title, "asset": "web-01", "severity": "high", "cve_ids": cve,
        "component_name": "lib", "component_version": "1" })
}

async fn other_names_of_a_vulnerability_are_known(world: &World) {
    let project = world.acme.project;
    let lines = [
        line("by cve", "GHSA-aaaa-bbbb-cccc", "CVE-2026-0001"),
        line("by ghsa", "GHSA-dddd-eeee-ffff", ""),
        line("neither", "GHSA-gggg-hhhh-jjjj", ""),
    ];
    world.import_lines(&lines).await;
    let statement = json!({ "vulnerability": { "name": "CVE-2026-0002", "aliases": ["ghsa-dddd-eeee-ffff", "CVE-2026-0001"] },
        "products": [{ "@id": "lib" }], "status": "fixed" });
    let document = openvex(10, std::slice::from_ref(&statement));
    assert_eq!(told(&imported(world, Format::Openvex, project, "vex", &document).await), 2);
    assert_eq!(statuses(world, world.acme.admin(), project).await, [Fixed, Fixed, Open]);
    // Named for one asset, it does not hold for the findings of others.
    let elsewhere =
        ImportRequest { asset: Some("web-02".to_owned()), ..request(world, Format::Openvex, project, "vex") };
    let outcome = world.import(world.acme.analyst(), elsewhere, &openvex(11, &[statement])).await;
    // The third is the document's own finding, of which the earlier one spoke.
    assert_eq!((outcome.job.state, told(&outcome)), (JobState::Completed, 3));
    assert_eq!(statuses(world, world.acme.admin(), project).await, [Open; 3]);
}

const MANY: u32 = 1_200;

/// So many findings, and a document of which each hears one statement.
async fn many(world: &World) -> String {
    let lines: Vec<Json> = (0..MANY)
        .map(|at| line(&format!("f{at:04}"), &format!("r{at}"), &format!("CVE-2026-{at:04}")))
        .collect();
    world.import_lines(&lines).await;
    let statements: Vec<Json> =
        (0..MANY).map(|at| states(at, json!({ "@id": "lib" }), "fixed", None)).collect();
    openvex(10, &statements)
}

/// Uploads a document and waits until its findings begin to hear of it.
async fn begun(world: &World, document: &str) -> Uuid {
    let admin = world.acme.admin();
    let request = request(world, Format::Openvex, world.acme.project, "vex");
    let job = upload(&world.domain, admin, request, document.as_bytes()).await;
    let steps = world.domain.job_steps(admin, job, Some(0)).await.unwrap();
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = steps.next().await {
        if step.unwrap().progress.stage == "telling" {
            break;
        }
    }
    job
}

async fn all_heard_once(world: &World) {
    let found = found(world, world.acme.admin(), world.acme.project).await;
    assert_eq!(found.len(), MANY as usize);
    assert!(found.values().all(|finding| finding.shown.status == Fixed));
    assert!(found.values().all(|finding| finding.revision == 2), "each was written once");
    world.assert_ledger_whole().await;
}

async fn an_import_that_is_cut_off_tells_the_rest(world: &World) {
    let document = many(world).await;
    let job = begun(world, &document).await;
    world.stop().await;
    let domain = world.start(0).await;
    let ended = finished(&domain, world.acme.admin(), job).await;
    assert_eq!(
        (ended.state, &ended.counts["told"]),
        (JobState::Completed, &json!(MANY)),
        "{:?}",
        ended.error
    );
    all_heard_once(world).await;
}

async fn what_a_cancelled_import_left_is_told_by_the_next(world: &World) {
    let document = many(world).await;
    let job = begun(world, &document).await;
    // It may have come to its end just before: then there is nothing left.
    world.domain.job_cancel(world.acme.admin(), job).await.unwrap();
    let first = finished(&world.domain, world.acme.admin(), job).await;
    let heard = first.counts["told"].as_i64().unwrap();
    let next = imported(world, Format::Openvex, world.acme.project, "vex", &document).await;
    assert_eq!(told(&next), i64::from(MANY) - heard);
    all_heard_once(world).await;
}

async fn ranges_of_versions_hold_where_they_are_understood(world: &World) {
    let project = world.acme.project;
    imported(world, Format::TrivyJson, project, "nightly", &trivy(19, &ALL)).await;
    let affects = |name: &str, range: &str| {
        let purl = format!("pkg:deb/debian/lib{name}");
        (
            json!({ "type": "library", "bom-ref": name, "name": format!("lib{name}"), "purl": purl }),
            json!([{ "ref": name, "versions": [{ "range": range, "status": "unaffected" }] }]),
        )
    };
    let stated = [
        affects("a", "vers:deb/>=0.9|<1.0-2"),
        affects("b", "vers:deb/>1.0"),
        affects("c", "<1.0+deb12u1"),
        affects("d", "up to 1.0"),
        affects("e", "vers:none-such/<2"),
    ];
    let vulnerabilities: Vec<Json> = stated
        .iter()
        .enumerate()
        .map(|(at, (_, affects))| {
            json!({ "id": format!("CVE-2026-{:04}", at + 1), "affects": affects, "analysis": { "state": "not_affected" } })
        })
        .collect();
    let components: Vec<&Json> = stated.iter().map(|(component, _)| component).collect();
    let bom = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "timestamp": "2026-11-20T00:00:00Z" }, "components": components, "vulnerabilities": vulnerabilities });
    let outcome = imported(world, Format::CyclonedxJson, project, "bom", &bom.to_string()).await;
    assert_eq!((told(&outcome), outcome.job.counts["undecided"].as_i64()), (2, Some(2)));
    assert_eq!(
        statuses(world, world.acme.admin(), project).await,
        [FalsePositive, Open, FalsePositive, Open, Open]
    );

    // The same of a vendor's tree of products.
    let branch = |category: &str, name: &str, inside: Json| json!({ "category": category, "name": name, "branches": [inside] });
    let leaf = |id: &str, range: &str| json!({ "category": "product_version_range", "name": range, "product": { "product_id": id, "name": id } });
    let tree = [("b", "vers:deb/<=1.0"), ("d", "<2"), ("e", "1.0 and earlier")].map(|(name, range)| {
        branch("vendor", "Us", branch("product_name", &format!("lib{name}"), leaf(name, range)))
    });
    let not_affected = |cve: u32, id: &str| {
        json!({ "cve": format!("CVE-2026-{cve:04}"), "product_status": { "known_not_affected": [id] },
            "flags": [{ "label": "component_not_present", "product_ids": [id] }] })
    };
    let csaf = json!({
        "document": { "category": "csaf_vex", "csaf_version": "2.0", "title": "Us", "publisher": { "name": "Us",
                "category": "vendor", "namespace": "https://vendor.example" },
            "tracking": { "id": "V-1", "version": "1", "status": "final", "current_release_date": "2026-11-20T00:00:00Z",
                "initial_release_date": "2026-11-20T00:00:00Z", "revision_history": [] } },
        "product_tree": { "branches": tree },
        "vulnerabilities": [not_affected(2, "b"), not_affected(4, "d"), not_affected(5, "e")] });
    let outcome = imported(world, Format::Csaf, project, "csaf", &csaf.to_string()).await;
    assert_eq!((told(&outcome), outcome.job.counts["undecided"].as_i64()), (2, Some(1)));
    let judged = [FalsePositive, FalsePositive, FalsePositive, FalsePositive, Open];
    assert_eq!(statuses(world, world.acme.admin(), project).await, judged);
    // A newer version lies outside of all ranges but `>1.0`: the next report takes the verdicts back.
    let newer = trivy(21, &ALL).replace("\"1.0\"", "\"3.0\"").replace("@1.0?", "@3.0?");
    imported(world, Format::TrivyJson, project, "nightly", &newer).await;
    let judged = [Open, FalsePositive, Open, Open, Open];
    assert_eq!(statuses(world, world.acme.admin(), project).await, judged);
}

async fn a_renamed_asset_hears_at_once(world: &World) {
    let project = world.acme.project;
    imported(world, Format::TrivyJson, project, "nightly", &trivy(19, &ALL)).await;
    imported(world, Format::Openvex, project, "vex", &openvex(20, &what_the_shop_says())).await;
    let admin = world.acme.admin();
    let mut asset = found(world, admin, project).await["a"].asset;
    for (name, expected) in [
        ("registry.example/team/stall:7", [Open, AcceptedRisk, Open, Open, Open]),
        (IMAGE, [FalsePositive, AcceptedRisk, Fixed, Open, Open]),
    ] {
        let version = world.domain.asset(admin, asset).await.unwrap().version;
        let change = AssetChange { name: Some(name.to_owned()), ..AssetChange::default() };
        asset = world.domain.asset_update(admin, asset, version, change).await.unwrap().id;
        let filter = JobFilter { kinds: vec![JobKind::Sweep], ..JobFilter::default() };
        let sweep =
            world.domain.jobs(admin, &filter, &PageArgs::first(1)).await.unwrap().nodes().next().unwrap();
        assert_eq!(finished(&world.domain, admin, sweep.id).await.state, JobState::Completed);
        assert_eq!(statuses(world, admin, project).await, expected, "{name}");
        world.clock.advance(Span::SECOND);
    }
    world.assert_ledger_whole().await;
}
