//! What a finding shows: the values on top of its layers.

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::layers::{LayeredField, Layers, Scalar, ScalarField, SetField, Statement, Verdict};
use crate::vocabulary::terms::{Severity, Status, Term};
use crate::vocabulary::time::Timestamp;

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

    /// Writes these fields as an object. Names of fields have nothing to escape.
    pub(crate) fn write(&self, fields: &[LayeredField], text: &mut String) {
        text.push('{');
        for (at, field) in fields.iter().enumerate() {
            text.push_str(if at == 0 { "\"" } else { ",\"" });
            text.push_str(field.word());
            text.push_str("\":");
            self.value(*field).write(text);
        }
        text.push('}');
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

    /// A value as the audit and the API write it, by the name of its field.
    pub fn json(&self, field: &str) -> Json {
        json!(LayeredField::parse(field).map_or(Seen::Nothing, |field| self.value(field)))
    }

    /// The names of the fields in which two differ.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        self.differing(other).map(LayeredField::word).collect()
    }

    /// The fields in which two differ.
    pub(crate) fn differing(&self, other: &Self) -> impl Iterator<Item = LayeredField> {
        LayeredField::all().filter(|field| self.value(*field) != other.value(*field))
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
