//! A checked tree: groups over conditions, and what conditions compare with.

use regex::Regex;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::vocabulary::field::{Catalogue, Field};
use crate::vocabulary::operator::Operator;
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::{Span, Timestamp};

terms! {
    /// How a group joins its conditions.
    Logic { And = "AND", Or = "OR" }
}

/// A group or a condition. The root of a tree may be either.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Group(Group),
    Condition(Condition),
}

/// Conditions and groups joined by one logic; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub logic: Logic,
    pub conditions: Vec<Node>,
}

/// One leaf: field, operator, operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The index of the field in the catalogue.
    pub field: usize,
    pub operator: Operator,
    pub operand: Operand,
}

/// What a condition compares with, in the number that its operator takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Nothing,
    One(Scalar),
    /// At least one.
    Many(Vec<Scalar>),
}

/// One value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Never empty.
    Text(String),
    /// Always finite.
    Number(f64),
    Bool(bool),
    Time {
        at: Timestamp,
        written: String,
    },
    Span {
        span: Span,
        written: String,
    },
    /// A word of a closed list, by its code.
    Word {
        code: u8,
        word: &'static str,
    },
    Uuid(Uuid),
    Pattern(Pattern),
}

/// A regular expression, compiled within the limits on its size.
#[derive(Clone, Debug)]
pub struct Pattern(pub(super) Regex);

impl Pattern {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Node {
    pub(super) fn to_json(&self, catalogue: &Catalogue) -> Json {
        match self {
            Self::Group(group) => {
                let conditions: Vec<Json> =
                    group.conditions.iter().map(|node| node.to_json(catalogue)).collect();
                json!({ "logic": group.logic, "conditions": conditions })
            }
            Self::Condition(condition) => condition.to_json(&catalogue.fields[condition.field]),
        }
    }
}

impl Condition {
    fn to_json(&self, field: &Field) -> Json {
        let mut json = json!({ "field": field.key, "operator": self.operator });
        if self.operand != Operand::Nothing {
            json["value"] = self.operand.to_json();
        }
        json
    }
}

impl Operand {
    /// The operand as it is written in a condition's `value`; null where there is none.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Nothing => Json::Null,
            Self::One(scalar) => scalar.to_json(),
            Self::Many(scalars) => scalars.iter().map(Scalar::to_json).collect(),
        }
    }

    pub fn scalars(&self) -> &[Scalar] {
        match self {
            Self::Nothing => &[],
            Self::One(scalar) => std::slice::from_ref(scalar),
            Self::Many(scalars) => scalars,
        }
    }
}

impl Scalar {
    pub fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number) => number_json(*number),
            Self::Bool(bool) => json!(bool),
            Self::Time { written, .. } | Self::Span { written, .. } => json!(written),
            Self::Word { word, .. } => json!(word),
            Self::Uuid(id) => json!(id),
            Self::Pattern(pattern) => json!(pattern.as_str()),
        }
    }
}

/// A whole number without a fraction, as people write it.
fn number_json(number: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and inside of the exact range")]
        let whole = number as i64;
        json!(whole)
    } else {
        json!(number)
    }
}
