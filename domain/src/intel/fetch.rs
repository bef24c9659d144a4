//! Feeds that are fetched by the clock, from the addresses that the operator gives.
//!
//! One server at a time fetches a feed, under a lease. What it brings is spooled and loaded by a job
//! like an upload of a platform admin's. A failure is recorded and tried again, each time later.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::body::{Body, PAUSE};
use super::feed::Feed;
use super::start::LoadParams;
use super::store::Asked;
use crate::Domain;
use crate::access::{Actor, GLOBAL, Role, Scope};
use crate::error::{Class, Error, Result};
use crate::gateway::http::Egress;
use crate::vocabulary::time::{Span, Timestamp};

/// How often it is looked whether a feed is due.
const LOOK: Duration = Duration::from_secs(15);
/// How long before the end of its lease a fetch is given up.
const MARGIN: Span = Span(5 * Span::MINUTE.0);
/// How long after the first failure it is tried again; after each further one twice as long.
const RETRY: Span = Span::MINUTE;

/// Where a feed is fetched from, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSource {
    pub feed: Feed,
    pub url: String,
    pub every: Span,
}

/// What is fetched, and by which way out.
#[derive(Clone, Debug)]
pub struct FetchPlan {
    pub sources: Vec<FeedSource>,
    pub egress: Egress,
    /// How long to wait between the pages of an API.
    pub pause: Duration,
}

impl FetchPlan {
    pub fn new(sources: Vec<FeedSource>, egress: Egress) -> Self {
        Self { sources, egress, pause: PAUSE }
    }
}

/// How long the fetch of a feed is nobody else's: an API of many pages takes its time.
pub(crate) fn lease(feed: Feed) -> Span {
    match feed {
        Feed::Nvd => Span(2 * Span::HOUR.0),
        Feed::Kev | Feed::Epss | Feed::Cve => Span(15 * Span::MINUTE.0),
    }
}

impl FeedSource {
    /// Reads `URL` or `URL every 6h`.
    ///
    /// # Errors
    /// `INVALID` for anything else.
    pub fn parse(feed: Feed, text: &str) -> Result<Self> {
        let (url, every) = match text.trim().split_once(" every ") {
            Some((url, every)) => (url, Span::parse(every.trim())),
            None => (text.trim(), Some(feed.entry().every)),
        };
        let is_address = url.starts_with("https://") || url.starts_with("http://");
        match every.filter(|every| *every >= Span::MINUTE && is_address && !url.contains(' ')) {
            Some(every) => Ok(Self { feed, url: url.to_owned(), every }),
            None => {
                let message = format!(
                    "`{text}` is not an address, with `every` and at least a minute behind it if at all."
                );
                Err(Error::invalid("intel", message))
            }
        }
    }
}

impl Domain {
    /// Fetches feeds as they become due, until `stop`.
    pub async fn run_fetches(&self, plan: FetchPlan, stop: CancellationToken) {
        while !stop.is_cancelled() && !plan.sources.is_empty() {
            if let Err(error) = self.fetch_due(&plan).await {
                tracing::warn!(%error, "feeds could not be fetched");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Fetches the feeds that are due and that no other server fetches. Returns the loads that follow.
    pub async fn fetch_due(&self, plan: &FetchPlan) -> Result<Vec<Uuid>> {
        let mut loads = Vec::new();
        for source in &plan.sources {
            let now = self.clock().now();
            let Some(asked) =
                self.db().take_fetch(&Scope::Global, source.feed, now, lease(source.feed)).await?
            else {
                continue;
            };
            let failures = asked.failures;
            let whole = Span(lease(source.feed).0 - MARGIN.0);
            let patience = Duration::from_micros(whole.0.unsigned_abs());
            let fetched = tokio::time::timeout(patience, self.fetch(plan, source, asked)).await;
            let fetched = fetched
                .unwrap_or_else(|_| Err(Error::invalid("url", format!("The fetch took more than {whole}."))));
            let (next, outcome) = match &fetched {
                Ok(load) => (now.plus(source.every), Ok(load.is_none())),
                Err(error) if error.class() == Class::Fault => {
                    (later(now, failures, source.every), Err("The server failed."))
                }
                Err(error) => (later(now, failures, source.every), Err(error.message.as_str())),
            };
            self.db().end_fetch(&Scope::Global, source.feed, self.clock().now(), next, outcome).await?;
            match fetched {
                Ok(load) => loads.extend(load),
                Err(error) => {
                    metrics::counter!("countersign_intel_fetch_failures_total", "feed" => crate::vocabulary::terms::Term::word(source.feed))
                        .increment(1);
                    tracing::warn!(feed = %source.feed, %error, "a feed could not be fetched");
                }
            }
        }
        Ok(loads)
    }

    /// Fetches one feed. `None`: what is loaded is the newest.
    async fn fetch(&self, plan: &FetchPlan, source: &FeedSource, asked: Asked) -> Result<Option<Uuid>> {
        let (now, most) = (self.clock().now(), self.settings().limits.bytes);
        let Some(mut body) = Body::ask(plan, source, asked, now, most).await? else { return Ok(None) };
        let actor = Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "intelligence") };
        let conditions = body.conditions();
        let params = LoadParams {
            feed: source.feed,
            name: source.url.clone(),
            source: Some(source.url.clone()),
            etag: conditions.etag,
            modified: conditions.modified,
        };
        let job = self.insert_load(&actor, &Scope::Global, &params).await?;
        let received = async {
            let mut incoming = self.import_upload(&actor, job.id).await?;
            while let Some(part) = body.next().await? {
                incoming.write(&part).await?;
            }
            incoming.finish().await
        };
        match received.await {
            Ok(job) => Ok(Some(job.id)),
            Err(error) => {
                self.job_cancel(&actor, job.id).await?;
                Err(error)
            }
        }
    }
}

/// When to try again after so many failures before this one.
fn later(now: Timestamp, failures: i32, every: Span) -> Timestamp {
    let doubled = RETRY.times(1 << failures.clamp(0, 10)).unwrap_or(every);
    now.plus(doubled.min(every))
}
