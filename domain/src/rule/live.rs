//! The rules that hold for a company now, compiled once per version of its rule set. A load of
//! intelligence makes a new version too: a pass that read facts from before is taken back.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::Rule;
use super::matcher::Matcher;
use super::pass::{LiveRule, Mode};
use crate::Domain;
use crate::access::Scope;
use crate::error::Result;
use crate::store::RulesVersion;
use crate::vocabulary::criteria::{Compiled, Criteria};
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::time::Timestamp;

/// The rules of a pass.
#[derive(Debug)]
pub struct RuleSet {
    pub version: RulesVersion,
    pub matcher: Matcher,
    /// Whether any feed has been loaded that speaks of the company's findings.
    pub informed: bool,
    /// The projects in which a VEX document speaks of findings.
    pub vex: BTreeSet<Uuid>,
    /// Whether any of the company's findings is exempt from a rule.
    pub exempts: bool,
    /// When the first of them stops by itself.
    until: Option<Timestamp>,
}

/// The rule sets compiled last, one a company.
#[derive(Default)]
pub(crate) struct RuleSets(Mutex<HashMap<Uuid, Arc<RuleSet>>>);

impl LiveRule {
    /// The rule as the pass evaluates it.
    pub fn of(rule: Rule) -> Self {
        let version = rule.live_version();
        let criteria = Criteria::parse(&FINDING, &rule.content.criteria)
            .map(|tree| Compiled::new(&tree))
            .map_err(|faults| faults.to_string());
        Self {
            id: rule.id,
            name: rule.content.name,
            version,
            content_hash: rule.content_hash,
            enforced: rule.mode == Mode::Enforce,
            criteria,
            action: rule.content.action,
        }
    }
}

impl Domain {
    /// The rules that hold for the scope's company at `now`.
    pub(crate) async fn live_rules(&self, scope: &Scope, now: Timestamp) -> Result<Arc<RuleSet>> {
        let company = scope.company()?;
        let version = self.db().rules_version(scope).await?;
        let known = self.rule_sets().lock().get(&company).cloned();
        if let Some(known) = known
            && known.version == version
            && known.until.is_none_or(|until| now < until)
        {
            return Ok(known);
        }
        let rules = self.db().rules_that_may_hold(scope).await?;
        let rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.idle(now).is_none()).collect();
        let until = rules.iter().filter_map(Rule::stops_at).min();
        let matcher = Matcher::new(rules.into_iter().map(LiveRule::of).collect());
        let informed = self.db().any_feed_loaded(scope).await?;
        let vex = self.db().vex_projects(scope).await?.into_iter().collect();
        let exempts = self.db().any_exemption(scope).await?;
        let set = Arc::new(RuleSet { version, matcher, informed, vex, exempts, until });
        self.rule_sets().lock().insert(company, Arc::clone(&set));
        Ok(set)
    }
}

impl RuleSets {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<RuleSet>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
