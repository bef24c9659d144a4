//! Companies.

use async_graphql::{Context, ID, InputObject, Object};
use domain::inventory::company::Company;
use record::{record, root};

use super::id::Noun;
use super::page::{Counter, args, connection};
use super::payload::{mutate, payload};
use super::scalars::DateTime;
use super::{actor, domain, found};

pub struct CompanyNode(Company);

impl From<Company> for CompanyNode {
    fn from(company: Company) -> Self {
        Self(company)
    }
}

/// A tenant: everything belongs to one.
#[record]
#[Object(name = "Company")]
impl CompanyNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Company.id(self.0.id)
    }

    /// The name; unique on this server.
    fn name(&self) -> &str {
        &self.0.name
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

connection!(CompanyConnection, CompanyEdge, CompanyNode, "A page of companies.", "A company in a page.");

#[derive(Default)]
pub struct CompanyQuery;

#[root]
#[Object]
impl CompanyQuery {
    /// A company that the caller acts for or is a member of; any for a platform admin.
    async fn company(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> async_graphql::Result<Option<CompanyNode>> {
        let Ok(id) = Noun::Company.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).company(actor(ctx)?, id).await)?)
    }

    /// The companies that the caller acts for or is a member of, by name; all for a platform admin.
    async fn companies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<CompanyConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let page = domain.companies(&actor, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor) = (domain.clone(), actor.clone());
            async move { domain.company_count(&actor).await }
        });
        Ok(CompanyConnection::new(page, total))
    }
}

/// A new company.
#[derive(InputObject)]
pub struct CompanyCreateInput {
    /// Its name; unique on this server.
    name: String,
    /// Make the caller its first admin.
    #[graphql(default)]
    join: bool,
}

/// What of a company is to change.
#[derive(InputObject)]
pub struct CompanyUpdateInput {
    /// Another name.
    name: Option<String>,
}

payload! {
    /// What `companyCreate` answers.
    CompanyCreatePayload {
        /// The new company.
        company: CompanyNode
    }
    /// What `companyUpdate` answers.
    CompanyUpdatePayload {
        /// The company as it is now.
        company: CompanyNode
    }
}

#[derive(Default)]
pub struct CompanyMutation;

#[root]
#[Object]
impl CompanyMutation {
    /// Makes a company. For platform admins.
    async fn company_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new company.")] input: CompanyCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<CompanyCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.company_create(&actor, &input.name, input.join).await },
            |domain, actor, id| async move { domain.company(&actor, id).await },
        )
        .await
    }

    /// Changes a company: one's own as its admin, any as platform admin.
    async fn company_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The company's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: CompanyUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<CompanyUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Company.read_at(&id, "id")?;
                domain.company_update(&actor, id, expected_version, input.name.as_deref()).await
            },
            |domain, actor, id| async move { domain.company(&actor, id).await },
        )
        .await
    }
}
