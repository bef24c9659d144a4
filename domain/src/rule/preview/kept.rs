//! The previews and backtests that this process keeps for a while: bounded in time, in findings, and for each
//! company, so that none can push out the others' all by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::access::Actor;
use crate::vocabulary::time::{Span, Timestamp};

/// How long a preview is kept.
pub const KEPT: Span = Span(15 * Span::MINUTE.0);
/// How many findings all of one sort hold at most.
const MOST: usize = 40_000;
/// How many of those one company's hold at most.
const MOST_OF_COMPANY: usize = 10_000;

/// What a snapshot is asked for by.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub id: Uuid,
    company: Uuid,
    /// Who asked, and alone may see it: somebody else's portfolio may be another.
    owner: Uuid,
    /// The moment at which everything was evaluated.
    pub as_of: Timestamp,
}

impl Ticket {
    pub(crate) fn of(actor: &Actor, id: Uuid, as_of: Timestamp) -> Self {
        Self { id, company: actor.company, owner: actor.id, as_of }
    }

    fn is_fresh(self, now: Timestamp) -> bool {
        now.0 - self.as_of.0 < KEPT.0
    }
}

/// What is kept.
pub(crate) trait Snapshot {
    fn ticket(&self) -> Ticket;
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
        kept.retain(|old| old.ticket().is_fresh(now));
        let company = snapshot.ticket().company;
        kept.push(snapshot);
        shrink(&mut kept, MOST_OF_COMPANY, |old| old.ticket().company == company);
        shrink(&mut kept, MOST, |_| true);
    }

    /// The snapshot of this id, if the actor asked for it.
    pub fn of(&self, actor: &Actor, id: Uuid, now: Timestamp) -> Option<Arc<S>> {
        let is_it = |kept: &&Arc<S>| {
            let Ticket { id: of, company, owner, .. } = kept.ticket();
            (of, company, owner) == (id, actor.company, actor.id) && kept.ticket().is_fresh(now)
        };
        self.lock().iter().find(is_it).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the oldest that count until they hold no more than `most` findings; the newest stays.
fn shrink<S: Snapshot>(kept: &mut Vec<Arc<S>>, most: usize, counts: impl Fn(&S) -> bool) {
    let mut held: usize = kept.iter().filter(|old| counts(old)).map(|old| old.findings()).sum();
    let newest = kept.last().map(|newest| newest.ticket().id);
    kept.retain(|old| {
        let drop = held > most && counts(old) && Some(old.ticket().id) != newest;
        if drop {
            held -= old.findings();
        }
        !drop
    });
}
