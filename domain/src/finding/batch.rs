//! Many findings changed together: what a chunk of an import, a sweep or a bulk change writes.
//!
//! Findings are put in, new ones and changed ones; then all are passed at once, and what came out
//! is written.

use serde_json::Value as Json;
use uuid::Uuid;

use super::change::{Change, Told};
use super::facts::{Finding, Shown};
use crate::error::Result;
use crate::inventory::asset::Asset;
use crate::ledger::AuditEntry;
use crate::rule::matcher::Matcher;
use crate::store::Tx;
use crate::vocabulary::time::Timestamp;

/// Findings in memory, some new, some changed.
pub struct Batch<'a> {
    now: Timestamp,
    cause: &'a Json,
    items: Vec<Item<'a>>,
}

struct Item<'a> {
    finding: Finding,
    asset: &'a Asset,
    past: Past,
}

/// What a finding of a batch was before.
enum Past {
    None,
    /// What it showed, where it may have changed since, and what was done.
    Kept(Option<Shown>, Vec<AuditEntry>),
}

/// What a batch came to, with all that is to be told of it.
pub struct Outcome {
    new: Vec<Finding>,
    changed: Vec<Finding>,
    unchanged: Vec<Uuid>,
    told: Told,
}

impl<'a> Batch<'a> {
    /// `cause` is told of everything that happens in it.
    pub fn new(now: Timestamp, cause: &'a Json) -> Self {
        Self { now, cause, items: Vec::new() }
    }

    /// Puts in a finding that is not kept yet.
    pub fn create(&mut self, finding: Finding, asset: &'a Asset) {
        self.items.push(Item { finding, asset, past: Past::None });
    }

    /// Makes `changes` to a finding that is kept, and puts it in.
    ///
    /// # Errors
    ///
    /// Those of [`Finding::change`]; then the finding is left out.
    pub fn change(&mut self, mut finding: Finding, asset: &'a Asset, changes: Vec<Change>) -> Result<()> {
        let before = (!changes.is_empty()).then(|| finding.shown.clone());
        let mut entries = Vec::new();
        for change in changes {
            entries.append(&mut finding.change(change, self.cause)?);
        }
        self.items.push(Item { finding, asset, past: Past::Kept(before, entries) });
        Ok(())
    }

    /// Lets the rules, where there are any, have their say on every finding.
    pub fn pass(self, rules: Option<&Matcher>) -> Outcome {
        let findings: Vec<(&Finding, &Asset)> =
            self.items.iter().map(|item| (&item.finding, item.asset)).collect();
        let mut passed = rules.map(|rules| rules.pass(&findings, self.now)).unwrap_or_default().into_iter();
        let rules = rules.map_or(&[][..], Matcher::rules);
        let mut told = Told::new(self.cause.clone());
        let (mut new, mut changed, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
        for Item { mut finding, past, .. } in self.items {
            let passed = passed.next().flatten();
            match past {
                Past::None => {
                    told.created(&finding);
                    if let Some(passed) = passed {
                        finding.take(passed, rules, &mut told);
                    }
                    told.born(&finding);
                    new.push(finding);
                }
                Past::Kept(mut before, mut entries) => {
                    let mut differs = !entries.is_empty();
                    told.entries.append(&mut entries);
                    if let Some(passed) = passed {
                        differs |= passed.layers != finding.layers;
                        let shown = finding.take(passed, rules, &mut told);
                        before.get_or_insert(shown);
                    }
                    // When it was seen last is neither audited nor told.
                    match before.filter(|_| differs) {
                        Some(before) => {
                            told.shown(finding.id, &before, &finding.shown);
                            changed.push(finding);
                        }
                        None => unchanged.push(finding.id),
                    }
                }
            }
        }
        Outcome { new, changed, unchanged, told }
    }
}

impl Outcome {
    /// How many findings are new.
    pub fn created(&self) -> i64 {
        count(&self.new)
    }

    /// How many of the findings that are kept are to be written.
    pub fn changed(&self) -> i64 {
        count(&self.changed)
    }

    /// The findings of which nothing is to be written.
    pub fn unchanged(&self) -> &[Uuid] {
        &self.unchanged
    }

    pub fn told(&self) -> &Told {
        &self.told
    }

    /// Writes everything into `tx`. `false`: a finding was written by somebody else meanwhile, and
    /// nothing of the transaction may be kept.
    pub(crate) async fn write(mut self, tx: &mut Tx) -> Result<bool> {
        if !self.new.is_empty() {
            self.new.sort_unstable_by_key(|finding| finding.fingerprint);
            if !tx.insert_findings(&self.new).await? {
                return Ok(false);
            }
        }
        if !self.changed.is_empty() && !tx.update_findings(&mut self.changed).await? {
            return Ok(false);
        }
        self.told.entries.into_iter().for_each(|entry| tx.audit(entry));
        self.told.events.into_iter().for_each(|event| tx.emit(event));
        Ok(true)
    }
}

fn count<T>(of: &[T]) -> i64 {
    i64::try_from(of.len()).unwrap_or(i64::MAX)
}
