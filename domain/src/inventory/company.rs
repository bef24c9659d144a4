//! Companies: the tenants that everything belongs to.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, ActorKind, GLOBAL, Permission, Portfolio, Role, Scope};
use crate::error::{Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::inventory::input;
use crate::inventory::membership::{self, Membership};
use crate::inventory::record::{Record, taken};
use crate::ledger;
use crate::page::{Page, PageArgs, Window};
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

#[derive(Clone, Debug, PartialEq)]
pub struct Company {
    pub id: Uuid,
    /// Unique on this server.
    pub name: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

impl Record for Company {
    const NOUN: &'static str = "company";

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn facts(&self) -> Json {
        json!({ "name": self.name })
    }
}

pub(crate) const TAKEN: &str = "a company of this name";

impl Domain {
    /// A company that the actor acts for, is a member of, or administers as platform admin.
    pub async fn company(&self, actor: &Actor, id: Uuid) -> Result<Company> {
        let scope = actor.allow(Permission::Read)?;
        self.db().company(&scope, actor.id, id).await?.ok_or_else(|| Error::not_found(Company::NOUN))
    }

    /// The companies that [`Domain::company`] finds, by name.
    pub async fn companies(&self, actor: &Actor, page: &PageArgs) -> Result<Page<Company>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().companies(&scope, actor.id, &Window::new(page, store::BY_NAME)?).await
    }

    pub async fn company_count(&self, actor: &Actor) -> Result<i64> {
        self.db().company_count(&actor.allow(Permission::Read)?, actor.id).await
    }

    /// Makes a company with a ledger of its own; with `join`, its creator becomes its first admin.
    /// For platform admins.
    pub async fn company_create(&self, actor: &Actor, name: &str, join: bool) -> Result<Company> {
        actor.allow(Permission::ManagePlatform)?;
        let name = input::name("name", name, input::NAME)?;
        let id = self.clock().id();
        let mut tx = self.begin(actor, &Scope::Company(id, Portfolio::Whole)).await?;
        let now = tx.now();
        let company = Company { id, name, created_at: now, updated_at: now, version: 1 };
        store::insert(&tx, &company).await.map_err(|error| taken(error, "name", TAKEN))?;
        ledger::store::open(tx.conn(), tx.dialect, id).await?;
        tx.audit_created("company.created", &company);
        tx.emit(Event::new(EventKind::CompanyCreated, id, json!({ "name": company.name })));
        if join {
            if actor.kind != ActorKind::User {
                return Err(Error::invalid("join", "Only a person can become a member."));
            }
            let admin = Membership::new(self.clock().id(), id, actor.id, Role::Admin, Portfolio::Whole, now);
            membership::store::insert(&tx, &admin).await?;
            tx.audit_created("membership.created", &admin);
        }
        tx.commit().await?;
        Ok(company)
    }

    /// Renames a company: one's own as its admin, any as platform admin.
    pub async fn company_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        name: Option<&str>,
    ) -> Result<Company> {
        let scope = self.administer(actor, Permission::ManageSettings, id).await?;
        let mut tx = self.begin(actor, &scope).await?;
        let before = store::lock(&tx, &scope).await?;
        tx.expect_version(&before, expected_version).await?;
        let mut after = before.clone();
        if let Some(name) = name {
            after.name = input::name("name", name, input::NAME)?;
        }
        let Some(diff) = tx.audit_changed("company.updated", &before, &after) else { return Ok(before) };
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await.map_err(|error| taken(error, "name", TAKEN))?;
        tx.emit(Event::new(EventKind::CompanyUpdated, id, diff.payload()));
        tx.commit().await?;
        Ok(after)
    }

    /// The scope in which `actor` has `permission` over `company`: its own, or any for a platform
    /// admin who acts for all.
    pub(crate) async fn administer(
        &self,
        actor: &Actor,
        permission: Permission,
        company: Uuid,
    ) -> Result<Scope> {
        let scope = actor.allow(permission)?;
        let found = match &scope {
            Scope::Company(own, _) => *own == company,
            Scope::Global => {
                company != GLOBAL && self.db().company(&scope, actor.id, company).await?.is_some()
            }
            Scope::System => false,
        };
        match (found, scope) {
            (true, Scope::Global) => Ok(Scope::Company(company, Portfolio::Whole)),
            (true, scope) => Ok(scope),
            (false, _) => Err(Error::not_found(Company::NOUN)),
        }
    }
}
