//! The closed word lists of findings.

use async_graphql::Enum;
use record::record;

/// How bad a finding is, in this order.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::vocabulary::terms::Severity")]
pub enum Severity {
    /// Good to know; nothing to do.
    Info,
    /// Little would come of it.
    Low,
    /// Some harm, under conditions.
    Medium,
    /// Serious harm.
    High,
    /// The worst that a scanner says.
    Critical,
    /// It cannot wait.
    Urgent,
}

/// Where a finding stands.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(name = "FindingStatus", remote = "domain::vocabulary::terms::Status")]
pub enum FindingStatus {
    /// Nobody works on it yet. Active.
    Open,
    /// Somebody works on it. Active.
    InProgress,
    /// It is mended. A later scan that sees it opens it again.
    Fixed,
    /// The risk is borne, by a person's word or a rule's.
    AcceptedRisk,
    /// It is not what the scanner takes it for.
    FalsePositive,
    /// It is done with. A later scan that sees it opens it again.
    Closed,
}

/// Why a finding is a false positive, in the words of VEX.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::vocabulary::terms::Justification")]
pub enum Justification {
    /// The vulnerable component is not in the product.
    ComponentNotPresent,
    /// The component is there without the code that is vulnerable.
    VulnerableCodeNotPresent,
    /// The code is there and never runs.
    VulnerableCodeNotInExecutePath,
    /// The code runs, and an attacker has no say in what it does.
    VulnerableCodeCannotBeControlledByAdversary,
    /// What is built in keeps it from being exploited.
    InlineMitigationsAlreadyExist,
}

/// What a finding is, after the split of OCSF.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::vocabulary::terms::FindingClass")]
pub enum FindingClass {
    /// A weakness.
    Vulnerability,
    /// Something that happened: an alert.
    Detection,
    /// A demand that is not met.
    Compliance,
}

/// Who speaks of a finding, the weakest first.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::finding::layers::Layer")]
pub enum Layer {
    /// The scanner, anew with each report.
    Scanner,
    /// A feed of threat intelligence.
    Intel,
    /// A rule, for as long as it holds.
    Rule,
    /// A run of a runbook.
    Runbook,
    /// A person.
    Human,
}

/// What findings are sorted by.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(name = "FindingOrderField", remote = "domain::finding::query::FindingOrder")]
pub enum FindingOrderField {
    /// The severity shown; by itself the worst first.
    Severity,
    /// When a scan saw it last; by itself the latest first.
    LastSeen,
    /// When a scan saw it first; by itself the latest first.
    FirstSeen,
    /// When it was last changed; by itself the latest first.
    Updated,
    /// The title shown, by code points.
    Title,
    /// The CVSS score; by itself the highest first.
    CvssScore,
    /// The EPSS score; by itself the highest first.
    EpssScore,
    /// The due date; by itself the earliest first.
    DueAt,
}

/// What a change means for a filtered list.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(name = "FindingDelta", remote = "domain::feed::Delta")]
pub enum FindingDelta {
    /// It is new, and passes the filter.
    Entered,
    /// It passes the filter; add it if it is not in the list yet.
    Changed,
    /// It does not pass the filter; it may never have been in the list.
    Left,
}

/// What findings are taken out as.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::finding::export::ExportFormat")]
pub enum FindingExportFormat {
    /// A table with a row of each finding.
    Csv,
    /// CycloneDX 1.6 in JSON: assets with their components, and the analysis of each vulnerability.
    #[graphql(name = "CYCLONEDX_VEX")]
    CycloneDx,
    /// OpenVEX 0.2.0.
    #[graphql(name = "OPENVEX")]
    OpenVex,
    /// CSAF 2.0 by its profile VEX.
    #[graphql(name = "CSAF_VEX")]
    Csaf,
}
