//! Users.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object};
use domain::inventory::membership::Membership;
use domain::inventory::user::{self, NewUser, User, UserChange};
use domain::page::OrderBy;
use record::{record, root};

use super::id::Noun;
use super::loaders::one;
use super::membership::{MembershipNode, PortfolioInput, grant};
use super::page::{Counter, OrderDirection, args, connection};
use super::payload::{mutate, payload};
use super::scalars::DateTime;
use super::words::Role;
use super::{actor, domain, found};

pub struct UserNode(User);

impl From<User> for UserNode {
    fn from(user: User) -> Self {
        Self(user)
    }
}

/// A person with an account on this server.
#[record]
#[Object(name = "User")]
impl UserNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::User.id(self.0.id)
    }

    /// The name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The mail address, in lower case; unique on this server.
    fn email(&self) -> &str {
        &self.0.email
    }

    /// Whether the user may act for what all companies share.
    fn platform_admin(&self) -> bool {
        self.0.platform_admin
    }

    /// The membership in the caller's company; null for a caller who acts for none.
    async fn membership(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<MembershipNode>>>> {
        one::<Membership, _>(ctx, rows.iter().map(|row| Some(row.0.id))).await
    }

    /// Since when the account is disabled; null while it is not.
    fn disabled_at(&self) -> Option<DateTime> {
        self.0.disabled_at.map(DateTime)
    }

    /// When the account was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When the account was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Counts its changes: an update names the one that it saw.
    fn version(&self) -> i64 {
        self.0.version
    }
}

connection!(UserConnection, UserEdge, UserNode, "A page of users.", "A user in a page.");

/// Which users: all that is said must hold.
#[derive(Default, InputObject)]
pub struct UserFilter {
    /// A part of the name or the address, ignoring the case of ASCII letters.
    query: Option<String>,
    /// The role in the caller's company.
    role: Option<Role>,
    /// The global id of a team of theirs.
    team: Option<ID>,
    /// Only accounts that are disabled, or that are not.
    disabled: Option<bool>,
}

/// What users are sorted by.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::inventory::user::UserOrder")]
pub enum UserOrderField {
    /// The name.
    Name,
    /// The mail address.
    Email,
    /// When the account was made.
    CreatedAt,
}

/// How users are sorted.
#[derive(InputObject)]
pub struct UserOrder {
    /// By what.
    field: UserOrderField,
    /// Which way.
    #[graphql(default_with = "OrderDirection::Asc")]
    direction: OrderDirection,
}

#[derive(Default)]
pub struct UserQuery;

#[root]
#[Object]
impl UserQuery {
    /// A member of the caller's company.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's global id.")] id: ID,
    ) -> async_graphql::Result<Option<UserNode>> {
        let Ok(id) = Noun::User.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).user(actor(ctx)?, id).await)?)
    }

    /// The members of the caller's company; all users for a platform admin who acts for all.
    #[expect(clippy::too_many_arguments, reason = "these are the arguments of a connection")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<UserFilter>,
        #[graphql(desc = "How they are sorted; by name if not said.")] order_by: Option<UserOrder>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<UserConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default();
        let filter = user::UserFilter {
            query: filter.query,
            role: filter.role.map(Into::into),
            team: filter.team.map(|id| Noun::Team.read_at(&id, "team")).transpose()?,
            disabled: filter.disabled,
        };
        let order = order_by.map_or(OrderBy::ascending(user::UserOrder::Name), |order| OrderBy {
            by: order.field.into(),
            descending: order.direction.descends(),
        });
        let page = domain.users(&actor, &filter, order, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.user_count(&actor, &filter).await }
        });
        Ok(UserConnection::new(page, total))
    }
}

/// Someone to become a member of the caller's company.
#[derive(InputObject)]
pub struct UserCreateInput {
    /// The mail address. If there is an account with it already, that becomes a member as it is.
    email: String,
    /// The name, for a new account.
    name: String,
    /// The role in the company; null only where a platform admin acts for all.
    role: Option<Role>,
    /// What the member covers; the whole company if null.
    portfolio: Option<PortfolioInput>,
    /// Make the account one of a platform admin.
    #[graphql(default)]
    platform_admin: bool,
}

/// What of a user is to change.
#[derive(InputObject)]
pub struct UserUpdateInput {
    /// Another name.
    name: Option<String>,
    /// Another mail address.
    email: Option<String>,
    /// Whether the account is disabled: its sessions and tokens end, and its work is handed over.
    disabled: Option<bool>,
    /// Whether the user is a platform admin. For platform admins.
    platform_admin: Option<bool>,
    /// The global id of the member who takes over the work of an account that is disabled:
    /// assignments and saved views. Null leaves assignments to nobody, and views as they are.
    hand_over_to: Option<ID>,
}

payload! {
    /// What `userCreate` answers.
    UserCreatePayload {
        /// The new member.
        user: UserNode
    }
    /// What `userUpdate` answers.
    UserUpdatePayload {
        /// The user as it is now.
        user: UserNode
    }
}

#[derive(Default)]
pub struct UserMutation;

#[root]
#[Object]
impl UserMutation {
    /// Makes someone a member of the caller's company, and an account where there is none.
    async fn user_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and as what.")] input: UserCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<UserCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let UserCreateInput { email, name, role, portfolio, platform_admin } = input;
                let grant = role.map(|role| grant(role, portfolio)).transpose()?;
                domain.user_create(&actor, NewUser { email, name, grant, platform_admin }).await
            },
            |domain, actor, id| async move { domain.user(&actor, id).await },
        )
        .await
    }

    /// Changes an account: its owner the name; an admin of its only company the name, the address
    /// and whether it is disabled; a platform admin who acts for all, everything.
    async fn user_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: UserUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<UserUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::User.read_at(&id, "id")?;
                let UserUpdateInput { name, email, disabled, platform_admin, hand_over_to } = input;
                let hand_over_to =
                    hand_over_to.map(|id| Noun::User.read_at(&id, "handOverTo")).transpose()?;
                let change = UserChange { name, email, disabled, platform_admin, hand_over_to };
                domain.user_update(&actor, id, expected_version, change).await
            },
            |domain, actor, id| async move { domain.user(&actor, id).await },
        )
        .await
    }
}
