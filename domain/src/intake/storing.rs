//! The worker's side of an import: check, store in chunks, close what is gone, tell what VEX says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::format::{Format, Plan};
use super::import::{ImportParams, remove};
use super::reading::{self, Checked};
use super::report::{Fingerprint, Reported};
use super::text;
use crate::Domain;
use crate::access::Scope;
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::finding::batch::{Batch, Outcome};
use crate::finding::change::Change;
use crate::finding::facts::{Evidence, Finding, Shown, scanner_statements};
use crate::finding::layers::Layers;
use crate::intel::fact::Known;
use crate::intel::vex::store::Row;
use crate::inventory::asset::{self, Asset, store as assets};
use crate::inventory::scan::ScanStatus;
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::job::{Job, JobState};
use crate::ledger::AuditEntry;
use crate::store::{RulesVersion, is_transient};
use crate::vocabulary::time::Timestamp;

mod telling;

/// How many findings a chunk holds: few enough that a writer of SQLite is not held for long.
const CHUNK: usize = 500;
/// How often a chunk is tried again after others wrote its findings or rules meanwhile.
const TRIES: usize = 50;
/// How often a long check gives a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(5);

type Chunk = Vec<(Reported, Fingerprint)>;

/// What does not change while one import is stored.
struct Import {
    domain: Domain,
    job: Job,
    params: ImportParams,
    scope: Scope,
    checked: Arc<Checked>,
    series: Uuid,
    scanned_at: Timestamp,
    cause: Json,
}

/// How far an import is: its job's position and counts.
#[derive(Clone, Default)]
struct Stored {
    /// Findings stored, in the order of the second reading.
    findings: i64,
    /// The last finding looked at for closing; `None` while storing.
    closed_after: Option<Uuid>,
    /// The vulnerability and the finding that were told of last; `None` before that stage.
    told_after: Option<(String, Uuid)>,
    counts: Counts,
}

/// What became of the findings so far.
#[derive(Clone, Default)]
struct Counts {
    created: i64,
    changed: i64,
    unchanged: i64,
    closed: i64,
    /// Findings of other reports that a VEX document changed.
    told: i64,
}

impl Domain {
    pub(crate) async fn run_import(&self, job: &Job, stop: &CancellationToken) -> Result<Left> {
        let params = ImportParams::of(job)?;
        let path = self.spooled(job.id);
        if !tokio::fs::try_exists(&path).await.map_err(Error::internal)? {
            let message = "The report is not on the server that took the import over: upload it again.";
            return Err(Error::new(Code::IllegalState, message));
        }
        let Some(checked) = self.check_report(job, &params, stop).await? else { return Ok(Left::Stopped) };
        let checked = Arc::new(checked);
        let mut stored = Stored::read(job);
        let Some((series, scanned_at)) = self.open_scan(job, &params, &checked, &stored).await? else {
            return Ok(Left::Stopped);
        };
        let import = Arc::new(Import {
            domain: self.clone(),
            job: job.clone(),
            scope: job.scope(),
            cause: json!({ "job": job.id, "scan": params.scan }),
            params,
            checked,
            series,
            scanned_at,
        });
        let telling = stored.told_after.is_some();
        if !telling && stored.closed_after.is_none() && !import.store(&mut stored, stop).await? {
            return Ok(Left::Stopped);
        }
        if !telling && import.params.complete && !import.close(&mut stored, stop).await? {
            return Ok(Left::Stopped);
        }
        if import.checked.format.entry().vex.is_some() && !import.tell(&mut stored, stop).await? {
            return Ok(Left::Stopped);
        }
        import.finish(&stored).await
    }

    /// The first reading, off the async threads, with signs of life. `None`: the job is no longer ours.
    async fn check_report(
        &self,
        job: &Job,
        params: &ImportParams,
        stop: &CancellationToken,
    ) -> Result<Option<Checked>> {
        let path = self.spooled(job.id);
        let limits = self.settings().limits.clone();
        let named = params.format.as_deref().and_then(Format::parse);
        let (mapping, asset) = (params.mapping.clone(), params.asset.clone());
        let mut reading = tokio::task::spawn_blocking(move || {
            let plan = Plan { mapping: mapping.as_ref(), asset: asset.as_deref() };
            reading::check(&path, named, &plan, &limits)
        });
        loop {
            tokio::select! {
                checked = &mut reading => return checked.map_err(Error::internal)?.map(Some),
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(HEARTBEAT) => {
                    if !self.db().renew_lease(&Scope::System, job, self.clock().now()).await? {
                        return Ok(None);
                    }
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
    ) -> Result<Option<(Uuid, Timestamp)>> {
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
        tx.open_scan(params.scan, series, told, scanned_at, &checked.counts).await?;
        if !tx.step_job(job, &stored.step(checked, "storing", None)).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some((series, scanned_at)))
    }
}

impl Import {
    /// The second reading. Parsing runs ahead of storing, and while one chunk is written the next is
    /// made ready.
    async fn store(self: &Arc<Self>, stored: &mut Stored, stop: &CancellationToken) -> Result<bool> {
        let (send, mut receive) = mpsc::channel::<Chunk>(2);
        let done = usize::try_from(stored.findings).unwrap_or(0);
        let reading = tokio::task::spawn_blocking({
            let path = self.domain.spooled(self.job.id);
            let scratch = self.domain.spool().join(format!("{}.aside", self.job.id));
            let checked = Arc::clone(&self.checked);
            let limits = self.domain.settings().limits.clone();
            move || read_chunks(&path, &checked, &limits, &scratch, done, &send)
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

    /// Reads what is kept of a chunk, and works out in memory all that is to be written.
    async fn prepare(&self, chunk: &Chunk, ahead: &HashMap<String, Asset>) -> Result<Prepared> {
        let now = self.domain.clock().now();
        let rules = self.domain.live_rules(&self.scope, now).await?;
        let fingerprints = chunk.iter().map(|(_, fingerprint)| *fingerprint);
        let db = self.domain.db();
        let mut known = db.findings_by_fingerprint(&self.scope, self.params.project, fingerprints).await?;
        let assets = self.assets(chunk, &known, ahead, now).await?;
        let kept = known.values().flat_map(Finding::vulnerabilities);
        let reported = chunk.iter().flat_map(|(reported, _)| {
            let own = reported.scanner_reference.as_deref().map(text::vulnerability);
            reported.cve_ids.iter().cloned().chain(own)
        });
        let named = reported.chain(kept).map(|name| (self.params.project, name));
        let facts = self.domain.known(&self.scope, &rules, named).await?;
        let mut batch = Batch::new(now, &self.cause);
        let mut seen = Vec::with_capacity(chunk.len());
        let mut older = 0;
        for (reported, fingerprint) in chunk {
            match known.remove(fingerprint) {
                Some(finding) if finding.last_seen_at > self.scanned_at => older += 1,
                Some(finding) => {
                    seen.push(finding.id);
                    let asset = assets.with_id(finding.asset)?;
                    batch.change(finding, asset, self.sighted(reported, asset, facts.as_ref()))?;
                }
                None => {
                    let asset = assets.named(&reported.asset.name)?;
                    let finding = self.found(reported, *fingerprint, asset, now);
                    seen.push(finding.id);
                    batch.create(finding, asset, facts.as_ref())?;
                }
            }
        }
        let outcome = batch.pass(Some(&rules.matcher));
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let counts = Counts {
            created: outcome.created(),
            changed: outcome.changed(),
            unchanged: count(older + outcome.unchanged().len()),
            closed: 0,
            told: 0,
        };
        Ok(Prepared {
            now,
            rules: rules.version,
            assets: assets.new,
            seen,
            statements: self.statements(chunk),
            findings: count(chunk.len()),
            counts,
            outcome,
        })
    }

    /// Writes what was prepared.
    async fn keep(&self, prepared: Prepared, stored: &Stored) -> Result<Attempt> {
        let actor = self.job.principal.actor(self.job.company);
        let mut tx = self.domain.db().begin(&actor, &self.scope, prepared.now).await?;
        let only_seen = prepared.outcome.unchanged().to_vec();
        if !asset::insert_new(&mut tx, &prepared.assets).await? || !prepared.outcome.write(&mut tx).await? {
            return Ok(Attempt::Again);
        }
        tx.touch_findings(&only_seen, self.scanned_at).await?;
        tx.record_sightings(self.series, self.params.scan, self.scanned_at, &prepared.seen).await?;
        self.keep_statements(&tx, &prepared.statements).await?;
        let mut after = stored.clone();
        after.findings += prepared.findings;
        after.counts.add(&prepared.counts);
        if !tx.step_job(&self.job, &after.step(&self.checked, "storing", None)).await? {
            return Ok(Attempt::Lost);
        }
        Ok(if tx.commit_under(prepared.rules).await?.is_some() {
            Attempt::Kept(after)
        } else {
            Attempt::Again
        })
    }

    /// What being seen again, and what is known, does to a finding that is kept.
    fn sighted(&self, reported: &Reported, asset: &Asset, facts: Option<&Arc<Known>>) -> Vec<Change> {
        let sighted = Change::Sighted {
            evidence: Box::new(Evidence::of(&self.checked.head.scanner, reported)),
            facts: scanner_statements(reported),
            seen_at: self.scanned_at,
        };
        let informed =
            facts.map(|known| Change::Informed { known: Arc::clone(known), asset: asset.reported() });
        std::iter::once(sighted).chain(informed).collect()
    }

    /// A finding that was not known.
    fn found(&self, reported: &Reported, fingerprint: Fingerprint, asset: &Asset, now: Timestamp) -> Finding {
        let mut layers = Layers::new();
        layers.refresh(scanner_statements(reported));
        let id = self.domain.clock().id();
        let mut finding = Finding {
            id,
            company: self.job.company,
            project: self.params.project,
            asset: asset.id,
            fingerprint,
            issue: id,
            issue_by: None,
            evidence: Evidence::of(&self.checked.head.scanner, reported),
            shown: Shown::of(&layers),
            layers,
            first_seen_at: reported.first_seen_at.unwrap_or(self.scanned_at).min(self.scanned_at),
            last_seen_at: self.scanned_at,
            closed_at: None,
            sla_breached: None,
            due_at: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        finding.correlate();
        finding
    }

    /// The assets that a chunk is on: those that are kept, and new ones for names that are not.
    async fn assets(
        &self,
        chunk: &Chunk,
        known: &HashMap<Fingerprint, Finding>,
        ahead: &HashMap<String, Asset>,
        now: Timestamp,
    ) -> Result<Assets> {
        let mut ids: Vec<Uuid> = known.values().map(|finding| finding.asset).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut names: Vec<&Reported> = chunk
            .iter()
            .filter(|(_, fingerprint)| !known.contains_key(fingerprint))
            .map(|(reported, _)| reported)
            .collect();
        names.sort_unstable_by(|a, b| a.asset.cmp(&b.asset));
        names.dedup_by(|a, b| a.asset.name == b.asset.name);
        let db = self.domain.db();
        let by_id = assets::by_id(db.read(), db.dialect, &self.scope, &ids).await?;
        let by_name: Vec<&str> = names.iter().map(|reported| reported.asset.name.as_str()).collect();
        let by_name = assets::by_name(db.read(), db.dialect, &self.scope, &by_name).await?;
        let mut assets = Assets { by_id, by_name, new: Vec::new() };
        for reported in names {
            if assets.by_name.contains_key(&reported.asset.name) {
                continue;
            }
            if let Some(asset) = ahead.get(&reported.asset.name) {
                assets.by_name.insert(asset.name.clone(), asset.clone());
                continue;
            }
            let asset = Asset {
                id: self.domain.clock().id(),
                company: self.job.company,
                name: reported.asset.name.clone(),
                kind: reported.asset.kind.clone(),
                class: None,
                groups: Vec::new(),
                criticality: None,
                environment: None,
                internet_exposed: None,
                owner_team: None,
                tags: Vec::new(),
                archived_at: None,
                created_at: now,
                updated_at: now,
                version: 1,
            };
            assets.new.push(asset.clone());
            assets.by_name.insert(asset.name.clone(), asset);
        }
        Ok(assets)
    }

    /// Closes what the series saw before and this report does not name. `false`: no longer ours.
    async fn close(&self, stored: &mut Stored, stop: &CancellationToken) -> Result<bool> {
        let most = i64::try_from(CHUNK).unwrap_or(i64::MAX);
        let mut tries = 0;
        while !stop.is_cancelled() {
            let after = stored.closed_after.unwrap_or_default();
            let series = (self.series, self.params.scan, self.scanned_at);
            let gone = self.domain.db().findings_gone(&self.scope, series, after, most).await?;
            let Some(last) = gone.last().map(|finding| finding.id) else { return Ok(true) };
            match self.close_chunk(gone, last, stored).await {
                Ok(Attempt::Kept(after)) => {
                    *stored = after;
                    tries = 0;
                    continue;
                }
                Ok(Attempt::Lost) => return Ok(false),
                Ok(Attempt::Again) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
            tries += 1;
            if tries == TRIES {
                return Err(Error::internal("what is gone was written by others every time it was tried"));
            }
        }
        Ok(false)
    }

    async fn close_chunk(&self, gone: Vec<Finding>, last: Uuid, stored: &Stored) -> Result<Attempt> {
        let now = self.domain.clock().now();
        let assets = self.domain.db().assets_on(&self.scope, &gone).await?;
        let mut batch = Batch::new(now, &self.cause);
        for finding in gone {
            if let Some(asset) = assets.get(&finding.asset) {
                let change = Change::Gone { at: self.scanned_at };
                batch.change(finding, asset, vec![change])?;
            }
        }
        let outcome = batch.pass(None);
        let mut after = stored.clone();
        after.closed_after = Some(last);
        after.counts.closed += outcome.changed();
        let actor = self.job.principal.actor(self.job.company);
        let mut tx = self.domain.db().begin(&actor, &self.scope, now).await?;
        if !outcome.write(&mut tx).await? {
            return Ok(Attempt::Again);
        }
        if !tx.step_job(&self.job, &after.step(&self.checked, "closing", None)).await? {
            return Ok(Attempt::Lost);
        }
        tx.commit().await?;
        Ok(Attempt::Kept(after))
    }

    async fn finish(&self, stored: &Stored) -> Result<Left> {
        let actor = self.job.principal.actor(self.job.company);
        let mut tx = self.domain.db().begin(&actor, &self.scope, self.domain.clock().now()).await?;
        let end = Some((JobState::Completed, None));
        if !tx.step_job(&self.job, &stored.step(&self.checked, "finished", end)).await? {
            return Ok(Left::Stopped);
        }
        tx.end_scan(self.params.scan, ScanStatus::Finished, None).await?;
        let counts = &self.checked.counts;
        let totals: Map<String, Json> = counts
            .iter()
            .map(|(severity, count)| (severity.to_string(), json!(count)))
            .chain([("total".to_owned(), json!(counts.total()))])
            .collect();
        let mut entry = totals.clone();
        entry.extend(stored.counts.json());
        tx.audit(AuditEntry::new("import.finished", self.job.id).after(Json::from(entry)));
        tx.emit(Event::new(EventKind::ScanFinished, self.params.scan, Json::from(totals)));
        tx.commit().await?;
        remove(&self.domain.spooled(self.job.id)).await;
        Ok(Left::Ended)
    }
}

/// How a chunk came out.
enum Attempt {
    Kept(Stored),
    /// Others wrote the same findings or the rules meanwhile.
    Again,
    /// The job is no longer ours.
    Lost,
}

/// All that is to be written of a chunk, and under which rules it was worked out.
struct Prepared {
    now: Timestamp,
    rules: RulesVersion,
    outcome: Outcome,
    assets: Vec<Asset>,
    /// The findings that the scan saw.
    seen: Vec<Uuid>,
    /// What it says as a VEX document.
    statements: Vec<Row>,
    findings: i64,
    counts: Counts,
}

#[derive(Default)]
struct Assets {
    by_id: HashMap<Uuid, Asset>,
    by_name: HashMap<String, Asset>,
    /// Those of `by_name` that are not kept yet.
    new: Vec<Asset>,
}

impl Assets {
    fn with_id(&self, id: Uuid) -> Result<&Asset> {
        self.by_id.get(&id).ok_or_else(|| Error::internal("a finding is on an asset that is not there"))
    }

    fn named(&self, name: &str) -> Result<&Asset> {
        self.by_name.get(name).ok_or_else(|| Error::internal("an asset was neither found nor made"))
    }
}

impl Stored {
    fn read(job: &Job) -> Self {
        let count = |name| job.counts.get(name).and_then(Json::as_i64).unwrap_or(0);
        let position = job.position.as_ref();
        Self {
            findings: position.and_then(|at| at.get("findings")?.as_i64()).unwrap_or(0),
            closed_after: position.and_then(|at| at.get("closedAfter")?.as_str()?.parse().ok()),
            told_after: position.and_then(|at| serde_json::from_value(at.get("toldAfter")?.clone()).ok()?),
            counts: Counts {
                created: count("created"),
                changed: count("changed"),
                unchanged: count("unchanged"),
                closed: count("closed"),
                told: count("told"),
            },
        }
    }

    fn step<'a>(&self, checked: &Checked, stage: &'a str, end: Option<(JobState, Option<Json>)>) -> Step<'a> {
        Step {
            stage,
            position: Some(json!({
                "findings": self.findings, "closedAfter": self.closed_after, "toldAfter": self.told_after,
            })),
            total: i64::try_from(checked.findings).ok(),
            done: self.findings,
            counts: self.counts.json(),
            end,
        }
    }
}

impl Counts {
    fn add(&mut self, more: &Self) {
        self.created += more.created;
        self.changed += more.changed;
        self.unchanged += more.unchanged;
        self.closed += more.closed;
        self.told += more.told;
    }

    fn json(&self) -> Map<String, Json> {
        Map::from_iter([
            ("created".to_owned(), json!(self.created)),
            ("changed".to_owned(), json!(self.changed)),
            ("unchanged".to_owned(), json!(self.unchanged)),
            ("closed".to_owned(), json!(self.closed)),
            ("told".to_owned(), json!(self.told)),
        ])
    }
}

/// Reads the report a second time and sends it on in chunks, but for the first `done` findings.
fn read_chunks(
    path: &std::path::Path,
    checked: &Checked,
    limits: &super::limits::Limits,
    scratch: &std::path::Path,
    done: usize,
    send: &mpsc::Sender<Chunk>,
) -> Result<()> {
    let gone = || Error::internal("nobody stores what is read");
    let mut skip = done;
    let mut chunk = Vec::with_capacity(CHUNK);
    reading::read(path, checked, limits, scratch, &mut |reported, fingerprint| {
        if skip > 0 {
            skip -= 1;
            return Ok(());
        }
        chunk.push((reported, fingerprint));
        if chunk.len() == CHUNK {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            send.blocking_send(full).map_err(|_| gone())?;
        }
        Ok(())
    })?;
    if !chunk.is_empty() {
        send.blocking_send(chunk).map_err(|_| gone())?;
    }
    Ok(())
}
