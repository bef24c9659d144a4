//! Text as the language compares it: by code points, ignoring ASCII case, without allocation.
//!
//! Folding touches ASCII bytes alone, and no byte of a longer UTF-8 sequence is one, so comparing
//! folded bytes compares code points.

use std::cmp::Ordering;

/// A set of texts, folded.
#[derive(Clone, Debug)]
pub(crate) struct FoldedSet(Box<[Box<str>]>);

impl FoldedSet {
    pub fn new(texts: impl Iterator<Item = String>) -> Self {
        let mut folded: Vec<Box<str>> =
            texts.map(|text| text.to_ascii_lowercase().into_boxed_str()).collect();
        folded.sort_unstable();
        folded.dedup();
        Self(folded.into_boxed_slice())
    }

    pub fn contains(&self, text: &str) -> bool {
        match &*self.0 {
            [only] => only.eq_ignore_ascii_case(text),
            many => many.binary_search_by(|member| compare(member, text)).is_ok(),
        }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|member| &**member)
    }
}

/// The order of a folded text and any other text, as if that were folded too.
fn compare(folded: &str, text: &str) -> Ordering {
    folded.bytes().cmp(text.bytes().map(|byte| byte.to_ascii_lowercase()))
}

pub(super) fn starts_with(text: &str, folded: &str) -> bool {
    text.as_bytes().get(..folded.len()).is_some_and(|head| head.eq_ignore_ascii_case(folded.as_bytes()))
}

/// A folded text to look for inside of others, in time linear in theirs (Knuth, Morris and Pratt):
/// neither operands nor values are ours, so a quadratic search would be a weapon.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    folded: Box<str>,
    /// For each prefix, the length of the longest proper prefix that also ends it.
    borders: Box<[u16]>,
}

impl Needle {
    /// `text` is not empty, and shorter than 64 KiB.
    pub fn new(text: &str) -> Self {
        let folded = text.to_ascii_lowercase().into_boxed_str();
        let bytes = folded.as_bytes();
        let mut borders = vec![0_u16; bytes.len()];
        let mut border = 0_u16;
        for at in 1..bytes.len() {
            while border > 0 && bytes[at] != bytes[usize::from(border)] {
                border = borders[usize::from(border) - 1];
            }
            border += u16::from(bytes[at] == bytes[usize::from(border)]);
            borders[at] = border;
        }
        Self { folded, borders: borders.into_boxed_slice() }
    }

    pub fn as_str(&self) -> &str {
        &self.folded
    }

    pub fn is_in(&self, text: &str) -> bool {
        let (needle, text) = (self.folded.as_bytes(), text.as_bytes());
        let Some(&first) = needle.first() else { return true };
        let (mut at, mut matched) = (0, 0);
        while at < text.len() {
            if matched == 0 {
                match memchr::memchr2(first, first.to_ascii_uppercase(), &text[at..]) {
                    Some(offset) => at += offset,
                    None => return false,
                }
            }
            let byte = text[at].to_ascii_lowercase();
            while matched > 0 && byte != needle[matched] {
                matched = usize::from(self.borders[matched - 1]);
            }
            matched += usize::from(byte == needle[matched]);
            if matched == needle.len() {
                return true;
            }
            at += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> String {
        text.to_ascii_lowercase()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn searching_finds_what_folding_both_would(text in "[abAÄäß]{0,30}", needle in "[abAÄäß]{1,6}") {
            prop_assert_eq!(Needle::new(&needle).is_in(&text), folded(&text).contains(&folded(&needle)));
            prop_assert_eq!(starts_with(&text, &folded(&needle)), folded(&text).starts_with(&folded(&needle)));
        }

        #[test]
        fn a_set_has_what_was_put_in_whatever_its_case(
            members in prop::collection::vec("[abAÄäß]{1,3}", 1..20), text in "[abAÄäß]{1,3}",
        ) {
            let expected = members.iter().any(|member| folded(member) == folded(&text));
            prop_assert_eq!(FoldedSet::new(members.into_iter()).contains(&text), expected);
        }
    }

    #[test]
    fn a_hostile_search_is_linear() {
        let text = "a".repeat(4_000_000);
        let needle = format!("{}b", "a".repeat(4_000));
        assert!(!Needle::new(&needle).is_in(&text));
    }
}
