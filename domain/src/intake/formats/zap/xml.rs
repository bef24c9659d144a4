//! The XML form. What a site is comes as attributes, so before its alerts.

use super::{Alert, Instance, SCANNER};
use crate::error::Result;
use crate::intake::format::{Emit, Pass, Reader};
use crate::intake::report::ReportHead;
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::xml::Xml;
use crate::vocabulary::time::Timestamp;

pub const ROOT: &str = "OWASPZAPReport";

#[derive(Clone, Default)]
pub struct Report {
    scanned_at: Option<Timestamp>,
}

impl Reader for Report {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        let meter = source.meter();
        let item_bytes = source.limits().item;
        source.xml(&mut |xml, root| {
            if root.name != ROOT {
                return Err(meter.malformed(format_args!("the root element is not `{ROOT}`")));
            }
            let written = root.attribute("created").or_else(|| root.attribute("generated"));
            self.scanned_at = written.and_then(text::time);
            xml.children(&mut |xml, site| {
                if site.name != "site" {
                    return Ok(());
                }
                let name = site.attribute("name").unwrap_or_default();
                xml.children(&mut |xml, part| {
                    if part.name != "alerts" {
                        return Ok(());
                    }
                    xml.children(&mut |xml, item| {
                        if item.name != "alertitem" {
                            return Ok(());
                        }
                        meter.fence(item_bytes);
                        let alert = alert(xml)?;
                        meter.unfence();
                        emit(SCANNER, alert.reported(name, &meter)?)
                    })
                })
            })
        })?;
        Ok(Pass::Settled)
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: SCANNER.to_owned(), scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

fn alert(xml: &mut Xml<'_>) -> Result<Alert> {
    let mut alert = Alert::default();
    xml.children(&mut |xml, child| {
        match child.name.as_str() {
            "pluginid" => alert.plugin = xml.text()?,
            "alertRef" => alert.reference = xml.text()?,
            "name" => alert.name = xml.text()?,
            "alert" if alert.name.is_empty() => alert.name = xml.text()?,
            "riskcode" => alert.risk = xml.text()?,
            "confidence" => alert.confidence = xml.text()?,
            "desc" => alert.description = xml.text()?,
            "otherinfo" => alert.other = xml.text()?,
            "solution" => alert.solution = xml.text()?,
            "reference" => alert.references = xml.text()?,
            "cweid" => alert.cwe = xml.text()?,
            "wascid" => alert.wasc = xml.text()?,
            "instances" => xml.children(&mut |xml, child| {
                if child.name == "instance" {
                    alert.add(instance(xml)?);
                }
                Ok(())
            })?,
            // Before there were instances an alert had one address of its own.
            "uri" => alert.uri = Some(xml.text()?),
            "tags" => xml.children(&mut |xml, _| {
                xml.children(&mut |xml, part| {
                    match part.name.as_str() {
                        "tag" => alert.tags.push(xml.text()?),
                        "link" => alert.links.push(xml.text()?),
                        _ => {}
                    }
                    Ok(())
                })
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(alert)
}

fn instance(xml: &mut Xml<'_>) -> Result<Instance> {
    let mut instance = Instance::default();
    xml.children(&mut |xml, child| {
        let into = match child.name.as_str() {
            "uri" => &mut instance.uri,
            "method" => &mut instance.method,
            "param" => &mut instance.parameter,
            "attack" => &mut instance.attack,
            "evidence" => &mut instance.evidence,
            "requestheader" => &mut instance.request[0],
            "requestbody" => &mut instance.request[1],
            "responseheader" => &mut instance.response[0],
            "responsebody" => &mut instance.response[1],
            _ => return Ok(()),
        };
        *into = xml.text()?;
        Ok(())
    })?;
    Ok(instance)
}
