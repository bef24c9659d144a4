//! What the rules cost: 1,000 and 10,000 of them over 10,000 findings, on one core, in nanoseconds
//! per rule and finding: each rule by itself, by the index, and the whole pass with every entry and
//! audit record built.
//!
//! `cargo bench --workspace --bench matcher`. With `-- --match 1000` it does nothing but ask the index of
//! so many rules, over and over, and with `-- --pass 1000` the whole pass: for a profiler.

use std::time::Duration;

use domain::finding::facts::{Facts, Finding};
use domain::inventory::asset::Asset;
use domain::rule::matcher::{Index, Matcher};

use ours::{BATCH, by_index, median, pass, plainly, rules};

mod data;
mod ours;

/// The server's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FINDINGS: usize = 10_000;
/// How often each is measured; the median counts.
const TIMES: usize = 7;

fn main() {
    let assets = data::assets();
    let findings = data::findings(FINDINGS, &assets);
    if let Some(count) = asked("--pass") {
        let (pass, told) = pass(&Matcher::new(rules(count)), &findings, &assets, 25);
        println!("{told:?} applications and entries in {} us", pass.as_micros());
        return;
    }
    if let Some(count) = asked("--match") {
        let (rules, facts) = (rules(count), facts(&findings, &assets));
        let index = Index::new(rules.iter().map(|rule| rule.criteria.as_ref().ok()));
        let (indexed, matches) = median(100, || by_index(&index, &facts));
        println!("{matches} matches in {} us", indexed.as_micros());
        return;
    }
    println!(
        "{FINDINGS} findings in batches of {BATCH}; nanoseconds per rule and finding, median of {TIMES}\n"
    );
    println!(
        "{:>6} {:>8} {:>8} {:>9} | {:>9} {:>9} {:>9} | {:>9} {:>12} {:>9} | {:>8} {:>8}",
        "rules",
        "compile",
        "index",
        "of it",
        "plain",
        "index",
        "pass",
        "matches",
        "applications",
        "entries",
        "plain/i",
        "plain/p",
    );
    for rules in [1_000, 10_000] {
        measure(rules, &findings, &assets);
    }
}

/// The number of rules that an argument asks for.
fn asked(name: &str) -> Option<usize> {
    let count = std::env::args().skip_while(|argument| argument != name).nth(1)?;
    Some(count.parse().expect("a number of rules"))
}

fn facts<'a>(findings: &'a [(usize, Finding)], assets: &'a [Asset]) -> Vec<Facts<'a>> {
    findings
        .iter()
        .map(|(at, finding)| Facts { finding, asset: &assets[*at], shown: &finding.shown })
        .collect()
}

fn measure(count: usize, findings: &[(usize, Finding)], assets: &[Asset]) {
    let (compile, made) = median(3, || rules(count));
    let trees = || made.iter().map(|rule| rule.criteria.as_ref().ok());
    let (indexing, index) = median(TIMES, || Index::new(trees()));
    let facts = facts(findings, assets);
    let times = if count > 1_000 { 3 } else { TIMES };
    let (plain, matches) = median(times, || plainly(&made, &facts));
    let (indexed, same) = median(TIMES, || by_index(&index, &facts));
    assert_eq!(matches, same, "the index finds what the rules find");
    let matcher = Matcher::new(made);
    let (pass, (applications, entries)) = pass(&matcher, findings, assets, TIMES);
    let each = |time: Duration| time.as_nanos() as f64 / (count * FINDINGS) as f64;
    println!(
        "{count:>6} {:>6} ms {:>5} ms {:>8} | {:>9.3} {:>9.3} {:>9.3} | {matches:>9} {applications:>12} {entries:>9} | {:>8.1} {:>8.1}",
        (compile + indexing).as_millis(),
        indexing.as_millis(),
        format!("{:.1} %", 100.0 * indexing.as_secs_f64() / (compile + indexing).as_secs_f64()),
        each(plain),
        each(indexed),
        each(pass),
        plain.as_secs_f64() / indexed.as_secs_f64(),
        plain.as_secs_f64() / pass.as_secs_f64(),
    );
}
