//! The rows of sign-ins that were begun, of identities, and of what groups gave.

use uuid::Uuid;

use crate::access::Scope;
use crate::error::Result;
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::time::Timestamp;

/// A sign-in that was begun.
pub(super) struct Begun {
    pub provider: String,
    pub company: Option<Uuid>,
    pub expires: Timestamp,
}

impl Db {
    /// Notes a sign-in that was begun, and forgets those that were not finished in time.
    pub(super) async fn oidc_begin(
        &self,
        _every_company: &Scope,
        state: [u8; 32],
        binding: [u8; 32],
        begun: &Begun,
        now: Timestamp,
    ) -> Result<()> {
        let tx = self.transaction().await?;
        Sql::new(self.dialect, "DELETE FROM oidc_login WHERE expires_at <= ").bind(now.0).run(&tx).await?;
        Sql::new(
            self.dialect,
            "INSERT INTO oidc_login (state, binding, provider, company_id, expires_at) VALUES (",
        )
        .bind(state.to_vec())
        .push(", ")
        .bind(binding.to_vec())
        .push(", ")
        .bind(begun.provider.as_str())
        .push(", ")
        .bind(begun.company)
        .push(", ")
        .bind(begun.expires.0)
        .push(")")
        .run(&tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a sign-in that was begun away: nobody finishes it again.
    pub(super) async fn oidc_take(
        &self,
        _every_company: &Scope,
        state: [u8; 32],
        binding: [u8; 32],
    ) -> Result<Option<Begun>> {
        let tx = self.transaction().await?;
        let row = Sql::new(self.dialect, "DELETE FROM oidc_login WHERE state = ")
            .bind(state.to_vec())
            .push(" AND binding = ")
            .bind(binding.to_vec())
            .push(" RETURNING provider, company_id, expires_at")
            .one(&tx)
            .await?;
        tx.commit().await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Begun {
            provider: row.try_get("", "provider")?,
            company: row.try_get("", "company_id")?,
            expires: Timestamp(row.try_get("", "expires_at")?),
        }))
    }

    /// The user of an issuer's subject.
    pub(super) async fn identity(
        &self,
        _every_company: &Scope,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<Uuid>> {
        let row = Sql::new(self.dialect, "SELECT user_id FROM user_identity WHERE issuer = ")
            .bind(issuer)
            .push(" AND subject = ")
            .bind(subject)
            .one(self.read())
            .await?;
        row.map(|row| Ok(row.try_get("", "user_id")?)).transpose()
    }

    pub(super) async fn company_named(&self, _every_company: &Scope, name: &str) -> Result<Option<Uuid>> {
        let row = Sql::new(self.dialect, "SELECT id FROM company WHERE name = ")
            .bind(name)
            .push(" AND id <> ")
            .bind(crate::access::GLOBAL)
            .one(self.read())
            .await?;
        row.map(|row| Ok(row.try_get("", "id")?)).transpose()
    }
}

pub(super) async fn insert_identity(tx: &Tx, issuer: &str, subject: &str, user: Uuid) -> Result<()> {
    Sql::new(tx.dialect, "INSERT INTO user_identity (issuer, subject, user_id, created_at) VALUES (")
        .bind(issuer)
        .push(", ")
        .bind(subject)
        .push(", ")
        .bind(user)
        .push(", ")
        .bind(tx.now().0)
        .push(") ON CONFLICT DO NOTHING")
        .run(tx.conn())
        .await?;
    Ok(())
}

/// The provider whose groups gave the user's membership of the transaction's company.
pub(super) async fn given_by(tx: &Tx, user: Uuid) -> Result<Option<String>> {
    let row = Sql::new(tx.dialect, "SELECT provider FROM identity_grant WHERE user_id = ")
        .bind(user)
        .push(" AND company_id = ")
        .bind(tx.company)
        .one(tx.conn())
        .await?;
    row.map(|row| Ok(row.try_get("", "provider")?)).transpose()
}

pub(super) async fn give(tx: &Tx, user: Uuid, provider: &str) -> Result<()> {
    Sql::new(tx.dialect, "INSERT INTO identity_grant (user_id, company_id, provider) VALUES (")
        .bind(user)
        .push(", ")
        .bind(tx.company)
        .push(", ")
        .bind(provider)
        .push(") ON CONFLICT (user_id, company_id) DO UPDATE SET provider = excluded.provider")
        .run(tx.conn())
        .await?;
    Ok(())
}
