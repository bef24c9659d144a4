//! OpenVEX 0.2.0: a statement of each vulnerability in each place.

use serde_json::{Map, Value as Json, json};

use super::{Comma, Format, Head, Out, Statement, asset_url, put};
use crate::error::Result;
use crate::intake::vex::{self, Vocabulary};

#[derive(Default)]
pub(super) struct OpenVex {
    comma: Comma,
}

impl Format for OpenVex {
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>) {
        let mut text = json!({
            "@context": "https://openvex.dev/ns/v0.2.0",
            "@id": format!("urn:uuid:{}", head.export),
            "author": head.publisher,
            "timestamp": head.at,
            "version": 1,
            "tooling": concat!("countersign/", env!("CARGO_PKG_VERSION")),
        })
        .to_string();
        text.pop();
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b",\"statements\":[\n");
    }

    fn state(&mut self, statement: &Statement<'_>, out: &mut Out<'_>) -> Result<bool> {
        let Some(written) = written(statement) else { return Ok(false) };
        self.comma.put(out.text);
        put(out.text, &written);
        Ok(true)
    }

    fn follow(&mut self, _: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n]}\n");
    }
}

fn written(statement: &Statement<'_>) -> Option<Json> {
    let decision = statement.decision;
    let (words, text) = decision.words(Vocabulary::OpenVex)?;
    let mut vulnerability = json!({ "name": statement.name });
    if !statement.aliases.is_empty() {
        vulnerability["aliases"] = json!(statement.aliases);
    }
    let mut product = json!({ "@id": asset_url(statement.asset) });
    if let Some(component) = statement.component {
        product["subcomponents"] = json!([{ "@id": component.url() }]);
    }
    let mut written = Map::from_iter([
        ("vulnerability".to_owned(), vulnerability),
        ("products".to_owned(), json!([product])),
        ("status".to_owned(), json!(words.state)),
    ]);
    let mut say = |member: &str, text: String| drop(written.insert(member.to_owned(), text.into()));
    // Why it is not affected is said in one of two ways, never in both.
    let mut notes = None;
    match (words.state, words.justification) {
        ("affected", Some(_)) => say("action_statement", vex::borne(text.as_deref())),
        ("affected", None) => {
            say("action_statement", text.unwrap_or_else(|| "Somebody works on it.".to_owned()))
        }
        ("not_affected", None) => {
            say(
                "impact_statement",
                text.unwrap_or_else(|| "It is not what its scanner takes it for.".to_owned()),
            );
        }
        ("not_affected", Some(why)) => {
            say("justification", why.to_owned());
            notes = text;
        }
        _ => notes = text,
    }
    let by = decision.by.as_ref().map(|by| format!("Decided by {by}."));
    let notes: Vec<String> = notes.into_iter().chain(by).collect();
    if !notes.is_empty() {
        say("status_notes", notes.join("\n"));
    }
    Some(written.into())
}
