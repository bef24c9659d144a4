//! Lists of findings.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use domain::Domain;
use domain::access::Actor;
use domain::error::Result;
use domain::finding::facts::Finding;
use domain::finding::query::{Count, FindingFilter, FindingOrder};
use domain::page::{Edge, Page};
use record::{record, root};
use tokio::sync::OnceCell;

use super::FindingNode;
use super::stats::{FindingFacet, FindingStats, ValueCount, facets, values};
use super::words::FindingOrderField;
use crate::graphql::criteria::Criteria;
use crate::graphql::id::Noun;
use crate::graphql::page::{OrderDirection, PageInfo, args, info};
use crate::graphql::{actor, domain, found};

/// How findings are sorted.
#[derive(InputObject)]
pub struct FindingOrderBy {
    /// By what.
    field: FindingOrderField,
    /// Which way; if not said, the one that the field has by itself.
    direction: Option<OrderDirection>,
}

impl FindingOrderBy {
    fn read(order: Option<Self>) -> (FindingOrder, bool) {
        let Some(Self { field, direction }) = order else { return (FindingOrder::Severity, false) };
        let order = FindingOrder::from(field);
        let by_itself = order.sort().keys.first().is_some_and(|key| key.descending);
        (order, direction.is_some_and(|direction| direction.descends() != by_itself))
    }
}

/// A finding in a page.
#[record]
#[derive(SimpleObject)]
pub struct FindingEdge {
    /// Where the row stands: the next page is asked for `after` it.
    cursor: String,
    /// The row.
    node: FindingNode,
}

/// A page of findings.
pub struct FindingConnection {
    edges: Vec<FindingEdge>,
    info: PageInfo,
    counter: Counter,
}

/// Counts the list at most once, and only if asked.
struct Counter {
    domain: Domain,
    actor: Actor,
    filter: FindingFilter,
    count: OnceCell<Count>,
}

impl Counter {
    async fn count(&self) -> Result<&Count> {
        self.count.get_or_try_init(|| self.domain.finding_count(&self.actor, &self.filter)).await
    }
}

impl FindingConnection {
    fn new(page: Page<Finding>, domain: Domain, actor: Actor, filter: FindingFilter) -> Self {
        let info = info(&page);
        let edge = |Edge { cursor, node }: Edge<Finding>| FindingEdge { cursor, node: node.into() };
        let counter = Counter { domain, actor, filter, count: OnceCell::new() };
        Self { edges: page.edges.into_iter().map(edge).collect(), info, counter }
    }
}

/// A page of findings.
#[record]
#[Object]
impl FindingConnection {
    /// The rows with their cursors.
    fn edges(&self) -> &[FindingEdge] {
        &self.edges
    }

    /// The rows alone.
    fn nodes(&self) -> Vec<&FindingNode> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where the page stands in its list.
    fn page_info(&self) -> &PageInfo {
        &self.info
    }

    /// How many rows the list has on all its pages. It is counted only if asked for, and null where
    /// it cannot be: `totalCountReason` says why.
    async fn total_count(&self) -> async_graphql::Result<Option<i64>> {
        Ok(match self.counter.count().await? {
            Count::Exact(count) => Some(*count),
            Count::Unknown(_) => None,
        })
    }

    /// Why there is no count; null where there is one.
    async fn total_count_reason(&self) -> async_graphql::Result<Option<&'static str>> {
        Ok(match self.counter.count().await? {
            Count::Exact(_) => None,
            Count::Unknown(reason) => Some(*reason),
        })
    }
}

#[derive(Default)]
pub struct FindingQuery;

#[root]
#[Object]
impl FindingQuery {
    /// A finding inside of the caller's portfolio.
    async fn finding(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The finding's global id.")] id: ID,
    ) -> async_graphql::Result<Option<FindingNode>> {
        let Ok(id) = Noun::Finding.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).finding(actor(ctx)?, id).await)?)
    }

    /// The findings inside of the caller's portfolio, the worst first if nothing else is said. A
    /// filter with a regular expression is tried on a bounded number of findings; past it the page is
    /// refused with LIMIT_EXCEEDED.
    #[expect(clippy::too_many_arguments, reason = "these are the arguments of a connection")]
    async fn findings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said. An empty tree is refused.")] filter: Option<Criteria>,
        #[graphql(desc = "How they are sorted.")] order_by: Option<FindingOrderBy>,
        #[graphql(
            desc = "Each issue once, by the worst of its findings that pass. Not with a regular expression.",
            default = false
        )]
        per_issue: bool,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<FindingConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = domain.finding_filter(filter.as_ref().map(|filter| &filter.0))?.per_issue(per_issue);
        let order = FindingOrderBy::read(order_by);
        let page = domain.findings(&actor, &filter, order, &args(first, after, last, before)).await?;
        Ok(FindingConnection::new(page, domain, actor, filter))
    }

    /// How many findings there are, in all and by what they have in common. Each number is counted
    /// only if asked for.
    async fn finding_stats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which findings; of all if not said.")] filter: Option<Criteria>,
        #[graphql(desc = "The keys of one or two fields to group by.")] group_by: Option<Vec<String>>,
        #[graphql(
            desc = "Each issue once, by the worst of its findings that pass. Not with a regular expression.",
            default = false
        )]
        per_issue: bool,
    ) -> async_graphql::Result<FindingStats> {
        FindingStats::new(ctx, filter, group_by, per_issue)
    }

    /// For each field, its most frequent values among the findings that pass, with their counts.
    async fn finding_facets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which findings; of all if not said.")] filter: Option<Criteria>,
        #[graphql(desc = "The keys of up to 12 fields.")] by: Vec<String>,
        #[graphql(desc = "How many values of each field: at most 500.", default = 20)] first: i32,
    ) -> async_graphql::Result<Vec<FindingFacet>> {
        facets(ctx, filter, &by, first).await
    }

    /// The values that a field has among the findings inside of the caller's portfolio, the most
    /// frequent first: what to offer for an operand.
    async fn field_values(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The field's key.")] field: String,
        #[graphql(desc = "A part of the value as it is kept, ignoring the case of ASCII letters.")]
        query: Option<String>,
        #[graphql(desc = "How many values: at most 500.", default = 20)] first: i32,
    ) -> async_graphql::Result<Vec<ValueCount>> {
        values(ctx, &field, query.as_deref(), first).await
    }
}
