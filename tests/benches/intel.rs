//! What a load of EPSS costs: 300,000 scores over 100,000 findings, with time, statements, and rows
//! written, on both databases.
//!
//! `cargo bench --workspace --bench intel`; `COUNTERSIGN_POSTGRES` names an empty PostgreSQL
//! database to measure on, `COUNTERSIGN_FINDINGS` how many findings (100,000 if not set); there are
//! three times as many scores.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::access::{Actor, GLOBAL, Role};
use domain::gateway::clock::Clock;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intake::limits::Limits;
use domain::intel::feed::Feed;
use domain::inventory::project::NewProject;
use domain::job::{Job, JobState};
use domain::signin::SignInSettings;
use domain::store::Db;
use domain::{Domain, Settings};
use futures_util::StreamExt;
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use sea_orm::{ConnectionTrait, Database};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The server's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Counts statements, whatever the counter is called.
struct Statements;
static STATEMENTS: AtomicU64 = AtomicU64::new(0);

impl CounterFn for Statements {
    fn increment(&self, value: u64) {
        STATEMENTS.fetch_add(value, Ordering::Relaxed);
    }
    fn absolute(&self, _: u64) {}
}

impl Recorder for Statements {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() == "countersign_db_statements_total" {
            Counter::from_arc(std::sync::Arc::new(Self))
        } else {
            Counter::noop()
        }
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::main]
async fn main() {
    metrics::set_global_recorder(Statements).expect("nothing else records");
    let findings: usize =
        std::env::var("COUNTERSIGN_FINDINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    println!("{} scores over {findings} findings, each of a CVE of its own\n", findings * 3);
    println!(
        "{:<10} {:<44} {:>8} {:>11} {:>9} {:>9} {:>9}",
        "database", "load", "seconds", "statements", "rows", "facts", "findings"
    );
    run("sqlite", findings).await;
    if std::env::var_os("COUNTERSIGN_POSTGRES").is_some() {
        run("postgres", findings).await;
    } else {
        println!("postgres   not measured: COUNTERSIGN_POSTGRES is not set");
    }
}

/// The CVE of this number: those below the number of findings are named by one.
fn cve(n: usize) -> String {
    format!("CVE-2026-{:06}", n + 1)
}

fn report(findings: usize) -> String {
    let mut text = String::new();
    for n in 0..findings {
        let line = json!({
            "asset": format!("host-{:03}.example", n % 200), "title": format!("Weakness {n}"),
            "severity": "high", "scanner_reference": format!("CHECK-{n}"), "cve_ids": cve(n),
            "description": "A flaw in the parser lets a remote sender read memory past the end of a buffer.",
        });
        writeln!(text, "{line}").expect("a string takes any text");
    }
    text
}

/// The scores of a day: `moved` says of which CVEs they are others than on the first.
fn scores(count: usize, moved: impl Fn(usize) -> bool) -> String {
    let mut text =
        String::from("#model_version:v2025.03.14,score_date:2026-11-20T00:00:00+0000\ncve,epss,percentile\n");
    for n in 0..count {
        let score = (n % 1_000) as f64 / 2_000.0 + if moved(n) { 0.25 } else { 0.0 };
        writeln!(text, "{},{score:.5},{:.5}", cve(n), (n % 997) as f64 / 997.0)
            .expect("a string takes any text");
    }
    text
}

async fn run(database: &str, findings: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = match database {
        "sqlite" => format!("sqlite:{}/bench.db", folder.path().display()),
        _ => std::env::var("COUNTERSIGN_POSTGRES").expect("asked before"),
    };
    if database == "postgres" {
        let conn = Database::connect(&url).await.expect("a database");
        conn.execute_unprepared("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .await
            .expect("an empty schema");
    }
    let db = Db::open(&url).await.expect("a database");
    db.migrate().await.expect("a migrated database");
    let settings = Settings {
        folder: folder.path().to_owned(),
        limits: Limits::default(),
        sign_in: SignInSettings::default(),
    };
    let clock = Clock::system();
    let worker = clock.id();
    let domain = Domain::new(db, clock, settings, worker);
    let platform = Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "bench") };
    let company = domain.company_create(&platform, "Bench", false).await.expect("a company");
    let actor = Actor::system(company.id, "bench");
    let new = NewProject { name: "p".into(), description: None };
    let project = domain.project_create(&actor, new).await.expect("a project");
    let stop = CancellationToken::new();
    let workers = tokio::spawn({
        let (domain, stop) = (domain.clone(), stop.clone());
        async move { domain.run_jobs(stop).await }
    });
    let fields = ["asset", "title", "severity", "scanner_reference", "cve_ids", "description"];
    let columns: serde_json::Map<String, serde_json::Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!(field))).collect();
    let request = ImportRequest {
        project: project.id,
        format: Some(Format::Jsonl),
        mapping: serde_json::from_value(json!({ "columns": columns, "identity": ["scanner_reference"] }))
            .expect("a mapping"),
        saved: None,
        asset: None,
        series: Some("bench".to_owned()),
        complete: true,
        name: "bench".to_owned(),
    };
    let job = domain.import_start(&actor, request).await.expect("an import");
    upload(&domain, &actor, &job, &report(findings)).await;
    let count = findings * 3;
    let changed = findings / 100;
    let first = scores(count, |_| false);
    let few = scores(count, |n| n < changed);
    let others = scores(count, |n| n >= findings);
    let all = scores(count, |n| n >= changed && n < findings);
    for (what, file) in [
        ("the first: every finding hears of it", &first),
        ("the same again", &first),
        ("the scores of 1 % of the findings moved", &few),
        ("back, and those of all CVEs without findings", &others),
        ("a day: 1 % of the findings, all other CVEs back", &few),
        ("every score moved", &all),
    ] {
        let job = domain.intel_load_start(&platform, Feed::Epss, "scores").await.expect("a load");
        let before = STATEMENTS.load(Ordering::Relaxed);
        let (ended, time) = upload(&domain, &platform, &job, file).await;
        let statements = STATEMENTS.load(Ordering::Relaxed) - before;
        let counts = ["rows", "facts", "findings"].map(|name| ended.counts[name].as_i64().unwrap_or(0));
        println!(
            "{database:<10} {what:<44} {:>8.2} {statements:>11} {:>9} {:>9} {:>9}",
            time.as_secs_f64(),
            counts[0],
            counts[1],
            counts[2],
        );
    }
    stop.cancel();
    workers.await.expect("the workers end").expect("well");
}

/// From the end of the upload to the end of the job.
async fn upload(domain: &Domain, actor: &Actor, job: &Job, file: &str) -> (Job, Duration) {
    let mut incoming = domain.import_upload(actor, job.id).await.expect("an upload");
    incoming.write(file.as_bytes()).await.expect("bytes");
    incoming.finish().await.expect("an end");
    let start = Instant::now();
    let steps = domain.job_steps(actor, job.id, Some(0)).await.expect("steps");
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = steps.next().await {
        step.expect("a step");
    }
    let time = start.elapsed();
    let ended = domain.job(actor, job.id).await.expect("the job");
    assert_eq!(ended.state, JobState::Completed, "{:?}", ended.error);
    (ended, time)
}
