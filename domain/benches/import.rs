//! What an import costs, beside a bare multi-row insert of the same rows in the same run: of every
//! table that the import writes to. On both databases, without rules and with 100 and 1,000; then
//! the same report again, of which nothing is new.
//!
//! `cargo bench --workspace --bench import`; `COUNTERSIGN_POSTGRES` names an empty PostgreSQL
//! database to measure on, `COUNTERSIGN_FINDINGS` how many findings (20,000 if not set),
//! `COUNTERSIGN_RULES` how many rules (`0,100,1000`), `COUNTERSIGN_REPEATS` how often each is
//! measured (5; the most memory that an import takes is told rightly of one alone, as the bare rows
//! stay in memory). With `-- --gigabyte` it imports one report of 1 GB, twice.

use std::fmt::Write;
use std::time::{Duration, Instant};

use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::rule::pass::Mode;
use domain::rule::{OnExpiry, RuleDraft};
use migration::MigratorTrait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement, TransactionTrait, Value, Values,
};
use serde_json::json;

use support::{Bench, connect};

#[expect(dead_code, reason = "it needs a part of what benches share")]
mod support;

#[tokio::main]
async fn main() {
    let databases = support::begin();
    println!(
        "{:<9} {:>5} {:>8}  {:>8} {:>6} {:>5} {:>5}  {:>7} {:>6}  {:>8} {:>7} {:>5} {:>5}",
        "database",
        "rules",
        "findings",
        "first/s",
        "check",
        "st/k",
        "MiB",
        "bare/s",
        "ratio",
        "second/s",
        "x first",
        "st/k",
        "MiB"
    );
    if std::env::args().any(|argument| argument == "--gigabyte") {
        for database in &databases {
            run(database, 0, 1_000_000_000 / line(0).len(), false).await;
        }
        return;
    }
    let findings = support::number("COUNTERSIGN_FINDINGS", 20_000);
    let rules = std::env::var("COUNTERSIGN_RULES").unwrap_or_else(|_| "0,100,1000".to_owned());
    for rules in rules.split(',').map(|number| number.trim().parse().expect("a number")) {
        for database in &databases {
            run(database, rules, findings, true).await;
        }
    }
}

/// The `n`th line of a report of findings with 35 fields each, of realistic skew.
fn line(n: usize) -> String {
    let severities = ["info", "low", "medium", "medium", "medium", "high", "high", "critical"];
    let severity = severities[n % severities.len()];
    let line = json!({
        "asset": format!("host-{:03}.example", n % 200), "asset_kind": "host", "title": format!("Weakness {} in package {}", n % 977, n % 131),
        "description": "A flaw in the parser lets a remote sender read memory past the end of a buffer. ".repeat(3),
        "severity": severity, "class": "VULNERABILITY", "category": "os-pkgs", "reference": format!("CHECK-{n}"),
        "type": if n.is_multiple_of(3) { "memory" } else { "logic" }, "cvss_score": (n % 100) as f64 / 10.0,
        "cvss_vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "epss_score": (n % 1000) as f64 / 1000.0,
        "known_exploit": n.is_multiple_of(17), "cve_ids": format!("CVE-2026-{:05}", n % 90_000), "cwe_ids": format!("CWE-{}", n % 900),
        "endpoint": format!("https://host-{:03}.example/path/{}", n % 200, n % 37), "port": 443,
        "component_name": format!("package-{}", n % 131), "component_version": "1.2.3", "fixed_version": "1.2.4",
        "fix_available": n.is_multiple_of(2), "file_path": format!("usr/lib/package-{}/module.so", n % 131), "line": n % 4000,
        "references": format!("https://example.org/a/{n},https://example.org/b/{n}"), "tags": format!("team-{},env-{}", n % 7, n % 3),
        "remediation": "Upgrade to the fixed version.", "first_seen_at": "2026-11-01T00:00:00Z",
    });
    format!("{line}\n")
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
        key: None,
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

/// What one round measured.
struct Round {
    first: Took,
    second: Took,
    bare: Option<Duration>,
}

async fn round(database: &str, rules: usize, findings: usize, beside_bare: bool) -> Round {
    let bench = Bench::open(database).await;
    for n in 0..rules {
        bench.domain.rule_create(&bench.actor, rule(n)).await.expect("a rule");
    }
    let first = import(&bench, findings).await;
    let second = import(&bench, findings).await;
    let (url, folder) = bench.end().await;
    let bare = match beside_bare {
        true => Some(bare(&url, database, folder.path(), findings).await),
        false => None,
    };
    Round { first, second, bare }
}

/// Measures in rounds, each with imports and a bare insert of its own: what else the machine does
/// meanwhile is in both. Told are the medians; of what imports come to beside others, the median of
/// the rounds' own.
async fn run(database: &str, rules: usize, findings: usize, beside_bare: bool) {
    let mut rounds = Vec::new();
    for _ in 0..if beside_bare { support::number("COUNTERSIGN_REPEATS", 5) } else { 1 } {
        rounds.push(round(database, rules, findings, beside_bare).await);
    }
    let median = |figure: &dyn Fn(&Round) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let most = |figure: &dyn Fn(&Round) -> u64| rounds.iter().map(figure).max().unwrap_or_default();
    let rate = |time: Duration| findings as f64 / time.as_secs_f64();
    let per_thousand = |statements: u64| statements as f64 * 1_000.0 / findings as f64;
    let share = |part: Duration, all: Duration| part.as_secs_f64() / all.as_secs_f64();
    let (bare_rate, ratio) = if beside_bare {
        let bare = |round: &Round| round.bare.expect("it was measured");
        let ratio = median(&|round| share(bare(round), round.first.time));
        (format!("{:.0}", median(&|round| rate(bare(round)))), format!("{ratio:.2}"))
    } else {
        (String::new(), String::new())
    };
    println!(
        "{database:<9} {rules:>5} {findings:>8}  {:>8.0} {:>5.0}% {:>5.1} {:>5}  {bare_rate:>7} {ratio:>6}  {:>8.0} {:>7.2} {:>5.1} {:>5}",
        median(&|round| rate(round.first.time)),
        median(&|round| share(round.first.check, round.first.time) * 100.0),
        median(&|round| per_thousand(round.first.statements)),
        most(&|round| round.first.peak),
        median(&|round| rate(round.second.time)),
        median(&|round| share(round.first.time, round.second.time)),
        median(&|round| per_thousand(round.second.statements)),
        most(&|round| round.second.peak),
    );
}

/// What an import took.
struct Took {
    /// From the end of the upload to the end of the import.
    time: Duration,
    /// Of that, until the first finding could be stored.
    check: Duration,
    statements: u64,
    /// The most memory that the process had from the beginning of the upload on, in MiB.
    peak: u64,
}

async fn import(bench: &Bench, findings: usize) -> Took {
    forget_peak();
    let request = ImportRequest {
        project: bench.project,
        format: Format::parse("JSONL"),
        mapping: serde_json::from_value(mapping()).expect("a mapping"),
        saved: None,
        asset: None,
        series: Some("bench".to_owned()),
        complete: true,
        name: "bench".to_owned(),
    };
    let job = bench.domain.import_start(&bench.actor, request).await.expect("an import");
    bench.upload(&bench.actor, job.id, (0..findings).map(line)).await;
    let before = support::statements::statements();
    let (_, time, check) = bench.ended(&bench.actor, job.id, "storing").await;
    let statements = support::statements::statements() - before;
    Took { time, check: check.unwrap_or(time), statements, peak: peak_mib() }
}

/// The tables that an import writes rows to.
const TABLES: [&str; 5] = ["finding", "finding_cve", "audit_entry", "event", "sighting"];

/// The rows that are there, inserted again into empty tables of the same shape: those of a thousand
/// findings a transaction, in multi-row statements and nothing else.
async fn bare(url: &str, database: &str, folder: &std::path::Path, findings: usize) -> Duration {
    let source = connect(url.to_owned()).await;
    let backend = source.get_database_backend();
    let target = if database == "sqlite" {
        let url = format!("sqlite:{}/bare.db?mode=rwc", folder.display());
        let target = connect(url).await;
        migration::Migrator::up(&target, None).await.expect("tables");
        target
    } else {
        source.clone()
    };
    let mut tables = Vec::new();
    for table in TABLES {
        let columns = columns(&source, backend, table).await;
        if columns.is_empty() {
            continue;
        }
        if database != "sqlite" {
            let text = format!("CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)");
            source.execute_unprepared(&text).await.expect("a table");
        }
        let rows = rows(&source, backend, table, &columns).await;
        tables.push((table, columns, rows));
    }
    let start = Instant::now();
    for from in (0..findings).step_by(1_000) {
        let tx = target.begin().await.expect("a transaction");
        for (table, columns, rows) in &tables {
            let share = |n: usize| rows.len() * n / findings;
            let chunk = &rows[share(from)..share((from + 1_000).min(findings))];
            let name = if database == "sqlite" { (*table).to_owned() } else { format!("bare_{table}") };
            insert(&tx, backend, columns, &name, chunk).await;
        }
        tx.commit().await.expect("a commit");
    }
    start.elapsed()
}

/// The columns of a table and their types, as the database tells them; none where it has no such table.
async fn columns(conn: &DatabaseConnection, backend: DbBackend, table: &str) -> Vec<(String, String)> {
    let text = match backend {
        DbBackend::Postgres => format!(
            "SELECT column_name::text, udt_name::text FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
        ),
        _ => format!("SELECT name, lower(type) FROM pragma_table_info('{table}') ORDER BY cid"),
    };
    let rows = conn.query_all_raw(Statement::from_string(backend, text)).await.expect("columns");
    rows.iter()
        .map(|row| (row.try_get_by_index(0).expect("a name"), row.try_get_by_index(1).expect("a type")))
        .collect()
}

async fn rows(
    source: &DatabaseConnection,
    backend: DbBackend,
    table: &str,
    columns: &[(String, String)],
) -> Vec<Vec<Value>> {
    let pick = |(name, kind): &(String, String)| match kind.as_str() {
        "jsonb" => format!("\"{name}\"::text"),
        _ => format!("\"{name}\""),
    };
    let picks: Vec<String> = columns.iter().map(pick).collect();
    // Findings have ids in the order in which they were made; of the ledger, what is about findings.
    let (which, order) = match table {
        "audit_entry" => ("WHERE record_kind = 'finding'", "seq"),
        "event" => ("WHERE kind LIKE 'finding%'", "seq"),
        "sighting" | "finding_cve" => ("", "finding_id"),
        _ => ("", "id"),
    };
    let text = format!("SELECT {} FROM {table} {which} ORDER BY {order}", picks.join(", "));
    let found = source.query_all_raw(Statement::from_string(backend, text)).await.expect("rows");
    let value = |row: &QueryResult, at: usize, kind: &str| match kind {
        "uuid" => row.try_get_by_index::<Option<uuid::Uuid>>(at).expect("a value").into(),
        "int4" | "integer" => row.try_get_by_index::<Option<i32>>(at).expect("a value").into(),
        "int8" | "bigint" => row.try_get_by_index::<Option<i64>>(at).expect("a value").into(),
        "float8" | "double precision" => row.try_get_by_index::<Option<f64>>(at).expect("a value").into(),
        "bool" | "boolean" => row.try_get_by_index::<Option<bool>>(at).expect("a value").into(),
        "bytea" | "blob" => row.try_get_by_index::<Option<Vec<u8>>>(at).expect("a value").into(),
        _ => row.try_get_by_index::<Option<String>>(at).expect("a value").into(),
    };
    found
        .iter()
        .map(|row| columns.iter().enumerate().map(|(at, (_, kind))| value(row, at, kind)).collect())
        .collect()
}

async fn insert(
    conn: &impl ConnectionTrait,
    backend: DbBackend,
    columns: &[(String, String)],
    name: &str,
    rows: &[Vec<Value>],
) {
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
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
                    DbBackend::Postgres if kind == "jsonb" => write!(text, "{comma}${bound}::jsonb"),
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

/// Counts the peak from now on.
fn forget_peak() {
    // Where this cannot be written, the peak is that of the whole run.
    let _unsupported = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that this process has had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    kib / 1_024
}
