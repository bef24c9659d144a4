//! The entries of Trivy's results, and what each says in our words.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Entity, Target};
use crate::error::Result;
use crate::intake::json::{Raw, or_default};
use crate::intake::place::Meter;
use crate::intake::report::Reported;
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::vocabulary::terms::{FindingClass, Severity};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    pkg_name: String,
    pkg_path: Option<String>,
    installed_version: Option<String>,
    fixed_version: Option<String>,
    status: Option<String>,
    severity: Option<String>,
    severity_source: Option<String>,
    title: Option<String>,
    description: Option<String>,
    #[serde(rename = "PrimaryURL")]
    primary_url: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    references: Vec<String>,
    #[serde(default, rename = "CweIDs", deserialize_with = "or_default")]
    cwe_ids: Vec<String>,
    #[serde(default, rename = "CVSS", deserialize_with = "or_default")]
    cvss: BTreeMap<String, Cvss>,
    #[serde(default, deserialize_with = "or_default")]
    pkg_identifier: Identifier,
}

#[derive(Default, Deserialize)]
struct Identifier {
    #[serde(rename = "PURL")]
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Cvss {
    #[serde(rename = "V2Score")]
    score_2: Option<f64>,
    #[serde(rename = "V2Vector")]
    vector_2: Option<String>,
    #[serde(rename = "V3Score")]
    score_3: Option<f64>,
    #[serde(rename = "V3Vector")]
    vector_3: Option<String>,
    #[serde(rename = "V40Score")]
    score_4: Option<f64>,
    #[serde(rename = "V40Vector")]
    vector_4: Option<String>,
}

impl Vulnerability {
    pub fn read(entity: Entity<'_>) -> Result<Reported> {
        let mut read: Self = entity.raw.parse(entity.meter)?;
        let severity = severity(read.severity.as_deref(), &entity)?;
        let (cvss_score, cvss_vector) = read.score();
        let Self { id, pkg_name, .. } = read;
        let target = entity.target;
        let fixed_version = read.fixed_version.filter(|version| !version.trim().is_empty());
        let path = read.pkg_path.filter(|path| !path.is_empty());
        Ok(Reported {
            identity: vec![
                "vulnerability".to_owned(),
                target.place().to_owned(),
                path.clone().unwrap_or_default(),
                pkg_name.clone(),
                id.clone(),
            ],
            title: or_else(read.title, || format!("{id} in {pkg_name}")),
            description: read.description,
            severity,
            scanner_category: target.class.clone(),
            vulnerability_type: Some("vulnerable_package".to_owned()),
            cvss_score,
            cvss_vector,
            cve_ids: text::cve(&id).into_iter().collect(),
            scanner_reference: Some(id),
            cwe_ids: read.cwe_ids.iter().filter_map(|cwe| text::cwe(cwe)).collect(),
            component_name: Some(pkg_name),
            component_version: read.installed_version,
            component_purl: read.pkg_identifier.purl,
            fix_available: Some(fixed_version.is_some()),
            fixed_version,
            file_path: path.or_else(|| Some(target.place().to_owned())),
            references: read.primary_url.into_iter().chain(read.references).collect(),
            tags: target.kind.iter().cloned().chain(read.status).collect(),
            ..Reported::default()
        })
    }

    /// The score that the severity was taken from, or else the best known one there is.
    fn score(&mut self) -> (Option<f64>, Option<String>) {
        let preferred = [self.severity_source.as_deref().unwrap_or_default(), "nvd", "ghsa", "redhat"];
        let rank =
            |source: &str| preferred.iter().position(|name| *name == source).unwrap_or(preferred.len());
        let mut sources: Vec<(String, Cvss)> = std::mem::take(&mut self.cvss).into_iter().collect();
        sources.sort_by_key(|(source, _)| rank(source));
        type Pick = fn(&Cvss) -> (Option<f64>, &Option<String>);
        let versions: [Pick; 3] = [
            |cvss| (cvss.score_3, &cvss.vector_3),
            |cvss| (cvss.score_4, &cvss.vector_4),
            |cvss| (cvss.score_2, &cvss.vector_2),
        ];
        for version in versions {
            for (_, cvss) in &sources {
                if let (Some(score), vector) = version(cvss) {
                    return (Some(score), vector.clone());
                }
            }
        }
        (None, None)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Misconfiguration {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "AVDID")]
    avd_id: Option<String>,
    title: Option<String>,
    description: Option<String>,
    message: Option<String>,
    resolution: Option<String>,
    severity: Option<String>,
    status: Option<String>,
    #[serde(rename = "PrimaryURL")]
    primary_url: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    references: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    cause_metadata: Cause,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Cause {
    resource: Option<String>,
    start_line: Option<u32>,
}

impl Misconfiguration {
    /// `None` for a check that did not fail.
    pub fn read(entity: Entity<'_>) -> Result<Option<Reported>> {
        let read: Self = entity.raw.parse(entity.meter)?;
        let severity = severity(read.severity.as_deref(), &entity)?;
        if read.status.as_deref().is_some_and(|status| !matches!(status, "" | "FAIL")) {
            return Ok(None);
        }
        let target = entity.target;
        let resource = read.cause_metadata.resource.filter(|resource| !resource.is_empty());
        let subject = resource.clone().or_else(|| read.message.clone()).unwrap_or_default();
        let description =
            [read.message, read.description].into_iter().flatten().filter(|text| !text.is_empty());
        Ok(Some(Reported {
            identity: vec!["misconfiguration".to_owned(), target.name.clone(), read.id.clone(), subject],
            class: FindingClass::Compliance,
            title: or_else(read.title, || read.id.clone()),
            description: Some(description.collect::<Vec<_>>().join("\n\n")),
            severity,
            scanner_category: target.class.clone(),
            scanner_reference: Some(read.avd_id.filter(|id| !id.is_empty()).unwrap_or(read.id)),
            vulnerability_type: Some("misconfiguration".to_owned()),
            component_name: resource,
            file_path: Some(target.name.clone()),
            line: read.cause_metadata.start_line.filter(|line| *line > 0),
            references: read.primary_url.into_iter().chain(read.references).collect(),
            tags: target.kind.iter().cloned().collect(),
            remediation: read.resolution,
            ..Reported::default()
        }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Secret {
    #[serde(rename = "RuleID")]
    rule: String,
    category: Option<String>,
    severity: Option<String>,
    title: Option<String>,
    start_line: Option<u32>,
    #[serde(rename = "Match")]
    matched: Option<String>,
}

impl Secret {
    pub fn read(entity: Entity<'_>) -> Result<Reported> {
        let read: Self = entity.raw.parse(entity.meter)?;
        let severity = severity(read.severity.as_deref(), &entity)?;
        let target = entity.target;
        let line = read.start_line.filter(|line| *line > 0);
        let matched = read.matched.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let subject = matched.clone().or_else(|| line.map(|line| line.to_string())).unwrap_or_default();
        Ok(Reported {
            identity: vec!["secret".to_owned(), target.name.clone(), read.rule.clone(), subject],
            title: or_else(read.title, || read.rule.clone()),
            description: matched,
            severity,
            scanner_category: read.category,
            scanner_reference: Some(read.rule),
            vulnerability_type: Some("secret".to_owned()),
            file_path: Some(target.name.clone()),
            line,
            ..Reported::default()
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct License {
    name: String,
    severity: Option<String>,
    category: Option<String>,
    pkg_name: Option<String>,
    file_path: Option<String>,
    link: Option<String>,
}

impl License {
    pub fn read(entity: Entity<'_>) -> Result<Reported> {
        let read: Self = entity.raw.parse(entity.meter)?;
        let severity = severity(read.severity.as_deref(), &entity)?;
        let target = entity.target;
        let subject =
            read.pkg_name.clone().or_else(|| read.file_path.clone()).filter(|subject| !subject.is_empty());
        Ok(Reported {
            identity: vec![
                "license".to_owned(),
                target.place().to_owned(),
                read.pkg_name.clone().unwrap_or_default(),
                read.file_path.clone().unwrap_or_default(),
                read.name.clone(),
            ],
            class: FindingClass::Compliance,
            title: subject.map_or_else(|| read.name.clone(), |subject| format!("{} in {subject}", read.name)),
            severity,
            scanner_category: target.class.clone(),
            scanner_reference: Some(read.name),
            vulnerability_type: Some("license".to_owned()),
            component_name: read.pkg_name,
            file_path: read.file_path,
            references: read.link.into_iter().collect(),
            tags: read.category.into_iter().collect(),
            ..Reported::default()
        })
    }
}

/// What Trivy was told to leave out, or that a VEX document speaks of, with the finding that it is about.
#[derive(Default)]
pub struct Modified {
    pub kind: Option<String>,
    pub status: Option<String>,
    pub statement: Option<String>,
    pub source: Option<String>,
    pub finding: Option<Raw>,
}

impl Modified {
    /// `None` for what is not about a finding.
    pub fn read(self, meter: &Meter, target: &Target) -> Result<Option<Reported>> {
        let Self { kind, status, statement, source, finding } = self;
        let Some(raw) = finding else { return Ok(None) };
        let entity = Entity { raw: &raw, meter, target };
        let reported = match kind.as_deref() {
            Some("vulnerability") => Some(Vulnerability::read(entity)?),
            Some("misconfiguration") => Misconfiguration::read(entity)?,
            Some("secret") => Some(Secret::read(entity)?),
            Some("license") => Some(License::read(entity)?),
            _ => return Err(meter.malformed("`Type` of a modified finding is not one of Trivy's")),
        };
        let status = status.unwrap_or_default();
        let verdict = if vex::knows(Vocabulary::Trivy, &status) {
            vex::verdict(Vocabulary::Trivy, &status, None, statement, source)
        } else {
            // The statement of a VEX document is its justification.
            let why = statement.as_deref().map(str::trim).filter(|why| !why.is_empty());
            vex::verdict(Vocabulary::OpenVex, &status, why, None, source)
        };
        let excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
        Ok(reported.map(|reported| Reported { verdict, excerpt, ..reported }))
    }
}

fn or_else(text: Option<String>, other: impl FnOnce() -> String) -> String {
    text.filter(|text| !text.trim().is_empty()).unwrap_or_else(other)
}

fn severity(word: Option<&str>, entity: &Entity<'_>) -> Result<Severity> {
    Ok(match word.unwrap_or_default() {
        "" | "UNKNOWN" => Severity::Info,
        "LOW" => Severity::Low,
        "MEDIUM" => Severity::Medium,
        "HIGH" => Severity::High,
        "CRITICAL" => Severity::Critical,
        other => {
            let other = text::beginning(other, 80);
            return Err(entity.meter.malformed(format_args!("`{other}` is not a severity of Trivy")));
        }
    })
}
