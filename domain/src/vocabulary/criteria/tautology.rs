//! Whether a tree provably matches everything.
//!
//! The search looks for one subject that the tree does not match. Each field's values fall into
//! cells on which every leaf of the tree is constant, or into a cell that refutes at least as many
//! leaves as they do; one sample stands for each, and the real tests are asked about it. What is
//! left is to pick, for each group, which of its conditions to refute, such that every field keeps
//! a sample. Fields are taken as independent and a regular expression as refutable on any text, so
//! the search may find a subject that cannot be, and let a tree pass; it never refuses one wrongly.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::Criteria;
use super::compile::{Compiled, Leaf, Outcome, Step, Test};
use super::fault::Fault;
use super::tree::Logic;
use super::value::Value;
use crate::error::Code;
use crate::vocabulary::field::Field;
use crate::vocabulary::kind::{Family, Kind};
use crate::vocabulary::time::Timestamp;

/// Samples of one field; a field that needs more counts as undecided.
const SAMPLES: usize = 4_096;
/// Bytes of text that the leaves of one field may be asked about.
const TEXT_WORK: usize = 16 << 20;
/// Choices that the search tries before it gives up undecided.
const BUDGET: usize = 5_000;

pub(super) fn refuse(criteria: &Criteria) -> Result<(), Fault> {
    let compiled = Compiled::new(criteria);
    let search = Search::new(&compiled);
    match search.refutable() {
        Some(false) => Err(Fault {
            pointer: String::new(),
            code: Code::CriteriaTautology,
            message: format!("These criteria match every {}.", criteria.catalogue().name),
        }),
        Some(true) | None => Ok(()),
    }
}

/// What has to be done to refute a node.
enum Refutation {
    /// Each of these: the node was an OR.
    Every(Vec<Refutation>),
    /// One of these: the node was an AND.
    Either(Vec<Refutation>),
    Leaf {
        slot: usize,
        /// The samples of the field on which the leaf is false.
        on: Samples,
    },
    /// A leaf on a field that has no samples: it is taken as refutable.
    Granted,
}

struct Search {
    root: Refutation,
    /// Per field that is read, all of its samples.
    all: Vec<Samples>,
}

impl Search {
    fn new(compiled: &Compiled) -> Self {
        let catalogue = compiled.criteria().catalogue();
        let fields = compiled.fields_read();
        let mut leaves = vec![Vec::new(); fields.len()];
        collect(&compiled.root, fields, &mut leaves);
        let samples: Vec<Option<Vec<Sample>>> = fields
            .iter()
            .zip(&leaves)
            .map(|(field, leaves)| samples(&catalogue.fields[*field], leaves))
            .collect();
        let all = samples.iter().map(|samples| Samples::all(samples.as_ref().map_or(0, Vec::len))).collect();
        Self { root: Refutation::of(&compiled.root, fields, &samples), all }
    }

    /// Whether some assignment of samples refutes the tree; `None` where the budget ran out.
    fn refutable(&self) -> Option<bool> {
        let mut budget = BUDGET;
        search(vec![&self.root], Vec::new(), self.all.clone(), &mut budget)
    }
}

fn search<'a>(
    mut pending: Vec<&'a Refutation>,
    mut choices: Vec<&'a [Refutation]>,
    mut alive: Vec<Samples>,
    budget: &mut usize,
) -> Option<bool> {
    while let Some(next) = pending.pop() {
        match next {
            Refutation::Every(parts) => pending.extend(parts),
            Refutation::Either(parts) => choices.push(parts),
            Refutation::Granted => {}
            Refutation::Leaf { slot, on } => {
                if !alive[*slot].keep(on) {
                    return Some(false);
                }
            }
        }
    }
    let Some(choice) = choices.pop() else { return Some(true) };
    for part in choice {
        *budget = budget.checked_sub(1)?;
        if search(vec![part], choices.clone(), alive.clone(), budget)? {
            return Some(true);
        }
    }
    Some(false)
}

impl Refutation {
    fn of(step: &Step, fields: &[usize], samples: &[Option<Vec<Sample>>]) -> Self {
        match step {
            Step::Group(_, steps) if steps.len() == 1 => Self::of(&steps[0], fields, samples),
            Step::Group(logic, steps) => {
                let parts = steps.iter().map(|step| Self::of(step, fields, samples)).collect();
                match logic {
                    Logic::And => Self::Either(parts),
                    Logic::Or => Self::Every(parts),
                }
            }
            Step::Leaf(leaf) => {
                let slot = slot(fields, leaf);
                match &samples[slot] {
                    Some(samples) => {
                        Self::Leaf { slot, on: Samples::those(samples, |sample| sample.refutes(leaf)) }
                    }
                    None => Self::Granted,
                }
            }
        }
    }
}

fn slot(fields: &[usize], leaf: &Leaf) -> usize {
    fields.binary_search(&leaf.field).expect("the fields read are those of the leaves")
}

fn collect<'a>(step: &'a Step, fields: &[usize], leaves: &mut [Vec<&'a Leaf>]) {
    match step {
        Step::Group(_, steps) => steps.iter().for_each(|step| collect(step, fields, leaves)),
        Step::Leaf(leaf) => leaves[slot(fields, leaf)].push(leaf),
    }
}

/// A set of samples of one field.
#[derive(Clone)]
struct Samples(Box<[u64]>);

impl Samples {
    fn all(count: usize) -> Self {
        Self::of(count, |_| true)
    }

    fn those(samples: &[Sample], is_in: impl Fn(&Sample) -> bool) -> Self {
        Self::of(samples.len(), |index| is_in(&samples[index]))
    }

    fn of(count: usize, is_in: impl Fn(usize) -> bool) -> Self {
        let mut bits = vec![0_u64; count.div_ceil(64)];
        for index in (0..count).filter(|index| is_in(*index)) {
            bits[index / 64] |= 1 << (index % 64);
        }
        Self(bits.into_boxed_slice())
    }

    /// Keeps what both have; false when that is nothing.
    fn keep(&mut self, others: &Self) -> bool {
        let mut any = 0;
        for (bits, others) in self.0.iter_mut().zip(&others.0) {
            *bits &= others;
            any |= *bits;
        }
        any != 0
    }
}

/// One value of a field, and the *now* it is seen at.
struct Sample {
    value: Owned,
    now: Timestamp,
}

enum Owned {
    Missing,
    Text(String),
    Number(f64),
    Bool(bool),
    Time(Timestamp),
    Code(u8),
    List(Vec<String>),
    Id(Uuid),
}

impl Sample {
    fn refutes(&self, leaf: &Leaf) -> bool {
        let value = match &self.value {
            Owned::Missing => Value::Missing,
            Owned::Text(text) => Value::Text(text),
            Owned::Number(number) => Value::Number(*number),
            Owned::Bool(bool) => Value::Bool(*bool),
            Owned::Time(at) => Value::Time(*at),
            Owned::Code(code) => Value::Code(*code),
            Owned::List(list) => Value::List(list),
            Owned::Id(id) => Value::Uuid(*id),
        };
        // A sample stands for every spelling of a text, and a regular expression tells these apart.
        matches!(leaf.test, Test::Pattern(_)) || leaf.judge(value, self.now) == Outcome::False
    }
}

impl From<Owned> for Sample {
    fn from(value: Owned) -> Self {
        Self { value, now: Timestamp(0) }
    }
}

/// Samples for every cell of the field's values; `None` where that would be too much work.
fn samples(field: &Field, leaves: &[&Leaf]) -> Option<Vec<Sample>> {
    let mut samples: Vec<Sample> = match field.kind {
        Kind::Number { min, max } => owned(numbers(min, max, leaves), Owned::Number),
        Kind::Bool => owned(vec![false, true], Owned::Bool),
        Kind::Time => times(leaves)?,
        Kind::Ordinal(_) | Kind::Enum(_) => {
            owned(field.kind.choices().map(|choice| choice.rank).collect(), Owned::Code)
        }
        Kind::Text => owned(texts(leaves)?, Owned::Text),
        Kind::Reference(_) => owned(ids(leaves), Owned::Id),
        Kind::TextList | Kind::ReferenceList(_) | Kind::CodeList(_) => owned(lists(leaves)?, Owned::List),
    };
    if !field.always_present && field.kind.family() != Family::List {
        samples.push(Owned::Missing.into());
    }
    (samples.len() <= SAMPLES).then_some(samples)
}

fn owned<T>(values: Vec<T>, wrap: impl Fn(T) -> Owned) -> Vec<Sample> {
    values.into_iter().map(|value| wrap(value).into()).collect()
}

/// Each number that is compared with, and its neighbours, which stand for the intervals between.
fn numbers(min: Option<f64>, max: Option<f64>, leaves: &[&Leaf]) -> Vec<f64> {
    let (min, max) = (min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX));
    let mut numbers = vec![min, max];
    for leaf in leaves {
        let compared: &[f64] = match &leaf.test {
            Test::Numbers(set) => set,
            Test::Number(_, number) => std::slice::from_ref(number),
            _ => &[],
        };
        numbers.extend(compared.iter().flat_map(|number| [number.next_down(), *number, number.next_up()]));
    }
    numbers.retain(|number| (min..=max).contains(number));
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.dedup();
    numbers
}

/// A time is compared on two axes: as it is, and by its distance from now. *Now* may be any time,
/// so every cell of the one goes with every cell of the other.
fn times(leaves: &[&Leaf]) -> Option<Vec<Sample>> {
    let (mut instants, mut distances) = (vec![0_i64], vec![0_i64]);
    for leaf in leaves {
        match &leaf.test {
            Test::Time(_, at) => instants.push(at.0),
            Test::OlderThan(span) | Test::WithinLast(span) => distances.push(-span.0),
            _ => {}
        }
    }
    let (instants, distances) = (with_neighbours(instants)?, with_neighbours(distances)?);
    if instants.len() * distances.len() > SAMPLES {
        return None;
    }
    let mut samples = Vec::with_capacity(instants.len() * distances.len());
    for at in &instants {
        for distance in &distances {
            let now = Timestamp(at.checked_sub(*distance)?);
            samples.push(Sample { value: Owned::Time(Timestamp(*at)), now });
        }
    }
    Some(samples)
}

fn with_neighbours(points: Vec<i64>) -> Option<Vec<i64>> {
    let mut all = Vec::with_capacity(points.len() * 3);
    for point in points {
        all.extend([point.checked_sub(1)?, point, point.checked_add(1)?]);
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// Each text that is asked for as a whole, and one in which nothing that is asked for is found: it
/// refutes whatever another text refutes.
fn texts(leaves: &[&Leaf]) -> Option<Vec<String>> {
    let mut asked = Vec::new();
    let mut texts = Vec::new();
    for leaf in leaves {
        match &leaf.test {
            Test::Text(set) => texts.extend(set.iter().map(str::to_owned)),
            Test::Contains(needle) => asked.push(needle.as_str()),
            Test::StartsWith(head) => asked.push(head),
            _ => {}
        }
    }
    let fresh = fresh_text(asked.into_iter().chain(texts.iter().map(String::as_str)))?;
    texts.push(fresh);
    texts.sort_unstable();
    texts.dedup();
    let bytes: usize = texts.iter().map(String::len).sum();
    (bytes * leaves.len() <= TEXT_WORK).then_some(texts)
}

/// One character that is in none of these, out of those that nobody writes, while there are any.
fn fresh_text<'a>(asked: impl Iterator<Item = &'a str>) -> Option<String> {
    let taken: HashSet<char> = asked.flat_map(str::chars).collect();
    ('\u{E000}'..=char::MAX).find(|char| !taken.contains(char)).map(String::from)
}

/// Each id that is asked for, and one that is not.
fn ids(leaves: &[&Leaf]) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for leaf in leaves {
        if let Test::Ids(set) = &leaf.test {
            ids.extend_from_slice(set);
        }
    }
    let asked: HashSet<Uuid> = ids.iter().copied().collect();
    ids.extend((0..).map(Uuid::from_u128).find(|id| !asked.contains(id)));
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Elements that the same leaves name are told apart by none of them, so of each such class a list
/// has none, one, or (where `all_in` asks for it) every one; and it has others, or not.
fn lists(leaves: &[&Leaf]) -> Option<Vec<Vec<String>>> {
    let mut named_by: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, leaf) in leaves.iter().enumerate() {
        if let Test::Any(set) | Test::All(set) = &leaf.test {
            set.iter().for_each(|element| named_by.entry(element).or_default().push(index));
        }
    }
    let fresh = fresh_text(named_by.keys().copied())?;
    let mut classes: BTreeMap<Vec<usize>, Vec<&str>> = BTreeMap::new();
    for (element, leaves) in named_by {
        classes.entry(leaves).or_default().push(element);
    }
    let mut lists = vec![Vec::new(), vec![fresh]];
    for (naming, class) in &classes {
        let wholly = naming.iter().any(|index| matches!(leaves[*index].test, Test::All(_)));
        let mut grown = Vec::new();
        for list in &lists {
            let having = |elements: &[&str]| -> Vec<String> {
                list.iter().cloned().chain(elements.iter().map(|element| (*element).to_owned())).collect()
            };
            grown.push(having(&class[..1]));
            if wholly && class.len() > 1 {
                grown.push(having(class));
            }
        }
        lists.extend(grown);
        if lists.len() > SAMPLES {
            return None;
        }
    }
    Some(lists)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::vocabulary::field::finding::FINDING;

    /// `key operator [value]`, joined by one logic.
    fn refused(logic: &str, leaves: &[(&str, &str, Json)]) -> bool {
        let conditions: Vec<Json> = leaves
            .iter()
            .map(|(field, operator, value)| json!({ "field": field, "operator": operator, "value": value }))
            .collect();
        let tree = json!({ "logic": logic, "conditions": conditions });
        let criteria = Criteria::parse(&FINDING, &tree).unwrap_or_else(|faults| panic!("{faults}"));
        criteria.refuse_tautology().is_err()
    }

    #[test]
    fn what_matches_everything_is_refused() {
        let nothing = || Json::Null;
        let id = || json!("01938e2a-7c00-7000-8000-000000000001");
        let day = || json!("2026-11-21");
        let cases: Vec<Vec<(&str, &str, Json)>> = vec![
            vec![("severity", "gte_ord", json!("info"))],
            vec![("severity", "gt", json!("low")), ("severity", "lt", json!("high"))],
            vec![
                ("status", "in", json!(["OPEN", "IN_PROGRESS", "FIXED", "ACCEPTED_RISK"])),
                ("status", "in", json!(["FALSE_POSITIVE", "CLOSED"])),
            ],
            vec![("severity", "neq", json!("high")), ("severity", "neq", json!("low"))],
            vec![("title", "is_not_empty", nothing())],
            vec![("project", "neq", id()), ("project", "in", json!([id()]))],
            vec![("known_exploit", "eq", json!(true)), ("known_exploit", "neq", json!(true))],
            vec![
                ("known_exploit", "eq", json!(true)),
                ("known_exploit", "eq", json!(false)),
                ("known_exploit", "is_empty", nothing()),
            ],
            vec![("cvss_score", "gte", json!(0)), ("cvss_score", "is_empty", nothing())],
            vec![
                ("cvss_score", "lte", json!(5)),
                ("cvss_score", "gt", json!(5)),
                ("cvss_score", "is_empty", nothing()),
            ],
            vec![("cvss_score", "neq", json!(11))],
            vec![("first_seen_at", "lte", day()), ("first_seen_at", "gt", day())],
            vec![("due_at", "is_empty", nothing()), ("due_at", "is_not_empty", nothing())],
            vec![("tags", "contains", json!("pci")), ("tags", "neq", json!("PCI"))],
            vec![
                ("tags", "not_in", json!(["a", "b"])),
                ("tags", "contains", json!("a")),
                ("tags", "contains", json!("b")),
            ],
            vec![("tags", "not_in", json!(["a", "b"])), ("tags", "in", json!(["b", "a", "c"]))],
            vec![
                ("tags", "neq", json!("a")),
                ("tags", "neq", json!("b")),
                ("tags", "all_in", json!(["a", "b"])),
            ],
            vec![("title", "neq", json!("abc")), ("title", "contains", json!("B"))],
        ];
        for case in &cases {
            assert!(refused("OR", case), "{case:?}");
        }
    }

    #[test]
    fn what_some_finding_escapes_is_accepted() {
        let nothing = || Json::Null;
        let cases: Vec<Vec<(&str, &str, Json)>> = vec![
            vec![("severity", "gt", json!("info"))],
            vec![("asset_criticality", "gte_ord", json!("low"))],
            vec![("cvss_score", "gte", json!(0))],
            vec![
                ("cvss_score", "lt", json!(5)),
                ("cvss_score", "gt", json!(5)),
                ("cvss_score", "is_empty", nothing()),
            ],
            vec![("tags", "is_not_empty", nothing())],
            vec![("title", "neq", json!("abc")), ("title", "matches_regex", json!("abc"))],
            vec![("title", "neq", json!("abc")), ("title", "contains", json!("abd"))],
            // A time may lie ahead, so there is a third side to these two.
            vec![("first_seen_at", "older_than", json!("7d")), ("first_seen_at", "within_last", json!("7d"))],
            vec![("tags", "neq", json!("a")), ("tags", "all_in", json!(["a", "b"]))],
            vec![
                ("severity", "eq", json!("high")),
                ("tags", "neq", json!("a")),
                ("title", "contains", json!("x")),
            ],
        ];
        for case in &cases {
            assert!(!refused("OR", case), "{case:?}");
        }
        assert!(!refused("AND", &[("severity", "gte", json!("info")), ("tags", "neq", json!("a"))]));
        assert!(refused("AND", &[("severity", "gte", json!("info")), ("title", "is_not_empty", nothing())]));
    }

    #[test]
    fn the_search_ends_on_the_largest_of_trees() {
        let severities = ["info", "low", "medium", "high", "critical", "urgent"];
        let pair = |index: usize| {
            json!({ "logic": "AND", "conditions": [
                { "field": "severity", "operator": "neq", "value": severities[index % 6] },
                { "field": "tags", "operator": "neq", "value": format!("tag {index}") },
            ] })
        };
        let pairs: Vec<Json> = (0..250).map(pair).collect();
        let tree = json!({ "logic": "OR", "conditions": pairs });
        let criteria = Criteria::parse(&FINDING, &tree).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(criteria.refuse_tautology().is_ok(), "a list with every tag escapes, or the search gave up");
    }
}
