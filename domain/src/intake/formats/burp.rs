//! Burp Suite's XML report of issues.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::Result;
use crate::intake::format::{Emit, Entry, Pass, Reader};
use crate::intake::place::Meter;
use crate::intake::report::{ReportHead, Reported, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text::{self, EXCERPT};
use crate::intake::vex::{self, Vocabulary};
use crate::intake::web::{self, Address};
use crate::intake::xml::Xml;
use crate::vocabulary::terms::Severity;
use crate::vocabulary::time::Timestamp;

pub const FORMAT: Entry = Entry {
    key: "BURP_XML",
    label: "Burp Suite XML",
    media_types: &["application/xml", "text/xml"],
    extensions: &["xml"],
    scanner: "burp",
    counting: "Each `issue`: the same type of issue at another location is another finding. An issue whose severity \
         somebody set to false positive is a finding with the verdict FALSE_POSITIVE.",
    identity: "The scheme, host and port of `host`, the `type` of the issue, or else its name, and its `location`, or else \
         its `path`. The serial number is no part of it: it is another one in the next scan.",
    asset: "The host in `host`.",
    required: "The root `issues`; the `host`, and the `type` or `name`, of each issue.",
    severities: &[
        ("Information, False positive, absent", "info"),
        ("Low", "low"),
        ("Medium", "medium"),
        ("High", "high"),
        ("Critical", "critical"),
    ],
    fields: &[
        ("title", "`name`"),
        ("description", "`issueDetail`, `issueDetailItems` and `issueBackground`, as text without markup"),
        ("remediation", "`remediationDetail` and `remediationBackground`"),
        ("scanner_reference", "`type`"),
        ("cwe_ids", "`vulnerabilityClassifications`"),
        ("endpoint, port", "`host` with `path`; the port of `host`"),
        ("references", "the links in `references` and `vulnerabilityClassifications`"),
        ("tags", "`confidence:` with `confidence`, and the rest of the `location` in brackets"),
        ("excerpt", "the first request and response, decoded"),
        ("verdict", "FALSE_POSITIVE for the severity `False positive`"),
        ("time of the scan", "`exportTime`; the letters of its zone say no offset, so it is read as UTC"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| head.root.as_deref() == Some(ROOT) && head.has_attribute("burpVersion"),
    reader: |_| Ok(Box::new(Burp::default())),
};

const ROOT: &str = "issues";

#[derive(Clone, Default)]
struct Burp {
    scanned_at: Option<Timestamp>,
}

impl Reader for Burp {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        let meter = source.meter();
        let item_bytes = source.limits().item;
        source.xml(&mut |xml, root| {
            if root.name != ROOT {
                return Err(meter.malformed(format_args!("the root element is not `{ROOT}`")));
            }
            self.scanned_at = root.attribute("exportTime").and_then(text::time);
            xml.children(&mut |xml, tag| {
                if tag.name != "issue" {
                    return Ok(());
                }
                meter.fence(item_bytes);
                let reported = issue(xml)?.reported(&meter)?;
                meter.unfence();
                emit(FORMAT.scanner, reported)
            })
        })?;
        Ok(Pass::Settled)
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

/// An issue as it is written.
#[derive(Default)]
struct Issue {
    kind: String,
    name: String,
    host: String,
    path: String,
    location: String,
    severity: String,
    confidence: String,
    background: String,
    detail: String,
    items: String,
    remediation: String,
    remediation_detail: String,
    references: String,
    classifications: String,
    excerpt: Option<String>,
}

fn issue(xml: &mut Xml<'_>) -> Result<Issue> {
    let mut issue = Issue::default();
    xml.children(&mut |xml, tag| {
        let into = match tag.name.as_str() {
            "type" => &mut issue.kind,
            "name" => &mut issue.name,
            "host" => &mut issue.host,
            "path" => &mut issue.path,
            "location" => &mut issue.location,
            "severity" => &mut issue.severity,
            "confidence" => &mut issue.confidence,
            "issueBackground" => &mut issue.background,
            "issueDetail" => &mut issue.detail,
            "remediationBackground" => &mut issue.remediation,
            "remediationDetail" => &mut issue.remediation_detail,
            "references" => &mut issue.references,
            "vulnerabilityClassifications" => &mut issue.classifications,
            "issueDetailItems" => {
                return xml.children(&mut |xml, _| {
                    let item = xml.text()?;
                    if issue.items.len() < text::PAGE {
                        issue.items.push_str("- ");
                        issue.items.push_str(&web::plain(&item));
                        issue.items.push('\n');
                    }
                    Ok(())
                });
            }
            "requestresponse" if issue.excerpt.is_none() => {
                issue.excerpt = exchange(xml)?;
                return Ok(());
            }
            _ => return Ok(()),
        };
        *into = xml.text()?;
        Ok(())
    })?;
    Ok(issue)
}

/// The beginning of a request and its response, which may be in base64.
fn exchange(xml: &mut Xml<'_>) -> Result<Option<String>> {
    let (mut request, mut response) = (String::new(), String::new());
    xml.children(&mut |xml, tag| {
        let into = match tag.name.as_str() {
            "request" => &mut request,
            "response" => &mut response,
            _ => return Ok(()),
        };
        let written = xml.text()?;
        *into = if tag.attribute("base64") == Some("true") { decoded(&written) } else { written };
        Ok(())
    })?;
    Ok(web::exchange(&request, &response))
}

/// The beginning of what is written in base64; what is none stays as it is.
fn decoded(base64: &str) -> String {
    // Whole groups of four, enough for an excerpt.
    let beginning: Vec<u8> =
        base64.bytes().filter(|byte| !byte.is_ascii_whitespace()).take(EXCERPT / 3 * 4).collect();
    match STANDARD.decode(&beginning) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => base64.to_owned(),
    }
}

impl Issue {
    fn reported(self, meter: &Meter) -> Result<Reported> {
        let Some(address) = Address::of(&self.host) else {
            return Err(meter.malformed("an issue has no `host`"));
        };
        let (kind, name) = (self.kind.trim(), self.name.trim());
        let Some(reference) = [kind, name].into_iter().find(|id| !id.is_empty()) else {
            return Err(meter.malformed("an issue has neither a `type` nor a `name`"));
        };
        let word = self.severity.trim().to_ascii_lowercase();
        let severity = match word.as_str() {
            "" | "information" | "info" | "false positive" => Severity::Info,
            "low" => Severity::Low,
            "medium" => Severity::Medium,
            "high" => Severity::High,
            "critical" => Severity::Critical,
            _ => return Err(meter.malformed("`severity` is not one of Burp's")),
        };
        let (path, location) = (self.path.trim(), self.location.trim());
        let place = if location.is_empty() { path } else { location };
        let within = location
            .strip_prefix(path)
            .and_then(|rest| rest.trim().strip_prefix('[')?.strip_suffix(']'))
            .map(str::to_owned);
        let confidence = self.confidence.trim().to_ascii_lowercase();
        let [detail, background] = [&self.detail, &self.background].map(|html| web::plain(html));
        let remediation = [&self.remediation_detail, &self.remediation].map(|html| web::plain(html));
        let classifications = web::plain(&self.classifications);
        let mut references = web::links(&self.references);
        references.extend(web::links(&self.classifications));
        Ok(Reported {
            identity: vec![address.origin(), reference.to_owned(), place.to_owned()],
            asset: ReportedAsset { name: address.host, kind: Some("web_application".to_owned()) },
            title: name.to_owned(),
            description: text::paragraphs([detail.as_str(), &self.items, &background]),
            severity,
            scanner_reference: Some(reference.to_owned()),
            cwe_ids: classifications
                .lines()
                .filter(|line| line.contains("CWE-"))
                .filter_map(|line| text::cwe(line.trim_start_matches(['-', ' '])))
                .collect(),
            endpoint: Some(format!("{}{path}", self.host.trim().trim_end_matches('/'))),
            port: address.port,
            references,
            tags: (!confidence.is_empty())
                .then(|| format!("confidence:{confidence}"))
                .into_iter()
                .chain(within)
                .collect(),
            remediation: text::paragraphs(remediation.iter().map(String::as_str)),
            excerpt: self.excerpt,
            verdict: vex::verdict(Vocabulary::Burp, &word, Some(&word), None, None),
            ..Reported::default()
        })
    }
}
