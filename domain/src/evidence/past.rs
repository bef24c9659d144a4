//! What stood at the end of a period: what stands now, with every later change undone. Pure.
//!
//! The audit has what each change found and what it left. So the state before a change is the state
//! after it with what it found put back, and a record that a change made was not there before it. To undo
//! a change that the state does not have yet changes nothing that matters: it is undone all the same.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

/// What the audit calls the records that are traced back.
pub const MEMBERSHIP: &str = "membership";
pub const SERVICE_ACCOUNT: &str = "service_account";
pub const POLICY: &str = "change_policy";
pub const TRACED: &[&str] = &[MEMBERSHIP, SERVICE_ACCOUNT, POLICY];

/// A change of a record that is traced back.
#[derive(Clone, Debug)]
pub struct Later {
    pub seq: i64,
    pub kind: String,
    pub record: Uuid,
    /// What it found of what it changed; null where it made the record.
    pub before: Json,
}

/// Records of each kind, by their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State(BTreeMap<&'static str, BTreeMap<Uuid, Map<String, Json>>>);

impl State {
    pub fn put(&mut self, kind: &'static str, record: Uuid, row: Map<String, Json>) {
        self.0.entry(kind).or_default().insert(record, row);
    }

    /// Undoes a change, of which every later one is undone.
    pub fn undo(&mut self, later: Later) {
        let Some(kind) = TRACED.iter().find(|kind| **kind == later.kind) else { return };
        let records = self.0.entry(*kind).or_default();
        match later.before {
            Json::Object(before) => records.entry(later.record).or_default().extend(before),
            _ => drop(records.remove(&later.record)),
        }
    }

    /// All records.
    pub fn rows(&mut self) -> impl Iterator<Item = (Uuid, &mut Map<String, Json>)> {
        self.0.values_mut().flatten().map(|(id, row)| (*id, row))
    }

    /// The records of a kind.
    pub fn take(&mut self, kind: &str) -> BTreeMap<Uuid, Map<String, Json>> {
        self.0.remove(kind).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::inventory::record::Diff;

    /// What happens to one of a few records: it is made or changed to this, or taken away.
    fn step() -> impl Strategy<Value = (u128, Option<u8>, u8)> {
        (0..4_u128, prop::option::weighted(0.8, 0..3_u8), 0..3_u8)
    }

    proptest! {
        /// However records were made, changed and taken away after a moment: undone, they are as they
        /// were then, also where the newest changes are undone twice.
        #[test]
        fn undoing_leads_back(steps in prop::collection::vec(step(), 0..40), at in 0..40_usize, twice in 0..5_usize) {
            let mut state = State::default();
            let (mut laters, mut then) = (Vec::new(), None);
            for (seq, (record, to, other)) in steps.iter().enumerate() {
                if seq == at {
                    then = Some((state.clone(), laters.len()));
                }
                let record = Uuid::from_u128(*record);
                let records = state.0.entry(MEMBERSHIP).or_default();
                let found = records.get(&record).cloned().map(Json::Object);
                let before = match (&found, to) {
                    (None, None) => continue,
                    (None, Some(_)) => Json::Null,
                    (Some(found), None) => found.clone(),
                    (Some(found), Some(to)) => {
                        let Some(diff) = Diff::of(found, &json!({ "role": to, "other": other })) else { continue };
                        diff.before
                    }
                };
                match to {
                    Some(to) => {
                        let row = json!({ "role": to, "other": other });
                        records.insert(record, row.as_object().unwrap().clone());
                    }
                    None => drop(records.remove(&record)),
                }
                laters.push(Later { seq: seq as i64, kind: MEMBERSHIP.to_owned(), record, before });
            }
            let (expected, count) = then.unwrap_or((state.clone(), laters.len()));
            let after = laters.split_off(count);
            let newest = after.iter().rev().take(twice).cloned().collect::<Vec<_>>();
            for later in newest.into_iter().chain(after.into_iter().rev()) {
                state.undo(later);
            }
            let records = |mut state: State| state.take(MEMBERSHIP);
            prop_assert_eq!(records(state), records(expected));
        }
    }
}
