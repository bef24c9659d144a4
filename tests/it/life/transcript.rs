//! What was asked and answered, step by step, for people to read.

use std::cell::RefCell;
use std::fmt::Write;

use serde_json::Value as Json;

/// Texts without a space that are longer than this are ids, hashes and secrets: their beginning will do.
const WHOLE: usize = 24;
const BEGINNING: usize = 12;

/// The steps so far, if anybody wants to read them. They are printed together, as tests run beside
/// each other, and also where the test fails.
pub struct Transcript(Option<RefCell<(usize, String)>>);

impl Transcript {
    pub fn new(title: &str) -> Self {
        let wanted = std::env::var("COUNTERSIGN_TRANSCRIPT").is_ok_and(|said| said == "1");
        Self(wanted.then(|| RefCell::new((0, format!("\n# {title}\n")))))
    }

    pub fn step(&self, does: &str, query: &str, variables: &Json, answer: &Json) {
        let Some(steps) = &self.0 else { return };
        let (number, text) = &mut *steps.borrow_mut();
        *number += 1;
        let variables = short(variables);
        let answer = answer.get("errors").unwrap_or(&answer["data"]);
        let answer = serde_json::to_string_pretty(&short(answer)).expect("an answer encodes");
        write!(text, "\n## {number}. {does}\n\n> {} {variables}\n\n{answer}\n", operation(query))
            .expect("a text can be written to");
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        use std::io::Write;

        if let Some(steps) = &self.0 {
            let mut out = std::io::stdout().lock();
            let printed = out.write_all(steps.borrow().1.as_bytes()).and_then(|()| out.flush());
            printed.expect("stdout can be written to");
        }
    }
}

/// The kind and the name of an operation.
fn operation(query: &str) -> &str {
    query.split(['(', '{']).next().unwrap_or(query).trim()
}

/// The same, with ids, hashes and secrets by their beginning.
fn short(value: &Json) -> Json {
    match value {
        Json::String(text) if text.len() > WHOLE && !text.contains(' ') => {
            let beginning: String = text.chars().take(BEGINNING).collect();
            format!("{beginning}…").into()
        }
        Json::Array(values) => values.iter().map(short).collect(),
        Json::Object(members) => members.iter().map(|(name, value)| (name.clone(), short(value))).collect(),
        other => other.clone(),
    }
}

/// What an operation of one field answered, which refused nothing.
pub fn said(answer: &Json) -> &Json {
    assert_eq!(answer["errors"], Json::Null);
    let data = answer["data"].as_object().expect("an answer has data");
    let said = data.values().next().expect("an operation has a field");
    assert!(said["userErrors"].as_array().is_none_or(Vec::is_empty), "{said}");
    said
}

/// The code with which an operation of one field was refused.
pub fn refusal(answer: &Json) -> &str {
    let own = answer["data"].as_object().and_then(|data| data.values().next());
    let code = own.and_then(|payload| payload["userErrors"][0]["code"].as_str());
    code.or(answer["errors"][0]["extensions"]["code"].as_str()).expect("it is refused")
}
