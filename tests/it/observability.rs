//! What a server tells of itself, by a server in a process of its own: metrics, traces over OTLP, and
//! the log. None of it holds what callers sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use api::measures::{self, Kind, MEASURES};
use regex::Regex;
use serde_json::{Value as Json, json};
use support::{Database, Engine, Wire};

use crate::crash::process::Site;
use collector::{Collector, Span};

mod collector;

/// How long something may let wait for itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// What callers send and nobody may tell.
const SECRET: &str = "hunter2";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

#[test]
fn sqlite_tells_of_itself() {
    run(Engine::Sqlite);
}

#[test]
fn postgres_tells_of_itself() {
    run(Engine::Postgres);
}

fn run(engine: Engine) {
    let Some(database) = Database::fresh(engine) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
    runtime.block_on(async {
        let collector = Collector::start().await;
        let mut site = Site::of(&database);
        site.settings = vec![
            ("COUNTERSIGN_TRACES", collector.url()),
            ("COUNTERSIGN_LOG_FORMAT", "json".to_owned()),
            // Every operation is a slow one.
            ("COUNTERSIGN_SLOW_MILLIS", "0".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
        ];
        let server = site.serve(PATIENCE).await;
        let wire = server.wire.clone();
        let team = wire
            .done(
                "mutation { teamCreate(input: {name: \"Blue\"}) { team { id } userErrors { code } } }",
                json!({}),
            )
            .await;
        let make = "mutation Make($input: AssetCreateInput!) {
            assetCreate(input: $input) { asset { id } userErrors { code } } }";
        let input = json!({ "name": SECRET, "ownerTeam": team["team"]["id"] });
        let trace = made(&wire, make, &json!({ "input": input })).await;
        let list = "query Listing($secret: String) {
            assets(first: 5, filter: {query: $secret}) { nodes { name ownerTeam { name } } } }";
        let listed = asked(&wire, list, &json!({ "secret": SECRET })).await;
        assert_eq!(listed["assets"]["nodes"], json!([{ "name": SECRET, "ownerTeam": { "name": "Blue" } }]));
        audited(&wire, &trace).await;
        let mut changes =
            wire.subscribe("subscription Watching { findingChanged { __typename } }", json!({})).await;
        let snapshot = changes.item().await.expect("a stream opens with a snapshot");
        assert_eq!(snapshot["findingChanged"]["__typename"], "FindingSnapshot");
        import(&wire, &site.project).await;
        let change = changes.item().await.expect("the import told of a finding");
        assert_eq!(change["findingChanged"]["__typename"], "FindingChange");

        counted(&wire).await;
        let spans = collector.until(PATIENCE, is_whole).await;
        traced(engine, &spans);
        logged(&std::fs::read_to_string(site.log()).expect("the server logs"));
        server.kill();
    });
}

/// Asks as part of the caller's trace, and returns the data.
async fn asked(wire: &Wire, query: &str, variables: &Json) -> Json {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let request = wire.asking(reqwest::Method::POST, api::server::GRAPHQL);
    let request = request.header("content-type", "application/json").body(body);
    let answer = request.header("traceparent", format!("00-{TRACE}-{CALLER}-01")).send().await;
    let answer = answer.expect("the server answers");
    assert_eq!(answer.headers()["x-request-id"], TRACE);
    let mut answer: Json =
        serde_json::from_str(&answer.text().await.expect("all of it")).expect("it is JSON");
    assert_eq!(answer["errors"], Json::Null);
    answer["data"].take()
}

/// Does something without a trace of the caller's, and returns the trace id that it was given.
async fn made(wire: &Wire, query: &str, variables: &Json) -> String {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let request = wire.asking(reqwest::Method::POST, api::server::GRAPHQL);
    let answer = request.header("content-type", "application/json").body(body).send().await;
    let answer = answer.expect("the server answers");
    let trace = answer.headers()["x-request-id"].to_str().expect("it is a word").to_owned();
    assert_eq!(trace.len(), 32, "a trace id of its own: {trace}");
    trace
}

/// The audit has the trace id of who made the asset.
async fn audited(wire: &Wire, trace: &str) {
    let entries =
        "{ auditEntries(first: 1, filter: {action: \"asset.created\"}) { nodes { actor { trace } } } }";
    let entries = wire.ask(entries, json!({})).await;
    assert_eq!(entries["auditEntries"]["nodes"][0]["actor"]["trace"], trace);
}

/// Imports a report of one finding, and waits for its end.
async fn import(wire: &Wire, project: &Json) {
    let columns = ["scanner_reference", "title", "asset", "severity"];
    let columns = columns.map(|field| json!({ "field": field, "column": field }));
    let mapping = json!({ "columns": columns, "identity": ["scanner_reference"] });
    let input = json!({ "project": project, "name": "night", "format": "JSONL", "mapping": mapping });
    let start = "mutation Start($input: ImportStartInput!) {
        importStart(input: $input) { import { id } uploadUrl userErrors { code } } }";
    let started = wire.done(start, json!({ "input": input })).await;
    let line = json!({ "scanner_reference": "a", "title": SECRET, "asset": SECRET, "severity": "high" });
    wire.put(started["uploadUrl"].as_str().expect("a path"), format!("{line}\n")).await;
    let watch = "subscription Import($id: ID!) { importProgress(id: $id) { state } }";
    let steps = wire.watch(watch, json!({ "id": started["import"]["id"] })).await;
    assert_eq!(steps.last().expect("it has steps")["importProgress"]["state"], "COMPLETED");
}

/// A sample of `/metrics`: its name, its labels and its value.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').expect("a sample has a value");
    let (name, labels) = head.split_once('{').unwrap_or((head, ""));
    let label = Regex::new(r#"([a-z_]+)="([^"]*)""#).expect("it is one");
    let labels = label.captures_iter(labels).map(|label| (label[1].to_owned(), label[2].to_owned()));
    Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().expect("a number") }
}

/// What the server counts, once the socket that watched the import is gone.
async fn settled(wire: &Wire) -> Vec<Sample> {
    let end = Instant::now() + PATIENCE;
    loop {
        let (status, page) = wire.nobody().get("/metrics").await;
        assert_eq!(status, 200);
        assert!(!page.contains(SECRET));
        let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples: Vec<Sample> = lines.map(sample).collect();
        let is_one = |name: &str| samples.iter().any(|sample| sample.name == name && sample.value == 1.0);
        if is_one("graphql_streams") && is_one("websockets") {
            return samples;
        }
        assert!(Instant::now() < end, "one watcher is left: {page}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn counted(wire: &Wire) {
    let samples = settled(wire).await;
    for Sample { name, labels, .. } in &samples {
        let measure = MEASURES.iter().find(|measure| {
            *name == measure.name
                || measure.kind == Kind::Histogram
                    && ["_bucket", "_sum", "_count"]
                        .iter()
                        .any(|end| *name == format!("{}{end}", measure.name))
        });
        let measure = measure.unwrap_or_else(|| panic!("{name} is in no list"));
        let mut known: Vec<&str> = measure.labels.to_vec();
        known.extend((measure.kind == Kind::Histogram).then_some("le"));
        let strange: Vec<_> = labels.keys().filter(|label| !known.contains(&label.as_str())).collect();
        assert!(strange.is_empty(), "{name}: {strange:?}");
    }
    let value = |name: &str, labels: &[(&str, &str)]| {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|is| is == value))
        };
        samples.iter().find(fits).unwrap_or_else(|| panic!("{name} {labels:?} is not shown")).value
    };
    let listing = [("operation", "Listing"), ("kind", "query")];
    let ok = [&listing[..], &[("outcome", "ok")]].concat();
    assert_eq!(value("graphql_operations_total", &ok), 1.0);
    assert_eq!(value("graphql_operation_seconds_count", &ok), 1.0);
    assert_eq!(value("graphql_operation_seconds_bucket", &[&ok[..], &[("le", "+Inf")]].concat()), 1.0);
    // The page and its teams; what a batch sends counts for whom it sends it.
    assert_eq!(value("graphql_operation_statements_sum", &listing), 2.0);
    assert!(value("graphql_operation_cost_sum", &listing) > 5.0);
    assert_eq!(value("graphql_operations_total", &[("operation", "Make"), ("outcome", "ok")]), 1.0);
    assert_eq!(
        value("graphql_operations_total", &[("operation", "Watching"), ("kind", "subscription")]),
        1.0
    );
    assert!(value("connections", &[]) >= 1.0);
    assert!(value("countersign_stream_lag_seconds_count", &[]) >= 1.0);
    assert!(value("countersign_db_statements_total", &[]) > 10.0);
    assert!(value("countersign_db_begin_seconds_count", &[]) >= 1.0);
    for state in ["used", "idle", "most"] {
        value("countersign_db_connections", &[("state", state)]);
    }
    for state in ["WAITING", "PENDING", "RUNNING"] {
        assert!(value("countersign_jobs", &[("state", state)]) >= 0.0);
        assert!(value("countersign_jobs_oldest_seconds", &[("state", state)]) >= 0.0);
    }
}

/// Whether all that is looked for has arrived.
fn is_whole(spans: &[Span]) -> bool {
    let ended = |name: &str| spans.iter().any(|span| span.name == name);
    let of_trace = |name: &str| spans.iter().any(|span| span.trace == TRACE && span.name == name);
    of_trace("POST /graphql") && of_trace("query Listing") && ended("mutation Make") && ended("job")
}

fn traced(engine: Engine, spans: &[Span]) {
    for span in spans {
        let told = format!("{span:?}");
        assert!(!told.contains(SECRET), "{told}");
    }
    let named = |name: &str| {
        spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("there is no {name}"))
    };
    let parent = |span: &Span| spans.iter().find(|above| above.id == span.parent);
    let path = |span: &Span| {
        let above = std::iter::successors(Some(span), |span| parent(span));
        above.map(|span| span.name.clone()).collect::<Vec<String>>()
    };
    let under = |top: &Span, name: &str| {
        let found: Vec<&Span> = spans
            .iter()
            .filter(|span| {
                span.name == name
                    && std::iter::successors(Some(*span), |span| parent(span)).any(|above| above.id == top.id)
            })
            .collect();
        assert!(!found.is_empty(), "no {name} under {}", top.name);
        found
    };

    // From the caller's trace to the statement.
    let listing = named("query Listing");
    assert_eq!(listing.trace, TRACE);
    let request = parent(listing).expect("an operation belongs to a request");
    assert_eq!((request.name.as_str(), request.parent.as_str()), ("POST /graphql", CALLER));
    assert_eq!(request.attribute("http.response.status_code"), "200");
    assert_eq!(request.attribute("trace"), TRACE);
    assert_eq!(listing.attribute("graphql.operation.statements"), "2");
    assert_eq!(listing.attribute("graphql.operation.outcome"), "ok");
    assert!(listing.attribute("graphql.operation.cost").parse::<u64>().is_ok_and(|cost| cost > 5));
    let statements = under(listing, "statement");
    assert_eq!(statements.len(), 2);
    for statement in &statements {
        assert_eq!(path(statement), ["statement", "query Listing", "POST /graphql"]);
        assert_eq!(statement.trace, TRACE);
        assert_eq!(statement.attribute("db.response.returned_rows"), "1");
    }
    let text = statements.iter().map(|statement| statement.attribute("db.query.text")).collect::<String>();
    assert!(text.contains("FROM asset") && text.contains("FROM team"), "{text}");
    let system = match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgresql",
    };
    assert_eq!(statements[0].attribute("db.system.name"), system);

    // A change is a transaction, a trace of its own.
    let make = named("mutation Make");
    assert_ne!(make.trace, TRACE);
    under(make, "begin");
    under(make, "commit");
    let statements = under(make, "statement");
    assert!(statements.iter().any(|one| path(one)[1] == "transaction"));
    assert!(
        statements.iter().any(|one| one.attribute("db.query.text").starts_with("INSERT INTO audit_entry"))
    );

    // A job is a trace of its own; its chunks are transactions.
    let job = named("job");
    assert_eq!((job.parent.as_str(), job.attribute("job.kind")), ("", "IMPORT"));
    assert_eq!(job.attribute("trace").len(), 32);
    let chunks = under(job, "transaction");
    let chunk = chunks.iter().copied().find(|chunk| chunk.has("job.stage", "storing"));
    let chunk = chunk.expect("a finding was stored");
    assert!(chunk.has("job.id", job.attribute("job.id")));
    under(chunk, "statement");
    under(chunk, "commit");
}

fn logged(log: &str) {
    assert!(!log.contains(SECRET), "{log}");
    let lines: Vec<Json> =
        log.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let slow = |name: &str| {
        let line =
            lines.iter().find(|line| line["message"] == "a slow operation" && line["operation"] == name);
        line.unwrap_or_else(|| panic!("no slow {name}: {log}"))
    };
    let listing = slow("Listing");
    assert_eq!(listing["trace"], TRACE);
    assert_eq!(listing["spans"][0]["trace"], TRACE, "{listing}");
    assert_eq!((&listing["kind"], &listing["outcome"]), (&json!("query"), &json!("ok")));
    assert_eq!(listing["statements"], 2);
    assert!(listing["cost"].as_u64().is_some_and(|cost| cost > 5), "{listing}");
    assert!(listing["took"].is_string() && listing["statements_took"].is_string(), "{listing}");
    assert_eq!(listing["variables"], "secret: text");
    assert_eq!(slow("Make")["variables"], "input: object of 2");
    // Lines of a job carry the trace id of who asked for it.
    let begins = lines.iter().find(|line| line["message"] == "a job begins").expect("the import was a job");
    assert_eq!(begins["spans"][0]["trace"], slow("Start")["trace"], "{begins}");
}

/// What the product measures stands in its list, and nothing else does.
#[test]
fn every_metric_is_in_the_list() {
    let used = Regex::new(r#"(counter|gauge|histogram)!\(\s*"([a-z_]+)""#).expect("it is one");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    let mut folders = vec![root.join("api/src"), root.join("domain/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder can be read") {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
                found.extend(used.captures_iter(&text).map(|used| (used[2].to_owned(), used[1].to_owned())));
            }
        }
    }
    let kind = |kind: Kind| format!("{kind:?}").to_lowercase();
    let listed: BTreeSet<_> =
        MEASURES.iter().map(|measure| (measure.name.to_owned(), kind(measure.kind))).collect();
    assert_eq!(listed.len(), MEASURES.len(), "a name stands there once");
    assert_eq!(found, listed);
}

#[test]
fn the_page_about_observability_has_the_list() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability.md");
    let text = std::fs::read_to_string(&page).expect("the page is there");
    let begin = text.find("| metric |").expect("the page has a table of metrics");
    let end = text[begin..].find("\n\n").map_or(text.len(), |end| begin + end + 1);
    let drawn = format!("{}{}{}", &text[..begin], measures::table(), &text[end..]);
    if std::env::var_os("COUNTERSIGN_WRITE_DOCS").is_some() {
        std::fs::write(&page, &drawn).expect("the page can be written");
        return;
    }
    assert!(
        text == drawn,
        "docs/observability.md differs from the list: set COUNTERSIGN_WRITE_DOCS to redraw it"
    );
}
