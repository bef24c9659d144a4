//! A result, and what it says in our words.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::run::{Component, Location, Message, Properties, Reference, Rule, Run};
use crate::error::Result;
use crate::intake::cvss;
use crate::intake::json::or_default;
use crate::intake::place::Meter;
use crate::intake::report::{Reported, ReportedAsset, Verdict};
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::vocabulary::terms::Severity;

/// A result as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultItem<'r> {
    rule_id: Option<String>,
    rule_index: Option<i64>,
    rule: Option<Reference>,
    #[serde(borrow)]
    kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    level: Option<Cow<'r, str>>,
    message: Option<Message>,
    #[serde(default, deserialize_with = "or_default")]
    locations: Vec<Place>,
    #[serde(default, deserialize_with = "or_default")]
    fingerprints: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    partial_fingerprints: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    suppressions: Vec<Suppression>,
    #[serde(borrow)]
    baseline_state: Option<Cow<'r, str>>,
    #[serde(default, deserialize_with = "or_default")]
    taxa: Vec<Reference>,
    properties: Option<Properties>,
    provenance: Option<Provenance>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Place {
    physical_location: Option<Physical>,
    #[serde(deserialize_with = "or_default")]
    logical_locations: Vec<Logical>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Physical {
    artifact_location: Option<Location>,
    region: Option<Region>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Region {
    start_line: Option<u32>,
    start_column: Option<i64>,
    char_offset: Option<i64>,
    byte_offset: Option<i64>,
    snippet: Option<Message>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Logical {
    name: Option<String>,
    fully_qualified_name: Option<String>,
}

#[derive(Deserialize)]
struct Suppression {
    kind: Option<String>,
    status: Option<String>,
    justification: Option<String>,
}

/// The verdict of suppressions: as SARIF has it, one that is under review or rejected undoes all of them.
fn suppressed(suppressions: Vec<Suppression>) -> Option<Verdict> {
    let accepted = |one: &Suppression| one.status.as_deref().is_none_or(|status| status == "accepted");
    if !suppressions.iter().all(accepted) {
        return None;
    }
    let first = suppressions.into_iter().next()?;
    vex::verdict(Vocabulary::Sarif, "suppressed", first.kind.as_deref(), first.justification, None)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provenance {
    first_detection_time_utc: Option<Json>,
}

impl ResultItem<'_> {
    /// The finding; `None` where the result says that nothing is wrong.
    pub fn reported(self, run: &Run, by_caller: Option<&str>, meter: &Meter) -> Result<Option<Reported>> {
        let kind = self.kind.as_deref().unwrap_or("fail");
        if matches!(kind, "pass" | "notApplicable" | "informational")
            || self.baseline_state.as_deref() == Some("absent")
        {
            return Ok(None);
        }
        if !matches!(kind, "fail" | "open" | "review") {
            return Err(meter.malformed("`kind` is not one of SARIF's"));
        }
        let (component, rule) = self.rule_of(run);
        let properties = self.properties.unwrap_or_default();
        let level = self.level.as_deref().or_else(|| match kind {
            "fail" => rule.and_then(|rule| rule.level.as_deref()),
            _ => Some("none"),
        });
        let score = properties.security_severity().or_else(|| rule?.security_severity);
        let Some(severity) = severity(score, level) else {
            return Err(meter.malformed("`level` is not one of SARIF's"));
        };
        let reference = self
            .rule_id
            .or_else(|| self.rule.and_then(|rule| rule.id))
            .or_else(|| rule.map(|rule| rule.id.clone()))
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty());
        let message = self.message.and_then(|message| written(message, rule, component));
        let place = self.locations.into_iter().next().unwrap_or_default();
        let physical = place.physical_location.unwrap_or_default();
        let region = physical.region.unwrap_or_default();
        let uri = physical.artifact_location.and_then(|location| run.resolve(location));
        let logical =
            place.logical_locations.into_iter().find_map(|one| one.fully_qualified_name.or(one.name));
        let rule_name = rule.and_then(|rule| rule.name.clone());
        let is_http =
            uri.as_deref().is_some_and(|uri| uri.starts_with("http://") || uri.starts_with("https://"));
        let mut tags = properties.tags();
        tags.extend(rule.map(|rule| rule.tags.clone()).unwrap_or_default());
        let verdict = suppressed(self.suppressions);
        if verdict.is_some() {
            tags.push("suppressed".to_owned());
        }
        if kind != "fail" {
            tags.push(format!("kind:{kind}"));
        }
        let title = rule
            .and_then(|rule| rule.short.clone())
            .or_else(|| message.as_deref().and_then(|text| text.trim().lines().next()).map(str::to_owned))
            .or(rule_name)
            .or_else(|| reference.clone())
            .unwrap_or_else(|| "Result without a message".to_owned());
        let full = rule.and_then(|rule| rule.full.clone()).filter(|full| Some(full) != message.as_ref());
        let related = self.taxa.iter().filter_map(Reference::cwe);
        let identity = identity(
            reference.as_deref(),
            uri.as_deref(),
            logical.as_deref(),
            &region,
            message.as_deref(),
            &self.fingerprints,
            &self.partial_fingerprints,
        );
        Ok(Some(Reported {
            asset: run.asset(uri.as_deref().filter(|_| is_http), by_caller),
            identity,
            title,
            description: Some([message, full].into_iter().flatten().collect::<Vec<_>>().join("\n\n")),
            severity,
            cve_ids: reference.as_deref().and_then(text::cve).into_iter().collect(),
            scanner_reference: reference,
            cwe_ids: properties
                .cwes()
                .into_iter()
                .chain(related)
                .chain(rule.map(|rule| rule.cwes.clone()).unwrap_or_default())
                .collect(),
            endpoint: uri.clone().filter(|_| is_http),
            component_name: logical,
            file_path: uri.filter(|_| !is_http),
            line: region.start_line.filter(|line| *line > 0),
            references: rule.and_then(|rule| rule.help_uri.clone()).into_iter().collect(),
            tags,
            remediation: rule.and_then(|rule| rule.help.clone()),
            first_seen_at: self
                .provenance
                .and_then(|provenance| provenance.first_detection_time_utc)
                .and_then(|time| text::time(time.as_str()?)),
            verdict,
            ..Reported::default()
        }))
    }

    /// The rule that the result is of, and the part of the tool that the rule is of.
    fn rule_of<'k>(&self, run: &'k Run) -> (Option<&'k Component>, Option<&'k Rule>) {
        let named = self.rule.as_ref();
        let extension =
            named.and_then(|rule| rule.tool_component.as_ref()).and_then(|component| component.index);
        let number = extension.and_then(|index| usize::try_from(index).ok()).map_or(0, |index| index + 1);
        let Some(component) = run.components.get(number) else { return (None, None) };
        let index = self.rule_index.or_else(|| named?.index).and_then(|index| usize::try_from(index).ok());
        let by_id = || {
            let id = self.rule_id.as_deref().or_else(|| named?.id.as_deref())?;
            // `CA1000/1` is a sub-rule of `CA1000`, described by it.
            let known = |id: &str| component.by_id.get(id).copied();
            known(id).or_else(|| known(id.rsplit_once('/')?.0))
        };
        (Some(component), index.or_else(by_id).and_then(|index| component.rules.get(index)))
    }
}

/// The recipe of the catalogue's identity.
fn identity(
    rule: Option<&str>,
    uri: Option<&str>,
    logical: Option<&str>,
    region: &Region,
    message: Option<&str>,
    full: &BTreeMap<String, String>,
    partial: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut parts = vec![rule.unwrap_or_default().to_owned()];
    if !full.is_empty() {
        parts.extend(full.iter().map(pair));
        return parts;
    }
    parts.push(uri.unwrap_or_default().to_owned());
    if !partial.is_empty() {
        // The hash of a whole file changes with any line of it.
        let of_place: Vec<String> =
            partial.iter().filter(|(key, _)| !names_file_hash(key)).map(pair).collect();
        parts.extend(if of_place.is_empty() { partial.iter().map(pair).collect() } else { of_place });
        return parts;
    }
    parts.push(logical.unwrap_or_default().to_owned());
    let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
    let snippet = region.snippet.as_ref().and_then(|snippet| snippet.text.as_deref()).map(str::trim);
    match snippet.filter(|text| !text.is_empty()) {
        Some(text) => parts.extend([text.to_owned(), number(region.start_column)]),
        None => {
            let line = region.start_line.map(|line| line.to_string()).unwrap_or_default();
            parts.extend([
                line,
                number(region.start_column),
                number(region.char_offset),
                number(region.byte_offset),
            ]);
        }
    }
    if uri.is_none() && logical.is_none() {
        parts.push(message.unwrap_or_default().to_owned());
    }
    parts
}

fn pair((key, value): (&String, &String)) -> String {
    format!("{key}={value}")
}

fn names_file_hash(key: &str) -> bool {
    key.to_ascii_lowercase().contains("filehash")
}

fn severity(score: Option<f64>, level: Option<&str>) -> Option<Severity> {
    Some(match (score, level.unwrap_or("warning")) {
        (Some(score), _) => cvss::severity(score),
        (None, "none") => Severity::Info,
        (None, "note") => Severity::Low,
        (None, "warning") => Severity::Medium,
        (None, "error") => Severity::High,
        (None, _) => return None,
    })
}

/// The text of a message, its arguments in place of `{0}`, `{1}`…
fn written(message: Message, rule: Option<&Rule>, component: Option<&Component>) -> Option<String> {
    let known = || {
        let id = message.id.as_deref()?;
        rule.and_then(|rule| rule.messages.get(id)).or_else(|| component?.messages.get(id)).cloned()
    };
    let pattern = message.text.clone().filter(|text| !text.trim().is_empty()).or_else(known)?;
    if message.arguments.is_empty() {
        return Some(pattern);
    }
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern.as_str();
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        rest = &rest[open..];
        let close = rest.find('}').unwrap_or(0);
        let argument =
            rest.get(1..close).and_then(|number| message.arguments.get(number.parse::<usize>().ok()?));
        match argument {
            Some(argument) => {
                text.push_str(text::beginning(argument, text::PAGE));
                rest = &rest[close + 1..];
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
        if text.len() > text::PAGE {
            break;
        }
    }
    text.push_str(rest);
    Some(text)
}

impl Run {
    /// The path of an artifact: relative to the root of the sources as far as the report knows it.
    fn resolve(&self, location: Location) -> Option<String> {
        let location =
            match (location.uri.as_deref(), location.index.and_then(|index| usize::try_from(index).ok())) {
                (None, Some(index)) => self.artifacts.get(index)?.clone(),
                _ => location,
            };
        let mut uri = location.uri.map(|uri| uri.trim().to_owned()).filter(|uri| !uri.is_empty())?;
        let mut base = location.uri_base_id;
        // Bases refer to each other; a circle ends with the number of them.
        for _ in 0..=self.bases.len() {
            let Some(known) = base.as_ref().and_then(|id| self.bases.get(id)) else { break };
            match known.uri.as_deref().map(str::trim) {
                Some(root) if is_absolute(root) => break,
                Some(root) => uri.insert_str(0, root),
                None => {}
            }
            base.clone_from(&known.uri_base_id);
        }
        let roots =
            self.bases.values().filter_map(|base| base.uri.as_deref()).filter(|root| is_absolute(root));
        if let Some(root) =
            roots.filter(|root| uri.len() > root.len() && uri.starts_with(root)).max_by_key(|root| root.len())
        {
            uri.drain(..root.len());
        }
        Some(uri)
    }

    fn asset(&self, address: Option<&str>, by_caller: Option<&str>) -> ReportedAsset {
        let asset =
            |name: &str, kind: &str| ReportedAsset { name: name.to_owned(), kind: Some(kind.to_owned()) };
        if let Some(repository) = self.repository.as_deref().filter(|uri| !uri.trim().is_empty()) {
            return ReportedAsset { name: without_user(repository), kind: Some("repository".to_owned()) };
        }
        let host = address
            .and_then(|uri| uri.split("://").nth(1))
            .and_then(|rest| rest.split(['/', '?', '#']).next());
        if let Some(host) =
            host.map(|host| host.rsplit('@').next().unwrap_or(host)).filter(|host| !host.is_empty())
        {
            return asset(host, "host");
        }
        asset(
            by_caller
                .or(self.automation.as_deref())
                .filter(|name| !name.trim().is_empty())
                .unwrap_or("source code"),
            "repository",
        )
    }
}

fn is_absolute(uri: &str) -> bool {
    uri.contains("://") || uri.starts_with("file:")
}

/// An address without the name and secret of a user in it.
fn without_user(uri: &str) -> String {
    match uri.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{}", &rest[end..])
        }
        None => uri.to_owned(),
    }
}
