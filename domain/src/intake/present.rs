//! What is present in a series, read ahead of whoever looks at it: while a report is still being
//! checked, the database looks up what the last one left behind.

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::import::ImportParams;
use crate::Domain;
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::finding::sighting::store::{Present, Series};
use crate::store::at_work;

/// How many findings of a series are looked up together.
const PAGE: i64 = 5_000;
/// How many such pages wait at most: a few megabytes, however much is present.
const AHEAD: usize = 8;

/// The findings that are present in a series, page by page.
pub(super) struct Pages {
    /// The series as it stood before the first page was read.
    pub series: Series,
    /// The ledger's last entry before that.
    pub since: i64,
    read: mpsc::Receiver<Result<Vec<Present>>>,
    _reading: AbortOnDropHandle<()>,
}

impl Pages {
    /// Begins to read.
    pub async fn of(domain: &Domain, scope: &Scope, series: Series) -> Result<Self> {
        let since = domain.db().ledger_head(scope).await?.audit_seq;
        let (send, read) = mpsc::channel(AHEAD);
        let (domain, scope) = (domain.clone(), scope.clone());
        let reading = tokio::spawn(at_work(async move {
            let mut after = Some(Uuid::nil());
            while let Some(id) = after {
                let page = domain.db().present_in(&scope, series.id, id, PAGE).await;
                after = page.as_ref().ok().and_then(|page| page.last()).map(|last| last.id);
                if send.send(page).await.is_err() {
                    return;
                }
            }
        }));
        Ok(Self { series, since, read, _reading: AbortOnDropHandle::new(reading) })
    }

    /// Begins to read what is present in the series that a report most likely belongs to, if any.
    pub async fn likely(domain: &Domain, scope: &Scope, params: &ImportParams) -> Result<Option<Self>> {
        let (project, named) = (params.project, params.series.as_deref());
        match domain.db().likely_series(scope, project, named, &params.name).await? {
            Some(series) => Self::of(domain, scope, series).await.map(Some),
            None => Ok(None),
        }
    }

    /// The next page; none behind the last.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next(&mut self) -> Result<Option<Vec<Present>>> {
        match self.read.recv().await {
            Some(page) => page.map(|page| Some(page).filter(|page| !page.is_empty())),
            // Only an empty page is the end.
            None => Err(Error::internal("what is present in a series was not read to its end")),
        }
    }
}
