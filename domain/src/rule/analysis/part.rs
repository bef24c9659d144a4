//! A rule as it is compared with others: what it reads, what it writes, and what it demands.

use uuid::Uuid;

use super::{Action, Compiled, Criteria, FINDING, FindingField, Goal, Leaf, Logic, Rule, Step};
use crate::finding::layers::{Scalar, ScalarField, SetField};
use crate::rule::pass::Mode;
use crate::vocabulary::criteria::Test;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::Timestamp;

/// Fields as bits: those of findings by their index, and behind them what cannot be asked about.
pub(super) type Fields = u64;

const UNASKED: u32 = 63;

/// A rule with its tree, which reads and compiles.
pub(super) struct Part<'a> {
    pub rule: &'a Rule,
    pub tree: Compiled,
    pub writes: Vec<Write>,
    pub reads: Fields,
    pub written: Fields,
    demands: Vec<Demand>,
}

/// What a rule says of one field.
pub(super) struct Write {
    /// The word of the field.
    pub field: &'static str,
    pub what: What,
    /// Its place in the rule.
    pub pointer: &'static str,
}

pub(super) enum What {
    Value(Scalar),
    Elements(Vec<String>),
    /// The title, in the one style.
    Style,
    /// Until when the risk is accepted, where that ends.
    Accept(Option<Timestamp>),
}

/// What must hold of one field for the rule to match.
enum Demand {
    Codes(usize, u64),
    Texts(usize, Vec<String>),
    Ids(usize, Vec<Uuid>),
}

impl<'a> Part<'a> {
    /// `None` for a rule whose criteria a later release no longer reads.
    pub fn of(rule: &'a Rule) -> Option<Self> {
        let tree = Compiled::new(&Criteria::parse(&FINDING, &rule.content.criteria).ok()?);
        let writes = writes(&rule.content.action);
        let reads = tree.fields_read().iter().fold(0, |fields, field| fields | 1 << field);
        let written = writes.iter().fold(0, |fields, write| fields | write.bit());
        let mut demands = Vec::new();
        demanded(&tree.root, &mut demands);
        Some(Self { rule, tree, writes, reads, written, demands })
    }

    pub fn holds(&self) -> Goal<'_> {
        Goal { step: &self.tree.root, holds: true }
    }

    pub fn fails(&self) -> Goal<'_> {
        Goal { step: &self.tree.root, holds: false }
    }

    /// Whether what it says is shown.
    pub fn is_enforced(&self) -> bool {
        self.rule.mode == Mode::Enforce
    }

    /// Whether it speaks for as long as the other does.
    pub fn outlives(&self, other: &Self) -> bool {
        match (self.rule.stops_at(), other.rule.stops_at()) {
            (None, _) => true,
            (Some(own), Some(other)) => own >= other,
            (Some(_), None) => false,
        }
    }

    /// Whether no finding meets both, for what each demands of a field that is not among `ignored`.
    pub fn is_apart(&self, other: &Self, ignored: Fields) -> bool {
        let pairs = self.demands.iter().flat_map(|own| other.demands.iter().map(move |other| (own, other)));
        pairs.into_iter().any(|(own, other)| match (own, other) {
            (Demand::Codes(field, own), Demand::Codes(of, other)) => {
                field == of && ignored & (1 << field) == 0 && own & other == 0
            }
            (Demand::Texts(field, own), Demand::Texts(of, other)) => {
                field == of
                    && ignored & (1 << field) == 0
                    && own.iter().all(|text| other.binary_search(text).is_err())
            }
            (Demand::Ids(field, own), Demand::Ids(of, other)) => {
                field == of
                    && ignored & (1 << field) == 0
                    && own.iter().all(|id| other.binary_search(id).is_err())
            }
            _ => false,
        })
    }
}

impl Write {
    /// The index of the field, if criteria can ask about it.
    pub fn index(&self) -> Option<usize> {
        FindingField::from_key(self.field).map(FindingField::index)
    }

    pub fn bit(&self) -> Fields {
        1 << self.index().and_then(|index| u32::try_from(index).ok()).unwrap_or(UNASKED)
    }
}

/// Every leaf below `step`, as a step, with its place.
pub(super) fn leaves<'s>(step: &'s Step, pointer: &str, told: &mut dyn FnMut(String, &'s Step, &'s Leaf)) {
    match step {
        Step::Leaf(leaf) => told(pointer.to_owned(), step, leaf),
        Step::Group(_, steps) => {
            for (at, step) in steps.iter().enumerate() {
                leaves(step, &format!("{pointer}/conditions/{at}"), told);
            }
        }
    }
}

/// What is demanded by the conditions that all have to hold.
fn demanded(step: &Step, demands: &mut Vec<Demand>) {
    match step {
        Step::Group(logic, steps) if *logic == Logic::And || steps.len() == 1 => {
            steps.iter().for_each(|step| demanded(step, demands));
        }
        Step::Leaf(Leaf { field, negated: false, test, .. }) => match test {
            Test::Codes(codes) => demands.push(Demand::Codes(*field, *codes)),
            Test::Bool(bool) => demands.push(Demand::Codes(*field, 1 << u8::from(*bool))),
            Test::Text(set) => demands.push(Demand::Texts(*field, set.iter().map(str::to_owned).collect())),
            Test::Ids(ids) => demands.push(Demand::Ids(*field, ids.to_vec())),
            _ => {}
        },
        Step::Group(..) | Step::Leaf(_) => {}
    }
}

fn writes(action: &Action) -> Vec<Write> {
    let write = |field: &'static str, what, pointer| Write { field, what, pointer };
    match action {
        Action::OverrideSeverity(config) => {
            let value = Scalar::Severity(config.severity);
            vec![write(ScalarField::Severity.word(), What::Value(value), "/action/config/severity")]
        }
        Action::AcceptedRisk(config) => vec![write("status", What::Accept(config.until), "/action")],
        Action::Assign(config) => {
            let ids = |ids: &[Uuid]| What::Elements(ids.iter().map(Uuid::to_string).collect());
            let mut writes = Vec::new();
            if !config.users.is_empty() {
                let field = SetField::AssignedUsers.word();
                writes.push(write(field, ids(&config.users), "/action/config/users"));
            }
            if !config.teams.is_empty() {
                let field = SetField::AssignedTeams.word();
                writes.push(write(field, ids(&config.teams), "/action/config/teams"));
            }
            writes
        }
        Action::AppendTag(config) => {
            let tags = What::Elements(config.tags.clone());
            vec![write(SetField::Tags.word(), tags, "/action/config/tags")]
        }
        Action::SetVulnType(config) => {
            let value = What::Value(Scalar::Text(config.vulnerability_type.clone()));
            let field = ScalarField::VulnerabilityType.word();
            vec![write(field, value, "/action/config/vulnerability_type")]
        }
        Action::SetRemediation(config) => {
            let mut writes = Vec::new();
            if let Some(text) = &config.remediation {
                let value = What::Value(Scalar::Text(text.clone()));
                writes.push(write(ScalarField::Remediation.word(), value, "/action/config/remediation"));
            }
            if !config.techniques.is_empty() {
                let elements = What::Elements(config.techniques.clone());
                let field = SetField::RemediationTechniques.word();
                writes.push(write(field, elements, "/action/config/techniques"));
            }
            writes
        }
        Action::NormalizeTitle(_) => vec![write(ScalarField::Title.word(), What::Style, "/action")],
    }
}
