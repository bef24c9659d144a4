//! The rows of code lists.

use entity::code::Model;
use sea_orm::{FromQueryResult, QueryResult};

use super::{CodeEntry, CodeList};
use crate::access::{GLOBAL, Scope};
use crate::error::{Error, Result};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::terms::Term;

fn read(row: &QueryResult) -> Result<CodeEntry> {
    let row = Model::from_query_result(row, "")?;
    let list = CodeList::parse(&row.list);
    Ok(CodeEntry {
        list: list.ok_or_else(|| Error::internal(format!("{} is no code list", row.list)))?,
        code: row.code,
        label: row.label,
        global: row.company_id == GLOBAL,
    })
}

impl Db {
    pub(super) async fn codes(&self, scope: &Scope, list: CodeList) -> Result<Vec<CodeEntry>> {
        let rows = Sql::new(self.dialect, "SELECT c.* FROM code c WHERE c.list = ")
            .bind(list.word())
            .own_or_global(scope, "c")
            .push(" ORDER BY c.code, CASE WHEN c.company_id = ")
            .bind(GLOBAL)
            .push(" THEN 1 ELSE 0 END")
            .all(self.read())
            .await?;
        let mut codes = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        codes.dedup_by(|global, own| global.code == own.code);
        Ok(codes)
    }
}

/// The label that the scope's own company gives to a code.
pub(super) async fn label(tx: &Tx, scope: &Scope, list: CodeList, code: &str) -> Result<Option<String>> {
    let row = Sql::new(tx.dialect, "SELECT c.label FROM code c WHERE c.list = ")
        .bind(list.word())
        .push(" AND c.code = ")
        .bind(code)
        .own(scope, "c")
        .one(tx.conn())
        .await?;
    Ok(row.map(|row| row.try_get("", "label")).transpose()?)
}

pub(super) async fn count(tx: &Tx, scope: &Scope, list: CodeList) -> Result<i64> {
    Sql::new(tx.dialect, "SELECT COUNT(*) AS n FROM code c WHERE c.list = ")
        .bind(list.word())
        .own(scope, "c")
        .count(tx.conn())
        .await
}

pub(super) async fn set(tx: &Tx, entry: &CodeEntry) -> Result<()> {
    Sql::new(tx.dialect, "INSERT INTO code (company_id, list, code, label) VALUES (")
        .bind(tx.company)
        .push(", ")
        .bind(entry.list.word())
        .push(", ")
        .bind(entry.code.as_str())
        .push(", ")
        .bind(entry.label.as_str())
        .push(") ON CONFLICT (company_id, list, code) DO UPDATE SET label = excluded.label")
        .run(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn remove(tx: &Tx, entry: &CodeEntry) -> Result<()> {
    Sql::new(tx.dialect, "DELETE FROM code WHERE company_id = ")
        .bind(tx.company)
        .push(" AND list = ")
        .bind(entry.list.word())
        .push(" AND code = ")
        .bind(entry.code.as_str())
        .run(tx.conn())
        .await?;
    Ok(())
}
