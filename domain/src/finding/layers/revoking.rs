//! Taking back what a rule says of a finding. Pure.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Layer, Layers, Source};
use crate::vocabulary::terms::{Status, Term, terms};

terms! {
    /// How far a revoke goes: SAFE only where the rule's entry is on top, and the rest is reported as
    /// conflicts; FORCE also takes away what lies above it.
    RevokeMode { Safe = "SAFE", Force = "FORCE" }
}

/// A field that a SAFE revoke left alone, and who speaks above the rule there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevokeConflict {
    pub field: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// The lowest first.
    pub above: Vec<Source>,
}

/// Takes away what `rule` says. Returns whether anything was taken, and the conflicts.
pub fn revoke(layers: &mut Layers, rule: Uuid, mode: RevokeMode) -> (bool, Vec<RevokeConflict>) {
    let source = Source::rule(rule);
    let force = mode == RevokeMode::Force;
    let mut taken = false;
    let mut conflicts = Vec::new();
    for (field, stack) in layers.scalars.iter_mut() {
        match stack.take(source, force) {
            Ok(took) => taken |= took,
            Err(above) => conflicts.push(RevokeConflict { field: field.word().into(), element: None, above }),
        }
    }
    for (field, set) in layers.sets.iter_mut() {
        for (element, stack) in set.iter_mut() {
            match stack.take(source, force) {
                Ok(took) => taken |= took,
                Err(above) => conflicts.push(RevokeConflict {
                    field: field.word().into(),
                    element: Some(element.clone()),
                    above,
                }),
            }
        }
    }
    let verdicts = &mut layers.status.verdicts.0;
    if let Some(at) = verdicts.iter().position(|entry| entry.source == source) {
        let mut above: Vec<Source> = verdicts[at + 1..].iter().map(|entry| entry.source).collect();
        if layers.status.lifecycle.source.layer >= Layer::Runbook {
            above.push(layers.status.lifecycle.source);
        }
        if above.is_empty() || force {
            verdicts.truncate(at);
            // What a person decided over the acceptance goes with it: the finding is open again.
            if layers.status.is_settled() {
                layers.move_to(Source::SCANNER, Status::Open);
            }
            taken = true;
        } else {
            conflicts.push(RevokeConflict { field: "status".into(), element: None, above });
        }
    }
    layers.prune();
    (taken, conflicts)
}
