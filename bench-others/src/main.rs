//! What others' expression engines cost beside ours, on the rules and findings of `--bench matcher`.
//!
//! Every engine gets the same rules in its own syntax, compiled beforehand, and the same findings as
//! values of its own, made beforehand and not counted; ours reads its findings inside of the time.
//! All find the same matches, or this ends with a panic.

use std::time::Duration;

use domain::finding::facts::{Facts, Finding};
use domain::inventory::asset::Asset;
use domain::rule::matcher::{Index, Matcher};

use ours::{by_index, median, pass, plainly, rules};
use row::Row;

mod cel;
#[path = "../../domain/benches/matcher/data.rs"]
mod data;
#[path = "../../domain/benches/matcher/ours.rs"]
mod ours;
mod row;
mod syntax;
mod wirefilter;
mod zen;

/// The server's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FINDINGS: usize = 10_000;
const TIMES: usize = 5;

fn main() {
    let assets = data::assets();
    let findings = data::findings(FINDINGS, &assets);
    println!("nanoseconds per rule and finding; times of it: how many times longer than ours by the index\n");
    println!(
        "{:>6}  {:<16} {:>9} {:>9} {:>9} {:>10} {:>12} {:>12}",
        "rules", "engine", "findings", "matches", "ns", "seconds", "x our match", "x our pass"
    );
    for (count, quick, slow) in [(1_000, 10_000, 1_000), (10_000, 1_000, 100)] {
        measure(count, (quick, slow), &findings, &assets);
    }
}

/// `quick` and `slow`: over how many findings engines go that would take minutes for all.
fn measure(count: usize, (quick, slow): (usize, usize), findings: &[(usize, Finding)], assets: &[Asset]) {
    let made = rules(count);
    let trees: Vec<serde_json::Value> = (0..count).map(data::criteria).collect();
    let facts: Vec<Facts<'_>> = findings
        .iter()
        .map(|(at, finding)| Facts { finding, asset: &assets[*at], shown: &finding.shown })
        .collect();
    let rows: Vec<Row> = facts.iter().map(Row::of).collect();
    let each = |time: Duration, findings: usize| time.as_secs_f64() * 1e9 / (count * findings) as f64;

    let index = Index::new(made.iter().map(|rule| rule.criteria.as_ref().ok()));
    let (indexed, matches) = median(TIMES, || by_index(&index, &facts));
    let (plain, some) = median(1, || plainly(&made, &facts[..slow]));
    let matcher = Matcher::new(made);
    let (pass, _) = pass(&matcher, findings, assets, TIMES);
    let (ours, whole) = (each(indexed, FINDINGS), each(pass, FINDINGS));

    let tell = |engine: &str, findings: usize, matches: usize, time: Duration| {
        let ns = each(time, findings);
        println!(
            "{count:>6}  {engine:<16} {findings:>9} {matches:>9} {ns:>9.3} {:>10.4} {:>12.1} {:>12.1}",
            time.as_secs_f64(),
            ns / ours,
            ns / whole
        );
    };
    tell("ours, index", FINDINGS, matches, indexed);
    tell("ours, whole pass", FINDINGS, matches, pass);
    tell("ours, plain", slow, some, plain);

    let expected = |engine: &str, found: usize, matches: usize| {
        assert_eq!(found, matches, "{engine} finds what our rules find");
    };
    let (time, found) = wirefilter::measure(&trees, &rows[..quick]);
    let (_, same) = median(1, || by_index(&index, &facts[..quick]));
    expected("wirefilter", found, same);
    tell("wirefilter", quick, found, time);
    let (time, found) = cel::measure(&trees, &rows[..slow]);
    expected("cel", found, some);
    tell("cel", slow, found, time);
    let (time, found) = zen::measure(&trees, &rows[..slow]);
    expected("zen", found, some);
    tell("zen-expression", slow, found, time);
}
