//! Events out of the ledger.

use super::{Subject, Told};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::store::Db;
use crate::store::sql::Sql;
use crate::vocabulary::time::Timestamp;

impl Db {
    /// The next events about one kind of subject, after number `after`.
    pub(crate) async fn events_about(
        &self,
        scope: &Scope,
        subject: Subject,
        after: i64,
        most: i64,
    ) -> Result<Vec<Told>> {
        let kinds = match subject {
            Subject::Finding => "kind >= 'finding_' AND kind < 'finding`' AND kind <> 'finding_bulk_updated'",
            Subject::Approval => "kind >= 'approval_' AND kind < 'approval`'",
        };
        let rows = Sql::new(
            self.dialect,
            "SELECT seq, at, kind, subject_id, payload FROM event WHERE company_id = ",
        )
        .bind(scope.company()?)
        .push(" AND seq > ")
        .bind(after)
        .push(" AND ")
        .push(kinds)
        .push(" ORDER BY seq LIMIT ")
        .bind(most)
        .all(self.read())
        .await?;
        rows.iter()
            .map(|row| {
                let payload: String = row.try_get("", "payload")?;
                Ok(Told {
                    seq: row.try_get("", "seq")?,
                    at: Timestamp(row.try_get("", "at")?),
                    kind: row.try_get("", "kind")?,
                    subject: row.try_get("", "subject_id")?,
                    payload: serde_json::from_str(&payload).map_err(Error::internal)?,
                })
            })
            .collect()
    }
}
