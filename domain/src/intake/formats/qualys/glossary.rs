//! What Qualys knows of the vulnerabilities that a report refers to by their QIDs.

use std::collections::HashMap;

use crate::error::Result;
use crate::intake::late::{Scope, Weight};
use crate::intake::limits::{Limits, too_large};
use crate::intake::place::Meter;
use crate::intake::text;
use crate::intake::web;
use crate::intake::xml::Xml;

/// Bytes that are kept of one text.
const KEPT: usize = 8 << 10;
/// Entries that are kept of one list.
const LISTED: usize = 200;

#[derive(Clone, Debug, Default)]
pub struct Glossary {
    pub details: HashMap<String, Details>,
    weight: usize,
}

impl Weight for Glossary {
    fn weight(&self) -> usize {
        self.weight
    }
}

#[derive(Clone, Debug, Default)]
pub struct Details {
    pub title: String,
    pub severity: String,
    pub category: String,
    pub threat: String,
    pub impact: String,
    pub solution: String,
    pub patchable: Option<bool>,
    pub pci: bool,
    pub cvss2: Option<String>,
    pub cvss3: Option<String>,
    pub cves: Vec<String>,
    pub vendor_ids: Vec<String>,
    pub links: Vec<String>,
    pub exploited: bool,
}

impl Details {
    fn weight(&self) -> usize {
        let texts = [&self.title, &self.severity, &self.category, &self.threat, &self.impact, &self.solution];
        let lists = [&self.cves, &self.vendor_ids, &self.links];
        let scores = [&self.cvss2, &self.cvss3].into_iter().flatten().map(String::len).sum::<usize>();
        scores
            + texts.iter().map(|text| text.len()).sum::<usize>()
            + lists.into_iter().flatten().map(|entry| entry.len() + 24).sum::<usize>()
            + 512
    }
}

/// Reads the glossary, unless it is known already.
pub fn read(xml: &mut Xml<'_>, glossary: &mut Scope<Glossary>, limits: &Limits, meter: &Meter) -> Result<()> {
    if glossary.is_complete() {
        return Ok(());
    }
    xml.children(&mut |xml, list| {
        if list.name != "VULN_DETAILS_LIST" {
            return Ok(());
        }
        xml.children(&mut |xml, tag| {
            if tag.name != "VULN_DETAILS" {
                return Ok(());
            }
            meter.fence(limits.item);
            let (number, details) = details(xml)?;
            meter.unfence();
            glossary.learn(|glossary| {
                glossary.weight += details.weight() + number.len();
                glossary.details.insert(number, details);
            });
            if glossary.so_far().weight > limits.collected {
                return Err(too_large(limits.over_collected(), meter.place()));
            }
            Ok(())
        })
    })
}

fn details(xml: &mut Xml<'_>) -> Result<(String, Details)> {
    let mut number = String::new();
    let mut details = Details::default();
    xml.children(&mut |xml, tag| {
        match tag.name.as_str() {
            "QID" => number = xml.text()?.trim().to_owned(),
            "TITLE" => details.title = short(xml.text()?),
            "SEVERITY" => details.severity = short(xml.text()?),
            "CATEGORY" => details.category = short(xml.text()?),
            "THREAT" => details.threat = short(web::plain(&xml.text()?)),
            "IMPACT" => details.impact = short(web::plain(&xml.text()?)),
            "SOLUTION" => details.solution = short(web::plain(&xml.text()?)),
            "PATCHABLE" => details.patchable = Some(xml.text()?.trim() == "1"),
            "PCI_FLAG" => details.pci = xml.text()?.trim() == "1",
            "CVSS_SCORE" => details.cvss2 = base(xml, "CVSS_BASE")?,
            "CVSS3_SCORE" => details.cvss3 = base(xml, "CVSS3_BASE")?,
            "CVE_ID_LIST" => ids(xml, &mut details.cves, &mut details.links)?,
            "VENDOR_REFERENCE_LIST" => ids(xml, &mut details.vendor_ids, &mut details.links)?,
            // Present with at least one exploit or piece of malware in it, or not at all.
            "CORRELATION" => xml.children(&mut |_, tag| {
                details.exploited |= matches!(tag.name.as_str(), "EXPLOITABILITY" | "MALWARE");
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    if number.is_empty() {
        return Err(xml.malformed("an entry of the glossary has no `QID`"));
    }
    Ok((number, details))
}

fn base(xml: &mut Xml<'_>, name: &str) -> Result<Option<String>> {
    let mut base = None;
    xml.children(&mut |xml, tag| {
        if tag.name == name {
            base = Some(short(xml.text()?)).filter(|text| !matches!(text.trim(), "" | "-"));
        }
        Ok(())
    })?;
    Ok(base)
}

/// A list of ids, each with an address.
fn ids(xml: &mut Xml<'_>, into: &mut Vec<String>, links: &mut Vec<String>) -> Result<()> {
    xml.children(&mut |xml, _| {
        xml.children(&mut |xml, tag| {
            let list = match tag.name.as_str() {
                "ID" => &mut *into,
                "URL" => &mut *links,
                _ => return Ok(()),
            };
            if list.len() < LISTED {
                list.push(short(xml.text()?));
            }
            Ok(())
        })
    })
}

fn short(text: String) -> String {
    text::beginning(text.trim(), KEPT).to_owned()
}
