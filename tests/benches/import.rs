//! What an import costs, beside a bare multi-row insert of the same rows and audit rows in the same
//! run, on both databases, without rules and with 100.
//!
//! `cargo bench --workspace --bench import`; `COUNTERSIGN_POSTGRES` names an empty PostgreSQL
//! database to measure on, `COUNTERSIGN_FINDINGS` how many findings (20,000 if not set).

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::access::{Actor, GLOBAL, Role};
use domain::gateway::clock::Clock;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intake::limits::Limits;
use domain::inventory::project::NewProject;
use domain::job::JobState;
use domain::rule::pass::Mode;
use domain::rule::{OnExpiry, RuleDraft};
use domain::store::Db;
use domain::{Domain, Settings};
use futures_util::StreamExt;
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use migration::MigratorTrait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, TransactionTrait,
    Value, Values,
};
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
        std::env::var("COUNTERSIGN_FINDINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    println!("{findings} findings of 35 fields; both imports of a run are of the same report\n");
    println!(
        "{:<10} {:>5}  {:>9} {:>12} {:>6}  {:>9} {:>6}  {:>9} {:>9}  {:>8}",
        "database",
        "rules",
        "first/s",
        "statements/k",
        "bare/s",
        "ratio",
        "",
        "second/s",
        "2nd/1st",
        "peak MiB"
    );
    for rules in [0, 100] {
        run("sqlite", rules, findings).await;
        if std::env::var_os("COUNTERSIGN_POSTGRES").is_some() {
            run("postgres", rules, findings).await;
        } else {
            println!("postgres   {rules:>5}  not measured: COUNTERSIGN_POSTGRES is not set");
        }
    }
}

/// A report of findings with 35 fields each, of realistic skew.
fn report(findings: usize) -> String {
    let severities = ["info", "low", "medium", "medium", "medium", "high", "high", "critical"];
    let mut text = String::new();
    for n in 0..findings {
        let severity = severities[n % severities.len()];
        let line = json!({
            "asset": format!("host-{:03}.example", n % 200), "asset_kind": "host", "title": format!("Weakness {} in package {}", n % 977, n % 131),
            "description": "A flaw in the parser lets a remote sender read memory past the end of a buffer. ".repeat(3),
            "severity": severity, "class": "VULNERABILITY", "category": "os-pkgs", "reference": format!("CHECK-{}", n),
            "type": if n % 3 == 0 { "memory" } else { "logic" }, "cvss_score": (n % 100) as f64 / 10.0,
            "cvss_vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "epss_score": (n % 1000) as f64 / 1000.0,
            "known_exploit": n % 17 == 0, "cve_ids": format!("CVE-2026-{:05}", n % 90_000), "cwe_ids": format!("CWE-{}", n % 900),
            "endpoint": format!("https://host-{:03}.example/path/{}", n % 200, n % 37), "port": 443,
            "component_name": format!("package-{}", n % 131), "component_version": "1.2.3", "fixed_version": "1.2.4",
            "fix_available": n % 2 == 0, "file_path": format!("usr/lib/package-{}/module.so", n % 131), "line": n % 4000,
            "references": format!("https://example.org/a/{n},https://example.org/b/{n}"), "tags": format!("team-{},env-{}", n % 7, n % 3),
            "remediation": "Upgrade to the fixed version.", "first_seen_at": "2026-11-01T00:00:00Z",
        });
        writeln!(text, "{line}").expect("a string takes any text");
    }
    text
}

fn mapping() -> serde_json::Value {
    let fields = [
        "asset",
        "asset_kind",
        "title",
        "description",
        "severity",
        "class",
        "cvss_score",
        "cvss_vector",
        "epss_score",
        "known_exploit",
        "cve_ids",
        "cwe_ids",
        "endpoint",
        "port",
        "component_name",
        "component_version",
        "fixed_version",
        "fix_available",
        "file_path",
        "line",
        "references",
        "tags",
        "remediation",
        "first_seen_at",
    ];
    let mut columns: serde_json::Map<String, serde_json::Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!(field))).collect();
    columns.insert("scanner_category".to_owned(), json!("category"));
    columns.insert("scanner_reference".to_owned(), json!("reference"));
    columns.insert("vulnerability_type".to_owned(), json!("type"));
    json!({ "columns": columns, "scanner": "bench", "identity": ["reference"] })
}

/// Rules of the usual kinds; about three of a hundred match a finding.
fn rule(n: usize) -> RuleDraft {
    let leaf = |field: &str, operator: &str, value: serde_json::Value| json!({ "field": field, "operator": operator, "value": value });
    let criteria = match n % 10 {
        0 => json!([
            leaf("component_name", "eq", json!(format!("package-{n}"))),
            leaf("severity", "gte_ord", json!("medium"))
        ]),
        1 => json!([leaf("title", "contains", json!(format!("weakness {n} ")))]),
        2 => json!([leaf("cve_ids", "contains", json!(format!("CVE-2026-{n:05}")))]),
        3 => json!([
            leaf("title", "matches_regex", json!(format!("^Weakness {n}\\b.*package"))),
            leaf("severity", "eq", json!("high"))
        ]),
        4 => json!([
            leaf("asset_name", "in", json!([format!("host-{n:03}.example"), "host-199.example"])),
            leaf("known_exploit", "eq", json!(true))
        ]),
        5 => json!([leaf("cvss_score", "gte", json!(9.8)), leaf("port", "eq", json!(n))]),
        6 => json!([
            leaf("scanner_reference", "starts_with", json!(format!("CHECK-{n}0"))),
            leaf("severity", "eq", json!("critical"))
        ]),
        7 => json!([
            leaf("tags", "all_in", json!(["team-1", format!("env-{}", n % 3)])),
            leaf("epss_score", "gt", json!(0.99))
        ]),
        8 => json!([
            leaf("severity", "eq", json!("critical")),
            leaf("known_exploit", "neq", json!(true)),
            leaf("cwe_ids", "contains", json!(format!("CWE-{n}")))
        ]),
        _ => json!([
            leaf("fix_available", "eq", json!(true)),
            leaf("file_path", "contains", json!(format!("package-{n}/")))
        ]),
    };
    let action = match n % 4 {
        0 => json!({ "type": "override_severity", "config": { "severity": "high" } }),
        1 => json!({ "type": "append_tag", "config": { "tags": [format!("rule-{n}")] } }),
        2 => json!({ "type": "set_vuln_type", "config": { "vulnerability_type": format!("kind-{n}") } }),
        _ => json!({ "type": "append_tag", "config": { "tags": ["reviewed"] } }),
    };
    RuleDraft {
        name: format!("rule {n}"),
        description: None,
        order: i32::try_from(n).expect("few rules"),
        mode: Mode::Enforce,
        expires_at: None,
        on_expiry: OnExpiry::Keep,
        criteria: json!({ "logic": "AND", "conditions": criteria }),
        action,
        requires_approval: false,
    }
}

async fn run(database: &str, rules: usize, findings: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = match database {
        "sqlite" => format!("sqlite:{}/bench.db", folder.path().display()),
        _ => std::env::var("COUNTERSIGN_POSTGRES").expect("asked before"),
    };
    if database == "postgres" {
        wipe(&url).await;
    }
    let db = Db::open(&url).await.expect("a database");
    db.migrate().await.expect("a migrated database");
    let settings = Settings { folder: folder.path().to_owned(), limits: Limits::default() };
    let clock = Clock::system();
    let worker = clock.id();
    let domain = Domain::new(db, clock, settings, worker);
    let platform = Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "bench") };
    let company = domain.company_create(&platform, "Bench", false).await.expect("a company");
    let actor = Actor::system(company.id, "bench");
    let project = domain
        .project_create(&actor, NewProject { name: "p".into(), description: None })
        .await
        .expect("a project");
    for n in 0..rules {
        domain.rule_create(&actor, rule(n)).await.expect("a rule");
    }
    let stop = CancellationToken::new();
    let workers = tokio::spawn({
        let (domain, stop) = (domain.clone(), stop.clone());
        async move { domain.run_jobs(stop).await }
    });
    let report = report(findings);
    forget_peak();
    let before = STATEMENTS.load(Ordering::Relaxed);
    let first = import(&domain, &actor, project.id, &report).await;
    let statements = STATEMENTS.load(Ordering::Relaxed) - before;
    let second = import(&domain, &actor, project.id, &report).await;
    let peak = peak_mib();
    stop.cancel();
    workers.await.expect("the workers end").expect("well");
    let bare = bare(&url, database, folder.path()).await;
    let rate = |time: Duration| findings as f64 / time.as_secs_f64();
    println!(
        "{database:<10} {rules:>5}  {:>9.0} {:>12.1} {:>6}  {:>9.0} {:>6.2}  {:>9.0} {:>9.2}  {peak:>8}",
        rate(first),
        statements as f64 * 1_000.0 / findings as f64,
        "",
        rate(bare),
        bare.as_secs_f64() / first.as_secs_f64(),
        rate(second),
        first.as_secs_f64() / second.as_secs_f64(),
    );
}

/// From the end of the upload to the end of the import.
async fn import(domain: &Domain, actor: &Actor, project: uuid::Uuid, report: &str) -> Duration {
    let request = ImportRequest {
        project,
        format: Format::parse("JSONL"),
        mapping: serde_json::from_value(mapping()).expect("a mapping"),
        saved: None,
        asset: None,
        series: Some("bench".to_owned()),
        complete: true,
        name: "bench".to_owned(),
    };
    let job = domain.import_start(actor, request).await.expect("an import");
    let mut incoming = domain.import_upload(actor, job.id).await.expect("an upload");
    incoming.write(report.as_bytes()).await.expect("bytes");
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
    time
}

/// The findings and audit entries that are there, inserted again into empty tables of the same
/// shape: a thousand rows a transaction, in multi-row statements and nothing else.
async fn bare(url: &str, database: &str, folder: &std::path::Path) -> Duration {
    let source = connect(url.to_owned()).await;
    let backend = source.get_database_backend();
    let target = if database == "sqlite" {
        let url = format!("sqlite:{}/bare.db?mode=rwc", folder.display());
        let target = connect(url).await;
        migration::Migrator::up(&target, None).await.expect("tables");
        target
    } else {
        for table in ["finding", "audit_entry"] {
            let text = format!("CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)");
            source.execute_unprepared(&text).await.expect("a table");
        }
        source.clone()
    };
    let mut tables = Vec::new();
    for table in ["finding", "audit_entry"] {
        tables.push((table, rows(&source, backend, table).await));
    }
    let findings = tables[0].1.len();
    let start = Instant::now();
    for from in (0..findings).step_by(1_000) {
        let tx = target.begin().await.expect("a transaction");
        for (table, rows) in &tables {
            let share = |n: usize| rows.len() * n / findings;
            let chunk = &rows[share(from)..share((from + 1_000).min(findings))];
            let name = if database == "sqlite" { (*table).to_owned() } else { format!("bare_{table}") };
            insert(&tx, backend, table, &name, chunk).await;
        }
        tx.commit().await.expect("a commit");
    }
    start.elapsed()
}

async fn connect(url: String) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false).map_sqlx_sqlite_opts(|sqlite| {
        sqlite
            .journal_mode(sea_orm::sqlx::sqlite::SqliteJournalMode::Wal)
            .synchronous(sea_orm::sqlx::sqlite::SqliteSynchronous::Full)
    });
    Database::connect(options).await.expect("a connection")
}

/// The columns and their kinds: u uuid, t text, i integer, l bigint, d double, b bool, y bytes,
/// j a JSON list.
fn columns(table: &str) -> &'static [(&'static str, char)] {
    if table == "audit_entry" {
        return &[
            ("company_id", 'u'),
            ("seq", 'l'),
            ("at", 'l'),
            ("action", 't'),
            ("record_kind", 't'),
            ("record_id", 'u'),
            ("actor", 't'),
            ("before", 't'),
            ("after", 't'),
            ("cause", 't'),
            ("digest", 'y'),
            ("hash", 'y'),
        ];
    }
    &[
        ("id", 'u'),
        ("company_id", 'u'),
        ("project_id", 'u'),
        ("asset_id", 'u'),
        ("fingerprint", 'u'),
        ("class", 'i'),
        ("title", 't'),
        ("description", 't'),
        ("severity", 'i'),
        ("status", 'i'),
        ("vulnerability_type", 't'),
        ("remediation", 't'),
        ("scanner_source", 't'),
        ("scanner_category", 't'),
        ("scanner_reference", 't'),
        ("cvss_score", 'd'),
        ("cvss_vector", 't'),
        ("epss_score", 'd'),
        ("known_exploit", 'b'),
        ("sla_breached", 'b'),
        ("cve_ids", 'j'),
        ("cwe_ids", 'j'),
        ("endpoint", 't'),
        ("port", 'i'),
        ("component_name", 't'),
        ("component_version", 't'),
        ("component_purl", 't'),
        ("fixed_version", 't'),
        ("fix_available", 'b'),
        ("file_path", 't'),
        ("line", 'l'),
        ("reference_urls", 'j'),
        ("excerpt", 't'),
        ("tags", 'j'),
        ("effects", 'j'),
        ("root_causes", 'j'),
        ("remediation_techniques", 'j'),
        ("attack_techniques", 'j'),
        ("assigned_users", 'j'),
        ("assigned_teams", 'j'),
        ("layers", 't'),
        ("first_seen_at", 'l'),
        ("last_seen_at", 'l'),
        ("closed_at", 'l'),
        ("due_at", 'l'),
        ("revision", 'l'),
        ("created_at", 'l'),
        ("updated_at", 'l'),
    ]
}

async fn rows(source: &DatabaseConnection, backend: DbBackend, table: &str) -> Vec<Vec<Value>> {
    let columns = columns(table);
    let picks: Vec<String> = columns
        .iter()
        .map(|(name, kind)| {
            if *kind == 'j' && backend == DbBackend::Postgres {
                format!("{name}::text")
            } else {
                (*name).to_owned()
            }
        })
        .collect();
    let order = if table == "finding" { "id" } else { "seq" };
    let text = format!("SELECT {} FROM {table} ORDER BY {order}", picks.join(", "));
    let found = source.query_all_raw(Statement::from_string(backend, text)).await.expect("rows");
    found
        .iter()
        .map(|row| {
            columns
                .iter()
                .enumerate()
                .map(|(at, (_, kind))| match kind {
                    'u' => row.try_get_by_index::<Option<uuid::Uuid>>(at).expect("a value").into(),
                    'i' => row.try_get_by_index::<Option<i32>>(at).expect("a value").into(),
                    'l' => row.try_get_by_index::<Option<i64>>(at).expect("a value").into(),
                    'd' => row.try_get_by_index::<Option<f64>>(at).expect("a value").into(),
                    'b' => row.try_get_by_index::<Option<bool>>(at).expect("a value").into(),
                    'y' => row.try_get_by_index::<Option<Vec<u8>>>(at).expect("a value").into(),
                    _ => row.try_get_by_index::<Option<String>>(at).expect("a value").into(),
                })
                .collect()
        })
        .collect()
}

async fn insert(
    conn: &impl ConnectionTrait,
    backend: DbBackend,
    table: &str,
    name: &str,
    rows: &[Vec<Value>],
) {
    let columns = columns(table);
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    // As many rows a statement as both databases take binds for, in one size, so that it is prepared once.
    let most = 32_766 / columns.len();
    for part in rows.chunks(most) {
        let mut text = format!("INSERT INTO {name} ({}) VALUES ", names.join(", "));
        let mut bound = 0;
        for at in 0..part.len() {
            text.push_str(if at == 0 { "(" } else { ", (" });
            for (column, (_, kind)) in columns.iter().enumerate() {
                bound += 1;
                let comma = if column == 0 { "" } else { ", " };
                match backend {
                    DbBackend::Postgres if *kind == 'j' => write!(text, "{comma}${bound}::jsonb"),
                    DbBackend::Postgres => write!(text, "{comma}${bound}"),
                    _ => write!(text, "{comma}?"),
                }
                .expect("a string takes any text");
            }
            text.push(')');
        }
        let values = part.iter().flatten().cloned().collect();
        conn.execute_raw(Statement::from_sql_and_values(backend, text, Values(values)))
            .await
            .expect("an insert");
    }
}

async fn wipe(url: &str) {
    let conn = connect(url.to_owned()).await;
    conn.execute_unprepared("DROP SCHEMA public CASCADE").await.expect("an empty schema");
    conn.execute_unprepared("CREATE SCHEMA public").await.expect("an empty schema");
}

/// Counts the peak from now on.
fn forget_peak() {
    // Where this cannot be written, the peak is that of the whole run.
    let _unsupported = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that this process has had, in MiB.
fn peak_mib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    format!("{}", kib / 1_024)
}
