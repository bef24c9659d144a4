//! API tokens.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, Union};
use domain::error::Result;
use domain::inventory::service_account::ServiceAccount;
use domain::inventory::token::{Holder, NewToken, Secret, Token};
use domain::inventory::user::User;
use record::{record, root};

use super::id::{Key, Noun, key};
use super::loaders::nodes;
use super::page::{Counter, args, connection};
use super::payload::{mutate, payload};
use super::scalars::{DateTime, Duration};
use super::service_account::ServiceAccountNode;
use super::user::UserNode;
use super::words::Permission;
use super::{actor, domain, found};

pub struct TokenNode(Token);

impl From<Token> for TokenNode {
    fn from(token: Token) -> Self {
        Self(token)
    }
}

/// Whose a token is.
#[record]
#[derive(Union)]
pub enum TokenHolder {
    User(Arc<UserNode>),
    ServiceAccount(Arc<ServiceAccountNode>),
}

/// A secret of a user or a service account, for one company.
#[record]
#[Object(name = "Token")]
impl TokenNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Token.id(self.0.id)
    }

    /// What its holder calls it.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Whose it is; null where the holder is no longer a member.
    async fn holder(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<TokenHolder>>> {
        let users = rows.iter().filter_map(|row| match row.0.holder {
            Holder::User(id) => Some(id),
            Holder::ServiceAccount(_) => None,
        });
        let accounts = rows.iter().filter_map(|row| match row.0.holder {
            Holder::ServiceAccount(id) => Some(id),
            Holder::User(_) => None,
        });
        let (users, accounts) =
            futures_util::try_join!(nodes::<User, _>(ctx, users), nodes::<ServiceAccount, _>(ctx, accounts))?;
        let holder = |row: &&Self| match row.0.holder {
            Holder::User(id) => users.get(&id).cloned().map(TokenHolder::User),
            Holder::ServiceAccount(id) => accounts.get(&id).cloned().map(TokenHolder::ServiceAccount),
        };
        Ok(rows.iter().map(holder).collect())
    }

    /// What it leaves of its holder's rights; null leaves all.
    fn scopes(&self) -> Option<Vec<Permission>> {
        let scopes = self.0.scopes.as_ref()?;
        Some(scopes.iter().copied().map(Permission::from).collect())
    }

    /// When it ends of itself.
    fn expires_at(&self) -> DateTime {
        DateTime(self.0.expires_at)
    }

    /// When it was last used, to the minute.
    fn last_used_at(&self) -> Option<DateTime> {
        self.0.last_used_at.map(DateTime)
    }

    /// When it was ended; null while it was not.
    fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }

    /// When it was issued.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

connection!(TokenConnection, TokenEdge, TokenNode, "A page of tokens.", "A token in a page.");

fn read_holder(id: &ID) -> Result<Holder> {
    match key(id) {
        Some((Noun::User, Key::Record(id))) => Ok(Holder::User(id)),
        _ => Noun::ServiceAccount.read_at(id, "holder").map(Holder::ServiceAccount),
    }
}

#[derive(Default)]
pub struct TokenQuery;

#[root]
#[Object]
impl TokenQuery {
    /// The caller's tokens, newest first; those of the company for who manages its members.
    async fn tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id of the user or service account whose they are.")] holder: Option<ID>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<TokenConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let holder = holder.as_ref().map(read_holder).transpose()?;
        let page = domain.tokens(&actor, holder, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor) = (domain.clone(), actor.clone());
            async move { domain.token_count(&actor, holder).await }
        });
        Ok(TokenConnection::new(page, total))
    }

    /// A token of the caller's, or of the company for who manages its members.
    async fn token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token's global id.")] id: ID,
    ) -> async_graphql::Result<Option<TokenNode>> {
        let Ok(id) = Noun::Token.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).token(actor(ctx)?, id).await)?)
    }
}

/// A new token.
#[derive(InputObject)]
pub struct TokenCreateInput {
    /// What to call it.
    name: String,
    /// The global id of the service account that it is for; the caller's own if null.
    holder: Option<ID>,
    /// The rights that it needs; all of its holder's if null.
    scopes: Option<Vec<Permission>>,
    /// How long it lives: 90 days if null, at most 366.
    expires_in: Option<Duration>,
}

pub struct IssuedNode {
    token: Token,
    secret: Option<Secret>,
}

impl From<(Token, Option<Secret>)> for IssuedNode {
    fn from((token, secret): (Token, Option<Secret>)) -> Self {
        Self { token, secret }
    }
}

/// A token that was just issued.
#[record]
#[Object(name = "IssuedToken")]
impl IssuedNode {
    /// The token.
    fn token(&self) -> TokenNode {
        self.token.clone().into()
    }

    /// Its text, shown here and never again: null where a request is repeated with its idempotency
    /// key.
    fn secret(&self) -> Option<&str> {
        self.secret.as_ref().map(Secret::reveal)
    }
}

payload! {
    /// What `tokenCreate` answers.
    TokenCreatePayload {
        /// The new token and its text.
        issued: IssuedNode
    }
    /// What `tokenRevoke` answers.
    TokenRevokePayload {
        /// The token as it is now.
        token: TokenNode
    }
}

#[derive(Default)]
pub struct TokenMutation;

#[root]
#[Object]
impl TokenMutation {
    /// Issues a token to the caller, or, by who manages members, to a service account. A token of
    /// limited scopes makes no tokens.
    async fn token_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new token.")] input: TokenCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<TokenCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let scopes = input.scopes.map(|scopes| scopes.into_iter().map(Into::into).collect());
                let new = NewToken {
                    holder: input.holder.as_ref().map(read_holder).transpose()?,
                    name: input.name,
                    scopes,
                    life: input.expires_in.map(|life| life.0),
                };
                let (token, secret) = domain.token_create(&actor, new).await?;
                Ok((token, Some(secret)))
            },
            |domain, actor, id| async move { Ok((domain.token(&actor, id).await?, None)) },
        )
        .await
    }

    /// Ends a token at once: one's own, or any of the company by who manages its members.
    async fn token_revoke(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token's global id.")] id: ID,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<TokenRevokePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.token_revoke(&actor, Noun::Token.read_at(&id, "id")?).await },
            |domain, actor, id| async move { domain.token(&actor, id).await },
        )
        .await
    }
}
