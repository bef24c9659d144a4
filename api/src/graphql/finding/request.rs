//! Changes that wait for a second person.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::approval::Approval;
use domain::error::Result;
use domain::finding::facts::Finding;
use domain::finding::request::{self, ChangeRequest, RequestFilter};
use domain::job;
use record::{record, root};

use super::FindingNode;
use crate::graphql::approval::ApprovalNode;
use crate::graphql::id::Noun;
use crate::graphql::job::Job;
use crate::graphql::loaders::one;
use crate::graphql::page::{Counter, args, connection, info};
use crate::graphql::person::{Person, people};
use crate::graphql::policy::Gate;
use crate::graphql::scalars::{DateTime, Json};
use crate::graphql::{actor, domain, found};

/// Where a request stands.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::finding::request::RequestState")]
pub enum ChangeRequestState {
    /// It waits for those who have to agree.
    Waiting,
    /// They agreed: its job makes the change.
    Applying,
    /// Its job has ended; the findings say what became of each.
    Applied,
    /// Nobody agreed, or somebody refused or took it back. Nothing happened.
    Dropped,
}

/// What became of one finding of a request.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::finding::request::ItemOutcome")]
pub enum ChangeOutcome {
    /// Nothing yet.
    Waiting,
    /// It was changed.
    Applied,
    /// It was left alone, as it is not as it was any more.
    Moved,
    /// It is not there any more, or out of sight of who asked.
    Gone,
}

pub struct ChangeRequestNode(ChangeRequest);

impl From<ChangeRequest> for ChangeRequestNode {
    fn from(request: ChangeRequest) -> Self {
        Self(request)
    }
}

/// A change of findings that a person asked for and that a second person has to agree to.
#[record]
#[Object(name = "ChangeRequest")]
impl ChangeRequestNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::ChangeRequest.id(self.0.id)
    }

    /// What is to be done, as it is kept.
    fn edit(&self) -> Json {
        Json(serde_json::json!(self.0.edit))
    }

    /// Why it takes a second person.
    fn gates(&self) -> Vec<Gate> {
        self.0.gates.iter().map(|gate| (*gate).into()).collect()
    }

    /// Who asked for it; null where the caller cannot see that one.
    async fn author(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.principal.speaker.id))).await
    }

    /// Where it stands.
    fn state(&self) -> ChangeRequestState {
        self.0.state.into()
    }

    /// How many findings it changes.
    fn finding_count(&self) -> i64 {
        self.0.findings
    }

    /// How many of them were active when it was asked for.
    fn active_count(&self) -> i64 {
        self.0.touched
    }

    /// Those as a share of all findings that were active then, from 0 to 1.
    fn active_share(&self) -> f64 {
        request::share(self.0.touched, self.0.active)
    }

    /// SHA-256, in hexadecimal, of what it changes from what to what.
    fn digest(&self) -> &str {
        &self.0.digest
    }

    /// What waits for those who have to agree, or did; null where the caller cannot see it.
    async fn approval(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<ApprovalNode>>>> {
        one::<Approval, _>(ctx, rows.iter().map(|row| Some(row.0.approval))).await
    }

    /// The job that makes the change; null before.
    async fn job(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Job>>>> {
        one::<job::Job, _>(ctx, rows.iter().map(|row| row.0.job)).await
    }

    /// When it was asked for.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was made or dropped; null before.
    fn ended_at(&self) -> Option<DateTime> {
        self.0.ended_at.map(DateTime)
    }
}

connection!(
    ChangeRequestConnection,
    ChangeRequestEdge,
    ChangeRequestNode,
    "A page of change requests.",
    "A change request in a page."
);

pub struct RequestedChange(request::Item);

/// What a request changes of one finding.
#[record]
#[Object]
impl RequestedChange {
    /// The finding; null where the caller cannot see it.
    async fn finding(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<FindingNode>>>> {
        one::<Finding, _>(ctx, rows.iter().map(|row| Some(row.0.finding))).await
    }

    /// The fields that are to change, as they were when it was asked for.
    fn before(&self) -> Json {
        Json(self.0.was.clone().into())
    }

    /// The same fields as they are to be.
    fn after(&self) -> Json {
        Json(self.0.becomes.clone().into())
    }

    /// What became of it.
    fn outcome(&self) -> ChangeOutcome {
        self.0.outcome.into()
    }

    /// What of the finding had moved on; null where nothing had.
    fn moved(&self) -> Option<MovedField> {
        let request::Moved { field, was, is } = self.0.moved.clone()?;
        let said = |value: serde_json::Value| (!value.is_null()).then_some(Json(value));
        Some(MovedField { field, was: said(was), is: said(is) })
    }
}

/// A field that is not as it was when a change was asked for.
#[record]
#[derive(SimpleObject)]
pub struct MovedField {
    /// The key of the field.
    field: String,
    /// What it was.
    was: Option<Json>,
    /// What it was when the change was to be made.
    is: Option<Json>,
}

/// A page of what a request changes.
#[record]
#[derive(SimpleObject)]
pub struct RequestedChanges {
    /// The findings, those inside of the caller's portfolio.
    nodes: Vec<RequestedChange>,
    /// Where the page stands.
    page_info: crate::graphql::page::PageInfo,
    /// How many there are on all pages.
    total_count: i64,
}

/// Which requests: all that is said must hold.
#[derive(Default, InputObject)]
pub struct ChangeRequestFilterInput {
    /// In one of these states.
    states: Option<Vec<ChangeRequestState>>,
    /// The global id of the user who asked.
    author: Option<ID>,
}

impl ChangeRequestFilterInput {
    fn read(self) -> Result<RequestFilter> {
        Ok(RequestFilter {
            states: self.states.into_iter().flatten().map(Into::into).collect(),
            author: self.author.map(|id| Noun::User.read_at(&id, "author")).transpose()?,
        })
    }
}

#[derive(Default)]
pub struct ChangeRequestQuery;

#[root]
#[Object]
impl ChangeRequestQuery {
    /// A change that waits for a second person, or did. Members of a narrow portfolio see those that
    /// they asked for themselves.
    async fn change_request(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The request's global id.")] id: ID,
    ) -> async_graphql::Result<Option<ChangeRequestNode>> {
        let Ok(id) = Noun::ChangeRequest.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).change_request(actor(ctx)?, id).await)?)
    }

    /// The changes that people asked for, the newest first.
    async fn change_requests(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<ChangeRequestFilterInput>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<ChangeRequestConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read()?;
        let page = domain.change_requests(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.change_request_count(&actor, &filter).await }
        });
        Ok(ChangeRequestConnection::new(page, total))
    }

    /// What a request changes of which finding, and what became of each; null where there is no such
    /// request.
    async fn change_request_findings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The request's global id.")] id: ID,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Option<RequestedChanges>> {
        let Ok(id) = Noun::ChangeRequest.read(&id) else { return Ok(None) };
        let (domain, actor) = (domain(ctx), actor(ctx)?);
        let page = domain.change_request_items(actor, id, &args(first, after, last, before)).await;
        let Some(page) = found::<_, domain::page::Page<request::Item>>(page)? else { return Ok(None) };
        let total_count = domain.change_request_item_count(actor, id).await?;
        let page_info = info(&page);
        Ok(Some(RequestedChanges {
            nodes: page.nodes().map(RequestedChange).collect(),
            page_info,
            total_count,
        }))
    }
}
