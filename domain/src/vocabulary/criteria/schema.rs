//! The published JSON Schema of a tree, drawn from its catalogue.

use serde_json::{Value as Json, json};

use super::check::limits;
use crate::vocabulary::field::{Catalogue, Field};
use crate::vocabulary::kind::{Kind, ValueKind};
use crate::vocabulary::operator::{Arity, Operator};

/// The JSON Schema (draft 2020-12) of criteria over `catalogue`. It knows the declared spellings;
/// the server also takes logic, operators and words in any ASCII case.
pub fn json_schema(catalogue: &Catalogue) -> Json {
    let conditions: Vec<Json> = catalogue.fields.iter().flat_map(conditions_on).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Criteria over a {}", catalogue.name),
        "description": format!(
            "A condition, or a group of them joined by AND or OR: at most {} deep, at most {} conditions.",
            limits::DEPTH, limits::LEAVES
        ),
        "$ref": "#/$defs/node",
        "$defs": {
            "node": { "anyOf": [{ "$ref": "#/$defs/group" }, { "$ref": "#/$defs/condition" }] },
            "group": {
                "type": "object",
                "properties": {
                    "logic": { "enum": ["AND", "OR"] },
                    "conditions": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/node" } }
                },
                "required": ["logic", "conditions"],
                "additionalProperties": false
            },
            "condition": { "anyOf": conditions }
        }
    })
}

/// One schema for each form of operand that the field's operators take.
fn conditions_on(field: &Field) -> Vec<Json> {
    let mut forms: Vec<(Arity, ValueKind, Vec<Operator>)> = Vec::new();
    for operator in field.kind.operators() {
        let form = (operator.arity(), operator.value_kind(field.kind));
        match forms.iter_mut().find(|(arity, kind, _)| (*arity, *kind) == form) {
            Some((.., operators)) => operators.push(operator),
            None => forms.push((form.0, form.1, vec![operator])),
        }
    }
    forms.into_iter().map(|(arity, kind, operators)| condition(field, arity, kind, &operators)).collect()
}

/// The JSON Schema of what an operator is compared with on a field of `kind`; `None` where it takes
/// nothing.
pub fn operand_schema(operator: Operator, kind: Kind) -> Option<Json> {
    operand(kind, operator.arity(), operator.value_kind(kind))
}

fn operand(kind: Kind, arity: Arity, value_kind: ValueKind) -> Option<Json> {
    match arity {
        Arity::None => None,
        Arity::One => Some(scalar(kind, value_kind)),
        Arity::Many => Some(json!({
            "type": "array", "items": scalar(kind, value_kind), "minItems": 1, "maxItems": limits::VALUES
        })),
    }
}

fn condition(field: &Field, arity: Arity, value_kind: ValueKind, operators: &[Operator]) -> Json {
    let mut schema = json!({
        "type": "object",
        "description": field.description,
        "properties": {
            "field": { "const": field.key },
            "operator": { "enum": operators }
        },
        "required": ["field", "operator"],
        "additionalProperties": false
    });
    if let Some(value) = operand(field.kind, arity, value_kind) {
        schema["properties"]["value"] = value;
        schema["required"] = json!(["field", "operator", "value"]);
    }
    schema
}

fn scalar(kind: Kind, value_kind: ValueKind) -> Json {
    let text = json!({ "type": "string", "minLength": 1, "maxLength": limits::TEXT_BYTES });
    match value_kind {
        ValueKind::Number => json!({ "type": "number" }),
        ValueKind::Bool => json!({ "type": "boolean" }),
        ValueKind::Time => json!({
            "type": "string",
            "anyOf": [{ "format": "date-time" }, { "format": "date" }]
        }),
        ValueKind::Span => json!({ "type": "string", "pattern": "^[0-9]+[smhdw]$" }),
        ValueKind::Word => json!({ "enum": kind.words() }),
        ValueKind::Reference => json!({ "type": "string", "format": "uuid" }),
        ValueKind::Pattern => {
            json!({ "type": "string", "minLength": 1, "maxLength": limits::PATTERN_CHARS })
        }
        ValueKind::Text | ValueKind::Code | ValueKind::Nothing => text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::vocabulary::field::finding::FINDING;

    #[test]
    fn the_schema_offers_what_the_catalogue_declares() {
        let schema = json_schema(&FINDING);
        let forms = schema["$defs"]["condition"]["anyOf"].as_array().expect("conditions are alternatives");
        let offered: BTreeSet<(&str, &str)> = forms
            .iter()
            .flat_map(|form| {
                let field = form["properties"]["field"]["const"].as_str().expect("a form is about one field");
                let operators =
                    form["properties"]["operator"]["enum"].as_array().expect("operators are listed");
                operators.iter().filter_map(Json::as_str).map(move |operator| (field, operator))
            })
            .collect();
        let declared: BTreeSet<(&str, &str)> = FINDING
            .fields
            .iter()
            .flat_map(|field| field.kind.operators().map(|operator| (field.key, operator.name())))
            .collect();
        assert_eq!(offered, declared);
    }
}
