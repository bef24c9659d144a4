//! How a stream of the ledger's changes begins, and goes on from a cursor.

use async_graphql::Context;
use domain::error::{Error, Result};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::cursor;
use super::walk::Walked;
use super::{actor, domain};
use crate::server::fanout::Place;

/// Where a reader comes in: behind an item it has, or where the ledger stands now.
pub struct Opening {
    place: Place,
    /// The number behind which the next item comes.
    pub begin: i64,
    /// Nothing was said of where to go on: the reader is told where it begins.
    is_new: bool,
}

impl Opening {
    /// `after`: the cursor of the last item received.
    pub async fn of(ctx: &Context<'_>, after: Option<&str>) -> async_graphql::Result<Self> {
        let after = after.map(|after| cursor::Stream::Events.read(after)).transpose()?;
        let place = ctx.data_opt::<Place>().cloned().unwrap_or_default();
        Ok(match place.from().or(after) {
            Some(begin) => Self { place, begin, is_new: false },
            None => Self { place, begin: domain(ctx).event_seq(actor(ctx)?).await?, is_new: true },
        })
    }

    /// The opening item, where the reader is new, and then the changes, each noted at its number.
    pub fn stream<C, T: From<C>>(
        self,
        snapshot: impl FnOnce(String) -> T,
        changes: impl Stream<Item = Result<Vec<C>>>,
        seq: impl Fn(&C) -> i64,
    ) -> impl Stream<Item = async_graphql::Result<Walked<T>>> {
        let Self { place, begin, is_new } = self;
        let opening = is_new.then(|| Ok(Walked(snapshot(cursor::Stream::Events.cursor(begin)))));
        if !is_new {
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
                place.note(seq(&change));
                Walked(T::from(change))
            })
            .map_err(|error: Error| error.into());
        opening.chain(changes)
    }
}
