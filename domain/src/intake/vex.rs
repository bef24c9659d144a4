//! What reports say of their own findings, and what that makes of a finding: the vocabularies of VEX, and the words of
//! scanners and platforms for what was settled or left out. One table, which `docs/formats.md` prints.

use crate::intake::report::Verdict;
use crate::vocabulary::terms::Status;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    OpenVex,
    Csaf,
    CycloneDx,
    Grype,
    Trivy,
    DependencyCheck,
    OsvScanner,
    Snyk,
    Sarif,
    Dependabot,
    CodeScanning,
    SecretScanning,
    Burp,
    Zap,
    Semgrep,
    Qualys,
    Ocsf,
    Asff,
}

impl Vocabulary {
    pub fn label(self) -> &'static str {
        match self {
            Self::OpenVex => "OpenVEX",
            Self::Csaf => "CSAF",
            Self::CycloneDx => "CycloneDX",
            Self::Grype => "Grype",
            Self::Trivy => "Trivy",
            Self::DependencyCheck => "Dependency-Check",
            Self::OsvScanner => "OSV-Scanner",
            Self::Snyk => "Snyk",
            Self::Sarif => "SARIF",
            Self::Dependabot => "GitHub Dependabot",
            Self::CodeScanning => "GitHub code scanning",
            Self::SecretScanning => "GitHub secret scanning",
            Self::Burp => "Burp",
            Self::Zap => "ZAP",
            Self::Semgrep => "Semgrep",
            Self::Qualys => "Qualys",
            Self::Ocsf => "OCSF",
            Self::Asff => "ASFF",
        }
    }
}

/// Stands for a justification that is missing.
pub const ABSENT: &str = "";
/// Stands for every justification that has no row of its own.
pub const OTHER: &str = "*";

/// What a state with a justification makes of a finding.
pub struct Row {
    pub vocabulary: Vocabulary,
    /// The state in the vocabulary's word; the names that mean the same are parted by a bar.
    pub state: &'static str,
    /// The justification, [`ABSENT`] or [`OTHER`].
    pub justification: &'static str,
    /// `None`: the finding stands as it is.
    pub status: Option<Status>,
    pub because: &'static str,
}

const fn row(
    vocabulary: Vocabulary,
    state: &'static str,
    justification: &'static str,
    status: Option<Status>,
    because: &'static str,
) -> Row {
    Row { vocabulary, state, justification, status, because }
}

const FALSE: Option<Status> = Some(Status::FalsePositive);
const ACCEPTED: Option<Status> = Some(Status::AcceptedRisk);
const FIXED: Option<Status> = Some(Status::Fixed);

const NOT_THERE: &str = "what is vulnerable is not there";
const NOT_REACHED: &str = "what is vulnerable is never run";
const NOT_CONTROLLED: &str = "nobody can bring it about from outside";
const HELD_BACK: &str = "the weakness is there; something else holds it back, and can be taken away";
const CIRCUMSTANCES: &str = "the weakness is there; what it takes is not given now, and can change";
const NO_REASON: &str = "the author says that the product is not affected, without one of the known reasons";
const UNKNOWN_REASON: &str = "a reason that is not known does not prove that the weakness is not there";
const MENDED: &str = "it is mended";
const STANDS: &str = "it is there";
const OPEN: &str = "nobody knows yet";
const LEFT_OUT: &str = "somebody chose to leave it out, without saying that it is wrong";
const DISMISSED_AS_WRONG: &str = "whoever looked at it says that it is wrong";
const NO_PATTERN: &str = "what it was found by is not looked for any more";

/// The table. What has no row gives no verdict.
pub const TABLE: &[Row] = &[
    row(Vocabulary::OpenVex, "not_affected", "component_not_present", FALSE, NOT_THERE),
    row(Vocabulary::OpenVex, "not_affected", "vulnerable_code_not_present", FALSE, NOT_THERE),
    row(Vocabulary::OpenVex, "not_affected", "vulnerable_code_not_in_execute_path", FALSE, NOT_REACHED),
    row(
        Vocabulary::OpenVex,
        "not_affected",
        "vulnerable_code_cannot_be_controlled_by_adversary",
        FALSE,
        NOT_CONTROLLED,
    ),
    row(Vocabulary::OpenVex, "not_affected", "inline_mitigations_already_exist", ACCEPTED, HELD_BACK),
    row(Vocabulary::OpenVex, "not_affected", ABSENT, FALSE, NO_REASON),
    row(Vocabulary::OpenVex, "not_affected", OTHER, ACCEPTED, UNKNOWN_REASON),
    row(Vocabulary::OpenVex, "fixed", OTHER, FIXED, MENDED),
    row(Vocabulary::OpenVex, "affected", OTHER, None, STANDS),
    row(Vocabulary::OpenVex, "under_investigation", OTHER, None, OPEN),
    row(Vocabulary::Csaf, "known_not_affected", "component_not_present", FALSE, NOT_THERE),
    row(Vocabulary::Csaf, "known_not_affected", "vulnerable_code_not_present", FALSE, NOT_THERE),
    row(Vocabulary::Csaf, "known_not_affected", "vulnerable_code_not_in_execute_path", FALSE, NOT_REACHED),
    row(
        Vocabulary::Csaf,
        "known_not_affected",
        "vulnerable_code_cannot_be_controlled_by_adversary",
        FALSE,
        NOT_CONTROLLED,
    ),
    row(Vocabulary::Csaf, "known_not_affected", "inline_mitigations_already_exist", ACCEPTED, HELD_BACK),
    row(Vocabulary::Csaf, "known_not_affected", ABSENT, FALSE, NO_REASON),
    row(Vocabulary::Csaf, "known_not_affected", OTHER, ACCEPTED, UNKNOWN_REASON),
    row(Vocabulary::Csaf, "fixed|first_fixed", OTHER, FIXED, MENDED),
    row(Vocabulary::Csaf, "known_affected|first_affected|last_affected", OTHER, None, STANDS),
    row(Vocabulary::Csaf, "under_investigation", OTHER, None, OPEN),
    row(Vocabulary::CycloneDx, "not_affected", "code_not_present", FALSE, NOT_THERE),
    row(Vocabulary::CycloneDx, "not_affected", "code_not_reachable", FALSE, NOT_REACHED),
    row(Vocabulary::CycloneDx, "not_affected", "requires_configuration", ACCEPTED, CIRCUMSTANCES),
    row(Vocabulary::CycloneDx, "not_affected", "requires_dependency", ACCEPTED, CIRCUMSTANCES),
    row(Vocabulary::CycloneDx, "not_affected", "requires_environment", ACCEPTED, CIRCUMSTANCES),
    row(Vocabulary::CycloneDx, "not_affected", "protected_by_compiler", ACCEPTED, HELD_BACK),
    row(Vocabulary::CycloneDx, "not_affected", "protected_at_runtime", ACCEPTED, HELD_BACK),
    row(Vocabulary::CycloneDx, "not_affected", "protected_at_perimeter", ACCEPTED, HELD_BACK),
    row(Vocabulary::CycloneDx, "not_affected", "protected_by_mitigating_control", ACCEPTED, HELD_BACK),
    row(
        Vocabulary::CycloneDx,
        "not_affected",
        "will_not_fix",
        ACCEPTED,
        "the response says so, where there is no justification",
    ),
    row(Vocabulary::CycloneDx, "not_affected", ABSENT, FALSE, NO_REASON),
    row(Vocabulary::CycloneDx, "not_affected", OTHER, ACCEPTED, UNKNOWN_REASON),
    row(Vocabulary::CycloneDx, "false_positive", OTHER, FALSE, "the author says so"),
    row(Vocabulary::CycloneDx, "resolved|resolved_with_pedigree", OTHER, FIXED, MENDED),
    row(Vocabulary::CycloneDx, "exploitable", OTHER, None, STANDS),
    row(Vocabulary::CycloneDx, "in_triage", OTHER, None, OPEN),
    row(
        Vocabulary::Grype,
        "ignored",
        "DistroPackageFixed",
        FIXED,
        "the distribution mended it in the package that it is part of",
    ),
    row(
        Vocabulary::Grype,
        "ignored",
        "Explicit APK NAK",
        FALSE,
        "the distribution says that it is not affected",
    ),
    row(Vocabulary::Grype, "ignored", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::Trivy, "ignored", OTHER, ACCEPTED, LEFT_OUT),
    row(
        Vocabulary::DependencyCheck,
        "suppressed",
        OTHER,
        FALSE,
        "a suppression of Dependency-Check is for what was matched wrongly",
    ),
    row(Vocabulary::OsvScanner, "uncalled", OTHER, FALSE, NOT_REACHED),
    row(
        Vocabulary::OsvScanner,
        "unimportant",
        OTHER,
        ACCEPTED,
        "the distribution says that it does not matter",
    ),
    row(Vocabulary::Snyk, "ignored", "not-vulnerable", FALSE, "whoever ignored it says so"),
    row(Vocabulary::Snyk, "ignored", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::Snyk, "patched", OTHER, FIXED, MENDED),
    row(Vocabulary::Sarif, "suppressed", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::Dependabot, "fixed", OTHER, FIXED, MENDED),
    row(Vocabulary::Dependabot, "dismissed", "inaccurate", FALSE, DISMISSED_AS_WRONG),
    row(Vocabulary::Dependabot, "dismissed", "not_used", FALSE, NOT_REACHED),
    row(Vocabulary::Dependabot, "dismissed", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::Dependabot, "auto_dismissed", OTHER, ACCEPTED, "a rule of the repository leaves it out"),
    row(Vocabulary::CodeScanning, "fixed", OTHER, FIXED, MENDED),
    row(Vocabulary::CodeScanning, "dismissed", "false positive", FALSE, DISMISSED_AS_WRONG),
    row(Vocabulary::CodeScanning, "dismissed", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::SecretScanning, "resolved", "revoked", FIXED, "the secret is worth nothing any more"),
    row(Vocabulary::SecretScanning, "resolved", "false_positive", FALSE, DISMISSED_AS_WRONG),
    row(Vocabulary::SecretScanning, "resolved", "pattern_edited", FALSE, NO_PATTERN),
    row(Vocabulary::SecretScanning, "resolved", "pattern_deleted", FALSE, NO_PATTERN),
    row(Vocabulary::SecretScanning, "resolved", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::Burp, "false positive", OTHER, FALSE, DISMISSED_AS_WRONG),
    row(Vocabulary::Zap, "false positive", OTHER, FALSE, DISMISSED_AS_WRONG),
    row(Vocabulary::Semgrep, "nosemgrep", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::Qualys, "fixed", OTHER, FIXED, MENDED),
    row(Vocabulary::Qualys, "ignored|disabled", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::Ocsf, "false positive", OTHER, FALSE, DISMISSED_AS_WRONG),
    row(Vocabulary::Ocsf, "benign|test", OTHER, FALSE, "what was found is meant to be so"),
    row(Vocabulary::Ocsf, "disregard", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::Ocsf, "suppressed", OTHER, FALSE, "OCSF says so of what was found to be wrong"),
    row(Vocabulary::Ocsf, "resolved|archived|deleted|closed", OTHER, FIXED, MENDED),
    row(Vocabulary::Asff, "false_positive", OTHER, FALSE, DISMISSED_AS_WRONG),
    row(Vocabulary::Asff, "benign_positive|suppressed", OTHER, ACCEPTED, LEFT_OUT),
    row(Vocabulary::Asff, "resolved|archived", OTHER, FIXED, MENDED),
];

/// What `state` with `justification` makes of a finding, ignoring ASCII case.
pub fn status(vocabulary: Vocabulary, state: &str, justification: Option<&str>) -> Option<Status> {
    let why = justification.map(str::trim).unwrap_or(ABSENT);
    let rows = || {
        TABLE.iter().filter(|row| {
            row.vocabulary == vocabulary
                && row.state.split('|').any(|name| name.eq_ignore_ascii_case(state.trim()))
        })
    };
    let row = rows()
        .find(|row| row.justification.eq_ignore_ascii_case(why))
        .or_else(|| rows().find(|row| row.justification == OTHER));
    row.and_then(|row| row.status)
}

/// Whether `state` is a word of the vocabulary.
pub fn knows(vocabulary: Vocabulary, state: &str) -> bool {
    TABLE.iter().any(|row| row.vocabulary == vocabulary && row.state.split('|').any(|name| name == state))
}

/// The verdict of `state` with `justification`; `None` where the finding stands as it is.
pub fn verdict(
    vocabulary: Vocabulary,
    state: &str,
    justification: Option<&str>,
    statement: Option<String>,
    author: Option<String>,
) -> Option<Verdict> {
    let status = status(vocabulary, state, justification)?;
    Some(Verdict { status, justification: justification.map(str::to_owned), statement, author })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_says_what_any_other_justification_means() {
        for row in TABLE {
            let any = TABLE.iter().any(|other| {
                other.vocabulary == row.vocabulary && other.state == row.state && other.justification == OTHER
            });
            assert!(any, "{} {}", row.vocabulary.label(), row.state);
            let same = |other: &&Row| {
                other.vocabulary == row.vocabulary
                    && other.state == row.state
                    && other.justification == row.justification
            };
            assert_eq!(TABLE.iter().filter(same).count(), 1, "{} {}", row.state, row.justification);
            for state in row.state.split('|') {
                let why = match row.justification {
                    OTHER => Some("a word that nobody knows"),
                    ABSENT => None,
                    why => Some(why),
                };
                assert_eq!(status(row.vocabulary, state, why), row.status, "{state} {why:?}");
            }
        }
    }

    #[test]
    fn what_the_table_turns_on() {
        let cases = [
            (Vocabulary::OpenVex, "not_affected", Some("VULNERABLE_CODE_NOT_PRESENT"), FALSE),
            (Vocabulary::OpenVex, "not_affected", Some("inline_mitigations_already_exist"), ACCEPTED),
            (Vocabulary::OpenVex, "not_affected", None, FALSE),
            (Vocabulary::OpenVex, "not_affected", Some("because"), ACCEPTED),
            (Vocabulary::OpenVex, "affected", Some("component_not_present"), None),
            (Vocabulary::OpenVex, "no such state", None, None),
            (Vocabulary::Csaf, "first_fixed", None, FIXED),
            (Vocabulary::Csaf, "last_affected", None, None),
            (Vocabulary::CycloneDx, "resolved_with_pedigree", None, FIXED),
            (Vocabulary::CycloneDx, "in_triage", None, None),
            (Vocabulary::Snyk, "ignored", Some("wont-fix"), ACCEPTED),
        ];
        for (vocabulary, state, why, expected) in cases {
            assert_eq!(status(vocabulary, state, why), expected, "{state} {why:?}");
        }
    }
}
