//! Scans.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::error::Error;
use domain::intel::vex::query::Newest;
use domain::inventory::project::Project;
use domain::inventory::scan::{NewScan, Scan, ScanFilter};
use domain::vocabulary::terms::Severity;
use record::{record, root};

use super::id::Noun;
use super::job::Job;
use super::loaders::one;
use super::page::{Counter, args, connection};
use super::payload::{mutate, payload};
use super::project::ProjectNode;
use super::scalars::DateTime;
use super::words::Allowed;
use super::{actor, domain, found};

/// Where a scan stands.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::inventory::scan::ScanStatus")]
pub enum ScanStatus {
    /// Its report is awaited.
    Pending,
    /// Its report is being taken in.
    Running,
    /// Its report has been taken in.
    Finished,
    /// Its report could not be taken in.
    Failed,
}

/// Findings by severity, as the scanner gave them.
#[record]
#[derive(SimpleObject)]
pub struct SeverityTotals {
    /// Of severity urgent.
    urgent: i64,
    /// Of severity critical.
    critical: i64,
    /// Of severity high.
    high: i64,
    /// Of severity medium.
    medium: i64,
    /// Of severity low.
    low: i64,
    /// Of severity info.
    info: i64,
    /// In all.
    total: i64,
}

pub struct ScanNode(Scan);

impl From<Newest> for ScanNode {
    fn from(newest: Newest) -> Self {
        Self(newest.0)
    }
}

impl From<Scan> for ScanNode {
    fn from(scan: Scan) -> Self {
        Self(scan)
    }
}

/// One run of a scanner, or one import of its report.
#[record]
#[Object(name = "Scan")]
impl ScanNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Scan.id(self.0.id)
    }

    /// The name; of an import, usually its file's.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The scanner, once it is known.
    fn scanner(&self) -> Option<&str> {
        self.0.scanner.as_deref()
    }

    /// The format of the report, once it is known: the key of one of `reportFormats`.
    fn format(&self) -> Option<&str> {
        self.0.format.as_deref()
    }

    /// Where it stands.
    fn status(&self) -> ScanStatus {
        self.0.status.into()
    }

    /// Whether what the report does not name of its series is gone.
    fn complete(&self) -> bool {
        self.0.complete
    }

    /// When the scanner looked: as the report says, or else when it was uploaded.
    fn scanned_at(&self) -> DateTime {
        DateTime(self.0.scanned_at)
    }

    /// Findings by severity, as the scanner gave them; all 0 before the scan has finished.
    fn totals(&self) -> SeverityTotals {
        let totals = &self.0.totals;
        SeverityTotals {
            urgent: totals.of(Severity::Urgent),
            critical: totals.of(Severity::Critical),
            high: totals.of(Severity::High),
            medium: totals.of(Severity::Medium),
            low: totals.of(Severity::Low),
            info: totals.of(Severity::Info),
            total: totals.total(),
        }
    }

    /// Why it failed, in a sentence.
    fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }

    /// The project that its findings belong to.
    async fn project(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<ProjectNode>>>> {
        one::<Project, _>(ctx, rows.iter().map(|row| Some(row.0.project))).await
    }

    /// The job that imports its report; null for a scan that was entered by hand.
    async fn job(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Job>>>> {
        one::<domain::job::Job, _>(ctx, rows.iter().map(|row| row.0.job)).await
    }

    /// Since when it is archived; null while it is not.
    fn archived_at(&self) -> Option<DateTime> {
        self.0.archived_at.map(DateTime)
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When its report had been taken in, or could not be.
    fn finished_at(&self) -> Option<DateTime> {
        self.0.finished_at.map(DateTime)
    }

    /// Counts its changes: an update names the one that it saw.
    fn version(&self) -> i64 {
        self.0.version
    }

    /// What the caller can do with it.
    fn viewer_can(&self, ctx: &Context<'_>) -> async_graphql::Result<ScanViewerCan> {
        let actor = actor(ctx)?;
        Ok(ScanViewerCan { edit: self.0.may_edit(actor).into(), archive: self.0.may_edit(actor).into() })
    }
}

/// What the caller can do with a scan.
#[record]
#[derive(SimpleObject)]
pub struct ScanViewerCan {
    /// To rename it.
    edit: Allowed,
    /// To archive it, or to take it back.
    archive: Allowed,
}

connection!(ScanConnection, ScanEdge, ScanNode, "A page of scans.", "A scan in a page.");

/// Which scans: all that is said must hold.
#[derive(Default, InputObject)]
pub struct ScanFilterInput {
    /// The global id of the project that its findings belong to.
    project: Option<ID>,
    /// In one of these states.
    statuses: Option<Vec<ScanStatus>>,
    /// Archived ones too.
    #[graphql(default)]
    archived: bool,
}

impl ScanFilterInput {
    fn read(self) -> Result<ScanFilter, Error> {
        Ok(ScanFilter {
            project: self.project.map(|id| Noun::Project.read_at(&id, "project")).transpose()?,
            statuses: self.statuses.into_iter().flatten().map(Into::into).collect(),
            archived: self.archived,
        })
    }
}

#[derive(Default)]
pub struct ScanQuery;

#[root]
#[Object]
impl ScanQuery {
    /// A scan of a project inside of the caller's portfolio.
    async fn scan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The scan's global id.")] id: ID,
    ) -> async_graphql::Result<Option<ScanNode>> {
        let Ok(id) = Noun::Scan.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).scan(actor(ctx)?, id).await)?)
    }

    /// The scans of the projects inside of the caller's portfolio, the newest first.
    async fn scans(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all that are not archived if not said.")] filter: Option<
            ScanFilterInput,
        >,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<ScanConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read()?;
        let page = domain.scans(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.scan_count(&actor, &filter).await }
        });
        Ok(ScanConnection::new(page, total))
    }
}

/// A scan that is entered by hand: one whose report is not imported.
#[derive(InputObject)]
pub struct ScanCreateInput {
    /// The global id of the project that it was of.
    project: ID,
    /// Its name.
    name: String,
    /// The scanner.
    scanner: Option<String>,
    /// When the scanner looked; now if not said.
    scanned_at: Option<DateTime>,
}

/// What of a scan is to change.
#[derive(InputObject)]
pub struct ScanUpdateInput {
    /// Another name.
    name: String,
}

payload! {
    /// What `scanCreate` answers.
    ScanCreatePayload {
        /// The new scan.
        scan: ScanNode
    }
    /// What `scanUpdate` answers.
    ScanUpdatePayload {
        /// The scan as it is now.
        scan: ScanNode
    }
    /// What `scanArchive` answers.
    ScanArchivePayload {
        /// The scan as it is now.
        scan: ScanNode
    }
}

#[derive(Default)]
pub struct ScanMutation;

#[root]
#[Object]
impl ScanMutation {
    /// Enters a scan by hand. It is finished, and counts nothing.
    async fn scan_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new scan.")] input: ScanCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ScanCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let new = NewScan {
                    project: Noun::Project.read_at(&input.project, "project")?,
                    name: input.name,
                    scanner: input.scanner,
                    scanned_at: input.scanned_at.map(|at| at.0),
                };
                domain.scan_create(&actor, new).await
            },
            |domain, actor, id| async move { domain.scan(&actor, id).await },
        )
        .await
    }

    /// Renames a scan.
    async fn scan_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The scan's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: ScanUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ScanUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Scan.read_at(&id, "id")?;
                domain.scan_update(&actor, id, expected_version, &input.name).await
            },
            |domain, actor, id| async move { domain.scan(&actor, id).await },
        )
        .await
    }

    /// Archives a scan, or takes it back. What it found stays as it is.
    async fn scan_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The scan's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Whether it is to be archived, or taken back.", default = true)] archived: bool,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ScanArchivePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Scan.read_at(&id, "id")?;
                domain.scan_archive(&actor, id, Some(expected_version), archived).await
            },
            |domain, actor, id| async move { domain.scan(&actor, id).await },
        )
        .await
    }
}
