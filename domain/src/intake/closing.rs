//! The end of an import: what its series saw last and a complete report does not name is closed,
//! and then the series tells for all that is present in it that it was seen.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::chunk::Attempt;
use super::import::remove;
use super::stored::{Counts, Stored};
use super::storing::{CHUNK, Import, TRIES};
use crate::error::{Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::finding::batch::Batch;
use crate::finding::change::Change;
use crate::finding::sighting::store::Others;
use crate::inventory::scan::ScanStatus;
use crate::job::JobState;
use crate::ledger::AuditEntry;
use crate::store::is_transient;

/// How many findings of a series are looked at together.
const PAGE: i64 = 5_000;

/// What came of the closing.
pub(super) enum Close {
    Done(Rest),
    /// Another import of the series ended meanwhile: what was read of it is out of date.
    Moved,
    /// The job is no longer ours.
    Lost,
}

/// What came of closing some findings: how many are not present any more.
enum Closed {
    Left(i64),
    Moved,
    Lost,
}

/// What the end of an import relies on.
pub(super) struct Rest {
    /// How many findings are present in the series when nothing is left to be closed.
    present: i64,
    /// The entry of the ledger up to which no other scan came in the way; none where one did.
    quiet: Option<i64>,
}

/// How an import ended.
pub(super) enum End {
    Finished,
    /// Another scan came in the way of what this one relied on: it is to be stored again.
    Again,
    /// The job is no longer ours.
    Lost,
}

impl Import {
    /// Closes what the series saw before and this report does not name.
    pub(super) async fn close(&self, stored: &mut Stored, stop: &CancellationToken) -> Result<Close> {
        let db = self.domain.db();
        let series = self.series.id;
        let mut present = db.count_present(&self.scope, series).await?;
        if self.params.complete && self.series.seen_at <= self.scanned_at {
            let all_named = !stored.elsewhere && u64::try_from(present) == Ok(self.checked.findings);
            let mut next = (!all_named).then_some(Uuid::nil());
            while let Some(after) = next {
                let page = db.present_in(&self.scope, series, after, PAGE).await?;
                next = page.last().map(|last| last.id);
                let missing = page.iter().filter(|finding| {
                    finding.seen_at < self.scanned_at
                        && self.checked.named.find(finding.fingerprint).is_none()
                });
                let missing: Vec<Uuid> = missing.map(|finding| finding.id).collect();
                for gone in missing.chunks(CHUNK) {
                    match self.close_all(gone, stored, stop).await? {
                        Closed::Left(left) => present -= left,
                        Closed::Moved => return Ok(Close::Moved),
                        Closed::Lost => return Ok(Close::Lost),
                    }
                }
            }
            let mut after = Uuid::nil();
            loop {
                let most = i64::try_from(CHUNK).unwrap_or(i64::MAX);
                let gone = db.reopened_in(&self.scope, series, self.scanned_at, after, most).await?;
                let Some(last) = gone.last() else { break };
                after = *last;
                match self.close_all(&gone, stored, stop).await? {
                    Closed::Left(_) => {}
                    Closed::Moved => return Ok(Close::Moved),
                    Closed::Lost => return Ok(Close::Lost),
                }
            }
        }
        let head = db.ledger_head(&self.scope).await?.audit_seq;
        let cause = self.cause.to_string();
        let since = stored.since.unwrap_or(0);
        let others =
            self.proof.covers && db.others_changed(&self.scope, self.others(&cause), (since, head)).await?;
        Ok(Close::Done(Rest { present, quiet: (!others).then_some(head) }))
    }

    /// Closes these findings.
    async fn close_all(
        &self,
        gone: &[Uuid],
        stored: &mut Stored,
        stop: &CancellationToken,
    ) -> Result<Closed> {
        for _ in 0..TRIES {
            if stop.is_cancelled() {
                return Ok(Closed::Lost);
            }
            match self.close_chunk(gone, stored).await {
                Ok(Some((Attempt::Kept(after), left))) => {
                    *stored = after;
                    return Ok(Closed::Left(left));
                }
                Ok(Some((Attempt::Lost, _))) => return Ok(Closed::Lost),
                Ok(Some((Attempt::Again, _))) => {}
                Ok(None) => return Ok(Closed::Moved),
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::internal("what is gone was written by others every time it was tried"))
    }

    /// Closes a chunk, and says how many are not present any more. `None`: the series moved on.
    async fn close_chunk(&self, gone: &[Uuid], stored: &Stored) -> Result<Option<(Attempt, i64)>> {
        let db = self.domain.db();
        let now = self.domain.clock().now();
        let gone = db.findings_by_id(&self.scope, gone).await?;
        let assets = db.assets_on(&self.scope, &gone).await?;
        let mut batch = Batch::of_scan(now, &self.cause);
        let mut seen = HashMap::new();
        let mut left = 0;
        for finding in gone {
            left += i64::from(finding.sighting.is_some_and(|sighting| sighting.present));
            seen.insert(finding.id, finding.last_seen_at);
            let asset = assets.get(&finding.asset);
            let asset = asset.ok_or_else(|| Error::internal("a finding is on an asset that is not there"))?;
            batch.change(finding, asset, vec![Change::Gone { at: self.scanned_at }])?;
        }
        let outcome = batch.pass(None);
        // What people decided, or ended, is not closed; but it is not present any more.
        let missed =
            outcome.unchanged().iter().filter_map(|id| Some((*id, *seen.get(id)?))).collect::<Vec<_>>();
        let mut after = stored.clone();
        after.closing = true;
        after.counts = Counts { closed: after.counts.closed + outcome.changed(), ..after.counts };
        let actor = self.job.principal.actor(self.job.company);
        let mut tx = db.begin(&actor, &self.scope, now).await?;
        // Where the series moved on meanwhile, what was read of it was seen later than it said.
        let stands = tx.lock_series(self.series.id).await?;
        if stands.is_none_or(|series| series.seen_at != self.series.seen_at) {
            return Ok(None);
        }
        if !outcome.write(&mut tx).await? {
            return Ok(Some((Attempt::Again, 0)));
        }
        tx.miss_findings(&missed).await?;
        if !tx.step_job(&self.job, &after.step(&self.checked, "closing", None)).await? {
            return Ok(Some((Attempt::Lost, 0)));
        }
        tx.commit().await?;
        Ok(Some((Attempt::Kept(after), left)))
    }

    /// Ends the job and its scan, and lets the series tell what was seen; unless something came in
    /// the way of what was relied on.
    pub(super) async fn finish(&self, stored: &Stored, rest: &Rest) -> Result<End> {
        let actor = self.job.principal.actor(self.job.company);
        let mut tx = self.domain.db().begin(&actor, &self.scope, self.domain.clock().now()).await?;
        let series = tx.lock_series(self.series.id).await?;
        let series = series.ok_or_else(|| Error::internal("a series is not there any more"))?;
        let end = Some((JobState::Completed, None));
        if !tx.step_job(&self.job, &stored.step(&self.checked, "finished", end)).await? {
            return Ok(End::Lost);
        }
        tx.end_scan(self.params.scan, ScanStatus::Finished, None).await?;
        let counts = &self.checked.counts;
        let totals: Map<String, Json> = counts
            .iter()
            .map(|(severity, count)| (severity.to_string(), json!(count)))
            .chain([("total".to_owned(), json!(counts.total()))])
            .collect();
        let mut entry = totals.clone();
        entry.extend(stored.counts(&self.checked));
        tx.audit(AuditEntry::new("import.finished", self.job.id).after(Json::from(entry)));
        tx.emit(Event::new(EventKind::ScanFinished, self.params.scan, Json::from(totals)));
        if self.proof.covers && !self.tell_series(&mut tx, stored, rest, series.seen_at).await? {
            return Ok(End::Again);
        }
        tx.commit().await?;
        remove(&self.domain.spooled(self.job.id)).await;
        Ok(End::Finished)
    }

    fn others<'a>(&self, cause: &'a str) -> Others<'a> {
        Others { project: self.params.project, series: self.series.id, cause }
    }

    /// Lets the series say that all that is present in it was seen by this scan. `false`: another
    /// scan changed findings, or what is present, since that was looked at.
    async fn tell_series(
        &self,
        tx: &mut crate::store::Tx,
        stored: &Stored,
        rest: &Rest,
        seen_at: crate::vocabulary::time::Timestamp,
    ) -> Result<bool> {
        // Every chunk ends at the ledger: from here on no other can be on its way.
        tx.lock_ledger().await?;
        let Some(quiet) = rest.quiet else { return Ok(false) };
        let cause = self.cause.to_string();
        if seen_at != self.series.seen_at
            || tx.others_changed(self.others(&cause), (quiet, i64::MAX)).await?
            || rest.present != tx.count_present(&self.scope, self.series.id).await?
        {
            return Ok(false);
        }
        let rules = stored.rules.filter(|rules| !rules.is_nil());
        tx.move_series(self.series.id, self.scanned_at, rules).await?;
        Ok(true)
    }
}
