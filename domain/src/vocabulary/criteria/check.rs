//! From JSON to a checked tree, or to every fault in it.

use regex::RegexBuilder;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::fault::{Fault, Faults};
use super::tree::{Condition, Group, Logic, Node, Operand, Pattern, Scalar};
use crate::error::Code;
use crate::vocabulary::field::{Catalogue, Field};
use crate::vocabulary::kind::{Kind, ValueKind};
use crate::vocabulary::operator::{Arity, Operator};
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::{Span, Timestamp};

/// How large a tree and its operands may be.
pub mod limits {
    /// Groups inside of each other, the root among them.
    pub const DEPTH: usize = 32;
    /// Conditions in a tree.
    pub const LEAVES: usize = 500;
    /// Values of one `in`, `not_in` or `all_in`.
    pub const VALUES: usize = 1_000;
    /// Values of all of them together, so that a statement's parameters stay bounded.
    pub const VALUES_IN_TREE: usize = 10_000;
    /// Bytes of one text value.
    pub const TEXT_BYTES: usize = 4_096;
    /// Characters of one regular expression.
    pub const PATTERN_CHARS: usize = 1_000;
    /// Regular expressions in a tree.
    pub const PATTERNS: usize = 64;
    /// Bytes that one compiled regular expression may take, and again its cache while it searches.
    pub const PATTERN_BYTES: usize = 1 << 20;
}

pub(super) fn read(catalogue: &'static Catalogue, json: &Json) -> Result<Node, Faults> {
    let mut reader =
        Reader { catalogue, faults: Vec::new(), pointer: String::new(), leaves: 0, values: 0, patterns: 0 };
    match reader.node(json, 1) {
        Some(root) if reader.faults.is_empty() => Ok(root),
        _ => Err(Faults(reader.faults)),
    }
}

struct Reader {
    catalogue: &'static Catalogue,
    faults: Vec<Fault>,
    /// Where the reader stands, as a JSON Pointer.
    pointer: String,
    /// What ends a branch: conditions, empty groups and what is neither.
    leaves: usize,
    values: usize,
    patterns: usize,
}

impl Reader {
    fn node(&mut self, json: &Json, depth: usize) -> Option<Node> {
        match json {
            Json::Null => self.empty("There are no conditions."),
            Json::Object(object) if object.is_empty() => self.empty("There are no conditions."),
            Json::Object(object) if object.contains_key("conditions") || object.contains_key("logic") => {
                self.group(object, depth).map(Node::Group)
            }
            Json::Object(object) => self.condition(object).map(Node::Condition),
            other => {
                self.count_leaf()?;
                self.invalid(format!("A group or a condition is an object, not {}.", type_name(other)))
            }
        }
    }

    fn group(&mut self, object: &Map<String, Json>, depth: usize) -> Option<Group> {
        if depth > limits::DEPTH {
            self.count_leaf()?;
            return self
                .fault(Code::CriteriaTooLarge, format!("Groups may lie at most {} deep.", limits::DEPTH));
        }
        self.refuse_unknown_keys(object, &["logic", "conditions"]);
        let logic = self.within("logic", |reader| match object.get("logic") {
            Some(Json::String(word)) => Logic::parse(word)
                .or_else(|| reader.invalid(format!("The logic is AND or OR, not {}.", quoted(word)))),
            Some(other) => reader.invalid(format!("The logic is AND or OR, not {}.", type_name(other))),
            None => reader.invalid("A group needs a logic: AND or OR."),
        });
        let conditions = match object.get("conditions") {
            Some(Json::Array(conditions)) if !conditions.is_empty() => conditions,
            Some(Json::Array(_) | Json::Null) | None => return self.empty("The group has no conditions."),
            Some(other) => {
                self.count_leaf()?;
                let message = format!("The conditions of a group are a list, not {}.", type_name(other));
                return self.within("conditions", |reader| reader.invalid(message));
            }
        };
        let conditions = self.within("conditions", |reader| {
            let mut read = Vec::with_capacity(conditions.len().min(limits::LEAVES));
            for (index, condition) in conditions.iter().enumerate() {
                if reader.leaves > limits::LEAVES {
                    break;
                }
                read.push(reader.within(&index.to_string(), |reader| reader.node(condition, depth + 1)));
            }
            read.into_iter().collect::<Option<Vec<Node>>>()
        })?;
        Some(Group { logic: logic?, conditions })
    }

    fn condition(&mut self, object: &Map<String, Json>) -> Option<Condition> {
        self.count_leaf()?;
        self.refuse_unknown_keys(object, &["field", "operator", "value"]);
        let field = self.within("field", |reader| match object.get("field") {
            Some(Json::String(key)) => reader
                .catalogue
                .position(key)
                .or_else(|| reader.invalid(format!("There is no field {}.", quoted(key)))),
            Some(other) => reader.invalid(format!("The field is a text, not {}.", type_name(other))),
            None => reader.invalid("A condition needs a field."),
        });
        let operator = self.within("operator", |reader| match object.get("operator") {
            Some(Json::String(name)) => Operator::parse(name)
                .or_else(|| reader.invalid(format!("There is no operator {}.", quoted(name)))),
            Some(other) => reader.invalid(format!("The operator is a text, not {}.", type_name(other))),
            None => reader.invalid("A condition needs an operator."),
        });
        let (field, operator) = (field?, operator?);
        let declared = &self.catalogue.fields[field];
        if !operator.fits(declared.kind) {
            let allowed: Vec<&str> = declared.kind.operators().map(Operator::name).collect();
            let message = format!("{} takes {}, not {operator}.", declared.key, allowed.join(", "));
            return self.within("operator", |reader| reader.invalid(message));
        }
        let operand =
            self.within("value", |reader| reader.operand(declared, operator, object.get("value")))?;
        Some(Condition { field, operator, operand })
    }

    fn operand(&mut self, field: &Field, operator: Operator, json: Option<&Json>) -> Option<Operand> {
        let json = json.filter(|json| !json.is_null());
        match (operator.arity(), json) {
            (Arity::None, None) => Some(Operand::Nothing),
            (Arity::None, Some(_)) => self.invalid(format!("{operator} takes no value.")),
            (_, None) => self.invalid(format!("{operator} needs a value.")),
            (Arity::One, Some(json)) => self.scalar(field, operator, json).map(Operand::One),
            (Arity::Many, Some(Json::Array(elements))) => self.scalars(field, operator, elements),
            (Arity::Many, Some(other)) => {
                self.invalid(format!("{operator} needs a list of values, not {}.", type_name(other)))
            }
        }
    }

    fn scalars(&mut self, field: &Field, operator: Operator, elements: &[Json]) -> Option<Operand> {
        if elements.is_empty() {
            return self.invalid("An empty list would match everything or nothing.");
        }
        self.values += elements.len();
        if elements.len() > limits::VALUES {
            let message = format!("A list may have at most {} values.", limits::VALUES);
            return self.fault(Code::CriteriaTooLarge, message);
        }
        if self.values > limits::VALUES_IN_TREE {
            let message = format!("All lists together may have at most {} values.", limits::VALUES_IN_TREE);
            return self.fault(Code::CriteriaTooLarge, message);
        }
        let read: Vec<Option<Scalar>> = elements
            .iter()
            .enumerate()
            .map(|(index, json)| {
                self.within(&index.to_string(), |reader| reader.scalar(field, operator, json))
            })
            .collect();
        read.into_iter().collect::<Option<_>>().map(Operand::Many)
    }

    fn scalar(&mut self, field: &Field, operator: Operator, json: &Json) -> Option<Scalar> {
        let value_kind = operator.value_kind(field.kind);
        match (value_kind, json) {
            (ValueKind::Number, Json::Number(number)) => {
                // serde_json reads finite numbers alone; the check holds for numbers made otherwise.
                let number = number.as_f64().filter(|number| number.is_finite());
                number.map(Scalar::Number).or_else(|| self.invalid("A number has to be finite."))
            }
            (ValueKind::Bool, Json::Bool(bool)) => Some(Scalar::Bool(*bool)),
            (ValueKind::Number | ValueKind::Bool | ValueKind::Nothing, other) => {
                self.wrong_type(field, operator, value_kind, other)
            }
            (_, Json::String(text)) => self.text_scalar(field.kind, value_kind, text),
            (_, other) => self.wrong_type(field, operator, value_kind, other),
        }
    }

    fn wrong_type(
        &mut self,
        field: &Field,
        operator: Operator,
        expected: ValueKind,
        found: &Json,
    ) -> Option<Scalar> {
        let expected = expectation(expected);
        self.invalid(format!("{} {operator} needs {expected}, not {}.", field.key, type_name(found)))
    }

    /// A value that is written as a JSON text.
    fn text_scalar(&mut self, kind: Kind, value_kind: ValueKind, text: &str) -> Option<Scalar> {
        if text.is_empty() {
            return self.invalid("An empty text matches nothing: ask for is_empty or is_not_empty.");
        }
        if text.len() > limits::TEXT_BYTES {
            let message = format!("A text may have at most {} bytes.", limits::TEXT_BYTES);
            return self.fault(Code::CriteriaTooLarge, message);
        }
        if text.contains('\0') {
            return self.invalid("No text has the character U+0000 in it.");
        }
        match value_kind {
            ValueKind::Pattern => self.pattern(text),
            ValueKind::Time => match Timestamp::parse(text) {
                Some(at) => Some(Scalar::Time { at, written: text.to_owned() }),
                None => self.invalid(format!("{} is not an RFC 3339 time or date.", quoted(text))),
            },
            ValueKind::Span => match Span::parse(text) {
                Some(span) => Some(Scalar::Span { span, written: text.to_owned() }),
                None => {
                    self.invalid(format!("{} is not a span such as 30s, 5m, 2h, 7d or 4w.", quoted(text)))
                }
            },
            ValueKind::Word => match kind.choices().find(|choice| choice.value.eq_ignore_ascii_case(text)) {
                Some(choice) => Some(Scalar::Word { code: choice.rank, word: choice.value }),
                None => self.invalid(format!("{} is none of {}.", quoted(text), kind.words().join(", "))),
            },
            ValueKind::Reference => match Uuid::parse_str(text) {
                Ok(id) => Some(Scalar::Uuid(id)),
                Err(_) => self.invalid(format!("{} is not an id.", quoted(text))),
            },
            ValueKind::Text | ValueKind::Code | ValueKind::Number | ValueKind::Bool | ValueKind::Nothing => {
                Some(Scalar::Text(text.to_owned()))
            }
        }
    }

    fn pattern(&mut self, text: &str) -> Option<Scalar> {
        self.patterns += 1;
        if self.patterns > limits::PATTERNS {
            let message = format!("A tree may have at most {} regular expressions.", limits::PATTERNS);
            return self.fault(Code::CriteriaTooLarge, message);
        }
        if text.chars().count() > limits::PATTERN_CHARS {
            let message =
                format!("A regular expression may have at most {} characters.", limits::PATTERN_CHARS);
            return self.fault(Code::CriteriaTooLarge, message);
        }
        match RegexBuilder::new(text)
            .size_limit(limits::PATTERN_BYTES)
            .dfa_size_limit(limits::PATTERN_BYTES)
            .build()
        {
            Ok(regex) => Some(Scalar::Pattern(Pattern(regex))),
            Err(regex::Error::CompiledTooBig(_)) => {
                self.fault(Code::CriteriaTooLarge, "The regular expression is too large once compiled.")
            }
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.invalid(format!("The regular expression cannot be read: {reason}."))
            }
        }
    }

    fn refuse_unknown_keys(&mut self, object: &Map<String, Json>, known: &[&str]) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let message = format!("There is no key {} here: known are {}.", quoted(key), known.join(", "));
            self.within(key, |reader| reader.invalid::<()>(message));
        }
    }

    /// Counts what ends a branch; `None` once there are too many, of which only the first is told.
    fn count_leaf(&mut self) -> Option<()> {
        self.leaves += 1;
        if self.leaves <= limits::LEAVES {
            return Some(());
        }
        if self.leaves == limits::LEAVES + 1 {
            let message = format!("A tree may have at most {} conditions.", limits::LEAVES);
            self.faults.push(Fault { pointer: String::new(), code: Code::CriteriaTooLarge, message });
        }
        None
    }

    fn within<T>(&mut self, part: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        let read = read(self);
        self.pointer.truncate(outer);
        read
    }

    fn empty<T>(&mut self, message: &str) -> Option<T> {
        self.count_leaf()?;
        self.fault(Code::CriteriaEmpty, message)
    }

    fn invalid<T>(&mut self, message: impl Into<String>) -> Option<T> {
        self.fault(Code::CriteriaInvalid, message)
    }

    fn fault<T>(&mut self, code: Code, message: impl Into<String>) -> Option<T> {
        self.faults.push(Fault { pointer: self.pointer.clone(), code, message: message.into() });
        None
    }
}

fn type_name(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn expectation(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Nothing => "no value",
        ValueKind::Text => "a text",
        ValueKind::Pattern => "a regular expression as a text",
        ValueKind::Number => "a number",
        ValueKind::Bool => "true or false",
        ValueKind::Time => "an RFC 3339 time as a text",
        ValueKind::Span => "a span as a text, such as 7d",
        ValueKind::Word => "one of the field's words",
        ValueKind::Reference => "an id as a text",
        ValueKind::Code => "a code as a text",
    }
}

/// What the caller wrote, cut to what a message can bear.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::vocabulary::field::finding::FINDING;

    fn faults(json: &Json) -> Vec<(String, Code)> {
        match read(&FINDING, json) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.into_vec().into_iter().map(|fault| (fault.pointer, fault.code)).collect(),
        }
    }

    fn nested(groups: usize) -> Json {
        let mut tree = json!({ "field": "severity", "operator": "eq", "value": "high" });
        for _ in 0..groups {
            tree = json!({ "logic": "AND", "conditions": [tree] });
        }
        tree
    }

    fn wide(leaves: usize) -> Json {
        let leaf = json!({ "field": "severity", "operator": "eq", "value": "high" });
        json!({ "logic": "OR", "conditions": vec![leaf; leaves] })
    }

    #[test]
    fn every_fault_is_told_at_its_place() {
        let tree = json!({ "logic": "XOR", "conditions": [
            { "field": "severty", "operator": "eq", "value": "high" },
            { "field": "title", "operator": "gt", "value": "a" },
            { "field": "severity", "operator": "in", "value": ["high", "hgih", 3] },
            { "logic": "and", "conditions": [] },
            { "field": "cvss_score", "operator": "GTE", "value": "7" },
            { "field": "tags", "operator": "is_empty", "value": "x" },
            { "field": "due_at", "operator": "older_than", "value": "7 days" },
            { "field": "title", "operator": "matches_regex", "value": "(" },
            { "field": "title", "operator": "eq", "value": "a", "a/b~c": 1 },
            "severity", {}, null,
            { "field": "title", "operator": "eq" },
            { "field": "title", "operator": "eq", "value": "" },
            { "field": "tags", "operator": "all_in", "value": [] },
            { "field": "project", "operator": "eq", "value": "mine" },
            { "field": "title", "operator": "contains", "value": "a\u{0}b" },
        ] });
        use Code::{CriteriaEmpty as Empty, CriteriaInvalid as Invalid};
        let expected = [
            ("/logic", Invalid),
            ("/conditions/0/field", Invalid),
            ("/conditions/1/operator", Invalid),
            ("/conditions/2/value/1", Invalid),
            ("/conditions/2/value/2", Invalid),
            ("/conditions/3", Empty),
            ("/conditions/4/value", Invalid),
            ("/conditions/5/value", Invalid),
            ("/conditions/6/value", Invalid),
            ("/conditions/7/value", Invalid),
            ("/conditions/8/a~1b~0c", Invalid),
            ("/conditions/9", Invalid),
            ("/conditions/10", Empty),
            ("/conditions/11", Empty),
            ("/conditions/12/value", Invalid),
            ("/conditions/13/value", Invalid),
            ("/conditions/14/value", Invalid),
            ("/conditions/15/value", Invalid),
            ("/conditions/16/value", Invalid),
        ];
        let found = faults(&tree);
        assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));

        let error: crate::error::Error = read(&FINDING, &tree).expect_err("it is full of faults").into();
        assert_eq!(error.field, ["logic"]);
        assert_eq!(error.details["faults"].as_array().map(Vec::len), Some(expected.len()));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        assert!(faults(&nested(limits::DEPTH)).is_empty());
        let deep = faults(&nested(limits::DEPTH + 1));
        assert_eq!(deep, [("/conditions/0".repeat(limits::DEPTH), Code::CriteriaTooLarge)]);
        let crowd = json!({ "logic": "AND", "conditions": vec![nested(limits::DEPTH); 2_000] });
        assert_eq!(faults(&crowd).len(), limits::LEAVES + 1);
        assert!(faults(&wide(limits::LEAVES)).is_empty());
        assert_eq!(faults(&wide(limits::LEAVES + 1)), [(String::new(), Code::CriteriaTooLarge)]);
        assert_eq!(faults(&wide(100_000)).len(), 1);
        let empties = json!({ "logic": "AND", "conditions": vec![json!({}); 100_000] });
        assert_eq!(faults(&empties).len(), limits::LEAVES + 1);
    }

    #[test]
    fn operands_are_bounded() {
        let leaf = |field: &str, operator: &str, value: Json| json!({ "field": field, "operator": operator, "value": value });
        let listed = |count: usize| leaf("title", "in", json!(vec!["a"; count]));
        let all = |leaf: Json, count: usize| json!({ "logic": "OR", "conditions": vec![leaf; count] });
        let accepted = [
            listed(limits::VALUES),
            leaf("title", "eq", json!("a".repeat(limits::TEXT_BYTES))),
            leaf("title", "matches_regex", json!("a".repeat(limits::PATTERN_CHARS))),
            leaf("title", "matches_regex", json!(r"(?i)\bCVE-\d{4}-\d{4,7}\b|[A-Z]{2,10}-\w{1,12}")),
            all(listed(limits::VALUES), limits::VALUES_IN_TREE / limits::VALUES),
            all(leaf("title", "matches_regex", json!("a")), limits::PATTERNS),
        ];
        for tree in &accepted {
            assert_eq!(faults(tree), []);
        }
        let refused = [
            listed(limits::VALUES + 1),
            leaf("title", "eq", json!("a".repeat(limits::TEXT_BYTES + 1))),
            leaf("title", "matches_regex", json!("a".repeat(limits::PATTERN_CHARS + 1))),
            leaf("title", "matches_regex", json!(r"(\w{100}){100}")),
            all(listed(limits::VALUES), limits::VALUES_IN_TREE / limits::VALUES + 1),
            all(leaf("title", "matches_regex", json!("a")), limits::PATTERNS + 1),
        ];
        for tree in &refused {
            let codes: Vec<Code> = faults(tree).into_iter().map(|(_, code)| code).collect();
            assert_eq!(codes, [Code::CriteriaTooLarge]);
        }
    }

    #[test]
    fn spelling_is_taken_in_any_case_and_kept_as_declared() {
        let tree = json!({ "logic": "or", "conditions": [
            { "field": "severity", "operator": "GTE_ORD", "value": "HIGH" },
            { "field": "status", "operator": "Eq", "value": "open" },
            { "field": "cvss_score", "operator": "in", "value": [7, 7.5] },
            { "field": "due_at", "operator": "within_last", "value": "14d" },
            { "field": "tags", "operator": "IS_EMPTY", "value": null },
        ] });
        let criteria = crate::vocabulary::criteria::Criteria::parse(&FINDING, &tree);
        let written = criteria.map(|criteria| criteria.to_json());
        assert_eq!(
            written,
            Ok(json!({ "logic": "OR", "conditions": [
                { "field": "severity", "operator": "gte_ord", "value": "high" },
                { "field": "status", "operator": "eq", "value": "OPEN" },
                { "field": "cvss_score", "operator": "in", "value": [7, 7.5] },
                { "field": "due_at", "operator": "within_last", "value": "14d" },
                { "field": "tags", "operator": "is_empty" },
            ] }))
        );
    }
}
