//! Rules in the database, and the versions they have had.

use sea_orm::{ActiveValue, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value as Json;
use uuid::Uuid;

use entity::{membership, rule, rule_version, team};

use super::action::Action;
use super::pass::Mode;
use super::{Rule, RuleFilter};
use crate::access::{GLOBAL, Scope};
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, PageArgs, Sort, Window};
use crate::store::column::read_term;
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

const WALK: Sort = Sort::new(
    "walk",
    &[
        Key::new("r.position", KeyKind::Int),
        Key::new("r.created_at", KeyKind::Int),
        Key::new("r.id", KeyKind::Uuid),
    ],
);

pub(super) fn read(row: rule::Model) -> Result<Rule> {
    Ok(Rule {
        id: row.id,
        company: row.company_id,
        name: row.name,
        description: row.description,
        order: row.position,
        mode: read_term(row.mode)?,
        expires_at: row.expires_at.map(Timestamp),
        on_expiry: read_term(row.on_expiry)?,
        criteria: serde_json::from_str(&row.criteria).map_err(Error::internal)?,
        action: serde_json::from_str(&row.action).map_err(Error::internal)?,
        requires_approval: row.requires_approval,
        content_hash: row.content_hash,
        author: row.author_id,
        archived_at: row.archived_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

/// The company's own rules and the global ones.
pub(super) fn readable(scope: &Scope) -> Result<Condition> {
    let company = scope.company()?;
    Ok(Condition::any().add(rule::Column::CompanyId.eq(company)).add(rule::Column::CompanyId.eq(GLOBAL)))
}

fn within(sql: Sql, scope: &Scope, filter: &RuleFilter) -> Result<Sql> {
    let mut sql = sql.push("r.company_id IN (").bind(scope.company()?).push(", ").bind(GLOBAL).push(")");
    if !filter.archived {
        sql = sql.push(" AND r.archived_at IS NULL");
    }
    for (at, mode) in filter.modes.iter().enumerate() {
        sql =
            sql.push(if at == 0 { " AND (r.mode = " } else { " OR r.mode = " }).bind(i32::from(mode.code()));
    }
    if !filter.modes.is_empty() {
        sql = sql.push(")");
    }
    if let Some(query) = filter.query.as_deref().map(str::trim).filter(|query| !query.is_empty()) {
        sql = sql.push(" AND ").contains("r.name", query);
    }
    Ok(sql)
}

impl Db {
    pub(crate) async fn rule(&self, scope: &Scope, id: Uuid) -> Result<Option<Rule>> {
        let row = rule::Entity::find_by_id(id).filter(readable(scope)?).one(self.read()).await?;
        row.map(read).transpose()
    }

    pub(crate) async fn rules_by_id(&self, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Rule>> {
        let rows = rule::Entity::find()
            .filter(readable(scope)?)
            .filter(rule::Column::Id.is_in(ids.iter().copied()))
            .all(self.read())
            .await?;
        rows.into_iter().map(read).collect()
    }

    pub(crate) async fn rules(
        &self,
        scope: &Scope,
        filter: &RuleFilter,
        args: &PageArgs,
    ) -> Result<Page<Rule>> {
        use sea_orm::FromQueryResult;

        let window = Window::new(args, WALK)?;
        let sql =
            Sql::new(self.dialect, "SELECT r.*").push(&key_columns(&WALK)).push(" FROM rule AS r WHERE ");
        let rows = within(sql, scope, filter)?.window(&window).all(self.read()).await?;
        page(&window, &rows, |row| read(rule::Model::from_query_result(row, "")?))
    }

    pub(crate) async fn rule_count(&self, scope: &Scope, filter: &RuleFilter) -> Result<i64> {
        let sql = Sql::new(self.dialect, "SELECT COUNT(*) AS n FROM rule AS r WHERE ");
        let row = within(sql, scope, filter)?.one(self.read()).await?;
        row.map_or(Ok(0), |row| Ok(row.try_get("", "n")?))
    }

    /// The rules that are neither off nor archived, in the order of the walk.
    pub(crate) async fn rules_that_may_hold(&self, scope: &Scope) -> Result<Vec<Rule>> {
        let rows = rule::Entity::find()
            .filter(readable(scope)?)
            .filter(rule::Column::ArchivedAt.is_null())
            .filter(rule::Column::Mode.ne(i32::from(Mode::Off.code())))
            .order_by_asc(rule::Column::Position)
            .order_by_asc(rule::Column::CreatedAt)
            .order_by_asc(rule::Column::Id)
            .all(self.read())
            .await?;
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// The rule as it stands, held against other writers. Only the company's own: the global ones
    /// are the platform's to change.
    pub(crate) async fn rule_to_change(&self, scope: &Scope, id: Uuid) -> Result<Option<Rule>> {
        let rows = rule::Entity::find_by_id(id).filter(rule::Column::CompanyId.eq(scope.company()?));
        let rows = match self.dialect {
            crate::vocabulary::criteria::sql::Dialect::Postgres => rows.lock_exclusive(),
            crate::vocabulary::criteria::sql::Dialect::Sqlite => rows,
        };
        rows.one(self.conn()).await?.map(read).transpose()
    }

    /// Writes the rule, new or changed, and keeps this version of it.
    pub(crate) async fn write_rule(&self, rule: &Rule, editor: Uuid) -> Result<()> {
        let encode = |json: &Json| json.to_string();
        let row = rule::ActiveModel {
            id: ActiveValue::Set(rule.id),
            company_id: ActiveValue::Set(rule.company),
            name: ActiveValue::Set(rule.name.clone()),
            description: ActiveValue::Set(rule.description.clone()),
            position: ActiveValue::Set(rule.order),
            mode: ActiveValue::Set(i32::from(rule.mode.code())),
            expires_at: ActiveValue::Set(rule.expires_at.map(|at| at.0)),
            on_expiry: ActiveValue::Set(i32::from(rule.on_expiry.code())),
            criteria: ActiveValue::Set(encode(&rule.criteria)),
            action: ActiveValue::Set(serde_json::to_string(&rule.action).map_err(Error::internal)?),
            requires_approval: ActiveValue::Set(rule.requires_approval),
            content_hash: ActiveValue::Set(rule.content_hash.clone()),
            author_id: ActiveValue::Set(rule.author),
            archived_at: ActiveValue::Set(rule.archived_at.map(|at| at.0)),
            created_at: ActiveValue::Set(rule.created_at.0),
            updated_at: ActiveValue::Set(rule.updated_at.0),
            version: ActiveValue::Set(rule.version),
        };
        if rule.version == 1 {
            rule::Entity::insert(row).exec_without_returning(self.conn()).await?;
        } else {
            rule::Entity::update(row).exec(self.conn()).await?;
        }
        let version = rule_version::ActiveModel {
            rule_id: ActiveValue::Set(rule.id),
            version: ActiveValue::Set(rule.version),
            company_id: ActiveValue::Set(rule.company),
            author_id: ActiveValue::Set(editor),
            content: ActiveValue::Set(encode(&rule.snapshot())),
            content_hash: ActiveValue::Set(rule.content_hash.clone()),
            created_at: ActiveValue::Set(rule.updated_at.0),
        };
        rule_version::Entity::insert(version).exec_without_returning(self.conn()).await?;
        Ok(())
    }

    /// Refuses an action that names users or teams who are not of this company.
    pub(crate) async fn require_members(&self, action: &Action) -> Result<()> {
        let (users, teams) = action.names();
        self.require_assignable(&users, &teams).await.map_err(|error| error.at("config").at("action"))
    }

    /// Refuses users and teams who are not of this company: `NOT_FOUND`, as for ids that do not exist.
    pub(crate) async fn require_assignable(&self, users: &[Uuid], teams: &[Uuid]) -> Result<()> {
        let members: Vec<Uuid> = membership::Entity::find()
            .select_only()
            .column(membership::Column::UserId)
            .filter(membership::Column::CompanyId.eq(self.company))
            .filter(membership::Column::UserId.is_in(users.iter().copied()))
            .into_tuple()
            .all(self.conn())
            .await?;
        if let Some(stranger) = users.iter().find(|user| !members.contains(user)) {
            return Err(Error::not_found("user").at("users").with("id", stranger.to_string()));
        }
        let present: Vec<Uuid> = team::Entity::find()
            .select_only()
            .column(team::Column::Id)
            .filter(team::Column::CompanyId.eq(self.company))
            .filter(team::Column::ArchivedAt.is_null())
            .filter(team::Column::Id.is_in(teams.iter().copied()))
            .into_tuple()
            .all(self.conn())
            .await?;
        if let Some(stranger) = teams.iter().find(|team| !present.contains(team)) {
            return Err(Error::not_found("team").at("teams").with("id", stranger.to_string()));
        }
        Ok(())
    }
}
