//! A tree in English.

use super::Criteria;
use super::tree::{Condition, Node, Operand, Scalar};
use crate::vocabulary::field::{Catalogue, Field};

/// How many values of a list a sentence names.
pub const NAMED: usize = 10;

pub(super) fn of(criteria: &Criteria) -> String {
    let mut sentence = String::new();
    write_node(&mut sentence, criteria.catalogue(), criteria.root(), true);
    sentence
}

fn write_node(out: &mut String, catalogue: &Catalogue, node: &Node, outermost: bool) {
    match node {
        Node::Condition(condition) => write_condition(out, &catalogue.fields[condition.field], condition),
        Node::Group(group) => {
            let bracketed = !outermost && group.conditions.len() > 1;
            if bracketed {
                out.push('(');
            }
            for (index, condition) in group.conditions.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                    out.push_str(&group.logic.to_string());
                    out.push(' ');
                }
                write_node(out, catalogue, condition, outermost && group.conditions.len() == 1);
            }
            if bracketed {
                out.push(')');
            }
        }
    }
}

fn write_condition(out: &mut String, field: &Field, condition: &Condition) {
    out.push_str(&field.phrase());
    out.push(' ');
    out.push_str(condition.operator.phrase(field.kind));
    match &condition.operand {
        Operand::Nothing => {}
        Operand::One(scalar) => {
            out.push(' ');
            out.push_str(&scalar_text(scalar));
        }
        Operand::Many(scalars) => {
            let named: Vec<String> = scalars.iter().take(NAMED).map(scalar_text).collect();
            out.push(' ');
            out.push_str(&named.join(", "));
            if scalars.len() > NAMED {
                out.push_str(&format!(" and {} more", scalars.len() - NAMED));
            }
        }
    }
}

/// Free text in quotation marks; words, numbers and times bare.
fn scalar_text(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Text(_) | Scalar::Pattern(_) => scalar.to_json().to_string(),
        Scalar::Number(_) | Scalar::Bool(_) => scalar.to_json().to_string(),
        Scalar::Time { written, .. } | Scalar::Span { written, .. } => written.clone(),
        Scalar::Word { word, .. } => (*word).to_owned(),
        Scalar::Uuid(id) => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::vocabulary::field::finding::FINDING;

    fn sentence(json: &Json) -> String {
        Criteria::parse(&FINDING, json).unwrap_or_else(|faults| panic!("{faults}")).sentence()
    }

    #[test]
    fn a_tree_reads_like_the_policy_that_it_is() {
        let tree = json!({ "logic": "AND", "conditions": [
            { "field": "severity", "operator": "gte_ord", "value": "high" },
            { "logic": "OR", "conditions": [
                { "field": "internet_exposed", "operator": "eq", "value": true },
                { "field": "tags", "operator": "contains", "value": "pci" },
            ] },
        ] });
        assert_eq!(
            sentence(&tree),
            r#"severity at or above high AND (internet exposed is true OR tags contains "pci")"#
        );
    }

    #[test]
    fn each_form_of_operand_reads_well() {
        let leaves = [
            (
                json!({ "field": "tags", "operator": "not_in", "value": ["a", "b"] }),
                r#"tags has none of "a", "b""#,
            ),
            (json!({ "field": "due_at", "operator": "is_empty" }), "due at is empty"),
            (
                json!({ "field": "first_seen_at", "operator": "older_than", "value": "7d" }),
                "first seen at is older than 7d",
            ),
            (
                json!({ "field": "due_at", "operator": "lt", "value": "2026-11-21" }),
                "due at before 2026-11-21",
            ),
            (
                json!({ "field": "status", "operator": "in", "value": ["open", "fixed"] }),
                "status is one of OPEN, FIXED",
            ),
            (json!({ "field": "cvss_score", "operator": "gt", "value": 7.0 }), "cvss score above 7"),
            (
                json!({ "field": "title", "operator": "matches_regex", "value": "^a" }),
                r#"title matches "^a""#,
            ),
        ];
        for (leaf, expected) in &leaves {
            assert_eq!(sentence(leaf), *expected);
            assert_eq!(sentence(&json!({ "logic": "OR", "conditions": [leaf] })), *expected);
        }
        let many: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        assert!(
            sentence(&json!({ "field": "tags", "operator": "in", "value": many }))
                .ends_with(r#""9" and 2 more"#)
        );
    }
}
