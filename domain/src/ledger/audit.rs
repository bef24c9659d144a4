//! Reading the audit: for those who have the right to, and for the operator who proves it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::verify::{Break, Chain, Fault};
use super::{Document, Speaker};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::gateway::signing::SigningKey;
use crate::ledger::store::Head;
use crate::page::{Page, PageArgs, Window};
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// An entry as its readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Audited {
    pub company: Uuid,
    /// Its number, without gaps in its company.
    pub seq: i64,
    pub at: Timestamp,
    /// Noun and past participle: `asset.created`.
    pub action: String,
    pub record_kind: String,
    pub record: Uuid,
    pub actor: Speaker,
    pub before: Option<Document>,
    pub after: Option<Document>,
    pub cause: Option<Document>,
}

/// Which entries a list has: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub record: Option<Uuid>,
    pub action: Option<String>,
    /// The user or service account that acted.
    pub actor: Option<Uuid>,
    /// Not before this, and before that.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// Where a company's chain stood at some time, to be kept elsewhere. The signature is the
/// HMAC-SHA256 of the other parts under this server's key, in hexadecimal, as is the hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    pub company: Uuid,
    pub seq: i64,
    pub hash: String,
    pub at: Timestamp,
    pub signature: String,
}

impl SignedHead {
    pub(crate) fn new(head: &Head, at: Timestamp, key: &SigningKey) -> Self {
        let hash = hex(&head.audit_hash);
        let mut signed =
            Self { company: head.company, seq: head.audit_seq, hash, at, signature: String::new() };
        signed.signature = hex(&key.sign(signed.content().as_bytes()));
        signed
    }

    fn content(&self) -> String {
        format!("audit head\n{}\n{}\n{}\n{}", self.company, self.seq, self.hash, self.at.0)
    }

    /// Whether this server signed it.
    pub fn is_genuine(&self, key: &SigningKey) -> bool {
        unhex(&self.signature)
            .is_some_and(|signature| key.is_signature(self.content().as_bytes(), &signature))
    }
}

/// What a verification read and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub companies: u64,
    pub entries: u64,
    pub events: u64,
    /// The first broken link of each company whose ledger is not whole.
    pub broken: Vec<Break>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }
}

impl Domain {
    /// The entries of the actor's company, newest first.
    pub async fn audit_entries(
        &self,
        actor: &Actor,
        filter: &AuditFilter,
        page: &PageArgs,
    ) -> Result<Page<Audited>> {
        let scope = actor.allow(Permission::ReadAudit)?;
        self.db().audit_entries(&scope, filter, &Window::new(page, store::NEWEST)?).await
    }

    pub async fn audit_count(&self, actor: &Actor, filter: &AuditFilter) -> Result<i64> {
        self.db().audit_count(&actor.allow(Permission::ReadAudit)?, filter).await
    }

    /// A page of the entries of each of these records, newest first: one statement for all of them.
    pub async fn audit_entries_of(
        &self,
        actor: &Actor,
        records: &[Uuid],
        page: &PageArgs,
    ) -> Result<HashMap<Uuid, Page<Audited>>> {
        let scope = actor.allow(Permission::ReadAudit)?;
        self.db().audit_entries_of(&scope, records, &Window::new(page, store::NEWEST)?).await
    }

    /// How many entries each of these records has, where it has any.
    pub async fn audit_counts_of(&self, actor: &Actor, records: &[Uuid]) -> Result<HashMap<Uuid, i64>> {
        self.db().audit_counts_of(&actor.allow(Permission::ReadAudit)?, records).await
    }

    /// The entry of this number in the actor's company.
    pub async fn audit_entry(&self, actor: &Actor, seq: i64) -> Result<Audited> {
        let scope = actor.allow(Permission::ReadAudit)?;
        self.db().audit_entry(&scope, seq).await?.ok_or_else(|| Error::not_found("audit entry"))
    }

    /// Where every company's chain stands, signed. For the operator, who holds the key.
    pub async fn audit_head(&self, key: &SigningKey) -> Result<Vec<SignedHead>> {
        let heads = self.db().ledger_heads(&Scope::System).await?;
        let now = self.clock().now();
        Ok(heads.iter().map(|head| SignedHead::new(head, now, key)).collect())
    }

    /// Reads every entry and event number and proves them, in bounded memory. With `from`, heads
    /// that were kept elsewhere, also that each chain still goes through its head: that it only
    /// grew. For the operator. A head that this server did not sign is refused as INVALID.
    pub async fn audit_verify(&self, key: &SigningKey, from: &[SignedHead]) -> Result<Report> {
        if let Some(forged) = from.iter().find(|head| !head.is_genuine(key)) {
            let message = format!("The head of company {} was not signed by this server.", forged.company);
            return Err(Error::invalid("from", message));
        }
        let mut report = Report { companies: 0, entries: 0, events: 0, broken: Vec::new() };
        let heads = self.db().ledger_heads(&Scope::System).await?;
        for head in &heads {
            let kept = from.iter().filter(|kept| kept.company == head.company);
            let marks = kept.filter_map(|kept| Some((kept.seq, unhex(&kept.hash)?.try_into().ok()?)));
            let (entries, entries_whole) = self.verify_entries(head, marks.collect()).await?;
            let (events, events_whole) = self.verify_events(head).await?;
            report.companies += 1;
            report.entries += entries;
            report.events += events;
            report.broken.extend(entries_whole.and(events_whole).err());
        }
        for kept in from.iter().filter(|kept| !heads.iter().any(|head| head.company == kept.company)) {
            report.broken.push(Break { company: kept.company, seq: 0, fault: Fault::Missing });
        }
        Ok(report)
    }

    async fn verify_entries(&self, head: &Head, marks: Vec<(i64, super::Hash)>) -> Result<(u64, Verdict)> {
        let mut chain = Chain::new(head.company, marks);
        loop {
            let links = self.db().links_after(&Scope::System, head.company, chain.seq()).await?;
            // What was committed after the heads were read is left to the next verification.
            let links: Vec<_> = links.into_iter().filter(|link| link.seq <= head.audit_seq).collect();
            if links.is_empty() {
                return Ok((chain.length(), chain.finish(head.audit_seq, &head.audit_hash)));
            }
            for link in &links {
                if let Err(broken) = chain.feed(link) {
                    return Ok((chain.length(), Err(broken)));
                }
            }
        }
    }

    async fn verify_events(&self, head: &Head) -> Result<(u64, Verdict)> {
        let mut last = 0;
        while last < head.event_seq {
            let numbers = self.db().event_numbers_after(&Scope::System, head.company, last).await?;
            for number in numbers.iter().copied().filter(|number| *number <= head.event_seq) {
                if number != last + 1 {
                    break;
                }
                last = number;
            }
            if numbers.last().is_none_or(|newest| *newest != last && *newest <= head.event_seq) {
                break;
            }
        }
        let whole = last >= head.event_seq;
        let broken = Break { company: head.company, seq: last + 1, fault: Fault::EventMissing };
        Ok((last.unsigned_abs(), if whole { Ok(()) } else { Err(broken) }))
    }
}

type Verdict = Result<(), Break>;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
