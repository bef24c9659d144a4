//! Correlation: which findings are one issue. Nothing is merged: an issue is a name that findings
//! share, by the rule below or because a person said so, and a list counts it once where it is asked
//! to.
//!
//! The rule: an issue is a weakness on an asset, whoever reports it. The first of these that a finding
//! has tells its weakness:
//!
//! | the finding has | findings are one issue with the same asset and |
//! | --- | --- |
//! | CVE ids | the same CVE ids |
//! | CWE ids and a file | the same CWE ids, file and line |
//! | CWE ids and an endpoint | the same CWE ids, endpoint and port |
//! | none of these | it is an issue of its own |
//!
//! A person's word stands over the rule until the finding is released.

use std::collections::HashMap;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::bulk::INLINE;
use super::edit::Edit;
use super::facts::{Evidence, Finding};
use super::layers::SetField;
use super::shown::Shown;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};

/// How many findings of an issue are listed with it.
pub const LISTED: usize = 100;
const TRIES: usize = 20;

/// An issue as somebody sees it.
#[derive(Clone, Debug)]
pub struct Issue {
    pub id: Uuid,
    /// How many findings it has inside of the scope.
    pub count: i64,
    /// The worst of them, at most [`LISTED`].
    pub findings: Vec<Finding>,
}

impl Issue {
    /// What a finding is where nothing else of its issue is in sight.
    pub fn alone(finding: &Finding) -> Self {
        Self { id: finding.issue, count: 1, findings: vec![finding.clone()] }
    }
}

/// The issue that the rule puts a finding in.
pub fn by_rule(id: Uuid, asset: Uuid, evidence: &Evidence, shown: &Shown) -> Uuid {
    let (cves, cwes) = (shown.set(SetField::CveIds), shown.set(SetField::CweIds));
    let text = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    match (&evidence.file_path, &evidence.endpoint) {
        _ if !cves.is_empty() => named(asset, "cve", cves, &[]),
        (Some(file), _) if !cwes.is_empty() => named(asset, "code", cwes, &[file, &text(evidence.line)]),
        (None, Some(endpoint)) if !cwes.is_empty() => {
            named(asset, "web", cwes, &[endpoint, &text(evidence.port.map(u32::from))])
        }
        _ => id,
    }
}

/// The name of a weakness on an asset: the first 16 bytes of a SHA-256, as a UUID of version 8. Shown
/// sets are sorted, so that what they hold has one name.
fn named(asset: Uuid, kind: &str, weakness: &[String], place: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(asset);
    let parts = std::iter::once(kind).chain(weakness.iter().map(String::as_str)).chain(place.iter().copied());
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

impl Domain {
    /// The issues of these names, as far as their findings are inside of the scope.
    pub async fn issues(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Issue>> {
        let scope = actor.allow(Permission::Read)?;
        let mut issues: HashMap<Uuid, Issue> = HashMap::new();
        for (finding, count) in self.db().findings_of_issues(&scope, ids).await? {
            let id = finding.issue;
            let issue = issues.entry(id).or_insert_with(|| Issue { id, count, findings: Vec::new() });
            issue.findings.push(finding);
        }
        Ok(issues)
    }

    /// Says that these findings are one issue, that of the first; the first of them.
    pub async fn finding_link(&self, actor: &Actor, ids: &[Uuid]) -> Result<Finding> {
        let Some(first) = ids.first() else {
            return Err(Error::invalid("ids", "Name the findings."));
        };
        let first = self.finding(actor, *first).await.map_err(|error| error.at("0").at("ids"))?;
        self.finding_correlate(actor, ids, &Edit::Link { issue: Some(first.issue) }).await
    }

    /// Says that each of these findings is an issue of its own; the first of them.
    pub async fn finding_unlink(&self, actor: &Actor, ids: &[Uuid]) -> Result<Finding> {
        self.finding_correlate(actor, ids, &Edit::Link { issue: None }).await
    }

    async fn finding_correlate(&self, actor: &Actor, ids: &[Uuid], edit: &Edit) -> Result<Finding> {
        let scope = actor.allow(Permission::EditFindings)?;
        if ids.is_empty() || ids.len() > INLINE {
            return Err(Error::invalid("ids", format!("From 1 to {INLINE} findings at once.")));
        }
        let seen = self.db().findings_by_id(&scope, ids).await?;
        if let Some(at) = ids.iter().position(|id| !seen.iter().any(|finding| finding.id == *id)) {
            return Err(Error::not_found("finding").at(&at.to_string()).at("ids"));
        }
        for _ in 0..TRIES {
            let now = self.clock().now();
            let (batch, _) = self.edited(actor, &scope, ids, edit, &Json::Null, now).await?;
            let mut tx = self.db().begin(actor, &scope, now).await?;
            if batch.write(&mut tx).await? {
                tx.answer(ids[0]);
                tx.commit().await?;
                return self.finding(actor, ids[0]).await;
            }
        }
        Err(Error::new(Code::Internal, "findings were written by others every time the change was tried"))
    }
}
