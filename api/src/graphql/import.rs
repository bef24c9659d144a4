//! Imports: reports on their way in.

pub mod preview;

use std::collections::BTreeMap;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::error::{Error, Result};
use domain::intake::import::ImportRequest;
use domain::intake::mapping::{Mapped, Mapping};
use domain::job;
use domain::vocabulary::terms::Term;
use record::{record, root};

use super::finding::words::Severity;
use super::id::Noun;
use super::job::ImportJob;
use super::payload::{Outcome, UserError, mutate, payload};
use crate::files::upload_path;

/// A format that reports come in.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::intake::format::Format")]
pub enum ReportFormat {
    /// What `trivy --format json` writes.
    TrivyJson,
    /// SARIF 2.1.0.
    Sarif,
    /// Nessus version 2 (`.nessus`).
    NessusXml,
    /// What `grype -o json` writes.
    GrypeJson,
    /// CycloneDX in JSON.
    CyclonedxJson,
    /// CycloneDX in XML.
    CyclonedxXml,
    /// OpenVEX.
    Openvex,
    /// CSAF 2.0.
    Csaf,
    /// What OWASP Dependency-Check writes as XML.
    DependencyCheckXml,
    /// What `osv-scanner --format json` writes.
    OsvScannerJson,
    /// What `cargo audit --json` writes.
    CargoAuditJson,
    /// What `npm audit --json` writes.
    NpmAuditJson,
    /// What `snyk test --json` writes.
    SnykJson,
    /// ZAP's traditional report in XML.
    ZapXml,
    /// ZAP's traditional report in JSON.
    ZapJson,
    /// What `nuclei -jsonl` or `-json-export` writes.
    NucleiJson,
    /// What `semgrep --json` writes.
    SemgrepJson,
    /// Burp Suite's issues in XML.
    BurpXml,
    /// Qualys' scan report, or host list of detections, in XML.
    QualysXml,
    /// Findings in the Open Cybersecurity Schema Framework.
    Ocsf,
    /// The AWS Security Finding Format.
    Asff,
    /// Dependabot alerts from GitHub's API.
    GithubDependabot,
    /// Code scanning alerts from GitHub's API.
    GithubCodeScanning,
    /// Secret scanning alerts from GitHub's API.
    GithubSecretScanning,
    /// Comma-separated values, under a mapping.
    Csv,
    /// A JSON object on each line, under a mapping.
    Jsonl,
    /// An array of JSON objects, under a mapping.
    Json,
}

/// Where a field is read from.
#[derive(InputObject)]
pub struct MappedColumnInput {
    /// The key of the field: one of `reportFormats.mapped`.
    field: String,
    /// The name of the column in the header row; for JSON the name of a member, or a JSON Pointer.
    column: String,
}

/// The value of a field that no column has.
#[derive(InputObject)]
pub struct MappedConstantInput {
    /// The key of the field: one of `reportFormats.mapped`.
    field: String,
    /// Its value, as a cell would have it.
    value: String,
}

/// What a word of the report means.
#[derive(InputObject)]
pub struct MappedSeverityInput {
    /// The report's word.
    word: String,
    /// The severity that it means.
    severity: Severity,
}

/// What the columns of a table, or the members of JSON objects, mean.
#[derive(InputObject)]
pub struct ImportMappingInput {
    /// Which column each field is read from.
    columns: Vec<MappedColumnInput>,
    /// The values of fields whose column is empty, or that have none.
    #[graphql(default)]
    constants: Vec<MappedConstantInput>,
    /// The report's words for severities, beyond the usual ones.
    #[graphql(default)]
    severities: Vec<MappedSeverityInput>,
    /// What parts the elements of a list in one cell; a comma if not said. Lines always part them.
    list_separator: Option<String>,
    /// The columns by which a finding is known again; the scanner's reference, or else the title and
    /// the CVE ids, with component, file, endpoint and port, if not said.
    #[graphql(default)]
    identity: Vec<String>,
    /// For JSON: a JSON Pointer to the array of findings; the whole document if not said.
    items: Option<String>,
    /// For CSV: what parts the cells; what the header row has most of if not said.
    delimiter: Option<String>,
    /// How times are written, in the letters of strftime, where they are not RFC 3339.
    time_format: Option<String>,
    /// The scanner's name: a part of what findings are known again by.
    scanner: Option<String>,
}

impl ImportMappingInput {
    pub fn read(self) -> Result<Mapping> {
        let field = |key: &str, member: &str| {
            Mapped::parse(key).ok_or_else(|| {
                let message = format!("There is no field `{key}` that a column can be mapped to.");
                Error::invalid(key, message).at(member)
            })
        };
        let delimiter = self.delimiter.map(|text| {
            let mut letters = text.chars();
            letters
                .next()
                .filter(|_| letters.next().is_none())
                .ok_or_else(|| Error::invalid("delimiter", "The delimiter is one character."))
        });
        Ok(Mapping {
            columns: self
                .columns
                .into_iter()
                .map(|column| Ok((field(&column.field, "columns")?, column.column)))
                .collect::<Result<BTreeMap<_, _>>>()?,
            constants: self
                .constants
                .into_iter()
                .map(|constant| Ok((field(&constant.field, "constants")?, constant.value)))
                .collect::<Result<BTreeMap<_, _>>>()?,
            severities: self.severities.into_iter().map(|word| (word.word, word.severity.into())).collect(),
            list_separator: self.list_separator,
            identity: self.identity,
            items: self.items,
            delimiter: delimiter.transpose()?,
            time_format: self.time_format,
            scanner: self.scanner,
        })
    }
}

/// The mapping that an input may have.
pub fn read_mapping(input: Option<ImportMappingInput>) -> Result<Option<Mapping>> {
    input.map(ImportMappingInput::read).transpose().map_err(|error| error.at("mapping"))
}

/// What the caller says about a report.
#[derive(InputObject)]
pub struct ImportStartInput {
    /// The global id of the project that its findings belong to.
    project: ID,
    /// The report's name, for people: usually its file's.
    name: String,
    /// Its format; told from its beginning if not said, where that can be.
    format: Option<ReportFormat>,
    /// What its columns mean; for the formats that have no fields of their own.
    mapping: Option<ImportMappingInput>,
    /// The global id of a saved mapping instead. What it is now holds for this import.
    saved_mapping: Option<ID>,
    /// The name of the asset of findings whose report names none.
    asset: Option<String>,
    /// The series that it belongs to; the assets it names if not said.
    series: Option<String>,
    /// Whether it names all there is of its series, so that what it does not name is gone.
    #[graphql(default = true)]
    complete: bool,
}

impl ImportStartInput {
    fn read(self) -> Result<ImportRequest> {
        Ok(ImportRequest {
            project: Noun::Project.read_at(&self.project, "project")?,
            format: self.format.map(Into::into),
            mapping: read_mapping(self.mapping)?,
            saved: self
                .saved_mapping
                .map(|id| Noun::SavedMapping.read_at(&id, "savedMapping"))
                .transpose()?,
            asset: self.asset,
            series: self.series,
            complete: self.complete,
            name: self.name,
        })
    }
}

/// What `importStart` answers.
#[record]
#[derive(SimpleObject)]
pub struct ImportStartPayload {
    /// The import, which waits for its report.
    import: Option<ImportJob>,
    /// The path on this server that takes the report: `PUT` it with the bearer token, as it is.
    upload_url: Option<String>,
    /// Why it was refused; empty if it was not.
    user_errors: Vec<UserError>,
}

impl From<Outcome<job::Job>> for ImportStartPayload {
    fn from(outcome: Outcome<job::Job>) -> Self {
        match outcome.0 {
            Ok(job) => Self {
                upload_url: Some(upload_path(job.id)),
                import: Some(job.into()),
                user_errors: Vec::new(),
            },
            Err(refused) => Self { import: None, upload_url: None, user_errors: vec![refused] },
        }
    }
}

payload! {
    /// What `importCancel` answers.
    ImportCancelPayload {
        /// The import as it is now: one that a worker is on ends behind its present chunk.
        import: ImportJob
    }
}

#[derive(Default)]
pub struct ImportMutation;

#[root]
#[Object]
impl ImportMutation {
    /// Asks for an import. It goes on once its report has been uploaded; `importProgress` watches it.
    async fn import_start(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "About the report.")] input: ImportStartInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ImportStartPayload> {
        mutate::<job::Job, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.import_start(&actor, input.read()?).await },
            |domain, actor, id| async move { domain.job(&actor, id).await },
        )
        .await
    }

    /// Asks an import to end. The findings that it has stored stay.
    async fn import_cancel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The import's global id.")] id: ID,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ImportCancelPayload> {
        mutate::<job::Job, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Job.read_at(&id, "id")?;
                let job = domain.job(&actor, id).await.map_err(|error| error.at("id"))?;
                if job.kind != job::JobKind::Import {
                    return Err(Error::not_found("import").at("id"));
                }
                domain.job_cancel(&actor, id).await
            },
            |domain, actor, id| async move { domain.job(&actor, id).await },
        )
        .await
    }
}
