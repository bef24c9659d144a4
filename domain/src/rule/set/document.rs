//! A set of rules as a document, in YAML or JSON: read with all its faults at once, and written. Pure.
//!
//! ```yaml
//! format: countersign/rules/1
//! rules:
//!   - key: exposed-to-urgent
//!     name: Exposed and critical to urgent
//!     order: 10
//!     mode: ENFORCE
//!     criteria: { field: severity, operator: eq, value: critical }
//!     action: { type: override_severity, config: { severity: urgent } }
//! ```

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use crate::error::{Code, Error, Result};
use crate::rule::OnExpiry;
use crate::rule::draft::{RuleDraft, check_key};
use crate::rule::pass::Mode;
use crate::vocabulary::criteria::Fault;
use crate::vocabulary::terms::{Term, terms};

/// The most bytes of a document, and the most rules in it.
pub const BYTES: usize = 1 << 20;
pub const RULES: usize = 5_000;

const FORMAT: &str = "countersign/rules/1";
/// How deep the criteria of a rule lie inside of a document, with some to spare.
const DEPTH: usize = 100;

terms! {
    /// How a document is written.
    Notation { Yaml = "YAML", Json = "JSON" }
}

/// The members of a rule, in the order in which they are written.
const MEMBERS: [&str; 10] = [
    "key",
    "name",
    "description",
    "order",
    "mode",
    "expires_at",
    "on_expiry",
    "requires_approval",
    "criteria",
    "action",
];

/// Reads a document.
///
/// # Errors
/// All of its faults, each with its place; of one that is no YAML the line and the column.
pub fn read(text: &str) -> Result<Vec<RuleDraft>, Vec<Fault>> {
    let mut faults = Vec::new();
    let root = parse(text).map_err(|error| vec![Fault::from(error)])?;
    let Json::Object(root) = root else {
        return Err(vec![invalid("", "A set of rules is an object with `format` and `rules`.")]);
    };
    for member in root.keys().filter(|member| !["format", "rules"].contains(&member.as_str())) {
        faults.push(invalid(&format!("/{}", escaped(member)), "There is no such member."));
    }
    if root.get("format").and_then(Json::as_str) != Some(FORMAT) {
        faults.push(invalid("/format", format!("This is `{FORMAT}`.")));
    }
    let rules = match root.get("rules") {
        Some(Json::Array(rules)) if rules.len() <= RULES => rules.as_slice(),
        Some(Json::Array(_)) => {
            faults.push(invalid("/rules", format!("A set has at most {RULES} rules.")));
            &[]
        }
        _ => {
            faults.push(invalid("/rules", "This is the list of rules, which may be empty."));
            &[]
        }
    };
    let mut listed = Vec::with_capacity(rules.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for (at, rule) in rules.iter().enumerate() {
        let place = format!("/rules/{at}");
        let Json::Object(rule) = rule else {
            faults.push(invalid(&place, "A rule is an object."));
            continue;
        };
        let mut reader = Reader { rule, place: &place, faults: &mut faults };
        let Some(one) = reader.rule() else { continue };
        if let Some(first) = one.key.clone().and_then(|key| places.insert(key, at)) {
            let message = format!("Rule {first} of the list has this key already.");
            faults.push(invalid(&format!("{place}/key"), message));
        }
        listed.push(one);
    }
    if faults.is_empty() { Ok(listed) } else { Err(faults) }
}

/// What a text says, be it JSON or YAML: neither anchors nor aliases, for what is written once cannot grow.
fn parse(text: &str) -> Result<Json> {
    if text.len() > BYTES {
        return Err(Error::new(Code::Invalid, format!("A document has at most {BYTES} bytes.")));
    }
    if text.contains('\0') {
        return Err(Error::new(Code::Invalid, "A document has no U+0000 in it."));
    }
    let budget = serde_saphyr::budget! {
        max_aliases: 0,
        max_anchors: 0,
        max_depth: DEPTH,
        max_documents: 1,
        max_merge_keys: 0,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place =
            error.location().map(|place| format!("line {}, column {}: ", place.line(), place.column()));
        let message = error.without_snippet().to_string();
        let first = message.lines().next().unwrap_or_default().to_owned();
        Error::new(Code::Invalid, format!("{}{first}", place.unwrap_or_default()))
    })
}

fn invalid(pointer: &str, message: impl Into<String>) -> Fault {
    Fault { pointer: pointer.to_owned(), code: Code::Invalid, message: message.into() }
}

fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

struct Reader<'r> {
    rule: &'r Map<String, Json>,
    place: &'r str,
    faults: &'r mut Vec<Fault>,
}

impl Reader<'_> {
    /// `None`: it has faults that are told.
    fn rule(&mut self) -> Option<RuleDraft> {
        let known = self.faults.len();
        for member in self.rule.keys().filter(|member| !MEMBERS.contains(&member.as_str())) {
            self.faults
                .push(invalid(&format!("{}/{}", self.place, escaped(member)), "There is no such member."));
        }
        let key: Option<String> = self.required("key", "a text");
        if let Some(wrong) = key.as_deref().and_then(|key| check_key(key).err()) {
            self.fault("key", wrong.message);
        }
        let name = self.required("name", "a text");
        let criteria = self.required("criteria", "a tree");
        let action = self.required("action", "an action");
        let draft = RuleDraft {
            key,
            name: name.unwrap_or_default(),
            description: self.optional("description", "a text"),
            order: self.optional("order", "a whole number").unwrap_or(100),
            mode: self.optional("mode", &format!("one of {}", Mode::WORDS.join(", "))).unwrap_or(Mode::Off),
            expires_at: self.optional("expires_at", "a time such as 2026-11-21T08:00:00Z"),
            on_expiry: self
                .optional("on_expiry", &format!("one of {}", OnExpiry::WORDS.join(", ")))
                .unwrap_or(OnExpiry::Keep),
            requires_approval: self.optional("requires_approval", "true or false").unwrap_or(false),
            criteria: criteria.unwrap_or_default(),
            action: action.unwrap_or_default(),
        };
        (self.faults.len() == known).then_some(draft)
    }

    fn fault(&mut self, member: &str, message: impl Into<String>) {
        self.faults.push(invalid(&format!("{}/{member}", self.place), message));
    }

    fn required<T: DeserializeOwned>(&mut self, member: &str, what: &str) -> Option<T> {
        if self.rule.get(member).is_none_or(Json::is_null) {
            let pointer = format!("{}/{member}", self.place);
            let message = format!("This is missing: it is {what}.");
            self.faults.push(Fault { pointer, code: Code::Required, message });
            return None;
        }
        self.optional(member, what)
    }

    fn optional<T: DeserializeOwned>(&mut self, member: &str, what: &str) -> Option<T> {
        let value = self.rule.get(member).filter(|value| !value.is_null())?;
        let read = serde_json::from_value(value.clone());
        if read.is_err() {
            self.fault(member, format!("This is {what}."));
        }
        read.ok()
    }
}

/// A rule as the members of a document, but for what is left out because it goes without saying.
pub fn members(draft: &RuleDraft) -> Map<String, Json> {
    let mut members = Map::new();
    let mut put = |member: &str, value: Json| drop(members.insert(member.to_owned(), value));
    put("key", json!(draft.key));
    put("name", json!(draft.name));
    if let Some(description) = &draft.description {
        put("description", json!(description));
    }
    put("order", json!(draft.order));
    put("mode", json!(draft.mode));
    if let Some(at) = draft.expires_at {
        put("expires_at", json!(at));
        put("on_expiry", json!(draft.on_expiry));
    }
    if draft.requires_approval {
        put("requires_approval", json!(true));
    }
    put("criteria", draft.criteria.clone());
    put("action", draft.action.clone());
    members
}

/// Writes a document that reads as these rules.
///
/// # Errors
/// Those of a writer of YAML.
pub fn write(rules: &[RuleDraft], notation: Notation) -> Result<String> {
    let rules: Vec<Json> = rules.iter().map(|rule| members(rule).into()).collect();
    let document = json!({ "format": FORMAT, "rules": rules });
    match notation {
        Notation::Json => {
            serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(Error::internal)
        }
        Notation::Yaml => {
            serde_saphyr::to_string(&document).map_err(|error| Error::internal(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &str = "
format: countersign/rules/1
rules:
  - key: exposed-to-urgent
    name: 'Yes: exposed'
    order: 10
    mode: ENFORCE
    expires_at: 2026-12-01T00:00:00Z
    on_expiry: REVERT
    requires_approval: true
    criteria: { field: severity, operator: eq, value: critical }
    action: { type: override_severity, config: { severity: urgent } }
  - key: no
    name: 'No'
    criteria: { field: title, operator: eq, value: '007' }
    action: { type: append_tag, config: { tags: [x] } }
";

    fn pointers(text: &str) -> Vec<String> {
        read(text).expect_err("it has faults").into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn a_document_reads_the_same_however_it_is_written() {
        let rules = read(WHOLE).expect("it is in order");
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[1].key.as_deref(), rules[1].order, rules[1].mode), (Some("no"), 100, Mode::Off));
        for notation in [Notation::Yaml, Notation::Json] {
            let text = write(&rules, notation).expect("it can be written");
            let again = read(&text).unwrap_or_else(|faults| panic!("{faults:?} in {text}"));
            let of = |rules: &[RuleDraft]| -> Vec<Map<String, Json>> { rules.iter().map(members).collect() };
            assert_eq!(of(&again), of(&rules), "{text}");
        }
    }

    proptest! {
        #[test]
        fn texts_of_any_kind_come_back(name in "\\PC{1,20}", text in "[ -~\n\t:#'\"&*!|>%@`{}\\[\\],?-]{0,40}", number in any::<i32>()) {
            let mut rules = read(WHOLE).expect("it is in order");
            rules[0].name = name;
            rules[0].description = Some(text.clone());
            rules[0].order = number;
            rules[0].criteria = json!({ "field": "title", "operator": "in", "value": [text, "true", "1e3", "~", "null", "2026-11-21"] });
            let written = write(&rules, Notation::Yaml).expect("it can be written");
            let again = read(&written).unwrap_or_else(|faults| panic!("{faults:?} in {written}"));
            prop_assert_eq!(members(&again[0]), members(&rules[0]), "{}", written);
        }

        #[test]
        fn nothing_that_is_read_panics(text in "[a-z:\\- \n{}\\[\\],&*!|>'\"#?%@]{0,200}") {
            let _ = read(&text);
        }
    }

    #[test]
    fn all_faults_come_at_once_with_their_places() {
        let text = "
format: countersign/rules/2
more: 1
rules:
  - 7
  - key: Bad Key
    nam/e: x
    name: 3
    order: many
    mode: LOUD
    expires_at: soon
    action: {}
  - { key: a, name: A, criteria: {}, action: {} }
  - { key: a, name: B, criteria: {}, action: {} }
";
        assert_eq!(
            pointers(text),
            [
                "/more",
                "/format",
                "/rules/0",
                "/rules/1/nam~1e",
                "/rules/1/key",
                "/rules/1/name",
                "/rules/1/criteria",
                "/rules/1/order",
                "/rules/1/mode",
                "/rules/1/expires_at",
                "/rules/3/key"
            ]
        );
        assert_eq!(pointers("[]"), [""]);
        assert_eq!(pointers("format: countersign/rules/1"), ["/rules"]);
    }

    #[test]
    fn what_grows_or_says_something_twice_is_refused() {
        let bomb: String = (1..30).map(|at| format!("a{at}: &a{at} [*a{0}, *a{0}]\n", at - 1)).collect();
        let deep = format!("format: {}{}", "[".repeat(5_000), "]".repeat(5_000));
        for text in [
            &format!("a0: &a0 [x]\n{bomb}"),
            "format: &f countersign/rules/1\nrules: []",
            "format: countersign/rules/1\nformat: countersign/rules/1\nrules: []",
            "format: countersign/rules/1\nrules: []\n---\nformat: x\nrules: []",
            &deep,
            &"#".repeat(BYTES + 1),
            "format: \"a\0\"",
            "rules: [",
        ] {
            assert_eq!(read(text).expect_err("it is refused").len(), 1, "{}", &text[..text.len().min(80)]);
        }
        let fault = &read("format: x\nrules: [").expect_err("it is cut off")[0];
        assert!(fault.message.starts_with("line "), "{}", fault.message);
    }
}
