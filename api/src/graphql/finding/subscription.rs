//! Findings as they change.

use async_graphql::{Context, SimpleObject, Subscription, Union};
use domain::feed;
use futures_util::Stream;
use record::record;

use super::FindingNode;
use super::words::FindingDelta;
use crate::graphql::criteria::Criteria;
use crate::graphql::cursor;
use crate::graphql::scalars::DateTime;
use crate::graphql::stream::Opening;
use crate::graphql::walk::Walked;
use crate::graphql::{actor, domain};

/// Where the stream begins: read the list after this item, and what follows keeps it right.
#[record]
#[derive(SimpleObject)]
pub struct FindingSnapshot {
    /// The place of the beginning, for `after`.
    cursor: String,
}

/// A finding that changed.
#[record]
#[derive(SimpleObject)]
pub struct FindingChange {
    /// The place of this item, for `after`.
    cursor: String,
    /// When it changed.
    at: DateTime,
    /// What the change means for the filtered list.
    delta: FindingDelta,
    /// The kind of the event: one of `eventTypes`.
    event: String,
    /// The finding as it is now, which may be later than at the event.
    finding: FindingNode,
}

/// What `findingChanged` sends.
#[record]
#[derive(Union)]
pub enum FindingChanged {
    Snapshot(FindingSnapshot),
    Change(FindingChange),
}

impl From<feed::FindingChange> for FindingChanged {
    fn from(change: feed::FindingChange) -> Self {
        Self::Change(FindingChange {
            cursor: cursor::Stream::Events.cursor(change.seq),
            at: DateTime(change.at),
            delta: change.delta.into(),
            event: change.event,
            finding: change.finding.into(),
        })
    }
}

#[derive(Default)]
pub struct FindingSubscription;

#[Subscription]
impl FindingSubscription {
    /// The findings inside of the caller's portfolio as they change, in the order of the changes.
    ///
    /// Opened without `after`, it begins with a `FindingSnapshot`; a list that is read after that and
    /// changed by what follows misses nothing. Opened again with the cursor of the last item that was
    /// received, it goes on behind that item: nothing is missed and nothing is sent twice. A reader
    /// that is slow is sent the same, later.
    async fn finding_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which findings; all if not said. What no longer passes is told as LEFT.")]
        filter: Option<Criteria>,
        #[graphql(desc = "The cursor of the last item received.")] after: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Walked<FindingChanged>>>> {
        let (domain, actor) = (domain(ctx), actor(ctx)?);
        let filter = domain.finding_filter(filter.as_ref().map(|filter| &filter.0))?;
        let opening = Opening::of(ctx, after.as_deref()).await?;
        let changes = domain.finding_changes(actor, filter, Some(opening.begin)).await?;
        let snapshot = |cursor| FindingChanged::Snapshot(FindingSnapshot { cursor });
        Ok(opening.stream(snapshot, changes, |change| change.seq))
    }
}
