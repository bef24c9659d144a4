//! A block of subjects, encoded into columns, that the trees of an index are asked about.
//!
//! A tree is asked about all rows at once: a key is the set of rows that have it, a probe is tried
//! once for each distinct value that anybody still waits for, and groups join sets of rows. The
//! third outcome needs no third value: a group's outcome only grows with those of its conditions,
//! so a tree is asked twice where a value could not be told, once with errors for false and once
//! with errors for true. Where the answers differ the outcome is an error.

use super::column::Encoded;
use super::index::{Column, Index, Probe, ProbeId};
use super::keyed::{Keyed, NOWHERE};
use super::program::{At, Question, Step};
use super::rows::Rows;
use crate::vocabulary::criteria::{Subject, Test};
use crate::vocabulary::operator::Comparison;
use crate::vocabulary::time::Timestamp;

// How a tree is asked about values that could not be told. It is known before any tree is asked, and most
// blocks have none: so each way is compiled by itself.
/// There are none.
const SOUND: u8 = 0;
/// They meet no condition.
const DOUBTED: u8 = 1;
/// They meet every condition.
const HOPED: u8 = 2;

pub struct Block<'i> {
    index: &'i Index,
    now: Timestamp,
    columns: Vec<Encoded>,
    keyed: Keyed<'i>,
    /// By probe: the place of what is known of it in `memos`.
    memo_places: Vec<u32>,
    memos: Vec<Memo>,
    /// Whether any value could not be told.
    faulty: bool,
    /// A text while it is folded.
    folded: String,
}

/// What is known of a probe.
#[derive(Clone, Copy, Default)]
struct Memo {
    tried: Rows,
    passed: Rows,
}

/// For which rows a tree holds, and for which it could not be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    pub holds: Rows,
    pub errors: Rows,
}

impl<'i> Block<'i> {
    /// Encodes the rows `of` the subjects, which are at most [`super::rows::WIDTH`].
    pub fn new<S: Subject>(index: &'i Index, subjects: &[S], of: Rows, now: Timestamp) -> Self {
        let mut block = Self {
            index,
            now,
            columns: index.columns.iter().map(|_| Encoded::default()).collect(),
            keyed: Keyed::new(index, subjects.len()),
            memo_places: vec![NOWHERE; index.probes.len()],
            memos: Vec::new(),
            faulty: false,
            folded: String::new(),
        };
        for (field, column) in index.columns.iter().enumerate() {
            if let Some(column) = column {
                block.encode(field, column, of, subjects);
            }
        }
        block
    }

    /// The first tree from `at` on that may hold for a row of this block.
    pub fn next(&self, at: usize) -> Option<usize> {
        self.keyed.next(at)
    }

    /// Asks a tree about the rows `of` the block. One that does not compile is an error everywhere.
    pub fn judge<S: Subject>(&mut self, tree: usize, of: Rows, subjects: &[S]) -> Judged {
        let Some(at) = self.index.program.tree(tree) else { return Judged { holds: Rows::NONE, errors: of } };
        if !self.faulty {
            let mut holds = of;
            self.keep::<SOUND, S>(at, &mut holds, subjects);
            return Judged { holds, errors: Rows::NONE };
        }
        let (mut holds, mut errors) = (of, of);
        self.keep::<DOUBTED, S>(at, &mut holds, subjects);
        errors -= holds;
        self.keep::<HOPED, S>(at, &mut errors, subjects);
        Judged { holds, errors }
    }

    /// Reads a field of these rows anew, for the trees after `at`.
    pub fn renew<S: Subject>(&mut self, field: usize, rows: Rows, at: usize, subjects: &[S]) {
        let Some(Some(column)) = self.index.columns.get(field) else { return };
        if column.last_reader <= at {
            return;
        }
        let encoded = &mut self.columns[field];
        encoded.present -= rows;
        encoded.faulty -= rows;
        self.keyed.forget(&encoded.keys, rows);
        for probe in &column.probes {
            if let Some(memo) = self.memos.get_mut(self.memo_places[*probe as usize] as usize) {
                memo.tried -= rows;
                memo.passed -= rows;
            }
        }
        encoded.texts.remove(rows);
        self.encode(field, column, rows, subjects);
    }

    /// Notes an element that came to the others of a set in these rows, for the trees after `at`.
    pub fn add(&mut self, field: usize, element: &str, rows: Rows, at: usize) {
        let Some(Some(column)) = self.index.columns.get(field) else { return };
        if column.last_reader > at {
            self.columns[field].add(column, element, rows, &mut self.folded, &mut self.keyed);
        }
    }

    fn encode<S: Subject>(&mut self, field: usize, column: &'i Column, rows: Rows, subjects: &[S]) {
        let encoded = &mut self.columns[field];
        encoded.read((field, column), rows, subjects, &mut self.folded, &mut self.keyed);
        if !(encoded.faulty & rows).is_empty() && !self.faulty {
            // An error may make a tree one where no key of it is: every tree is looked at.
            self.faulty = true;
            self.keyed.wake_all();
        }
    }

    /// Keeps those of the rows for which the step at `at` holds, with what could not be told taken as
    /// `FAULTS` says. Returns the place behind the step.
    fn keep<const FAULTS: u8, S: Subject>(&mut self, at: At, rows: &mut Rows, subjects: &[S]) -> At {
        match self.index.program.step(at) {
            Step::All { end } => {
                let mut next = at + 1;
                while next < end && !rows.is_empty() {
                    next = self.keep::<FAULTS, S>(next, rows, subjects);
                }
                end
            }
            Step::Any { end } => {
                let (mut next, mut left) = (at + 1, *rows);
                while next < end && !left.is_empty() {
                    let mut held = left;
                    next = self.keep::<FAULTS, S>(next, &mut held, subjects);
                    left -= held;
                }
                *rows -= left;
                end
            }
            Step::Leaf { field, negated, question } => {
                let of = *rows;
                let passed = match question {
                    Question::Key(key) => *self.keyed.having(key),
                    Question::Present => self.columns[usize::from(field)].present,
                    Question::AnyOf(run) => {
                        let keys = self.index.program.keys(run).iter();
                        keys.fold(Rows::NONE, |any, key| any | *self.keyed.having(*key))
                    }
                    Question::AllOf(run) => {
                        let keys = self.index.program.keys(run).iter();
                        keys.fold(of, |all, key| all & *self.keyed.having(*key))
                    }
                    Question::Probe(probe) => self.try_out(probe, of, subjects),
                };
                *rows = if negated { of - passed } else { of & passed };
                if FAULTS != SOUND {
                    let faulty = of & self.columns[usize::from(field)].faulty;
                    *rows = if FAULTS == HOPED { *rows | faulty } else { *rows - faulty };
                }
                at + 1
            }
        }
    }

    /// The rows that pass a probe, told for at least those that are asked for.
    fn try_out<S: Subject>(&mut self, id: ProbeId, of: Rows, subjects: &[S]) -> Rows {
        let place = &mut self.memo_places[id as usize];
        if *place == NOWHERE {
            *place = u32::try_from(self.memos.len()).expect("there are fewer probes");
            self.memos.push(Memo::default());
        }
        let memo = &mut self.memos[*place as usize];
        let Probe { field, test } = &self.index.probes[id as usize];
        let encoded = &mut self.columns[*field];
        let mut left = (of & encoded.present) - memo.tried;
        if left.is_empty() {
            return memo.passed;
        }
        memo.tried |= left;
        let now = self.now;
        match test {
            Test::Number(comparison, operand) => {
                memo.passed |= compared(left, &encoded.numbers, *comparison, *operand);
            }
            Test::Time(comparison, operand) => {
                memo.passed |= compared(left, &encoded.times, *comparison, *operand);
            }
            Test::OlderThan(span) => {
                memo.passed |= compared(left, &encoded.times, Comparison::Below, now.minus(*span));
            }
            Test::WithinLast(span) => {
                let since = compared(left, &encoded.times, Comparison::AtLeast, now.minus(*span));
                memo.passed |= compared(since, &encoded.times, Comparison::AtMost, now);
            }
            _ => {
                // What one row has, others have too.
                while let Some(row) = left.iter().next() {
                    let same = encoded.texts.same(row);
                    memo.tried |= same;
                    if subjects[row].read(*field).is_ok_and(|value| test.passes(value, now)) {
                        memo.passed |= same;
                    }
                    left -= same;
                }
            }
        }
        memo.passed
    }
}

/// Those of the rows whose value stands in this order to the operand.
fn compared<T: PartialOrd + Copy>(rows: Rows, values: &[T], comparison: Comparison, operand: T) -> Rows {
    // Which comparison it is is asked once, not for each row.
    match comparison {
        Comparison::Below => rows.filter(values, |value| value < operand),
        Comparison::AtMost => rows.filter(values, |value| value <= operand),
        Comparison::Equal => rows.filter(values, |value| value == operand),
        Comparison::AtLeast => rows.filter(values, |value| value >= operand),
        Comparison::Above => rows.filter(values, |value| value > operand),
    }
}
