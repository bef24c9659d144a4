//! Criteria made ready to be evaluated often: operands folded, sorted and compiled beforehand, so
//! that a leaf neither allocates nor parses.
//!
//! Every leaf comes down to a [`Test`] that a present value passes or not, and whether the leaf
//! asks for the opposite. SQL and the search of `cells` are drawn from the same tests.

use regex::Regex;
use serde::Serialize;
use uuid::Uuid;

use super::Criteria;
use super::folded::{FoldedSet, Needle, starts_with};
use super::tree::{Condition, Logic, Node, Operand, Scalar};
use super::value::{Subject, Value};
use crate::vocabulary::field::{Catalogue, Field};
use crate::vocabulary::kind::{Family, Kind};
use crate::vocabulary::operator::{Comparison, Operator};
use crate::vocabulary::time::{Span, Timestamp};

/// What became of a leaf, a group or a tree: Kleene's three values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    True,
    False,
    /// It cannot be told. Never a match, never silent: shown as an error.
    Error,
}

impl Outcome {
    /// The outcome that decides a group of this logic, whatever the others are.
    fn deciding(logic: Logic) -> Self {
        match logic {
            Logic::And => Self::False,
            Logic::Or => Self::True,
        }
    }

    /// What a group comes to. An empty one is false, whatever its logic: it fails closed.
    pub fn of(logic: Logic, outcomes: impl IntoIterator<Item = Self>) -> Self {
        let deciding = Self::deciding(logic);
        let mut joined = None;
        for outcome in outcomes {
            if outcome == deciding {
                return deciding;
            }
            if joined != Some(Self::Error) {
                joined = Some(outcome);
            }
        }
        joined.unwrap_or(Self::False)
    }

    pub fn is_true(self) -> bool {
        self == Self::True
    }
}

/// Criteria made ready to be evaluated. Cheap to share behind an `Arc`, safe on every thread.
#[derive(Clone, Debug)]
pub struct Compiled {
    criteria: Criteria,
    pub(crate) root: Step,
    fields_read: Box<[usize]>,
}

/// A node of a tree that was made ready.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Group(Logic, Box<[Step]>),
    Leaf(Leaf),
}

/// A condition that was made ready.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub field: usize,
    pub kind: Kind,
    /// The leaf holds where the test does not, and where the value is missing.
    pub negated: bool,
    pub test: Test,
}

/// What is asked of a present value.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Present,
    Text(FoldedSet),
    Contains(Needle),
    StartsWith(Box<str>),
    Pattern(Regex),
    Numbers(Box<[f64]>),
    Number(Comparison, f64),
    Bool(bool),
    Time(Comparison, Timestamp),
    OlderThan(Span),
    WithinLast(Span),
    /// The codes that pass, one bit each.
    Codes(u64),
    Ids(Box<[Uuid]>),
    /// A list that has any of these.
    Any(FoldedSet),
    /// A list that has every one of these.
    All(FoldedSet),
}

impl Compiled {
    pub fn new(criteria: &Criteria) -> Self {
        let root = Step::compile(criteria.catalogue, criteria.root());
        let mut fields_read = Vec::new();
        root.collect_fields(&mut fields_read);
        fields_read.sort_unstable();
        fields_read.dedup();
        Self { criteria: criteria.clone(), root, fields_read: fields_read.into_boxed_slice() }
    }

    pub fn criteria(&self) -> &Criteria {
        &self.criteria
    }

    /// The indexes of the fields that the tree reads, ascending, each once.
    pub fn fields_read(&self) -> &[usize] {
        &self.fields_read
    }

    /// Whether what the tree says of a subject stays the same as time goes by.
    pub fn is_timeless(&self) -> bool {
        self.root.is_timeless()
    }

    /// Whether the tree holds for `subject`. One `now` serves a whole batch.
    pub fn matches<S: Subject + ?Sized>(&self, subject: &S, now: Timestamp) -> Outcome {
        self.root.evaluate(subject, now)
    }
}

impl Step {
    fn compile(catalogue: &'static Catalogue, node: &Node) -> Self {
        match node {
            Node::Group(group) => Self::Group(
                group.logic,
                group.conditions.iter().map(|node| Self::compile(catalogue, node)).collect(),
            ),
            Node::Condition(condition) => {
                Self::Leaf(Leaf::compile(&catalogue.fields[condition.field], condition))
            }
        }
    }

    fn collect_fields(&self, fields: &mut Vec<usize>) {
        match self {
            Self::Group(_, steps) => steps.iter().for_each(|step| step.collect_fields(fields)),
            Self::Leaf(leaf) => fields.push(leaf.field),
        }
    }

    fn is_timeless(&self) -> bool {
        match self {
            Self::Group(_, steps) => steps.iter().all(Self::is_timeless),
            Self::Leaf(leaf) => !matches!(leaf.test, Test::OlderThan(_) | Test::WithinLast(_)),
        }
    }

    fn evaluate<S: Subject + ?Sized>(&self, subject: &S, now: Timestamp) -> Outcome {
        match self {
            Self::Group(logic, steps) => {
                Outcome::of(*logic, steps.iter().map(|step| step.evaluate(subject, now)))
            }
            Self::Leaf(leaf) => match subject.read(leaf.field) {
                Ok(value) => leaf.judge(value, now),
                Err(_) => Outcome::Error,
            },
        }
    }
}

impl Leaf {
    fn compile(field: &Field, condition: &Condition) -> Self {
        let Condition { field: index, operator, operand } = condition;
        let (negated, asked) = match operator.negates() {
            Some(positive) => (true, positive),
            None => (false, *operator),
        };
        Self { field: *index, kind: field.kind, negated, test: Test::compile(field.kind, asked, operand) }
    }

    /// What the leaf makes of a value that was read.
    pub(crate) fn judge(&self, value: Value<'_>, now: Timestamp) -> Outcome {
        if !value.fits(self.kind) {
            return Outcome::Error;
        }
        let passes = !value.is_missing() && self.test.passes(value, now);
        if passes != self.negated { Outcome::True } else { Outcome::False }
    }
}

impl Test {
    /// The test of an operator that negates none.
    fn compile(kind: Kind, operator: Operator, operand: &Operand) -> Self {
        use Operator::{AllIn, Contains, Eq, In, MatchesRegex, StartsWith};

        if operator == Operator::IsNotEmpty {
            return Self::Present;
        }
        match (kind.family(), operator, operand) {
            (Family::List, Eq | Contains | In, _) => Self::Any(folded(operand)),
            (Family::List, AllIn, _) => Self::All(folded(operand)),
            (Family::Text, Eq | In, _) => Self::Text(folded(operand)),
            (Family::Text, Contains, Operand::One(Scalar::Text(text))) => Self::Contains(Needle::new(text)),
            (Family::Text, StartsWith, Operand::One(Scalar::Text(text))) => {
                Self::StartsWith(text.to_ascii_lowercase().into_boxed_str())
            }
            (Family::Text, MatchesRegex, Operand::One(Scalar::Pattern(pattern))) => {
                Self::Pattern(pattern.0.clone())
            }
            (Family::Bool, Eq, Operand::One(Scalar::Bool(bool))) => Self::Bool(*bool),
            (Family::Number, Eq | In, _) => Self::Numbers(numbers(operand)),
            (Family::Reference, Eq | In, _) => Self::Ids(ids(operand)),
            (Family::Ordinal | Family::Enum, _, _) => Self::Codes(codes(kind, operator, operand)),
            (Family::Time, Operator::OlderThan, Operand::One(Scalar::Span { span, .. })) => {
                Self::OlderThan(*span)
            }
            (Family::Time, Operator::WithinLast, Operand::One(Scalar::Span { span, .. })) => {
                Self::WithinLast(*span)
            }
            (_, _, Operand::One(Scalar::Number(number))) => Self::Number(comparison(operator), *number),
            (_, _, Operand::One(Scalar::Time { at, .. })) => Self::Time(comparison(operator), *at),
            _ => unreachable!("{operator} was checked to fit {} and its operand", kind.name()),
        }
    }

    /// Whether a present value that fits the field's kind passes.
    pub(crate) fn passes(&self, value: Value<'_>, now: Timestamp) -> bool {
        match (self, value) {
            (Self::Present, _) => true,
            (Self::Text(set), Value::Text(text)) => set.contains(text),
            (Self::Contains(needle), Value::Text(text)) => needle.is_in(text),
            (Self::StartsWith(head), Value::Text(text)) => starts_with(text, head),
            (Self::Pattern(regex), Value::Text(text)) => regex.is_match(text),
            (Self::Numbers(set), Value::Number(number)) => set.contains(&number),
            (Self::Number(comparison, operand), Value::Number(number)) => comparison.holds(&number, operand),
            (Self::Bool(operand), Value::Bool(bool)) => bool == *operand,
            (Self::Time(comparison, operand), Value::Time(at)) => comparison.holds(&at, operand),
            (Self::OlderThan(span), Value::Time(at)) => at < now.minus(*span),
            (Self::WithinLast(span), Value::Time(at)) => now.minus(*span) <= at && at <= now,
            (Self::Codes(set), Value::Code(code)) => set & bit(code) != 0,
            (Self::Ids(set), Value::Uuid(id)) => set.binary_search(&id).is_ok(),
            (Self::Any(set), Value::List(list)) => list.iter().any(|element| set.contains(element)),
            (Self::All(set), Value::List(list)) => {
                set.iter().all(|member| list.iter().any(|element| element.eq_ignore_ascii_case(member)))
            }
            _ => false,
        }
    }
}

fn comparison(operator: Operator) -> Comparison {
    operator.comparison().expect("only operators that compare take one number or time")
}

/// The texts of an operand; ids as hyphenated text.
fn folded(operand: &Operand) -> FoldedSet {
    FoldedSet::new(operand.scalars().iter().filter_map(|scalar| match scalar {
        Scalar::Text(text) => Some(text.clone()),
        Scalar::Uuid(id) => Some(id.to_string()),
        _ => None,
    }))
}

fn numbers(operand: &Operand) -> Box<[f64]> {
    let number = |scalar: &Scalar| if let Scalar::Number(number) = scalar { Some(*number) } else { None };
    operand.scalars().iter().filter_map(number).collect()
}

fn ids(operand: &Operand) -> Box<[Uuid]> {
    let id = |scalar: &Scalar| if let Scalar::Uuid(id) = scalar { Some(*id) } else { None };
    let mut ids: Vec<Uuid> = operand.scalars().iter().filter_map(id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_boxed_slice()
}

/// The codes of the list's words that stand in the operator's order to one of the operands.
fn codes(kind: Kind, operator: Operator, operand: &Operand) -> u64 {
    let comparison = operator.comparison().unwrap_or(Comparison::Equal);
    let mut set = 0;
    for choice in kind.choices() {
        let passes = |scalar: &Scalar| matches!(scalar, Scalar::Word { code, .. } if comparison.holds(&choice.rank, code));
        if operand.scalars().iter().any(passes) {
            set |= bit(choice.rank);
        }
    }
    set
}

/// The bit of a code; none for one past the 64 that a list may have.
pub(super) fn bit(code: u8) -> u64 {
    1_u64.checked_shl(u32::from(code)).unwrap_or(0)
}
