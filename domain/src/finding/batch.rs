//! Many findings changed together: what a chunk of an import, a sweep or a bulk change writes.

use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;

use super::change::{Change, Told};
use super::facts::Finding;
use crate::error::Result;
use crate::intel::fact::Known;
use crate::inventory::asset::Asset;
use crate::rule::live::RuleSet;
use crate::rule::pass::pass;
use crate::store::Tx;
use crate::vocabulary::time::Timestamp;

/// Findings in memory, changed and passed, with all that is to be told of them.
pub(crate) struct Batch {
    now: Timestamp,
    new: Vec<Finding>,
    changed: Vec<Finding>,
    told: Told,
    /// The names of vulnerabilities that findings came to have, and those that they no longer do.
    named: Vec<(String, Uuid)>,
    unnamed: Vec<(String, Uuid)>,
}

impl Batch {
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            new: Vec::new(),
            changed: Vec::new(),
            told: Told::default(),
            named: Vec::new(),
            unnamed: Vec::new(),
        }
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
            let informed = Change::Informed { known: Arc::clone(known), asset: asset.reported() };
            let informed = finding.change(informed, cause)?;
            self.told.entries.extend(informed);
        }
        if let Some(passed) = pass(&finding, asset, &rules.rules, self.now) {
            finding.take(passed, &rules.rules, &mut self.told, cause);
        }
        self.told.born(&finding, cause);
        self.named.extend(finding.vulnerabilities().into_iter().map(|name| (name, finding.id)));
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
        let names = finding.vulnerabilities();
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
            let now = finding.vulnerabilities();
            let only = |these: &[String], others: &[String]| -> Vec<(String, Uuid)> {
                let new = these.iter().filter(|name| !others.contains(name));
                new.map(|name| (name.clone(), finding.id)).collect()
            };
            self.named.extend(only(&now, &names));
            self.unnamed.extend(only(&names, &now));
            self.changed.push(finding);
        }
        Ok(changed)
    }

    /// How many findings are to be written.
    pub fn len(&self) -> usize {
        self.new.len() + self.changed.len()
    }

    /// Writes everything into `tx`. `false`: a finding was written by somebody else meanwhile, and
    /// nothing of the transaction may be kept.
    pub async fn write(mut self, tx: &mut Tx) -> Result<bool> {
        if !self.new.is_empty() {
            self.new.sort_unstable_by_key(|finding| finding.fingerprint);
            if !tx.insert_findings(&self.new).await? {
                return Ok(false);
            }
        }
        if !self.changed.is_empty() && !tx.update_findings(&mut self.changed).await? {
            return Ok(false);
        }
        tx.index_cves(self.named, self.unnamed).await?;
        self.told.entries.into_iter().for_each(|entry| tx.audit(entry));
        self.told.events.into_iter().for_each(|event| tx.emit(event));
        Ok(true)
    }
}
