//! Long work, and watching it.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Interface, Object, SimpleObject, Subscription};
use domain::access::ActorKind;
use domain::error::Error;
use domain::feed;
use domain::inventory::project::Project;
use domain::inventory::scan::Scan;
use domain::job::{self, JobFilter};
use domain::rule::Rule;
use domain::rule::revoke::Picks;
use futures_util::{Stream, TryStreamExt};
use record::{record, root};

use super::cursor;
use super::id::Noun;
use super::intel::IntelFeedKey;
use super::loaders::one;
use super::page::{Counter, args, connection};
use super::payload::{mutate, payload};
use super::person::{Person, people};
use super::project::ProjectNode;
use super::rule::RuleNode;
use super::rule::revoke::{RevokeMode, RevokeOutcomeConnection, RevokeOutcomeFilter, outcomes_of};
use super::scalars::{DateTime, Json};
use super::scan::ScanNode;
use super::walk::Walked;
use super::words::Allowed;
use super::{actor, domain, found};
use crate::files::{export_path, upload_path};
use crate::server::fanout::Place;

/// What a job does.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::job::JobKind")]
pub enum JobKind {
    /// It takes a report in.
    Import,
    /// It runs the rules over the active findings.
    Sweep,
    /// It makes one change to many findings.
    BulkChange,
    /// It takes findings out.
    Export,
    /// It loads what a feed says of CVEs.
    IntelLoad,
    /// It takes back what a rule did.
    Revoke,
}

/// Where a job stands.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::job::JobState")]
pub enum JobState {
    /// It waits for its caller: for a report, or to be fetched.
    Waiting,
    /// It waits for a worker.
    Pending,
    /// A worker is on it.
    Running,
    /// It did all it had to do. An end.
    Completed,
    /// It could not go on; `error` says why. What its chunks did before stays. An end.
    Failed,
    /// Somebody asked for its end. What its chunks did before stays. An end.
    Cancelled,
}

/// One count of a job.
#[record]
#[derive(SimpleObject)]
pub struct JobCount {
    /// What is counted: `created`, `changed`, `unchanged`, `refused` and the like.
    name: String,
    /// How many.
    count: i64,
}

/// Why a job failed.
#[record]
#[derive(SimpleObject)]
pub struct JobError {
    /// What kind of failure it is; stable over releases.
    code: String,
    /// A sentence for people.
    message: String,
    /// More for programs: the place of a fault in a report.
    details: Option<Json>,
}

fn counts(counts: &serde_json::Map<String, serde_json::Value>) -> Vec<JobCount> {
    let count = |(name, count): (&String, &serde_json::Value)| {
        Some(JobCount { name: name.clone(), count: count.as_i64()? })
    };
    counts.iter().filter_map(count).collect()
}

fn job_error(error: &serde_json::Value) -> JobError {
    let text =
        |name: &str| error.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let mut details = error.as_object().cloned().unwrap_or_default();
    details.retain(|name, _| name != "code" && name != "message");
    JobError {
        code: text("code"),
        message: text("message"),
        details: (!details.is_empty()).then(|| Json(details.into())),
    }
}

/// Declares one type of job: what all jobs have, and what it alone has.
macro_rules! job_type {
    ($doc:literal $name:ident { $($own:tt)* }) => {
        #[doc = $doc]
        pub struct $name(job::Job);

        impl From<job::Job> for $name {
            fn from(job: job::Job) -> Self {
                Self(job)
            }
        }

        #[doc = $doc]
        #[record]
        #[Object]
        impl $name {
            /// The global id.
            pub fn id(&self) -> ID {
                Noun::Job.id(self.0.id)
            }

            /// What it does.
            pub fn kind(&self) -> JobKind {
                self.0.kind.into()
            }

            /// Where it stands.
            pub fn state(&self) -> JobState {
                self.0.state.into()
            }

            /// How much it has to do; null while that is not known.
            pub fn total(&self) -> Option<i64> {
                self.0.total
            }

            /// How much of it is done.
            pub fn done(&self) -> i64 {
                self.0.done
            }

            /// How much it does in a second; null before it has done anything.
            pub fn rate(&self) -> Option<f64> {
                self.0.rate()
            }

            /// When it will have ended if it goes on as it does.
            pub fn eta(&self) -> Option<DateTime> {
                self.0.eta().map(DateTime)
            }

            /// What came of it so far, by name.
            pub fn counts(&self) -> Vec<JobCount> {
                counts(&self.0.counts)
            }

            /// Whether the caller can ask for its end now.
            pub fn cancellable(&self, ctx: &Context<'_>) -> async_graphql::Result<Allowed> {
                Ok(self.0.may_cancel(actor(ctx)?).into())
            }

            /// Who started it; null for the server itself, and for those who are gone.
            pub async fn started_by(
                rows: &[&Self],
                ctx: &Context<'_>,
            ) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
                let speakers = rows.iter().map(|row| &row.0.principal.speaker);
                people(ctx, speakers.map(|who| (who.kind != ActorKind::System).then_some(who.id))).await
            }

            /// When it was asked for.
            pub fn created_at(&self) -> DateTime {
                DateTime(self.0.created_at)
            }

            /// When a worker took it up.
            pub fn started_at(&self) -> Option<DateTime> {
                self.0.started_at.map(DateTime)
            }

            /// When it ended.
            pub fn finished_at(&self) -> Option<DateTime> {
                self.0.finished_at.map(DateTime)
            }

            /// Why it failed; null if it did not.
            pub fn error(&self) -> Option<JobError> {
                self.0.error.as_ref().map(job_error)
            }

            $($own)*
        }
    };
}

job_type! {
    "A report on its way in."
    ImportJob {
        /// The scan that it makes.
        async fn scan(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<ScanNode>>>> {
            one::<Scan, _>(ctx, rows.iter().map(|row| row.0.scan())).await
        }

        /// The project that its findings belong to.
        async fn project(
            rows: &[&Self],
            ctx: &Context<'_>,
        ) -> async_graphql::Result<Vec<Option<Arc<ProjectNode>>>> {
            one::<Project, _>(ctx, rows.iter().map(|row| row.0.project)).await
        }

        /// The path on this server that takes the report by `PUT`, with a bearer token; null once it
        /// has been taken.
        fn upload_url(&self) -> Option<String> {
            (self.0.state == job::JobState::Waiting).then(|| upload_path(self.0.id))
        }
    }
}

job_type! {
    "A run of the rules over the active findings."
    SweepJob {}
}

job_type! {
    "One change of many findings."
    BulkChangeJob {
        /// The change, as it was asked for.
        fn edit(&self) -> Option<Json> {
            self.0.params.get("edit").cloned().map(Json)
        }
    }
}

job_type! {
    "Findings on their way out."
    ExportJob {
        /// The path of the file on this server; null once it has been fetched.
        fn url(&self) -> Option<String> {
            (self.0.state == job::JobState::Waiting).then(|| export_path(self.0.id))
        }

        /// Until when the file can be fetched.
        fn expires_at(&self) -> DateTime {
            DateTime(domain::finding::export::expires_at(&self.0))
        }
    }
}

job_type! {
    "A load of what a feed says of CVEs, and of the findings that hear of it."
    IntelLoadJob {
        /// The feed.
        fn feed(&self) -> Option<IntelFeedKey> {
            self.0.feed().map(Into::into)
        }

        /// The path on this server that takes the file by `PUT`, with a bearer token; null once it has
        /// been taken.
        fn upload_url(&self) -> Option<String> {
            (self.0.state == job::JobState::Waiting).then(|| upload_path(self.0.id))
        }
    }
}

job_type! {
    "What a rule did, on its way back."
    RevokeJob {
        /// The rule.
        async fn rule(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<RuleNode>>>> {
            one::<Rule, _>(ctx, rows.iter().map(|row| Some(row.0.revoke()?.rule))).await
        }

        /// How far it goes.
        fn mode(&self) -> Option<RevokeMode> {
            self.0.revoke().map(|revoke| revoke.mode.into())
        }

        /// Why, as who asked for it said.
        fn reason(&self) -> Option<String> {
            self.0.revoke()?.reason
        }

        /// It turned the rule off as it began.
        fn turned_off(&self) -> bool {
            self.0.revoke().is_some_and(|revoke| revoke.turned_off)
        }

        /// The revoke whose conflicts it follows up.
        async fn follow_up_of(
            rows: &[&Self],
            ctx: &Context<'_>,
        ) -> async_graphql::Result<Vec<Option<Arc<RevokeJob>>>> {
            let earlier = |row: &&Self| match row.0.revoke()?.picks {
                Picks::Conflicts(job) => Some(job),
                _ => None,
            };
            one::<job::Job, _>(ctx, rows.iter().map(earlier)).await
        }

        /// The sweep that was to follow; null before it has begun.
        async fn sweep(
            rows: &[&Self],
            ctx: &Context<'_>,
        ) -> async_graphql::Result<Vec<Option<Arc<SweepJob>>>> {
            one::<job::Job, _>(ctx, rows.iter().map(|row| row.0.revoke()?.sweep)).await
        }

        /// What came of each finding so far, in the order in which it did.
        async fn outcomes(
            rows: &[&Self],
            ctx: &Context<'_>,
            #[graphql(desc = "Which ones; all if not said.")] filter: Option<RevokeOutcomeFilter>,
            #[graphql(desc = "How many rows, from the start or after a cursor; 50 if not said, at most 500.")]
            first: Option<i32>,
            #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
            #[graphql(desc = "How many rows, from the end or before a cursor; at most 500.")] last: Option<i32>,
            #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
        ) -> async_graphql::Result<Vec<RevokeOutcomeConnection>> {
            let jobs = rows.iter().map(|row| row.0.id).collect();
            outcomes_of(ctx, jobs, filter, &args(first, after, last, before)).await
        }
    }
}

/// A piece of long work.
#[record]
#[derive(Interface)]
#[expect(clippy::duplicated_attributes, reason = "several of the fields are of one type")]
#[graphql(
    field(name = "id", ty = "ID", desc = "The global id."),
    field(name = "kind", ty = "JobKind", desc = "What it does."),
    field(name = "state", ty = "JobState", desc = "Where it stands."),
    field(name = "total", ty = "Option<i64>", desc = "How much it has to do; null while that is not known."),
    field(name = "done", ty = "i64", desc = "How much of it is done."),
    field(name = "rate", ty = "Option<f64>", desc = "How much it does in a second."),
    field(name = "eta", ty = "Option<DateTime>", desc = "When it will have ended if it goes on as it does."),
    field(name = "counts", ty = "Vec<JobCount>", desc = "What came of it so far, by name."),
    field(name = "cancellable", ty = "Allowed", desc = "Whether the caller can ask for its end now."),
    field(name = "started_by", ty = "Option<std::sync::Arc<Person>>", desc = "Who started it."),
    field(name = "created_at", ty = "DateTime", desc = "When it was asked for."),
    field(name = "started_at", ty = "Option<DateTime>", desc = "When a worker took it up."),
    field(name = "finished_at", ty = "Option<DateTime>", desc = "When it ended."),
    field(name = "error", ty = "Option<JobError>", desc = "Why it failed; null if it did not.")
)]
pub enum Job {
    Import(ImportJob),
    Sweep(SweepJob),
    BulkChange(BulkChangeJob),
    Export(ExportJob),
    IntelLoad(IntelLoadJob),
    Revoke(RevokeJob),
}

impl From<job::Job> for Job {
    fn from(job: job::Job) -> Self {
        match job.kind {
            job::JobKind::Import => Self::Import(job.into()),
            job::JobKind::Sweep => Self::Sweep(job.into()),
            job::JobKind::BulkChange => Self::BulkChange(job.into()),
            job::JobKind::Export => Self::Export(job.into()),
            job::JobKind::IntelLoad => Self::IntelLoad(job.into()),
            job::JobKind::Revoke => Self::Revoke(job.into()),
        }
    }
}

connection!(JobConnection, JobEdge, Job, "A page of jobs.", "A job in a page.");

/// Which jobs: all that is said must hold.
#[derive(Default, InputObject)]
pub struct JobFilterInput {
    /// One of these kinds.
    kinds: Option<Vec<JobKind>>,
    /// In one of these states.
    states: Option<Vec<JobState>>,
    /// The global id of the project that it works in.
    project: Option<ID>,
}

impl JobFilterInput {
    fn read(self) -> Result<JobFilter, Error> {
        Ok(JobFilter {
            kinds: self.kinds.into_iter().flatten().map(Into::into).collect(),
            states: self.states.into_iter().flatten().map(Into::into).collect(),
            project: self.project.map(|id| Noun::Project.read_at(&id, "project")).transpose()?,
        })
    }
}

#[derive(Default)]
pub struct JobQuery;

#[root]
#[Object]
impl JobQuery {
    /// A job inside of the caller's portfolio, or one that the caller started.
    async fn job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job's global id.")] id: ID,
    ) -> async_graphql::Result<Option<Job>> {
        let Ok(id) = Noun::Job.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).job(actor(ctx)?, id).await)?)
    }

    /// The jobs inside of the caller's portfolio and those that the caller started, the newest first.
    async fn jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<JobFilterInput>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<JobConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read()?;
        let page = domain.jobs(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.job_count(&actor, &filter).await }
        });
        Ok(JobConnection::new(page, total))
    }
}

payload! {
    /// What asking for the end of a job answers.
    JobCancelPayload {
        /// The job as it is now: one that a worker is on ends behind its present chunk.
        job: Job
    }
}

#[derive(Default)]
pub struct JobMutation;

#[root]
#[Object]
impl JobMutation {
    /// Asks a job to end: one's own, or any as who manages the company's settings. What it did stays.
    async fn job_cancel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job's global id.")] id: ID,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<JobCancelPayload> {
        mutate::<job::Job, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.job_cancel(&actor, Noun::Job.read_at(&id, "id")?).await },
            |domain, actor, id| async move { domain.job(&actor, id).await },
        )
        .await
    }
}

/// A step of a job.
#[record]
#[derive(SimpleObject)]
pub struct JobProgress {
    /// The place of this step, for `after`.
    cursor: String,
    /// When it was made.
    at: DateTime,
    /// Where the job stood.
    state: JobState,
    /// What it was doing, in a word: `waiting`, `checking`, `storing`, `closing`,
    /// `loading`, `telling`, `revoking`, `finished`.
    stage: String,
    /// How much it had to do; null while that was not known.
    total: Option<i64>,
    /// How much of it was done.
    done: i64,
    /// How much it does in a second, now.
    rate: Option<f64>,
    /// When it will have ended if it goes on as it does.
    eta: Option<DateTime>,
    /// What had come of it, by name.
    counts: Vec<JobCount>,
    /// The job as it is now, which may be later than at this step.
    job: Job,
}

impl From<feed::JobStep> for JobProgress {
    fn from(feed::JobStep { job, progress }: feed::JobStep) -> Self {
        Self {
            cursor: cursor::Stream::Steps(job.id).cursor(progress.seq),
            at: DateTime(progress.at),
            state: progress.state.into(),
            stage: progress.stage,
            total: progress.total,
            done: progress.done,
            rate: job.rate(),
            eta: job.eta().map(DateTime),
            counts: counts(&progress.counts),
            job: job.into(),
        }
    }
}

async fn steps(
    ctx: &Context<'_>,
    id: &ID,
    after: Option<String>,
    kind: Option<job::JobKind>,
) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Walked<JobProgress>>> + use<>> {
    let (domain, actor) = (domain(ctx), actor(ctx)?);
    let id = Noun::Job.read_at(id, "id")?;
    if let Some(kind) = kind
        && domain.job(actor, id).await?.kind != kind
    {
        return Err(Error::not_found("import").at("id").into());
    }
    let after = after.as_deref().map(|after| cursor::Stream::Steps(id).read(after)).transpose()?;
    let place = ctx.data_opt::<Place>().cloned().unwrap_or_default();
    let after = place.from().or(after);
    let steps = domain.job_steps(actor, id, after).await?;
    if let Some(after) = after {
        place.begin(after);
    }
    let steps = steps.map_ok(move |step| {
        place.note(step.progress.seq);
        Walked(JobProgress::from(step))
    });
    Ok(steps.map_err(|error: Error| error.into()))
}

#[derive(Default)]
pub struct JobSubscription;

#[Subscription]
impl JobSubscription {
    /// The steps of a job, until its end, which completes the subscription.
    ///
    /// Opened without `after`, it begins with where the job stands. Opened again with the cursor of the
    /// last item that was received, it goes on behind that item: no step is missed or sent twice.
    async fn job_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job's global id.")] id: ID,
        #[graphql(desc = "The cursor of the last item received.")] after: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Walked<JobProgress>>>> {
        steps(ctx, &id, after, None).await
    }

    /// The steps of an import, until its end: the same as `jobProgress`, for imports alone.
    async fn import_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The import's global id.")] id: ID,
        #[graphql(desc = "The cursor of the last item received.")] after: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Walked<JobProgress>>>> {
        steps(ctx, &id, after, Some(job::JobKind::Import)).await
    }
}
