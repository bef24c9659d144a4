//! The worker's side of an import: check, tell what is the same, store the rest in chunks, close
//! what is gone, tell what VEX says.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::chunk::{Attempt, Chunk, Prepared};
use super::closing::{Close, End};
use super::format::{Format, Plan};
use super::import::ImportParams;
use super::present::Pages;
use super::proof::{Proof, prove, rules_digest};
use super::reading::{self, Checked};
use super::stored::{Counts, Stored};
use crate::Domain;
use crate::access::Scope;
use crate::error::{Code, Error, Result};
use crate::finding::sighting::store::Series;
use crate::inventory::asset::Asset;
use crate::job::Job;
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::store::is_transient;
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

/// How many findings a chunk holds on SQLite: few enough that its writer is not held for long.
pub(super) const CHUNK: usize = 500;
/// And on PostgreSQL, where others write meanwhile: few enough that progress is told often.
const LARGE_CHUNK: usize = 1_000;
/// How many findings of which there is nothing to do a chunk holds at most beside those.
const SAME: i64 = 20_000;
/// How often a chunk is tried again after others wrote its findings or rules meanwhile.
pub(super) const TRIES: usize = 50;
/// How often what other scans come in the way of is stored again before nothing is relied on.
const ROUNDS: i64 = 3;
/// How often a worker tells of itself while nothing is stored.
const BEAT: Duration = Duration::from_millis(400);

/// What does not change while one import is stored.
pub(super) struct Import {
    pub domain: Domain,
    pub job: Job,
    pub params: ImportParams,
    pub scope: Scope,
    pub checked: Arc<Checked>,
    pub series: Series,
    pub scanned_at: Timestamp,
    pub cause: Json,
    /// What is the same as the last time, looked up before this round.
    pub proof: Proof,
}

impl Domain {
    pub(crate) async fn run_import(&self, job: &Job, stop: &CancellationToken) -> Result<Left> {
        let params = ImportParams::of(job)?;
        let path = self.spooled(job.id);
        if !tokio::fs::try_exists(&path).await.map_err(Error::internal)? {
            let message = "The report is not on the server that took the import over: upload it again.";
            return Err(Error::new(Code::IllegalState, message));
        }
        let mut stored = Stored::read(job);
        let mut present = Pages::likely(self, &job.scope(), &params).await?;
        let Some(checked) = self.check_report(job, &params, &stored, stop).await? else {
            return Ok(Left::Stopped);
        };
        let checked = Arc::new(checked);
        loop {
            let Some((series, scanned_at)) = self.open_scan(job, &params, &checked, &stored).await? else {
                return Ok(Left::Stopped);
            };
            let mut import = Import {
                domain: self.clone(),
                job: job.clone(),
                scope: job.scope(),
                cause: json!({ "job": job.id, "scan": params.scan }),
                params: params.clone(),
                checked: Arc::clone(&checked),
                series,
                scanned_at,
                proof: Proof::default(),
            };
            if !import.prove(&mut stored, present.take()).await? {
                return Ok(Left::Stopped);
            }
            let import = Arc::new(import);
            if !stored.closing && !import.store(&mut stored, stop).await? {
                return Ok(Left::Stopped);
            }
            let rest = match import.close(&mut stored, stop).await? {
                Close::Done(rest) => rest,
                Close::Moved => {
                    stored.begin_again();
                    continue;
                }
                Close::Lost => return Ok(Left::Stopped),
            };
            if import.is_vex() && !import.tell(&mut stored, stop).await? {
                return Ok(Left::Stopped);
            }
            match import.finish(&stored, &rest).await? {
                End::Finished => return Ok(Left::Ended),
                End::Lost => return Ok(Left::Stopped),
                End::Again => stored.begin_again(),
            }
        }
    }

    /// The first reading, off the async threads, with signs of life. `None`: the job is no longer ours.
    async fn check_report(
        &self,
        job: &Job,
        params: &ImportParams,
        stored: &Stored,
        stop: &CancellationToken,
    ) -> Result<Option<Checked>> {
        let path = self.spooled(job.id);
        let limits = self.settings().limits.clone();
        let named = params.format.as_deref().and_then(Format::parse);
        let (mapping, asset) = (params.mapping.clone(), params.asset.clone());
        let entries = Arc::new(AtomicI64::new(0));
        // Dropped with this future, so that a reading that nobody waits for ends.
        let gone = CancellationToken::new();
        let _reading = gone.clone().drop_guard();
        let reading = tokio::task::spawn_blocking({
            let entries = Arc::clone(&entries);
            move || {
                let plan = Plan { mapping: mapping.as_ref(), asset: asset.as_deref() };
                reading::check_watched(&path, named, &plan, &limits, &mut |count| {
                    entries.store(i64::try_from(count).unwrap_or(i64::MAX), Ordering::Relaxed);
                    if gone.is_cancelled() {
                        Err(Error::internal("nobody waits for the check"))
                    } else {
                        Ok(())
                    }
                })
            }
        });
        let step = || {
            let mut counts = stored.counts.json();
            counts.insert("read".to_owned(), json!(entries.load(Ordering::Relaxed)));
            let (position, total) = (job.position.clone(), job.total);
            Step { stage: "checking", position, total, done: job.done, counts, end: None }
        };
        let checked = tokio::select! {
            checked = self.telling(job, step, reading) => checked?,
            () = stop.cancelled() => return Ok(None),
        };
        checked.map(|checked| checked.map_err(Error::internal)?).transpose()
    }

    /// Waits for `work`, and tells now and then how far it is. `None`: the job is no longer ours.
    async fn telling<T>(
        &self,
        job: &Job,
        step: impl Fn() -> Step<'static>,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(Some(done)),
                () = tokio::time::sleep(BEAT) => {
                    let actor = job.principal.actor(job.company);
                    let tx = self.db().begin(&actor, &job.scope(), self.clock().now()).await?;
                    if !tx.step_job(job, &step()).await? {
                        return Ok(None);
                    }
                    tx.commit().await?;
                }
            }
        }
    }

    /// Writes what the check found into the scan, and the series it belongs to.
    async fn open_scan(
        &self,
        job: &Job,
        params: &ImportParams,
        checked: &Checked,
        stored: &Stored,
    ) -> Result<Option<(Series, Timestamp)>> {
        let actor = job.principal.actor(job.company);
        let uploaded = params.upload.as_ref().map(|upload| upload.at);
        let scanned_at = checked.head.scanned_at.or(uploaded).unwrap_or(job.created_at);
        let series_name = match &params.series {
            Some(name) => name.clone(),
            None => format!("assets:{}", checked.assets_digest),
        };
        let tx = self.db().begin(&actor, &job.scope(), self.clock().now()).await?;
        let scanner = checked.head.scanner.as_str();
        let series = tx.ensure_series(self.clock().id(), params.project, scanner, &series_name).await?;
        let told = (scanner, checked.format.key());
        tx.open_scan(params.scan, series.id, told, scanned_at, &checked.counts).await?;
        if !tx.step_job(job, &stored.step(checked, "storing", None)).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some((series, scanned_at)))
    }
}

impl Import {
    fn is_vex(&self) -> bool {
        self.checked.format.entry().vex.is_some()
    }

    /// Finds out what is the same as the last time, from what is `present` in the series if that was
    /// read ahead of it. `false`: the job is no longer ours.
    async fn prove(&mut self, stored: &mut Stored, present: Option<Pages>) -> Result<bool> {
        let present = match present.filter(|present| present.series == self.series) {
            Some(present) => present,
            None => Pages::of(&self.domain, &self.scope, self.series).await?,
        };
        let since = present.since;
        let rules = self.domain.live_rules(&self.scope, self.domain.clock().now()).await?;
        let rules = rules_digest(&rules);
        let passed = rules.is_some() && self.series.rules == rules;
        let scan = (self.scanned_at, self.params.complete);
        let proof = prove(present, &self.checked.named, scan, passed);
        let told = stored.clone();
        let checked = Arc::clone(&self.checked);
        let step = || Step { stage: "storing", ..told.step(&checked, "storing", None) };
        let Some(proof) = self.domain.telling(&self.job, step, proof).await? else { return Ok(false) };
        self.proof = proof?;
        // A VEX document is taken at its word whole: what it no longer says is withdrawn.
        if stored.rounds >= ROUNDS || self.is_vex() {
            self.proof = Proof::default();
        }
        // What was stored before this worker took over relied on the series for more than it can tell.
        if stored.covers == Some(true) && !self.proof.covers {
            stored.begin_again();
        }
        stored.covers = Some(self.proof.covers);
        stored.since.get_or_insert(since);
        if self.proof.count > 0 {
            stored.passed_under(rules);
        }
        Ok(true)
    }

    /// The second reading. Parsing runs ahead of storing, and while one chunk is written the next is
    /// made ready. Where everything is the same there is nothing to read.
    async fn store(self: &Arc<Self>, stored: &mut Stored, stop: &CancellationToken) -> Result<bool> {
        let all = i64::try_from(self.checked.findings).unwrap_or(i64::MAX);
        if self.proof.count as u64 == self.checked.findings {
            stored.add(
                all - stored.findings,
                &Counts { unchanged: all - stored.findings, ..Counts::default() },
            );
            return Ok(true);
        }
        let (send, mut receive) = mpsc::channel::<Chunk>(1);
        let reading = tokio::task::spawn_blocking({
            let import = Arc::clone(self);
            let done = stored.findings;
            move || import.read_chunks(done, &send)
        });
        let mut next = receive.recv().await.map(|chunk| self.ready(chunk, HashMap::new()));
        while let Some(ready) = next.take() {
            let (chunk, prepared) = ready.await.map_err(Error::internal)?;
            if stop.is_cancelled() {
                return Ok(false);
            }
            let prepared = match prepared {
                Ok(prepared) => prepared,
                Err(error) if is_transient(&error) => self.prepare(&chunk, &HashMap::new()).await?,
                Err(error) => return Err(error),
            };
            let made = prepared.assets.iter().map(|asset| (asset.name.clone(), asset.clone())).collect();
            let following = receive.recv().await;
            next = following.map(|chunk| self.ready(chunk, made));
            match self.keep(prepared, stored).await {
                Ok(Attempt::Kept(after)) => {
                    *stored = after;
                    continue;
                }
                Ok(Attempt::Lost) => return Ok(false),
                Ok(Attempt::Again) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
            // What was made ready meanwhile may lean on what was not kept: it is made ready again.
            let waiting = match next.take() {
                Some(ready) => Some(ready.await.map_err(Error::internal)?.0),
                None => None,
            };
            if !self.store_chunk(&chunk, stored).await? {
                return Ok(false);
            }
            next = waiting.map(|chunk| self.ready(chunk, HashMap::new()));
        }
        reading.await.map_err(Error::internal)??;
        Ok(true)
    }

    /// Makes a chunk ready beside what else goes on. `ahead`: the assets that the chunk before it is
    /// about to make.
    fn ready(
        self: &Arc<Self>,
        chunk: Chunk,
        ahead: HashMap<String, Asset>,
    ) -> JoinHandle<(Chunk, Result<Prepared>)> {
        let import = Arc::clone(self);
        tokio::spawn(async move {
            let prepared = import.prepare(&chunk, &ahead).await;
            (chunk, prepared)
        })
    }

    /// Stores one chunk that others came in the way of. `false`: the job is no longer ours.
    async fn store_chunk(&self, chunk: &Chunk, stored: &mut Stored) -> Result<bool> {
        for _ in 0..TRIES {
            let attempt = match self.prepare(chunk, &HashMap::new()).await {
                Ok(prepared) => self.keep(prepared, stored).await,
                Err(error) => Err(error),
            };
            match attempt {
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
        Err(Error::internal("a chunk of an import was written by others every time it was tried"))
    }

    /// Reads the report a second time and sends it on in chunks, but for the first `done` findings
    /// and for those of which there is nothing to do.
    fn read_chunks(&self, done: i64, send: &mpsc::Sender<Chunk>) -> Result<()> {
        let path = self.domain.spooled(self.job.id);
        let scratch = self.domain.spool().join(format!("{}.aside", self.job.id));
        let send =
            |chunk| send.blocking_send(chunk).map_err(|_| Error::internal("nobody stores what is read"));
        let full = match self.domain.db().dialect {
            Dialect::Sqlite => CHUNK,
            Dialect::Postgres => LARGE_CHUNK,
        };
        let mut skip = done;
        let mut chunk = Chunk::default();
        reading::read(&path, &self.checked, &self.domain.settings().limits, &scratch, &mut |handed| {
            if skip > 0 {
                skip -= 1;
                return Ok(());
            }
            if self.proof.is_same(handed.named) {
                chunk.same += 1;
            } else {
                chunk.findings.push(handed);
            }
            if chunk.findings.len() == full || chunk.same == SAME {
                send(std::mem::take(&mut chunk))?;
            }
            Ok(())
        })?;
        if chunk.findings.is_empty() && chunk.same == 0 { Ok(()) } else { send(chunk) }
    }
}
