//! Evidence of a period, for who has to show that policy was held.

use async_graphql::{Context, Object, SimpleObject};
use domain::finding::export::expires_at;
use domain::job;
use record::{record, root};

use super::job::Job;
use super::payload::{Outcome, UserError, mutate};
use super::scalars::DateTime;
use crate::files::export_path;

/// What `evidenceExport` answers.
#[record]
#[derive(SimpleObject)]
pub struct EvidenceExportPayload {
    /// The export as a job. It is written while it is fetched.
    job: Option<Job>,
    /// The path of the archive on this server: fetched once, by who asked for it, with the same kind of bearer token.
    url: Option<String>,
    /// Until when it can be fetched.
    expires_at: Option<DateTime>,
    /// Why it was refused; empty if it was not.
    user_errors: Vec<UserError>,
}

impl From<Outcome<job::Job>> for EvidenceExportPayload {
    fn from(outcome: Outcome<job::Job>) -> Self {
        match outcome.0 {
            Ok(job) => Self {
                url: Some(export_path(job.id)),
                expires_at: Some(DateTime(expires_at(&job))),
                job: Some(job.into()),
                user_errors: Vec::new(),
            },
            Err(refused) => Self { job: None, url: None, expires_at: None, user_errors: vec![refused] },
        }
    }
}

#[derive(Default)]
pub struct EvidenceMutation;

#[root]
#[Object]
impl EvidenceMutation {
    /// Takes out what happened in a period, with the rules as they stood, approvals, applications, revokes, exceptions and members:
    /// a ZIP of CSV and JSON whose signed manifest `countersign audit verify --evidence` checks. Takes the rights to read the audit
    /// and to export.
    async fn evidence_export(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "From when on.")] from: DateTime,
        #[graphql(desc = "Before when; not in the future.")] to: DateTime,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<EvidenceExportPayload> {
        mutate::<job::Job, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.evidence_export(&actor, from.0, to.0).await },
            |domain, actor, id| async move { domain.job(&actor, id).await },
        )
        .await
    }
}
