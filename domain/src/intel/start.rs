//! The beginning of a load: it is asked for, and its file is uploaded.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::feed::Feed;
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::finding::layers::SetField;
use crate::intake::import::remove;
use crate::job::{Job, JobKind, JobState, Principal};
use crate::ledger::AuditEntry;
use crate::store::Tx;

/// A load's parameters as its job keeps them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LoadParams {
    pub feed: Feed,
    /// The file's name, for people.
    pub name: String,
    /// The address that it was fetched from.
    pub source: Option<String>,
    /// What to ask the address with the next time.
    pub etag: Option<String>,
    pub modified: Option<String>,
}

impl LoadParams {
    pub fn of(job: &Job) -> Result<Self> {
        serde_json::from_value(job.params.clone()).map_err(Error::internal)
    }
}

impl Job {
    /// The feed that a load is of.
    pub fn feed(&self) -> Option<Feed> {
        LoadParams::of(self).ok().map(|params| params.feed)
    }
}

/// Where to read more about a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References(pub Vec<String>);

impl Domain {
    /// Asks for a load of a feed, for the actor's company or as a platform admin for all. The job
    /// waits for its file: [`Domain::import_upload`].
    pub async fn intel_load_start(&self, actor: &Actor, feed: Feed, name: &str) -> Result<Job> {
        let scope = actor.allow(Permission::ManageSettings)?;
        let name = name.trim();
        if name.is_empty() || name.len() > 500 {
            return Err(Error::invalid("name", "A text of 1 to 500 bytes."));
        }
        let params = LoadParams { feed, name: name.to_owned(), source: None, etag: None, modified: None };
        self.insert_load(actor, &scope, &params).await
    }

    pub(crate) async fn insert_load(&self, actor: &Actor, scope: &Scope, params: &LoadParams) -> Result<Job> {
        let id = self.clock().id();
        let value = serde_json::to_value(params).map_err(Error::internal)?;
        let mut tx = self.db().begin(actor, scope, self.clock().now()).await?;
        let principal = Principal::of(actor);
        tx.insert_job(id, JobKind::IntelLoad, JobState::Waiting, &principal, None, &value).await?;
        let told = json!({ "feed": params.feed, "name": params.name, "source": params.source });
        tx.audit(AuditEntry::new("intel.started", id).after(told));
        tx.commit().await?;
        self.db().job(scope, id).await?.ok_or_else(|| Error::not_found("job"))
    }

    /// The end of a load that failed or was cancelled.
    pub(crate) async fn end_load_of(
        &self,
        tx: &Tx,
        job: &Job,
        error: Option<&Map<String, Json>>,
    ) -> Result<()> {
        if let Some(why) = error.and_then(|error| error.get("message")?.as_str()) {
            tx.feed_failed(LoadParams::of(job)?.feed, why).await?;
        }
        remove(&self.spooled(job.id)).await;
        Ok(())
    }

    /// Where to read more about these findings, by what feeds say of their CVEs: for those of which
    /// the scanner says nothing. For a loader.
    pub async fn intel_references(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, References>> {
        let scope = actor.allow(Permission::Read)?;
        let findings = self.db().findings_by_id(&scope, ids).await?;
        let findings = || findings.iter().filter(|finding| finding.evidence.references.is_empty());
        let cves: BTreeSet<&str> =
            findings().flat_map(|finding| finding.shown.set(SetField::CveIds)).map(String::as_str).collect();
        let cves: Vec<&str> = cves.into_iter().collect();
        let known = self.db().facts(&scope, &cves).await?;
        Ok(findings()
            .map(|finding| (finding.id, References(known.references(finding.shown.set(SetField::CveIds)))))
            .collect())
    }
}
