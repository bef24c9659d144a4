//! Stories that must come out so, told of the pure functions alone.

use domain::finding::change::Change;
use domain::finding::facts::{Finding, scanner_statements};
use domain::finding::layers::{Layer, RevokeMode, Scalar, ScalarField, SetField, Source, Statement, revoke};
use domain::intake::report::{Reported, ReportedAsset};
use domain::inventory::asset::Asset;
use domain::rule::action::Action;
use domain::rule::pass::{Exempt, LiveRule, badges, pass};
use domain::vocabulary::criteria::{Compiled, Criteria};
use domain::vocabulary::field::finding::FINDING;
use domain::vocabulary::terms::Severity;
use domain::vocabulary::terms::Severity::{Critical, High, Low, Medium, Urgent};
use domain::vocabulary::time::Span;
use serde_json::{Value as Json, json};
use support::NOW;
use uuid::Uuid;

use super::history::{BY, finding_of};

/// What happens in a story, and what must then be so.
enum Beat {
    /// An import: a sighting, then the pass of these rules.
    Import(Severity, &'static [Rule]),
    /// An import that changes nothing and has nothing to tell.
    ImportInVain(Severity, &'static [Rule]),
    Sweep(&'static [Rule]),
    Says(Statement),
    Revoke(Rule, RevokeMode, &'static [Rule]),
    /// A revoke that a person's word is in the way of.
    RevokeUnderPerson(Rule),
    Shows(Severity),
    Entries(&'static [(Layer, Severity)]),
    Tagged(bool),
    Badges(&'static [Rule]),
    /// The finding is as if these rules had been there from its first import, of this severity.
    AsIfAlways(Severity, &'static [Rule]),
}
use Beat::*;

/// The rules of the stories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Rule {
    CriticalToHigh = 1,
    HighToMedium,
    TagAll,
    /// CriticalToHigh after an edit.
    CriticalToMedium,
}
use Rule::*;

const PERSON: Uuid = Uuid::from_u128(0xA1);

impl Rule {
    /// An edit keeps the id.
    fn id(self) -> Uuid {
        Uuid::from_u128(match self {
            CriticalToMedium => CriticalToHigh as u128,
            rule => rule as u128,
        })
    }

    fn live(self) -> LiveRule {
        let severity = |at: Severity, to: Severity| {
            let criteria = json!({ "field": "severity", "operator": "eq", "value": at });
            (criteria, json!({ "type": "override_severity", "config": { "severity": to } }))
        };
        let (criteria, action) = match self {
            CriticalToHigh => severity(Critical, High),
            HighToMedium => severity(High, Medium),
            CriticalToMedium => severity(Critical, Medium),
            TagAll => (
                json!({ "field": "title", "operator": "is_not_empty" }),
                json!({ "type": "append_tag", "config": { "tags": ["pci"] } }),
            ),
        };
        let criteria = Criteria::parse(&FINDING, &criteria).expect("the criteria are in order");
        LiveRule {
            id: self.id(),
            name: format!("{self:?}"),
            version: 1,
            content_hash: String::new(),
            enforced: true,
            criteria: Ok(Compiled::new(&criteria)),
            action: Action::parse(&action).expect("the action is in order"),
        }
    }
}

fn severity(to: Severity) -> Beat {
    Says(Statement::Set(ScalarField::Severity, Some(Scalar::Severity(to))))
}

fn report(severity: Severity) -> Reported {
    let asset = ReportedAsset { name: "web-01".to_owned(), kind: None };
    Reported { asset, title: "a".to_owned(), severity, ..Reported::default() }
}

/// The finding after an import, and how many audit entries that took.
fn imported(mut finding: Finding, severity: Severity, rules: &[Rule]) -> (Finding, usize) {
    let seen_at = finding.last_seen_at.plus(Span::DAY);
    let facts = scanner_statements(&report(severity));
    let sighted = Change::Sighted { evidence: Box::new(finding.evidence.clone()), facts, seen_at, by: BY };
    let entries = finding.change(sighted, &Json::Null).expect("a sighting is always allowed");
    let (finding, applications) = swept(finding, rules);
    (finding, entries.len() + applications)
}

fn swept(mut finding: Finding, rules: &[Rule]) -> (Finding, usize) {
    let rules: Vec<LiveRule> = rules.iter().map(|rule| rule.live()).collect();
    let Some(passed) = pass(&finding, &asset(), &rules, &Exempt::default(), NOW) else { return (finding, 0) };
    let applied = passed.apply(&mut finding);
    (finding, applied.applications.len())
}

fn asset() -> Asset {
    Asset {
        id: Uuid::from_u128(0xE1),
        company: Uuid::from_u128(0xC1),
        name: "web-01".to_owned(),
        kind: None,
        class: None,
        groups: Vec::new(),
        criticality: None,
        environment: None,
        internet_exposed: None,
        owner_team: None,
        tags: Vec::new(),
        archived_at: None,
        created_at: NOW,
        updated_at: NOW,
        version: 1,
    }
}

fn told(story: &str, first: Severity, beats: Vec<Beat>) {
    let mut finding = finding_of(&report(first));
    for (at, beat) in beats.into_iter().enumerate() {
        let at = format!("{story}, beat {at}");
        let entries = finding.layers.stack(ScalarField::Severity).to_vec();
        match beat {
            Import(severity, rules) => {
                finding = imported(finding, severity, rules).0;
            }
            ImportInVain(severity, rules) => {
                let (after, told) = imported(finding.clone(), severity, rules);
                assert_eq!((told, &after.layers), (0, &finding.layers), "{at}");
                finding = after;
            }
            Sweep(rules) => finding = swept(finding, rules).0,
            Says(statement) => {
                let said = Change::Said { source: Source::human(PERSON), statements: vec![statement] };
                assert_eq!(finding.change(said, &Json::Null).expect("people may speak").len(), 1, "{at}");
            }
            Revoke(rule, mode, above) => {
                let (taken, conflicts) = revoke(&mut finding.layers, rule.id(), mode);
                let above: Vec<Source> = above.iter().map(|rule| Source::rule(rule.id())).collect();
                let named: Vec<Source> = conflicts.into_iter().flat_map(|conflict| conflict.above).collect();
                assert_eq!((taken, named), (above.is_empty(), above), "{at}");
            }
            RevokeUnderPerson(rule) => {
                let (taken, conflicts) = revoke(&mut finding.layers, rule.id(), RevokeMode::Safe);
                assert!(!taken, "{at}");
                assert_eq!(conflicts[0].above, [Source::human(PERSON)], "{at}");
            }
            Shows(severity) => {
                let shown = finding.layers.scalar(ScalarField::Severity);
                assert_eq!(shown, Some(&Scalar::Severity(severity)), "{at}");
            }
            Entries(wanted) => {
                let said: Vec<_> =
                    entries.iter().map(|entry| (entry.source.layer, entry.value.clone())).collect();
                let wanted: Vec<_> =
                    wanted.iter().map(|(layer, at)| (*layer, Some(Scalar::Severity(*at)))).collect();
                assert_eq!(said, wanted, "{at}");
            }
            Tagged(tagged) => assert_eq!(finding.layers.contains(SetField::Tags, "pci"), tagged, "{at}"),
            Badges(rules) => {
                let shown: Vec<Uuid> = badges(&finding.layers).into_iter().map(|badge| badge.0).collect();
                let rules: Vec<Uuid> = rules.iter().map(|rule| rule.id()).collect();
                assert_eq!(shown, rules, "{at}");
            }
            AsIfAlways(severity, rules) => {
                let (fresh, _) = swept(finding_of(&report(severity)), rules);
                assert_eq!(finding.layers, fresh.layers, "{at}");
            }
        }
    }
}

#[test]
fn stories_come_out_so() {
    use Layer::{Human, Rule as Ruled, Scanner};
    use RevokeMode::{Force, Safe};

    told(
        "a person's word over a rule's, then a re-import",
        Critical,
        vec![
            Import(Critical, &[CriticalToHigh]),
            Badges(&[CriticalToHigh]),
            severity(Low),
            Import(Urgent, &[CriticalToHigh]),
            Shows(Low),
            Entries(&[(Scanner, Urgent), (Ruled, High), (Human, Low)]),
            Badges(&[]),
            ImportInVain(Urgent, &[CriticalToHigh]),
        ],
    );
    told(
        "a revoke beneath another rule",
        Critical,
        vec![
            Import(Critical, &[CriticalToHigh, HighToMedium]),
            Shows(Medium),
            Revoke(CriticalToHigh, Safe, &[HighToMedium]),
            Shows(Medium),
            // What a rule said stays when it is turned off, and so does what follows from it.
            Sweep(&[HighToMedium]),
            Entries(&[(Scanner, Critical), (Ruled, High), (Ruled, Medium)]),
            Revoke(CriticalToHigh, Force, &[]),
            Shows(Critical),
            Entries(&[(Scanner, Critical)]),
            Sweep(&[HighToMedium]),
            Entries(&[(Scanner, Critical)]),
        ],
    );
    told(
        "what a rule followed falls away",
        Critical,
        vec![
            Import(Critical, &[CriticalToHigh, HighToMedium]),
            Import(Urgent, &[CriticalToHigh, HighToMedium]),
            Shows(Urgent),
            Entries(&[(Scanner, Urgent)]),
        ],
    );
    told(
        "a tag that a person removed",
        Critical,
        vec![
            Import(Critical, &[TagAll]),
            Tagged(true),
            Says(Statement::Element(SetField::Tags, "pci".to_owned(), false)),
            Tagged(false),
            ImportInVain(Critical, &[TagAll]),
            Tagged(false),
        ],
    );
    told(
        "no ratchet",
        Critical,
        vec![
            Import(Critical, &[HighToMedium, CriticalToHigh]),
            Shows(High),
            ImportInVain(Critical, &[HighToMedium, CriticalToHigh]),
            Shows(High),
            ImportInVain(Critical, &[HighToMedium, CriticalToHigh]),
            Shows(High),
        ],
    );
    told(
        "a revert, where nobody spoke since",
        Critical,
        vec![
            Import(Critical, &[CriticalToHigh]),
            Revoke(CriticalToHigh, Safe, &[]),
            Entries(&[(Scanner, Critical)]),
        ],
    );
    told(
        "a revert, where a person spoke since",
        Critical,
        vec![
            Import(Critical, &[CriticalToHigh]),
            severity(Low),
            RevokeUnderPerson(CriticalToHigh),
            Entries(&[(Scanner, Critical), (Ruled, High), (Human, Low)]),
        ],
    );
    told(
        "a rule edited halfway through an import",
        Critical,
        vec![
            Import(Critical, &[CriticalToHigh]),
            Import(Critical, &[CriticalToMedium]),
            AsIfAlways(Critical, &[CriticalToMedium]),
        ],
    );
}
