//! zen-expression: the language of the GoRules engine.

use std::time::Duration;

use serde_json::{Value as Json, json};
use zen_expression::{Isolate, Variable};

use crate::ours::median;
use crate::row::{Cell, Row};
use crate::syntax::{Syntax, write};

struct Zen;

fn list(values: &[&str]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    format!("[{}]", values.join(", "))
}

impl Syntax for Zen {
    const AND: &'static str = "and";
    const OR: &'static str = "or";
    fn not(&self, expression: String) -> String {
        format!("(not ({expression}))")
    }
    fn text_is(&self, field: &str, value: &str) -> String {
        format!("{field} == '{value}'")
    }
    fn text_in(&self, field: &str, values: &[&str]) -> String {
        format!("{field} in {}", list(values))
    }
    fn text_contains(&self, field: &str, part: &str) -> String {
        format!("contains({field}, '{part}')")
    }
    fn text_starts(&self, field: &str, start: &str) -> String {
        format!("startsWith({field}, '{start}')")
    }
    fn text_matches(&self, field: &str, pattern: &str) -> String {
        format!("matches({field}, '{pattern}')")
    }
    fn list_has(&self, field: &str, value: &str) -> String {
        format!("contains({field}, '{value}')")
    }
    fn list_has_any(&self, field: &str, values: &[&str]) -> String {
        let any: Vec<String> = values.iter().map(|value| self.list_has(field, value)).collect();
        format!("({})", any.join(" or "))
    }
    fn list_is_empty(&self, field: &str) -> String {
        format!("len({field}) == 0")
    }
    fn number(&self, field: &str, comparison: &str, value: i32) -> String {
        format!("{field} {comparison} {value}")
    }
    fn number_in(&self, field: &str, values: &[i32]) -> String {
        format!("{field} in {values:?}")
    }
}

pub fn measure(trees: &[Json], rows: &[Row]) -> (Duration, usize) {
    let mut isolate = Isolate::new();
    let programs: Vec<_> = trees
        .iter()
        .map(|tree| {
            let text = write(&Zen, tree);
            isolate.compile_standard(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
        })
        .collect();
    let contexts: Vec<Variable> = rows
        .iter()
        .map(|row| {
            let values = row.0.iter().map(|(field, cell)| {
                let value = match cell {
                    Cell::Text(value) => json!(value),
                    Cell::Number(number) => json!(number),
                    Cell::List(list) => json!(list),
                };
                ((*field).to_owned(), value)
            });
            Variable::from(Json::Object(values.collect()))
        })
        .collect();
    let mut found = (Duration::ZERO, 0);
    for context in contexts {
        isolate.set_environment(context);
        let isolate = std::cell::RefCell::new(&mut isolate);
        let (time, matches) = median(1, || {
            let mut isolate = isolate.borrow_mut();
            let run = |program: &zen_expression::Expression<_>| {
                let value =
                    isolate.run_compiled(program.bytecode()).unwrap_or_else(|error| panic!("{error}"));
                usize::from(value.as_bool() == Some(true))
            };
            programs.iter().map(run).sum::<usize>()
        });
        found.0 += time;
        found.1 += matches;
    }
    found
}
