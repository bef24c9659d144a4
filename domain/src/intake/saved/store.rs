//! The rows of saved mappings.

use entity::saved_mapping::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::SavedMapping;
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::intake::format::Format;
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
    ("company_id", Type::Uuid),
    ("name", Type::Text),
    ("format", Type::Text),
    ("mapping", Type::Text),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

pub(super) const BY_NAME: Sort =
    Sort::new("NAME", &[Key::new("m.name", KeyKind::Text), Key::new("m.id", KeyKind::Uuid)]);

fn rows(saved: &SavedMapping) -> Result<Rows> {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        saved.id.into(),
        saved.company.into(),
        saved.name.as_str().into(),
        saved.format.key().into(),
        serde_json::to_string(&saved.mapping).map_err(Error::internal)?.into(),
        saved.created_at.0.into(),
        saved.updated_at.0.into(),
        saved.version.into(),
    ]);
    Ok(rows)
}

fn read(row: &QueryResult) -> Result<SavedMapping> {
    let row = Model::from_query_result(row, "")?;
    let format = Format::parse(&row.format);
    Ok(SavedMapping {
        id: row.id,
        company: row.company_id,
        name: row.name,
        format: format.ok_or_else(|| Error::internal(format!("{} is no format", row.format)))?,
        mapping: serde_json::from_str(&row.mapping).map_err(Error::internal)?,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

/// The mappings that may be used in `scope`: its own, and those for all companies.
fn select(dialect: Dialect, scope: &Scope, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ")
        .push(columns)
        .push(" FROM saved_mapping m WHERE 1 = 1")
        .own_or_global(scope, "m")
}

impl Db {
    pub(super) async fn saved_mapping(&self, scope: &Scope, id: Uuid) -> Result<Option<SavedMapping>> {
        let sql = select(self.dialect, scope, "m.*").push(" AND m.id = ").bind(id);
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(super) async fn saved_mappings(&self, scope: &Scope, window: &Window) -> Result<Page<SavedMapping>> {
        let columns = format!("m.*{}", key_columns(&window.sort));
        let sql = select(self.dialect, scope, &columns).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn saved_mapping_count(&self, scope: &Scope) -> Result<i64> {
        select(self.dialect, scope, "COUNT(*) AS n").count(self.read()).await
    }
}

/// A mapping of the scope's own company, held until the transaction ends.
pub(super) async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<SavedMapping> {
    let sql = select(tx.dialect, scope, "m.*").own(scope, "m").push(" AND m.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(SavedMapping::NOUN))?;
    read(&row)
}

pub(super) async fn insert(tx: &Tx, saved: &SavedMapping) -> Result<()> {
    rows(saved)?.insert(tx.conn(), tx.dialect, "saved_mapping", "").await?;
    Ok(())
}

pub(super) async fn update(tx: &Tx, saved: &SavedMapping) -> Result<()> {
    let changing = &["name", "mapping", "updated_at", "version"];
    rows(saved)?.update(tx.conn(), tx.dialect, "saved_mapping", changing, "").await?;
    Ok(())
}

pub(super) async fn delete(tx: &Tx, saved: &SavedMapping) -> Result<()> {
    Sql::new(tx.dialect, "DELETE FROM saved_mapping WHERE id = ").bind(saved.id).run(tx.conn()).await?;
    Ok(())
}
