//! The rows of absences.

use entity::absence::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::Absence;
use crate::access::{Permission, Portfolio, Role, Scope};
use crate::error::Result;
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::read_portfolio;
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

const COLUMNS: &[Column] = &[
    ("user_id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("from_at", Type::BigInt),
    ("until_at", Type::BigInt),
    ("deputy_id", Type::Uuid),
];

fn read(row: &QueryResult) -> Result<Absence> {
    let row = Model::from_query_result(row, "")?;
    Ok(Absence {
        user: row.user_id,
        company: row.company_id,
        from: Timestamp(row.from_at),
        until: Timestamp(row.until_at),
        deputy: row.deputy_id,
    })
}

impl Db {
    pub(super) async fn absences(
        &self,
        scope: &Scope,
        users: &[Uuid],
        now: Timestamp,
    ) -> Result<Vec<Absence>> {
        let sql = Sql::new(self.dialect, "SELECT b.* FROM absence AS b WHERE b.until_at > ").bind(now.0);
        let sql = sql.own(scope, "b").push(" AND ").one_of("b.user_id", users.iter().copied());
        sql.all(self.read()).await?.iter().map(read).collect()
    }

    /// The approvers of the scope's company who are away at `now` and for whom `deputy` stands in.
    pub(crate) async fn stood_in_for(
        &self,
        scope: &Scope,
        deputy: Uuid,
        now: Timestamp,
    ) -> Result<Vec<Uuid>> {
        let approvers: Vec<Role> = Role::ALL
            .iter()
            .copied()
            .filter(|role| role.permissions().contains(&Permission::Approve))
            .collect();
        let rows = Sql::new(
            self.dialect,
            "SELECT b.user_id, m.portfolio FROM absence AS b JOIN membership AS m ON m.user_id = b.user_id \
             AND m.company_id = b.company_id JOIN user_account AS u ON u.id = b.user_id \
             WHERE u.disabled_at IS NULL AND b.deputy_id = ",
        )
        .bind(deputy)
        .push(" AND b.from_at <= ")
        .bind(now.0)
        .push(" AND b.until_at > ")
        .bind(now.0)
        .own(scope, "b")
        .push(" AND ")
        .one_of_terms("m.role", &approvers)
        .push(" ORDER BY b.user_id")
        .all(self.read())
        .await?;
        let mut away = Vec::new();
        for row in &rows {
            if read_portfolio(&row.try_get::<String>("", "portfolio")?)? == Portfolio::Whole {
                away.push(row.try_get("", "user_id")?);
            }
        }
        Ok(away)
    }
}

impl Tx {
    pub(super) async fn write_absence(&self, absence: &Absence) -> Result<()> {
        self.delete_absence(absence.user).await?;
        let mut rows = Rows::new(COLUMNS, 1);
        rows.push([
            absence.user.into(),
            absence.company.into(),
            absence.from.0.into(),
            absence.until.0.into(),
            absence.deputy.into(),
        ]);
        rows.insert(self.conn(), self.dialect, "absence", "").await?;
        Ok(())
    }

    pub(super) async fn delete_absence(&self, user: Uuid) -> Result<bool> {
        let sql = Sql::new(self.dialect, "DELETE FROM absence WHERE company_id = ").bind(self.company);
        let gone = sql.push(" AND user_id = ").bind(user).run(self.conn()).await?;
        Ok(gone.rows_affected() > 0)
    }
}
