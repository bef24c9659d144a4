//! Service accounts.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object};
use domain::inventory::service_account::{ServiceAccount, ServiceAccountChange};
use record::{record, root};

use super::id::Noun;
use super::membership::{PortfolioInput, PortfolioNode, grant, portfolio_change};
use super::page::{Counter, args, connection};
use super::payload::{mutate, payload};
use super::scalars::DateTime;
use super::words::Role;
use super::{actor, domain, found};

pub struct ServiceAccountNode(ServiceAccount);

impl From<ServiceAccount> for ServiceAccountNode {
    fn from(account: ServiceAccount) -> Self {
        Self(account)
    }
}

/// A program that acts for a company, with a role and a portfolio of its own.
#[record]
#[Object(name = "ServiceAccount")]
impl ServiceAccountNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::ServiceAccount.id(self.0.id)
    }

    /// The name; unique in its company.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// What it may do.
    fn role(&self) -> Role {
        self.0.role.into()
    }

    /// What it covers.
    fn portfolio(&self) -> PortfolioNode {
        self.0.portfolio.clone().into()
    }

    /// Since when it is archived; null while it is not.
    fn archived_at(&self) -> Option<DateTime> {
        self.0.archived_at.map(DateTime)
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Counts its changes: an update names the one that it saw.
    fn version(&self) -> i64 {
        self.0.version
    }
}

connection!(
    ServiceAccountConnection,
    ServiceAccountEdge,
    ServiceAccountNode,
    "A page of service accounts.",
    "A service account in a page."
);

#[derive(Default)]
pub struct ServiceAccountQuery;

#[root]
#[Object]
impl ServiceAccountQuery {
    /// A service account of the caller's company.
    async fn service_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service account's global id.")] id: ID,
    ) -> async_graphql::Result<Option<ServiceAccountNode>> {
        let Ok(id) = Noun::ServiceAccount.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).service_account(actor(ctx)?, id).await)?)
    }

    /// The service accounts of the caller's company, by name.
    async fn service_accounts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only archived ones, or only others; null for both.", default_with = "Some(false)")]
        archived: Option<bool>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<ServiceAccountConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let page = domain.service_accounts(&actor, archived, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor) = (domain.clone(), actor.clone());
            async move { domain.service_account_count(&actor, archived).await }
        });
        Ok(ServiceAccountConnection::new(page, total))
    }
}

/// A new service account.
#[derive(InputObject)]
pub struct ServiceAccountCreateInput {
    /// Its name; unique in the company.
    name: String,
    /// What it may do.
    role: Role,
    /// What it covers; the whole company if null.
    portfolio: Option<PortfolioInput>,
}

/// What of a service account is to change.
#[derive(InputObject)]
pub struct ServiceAccountUpdateInput {
    /// Another name.
    name: Option<String>,
    /// Another role.
    role: Option<Role>,
    /// Another portfolio; null is the whole company.
    portfolio: MaybeUndefined<PortfolioInput>,
}

payload! {
    /// What `serviceAccountCreate` answers.
    ServiceAccountCreatePayload {
        /// The new service account.
        service_account: ServiceAccountNode
    }
    /// What `serviceAccountUpdate` answers.
    ServiceAccountUpdatePayload {
        /// The service account as it is now.
        service_account: ServiceAccountNode
    }
    /// What `serviceAccountArchive` answers.
    ServiceAccountArchivePayload {
        /// The service account as it is now.
        service_account: ServiceAccountNode
    }
}

#[derive(Default)]
pub struct ServiceAccountMutation;

#[root]
#[Object]
impl ServiceAccountMutation {
    /// Makes a service account.
    async fn service_account_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new service account.")] input: ServiceAccountCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ServiceAccountCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let (role, portfolio) = grant(input.role, input.portfolio)?;
                domain.service_account_create(&actor, &input.name, role, portfolio).await
            },
            |domain, actor, id| async move { domain.service_account(&actor, id).await },
        )
        .await
    }

    /// Changes a service account. Its tokens have its new rights at once.
    async fn service_account_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service account's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: ServiceAccountUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ServiceAccountUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::ServiceAccount.read_at(&id, "id")?;
                let change = ServiceAccountChange {
                    name: input.name,
                    role: input.role.map(Into::into),
                    portfolio: portfolio_change(input.portfolio)?,
                };
                domain.service_account_update(&actor, id, expected_version, change).await
            },
            |domain, actor, id| async move { domain.service_account(&actor, id).await },
        )
        .await
    }

    /// Ends a service account: its tokens no longer work. It is not taken back.
    async fn service_account_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service account's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ServiceAccountArchivePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::ServiceAccount.read_at(&id, "id")?;
                domain.service_account_archive(&actor, id, expected_version).await
            },
            |domain, actor, id| async move { domain.service_account(&actor, id).await },
        )
        .await
    }
}
