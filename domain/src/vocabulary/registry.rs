//! A catalogue as a builder needs it: everything that a client must know to draw a form whose
//! criteria are accepted.

use serde::Serialize;
use serde_json::Value as Json;

use super::criteria::operand_schema;
use super::field::{Catalogue, Field};
use super::kind::{Colour, Kind, ValueKind, Widget};
use super::operator::{Arity, Operator};

/// A field with all that may be said of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldEntry {
    /// The key that goes into a condition's `field`.
    pub path: &'static str,
    pub label: &'static str,
    /// What a sentence calls it.
    pub phrase: String,
    pub group: &'static str,
    pub description: &'static str,
    pub kind: &'static str,
    pub widget: Widget,
    /// Never missing: `is_empty` never holds.
    pub always_present: bool,
    pub operators: Vec<OperatorEntry>,
    /// The words of a closed list.
    pub options: Vec<OptionEntry>,
    /// The noun or code list to search for values.
    pub source: Option<&'static str>,
    /// Where values are found, but for what has its options here.
    pub search: Option<Search>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub sample: Json,
}

/// A query of the API that finds values of a field, and what has to be said to it beside the words
/// that are looked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Search {
    pub query: &'static str,
    pub argument: &'static str,
    pub value: &'static str,
}

impl Search {
    /// References and codes are looked for among the records of the company; of free text, what findings
    /// have already.
    fn of(field: &Field) -> Option<Self> {
        if let Some(source) = field.kind.source() {
            return Some(Self { query: "sourceValues", argument: "source", value: source });
        }
        let free = matches!(field.kind.value_kind(), ValueKind::Text);
        free.then_some(Self { query: "fieldValues", argument: "field", value: field.key })
    }
}

/// An operator on one field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorEntry {
    /// The name that goes into a condition's `operator`.
    pub key: &'static str,
    pub label: &'static str,
    pub description: &'static str,
    /// The condition in words; `{…}` stand for the field's phrase and the operand.
    pub sentence: String,
    /// `NONE`, `ONE` or `MANY` operands.
    pub arity: &'static str,
    /// What the operand, or each of them, is.
    pub value_kind: ValueKind,
    /// The JSON Schema of `value`; none where there is no operand.
    pub value_schema: Option<Json>,
}

/// A word of a closed list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OptionEntry {
    pub value: &'static str,
    pub label: String,
    /// The place in the list; in an ordered list the higher is the worse.
    pub rank: u8,
    pub colour: Colour,
}

/// The builder's view of `catalogue`, in its order.
pub fn registry(catalogue: &Catalogue) -> Vec<FieldEntry> {
    catalogue
        .fields
        .iter()
        .map(|field| {
            let (min, max) = match field.kind {
                Kind::Number { min, max } => (min, max),
                _ => (None, None),
            };
            FieldEntry {
                path: field.key,
                label: field.label,
                phrase: field.phrase(),
                group: field.group,
                description: field.description,
                kind: field.kind.name(),
                widget: field.kind.widget(),
                always_present: field.always_present,
                operators: field
                    .kind
                    .operators()
                    .map(|operator| operator_entry(operator, field.kind))
                    .collect(),
                options: field
                    .kind
                    .choices()
                    .map(|choice| OptionEntry {
                        value: choice.value,
                        label: choice.label(),
                        rank: choice.rank,
                        colour: choice.colour,
                    })
                    .collect(),
                source: field.kind.source(),
                search: Search::of(field),
                min,
                max,
                sample: field.kind.sample(),
            }
        })
        .collect()
}

fn operator_entry(operator: Operator, kind: Kind) -> OperatorEntry {
    OperatorEntry {
        key: operator.name(),
        label: operator.phrase(kind),
        description: operator.meaning(),
        sentence: match operator.arity() {
            Arity::None => format!("{{field}} {}", operator.phrase(kind)),
            Arity::One | Arity::Many => format!("{{field}} {} {{value}}", operator.phrase(kind)),
        },
        arity: match operator.arity() {
            Arity::None => "NONE",
            Arity::One => "ONE",
            Arity::Many => "MANY",
        },
        value_kind: operator.value_kind(kind),
        value_schema: operand_schema(operator, kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::field::finding::FINDING;

    #[test]
    fn the_view_has_what_a_builder_draws() {
        let view = registry(&FINDING);
        let entry = |path: &str| view.iter().find(|entry| entry.path == path).expect("it is declared");

        let severity = entry("severity");
        assert_eq!(severity.options.iter().map(|option| option.rank).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(severity.options[5].label, "Urgent");
        assert!(
            severity.operators.iter().any(|operator| operator.key == "gte_ord" && operator.arity == "ONE")
        );

        let users = entry("assigned_users");
        assert_eq!((users.source, users.widget), (Some("user"), Widget::Search));
        let search = |query, argument, value| Some(Search { query, argument, value });
        assert_eq!(users.search, search("sourceValues", "source", "user"));
        assert_eq!(entry("title").search, search("fieldValues", "field", "title"));
        assert_eq!((entry("severity").search.clone(), entry("due_at").search.clone()), (None, None));
        assert_eq!(users.operators[0].sentence, "{field} has {value}");
        assert_eq!(severity.options[5].colour, Colour::Purple);
        assert!(users.operators.iter().any(|operator| operator.key == "all_in" && operator.arity == "MANY"));

        assert_eq!((entry("cvss_score").min, entry("cvss_score").max), (Some(0.0), Some(10.0)));
        assert!(view.iter().all(|entry| !entry.operators.is_empty() && !entry.description.is_empty()));
    }
}
