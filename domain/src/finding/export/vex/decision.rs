//! What was decided of a finding, and by whom. Pure.

use std::collections::HashMap;

use uuid::Uuid;

use crate::finding::facts::Finding;
use crate::finding::layers::{Layer, SetField};
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary, Words};
use crate::rule::Rule;
use crate::rule::action::Action;
use crate::vocabulary::terms::{Status, Term};

/// What is said of a vulnerability in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub status: Status,
    /// Why, in the word of a vocabulary.
    pub justification: Option<String>,
    /// Why, in the words of whoever decided.
    pub statement: Option<String>,
    pub by: Option<String>,
}

/// The words of those who decided, beside what the findings hold themselves.
#[derive(Default)]
pub struct Voices {
    pub rules: HashMap<Uuid, Rule>,
    /// Who moved a finding, and the reason given.
    pub moves: HashMap<Uuid, (String, Option<String>)>,
}

impl Decision {
    /// `None` for what VEX has no word for.
    pub fn of(finding: &Finding, voices: &Voices) -> Option<Self> {
        let layers = finding.layers.status();
        let status = finding.shown.status;
        if status == Status::Closed {
            return None;
        }
        let Some(verdict) = layers.verdict() else {
            let moved = voices.moves.get(&finding.id).filter(|_| layers.is_settled());
            let (justification, statement) =
                moved.and_then(|(_, why)| why.as_deref()).map_or((None, None), read);
            let given = layers.grounds.justification.map(|word| word.word().to_owned());
            let justification = given.or(justification);
            return Some(Self { status, justification, statement, by: moved.map(|(name, _)| name.clone()) });
        };
        let rule = voices.rules.get(&verdict.source.by).filter(|_| verdict.source.layer == Layer::Rule);
        if let Some(rule) = rule {
            let (justification, statement) = match &rule.content.action {
                Action::AcceptedRisk(risk) => read(&risk.reason),
                _ => (None, None),
            };
            return Some(Self {
                status,
                justification,
                statement,
                by: Some(format!("rule '{}'", rule.content.name)),
            });
        }
        let said = &verdict.value;
        let by = said.author.clone();
        let (justification, statement) = (said.justification.clone(), said.statement.clone());
        Some(Self { status, justification, statement, by })
    }

    /// Whether it is heard instead of the other, where both are of findings in one place.
    pub fn excuses_less(&self, other: &Self) -> bool {
        let leniency = |decision: &Self| match decision.status {
            Status::InProgress => 0,
            Status::Open => 1,
            Status::AcceptedRisk => 2,
            Status::FalsePositive => 3,
            Status::Fixed => 4,
            Status::Closed => 5,
        };
        leniency(self) < leniency(other)
    }

    /// How a vocabulary says it, and what is left to say in words: why, with a justification that it does not have.
    pub fn words(&self, vocabulary: Vocabulary) -> Option<(Words, Option<String>)> {
        let words = vex::words(vocabulary, self.status, self.justification.as_deref())?;
        let lost = self
            .justification
            .as_deref()
            .filter(|why| !words.justification.is_some_and(|said| said.eq_ignore_ascii_case(why.trim())));
        let text = match (lost, &self.statement) {
            (Some(lost), Some(text)) => Some(format!("{lost}: {text}")),
            (Some(lost), None) => Some(lost.to_owned()),
            (None, text) => text.clone(),
        };
        Some((words, text))
    }
}

/// A reason in its parts: one that begins with a justification of VEX says that, and what follows is why.
fn read(reason: &str) -> (Option<String>, Option<String>) {
    let reason = reason.trim();
    let first = reason.split(|c: char| c == ':' || c.is_whitespace()).next().unwrap_or_default();
    if !vex::is_justification(first) {
        return (None, Some(reason.to_owned()).filter(|text| !text.is_empty()));
    }
    let rest = reason[first.len()..].trim_start_matches(':').trim();
    (Some(first.to_ascii_lowercase()), Some(rest.to_owned()).filter(|text| !text.is_empty()))
}

/// Whether the vulnerability goes by `name` first: by its CVE ids, or else by the scanner's own.
pub fn goes_by(finding: &Finding, name: &str) -> bool {
    let cves = finding.shown.set(SetField::CveIds);
    cves.is_empty() || cves.iter().any(|cve| cve == name)
}

/// The other name of a vulnerability that goes by `name`, where there is no doubt that both are of one.
pub fn alias(finding: &Finding, name: &str) -> Option<String> {
    let own = finding.evidence.scanner_reference.as_deref().map(text::vulnerability)?;
    let single = finding.shown.set(SetField::CveIds).len() == 1 && finding.evidence.component_name.is_some();
    (single && own != name && !own.is_empty()).then_some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_may_begin_with_a_justification() {
        let cases = [
            ("component_not_present: we removed it", Some("component_not_present"), Some("we removed it")),
            ("Code_Not_Reachable", Some("code_not_reachable"), None),
            ("protected_at_perimeter the proxy", Some("protected_at_perimeter"), Some("the proxy")),
            ("Nothing to see", None, Some("Nothing to see")),
            ("risk_accepted: by us", None, Some("risk_accepted: by us")),
            (" ", None, None),
        ];
        for (reason, why, text) in cases {
            assert_eq!(read(reason), (why.map(str::to_owned), text.map(str::to_owned)), "{reason}");
        }
    }

    #[test]
    fn what_excuses_least_is_heard() {
        let of = |status| Decision { status, justification: None, statement: None, by: None };
        let statuses =
            [Status::Fixed, Status::FalsePositive, Status::AcceptedRisk, Status::Open, Status::InProgress];
        for (at, lenient) in statuses.into_iter().enumerate() {
            for strict in statuses.into_iter().skip(at) {
                assert_eq!(of(strict).excuses_less(&of(lenient)), strict != lenient, "{strict} {lenient}");
                assert!(!of(lenient).excuses_less(&of(strict)), "{lenient} {strict}");
            }
        }
    }
}
