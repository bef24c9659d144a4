//! What holds now and would be gated today: nobody has agreed to it.

use serde_json::json;

use super::{Gate, RuleFacts};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::Result;
use crate::finding::acceptance::AcceptanceFilter;
use crate::finding::query::{Count, FindingFilter};
use crate::rule::Rule;
use crate::vocabulary::criteria::{Compiled, Criteria};
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::terms::Status;

/// A rule that holds, that the policy in force would gate, and that nobody agreed to.
#[derive(Clone, Debug)]
pub struct Unagreed {
    pub rule: Rule,
    pub gates: Vec<Gate>,
}

/// What does not conform to the policy in force.
#[derive(Clone, Debug)]
pub struct Nonconformance {
    pub rules: Vec<Unagreed>,
    /// How many open acceptances do not: the list of acceptances tells which.
    pub acceptances: i64,
}

impl Domain {
    /// What does not conform to the policy in force: a stricter one does not undo what holds.
    pub async fn change_policy_conformance(&self, actor: &Actor) -> Result<Nonconformance> {
        let scope = actor.allow(Permission::Read)?;
        let policy = self.db().change_policy(&scope).await?.policy;
        let now = self.clock().now();
        let mut rules = Vec::new();
        let active = if policy.counts() { self.db().count_recent(&scope.whole()).await? } else { 0 };
        let agreed = self.db().rules_agreed_to(&scope).await?;
        for rule in self.db().rules_that_may_hold(&scope).await? {
            if rule.idle(now).is_some() || agreed.contains(&rule.id) {
                continue;
            }
            let criteria = Criteria::parse(&FINDING, &rule.content.criteria).ok();
            let touched = match &criteria {
                Some(criteria) if policy.counts() => {
                    // What it accepts is not active any more.
                    let stands = [Status::Open, Status::InProgress, Status::AcceptedRisk];
                    let stands = json!({ "field": "status", "operator": "in", "value": stands });
                    let tree = Criteria::parse(&FINDING, &stands)?.and(criteria.clone());
                    let filter = FindingFilter::new(Some(Compiled::new(&tree)), now);
                    match self.db().finding_count(&scope.whole(), &filter).await? {
                        Count::Exact(count) => count,
                        // More than it can be tried on.
                        Count::Unknown(_) => active,
                    }
                }
                _ => 0,
            };
            let facts =
                RuleFacts { action: &rule.content.action, criteria: criteria.as_ref(), touched, active };
            let gates = policy.for_rule(&facts);
            if !gates.is_empty() {
                rules.push(Unagreed { rule, gates });
            }
        }
        let unlike =
            AcceptanceFilter { conforming: Some(false), open: Some(true), ..AcceptanceFilter::default() };
        let acceptances = self.db().acceptance_count(&scope, &unlike).await?;
        Ok(Nonconformance { rules, acceptances })
    }
}
