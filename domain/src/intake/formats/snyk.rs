//! The JSON of `snyk test` and `snyk container test`: one project, or an array of them.

use serde::Deserialize;

use crate::error::Result;
use crate::intake::cvss::{self, Rating};
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::json::{Raw, Value, or_default};
use crate::intake::late::{Late, Scope, Weight};
use crate::intake::limits::Limits;
use crate::intake::place::Meter;
use crate::intake::report::{ReportHead, Reported, ReportedAsset, Verdict};
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::vocabulary::terms::{FindingClass, Severity};

pub const FORMAT: Entry = Entry {
    key: "SNYK_JSON",
    label: "Snyk JSON",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "snyk",
    counting: "Each entry of `vulnerabilities` of each project, also of the `applications` inside of a container image, and each \
         entry of `filtered.ignore` and `filtered.patch`: what a policy ignores or has patched is a finding with a verdict (see \
         the table of verdicts). Snyk lists a vulnerability once for each path to the package; these are one finding. License \
         issues are findings. Reports of `snyk iac test` and `snyk code test` are not of this format (the latter writes SARIF).",
    identity: "The project's `displayTargetFile` or `targetFile`, the package, and the id. The installed version is no part of it.",
    asset: "`path` of a container image; or else `projectName`; or else the asset that the caller names, or the `path`.",
    required: "`vulnerabilities` of a project (which may be null); `id` of an entry, and `packageName`, `moduleName` or `name`.",
    severities: &[("low", "low"), ("medium", "medium"), ("high", "high"), ("critical", "critical")],
    fields: &[
        ("title", "`title` and the package"),
        ("description", "`description`"),
        ("severity", "`severityWithCritical`, or else `severity`, or else of the CVSS score, or else info"),
        ("class", "COMPLIANCE for a license issue, else VULNERABILITY"),
        ("vulnerability_type", "`license` for a license issue, else `vulnerable_package`"),
        ("scanner_category", "`packageManager`"),
        ("scanner_reference", "`id`"),
        ("cvss_score, cvss_vector", "`CVSSv4`, or else `CVSSv3`; `cvssScore`"),
        ("epss_score", "`epssDetails.probability`"),
        ("known_exploit", "true where `exploit` is Mature, High, Functional or Proof of Concept"),
        ("cve_ids, cwe_ids", "`identifiers`"),
        ("component_name, component_version, component_purl", "`packageName`, `version`, `purl`"),
        ("fixed_version", "`nearestFixedInVersion`, or else `fixedIn`"),
        (
            "fix_available",
            "whether there is a fixed version, or one of `isUpgradable`, `isPatchable`, `isPinnable` is true",
        ),
        ("file_path", "`displayTargetFile` or `targetFile`"),
        ("remediation", "the last of `upgradePath`, where it is upgradable"),
        ("references", "`url` of each of `references`"),
        ("tags", "`language`; `malicious`; `GHSA` ids"),
        ("verdict", "`filtered`: `reasonType`, `reason`, `ignoredBy`; `patches`"),
        ("excerpt", "the beginning of the entry"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| {
        head.has("vulnerabilities")
            && !head.has("lockfile")
            && !head.has("bomFormat")
            && (["packageManager", "dependencyCount", "licensesPolicy", "ignoreSettings", "projectName"]
                .iter()
                .any(|name| head.has(name))
                || (head.has_inside("packageName") && head.has_inside("semver")))
    },
    reader: |plan| Ok(Box::new(Snyk::new(plan))),
};

#[derive(Clone, Default)]
struct Snyk {
    asset: Option<String>,
    projects: Late<Project>,
}

#[derive(Clone, Debug, Default)]
struct Project {
    name: Option<String>,
    target: Option<String>,
    display_target: Option<String>,
    path: Option<String>,
    manager: Option<String>,
    container: bool,
}

impl Weight for Project {
    fn weight(&self) -> usize {
        let texts = [&self.name, &self.target, &self.display_target, &self.path, &self.manager];
        texts.into_iter().flatten().map(String::len).sum::<usize>() + 128
    }
}

/// What the reading of projects needs.
struct Pen<'p> {
    meter: &'p Meter,
    limits: &'p Limits,
    emit: Emit<'p>,
}

impl Snyk {
    fn new(plan: &Plan<'_>) -> Self {
        Self { asset: plan.asset.map(str::to_owned), ..Self::default() }
    }

    /// Reads a project. Whether it has `vulnerabilities`.
    fn project(&mut self, value: Value<'_>, pen: &mut Pen<'_>) -> Result<bool> {
        let mut project = self.projects.begin();
        let mut own = false;
        value.object(&mut |name, value| {
            own |= name == "vulnerabilities";
            self.member(name, value, &mut project, pen)
        })?;
        self.projects.end(project, pen.limits, pen.meter)?;
        Ok(own)
    }

    fn member(
        &mut self,
        name: &str,
        value: Value<'_>,
        project: &mut Scope<Project>,
        pen: &mut Pen<'_>,
    ) -> Result<()> {
        let text = |value: Value<'_>| value.get::<Option<String>>();
        match name {
            "vulnerabilities" => value.array(&mut |entry| self.entry(entry.raw()?, project, pen)),
            "filtered" => value.object(&mut |name, value| match name {
                "ignore" | "patch" => value.array(&mut |entry| self.entry(entry.raw()?, project, pen)),
                _ => Ok(()),
            }),
            "applications" => value.array(&mut |value| self.project(value, pen).map(drop)),
            "projectName" => {
                let name = text(value)?;
                project.learn(|project| project.name = name);
                Ok(())
            }
            "targetFile" => {
                let target = text(value)?;
                project.learn(|project| project.target = target);
                Ok(())
            }
            "displayTargetFile" => {
                let target = text(value)?;
                project.learn(|project| project.display_target = target);
                Ok(())
            }
            "path" => {
                let path = text(value)?;
                project.learn(|project| project.path = path);
                Ok(())
            }
            "packageManager" => {
                let manager = text(value)?;
                project.learn(|project| project.manager = manager);
                Ok(())
            }
            "docker" => {
                // Snyk writes an empty object where there is no image.
                let docker: serde_json::Value = value.get()?;
                let container = docker.as_object().is_some_and(|docker| !docker.is_empty());
                project.learn(|project| project.container = container);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn entry(&self, raw: Raw, project: &mut Scope<Project>, pen: &mut Pen<'_>) -> Result<()> {
        let issue: Issue = raw.parse(pen.meter)?;
        let mut reported = issue.reported(project.used(), self.asset.as_deref(), pen.meter)?;
        reported.excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
        (pen.emit)(FORMAT.scanner, reported)
    }
}

impl Reader for Snyk {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.projects.rewind();
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut pen = Pen { meter: &meter, limits: &limits, emit };
        let mut own = false;
        let mut project = self.projects.begin();
        source.json(&mut |root| {
            root.object_or_array(&mut |name, value| match name {
                Some(name) => {
                    own |= name == "vulnerabilities";
                    self.member(name, value, &mut project, &mut pen)
                }
                None => {
                    own |= self.project(value, &mut pen)?;
                    Ok(())
                }
            })
        })?;
        if !own {
            return Err(meter.malformed("this is not a report of Snyk: no project has `vulnerabilities`"));
        }
        self.projects.end(project, &limits, &meter)?;
        Ok(Pass::again(self.projects.again()))
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: None }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

impl Project {
    fn file(&self) -> Option<&str> {
        let texts = [&self.display_target, &self.target];
        texts.into_iter().flatten().map(String::as_str).find(|text| !text.trim().is_empty())
    }

    fn asset(&self, by_caller: Option<&str>) -> ReportedAsset {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let image = text(&self.path).filter(|_| self.container);
        let name =
            self.name.as_deref().map(|name| name.strip_prefix("docker-image|").unwrap_or(name).to_owned());
        let name = image.or(text(&name)).or(by_caller.map(str::to_owned)).or(text(&self.path));
        let kind = if self.container { "container_image" } else { "repository" };
        ReportedAsset { name: name.unwrap_or_default(), kind: Some(kind.to_owned()) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issue {
    id: String,
    title: Option<String>,
    description: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    severity: Option<String>,
    severity_with_critical: Option<String>,
    package_name: Option<String>,
    module_name: Option<String>,
    name: Option<String>,
    version: Option<String>,
    purl: Option<String>,
    language: Option<String>,
    package_manager: Option<String>,
    #[serde(rename = "CVSSv4")]
    cvss_4: Option<String>,
    #[serde(rename = "CVSSv3")]
    cvss_3: Option<String>,
    cvss_score: Option<f64>,
    #[serde(default, deserialize_with = "or_default")]
    epss_details: Epss,
    exploit: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    identifiers: Identifiers,
    #[serde(default, deserialize_with = "or_default")]
    fixed_in: Vec<String>,
    nearest_fixed_in_version: Option<String>,
    is_upgradable: Option<bool>,
    is_patchable: Option<bool>,
    is_pinnable: Option<bool>,
    /// Names of packages with their versions; `false` stands for the project itself.
    #[serde(default, deserialize_with = "or_default")]
    upgrade_path: Vec<serde_json::Value>,
    #[serde(default, deserialize_with = "or_default")]
    references: Vec<Reference>,
    malicious: Option<bool>,
    filtered: Option<Filtered>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Epss {
    /// Written as a text, and in some versions as a number.
    probability: serde_json::Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Identifiers {
    #[serde(rename = "CVE", deserialize_with = "or_default")]
    cve: Vec<String>,
    #[serde(rename = "CWE", deserialize_with = "or_default")]
    cwe: Vec<String>,
    #[serde(rename = "GHSA", deserialize_with = "or_default")]
    ghsa: Vec<String>,
}

#[derive(Deserialize)]
struct Reference {
    url: Option<String>,
}

#[derive(Deserialize)]
struct Filtered {
    #[serde(default, deserialize_with = "or_default")]
    ignored: Vec<Ignored>,
    #[serde(default, deserialize_with = "or_default")]
    patches: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ignored {
    reason: Option<String>,
    reason_type: Option<String>,
    ignored_by: Option<Person>,
}

#[derive(Deserialize)]
struct Person {
    name: Option<String>,
    email: Option<String>,
}

impl Filtered {
    fn verdict(self) -> Option<Verdict> {
        if let Some(ignored) = self.ignored.into_iter().next() {
            let author = ignored.ignored_by.and_then(|person| person.email.or(person.name));
            let why = ignored.reason_type.as_deref();
            return vex::verdict(Vocabulary::Snyk, "ignored", why, ignored.reason, author);
        }
        let patched = !self.patches.is_empty();
        if patched { vex::verdict(Vocabulary::Snyk, "patched", None, None, None) } else { None }
    }
}

/// How far along an exploit is, where there is one.
const EXPLOITS: [&str; 6] =
    ["mature", "high", "functional", "proof of concept", "proof-of-concept", "attacked"];

impl Issue {
    fn reported(self, project: &Project, by_caller: Option<&str>, meter: &Meter) -> Result<Reported> {
        let Some(package) = self.package_name.or(self.module_name).or(self.name) else {
            return Err(meter.malformed("an entry has no `packageName`"));
        };
        let rating = cvss::best([
            Rating::new("4.0", None, self.cvss_4.as_deref()),
            Rating::new("3.1", self.cvss_score, self.cvss_3.as_deref()),
        ]);
        let word = self.severity_with_critical.or(self.severity).filter(|word| !word.trim().is_empty());
        let severity = match word.as_deref() {
            None => rating.score.map_or(Severity::Info, cvss::severity),
            Some(word) => text::severity(word, FORMAT.severities).ok_or_else(|| {
                let word = text::beginning(word, 80);
                meter.malformed(format_args!("`{word}` is not a severity of Snyk"))
            })?,
        };
        let license = self.kind.as_deref() == Some("license");
        let nearest = self.nearest_fixed_in_version.filter(|version| !version.trim().is_empty());
        let fixed = nearest.unwrap_or_else(|| self.fixed_in.join(", "));
        let upgradable = self.is_upgradable == Some(true);
        let helps = [self.is_upgradable, self.is_patchable, self.is_pinnable];
        let fix_available = match helps.contains(&Some(true)) || !fixed.is_empty() {
            true => Some(true),
            false => helps.iter().any(Option::is_some).then_some(false),
        };
        let upgrade =
            self.upgrade_path.iter().rev().find_map(serde_json::Value::as_str).filter(|_| upgradable);
        let probability = match &self.epss_details.probability {
            serde_json::Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let exploit = self.exploit.as_deref().map(|word| word.trim().to_ascii_lowercase());
        let title = self.title.filter(|title| !title.trim().is_empty()).unwrap_or_else(|| self.id.clone());
        let malicious = (self.malicious == Some(true)).then(|| "malicious".to_owned());
        let file = project.file().unwrap_or_default().to_owned();
        Ok(Reported {
            asset: project.asset(by_caller),
            identity: vec![file.clone(), package.clone(), self.id.clone()],
            class: if license { FindingClass::Compliance } else { FindingClass::Vulnerability },
            title: format!("{title} in {package}"),
            description: self.description,
            severity,
            scanner_category: self.package_manager.or_else(|| project.manager.clone()),
            scanner_reference: Some(self.id),
            vulnerability_type: Some(if license { "license" } else { "vulnerable_package" }.to_owned()),
            cvss_score: rating.score,
            cvss_vector: rating.vector,
            epss_score: probability,
            known_exploit: exploit.filter(|word| EXPLOITS.contains(&word.as_str())).map(|_| true),
            cve_ids: self.identifiers.cve.iter().filter_map(|id| text::cve(id)).collect(),
            cwe_ids: self.identifiers.cwe.iter().filter_map(|id| text::cwe(id)).collect(),
            component_name: Some(package),
            component_version: self.version,
            component_purl: self.purl,
            fixed_version: Some(fixed),
            fix_available,
            file_path: Some(file),
            references: self.references.into_iter().filter_map(|reference| reference.url).collect(),
            tags: self.language.into_iter().chain(malicious).chain(self.identifiers.ghsa).collect(),
            remediation: upgrade.map(|package| format!("Upgrade to {package}.")),
            verdict: self.filtered.and_then(Filtered::verdict),
            ..Reported::default()
        })
    }
}
