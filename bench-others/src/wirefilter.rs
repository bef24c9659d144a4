//! wirefilter: bytes and whole numbers. A list is one text with bars around its elements; a text
//! that is asked for its start is there once more with a mark in front, as its `contains` is a search
//! by SIMD and the engine has nothing else for it but patterns.

use std::time::Duration;

use ::wirefilter::{ExecutionContext, LhsValue, Scheme, Type};
use serde_json::Value as Json;

use crate::ours::median;
use crate::row::{Cell, Row};
use crate::syntax::{Syntax, write};

struct Wirefilter;

impl Syntax for Wirefilter {
    const AND: &'static str = "&&";
    const OR: &'static str = "||";
    fn not(&self, expression: String) -> String {
        format!("(not ({expression}))")
    }
    fn text_is(&self, field: &str, value: &str) -> String {
        format!("{field} == \"{value}\"")
    }
    fn text_in(&self, field: &str, values: &[&str]) -> String {
        let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
        format!("{field} in {{{}}}", values.join(" "))
    }
    fn text_contains(&self, field: &str, part: &str) -> String {
        format!("{field} contains \"{part}\"")
    }
    fn text_starts(&self, field: &str, start: &str) -> String {
        format!("{field}_marked contains \"^{start}\"")
    }
    fn text_matches(&self, field: &str, pattern: &str) -> String {
        format!("{field} matches \"{pattern}\"")
    }
    fn list_has(&self, field: &str, value: &str) -> String {
        format!("{field} contains \"|{value}|\"")
    }
    fn list_has_any(&self, field: &str, values: &[&str]) -> String {
        let any: Vec<String> = values.iter().map(|value| self.list_has(field, value)).collect();
        format!("({})", any.join(" || "))
    }
    fn list_is_empty(&self, field: &str) -> String {
        format!("{field} == \"\"")
    }
    fn number(&self, field: &str, comparison: &str, value: i32) -> String {
        format!("{field} {comparison} {value}")
    }
    fn number_in(&self, field: &str, values: &[i32]) -> String {
        let values: Vec<String> = values.iter().map(i32::to_string).collect();
        format!("{field} in {{{}}}", values.join(" "))
    }
}

enum Held<'a> {
    Bytes(String),
    Text(&'a str),
    Number(i32),
}

pub fn measure(trees: &[Json], rows: &[Row]) -> (Duration, usize) {
    let mut scheme = Scheme::new();
    for (field, cell) in &rows[0].0 {
        let kind = if matches!(cell, Cell::Number(_)) { Type::Int } else { Type::Bytes };
        scheme.add_field((*field).to_owned(), kind).expect("each once");
        if matches!(cell, Cell::Text(_)) {
            scheme.add_field(format!("{field}_marked"), Type::Bytes).expect("each once");
        }
    }
    let held: Vec<Vec<(String, Held<'_>)>> = rows
        .iter()
        .map(|row| {
            let mut values = Vec::new();
            for (field, cell) in &row.0 {
                let value = match cell {
                    Cell::Text(text) => {
                        values.push((format!("{field}_marked"), Held::Bytes(format!("^{text}"))));
                        Held::Text(text)
                    }
                    Cell::Number(number) => Held::Number(*number),
                    Cell::List(list) if list.is_empty() => Held::Text(""),
                    Cell::List(list) => Held::Bytes(format!("|{}|", list.join("|"))),
                };
                values.push(((*field).to_owned(), value));
            }
            values
        })
        .collect();
    let contexts: Vec<ExecutionContext<'_>> = held
        .iter()
        .map(|values| {
            let mut context = ExecutionContext::new(&scheme);
            for (field, value) in values {
                let value: LhsValue<'_> = match value {
                    Held::Bytes(text) => text.as_str().into(),
                    Held::Text(text) => (*text).into(),
                    Held::Number(number) => (*number).into(),
                };
                context.set_field_value(field, value).expect("the type of the field");
            }
            context
        })
        .collect();
    let filters: Vec<_> = trees
        .iter()
        .map(|tree| {
            let text = write(&Wirefilter, tree);
            scheme.parse(&text).unwrap_or_else(|error| panic!("{error}")).compile()
        })
        .collect();
    median(if trees.len() > 1_000 { 1 } else { 3 }, || {
        let mut matches = 0;
        for context in &contexts {
            for filter in &filters {
                matches += usize::from(filter.execute(context).expect("the same scheme"));
            }
        }
        matches
    })
}
