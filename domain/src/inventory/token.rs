//! API tokens: secrets of a user or a service account, each for one company.
//!
//! A secret is 256 random bits, written `cs_` and base64url. It is shown once; what is kept is its
//! SHA-256, by which it is looked up.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, ActorKind, GLOBAL, Permission, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::inventory::record::Record;
use crate::inventory::{input, membership, service_account, user};
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs, Window};
pub use crate::signin::secret::Secret;
use crate::signin::secret::{API_TOKEN, digest};
use crate::store::Tx;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::{Span, Timestamp};

pub mod standing;
pub(crate) mod store;

/// How long a token lives when its maker does not say, and at most.
pub const LIFE: Span = Span(90 * Span::DAY.0);
pub const LONGEST_LIFE: Span = Span(366 * Span::DAY.0);

/// Whose a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    User(Uuid),
    ServiceAccount(Uuid),
}

impl Holder {
    fn of(actor: &Actor) -> Self {
        match actor.kind {
            ActorKind::ServiceAccount => Self::ServiceAccount(actor.id),
            ActorKind::User | ActorKind::System => Self::User(actor.id),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub id: Uuid,
    pub company: Uuid,
    pub holder: Holder,
    pub name: String,
    /// What it leaves of its holder's rights; `None` leaves all.
    pub scopes: Option<Vec<Permission>>,
    /// The person who made it: who speaks through a service account.
    pub issued_by: Uuid,
    pub expires_at: Timestamp,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct NewToken {
    /// The actor itself if not said.
    pub holder: Option<Holder>,
    pub name: String,
    /// The rights that it needs; all of its holder's if not said.
    pub scopes: Option<Vec<Permission>>,
    /// How long it lives: [`LIFE`] if not said, at most [`LONGEST_LIFE`].
    pub life: Option<Span>,
}

impl Record for Token {
    const NOUN: &'static str = "token";

    fn id(&self) -> Uuid {
        self.id
    }

    /// A token is made and ended, never edited.
    fn version(&self) -> i64 {
        1
    }

    fn facts(&self) -> Json {
        let (kind, holder) = match self.holder {
            Holder::User(id) => ("user", id),
            Holder::ServiceAccount(id) => ("service_account", id),
        };
        json!({
            "name": self.name,
            "holder": { "kind": kind, "id": holder },
            "scopes": self.scopes,
            "expires_at": self.expires_at,
            "revoked": self.revoked_at.is_some(),
        })
    }
}

impl Domain {
    /// A token of one's own; any of the company for who manages its members.
    pub async fn token(&self, actor: &Actor, id: Uuid) -> Result<Token> {
        let (scope, holder) = visible(actor)?;
        self.db().token(&scope, holder, id).await?.ok_or_else(|| Error::not_found(Token::NOUN))
    }

    /// The tokens that [`Domain::token`] finds, newest first; those of `holder` if said.
    pub async fn tokens(
        &self,
        actor: &Actor,
        holder: Option<Holder>,
        page: &PageArgs,
    ) -> Result<Page<Token>> {
        let (scope, visible) = visible(actor)?;
        self.db().tokens(&scope, [visible, holder], &Window::new(page, store::NEWEST)?).await
    }

    pub async fn token_count(&self, actor: &Actor, holder: Option<Holder>) -> Result<i64> {
        let (scope, visible) = visible(actor)?;
        self.db().token_count(&scope, [visible, holder]).await
    }

    /// Issues a token for the actor's company: to the actor itself, or, by who manages its members,
    /// to a service account. The secret is returned here and nowhere else.
    pub async fn token_create(&self, actor: &Actor, new: NewToken) -> Result<(Token, Secret)> {
        if actor.token_scopes.is_some() {
            return Err(Error::new(Code::Forbidden, "A token of limited scopes makes no tokens."));
        }
        let holder = new.holder.unwrap_or_else(|| Holder::of(actor));
        let permission = match holder {
            Holder::User(id) if actor.kind == ActorKind::User && id == actor.id => Permission::Read,
            // Nobody speaks as somebody else; the server itself is asked to by its operator.
            Holder::User(_) if actor.kind != ActorKind::System => {
                return Err(Error::forbidden("make tokens of other people"));
            }
            _ => Permission::ManageMembers,
        };
        let scope = actor.allow(permission)?;
        let name = input::name("name", &new.name, input::NAME)?;
        let life = new.life.unwrap_or(LIFE);
        if life.0 <= 0 || life > LONGEST_LIFE {
            return Err(Error::invalid("expiresIn", "A token lives for at most 366 days."));
        }
        let secret = Secret::new(API_TOKEN)?;
        let mut tx = self.begin(actor, &scope).await?;
        let role = role_of(&tx, &scope, holder).await?;
        let token = Token {
            id: self.clock().id(),
            company: tx.company,
            holder,
            name,
            scopes: new.scopes.map(|scopes| checked_scopes(role, scopes)).transpose()?,
            issued_by: actor.person,
            expires_at: tx.now().plus(life),
            last_used_at: None,
            revoked_at: None,
            created_at: tx.now(),
        };
        store::insert(&tx, &token, secret.digest()).await?;
        tx.audit_created("token.created", &token);
        tx.commit().await?;
        Ok((token, secret))
    }

    /// Ends a token at once. Ending it again changes nothing.
    pub async fn token_revoke(&self, actor: &Actor, id: Uuid) -> Result<Token> {
        let (scope, holder) = visible(actor)?;
        let mut tx = self.begin(actor, &scope).await?;
        let mut token = store::lock(&tx, &scope, holder, id).await?;
        if token.revoked_at.is_some() {
            return Ok(token);
        }
        token.revoked_at = Some(tx.now());
        store::revoke(&tx, &token).await?;
        tx.audit(
            AuditEntry::new("token.revoked", id)
                .before(json!({ "revoked": false }))
                .after(json!({ "revoked": true })),
        );
        tx.commit().await?;
        Ok(token)
    }

    /// Who comes with this secret: one digest and one look-up.
    pub(crate) async fn token_actor(&self, bearer: &str) -> Result<Option<Actor>> {
        let now = self.clock().now();
        let found = self.db().token_bearer(&Scope::System, digest(bearer)).await?;
        let Some((actor, last_used_at)) = found.and_then(|found| found.actor(now)) else { return Ok(None) };
        if last_used_at.is_none_or(|at| at <= now.minus(Span::MINUTE))
            && let Some(token) = actor.token
            && let Err(error) = self.db().token_used(&Scope::System, token, now).await
        {
            tracing::warn!(%token, %error, "the last use of a token was not noted");
        }
        Ok(Some(actor))
    }
}

/// The tokens that an actor may see and end: its own, or all of its company.
fn visible(actor: &Actor) -> Result<(Scope, Option<Holder>)> {
    if let Ok(scope) = actor.allow(Permission::ManageMembers) {
        return Ok((scope, None));
    }
    Ok((actor.allow(Permission::Read)?, Some(Holder::of(actor))))
}

/// The role that the holder has in the scope's company, if its tokens would work there.
async fn role_of(tx: &Tx, scope: &Scope, holder: Holder) -> Result<Role> {
    match holder {
        Holder::User(id) if tx.company == GLOBAL => {
            let user = user::store::lock(tx, scope, id).await?;
            user.platform_admin
                .then_some(Role::PlatformAdmin)
                .ok_or_else(|| Error::forbidden("act for the global company"))
        }
        Holder::User(id) => {
            let membership = membership::store::of_user(tx, scope, id).await?;
            membership.map(|membership| membership.role).ok_or_else(|| Error::not_found("member"))
        }
        Holder::ServiceAccount(id) => {
            let account = service_account::store::lock(tx, scope, id).await?;
            if account.archived_at.is_some() {
                return Err(Error::new(Code::IllegalState, "This service account is archived."));
            }
            Ok(account.role)
        }
    }
}

/// The scopes in the order of their list, if the role has them all.
fn checked_scopes(role: Role, mut scopes: Vec<Permission>) -> Result<Vec<Permission>> {
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(Error::new(Code::Required, "A token has at least one scope.").at("scopes"));
    }
    match scopes.iter().find(|scope| !role.permissions().contains(scope)) {
        Some(scope) => {
            Err(Error::invalid("scopes", format!("Its holder does not have the right {}.", scope.word())))
        }
        None => Ok(scopes),
    }
}
