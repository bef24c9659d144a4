//! Alerts of Dependabot.

use serde::Deserialize;

use super::{ASSET, Closed, Repository, User, asset};
use crate::error::Result;
use crate::intake::format::{Emit, Entry};
use crate::intake::formats::records::{self, Record, Seen, Shape};
use crate::intake::json::or_default;
use crate::intake::lenient::Texts;
use crate::intake::report::Reported;
use crate::intake::text;
use crate::intake::vex::Vocabulary;
use crate::vocabulary::terms::Severity;

pub const FORMAT: Entry = Entry {
    key: "GITHUB_DEPENDABOT",
    label: "GitHub Dependabot alerts",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "dependabot",
    counting: "Each alert, of the pages of the API one after the other too. Alerts that are fixed, dismissed or dismissed by a \
         rule are findings with a verdict.",
    identity: "The manifest, the ecosystem and name of the package, and the GHSA id, or else the alert's number.",
    asset: ASSET,
    required: "`security_advisory`, `dependency` or `security_vulnerability`, with the name of the package.",
    severities: &[
        ("absent", "info"),
        ("low", "low"),
        ("medium, moderate", "medium"),
        ("high", "high"),
        ("critical", "critical"),
    ],
    fields: &[
        ("title", "`security_advisory.summary`"),
        ("description", "`security_advisory.description`"),
        ("severity", "of the `security_vulnerability`, or else of the `security_advisory`"),
        ("vulnerability_type", "`vulnerable_package`"),
        ("scanner_category", "the package's `ecosystem`"),
        ("scanner_reference", "`ghsa_id`"),
        (
            "cvss_score, cvss_vector",
            "`cvss_severities.cvss_v3`, or else `cvss_v4`, or else `cvss`; 0 is none",
        ),
        ("epss_score", "`epss.percentage`"),
        ("cve_ids, cwe_ids", "`cve_id`; `cwes`"),
        ("component_name, fixed_version, fix_available", "the package's name; `first_patched_version`"),
        ("file_path", "`dependency.manifest_path`"),
        ("references", "`html_url`, and the advisory's `references`"),
        (
            "tags",
            "`scope` and `relationship` of the dependency; the vulnerable versions, as `affected:range`",
        ),
        ("first_seen_at", "`created_at`"),
        ("excerpt", "the beginning of the alert"),
        (
            "verdict",
            "FIXED for the state fixed. FALSE_POSITIVE for dismissed as inaccurate or not_used; ACCEPTED_RISK for dismissed for any \
             other reason (fix_started, no_bandwidth, tolerable_risk), and for auto_dismissed. `dismissed_comment` is the statement, \
             `dismissed_by` the author",
        ),
        ("time of the scan", "the latest `updated_at`"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| head.has("security_advisory") && head.has("dependency"),
    reader: |plan| Ok(records::reader(plan, SHAPE)),
};

const SHAPE: Shape = Shape { scanner: FORMAT.scanner, member: None, may_be_empty: false, read };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Alert {
    number: Texts,
    state: Texts,
    dependency: Option<Dependency>,
    security_advisory: Option<Advisory>,
    security_vulnerability: Option<Vulnerability>,
    html_url: Texts,
    created_at: Texts,
    updated_at: Texts,
    dismissed_by: Option<User>,
    dismissed_reason: Texts,
    dismissed_comment: Texts,
    repository: Option<Repository>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Dependency {
    package: Option<Package>,
    manifest_path: Texts,
    scope: Texts,
    relationship: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Package {
    ecosystem: Texts,
    name: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Advisory {
    ghsa_id: Texts,
    cve_id: Texts,
    summary: Texts,
    description: Texts,
    severity: Texts,
    cvss: Option<Cvss>,
    cvss_severities: Option<Severities>,
    epss: Option<Epss>,
    #[serde(deserialize_with = "or_default")]
    cwes: Vec<Cwe>,
    #[serde(deserialize_with = "or_default")]
    references: Vec<Reference>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Severities {
    cvss_v3: Option<Cvss>,
    cvss_v4: Option<Cvss>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cvss {
    score: Texts,
    vector_string: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Epss {
    percentage: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cwe {
    cwe_id: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    url: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vulnerability {
    package: Option<Package>,
    severity: Texts,
    vulnerable_version_range: Texts,
    first_patched_version: Option<Patched>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Patched {
    identifier: Texts,
}

fn read(record: &Record<'_>, seen: &mut Seen, emit: Emit<'_>) -> Result<()> {
    let read: Alert = record.raw.parse(record.meter)?;
    let advisory = read.security_advisory.unwrap_or_default();
    let vulnerability = read.security_vulnerability.unwrap_or_default();
    let dependency = read.dependency.unwrap_or_default();
    let package = dependency.package.or(vulnerability.package).unwrap_or_default();
    let Some(name) = package.name.first().map(str::to_owned) else {
        return Err(record.meter.malformed("an alert names no package"));
    };
    let word = vulnerability.severity.first().or(advisory.severity.first()).unwrap_or_default();
    let severity = match word.to_ascii_lowercase().as_str() {
        "" => Severity::Info,
        "low" => Severity::Low,
        "medium" | "moderate" => Severity::Medium,
        "high" => Severity::High,
        "critical" => Severity::Critical,
        _ => return Err(record.meter.malformed("`severity` is not one of GitHub's")),
    };
    seen.scanned_at = seen.scanned_at.max(text::time(read.updated_at.word()));
    let closed =
        Closed { reason: read.dismissed_reason, comment: read.dismissed_comment, by: read.dismissed_by };
    let state = read.state.word();
    let severities = advisory.cvss_severities.unwrap_or_default();
    let scored = |cvss: &Cvss| cvss.score.number().is_some_and(|score: f64| score > 0.0);
    let cvss = [severities.cvss_v3, severities.cvss_v4, advisory.cvss]
        .into_iter()
        .flatten()
        .find(scored)
        .unwrap_or_default();
    let fixed_version =
        vulnerability.first_patched_version.and_then(|patched| patched.identifier.into_first());
    let range = vulnerability.vulnerable_version_range.first().map(|range| format!("affected:{range}"));
    let id = advisory.ghsa_id.first().or(read.number.first()).unwrap_or_default().to_owned();
    let manifest = dependency.manifest_path.into_first();
    let ecosystem = package.ecosystem.into_first();
    emit(
        FORMAT.scanner,
        Reported {
            asset: asset(read.repository, read.html_url.word(), record.asset),
            identity: vec![
                manifest.clone().unwrap_or_default(),
                ecosystem.clone().unwrap_or_default(),
                name.clone(),
                id.clone(),
            ],
            title: advisory.summary.into_first().unwrap_or_else(|| format!("{id} in {name}")),
            description: advisory.description.into_first(),
            severity,
            scanner_category: ecosystem,
            scanner_reference: Some(id),
            vulnerability_type: Some("vulnerable_package".to_owned()),
            cvss_score: cvss.score.number(),
            cvss_vector: cvss.vector_string.into_first(),
            epss_score: advisory.epss.and_then(|epss| epss.percentage.number()),
            cve_ids: advisory.cve_id.iter().filter_map(text::cve).collect(),
            cwe_ids: advisory.cwes.iter().flat_map(|cwe| cwe.cwe_id.iter()).filter_map(text::cwe).collect(),
            component_name: Some(name),
            fix_available: Some(fixed_version.is_some()),
            fixed_version,
            file_path: manifest,
            references: read
                .html_url
                .0
                .into_iter()
                .chain(advisory.references.into_iter().flat_map(|one| one.url.0))
                .collect(),
            tags: dependency.scope.0.into_iter().chain(dependency.relationship.0).chain(range).collect(),
            first_seen_at: text::time(read.created_at.word()),
            excerpt: record.excerpt(),
            verdict: closed.verdict(Vocabulary::Dependabot, state),
            ..Reported::default()
        },
    )
}
