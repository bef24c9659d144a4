//! A catalogue as a builder needs it: everything that a client must know to draw a form whose
//! criteria are accepted.

use serde::Serialize;
use serde_json::Value as Json;

use super::field::Catalogue;
use super::kind::{Kind, ValueKind, Widget};
use super::operator::{Arity, Operator};

/// A field with all that may be said of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldEntry {
    /// The key that goes into a condition's `field`.
    pub path: &'static str,
    pub label: &'static str,
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
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub sample: Json,
}

/// An operator on one field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorEntry {
    /// The name that goes into a condition's `operator`.
    pub key: &'static str,
    pub label: &'static str,
    pub description: &'static str,
    /// `NONE`, `ONE` or `MANY` operands.
    pub arity: &'static str,
    /// What the operand, or each of them, is.
    pub value_kind: ValueKind,
}

/// A word of a closed list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OptionEntry {
    pub value: &'static str,
    pub label: String,
    /// The place in the list; in an ordered list the higher is the worse.
    pub rank: u8,
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
                    })
                    .collect(),
                source: field.kind.source(),
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
        arity: match operator.arity() {
            Arity::None => "NONE",
            Arity::One => "ONE",
            Arity::Many => "MANY",
        },
        value_kind: operator.value_kind(kind),
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
        assert!(users.operators.iter().any(|operator| operator.key == "all_in" && operator.arity == "MANY"));

        assert_eq!((entry("cvss_score").min, entry("cvss_score").max), (Some(0.0), Some(10.0)));
        assert!(view.iter().all(|entry| !entry.operators.is_empty() && !entry.description.is_empty()));
    }
}
