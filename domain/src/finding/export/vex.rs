//! Decisions as documents of VEX: CycloneDX, OpenVEX and CSAF.
//!
//! What is said of a finding is the table of [`crate::intake::vex`] read the other way, so that an
//! importer comes to the same decisions. A statement is about one vulnerability in one place: a
//! component of an asset, or the asset itself. Several findings in one place make one statement.
//!
//! Statements are read name by name and asset by asset, so that what belongs to one place comes
//! together, in one walk over the findings. CycloneDX and CSAF also define the places that they speak of:
//! each gets a number, which is all that is held of it. CSAF lists places, so their definitions are set
//! aside while statements are written, and follow. CycloneDX has an asset's components inside of it: to
//! bring those together without holding their texts takes a walk of its own, asset by asset, before the
//! statements. A finding that comes into the selection after that has no number and is left out.

use std::collections::HashMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use indexmap::IndexMap;
use indexmap::map::Entry;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::aside::{Aside, BUFFER};
use super::store::{Place as Cursor, Walked};
use super::{ExportFormat, Publisher, Taken, Writer};
use crate::access::Permission;
use crate::error::{Code, Error, Result};
use crate::finding::facts::Finding;
use crate::finding::layers::Layer;
use crate::intake::package::{self, Package};
use crate::inventory::asset::Asset;
use crate::job::Job;
use crate::vocabulary::time::Timestamp;
use decision::{Decision, Voices};

mod csaf;
mod cyclonedx;
mod decision;
mod openvex;

/// The most findings that a document is of whose places are numbered.
pub const MOST: i64 = 500_000;

/// The id of the document of an export, by which CSAF also names its file.
pub fn tracking_id(export: Uuid) -> String {
    format!("countersign-{export}")
}

/// What a document says of itself.
pub(super) struct Head {
    export: Uuid,
    publisher: String,
    namespace: String,
    at: Timestamp,
}

/// A component as others know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Component {
    name: String,
    version: Option<String>,
    purl: Option<String>,
}

impl Component {
    fn of(finding: &Finding) -> Option<Self> {
        let evidence = &finding.evidence;
        let version = evidence.component_version.clone();
        let package = evidence.component_purl.as_deref().and_then(Package::parse);
        let purl = package.as_ref().and(evidence.component_purl.as_deref()).map(|purl| {
            let versioned =
                match (&version, package.as_ref().is_some_and(|package| package.version.is_none())) {
                    (Some(version), true) => package::with_version(purl.trim(), version),
                    _ => purl.trim().to_owned(),
                };
            address(&versioned)
        });
        let name = evidence.component_name.clone().or_else(|| package.map(|package| package.name))?;
        Some(Self { name, version, purl })
    }

    /// Its package URL: one of no ecosystem, where it has none of its own.
    fn url(&self) -> String {
        self.purl.clone().unwrap_or_else(|| generic(&self.name, self.version.as_deref()))
    }

    fn label(&self) -> String {
        let version = self.version.as_deref().map(|version| format!(" {version}"));
        format!("{}{}", self.name, version.unwrap_or_default())
    }
}

/// The package URL of what is known by a name alone.
fn generic(name: &str, version: Option<&str>) -> String {
    let url = format!("pkg:generic/{}", encoded(name));
    version.map_or_else(|| url.clone(), |version| format!("{url}@{}", encoded(version)))
}

/// Everything that is no letter or number of an address is escaped, slashes too.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.trim().bytes().fold(String::new(), |mut url, byte| {
        if plain(byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
        url
    })
}

/// A package URL as scanners write it, without what an address may not have in it.
fn address(url: &str) -> String {
    url.bytes().fold(String::new(), |mut safe, byte| {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
        safe
    })
}

/// The address of an asset.
fn asset_url(asset: &Asset) -> String {
    match Package::parse(&asset.name) {
        Some(_) => address(asset.name.trim()),
        None => generic(&asset.name, None),
    }
}

/// What is said of a vulnerability in one place.
struct Statement<'a> {
    /// The vulnerability's name, and others that it has.
    name: &'a str,
    aliases: &'a [String],
    title: &'a str,
    asset: &'a Asset,
    component: Option<&'a Component>,
    decision: &'a Decision,
}

/// A kind of document.
trait Format: Send + Sync {
    /// What comes before everything.
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>);

    /// Whether the places are walked before the statements.
    fn walks_places(&self) -> bool {
        false
    }

    /// A place that may have a number already. The places of an asset come together.
    fn place(&mut self, _asset: &Asset, _component: Option<&Component>, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    /// The end of the walk over the places.
    fn placed(&mut self, _out: &mut Vec<u8>) {}

    /// How many lists are set aside while the statements are written.
    fn lists(&self) -> usize {
        0
    }

    /// A statement; those of a vulnerability come together. `false`: its place is not defined, or there
    /// is no word for it.
    fn state(&mut self, statement: &Statement<'_>, out: &mut Out<'_>) -> Result<bool>;

    /// What comes after the statements before the list of this number; after the last list, the end.
    fn follow(&mut self, list: usize, out: &mut Vec<u8>);
}

/// Where a statement goes.
struct Out<'a> {
    text: &'a mut Vec<u8>,
    lists: &'a mut [Aside],
}

impl Out<'_> {
    /// Adds to a list that is set aside.
    fn list(&mut self, at: usize, value: &Json) {
        let list = &mut self.lists[at];
        let comma = if list.rows == 0 { "" } else { ",\n" };
        list.put_rows(format!("{comma}{value}").as_bytes(), 1);
    }
}

/// Places and their numbers, by a digest of what they are.
#[derive(Default)]
struct Places(HashMap<u128, u32>);

impl Places {
    fn key(asset: Option<&Asset>, component: Option<&Component>) -> u128 {
        let mut hash = Sha256::new();
        hash.update(asset.map_or(Uuid::nil(), |asset| asset.id));
        if let Some(component) = component {
            for text in [Some(&component.name), component.version.as_ref(), component.purl.as_ref()] {
                hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
                hash.update(text.map_or("", |text| text.as_str()));
            }
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        u128::from_le_bytes(key)
    }

    fn number(&self, asset: Option<&Asset>, component: Option<&Component>) -> Option<u32> {
        self.0.get(&Self::key(asset, component)).copied()
    }

    /// Numbers a place, and says its number and whether it is new.
    fn add(&mut self, asset: Option<&Asset>, component: Option<&Component>) -> Result<(u32, bool)> {
        let key = Self::key(asset, component);
        if let Some(number) = self.0.get(&key) {
            return Ok((*number, false));
        }
        let number = u32::try_from(self.0.len()).map_err(Error::internal)?;
        // Each finding has an asset, a component, and the one in the other.
        if i64::from(number) >= 3 * MOST {
            return Err(Error::new(Code::LimitExceeded, "More came in than one document may be of."));
        }
        self.0.insert(key, number);
        Ok((number, true))
    }
}

/// How a list goes on: with a comma from its second element on.
#[derive(Default)]
struct Comma(bool);

impl Comma {
    fn put(&mut self, out: &mut Vec<u8>) {
        if self.0 {
            out.extend_from_slice(b",\n");
        }
        self.0 = true;
    }
}

fn put(out: &mut Vec<u8>, value: &Json) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// Where a document stands.
enum Stage {
    Begin,
    /// The walk over the places.
    Places(Cursor),
    Statements(Cursor),
    /// What follows the statements: a list that was set aside, from this byte on.
    Lists(usize, u64),
    Ended,
}

/// The findings of one vulnerability on one asset that were read so far, by component.
struct Gathered {
    name: String,
    asset: Asset,
    title: String,
    aliases: Vec<String>,
    said: IndexMap<Option<Component>, Decision>,
}

/// A document on its way.
struct Document {
    taken: Taken,
    head: Head,
    format: Box<dyn Format>,
    stage: Stage,
    gathered: Option<Gathered>,
    lists: Vec<Aside>,
    /// What was written before there was anything to say.
    opening: Vec<u8>,
    /// Whether there is anything to say.
    speaks: bool,
    statements: i64,
    unplaced: i64,
}

/// A writer of this format, if there is anything to say.
pub(super) async fn writer(taken: Taken, format: ExportFormat, job: &Job) -> Result<Box<dyn Writer>> {
    let company = taken.domain.company(&taken.actor, taken.actor.company).await?;
    let publisher = job.params.get("publisher").map(|json| serde_json::from_value(json.clone()));
    let publisher: Option<Publisher> = publisher.transpose().map_err(Error::internal)?;
    let namespace = publisher.as_ref().and_then(|publisher| publisher.namespace.clone());
    let head = Head {
        export: job.id,
        publisher: publisher.map_or(company.name, |publisher| publisher.name),
        namespace: namespace.unwrap_or_else(|| format!("urn:uuid:{}", company.id)),
        at: taken.domain.clock().now(),
    };
    let format: Box<dyn Format> = match format {
        ExportFormat::Csaf => Box::new(csaf::Csaf::default()),
        ExportFormat::CycloneDx => Box::new(cyclonedx::CycloneDx::default()),
        ExportFormat::OpenVex | ExportFormat::Csv => Box::new(openvex::OpenVex::default()),
    };
    let mut lists = Vec::new();
    for _ in 0..format.lists() {
        lists.push(Aside::new(taken.domain.spool()).await?);
    }
    let mut document = Document {
        taken,
        head,
        format,
        stage: Stage::Begin,
        gathered: None,
        lists,
        opening: Vec::new(),
        speaks: false,
        statements: 0,
        unplaced: 0,
    };
    document.open().await?;
    Ok(Box::new(document))
}

impl Document {
    /// Begins the document, up to where it says anything: one of VEX may not be empty, and this is told
    /// before any of it is sent.
    async fn open(&mut self) -> Result<()> {
        while !self.speaks {
            let piece = self.piece().await?;
            self.opening.extend(piece.unwrap_or_default());
        }
        Ok(())
    }

    fn silent(&self) -> Error {
        if self.speaks {
            return Error::new(Code::Conflict, "The findings changed: nothing is left to say.");
        }
        let message =
            "None of the findings has a vulnerability with a name and a decision that VEX has a word for.";
        Error::new(Code::IllegalState, message)
    }

    async fn by_name(&self, cursor: Cursor) -> Result<Walked> {
        let scope = self.taken.actor.allow(Permission::Export)?;
        self.taken.domain.db().findings_by_name(&scope, &self.taken.filter, cursor).await
    }

    async fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Begin => {
                self.format.begin(&self.head, &mut out);
                if self.format.walks_places() { Stage::Places(None) } else { Stage::Statements(None) }
            }
            Stage::Places(cursor) => match self.places(cursor, &mut out).await? {
                Some(next) => Stage::Places(Some(next)),
                None => Stage::Statements(None),
            },
            Stage::Statements(cursor) => {
                let walked = self.by_name(cursor).await?;
                let next = walked.next.clone();
                self.gather(walked, &mut out).await?;
                let ends = next.is_none();
                if ends {
                    self.state(&mut out)?;
                }
                for list in &mut self.lists {
                    list.keep().await?;
                }
                match next {
                    Some(next) => Stage::Statements(Some(next)),
                    None if self.statements == 0 => return Err(self.silent()),
                    None => {
                        self.format.follow(0, &mut out);
                        Stage::Lists(0, 0)
                    }
                }
            }
            Stage::Lists(at, from) => match self.lists.get_mut(at) {
                Some(list) => {
                    out = list.read(from).await?;
                    if out.len() == BUFFER {
                        Stage::Lists(at, from + BUFFER as u64)
                    } else {
                        self.format.follow(at + 1, &mut out);
                        Stage::Lists(at + 1, 0)
                    }
                }
                None => return Ok(None),
            },
            Stage::Ended => return Ok(None),
        };
        Ok(Some(out))
    }

    /// The next page of the walk over the places, and where the one after it begins.
    async fn places(&mut self, cursor: Cursor, out: &mut Vec<u8>) -> Result<Cursor> {
        let scope = self.taken.actor.allow(Permission::Export)?;
        let walked = self.taken.domain.db().findings_by_asset(&scope, &self.taken.filter, cursor).await?;
        for (_, finding) in &walked.rows {
            let named = !finding.vulnerabilities().is_empty();
            let Some(asset) = walked.assets.get(&finding.asset).filter(|_| named) else { continue };
            if Decision::of(finding, &Voices::default()).is_some() {
                self.speaks = true;
                self.format.place(asset, Component::of(finding).as_ref(), out)?;
            }
        }
        if walked.next.is_none() {
            self.format.placed(out);
        }
        Ok(walked.next)
    }

    async fn gather(&mut self, walked: Walked, out: &mut Vec<u8>) -> Result<()> {
        let voices = self.voices(&walked).await?;
        for (name, finding) in walked.rows {
            let Some(name) = name.filter(|name| decision::goes_by(&finding, name)) else { continue };
            let Some(asset) = walked.assets.get(&finding.asset) else { continue };
            let Some(decision) = Decision::of(&finding, &voices) else { continue };
            let here = |gathered: &Gathered| gathered.name == name && gathered.asset.id == asset.id;
            if !self.gathered.as_ref().is_some_and(here) {
                self.state(out)?;
            }
            self.speaks = true;
            let alias = decision::alias(&finding, &name);
            let gathered = self.gathered.get_or_insert_with(|| Gathered {
                name,
                asset: asset.clone(),
                title: finding.shown.title.clone(),
                aliases: Vec::new(),
                said: IndexMap::new(),
            });
            if let Some(alias) = alias.filter(|alias| !gathered.aliases.contains(alias)) {
                gathered.aliases.push(alias);
            }
            let component = Component::of(&finding);
            match gathered.said.entry(component) {
                Entry::Vacant(said) => drop(said.insert(decision)),
                Entry::Occupied(mut said) if decision.excuses_less(said.get()) => drop(said.insert(decision)),
                Entry::Occupied(_) => {}
            }
        }
        Ok(())
    }

    /// Writes the statements that were gathered.
    fn state(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let Some(gathered) = self.gathered.take() else { return Ok(()) };
        for (component, decision) in &gathered.said {
            let statement = Statement {
                name: &gathered.name,
                aliases: &gathered.aliases,
                title: &gathered.title,
                asset: &gathered.asset,
                component: component.as_ref(),
                decision,
            };
            if self.format.state(&statement, &mut Out { text: out, lists: &mut self.lists })? {
                self.statements += 1;
            } else {
                self.unplaced += 1;
            }
        }
        Ok(())
    }

    /// The words of those who decided on these findings: one statement for the rules, one for the people.
    async fn voices(&self, walked: &Walked) -> Result<Voices> {
        let scope = self.taken.actor.allow(Permission::Export)?.whole();
        let db = self.taken.domain.db();
        let (mut rules, mut moved) = (Vec::new(), Vec::new());
        for (_, finding) in &walked.rows {
            let layers = finding.layers.status();
            match layers.verdict() {
                Some(verdict) if verdict.source.layer == Layer::Rule => rules.push(verdict.source.by),
                Some(_) => {}
                None if layers.is_settled() => moved.push(finding.id),
                None => {}
            }
        }
        for ids in [&mut rules, &mut moved] {
            ids.sort_unstable();
            ids.dedup();
        }
        let rules = if rules.is_empty() { Vec::new() } else { db.rules_by_id(&scope, &rules).await? };
        let rules = rules.into_iter().map(|rule| (rule.id, rule)).collect();
        Ok(Voices { rules, moves: db.words_of_moves(&scope, &moved).await? })
    }
}

impl Writer for Document {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>>> {
        if !self.opening.is_empty() {
            return std::future::ready(Ok(Some(std::mem::take(&mut self.opening)))).boxed();
        }
        self.piece().boxed()
    }

    fn counts(&self) -> Map<String, Json> {
        let mut counts = Map::from_iter([("rows".to_owned(), json!(self.statements))]);
        if self.unplaced > 0 {
            counts.insert("left_out".to_owned(), json!(self.unplaced));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_out_of_their_addresses() {
        for name in
            ["web-01", "/opt/app", "registry.example/team/shop:2", "a b@c?d#e%", "Müller & Söhne", "x//y/"]
        {
            let package = Package::parse(&generic(name, Some("1.0+b/2@3"))).expect("it is a package URL");
            assert_eq!((package.name.as_str(), package.version.as_deref()), (name, Some("1.0+b/2@3")));
            assert_eq!(Package::parse(&generic(name, None)).map(|package| package.version), Some(None));
        }
        assert_eq!(address("pkg:deb/debian/a b@1?x=ü"), "pkg:deb/debian/a%20b@1?x=%C3%BC");
    }
}
