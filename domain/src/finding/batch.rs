//! Many findings changed together: what a chunk of an import, a sweep or a bulk change writes.
//!
//! Findings are put in, new ones and changed ones; then all are passed at once, and what came out
//! is written.

use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;

use super::acceptance::store::Turned;
use super::acceptance::{Acceptance, AcceptanceEnd};
use super::change::{Change, RuleTurn};
use super::facts::{Finding, vulnerabilities};
use super::layers::SetField;
use super::shown::Shown;
use super::told::Told;
use crate::error::Result;
use crate::finding::store::Written;
use crate::intel::fact::Known;
use crate::inventory::asset::Asset;
use crate::ledger::AuditEntry;
use crate::ledger::store::Pending;
use crate::rule::matcher::Matcher;
use crate::rule::pass::{Exempt, Passed};
use crate::store::Tx;
use crate::vocabulary::terms::Status;
use crate::vocabulary::time::Timestamp;

/// Findings in memory, some new, some changed.
pub struct Batch<'a> {
    now: Timestamp,
    cause: &'a Json,
    /// Whether a scan saw all of these: then what that says of when and by whom is written too.
    sighted: bool,
    items: Vec<Item<'a>>,
}

struct Item<'a> {
    /// It is large, and goes through many hands.
    finding: Box<Finding>,
    asset: &'a Asset,
    /// Whether it is not kept yet.
    new: bool,
    /// What it showed before, where it may have changed since.
    before: Option<Shown>,
    /// Which issue it was of before.
    issue: Uuid,
    /// The names that its vulnerability had before, where something was done to it.
    names: Option<Vec<String>>,
    /// What was done to it.
    entries: Vec<AuditEntry>,
    /// How what rules say of it turned by that.
    turns: Vec<RuleTurn>,
    /// The acceptance of its risk that begins, and how the one ends that was open.
    begins: Option<Acceptance>,
    ends: Option<AcceptanceEnd>,
}

/// What a batch came to, with all that is to be told of it.
#[expect(clippy::vec_box, reason = "findings are large, and are sorted")]
pub struct Outcome {
    now: Timestamp,
    sighted: bool,
    new: Vec<Box<Finding>>,
    changed: Vec<Box<Finding>>,
    unchanged: Vec<Uuid>,
    told: Told,
    /// The names of vulnerabilities that findings came to have, and those that they no longer do.
    named: Vec<(String, Uuid)>,
    unnamed: Vec<(String, Uuid)>,
    /// The acceptances of risks that begin and end.
    turned: Turned,
}

impl<'a> Batch<'a> {
    /// `cause` is told of everything that happens in it.
    pub fn new(now: Timestamp, cause: &'a Json) -> Self {
        Self { now, cause, sighted: false, items: Vec::new() }
    }

    /// What a scan makes of findings.
    pub fn of_scan(now: Timestamp, cause: &'a Json) -> Self {
        Self { sighted: true, ..Self::new(now, cause) }
    }

    /// Puts in a finding that is not kept yet, once it has heard of what is known.
    ///
    /// # Errors
    ///
    /// Those of [`Finding::change`].
    pub fn create(&mut self, finding: Finding, asset: &'a Asset, known: Option<&Arc<Known>>) -> Result<()> {
        let mut finding = Box::new(finding);
        let issue = finding.issue;
        let mut entries = vec![finding.created(self.cause)];
        if let Some(known) = known {
            let informed = Change::Informed { known: Arc::clone(known), asset: asset.reported() };
            entries.append(&mut finding.change(informed, self.cause)?);
        }
        self.items.push(Item {
            finding,
            asset,
            new: true,
            before: None,
            issue,
            names: None,
            entries,
            turns: Vec::new(),
            begins: None,
            ends: None,
        });
        Ok(())
    }

    /// Makes `changes` to a finding that is kept, and puts it in.
    ///
    /// # Errors
    ///
    /// Those of [`Finding::change`]; then the finding is left out.
    pub fn change(&mut self, finding: Finding, asset: &'a Asset, changes: Vec<Change>) -> Result<()> {
        let mut finding = Box::new(finding);
        let done = !changes.is_empty();
        let names = done.then(|| finding.vulnerabilities());
        let (before, issue) = (done.then(|| finding.shown.clone()), finding.issue);
        let (mut entries, mut turns) = (Vec::new(), Vec::new());
        let (was_accepted, mut lapsed, mut begins) = (finding.is_accepted(), false, None);
        for change in changes {
            let mut revoked = None;
            match &change {
                Change::Accepted { acceptance } => begins = Some(Acceptance::clone(acceptance)),
                Change::Lapsed { .. } => lapsed = true,
                Change::Revoked { rules, .. } => {
                    revoked = Some((Arc::clone(rules), finding.layers.clone(), finding.shown.clone()));
                }
                _ => {}
            }
            entries.append(&mut finding.change(change, self.cause)?);
            if let Some((rules, layers, shown)) = revoked {
                turns.append(&mut finding.rule_turns(&layers, &shown, &rules));
            }
        }
        let over = was_accepted && (begins.is_some() || !finding.is_accepted());
        let ends = over.then(|| how_it_ended(&finding, lapsed));
        self.items.push(Item {
            finding,
            asset,
            new: false,
            before,
            issue,
            names,
            entries,
            turns,
            begins,
            ends,
        });
        Ok(())
    }

    /// Lets the rules, where there are any, have their say on every finding that they are not exempt
    /// from.
    pub fn pass(self, rules: Option<(&Matcher, &Exempt)>) -> Outcome {
        let passed: Vec<Option<Passed<'_>>> = match rules {
            Some((rules, exempt)) => {
                let findings: Vec<(&Finding, &Asset)> =
                    self.items.iter().map(|item| (&*item.finding, item.asset)).collect();
                rules.pass(&findings, exempt, self.now)
            }
            None => self.items.iter().map(|_| None).collect(),
        };
        let rules = rules.map_or(&[][..], |(rules, _)| rules.rules());
        let mut outcome = Outcome::new(self.now, self.sighted, Told::new(self.cause.clone()));
        let applications = passed.iter().flatten().map(|passed| passed.applications.len()).sum();
        outcome.told.expect(self.items.len(), applications);
        for (item, passed) in self.items.into_iter().zip(passed) {
            let Item { mut finding, new, mut before, issue, names, mut entries, .. } = item;
            let (turns, begins, ends) = (item.turns, item.begins, item.ends);
            outcome.turned.ended.extend(ends.map(|how| (finding.id, how)));
            outcome.turned.begun.extend(begins);
            let mut differs = new || !entries.is_empty() || !turns.is_empty();
            outcome.told.entries.append(&mut entries);
            turns.iter().for_each(|turn| outcome.told.turned(finding.id, turn));
            if let Some(passed) = passed {
                differs |= passed.changes;
                let shown = finding.take(passed, rules, &mut outcome.told);
                before.get_or_insert(shown);
            }
            if new {
                outcome.create(finding);
            } else if let Some(before) = before.filter(|_| differs) {
                outcome.told.linked(&finding, issue);
                outcome.change(finding, &before, names);
            } else {
                // When it was seen last is neither audited nor told.
                outcome.unchanged.push(finding.id);
            }
        }
        outcome.told.audit_undecided();
        outcome
    }
}

impl Outcome {
    fn new(now: Timestamp, sighted: bool, told: Told) -> Self {
        Self {
            now,
            sighted,
            new: Vec::new(),
            changed: Vec::new(),
            unchanged: Vec::new(),
            told,
            named: Vec::new(),
            unnamed: Vec::new(),
            turned: Turned::default(),
        }
    }

    fn create(&mut self, finding: Box<Finding>) {
        self.told.born(&finding);
        self.named.extend(finding.vulnerabilities().into_iter().map(|name| (name, finding.id)));
        self.new.push(finding);
    }

    fn change(&mut self, finding: Box<Finding>, before: &Shown, names: Option<Vec<String>>) {
        self.told.shown(finding.id, before, &finding.shown);
        // What the rules alone changed is of the same vulnerability, unless it shows other ids.
        if names.is_some() || before.set(SetField::CveIds) != finding.shown.set(SetField::CveIds) {
            let names = names.unwrap_or_else(|| vulnerabilities(&finding.evidence, before));
            let now = finding.vulnerabilities();
            let only = |these: &[String], others: &[String]| -> Vec<(String, Uuid)> {
                let new = these.iter().filter(|name| !others.contains(name));
                new.map(|name| (name.clone(), finding.id)).collect()
            };
            self.named.extend(only(&now, &names));
            self.unnamed.extend(only(&names, &now));
        }
        self.changed.push(finding);
    }

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

    /// Brings everything into the form in which it is written, and tells `pending` what happened.
    pub(crate) fn encode(mut self, pending: &mut Pending) -> Written {
        self.new.sort_unstable_by_key(|finding| finding.fingerprint);
        self.changed.sort_unstable_by_key(|finding| finding.id);
        for finding in &mut self.changed {
            finding.revision += 1;
            finding.updated_at = self.now;
        }
        self.told.entries.into_iter().for_each(|entry| pending.audit(entry));
        self.told.events.into_iter().for_each(|event| pending.emit(event));
        let names = (self.named, self.unnamed);
        Written::new(&self.new, &self.changed, self.sighted, names, self.turned)
    }

    /// Writes everything into `tx`. `false`: a finding was written by somebody else meanwhile, and
    /// nothing of the transaction may be kept.
    pub(crate) async fn write(self, tx: &mut Tx) -> Result<bool> {
        let written = self.encode(tx.pending());
        tx.write_findings(written).await
    }
}

/// How the acceptance of a finding's risk ended, by where the finding stands now.
fn how_it_ended(finding: &Finding, lapsed: bool) -> AcceptanceEnd {
    match finding.layers.status().lifecycle.value {
        Status::AcceptedRisk => AcceptanceEnd::Extended,
        Status::Fixed => AcceptanceEnd::Fixed,
        _ if lapsed => AcceptanceEnd::Expired,
        _ if finding.decided_by().is_some() => AcceptanceEnd::Reopened,
        _ => AcceptanceEnd::Revoked,
    }
}

fn count<T>(of: &[T]) -> i64 {
    i64::try_from(of.len()).unwrap_or(i64::MAX)
}
