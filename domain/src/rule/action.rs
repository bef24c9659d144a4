//! What a rule can do, each action declared once: its key, its configuration, what it says.
//!
//! An action is written `{"type": "override_severity", "config": {"severity": "high"}}`. It says
//! statements about a finding; the pass decides which of them change anything.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::title;
use crate::error::{Code, Error, Result};
use crate::finding::facts::Shown;
use crate::finding::layers::{Scalar, ScalarField, SetField, Statement, Verdict};
use crate::vocabulary::terms::{Severity, Status, Term};
use crate::vocabulary::time::Timestamp;

const MAX_NAMES: usize = 50;
const MAX_TEXT: usize = 8 * 1_024;

/// The configuration of each action, in the shape in which it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "config", rename_all = "snake_case")]
pub enum Action {
    OverrideSeverity(OverrideSeverity),
    AcceptedRisk(AcceptedRisk),
    Assign(Assign),
    AppendTag(AppendTag),
    SetVulnType(SetVulnType),
    SetRemediation(SetRemediation),
    NormalizeTitle(NormalizeTitle),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideSeverity {
    pub severity: Severity,
}

/// Why a risk is borne, by whom, and until when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedRisk {
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    #[serde(default)]
    pub users: Vec<Uuid>,
    #[serde(default)]
    pub teams: Vec<Uuid>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppendTag {
    pub tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetVulnType {
    pub vulnerability_type: String,
}

/// What to do about it, in words, and as codes of the company's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRemediation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub techniques: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormalizeTitle {}

/// An action as the builder registry shows it.
pub struct ActionType {
    pub key: &'static str,
    pub label: &'static str,
    pub description: &'static str,
    /// The action in words; `{…}` stand for members of the configuration.
    pub sentence: &'static str,
    /// The JSON Schema of `config`.
    pub schema: fn() -> Json,
    /// A configuration that is accepted.
    pub sample: fn() -> Json,
}

fn object(required: &[&str], properties: Json) -> Json {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn ids(noun: &str) -> Json {
    json!({ "type": "array", "maxItems": MAX_NAMES, "items": { "type": "string", "format": "uuid" },
            "description": format!("Ids of {noun} of the company.") })
}

fn names() -> Json {
    json!({ "type": "array", "minItems": 1, "maxItems": MAX_NAMES,
            "items": { "type": "string", "minLength": 1, "maxLength": 200 } })
}

/// Every action, in the order in which builders offer them.
pub static ACTIONS: &[ActionType] = &[
    ActionType {
        key: "override_severity",
        label: "Override severity",
        description: "Shows another severity than the scanner's.",
        sentence: "set severity to {severity}",
        schema: || object(&["severity"], json!({ "severity": { "enum": Severity::WORDS } })),
        sample: || json!({ "severity": "high" }),
    },
    ActionType {
        key: "accepted_risk",
        label: "Accept risk",
        description: "Accepts the risk, with a reason, until an end date where one is given.",
        sentence: "accept the risk because {reason}",
        schema: || {
            object(
                &["reason"],
                json!({
                    "reason": { "type": "string", "minLength": 1, "maxLength": MAX_TEXT },
                    "reference": { "type": "string", "minLength": 1, "maxLength": MAX_TEXT },
                    "owner": { "type": "string", "format": "uuid" },
                    "until": { "type": "string", "format": "date-time" },
                }),
            )
        },
        sample: || json!({ "reason": "Isolated network segment", "reference": "RISK-12" }),
    },
    ActionType {
        key: "assign",
        label: "Assign",
        description: "Assigns the finding to people and teams of the company, beside those it has.",
        sentence: "assign to {users} {teams}",
        schema: || object(&[], json!({ "users": ids("users"), "teams": ids("teams") })),
        sample: || json!({ "users": [], "teams": ["0190a5a0-0000-7000-8000-000000000001"] }),
    },
    ActionType {
        key: "append_tag",
        label: "Append tags",
        description: "Adds tags; those that are there already stay as they are.",
        sentence: "add the tags {tags}",
        schema: || object(&["tags"], json!({ "tags": names() })),
        sample: || json!({ "tags": ["pci"] }),
    },
    ActionType {
        key: "set_vuln_type",
        label: "Set vulnerability type",
        description: "Says what type of vulnerability it is.",
        sentence: "set the vulnerability type to {vulnerability_type}",
        schema: || {
            object(
                &["vulnerability_type"],
                json!({ "vulnerability_type": { "type": "string", "minLength": 1, "maxLength": 200 } }),
            )
        },
        sample: || json!({ "vulnerability_type": "injection" }),
    },
    ActionType {
        key: "set_remediation",
        label: "Set remediation",
        description: "Says what to do about it: in words, as codes of the company's list, or both.",
        sentence: "set the remediation to {remediation} {techniques}",
        schema: || {
            object(
                &[],
                json!({
                    "remediation": { "type": "string", "minLength": 1, "maxLength": MAX_TEXT },
                    "techniques": names(),
                }),
            )
        },
        sample: || json!({ "remediation": "Upgrade to the fixed version." }),
    },
    ActionType {
        key: "normalize_title",
        label: "Normalize title",
        description: "Trims the title, collapses its spaces and writes it in title case; CVE ids, acronyms and product names keep their capitals.",
        sentence: "normalize the title",
        schema: || object(&[], json!({})),
        sample: || json!({}),
    },
];

impl Action {
    /// Reads and checks an action. `auto_assign {"user"}` and `auto_assign_team {"team"}` are
    /// accepted for the single forms of `assign`. Errors name the member at fault.
    pub fn parse(json: &Json) -> Result<Self> {
        let kind = json.get("type").and_then(Json::as_str).unwrap_or_default();
        let config = json.get("config").cloned().unwrap_or_else(|| json!({}));
        let refuse = |message: String| Error::invalid("config", message);
        if json.as_object().is_none_or(|members| members.keys().any(|key| key != "type" && key != "config")) {
            return Err(Error::new(Code::Invalid, "An action is an object of `type` and `config`."));
        }
        let action = match kind {
            "auto_assign" | "auto_assign_team" => {
                let member = if kind == "auto_assign" { "user" } else { "team" };
                let id = single(&config, member).ok_or_else(|| {
                    refuse(format!("The configuration of {kind} is an object with the id `{member}` alone."))
                })?;
                let (users, teams) = if member == "user" { (vec![id], vec![]) } else { (vec![], vec![id]) };
                Self::Assign(Assign { users, teams })
            }
            kind if ACTIONS.iter().any(|action| action.key == kind) => {
                serde_json::from_value(json!({ "type": kind, "config": config }))
                    .map_err(|error| refuse(format!("The configuration of {kind} does not fit: {error}.")))?
            }
            _ => {
                let keys: Vec<&str> = ACTIONS.iter().map(|action| action.key).collect();
                return Err(Error::invalid("type", format!("The type is one of {}.", keys.join(", "))));
            }
        };
        action.checked()
    }

    fn checked(mut self) -> Result<Self> {
        let text = |member: &str, text: &mut String, most: usize| {
            *text = text.trim().to_owned();
            if text.is_empty() || text.len() > most {
                let message = format!("`{member}` is a text of 1 to {most} bytes.");
                return Err(Error::invalid(member, message).at("config"));
            }
            Ok(())
        };
        let names = |member: &str, names: &mut Vec<String>| {
            for name in names.iter_mut() {
                text(member, name, 200)?;
            }
            names.sort();
            names.dedup();
            if names.len() > MAX_NAMES {
                return Err(Error::invalid(member, format!("At most {MAX_NAMES}.")).at("config"));
            }
            Ok(())
        };
        let required =
            |member: &str, message: &str| Err(Error::new(Code::Required, message).at(member).at("config"));
        match &mut self {
            Self::OverrideSeverity(_) | Self::NormalizeTitle(_) => {}
            Self::AcceptedRisk(config) => {
                text("reason", &mut config.reason, MAX_TEXT)?;
                if let Some(reference) = &mut config.reference {
                    text("reference", reference, MAX_TEXT)?;
                }
            }
            Self::Assign(config) => {
                for ids in [&mut config.users, &mut config.teams] {
                    ids.sort_unstable();
                    ids.dedup();
                    if ids.len() > MAX_NAMES {
                        return Err(Error::invalid("config", format!("At most {MAX_NAMES} of each.")));
                    }
                }
                if config.users.is_empty() && config.teams.is_empty() {
                    return required("users", "Name at least one user or team.");
                }
            }
            Self::AppendTag(config) => {
                names("tags", &mut config.tags)?;
                if config.tags.is_empty() {
                    return required("tags", "Name at least one tag.");
                }
            }
            Self::SetVulnType(config) => text("vulnerability_type", &mut config.vulnerability_type, 200)?,
            Self::SetRemediation(config) => {
                if let Some(remediation) = &mut config.remediation {
                    text("remediation", remediation, MAX_TEXT)?;
                }
                names("techniques", &mut config.techniques)?;
                if config.remediation.is_none() && config.techniques.is_empty() {
                    return required("remediation", "Give a remediation, techniques, or both.");
                }
            }
        }
        Ok(self)
    }

    /// The declaration of this action.
    pub fn kind(&self) -> &'static ActionType {
        let key = match self {
            Self::OverrideSeverity(_) => "override_severity",
            Self::AcceptedRisk(_) => "accepted_risk",
            Self::Assign(_) => "assign",
            Self::AppendTag(_) => "append_tag",
            Self::SetVulnType(_) => "set_vuln_type",
            Self::SetRemediation(_) => "set_remediation",
            Self::NormalizeTitle(_) => "normalize_title",
        };
        ACTIONS.iter().find(|action| action.key == key).expect("every action is declared")
    }

    /// What the action says of a finding that shows `shown`.
    pub fn statements(&self, shown: &Shown, now: Timestamp) -> Vec<Statement> {
        let set = |field, value| vec![Statement::Set(field, Some(value))];
        let elements = |field, elements: &mut dyn Iterator<Item = String>| {
            elements.map(|element| Statement::Element(field, element, true)).collect::<Vec<_>>()
        };
        match self {
            Self::OverrideSeverity(config) => set(ScalarField::Severity, Scalar::Severity(config.severity)),
            Self::AcceptedRisk(config) if config.until.is_some_and(|until| until <= now) => Vec::new(),
            Self::AcceptedRisk(_) => vec![Statement::Judge(Verdict::of(Status::AcceptedRisk))],
            Self::Assign(config) => {
                let mut said =
                    elements(SetField::AssignedUsers, &mut config.users.iter().map(Uuid::to_string));
                said.extend(elements(SetField::AssignedTeams, &mut config.teams.iter().map(Uuid::to_string)));
                said
            }
            Self::AppendTag(config) => elements(SetField::Tags, &mut config.tags.iter().cloned()),
            Self::SetVulnType(config) => {
                set(ScalarField::VulnerabilityType, Scalar::Text(config.vulnerability_type.clone()))
            }
            Self::SetRemediation(config) => {
                let text = config.remediation.clone().map(Scalar::Text);
                let mut said: Vec<_> = text
                    .into_iter()
                    .map(|text| Statement::Set(ScalarField::Remediation, Some(text)))
                    .collect();
                let techniques = &mut config.techniques.iter().cloned();
                said.extend(elements(SetField::RemediationTechniques, techniques));
                said
            }
            Self::NormalizeTitle(_) => set(ScalarField::Title, Scalar::Text(title::normalize(&shown.title))),
        }
    }

    /// The people and teams that the action names.
    pub fn names(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        match self {
            Self::Assign(config) => (config.users.clone(), config.teams.clone()),
            Self::AcceptedRisk(config) => (config.owner.into_iter().collect(), Vec::new()),
            _ => (Vec::new(), Vec::new()),
        }
    }
}

fn single(config: &Json, member: &str) -> Option<Uuid> {
    let members = config.as_object().filter(|members| members.len() == 1)?;
    members.get(member)?.as_str()?.parse().ok()
}
