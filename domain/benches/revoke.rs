//! What a revoke of 50,000 applications costs as a job on each database, beside the bare writes of it:
//! the same rows updated, many in a statement, with their audit entries, in the same run.
//!
//! `cargo bench --workspace --bench revoke`; `COUNTERSIGN_POSTGRES` names an empty PostgreSQL database
//! to measure on, `COUNTERSIGN_FINDINGS` how many findings (50,000 if not set).

use std::time::{Duration, Instant};

use domain::finding::layers::RevokeMode;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::rule::pass::Mode;
use domain::rule::revoke::{RevokeOf, RevokeRequest};
use domain::rule::{OnExpiry, Rule, RuleDraft};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement, TransactionTrait, Value,
};
use serde_json::{Value as Json, json};

use support::{Bench, connect, statements::statements};

#[expect(dead_code, reason = "it needs a part of what benches share")]
mod support;

/// As many rows in a transaction as a chunk of the job has.
const CHUNK: usize = 250;

#[tokio::main]
async fn main() {
    let databases = support::begin();
    let findings = support::number("COUNTERSIGN_FINDINGS", 50_000);
    println!("{findings} findings that one rule spoke of\n");
    println!(
        "{:<9} {:>12} {:>12} {:>11} {:>11} {:>7}",
        "database", "bare seconds", "job seconds", "findings/s", "statements", "ratio"
    );
    for database in databases {
        let bench = Bench::open(database).await;
        let rule = seed(&bench, findings).await;
        let bare = bare(&bench, findings).await;
        let before = statements();
        let of = RevokeOf::Rule { rule: rule.id, from: None, to: None };
        let request =
            RevokeRequest { of, mode: RevokeMode::Safe, turn_off: true, sweep: false, reason: None };
        let job = bench.domain.rule_revoke(&bench.actor, request).await.expect("a revoke");
        let (ended, time, _) = bench.ended(&bench.actor, job.id, "").await;
        assert_eq!(ended.counts["restored"], json!(findings));
        println!(
            "{database:<9} {:>12.2} {:>12.2} {:>11.0} {:>11} {:>7.2}",
            bare.as_secs_f64(),
            time.as_secs_f64(),
            findings as f64 / time.as_secs_f64(),
            statements() - before,
            time.as_secs_f64() / bare.as_secs_f64(),
        );
        bench.end().await;
    }
}

/// Findings of which one rule spoke as they came in.
async fn seed(bench: &Bench, findings: usize) -> Rule {
    let draft = RuleDraft {
        key: None,
        name: "Tagged".to_owned(),
        description: None,
        order: 1,
        mode: Mode::Enforce,
        expires_at: None,
        on_expiry: OnExpiry::Keep,
        criteria: json!({ "field": "severity", "operator": "eq", "value": "high" }),
        action: json!({ "type": "append_tag", "config": { "tags": ["pci"] } }),
        requires_approval: false,
    };
    let rule = bench.domain.rule_create(&bench.actor, draft).await.expect("a rule");
    let fields = ["asset", "title", "description", "severity", "scanner_reference", "component_name"];
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
    bench.upload(&bench.actor, job.id, (0..findings).map(line)).await;
    bench.ended(&bench.actor, job.id, "").await;
    rule
}

fn line(n: usize) -> String {
    let line = json!({
        "asset": format!("host-{:03}.example", n % 200), "title": format!("Weakness {} in package {}", n % 977, n % 131),
        "description": "A flaw in the parser lets a remote sender read memory past the end of a buffer. ".repeat(3),
        "severity": "high", "scanner_reference": format!("CHECK-{n}"),
        "component_name": format!("package-{}", n % 131),
    });
    format!("{line}\n")
}

/// The columns of an audit entry that are copied as they are.
const ENTRY: &str =
    "company_id, at, action, record_kind, record_id, actor, before, after, cause, digest, hash, rule_id";

/// Writes what a revoke of everything writes at the least, to what is there already: the rows of the
/// findings, and an entry each in a table like that of the audit. What is read is not counted.
async fn bare(bench: &Bench, findings: usize) -> Duration {
    let conn = connect(bench.url.clone()).await;
    let backend = conn.get_database_backend();
    like_the_audit(&conn).await;
    let rows = "SELECT id, company_id, layers, revision, updated_at FROM finding ORDER BY id";
    let rows = conn.query_all_raw(Statement::from_string(backend, rows)).await.expect("findings");
    assert_eq!(rows.len(), findings);
    let entries = format!("SELECT {ENTRY} FROM audit_entry WHERE action = 'finding.rule_applied'");
    let entries = conn.query_all_raw(Statement::from_string(backend, entries)).await.expect("entries");
    assert_eq!(entries.len(), findings);
    let mut time = Duration::ZERO;
    for (at, (rows, entries)) in rows.chunks(CHUNK).zip(entries.chunks(CHUNK)).enumerate() {
        let (update, insert) = (update(backend, rows), insert(backend, entries, at * CHUNK));
        let start = Instant::now();
        let tx = conn.begin().await.expect("a transaction");
        let updated = tx.execute_raw(update).await.expect("an update").rows_affected();
        tx.execute_raw(insert).await.expect("an insert");
        tx.commit().await.expect("a commit");
        time += start.elapsed();
        assert_eq!(updated, rows.len() as u64);
    }
    time
}

/// A table with the columns and indexes of the audit.
async fn like_the_audit(conn: &DatabaseConnection) {
    let backend = conn.get_database_backend();
    if backend == DbBackend::Postgres {
        let like = "CREATE TABLE bare_entry (LIKE audit_entry INCLUDING ALL)";
        conn.execute_unprepared(like).await.expect("a table");
        return;
    }
    let made =
        "SELECT sql FROM sqlite_master WHERE tbl_name = 'audit_entry' AND sql IS NOT NULL ORDER BY type DESC";
    for row in conn.query_all_raw(Statement::from_string(backend, made)).await.expect("statements") {
        let text: String = row.try_get_by_index(0).expect("a text");
        let text = text.replace("audit_entry", "bare_entry").replace("INDEX ", "INDEX bare_");
        conn.execute_unprepared(&text).await.expect("a table or an index");
    }
}

/// A list of rows as a database wants their placeholders.
fn values(backend: DbBackend, rows: usize, width: usize) -> String {
    let mut place = 0;
    let mut next = || {
        place += 1;
        if backend == DbBackend::Postgres { format!("${place}") } else { "?".to_owned() }
    };
    let mut row = || format!("({})", (0..width).map(|_| next()).collect::<Vec<_>>().join(", "));
    (0..rows).map(|_| row()).collect::<Vec<_>>().join(", ")
}

fn update(backend: DbBackend, rows: &[QueryResult]) -> Statement {
    let list = values(backend, rows.len(), 4);
    let set = "SET layers = new.layers, revision = new.revision, updated_at = new.updated_at";
    let text = match backend {
        DbBackend::Postgres => format!(
            "UPDATE finding {set} FROM (VALUES {list}) AS new (id, layers, revision, updated_at) WHERE finding.id = new.id"
        ),
        _ => format!(
            "WITH new (id, layers, revision, updated_at) AS (VALUES {list}) UPDATE finding {set} FROM new WHERE finding.id = new.id"
        ),
    };
    let binds = rows.iter().flat_map(|row| {
        [
            Value::from(row.try_get::<uuid::Uuid>("", "id").expect("an id")),
            Value::from(row.try_get::<String>("", "layers").expect("a text")),
            Value::from(row.try_get::<i64>("", "revision").expect("a number")),
            Value::from(row.try_get::<i64>("", "updated_at").expect("a number")),
        ]
    });
    Statement::from_sql_and_values(backend, text, binds.collect::<Vec<_>>())
}

fn insert(backend: DbBackend, entries: &[QueryResult], begin: usize) -> Statement {
    let columns: Vec<&str> = ENTRY.split(", ").collect();
    let list = values(backend, entries.len(), columns.len() + 1);
    let text = format!("INSERT INTO bare_entry ({ENTRY}, seq) VALUES {list}");
    let bind = |row: &QueryResult, column: &str| -> Value {
        match column {
            "company_id" | "record_id" | "rule_id" => {
                row.try_get::<Option<uuid::Uuid>>("", column).expect("an id").into()
            }
            "at" => row.try_get::<i64>("", column).expect("a number").into(),
            "digest" | "hash" => row.try_get::<Vec<u8>>("", column).expect("bytes").into(),
            _ => row.try_get::<Option<String>>("", column).expect("a text").into(),
        }
    };
    let binds = entries.iter().zip(begin..).flat_map(|(row, seq)| {
        let seq = Value::from(i64::try_from(seq).expect("a small number"));
        columns.iter().map(|column| bind(row, column)).chain([seq]).collect::<Vec<_>>()
    });
    Statement::from_sql_and_values(backend, text, binds.collect::<Vec<_>>())
}
