//! Dry runs: what an import would make of the beginning of a report.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use domain::error::Error;
use domain::intake::preview::{Preview, PreviewRequest};
use domain::intake::report::{Fingerprint, Reported};
use record::{record, root};

use super::{ImportMappingInput, ReportFormat, read_mapping};
use crate::graphql::finding::words::{FindingClass, FindingStatus, Severity};
use crate::graphql::id::Noun;
use crate::graphql::scalars::DateTime;
use crate::graphql::{actor, domain};

/// The beginning of a report, and how to read it.
#[derive(InputObject)]
pub struct ImportPreviewInput {
    /// Its format; the saved mapping's, or told from the sample, if not said.
    format: Option<ReportFormat>,
    /// What its columns mean; for the formats that have no fields of their own.
    mapping: Option<ImportMappingInput>,
    /// The global id of a saved mapping instead.
    saved_mapping: Option<ID>,
    /// The name of the asset of findings whose report names none.
    asset: Option<String>,
    /// The beginning of the report as text, at most 512 KiB. It may end anywhere.
    sample: String,
}

/// What an import would make of a sample. Nothing is written.
pub struct ImportPreview(Preview);

/// What an import would make of a sample. Nothing is written.
#[record]
#[Object]
impl ImportPreview {
    /// The format that it was read as.
    fn format(&self) -> ReportFormat {
        self.0.format.into()
    }

    /// The findings of the first rows, each row by itself: an import merges rows of one fingerprint.
    fn findings(&self) -> Vec<ReportedFinding<'_>> {
        self.0.findings.iter().map(ReportedFinding).collect()
    }

    /// What is wrong with rows; an import would end at the first. A sample that ends in the middle of
    /// a row has a fault there.
    fn faults(&self) -> Vec<ImportFault> {
        self.0.faults.iter().map(ImportFault::of).collect()
    }

    /// The columns, or the members of objects, of a report that is read through a mapping.
    fn columns(&self) -> &[String] {
        &self.0.columns
    }

    /// Those of `columns` that the mapping does not use.
    fn unused_columns(&self) -> &[String] {
        &self.0.unused
    }

    /// Whether the sample holds more findings than are shown.
    fn more(&self) -> bool {
        self.0.more
    }
}

/// What is wrong with a place of a report.
#[record]
#[derive(SimpleObject)]
pub struct ImportFault {
    /// What is wrong.
    message: String,
    /// The line, counted from 1.
    line: Option<i64>,
    /// The column in bytes, counted from 1.
    column: Option<i64>,
    /// The way there from the root of a document, as a JSON Pointer.
    path: Option<String>,
}

impl ImportFault {
    fn of(fault: &Error) -> Self {
        let number = |name: &str| fault.details.get(name).and_then(serde_json::Value::as_i64);
        let path = fault.details.get("path").and_then(|path| path.as_str()).map(str::to_owned);
        Self { message: fault.message.clone(), line: number("line"), column: number("column"), path }
    }
}

/// A finding as a report gives it.
pub struct ReportedFinding<'p>(&'p (Reported, Fingerprint));

/// A finding as a report gives it.
#[record]
#[Object]
impl ReportedFinding<'_> {
    /// The name of its asset.
    fn asset(&self) -> &str {
        &self.0.0.asset.name
    }

    /// What its asset is, in lower-case words with underscores.
    fn asset_type(&self) -> Option<&str> {
        self.0.0.asset.kind.as_deref()
    }

    /// By what it is known again: equal ones are one finding.
    fn fingerprint(&self) -> String {
        self.0.1.simple().to_string()
    }

    /// The parts of its identity inside of its scanner and asset.
    fn identity(&self) -> &[String] {
        &self.0.0.identity
    }

    /// What kind of thing it is.
    fn class(&self) -> FindingClass {
        self.0.0.class.into()
    }

    /// The title.
    fn title(&self) -> &str {
        &self.0.0.title
    }

    /// The description.
    fn description(&self) -> Option<&str> {
        self.0.0.description.as_deref()
    }

    /// How bad it is.
    fn severity(&self) -> Severity {
        self.0.0.severity.into()
    }

    /// The status that the report itself gives it beside that it is there; null for none.
    fn verdict(&self) -> Option<FindingStatus> {
        self.0.0.verdict.as_ref().map(|verdict| verdict.status.into())
    }

    /// The scanner's category.
    fn scanner_category(&self) -> Option<&str> {
        self.0.0.scanner_category.as_deref()
    }

    /// The scanner's id of the check.
    fn scanner_reference(&self) -> Option<&str> {
        self.0.0.scanner_reference.as_deref()
    }

    /// The kind of weakness.
    fn vulnerability_type(&self) -> Option<&str> {
        self.0.0.vulnerability_type.as_deref()
    }

    /// The CVSS score, 0 to 10.
    fn cvss_score(&self) -> Option<f64> {
        self.0.0.cvss_score
    }

    /// The CVSS vector.
    fn cvss_vector(&self) -> Option<&str> {
        self.0.0.cvss_vector.as_deref()
    }

    /// The EPSS score, 0 to 1.
    fn epss_score(&self) -> Option<f64> {
        self.0.0.epss_score
    }

    /// Whether an exploit is known.
    fn known_exploit(&self) -> Option<bool> {
        self.0.0.known_exploit
    }

    /// The CVE ids.
    fn cve_ids(&self) -> &[String] {
        &self.0.0.cve_ids
    }

    /// The CWE ids.
    fn cwe_ids(&self) -> &[String] {
        &self.0.0.cwe_ids
    }

    /// The URL or address that it was found at.
    fn endpoint(&self) -> Option<&str> {
        self.0.0.endpoint.as_deref()
    }

    /// The port that it was found on.
    fn port(&self) -> Option<i32> {
        self.0.0.port.map(i32::from)
    }

    /// The component that it is in.
    fn component_name(&self) -> Option<&str> {
        self.0.0.component_name.as_deref()
    }

    /// The version of the component.
    fn component_version(&self) -> Option<&str> {
        self.0.0.component_version.as_deref()
    }

    /// The package URL of the component.
    fn component_purl(&self) -> Option<&str> {
        self.0.0.component_purl.as_deref()
    }

    /// The version that mends it.
    fn fixed_version(&self) -> Option<&str> {
        self.0.0.fixed_version.as_deref()
    }

    /// Whether a version that mends it exists.
    fn fix_available(&self) -> Option<bool> {
        self.0.0.fix_available
    }

    /// The file that it was found in.
    fn file_path(&self) -> Option<&str> {
        self.0.0.file_path.as_deref()
    }

    /// The line of the file, counted from 1.
    fn line(&self) -> Option<i64> {
        self.0.0.line.map(i64::from)
    }

    /// Where to read more.
    fn references(&self) -> &[String] {
        &self.0.0.references
    }

    /// The tags.
    fn tags(&self) -> &[String] {
        &self.0.0.tags
    }

    /// What to do about it.
    fn remediation(&self) -> Option<&str> {
        self.0.0.remediation.as_deref()
    }

    /// When it was first seen, by the report.
    fn first_seen_at(&self) -> Option<DateTime> {
        self.0.0.first_seen_at.map(DateTime)
    }
}

#[derive(Default)]
pub struct PreviewQuery;

#[root]
#[Object]
impl PreviewQuery {
    /// A dry run: the first rows of a report as the findings they would become, and what of them was
    /// not understood. Nothing is written.
    async fn import_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The beginning of the report, and how to read it.")] input: ImportPreviewInput,
        #[graphql(desc = "How many findings to show, at most 100.", default = 20)] first: i32,
    ) -> async_graphql::Result<ImportPreview> {
        let saved =
            input.saved_mapping.map(|id| Noun::SavedMapping.read_at(&id, "savedMapping")).transpose()?;
        let request = PreviewRequest {
            format: input.format.map(Into::into),
            mapping: read_mapping(input.mapping)?,
            saved,
            asset: input.asset,
            sample: input.sample,
            most: usize::try_from(first).unwrap_or(0),
        };
        Ok(ImportPreview(domain(ctx).import_preview(actor(ctx)?, request).await?))
    }
}
