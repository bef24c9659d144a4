//! What it costs to preview a rule on 500 findings, to tell what it would affect of 5,000, and to try all
//! suggested rules on these at once: time and statements, beside a plain SELECT of the same rows, whole
//! and without reading their columns, in turn with them.
//!
//! `cargo bench --workspace --bench preview`; `COUNTERSIGN_POSTGRES` names an empty PostgreSQL database
//! to measure on, `COUNTERSIGN_FINDINGS` how many findings there are (20,000 if not set),
//! `COUNTERSIGN_REQUESTS` how often each is asked (20 if not set).

use std::time::{Duration, Instant};

use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intake::mapping::{Mapped, Mapping};
use domain::rule::library::LIBRARY;
use domain::rule::pass::Mode;
use domain::rule::preview::{Reach, Tried};
use domain::rule::{OnExpiry, RuleDraft};
use domain::vocabulary::terms::Term;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value as Json, json};

use support::statements::statements;
use support::{Bench, connect};

#[expect(dead_code, reason = "it needs a part of what benches share")]
mod support;

/// Rules that hold beside the one that is tried.
const RULES: usize = 50;

#[tokio::main]
async fn main() {
    let databases = support::begin();
    let findings = support::number("COUNTERSIGN_FINDINGS", 20_000);
    let requests = support::number("COUNTERSIGN_REQUESTS", 20);
    println!("{findings} findings, {RULES} rules; milliseconds, the median of {requests}\n");
    println!(
        "{:<9} {:<34} {:>7} {:>7} {:>10} {:>8} {:>8} {:>6}",
        "database", "work", "rows", "matched", "statements", "time", "SELECT", "times"
    );
    for database in databases {
        run(database, findings, requests).await;
    }
}

async fn run(database: &str, findings: usize, requests: usize) {
    let bench = Bench::open(database).await;
    seed(&bench, findings).await;
    for n in 0..RULES {
        bench.domain.rule_create(&bench.actor, standing(n)).await.expect("a rule");
    }
    let plain = connect(bench.url.clone()).await;
    // What a database does by itself sooner or later is not to happen in the midst of a measurement.
    let tidy = if database == "postgres" { "VACUUM ANALYZE" } else { "PRAGMA wal_checkpoint(TRUNCATE)" };
    plain.execute_unprepared(tidy).await.expect("a tidy database");
    for (work, reach) in [("preview of 500", Reach::Preview), ("affected of 5,000", Reach::Affected)] {
        let mut measured = Measured::default();
        for _ in 0..requests {
            measured.plain(&plain, reach.most()).await;
            let before = statements();
            let start = Instant::now();
            let tried = Tried::Draft { of: None, draft: Box::new(draft()) };
            let preview = bench.domain.rule_preview(&bench.actor, tried, reach).await.expect("a preview");
            measured.ours.push(start.elapsed());
            measured.statements = statements() - before;
            measured.rows = preview.totals.evaluated;
            measured.matched = preview.totals.matched;
        }
        measured.tell(database, work);
    }
    let keys: Vec<&str> = LIBRARY.iter().map(|suggestion| suggestion.key.as_str()).collect();
    let mut measured = Measured::default();
    for _ in 0..requests {
        measured.plain(&plain, Reach::Affected.most()).await;
        let before = statements();
        let start = Instant::now();
        let effects = bench.domain.suggested_effects(&bench.actor, &keys).await.expect("effects");
        measured.ours.push(start.elapsed());
        measured.statements = statements() - before;
        measured.rows = i64::try_from(effects.evaluated).expect("few");
    }
    measured.tell(database, &format!("{} suggested rules on 5,000", LIBRARY.len()));
    bench.end().await;
}

/// What was measured of one work.
#[derive(Default)]
struct Measured {
    rows: i64,
    matched: i64,
    statements: u64,
    ours: Vec<Duration>,
    plain: Vec<Duration>,
}

impl Measured {
    /// Reads the newest active findings and their assets, whole.
    async fn plain(&mut self, db: &DatabaseConnection, most: usize) {
        let start = Instant::now();
        let findings = format!(
            "SELECT f.* FROM finding AS f WHERE f.status IN (0, 1, 3) ORDER BY f.id DESC LIMIT {most}"
        );
        let read = rows(db, &findings).await;
        let assets = format!(
            "SELECT a.* FROM asset AS a WHERE a.id IN (SELECT f.asset_id FROM finding AS f \
             WHERE f.status IN (0, 1, 3) ORDER BY f.id DESC LIMIT {most})"
        );
        rows(db, &assets).await;
        self.plain.push(start.elapsed());
        assert!(read > 0, "there are findings");
    }

    fn tell(mut self, database: &str, work: &str) {
        let median = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1_000.0
        };
        let (ours, plain) = (median(&mut self.ours), median(&mut self.plain));
        println!(
            "{database:<9} {work:<34} {:>7} {:>7} {:>10} {ours:>8.1} {plain:>8.1} {:>6.2}",
            self.rows,
            self.matched,
            self.statements,
            ours / plain
        );
    }
}

async fn rows(db: &DatabaseConnection, sql: &str) -> usize {
    let backend = match db.get_database_backend() {
        DbBackend::Postgres => DbBackend::Postgres,
        _ => DbBackend::Sqlite,
    };
    db.query_all_raw(Statement::from_string(backend, sql)).await.expect("rows").len()
}

fn leaf(field: &str, operator: &str, value: Json) -> Json {
    json!({ "field": field, "operator": operator, "value": value })
}

/// The rule that is tried: a tree of three levels.
fn draft() -> RuleDraft {
    let criteria = json!({ "logic": "AND", "conditions": [
        leaf("severity", "gte_ord", json!("medium")),
        { "logic": "OR", "conditions": [
            leaf("tags", "in", json!(["team-1", "team-2"])),
            { "logic": "AND", "conditions": [
                leaf("cvss_score", "gte", json!(5)),
                leaf("title", "contains", json!("package 1")),
                leaf("cwe_ids", "not_in", json!(["CWE-79", "CWE-89"])),
            ] },
        ] },
    ] });
    let action = json!({ "type": "override_severity", "config": { "severity": "critical" } });
    rule("Tried", 500, criteria, action)
}

/// A rule that holds already.
fn standing(n: usize) -> RuleDraft {
    let criteria = json!({ "logic": "AND", "conditions": [
        leaf("component_name", "eq", json!(format!("package-{n}"))), leaf("cvss_score", "gte", json!(n % 10)),
    ] });
    let action = json!({ "type": "append_tag", "config": { "tags": [format!("rule-{n}")] } });
    rule(&format!("rule {n}"), i32::try_from(n).expect("few rules"), criteria, action)
}

fn rule(name: &str, order: i32, criteria: Json, action: Json) -> RuleDraft {
    RuleDraft {
        key: None,
        name: name.to_owned(),
        description: None,
        order,
        mode: Mode::Enforce,
        expires_at: None,
        on_expiry: OnExpiry::Keep,
        criteria,
        action,
        requires_approval: false,
    }
}

async fn seed(bench: &Bench, findings: usize) {
    let mapping = Mapping {
        columns: Mapped::ALL.iter().map(|field| (*field, field.word().to_owned())).collect(),
        identity: vec!["scanner_reference".to_owned()],
        scanner: Some("probe".to_owned()),
        ..Mapping::default()
    };
    let request = ImportRequest {
        project: bench.project,
        format: Some(Format::Jsonl),
        mapping: Some(mapping),
        saved: None,
        asset: None,
        series: Some("nightly".to_owned()),
        complete: true,
        name: "report.jsonl".to_owned(),
    };
    let job = bench.domain.import_start(&bench.actor, request).await.expect("an import").id;
    bench.upload(&bench.actor, job, (0..findings).map(line)).await;
    bench.ended(&bench.actor, job, "").await;
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
