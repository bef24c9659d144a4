//! Invitations, and links to a new password.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use domain::inventory::user::User;
use domain::signin::invitation::NewInvitation;
use domain::signin::link::Link;
use record::{record, root};

use super::id::Noun;
use super::loaders::one;
use super::membership::{PortfolioInput, PortfolioNode, grant};
use super::page::{Counter, args, connection};
use super::payload::{mutate, payload};
use super::scalars::{DateTime, Duration};
use super::user::UserNode;
use super::words::Role;
use super::{actor, domain, found};
use crate::sign_in::link_url;

pub struct InvitationNode(Link);

impl From<Link> for InvitationNode {
    fn from(link: Link) -> Self {
        Self(link)
    }
}

/// Somebody who was invited into the company.
#[record]
#[Object(name = "Invitation")]
impl InvitationNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Invitation.id(self.0.id)
    }

    /// The mail address, in lower case.
    fn email(&self) -> &str {
        self.0.email.as_deref().unwrap_or_default()
    }

    /// What the member will be allowed to do.
    fn role(&self) -> Option<Role> {
        self.0.grant.as_ref().map(|(role, _)| (*role).into())
    }

    /// What the member will cover.
    fn portfolio(&self) -> Option<PortfolioNode> {
        self.0.grant.as_ref().map(|(_, portfolio)| PortfolioNode::from(portfolio.clone()))
    }

    /// Who made it; null where that is no member any more.
    async fn invited_by(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<UserNode>>>> {
        one::<User, _>(ctx, rows.iter().map(|row| Some(row.0.created_by))).await
    }

    /// Until when its link is good.
    fn expires_at(&self) -> DateTime {
        DateTime(self.0.expires_at)
    }

    /// When it was accepted; null while it was not.
    fn accepted_at(&self) -> Option<DateTime> {
        self.0.used_at.map(DateTime)
    }

    /// When it was taken back; null while it was not.
    fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

connection!(
    InvitationConnection,
    InvitationEdge,
    InvitationNode,
    "A page of invitations.",
    "An invitation in a page."
);

#[derive(Default)]
pub struct InvitationQuery;

#[root]
#[Object]
impl InvitationQuery {
    /// The invitations into the caller's company, newest first. For who manages its members.
    async fn invitations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<InvitationConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let page = domain.invitations(&actor, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor) = (domain.clone(), actor.clone());
            async move { domain.invitation_count(&actor).await }
        });
        Ok(InvitationConnection::new(page, total))
    }

    /// An invitation into the caller's company.
    async fn invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The invitation's global id.")] id: ID,
    ) -> async_graphql::Result<Option<InvitationNode>> {
        let Ok(id) = Noun::Invitation.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).invitation(actor(ctx)?, id).await)?)
    }
}

/// Somebody to become a member of the caller's company.
#[derive(InputObject)]
pub struct InvitationCreateInput {
    /// The mail address.
    email: String,
    /// What the member may do.
    role: Role,
    /// What the member covers; the whole company if null.
    portfolio: Option<PortfolioInput>,
    /// How long the link is good: 7 days if null, at most 30.
    expires_in: Option<Duration>,
}

/// An invitation that was just made.
#[record]
#[derive(SimpleObject)]
pub struct IssuedInvitation {
    /// The invitation.
    invitation: InvitationNode,
    /// The link to hand over, shown here and never again: null where a request is repeated with its
    /// idempotency key. It is from the root of this server where the server does not know its address.
    link: Option<String>,
}

/// A link to a new password that was just made.
#[record]
#[derive(SimpleObject)]
pub struct IssuedPasswordLink {
    /// Whose password it sets.
    user: UserNode,
    /// The link to hand over, good once and for a day; shown here and never again: null where a
    /// request is repeated with its idempotency key.
    link: Option<String>,
}

payload! {
    /// What `invitationCreate` answers.
    InvitationCreatePayload {
        /// The new invitation and its link.
        issued: IssuedInvitation
    }
    /// What `invitationRevoke` answers.
    InvitationRevokePayload {
        /// The invitation as it is now.
        invitation: InvitationNode
    }
    /// What `userPasswordReset` answers.
    UserPasswordResetPayload {
        /// The link to a new password.
        issued: IssuedPasswordLink
    }
}

#[derive(Default)]
pub struct InvitationMutation;

#[root]
#[Object]
impl InvitationMutation {
    /// Invites somebody into the caller's company. The answer has the link to hand over; an open
    /// invitation of the same address ends.
    async fn invitation_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and as what.")] input: InvitationCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<InvitationCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let (role, portfolio) = grant(input.role, input.portfolio)?;
                let life = input.expires_in.map(|life| life.0);
                let new = NewInvitation { email: input.email, role, portfolio, life };
                let (link, secret) = domain.invitation_create(&actor, new).await?;
                let link_text = link_url(&domain, &secret);
                Ok(IssuedInvitation { invitation: link.into(), link: Some(link_text) })
            },
            |domain, actor, id| async move {
                let invitation = domain.invitation(&actor, id).await?.into();
                Ok(IssuedInvitation { invitation, link: None })
            },
        )
        .await
    }

    /// Takes an invitation back: its link is good no more.
    async fn invitation_revoke(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The invitation's global id.")] id: ID,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<InvitationRevokePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Invitation.read_at(&id, "id")?;
                domain.invitation_revoke(&actor, id).await
            },
            |domain, actor, id| async move { domain.invitation(&actor, id).await },
        )
        .await
    }

    /// Makes a link by which a member whose account is the company's alone sets a new password; an
    /// earlier one is good no more. Using it ends the member's sessions.
    async fn user_password_reset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's global id.")] id: ID,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<UserPasswordResetPayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::User.read_at(&id, "id")?;
                let (user, secret) = domain.password_link(&actor, id).await?;
                Ok(IssuedPasswordLink { user: user.into(), link: Some(link_url(&domain, &secret)) })
            },
            |domain, actor, id| async move {
                Ok(IssuedPasswordLink { user: domain.user(&actor, id).await?.into(), link: None })
            },
        )
        .await
    }
}
