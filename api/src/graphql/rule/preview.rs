//! What a rule would make of the findings that are there.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use domain::error::Error;
use domain::page::Edge;
use domain::rule::preview::{FieldChange, Preview, Reach, Row, Totals, Tried};
use domain::vocabulary::criteria::Explanation;
use record::{record, root};
use uuid::Uuid;

use super::mutation::RuleDraftInput;
use super::trial::{ConditionOutcome, TestedCondition};
use crate::graphql::finding::FindingNode;
use crate::graphql::finding::words::{FindingStatus, Layer, Severity};
use crate::graphql::id::Noun;
use crate::graphql::page::{PageInfo, args, info};
use crate::graphql::scalars::{DateTime, Json};
use crate::graphql::{actor, domain};

/// A rule to try: one that is kept, a draft, or a draft at the place of one that is kept.
#[derive(InputObject)]
pub struct RulePreviewInput {
    /// The global id of a rule that is kept.
    rule: Option<ID>,
    /// A draft; beside `rule`, it is tried instead of that.
    draft: Option<RuleDraftInput>,
}

/// A field that would show another value.
#[record]
#[derive(SimpleObject)]
pub struct RulePreviewChange {
    /// The field's key, as in criteria.
    field: &'static str,
    /// What the finding shows while the rule is silent.
    before: Json,
    /// What it would show.
    after: Json,
    /// The layer that what it would show is of. Another one than RULE, or a change of which `messages`
    /// does not speak, follows at a later rule.
    layer: Option<Layer>,
}

impl From<&FieldChange> for RulePreviewChange {
    fn from(change: &FieldChange) -> Self {
        Self {
            field: change.field,
            before: Json(change.before.clone()),
            after: Json(change.after.clone()),
            layer: change.by.map(|source| source.layer.into()),
        }
    }
}

/// A finding in a preview: the criteria hold for it, or it could not be told whether they do.
#[record]
#[derive(SimpleObject)]
pub struct RulePreviewEdge {
    /// Where the row stands: the next page is asked for `after` it.
    cursor: String,
    /// The finding, as it was at the time of the preview.
    node: FindingNode,
    /// TRUE where the criteria hold, ERROR where that could not be told: then the rule would keep what
    /// it said before.
    outcome: ConditionOutcome,
    /// What would show another value. Nothing, where the finding is so already, or where a runbook or a
    /// person settled it.
    changes: Vec<RulePreviewChange>,
    /// The badges that it would wear for this rule.
    messages: Vec<String>,
}

/// A page of the findings of a preview: what would become of each stands in its edge.
#[record]
#[derive(SimpleObject)]
pub struct RulePreviewConnection {
    /// The rows with their cursors.
    edges: Vec<RulePreviewEdge>,
    /// Where the page stands in its list.
    page_info: PageInfo,
    /// How many rows the list has on all its pages.
    total_count: i64,
}

/// How many of the matched findings show a severity.
#[record]
#[derive(SimpleObject)]
pub struct RulePreviewSeverity {
    /// The severity.
    severity: Severity,
    /// How many show it while the rule is silent.
    before: i64,
    /// How many would show it.
    after: i64,
}

/// How many of the matched findings show a status.
#[record]
#[derive(SimpleObject)]
pub struct RulePreviewStatus {
    /// The status.
    status: FindingStatus,
    /// How many show it while the rule is silent.
    before: i64,
    /// How many would show it.
    after: i64,
}

/// How many findings would show another value of a field.
#[record]
#[derive(SimpleObject)]
pub struct RulePreviewField {
    /// The field's key, as in criteria.
    field: &'static str,
    /// How many findings.
    count: i64,
}

impl RulePreviewSeverity {
    /// The lowest first.
    pub fn all(totals: &Totals) -> Vec<Self> {
        let row = |(severity, (before, after)): (&_, &(i64, i64))| Self {
            severity: Severity::from(*severity),
            before: *before,
            after: *after,
        };
        totals.severities.iter().map(row).collect()
    }
}

impl RulePreviewStatus {
    pub fn all(totals: &Totals) -> Vec<Self> {
        let row = |(status, (before, after)): (&_, &(i64, i64))| Self {
            status: FindingStatus::from(*status),
            before: *before,
            after: *after,
        };
        totals.statuses.iter().map(row).collect()
    }
}

impl RulePreviewField {
    pub fn all(totals: &Totals) -> Vec<Self> {
        totals.fields.iter().map(|(field, count)| Self { field, count: *count }).collect()
    }
}

/// Why criteria hold for a finding, or do not.
#[record]
#[derive(SimpleObject)]
pub struct RuleExplanation {
    /// What became of the whole.
    outcome: ConditionOutcome,
    /// The whole tree of criteria, each group and condition with what became of it.
    explanation: Json,
    /// The conditions alone, in the order of the tree.
    conditions: Vec<TestedCondition>,
}

impl From<Explanation> for RuleExplanation {
    fn from(explanation: Explanation) -> Self {
        Self {
            outcome: explanation.outcome().into(),
            conditions: explanation.leaves().into_iter().map(Into::into).collect(),
            explanation: Json(serde_json::to_value(&explanation).unwrap_or_default()),
        }
    }
}

/// What a rule would make of the newest active findings that the caller may see: nothing of it is
/// written, audited or told. All of it is of one moment, pages and explanations too.
pub struct RulePreview(Arc<Preview>);

/// What a rule would make of the newest active findings that the caller may see: nothing of it is
/// written, audited or told. All of it is of one moment, pages and explanations too.
#[record]
#[Object]
impl RulePreview {
    /// For `rulePreviewed`: further pages of the same snapshot, for 15 minutes and from the same server.
    fn preview_id(&self) -> ID {
        self.0.ticket.id.to_string().into()
    }

    /// The moment of the snapshot.
    fn as_of(&self) -> DateTime {
        DateTime(self.0.ticket.as_of)
    }

    /// The name of the rule, as on its badges.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The most findings that are evaluated.
    fn limit(&self) -> usize {
        self.0.reach.most()
    }

    /// How many findings were evaluated.
    fn evaluated(&self) -> i64 {
        self.0.totals.evaluated
    }

    /// How many findings are active, evaluated or not; what rules accepted the risk of counts.
    fn active(&self) -> i64 {
        self.0.active
    }

    /// There are more active findings than were evaluated.
    fn truncated(&self) -> bool {
        self.0.truncated
    }

    /// For how many of the evaluated findings the criteria hold when the rule's turn comes.
    fn matched(&self) -> i64 {
        self.0.totals.matched
    }

    /// Of how many of the evaluated findings something would show another value.
    fn changed(&self) -> i64 {
        self.0.totals.changed
    }

    /// Of how many of the evaluated findings it could not be told whether the criteria hold.
    fn errors(&self) -> i64 {
        self.0.totals.errors
    }

    /// The severities of the matched findings, the lowest first.
    fn severities(&self) -> Vec<RulePreviewSeverity> {
        RulePreviewSeverity::all(&self.0.totals)
    }

    /// The statuses of the matched findings.
    fn statuses(&self) -> Vec<RulePreviewStatus> {
        RulePreviewStatus::all(&self.0.totals)
    }

    /// The fields that would show another value.
    fn fields(&self) -> Vec<RulePreviewField> {
        RulePreviewField::all(&self.0.totals)
    }

    /// The findings that the criteria hold for, the newest first.
    fn rows(
        &self,
        #[graphql(desc = "Only those of which something would show another value.", default)] changed: bool,
        #[graphql(desc = "How many rows at most, from the beginning.")] first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows at most, from the end.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<RulePreviewConnection> {
        let page = self.0.rows(changed, &args(first, after, last, before))?;
        let page_info = info(&page);
        let edge = |edge: Edge<&Row>| RulePreviewEdge {
            cursor: edge.cursor,
            node: self.0.finding(edge.node).clone().into(),
            outcome: edge.node.outcome.into(),
            changes: edge.node.changes.iter().map(Into::into).collect(),
            messages: edge.node.messages.clone(),
        };
        let edges = page.edges.into_iter().map(edge).collect();
        Ok(RulePreviewConnection { edges, page_info, total_count: self.0.row_count(changed) })
    }
}

#[derive(Default)]
pub struct PreviewQuery;

#[root]
#[Object(name = "RulePreviewQuery")]
impl PreviewQuery {
    /// Tries a rule on the 500 newest active findings, at its place in the walk and as if it were
    /// enforced, whatever its mode. Nothing is written.
    async fn rule_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule.")] input: RulePreviewInput,
    ) -> async_graphql::Result<RulePreview> {
        tried(ctx, input, Reach::Preview).await
    }

    /// The same on the 5,000 newest active findings.
    async fn rule_affected(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule.")] input: RulePreviewInput,
    ) -> async_graphql::Result<RulePreview> {
        tried(ctx, input, Reach::Affected).await
    }

    /// A preview that the caller asked for before: further pages of the same snapshot. Refused with
    /// NOT_FOUND once it is older than 15 minutes, or had to make room, or if another server has it.
    async fn rule_previewed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `previewId`.")] preview_id: ID,
    ) -> async_graphql::Result<RulePreview> {
        Ok(RulePreview(kept(ctx, &preview_id)?))
    }

    /// Why, in a preview that the caller asked for, the criteria hold for a finding, or do not, as the
    /// earlier rules had left it; null if it was not evaluated, or was not active any more when the
    /// rule's turn came.
    async fn rule_preview_explanation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `previewId`.")] preview_id: ID,
        #[graphql(desc = "The global id of the finding.")] finding: ID,
    ) -> async_graphql::Result<Option<RuleExplanation>> {
        let finding = Noun::Finding.read_at(&finding, "finding")?;
        Ok(kept(ctx, &preview_id)?.explain(finding).map(Into::into))
    }
}

fn kept(ctx: &Context<'_>, id: &ID) -> async_graphql::Result<Arc<Preview>> {
    let unknown = |_| Error::not_found("preview").at("previewId");
    let id = Uuid::parse_str(id).map_err(unknown)?;
    Ok(domain(ctx).rule_previewed(actor(ctx)?, id)?)
}

async fn tried(
    ctx: &Context<'_>,
    input: RulePreviewInput,
    reach: Reach,
) -> async_graphql::Result<RulePreview> {
    let tried = tried_of(input.rule, input.draft)?;
    Ok(RulePreview(domain(ctx).rule_preview(actor(ctx)?, tried, reach).await?))
}

/// What is to be tried.
pub fn tried_of(rule: Option<ID>, draft: Option<RuleDraftInput>) -> domain::error::Result<Tried> {
    let rule = rule.map(|id| Noun::Rule.read_at(&id, "rule")).transpose()?;
    match (rule, draft) {
        (of, Some(draft)) => Ok(Tried::Draft { of, draft: Box::new(draft.read()) }),
        (Some(rule), None) => Ok(Tried::Kept(rule)),
        (None, None) => {
            let missing = "Give a rule, a draft, or both.";
            Err(Error::new(domain::error::Code::Required, missing).at("rule"))
        }
    }
}
