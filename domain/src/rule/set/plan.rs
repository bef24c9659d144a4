//! The difference between the rules of a document and those that stand. Pure.

use std::collections::{HashMap, HashSet};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::document::members;
use super::{SetOptions, SetPlan, Standing};
use crate::error::Code;
use crate::rule::Content;
use crate::rule::draft::RuleDraft;
use crate::rule::pass::Mode;
use crate::vocabulary::criteria::Fault;

/// What is done with one rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create,
    Change(Vec<Difference>),
    Archive,
    Unchanged,
    /// The document does not have it, and it stays.
    Left,
}

impl Step {
    pub fn writes(&self) -> bool {
        matches!(self, Self::Create | Self::Change(_) | Self::Archive)
    }
}

/// A member of a rule that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub field: String,
    pub before: Json,
    pub after: Json,
}

/// One rule of a plan.
#[derive(Clone, Debug)]
pub struct Planned {
    pub key: String,
    pub name: String,
    /// The rule, where there is one.
    pub rule: Option<Uuid>,
    pub step: Step,
    /// What the document says, where it has the rule.
    pub draft: Option<RuleDraft>,
}

/// The plan of a document whose rules are in order each by itself.
///
/// # Errors
/// The rules whose key belongs to one that was archived.
pub(super) fn plan(
    checked: Vec<(RuleDraft, Content, Mode)>,
    standing: &[Standing],
    options: SetOptions,
) -> Result<SetPlan, Vec<Fault>> {
    let by_key: HashMap<&str, &Standing> = standing.iter().map(|one| (one.rule.key.as_str(), one)).collect();
    let (mut planned, mut faults, mut named) = (Vec::new(), Vec::new(), HashSet::new());
    for (at, (draft, content, mode)) in checked.into_iter().enumerate() {
        let key = draft.key.clone().unwrap_or_default();
        // As it would be kept: what goes without saying and what is merely written otherwise makes no difference.
        let draft = RuleDraft {
            name: content.name.clone(),
            description: content.description.clone(),
            criteria: content.criteria.clone(),
            action: json!(content.action),
            mode,
            ..draft
        };
        named.insert(key.clone());
        let found = by_key.get(key.as_str());
        if found.is_some_and(|one| one.rule.archived_at.is_some()) {
            let message = "A rule that was archived has this key.".to_owned();
            faults.push(Fault { pointer: format!("/rules/{at}/key"), code: Code::Taken, message });
            continue;
        }
        let step = match found {
            None => Step::Create,
            Some(one) => match differences(&one.written, &draft) {
                none if none.is_empty() => Step::Unchanged,
                some => Step::Change(some),
            },
        };
        let (name, rule) = (content.name.clone(), found.map(|one| one.rule.id));
        planned.push(Planned { key, name, rule, step, draft: Some(draft) });
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut others: Vec<&Standing> = standing
        .iter()
        .filter(|one| one.rule.archived_at.is_none() && !named.contains(&one.rule.key))
        .collect();
    others.sort_unstable_by(|one, other| one.rule.key.cmp(&other.rule.key));
    planned.extend(others.into_iter().map(|one| Planned {
        key: one.rule.key.clone(),
        name: one.written.name.clone(),
        rule: Some(one.rule.id),
        step: if options.prune { Step::Archive } else { Step::Left },
        draft: None,
    }));
    Ok(SetPlan { hash: hash(&planned, standing, options), planned })
}

fn differences(before: &RuleDraft, after: &RuleDraft) -> Vec<Difference> {
    let [mut before, mut after] = [before, after].map(members);
    let fields: Vec<String> =
        before.keys().chain(after.keys().filter(|field| !before.contains_key(*field))).cloned().collect();
    let take = |from: &mut serde_json::Map<String, Json>, field: &str| from.remove(field).unwrap_or_default();
    let differing = fields.into_iter().filter_map(|field| {
        let (before, after) = (take(&mut before, &field), take(&mut after, &field));
        (before != after).then_some(Difference { field, before, after })
    });
    differing.collect()
}

/// What an application has to find as it was: the document, how it is applied, and every rule.
fn hash(planned: &[Planned], standing: &[Standing], options: SetOptions) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: String| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    add(json!([options.prune, options.submit]).to_string());
    for one in planned {
        let said = one.draft.as_ref().map(members);
        add(json!([one.key, said]).to_string());
    }
    let mut stands: Vec<(Uuid, i64)> = standing.iter().map(|one| (one.rule.id, one.rule.version)).collect();
    stands.sort_unstable();
    add(json!(stands).to_string());
    crate::ledger::audit::hex(&hash.finalize())
}
