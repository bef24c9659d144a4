//! Many findings changed together: what a chunk of an import, a sweep or a bulk change writes.

use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;

use super::change::{Change, Told};
use super::facts::{Finding, Shown};
use super::layers::SetField;
use crate::error::Result;
use crate::finding::store::Written;
use crate::intel::fact::Known;
use crate::inventory::asset::Asset;
use crate::ledger::store::Pending;
use crate::rule::live::RuleSet;
use crate::rule::pass::pass;
use crate::store::Tx;
use crate::vocabulary::time::Timestamp;

/// Findings in memory, changed and passed, with all that is to be told of them.
pub(crate) struct Batch {
    now: Timestamp,
    /// Whether a scan saw all of these: then what that says of when and by whom is written too.
    sighted: bool,
    new: Vec<Finding>,
    changed: Vec<Finding>,
    told: Told,
    /// The CVE ids that findings came to show, and those that they no longer do.
    named: Vec<(String, Uuid)>,
    unnamed: Vec<(String, Uuid)>,
}

impl Batch {
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            sighted: false,
            new: Vec::new(),
            changed: Vec::new(),
            told: Told::default(),
            named: Vec::new(),
            unnamed: Vec::new(),
        }
    }

    /// What a scan makes of findings.
    pub fn of_scan(now: Timestamp) -> Self {
        Self { sighted: true, ..Self::new(now) }
    }

    /// A finding that is not kept yet. It hears of what is known, and is passed at once.
    ///
    /// # Errors
    ///
    /// Those of [`Finding::change`].
    pub fn create(
        &mut self,
        mut finding: Finding,
        asset: &Asset,
        known: Option<&Arc<Known>>,
        rules: &RuleSet,
        cause: &Json,
    ) -> Result<()> {
        self.told.created(&finding, cause);
        if let Some(known) = known {
            let informed = finding.change(Change::Informed { known: Arc::clone(known) }, cause)?;
            self.told.entries.extend(informed);
        }
        if let Some(passed) = pass(&finding, asset, &rules.rules, self.now) {
            finding.take(passed, &rules.rules, &mut self.told, cause);
        }
        self.told.born(&finding, cause);
        self.named.extend(cves(&finding.shown).map(|cve| (cve.clone(), finding.id)));
        self.new.push(finding);
        Ok(())
    }

    /// Makes `changes` to a finding that is kept, and passes it where `rules` are given. Returns
    /// whether anything is to be written. When the finding was seen last is not: that alone is
    /// neither audited nor told.
    ///
    /// # Errors
    ///
    /// Those of [`Finding::change`].
    pub fn change(
        &mut self,
        mut finding: Finding,
        asset: &Asset,
        changes: Vec<Change>,
        rules: Option<&RuleSet>,
        cause: &Json,
    ) -> Result<bool> {
        let before = finding.shown.clone();
        let layers = finding.layers.clone();
        let mut entries = Vec::new();
        for change in changes {
            entries.extend(finding.change(change, cause)?);
        }
        let mut changed = !entries.is_empty();
        self.told.entries.append(&mut entries);
        if let Some(rules) = rules
            && let Some(passed) = pass(&finding, asset, &rules.rules, self.now)
        {
            changed |= passed.layers != layers;
            finding.take(passed, &rules.rules, &mut self.told, cause);
        }
        if changed {
            self.told.shown(finding.id, &before, &finding.shown, cause);
            let only = |in_one: &Shown, other: &Shown| -> Vec<(String, Uuid)> {
                let new = cves(in_one).filter(|cve| !other.set(SetField::CveIds).contains(cve));
                new.map(|cve| (cve.clone(), finding.id)).collect()
            };
            self.named.extend(only(&finding.shown, &before));
            self.unnamed.extend(only(&before, &finding.shown));
            self.changed.push(finding);
        }
        Ok(changed)
    }

    /// How many findings are to be written.
    pub fn len(&self) -> usize {
        self.new.len() + self.changed.len()
    }

    /// Brings everything into the form in which it is written, and tells `pending` what happened.
    pub fn encode(mut self, pending: &mut Pending) -> Written {
        self.new.sort_unstable_by_key(|finding| finding.fingerprint);
        self.changed.sort_unstable_by_key(|finding| finding.id);
        for finding in &mut self.changed {
            finding.revision += 1;
            finding.updated_at = self.now;
        }
        self.told.entries.into_iter().for_each(|entry| pending.audit(entry));
        self.told.events.into_iter().for_each(|event| pending.emit(event));
        Written::new(&self.new, &self.changed, self.sighted, (self.named, self.unnamed))
    }

    /// Writes everything into `tx`. `false`: a finding was written by somebody else meanwhile, and
    /// nothing of the transaction may be kept.
    pub async fn write(self, tx: &mut Tx) -> Result<bool> {
        let written = self.encode(tx.pending());
        tx.write_findings(written).await
    }
}

fn cves(shown: &Shown) -> impl Iterator<Item = &String> {
    shown.set(SetField::CveIds).iter()
}
