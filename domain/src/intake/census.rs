//! Counts the findings of a report without keeping them: 16 bytes for each entry.

use crate::intake::report::Fingerprint;
use crate::vocabulary::terms::{Severity, Term};

/// How many findings there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeverityCounts([u64; Severity::ALL.len()]);

impl SeverityCounts {
    pub fn of(&self, severity: Severity) -> u64 {
        self.0[usize::from(severity.code())]
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every severity with its count, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = (Severity, u64)> {
        Severity::ALL.iter().map(|severity| (*severity, self.of(*severity)))
    }

    fn add(&mut self, severity: Severity) {
        self.0[usize::from(severity.code())] += 1;
    }
}

/// The entries of a report as they come.
///
/// A fingerprint is a UUID, whose four version bits are the same in all of them. Without these it
/// leaves room for the severity: sorted, the entries of one finding lie side by side, the most
/// severe last.
#[derive(Default)]
pub struct Census(Vec<u128>);

const LOW: u128 = 0xF;

/// A fingerprint without the four bits of its version, which lie from bit 76 on.
fn key(fingerprint: Fingerprint) -> u128 {
    let bits = fingerprint.as_u128();
    let below = bits & ((1 << 76) - 1);
    (bits >> 80 << 76) | below
}

impl Census {
    pub fn add(&mut self, fingerprint: Fingerprint, severity: Severity) {
        self.0.push(key(fingerprint) << 4 | u128::from(severity.code()));
    }

    /// The counts by severity after merging, and the findings that have several entries.
    pub fn finish(mut self) -> (SeverityCounts, Repeated) {
        self.0.sort_unstable();
        let mut counts = SeverityCounts::default();
        let mut repeated = Vec::new();
        for same in self.0.chunk_by(|one, other| one >> 4 == other >> 4) {
            let most = same[same.len() - 1];
            let code = u8::try_from(most & LOW).expect("four bits are less than a byte");
            counts.add(Severity::from_code(code).expect("it was written from a severity"));
            if same.len() > 1 {
                repeated.push(most >> 4);
            }
        }
        (counts, Repeated(repeated))
    }
}

/// The fingerprints that several entries of a report share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeated(Vec<u128>);

impl Repeated {
    pub fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.0.binary_search(&key(fingerprint)).is_ok()
    }

    /// How many findings have several entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
