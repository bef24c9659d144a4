//! What a server does by the clock, beside its jobs: it forgets what has lost its use, and tells
//! operators how much work waits.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Domain;
use crate::error::Result;
use crate::intel::feed::Feed;

const EVERY: Duration = Duration::from_secs(15);

impl Domain {
    /// Keeps house until `stop`. What fails is logged and tried again.
    pub async fn keep_house(&self, stop: CancellationToken) {
        let mut warned = BTreeSet::new();
        while !stop.is_cancelled() {
            if let Err(error) = self.tidy_up(&mut warned).await {
                tracing::warn!(%error, "the server could not keep house");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Keeps house once. `warned`: the feeds whose age was warned of before.
    pub async fn tidy_up(&self, warned: &mut BTreeSet<Feed>) -> Result<()> {
        self.measure_jobs().await?;
        self.watch_feeds(warned).await?;
        for job in self.end_overdue().await? {
            tracing::info!(%job, "a job ended that had waited for too long");
        }
        let (warned, opened) = self.keep_acceptances().await?;
        if warned + opened > 0 {
            tracing::info!(warned, opened, "accepted risks came to their end, or will soon");
        }
        for job in self.revert_expired().await? {
            tracing::info!(%job, "what a rule said that ended is taken back");
        }
        let (reminded, ended) = self.approvals_keep().await?;
        if reminded + ended > 0 {
            tracing::info!(reminded, ended, "approvals were reminded of, or ended undecided");
        }
        let pruned = self.idempotency_prune().await?;
        if pruned > 0 {
            tracing::debug!(pruned, "idempotency keys were forgotten");
        }
        let pruned = self.sessions_prune().await? + self.attempts_prune().await?;
        if pruned > 0 {
            tracing::debug!(pruned, "sessions and attempts to sign in were forgotten");
        }
        Ok(())
    }
}
