//! The previews that this process keeps for a while: bounded in time, in findings, and for each
//! company, so that none can push out the others' all by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::Preview;
use crate::vocabulary::time::Timestamp;

/// How long a preview is kept, in microseconds: 15 minutes.
const KEPT_MICROS: i64 = 15 * 60 * 1_000_000;
/// How many findings all previews hold at most.
const MOST: usize = 40_000;
/// How many of those one company's previews hold at most.
const MOST_OF_COMPANY: usize = 10_000;

/// The oldest first.
#[derive(Default)]
pub(crate) struct Previews(Mutex<Vec<Arc<Preview>>>);

impl Previews {
    pub fn keep(&self, preview: Arc<Preview>, now: Timestamp) {
        let mut kept = self.lock();
        kept.retain(|old| is_fresh(old, now));
        let company = preview.company;
        kept.push(preview);
        shrink(&mut kept, MOST_OF_COMPANY, |old| old.company == company);
        shrink(&mut kept, MOST, |_| true);
    }

    pub fn get(&self, id: Uuid, now: Timestamp) -> Option<Arc<Preview>> {
        self.lock().iter().find(|kept| kept.id == id && is_fresh(kept, now)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Preview>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(preview: &Preview, now: Timestamp) -> bool {
    now.0 - preview.as_of.0 < KEPT_MICROS
}

/// Drops the oldest that count until they hold no more than `most` findings; the newest stays.
fn shrink(kept: &mut Vec<Arc<Preview>>, most: usize, counts: impl Fn(&Preview) -> bool) {
    let mut held: usize = kept.iter().filter(|old| counts(old)).map(|old| old.findings.len()).sum();
    let newest = kept.last().map(|newest| newest.id);
    kept.retain(|old| {
        let drop = held > most && counts(old) && Some(old.id) != newest;
        if drop {
            held -= old.findings.len();
        }
        !drop
    });
}
