//! Deciding.

use async_graphql::{Context, ID, Object};
use domain::approval::Approval;
use record::root;

use super::ApprovalNode;
use crate::graphql::id::Noun;
use crate::graphql::payload::{mutate, payload};
use crate::graphql::scalars::DateTime;

payload! {
    /// What a change of an approval answers.
    ApprovalPayload {
        /// The approval as it is now.
        approval: ApprovalNode
    }
}

#[derive(Default)]
pub struct ApprovalMutation;

#[root]
#[Object]
impl ApprovalMutation {
    /// Votes for what was seen. The vote that suffices does what was asked for. Whoever wrote or last
    /// edited it has no vote, with whichever token, service account or session; who stands in for an
    /// approver who is away gives that one's vote.
    async fn approval_approve(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The approval's global id.")] id: ID,
        #[graphql(desc = "The hash of what was seen: where that has changed, nothing is approved.")]
        content_hash: String,
        #[graphql(desc = "Something to be kept with the vote.")] comment: Option<String>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ApprovalPayload> {
        mutate::<Approval, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Approval.read_at(&id, "id")?;
                domain.approval_approve(&actor, id, &content_hash, comment).await
            },
            |domain, actor, id| async move { domain.approval(&actor, id).await },
        )
        .await
    }

    /// Approves alone, for an administrator who did not write it. It is flagged until a second person
    /// has reviewed it, and what was approved ends at `until` if nobody has.
    async fn approval_approve_emergency(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The approval's global id.")] id: ID,
        #[graphql(desc = "The hash of what was seen: where that has changed, nothing is approved.")]
        content_hash: String,
        #[graphql(desc = "Why it cannot wait.")] reason: String,
        #[graphql(desc = "Until when it holds without a review: at most 72 hours.")] until: DateTime,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ApprovalPayload> {
        mutate::<Approval, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Approval.read_at(&id, "id")?;
                domain.approval_approve_emergency(&actor, id, &content_hash, &reason, until.0).await
            },
            |domain, actor, id| async move { domain.approval(&actor, id).await },
        )
        .await
    }

    /// Refuses what waits, for a reason.
    async fn approval_reject(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The approval's global id.")] id: ID,
        #[graphql(desc = "Why; it is not empty.")] reason: String,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ApprovalPayload> {
        mutate::<Approval, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Approval.read_at(&id, "id")?;
                domain.approval_reject(&actor, id, &reason).await
            },
            |domain, actor, id| async move { domain.approval(&actor, id).await },
        )
        .await
    }

    /// Takes a question back: for who wrote it, and for administrators.
    async fn approval_withdraw(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The approval's global id.")] id: ID,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ApprovalPayload> {
        mutate::<Approval, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Approval.read_at(&id, "id")?;
                domain.approval_withdraw(&actor, id).await
            },
            |domain, actor, id| async move { domain.approval(&actor, id).await },
        )
        .await
    }

    /// Reviews an emergency approval: upheld, it holds like any other; if not, what it made live is
    /// turned off.
    async fn approval_review(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The approval's global id.")] id: ID,
        #[graphql(desc = "Whether it holds.")] upheld: bool,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ApprovalPayload> {
        mutate::<Approval, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Approval.read_at(&id, "id")?;
                domain.approval_review(&actor, id, upheld).await
            },
            |domain, actor, id| async move { domain.approval(&actor, id).await },
        )
        .await
    }
}
