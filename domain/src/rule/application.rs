//! Applications: each turn of a rule on a finding, as the audit tells of it.
//!
//! An application is not kept twice: it is the audit's entry, seen by whoever may see its finding. Its
//! id is made of the company and the entry's number.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::pass::Turn;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Error, Result};
use crate::finding::facts::Finding;
use crate::finding::layers::{Source, Statement};
use crate::ledger::Speaker;
use crate::page::{Page, PageArgs, Window};
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// What the audit calls the turn of a rule that is enforced, and of one that is observed.
pub(crate) const APPLIED: &str = "finding.rule_applied";
pub(crate) const OBSERVED: &str = "finding.rule_observed";
/// What it calls it that a rule's turn came on findings and could not be decided.
pub(crate) const ERRORED: &str = "rule.errored";

terms! {
    /// How a rule stands on a finding now.
    Standing {
        Shown = "SHOWN", Covered = "COVERED", Observed = "OBSERVED", Silent = "SILENT",
    }
}

/// One turn of a rule on a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleApplication {
    pub company: Uuid,
    /// The number of its audit entry.
    pub seq: i64,
    pub at: Timestamp,
    pub rule: Uuid,
    /// The rule's version and hash at that time.
    pub version: i64,
    pub content_hash: String,
    pub finding: Uuid,
    pub change: Turn,
    /// What the rule would have said but, being observed, did not.
    pub observed: bool,
    /// The fields that it spoke of, as they were shown before it spoke and after.
    pub before: Option<Json>,
    pub after: Option<Json>,
    /// Because of what: the import or job of the pass, the revoke that took it back.
    pub cause: Map<String, Json>,
    pub actor: Speaker,
}

/// What to list: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct ApplicationFilter {
    pub rule: Option<Uuid>,
    pub finding: Option<Uuid>,
    /// Not before this, and before that.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub observed: Option<bool>,
    pub change: Option<Turn>,
}

/// The id of the application that a company's audit has under this number.
pub fn id_of(company: Uuid, seq: i64) -> Uuid {
    Uuid::from_u64_pair(company.as_u64_pair().1, seq.unsigned_abs())
}

/// The number in an id of [`id_of`], if it is of this company.
pub fn seq_of(company: Uuid, id: Uuid) -> Option<i64> {
    let (of, seq) = id.as_u64_pair();
    (of == company.as_u64_pair().1).then(|| i64::try_from(seq).ok()).flatten()
}

impl RuleApplication {
    pub fn id(&self) -> Uuid {
        id_of(self.company, self.seq)
    }

    /// The revoke that took back what the rule said, where it is one that did.
    pub fn revoke(&self) -> Option<Uuid> {
        self.cause.get("revoke")?.as_str()?.parse().ok()
    }
}

/// What a rule would have done while it was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub turns: i64,
    pub findings: i64,
}

/// How a rule stands on a finding now: what it says is shown; it lies under what others say, if only in
/// one field; it is observed and would say something; it says nothing.
pub fn standing(finding: &Finding, rule: Uuid) -> Standing {
    let layers = &finding.layers;
    let words = layers.words_of(Source::rule(rule));
    let on_top = |word: &Statement| {
        let top = match word {
            Statement::Set(field, _) => layers.stack(*field).last().map(|entry| entry.source),
            Statement::Element(field, element, _) => {
                layers.element(*field, element).last().map(|entry| entry.source)
            }
            Statement::Judge(_) => layers.status().verdict().map(|verdict| verdict.source),
        };
        top == Some(Source::rule(rule))
    };
    match (words.is_empty(), words.iter().all(on_top)) {
        (false, true) => Standing::Shown,
        (false, false) => Standing::Covered,
        (true, _) if layers.observed().contains_key(&rule) => Standing::Observed,
        (true, _) => Standing::Silent,
    }
}

impl Domain {
    /// An application on a finding that the actor may see.
    pub async fn rule_application(&self, actor: &Actor, id: Uuid) -> Result<RuleApplication> {
        let found = self.rule_applications_by_id(actor, &[id]).await?.remove(&id);
        found.ok_or_else(|| Error::not_found("rule application"))
    }

    /// Those of these ids on findings that the actor may see, for a loader.
    pub async fn rule_applications_by_id(
        &self,
        actor: &Actor,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, RuleApplication>> {
        let scope = actor.allow(Permission::Read)?;
        let company = scope.company()?;
        let seqs: Vec<i64> = ids.iter().filter_map(|id| seq_of(company, *id)).collect();
        let found = self.db().applications_by_seq(&scope, &seqs).await?;
        Ok(found.into_iter().map(|application| (application.id(), application)).collect())
    }

    /// The applications on findings that the actor may see, the newest first.
    pub async fn rule_applications(
        &self,
        actor: &Actor,
        filter: &ApplicationFilter,
        args: &PageArgs,
    ) -> Result<Page<RuleApplication>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().applications(&scope, filter, &Window::new(args, store::NEWEST)?).await
    }

    pub async fn rule_application_count(&self, actor: &Actor, filter: &ApplicationFilter) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.db().application_count(&scope, filter).await
    }

    /// A page of the applications of each of these rules, the newest first: one statement for all.
    pub async fn applications_of_rules(
        &self,
        actor: &Actor,
        rules: &[Uuid],
        filter: &ApplicationFilter,
        args: &PageArgs,
    ) -> Result<HashMap<Uuid, Page<RuleApplication>>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().applications_of_rules(&scope, rules, filter, &Window::new(args, store::NEWEST)?).await
    }

    /// How many applications each of these rules has, where it has any.
    pub async fn application_counts(
        &self,
        actor: &Actor,
        rules: &[Uuid],
        filter: &ApplicationFilter,
    ) -> Result<HashMap<Uuid, i64>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().application_counts(&scope, rules, filter).await
    }

    /// What each of these rules would have done while it was observed, counted.
    pub async fn observed_counts(&self, actor: &Actor, rules: &[Uuid]) -> Result<HashMap<Uuid, Observed>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().observed_counts(&scope, rules).await
    }

    /// What these versions of rules did: the action of each, as it was.
    pub async fn rule_actions_at(
        &self,
        actor: &Actor,
        versions: &[(Uuid, i64)],
    ) -> Result<HashMap<(Uuid, i64), Json>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().rule_actions_at(&scope, versions).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_its_company_alone() {
        let (one, other) = (Uuid::from_u128(1 << 70 | 7), Uuid::from_u128(1 << 70 | 8));
        assert_eq!(seq_of(one, id_of(one, 12)), Some(12));
        assert_eq!(seq_of(other, id_of(one, 12)), None);
        assert_eq!(seq_of(one, Uuid::from_u64_pair(7, u64::MAX)), None);
    }
}
