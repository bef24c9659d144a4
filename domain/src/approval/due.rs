//! What of approvals the clock does: a reminder, and an end for what nobody decides.

use uuid::Uuid;

use super::Stage;
use crate::Domain;
use crate::access::{Actor, Scope};
use crate::error::Result;
use crate::event::catalogue::EventKind;
use crate::signin::session::scope_of;
use crate::vocabulary::time::Timestamp;

impl Domain {
    /// Reminds of approvals that have waited for long, and takes back those that nobody decided in
    /// time; says how many of each.
    pub(crate) async fn approvals_keep(&self) -> Result<(usize, usize)> {
        let now = self.clock().now();
        let (mut reminded, mut ended) = (0, 0);
        for (company, id) in self.db().approvals_due(&Scope::System, now, true).await? {
            ended += usize::from(self.keep_approval(company, id, now).await?);
        }
        for (company, id) in self.db().approvals_due(&Scope::System, now, false).await? {
            reminded += usize::from(self.keep_approval(company, id, now).await?);
        }
        Ok((reminded, ended))
    }

    /// Does what is due of one approval. `false`: somebody else did, or it waits no more.
    async fn keep_approval(&self, company: Uuid, id: Uuid, now: Timestamp) -> Result<bool> {
        let actor = Actor::system(company, "approvals");
        let mut tx = self.db().begin(&actor, &scope_of(company), now).await?;
        let Some(mut approval) = tx.approval_to_change(id).await? else { return Ok(false) };
        if approval.stage != Stage::Pending {
            return Ok(false);
        }
        if approval.deadline.is_some_and(|deadline| deadline <= now) {
            self.withdraw(&mut tx, &mut approval, "Nobody decided on it in time.").await?;
        } else if approval.reminded_at.is_none() && approval.remind_at.is_some_and(|at| at <= now) {
            approval.reminded_at = Some(now);
            self.note(&mut tx, &mut approval, "approval.reminded", EventKind::ApprovalReminded).await?;
        } else {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }
}
