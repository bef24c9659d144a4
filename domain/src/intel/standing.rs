//! How the feeds stand: how old they are, and who is to be warned.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::feed::Feed;
use crate::Domain;
use crate::access::{Actor, GLOBAL, Permission, Scope};
use crate::error::Result;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::{Span, Timestamp};

/// How a feed stands for one company, or for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub feed: Feed,
    /// Whose it is; the global company's speaks to all.
    pub company: Uuid,
    pub loaded_at: Option<Timestamp>,
    /// When it was last loaded or found to be the newest.
    pub current_at: Option<Timestamp>,
    /// The date that the feed itself gives.
    pub as_of: Option<Timestamp>,
    pub facts: i64,
    pub source: Option<String>,
    pub error: Option<String>,
    pub error_at: Option<Timestamp>,
}

impl Standing {
    fn nothing(feed: Feed) -> Self {
        Self {
            feed,
            company: GLOBAL,
            loaded_at: None,
            current_at: None,
            as_of: None,
            facts: 0,
            source: None,
            error: None,
            error_at: None,
        }
    }

    /// How long ago it was known to be the newest; `None`: it was never loaded.
    pub fn age(&self, now: Timestamp) -> Option<Span> {
        Some(Span((now.0 - self.current_at?.0).max(0)))
    }

    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.age(now).is_some_and(|age| age > self.feed.entry().stale)
    }

    /// What is to be said to those who rely on it.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let label = self.feed.entry().label;
        let age = self.age(now).filter(|_| self.is_stale(now))?;
        Some(format!(
            "{label} is {} days old: load it again, or look at why it is not fetched.",
            age.0 / Span::DAY.0
        ))
    }
}

impl Domain {
    /// How each feed stands: the global one of each, and those that the company loaded for itself.
    /// Where they come from and what went wrong is told to those who see to them.
    pub async fn intel_feeds(&self, actor: &Actor) -> Result<Vec<Standing>> {
        let scope = actor.allow(Permission::Read)?;
        let mut feeds = self.db().feeds(&scope).await?;
        for feed in Feed::ALL {
            if !feeds.iter().any(|standing| standing.feed == *feed && standing.company == GLOBAL) {
                feeds.push(Standing::nothing(*feed));
            }
        }
        feeds.sort_by_key(|standing| (standing.feed, standing.company));
        for standing in &mut feeds {
            if standing.company != actor.company || !actor.can(Permission::ManageSettings) {
                (standing.source, standing.error, standing.error_at) = (None, None, None);
            }
        }
        Ok(feeds)
    }

    /// Tells operators how old the global feeds are. `warned`: those that it warned of and that were
    /// not loaded since.
    pub(crate) async fn watch_feeds(&self, warned: &mut BTreeSet<Feed>) -> Result<()> {
        let now = self.clock().now();
        for standing in self.db().feeds(&Scope::Global).await? {
            let Some(age) = standing.age(now) else { continue };
            let seconds = age.0 as f64 / Span::SECOND.0 as f64;
            metrics::gauge!("countersign_intel_feed_age_seconds", "feed" => standing.feed.word())
                .set(seconds);
            match standing.warning(now) {
                Some(warning) if warned.insert(standing.feed) => {
                    tracing::warn!(feed = %standing.feed, error = standing.error, "{warning}");
                }
                Some(_) => {}
                None => drop(warned.remove(&standing.feed)),
            }
        }
        Ok(())
    }
}
