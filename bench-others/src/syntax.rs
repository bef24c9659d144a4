//! A rule's criteria in the syntax of an engine: the tree is the same everywhere, the leaves are not.

use domain::vocabulary::field::finding::FINDING;
use domain::vocabulary::kind::{Family, Kind};
use serde_json::Value as Json;

use crate::row::scaled;

/// How an engine writes things. `field` is the name of a field.
pub trait Syntax {
    const AND: &'static str;
    const OR: &'static str;
    fn not(&self, expression: String) -> String;
    fn text_is(&self, field: &str, value: &str) -> String;
    fn text_in(&self, field: &str, values: &[&str]) -> String;
    fn text_contains(&self, field: &str, part: &str) -> String;
    fn text_starts(&self, field: &str, start: &str) -> String;
    fn text_matches(&self, field: &str, pattern: &str) -> String;
    fn list_has(&self, field: &str, value: &str) -> String;
    fn list_has_any(&self, field: &str, values: &[&str]) -> String;
    fn list_is_empty(&self, field: &str) -> String;
    fn number(&self, field: &str, comparison: &str, value: i32) -> String;
    fn number_in(&self, field: &str, values: &[i32]) -> String;
}

pub fn write<S: Syntax>(syntax: &S, tree: &Json) -> String {
    let Some(conditions) = tree.get("conditions").and_then(Json::as_array) else { return leaf(syntax, tree) };
    let word = if tree["logic"] == "AND" { S::AND } else { S::OR };
    let parts: Vec<String> = conditions.iter().map(|tree| write(syntax, tree)).collect();
    format!("({})", parts.join(&format!(" {word} ")))
}

fn leaf<S: Syntax>(syntax: &S, leaf: &Json) -> String {
    let field = leaf["field"].as_str().expect("a field");
    let operator = leaf["operator"].as_str().expect("an operator");
    let kind = FINDING.get(field).expect("a field that is known").kind;
    let value = &leaf["value"];
    let text = || value.as_str().expect("a text");
    let texts =
        || value.as_array().expect("a list").iter().map(|one| one.as_str().expect("a text")).collect();
    match (kind.family(), operator) {
        (Family::Text | Family::Reference, "eq") => syntax.text_is(field, text()),
        (Family::Text | Family::Reference, "in") => {
            let texts: Vec<&str> = texts();
            syntax.text_in(field, &texts)
        }
        (Family::Text, "contains") => syntax.text_contains(field, text()),
        (Family::Text, "starts_with") => syntax.text_starts(field, text()),
        (Family::Text, "matches_regex") => syntax.text_matches(field, text()),
        (Family::List, "contains" | "eq") => syntax.list_has(field, text()),
        (Family::List, "neq") => syntax.not(syntax.list_has(field, text())),
        (Family::List, "is_empty") => syntax.list_is_empty(field),
        (Family::List, "in" | "not_in" | "all_in") => {
            let texts: Vec<&str> = texts();
            match operator {
                "in" => syntax.list_has_any(field, &texts),
                "not_in" => syntax.not(syntax.list_has_any(field, &texts)),
                _ => {
                    let all: Vec<String> = texts.iter().map(|text| syntax.list_has(field, text)).collect();
                    format!("({})", all.join(&format!(" {} ", S::AND)))
                }
            }
        }
        (Family::Time, "older_than") => syntax.number(field, ">", seconds(text())),
        (Family::Time, "within_last") => syntax.number(field, "<=", seconds(text())),
        (_, "in") => {
            let codes: Vec<i32> =
                value.as_array().expect("a list").iter().map(|one| number(field, kind, one)).collect();
            syntax.number_in(field, &codes)
        }
        (_, operator) => {
            let number = number(field, kind, value);
            let compared = |comparison| syntax.number(field, comparison, number);
            // A missing value is -1, which is below everything.
            let present = |rest: String| format!("({} {} {rest})", syntax.number(field, ">=", 0), S::AND);
            match operator {
                "eq" => compared("=="),
                "neq" => compared("!="),
                "gt" => compared(">"),
                "gte" | "gte_ord" => compared(">="),
                "lt" => present(compared("<")),
                "lte" | "lte_ord" => present(compared("<=")),
                _ => panic!("{operator} is not among the rules"),
            }
        }
    }
}

fn number(field: &str, kind: Kind, value: &Json) -> i32 {
    match value {
        Json::Bool(bool) => i32::from(*bool),
        Json::Number(number) => scaled(field, number.as_f64().expect("a number")),
        Json::String(word) => {
            let at = kind.words().iter().position(|known| known.eq_ignore_ascii_case(word));
            i32::try_from(at.expect("a word of the kind")).expect("there are few")
        }
        _ => panic!("{value} is no number"),
    }
}

/// `7d` in seconds: the rules have nothing but days.
fn seconds(span: &str) -> i32 {
    span.strip_suffix('d').expect("days").parse::<i32>().expect("a number") * 86_400
}
