//! The texts that the trees look for inside of one field, all found by one scan of its text.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::index::Key;

/// The bytes of a needle that are looked for: what follows is left to the test itself.
pub(super) const LOOKED_FOR: usize = 64;
/// The bytes of all needles of a field together, so that an automaton stays small whatever its trees
/// ask for.
const MOST: usize = 1 << 20;
/// The bytes of all needles of a field up to which they get the quickest automaton, which takes some
/// hundred bytes for each.
const FEW: usize = 1 << 13;

/// Where a needle has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Start,
    Anywhere,
}

/// The needles of a field while trees are added, each once.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    known: HashMap<Box<[u8]>, usize>,
    needles: Vec<Needle>,
    bytes: usize,
}

/// The keys of a needle, by where it was found.
#[derive(Clone, Copy, Debug, Default)]
struct Needle {
    at_start: Option<Key>,
    anywhere: Option<Key>,
}

/// An automaton over the needles of a field.
#[derive(Debug)]
pub(super) struct Needles {
    automaton: AhoCorasick,
    needles: Vec<Needle>,
}

impl Wanted {
    /// The key of a folded needle, which is not empty. None: there are too many already.
    pub fn key(&mut self, needle: &[u8], place: Place, new: impl FnOnce() -> Key) -> Option<Key> {
        let at = match self.known.get(needle) {
            Some(at) => *at,
            None if self.bytes + needle.len() > MOST => return None,
            None => {
                self.bytes += needle.len();
                self.known.insert(needle.into(), self.needles.len());
                self.needles.push(Needle::default());
                self.needles.len() - 1
            }
        };
        let Needle { at_start, anywhere } = &mut self.needles[at];
        let key = match place {
            Place::Start => at_start,
            Place::Anywhere => anywhere,
        };
        Some(*key.get_or_insert_with(new))
    }

    /// Nothing, where nothing is looked for.
    pub fn finish(self) -> Option<Needles> {
        let mut bytes: Vec<(Box<[u8]>, usize)> = self.known.into_iter().collect();
        bytes.sort_unstable_by_key(|(_, at)| *at);
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind((self.bytes <= FEW).then_some(AhoCorasickKind::DFA))
            .build(bytes.iter().map(|(bytes, _)| bytes))
            .expect("needles are short, and there are fewer than an automaton can have");
        (!bytes.is_empty()).then_some(Needles { automaton, needles: self.needles })
    }
}

impl Needles {
    /// Tells the keys of all needles that are in a text, some of them more than once.
    pub fn scan(&self, text: &str, mut found: impl FnMut(Key)) {
        for hit in self.automaton.find_overlapping_iter(text) {
            let Needle { at_start, anywhere } = self.needles[hit.pattern().as_usize()];
            anywhere.into_iter().for_each(&mut found);
            if hit.start() == 0 {
                at_start.into_iter().for_each(&mut found);
            }
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
        assert_eq!(told("aB"), [keys[0], keys[2], keys[3]]);
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
