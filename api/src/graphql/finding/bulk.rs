//! What people do to many findings at once, and taking findings out.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use domain::error::{Code, Error, Result};
use domain::finding::bulk::Selection;
use domain::finding::edit::Edit;
use domain::finding::export::{ExportRequest, Publisher, expires_at};
use domain::finding::request::Made;
use domain::finding::selection::Selected;
use domain::job;
use domain::vocabulary::field::finding::FindingField;
use record::{record, root};

use super::acceptance::{AcceptRiskInput, ExtendAcceptanceInput};
use super::mutation::{FindingAssignInput, FindingTagInput};
use super::request::ChangeRequestNode;
use super::words::{FindingExportFormat, FindingStatus, Justification, Severity};
use crate::files::export_path;
use crate::graphql::criteria::Criteria;
use crate::graphql::id::Noun;
use crate::graphql::job::Job;
use crate::graphql::payload::{Outcome, UserError, mutate};
use crate::graphql::scalars::DateTime;

/// Another status, for many findings.
#[derive(InputObject)]
pub struct BulkStatusInput {
    /// Where they are to stand.
    status: FindingStatus,
    /// Why. Whoever accepts risks has to say it; `acceptRisk` takes more.
    reason: Option<String>,
    /// Why they are false positives: of that status alone.
    justification: Option<Justification>,
}

/// Another severity, for many findings.
#[derive(InputObject)]
pub struct BulkSeverityInput {
    /// How bad they are.
    severity: Severity,
    /// Why, for the audit.
    reason: Option<String>,
}

/// Fields to release, of many findings.
#[derive(InputObject)]
pub struct BulkReleaseInput {
    /// The keys of the fields, as in `layers`.
    fields: Vec<String>,
}

/// One change of many findings.
#[derive(OneofObject)]
pub enum FindingEditInput {
    /// Move them in their lifecycle.
    SetStatus(BulkStatusInput),
    /// Accept their risk.
    AcceptRisk(AcceptRiskInput),
    /// Let their acceptances last longer.
    ExtendAcceptance(ExtendAcceptanceInput),
    /// Say how bad they are.
    SetSeverity(BulkSeverityInput),
    /// Tag them, or take tags off.
    Tag(FindingTagInput),
    /// Assign them, or take people and teams off.
    Assign(FindingAssignInput),
    /// Drop what people said of them.
    Release(BulkReleaseInput),
}

impl FindingEditInput {
    fn read(self) -> Result<Edit> {
        Ok(match self {
            Self::SetStatus(input) => {
                let justification = input.justification.map(Into::into);
                Edit::status(input.status.into(), input.reason, justification)
                    .map_err(|error| error.at("setStatus").at("edit"))?
            }
            Self::AcceptRisk(input) => input.read().map_err(|error| error.at("acceptRisk").at("edit"))?,
            Self::ExtendAcceptance(input) => input.read(),
            Self::SetSeverity(input) => {
                Edit::SetSeverity { severity: input.severity.into(), reason: input.reason }
            }
            Self::Tag(input) => input.read(),
            Self::Assign(input) => input.read().map_err(|error| error.at("assign").at("edit"))?,
            Self::Release(input) => Edit::Release { fields: input.fields },
        })
    }
}

/// What `findingBulkUpdate` answers.
#[record]
#[derive(SimpleObject)]
pub struct FindingBulkUpdatePayload {
    /// How many findings were changed; null while the job goes on.
    changed: Option<i64>,
    /// How many were already so; null while the job goes on.
    unchanged: Option<i64>,
    /// How many could not be changed: their lifecycle does not allow it. Null while the job goes on.
    refused: Option<i64>,
    /// The change as a job. A small one has ended with this answer; a large one goes on:
    /// `jobProgress` watches it.
    job: Option<Job>,
    /// The request that the change became: the company's policy asks for a second person, and nothing
    /// was changed. Null where it was done or begun.
    request: Option<ChangeRequestNode>,
    /// Why it was refused; empty if it was done, begun or asked for.
    user_errors: Vec<UserError>,
}

impl From<Outcome<Made<job::Job>>> for FindingBulkUpdatePayload {
    fn from(outcome: Outcome<Made<job::Job>>) -> Self {
        let nothing = Self {
            changed: None,
            unchanged: None,
            refused: None,
            job: None,
            request: None,
            user_errors: Vec::new(),
        };
        match outcome.0 {
            Ok(Made::Done(job)) => {
                let count = |name: &str| job.counts.get(name).and_then(serde_json::Value::as_i64);
                let counted = |name| job.state.is_end().then(|| count(name).unwrap_or(0));
                Self {
                    changed: counted("changed"),
                    unchanged: counted("unchanged"),
                    refused: counted("refused"),
                    job: Some(job.into()),
                    ..nothing
                }
            }
            Ok(Made::Asked(request)) => Self { request: Some((*request).into()), ..nothing },
            Err(refused) => Self { user_errors: vec![refused], ..nothing },
        }
    }
}

/// Who speaks in a document of VEX.
#[derive(InputObject)]
pub struct VexPublisherInput {
    /// The name under which others know the speaker.
    name: String,
    /// An address that is the speaker's own, which CSAF asks for; one made of the company's id if not said.
    namespace: Option<String>,
}

/// What `findingExport` answers.
#[record]
#[derive(SimpleObject)]
pub struct FindingExportPayload {
    /// The export as a job. It is written while it is fetched.
    job: Option<Job>,
    /// The path of the file on this server: fetched once, by who asked for it, with the same
    /// kind of bearer token.
    url: Option<String>,
    /// Until when it can be fetched.
    expires_at: Option<DateTime>,
    /// Why it was refused; empty if it was not.
    user_errors: Vec<UserError>,
}

impl From<Outcome<job::Job>> for FindingExportPayload {
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
pub struct BulkMutation;

#[root]
#[Object]
impl BulkMutation {
    /// Makes one change to many findings. Each is changed or not by itself. Up to 200 are changed at
    /// once; more by a job. Where the company's change policy asks for a second person, the change is
    /// asked for instead: for at most 10,000 findings at a time.
    async fn finding_bulk_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global ids of the findings, at most 10,000; or else a filter.")] ids: Option<
            Vec<ID>,
        >,
        #[graphql(desc = "Which findings; or else ids. Everything is never meant by accident.")]
        filter: Option<Criteria>,
        #[graphql(desc = "The change: one of these.")] edit: FindingEditInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingBulkUpdatePayload> {
        mutate::<Made<job::Job>, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let selection = match (ids, filter) {
                    (Some(ids), None) => Selection::Ids(Noun::Finding.read_all(&ids, "ids")?),
                    (None, Some(filter)) => Selection::Matching(filter.0),
                    _ => {
                        let message = "Name the findings, or give a filter: one of the two.";
                        return Err(Error::new(Code::Required, message).at("ids"));
                    }
                };
                domain.finding_bulk(&actor, selection, edit.read()?).await
            },
            |domain, actor, id| async move {
                match domain.job(&actor, id).await {
                    Err(error) if error.code == Code::NotFound => {
                        Ok(Made::Asked(Box::new(domain.change_request(&actor, id).await?)))
                    }
                    job => job.map(Made::Done),
                }
            },
        )
        .await
    }

    /// Takes findings out: as CSV, or their decisions as a document of VEX, which the importer reads with the same outcome. All
    /// that is said of which findings has to hold.
    #[expect(clippy::too_many_arguments, reason = "each says one thing of the export")]
    async fn finding_export(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which findings; all inside of the portfolio if not said.")] filter: Option<
            Criteria,
        >,
        #[graphql(desc = "Only those of this saved view, by its global id.")] view: Option<ID>,
        #[graphql(desc = "Only those of this project, by its global id.")] project: Option<ID>,
        #[graphql(desc = "What to write.", default_with = "FindingExportFormat::Csv")]
        format: FindingExportFormat,
        #[graphql(desc = "The keys of the fields to write, beside the id; all if not said. CSV alone has \
                         fields.")]
        fields: Option<Vec<String>>,
        #[graphql(desc = "Who speaks in a document of VEX; the company if not said.")] publisher: Option<
            VexPublisherInput,
        >,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingExportPayload> {
        mutate::<job::Job, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let field = |key: &String| {
                    FindingField::from_key(key)
                        .ok_or_else(|| Error::invalid("fields", format!("There is no field `{key}`.")))
                };
                let view = view.map(|id| Noun::View.read_at(&id, "view")).transpose()?;
                let project = project.map(|id| Noun::Project.read_at(&id, "project")).transpose()?;
                let request = ExportRequest {
                    selected: Selected { filter: filter.map(|filter| filter.0), view, project },
                    format: Some(format.into()),
                    fields: fields.unwrap_or_default().iter().map(field).collect::<Result<_>>()?,
                    publisher: publisher
                        .map(|input| Publisher { name: input.name, namespace: input.namespace }),
                };
                domain.finding_export(&actor, request).await
            },
            |domain, actor, id| async move { domain.job(&actor, id).await },
        )
        .await
    }
}
