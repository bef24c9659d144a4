//! Scans: one run of a scanner, or one import of its report.

use std::collections::HashMap;

use uuid::Uuid;

use super::record::Record;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs};
use crate::vocabulary::terms::{Severity, Term, terms};
use crate::vocabulary::time::Timestamp;
use serde_json::{Value as Json, json};

pub mod store;

terms! {
    /// Where a scan stands.
    ScanStatus { Pending = "PENDING", Running = "RUNNING", Finished = "FINISHED", Failed = "FAILED" }
}

/// Findings by severity, as the scanner gave them, in the order of the severities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeverityTotals(pub [i64; Severity::ALL.len()]);

impl SeverityTotals {
    pub fn of(&self, severity: Severity) -> i64 {
        self.0[usize::from(severity.code())]
    }

    pub fn total(&self) -> i64 {
        self.0.iter().sum()
    }
}

/// A run of a scanner.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    pub id: Uuid,
    pub company: Uuid,
    pub project: Uuid,
    /// The reports that complete each other; known once the report has been checked.
    pub series: Option<Uuid>,
    /// The import that made it.
    pub job: Option<Uuid>,
    pub scanner: Option<String>,
    pub format: Option<String>,
    pub name: String,
    pub status: ScanStatus,
    /// Whether what the report does not name is gone.
    pub complete: bool,
    /// When the scanner looked: as the report says, or else when it was uploaded.
    pub scanned_at: Timestamp,
    pub totals: SeverityTotals,
    pub error: Option<String>,
    pub archived_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub version: i64,
}

impl Record for Scan {
    const NOUN: &'static str = "scan";

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn facts(&self) -> Json {
        json!({
            "project": self.project, "name": self.name, "scanner": self.scanner, "status": self.status,
            "scanned_at": self.scanned_at, "archived": self.archived_at.is_some(),
        })
    }
}

impl Scan {
    /// Whether the actor may rename this scan, which it sees, or archive it.
    pub fn may_edit(&self, actor: &Actor) -> Result<()> {
        actor.allow(Permission::EditInventory)?;
        if self.finished_at.is_none() {
            return Err(Error::new(Code::IllegalState, "A scan can be changed once it has ended."));
        }
        Ok(())
    }
}

/// A scan that is entered by hand: one whose report is not imported.
#[derive(Clone, Debug)]
pub struct NewScan {
    pub project: Uuid,
    pub name: String,
    pub scanner: Option<String>,
    pub scanned_at: Option<Timestamp>,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ScanFilter {
    pub project: Option<Uuid>,
    pub statuses: Vec<ScanStatus>,
    pub archived: bool,
}

fn checked_name(name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.len() > 500 {
        return Err(Error::invalid("name", "A name has 1 to 500 bytes."));
    }
    Ok(name.to_owned())
}

impl Domain {
    pub async fn scan(&self, actor: &Actor, id: Uuid) -> Result<Scan> {
        let scope = actor.allow(Permission::Read)?;
        self.db().scan(&scope, id).await?.ok_or_else(|| Error::not_found(Scan::NOUN))
    }

    /// Scans, the newest first.
    pub async fn scans(&self, actor: &Actor, filter: &ScanFilter, args: &PageArgs) -> Result<Page<Scan>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().scans(&scope, filter, args).await
    }

    pub async fn scan_count(&self, actor: &Actor, filter: &ScanFilter) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.db().scan_count(&scope, filter).await
    }

    /// The scans of these ids inside of the scope, for a loader.
    pub async fn scans_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Scan>> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().scans_by_id(&scope, ids).await?;
        Ok(found.into_iter().map(|scan| (scan.id, scan)).collect())
    }

    /// Enters a scan by hand. It is finished, and counts nothing.
    pub async fn scan_create(&self, actor: &Actor, new: NewScan) -> Result<Scan> {
        let scope = actor.allow(Permission::EditInventory)?;
        self.project(actor, new.project).await.map_err(|error| error.at("project"))?;
        let now = self.clock().now();
        let scan = Scan {
            id: self.clock().id(),
            company: scope.company()?,
            project: new.project,
            series: None,
            job: None,
            scanner: new.scanner.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
            format: None,
            name: checked_name(&new.name)?,
            status: ScanStatus::Finished,
            complete: false,
            scanned_at: new.scanned_at.unwrap_or(now),
            totals: SeverityTotals::default(),
            error: None,
            archived_at: None,
            created_at: now,
            finished_at: Some(now),
            version: 1,
        };
        let mut tx = self.db().begin(actor, &scope, now).await?;
        tx.write_scan(&scan).await?;
        tx.audit(AuditEntry::new("scan.created", scan.id).after(scan.facts()));
        tx.commit().await?;
        Ok(scan)
    }

    pub async fn scan_update(&self, actor: &Actor, id: Uuid, expected: i64, name: &str) -> Result<Scan> {
        let name = checked_name(name)?;
        self.edit_scan(actor, id, Some(expected), "scan.updated", |scan| scan.name = name).await
    }

    /// Puts a scan away, or takes it out again. What it found stays as it is.
    pub async fn scan_archive(
        &self,
        actor: &Actor,
        id: Uuid,
        expected: Option<i64>,
        archived: bool,
    ) -> Result<Scan> {
        let now = self.clock().now();
        let action = if archived { "scan.archived" } else { "scan.unarchived" };
        self.edit_scan(actor, id, expected, action, |scan| {
            scan.archived_at = archived.then(|| scan.archived_at.unwrap_or(now));
        })
        .await
    }

    async fn edit_scan(
        &self,
        actor: &Actor,
        id: Uuid,
        expected: Option<i64>,
        action: &'static str,
        edit: impl FnOnce(&mut Scan),
    ) -> Result<Scan> {
        let scope = actor.allow(Permission::EditInventory)?;
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let before = tx.lock_scan(&scope, id).await?.ok_or_else(|| Error::not_found(Scan::NOUN))?;
        if let Some(expected) = expected {
            tx.expect_version(&before, expected).await?;
        }
        before.may_edit(actor)?;
        let mut after = before.clone();
        edit(&mut after);
        if after == before {
            return Ok(before);
        }
        after.version += 1;
        tx.write_scan(&after).await?;
        tx.audit_changed(action, &before, &after);
        tx.commit().await?;
        Ok(after)
    }
}
