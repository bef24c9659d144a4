//! Suggested rules that are shipped with the server: a file of data for each category, in the shape
//! below. What a company has to say itself, a team, a threshold, is a *slot*, written `{"slot": key}`
//! where the value goes. Every entry has examples, which run as tests.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::pass::Mode;
use super::{OnExpiry, RuleDraft};
use crate::error::{Code, Error, Result};
use crate::vocabulary::criteria::Criteria;
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::terms::terms;

pub mod effect;
pub mod store;

#[cfg(test)]
mod tests;

/// One file a category.
const FILES: &[&str] = &[
    include_str!("library/raise.json"),
    include_str!("library/lower.json"),
    include_str!("library/route.json"),
    include_str!("library/tag.json"),
    include_str!("library/tidy.json"),
    include_str!("library/accept.json"),
];

/// Every suggested rule, category by category.
pub static LIBRARY: LazyLock<Vec<Suggestion>> = LazyLock::new(|| {
    let of_file = |file: &&str| -> Vec<Suggestion> {
        let Family { category, rules } = serde_json::from_str(file).expect("a test reads every file");
        rules.into_iter().map(|rule| Suggestion { category, ..rule }).collect()
    };
    FILES.iter().flat_map(of_file).collect()
});

terms! {
    /// What a suggested rule is for.
    Category {
        Raise = "RAISE", Lower = "LOWER", Route = "ROUTE", Tag = "TAG", Tidy = "TIDY", Accept = "ACCEPT",
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    category: Category,
    rules: Vec<Suggestion>,
}

/// A rule that a company may make its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggestion {
    /// What it is known by, over releases.
    pub key: String,
    pub name: String,
    pub description: String,
    /// Why it is worth having.
    pub rationale: String,
    #[serde(skip, default = "unfiled")]
    pub category: Category,
    /// Its place in the walk.
    pub order: i32,
    /// The mode that it is enabled in where nothing else is said.
    #[serde(deserialize_with = "read_mode")]
    pub mode: Mode,
    pub slots: Vec<Slot>,
    /// With slots in them.
    pub criteria: Json,
    pub action: Json,
    pub examples: Vec<Example>,
}

/// A value that the company has to say: an operand of this operator on this field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    pub key: String,
    pub label: String,
    pub description: String,
    pub field: String,
    pub operator: String,
    /// A value, as an example.
    pub sample: Json,
    /// What it is where nothing is said; none, where something has to be.
    pub default: Option<Json>,
}

/// A finding, and what the rule makes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What it shows.
    pub tells: String,
    pub finding: Json,
    /// The fields that it changes, and to what; none, where the criteria do not hold.
    pub after: Option<Map<String, Json>>,
    /// Other slots than their samples.
    #[serde(default)]
    pub slots: Map<String, Json>,
}

fn unfiled() -> Category {
    Category::Tidy
}

fn read_mode<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
    use crate::vocabulary::terms::Term;

    let word = String::deserialize(deserializer)?;
    Mode::parse(&word).ok_or_else(|| serde::de::Error::unknown_variant(&word, Mode::WORDS))
}

/// The suggested rule of this key.
///
/// # Errors
///
/// `NOT_FOUND`, at `key`.
pub fn suggestion(key: &str) -> Result<&'static Suggestion> {
    let found = LIBRARY.iter().find(|suggestion| suggestion.key == key);
    found.ok_or_else(|| Error::not_found("suggested rule").at("key"))
}

impl Suggestion {
    /// The rule that it becomes with these slots.
    ///
    /// # Errors
    ///
    /// For a slot that it does not have, one that does not fit, and one that has to be said and is not,
    /// each at its place in `slots`.
    pub fn draft(&self, said: &Map<String, Json>) -> Result<RuleDraft> {
        if let Some(stranger) = said.keys().find(|key| !self.slots.iter().any(|slot| slot.key == **key)) {
            let message = format!("{} has no slot `{stranger}`.", self.key);
            return Err(Error::invalid(stranger, message).at("slots"));
        }
        let mut values = BTreeMap::new();
        for slot in &self.slots {
            let value = said.get(&slot.key).filter(|value| !value.is_null()).or(slot.default.as_ref());
            let missing = || Error::new(Code::Required, slot.description.clone());
            let value = value.ok_or_else(|| missing().at(&slot.key).at("slots"))?;
            slot.check(value).map_err(|error| error.at(&slot.key).at("slots"))?;
            values.insert(slot.key.as_str(), value);
        }
        Ok(self.filled(&values))
    }

    /// The rule as far as it can be told without the company's word: the samples stand for what only
    /// the action needs. `None`: its criteria need a slot that has no default.
    pub fn outline(&self) -> Option<RuleDraft> {
        let needed = |slot: &Slot| slot.default.is_none() && names(&self.criteria, &slot.key);
        if self.slots.iter().any(needed) {
            return None;
        }
        let value = |slot: &'static Slot| (slot.key.as_str(), slot.default.as_ref().unwrap_or(&slot.sample));
        let slots: &'static [Slot] = &suggestion(&self.key).ok()?.slots;
        Some(self.filled(&slots.iter().map(value).collect()))
    }

    fn filled(&self, values: &BTreeMap<&str, &Json>) -> RuleDraft {
        RuleDraft {
            key: None,
            name: self.name.clone(),
            description: Some(self.description.clone()),
            order: self.order,
            mode: self.mode,
            expires_at: None,
            on_expiry: OnExpiry::Keep,
            criteria: fill(&self.criteria, values),
            action: fill(&self.action, values),
            requires_approval: false,
        }
    }
}

impl Slot {
    /// Refuses what is no operand of its operator on its field.
    fn check(&self, value: &Json) -> Result<()> {
        let leaf = json!({ "field": self.field, "operator": self.operator, "value": value });
        Criteria::parse(&FINDING, &leaf).map(drop).map_err(|faults| {
            let message = faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join(" ");
            Error::new(Code::Invalid, message)
        })
    }
}

/// The slot that stands here.
fn slot_of(json: &Json) -> Option<&str> {
    json.as_object().filter(|members| members.len() == 1)?.get("slot")?.as_str()
}

/// Whether a slot stands anywhere in here.
fn names(json: &Json, slot: &str) -> bool {
    match json {
        Json::Object(members) => {
            slot_of(json) == Some(slot) || members.values().any(|member| names(member, slot))
        }
        Json::Array(elements) => elements.iter().any(|element| names(element, slot)),
        _ => false,
    }
}

/// The same with values in the places of slots.
fn fill(json: &Json, values: &BTreeMap<&str, &Json>) -> Json {
    match json {
        Json::Object(members) => match slot_of(json).and_then(|slot| values.get(slot)) {
            Some(value) => (*value).clone(),
            None => members.iter().map(|(key, member)| (key.clone(), fill(member, values))).collect(),
        },
        Json::Array(elements) => elements.iter().map(|element| fill(element, values)).collect(),
        other => other.clone(),
    }
}
