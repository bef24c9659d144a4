//! Findings taken out: as CSV, and as the documents of VEX that tell others what was decided.
//!
//! An export is asked for, which is audited, and fetched with a link that expires and asks for the
//! same rights again. Rows are read in pages while they are sent, so it costs no disk and little
//! memory; findings that change meanwhile appear as they are when their page is read.

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, try_unfold};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::query::{Count, FindingFilter, UNCOUNTED};
use super::selection::Selected;
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::evidence;
use crate::inventory::input;
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::job::{Job, JobKind, JobState, Principal};
use crate::ledger::AuditEntry;
use crate::vocabulary::criteria::{Compiled, Criteria};
use crate::vocabulary::field::finding::{FINDING, FindingField};
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::{Span, Timestamp};

pub(crate) mod aside;
pub mod csv;
pub(crate) mod store;
pub mod vex;

/// How long an export can be fetched.
pub const LIFE: Span = Span(Span::HOUR.0);
const PAGE: usize = 500;

terms! {
    /// What findings are taken out as.
    ExportFormat { Csv = "CSV", CycloneDx = "CYCLONEDX_VEX", OpenVex = "OPENVEX", Csaf = "CSAF_VEX" }
}

impl ExportFormat {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::CycloneDx => "application/vnd.cyclonedx+json; version=1.6",
            Self::OpenVex | Self::Csaf => "application/json",
        }
    }

    /// The name of the file of this export. That of CSAF is the one its standard asks for.
    pub fn file_name(self, export: Uuid) -> String {
        match self {
            Self::Csv => format!("findings-{export}.csv"),
            Self::CycloneDx => format!("findings-{export}.cdx.json"),
            Self::OpenVex => format!("findings-{export}.openvex.json"),
            Self::Csaf => format!("{}.json", vex::tracking_id(export)),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct ExportRequest {
    pub selected: Selected,
    /// CSV, if nothing is said.
    pub format: Option<ExportFormat>,
    /// The columns of CSV beside the id; all, if none are named.
    pub fields: Vec<FindingField>,
    /// Who speaks in a document of VEX; the company, if nobody is named.
    pub publisher: Option<Publisher>,
}

/// Who speaks in a document of VEX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    pub name: String,
    /// An address that is the publisher's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Publisher {
    fn checked(self) -> Result<Self> {
        let name = input::name("name", &self.name, input::NAME)?;
        let namespace = self.namespace.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let is_address = |text: &String| url::Url::parse(text).is_ok() && text.len() <= 2_000;
        if !namespace.as_ref().is_none_or(is_address) {
            return Err(Error::invalid("namespace", "A namespace is an absolute address."));
        }
        Ok(Self { name, namespace })
    }
}

/// A way of writing findings, page by page.
pub(crate) trait Writer: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>>>;

    /// What was written, by name, once it is at its end.
    fn counts(&self) -> Map<String, Json>;
}

/// What a writer reads.
pub(crate) struct Taken {
    pub domain: Domain,
    pub actor: Actor,
    pub filter: FindingFilter,
}

impl Domain {
    /// Asks for an export of the findings that are selected.
    pub async fn finding_export(&self, actor: &Actor, request: ExportRequest) -> Result<Job> {
        let scope = actor.allow(Permission::Export)?;
        let format = request.format.unwrap_or(ExportFormat::Csv);
        let selection = self.finding_selection(actor, &request.selected).await?;
        if format != ExportFormat::Csv && !request.fields.is_empty() {
            return Err(Error::invalid("fields", "Only CSV has columns."));
        }
        if format == ExportFormat::Csv && request.publisher.is_some() {
            return Err(Error::invalid("publisher", "Only documents of VEX have a publisher."));
        }
        let publisher = request.publisher.map(Publisher::checked).transpose();
        let publisher = publisher.map_err(|error| error.at("publisher"))?;
        if format.holds_places() {
            self.check_export_size(actor, selection.criteria.as_ref()).await?;
        }
        let fields: Vec<&str> = request.fields.iter().map(|field| field.key()).collect();
        let mut params = json!({ "format": format, "filter": selection.criteria, "fields": fields });
        if let (Some(publisher), Some(params)) = (publisher, params.as_object_mut()) {
            params.insert("publisher".to_owned(), json!(publisher));
        }
        self.ask_for_export(actor, &scope, params).await
    }

    /// Makes an export that waits to be fetched.
    pub(crate) async fn ask_for_export(&self, actor: &Actor, scope: &Scope, params: Json) -> Result<Job> {
        let id = self.clock().id();
        let mut tx = self.db().begin(actor, scope, self.clock().now()).await?;
        let principal = Principal::of(actor);
        tx.insert_job(id, JobKind::Export, JobState::Waiting, &principal, None, &params).await?;
        tx.audit(AuditEntry::new("export.requested", id).after(params));
        tx.answer(id);
        tx.commit().await?;
        self.db().job(scope, id).await?.ok_or_else(|| Error::not_found("export"))
    }

    async fn check_export_size(&self, actor: &Actor, criteria: Option<&Json>) -> Result<()> {
        let limited = |message: String| {
            Error::new(Code::LimitExceeded, message).with("limit", "findings").with("max", vex::MOST)
        };
        match self.finding_count(actor, &self.finding_filter(criteria)?).await? {
            Count::Exact(count) if count <= vex::MOST => Ok(()),
            Count::Exact(_) => {
                Err(limited(format!("One document is of at most {} findings: select fewer.", vex::MOST)))
            }
            Count::Unknown(_) => Err(limited(UNCOUNTED.to_owned())),
        }
    }

    /// The file of an export. Only its requester may fetch it, once, while it lives.
    pub async fn export_file(&self, actor: &Actor, id: Uuid) -> Result<Exported> {
        let scope = actor.allow(Permission::Export)?;
        let job = self.db().job(&scope, id).await?;
        let job = job.filter(|job| job.kind == JobKind::Export && job.principal.speaker.id == actor.id);
        let job = job.ok_or_else(|| Error::not_found("export"))?;
        let now = self.clock().now();
        if job.state != JobState::Waiting || job.created_at.plus(LIFE) <= now {
            return Err(Error::new(
                Code::IllegalState,
                "This export has been fetched, or its link has expired.",
            ));
        }
        if let Some(writer) = evidence::writer(self, actor, &job).await? {
            let (name, media_type) = (evidence::file_name(&job), evidence::MEDIA_TYPE);
            return Ok(self.exported(actor, job, writer, name, media_type));
        }
        let criteria = match job.params.get("filter").filter(|filter| !filter.is_null()) {
            Some(criteria) => Some(Compiled::new(&Criteria::parse(&FINDING, criteria).map_err(Error::from)?)),
            None => None,
        };
        let format: ExportFormat = job
            .params
            .get("format")
            .map_or(Ok(ExportFormat::Csv), |word| serde_json::from_value(word.clone()))
            .map_err(Error::internal)?;
        let taken =
            Taken { domain: self.clone(), actor: actor.clone(), filter: FindingFilter::new(criteria, now) };
        let writer: Box<dyn Writer> = match format {
            ExportFormat::Csv => Box::new(csv::Csv::new(taken, &job.params)),
            _ => vex::writer(taken, format, &job).await?,
        };
        let name = format.file_name(job.id);
        Ok(self.exported(actor, job, writer, name, format.media_type()))
    }

    fn exported(
        &self,
        actor: &Actor,
        job: Job,
        writer: Box<dyn Writer>,
        name: String,
        media_type: &'static str,
    ) -> Exported {
        let fetched = Fetched { domain: self.clone(), actor: actor.clone(), job };
        let bytes = try_unfold(Some((fetched, writer)), |export| async {
            let Some((fetched, mut writer)) = export else { return Ok(None) };
            match writer.next().await? {
                Some(piece) => Ok(Some((piece, Some((fetched, writer))))),
                None => {
                    fetched.finish(writer.counts()).await?;
                    Ok(None)
                }
            }
        });
        Exported { name, media_type, bytes: bytes.boxed() }
    }

    /// An export is written while it is fetched: there is nothing for a worker to do.
    pub(crate) async fn run_export(&self, _job: &Job) -> Result<Left> {
        Ok(Left::Stopped)
    }
}

impl ExportFormat {
    /// Whether what is held in memory while it is written grows with the findings.
    fn holds_places(self) -> bool {
        matches!(self, Self::CycloneDx | Self::Csaf)
    }
}

/// The file of an export, on its way.
pub struct Exported {
    pub name: String,
    pub media_type: &'static str,
    pub bytes: BoxStream<'static, Result<Vec<u8>>>,
}

/// An export that is being fetched.
struct Fetched {
    domain: Domain,
    actor: Actor,
    job: Job,
}

impl Fetched {
    async fn finish(&self, counts: Map<String, Json>) -> Result<()> {
        let scope = self.actor.allow(Permission::Export)?;
        let mut tx = self.domain.db().begin(&self.actor, &scope, self.domain.clock().now()).await?;
        let rows = counts.get("rows").and_then(Json::as_i64).unwrap_or_default();
        let told = Json::from(counts.clone());
        let step = Step {
            stage: "fetched",
            position: None,
            total: Some(rows),
            done: rows,
            counts,
            end: Some((JobState::Completed, None)),
        };
        if tx.step_job(&self.job, &step).await? {
            tx.audit(AuditEntry::new("export.fetched", self.job.id).after(told));
            tx.commit().await?;
        }
        Ok(())
    }
}

/// When the link of an export ends.
pub fn expires_at(job: &Job) -> Timestamp {
    job.created_at.plus(LIFE)
}
