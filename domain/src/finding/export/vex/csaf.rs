//! CSAF 2.0, profile VEX: of each vulnerability which products stand how, and the tree of the products.
//!
//! Assets and components are products of the tree's branches, and a component of an asset is a third,
//! by a relationship. What is said of a vulnerability is gathered until its last product, as numbers and
//! as texts of which each is held once.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use super::{Comma, Component, Format, Head, Out, Places, Statement, put, tracking_id};
use crate::error::Result;
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::inventory::asset::Asset;

/// Bytes of texts of one vulnerability that are held; past them a decision is told without.
const TEXTS: usize = 8 << 20;
/// How many of those who decided on one vulnerability are named, and how many other names it is given.
const NAMED: usize = 100;

/// The lists that are set aside.
const BRANCHES: usize = 0;
const RELATIONS: usize = 1;

#[derive(Default)]
pub(super) struct Csaf {
    places: Places,
    /// Whether there is any component of an asset.
    related: bool,
    vulnerabilities: Comma,
    gathered: Option<Gathered>,
}

/// What is said of one vulnerability.
#[derive(Default)]
struct Gathered {
    name: String,
    title: String,
    aliases: BTreeSet<String>,
    /// Products by the list of `product_status` that they are in, and by the flag that says why.
    lists: BTreeMap<&'static str, Vec<u32>>,
    flags: BTreeMap<&'static str, Vec<u32>>,
    /// Products by what is said of them, and where it is said.
    texts: IndexMap<(Where, String), Vec<u32>>,
    bytes: usize,
    by: BTreeSet<String>,
}

/// Where a text about products stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Where {
    Impact,
    /// A remediation of this category.
    Remediation(&'static str),
}

impl Format for Csaf {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        let document = json!({
            "category": "csaf_vex",
            "csaf_version": "2.0",
            "title": format!("Decisions of {} on vulnerabilities", head.publisher),
            "publisher": { "category": "vendor", "name": head.publisher, "namespace": head.namespace },
            "tracking": {
                "id": tracking_id(head.export),
                "status": "final",
                "version": "1",
                "initial_release_date": head.at,
                "current_release_date": head.at,
                "revision_history": [{ "number": "1", "date": head.at, "summary": "Taken out." }],
                "generator": {
                    "date": head.at,
                    "engine": { "name": "countersign", "version": env!("CARGO_PKG_VERSION") },
                },
            },
        });
        out.extend_from_slice(b"{\"document\":");
        put(out, &document);
        out.extend_from_slice(b",\"vulnerabilities\":[\n");
    }

    fn lists(&self) -> usize {
        2
    }

    fn state(&mut self, statement: &Statement<'_>, out: &mut Out<'_>) -> Result<bool> {
        let Some((words, text)) = statement.decision.words(Vocabulary::Csaf) else { return Ok(false) };
        let number = self.product(statement.asset, statement.component, out)?;
        if self.gathered.as_ref().is_none_or(|gathered| gathered.name != statement.name) {
            self.write(out.text);
        }
        let gathered = self.gathered.get_or_insert_with(|| Gathered {
            name: statement.name.to_owned(),
            title: statement.title.to_owned(),
            ..Gathered::default()
        });
        gathered.add(statement, number, words, text);
        Ok(true)
    }

    fn follow(&mut self, list: usize, out: &mut Vec<u8>) {
        self.write(out);
        // Relationships stand only where there are any.
        let text: &[u8] = match (list, self.related) {
            (BRANCHES, _) => b"\n],\"product_tree\":{\"branches\":[\n",
            (RELATIONS, true) => b"\n],\"relationships\":[\n",
            (RELATIONS, false) => b"\n]",
            (_, true) => b"\n]}}\n",
            (_, false) => b"}}\n",
        };
        out.extend_from_slice(text);
    }
}

impl Csaf {
    /// The number of the product that a place is; what defines it is set aside where it is new.
    fn product(&mut self, asset: &Asset, component: Option<&Component>, out: &mut Out<'_>) -> Result<u32> {
        let (whole, is_new) = self.places.add(Some(asset), None)?;
        if is_new {
            let product = json!({ "name": asset.name, "product_id": id(whole) });
            out.list(
                BRANCHES,
                &json!({ "category": "product_name", "name": asset.name, "product": product }),
            );
        }
        let Some(component) = component else { return Ok(whole) };
        let (part, is_new) = self.places.add(None, Some(component))?;
        if is_new {
            out.list(BRANCHES, &branch(component, part));
        }
        let (number, is_new) = self.places.add(Some(asset), Some(component))?;
        if is_new {
            self.related = true;
            let name = format!("{} in {}", component.label(), asset.name);
            let relation = json!({
                "category": "default_component_of",
                "product_reference": id(part),
                "relates_to_product_reference": id(whole),
                "full_product_name": { "name": name, "product_id": id(number) },
            });
            out.list(RELATIONS, &relation);
        }
        Ok(number)
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        if let Some(gathered) = self.gathered.take() {
            self.vulnerabilities.put(out);
            put(out, &gathered.written());
        }
    }
}

impl Gathered {
    fn add(&mut self, statement: &Statement<'_>, number: u32, words: vex::Words, text: Option<String>) {
        self.lists.entry(words.state).or_default().push(number);
        for alias in statement.aliases {
            if self.aliases.len() < NAMED {
                self.aliases.insert(alias.clone());
            }
        }
        if let Some(by) = &statement.decision.by
            && self.by.len() < NAMED
        {
            self.by.insert(by.clone());
        }
        // The profile asks for words on what is affected, and for a reason why something is not.
        let (place, text) = match (words.state, words.justification) {
            ("known_affected", Some(_)) => {
                (Where::Remediation("no_fix_planned"), Some(vex::borne(text.as_deref())))
            }
            ("known_affected", None) => {
                (Where::Remediation("mitigation"), text.or_else(|| Some("Somebody works on it.".to_owned())))
            }
            ("known_not_affected", Some(label)) => {
                self.flags.entry(label).or_default().push(number);
                (Where::Impact, text)
            }
            ("known_not_affected", None) => {
                (Where::Impact, text.or_else(|| Some("It is not what its scanner takes it for.".to_owned())))
            }
            ("fixed", _) => (Where::Remediation("vendor_fix"), text),
            // Nothing is known yet that could be a threat or its remedy.
            _ => (Where::Impact, None),
        };
        let Some(mut text) = text else { return };
        if !self.texts.contains_key(&(place, text.clone())) {
            if self.bytes + text.len() > TEXTS {
                text = match (place, words.justification) {
                    (Where::Remediation("no_fix_planned"), _) => vex::borne(None),
                    _ => "More than can be told here.".to_owned(),
                };
            }
            self.bytes += text.len();
        }
        self.texts.entry((place, text)).or_default().push(number);
    }

    fn written(&self) -> Json {
        let lists: Map<String, Json> =
            self.lists.iter().map(|(list, products)| ((*list).to_owned(), ids(products))).collect();
        let mut notes = vec![json!({ "category": "summary", "title": "Summary", "text": self.title })];
        if !self.by.is_empty() {
            let by: Vec<&str> = self.by.iter().map(String::as_str).collect();
            notes.push(json!({ "category": "other", "title": "Decided by", "text": by.join("\n") }));
        }
        let mut written = json!({ "title": self.title, "notes": notes, "product_status": lists });
        let system = |name: &str| {
            name.split('-').next().filter(|part| !part.is_empty()).unwrap_or("scanner").to_owned()
        };
        let other = |name: &String| json!({ "system_name": system(name), "text": name });
        let mut others: Vec<Json> = self.aliases.iter().map(other).collect();
        if text::cve(&self.name).is_some() {
            written["cve"] = json!(self.name);
        } else {
            others.insert(0, other(&self.name));
        }
        if !others.is_empty() {
            written["ids"] = others.into();
        }
        let flag =
            |(label, products): (&&str, &Vec<u32>)| json!({ "label": label, "product_ids": ids(products) });
        let flags: Vec<Json> = self.flags.iter().map(flag).collect();
        let (mut threats, mut remediations) = (Vec::new(), Vec::new());
        for ((place, text), products) in &self.texts {
            let (list, category) = match place {
                Where::Impact => (&mut threats, "impact"),
                Where::Remediation(category) => (&mut remediations, *category),
            };
            list.push(json!({ "category": category, "details": text, "product_ids": ids(products) }));
        }
        for (member, list) in [("flags", flags), ("threats", threats), ("remediations", remediations)] {
            if !list.is_empty() {
                written[member] = list.into();
            }
        }
        written
    }
}

fn branch(component: &Component, number: u32) -> Json {
    let mut product = json!({ "name": component.label(), "product_id": id(number) });
    if let Some(purl) = &component.purl {
        product["product_identification_helper"] = json!({ "purl": purl });
    }
    match &component.version {
        None => json!({ "category": "product_name", "name": component.name, "product": product }),
        Some(version) => {
            let version = json!({ "category": "product_version", "name": version, "product": product });
            json!({ "category": "product_name", "name": component.name, "branches": [version] })
        }
    }
}

fn id(number: u32) -> String {
    format!("CSAFPID-{number:04}")
}

fn ids(numbers: &[u32]) -> Json {
    numbers.iter().map(|number| id(*number)).collect()
}
