//! Change requests in the database.

use entity::{change_request, change_request_item};
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{ChangeRequest, Item, RequestFilter, RequestState};
use crate::access::{Portfolio, Scope};
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::read_term;
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

const REQUEST: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("edit", Type::Text),
    ("gates", Type::Text),
    ("principal", Type::Text),
    ("author_id", Type::Uuid),
    ("findings", Type::BigInt),
    ("touched", Type::BigInt),
    ("active", Type::BigInt),
    ("digest", Type::Text),
    ("state", Type::Int),
    ("approval_id", Type::Uuid),
    ("created_at", Type::BigInt),
];

const ITEM: &[Column] = &[
    ("request_id", Type::Uuid),
    ("finding_id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("was", Type::Text),
    ("becomes", Type::Text),
    ("outcome", Type::Int),
];

/// What the job of a request says of its findings.
const SETTLED: &[Column] = &[("finding_id", Type::Uuid), ("outcome", Type::Int), ("moved", Type::Text)];

pub(super) const NEWEST: Sort = Sort::new(
    "created",
    &[Key::new("r.created_at", KeyKind::Int).descending(), Key::new("r.id", KeyKind::Uuid).descending()],
);

pub(super) const BY_FINDING: Sort = Sort::new("finding", &[Key::new("i.finding_id", KeyKind::Uuid)]);

fn read(row: &QueryResult) -> Result<ChangeRequest> {
    let row = change_request::Model::from_query_result(row, "")?;
    Ok(ChangeRequest {
        id: row.id,
        company: row.company_id,
        edit: serde_json::from_str(&row.edit).map_err(Error::internal)?,
        gates: serde_json::from_str(&row.gates).map_err(Error::internal)?,
        principal: serde_json::from_str(&row.principal).map_err(Error::internal)?,
        findings: row.findings,
        touched: row.touched,
        active: row.active,
        digest: row.digest,
        state: read_term(row.state)?,
        approval: row.approval_id,
        job: row.job_id,
        created_at: Timestamp(row.created_at),
        ended_at: row.ended_at.map(Timestamp),
    })
}

fn read_item(row: &QueryResult) -> Result<Item> {
    let row = change_request_item::Model::from_query_result(row, "")?;
    let moved = row.moved.as_deref().map(serde_json::from_str).transpose();
    Ok(Item {
        finding: row.finding_id,
        was: serde_json::from_str(&row.was).map_err(Error::internal)?,
        becomes: serde_json::from_str(&row.becomes).map_err(Error::internal)?,
        outcome: read_term(row.outcome)?,
        moved: moved.map_err(Error::internal)?,
    })
}

/// `head` of the company's requests: to members of a narrow portfolio, those that they asked for.
fn requests(dialect: Dialect, scope: &Scope, asker: Uuid, head: &str) -> Result<Sql> {
    let sql = Sql::new(dialect, head).push(" FROM change_request AS r WHERE r.company_id = ");
    let sql = sql.bind(scope.company()?);
    Ok(match scope {
        Scope::Company(_, Portfolio::Only { .. }) => sql.push(" AND r.author_id = ").bind(asker),
        _ => sql,
    })
}

fn filtered(mut sql: Sql, filter: &RequestFilter) -> Sql {
    if !filter.states.is_empty() {
        sql = sql.push(" AND r.state IN (");
        for (at, state) in filter.states.iter().enumerate() {
            sql = sql.push(if at == 0 { "" } else { ", " }).bind(i32::from(state.code()));
        }
        sql = sql.push(")");
    }
    match filter.author {
        Some(author) => sql.push(" AND r.author_id = ").bind(author),
        None => sql,
    }
}

/// `head` of the findings of a request that lie in scope.
fn items(dialect: Dialect, scope: &Scope, request: Uuid, head: &str) -> Result<Sql> {
    let sql = Sql::new(dialect, head)
        .push(" FROM change_request_item AS i JOIN finding AS f ON f.id = i.finding_id WHERE i.request_id = ")
        .bind(request)
        .push(" AND i.company_id = ")
        .bind(scope.company()?);
    Ok(sql.covered_finding(scope, "f"))
}

impl Db {
    pub(super) async fn change_requests_by_id(
        &self,
        scope: &Scope,
        asker: Uuid,
        ids: &[Uuid],
    ) -> Result<Vec<ChangeRequest>> {
        let sql = requests(self.dialect, scope, asker, "SELECT r.*")?.push(" AND ");
        sql.one_of("r.id", ids.iter().copied()).all(self.read()).await?.iter().map(read).collect()
    }

    pub(super) async fn change_requests(
        &self,
        scope: &Scope,
        asker: Uuid,
        filter: &RequestFilter,
        window: &Window,
    ) -> Result<Page<ChangeRequest>> {
        let head = format!("SELECT r.*{}", key_columns(&window.sort));
        let sql = filtered(requests(self.dialect, scope, asker, &head)?, filter).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn change_request_count(
        &self,
        scope: &Scope,
        asker: Uuid,
        filter: &RequestFilter,
    ) -> Result<i64> {
        let sql = requests(self.dialect, scope, asker, "SELECT COUNT(*) AS n")?;
        filtered(sql, filter).count(self.read()).await
    }

    pub(super) async fn change_request_items(
        &self,
        scope: &Scope,
        request: Uuid,
        window: &Window,
    ) -> Result<Page<Item>> {
        let head = format!("SELECT i.*{}", key_columns(&window.sort));
        let rows = items(self.dialect, scope, request, &head)?.window(window).all(self.read()).await?;
        page(window, &rows, read_item)
    }

    pub(super) async fn change_request_item_count(&self, scope: &Scope, request: Uuid) -> Result<i64> {
        items(self.dialect, scope, request, "SELECT COUNT(*) AS n")?.count(self.read()).await
    }

    /// The next findings of a request, behind `after`, whether they are there or not.
    pub(super) async fn items_to_apply(
        &self,
        scope: &Scope,
        request: Uuid,
        after: Uuid,
        most: usize,
    ) -> Result<Vec<Item>> {
        let sql = Sql::new(self.dialect, "SELECT i.* FROM change_request_item AS i WHERE i.request_id = ")
            .bind(request)
            .push(" AND i.company_id = ")
            .bind(scope.company()?)
            .push(" AND i.finding_id > ")
            .bind(after)
            .push(" ORDER BY i.finding_id LIMIT ")
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
        sql.all(self.read()).await?.iter().map(read_item).collect()
    }

    /// How many findings of the company are active, whatever the portfolio.
    pub(crate) async fn count_active(&self, scope: &Scope) -> Result<i64> {
        let sql = Sql::new(self.dialect, "SELECT COUNT(*) AS n FROM finding AS f WHERE f.company_id = ");
        sql.bind(scope.company()?).push(" AND f.status IN (0, 1)").count(self.read()).await
    }
}

impl Tx {
    pub(super) async fn insert_change_request(&self, request: &ChangeRequest, items: &[Item]) -> Result<()> {
        let text = |value: serde_json::Result<String>| value.map_err(Error::internal);
        let mut rows = Rows::new(REQUEST, 1);
        rows.push([
            request.id.into(),
            request.company.into(),
            text(serde_json::to_string(&request.edit))?.into(),
            text(serde_json::to_string(&request.gates))?.into(),
            text(serde_json::to_string(&request.principal))?.into(),
            request.principal.speaker.id.into(),
            request.findings.into(),
            request.touched.into(),
            request.active.into(),
            request.digest.as_str().into(),
            i32::from(request.state.code()).into(),
            request.approval.into(),
            request.created_at.0.into(),
        ]);
        rows.insert(self.conn(), self.dialect, "change_request", "").await?;
        let mut rows = Rows::new(ITEM, items.len());
        for item in items {
            rows.push([
                request.id.into(),
                item.finding.into(),
                request.company.into(),
                text(serde_json::to_string(&item.was))?.into(),
                text(serde_json::to_string(&item.becomes))?.into(),
                i32::from(item.outcome.code()).into(),
            ]);
        }
        rows.insert(self.conn(), self.dialect, "change_request_item", "").await?;
        Ok(())
    }

    /// Moves a request that stands at `from`. `false`: it stands elsewhere.
    pub(super) async fn move_change_request(
        &self,
        id: Uuid,
        (from, to): (RequestState, RequestState),
        job: Option<Uuid>,
    ) -> Result<bool> {
        let ended = matches!(to, RequestState::Applied | RequestState::Dropped).then_some(self.now().0);
        let moved = Sql::new(self.dialect, "UPDATE change_request SET state = ")
            .bind(i32::from(to.code()))
            .push(", ended_at = ")
            .bind(ended)
            .push(", job_id = COALESCE(job_id, ")
            .bind(job)
            .push(") WHERE id = ")
            .bind(id)
            .push(" AND company_id = ")
            .bind(self.company)
            .push(" AND state = ")
            .bind(i32::from(from.code()))
            .run(self.conn())
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// The request as it stands, held until the transaction ends.
    pub(super) async fn lock_change_request(&self, id: Uuid) -> Result<Option<ChangeRequest>> {
        let sql = Sql::new(self.dialect, "SELECT r.* FROM change_request AS r WHERE r.id = ").bind(id);
        let sql = sql.push(" AND r.company_id = ").bind(self.company).locked();
        sql.one(self.conn()).await?.as_ref().map(read).transpose()
    }

    /// Writes what became of findings of a request.
    pub(super) async fn settle_items(&self, request: Uuid, items: &[Item]) -> Result<()> {
        let mut rows = Rows::new(SETTLED, items.len());
        for item in items {
            let moved =
                item.moved.as_ref().map(serde_json::to_string).transpose().map_err(Error::internal)?;
            rows.push([item.finding.into(), i32::from(item.outcome.code()).into(), moved.into()]);
        }
        // An id has only its own digits, so it can stand in the text.
        let request = match self.dialect {
            Dialect::Sqlite => format!("X'{}'", request.simple()),
            Dialect::Postgres => format!("'{request}'"),
        };
        let then = format!("AND change_request_item.request_id = {request}");
        let set = &["outcome", "moved"];
        rows.update(self.conn(), self.dialect, "change_request_item", set, &then).await?;
        Ok(())
    }
}
