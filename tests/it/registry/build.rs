//! Rules made of what the registry says over the wire, and of nothing else.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::text;

/// Random numbers that come out the same every time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x0123_4567_89AB_CDEF)
    }

    /// The next of splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn word(&mut self, most: usize) -> String {
        let length = 1 + self.below(most);
        (0..length).map(|_| *self.one(b"abcdeXYZ019 -_%'\"\\") as char).collect::<String>().replace(' ', "x")
    }
}

/// What the server said.
pub struct Registry {
    told: Json,
    /// Values that were found for fields, by their paths.
    found: BTreeMap<String, Vec<Json>>,
}

/// The ways in which a rule leaves the registry's words.
pub const WAYS: &[&str] = &[
    "a field that is none",
    "an operator of another field",
    "an operator that is none",
    "a value of another type",
    "a word that is no option",
    "an empty list",
    "an empty group",
    "too deep",
    "too many conditions",
    "too many values",
    "a text too long",
    "a pattern too long",
    "a logic that is none",
    "a key that is none",
    "an action that is none",
    "a member that is none",
    "a member too few",
    "a member of another type",
    "a member too long",
    "a name too long",
    "no name",
];

impl Registry {
    pub fn new(told: Json) -> Self {
        Self { told, found: BTreeMap::new() }
    }

    fn fields(&self) -> &[Json] {
        self.told["fields"].as_array().unwrap()
    }

    fn limit(&self, name: &str) -> usize {
        usize::try_from(self.told["limits"][name].as_u64().unwrap()).unwrap()
    }

    /// The fields of references and codes, and how their values are found.
    pub fn searches(&self) -> Vec<(String, Json)> {
        let searched = self.fields().iter().filter(|field| field["search"]["argument"] == "source");
        searched.map(|field| (text(&field["path"]).to_owned(), field["search"].clone())).collect()
    }

    pub fn found(&mut self, field: &str, values: Vec<Json>) {
        self.found.insert(field.to_owned(), values);
    }

    pub fn known(&self, field: &str) -> &[Json] {
        self.found.get(field).map_or(&[], Vec::as_slice)
    }

    /// A rule in order. What it demands of a text keeps it from holding for everything.
    pub fn rule(&self, dice: &mut Dice) -> Json {
        let texts: Vec<&Json> = self.fields().iter().filter(|field| field["kind"] == "TEXT").collect();
        let field = dice.one(&texts);
        let operator = operators(field).iter().find(|operator| operator["key"] == "eq").unwrap();
        let first = self.leaf_of(dice, field, operator);
        let second = match dice.below(20) {
            0 => nested(self.leaf(dice), self.limit("depth") - 1),
            1 => {
                let plain =
                    |operator: &Json| operator["arity"] == "ONE" && operator["valueKind"] != "PATTERN";
                let leaf = self.leaf_where(dice, |_, operator| plain(operator));
                json!({ "logic": "OR", "conditions": vec![leaf; self.limit("conditions") - 1] })
            }
            _ => self.tree(dice, 4),
        };
        let name = dice.word(self.limit("nameBytes"));
        json!({ "name": name, "order": dice.below(1_000), "action": self.action(dice),
                "criteria": { "logic": "AND", "conditions": [first, second] } })
    }

    fn tree(&self, dice: &mut Dice, depth: usize) -> Json {
        if depth == 0 || dice.below(3) == 0 {
            return self.leaf(dice);
        }
        let conditions: Vec<Json> = (0..=dice.below(3)).map(|_| self.tree(dice, depth - 1)).collect();
        let logic = &dice.one(self.told["logics"].as_array().unwrap())["key"];
        json!({ "logic": logic, "conditions": conditions })
    }

    fn leaf(&self, dice: &mut Dice) -> Json {
        let field = dice.one(self.fields());
        let operator = dice.one(operators(field));
        self.leaf_of(dice, field, operator)
    }

    fn leaf_of(&self, dice: &mut Dice, field: &Json, operator: &Json) -> Json {
        let mut leaf = json!({ "field": field["path"], "operator": operator["key"] });
        if operator["arity"] != "NONE" {
            let kind = text(&operator["valueKind"]);
            leaf["value"] = self.value(dice, &operator["valueSchema"], kind, text(&field["path"]));
        }
        leaf
    }

    fn action(&self, dice: &mut Dice) -> Json {
        let action = dice.one(self.told["actions"].as_array().unwrap());
        let config = self.value(dice, &action["configSchema"], "", "");
        json!({ "type": action["key"], "config": config })
    }

    /// A value that a schema allows; of references, one that was found.
    fn value(&self, dice: &mut Dice, schema: &Json, kind: &str, field: &str) -> Json {
        let field = schema["x-field"].as_str().unwrap_or(field);
        if let Some(words) = schema["enum"].as_array() {
            return dice.one(words).clone();
        }
        match text(&schema["type"]) {
            "object" => self.object(dice, schema),
            "array" => {
                let (least, most) =
                    (schema["minItems"].as_u64().unwrap_or(0), schema["maxItems"].as_u64().unwrap());
                let count = usize::try_from(least.max(1).min(most)).unwrap() + dice.below(4);
                (0..count).map(|_| self.value(dice, &schema["items"], kind, field)).collect()
            }
            "number" => json!(i64::try_from(dice.below(2_000)).unwrap() - 1_000),
            "boolean" => json!(dice.below(2) == 0),
            _ => match (kind, schema["format"].as_str()) {
                (_, Some("uuid")) if !self.known(field).is_empty() => dice.one(self.known(field)).clone(),
                (_, Some("uuid")) => json!("01938e2a-7c00-7000-8000-000000000009"),
                (_, Some("date-time")) | ("TIME", _) => {
                    json!(format!("20{:02}-11-21T08:00:00Z", 10 + dice.below(80)))
                }
                ("SPAN", _) => {
                    json!(format!("{}{}", dice.below(1_000), dice.one(&["s", "m", "h", "d", "w"])))
                }
                ("PATTERN", _) => json!(dice.word(30).replace('\\', "z")),
                _ => {
                    let most = usize::try_from(schema["maxLength"].as_u64().unwrap()).unwrap();
                    let most = if dice.below(50) == 0 { most } else { most.min(12) };
                    json!(dice.word(most))
                }
            },
        }
    }

    /// What is required, and by chance what is not; of those members of which one has to be there, one.
    fn object(&self, dice: &mut Dice, schema: &Json) -> Json {
        let ways = schema["anyOf"].as_array().filter(|ways| !ways.is_empty());
        let way = ways.map(|ways| dice.one(ways).clone()).unwrap_or_default();
        let required: Vec<&str> =
            [schema, &way].iter().flat_map(|of| of["required"].as_array()).flatten().map(text).collect();
        let mut object = Map::new();
        for (name, member) in schema["properties"].as_object().unwrap() {
            if required.contains(&name.as_str()) || dice.below(2) == 0 {
                object.insert(name.clone(), self.value(dice, member, "", ""));
            }
        }
        object.into()
    }

    /// Criteria as they are put in words, from what the registry says of fields, operators and groups.
    pub fn sentence(&self, criteria: &Json) -> String {
        self.put(criteria, true)
    }

    fn put(&self, node: &Json, outermost: bool) -> String {
        let Some(conditions) = node["conditions"].as_array() else { return self.put_leaf(node) };
        let alone = conditions.len() == 1;
        let parts: Vec<String> = conditions.iter().map(|one| self.put(one, outermost && alone)).collect();
        let joined = parts.join(&format!(" {} ", text(&node["logic"])));
        if outermost || alone { joined } else { format!("({joined})") }
    }

    fn put_leaf(&self, leaf: &Json) -> String {
        let field = self.fields().iter().find(|field| field["path"] == leaf["field"]).unwrap();
        let operator = operators(field).iter().find(|operator| operator["key"] == leaf["operator"]).unwrap();
        let quoted = operator["quoted"] == true;
        let one = |value: &Json| match value {
            Json::String(bare) if !quoted => bare.clone(),
            other => other.to_string(),
        };
        let value = match &leaf["value"] {
            Json::Array(many) => {
                let shown = self.limit("valuesInSentence");
                let named: Vec<String> = many.iter().take(shown).map(one).collect();
                let rest = many.len().saturating_sub(shown);
                let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
                named.join(", ") + &rest
            }
            single => one(single),
        };
        let (before, after) =
            text(&operator["sentence"]).split_once("{value}").unwrap_or((text(&operator["sentence"]), ""));
        let before = before.replace("{field}", text(&field["phrase"]));
        if leaf["value"].is_null() { before } else { format!("{before}{value}{after}") }
    }

    /// The rule, broken in one of the ways, with the place of the fault.
    pub fn broken(&self, dice: &mut Dice, mut rule: Json, round: u64) -> (Json, String, &'static str) {
        let how = WAYS[usize::try_from(round).unwrap() % WAYS.len()];
        // What is broken is the second condition; the first one is whole.
        let at = "/criteria/conditions/1";
        let leaf = match how {
            "a word that is no option" => self.leaf_where(dice, |field, operator| {
                !field["options"].as_array().unwrap().is_empty() && operator["arity"] == "ONE"
            }),
            "an empty list" | "too many values" => {
                self.leaf_where(dice, |_, operator| operator["arity"] == "MANY")
            }
            "a text too long" => self.leaf_where(dice, |_, operator| {
                operator["valueKind"] == "TEXT" && operator["arity"] == "ONE"
            }),
            "a pattern too long" => self.leaf_where(dice, |_, operator| operator["valueKind"] == "PATTERN"),
            _ => self.leaf(dice),
        };
        let below = |member: &str| format!("{at}/{member}");
        let (broken, place) = match how {
            "a field that is none" => (with(leaf, "field", json!("nothing")), below("field")),
            "an operator of another field" => {
                let field = self.fields().iter().find(|field| field["path"] == leaf["field"]).unwrap();
                let own: Vec<&str> = operators(field).iter().map(|operator| text(&operator["key"])).collect();
                let all = self.told["operators"].as_array().unwrap();
                let others: Vec<&Json> = all.iter().filter(|one| !own.contains(&text(&one["key"]))).collect();
                (with(leaf, "operator", dice.one(&others)["key"].clone()), below("operator"))
            }
            "an operator that is none" => (with(leaf, "operator", json!("like")), below("operator")),
            "a value of another type" => (with(leaf, "value", json!({ "a": 1 })), below("value")),
            "a word that is no option" => (with(leaf, "value", json!("no option")), below("value")),
            "an empty list" => (with(leaf, "value", json!([])), below("value")),
            "an empty group" => (json!({ "logic": "OR", "conditions": [] }), at.to_owned()),
            "too deep" => (
                nested(leaf, self.limit("depth")),
                format!("{at}{}", "/conditions/0".repeat(self.limit("depth") - 1)),
            ),
            "too many conditions" => {
                let many = vec![leaf; self.limit("conditions")];
                (json!({ "logic": "OR", "conditions": many }), "/criteria".to_owned())
            }
            "too many values" => {
                let one = leaf["value"][0].clone();
                (with(leaf, "value", json!(vec![one; self.limit("values") + 1])), below("value"))
            }
            "a text too long" => {
                (with(leaf, "value", json!("a".repeat(self.limit("textBytes") + 1))), below("value"))
            }
            "a pattern too long" => {
                (with(leaf, "value", json!("a".repeat(self.limit("patternCharacters") + 1))), below("value"))
            }
            "a logic that is none" => (json!({ "logic": "XOR", "conditions": [leaf] }), below("logic")),
            "a key that is none" => (with(leaf, "extra", json!(1)), below("extra")),
            "no name" => return (with(rule, "name", json!(" ")), "/name".to_owned(), how),
            "a name too long" => {
                let name = "n".repeat(self.limit("nameBytes") + 1);
                return (with(rule, "name", json!(name)), "/name".to_owned(), how);
            }
            _ => {
                let (action, place) = self.broken_action(dice, how);
                return (with(rule, "action", action), place, how);
            }
        };
        rule["criteria"]["conditions"][1] = broken;
        (rule, place, how)
    }

    fn leaf_where(&self, dice: &mut Dice, wanted: impl Fn(&Json, &Json) -> bool) -> Json {
        loop {
            let field = dice.one(self.fields());
            let operator = dice.one(operators(field));
            if wanted(field, operator) {
                return self.leaf_of(dice, field, operator);
            }
        }
    }

    fn broken_action(&self, dice: &mut Dice, how: &str) -> (Json, String) {
        let actions = self.told["actions"].as_array().unwrap();
        if how == "an action that is none" {
            return (json!({ "type": "explode", "config": {} }), "/action/type".to_owned());
        }
        loop {
            let action = dice.one(actions);
            let schema = &action["configSchema"];
            let mut config = self.value(dice, schema, "", "");
            let members: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
            let required: Vec<&str> = schema["required"].as_array().unwrap().iter().map(text).collect();
            let whole = |config: Json| json!({ "type": action["key"], "config": config });
            let place = |member: &str| format!("/action/config/{member}");
            match how {
                "a member that is none" => {
                    config["extra"] = json!(1);
                    return (whole(config), place("extra"));
                }
                "a member too few" if !required.is_empty() => {
                    let member = dice.one(&required).to_string();
                    config.as_object_mut().unwrap().remove(&member);
                    return (whole(config), place(&member));
                }
                "a member of another type" if !members.is_empty() => {
                    let member = dice.one(&members);
                    config[member.as_str()] = json!(7);
                    return (whole(config), place(member));
                }
                "a member too long" if !members.is_empty() => {
                    let member = dice.one(&members);
                    let schema = &schema["properties"][member.as_str()];
                    let more = |most: &Json| usize::try_from(most.as_u64().unwrap()).unwrap() + 1;
                    if !schema["maxLength"].is_null() {
                        config[member.as_str()] = json!("a".repeat(more(&schema["maxLength"])));
                        return (whole(config), place(member));
                    }
                    if !schema["maxItems"].is_null() {
                        let element = self.value(dice, &schema["items"], "", "");
                        config[member.as_str()] = json!(vec![element; more(&schema["maxItems"])]);
                        return (whole(config), place(member));
                    }
                }
                _ => {}
            }
        }
    }
}

fn operators(field: &Json) -> &[Json] {
    field["operators"].as_array().unwrap()
}

fn with(mut json: Json, member: &str, value: Json) -> Json {
    json[member] = value;
    json
}

/// The leaf inside of so many groups.
fn nested(leaf: Json, groups: usize) -> Json {
    (0..groups).fold(leaf, |inner, _| json!({ "logic": "AND", "conditions": [inner] }))
}
