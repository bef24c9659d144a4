//! What a report says, in the product's words, before anything is known of the database.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::finding::layers::Verdict;
use crate::vocabulary::terms::{FindingClass, Severity};
use crate::vocabulary::time::Timestamp;

/// What a reader makes of a whole report, once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportHead {
    /// The scanner's name, lower case: a part of every fingerprint.
    pub scanner: String,
    /// The time of the scan as the report gives it.
    pub scanned_at: Option<Timestamp>,
}

/// The asset that a finding was found on, as the report names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReportedAsset {
    /// The identity of the asset inside of its company: a host, an image, a repository.
    pub name: String,
    /// What it is, in lower-case words with underscores: `container_image`, `host`, `repository`.
    pub kind: Option<String>,
}

/// One finding as its scanner reported it. Texts are trimmed, without U+0000, never empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    pub asset: ReportedAsset,
    /// The parts of the format's stable identity: never severity, title or time.
    pub identity: Vec<String>,
    pub class: FindingClass,
    pub title: String,
    pub description: Option<String>,
    pub severity: Severity,
    pub scanner_category: Option<String>,
    /// The scanner's own id of the check: a rule, a plugin, a vulnerability.
    pub scanner_reference: Option<String>,
    pub vulnerability_type: Option<String>,
    pub cvss_score: Option<f64>,
    pub cvss_vector: Option<String>,
    pub epss_score: Option<f64>,
    pub known_exploit: Option<bool>,
    pub cve_ids: Vec<String>,
    pub cwe_ids: Vec<String>,
    pub endpoint: Option<String>,
    pub port: Option<u16>,
    pub component_name: Option<String>,
    pub component_version: Option<String>,
    /// The package URL of the component, as the report gives it.
    pub component_purl: Option<String>,
    pub fixed_version: Option<String>,
    pub fix_available: Option<bool>,
    pub file_path: Option<String>,
    pub line: Option<u32>,
    pub references: Vec<String>,
    pub tags: Vec<String>,
    pub remediation: Option<String>,
    pub first_seen_at: Option<Timestamp>,
    /// A bounded piece of the report itself, as evidence.
    pub excerpt: Option<String>,
    /// What the report says of its own finding: a VEX analysis, a suppression.
    pub verdict: Option<Verdict>,
    /// What a VEX document says, beside this finding, of the findings of others.
    pub vex: Option<Box<Vex>>,
}

/// A VEX statement, beyond what the finding that is made of it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vex {
    /// The names of the vulnerability, in the form of [`crate::intake::text::vulnerability`].
    pub vulnerabilities: Vec<String>,
    /// The state in the format's word: `not_affected`.
    pub state: String,
    pub product: Product,
    /// Whether it is about a component of the product, and not about the product itself.
    pub part: bool,
    /// Whether the version of the component is a range of versions.
    #[serde(default)]
    pub ranged: bool,
    /// Whether the asset was named by whoever uploaded the document.
    pub by_caller: bool,
    /// When it was said, where the document says so.
    pub said_at: Option<Timestamp>,
}

/// A product as a VEX document names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Product {
    /// The name that it has as an asset; empty where none is given.
    pub name: String,
    /// Its package URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
}

impl Default for Reported {
    fn default() -> Self {
        Self {
            asset: ReportedAsset::default(),
            identity: Vec::new(),
            class: FindingClass::Vulnerability,
            title: String::new(),
            description: None,
            severity: Severity::Info,
            scanner_category: None,
            scanner_reference: None,
            vulnerability_type: None,
            cvss_score: None,
            cvss_vector: None,
            epss_score: None,
            known_exploit: None,
            cve_ids: Vec::new(),
            cwe_ids: Vec::new(),
            endpoint: None,
            port: None,
            component_name: None,
            component_version: None,
            component_purl: None,
            fixed_version: None,
            fix_available: None,
            file_path: None,
            line: None,
            references: Vec::new(),
            tags: Vec::new(),
            remediation: None,
            first_seen_at: None,
            excerpt: None,
            verdict: None,
            vex: None,
        }
    }
}

/// All that it says. A number counts by its bits, so what was hashed alike was written alike.
impl Hash for Reported {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            asset,
            identity,
            class,
            title,
            description,
            severity,
            scanner_category,
            scanner_reference,
            vulnerability_type,
            cvss_score,
            cvss_vector,
            epss_score,
            known_exploit,
            cve_ids,
            cwe_ids,
            endpoint,
            port,
            component_name,
            component_version,
            component_purl,
            fixed_version,
            fix_available,
            file_path,
            line,
            references,
            tags,
            remediation,
            first_seen_at,
            excerpt,
            verdict,
            vex,
        } = self;
        (asset, identity, class, title, description, severity).hash(state);
        (scanner_category, scanner_reference, vulnerability_type, cvss_vector, known_exploit).hash(state);
        (cvss_score.map(f64::to_bits), epss_score.map(f64::to_bits)).hash(state);
        (cve_ids, cwe_ids, endpoint, port, file_path, line, references, tags).hash(state);
        (component_name, component_version, component_purl, fixed_version, fix_available).hash(state);
        (remediation, first_seen_at, excerpt, vex, verdict).hash(state);
    }
}

/// What an element of a list takes beside its text.
const ELEMENT: usize = 32;

impl Reported {
    /// About how many bytes its texts take.
    pub fn weight(&self) -> usize {
        let lines = [&self.asset.name, &self.title].map(String::len);
        let texts = [
            &self.asset.kind,
            &self.description,
            &self.scanner_category,
            &self.scanner_reference,
            &self.vulnerability_type,
            &self.cvss_vector,
            &self.endpoint,
            &self.component_name,
            &self.component_version,
            &self.component_purl,
            &self.fixed_version,
            &self.file_path,
            &self.remediation,
            &self.excerpt,
        ];
        let said = self.verdict.iter().flat_map(|one| [&one.justification, &one.statement, &one.author]);
        let texts = texts.into_iter().chain(said).flatten().map(String::len);
        let lists = [&self.identity, &self.cve_ids, &self.cwe_ids, &self.references, &self.tags];
        let lists = lists.into_iter().flatten().map(|value| value.len() + ELEMENT);
        let vex = self
            .vex
            .iter()
            .flat_map(|vex| vex.vulnerabilities.iter().chain([&vex.product.name]).chain(&vex.product.purl));
        let vex = vex.map(|name| name.len() + ELEMENT);
        lines.into_iter().chain(texts).chain(lists).chain(vex).sum()
    }
}

/// The fingerprint of a finding: a UUID (version 8) of the SHA-256 over the version of the recipe,
/// the scanner, the asset and the identity.
pub type Fingerprint = Uuid;
