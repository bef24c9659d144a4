//! What holds of every tree and every subject, tried on random ones.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::*;
use crate::vocabulary::field::Field;
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::kind::{Family, ValueKind};
use crate::vocabulary::operator::{Arity, Operator};
use crate::vocabulary::time::Timestamp;

const CASES: u32 = 2_000;
const TEXTS: &[&str] = &[
    "a",
    "A",
    "b",
    "ab",
    "aB c",
    "é",
    "É",
    "%",
    "a%",
    "_",
    "x'y",
    "\"",
    "\\",
    "pci",
    "PCI",
    "straße",
    "日本",
    " ",
    "A PCI host",
    "o\u{212a}",
    LONG,
    "0123456789012345678901234567890123456789012345678901234567890123456789aB",
];
const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789A";
const PATTERNS: &[&str] = &[
    "a",
    "^A$",
    "(?i)pci",
    "[é%]",
    ".",
    r"\d+",
    "ab|pci",
    "^(a|P)CI",
    r"(?i)\bok\b",
    "straßE?",
    "(?:a[bB])+ c$",
    "[é日]本",
    "01.*9A",
    "[a&&b]",
];
const NUMBERS: &[f64] = &[-1.0, 0.0, -0.0, 0.1, 0.5, 1.0, 7.0, 7.5, 10.0, 11.0, 65_535.0, 1e300];
const TIMES: &[&str] =
    &["2026-11-14T08:00:00Z", "2026-11-20", "2026-11-21T10:00:00+02:00", "2026-11-21T08:00:00.000001Z"];
const SPANS: &[&str] = &["0s", "1s", "60s", "1d", "7d", "1w"];
pub(crate) const NOW: Timestamp = Timestamp(1_795_248_000_000_000);

fn id(number: u8) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

/// A value that a test can own; `Fault` is one that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Missing,
    Text(String),
    Number(f64),
    Bool(bool),
    Time(i64),
    Code(u8),
    List(Vec<String>),
    Id(Uuid),
    Fault,
}

#[derive(Clone, Debug)]
pub(crate) struct Record(pub Vec<Seen>);

impl Subject for Record {
    fn read(&self, field: usize) -> Result<Value<'_>, ReadFault> {
        Ok(match &self.0[field] {
            Seen::Missing => Value::Missing,
            Seen::Text(text) => Value::Text(text),
            Seen::Number(number) => Value::Number(*number),
            Seen::Bool(bool) => Value::Bool(*bool),
            Seen::Time(at) => Value::Time(Timestamp(*at)),
            Seen::Code(code) => Value::Code(*code),
            Seen::List(list) => Value::List(list),
            Seen::Id(id) => Value::Uuid(*id),
            Seen::Fault => return Err(ReadFault("the record is torn".into())),
        })
    }
}

/// A record with one value, and nothing in every other field.
fn with(field: usize, seen: Seen) -> Record {
    let mut record = Record(vec![Seen::Missing; FINDING.fields.len()]);
    record.0[field] = seen;
    record
}

fn scalar(field: &'static Field, kind: ValueKind) -> BoxedStrategy<Json> {
    match kind {
        ValueKind::Nothing => Just(Json::Null).boxed(),
        ValueKind::Text | ValueKind::Code => select(TEXTS).prop_map(|text| json!(text)).boxed(),
        ValueKind::Pattern => select(PATTERNS).prop_map(|text| json!(text)).boxed(),
        ValueKind::Number => select(NUMBERS).prop_map(|number| json!(number)).boxed(),
        ValueKind::Bool => any::<bool>().prop_map(|bool| json!(bool)).boxed(),
        ValueKind::Time => select(TIMES).prop_map(|time| json!(time)).boxed(),
        ValueKind::Span => select(SPANS).prop_map(|span| json!(span)).boxed(),
        ValueKind::Word => (select(field.kind.words()), any::<bool>())
            .prop_map(|(word, loud)| json!(if loud { word.to_uppercase() } else { word.to_lowercase() }))
            .boxed(),
        ValueKind::Reference => (0_u8..4).prop_map(|number| json!(id(number))).boxed(),
    }
}

fn condition_on(field: &'static Field, operator: Operator) -> BoxedStrategy<Json> {
    let kind = operator.value_kind(field.kind);
    let value = match operator.arity() {
        Arity::None => Just(Json::Null).boxed(),
        Arity::One => scalar(field, kind),
        Arity::Many => prop::collection::vec(scalar(field, kind), 1..5).prop_map(Json::Array).boxed(),
    };
    value
        .prop_map(
            move |value| json!({ "field": field.key, "operator": operator.screaming(), "value": value }),
        )
        .boxed()
}

fn condition(fields: &'static [Field]) -> BoxedStrategy<Json> {
    let leaves = fields
        .iter()
        .flat_map(|field| field.kind.operators().map(move |operator| condition_on(field, operator)));
    Union::new(leaves).boxed()
}

pub(crate) fn tree(fields: &'static [Field]) -> BoxedStrategy<Json> {
    condition(fields)
        .prop_recursive(4, 40, 4, |inner| {
            (select(&["AND", "or", "Or"][..]), prop::collection::vec(inner, 1..5))
                .prop_map(|(logic, conditions)| json!({ "logic": logic, "conditions": conditions }))
        })
        .boxed()
}

/// Values that a field may really have; `None` is left to the caller.
fn present(field: &'static Field) -> BoxedStrategy<Seen> {
    match field.kind.family() {
        Family::Text => select(TEXTS).prop_map(|text| Seen::Text(text.to_owned())).boxed(),
        Family::Number => {
            let (min, max) = match field.kind {
                crate::vocabulary::kind::Kind::Number { min, max } => {
                    (min.unwrap_or(-1e9), max.unwrap_or(1e9))
                }
                _ => (0.0, 0.0),
            };
            prop_oneof![
                select(NUMBERS).prop_map(move |number| Seen::Number(number.clamp(min, max))),
                (min..=max).prop_map(Seen::Number)
            ]
            .boxed()
        }
        Family::Bool => any::<bool>().prop_map(Seen::Bool).boxed(),
        Family::Time => {
            let near: Vec<i64> = TIMES
                .iter()
                .filter_map(|time| Timestamp::parse(time))
                .map(|at| at.0)
                .chain([NOW.0, NOW.0 - 604_800_000_000, NOW.0 - 60_000_000, NOW.0 + 86_400_000_000])
                .collect();
            (select(near), -1_i64..=1).prop_map(|(at, off)| Seen::Time(at + off)).boxed()
        }
        Family::Ordinal | Family::Enum => {
            let words = u8::try_from(field.kind.words().len()).expect("lists are short");
            (0..words).prop_map(Seen::Code).boxed()
        }
        Family::Reference => (0_u8..5).prop_map(|number| Seen::Id(id(number))).boxed(),
        Family::List => {
            let element = match field.kind.value_kind() {
                ValueKind::Reference => (0_u8..5).prop_map(|number| id(number).to_string()).boxed(),
                _ => select(TEXTS).prop_map(str::to_owned).boxed(),
            };
            prop::collection::vec(element, 1..5).prop_map(Seen::List).boxed()
        }
    }
}

/// What a field may be by its declaration.
pub(crate) fn proper(field: &'static Field) -> BoxedStrategy<Seen> {
    let empty = match field.kind.family() {
        Family::Text => Seen::Text(String::new()),
        Family::List => Seen::List(Vec::new()),
        _ => Seen::Missing,
    };
    if field.always_present {
        present(field)
    } else {
        prop_oneof![5 => present(field), 1 => Just(Seen::Missing), 1 => Just(empty)].boxed()
    }
}

/// What a subject may come up with, proper or not.
pub(crate) fn anything(field: &'static Field) -> BoxedStrategy<Seen> {
    prop_oneof![
        8 => proper(field),
        1 => Just(Seen::Missing),
        1 => Just(Seen::Fault),
        1 => select(vec![
            Seen::Text("a".to_owned()), Seen::Number(f64::NAN), Seen::Number(f64::INFINITY), Seen::Number(1.0),
            Seen::Bool(true), Seen::Time(NOW.0), Seen::Code(200), Seen::List(vec!["a".to_owned()]), Seen::Id(id(0)),
        ]),
    ]
    .boxed()
}

pub(crate) fn record(of: fn(&'static Field) -> BoxedStrategy<Seen>) -> BoxedStrategy<Record> {
    FINDING.fields.iter().map(of).collect::<Vec<_>>().prop_map(Record).boxed()
}

pub(crate) fn parse(json: &Json) -> Criteria {
    Criteria::parse(&FINDING, json).unwrap_or_else(|faults| panic!("{json} was refused: {faults}"))
}

fn asked(json: &Json, record: &Record) -> Outcome {
    Compiled::new(&parse(json)).matches(record, NOW)
}

fn not(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::True => Outcome::False,
        Outcome::False => Outcome::True,
        Outcome::Error => Outcome::Error,
    }
}

/// The meaning of a leaf written a second time, as plainly as the definition reads. `None` is an
/// error.
fn plainly(field: &Field, operator: Operator, operand: &Json, seen: &Seen) -> Option<bool> {
    use Operator::*;
    let fold = |text: &str| text.to_ascii_lowercase();
    let texts = |json: &Json| -> Vec<String> {
        match json {
            Json::Array(many) => many.iter().filter_map(Json::as_str).map(fold).collect(),
            one => one.as_str().map(fold).into_iter().collect(),
        }
    };
    let missing = match seen {
        Seen::Fault => return None,
        Seen::Missing => true,
        Seen::Text(text) => text.is_empty(),
        Seen::List(list) => list.is_empty(),
        _ => false,
    };
    let proper = match (seen, field.kind.family()) {
        (Seen::Missing, _)
        | (Seen::Text(_), Family::Text)
        | (Seen::Bool(_), Family::Bool)
        | (Seen::Time(_), Family::Time)
        | (Seen::List(_), Family::List)
        | (Seen::Id(_), Family::Reference) => true,
        (Seen::Number(number), Family::Number) => number.is_finite(),
        (Seen::Code(code), Family::Ordinal | Family::Enum) => usize::from(*code) < field.kind.words().len(),
        _ => false,
    };
    if !proper {
        return None;
    }
    match operator {
        IsEmpty => return Some(missing),
        Neq => return plainly(field, Eq, operand, seen).map(|held| !held),
        NotIn => return plainly(field, In, operand, seen).map(|held| !held),
        _ if missing => return Some(false),
        IsNotEmpty => return Some(true),
        _ => {}
    }
    Some(match seen {
        Seen::Text(text) => match operator {
            Eq | In => texts(operand).contains(&fold(text)),
            Contains => fold(text).contains(&texts(operand)[0]),
            StartsWith => fold(text).starts_with(&texts(operand)[0]),
            _ => regex::Regex::new(operand.as_str()?).ok()?.is_match(text),
        },
        Seen::List(list) => {
            let list: Vec<String> = list.iter().map(|element| fold(element)).collect();
            match operator {
                AllIn => texts(operand).iter().all(|one| list.contains(one)),
                _ => texts(operand).iter().any(|one| list.contains(one)),
            }
        }
        Seen::Bool(bool) => operand.as_bool() == Some(*bool),
        Seen::Id(id) => texts(operand).contains(&id.to_string()),
        Seen::Number(number) => match operator {
            In => operand.as_array()?.iter().any(|one| one.as_f64() == Some(*number)),
            _ => ordered(operator, *number, operand.as_f64()?),
        },
        Seen::Time(at) => match operator {
            OlderThan => *at < NOW.0 - crate::vocabulary::time::Span::parse(operand.as_str()?)?.0,
            WithinLast => {
                *at >= NOW.0 - crate::vocabulary::time::Span::parse(operand.as_str()?)?.0 && *at <= NOW.0
            }
            _ => ordered(operator, *at, Timestamp::parse(operand.as_str()?)?.0),
        },
        Seen::Code(code) => {
            let words: Vec<String> = field.kind.words().iter().map(|word| fold(word)).collect();
            let rank = |word: &String| words.iter().position(|one| one == word);
            match operator {
                In => texts(operand).iter().any(|word| rank(word) == Some(usize::from(*code))),
                _ => ordered(operator, usize::from(*code), rank(&texts(operand)[0])?),
            }
        }
        Seen::Missing | Seen::Fault => return None,
    })
}

fn ordered<T: PartialOrd>(operator: Operator, value: T, operand: T) -> bool {
    match operator {
        Operator::Gt => value > operand,
        Operator::Lt => value < operand,
        Operator::Gte | Operator::GteOrd => value >= operand,
        Operator::Lte | Operator::LteOrd => value <= operand,
        _ => value == operand,
    }
}

/// A field, an operator that `wanted` lets through, a condition of them, and what the field holds.
fn leaf_case(wanted: fn(Operator) -> bool) -> BoxedStrategy<(usize, Operator, Json, Seen)> {
    let cases = FINDING.fields.iter().enumerate().flat_map(move |(index, field)| {
        field.kind.operators().filter(move |operator| wanted(*operator)).map(move |operator| {
            (condition_on(field, operator), anything(field))
                .prop_map(move |(condition, seen)| (index, operator, condition, seen))
                .boxed()
        })
    });
    Union::new(cases).boxed()
}

/// Few fields and few values, so that trees that match everything come up by chance.
fn narrow_tree() -> BoxedStrategy<Json> {
    const NARROW: [&str; 6] = ["class", "cvss_score", "known_exploit", "title", "tags", "due_at"];
    let leaves = NARROW.iter().filter_map(|key| FINDING.get(key)).flat_map(|field| {
        field.kind.operators().map(move |operator| match field.kind.family() {
            Family::Text | Family::List if operator.arity() == Arity::One => select(&["a", "b"][..])
                .prop_map(
                    move |text| json!({ "field": field.key, "operator": operator.name(), "value": text }),
                )
                .boxed(),
            _ => condition_on(field, operator),
        })
    });
    Union::new(leaves)
        .prop_recursive(3, 24, 8, |inner| {
            (select(&["OR", "OR", "AND"][..]), prop::collection::vec(inner, 1..8))
                .prop_map(|(logic, conditions)| json!({ "logic": logic, "conditions": conditions }))
        })
        .boxed()
}

/// JSON of any shape, made of the words that the reader looks for.
fn any_json() -> BoxedStrategy<Json> {
    let word = select(vec![
        "logic",
        "conditions",
        "field",
        "operator",
        "value",
        "AND",
        "or",
        "severity",
        "title",
        "tags",
        "eq",
        "in",
        "older_than",
        "7d",
        "~/",
        "",
        "high",
        "matches_regex",
        "(((",
        "first_seen_at",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<f64>().prop_map(|number| json!(number)),
        word.clone().prop_map(|text| json!(text)),
        ".{0,8}".prop_map(Json::String),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|members| {
                Json::Object(members.into_iter().map(|(key, json)| (key.to_owned(), json)).collect())
            }),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_leaf_means_what_its_definition_says((index, operator, json, seen) in leaf_case(|_| true)) {
        let field = &FINDING.fields[index];
        let expected = match plainly(field, operator, &json["value"], &seen) {
            Some(true) => Outcome::True,
            Some(false) => Outcome::False,
            None => Outcome::Error,
        };
        prop_assert_eq!(asked(&json, &with(index, seen)), expected);
    }

    #[test]
    fn complements_are_exact(
        (index, operator, json, seen) in leaf_case(|operator| operator.negates().is_some()),
    ) {
        let mut positive = json.clone();
        positive["operator"] = json!(operator.negates());
        let record = with(index, seen);
        prop_assert_eq!(asked(&json, &record), not(asked(&positive, &record)));
    }

    #[test]
    fn an_explanation_comes_to_what_matching_says(json in tree(FINDING.fields), record in record(anything)) {
        let compiled = Compiled::new(&parse(&json));
        let explanation = compiled.explain(&record, NOW);
        prop_assert_eq!(explanation.outcome(), compiled.matches(&record, NOW));
        for leaf in explanation.leaves() {
            prop_assert_eq!(leaf.error.is_some(), leaf.outcome == Outcome::Error);
            let place = json.pointer(&leaf.pointer).expect("the pointer leads to the leaf");
            prop_assert_eq!(place["field"].as_str(), Some(leaf.field));
        }
    }

    #[test]
    fn groups_join_by_kleenes_laws(
        left in tree(FINDING.fields), right in tree(FINDING.fields), record in record(anything),
    ) {
        let group = |logic: &str, conditions: &[&Json]| json!({ "logic": logic, "conditions": conditions });
        let (a, b) = (asked(&left, &record), asked(&right, &record));
        let and = asked(&group("AND", &[&left, &right]), &record);
        let or = asked(&group("OR", &[&left, &right]), &record);
        prop_assert_eq!(and, match (a, b) {
            (Outcome::False, _) | (_, Outcome::False) => Outcome::False,
            (Outcome::True, Outcome::True) => Outcome::True,
            _ => Outcome::Error,
        });
        prop_assert_eq!(or, match (a, b) {
            (Outcome::True, _) | (_, Outcome::True) => Outcome::True,
            (Outcome::False, Outcome::False) => Outcome::False,
            _ => Outcome::Error,
        });
        prop_assert_eq!(and, asked(&group("AND", &[&right, &left]), &record));
        prop_assert_eq!(or, asked(&group("OR", &[&right, &left]), &record));
        prop_assert_eq!(a, asked(&group("AND", &[&left]), &record));
        prop_assert_eq!(a, asked(&group("OR", &[&left, &left]), &record));
    }

    #[test]
    fn what_is_written_reads_the_same(json in tree(FINDING.fields)) {
        let criteria = parse(&json);
        let written = criteria.to_json();
        prop_assert_eq!(&parse(&written), &criteria);
        prop_assert_eq!(parse(&written).to_json(), written);
        prop_assert!(!criteria.sentence().is_empty());
    }

    #[test]
    fn a_refused_tautology_matches_everything(
        json in narrow_tree(), records in prop::collection::vec(record(proper), 40),
    ) {
        let criteria = parse(&json);
        if criteria.refuse_tautology().is_err() {
            for record in records {
                prop_assert_eq!(Compiled::new(&criteria).matches(&record, NOW), Outcome::True, "{}", json);
            }
        }
    }

    #[test]
    fn a_leaf_or_its_complement_is_a_tautology(
        (_, operator, json, _) in leaf_case(|operator| operator.negates().is_some()),
    ) {
        let mut opposite = json.clone();
        opposite["operator"] = json!(operator.negates());
        let either = json!({ "logic": "OR", "conditions": [json, opposite] });
        prop_assert!(parse(&either).refuse_tautology().is_err(), "{}", either);
    }

    #[test]
    fn reading_never_panics_and_faults_lead_somewhere(json in any_json()) {
        if let Err(faults) = Criteria::parse(&FINDING, &json) {
            prop_assert!(faults.iter().next().is_some());
            for fault in faults.iter() {
                // What is missing has no place of its own: its parent has.
                let parent = fault.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                prop_assert!(json.pointer(&fault.pointer).or_else(|| json.pointer(parent)).is_some(), "{}", fault);
            }
        }
    }

    #[test]
    fn sql_has_a_place_for_every_parameter(json in tree(FINDING.fields), first in 1_usize..50) {
        let compiled = Compiled::new(&parse(&json));
        let lite = compiled.sql(sql::Dialect::Sqlite, NOW, first);
        let postgres = compiled.sql(sql::Dialect::Postgres, NOW, first);
        prop_assert_eq!(lite.text.matches('?').count(), lite.binds.len());
        prop_assert_eq!(postgres.text.matches('$').count(), postgres.binds.len());
        for number in first..first + postgres.binds.len() {
            let place = format!("${number}::");
            prop_assert!(postgres.text.contains(&place));
        }
        prop_assert_eq!(&lite.binds, &postgres.binds);
        prop_assert_eq!(lite.exact, !json.to_string().contains("MATCHES_REGEX"));
        prop_assert_eq!(lite.needs_asset, lite.text.contains("a."));
        prop_assert!(!lite.text.contains(" LIKE ") && !lite.text.contains('%'));
    }
}
