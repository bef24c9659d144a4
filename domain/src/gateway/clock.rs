//! Time and ids. Everything that asks for either asks here, so that a test can hold the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::Utc;
use uuid::{Builder, Uuid};

use crate::vocabulary::time::{Span, Timestamp};

/// The source of *now* and of new ids.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System,
    /// Stands still until it is moved.
    Held {
        now: AtomicI64,
        ids: AtomicU64,
    },
}

impl Clock {
    pub fn system() -> Self {
        Self(Arc::new(Source::System))
    }

    /// A clock that stands at `at` until [`Clock::advance`] moves it.
    pub fn held(at: Timestamp) -> Self {
        Self(Arc::new(Source::Held { now: AtomicI64::new(at.0), ids: AtomicU64::new(0) }))
    }

    /// The present, cut to microseconds.
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the gateway that the others are sent to")]
            Source::System => Timestamp(Utc::now().timestamp_micros()),
            Source::Held { now, .. } => Timestamp(now.load(Ordering::SeqCst)),
        }
    }

    /// A new id (UUIDv7), later than the ones made before it.
    pub fn id(&self) -> Uuid {
        match &*self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the gateway that the others are sent to")]
            Source::System => Uuid::now_v7(),
            Source::Held { now, ids } => {
                let millis = u64::try_from(now.load(Ordering::SeqCst) / 1_000).unwrap_or(0);
                let mut rest = [0; 10];
                rest[2..].copy_from_slice(&ids.fetch_add(1, Ordering::SeqCst).to_be_bytes());
                Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
            }
        }
    }

    /// Moves a held clock; a system clock cannot be moved.
    pub fn advance(&self, by: Span) {
        if let Source::Held { now, .. } = &*self.0 {
            now.fetch_add(by.0, Ordering::SeqCst);
        }
    }
}
