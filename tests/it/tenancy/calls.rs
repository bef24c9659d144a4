//! Calls of every field of the schema, built from what the server says of itself.

use std::collections::{BTreeMap, BTreeSet};

use api::graphql::id::{Key, Noun, key};
use async_graphql::ID;
use serde_json::{Map, Value as Json, json};
use support::Wire;
use uuid::Uuid;

/// What is asked of the server about its schema.
const INTROSPECTION: &str = "{ __schema { types { kind name possibleTypes { name }
    fields { name args { ...input } type { ...type } }
    inputFields { ...input } isOneOf enumValues { name } } } }
  fragment input on __InputValue { name defaultValue type { ...type } }
  fragment type on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// How deep records are read inside of records.
const DEPTH: usize = 4;
const ROWS: usize = 5;

/// One record of each noun.
pub type Ids = BTreeMap<&'static str, Uuid>;

pub fn global(noun: Noun, id: Uuid) -> String {
    noun.id(id).to_string()
}

/// The schema as the server tells it.
pub struct Schema(BTreeMap<String, Json>);

/// What the arguments of a call hold.
#[derive(Clone, Copy)]
pub struct Filling<'a> {
    /// Records that the caller may name.
    pub own: &'a Ids,
    /// In place of the id of this number, one of these.
    pub odd: Option<(usize, &'a Ids)>,
    /// What texts are searched for.
    pub search: &'a str,
    /// Which member of an input of which only one is given.
    pub member: usize,
    /// Only what has to be said.
    pub bare: bool,
    /// Makes names unique.
    pub nonce: Uuid,
}

/// A call with its arguments filled.
pub struct Call {
    pub query: String,
    pub variables: Json,
    /// The nouns of the ids in its arguments, by their numbers.
    pub slots: Vec<Noun>,
}

/// What is filled into one call.
struct Filler<'a> {
    schema: &'a Schema,
    filling: Filling<'a>,
    field: &'a str,
    slots: Vec<Noun>,
}

impl Schema {
    pub async fn of(wire: &Wire) -> Self {
        let told = wire.ask(INTROSPECTION, json!({})).await;
        let types = told["__schema"]["types"].as_array().expect("there are types").iter();
        Self(types.map(|kind| (text(&kind["name"]), kind.clone())).collect())
    }

    /// The names of a root type's fields.
    pub fn fields(&self, root: &str) -> Vec<String> {
        list(&self.0[root]["fields"]).iter().map(|field| text(&field["name"])).collect()
    }

    /// How many members the widest input of a field has of which only one may be given; 1 for none.
    pub fn members(&self, root: &str, field: &str) -> usize {
        let inputs = list(&self.field(root, field)["args"]).iter().map(|arg| named(&arg["type"]));
        // Such an input may be a member of another.
        let inside = |name: String| {
            let members = list(&self.0[&name]["inputFields"]).iter().map(|member| named(&member["type"]));
            members.chain([name.clone()]).collect::<Vec<_>>()
        };
        let widest = inputs.flat_map(inside).filter(|name| self.0[name]["isOneOf"] == true);
        widest.map(|name| list(&self.0[&name]["inputFields"]).len()).max().unwrap_or(1)
    }

    fn field(&self, root: &str, name: &str) -> &Json {
        let fields = list(&self.0[root]["fields"]);
        fields.iter().find(|field| field["name"] == name).expect("the field is the schema's own")
    }

    /// A call of a root field that reads all it can, but for the fields of `shut`.
    pub fn call(&self, root: &str, name: &str, shut: &[&str], filling: Filling<'_>) -> Call {
        let field = self.field(root, name);
        let mut filler = Filler { schema: self, filling, field: name, slots: Vec::new() };
        let (mut declared, mut given, mut variables) = (Vec::new(), Vec::new(), Map::new());
        for arg in list(&field["args"]) {
            let arg_name = text(&arg["name"]);
            if filling.bare && arg["type"]["kind"] != "NON_NULL" && arg_name != "first" {
                continue;
            }
            if let Some(value) = filler.value(&arg["type"], &arg_name) {
                declared.push(format!("${arg_name}: {}", written(&arg["type"])));
                given.push(format!("{arg_name}: ${arg_name}"));
                variables.insert(arg_name, value);
            }
        }
        let parenthesised = |parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("({})", parts.join(", ")),
        };
        let depth = if name == "node" { 1 } else { DEPTH };
        let selection = self.selection(&named(&field["type"]), depth, shut);
        let query = format!(
            "{}{} {{ {name}{}{selection} }}",
            root.to_lowercase(),
            parenthesised(&declared),
            parenthesised(&given)
        );
        Call { query, variables: variables.into(), slots: filler.slots }
    }

    /// Everything of a type, records inside of it down to `depth`.
    fn selection(&self, name: &str, depth: usize, shut: &[&str]) -> String {
        let kind = &self.0[name];
        let of_possible = || -> String {
            let possible = list(&kind["possibleTypes"]).iter().map(|kind| text(&kind["name"]));
            let parts = possible.map(|one| format!("... on {one}{} ", self.selection(&one, depth, shut)));
            format!(" {{ __typename {}}}", parts.collect::<String>())
        };
        match kind["kind"].as_str() {
            Some("INTERFACE" | "UNION") => of_possible(),
            Some("OBJECT") => {
                let parts: Vec<String> = list(&kind["fields"])
                    .iter()
                    .filter_map(|field| self.selected(name, field, depth, shut))
                    .collect();
                // What lies too deep is named, so that nothing is asked for without a field.
                if parts.is_empty() {
                    " { __typename }".into()
                } else {
                    format!(" {{ {} }}", parts.join(" "))
                }
            }
            _ => String::new(),
        }
    }

    fn selected(&self, on: &str, field: &Json, depth: usize, shut: &[&str]) -> Option<String> {
        let (name, inner) = (text(&field["name"]), named(&field["type"]));
        // An edge holds what its node does.
        if shut.contains(&format!("{on}.{name}").as_str()) || (inner.ends_with("Edge") && name == "edges") {
            return None;
        }
        let rows = list(&field["args"]).iter().any(|arg| arg["name"] == "first");
        let args = if rows { format!("(first: {ROWS})") } else { String::new() };
        match self.0[&inner]["kind"].as_str() {
            Some("OBJECT" | "INTERFACE" | "UNION") if depth == 0 => None,
            _ => Some(format!("{name}{args}{}", self.selection(&inner, depth.saturating_sub(1), shut))),
        }
    }
}

impl Filler<'_> {
    /// A value of this type for the argument or member at `path`; `None` for what is better not said.
    fn value(&mut self, of: &Json, path: &str) -> Option<Json> {
        let name = path.rsplit('.').next().unwrap_or(path);
        match of["kind"].as_str() {
            Some("NON_NULL") => return self.said(&of["ofType"], path),
            Some("LIST") => return self.value(&of["ofType"], path).map(|value| json!([value])),
            _ => {}
        }
        // A page is asked for from its start; a mutation is done each time; findings are named.
        // Work goes to somebody else than who leaves: the tests of leaving say to whom it does not.
        let unsaid = [
            "last",
            "after",
            "before",
            "idempotencyKey",
            "platformAdmin",
            "to",
            "from",
            "archived",
            "handOverTo",
            // What only one status has, and what would forbid other calls.
            "justification",
            "acceptanceDays",
        ];
        // Of a mapping and a saved one, only one is named.
        let either = path == "input.mapping" && ["importStart", "importPreview"].contains(&self.field);
        // A table has no publisher.
        let either = either || path == "publisher";
        // Nobody stands in for themselves.
        let own = path == "input.user" && self.field == "absenceSet";
        let whole = path == "filter" && self.field == "findingBulkUpdate";
        if unsaid.contains(&name) || either || own || whole {
            return None;
        }
        self.said(of, path)
    }

    /// The same where it has to be said.
    fn said(&mut self, of: &Json, path: &str) -> Option<Json> {
        let name = path.rsplit('.').next().unwrap_or(path);
        if of["kind"] == "LIST" {
            return self.value(&of["ofType"], path).map(|value| json!([value]));
        }
        let kind = text(&of["name"]);
        Some(match kind.as_str() {
            "ID" => {
                let noun = self.noun(path);
                json!(global(noun, self.id(noun)))
            }
            "String" => json!(self.word(path, name)),
            "Int" => json!(if name == "first" { ROWS } else { 1 }),
            "Float" => json!(1.0),
            "Boolean" => json!(false),
            // What has an end begins before it.
            "DateTime" if name == "from" => json!("2026-11-19T00:00:00Z"),
            "DateTime" if name == "until" => json!("2026-12-20T00:00:00Z"),
            // A period ends after it begins.
            "DateTime" if name == "to" => json!("2026-11-20T12:00:00Z"),
            "DateTime" => json!("2026-11-20T00:00:00Z"),
            "Duration" => json!("P7D"),
            "Criteria" => self.criteria(path),
            "JSON" => self.json(path),
            // How the columns of a table are read is told by one that is in order.
            "ImportMappingInput" => {
                let columns = ["title", "asset", "severity", "scanner_reference"];
                let columns = columns.map(|field| json!({ "field": field, "column": field }));
                json!({ "columns": columns, "identity": ["scanner_reference"] })
            }
            "ReportFormat" => json!("JSONL"),
            "Role" => json!("VIEWER"),
            "Permission" => json!("READ"),
            "RuleMode" => json!("ENFORCE"),
            "ScanStatus" => json!("FINISHED"),
            _ => self.compound(&kind, path),
        })
    }

    fn compound(&mut self, kind: &str, path: &str) -> Json {
        let schema = self.schema;
        let kind = &schema.0[kind];
        if kind["kind"] == "ENUM" {
            return list(&kind["enumValues"])[0]["name"].clone();
        }
        let mut members = list(&kind["inputFields"]).to_vec();
        if kind["isOneOf"] == true {
            members = vec![members[self.filling.member % members.len()].clone()];
        }
        let mut object = Map::new();
        for member in members {
            let name = text(&member["name"]);
            if let Some(value) = self.value(&member["type"], &format!("{path}.{name}")) {
                object.insert(name, value);
            }
        }
        object.into()
    }

    /// The noun whose ids an argument takes, by its own name or else by its field's.
    fn noun(&self, path: &str) -> Noun {
        let name = path.rsplit('.').next().unwrap_or(path);
        match name {
            "project" | "projects" => Noun::Project,
            "asset" => Noun::Asset,
            "ownerTeam" | "team" | "teams" | "addTeams" | "removeTeams" => Noun::Team,
            "user" | "deputy" | "member" | "members" | "add" | "remove" | "addUsers" | "removeUsers"
            | "actor" | "owner" | "author" => Noun::User,
            "company" => Noun::Company,
            "holder" => Noun::ServiceAccount,
            "rule" => Noun::Rule,
            "application" | "applications" => Noun::RuleApplication,
            "exemptions" => Noun::RuleExemption,
            "job" => Noun::Job,
            "view" => Noun::View,
            "savedMapping" => Noun::SavedMapping,
            "record" | "ids" | "finding" => Noun::Finding,
            "id" if ["importCancel", "importProgress"].contains(&self.field) => Noun::Job,
            "id" => {
                let field = self.field.to_lowercase();
                let fitting = Noun::ALL.iter().filter(|noun| field.starts_with(&noun.name().to_lowercase()));
                let longest = fitting.max_by_key(|noun| noun.name().len());
                *longest.unwrap_or_else(|| panic!("say whose id {}({path}) is", self.field))
            }
            _ => panic!("say whose id {}({path}) is", self.field),
        }
    }

    /// The next id: the odd one in its place, and the caller's own elsewhere.
    fn id(&mut self, noun: Noun) -> Uuid {
        let number = self.slots.len();
        self.slots.push(noun);
        match self.filling.odd {
            Some((place, odd)) if place == number => odd[noun.name()],
            _ => self.filling.own[noun.name()],
        }
    }

    fn word(&self, path: &str, name: &str) -> String {
        let field = self.field;
        match name {
            "query" => self.filling.search.to_owned(),
            "email" => format!("{}@walk.example", self.filling.nonce),
            "field" | "fields" | "by" | "groupBy" => "tags".to_owned(),
            "cveIds" | "vulnerability" => "CVE-2026-0001".to_owned(),
            "cweIds" => "CWE-79".to_owned(),
            "cvssVector" => "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H".to_owned(),
            "action" => "finding.created".to_owned(),
            "code" => "WALK".to_owned(),
            "document" => json!({ "format": "countersign/rules/1", "rules": [] }).to_string(),
            "source" => "team".to_owned(),
            "key" if field == "suggestedRuleEnable" => "route-secrets".to_owned(),
            "key" => format!("walked-{}", self.filling.nonce),
            _ => format!("walked by {field} {path} {}", self.filling.nonce),
        }
    }

    /// A filter looks for the marker or a project. A rule's criteria are kept as they are written,
    /// so ids in them find nothing.
    fn criteria(&mut self, path: &str) -> Json {
        if path != "filter" {
            return json!({ "field": "title", "operator": "contains", "value": "walked" });
        }
        let marked = json!({ "field": "title", "operator": "contains", "value": self.filling.search });
        let project = json!({ "field": "project", "operator": "eq", "value": self.id(Noun::Project) });
        json!({ "logic": "OR", "conditions": [marked, project] })
    }

    fn json(&mut self, path: &str) -> Json {
        match path.rsplit('.').next() {
            Some("action") => {
                let config = json!({ "users": [self.id(Noun::User)], "teams": [self.id(Noun::Team)] });
                json!({ "type": "assign", "config": config })
            }
            Some("slots") => json!({ "team": self.id(Noun::Team) }),
            _ => json!({ "title": "walked" }),
        }
    }
}

/// An answer without what differs between two records that do not exist: ids, paths with ids, and
/// the hashes of what the caller wrote with ids in it.
pub fn masked(body: &str) -> String {
    let Ok(mut json) = serde_json::from_str::<Json>(body) else { return body.to_owned() };
    mask(&mut json);
    json.to_string()
}

fn mask(json: &mut Json) {
    match json {
        Json::Array(all) => all.iter_mut().for_each(mask),
        Json::Object(all) => {
            all.remove("contentHash");
            all.values_mut().for_each(mask);
        }
        Json::String(text) => {
            if let Some((noun, Key::Record(_))) = key(&ID(text.clone())) {
                *text = format!("<{}>", noun.name());
            }
            while let Some(at) = (0..text.len().saturating_sub(35))
                .find(|at| text.get(*at..at + 36).is_some_and(|part| part.parse::<Uuid>().is_ok()))
            {
                text.replace_range(at..at + 36, "<id>");
            }
        }
        _ => {}
    }
}

/// The codes of an answer's errors: the request's, and the caller's to mend.
pub fn codes(body: &str) -> BTreeSet<String> {
    let json: Json = serde_json::from_str(body).unwrap_or_default();
    let of_request = list(&json["errors"]).iter().map(|error| text(&error["extensions"]["code"]));
    let payloads = json["data"].as_object().into_iter().flatten();
    let of_caller =
        payloads.flat_map(|(_, payload)| list(&payload["userErrors"])).map(|error| text(&error["code"]));
    of_request.chain(of_caller).collect()
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The name of a type under its lists and promises.
fn named(of: &Json) -> String {
    if of["ofType"].is_null() { text(&of["name"]) } else { named(&of["ofType"]) }
}

/// A type as a query writes it.
fn written(of: &Json) -> String {
    match of["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", written(&of["ofType"])),
        Some("LIST") => format!("[{}]", written(&of["ofType"])),
        _ => text(&of["name"]),
    }
}
