//! What a load of EPSS costs: 300,000 scores over 100,000 findings, with time, statements, and rows
//! written, on both databases.
//!
//! `cargo bench --workspace --bench intel`; `COUNTERSIGN_POSTGRES` names an empty PostgreSQL
//! database to measure on, `COUNTERSIGN_FINDINGS` how many findings (100,000 if not set); there are
//! three times as many scores.

use std::fmt::Write;

use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intel::feed::Feed;
use serde_json::json;

use support::Bench;

mod support;

#[tokio::main]
async fn main() {
    let databases = support::begin();
    let findings = support::number("COUNTERSIGN_FINDINGS", 100_000);
    println!("{} scores over {findings} findings, each of a CVE of its own\n", findings * 3);
    println!(
        "{:<10} {:<44} {:>8} {:>11} {:>9} {:>9} {:>9}",
        "database", "load", "seconds", "statements", "rows", "facts", "findings"
    );
    for database in databases {
        run(database, findings).await;
    }
}

/// The CVE of this number: those below the number of findings are named by one.
fn cve(n: usize) -> String {
    format!("CVE-2026-{:06}", n + 1)
}

fn report(findings: usize) -> impl Iterator<Item = String> {
    (0..findings).map(|n| {
        let line = json!({
            "asset": format!("host-{:03}.example", n % 200), "title": format!("Weakness {n}"),
            "severity": "high", "scanner_reference": format!("CHECK-{n}"), "cve_ids": cve(n),
            "description": "A flaw in the parser lets a remote sender read memory past the end of a buffer.",
        });
        format!("{line}\n")
    })
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
    let bench = Bench::open(database).await;
    let fields = ["asset", "title", "severity", "scanner_reference", "cve_ids", "description"];
    let columns: serde_json::Map<String, serde_json::Value> =
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
    bench.upload(&bench.actor, job.id, report(findings)).await;
    bench.ended(&bench.actor, job.id, "").await;
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
        let platform = &bench.platform;
        let job = bench.domain.intel_load_start(platform, Feed::Epss, "scores").await.expect("a load");
        let before = support::statements::statements();
        bench.upload(platform, job.id, std::iter::once(file.clone())).await;
        let (ended, time, _) = bench.ended(platform, job.id, "").await;
        let statements = support::statements::statements() - before;
        let counts = ["rows", "facts", "findings"].map(|name| ended.counts[name].as_i64().unwrap_or(0));
        println!(
            "{database:<10} {what:<44} {:>8.2} {statements:>11} {:>9} {:>9} {:>9}",
            time.as_secs_f64(),
            counts[0],
            counts[1],
            counts[2],
        );
    }
    bench.end().await;
}
