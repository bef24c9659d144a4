//! The JSON of cargo-audit.

use serde::Deserialize;

use crate::error::Result;
use crate::intake::cvss::{self, Rating};
use crate::intake::format::{Emit, Entry, Pass, Reader};
use crate::intake::json::or_default;
use crate::intake::package;
use crate::intake::report::{ReportHead, Reported, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text;
use crate::vocabulary::terms::{FindingClass, Severity};

/// How a lock file names the Rust project's own registry, however it is reached.
const REGISTRY: &str = "registry+https://github.com/rust-lang/";

pub const FORMAT: Entry = Entry {
    key: "CARGO_AUDIT_JSON",
    label: "cargo-audit JSON",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "cargo-audit",
    counting: "Each entry of `vulnerabilities.list`, and each of every list of `warnings`: a crate that is unsound, not \
         maintained, withdrawn or has a notice is a finding of its own. What the settings ignore is not in the report.",
    identity: "`vulnerability` or the kind of the warning, the crate, and the advisory's id. The installed version is no part \
         of it.",
    asset: "The asset that the caller names, or else `source code`.",
    required: "`vulnerabilities`; the `package` of each entry, and of a vulnerability its `advisory`.",
    severities: &[
        ("CVSS score 9.0 and more", "critical"),
        ("CVSS score 7.0 and more", "high"),
        ("CVSS score 4.0 and more", "medium"),
        ("CVSS score above 0; a warning `unsound` without a score", "low"),
        ("no CVSS vector; any other warning", "info"),
    ],
    fields: &[
        ("title", "`title` of the advisory, or else the kind of the warning and the crate"),
        ("description", "`description`"),
        ("class", "COMPLIANCE for the warnings `unmaintained` and `yanked`, else VULNERABILITY"),
        ("vulnerability_type", "`vulnerable_package`, or the kind of the warning"),
        ("scanner_reference", "`id` of the advisory, or else the kind of the warning"),
        ("cvss_vector, cvss_score", "`cvss`, and its score"),
        ("cve_ids", "those among `aliases`"),
        ("component_name, component_version", "`name` and `version` of the package"),
        ("component_purl", "`pkg:cargo/name@version`, for a crate of the Rust project's registry"),
        ("fixed_version, fix_available", "`versions.patched`; false for a vulnerability without one"),
        ("references", "`url`, `references`"),
        ("tags", "`categories`, and other aliases"),
        ("excerpt", "the beginning of the entry"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| !head.array && head.has("vulnerabilities") && head.has("lockfile"),
    reader: |plan| Ok(Box::new(CargoAudit { asset: plan.asset.map(str::to_owned) })),
};

#[derive(Clone)]
struct CargoAudit {
    asset: Option<String>,
}

impl Reader for CargoAudit {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        let meter = source.meter();
        let mut own = false;
        let asset = ReportedAsset {
            name: self.asset.clone().unwrap_or_else(|| "source code".to_owned()),
            kind: Some("repository".to_owned()),
        };
        let mut each = |raw: crate::intake::json::Raw, warning: Option<&str>| {
            let item: Item = raw.parse(&meter)?;
            let Some(mut reported) = item.reported(warning) else {
                return Err(meter.malformed("a vulnerability has no `advisory`"));
            };
            reported.asset = asset.clone();
            reported.excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
            emit(FORMAT.scanner, reported)
        };
        source.json(&mut |root| {
            root.object(&mut |name, value| match name {
                "vulnerabilities" => {
                    own = true;
                    value.object(&mut |name, value| match name {
                        "list" => value.array(&mut |entry| each(entry.raw()?, None)),
                        _ => Ok(()),
                    })
                }
                "warnings" => value.object_or_array(&mut |kind, value| match kind {
                    Some(kind) => value.array(&mut |entry| each(entry.raw()?, Some(kind))),
                    // Before version 0.12 the warnings were one list.
                    None => each(value.raw()?, Some("")),
                }),
                _ => Ok(()),
            })
        })?;
        if !own {
            return Err(meter.malformed("this is not a report of cargo-audit: it has no `vulnerabilities`"));
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

#[derive(Deserialize)]
struct Item {
    kind: Option<String>,
    advisory: Option<Advisory>,
    #[serde(default, deserialize_with = "or_default")]
    versions: Versions,
    package: Package,
}

#[derive(Deserialize)]
struct Advisory {
    id: String,
    title: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    categories: Vec<String>,
    cvss: Option<String>,
    url: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    references: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Versions {
    #[serde(default, deserialize_with = "or_default")]
    patched: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
    source: Option<String>,
}

impl Item {
    /// `None` for a vulnerability without an advisory.
    fn reported(self, warning: Option<&str>) -> Option<Reported> {
        let Self { kind, advisory, versions, package } = self;
        let warning = warning.map(|kind_of_list| match kind {
            Some(kind) if !kind.trim().is_empty() => kind,
            _ => kind_of_list.to_owned(),
        });
        if warning.is_none() && advisory.is_none() {
            return None;
        }
        let kind = warning.clone().unwrap_or_else(|| "vulnerability".to_owned());
        let vector = advisory.as_ref().and_then(|advisory| advisory.cvss.as_deref());
        let rating = cvss::best([Rating::new("", None, vector)]);
        let severity = match (rating.score, kind.as_str()) {
            (Some(score), _) => cvss::severity(score),
            (None, "unsound") => Severity::Low,
            (None, _) => Severity::Info,
        };
        let class = match kind.as_str() {
            "unmaintained" | "yanked" => FindingClass::Compliance,
            _ => FindingClass::Vulnerability,
        };
        let of_registry = package.source.as_deref().is_some_and(|source| source.starts_with(REGISTRY));
        let id = advisory.as_ref().map(|advisory| advisory.id.clone());
        let patched = versions.patched;
        let fixed = (!patched.is_empty()).then_some(true);
        let mut reported = Reported {
            identity: vec![kind.clone(), package.name.clone(), id.clone().unwrap_or_default()],
            class,
            title: format!("{}: {kind}", package.name),
            severity,
            scanner_reference: id.or_else(|| Some(kind.clone())),
            vulnerability_type: Some(warning.clone().unwrap_or_else(|| "vulnerable_package".to_owned())),
            cvss_score: rating.score,
            cvss_vector: rating.vector,
            component_purl: of_registry
                .then(|| package::url("cargo", &package.name, package.version.as_deref())),
            component_name: Some(package.name),
            component_version: package.version,
            fix_available: if warning.is_none() { Some(fixed.is_some()) } else { fixed },
            fixed_version: Some(patched.join(" || ")),
            ..Reported::default()
        };
        if let Some(advisory) = advisory {
            let (cves, others): (Vec<_>, Vec<_>) =
                advisory.aliases.into_iter().partition(|alias| text::cve(alias).is_some());
            if let Some(title) = advisory.title.filter(|title| !title.trim().is_empty()) {
                reported.title = title;
            }
            reported.description = advisory.description;
            reported.cve_ids = cves.iter().filter_map(|alias| text::cve(alias)).collect();
            reported.references = advisory.url.into_iter().chain(advisory.references).collect();
            reported.tags = advisory.categories.into_iter().chain(others).collect();
        }
        Some(reported)
    }
}
