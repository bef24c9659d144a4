//! Whether some subject makes trees come out as wanted.
//!
//! Each field's values fall into cells on which every leaf is constant, and one sample stands for each.
//! What is left is to pick, for each group, which of its conditions to bring about, such that every
//! field keeps a sample. Fields are taken as independent, each with a *now* of its own, and what a
//! text contains or matches as free where the text is not named: so a subject that is found may not
//! exist, and where none is found there is none.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::compile::{Leaf, Outcome, Step, Test, bit};
use super::tree::Logic;
use super::value::Value;
use crate::vocabulary::field::{Catalogue, Field};
use crate::vocabulary::kind::{Family, Kind};
use crate::vocabulary::time::Timestamp;

/// Samples of one field; a field that needs more counts as free.
const SAMPLES: usize = 4_096;
/// Bytes of text that the leaves of one field may be asked about.
const TEXT_WORK: usize = 16 << 20;
/// What one choice of the search costs, in tests of a leaf on a sample.
const CHOICE: usize = 5_000;

/// A tree, or a part of one, and what it is to come to.
#[derive(Clone, Copy)]
pub(crate) struct Goal<'a> {
    pub step: &'a Step,
    pub holds: bool,
}

/// Whether some subject brings about all of these; `None` where the budget, in tests of a leaf on a
/// sample, ran out first. `within` bounds the codes that fields of words have, by their index. What is
/// said of a field that has no samples is taken as possible.
pub(crate) fn possible(
    catalogue: &Catalogue,
    goals: &[Goal<'_>],
    within: &[(usize, u64)],
    budget: &mut usize,
) -> Option<bool> {
    let mut leaves: BTreeMap<usize, Vec<&Leaf>> = BTreeMap::new();
    goals.iter().for_each(|goal| collect(goal.step, &mut leaves));
    let mut fields = BTreeMap::new();
    let mut alive = Vec::with_capacity(leaves.len());
    for (slot, (field, leaves)) in leaves.into_iter().enumerate() {
        let mut samples = samples(&catalogue.fields[field], &leaves);
        if let (Some(samples), Some((_, codes))) = (&mut samples, within.iter().find(|(of, _)| *of == field))
        {
            samples.retain(|sample| !matches!(sample.value, Owned::Code(code) if bit(code) & codes == 0));
        }
        let count = samples.as_ref().map_or(0, Vec::len);
        *budget = budget.checked_sub(count * leaves.len() + 1)?;
        alive.push(Samples::all(count));
        fields.insert(field, (slot, samples));
    }
    let demands: Vec<Demand> = goals.iter().map(|goal| Demand::of(goal.step, goal.holds, &fields)).collect();
    search(demands.iter().collect(), Vec::new(), alive, budget)
}

/// The samples of the fields that are read, each with the number of its field.
type Fields = BTreeMap<usize, (usize, Option<Vec<Sample>>)>;

/// What has to be brought about.
enum Demand {
    Every(Vec<Demand>),
    Either(Vec<Demand>),
    Leaf {
        slot: usize,
        /// The samples of the field on which the leaf can come to what is wanted.
        on: Samples,
    },
    /// A leaf on a field that has no samples.
    Granted,
}

fn search<'a>(
    mut pending: Vec<&'a Demand>,
    mut choices: Vec<&'a [Demand]>,
    mut alive: Vec<Samples>,
    budget: &mut usize,
) -> Option<bool> {
    while let Some(next) = pending.pop() {
        match next {
            Demand::Every(parts) => pending.extend(parts),
            Demand::Either(parts) => choices.push(parts),
            Demand::Granted => {}
            Demand::Leaf { slot, on } => {
                if !alive[*slot].keep(on) {
                    return Some(false);
                }
            }
        }
    }
    let Some(choice) = choices.pop() else { return Some(true) };
    for part in choice {
        *budget = budget.checked_sub(CHOICE)?;
        if search(vec![part], choices.clone(), alive.clone(), budget)? {
            return Some(true);
        }
    }
    Some(false)
}

impl Demand {
    fn of(step: &Step, holds: bool, fields: &Fields) -> Self {
        match step {
            Step::Group(_, steps) if steps.len() == 1 => Self::of(&steps[0], holds, fields),
            Step::Group(logic, steps) => {
                let parts = steps.iter().map(|step| Self::of(step, holds, fields)).collect();
                if (*logic == Logic::And) == holds { Self::Every(parts) } else { Self::Either(parts) }
            }
            Step::Leaf(leaf) => match &fields[&leaf.field] {
                (slot, Some(samples)) => {
                    let on = Samples::those(samples, |sample| sample.can_come_to(leaf, holds));
                    Self::Leaf { slot: *slot, on }
                }
                (_, None) => Self::Granted,
            },
        }
    }
}

fn collect<'a>(step: &'a Step, leaves: &mut BTreeMap<usize, Vec<&'a Leaf>>) {
    match step {
        Step::Group(_, steps) => steps.iter().for_each(|step| collect(step, leaves)),
        Step::Leaf(leaf) => leaves.entry(leaf.field).or_default().push(leaf),
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
    /// In any spelling.
    Text(String),
    /// Any text that no leaf names as a whole.
    AnyText,
    Number(f64),
    Bool(bool),
    Time(Timestamp),
    Code(u8),
    List(Vec<String>),
    Id(Uuid),
}

impl Sample {
    /// Whether the leaf holds on it, or does not, as wanted; or may do either.
    fn can_come_to(&self, leaf: &Leaf, holds: bool) -> bool {
        let value = match &self.value {
            Owned::Missing => Value::Missing,
            // A regular expression tells spellings apart.
            Owned::Text(_) | Owned::AnyText if matches!(leaf.test, Test::Pattern(_)) => return true,
            Owned::Text(text) => Value::Text(text),
            Owned::AnyText => match leaf.test {
                Test::Contains(_) | Test::StartsWith(_) => return true,
                ref test => return (matches!(test, Test::Present) != leaf.negated) == holds,
            },
            Owned::Number(number) => Value::Number(*number),
            Owned::Bool(bool) => Value::Bool(*bool),
            Owned::Time(at) => Value::Time(*at),
            Owned::Code(code) => Value::Code(*code),
            Owned::List(list) => Value::List(list),
            Owned::Id(id) => Value::Uuid(*id),
        };
        leaf.judge(value, self.now) == if holds { Outcome::True } else { Outcome::False }
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
        Kind::Text => texts(leaves)?,
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

/// Each text that is asked for as a whole, and any other one.
fn texts(leaves: &[&Leaf]) -> Option<Vec<Sample>> {
    let mut texts = Vec::new();
    for leaf in leaves {
        if let Test::Text(set) = &leaf.test {
            texts.extend(set.iter().map(str::to_owned));
        }
    }
    texts.sort_unstable();
    texts.dedup();
    let bytes: usize = texts.iter().map(String::len).sum();
    if bytes * leaves.len() > TEXT_WORK {
        return None;
    }
    let mut samples = owned(texts, Owned::Text);
    samples.push(Owned::AnyText.into());
    Some(samples)
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
