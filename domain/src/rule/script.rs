//! How turns of rules are told: for each the fields that a rule spoke of, as they were before it spoke
//! and after, and what else its event says. All that is told of a finding is one text, written once;
//! the audit and the events have parts of it.

use std::fmt::Write;
use std::sync::Arc;

use uuid::Uuid;

use super::pass::Turn;
use crate::finding::facts::Shown;
use crate::finding::layers::Statement;
use crate::ledger::Document;
use crate::vocabulary::terms::Term;

const BEFORE: &str = "{\"before\":";
const AFTER: &str = ",\"after\":";

/// Room for what a few rules say: most findings hear of some.
const ROOM: usize = 4_000;

/// The text of the turns of one finding, while it is written.
#[derive(Default)]
pub(crate) struct Script(String);

/// Where a turn stands in the text of its finding: the payload of its event from `begin` to `end`, and
/// in it the values before and after, which end at `before` and `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    begin: u32,
    before: u32,
    after: u32,
    end: u32,
}

/// A turn of which the values before are written.
pub(crate) struct Begun {
    begin: u32,
    before: u32,
}

impl Script {
    /// Begins a turn with the fields that `statements` speak of, as they are shown now.
    pub fn begin(&mut self, shown: &Shown, statements: &[Statement]) -> Begun {
        if self.0.is_empty() {
            self.0.reserve(ROOM);
        }
        let begin = self.place();
        self.0.push_str(BEFORE);
        values(&mut self.0, shown, statements);
        Begun { begin, before: self.place() }
    }

    /// Ends it with the same fields as they are shown now.
    pub fn end(
        &mut self,
        Begun { begin, before }: Begun,
        (shown, statements): (&Shown, &[Statement]),
        rule: (Uuid, i64),
        turn: Turn,
    ) -> Span {
        self.0.push_str(AFTER);
        values(&mut self.0, shown, statements);
        let after = self.place();
        self.close(rule, turn);
        Span { begin, before, after, end: self.place() }
    }

    /// Tells a turn again that is of another kind.
    pub fn again(&mut self, span: Span, rule: (Uuid, i64), turn: Turn) -> Span {
        let begin = self.place();
        self.0.extend_from_within(span.begin as usize..span.after as usize);
        let moved = |place: u32| place - span.begin + begin;
        self.close(rule, turn);
        Span { begin, before: moved(span.before), after: moved(span.after), end: self.place() }
    }

    /// The values after a turn.
    pub fn after(&self, span: Span) -> &str {
        &self.0[(span.before + length(AFTER)) as usize..span.after as usize]
    }

    pub fn finish(self) -> Arc<String> {
        Arc::new(self.0)
    }

    fn close(&mut self, (rule, version): (Uuid, i64), turn: Turn) {
        let mut id = Uuid::encode_buffer();
        self.0.push_str(",\"change\":\"");
        self.0.push_str(turn.word());
        self.0.push_str("\",\"rule\":\"");
        self.0.push_str(rule.as_hyphenated().encode_lower(&mut id));
        write!(self.0, "\",\"version\":{version}}}").expect("a string takes any text");
    }

    fn place(&self) -> u32 {
        u32::try_from(self.0.len()).expect("what rules say of one finding is far from 4 GiB")
    }
}

impl Span {
    /// What the event of the turn tells, of the text that it stands in.
    pub fn payload(self, text: &Arc<String>) -> Document {
        Document::part(text, self.begin..self.end)
    }

    pub fn before(self, text: &Arc<String>) -> Document {
        Document::part(text, self.begin + length(BEFORE)..self.before)
    }

    pub fn after(self, text: &Arc<String>) -> Document {
        Document::part(text, self.before + length(AFTER)..self.after)
    }
}

const fn length(text: &str) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a few bytes")]
    let length = text.len() as u32;
    length
}

/// Writes the fields that `statements` speak of as an object.
fn values(text: &mut String, shown: &Shown, statements: &[Statement]) {
    match statements {
        // Nearly all that rules say is of one field.
        [first, others @ ..] if others.iter().all(|other| other.field() == first.field()) => {
            text.push('{');
            member(text, shown, first);
        }
        _ => {
            let mut fields: Vec<&Statement> = statements.iter().collect();
            fields.sort_unstable_by_key(|statement| statement.field());
            fields.dedup_by_key(|statement| statement.field());
            text.push('{');
            for (at, statement) in fields.into_iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                member(text, shown, statement);
            }
        }
    }
    text.push('}');
}

/// Writes the field that `statement` speaks of. Names of fields have nothing to escape.
fn member(text: &mut String, shown: &Shown, statement: &Statement) {
    text.push('"');
    text.push_str(statement.field());
    text.push_str("\":");
    shown.spoken(statement).write(text);
}
