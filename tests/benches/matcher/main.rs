//! What the rules cost: 1,000 and 10,000 of them over 10,000 findings, on one core, in nanoseconds
//! per rule and finding: each rule by itself, by the index, and the whole pass with every entry and
//! audit record built.
//!
//! `cargo bench --workspace --bench matcher`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use domain::finding::batch::Batch;
use domain::finding::facts::{Facts, Finding};
use domain::inventory::asset::Asset;
use domain::rule::matcher::{Block, Index, Matcher, Rows, WIDTH};
use domain::rule::pass::LiveRule;
use domain::vocabulary::criteria::{Compiled, Criteria};
use domain::vocabulary::field::finding::FINDING;
use serde_json::json;
use uuid::Uuid;

mod data;

/// The server's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FINDINGS: usize = 10_000;
/// How often each is measured; the median counts.
const TIMES: usize = 7;
/// How many findings a batch has: what an import stores at once.
const BATCH: usize = 500;

fn main() {
    let assets = data::assets();
    let findings = data::findings(FINDINGS, &assets);
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

fn rules(count: usize) -> Vec<LiveRule> {
    (0..count)
        .map(|n| {
            let tree = data::criteria(n);
            let criteria =
                Criteria::parse(&FINDING, &tree).unwrap_or_else(|faults| panic!("{tree}: {faults}"));
            LiveRule {
                id: Uuid::from_u128(0x1000_0000 + n as u128),
                name: format!("rule {n}"),
                version: 1,
                content_hash: "0123456789abcdef".repeat(4),
                enforced: !n.is_multiple_of(20),
                criteria: Ok(Compiled::new(&criteria)),
                action: data::action(n),
            }
        })
        .collect()
}

fn measure(count: usize, findings: &[(usize, Finding)], assets: &[Asset]) {
    let (compile, made) = median(3, || rules(count));
    let trees = || made.iter().map(|rule| rule.criteria.as_ref().ok());
    let (indexing, index) = median(TIMES, || Index::new(trees()));
    let facts: Vec<Facts<'_>> = findings
        .iter()
        .map(|(at, finding)| Facts { finding, asset: &assets[*at], shown: &finding.shown })
        .collect();
    let times = if count > 1_000 { 3 } else { TIMES };
    let (plain, matches) = median(times, || plainly(&made, &facts));
    let (indexed, same) = median(TIMES, || by_index(&index, &facts));
    assert_eq!(matches, same, "the index finds what the rules find");
    let matcher = Matcher::new(made);
    let (pass, (applications, entries)) =
        median_of(TIMES, || findings.to_vec(), |findings| passed(&matcher, findings, assets));
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

fn plainly(rules: &[LiveRule], facts: &[Facts<'_>]) -> usize {
    let mut matches = 0;
    for fact in facts {
        for rule in rules {
            let holds = rule.criteria.as_ref().is_ok_and(|tree| tree.matches(fact, data::NOW).is_true());
            matches += usize::from(holds);
        }
    }
    matches
}

fn by_index(index: &Index, facts: &[Facts<'_>]) -> usize {
    let mut matches = 0;
    for batch in facts.chunks(BATCH).flat_map(|batch| batch.chunks(WIDTH)) {
        let all = Rows::first(batch.len());
        let mut block = Block::new(index, batch, all, data::NOW);
        let mut next = block.next(0);
        while let Some(at) = next {
            matches += black_box(block.judge(at, all, batch)).holds.len();
            next = block.next(at + 1);
        }
    }
    matches
}

/// How many applications were told, and how many audit entries.
fn passed(matcher: &Matcher, findings: Vec<(usize, Finding)>, assets: &[Asset]) -> (usize, usize) {
    let cause = json!({ "job": Uuid::from_u128(1), "scan": Uuid::from_u128(2) });
    let (mut events, mut entries) = (0, 0);
    let mut findings = findings.into_iter().peekable();
    while findings.peek().is_some() {
        let mut batch = Batch::new(data::NOW, &cause);
        for (at, finding) in findings.by_ref().take(BATCH) {
            batch.change(finding, &assets[at], Vec::new()).expect("nothing is changed");
        }
        let outcome = black_box(batch.pass(Some(matcher)));
        events += outcome.told().events.len();
        entries += outcome.told().entries.len();
    }
    (events, entries)
}

fn median<T>(times: usize, work: impl Fn() -> T) -> (Duration, T) {
    median_of(times, || (), |()| work())
}

/// The median time of `work`, without what its making ready takes.
fn median_of<I, T>(times: usize, ready: impl Fn() -> I, work: impl Fn(I) -> T) -> (Duration, T) {
    let mut took: Vec<(Duration, T)> = (0..times)
        .map(|_| {
            let input = ready();
            let start = Instant::now();
            let result = black_box(work(input));
            (start.elapsed(), result)
        })
        .collect();
    took.sort_by_key(|(time, _)| *time);
    took.swap_remove(times / 2)
}
