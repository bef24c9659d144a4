//! Intelligence: how the feeds stand, and their loads.

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use domain::access::GLOBAL;
use domain::intel::feed::Feed;
use domain::intel::standing::Standing;
use domain::job;
use domain::vocabulary::time::{Span, Timestamp};
use record::{record, root};

use super::job::IntelLoadJob;
use super::payload::{Outcome, UserError, mutate};
use super::scalars::DateTime;
use super::{actor, domain};
use crate::files::upload_path;

/// A source of facts about CVEs.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::intel::feed::Feed")]
pub enum IntelFeedKey {
    /// CISA's catalogue of known exploited vulnerabilities.
    Kev,
    /// The exploit prediction scoring system.
    Epss,
    /// CVE records, JSON 5, with what ADPs such as CISA's add to them.
    Cve,
    /// Records of the NVD, API 2.0.
    Nvd,
}

/// How a feed stands.
pub struct IntelFeed {
    standing: Standing,
    now: Timestamp,
}

/// How a feed stands: the one for all companies, or one that the company loaded for itself, whose word
/// takes the place of the former.
#[record]
#[Object]
impl IntelFeed {
    /// The feed.
    fn key(&self) -> IntelFeedKey {
        self.standing.feed.into()
    }

    /// Its name.
    fn label(&self) -> &str {
        self.standing.feed.entry().label
    }

    /// What it says of findings.
    fn says(&self) -> &str {
        self.standing.feed.entry().says
    }

    /// Whether a file of it names all there is, so that what it does not name any more is withdrawn.
    fn snapshot(&self) -> bool {
        self.standing.feed.entry().snapshot
    }

    /// Whether it was loaded for all companies.
    fn global(&self) -> bool {
        self.standing.company == GLOBAL
    }

    /// When it was last loaded; null if never.
    fn loaded_at(&self) -> Option<DateTime> {
        self.standing.loaded_at.map(DateTime)
    }

    /// The date that the file itself gave.
    fn as_of(&self) -> Option<DateTime> {
        self.standing.as_of.map(DateTime)
    }

    /// Of how many CVEs it says anything.
    fn rows(&self) -> i64 {
        self.standing.facts
    }

    /// How long ago it was loaded or found to be the newest; null if never.
    fn age_seconds(&self) -> Option<i64> {
        self.standing.age(self.now).map(|age| age.0 / Span::SECOND.0)
    }

    /// Whether it is older than it should be.
    fn stale(&self) -> bool {
        self.standing.is_stale(self.now)
    }

    /// What to say to those who rely on it; null if there is nothing.
    fn warning(&self) -> Option<String> {
        self.standing.warning(self.now)
    }

    /// The file or address that it came from, for those who manage it.
    fn source(&self) -> Option<&str> {
        self.standing.source.as_deref()
    }

    /// Why its last load or fetch failed, for those who manage it; null if it did not.
    fn last_error(&self) -> Option<&str> {
        self.standing.error.as_deref()
    }

    /// When that was.
    fn last_error_at(&self) -> Option<DateTime> {
        self.standing.error_at.map(DateTime)
    }
}

#[derive(Default)]
pub struct IntelQuery;

#[root]
#[Object]
impl IntelQuery {
    /// How each feed stands: the one for all companies, and behind it what the company loaded for
    /// itself.
    async fn intel_feeds(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<IntelFeed>> {
        let (domain, actor) = (domain(ctx), actor(ctx)?);
        let now = domain.clock().now();
        let feeds = domain.intel_feeds(actor).await?;
        Ok(feeds.into_iter().map(|standing| IntelFeed { standing, now }).collect())
    }
}

/// What the caller says about the file of a feed.
#[derive(InputObject)]
pub struct IntelLoadStartInput {
    /// The feed.
    feed: IntelFeedKey,
    /// The file's name, for people.
    name: String,
}

/// What `intelLoadStart` answers.
#[record]
#[derive(SimpleObject)]
pub struct IntelLoadStartPayload {
    /// The load, which waits for its file.
    load: Option<IntelLoadJob>,
    /// The path on this server that takes the file: `PUT` it with the bearer token, as it is or gzipped.
    upload_url: Option<String>,
    /// Why it was refused; empty if it was not.
    user_errors: Vec<UserError>,
}

impl From<Outcome<job::Job>> for IntelLoadStartPayload {
    fn from(outcome: Outcome<job::Job>) -> Self {
        match outcome.0 {
            Ok(job) => Self {
                upload_url: Some(upload_path(job.id)),
                load: Some(job.into()),
                user_errors: Vec::new(),
            },
            Err(refused) => Self { load: None, upload_url: None, user_errors: vec![refused] },
        }
    }
}

#[derive(Default)]
pub struct IntelMutation;

#[root]
#[Object]
impl IntelMutation {
    /// Asks for a load of a feed: for the caller's company, or as who manages the platform for all. It
    /// goes on once its file has been uploaded; `jobProgress` watches it.
    async fn intel_load_start(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "About the file.")] input: IntelLoadStartInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<IntelLoadStartPayload> {
        mutate::<job::Job, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                domain.intel_load_start(&actor, Feed::from(input.feed), &input.name).await
            },
            |domain, actor, id| async move { domain.job(&actor, id).await },
        )
        .await
    }
}
