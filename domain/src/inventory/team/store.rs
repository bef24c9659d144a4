//! The rows of teams and of who is in them.

use std::collections::HashMap;

use entity::team::Model;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{Roster, Team, TeamFilter, TeamOrder};
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
    ("archived_at", Type::BigInt),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

const MEMBER: &[Column] = &[("team_id", Type::Uuid), ("user_id", Type::Uuid), ("company_id", Type::Uuid)];

fn rows(team: &Team) -> Rows {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        team.id.into(),
        team.company.into(),
        team.name.as_str().into(),
        team.archived_at.map(|at| at.0).into(),
        team.created_at.0.into(),
        team.updated_at.0.into(),
        team.version.into(),
    ]);
    rows
}

fn read(row: &QueryResult) -> Result<Team> {
    let row = Model::from_query_result(row, "")?;
    Ok(Team {
        id: row.id,
        company: row.company_id,
        name: row.name,
        archived_at: row.archived_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

impl Order for TeamOrder {
    fn sort(self) -> Sort {
        const NAME: &[Key] = &[Key::new("t.name", KeyKind::Text), Key::new("t.id", KeyKind::Uuid)];
        const CREATED: &[Key] = &[Key::new("t.created_at", KeyKind::Int), Key::new("t.id", KeyKind::Uuid)];
        let keys = match self {
            Self::Name => NAME,
            Self::CreatedAt => CREATED,
        };
        Sort::new(self.word(), keys)
    }
}

fn select(dialect: Dialect, scope: &Scope, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ").push(columns).push(" FROM team t WHERE 1 = 1").own(scope, "t")
}

fn matching(dialect: Dialect, scope: &Scope, columns: &str, filter: &TeamFilter) -> Sql {
    let mut sql = select(dialect, scope, columns);
    if let Some(part) = &filter.query {
        sql = sql.push(" AND ").contains("t.name", part);
    }
    if let Some(member) = filter.member {
        sql = sql
            .push(" AND EXISTS (SELECT 1 FROM team_member m WHERE m.team_id = t.id AND m.user_id = ")
            .bind(member)
            .push(")");
    }
    match filter.archived {
        Some(true) => sql.push(" AND t.archived_at IS NOT NULL"),
        Some(false) => sql.push(" AND t.archived_at IS NULL"),
        None => sql,
    }
}

impl Db {
    pub(super) async fn teams(
        &self,
        scope: &Scope,
        filter: &TeamFilter,
        window: &Window,
    ) -> Result<Page<Team>> {
        let columns = format!("t.*{}", key_columns(&window.sort));
        let sql = matching(self.dialect, scope, &columns, filter).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn team_count(&self, scope: &Scope, filter: &TeamFilter) -> Result<i64> {
        matching(self.dialect, scope, "COUNT(*) AS n", filter).count(self.read()).await
    }
}

/// The teams of these ids in the scope's company.
pub(crate) async fn by_id(
    conn: &impl ConnectionTrait,
    dialect: Dialect,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Team>> {
    let sql = select(dialect, scope, "t.*").push(" AND ").one_of("t.id", ids.iter().copied());
    sql.all(conn).await?.iter().map(|row| read(row).map(|team| (team.id, team))).collect()
}

/// The ids of the members of these teams, sorted.
pub(super) async fn members(
    conn: &impl ConnectionTrait,
    dialect: Dialect,
    scope: &Scope,
    teams: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Uuid>>> {
    let rows = Sql::new(dialect, "SELECT m.team_id, m.user_id FROM team_member m WHERE ")
        .one_of("m.team_id", teams.iter().copied())
        .own(scope, "m")
        .push(" ORDER BY m.user_id")
        .all(conn)
        .await?;
    let mut members: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for row in rows {
        members.entry(row.try_get("", "team_id")?).or_default().push(row.try_get("", "user_id")?);
    }
    Ok(members)
}

pub(super) async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<Team> {
    let sql = select(tx.dialect, scope, "t.*").push(" AND t.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(Roster::NOUN))?;
    read(&row)
}

pub(super) async fn insert(tx: &Tx, team: &Team) -> Result<()> {
    rows(team).insert(tx.conn(), tx.dialect, "team", "").await?;
    Ok(())
}

pub(super) async fn update(tx: &Tx, team: &Team) -> Result<()> {
    let changing = &["name", "archived_at", "updated_at", "version"];
    rows(team).update(tx.conn(), tx.dialect, "team", changing, "").await?;
    Ok(())
}

pub(super) async fn add_members(tx: &Tx, team: &Team, users: &[Uuid]) -> Result<()> {
    let mut rows = Rows::new(MEMBER, users.len());
    for user in users {
        rows.push([team.id.into(), (*user).into(), team.company.into()]);
    }
    rows.insert(tx.conn(), tx.dialect, "team_member", "").await?;
    Ok(())
}

pub(super) async fn remove_members(tx: &Tx, team: &Team, users: &[Uuid]) -> Result<()> {
    Sql::new(tx.dialect, "DELETE FROM team_member WHERE team_id = ")
        .bind(team.id)
        .push(" AND ")
        .one_of("user_id", users.iter().copied())
        .run(tx.conn())
        .await?;
    Ok(())
}
