//! What a finding is: the evidence its scanner gave, what is known of its life, and how criteria read it.

use uuid::Uuid;

use crate::finding::layers::{Layers, Scalar, ScalarField, SetField, Statement};
use crate::finding::shown::Shown;
use crate::intake::report::{Fingerprint, Reported};
use crate::intake::text;
use crate::inventory::asset::Asset;
use crate::vocabulary::criteria::{ReadFault, Subject, Value};
use crate::vocabulary::field::finding::FindingField;
use crate::vocabulary::terms::{FindingClass, Term};
use crate::vocabulary::time::Timestamp;

/// What only the scanner speaks of: it is kept as last reported, without layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub class: FindingClass,
    pub description: Option<String>,
    pub scanner_source: String,
    pub scanner_category: Option<String>,
    pub scanner_reference: Option<String>,
    pub endpoint: Option<String>,
    pub port: Option<u16>,
    pub component_name: Option<String>,
    pub component_version: Option<String>,
    pub component_purl: Option<String>,
    pub fixed_version: Option<String>,
    pub fix_available: Option<bool>,
    pub file_path: Option<String>,
    pub line: Option<u32>,
    pub references: Vec<String>,
    pub excerpt: Option<String>,
}

/// The last that a scan had to do with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The series of the scan that saw it last.
    pub series: Uuid,
    /// Whether all later scans of the series saw it too.
    pub present: bool,
    /// A digest of what the scanner said; none once somebody else wrote the finding, so that its
    /// next sighting looks at all of it.
    pub said: Option<i64>,
}

/// A finding as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub id: Uuid,
    pub company: Uuid,
    pub project: Uuid,
    pub asset: Uuid,
    pub fingerprint: Fingerprint,
    /// What it is counted with where a list counts issues; by the rule, or by what a person said.
    pub issue: Uuid,
    /// Who said which issue it is of, if somebody did.
    pub issue_by: Option<Uuid>,
    pub evidence: Evidence,
    pub shown: Shown,
    pub layers: Layers,
    pub first_seen_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// None: no scan ever saw it.
    pub sighting: Option<Sighting>,
    /// When the lifecycle last left the active states; only a newer sighting opens it again.
    pub closed_at: Option<Timestamp>,
    pub sla_breached: Option<bool>,
    pub due_at: Option<Timestamp>,
    /// Counts the writes: a write of a stale copy is refused.
    pub revision: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Finding {
    /// The names of its vulnerability: see [`vulnerabilities`].
    pub fn vulnerabilities(&self) -> Vec<String> {
        vulnerabilities(&self.evidence, &self.shown)
    }
}

/// The names of the vulnerability of a finding: the CVE ids that it shows, and the scanner's own id
/// where it is of a component.
pub(crate) fn vulnerabilities(evidence: &Evidence, shown: &Shown) -> Vec<String> {
    let own = evidence.scanner_reference.as_deref();
    let of_component = own.filter(|_| evidence.component_name.is_some()).map(text::vulnerability);
    let mut names = shown.set(SetField::CveIds).to_vec();
    names.extend(of_component.filter(|name| !names.contains(name)));
    names
}

impl Evidence {
    /// What `reported` says outside of the layers.
    pub fn of(scanner: &str, reported: &Reported) -> Self {
        Self {
            class: reported.class,
            description: reported.description.clone(),
            scanner_source: scanner.to_owned(),
            scanner_category: reported.scanner_category.clone(),
            scanner_reference: reported.scanner_reference.clone(),
            endpoint: reported.endpoint.clone(),
            port: reported.port,
            component_name: reported.component_name.clone(),
            component_version: reported.component_version.clone(),
            component_purl: reported.component_purl.clone(),
            fixed_version: reported.fixed_version.clone(),
            fix_available: reported.fix_available,
            file_path: reported.file_path.clone(),
            line: reported.line,
            references: reported.references.clone(),
            excerpt: reported.excerpt.clone(),
        }
    }
}

/// What `reported` says in the layers.
pub fn scanner_statements(reported: &Reported) -> Vec<Statement> {
    let text = |text: &Option<String>| text.clone().map(Scalar::Text);
    let scalars = [
        (ScalarField::Title, Some(Scalar::Text(reported.title.clone()))),
        (ScalarField::Severity, Some(Scalar::Severity(reported.severity))),
        (ScalarField::VulnerabilityType, text(&reported.vulnerability_type)),
        (ScalarField::Remediation, text(&reported.remediation)),
        (ScalarField::CvssScore, reported.cvss_score.map(Scalar::Number)),
        (ScalarField::CvssVector, text(&reported.cvss_vector)),
        (ScalarField::EpssScore, reported.epss_score.map(Scalar::Number)),
        (ScalarField::KnownExploit, reported.known_exploit.map(Scalar::Flag)),
    ];
    let sets = [
        (SetField::Tags, &reported.tags),
        (SetField::CveIds, &reported.cve_ids),
        (SetField::CweIds, &reported.cwe_ids),
    ];
    let scalars = scalars
        .into_iter()
        .filter_map(|(field, value)| value.map(|value| Statement::Set(field, Some(value))));
    let elements = sets.into_iter().flat_map(|(field, elements)| {
        elements.iter().map(move |element| Statement::Element(field, element.clone(), true))
    });
    let verdict = reported.verdict.clone().map(Statement::Judge);
    scalars.chain(elements).chain(verdict).collect()
}

/// A finding as a predicate sees it: its evidence and asset, and the values shown at this moment of
/// a pass.
pub struct Facts<'a> {
    pub finding: &'a Finding,
    pub asset: &'a Asset,
    pub shown: &'a Shown,
}

impl Subject for Facts<'_> {
    fn read(&self, field: usize) -> Result<Value<'_>, ReadFault> {
        Ok(self.value(FindingField::ALL[field]))
    }
}

impl<'a> Facts<'a> {
    /// What a field of the catalogue is now.
    pub fn value(&self, field: FindingField) -> Value<'a> {
        use FindingField as F;

        let Self { finding, asset, shown } = *self;
        let evidence = &finding.evidence;
        let set = |field| Value::List(shown.set(field));
        match field {
            F::Severity => Value::Code(shown.severity.code()),
            F::Status => Value::Code(shown.status.code()),
            F::Class => Value::Code(evidence.class.code()),
            F::CvssScore => number(shown.cvss_score),
            F::EpssScore => number(shown.epss_score),
            F::EpssPercentile => number(shown.epss_percentile),
            F::KnownExploit => flag(shown.known_exploit),
            F::KevDueAt => time(shown.kev_due_at),
            F::RansomwareUse => flag(shown.ransomware_use),
            F::SlaBreached => flag(finding.sla_breached),
            F::VulnerabilityType => text(&shown.vulnerability_type),
            F::ScannerSource => Value::Text(&evidence.scanner_source),
            F::ScannerCategory => text(&evidence.scanner_category),
            F::ScannerReference => text(&evidence.scanner_reference),
            F::AssetName => Value::Text(&asset.name),
            F::AssetType => text(&asset.kind),
            F::AssetClass => text(&asset.class),
            F::AssetGroups => Value::List(&asset.groups),
            F::AssetCriticality => code(asset.criticality),
            F::AssetEnvironment => code(asset.environment),
            F::AssetTags => Value::List(&asset.tags),
            F::InternetExposed => flag(asset.internet_exposed),
            F::Tags => set(SetField::Tags),
            F::Effects => set(SetField::Effects),
            F::RootCauses => set(SetField::RootCauses),
            F::RemediationTechniques => set(SetField::RemediationTechniques),
            F::AttackTechniques => set(SetField::AttackTechniques),
            F::Project => Value::Uuid(finding.project),
            F::Company => Value::Uuid(finding.company),
            F::Title => Value::Text(&shown.title),
            F::Description => text(&evidence.description),
            F::CveIds => set(SetField::CveIds),
            F::CweIds => set(SetField::CweIds),
            F::Endpoint => text(&evidence.endpoint),
            F::ComponentName => text(&evidence.component_name),
            F::ComponentVersion => text(&evidence.component_version),
            F::ComponentPurl => text(&evidence.component_purl),
            F::FixAvailable => flag(evidence.fix_available),
            F::AssignedUsers => set(SetField::AssignedUsers),
            F::AssignedTeams => set(SetField::AssignedTeams),
            F::FirstSeenAt => Value::Time(finding.first_seen_at),
            F::LastSeenAt => Value::Time(finding.last_seen_at),
            F::DueAt => time(finding.due_at),
            F::FilePath => text(&evidence.file_path),
            F::Port => number(evidence.port.map(f64::from)),
        }
    }
}

fn text(value: &Option<String>) -> Value<'_> {
    value.as_deref().map_or(Value::Missing, Value::Text)
}

fn number(value: Option<f64>) -> Value<'static> {
    value.map_or(Value::Missing, Value::Number)
}

fn flag(value: Option<bool>) -> Value<'static> {
    value.map_or(Value::Missing, Value::Bool)
}

fn code<T: Term>(value: Option<T>) -> Value<'static> {
    value.map_or(Value::Missing, |term| Value::Code(term.code()))
}

fn time(value: Option<Timestamp>) -> Value<'static> {
    value.map_or(Value::Missing, Value::Time)
}
