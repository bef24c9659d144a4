//! The rows of companies.

use entity::company::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::Company;
use crate::access::{GLOBAL, Scope};
use crate::error::{Error, Result};
use crate::inventory::record::Record;
use crate::page::{Key, KeyKind, Page, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("name", Type::Text),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

pub(super) const BY_NAME: Sort =
    Sort::new("NAME", &[Key::new("c.name", KeyKind::Text), Key::new("c.id", KeyKind::Uuid)]);

fn rows(company: &Company) -> Rows {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        company.id.into(),
        company.name.as_str().into(),
        company.created_at.0.into(),
        company.updated_at.0.into(),
        company.version.into(),
    ]);
    rows
}

fn read(row: &QueryResult) -> Result<Company> {
    let row = Model::from_query_result(row, "")?;
    Ok(Company {
        id: row.id,
        name: row.name,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

/// The companies that `user` may know of in `scope`; the global one is none.
fn select(dialect: Dialect, scope: &Scope, user: Uuid, columns: &str) -> Sql {
    let sql = Sql::new(dialect, "SELECT ").push(columns).push(" FROM company c WHERE c.id <> ").bind(GLOBAL);
    match scope {
        Scope::Company(own, _) => sql
            .push(" AND (c.id = ")
            .bind(*own)
            .push(" OR EXISTS (SELECT 1 FROM membership m WHERE m.company_id = c.id AND m.user_id = ")
            .bind(user)
            .push("))"),
        Scope::Global | Scope::System => sql,
    }
}

impl Db {
    pub(super) async fn company(&self, scope: &Scope, user: Uuid, id: Uuid) -> Result<Option<Company>> {
        let sql = select(self.dialect, scope, user, "c.*").push(" AND c.id = ").bind(id);
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(super) async fn companies(
        &self,
        scope: &Scope,
        user: Uuid,
        window: &Window,
    ) -> Result<Page<Company>> {
        let columns = format!("c.*{}", key_columns(&window.sort));
        let sql = select(self.dialect, scope, user, &columns).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn company_count(&self, scope: &Scope, user: Uuid) -> Result<i64> {
        select(self.dialect, scope, user, "COUNT(*) AS n").count(self.read()).await
    }
}

/// The scope's company, held until the transaction ends: changes of who its admins are take turns.
pub(crate) async fn lock(tx: &Tx, scope: &Scope) -> Result<Company> {
    let sql = Sql::new(tx.dialect, "SELECT c.* FROM company c WHERE c.id = ").bind(scope.company()?).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(Company::NOUN))?;
    read(&row)
}

pub(crate) async fn insert(tx: &Tx, company: &Company) -> Result<()> {
    rows(company).insert(tx.conn(), tx.dialect, "company", "").await?;
    Ok(())
}

pub(super) async fn update(tx: &Tx, company: &Company) -> Result<()> {
    rows(company).update(tx.conn(), tx.dialect, "company", &["name", "updated_at", "version"], "").await?;
    Ok(())
}
