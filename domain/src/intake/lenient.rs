//! Members that reports write in several ways: as a text, a number or a list of them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

/// The texts of a member: none for `null`, one for a text, a number or a truth value, several for a
/// list. Trimmed, and none of them empty. An object is not a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

impl Texts {
    /// The texts of a member that may be anything: what is no text is passed over.
    pub fn of(json: &Json) -> Self {
        let mut texts = Self::default();
        match json {
            Json::String(text) => texts.push(text),
            Json::Number(number) => texts.push(&number.to_string()),
            Json::Bool(truth) => texts.push(&truth.to_string()),
            Json::Array(several) => several.iter().for_each(|one| texts.0.extend(Self::of(one).0)),
            Json::Null | Json::Object(_) => {}
        }
        texts
    }

    fn push(&mut self, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.0.push(text.to_owned());
        }
    }

    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// The first text, or an empty one.
    pub fn word(&self) -> &str {
        self.first().unwrap_or_default()
    }

    pub fn into_first(self) -> Option<String> {
        self.0.into_iter().next()
    }

    /// The first text as a number.
    pub fn number<T: std::str::FromStr>(&self) -> Option<T> {
        self.first()?.parse().ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The parts of all texts between commas and line ends.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.iter().flat_map(|text| text.split([',', '\n'])).map(str::trim).filter(|part| !part.is_empty())
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_unit<E>(self) -> Result<Texts, E> {
                Ok(Texts::default())
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
                let mut texts = Texts::default();
                texts.push(text);
                Ok(texts)
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Texts, E> {
                Ok(Texts(vec![truth.to_string()]))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Texts, E> {
                Ok(Texts(vec![number.to_string()]))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Texts, E> {
                Ok(Texts(vec![number.to_string()]))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Texts, E> {
                Ok(Texts(vec![number.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Texts::default();
                while let Some(Texts(mut more)) = list.next_element()? {
                    texts.0.append(&mut more);
                }
                Ok(texts)
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Texts, A::Error> {
                Err(serde::de::Error::invalid_type(serde::de::Unexpected::Map, &self))
            }
        }
        json.deserialize_any(Any)
    }
}
