//! CycloneDX: bills of materials with vulnerabilities, and VEX, in JSON and in XML.

mod bom;
mod json;
mod vulnerability;
mod xml;

use crate::error::Result;
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::formats::cyclonedx::bom::Bom;
use crate::intake::formats::cyclonedx::vulnerability::Vulnerability;
use crate::intake::late::{Late, Scope};
use crate::intake::limits::{Limits, too_large};
use crate::intake::place::Meter;
use crate::intake::report::ReportHead;
use crate::intake::source::Source;
use crate::vocabulary::time::Timestamp;

/// The scanner's name where the report names no tool.
const SCANNER: &str = "cyclonedx";

pub const JSON: Entry = Entry {
    key: "CYCLONEDX_JSON",
    label: "CycloneDX JSON",
    media_types: &["application/vnd.cyclonedx+json", "application/json"],
    extensions: &["cdx.json", "json"],
    required: "An object with `bomFormat` CycloneDX; `id`, an id among the references or a `bom-ref` of a vulnerability.",
    sniff: |head| !head.array && head.has("bomFormat"),
    reader: |plan| Ok(Box::new(CycloneDx::new(plan, json::pass))),
    ..XML
};

pub const XML: Entry = Entry {
    key: "CYCLONEDX_XML",
    label: "CycloneDX XML",
    media_types: &["application/vnd.cyclonedx+xml", "application/xml", "text/xml"],
    extensions: &["cdx.xml", "xml"],
    scanner: SCANNER,
    counting: "Each pair of a vulnerability and what it `affects`; a vulnerability that names nothing is one finding. Where what is \
         affected has no version of its own, each of its `versions` is a finding. Whatever the state of the `analysis`: what is not \
         affected, resolved or a false positive is a finding with a verdict (see the table of verdicts). Components without \
         vulnerabilities are not findings: a bill of materials alone has none. In XML also the vulnerabilities inside of \
         components, as versions before 1.4 write them.",
    identity: "The component's package URL without version and qualifiers, or else its name, or else the reference; the entry of \
         `versions`, where the component has no version of its own; the vulnerability's id. A component's own version is no part \
         of it: two versions of a component in one report are one finding.",
    asset: "`metadata.component` with its group, unless it is `.`; or else the asset that the caller names; or else the outermost \
         component that what is affected lies inside of, or what is affected itself where it has a list `components`.",
    required: "The root `bom`; an `id`, an id among the references or a `bom-ref` of each vulnerability.",
    severities: &[
        ("none, info, unknown", "info"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("critical", "critical"),
    ],
    fields: &[
        (
            "scanner",
            "the first of `metadata.tools` that is not a library of CycloneDX itself, in lower case; or else `cyclonedx`",
        ),
        ("title", "the id and the component"),
        ("description", "`description` and `detail`"),
        (
            "severity",
            "of the first rating with one other than unknown, first those of the vulnerability's own source; or else of the CVSS \
             score, or else info",
        ),
        ("vulnerability_type", "`vulnerable_package`"),
        ("scanner_category", "`name` of the source"),
        ("scanner_reference", "`id`"),
        (
            "cvss_score, cvss_vector",
            "of the ratings, first those of the vulnerability's own source: CVSS version 4, or else 3, or else 2; a vector gets its \
             version in front",
        ),
        ("cve_ids, cwe_ids", "`id` and the ids of `references`; `cwes`"),
        ("component_name, component_version, component_purl", "of the component, or of its package URL"),
        ("remediation", "`recommendation` and `workaround`"),
        ("references", "`url` of the source, of `advisories` and of `references`"),
        ("tags", "`state` of the analysis, each `response`, and other ids among `references`"),
        (
            "verdict",
            "`state` and `justification` of the `analysis` (or the words that begin its `detail`, or a `response`), or of what is \
             affected the status `unaffected`; its `detail`; supplier, manufacturer or author of the report",
        ),
        ("excerpt", "in JSON the beginning of the vulnerability"),
        ("time of the scan", "`metadata.timestamp`"),
    ],
    mapped: false,
    vex: Some(
        "each whose vulnerability has a `state` of its `analysis`, and each version that is `unaffected`",
    ),
    sniff: |head| head.root.as_deref().is_some_and(|root| root == "bom" || root.ends_with(":bom")),
    reader: |plan| Ok(Box::new(CycloneDx::new(plan, xml::pass))),
};

/// Goes through a document of one of the two forms.
type Walk = fn(Source, &mut Pen<'_>) -> Result<()>;

#[derive(Clone)]
struct CycloneDx {
    /// The asset that the caller names.
    asset: Option<String>,
    scanner: Option<String>,
    scanned_at: Option<Timestamp>,
    boms: Late<Bom>,
    walk: Walk,
}

impl CycloneDx {
    fn new(plan: &Plan<'_>, walk: Walk) -> Self {
        let asset = plan.asset.map(str::to_owned);
        Self { asset, scanner: None, scanned_at: None, boms: Late::default(), walk }
    }
}

/// What the reading of a document needs.
struct Pen<'p> {
    asset: Option<&'p str>,
    bom: Scope<Bom>,
    scanned_at: Option<Timestamp>,
    meter: &'p Meter,
    limits: &'p Limits,
    emit: Emit<'p>,
}

impl Pen<'_> {
    /// Adds to what is known of the document.
    fn learn(&mut self, learn: impl FnOnce(&mut Bom)) -> Result<()> {
        self.bom.learn(learn);
        if self.bom.so_far().weight > self.limits.collected {
            return Err(too_large(self.limits.over_collected(), self.meter.place()));
        }
        Ok(())
    }

    /// Hands over the findings of a vulnerability.
    fn write(&mut self, vulnerability: Vulnerability, excerpt: Option<&str>) -> Result<()> {
        let bom = self.bom.used();
        let scanner = bom.tool.as_deref().unwrap_or(SCANNER);
        vulnerability.each(bom, self.asset, self.meter, &mut |mut reported| {
            reported.excerpt = excerpt.map(str::to_owned);
            (self.emit)(scanner, reported)
        })
    }
}

impl Reader for CycloneDx {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.boms.rewind();
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut pen = Pen {
            asset: self.asset.as_deref(),
            bom: self.boms.begin(),
            scanned_at: None,
            meter: &meter,
            limits: &limits,
            emit,
        };
        (self.walk)(source, &mut pen)?;
        let Pen { bom, scanned_at, .. } = pen;
        self.scanned_at = scanned_at;
        self.scanner.clone_from(&bom.so_far().tool);
        self.boms.end(bom, &limits, &meter)?;
        Ok(Pass::again(self.boms.again()))
    }

    fn head(&self) -> ReportHead {
        let scanner = self.scanner.as_deref().unwrap_or(SCANNER).to_owned();
        ReportHead { scanner, scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}
