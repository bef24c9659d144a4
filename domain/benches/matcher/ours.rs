//! What is measured of ours: the rules one by one, by the index, and the whole pass.

use std::hint::black_box;
use std::time::Duration;

use domain::finding::batch::Batch;
use domain::finding::facts::{Facts, Finding};
use domain::inventory::asset::Asset;
use domain::rule::matcher::{Block, Index, Matcher, Rows, WIDTH};
use domain::rule::pass::{Exempt, LiveRule};
use domain::vocabulary::criteria::{Compiled, Criteria};
use domain::vocabulary::field::finding::FINDING;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use uuid::Uuid;

use super::data;

/// How many findings a batch has: what an import stores at once.
pub const BATCH: usize = 500;

pub fn rules(count: usize) -> Vec<LiveRule> {
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

pub fn plainly(rules: &[LiveRule], facts: &[Facts<'_>]) -> usize {
    let mut matches = 0;
    for fact in facts {
        for rule in rules {
            let holds = rule.criteria.as_ref().is_ok_and(|tree| tree.matches(fact, data::NOW).is_true());
            matches += usize::from(holds);
        }
    }
    matches
}

pub fn by_index(index: &Index, facts: &[Facts<'_>]) -> usize {
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

/// The whole pass over the findings, with how many applications were told, and how many audit entries.
/// The median time counts.
pub fn pass(
    matcher: &Matcher,
    findings: &[(usize, Finding)],
    assets: &[Asset],
    times: usize,
) -> (Duration, (usize, usize)) {
    middle((0..times).map(|_| passed(matcher, findings.to_vec(), assets)).collect())
}

/// Passes batch by batch. The time is without what it takes to make the batches and to drop what came of
/// them.
fn passed(
    matcher: &Matcher,
    findings: Vec<(usize, Finding)>,
    assets: &[Asset],
) -> (Duration, (usize, usize)) {
    let cause = json!({ "job": Uuid::from_u128(1), "scan": Uuid::from_u128(2) });
    let (mut took, mut events, mut entries) = (Duration::ZERO, 0, 0);
    let mut findings = findings.into_iter().peekable();
    while findings.peek().is_some() {
        let mut batch = Batch::new(data::NOW, &cause);
        for (at, finding) in findings.by_ref().take(BATCH) {
            batch.change(finding, &assets[at], Vec::new()).expect("nothing is changed");
        }
        let began = on_core();
        let outcome = black_box(batch.pass(Some((matcher, &Exempt::default()))));
        took += on_core() - began;
        events += outcome.told().events.len();
        entries += outcome.told().entries.len();
    }
    (took, (events, entries))
}

/// The median time of `work`.
pub fn median<T>(times: usize, work: impl Fn() -> T) -> (Duration, T) {
    let once = |_| {
        let began = on_core();
        let result = black_box(work());
        (on_core() - began, result)
    };
    middle((0..times).map(once).collect())
}

fn middle<T>(mut took: Vec<(Duration, T)>) -> (Duration, T) {
    took.sort_by_key(|(time, _)| *time);
    took.swap_remove(took.len() / 2)
}

/// How long this thread has been on a core: what else goes on counts little.
fn on_core() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().expect("it is not negative")
}
