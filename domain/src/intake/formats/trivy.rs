//! Trivy's JSON: schema 2, the array that came before it, and Kubernetes clusters.

mod items;

use crate::error::Result;
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::formats::trivy::items::{License, Misconfiguration, Modified, Secret, Vulnerability};
use crate::intake::json::Value;
use crate::intake::late::{Late, Scope, Weight};
use crate::intake::limits::Limits;
use crate::intake::place::Meter;
use crate::intake::report::{ReportHead, Reported, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text;
use crate::vocabulary::time::Timestamp;

pub const FORMAT: Entry = Entry {
    key: "TRIVY_JSON",
    label: "Trivy JSON",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "trivy",
    counting: "Each entry of `Vulnerabilities`, `Secrets` and `Licenses` of each result, and each of \
         `Misconfigurations` whose `Status` is FAIL or absent (PASS and EXCEPTION are not findings). Findings that \
         Trivy was told to leave out (`ExperimentalModifiedFindings`) are left out. In a cluster's report the results of \
         each resource count for that resource.",
    identity: "Vulnerability: the package's path and name and the vulnerability's id, with the result's target unless \
         it is the operating system. The installed version is no part of it: an upgrade to a version that is still \
         vulnerable is the same finding, and what was decided about it stays; two versions of a package in the same \
         place are one finding. Misconfiguration: target, check and resource, or else the message. Secret: target, \
         rule and the masked match, or else the line. License: target, package, file and license.",
    asset: "`ArtifactName`, unless it is `.`, which is the asset that the caller names; in a cluster the resource, as \
         cluster/namespace/kind/name; in the old array the asset that the caller names, or else the first target.",
    required: "An object with `Results`, `ArtifactName`, `SchemaVersion`, `ClusterName`, `Resources` or `Findings`, or an array of \
         results; `VulnerabilityID` and `PkgName`, `ID`, `RuleID` or `Name` of an entry.",
    severities: &[
        ("UNKNOWN, absent", "info"),
        ("LOW", "low"),
        ("MEDIUM", "medium"),
        ("HIGH", "high"),
        ("CRITICAL", "critical"),
    ],
    fields: &[
        ("title", "`Title`, or else the id and the package; for a license its name and package"),
        ("class", "COMPLIANCE for misconfigurations and licenses, else VULNERABILITY"),
        ("vulnerability_type", "`vulnerable_package`, `misconfiguration`, `secret` or `license`"),
        ("scanner_category", "`Class` of the result; for a secret its `Category`"),
        ("scanner_reference", "`VulnerabilityID`, `ID`, `RuleID`, `Name`"),
        (
            "cvss_score, cvss_vector",
            "version 3 or else 4 or else 2, of the source of the severity, else nvd, ghsa, redhat, any",
        ),
        ("component_name, component_version, fixed_version", "`PkgName`, `InstalledVersion`, `FixedVersion`"),
        ("component_purl", "`PkgIdentifier.PURL`"),
        ("file_path, line", "`PkgPath`, or else the target; `StartLine`"),
        ("tags", "`Type` of the result, and the `Status` of a vulnerability"),
        ("references", "`PrimaryURL`, `References`"),
        ("remediation", "`Resolution`"),
        (
            "verdict",
            "`Status` of a modified finding: `ignored`, or one of OpenVEX with the `Statement` as its justification; its `Source`",
        ),
        ("excerpt", "the beginning of the entry"),
        ("time of the scan", "`CreatedAt`"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| {
        if head.array {
            head.has("Target") && ["Type", "Class", "Vulnerabilities"].iter().any(|name| head.has(name))
        } else {
            ["ArtifactName", "ArtifactType", "ClusterName"].iter().any(|name| head.has(name))
                || (head.has("SchemaVersion") && head.has("Results"))
        }
    },
    reader: |plan| Ok(Box::new(Trivy::new(plan))),
};

/// The members that only a report of Trivy has.
const OWN: [&str; 8] = [
    "Results",
    "ArtifactName",
    "ArtifactType",
    "SchemaVersion",
    "ClusterName",
    "Resources",
    "Findings",
    "Trivy",
];

#[derive(Clone, Default)]
struct Trivy {
    /// The asset that the caller names.
    asset: Option<String>,
    scanned_at: Option<Timestamp>,
    artifacts: Late<Artifact>,
    resources: Late<Resource>,
    results: Late<Target>,
}

/// What the whole report is about.
#[derive(Clone, Debug, Default)]
struct Artifact {
    name: Option<String>,
    kind: Option<String>,
    cluster: Option<String>,
}

/// A resource of a cluster.
#[derive(Clone, Debug, Default)]
struct Resource {
    namespace: Option<String>,
    kind: Option<String>,
    name: Option<String>,
}

/// What a result is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    name: String,
    class: Option<String>,
    kind: Option<String>,
}

fn size(texts: &[&Option<String>]) -> usize {
    texts.iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>() + 64
}

impl Weight for Artifact {
    fn weight(&self) -> usize {
        size(&[&self.name, &self.kind, &self.cluster])
    }
}

impl Weight for Resource {
    fn weight(&self) -> usize {
        size(&[&self.name, &self.kind, &self.namespace])
    }
}

impl Weight for Target {
    fn weight(&self) -> usize {
        self.name.len() + size(&[&self.class, &self.kind])
    }
}

impl Target {
    /// The target, where it tells findings of one artifact apart. The packages of the operating
    /// system are all of one, and its target has the image's tag and the version in it.
    fn place(&self) -> &str {
        if self.is_system() { "" } else { &self.name }
    }

    fn is_system(&self) -> bool {
        match (&self.class, &self.kind) {
            (Some(class), _) => class == "os-pkgs",
            (None, Some(kind)) => self.name.ends_with(')') && self.name.contains(&format!(" ({kind} ")),
            (None, None) => false,
        }
    }

    /// The name without the operating system behind it: `debian` of `debian (debian 10.8)`.
    fn artifact(&self) -> &str {
        match self.name.rfind(" (") {
            Some(end) if self.is_system() => &self.name[..end],
            _ => &self.name,
        }
    }
}

/// What the reading of a result needs.
struct Pen<'p> {
    meter: &'p Meter,
    limits: &'p Limits,
    emit: Emit<'p>,
}

impl Reader for Trivy {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.artifacts.rewind();
        self.resources.rewind();
        self.results.rewind();
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut artifact = self.artifacts.begin();
        let mut own = false;
        let mut pen = Pen { meter: &meter, limits: &limits, emit };
        source.json(&mut |root| {
            root.object_or_array(&mut |name, value| match name {
                Some(name) => {
                    own |= OWN.contains(&name);
                    self.member(name, value, &mut artifact, &mut pen)
                }
                None => {
                    own = true;
                    self.result(value, &mut artifact, None, true, &mut pen)
                }
            })
        })?;
        if !own {
            return Err(
                meter.malformed("this is not a report of Trivy: it has neither results nor an artifact")
            );
        }
        self.artifacts.end(artifact, &limits, &meter)?;
        Ok(Pass::again(self.artifacts.again() || self.resources.again() || self.results.again()))
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

impl Trivy {
    fn new(plan: &Plan<'_>) -> Self {
        Self { asset: plan.asset.map(str::to_owned), ..Self::default() }
    }

    /// A member of the whole report.
    fn member(
        &mut self,
        name: &str,
        value: Value<'_>,
        artifact: &mut Scope<Artifact>,
        pen: &mut Pen<'_>,
    ) -> Result<()> {
        match name {
            "Results" => value.array(&mut |result| self.result(result, artifact, None, false, pen)),
            // These three are the same in a cluster's report: resources with results of their own.
            "Resources" | "Vulnerabilities" | "Misconfigurations" | "Findings" => {
                value.array(&mut |resource| self.resource(resource, artifact, pen))
            }
            "ArtifactName" => {
                let name = value.get()?;
                artifact.learn(|artifact| artifact.name = name);
                Ok(())
            }
            "ArtifactType" => {
                let kind = value.get()?;
                artifact.learn(|artifact| artifact.kind = kind);
                Ok(())
            }
            "ClusterName" => {
                let cluster = value.get()?;
                artifact.learn(|artifact| artifact.cluster = cluster);
                Ok(())
            }
            "CreatedAt" => {
                self.scanned_at = value.get::<Option<String>>()?.as_deref().and_then(text::time);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn resource(
        &mut self,
        value: Value<'_>,
        artifact: &mut Scope<Artifact>,
        pen: &mut Pen<'_>,
    ) -> Result<()> {
        let mut resource = self.resources.begin();
        value.object(&mut |name, value| {
            match name {
                "Namespace" => {
                    let namespace = value.get()?;
                    resource.learn(|resource| resource.namespace = namespace);
                }
                "Kind" => {
                    let kind = value.get()?;
                    resource.learn(|resource| resource.kind = kind);
                }
                "Name" => {
                    let name = value.get()?;
                    resource.learn(|resource| resource.name = name);
                }
                "Results" => {
                    return value
                        .array(&mut |result| self.result(result, artifact, Some(&mut resource), false, pen));
                }
                _ => {}
            }
            Ok(())
        })?;
        self.resources.end(resource, pen.limits, pen.meter)
    }

    /// A result. In the old array its target also names the artifact.
    fn result(
        &mut self,
        value: Value<'_>,
        artifact: &mut Scope<Artifact>,
        mut resource: Option<&mut Scope<Resource>>,
        names_artifact: bool,
        pen: &mut Pen<'_>,
    ) -> Result<()> {
        let mut target = self.results.begin();
        let asset_by_caller = self.asset.as_deref();
        value.object(&mut |name, value| {
            let mut each = |value: Value<'_>, read: &dyn Fn(Entity<'_>) -> Result<Option<Reported>>| {
                value.array(&mut |entry| {
                    let raw = entry.raw()?;
                    let entity = Entity { raw: &raw, meter: pen.meter, target: target.used() };
                    if let Some(mut reported) = read(entity)? {
                        let resource = resource.as_deref_mut().map(Scope::used);
                        reported.asset = asset(artifact.used(), resource, asset_by_caller);
                        reported.excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
                        (pen.emit)(FORMAT.scanner, reported)?;
                    }
                    Ok(())
                })
            };
            match name {
                "Vulnerabilities" => each(value, &|entity| Vulnerability::read(entity).map(Some)),
                "Misconfigurations" => each(value, &Misconfiguration::read),
                "Secrets" => each(value, &|entity| Secret::read(entity).map(Some)),
                "Licenses" => each(value, &|entity| License::read(entity).map(Some)),
                "ExperimentalModifiedFindings" => value.array(&mut |entry| {
                    let mut modified = Modified::default();
                    entry.object(&mut |name, value| {
                        match name {
                            "Type" => modified.kind = value.get()?,
                            "Status" => modified.status = value.get()?,
                            "Statement" => modified.statement = value.get()?,
                            "Source" => modified.source = value.get()?,
                            "Finding" => modified.finding = Some(value.raw()?),
                            _ => {}
                        }
                        Ok(())
                    })?;
                    if let Some(mut reported) = modified.read(pen.meter, target.used())? {
                        let resource = resource.as_deref_mut().map(Scope::used);
                        reported.asset = asset(artifact.used(), resource, asset_by_caller);
                        (pen.emit)(FORMAT.scanner, reported)?;
                    }
                    Ok(())
                }),
                "Target" => {
                    let name: Option<String> = value.get()?;
                    target.learn(|target| target.name = name.unwrap_or_default());
                    Ok(())
                }
                "Class" => {
                    let class = value.get()?;
                    target.learn(|target| target.class = class);
                    Ok(())
                }
                "Type" => {
                    let kind = value.get()?;
                    target.learn(|target| target.kind = kind);
                    Ok(())
                }
                _ => Ok(()),
            }
        })?;
        if names_artifact && asset_by_caller.is_none() && artifact.so_far().name.is_none() {
            let name = target.so_far().artifact().to_owned();
            artifact.learn(|artifact| artifact.name = Some(name));
        }
        self.results.end(target, pen.limits, pen.meter)
    }
}

/// An entry of a result, before it is read.
pub(super) struct Entity<'e> {
    raw: &'e crate::intake::json::Raw,
    meter: &'e Meter,
    target: &'e Target,
}

fn asset(artifact: &Artifact, resource: Option<&Resource>, by_caller: Option<&str>) -> ReportedAsset {
    if let Some(resource) = resource {
        let parts = [&artifact.cluster, &resource.namespace, &resource.kind, &resource.name];
        let parts: Vec<&str> =
            parts.into_iter().flatten().map(String::as_str).filter(|part| !part.is_empty()).collect();
        return ReportedAsset { name: parts.join("/"), kind: Some("kubernetes_resource".to_owned()) };
    }
    let named = artifact.name.as_deref().map(str::trim).filter(|name| !matches!(*name, "" | "."));
    let name = named.or(by_caller).or(artifact.name.as_deref()).unwrap_or_default();
    ReportedAsset { name: name.to_owned(), kind: artifact.kind.clone() }
}
