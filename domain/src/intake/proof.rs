//! What of a report needs no looking at: findings of which it says what it said the last time.
//!
//! A finding is passed over where it is present in the series, was not written since by anybody but
//! scans, and the digest of what its scanner says is the same; and where the rules are the ones that
//! it was passed under, and none of them depends on the moment. Nothing is written of it: that it
//! was seen is told by its series, once, at the end. So a report of which nothing is new costs one
//! reading and one look at the series, and that is taken while the report is read.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::census::Named;
use super::present::Pages;
use crate::error::Result;
use crate::rule::action::Action;
use crate::rule::live::RuleSet;
use crate::vocabulary::field::finding::FindingField;
use crate::vocabulary::terms::Status;
use crate::vocabulary::time::Timestamp;

/// What was found out of a series before anything is stored.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// One bit a finding of the report, by its place there: nothing is to be done about it.
    same: Vec<u64>,
    /// How many of them there are.
    pub count: usize,
    /// Whether the report names all that is present in the series, so that the series can tell for
    /// all of it that it was seen.
    pub covers: bool,
}

impl Proof {
    pub fn is_same(&self, named: usize) -> bool {
        self.same.get(named / 64).is_some_and(|bits| bits >> (named % 64) & 1 == 1)
    }

    fn mark(&mut self, named: usize) {
        self.same[named / 64] |= 1 << (named % 64);
        self.count += 1;
    }
}

/// Goes through what is `present` in a series. `complete`: the report names all that there is, and
/// what it does not name is closed in the end. Without `passed` no finding is taken as it is.
pub(super) async fn prove(
    mut present: Pages,
    named: &Named,
    (at, complete): (Timestamp, bool),
    passed: bool,
) -> Result<Proof> {
    let mut proof = Proof { same: vec![0; named.len().div_ceil(64)], count: 0, covers: true };
    if present.series.seen_at > at {
        return Ok(Proof { covers: false, ..proof });
    }
    while let Some(page) = present.next().await? {
        for finding in page {
            let Some(place) = named.find(finding.fingerprint) else {
                proof.covers &= finding.seen_at >= at;
                continue;
            };
            let settled = !matches!(finding.status, Status::Fixed | Status::Closed) && finding.seen_at <= at;
            if settled && finding.said == Some(named.said(place)) {
                proof.mark(place);
            }
        }
    }
    proof.covers |= complete;
    if !proof.covers || !passed {
        proof.same.fill(0);
        proof.count = 0;
    }
    Ok(proof)
}

/// A digest of the rules, by which they are known again; none where what they say of a finding may
/// change though neither changed.
pub(super) fn rules_digest(rules: &RuleSet) -> Option<Uuid> {
    let mut hash = Sha256::new();
    for rule in rules.matcher.rules() {
        let timeless = rule.criteria.as_ref().map_or(true, |criteria| {
            criteria.is_timeless() && !criteria.fields_read().contains(&FindingField::LastSeenAt.index())
        });
        let ends = matches!(&rule.action, Action::AcceptedRisk(config) if config.until.is_some());
        if !timeless || ends {
            return None;
        }
        hash.update(rule.id.as_bytes());
        hash.update(rule.version.to_le_bytes());
        // A company's own mode for a global rule is no version of the rule.
        hash.update([u8::from(rule.enforced)]);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Some(Builder::from_custom_bytes(bytes).into_uuid())
}
