//! The audit.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::access::ActorKind;
use domain::error::Error;
use domain::ledger::audit::{self, Audited};

use super::id::{Key, Noun, key};
use super::page::{Counter, args, connection};
use super::scalars::{DateTime, Json};
use super::{actor, domain};

/// The kind of the one who acted.
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

/// Who acted, as the entry keeps it: it stays when the account is renamed or gone.
#[derive(SimpleObject)]
pub struct AuditActor {
    /// A person, a program or the server itself.
    kind: AuditActorKind,
    /// The global id of the user or service account; null for the server itself.
    account: Option<ID>,
    /// The name at that time.
    name: String,
    /// The global id of the token that was used.
    token: Option<ID>,
    /// The address that the request came from.
    address: Option<String>,
    /// The request's trace id.
    trace: Option<String>,
}

pub struct AuditEntryNode(Audited);

impl From<Audited> for AuditEntryNode {
    fn from(entry: Audited) -> Self {
        Self(entry)
    }
}

/// What was done to one record, chained by hash to the entry before it.
#[Object(name = "AuditEntry")]
impl AuditEntryNode {
    /// The global id.
    pub async fn id(&self) -> ID {
        Noun::AuditEntry.numbered(self.0.seq)
    }

    /// Its number in the company, without gaps and in the order of commits.
    async fn seq(&self) -> i64 {
        self.0.seq
    }

    /// When.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// What was done: noun and past participle, such as `asset.updated`.
    async fn action(&self) -> &str {
        &self.0.action
    }

    /// The noun of the record.
    async fn record_kind(&self) -> &str {
        &self.0.record_kind
    }

    /// The record's global id; null where its noun has none.
    async fn record(&self) -> Option<ID> {
        Noun::of_record(&self.0.record_kind).map(|noun| noun.id(self.0.record))
    }

    /// Who did it.
    async fn actor(&self) -> AuditActor {
        let speaker = self.0.actor.clone();
        let noun = match speaker.kind {
            ActorKind::User => Some(Noun::User),
            ActorKind::ServiceAccount => Some(Noun::ServiceAccount),
            ActorKind::System => None,
        };
        AuditActor {
            kind: speaker.kind.into(),
            account: noun.map(|noun| noun.id(speaker.id)),
            name: speaker.name,
            token: speaker.token.map(|token| Noun::Token.id(token)),
            address: speaker.address,
            trace: speaker.trace,
        }
    }

    /// What changed, as it was; null for a new record.
    async fn before(&self) -> Option<Json> {
        self.0.before.clone().map(Json)
    }

    /// What changed, as it became; null for a record that is gone.
    async fn after(&self) -> Option<Json> {
        self.0.after.clone().map(Json)
    }

    /// Because of what: a rule and its version, an import, a reason.
    async fn cause(&self) -> Option<Json> {
        self.0.cause.clone().map(Json)
    }
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
