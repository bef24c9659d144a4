//! What a selection asks of a type, worked out once for all rows.

use std::collections::HashSet;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::{ContextSelectionSet, Positioned};

use super::{Record, Row, Shape};

/// A declared field.
pub struct FieldOf {
    /// The name in the schema.
    pub name: &'static str,
    /// Whether its value has to be loaded.
    pub loads: bool,
    /// The plan of its value.
    pub plan: for<'a> fn(&Planner<'a>, &[&'a SelectionSet]) -> Plan<'a>,
}

/// The plan of a value of type `V`.
pub fn plan_of<'a, V: Shape>(planner: &Planner<'a>, sets: &[&'a SelectionSet]) -> Plan<'a> {
    V::Row::plan(planner, sets)
}

/// What is selected of a value.
#[derive(Default)]
pub struct Plan<'a> {
    /// For each kind of row that there can be, its fields in the order of the answer.
    pub kinds: Vec<Vec<Step<'a>>>,
    /// Whether anything has to be loaded for it.
    pub loads: bool,
}

impl<'a> Plan<'a> {
    pub fn new(kinds: Vec<Vec<Step<'a>>>) -> Self {
        let loads = kinds.iter().flatten().any(|step| step.loads);
        Self { kinds, loads }
    }
}

/// A field of an answer.
pub struct Step<'a> {
    /// The key of the answer: a name of GraphQL, which is written as it is.
    pub key: &'a str,
    /// Its place in `Record::FIELDS`.
    pub index: usize,
    /// The first of the fields that were merged into it.
    pub field: &'a Positioned<Field>,
    pub plan: Plan<'a>,
    /// Whether it has to be loaded, or anything inside of it.
    pub loads: bool,
}

impl<'a> Step<'a> {
    /// The index of `__typename`.
    pub const TYPE_NAME: usize = usize::MAX;

    /// The step of what is walked as a whole.
    pub fn outermost(field: &'a Positioned<Field>, plan: Plan<'a>) -> Self {
        Self { key: "", index: 0, field, loads: plan.loads, plan }
    }
}

/// Compiles selections of one operation. What `@skip` and `@include` leave out is gone by now.
pub struct Planner<'a>(&'a ContextSelectionSet<'a>);

/// The fields of a selection by their keys, each with all that are merged into it.
pub type Selected<'a> = IndexMap<&'a str, Vec<&'a Positioned<Field>>>;

impl<'a> Planner<'a> {
    pub fn new(ctx: &'a ContextSelectionSet<'a>) -> Self {
        Self(ctx)
    }

    /// The fields that the selections ask of a record.
    pub fn steps<R: Record>(&self, sets: &[&'a SelectionSet]) -> Vec<Step<'a>> {
        self.selected(&R::type_name(), sets)
            .into_iter()
            .map(|(key, fields)| self.step::<R>(key, &fields))
            .collect()
    }

    fn step<R: Record>(&self, key: &'a str, fields: &[&'a Positioned<Field>]) -> Step<'a> {
        let field = fields[0];
        let name = field.node.name.node.as_str();
        if name == "__typename" {
            return Step { key, index: Step::TYPE_NAME, field, plan: Plan::default(), loads: false };
        }
        let index = R::FIELDS.iter().position(|declared| declared.name == name);
        let index = index.unwrap_or_else(|| super::undeclared());
        let sets: Vec<&'a SelectionSet> = fields.iter().map(|field| &field.node.selection_set.node).collect();
        let plan = (R::FIELDS[index].plan)(self, &sets);
        Step { key, index, field, loads: R::FIELDS[index].loads || plan.loads, plan }
    }

    /// The fields that the selections ask of an object of this type, fragments taken apart.
    pub fn selected(&self, type_name: &str, sets: &[&'a SelectionSet]) -> Selected<'a> {
        let mut selected = Selected::new();
        let mut spread = HashSet::new();
        for set in sets {
            self.collect(type_name, set, &mut spread, &mut selected);
        }
        selected
    }

    fn collect(
        &self,
        type_name: &str,
        set: &'a SelectionSet,
        spread: &mut HashSet<&'a str>,
        selected: &mut Selected<'a>,
    ) {
        for selection in &set.items {
            let (condition, set) = match &selection.node {
                Selection::Field(field) => {
                    selected.entry(field.node.response_key().node.as_str()).or_default().push(field);
                    continue;
                }
                Selection::InlineFragment(fragment) => {
                    (fragment.node.type_condition.as_ref(), &fragment.node.selection_set)
                }
                Selection::FragmentSpread(fragment) => {
                    let name = &fragment.node.fragment_name.node;
                    // Asked for twice, a fragment adds nothing the second time.
                    if !spread.insert(name.as_str()) {
                        continue;
                    }
                    let Some(fragment) = self.0.query_env.fragments.get(name) else { continue };
                    (Some(&fragment.node.type_condition), &fragment.node.selection_set)
                }
            };
            if condition.is_none_or(|condition| self.is_a(type_name, condition.node.on.node.as_str())) {
                self.collect(type_name, &set.node, spread, selected);
            }
        }
    }

    fn is_a(&self, type_name: &str, condition: &str) -> bool {
        let registered = || self.0.schema_env.registry.types.get(condition);
        type_name == condition || registered().is_some_and(|kind| kind.is_possible_type(type_name))
    }
}
