//! A finding as plain values: what every engine can hold. A missing text is empty, a missing number
//! is -1; scores are whole numbers (tenths, thousandths), a time is its age in seconds.

use domain::finding::facts::Facts;
use domain::vocabulary::criteria::{Subject, Value};
use domain::vocabulary::field::finding::FINDING;
use domain::vocabulary::kind::Family;

use crate::data::NOW;

pub enum Cell {
    Text(String),
    Number(i32),
    List(Vec<String>),
}

/// The values by the index of their field.
pub struct Row(pub Vec<(&'static str, Cell)>);

impl Row {
    pub fn of(facts: &Facts<'_>) -> Self {
        let cell = |(at, field): (usize, &domain::vocabulary::field::Field)| {
            let value = facts.read(at).expect("it can be read");
            let cell = match (field.kind.family(), value) {
                (Family::Text | Family::Reference, Value::Text(text)) => Cell::Text(text.to_owned()),
                (Family::Reference, Value::Uuid(id)) => Cell::Text(id.to_string()),
                (Family::Text | Family::Reference, _) => Cell::Text(String::new()),
                (Family::List, Value::List(list)) => Cell::List(list.to_vec()),
                (Family::List, _) => Cell::List(Vec::new()),
                (Family::Number, Value::Number(number)) => Cell::Number(scaled(field.key, number)),
                (_, Value::Bool(bool)) => Cell::Number(i32::from(bool)),
                (_, Value::Code(code)) => Cell::Number(i32::from(code)),
                (_, Value::Time(at)) => {
                    Cell::Number(i32::try_from((NOW.0 - at.0) / 1_000_000).expect("it is some years ago"))
                }
                _ => Cell::Number(-1),
            };
            (field.key, cell)
        };
        Self(FINDING.fields.iter().enumerate().map(cell).collect())
    }
}

/// A number of a field as a whole one.
pub fn scaled(field: &str, number: f64) -> i32 {
    let scale = match field {
        "cvss_score" => 10.0,
        "epss_score" | "epss_percentile" => 1_000.0,
        _ => 1.0,
    };
    #[expect(clippy::cast_possible_truncation, reason = "scores and ports are small")]
    let whole = (number * scale).round() as i32;
    whole
}
