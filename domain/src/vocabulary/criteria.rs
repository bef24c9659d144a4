//! The predicate language: rule criteria, trigger conditions, a step's `when`, views and list
//! filters are all a tree of groups over leaf conditions.
//!
//! ```json
//! {"logic": "AND", "conditions": [
//!   {"field": "severity", "operator": "gte_ord", "value": "high"},
//!   {"logic": "OR", "conditions": [
//!     {"field": "internet_exposed", "operator": "eq", "value": true},
//!     {"field": "tags", "operator": "contains", "value": "pci"}]}]}
//! ```
//!
//! A [`Criteria`] is a tree that was checked against a catalogue: one that is not well formed
//! cannot be made. [`Compiled`] evaluates it in memory, [`sql`] writes it as a filter for either
//! database, and both mean the same:
//!
//! - A missing value (none, an empty text, an empty list) makes every leaf false, except
//!   `is_empty`, `neq` and `not_in`: the exact complements of `is_not_empty`, `eq` and `in`.
//! - Text is compared by code points, ignoring ASCII case; a regex minds case, unless it says `(?i)`.
//! - On a list, `eq` and `contains` ask for one element, `in` for any, `all_in` for every one.
//! - `older_than d` is value < now − d; `within_last d` is now − d ≤ value ≤ now.
//! - A leaf that cannot be evaluated is an [`Outcome::Error`], which is neither a match nor silent.

use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use super::field::Catalogue;

pub(crate) mod cells;
mod check;
mod compile;
mod explain;
mod fault;
mod folded;
mod schema;
mod sentence;
pub mod sql;
mod tautology;
mod tree;
mod value;

#[cfg(test)]
pub(crate) mod properties;

pub use check::limits;
pub use compile::{Compiled, Outcome};
pub(crate) use compile::{Leaf, Step, Test};
pub use explain::{ExplainedGroup, ExplainedLeaf, Explanation};
pub use fault::{Fault, Faults};
pub use schema::{json_schema, operand_schema};
pub use sentence::NAMED;
pub use tree::{Condition, Group, Logic, Node, Operand, Pattern, Scalar};
pub use value::{ReadFault, Subject, Value};

/// A tree of conditions on the fields of one catalogue, known to be well formed.
#[derive(Clone, Debug, PartialEq)]
pub struct Criteria {
    catalogue: &'static Catalogue,
    root: Node,
}

impl Criteria {
    /// Reads and checks the published form of a tree. The error names every fault in it.
    pub fn parse(catalogue: &'static Catalogue, json: &Json) -> Result<Self, Faults> {
        check::read(catalogue, json).map(|root| Self { catalogue, root })
    }

    pub fn catalogue(&self) -> &'static Catalogue {
        self.catalogue
    }

    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The tree in its published form, with operators and words as they are declared. Reading it
    /// again gives an equal tree.
    pub fn to_json(&self) -> Json {
        self.root.to_json(self.catalogue)
    }

    /// What both trees hold for. It may be deeper and larger than a tree that somebody writes.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let root = Node::Group(Group { logic: Logic::And, conditions: vec![self.root, other.root] });
        Self { catalogue: self.catalogue, root }
    }

    /// The tree in English: `severity at or above high AND tags contains "pci"`.
    pub fn sentence(&self) -> String {
        sentence::of(self)
    }

    /// Refuses a tree that provably matches everything. What cannot be decided passes.
    pub fn refuse_tautology(&self) -> Result<(), Fault> {
        tautology::refuse(self)
    }
}

impl Serialize for Criteria {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}
