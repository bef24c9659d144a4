//! An index answers as its trees do by themselves, on random trees and subjects, proper or not.

use proptest::prelude::*;
use proptest::sample::Index as Any;

use super::{Block, Index, Judged, Rows};
use crate::vocabulary::criteria::properties::{NOW, Record, Seen, anything, parse, proper, record, tree};
use crate::vocabulary::criteria::{Compiled, Outcome};
use crate::vocabulary::field::finding::FINDING;

const CASES: u32 = 4_000;

/// What each tree says of each record, asked one by one.
fn plainly(tree: Option<&Compiled>, records: &[Record], of: Rows) -> Judged {
    let outcome = |row: usize| tree.map_or(Outcome::Error, |tree| tree.matches(&records[row], NOW));
    let rows = |asked: Outcome| of.iter().filter(|row| outcome(*row) == asked).collect();
    Judged { holds: rows(Outcome::True), errors: rows(Outcome::Error) }
}

/// Few records of many sorts: torn ones in some batches, none in others; some of them equal.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let batch = |of: fn(_) -> BoxedStrategy<Seen>| prop::collection::vec(record(of), 0..12);
    (prop_oneof![batch(proper), batch(anything)], prop::collection::vec(any::<Any>(), 0..6)).prop_map(
        |(mut records, again)| {
            if !records.is_empty() {
                let same: Vec<Record> = again.iter().map(|at| at.get(&records).clone()).collect();
                records.extend(same);
            }
            records
        },
    )
}

/// Values that rows take over from each other between two trees.
fn changes() -> impl Strategy<Value = Vec<(usize, Any, Any)>> {
    prop::collection::vec((0..FINDING.fields.len(), any::<Any>(), any::<Any>()), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn an_index_answers_as_its_trees_do(
        trees in prop::collection::vec(prop::option::weighted(0.95, tree(FINDING.fields)), 0..12),
        records in records(),
        changes in prop::collection::vec(changes(), 12),
        asleep in prop::collection::vec(any::<Any>(), 0..4),
    ) {
        let trees: Vec<Option<Compiled>> =
            trees.iter().map(|tree| tree.as_ref().map(|tree| Compiled::new(&parse(tree)))).collect();
        let index = Index::new(trees.iter().map(Option::as_ref));
        let mut records = records;
        let mut of = Rows::first(records.len());
        if !records.is_empty() {
            asleep.iter().for_each(|row| of.remove(row.index(records.len())));
        }
        let mut block = Block::new(&index, &records, of, NOW);
        for (at, tree) in trees.iter().enumerate() {
            let expected = plainly(tree.as_ref(), &records, of);
            if block.next(at) == Some(at) {
                prop_assert_eq!(block.judge(at, of, &records), expected);
            } else {
                prop_assert_eq!(expected, Judged { holds: Rows::NONE, errors: Rows::NONE }, "it was left out");
            }
            for (field, from, to) in &changes[at] {
                if records.is_empty() {
                    break;
                }
                let (from, to) = (from.index(records.len()), to.index(records.len()));
                records[to].0[*field] = records[from].0[*field].clone();
                block.renew(*field, Rows::from_iter([to]) & of, at, &records);
            }
        }
        prop_assert_eq!(block.next(trees.len()), None);
    }
}
