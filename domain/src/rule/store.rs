//! Rules in the database, and the versions they have had.

use sea_orm::{ActiveValue, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use entity::{membership, rule, rule_draft, rule_version, team};

use super::action::Action;
use super::gate::{DraftStage, Drafted};
use super::pass::Mode;
use super::{Content, Live, Rule, RuleFilter, version};
use crate::access::{GLOBAL, Scope};
use crate::approval::Hand;
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, PageArgs, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
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

    /// The drafts of these rules, with where what was asked for them stands.
    pub(crate) async fn rule_drafts(&self, scope: &Scope, rules: &[Uuid]) -> Result<Vec<Drafted>> {
        use sea_orm::FromQueryResult;

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

    /// Whether a rule of the scope's company has this key, archived ones too.
    pub(crate) async fn rule_key_taken(&self, scope: &Scope, key: &str) -> Result<bool> {
        let sql =
            Sql::new(self.dialect, "SELECT 1 AS n FROM rule AS r WHERE r.key = ").bind(key).own(scope, "r");
        Ok(sql.one(self.conn()).await?.is_some())
    }

    /// Writes the rule, new or changed, and keeps this version of it: what its live content is, or,
    /// where `draft` is what changed, what that says.
    pub(crate) async fn write_rule(&self, rule: &Rule, editor: Uuid, draft: Option<&DraftRow>) -> Result<()> {
        self.put_rule(rule).await?;
        let drafted = draft.map(|draft| rule.clone().saying(draft.content.clone()));
        self.keep_version(drafted.as_ref().unwrap_or(rule), editor, None).await
    }

    /// Writes a rule whose draft went live.
    pub(crate) async fn write_rule_live(
        &self,
        rule: &Rule,
        editor: Uuid,
        approval: Option<Uuid>,
    ) -> Result<()> {
        self.put_rule(rule).await?;
        self.keep_version(rule, editor, approval).await
    }

    async fn put_rule(&self, rule: &Rule) -> Result<()> {
        let content = &rule.content;
        let row = rule::ActiveModel {
            id: ActiveValue::Set(rule.id),
            company_id: ActiveValue::Set(rule.company),
            key: ActiveValue::Set(rule.key.clone()),
            library_key: ActiveValue::Set(rule.library_key.clone()),
            name: ActiveValue::Set(content.name.clone()),
            description: ActiveValue::Set(content.description.clone()),
            position: ActiveValue::Set(content.order),
            mode: ActiveValue::Set(i32::from(rule.mode.code())),
            expires_at: ActiveValue::Set(content.expires_at.map(|at| at.0)),
            on_expiry: ActiveValue::Set(i32::from(content.on_expiry.code())),
            criteria: ActiveValue::Set(content.criteria.to_string()),
            action: ActiveValue::Set(serde_json::to_string(&content.action).map_err(Error::internal)?),
            requires_approval: ActiveValue::Set(content.requires_approval),
            content_hash: ActiveValue::Set(rule.content_hash.clone()),
            gated: ActiveValue::Set(rule.gated),
            live_version: ActiveValue::Set(rule.live.map(|live| live.version)),
            live_since: ActiveValue::Set(rule.live.map(|live| live.since.0)),
            emergency_until: ActiveValue::Set(
                rule.live.and_then(|live| live.emergency_until).map(|until| until.0),
            ),
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
        Ok(())
    }

    async fn keep_version(&self, rule: &Rule, editor: Uuid, approval: Option<Uuid>) -> Result<()> {
        let version = rule_version::ActiveModel {
            id: ActiveValue::Set(version::id(rule.id, rule.version)),
            rule_id: ActiveValue::Set(rule.id),
            version: ActiveValue::Set(rule.version),
            company_id: ActiveValue::Set(rule.company),
            author_id: ActiveValue::Set(editor),
            content: ActiveValue::Set(rule.snapshot().to_string()),
            content_hash: ActiveValue::Set(rule.content_hash.clone()),
            live: ActiveValue::Set(rule.live.is_some_and(|live| live.version == rule.version)),
            approval_id: ActiveValue::Set(approval),
            created_at: ActiveValue::Set(rule.updated_at.0),
        };
        rule_version::Entity::insert(version).exec_without_returning(self.conn()).await?;
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

    /// Writes a draft in the place of the one that the rule had.
    pub(crate) async fn write_rule_draft(&self, draft: &DraftRow) -> Result<()> {
        self.delete_rule_draft(draft.rule).await?;
        let mut rows = Rows::new(DRAFT, 1);
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
        rows.insert(self.conn(), self.dialect, "rule_draft", "").await?;
        Ok(())
    }

    pub(crate) async fn delete_rule_draft(&self, rule: Uuid) -> Result<()> {
        Sql::new(self.dialect, "DELETE FROM rule_draft WHERE rule_id = ").bind(rule).run(self.conn()).await?;
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
