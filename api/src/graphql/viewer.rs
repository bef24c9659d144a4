//! Who asks, and of what server.

use async_graphql::{Context, Object, SimpleObject};
use domain::access::{Actor, ActorKind, GLOBAL};
use domain::page::{self, PageArgs};
use record::{record, root};

use super::company::CompanyNode;
use super::scalars::DateTime;
use super::service_account::ServiceAccountNode;
use super::session::SessionNode;
use super::user::UserNode;
use super::words::{Permission, Role};
use super::{actor, domain, found};
use crate::server::limits::Limits;

/// The one who asks.
pub struct Viewer(Actor);

/// The one who asks: the holder of the token, acting for one company.
#[record]
#[Object]
impl Viewer {
    /// The user, if a user's token was sent.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<UserNode>> {
        match self.0.kind {
            ActorKind::User => Ok(found(domain(ctx).user(&self.0, self.0.id).await)?),
            ActorKind::ServiceAccount | ActorKind::System => Ok(None),
        }
    }

    /// The service account, if a service account's token was sent.
    async fn service_account(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ServiceAccountNode>> {
        match self.0.kind {
            ActorKind::ServiceAccount => Ok(found(domain(ctx).service_account(&self.0, self.0.id).await)?),
            ActorKind::User | ActorKind::System => Ok(None),
        }
    }

    /// The company that the token is for; null where it is for what all companies share.
    async fn company(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<CompanyNode>> {
        if self.0.company == GLOBAL {
            return Ok(None);
        }
        Ok(found(domain(ctx).company(&self.0, self.0.company).await)?)
    }

    /// The companies that the user is a member of, by name; a token of each is needed to act there.
    /// At most 500.
    async fn companies(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<CompanyNode>> {
        let page = domain(ctx).companies(&self.0, &PageArgs::first(i64::from(page::MOST))).await?;
        Ok(page.nodes().map(CompanyNode::from).collect())
    }

    /// The roles in this company.
    fn roles(&self) -> Vec<Role> {
        vec![self.0.role.into()]
    }

    /// The rights that the role, the portfolio and the token leave.
    fn permissions(&self) -> Vec<Permission> {
        self.0.permissions().map(Permission::from).collect()
    }

    /// The session whose access token was sent; null for an API token.
    async fn session(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<SessionNode>> {
        match self.0.session {
            Some(session) => Ok(found(domain(ctx).session(&self.0, session).await)?),
            None => Ok(None),
        }
    }

    /// When the token ends.
    fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }
}

/// The server.
#[record]
#[derive(SimpleObject)]
pub struct ServerInfo {
    /// Its release.
    version: &'static str,
    /// What it can do beyond the first release, by name.
    features: Vec<&'static str>,
    /// What a request may cost.
    limits: ServerLimits,
}

/// What a request may cost.
#[record]
#[derive(SimpleObject)]
pub struct ServerLimits {
    /// Rows in a page that does not say.
    default_page: u64,
    /// The most rows in a page.
    largest_page: u64,
    /// The deepest fields inside of fields.
    depth: u64,
    /// The most values that an answer could hold: what is inside of a page counts once for each row
    /// asked for.
    complexity: u64,
    /// The most aliased fields.
    aliases: u64,
    /// The most fields at the root of an operation.
    root_fields: u64,
    /// The most names, numbers, strings and punctuation of a query.
    tokens: u64,
}

#[derive(Default)]
pub struct ViewerQuery;

#[root]
#[Object]
impl ViewerQuery {
    /// The one who asks.
    async fn viewer(&self, ctx: &Context<'_>) -> async_graphql::Result<Viewer> {
        Ok(Viewer(actor(ctx)?.clone()))
    }

    /// The server: its release and its limits.
    async fn server_info(&self, ctx: &Context<'_>) -> ServerInfo {
        let limits = ctx.data_opt::<Limits>().copied().unwrap_or_default();
        ServerInfo {
            version: env!("CARGO_PKG_VERSION"),
            features: Vec::new(),
            limits: ServerLimits {
                default_page: page::DEFAULT.into(),
                largest_page: page::MOST.into(),
                depth: limits.depth,
                complexity: limits.complexity,
                aliases: limits.aliases,
                root_fields: limits.root_fields,
                tokens: limits.tokens as u64,
            },
        }
    }
}
