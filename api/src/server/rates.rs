//! Rates: how often somebody may ask, and how often an address may come with tokens nobody has seen.
//!
//! Both are token buckets. A person's rate is counted for each operation, whatever it comes by. An
//! address is counted for tokens that were not good before, so that guessing costs the database
//! nothing once the bucket is empty, and whoever shares the address with a guesser goes on working.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::access::Actor;
use domain::error::{Code, Error, Result};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::settings::{Rate, Rates as Bounds};

/// How often buckets that are full again are forgotten.
const UPKEEP: Duration = Duration::from_secs(60);
/// Tokens that are remembered as good, at most.
const KNOWN: usize = 100_000;

pub struct Rates {
    people: Option<Buckets<(Uuid, Uuid)>>,
    strangers: Option<Buckets<IpAddr>>,
    /// Hashes of tokens that were good, under a key of this process.
    known: Mutex<HashSet<u64>>,
    hash: RandomState,
}

/// A bucket for each `K`.
struct Buckets<K: Clone + Eq + Hash> {
    limiter: DefaultKeyedRateLimiter<K>,
    burst: NonZeroU32,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    /// `None` where everything is allowed.
    fn of(rate: Rate) -> Option<Self> {
        let (per_second, burst) = NonZeroU32::new(rate.per_second).zip(NonZeroU32::new(rate.burst))?;
        Some(Self { limiter: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)), burst })
    }

    fn take(&self, key: &K, count: u32) -> Result<()> {
        // More than the bucket holds would never be there: it takes all of it.
        let Some(count) = NonZeroU32::new(count.min(self.burst.get())) else { return Ok(()) };
        let taken = self.limiter.check_key_n(key, count).unwrap_or(Ok(()));
        taken.map_err(|until| too_often(&until))
    }
}

fn too_often(until: &NotUntil<<DefaultClock as Clock>::Instant>) -> Error {
    let wait = until.wait_time_from(DefaultClock::default().now());
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Error::new(Code::RateLimited, "Requests come too often: wait a moment.")
        .with("retryAfter", seconds.max(1))
}

impl Rates {
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            people: Buckets::of(bounds.actor),
            strangers: Buckets::of(bounds.stranger),
            known: Mutex::default(),
            hash: RandomState::new(),
        }
    }

    /// Counts `operations` of an actor.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`] where that is too many, with the seconds to wait as `retryAfter`.
    pub fn count(&self, actor: &Actor, operations: u32) -> Result<()> {
        self.people.as_ref().map_or(Ok(()), |people| people.take(&(actor.company, actor.id), operations))
    }

    /// Counts a token that comes from `address`, unless it was good before.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`] where too many came from there.
    pub fn meet(&self, token: &str, address: Option<IpAddr>) -> Result<()> {
        let (Some(strangers), Some(address)) = (&self.strangers, address) else { return Ok(()) };
        if self.known().contains(&self.hash.hash_one(token)) {
            return Ok(());
        }
        strangers.take(&network(address), 1)
    }

    /// Remembers a token as good.
    pub fn welcome(&self, token: &str) {
        if self.strangers.is_none() {
            return;
        }
        let mut known = self.known();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(self.hash.hash_one(token));
    }

    fn known(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets full buckets until `stopping`.
    pub async fn keep(&self, stopping: &CancellationToken) {
        let mut every = interval(UPKEEP);
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            if let Some(people) = &self.people {
                people.limiter.retain_recent();
            }
            if let Some(strangers) = &self.strangers {
                strangers.limiter.retain_recent();
            }
        }
    }
}

/// What one sender of IPv6 has for itself alone.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(burst: u32) -> Rates {
        let rate = Rate { per_second: 1, burst };
        Rates::new(&Bounds { actor: rate, stranger: rate })
    }

    fn code(result: Result<()>) -> Option<Code> {
        result.err().map(|error| {
            assert!(error.details["retryAfter"].as_u64() >= Some(1), "{error:?}");
            error.code
        })
    }

    #[test]
    fn everybody_has_a_bucket() {
        let rates = rates(3);
        let actor = |id| Actor { id: Uuid::from_u128(id), ..Actor::system(Uuid::nil(), "test") };
        assert_eq!(code(rates.count(&actor(1), 2)), None);
        assert_eq!(code(rates.count(&actor(1), 2)), Some(Code::RateLimited));
        assert_eq!(code(rates.count(&actor(1), 1)), None);
        assert_eq!(code(rates.count(&actor(1), 1)), Some(Code::RateLimited));
        assert_eq!(code(rates.count(&actor(2), 1)), None);
        // More than it ever holds takes all of it.
        assert_eq!(code(rates.count(&actor(3), 1_000)), None);
        assert_eq!(code(rates.count(&actor(3), 1)), Some(Code::RateLimited));
    }

    #[test]
    fn a_guesser_stops_no_neighbour() {
        let rates = rates(2);
        let address = |text: &str| Some(text.parse().unwrap());
        let at = address("2001:db8::1");
        rates.meet("good", at).unwrap();
        rates.welcome("good");
        assert_eq!(code(rates.meet("guess 1", at)), None);
        assert_eq!(code(rates.meet("guess 2", address("2001:db8::2"))), Some(Code::RateLimited));
        assert_eq!(code(rates.meet("good", at)), None);
        assert_eq!(code(rates.meet("guess 3", address("2001:db8:0:1::1"))), None);
        assert_eq!(code(rates.meet("guess 4", None)), None);
        assert_eq!(code(Rates::new(&Bounds { actor: Rate::NONE, stranger: Rate::NONE }).meet("x", at)), None);
    }
}
