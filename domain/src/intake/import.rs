//! An import: a report becomes findings, as a job.
//!
//! It is asked for, then its report is uploaded and spooled to disk, then a worker reads it twice:
//! once to check all of it, once to store it in chunks. A chunk is one transaction: its findings,
//! their audit entries and events, what was seen, and how far the job is. When a complete report
//! has been stored, what its series saw before and the report no longer names is closed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::format::Format;
use super::mapping::Mapping;
use super::packing;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::inventory::scan::{Scan, ScanStatus, SeverityTotals};
use crate::job::{Job, JobKind, JobState, Principal};
use crate::ledger::AuditEntry;

/// How many times larger packed reports usually are than they look.
const UNPACKED: u64 = 16;

/// What the caller of an import says about the report.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    pub project: Uuid,
    /// `None`: told from the report's beginning.
    pub format: Option<Format>,
    /// How to read a table; required by the formats that have no fields of their own.
    pub mapping: Option<Mapping>,
    /// A saved mapping instead. What it is now holds for this import.
    pub saved: Option<Uuid>,
    /// The asset of findings whose report names none.
    pub asset: Option<String>,
    /// The series that the report belongs to; by default, the assets it names.
    pub series: Option<String>,
    /// Whether the report names all there is of its series, so that what it does not name is gone.
    pub complete: bool,
    /// The report's name, for people: usually its file's.
    pub name: String,
}

/// An import's parameters as its job keeps them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImportParams {
    pub project: Uuid,
    pub scan: Uuid,
    pub format: Option<String>,
    pub mapping: Option<Mapping>,
    pub asset: Option<String>,
    pub series: Option<String>,
    pub complete: bool,
    pub name: String,
    pub upload: Option<Upload>,
}

/// The report as it was received.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub bytes: u64,
    pub at: crate::vocabulary::time::Timestamp,
}

impl ImportParams {
    pub fn of(job: &Job) -> Result<Self> {
        serde_json::from_value(job.params.clone()).map_err(Error::internal)
    }
}

impl Domain {
    /// Asks for an import. The job waits for its report: [`Domain::import_upload`].
    pub async fn import_start(&self, actor: &Actor, request: ImportRequest) -> Result<Job> {
        let scope = actor.allow(Permission::Import)?;
        let project = self.project(actor, request.project).await.map_err(|error| error.at("project"))?;
        if project.archived_at.is_some() {
            let message = "An archived project takes no reports.";
            return Err(Error::new(Code::IllegalState, message).at("project"));
        }
        let (format, mapping) =
            self.mapping_of(actor, request.format, request.mapping.as_ref(), request.saved).await?;
        if let Some(mapping) = &mapping {
            mapping.validate(request.asset.as_deref()).map_err(|error| error.at("mapping"))?;
        } else if format.is_some_and(|format| format.entry().mapped) {
            let message = "This format has no fields of its own: say what its columns mean.";
            return Err(Error::new(Code::Required, message).at("mapping"));
        }
        for (field, text) in [("name", Some(&request.name)), ("series", request.series.as_ref())] {
            if text.is_some_and(|text| text.trim().is_empty() || text.len() > 500) {
                return Err(Error::invalid(field, "A text of 1 to 500 bytes."));
            }
        }
        let now = self.clock().now();
        let id = self.clock().id();
        let scan = Scan {
            id: self.clock().id(),
            company: scope.company()?,
            project: project.id,
            series: None,
            job: Some(id),
            scanner: None,
            format: format.map(|format| format.key().to_owned()),
            name: request.name.trim().to_owned(),
            status: ScanStatus::Pending,
            complete: request.complete,
            scanned_at: now,
            totals: SeverityTotals::default(),
            error: None,
            archived_at: None,
            created_at: now,
            finished_at: None,
            version: 1,
        };
        let params = ImportParams {
            project: project.id,
            scan: scan.id,
            format: scan.format.clone(),
            mapping,
            asset: request.asset,
            series: request.series.map(|series| series.trim().to_owned()),
            complete: request.complete,
            name: scan.name.clone(),
            upload: None,
        };
        let params = serde_json::to_value(&params).map_err(Error::internal)?;
        let mut tx = self.db().begin(actor, &scope, now).await?;
        tx.write_scan(&scan).await?;
        let principal = Principal::of(actor);
        tx.insert_job(id, JobKind::Import, JobState::Waiting, &principal, Some(project.id), &params).await?;
        tx.audit(AuditEntry::new("import.started", id).after(json!({
            "project": project.id, "scan": scan.id, "name": scan.name, "format": scan.format,
            "series": params.get("series"), "complete": scan.complete,
        })));
        tx.commit().await?;
        self.db().job(&scope, id).await?.ok_or_else(|| Error::not_found("job"))
    }

    /// Opens the file that an import's report, or what a feed says, is written to. Only for the job's
    /// own company, and only while it waits for the file.
    pub async fn import_upload(&self, actor: &Actor, id: Uuid) -> Result<Incoming> {
        const READERS: [JobKind; 2] = [JobKind::Import, JobKind::IntelLoad];
        let any = READERS.iter().find_map(|kind| actor.allow(kind.right()).ok());
        let scope = any.map_or_else(|| actor.allow(Permission::Import), Ok)?;
        let job = self.db().job_of(&scope, actor.id, id).await?;
        let job = job.filter(|job| READERS.contains(&job.kind)).ok_or_else(|| Error::not_found("import"))?;
        actor.allow(job.kind.right())?;
        if job.state != JobState::Waiting {
            return Err(Error::new(Code::IllegalState, NOT_WAITING));
        }
        let spool = self.spool();
        tokio::fs::create_dir_all(spool).await.map_err(Error::internal)?;
        // Two uploads at once write to files of their own; the one that ends first is taken.
        let partial = spool.join(format!("{id}.{}.part", self.clock().id()));
        let file = tokio::fs::File::create_new(&partial).await.map_err(Error::internal)?;
        let incoming = Incoming {
            domain: self.clone(),
            actor: actor.clone(),
            job,
            partial: Partial(partial),
            file: tokio::io::BufWriter::with_capacity(256 * 1_024, file),
            bytes: 0,
            head: Vec::new(),
        };
        Ok(incoming)
    }

    /// Where the report of an import lies on this server.
    pub(crate) fn spooled(&self, job: Uuid) -> PathBuf {
        self.spool().join(job.to_string())
    }

    /// Removes what no import of this node can use any more: half uploads of an earlier process.
    pub(crate) async fn tidy_spool(&self) -> Result<()> {
        let Ok(mut entries) = tokio::fs::read_dir(self.spool()).await else { return Ok(()) };
        while let Some(entry) = entries.next_entry().await.map_err(Error::internal)? {
            if entry.path().extension().is_some_and(|extension| extension == "part") {
                tokio::fs::remove_file(entry.path()).await.map_err(Error::internal)?;
            }
        }
        Ok(())
    }

    /// The end of an import that failed or was cancelled: its scan ends with it.
    pub(crate) async fn end_scan_of(
        &self,
        tx: &mut crate::store::Tx,
        job: &Job,
        error: Option<&Map<String, Json>>,
    ) -> Result<()> {
        let params = ImportParams::of(job)?;
        let told = error.map_or_else(
            || json!({ "code": "CANCELLED", "message": "The import was cancelled." }),
            |error| json!({ "code": error.get("code"), "message": error.get("message") }),
        );
        tx.end_scan(params.scan, ScanStatus::Failed, error.and_then(|error| error.get("message")?.as_str()))
            .await?;
        tx.emit(Event::new(EventKind::ScanFailed, params.scan, told));
        remove(&self.spooled(job.id)).await;
        Ok(())
    }
}

const NOT_WAITING: &str = "This import does not wait for a report.";

/// Removes a file that may be gone already.
pub(crate) async fn remove(path: &Path) {
    if let Err(error) = tokio::fs::remove_file(path).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "a spooled report could not be removed");
    }
}

/// A report on its way to the disk. Dropped before its end, nothing of it stays.
pub struct Incoming {
    domain: Domain,
    actor: Actor,
    job: Job,
    partial: Partial,
    file: tokio::io::BufWriter<tokio::fs::File>,
    bytes: u64,
    /// The first of them.
    head: Vec<u8>,
}

/// A file that is removed unless it was renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a partial upload could not be removed");
        }
    }
}

impl Incoming {
    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// `REPORT_TOO_LARGE` past the size limit.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        let missing = packing::MAGIC.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        let most = self.domain.settings().limits.bytes;
        if self.bytes > most {
            return Err(Error::new(Code::ReportTooLarge, format!("A report has at most {most} bytes."))
                .with("limit", "bytes")
                .with("value", most));
        }
        self.file.write_all(bytes).await.map_err(Error::internal)
    }

    /// The report is complete: it is made durable, and the import goes to the workers.
    pub async fn finish(mut self) -> Result<Job> {
        self.file.flush().await.map_err(Error::internal)?;
        self.file.get_ref().sync_all().await.map_err(Error::internal)?;
        let domain = &self.domain;
        let now = domain.clock().now();
        let scope = self.actor.allow(self.job.kind.right())?;
        let mut params = self.job.params.clone();
        params["upload"] = json!(Upload { bytes: self.bytes, at: now });
        let mut tx = domain.db().begin(&self.actor, &scope, now).await?;
        let unpacked = if packing::is_packed(&self.head) { UNPACKED } else { 1 };
        let weight = i64::try_from(self.bytes.saturating_mul(unpacked)).unwrap_or(i64::MAX);
        if !tx.ready_job(self.job.id, domain.worker(), &params, weight).await? {
            return Err(Error::new(Code::IllegalState, NOT_WAITING));
        }
        // The job is held by now: of two uploads that end at once, only one puts its file in place.
        tokio::fs::rename(&self.partial.0, domain.spooled(self.job.id)).await.map_err(Error::internal)?;
        sync_folder(domain.spool()).await?;
        let action = if self.job.kind == JobKind::Import { "import.uploaded" } else { "intel.uploaded" };
        tx.audit(AuditEntry::new(action, self.job.id).after(json!({ "bytes": self.bytes })));
        if self.job.kind == JobKind::Import {
            let params = ImportParams::of(&self.job)?;
            let told = json!({ "project": params.project, "format": params.format });
            tx.emit(Event::new(EventKind::ScanStarted, params.scan, told));
        }
        tx.commit().await?;
        domain.wake_jobs();
        domain.db().job(&scope, self.job.id).await?.ok_or_else(|| Error::not_found("job"))
    }
}

/// A rename is durable once its folder is.
async fn sync_folder(folder: &Path) -> Result<()> {
    let folder = tokio::fs::File::open(folder).await.map_err(Error::internal)?;
    folder.sync_all().await.map_err(Error::internal)
}
