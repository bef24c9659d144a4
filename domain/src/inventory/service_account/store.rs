//! The rows of service accounts.

use std::collections::HashMap;

use entity::service_account::Model;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::ServiceAccount;
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::inventory::record::Record;
use crate::page::{Key, KeyKind, Page, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_portfolio, read_term, write_portfolio, write_term};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("name", Type::Text),
    ("role", Type::Int),
    ("portfolio", Type::Text),
    ("archived_at", Type::BigInt),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

const CHANGING: &[&str] = &["name", "role", "portfolio", "archived_at", "updated_at", "version"];

pub(super) const BY_NAME: Sort =
    Sort::new("NAME", &[Key::new("s.name", KeyKind::Text), Key::new("s.id", KeyKind::Uuid)]);

fn rows(account: &ServiceAccount) -> Rows {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        account.id.into(),
        account.company.into(),
        account.name.as_str().into(),
        write_term(account.role).into(),
        write_portfolio(&account.portfolio),
        account.archived_at.map(|at| at.0).into(),
        account.created_at.0.into(),
        account.updated_at.0.into(),
        account.version.into(),
    ]);
    rows
}

fn read(row: &QueryResult) -> Result<ServiceAccount> {
    let row = Model::from_query_result(row, "")?;
    Ok(ServiceAccount {
        id: row.id,
        company: row.company_id,
        name: row.name,
        role: read_term(row.role)?,
        portfolio: read_portfolio(&row.portfolio)?,
        archived_at: row.archived_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

fn select(dialect: Dialect, scope: &Scope, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ").push(columns).push(" FROM service_account s WHERE 1 = 1").own(scope, "s")
}

fn matching(dialect: Dialect, scope: &Scope, columns: &str, archived: Option<bool>) -> Sql {
    let sql = select(dialect, scope, columns);
    match archived {
        Some(true) => sql.push(" AND s.archived_at IS NOT NULL"),
        Some(false) => sql.push(" AND s.archived_at IS NULL"),
        None => sql,
    }
}

impl Db {
    pub(super) async fn service_accounts(
        &self,
        scope: &Scope,
        archived: Option<bool>,
        window: &Window,
    ) -> Result<Page<ServiceAccount>> {
        let columns = format!("s.*{}", key_columns(&window.sort));
        let sql = matching(self.dialect, scope, &columns, archived).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn service_account_count(&self, scope: &Scope, archived: Option<bool>) -> Result<i64> {
        matching(self.dialect, scope, "COUNT(*) AS n", archived).count(self.read()).await
    }
}

pub(crate) async fn by_id(
    conn: &impl ConnectionTrait,
    dialect: Dialect,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, ServiceAccount>> {
    let sql = select(dialect, scope, "s.*").push(" AND ").one_of("s.id", ids.iter().copied());
    sql.all(conn).await?.iter().map(|row| read(row).map(|account| (account.id, account))).collect()
}

pub(crate) async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<ServiceAccount> {
    let sql = select(tx.dialect, scope, "s.*").push(" AND s.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(ServiceAccount::NOUN))?;
    read(&row)
}

pub(super) async fn insert(tx: &Tx, account: &ServiceAccount) -> Result<()> {
    rows(account).insert(tx.conn(), tx.dialect, "service_account", "").await?;
    Ok(())
}

pub(super) async fn update(tx: &Tx, account: &ServiceAccount) -> Result<()> {
    rows(account).update(tx.conn(), tx.dialect, "service_account", CHANGING, "").await?;
    Ok(())
}
