//! Qualys: the report of scanned hosts (`ASSET_DATA_REPORT`), whose glossary comes after what refers
//! to it, and the host list of detections (`HOST_LIST_VM_DETECTION_OUTPUT`), which has none.

mod detection;
mod glossary;

use crate::error::Result;
use crate::intake::format::{Emit, Entry, Pass, Reader};
use crate::intake::formats::qualys::detection::Detection;
use crate::intake::formats::qualys::glossary::Glossary;
use crate::intake::late::{Late, Scope};
use crate::intake::limits::Limits;
use crate::intake::place::Meter;
use crate::intake::report::{ReportHead, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::xml::Xml;
use crate::vocabulary::time::Timestamp;

pub const FORMAT: Entry = Entry {
    key: "QUALYS_XML",
    label: "Qualys VM XML",
    media_types: &["application/xml", "text/xml"],
    extensions: &["xml"],
    scanner: "qualys",
    counting: "Each `VULN_INFO` (scan report) or `DETECTION` (detection list) of each host, potential vulnerabilities and \
         gathered information too. A detection with the status Fixed is a finding with the verdict FIXED; one that is \
         ignored or disabled has the verdict ACCEPTED_RISK.",
    identity: "The QID, the port, the protocol, and the `INSTANCE` where there is one.",
    asset: "By the host's tracking method: its IP address, its DNS name or its NetBIOS name; for any other method the \
         DNS name, or else the NetBIOS name or the IP address.",
    required: "The root `ASSET_DATA_REPORT` or `HOST_LIST_VM_DETECTION_OUTPUT`; a name or an address before the detections \
         of each host, and the `QID` of each of these.",
    severities: &[
        ("1, absent; any of the types Ig and Info", "info"),
        ("2", "low"),
        ("3", "medium"),
        ("4", "high"),
        ("5", "critical"),
    ],
    fields: &[
        ("title", "`TITLE` of the glossary; without one `QID` and the number"),
        ("description", "`THREAT` and `IMPACT` of the glossary, as text without markup"),
        ("remediation, fix_available", "`SOLUTION` of the glossary; `PATCHABLE`"),
        ("severity", "`SEVERITY` of the detection, or else of the glossary"),
        ("class", "VULNERABILITY"),
        ("vulnerability_type", "`confirmed`, `potential` or `information`, by the `TYPE`"),
        ("scanner_category", "`CATEGORY` of the glossary"),
        ("scanner_reference", "the QID"),
        ("cvss_score, cvss_vector", "`CVSS3_BASE` of the glossary, or else `CVSS_BASE`"),
        ("cve_ids", "`CVE_ID_LIST` of the glossary"),
        ("known_exploit", "true where `CORRELATION` lists an exploit or malware"),
        ("endpoint, port", "`FQDN`, or else the host's name, with port and protocol; `PORT`"),
        ("references", "the addresses in `VENDOR_REFERENCE_LIST` and `CVE_ID_LIST`"),
        ("tags", "`SERVICE`, the id of each vendor reference, `ssl`, `pci`"),
        ("first_seen_at", "`FIRST_FOUND`, `FIRST_FOUND_DATETIME`"),
        ("excerpt", "`RESULT`, `RESULTS`"),
        ("verdict", "FIXED for the status Fixed; else ACCEPTED_RISK, justified by `ignored` or `disabled`"),
        ("time of the scan", "`GENERATION_DATETIME`, or else `DATETIME` of the response"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| head.root.as_deref().is_some_and(|root| ROOTS.contains(&root)),
    reader: |_| Ok(Box::new(Qualys::default())),
};

const ROOTS: [&str; 2] = ["ASSET_DATA_REPORT", "HOST_LIST_VM_DETECTION_OUTPUT"];

#[derive(Clone, Default)]
struct Qualys {
    scanned_at: Option<Timestamp>,
    glossaries: Late<Glossary>,
}

/// What the reading of a host needs.
struct Pen<'p> {
    meter: &'p Meter,
    limits: &'p Limits,
    emit: Emit<'p>,
}

impl Reader for Qualys {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.glossaries.rewind();
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut glossary = self.glossaries.begin();
        let scanned_at = &mut self.scanned_at;
        let mut pen = Pen { meter: &meter, limits: &limits, emit };
        source.xml(&mut |xml, root| {
            if !ROOTS.contains(&root.name.as_str()) {
                let [one, other] = ROOTS;
                return Err(
                    meter.malformed(format_args!("the root element is neither `{one}` nor `{other}`"))
                );
            }
            part(xml, scanned_at, &mut glossary, &mut pen)
        })?;
        self.glossaries.end(glossary, &limits, &meter)?;
        Ok(Pass::again(self.glossaries.again()))
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

/// A part of the report; the detection list has its own within `RESPONSE`.
fn part(
    xml: &mut Xml<'_>,
    scanned_at: &mut Option<Timestamp>,
    glossary: &mut Scope<Glossary>,
    pen: &mut Pen<'_>,
) -> Result<()> {
    xml.children(&mut |xml, tag| match tag.name.as_str() {
        "RESPONSE" | "HEADER" => part(xml, scanned_at, glossary, pen),
        "GENERATION_DATETIME" | "DATETIME" => {
            *scanned_at = text::time(&xml.text()?);
            Ok(())
        }
        "HOST_LIST" => xml.children(&mut |xml, tag| match tag.name.as_str() {
            "HOST" => host(xml, glossary, pen),
            _ => Ok(()),
        }),
        "GLOSSARY" => glossary::read(xml, glossary, pen.limits, pen.meter),
        _ => Ok(()),
    })
}

fn host(xml: &mut Xml<'_>, glossary: &mut Scope<Glossary>, pen: &mut Pen<'_>) -> Result<()> {
    let (mut ip, mut dns) = (String::new(), String::new());
    let (mut netbios, mut tracked) = (String::new(), String::new());
    xml.children(&mut |xml, tag| {
        let into = match tag.name.as_str() {
            "IP" | "IPV6" if ip.is_empty() => &mut ip,
            "DNS" => &mut dns,
            "NETBIOS" => &mut netbios,
            "TRACKING_METHOD" => &mut tracked,
            "VULN_INFO_LIST" | "DETECTION_LIST" => {
                let asset = asset(&ip, &dns, &netbios, &tracked);
                let Some(asset) = asset else {
                    return Err(
                        xml.malformed("a host has neither a name nor an address before its detections")
                    );
                };
                return xml.children(&mut |xml, tag| {
                    if !matches!(tag.name.as_str(), "VULN_INFO" | "DETECTION") {
                        return Ok(());
                    }
                    pen.meter.fence(pen.limits.item);
                    let detection = Detection::read(xml)?;
                    pen.meter.unfence();
                    let reported = detection.reported(&asset, glossary.used(), pen.meter)?;
                    (pen.emit)(FORMAT.scanner, reported)
                });
            }
            _ => return Ok(()),
        };
        *into = xml.text()?.trim().to_owned();
        Ok(())
    })
}

fn asset(ip: &str, dns: &str, netbios: &str, tracked: &str) -> Option<ReportedAsset> {
    let order = match tracked {
        "IP" => [ip, dns, netbios],
        "NETBIOS" => [netbios, dns, ip],
        _ => [dns, netbios, ip],
    };
    let name = order.into_iter().find(|name| !name.is_empty())?.to_ascii_lowercase();
    Some(ReportedAsset { name, kind: Some("host".to_owned()) })
}
