//! The stories over the wire: GraphQL over HTTP, the upload, and the progress over a socket.

use std::collections::BTreeSet;

use domain::access::Role;
use domain::vocabulary::time::Span;
use serde_json::{Value as Json, json};
use support::{Wire, World, on_both};

on_both!(
    a_person_speaks_over_a_rule_over_the_wire,
    a_removed_tag_stays_removed_over_the_wire,
    there_is_no_ratchet_over_the_wire,
    the_same_report_again_is_nothing_over_the_wire,
    a_reader_that_comes_back_misses_nothing,
    a_change_is_made_on_what_was_seen_and_once,
    many_are_changed_by_a_job_that_is_watched,
    an_export_is_fetched_once,
    a_rule_is_tried_and_explained,
    a_malformed_report_is_told_where,
);

/// An author at work.
struct Desk<'a> {
    world: &'a World,
    wire: Wire,
    project: Json,
}

impl<'a> Desk<'a> {
    async fn of(world: &'a World) -> Self {
        let wire = Wire::of(world, world.acme.person(Role::Author)).await;
        let projects = wire.ask("{ projects { nodes { id name } } }", json!({})).await;
        let nodes = projects["projects"]["nodes"].as_array().expect("projects are listed").clone();
        let shop = nodes.into_iter().find(|project| project["name"] == "Web shop");
        Self { world, wire, project: shop.expect("it is there")["id"].clone() }
    }

    async fn rule(&self, name: &str, order: i32, criteria: Json, action: Json) {
        let input = json!({ "name": name, "order": order, "mode": "ENFORCE", "criteria": criteria, "action": action });
        let create = "mutation($input: RuleDraftInput!) {
            ruleCreate(input: $input) { rule { id } userErrors { code message field } } }";
        self.wire.done(create, json!({ "input": input })).await;
    }

    /// Asks for an import, uploads its report, and watches it to its end: its last step.
    async fn upload(&self, mut input: Json, report: String) -> Json {
        input["project"] = self.project.clone();
        input["name"] = json!("night");
        let start = "mutation($input: ImportStartInput!) {
            importStart(input: $input) { import { id } uploadUrl userErrors { code message field } } }";
        let started = self.wire.done(start, json!({ "input": input })).await;
        let url = started["uploadUrl"].as_str().expect("an import has a path for its report");
        self.wire.put(url, report).await;
        let watch = "subscription($id: ID!) { importProgress(id: $id) {
            cursor state stage done counts { name count } job { error { code message details } } } }";
        let steps = self.wire.watch(watch, json!({ "id": started["import"]["id"] })).await;
        steps.last().expect("an import has steps")["importProgress"].clone()
    }

    /// Imports a report of one finding, and returns the counts that the last step told.
    async fn import(&self, severity: &str) -> Json {
        self.import_all(&[("a", severity)]).await
    }

    /// The same of findings of these titles and severities.
    async fn import_all(&self, found: &[(&str, &str)]) -> Json {
        let last = self.upload(json!({ "format": "JSONL", "mapping": mapping() }), report(found)).await;
        assert_eq!((last["state"].as_str(), last["stage"].as_str()), (Some("COMPLETED"), Some("finished")));
        self.world.clock.advance(Span::DAY);
        let counts = last["counts"].as_array().expect("counts are listed");
        counts
            .iter()
            .map(|count| (count["name"].as_str().unwrap_or_default().to_owned(), count["count"].clone()))
            .collect()
    }

    async fn finding(&self) -> Json {
        let query =
            "{ findings(filter: {field: \"title\", operator: \"eq\", value: \"a\"}) { totalCount nodes {
            id severity tags badges { message } layers { field entries { layer value } } } } }";
        let found = self.wire.ask(query, json!({})).await["findings"].clone();
        assert_eq!(found["totalCount"], 1);
        found["nodes"][0].clone()
    }
}

fn mapping() -> Json {
    let columns = ["scanner_reference", "title", "asset", "severity"];
    let columns = columns.map(|field| json!({ "field": field, "column": field }));
    json!({ "columns": columns, "identity": ["scanner_reference"] })
}

/// JSON lines of findings of these titles and severities.
fn report(found: &[(&str, &str)]) -> String {
    let line = |(title, severity): &(&str, &str)| json!({ "scanner_reference": title, "title": title, "asset": "web-01", "severity": severity });
    found.iter().map(|found| format!("{}\n", line(found))).collect()
}

/// The titles `finding 0` and so on.
fn titles(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("finding {at}")).collect()
}

fn severity(of: &str, to: &str) -> (Json, Json) {
    let criteria = json!({ "field": "severity", "operator": "eq", "value": of });
    (criteria, json!({ "type": "override_severity", "config": { "severity": to } }))
}

async fn a_person_speaks_over_a_rule_over_the_wire(world: &World) {
    let desk = Desk::of(world).await;
    let (criteria, action) = severity("critical", "high");
    desk.rule("No Exploit Critical to High", 1, criteria, action).await;
    desk.import("critical").await;
    let finding = desk.finding().await;
    assert_eq!(finding["severity"], "HIGH");
    assert_eq!(
        finding["badges"][0]["message"],
        "Rule 'No Exploit Critical to High': severity critical to high"
    );
    let set = "mutation($id: ID!) {
        findingSetSeverity(id: $id, severity: LOW) { finding { severity } userErrors { code message field } } }";
    desk.wire.done(set, json!({ "id": finding["id"] })).await;
    assert_eq!(desk.import("urgent").await["changed"], 1);
    let finding = desk.finding().await;
    assert_eq!(finding["severity"], "LOW");
    assert_eq!(finding["badges"], json!([]));
    let layers = finding["layers"].as_array().expect("layers are listed");
    let layers = layers.iter().find(|layers| layers["field"] == "severity").expect("severity has layers");
    assert_eq!(
        layers["entries"],
        json!([
            { "layer": "SCANNER", "value": "urgent" },
            { "layer": "RULE", "value": "high" },
            { "layer": "HUMAN", "value": "low" },
        ])
    );
}

async fn a_removed_tag_stays_removed_over_the_wire(world: &World) {
    let desk = Desk::of(world).await;
    let (criteria, _) = severity("critical", "high");
    desk.rule("Tag", 1, criteria, json!({ "type": "append_tag", "config": { "tags": ["pci"] } })).await;
    desk.import("critical").await;
    let finding = desk.finding().await;
    assert_eq!(finding["tags"], json!(["pci"]));
    let untag = "mutation($id: ID!) {
        findingTag(id: $id, input: { remove: [\"pci\"] }) { finding { tags } userErrors { code message field } } }";
    desk.wire.done(untag, json!({ "id": finding["id"] })).await;
    assert_eq!(desk.import("critical").await["unchanged"], 1);
    assert_eq!(desk.finding().await["tags"], json!([]));
}

async fn there_is_no_ratchet_over_the_wire(world: &World) {
    let desk = Desk::of(world).await;
    for (order, (of, to)) in [("high", "medium"), ("critical", "high")].into_iter().enumerate() {
        let (criteria, action) = severity(of, to);
        let order = i32::try_from(order).expect("it is small");
        desk.rule(&format!("{of} to {to}"), order, criteria, action).await;
    }
    for night in 0..3 {
        let counts = desk.import("critical").await;
        assert_eq!(counts["created"], i32::from(night == 0));
        assert_eq!(desk.finding().await["severity"], "HIGH");
    }
}

async fn the_same_report_again_is_nothing_over_the_wire(world: &World) {
    let desk = Desk::of(world).await;
    let (criteria, action) = severity("critical", "high");
    desk.rule("Calm", 1, criteria, action).await;
    let titles = titles(40);
    let found: Vec<(&str, &str)> = titles.iter().map(|title| (title.as_str(), "critical")).collect();
    assert_eq!(desk.import_all(&found).await["created"], 40);
    let auditor = desk.wire.with(&world.acme.person(Role::Auditor).token);
    let entries = "{ auditEntries(first: 3) { totalCount nodes { action } } }";
    let before = auditor.ask(entries, json!({})).await["auditEntries"].clone();
    let list =
        "{ findings(first: 500, orderBy: { field: TITLE }) { nodes { id version severity updatedAt } } }";
    let findings = desk.wire.ask(list, json!({})).await;
    let mut changes = desk.wire.subscribe(CHANGES, json!({})).await;
    changes.item().await.expect("it opens with a snapshot");
    for again in 1..=2 {
        let counts = desk.import_all(&found).await;
        assert_eq!(
            (&counts["unchanged"], &counts["created"], &counts["changed"]),
            (&json!(40), &json!(0), &json!(0))
        );
        let after = auditor.ask(entries, json!({})).await["auditEntries"].clone();
        let entries = after["totalCount"].as_i64().zip(before["totalCount"].as_i64());
        assert_eq!(
            entries.map(|(after, before)| after - before),
            Some(3 * again),
            "of the import itself alone"
        );
        let actions = ["import.finished", "import.uploaded", "import.started"];
        assert_eq!(after["nodes"], json!(actions.map(|action| json!({ "action": action }))));
    }
    assert_eq!(desk.wire.ask(list, json!({})).await, findings);
    // Had the imports told of any finding, that would come before this.
    let first = &findings["findings"]["nodes"][0]["id"];
    tag(&desk.wire, first, "sentinel").await;
    let change = changes.item().await.expect("a change is told")["findingChanged"].clone();
    assert_eq!((&change["finding"]["id"], &change["event"]), (first, &json!("finding_updated")));
}

const CHANGES: &str = "subscription($filter: Criteria, $after: String) {
    findingChanged(filter: $filter, after: $after) {
        ... on FindingSnapshot { cursor } ... on FindingChange { cursor delta event finding { id title } } } }";

async fn tag(wire: &Wire, finding: &Json, tag: &str) {
    let add = "mutation($id: ID!, $tag: String!) {
        findingTag(id: $id, input: { add: [$tag] }) { userErrors { code message } } }";
    wire.done(add, json!({ "id": finding, "tag": tag })).await;
}

async fn a_reader_that_comes_back_misses_nothing(world: &World) {
    const FINDINGS: usize = 1_600;
    let desk = Desk::of(world).await;
    desk.import_all(&[("the last", "high")]).await;
    let last =
        desk.wire.ask("{ findings { nodes { id } } }", json!({})).await["findings"]["nodes"][0]["id"].clone();
    let filter = json!({ "field": "severity", "operator": "gte_ord", "value": "high" });
    let mut steady = desk.wire.subscribe(CHANGES, json!({ "filter": filter })).await;
    let opening = steady.item().await.expect("it opens with a snapshot")["findingChanged"]["cursor"].clone();

    // Every third finding is low, and passes no filter; whoever is there is tagged meanwhile.
    let titles = titles(FINDINGS);
    let severities = ["critical", "high", "low"];
    let mut found: Vec<(&str, &str)> =
        titles.iter().enumerate().map(|(at, title)| (title.as_str(), severities[at % 3])).collect();
    found.push(("the last", "high"));
    let work = async {
        let edits = async {
            for edit in 0..30 {
                let some = desk.wire.ask("{ findings(first: 3) { nodes { id } } }", json!({})).await;
                for finding in some["findings"]["nodes"].as_array().expect("findings are listed") {
                    tag(&desk.wire, &finding["id"], &format!("edit {edit}")).await;
                }
            }
        };
        let (counts, ()) = tokio::join!(desk.import_all(&found), edits);
        assert_eq!(counts["created"], FINDINGS);
        tag(&desk.wire, &last, "the end").await;
        tag(&desk.wire, &last, "the very end").await;
    };
    // Both read until they were told of the last one in a row: nothing else is changed after that.
    let is_end = |seen: &[Json]| {
        seen.len() > FINDINGS / 2 && seen[seen.len() - 2..].iter().all(|item| item["finding"]["id"] == last)
    };
    let staying = async {
        let mut seen: Vec<Json> = Vec::new();
        while !is_end(&seen) {
            seen.push(steady.item().await.expect("it goes on")["findingChanged"].clone());
        }
        seen
    };
    let returning = async {
        let (mut seen, mut after, mut visits): (Vec<Json>, Json, usize) = (Vec::new(), opening.clone(), 0);
        while !is_end(&seen) {
            let mut socket = desk.wire.subscribe(CHANGES, json!({ "filter": filter, "after": after })).await;
            visits += 1;
            for _ in 0..60 {
                seen.push(socket.item().await.expect("it goes on")["findingChanged"].clone());
                if is_end(&seen) {
                    break;
                }
            }
            after = seen.last().expect("something was seen")["cursor"].clone();
        }
        assert!(visits > 10, "it came back {visits} times");
        seen
    };
    let ((), staying, returning) = tokio::join!(work, staying, returning);
    assert_eq!(staying.len(), returning.len());
    for (stayed, returned) in staying.iter().zip(&returning) {
        assert_eq!(stayed, returned);
    }
    let cursors: BTreeSet<String> = staying.iter().map(|item| item["cursor"].to_string()).collect();
    assert_eq!(cursors.len(), staying.len(), "nothing twice");
    let entered = staying.iter().filter(|item| item["delta"] == "ENTERED").count();
    assert_eq!(entered, FINDINGS - FINDINGS / 3, "each that passes entered once");
}

async fn a_change_is_made_on_what_was_seen_and_once(world: &World) {
    let desk = Desk::of(world).await;
    desk.import("high").await;
    let finding =
        desk.wire.ask("{ findings { nodes { id version } } }", json!({})).await["findings"]["nodes"][0]
            .clone();
    let set = "mutation($id: ID!, $severity: Severity!, $version: Int, $key: String) {
        findingSetSeverity(id: $id, severity: $severity, expectedVersion: $version, idempotencyKey: $key) {
            finding { severity version } userErrors { code field details } } }";
    let change = |severity: &str, key: Json| json!({ "id": finding["id"], "severity": severity, "version": finding["version"], "key": key });
    // Sent twice at once with one key, it is one change with two answers.
    let (one, other) = tokio::join!(
        desk.wire.done(set, change("LOW", json!("once"))),
        desk.wire.done(set, change("LOW", json!("once"))),
    );
    assert_eq!(one, other);
    assert_eq!(one["finding"]["severity"], "LOW");
    let audit = desk.wire.with(&world.acme.person(Role::Auditor).token);
    let told = "query($id: ID!) { auditEntries(filter: { record: $id, action: \"finding.updated\" }) { totalCount } }";
    let told = audit.ask(told, json!({ "id": finding["id"] })).await;
    assert_eq!(told["auditEntries"]["totalCount"], 1);

    let colleague = desk.wire.with(&world.acme.person(Role::Analyst).token);
    let stale = colleague.try_do(set, change("URGENT", Json::Null)).await;
    assert_eq!(stale["finding"], Json::Null);
    assert_eq!(
        stale["userErrors"],
        json!([{ "code": "CONFLICT", "field": null,
                 "details": { "currentVersion": one["finding"]["version"], "author": "Acme AUTHOR" } }])
    );
    let mismatch = desk.wire.try_do(set, change("URGENT", json!("once"))).await;
    assert_eq!(mismatch["userErrors"][0]["code"], "IDEMPOTENCY_MISMATCH");
}

const BULK: &str = "mutation($filter: Criteria, $tag: String!, $key: String) {
    findingBulkUpdate(filter: $filter, edit: { tag: { add: [$tag] } }, idempotencyKey: $key) {
        changed unchanged refused job { id kind state } userErrors { code message } } }";

async fn many_are_changed_by_a_job_that_is_watched(world: &World) {
    const FINDINGS: usize = 450;
    let desk = Desk::of(world).await;
    let titles = titles(FINDINGS);
    let found: Vec<(&str, &str)> = titles.iter().map(|title| (title.as_str(), "high")).collect();
    desk.import_all(&found).await;
    let filter = json!({ "field": "severity", "operator": "eq", "value": "high" });
    let begun = desk.wire.done(BULK, json!({ "filter": filter, "tag": "seen", "key": "many" })).await;
    assert_eq!((&begun["changed"], &begun["job"]["kind"]), (&Json::Null, &json!("BULK_CHANGE")));
    let steps = "subscription($id: ID!) { jobProgress(id: $id) { state stage done counts { name count } } }";
    let steps = desk.wire.watch(steps, json!({ "id": begun["job"]["id"] })).await;
    let last = &steps.last().expect("it has steps")["jobProgress"];
    assert_eq!((&last["state"], &last["done"]), (&json!("COMPLETED"), &json!(FINDINGS)));
    let tagged =
        "{ findings(filter: { field: \"tags\", operator: \"contains\", value: \"seen\" }) { totalCount } }";
    assert_eq!(desk.wire.ask(tagged, json!({})).await["findings"]["totalCount"], FINDINGS);
    let again = desk.wire.done(BULK, json!({ "filter": filter, "tag": "seen", "key": "many" })).await;
    assert_eq!((&again["job"]["id"], &again["changed"]), (&begun["job"]["id"], &json!(FINDINGS)));
}

async fn an_export_is_fetched_once(world: &World) {
    let desk = Desk::of(world).await;
    desk.import_all(&[("=1+1", "critical"), ("b, \"quoted\"", "low")]).await;
    let export = "mutation { findingExport(fields: [\"title\", \"severity\"]) {
        job { id state } url userErrors { code message } } }";
    let asked = desk.wire.done(export, json!({})).await;
    let url = asked["url"].as_str().expect("an export has a path");
    let colleague = desk.wire.with(&world.acme.person(Role::Admin).token);
    assert_eq!(colleague.get(url).await.0, 404, "it is for who asked for it");
    let (status, file) = desk.wire.get(url).await;
    assert_eq!(status, 200);
    let rows: BTreeSet<&str> =
        file.lines().skip(1).filter_map(|line| line.split_once(',')).map(|(_, row)| row).collect();
    assert_eq!(rows, BTreeSet::from(["'=1+1,critical", "\"b, \"\"quoted\"\"\",low"]), "{file}");
    let (status, problem) = desk.wire.get(url).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem.contains("ILLEGAL_STATE"), "{problem}");
    let job = desk
        .wire
        .ask("query($id: ID!) { job(id: $id) { state done } }", json!({ "id": asked["job"]["id"] }))
        .await;
    assert_eq!(job["job"], json!({ "state": "COMPLETED", "done": 2 }));
}

async fn a_rule_is_tried_and_explained(world: &World) {
    let desk = Desk::of(world).await;
    let test = "query($input: RuleTestInput!, $finding: JSON!) { ruleTest(input: $input, finding: $finding) {
        matched before after messages explanation conditions { pointer field operator operand seen outcome } } }";
    let criteria = json!({ "logic": "AND", "conditions": [
        { "field": "severity", "operator": "eq", "value": "critical" },
        { "field": "known_exploit", "operator": "neq", "value": true } ] });
    let action = json!({ "type": "override_severity", "config": { "severity": "high" } });
    let input = json!({ "name": "Calm", "criteria": criteria, "action": action });
    let tried = async |finding: Json| {
        desk.wire.ask(test, json!({ "input": input, "finding": finding })).await["ruleTest"].clone()
    };
    let matched = tried(json!({ "severity": "critical" })).await;
    assert_eq!((&matched["matched"], &matched["before"]), (&json!(true), &json!({ "severity": "critical" })));
    assert_eq!(matched["messages"], json!(["Rule 'Calm': severity critical to high"]));
    assert!(matched["explanation"].is_object(), "{matched}");
    let missed = tried(json!({ "severity": "critical", "known_exploit": true })).await;
    assert_eq!((&missed["matched"], &missed["after"]), (&json!(false), &json!({})));
    assert_eq!(
        missed["conditions"][1],
        json!({ "pointer": "/conditions/1", "field": "known_exploit", "operator": "neq", "operand": true,
                "seen": true, "outcome": "FALSE" })
    );
    assert_eq!(desk.wire.ask("{ findings { totalCount } }", json!({})).await["findings"]["totalCount"], 0);
}

async fn a_malformed_report_is_told_where(world: &World) {
    let desk = Desk::of(world).await;
    let table = |format: &str| json!({ "format": format, "mapping": mapping() });
    let cut = format!("{}{{\"scanner_reference\": \"b\", \"title\"", report(&[("a", "high")]));
    let dire = report(&[("a", "high"), ("b", "dire")]);
    let csv = "scanner_reference,title,asset,severity\na,a,web-01,high\nb,\"b,web-01,high\n";
    let sarif = "{ \"version\": \"2.1.0\",\n \"runs\": [ { \"tool\": { \"driver\": { \"name\": \"x\" } },\n  \"results\": [ 7 ] } ] }";
    let nessus = "<NessusClientData_v2>\n<Report name=\"x\">\n<ReportHost name=\"y\">\n</Report>";
    let cases = [
        (table("JSONL"), cut.as_str(), 2, None),
        (table("JSONL"), dire.as_str(), 2, None),
        (table("CSV"), csv, 4, None),
        (json!({ "format": "SARIF" }), sarif, 3, Some("runs")),
        (json!({ "format": "NESSUS_XML" }), nessus, 4, None),
    ];
    for (input, text, line, path) in cases {
        let last = desk.upload(input.clone(), text.to_owned()).await;
        assert_eq!(last["state"], "FAILED", "{input}");
        let error = &last["job"]["error"];
        assert_eq!(error["code"], "REPORT_MALFORMED", "{error}");
        let details = &error["details"];
        assert_eq!(details["line"], line, "{error}");
        assert!(details["column"].as_u64() > Some(0) && details["offset"].as_u64() > Some(0), "{error}");
        let told = details["path"].as_str().unwrap_or_default();
        assert!(path.is_none_or(|part| told.contains(part)), "{error}");
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains(&format!("line {line}"))),
            "{error}"
        );
    }
    assert_eq!(desk.wire.ask("{ findings { totalCount } }", json!({})).await["findings"]["totalCount"], 0);
}
