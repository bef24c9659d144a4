//! The form in JSON.

use serde::Deserialize;

use super::Pen;
use super::bom::Written;
use super::vulnerability::Vulnerability;
use crate::error::Result;
use crate::intake::json::Value;
use crate::intake::source::Source;
use crate::intake::text;

pub fn pass(source: Source, pen: &mut Pen<'_>) -> Result<()> {
    let meter = source.meter();
    let mut own = false;
    source.json(&mut |root| {
        root.object(&mut |name, value| match name {
            "bomFormat" => {
                own = value.get::<Option<String>>()?.is_some_and(|format| format == "CycloneDX");
                Ok(())
            }
            "metadata" => metadata(value, pen),
            "components" => components(value, pen).map(drop),
            "vulnerabilities" => value.array(&mut |entry| {
                let raw = entry.raw()?;
                let vulnerability: Vulnerability = raw.parse(&meter)?;
                pen.write(vulnerability, Some(text::beginning(raw.text(), text::EXCERPT)))
            }),
            _ => Ok(()),
        })
    })?;
    if own { Ok(()) } else { Err(meter.malformed("`bomFormat` is not CycloneDX")) }
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

/// The name of a person, an organization or a tool.
fn name(value: Value<'_>) -> Result<Option<String>> {
    let named: Option<Named> = value.get()?;
    Ok(named.and_then(|named| named.name).filter(|name| !name.trim().is_empty()))
}

fn metadata(value: Value<'_>, pen: &mut Pen<'_>) -> Result<()> {
    value.object(&mut |member, value| match member {
        "timestamp" => {
            pen.scanned_at = value.get::<Option<String>>()?.as_deref().and_then(text::time);
            Ok(())
        }
        "component" => {
            let written = component(value, pen)?;
            pen.learn(|bom| bom.is_about(written))
        }
        // A list of tools, or since version 1.5 an object with lists of components and services.
        "tools" => value.object_or_array(&mut |member, value| match member {
            None => tool(value, pen),
            Some("components" | "services") => value.array(&mut |value| tool(value, pen)),
            Some(_) => Ok(()),
        }),
        "supplier" | "manufacture" | "manufacturer" => {
            let author = name(value)?;
            pen.learn(|bom| bom.author = bom.author.take().or(author))
        }
        "authors" => value.array(&mut |value| {
            let author = name(value)?;
            pen.learn(|bom| bom.author = bom.author.take().or(author))
        }),
        _ => Ok(()),
    })
}

fn tool(value: Value<'_>, pen: &mut Pen<'_>) -> Result<()> {
    let tool = name(value)?.unwrap_or_default();
    pen.learn(|bom| bom.made_by(&tool))
}

/// A list of components; returns what they are referred to by.
fn components(value: Value<'_>, pen: &mut Pen<'_>) -> Result<Vec<String>> {
    let mut listed = Vec::new();
    value.array(&mut |value| {
        let written = component(value, pen)?;
        pen.learn(|bom| listed.extend(bom.add(written)))
    })?;
    Ok(listed)
}

/// A component; those inside of it are learned on the way. The limit of nesting bounds how deep this recurses.
fn component(value: Value<'_>, pen: &mut Pen<'_>) -> Result<Written> {
    let mut written = Written::default();
    value.object(&mut |member, value| {
        match member {
            "bom-ref" => written.reference = value.get()?,
            "type" => written.kind = value.get()?,
            "group" => written.component.group = value.get()?,
            "name" => written.component.name = value.get::<Option<String>>()?.unwrap_or_default(),
            "version" => written.component.version = value.get()?,
            "purl" => written.component.purl = value.get()?,
            "components" => written.parts = Some(components(value, pen)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(written)
}
