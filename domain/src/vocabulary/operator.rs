//! The operators of the predicate language, each declared once.

use std::fmt;

use serde::{Serialize, Serializer};

use super::kind::{Family, Kind, ValueKind};

/// How many operands an operator takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    None,
    One,
    /// A list with at least one element.
    Many,
}

/// What an operator is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Nothing,
    /// One value of the field's kind; of a list field, one element.
    Value,
    /// Several of them.
    Values,
    /// A regular expression.
    Pattern,
    /// A length of time: `30s 5m 2h 7d 4w`.
    Span,
}

/// An order between a value and an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

impl Comparison {
    /// Whether `value` stands in this order to `operand`; never where they have none.
    pub fn holds<T: PartialOrd>(self, value: &T, operand: &T) -> bool {
        match self {
            Self::Below => value < operand,
            Self::AtMost => value <= operand,
            Self::Equal => value == operand,
            Self::AtLeast => value >= operand,
            Self::Above => value > operand,
        }
    }
}

macro_rules! operators {
    ($($(#[doc = $doc:literal])+
       $variant:ident = $name:literal $screaming:literal, $label:literal, $shape:ident, [$($family:ident)+];)+) => {
        /// An operator. It is read and written by its name, ignoring ASCII case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Operator { $($(#[doc = $doc])+ $variant),+ }

        impl Operator {
            /// Every operator, in the order of its declaration.
            pub const ALL: &'static [Operator] = &[$(Operator::$variant),+];

            /// The name that criteria are written with: `gte_ord`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The name as an enum value: `GTE_ORD`.
            pub fn screaming(self) -> &'static str {
                match self { $(Self::$variant => $screaming),+ }
            }

            /// What a builder shows.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }

            /// What the operator means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii()),+ }
            }

            fn shape(self) -> Shape {
                match self { $(Self::$variant => Shape::$shape),+ }
            }

            /// The families of kinds that it fits.
            pub fn families(self) -> &'static [Family] {
                match self { $(Self::$variant => &[$(Family::$family),+]),+ }
            }
        }
    };
}

operators! {
    /// The value is the operand; a list has it as an element.
    Eq = "eq" "EQ", "is", Value, [Text Number Bool Time Ordinal Enum Reference List];
    /// The complement of eq: a missing value is not the operand.
    Neq = "neq" "NEQ", "is not", Value, [Text Number Bool Time Ordinal Enum Reference List];
    /// The text has the operand somewhere in it; a list has it as an element.
    Contains = "contains" "CONTAINS", "contains", Value, [Text List];
    /// The text begins with the operand.
    StartsWith = "starts_with" "STARTS_WITH", "starts with", Value, [Text];
    /// The regular expression is found in the text; case counts, unless it says (?i).
    MatchesRegex = "matches_regex" "MATCHES_REGEX", "matches", Pattern, [Text];
    /// The value is above the operand: larger, later, of higher rank.
    Gt = "gt" "GT", "above", Value, [Number Time Ordinal];
    /// The value is below the operand: smaller, earlier, of lower rank.
    Lt = "lt" "LT", "below", Value, [Number Time Ordinal];
    /// The value is the operand or above it.
    Gte = "gte" "GTE", "at or above", Value, [Number Time Ordinal];
    /// The value is the operand or below it.
    Lte = "lte" "LTE", "at or below", Value, [Number Time Ordinal];
    /// The rank is the operand's or a lower one.
    LteOrd = "lte_ord" "LTE_ORD", "at or below", Value, [Ordinal];
    /// The rank is the operand's or a higher one.
    GteOrd = "gte_ord" "GTE_ORD", "at or above", Value, [Ordinal];
    /// The value is one of the operands; a list has any of them.
    In = "in" "IN", "is one of", Values, [Text Number Ordinal Enum Reference List];
    /// The complement of in: a missing value is none of the operands.
    NotIn = "not_in" "NOT_IN", "is none of", Values, [Text Number Ordinal Enum Reference List];
    /// The list has every one of the operands.
    AllIn = "all_in" "ALL_IN", "has all of", Values, [List];
    /// The time lies before now less the span.
    OlderThan = "older_than" "OLDER_THAN", "is older than", Span, [Time];
    /// The time lies between now less the span and now, both included.
    WithinLast = "within_last" "WITHIN_LAST", "is within the last", Span, [Time];
    /// The value is missing: there is none, or it is an empty text or list.
    IsEmpty = "is_empty" "IS_EMPTY", "is empty", Nothing, [Text Number Bool Time Ordinal Enum Reference List];
    /// The complement of is_empty.
    IsNotEmpty = "is_not_empty" "IS_NOT_EMPTY", "is not empty", Nothing, [Text Number Bool Time Ordinal Enum Reference List];
}

impl Operator {
    /// Reads an operator's name, ignoring ASCII case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|operator| operator.name().eq_ignore_ascii_case(name))
    }

    pub fn fits(self, kind: Kind) -> bool {
        self.families().contains(&kind.family())
    }

    pub fn arity(self) -> Arity {
        match self.shape() {
            Shape::Nothing => Arity::None,
            Shape::Value | Shape::Pattern | Shape::Span => Arity::One,
            Shape::Values => Arity::Many,
        }
    }

    /// What the operand, or each element of it, is on a field of `kind`.
    pub fn value_kind(self, kind: Kind) -> ValueKind {
        match self.shape() {
            Shape::Nothing => ValueKind::Nothing,
            Shape::Value | Shape::Values => kind.value_kind(),
            Shape::Pattern => ValueKind::Pattern,
            Shape::Span => ValueKind::Span,
        }
    }

    /// The operator of which this one is the exact complement, missing values included.
    pub fn negates(self) -> Option<Self> {
        match self {
            Self::Neq => Some(Self::Eq),
            Self::NotIn => Some(Self::In),
            Self::IsEmpty => Some(Self::IsNotEmpty),
            _ => None,
        }
    }

    /// The order that the operator asks for, where it asks for one.
    pub fn comparison(self) -> Option<Comparison> {
        match self {
            Self::Eq => Some(Comparison::Equal),
            Self::Gt => Some(Comparison::Above),
            Self::Lt => Some(Comparison::Below),
            Self::Gte | Self::GteOrd => Some(Comparison::AtLeast),
            Self::Lte | Self::LteOrd => Some(Comparison::AtMost),
            _ => None,
        }
    }

    /// The words that stand between a field of `kind` and the operand in a sentence.
    pub fn phrase(self, kind: Kind) -> &'static str {
        match (self, kind.family()) {
            (Self::Eq, Family::List) => "has",
            (Self::Neq, Family::List) => "does not have",
            (Self::In, Family::List) => "has any of",
            (Self::NotIn, Family::List) => "has none of",
            (Self::Gt, Family::Time) => "after",
            (Self::Lt, Family::Time) => "before",
            (Self::Gte, Family::Time) => "at or after",
            (Self::Lte, Family::Time) => "at or before",
            _ => self.label(),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Operator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_eighteen_with_one_name_each() {
        assert_eq!(Operator::ALL.len(), 18);
        for operator in Operator::ALL {
            assert_eq!(operator.name().to_ascii_uppercase(), operator.screaming());
            assert_eq!(Operator::parse(operator.screaming()), Some(*operator));
            assert_eq!(Operator::parse(operator.name()), Some(*operator));
        }
        assert_eq!(Operator::parse("like"), None);
    }

    #[test]
    fn an_operator_and_its_complement_fit_the_same_kinds() {
        for operator in Operator::ALL {
            if let Some(positive) = operator.negates() {
                assert_eq!(operator.families(), positive.families(), "{operator}");
                assert_eq!(operator.arity(), positive.arity(), "{operator}");
            }
        }
    }
}
