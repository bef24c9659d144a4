//! Memberships and portfolios.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object};
use domain::access::Portfolio;
use domain::approval::absence::Absence;
use domain::error::Result;
use domain::inventory::membership::{Membership, MembershipChange};
use domain::inventory::project::Project;
use domain::inventory::team::Team;
use domain::inventory::user::User;
use record::{record, root};

use super::absence::AbsenceNode;
use super::id::Noun;
use super::loaders::{many, one};
use super::payload::{Gone, mutate, payload};
use super::project::ProjectNode;
use super::scalars::DateTime;
use super::team::TeamNode;
use super::user::UserNode;
use super::words::Role;

pub struct PortfolioNode(Portfolio);

impl From<Portfolio> for PortfolioNode {
    fn from(portfolio: Portfolio) -> Self {
        Self(portfolio)
    }
}

/// What a member or a service account covers: the whole company, or the findings of some projects
/// and the assets of some owner teams with their findings.
#[record]
#[Object(name = "Portfolio")]
impl PortfolioNode {
    /// It is the whole company.
    fn whole(&self) -> bool {
        self.0 == Portfolio::Whole
    }

    /// The projects of a narrow portfolio that the caller may see.
    async fn projects(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Vec<Arc<ProjectNode>>>> {
        let ids = rows.iter().map(|row| match &row.0 {
            Portfolio::Whole => Vec::new(),
            Portfolio::Only { projects, .. } => projects.iter().copied().collect(),
        });
        many::<Project, _>(ctx, ids).await
    }

    /// The owner teams of a narrow portfolio.
    async fn teams(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<Arc<TeamNode>>>> {
        let ids = rows.iter().map(|row| match &row.0 {
            Portfolio::Whole => Vec::new(),
            Portfolio::Only { teams, .. } => teams.iter().copied().collect(),
        });
        many::<Team, _>(ctx, ids).await
    }
}

/// A narrow portfolio. Null in its place is the whole company.
#[derive(InputObject)]
pub struct PortfolioInput {
    /// The global ids of the projects whose findings it covers.
    #[graphql(default)]
    projects: Vec<ID>,
    /// The global ids of the owner teams whose assets and findings it covers.
    #[graphql(default)]
    teams: Vec<ID>,
}

/// The portfolio that an input means.
pub fn portfolio(input: Option<PortfolioInput>) -> Result<Portfolio> {
    let Some(PortfolioInput { projects, teams }) = input else { return Ok(Portfolio::Whole) };
    let projects = Noun::Project.read_all(&projects, "projects").map_err(|error| error.at("portfolio"))?;
    let teams = Noun::Team.read_all(&teams, "teams").map_err(|error| error.at("portfolio"))?;
    Ok(Portfolio::Only { projects, teams })
}

/// A role and a portfolio as the domain takes them.
pub fn grant(role: Role, input: Option<PortfolioInput>) -> Result<(domain::access::Role, Portfolio)> {
    Ok((role.into(), portfolio(input)?))
}

/// The change of a portfolio: none if it was not said.
pub fn portfolio_change(input: MaybeUndefined<PortfolioInput>) -> Result<Option<Portfolio>> {
    match input {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Ok(Some(Portfolio::Whole)),
        MaybeUndefined::Value(input) => portfolio(Some(input)).map(Some),
    }
}

pub struct MembershipNode(Membership);

impl From<Membership> for MembershipNode {
    fn from(membership: Membership) -> Self {
        Self(membership)
    }
}

/// What a user is in a company.
#[record]
#[Object(name = "Membership")]
impl MembershipNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Membership.id(self.0.id)
    }

    /// When the user is away, and who stands in; null where nothing is said of it.
    async fn absence(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<AbsenceNode>>>> {
        one::<Absence, _>(ctx, rows.iter().map(|row| Some(row.0.user))).await
    }

    /// Who is the member; null where the caller acts for another company.
    async fn user(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<UserNode>>>> {
        one::<User, _>(ctx, rows.iter().map(|row| Some(row.0.user))).await
    }

    /// What the member may do.
    fn role(&self) -> Role {
        self.0.role.into()
    }

    /// What the member covers.
    fn portfolio(&self) -> PortfolioNode {
        PortfolioNode(self.0.portfolio.clone())
    }

    /// When the user became a member.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When the membership was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Counts its changes: an update names the one that it saw.
    fn version(&self) -> i64 {
        self.0.version
    }
}

/// An existing user to become a member of a company.
#[derive(InputObject)]
pub struct MembershipCreateInput {
    /// The company's global id.
    company: ID,
    /// The user's global id.
    user: ID,
    /// What the member may do.
    role: Role,
    /// What the member covers; the whole company if null.
    portfolio: Option<PortfolioInput>,
}

/// What of a membership is to change.
#[derive(InputObject)]
pub struct MembershipUpdateInput {
    /// Another role.
    role: Option<Role>,
    /// Another portfolio; null is the whole company.
    portfolio: MaybeUndefined<PortfolioInput>,
}

payload! {
    /// What `membershipCreate` answers.
    MembershipCreatePayload {
        /// The new membership.
        membership: MembershipNode
    }
    /// What `membershipUpdate` answers.
    MembershipUpdatePayload {
        /// The membership as it is now.
        membership: MembershipNode
    }
    /// What `membershipRemove` answers.
    MembershipRemovePayload {
        /// The global id of the membership that is gone.
        removed_id: ID
    }
}

#[derive(Default)]
pub struct MembershipMutation;

#[root]
#[Object]
impl MembershipMutation {
    /// Makes an existing user a member of a company. For platform admins; a company's admin invites
    /// by mail address, with `userCreate`.
    async fn membership_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, where, and as what.")] input: MembershipCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<MembershipCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let company = Noun::Company.read_at(&input.company, "company")?;
                let user = Noun::User.read_at(&input.user, "user")?;
                let (role, portfolio) = grant(input.role, input.portfolio)?;
                domain.membership_create(&actor, company, user, role, portfolio).await
            },
            |domain, actor, id| async move { domain.membership(&actor, id).await },
        )
        .await
    }

    /// Changes the role or the portfolio of a member. A company keeps an admin.
    async fn membership_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The membership's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: MembershipUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<MembershipUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Membership.read_at(&id, "id")?;
                let role = input.role.map(Into::into);
                let change = MembershipChange { role, portfolio: portfolio_change(input.portfolio)? };
                domain.membership_update(&actor, id, expected_version, change).await
            },
            |domain, actor, id| async move { domain.membership(&actor, id).await },
        )
        .await
    }

    /// Takes a member out of the company and its teams; the member's sessions and tokens for it end with
    /// that, and the work is handed over.
    async fn membership_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The membership's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "The global id of the member who takes over assignments and saved views. Null \
                          leaves assignments to nobody, and views as they are.")]
        hand_over_to: Option<ID>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<MembershipRemovePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Membership.read_at(&id, "id")?;
                let heir = hand_over_to.map(|id| Noun::User.read_at(&id, "handOverTo")).transpose()?;
                let gone = domain.membership_end(&actor, id, expected_version, heir).await?;
                Ok(Gone(Noun::Membership, gone.id))
            },
            |_, _, id| async move { Ok(Gone(Noun::Membership, id)) },
        )
        .await
    }
}
