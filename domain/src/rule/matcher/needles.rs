//! The texts that the trees look for inside of one field. All that may be anywhere in a text are found by
//! one scan of it, and all that it may begin with by another, which ends where none can follow any more.

use std::collections::HashMap;

use aho_corasick::automaton::OverlappingState;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, StartKind};

use super::index::Key;

/// The bytes of a needle that are looked for: what follows is left to the test itself.
pub(super) const LOOKED_FOR: usize = 64;
/// The bytes of all needles of one place together, so that an automaton stays small whatever its trees
/// ask for.
const MOST: usize = 1 << 20;
/// The bytes of all needles of one place up to which they get the quickest automaton, which takes some
/// hundred bytes for each.
const FEW: usize = 1 << 13;

/// Where a needle has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Start,
    Anywhere,
}

/// The needles of a field while trees are added.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    at_start: Sought,
    anywhere: Sought,
}

/// The needles of one place, each once, with their keys.
#[derive(Debug, Default)]
struct Sought {
    known: HashMap<Box<[u8]>, Key>,
    bytes: usize,
}

/// Automata over the needles of a field.
#[derive(Debug)]
pub(super) struct Needles {
    at_start: Option<Scanner>,
    anywhere: Option<Scanner>,
}

/// An automaton over needles, and their keys.
#[derive(Debug)]
struct Scanner {
    automaton: AhoCorasick,
    keys: Vec<Key>,
}

impl Wanted {
    /// The key of a folded needle, which is not empty. None: there are too many already.
    pub fn key(&mut self, needle: &[u8], place: Place, new: impl FnOnce() -> Key) -> Option<Key> {
        let sought = match place {
            Place::Start => &mut self.at_start,
            Place::Anywhere => &mut self.anywhere,
        };
        sought.key(needle, new)
    }

    /// Nothing, where nothing is looked for.
    pub fn finish(self) -> Option<Needles> {
        let at_start = self.at_start.finish(StartKind::Anchored);
        let anywhere = self.anywhere.finish(StartKind::Unanchored);
        (at_start.is_some() || anywhere.is_some()).then_some(Needles { at_start, anywhere })
    }
}

impl Sought {
    fn key(&mut self, needle: &[u8], new: impl FnOnce() -> Key) -> Option<Key> {
        match self.known.get(needle) {
            Some(key) => Some(*key),
            None if self.bytes + needle.len() > MOST => None,
            None => {
                self.bytes += needle.len();
                Some(*self.known.entry(needle.into()).or_insert_with(new))
            }
        }
    }

    fn finish(self, start: StartKind) -> Option<Scanner> {
        if self.known.is_empty() {
            return None;
        }
        let (needles, keys): (Vec<Box<[u8]>>, Vec<Key>) = self.known.into_iter().unzip();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .start_kind(start)
            .kind((self.bytes <= FEW).then_some(AhoCorasickKind::DFA))
            .build(needles)
            .expect("needles are short, and there are fewer than an automaton can have");
        Some(Scanner { automaton, keys })
    }
}

impl Needles {
    /// Tells the keys of all needles that are in a text, some of them more than once.
    pub fn scan(&self, text: &str, mut found: impl FnMut(Key)) {
        if let Some(Scanner { automaton, keys }) = &self.at_start {
            let input = Input::new(text).anchored(Anchored::Yes);
            let mut state = OverlappingState::start();
            loop {
                automaton.find_overlapping(input.clone(), &mut state);
                let Some(hit) = state.get_match() else { break };
                // What ends where a needle ends may be another that begins later.
                if hit.start() == 0 {
                    found(keys[hit.pattern().as_usize()]);
                }
            }
        }
        if let Some(Scanner { automaton, keys }) = &self.anywhere {
            automaton.find_overlapping_iter(text).for_each(|hit| found(keys[hit.pattern().as_usize()]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needles_are_told_by_their_places() {
        let mut wanted = Wanted::default();
        let mut next = 0..;
        let mut key = |needle: &str, place| {
            wanted
                .key(needle.as_bytes(), place, || next.next().expect("there is always one"))
                .expect("it is room")
        };
        let keys = [
            key("ab", Place::Anywhere),
            key("b", Place::Start),
            key("ab", Place::Start),
            key("b", Place::Anywhere),
            key("a", Place::Start),
        ];
        assert_eq!(key("ab", Place::Anywhere), keys[0], "it is the same needle");
        let needles = wanted.finish().expect("there are needles");
        let told = |text: &str| {
            let mut told = Vec::new();
            needles.scan(text, |key| told.push(key));
            told.sort_unstable();
            told.dedup();
            told
        };
        assert_eq!(told("xAB"), [keys[0], keys[3]]);
        assert_eq!(told("aB"), [keys[0], keys[2], keys[3], keys[4]]);
        assert_eq!(told("B"), [keys[1], keys[3]]);
        assert_eq!(told("xyz"), [0; 0]);
    }

    #[test]
    fn there_is_an_end_to_needles() {
        let mut wanted = Wanted::default();
        let mut key = |number: usize| wanted.key(format!("{number:064}").as_bytes(), Place::Start, || 0);
        assert!((0..MOST / LOOKED_FOR).all(|number| key(number).is_some()));
        assert_eq!(key(MOST), None);
        assert_eq!(key(0), Some(0), "one that is known costs nothing");
        assert!(Wanted::default().finish().is_none());
    }
}
