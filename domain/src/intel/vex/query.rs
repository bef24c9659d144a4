//! The statements that are kept, for those who look.

use std::collections::HashMap;

use uuid::Uuid;

use super::Said;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::Result;
use crate::inventory::scan::Scan;
use crate::page::{Page, PageArgs};
use crate::vocabulary::time::Timestamp;

/// A statement under one name of its vulnerability.
#[derive(Clone, Debug)]
pub struct Listed {
    pub project: Uuid,
    pub vulnerability: String,
    pub said: Said,
    pub said_at: Timestamp,
    /// The scan that said it last.
    pub scan: Uuid,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct VexFilter {
    pub project: Option<Uuid>,
    /// By any of its names, in any case.
    pub vulnerability: Option<String>,
}

/// The newest document of a series.
#[derive(Clone, Debug)]
pub struct Newest(pub Scan);

impl Domain {
    /// VEX statements of the projects inside of the actor's scope, by the name of the vulnerability.
    pub async fn vex_statements(
        &self,
        actor: &Actor,
        filter: &VexFilter,
        page: &PageArgs,
    ) -> Result<Page<Listed>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().vex_page(&scope, filter, page).await
    }

    /// How many statements the filter finds.
    pub async fn vex_statement_count(&self, actor: &Actor, filter: &VexFilter) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.db().vex_count(&scope, filter).await
    }

    /// The newest finished scan of each of these series, for a loader.
    pub async fn newest_scans(&self, actor: &Actor, series: &[Uuid]) -> Result<HashMap<Uuid, Newest>> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().newest_scans(&scope, series).await?;
        Ok(found.into_iter().filter_map(|scan| Some((scan.series?, Newest(scan)))).collect())
    }
}
