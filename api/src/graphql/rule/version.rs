//! The history of a rule.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use domain::approval::Approval;
use domain::rule::Rule;
use domain::rule::version::RuleVersion;
use record::{record, root};

use super::RuleNode;
use crate::graphql::approval::{ApprovalNode, FieldChange};
use crate::graphql::id::Noun;
use crate::graphql::loaders::one;
use crate::graphql::page::{Counter, args, connection};
use crate::graphql::person::{Person, people};
use crate::graphql::scalars::{DateTime, Json};
use crate::graphql::{actor, domain};

pub struct RuleVersionNode(RuleVersion);

impl From<RuleVersion> for RuleVersionNode {
    fn from(version: RuleVersion) -> Self {
        Self(version)
    }
}

/// What a rule, or its draft, said from some change on.
#[record]
#[Object(name = "RuleVersion")]
impl RuleVersionNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::RuleVersion.id(self.0.id)
    }

    /// The rule.
    async fn rule(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<RuleNode>>>> {
        one::<Rule, _>(ctx, rows.iter().map(|row| Some(row.0.rule))).await
    }

    /// Its number in the rule.
    fn version(&self) -> i64 {
        self.0.version
    }

    /// The whole rule, or its draft, as it was.
    fn snapshot(&self) -> Json {
        Json(self.0.snapshot.clone())
    }

    /// SHA-256, in hexadecimal, of what it did and where.
    fn content_hash(&self) -> &str {
        &self.0.content_hash
    }

    /// Whether it went live with this version.
    fn live(&self) -> bool {
        self.0.live
    }

    /// The approval by which it did; null where it took none.
    async fn approval(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<ApprovalNode>>>> {
        one::<Approval, _>(ctx, rows.iter().map(|row| row.0.approval)).await
    }

    /// What changed with it, beside the version before.
    fn changes(&self) -> Vec<FieldChange> {
        let changes = self.0.changes().into_iter();
        changes.map(|(field, before, after)| FieldChange::new(field, before, after)).collect()
    }

    /// Who made the change.
    async fn author(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.author))).await
    }

    /// When.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

connection!(
    RuleVersionConnection,
    RuleVersionEdge,
    RuleVersionNode,
    "A page of the versions of a rule.",
    "A version of a rule in a page."
);

#[derive(Default)]
pub struct RuleVersionQuery;

#[root]
#[Object]
impl RuleVersionQuery {
    /// The versions of a rule and of its drafts, the newest first.
    async fn rule_versions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] rule: ID,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<RuleVersionConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let rule = Noun::Rule.read_at(&rule, "rule")?;
        let page = domain.rule_versions(&actor, rule, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor) = (domain.clone(), actor.clone());
            async move { domain.rule_version_count(&actor, rule).await }
        });
        Ok(RuleVersionConnection::new(page, total))
    }
}
