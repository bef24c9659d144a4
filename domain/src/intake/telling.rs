//! The last stage of the import of a VEX document: the findings of other reports hear of what it says.
//!
//! The statements were written with the chunks of the document, marked with the import that changed
//! them. A complete document withdraws what its series said before and it does not name. Then the
//! version of the rules goes up, so that a chunk of another import that was worked out without the
//! statements is taken back, and the findings that name the vulnerabilities are told, in chunks. A
//! statement loses its mark when they were: one that an import left behind is told by the next.

use std::sync::Arc;

use uuid::Uuid;

use super::chunk::{Attempt, Chunk};
use super::reading::Handed;
use super::stored::Stored;
use super::storing::{Import, TRIES};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::intel::vex::Said;
use crate::intel::vex::store::{Document, Row};
use crate::store::{Tx, is_transient};
use tokio_util::sync::CancellationToken;

/// How many findings are told at a time: few enough that a writer of SQLite is not held for long.
const TOLD: i64 = 250;

impl Import {
    fn document(&self) -> Document {
        Document {
            project: self.params.project,
            series: self.series.id,
            scan: self.params.scan,
            scanned_at: self.scanned_at,
            job: self.job.id,
        }
    }

    /// The statements that a chunk makes, under each name of their vulnerability.
    pub(super) fn statements(&self, chunk: &Chunk) -> Vec<Row> {
        let mut rows = Vec::new();
        for Handed { reported, fingerprint, .. } in &chunk.findings {
            let Some((vex, said)) = reported.vex.as_deref().zip(Said::of(reported)) else { continue };
            let said = serde_json::to_string(&said).expect("statements encode");
            rows.extend(vex.vulnerabilities.iter().map(|name| Row {
                vulnerability: name.clone(),
                key: *fingerprint,
                said: said.clone(),
                said_at: vex.said_at.unwrap_or(self.scanned_at),
            }));
        }
        rows.sort_unstable_by(|a, b| (&a.vulnerability, a.key).cmp(&(&b.vulnerability, b.key)));
        rows
    }

    pub(super) async fn keep_statements(&self, tx: &Tx, statements: &[Row]) -> Result<()> {
        if statements.is_empty() { Ok(()) } else { tx.write_vex(&self.document(), statements).await }
    }

    /// Tells the findings of the project. `false`: the job is no longer ours.
    pub(super) async fn tell(
        self: &Arc<Self>,
        stored: &mut Stored,
        stop: &CancellationToken,
    ) -> Result<bool> {
        let (db, scope) = (self.domain.db(), &self.scope);
        let of = (self.params.project, self.job.id);
        if stored.told_after.is_none() {
            if self.params.complete && !self.withdraw(stored, stop).await? {
                return Ok(false);
            }
            if db.vex_untold(scope, of, ("", false)).await?.is_empty() {
                return Ok(true);
            }
            if !self.announce(stored).await? {
                return Ok(false);
            }
        }
        let mut behind = false;
        loop {
            let (from, _) = stored.told_after.clone().unwrap_or_default();
            let names = db.vex_untold(scope, of, (&from, behind)).await?;
            let Some(last) = names.last().cloned() else { return Ok(true) };
            loop {
                if stop.is_cancelled() {
                    return Ok(false);
                }
                let (name, finding) = stored.told_after.clone().unwrap_or_default();
                let page = db.findings_naming(scope, Some(of.0), &names, (&name, finding), TOLD).await?;
                let Some(end) = page.last().cloned() else { break };
                let mut ids: Vec<Uuid> = page.into_iter().map(|(_, finding)| finding).collect();
                ids.sort_unstable();
                ids.dedup();
                if !self.tell_chunk(&ids, end, stored).await? {
                    return Ok(false);
                }
                tokio::task::yield_now().await;
            }
            let mut after = stored.clone();
            after.told_after = Some((last, Uuid::max()));
            let tx = self.begin(scope).await?;
            tx.vex_told(of, &names).await?;
            if !self.step(tx, after, stored).await? {
                return Ok(false);
            }
            behind = true;
        }
    }

    /// Withdraws what the document no longer says, some at a time.
    async fn withdraw(&self, stored: &mut Stored, stop: &CancellationToken) -> Result<bool> {
        while !stop.is_cancelled() {
            let tx = self.begin(&self.scope).await?;
            if !tx.withdraw_vex(&self.document()).await? {
                return Ok(true);
            }
            if !self.step(tx, stored.clone(), stored).await? {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// From here on no pass goes by what was said before.
    async fn announce(&self, stored: &mut Stored) -> Result<bool> {
        let mut after = stored.clone();
        after.told_after = Some((String::new(), Uuid::nil()));
        let mut tx = self.begin(&self.scope).await?;
        tx.rules_changed();
        self.step(tx, after, stored).await
    }

    /// Tells some findings, with the pass that follows. `false`: the job is no longer ours.
    async fn tell_chunk(&self, ids: &[Uuid], end: (String, Uuid), stored: &mut Stored) -> Result<bool> {
        for _ in 0..TRIES {
            match self.try_to_tell(ids, end.clone(), stored).await {
                Ok(Attempt::Kept(after)) => {
                    *stored = after;
                    return Ok(true);
                }
                Ok(Attempt::Lost) => return Ok(false),
                Ok(Attempt::Again) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
            tokio::task::yield_now().await;
        }
        Err(Error::internal("findings were written by others every time they were to be told"))
    }

    async fn try_to_tell(&self, ids: &[Uuid], end: (String, Uuid), stored: &Stored) -> Result<Attempt> {
        let heard = self.domain.hear(&self.scope, ids, &self.cause).await?;
        let mut after = stored.clone();
        after.told_after = Some(end);
        after.counts.told += heard.outcome.changed();
        let actor = self.job.principal.actor(self.job.company);
        let mut tx = self.domain.db().begin(&actor, &self.scope, heard.now).await?;
        if !heard.outcome.write(&mut tx).await? {
            return Ok(Attempt::Again);
        }
        if !tx.step_job(&self.job, &after.step(&self.checked, STAGE, None)).await? {
            return Ok(Attempt::Lost);
        }
        let kept = tx.commit_under(heard.rules).await?.is_some();
        Ok(if kept { Attempt::Kept(after) } else { Attempt::Again })
    }

    async fn begin(&self, scope: &Scope) -> Result<Tx> {
        let actor = self.job.principal.actor(self.job.company);
        self.domain.db().begin(&actor, scope, self.domain.clock().now()).await
    }

    async fn step(&self, tx: Tx, after: Stored, stored: &mut Stored) -> Result<bool> {
        if !tx.step_job(&self.job, &after.step(&self.checked, STAGE, None)).await? {
            return Ok(false);
        }
        tx.commit().await?;
        *stored = after;
        Ok(true)
    }
}

const STAGE: &str = "telling";
