//! Rules in the database, and the versions they have had.

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ColumnTrait, Condition, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Value,
};
use uuid::Uuid;

use entity::{membership, rule, rule_draft, team};

use super::action::Action;
use super::gate::{DraftStage, Drafted};
use super::pass::Mode;
use super::{Content, Live, Rule, RuleFilter, version};
use crate::access::{GLOBAL, Scope};
use crate::approval::Hand;
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, PageArgs, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_term, write_term};
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
    let live = row.live_version.zip(row.live_since).map(|(version, since)| Live {
        version,
        since: Timestamp(since),
        emergency_until: row.emergency_until.map(Timestamp),
    });
    let content = Content {
        name: row.name,
        description: row.description,
        order: row.position,
        criteria: serde_json::from_str(&row.criteria).map_err(Error::internal)?,
        action: serde_json::from_str(&row.action).map_err(Error::internal)?,
        expires_at: row.expires_at.map(Timestamp),
        on_expiry: read_term(row.on_expiry)?,
        requires_approval: row.requires_approval,
    };
    Ok(Rule {
        id: row.id,
        company: row.company_id,
        key: row.key,
        library_key: row.library_key,
        mode: read_term(row.mode)?,
        content,
        content_hash: row.content_hash,
        gated: row.gated,
        live,
        author: row.author_id,
        archived_at: row.archived_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

/// A draft as a transaction holds it: with the people behind its author and its last editor.
#[derive(Clone, Debug)]
pub(crate) struct DraftRow {
    pub rule: Uuid,
    pub company: Uuid,
    pub content: Content,
    pub content_hash: String,
    /// What was asked for it last.
    pub approval: Option<Uuid>,
    pub author: Hand,
    pub editor: Hand,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl DraftRow {
    /// The draft of a rule by who begins it, or, with another's `author`, goes on with it.
    pub fn new(rule: &Rule, content: Content, hand: Hand, now: Timestamp) -> Self {
        Self {
            rule: rule.id,
            company: rule.company,
            content_hash: content.hash(rule.company),
            content,
            approval: None,
            author: hand,
            editor: hand,
            created_at: now,
            updated_at: now,
        }
    }

    fn read(row: rule_draft::Model) -> Result<Self> {
        Ok(Self {
            rule: row.rule_id,
            company: row.company_id,
            content: serde_json::from_str(&row.content).map_err(Error::internal)?,
            content_hash: row.content_hash,
            approval: row.approval_id,
            author: Hand { id: row.author_id, person: row.author_person },
            editor: Hand { id: row.editor_id, person: row.editor_person },
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }
}

/// A version of a rule, and the rule as it is with it.
pub(crate) struct Version {
    pub rule: Rule,
    /// What its draft says, where that is what changed.
    pub drafted: Option<Content>,
    /// Who made the change.
    pub editor: Uuid,
    /// The approval by which it went live.
    pub approval: Option<Uuid>,
}

impl Version {
    /// What the version says.
    pub fn said(&self) -> Rule {
        let rule = self.rule.clone();
        match &self.drafted {
            Some(content) => rule.saying(content.clone()),
            None => rule,
        }
    }
}

const RULE: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("key", Type::Text),
    ("library_key", Type::Text),
    ("name", Type::Text),
    ("description", Type::Text),
    ("position", Type::Int),
    ("mode", Type::Int),
    ("expires_at", Type::BigInt),
    ("on_expiry", Type::Int),
    ("criteria", Type::Text),
    ("action", Type::Text),
    ("requires_approval", Type::Bool),
    ("content_hash", Type::Text),
    ("gated", Type::Bool),
    ("live_version", Type::BigInt),
    ("live_since", Type::BigInt),
    ("emergency_until", Type::BigInt),
    ("author_id", Type::Uuid),
    ("archived_at", Type::BigInt),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

const CHANGING: &[&str] = &[
    "name",
    "description",
    "position",
    "mode",
    "expires_at",
    "on_expiry",
    "criteria",
    "action",
    "requires_approval",
    "content_hash",
    "gated",
    "live_version",
    "live_since",
    "emergency_until",
    "archived_at",
    "updated_at",
    "version",
];

const VERSION: &[Column] = &[
    ("id", Type::Uuid),
    ("rule_id", Type::Uuid),
    ("version", Type::BigInt),
    ("company_id", Type::Uuid),
    ("author_id", Type::Uuid),
    ("content", Type::Text),
    ("content_hash", Type::Text),
    ("live", Type::Bool),
    ("approval_id", Type::Uuid),
    ("created_at", Type::BigInt),
];

/// A rule in the order of its columns.
fn row(rule: &Rule) -> Result<[Value; 23]> {
    let content = &rule.content;
    Ok([
        rule.id.into(),
        rule.company.into(),
        rule.key.as_str().into(),
        rule.library_key.as_deref().into(),
        content.name.as_str().into(),
        content.description.as_deref().into(),
        content.order.into(),
        write_term(rule.mode).into(),
        content.expires_at.map(|at| at.0).into(),
        write_term(content.on_expiry).into(),
        content.criteria.to_string().into(),
        serde_json::to_string(&content.action).map_err(Error::internal)?.into(),
        content.requires_approval.into(),
        rule.content_hash.as_str().into(),
        rule.gated.into(),
        rule.live.map(|live| live.version).into(),
        rule.live.map(|live| live.since.0).into(),
        rule.live.and_then(|live| live.emergency_until).map(|until| until.0).into(),
        rule.author.into(),
        rule.archived_at.map(|at| at.0).into(),
        rule.created_at.0.into(),
        rule.updated_at.0.into(),
        rule.version.into(),
    ])
}

const DRAFT: &[Column] = &[
    ("rule_id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("content", Type::Text),
    ("content_hash", Type::Text),
    ("approval_id", Type::Uuid),
    ("author_id", Type::Uuid),
    ("author_person", Type::Uuid),
    ("editor_id", Type::Uuid),
    ("editor_person", Type::Uuid),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
];

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

    /// The drafts of these rules, with where what was asked for them stands.
    pub(crate) async fn rule_drafts(&self, scope: &Scope, rules: &[Uuid]) -> Result<Vec<Drafted>> {
        let sql = Sql::new(
            self.dialect,
            "SELECT d.*, a.stage FROM rule_draft AS d LEFT JOIN approval AS a ON a.id = d.approval_id WHERE ",
        );
        let sql = sql.one_of("d.rule_id", rules.iter().copied()).own_or_global(scope, "d");
        let rows = sql.all(self.read()).await?;
        let read = |row: &sea_orm::QueryResult| {
            let draft = DraftRow::read(rule_draft::Model::from_query_result(row, "")?)?;
            let stage = row.try_get::<Option<i32>>("", "stage")?.map(read_term).transpose()?;
            Ok(Drafted {
                rule: draft.rule,
                content: draft.content,
                content_hash: draft.content_hash,
                stage: DraftStage::of(stage),
                approval: draft.approval,
                author: draft.author.id,
                editor: draft.editor.id,
                created_at: draft.created_at,
                updated_at: draft.updated_at,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The rules that are neither off for the company nor archived, in the order of the walk, in the
    /// mode that they have for it.
    pub(crate) async fn rules_that_may_hold(&self, scope: &Scope) -> Result<Vec<Rule>> {
        let modes = self.company_modes(scope).await?;
        let rows = rule::Entity::find()
            .filter(readable(scope)?)
            .filter(rule::Column::ArchivedAt.is_null())
            .filter(rule::Column::LiveVersion.is_not_null())
            .order_by_asc(rule::Column::Position)
            .order_by_asc(rule::Column::CreatedAt)
            .order_by_asc(rule::Column::Id)
            .all(self.read())
            .await?;
        let rules = rows.into_iter().map(|row| {
            read(row).map(|rule| {
                let mode = modes.get(&rule.id).copied();
                rule.under(mode)
            })
        });
        rules.filter(|rule| rule.as_ref().map_or(true, |rule| rule.mode != Mode::Off)).collect()
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

    /// The same of many, in the order of their ids.
    pub(crate) async fn rules_to_change(&self, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Rule>> {
        let sql = Sql::new(self.dialect, "SELECT r.* FROM rule AS r WHERE ").one_of("r.id", ids.to_vec());
        let sql = sql.own(scope, "r").push(" ORDER BY r.id").locked();
        let rows = sql.all(self.conn()).await?;
        rows.iter().map(|row| read(rule::Model::from_query_result(row, "")?)).collect()
    }

    /// Which of these keys rules of the scope's company have, archived ones too.
    pub(crate) async fn rule_keys_taken(&self, scope: &Scope, keys: &[&str]) -> Result<HashSet<String>> {
        let sql = Sql::new(self.dialect, "SELECT r.key FROM rule AS r WHERE ");
        let sql = sql.one_of_texts("r.key", keys.iter().copied()).own(scope, "r");
        let rows = sql.all(self.conn()).await?;
        rows.iter().map(|row| Ok(row.try_get("", "key")?)).collect()
    }

    /// Writes rules, new or changed, and keeps these versions of them.
    pub(crate) async fn put_rules(&self, versions: &[Version]) -> Result<()> {
        let (mut new, mut changed) = (Rows::new(RULE, 0), Rows::new(RULE, 0));
        let mut kept = Rows::new(VERSION, versions.len());
        for version in versions {
            let rows = if version.rule.version == 1 { &mut new } else { &mut changed };
            rows.push(row(&version.rule)?);
            let said = version.said();
            kept.push([
                version::id(said.id, said.version).into(),
                said.id.into(),
                said.version.into(),
                said.company.into(),
                version.editor.into(),
                said.snapshot().to_string().into(),
                said.content_hash.as_str().into(),
                said.live.is_some_and(|live| live.version == said.version).into(),
                version.approval.into(),
                said.updated_at.0.into(),
            ]);
        }
        let conn = self.conn();
        new.insert(conn, self.dialect, "rule", "").await?;
        changed.update(conn, self.dialect, "rule", CHANGING, "").await?;
        kept.insert(conn, self.dialect, "rule_version", "").await?;
        Ok(())
    }

    /// The draft of a rule that is held.
    pub(crate) async fn rule_draft(&self, scope: &Scope, rule: Uuid) -> Result<Option<DraftRow>> {
        let row = rule_draft::Entity::find_by_id(rule)
            .filter(rule_draft::Column::CompanyId.eq(scope.company()?))
            .one(self.conn())
            .await?;
        row.map(DraftRow::read).transpose()
    }

    /// The drafts of these rules, which are held.
    pub(crate) async fn rule_drafts_of(
        &self,
        scope: &Scope,
        rules: &[Uuid],
    ) -> Result<HashMap<Uuid, DraftRow>> {
        let rows = rule_draft::Entity::find()
            .filter(rule_draft::Column::CompanyId.eq(scope.company()?))
            .filter(rule_draft::Column::RuleId.is_in(rules.iter().copied()))
            .all(self.conn())
            .await?;
        rows.into_iter().map(|row| Ok((row.rule_id, DraftRow::read(row)?))).collect()
    }

    /// Writes drafts of rules that have none.
    pub(crate) async fn insert_rule_drafts(&self, drafts: &[&DraftRow]) -> Result<()> {
        let mut rows = Rows::new(DRAFT, drafts.len());
        for draft in drafts {
            rows.push([
                draft.rule.into(),
                draft.company.into(),
                draft.content.json().to_string().into(),
                draft.content_hash.as_str().into(),
                draft.approval.into(),
                draft.author.id.into(),
                draft.author.person.into(),
                draft.editor.id.into(),
                draft.editor.person.into(),
                draft.created_at.0.into(),
                draft.updated_at.0.into(),
            ]);
        }
        rows.insert(self.conn(), self.dialect, "rule_draft", "").await?;
        Ok(())
    }

    pub(crate) async fn delete_rule_drafts(&self, rules: &[Uuid]) -> Result<()> {
        if !rules.is_empty() {
            let sql = Sql::new(self.dialect, "DELETE FROM rule_draft WHERE ");
            sql.one_of("rule_id", rules.iter().copied()).run(self.conn()).await?;
        }
        Ok(())
    }

    /// Refuses an action that names users or teams who are not of this company.
    pub(crate) async fn require_members(&self, action: &Action) -> Result<()> {
        let (users, teams) = action.names();
        self.require_assignable(&users, &teams).await.map_err(|error| error.at("config").at("action"))
    }

    /// Refuses users and teams who are not of this company: `NOT_FOUND`, as for ids that do not exist.
    pub(crate) async fn require_assignable(&self, users: &[Uuid], teams: &[Uuid]) -> Result<()> {
        if users.is_empty() && teams.is_empty() {
            return Ok(());
        }
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
