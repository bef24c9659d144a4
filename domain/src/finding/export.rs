//! Findings as CSV.
//!
//! An export is asked for, which is audited, and fetched with a link that expires and asks for the
//! same rights again. Rows are read in pages while they are sent, so it costs no disk and no more
//! memory than a page; findings that change meanwhile appear as they are when their page is read.

use futures_util::Stream;
use futures_util::stream::try_unfold;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::facts::{Facts, Finding};
use super::query::FindingFilter;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Code, Error, Result};
use crate::inventory::asset::Asset;
use crate::job::runner::Left;
use crate::job::store::Step;
use crate::job::{Job, JobKind, JobState, Principal};
use crate::ledger::AuditEntry;
use crate::vocabulary::criteria::{Compiled, Criteria, Subject};
use crate::vocabulary::field::finding::{FINDING, FindingField};
use crate::vocabulary::time::{Span, Timestamp};

/// How long an export can be fetched.
pub const LIFE: Span = Span(Span::HOUR.0);
const PAGE: usize = 500;

impl Domain {
    /// Asks for an export of the findings that pass. `fields` are its columns, beside the id; all of
    /// them if none are named.
    pub async fn finding_export(
        &self,
        actor: &Actor,
        filter: Option<&Json>,
        fields: &[FindingField],
    ) -> Result<Job> {
        let scope = actor.allow(Permission::Export)?;
        self.finding_filter(filter)?;
        let fields: Vec<&str> = fields.iter().map(|field| field.key()).collect();
        let params = json!({ "filter": filter, "fields": fields });
        let id = self.clock().id();
        let mut tx = self.db().begin(actor, &scope, self.clock().now()).await?;
        let principal = Principal::of(actor);
        tx.insert_job(id, JobKind::Export, JobState::Waiting, &principal, None, &params).await?;
        tx.audit(AuditEntry::new("export.requested", id).after(params));
        tx.answer(id);
        tx.commit().await?;
        self.db().job(&scope, id).await?.ok_or_else(|| Error::not_found("export"))
    }

    /// The bytes of an export. Only its requester may fetch it, once, while it lives.
    pub async fn export_rows(
        &self,
        actor: &Actor,
        id: Uuid,
    ) -> Result<impl Stream<Item = Result<Vec<u8>>> + Send + use<>> {
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
        let criteria = match job.params.get("filter").filter(|filter| !filter.is_null()) {
            Some(criteria) => Some(Compiled::new(&Criteria::parse(&FINDING, criteria).map_err(Error::from)?)),
            None => None,
        };
        let named = job.params.get("fields").and_then(Json::as_array).into_iter().flatten();
        let mut fields: Vec<FindingField> =
            named.filter_map(Json::as_str).filter_map(FindingField::from_key).collect();
        if fields.is_empty() {
            fields = FindingField::ALL.to_vec();
        }
        let export = Export {
            domain: self.clone(),
            actor: actor.clone(),
            job,
            fields,
            filter: FindingFilter::new(criteria, now),
            after: None,
            rows: 0,
        };
        Ok(try_unfold(Some(export), |export| async {
            match export {
                Some(export) => export.page().await,
                None => Ok(None),
            }
        }))
    }

    /// An export is written while it is fetched: there is nothing for a worker to do.
    pub(crate) async fn run_export(&self, _job: &Job) -> Result<Left> {
        Ok(Left::Stopped)
    }
}

/// An export on its way.
struct Export {
    domain: Domain,
    actor: Actor,
    job: Job,
    fields: Vec<FindingField>,
    filter: FindingFilter,
    /// `None` before the header row.
    after: Option<Uuid>,
    rows: i64,
}

impl Export {
    /// The next piece, and what is left to do.
    async fn page(mut self) -> Result<Option<(Vec<u8>, Option<Self>)>> {
        let Some(after) = self.after else {
            let mut csv = csv::Writer::from_writer(Vec::new());
            let header = std::iter::once("id").chain(self.fields.iter().map(|field| field.key()));
            csv.write_record(header).map_err(Error::internal)?;
            self.after = Some(Uuid::nil());
            return Ok(Some((csv.into_inner().map_err(|e| Error::internal(e.to_string()))?, Some(self))));
        };
        let scope = self.actor.allow(Permission::Export)?;
        let db = self.domain.db();
        let ids = db.finding_ids(&scope, &self.filter, after, PAGE).await?;
        let Some(last) = ids.last().copied() else {
            self.finish().await?;
            return Ok(None);
        };
        let mut findings = db.findings_by_id(&scope, &ids).await?;
        findings.sort_unstable_by_key(|finding| finding.id);
        let assets = db.assets_on(&scope, &findings).await?;
        let mut csv = csv::Writer::from_writer(Vec::with_capacity(256 * findings.len()));
        for finding in &findings {
            if let Some(asset) = assets.get(&finding.asset) {
                csv.write_record(self.cells(finding, asset)).map_err(Error::internal)?;
            }
        }
        self.rows += i64::try_from(findings.len()).unwrap_or(i64::MAX);
        self.after = Some(last);
        Ok(Some((csv.into_inner().map_err(|e| Error::internal(e.to_string()))?, Some(self))))
    }

    fn cells(&self, finding: &Finding, asset: &Asset) -> Vec<String> {
        let facts = Facts { finding, asset, shown: &finding.shown };
        let cell = |field: &FindingField| {
            let value = facts.read(field.index()).map(|value| value.to_json(field.field().kind));
            value.map_or_else(|_| String::new(), |value| guarded(text(&value)))
        };
        std::iter::once(finding.id.to_string()).chain(self.fields.iter().map(cell)).collect()
    }

    async fn finish(&self) -> Result<()> {
        let scope = self.actor.allow(Permission::Export)?;
        let mut tx = self.domain.db().begin(&self.actor, &scope, self.domain.clock().now()).await?;
        let step = Step {
            stage: "fetched",
            position: None,
            total: Some(self.rows),
            done: self.rows,
            counts: Map::from_iter([("rows".to_owned(), json!(self.rows))]),
            end: Some((JobState::Completed, None)),
        };
        if tx.step_job(&self.job, &step).await? {
            tx.audit(AuditEntry::new("export.fetched", self.job.id).after(json!({ "rows": self.rows })));
            tx.commit().await?;
        }
        Ok(())
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(elements) => elements.iter().map(text).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

/// A cell that a spreadsheet would take for a formula is told to be text.
fn guarded(cell: String) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    if formula { format!("'{cell}") } else { cell }
}

/// When the link of an export ends.
pub fn expires_at(job: &Job) -> Timestamp {
    job.created_at.plus(LIFE)
}
