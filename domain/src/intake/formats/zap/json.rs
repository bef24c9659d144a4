//! The JSON form, whose sites may be named after their alerts.

use serde::Deserialize;

use super::{Alert, Instance, SCANNER};
use crate::error::Result;
use crate::intake::format::{Emit, Pass, Reader};
use crate::intake::json::{Value, or_default};
use crate::intake::late::{Late, Weight};
use crate::intake::lenient::Texts;
use crate::intake::limits::Limits;
use crate::intake::place::Meter;
use crate::intake::report::ReportHead;
use crate::intake::source::Source;
use crate::intake::text;
use crate::vocabulary::time::Timestamp;

#[derive(Clone, Default)]
pub struct Report {
    scanned_at: Option<Timestamp>,
    sites: Late<Site>,
}

#[derive(Clone, Debug, Default)]
struct Site {
    name: String,
}

impl Weight for Site {
    fn weight(&self) -> usize {
        self.name.len() + 64
    }
}

impl Reader for Report {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.sites.rewind();
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut has_sites = false;
        let (mut created, mut generated) = (None, None);
        source.json(&mut |root| {
            root.object(&mut |name, value| match name {
                "site" => {
                    has_sites = true;
                    value.array(&mut |site| self.site(site, &limits, &meter, emit))
                }
                "created" => {
                    created = text::time(value.get::<Texts>()?.word());
                    Ok(())
                }
                "@generated" => {
                    generated = text::time(value.get::<Texts>()?.word());
                    Ok(())
                }
                _ => Ok(()),
            })
        })?;
        if !has_sites {
            return Err(meter.malformed("it has no `site`"));
        }
        self.scanned_at = created.or(generated);
        Ok(Pass::again(self.sites.again()))
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: SCANNER.to_owned(), scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

impl Report {
    fn site(&mut self, value: Value<'_>, limits: &Limits, meter: &Meter, emit: Emit<'_>) -> Result<()> {
        let mut site = self.sites.begin();
        let mut unnamed = false;
        value.object(&mut |name, value| match name {
            "@name" => {
                let name = value.get::<Texts>()?.into_first().unwrap_or_default();
                site.learn(|site| site.name = name);
                Ok(())
            }
            "alerts" => value.array(&mut |alert| {
                let alert = Alert::from(alert.get::<Written>()?);
                let name = &site.used().name;
                // The name may come yet; an alert stands for itself until then.
                unnamed |= name.is_empty();
                let name = if name.is_empty() { "unnamed" } else { name };
                emit(SCANNER, alert.reported(name, meter)?)
            }),
            _ => Ok(()),
        })?;
        if unnamed && site.so_far().name.is_empty() {
            return Err(meter.malformed("a site has no `@name`"));
        }
        self.sites.end(site, limits, meter)
    }
}

/// An alert as it is written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    pluginid: Texts,
    #[serde(rename = "alertRef")]
    alert_ref: Texts,
    alert: Texts,
    name: Texts,
    riskcode: Texts,
    confidence: Texts,
    desc: Texts,
    otherinfo: Texts,
    solution: Texts,
    reference: Texts,
    cweid: Texts,
    wascid: Texts,
    #[serde(deserialize_with = "or_default")]
    instances: Vec<WrittenInstance>,
    #[serde(deserialize_with = "or_default")]
    tags: Vec<Tag>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct WrittenInstance {
    uri: Texts,
    method: Texts,
    param: Texts,
    attack: Texts,
    evidence: Texts,
    request_header: Texts,
    request_body: Texts,
    response_header: Texts,
    response_body: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tag {
    tag: Texts,
    link: Texts,
}

impl From<Written> for Alert {
    fn from(written: Written) -> Self {
        let one = |texts: Texts| texts.into_first().unwrap_or_default();
        let mut alert = Self {
            plugin: one(written.pluginid),
            reference: one(written.alert_ref),
            name: written.name.into_first().or_else(|| written.alert.into_first()).unwrap_or_default(),
            risk: one(written.riskcode),
            confidence: one(written.confidence),
            description: one(written.desc),
            other: one(written.otherinfo),
            solution: one(written.solution),
            references: one(written.reference),
            cwe: one(written.cweid),
            wasc: one(written.wascid),
            ..Self::default()
        };
        for tag in written.tags {
            alert.tags.extend(tag.tag.into_first());
            alert.links.extend(tag.link.into_first());
        }
        for instance in written.instances {
            alert.add(Instance {
                uri: one(instance.uri),
                method: one(instance.method),
                parameter: one(instance.param),
                attack: one(instance.attack),
                evidence: one(instance.evidence),
                request: [one(instance.request_header), one(instance.request_body)],
                response: [one(instance.response_header), one(instance.response_body)],
            });
        }
        alert
    }
}
