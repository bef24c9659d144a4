//! The reports, and how to read them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use domain::error::Result;
use domain::intake::format::{Format, Plan};
use domain::intake::limits::Limits;
use domain::intake::mapping::{Mapped, Mapping};
use domain::intake::reading::{Checked, check, read};
use domain::intake::report::{Fingerprint, Reported};
use domain::vocabulary::terms::Severity;
use tempfile::{NamedTempFile, TempDir};

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Every fixture: its file, its format, and the mapping it needs.
pub fn all() -> Vec<(&'static str, Format, Option<Mapping>)> {
    vec![
        ("trivy-image.json", Format::TrivyJson, None),
        ("trivy-old.json", Format::TrivyJson, None),
        ("trivy-cluster.json", Format::TrivyJson, None),
        ("checks.sarif", Format::Sarif, None),
        ("hosts.nessus", Format::NessusXml, None),
        ("trivy-modified.json", Format::TrivyJson, None),
        ("grype.json", Format::GrypeJson, None),
        ("bom.cdx.json", Format::CyclonedxJson, None),
        ("bom.cdx.xml", Format::CyclonedxXml, None),
        ("openvex.json", Format::Openvex, None),
        ("advisory.csaf.json", Format::Csaf, None),
        ("dependency-check.xml", Format::DependencyCheckXml, None),
        ("osv.json", Format::OsvScannerJson, None),
        ("cargo-audit.json", Format::CargoAuditJson, None),
        ("npm-audit-1.json", Format::NpmAuditJson, None),
        ("npm-audit-2.json", Format::NpmAuditJson, None),
        ("snyk.json", Format::SnykJson, None),
        ("snyk-projects.json", Format::SnykJson, None),
        ("zap.xml", Format::ZapXml, None),
        ("zap.json", Format::ZapJson, None),
        ("nuclei.jsonl", Format::NucleiJson, None),
        ("semgrep.json", Format::SemgrepJson, None),
        ("burp.xml", Format::BurpXml, None),
        ("qualys.xml", Format::QualysXml, None),
        ("qualys-list.xml", Format::QualysXml, None),
        ("ocsf.json", Format::Ocsf, None),
        ("asff.json", Format::Asff, None),
        ("dependabot.json", Format::GithubDependabot, None),
        ("code-scanning.json", Format::GithubCodeScanning, None),
        ("secret-scanning.json", Format::GithubSecretScanning, None),
        ("table.csv", Format::Csv, Some(table())),
        ("lines.jsonl", Format::Jsonl, Some(lines())),
        ("objects.json", Format::Json, Some(objects())),
    ]
}

/// Whether a report of the format has an end of its own. A table and lines have none: cut between
/// rows they are shorter.
pub fn ends_itself(format: Format) -> bool {
    !matches!(format, Format::Csv | Format::Jsonl | Format::NucleiJson)
}

fn columns(columns: &[(Mapped, &str)]) -> BTreeMap<Mapped, String> {
    columns.iter().map(|(field, column)| (*field, (*column).to_owned())).collect()
}

pub fn table() -> Mapping {
    Mapping {
        columns: columns(&[
            (Mapped::Asset, "host"),
            (Mapped::Reference, "Check"),
            (Mapped::Title, "Name"),
            (Mapped::Severity, "Risk"),
            (Mapped::CveIds, "CVE"),
            (Mapped::CvssScore, "Score"),
            (Mapped::Port, "Port"),
            (Mapped::FirstSeenAt, "Seen"),
            (Mapped::References, "Links"),
        ]),
        constants: BTreeMap::from([(Mapped::AssetKind, "host".to_owned())]),
        severities: BTreeMap::from([
            ("mittel".to_owned(), Severity::Medium),
            ("hoch".to_owned(), Severity::High),
        ]),
        list_separator: Some("|".to_owned()),
        time_format: Some("%d.%m.%Y".to_owned()),
        scanner: Some("House Scanner".to_owned()),
        ..Mapping::default()
    }
}

pub fn lines() -> Mapping {
    Mapping {
        columns: columns(&[
            (Mapped::Asset, "/where/host"),
            (Mapped::Reference, "id"),
            (Mapped::Title, "title"),
            (Mapped::Severity, "severity"),
            (Mapped::Tags, "tags"),
            (Mapped::CvssScore, "score"),
            (Mapped::KnownExploit, "kev"),
            (Mapped::FilePath, "/where/paths/1"),
        ]),
        identity: vec!["id".to_owned()],
        ..Mapping::default()
    }
}

pub fn objects() -> Mapping {
    Mapping {
        columns: columns(&[
            (Mapped::Title, "name"),
            (Mapped::Severity, "sev"),
            (Mapped::CweIds, "cwe"),
            (Mapped::FilePath, "file"),
            (Mapped::Line, "line"),
        ]),
        items: Some("/out/findings".to_owned()),
        ..Mapping::default()
    }
}

/// A report on disk, from bytes.
pub fn on_disk(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    file
}

pub type Found = Vec<(Reported, Fingerprint)>;

/// Both readings of a file.
pub fn both(
    path: &Path,
    named: Option<Format>,
    plan: &Plan<'_>,
    limits: &Limits,
) -> Result<(Checked, Found)> {
    let checked = check(path, named, plan, limits)?;
    let scratch = TempDir::new().expect("a temporary folder");
    let mut found = Vec::new();
    read(path, &checked, limits, scratch.path(), &mut |handed| {
        found.push((handed.reported, handed.fingerprint));
        Ok(())
    })?;
    assert_eq!(
        std::fs::read_dir(scratch.path()).expect("the folder").count(),
        0,
        "nothing is left in the scratch folder"
    );
    Ok((checked, found))
}

/// Both readings of bytes.
pub fn both_of(
    bytes: &[u8],
    format: Format,
    mapping: Option<&Mapping>,
    limits: &Limits,
) -> Result<(Checked, Found)> {
    let plan = Plan { mapping, asset: Some("the shop") };
    both(on_disk(bytes).path(), Some(format), &plan, limits)
}
