//! The rows of one-time links.

use entity::one_time_link::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{Link, Purpose};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_portfolio, read_term, write_portfolio, write_term};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("purpose", Type::Int),
    ("hash", Type::Bytes),
    ("user_id", Type::Uuid),
    ("email", Type::Text),
    ("role", Type::Int),
    ("portfolio", Type::Text),
    ("created_by", Type::Uuid),
    ("created_at", Type::BigInt),
    ("expires_at", Type::BigInt),
];

pub(in crate::signin) const NEWEST: Sort = Sort::new(
    "NEWEST",
    &[Key::new("l.created_at", KeyKind::Int).descending(), Key::new("l.id", KeyKind::Uuid).descending()],
);

fn read(row: &QueryResult) -> Result<Link> {
    let row = Model::from_query_result(row, "")?;
    let grant = match (row.role, row.portfolio) {
        (Some(role), Some(portfolio)) => Some((read_term(role)?, read_portfolio(&portfolio)?)),
        _ => None,
    };
    Ok(Link {
        id: row.id,
        company: row.company_id,
        purpose: read_term(row.purpose)?,
        user: row.user_id,
        email: row.email,
        grant,
        created_by: row.created_by,
        created_at: Timestamp(row.created_at),
        expires_at: Timestamp(row.expires_at),
        used_at: row.used_at.map(Timestamp),
        revoked_at: row.revoked_at.map(Timestamp),
    })
}

/// The invitations of the scope's company.
fn invitations(dialect: Dialect, scope: &Scope, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ")
        .push(columns)
        .push(" FROM one_time_link l WHERE l.purpose = ")
        .bind(write_term(Purpose::Invitation))
        .own(scope, "l")
}

impl Db {
    /// The link behind the digest of a secret.
    pub(in crate::signin) async fn link_of(&self, scope: &Scope, digest: [u8; 32]) -> Result<Option<Link>> {
        let sql = Sql::new(self.dialect, "SELECT l.* FROM one_time_link l WHERE l.hash = ")
            .bind(digest.to_vec())
            .own(scope, "l");
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(in crate::signin) async fn company_name(
        &self,
        scope: &Scope,
        company: Uuid,
    ) -> Result<Option<String>> {
        let sql = Sql::new(self.dialect, "SELECT c.name FROM company c WHERE c.id = ").bind(company);
        let sql = match scope {
            Scope::System => sql,
            scope => sql.push(" AND c.id = ").bind(scope.company()?),
        };
        let row = sql.one(self.read()).await?;
        row.map(|row| Ok(row.try_get("", "name")?)).transpose()
    }

    pub(in crate::signin) async fn invitation(&self, scope: &Scope, id: Uuid) -> Result<Option<Link>> {
        let sql = invitations(self.dialect, scope, "l.*").push(" AND l.id = ").bind(id);
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(in crate::signin) async fn invitations(&self, scope: &Scope, window: &Window) -> Result<Page<Link>> {
        let columns = format!("l.*{}", key_columns(&window.sort));
        let sql = invitations(self.dialect, scope, &columns).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(in crate::signin) async fn invitation_count(&self, scope: &Scope) -> Result<i64> {
        invitations(self.dialect, scope, "COUNT(*) AS n").count(self.read()).await
    }

    /// The account of an address, and whether its owner has to prove to be that before it is let into
    /// `company`: it has more to lose than what an invitation gives.
    pub(in crate::signin) async fn invited_account(
        &self,
        _every_company: &Scope,
        email: &str,
        company: Uuid,
    ) -> Result<Option<(Uuid, bool)>> {
        let row = Sql::new(
            self.dialect,
            "SELECT u.id, u.platform_admin, (SELECT COUNT(*) FROM user_password p WHERE p.user_id = u.id) \
             + (SELECT COUNT(*) FROM user_identity i WHERE i.user_id = u.id) \
             + (SELECT COUNT(*) FROM membership m WHERE m.user_id = u.id AND m.company_id <> ",
        )
        .bind(company)
        .push(") AS n FROM user_account u WHERE u.email = ")
        .bind(email)
        .one(self.read())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let proof = row.try_get("", "platform_admin")? || row.try_get::<i64>("", "n")? > 0;
        Ok(Some((row.try_get("", "id")?, proof)))
    }

    /// Whether there is nobody yet who could let others in.
    pub(in crate::signin) async fn is_empty(&self, _every_company: &Scope) -> Result<bool> {
        let row = Sql::new(self.dialect, "SELECT (SELECT COUNT(*) FROM company WHERE id <> ")
            .bind(crate::access::GLOBAL)
            .push(") + (SELECT COUNT(*) FROM user_account WHERE platform_admin) AS n")
            .count(self.read())
            .await?;
        Ok(row == 0)
    }
}

pub(in crate::signin) async fn lock_invitation(tx: &Tx, scope: &Scope, id: Uuid) -> Result<Link> {
    let sql = invitations(tx.dialect, scope, "l.*").push(" AND l.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found("invitation"))?;
    read(&row)
}

pub(in crate::signin) async fn insert(tx: &Tx, link: &Link, digest: [u8; 32]) -> Result<()> {
    let role = link.grant.as_ref().map(|(role, _)| write_term(*role));
    let portfolio: sea_orm::Value = match &link.grant {
        Some((_, portfolio)) => write_portfolio(portfolio),
        None => None::<String>.into(),
    };
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        link.id.into(),
        link.company.into(),
        write_term(link.purpose).into(),
        digest.to_vec().into(),
        link.user.into(),
        link.email.clone().into(),
        role.into(),
        portfolio,
        link.created_by.into(),
        link.created_at.0.into(),
        link.expires_at.0.into(),
    ]);
    rows.insert(tx.conn(), tx.dialect, "one_time_link", "").await?;
    Ok(())
}

/// Uses a link up; false where it is not good any more.
pub(super) async fn use_up(tx: &Tx, id: Uuid) -> Result<bool> {
    let used = Sql::new(tx.dialect, "UPDATE one_time_link SET used_at = ")
        .bind(tx.now().0)
        .push(" WHERE used_at IS NULL AND revoked_at IS NULL AND expires_at > ")
        .bind(tx.now().0)
        .push(" AND id = ")
        .bind(id)
        .run(tx.conn())
        .await?;
    Ok(used.rows_affected() == 1)
}

fn revoking(tx: &Tx) -> Sql {
    Sql::new(tx.dialect, "UPDATE one_time_link SET revoked_at = ")
        .bind(tx.now().0)
        .push(" WHERE used_at IS NULL AND revoked_at IS NULL")
}

pub(in crate::signin) async fn revoke(tx: &Tx, id: Uuid) -> Result<()> {
    revoking(tx).push(" AND id = ").bind(id).run(tx.conn()).await?;
    Ok(())
}

/// Ends the links to a new password of this user.
pub(crate) async fn revoke_passwords(tx: &Tx, user: Uuid) -> Result<()> {
    revoking(tx).push(" AND user_id = ").bind(user).run(tx.conn()).await?;
    Ok(())
}

/// Ends the links to the first admin.
pub(in crate::signin) async fn revoke_setups(tx: &Tx) -> Result<()> {
    revoking(tx).push(" AND purpose = ").bind(write_term(Purpose::Setup)).run(tx.conn()).await?;
    Ok(())
}

/// Ends the open invitations of an address to the transaction's company.
pub(in crate::signin) async fn revoke_invitations(tx: &Tx, email: &str) -> Result<()> {
    revoking(tx)
        .push(" AND purpose = ")
        .bind(write_term(Purpose::Invitation))
        .push(" AND company_id = ")
        .bind(tx.company)
        .push(" AND email = ")
        .bind(email)
        .run(tx.conn())
        .await?;
    Ok(())
}
