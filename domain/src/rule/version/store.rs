//! The rows of a rule's history.

use entity::rule_version::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::RuleVersion;
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, PageArgs, Sort, Window};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

const NEWEST: Sort = Sort::new("newest", &[Key::new("v.version", KeyKind::Int).descending()]);

const COLUMNS: &str = "v.*, (SELECT p.content FROM rule_version AS p WHERE p.rule_id = v.rule_id \
    AND p.version < v.version ORDER BY p.version DESC LIMIT 1) AS previous";

fn select(dialect: Dialect, scope: &Scope, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ")
        .push(columns)
        .push(" FROM rule_version AS v WHERE 1 = 1")
        .own_or_global(scope, "v")
}

fn read(row: &QueryResult) -> Result<RuleVersion> {
    let previous: Option<String> = row.try_get("", "previous")?;
    let row = Model::from_query_result(row, "")?;
    Ok(RuleVersion {
        id: row.id,
        rule: row.rule_id,
        company: row.company_id,
        version: row.version,
        snapshot: serde_json::from_str(&row.content).map_err(Error::internal)?,
        content_hash: row.content_hash,
        live: row.live,
        approval: row.approval_id,
        author: row.author_id,
        created_at: Timestamp(row.created_at),
        previous: previous.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::internal)?,
    })
}

impl Db {
    pub(super) async fn rule_version(&self, scope: &Scope, id: Uuid) -> Result<Option<RuleVersion>> {
        let sql = select(self.dialect, scope, COLUMNS).push(" AND v.id = ").bind(id);
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(super) async fn rule_versions(
        &self,
        scope: &Scope,
        rule: Uuid,
        args: &PageArgs,
    ) -> Result<Page<RuleVersion>> {
        let window = Window::new(args, NEWEST)?;
        let columns = format!("{COLUMNS}{}", key_columns(&NEWEST));
        let sql = select(self.dialect, scope, &columns).push(" AND v.rule_id = ").bind(rule);
        page(&window, &sql.window(&window).all(self.read()).await?, read)
    }

    pub(super) async fn rule_version_count(&self, scope: &Scope, rule: Uuid) -> Result<i64> {
        let sql = select(self.dialect, scope, "COUNT(*) AS n").push(" AND v.rule_id = ").bind(rule);
        sql.count(self.read()).await
    }
}

impl Tx {
    /// Whether a second person agreed to this version of a rule.
    pub(in crate::rule) async fn is_agreed_to(
        &self,
        scope: &Scope,
        rule: Uuid,
        version: i64,
    ) -> Result<bool> {
        let sql = Sql::new(self.dialect, "SELECT v.id FROM rule_version AS v WHERE v.rule_id = ").bind(rule);
        let sql = sql.push(" AND v.version = ").bind(version).push(" AND v.approval_id IS NOT NULL");
        Ok(sql.own_or_global(scope, "v").one(self.conn()).await?.is_some())
    }
}
