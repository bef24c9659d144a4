//! What a sweep over 1,000,000 findings costs on each database, and how long a page of findings takes
//! meanwhile, beside idle.
//!
//! `cargo bench --workspace --bench sweep`; `COUNTERSIGN_POSTGRES` names an empty PostgreSQL
//! database to measure on, `COUNTERSIGN_FINDINGS` how many findings (1,000,000 if not set). Every
//! hundredth of them is imported; the others are copies of their rows.

use std::time::{Duration, Instant};

use domain::finding::query::{FindingFilter, FindingOrder};
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::page::PageArgs;
use domain::rule::pass::Mode;
use domain::rule::{OnExpiry, RuleDraft};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use support::{Bench, connect};

#[expect(dead_code, reason = "it needs a part of what benches share")]
mod support;

const COPIES: usize = 100;
const RULES: usize = 100;
/// How long a reader rests between two pages.
const REST: Duration = Duration::from_millis(10);

#[tokio::main]
async fn main() {
    let databases = support::begin();
    let findings = support::number("COUNTERSIGN_FINDINGS", 1_000_000) / COPIES * COPIES;
    println!("{findings} findings, {RULES} rules; times of pages in milliseconds\n");
    println!(
        "{:<9} {:<30} {:>9} {:>9} {:>10}  {:<26} {:>6} {:>7} {:>7} {:>7}",
        "database", "work", "seconds", "changed", "findings/s", "page", "pages", "median", "p99", "most"
    );
    for database in databases {
        run(database, findings).await;
    }
}

async fn run(database: &str, findings: usize) {
    let bench = Bench::open(database).await;
    seed(&bench, findings).await;
    tell(database, "nothing", None, &read(&bench, until(Duration::from_secs(5))).await);
    for n in 0..RULES {
        bench.domain.rule_create(&bench.actor, rule(n)).await.expect("a rule");
    }
    for work in ["the first pass of all rules", "again: nothing changes"] {
        let done = CancellationToken::new();
        let reader = read(&bench, done.clone());
        let sweep = async {
            let job = bench.domain.rule_sweep(&bench.actor).await.expect("a sweep");
            let (ended, time, _) = bench.ended(&bench.actor, job, "").await;
            done.cancel();
            (ended.done, ended.counts["changed"].as_i64().unwrap_or(0), time)
        };
        let (pages, swept) = tokio::join!(reader, sweep);
        tell(database, work, Some(swept), &pages);
    }
    bench.end().await;
}

fn until(time: Duration) -> CancellationToken {
    let token = CancellationToken::new();
    let child = token.clone();
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        child.cancel();
    });
    token
}

/// The pages that are asked for in turn, by their names.
fn pages(bench: &Bench) -> Vec<(&'static str, FindingFilter)> {
    let filter = |criteria: Option<Json>| bench.domain.finding_filter(criteria.as_ref()).expect("a filter");
    let open =
        json!({ "logic": "AND", "conditions": [{ "field": "status", "operator": "eq", "value": "OPEN" }] });
    vec![("50 worst", filter(None)), ("50 worst that are open", filter(Some(open)))]
}

/// Reads pages until `done`: what each of them took.
async fn read(bench: &Bench, done: CancellationToken) -> Vec<(&'static str, Vec<Duration>)> {
    let mut all: Vec<(&'static str, Vec<Duration>)> =
        pages(bench).iter().map(|(name, _)| (*name, Vec::new())).collect();
    while !done.is_cancelled() {
        for (at, (_, filter)) in pages(bench).iter().enumerate() {
            let start = Instant::now();
            let order = (FindingOrder::Severity, false);
            let page = bench.domain.findings(&bench.actor, filter, order, &PageArgs::first(50)).await;
            assert_eq!(page.expect("a page").edges.len(), 50);
            all[at].1.push(start.elapsed());
        }
        tokio::time::sleep(REST).await;
    }
    all
}

fn tell(
    database: &str,
    work: &str,
    swept: Option<(i64, i64, Duration)>,
    pages: &[(&'static str, Vec<Duration>)],
) {
    let (seconds, changed, rate) = swept.map_or_else(Default::default, |(done, changed, time)| {
        let rate = done as f64 / time.as_secs_f64();
        (format!("{:.1}", time.as_secs_f64()), changed.to_string(), format!("{rate:.0}"))
    });
    for (page, times) in pages {
        let mut times = times.clone();
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
        println!(
            "{database:<9} {work:<30} {seconds:>9} {changed:>9} {rate:>10}  {page:<26} {:>6} {:>7.2} {:>7.2} {:>7.2}",
            times.len(),
            at(0.5),
            at(0.99),
            at(1.0),
        );
    }
}

/// A rule that speaks of every hundredth finding or so.
fn rule(n: usize) -> RuleDraft {
    let leaf = |field: &str, operator: &str, value: Json| json!({ "field": field, "operator": operator, "value": value });
    let criteria = match n % 4 {
        0 => json!([leaf("component_name", "eq", json!(format!("package-{n}")))]),
        1 => json!([leaf("asset_name", "eq", json!(format!("host-{n:03}.example")))]),
        2 => json!([leaf("title", "contains", json!(format!("weakness {n} ")))]),
        _ => json!([
            leaf("cvss_score", "gte", json!(9.9)),
            leaf("cwe_ids", "contains", json!(format!("CWE-{n}")))
        ]),
    };
    let action = match n % 3 {
        0 => json!({ "type": "override_severity", "config": { "severity": "high" } }),
        _ => json!({ "type": "append_tag", "config": { "tags": [format!("rule-{n}")] } }),
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

fn line(n: usize) -> String {
    let severities = ["info", "low", "medium", "medium", "medium", "high", "high", "critical"];
    let line = json!({
        "asset": format!("host-{:03}.example", n % 200), "title": format!("Weakness {} in package {}", n % 977, n % 131),
        "description": "A flaw in the parser lets a remote sender read memory past the end of a buffer. ".repeat(3),
        "severity": severities[n % severities.len()], "scanner_reference": format!("CHECK-{n}"),
        "cvss_score": (n % 100) as f64 / 10.0, "cve_ids": format!("CVE-2026-{n:05}"), "cwe_ids": format!("CWE-{}", n % 900),
        "component_name": format!("package-{}", n % 131), "component_version": "1.2.3",
        "file_path": format!("usr/lib/package-{}/module.so", n % 131), "tags": format!("team-{}", n % 7),
    });
    format!("{line}\n")
}

/// Imports what there is a hundredth of, and copies its rows: the first two bytes of an id tell which
/// copy it is of.
async fn seed(bench: &Bench, findings: usize) {
    let fields = [
        "asset",
        "title",
        "description",
        "severity",
        "scanner_reference",
        "cvss_score",
        "cve_ids",
        "cwe_ids",
        "component_name",
        "component_version",
        "file_path",
        "tags",
    ];
    let columns: serde_json::Map<String, Json> =
        fields.iter().map(|field| ((*field).to_owned(), json!(field))).collect();
    let request = ImportRequest {
        project: bench.project,
        format: Some(Format::Jsonl),
        mapping: serde_json::from_value(json!({ "columns": columns, "identity": ["scanner_reference"] }))
            .expect("a mapping"),
        saved: None,
        asset: None,
        series: Some("bench".to_owned()),
        complete: true,
        name: "bench".to_owned(),
    };
    let job = bench.domain.import_start(&bench.actor, request).await.expect("an import");
    bench.upload(&bench.actor, job.id, (0..findings / COPIES).map(line)).await;
    bench.ended(&bench.actor, job.id, "").await;
    let conn = connect(bench.url.clone()).await;
    let backend = conn.get_database_backend();
    let column = "SELECT name FROM pragma_table_info('finding')";
    let text = match backend {
        DbBackend::Postgres => {
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' \
             AND table_name = 'finding'"
        }
        _ => column,
    };
    let rows = conn.query_all_raw(Statement::from_string(backend, text)).await.expect("columns");
    let columns: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0).expect("a name")).collect();
    for copy in 1..COPIES {
        let copied = |column: &str| match backend {
            DbBackend::Postgres => format!("overlay({column}::text placing '{copy:04x}' from 1 for 4)::uuid"),
            _ => format!("CAST(X'{copy:04x}' || substr({column}, 3) AS BLOB)"),
        };
        let picked: Vec<String> = columns
            .iter()
            .map(|column| match column.as_str() {
                "id" => copied(column),
                "fingerprint" if backend == DbBackend::Postgres => "gen_random_uuid()".to_owned(),
                "fingerprint" => "randomblob(16)".to_owned(),
                _ => column.clone(),
            })
            .collect();
        let original = match backend {
            DbBackend::Postgres => "id::text LIKE '01%' AND id::text > '0101'",
            _ => "id > X'0101'",
        };
        let text = format!(
            "INSERT INTO finding ({}) SELECT {} FROM finding WHERE {original}; \
             INSERT INTO finding_cve (company_id, cve_id, finding_id) SELECT company_id, cve_id, {} \
             FROM finding_cve WHERE {}",
            columns.join(", "),
            picked.join(", "),
            copied("finding_id"),
            original.replace("id", "finding_id"),
        );
        conn.execute_unprepared(&text).await.expect("copies");
    }
    let text =
        if backend == DbBackend::Postgres { "VACUUM ANALYZE" } else { "PRAGMA wal_checkpoint(TRUNCATE)" };
    conn.execute_unprepared(text).await.expect("a checkpoint");
    let text = "SELECT COUNT(*) FROM finding";
    let row =
        conn.query_one_raw(Statement::from_string(backend, text)).await.expect("a count").expect("a row");
    let count: i64 = row.try_get_by_index(0).expect("a number");
    assert_eq!(usize::try_from(count).expect("not negative"), findings);
}
