//! cel: the Common Expression Language.

use std::sync::Arc;
use std::time::Duration;

use ::cel::{Context, Env, Value};
use serde_json::Value as Json;

use crate::ours::median;
use crate::row::{Cell, Row};
use crate::syntax::{Syntax, write};

struct Cel;

fn list(values: &[&str]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    format!("[{}]", values.join(", "))
}

impl Syntax for Cel {
    const AND: &'static str = "&&";
    const OR: &'static str = "||";
    fn not(&self, expression: String) -> String {
        format!("!({expression})")
    }
    fn text_is(&self, field: &str, value: &str) -> String {
        format!("{field} == \"{value}\"")
    }
    fn text_in(&self, field: &str, values: &[&str]) -> String {
        format!("{field} in {}", list(values))
    }
    fn text_contains(&self, field: &str, part: &str) -> String {
        format!("{field}.contains(\"{part}\")")
    }
    fn text_starts(&self, field: &str, start: &str) -> String {
        format!("{field}.startsWith(\"{start}\")")
    }
    fn text_matches(&self, field: &str, pattern: &str) -> String {
        format!("{field}.matches(r\"{pattern}\")")
    }
    fn list_has(&self, field: &str, value: &str) -> String {
        format!("\"{value}\" in {field}")
    }
    fn list_has_any(&self, field: &str, values: &[&str]) -> String {
        format!("{field}.exists(one, one in {})", list(values))
    }
    fn list_is_empty(&self, field: &str) -> String {
        format!("size({field}) == 0")
    }
    fn number(&self, field: &str, comparison: &str, value: i32) -> String {
        format!("{field} {comparison} {value}")
    }
    fn number_in(&self, field: &str, values: &[i32]) -> String {
        format!("{field} in {values:?}")
    }
}

pub fn measure(trees: &[Json], rows: &[Row]) -> (Duration, usize) {
    let env = Arc::new(Env::stdlib());
    let programs: Vec<_> = trees
        .iter()
        .map(|tree| {
            let text = write(&Cel, tree);
            env.compile(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
        })
        .collect();
    let text = |text: &String| Value::String(Arc::new(text.clone()));
    let contexts: Vec<Context<'_, '_>> = rows
        .iter()
        .map(|row| {
            let mut context = Context::with_env(Arc::clone(&env));
            for (field, cell) in &row.0 {
                let value = match cell {
                    Cell::Text(value) => text(value),
                    Cell::Number(number) => Value::Int(i64::from(*number)),
                    Cell::List(list) => Value::List(Arc::new(list.iter().map(text).collect())),
                };
                context.add_variable_from_value(*field, value);
            }
            context
        })
        .collect();
    median(1, || {
        let mut matches = 0;
        for context in &contexts {
            for program in &programs {
                let value = program.execute(context).unwrap_or_else(|error| panic!("{error}"));
                matches += usize::from(value == Value::Bool(true));
            }
        }
        matches
    })
}
