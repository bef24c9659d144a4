//! OpenVEX: what an author says of products and vulnerabilities.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::json::or_default;
use crate::intake::late::{Late, Weight};
use crate::intake::limits::{Limits, too_large};
use crate::intake::package::Package;
use crate::intake::place::Meter;
use crate::intake::report::{Product as Named, ReportHead, Reported, ReportedAsset, Verdict, Vex};
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::vocabulary::time::Timestamp;

pub const FORMAT: Entry = Entry {
    key: "OPENVEX",
    label: "OpenVEX",
    media_types: &["application/json"],
    extensions: &["vex.json", "openvex.json", "json"],
    scanner: "openvex",
    counting: "Each pair of a product and the vulnerability of a statement; where a product has `subcomponents`, each of these \
         with the vulnerability. Whatever the status: what is not affected or fixed is a finding with a verdict (see the table of \
         verdicts). Of several statements about the same pair the latest counts, of the same time the last in the document: the \
         earlier ones are its history. A statement without products says nothing that can be found.",
    identity: "The vulnerability's name, the product and the subcomponent as the statement names them, with their version.",
    asset: "The asset that the caller names, or else the product: the name and the kind of its package URL, without the version \
         (the mere name of a `generic` one); or else its `@id`.",
    required: "`statements` (which may be null); the `vulnerability` and the `status` of each, which is one of OpenVEX.",
    severities: &[("none is given", "info")],
    fields: &[
        ("title", "the vulnerability and the component"),
        ("description", "`description` of the vulnerability, `impact_statement`, `status_notes`"),
        ("vulnerability_type", "`vulnerable_package`"),
        ("scanner_category", "`status`"),
        ("scanner_reference", "`name` of the vulnerability, or else its `@id`"),
        ("cve_ids", "the name and `aliases`"),
        (
            "component_name, component_version, component_purl",
            "the subcomponent, or else the product: its package URL in `@id` or `identifiers.purl`",
        ),
        ("remediation", "`action_statement`"),
        ("references", "`@id` of the vulnerability, where it is an address"),
        ("tags", "other aliases"),
        (
            "verdict",
            "`status` and `justification` (or the words that begin the `action_statement`); `impact_statement` or else \
             `status_notes`; the `author`",
        ),
        ("excerpt", "the beginning of the statement"),
        ("time of the scan", "the latest `timestamp` of the document and its statements"),
    ],
    mapped: false,
    vex: Some("each"),
    sniff: |head| !head.array && head.has("statements") && (head.has("@context") || head.has("@id")),
    reader: |plan| Ok(Box::new(OpenVex::new(plan))),
};

#[derive(Clone, Default)]
struct OpenVex {
    asset: Option<String>,
    scanned_at: Option<Timestamp>,
    documents: Late<Document>,
    /// What is said of each pair.
    said: HashMap<[u8; 16], Said>,
    /// Whether all of `said` is known from before.
    complete: bool,
}

/// The last statement about a pair with a time of its own, and the last without, by their numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    timed: Option<(Timestamp, u64)>,
    untimed: Option<u64>,
}

impl Said {
    /// The number of the statement that counts in a document of that time.
    fn counts(self, document: Option<Timestamp>) -> Option<u64> {
        let timed = self.timed.map(|(at, number)| (Some(at), number));
        let untimed = self.untimed.map(|number| (document, number));
        timed.max(untimed).map(|(_, number)| number)
    }
}

#[derive(Clone, Debug, Default)]
struct Document {
    author: Option<Arc<str>>,
    timestamp: Option<Timestamp>,
}

impl Weight for Document {
    fn weight(&self) -> usize {
        self.author.as_ref().map_or(0, |author| author.len()) + 64
    }
}

/// About what one pair takes in memory.
const PAIR: usize = 64;

impl OpenVex {
    fn new(plan: &Plan<'_>) -> Self {
        Self { asset: plan.asset.map(str::to_owned), ..Self::default() }
    }

    /// Whether the statement is to be handed over: in the first pass each, then the one that counts of its pair. Sets
    /// `again` where there are several.
    fn counts(
        &mut self,
        reported: &Reported,
        (own, document): (Option<Timestamp>, Option<Timestamp>),
        number: u64,
        again: &mut bool,
        limits: &Limits,
        meter: &Meter,
    ) -> Result<bool> {
        let mut hash = Sha256::new();
        for part in &reported.identity {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut pair = [0; 16];
        pair.copy_from_slice(&hash.finalize()[..16]);
        if self.complete {
            let said = self.said.get(&pair).copied().unwrap_or_default();
            return Ok(said.counts(document).is_none_or(|of_pair| of_pair == number));
        }
        if self.said.len() * PAIR > limits.collected {
            return Err(too_large(limits.over_collected(), meter.place()));
        }
        let said = self.said.entry(pair).or_default();
        // A product that one statement names twice is no history.
        let before = said.timed.map(|(_, number)| number).max(said.untimed);
        *again |= before.is_some_and(|before| before != number);
        match own {
            Some(at) => said.timed = said.timed.max(Some((at, number))),
            None => said.untimed = Some(number),
        }
        Ok(true)
    }
}

impl Reader for OpenVex {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.documents.rewind();
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut document = self.documents.begin();
        let (mut own, mut again, mut number) = (false, false, 0);
        let mut latest: Option<Timestamp> = None;
        source.json(&mut |root| {
            root.object(&mut |name, value| match name {
                "statements" => {
                    own = true;
                    value.array(&mut |entry| {
                        let raw = entry.raw()?;
                        let statement: Statement = raw.parse(&meter)?;
                        if !vex::knows(Vocabulary::OpenVex, &statement.status) {
                            return Err(meter.malformed("`status` is not one of OpenVEX"));
                        }
                        number += 1;
                        let known = document.used().clone();
                        let own_time = statement.timestamp.as_deref().and_then(text::time);
                        let times = (own_time, known.timestamp);
                        latest = latest.max(own_time);
                        for product in &statement.products {
                            for component in product.components() {
                                let mut reported =
                                    statement.reported(product, component, &known, self.asset.as_deref());
                                if self.counts(&reported, times, number, &mut again, &limits, &meter)? {
                                    let excerpt = text::beginning(raw.text(), text::EXCERPT);
                                    reported.excerpt = Some(excerpt.to_owned());
                                    emit(FORMAT.scanner, reported)?;
                                }
                            }
                        }
                        Ok(())
                    })
                }
                "author" => {
                    let author: Option<String> = value.get()?;
                    document.learn(|document| document.author = author.map(Arc::from));
                    Ok(())
                }
                "timestamp" => {
                    let at = value.get::<Option<String>>()?.as_deref().and_then(text::time);
                    latest = latest.max(at);
                    document.learn(|document| document.timestamp = at);
                    Ok(())
                }
                _ => Ok(()),
            })
        })?;
        if !own {
            return Err(meter.malformed("this is not an OpenVEX document: it has no `statements`"));
        }
        self.scanned_at = latest;
        self.documents.end(document, &limits, &meter)?;
        self.complete = true;
        Ok(Pass::again(self.documents.again() || again))
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

#[derive(Deserialize)]
struct Statement {
    vulnerability: Vulnerability,
    #[serde(default, deserialize_with = "or_default")]
    products: Vec<Product>,
    status: String,
    justification: Option<String>,
    impact_statement: Option<String>,
    action_statement: Option<String>,
    status_notes: Option<String>,
    timestamp: Option<String>,
}

/// Before version 0.2 vulnerabilities and products were texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Vulnerability {
    Name(String),
    Full(FullVulnerability),
}

#[derive(Deserialize)]
struct FullVulnerability {
    #[serde(rename = "@id")]
    id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    aliases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Product {
    Name(String),
    Full(FullProduct),
}

#[derive(Deserialize)]
struct FullProduct {
    #[serde(rename = "@id")]
    id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    identifiers: HashMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    subcomponents: Vec<Product>,
}

impl Product {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Full(full) => {
                let of = |key: &str| full.identifiers.get(key).map(String::as_str);
                let id = full.id.as_deref().filter(|id| !id.trim().is_empty());
                id.or_else(|| of("purl")).or_else(|| of("cpe23")).or_else(|| of("cpe22")).unwrap_or_default()
            }
        }
        .trim()
    }

    fn purl(&self) -> Option<&str> {
        let other = match self {
            Self::Full(full) => full.identifiers.get("purl").map(String::as_str),
            Self::Name(_) => None,
        };
        [other, Some(self.name())].into_iter().flatten().find(|text| Package::parse(text).is_some())
    }

    /// What is spoken of: the subcomponents, or else the product.
    fn components(&self) -> Vec<&Product> {
        match self {
            Self::Full(full) if !full.subcomponents.is_empty() => full.subcomponents.iter().collect(),
            _ => vec![self],
        }
    }

    fn asset(&self) -> ReportedAsset {
        let package = self.purl().and_then(Package::parse);
        match package {
            // A generic package is of no ecosystem: it is what its name says.
            Some(package) if package.kind == "generic" => {
                ReportedAsset { name: package.name, kind: Some("product".to_owned()) }
            }
            Some(package) => ReportedAsset { name: package.key, kind: Some("package".to_owned()) },
            None => ReportedAsset { name: self.name().to_owned(), kind: Some("product".to_owned()) },
        }
    }
}

impl Statement {
    fn verdict(&self, document: &Document) -> Option<Verdict> {
        let action = self.action_statement.as_deref();
        let why = self.justification.as_deref().filter(|why| !why.trim().is_empty());
        let bears = vex::bears(action.filter(|_| why.is_none()));
        let words = match bears {
            Some(_) => action,
            None => self.impact_statement.as_deref().or(self.status_notes.as_deref()),
        };
        let author = document.author.as_deref().map(str::to_owned);
        vex::verdict(Vocabulary::OpenVex, &self.status, why.or(bears), words.map(str::to_owned), author)
    }

    fn reported(
        &self,
        product: &Product,
        component: &Product,
        document: &Document,
        by_caller: Option<&str>,
    ) -> Reported {
        let (name, aliases, description, address): (_, &[String], _, _) = match &self.vulnerability {
            Vulnerability::Name(name) => (name.as_str(), &[], None, None),
            Vulnerability::Full(full) => {
                let named = full.name.as_deref().filter(|name| !name.trim().is_empty());
                let name = named.or(full.id.as_deref()).unwrap_or_default();
                (name, &full.aliases, full.description.as_deref(), full.id.as_deref())
            }
        };
        let impact = self.impact_statement.as_deref();
        let notes = self.status_notes.as_deref();
        let asset = match by_caller {
            Some(name) => ReportedAsset { name: name.to_owned(), kind: None },
            None => product.asset(),
        };
        let package = component.purl().and_then(Package::parse);
        let component_name = package.as_ref().map_or_else(|| component.name(), |package| &package.name);
        let subject = if std::ptr::eq(product, component) { "" } else { component.name() };
        let texts = [description, impact, notes].into_iter().flatten();
        let others = aliases.iter().filter(|alias| text::cve(alias).is_none());
        Reported {
            asset,
            identity: vec![name.to_owned(), product.name().to_owned(), subject.to_owned()],
            title: format!("{name} in {component_name}"),
            description: text::paragraphs(texts.map(|text| text::beginning(text, text::PAGE))),
            scanner_category: Some(self.status.clone()),
            scanner_reference: Some(name.to_owned()),
            vulnerability_type: Some("vulnerable_package".to_owned()),
            cve_ids: std::iter::once(name)
                .chain(aliases.iter().map(String::as_str))
                .filter_map(text::cve)
                .collect(),
            component_name: Some(component_name.to_owned()),
            component_version: package.as_ref().and_then(|package| package.version.clone()),
            component_purl: component.purl().map(str::to_owned),
            references: address.filter(|id| id.contains("://")).map(str::to_owned).into_iter().collect(),
            tags: others.cloned().collect(),
            remediation: self.action_statement.clone(),
            verdict: self.verdict(document),
            vex: Some(Box::new(Vex {
                vulnerabilities: std::iter::once(name)
                    .chain(aliases.iter().map(String::as_str))
                    .map(text::vulnerability)
                    .collect(),
                state: self.status.clone(),
                product: Named { name: product.asset().name, purl: product.purl().map(str::to_owned) },
                part: !std::ptr::eq(product, component),
                ranged: false,
                by_caller: by_caller.is_some(),
                said_at: self.timestamp.as_deref().and_then(text::time).or(document.timestamp),
            })),
            ..Reported::default()
        }
    }
}
