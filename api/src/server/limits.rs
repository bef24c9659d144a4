//! What a document may cost, measured before anything else walks it.
//!
//! A chain of `fragment f0 { ...f1 ...f1 }` of 700 bytes expands to billions of selections, and
//! every walker of the library follows it. Here each fragment is measured once and its size reused
//! wherever it is spread, so that the measure is linear in the document.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::{Name, Positioned, ServerError, Value, Variables};
use async_graphql_value::Value as Written;
use domain::error::{Code, Error};

use crate::error;

/// The most that one request may ask for. Introspection, GraphiQL and the code generators of the
/// usual clients stay far below the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Names, numbers, strings and punctuation of the query text.
    pub tokens: usize,
    /// Nesting of `{[(` in the query text.
    pub brackets: usize,
    /// Nesting of the JSON of a request, variables and extensions included.
    pub variables_depth: usize,
    /// Values in the JSON of a request.
    pub variables_values: usize,
    /// Fields and fragments with every fragment written out.
    pub selections: u64,
    /// Fields inside fields. Standard introspection needs 15.
    pub depth: u64,
    /// Selection sets inside selection sets, fragments included; the library itself stops at 32.
    pub nesting: u64,
    /// Aliased fields with every fragment written out.
    pub aliases: u64,
    /// Fields at the root of one operation.
    pub root_fields: u64,
    /// Directives with every fragment written out.
    pub directives: u64,
    /// Values that the answer could hold: each field counts one, and what is inside of a page counts
    /// once for each row asked for by `first` or `last`.
    pub complexity: u64,
    /// Bytes of arguments, variables counted wherever they are used and once for each row that they
    /// are used in: the library copies them as often.
    pub input_bytes: u64,
    /// Rows of a connection that is asked for without `first` or `last`.
    pub default_page: u64,
    /// Rows of the largest page: more is never sent, so it is never counted.
    pub largest_page: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tokens: 15_000,
            brackets: 64,
            variables_depth: 64,
            variables_values: 50_000,
            selections: 5_000,
            depth: 20,
            nesting: 32,
            aliases: 200,
            root_fields: 50,
            directives: 200,
            complexity: 100_000,
            input_bytes: 8 << 20,
            default_page: 50,
            largest_page: 500,
        }
    }
}

/// How large a selection set is with every fragment written out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub selections: u64,
    pub depth: u64,
    pub nesting: u64,
    pub aliases: u64,
    pub directives: u64,
    pub complexity: u64,
    pub input_bytes: u64,
    /// Fields at its top.
    pub top: u64,
    /// Whether `__schema` or `__type` is at its top.
    pub introspects: bool,
}

/// Why a document is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Over a limit: its name, the most it allows and what was asked for.
    Over { limit: &'static str, max: u64, actual: u64 },
    /// A fragment that spreads itself.
    Circular { fragment: String },
}

impl From<Refused> for ServerError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Over { limit, max, actual } => {
                let message =
                    format!("The query is over the limit of {limit}: {actual}, and the most is {max}.");
                error::server_error(
                    Error::new(Code::LimitExceeded, message)
                        .with("limit", limit)
                        .with("max", max)
                        .with("actual", actual),
                )
            }
            Refused::Circular { fragment } => error::refusal(
                error::request::VALIDATION_FAILED,
                format!("The fragment \"{fragment}\" spreads itself."),
            ),
        }
    }
}

/// The size of the largest operation of `document` in each respect; the sum of all operations where
/// the library walks them all.
pub fn measure(
    document: &ExecutableDocument,
    variables: &Variables,
    limits: &Limits,
) -> Result<Size, Refused> {
    let mut measure = Measure { document, limits, variables: HashMap::new(), fragments: HashMap::new() };
    measure.weigh_variables(variables);
    let mut whole = Size::default();
    for (_, operation) in document.operations.iter() {
        let size = measure.set(&operation.node.selection_set.node, 0)?;
        let top = whole.top.max(size.top);
        whole.add(size);
        whole.top = top;
        whole.directives = whole.directives.saturating_add(count(&operation.node.directives));
    }
    // The library's validation recurses through fragments that nothing spreads, too.
    for name in document.fragments.keys() {
        measure.fragment(name, 0)?;
    }
    whole.check(limits)?;
    Ok(whole)
}

impl Size {
    /// Refuses what is over a limit.
    pub fn check(&self, limits: &Limits) -> Result<(), Refused> {
        let checks = [
            ("selections", limits.selections, self.selections),
            ("depth", limits.depth, self.depth),
            ("aliases", limits.aliases, self.aliases),
            ("rootFields", limits.root_fields, self.top),
            ("directives", limits.directives, self.directives),
            ("complexity", limits.complexity, self.complexity),
            ("inputBytes", limits.input_bytes, self.input_bytes),
        ];
        match checks.into_iter().find(|(_, max, actual)| actual > max) {
            Some((limit, max, actual)) => Err(Refused::Over { limit, max, actual }),
            None => Ok(()),
        }
    }
}

/// What any value takes beside its text, about.
const VALUE_BYTES: u64 = 16;

/// About what a value takes, in bytes.
fn weigh(value: &Value) -> u64 {
    let inner = match value {
        Value::String(text) => count(text.as_bytes()),
        Value::Enum(name) => count(name.as_bytes()),
        Value::List(items) => items.iter().map(weigh).sum(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| count(key.as_bytes()) + weigh(value)).sum()
        }
        _ => 0,
    };
    inner + VALUE_BYTES
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

struct Measure<'a> {
    document: &'a ExecutableDocument,
    limits: &'a Limits,
    /// What each variable stands for: its value if that is a number of rows, and its weight.
    variables: HashMap<&'a str, (Option<u64>, u64)>,
    /// `None` while a fragment is being measured.
    fragments: HashMap<&'a str, Option<Size>>,
}

/// A name and a value as they are written, which may hold variables.
type Argument = (Positioned<Name>, Positioned<Written>);

impl<'a> Measure<'a> {
    /// Weighs what the request sends, and the defaults of what it does not.
    fn weigh_variables(&mut self, sent: &'a Variables) {
        let mut note = |name: &'a str, value: &Value| {
            let rows = match value {
                Value::Number(number) => Some(number.as_u64().unwrap_or(0)),
                _ => None,
            };
            self.variables.entry(name).or_insert((rows, weigh(value)));
        };
        for (name, value) in sent.iter() {
            note(name.as_str(), value);
        }
        for (_, operation) in self.document.operations.iter() {
            for definition in &operation.node.variable_definitions {
                if let Some(default) = &definition.node.default_value {
                    note(definition.node.name.node.as_str(), &default.node);
                }
            }
        }
    }

    /// The size of `set`, which lies `level` selection sets below the root. Recursion ends at the
    /// limit of nesting.
    fn set(&mut self, set: &'a SelectionSet, level: u64) -> Result<Size, Refused> {
        self.check_nesting(level)?;
        let mut size = Size::default();
        for item in &set.items {
            let directives = item.node.directives();
            size.directives = size.directives.saturating_add(count(directives));
            for directive in directives {
                size.input_bytes = size.input_bytes.saturating_add(self.input(&directive.node.arguments));
            }
            size.selections = size.selections.saturating_add(1);
            match &item.node {
                Selection::Field(field) => size.add(self.field(&field.node, level)?),
                Selection::FragmentSpread(spread) => {
                    let inner = self.fragment(spread.node.fragment_name.node.as_str(), level + 1)?;
                    size.add(inner.nested());
                }
                Selection::InlineFragment(inline) => {
                    size.add(self.set(&inline.node.selection_set.node, level + 1)?.nested());
                }
            }
        }
        Ok(size)
    }

    fn field(&mut self, field: &'a Field, level: u64) -> Result<Size, Refused> {
        let inner = match field.selection_set.node.items.is_empty() {
            true => Size::default(),
            false => self.set(&field.selection_set.node, level + 1)?.nested(),
        };
        let rows = self.page(field);
        Ok(Size {
            depth: inner.depth + 1,
            aliases: inner.aliases.saturating_add(u64::from(field.alias.is_some())),
            complexity: inner.complexity.saturating_mul(rows).saturating_add(1),
            input_bytes: inner.input_bytes.saturating_mul(rows).saturating_add(self.input(&field.arguments)),
            top: 1,
            introspects: matches!(field.name.node.as_str(), "__schema" | "__type"),
            ..inner
        })
    }

    /// The weight of arguments with the variables written out.
    fn input(&self, arguments: &[Argument]) -> u64 {
        arguments.iter().fold(0, |whole: u64, (_, value)| whole.saturating_add(self.weigh(&value.node)))
    }

    fn weigh(&self, value: &Written) -> u64 {
        let inner = match value {
            Written::Variable(name) => self.variables.get(name.as_str()).map_or(0, |(_, weight)| *weight),
            Written::String(text) => count(text.as_bytes()),
            Written::Enum(name) => count(name.as_bytes()),
            Written::List(items) => items.iter().map(|item| self.weigh(item)).fold(0, u64::saturating_add),
            Written::Object(members) => members
                .iter()
                .map(|(key, value)| count(key.as_bytes()).saturating_add(self.weigh(value)))
                .fold(0, u64::saturating_add),
            _ => 0,
        };
        inner.saturating_add(VALUE_BYTES)
    }

    fn fragment(&mut self, name: &'a str, level: u64) -> Result<Size, Refused> {
        let size = match self.fragments.get(name) {
            Some(Some(size)) => *size,
            Some(None) => return Err(Refused::Circular { fragment: name.to_owned() }),
            None => {
                // What does not exist is left for validation to name.
                let Some(fragment) = self.document.fragments.get(name) else { return Ok(Size::default()) };
                self.fragments.insert(name, None);
                let mut size = self.set(&fragment.node.selection_set.node, level)?;
                size.directives = size.directives.saturating_add(count(&fragment.node.directives));
                self.fragments.insert(name, Some(size));
                size
            }
        };
        self.check_nesting(level + size.nesting)?;
        Ok(size)
    }

    fn check_nesting(&self, actual: u64) -> Result<(), Refused> {
        let max = self.limits.nesting;
        if actual > max { Err(Refused::Over { limit: "nesting", max, actual }) } else { Ok(()) }
    }

    /// How many rows `field` may answer with.
    fn page(&self, field: &Field) -> u64 {
        let asked =
            ["first", "last"].into_iter().filter_map(|name| field.get_argument(name)).find_map(|value| {
                match &value.node {
                    Written::Number(number) => Some(number.as_u64().unwrap_or(0)),
                    Written::Variable(name) => self.variables.get(name.as_str()).and_then(|(rows, _)| *rows),
                    _ => None,
                }
            });
        match asked {
            Some(rows) => rows.clamp(1, self.limits.largest_page.max(1)),
            None if is_connection(field) => self.limits.default_page,
            None => 1,
        }
    }
}

fn is_connection(field: &Field) -> bool {
    field.selection_set.node.items.iter().any(|item| match &item.node {
        Selection::Field(inner) => matches!(inner.node.name.node.as_str(), "edges" | "nodes"),
        _ => false,
    })
}

impl Size {
    /// Adds what is asked for beside this.
    pub fn add(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.depth = self.depth.max(other.depth);
        self.nesting = self.nesting.max(other.nesting);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.complexity = self.complexity.saturating_add(other.complexity);
        self.input_bytes = self.input_bytes.saturating_add(other.input_bytes);
        self.top = self.top.saturating_add(other.top);
        self.introspects |= other.introspects;
    }

    /// The same one selection set further in.
    fn nested(self) -> Self {
        Self { nesting: self.nesting + 1, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;
    use proptest::prelude::*;
    use serde_json::json;

    const UNLIMITED: Limits = Limits {
        tokens: usize::MAX,
        brackets: 64,
        variables_depth: 64,
        variables_values: usize::MAX,
        selections: u64::MAX,
        depth: u64::MAX,
        nesting: 32,
        aliases: u64::MAX,
        root_fields: u64::MAX,
        directives: u64::MAX,
        complexity: u64::MAX,
        input_bytes: u64::MAX,
        default_page: 50,
        largest_page: 500,
    };

    fn size(query: &str, limits: &Limits) -> Result<Size, Refused> {
        let variables = Variables::from_json(json!({ "n": 7, "text": "7" }));
        measure(&parse_query(query).unwrap(), &variables, limits)
    }

    #[test]
    fn counts_with_fragments_written_out() {
        let cases: &[(&str, [u64; 7])] = &[
            // selections, depth, nesting, aliases, directives, complexity, top
            ("{ a }", [1, 1, 0, 0, 0, 1, 1]),
            ("{ x: a @skip(if: true) y: b { c } }", [3, 2, 1, 2, 1, 3, 2]),
            ("{ ...f ...f } fragment f on Q { a { b: b } }", [6, 2, 2, 2, 0, 4, 2]),
            ("query A @d { a } query B { b c }", [3, 1, 0, 0, 1, 3, 2]),
            ("{ ... @include(if: true) { a } }", [2, 1, 1, 0, 1, 1, 1]),
            ("{ f(first: 10) { edges { node { id } } } }", [4, 4, 3, 0, 0, 31, 1]),
            ("{ f { edges { node { id } } } }", [4, 4, 3, 0, 0, 151, 1]),
            ("query($n: Int) { f(last: $n) { id } }", [2, 2, 1, 0, 0, 8, 1]),
            ("query($m: Int = 9) { f(first: $m) { id } }", [2, 2, 1, 0, 0, 10, 1]),
            ("query($text: Int) { f(first: $text) { id } }", [2, 2, 1, 0, 0, 2, 1]),
            ("{ f(first: 99999999) { id } }", [2, 2, 1, 0, 0, 501, 1]),
            ("{ f(first: -1) { id } }", [2, 2, 1, 0, 0, 2, 1]),
            ("{ ...missing }", [1, 0, 1, 0, 0, 0, 0]),
        ];
        for (query, expected) in cases {
            let s = size(query, &UNLIMITED).unwrap();
            let seen = [s.selections, s.depth, s.nesting, s.aliases, s.directives, s.complexity, s.top];
            assert_eq!(seen, *expected, "{query}");
        }
    }

    #[test]
    fn sees_introspection_at_the_root_only() {
        for (query, expected) in [
            ("{ __schema { types { name } } }", true),
            ("{ ...f } fragment f on Q { ... { s: __type(name: \"Q\") { name } } }", true),
            ("{ __typename a { __schema } }", false),
        ] {
            assert_eq!(size(query, &UNLIMITED).unwrap().introspects, expected, "{query}");
        }
    }

    #[test]
    fn weighs_arguments_wherever_they_are_used() {
        let cases = [
            ("{ a }", 0),
            ("{ a(x: 1) }", 16),
            ("{ a(x: \"1234\") }", 20),
            ("{ a(x: [1, {abc: E}]) }", 16 + 16 + 16 + 3 + 17),
            ("query($text: String) { a(x: $text) b(y: [$text]) }", (16 + 17) + (16 + 16 + 17)),
            ("query($d: String = \"1234\") { a(x: $d) }", 16 + 20),
            ("{ a @include(if: true) }", 16),
            ("{ f(first: 10) { a(x: 1) } }", 16 + 160),
            ("{ ...f ...f } fragment f on Q { a(x: 1) }", 32),
            // Validation copies what the operation never declared, too.
            ("{ a(x: $text) }", 16 + 17),
        ];
        for (query, expected) in cases {
            assert_eq!(size(query, &UNLIMITED).unwrap().input_bytes, expected, "{query}");
        }
    }

    fn chain(length: usize) -> String {
        let fragments: String =
            (0..length).map(|i| format!("fragment f{i} on Q {{ ...f{} ...f{} }} ", i + 1, i + 1)).collect();
        format!("{{ ...f0 }} {fragments} fragment f{length} on Q {{ a }}")
    }

    #[test]
    fn refuses_what_is_over_a_limit() {
        let limits = Limits::default();
        let aliases: String = (0..201).map(|i| format!("a{i}: a ")).collect();
        let roots = "a ".repeat(51);
        let cases = [
            (chain(20), "selections"),
            (chain(40), "nesting"),
            (format!("{{ b {{ {aliases} }} }}"), "aliases"),
            (format!("{{ {roots} }}"), "rootFields"),
            ("{a".repeat(21) + &"}".repeat(21), "depth"),
            ("{ b { a ".to_owned() + &"@d ".repeat(201) + "} }", "directives"),
            (format!("{{ b {{ {} }} }}", "a ".repeat(5_001)), "selections"),
            ("{ f(first: 500) { g(first: 500) { a } } }".to_owned(), "complexity"),
            ("{ a } ".to_owned() + &chain(40).replacen("{ ...f0 }", "", 1), "nesting"),
        ];
        for (query, expected) in cases {
            match size(&query, &limits) {
                Err(Refused::Over { limit, .. }) => assert_eq!(limit, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }

    #[test]
    fn refuses_fragments_that_spread_themselves() {
        for query in [
            "{ ...f } fragment f on Q { ...f }",
            "{ ...f } fragment f on Q { a { ...g } } fragment g on Q { ... { ...f } }",
            "{ a } fragment f on Q { ...g } fragment g on Q { ...f }",
        ] {
            assert!(matches!(size(query, &UNLIMITED), Err(Refused::Circular { .. })), "{query}");
        }
    }

    /// Fragments that spread only later ones, so that they can be written out without memory.
    fn documents() -> impl Strategy<Value = Vec<Vec<(bool, usize)>>> {
        proptest::collection::vec(proptest::collection::vec((any::<bool>(), 1..4_usize), 1..4), 1..8)
    }

    fn written_out(fragments: &[Vec<(bool, usize)>], at: usize) -> u64 {
        fragments[at]
            .iter()
            .map(|(spread, step)| match spread {
                true if at + step < fragments.len() => 1 + written_out(fragments, at + step),
                _ => 1,
            })
            .sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_writing_out_the_fragments(fragments in documents()) {
            let mut query = "{ ...f0 } ".to_owned();
            for (at, items) in fragments.iter().enumerate() {
                query += &format!("fragment f{at} on Q {{ ");
                for (spread, step) in items {
                    match *spread && at + step < fragments.len() {
                        true => query += &format!("...f{} ", at + step),
                        false => query += "a ",
                    }
                }
                query += "} ";
            }
            let size = size(&query, &UNLIMITED).unwrap();
            prop_assert_eq!(size.selections, 1 + written_out(&fragments, 0));
        }
    }
}
