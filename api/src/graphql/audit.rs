//! The audit.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object};
use domain::access::ActorKind;
use domain::error::Error;
use domain::ledger::audit::{self, Audited};
use domain::ledger::{Document, Speaker};
use domain::page::PageArgs;
use record::{record, root};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::id::{Key, Noun, key};
use super::loaders::deal;
use super::page::{Counter, args, connection};
use super::scalars::{DateTime, Json};
use super::{actor, domain};

/// The kind of the one who acted.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::access::ActorKind")]
pub enum AuditActorKind {
    /// A person.
    User,
    /// A program, by its service account.
    ServiceAccount,
    /// The server itself.
    System,
}

pub struct AuditActor<'e>(&'e Speaker);

/// Who acted, as the entry keeps it: it stays when the account is renamed or gone.
#[record]
#[Object]
impl AuditActor<'_> {
    /// A person, a program or the server itself.
    fn kind(&self) -> AuditActorKind {
        self.0.kind.into()
    }

    /// The global id of the user or service account; null for the server itself.
    fn account(&self) -> Option<ID> {
        match self.0.kind {
            ActorKind::User => Some(Noun::User.id(self.0.id)),
            ActorKind::ServiceAccount => Some(Noun::ServiceAccount.id(self.0.id)),
            ActorKind::System => None,
        }
    }

    /// The name at that time.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The global id of the token that was used.
    fn token(&self) -> Option<ID> {
        self.0.token.map(|token| Noun::Token.id(token))
    }

    /// The address that the request came from.
    fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// The request's trace id.
    fn trace(&self) -> Option<&str> {
        self.0.trace.as_deref()
    }
}

pub struct AuditEntryNode(Audited);

impl From<Audited> for AuditEntryNode {
    fn from(entry: Audited) -> Self {
        Self(entry)
    }
}

/// What was done to one record, chained by hash to the entry before it.
#[record]
#[Object(name = "AuditEntry")]
impl AuditEntryNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::AuditEntry.numbered(self.0.seq)
    }

    /// Its number in the company, without gaps and in the order of commits.
    fn seq(&self) -> i64 {
        self.0.seq
    }

    /// When.
    fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// What was done: noun and past participle, such as `asset.updated`.
    fn action(&self) -> &str {
        &self.0.action
    }

    /// The noun of the record.
    fn record_kind(&self) -> &str {
        &self.0.record_kind
    }

    /// The record's global id; null where its noun has none.
    fn record(&self) -> Option<ID> {
        Noun::of_record(&self.0.record_kind).map(|noun| noun.id(self.0.record))
    }

    /// Who did it.
    fn actor(&self) -> AuditActor<'_> {
        AuditActor(&self.0.actor)
    }

    /// What changed, as it was; null for a new record.
    fn before(&self) -> async_graphql::Result<Option<Json>> {
        json(self.0.before.as_ref())
    }

    /// What changed, as it became; null for a record that is gone.
    fn after(&self) -> async_graphql::Result<Option<Json>> {
        json(self.0.after.as_ref())
    }

    /// Because of what: a rule and its version, an import, a reason.
    fn cause(&self) -> async_graphql::Result<Option<Json>> {
        json(self.0.cause.as_ref())
    }
}

fn json(document: Option<&Document>) -> async_graphql::Result<Option<Json>> {
    Ok(document.map(Document::json).transpose()?.map(Json))
}

/// A page of what was done to each of these records.
pub async fn audit_of(
    ctx: &Context<'_>,
    records: Vec<Uuid>,
    page: &PageArgs,
) -> async_graphql::Result<Vec<AuditEntryConnection>> {
    let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
    let pages = domain.audit_entries_of(&actor, &records, page).await?;
    let pages = deal(&records, pages).into_iter().map(Option::unwrap_or_default);
    // All are counted at once, when the first is.
    let counts = Arc::new((OnceCell::new(), domain, actor, records.clone()));
    let connection = |(record, page): (Uuid, _)| {
        let counts = Arc::clone(&counts);
        let total = Counter::new(move || {
            let counts = Arc::clone(&counts);
            async move {
                let (cell, domain, actor, records) = &*counts;
                let counts = cell.get_or_try_init(|| domain.audit_counts_of(actor, records)).await?;
                Ok::<i64, Error>(counts.get(&record).copied().unwrap_or_default())
            }
        });
        AuditEntryConnection::new(page, total)
    };
    Ok(records.into_iter().zip(pages).map(connection).collect())
}

connection!(
    AuditEntryConnection,
    AuditEntryEdge,
    AuditEntryNode,
    "A page of the audit.",
    "An entry in a page."
);

/// Which entries: all that is said must hold.
#[derive(Default, InputObject)]
pub struct AuditFilter {
    /// The global id of the record that was changed.
    record: Option<ID>,
    /// What was done, such as `asset.updated`.
    action: Option<String>,
    /// The global id of the user or service account that did it.
    actor: Option<ID>,
    /// Not before this.
    from: Option<DateTime>,
    /// Before this.
    to: Option<DateTime>,
}

impl AuditFilter {
    fn read(self) -> Result<audit::AuditFilter, Error> {
        let record = |id: &ID, field| match key(id) {
            Some((_, Key::Record(record))) => Ok(record),
            _ => Err(Error::not_found("record").at(field)),
        };
        Ok(audit::AuditFilter {
            record: self.record.as_ref().map(|id| record(id, "record")).transpose()?,
            action: self.action,
            actor: self.actor.as_ref().map(|id| record(id, "actor")).transpose()?,
            from: self.from.map(|at| at.0),
            to: self.to.map(|at| at.0),
        })
    }
}

#[derive(Default)]
pub struct AuditQuery;

#[root]
#[Object]
impl AuditQuery {
    /// The audit of the caller's company, newest first. For admins and auditors.
    async fn audit_entries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<AuditFilter>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<AuditEntryConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read()?;
        let page = domain.audit_entries(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.audit_count(&actor, &filter).await }
        });
        Ok(AuditEntryConnection::new(page, total))
    }
}
