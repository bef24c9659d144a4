//! CSAF 2.0: security advisories and VEX.

mod advisory;
mod vulnerability;

use crate::error::Result;
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::formats::csaf::advisory::Advisory;
use crate::intake::formats::csaf::vulnerability::Vulnerability;
use crate::intake::late::Late;
use crate::intake::report::ReportHead;
use crate::intake::source::Source;
use crate::intake::text;
use crate::vocabulary::time::Timestamp;

pub const FORMAT: Entry = Entry {
    key: "CSAF",
    label: "CSAF 2.0",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "csaf",
    counting: "Each pair of a vulnerability and a product in its `product_status`, once however many lists have the product; of \
         several lists the first counts, affected before under investigation, not affected and fixed. Whatever the list: what is \
         not affected or fixed is a finding with a verdict (see the table of verdicts). A product that is only `recommended` is none. \
         A vulnerability that names no product is one finding.",
    identity: "The vulnerability (its `cve`, or else the first of `ids`, or else its title, or else its place in the document) and the \
         full name of the product, with its version; its id where the tree does not have it.",
    asset: "The asset that the caller names, or else the product without its version: the vendor and the product of its \
         branches, or else its full name; of a component of another product that other product.",
    required: "`document` with `csaf_version` 2.0.",
    severities: &[
        ("none, informational", "info"),
        ("low", "low"),
        ("moderate, medium", "medium"),
        ("important, high", "high"),
        ("critical", "critical"),
    ],
    fields: &[
        ("title", "`title` of the vulnerability, or else its id, and the product"),
        ("description", "`notes` of the category description, or else summary or details"),
        (
            "severity",
            "of the CVSS score of the product; or else a threat of the category impact, or else `aggregate_severity`, where it is one \
             of these words; or else info",
        ),
        ("vulnerability_type", "`vulnerable_package`"),
        ("scanner_category", "`category` of the document"),
        ("scanner_reference", "`cve`, or else the first of `ids`"),
        ("cvss_score, cvss_vector", "`scores` of the product: version 4, or else 3, or else 2"),
        ("cve_ids, cwe_ids", "`cve`; `cwe`"),
        (
            "component_name, component_version, component_purl",
            "the product, or of a relationship the component: its branches of the categories product_name and product_version \
             (or product_version_range), its `purl`",
        ),
        ("remediation", "`remediations` for the product and those for all"),
        ("fix_available", "true for a remediation vendor_fix, false for none_available or no_fix_planned"),
        ("references", "`url` of `references` and of the product's remediations"),
        ("tags", "the list of `product_status`; `tracking.id`"),
        (
            "verdict",
            "the list of `product_status` and the `label` of a flag (or the words that begin a remediation); a threat of the category \
             impact; the publisher's name",
        ),
        ("excerpt", "the beginning of the vulnerability"),
        ("time of the scan", "`tracking.current_release_date`"),
    ],
    mapped: false,
    vex: Some("each that a list of `product_status` names"),
    sniff: |head| {
        !head.array
            && head.has("document")
            && (head.has_inside("csaf_version") || head.has("product_tree") || head.has("vulnerabilities"))
    },
    reader: |plan| Ok(Box::new(Csaf::new(plan))),
};

const VERSION: &str = "2.0";

#[derive(Clone, Default)]
struct Csaf {
    /// The asset that the caller names.
    asset: Option<String>,
    scanned_at: Option<Timestamp>,
    advisories: Late<Advisory>,
}

impl Csaf {
    fn new(plan: &Plan<'_>) -> Self {
        Self { asset: plan.asset.map(str::to_owned), ..Self::default() }
    }
}

impl Reader for Csaf {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.advisories.rewind();
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut advisory = self.advisories.begin();
        let (mut version, mut number) = (None, 0_u64);
        source.json(&mut |root| {
            root.object(&mut |name, value| match name {
                "document" => advisory::document(value, &mut advisory, &mut version, &mut self.scanned_at),
                "product_tree" => advisory::tree(value, &mut advisory, &limits, &meter),
                "vulnerabilities" => value.array(&mut |entry| {
                    let raw = entry.raw()?;
                    let vulnerability: Vulnerability = raw.parse(&meter)?;
                    number += 1;
                    vulnerability.each(advisory.used(), self.asset.as_deref(), number, &mut |mut reported| {
                        reported.excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
                        emit(FORMAT.scanner, reported)
                    })
                }),
                _ => Ok(()),
            })
        })?;
        match version.as_deref() {
            Some(VERSION) => {}
            Some(_) => return Err(meter.malformed(format_args!("only version {VERSION} of CSAF is read"))),
            None => return Err(meter.malformed("it has no `document` with a `csaf_version`")),
        }
        self.advisories.end(advisory, &limits, &meter)?;
        Ok(Pass::again(self.advisories.again()))
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}
