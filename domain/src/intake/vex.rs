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
/// Stands for words that begin with [`BEARS`]: what is affected has no justification in any vocabulary, and its author may
/// bear it all the same.
pub const RISK_ACCEPTED: &str = "risk_accepted";
/// A response of CycloneDX, which stands for a justification where there is none.
pub const WILL_NOT_FIX: &str = "will_not_fix";

/// How the author of a statement says that what is affected stays so, in our exports and in what others write like them.
const BEARS: &str = "Risk accepted.";

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
const BORNE: &str = "it is there, and the author says that the risk is accepted";

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
    row(Vocabulary::OpenVex, "affected", RISK_ACCEPTED, ACCEPTED, BORNE),
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
    row(Vocabulary::Csaf, "known_affected|first_affected|last_affected", RISK_ACCEPTED, ACCEPTED, BORNE),
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
        WILL_NOT_FIX,
        ACCEPTED,
        "the response says so, where there is no justification",
    ),
    row(Vocabulary::CycloneDx, "not_affected", ABSENT, FALSE, NO_REASON),
    row(Vocabulary::CycloneDx, "not_affected", OTHER, ACCEPTED, UNKNOWN_REASON),
    row(Vocabulary::CycloneDx, "false_positive", OTHER, FALSE, "the author says so"),
    row(Vocabulary::CycloneDx, "resolved|resolved_with_pedigree", OTHER, FIXED, MENDED),
    row(Vocabulary::CycloneDx, "exploitable", RISK_ACCEPTED, ACCEPTED, BORNE),
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

/// [`RISK_ACCEPTED`], where a text begins with the words for it.
pub fn bears(text: Option<&str>) -> Option<&'static str> {
    text.is_some_and(|text| text.trim_start().starts_with(BEARS)).then_some(RISK_ACCEPTED)
}

/// What the author of an accepted risk says, so that [`bears`] tells it again.
pub fn borne(statement: Option<&str>) -> String {
    statement.map_or_else(|| BEARS.to_owned(), |statement| format!("{BEARS} {statement}"))
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
    if justification != Some(RISK_ACCEPTED) {
        return Some(Verdict { status, justification: justification.map(str::to_owned), statement, author });
    }
    // Its words said that it is accepted; what is left of them is why.
    let why = statement.map(|text| text.trim_start().trim_start_matches(BEARS).trim().to_owned());
    Some(Verdict { status, justification: None, statement: why.filter(|text| !text.is_empty()), author })
}

/// How a vocabulary of VEX says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    pub state: &'static str,
    pub justification: Option<&'static str>,
}

/// The vocabularies of documents that are only about decisions.
const OF_VEX: [Vocabulary; 3] = [Vocabulary::OpenVex, Vocabulary::Csaf, Vocabulary::CycloneDx];

/// The table the other way: how `vocabulary` says that a finding is `status`, with `justification` in the word of any vocabulary
/// of VEX. A word that it does not have becomes the one of its own that means the same; one that nothing means is left out. `None`
/// for a status that VEX has no word for.
pub fn words(vocabulary: Vocabulary, status: Status, justification: Option<&str>) -> Option<Words> {
    let (verdict, because) = match status {
        Status::Open => (None, Some(OPEN)),
        Status::InProgress => (None, Some(STANDS)),
        Status::Closed => return None,
        status => (Some(status), None),
    };
    let rows = |vocabulary: Vocabulary| {
        TABLE.iter().filter(move |row| row.vocabulary == vocabulary && row.status == verdict)
    };
    let is_named = |row: &&Row| ![ABSENT, OTHER].contains(&row.justification);
    let named = |vocabulary, why: &str| {
        rows(vocabulary).filter(is_named).find(|row| row.justification.eq_ignore_ascii_case(why.trim()))
    };
    let same = || {
        let why = justification?;
        named(vocabulary, why).or_else(|| {
            let meant = OF_VEX.into_iter().find_map(|other| named(other, why))?;
            rows(vocabulary).filter(is_named).find(|row| row.because == meant.because)
        })
    };
    let any = |why: &'static str| {
        rows(vocabulary)
            .find(move |row| row.justification == why && because.is_none_or(|because| row.because == because))
    };
    let row = same().or_else(|| [RISK_ACCEPTED, OTHER, ABSENT].into_iter().find_map(any))?;
    let state = row.state.split('|').next().unwrap_or(row.state);
    Some(Words { state, justification: Some(row.justification).filter(|_| is_named(&row)) })
}

/// Whether it is a justification in the word of a vocabulary of VEX.
pub fn is_justification(word: &str) -> bool {
    TABLE.iter().any(|row| {
        OF_VEX.contains(&row.vocabulary)
            && ![ABSENT, OTHER, RISK_ACCEPTED].contains(&row.justification)
            && row.justification.eq_ignore_ascii_case(word)
    })
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
            (Vocabulary::CycloneDx, "exploitable", Some("will_not_fix"), None),
            (Vocabulary::OpenVex, "affected", Some(RISK_ACCEPTED), ACCEPTED),
            (Vocabulary::Snyk, "ignored", Some("wont-fix"), ACCEPTED),
        ];
        for (vocabulary, state, why, expected) in cases {
            assert_eq!(status(vocabulary, state, why), expected, "{state} {why:?}");
        }
    }

    #[test]
    fn the_way_back_comes_out_where_it_began() {
        for vocabulary in OF_VEX {
            for row in TABLE.iter().filter(|row| OF_VEX.contains(&row.vocabulary)) {
                let Some(verdict) = row.status else { continue };
                let why = Some(row.justification).filter(|why| ![ABSENT, OTHER].contains(why));
                let said = words(vocabulary, verdict, why).expect("VEX has a word for each verdict");
                assert_eq!(status(vocabulary, said.state, said.justification), Some(verdict), "{said:?}");
                // In its own vocabulary the very word comes back.
                if row.vocabulary == vocabulary && why.is_some() {
                    assert_eq!(said.justification, why, "{said:?}");
                }
            }
            for active in [Status::Open, Status::InProgress] {
                let said = words(vocabulary, active, Some("component_not_present")).expect("VEX has a word");
                assert_eq!(
                    (status(vocabulary, said.state, said.justification), said.justification),
                    (None, None)
                );
            }
            assert_eq!(words(vocabulary, Status::Closed, None), None);
        }
        let cases = [
            (Vocabulary::CycloneDx, "component_not_present", "not_affected", Some("code_not_present")),
            (
                Vocabulary::CycloneDx,
                "inline_mitigations_already_exist",
                "not_affected",
                Some("protected_by_compiler"),
            ),
            (
                Vocabulary::OpenVex,
                "protected_at_perimeter",
                "not_affected",
                Some("inline_mitigations_already_exist"),
            ),
            (Vocabulary::OpenVex, "requires_environment", "affected", Some(RISK_ACCEPTED)),
            (Vocabulary::Csaf, "wont-fix", "known_affected", Some(RISK_ACCEPTED)),
            (Vocabulary::CycloneDx, "will_not_fix", "not_affected", Some(WILL_NOT_FIX)),
        ];
        for (vocabulary, why, state, justification) in cases {
            let status =
                if why == "component_not_present" { Status::FalsePositive } else { Status::AcceptedRisk };
            assert_eq!(words(vocabulary, status, Some(why)), Some(Words { state, justification }), "{why}");
        }
    }

    #[test]
    fn what_is_borne_is_told_by_its_first_words() {
        let verdict = |text: &str| {
            super::verdict(Vocabulary::OpenVex, "affected", bears(Some(text)), Some(text.to_owned()), None)
        };
        let borne = Some(Verdict {
            status: Status::AcceptedRisk,
            justification: None,
            statement: Some("Till May.".into()),
            author: None,
        });
        assert_eq!(verdict(&super::borne(Some("Till May."))), borne);
        assert_eq!(verdict(&super::borne(None)).map(|verdict| verdict.statement), Some(None));
        assert_eq!(verdict("The risk accepted."), None);
    }
}
