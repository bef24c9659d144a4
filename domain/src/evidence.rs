//! Evidence of a period, for who has to show that policy was held: an archive that proves itself.
//!
//! The audit says all that happened, so the archive holds its entries of the period, as they are
//! chained, and beside them tables that are easier to read: the same entries by what they tell of, and
//! what stood at the end. Each is there as CSV and as JSON. The manifest names every file with its
//! SHA-256, the stretch of the chain, and the signed head of the whole chain; it is signed by the server.
//!
//! The archive is written while it is fetched, in one walk over the entries. What belongs to other
//! files meanwhile is set aside in files of the server's folder that are gone when they are closed.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::finding::export::Writer;
use crate::finding::export::aside::{Aside, BUFFER};
use crate::finding::export::csv::{cell, table};
use crate::gateway::folder::signing_key;
use crate::gateway::signing::SigningKey;
use crate::job::Job;
use crate::ledger::audit::hex;
use crate::page::KeyValue;
use crate::policy;
use crate::rule::conformance::{Conformance, HELD};
use crate::vocabulary::time::Timestamp;
use archive::Packer;
use entries::SECTIONS;
use manifest::{MANIFEST, Manifest, Range, SIGNATURE, SignedFile};
use past::{MEMBERSHIP, POLICY, SERVICE_ACCOUNT, State};
use store::tables::{STANDING, TABLES, Table};

pub(crate) mod archive;
mod entries;
pub mod manifest;
mod past;
pub(crate) mod store;
pub mod verify;

const FORMAT: &str = "countersign/evidence/1";
/// Who stood at the end of the period: the name of the file, what the audit calls such a record, and the
/// columns.
const STOOD: &[(&str, &str, &[&str])] = &[
    ("members", MEMBERSHIP, &["id", "user", "name", "email", "role", "portfolio"]),
    ("service_accounts", SERVICE_ACCOUNT, &["id", "name", "role", "portfolio", "archived"]),
];

pub const MEDIA_TYPE: &str = "application/zip";

/// The name of the archive of an export.
pub fn file_name(job: &Job) -> String {
    format!("evidence-{}.zip", job.id)
}

impl Domain {
    /// Asks for the evidence of what happened from `from` on and before `to`.
    pub async fn evidence_export(&self, actor: &Actor, from: Timestamp, to: Timestamp) -> Result<Job> {
        let scope = actor.allow(Permission::ReadAudit)?;
        actor.allow(Permission::Export)?;
        let now = self.clock().now();
        if from >= to {
            return Err(Error::invalid("to", "The period ends after it begins."));
        }
        if to > now {
            return Err(Error::invalid("to", format!("The period has not ended: it is {now}.")));
        }
        self.ask_for_export(actor, &scope, json!({ "evidence": { "from": from, "to": to } })).await
    }
}

/// The period of an export of evidence, if it is one.
pub(crate) fn period(job: &Job) -> Option<(Timestamp, Timestamp)> {
    let said = job.params.get("evidence")?;
    let time = |name: &str| said.get(name).and_then(Json::as_str).and_then(Timestamp::parse);
    time("from").zip(time("to"))
}

/// Where the archive stands.
enum Stage {
    /// The chain itself is written, up to this entry.
    Chain(i64),
    /// What there was in the period, table by table, page by page.
    Tables(usize, Option<Box<Open>>),
    /// What stood at its end.
    Standing,
    /// How each rule held.
    Conformance,
    /// What was set aside, file by file, from this byte on.
    Aside(usize, u64),
    Manifest,
    Ended,
}

/// A table of which pages are still to come: its list is set aside meanwhile.
struct Open {
    list: Aside,
    after: Vec<KeyValue>,
}

struct Evidence {
    domain: Domain,
    actor: Actor,
    scope: Scope,
    key: SigningKey,
    manifest: Manifest,
    packer: Packer,
    stage: Stage,
    /// What waits, by the names of its files.
    aside: Vec<(String, Aside)>,
    rows: u64,
}

/// Two files of one section: rows and the same as a list.
fn names(section: &str) -> [String; 2] {
    [format!("{section}.csv"), format!("{section}.json")]
}

/// A writer of the archive.
pub(crate) async fn writer(domain: &Domain, actor: &Actor, job: &Job) -> Result<Option<Box<dyn Writer>>> {
    let Some((from, to)) = period(job) else { return Ok(None) };
    let scope = actor.allow(Permission::ReadAudit)?;
    let company = domain.company(actor, actor.company).await?;
    let key = signing_key(&domain.settings().folder)?;
    let now = domain.clock().now();
    let db = domain.db();
    let (after, last) = db.audit_range(&scope, from, to).await?;
    let hash = async |seq: i64| Ok::<_, Error>(hex(&db.audit_hash(&scope, seq).await?));
    let head = db.audit_head_of(&scope).await?;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        company: company.id,
        company_name: company.name,
        from,
        to,
        made_at: now,
        made_by: actor.name.clone(),
        audit: Range { after, last, hash_after: hash(after).await?, hash_last: hash(last).await? },
        head: crate::ledger::audit::SignedHead::new(&head, now, &key),
        files: Vec::new(),
    };
    let spool = domain.spool();
    let mut aside = Vec::new();
    for name in
        SECTIONS.iter().flat_map(|section| names(section.name)).chain(names("audit").into_iter().take(1))
    {
        aside.push((name, Aside::new(spool).await?));
    }
    Ok(Some(Box::new(Evidence {
        domain: domain.clone(),
        actor: actor.clone(),
        scope,
        key,
        manifest,
        packer: Packer::default(),
        stage: Stage::Chain(after),
        aside,
        rows: 0,
    })))
}

impl Evidence {
    async fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        // Whoever lost the right in the middle gets no more of it.
        self.actor.allow(Permission::ReadAudit)?;
        let mut out = Vec::new();
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Chain(after) => self.chain(after, &mut out).await?,
            Stage::Tables(at, open) => match TABLES.get(at) {
                Some(table) => match self.table(table, open, &mut out).await? {
                    Some(open) => Stage::Tables(at, Some(open)),
                    None => Stage::Tables(at + 1, None),
                },
                None => Stage::Standing,
            },
            Stage::Standing => {
                self.standing(&mut out).await?;
                Stage::Conformance
            }
            Stage::Conformance => {
                self.conformance(&mut out).await?;
                Stage::Aside(0, 0)
            }
            Stage::Aside(at, from) => self.set_aside(at, from, &mut out).await?,
            Stage::Manifest => {
                self.sign(&mut out)?;
                Stage::Ended
            }
            Stage::Ended => return Ok(None),
        };
        Ok(Some(out))
    }

    /// The next entries of the chain, and what they are in the other files.
    async fn chain(&mut self, after: i64, out: &mut Vec<u8>) -> Result<Stage> {
        let [_, json] = names("audit");
        let last = self.manifest.audit.last;
        if after == self.manifest.audit.after {
            self.packer.begin(&json, out);
            self.packer.write(b"[", out)?;
            let sections = SECTIONS.iter().map(|section| section.columns().collect::<Vec<_>>());
            let headers = sections.chain([entries::CHAIN.to_vec()]);
            let headers: Vec<_> = headers.map(|columns| table([columns])).collect::<Result<_>>()?;
            let files = self.aside.iter_mut().filter(|(name, _)| name.ends_with(".csv"));
            for ((_, aside), header) in files.zip(headers) {
                aside.put(&header);
            }
        }
        let links = self.domain.db().links_after(&self.scope, self.scope.company()?, after).await?;
        let links: Vec<_> = links.into_iter().filter(|link| link.seq <= last).collect();
        let Some(newest) = links.last().map(|link| link.seq) else {
            self.packer.write(b"\n]\n", out)?;
            self.end(self.rows, out);
            for (_, aside) in self.aside.iter_mut().filter(|(name, _)| name.ends_with(".json")) {
                aside.end_list();
            }
            self.keep().await?;
            return Ok(Stage::Tables(0, None));
        };
        let mut chain = Vec::with_capacity(links.len());
        for link in &links {
            let begin: &[u8] = if self.rows == 0 { b"\n" } else { b",\n" };
            self.packer.write(begin, out)?;
            self.packer.write(entries::link(link).to_string().as_bytes(), out)?;
            self.rows += 1;
            chain.push(entries::cells(link));
            for (at, section) in SECTIONS.iter().enumerate().filter(|(_, section)| (section.holds)(link)) {
                let row = section.row(link);
                let cells = table([section.columns().map(|column| cell(&row[column]))])?;
                self.aside[2 * at].1.put_rows(&cells, 1);
                self.aside[2 * at + 1].1.put_element(&row);
            }
        }
        let count = chain.len();
        let cells = table(chain)?;
        if let Some((_, csv)) = self.aside.last_mut() {
            csv.put_rows(&cells, count);
        }
        self.keep().await?;
        Ok(Stage::Chain(newest))
    }

    /// Writes what was put into the files that wait.
    async fn keep(&mut self) -> Result<()> {
        for (_, aside) in &mut self.aside {
            aside.keep().await?;
        }
        Ok(())
    }

    /// The next page of a table. `None`: it was the last.
    async fn table(
        &mut self,
        of: &Table,
        open: Option<Box<Open>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Box<Open>>> {
        let [csv, json] = names(of.name);
        let columns: Vec<&str> = of.columns.iter().map(|(name, _)| *name).collect();
        let (mut list, after) = match open {
            Some(open) => (open.list, Some(open.after)),
            None => {
                self.packer.begin(&csv, out);
                self.packer.write(&table([&columns])?, out)?;
                (Aside::new(self.domain.spool()).await?, None)
            }
        };
        let period = (self.manifest.from, self.manifest.to);
        let (page, next) = self.domain.db().evidence_rows(&self.scope, of, period, after).await?;
        let cells = page.iter().map(|row| columns.iter().map(|column| cell(&row[*column])));
        self.packer.write(&table(cells)?, out)?;
        page.iter().for_each(|row| list.put_element(row));
        if let Some(after) = next {
            list.keep().await?;
            return Ok(Some(Box::new(Open { list, after })));
        }
        self.end(list.rows, out);
        list.end_list();
        list.keep().await?;
        self.aside.push((json, list));
        Ok(None)
    }

    /// What stood at the end of the period: members, service accounts and the change policy. They are as
    /// many as a company has, and held.
    async fn standing(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let mut state = self.domain.standing_at(&self.scope, self.manifest.audit.last).await?;
        let policy: Vec<&str> = policy::store::members().collect();
        for (file, kind, columns) in STOOD.iter().chain([&("change_policy", POLICY, policy.as_slice())]) {
            let rows: Vec<Json> = state.take(kind).into_values().map(Json::Object).collect();
            self.whole(file, columns, &rows, out)?;
        }
        Ok(())
    }

    /// How each rule held over the period.
    async fn conformance(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let period = (self.manifest.from, self.manifest.to);
        let held = self.domain.db().conformance(&self.scope, None, period).await?;
        let rows: Vec<Json> = held.iter().map(Conformance::json).collect();
        self.whole("conformance", HELD, &rows, out)
    }

    /// Both files of a section of which all rows are at hand.
    fn whole(&mut self, section: &str, columns: &[&str], rows: &[Json], out: &mut Vec<u8>) -> Result<()> {
        let cells = rows.iter().map(|row| columns.iter().map(|column| cell(&row[*column])).collect());
        let header: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        let [csv, json] = names(section);
        let list = serde_json::to_vec_pretty(rows).map_err(Error::internal)?;
        for (name, content) in [(csv, table(std::iter::once(header).chain(cells))?), (json, list)] {
            self.packer.begin(&name, out);
            self.packer.write(&content, out)?;
            self.end(rows.len() as u64, out);
        }
        Ok(())
    }

    /// A piece of what was set aside.
    async fn set_aside(&mut self, at: usize, from: u64, out: &mut Vec<u8>) -> Result<Stage> {
        let Some((name, aside)) = self.aside.get_mut(at) else { return Ok(Stage::Manifest) };
        let piece = aside.read(from).await?;
        let rows = aside.rows;
        if from == 0 {
            self.packer.begin(name, out);
        }
        self.packer.write(&piece, out)?;
        if piece.len() == BUFFER {
            return Ok(Stage::Aside(at, from + BUFFER as u64));
        }
        self.end(rows, out);
        Ok(Stage::Aside(at + 1, 0))
    }

    /// Ends a file, and notes what it is.
    fn end(&mut self, rows: u64, out: &mut Vec<u8>) {
        if let Some(packed) = self.packer.end(out) {
            self.manifest.files.push(SignedFile::of(packed, rows));
        }
    }

    fn sign(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(&self.manifest).map_err(Error::internal)?;
        text.push(b'\n');
        let signature = Manifest::signature(&text, &self.key);
        for (name, content) in [(MANIFEST, text.as_slice()), (SIGNATURE, signature.as_bytes())] {
            self.packer.begin(name, out);
            self.packer.write(content, out)?;
            self.packer.end(out);
        }
        self.packer.finish(out)
    }
}

impl Domain {
    /// Members, service accounts and the change policy as they stood after an entry of the audit.
    async fn standing_at(&self, scope: &Scope, seq: i64) -> Result<State> {
        let db = self.db();
        let mut state = State::default();
        // What stands is read before the changes that are undone: what comes in between is undone in vain.
        for table in STANDING {
            let mut after = None;
            loop {
                let (page, next) = db.evidence_rows(scope, table, Default::default(), after).await?;
                for row in page {
                    let Json::Object(row) = row else { continue };
                    let id = row.get("id").and_then(Json::as_str).and_then(|id| id.parse().ok());
                    state.put(table.name, id.ok_or_else(|| Error::internal("a row without an id"))?, row);
                }
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        let kept = db.change_policy(scope).await?;
        if let Json::Object(policy) = json!(kept.policy) {
            state.put(POLICY, kept.company, policy);
        }
        let mut before = i64::MAX;
        loop {
            let page = db.later_changes(scope, seq, before).await?;
            let Some(last) = page.last() else { break };
            before = last.seq;
            page.into_iter().for_each(|later| state.undo(later));
        }
        // Who they are is told as it is now: it is the server's to say, not the company's.
        let user = |row: &Map<String, Json>| row.get("user")?.as_str()?.parse::<Uuid>().ok();
        let users: Vec<Uuid> = state.rows().filter_map(|(_, row)| user(row)).collect();
        let names = db.names_of(scope, &users).await?;
        for (id, row) in state.rows() {
            row.insert("id".to_owned(), json!(id));
            if let Some((name, email)) = user(row).and_then(|user| names.get(&user)) {
                row.insert("name".to_owned(), json!(name));
                row.insert("email".to_owned(), json!(email));
            }
        }
        Ok(state)
    }
}

impl Writer for Evidence {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>>> {
        self.piece().boxed()
    }

    fn counts(&self) -> Map<String, Json> {
        Map::from_iter([("rows".to_owned(), json!(self.rows))])
    }
}
