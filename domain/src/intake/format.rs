//! The catalogue of formats. Each is declared once, in its own file under `formats/`, and listed
//! here; detection, the choice of a reader and `docs/formats.md` all come from that declaration.

mod document;
mod head;

use std::fmt;

pub use self::document::document;
pub use self::head::Head;
use crate::error::{Code, Error, Result};
use crate::intake::formats::{
    asff, burp, cargo_audit, csaf, cyclonedx, dependency_check, github, grype, nessus, npm_audit, nuclei,
    ocsf, openvex, osv_scanner, qualys, sarif, semgrep, snyk, tabular, trivy, zap,
};
use crate::intake::mapping::Mapping;
use crate::intake::report::{ReportHead, Reported};
use crate::intake::source::Source;

/// What a format is and how it is read.
pub struct Entry {
    /// The name in the API and on the command line.
    pub key: &'static str,
    pub label: &'static str,
    pub media_types: &'static [&'static str],
    pub extensions: &'static [&'static str],
    /// The scanner of its findings, where the report does not name one.
    pub scanner: &'static str,
    /// What counts as one finding.
    pub counting: &'static str,
    /// By what a finding is known again.
    pub identity: &'static str,
    /// Which asset a finding is on.
    pub asset: &'static str,
    /// What has to be there; all else may be missing.
    pub required: &'static str,
    /// The scanner's words for severities, and ours.
    pub severities: &'static [(&'static str, &'static str)],
    /// Our fields, and where they come from.
    pub fields: &'static [(&'static str, &'static str)],
    /// Whether it is read through a [`Mapping`]. Such a format cannot be detected.
    pub mapped: bool,
    /// Which of its findings are VEX statements too, which hold for the findings of other reports.
    pub vex: Option<&'static str>,
    /// Whether a report that begins like this is of the format.
    pub sniff: fn(&Head) -> bool,
    /// A reader for one report.
    pub reader: fn(&Plan<'_>) -> Result<Box<dyn Reader>>,
}

/// What a caller says about a report beside the report itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan<'p> {
    /// How to read a format that has no fields of its own.
    pub mapping: Option<&'p Mapping>,
    /// The asset of findings whose report names none.
    pub asset: Option<&'p str>,
}

/// Takes a finding and the name of its scanner.
pub type Emit<'e> = &'e mut dyn FnMut(&str, Reported) -> Result<()>;

/// Reads reports of one format.
pub trait Reader: Send + Sync {
    /// Goes through the report from its beginning, and hands over each finding in report order.
    /// What findings refer to and comes after them is kept, for the next pass.
    ///
    /// # Errors
    /// `REPORT_MALFORMED` and `REPORT_TOO_LARGE`, with the place of the fault; what `emit` returns.
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass>;

    /// What the last pass learned of the whole report.
    fn head(&self) -> ReportHead;

    /// A reader that knows what this one knows.
    fn fork(&self) -> Box<dyn Reader>;
}

/// What came of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Every finding was handed over as it is.
    Settled,
    /// Some findings came before what they refer to: only another pass has them right.
    Again,
}

impl Pass {
    pub fn again(again: bool) -> Self {
        if again { Self::Again } else { Self::Settled }
    }
}

macro_rules! formats {
    ($($(#[doc = $doc:literal])+ $variant:ident = $entry:expr;)+) => {
        /// A format that reports come in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format { $($(#[doc = $doc])+ $variant),+ }

        impl Format {
            /// Every format, in the order in which detection tries them.
            pub const ALL: &'static [Format] = &[$(Format::$variant),+];

            pub fn entry(self) -> &'static Entry {
                match self { $(Self::$variant => &$entry),+ }
            }
        }
    };
}

formats! {
    /// What `trivy --format json` writes.
    TrivyJson = trivy::FORMAT;
    /// SARIF 2.1.0.
    Sarif = sarif::FORMAT;
    /// Nessus version 2 (`.nessus`).
    NessusXml = nessus::FORMAT;
    /// What `grype -o json` writes.
    GrypeJson = grype::FORMAT;
    /// CycloneDX in JSON.
    CyclonedxJson = cyclonedx::JSON;
    /// CycloneDX in XML.
    CyclonedxXml = cyclonedx::XML;
    /// OpenVEX.
    Openvex = openvex::FORMAT;
    /// CSAF 2.0.
    Csaf = csaf::FORMAT;
    /// What OWASP Dependency-Check writes as XML.
    DependencyCheckXml = dependency_check::FORMAT;
    /// What `osv-scanner --format json` writes.
    OsvScannerJson = osv_scanner::FORMAT;
    /// What `cargo audit --json` writes.
    CargoAuditJson = cargo_audit::FORMAT;
    /// What `npm audit --json` writes.
    NpmAuditJson = npm_audit::FORMAT;
    /// What `snyk test --json` writes.
    SnykJson = snyk::FORMAT;
    /// ZAP's traditional report in XML.
    ZapXml = zap::XML;
    /// ZAP's traditional report in JSON.
    ZapJson = zap::JSON;
    /// What `nuclei -jsonl` or `-json-export` writes.
    NucleiJson = nuclei::FORMAT;
    /// What `semgrep --json` writes.
    SemgrepJson = semgrep::FORMAT;
    /// Burp Suite's issues in XML.
    BurpXml = burp::FORMAT;
    /// Qualys' scan report, or host list of detections, in XML.
    QualysXml = qualys::FORMAT;
    /// Findings in the Open Cybersecurity Schema Framework.
    Ocsf = ocsf::FORMAT;
    /// The AWS Security Finding Format.
    Asff = asff::FORMAT;
    /// Dependabot alerts from GitHub's API.
    GithubDependabot = github::DEPENDABOT;
    /// Code scanning alerts from GitHub's API.
    GithubCodeScanning = github::CODE_SCANNING;
    /// Secret scanning alerts from GitHub's API.
    GithubSecretScanning = github::SECRET_SCANNING;
    /// Comma-separated values under a mapping.
    Csv = tabular::CSV;
    /// A JSON object on each line, under a mapping.
    Jsonl = tabular::JSONL;
    /// An array of JSON objects, under a mapping.
    Json = tabular::JSON;
}

impl Format {
    pub fn key(self) -> &'static str {
        self.entry().key
    }

    /// The format of that key, ignoring ASCII case.
    pub fn parse(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.key().eq_ignore_ascii_case(key))
    }

    /// The format of a report that begins with `head`.
    ///
    /// # Errors
    /// `REPORT_UNKNOWN`. Formats under a mapping are never detected: without the mapping nobody
    /// can say what their columns mean.
    pub fn detect(head: &[u8]) -> Result<Self> {
        let head = Head::of(head);
        Self::ALL
            .iter()
            .copied()
            .find(|format| !format.entry().mapped && (format.entry().sniff)(&head))
            .ok_or_else(|| {
                let keys = |mapped: bool| {
                    let named = Self::ALL.iter().filter(|format| format.entry().mapped == mapped);
                    named.map(|format| format.key()).collect::<Vec<_>>().join(", ")
                };
                let message = format!(
                    "The beginning of the file is not of a format that is told by itself ({}). \
                 Name the format; {} also need a mapping, so they are never guessed.",
                    keys(false),
                    keys(true),
                );
                Error::new(Code::ReportUnknown, message)
            })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}
