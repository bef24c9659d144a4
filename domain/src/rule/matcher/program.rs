//! The trees of an index laid out flat, one behind the other in the order in which they are asked: a
//! block goes through thousands of them, and what it reads next should lie beside what it just read.

use super::grown::{Ask, Tree};
use super::index::{Key, ProbeId};

/// The place of a step.
pub(super) type At = u32;

#[derive(Debug, Default)]
pub(super) struct Program {
    steps: Vec<Step>,
    /// The keys of the leaves that ask for several, leaf by leaf.
    keys: Vec<Key>,
    /// By place in the walk; `None` for criteria that do not compile.
    trees: Vec<Option<At>>,
}

/// A group, with its conditions right behind it, or a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// All conditions before `end` hold.
    All {
        end: At,
    },
    /// One of the conditions before `end` holds.
    Any {
        end: At,
    },
    Leaf {
        field: u16,
        negated: bool,
        question: Question,
    },
}

/// What a leaf asks of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    Present,
    /// Whether it has this key.
    Key(Key),
    /// Whether it has one of these.
    AnyOf(Run),
    /// Whether it has all of these.
    AllOf(Run),
    Probe(ProbeId),
}

/// Keys of a program that lie beside each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    from: u32,
    count: u16,
}

impl Program {
    /// How many trees there are.
    pub fn len(&self) -> usize {
        self.trees.len()
    }

    /// Where a tree begins.
    #[inline]
    pub fn tree(&self, tree: usize) -> Option<At> {
        self.trees[tree]
    }

    #[inline]
    pub fn step(&self, at: At) -> Step {
        self.steps[at as usize]
    }

    #[inline]
    pub fn keys(&self, Run { from, count }: Run) -> &[Key] {
        &self.keys[from as usize..][..usize::from(count)]
    }

    /// Adds the tree that is next in the walk.
    pub fn push(&mut self, tree: Option<&Tree>) {
        self.trees.push(tree.is_some().then(|| place(self.steps.len())));
        tree.into_iter().for_each(|tree| self.lay(tree));
    }

    fn lay(&mut self, tree: &Tree) {
        match tree {
            Tree::All(trees) => self.group(trees, |end| Step::All { end }),
            Tree::Any(trees) => self.group(trees, |end| Step::Any { end }),
            Tree::Leaf { field, negated, ask } => {
                let question = match ask {
                    Ask::Present => Question::Present,
                    Ask::Any(keys) if keys.len() == 1 => Question::Key(keys[0]),
                    Ask::Any(keys) => Question::AnyOf(self.run(keys)),
                    Ask::All(keys) => Question::AllOf(self.run(keys)),
                    Ask::Probe(probe) => Question::Probe(*probe),
                };
                let field = u16::try_from(*field).expect("there are fewer fields");
                self.steps.push(Step::Leaf { field, negated: *negated, question });
            }
        }
    }

    fn group(&mut self, trees: &[Tree], step: impl FnOnce(At) -> Step) {
        let at = self.steps.len();
        // Where it ends is known when its conditions are laid.
        self.steps.push(Step::All { end: 0 });
        trees.iter().for_each(|tree| self.lay(tree));
        self.steps[at] = step(place(self.steps.len()));
    }

    fn run(&mut self, keys: &[Key]) -> Run {
        let from = place(self.keys.len());
        self.keys.extend_from_slice(keys);
        Run { from, count: u16::try_from(keys.len()).expect("a leaf names fewer values") }
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("there are fewer steps and keys")
}
