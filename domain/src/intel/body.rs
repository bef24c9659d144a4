//! What a fetch brings: one answer, or the pages of an API one after the other.

use std::time::Duration;

use bytes::Bytes;
use chrono::SecondsFormat;
use serde::Deserialize;

use super::feed::Feed;
use super::fetch::{FeedSource, FetchPlan};
use super::store::Asked;
use crate::error::{Error, Result};
use crate::gateway::http::{Conditions, Download, Egress};
use crate::vocabulary::time::{Span, Timestamp};

/// What the NVD asks of those who have no key: five requests in 30 seconds.
pub(crate) const PAUSE: Duration = Duration::from_secs(6);
/// The path that the NVD's API has wherever it, or a copy of it, is.
const PAGED: &str = "/cves/2.0";
/// The most CVEs that the NVD puts on a page, and the most bytes that we take for one.
const SIZE: u32 = 2_000;
const PAGE: u64 = 64 << 20;
/// The longest time whose changes the NVD tells at once; and how far back before what is known it is
/// asked, as its clock is not ours.
const WINDOW: Span = Span(120 * Span::DAY.0);
const OVERLAP: Span = Span::HOUR;
/// How often a page is asked for.
const TRIES: u32 = 3;

/// What is at a feed's address.
pub(crate) enum Body {
    Whole(Box<Download>),
    Pages(Box<Pages>),
}

/// The pages of the NVD's API.
pub(crate) struct Pages {
    egress: Egress,
    pause: Duration,
    /// The address, with all that is asked but where the page begins.
    address: String,
    /// The page that was read last and not handed on yet.
    read: Option<Vec<u8>>,
    /// Where the next page begins; `None`: there is no more.
    next: Option<u64>,
    /// When the first was asked for: what changes later is for the next fetch.
    begun: Timestamp,
}

/// What a page says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    start_index: u64,
    results_per_page: u64,
    total_results: u64,
}

/// Whether what is at this address comes in pages.
fn is_paged(source: &FeedSource) -> bool {
    let path = source.url.split(['?', '#']).next().unwrap_or_default();
    source.feed == Feed::Nvd && path.trim_end_matches('/').ends_with(PAGED)
}

impl Body {
    /// Asks the address of a feed. `None`: what is loaded is the newest.
    pub async fn ask(
        plan: &FetchPlan,
        source: &FeedSource,
        asked: Asked,
        now: Timestamp,
        most: u64,
    ) -> Result<Option<Self>> {
        let same = asked.source.as_deref() == Some(source.url.as_str());
        let conditions = if same {
            Conditions { etag: asked.etag, modified: asked.modified }
        } else {
            Conditions::default()
        };
        if is_paged(source) {
            let since = conditions.modified.as_deref().and_then(Timestamp::parse);
            return Ok(Pages::begin(plan, source, since, now)
                .await?
                .map(|pages| Self::Pages(Box::new(pages))));
        }
        let download = plan.egress.get(&source.url, &conditions, most).await?;
        Ok(download.map(|download| Self::Whole(Box::new(download))))
    }

    /// What to ask with the next time.
    pub fn conditions(&self) -> Conditions {
        match self {
            Self::Whole(download) => download.conditions.clone(),
            Self::Pages(pages) => Conditions { etag: None, modified: Some(pages.begun.to_string()) },
        }
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Whole(download) => download.next().await,
            Self::Pages(pages) => pages.next().await,
        }
    }
}

impl Pages {
    /// Reads the first page: of what changed since then, or of all there is.
    async fn begin(
        plan: &FetchPlan,
        source: &FeedSource,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        let mut address = source.url.clone();
        let mut ask = |name: &str, value: &str| {
            if !source.url.contains(&format!("{name}=")) {
                address.push(if address.contains('?') { '&' } else { '?' });
                address.push_str(&format!("{name}={value}"));
            }
        };
        ask("resultsPerPage", &SIZE.to_string());
        let since = since.map(|since| since.minus(OVERLAP));
        if let Some(since) = since.filter(|since| since.plus(WINDOW) > now)
            && let (Some(from), Some(to)) = (since.to_chrono(), now.to_chrono())
        {
            ask("lastModStartDate", &from.to_rfc3339_opts(SecondsFormat::Millis, true));
            ask("lastModEndDate", &to.to_rfc3339_opts(SecondsFormat::Millis, true));
        }
        let (egress, pause) = (plan.egress.clone(), plan.pause);
        let mut pages = Self { egress, pause, address, read: None, next: Some(0), begun: now };
        let head = pages.read(0).await?;
        Ok((head.total_results > 0).then_some(pages))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.read.is_none()
            && let Some(from) = self.next
        {
            tokio::time::sleep(self.pause).await;
            self.read(from).await?;
        }
        Ok(self.read.take().map(Bytes::from))
    }

    /// Reads the page that begins at `from`, and tries again where that fails.
    async fn read(&mut self, from: u64) -> Result<Head> {
        let mut tries = 1;
        let (head, page) = loop {
            match self.get(from).await {
                Ok(got) => break got,
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => {
                    tokio::time::sleep(self.pause * 2 * tries).await;
                    tries += 1;
                }
            }
        };
        let end = head.start_index.saturating_add(head.results_per_page);
        self.next = (end < head.total_results).then_some(end);
        self.read = Some(page);
        Ok(head)
    }

    async fn get(&self, from: u64) -> Result<(Head, Vec<u8>)> {
        let join = if self.address.contains('?') { '&' } else { '?' };
        let address = format!("{}{join}startIndex={from}", self.address);
        let download = self.egress.get(&address, &Conditions::default(), PAGE).await?;
        let mut download = download.ok_or_else(|| no_page(from))?;
        let mut page = Vec::new();
        while let Some(part) = download.next().await? {
            page.extend_from_slice(&part);
        }
        let head: Head = serde_json::from_slice(&page).map_err(|_| no_page(from))?;
        let is_last = head.total_results <= from;
        if head.start_index != from || (head.results_per_page == 0 && !is_last) {
            return Err(no_page(from));
        }
        // The file has the pages one after the other.
        page.push(b'\n');
        Ok((head, page))
    }
}

fn no_page(from: u64) -> Error {
    Error::invalid("url", format!("The page of the NVD that begins at {from} is not one."))
}
