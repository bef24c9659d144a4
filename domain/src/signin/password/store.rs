//! The rows of passwords, and of the devices that an account signed in from.

use uuid::Uuid;

use crate::access::Scope;
use crate::error::Result;
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::time::Timestamp;

/// What an address has on this server.
pub(super) struct Credential {
    pub user: Uuid,
    pub disabled: bool,
    pub hash: Option<String>,
}

impl Db {
    pub(super) async fn credential(&self, _every_company: &Scope, email: &str) -> Result<Option<Credential>> {
        let row = Sql::new(
            self.dialect,
            "SELECT u.id, u.disabled_at, p.hash FROM user_account u \
             LEFT JOIN user_password p ON p.user_id = u.id WHERE u.email = ",
        )
        .bind(email)
        .one(self.read())
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Credential {
            user: row.try_get("", "id")?,
            disabled: row.try_get::<Option<i64>>("", "disabled_at")?.is_some(),
            hash: row.try_get("", "hash")?,
        }))
    }

    /// Whether the user signed in from this device since `since`.
    pub(super) async fn knows_device(
        &self,
        _every_company: &Scope,
        user: Uuid,
        digest: [u8; 32],
        since: Timestamp,
    ) -> Result<bool> {
        let row = Sql::new(self.dialect, "SELECT 1 AS n FROM known_device WHERE hash = ")
            .bind(digest.to_vec())
            .push(" AND user_id = ")
            .bind(user)
            .push(" AND last_used_at > ")
            .bind(since.0)
            .one(self.read())
            .await?;
        Ok(row.is_some())
    }

    /// Notes a device that the user signed in from, keeps the newest `most`, and forgets old ones.
    pub(super) async fn device_used(
        &self,
        _every_company: &Scope,
        user: Uuid,
        digest: [u8; 32],
        now: Timestamp,
        since: Timestamp,
        most: i64,
    ) -> Result<()> {
        let tx = self.transaction().await?;
        Sql::new(self.dialect, "INSERT INTO known_device (hash, user_id, created_at, last_used_at) VALUES (")
            .bind(digest.to_vec())
            .push(", ")
            .bind(user)
            .push(", ")
            .bind(now.0)
            .push(", ")
            .bind(now.0)
            .push(") ON CONFLICT (hash) DO UPDATE SET last_used_at = excluded.last_used_at")
            .run(&tx)
            .await?;
        Sql::new(self.dialect, "DELETE FROM known_device WHERE user_id = ")
            .bind(user)
            .push(" AND (last_used_at <= ")
            .bind(since.0)
            .push(" OR hash NOT IN (SELECT hash FROM known_device WHERE user_id = ")
            .bind(user)
            .push(" ORDER BY last_used_at DESC, hash LIMIT ")
            .bind(most)
            .push("))")
            .run(&tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Sets a password; every device is a stranger again.
pub(crate) async fn set(tx: &Tx, user: Uuid, hash: &str) -> Result<()> {
    Sql::new(tx.dialect, "INSERT INTO user_password (user_id, hash, set_at) VALUES (")
        .bind(user)
        .push(", ")
        .bind(hash)
        .push(", ")
        .bind(tx.now().0)
        .push(") ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, set_at = excluded.set_at")
        .run(tx.conn())
        .await?;
    Sql::new(tx.dialect, "DELETE FROM known_device WHERE user_id = ").bind(user).run(tx.conn()).await?;
    Ok(())
}
