//! One-time links: the first admin's, invitations, and new passwords.
//!
//! A link is a secret that is good once and for a while. It is shown to who makes it, to be handed
//! over; what is kept is its digest.

use uuid::Uuid;

use super::password::{self, Password};
use super::secret::{Secret, digest};
use super::session::{self, Granted, scope_of};
use super::{Visitor, unknown};
use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::inventory::user::{self, User};
use crate::ledger::AuditEntry;
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::{Span, Timestamp};

pub(crate) mod store;

terms! {
    /// What a link is for.
    Purpose { Setup = "SETUP", Invitation = "INVITATION", Password = "PASSWORD" }
}

/// How long a link to the first admin or to a new password is good.
pub const LIFE: Span = Span::DAY;

#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub id: Uuid,
    pub company: Uuid,
    pub purpose: Purpose,
    /// Whose password it sets.
    pub user: Option<Uuid>,
    /// Whom it invites.
    pub email: Option<String>,
    pub grant: Option<(Role, Portfolio)>,
    pub created_by: Uuid,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl Link {
    pub(super) fn new(
        id: Uuid,
        company: Uuid,
        purpose: Purpose,
        by: Uuid,
        now: Timestamp,
        life: Span,
    ) -> Self {
        Self {
            id,
            company,
            purpose,
            user: None,
            email: None,
            grant: None,
            created_by: by,
            created_at: now,
            expires_at: now.plus(life),
            used_at: None,
            revoked_at: None,
        }
    }

    pub(crate) fn is_good(&self, now: Timestamp) -> bool {
        self.used_at.is_none() && self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What a link says to who holds it.
#[derive(Clone, Debug)]
pub struct LinkFacts {
    pub purpose: Purpose,
    /// The company that it is of; none for the first admin's.
    pub company: Option<String>,
    /// The address that it is for.
    pub email: Option<String>,
    pub expires_at: Timestamp,
    /// Whether there is an account with this address, whose password or session is asked for.
    pub proof: bool,
}

/// What is sent with a link.
#[derive(Clone, Debug, Default)]
pub struct Acceptance {
    /// The company to make; of the first admin.
    pub company: Option<String>,
    /// The address; of the first admin.
    pub email: Option<String>,
    /// The name of a new account.
    pub name: Option<String>,
    /// The password to set; the present one where [`LinkFacts::proof`].
    pub password: Option<Password>,
    /// In place of a password, the session of the account that is there.
    pub actor: Option<Actor>,
}

/// The answer to whatever is wrong with a link.
fn no_link() -> Error {
    Error::new(Code::NotFound, "This link is not good, or not any more.")
}

impl Domain {
    /// The link of this secret, if it is good.
    pub(super) async fn link_of(&self, secret: &str) -> Result<Link> {
        let found = self.db().link_of(&Scope::System, digest(secret)).await?;
        found.filter(|link| link.is_good(self.clock().now())).ok_or_else(no_link)
    }

    /// What a link is for. Asking uses nothing up.
    pub async fn link(&self, secret: &str) -> Result<LinkFacts> {
        let link = self.link_of(secret).await?;
        let (email, proof) = match link.purpose {
            Purpose::Setup => (None, false),
            Purpose::Invitation => {
                let proof = self.invited_account(&link).await?.is_some_and(|(_, proof)| proof);
                (link.email.clone(), proof)
            }
            Purpose::Password => {
                let account = self.account(link.user.unwrap_or_default()).await?;
                (account.map(|(user, _)| user.email), false)
            }
        };
        let company = match link.purpose {
            Purpose::Setup => None,
            _ => self.db().company_name(&Scope::System, link.company).await?,
        };
        Ok(LinkFacts { purpose: link.purpose, company, email, expires_at: link.expires_at, proof })
    }

    /// Does what a link is for, once, and begins a session.
    pub async fn link_accept(&self, secret: &str, with: Acceptance, visitor: &Visitor) -> Result<Granted> {
        let link = self.link_of(secret).await?;
        match link.purpose {
            Purpose::Setup => self.setup_accept(link, with, visitor).await,
            Purpose::Invitation => self.invitation_accept(link, with, visitor).await,
            Purpose::Password => self.password_accept(link, with, visitor).await,
        }
    }

    /// Makes a link by which a member whose account is this company's alone sets a new password. An
    /// earlier one of the same account is good no more.
    pub async fn password_link(&self, actor: &Actor, id: Uuid) -> Result<(User, Secret)> {
        let scope = actor.allow(Permission::ManageMembers)?;
        let mut tx = self.begin(actor, &scope).await?;
        let user = user::store::lock(&tx, &scope, id).await?;
        user::check_alone(&tx, &scope, &user).await?;
        if user.disabled_at.is_some() {
            return Err(Error::new(Code::IllegalState, "This account is disabled."));
        }
        store::revoke_passwords(&tx, id).await?;
        let mut link = Link::new(self.clock().id(), tx.company, Purpose::Password, actor.id, tx.now(), LIFE);
        link.user = Some(id);
        let secret = Secret::new(super::secret::LINK)?;
        store::insert(&tx, &link, secret.digest()).await?;
        let told = serde_json::json!({ "expires_at": link.expires_at });
        tx.audit(AuditEntry::new("user.password_link_made", id).after(told));
        tx.commit().await?;
        Ok((user, secret))
    }

    async fn password_accept(&self, link: Link, with: Acceptance, visitor: &Visitor) -> Result<Granted> {
        let id = link.user.ok_or_else(|| Error::internal("a link to a password is of nobody"))?;
        let (user, choices) = self.account(id).await?.ok_or_else(no_link)?;
        let password = required(with.password, "password")?;
        password::check(&password, &user, choices.iter().map(|choice| choice.name.as_str()))?;
        let hash = self.doors().passwords.hash(password).await?;
        let actor = self.by_link(&user, link.company, visitor);
        let mut tx = self.begin(&actor, &scope_of(link.company)).await?;
        if user::store::lock(&tx, &Scope::System, id).await?.disabled_at.is_some() {
            return Err(no_link());
        }
        use_up(&tx, &link).await?;
        password::set(&mut tx, &user, &hash, None).await?;
        tx.commit().await?;
        self.session_begin(id, "link", session::LIFE, None, visitor).await
    }

    /// The user of a link, acting for its company, before there is a session.
    pub(super) fn by_link(&self, user: &User, company: Uuid, visitor: &Visitor) -> Actor {
        Actor {
            kind: crate::access::ActorKind::User,
            id: user.id,
            person: user.id,
            name: user.name.clone(),
            address: visitor.address.clone(),
            trace: visitor.trace.clone(),
            ..Actor::system(company, "link")
        }
    }
}

/// Uses a link up, or says that another did.
pub(super) async fn use_up(tx: &crate::store::Tx, link: &Link) -> Result<()> {
    if store::use_up(tx, link.id).await? { Ok(()) } else { Err(no_link()) }
}

pub(super) fn required<T>(value: Option<T>, field: &str) -> Result<T> {
    value.ok_or_else(|| Error::new(Code::Required, "This is needed.").at(field))
}

/// The session's user, where somebody proves by it who they are.
pub(super) fn proven(actor: Option<&Actor>) -> Result<Uuid> {
    actor.filter(|actor| actor.session.is_some()).map(|actor| actor.id).ok_or_else(unknown)
}
