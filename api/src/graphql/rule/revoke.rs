//! Taking back what rules did.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, OneofObject, SimpleObject};
use domain::error::Error;
use domain::finding::facts::Finding;
use domain::finding::layers::Source;
use domain::job;
use domain::page::{Edge, PageArgs};
use domain::rule::application::RuleApplication;
use domain::rule::revoke::listing::{OutcomeFilter, RevokedFinding};
use domain::rule::revoke::preview::{RevokePreview, RevokeRow};
use domain::rule::revoke::{self, RevokeOf, RevokeRequest};
use domain::vocabulary::terms::Term;
use record::{record, root};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::application::RuleApplicationNode;
use super::preview::RulePreviewChange;
use crate::graphql::finding::FindingNode;
use crate::graphql::finding::layers::{LayerAuthor, authors};
use crate::graphql::finding::words::Layer;
use crate::graphql::id::Noun;
use crate::graphql::job::RevokeJob;
use crate::graphql::loaders::one;
use crate::graphql::page::{Counter, PageInfo, args, info};
use crate::graphql::payload::{mutate, payload};
use crate::graphql::scalars::DateTime;
use crate::graphql::{actor, domain};

/// How far a revoke goes.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::finding::layers::RevokeMode")]
pub enum RevokeMode {
    /// Only what lies on top is taken away; the rest is told as conflicts.
    Safe,
    /// What lies above goes too: what later rules and people said, each audited.
    Force,
}

/// What became of a finding.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::rule::revoke::RevokeOutcome")]
pub enum RevokeOutcome {
    /// All that the rule said is gone, and what lies below is shown.
    Restored,
    /// Some of it is gone; the rest lies under what others said, and stayed.
    Partial,
    /// All of it lies under what others said, and stayed.
    Conflict,
    /// The application stood no more: it had been withdrawn or taken back, or the rule has spoken anew
    /// since.
    AlreadyReverted,
    /// The finding is not there any more.
    Gone,
}

/// One who speaks above the rule.
#[derive(Clone, Copy)]
pub struct RevokeAbove(Source);

/// One who speaks above the rule.
#[record]
#[Object]
impl RevokeAbove {
    /// The layer that it speaks in.
    fn layer(&self) -> Layer {
        self.0.layer.into()
    }

    /// Who it is; null for those who are gone.
    async fn by(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<LayerAuthor>>> {
        authors(ctx, rows.iter().map(|row| row.0).collect()).await
    }
}

/// A field that was left alone.
#[record]
#[derive(SimpleObject)]
pub struct RevokeConflict {
    /// The field's key, as in criteria.
    field: String,
    /// The element, of a field that holds a set.
    element: Option<String>,
    /// What lies above what the rule says, the lowest first.
    above: Vec<RevokeAbove>,
}

impl From<&domain::finding::layers::RevokeConflict> for RevokeConflict {
    fn from(conflict: &domain::finding::layers::RevokeConflict) -> Self {
        Self {
            field: conflict.field.to_string(),
            element: conflict.element.clone(),
            above: conflict.above.iter().copied().map(RevokeAbove).collect(),
        }
    }
}

/// A finding of a revoke: what became of it stands beside it.
pub struct RevokeOutcomeEdge(Edge<RevokedFinding>);

/// A finding of a revoke: what became of it stands beside it.
#[record]
#[Object]
impl RevokeOutcomeEdge {
    /// Where the row stands: the next page is asked for `after` it.
    fn cursor(&self) -> &str {
        &self.0.cursor
    }

    /// The finding as it is now; null where it is gone.
    async fn node(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<FindingNode>>>> {
        one::<Finding, _>(ctx, rows.iter().map(|row| Some(row.0.node.finding))).await
    }

    /// What became of it.
    fn outcome(&self) -> RevokeOutcome {
        self.0.node.outcome.into()
    }

    /// The keys of the fields in which what the rule said is gone.
    fn restored(&self) -> &[String] {
        &self.0.node.restored
    }

    /// What was left alone, and why.
    fn conflicts(&self) -> Vec<RevokeConflict> {
        self.0.node.conflicts.iter().map(Into::into).collect()
    }

    /// The application that was meant.
    async fn application(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<RuleApplicationNode>>>> {
        one::<RuleApplication, _>(ctx, rows.iter().map(|row| Some(row.0.node.application()))).await
    }

    /// The later turn of the rule on the finding that stood in its place by then; null where the
    /// application still was the newest.
    async fn replaced_by(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<RuleApplicationNode>>>> {
        one::<RuleApplication, _>(ctx, rows.iter().map(|row| row.0.node.replaced_by())).await
    }
}

/// A page of what became of findings: it stands in their edges.
pub struct RevokeOutcomeConnection {
    edges: Vec<RevokeOutcomeEdge>,
    info: PageInfo,
    total: Counter,
}

/// A page of what became of findings: it stands in their edges.
#[record]
#[Object]
impl RevokeOutcomeConnection {
    /// The rows with their cursors.
    fn edges(&self) -> &[RevokeOutcomeEdge] {
        &self.edges
    }

    /// Where the page stands in its list.
    fn page_info(&self) -> &PageInfo {
        &self.info
    }

    /// How many rows the list has on all its pages by now. It is counted only if asked for.
    async fn total_count(&self) -> async_graphql::Result<i64> {
        Ok(self.total.count().await?)
    }
}

/// Which findings of a revoke: all that is said must hold.
#[derive(Default, InputObject)]
pub struct RevokeOutcomeFilter {
    /// That came out in one of these ways.
    outcomes: Option<Vec<RevokeOutcome>>,
    /// The global id of the finding.
    finding: Option<ID>,
}

/// A page of what each of these revokes came to.
pub async fn outcomes_of(
    ctx: &Context<'_>,
    jobs: Vec<Uuid>,
    filter: Option<RevokeOutcomeFilter>,
    page: &PageArgs,
) -> async_graphql::Result<Vec<RevokeOutcomeConnection>> {
    let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
    let filter = filter.unwrap_or_default();
    let filter = OutcomeFilter {
        outcomes: filter.outcomes.into_iter().flatten().map(Into::into).collect(),
        finding: filter.finding.map(|id| Noun::Finding.read_at(&id, "finding")).transpose()?,
    };
    let mut pages = domain.revoke_outcomes(&actor, &jobs, &filter, page).await?;
    let pages: Vec<_> = jobs.iter().map(|job| pages.remove(job).unwrap_or_default()).collect();
    // All are counted at once, when the first is.
    let counts = Arc::new((OnceCell::<HashMap<Uuid, i64>>::new(), domain, actor, jobs.clone(), filter));
    let connection = |(job, page): (Uuid, domain::page::Page<RevokedFinding>)| {
        let counts = Arc::clone(&counts);
        let total = Counter::new(move || {
            let counts = Arc::clone(&counts);
            async move {
                let (cell, domain, actor, jobs, filter) = &*counts;
                let counts =
                    cell.get_or_try_init(|| domain.revoke_outcome_counts(actor, jobs, filter)).await?;
                Ok::<i64, Error>(counts.get(&job).copied().unwrap_or_default())
            }
        });
        let info = info(&page);
        RevokeOutcomeConnection {
            edges: page.edges.into_iter().map(RevokeOutcomeEdge).collect(),
            info,
            total,
        }
    };
    Ok(jobs.into_iter().zip(pages).map(connection).collect())
}

/// All that a rule did, or what it did in a time.
#[derive(InputObject)]
pub struct RevokeRuleInput {
    /// The rule's global id.
    rule: ID,
    /// Only applications not before this.
    from: Option<DateTime>,
    /// Only applications before this.
    to: Option<DateTime>,
}

/// What of an earlier revoke is followed up.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum RevokeOnly {
    /// What lay under others: findings that came out as CONFLICT or PARTIAL.
    Conflicts,
}

/// An earlier revoke.
#[derive(InputObject)]
pub struct RevokeFollowUpInput {
    /// The global id of the revoke's job, which has ended.
    job: ID,
    /// What of it.
    #[graphql(default_with = "RevokeOnly::Conflicts")]
    only: RevokeOnly,
}

/// What to take back: one of these.
#[derive(OneofObject)]
pub enum RevokeOfInput {
    /// The application of this global id.
    Application(ID),
    /// The applications of these global ids, at most 10,000 and of one rule.
    Applications(Vec<ID>),
    /// Those of a rule.
    Rule(RevokeRuleInput),
    /// What an earlier revoke left.
    FollowUp(RevokeFollowUpInput),
}

/// What to take back, and how.
#[derive(InputObject)]
pub struct RuleRevokeInput {
    /// What to take back. An application stands until the rule's next turn on its finding: one that
    /// stands no more is told as such, and left alone.
    of: RevokeOfInput,
    /// How far it goes.
    #[graphql(default_with = "RevokeMode::Safe")]
    mode: RevokeMode,
    /// Turns the rule off in the same transaction: for the caller's company alone, if it is a global
    /// one.
    #[graphql(default)]
    turn_off: bool,
    /// Runs the rules over all active findings afterwards.
    #[graphql(default)]
    sweep: bool,
    /// Why, for the audit.
    reason: Option<String>,
}

impl RuleRevokeInput {
    fn read(self) -> Result<RevokeRequest, Error> {
        let place = |error: Error| error.at("of");
        let application = |id: &ID, field: &str| Noun::RuleApplication.read_at(id, field).map_err(place);
        let of = match self.of {
            RevokeOfInput::Application(id) => RevokeOf::Applications(vec![application(&id, "application")?]),
            RevokeOfInput::Applications(ids) => RevokeOf::Applications(
                ids.iter().map(|id| application(id, "applications")).collect::<Result<_, _>>()?,
            ),
            RevokeOfInput::Rule(RevokeRuleInput { rule, from, to }) => RevokeOf::Rule {
                rule: Noun::Rule.read_at(&rule, "rule").map_err(|error| place(error.at("rule")))?,
                from: from.map(|at| at.0),
                to: to.map(|at| at.0),
            },
            RevokeOfInput::FollowUp(RevokeFollowUpInput { job, only: RevokeOnly::Conflicts }) => {
                let job = Noun::Job.read_at(&job, "job").map_err(|error| place(error.at("followUp")))?;
                RevokeOf::Conflicts { job }
            }
        };
        let Self { mode, turn_off, sweep, reason, .. } = self;
        Ok(RevokeRequest { of, mode: mode.into(), turn_off, sweep, reason })
    }
}

payload! {
    /// What `ruleRevoke` answers.
    RuleRevokePayload {
        /// The revoke as a job: a small one has ended with this answer, a large one goes on.
        job: RevokeJob
    }
}

#[derive(Default)]
pub struct RevokeMutation;

#[root]
#[Object]
impl RevokeMutation {
    /// Takes back what a rule did. Up to 200 findings at once; more by a job. It runs no rules, and what
    /// the rule does from now on is left alone. Findings from which anything was taken are exempt from
    /// the rule until it changes, or their exemption is cleared.
    async fn rule_revoke(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to take back, and how.")] input: RuleRevokeInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleRevokePayload> {
        mutate::<job::Job, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.rule_revoke(&actor, input.read()?).await },
            |domain, actor, id| async move { domain.job(&actor, id).await },
        )
        .await
    }
}

/// How many findings come out in one way.
#[record]
#[derive(SimpleObject)]
pub struct RevokeCount {
    /// The way.
    outcome: RevokeOutcome,
    /// How many.
    count: i64,
}

/// A finding that a revoke would come to: what would become of it stands beside it.
#[record]
#[derive(SimpleObject)]
pub struct RuleRevokePreviewEdge {
    /// Where the row stands: the next page is asked for `after` it.
    cursor: String,
    /// The finding as it is; null where it is gone.
    node: Option<FindingNode>,
    /// What would become of it.
    outcome: RevokeOutcome,
    /// The keys of the fields in which what the rule says would be gone.
    restored: Vec<String>,
    /// What would be left alone, and why.
    conflicts: Vec<RevokeConflict>,
    /// What would show another value.
    changes: Vec<RulePreviewChange>,
}

impl From<Edge<RevokeRow>> for RuleRevokePreviewEdge {
    fn from(Edge { cursor, node: row }: Edge<RevokeRow>) -> Self {
        Self {
            cursor,
            outcome: row.judged.outcome.into(),
            restored: row.judged.restored.iter().map(|field| (*field).to_owned()).collect(),
            conflicts: row.judged.conflicts.iter().map(Into::into).collect(),
            changes: row.changes.iter().map(Into::into).collect(),
            node: row.finding.map(Into::into),
        }
    }
}

/// A page of the findings that a revoke would come to.
#[record]
#[derive(SimpleObject)]
pub struct RuleRevokePreviewConnection {
    /// The rows with their cursors.
    edges: Vec<RuleRevokePreviewEdge>,
    /// Where the page stands in its list.
    page_info: PageInfo,
    /// How many rows the list has on all its pages.
    total_count: i64,
}

/// What a revoke would come to: nothing of it is written, audited or told. All pages are of one moment.
pub struct RuleRevokePreview(Arc<RevokePreview>);

/// What a revoke would come to: nothing of it is written, audited or told. All pages are of one moment.
#[record]
#[Object]
impl RuleRevokePreview {
    /// For `ruleRevokePreviewed`: further pages of the same snapshot, for 15 minutes and from the same
    /// server.
    fn preview_id(&self) -> ID {
        self.0.ticket.id.to_string().into()
    }

    /// The moment of the snapshot.
    fn as_of(&self) -> DateTime {
        DateTime(self.0.ticket.as_of)
    }

    /// How many findings the revoke means.
    fn total(&self) -> i64 {
        self.0.total
    }

    /// How many of them were looked at: at most 5,000.
    fn evaluated(&self) -> usize {
        self.0.evaluated()
    }

    /// There are more findings than were looked at.
    fn truncated(&self) -> bool {
        self.0.truncated
    }

    /// How many of those that were looked at would come out in each way.
    fn counts(&self) -> Vec<RevokeCount> {
        let count = |outcome: &revoke::RevokeOutcome| RevokeCount {
            outcome: (*outcome).into(),
            count: self.0.counts.get(*outcome),
        };
        revoke::RevokeOutcome::ALL.iter().map(count).collect()
    }

    /// The findings, in the order in which the revoke would come to them.
    fn rows(
        &self,
        #[graphql(desc = "Only those that would come out in one of these ways.")] outcomes: Option<
            Vec<RevokeOutcome>,
        >,
        #[graphql(desc = "How many rows at most, from the beginning.")] first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows at most, from the end.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<RuleRevokePreviewConnection> {
        let outcomes: Vec<revoke::RevokeOutcome> = outcomes.into_iter().flatten().map(Into::into).collect();
        let page = self.0.rows(&outcomes, &args(first, after, last, before))?;
        let page_info = info(&page);
        let edges = page.edges.into_iter().map(Into::into).collect();
        Ok(RuleRevokePreviewConnection { edges, page_info, total_count: self.0.row_count(&outcomes) })
    }
}

#[derive(Default)]
pub struct RevokeQuery;

#[root]
#[Object]
impl RevokeQuery {
    /// What a revoke would come to on the first 5,000 findings that it means. Nothing is written.
    async fn rule_revoke_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to take back, and how.")] input: RuleRevokeInput,
    ) -> async_graphql::Result<RuleRevokePreview> {
        let request = input.read().map_err(|error| error.at("input"))?;
        Ok(RuleRevokePreview(domain(ctx).rule_revoke_preview(actor(ctx)?, &request).await?))
    }

    /// A preview of a revoke that the caller asked for before: further pages of the same snapshot. Refused
    /// with NOT_FOUND once it is older than 15 minutes, or had to make room, or if another server has it.
    async fn rule_revoke_previewed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `previewId`.")] preview_id: ID,
    ) -> async_graphql::Result<RuleRevokePreview> {
        let unknown = |_| Error::not_found("preview").at("previewId");
        let id = Uuid::parse_str(&preview_id).map_err(unknown)?;
        Ok(RuleRevokePreview(domain(ctx).rule_revoke_previewed(actor(ctx)?, id)?))
    }
}
