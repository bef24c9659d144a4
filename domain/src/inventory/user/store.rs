//! The rows of user accounts. They belong to no company: a scope reaches its members.

use std::collections::HashMap;

use entity::user_account::Model;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{User, UserFilter, UserOrder};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::inventory::record::Record;
use crate::page::{Key, KeyKind, Order, Page, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::write_term;
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("email", Type::Text),
    ("name", Type::Text),
    ("platform_admin", Type::Bool),
    ("disabled_at", Type::BigInt),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

const CHANGING: &[&str] = &["email", "name", "platform_admin", "disabled_at", "updated_at", "version"];

fn rows(user: &User) -> Rows {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        user.id.into(),
        user.email.as_str().into(),
        user.name.as_str().into(),
        user.platform_admin.into(),
        user.disabled_at.map(|at| at.0).into(),
        user.created_at.0.into(),
        user.updated_at.0.into(),
        user.version.into(),
    ]);
    rows
}

fn read(row: &QueryResult) -> Result<User> {
    let row = Model::from_query_result(row, "")?;
    Ok(User {
        id: row.id,
        email: row.email,
        name: row.name,
        platform_admin: row.platform_admin,
        disabled_at: row.disabled_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

impl Order for UserOrder {
    fn sort(self) -> Sort {
        const NAME: &[Key] = &[Key::new("u.name", KeyKind::Text), Key::new("u.id", KeyKind::Uuid)];
        const EMAIL: &[Key] = &[Key::new("u.email", KeyKind::Text), Key::new("u.id", KeyKind::Uuid)];
        const CREATED: &[Key] = &[Key::new("u.created_at", KeyKind::Int), Key::new("u.id", KeyKind::Uuid)];
        let keys = match self {
            Self::Name => NAME,
            Self::Email => EMAIL,
            Self::CreatedAt => CREATED,
        };
        Sort::new(self.word(), keys)
    }
}

/// The users that `scope` knows: the members of its company, or all.
fn select(dialect: Dialect, scope: &Scope, columns: &str) -> Sql {
    let sql = Sql::new(dialect, "SELECT ").push(columns).push(" FROM user_account u WHERE 1 = 1");
    match scope {
        Scope::Company(company, _) => sql
            .push(" AND EXISTS (SELECT 1 FROM membership m WHERE m.user_id = u.id AND m.company_id = ")
            .bind(*company)
            .push(")"),
        Scope::Global | Scope::System => sql,
    }
}

fn matching(dialect: Dialect, scope: &Scope, columns: &str, filter: &UserFilter) -> Sql {
    let mut sql = select(dialect, scope, columns);
    if let Some(part) = &filter.query {
        sql = sql.push(" AND (").contains("u.name", part).push(" OR ").contains("u.email", part).push(")");
    }
    if let Some(role) = filter.role {
        sql = sql
            .push(" AND EXISTS (SELECT 1 FROM membership m WHERE m.user_id = u.id AND m.role = ")
            .bind(write_term(role))
            .own(scope, "m")
            .push(")");
    }
    if let Some(team) = filter.team {
        sql = sql
            .push(" AND EXISTS (SELECT 1 FROM team_member t WHERE t.user_id = u.id AND t.team_id = ")
            .bind(team)
            .own(scope, "t")
            .push(")");
    }
    match filter.disabled {
        Some(true) => sql.push(" AND u.disabled_at IS NOT NULL"),
        Some(false) => sql.push(" AND u.disabled_at IS NULL"),
        None => sql,
    }
}

impl Db {
    pub(super) async fn users(
        &self,
        scope: &Scope,
        filter: &UserFilter,
        window: &Window,
    ) -> Result<Page<User>> {
        let columns = format!("u.*{}", key_columns(&window.sort));
        let sql = matching(self.dialect, scope, &columns, filter).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn user_count(&self, scope: &Scope, filter: &UserFilter) -> Result<i64> {
        matching(self.dialect, scope, "COUNT(*) AS n", filter).count(self.read()).await
    }
}

/// The users of these ids that `scope` knows.
pub(crate) async fn by_id(
    conn: &impl ConnectionTrait,
    dialect: Dialect,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, User>> {
    let sql = select(dialect, scope, "u.*").push(" AND ").one_of("u.id", ids.iter().copied());
    sql.all(conn).await?.iter().map(|row| read(row).map(|user| (user.id, user))).collect()
}

pub(crate) async fn by_email(tx: &Tx, scope: &Scope, email: &str) -> Result<Option<User>> {
    let sql = select(tx.dialect, scope, "u.*").push(" AND u.email = ").bind(email);
    sql.one(tx.conn()).await?.as_ref().map(read).transpose()
}

pub(crate) async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<User> {
    let sql = select(tx.dialect, scope, "u.*").push(" AND u.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(User::NOUN))?;
    read(&row)
}

/// In how many companies of `scope` the user is a member.
pub(super) async fn memberships(tx: &Tx, scope: &Scope, user: Uuid) -> Result<i64> {
    Sql::new(tx.dialect, "SELECT COUNT(*) AS n FROM membership m WHERE m.user_id = ")
        .bind(user)
        .own(scope, "m")
        .count(tx.conn())
        .await
}

pub(crate) async fn insert(tx: &Tx, user: &User) -> Result<()> {
    rows(user).insert(tx.conn(), tx.dialect, "user_account", "").await?;
    Ok(())
}

pub(super) async fn update(tx: &Tx, user: &User) -> Result<()> {
    rows(user).update(tx.conn(), tx.dialect, "user_account", CHANGING, "").await?;
    Ok(())
}
