//! What came of revokes, finding by finding.

use std::collections::HashMap;

use uuid::Uuid;

use super::{RevokeOutcome, store};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::Result;
use crate::finding::layers::RevokeConflict;
use crate::page::{Page, PageArgs, Window};
use crate::rule::application::id_of;

/// What came of one finding.
#[derive(Clone, Debug, PartialEq)]
pub struct RevokedFinding {
    pub job: Uuid,
    pub company: Uuid,
    pub finding: Uuid,
    /// The number of the application that was meant.
    pub(super) application: i64,
    /// The number of the one that stood in its place by then.
    pub(super) replaced_by: Option<i64>,
    pub outcome: RevokeOutcome,
    pub restored: Vec<String>,
    pub conflicts: Vec<RevokeConflict>,
}

impl RevokedFinding {
    /// The application that was meant.
    pub fn application(&self) -> Uuid {
        id_of(self.company, self.application)
    }

    /// The later turn of the rule on the finding that stood in its place by then, if one did.
    pub fn replaced_by(&self) -> Option<Uuid> {
        self.replaced_by.map(|seq| id_of(self.company, seq))
    }
}

/// What to list: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct OutcomeFilter {
    pub outcomes: Vec<RevokeOutcome>,
    pub finding: Option<Uuid>,
}

impl Domain {
    /// A page of what came of each of these revokes, as far as they are, in the order in which it did.
    pub async fn revoke_outcomes(
        &self,
        actor: &Actor,
        jobs: &[Uuid],
        filter: &OutcomeFilter,
        args: &PageArgs,
    ) -> Result<HashMap<Uuid, Page<RevokedFinding>>> {
        let scope = actor.allow(Permission::Read)?;
        let jobs: Vec<Uuid> = self.jobs_by_id(actor, jobs).await?.into_keys().collect();
        self.db().revoke_outcomes(&scope, &jobs, filter, &Window::new(args, store::ORDER)?).await
    }

    /// How many findings that the filter finds each of these revokes has come to.
    pub async fn revoke_outcome_counts(
        &self,
        actor: &Actor,
        jobs: &[Uuid],
        filter: &OutcomeFilter,
    ) -> Result<HashMap<Uuid, i64>> {
        let scope = actor.allow(Permission::Read)?;
        let jobs: Vec<Uuid> = self.jobs_by_id(actor, jobs).await?.into_keys().collect();
        self.db().revoke_outcome_counts(&scope, &jobs, filter).await
    }
}
