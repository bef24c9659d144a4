//! Looking at findings: lists, counts, groups and the values that fields have.
//!
//! A filter is a criteria tree. What SQL can say of it exactly, SQL answers. A tree with a regular
//! expression goes to SQL as a superset and is asked again in memory, row by row, for at most
//! [`SCAN_BOUND`] rows: past it a count is unknown, with the reason, and a page is refused.

use std::collections::HashMap;

use serde_json::Value as Json;
use uuid::Uuid;

use super::facts::{Facts, Finding};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};
use crate::inventory::asset::Asset;
use crate::page::{Key, KeyKind, Page, PageArgs, Sort};
use crate::vocabulary::criteria::{Compiled, Criteria};
use crate::vocabulary::field::LAST_SEEN;
use crate::vocabulary::field::finding::{FINDING, FindingField};
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

pub mod store;

/// How many rows a filter that SQL cannot decide is asked in memory.
pub const SCAN_BOUND: i64 = 50_000;
/// The most values that a group, a facet or a list of values has.
pub const GROUPS: i64 = 500;

terms! {
    /// The orders of a list of findings.
    FindingOrder {
        Severity = "SEVERITY", LastSeen = "LAST_SEEN", FirstSeen = "FIRST_SEEN", Updated = "UPDATED",
        Title = "TITLE", CvssScore = "CVSS_SCORE", EpssScore = "EPSS_SCORE", DueAt = "DUE_AT",
    }
}

impl FindingOrder {
    /// Its keys: the worst, the newest, the first in the alphabet first.
    pub fn sort(self) -> Sort {
        const ID: Key = Key::new("f.id", KeyKind::Uuid).descending();
        match self {
            Self::Severity => {
                Sort::new("severity", const { &[Key::new("f.severity", KeyKind::Int).descending(), ID] })
            }
            Self::LastSeen => {
                Sort::new("last_seen", const { &[Key::new(LAST_SEEN, KeyKind::Int).descending(), ID] })
            }
            Self::FirstSeen => Sort::new(
                "first_seen",
                const { &[Key::new("f.first_seen_at", KeyKind::Int).descending(), ID] },
            ),
            Self::Updated => {
                Sort::new("updated", const { &[Key::new("f.updated_at", KeyKind::Int).descending(), ID] })
            }
            Self::Title => Sort::new("title", const { &[Key::new("f.title", KeyKind::Text), ID] }),
            Self::CvssScore => Sort::new(
                "cvss",
                const { &[Key::new("f.cvss_score", KeyKind::Float).descending().nullable(), ID] },
            ),
            Self::EpssScore => Sort::new(
                "epss",
                const { &[Key::new("f.epss_score", KeyKind::Float).descending().nullable(), ID] },
            ),
            Self::DueAt => Sort::new("due", const { &[Key::new("f.due_at", KeyKind::Int).nullable(), ID] }),
        }
    }
}

/// A checked filter, with the moment at which it is asked.
#[derive(Clone, Debug)]
pub struct FindingFilter {
    pub(crate) criteria: Option<Compiled>,
    pub(crate) now: Timestamp,
    /// Each issue once, by the worst of its findings that pass.
    pub(crate) per_issue: bool,
}

impl FindingFilter {
    pub(crate) fn new(criteria: Option<Compiled>, now: Timestamp) -> Self {
        Self { criteria, now, per_issue: false }
    }

    /// The same, with each issue once if `per_issue`: by the worst of its findings that pass.
    #[must_use]
    pub fn per_issue(self, per_issue: bool) -> Self {
        Self { per_issue, ..self }
    }

    /// Whether a finding passes.
    pub(crate) fn holds(&self, finding: &Finding, asset: &Asset) -> bool {
        let facts = Facts { finding, asset, shown: &finding.shown };
        self.criteria.as_ref().is_none_or(|criteria| criteria.matches(&facts, self.now).is_true())
    }
}

/// A count, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    Exact(i64),
    Unknown(&'static str),
}

/// Why a filter with a regular expression has no count.
pub const UNCOUNTED: &str =
    "The filter has a regular expression, and more findings than it is tried on could match.";

/// How many findings share a value of each field of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// In the order of the fields asked for; null: no value.
    pub values: Vec<Json>,
    pub count: i64,
}

impl Domain {
    /// Checks a filter. `None` is every finding in scope; an empty tree is refused.
    pub fn finding_filter(&self, criteria: Option<&Json>) -> Result<FindingFilter> {
        let criteria = criteria
            .map(|json| Criteria::parse(&FINDING, json).map(|tree| Compiled::new(&tree)))
            .transpose()
            .map_err(|faults| Error::from(faults).at("filter"))?;
        Ok(FindingFilter::new(criteria, self.clock().now()))
    }

    pub async fn finding(&self, actor: &Actor, id: Uuid) -> Result<Finding> {
        let scope = actor.allow(Permission::Read)?;
        self.db().findings_by_id(&scope, &[id]).await?.pop().ok_or_else(|| Error::not_found("finding"))
    }

    /// The findings of these ids inside of the scope, for a loader.
    pub async fn findings_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Finding>> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().findings_by_id(&scope, ids).await?;
        Ok(found.into_iter().map(|finding| (finding.id, finding)).collect())
    }

    pub async fn findings(
        &self,
        actor: &Actor,
        filter: &FindingFilter,
        (order, reversed): (FindingOrder, bool),
        args: &PageArgs,
    ) -> Result<Page<Finding>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().findings(&scope, filter, order.sort().reversed(reversed), args).await
    }

    pub async fn finding_count(&self, actor: &Actor, filter: &FindingFilter) -> Result<Count> {
        let scope = actor.allow(Permission::Read)?;
        self.db().finding_count(&scope, filter).await
    }

    /// How many findings there are of each value of one or two fields, the most frequent first. In
    /// a list field a finding counts under each of its elements.
    ///
    /// # Errors
    ///
    /// `LIMIT_EXCEEDED` where the filter has a regular expression and too many rows to try it on.
    pub async fn finding_groups(
        &self,
        actor: &Actor,
        filter: &FindingFilter,
        fields: &[FindingField],
    ) -> Result<Vec<Group>> {
        let scope = actor.allow(Permission::Read)?;
        if fields.is_empty() || fields.len() > 2 || fields.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(
                Error::new(Code::Invalid, "Group by one field, or by two different ones.").at("groupBy")
            );
        }
        self.db().finding_groups(&scope, filter, fields, None, GROUPS).await
    }

    /// The values that a field has among the findings in scope, the most frequent first. `query`
    /// is a part of the value's text, ignoring ASCII case.
    pub async fn field_values(
        &self,
        actor: &Actor,
        field: FindingField,
        query: Option<&str>,
        first: i64,
    ) -> Result<Vec<Group>> {
        let scope = actor.allow(Permission::Read)?;
        if !(1..=GROUPS).contains(&first) {
            return Err(Error::invalid("first", format!("Between 1 and {GROUPS}.")));
        }
        let all = FindingFilter::new(None, self.clock().now());
        let query = query.map(str::trim).filter(|query| !query.is_empty());
        let mut groups = self.db().finding_groups(&scope, &all, &[field], query, first).await?;
        groups.retain(|group| !group.values.iter().all(Json::is_null));
        Ok(groups)
    }
}
