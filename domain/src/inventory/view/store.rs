//! The rows of saved views.

use entity::saved_view::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{View, ViewNoun};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::inventory::record::Record;
use crate::page::{Key, KeyKind, Page, Sort, Window};
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
    ("owner_id", Type::Uuid),
    ("name", Type::Text),
    ("noun", Type::Text),
    ("filter", Type::Text),
    ("shared", Type::Bool),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

pub(super) const BY_NAME: Sort =
    Sort::new("NAME", &[Key::new("v.name", KeyKind::Text), Key::new("v.id", KeyKind::Uuid)]);

fn rows(view: &View) -> Rows {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        view.id.into(),
        view.company.into(),
        view.owner.into(),
        view.name.as_str().into(),
        view.noun.word().into(),
        view.filter.to_string().into(),
        view.shared.into(),
        view.created_at.0.into(),
        view.updated_at.0.into(),
        view.version.into(),
    ]);
    rows
}

fn read(row: &QueryResult) -> Result<View> {
    let row = Model::from_query_result(row, "")?;
    let noun = ViewNoun::parse(&row.noun);
    Ok(View {
        id: row.id,
        company: row.company_id,
        owner: row.owner_id,
        name: row.name,
        noun: noun.ok_or_else(|| Error::internal(format!("{} is no noun of a view", row.noun)))?,
        filter: serde_json::from_str(&row.filter).map_err(Error::internal)?,
        shared: row.shared,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

/// The views that `user` may use in `scope`: its own and shared ones, also those for all companies.
fn select(dialect: Dialect, scope: &Scope, user: Uuid, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ")
        .push(columns)
        .push(" FROM saved_view v WHERE (v.shared OR v.owner_id = ")
        .bind(user)
        .push(")")
        .own_or_global(scope, "v")
}

fn matching(dialect: Dialect, scope: &Scope, user: Uuid, columns: &str, noun: Option<ViewNoun>) -> Sql {
    let sql = select(dialect, scope, user, columns);
    match noun {
        Some(noun) => sql.push(" AND v.noun = ").bind(noun.word()),
        None => sql,
    }
}

impl Db {
    pub(super) async fn view(&self, scope: &Scope, user: Uuid, id: Uuid) -> Result<Option<View>> {
        let sql = select(self.dialect, scope, user, "v.*").push(" AND v.id = ").bind(id);
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(super) async fn views(
        &self,
        scope: &Scope,
        user: Uuid,
        noun: Option<ViewNoun>,
        window: &Window,
    ) -> Result<Page<View>> {
        let columns = format!("v.*{}", key_columns(&window.sort));
        let sql = matching(self.dialect, scope, user, &columns, noun).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn view_count(&self, scope: &Scope, user: Uuid, noun: Option<ViewNoun>) -> Result<i64> {
        matching(self.dialect, scope, user, "COUNT(*) AS n", noun).count(self.read()).await
    }
}

/// A view of the scope's own company that `user` may use, held until the transaction ends.
pub(super) async fn lock(tx: &Tx, scope: &Scope, user: Uuid, id: Uuid) -> Result<View> {
    let sql = select(tx.dialect, scope, user, "v.*").own(scope, "v").push(" AND v.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(View::NOUN))?;
    read(&row)
}

pub(super) async fn insert(tx: &Tx, view: &View) -> Result<()> {
    rows(view).insert(tx.conn(), tx.dialect, "saved_view", "").await?;
    Ok(())
}

pub(super) async fn update(tx: &Tx, view: &View) -> Result<()> {
    let changing = &["name", "filter", "shared", "updated_at", "version"];
    rows(view).update(tx.conn(), tx.dialect, "saved_view", changing, "").await?;
    Ok(())
}

pub(super) async fn delete(tx: &Tx, view: &View) -> Result<()> {
    Sql::new(tx.dialect, "DELETE FROM saved_view WHERE id = ").bind(view.id).run(tx.conn()).await?;
    Ok(())
}

/// Gives the views of a user in the transaction's company to another, with `mark` in their names; says
/// how many. One whose name the other has already stays.
pub(crate) async fn hand_over(tx: &Tx, from: Uuid, to: Uuid, mark: &str) -> Result<u64> {
    let mark = format!(" ({mark})");
    let given = Sql::new(tx.dialect, "UPDATE saved_view SET owner_id = ")
        .bind(to)
        .push(", name = name || ")
        .bind(mark.as_str())
        .push(", version = version + 1, updated_at = ")
        .bind(tx.now().0)
        .push(" WHERE owner_id = ")
        .bind(from)
        .push(" AND company_id = ")
        .bind(tx.company)
        .push(" AND NOT EXISTS (SELECT 1 FROM saved_view o WHERE o.company_id = saved_view.company_id AND o.owner_id = ")
        .bind(to)
        .push(" AND o.name = saved_view.name || ")
        .bind(mark.as_str())
        .push(")")
        .run(tx.conn())
        .await?;
    Ok(given.rows_affected())
}
