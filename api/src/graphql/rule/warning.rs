//! What is odd about rules, whatever findings there are.

use std::sync::Arc;

use async_graphql::{Context, Enum, Object, SimpleObject};
use domain::error::Error;
use domain::rule::Rule;
use domain::rule::analysis::{self, Place, Warning};
use record::{record, root};
use uuid::Uuid;

use super::RuleNode;
use crate::graphql::loaders::{many, one};
use crate::graphql::{actor, domain};

/// What is odd.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(name = "RuleWarningKind", remote = "domain::rule::analysis::WarningKind")]
pub enum WarningKind {
    /// No active finding can meet the criteria.
    NeverMatches,
    /// What the first rule says never shows: the second has said the same before, or says otherwise
    /// later, whatever the first one matches.
    Shadowed,
    /// Both can match the same finding, and set one field to different values.
    Contradicts,
    /// One writes what the other asks about, and it makes a difference which comes first.
    OrderMatters,
}

/// Something odd about a rule, or between two.
pub struct RuleWarning(Warning);

impl From<Warning> for RuleWarning {
    fn from(warning: Warning) -> Self {
        Self(warning)
    }
}

/// Something odd about a rule, or between two. That a rule never matches or never shows is told only
/// where it is certain, people's decisions and exemptions aside.
#[record]
#[Object]
impl RuleWarning {
    /// What is odd.
    fn kind(&self) -> WarningKind {
        self.0.kind.into()
    }

    /// A sentence for people.
    fn message(&self) -> &str {
        &self.0.message
    }

    /// The rules, the one that it is about first; a draft that is not kept is not among them.
    async fn rules(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<Arc<RuleNode>>>> {
        many::<Rule, _>(ctx, rows.iter().map(|row| row.0.rules.clone())).await
    }

    /// The conditions and members of actions that it comes from.
    fn places(&self) -> Vec<RuleWarningPlace> {
        self.0.places.iter().cloned().map(RuleWarningPlace).collect()
    }
}

pub struct RuleWarningPlace(Place);

/// A part of a rule.
#[record]
#[Object]
impl RuleWarningPlace {
    /// The rule; null for a draft that is not kept.
    async fn rule(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<RuleNode>>>> {
        let kept = |id: Uuid| (!id.is_nil()).then_some(id);
        one::<Rule, _>(ctx, rows.iter().map(|row| kept(row.0.rule))).await
    }

    /// Where in the rule, as a JSON Pointer: `/criteria/conditions/0`, `/action/config/severity`.
    fn pointer(&self) -> &str {
        &self.0.pointer
    }
}

/// What is odd about the rules that hold.
#[record]
#[derive(SimpleObject)]
pub struct RuleSetWarnings {
    /// The warnings, the gravest kind first.
    warnings: Vec<RuleWarning>,
    /// How many there are, asked for or not; at most 1,000 are found.
    total_count: usize,
    /// How many pairs of rules were compared: those that have to do with each other.
    compared: usize,
    /// Everything was compared that has to do with each other, and every warning was counted.
    complete: bool,
}

#[derive(Default)]
pub struct WarningQuery;

#[root]
#[Object(name = "RuleWarningQuery")]
impl WarningQuery {
    /// What is odd about the rules that hold, the global ones among them.
    async fn rule_set_warnings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of these kinds; of all if not said.")] kinds: Option<Vec<WarningKind>>,
        #[graphql(desc = "How many warnings: at most 1,000.", default = 100)] first: i32,
    ) -> async_graphql::Result<RuleSetWarnings> {
        let most = usize::try_from(first).ok().filter(|most| *most <= analysis::MOST);
        let most =
            most.ok_or_else(|| Error::invalid("first", format!("Between 0 and {}.", analysis::MOST)))?;
        let analysis = domain(ctx).rule_set_warnings(actor(ctx)?).await?;
        let wanted =
            |warning: &Warning| kinds.as_ref().is_none_or(|kinds| kinds.contains(&warning.kind.into()));
        let mut warnings: Vec<Warning> = analysis.warnings.into_iter().filter(wanted).collect();
        let total_count = warnings.len();
        warnings.truncate(most);
        let warnings = warnings.into_iter().map(Into::into).collect();
        Ok(RuleSetWarnings {
            warnings,
            total_count,
            compared: analysis.compared,
            complete: analysis.complete,
        })
    }
}
