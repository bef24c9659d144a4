//! What the records of the inventory have in common: a version, and an audit entry that says what
//! of them changed.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::error::{Code, Error, Result};
use crate::ledger::AuditEntry;
use crate::ledger::audit::store::last_author;
use crate::store::Tx;

/// A record that people edit.
pub(crate) trait Record {
    /// What it is called in messages.
    const NOUN: &'static str;

    fn id(&self) -> Uuid;

    fn version(&self) -> i64;

    /// What the audit keeps of it: an object.
    fn facts(&self) -> Json;
}

/// The facts of a record that a change changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Diff {
    pub changed: Vec<String>,
    pub before: Json,
    pub after: Json,
}

impl Diff {
    /// `None` where nothing differs.
    pub fn of(before: &Json, after: &Json) -> Option<Self> {
        let empty = Map::new();
        let (old, new) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
        let changed: Vec<String> = new.keys().filter(|key| old.get(*key) != new.get(*key)).cloned().collect();
        let pick = |from: &Map<String, Json>| {
            changed.iter().map(|key| (key.clone(), from.get(key).cloned().unwrap_or_default())).collect()
        };
        let (before, after) = (pick(old), pick(new));
        (!changed.is_empty()).then_some(Self { changed, before, after })
    }

    /// The payload of an update's event.
    pub fn payload(self) -> Json {
        json!({ "changed": self.changed, "before": self.before, "after": self.after })
    }
}

impl Tx {
    /// Audits a new record whole.
    pub fn audit_created<R: Record>(&mut self, action: &'static str, record: &R) {
        self.audit(AuditEntry::new(action, record.id()).after(record.facts()));
    }

    /// Audits what `after` has that `before` had not. `None`, and no entry, where that is nothing.
    pub fn audit_changed<R: Record>(&mut self, action: &'static str, before: &R, after: &R) -> Option<Diff> {
        let diff = Diff::of(&before.facts(), &after.facts())?;
        self.audit(AuditEntry::new(action, after.id()).before(diff.before.clone()).after(diff.after.clone()));
        Some(diff)
    }

    /// Refuses a change that was made without having seen the last one.
    pub async fn expect_version<R: Record>(&self, record: &R, expected: i64) -> Result<()> {
        if record.version() == expected {
            return Ok(());
        }
        Err(self.conflict(R::NOUN, record.id(), record.version()).await?)
    }

    /// The refusal of a change to a record that now is at `version`, naming who changed it.
    pub async fn conflict(&self, noun: &str, record: Uuid, version: i64) -> Result<Error> {
        let author = last_author(self, record).await?;
        let by = author.as_ref().map_or(String::new(), |name| format!(" by {name}"));
        Ok(Error::new(Code::Conflict, format!("This {noun} was changed{by} since you read it."))
            .with("currentVersion", version)
            .with("author", author))
    }
}

/// Puts the field and a better sentence to the refusal of a value that is not unique.
pub(crate) fn taken(error: Error, field: &str, what: &str) -> Error {
    if error.code != Code::Taken {
        return error;
    }
    Error::new(Code::Taken, format!("There is already {what}.")).at(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_changed_alone() {
        let before = json!({ "name": "a", "tags": ["x"], "team": null });
        let after = json!({ "name": "a", "tags": ["x", "y"], "team": "t" });
        let diff = Diff::of(&before, &after).unwrap();
        assert_eq!(diff.changed, ["tags", "team"]);
        assert_eq!(diff.before, json!({ "tags": ["x"], "team": null }));
        assert_eq!(diff.after, json!({ "tags": ["x", "y"], "team": "t" }));
        assert_eq!(Diff::of(&before, &before), None);
    }
}
