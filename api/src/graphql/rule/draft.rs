//! What is to take the place of a rule's live version.

use std::sync::Arc;

use async_graphql::{Context, Enum, Object};
use domain::approval::Approval;
use domain::rule::gate::Drafted;
use domain::vocabulary::criteria;
use domain::vocabulary::field::finding::FINDING;
use record::record;

use super::OnExpiry;
use super::action::RuleAction;
use crate::graphql::approval::ApprovalNode;
use crate::graphql::criteria::Criteria;
use crate::graphql::loaders::one;
use crate::graphql::person::{Person, people};
use crate::graphql::scalars::DateTime;

/// Where a draft stands on its way.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::rule::gate::DraftStage")]
pub enum RuleDraftStage {
    /// It is being written: nobody has been asked yet, or the question was taken back.
    Draft,
    /// It waits for approval.
    Pending,
    /// It was refused: edit it, and ask again.
    Rejected,
}

pub struct RuleDraftNode(Drafted);

impl From<Drafted> for RuleDraftNode {
    fn from(draft: Drafted) -> Self {
        Self(draft)
    }
}

/// What is to take the place of a rule's live version.
#[record]
#[Object(name = "RuleDraft")]
impl RuleDraftNode {
    /// Where it stands.
    fn stage(&self) -> RuleDraftStage {
        self.0.stage.into()
    }

    /// SHA-256, in hexadecimal, of what it does and where: what an approval binds to.
    fn content_hash(&self) -> &str {
        &self.0.content_hash
    }

    /// The name.
    fn name(&self) -> &str {
        &self.0.content.name
    }

    /// What it is for.
    fn description(&self) -> Option<&str> {
        self.0.content.description.as_deref()
    }

    /// Which findings it would hold for.
    fn criteria(&self) -> Criteria {
        Criteria(self.0.content.criteria.clone())
    }

    /// The criteria in English; null where a later release no longer reads them.
    fn sentence(&self) -> Option<String> {
        criteria::Criteria::parse(&FINDING, &self.0.content.criteria).ok().map(|tree| tree.sentence())
    }

    /// What it would do.
    fn action(&self) -> RuleAction {
        self.0.content.action.clone().into()
    }

    /// Its place in the walk.
    fn order(&self) -> i32 {
        self.0.content.order
    }

    /// When it would stop; null for never.
    fn expires_at(&self) -> Option<DateTime> {
        self.0.content.expires_at.map(DateTime)
    }

    /// What would become of what it said when it stops.
    fn on_expiry(&self) -> OnExpiry {
        self.0.content.on_expiry.into()
    }

    /// Whether a change of it would take a second person.
    fn requires_approval(&self) -> bool {
        self.0.content.requires_approval
    }

    /// What was asked for it last; null where nothing was since it was edited.
    async fn approval(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<ApprovalNode>>>> {
        one::<Approval, _>(ctx, rows.iter().map(|row| row.0.approval)).await
    }

    /// Who began it.
    async fn author(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.author))).await
    }

    /// Who edited it last.
    async fn editor(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.editor))).await
    }

    /// When it was begun.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last edited.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}
