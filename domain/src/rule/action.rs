//! What a rule can do, each action declared once: its key, its configuration, what it says.
//!
//! An action is written `{"type": "override_severity", "config": {"severity": "high"}}`. It says
//! statements about a finding; the pass decides which of them change anything.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::title;
use crate::error::{Code, Error, Result};
use crate::finding::layers::{Scalar, ScalarField, SetField, Statement, Verdict};
use crate::finding::shown::Shown;
use crate::vocabulary::criteria::{Fault, Faults};
use crate::vocabulary::schema;
use crate::vocabulary::terms::{Severity, Status, Term};
use crate::vocabulary::time::Timestamp;

/// The most users, teams, tags or codes that one action names.
pub const MAX_NAMES: usize = 50;
/// The most characters of a name.
pub const MAX_NAME: usize = 200;
/// The most characters of a reason or another text.
pub const MAX_TEXT: usize = 8 * 1_024;

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
    /// The JSON Schema of `config`. `x-field` names the field whose values are meant.
    pub schema: fn() -> Json,
    /// A configuration that is accepted.
    pub sample: fn() -> Json,
}

fn object(required: &[&str], properties: Json) -> Json {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

/// An object that has something in at least one of these members.
fn object_of_any(members: &[&str], properties: Json) -> Json {
    let way = |member: &&str| {
        let list = properties[*member]["type"] == "array";
        let filled = if list { json!({ *member: { "minItems": 1 } }) } else { json!({}) };
        json!({ "required": [member], "properties": filled })
    };
    let ways: Vec<Json> = members.iter().map(way).collect();
    let mut schema = object(&[], properties);
    schema["anyOf"] = ways.into();
    schema
}

fn text(most: usize) -> Json {
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": r"\S" })
}

/// The id of a record of the noun that the field's values are ids of.
fn id(field: &str) -> Json {
    json!({ "type": "string", "format": "uuid", "x-field": field })
}

fn ids(field: &str) -> Json {
    json!({ "type": "array", "maxItems": MAX_NAMES, "items": id(field) })
}

/// Values of a field.
fn names(field: &str) -> Json {
    let mut name = text(MAX_NAME);
    name["x-field"] = json!(field);
    json!({ "type": "array", "minItems": 1, "maxItems": MAX_NAMES, "items": name })
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
                    "reason": text(MAX_TEXT),
                    "reference": text(MAX_TEXT),
                    "owner": id("assigned_users"),
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
        schema: || {
            object_of_any(
                &["users", "teams"],
                json!({ "users": ids("assigned_users"), "teams": ids("assigned_teams") }),
            )
        },
        sample: || json!({ "users": [], "teams": ["0190a5a0-0000-7000-8000-000000000001"] }),
    },
    ActionType {
        key: "append_tag",
        label: "Append tags",
        description: "Adds tags; those that are there already stay as they are.",
        sentence: "add the tags {tags}",
        schema: || object(&["tags"], json!({ "tags": names("tags") })),
        sample: || json!({ "tags": ["pci"] }),
    },
    ActionType {
        key: "set_vuln_type",
        label: "Set vulnerability type",
        description: "Says what type of vulnerability it is.",
        sentence: "set the vulnerability type to {vulnerability_type}",
        schema: || object(&["vulnerability_type"], json!({ "vulnerability_type": text(MAX_NAME) })),
        sample: || json!({ "vulnerability_type": "injection" }),
    },
    ActionType {
        key: "set_remediation",
        label: "Set remediation",
        description: "Says what to do about it: in words, as codes of the company's list, or both.",
        sentence: "set the remediation to {remediation} {techniques}",
        schema: || {
            object_of_any(
                &["remediation", "techniques"],
                json!({ "remediation": text(MAX_TEXT), "techniques": names("remediation_techniques") }),
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
    /// accepted for the single forms of `assign`. The error names every fault.
    pub fn parse(json: &Json) -> Result<Self> {
        let faults = Self::faults(json);
        if !faults.is_empty() {
            return Err(Faults::of(faults).into());
        }
        let config =
            json.get("config").filter(|config| !config.is_null()).cloned().unwrap_or_else(|| json!({}));
        let action = match json["type"].as_str().unwrap_or_default() {
            "auto_assign" => json!({ "type": "assign", "config": { "users": [config["user"]] } }),
            "auto_assign_team" => json!({ "type": "assign", "config": { "teams": [config["team"]] } }),
            kind => json!({ "type": kind, "config": without_nulls(config) }),
        };
        let action: Self = serde_json::from_value(action)
            .map_err(|error| Error::invalid("config", format!("The configuration does not fit: {error}.")))?;
        Ok(action.tidy())
    }

    /// All that is wrong with an action, each with its place: what the schema of its configuration
    /// refuses.
    pub fn faults(json: &Json) -> Vec<Fault> {
        let keys: Vec<&str> = ACTIONS.iter().map(|action| action.key).collect();
        let kind = json.get("type").and_then(Json::as_str).unwrap_or_default();
        let schema = match kind {
            "auto_assign" => object(&["user"], json!({ "user": id("assigned_users") })),
            "auto_assign_team" => object(&["team"], json!({ "team": id("assigned_teams") })),
            kind => match ACTIONS.iter().find(|action| action.key == kind) {
                Some(action) => (action.schema)(),
                None if json.is_object() => {
                    let message = format!("The type is one of {}.", keys.join(", "));
                    return vec![Fault { pointer: "/type".to_owned(), code: Code::Invalid, message }];
                }
                None => json!({}),
            },
        };
        // What takes no configuration may be written without one, and what needs one says what of it.
        let whole = object(&["type"], json!({ "type": { "type": "string" }, "config": schema.clone() }));
        let mut faults = schema::faults(&whole, json);
        if faults.is_empty() && json.get("config").is_none_or(Json::is_null) {
            let within = |fault: Fault| Fault { pointer: format!("/config{}", fault.pointer), ..fault };
            faults.extend(schema::faults(&schema, &json!({})).into_iter().map(within));
        }
        faults
    }

    /// Trims texts, and writes each name once, in order.
    fn tidy(mut self) -> Self {
        let text = |text: &mut String| *text = text.trim().to_owned();
        let names = |names: &mut Vec<String>| {
            names.iter_mut().for_each(text);
            names.sort();
            names.dedup();
        };
        match &mut self {
            Self::OverrideSeverity(_) | Self::NormalizeTitle(_) => {}
            Self::AcceptedRisk(config) => {
                text(&mut config.reason);
                config.reference.iter_mut().for_each(text);
            }
            Self::Assign(config) => {
                for ids in [&mut config.users, &mut config.teams] {
                    ids.sort_unstable();
                    ids.dedup();
                }
            }
            Self::AppendTag(config) => names(&mut config.tags),
            Self::SetVulnType(config) => text(&mut config.vulnerability_type),
            Self::SetRemediation(config) => {
                config.remediation.iter_mut().for_each(text);
                names(&mut config.techniques);
            }
        }
        self
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
        match self {
            Self::AcceptedRisk(config) if config.until.is_some_and(|until| until <= now) => Vec::new(),
            Self::AcceptedRisk(_) => vec![Statement::Judge(Verdict::of(Status::AcceptedRisk))],
            Self::NormalizeTitle(_) => {
                let title = Scalar::Text(title::normalize(&shown.title));
                vec![Statement::Set(ScalarField::Title, Some(title))]
            }
            _ => self.fixed().unwrap_or_default(),
        }
    }

    /// What the action says, where that is the same of every finding at any time.
    pub(crate) fn fixed(&self) -> Option<Vec<Statement>> {
        let set = |field, value| vec![Statement::Set(field, Some(value))];
        let elements = |field, elements: &mut dyn Iterator<Item = String>| {
            elements.map(|element| Statement::Element(field, element, true)).collect::<Vec<_>>()
        };
        Some(match self {
            Self::OverrideSeverity(config) => set(ScalarField::Severity, Scalar::Severity(config.severity)),
            Self::AcceptedRisk(config) if config.until.is_some() => return None,
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
            Self::NormalizeTitle(_) => return None,
        })
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

/// A member that is null is one that is not there.
fn without_nulls(mut config: Json) -> Json {
    if let Some(members) = config.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    config
}
