//! Exemptions: findings of which rules do not speak.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use domain::error::Error;
use domain::finding::facts::Finding;
use domain::job;
use domain::rule::Rule;
use domain::rule::exemption::{Clearing, Exemption, ExemptionFilter};
use record::{record, root};

use super::RuleNode;
use crate::graphql::finding::FindingNode;
use crate::graphql::id::Noun;
use crate::graphql::job::RevokeJob;
use crate::graphql::loaders::{load, one};
use crate::graphql::page::{Counter, args, connection};
use crate::graphql::payload::{Outcome, UserError, mutate};
use crate::graphql::person::{Person, people};
use crate::graphql::scalars::DateTime;
use crate::graphql::{actor, domain, found};

pub struct RuleExemptionNode(Exemption);

impl From<Exemption> for RuleExemptionNode {
    fn from(exemption: Exemption) -> Self {
        Self(exemption)
    }
}

/// A finding of which a rule does not speak, as what it said there was taken back.
#[record]
#[Object(name = "RuleExemption")]
impl RuleExemptionNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::RuleExemption.id(self.0.id)
    }

    /// The rule.
    async fn rule(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<RuleNode>>>> {
        one::<Rule, _>(ctx, rows.iter().map(|row| Some(row.0.rule))).await
    }

    /// The finding.
    async fn finding(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<FindingNode>>>> {
        one::<Finding, _>(ctx, rows.iter().map(|row| Some(row.0.finding))).await
    }

    /// SHA-256, in hexadecimal, of what the rule did and where when it was taken back.
    fn content_hash(&self) -> &str {
        &self.0.content_hash
    }

    /// Whether it holds: the rule still is what it was then.
    async fn holds(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<bool>> {
        let rules = load::<Rule>(ctx, rows.iter().map(|row| row.0.rule)).await?;
        let holds =
            |row: &&Self| rules.get(&row.0.rule).is_some_and(|rule| rule.content_hash == row.0.content_hash);
        Ok(rows.iter().map(holds).collect())
    }

    /// The revoke that left it.
    async fn revoke(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<RevokeJob>>>> {
        one::<job::Job, _>(ctx, rows.iter().map(|row| Some(row.0.job))).await
    }

    /// Who took back what the rule said; null for those who are gone.
    async fn author(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.author))).await
    }

    /// Since when.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

connection!(
    RuleExemptionConnection,
    RuleExemptionEdge,
    RuleExemptionNode,
    "A page of exemptions.",
    "An exemption in a page."
);

/// Which exemptions: all that is said must hold.
#[derive(Default, InputObject)]
pub struct RuleExemptionFilter {
    /// The global id of the rule.
    rule: Option<ID>,
    /// The global id of the finding.
    finding: Option<ID>,
    /// Only those that hold, or only those that ended as the rule changed.
    holds: Option<bool>,
}

impl RuleExemptionFilter {
    fn read(self) -> Result<ExemptionFilter, Error> {
        Ok(ExemptionFilter {
            rule: self.rule.map(|id| Noun::Rule.read_at(&id, "rule")).transpose()?,
            finding: self.finding.map(|id| Noun::Finding.read_at(&id, "finding")).transpose()?,
            holds: self.holds,
        })
    }
}

#[derive(Default)]
pub struct ExemptionQuery;

#[root]
#[Object]
impl ExemptionQuery {
    /// An exemption of a finding that the caller may see.
    async fn rule_exemption(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The exemption's global id.")] id: ID,
    ) -> async_graphql::Result<Option<RuleExemptionNode>> {
        let Ok(id) = Noun::RuleExemption.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).rule_exemption(actor(ctx)?, id).await)?)
    }

    /// The exemptions of findings that the caller may see, the newest first.
    async fn rule_exemptions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<RuleExemptionFilter>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<RuleExemptionConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read()?;
        let page = domain.rule_exemptions(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.rule_exemption_count(&actor, &filter).await }
        });
        Ok(RuleExemptionConnection::new(page, total))
    }
}

/// Which exemptions to clear: one of these.
#[derive(OneofObject)]
pub enum RuleExemptionClearInput {
    /// Those of these global ids, at most 10,000.
    Exemptions(Vec<ID>),
    /// All from the rule of this global id.
    Rule(ID),
}

/// What `ruleExemptionClear` answers.
#[record]
#[derive(SimpleObject)]
pub struct RuleExemptionClearPayload {
    /// How many were cleared; null where it was done before for the same key.
    cleared: Option<i64>,
    /// Why it was refused; empty if it was done.
    user_errors: Vec<UserError>,
}

impl From<Outcome<Option<i64>>> for RuleExemptionClearPayload {
    fn from(outcome: Outcome<Option<i64>>) -> Self {
        match outcome.0 {
            Ok(cleared) => Self { cleared, user_errors: Vec::new() },
            Err(refused) => Self { cleared: None, user_errors: vec![refused] },
        }
    }
}

#[derive(Default)]
pub struct ExemptionMutation;

#[root]
#[Object]
impl ExemptionMutation {
    /// Clears exemptions: the rules speak again at the next pass of each finding.
    async fn rule_exemption_clear(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones.")] input: RuleExemptionClearInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleExemptionClearPayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let which = match input {
                    RuleExemptionClearInput::Exemptions(ids) => {
                        Clearing::Named(Noun::RuleExemption.read_all(&ids, "exemptions")?)
                    }
                    RuleExemptionClearInput::Rule(id) => Clearing::OfRule(Noun::Rule.read_at(&id, "rule")?),
                };
                domain.rule_exemption_clear(&actor, which).await.map(Some)
            },
            |_, _, _| async move { Ok(None) },
        )
        .await
    }
}
