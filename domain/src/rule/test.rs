//! Trying a rule on a finding that the caller supplies: nothing is read and nothing is written.

use serde_json::{Map, Value as Json};

use super::action::Action;
use super::check_criteria;
use super::pass::{Application, Exempt, LiveRule, Passed, badge, pass};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Error, Result};
use crate::finding::facts::{Evidence, Facts, Finding};
use crate::finding::layers::{Layers, Scalar, ScalarField, SetField, Source, Statement};
use crate::finding::shown::Shown;
use crate::inventory::asset::Asset;
use crate::vocabulary::criteria::{Compiled, Criteria, Explanation};
use crate::vocabulary::field::finding::FindingField;
use crate::vocabulary::terms::{Criticality, Environment, FindingClass, Severity, Status, Term};
use crate::vocabulary::time::Timestamp;
use uuid::Uuid;

/// What a rule makes of a supplied finding.
#[derive(Debug)]
pub struct Tested {
    pub explanation: Explanation,
    pub matched: bool,
    /// The fields that the action would change, before and after.
    pub before: Map<String, Json>,
    pub after: Map<String, Json>,
    /// The badges that the finding would wear.
    pub messages: Vec<String>,
}

impl Domain {
    /// Tries `criteria` and `action` on `finding`: an object of finding fields by their keys, in the
    /// forms that criteria are written with. What it does not name is missing; `severity` is INFO,
    /// `status` OPEN and the times are now where it does not say.
    pub fn rule_test(
        &self,
        actor: &Actor,
        name: &str,
        criteria: &Json,
        action: &Json,
        finding: &Json,
    ) -> Result<Tested> {
        actor.allow(Permission::Read)?;
        let now = self.clock().now();
        let tree = check_criteria(criteria).map_err(|error| error.at("criteria"))?;
        let action = Action::parse(action).map_err(|error| error.at("action"))?;
        tried(actor.company, name, &tree, action, finding, now)
    }
}

/// What a rule with these criteria and this action makes of a supplied finding of a company. Pure.
///
/// # Errors
///
/// `INVALID` for a finding that is none, at `finding`.
pub(super) fn tried(
    company: Uuid,
    name: &str,
    tree: &Criteria,
    action: Action,
    finding: &Json,
    now: Timestamp,
) -> Result<Tested> {
    let (finding, asset) = supplied(company, finding, now).map_err(|error| error.at("finding"))?;
    let compiled = Compiled::new(tree);
    let facts = Facts { finding: &finding, asset: &asset, shown: &finding.shown };
    let explanation = compiled.explain(&facts, now);
    let matched = compiled.matches(&facts, now).is_true();
    let rule = LiveRule {
        id: Uuid::nil(),
        name: name.to_owned(),
        version: 0,
        content_hash: String::new(),
        enforced: true,
        criteria: Ok(compiled),
        action,
    };
    let passed = pass(&finding, &asset, std::slice::from_ref(&rule), &Exempt::default(), now);
    let mut tested =
        Tested { explanation, matched, before: Map::new(), after: Map::new(), messages: Vec::new() };
    if let Some(Passed { applications, shown, .. }) = passed {
        for field in applications.iter().flat_map(Application::fields) {
            let (before, after) = (finding.shown.json(field), shown.json(field));
            tested.messages.push(badge(name, field, &before, &after));
            tested.before.insert(field.to_owned(), before);
            tested.after.insert(field.to_owned(), after);
        }
    }
    Ok(tested)
}

/// A finding and its asset out of fields by their keys.
pub(super) fn supplied(company: Uuid, json: &Json, now: Timestamp) -> Result<(Finding, Asset)> {
    let members = json.as_object().ok_or_else(|| Error::invalid("", "A finding is an object of fields."))?;
    let mut asset = Asset {
        id: Uuid::nil(),
        company,
        name: "example".to_owned(),
        kind: None,
        class: None,
        groups: Vec::new(),
        criticality: None,
        environment: None,
        internet_exposed: None,
        owner_team: None,
        tags: Vec::new(),
        archived_at: None,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let mut layers = Layers::new();
    layers
        .say(Source::SCANNER, Statement::Set(ScalarField::Severity, Some(Scalar::Severity(Severity::Info))));
    let mut finding = Finding {
        issue: Uuid::nil(),
        issue_by: None,
        id: Uuid::nil(),
        company,
        project: Uuid::nil(),
        asset: asset.id,
        fingerprint: Uuid::nil(),
        evidence: Evidence {
            class: FindingClass::Vulnerability,
            description: None,
            scanner_source: "example".to_owned(),
            scanner_category: None,
            scanner_reference: None,
            endpoint: None,
            port: None,
            component_name: None,
            component_version: None,
            component_purl: None,
            fixed_version: None,
            fix_available: None,
            file_path: None,
            line: None,
            references: Vec::new(),
            excerpt: None,
        },
        shown: Shown::of(&layers),
        layers: Layers::new(),
        first_seen_at: now,
        last_seen_at: now,
        sighting: None,
        closed_at: None,
        sla_breached: None,
        due_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    for (key, value) in members {
        if value.is_null() {
            continue;
        }
        let field = FindingField::from_key(key)
            .ok_or_else(|| Error::invalid(key, format!("There is no field `{key}`.")))?;
        supply(field, value, &mut finding, &mut asset, &mut layers)
            .ok_or_else(|| Error::invalid(key, format!("This does not fit the field `{key}`.")))?;
    }
    finding.shown = Shown::of(&layers);
    finding.layers = layers;
    Ok((finding, asset))
}

fn word<T: Term>(value: &Json) -> Option<T> {
    T::parse(value.as_str()?)
}

fn words(value: &Json) -> Option<Vec<String>> {
    let mut words: Vec<String> =
        value.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    words.sort();
    words.dedup();
    Some(words)
}

/// Puts one field in its place. `None`: the value does not fit.
fn supply(
    field: FindingField,
    value: &Json,
    finding: &mut Finding,
    asset: &mut Asset,
    layers: &mut Layers,
) -> Option<()> {
    use FindingField as F;

    let text = || value.as_str().map(str::to_owned);
    let time = || Timestamp::parse(value.as_str()?);
    let mut scalar = |field, value| layers.say(Source::SCANNER, Statement::Set(field, Some(value)));
    match field {
        F::Severity => scalar(ScalarField::Severity, Scalar::Severity(word(value)?)),
        F::Title => scalar(ScalarField::Title, Scalar::Text(text()?)),
        F::VulnerabilityType => scalar(ScalarField::VulnerabilityType, Scalar::Text(text()?)),
        F::CvssScore => scalar(ScalarField::CvssScore, Scalar::Number(value.as_f64()?)),
        F::EpssScore => scalar(ScalarField::EpssScore, Scalar::Number(value.as_f64()?)),
        F::KnownExploit => scalar(ScalarField::KnownExploit, Scalar::Flag(value.as_bool()?)),
        F::EpssPercentile => scalar(ScalarField::EpssPercentile, Scalar::Number(value.as_f64()?)),
        F::KevDueAt => scalar(ScalarField::KevDueAt, Scalar::Time(time()?)),
        F::RansomwareUse => scalar(ScalarField::RansomwareUse, Scalar::Flag(value.as_bool()?)),
        F::Status => layers.move_to(Source::SCANNER, word::<Status>(value)?),
        F::Tags
        | F::Effects
        | F::RootCauses
        | F::RemediationTechniques
        | F::AttackTechniques
        | F::CveIds
        | F::CweIds
        | F::AssignedUsers
        | F::AssignedTeams => {
            let set = SetField::parse(field.key())?;
            for element in words(value)? {
                layers.say(Source::SCANNER, Statement::Element(set, element, true));
            }
        }
        F::Class => finding.evidence.class = word(value)?,
        F::SlaBreached => finding.sla_breached = Some(value.as_bool()?),
        F::ScannerSource => finding.evidence.scanner_source = text()?,
        F::ScannerCategory => finding.evidence.scanner_category = Some(text()?),
        F::ScannerReference => finding.evidence.scanner_reference = Some(text()?),
        F::Description => finding.evidence.description = Some(text()?),
        F::Endpoint => finding.evidence.endpoint = Some(text()?),
        F::Port => finding.evidence.port = Some(u16::try_from(value.as_u64()?).ok()?),
        F::FilePath => finding.evidence.file_path = Some(text()?),
        F::ComponentName => finding.evidence.component_name = Some(text()?),
        F::ComponentVersion => finding.evidence.component_version = Some(text()?),
        F::ComponentPurl => finding.evidence.component_purl = Some(text()?),
        F::FixAvailable => finding.evidence.fix_available = Some(value.as_bool()?),
        F::Project => finding.project = value.as_str()?.parse().ok()?,
        F::Company => finding.company = value.as_str()?.parse().ok()?,
        F::FirstSeenAt => finding.first_seen_at = time()?,
        F::LastSeenAt => finding.last_seen_at = time()?,
        F::DueAt => finding.due_at = Some(time()?),
        F::AssetName => asset.name = text()?,
        F::AssetType => asset.kind = Some(text()?),
        F::AssetClass => asset.class = Some(text()?),
        F::AssetGroups => asset.groups = words(value)?,
        F::AssetTags => asset.tags = words(value)?,
        F::AssetCriticality => asset.criticality = Some(word::<Criticality>(value)?),
        F::AssetEnvironment => asset.environment = Some(word::<Environment>(value)?),
        F::InternetExposed => asset.internet_exposed = Some(value.as_bool()?),
    }
    Some(())
}
