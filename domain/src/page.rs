//! Pages of a list, forwards and backwards, by opaque cursors.
//!
//! An order is a fixed list of keys whose last tells any two rows apart. A
//! cursor is the base64url of the order's name and the row's key values: the next page begins
//! where that row stands, also when the row itself is gone. Rows without a value come last in
//! either direction.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::error::{Code, Error, Result};

/// Rows in a page when the caller does not say.
pub const DEFAULT: u16 = 50;
/// The most rows in a page.
pub const MOST: u16 = 500;

/// What a caller asks for: `first` rows after a cursor, or the `last` rows before one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageArgs {
    pub first: Option<i64>,
    pub after: Option<String>,
    pub last: Option<i64>,
    pub before: Option<String>,
}

impl PageArgs {
    /// The `first` rows of a list.
    pub fn first(first: i64) -> Self {
        Self { first: Some(first), ..Self::default() }
    }
}

/// A part of a list, in the list's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub edges: Vec<Edge<T>>,
    pub has_next: bool,
    pub has_previous: bool,
}

/// A row and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge<T> {
    pub cursor: String,
    pub node: T,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { edges: Vec::new(), has_next: false, has_previous: false }
    }
}

impl<T> Page<T> {
    pub fn map<U>(self, mut to: impl FnMut(T) -> U) -> Page<U> {
        let edge = |Edge { cursor, node }| Edge { cursor, node: to(node) };
        Page {
            edges: self.edges.into_iter().map(edge).collect(),
            has_next: self.has_next,
            has_previous: self.has_previous,
        }
    }

    pub fn nodes(self) -> impl Iterator<Item = T> {
        self.edges.into_iter().map(|edge| edge.node)
    }
}

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Int,
    Float,
    Text,
    Uuid,
}

/// What rows are sorted by: an expression over the columns of its list's query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub expr: &'static str,
    pub kind: KeyKind,
    pub descending: bool,
    pub nullable: bool,
}

impl Key {
    pub const fn new(expr: &'static str, kind: KeyKind) -> Self {
        Self { expr, kind, descending: false, nullable: false }
    }

    /// Greatest first.
    #[must_use]
    pub const fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// The expression may be NULL; such rows come last.
    #[must_use]
    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }
}

/// An order of a list. Its last key, mostly the id, tells any two rows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub name: &'static str,
    pub keys: &'static [Key],
    /// Every key the other way round; rows without a value still come last.
    pub reversed: bool,
}

impl Sort {
    pub const fn new(name: &'static str, keys: &'static [Key]) -> Self {
        Self { name, keys, reversed: false }
    }

    #[must_use]
    pub const fn reversed(mut self, reversed: bool) -> Self {
        self.reversed = reversed;
        self
    }

    pub(crate) fn descends(&self, key: &Key) -> bool {
        key.descending != self.reversed
    }

    /// The cursor of a row with these key values.
    pub fn cursor(&self, values: &[KeyValue]) -> String {
        let name = Json::from(format!("{}{}", if self.reversed { "-" } else { "" }, self.name));
        let parts: Vec<Json> = std::iter::once(name).chain(values.iter().map(KeyValue::encode)).collect();
        URL_SAFE_NO_PAD.encode(Json::from(parts).to_string())
    }

    /// The key values in a cursor of this very order.
    pub fn read_cursor(&self, cursor: &str) -> Result<Vec<KeyValue>> {
        self.decode(cursor)
            .ok_or_else(|| Error::new(Code::CursorInvalid, "The cursor is not one of this list and order."))
    }

    fn decode(&self, cursor: &str) -> Option<Vec<KeyValue>> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let parts: Vec<Json> = serde_json::from_slice(&bytes).ok()?;
        let (name, values) = parts.split_first()?;
        let name = name.as_str()?;
        let own = match name.strip_prefix('-') {
            Some(name) => self.reversed && name == self.name,
            None => !self.reversed && name == self.name,
        };
        if !own || values.len() != self.keys.len() {
            return None;
        }
        self.keys.iter().zip(values).map(|(key, value)| KeyValue::decode(key, value)).collect()
    }
}

/// A list's closed enum of orders.
pub trait Order: Copy {
    /// The order's name and keys; the last key tells any two rows apart.
    fn sort(self) -> Sort;
}

/// One of a list's orders, and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy<O> {
    pub by: O,
    pub descending: bool,
}

impl<O: Order> OrderBy<O> {
    pub fn ascending(by: O) -> Self {
        Self { by, descending: false }
    }

    pub fn descending(by: O) -> Self {
        Self { by, descending: true }
    }

    pub fn sort(self) -> Sort {
        self.by.sort().reversed(self.descending)
    }
}

/// The value of one key in one row.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyValue {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    Uuid(Uuid),
}

impl KeyValue {
    /// Floats travel as their bits: reading a decimal back may miss the last one.
    fn encode(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Int(number) => Json::from(*number),
            Self::Float(number) => Json::from(number.to_bits()),
            Self::Text(text) => Json::from(text.as_str()),
            Self::Uuid(id) => Json::from(id.to_string()),
        }
    }

    fn decode(key: &Key, value: &Json) -> Option<Self> {
        if value.is_null() {
            return key.nullable.then_some(Self::Null);
        }
        match key.kind {
            KeyKind::Int => value.as_i64().map(Self::Int),
            KeyKind::Float => {
                value.as_u64().map(f64::from_bits).filter(|number| number.is_finite()).map(Self::Float)
            }
            KeyKind::Text => {
                value.as_str().filter(|text| !text.contains('\0')).map(|text| Self::Text(text.to_owned()))
            }
            KeyKind::Uuid => value.as_str().and_then(|text| Uuid::parse_str(text).ok()).map(Self::Uuid),
        }
    }
}

/// A checked request for a page: what [`crate::store::page`] turns into SQL.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub sort: Sort,
    pub limit: u16,
    /// The rows nearest to the end are wanted.
    pub backward: bool,
    pub after: Option<Vec<KeyValue>>,
    pub before: Option<Vec<KeyValue>>,
}

impl Window {
    /// Refuses `first` beside `last`, sizes outside of 0 to [`MOST`], and cursors of another order.
    pub fn new(args: &PageArgs, sort: Sort) -> Result<Self> {
        debug_assert!(sort.keys.last().is_some_and(|key| !key.nullable));
        let (wanted, field) = match (args.first, args.last) {
            (Some(_), Some(_)) => return Err(Error::invalid("last", "Ask for `first` or `last`, not both.")),
            (None, Some(last)) => (Some(last), "last"),
            (first, None) => (first, "first"),
        };
        let limit = wanted.map_or(Ok(DEFAULT), |wanted| {
            let fits = u16::try_from(wanted).ok().filter(|wanted| *wanted <= MOST);
            fits.ok_or_else(|| Error::invalid(field, format!("A page has between 0 and {MOST} rows.")))
        })?;
        let read = |cursor: &Option<String>| cursor.as_deref().map(|text| sort.read_cursor(text)).transpose();
        Ok(Self {
            sort,
            limit,
            backward: args.last.is_some()
                || (args.before.is_some() && args.first.is_none() && args.after.is_none()),
            after: read(&args.after)?,
            before: read(&args.before)?,
        })
    }

    /// Makes a page of the rows found, in the order in which they were asked for (one more than
    /// the limit if there are more).
    pub fn page<T>(&self, mut rows: Vec<(Vec<KeyValue>, T)>) -> Page<T> {
        let more = rows.len() > usize::from(self.limit);
        rows.truncate(usize::from(self.limit));
        if self.backward {
            rows.reverse();
        }
        let edge = |(values, node): (Vec<KeyValue>, T)| Edge { cursor: self.sort.cursor(&values), node };
        Page {
            edges: rows.into_iter().map(edge).collect(),
            has_next: if self.backward { self.before.is_some() } else { more || self.before.is_some() },
            has_previous: if self.backward { more || self.after.is_some() } else { self.after.is_some() },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: &[Key] = &[
        Key::new("n", KeyKind::Int).descending().nullable(),
        Key::new("x", KeyKind::Float).nullable(),
        Key::new("name", KeyKind::Text).nullable(),
        Key::new("id", KeyKind::Uuid),
    ];
    const SORT: Sort = Sort::new("N", KEYS);

    fn values() -> impl Strategy<Value = Vec<KeyValue>> {
        let int = prop_oneof![Just(KeyValue::Null), any::<i64>().prop_map(KeyValue::Int)];
        let float = prop_oneof![
            Just(KeyValue::Null),
            any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(KeyValue::Float)
        ];
        let text = prop_oneof![Just(KeyValue::Null), "[^\0]{0,9}".prop_map(KeyValue::Text)];
        let id = any::<u128>().prop_map(|id| KeyValue::Uuid(Uuid::from_u128(id)));
        (int, float, text, id).prop_map(|(a, b, c, d)| vec![a, b, c, d])
    }

    proptest! {
        #[test]
        fn a_cursor_says_what_was_put_in(values in values(), reversed: bool) {
            let sort = SORT.reversed(reversed);
            prop_assert_eq!(sort.read_cursor(&sort.cursor(&values)).unwrap(), values);
        }

        #[test]
        fn a_foreign_cursor_is_refused(values in values(), junk in ".{0,40}") {
            let cursor = SORT.cursor(&values);
            prop_assert!(SORT.reversed(true).read_cursor(&cursor).is_err());
            prop_assert!(Sort::new("M", KEYS).read_cursor(&cursor).is_err());
            prop_assert!(Sort::new("N", &KEYS[1..]).read_cursor(&cursor).is_err());
            prop_assert_eq!(SORT.read_cursor(&junk).unwrap_err().code, Code::CursorInvalid);
        }
    }

    #[test]
    fn a_null_where_none_can_be_is_refused() {
        let id = KeyValue::Uuid(Uuid::nil());
        let sort = Sort::new("T", const { &[Key::new("t", KeyKind::Text), Key::new("id", KeyKind::Uuid)] });
        assert!(sort.read_cursor(&sort.cursor(&[KeyValue::Null, id.clone()])).is_err());
        assert!(sort.read_cursor(&sort.cursor(&[KeyValue::Int(1), id.clone()])).is_err());
        assert!(sort.read_cursor(&sort.cursor(&[KeyValue::Text("a\0".into()), id])).is_err());
    }

    #[test]
    fn contradictions_and_sizes_are_refused() {
        let refused = |args: PageArgs| Window::new(&args, SORT).unwrap_err();
        let both = PageArgs { first: Some(1), last: Some(1), ..PageArgs::default() };
        assert_eq!(refused(both).field, ["last"]);
        for size in [-1, i64::from(MOST) + 1, i64::MAX] {
            assert_eq!(refused(PageArgs::first(size)).field, ["first"]);
            assert_eq!(refused(PageArgs { last: Some(size), ..PageArgs::default() }).field, ["last"]);
        }
        assert_eq!(Window::new(&PageArgs::default(), SORT).unwrap().limit, DEFAULT);
        assert_eq!(Window::new(&PageArgs::first(500), SORT).unwrap().limit, MOST);
    }
}
