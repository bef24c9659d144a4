//! How findings hear of what is known: facts of their CVEs, and VEX statements about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;

use super::fact::Known;
use crate::Domain;
use crate::access::Scope;
use crate::error::Result;
use crate::finding::batch::{Batch, Outcome};
use crate::finding::change::Change;
use crate::rule::live::RuleSet;
use crate::store::RulesVersion;
use crate::vocabulary::time::Timestamp;

/// Findings that heard anew, with the pass that follows, and under which rules it was worked out.
pub(crate) struct Heard {
    pub now: Timestamp,
    pub rules: RulesVersion,
    pub outcome: Outcome,
}

impl Domain {
    /// What is known of these vulnerabilities, each with the project of the finding that names it.
    /// Nothing is asked where no feed was ever loaded and no VEX document imported.
    pub(crate) async fn known(
        &self,
        scope: &Scope,
        rules: &RuleSet,
        named: impl IntoIterator<Item = (Uuid, String)>,
    ) -> Result<Option<Arc<Known>>> {
        if !rules.informed && rules.vex.is_empty() {
            return Ok(None);
        }
        let mut by_project: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
        for (project, name) in named {
            by_project.entry(project).or_default().insert(name);
        }
        let mut known = Known::default();
        if rules.informed {
            let cves: BTreeSet<&str> = by_project.values().flatten().map(String::as_str).collect();
            let cves: Vec<&str> = cves.into_iter().filter(|name| name.starts_with("CVE-")).collect();
            known = self.db().facts(scope, &cves).await?;
        }
        for (project, names) in by_project.iter().filter(|(project, _)| rules.vex.contains(project)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            self.db().vex_statements_of(scope, *project, &names, &mut known.vex).await?;
        }
        Ok(Some(Arc::new(known)))
    }

    /// Lets findings that are kept hear of what is known now.
    pub(crate) async fn hear(&self, scope: &Scope, findings: &[Uuid], cause: &Json) -> Result<Heard> {
        let now = self.clock().now();
        let rules = self.live_rules(scope, now).await?;
        let findings = self.db().findings_by_id(scope, findings).await?;
        let named = findings
            .iter()
            .flat_map(|finding| finding.vulnerabilities().into_iter().map(|name| (finding.project, name)));
        let known = self.known(scope, &rules, named).await?.unwrap_or_default();
        let assets = self.db().assets_on(scope, &findings).await?;
        let exempt = self.exempt(scope, &rules, findings.iter().map(|finding| finding.id)).await?;
        let mut batch = Batch::new(now, cause);
        for finding in findings {
            if let Some(asset) = assets.get(&finding.asset) {
                let informed = Change::Informed { known: Arc::clone(&known), asset: asset.reported() };
                batch.change(finding, asset, vec![informed])?;
            }
        }
        let outcome = batch.pass(Some((&rules.matcher, &exempt)));
        Ok(Heard { now, rules: rules.version, outcome })
    }
}
