//! The walk of answers against the library's own executor: random selections of the real schema, with
//! fragments, aliases, merged fields, `@skip` and `@include`, answered alike to the byte. Where the
//! library departs from the specification (the order of keys, failed fields, objects without fields),
//! the expectation is worked out from the document or stated.

use std::collections::BTreeMap;
use std::fmt::Write;

use api::graphql::walk::Stock;
use api::graphql::{Schema, data, schema};
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{PathSegment, Request, Response, Value, Variables};
use domain::access::{Actor, Role};
use domain::finding::edit::Edit;
use serde_json::{Value as Json, json};

use support::{World, on_both};

on_both!(
    random_selections_are_answered_as_the_library_answers_them,
    what_fails_is_null_up_to_where_it_can_be
);

/// How many selections are tried, if `PROPTEST_CASES` does not say.
const CASES: u64 = 120;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("it is below a usize")
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// What the schema says of a field.
struct FieldType {
    /// The named type at the bottom.
    of: String,
    /// It takes `first`.
    pages: bool,
}

/// What the schema says of types with fields.
struct Types {
    fields: BTreeMap<String, BTreeMap<String, FieldType>>,
    /// The types that an interface or union can be.
    possible: BTreeMap<String, Vec<String>>,
}

impl Types {
    async fn of(schema: &Schema) -> Self {
        let wrapped = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
        let asked = format!(
            "{{ __schema {{ types {{ name kind possibleTypes {{ name }} fields(includeDeprecated: true) {{
            name type {{ {wrapped} }} args {{ name defaultValue type {{ kind }} }} }} }} }} }}"
        );
        let answer = data(&schema.execute(asked).await);
        let mut types = Self { fields: BTreeMap::new(), possible: BTreeMap::new() };
        for kind in answer["__schema"]["types"].as_array().expect("types") {
            let name = kind["name"].as_str().expect("a name").to_owned();
            if name.starts_with("__") {
                continue;
            }
            let fields = kind["fields"].as_array().into_iter().flatten().filter_map(|field| {
                let args = field["args"].as_array()?;
                let needed = |arg: &&Json| arg["type"]["kind"] == "NON_NULL" && arg["defaultValue"].is_null();
                if args.iter().any(|arg| needed(&arg)) {
                    return None;
                }
                let mut of = &field["type"];
                while !of["ofType"].is_null() {
                    of = &of["ofType"];
                }
                let pages = args.iter().any(|arg| arg["name"] == "first");
                Some((
                    field["name"].as_str()?.to_owned(),
                    FieldType { of: of["name"].as_str()?.to_owned(), pages },
                ))
            });
            let fields: BTreeMap<_, _> = fields.collect();
            if !fields.is_empty() {
                types.fields.insert(name.clone(), fields);
            }
            let possible = kind["possibleTypes"].as_array().into_iter().flatten();
            let possible: Vec<_> = possible.filter_map(|of| of["name"].as_str().map(str::to_owned)).collect();
            if !possible.is_empty() {
                types.possible.insert(name, possible);
            }
        }
        types
    }

    fn is_composite(&self, name: &str) -> bool {
        self.fields.contains_key(name) || self.possible.contains_key(name)
    }

    fn is_a(&self, name: &str, condition: &str) -> bool {
        name == condition
            || self.possible.get(condition).is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
    }
}

/// Writes a random query.
struct Author<'t> {
    types: &'t Types,
    dice: Dice,
    fragments: Vec<String>,
}

impl Author<'_> {
    fn query(types: &Types, seed: u64) -> String {
        let mut author = Author { types, dice: Dice(seed), fragments: Vec::new() };
        let set = author.set("Query", 5);
        // A variable that nothing uses is no valid document.
        let used = "... @include(if: $yes) @skip(if: $no) { __typename }";
        let mut query = format!("query($yes: Boolean!, $no: Boolean! = false) {{ {used} {}", &set[1..]);
        author.fragments.iter().for_each(|fragment| query.push_str(fragment));
        query
    }

    fn set(&mut self, of: &str, depth: usize) -> String {
        let mut set = "{ __typename".to_owned();
        let fields: Vec<&String> = match self.types.fields.get(of) {
            Some(fields) => fields
                .iter()
                .filter(|(_, field)| depth > 0 || !self.types.is_composite(&field.of))
                .map(|(name, _)| name)
                .collect(),
            None => Vec::new(),
        };
        for _ in 0..1 + self.dice.below(if depth > 3 { 3 } else { 6 }) {
            if fields.is_empty() {
                break;
            }
            let name = fields[self.dice.below(fields.len())];
            let part = self.field(of, name, depth);
            // In a fragment, or as it is.
            match self.dice.below(8) {
                0 => write!(set, " ... {} {{ {part} }}", self.condition()),
                1 => write!(set, " ... on {of} {} {{ {part} }}", self.condition()),
                2 => {
                    let fragment = format!("f{}", self.fragments.len());
                    self.fragments.push(format!(" fragment {fragment} on {of} {{ {part} }}"));
                    write!(set, " ...{fragment} {} ...{fragment}", self.condition())
                }
                _ => write!(set, " {part}"),
            }
            .expect("a string takes any text");
        }
        for kind in self.types.possible.get(of).into_iter().flatten() {
            if depth > 0 && self.dice.one_in(2) {
                let part = self.set(kind, depth - 1);
                write!(set, " ... on {kind} {part}").expect("a string takes any text");
            }
        }
        set + " }"
    }

    fn field(&mut self, of: &str, name: &str, depth: usize) -> String {
        let types = self.types;
        let field = &types.fields[of][name];
        let alias = if self.dice.one_in(4) { format!("{name}2: ") } else { String::new() };
        let args = if field.pages { "(first: 3)" } else { "" };
        let condition = self.condition();
        let set = if types.is_composite(&field.of) { self.set(&field.of, depth - 1) } else { String::new() };
        format!("{alias}{name}{args} {condition} {set}")
    }

    fn condition(&mut self) -> &'static str {
        const CONDITIONS: [&str; 6] = [
            "@skip(if: $yes)",
            "@skip(if: $no)",
            "@include(if: $yes)",
            "@include(if: $no)",
            "@include(if: true) @skip(if: false)",
            "@skip(if: true)",
        ];
        if self.dice.one_in(5) { CONDITIONS[self.dice.below(CONDITIONS.len())] } else { "" }
    }
}

/// Answers a document as the specification says, plainly, from the values that the library found: each
/// object has its fields in the order in which they are collected.
struct Plain<'t> {
    types: &'t Types,
    document: &'t ExecutableDocument,
}

impl Plain<'_> {
    fn answer(&self, of: &str, sets: &[&SelectionSet], value: &Json) -> String {
        match value {
            Json::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| self.answer(of, sets, item)).collect();
                format!("[{}]", items.join(","))
            }
            Json::Object(members) if self.types.is_composite(of) => {
                let kind = members["__typename"].as_str().expect("it was asked for");
                let mut selected = Vec::new();
                sets.iter().for_each(|set| self.collect(kind, set, &mut selected));
                let field = |(key, name, sets): &(String, String, Vec<&SelectionSet>)| {
                    let of = self.types.fields[kind].get(name).map_or("String", |field| &field.of);
                    format!("{}:{}", json!(key), self.answer(of, sets, &members[key]))
                };
                let fields: Vec<String> = selected.iter().map(field).collect();
                assert_eq!(fields.len(), members.len(), "{kind}: {members:?}");
                format!("{{{}}}", fields.join(","))
            }
            leaf => leaf.to_string(),
        }
    }

    fn collect<'s>(
        &'s self,
        kind: &str,
        set: &'s SelectionSet,
        selected: &mut Vec<(String, String, Vec<&'s SelectionSet>)>,
    ) {
        for selection in &set.items {
            let directives = match &selection.node {
                Selection::Field(field) => &field.node.directives,
                Selection::InlineFragment(fragment) => &fragment.node.directives,
                Selection::FragmentSpread(fragment) => &fragment.node.directives,
            };
            let holds = |name: &str, default: bool| {
                let directive = directives.iter().find(|directive| directive.node.name.node == name);
                directive.map_or(default, |directive| {
                    let value =
                        directive.node.get_argument("if").expect("it has a condition").node.to_string();
                    value == "true" || value == "$yes"
                })
            };
            if holds("skip", false) || !holds("include", true) {
                continue;
            }
            let (condition, set) = match &selection.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.to_string();
                    let set = &field.node.selection_set.node;
                    match selected.iter_mut().find(|(known, ..)| *known == key) {
                        Some((.., sets)) => sets.push(set),
                        None => selected.push((key, field.node.name.node.to_string(), vec![set])),
                    }
                    continue;
                }
                Selection::InlineFragment(fragment) => {
                    (fragment.node.type_condition.as_ref(), &fragment.node.selection_set.node)
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = &self.document.fragments[&spread.node.fragment_name.node].node;
                    (Some(&fragment.type_condition), &fragment.selection_set.node)
                }
            };
            if condition.is_none_or(|condition| self.types.is_a(kind, &condition.node.on.node)) {
                self.collect(kind, set, selected);
            }
        }
    }
}

/// Findings with assets, owners, comments, badges and an audit.
async fn furnish(world: &World) {
    let lines: Vec<Json> = (0..7)
        .map(|n| {
            json!({ "asset": format!("host-{}", n % 3), "title": format!("Weakness \"{n}\""), "severity": "high",
                    "scanner_reference": format!("CHECK-{n}") })
        })
        .collect();
    let action = json!({ "type": "append_tag", "config": { "tags": ["seen"] } });
    let criteria = json!({ "logic": "AND", "conditions": [
        { "field": "severity", "operator": "eq", "value": "high" }] });
    world.rule("Tag what is high", 1, criteria, action).await;
    world.import_lines(&lines).await;
    for finding in world.findings(world.acme.analyst(), None).await.into_iter().take(3) {
        let assign = Edit::Assign {
            add_users: vec![world.acme.analyst().id],
            add_teams: vec![world.acme.team],
            remove_users: Vec::new(),
            remove_teams: Vec::new(),
        };
        world.edit(finding.id, assign).await;
        world.domain.finding_comment(world.acme.analyst(), finding.id, "Look.").await.expect("and comments");
    }
}

async fn ask(schema: &Schema, actor: &Actor, query: &str, stock: bool) -> Response {
    let variables = Variables::from_json(json!({ "yes": true, "no": false }));
    let request = Request::new(query).variables(variables).data(actor.clone());
    schema.execute(if stock { request.data(Stock) } else { request }).await
}

async fn random_selections_are_answered_as_the_library_answers_them(world: &World) {
    furnish(world).await;
    let schema = schema(world.domain.clone()).finish();
    let types = Types::of(&schema).await;
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut answered = 0;
    for seed in 0..cases {
        let query = Author::query(&types, seed);
        let stock = ask(&schema, world.acme.admin(), &query, true).await;
        let walked = ask(&schema, world.acme.admin(), &query, false).await;
        if !stock.errors.is_empty() || stock.data == Value::Null {
            // It does not fit the schema, or a root needs arguments: the library leaves that out.
            let told = |response: &Response| {
                // The library tells what is not valid in no order.
                let mut told: Vec<String> = response.errors.iter().map(|e| format!("{e:?}")).collect();
                told.sort();
                told
            };
            assert_eq!(told(&walked), told(&stock), "seed {seed}: {query}");
            continue;
        }
        assert_eq!(&*walked.errors, &[][..], "seed {seed}: {query}");
        let document = parse_query(&query).expect("it parsed before");
        let (_, operation) = document.operations.iter().next().expect("one operation");
        let plain = Plain { types: &types, document: &document };
        let expected = plain.answer("Query", &[&operation.node.selection_set.node], &data(&stock));
        let text = match &walked.data {
            Value::Binary(written) => String::from_utf8_lossy(written).into_owned(),
            // What names no record is answered by the library.
            plain => serde_json::to_string(plain).expect("values are JSON"),
        };
        assert_eq!(text, expected, "seed {seed}: {query}");
        answered += 1;
    }
    assert!(answered > cases / 2, "most selections fit the schema: {answered} of {cases}");
}

/// The path of an error as text.
fn paths(response: &Response) -> Vec<String> {
    let part = |part: &PathSegment| match part {
        PathSegment::Field(name) => name.clone(),
        PathSegment::Index(at) => at.to_string(),
    };
    let mut paths: Vec<String> = response
        .errors
        .iter()
        .map(|error| error.path.iter().map(part).collect::<Vec<_>>().join("/"))
        .collect();
    paths.sort();
    paths
}

async fn what_fails_is_null_up_to_where_it_can_be(world: &World) {
    furnish(world).await;
    let schema = schema(world.domain.clone()).finish();
    let viewer = &world.acme.person(Role::Viewer).actor;
    let listed = data(&ask(&schema, viewer, "{ findings(first: 2) { nodes { id } } }", false).await);
    let id = listed["findings"]["nodes"][0]["id"].as_str().expect("an id");
    let audit = "a: audit(first: 1) { nodes { action } }";
    let cases: Vec<(String, &str, Vec<&str>)> = vec![
        // Not null anywhere up to the root.
        (
            format!("{{ findings(first: 2) {{ nodes {{ title {audit} }} }} viewer {{ roles }} }}"),
            "null",
            vec!["findings/nodes/0/a", "findings/nodes/1/a"],
        ),
        // A field of the root that can be null, beside one that stands.
        (
            format!("{{ z: finding(id: \"{id}\") {{ {audit} title }} viewer {{ roles }} }}"),
            r#"{"z":null,"viewer":{"roles":["VIEWER"]}}"#,
            vec!["z/a"],
        ),
        ("{ auditEntries { nodes { id } } }".to_owned(), "null", vec!["auditEntries"]),
        // Objects whose fields are all skipped, and the order of keys.
        ("{ viewer { roles @skip(if: $yes) } }".to_owned(), r#"{"viewer":{}}"#, vec![]),
        ("{ viewer @skip(if: $yes) { roles } }".to_owned(), "{}", vec![]),
        (
            "{ b: __typename a: viewer { roles } viewer { __typename } a: viewer { t: __typename } }"
                .to_owned(),
            r#"{"b":"Query","a":{"roles":["VIEWER"],"t":"Viewer"},"viewer":{"__typename":"Viewer"}}"#,
            vec![],
        ),
        (
            "{ viewer { roles } __type(name: \"Viewer\") { name } none: __type(name: \"No\") { name } }"
                .to_owned(),
            r#"{"viewer":{"roles":["VIEWER"]},"__type":{"name":"Viewer"},"none":null}"#,
            vec![],
        ),
    ];
    for (query, expected, failed) in cases {
        let query = query.replacen('{', "query($yes: Boolean!) {", usize::from(query.contains("$yes")));
        let response = ask(&schema, viewer, &query, false).await;
        let text = match &response.data {
            Value::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => other.to_string(),
        };
        assert_eq!(text, expected, "{query}: {:?}", response.errors);
        assert_eq!(paths(&response), failed, "{query}");
        assert!(response.errors.iter().all(|error| !error.locations.is_empty()), "{query}");
    }
}
