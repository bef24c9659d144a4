//! The stored form of layers: only what the shown columns do not say by themselves, so that a finding
//! on which nobody but its scanner spoke costs two bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{Entry, Grounds, Layers, Scalar, ScalarField, SetField, Source, Stack, Statement, StatusLayers};
use crate::vocabulary::terms::Status;

/// What is read.
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    scalars: BTreeMap<ScalarField, Stack<Option<Scalar>>>,
    #[serde(default)]
    sets: BTreeMap<SetField, BTreeMap<String, Stack<bool>>>,
    status: Option<StatusLayers>,
    #[serde(default)]
    observed: BTreeMap<Uuid, Vec<Statement>>,
}

/// What is written.
#[derive(Serialize)]
struct Storing<'a> {
    #[serde(skip_serializing_if = "Members::is_empty")]
    scalars: Members<ScalarField, &'a Stack<Option<Scalar>>>,
    #[serde(skip_serializing_if = "Members::is_empty")]
    sets: Members<SetField, Members<&'a str, &'a Stack<bool>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a StatusLayers>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    observed: &'a BTreeMap<Uuid, Vec<Statement>>,
}

/// The members of an object.
struct Members<K, V>(Vec<(K, V)>);

impl<K, V> Members<K, V> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Serialize, V: Serialize> Serialize for Members<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<T: Serialize> Serialize for Stack<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.entries())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Stack<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Vec::<Entry<T>>::deserialize(deserializer)?.into_iter().collect()))
    }
}

/// Whether this is what the scanner alone says, of a value that is shown.
fn is_plain<T>(stack: &Stack<T>, is_shown: impl Fn(&T) -> bool) -> bool {
    matches!(stack.entries(), [only] if only.source == Source::SCANNER && is_shown(&only.value))
}

impl Layers {
    /// The stored form, to be kept beside the shown values.
    pub fn encode(&self) -> String {
        let scalars = self.scalars.iter().filter(|(_, stack)| !is_plain(stack, Option::is_some));
        let sets = self.sets.iter().map(|(field, set)| {
            let spoken = set.iter().filter(|(_, stack)| !is_plain(stack, |present| *present));
            (*field, Members(spoken.map(|(element, stack)| (element.as_str(), stack)).collect()))
        });
        let plain = self.status.verdicts.is_empty() && self.status.lifecycle.source == Source::SCANNER;
        let storing = Storing {
            scalars: Members(scalars.map(|(field, stack)| (*field, stack)).collect()),
            sets: Members(sets.filter(|(_, spoken)| !spoken.is_empty()).collect()),
            status: (!plain).then_some(&self.status),
            observed: &self.observed,
        };
        serde_json::to_string(&storing).expect("maps of text keys encode")
    }

    /// Reads the stored form back, given what the finding shows.
    pub fn decode(
        stored: &str,
        status: Status,
        shown: impl IntoIterator<Item = Statement>,
    ) -> Result<Self, serde_json::Error> {
        let stored: Stored = serde_json::from_str(stored)?;
        let lifecycle = Entry { source: Source::SCANNER, value: status };
        let sets = stored.sets.into_iter().map(|(field, set)| (field, set.into_iter().collect()));
        let mut layers = Self {
            scalars: stored.scalars.into_iter().collect(),
            sets: sets.collect(),
            status: stored.status.unwrap_or(StatusLayers {
                lifecycle,
                grounds: Grounds::default(),
                verdicts: Stack::default(),
            }),
            observed: stored.observed,
        };
        for statement in shown {
            let said = match &statement {
                Statement::Set(field, _) => layers.scalars.contains_key(field),
                Statement::Element(field, element, _) => !layers.element(*field, element).is_empty(),
                Statement::Judge(_) => true,
            };
            if !said {
                layers.say(Source::SCANNER, statement);
            }
        }
        Ok(layers)
    }
}
