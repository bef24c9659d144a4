//! The members of one JSON object of a report that is read through a mapping. Texts stay where the
//! report has them: nearly all that such an object says is a text, and each is looked at once.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

/// What is at one place of a report: the members of an object, or something else.
pub enum Members<'t> {
    Object(Vec<(Cow<'t, str>, Cell<'t>)>),
    Other,
}

/// The value of a member.
pub enum Cell<'t> {
    Text(Cow<'t, str>),
    Other(Json),
}

impl Cell<'_> {
    /// The value as a cell of a table would have it. The elements of an array are parted by
    /// `separator`.
    fn written(&self, separator: &str) -> Option<String> {
        match self {
            Self::Text(text) => sound(text.trim()),
            Self::Other(value) => written(value, separator),
        }
    }
}

/// What the member that a name or a JSON Pointer leads to says. Of members of the same name the last
/// one counts.
pub fn say(members: &[(Cow<'_, str>, Cell<'_>)], path: &str, separator: &str) -> Option<String> {
    let find = |name: &str| members.iter().rev().find(|(member, _)| member == name).map(|(_, cell)| cell);
    let Some(way) = path.strip_prefix('/') else { return find(path)?.written(separator) };
    let (name, rest) = way.split_at(way.find('/').unwrap_or(way.len()));
    match find(&name.replace("~1", "/").replace("~0", "~"))? {
        cell if rest.is_empty() => cell.written(separator),
        Cell::Text(_) => None,
        Cell::Other(value) => written(value.pointer(rest)?, separator),
    }
}

fn written(value: &Json, separator: &str) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => sound(text.trim()),
        Json::Array(elements) => {
            let parts: Vec<String> =
                elements.iter().filter_map(|element| written(element, separator)).collect();
            sound(&parts.join(separator))
        }
        other => Some(other.to_string()),
    }
}

fn sound(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Reading)
    }
}

/// Reads [`Members`].
struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(Members::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Members::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Members::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Members::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Members::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Members::Other)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Members::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Members::Other)
    }
}

/// The name of a member.
struct Name<'t>(Cow<'t, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        match Cell::deserialize(json)? {
            Cell::Text(name) => Ok(Self(name)),
            Cell::Other(_) => Err(D::Error::custom("a name was expected")),
        }
    }
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(ReadingCell)
    }
}

/// Reads a [`Cell`].
struct ReadingCell;

impl<'de> Visitor<'de> for ReadingCell {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Json::deserialize(MapAccessDeserializer::new(map)).map(Cell::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Self::Value, A::Error> {
        Json::deserialize(SeqAccessDeserializer::new(elements)).map(Cell::Other)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Cell::Other(truth.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cell::Other(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cell::Other(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Cell::Other(number.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Cell::Other(Json::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a value says where it was read as a whole.
    fn oracle(object: &Json, path: &str) -> Option<String> {
        let value = if path.starts_with('/') { object.pointer(path) } else { object.get(path) };
        written(value?, ";")
    }

    #[test]
    fn members_say_what_the_object_says() {
        let texts = [
            r#"{"a": " text ", "b": null, "c": 1.50, "d": [1, " two ", null, [3]], "e": {"f": {"g": "deep"}}}"#,
            r#"{"a": "first", "a": "last", "b": "", "c": true, "d": [], "e": "flat", "a/b": 1, "~": 2}"#,
            r#"{"\u0061": "a \"quoted\" \u00e4 text", "c": 18446744073709551615, "d": -7, "e": {"f": [{"g": 1}]}}"#,
            "{}",
        ];
        let paths = [
            "a", "b", "c", "d", "e", "/a", "/e", "/e/f", "/e/f/g", "/e/f/0/g", "/d/1", "/a~1b", "/~0", "/",
            "",
        ];
        for text in texts {
            let object: Json = serde_json::from_str(text).expect("an object");
            let Members::Object(members) = serde_json::from_str(text).expect("members") else {
                panic!("{text} is an object")
            };
            for path in paths {
                assert_eq!(say(&members, path, ";"), oracle(&object, path), "{path} of {text}");
            }
        }
    }

    #[test]
    fn what_is_no_object_is_told_apart_from_what_is_no_json() {
        for text in ["1", "-1", "1.5", "true", "null", "\"text\"", "[1, {\"a\": 2}]"] {
            assert!(matches!(serde_json::from_str(text), Ok(Members::Other)), "{text}");
        }
        for text in ["", "{", "{\"a\": }", "{\"a\": 1e999}", "{\"a\" 1}", "{1: 2}", "[1,]", "{} {}"] {
            let ours = serde_json::from_str::<Members<'_>>(text).err().expect("no JSON").to_string();
            assert_eq!(ours, serde_json::from_str::<Json>(text).expect_err("no JSON").to_string(), "{text}");
        }
    }
}
