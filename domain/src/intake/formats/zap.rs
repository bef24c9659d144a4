//! ZAP's traditional reports, in XML and in JSON, with or without requests and responses.

mod json;
mod xml;

use crate::error::Result;
use crate::intake::format::Entry;
use crate::intake::place::Meter;
use crate::intake::report::{Reported, ReportedAsset};
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::intake::web::{self, Address};
use crate::vocabulary::terms::Severity;

const SCANNER: &str = "zap";
const COUNTING: &str = "Each alert of each site is a finding, whatever the number of its instances, which are listed in the \
     description. An alert that somebody marked as a false positive (confidence 0) is a finding with the verdict FALSE_POSITIVE.";
const IDENTITY: &str =
    "The site's scheme, host and port, and the alert's `alertRef`, or else its `pluginid` and name.";
const ASSET: &str = "The host of the site's name.";
const SEVERITIES: &[(&str, &str)] = &[("0, absent", "info"), ("1", "low"), ("2", "medium"), ("3", "high")];
const FIELDS: &[(&str, &str)] = &[
    ("title", "`name`, or else `alert`"),
    ("description", "`desc`, `otherinfo`, and a line for each instance, as text without markup"),
    ("remediation", "`solution`"),
    ("scanner_reference", "`alertRef`, or else `pluginid`"),
    ("cwe_ids", "`cweid`"),
    ("endpoint, port", "the `uri` of the first instance, or else the site; the port of the site"),
    ("references", "`reference` line by line, and the `link` of each tag"),
    ("tags", "the name of each tag, `WASC-` with `wascid`, and `confidence:` with the word for it"),
    ("excerpt", "request and response of the first instance, or else its `evidence`"),
    ("verdict", "FALSE_POSITIVE for confidence 0"),
    ("time of the scan", "`created`, or else `generated`, which has no zone and is read as UTC"),
];

pub const XML: Entry = Entry {
    key: "ZAP_XML",
    label: "ZAP XML",
    media_types: &["application/xml", "text/xml"],
    extensions: &["xml"],
    scanner: SCANNER,
    counting: COUNTING,
    identity: IDENTITY,
    asset: ASSET,
    required: "The root `OWASPZAPReport`; the `name` of each site; `pluginid` or `alertRef`, or a name, of each alert.",
    severities: SEVERITIES,
    fields: FIELDS,
    mapped: false,
    vex: None,
    sniff: |head| head.root.as_deref() == Some(xml::ROOT),
    reader: |_| Ok(Box::new(xml::Report::default())),
};

pub const JSON: Entry = Entry {
    key: "ZAP_JSON",
    label: "ZAP JSON",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: SCANNER,
    counting: COUNTING,
    identity: IDENTITY,
    asset: ASSET,
    required: "`site`, which may be empty; the `@name` of each site; `pluginid` or `alertRef`, or a name, of each alert.",
    severities: SEVERITIES,
    fields: FIELDS,
    mapped: false,
    vex: None,
    sniff: |head| !head.array && head.has("site") && (head.has("@version") || head.has("@generated")),
    reader: |_| Ok(Box::new(json::Report::default())),
};

/// An alert, from either form. Texts may have markup.
#[derive(Default)]
struct Alert {
    plugin: String,
    reference: String,
    name: String,
    risk: String,
    confidence: String,
    description: String,
    other: String,
    solution: String,
    references: String,
    cwe: String,
    wasc: String,
    tags: Vec<String>,
    links: Vec<String>,
    /// The address of the first instance.
    uri: Option<String>,
    /// A line for each instance.
    instances: String,
    excerpt: Option<String>,
}

/// What is found at one address.
#[derive(Default)]
struct Instance {
    uri: String,
    method: String,
    parameter: String,
    attack: String,
    evidence: String,
    request: [String; 2],
    response: [String; 2],
}

impl Alert {
    fn add(&mut self, instance: Instance) {
        let Instance { uri, method, parameter, attack, evidence, request, response } = instance;
        if self.instances.len() < text::PAGE {
            let line = [
                (method.trim(), ""),
                (uri.trim(), ""),
                (parameter.trim(), "parameter: "),
                (attack.trim(), "attack: "),
                (evidence.trim(), "evidence: "),
            ];
            let line: Vec<String> = line
                .into_iter()
                .filter(|(value, _)| !value.is_empty())
                .map(|(value, label)| format!("{label}{}", text::beginning(value, text::REFERENCE)))
                .collect();
            self.instances.push_str(&line.join(" "));
            self.instances.push('\n');
        }
        if self.uri.is_none() {
            self.uri = Some(uri);
            self.excerpt = web::exchange(&request.join("\n"), &response.join("\n")).or(Some(evidence));
        }
    }

    fn reported(self, site: &str, meter: &Meter) -> Result<Reported> {
        let Some(address) = Address::of(site) else {
            return Err(meter.malformed("a site has no name that is an address"));
        };
        let severity = match self.risk.trim() {
            "" | "0" => Severity::Info,
            "1" => Severity::Low,
            "2" => Severity::Medium,
            "3" => Severity::High,
            _ => return Err(meter.malformed("`riskcode` is not one of 0 to 3")),
        };
        let confidence = match self.confidence.trim() {
            "0" => Some("false positive"),
            "1" => Some("low"),
            "2" => Some("medium"),
            "3" => Some("high"),
            "4" => Some("confirmed"),
            _ => None,
        };
        let (plugin, name) = (self.plugin.trim(), self.name.trim());
        let reference = [self.reference.trim(), plugin].into_iter().find(|id| !id.is_empty());
        let identity = match self.reference.trim() {
            "" if plugin.is_empty() && name.is_empty() => {
                return Err(meter.malformed("an alert has neither an id nor a name"));
            }
            "" => vec![address.origin(), plugin.to_owned(), name.to_owned()],
            own => vec![address.origin(), own.to_owned()],
        };
        let parts = [web::plain(&self.description), web::plain(&self.other), self.instances];
        Ok(Reported {
            asset: ReportedAsset { name: address.host, kind: Some("web_application".to_owned()) },
            identity,
            title: web::plain(name),
            description: text::paragraphs(parts.iter().map(String::as_str)),
            severity,
            scanner_reference: reference.map(str::to_owned),
            cwe_ids: text::cwe(&self.cwe).into_iter().collect(),
            endpoint: self.uri.filter(|uri| !uri.trim().is_empty()).or_else(|| Some(site.to_owned())),
            port: address.port,
            references: web::plain(&self.references).lines().map(str::to_owned).chain(self.links).collect(),
            tags: self
                .tags
                .into_iter()
                .chain(
                    self.wasc.trim().parse().ok().filter(|id: &u32| *id > 0).map(|id| format!("WASC-{id}")),
                )
                .chain(confidence.map(|word| format!("confidence:{word}")))
                .collect(),
            remediation: Some(web::plain(&self.solution)),
            excerpt: self.excerpt,
            verdict: confidence.and_then(|word| vex::verdict(Vocabulary::Zap, word, confidence, None, None)),
            ..Reported::default()
        })
    }
}
