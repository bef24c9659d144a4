//! A block of subjects, encoded into columns, that the trees of an index are asked about.
//!
//! A tree is asked about all rows at once: a key is the set of rows that have it, a probe is tried
//! once for each distinct value that anybody still waits for, and groups join sets of rows. The
//! third outcome needs no third value: a group's outcome only grows with those of its conditions,
//! so a tree is asked twice where a value could not be told, once with errors for false and once
//! with errors for true. Where the answers differ the outcome is an error.

use std::collections::HashMap;

use super::index::{Ask, Column, Index, Key, Keys, Probe, ProbeId, Tree, bits};
use super::rows::Rows;
use crate::vocabulary::criteria::{Subject, Test, Value};
use crate::vocabulary::time::Timestamp;

/// Not there in this block.
const NOWHERE: u32 = u32::MAX;

pub struct Block<'i> {
    index: &'i Index,
    now: Timestamp,
    /// How many rows there are.
    height: usize,
    columns: Vec<Encoded>,
    /// By key: the place of its rows in `having`.
    places: Vec<u32>,
    having: Vec<Rows>,
    /// By probe: the place of what is known of it in `memos`.
    memo_places: Vec<u32>,
    memos: Vec<Memo>,
    /// The trees that may hold here, one bit each.
    awake: Vec<u64>,
    /// Whether any value could not be told.
    faulty: bool,
    /// A text while it is folded.
    folded: String,
}

/// What is known of one field in this block.
#[derive(Default)]
struct Encoded {
    present: Rows,
    /// The rows whose value could not be told, or is none that the field can have.
    faulty: Rows,
    /// The places of the keys that are here.
    keys: Vec<u32>,
    numbers: Vec<f64>,
    times: Vec<Timestamp>,
    texts: Option<Texts>,
}

/// The rows of each distinct text.
struct Texts {
    of: Vec<u32>,
    rows: Vec<Rows>,
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
            height: subjects.len(),
            columns: index.columns.iter().map(|_| Encoded::default()).collect(),
            places: vec![NOWHERE; index.wakes.len()],
            having: Vec::new(),
            memo_places: vec![NOWHERE; index.probes.len()],
            memos: Vec::new(),
            awake: index.always.clone(),
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
        let mut word = at / 64;
        let mut left = self.awake.get(word)? & (u64::MAX << (at % 64));
        while left == 0 {
            word += 1;
            left = *self.awake.get(word)?;
        }
        Some(word * 64 + left.trailing_zeros() as usize)
    }

    /// Asks a tree about the rows `of` the block. One that does not compile is an error everywhere.
    pub fn judge<S: Subject>(&mut self, tree: usize, of: Rows, subjects: &[S]) -> Judged {
        let Some(tree) = &self.index.trees[tree] else { return Judged { holds: Rows::NONE, errors: of } };
        let holds = self.ask(tree, of, false, subjects);
        let errors = if self.faulty { self.ask(tree, of - holds, true, subjects) } else { Rows::NONE };
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
        for place in &encoded.keys {
            self.having[*place as usize] -= rows;
        }
        for probe in &column.probes {
            if let Some(memo) = self.memos.get_mut(self.memo_places[*probe as usize] as usize) {
                memo.tried -= rows;
                memo.passed -= rows;
            }
        }
        if let Some(texts) = &mut encoded.texts {
            for row in rows.iter() {
                texts.set_apart(row);
            }
        }
        self.encode(field, column, rows, subjects);
    }

    fn encode<S: Subject>(&mut self, field: usize, column: &'i Column, rows: Rows, subjects: &[S]) {
        let ranked = !column.probes.is_empty();
        let encoded = &mut self.columns[field];
        let mut present = Rows::NONE;
        for row in rows.iter() {
            let value = match subjects[row].read(field) {
                Ok(value) if value.fits(column.kind) => value,
                _ => {
                    encoded.faulty.insert(row);
                    continue;
                }
            };
            if value.is_missing() {
                continue;
            }
            present.insert(row);
            let mut key = |key: Option<&Key>| {
                let Some(key) = key.copied() else { return };
                let place = &mut self.places[key as usize];
                if *place == NOWHERE {
                    *place = u32::try_from(self.having.len()).expect("there are fewer keys");
                    self.having.push(Rows::NONE);
                    encoded.keys.push(*place);
                    for tree in &self.index.wakes[key as usize] {
                        self.awake[*tree as usize / 64] |= 1 << (tree % 64);
                    }
                }
                self.having[*place as usize].insert(row);
            };
            match (value, &column.keys) {
                (Value::Text(text), keys) => key(keys.text(text, &mut self.folded)),
                (Value::List(list), keys) => {
                    list.iter().for_each(|text| key(keys.text(text, &mut self.folded)));
                }
                (Value::Uuid(id), Keys::Ids(keys)) => key(keys.get(&id)),
                (Value::Code(code), Keys::Codes(keys)) => key(keys.get(usize::from(code))),
                (Value::Bool(bool), Keys::Codes(keys)) => key(keys.get(usize::from(bool))),
                (Value::Number(number), Keys::Numbers(keys)) => {
                    key(keys.get(&bits(number)));
                    if ranked {
                        encoded.numbers.resize(self.height, f64::NAN);
                        encoded.numbers[row] = number;
                    }
                }
                (Value::Time(at), _) => {
                    if let Keys::Numbers(_) = &column.keys
                        && ranked
                    {
                        encoded.times.resize(self.height, Timestamp::default());
                        encoded.times[row] = at;
                    }
                }
                _ => unreachable!("a value that fits has the keys of its kind"),
            }
        }
        encoded.present |= present;
        if !(encoded.faulty & rows).is_empty() && !self.faulty {
            // An error may make a tree one where no key of it is: every tree is looked at.
            self.faulty = true;
            self.awake.fill(u64::MAX);
            let trees = self.index.trees.len();
            if let (Some(last), false) = (self.awake.last_mut(), trees.is_multiple_of(64)) {
                *last = (1 << (trees % 64)) - 1;
            }
        }
    }

    /// The rows `of` the block for which `tree` holds, with errors for true where `hopeful`.
    fn ask<S: Subject>(&mut self, tree: &'i Tree, of: Rows, hopeful: bool, subjects: &[S]) -> Rows {
        match tree {
            Tree::All(trees) => {
                let mut left = of;
                for tree in trees {
                    left = self.ask(tree, left, hopeful, subjects);
                    if left.is_empty() {
                        break;
                    }
                }
                left
            }
            Tree::Any(trees) => {
                let mut left = of;
                for tree in trees {
                    left -= self.ask(tree, left, hopeful, subjects);
                    if left.is_empty() {
                        break;
                    }
                }
                of - left
            }
            Tree::Leaf { field, negated, ask } => {
                let passed = match ask {
                    Ask::Present => self.columns[*field].present,
                    Ask::Any(keys) => keys.iter().fold(Rows::NONE, |any, key| any | self.having(*key)),
                    Ask::All(keys) => keys.iter().fold(of, |all, key| all & self.having(*key)),
                    Ask::Probe(probe) => self.try_out(*probe, of, subjects),
                };
                let holds = if *negated { of - passed } else { of & passed };
                let faulty = of & self.columns[*field].faulty;
                if hopeful { holds | faulty } else { holds - faulty }
            }
        }
    }

    fn having(&self, key: Key) -> Rows {
        self.having.get(self.places[key as usize] as usize).copied().unwrap_or_default()
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
        let now = self.now;
        match test {
            Test::Number(comparison, operand) => {
                memo.tried = encoded.present;
                memo.passed =
                    memo.tried & Rows::of(&encoded.numbers, |number| comparison.holds(&number, operand));
            }
            Test::Time(..) | Test::OlderThan(_) | Test::WithinLast(_) => {
                memo.tried = encoded.present;
                memo.passed = memo.tried & Rows::of(&encoded.times, |at| test.passes(Value::Time(at), now));
            }
            _ => {
                let texts = encoded.texts.get_or_insert_with(|| Texts::of(subjects, *field, encoded.present));
                while let Some(row) = left.iter().next() {
                    let same = texts.rows[texts.of[row] as usize];
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

impl Keys {
    fn text(&self, text: &str, folded: &mut String) -> Option<&Key> {
        let Self::Texts(keys, longest) = self else { return None };
        if text.len() > *longest {
            return None;
        }
        folded.clear();
        folded.push_str(text);
        folded.make_ascii_lowercase();
        keys.get(folded.as_str())
    }
}

impl Texts {
    /// Equal texts together.
    fn of<S: Subject>(subjects: &[S], field: usize, present: Rows) -> Self {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut texts = Self { of: vec![NOWHERE; subjects.len()], rows: Vec::new() };
        for row in present.iter() {
            let Ok(Value::Text(text)) = subjects[row].read(field) else { continue };
            let next = u32::try_from(texts.rows.len()).expect("a block is small");
            let at = *known.entry(text).or_insert(next);
            if at == next {
                texts.rows.push(Rows::NONE);
            }
            texts.of[row] = at;
            texts.rows[at as usize].insert(row);
        }
        texts
    }

    /// A row whose text changed is a group of its own: who else has the new one is not looked for.
    fn set_apart(&mut self, row: usize) {
        if let Some(rows) = self.rows.get_mut(self.of[row] as usize) {
            rows.remove(row);
        }
        self.of[row] = u32::try_from(self.rows.len()).expect("a block is small");
        self.rows.push(Rows::from_iter([row]));
    }
}
