//! Sessions of those who signed in.

use async_graphql::{Context, ID, InputObject, Object};
use domain::signin::session::Session;
use record::{record, root};

use super::id::Noun;
use super::page::{Counter, args, connection};
use super::payload::{mutate, payload};
use super::scalars::DateTime;
use super::user::UserNode;
use super::{actor, domain};

pub struct SessionNode(Session);

impl From<Session> for SessionNode {
    fn from(session: Session) -> Self {
        Self(session)
    }
}

/// What a person has who signed in, on one device.
#[record]
#[Object(name = "Session")]
impl SessionNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Session.id(self.0.id)
    }

    /// How the person came in: `password`, `link`, or `oidc:` and the name of the provider.
    fn way(&self) -> &str {
        &self.0.way
    }

    /// The address that it was last refreshed from.
    fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// What its client calls itself.
    fn user_agent(&self) -> Option<&str> {
        self.0.agent.as_deref()
    }

    /// Whether it is the one that asks.
    fn current(&self, ctx: &Context<'_>) -> async_graphql::Result<bool> {
        Ok(actor(ctx)?.session == Some(self.0.id))
    }

    /// When it was last used, to the minute.
    fn last_used_at(&self) -> DateTime {
        DateTime(self.0.last_used_at)
    }

    /// When it ends, if it is not refreshed until then.
    fn expires_at(&self) -> DateTime {
        DateTime(self.0.until())
    }

    /// When it was ended; null while it was not.
    fn ended_at(&self) -> Option<DateTime> {
        self.0.ended_at.map(DateTime)
    }

    /// When the person signed in.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

connection!(SessionConnection, SessionEdge, SessionNode, "A page of sessions.", "A session in a page.");

#[derive(Default)]
pub struct SessionQuery;

#[root]
#[Object]
impl SessionQuery {
    /// The caller's own sessions that have not ended, newest first.
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<SessionConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let page = domain.sessions(&actor, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor) = (domain.clone(), actor.clone());
            async move { domain.session_count(&actor).await }
        });
        Ok(SessionConnection::new(page, total))
    }
}

/// Whose sessions end, and what else.
#[derive(InputObject)]
pub struct SignOutEverywhereInput {
    /// The global id of a member whose account is the company's alone; the caller if null.
    user: Option<ID>,
    /// End the API tokens too.
    #[graphql(default)]
    tokens: bool,
}

/// Whose sessions ended.
#[record]
#[derive(async_graphql::SimpleObject)]
pub struct SignedOut {
    /// The one who came in with them.
    user: UserNode,
    /// How many sessions ended; null where a request is repeated with its idempotency key.
    sessions: Option<i64>,
}

payload! {
    /// What `sessionEnd` answers.
    SessionEndPayload {
        /// The global id of the session that ended.
        ended_id: ID
    }
    /// What `signOutEverywhere` answers.
    SignOutEverywherePayload {
        /// Whose sessions ended.
        signed_out: SignedOut
    }
}

#[derive(Default)]
pub struct SessionMutation;

#[root]
#[Object]
impl SessionMutation {
    /// Ends a session of the caller's own, with all of its tokens.
    async fn session_end(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session's global id.")] id: ID,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<SessionEndPayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Session.read_at(&id, "id")?;
                Ok(Noun::Session.id(domain.session_end(&actor, id).await?.id))
            },
            |_, _, id| async move { Ok(Noun::Session.id(id)) },
        )
        .await
    }

    /// Ends all sessions of the caller, or, by who manages members, of a member.
    async fn sign_out_everywhere(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose, and what else.")] input: SignOutEverywhereInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<SignOutEverywherePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let user = input.user.map(|id| Noun::User.read_at(&id, "user")).transpose()?;
                let (user, sessions) = domain.sign_out_everywhere(&actor, user, input.tokens).await?;
                Ok(SignedOut { user: user.into(), sessions: Some(sessions) })
            },
            |domain, actor, id| async move {
                Ok(SignedOut { user: domain.user(&actor, id).await?.into(), sessions: None })
            },
        )
        .await
    }
}
