//! Service accounts: programs that act for a company with a role and a portfolio of their own.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Role};
use crate::error::{Code, Error, Result};
use crate::inventory::input;
use crate::inventory::membership::check_grant;
use crate::inventory::record::{Record, taken};
use crate::page::{Page, PageArgs, Window};
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

#[derive(Clone, Debug, PartialEq)]
pub struct ServiceAccount {
    pub id: Uuid,
    pub company: Uuid,
    /// Unique in its company.
    pub name: String,
    pub role: Role,
    pub portfolio: Portfolio,
    pub archived_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// What is to change: `None` leaves a value.
#[derive(Clone, Debug, Default)]
pub struct ServiceAccountChange {
    pub name: Option<String>,
    pub role: Option<Role>,
    pub portfolio: Option<Portfolio>,
}

impl Record for ServiceAccount {
    const NOUN: &'static str = "service account";

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn facts(&self) -> Json {
        json!({
            "name": self.name,
            "role": self.role,
            "portfolio": self.portfolio,
            "archived": self.archived_at.is_some(),
        })
    }
}

const TAKEN: &str = "a service account of this name";

impl Domain {
    pub async fn service_account(&self, actor: &Actor, id: Uuid) -> Result<ServiceAccount> {
        let found = self.service_accounts_by_id(actor, &[id]).await?.remove(&id);
        found.ok_or_else(|| Error::not_found(ServiceAccount::NOUN))
    }

    /// The company's service accounts by name, archived ones only if asked for.
    pub async fn service_accounts(
        &self,
        actor: &Actor,
        archived: Option<bool>,
        page: &PageArgs,
    ) -> Result<Page<ServiceAccount>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().service_accounts(&scope, archived, &Window::new(page, store::BY_NAME)?).await
    }

    pub async fn service_account_count(&self, actor: &Actor, archived: Option<bool>) -> Result<i64> {
        self.db().service_account_count(&actor.allow(Permission::Read)?, archived).await
    }

    /// The service accounts of these ids in the actor's company.
    pub async fn service_accounts_by_id(
        &self,
        actor: &Actor,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, ServiceAccount>> {
        let scope = actor.allow(Permission::Read)?;
        store::by_id(self.db().read(), self.db().dialect, &scope, ids).await
    }

    pub async fn service_account_create(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        portfolio: Portfolio,
    ) -> Result<ServiceAccount> {
        let scope = actor.allow(Permission::ManageMembers)?.of_tenant()?;
        let name = input::name("name", name, input::NAME)?;
        let mut tx = self.begin(actor, &scope).await?;
        check_grant(&tx, &scope, role, &portfolio).await?;
        let account = ServiceAccount {
            id: self.clock().id(),
            company: tx.company,
            name,
            role,
            portfolio,
            archived_at: None,
            created_at: tx.now(),
            updated_at: tx.now(),
            version: 1,
        };
        store::insert(&tx, &account).await.map_err(|error| taken(error, "name", TAKEN))?;
        tx.audit_created("service_account.created", &account);
        tx.commit().await?;
        Ok(account)
    }

    pub async fn service_account_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        change: ServiceAccountChange,
    ) -> Result<ServiceAccount> {
        let scope = actor.allow(Permission::ManageMembers)?;
        let mut tx = self.begin(actor, &scope).await?;
        let before = store::lock(&tx, &scope, id).await?;
        tx.expect_version(&before, expected_version).await?;
        if before.archived_at.is_some() {
            return Err(Error::new(Code::IllegalState, "An archived service account is not changed."));
        }
        let mut after = before.clone();
        if let Some(name) = change.name {
            after.name = input::name("name", &name, input::NAME)?;
        }
        after.role = change.role.unwrap_or(before.role);
        after.portfolio = change.portfolio.unwrap_or(after.portfolio);
        check_grant(&tx, &scope, after.role, &after.portfolio).await?;
        if tx.audit_changed("service_account.updated", &before, &after).is_none() {
            return Ok(before);
        }
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await.map_err(|error| taken(error, "name", TAKEN))?;
        tx.commit().await?;
        Ok(after)
    }

    /// Ends a service account: its tokens no longer work. It is not taken back.
    pub async fn service_account_archive(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
    ) -> Result<ServiceAccount> {
        let scope = actor.allow(Permission::ManageMembers)?;
        let mut tx = self.begin(actor, &scope).await?;
        let before = store::lock(&tx, &scope, id).await?;
        tx.expect_version(&before, expected_version).await?;
        let mut after = before.clone();
        after.archived_at = before.archived_at.or(Some(tx.now()));
        if tx.audit_changed("service_account.archived", &before, &after).is_none() {
            return Ok(before);
        }
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await?;
        tx.commit().await?;
        Ok(after)
    }
}
