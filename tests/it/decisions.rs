//! Decisions leave as documents of VEX, and come back in as the same decisions.

mod documents;

use std::collections::BTreeMap;

use domain::access::{Actor, Role};
use domain::finding::edit::Edit;
use domain::finding::facts::Finding;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intake::vex::{self, Vocabulary};
use domain::inventory::project::NewProject;
use domain::inventory::view::{NewView, ViewNoun};
use domain::job::JobState;
use domain::ledger::audit::AuditFilter;
use domain::rule::pass::Mode;
use domain::vocabulary::terms::{Justification, Status};
use domain::vocabulary::time::Span;
use serde_json::{Value as Json, json};
use support::{Wire, World, content, on_both};
use uuid::Uuid;

use Status::{AcceptedRisk, Closed, FalsePositive, Fixed, InProgress, Open};

use crate::tenancy::calls::global;
use api::graphql::id::Noun;

on_both!(
    decisions_come_back_as_they_went,
    one_place_has_one_decision,
    pages_of_findings_make_one_document,
    what_is_selected_is_what_leaves,
    who_may_not_export_does_not,
);

const EXPORT: &str = "mutation($filter: Criteria, $view: ID, $project: ID, $format: FindingExportFormat!,
    $publisher: VexPublisherInput) { findingExport(filter: $filter, view: $view, project: $project, format: $format,
    publisher: $publisher) { url job { id } userErrors { code field } } }";

/// Each kind of document: its word, its vocabulary, the format that reads it, and what it has to be like.
type Kind = (&'static str, Vocabulary, Format, fn(&Json));
const KINDS: [Kind; 3] = [
    ("OPENVEX", Vocabulary::OpenVex, Format::Openvex, documents::openvex),
    ("CYCLONEDX_VEX", Vocabulary::CycloneDx, Format::CyclonedxJson, documents::cyclonedx),
    ("CSAF_VEX", Vocabulary::Csaf, Format::Csaf, documents::csaf),
];

/// A finding on an asset: its title, its vulnerability, and what it was found in.
fn line(title: &str, asset: &str, cve: &str, component: Option<(&str, &str, Option<&str>)>) -> Json {
    let mut line = json!({ "scanner_reference": title, "title": title, "asset": asset, "severity": "high" });
    if !cve.is_empty() {
        line["cve_ids"] = json!(cve);
    }
    if let Some((name, version, purl)) = component {
        line["component_name"] = json!(name);
        line["component_version"] = json!(version);
        line["component_purl"] = purl.map_or(Json::Null, Json::from);
    }
    line
}

/// Findings of every kind of place.
fn found() -> Vec<Json> {
    let deb = |name: &'static str, purl: &'static str| Some((name, "1.0-1+b", Some(purl)));
    vec![
        line(
            "a",
            "web-01",
            "CVE-2026-0001",
            deb("liba", "pkg:deb/debian/liba@1.0-1+b?arch=amd64&distro=debian-12"),
        ),
        line(
            "b",
            "web-02",
            "CVE-2026-0001",
            deb("liba", "pkg:deb/debian/liba@1.0-1+b?arch=amd64&distro=debian-12"),
        ),
        line("c", "web-01", "CVE-2026-0002", deb("@scope/c", "pkg:npm/%40scope/c")),
        line("d", "web-01", "CVE-2026-0003", Some(("Odd name & Söhne", "2.1", None))),
        line("e", "/opt/My App", "CVE-2026-0004", None),
        line("f", "web-02", "CVE-2026-0004", None),
        line(
            "g",
            "registry.example/team/shop:2",
            "CVE-2026-0005",
            Some(("libg", "3", Some("pkg:golang/x.org/libg@3"))),
        ),
        line("GHSA-aaaa-bbbb-cccc", "web-01", "", Some(("libh", "4", None))),
        line("i", "web-01", "CVE-2026-0006", Some(("libi", "5", None))),
        line("j", "web-01", "CVE-2026-0007", Some(("libj", "6", None))),
        line("k", "web-01", "CVE-2026-0008", Some(("libk", "7", None))),
        line("l", "web-01", "CVE-2026-0009", Some(("libl", "8", None))),
        line("m", "web-01", "CVE-2026-0010", Some(("libm", "9", None))),
        line("no name", "web-01", "", None),
    ]
}

async fn import_lines(world: &World, project: Uuid, lines: &[Json]) {
    world.clock.advance(Span::SECOND);
    let report: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = ImportRequest { project, ..world.request("nightly") };
    let outcome = world.import(world.acme.analyst(), request, &report).await;
    assert_eq!(outcome.job.state, JobState::Completed, "{:?}", outcome.job.error);
}

async fn read_back(world: &World, format: Format, project: Uuid, document: &str) {
    world.clock.advance(Span::SECOND);
    let name = "decisions.json".to_owned();
    let request =
        ImportRequest { format: Some(format), mapping: None, project, name, ..world.request("decisions") };
    let outcome = world.import(world.acme.analyst(), request, document).await;
    assert_eq!(outcome.job.state, JobState::Completed, "{:?} {document}", outcome.job.error);
}

/// The findings of the probe in a project, by title.
async fn probed(world: &World, project: Uuid) -> BTreeMap<String, Finding> {
    let all = world.findings(world.acme.admin(), None).await.into_iter();
    let own = all.filter(|finding| finding.project == project && finding.evidence.scanner_source == "probe");
    own.map(|finding| (finding.shown.title.clone(), finding)).collect()
}

fn decision(finding: &Finding) -> (Status, Option<String>) {
    let verdict = finding.layers.status().verdict();
    (finding.shown.status, verdict.and_then(|entry| entry.value.justification.clone()))
}

async fn project(world: &World, name: &str) -> Uuid {
    let new = NewProject { name: name.to_owned(), description: None };
    world.domain.project_create(world.acme.admin(), new).await.unwrap().id
}

async fn decide(world: &World, finding: &Finding, status: Status, reason: Option<&str>) {
    // Whoever accepts a risk has to say why.
    let reason = reason.or((status == AcceptedRisk).then_some("Known.")).map(str::to_owned);
    world.edit(finding.id, Edit::SetStatus { status, reason }).await;
}

/// The file of an export over the wire.
async fn export(wire: &Wire, variables: Json) -> String {
    let asked = wire.done(EXPORT, variables).await;
    let (status, file) = wire.get(asked["url"].as_str().unwrap()).await;
    assert_eq!(status, 200, "{file}");
    file
}

/// Every kind of decision, by everybody who decides.
async fn decided(world: &World) {
    let home = world.acme.project;
    import_lines(world, home, &found()).await;
    let statement = |cve: &str, product: &str, component: &str, why: &str| {
        json!({ "vulnerability": { "name": cve }, "status": "not_affected", "justification": why, "status_notes": "We looked.",
            "products": [{ "@id": product, "subcomponents": [{ "@id": component }] }] })
    };
    let vendors = json!({ "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://vendor.example/1", "author": "The Vendor",
        "timestamp": "2026-11-21T08:00:00Z", "version": 1, "statements": [
            statement("CVE-2026-0001", "web-01", "pkg:deb/debian/liba", "vulnerable_code_not_in_execute_path"),
            statement("CVE-2026-0002", "web-01", "pkg:npm/%40scope/c", "inline_mitigations_already_exist"),
            statement("CVE-2026-0003", "web-01", "pkg:generic/Odd%20name%20%26%20S%C3%B6hne", "component_not_present") ] });
    read_back(world, Format::Openvex, home, &vendors.to_string()).await;
    let risk = json!({ "type": "accepted_risk", "config": { "reason": "protected_at_perimeter: behind the proxy" } });
    let k = json!({ "field": "title", "operator": "eq", "value": "k" });
    let rule = world.rule("Behind the proxy", 1, k, risk).await;
    world.sweep().await;
    let findings = probed(world, home).await;
    for (title, status, reason) in [
        ("b", AcceptedRisk, Some("It goes next month.\nAnn has looked.")),
        ("f", Fixed, None),
        ("g", FalsePositive, None),
        ("GHSA-aaaa-bbbb-cccc", AcceptedRisk, None),
        ("i", InProgress, None),
        ("j", Closed, None),
        ("l", AcceptedRisk, Some("inline_mitigations_already_exist")),
        ("no name", FalsePositive, None),
    ] {
        decide(world, &findings[title], status, reason).await;
    }
    // A justification of its own.
    let justification = Justification::ComponentNotPresent;
    let call_false = Edit::CallFalse { justification, reason: Some("nobody installed it".to_owned()) };
    world.edit(findings["e"].id, call_false).await;
    // It speaks no more of what comes, and what it said stays.
    world.domain.rule_set_mode(world.acme.author(), rule.id, None, Mode::Off).await.unwrap();
    assert_eq!(probed(world, home).await["k"].shown.status, AcceptedRisk);
}

async fn decisions_come_back_as_they_went(world: &World) {
    decided(world).await;
    let wire = Wire::of(world, world.acme.person(Role::Analyst)).await;
    let home = world.acme.project;
    let went = probed(world, home).await;
    // Where a person or a rule gave the reason, it says which of the words it was.
    let by_reason = [
        ("e", "component_not_present"),
        ("k", "protected_at_perimeter"),
        ("l", "inline_mitigations_already_exist"),
    ];
    let (variables, mut came_to) = (json!({ "project": global(Noun::Project, home) }), Vec::new());
    for (word, vocabulary, format, check) in KINDS {
        let mut variables = variables.clone();
        variables["format"] = json!(word);
        let file = export(&wire, variables).await;
        let document: Json =
            serde_json::from_str(&file).unwrap_or_else(|error| panic!("{word}: {error}: {file}"));
        check(&document);
        documents::by_schema(word, &file).await;
        for words in [
            "The Vendor",
            "We looked.",
            "It goes next month.",
            "Acme ANALYST",
            "rule 'Behind the proxy'",
            "behind the proxy",
        ] {
            assert!(file.contains(words), "{word} does not say {words}: {document:#}");
        }
        let elsewhere = project(world, word).await;
        import_lines(world, elsewhere, &found()).await;
        read_back(world, format, elsewhere, &file).await;
        let came = probed(world, elsewhere).await;
        assert_eq!(came.len(), went.len());
        for (title, finding) in &went {
            let (status, justification) = decision(finding);
            let given = by_reason.iter().find(|(of, _)| of == title).map(|(_, why)| (*why).to_owned());
            let why = justification.or(given);
            let expected = match status {
                _ if title == "no name" => (Open, None),
                Open | InProgress | Closed => (Open, None),
                status => {
                    let words = vex::words(vocabulary, status, why.as_deref()).unwrap();
                    let why = words.justification.filter(|why| *why != vex::RISK_ACCEPTED);
                    (status, why.map(str::to_owned))
                }
            };
            assert_eq!(decision(&came[title]), expected, "{word} {title}: {document:#}");
        }
        // What was read back says the same again.
        let mut again = json!({ "project": global(Noun::Project, elsewhere), "format": word });
        again["filter"] = json!({ "field": "scanner_source", "operator": "eq", "value": "probe" });
        let again = export(&wire, again).await;
        check(&serde_json::from_str(&again).unwrap());
        documents::by_schema(word, &again).await;
        came_to.push((word, elsewhere));
    }
    // Statements of their author come back in their own words.
    let b = |came: &BTreeMap<String, Finding>| came["b"].layers.status().verdict().unwrap().value.clone();
    for (word, elsewhere) in came_to {
        let verdict = b(&probed(world, elsewhere).await);
        assert_eq!(verdict.statement.as_deref(), Some("It goes next month.\nAnn has looked."), "{word}");
        assert_eq!(verdict.author.as_deref(), Some("Acme"));
    }
    world.assert_ledger_whole().await;
}

async fn one_place_has_one_decision(world: &World) {
    let home = world.acme.project;
    let lib = Some(("lib", "1", None));
    let mut lines = [
        line("first", "web-01", "CVE-2026-0001", lib),
        line("second", "web-01", "CVE-2026-0001", lib),
        line("third", "web-02", "CVE-2026-0001", lib),
        line("fourth", "web-02", "CVE-2026-0001", lib),
    ];
    lines[3]["cve_ids"] = json!(["CVE-2026-0001", "CVE-2026-0002"]);
    import_lines(world, home, &lines).await;
    let findings = probed(world, home).await;
    for (title, status) in [("first", FalsePositive), ("third", Fixed), ("fourth", AcceptedRisk)] {
        decide(world, &findings[title], status, None).await;
    }
    let wire = Wire::of(world, world.acme.person(Role::Analyst)).await;
    for (word, _, format, check) in KINDS {
        let file = export(&wire, json!({ "format": word, "project": global(Noun::Project, home) })).await;
        check(&serde_json::from_str(&file).unwrap());
        documents::by_schema(word, &file).await;
        let elsewhere = project(world, word).await;
        import_lines(world, elsewhere, &lines).await;
        read_back(world, format, elsewhere, &file).await;
        let came = probed(world, elsewhere).await;
        let statuses = ["first", "second", "third", "fourth"].map(|title| came[title].shown.status);
        assert_eq!(statuses, [Open, Open, AcceptedRisk, AcceptedRisk], "{word}: {file}");
    }
}

const MANY: u32 = 1_203;

async fn pages_of_findings_make_one_document(world: &World) {
    let lines: Vec<Json> = (0..MANY)
        .map(|at| {
            let (asset, cve) = (format!("host-{}", at % 401), format!("CVE-2026-{:04}", at / 1_000));
            line(&format!("f{at:04}"), &asset, &cve, Some((&format!("lib{at}"), "1", None)))
        })
        .collect();
    import_lines(world, world.acme.project, &lines).await;
    let wire = Wire::of(world, world.acme.person(Role::Viewer)).await;
    for (word, _, _, check) in KINDS {
        // One filter that SQL decides, and one that it does not.
        for filter in [Json::Null, json!({ "field": "title", "operator": "matches_regex", "value": "^f" })] {
            let asked = wire.done(EXPORT, json!({ "format": word, "filter": filter })).await;
            let (status, file) = wire.get(asked["url"].as_str().unwrap()).await;
            assert_eq!(status, 200, "{file}");
            let document: Json = serde_json::from_str(&file).unwrap();
            check(&document);
            let job = wire
                .ask("query($id: ID!) { job(id: $id) { state done } }", json!({ "id": asked["job"]["id"] }))
                .await;
            assert_eq!(job["job"], json!({ "state": "COMPLETED", "done": MANY }), "{word}");
            let said = match word {
                "OPENVEX" => document["statements"].as_array().unwrap().len(),
                "CYCLONEDX_VEX" => document["vulnerabilities"].as_array().unwrap().len(),
                _ => {
                    let all = document["vulnerabilities"].as_array().unwrap();
                    all.iter()
                        .map(|one| one["product_status"]["under_investigation"].as_array().unwrap().len())
                        .sum()
                }
            };
            assert_eq!(said, MANY as usize, "{word}");
        }
    }
}

async fn what_is_selected_is_what_leaves(world: &World) {
    let acme = &world.acme;
    import_lines(world, acme.project, &[line("in", "web-01", "CVE-2026-0001", None)]).await;
    import_lines(world, acme.other_project, &[line("out", "web-01", "CVE-2026-0002", None)]).await;
    let (analyst, narrow) = (acme.person(Role::Analyst), &acme.narrow);
    let view = |filter: Json, noun| NewView { name: format!("{noun} {filter}"), noun, filter, shared: false };
    let made = async |new| world.domain.view_create(&analyst.actor, new).await.unwrap().id;
    let first = made(view(
        json!({ "field": "cve_ids", "operator": "eq", "value": "CVE-2026-0001" }),
        ViewNoun::Findings,
    ))
    .await;
    let all = made(view(json!({}), ViewNoun::Findings)).await;
    let broken = made(view(json!({ "is": "nothing" }), ViewNoun::Findings)).await;
    let assets = made(view(json!({}), ViewNoun::Assets)).await;
    let foreign =
        NewView { name: "theirs".into(), noun: ViewNoun::Findings, filter: json!({}), shared: true };
    let foreign = world.domain.view_create(world.globex.admin(), foreign).await.unwrap().id;
    let wire = Wire::of(world, analyst).await;
    let (view, projects) =
        (|id| global(Noun::View, id), [acme.project, acme.other_project].map(|id| global(Noun::Project, id)));
    let names = |file: &str| ["CVE-2026-0001", "CVE-2026-0002"].map(|name| file.contains(name));
    for (said, expected) in [
        (json!({}), [true, true]),
        (json!({ "view": view(first) }), [true, false]),
        (json!({ "view": view(all) }), [true, true]),
        (json!({ "project": projects[1] }), [false, true]),
        (json!({ "view": view(all), "project": projects[0] }), [true, false]),
        (
            json!({ "filter": { "field": "title", "operator": "eq", "value": "out" }, "view": view(all) }),
            [false, true],
        ),
    ] {
        let mut variables = said.clone();
        variables["format"] = json!("OPENVEX");
        assert_eq!(names(&export(&wire, variables).await), expected, "{said}");
    }
    // Whoever sees one project takes out one.
    let file = export(&wire.with(&narrow.token), json!({ "format": "CSAF_VEX" })).await;
    assert_eq!(names(&file), [true, false]);

    for (said, code, field) in [
        (json!({ "view": view(foreign) }), "NOT_FOUND", "view"),
        (json!({ "view": view(broken) }), "CRITERIA_INVALID", "view"),
        (json!({ "view": view(assets) }), "INVALID", "view"),
        (json!({ "project": global(Noun::Project, world.globex.project) }), "NOT_FOUND", "project"),
        (json!({ "filter": { "logic": "OR", "conditions": [] } }), "CRITERIA_EMPTY", "filter"),
        (json!({ "publisher": { "name": "Us", "namespace": "here" } }), "INVALID", "publisher"),
        (json!({ "publisher": { "name": " " } }), "REQUIRED", "publisher"),
        (json!({ "format": "CSV", "publisher": { "name": "Us" } }), "INVALID", "publisher"),
    ] {
        let mut variables = json!({ "format": "OPENVEX" });
        variables.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let errors = wire.try_do(EXPORT, variables).await["userErrors"].clone();
        assert_eq!(
            (&errors[0]["code"], &errors[0]["field"][0]),
            (&json!(code), &json!(field)),
            "{said}: {errors}"
        );
    }

    // Both views select nothing together: a document of VEX that says nothing is none.
    let nothing = json!({ "view": view(first), "project": projects[1], "format": "CYCLONEDX_VEX" });
    let asked = wire.done(EXPORT, nothing).await;
    let (status, problem) = wire.get(asked["url"].as_str().unwrap()).await;
    assert_eq!((status, problem.contains("ILLEGAL_STATE")), (409, true), "{problem}");

    let publisher = json!({ "name": "Acme PSIRT", "namespace": "https://psirt.acme.example" });
    let file = export(&wire, json!({ "format": "CSAF_VEX", "publisher": publisher })).await;
    let document: Json = serde_json::from_str(&file).unwrap();
    assert_eq!(
        document["document"]["publisher"],
        json!({ "category": "vendor", "name": "Acme PSIRT", "namespace": "https://psirt.acme.example" })
    );
    // It is told who took out what.
    let requested = AuditFilter { action: Some("export.requested".to_owned()), ..AuditFilter::default() };
    let last = world.audit(&requested, 1).await.remove(0);
    assert_eq!((last.actor.id, &content(&last.after)["format"]), (analyst.actor.id, &json!("CSAF_VEX")));
    let fetched = AuditFilter { record: Some(last.record), ..AuditFilter::default() };
    let told: Vec<String> = world.audit(&fetched, 5).await.into_iter().map(|entry| entry.action).collect();
    assert_eq!(told, ["export.requested", "export.fetched"]);
}

async fn who_may_not_export_does_not(world: &World) {
    import_lines(world, world.acme.project, &[line("in", "web-01", "CVE-2026-0001", None)]).await;
    let wire = Wire::of(world, world.acme.person(Role::Auditor)).await;
    let file = export(&wire, json!({ "format": "OPENVEX" })).await;
    assert!(file.contains("CVE-2026-0001"));
    let reader =
        Actor { token_scopes: Some(vec![domain::access::Permission::Read]), ..world.acme.analyst().clone() };
    let refused =
        world.domain.finding_export(&reader, domain::finding::export::ExportRequest::default()).await;
    assert_eq!(refused.unwrap_err().code, domain::error::Code::Forbidden);
    let globex = wire.with(&world.globex.person(Role::Admin).token);
    let asked = globex.done(EXPORT, json!({ "format": "OPENVEX" })).await;
    assert_eq!(globex.get(asked["url"].as_str().unwrap()).await.0, 409, "they have nothing to say");
}
