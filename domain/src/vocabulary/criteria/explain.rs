//! Why a tree holds for a subject or does not: every leaf with the value that was seen.

use serde::Serialize;
use serde_json::Value as Json;

use super::compile::{Compiled, Outcome, Step};
use super::tree::{Condition, Logic, Node};
use super::value::{Subject, Value};
use crate::vocabulary::field::Field;
use crate::vocabulary::kind::Kind;
use crate::vocabulary::operator::Operator;
use crate::vocabulary::time::Timestamp;

/// A node of a tree with what became of it. Its outcome is the one that [`Compiled::matches`] tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Explanation {
    Group(ExplainedGroup),
    Leaf(ExplainedLeaf),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedGroup {
    /// The place of the group in the tree, as a JSON Pointer.
    pub pointer: String,
    pub logic: Logic,
    pub outcome: Outcome,
    pub conditions: Vec<Explanation>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedLeaf {
    /// The place of the leaf in the tree, as a JSON Pointer.
    pub pointer: String,
    pub field: &'static str,
    pub operator: Operator,
    /// What the value was compared with; null where the operator takes nothing.
    pub operand: Json,
    /// The value that was seen; null where it is missing or could not be read.
    pub seen: Json,
    pub outcome: Outcome,
    /// Why the outcome is an error.
    pub error: Option<String>,
}

impl Explanation {
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Group(group) => group.outcome,
            Self::Leaf(leaf) => leaf.outcome,
        }
    }

    pub fn pointer(&self) -> &str {
        match self {
            Self::Group(group) => &group.pointer,
            Self::Leaf(leaf) => &leaf.pointer,
        }
    }

    /// The leaves in the order of the tree.
    pub fn leaves(&self) -> Vec<&ExplainedLeaf> {
        match self {
            Self::Group(group) => group.conditions.iter().flat_map(Self::leaves).collect(),
            Self::Leaf(leaf) => vec![leaf],
        }
    }
}

impl Compiled {
    /// Evaluates every leaf, even those that no longer decide anything.
    pub fn explain<S: Subject + ?Sized>(&self, subject: &S, now: Timestamp) -> Explanation {
        self.explain_node(self.criteria().root(), &self.root, subject, now, String::new())
    }

    fn explain_node<S: Subject + ?Sized>(
        &self,
        node: &Node,
        step: &Step,
        subject: &S,
        now: Timestamp,
        pointer: String,
    ) -> Explanation {
        match (node, step) {
            (Node::Group(group), Step::Group(logic, steps)) => {
                let conditions: Vec<Explanation> = group
                    .conditions
                    .iter()
                    .zip(steps)
                    .enumerate()
                    .map(|(at, (node, step))| {
                        self.explain_node(node, step, subject, now, format!("{pointer}/conditions/{at}"))
                    })
                    .collect();
                let outcome = Outcome::of(*logic, conditions.iter().map(Explanation::outcome));
                Explanation::Group(ExplainedGroup { pointer, logic: *logic, outcome, conditions })
            }
            (Node::Condition(condition), Step::Leaf(leaf)) => {
                let field = &self.criteria().catalogue().fields[leaf.field];
                let read = subject.read(leaf.field);
                let outcome = read.as_ref().map_or(Outcome::Error, |value| leaf.judge(*value, now));
                let (seen, error) = match read {
                    Ok(value) => {
                        let misfit = outcome == Outcome::Error;
                        (shown(value, field.kind), misfit.then(|| misfit_message(field, value)))
                    }
                    Err(fault) => (Json::Null, Some(fault.to_string())),
                };
                Explanation::Leaf(explained(condition, field, pointer, seen, outcome, error))
            }
            _ => unreachable!("a tree is compiled node by node"),
        }
    }
}

fn explained(
    condition: &Condition,
    field: &Field,
    pointer: String,
    seen: Json,
    outcome: Outcome,
    error: Option<String>,
) -> ExplainedLeaf {
    let Condition { operator, operand, .. } = condition;
    ExplainedLeaf {
        pointer,
        field: field.key,
        operator: *operator,
        operand: operand.to_json(),
        seen,
        outcome,
        error,
    }
}

fn misfit_message(field: &Field, value: Value<'_>) -> String {
    let seen = match value {
        Value::Missing => "nothing",
        Value::Text(_) => "a text",
        Value::Number(number) if !number.is_finite() => "a number that is not finite",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
        Value::Time(_) => "a time",
        Value::Code(_) => "a code of no word",
        Value::List(_) => "a list",
        Value::Uuid(_) => "an id",
    };
    format!("{} is of kind {}, and the value read is {seen}.", field.key, field.kind.name())
}

/// The value as it is shown, a long text cut.
fn shown(value: Value<'_>, kind: Kind) -> Json {
    const SHOWN: usize = 1_000;
    match value {
        Value::Text(text) => match text.char_indices().nth(SHOWN) {
            Some((end, _)) => Json::String(format!("{}…", &text[..end])),
            None => Json::String(text.to_owned()),
        },
        other => other.to_json(kind),
    }
}
