//! Teams.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object};
use domain::inventory::team::{self, Team};
use domain::inventory::user::User;
use domain::page::OrderBy;
use record::{record, root};
use uuid::Uuid;

use super::id::Noun;
use super::loaders::{load, many};
use super::page::{Counter, OrderDirection, args, connection};
use super::payload::{mutate, payload};
use super::scalars::DateTime;
use super::user::UserNode;
use super::{actor, domain, found};

pub struct TeamNode(Team);

impl From<Team> for TeamNode {
    fn from(team: Team) -> Self {
        Self(team)
    }
}

/// A group of a company's members: it owns assets and is assigned findings.
#[record]
#[Object(name = "Team")]
impl TeamNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Team.id(self.0.id)
    }

    /// The name; unique in its company.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Its members; at most 500.
    async fn members(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<Arc<UserNode>>>> {
        let members = load::<Vec<Uuid>>(ctx, rows.iter().map(|row| row.0.id)).await?;
        many::<User, _>(ctx, rows.iter().map(|row| members.get(&row.0.id).cloned().unwrap_or_default())).await
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

connection!(TeamConnection, TeamEdge, TeamNode, "A page of teams.", "A team in a page.");

/// Which teams: all that is said must hold.
#[derive(InputObject)]
pub struct TeamFilter {
    /// A part of the name, ignoring the case of ASCII letters.
    query: Option<String>,
    /// Only archived ones, or only others; null for both.
    #[graphql(default_with = "Some(false)")]
    archived: Option<bool>,
    /// The global id of a member.
    member: Option<ID>,
}

/// What teams are sorted by.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::inventory::team::TeamOrder")]
pub enum TeamOrderField {
    /// The name.
    Name,
    /// When the team was made.
    CreatedAt,
}

/// How teams are sorted.
#[derive(InputObject)]
pub struct TeamOrder {
    /// By what.
    field: TeamOrderField,
    /// Which way.
    #[graphql(default_with = "OrderDirection::Asc")]
    direction: OrderDirection,
}

#[derive(Default)]
pub struct TeamQuery;

#[root]
#[Object]
impl TeamQuery {
    /// A team of the caller's company.
    async fn team(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's global id.")] id: ID,
    ) -> async_graphql::Result<Option<TeamNode>> {
        let Ok(id) = Noun::Team.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).team(actor(ctx)?, id).await)?)
    }

    /// The teams of the caller's company.
    #[expect(clippy::too_many_arguments, reason = "these are the arguments of a connection")]
    async fn teams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all that are not archived if not said.")] filter: Option<TeamFilter>,
        #[graphql(desc = "How they are sorted; by name if not said.")] order_by: Option<TeamOrder>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<TeamConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or(TeamFilter { query: None, archived: Some(false), member: None });
        let filter = team::TeamFilter {
            query: filter.query,
            archived: filter.archived,
            member: filter.member.map(|id| Noun::User.read_at(&id, "member")).transpose()?,
        };
        let order = order_by.map_or(OrderBy::ascending(team::TeamOrder::Name), |order| OrderBy {
            by: order.field.into(),
            descending: order.direction.descends(),
        });
        let page = domain.teams(&actor, &filter, order, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.team_count(&actor, &filter).await }
        });
        Ok(TeamConnection::new(page, total))
    }
}

/// A new team.
#[derive(InputObject)]
pub struct TeamCreateInput {
    /// Its name; unique in the company.
    name: String,
    /// The global ids of its members.
    #[graphql(default)]
    members: Vec<ID>,
}

/// What of a team is to change.
#[derive(InputObject)]
pub struct TeamUpdateInput {
    /// Another name.
    name: Option<String>,
}

/// Who comes into a team and who leaves it.
#[derive(InputObject)]
pub struct TeamMembersChangeInput {
    /// The global ids of members of the company to add.
    #[graphql(default)]
    add: Vec<ID>,
    /// The global ids of members to take out. It goes before `add`.
    #[graphql(default)]
    remove: Vec<ID>,
}

payload! {
    /// What `teamCreate` answers.
    TeamCreatePayload {
        /// The new team.
        team: TeamNode
    }
    /// What `teamUpdate` answers.
    TeamUpdatePayload {
        /// The team as it is now.
        team: TeamNode
    }
    /// What `teamMembersChange` answers.
    TeamMembersChangePayload {
        /// The team as it is now.
        team: TeamNode
    }
    /// What `teamArchive` answers.
    TeamArchivePayload {
        /// The team as it is now.
        team: TeamNode
    }
    /// What `teamUnarchive` answers.
    TeamUnarchivePayload {
        /// The team as it is now.
        team: TeamNode
    }
}

#[derive(Default)]
pub struct TeamMutation;

#[root]
#[Object]
impl TeamMutation {
    /// Makes a team.
    async fn team_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new team.")] input: TeamCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<TeamCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let members: Vec<Uuid> = Noun::User.read_all(&input.members, "members")?;
                domain.team_create(&actor, &input.name, &members).await
            },
            |domain, actor, id| async move { domain.team(&actor, id).await },
        )
        .await
    }

    /// Changes a team.
    async fn team_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: TeamUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<TeamUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Team.read_at(&id, "id")?;
                domain.team_update(&actor, id, expected_version, input.name.as_deref()).await
            },
            |domain, actor, id| async move { domain.team(&actor, id).await },
        )
        .await
    }

    /// Adds members of the company to a team, and takes others out of it.
    async fn team_members_change(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Who comes and who leaves.")] input: TeamMembersChangeInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<TeamMembersChangePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Team.read_at(&id, "id")?;
                let add: Vec<Uuid> = Noun::User.read_all(&input.add, "add")?;
                let remove: Vec<Uuid> = Noun::User.read_all(&input.remove, "remove")?;
                domain.team_members_change(&actor, id, expected_version, &add, &remove).await
            },
            |domain, actor, id| async move { domain.team(&actor, id).await },
        )
        .await
    }

    /// Archives a team. What it owns and is assigned stays.
    async fn team_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<TeamArchivePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Team.read_at(&id, "id")?;
                domain.team_archive(&actor, id, expected_version, true).await
            },
            |domain, actor, id| async move { domain.team(&actor, id).await },
        )
        .await
    }

    /// Takes an archived team back.
    async fn team_unarchive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<TeamUnarchivePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Team.read_at(&id, "id")?;
                domain.team_archive(&actor, id, expected_version, false).await
            },
            |domain, actor, id| async move { domain.team(&actor, id).await },
        )
        .await
    }
}
