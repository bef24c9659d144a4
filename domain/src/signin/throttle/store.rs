//! The rows that attempts are counted in.

use super::{Counted, Tally};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::store::Db;
use crate::store::sql::Sql;
use crate::vocabulary::time::{Span, Timestamp};

impl Db {
    /// Counts an attempt by all of `counted`, if each allows it; otherwise by none, and how long it
    /// has to wait.
    pub(super) async fn attempt(
        &self,
        _every_company: &Scope,
        counted: &[Counted],
        now: Timestamp,
        count: impl Fn(Tally, i32, Timestamp) -> Result<Tally, Span>,
    ) -> Result<Option<Span>> {
        let tx = self.transaction().await?;
        let mut wait = None;
        for Counted { key, free } in counted {
            // The row is there before it is locked, so that two first attempts take turns.
            Sql::new(self.dialect, "INSERT INTO sign_in_tally (key, failures, at, until) VALUES (")
                .bind(key.to_vec())
                .push(", 0, ")
                .bind(now.0)
                .push(", 0) ON CONFLICT (key) DO NOTHING")
                .run(&tx)
                .await?;
            let row = Sql::new(self.dialect, "SELECT failures, at, until FROM sign_in_tally WHERE key = ")
                .bind(key.to_vec())
                .locked()
                .one(&tx)
                .await?
                .ok_or_else(|| Error::internal("a tally is gone"))?;
            let tally = Tally {
                failures: row.try_get("", "failures")?,
                at: Timestamp(row.try_get("", "at")?),
                until: Timestamp(row.try_get("", "until")?),
            };
            match count(tally, *free, now) {
                Ok(tally) => {
                    Sql::new(self.dialect, "UPDATE sign_in_tally SET failures = ")
                        .bind(tally.failures)
                        .push(", at = ")
                        .bind(tally.at.0)
                        .push(", until = ")
                        .bind(tally.until.0)
                        .push(" WHERE key = ")
                        .bind(key.to_vec())
                        .run(&tx)
                        .await?;
                }
                Err(long) => wait = wait.max(Some(long)),
            }
        }
        match wait {
            None => tx.commit().await?,
            Some(_) => tx.rollback().await?,
        }
        Ok(wait)
    }

    /// Forgets the failures counted by what has few free attempts, and takes one from the others.
    pub(super) async fn succeeded(
        &self,
        _every_company: &Scope,
        counted: &[Counted],
        few: i32,
    ) -> Result<()> {
        let tx = self.transaction().await?;
        for Counted { key, free } in counted {
            let sql = if *free == few {
                "DELETE FROM sign_in_tally WHERE key = "
            } else {
                "UPDATE sign_in_tally SET failures = failures - 1, until = at WHERE failures > 0 AND key = "
            };
            Sql::new(self.dialect, sql).bind(key.to_vec()).run(&tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn attempts_prune(&self, _every_company: &Scope, before: Timestamp) -> Result<u64> {
        let tx = self.transaction().await?;
        let sql = Sql::new(self.dialect, "DELETE FROM sign_in_tally WHERE at < ").bind(before.0);
        let pruned = sql.run(&tx).await?;
        tx.commit().await?;
        Ok(pruned.rows_affected())
    }
}
