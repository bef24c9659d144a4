//! Whether a tree provably matches everything: whether no subject refutes it.

use super::Criteria;
use super::cells::{Goal, possible};
use super::compile::Compiled;
use super::fault::Fault;
use crate::error::Code;

/// Tests and choices that the search makes before it gives up undecided.
const BUDGET: usize = 25_000_000;

pub(super) fn refuse(criteria: &Criteria) -> Result<(), Fault> {
    let compiled = Compiled::new(criteria);
    let refuted = Goal { step: &compiled.root, holds: false };
    match possible(criteria.catalogue(), &[refuted], &[], &mut { BUDGET }) {
        Some(false) => Err(Fault {
            pointer: String::new(),
            code: Code::CriteriaTautology,
            message: format!("These criteria match every {}.", criteria.catalogue().name),
        }),
        Some(true) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::vocabulary::field::finding::FINDING;

    /// `key operator [value]`, joined by one logic.
    fn refused(logic: &str, leaves: &[(&str, &str, Json)]) -> bool {
        let conditions: Vec<Json> = leaves
            .iter()
            .map(|(field, operator, value)| json!({ "field": field, "operator": operator, "value": value }))
            .collect();
        let tree = json!({ "logic": logic, "conditions": conditions });
        let criteria = Criteria::parse(&FINDING, &tree).unwrap_or_else(|faults| panic!("{faults}"));
        criteria.refuse_tautology().is_err()
    }

    #[test]
    fn what_matches_everything_is_refused() {
        let nothing = || Json::Null;
        let id = || json!("01938e2a-7c00-7000-8000-000000000001");
        let day = || json!("2026-11-21");
        let cases: Vec<Vec<(&str, &str, Json)>> = vec![
            vec![("severity", "gte_ord", json!("info"))],
            vec![("severity", "gt", json!("low")), ("severity", "lt", json!("high"))],
            vec![
                ("status", "in", json!(["OPEN", "IN_PROGRESS", "FIXED", "ACCEPTED_RISK"])),
                ("status", "in", json!(["FALSE_POSITIVE", "CLOSED"])),
            ],
            vec![("severity", "neq", json!("high")), ("severity", "neq", json!("low"))],
            vec![("title", "is_not_empty", nothing())],
            vec![("project", "neq", id()), ("project", "in", json!([id()]))],
            vec![("known_exploit", "eq", json!(true)), ("known_exploit", "neq", json!(true))],
            vec![
                ("known_exploit", "eq", json!(true)),
                ("known_exploit", "eq", json!(false)),
                ("known_exploit", "is_empty", nothing()),
            ],
            vec![("cvss_score", "gte", json!(0)), ("cvss_score", "is_empty", nothing())],
            vec![
                ("cvss_score", "lte", json!(5)),
                ("cvss_score", "gt", json!(5)),
                ("cvss_score", "is_empty", nothing()),
            ],
            vec![("cvss_score", "neq", json!(11))],
            vec![("first_seen_at", "lte", day()), ("first_seen_at", "gt", day())],
            vec![("due_at", "is_empty", nothing()), ("due_at", "is_not_empty", nothing())],
            vec![("tags", "contains", json!("pci")), ("tags", "neq", json!("PCI"))],
            vec![
                ("tags", "not_in", json!(["a", "b"])),
                ("tags", "contains", json!("a")),
                ("tags", "contains", json!("b")),
            ],
            vec![("tags", "not_in", json!(["a", "b"])), ("tags", "in", json!(["b", "a", "c"]))],
            vec![
                ("tags", "neq", json!("a")),
                ("tags", "neq", json!("b")),
                ("tags", "all_in", json!(["a", "b"])),
            ],
            vec![("title", "neq", json!("abc")), ("title", "contains", json!("B"))],
        ];
        for case in &cases {
            assert!(refused("OR", case), "{case:?}");
        }
    }

    #[test]
    fn what_some_finding_escapes_is_accepted() {
        let nothing = || Json::Null;
        let cases: Vec<Vec<(&str, &str, Json)>> = vec![
            vec![("severity", "gt", json!("info"))],
            vec![("asset_criticality", "gte_ord", json!("low"))],
            vec![("cvss_score", "gte", json!(0))],
            vec![
                ("cvss_score", "lt", json!(5)),
                ("cvss_score", "gt", json!(5)),
                ("cvss_score", "is_empty", nothing()),
            ],
            vec![("tags", "is_not_empty", nothing())],
            vec![("title", "neq", json!("abc")), ("title", "matches_regex", json!("abc"))],
            vec![("title", "neq", json!("abc")), ("title", "contains", json!("abd"))],
            // A time may lie ahead, so there is a third side to these two.
            vec![("first_seen_at", "older_than", json!("7d")), ("first_seen_at", "within_last", json!("7d"))],
            vec![("tags", "neq", json!("a")), ("tags", "all_in", json!(["a", "b"]))],
            vec![
                ("severity", "eq", json!("high")),
                ("tags", "neq", json!("a")),
                ("title", "contains", json!("x")),
            ],
        ];
        for case in &cases {
            assert!(!refused("OR", case), "{case:?}");
        }
        assert!(!refused("AND", &[("severity", "gte", json!("info")), ("tags", "neq", json!("a"))]));
        assert!(refused("AND", &[("severity", "gte", json!("info")), ("title", "is_not_empty", nothing())]));
    }

    #[test]
    fn the_search_ends_on_the_largest_of_trees() {
        let severities = ["info", "low", "medium", "high", "critical", "urgent"];
        let pair = |index: usize| {
            json!({ "logic": "AND", "conditions": [
                { "field": "severity", "operator": "neq", "value": severities[index % 6] },
                { "field": "tags", "operator": "neq", "value": format!("tag {index}") },
            ] })
        };
        let pairs: Vec<Json> = (0..250).map(pair).collect();
        let tree = json!({ "logic": "OR", "conditions": pairs });
        let criteria = Criteria::parse(&FINDING, &tree).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(criteria.refuse_tautology().is_ok(), "a list with every tag escapes, or the search gave up");
    }
}
