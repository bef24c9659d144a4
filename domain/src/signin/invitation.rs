//! Invitations: an admin hands a link over, and whoever holds it becomes a member.
//!
//! An account that is there already is not taken over by a link: where it has a password, an identity
//! or another company, its owner has to show the password or a session of it.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::Visitor;
use super::link::{self, Acceptance, Link, Purpose};
use super::password;
use super::secret::{LINK, Secret};
use super::session::{self, Granted, scope_of};
use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::inventory::input;
use crate::inventory::membership;
use crate::inventory::record::{Record, taken};
use crate::inventory::user::{self, User};
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs, Window};
use crate::vocabulary::time::Span;

/// How long an invitation is good when its maker does not say, and at most.
pub const LIFE: Span = Span(7 * Span::DAY.0);
pub const LONGEST_LIFE: Span = Span(30 * Span::DAY.0);

#[derive(Clone, Debug)]
pub struct NewInvitation {
    pub email: String,
    pub role: Role,
    pub portfolio: Portfolio,
    pub life: Option<Span>,
}

impl Record for Link {
    const NOUN: &'static str = "invitation";

    fn id(&self) -> Uuid {
        self.id
    }

    /// It is made, used or taken back, and never edited.
    fn version(&self) -> i64 {
        1
    }

    fn facts(&self) -> Json {
        let (role, portfolio) = self.grant.clone().unzip();
        json!({ "email": self.email, "role": role, "portfolio": portfolio, "expires_at": self.expires_at })
    }
}

impl Domain {
    pub async fn invitation(&self, actor: &Actor, id: Uuid) -> Result<Link> {
        let scope = actor.allow(Permission::ManageMembers)?;
        self.db().invitation(&scope, id).await?.ok_or_else(|| Error::not_found(Link::NOUN))
    }

    /// The invitations of the actor's company, newest first.
    pub async fn invitations(&self, actor: &Actor, page: &PageArgs) -> Result<Page<Link>> {
        let scope = actor.allow(Permission::ManageMembers)?;
        self.db().invitations(&scope, &Window::new(page, link::store::NEWEST)?).await
    }

    pub async fn invitation_count(&self, actor: &Actor) -> Result<i64> {
        self.db().invitation_count(&actor.allow(Permission::ManageMembers)?).await
    }

    /// Invites somebody into the actor's company. An open invitation of the same address ends. The
    /// secret is returned here and nowhere else.
    pub async fn invitation_create(&self, actor: &Actor, new: NewInvitation) -> Result<(Link, Secret)> {
        let scope = actor.allow(Permission::ManageMembers)?.of_tenant()?;
        let email = input::email("email", &new.email)?;
        let life = new.life.unwrap_or(LIFE);
        if life.0 <= 0 || life > LONGEST_LIFE {
            return Err(Error::invalid("expiresIn", "An invitation is good for at most 30 days."));
        }
        let mut tx = self.begin(actor, &scope).await?;
        membership::check_grant(&tx, &scope, new.role, &new.portfolio).await?;
        if user::store::by_email(&tx, &scope, &email).await?.is_some() {
            return Err(Error::new(Code::Taken, "There is already a member with this address.").at("email"));
        }
        link::store::revoke_invitations(&tx, &email).await?;
        let id = self.clock().id();
        let mut link = Link::new(id, tx.company, Purpose::Invitation, actor.id, tx.now(), life);
        link.email = Some(email);
        link.grant = Some((new.role, new.portfolio));
        let secret = Secret::new(LINK)?;
        link::store::insert(&tx, &link, secret.digest()).await?;
        tx.audit_created("invitation.created", &link);
        tx.commit().await?;
        Ok((link, secret))
    }

    /// Takes an invitation back. Taking it back again changes nothing.
    pub async fn invitation_revoke(&self, actor: &Actor, id: Uuid) -> Result<Link> {
        let scope = actor.allow(Permission::ManageMembers)?;
        let mut tx = self.begin(actor, &scope).await?;
        let mut link = link::store::lock_invitation(&tx, &scope, id).await?;
        if link.revoked_at.is_some() {
            return Ok(link);
        }
        if link.used_at.is_some() {
            return Err(Error::new(
                Code::IllegalState,
                "This invitation was accepted: remove the membership.",
            ));
        }
        link::store::revoke(&tx, id).await?;
        link.revoked_at = Some(tx.now());
        tx.audit(AuditEntry::new("invitation.revoked", id).before(link.facts()));
        tx.commit().await?;
        Ok(link)
    }

    /// The account that an invitation finds, and whether its owner has to prove to be that.
    pub(super) async fn invited_account(&self, link: &Link) -> Result<Option<(Uuid, bool)>> {
        let email = link.email.as_deref().unwrap_or_default();
        self.db().invited_account(&Scope::System, email, link.company).await
    }

    pub(super) async fn invitation_accept(
        &self,
        link: Link,
        with: Acceptance,
        visitor: &Visitor,
    ) -> Result<Granted> {
        let email = link.email.clone().unwrap_or_default();
        let (role, portfolio) =
            link.grant.clone().ok_or_else(|| Error::internal("an invitation gives nothing"))?;
        let found = self.invited_account(&link).await?;
        let user = match found {
            Some((id, proof)) => {
                if proof {
                    self.prove_invited(id, &email, &with, visitor).await?;
                }
                self.account(id).await?.ok_or_else(super::unknown)?.0
            }
            None => {
                let name = input::name("name", &link::required(with.name.clone(), "name")?, input::NAME)?;
                let now = self.clock().now();
                User {
                    id: self.clock().id(),
                    email,
                    name,
                    platform_admin: false,
                    disabled_at: None,
                    created_at: now,
                    updated_at: now,
                    version: 1,
                }
            }
        };
        let hash = match found {
            Some((_, true)) => None,
            _ => {
                let company = self.db().company_name(&Scope::System, link.company).await?;
                let password = link::required(with.password, "password")?;
                password::check(&password, &user, company.as_deref().into_iter())?;
                Some(self.doors().passwords.hash(password).await?)
            }
        };
        let scope = scope_of(link.company);
        let mut tx = self.begin(&self.by_link(&user, link.company, visitor), &scope).await?;
        link::use_up(&tx, &link).await?;
        match found {
            Some((id, _)) if user::store::lock(&tx, &Scope::System, id).await?.disabled_at.is_some() => {
                return Err(Error::new(Code::IllegalState, "This account is disabled."));
            }
            Some(_) => {}
            None => {
                user::store::insert(&tx, &user).await.map_err(|error| taken(error, "email", user::TAKEN))?;
                tx.audit_created("user.created", &user);
            }
        }
        let member = membership::store::of_user(&tx, &scope, user.id).await?;
        if member.is_none() {
            self.join(&mut tx, &scope, user.id, role, portfolio).await?;
        }
        if let Some(hash) = hash {
            password::set(&mut tx, &user, &hash, None).await?;
        }
        tx.audit(AuditEntry::new("invitation.accepted", link.id).after(json!({ "user": user.id })));
        tx.commit().await?;
        self.session_begin(user.id, "link", session::LIFE, Some(link.company), visitor).await
    }

    /// The one who accepts is the owner of the account that is there: by a session of it, or by its
    /// password.
    async fn prove_invited(&self, id: Uuid, email: &str, with: &Acceptance, visitor: &Visitor) -> Result<()> {
        let shown = match (&with.actor, &with.password) {
            (Some(actor), _) => link::proven(Some(actor))?,
            (None, Some(password)) => self.prove(email, password.clone(), None, visitor).await?,
            (None, None) => return Err(Error::new(Code::Required, "This is needed.").at("password")),
        };
        if shown == id {
            return Ok(());
        }
        Err(Error::new(Code::Forbidden, "This invitation is for another account."))
    }
}
