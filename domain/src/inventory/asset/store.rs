//! The rows of assets.

use std::collections::HashMap;

use entity::asset::Model;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult, Value};
use uuid::Uuid;

use super::{Asset, AssetFilter, AssetOrder};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::inventory::record::Record;
use crate::page::{Key, KeyKind, Order, Page, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_list, read_term, write_list, write_term};
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
    ("type", Type::Text),
    ("class", Type::Text),
    ("asset_groups", Type::List),
    ("criticality", Type::Int),
    ("environment", Type::Int),
    ("internet_exposed", Type::Bool),
    ("owner_team_id", Type::Uuid),
    ("tags", Type::List),
    ("archived_at", Type::BigInt),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

const CHANGING: &[&str] = &[
    "name",
    "type",
    "class",
    "asset_groups",
    "criticality",
    "environment",
    "internet_exposed",
    "owner_team_id",
    "tags",
    "archived_at",
    "updated_at",
    "version",
];

fn row(asset: &Asset) -> [Value; COLUMNS.len()] {
    [
        asset.id.into(),
        asset.company.into(),
        asset.name.as_str().into(),
        asset.kind.as_deref().into(),
        asset.class.as_deref().into(),
        write_list(&asset.groups),
        asset.criticality.map(write_term).into(),
        asset.environment.map(write_term).into(),
        asset.internet_exposed.into(),
        asset.owner_team.into(),
        write_list(&asset.tags),
        asset.archived_at.map(|at| at.0).into(),
        asset.created_at.0.into(),
        asset.updated_at.0.into(),
        asset.version.into(),
    ]
}

pub(crate) fn read(row: &QueryResult) -> Result<Asset> {
    let row = Model::from_query_result(row, "")?;
    Ok(Asset {
        id: row.id,
        company: row.company_id,
        name: row.name,
        kind: row.kind,
        class: row.class,
        groups: read_list(row.asset_groups)?,
        criticality: row.criticality.map(read_term).transpose()?,
        environment: row.environment.map(read_term).transpose()?,
        internet_exposed: row.internet_exposed,
        owner_team: row.owner_team_id,
        tags: read_list(row.tags)?,
        archived_at: row.archived_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

impl Order for AssetOrder {
    fn sort(self) -> Sort {
        const NAME: &[Key] = &[Key::new("a.name", KeyKind::Text), Key::new("a.id", KeyKind::Uuid)];
        const CREATED: &[Key] = &[Key::new("a.created_at", KeyKind::Int), Key::new("a.id", KeyKind::Uuid)];
        const UPDATED: &[Key] = &[Key::new("a.updated_at", KeyKind::Int), Key::new("a.id", KeyKind::Uuid)];
        const CRITICALITY: &[Key] =
            &[Key::new("a.criticality", KeyKind::Int).nullable(), Key::new("a.id", KeyKind::Uuid)];
        let keys = match self {
            Self::Name => NAME,
            Self::CreatedAt => CREATED,
            Self::UpdatedAt => UPDATED,
            Self::Criticality => CRITICALITY,
        };
        Sort::new(self.word(), keys)
    }
}

/// The assets that `scope` covers.
fn select(dialect: Dialect, scope: &Scope, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ")
        .push(columns)
        .push(" FROM asset a WHERE 1 = 1")
        .own(scope, "a")
        .covered_asset(scope, "a")
}

fn matching(dialect: Dialect, scope: &Scope, columns: &str, filter: &AssetFilter) -> Sql {
    let mut sql = select(dialect, scope, columns);
    if let Some(part) = &filter.query {
        sql = sql.push(" AND ").contains("a.name", part);
    }
    if let Some(archived) = filter.archived {
        sql =
            sql.push(if archived { " AND a.archived_at IS NOT NULL" } else { " AND a.archived_at IS NULL" });
    }
    if let Some(kind) = &filter.kind {
        sql = sql.push(" AND lower(a.type) = ").bind(kind.to_ascii_lowercase());
    }
    if let Some(terms) = &filter.criticality {
        sql = sql.push(" AND ").one_of_terms("a.criticality", terms);
    }
    if let Some(terms) = &filter.environment {
        sql = sql.push(" AND ").one_of_terms("a.environment", terms);
    }
    if let Some(exposed) = filter.internet_exposed {
        sql = sql.push(" AND a.internet_exposed = ").bind(exposed);
    }
    if let Some(team) = filter.owner_team {
        sql = sql.push(" AND a.owner_team_id = ").bind(team);
    }
    sql
}

impl Db {
    pub(super) async fn asset(&self, scope: &Scope, id: Uuid) -> Result<Option<Asset>> {
        let sql = select(self.dialect, scope, "a.*").push(" AND a.id = ").bind(id);
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(super) async fn assets(
        &self,
        scope: &Scope,
        filter: &AssetFilter,
        window: &Window,
    ) -> Result<Page<Asset>> {
        let columns = format!("a.*{}", key_columns(&window.sort));
        let sql = matching(self.dialect, scope, &columns, filter).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn asset_count(&self, scope: &Scope, filter: &AssetFilter) -> Result<i64> {
        matching(self.dialect, scope, "COUNT(*) AS n", filter).count(self.read()).await
    }
}

/// The assets of these ids that `scope` covers.
pub(crate) async fn by_id(
    conn: &impl ConnectionTrait,
    dialect: Dialect,
    scope: &Scope,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Asset>> {
    let sql = select(dialect, scope, "a.*").push(" AND ").one_of("a.id", ids.iter().copied());
    sql.all(conn).await?.iter().map(|row| read(row).map(|asset| (asset.id, asset))).collect()
}

/// The company's assets of these names, whatever the portfolio: a name is unique in all of it.
pub(crate) async fn by_name(
    conn: &impl ConnectionTrait,
    dialect: Dialect,
    scope: &Scope,
    names: &[&str],
) -> Result<HashMap<String, Asset>> {
    let sql = Sql::new(dialect, "SELECT a.* FROM asset a WHERE 1 = 1")
        .own(scope, "a")
        .push(" AND ")
        .one_of_texts("a.name", names.iter().copied());
    sql.all(conn).await?.iter().map(|row| read(row).map(|asset| (asset.name.clone(), asset))).collect()
}

/// The asset, held until the transaction ends.
pub(super) async fn lock(tx: &Tx, scope: &Scope, id: Uuid) -> Result<Asset> {
    let sql = select(tx.dialect, scope, "a.*").push(" AND a.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(Asset::NOUN))?;
    read(&row)
}

pub(super) async fn insert(tx: &Tx, asset: &Asset) -> Result<()> {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push(row(asset));
    rows.insert(tx.conn(), tx.dialect, "asset", "").await?;
    Ok(())
}

/// Inserts the assets whose names are not there yet; returns how many those were.
pub(super) async fn insert_missing(tx: &Tx, assets: &[Asset]) -> Result<usize> {
    let mut rows = Rows::new(COLUMNS, assets.len());
    for asset in assets {
        rows.push(row(asset));
    }
    let then = "ON CONFLICT (company_id, name) DO NOTHING";
    Ok(rows.insert(tx.conn(), tx.dialect, "asset", then).await?)
}

pub(super) async fn update(tx: &Tx, asset: &Asset) -> Result<()> {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push(row(asset));
    rows.update(tx.conn(), tx.dialect, "asset", CHANGING, "").await?;
    Ok(())
}
