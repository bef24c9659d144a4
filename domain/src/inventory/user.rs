//! Users: people with an account on this server. In a company they are known by their membership.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::inventory::record::{Record, taken};
use crate::inventory::{company, input, membership};
use crate::page::{OrderBy, Page, PageArgs, Window};
use crate::store::Tx;
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: Uuid,
    /// In lower case; unique on this server.
    pub email: String,
    pub name: String,
    /// May act for the global company.
    pub platform_admin: bool,
    pub disabled_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

#[derive(Clone, Debug)]
pub struct NewUser {
    pub email: String,
    pub name: String,
    /// The role and portfolio in the actor's company; none where a platform admin makes an account
    /// for no company.
    pub grant: Option<(Role, Portfolio)>,
    pub platform_admin: bool,
}

/// What is to change: `None` leaves a value.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    pub name: Option<String>,
    pub email: Option<String>,
    pub disabled: Option<bool>,
    pub platform_admin: Option<bool>,
    /// Who takes over the work of an account that is disabled; nobody if not said.
    pub hand_over_to: Option<Uuid>,
}

/// Which users a list has: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// A part of the name or the address, ignoring ASCII case.
    pub query: Option<String>,
    pub role: Option<Role>,
    pub team: Option<Uuid>,
    pub disabled: Option<bool>,
}

terms! {
    /// What users are sorted by.
    UserOrder { Name = "NAME", Email = "EMAIL", CreatedAt = "CREATED_AT" }
}

impl Record for User {
    const NOUN: &'static str = "user";

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn facts(&self) -> Json {
        json!({
            "email": self.email,
            "name": self.name,
            "platform_admin": self.platform_admin,
            "disabled": self.disabled_at.is_some(),
        })
    }
}

impl Domain {
    /// A member of the actor's company; any user for a platform admin who acts for all.
    pub async fn user(&self, actor: &Actor, id: Uuid) -> Result<User> {
        let found = self.users_by_id(actor, &[id]).await?.remove(&id);
        found.ok_or_else(|| Error::not_found(User::NOUN))
    }

    pub async fn users(
        &self,
        actor: &Actor,
        filter: &UserFilter,
        order: OrderBy<UserOrder>,
        page: &PageArgs,
    ) -> Result<Page<User>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().users(&scope, filter, &Window::new(page, order.sort())?).await
    }

    pub async fn user_count(&self, actor: &Actor, filter: &UserFilter) -> Result<i64> {
        self.db().user_count(&actor.allow(Permission::Read)?, filter).await
    }

    /// The users of these ids that the actor may see.
    pub async fn users_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, User>> {
        let scope = actor.allow(Permission::Read)?;
        store::by_id(self.db().read(), self.db().dialect, &scope, ids).await
    }

    /// Makes a user a member of the actor's company. An account with this address that is there
    /// already is kept as it is, and becomes a member.
    pub async fn user_create(&self, actor: &Actor, new: NewUser) -> Result<User> {
        let scope = actor.allow(Permission::ManageMembers)?;
        if new.platform_admin {
            actor.allow(Permission::ManagePlatform)?;
        }
        match (&scope, &new.grant) {
            (Scope::Global, Some(_)) => {
                return Err(Error::invalid(
                    "role",
                    "Acting for all, make the account, then its memberships.",
                ));
            }
            (Scope::Company(..), None) => {
                return Err(Error::new(Code::Required, "A member has a role.").at("role"));
            }
            _ => {}
        }
        let email = input::email("email", &new.email)?;
        let name = input::name("name", &new.name, input::NAME)?;
        let mut tx = self.begin(actor, &scope).await?;
        let user = match store::by_email(&tx, &Scope::System, &email).await? {
            Some(user) if scope != Scope::Global => user,
            Some(_) => return Err(Error::new(Code::Taken, format!("There is already {TAKEN}.")).at("email")),
            None => {
                let user = User {
                    id: self.clock().id(),
                    email,
                    name,
                    platform_admin: new.platform_admin,
                    disabled_at: None,
                    created_at: tx.now(),
                    updated_at: tx.now(),
                    version: 1,
                };
                store::insert(&tx, &user).await.map_err(|error| taken(error, "email", TAKEN))?;
                tx.audit_created("user.created", &user);
                user
            }
        };
        if let Some((role, portfolio)) = new.grant {
            self.join(&mut tx, &scope, user.id, role, portfolio).await?;
        }
        tx.answer(user.id);
        tx.commit().await?;
        Ok(user)
    }

    /// Changes an account: its owner the name; an admin of its only company the name, the address
    /// and whether it is disabled; a platform admin who acts for all, everything.
    pub async fn user_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        change: UserChange,
    ) -> Result<User> {
        let own_name = id == actor.id
            && change.email.is_none()
            && change.disabled.is_none()
            && change.platform_admin.is_none();
        // Who may keep views of one's own may also say what one is called.
        let permission = if own_name { Permission::EditViews } else { Permission::ManageMembers };
        let scope = actor.allow(permission)?;
        if change.platform_admin.is_some() {
            actor.allow(Permission::ManagePlatform)?;
        }
        let mut tx = self.begin(actor, &scope).await?;
        if scope != Scope::Global {
            company::store::lock(&tx, &scope).await?;
        }
        let before = store::lock(&tx, &scope, id).await?;
        tx.expect_version(&before, expected_version).await?;
        let heir = change.hand_over_to;
        if !own_name {
            check_may_change(&tx, actor, &scope, &before, &change).await?;
        }
        let mut after = before.clone();
        if let Some(name) = change.name {
            after.name = input::name("name", &name, input::NAME)?;
        }
        if let Some(email) = change.email {
            after.email = input::email("email", &email)?;
        }
        if let Some(disabled) = change.disabled {
            after.disabled_at = disabled.then(|| before.disabled_at.unwrap_or(tx.now()));
        }
        after.platform_admin = change.platform_admin.unwrap_or(before.platform_admin);
        if tx.audit_changed("user.updated", &before, &after).is_none() {
            return Ok(before);
        }
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await.map_err(|error| taken(error, "email", TAKEN))?;
        let leaves = before.disabled_at.is_none() && after.disabled_at.is_some();
        if leaves {
            self.shut_out(&mut tx, id).await?;
            if scope != Scope::Global {
                self.hand_over(&mut tx, actor, &after, heir).await?;
            }
        }
        tx.commit().await?;
        match scope {
            Scope::Global if leaves => self.hand_over_everywhere(actor, &after, heir).await?,
            _ if leaves => self.wake_jobs(),
            _ => {}
        }
        Ok(after)
    }
}

pub(crate) const TAKEN: &str = "an account with this address";

/// The account is the scope's company's alone, or a platform admin asks.
pub(crate) async fn check_alone(tx: &Tx, scope: &Scope, user: &User) -> Result<()> {
    let alone = !user.platform_admin && store::memberships(tx, &Scope::System, user.id).await? <= 1;
    if alone || *scope == Scope::Global {
        return Ok(());
    }
    let message = "This account is not your company's alone: its owner or a platform admin changes it.";
    Err(Error::new(Code::IllegalState, message))
}

/// An account is more than its membership in one company: only where it is nothing else may that
/// company's admin change it.
async fn check_may_change(
    tx: &Tx,
    actor: &Actor,
    scope: &Scope,
    user: &User,
    change: &UserChange,
) -> Result<()> {
    let ends = change.disabled == Some(true) || change.platform_admin == Some(false);
    if user.id == actor.id && ends {
        return Err(Error::new(Code::IllegalState, "You cannot take your own access away."));
    }
    if *scope == Scope::Global {
        return Ok(());
    }
    check_alone(tx, scope, user).await?;
    if change.disabled == Some(true) {
        membership::check_admin_left(tx, scope, user.id).await?;
    }
    Ok(())
}
