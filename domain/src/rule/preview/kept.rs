//! The previews and backtests that this process keeps for a while: bounded in time, in findings, and for each
//! company, so that none can push out the others' all by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::vocabulary::time::{Span, Timestamp};

/// How long a preview is kept.
pub const KEPT: Span = Span(15 * Span::MINUTE.0);
/// How many findings all of one sort hold at most.
const MOST: usize = 40_000;
/// How many of those one company's hold at most.
const MOST_OF_COMPANY: usize = 10_000;

/// What is kept.
pub(crate) trait Snapshot {
    fn id(&self) -> Uuid;
    fn company(&self) -> Uuid;
    fn made_at(&self) -> Timestamp;
    /// How many findings it holds.
    fn findings(&self) -> usize;
}

/// The oldest first.
pub(crate) struct Kept<S>(Mutex<Vec<Arc<S>>>);

impl<S> Default for Kept<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Snapshot> Kept<S> {
    pub fn keep(&self, snapshot: Arc<S>, now: Timestamp) {
        let mut kept = self.lock();
        kept.retain(|old| is_fresh(&**old, now));
        let company = snapshot.company();
        kept.push(snapshot);
        shrink(&mut kept, MOST_OF_COMPANY, |old| old.company() == company);
        shrink(&mut kept, MOST, |_| true);
    }

    pub fn get(&self, id: Uuid, now: Timestamp) -> Option<Arc<S>> {
        self.lock().iter().find(|kept| kept.id() == id && is_fresh(&***kept, now)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(snapshot: &impl Snapshot, now: Timestamp) -> bool {
    now.0 - snapshot.made_at().0 < KEPT.0
}

/// Drops the oldest that count until they hold no more than `most` findings; the newest stays.
fn shrink<S: Snapshot>(kept: &mut Vec<Arc<S>>, most: usize, counts: impl Fn(&S) -> bool) {
    let mut held: usize = kept.iter().filter(|old| counts(old)).map(|old| old.findings()).sum();
    let newest = kept.last().map(|newest| newest.id());
    kept.retain(|old| {
        let drop = held > most && counts(old) && Some(old.id()) != newest;
        if drop {
            held -= old.findings();
        }
        !drop
    });
}
