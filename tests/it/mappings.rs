//! Saved mappings, and dry runs of what they make of a report.

use domain::access::Role;
use serde_json::{Value as Json, json};
use support::{Wire, World, on_both};

on_both!(a_mapping_is_saved_and_used, a_dry_run_shows_the_first_rows, a_dry_run_of_any_format);

const CREATE: &str = "mutation($input: SavedMappingCreateInput!) { savedMappingCreate(input: $input) {
    savedMapping { id name format version mapping { columns { field column } severities { word severity }
        constants { field value } listSeparator identity items delimiter timeFormat scanner } }
    userErrors { code message field } } }";

const PREVIEW: &str = "query($input: ImportPreviewInput!, $first: Int! = 20) {
    importPreview(input: $input, first: $first) { format more columns unusedColumns
        findings { asset title severity fingerprint cveIds line } faults { message line column path } } }";

fn columns(names: &[(&str, &str)]) -> Json {
    names.iter().map(|(field, column)| json!({ "field": field, "column": column })).collect()
}

fn mapping() -> Json {
    let columns = columns(&[
        ("asset", "Host"),
        ("title", "Name"),
        ("severity", "Risk"),
        ("cve_ids", "CVE"),
        ("line", "Line"),
    ]);
    json!({ "columns": columns, "severities": [{ "word": "hoch", "severity": "HIGH" }], "scanner": "House" })
}

const ROWS: &str = "Host;Name;Risk;CVE;Line;Owner\n\
    a;One;hoch;CVE-2020-1234;1;x\n\
    b;Two;dire;;2;x\n\
    c;Three;low;;many;x\n\
    d;Four;low\n\
    e;Five;low;;5;x\n";

async fn save(wire: &Wire, name: &str) -> Json {
    let input = json!({ "name": name, "format": "CSV", "mapping": mapping() });
    wire.done(CREATE, json!({ "input": input })).await["savedMapping"].clone()
}

/// The one refusal that a mutation answers with.
async fn refused(wire: &Wire, query: &str, variables: Json) -> Json {
    wire.try_do(query, variables).await["userErrors"][0].clone()
}

/// The code of the error that a request ends with.
async fn faulted(wire: &Wire, query: &str, variables: Json) -> Json {
    wire.answer(query, variables).await["errors"][0]["extensions"]["code"].clone()
}

async fn a_mapping_is_saved_and_used(world: &World) {
    let analyst = Wire::of(world, world.acme.person(Role::Analyst)).await;
    let viewer = analyst.with(&world.acme.person(Role::Viewer).token);
    let saved = save(&analyst, "Quarterly").await;
    assert_eq!(
        (&saved["name"], &saved["format"], &saved["version"]),
        (&json!("Quarterly"), &json!("CSV"), &json!(1))
    );
    assert_eq!(saved["mapping"]["severities"], json!([{ "word": "hoch", "severity": "HIGH" }]));
    assert_eq!(saved["mapping"]["columns"].as_array().map(Vec::len), Some(5));

    let again = json!({ "input": { "name": "Quarterly", "format": "CSV", "mapping": mapping() } });
    assert_eq!(refused(&analyst, CREATE, again).await["code"], "TAKEN");
    let typed = json!({ "input": { "name": "Typed", "format": "SARIF", "mapping": mapping() } });
    assert_eq!(refused(&analyst, CREATE, typed).await["field"], json!(["input", "format"]));
    let bare = json!({ "input": { "name": "Bare", "format": "CSV", "mapping": { "columns": [] } } });
    assert_eq!(refused(&analyst, CREATE, bare).await["code"], "REQUIRED");
    let not_allowed = json!({ "input": { "name": "No", "format": "CSV", "mapping": mapping() } });
    assert_eq!(faulted(&viewer, CREATE, not_allowed).await, "FORBIDDEN");

    // An import names it, and goes on with what it was.
    let start = "mutation($input: ImportStartInput!) { importStart(input: $input) {
        import { id } uploadUrl userErrors { code message field } } }";
    let project = analyst.ask("{ projects(first: 1) { nodes { id } } }", json!({})).await;
    let input = json!({ "project": project["projects"]["nodes"][0]["id"], "name": "r.csv", "savedMapping": saved["id"] });
    let started = analyst.done(start, json!({ "input": input })).await;
    let change = "mutation($id: ID!, $input: SavedMappingUpdateInput!) {
        savedMappingUpdate(id: $id, expectedVersion: 1, input: $input) {
            savedMapping { name version mapping { scanner } } userErrors { code message } } }";
    let other =
        json!({ "name": "Yearly", "mapping": { "columns": columns(&[("asset", "x"), ("title", "y")]) } });
    let changed = analyst.done(change, json!({ "id": saved["id"], "input": other })).await;
    assert_eq!(
        changed["savedMapping"],
        json!({ "name": "Yearly", "version": 2, "mapping": { "scanner": null } })
    );
    let good: String = ROWS
        .lines()
        .filter(|line| !["b;", "c;", "d;"].iter().any(|bad| line.starts_with(bad)))
        .map(|line| format!("{line}\n"))
        .collect();
    analyst.put(started["uploadUrl"].as_str().expect("a path"), good).await;
    let watch = "subscription($id: ID!) { importProgress(id: $id) { state } }";
    analyst.watch(watch, json!({ "id": started["import"]["id"] })).await;
    let found =
        analyst.ask("{ findings(first: 10) { nodes { title severity scannerSource } } }", json!({})).await;
    let mut found = found["findings"]["nodes"].as_array().cloned().unwrap_or_default();
    found.sort_by_key(|finding| finding["title"].to_string());
    assert_eq!(
        found,
        [
            json!({ "title": "Five", "severity": "LOW", "scannerSource": "house" }),
            json!({ "title": "One", "severity": "HIGH", "scannerSource": "house" }),
        ]
    );

    let both = json!({ "project": project["projects"]["nodes"][0]["id"], "name": "r.csv", "savedMapping": saved["id"], "mapping": mapping() });
    assert_eq!(
        refused(&analyst, start, json!({ "input": both })).await["field"],
        json!(["input", "savedMapping"])
    );
    let typed = json!({ "project": project["projects"]["nodes"][0]["id"], "name": "r.csv", "savedMapping": saved["id"], "format": "JSONL" });
    assert_eq!(
        refused(&analyst, start, json!({ "input": typed })).await["field"],
        json!(["input", "format"])
    );

    let delete = "mutation($id: ID!) { savedMappingDelete(id: $id, expectedVersion: 2) { deletedId userErrors { code } } }";
    assert_eq!(analyst.done(delete, json!({ "id": saved["id"] })).await["deletedId"], saved["id"]);
    let listed = analyst.ask("{ savedMappings { totalCount } }", json!({})).await;
    assert_eq!(listed["savedMappings"]["totalCount"], 0);
    let gone = json!({ "project": project["projects"]["nodes"][0]["id"], "name": "r.csv", "savedMapping": saved["id"] });
    assert_eq!(refused(&analyst, start, json!({ "input": gone })).await["code"], "NOT_FOUND");
}

async fn a_dry_run_shows_the_first_rows(world: &World) {
    let analyst = Wire::of(world, world.acme.person(Role::Analyst)).await;
    let saved = save(&analyst, "Quarterly").await;
    let input = json!({ "savedMapping": saved["id"], "sample": ROWS });
    let preview = analyst.ask(PREVIEW, json!({ "input": input })).await["importPreview"].clone();
    let titles = |preview: &Json| -> Vec<Json> {
        preview["findings"].as_array().into_iter().flatten().map(|finding| finding["title"].clone()).collect()
    };
    assert_eq!(titles(&preview), ["One", "Five"]);
    assert_eq!(preview["findings"][0]["severity"], "HIGH");
    assert_eq!(preview["findings"][0]["cveIds"], json!(["CVE-2020-1234"]));
    let lines: Vec<_> =
        preview["faults"].as_array().into_iter().flatten().map(|fault| fault["line"].clone()).collect();
    assert_eq!(lines, [3, 4, 5], "{preview}");
    assert!(
        preview["faults"][0]["message"].as_str().is_some_and(|text| text.contains("`dire`")),
        "{preview}"
    );
    assert_eq!(preview["unusedColumns"], json!(["Owner"]));
    assert_eq!((&preview["format"], &preview["more"]), (&json!("CSV"), &json!(false)));

    // The first of them only, and a sample that ends anywhere.
    let one = analyst.ask(PREVIEW, json!({ "input": input, "first": 1 })).await["importPreview"].clone();
    assert_eq!((titles(&one), &one["more"]), (vec![json!("One")], &json!(true)));
    let lines = "{\"h\":\"a\",\"t\":\"One\",\"x\":1}\n[]\n{\"h\":\"b\",\"t\":\"Tw";
    let members = json!({ "columns": columns(&[("asset", "h"), ("title", "t")]) });
    let input = json!({ "format": "JSONL", "mapping": members, "sample": lines });
    let cut = analyst.ask(PREVIEW, json!({ "input": input })).await["importPreview"].clone();
    assert_eq!((titles(&cut), &cut["unusedColumns"]), (vec![json!("One")], &json!(["x"])));
    assert_eq!(cut["faults"].as_array().map(Vec::len), Some(2), "{cut}");
    let array = "[{\"h\":\"a\",\"t\":\"One\"},{\"h\":\"b\"},{\"h\":\"c\",\"t\":\"Three\"}";
    let input = json!({ "format": "JSON", "mapping": members, "sample": array });
    let cut = analyst.ask(PREVIEW, json!({ "input": input })).await["importPreview"].clone();
    assert_eq!((titles(&cut), &cut["faults"][0]["path"]), (vec![json!("One"), json!("Three")], &json!("/1")));

    // What is wrong with the mapping itself is no fault of a row.
    let absent = json!({ "columns": columns(&[("asset", "Host"), ("title", "Nome")]) });
    let input = json!({ "format": "CSV", "mapping": absent, "sample": ROWS });
    assert_eq!(faulted(&analyst, PREVIEW, json!({ "input": input })).await, "INVALID");
    let input = json!({ "savedMapping": saved["id"], "sample": ROWS });
    assert_eq!(faulted(&analyst, PREVIEW, json!({ "input": input, "first": 101 })).await, "INVALID");
    assert_eq!(world.findings(world.acme.admin(), None).await.len(), 0, "nothing was written");
}

async fn a_dry_run_of_any_format(world: &World) {
    let analyst = Wire::of(world, world.acme.person(Role::Analyst)).await;
    // The artifact's name comes after what is on it.
    let sample = r#"{"SchemaVersion":2,"Results":[{"Target":"a","Vulnerabilities":[
        {"VulnerabilityID":"CVE-2020-1","PkgName":"b","Severity":"HIGH"}]}],"ArtifactName":"image"}"#;
    let preview =
        analyst.ask(PREVIEW, json!({ "input": { "sample": sample } })).await["importPreview"].clone();
    assert_eq!(
        (&preview["format"], &preview["findings"][0]["asset"]),
        (&json!("TRIVY_JSON"), &json!("image"))
    );
    assert_eq!(preview["faults"], json!([]));
    assert_eq!(faulted(&analyst, PREVIEW, json!({ "input": { "sample": "hello" } })).await, "REPORT_UNKNOWN");
}
