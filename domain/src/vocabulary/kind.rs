//! What kind of value a field has, and everything that follows from it: which operators it allows,
//! what they are compared with, how a builder draws it, how it is stored.

use serde_json::{Value as Json, json};

use super::operator::Operator;
use super::terms::terms;

/// The kind of a field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text of any length, compared by code points, ignoring ASCII case.
    Text,
    /// A finite double inside of `min..=max`, where these are given.
    Number {
        min: Option<f64>,
        max: Option<f64>,
    },
    Bool,
    /// A point in time, to the microsecond.
    Time,
    /// One word of a closed list whose order means something, lowest first.
    Ordinal(&'static [&'static str]),
    /// One word of a closed list.
    Enum(&'static [&'static str]),
    /// The id of one record of the named noun.
    Reference(&'static str),
    /// A list of free texts.
    TextList,
    /// A list of ids of the named noun.
    ReferenceList(&'static str),
    /// A list of codes out of the company's named code list.
    CodeList(&'static str),
}

/// Kinds that take the same operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Text,
    Number,
    Bool,
    Time,
    Ordinal,
    Enum,
    Reference,
    List,
}

/// How a value of a kind lies in a column, the same on both databases save where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Text; on PostgreSQL with COLLATE "C".
    Text,
    /// The word's code as a small integer.
    Code,
    Double,
    Boolean,
    /// Microseconds since the epoch as a 64-bit integer.
    Micros,
    Uuid,
    /// A JSON array of texts: TEXT on SQLite, jsonb on PostgreSQL.
    List,
}

terms! {
    /// The form element that a builder draws for the operand of a field.
    Widget {
        Text = "TEXT", Number = "NUMBER", Switch = "SWITCH", DateTime = "DATE_TIME", Select = "SELECT",
        Search = "SEARCH", Tags = "TAGS", Codes = "CODES",
    }

    /// What an operand is written as in JSON; where the arity is many, what each element is.
    ValueKind {
        Nothing = "NOTHING", Text = "TEXT", Pattern = "PATTERN", Number = "NUMBER", Bool = "BOOL",
        Time = "TIME", Span = "SPAN", Word = "WORD", Reference = "REFERENCE", Code = "CODE",
    }

    /// A colour in which a word may be shown: a hint, by its name.
    Colour {
        Grey = "GREY", Green = "GREEN", Blue = "BLUE", Yellow = "YELLOW", Orange = "ORANGE", Red = "RED",
        Purple = "PURPLE",
    }
}

impl ValueKind {
    /// Whether a sentence has the operand in quotation marks.
    pub fn is_quoted(self) -> bool {
        matches!(self, Self::Text | Self::Pattern | Self::Code)
    }
}

impl Colour {
    /// From calm to alarming: what the words of an ordered list are shown in, up to its worst.
    const RAMP: [Colour; 6] = [Self::Grey, Self::Blue, Self::Yellow, Self::Orange, Self::Red, Self::Purple];

    /// The colour of the word at `rank` of an ordered list of `count`: the shorter the list, the nearer
    /// to red it begins.
    fn of_rank(rank: u8, count: usize) -> Self {
        let skipped = Self::RAMP.len().saturating_sub(count).saturating_sub(1);
        Self::RAMP[(usize::from(rank) + skipped).min(Self::RAMP.len() - 1)]
    }

    /// The colour of a word of a list without an order.
    fn of_word(word: &str) -> Self {
        match word {
            "OPEN" | "PRODUCTION" => Self::Red,
            "IN_PROGRESS" | "DETECTION" => Self::Orange,
            "ACCEPTED_RISK" => Self::Purple,
            "FIXED" | "DEVELOPMENT" => Self::Green,
            "STAGING" => Self::Yellow,
            "TEST" | "VULNERABILITY" => Self::Blue,
            _ => Self::Grey,
        }
    }
}

/// One word that a closed list offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub value: &'static str,
    /// The place in the list; for an ordered list, its rank.
    pub rank: u8,
    pub colour: Colour,
}

impl Choice {
    /// The word as a person reads it: `IN_PROGRESS` is "In progress".
    pub fn label(&self) -> String {
        let words = self.value.to_ascii_lowercase().replace('_', " ");
        let mut letters = words.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    }
}

impl Kind {
    /// The kind's name as clients see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Number { .. } => "NUMBER",
            Self::Bool => "BOOL",
            Self::Time => "TIME",
            Self::Ordinal(_) => "ORDINAL",
            Self::Enum(_) => "ENUM",
            Self::Reference(_) => "REFERENCE",
            Self::TextList => "TEXT_LIST",
            Self::ReferenceList(_) => "REFERENCE_LIST",
            Self::CodeList(_) => "CODE_LIST",
        }
    }

    pub fn family(self) -> Family {
        match self {
            Self::Text => Family::Text,
            Self::Number { .. } => Family::Number,
            Self::Bool => Family::Bool,
            Self::Time => Family::Time,
            Self::Ordinal(_) => Family::Ordinal,
            Self::Enum(_) => Family::Enum,
            Self::Reference(_) => Family::Reference,
            Self::TextList | Self::ReferenceList(_) | Self::CodeList(_) => Family::List,
        }
    }

    pub fn is_list(self) -> bool {
        self.family() == Family::List
    }

    /// The operators that this kind allows, in the order of their declaration.
    pub fn operators(self) -> impl Iterator<Item = Operator> {
        Operator::ALL.iter().copied().filter(move |operator| operator.fits(self))
    }

    /// What a value is written as in JSON; of a list, what an element is.
    pub fn value_kind(self) -> ValueKind {
        match self {
            Self::Text | Self::TextList => ValueKind::Text,
            Self::Number { .. } => ValueKind::Number,
            Self::Bool => ValueKind::Bool,
            Self::Time => ValueKind::Time,
            Self::Ordinal(_) | Self::Enum(_) => ValueKind::Word,
            Self::Reference(_) | Self::ReferenceList(_) => ValueKind::Reference,
            Self::CodeList(_) => ValueKind::Code,
        }
    }

    pub fn widget(self) -> Widget {
        match self {
            Self::Text => Widget::Text,
            Self::Number { .. } => Widget::Number,
            Self::Bool => Widget::Switch,
            Self::Time => Widget::DateTime,
            Self::Ordinal(_) | Self::Enum(_) => Widget::Select,
            Self::Reference(_) | Self::ReferenceList(_) => Widget::Search,
            Self::TextList => Widget::Tags,
            Self::CodeList(_) => Widget::Codes,
        }
    }

    pub fn storage(self) -> Storage {
        match self.family() {
            Family::Text => Storage::Text,
            Family::Number => Storage::Double,
            Family::Bool => Storage::Boolean,
            Family::Time => Storage::Micros,
            Family::Ordinal | Family::Enum => Storage::Code,
            Family::Reference => Storage::Uuid,
            Family::List => Storage::List,
        }
    }

    /// The words of a closed list, in order of their codes; empty for every other kind.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Ordinal(words) | Self::Enum(words) => words,
            _ => &[],
        }
    }

    /// The words with what a builder shows of them.
    pub fn choices(self) -> impl Iterator<Item = Choice> {
        let colour = move |value: &str, rank| match self {
            Self::Ordinal(words) => Colour::of_rank(rank, words.len()),
            _ => Colour::of_word(value),
        };
        self.words().iter().zip(0_u8..).map(move |(value, rank)| Choice {
            value,
            rank,
            colour: colour(value, rank),
        })
    }

    /// The noun or code list that the values are taken from, for a builder's search.
    pub fn source(self) -> Option<&'static str> {
        match self {
            Self::Reference(name) | Self::ReferenceList(name) | Self::CodeList(name) => Some(name),
            _ => None,
        }
    }

    /// A value of this kind, as an example.
    pub fn sample(self) -> Json {
        const ID: &str = "01938e2a-7c00-7000-8000-000000000001";
        match self {
            Self::Text => json!("example"),
            Self::Number { min, max } => json!(max.or(min).unwrap_or(1.0)),
            Self::Bool => json!(true),
            Self::Time => json!("2026-01-31T08:00:00Z"),
            Self::Ordinal(words) | Self::Enum(words) => json!(words.last()),
            Self::Reference(_) => json!(ID),
            Self::TextList => json!(["example"]),
            Self::ReferenceList(_) => json!([ID]),
            Self::CodeList(_) => json!(["EXAMPLE"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::terms::{Criticality, Severity, Status, Term};

    #[test]
    fn labels_read_like_words() {
        let kind = Kind::Enum(&["IN_PROGRESS", "low", "x"]);
        let labels: Vec<String> = kind.choices().map(|choice| choice.label()).collect();
        assert_eq!(labels, ["In progress", "Low", "X"]);
    }

    #[test]
    fn the_worst_of_a_list_stands_out() {
        let colours = |kind: Kind| kind.choices().map(|choice| choice.colour).collect::<Vec<_>>();
        assert_eq!(colours(Kind::Ordinal(Severity::WORDS)), Colour::RAMP);
        let criticality = colours(Kind::Ordinal(Criticality::WORDS));
        assert_eq!(criticality, [Colour::Blue, Colour::Yellow, Colour::Orange, Colour::Red]);
        assert_eq!(colours(Kind::Enum(Status::WORDS))[0], Colour::Red);
    }
}
