//! What a revoke would come to, without a write.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Counts, Judged, Revoke, RevokeOutcome, RevokeRequest, judge, store};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::Result;
use crate::finding::facts::{Finding, Shown};
use crate::finding::layers::revoke;
use crate::page::{Key, KeyKind, KeyValue, Page, PageArgs, Sort, Window};
use crate::rule::preview::{FieldChange, changes};
use crate::vocabulary::time::Timestamp;

/// How many findings a preview looks at.
pub const MOST: usize = 5_000;
/// How many turns it reads together.
const CHUNK: usize = 500;

/// The rows of a preview are in the order of the walk.
const ROWS: Sort = Sort::new("revoke preview", &[Key::new("place", KeyKind::Int)]);

/// What a revoke would come to.
#[derive(Debug)]
pub struct RevokePreview {
    pub as_of: Timestamp,
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
    /// None: it is not there any more.
    pub finding: Option<Finding>,
    pub judged: Judged,
    /// What would show another value.
    pub changes: Vec<FieldChange>,
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
        let window = Window::new(args, ROWS)?;
        let bound = |cursor: &Option<Vec<KeyValue>>| match cursor.as_deref() {
            Some([KeyValue::Int(place)]) => Some(*place),
            _ => None,
        };
        let (after, before) = (bound(&window.after), bound(&window.before));
        let rows = self.rows.iter().zip(0_i64..).filter(|(row, place)| {
            (outcomes.is_empty() || outcomes.contains(&row.judged.outcome))
                && after.is_none_or(|after| *place > after)
                && before.is_none_or(|before| *place < before)
        });
        let most = usize::from(window.limit) + 1;
        let mut rows: Vec<(&RevokeRow, i64)> = rows.collect();
        if window.backward {
            rows.reverse();
        }
        rows.truncate(most);
        let rows = rows.into_iter().map(|(row, place)| (vec![KeyValue::Int(place)], row.clone()));
        Ok(window.page(rows.collect()))
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
    pub async fn rule_revoke_preview(&self, actor: &Actor, request: &RevokeRequest) -> Result<RevokePreview> {
        let scope = actor.allow(Permission::WriteRules)?.of_tenant()?;
        let (_, revoke) = self.revoke_of(actor, &scope, request).await?;
        let mut preview = RevokePreview {
            as_of: self.clock().now(),
            total: self.db().count_picks(&scope, &revoke).await?,
            counts: Counts::default(),
            truncated: false,
            rows: Vec::new(),
        };
        let mut after = None;
        loop {
            let turns = self.db().picks(&scope, &revoke, after, CHUNK).await?;
            let Some(last) = turns.last() else { return Ok(preview) };
            after = Some(last.place);
            let ids = store::findings(&turns);
            let findings = self.db().findings_by_id(&scope, &ids).await?;
            let mut findings: HashMap<Uuid, Finding> =
                findings.into_iter().map(|finding| (finding.id, finding)).collect();
            for pick in self.db().newest_turns(&scope, &revoke, &turns, &ids).await? {
                if preview.rows.len() == MOST {
                    preview.truncated = true;
                    return Ok(preview);
                }
                let finding = findings.remove(&pick.finding);
                let judged =
                    judge(finding.as_ref(), pick.application == pick.newest, revoke.rule, revoke.mode);
                preview.counts.add(judged.outcome);
                preview.rows.push(RevokeRow::new(finding, judged, &revoke));
            }
        }
    }
}

impl RevokeRow {
    fn new(finding: Option<Finding>, judged: Judged, what: &Revoke) -> Self {
        let changes = match &finding {
            Some(finding) if judged.takes() => {
                let mut layers = finding.layers.clone();
                revoke(&mut layers, what.rule, what.mode);
                changes(&finding.shown, &Shown::of(&layers), &layers)
            }
            _ => Vec::new(),
        };
        Self { finding, judged, changes }
    }
}
