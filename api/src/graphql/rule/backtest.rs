//! What a rule would have changed of what was imported in a past period.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::error::Error;
use domain::page::Edge;
use domain::rule::Rule;
use domain::rule::backtest::{Backtest, Happened, Row};
use domain::rule::preview::Tried;
use domain::vocabulary::terms::Term as _;
use record::{record, root};
use uuid::Uuid;

use super::RuleNode;
use super::mutation::RuleDraftInput;
use super::preview::{RulePreviewChange, RulePreviewField, RulePreviewSeverity, RulePreviewStatus, tried_of};
use super::trial::ConditionOutcome;
use crate::graphql::finding::FindingNode;
use crate::graphql::loaders::one;
use crate::graphql::page::{PageInfo, args, info};
use crate::graphql::scalars::{DateTime, Json};
use crate::graphql::scan::ScanNode;
use crate::graphql::{actor, domain};

/// What of the past cannot be told for certain.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(name = "BacktestMissing", remote = "domain::rule::backtest::Missing")]
pub enum Missing {
    /// The asset was changed later in a way that cannot be undone: it is taken as it is now.
    Asset,
    /// People changed the finding later: it is taken as if they had said nothing on those fields.
    People,
    /// Revokes made the finding exempt from rules, and since when is not told: it is taken as exempt from
    /// none.
    Exemption,
}

/// A rule to replay, and the period.
#[derive(InputObject)]
pub struct RuleBacktestInput {
    /// The global id of a rule that is kept.
    rule: Option<ID>,
    /// A draft; beside `rule`, it is tried instead of that.
    draft: Option<RuleDraftInput>,
    /// When the period begins.
    from: DateTime,
    /// When it ends: what was imported at this moment is not of it.
    to: DateTime,
}

pub struct BacktestHappened(Happened);

/// What a rule really did to a finding.
#[record]
#[Object]
impl BacktestHappened {
    /// The rule; null where the caller cannot see it.
    async fn rule(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<RuleNode>>>> {
        one::<Rule, _>(ctx, rows.iter().map(|row| Some(row.0.rule))).await
    }

    /// The version of the rule that did it.
    fn rule_version(&self) -> i64 {
        self.0.version
    }

    /// ADDED, CHANGED or WITHDRAWN.
    fn change(&self) -> &str {
        self.0.change.word()
    }

    /// The rule was observed: it would have done so.
    fn observed(&self) -> bool {
        self.0.observed
    }

    /// The fields that it spoke of, as they were before.
    fn before(&self) -> Json {
        Json(self.0.before.clone())
    }

    /// The same fields after.
    fn after(&self) -> Json {
        Json(self.0.after.clone())
    }
}

pub struct RuleBacktestEdge {
    cursor: String,
    row: Row,
}

/// A finding that an import wrote in the period, and that the criteria held for, or could not be
/// decided of.
#[record]
#[Object]
impl RuleBacktestEdge {
    /// Where the row stands: the next page is asked for `after` it.
    fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The finding as it stood when the import wrote it, before rules.
    fn node(&self) -> FindingNode {
        self.row.finding.clone().into()
    }

    /// When the import wrote it.
    fn at(&self) -> DateTime {
        DateTime(self.row.at)
    }

    /// The scan that the import was of; null where the caller cannot see it.
    async fn scan(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<ScanNode>>>> {
        one::<domain::inventory::scan::Scan, _>(ctx, rows.iter().map(|row| row.row.scan)).await
    }

    /// The import found it for the first time.
    fn new(&self) -> bool {
        self.row.new
    }

    /// TRUE where the criteria held, ERROR where that could not be told.
    fn outcome(&self) -> ConditionOutcome {
        self.row.outcome.into()
    }

    /// What would have been otherwise: `before` is what the rules of that moment made of it, `after` what
    /// they would have made of it with this one.
    fn changes(&self) -> Vec<RulePreviewChange> {
        self.row.changes.iter().map(Into::into).collect()
    }

    /// The badges that it would have worn for this rule.
    fn messages(&self) -> &[String] {
        &self.row.messages
    }

    /// What rules really did to it then.
    fn happened(&self) -> Vec<BacktestHappened> {
        self.row.happened.iter().cloned().map(BacktestHappened).collect()
    }

    /// What of the past cannot be told for certain.
    fn missing(&self) -> Vec<Missing> {
        self.row.missing.iter().map(|missing| (*missing).into()).collect()
    }
}

/// A page of a backtest.
#[record]
#[derive(SimpleObject)]
pub struct RuleBacktestConnection {
    /// The rows with their cursors, the newest first.
    edges: Vec<RuleBacktestEdge>,
    /// Where the page stands in its list.
    page_info: PageInfo,
    /// How many rows the list has on all its pages.
    total_count: i64,
}

pub struct RuleBacktest(Arc<Backtest>);

/// What a rule would have changed of what was imported in a past period, under the rules as they stood:
/// at most the 2,000 newest times that an import made a finding or refreshed it. Nothing is written.
#[record]
#[Object]
impl RuleBacktest {
    /// For `ruleBacktested`: further pages, for 15 minutes and from the same server.
    fn backtest_id(&self) -> ID {
        self.0.ticket.id.to_string().into()
    }

    /// The moment at which it was asked for.
    fn as_of(&self) -> DateTime {
        DateTime(self.0.ticket.as_of)
    }

    /// The name of the rule.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// When the period begins.
    fn from(&self) -> DateTime {
        DateTime(self.0.from)
    }

    /// When it ends.
    fn to(&self) -> DateTime {
        DateTime(self.0.to)
    }

    /// How often an import made a finding or refreshed it.
    fn evaluated(&self) -> i64 {
        self.0.totals.evaluated
    }

    /// There were more in the period, older ones.
    fn truncated(&self) -> bool {
        self.0.truncated
    }

    /// How often the criteria held.
    fn matched(&self) -> i64 {
        self.0.totals.matched
    }

    /// How often something would have shown another value.
    fn changed(&self) -> i64 {
        self.0.totals.changed
    }

    /// How often it could not be told whether the criteria held.
    fn errors(&self) -> i64 {
        self.0.totals.errors
    }

    /// How often something of the past is missing.
    fn incomplete(&self) -> i64 {
        self.0.incomplete
    }

    /// The severities of the matched, without the rule and with it.
    fn severities(&self) -> Vec<RulePreviewSeverity> {
        RulePreviewSeverity::all(&self.0.totals)
    }

    /// The statuses of the matched, without the rule and with it.
    fn statuses(&self) -> Vec<RulePreviewStatus> {
        RulePreviewStatus::all(&self.0.totals)
    }

    /// How often each field would have shown another value.
    fn fields(&self) -> Vec<RulePreviewField> {
        RulePreviewField::all(&self.0.totals)
    }

    /// The rows, the newest first.
    fn rows(
        &self,
        #[graphql(desc = "Only those that would have shown another value.", default)] changed: bool,
        #[graphql(desc = "How many rows at most, from the start.")] first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows at most, from the end.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<RuleBacktestConnection> {
        let page = self.0.rows(changed, &args(first, after, last, before))?;
        let page_info = info(&page);
        let edge = |edge: Edge<&Row>| RuleBacktestEdge { cursor: edge.cursor, row: edge.node.clone() };
        let edges = page.edges.into_iter().map(edge).collect();
        Ok(RuleBacktestConnection { edges, page_info, total_count: self.0.row_count(changed) })
    }
}

#[derive(Default)]
pub struct BacktestQuery;

#[root]
#[Object(name = "RuleBacktestQuery")]
impl BacktestQuery {
    /// Replays what was imported in a period with the rule, under the rules as they stood, at its place
    /// in the walk and as if it had been enforced. Nothing is written.
    async fn rule_backtest(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule and the period.")] input: RuleBacktestInput,
    ) -> async_graphql::Result<RuleBacktest> {
        let tried: Tried = tried_of(input.rule, input.draft)?;
        let (from, to) = (input.from.0, input.to.0);
        Ok(RuleBacktest(domain(ctx).rule_backtest(actor(ctx)?, tried, from, to).await?))
    }

    /// A backtest that the caller asked for before: further pages. Refused with NOT_FOUND once it is
    /// older than 15 minutes, or had to make room, or if another server has it.
    async fn rule_backtested(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `backtestId`.")] backtest_id: ID,
    ) -> async_graphql::Result<RuleBacktest> {
        let unknown = |_| Error::not_found("backtest").at("backtestId");
        let id = Uuid::parse_str(&backtest_id).map_err(unknown)?;
        Ok(RuleBacktest(domain(ctx).rule_backtested(actor(ctx)?, id)?))
    }
}
