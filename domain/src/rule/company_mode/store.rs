//! The modes of companies in the database.

use std::collections::HashMap;

use uuid::Uuid;

use crate::access::Scope;
use crate::error::Result;
use crate::rule::pass::Mode;
use crate::store::column::{read_term, write_term};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};

const SELECT: &str = "SELECT m.rule_id, m.mode FROM rule_company_mode m WHERE m.company_id = ";

impl Db {
    /// The modes that the company set for global rules.
    pub(crate) async fn company_modes(&self, scope: &Scope) -> Result<HashMap<Uuid, Mode>> {
        let rows = Sql::new(self.dialect, SELECT).bind(scope.company()?).all(self.read()).await?;
        let read = |row: &sea_orm::QueryResult| {
            Ok((row.try_get("", "rule_id")?, read_term(row.try_get("", "mode")?)?))
        };
        rows.iter().map(read).collect()
    }
}

impl Tx {
    pub(super) async fn company_mode(&self, rule: Uuid) -> Result<Option<Mode>> {
        let sql = Sql::new(self.dialect, SELECT).bind(self.company).push(" AND m.rule_id = ").bind(rule);
        sql.one(self.conn()).await?.map(|row| read_term(row.try_get("", "mode")?)).transpose()
    }

    pub(super) async fn write_company_mode(&self, rule: Uuid, mode: Option<Mode>, by: Uuid) -> Result<()> {
        let sql = match mode {
            Some(mode) => Sql::new(
                self.dialect,
                "INSERT INTO rule_company_mode (company_id, rule_id, mode, set_by, set_at) VALUES (",
            )
            .bind(self.company)
            .push(", ")
            .bind(rule)
            .push(", ")
            .bind(write_term(mode))
            .push(", ")
            .bind(by)
            .push(", ")
            .bind(self.now().0)
            .push(
                ") ON CONFLICT (company_id, rule_id) DO UPDATE SET mode = excluded.mode, \
                 set_by = excluded.set_by, set_at = excluded.set_at",
            ),
            None => Sql::new(self.dialect, "DELETE FROM rule_company_mode WHERE company_id = ")
                .bind(self.company)
                .push(" AND rule_id = ")
                .bind(rule),
        };
        sql.run(self.conn()).await?;
        Ok(())
    }
}
