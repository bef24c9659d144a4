//! Projects: the scopes of work that findings belong to.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Scope};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::inventory::input;
use crate::inventory::record::{Record, taken};
use crate::page::{OrderBy, Page, PageArgs, Window};
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub id: Uuid,
    pub company: Uuid,
    /// Unique in its company.
    pub name: String,
    pub description: Option<String>,
    pub archived_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

#[derive(Clone, Debug, Default)]
pub struct NewProject {
    pub name: String,
    pub description: Option<String>,
}

/// What is to change: `None` leaves a value, `Some(None)` takes it away.
#[derive(Clone, Debug, Default)]
pub struct ProjectChange {
    pub name: Option<String>,
    pub description: Option<Option<String>>,
}

/// Which projects a list has: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct ProjectFilter {
    /// A part of the name, ignoring ASCII case.
    pub query: Option<String>,
    pub archived: Option<bool>,
}

terms! {
    /// What projects are sorted by.
    ProjectOrder { Name = "NAME", CreatedAt = "CREATED_AT", UpdatedAt = "UPDATED_AT" }
}

impl Record for Project {
    const NOUN: &'static str = "project";

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn facts(&self) -> Json {
        json!({
            "name": self.name,
            "description": self.description,
            "archived": self.archived_at.is_some(),
        })
    }
}

impl Project {
    /// Whether the actor may change this project, which it sees.
    pub fn may_edit(&self, actor: &Actor) -> Result<()> {
        self.may_archive(actor)?;
        if self.archived_at.is_some() {
            return Err(Error::new(
                Code::IllegalState,
                "An archived project is not changed: take it back first.",
            ));
        }
        Ok(())
    }

    /// Whether the actor may archive this project, which it sees, or take it back.
    pub fn may_archive(&self, actor: &Actor) -> Result<()> {
        actor.allow(Permission::EditInventory).map(drop)
    }
}

impl ProjectChange {
    fn apply(self, project: &mut Project) -> Result<()> {
        if let Some(name) = self.name {
            project.name = input::name("name", &name, input::NAME)?;
        }
        if let Some(description) = self.description {
            project.description = input::optional_text("description", description.as_deref())?;
        }
        Ok(())
    }
}

const TAKEN: &str = "a project of this name";

impl Domain {
    /// A project inside of the actor's portfolio.
    pub async fn project(&self, actor: &Actor, id: Uuid) -> Result<Project> {
        let found = self.projects_by_id(actor, &[id]).await?.remove(&id);
        found.ok_or_else(|| Error::not_found(Project::NOUN))
    }

    pub async fn projects(
        &self,
        actor: &Actor,
        filter: &ProjectFilter,
        order: OrderBy<ProjectOrder>,
        page: &PageArgs,
    ) -> Result<Page<Project>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().projects(&scope, filter, &Window::new(page, order.sort())?).await
    }

    pub async fn project_count(&self, actor: &Actor, filter: &ProjectFilter) -> Result<i64> {
        self.db().project_count(&actor.allow(Permission::Read)?, filter).await
    }

    /// The projects of these ids that the actor may see.
    pub async fn projects_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Project>> {
        let scope = actor.allow(Permission::Read)?;
        store::by_id(self.db().read(), self.db().dialect, &scope, ids).await
    }

    /// Makes a project, which takes the whole company: a narrow portfolio would not cover it.
    pub async fn project_create(&self, actor: &Actor, new: NewProject) -> Result<Project> {
        let scope = actor.allow(Permission::EditInventory)?.of_tenant()?;
        if matches!(scope, Scope::Company(_, Portfolio::Only { .. })) {
            return Err(Error::forbidden("make projects: your portfolio would not cover them"));
        }
        let mut tx = self.begin(actor, &scope).await?;
        let mut project = Project {
            id: self.clock().id(),
            company: tx.company,
            name: String::new(),
            description: None,
            archived_at: None,
            created_at: tx.now(),
            updated_at: tx.now(),
            version: 1,
        };
        ProjectChange { name: Some(new.name), description: Some(new.description) }.apply(&mut project)?;
        store::insert(&tx, &project).await.map_err(|error| taken(error, "name", TAKEN))?;
        tx.audit_created("project.created", &project);
        tx.emit(Event::new(EventKind::ProjectCreated, project.id, json!({ "name": project.name })));
        tx.commit().await?;
        Ok(project)
    }

    /// Changes a project that is not archived.
    pub async fn project_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        change: ProjectChange,
    ) -> Result<Project> {
        self.project_edit(actor, id, expected_version, "project.updated", |project, _| {
            project.may_edit(actor)?;
            change.apply(project)
        })
        .await
    }

    /// Archives a project, or takes it back. Its findings stay.
    pub async fn project_archive(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        archived: bool,
    ) -> Result<Project> {
        let action = if archived { "project.archived" } else { "project.unarchived" };
        self.project_edit(actor, id, expected_version, action, |project, now| {
            project.archived_at = archived.then(|| project.archived_at.unwrap_or(now));
            Ok(())
        })
        .await
    }

    async fn project_edit(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        action: &'static str,
        edit: impl FnOnce(&mut Project, Timestamp) -> Result<()>,
    ) -> Result<Project> {
        let scope = actor.allow(Permission::EditInventory)?;
        let mut tx = self.begin(actor, &scope).await?;
        let before = store::lock(&tx, &scope, id).await?;
        tx.expect_version(&before, expected_version).await?;
        let mut after = before.clone();
        edit(&mut after, tx.now())?;
        let Some(diff) = tx.audit_changed(action, &before, &after) else { return Ok(before) };
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await.map_err(|error| taken(error, "name", TAKEN))?;
        if action == "project.archived" {
            tx.emit(Event::new(EventKind::ProjectArchived, id, json!({ "name": after.name })));
        } else {
            tx.emit(Event::new(EventKind::ProjectUpdated, id, diff.payload()));
        }
        tx.commit().await?;
        Ok(after)
    }
}
