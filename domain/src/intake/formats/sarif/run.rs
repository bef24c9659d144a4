//! What the results of a run refer to: its tool's rules, its artifacts, and the roots of its paths.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::error::Result;
use crate::intake::json::{Value, or_default};
use crate::intake::late::{Scope, Weight};
use crate::intake::limits::{Limits, too_large};
use crate::intake::place::Meter;
use crate::intake::text;
use crate::vocabulary::time::Timestamp;

/// Bytes that are kept of one text of a rule.
const KEPT: usize = 4 << 10;
/// Roots of paths that are kept: each path is held against all of them.
const ROOTS: usize = 100;

/// What is known of a run beside its results.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub scanner: Option<String>,
    pub repository: Option<String>,
    pub automation: Option<String>,
    /// The tool's driver first, then its extensions.
    pub components: Vec<Component>,
    pub artifacts: Vec<Location>,
    pub bases: HashMap<String, Location>,
    weight: usize,
}

impl Location {
    fn weight(&self) -> usize {
        [&self.uri, &self.uri_base_id].into_iter().flatten().map(String::len).sum::<usize>() + 128
    }
}

/// A part of a tool that has rules.
#[derive(Clone, Debug, Default)]
pub struct Component {
    pub rules: Vec<Rule>,
    pub by_id: HashMap<String, usize>,
    pub messages: HashMap<String, String>,
}

/// An artifact, or the root of other paths.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    pub uri: Option<String>,
    pub uri_base_id: Option<String>,
    pub index: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub id: String,
    pub name: Option<String>,
    pub short: Option<String>,
    pub full: Option<String>,
    pub help: Option<String>,
    pub help_uri: Option<String>,
    pub level: Option<String>,
    pub security_severity: Option<f64>,
    pub tags: Vec<String>,
    pub cwes: Vec<String>,
    pub messages: HashMap<String, String>,
}

impl Weight for Run {
    fn weight(&self) -> usize {
        self.weight
    }
}

/// A text in plain form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Message {
    pub text: Option<String>,
    pub id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub arguments: Vec<String>,
}

/// The members of a property bag that are read, whatever their type.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Properties {
    #[serde(rename = "security-severity")]
    security_severity: Json,
    tags: Json,
    cwe: Json,
}

impl Properties {
    /// A score from 0 to 10, written as a number or as a text.
    pub fn security_severity(&self) -> Option<f64> {
        let score = match &self.security_severity {
            Json::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        score.filter(|score| (0.0..=10.0).contains(score))
    }

    pub fn tags(&self) -> Vec<String> {
        self.tags.as_array().into_iter().flatten().filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
    }

    /// The CWE ids among the tags and in a member `cwe`.
    pub fn cwes(&self) -> Vec<String> {
        let own: Vec<&Json> = match &self.cwe {
            Json::Array(several) => several.iter().collect(),
            one => vec![one],
        };
        let tags = self.tags.as_array().into_iter().flatten();
        let tagged = tags.filter_map(Json::as_str).filter(|tag| tag.to_ascii_lowercase().contains("cwe"));
        own.into_iter().filter_map(Json::as_str).chain(tagged).filter_map(text::cwe).collect()
    }
}

/// A reference to a rule or to an entry of a taxonomy.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    pub id: Option<String>,
    pub index: Option<i64>,
    pub tool_component: Option<ComponentReference>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ComponentReference {
    pub name: Option<String>,
    pub index: Option<i64>,
}

impl Reference {
    /// The CWE id that this is a reference to.
    pub fn cwe(&self) -> Option<String> {
        let taxonomy = self.tool_component.as_ref()?.name.as_deref()?;
        if taxonomy.eq_ignore_ascii_case("cwe") { text::cwe(self.id.as_deref()?) } else { None }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenRule {
    #[serde(default)]
    id: String,
    name: Option<String>,
    short_description: Option<Message>,
    full_description: Option<Message>,
    help: Option<Message>,
    help_uri: Option<String>,
    default_configuration: Option<Configuration>,
    properties: Option<Properties>,
    #[serde(default, deserialize_with = "or_default")]
    message_strings: HashMap<String, Message>,
    #[serde(default, deserialize_with = "or_default")]
    relationships: Vec<Relationship>,
}

#[derive(Deserialize)]
struct Configuration {
    level: Option<String>,
}

#[derive(Deserialize)]
struct Relationship {
    target: Option<Reference>,
}

impl WrittenRule {
    fn kept(self) -> Rule {
        let cut = |message: Option<Message>| message.and_then(|message| message.text).map(shorten);
        let properties = self.properties.unwrap_or_default();
        let related =
            self.relationships.iter().filter_map(|relationship| relationship.target.as_ref()?.cwe());
        Rule {
            id: shorten(self.id),
            name: self.name.map(shorten).filter(|name| !name.is_empty()),
            short: cut(self.short_description).filter(|text| !text.trim().is_empty()),
            full: cut(self.full_description).filter(|text| !text.trim().is_empty()),
            help: cut(self.help),
            help_uri: self.help_uri.map(shorten),
            level: self.default_configuration.and_then(|configuration| configuration.level).map(shorten),
            security_severity: properties.security_severity(),
            cwes: properties.cwes().into_iter().chain(related).take(100).collect(),
            tags: properties.tags().into_iter().map(shorten).take(100).collect(),
            messages: texts(self.message_strings),
        }
    }
}

impl Rule {
    fn weight(&self) -> usize {
        let texts = [&self.name, &self.short, &self.full, &self.help, &self.help_uri, &self.level];
        let lists =
            [&self.tags, &self.cwes].into_iter().flatten().map(|entry| entry.len() + 24).sum::<usize>();
        let messages = self.messages.iter().map(|(id, text)| id.len() + text.len() + 64).sum::<usize>();
        texts.iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>()
            + 2 * self.id.len()
            + lists
            + messages
            + 256
    }
}

fn shorten(mut text: String) -> String {
    text::cut_bytes(&mut text, KEPT);
    text
}

fn texts(messages: HashMap<String, Message>) -> HashMap<String, String> {
    messages.into_iter().filter_map(|(id, message)| Some((id, shorten(message.text?)))).take(1_000).collect()
}

/// Reads a member of a run that results refer to; others are passed over.
pub fn learn(
    name: &str,
    value: Value<'_>,
    run: &mut Scope<Run>,
    limits: &Limits,
    meter: &Meter,
) -> Result<()> {
    if run.is_complete() {
        return Ok(());
    }
    let mut add = |weight: usize, learn: &mut dyn FnMut(&mut Run)| {
        run.learn(|run| {
            run.weight += weight;
            learn(run);
        });
        if run.so_far().weight > limits.collected {
            Err(too_large(limits.over_collected(), meter.place()))
        } else {
            Ok(())
        }
    };
    match name {
        "tool" => value.object(&mut |part, value| match part {
            "driver" => component(0, value, &mut add),
            "extensions" => {
                let mut number = 0;
                value.array(&mut |extension| {
                    number += 1;
                    component(number, extension, &mut add)
                })
            }
            _ => Ok(()),
        }),
        "artifacts" => value.array(&mut |artifact| {
            let mut location = Location::default();
            artifact.object(&mut |name, value| {
                if name == "location" {
                    location = value.get::<Option<Location>>()?.unwrap_or_default();
                }
                Ok(())
            })?;
            add(location.weight(), &mut |run| run.artifacts.push(std::mem::take(&mut location)))
        }),
        "originalUriBaseIds" => value.object(&mut |id, base| {
            let mut base = base.get::<Option<Location>>()?.unwrap_or_default();
            base.uri = base.uri.map(shorten);
            add(id.len() + base.weight(), &mut |run| {
                if run.bases.len() < ROOTS {
                    run.bases.insert(id.to_owned(), std::mem::take(&mut base));
                }
            })
        }),
        "versionControlProvenance" => value.array(&mut |provenance| {
            provenance.object(&mut |name, value| {
                if name != "repositoryUri" {
                    return Ok(());
                }
                let uri: Option<String> = value.get()?;
                add(64, &mut |run| run.repository = run.repository.take().or_else(|| uri.clone()))
            })
        }),
        "automationDetails" => value.object(&mut |name, value| {
            if name != "id" {
                return Ok(());
            }
            let id: Option<String> = value.get()?;
            add(64, &mut |run| run.automation.clone_from(&id))
        }),
        _ => Ok(()),
    }
}

type Add<'a> = &'a mut dyn FnMut(usize, &mut dyn FnMut(&mut Run)) -> Result<()>;

/// Reads the part of the tool with that number; the driver has number 0.
fn component(number: usize, value: Value<'_>, add: Add<'_>) -> Result<()> {
    add(192, &mut |run| {
        while run.components.len() <= number {
            run.components.push(Component::default());
        }
    })?;
    value.object(&mut |name, value| match name {
        "name" if number == 0 => {
            let name: Option<String> = value.get()?;
            let name = name.map(|name| shorten(name.trim().to_lowercase())).filter(|name| !name.is_empty());
            add(64, &mut |run| run.scanner.clone_from(&name))
        }
        "rules" => value.array(&mut |rule| {
            let mut rule = rule.get::<WrittenRule>()?.kept();
            add(rule.weight(), &mut |run| {
                let component = &mut run.components[number];
                component.by_id.entry(rule.id.clone()).or_insert(component.rules.len());
                component.rules.push(std::mem::take(&mut rule));
            })
        }),
        "globalMessageStrings" => {
            let mut messages = texts(value.get::<Option<HashMap<String, Message>>>()?.unwrap_or_default());
            let weight = messages.iter().map(|(id, text)| id.len() + text.len() + 64).sum();
            add(weight, &mut |run| run.components[number].messages = std::mem::take(&mut messages))
        }
        _ => Ok(()),
    })
}

/// A time, if it is one.
pub fn time(value: Value<'_>) -> Result<Option<Timestamp>> {
    Ok(value.get::<Option<String>>()?.as_deref().and_then(text::time))
}
