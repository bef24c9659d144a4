//! The form in XML.

use super::Pen;
use super::bom::{Component, Written};
use super::vulnerability::{Advisory, Affected, Alias, Rating, Source as Origin, Version, Vulnerability};
use crate::error::Result;
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::xml::{Tag, Xml};

const ROOT: &str = "bom";

pub fn pass(source: Source, pen: &mut Pen<'_>) -> Result<()> {
    let meter = source.meter();
    source.xml(&mut |xml, root| {
        if root.name != ROOT {
            return Err(meter.malformed(format_args!("the root element is not `{ROOT}`")));
        }
        xml.children(&mut |xml, part| match part.name.as_str() {
            "metadata" => metadata(xml, pen),
            "components" => components(xml, pen).map(drop),
            "vulnerabilities" => vulnerabilities(xml, None, pen),
            _ => Ok(()),
        })
    })
}

fn metadata(xml: &mut Xml<'_>, pen: &mut Pen<'_>) -> Result<()> {
    xml.children(&mut |xml, tag| match tag.name.as_str() {
        "timestamp" => {
            pen.scanned_at = text::time(&xml.text()?);
            Ok(())
        }
        "component" => {
            let written = component(xml, tag, pen)?;
            pen.learn(|bom| bom.is_about(written))
        }
        // Tools, or since version 1.5 lists of components and services.
        "tools" => xml.children(&mut |xml, tag| match tag.name.as_str() {
            "components" | "services" => xml.children(&mut |xml, _| tool(xml, pen)),
            _ => tool(xml, pen),
        }),
        "supplier" | "manufacture" | "manufacturer" => author(xml, pen),
        "authors" => xml.children(&mut |xml, _| author(xml, pen)),
        _ => Ok(()),
    })
}

/// The `name` among the children of the present element.
fn name(xml: &mut Xml<'_>) -> Result<Option<String>> {
    let mut name = None;
    xml.children(&mut |xml, tag| {
        if tag.name == "name" {
            name = optional(xml)?;
        }
        Ok(())
    })?;
    Ok(name)
}

fn optional(xml: &mut Xml<'_>) -> Result<Option<String>> {
    Ok(Some(xml.text()?.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn tool(xml: &mut Xml<'_>, pen: &mut Pen<'_>) -> Result<()> {
    let tool = name(xml)?.unwrap_or_default();
    pen.learn(|bom| bom.made_by(&tool))
}

fn author(xml: &mut Xml<'_>, pen: &mut Pen<'_>) -> Result<()> {
    let author = name(xml)?;
    pen.learn(|bom| bom.author = bom.author.take().or(author))
}

/// A list of components; returns what they are referred to by.
fn components(xml: &mut Xml<'_>, pen: &mut Pen<'_>) -> Result<Vec<String>> {
    let mut listed = Vec::new();
    xml.children(&mut |xml, tag| {
        let written = component(xml, tag, pen)?;
        pen.learn(|bom| listed.extend(bom.add(written)))
    })?;
    Ok(listed)
}

/// A component; those inside of it are learned on the way. The limit of nesting bounds how deep this recurses.
fn component(xml: &mut Xml<'_>, tag: &Tag, pen: &mut Pen<'_>) -> Result<Written> {
    let mut written = Written {
        reference: tag.attribute("bom-ref").map(str::to_owned),
        kind: tag.attribute("type").map(str::to_owned),
        component: Component::default(),
        parts: None,
    };
    xml.children(&mut |xml, tag| {
        match tag.name.as_str() {
            "group" => written.component.group = optional(xml)?,
            "name" => written.component.name = xml.text()?.trim().to_owned(),
            "version" => written.component.version = optional(xml)?,
            "purl" => written.component.purl = optional(xml)?,
            "components" => written.parts = Some(components(xml, pen)?),
            // Before version 1.4, by an extension.
            "vulnerabilities" => {
                let so_far = Written {
                    reference: written.reference.clone(),
                    kind: None,
                    component: written.component.clone(),
                    parts: None,
                };
                let reference = so_far.reference.clone().or_else(|| so_far.component.purl.clone());
                pen.learn(|bom| drop(bom.add(so_far)))?;
                vulnerabilities(xml, Some(reference.unwrap_or_else(|| written.component.full_name())), pen)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(written)
}

/// Vulnerabilities, of the component that they stand inside of, if they do.
fn vulnerabilities(xml: &mut Xml<'_>, inside: Option<String>, pen: &mut Pen<'_>) -> Result<()> {
    xml.children(&mut |xml, tag| {
        if tag.name != "vulnerability" {
            return Ok(());
        }
        pen.meter.fence(pen.limits.item);
        let mut read = vulnerability(xml, tag)?;
        pen.meter.unfence();
        if let Some(reference) = &inside {
            read.affects.push(Affected { reference: Some(reference.clone()), versions: Vec::new() });
        }
        pen.write(read, None)
    })
}

fn vulnerability(xml: &mut Xml<'_>, tag: &Tag) -> Result<Vulnerability> {
    let mut read =
        Vulnerability { reference: tag.attribute("bom-ref").map(str::to_owned), ..Vulnerability::default() };
    xml.children(&mut |xml, tag| {
        match tag.name.as_str() {
            "id" => read.id = optional(xml)?,
            "source" => read.source = origin(xml, tag)?,
            "references" => xml.children(&mut |xml, _| {
                let mut alias = Alias::default();
                xml.children(&mut |xml, tag| {
                    match tag.name.as_str() {
                        "id" => alias.id = optional(xml)?,
                        "source" => alias.source = origin(xml, tag)?,
                        _ => {}
                    }
                    Ok(())
                })?;
                read.references.push(alias);
                Ok(())
            })?,
            "ratings" => xml.children(&mut |xml, _| {
                read.ratings.push(rating(xml)?);
                Ok(())
            })?,
            "cwes" => xml.children(&mut |xml, _| {
                read.cwes.extend(xml.text()?.trim().parse::<u32>());
                Ok(())
            })?,
            "description" => read.description = optional(xml)?,
            "detail" => read.detail = optional(xml)?,
            "recommendation" => read.recommendation = optional(xml)?,
            "workaround" => read.workaround = optional(xml)?,
            "recommendations" => xml.children(&mut |xml, _| {
                read.recommendation = read.recommendation.take().or(optional(xml)?);
                Ok(())
            })?,
            "advisories" => xml.children(&mut |xml, _| {
                // Before version 1.4 the address was the text.
                let (own, inside) = xml.text_and("url")?;
                let url = [inside, own].into_iter().find(|text| !text.trim().is_empty());
                read.advisories.push(Advisory { url });
                Ok(())
            })?,
            "analysis" => xml.children(&mut |xml, tag| {
                match tag.name.as_str() {
                    "state" => read.analysis.state = optional(xml)?,
                    "justification" => read.analysis.justification = optional(xml)?,
                    "detail" => read.analysis.detail = optional(xml)?,
                    "responses" => xml.children(&mut |xml, _| {
                        read.analysis.response.extend(optional(xml)?);
                        Ok(())
                    })?,
                    _ => {}
                }
                Ok(())
            })?,
            "affects" => xml.children(&mut |xml, _| {
                read.affects.push(affected(xml)?);
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(read)
}

fn origin(xml: &mut Xml<'_>, tag: &Tag) -> Result<Origin> {
    let mut origin = Origin { name: tag.attribute("name").map(str::to_owned), url: None };
    xml.children(&mut |xml, tag| {
        match tag.name.as_str() {
            "name" => origin.name = optional(xml)?,
            "url" => origin.url = optional(xml)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(origin)
}

fn rating(xml: &mut Xml<'_>) -> Result<Rating> {
    let mut rating = Rating::default();
    xml.children(&mut |xml, tag| {
        match tag.name.as_str() {
            "source" => rating.source = origin(xml, tag)?,
            "score" => rating.score = score(xml)?,
            "severity" => rating.severity = optional(xml)?,
            "method" => rating.method = optional(xml)?,
            "vector" => rating.vector = optional(xml)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(rating)
}

/// A number, or before version 1.4 elements of which `base` is the number.
fn score(xml: &mut Xml<'_>) -> Result<Option<f64>> {
    let (own, base) = xml.text_and("base")?;
    Ok([base, own].iter().find_map(|text| text.trim().parse().ok()))
}

fn affected(xml: &mut Xml<'_>) -> Result<Affected> {
    let mut affected = Affected::default();
    xml.children(&mut |xml, tag| {
        match tag.name.as_str() {
            "ref" => affected.reference = optional(xml)?,
            "versions" => xml.children(&mut |xml, _| {
                let mut version = Version::default();
                xml.children(&mut |xml, tag| {
                    match tag.name.as_str() {
                        "version" => version.version = optional(xml)?,
                        "range" => version.range = optional(xml)?,
                        "status" => version.status = optional(xml)?,
                        _ => {}
                    }
                    Ok(())
                })?;
                affected.versions.push(version);
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(affected)
}
