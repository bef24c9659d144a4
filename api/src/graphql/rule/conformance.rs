//! How a rule held over a period.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use domain::rule::Rule;
use domain::rule::conformance::{Conformance, Override};
use record::{record, root};

use super::RuleNode;
use crate::graphql::id::Noun;
use crate::graphql::loaders::one;
use crate::graphql::scalars::DateTime;
use crate::graphql::{actor, domain};

/// Somebody who said otherwise than a rule.
#[record]
#[derive(SimpleObject)]
pub struct RuleOverride {
    /// Their name.
    name: String,
    /// Of how many findings.
    findings: i64,
}

impl From<Override> for RuleOverride {
    fn from(said: Override) -> Self {
        Self { name: said.name, findings: said.findings }
    }
}

pub struct RuleConformance(Conformance);

/// How a rule held over a period, on the findings of the caller's company, as the audit tells.
#[record]
#[Object]
impl RuleConformance {
    /// The rule.
    async fn rule(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<RuleNode>>>> {
        one::<Rule, _>(ctx, rows.iter().map(|row| Some(row.0.rule))).await
    }

    /// On how many findings it held when the period began.
    fn held_before(&self) -> i64 {
        self.0.held_before
    }

    /// On how many it held when the period ended.
    fn held_after(&self) -> i64 {
        self.0.held_after
    }

    /// On how many findings it held at any moment of the period.
    fn matched(&self) -> i64 {
        self.0.matched
    }

    /// How often it began to hold on a finding.
    fn applied(&self) -> i64 {
        self.0.applied
    }

    /// How often it said something else of a finding than before.
    fn changed(&self) -> i64 {
        self.0.changed
    }

    /// How often it was taken back, or held no more.
    fn withdrawn(&self) -> i64 {
        self.0.withdrawn
    }

    /// How often it turned while it was only observed: what it would have done.
    fn observed(&self) -> i64 {
        self.0.observed
    }

    /// Of how many findings it did not speak at any moment of the period, as somebody had taken back what
    /// it said.
    fn exempted(&self) -> i64 {
        self.0.exempted
    }

    /// On how many findings its turn came and could not be decided, so that it said what it had said
    /// before.
    fn errored(&self) -> i64 {
        self.0.errored
    }

    /// Who said otherwise of a field that it had spoken of, the most findings first.
    fn overridden(&self) -> Vec<RuleOverride> {
        self.0.overridden.iter().cloned().map(Into::into).collect()
    }
}

#[derive(Default)]
pub struct ConformanceQuery;

#[root]
#[Object]
impl ConformanceQuery {
    /// How a rule held over a period. Takes the right to read the audit. `evidenceExport` has the same of all rules.
    async fn rule_conformance(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] rule: ID,
        #[graphql(desc = "From when on.")] from: DateTime,
        #[graphql(desc = "Before when.")] to: DateTime,
    ) -> async_graphql::Result<RuleConformance> {
        let rule = Noun::Rule.read_at(&rule, "rule")?;
        Ok(RuleConformance(domain(ctx).rule_conformance(actor(ctx)?, rule, from.0, to.0).await?))
    }
}
