//! Jobs that wait for something that never comes: they end, with the reason.
//!
//! An import waits for its report, a load for its file, an export for whoever fetches it. How long is
//! written with the job when it is made, so that whichever server keeps house can tell. A load that a
//! server fetches waits as long as that server alone fetches the feed: then the server is gone.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{Job, JobKind};
use crate::Domain;
use crate::access::Scope;
use crate::error::{Code, Result};
use crate::finding::export;
use crate::intel::feed::Feed;
use crate::intel::fetch;
use crate::ledger::AuditEntry;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Span;

/// How long an upload may let wait for itself.
const UPLOAD: Span = Span::DAY;

/// The feed, where a server fetches what the job waits for.
fn fetched(params: &Json) -> Option<Feed> {
    params.get("source").filter(|source| !source.is_null())?;
    Feed::parse(params.get("feed")?.as_str()?)
}

impl JobKind {
    /// How long such a job waits before its work can begin; `None`: it waits for a worker alone.
    pub(crate) fn patience(self, params: &Json) -> Option<Span> {
        match self {
            Self::IntelLoad => Some(fetched(params).map_or(UPLOAD, fetch::lease)),
            Self::Import => Some(UPLOAD),
            Self::Export => Some(export::LIFE),
            Self::Sweep | Self::BulkChange | Self::Revoke => None,
        }
    }
}

/// Why a job ends that waited for too long.
fn reason(job: &Job) -> String {
    match job.kind {
        JobKind::IntelLoad if fetched(&job.params).is_some() => {
            "The server that fetched the file was cut off. It is fetched again when it is due.".to_owned()
        }
        JobKind::Export => format!("Nobody fetched the export within {}.", export::LIFE),
        _ => format!("No file was uploaded within {UPLOAD}: ask for it anew."),
    }
}

impl Domain {
    /// Ends the jobs that waited for too long. Returns them.
    pub async fn end_overdue(&self) -> Result<Vec<Uuid>> {
        let mut ended = Vec::new();
        for job in self.db().overdue_jobs(&Scope::System, self.clock().now()).await? {
            if self.end_waiting(&job).await? {
                ended.push(job.id);
            }
        }
        Ok(ended)
    }

    /// `false`: what it waited for came meanwhile.
    async fn end_waiting(&self, job: &Job) -> Result<bool> {
        let actor = job.principal.actor(job.company);
        let mut tx = self.db().begin(&actor, &job.scope(), self.clock().now()).await?;
        let error = Map::from_iter([
            ("code".to_owned(), json!(Code::IllegalState.word())),
            ("message".to_owned(), json!(reason(job))),
        ]);
        if !tx.end_waiting_job(job.id, &Json::from(error.clone())).await? {
            return Ok(false);
        }
        match job.kind {
            JobKind::Import => self.end_scan_of(&mut tx, job, Some(&error)).await?,
            JobKind::IntelLoad => self.end_load_of(&tx, job, Some(&error)).await?,
            _ => {}
        }
        tx.audit(AuditEntry::new("job.failed", job.id).after(json!({ "state": "FAILED", "error": error })));
        tx.commit().await?;
        Ok(true)
    }
}
