//! The AWS Security Finding Format, as Security Hub gives and takes it.

use serde::Deserialize;

use crate::error::Result;
use crate::intake::format::{Emit, Entry};
use crate::intake::formats::records::{self, Record, Seen, Shape};
use crate::intake::json::or_default;
use crate::intake::lenient::Texts;
use crate::intake::report::{Reported, ReportedAsset, Verdict};
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::vocabulary::terms::{FindingClass, Severity};

pub const FORMAT: Entry = Entry {
    key: "ASFF",
    label: "AWS Security Finding Format",
    media_types: &["application/json", "application/jsonl"],
    extensions: &["json", "jsonl", "ndjson"],
    scanner: "aws security hub",
    counting: "Each finding in `Findings`, in an array or on a line, except checks whose `Compliance.Status` is PASSED or \
         NOT_AVAILABLE: these found nothing wrong. Findings that are suppressed, resolved or archived are findings with a verdict. \
         A finding with several resources is one finding, on the first of them.",
    identity: "`ProductArn` and `Id`.",
    asset: "The `Id` of the first of `Resources`, or else `AwsAccountId`.",
    required: "`Id` of each finding.",
    severities: &[
        ("Label INFORMATIONAL, Normalized 0, absent", "info"),
        ("Label LOW, Normalized 1 to 39", "low"),
        ("Label MEDIUM, Normalized 40 to 69", "medium"),
        ("Label HIGH, Normalized 70 to 89", "high"),
        ("Label CRITICAL, Normalized 90 to 100", "critical"),
    ],
    fields: &[
        (
            "class",
            "COMPLIANCE where there is a `Compliance.Status`; DETECTION for the types TTPs, Effects and Unusual Behaviors; else VULNERABILITY",
        ),
        ("title, description", "`Title`, `Description`"),
        ("remediation", "`Remediation.Recommendation.Text`"),
        ("scanner_category", "`ProductName`, or else the product in `ProductArn`"),
        ("scanner_reference", "`Compliance.SecurityControlId`, or else `GeneratorId`"),
        ("vulnerability_type", "the first of `Types`"),
        ("cvss_score, cvss_vector", "of the first vulnerability: version 3 or else 4 or else 2"),
        (
            "epss_score, known_exploit, fix_available",
            "`EpssScore`, `ExploitAvailable`, `FixAvailable` of the first vulnerability",
        ),
        (
            "cve_ids, cwe_ids",
            "`Id` and `RelatedVulnerabilities` of the vulnerabilities; their `CodeVulnerabilities`",
        ),
        ("component_name, component_version, fixed_version", "the first of `VulnerablePackages`"),
        ("file_path, line", "the package's `FilePath`, or else that of the first of `CodeVulnerabilities`"),
        ("port", "`Network.DestinationPort`"),
        ("references", "`SourceUrl`, `Remediation.Recommendation.Url`, `ReferenceUrls`"),
        ("tags", "`Types`, `AssociatedStandards`, `Region`, and the ids of further resources"),
        ("first_seen_at", "`FirstObservedAt`, or else `CreatedAt`"),
        ("excerpt", "the beginning of the finding"),
        (
            "verdict",
            "FALSE_POSITIVE for the `VerificationState` FALSE_POSITIVE; else ACCEPTED_RISK for BENIGN_POSITIVE or the workflow status \
             SUPPRESSED; else FIXED for the workflow status RESOLVED or the record state ARCHIVED. `Note.Text` is the statement, \
             `Note.UpdatedBy` the author",
        ),
        ("time of the scan", "the latest `UpdatedAt`"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| {
        (head.has("ProductArn") && head.has("AwsAccountId"))
            || (!head.array && head.has("Findings") && head.has_inside("ProductArn"))
    },
    reader: |plan| Ok(records::reader(plan, SHAPE)),
};

const SHAPE: Shape = Shape { scanner: FORMAT.scanner, member: Some("Findings"), may_be_empty: false, read };

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Finding {
    id: Texts,
    product_arn: Texts,
    product_name: Texts,
    generator_id: Texts,
    aws_account_id: Texts,
    region: Texts,
    types: Texts,
    title: Texts,
    description: Texts,
    source_url: Texts,
    first_observed_at: Texts,
    created_at: Texts,
    updated_at: Texts,
    severity: Option<Level>,
    remediation: Option<Remediation>,
    compliance: Option<Compliance>,
    workflow: Option<Workflow>,
    workflow_state: Texts,
    record_state: Texts,
    verification_state: Texts,
    note: Option<Note>,
    network: Option<Network>,
    #[serde(deserialize_with = "or_default")]
    resources: Vec<Resource>,
    #[serde(deserialize_with = "or_default")]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Level {
    label: Texts,
    normalized: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Remediation {
    recommendation: Option<Recommendation>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Recommendation {
    text: Texts,
    url: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Compliance {
    status: Texts,
    security_control_id: Texts,
    #[serde(deserialize_with = "or_default")]
    associated_standards: Vec<Standard>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Standard {
    standards_id: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Workflow {
    status: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Note {
    text: Texts,
    updated_by: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    destination_port: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Resource {
    id: Texts,
    #[serde(rename = "Type")]
    kind: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Vulnerability {
    id: Texts,
    related_vulnerabilities: Texts,
    reference_urls: Texts,
    fix_available: Texts,
    exploit_available: Texts,
    epss_score: Texts,
    #[serde(deserialize_with = "or_default")]
    cvss: Vec<Cvss>,
    #[serde(deserialize_with = "or_default")]
    vulnerable_packages: Vec<Package>,
    #[serde(deserialize_with = "or_default")]
    code_vulnerabilities: Vec<Code>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Cvss {
    version: Texts,
    base_score: Texts,
    base_vector: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Package {
    name: Texts,
    version: Texts,
    fixed_in_version: Texts,
    file_path: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Code {
    cwes: Texts,
    file_path: Option<Path>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Path {
    file_path: Texts,
    start_line: Option<u32>,
}

fn read(record: &Record<'_>, seen: &mut Seen, emit: Emit<'_>) -> Result<()> {
    let read: Finding = record.raw.parse(record.meter)?;
    let Some(id) = read.id.first() else {
        return Err(record.meter.malformed("a finding has no `Id`"));
    };
    seen.scanned_at = seen.scanned_at.max(text::time(read.updated_at.word()));
    let severity = severity(read.severity.as_ref(), record)?;
    let verdict = verdict(&read);
    let types: Vec<&str> = read.types.iter().collect();
    let compliance = read.compliance.unwrap_or_default();
    let class = match compliance.status.word() {
        "PASSED" | "NOT_AVAILABLE" => return Ok(()),
        "" if types.iter().any(|kind| is_detection(kind)) => FindingClass::Detection,
        "" => FindingClass::Vulnerability,
        _ => FindingClass::Compliance,
    };
    let product = read.product_arn.word();
    let mut resources = read.resources.into_iter();
    let resource = resources.next().unwrap_or_default();
    let recommendation =
        read.remediation.and_then(|remediation| remediation.recommendation).unwrap_or_default();
    let ids =
        read.vulnerabilities.iter().flat_map(|one| one.id.iter().chain(one.related_vulnerabilities.iter()));
    let codes = read.vulnerabilities.iter().flat_map(|one| &one.code_vulnerabilities);
    let links = read.vulnerabilities.iter().flat_map(|one| one.reference_urls.iter());
    let control = compliance.security_control_id.first().or(read.generator_id.first());
    let mut reported = Reported {
        asset: ReportedAsset {
            name: resource.id.first().or(read.aws_account_id.first()).unwrap_or_default().to_owned(),
            kind: text::kind(resource.kind.word()),
        },
        identity: vec![product.to_owned(), id.to_owned()],
        class,
        title: read.title.word().to_owned(),
        severity,
        scanner_category: read.product_name.first().or_else(|| product.rsplit('/').next()).map(str::to_owned),
        scanner_reference: control.map(str::to_owned),
        vulnerability_type: types.first().map(|kind| (*kind).to_owned()),
        cve_ids: ids.filter_map(text::cve).collect(),
        cwe_ids: codes.flat_map(|code| code.cwes.iter()).filter_map(text::cwe).collect(),
        port: read.network.and_then(|network| network.destination_port.number()),
        references: [read.source_url.first(), recommendation.url.first()]
            .into_iter()
            .flatten()
            .chain(links)
            .map(str::to_owned)
            .collect(),
        tags: types
            .iter()
            .copied()
            .chain(compliance.associated_standards.iter().flat_map(|standard| standard.standards_id.iter()))
            .chain(read.region.first())
            .map(str::to_owned)
            .chain(resources.flat_map(|resource| resource.id.0))
            .collect(),
        first_seen_at: read.first_observed_at.first().or(read.created_at.first()).and_then(text::time),
        description: read.description.into_first(),
        remediation: recommendation.text.into_first(),
        excerpt: record.excerpt(),
        verdict,
        ..Reported::default()
    };
    if let Some(first) = read.vulnerabilities.into_iter().next() {
        first.describe(&mut reported);
    }
    emit(FORMAT.scanner, reported)
}

impl Vulnerability {
    fn describe(self, reported: &mut Reported) {
        let score = |version: &str| self.cvss.iter().find(|cvss| cvss.version.word().starts_with(version));
        if let Some(best) = score("3").or_else(|| score("4")).or_else(|| score("2")).or(self.cvss.first()) {
            reported.cvss_score = best.base_score.number();
            reported.cvss_vector = best.base_vector.first().map(str::to_owned);
        }
        reported.epss_score = self.epss_score.number();
        reported.known_exploit = match self.exploit_available.word() {
            "YES" => Some(true),
            "NO" => Some(false),
            _ => None,
        };
        reported.fix_available = match self.fix_available.word() {
            "YES" | "PARTIAL" => Some(true),
            "NO" => Some(false),
            _ => None,
        };
        let package = self.vulnerable_packages.into_iter().next().unwrap_or_default();
        reported.component_name = package.name.into_first();
        reported.component_version = package.version.into_first();
        reported.fixed_version = package.fixed_in_version.into_first();
        let code = self.code_vulnerabilities.into_iter().find_map(|code| code.file_path).unwrap_or_default();
        reported.file_path = package.file_path.into_first().or_else(|| code.file_path.into_first());
        reported.line = code.start_line.filter(|line| *line > 0);
    }
}

/// Types are `namespace/category/classifier`.
fn is_detection(kind: &str) -> bool {
    matches!(kind.split('/').next(), Some("TTPs" | "Effects" | "Unusual Behaviors"))
}

fn severity(level: Option<&Level>, record: &Record<'_>) -> Result<Severity> {
    let Some(level) = level else { return Ok(Severity::Info) };
    Ok(match level.label.word() {
        "INFORMATIONAL" => Severity::Info,
        "LOW" => Severity::Low,
        "MEDIUM" => Severity::Medium,
        "HIGH" => Severity::High,
        "CRITICAL" => Severity::Critical,
        "" => match level.normalized.number::<f64>() {
            Some(score) if score >= 90.0 => Severity::Critical,
            Some(score) if score >= 70.0 => Severity::High,
            Some(score) if score >= 40.0 => Severity::Medium,
            Some(score) if score >= 1.0 => Severity::Low,
            _ => Severity::Info,
        },
        other => {
            let other = text::beginning(other, 80);
            return Err(record.meter.malformed(format_args!("`{other}` is not a label of a severity")));
        }
    })
}

fn verdict(finding: &Finding) -> Option<Verdict> {
    // `WorkflowState` is what `Workflow.Status` was before.
    let workflow = finding.workflow.as_ref().and_then(|workflow| workflow.status.first());
    let workflow = workflow.or(finding.workflow_state.first()).unwrap_or_default();
    let words = [finding.verification_state.word(), workflow, finding.record_state.word()];
    let note = finding.note.as_ref();
    let statement = note.and_then(|note| note.text.first());
    let author = note.and_then(|note| note.updated_by.first());
    words.map(str::to_ascii_lowercase).iter().find_map(|why| {
        vex::verdict(
            Vocabulary::Asff,
            why,
            Some(why),
            statement.map(str::to_owned),
            author.map(str::to_owned),
        )
    })
}
