//! How turns of rules are told: for each the fields that a rule spoke of, as they were before it spoke
//! and after, and what else its event says. It is written once, one turn after the other; the audit and
//! the events have parts of it.

use std::ops::Range;
use std::sync::Arc;

use uuid::Uuid;

use super::pass::Turn;
use crate::finding::layers::{Statement, fields_of};
use crate::finding::shown::Shown;
use crate::ledger::Document;
use crate::vocabulary::terms::Term;

const BEFORE: &str = "{\"before\":";
const AFTER: &str = ",\"after\":";
const CHANGE: &str = ",\"change\":\"";

/// The bytes of a text behind which the next turn begins another, so that none is moved when it grows.
const FULL: usize = 1 << 16;

/// What turns tell, while it is written.
#[derive(Default)]
pub(crate) struct Script {
    full: Vec<Arc<String>>,
    text: String,
    /// How much room a text has to begin with.
    room: usize,
}

/// What turns have told.
#[derive(Clone, Debug)]
pub(crate) struct Texts(Arc<[Arc<String>]>);

/// Where a turn stands: the payload of its event from `begin` to `end`, and in it the values before and
/// after, which end at `before` and `after`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    text: u32,
    begin: u32,
    before: u32,
    after: u32,
    end: u32,
}

/// How all that is told of the turns of a rule ends, but for what kind of turn it is.
#[derive(Debug)]
pub(crate) struct Signature(String);

/// A turn of which the values before are written.
pub(crate) struct Begun {
    begin: u32,
    before: u32,
}

impl Signature {
    pub fn of(rule: Uuid, version: i64) -> Self {
        Self(format!("\",\"rule\":\"{rule}\",\"version\":{version}}}"))
    }
}

impl Script {
    /// The script of many turns, whose texts have their room at once, with some more for the last turn.
    pub fn of_many() -> Self {
        Self { room: FULL + FULL / 16, ..Self::default() }
    }

    /// Begins a turn with the fields that `statements` speak of, as they are shown now.
    pub fn begin(&mut self, shown: &Shown, statements: &[Statement]) -> Begun {
        self.make_room();
        let begin = self.place();
        self.text.push_str(BEFORE);
        values(&mut self.text, shown, statements);
        Begun { begin, before: self.place() }
    }

    /// Ends it with the same fields as they are shown now.
    pub fn end(
        &mut self,
        Begun { begin, before }: Begun,
        (shown, statements): (&Shown, &[Statement]),
        turn: Turn,
        signature: &Signature,
    ) -> Span {
        self.text.push_str(AFTER);
        values(&mut self.text, shown, statements);
        let after = self.place();
        self.close(turn, signature);
        Span { text: number(self.full.len()), begin, before, after, end: self.place() }
    }

    /// Tells a turn again that is of another kind.
    pub fn again(&mut self, span: Span, turn: Turn, signature: &Signature) -> Span {
        let values = self.told(span)[..(span.after - span.begin) as usize].to_owned();
        self.make_room();
        let begin = self.place();
        self.text.push_str(&values);
        let moved = |place: u32| place - span.begin + begin;
        self.close(turn, signature);
        let (before, after) = (moved(span.before), moved(span.after));
        Span { text: number(self.full.len()), begin, before, after, end: self.place() }
    }

    /// The values after a turn.
    pub fn after(&self, span: Span) -> &str {
        let from = (span.before - span.begin) as usize + AFTER.len();
        &self.told(span)[from..(span.after - span.begin) as usize]
    }

    pub fn finish(mut self) -> Texts {
        self.full.push(Arc::new(self.text));
        Texts(self.full.into())
    }

    /// All that is told of a turn.
    fn told(&self, Span { text, begin, end, .. }: Span) -> &str {
        let text = self.full.get(text as usize).map_or(&self.text, |text| &**text);
        &text[begin as usize..end as usize]
    }

    fn make_room(&mut self) {
        if self.text.len() >= FULL {
            self.full.push(Arc::new(std::mem::take(&mut self.text)));
        }
        if self.text.is_empty() {
            self.text.reserve(self.room);
        }
    }

    fn close(&mut self, turn: Turn, Signature(signature): &Signature) {
        self.text.push_str(CHANGE);
        self.text.push_str(turn.word());
        self.text.push_str(signature);
    }

    fn place(&self) -> u32 {
        number(self.text.len())
    }
}

impl Texts {
    /// What the event of a turn tells.
    pub fn payload(&self, span: Span) -> Document {
        self.part(span, span.begin..span.end)
    }

    pub fn before(&self, span: Span) -> Document {
        self.part(span, span.begin + number(BEFORE.len())..span.before)
    }

    pub fn after(&self, span: Span) -> Document {
        self.part(span, span.before + number(AFTER.len())..span.after)
    }

    fn part(&self, span: Span, range: Range<u32>) -> Document {
        Document::part(&self.0[span.text as usize], range)
    }
}

fn number(of: usize) -> u32 {
    u32::try_from(of).expect("a text is little longer than where it is full")
}

/// Writes the fields that `statements` speak of as an object.
fn values(text: &mut String, shown: &Shown, statements: &[Statement]) {
    match statements {
        // Nearly all that rules say is of one field.
        [only] => shown.write(&[only.field()], text),
        _ => shown.write(&fields_of(statements), text),
    }
}
