//! What a leaf reads, and from whom.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::vocabulary::kind::{Family, Kind};
use crate::vocabulary::time::Timestamp;

/// The value of one field of a subject. An empty text and an empty list are missing too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Missing,
    Text(&'a str),
    Number(f64),
    Bool(bool),
    Time(Timestamp),
    /// A word of a closed list, by its code.
    Code(u8),
    /// A list of texts, codes, or ids as hyphenated text.
    List(&'a [String]),
    Uuid(Uuid),
}

/// Something that criteria can be asked about.
pub trait Subject {
    /// The value of the field with this index in the catalogue.
    ///
    /// # Errors
    /// When the value cannot be told; the leaf is then an error, not a silent no-match.
    fn read(&self, field: usize) -> Result<Value<'_>, ReadFault>;
}

/// Why a value could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFault(pub Cow<'static, str>);

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadFault {}

impl Value<'_> {
    #[inline]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing | Self::Text("") | Self::List([]))
    }

    /// Whether a field of `kind` can have this value.
    #[inline]
    pub(crate) fn fits(&self, kind: Kind) -> bool {
        match (self, kind.family()) {
            (Self::Missing, _)
            | (Self::Text(_), Family::Text)
            | (Self::Bool(_), Family::Bool)
            | (Self::Time(_), Family::Time)
            | (Self::List(_), Family::List)
            | (Self::Uuid(_), Family::Reference) => true,
            (Self::Number(number), Family::Number) => number.is_finite(),
            (Self::Code(code), Family::Ordinal | Family::Enum) => usize::from(*code) < kind.words().len(),
            _ => false,
        }
    }

    /// The value as people are shown it; a missing one is null.
    pub fn to_json(&self, kind: Kind) -> Json {
        match self {
            Self::Missing => Json::Null,
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Bool(bool) => json!(bool),
            Self::Time(at) => json!(at),
            Self::Code(code) => {
                kind.words().get(usize::from(*code)).map_or_else(|| json!(code), |word| json!(word))
            }
            Self::List(list) => json!(list),
            Self::Uuid(id) => json!(id),
        }
    }
}
