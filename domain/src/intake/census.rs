//! Counts the findings of a report without keeping them: 32 bytes for each entry.

use crate::intake::fingerprint::both;
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
#[derive(Default)]
pub struct Census(Vec<Entry>);

/// A fingerprint is a UUID, whose four version bits are the same in all of them. Without these it
/// leaves room for four others: of an entry its severity, of a finding whether it has several.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u128,
    said: i64,
    /// Its place in the report: what several entries say depends on their order.
    at: u32,
}

const LOW: u128 = 0xF;

/// A fingerprint without the four bits of its version, which lie from bit 76 on.
fn key(fingerprint: Fingerprint) -> u128 {
    let bits = fingerprint.as_u128();
    let below = bits & ((1 << 76) - 1);
    (bits >> 80 << 76) | below
}

impl Census {
    /// `said` is a digest of what the entry says.
    pub fn add(&mut self, fingerprint: Fingerprint, severity: Severity, said: i64) {
        let at = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.push(Entry { key: key(fingerprint) << 4 | u128::from(severity.code()), said, at });
    }

    /// The counts by severity after merging, and the findings.
    pub fn finish(self) -> (SeverityCounts, Named) {
        let mut entries = self.0;
        entries.sort_unstable_by_key(|entry| (entry.key >> 4, entry.at));
        let mut counts = SeverityCounts::default();
        let mut repeated = 0;
        let (mut from, mut findings) = (0, 0);
        while from < entries.len() {
            let first = entries[from];
            let same = entries[from..].iter().take_while(|entry| entry.key >> 4 == first.key >> 4);
            let (mut count, mut worst, mut said) = (0, 0, first.said);
            for entry in same {
                worst = worst.max(entry.key & LOW);
                said = if count == 0 { said } else { both(said, entry.said) };
                count += 1;
            }
            let code = u8::try_from(worst).expect("four bits are less than a byte");
            counts.add(Severity::from_code(code).expect("it was written from a severity"));
            let several = u128::from(count > 1);
            repeated += usize::from(count > 1);
            entries[findings] = Entry { key: first.key >> 4 << 4 | several, said, at: 0 };
            findings += 1;
            from += count;
        }
        entries.truncate(findings);
        (counts, Named { findings: entries, repeated })
    }
}

/// The findings that a report names, each with a digest of what it says of it.
#[derive(Clone, Debug, Default)]
pub struct Named {
    findings: Vec<Entry>,
    repeated: usize,
}

impl Named {
    /// The place of a finding in here: findings are known by it below.
    pub fn find(&self, fingerprint: Fingerprint) -> Option<usize> {
        self.findings.binary_search_by_key(&key(fingerprint), |entry| entry.key >> 4).ok()
    }

    /// A digest of what all entries of the finding say.
    pub fn said(&self, at: usize) -> i64 {
        self.findings[at].said
    }

    /// Whether several entries are this finding.
    pub fn is_repeated(&self, at: usize) -> bool {
        self.findings[at].key & LOW == 1
    }

    /// How many findings have several entries.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    pub fn len(&self) -> usize {
        self.findings.len()
    }

    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }
}
