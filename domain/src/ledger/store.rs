//! Numbers and chains what a transaction did, as its last step before the commit.

use sea_orm::{ConnectionTrait, QueryResult};
use uuid::Uuid;

use super::{AuditEntry, Content, Document, GENESIS, Hash, Speaker, chain};
use crate::access::{GLOBAL, Scope};
use crate::error::{Error, Result};
use crate::event::catalogue::Event;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::conn::Transaction;
use crate::store::sql::Sql;
use crate::store::{Db, RulesVersion};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

const AUDIT: &[Column] = &[
    ("company_id", Type::Uuid),
    ("seq", Type::BigInt),
    ("at", Type::BigInt),
    ("action", Type::Text),
    ("record_kind", Type::Text),
    ("record_id", Type::Uuid),
    ("actor", Type::Text),
    ("before", Type::Text),
    ("after", Type::Text),
    ("cause", Type::Text),
    ("digest", Type::Bytes),
    ("hash", Type::Bytes),
    ("rule_id", Type::Uuid),
];

const EVENT: &[Column] = &[
    ("company_id", Type::Uuid),
    ("seq", Type::BigInt),
    ("at", Type::BigInt),
    ("kind", Type::Text),
    ("subject_id", Type::Uuid),
    ("cause", Type::Text),
    ("depth", Type::Int),
    ("payload", Type::Text),
];

/// What a transaction has done so far, encoded and digested before the ledger is locked.
pub(crate) struct Pending {
    pub company: Uuid,
    pub at: Timestamp,
    actor: String,
    entries: Vec<Encoded>,
    events: Vec<EncodedEvent>,
    pub rules_changed: bool,
}

struct Encoded {
    action: &'static str,
    record_kind: &'static str,
    record: Uuid,
    before: Option<String>,
    after: Option<String>,
    cause: Option<String>,
    digest: Hash,
    rule: Option<Uuid>,
}

struct EncodedEvent {
    kind: &'static str,
    subject: Uuid,
    cause: Option<String>,
    depth: i32,
    payload: String,
}

/// The last numbers after a commit.
#[derive(Clone, Copy, Debug)]
pub struct Sealed {
    pub audit_seq: i64,
    pub event_seq: i64,
}

/// Where a company's ledger stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub company: Uuid,
    pub audit_seq: i64,
    pub audit_hash: Hash,
    pub event_seq: i64,
    pub rules_version: i64,
}

impl Pending {
    pub fn new(company: Uuid, actor: Speaker, at: Timestamp) -> Self {
        let actor = serde_json::to_string(&actor).expect("a speaker encodes");
        Self { company, at, actor, entries: Vec::new(), events: Vec::new(), rules_changed: false }
    }

    pub fn audit(&mut self, entry: AuditEntry) {
        let record_kind = entry.record_kind();
        let text = |document: Option<Document>| document.map(Document::into_text);
        let (before, after, cause) = (text(entry.before), text(entry.after), text(entry.cause));
        let digest = Content {
            at: self.at.0,
            action: entry.action,
            record_kind,
            record: entry.record,
            actor: &self.actor,
            before: before.as_deref(),
            after: after.as_deref(),
            cause: cause.as_deref(),
        }
        .digest();
        self.entries.push(Encoded {
            action: entry.action,
            record_kind,
            record: entry.record,
            before,
            after,
            cause,
            digest,
            rule: entry.rule,
        });
    }

    pub fn emit(&mut self, event: Event) {
        self.events.push(EncodedEvent {
            kind: event.kind.word(),
            subject: event.subject,
            cause: event.cause.map(Document::into_text),
            depth: event.depth,
            payload: event.payload.into_text(),
        });
    }

    /// The record of the first entry.
    pub fn first_record(&self) -> Option<Uuid> {
        self.entries.first().map(|entry| entry.record)
    }

    /// Locks the ledger ahead of its seal.
    pub async fn lock(&self, conn: &Transaction, dialect: Dialect) -> Result<()> {
        head(conn, dialect, self.company, true).await?;
        Ok(())
    }

    pub async fn seal_under(
        self,
        conn: &Transaction,
        dialect: Dialect,
        version: RulesVersion,
    ) -> Result<Option<Sealed>> {
        let global = head(conn, dialect, GLOBAL, false).await?.rules_version;
        let head = head(conn, dialect, self.company, true).await?;
        let own = if self.company == GLOBAL { 0 } else { head.rules_version };
        if (RulesVersion { own, global }) != version {
            return Ok(None);
        }
        self.seal_at(conn, dialect, head).await.map(Some)
    }

    pub async fn seal(self, conn: &Transaction, dialect: Dialect) -> Result<Sealed> {
        if self.entries.is_empty() && self.events.is_empty() && !self.rules_changed {
            return Ok(Sealed { audit_seq: 0, event_seq: 0 });
        }
        let head = head(conn, dialect, self.company, true).await?;
        self.seal_at(conn, dialect, head).await
    }

    async fn seal_at(self, conn: &Transaction, dialect: Dialect, mut head: Head) -> Result<Sealed> {
        if self.entries.is_empty() && self.events.is_empty() && !self.rules_changed {
            return Ok(Sealed { audit_seq: head.audit_seq, event_seq: head.event_seq });
        }
        let mut audit = Rows::new(AUDIT, self.entries.len());
        for entry in self.entries {
            head.audit_seq += 1;
            head.audit_hash = chain(&head.audit_hash, head.audit_seq, &entry.digest);
            audit.push([
                self.company.into(),
                head.audit_seq.into(),
                self.at.0.into(),
                entry.action.into(),
                entry.record_kind.into(),
                entry.record.into(),
                self.actor.as_str().into(),
                entry.before.into(),
                entry.after.into(),
                entry.cause.into(),
                entry.digest.to_vec().into(),
                head.audit_hash.to_vec().into(),
                entry.rule.into(),
            ]);
        }
        let mut events = Rows::new(EVENT, self.events.len());
        for event in self.events {
            head.event_seq += 1;
            events.push([
                self.company.into(),
                head.event_seq.into(),
                self.at.0.into(),
                event.kind.into(),
                event.subject.into(),
                event.cause.into(),
                event.depth.into(),
                event.payload.into(),
            ]);
        }
        audit.insert(conn, dialect, "audit_entry", "").await?;
        events.insert(conn, dialect, "event", "").await?;
        head.rules_version += i64::from(self.rules_changed);
        Sql::new(dialect, "UPDATE ledger_head SET audit_seq = ")
            .bind(head.audit_seq)
            .push(", audit_hash = ")
            .bind(head.audit_hash.to_vec())
            .push(", event_seq = ")
            .bind(head.event_seq)
            .push(", rules_version = ")
            .bind(head.rules_version)
            .push(" WHERE company_id = ")
            .bind(self.company)
            .run(conn)
            .await?;
        Ok(Sealed { audit_seq: head.audit_seq, event_seq: head.event_seq })
    }
}

/// Opens the ledger of a new company, in the transaction that makes it.
pub(crate) async fn open(conn: &impl ConnectionTrait, dialect: Dialect, company: Uuid) -> Result<()> {
    Sql::new(
        dialect,
        "INSERT INTO ledger_head (company_id, audit_seq, audit_hash, event_seq, rules_version) VALUES (",
    )
    .bind(company)
    .push(", 0, ")
    .bind(GENESIS.to_vec())
    .push(", 0, 0) ON CONFLICT DO NOTHING")
    .run(conn)
    .await?;
    Ok(())
}

async fn head(conn: &impl ConnectionTrait, dialect: Dialect, company: Uuid, lock: bool) -> Result<Head> {
    let lock = if lock && dialect == Dialect::Postgres { " FOR UPDATE" } else { "" };
    let row = Sql::new(dialect, HEADS)
        .push(" WHERE company_id = ")
        .bind(company)
        .push(lock)
        .one(conn)
        .await?
        .ok_or_else(|| Error::internal(format!("company {company} has no ledger")))?;
    read_head(&row)
}

const HEADS: &str = "SELECT company_id, audit_seq, audit_hash, event_seq, rules_version FROM ledger_head";

fn read_head(row: &QueryResult) -> Result<Head> {
    let hash: Vec<u8> = row.try_get("", "audit_hash")?;
    Ok(Head {
        company: row.try_get("", "company_id")?,
        audit_seq: row.try_get("", "audit_seq")?,
        audit_hash: hash.try_into().map_err(|_| Error::internal("a hash is not of 32 bytes"))?,
        event_seq: row.try_get("", "event_seq")?,
        rules_version: row.try_get("", "rules_version")?,
    })
}

impl Db {
    /// Where the ledger of the scope's company stands.
    pub(crate) async fn ledger_head(&self, scope: &Scope) -> Result<Head> {
        head(self.read(), self.dialect, scope.company()?, false).await
    }

    /// Every company's head; for the command line and the feed.
    pub(crate) async fn ledger_heads(&self, scope: &Scope) -> Result<Vec<Head>> {
        let sql = Sql::new(self.dialect, HEADS);
        let sql = match scope {
            Scope::System => sql,
            _ => sql.push(" WHERE company_id = ").bind(scope.company()?),
        };
        sql.push(" ORDER BY company_id").all(self.read()).await?.iter().map(read_head).collect()
    }

    /// The versions of the rules that hold for the scope's company now.
    pub(crate) async fn rules_version(&self, scope: &Scope) -> Result<RulesVersion> {
        let company = scope.company()?;
        let global = head(self.read(), self.dialect, GLOBAL, false).await?.rules_version;
        let own = if company == GLOBAL {
            0
        } else {
            head(self.read(), self.dialect, company, false).await?.rules_version
        };
        Ok(RulesVersion { own, global })
    }
}
