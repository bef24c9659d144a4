//! The pass over many findings at once: what [`super::pass::pass`] makes of each of them, by an
//! index over the criteria of all rules. Pure.
//!
//! Findings do not see each other, so a block of them is walked rule by rule: the index tells which
//! rules may hold anywhere in the block, each of these is asked about all findings at once, and
//! those that it holds for let it speak. What a rule changes is read anew where a later rule reads it.

use std::collections::HashMap;

use uuid::Uuid;

use super::pass::{Ended, Exempt, LiveRule, Passed, UNDECIDED, Walk};
use super::script::{Script, Signature};
use crate::finding::facts::Finding;
use crate::finding::layers::{LayeredField, Statement};
use crate::inventory::asset::Asset;
use crate::vocabulary::criteria::Outcome;
use crate::vocabulary::field::finding::FindingField;
use crate::vocabulary::time::Timestamp;

mod block;
mod column;
mod grown;
mod index;
mod keyed;
mod literals;
mod needles;
mod program;
mod rows;

#[cfg(test)]
mod properties;

pub use block::{Block, Judged};
pub use index::Index;
pub use rows::{Rows, WIDTH};

/// The rules of a rule set, in the order of the walk, with the index over their criteria.
#[derive(Debug)]
pub struct Matcher {
    rules: Vec<LiveRule>,
    /// By rule: what it says, where that is the same of every finding, and how what is told of that ends.
    fixed: Vec<(Option<Vec<Statement>>, Signature)>,
    index: Index,
    places: index::Map<Uuid, usize>,
}

/// Looks at one rule while many findings are passed, or keeps it silent.
#[derive(Debug)]
pub struct Watch {
    /// The place of the rule in the walk.
    at: usize,
    silent: bool,
    outcomes: Vec<Outcome>,
}

impl Watch {
    /// What becomes of the criteria of the rule at `at`.
    pub fn of(at: usize) -> Self {
        Self { at, silent: false, outcomes: Vec::new() }
    }

    /// A pass in which the rule at `at` has no entries and says nothing.
    pub fn silent(at: usize) -> Self {
        Self { silent: true, ..Self::of(at) }
    }

    /// What became of the criteria, finding by finding: of one that the walk did not bring to the
    /// rule they do not hold.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    fn note(&mut self, begin: usize, Judged { holds, errors }: &Judged) {
        holds.iter().for_each(|row| self.outcomes[begin + row] = Outcome::True);
        errors.iter().for_each(|row| self.outcomes[begin + row] = Outcome::Error);
    }
}

/// What a rule changed, and on which rows.
#[derive(Default)]
struct Changed(Vec<Change>);

struct Change {
    field: LayeredField,
    /// The element that came to the others of a set, where that is all.
    added: Option<String>,
    rows: Rows,
}

impl Matcher {
    pub fn new(rules: Vec<LiveRule>) -> Self {
        let index = Index::new(rules.iter().map(|rule| rule.criteria.as_ref().ok()));
        let places = rules.iter().enumerate().map(|(at, rule)| (rule.id, at)).collect();
        let fixed = rules.iter().map(|rule| (rule.action.fixed(), rule.signature())).collect();
        Self { rules, fixed, index, places }
    }

    pub fn rules(&self) -> &[LiveRule] {
        &self.rules
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Walks the rules over each finding, as [`super::pass::pass`] does.
    pub fn pass(
        &self,
        findings: &[(&Finding, &Asset)],
        exempt: &Exempt,
        now: Timestamp,
    ) -> Vec<Option<Passed<'_>>> {
        let mut passed = Vec::with_capacity(findings.len());
        for block in findings.chunks(WIDTH) {
            self.pass_block(block, exempt, now, None, &mut passed);
        }
        passed
    }

    /// The same, with an eye on one rule.
    pub fn pass_watching(
        &self,
        findings: &[(&Finding, &Asset)],
        exempt: &Exempt,
        now: Timestamp,
        watch: &mut Watch,
    ) -> Vec<Option<Passed<'_>>> {
        let mut passed = Vec::with_capacity(findings.len());
        for block in findings.chunks(WIDTH) {
            self.pass_block(block, exempt, now, Some(&mut *watch), &mut passed);
        }
        passed
    }

    /// By rules: the findings of a block that are exempt from them.
    fn silenced(&self, findings: &[(&Finding, &Asset)], exempt: &Exempt) -> HashMap<usize, Rows> {
        let mut silenced: HashMap<usize, Rows> = HashMap::new();
        if exempt.is_empty() {
            return silenced;
        }
        for (row, (finding, _)) in findings.iter().enumerate() {
            for (rule, hash) in exempt.of(finding.id) {
                if let Some(at) = self.places.get(rule).filter(|at| self.rules[**at].content_hash == *hash) {
                    silenced.entry(*at).or_default().insert(row);
                }
            }
        }
        silenced
    }

    fn pass_block<'m>(
        &'m self,
        findings: &[(&Finding, &Asset)],
        exempt: &Exempt,
        now: Timestamp,
        mut watch: Option<&mut Watch>,
        passed: &mut Vec<Option<Passed<'m>>>,
    ) {
        let begin = watch.as_ref().map_or(0, |watch| watch.outcomes.len());
        if let Some(watch) = &mut watch {
            watch.outcomes.resize(begin + findings.len(), Outcome::False);
        }
        let place = |rule: Uuid| self.places.get(&rule).copied();
        let mut walks: Vec<Walk<'_, 'm>> =
            findings.iter().map(|(finding, asset)| Walk::new(finding, asset, &self.rules, place)).collect();
        let silenced = self.silenced(findings, exempt);
        let mut active: Rows = (0..walks.len()).filter(|row| walks[*row].is_active()).collect();
        let mut block = Block::new(&self.index, &walks, active, now);
        let mut script = Script::of_many();
        let mut next = block.next(0);
        while let Some(at) = next.filter(|_| !active.is_empty()) {
            let rule = &self.rules[at];
            let watch = watch.as_deref_mut().filter(|watch| watch.at == at);
            if watch.as_ref().is_some_and(|watch| watch.silent) {
                next = block.next(at + 1);
                continue;
            }
            let asked = silenced.get(&at).map_or(active, |silent| active - *silent);
            let judged = block.judge(at, asked, &walks);
            if let Some(watch) = watch {
                watch.note(begin, &judged);
            }
            let Judged { holds, errors } = judged;
            let (fixed, signature) = &self.fixed[at];
            let mut changed = Changed::default();
            for row in (holds | errors).iter() {
                let outcome = match &rule.criteria {
                    Err(reason) => Err(reason.as_str()),
                    Ok(_) if errors.contains(row) => Err(UNDECIDED),
                    Ok(_) => Ok(fixed.as_deref()),
                };
                walks[row].turn(at, (rule, signature), outcome, now, &mut script, |statement| {
                    changed.note(statement, row);
                });
                if !walks[row].is_active() {
                    active.remove(row);
                }
            }
            for Change { field, added, rows } in changed.0 {
                let Some(field) = FindingField::from_key(field.word()).map(FindingField::index) else {
                    continue;
                };
                match added {
                    Some(element) => block.add(field, &element, rows & active, at),
                    None => block.renew(field, rows & active, at, &walks),
                }
            }
            next = block.next(at + 1);
        }
        let ended: Vec<Option<Ended<'m>>> =
            walks.into_iter().map(|walk| walk.end(&self.rules, &mut script)).collect();
        let texts = script.finish();
        passed.extend(ended.into_iter().map(|ended| ended.map(|ended| ended.told(&texts))));
    }
}

impl Changed {
    fn note(&mut self, statement: &Statement, row: usize) {
        let (field, added) = match statement {
            Statement::Element(_, element, true) => (statement.field(), Some(element)),
            _ => (statement.field(), None),
        };
        match self.0.iter_mut().find(|one| one.field == field && one.added.as_ref() == added) {
            Some(one) => one.rows.insert(row),
            None => self.0.push(Change { field, added: added.cloned(), rows: Rows::from_iter([row]) }),
        }
    }
}
