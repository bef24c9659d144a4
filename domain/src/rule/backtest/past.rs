//! A record as it stood: what the audit tells of later is undone, newest first. Pure.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::store::Entry;
use crate::finding::change::values_of;
use crate::finding::facts::{Evidence, Finding};
use crate::finding::layers::{Layer, Layers, Scalar, ScalarField, SetField, Source, Statement, Verdict};
use crate::finding::shown::Shown;
use crate::inventory::asset::Asset;
use crate::vocabulary::terms::{Criticality, Environment, FindingClass, Severity, Status, Term};
use crate::vocabulary::time::Timestamp;

/// A finding as it stood, without what rules said.
pub(super) struct Past {
    pub finding: Finding,
    /// People changed it later: what they had said by then is not told.
    pub people_spoke: bool,
}

/// The finding at a moment; `later` is what the audit tells of it after that, oldest first.
pub(super) fn finding_at<'a>(
    finding: &Finding,
    later: impl DoubleEndedIterator<Item = &'a Entry>,
    at: Timestamp,
) -> Past {
    let mut evidence = finding.evidence.json();
    let mut scanner = values_of(&finding.layers, Layer::Scanner);
    let mut intel = values_of(&finding.layers, Layer::Intel);
    let mut status = None;
    let mut by_people: Vec<String> = Vec::new();
    let mut people_spoke = false;
    for entry in later.rev() {
        for (field, before) in &entry.before {
            match entry.action.as_str() {
                "finding.refreshed" if Evidence::FIELDS.contains(&field.as_str()) => {
                    put(&mut evidence, field, before)
                }
                "finding.refreshed" => put(&mut scanner, field, before),
                "finding.informed" => put(&mut intel, field, before),
                "finding.status_changed" => status = before.as_str().and_then(Status::parse),
                "finding.updated" | "finding.released" => by_people.push(field.clone()),
                _ => {}
            }
        }
        people_spoke |= entry.by_person && entry.action.starts_with("finding.");
    }
    let mut layers = finding.layers.without(|_| true);
    layers.observe(Default::default());
    let scalars: Vec<ScalarField> = by_people.iter().filter_map(|field| ScalarField::parse(field)).collect();
    let sets: Vec<SetField> = by_people.iter().filter_map(|field| SetField::parse(field)).collect();
    layers.release(&scalars, &sets, false);
    layers.refresh(statements(&scanner));
    layers.inform(statements(&intel).into_iter().map(|statement| (Uuid::nil(), statement)));
    if let Some(status) = status {
        // What lay over the lifecycle then is among what is left out: rules' words, and people's.
        let judged = matches!(status, Status::AcceptedRisk | Status::FalsePositive);
        layers.move_to(Source::SCANNER, if judged { Status::Open } else { status });
    }
    Past { finding: rebuilt(finding, layers, &evidence, at), people_spoke }
}

fn rebuilt(finding: &Finding, layers: Layers, evidence: &Map<String, Json>, at: Timestamp) -> Finding {
    Finding {
        evidence: read_evidence(evidence, &finding.evidence),
        shown: Shown::of(&layers),
        layers,
        last_seen_at: at.min(finding.last_seen_at),
        closed_at: None,
        ..finding.clone()
    }
}

/// What is null was not there.
fn put(values: &mut Map<String, Json>, field: &str, before: &Json) {
    if before.is_null() {
        values.remove(field);
    } else {
        values.insert(field.to_owned(), before.clone());
    }
}

/// The statements that say these values.
fn statements(values: &Map<String, Json>) -> Vec<Statement> {
    let mut said = Vec::new();
    for (field, value) in values {
        if let Some(scalar) = ScalarField::parse(field) {
            said.extend(read_scalar(scalar, value).map(|value| Statement::Set(scalar, Some(value))));
        } else if let Some(set) = SetField::parse(field) {
            let elements = value.as_array().into_iter().flatten().filter_map(Json::as_str);
            said.extend(elements.map(|element| Statement::Element(set, element.to_owned(), true)));
        } else if field == "verdict" {
            said.extend(serde_json::from_value::<Verdict>(value.clone()).ok().map(Statement::Judge));
        }
    }
    said
}

fn read_scalar(field: ScalarField, value: &Json) -> Option<Scalar> {
    match field {
        ScalarField::Severity => Severity::parse(value.as_str()?).map(Scalar::Severity),
        ScalarField::Title
        | ScalarField::VulnerabilityType
        | ScalarField::Remediation
        | ScalarField::CvssVector => value.as_str().map(|text| Scalar::Text(text.to_owned())),
        ScalarField::CvssScore | ScalarField::EpssScore | ScalarField::EpssPercentile => {
            value.as_f64().map(Scalar::Number)
        }
        ScalarField::KnownExploit | ScalarField::RansomwareUse => value.as_bool().map(Scalar::Flag),
        ScalarField::KevDueAt => Timestamp::parse(value.as_str()?).map(Scalar::Time),
    }
}

fn read_evidence(values: &Map<String, Json>, now: &Evidence) -> Evidence {
    let text = |field: &str| values.get(field).and_then(Json::as_str).map(str::to_owned);
    let number = |field: &str| values.get(field).and_then(Json::as_u64);
    Evidence {
        class: text("class").and_then(|word| FindingClass::parse(&word)).unwrap_or(now.class),
        description: text("description"),
        scanner_source: text("scanner_source").unwrap_or_else(|| now.scanner_source.clone()),
        scanner_category: text("scanner_category"),
        scanner_reference: text("scanner_reference"),
        endpoint: text("endpoint"),
        port: number("port").and_then(|port| u16::try_from(port).ok()),
        component_name: text("component_name"),
        component_version: text("component_version"),
        component_purl: text("component_purl"),
        fixed_version: text("fixed_version"),
        fix_available: values.get("fix_available").and_then(Json::as_bool),
        file_path: text("file_path"),
        line: number("line").and_then(|line| u32::try_from(line).ok()),
        references: words(values.get("references")),
        excerpt: text("excerpt"),
    }
}

fn words(list: Option<&Json>) -> Vec<String> {
    let words = list.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    words.map(str::to_owned).collect()
}

/// The asset before everything that the audit tells of it later; `None` where that cannot be undone.
pub(super) fn asset_at<'a>(
    asset: &Asset,
    later: impl DoubleEndedIterator<Item = &'a Entry>,
) -> Option<Asset> {
    let mut past = asset.clone();
    for entry in later.rev() {
        for (field, before) in &entry.before {
            let text = || before.as_str().map(str::to_owned);
            match field.as_str() {
                "name" => past.name = text()?,
                "type" => past.kind = text(),
                "class" => past.class = text(),
                "groups" => past.groups = words(Some(before)),
                "tags" => past.tags = words(Some(before)),
                "criticality" => past.criticality = before.as_str().and_then(Criticality::parse),
                "environment" => past.environment = before.as_str().and_then(Environment::parse),
                "internet_exposed" => past.internet_exposed = before.as_bool(),
                "owner_team" => past.owner_team = before.as_str().and_then(|id| id.parse().ok()),
                "archived" => past.archived_at = None,
                _ => return None,
            }
        }
    }
    Some(past)
}
