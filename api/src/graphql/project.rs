//! Projects.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use domain::inventory::project::{self, NewProject, Project, ProjectChange};
use domain::page::OrderBy;
use record::{record, root};

use super::id::Noun;
use super::page::{Counter, OrderDirection, args, connection};
use super::payload::{change, mutate, payload};
use super::scalars::DateTime;
use super::words::Allowed;
use super::{actor, domain, found};

pub struct ProjectNode(Project);

impl From<Project> for ProjectNode {
    fn from(project: Project) -> Self {
        Self(project)
    }
}

/// A scope of work that findings belong to.
#[record]
#[Object(name = "Project")]
impl ProjectNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Project.id(self.0.id)
    }

    /// The name; unique in its company.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is about.
    fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
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

    /// What the caller can do with it.
    fn viewer_can(&self, ctx: &Context<'_>) -> async_graphql::Result<ProjectViewerCan> {
        let actor = actor(ctx)?;
        Ok(ProjectViewerCan {
            edit: self.0.may_edit(actor).into(),
            archive: self.0.may_archive(actor).into(),
        })
    }
}

/// What the caller can do with a project.
#[record]
#[derive(SimpleObject)]
pub struct ProjectViewerCan {
    /// To change it.
    edit: Allowed,
    /// To archive it, or to take it back.
    archive: Allowed,
}

connection!(ProjectConnection, ProjectEdge, ProjectNode, "A page of projects.", "A project in a page.");

/// Which projects: all that is said must hold.
#[derive(InputObject)]
pub struct ProjectFilter {
    /// A part of the name, ignoring the case of ASCII letters.
    query: Option<String>,
    /// Only archived ones, or only others; null for both.
    #[graphql(default_with = "Some(false)")]
    archived: Option<bool>,
}

/// What projects are sorted by.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::inventory::project::ProjectOrder")]
pub enum ProjectOrderField {
    /// The name.
    Name,
    /// When the project was made.
    CreatedAt,
    /// When the project was last changed.
    UpdatedAt,
}

/// How projects are sorted.
#[derive(InputObject)]
pub struct ProjectOrder {
    /// By what.
    field: ProjectOrderField,
    /// Which way.
    #[graphql(default_with = "OrderDirection::Asc")]
    direction: OrderDirection,
}

#[derive(Default)]
pub struct ProjectQuery;

#[root]
#[Object]
impl ProjectQuery {
    /// A project inside of the caller's portfolio.
    async fn project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project's global id.")] id: ID,
    ) -> async_graphql::Result<Option<ProjectNode>> {
        let Ok(id) = Noun::Project.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).project(actor(ctx)?, id).await)?)
    }

    /// The projects inside of the caller's portfolio.
    #[expect(clippy::too_many_arguments, reason = "these are the arguments of a connection")]
    async fn projects(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all that are not archived if not said.")] filter: Option<ProjectFilter>,
        #[graphql(desc = "How they are sorted; by name if not said.")] order_by: Option<ProjectOrder>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<ProjectConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or(ProjectFilter { query: None, archived: Some(false) });
        let filter = project::ProjectFilter { query: filter.query, archived: filter.archived };
        let order = order_by.map_or(OrderBy::ascending(project::ProjectOrder::Name), |order| OrderBy {
            by: order.field.into(),
            descending: order.direction.descends(),
        });
        let page = domain.projects(&actor, &filter, order, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.project_count(&actor, &filter).await }
        });
        Ok(ProjectConnection::new(page, total))
    }
}

/// A new project.
#[derive(InputObject)]
pub struct ProjectCreateInput {
    /// Its name; unique in the company.
    name: String,
    /// What it is about.
    description: Option<String>,
}

/// What of a project is to change.
#[derive(InputObject)]
pub struct ProjectUpdateInput {
    /// Another name.
    name: Option<String>,
    /// Another description; null takes it away.
    description: MaybeUndefined<String>,
}

payload! {
    /// What `projectCreate` answers.
    ProjectCreatePayload {
        /// The new project.
        project: ProjectNode
    }
    /// What `projectUpdate` answers.
    ProjectUpdatePayload {
        /// The project as it is now.
        project: ProjectNode
    }
    /// What `projectArchive` answers.
    ProjectArchivePayload {
        /// The project as it is now.
        project: ProjectNode
    }
    /// What `projectUnarchive` answers.
    ProjectUnarchivePayload {
        /// The project as it is now.
        project: ProjectNode
    }
}

#[derive(Default)]
pub struct ProjectMutation;

#[root]
#[Object]
impl ProjectMutation {
    /// Makes a project. It takes the whole company: a narrow portfolio would not cover it.
    async fn project_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new project.")] input: ProjectCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ProjectCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let new = NewProject { name: input.name, description: input.description };
                domain.project_create(&actor, new).await
            },
            |domain, actor, id| async move { domain.project(&actor, id).await },
        )
        .await
    }

    /// Changes a project that is not archived.
    async fn project_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: ProjectUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ProjectUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Project.read_at(&id, "id")?;
                let change = ProjectChange { name: input.name, description: change(input.description) };
                domain.project_update(&actor, id, expected_version, change).await
            },
            |domain, actor, id| async move { domain.project(&actor, id).await },
        )
        .await
    }

    /// Archives a project. Its findings stay.
    async fn project_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ProjectArchivePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Project.read_at(&id, "id")?;
                domain.project_archive(&actor, id, expected_version, true).await
            },
            |domain, actor, id| async move { domain.project(&actor, id).await },
        )
        .await
    }

    /// Takes an archived project back.
    async fn project_unarchive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ProjectUnarchivePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Project.read_at(&id, "id")?;
                domain.project_archive(&actor, id, expected_version, false).await
            },
            |domain, actor, id| async move { domain.project(&actor, id).await },
        )
        .await
    }
}
