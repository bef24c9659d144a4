//! Approvals as they change.

use async_graphql::{Context, SimpleObject, Subscription, Union};
use domain::feed::approvals;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use record::record;

use super::ApprovalNode;
use crate::graphql::cursor;
use crate::graphql::scalars::DateTime;
use crate::graphql::walk::Walked;
use crate::graphql::{actor, domain};
use crate::server::fanout::Place;

/// Where the stream begins: read the list after this item, and what follows keeps it right.
#[record]
#[derive(SimpleObject)]
pub struct ApprovalSnapshot {
    /// The place of the beginning, for `after`.
    cursor: String,
}

/// An approval that changed.
#[record]
#[derive(SimpleObject)]
pub struct ApprovalChange {
    /// The place of this item, for `after`.
    cursor: String,
    /// When it changed.
    at: DateTime,
    /// The kind of the event: one of `eventTypes`.
    event: String,
    /// The approval as it is now, which may be later than at the event.
    approval: ApprovalNode,
}

/// What `approvalChanged` sends.
#[record]
#[derive(Union)]
#[expect(clippy::large_enum_variant, reason = "one snapshot opens a stream of changes")]
pub enum ApprovalChanged {
    Snapshot(ApprovalSnapshot),
    Change(ApprovalChange),
}

impl From<approvals::ApprovalChange> for ApprovalChanged {
    fn from(change: approvals::ApprovalChange) -> Self {
        Self::Change(ApprovalChange {
            cursor: cursor::Stream::Events.cursor(change.seq),
            at: DateTime(change.at),
            event: change.event,
            approval: change.approval.into(),
        })
    }
}

/// How many approvals wait for the caller's vote.
#[record]
#[derive(SimpleObject)]
pub struct PendingApprovals {
    /// The place of this item, for `after`.
    cursor: String,
    /// How many.
    count: i64,
}

#[derive(Default)]
pub struct ApprovalSubscription;

#[Subscription]
impl ApprovalSubscription {
    /// The approvals that the caller sees as they change, in the order of the changes.
    ///
    /// Opened without `after`, it begins with an `ApprovalSnapshot`; a list that is read after that and
    /// changed by what follows misses nothing. Opened again with the cursor of the last item that was
    /// received, it goes on behind that item.
    async fn approval_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The cursor of the last item received.")] after: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Walked<ApprovalChanged>>>> {
        let (domain, actor) = (domain(ctx), actor(ctx)?);
        let after = after.as_deref().map(|after| cursor::Stream::Events.read(after)).transpose()?;
        let place = ctx.data_opt::<Place>().cloned().unwrap_or_default();
        let (begin, opening) = match place.from().or(after) {
            Some(begin) => (begin, None),
            None => {
                let head = domain.event_seq(actor).await?;
                let cursor = cursor::Stream::Events.cursor(head);
                (head, Some(Ok(Walked(ApprovalChanged::Snapshot(ApprovalSnapshot { cursor })))))
            }
        };
        let changes = domain.approval_changes(actor, Some(begin)).await?;
        if opening.is_none() {
            place.begin(begin);
        }
        let opening = stream::iter(opening).inspect({
            let place = place.clone();
            move |_| place.note(begin)
        });
        let changes = changes
            .map_ok(|batch| stream::iter(batch.into_iter().map(Ok)))
            .try_flatten()
            .map_ok(move |change| {
                place.note(change.seq);
                Walked(ApprovalChanged::from(change))
            })
            .map_err(|error: domain::error::Error| error.into());
        Ok(opening.chain(changes))
    }

    /// How many approvals wait for the caller's vote: now, and whenever that is another number.
    async fn pending_approval_count(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The cursor of the last item received.")] after: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Walked<PendingApprovals>>>> {
        let after = after.as_deref().map(|after| cursor::Stream::Events.read(after)).transpose()?;
        let place = ctx.data_opt::<Place>().cloned().unwrap_or_default();
        let begin = place.from().or(after);
        let waiting = domain(ctx).approvals_waiting(actor(ctx)?, begin).await?;
        if let Some(begin) = begin {
            place.begin(begin);
        }
        Ok(waiting
            .map_ok(move |waiting| {
                place.note(waiting.seq);
                let cursor = cursor::Stream::Events.cursor(waiting.seq);
                Walked(PendingApprovals { cursor, count: waiting.count })
            })
            .map_err(|error: domain::error::Error| error.into()))
    }
}
