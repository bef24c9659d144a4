//! JSON Schema, as much of it as the schemas of this product use: what a schema that is shown to
//! clients refuses is what the server refuses, at the place of the fault.

use regex::Regex;
use serde_json::Value as Json;
use uuid::Uuid;

use super::criteria::Fault;
use super::time::Timestamp;
use crate::error::Code;

/// Everything in `value` that `schema` does not allow, with its place.
pub fn faults(schema: &Json, value: &Json) -> Vec<Fault> {
    let mut reader = Reader { pointer: String::new(), faults: Vec::new() };
    reader.read(schema, value);
    reader.faults
}

struct Reader {
    /// Where the reader stands, as a JSON Pointer.
    pointer: String,
    faults: Vec<Fault>,
}

impl Reader {
    fn read(&mut self, schema: &Json, value: &Json) {
        if let Some(kind) = schema["type"].as_str()
            && kind != type_of(value)
        {
            return self.invalid(format!("This is {}, not {}.", article(kind), article(type_of(value))));
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.iter().any(|word| same(word, value))
        {
            let words: Vec<String> = words.iter().map(bare).collect();
            return self.invalid(format!("This is one of {}.", words.join(", ")));
        }
        match value {
            Json::Object(members) => self.object(schema, value, members),
            Json::Array(elements) => self.array(schema, elements),
            Json::String(text) => self.text(schema, text),
            _ => {}
        }
        if let Some(ways) = schema["anyOf"].as_array() {
            self.any_of(ways, value);
        }
    }

    fn object(&mut self, schema: &Json, value: &Json, members: &serde_json::Map<String, Json>) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if value.get(name).is_none_or(Json::is_null) {
                self.within(name, |reader| reader.fault(Code::Required, format!("`{name}` is missing.")));
            }
        }
        let properties = schema["properties"].as_object();
        let closed = schema["additionalProperties"] == false;
        for (name, member) in members {
            match properties.and_then(|properties| properties.get(name)) {
                // What may be left out may be null.
                Some(_) if member.is_null() => {}
                Some(schema) => self.within(name, |reader| reader.read(schema, member)),
                None if closed => self.within(name, |reader| {
                    let known: Vec<&str> =
                        properties.into_iter().flat_map(|all| all.keys()).map(String::as_str).collect();
                    reader
                        .invalid(format!("There is no member `{name}` here: known are {}.", listed(&known)));
                }),
                None => {}
            }
        }
    }

    fn array(&mut self, schema: &Json, elements: &[Json]) {
        let bound = |name: &str| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok());
        if bound("minItems").is_some_and(|least| elements.len() < least) {
            self.fault(Code::Required, "Give at least one.".to_owned());
        }
        if let Some(most) = bound("maxItems").filter(|most| elements.len() > *most) {
            return self.invalid(format!("At most {most}."));
        }
        if let Some(items) = schema.get("items") {
            for (at, element) in elements.iter().enumerate() {
                self.within(&at.to_string(), |reader| reader.read(items, element));
            }
        }
    }

    fn text(&mut self, schema: &Json, text: &str) {
        let length = text.chars().count() as u64;
        let (least, most) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
        if least.is_some_and(|least| length < least) || most.is_some_and(|most| length > most) {
            let (least, most) = (least.unwrap_or(0), most.unwrap_or(u64::MAX));
            return self.invalid(format!("A text of {least} to {most} characters."));
        }
        let pattern = schema["pattern"].as_str().and_then(|pattern| Regex::new(pattern).ok());
        if pattern.is_some_and(|pattern| !pattern.is_match(text)) {
            return self.invalid("A text that does not only consist of spaces.".to_owned());
        }
        match schema["format"].as_str() {
            Some("uuid") if Uuid::parse_str(text).is_err() => self.invalid("This is not an id.".to_owned()),
            Some("date-time") if Timestamp::parse(text).is_none() => {
                self.invalid("This is not an RFC 3339 time.".to_owned());
            }
            _ => {}
        }
    }

    /// Where no way is open, the first one says what is missing.
    fn any_of(&mut self, ways: &[Json], value: &Json) {
        let mut first = None;
        for way in ways {
            let mut reader = Self { pointer: self.pointer.clone(), faults: Vec::new() };
            reader.read(way, value);
            match reader.faults.into_iter().next() {
                None => return,
                fault => first = first.or(fault),
            }
        }
        self.faults.extend(first);
    }

    fn within(&mut self, part: &str, read: impl FnOnce(&mut Self)) {
        let outer = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        read(self);
        self.pointer.truncate(outer);
    }

    fn invalid(&mut self, message: String) {
        self.fault(Code::Invalid, message);
    }

    fn fault(&mut self, code: Code, message: String) {
        self.faults.push(Fault { pointer: self.pointer.clone(), code, message });
    }
}

/// Words are read in any case, as everywhere.
fn same(word: &Json, value: &Json) -> bool {
    match (word, value) {
        (Json::String(word), Json::String(value)) => word.eq_ignore_ascii_case(value),
        _ => word == value,
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn bare(word: &Json) -> String {
    word.as_str().map_or_else(|| word.to_string(), str::to_owned)
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn article(kind: &str) -> &'static str {
    match kind {
        "boolean" => "true or false",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "an object",
        _ => "null",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_keyword_refuses_at_its_place() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["word"],
            "properties": {
                "word": { "enum": ["a", "b"] },
                "text": { "type": "string", "minLength": 1, "maxLength": 3, "pattern": r"\S" },
                "ids": { "type": "array", "minItems": 1, "maxItems": 2, "items": { "type": "string", "format": "uuid" } },
                "at": { "type": "string", "format": "date-time" },
            },
            "anyOf": [{ "required": ["text"] }, { "required": ["ids"] }],
        });
        let id = "01938e2a-7c00-7000-8000-000000000001";
        let cases = [
            (json!({ "word": "a", "text": "é日本" }), vec![]),
            (json!({ "word": "b", "ids": [id], "text": null }), vec![]),
            (json!({ "word": "a", "text": "x", "at": "2026-11-21T08:00:00Z" }), vec![]),
            (json!([]), vec![""]),
            (json!({ "text": "x" }), vec!["/word"]),
            (json!({ "word": "c", "text": "x" }), vec!["/word"]),
            (json!({ "word": "a" }), vec!["/text"]),
            (json!({ "word": "a", "text": "abcd", "a/b": 1 }), vec!["/a~1b", "/text"]),
            (json!({ "word": "a", "text": "  " }), vec!["/text"]),
            (json!({ "word": "a", "ids": ["x", 1] }), vec!["/ids/0", "/ids/1"]),
            (json!({ "word": "a", "ids": [] }), vec!["/ids"]),
            (json!({ "word": "a", "ids": [id, id, id] }), vec!["/ids"]),
            (json!({ "word": "a", "text": "x", "at": "soon" }), vec!["/at"]),
        ];
        for (value, expected) in cases {
            let mut found: Vec<String> = faults(&schema, &value).into_iter().map(|f| f.pointer).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{value}");
        }
    }
}
