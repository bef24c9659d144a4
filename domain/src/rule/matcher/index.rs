//! Many trees made into one index over their predicates, once per version of a rule set.
//!
//! A test for equality (of a text, a number, an id, a word, an element) becomes *keys*: a field and
//! one value each. Every other test becomes a *probe*. Both are shared by all trees that ask the
//! same. A tree with a key that it cannot hold without is looked at only in blocks that have it.

use std::collections::HashMap;

use uuid::Uuid;

use crate::vocabulary::criteria::{Compiled, Leaf, Logic, Step, Test};
use crate::vocabulary::kind::{Family, Kind};

/// A field and one value of it, by number.
pub(super) type Key = u32;
/// A test that is not for equality, by number.
pub(super) type ProbeId = u32;

/// The trees of a rule set, in the order of the walk.
#[derive(Debug)]
pub struct Index {
    /// By the index of the field; `None` where no tree reads it.
    pub(super) columns: Vec<Option<Column>>,
    pub(super) probes: Vec<Probe>,
    /// By place in the walk; `None` for criteria that do not compile.
    pub(super) trees: Vec<Option<Tree>>,
    /// By key: the trees to look at where a block has it.
    pub(super) wakes: Vec<Vec<u32>>,
    /// The trees to look at in every block, one bit each.
    pub(super) always: Vec<u64>,
}

/// What is asked of one field.
#[derive(Debug)]
pub(super) struct Column {
    pub kind: Kind,
    pub keys: Keys,
    pub probes: Vec<ProbeId>,
    /// The last tree that reads it.
    pub last_reader: usize,
}

/// The values of a field that trees name.
#[derive(Debug)]
pub(super) enum Keys {
    /// Folded, with the length of the longest.
    Texts(HashMap<Box<str>, Key>, usize),
    /// By their bits, with one zero.
    Numbers(HashMap<u64, Key>),
    Ids(HashMap<Uuid, Key>),
    /// By code; false and true are 0 and 1.
    Codes(Vec<Key>),
}

#[derive(Debug)]
pub(super) struct Probe {
    pub field: usize,
    pub test: Test,
}

#[derive(Debug)]
pub(super) enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Leaf { field: usize, negated: bool, ask: Ask },
}

#[derive(Debug)]
pub(super) enum Ask {
    Present,
    /// One of these is there.
    Any(Vec<Key>),
    /// All of these are there.
    All(Vec<Key>),
    Probe(ProbeId),
}

/// A tree, and what is expected of it: guesses that need only be roughly in the right order.
struct Grown {
    tree: Tree,
    /// The share of rows that it holds for.
    share: f64,
    /// What it costs to ask.
    cost: f64,
    door: Option<Door>,
}

/// Keys of which a row must have one for a tree to hold, and the share of rows that have.
struct Door {
    keys: Vec<Key>,
    share: f64,
}

impl Index {
    pub fn new<'a>(trees: impl IntoIterator<Item = Option<&'a Compiled>>) -> Self {
        let mut maker = Maker {
            index: Self {
                columns: Vec::new(),
                probes: Vec::new(),
                trees: Vec::new(),
                wakes: Vec::new(),
                always: Vec::new(),
            },
            known: HashMap::new(),
        };
        for compiled in trees {
            maker.add(compiled);
        }
        maker.index
    }
}

struct Maker {
    index: Index,
    /// The probes so far, by field and test.
    known: HashMap<(usize, String), ProbeId>,
}

impl Maker {
    fn add(&mut self, compiled: Option<&Compiled>) {
        let at = self.index.trees.len();
        if at.is_multiple_of(64) {
            self.index.always.push(0);
        }
        let grown = compiled.map(|compiled| self.grow(&compiled.root, at));
        let (tree, door) = grown.map_or((None, None), |grown| (Some(grown.tree), grown.door));
        match door {
            Some(door) => {
                let at = u32::try_from(at).expect("there are fewer rules");
                door.keys.into_iter().for_each(|key| self.index.wakes[key as usize].push(at));
            }
            None => self.index.always[at / 64] |= 1 << (at % 64),
        }
        self.index.trees.push(tree);
    }

    fn grow(&mut self, step: &Step, at: usize) -> Grown {
        match step {
            Step::Leaf(leaf) => {
                let (share, cost) = expectation(leaf);
                let ask = self.ask(leaf, at);
                let door = match &ask {
                    Ask::Any(keys) if !leaf.negated => Some(Door { keys: keys.clone(), share }),
                    Ask::All(keys) if !leaf.negated => Some(Door { keys: vec![keys[0]], share }),
                    _ => None,
                };
                let share = if leaf.negated { 1.0 - share } else { share };
                Grown {
                    tree: Tree::Leaf { field: leaf.field, negated: leaf.negated, ask },
                    share,
                    cost,
                    door,
                }
            }
            Step::Group(logic, steps) => {
                Grown::group(*logic, steps.iter().map(|step| self.grow(step, at)).collect())
            }
        }
    }

    fn ask(&mut self, leaf: &Leaf, at: usize) -> Ask {
        let columns = &mut self.index.columns;
        if columns.len() <= leaf.field {
            columns.resize_with(leaf.field + 1, || None);
        }
        let wakes = &mut self.index.wakes;
        let column = columns[leaf.field].get_or_insert_with(|| Column {
            kind: leaf.kind,
            keys: Keys::of(leaf.kind, wakes),
            probes: Vec::new(),
            last_reader: at,
        });
        column.last_reader = at;
        let mut new = || {
            wakes.push(Vec::new());
            Key::try_from(wakes.len() - 1).expect("there are fewer values")
        };
        match (&leaf.test, &mut column.keys) {
            (Test::Present, _) => Ask::Present,
            (Test::Text(set) | Test::Any(set) | Test::All(set), Keys::Texts(keys, longest)) => {
                let key = |text: &str| {
                    *longest = text.len().max(*longest);
                    *keys.entry(text.into()).or_insert_with(&mut new)
                };
                let all = set.iter().map(key).collect();
                if matches!(leaf.test, Test::All(_)) { Ask::All(all) } else { Ask::Any(all) }
            }
            (Test::Numbers(set), Keys::Numbers(keys)) => Ask::Any(
                set.iter().map(|number| *keys.entry(bits(*number)).or_insert_with(&mut new)).collect(),
            ),
            (Test::Ids(set), Keys::Ids(keys)) => {
                Ask::Any(set.iter().map(|id| *keys.entry(*id).or_insert_with(&mut new)).collect())
            }
            (Test::Codes(set), Keys::Codes(keys)) => {
                Ask::Any((0..keys.len()).filter(|code| set >> code & 1 == 1).map(|code| keys[code]).collect())
            }
            (Test::Bool(bool), Keys::Codes(keys)) => Ask::Any(vec![keys[usize::from(*bool)]]),
            (test, _) => {
                // What is derived for a test shows all that it is.
                let identity = (leaf.field, format!("{test:?}"));
                let probes = &mut self.index.probes;
                Ask::Probe(*self.known.entry(identity).or_insert_with(|| {
                    let id = ProbeId::try_from(probes.len()).expect("there are fewer tests");
                    probes.push(Probe { field: leaf.field, test: test.clone() });
                    column.probes.push(id);
                    id
                }))
            }
        }
    }
}

impl Keys {
    fn of(kind: Kind, wakes: &mut Vec<Vec<u32>>) -> Self {
        let mut codes = |count: usize| {
            let first = wakes.len();
            wakes.resize_with(first + count, Vec::new);
            Self::Codes(
                (first..first + count)
                    .map(|key| Key::try_from(key).expect("there are fewer values"))
                    .collect(),
            )
        };
        match kind.family() {
            Family::Text | Family::List => Self::Texts(HashMap::new(), 0),
            Family::Number | Family::Time => Self::Numbers(HashMap::new()),
            Family::Reference => Self::Ids(HashMap::new()),
            Family::Bool => codes(2),
            Family::Ordinal | Family::Enum => codes(kind.words().len()),
        }
    }
}

/// The bits of a number, with one zero.
pub(super) fn bits(number: f64) -> u64 {
    (number + 0.0).to_bits()
}

impl Grown {
    /// The group with what decides soonest and costs least in front: the order of its conditions
    /// has no meaning.
    fn group(logic: Logic, mut parts: Vec<Self>) -> Self {
        let decides = |part: &Self| match logic {
            Logic::And => 1.0 - part.share,
            Logic::Or => part.share,
        };
        let rank = |part: &Self| part.cost / decides(part).max(1e-6);
        parts.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        let cost = parts.iter().map(|part| part.cost).sum();
        let undecided: f64 = parts.iter().map(|part| 1.0 - decides(part)).product();
        let (trees, doors): (Vec<Tree>, Vec<Option<Door>>) =
            parts.into_iter().map(|part| (part.tree, part.door)).unzip();
        match logic {
            Logic::And => {
                let door = doors.into_iter().flatten().min_by(|a, b| a.share.total_cmp(&b.share));
                Self { tree: Tree::All(trees), share: undecided, cost, door }
            }
            Logic::Or => {
                let doors: Option<Vec<Door>> = doors.into_iter().collect();
                let door = doors.map(|doors| Door {
                    share: doors.iter().map(|door| door.share).sum(),
                    keys: doors.into_iter().flat_map(|door| door.keys).collect(),
                });
                Self { tree: Tree::Any(trees), share: 1.0 - undecided, cost, door }
            }
        }
    }
}

/// The share of rows that a leaf's test is expected to pass, and what it costs.
fn expectation(leaf: &Leaf) -> (f64, f64) {
    let (share, cost) = match &leaf.test {
        Test::Present => (0.7, 1.0),
        Test::Text(set) | Test::Any(set) => (0.02 * count(set.iter().len()), 1.0),
        Test::All(set) => (0.01, count(set.iter().len())),
        Test::Numbers(set) => (0.05 * count(set.len()), 1.0),
        Test::Ids(set) => (0.1 * count(set.len()), 1.0),
        Test::Codes(set) => {
            let passing = f64::from(set.count_ones());
            (passing / count(leaf.kind.words().len()), passing)
        }
        Test::Bool(_) => (0.3, 1.0),
        Test::Number(..) | Test::Time(..) | Test::OlderThan(_) | Test::WithinLast(_) => (0.4, 2.0),
        Test::Contains(_) | Test::StartsWith(_) => (0.1, 30.0),
        Test::Pattern(_) => (0.1, 100.0),
    };
    (share.min(1.0), cost)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn count(of: usize) -> f64 {
    of as f64
}
