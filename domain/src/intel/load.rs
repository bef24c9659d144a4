//! The worker's side of a load: check the file, write what differs, tell the findings.
//!
//! A load has a number. A fact carries the number of the load that changed it, and the feed the
//! number of the last load of which all findings have heard: so whatever ends a load in between,
//! the next one tells the findings of both.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fact::Fact;
use super::feed::Feed;
use super::start::LoadParams;
use super::store::{FACTS, Said, Taken};
use crate::Domain;
use crate::access::{GLOBAL, Portfolio, Scope};
use crate::error::{Code, Error, Result};
use crate::intake::import::remove;
use crate::intake::limits::Limits;
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::job::{Job, JobState};
use crate::ledger::AuditEntry;
use crate::store::is_transient;
use crate::vocabulary::time::Timestamp;

/// How many findings a chunk tells: few enough that a writer of SQLite is not held for long.
const CHUNK: i64 = 250;
/// How often a chunk is tried again after others wrote its findings or rules meanwhile.
const TRIES: usize = 50;
/// How often a long check, or a wait for another load, gives a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often it is looked whether the load before this one has ended.
const TURN: Duration = Duration::from_millis(200);

/// What does not change while one file is loaded.
struct Load<'a> {
    domain: &'a Domain,
    job: &'a Job,
    params: LoadParams,
    scope: Scope,
    taken: Taken,
}

/// How far a load is: its job's position and counts.
#[derive(Clone, Debug, Default)]
struct Stands {
    /// Whether the facts are written: what is left is to tell the findings.
    telling: bool,
    /// The company, the CVE and the finding that were told last.
    at: (Uuid, String, Uuid),
    rows: i64,
    facts: i64,
    withdrawn: i64,
    told: i64,
    findings: i64,
}

/// What the check found.
struct Checked {
    rows: i64,
    as_of: Option<Timestamp>,
}

impl Domain {
    pub(crate) async fn run_intel_load(&self, job: &Job, stop: &CancellationToken) -> Result<Left> {
        let params = LoadParams::of(job)?;
        let path = self.spooled(job.id);
        let mut stands = Stands::read(job);
        if !stands.telling && !tokio::fs::try_exists(&path).await.map_err(Error::internal)? {
            let message = "The file is not on the server that took the load over: upload it again.";
            return Err(Error::new(Code::IllegalState, message));
        }
        let Some(taken) = self.take_turn(job, params.feed, stop).await? else { return Ok(Left::Stopped) };
        let load = Load { domain: self, job, params, scope: job.scope(), taken };
        if !stands.telling {
            let Some(checked) = load.check(&path, stop).await? else { return Ok(Left::Stopped) };
            if !load.write(&path, &checked, &mut stands, stop).await? {
                return Ok(Left::Stopped);
            }
        }
        remove(&path).await;
        if !load.tell(&mut stands, stop).await? {
            return Ok(Left::Stopped);
        }
        load.finish(&stands).await
    }

    /// Waits until no other load of the feed goes on: facts of two files would mix.
    async fn take_turn(&self, job: &Job, feed: Feed, stop: &CancellationToken) -> Result<Option<Taken>> {
        let actor = job.principal.actor(job.company);
        while !stop.is_cancelled() {
            let tx = self.db().begin(&actor, &job.scope(), self.clock().now()).await?;
            if let Some(taken) = tx.take_feed(feed, job.id).await? {
                tx.commit().await?;
                return Ok(Some(taken));
            }
            drop(tx);
            if !self.db().renew_lease(&Scope::System, job, self.clock().now()).await? {
                return Ok(None);
            }
            tokio::time::sleep(TURN).await;
        }
        Ok(None)
    }
}

impl Load<'_> {
    /// Reads all of the file, off the runtime, and renews the lease meanwhile. `None`: no longer ours.
    async fn check(&self, path: &std::path::Path, stop: &CancellationToken) -> Result<Option<Checked>> {
        let (path, feed) = (path.to_owned(), self.params.feed);
        let limits = self.domain.settings().limits.clone();
        let mut reading = tokio::task::spawn_blocking(move || {
            let mut rows = 0;
            let as_of = (feed.entry().read)(feed.open(&path, &limits)?, &mut |_, _| {
                rows += 1;
                Ok(())
            })?;
            if rows == 0 {
                return Err(Error::new(Code::ReportMalformed, "The file says nothing of any CVE."));
            }
            Ok(Checked { rows, as_of })
        });
        loop {
            tokio::select! {
                checked = &mut reading => return checked.map_err(Error::internal)?.map(Some),
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(HEARTBEAT) => {
                    let now = self.domain.clock().now();
                    if !self.domain.db().renew_lease(&Scope::System, self.job, now).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The second reading: writes what differs from what is kept. `false`: no longer ours. Begun
    /// anew after a crash, it finds the same and writes the rest.
    async fn write(
        &self,
        path: &std::path::Path,
        checked: &Checked,
        stands: &mut Stands,
        stop: &CancellationToken,
    ) -> Result<bool> {
        let feed = self.params.feed;
        let (send, mut receive) = mpsc::channel(2);
        let limits = self.domain.settings().limits.clone();
        let reading = tokio::task::spawn_blocking({
            let path = path.to_owned();
            move || read_chunks(path, feed, limits, &send)
        });
        let db = self.domain.db();
        let mut named = HashSet::new();
        let mut differing: Vec<Said> = Vec::new();
        stands.rows = 0;
        while let Some(chunk) = receive.recv().await {
            let chunk: HashMap<String, Fact> = chunk;
            if stop.is_cancelled() {
                return Ok(false);
            }
            let cves: Vec<&str> = chunk.keys().map(String::as_str).collect();
            let mut kept = db.facts_of(&self.scope, feed, &cves).await?;
            stands.rows += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
            if feed.entry().snapshot {
                named.extend(chunk.keys().map(|cve| short(cve)));
            }
            for (cve, fact) in chunk {
                let fact = (!fact.is_empty()).then(|| fact.encode());
                let before = kept.remove(&cve);
                if before.clone().flatten() != fact {
                    differing.push((cve, fact));
                }
            }
            while differing.len() >= FACTS {
                let rest = differing.split_off(FACTS);
                if !self.keep(std::mem::replace(&mut differing, rest), checked, stands).await? {
                    return Ok(false);
                }
            }
        }
        reading.await.map_err(Error::internal)??;
        if !self.keep(differing, checked, stands).await? {
            return Ok(false);
        }
        if feed.entry().snapshot && !self.withdraw(&named, checked, stands, stop).await? {
            return Ok(false);
        }
        self.loaded(checked, stands).await
    }

    /// Withdraws what a snapshot does not name any more.
    async fn withdraw(
        &self,
        named: &HashSet<u64>,
        checked: &Checked,
        stands: &mut Stands,
        stop: &CancellationToken,
    ) -> Result<bool> {
        let mut after = String::new();
        while !stop.is_cancelled() {
            let cves = self.domain.db().cves_of(&self.scope, self.params.feed, &after).await?;
            let Some(last) = cves.last().cloned() else { return Ok(true) };
            let gone: Vec<Said> =
                cves.into_iter().filter(|cve| !named.contains(&short(cve))).map(|cve| (cve, None)).collect();
            stands.withdrawn += i64::try_from(gone.len()).unwrap_or(i64::MAX);
            if !self.keep(gone, checked, stands).await? {
                return Ok(false);
            }
            after = last;
        }
        Ok(false)
    }

    /// Writes one statement's worth of facts. `false`: no longer ours.
    async fn keep(&self, mut said: Vec<Said>, checked: &Checked, stands: &mut Stands) -> Result<bool> {
        if said.is_empty() {
            return Ok(true);
        }
        said.sort_unstable();
        stands.facts += i64::try_from(said.len()).unwrap_or(i64::MAX);
        let actor = self.job.principal.actor(self.job.company);
        let tx = self.domain.db().begin(&actor, &self.scope, self.domain.clock().now()).await?;
        tx.write_facts(self.params.feed, self.taken.load, said).await?;
        if !tx.step_job(self.job, &stands.step("loading", Some(checked.rows), None)).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The facts are written. A pass that read them before this moment is taken back; what it had
    /// written by then, the findings hear of next.
    async fn loaded(&self, checked: &Checked, stands: &mut Stands) -> Result<bool> {
        let facts = self.domain.db().count_facts(&self.scope, self.params.feed).await?;
        let actor = self.job.principal.actor(self.job.company);
        let mut tx = self.domain.db().begin(&actor, &self.scope, self.domain.clock().now()).await?;
        tx.feed_loaded(self.params.feed, facts, checked.as_of, &self.params).await?;
        stands.telling = true;
        tx.rules_changed();
        if !tx.step_job(self.job, &stands.step("loaded", Some(checked.rows), None)).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Tells the findings of each company that the feed speaks to. `false`: no longer ours.
    async fn tell(&self, stands: &mut Stands, stop: &CancellationToken) -> Result<bool> {
        let companies = if self.job.company == GLOBAL {
            let heads = self.domain.db().ledger_heads(&Scope::System).await?;
            let mut companies: Vec<Uuid> = heads.into_iter().map(|head| head.company).collect();
            companies.retain(|company| *company != GLOBAL);
            companies.sort_unstable();
            companies
        } else {
            vec![self.job.company]
        };
        for company in companies {
            if company < stands.at.0 {
                continue;
            }
            if company > stands.at.0 {
                stands.at = (company, String::new(), Uuid::nil());
            }
            if !self.tell_company(&Scope::Company(company, Portfolio::Whole), stands, stop).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn tell_company(&self, of: &Scope, stands: &mut Stands, stop: &CancellationToken) -> Result<bool> {
        let (db, feed, informed) = (self.domain.db(), self.params.feed, self.taken.informed);
        let mut from = (stands.at.1.clone(), false);
        loop {
            let cves = db.cves_changed(&self.scope, feed, informed, (&from.0, from.1)).await?;
            let Some(last) = cves.last().cloned() else { return Ok(true) };
            loop {
                if stop.is_cancelled() {
                    return Ok(false);
                }
                let page = db.findings_naming(of, None, &cves, (&stands.at.1, stands.at.2), CHUNK).await?;
                let Some((cve, finding)) = page.last().cloned() else { break };
                let mut ids: Vec<Uuid> = page.into_iter().map(|(_, finding)| finding).collect();
                ids.sort_unstable();
                ids.dedup();
                let mut next = stands.clone();
                next.at = (of.company()?, cve, finding);
                next.told += i64::try_from(ids.len()).unwrap_or(i64::MAX);
                if !self.tell_chunk(of, &ids, next, stands).await? {
                    return Ok(false);
                }
                tokio::task::yield_now().await;
            }
            from = (last, true);
        }
    }

    /// Tells some findings of one company, with the pass that follows. `false`: no longer ours.
    async fn tell_chunk(&self, of: &Scope, ids: &[Uuid], next: Stands, stands: &mut Stands) -> Result<bool> {
        let (domain, db) = (self.domain, self.domain.db());
        let actor = self.job.principal.actor(of.company()?);
        let cause = json!({ "job": self.job.id, "feed": self.params.feed });
        for _ in 0..TRIES {
            let heard = domain.hear(of, ids, &cause).await?;
            let mut after = next.clone();
            after.findings += heard.outcome.changed();
            let mut tx = db.begin(&actor, of, heard.now).await?;
            match heard.outcome.write(&mut tx).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) if is_transient(&error) => continue,
                Err(error) => return Err(error),
            }
            if !tx.step_job(self.job, &after.step("telling", None, None)).await? {
                return Ok(false);
            }
            match tx.commit_under(heard.rules).await {
                Ok(Some(_)) => {
                    *stands = after;
                    return Ok(true);
                }
                Ok(None) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::internal("a chunk of a load was written by others every time it was tried"))
    }

    async fn finish(&self, stands: &Stands) -> Result<Left> {
        let actor = self.job.principal.actor(self.job.company);
        let mut tx = self.domain.db().begin(&actor, &self.scope, self.domain.clock().now()).await?;
        tx.feed_heard(self.params.feed, self.taken.load).await?;
        let end = Some((JobState::Completed, None));
        if !tx.step_job(self.job, &stands.step("finished", Some(stands.told), end)).await? {
            return Ok(Left::Stopped);
        }
        let mut told = stands.counts();
        told.insert("feed".to_owned(), json!(self.params.feed));
        tx.audit(AuditEntry::new("intel.loaded", self.job.id).after(Json::from(told)));
        tx.commit().await?;
        Ok(Left::Ended)
    }
}

impl Stands {
    fn read(job: &Job) -> Self {
        let text = |name| job.at(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let id = |name| text(name).parse::<Uuid>().unwrap_or_default();
        Self {
            telling: job.at("telling").and_then(Json::as_bool).unwrap_or(false),
            at: (id("company"), text("cve"), id("finding")),
            rows: job.counted("rows"),
            facts: job.counted("facts"),
            withdrawn: job.counted("withdrawn"),
            told: job.counted("told"),
            findings: job.counted("findings"),
        }
    }

    fn step<'a>(
        &self,
        stage: &'a str,
        total: Option<i64>,
        end: Option<(JobState, Option<Json>)>,
    ) -> Step<'a> {
        let (company, cve, finding) = &self.at;
        Step {
            stage,
            position: Some(
                json!({ "telling": self.telling, "company": company, "cve": cve, "finding": finding }),
            ),
            total,
            done: if self.telling && stage != "loaded" { self.told } else { self.rows },
            counts: self.counts(),
            end,
        }
    }

    fn counts(&self) -> Map<String, Json> {
        Map::from_iter([
            ("rows".to_owned(), json!(self.rows)),
            ("facts".to_owned(), json!(self.facts)),
            ("withdrawn".to_owned(), json!(self.withdrawn)),
            ("told".to_owned(), json!(self.told)),
            ("findings".to_owned(), json!(self.findings)),
        ])
    }
}

/// Reads the file and sends it on in chunks of what one statement can ask for.
fn read_chunks(
    path: PathBuf,
    feed: Feed,
    limits: Limits,
    send: &mpsc::Sender<HashMap<String, Fact>>,
) -> Result<()> {
    let gone = || Error::internal("nobody writes what is read");
    let mut chunk = HashMap::with_capacity(FACTS);
    (feed.entry().read)(feed.open(&path, &limits)?, &mut |cve, fact| {
        chunk.insert(cve, fact);
        if chunk.len() == FACTS {
            let full = std::mem::replace(&mut chunk, HashMap::with_capacity(FACTS));
            send.blocking_send(full).map_err(|_| gone())?;
        }
        Ok(())
    })?;
    if !chunk.is_empty() {
        send.blocking_send(chunk).map_err(|_| gone())?;
    }
    Ok(())
}

/// A CVE id in eight bytes: the year, how many digits its number has, and the number.
fn short(cve: &str) -> u64 {
    let (year, number) = cve.trim_start_matches("CVE-").split_once('-').unwrap_or_default();
    let digits = |text: &str| text.parse::<u64>().unwrap_or(0);
    digits(year) << 40 | (number.len() as u64 & 15) << 36 | digits(number)
}
