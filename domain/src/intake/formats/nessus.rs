//! Nessus version 2, the `.nessus` file of Tenable Nessus, and of Tenable's web application scans.

use crate::error::Result;
use crate::intake::format::{Emit, Entry, Pass, Reader};
use crate::intake::report::{ReportHead, Reported, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::xml::{Tag, Xml};
use crate::vocabulary::terms::{FindingClass, Severity};
use crate::vocabulary::time::Timestamp;

pub const FORMAT: Entry = Entry {
    key: "NESSUS_XML",
    label: "Nessus v2 XML",
    media_types: &["application/xml", "text/xml"],
    extensions: &["nessus", "xml"],
    scanner: "nessus",
    counting: "Each `ReportItem` of each `ReportHost`, whatever its severity: what Nessus calls informational \
         (severity 0) is a finding of severity info. A plugin that reports several times for the same port and \
         protocol of a host makes one finding. A compliance check that passed (`compliance-result` PASSED) is not a finding.",
    identity: "The plugin's id, the port and the protocol; of a compliance check also its `compliance-check-id`, or \
         else its `compliance-check-name`.",
    asset: "The `name` of the `ReportHost`.",
    required: "The root `NessusClientData_v2`; the `name` of each host, and the `pluginID` of each item.",
    severities: &[("0, absent", "info"), ("1", "low"), ("2", "medium"), ("3", "high"), ("4", "critical")],
    fields: &[
        ("title", "`compliance-check-name`, or else `pluginName`, or else `plugin_name`"),
        ("description", "`synopsis` and `description`"),
        ("class", "COMPLIANCE for compliance plugins (those with a `compliance-result`), else VULNERABILITY"),
        ("scanner_reference", "`pluginID`"),
        ("scanner_category", "`pluginFamily`"),
        (
            "cvss_score, cvss_vector",
            "`cvss4…`, or else `cvss3…` or `cvssv3`, or else `cvss…`: base score and vector together",
        ),
        ("cve_ids, cwe_ids", "`cve`; `cwe`, and each `xref` to CWE"),
        (
            "known_exploit",
            "`exploit_available`, or any of `exploited_by_malware`, `exploited_by_nessus`, `in_the_news` for true",
        ),
        ("port", "`port`, unless it is 0"),
        (
            "endpoint",
            "the host's name with port and protocol, unless the port is 0; the name alone where it is an address",
        ),
        ("references", "`see_also` line by line"),
        ("tags", "`svc_name`, and each `xref`"),
        ("remediation, fix_available", "`solution`; `patch_publication_date` for true"),
        ("excerpt", "`plugin_output`"),
        (
            "time of the scan",
            "the latest `HOST_END_TIMESTAMP`, or else `HOST_END`, of the hosts; without a zone it is read as UTC",
        ),
    ],
    mapped: false,
    vex: None,
    sniff: |head| head.root.as_deref() == Some(ROOT),
    reader: |_| Ok(Box::new(Nessus::default())),
};

const ROOT: &str = "NessusClientData_v2";

#[derive(Clone, Default)]
struct Nessus {
    scanned_at: Option<Timestamp>,
}

impl Reader for Nessus {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        let meter = source.meter();
        let item_bytes = source.limits().item;
        source.xml(&mut |xml, root| {
            if root.name != ROOT {
                return Err(meter.malformed(format_args!("the root element is not `{ROOT}`")));
            }
            xml.children(&mut |xml, part| match part.name.as_str() {
                "Report" => xml.children(&mut |xml, host| match host.name.as_str() {
                    "ReportHost" => {
                        let Some(name) = host.attribute("name").map(str::to_owned) else {
                            return Err(meter.malformed("a host has no name"));
                        };
                        let mut asset = ReportedAsset { name, kind: Some("host".to_owned()) };
                        xml.children(&mut |xml, tag| match tag.name.as_str() {
                            "HostProperties" => self.properties(xml, &mut asset),
                            "ReportItem" => {
                                meter.fence(item_bytes);
                                let reported = item(xml, tag, &asset)?;
                                meter.unfence();
                                reported.map_or(Ok(()), |reported| emit(FORMAT.scanner, reported))
                            }
                            _ => Ok(()),
                        })
                    }
                    _ => Ok(()),
                }),
                _ => Ok(()),
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

impl Nessus {
    fn properties(&mut self, xml: &mut Xml<'_>, asset: &mut ReportedAsset) -> Result<()> {
        let (mut ended, mut exactly) = (None, None);
        xml.children(&mut |xml, tag| {
            match tag.attribute("name") {
                Some("HOST_END") => ended = text::time(&xml.text()?),
                Some("HOST_END_TIMESTAMP") => exactly = text::time(&xml.text()?),
                Some("system-type") if xml.text()?.trim() == "web_application" => {
                    asset.kind = Some("web_application".to_owned());
                }
                _ => {}
            }
            Ok(())
        })?;
        self.scanned_at = self.scanned_at.max(exactly.or(ended));
        Ok(())
    }
}

/// A score with its vector.
#[derive(Default)]
struct Cvss {
    score: Option<f64>,
    vector: Option<String>,
}

/// `None` for a compliance check that passed.
fn item(xml: &mut Xml<'_>, tag: &Tag, asset: &ReportedAsset) -> Result<Option<Reported>> {
    let Some(plugin) = tag.attribute("pluginID") else {
        return Err(xml.malformed("an item has no `pluginID`"));
    };
    let port: u16 = match tag.attribute("port") {
        None => 0,
        Some(port) => port.parse().map_err(|_| xml.malformed("`port` is not a port"))?,
    };
    let protocol = tag.attribute("protocol").unwrap_or_default().to_ascii_lowercase();
    let severity = match tag.attribute("severity") {
        None | Some("0") => Severity::Info,
        Some("1") => Severity::Low,
        Some("2") => Severity::Medium,
        Some("3") => Severity::High,
        Some("4") => Severity::Critical,
        Some(_) => return Err(xml.malformed("`severity` is not one of 0 to 4")),
    };
    let mut reported = Reported {
        asset: asset.clone(),
        identity: vec![plugin.to_owned(), port.to_string(), protocol.clone()],
        severity,
        title: tag.attribute("pluginName").unwrap_or_default().to_owned(),
        scanner_reference: Some(plugin.to_owned()),
        scanner_category: tag.attribute("pluginFamily").map(str::to_owned),
        port: Some(port).filter(|port| *port > 0),
        endpoint: (port > 0).then(|| endpoint(&asset.name, port, &protocol)),
        tags: tag
            .attribute("svc_name")
            .filter(|name| *name != "general")
            .map(str::to_owned)
            .into_iter()
            .collect(),
        ..Reported::default()
    };
    let mut cvss: [Cvss; 3] = Default::default();
    let (mut synopsis, mut description) = (String::new(), String::new());
    let (mut check_id, mut check_name, mut passed) = (String::new(), String::new(), false);
    xml.children(&mut |xml, child| {
        let name = child.name.as_str();
        match name {
            "plugin_name" if reported.title.is_empty() => reported.title = xml.text()?,
            "synopsis" => synopsis = xml.text()?,
            "description" => description = xml.text()?,
            "solution" => reported.remediation = Some(xml.text()?).filter(|text| text.trim() != "n/a"),
            "plugin_output" => {
                let output = xml.text()?;
                reported.excerpt = Some(text::beginning(output.trim(), text::EXCERPT).to_owned());
            }
            "cve" => reported.cve_ids.extend(text::cve(&xml.text()?)),
            "cwe" => reported.cwe_ids.extend(text::cwe(&xml.text()?)),
            "xref" => {
                let reference = xml.text()?;
                if reference.starts_with("CWE") {
                    reported.cwe_ids.extend(text::cwe(&reference));
                }
                reported.tags.push(reference);
            }
            "see_also" => reported.references.extend(xml.text()?.lines().map(str::to_owned)),
            "exploit_available" => {
                let there = xml.text()?.trim() == "true";
                reported.known_exploit = reported.known_exploit.max(Some(there));
            }
            "exploited_by_malware" | "exploited_by_nessus" | "in_the_news" => {
                let happened = (xml.text()?.trim() == "true").then_some(true);
                reported.known_exploit = reported.known_exploit.max(happened);
            }
            "patch_publication_date" => reported.fix_available = Some(true),
            "compliance-result" => {
                reported.class = FindingClass::Compliance;
                passed = xml.text()?.trim().eq_ignore_ascii_case("PASSED");
            }
            "compliance-check-id" => check_id = xml.text()?,
            "compliance-check-name" => check_name = xml.text()?,
            "cvss4_base_score" => cvss[0].score = xml.text()?.trim().parse().ok(),
            "cvss4_vector" => cvss[0].vector = Some(xml.text()?),
            "cvss3_base_score" | "cvssv3" => cvss[1].score = xml.text()?.trim().parse().ok(),
            "cvss3_vector" => cvss[1].vector = Some(xml.text()?),
            "cvss_base_score" | "cvss" => cvss[2].score = xml.text()?.trim().parse().ok(),
            "cvss_vector" => {
                cvss[2].vector = Some(xml.text()?.trim().trim_start_matches("CVSS2#").to_owned())
            }
            _ => {}
        }
        Ok(())
    })?;
    if let Some(best) = cvss.into_iter().find(|cvss| cvss.score.is_some()) {
        reported.cvss_score = best.score;
        reported.cvss_vector = best.vector;
    }
    let both = [synopsis.trim(), description.trim()];
    reported.description =
        Some(both.iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>().join("\n\n"));
    if reported.class == FindingClass::Compliance {
        let check = if check_id.is_empty() { &check_name } else { &check_id };
        reported.identity.push(check.clone());
    }
    if !check_name.trim().is_empty() {
        reported.title = check_name;
    }
    if reported.title.trim().is_empty() {
        reported.title = format!("Plugin {plugin}");
    }
    Ok(Some(reported).filter(|_| !passed))
}

fn endpoint(host: &str, port: u16, protocol: &str) -> String {
    match protocol {
        _ if host.contains("://") => host.to_owned(),
        "" => format!("{host}:{port}"),
        _ => format!("{host}:{port}/{protocol}"),
    }
}
