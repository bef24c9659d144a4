//! How often somebody may try to come in.
//!
//! Attempts are counted by account and address together, and by address. So who fails from one place
//! never shuts the owner out at another. A device from which the owner came in before shows a secret
//! of its own and is counted by that alone, so neighbours behind the same address do not shut it out
//! either. A few attempts are free; then each has to wait twice as long as the one before. An attempt
//! is counted before its password is looked at, so many at once are as slow as many in turn.

use std::net::{IpAddr, Ipv6Addr};

use crate::Domain;
use crate::access::Scope;
use crate::error::{Code, Error, Result};
use crate::signin::Visitor;
use crate::signin::secret::digest;
use crate::vocabulary::time::{Span, Timestamp};

pub(crate) mod store;

/// What attempts are counted by, and how many of them are free.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counted {
    pub key: [u8; 32],
    pub free: i32,
}

/// Free attempts at one account, and from one address at all accounts.
const AT_ACCOUNT: i32 = 5;
const FROM_ADDRESS: i32 = 30;
/// The longest wait.
const LONGEST: Span = Span(15 * Span::MINUTE.0);
/// After so long without an attempt all is forgotten.
pub(crate) const FORGOTTEN: Span = Span::DAY;

/// The attempts counted by one key that came to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub failures: i32,
    pub at: Timestamp,
    /// No attempt before this.
    pub until: Timestamp,
}

impl Tally {
    /// One more attempt, which fails until it is known not to; or how long it has to wait.
    fn attempt(self, free: i32, now: Timestamp) -> Result<Self, Span> {
        let before = if now > self.at.plus(FORGOTTEN) { Self::default() } else { self };
        if now < before.until {
            return Err(Span(before.until.0 - now.0));
        }
        let failures = before.failures.saturating_add(1);
        let over = u32::try_from(failures - free).unwrap_or(0);
        let wait = match over {
            0 => Span(0),
            over => Span(Span::SECOND.0 << (over - 1).min(20)).min(LONGEST),
        };
        Ok(Self { failures, at: now, until: now.plus(wait) })
    }
}

/// What an attempt at an account is counted by.
pub(crate) fn counted(email: &str, visitor: &Visitor, device: Option<&str>) -> Vec<Counted> {
    let key = |parts: &[&str]| digest(&parts.join("\n"));
    if let Some(device) = device {
        return vec![Counted { key: key(&["device", email, device]), free: AT_ACCOUNT }];
    }
    let address = network(visitor.address.as_deref());
    let mut counted = vec![
        Counted { key: key(&["account", email, &address]), free: AT_ACCOUNT },
        Counted { key: key(&["address", &address]), free: FROM_ADDRESS },
    ];
    // Two that lock the same rows lock them in the same order.
    counted.sort();
    counted
}

/// The address that somebody has to themselves: of IPv6 a whole network of 64 bits.
fn network(address: Option<&str>) -> String {
    match address.and_then(|address| address.parse::<IpAddr>().ok()).map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
        }
        Some(address) => address.to_string(),
        None => "unknown".to_owned(),
    }
}

impl Domain {
    /// Counts an attempt, if there may be one now.
    ///
    /// # Errors
    /// `TOO_MANY_ATTEMPTS` with `retryAfter` in seconds.
    pub(crate) async fn attempt(&self, counted: &[Counted]) -> Result<()> {
        let now = self.clock().now();
        let wait = self.db().attempt(&Scope::System, counted, now, Tally::attempt).await?;
        let Some(wait) = wait else { return Ok(()) };
        metrics::counter!("countersign_sign_ins_total", "outcome" => "too_many").increment(1);
        let seconds = (wait.0 + Span::SECOND.0 - 1) / Span::SECOND.0;
        let message = format!("There were too many attempts: try again in {seconds} s.");
        Err(Error::new(Code::TooManyAttempts, message).with("retryAfter", seconds))
    }

    /// Takes back an attempt that did not fail.
    pub(crate) async fn succeeded(&self, counted: &[Counted]) -> Result<()> {
        self.db().succeeded(&Scope::System, counted, AT_ACCOUNT).await
    }

    /// Forgets attempts of long ago.
    pub(crate) async fn attempts_prune(&self) -> Result<u64> {
        self.db().attempts_prune(&Scope::System, self.clock().now().minus(FORGOTTEN)).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_attempts_are_free_and_then_each_waits_longer() {
        let (mut tally, mut now, mut waits) = (Tally::default(), Timestamp(1), Vec::new());
        for _ in 0..20 {
            tally = match tally.attempt(AT_ACCOUNT, now) {
                Ok(tally) => tally,
                Err(wait) => {
                    waits.push(wait.0 / Span::SECOND.0);
                    now = now.plus(wait);
                    tally.attempt(AT_ACCOUNT, now).unwrap()
                }
            };
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]);
        now = now.plus(FORGOTTEN).plus(Span(1));
        assert_eq!(tally.attempt(AT_ACCOUNT, now).unwrap(), Tally { failures: 1, at: now, until: now });
    }

    proptest! {
        #[test]
        fn however_they_come_a_day_holds_few_attempts(gaps in prop::collection::vec(0_i64..7_200, 1..2_000)) {
            let (mut tally, mut now, mut tried) = (Tally::default(), Timestamp(1), 0);
            for gap in gaps {
                now = now.plus(Span(gap * Span::SECOND.0));
                if now.0 > Span::DAY.0 {
                    break;
                }
                if let Ok(next) = tally.attempt(AT_ACCOUNT, now) {
                    tally = next;
                    tried += 1;
                }
            }
            // Six without a wait, ten while the waits grow, and one each quarter of an hour.
            prop_assert!(tried <= 6 + 10 + 24 * 4, "{}", tried);
        }
    }

    #[test]
    fn what_is_counted_together() {
        let from = |address: &str| Visitor { address: Some(address.to_owned()), ..Visitor::default() };
        let a = counted("ann@x.example", &from("192.0.2.1"), None);
        assert_eq!(a, counted("ann@x.example", &from("::ffff:192.0.2.1"), None));
        assert!(counted("ann@x.example", &from("192.0.2.2"), None).iter().all(|key| !a.contains(key)));
        let other = counted("bob@x.example", &from("192.0.2.1"), None);
        assert_eq!(other.iter().filter(|key| a.contains(key)).count(), 1, "the address alone");
        let device = counted("ann@x.example", &from("192.0.2.1"), Some("cd_x"));
        assert!(device.iter().all(|key| !a.contains(key)), "a known device has its own count");
        assert_eq!(
            counted("ann@x.example", &from("2001:db8::1"), None),
            counted("ann@x.example", &from("2001:db8::ffff:1"), None)
        );
    }
}
