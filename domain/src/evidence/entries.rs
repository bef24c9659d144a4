//! The entries of the audit as rows: the chain itself, and sections of it by what they tell of. Pure.

use serde_json::{Map, Value as Json, json};

use super::past::POLICY;
use crate::finding::export::csv::cell;
use crate::inventory::record::Diff;
use crate::ledger::audit::hex;
use crate::ledger::verify::Link;
use crate::rule::application::{APPLIED, ERRORED, OBSERVED};
use crate::vocabulary::time::Timestamp;

/// The columns of the chain.
pub const CHAIN: &[&str] =
    &["seq", "at", "action", "record_kind", "record", "actor", "before", "after", "cause", "digest", "hash"];

/// The columns that every section has.
const COMMON: &[&str] = &[
    "seq",
    "at",
    "action",
    "record",
    "actor_kind",
    "actor_id",
    "actor_name",
    "changed",
    "before",
    "after",
    "cause",
];
/// What an entry of a rule's turn on a finding says besides.
const TURN: &[&str] = &["rule", "version", "hash", "change"];

/// Entries that tell of one kind of thing.
pub struct Section {
    pub name: &'static str,
    pub holds: fn(&Link) -> bool,
    turns: bool,
}

/// What of the audit is also told by itself.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "rule_changes",
        holds: |link| link.record_kind == "rule" && link.action != ERRORED,
        turns: false,
    },
    Section { name: "rule_errors", holds: |link| link.action == ERRORED, turns: false },
    Section { name: "policy_changes", holds: |link| link.record_kind == POLICY, turns: false },
    Section { name: "approvals", holds: |link| link.record_kind == "approval", turns: false },
    Section {
        name: "applications",
        holds: |link| [APPLIED, OBSERVED].contains(&link.action.as_str()),
        turns: true,
    },
    Section { name: "revokes", holds: is_revoke, turns: false },
    Section { name: "exceptions", holds: is_exception, turns: false },
    Section { name: "member_changes", holds: is_of_members, turns: false },
];

/// What was taken back, by whom, and what of people's words went with it.
fn is_revoke(link: &Link) -> bool {
    matches!(
        link.action.as_str(),
        "rule.revoked" | "rule.expired" | "rule.exemptions_cleared" | "finding.released"
    )
}

/// Findings that somebody decided not to mend, and whatever is said of accepted risks themselves.
fn is_exception(link: &Link) -> bool {
    let says = |status: &str| {
        link.after.as_deref().is_some_and(|after| after.contains(&format!("\"status\":\"{status}\"")))
    };
    link.record_kind.contains("risk")
        || link.action == "rule.exemptions_cleared"
        || (link.record_kind == "finding" && (says("ACCEPTED_RISK") || says("FALSE_POSITIVE")))
}

fn is_of_members(link: &Link) -> bool {
    matches!(
        link.record_kind.as_str(),
        "membership" | "invitation" | "service_account" | "team" | "token" | "user" | "absence"
    )
}

/// What an entry holds as text, as the JSON that it is.
fn parsed(text: Option<&str>) -> Json {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// An entry with all that it was chained by: what is hashed stays text.
pub fn link(link: &Link) -> Json {
    json!({
        "seq": link.seq, "at": link.at, "action": link.action, "record_kind": link.record_kind, "record": link.record,
        "actor": link.actor, "before": link.before, "after": link.after, "cause": link.cause,
        "digest": hex(&link.digest), "hash": hex(&link.hash),
    })
}

/// The same as cells.
pub fn cells(of: &Link) -> Vec<String> {
    let row = link(of);
    CHAIN.iter().map(|column| cell(&row[*column])).collect()
}

impl Section {
    /// The columns of its rows, in their order.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> + use<> {
        let besides: &[&str] = if self.turns { TURN } else { &[] };
        COMMON.iter().chain(besides).copied()
    }

    pub fn row(&self, link: &Link) -> Json {
        let actor = parsed(Some(&link.actor));
        let [before, after, mut cause] =
            [&link.before, &link.after, &link.cause].map(|text| parsed(text.as_deref()));
        let none = || json!({});
        let [old, new] = [&before, &after].map(|side| if side.is_object() { side.clone() } else { none() });
        let changed = Diff::of(&old, &new).map(|diff| diff.changed).unwrap_or_default();
        let mut row = Map::from_iter(
            [
                ("seq", json!(link.seq)),
                ("at", json!(Timestamp(link.at))),
                ("action", json!(link.action)),
                ("record", json!(link.record)),
                ("actor_kind", actor["kind"].clone()),
                ("actor_id", actor["id"].clone()),
                ("actor_name", actor["name"].clone()),
                ("changed", json!(changed)),
                ("before", before),
                ("after", after),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if self.turns {
            for name in TURN {
                let value = cause.as_object_mut().and_then(|cause| cause.remove(*name));
                row.insert((*name).to_owned(), value.unwrap_or_default());
            }
        }
        row.insert("cause".to_owned(), cause);
        row.into()
    }
}
