//! What a piece of work asks of the database, counted for whoever does the work.
//!
//! The count belongs to the task: it costs a look at a task's own variable and two additions for a
//! statement, and nothing where nobody counts.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;

tokio::task_local! {
    static CURRENT: Arc<Tally>;
}

/// How many statements were sent, and how long they took in all.
#[derive(Debug, Default)]
pub struct Tally {
    statements: AtomicU64,
    micros: AtomicU64,
}

impl Tally {
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// The time that statements took, one after the other or beside each other.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    /// Does `work` with its statements counted here.
    pub fn over<F: Future>(self: &Arc<Self>, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(Arc::clone(self), work)
    }

    /// The same of everything that a stream does when it is asked.
    pub fn over_stream<S: Stream + Unpin>(self: &Arc<Self>, stream: S) -> Counted<S> {
        Counted { tally: Arc::clone(self), stream }
    }
}

/// See [`Tally::over_stream`].
pub struct Counted<S> {
    tally: Arc<Tally>,
    stream: S,
}

impl<S: Stream + Unpin> Stream for Counted<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Self { tally, stream } = self.get_mut();
        CURRENT.sync_scope(Arc::clone(tally), || Pin::new(stream).poll_next(cx))
    }
}

/// One statement of the present task, sent or failed, which took so long.
pub(super) fn add(took: Duration) {
    // Where nobody counts there is nothing to add to.
    let _ = CURRENT.try_with(|tally| {
        tally.statements.fetch_add(1, Ordering::Relaxed);
        tally.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    });
}
