//! The rows of projects.

use std::collections::HashMap;

use entity::project::Model;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{Project, ProjectFilter, ProjectOrder};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::inventory::record::Record;
use crate::page::{Key, KeyKind, Order, Page, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("name", Type::Text),
    ("description", Type::Text),
    ("archived_at", Type::BigInt),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

const CHANGING: &[&str] = &["name", "description", "archived_at", "updated_at", "version"];

fn rows(project: &Project) -> Rows {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        project.id.into(),
        project.company.into(),
        project.name.as_str().into(),
        project.description.as_deref().into(),
        project.archived_at.map(|at| at.0).into(),
        project.created_at.0.into(),
        project.updated_at.0.into(),
        project.version.into(),
    ]);
    rows
}

fn read(row: &QueryResult) -> Result<Project> {
    let row = Model::from_query_result(row, "")?;
    Ok(Project {
        id: row.id,
        company: row.company_id,
        name: row.name,
        description: row.description,
        archived_at: row.archived_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

impl Order for ProjectOrder {
    fn sort(self) -> Sort {
        const NAME: &[Key] = &[Key::new("p.name", KeyKind::Text), Key::new("p.id", KeyKind::Uuid)];
        const CREATED: &[Key] = &[Key::new("p.created_at", KeyKind::Int), Key::new("p.id", KeyKind::Uuid)];
        const UPDATED: &[Key] = &[Key::new("p.updated_at", KeyKind::Int), Key::new("p.id", KeyKind::Uuid)];
        let keys = match self {
            Self::Name => NAME,
            Self::CreatedAt => CREATED,
            Self::UpdatedAt => UPDATED,
        };
        Sort::new(self.word(), keys)
    }
}

/// The projects that `scope` covers.
fn select(dialect: Dialect, scope: &Scope, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ")
        .push(columns)
        .push(" FROM project p WHERE 1 = 1")
        .own(scope, "p")
        .covered_project(scope, "p.id")
}

fn matching(dialect: Dialect, scope: &Scope, columns: &str, filter: &ProjectFilter) -> Sql {
    let mut sql = select(dialect, scope, columns);
    if let Some(part) = &filter.query {
        sql = sql.push(" AND ").contains("p.name", part);
    }
    match filter.archived {
        Some(true) => sql.push(" AND p.archived_at IS NOT NULL"),
        Some(false) => sql.push(" AND p.archived_at IS NULL"),
        None => sql,
    }
}

impl Db {
    pub(super) async fn projects(
        &self,
        scope: &Scope,
        filter: &ProjectFilter,
        window: &Window,
    ) -> Result<Page<Project>> {
        let columns = format!("p.*{}", key_columns(&window.sort));
        let sql = matching(self.dialect, scope, &columns, filter).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn project_count(&self, scope: &Scope, filter: &ProjectFilter) -> Result<i64> {
        matching(self.dialect, scope, "COUNT(*) AS n", filter).count(self.read()).await
    }
}

/// The projects of these ids that `scope` covers.
pub(crate) async fn by_id(
    conn: &impl ConnectionTrait,
    dialect: Dialect,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Project>> {
    let sql = select(dialect, scope, "p.*").push(" AND ").one_of("p.id", ids.iter().copied());
    sql.all(conn).await?.iter().map(|row| read(row).map(|project| (project.id, project))).collect()
}

/// The project, held until the transaction ends.
pub(super) async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<Project> {
    let sql = select(tx.dialect, scope, "p.*").push(" AND p.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(Project::NOUN))?;
    read(&row)
}

pub(super) async fn insert(tx: &Tx, project: &Project) -> Result<()> {
    rows(project).insert(tx.conn(), tx.dialect, "project", "").await?;
    Ok(())
}

pub(super) async fn update(tx: &Tx, project: &Project) -> Result<()> {
    rows(project).update(tx.conn(), tx.dialect, "project", CHANGING, "").await?;
    Ok(())
}
