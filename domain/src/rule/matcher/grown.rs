//! Trees as they grow, and what is expected of them: guesses that need only be roughly in the right order.
//! They say what is asked first, and where a tree is noted.

use super::index::{Key, ProbeId};
use crate::vocabulary::criteria::{Leaf, Logic, Test};

/// A tree as it grows.
pub(super) enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Leaf { field: usize, negated: bool, ask: Ask },
}

/// What a leaf asks of a row.
pub(super) enum Ask {
    Present,
    /// One of these is there.
    Any(Vec<Key>),
    /// All of these are there.
    All(Vec<Key>),
    Probe(ProbeId),
}

/// A tree, and what is expected of it.
pub(super) struct Grown {
    pub tree: Tree,
    /// The share of rows that it holds for.
    share: f64,
    /// What it costs to ask.
    cost: f64,
    pub door: Option<Door>,
}

/// Keys of which a row must have one for a tree to hold, and the share of rows that have.
pub(super) struct Door {
    pub keys: Vec<Key>,
    share: f64,
}

impl Grown {
    pub fn leaf(leaf: &Leaf, ask: Ask, share: f64, cost: f64) -> Self {
        let door = match &ask {
            Ask::Any(keys) if !leaf.negated => Some(Door { keys: keys.clone(), share }),
            Ask::All(keys) if !leaf.negated => Some(Door { keys: vec![keys[0]], share }),
            _ => None,
        };
        let share = if leaf.negated { 1.0 - share } else { share };
        Self { tree: Tree::Leaf { field: leaf.field, negated: leaf.negated, ask }, share, cost, door }
    }

    /// The group with what decides soonest and costs least in front: the order of its conditions
    /// has no meaning.
    pub fn group(logic: Logic, mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
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
pub(super) fn expectation(leaf: &Leaf) -> (f64, f64) {
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
        Test::Pattern(_) => (0.3, 100.0),
    };
    (share.min(1.0), cost)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(super) fn count(of: usize) -> f64 {
    of as f64
}
