//! Approvals as they change, and how many wait for somebody's vote.

use std::collections::HashMap;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use uuid::Uuid;

use super::{BATCH, Subject, Watch, checked};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::approval::{Approval, ApprovalFilter};
use crate::error::Result;
use crate::vocabulary::time::Timestamp;

/// An approval that changed.
#[derive(Clone, Debug)]
pub struct ApprovalChange {
    /// The number of the event: where to go on from.
    pub seq: i64,
    pub at: Timestamp,
    /// The kind of the event.
    pub event: String,
    /// The approval as it is now, not as it was at the event.
    pub approval: Approval,
}

/// How many approvals waited for a vote of the reader behind an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub seq: i64,
    pub count: i64,
}

impl Domain {
    /// The approvals that the actor sees as they change after event `after`, in the order of the
    /// ledger.
    pub async fn approval_changes(
        &self,
        actor: &Actor,
        after: Option<i64>,
    ) -> Result<impl Stream<Item = Result<Vec<ApprovalChange>>> + Send + use<>> {
        let scope = actor.allow(Permission::Read)?;
        let news = self.db().news();
        let head = self.db().ledger_head(&scope).await?.event_seq;
        let after = checked(after, head)?;
        let watch = Watch { domain: self.clone(), scope, news };
        Ok(try_unfold((watch, actor.clone(), after), |(mut watch, actor, after)| async move {
            let mut after = after;
            loop {
                let db = watch.domain.db();
                let events = db.events_about(&watch.scope, Subject::Approval, after, BATCH).await?;
                let Some(last) = events.last().map(|event| event.seq) else {
                    watch.wait().await;
                    continue;
                };
                after = last;
                let mut ids: Vec<Uuid> = events.iter().map(|event| event.subject).collect();
                ids.sort_unstable();
                ids.dedup();
                let approvals: HashMap<Uuid, Approval> = watch.domain.approvals_by_id(&actor, &ids).await?;
                let change = |event: super::Told| {
                    let approval = approvals.get(&event.subject)?.clone();
                    Some(ApprovalChange { seq: event.seq, at: event.at, event: event.kind, approval })
                };
                let changes: Vec<ApprovalChange> = events.into_iter().filter_map(change).collect();
                if !changes.is_empty() {
                    return Ok(Some((changes, (watch, actor, after))));
                }
            }
        }))
    }

    /// How many approvals wait for a vote of the actor: now, or behind event `after`, and then whenever
    /// that is another number.
    pub async fn approvals_waiting(
        &self,
        actor: &Actor,
        after: Option<i64>,
    ) -> Result<impl Stream<Item = Result<Waiting>> + Send + use<>> {
        let scope = actor.allow(Permission::Read)?;
        let news = self.db().news();
        let head = self.db().ledger_head(&scope).await?.event_seq;
        let after = after.map(|after| checked(Some(after), head)).transpose()?;
        let watch = Watch { domain: self.clone(), scope, news };
        let start = (watch, actor.clone(), after.unwrap_or(head), after.is_none(), None::<i64>);
        Ok(try_unfold(start, |(mut watch, actor, mut seq, mut look, told)| async move {
            let for_me = ApprovalFilter { for_me: true, ..ApprovalFilter::default() };
            loop {
                if look {
                    let count = watch.domain.approval_count(&actor, &for_me).await?;
                    if told != Some(count) {
                        return Ok(Some((Waiting { seq, count }, (watch, actor, seq, false, Some(count)))));
                    }
                }
                let db = watch.domain.db();
                let events = db.events_about(&watch.scope, Subject::Approval, seq, BATCH).await?;
                look = !events.is_empty();
                match events.last() {
                    Some(last) => seq = last.seq,
                    None => watch.wait().await,
                }
            }
        }))
    }
}
