//! What was detected on a host, in either form of the report.

use super::glossary::Glossary;
use crate::error::Result;
use crate::intake::place::Meter;
use crate::intake::report::{Reported, ReportedAsset, Verdict};
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::intake::xml::Xml;
use crate::vocabulary::terms::Severity;

/// A `VULN_INFO` or a `DETECTION`.
#[derive(Default)]
pub struct Detection {
    qid: String,
    kind: String,
    severity: String,
    port: String,
    protocol: String,
    service: String,
    fqdn: String,
    instance: String,
    ssl: String,
    result: String,
    status: String,
    first_found: String,
    ignored: String,
    disabled: String,
}

impl Detection {
    pub fn read(xml: &mut Xml<'_>) -> Result<Self> {
        let mut read = Self::default();
        xml.children(&mut |xml, tag| {
            let into = match tag.name.as_str() {
                "QID" => &mut read.qid,
                "TYPE" => &mut read.kind,
                "SEVERITY" => &mut read.severity,
                "PORT" => &mut read.port,
                "PROTOCOL" => &mut read.protocol,
                "SERVICE" => &mut read.service,
                "FQDN" => &mut read.fqdn,
                "INSTANCE" => &mut read.instance,
                "SSL" => &mut read.ssl,
                "RESULT" | "RESULTS" => &mut read.result,
                "VULN_STATUS" | "STATUS" => &mut read.status,
                "FIRST_FOUND" | "FIRST_FOUND_DATETIME" => &mut read.first_found,
                "IS_IGNORED" => &mut read.ignored,
                "IS_DISABLED" => &mut read.disabled,
                _ => return Ok(()),
            };
            *into = xml.text()?.trim().to_owned();
            Ok(())
        })?;
        Ok(read)
    }

    pub fn reported(self, asset: &ReportedAsset, glossary: &Glossary, meter: &Meter) -> Result<Reported> {
        if self.qid.is_empty() {
            return Err(meter.malformed("a detection has no `QID`"));
        }
        let port: u16 = match self.port.as_str() {
            "" => 0,
            port => port.parse().map_err(|_| meter.malformed("`PORT` is not a port"))?,
        };
        let details = glossary.details.get(&self.qid).cloned().unwrap_or_default();
        let kind = match self.kind.as_str() {
            "Ig" | "Info" => Some("information"),
            "Practice" | "Potential" => Some("potential"),
            "Vuln" | "Confirmed" => Some("confirmed"),
            _ => None,
        };
        let level = if self.severity.is_empty() { &details.severity } else { &self.severity };
        let severity = match level.as_str() {
            "" | "1" | "2" | "3" | "4" | "5" if kind == Some("information") => Severity::Info,
            "" | "1" => Severity::Info,
            "2" => Severity::Low,
            "3" => Severity::Medium,
            "4" => Severity::High,
            "5" => Severity::Critical,
            _ => return Err(meter.malformed("`SEVERITY` is not one of 1 to 5")),
        };
        let protocol = self.protocol.to_ascii_lowercase();
        let host = if self.fqdn.is_empty() { &asset.name } else { &self.fqdn };
        let endpoint = match protocol.as_str() {
            _ if port == 0 => None,
            "" => Some(format!("{host}:{port}")),
            _ => Some(format!("{host}:{port}/{protocol}")),
        };
        let (score, vector) = cvss(details.cvss3.as_deref().or(details.cvss2.as_deref()));
        let flags = [(matches!(self.ssl.as_str(), "1" | "true"), "ssl"), (details.pci, "pci")];
        let description = text::paragraphs([details.threat.as_str(), details.impact.as_str()]);
        let verdict = self.verdict();
        Ok(Reported {
            asset: asset.clone(),
            identity: vec![self.qid.clone(), port.to_string(), protocol, self.instance],
            title: if details.title.is_empty() { format!("QID {}", self.qid) } else { details.title },
            description,
            severity,
            scanner_category: Some(details.category),
            scanner_reference: Some(self.qid),
            vulnerability_type: kind.map(str::to_owned),
            cvss_score: score,
            cvss_vector: vector,
            known_exploit: details.exploited.then_some(true),
            cve_ids: details.cves.iter().filter_map(|id| text::cve(id)).collect(),
            endpoint,
            port: Some(port).filter(|port| *port > 0),
            references: details.links,
            tags: Some(self.service)
                .into_iter()
                .chain(details.vendor_ids)
                .chain(flags.into_iter().filter(|(there, _)| *there).map(|(_, flag)| flag.to_owned()))
                .collect(),
            fix_available: details.patchable,
            remediation: Some(details.solution),
            first_seen_at: text::time(&self.first_found),
            excerpt: Some(text::beginning(&self.result, text::EXCERPT).to_owned()),
            verdict,
            ..Reported::default()
        })
    }

    fn verdict(&self) -> Option<Verdict> {
        let why = match () {
            () if self.status.eq_ignore_ascii_case("Fixed") => "fixed",
            () if self.ignored == "1" => "ignored",
            () if self.disabled == "1" => "disabled",
            () => return None,
        };
        vex::verdict(Vocabulary::Qualys, why, Some(why), None, None)
    }
}

/// The score and the vector of `8.1 (AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H)`, or the score alone.
fn cvss(base: Option<&str>) -> (Option<f64>, Option<String>) {
    let Some(base) = base else { return (None, None) };
    let (score, vector) = base.split_once('(').unwrap_or((base, ""));
    let vector = vector.trim_end_matches([')', ' ']);
    // Version 3 has privileges required, which version 2 has not; only its vectors name their version.
    let prefix = if vector.contains("PR:") && !vector.starts_with("CVSS:") { "CVSS:3.1/" } else { "" };
    (score.trim().parse().ok(), (!vector.is_empty()).then(|| format!("{prefix}{vector}")))
}
