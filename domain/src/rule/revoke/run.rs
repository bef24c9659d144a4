//! A revoke as a job of small chunks, each of which commits what it took back with what came of it.

use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::{Counts, Revoke, TRIES};
use crate::Domain;
use crate::error::{Error, Result};
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::job::{Job, JobState};
use crate::store::is_transient;

/// How many turns of a rule a chunk looks at: few enough that a writer of SQLite is not held for long.
const CHUNK: usize = 250;

impl Domain {
    pub(crate) async fn run_revoke(&self, job: &Job, stop: &CancellationToken) -> Result<Left> {
        let scope = job.scope();
        let revoke = Revoke::of(job)?;
        let mut counts = Counts::read(job);
        let mut after = job.at("after").and_then(Json::as_i64);
        let total = match job.total {
            Some(total) => total,
            None => self.db().count_picks(&scope, &revoke).await?,
        };
        let mut tries = 0;
        while !stop.is_cancelled() {
            let turns = self.db().picks(&scope, &revoke, after, CHUNK).await?;
            let Some(next) = turns.last().map(|turned| turned.place) else {
                return self.finish_revoke(job, &revoke, &counts, after).await;
            };
            let chunk = self.judged(&scope, &revoke, job.id, &turns).await?;
            let actor = job.principal.actor(job.company);
            let mut tx = self.db().begin(&actor, &scope, self.clock().now()).await?;
            let mut counted = counts.clone();
            let author = job.principal.speaker.id;
            let kept = match self.keep_chunk(&mut tx, &revoke, (job.id, author), chunk, &mut counted).await {
                Ok(kept) => kept,
                Err(error) if is_transient(&error) => false,
                Err(error) => return Err(error),
            };
            if !kept {
                tries += 1;
                if tries == TRIES {
                    return Err(Error::internal("findings were written by others every time"));
                }
                continue;
            }
            if !tx.step_job(job, &counted.step(Some(next), total, None)).await? {
                return Ok(Left::Stopped);
            }
            match tx.commit().await {
                Ok(_) => {}
                Err(error) if is_transient(&error) && tries + 1 < TRIES => {
                    tries += 1;
                    continue;
                }
                Err(error) => return Err(error),
            }
            (counts, after, tries) = (counted, Some(next), 0);
            tokio::task::yield_now().await;
        }
        Ok(Left::Stopped)
    }

    async fn finish_revoke(
        &self,
        job: &Job,
        revoke: &Revoke,
        counts: &Counts,
        after: Option<i64>,
    ) -> Result<Left> {
        let actor = job.principal.actor(job.company);
        let mut tx = self.db().begin(&actor, &job.scope(), self.clock().now()).await?;
        let end = counts.step(after, counts.done(), Some((JobState::Completed, None)));
        if !tx.step_job(job, &end).await? {
            return Ok(Left::Stopped);
        }
        tx.end_revoke(job.id, revoke, &job.principal, counts).await?;
        tx.commit().await?;
        Ok(Left::Ended)
    }
}

impl Counts {
    pub(super) fn step(
        &self,
        after: Option<i64>,
        total: i64,
        end: Option<(JobState, Option<Json>)>,
    ) -> Step<'static> {
        Step {
            stage: if end.is_some() { "finished" } else { "revoking" },
            position: Some(json!({ "after": after })),
            total: Some(total),
            done: self.done(),
            counts: self.told(),
            end,
        }
    }
}
