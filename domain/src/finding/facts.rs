//! What a finding is: the evidence its scanner gave, and the values it shows.

use serde::Serialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::finding::layers::{Layers, Scalar, ScalarField, SetField, Statement, Verdict};
use crate::intake::report::{Fingerprint, Reported};
use crate::intake::text;
use crate::inventory::asset::Asset;
use crate::vocabulary::criteria::{ReadFault, Subject, Value};
use crate::vocabulary::field::finding::FindingField;
use crate::vocabulary::terms::{FindingClass, Severity, Status, Term};
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

/// The values on top of the layers: what the finding shows, and what is filtered and sorted by.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub title: String,
    pub severity: Severity,
    pub status: Status,
    pub vulnerability_type: Option<String>,
    pub remediation: Option<String>,
    pub cvss_score: Option<f64>,
    pub cvss_vector: Option<String>,
    pub epss_score: Option<f64>,
    pub epss_percentile: Option<f64>,
    pub known_exploit: Option<bool>,
    /// When the catalogue of known exploited vulnerabilities wants it mended.
    pub kev_due_at: Option<Timestamp>,
    pub ransomware_use: Option<bool>,
    sets: [Vec<String>; SetField::ALL.len()],
}

/// A field of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayeredField {
    Scalar(ScalarField),
    Status,
    Set(SetField),
}

/// The value that a finding shows in a field, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Seen<'a> {
    Nothing,
    Severity(Severity),
    Status(Status),
    Flag(bool),
    Number(f64),
    Text(&'a str),
    Time(Timestamp),
    Set(&'a [String]),
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

impl Shown {
    /// The values as the columns of a row give them; `sets` in the order of [`SetField::ALL`].
    pub(crate) fn new(
        (title, severity, status): (String, Severity, Status),
        (vulnerability_type, remediation): (Option<String>, Option<String>),
        (cvss_score, cvss_vector): (Option<f64>, Option<String>),
        (epss_score, epss_percentile): (Option<f64>, Option<f64>),
        (known_exploit, kev_due_at, ransomware_use): (Option<bool>, Option<Timestamp>, Option<bool>),
        sets: [Vec<String>; SetField::ALL.len()],
    ) -> Self {
        Self {
            title,
            severity,
            status,
            vulnerability_type,
            remediation,
            cvss_score,
            cvss_vector,
            epss_score,
            epss_percentile,
            known_exploit,
            kev_due_at,
            ransomware_use,
            sets,
        }
    }

    /// The top of every stack. A title and a severity are always said by somebody.
    pub fn of(layers: &Layers) -> Self {
        let text = |field| match layers.scalar(field) {
            Some(Scalar::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let number = |field| match layers.scalar(field) {
            Some(Scalar::Number(number)) => Some(*number),
            _ => None,
        };
        let flag = |field| match layers.scalar(field) {
            Some(Scalar::Flag(flag)) => Some(*flag),
            _ => None,
        };
        Self {
            title: text(ScalarField::Title).unwrap_or_default(),
            severity: match layers.scalar(ScalarField::Severity) {
                Some(Scalar::Severity(severity)) => *severity,
                _ => Severity::Info,
            },
            status: layers.status().shown(),
            vulnerability_type: text(ScalarField::VulnerabilityType),
            remediation: text(ScalarField::Remediation),
            cvss_score: number(ScalarField::CvssScore),
            cvss_vector: text(ScalarField::CvssVector),
            epss_score: number(ScalarField::EpssScore),
            epss_percentile: number(ScalarField::EpssPercentile),
            known_exploit: flag(ScalarField::KnownExploit),
            kev_due_at: match layers.scalar(ScalarField::KevDueAt) {
                Some(Scalar::Time(at)) => Some(*at),
                _ => None,
            },
            ransomware_use: flag(ScalarField::RansomwareUse),
            sets: std::array::from_fn(|at| layers.set(SetField::ALL[at]).map(str::to_owned).collect()),
        }
    }

    pub fn set(&self, field: SetField) -> &[String] {
        &self.sets[usize::from(field.code())]
    }

    pub fn scalar(&self, field: ScalarField) -> Option<Scalar> {
        match self.seen(field) {
            Seen::Nothing => None,
            Seen::Severity(severity) => Some(Scalar::Severity(severity)),
            Seen::Flag(flag) => Some(Scalar::Flag(flag)),
            Seen::Number(number) => Some(Scalar::Number(number)),
            Seen::Text(text) => Some(Scalar::Text(text.to_owned())),
            Seen::Time(at) => Some(Scalar::Time(at)),
            Seen::Status(_) | Seen::Set(_) => unreachable!("neither is a scalar"),
        }
    }

    fn seen(&self, field: ScalarField) -> Seen<'_> {
        fn text(text: &Option<String>) -> Seen<'_> {
            text.as_deref().map_or(Seen::Nothing, Seen::Text)
        }
        let number = |number: Option<f64>| number.map_or(Seen::Nothing, Seen::Number);
        let flag = |flag: Option<bool>| flag.map_or(Seen::Nothing, Seen::Flag);
        match field {
            ScalarField::Title => Seen::Text(&self.title),
            ScalarField::Severity => Seen::Severity(self.severity),
            ScalarField::VulnerabilityType => text(&self.vulnerability_type),
            ScalarField::Remediation => text(&self.remediation),
            ScalarField::CvssScore => number(self.cvss_score),
            ScalarField::CvssVector => text(&self.cvss_vector),
            ScalarField::EpssScore => number(self.epss_score),
            ScalarField::EpssPercentile => number(self.epss_percentile),
            ScalarField::KnownExploit => flag(self.known_exploit),
            ScalarField::KevDueAt => self.kev_due_at.map_or(Seen::Nothing, Seen::Time),
            ScalarField::RansomwareUse => flag(self.ransomware_use),
        }
    }

    /// What is shown of a field.
    pub(crate) fn value(&self, field: LayeredField) -> Seen<'_> {
        match field {
            LayeredField::Scalar(field) => self.seen(field),
            LayeredField::Status => Seen::Status(self.status),
            LayeredField::Set(field) => Seen::Set(self.set(field)),
        }
    }

    /// What is shown of the field that `statement` speaks of.
    pub(crate) fn spoken(&self, statement: &Statement) -> Seen<'_> {
        self.value(match statement {
            Statement::Set(field, _) => LayeredField::Scalar(*field),
            Statement::Element(field, ..) => LayeredField::Set(*field),
            Statement::Judge(_) => LayeredField::Status,
        })
    }

    /// What is shown of a field by its name.
    fn named(&self, field: &str) -> Seen<'_> {
        let scalar = || ScalarField::parse(field).map(LayeredField::Scalar);
        let set = || SetField::parse(field).map(LayeredField::Set);
        let field = if field == "status" { Some(LayeredField::Status) } else { scalar().or_else(set) };
        field.map_or(Seen::Nothing, |field| self.value(field))
    }

    /// Everything shown but the status, as statements: the other half of the stored layers.
    pub fn statements(&self) -> Vec<Statement> {
        let scalars = ScalarField::ALL
            .iter()
            .filter_map(|field| self.scalar(*field).map(|value| Statement::Set(*field, Some(value))));
        let elements = SetField::ALL.iter().flat_map(|field| {
            self.set(*field).iter().map(|element| Statement::Element(*field, element.clone(), true))
        });
        scalars.chain(elements).collect()
    }

    /// Whether `statement` is already what is shown.
    pub fn says(&self, statement: &Statement) -> bool {
        match statement {
            Statement::Set(field, value) => self.seen(*field) == Seen::of(value.as_ref()),
            Statement::Element(field, element, present) => {
                self.set(*field).binary_search(element).is_ok() == *present
            }
            Statement::Judge(verdict) => self.status == verdict.status,
        }
    }

    /// Shows `statement` from now on.
    pub fn show(&mut self, statement: &Statement) {
        match statement {
            Statement::Set(field, value) => self.set_scalar(*field, value.clone()),
            Statement::Element(field, element, present) => {
                let set = &mut self.sets[usize::from(field.code())];
                match (set.binary_search(element), present) {
                    (Err(at), true) => set.insert(at, element.clone()),
                    (Ok(at), false) => drop(set.remove(at)),
                    _ => {}
                }
            }
            Statement::Judge(verdict) => self.status = verdict.status,
        }
    }

    /// What would show again what is shown now, once `statement` was shown.
    pub(crate) fn undoing(&self, statement: &Statement) -> Statement {
        match statement {
            Statement::Set(field, _) => Statement::Set(*field, self.scalar(*field)),
            Statement::Element(field, element, _) => {
                let shown = self.set(*field).binary_search(element).is_ok();
                Statement::Element(*field, element.clone(), shown)
            }
            Statement::Judge(_) => Statement::Judge(Verdict::of(self.status)),
        }
    }

    fn set_scalar(&mut self, field: ScalarField, value: Option<Scalar>) {
        let text = match &value {
            Some(Scalar::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let number = match &value {
            Some(Scalar::Number(number)) => Some(*number),
            _ => None,
        };
        let flag = match &value {
            Some(Scalar::Flag(flag)) => Some(*flag),
            _ => None,
        };
        match field {
            ScalarField::Title => self.title = text.unwrap_or_default(),
            ScalarField::Severity => {
                if let Some(Scalar::Severity(severity)) = value {
                    self.severity = severity;
                }
            }
            ScalarField::VulnerabilityType => self.vulnerability_type = text,
            ScalarField::Remediation => self.remediation = text,
            ScalarField::CvssScore => self.cvss_score = number,
            ScalarField::CvssVector => self.cvss_vector = text,
            ScalarField::EpssScore => self.epss_score = number,
            ScalarField::EpssPercentile => self.epss_percentile = number,
            ScalarField::KnownExploit => self.known_exploit = flag,
            ScalarField::KevDueAt => {
                self.kev_due_at = match value {
                    Some(Scalar::Time(at)) => Some(at),
                    _ => None,
                }
            }
            ScalarField::RansomwareUse => self.ransomware_use = flag,
        }
    }

    /// A value as the API writes it.
    pub fn json(&self, field: &str) -> Json {
        json!(self.named(field))
    }

    /// The names of the fields in which two differ.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        self.differing(other).map(LayeredField::word).collect()
    }

    /// The fields in which two differ.
    pub(crate) fn differing(&self, other: &Self) -> impl Iterator<Item = LayeredField> {
        let scalars = ScalarField::ALL.iter().map(|field| LayeredField::Scalar(*field));
        let sets = SetField::ALL.iter().map(|field| LayeredField::Set(*field));
        let fields = scalars.chain([LayeredField::Status]).chain(sets);
        fields.filter(|field| self.value(*field) != other.value(*field))
    }
}

impl LayeredField {
    pub fn word(self) -> &'static str {
        match self {
            Self::Scalar(field) => field.word(),
            Self::Status => "status",
            Self::Set(field) => field.word(),
        }
    }
}

impl<'a> Seen<'a> {
    /// Writes the value as the audit has it: JSON, the same that serde makes of it.
    pub fn write(self, text: &mut String) {
        match self {
            Self::Nothing => text.push_str("null"),
            Self::Severity(severity) => quote(text, severity.word()),
            Self::Status(status) => quote(text, status.word()),
            Self::Flag(flag) => text.push_str(if flag { "true" } else { "false" }),
            Self::Text(value) => quote(text, value),
            Self::Set(elements) => {
                text.push('[');
                for (at, element) in elements.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    quote(text, element);
                }
                text.push(']');
            }
            Self::Number(_) | Self::Time(_) => text.push_str(&json!(self).to_string()),
        }
    }

    fn of(scalar: Option<&'a Scalar>) -> Self {
        match scalar {
            None => Self::Nothing,
            Some(Scalar::Severity(severity)) => Self::Severity(*severity),
            Some(Scalar::Flag(flag)) => Self::Flag(*flag),
            Some(Scalar::Number(number)) => Self::Number(*number),
            Some(Scalar::Text(text)) => Self::Text(text),
            Some(Scalar::Time(at)) => Self::Time(*at),
        }
    }
}

/// Writes a text as JSON. Most have nothing to escape, which is seen quicker than it is escaped.
fn quote(out: &mut String, text: &str) {
    let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().fold(false, |any, byte| any | is_special(byte)) {
        out.push_str(&json!(text).to_string());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

impl Scalar {
    pub fn json(&self) -> Json {
        json!(Seen::of(Some(self)))
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(seen: Seen<'_>) -> String {
        let mut text = String::new();
        seen.write(&mut text);
        text
    }

    #[test]
    fn a_value_that_is_no_text_is_written_as_serde_writes_it() {
        let all = Severity::ALL.iter().map(|severity| Seen::Severity(*severity));
        let all = all.chain(Status::ALL.iter().map(|status| Seen::Status(*status)));
        let others = [Seen::Nothing, Seen::Flag(true), Seen::Flag(false), Seen::Time(Timestamp(1))];
        let numbers = [0.1, 7.0, -0.0, 1e300, f64::NAN].map(Seen::Number);
        for seen in all.chain(others).chain(numbers) {
            assert_eq!(written(seen), json!(seen).to_string());
        }
    }

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_writes_it(text in any::<String>(), set in prop::collection::vec(".{0,9}|[\"\\\\\u{1}]", 0..4)) {
            prop_assert_eq!(written(Seen::Text(&text)), json!(text).to_string());
            prop_assert_eq!(written(Seen::Set(&set)), json!(set).to_string());
        }
    }
}
