//! Random histories of one finding, and the model that they are held against.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::access::GLOBAL;
use domain::error::Code;
use domain::finding::change::{Change, RuleAt};
use domain::finding::facts::{Evidence, Finding, Sighting, scanner_statements};
use domain::finding::layers::{
    Grounds, Layer, Layers, RevokeMode, Scalar, ScalarField, SetField, Source, Statement, Verdict,
};
use domain::finding::lifecycle;
use domain::finding::shown::Shown;
use domain::intake::report::{Reported, ReportedAsset};
use domain::inventory::asset::Asset;
use domain::rule::action::{
    AcceptedRisk, Action, AppendTag, Assign, NormalizeTitle, OverrideSeverity, SetRemediation, SetVulnType,
};
use domain::rule::pass::{Exempt, LiveRule, Turn, pass};
use domain::rule::revoke::judge;
use domain::vocabulary::criteria::{Compiled, Criteria};
use domain::vocabulary::field::Field;
use domain::vocabulary::field::finding::{FINDING, FindingField};
use domain::vocabulary::terms::{Criticality, Severity, Status, Term};
use domain::vocabulary::time::{Span, Timestamp};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseError;
use serde_json::{Value as Json, json};
use support::NOW;
use support::trees::{TEXTS, tree};
use uuid::Uuid;

type Checked = Result<(), TestCaseError>;

/// A few words, so that what different speakers say often meets.
const WORDS: &[&str] = &["pci", "PCI", "é", "a"];
const PEOPLE: [u128; 2] = [0xA1, 0xA2];
const RUNBOOKS: [u128; 2] = [0xB1, 0xB2];

/// What a rule is before it has an id.
#[derive(Clone, Debug)]
pub struct Bare {
    criteria: Json,
    action: Action,
    mode: Mode,
}

impl Bare {
    pub fn is_on(&self) -> bool {
        self.mode != Mode::Off
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Off,
    Observe,
    Enforce,
}

#[derive(Clone, Debug)]
struct Rule {
    id: Uuid,
    bare: Bare,
    version: i64,
}

impl Rule {
    /// It changes with what the rule does.
    fn hash(&self) -> String {
        format!("v{}", self.version)
    }
}

/// What can befall a finding and its rules.
#[derive(Clone, Debug)]
pub enum Step {
    Sight(Reported),
    SightOld(Reported),
    Gone,
    Say(Source, Vec<Statement>),
    Move(Source, Status),
    Release(Vec<ScalarField>, Vec<SetField>, bool),
    Pass,
    AddRule(Bare),
    SetMode(Index, bool, bool),
    Reorder(Index, Index),
    Edit(Index, Bare),
    Archive(Index),
    Revoke(Index, bool),
    /// Clears the exemptions from a rule.
    Clear(Index),
    ChangeAsset(Asset),
}

impl Step {
    /// Whether rules, or a pass, take part in it.
    pub fn is_of_rules(&self) -> bool {
        use Step::*;
        matches!(
            self,
            Pass | AddRule(_) | SetMode(..) | Reorder(..) | Edit(..) | Archive(_) | Revoke(..) | Clear(_)
        )
    }
}

/// Something that one entry or more are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Scalar(ScalarField),
    Element(SetField, String),
}

/// A finding, its asset and rules, and what the model remembers of its past.
#[derive(Clone, Debug)]
pub struct Past {
    pub finding: Finding,
    pub asset: Asset,
    pub now: Timestamp,
    rules: Vec<Rule>,
    made: u128,
    /// What people said last and did not release.
    people: BTreeMap<Place, Json>,
    /// Where a person or a runbook left the lifecycle, if nobody moved it since.
    decided: Option<Status>,
    /// From which rules it is exempt, as they were.
    exemptions: BTreeMap<Uuid, String>,
}

pub fn severity() -> impl Strategy<Value = Severity> {
    select(Severity::ALL)
}

/// A report's word on the one finding.
pub fn reported() -> impl Strategy<Value = Reported> {
    let option = |words| prop::option::of(select::<&'static str>(words).prop_map(str::to_owned));
    (
        select(&["log4j rce", "  Sql  injection", "SQL INJECTION", "CVE-2021-44228 in log4j", "a"][..]),
        severity(),
        option(WORDS),
        option(WORDS),
        prop::option::of(select(&[0.0, 7.5, 10.0][..])),
        prop::option::of(any::<bool>()),
        prop::collection::btree_set(select(WORDS), 0..3),
        prop::option::weighted(
            0.2,
            select(&[Status::FalsePositive, Status::AcceptedRisk, Status::Fixed][..]),
        ),
    )
        .prop_map(
            |(title, severity, vulnerability_type, remediation, cvss_score, known_exploit, tags, verdict)| {
                Reported {
                    asset: ReportedAsset { name: "web-01".to_owned(), kind: None },
                    title: title.to_owned(),
                    severity,
                    vulnerability_type,
                    remediation,
                    cvss_score,
                    known_exploit,
                    tags: tags.into_iter().map(str::to_owned).collect(),
                    verdict: verdict.map(Verdict::of),
                    ..Reported::default()
                }
            },
        )
}

fn asset() -> impl Strategy<Value = Asset> {
    let tags = prop::collection::btree_set(select(WORDS), 0..3);
    (prop::option::of(select(Criticality::ALL)), tags).prop_map(|(criticality, tags)| Asset {
        id: Uuid::from_u128(0xE1),
        company: Uuid::from_u128(0xC1),
        name: "web-01".to_owned(),
        kind: None,
        class: None,
        groups: Vec::new(),
        criticality,
        environment: None,
        internet_exposed: None,
        owner_team: None,
        tags: tags.into_iter().map(str::to_owned).collect(),
        archived_at: None,
        created_at: NOW,
        updated_at: NOW,
        version: 1,
    })
}

fn action() -> impl Strategy<Value = Action> {
    let words = || prop::collection::btree_set(select(WORDS), 1..3);
    let owned = |words: BTreeSet<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let people = prop::collection::btree_set(select(&PEOPLE[..]), 0..3);
    let until = prop::option::of(select(&[-Span::DAY.0, Span::DAY.0][..]));
    prop_oneof![
        4 => severity().prop_map(|severity| Action::OverrideSeverity(OverrideSeverity { severity })),
        1 => until.prop_map(|until| Action::AcceptedRisk(AcceptedRisk {
            reason: "isolated".to_owned(),
            reference: None,
            owner: None,
            until: until.map(|off| Timestamp(NOW.0 + off)),
        })),
        1 => people.prop_map(|users| Action::Assign(Assign {
            users: users.into_iter().map(Uuid::from_u128).collect(),
            teams: vec![Uuid::from_u128(0xD1)],
        })),
        3 => words().prop_map(move |tags| Action::AppendTag(AppendTag { tags: owned(tags) })),
        1 => select(WORDS).prop_map(|word| Action::SetVulnType(SetVulnType {
            vulnerability_type: word.to_owned(),
        })),
        1 => (prop::option::of(select(WORDS)), words()).prop_map(move |(text, techniques)| {
            Action::SetRemediation(SetRemediation {
                remediation: text.map(str::to_owned),
                techniques: owned(techniques),
            })
        }),
        1 => Just(Action::NormalizeTitle(NormalizeTitle {})),
    ]
}

/// Criteria over what rules and people change, so that rules feed and starve each other; now and
/// then over any field.
fn criteria() -> BoxedStrategy<Json> {
    use FindingField as F;

    let busy: Vec<&'static Field> = [
        F::Severity,
        F::Status,
        F::Title,
        F::VulnerabilityType,
        F::Tags,
        F::AssignedUsers,
        F::RemediationTechniques,
        F::KnownExploit,
        F::CvssScore,
        F::AssetCriticality,
        F::AssetTags,
    ]
    .iter()
    .map(|field| field.field())
    .collect();
    let every: Vec<&'static Field> = FINDING.fields.iter().collect();
    let ids: Vec<Uuid> = PEOPLE.iter().copied().map(Uuid::from_u128).collect();
    let severe = severity().prop_map(|at| json!({ "field": "severity", "operator": "eq", "value": at }));
    let tagged = select(WORDS).prop_map(|tag| json!({ "field": "tags", "operator": "neq", "value": tag }));
    // Criteria that an older release accepted and this one does not: they end in an error.
    let broken = Just(json!({ "field": "abolished", "operator": "eq", "value": 1 }));
    prop_oneof![6 => severe, 4 => tagged, 8 => tree(&busy, &ids), 2 => tree(&every, &ids), 1 => broken]
        .boxed()
}

/// A rule that is enforced.
pub fn bare_rule() -> impl Strategy<Value = Bare> {
    (criteria(), action()).prop_map(|(criteria, action)| Bare { criteria, action, mode: Mode::Enforce })
}

/// A rule in any mode.
pub fn rule() -> impl Strategy<Value = Bare> {
    let modes = [Mode::Off, Mode::Observe, Mode::Enforce, Mode::Enforce, Mode::Enforce];
    (bare_rule(), select(modes.to_vec())).prop_map(|(bare, mode)| Bare { mode, ..bare })
}

/// Who may move a lifecycle.
fn decider() -> impl Strategy<Value = Source> {
    let by = |layer, by: u128| Source { layer, by: Uuid::from_u128(by) };
    prop_oneof![
        4 => select(&PEOPLE[..]).prop_map(move |person| by(Layer::Human, person)),
        1 => select(&RUNBOOKS[..]).prop_map(move |run| by(Layer::Runbook, run)),
    ]
}

/// Who may say things beside the scanner and the rules.
fn speaker() -> impl Strategy<Value = Source> {
    prop_oneof![5 => decider(), 1 => Just(Source { layer: Layer::Intel, by: Uuid::from_u128(0xF1) })]
}

fn statement() -> impl Strategy<Value = Statement> {
    let text = |field| {
        let word = prop::option::of(select(WORDS).prop_map(|word| Scalar::Text(word.to_owned())));
        word.prop_map(move |word| Statement::Set(field, word))
    };
    let element = |field, elements: Vec<String>| {
        (select(elements), any::<bool>()).prop_map(move |(e, on)| Statement::Element(field, e, on))
    };
    let words = || WORDS.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let people = PEOPLE.iter().map(|person| Uuid::from_u128(*person).to_string()).collect();
    prop_oneof![
        4 => severity().prop_map(|at| Statement::Set(ScalarField::Severity, Some(Scalar::Severity(at)))),
        1 => select(TEXTS).prop_map(|title| {
            Statement::Set(ScalarField::Title, Some(Scalar::Text(title.to_owned())))
        }),
        1 => text(ScalarField::VulnerabilityType),
        1 => text(ScalarField::Remediation),
        1 => any::<bool>().prop_map(|on| Statement::Set(ScalarField::KnownExploit, Some(Scalar::Flag(on)))),
        4 => element(SetField::Tags, words()),
        1 => element(SetField::RemediationTechniques, words()),
        1 => element(SetField::AssignedUsers, people),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let some = |fields: &'static [ScalarField]| prop::collection::vec(select(fields), 0..4);
    let sets = prop::collection::vec(select(SetField::ALL), 0..3);
    prop_oneof![
        4 => reported().prop_map(Step::Sight),
        1 => reported().prop_map(Step::SightOld),
        1 => Just(Step::Gone),
        4 => (speaker(), prop::collection::vec(statement(), 1..4)).prop_map(|(who, said)| Step::Say(who, said)),
        2 => (decider(), select(Status::ALL)).prop_map(|(who, status)| Step::Move(who, status)),
        1 => (some(ScalarField::ALL), sets, any::<bool>()).prop_map(|(a, b, c)| Step::Release(a, b, c)),
        6 => Just(Step::Pass),
        1 => rule().prop_map(Step::AddRule),
        2 => (any::<Index>(), any::<bool>(), any::<bool>()).prop_map(|(at, a, b)| Step::SetMode(at, a, b)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Step::Reorder(from, to)),
        1 => (any::<Index>(), rule()).prop_map(|(at, bare)| Step::Edit(at, bare)),
        1 => any::<Index>().prop_map(Step::Archive),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(at, force)| Step::Revoke(at, force)),
        1 => any::<Index>().prop_map(Step::Clear),
        1 => asset().prop_map(Step::ChangeAsset),
    ]
}

/// A finding with up to six rules, and at most `steps` of what befalls them.
pub fn history(steps: usize) -> impl Strategy<Value = (Past, Vec<Step>)> {
    let rules = prop::collection::vec(rule(), 0..6);
    let past = (reported(), asset(), rules).prop_map(|(report, asset, rules)| {
        let mut past = Past {
            finding: finding_of(&report),
            asset,
            now: NOW,
            rules: Vec::new(),
            made: 0x100,
            people: BTreeMap::new(),
            decided: None,
            exemptions: BTreeMap::new(),
        };
        rules.into_iter().for_each(|bare| past.add(bare));
        past
    });
    (past, prop::collection::vec(step(), 0..steps))
}

/// Every sighting is of one series.
pub const BY: Sighting = Sighting { series: Uuid::from_u128(3), present: true, said: Some(4) };

/// The finding that a first report makes.
pub fn finding_of(report: &Reported) -> Finding {
    let mut layers = Layers::new();
    layers.refresh(scanner_statements(report));
    Finding {
        issue: Uuid::nil(),
        issue_by: None,
        id: Uuid::from_u128(1),
        company: Uuid::from_u128(0xC1),
        project: GLOBAL,
        asset: Uuid::from_u128(0xE1),
        fingerprint: Uuid::from_u128(2),
        evidence: Evidence::of("probe", report),
        shown: Shown::of(&layers),
        layers,
        first_seen_at: NOW,
        last_seen_at: NOW,
        sighting: Some(BY),
        closed_at: None,
        sla_breached: None,
        due_at: None,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

/// The rule as the pass takes it.
pub fn live(id: Uuid, bare: &Bare) -> LiveRule {
    LiveRule {
        id,
        name: "rule".to_owned(),
        version: 1,
        content_hash: String::new(),
        enforced: bare.mode == Mode::Enforce,
        criteria: Criteria::parse(&FINDING, &bare.criteria)
            .map(|tree| Compiled::new(&tree))
            .map_err(|faults| faults.to_string()),
        action: bare.action.clone(),
    }
}

/// Every entry that `of` holds for, by what it is about, lowest first.
pub fn entries(layers: &Layers, of: impl Fn(Source) -> bool) -> BTreeMap<Place, Vec<(Source, Json)>> {
    let scalars = ScalarField::ALL.iter().map(|field| {
        let said = layers.stack(*field).iter();
        let said = said.map(|entry| (entry.source, entry.value.as_ref().map_or(Json::Null, Scalar::json)));
        (Place::Scalar(*field), said.collect::<Vec<_>>())
    });
    let elements = SetField::ALL.iter().flat_map(|field| {
        layers.elements(*field).map(|(element, stack)| {
            let said = stack.iter().map(|entry| (entry.source, json!(entry.value))).collect();
            (Place::Element(*field, element.to_owned()), said)
        })
    });
    scalars
        .chain(elements)
        .map(|(place, said)| (place, said.into_iter().filter(|(source, _)| of(*source)).collect::<Vec<_>>()))
        .filter(|(_, said)| !said.is_empty())
        .collect()
}

/// What a source calls the finding.
fn verdicts(layers: &Layers, of: Source) -> Vec<Verdict> {
    let entries = layers.status().verdicts.entries().iter();
    entries.filter(|entry| entry.source == of).map(|entry| entry.value.clone()).collect()
}

fn place_of(statement: &Statement) -> (Place, Json) {
    match statement {
        Statement::Set(field, value) => {
            (Place::Scalar(*field), value.as_ref().map_or(Json::Null, Scalar::json))
        }
        Statement::Element(field, element, on) => (Place::Element(*field, element.clone()), json!(on)),
        Statement::Judge(_) => unreachable!("people move the lifecycle"),
    }
}

impl Past {
    pub fn fresh_id(&mut self) -> Uuid {
        self.made += 1;
        Uuid::from_u128(self.made)
    }

    fn add(&mut self, bare: Bare) {
        let id = self.fresh_id();
        self.rules.push(Rule { id, bare, version: 1 });
    }

    /// The rules that are evaluated, in order.
    pub fn live(&self) -> Vec<LiveRule> {
        self.rules
            .iter()
            .filter(|rule| rule.bare.mode != Mode::Off)
            .map(|rule| LiveRule {
                version: rule.version,
                content_hash: rule.hash(),
                ..live(rule.id, &rule.bare)
            })
            .collect()
    }

    /// What it is exempt from.
    pub fn exempt(&self) -> Exempt {
        let mut exempt = Exempt::default();
        for (rule, hash) in &self.exemptions {
            exempt.add(self.finding.id, *rule, hash.clone());
        }
        exempt
    }

    /// The same past of another finding.
    pub fn of_finding(mut self, id: Uuid) -> Self {
        self.finding.id = id;
        self
    }

    pub fn take_all(&mut self, steps: Vec<Step>) -> Checked {
        steps.into_iter().try_for_each(|step| self.take(step))
    }

    /// Takes a step, and checks what holds of steps of its kind.
    pub fn take(&mut self, step: Step) -> Checked {
        self.now = self.now.plus(Span::HOUR);
        let rule = |at: Index, rules: &[Rule]| (!rules.is_empty()).then(|| at.index(rules.len()));
        match step {
            Step::Sight(report) => self.sight(&report, self.now),
            Step::SightOld(report) => {
                let before = self.finding.clone();
                self.sight(&report, self.finding.last_seen_at.minus(Span::SECOND))?;
                prop_assert_eq!(
                    &self.finding,
                    &before,
                    "a scan older than the last sighting changes nothing"
                );
                Ok(())
            }
            Step::Gone => self.gone(),
            Step::Say(source, statements) => self.say(source, statements),
            Step::Move(source, status) => self.move_to(source, status),
            Step::Release(scalars, sets, status) => self.release(scalars, sets, status),
            Step::Pass => self.pass(),
            Step::AddRule(bare) => {
                self.add(bare);
                Ok(())
            }
            Step::SetMode(at, on, observed) => {
                if let Some(at) = rule(at, &self.rules) {
                    self.rules[at].bare.mode = match (on, observed) {
                        (false, _) => Mode::Off,
                        (true, true) => Mode::Observe,
                        (true, false) => Mode::Enforce,
                    };
                }
                Ok(())
            }
            Step::Reorder(from, to) => {
                if let (Some(from), Some(to)) = (rule(from, &self.rules), rule(to, &self.rules)) {
                    self.rules.swap(from, to);
                }
                Ok(())
            }
            Step::Edit(at, bare) => {
                if let Some(at) = rule(at, &self.rules) {
                    self.rules[at].bare = bare;
                    self.rules[at].version += 1;
                }
                Ok(())
            }
            Step::Archive(at) => {
                if let Some(at) = rule(at, &self.rules) {
                    self.rules.remove(at);
                }
                Ok(())
            }
            Step::Revoke(at, force) => match rule(at, &self.rules) {
                Some(at) => self.revoke(at, force),
                None => Ok(()),
            },
            Step::Clear(at) => {
                if let Some(at) = rule(at, &self.rules) {
                    self.exemptions.remove(&self.rules[at].id);
                }
                Ok(())
            }
            Step::ChangeAsset(asset) => {
                self.asset = asset;
                Ok(())
            }
        }
    }

    fn change(&mut self, change: Change) -> Result<bool, domain::error::Error> {
        Ok(!self.finding.change(change, &Json::Null)?.is_empty())
    }

    fn sight(&mut self, report: &Reported, seen_at: Timestamp) -> Checked {
        let before = self.finding.clone();
        let sighted = Change::Sighted {
            evidence: Box::new(Evidence::of("probe", report)),
            facts: scanner_statements(report),
            seen_at,
            by: BY,
        };
        let told = self.change(sighted).expect("a sighting is always allowed");
        let others = |source: Source| source.layer != Layer::Scanner;
        prop_assert_eq!(
            entries(&self.finding.layers, others),
            entries(&before.layers, others),
            "a report speaks for the scanner alone"
        );
        if seen_at < before.last_seen_at {
            return Ok(());
        }
        let was = before.layers.status().lifecycle.value;
        let is = self.finding.layers.status().lifecycle.value;
        let reopens = matches!(was, Status::Fixed | Status::Closed)
            && before.closed_at.is_none_or(|closed| closed < seen_at);
        prop_assert_eq!(is, if reopens { Status::Open } else { was });
        if reopens {
            self.decided = None;
        }
        let same = before.layers == self.finding.layers && before.evidence == self.finding.evidence;
        prop_assert_eq!(told, !same, "what changes is told, and nothing else");
        Ok(())
    }

    fn gone(&mut self) -> Checked {
        let was = self.finding.layers.status().lifecycle.value;
        self.change(Change::Gone { at: self.now }).expect("a closing is always allowed");
        let is = self.finding.layers.status().lifecycle.value;
        let closes = matches!(was, Status::Open | Status::InProgress | Status::AcceptedRisk);
        prop_assert_eq!(is, if closes { Status::Fixed } else { was });
        if closes {
            self.decided = None;
            prop_assert_eq!(self.finding.shown.status, Status::Fixed);
            prop_assert_eq!(self.finding.closed_at, Some(self.now));
        }
        Ok(())
    }

    fn say(&mut self, source: Source, statements: Vec<Statement>) -> Checked {
        if source.layer == Layer::Human {
            self.people.extend(statements.iter().map(place_of));
        }
        let before = self.finding.layers.clone();
        let told = self.change(Change::Said { source, statements }).expect("anybody may speak");
        prop_assert_eq!(told, before != self.finding.layers);
        Ok(())
    }

    fn move_to(&mut self, source: Source, status: Status) -> Checked {
        let before = self.finding.clone();
        let from = before.shown.status;
        let moved = self.change(Change::Moved { source, status, grounds: Grounds::default(), at: self.now });
        let lawful = from == status || lifecycle::moves(from).contains(&status);
        match moved {
            Ok(_) => {
                prop_assert!(lawful, "{from} to {status} is not in the table");
                prop_assert_eq!(self.finding.shown.status, status);
                prop_assert_eq!(self.finding.closed_at.is_some(), !status.is_active());
                self.decided = Some(status);
            }
            Err(error) => {
                prop_assert!(!lawful, "{from} to {status} is in the table: {error}");
                prop_assert_eq!(error.code, Code::IllegalState);
                prop_assert_eq!(&self.finding, &before);
            }
        }
        Ok(())
    }

    fn release(&mut self, scalars: Vec<ScalarField>, sets: Vec<SetField>, status: bool) -> Checked {
        let before = self.finding.layers.clone();
        self.people.retain(|place, _| match place {
            Place::Scalar(field) => !scalars.contains(field),
            Place::Element(field, _) => !sets.contains(field),
        });
        if status && before.status().lifecycle.source.layer == Layer::Human {
            self.decided = None;
        }
        self.change(Change::Released { scalars, sets, status, issue: false }).expect("anybody may release");
        let others = |source: Source| source.layer != Layer::Human;
        prop_assert_eq!(entries(&self.finding.layers, others), entries(&before, others));
        Ok(())
    }

    fn pass(&mut self) -> Checked {
        let rules = self.live();
        let exempt = self.exempt();
        let Some(passed) = pass(&self.finding, &self.asset, &rules, &exempt, self.now) else {
            return Ok(());
        };
        let enforced: Vec<Uuid> = rules.iter().filter(|rule| rule.enforced).map(|rule| rule.id).collect();
        let before = &self.finding.layers;
        let layers = passed.layers(before);
        // Only the entries of the rules at hand may change, and only where nothing is settled.
        let others = |source: Source| source.layer != Layer::Rule || !enforced.contains(&source.by);
        prop_assert_eq!(entries(&layers, others), entries(before, others));
        prop_assert_eq!(&layers.status().lifecycle, &before.status().lifecycle);
        let all = (entries(before, |_| true), entries(&layers, |_| true));
        for (place, said) in &all.0 {
            if said.last().is_some_and(|(source, _)| source.layer >= Layer::Runbook) {
                prop_assert_eq!(all.1.get(place), Some(said), "a settled field is never touched");
            }
        }
        prop_assert_eq!(&passed.shown, &Shown::of(&layers));
        // What is told is what changed.
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.enforced) {
            let (then, now) = (before.said_by(rule.id), layers.said_by(rule.id));
            let told = passed.applications.iter().find(|application| application.rule == at);
            match told.map(|application| application.turn) {
                Some(Turn::Added) => prop_assert!(then.is_empty() && !now.is_empty()),
                Some(Turn::Withdrawn) => prop_assert!(!then.is_empty() && now.is_empty()),
                Some(Turn::Changed) => prop_assert!(!then.is_empty() && !now.is_empty()),
                None => prop_assert_eq!(then, now, "a change of what a rule says is told"),
            }
        }
        if layers == *before {
            prop_assert!(passed.applications.is_empty());
        }
        for rule in rules.iter().filter(|rule| self.exemptions.get(&rule.id) == Some(&rule.content_hash)) {
            let said = layers.said_by(rule.id);
            prop_assert!(said.is_empty(), "an exempt rule says nothing: {:?}", said);
            prop_assert!(!layers.observed().contains_key(&rule.id));
        }
        passed.apply(&mut self.finding);
        prop_assert_eq!(&self.finding.layers, &layers);
        Ok(())
    }

    fn revoke(&mut self, at: usize, force: bool) -> Checked {
        let (rule, hash) = (self.rules[at].id, self.rules[at].hash());
        let before = self.finding.clone();
        let mode = if force { RevokeMode::Force } else { RevokeMode::Safe };
        let judged = judge(Some(&before), true, rule, mode);
        let at = |id: Uuid| RuleAt { id, version: 1, content_hash: String::new() };
        let rules = Arc::new(before.layers.rules().into_iter().map(at).collect());
        let told = self.finding.change(Change::Revoked { rule, mode, rules }, &Json::Null);
        let told = told.expect("a revoke is always allowed");
        let (was, is) = (&before.layers, &self.finding.layers);
        prop_assert_eq!(judged.takes(), was != is, "what is judged is what happens");
        let of = |source: Source| move |other: Source| other == source;
        // What people and runbooks said is taken with FORCE alone, and told of each.
        let lost = was.deciders().into_iter().filter(|source| {
            entries(is, of(*source)) != entries(was, of(*source))
                || (was.status().lifecycle.source == *source)
                    && was.status().lifecycle != is.status().lifecycle
        });
        prop_assert_eq!(told.len(), lost.count());
        if force {
            prop_assert!(!is.rules().contains(&rule));
            prop_assert!(judged.conflicts.is_empty());
            let spoken = entries(was, |source| source == Source::rule(rule));
            self.people.retain(|place, _| !spoken.contains_key(place));
            if was.status().verdicts.entries().iter().any(|entry| entry.source == Source::rule(rule)) {
                self.decided = None;
            }
        } else {
            prop_assert!(told.is_empty(), "SAFE takes nothing from anybody");
        }
        // Whose words turned is told of each rule: with SAFE, of the one.
        let all: Vec<RuleAt> = was.rules().into_iter().map(at).collect();
        let turns = self.finding.rule_turns(was, &before.shown, &all).len();
        let turned = all.iter().filter(|one| {
            let source = of(Source::rule(one.id));
            entries(was, source) != entries(is, source)
                || verdicts(was, Source::rule(one.id)) != verdicts(is, Source::rule(one.id))
        });
        prop_assert_eq!(turns, turned.count());
        prop_assert!(force || turns <= 1);
        if judged.takes() {
            self.exemptions.insert(rule, hash);
        }
        Ok(())
    }

    /// What holds of a finding at all times.
    pub fn check(&self) -> Checked {
        let Finding { layers, shown, .. } = &self.finding;
        let all = entries(layers, |_| true);
        for (place, said) in &all {
            let ranks: Vec<Layer> = said.iter().map(|(source, _)| source.layer).collect();
            prop_assert!(ranks.is_sorted(), "{place:?}: a stronger layer lies above a weaker one: {said:?}");
            let voices: BTreeSet<_> = said
                .iter()
                .map(|(source, _)| match source.layer {
                    Layer::Scanner | Layer::Human => Source { by: Uuid::nil(), ..*source },
                    _ => *source,
                })
                .collect();
            prop_assert_eq!(voices.len(), said.len(), "{:?}: each speaks once: {:?}", place, said);
        }
        // The value shown is the top of the entries.
        let top = |place: &Place| all.get(place).and_then(|said| said.last()).map(|(_, value)| value.clone());
        for field in ScalarField::ALL {
            let said = top(&Place::Scalar(*field)).unwrap_or(Json::Null);
            prop_assert_eq!(shown.json(field.word()), said, "{}", field);
        }
        for field in SetField::ALL {
            let said: Vec<String> = all
                .keys()
                .filter_map(|place| match place {
                    Place::Element(of, element) if of == field && top(place) == Some(json!(true)) => {
                        Some(element.clone())
                    }
                    _ => None,
                })
                .collect();
            prop_assert_eq!(shown.set(*field), said, "{}", field);
        }
        // What people said is what is shown, whatever happened since.
        for (place, value) in &self.people {
            let (source, said) = &all[place][all[place].len() - 1];
            prop_assert_eq!(source.layer, Layer::Human);
            prop_assert_eq!(said, value);
        }
        let told = all.iter().filter(|(_, said)| said.iter().any(|(source, _)| source.layer == Layer::Human));
        prop_assert_eq!(told.count(), self.people.len(), "nothing is put into people's mouths");
        let status = layers.status();
        if let Some(decided) = self.decided {
            prop_assert_eq!(shown.status, decided, "what was decided stands");
        } else {
            prop_assert!(status.lifecycle.source.layer < Layer::Runbook);
            let ended = matches!(status.lifecycle.value, Status::Fixed | Status::Closed);
            let over = status.verdicts.top().filter(|_| !ended).map(|top| top.value.status);
            prop_assert_eq!(shown.status, over.unwrap_or(status.lifecycle.value));
        }
        let again = Layers::decode(&layers.encode(), shown.status, shown.statements());
        prop_assert_eq!(&again.expect("what was written can be read"), layers);
        Ok(())
    }
}
