//! Memberships: which role a user has in a company, and what of it the user covers.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::inventory::company;
use crate::inventory::record::{Record, taken};
use crate::inventory::{project, team, user};
use crate::store::Tx;
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// The most projects, and the most teams, that a portfolio names.
pub const PORTFOLIO: usize = 500;

#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    pub id: Uuid,
    pub company: Uuid,
    pub user: Uuid,
    pub role: Role,
    pub portfolio: Portfolio,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// What is to change: `None` leaves a value.
#[derive(Clone, Debug, Default)]
pub struct MembershipChange {
    pub role: Option<Role>,
    pub portfolio: Option<Portfolio>,
}

impl Membership {
    pub(crate) fn new(
        id: Uuid,
        company: Uuid,
        user: Uuid,
        role: Role,
        portfolio: Portfolio,
        now: Timestamp,
    ) -> Self {
        Self { id, company, user, role, portfolio, created_at: now, updated_at: now, version: 1 }
    }
}

impl Record for Membership {
    const NOUN: &'static str = "membership";

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn facts(&self) -> Json {
        json!({ "user": self.user, "role": self.role, "portfolio": self.portfolio })
    }
}

impl Domain {
    /// A membership of the actor's company; any for a platform admin who acts for all, and makes them.
    pub async fn membership(&self, actor: &Actor, id: Uuid) -> Result<Membership> {
        let scope = match actor.allow(Permission::Read)? {
            Scope::Global => Scope::System,
            scope => scope,
        };
        self.db().membership(&scope, id).await?.ok_or_else(|| Error::not_found(Membership::NOUN))
    }

    /// The membership that a user has in the actor's company.
    pub async fn membership_of(&self, actor: &Actor, user: Uuid) -> Result<Membership> {
        let found = self.memberships_of(actor, &[user]).await?.remove(&user);
        found.ok_or_else(|| Error::not_found(Membership::NOUN))
    }

    /// The memberships that these users have in the actor's company, by user.
    pub async fn memberships_of(&self, actor: &Actor, users: &[Uuid]) -> Result<HashMap<Uuid, Membership>> {
        self.db().memberships_of(&actor.allow(Permission::Read)?, users).await
    }

    /// Makes an existing user a member of a company. For platform admins; a company's admin invites
    /// by address, with [`Domain::user_create`].
    pub async fn membership_create(
        &self,
        actor: &Actor,
        company: Uuid,
        user: Uuid,
        role: Role,
        portfolio: Portfolio,
    ) -> Result<Membership> {
        let scope = self.administer(actor, Permission::ManagePlatform, company).await?;
        let mut tx = self.begin(actor, &scope).await?;
        user::store::lock(&tx, &Scope::Global, user).await.map_err(|error| error.at("user"))?;
        let membership = self.join(&mut tx, &scope, user, role, portfolio).await?;
        tx.commit().await?;
        Ok(membership)
    }

    /// Changes the role or the portfolio of a member. A company keeps an admin.
    pub async fn membership_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        change: MembershipChange,
    ) -> Result<Membership> {
        let scope = actor.allow(Permission::ManageMembers)?.of_tenant()?;
        let mut tx = self.begin(actor, &scope).await?;
        company::store::lock(&tx, &scope).await?;
        let before = store::lock(&tx, &scope, id).await?;
        tx.expect_version(&before, expected_version).await?;
        let mut after = before.clone();
        after.role = change.role.unwrap_or(before.role);
        after.portfolio = change.portfolio.unwrap_or(after.portfolio);
        check_grant(&tx, &scope, after.role, &after.portfolio).await?;
        if before.role == Role::Admin && (after.role != Role::Admin || after.portfolio != Portfolio::Whole) {
            check_admin_left(&tx, &scope, before.user).await?;
        }
        if tx.audit_changed("membership.updated", &before, &after).is_none() {
            return Ok(before);
        }
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Takes a member out of the company and its teams; what the member came in with for it ends, and
    /// what was the member's work is nobody's. Returns the membership that was.
    pub async fn membership_remove(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
    ) -> Result<Membership> {
        self.membership_end(actor, id, expected_version, None).await
    }

    /// The same, where the work goes to `heir`, another member.
    pub async fn membership_end(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        heir: Option<Uuid>,
    ) -> Result<Membership> {
        let scope = actor.allow(Permission::ManageMembers)?.of_tenant()?;
        let mut tx = self.begin(actor, &scope).await?;
        company::store::lock(&tx, &scope).await?;
        let membership = store::lock(&tx, &scope, id).await?;
        tx.expect_version(&membership, expected_version).await?;
        if membership.role == Role::Admin {
            check_admin_left(&tx, &scope, membership.user).await?;
        }
        let user = user::store::lock(&tx, &scope, membership.user).await?;
        self.leave(&mut tx, actor, &membership, &user, heir).await?;
        tx.commit().await?;
        self.wake_jobs();
        Ok(membership)
    }

    /// Adds a membership to a transaction.
    pub(crate) async fn join(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        user: Uuid,
        role: Role,
        portfolio: Portfolio,
    ) -> Result<Membership> {
        check_grant(tx, scope, role, &portfolio).await?;
        let membership = Membership::new(self.clock().id(), tx.company, user, role, portfolio, tx.now());
        store::insert(tx, &membership)
            .await
            .map_err(|error| taken(error, "email", "a member with this address"))?;
        tx.audit_created("membership.created", &membership);
        Ok(membership)
    }
}

/// A role and a portfolio can be given to a member or a service account: the role is one of a
/// company, and the portfolio names records of this company.
pub(crate) async fn check_grant(tx: &Tx, scope: &Scope, role: Role, portfolio: &Portfolio) -> Result<()> {
    if role == Role::PlatformAdmin {
        return Err(Error::invalid("role", "A platform admin is one for the server, not in a company."));
    }
    let Portfolio::Only { projects, teams } = portfolio else { return Ok(()) };
    if projects.is_empty() && teams.is_empty() {
        let empty = Error::new(Code::Required, "A portfolio names at least one project or team.");
        return Err(empty.at("portfolio"));
    }
    for (field, ids) in [("projects", projects), ("teams", teams)] {
        if ids.len() > PORTFOLIO {
            let message = format!("A portfolio names at most {PORTFOLIO} of these.");
            return Err(Error::invalid(field, message).at("portfolio"));
        }
    }
    let (project_ids, team_ids) = (Vec::from_iter(projects.clone()), Vec::from_iter(teams.clone()));
    let found = project::store::by_id(tx.conn(), tx.dialect, scope, &project_ids).await?;
    if found.len() < projects.len() {
        return Err(Error::not_found("project").at("projects").at("portfolio"));
    }
    let found = team::store::by_id(tx.conn(), tx.dialect, scope, &team_ids).await?;
    if found.len() < teams.len() {
        return Err(Error::not_found("team").at("teams").at("portfolio"));
    }
    Ok(())
}

/// Someone other than `user` can still administer the company. The company is locked.
pub(crate) async fn check_admin_left(tx: &Tx, scope: &Scope, user: Uuid) -> Result<()> {
    if store::other_admins(tx, scope, user).await? > 0 {
        return Ok(());
    }
    Err(Error::new(Code::IllegalState, "This is the company's last admin: make another one first."))
}
