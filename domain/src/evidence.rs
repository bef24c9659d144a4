//! Evidence of a period, for who has to show that policy was held: an archive that proves itself.
//!
//! The audit says all that happened, so the archive holds its entries of the period, as they are
//! chained, and beside them tables that are easier to read: the same entries by what they tell of, and
//! what stood at the end. Each is there as CSV and as JSON. The manifest names every file with its
//! SHA-256, the stretch of the chain, and the signed head of the whole chain; it is signed by the server.
//!
//! The archive is written while it is fetched, in one walk over the entries. What belongs to other
//! files meanwhile is set aside in files of the server's folder that are gone when they are closed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value as Json, json};

use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::finding::export::Writer;
use crate::finding::export::csv::{cell, table};
use crate::gateway::folder::signing_key;
use crate::gateway::signing::SigningKey;
use crate::job::{Job, JobKind, JobState, Principal};
use crate::ledger::AuditEntry;
use crate::ledger::audit::hex;
use crate::rule::conformance::{Conformance, HELD};
use crate::vocabulary::time::Timestamp;
use archive::Packer;
use entries::{SECTIONS, Section};
use manifest::{MANIFEST, Manifest, Range, SIGNATURE, SignedFile};
use tables::{TABLES, Table};

pub(crate) mod archive;
mod entries;
pub mod manifest;
pub(crate) mod store;
mod tables;
pub mod verify;

const FORMAT: &str = "countersign/evidence/1";
/// How much of a file that was set aside is read at once.
const BUFFER: usize = 64 << 10;

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
        let params = json!({ "evidence": { "from": from, "to": to } });
        let id = self.clock().id();
        let mut tx = self.db().begin(actor, &scope, now).await?;
        let principal = Principal::of(actor);
        tx.insert_job(id, JobKind::Export, JobState::Waiting, &principal, None, &params).await?;
        tx.audit(AuditEntry::new("export.requested", id).after(params));
        tx.answer(id);
        tx.commit().await?;
        self.db().job(&scope, id).await?.ok_or_else(|| Error::not_found("export"))
    }
}

/// The period of an export of evidence, if it is one.
pub(crate) fn period(job: &Job) -> Option<(Timestamp, Timestamp)> {
    let said = job.params.get("evidence")?;
    let time = |name: &str| said.get(name).and_then(Json::as_str).and_then(Timestamp::parse);
    time("from").zip(time("to"))
}

/// A file of the archive that is set aside until its turn.
struct Aside {
    name: String,
    file: File,
    rows: u64,
}

/// Where the archive stands.
enum Stage {
    /// The chain itself is written, up to this entry.
    Chain(i64),
    /// What stood, table by table.
    Tables(usize),
    /// How each rule held.
    Conformance,
    /// What was set aside, file by file, from this byte on.
    Aside(usize, u64),
    Manifest,
    Ended,
}

struct Evidence {
    domain: Domain,
    actor: Actor,
    scope: Scope,
    key: SigningKey,
    manifest: Manifest,
    packer: Packer,
    stage: Stage,
    aside: Vec<Aside>,
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
    std::fs::create_dir_all(spool).map_err(Error::internal)?;
    let mut aside = Vec::new();
    for name in
        SECTIONS.iter().flat_map(|section| names(section.name)).chain(names("audit").into_iter().take(1))
    {
        let file = tempfile::tempfile_in(spool).map_err(Error::internal)?;
        aside.push(Aside { name, file, rows: 0 });
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
            Stage::Tables(at) => match TABLES.get(at) {
                Some(table) => {
                    self.table(table, &mut out).await?;
                    Stage::Tables(at + 1)
                }
                None => Stage::Conformance,
            },
            Stage::Conformance => {
                self.conformance(&mut out).await?;
                Stage::Aside(0, 0)
            }
            Stage::Aside(at, from) => self.set_aside(at, from, &mut out)?,
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
            let headers = SECTIONS.iter().map(Section::columns).chain([entries::CHAIN]);
            let headers: Vec<_> = headers.map(|columns| table([columns])).collect::<Result<_>>()?;
            let files = self.aside.iter_mut().filter(|aside| aside.name.ends_with(".csv"));
            for (aside, header) in files.zip(headers) {
                aside.file.write_all(&header).map_err(Error::internal)?;
            }
        }
        let links = self.domain.db().links_after(&self.scope, self.scope.company()?, after).await?;
        let links: Vec<_> = links.into_iter().filter(|link| link.seq <= last).collect();
        let Some(newest) = links.last().map(|link| link.seq) else {
            self.packer.write(b"\n]\n", out)?;
            self.end(self.rows, out);
            for aside in self.aside.iter_mut().filter(|aside| aside.name.ends_with(".json")) {
                let end: &[u8] = if aside.rows == 0 { b"[\n]\n" } else { b"\n]\n" };
                aside.file.write_all(end).map_err(Error::internal)?;
            }
            return Ok(Stage::Tables(0));
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
                let [csv, json] = [2 * at, 2 * at + 1];
                let cells = table([section.columns().iter().map(|column| cell(&row[*column]))])?;
                self.put(csv, &cells, true)?;
                self.put_json(json, &row)?;
            }
        }
        let place = self.aside.len() - 1;
        let count = chain.len() as u64;
        self.aside[place].file.write_all(&table(chain)?).map_err(Error::internal)?;
        self.aside[place].rows += count;
        Ok(Stage::Chain(newest))
    }

    fn put(&mut self, at: usize, bytes: &[u8], row: bool) -> Result<()> {
        let aside = &mut self.aside[at];
        aside.rows += u64::from(row);
        aside.file.write_all(bytes).map_err(Error::internal)
    }

    fn put_json(&mut self, at: usize, row: &Json) -> Result<()> {
        let begin = if self.aside[at].rows == 0 { "[\n" } else { ",\n" };
        self.put(at, format!("{begin}{row}").as_bytes(), true)
    }

    /// What stood, which is read twice at once: its rows are few beside the entries, and held for a page.
    async fn table(&mut self, of: &Table, out: &mut Vec<u8>) -> Result<()> {
        let [csv, json] = names(of.name);
        let mut list = tempfile::tempfile_in(self.domain.spool()).map_err(Error::internal)?;
        let (mut after, mut rows) = (None, 0_u64);
        self.packer.begin(&csv, out);
        let columns: Vec<&str> = of.columns.iter().map(|(name, _)| *name).collect();
        self.packer.write(&table([&columns])?, out)?;
        list.write_all(b"[").map_err(Error::internal)?;
        loop {
            let period = (self.manifest.from, self.manifest.to);
            let (page, next) = self.domain.db().evidence_rows(&self.scope, of, period, after).await?;
            let cells = page.iter().map(|row| columns.iter().map(|column| cell(&row[*column])));
            self.packer.write(&table(cells)?, out)?;
            for row in &page {
                let begin = if rows == 0 { "\n" } else { ",\n" };
                list.write_all(format!("{begin}{row}").as_bytes()).map_err(Error::internal)?;
                rows += 1;
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.end(rows, out);
        list.write_all(b"\n]\n").map_err(Error::internal)?;
        self.aside.push(Aside { name: json, file: list, rows });
        Ok(())
    }

    /// How each rule held over the period.
    async fn conformance(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let period = (self.manifest.from, self.manifest.to);
        let held = self.domain.db().conformance(&self.scope, None, period).await?;
        let rows: Vec<Json> = held.iter().map(Conformance::json).collect();
        let cells = rows.iter().map(|row| HELD.iter().map(|column| cell(&row[*column])).collect::<Vec<_>>());
        let header = HELD.iter().map(|column| (*column).to_owned()).collect();
        let [csv, json] = names("conformance");
        let list = serde_json::to_vec_pretty(&rows).map_err(Error::internal)?;
        for (name, content) in [(csv, table(std::iter::once(header).chain(cells))?), (json, list)] {
            self.packer.begin(&name, out);
            self.packer.write(&content, out)?;
            self.end(rows.len() as u64, out);
        }
        Ok(())
    }

    /// A piece of what was set aside.
    fn set_aside(&mut self, at: usize, from: u64, out: &mut Vec<u8>) -> Result<Stage> {
        let Some(aside) = self.aside.get_mut(at) else { return Ok(Stage::Manifest) };
        if from == 0 {
            self.packer.begin(&aside.name, out);
        }
        aside.file.seek(SeekFrom::Start(from)).map_err(Error::internal)?;
        let mut piece = Vec::with_capacity(BUFFER);
        (&mut aside.file).take(BUFFER as u64).read_to_end(&mut piece).map_err(Error::internal)?;
        self.packer.write(&piece, out)?;
        if piece.len() == BUFFER {
            return Ok(Stage::Aside(at, from + BUFFER as u64));
        }
        let rows = aside.rows;
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

impl Writer for Evidence {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>>> {
        self.piece().boxed()
    }

    fn counts(&self) -> Map<String, Json> {
        Map::from_iter([("rows".to_owned(), json!(self.rows))])
    }
}
