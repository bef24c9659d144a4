//! Many trees made into one index over their predicates, once per version of a rule set.
//!
//! A test for equality (of a text, a number, an id, a word, an element) or for a text inside of
//! another becomes *keys*: a field and one value each. Every other test becomes a *probe*. Both are
//! shared by all trees that ask the same. A regular expression is both: keys for the texts that it
//! cannot match without, and a probe for those that have them. A tree with a key that it cannot hold
//! without is looked at only in blocks that have it.

use std::collections::HashMap;

use uuid::Uuid;

use super::grown::{Ask, Grown, count, expectation};
use super::literals;
use super::needles::{LOOKED_FOR, Needles, Place, Wanted};
use super::program::Program;
use crate::vocabulary::criteria::{Compiled, Leaf, Logic, Step, Test};
use crate::vocabulary::kind::{Family, Kind};

/// A map that a batch asks for every value: its hash is quick, and of a seed that nobody knows.
pub(super) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

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
    pub(super) program: Program,
    pub(super) wakes: Wakes,
    /// The trees to look at in every block, one bit each.
    pub(super) always: Vec<u64>,
}

/// By key: the trees to look at where a block has it.
#[derive(Debug)]
pub(super) struct Wakes {
    /// Where the trees of each key begin, and behind the last where they end.
    begins: Vec<u32>,
    trees: Vec<u32>,
}

/// What is asked of one field.
#[derive(Debug)]
pub(super) struct Column {
    pub kind: Kind,
    pub keys: Keys,
    /// What is looked for inside of its texts.
    pub needles: Option<Needles>,
    pub probes: Vec<ProbeId>,
    /// The last tree that reads it.
    pub last_reader: usize,
}

/// The values of a field that trees name.
#[derive(Debug)]
pub(super) enum Keys {
    /// Folded, with the length of the longest.
    Texts(Map<Box<str>, Key>, usize),
    /// By their bits, with one zero.
    Numbers(Map<u64, Key>),
    Ids(Map<Uuid, Key>),
    /// By code; false and true are 0 and 1.
    Codes(Vec<Key>),
}

#[derive(Debug)]
pub(super) struct Probe {
    pub field: usize,
    pub test: Test,
}

impl Index {
    pub fn new<'a>(trees: impl IntoIterator<Item = Option<&'a Compiled>>) -> Self {
        let mut maker = Maker::default();
        for compiled in trees {
            maker.add(compiled);
        }
        maker.finish()
    }
}

impl Wakes {
    /// Of so many keys; `woken`: keys, each with a tree to look at.
    fn new(NewKeys(keys): NewKeys, mut woken: Vec<(Key, u32)>) -> Self {
        woken.sort_unstable();
        let begin = |key: Key| woken.partition_point(|(of, _)| *of < key);
        Self {
            begins: (0..=keys).map(|key| place(begin(key))).collect(),
            trees: woken.iter().map(|(_, tree)| *tree).collect(),
        }
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.begins.len() - 1
    }

    #[inline]
    pub fn of(&self, key: Key) -> &[u32] {
        let [begin, end] = [key, key + 1].map(|key| self.begins[key as usize] as usize);
        &self.trees[begin..end]
    }
}

/// An index while trees are added.
#[derive(Default)]
struct Maker {
    columns: Vec<Option<Column>>,
    probes: Vec<Probe>,
    program: Program,
    always: Vec<u64>,
    keys: NewKeys,
    /// Keys, each with a tree to look at where a block has it.
    woken: Vec<(Key, u32)>,
    /// The probes so far, by field and test.
    known: HashMap<(usize, String), ProbeId>,
    /// By the index of the field: what is looked for inside of its texts.
    wanted: Vec<Wanted>,
}

impl Maker {
    fn add(&mut self, compiled: Option<&Compiled>) {
        let at = self.program.len();
        if at.is_multiple_of(64) {
            self.always.push(0);
        }
        let grown = compiled.map(|compiled| self.grow(&compiled.root, at));
        let (tree, door) = grown.map_or((None, None), |grown| (Some(grown.tree), grown.door));
        match door {
            Some(door) => {
                let tree = place(at);
                self.woken.extend(door.keys.into_iter().map(|key| (key, tree)));
            }
            None => self.always[at / 64] |= 1 << (at % 64),
        }
        self.program.push(tree.as_ref());
    }

    fn finish(self) -> Index {
        let Self { mut columns, probes, program, always, keys, woken, wanted, .. } = self;
        for (column, wanted) in columns.iter_mut().zip(wanted) {
            if let Some(column) = column {
                column.needles = wanted.finish();
            }
        }
        Index { columns, probes, program, wakes: Wakes::new(keys, woken), always }
    }

    fn grow(&mut self, step: &Step, at: usize) -> Grown {
        match step {
            Step::Leaf(leaf) => {
                let logic = if leaf.negated { Logic::Or } else { Logic::And };
                Grown::group(logic, self.leaf(leaf, at))
            }
            Step::Group(logic, steps) => {
                let mut parts = Vec::with_capacity(steps.len());
                steps.iter().for_each(|step| self.join(step, *logic, at, &mut parts));
                Grown::group(*logic, parts)
            }
        }
    }

    /// Adds a condition of a group to the parts of the group: several, where it is one of the same
    /// logic itself.
    fn join(&mut self, step: &Step, within: Logic, at: usize, parts: &mut Vec<Grown>) {
        match step {
            Step::Group(logic, steps) if *logic == within => {
                steps.iter().for_each(|step| self.join(step, within, at, parts));
            }
            Step::Leaf(leaf) if leaf.negated == (within == Logic::Or) => parts.extend(self.leaf(leaf, at)),
            step => parts.push(self.grow(step, at)),
        }
    }

    /// What a leaf comes to: all of its parts hold, or of a negated one any.
    fn leaf(&mut self, leaf: &Leaf, at: usize) -> Vec<Grown> {
        self.column(leaf, at);
        let asks = match &leaf.test {
            Test::Contains(needle) => self.find(leaf, needle.as_str(), Place::Anywhere),
            Test::StartsWith(head) => self.find(leaf, head, Place::Start),
            Test::Pattern(pattern) => self.find_all(leaf, pattern.as_str()),
            _ => {
                let (share, cost) = expectation(leaf);
                vec![(self.ask(leaf), share, cost)]
            }
        };
        asks.into_iter().map(|(ask, share, cost)| Grown::leaf(leaf, ask, share, cost)).collect()
    }

    /// A text inside of others: its head is a key, and a probe sees to what is longer.
    fn find(&mut self, leaf: &Leaf, needle: &str, place: Place) -> Vec<(Ask, f64, f64)> {
        let needle = needle.as_bytes();
        let head = &needle[..needle.len().min(LOOKED_FOR)];
        let mut asks = Vec::new();
        let key = self.needle(leaf.field, head, place);
        asks.extend(key.map(|key| (Ask::Any(vec![key]), literals::share(&[head]), 1.0)));
        if key.is_none() || head.len() < needle.len() {
            let (share, cost) = expectation(leaf);
            asks.push((self.probe(leaf), share, cost));
        }
        asks
    }

    /// An expression: keys for what it needs, and a probe for the texts that have it.
    fn find_all(&mut self, leaf: &Leaf, pattern: &str) -> Vec<(Ask, f64, f64)> {
        let mut asks = Vec::new();
        for clause in literals::required(pattern) {
            let keys: Option<Vec<Key>> =
                clause.iter().map(|needle| self.needle(leaf.field, needle, Place::Anywhere)).collect();
            asks.extend(keys.map(|keys| {
                let cost = count(keys.len());
                (Ask::Any(keys), literals::share(&clause), cost)
            }));
        }
        let (share, cost) = expectation(leaf);
        asks.push((self.probe(leaf), share, cost));
        asks
    }

    fn needle(&mut self, field: usize, needle: &[u8], place: Place) -> Option<Key> {
        if self.wanted.len() <= field {
            self.wanted.resize_with(field + 1, Wanted::default);
        }
        self.wanted[field].key(needle, place, || self.keys.next())
    }

    fn probe(&mut self, leaf: &Leaf) -> Ask {
        // What is derived for a test shows all that it is.
        let identity = (leaf.field, format!("{:?}", leaf.test));
        let Self { probes, columns, .. } = self;
        Ask::Probe(*self.known.entry(identity).or_insert_with(|| {
            let id = ProbeId::try_from(probes.len()).expect("there are fewer tests");
            probes.push(Probe { field: leaf.field, test: leaf.test.clone() });
            columns[leaf.field].iter_mut().for_each(|column| column.probes.push(id));
            id
        }))
    }

    /// Makes sure of the column that a leaf of the tree at `at` reads.
    fn column(&mut self, leaf: &Leaf, at: usize) {
        let Self { columns, keys, .. } = self;
        if columns.len() <= leaf.field {
            columns.resize_with(leaf.field + 1, || None);
        }
        let column = columns[leaf.field].get_or_insert_with(|| Column {
            kind: leaf.kind,
            keys: Keys::of(leaf.kind, keys),
            needles: None,
            probes: Vec::new(),
            last_reader: at,
        });
        column.last_reader = at;
    }

    fn ask(&mut self, leaf: &Leaf) -> Ask {
        let Some(column) = &mut self.columns[leaf.field] else { unreachable!("the column was made") };
        let mut new = || self.keys.next();
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
            _ => self.probe(leaf),
        }
    }
}

/// Keys, numbered as they come.
#[derive(Default)]
struct NewKeys(Key);

impl NewKeys {
    fn next(&mut self) -> Key {
        let key = self.0;
        self.0 = key.checked_add(1).expect("there are fewer values");
        key
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("there are fewer rules and keys")
}

impl Keys {
    fn of(kind: Kind, new: &mut NewKeys) -> Self {
        let mut codes = |count: usize| Self::Codes((0..count).map(|_| new.next()).collect());
        match kind.family() {
            Family::Text | Family::List => Self::Texts(Map::default(), 0),
            Family::Number | Family::Time => Self::Numbers(Map::default()),
            Family::Reference => Self::Ids(Map::default()),
            Family::Bool => codes(2),
            Family::Ordinal | Family::Enum => codes(kind.words().len()),
        }
    }
}

/// The bits of a number, with one zero.
pub(super) fn bits(number: f64) -> u64 {
    (number + 0.0).to_bits()
}
