//! The rows of memberships.

use std::collections::HashMap;

use entity::membership::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::Membership;
use crate::access::{Role, Scope};
use crate::error::{Error, Result};
use crate::inventory::record::Record;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_portfolio, read_term, write_portfolio, write_term};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("user_id", Type::Uuid),
    ("role", Type::Int),
    ("portfolio", Type::Text),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

fn rows(membership: &Membership) -> Rows {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        membership.id.into(),
        membership.company.into(),
        membership.user.into(),
        write_term(membership.role).into(),
        write_portfolio(&membership.portfolio),
        membership.created_at.0.into(),
        membership.updated_at.0.into(),
        membership.version.into(),
    ]);
    rows
}

fn read(row: &QueryResult) -> Result<Membership> {
    let row = Model::from_query_result(row, "")?;
    Ok(Membership {
        id: row.id,
        company: row.company_id,
        user: row.user_id,
        role: read_term(row.role)?,
        portfolio: read_portfolio(&row.portfolio)?,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

fn select(dialect: Dialect, scope: &Scope) -> Sql {
    Sql::new(dialect, "SELECT m.* FROM membership m WHERE 1 = 1").own(scope, "m")
}

impl Db {
    pub(super) async fn membership(&self, scope: &Scope, id: Uuid) -> Result<Option<Membership>> {
        let sql = select(self.dialect, scope).push(" AND m.id = ").bind(id);
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(super) async fn memberships_of(
        &self,
        scope: &Scope,
        users: &[Uuid],
    ) -> Result<HashMap<Uuid, Membership>> {
        let sql = select(self.dialect, scope).push(" AND ").one_of("m.user_id", users.iter().copied());
        let rows = sql.all(self.read()).await?;
        rows.iter().map(|row| read(row).map(|membership| (membership.user, membership))).collect()
    }
}

pub(super) async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<Membership> {
    let sql = select(tx.dialect, scope).push(" AND m.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(Membership::NOUN))?;
    read(&row)
}

/// The membership that a user has in the scope's company, held until the transaction ends.
pub(crate) async fn of_user(tx: &Tx, scope: &Scope, user: Uuid) -> Result<Option<Membership>> {
    let sql = select(tx.dialect, scope).push(" AND m.user_id = ").bind(user).locked();
    sql.one(tx.conn()).await?.as_ref().map(read).transpose()
}

/// How many users other than `user` can administer the company.
pub(super) async fn other_admins(tx: &Tx, scope: &Scope, user: Uuid) -> Result<i64> {
    Sql::new(
        tx.dialect,
        "SELECT COUNT(*) AS n FROM membership m JOIN user_account u ON u.id = m.user_id \
         WHERE u.disabled_at IS NULL AND m.role = ",
    )
    .bind(write_term(Role::Admin))
    .push(" AND m.portfolio = ")
    .bind(write_portfolio(&crate::access::Portfolio::Whole))
    .push(" AND m.user_id <> ")
    .bind(user)
    .own(scope, "m")
    .count(tx.conn())
    .await
}

pub(crate) async fn insert(tx: &Tx, membership: &Membership) -> Result<()> {
    rows(membership).insert(tx.conn(), tx.dialect, "membership", "").await?;
    Ok(())
}

pub(crate) async fn update(tx: &Tx, membership: &Membership) -> Result<()> {
    let changing = &["role", "portfolio", "updated_at", "version"];
    rows(membership).update(tx.conn(), tx.dialect, "membership", changing, "").await?;
    Ok(())
}

/// Removes a membership, with its origin, and its user from the company's teams.
pub(crate) async fn remove(tx: &Tx, membership: &Membership) -> Result<()> {
    Sql::new(tx.dialect, "DELETE FROM team_member WHERE company_id = ")
        .bind(membership.company)
        .push(" AND user_id = ")
        .bind(membership.user)
        .run(tx.conn())
        .await?;
    Sql::new(tx.dialect, "DELETE FROM identity_grant WHERE company_id = ")
        .bind(membership.company)
        .push(" AND user_id = ")
        .bind(membership.user)
        .run(tx.conn())
        .await?;
    Sql::new(tx.dialect, "DELETE FROM membership WHERE id = ").bind(membership.id).run(tx.conn()).await?;
    Ok(())
}

/// In how many companies but the transaction's the user is a member.
pub(crate) async fn elsewhere(tx: &Tx, user: Uuid) -> Result<i64> {
    Sql::new(tx.dialect, "SELECT COUNT(*) AS n FROM membership m WHERE m.user_id = ")
        .bind(user)
        .push(" AND m.company_id <> ")
        .bind(tx.company)
        .count(tx.conn())
        .await
}
