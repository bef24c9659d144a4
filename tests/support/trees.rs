//! Random criteria trees, drawn from the catalogue itself: every field, every operator that fits it,
//! and values that are likely to meet the data and its edges.

use domain::vocabulary::field::Field;
use domain::vocabulary::kind::ValueKind;
use domain::vocabulary::operator::{Arity, Operator};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// Texts that data and operands share: cases, wildcards, quotes, and letters beyond ASCII whose
/// folding differs between libraries.
pub const TEXTS: &[&str] = &[
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
    "STRASSE",
    "日本",
    "ſ",
    "K",
    "k",
    "İ",
    "😀",
    "\u{10FFFF}",
    "a\nb",
    "'); --",
    "null",
    "[]",
];
/// Numbers at and around edges.
pub const NUMBERS: &[f64] = &[
    -1.0, 0.0, -0.0, 5e-324, 0.1, 0.3, 0.5, 0.97, 1.0, 7.0, 7.5, 9.8, 10.0, 11.0, 22.0, 443.0, 65_535.0,
    1e300, -1e300,
];
/// Points in time around [`crate::NOW`], and at the ends.
pub const TIMES: &[&str] = &[
    "2026-11-14T08:00:00Z",
    "2026-11-20",
    "2026-11-21T10:00:00+02:00",
    "2026-11-21T08:00:00.000001Z",
    "2026-11-21T07:59:59.999999Z",
    "1969-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
];
const SPANS: &[&str] = &["0s", "1s", "60s", "1m", "24h", "1d", "7d", "1w", "4w", "9223372036854s"];
const PATTERNS: &[&str] =
    &["a", "^A$", "(?i)pci", "[é%]", ".", r"\d+", "^$", "(?s)a.b", r"\bpci\b", r"\p{Han}", "^.{3,}$", "[^a]"];

/// Trees over `fields`; `ids` are those that references may name.
pub fn tree(fields: &[&'static Field], ids: &[Uuid]) -> BoxedStrategy<Json> {
    let leaves = fields.iter().flat_map(|field| {
        field.kind.operators().map(|operator| condition(field, operator, ids)).collect::<Vec<_>>()
    });
    Union::new(leaves)
        .prop_recursive(5, 40, 4, |inner| {
            (select(&["AND", "or", "Or"][..]), prop::collection::vec(inner, 1..5))
                .prop_map(|(logic, conditions)| json!({ "logic": logic, "conditions": conditions }))
        })
        .boxed()
}

/// A leaf of this field and operator.
fn condition(field: &'static Field, operator: Operator, ids: &[Uuid]) -> BoxedStrategy<Json> {
    let kind = operator.value_kind(field.kind);
    let value = match operator.arity() {
        Arity::None => Just(None).boxed(),
        Arity::One => value(field, kind, ids).prop_map(Some).boxed(),
        Arity::Many => {
            prop::collection::vec(value(field, kind, ids), 1..5).prop_map(|v| Some(Json::Array(v))).boxed()
        }
    };
    value
        .prop_map(move |value| {
            let mut leaf = json!({ "field": field.key, "operator": operator.name() });
            if let Some(value) = value {
                leaf["value"] = value;
            }
            leaf
        })
        .boxed()
}

/// An operand, or an element of one.
pub fn value(field: &'static Field, kind: ValueKind, ids: &[Uuid]) -> BoxedStrategy<Json> {
    let texts = |texts: &'static [&str]| select(texts).prop_map(|text| json!(text)).boxed();
    match kind {
        ValueKind::Nothing => Just(Json::Null).boxed(),
        ValueKind::Text | ValueKind::Code => texts(TEXTS),
        ValueKind::Pattern => texts(PATTERNS),
        ValueKind::Number => select(NUMBERS).prop_map(|number| json!(number)).boxed(),
        ValueKind::Bool => any::<bool>().prop_map(|bool| json!(bool)).boxed(),
        ValueKind::Time => texts(TIMES),
        ValueKind::Span => texts(SPANS),
        ValueKind::Word => (select(field.kind.words()), any::<bool>())
            .prop_map(|(word, loud)| json!(if loud { word.to_uppercase() } else { word.to_lowercase() }))
            .boxed(),
        ValueKind::Reference => {
            select([ids, &[Uuid::nil(), Uuid::max()]].concat()).prop_map(|id| json!(id)).boxed()
        }
    }
}

/// A runner that tries `cases`, or as many as `PROPTEST_CASES` says; the same ones every time.
pub fn runner(cases: u32) -> TestRunner {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: asked.unwrap_or(cases),
        failure_persistence: None,
        max_global_rejects: 1 << 20,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}
