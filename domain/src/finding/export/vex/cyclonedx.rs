//! CycloneDX 1.6: assets with their components inside of them, and an analysis of each vulnerability
//! in each place.
//!
//! An asset always has a list of components, be there any or not: that tells the importer that it is
//! what its components are part of.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{Comma, Component, Format, Head, Out, Places, Statement, put};
use crate::error::Result;
use crate::intake::vex::{self, Vocabulary};
use crate::inventory::asset::Asset;

#[derive(Default)]
pub(super) struct CycloneDx {
    places: Places,
    /// The asset whose components are written.
    open: Option<Uuid>,
    assets: Comma,
    parts: Comma,
    statements: Comma,
}

impl CycloneDx {
    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.extend_from_slice(b"]}");
            self.parts = Comma::default();
        }
    }
}

impl Format for CycloneDx {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        let tool =
            json!({ "type": "application", "name": "countersign", "version": env!("CARGO_PKG_VERSION") });
        let mut text = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": format!("urn:uuid:{}", head.export),
            "version": 1,
            "metadata": {
                "timestamp": head.at,
                "tools": { "components": [tool] },
                "supplier": { "name": head.publisher },
            },
        })
        .to_string();
        text.pop();
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b",\"components\":[\n");
    }

    fn walks_places(&self) -> bool {
        true
    }

    fn place(&mut self, asset: &Asset, component: Option<&Component>, out: &mut Vec<u8>) -> Result<()> {
        if let (number, true) = self.places.add(Some(asset), None)? {
            self.close(out);
            self.assets.put(out);
            self.open = Some(asset.id);
            let mut text =
                json!({ "type": kind(asset), "bom-ref": reference(number), "name": asset.name }).to_string();
            text.pop();
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b",\"components\":[");
        }
        let Some(component) = component else { return Ok(()) };
        // Another asset's turn is over: what comes to it now is too late.
        if self.open == Some(asset.id)
            && let (number, true) = self.places.add(Some(asset), Some(component))?
        {
            self.parts.put(out);
            let mut part = json!({ "type": "library", "bom-ref": reference(number), "name": component.name });
            for (member, value) in [("version", &component.version), ("purl", &component.purl)] {
                if let Some(value) = value {
                    part[member] = json!(value);
                }
            }
            put(out, &part);
        }
        Ok(())
    }

    fn placed(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        out.extend_from_slice(b"\n],\"vulnerabilities\":[\n");
    }

    fn state(&mut self, statement: &Statement<'_>, out: &mut Out<'_>) -> Result<bool> {
        let number = self.places.number(Some(statement.asset), statement.component);
        let Some(written) = number.and_then(|number| written(statement, number)) else { return Ok(false) };
        self.statements.put(out.text);
        put(out.text, &written);
        Ok(true)
    }

    fn follow(&mut self, _: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n]}\n");
    }
}

fn reference(number: u32) -> String {
    format!("place-{number}")
}

/// What CycloneDX calls an asset of this kind.
fn kind(asset: &Asset) -> &'static str {
    match asset.kind.as_deref().unwrap_or_default() {
        "container_image" | "container" => "container",
        "filesystem" | "file" => "file",
        "host" | "device" => "device",
        "operating_system" => "operating-system",
        "firmware" => "firmware",
        "library" | "package" => "library",
        "platform" => "platform",
        _ => "application",
    }
}

fn written(statement: &Statement<'_>, number: u32) -> Option<Json> {
    let decision = statement.decision;
    let (words, text) = decision.words(Vocabulary::CycloneDx)?;
    let mut analysis = Map::from_iter([("state".to_owned(), json!(words.state))]);
    let mut detail = text;
    match words.justification {
        Some(vex::RISK_ACCEPTED) => {
            analysis.insert("response".to_owned(), json!([vex::WILL_NOT_FIX]));
            detail = Some(vex::borne(detail.as_deref()));
        }
        Some(vex::WILL_NOT_FIX) => drop(analysis.insert("response".to_owned(), json!([vex::WILL_NOT_FIX]))),
        Some(why) => drop(analysis.insert("justification".to_owned(), json!(why))),
        None => {}
    }
    if let Some(detail) = detail {
        analysis.insert("detail".to_owned(), detail.into());
    }
    let mut written = json!({
        "id": statement.name,
        "analysis": analysis,
        "affects": [{ "ref": reference(number) }],
    });
    if !statement.aliases.is_empty() {
        let source = |name: &String| name.split('-').next().unwrap_or_default().to_owned();
        let aliases = statement.aliases.iter();
        let aliases: Vec<Json> =
            aliases.map(|name| json!({ "id": name, "source": { "name": source(name) } })).collect();
        written["references"] = aliases.into();
    }
    if let Some(by) = &decision.by {
        written["properties"] = json!([{ "name": "countersign:decided_by", "value": by }]);
    }
    Some(written)
}
