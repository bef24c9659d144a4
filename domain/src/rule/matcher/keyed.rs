//! The keys that rows of a block have, and the trees that these wake.

use super::index::{Index, Key};
use super::rows::Rows;

/// Not there in this block.
pub(super) const NOWHERE: u32 = u32::MAX;

/// How many keys a row brings along, where there are many rules.
const USUAL: usize = 16;

pub(super) struct Keyed<'i> {
    index: &'i Index,
    /// By key: the place of its rows in `having`.
    places: Vec<u32>,
    having: Vec<Rows>,
    /// The trees that may hold here, one bit each.
    awake: Vec<u64>,
}

impl<'i> Keyed<'i> {
    /// With room for the keys of so many rows.
    pub fn new(index: &'i Index, rows: usize) -> Self {
        Self {
            index,
            places: vec![NOWHERE; index.wakes.keys()],
            having: Vec::with_capacity(index.wakes.keys().min(USUAL * rows)),
            awake: index.always.clone(),
        }
    }

    /// Notes that rows have a key, and its place among those that are `here`.
    pub fn add(&mut self, key: Key, rows: Rows, here: &mut Vec<u32>) {
        let place = &mut self.places[key as usize];
        if *place == NOWHERE {
            *place = u32::try_from(self.having.len()).expect("there are fewer keys");
            self.having.push(Rows::NONE);
            here.push(*place);
            for tree in self.index.wakes.of(key) {
                self.awake[*tree as usize / 64] |= 1 << (tree % 64);
            }
        }
        self.having[*place as usize] |= rows;
    }

    /// The rows that have a key.
    #[inline]
    pub fn having(&self, key: Key) -> &Rows {
        self.having.get(self.places[key as usize] as usize).unwrap_or(&Rows::NONE)
    }

    /// Takes the keys at these places from rows.
    pub fn forget(&mut self, places: &[u32], rows: Rows) {
        for place in places {
            self.having[*place as usize] -= rows;
        }
    }

    pub fn wake_all(&mut self) {
        self.awake.fill(u64::MAX);
        let trees = self.index.program.len();
        if let (Some(last), false) = (self.awake.last_mut(), trees.is_multiple_of(64)) {
            *last = (1 << (trees % 64)) - 1;
        }
    }

    /// The first tree from `at` on that is awake.
    pub fn next(&self, at: usize) -> Option<usize> {
        let mut word = at / 64;
        let mut left = self.awake.get(word)? & (u64::MAX << (at % 64));
        while left == 0 {
            word += 1;
            left = *self.awake.get(word)?;
        }
        Some(word * 64 + left.trailing_zeros() as usize)
    }
}
