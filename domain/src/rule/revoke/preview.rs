//! What a revoke would come to, without a write.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Counts, Judged, Revoke, RevokeOutcome, RevokeRequest, judge, store};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::finding::facts::Finding;
use crate::finding::layers::revoke;
use crate::finding::shown::Shown;
use crate::page::{Page, PageArgs};
use crate::rule::preview::kept::{Snapshot, Ticket};
use crate::rule::preview::{FieldChange, changes, page_of};

/// How many findings a preview looks at.
pub const MOST: usize = 5_000;
/// How many turns it reads together.
const CHUNK: usize = 500;

/// What a revoke would come to: all of one moment, and kept for a while, so that its pages are too.
#[derive(Debug)]
pub struct RevokePreview {
    pub ticket: Ticket,
    /// How many findings it means.
    pub total: i64,
    pub counts: Counts,
    /// There are more findings than were looked at.
    pub truncated: bool,
    rows: Vec<RevokeRow>,
}

/// What would become of one finding.
#[derive(Clone, Debug)]
pub struct RevokeRow {
    /// Its place in the order of the walk.
    place: usize,
    /// None: it is not there any more.
    pub finding: Option<Finding>,
    pub judged: Judged,
    /// What would show another value.
    pub changes: Vec<FieldChange>,
}

impl Snapshot for RevokePreview {
    fn ticket(&self) -> Ticket {
        self.ticket
    }

    fn findings(&self) -> usize {
        self.rows.len()
    }
}

impl RevokePreview {
    /// How many findings were looked at.
    pub fn evaluated(&self) -> usize {
        self.rows.len()
    }

    /// A page of the findings that would come out so; of all, for none.
    ///
    /// # Errors
    ///
    /// Those of any page.
    pub fn rows(&self, outcomes: &[RevokeOutcome], args: &PageArgs) -> Result<Page<RevokeRow>> {
        let wanted = |row: &RevokeRow| outcomes.is_empty() || outcomes.contains(&row.judged.outcome);
        Ok(page_of(&self.rows, |row| row.place, wanted, args)?.map(Clone::clone))
    }

    /// How many of those that were looked at would come out so.
    pub fn row_count(&self, outcomes: &[RevokeOutcome]) -> i64 {
        match outcomes {
            [] => i64::try_from(self.rows.len()).unwrap_or(i64::MAX),
            some => some.iter().map(|outcome| self.counts.get(*outcome)).sum(),
        }
    }
}

impl Domain {
    /// What a revoke would come to on the first findings that it means. Nothing is written.
    ///
    /// # Errors
    ///
    /// What the revoke itself would be refused for.
    pub async fn rule_revoke_preview(
        &self,
        actor: &Actor,
        request: &RevokeRequest,
    ) -> Result<Arc<RevokePreview>> {
        let scope = actor.allow(Permission::WriteRules)?.of_tenant()?;
        let (_, revoke) = self.revoke_of(actor, &scope, request).await?;
        let mut preview = RevokePreview {
            ticket: Ticket::of(actor, self.clock().id(), self.clock().now()),
            total: self.db().count_picks(&scope, &revoke).await?,
            counts: Counts::default(),
            truncated: false,
            rows: Vec::new(),
        };
        self.look_at_picks(&scope, &revoke, &mut preview).await?;
        let preview = Arc::new(preview);
        self.revoke_previews().keep(Arc::clone(&preview), preview.ticket.as_of);
        Ok(preview)
    }

    /// A preview of a revoke that the actor asked for some minutes ago.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` where this process keeps it no longer: ask for the preview again.
    pub fn rule_revoke_previewed(&self, actor: &Actor, id: Uuid) -> Result<Arc<RevokePreview>> {
        actor.allow(Permission::WriteRules)?;
        let kept = self.revoke_previews().of(actor, id, self.clock().now());
        kept.ok_or_else(|| Error::not_found("preview"))
    }

    /// Judges the first findings that a revoke means, in the order in which it would come to them.
    async fn look_at_picks(&self, scope: &Scope, revoke: &Revoke, preview: &mut RevokePreview) -> Result<()> {
        let mut after = None;
        loop {
            let turns = self.db().picks(scope, revoke, after, CHUNK).await?;
            let Some(last) = turns.last() else { return Ok(()) };
            after = Some(last.place);
            let ids = store::findings(&turns);
            let findings = self.db().findings_by_id(scope, &ids).await?;
            let mut findings: HashMap<Uuid, Finding> =
                findings.into_iter().map(|finding| (finding.id, finding)).collect();
            for pick in self.db().newest_turns(scope, revoke, &turns, &ids).await? {
                if preview.rows.len() == MOST {
                    preview.truncated = true;
                    return Ok(());
                }
                let finding = findings.remove(&pick.finding);
                let judged =
                    judge(finding.as_ref(), pick.application == pick.newest, revoke.rule, revoke.mode);
                preview.counts.add(judged.outcome);
                let place = preview.rows.len();
                preview.rows.push(RevokeRow::new(place, finding, judged, revoke));
            }
        }
    }
}

impl RevokeRow {
    fn new(place: usize, finding: Option<Finding>, judged: Judged, what: &Revoke) -> Self {
        let changes = match &finding {
            Some(finding) if judged.takes() => {
                let mut layers = finding.layers.clone();
                revoke(&mut layers, what.rule, what.mode);
                changes(&finding.shown, &Shown::of(&layers), &layers)
            }
            _ => Vec::new(),
        };
        Self { place, finding, judged, changes }
    }
}
