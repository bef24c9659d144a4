//! The JSON of `npm audit`: version 2 with `vulnerabilities`, and version 1 with `advisories`, which pnpm and yarn write too.

use serde::Deserialize;

use crate::error::Result;
use crate::intake::cvss::{self, Rating};
use crate::intake::format::{Emit, Entry, Pass, Reader};
use crate::intake::json::or_default;
use crate::intake::package;
use crate::intake::place::Meter;
use crate::intake::report::{ReportHead, Reported, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text;
use crate::vocabulary::terms::Severity;

pub const FORMAT: Entry = Entry {
    key: "NPM_AUDIT_JSON",
    label: "npm audit JSON",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "npm-audit",
    counting: "Version 2: each advisory among the `via` of each package. A package that is listed only because it depends on \
         such a one is not a finding of its own; it is in the tags of the advisory's package (`effect:name`). Version 1: each \
         of `advisories`, however many paths lead to it.",
    identity: "The package and the advisory: its GitHub id, also where only its address has it, or else npm's number.",
    asset: "The asset that the caller names, or else `source code`.",
    required: "`vulnerabilities` with `auditReportVersion`, or `advisories`.",
    severities: &[
        ("none, info", "info"),
        ("low", "low"),
        ("moderate", "medium"),
        ("high", "high"),
        ("critical", "critical"),
    ],
    fields: &[
        ("title", "`title`"),
        ("description", "`overview`; `range` or `vulnerable_versions`"),
        ("severity", "of the advisory, or else of the CVSS score, or else of the package, or else info"),
        ("vulnerability_type", "`vulnerable_package`"),
        ("scanner_reference", "the GitHub id, or else npm's number"),
        ("cvss_score, cvss_vector", "`cvss`"),
        ("cve_ids, cwe_ids", "`cves`; `cwe`"),
        (
            "component_name, component_version",
            "the package; version 1: the `version` of the first of `findings`",
        ),
        ("component_purl", "`pkg:npm/name`, with the version where there is one"),
        (
            "fixed_version",
            "the version of `fixAvailable` where that is of the same package; `patched_versions`",
        ),
        ("fix_available", "`fixAvailable`; whether `patched_versions` allow any"),
        ("file_path", "the first of `nodes`; the first of `paths`"),
        ("remediation", "what `fixAvailable` installs; `recommendation`"),
        ("references", "`url`, and each address in `references`"),
        ("tags", "`direct`; `via:` with each other package in `via`; `effect:` with each of `effects`"),
        ("excerpt", "the beginning of the entry"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| {
        !head.array
            && ((head.has("auditReportVersion"))
                || (head.has("advisories")
                    && ["actions", "muted", "metadata"].iter().any(|name| head.has(name))))
    },
    reader: |plan| Ok(Box::new(NpmAudit { asset: plan.asset.map(str::to_owned) })),
};

#[derive(Clone)]
struct NpmAudit {
    asset: Option<String>,
}

impl Reader for NpmAudit {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        let meter = source.meter();
        let mut own = false;
        let asset = ReportedAsset {
            name: self.asset.clone().unwrap_or_else(|| "source code".to_owned()),
            kind: Some("repository".to_owned()),
        };
        source.json(&mut |root| {
            root.object(&mut |name, value| match name {
                "auditReportVersion" => {
                    own = true;
                    Ok(())
                }
                "vulnerabilities" => value.object(&mut |package, value| {
                    let raw = value.raw()?;
                    let entry: Vulnerable = raw.parse(&meter)?;
                    for via in &entry.via {
                        let Via::Advisory(advisory) = via else { continue };
                        let mut reported = entry.reported(package, advisory, &meter)?;
                        reported.asset = asset.clone();
                        reported.excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
                        emit(FORMAT.scanner, reported)?;
                    }
                    Ok(())
                }),
                "advisories" => {
                    own = true;
                    value.object(&mut |_, value| {
                        let raw = value.raw()?;
                        let mut reported = raw.parse::<Advisory>(&meter)?.reported(&meter)?;
                        reported.asset = asset.clone();
                        reported.excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
                        emit(FORMAT.scanner, reported)
                    })
                }
                _ => Ok(()),
            })
        })?;
        if !own {
            let what =
                "this is not a report of npm audit: it has neither `auditReportVersion` nor `advisories`";
            return Err(meter.malformed(what));
        }
        Ok(Pass::Settled)
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: None }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

/// A package of version 2.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vulnerable {
    severity: Option<String>,
    is_direct: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    via: Vec<Via>,
    #[serde(default, deserialize_with = "or_default")]
    effects: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    nodes: Vec<String>,
    fix_available: Option<Fix>,
}

/// An advisory, or the name of another package that makes this one vulnerable.
#[derive(Deserialize)]
#[serde(untagged)]
enum Via {
    Package(String),
    Advisory(Box<Advisory>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Fix {
    Known(bool),
    Install(Install),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Install {
    name: Option<String>,
    version: Option<String>,
    is_sem_ver_major: Option<bool>,
}

/// An advisory of either version.
#[derive(Deserialize)]
struct Advisory {
    #[serde(alias = "source")]
    id: Option<Number>,
    github_advisory_id: Option<String>,
    module_name: Option<String>,
    name: Option<String>,
    title: Option<String>,
    url: Option<String>,
    severity: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    cwe: OneOrMany,
    #[serde(default, deserialize_with = "or_default")]
    cves: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    cvss: Cvss,
    #[serde(alias = "range")]
    vulnerable_versions: Option<String>,
    patched_versions: Option<String>,
    overview: Option<String>,
    recommendation: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    references: OneOrMany,
    #[serde(default, deserialize_with = "or_default")]
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

#[derive(Default, Deserialize)]
struct Cvss {
    score: Option<f64>,
    #[serde(rename = "vectorString")]
    vector: Option<String>,
}

#[derive(Deserialize)]
struct Finding {
    version: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    paths: Vec<String>,
}

impl Vulnerable {
    fn reported(&self, package: &str, advisory: &Advisory, meter: &Meter) -> Result<Reported> {
        let mut reported = advisory.of(package, self.severity.as_deref(), meter)?;
        reported.file_path = self.nodes.first().cloned();
        let direct = (self.is_direct == Some(true)).then(|| "direct".to_owned());
        let effects = self.effects.iter().map(|name| format!("effect:{name}"));
        let others = self.via.iter().filter_map(|via| match via {
            Via::Package(name) => Some(format!("via:{name}")),
            Via::Advisory(_) => None,
        });
        reported.tags = direct.into_iter().chain(others).chain(effects).collect();
        match &self.fix_available {
            None => {}
            Some(Fix::Known(known)) => reported.fix_available = Some(*known),
            Some(Fix::Install(Install { name, version, is_sem_ver_major })) => {
                reported.fix_available = Some(true);
                let (name, version) =
                    (name.as_deref().unwrap_or_default(), version.as_deref().unwrap_or_default());
                if name == package {
                    reported.fixed_version = Some(version.to_owned());
                }
                let major = if *is_sem_ver_major == Some(true) { " (a major change)" } else { "" };
                reported.remediation = Some(format!("Install {name} {version}{major}."));
            }
        }
        Ok(reported)
    }
}

impl Advisory {
    /// An advisory of version 1.
    fn reported(&self, meter: &Meter) -> Result<Reported> {
        let Some(package) = self.module_name.as_deref().or(self.name.as_deref()) else {
            return Err(meter.malformed("an advisory has no `module_name`"));
        };
        let mut reported = self.of(package, None, meter)?;
        let finding = self.findings.first();
        reported.component_version = finding.and_then(|finding| finding.version.clone());
        reported.component_purl = Some(package::url("npm", package, reported.component_version.as_deref()));
        reported.file_path = finding.and_then(|finding| finding.paths.first().cloned());
        // What no version is less than stands for: there is none.
        let patched = self.patched_versions.as_deref().map(str::trim).filter(|text| !text.is_empty());
        reported.fix_available = patched.map(|text| text != "<0.0.0");
        reported.fixed_version = patched.filter(|text| *text != "<0.0.0").map(str::to_owned);
        reported.remediation = self.recommendation.clone().filter(|text| text.trim() != "None");
        Ok(reported)
    }

    fn of(&self, package: &str, of_package: Option<&str>, meter: &Meter) -> Result<Reported> {
        let in_address = self.url.as_deref().and_then(|url| url.rsplit('/').next());
        let github = self.github_advisory_id.as_deref().or(in_address).filter(|id| id.starts_with("GHSA-"));
        let number = self.id.as_ref().map(|id| match id {
            Number::Number(number) => number.to_string(),
            Number::Text(text) => text.clone(),
        });
        let Some(id) = github.map(str::to_owned).or(number) else {
            return Err(meter.malformed("an advisory has neither an id nor an address with one"));
        };
        let score = self.cvss.score.filter(|score| *score > 0.0 || self.cvss.vector.is_some());
        let rating = cvss::best([Rating::new("3.1", score, self.cvss.vector.as_deref())]);
        let word = |word: Option<&str>| {
            let word = word.map(str::trim).filter(|word| !word.is_empty());
            word.map(|word| {
                text::severity(word, FORMAT.severities).ok_or_else(|| {
                    let word = text::beginning(word, 80);
                    meter.malformed(format_args!("`{word}` is not a severity of npm audit"))
                })
            })
            .transpose()
        };
        let severity = word(self.severity.as_deref())?
            .or(rating.score.map(cvss::severity))
            .or(word(of_package)?)
            .unwrap_or(Severity::Info);
        let range = self.vulnerable_versions.as_deref().map(str::trim).filter(|range| !range.is_empty());
        let range = range.map(|range| format!("Vulnerable versions: {range}")).unwrap_or_default();
        let addresses = self.references.all().iter().flat_map(|text| text.split_whitespace());
        let addresses = addresses.filter(|word| word.starts_with("http://") || word.starts_with("https://"));
        Ok(Reported {
            identity: vec![package.to_owned(), id.clone()],
            title: match self.title.as_deref().map(str::trim).filter(|title| !title.is_empty()) {
                Some(title) => title.to_owned(),
                None => format!("{id} in {package}"),
            },
            description: text::paragraphs([self.overview.as_deref().unwrap_or_default(), &range]),
            severity,
            scanner_reference: Some(id),
            vulnerability_type: Some("vulnerable_package".to_owned()),
            cvss_score: rating.score,
            cvss_vector: rating.vector,
            cve_ids: self.cves.iter().filter_map(|id| text::cve(id)).collect(),
            cwe_ids: self.cwe.all().iter().filter_map(|id| text::cwe(id)).collect(),
            component_name: Some(package.to_owned()),
            component_purl: Some(package::url("npm", package, None)),
            references: self.url.iter().cloned().chain(addresses.map(str::to_owned)).collect(),
            ..Reported::default()
        })
    }
}
