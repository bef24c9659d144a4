//! A set of rows of a block: one bit each, all of them in one cache line.

use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Sub, SubAssign};

/// How many rows a block has at most.
pub const WIDTH: usize = 512;
const WORDS: usize = WIDTH / 64;
/// So many rows are looked at one by one; more of them by going over all.
const FEW: usize = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
pub struct Rows([u64; WORDS]);

impl Rows {
    pub const NONE: Self = Self([0; WORDS]);

    /// The rows before `count`.
    pub fn first(count: usize) -> Self {
        (0..count).collect()
    }

    #[inline]
    pub fn contains(&self, row: usize) -> bool {
        self.0[row / 64] >> (row % 64) & 1 == 1
    }

    #[inline]
    pub fn insert(&mut self, row: usize) {
        self.0[row / 64] |= 1 << (row % 64);
    }

    #[inline]
    pub fn remove(&mut self, row: usize) {
        self.0[row / 64] &= !(1 << (row % 64));
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Those of the rows whose value `holds`.
    #[inline]
    pub fn filter<T: Copy>(self, values: &[T], holds: impl Fn(T) -> bool) -> Self {
        if self.len() <= FEW {
            return self.iter().filter(|row| holds(values[*row])).collect();
        }
        let mut rows = Self::NONE;
        for (word, values) in rows.0.iter_mut().zip(values.chunks(64)) {
            for (bit, value) in values.iter().enumerate() {
                *word |= u64::from(holds(*value)) << bit;
            }
        }
        rows & self
    }

    #[inline]
    fn join(&mut self, other: &Self, join: impl Fn(u64, u64) -> u64) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = join(*mine, *theirs);
        }
    }

    /// The rows, ascending.
    #[inline]
    pub fn iter(self) -> Iter {
        Iter { left: self.0, at: 0 }
    }
}

/// The rows of a set that are still to come.
pub struct Iter {
    left: [u64; WORDS],
    at: usize,
}

impl Iterator for Iter {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while let Some(word) = self.left.get_mut(self.at) {
            if *word != 0 {
                let bit = word.trailing_zeros() as usize;
                *word &= *word - 1;
                return Some(self.at * 64 + bit);
            }
            self.at += 1;
        }
        None
    }
}

impl FromIterator<usize> for Rows {
    fn from_iter<I: IntoIterator<Item = usize>>(rows: I) -> Self {
        let mut set = Self::NONE;
        rows.into_iter().for_each(|row| set.insert(row));
        set
    }
}

impl BitAnd for Rows {
    type Output = Self;

    #[inline]
    fn bitand(mut self, other: Self) -> Self {
        self &= other;
        self
    }
}

impl BitAndAssign for Rows {
    #[inline]
    fn bitand_assign(&mut self, other: Self) {
        self.join(&other, |mine, theirs| mine & theirs);
    }
}

impl BitOr for Rows {
    type Output = Self;

    #[inline]
    fn bitor(mut self, other: Self) -> Self {
        self |= other;
        self
    }
}

impl BitOrAssign for Rows {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.join(&other, |mine, theirs| mine | theirs);
    }
}

impl Sub for Rows {
    type Output = Self;

    #[inline]
    fn sub(mut self, other: Self) -> Self {
        self -= other;
        self
    }
}

impl SubAssign for Rows {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        self.join(&other, |mine, theirs| mine & !theirs);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn rows() -> impl Strategy<Value = BTreeSet<usize>> {
        prop::collection::btree_set(0..WIDTH, 0..WIDTH)
    }

    proptest! {
        #[test]
        fn it_is_a_set(a in rows(), b in rows(), row in 0..WIDTH) {
            let (left, right): (Rows, Rows) = (a.iter().copied().collect(), b.iter().copied().collect());
            let all = |rows: Rows| rows.iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(all(left), a.clone());
            prop_assert_eq!(all(left & right), &a & &b);
            prop_assert_eq!(all(left | right), &a | &b);
            prop_assert_eq!(all(left - right), &a - &b);
            prop_assert_eq!(left.contains(row), a.contains(&row));
            prop_assert_eq!((left.len(), left.is_empty()), (a.len(), a.is_empty()));
            let mut less = left;
            less.remove(row);
            prop_assert!(!less.contains(row) && less.len() == a.len() - usize::from(a.contains(&row)));
            let values: Vec<bool> = (0..WIDTH).map(|row| a.contains(&row)).collect();
            prop_assert_eq!(right.filter(&values, |value| value), left & right);
            prop_assert_eq!(Rows::first(row).iter().collect::<Vec<_>>(), (0..row).collect::<Vec<_>>());
        }
    }
}
