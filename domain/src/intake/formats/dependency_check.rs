//! The XML report of OWASP Dependency-Check.

use crate::error::Result;
use crate::intake::cvss::{self, Rating};
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::late::{Late, Weight};
use crate::intake::package::Package;
use crate::intake::report::{ReportHead, Reported, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::intake::xml::Xml;
use crate::vocabulary::terms::Severity;
use crate::vocabulary::time::Timestamp;

pub const FORMAT: Entry = Entry {
    key: "DEPENDENCY_CHECK_XML",
    label: "Dependency-Check XML",
    media_types: &["application/xml", "text/xml"],
    extensions: &["xml"],
    scanner: "dependency-check",
    counting: "Each `vulnerability` and each `suppressedVulnerability` of each dependency: what was suppressed is a finding with \
         a verdict (see the table of verdicts). Related dependencies are copies of the one that lists them, and no findings of \
         their own.",
    identity: "The component, the file's name and the vulnerability's name; in the file's name the component's version is \
         written `*`. The version is no part of it.",
    asset: "`name` of `projectInfo`, or else the asset that the caller names.",
    required: "The root `analysis` with `dependencies`; the `name` of each vulnerability.",
    severities: &[
        ("info, informational, none, unknown", "info"),
        ("low", "low"),
        ("medium, moderate", "medium"),
        ("high, important", "high"),
        ("critical", "critical"),
    ],
    fields: &[
        ("title", "the vulnerability's name and the component"),
        ("description", "`description`"),
        ("severity", "`severity`; where it is none of these words that of the CVSS score, or else info"),
        ("vulnerability_type", "`vulnerable_package`"),
        ("scanner_category", "`source` of the vulnerability"),
        ("scanner_reference", "`name`"),
        (
            "cvss_score, cvss_vector",
            "`cvssV4`, or else `cvssV3`, or else `cvssV2`: the base score, and the vector put together from its parts; a vector of \
             version 3 is one of 3.1 where no version is given",
        ),
        ("known_exploit", "true where there is a `knownExploitedVulnerability`"),
        ("cve_ids, cwe_ids", "`name`; `cwe`, and a `name` that begins with one"),
        (
            "component_name, component_version, component_purl",
            "the first package URL among the identifiers; or else a `maven` identifier; or else the file's name",
        ),
        ("file_path", "`filePath`"),
        ("references", "`url` of each reference"),
        ("verdict", "`notes` of a suppressed vulnerability"),
        ("time of the scan", "`reportDate`"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| head.root.as_deref() == Some(ROOT),
    reader: |plan| Ok(Box::new(DependencyCheck::new(plan))),
};

const ROOT: &str = "analysis";

#[derive(Clone, Default)]
struct DependencyCheck {
    asset: Option<String>,
    scanned_at: Option<Timestamp>,
    projects: Late<Project>,
    dependencies: Late<Dependency>,
}

#[derive(Clone, Debug, Default)]
struct Project {
    name: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Dependency {
    file: String,
    path: Option<String>,
    purl: Option<String>,
    maven: Option<String>,
}

impl Weight for Project {
    fn weight(&self) -> usize {
        self.name.as_ref().map_or(0, String::len) + 64
    }
}

impl Weight for Dependency {
    fn weight(&self) -> usize {
        let texts = [&self.path, &self.purl, &self.maven].into_iter().flatten();
        self.file.len() + texts.map(String::len).sum::<usize>() + 128
    }
}

impl DependencyCheck {
    fn new(plan: &Plan<'_>) -> Self {
        Self { asset: plan.asset.map(str::to_owned), ..Self::default() }
    }
}

impl Reader for DependencyCheck {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.projects.rewind();
        self.dependencies.rewind();
        self.scanned_at = None;
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut project = self.projects.begin();
        let mut own = false;
        source.xml(&mut |xml, root| {
            if root.name != ROOT {
                return Err(meter.malformed(format_args!("the root element is not `{ROOT}`")));
            }
            xml.children(&mut |xml, part| match part.name.as_str() {
                "projectInfo" => xml.children(&mut |xml, tag| {
                    match tag.name.as_str() {
                        "name" => {
                            let name = xml.text()?;
                            project.learn(|project| project.name = Some(name));
                        }
                        "reportDate" => self.scanned_at = text::time(&xml.text()?),
                        _ => {}
                    }
                    Ok(())
                }),
                "dependencies" => {
                    own = true;
                    xml.children(&mut |xml, tag| {
                        if tag.name != "dependency" {
                            return Ok(());
                        }
                        let mut dependency = self.dependencies.begin();
                        xml.children(&mut |xml, tag| match tag.name.as_str() {
                            "fileName" => {
                                let file = xml.text()?;
                                dependency.learn(|dependency| dependency.file = file.trim().to_owned());
                                Ok(())
                            }
                            "filePath" => {
                                let path = xml.text()?;
                                dependency.learn(|dependency| dependency.path = Some(path.trim().to_owned()));
                                Ok(())
                            }
                            "identifiers" => {
                                let mut found = Dependency::default();
                                identifiers(xml, &mut found)?;
                                dependency.learn(|dependency| {
                                    dependency.purl = found.purl;
                                    dependency.maven = found.maven;
                                });
                                Ok(())
                            }
                            "vulnerabilities" => xml.children(&mut |xml, tag| {
                                let suppressed = match tag.name.as_str() {
                                    "vulnerability" => false,
                                    "suppressedVulnerability" => true,
                                    _ => return Ok(()),
                                };
                                meter.fence(limits.item);
                                let read = vulnerability(xml, tag.attribute("source"))?;
                                meter.unfence();
                                let mut reported = read.reported(dependency.used(), suppressed);
                                let named = project.used().name.as_deref().map(str::trim);
                                let named = named.filter(|name| !name.is_empty());
                                reported.asset = ReportedAsset {
                                    name: named.or(self.asset.as_deref()).unwrap_or_default().to_owned(),
                                    kind: Some("application".to_owned()),
                                };
                                emit(FORMAT.scanner, reported)
                            }),
                            _ => Ok(()),
                        })?;
                        self.dependencies.end(dependency, &limits, &meter)
                    })
                }
                _ => Ok(()),
            })
        })?;
        if !own {
            return Err(meter.malformed("it has no `dependencies`"));
        }
        self.projects.end(project, &limits, &meter)?;
        Ok(Pass::again(self.projects.again() || self.dependencies.again()))
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: self.scanned_at }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

/// Some versions put one list of identifiers into another.
fn identifiers(xml: &mut Xml<'_>, found: &mut Dependency) -> Result<()> {
    xml.children(&mut |xml, tag| match tag.name.as_str() {
        "identifiers" => identifiers(xml, found),
        "package" => xml.children(&mut |xml, tag| {
            if tag.name == "id" && found.purl.is_none() {
                let id = xml.text()?;
                found.purl = Package::parse(&id).map(|_| id.trim().to_owned());
            }
            Ok(())
        }),
        "identifier" if tag.attribute("type") == Some("maven") => xml.children(&mut |xml, tag| {
            if tag.name == "name" && found.maven.is_none() {
                // Old versions put it in brackets.
                found.maven = Some(xml.text()?.trim().trim_matches(['(', ')']).to_owned());
            }
            Ok(())
        }),
        _ => Ok(()),
    })
}

impl Dependency {
    /// Name and version.
    fn component(&self) -> (String, Option<String>) {
        if let Some(package) = self.purl.as_deref().and_then(Package::parse) {
            return (package.name, package.version);
        }
        match self.maven.as_deref().and_then(|name| name.rsplit_once(':')) {
            Some((name, version)) if name.contains(':') => (name.to_owned(), Some(version.to_owned())),
            _ => (self.maven.clone().unwrap_or_else(|| self.file.clone()), None),
        }
    }
}

#[derive(Default)]
struct Vulnerability {
    name: String,
    source: Option<String>,
    severity: String,
    description: String,
    notes: String,
    exploited: bool,
    cwes: Vec<String>,
    references: Vec<String>,
    /// Of version 2, 3 and 4.
    cvss: [Cvss; 3],
}

/// A score, and the parts of a vector by the names of their elements.
#[derive(Default)]
struct Cvss {
    score: Option<f64>,
    vector: Option<String>,
    version: Option<String>,
    parts: Vec<(String, String)>,
}

fn vulnerability(xml: &mut Xml<'_>, source: Option<&str>) -> Result<Vulnerability> {
    let mut read = Vulnerability { source: source.map(str::to_owned), ..Vulnerability::default() };
    xml.children(&mut |xml, tag| {
        match tag.name.as_str() {
            "name" => read.name = xml.text()?.trim().to_owned(),
            "severity" => read.severity = xml.text()?,
            "description" => read.description = xml.text()?,
            "notes" => read.notes = xml.text()?,
            "knownExploitedVulnerability" => read.exploited = true,
            "cwe" => read.cwes.push(xml.text()?),
            "cwes" => xml.children(&mut |xml, _| {
                read.cwes.push(xml.text()?);
                Ok(())
            })?,
            "references" => xml.children(&mut |xml, _| {
                xml.children(&mut |xml, tag| {
                    if tag.name == "url" {
                        read.references.push(xml.text()?);
                    }
                    Ok(())
                })
            })?,
            "cvssV2" => cvss_parts(xml, &mut read.cvss[0])?,
            "cvssV3" => cvss_parts(xml, &mut read.cvss[1])?,
            "cvssV4" => cvss_parts(xml, &mut read.cvss[2])?,
            // Before version 5 the parts stood among the others.
            name if name.starts_with("cvss") => {
                let name = name.to_owned();
                cvss_part(&name[4..], &xml.text()?, &mut read.cvss[0]);
            }
            _ => {}
        }
        Ok(())
    })?;
    if read.name.is_empty() {
        return Err(xml.malformed("a vulnerability has no `name`"));
    }
    Ok(read)
}

fn cvss_parts(xml: &mut Xml<'_>, cvss: &mut Cvss) -> Result<()> {
    xml.children(&mut |xml, tag| {
        let text = xml.text()?;
        cvss_part(&tag.name, &text, cvss);
        Ok(())
    })
}

fn cvss_part(name: &str, text: &str, cvss: &mut Cvss) {
    let text = text.trim();
    match name.to_ascii_lowercase().as_str() {
        "score" | "basescore" => cvss.score = text.parse().ok(),
        "vector" | "vectorstring" => cvss.vector = Some(text.to_owned()),
        "version" => cvss.version = Some(text.to_owned()),
        other => cvss.parts.push((other.to_owned(), text.to_owned())),
    }
}

/// The parts of a vector: what stands before the colon, and the beginning of the element's name.
const PARTS_2: [(&str, &str); 6] = [
    ("AV", "accessvector"),
    ("AC", "accesscomplexity"),
    ("Au", "authentication"),
    ("C", "confidential"),
    ("I", "integrit"),
    ("A", "availability"),
];
const PARTS_3: [(&str, &str); 8] = [
    ("AV", "attackvector"),
    ("AC", "attackcomplexity"),
    ("PR", "privilegesrequired"),
    ("UI", "userinteraction"),
    ("S", "scope"),
    ("C", "confidentiality"),
    ("I", "integrity"),
    ("A", "availability"),
];

impl Cvss {
    /// The vector put together from its parts, each of which is written as its word or its first letter.
    fn assembled(&self, parts: &[(&str, &str)]) -> Option<String> {
        let of = |(short, long): &(&str, &str)| {
            let (_, word) = self.parts.iter().find(|(name, _)| name.starts_with(long))?;
            Some(format!("{short}:{}", word.chars().next()?.to_ascii_uppercase()))
        };
        parts.iter().map(of).collect::<Option<Vec<String>>>().map(|parts| parts.join("/"))
    }
}

impl Vulnerability {
    fn reported(self, dependency: &Dependency, suppressed: bool) -> Reported {
        let [two, three, four] = &self.cvss;
        let vector =
            |cvss: &Cvss, parts: &[(&str, &str)]| cvss.vector.clone().or_else(|| cvss.assembled(parts));
        let rating = cvss::best([
            Rating::new("4.0", four.score, four.vector.as_deref()),
            Rating::new(
                three.version.as_deref().unwrap_or("3.1"),
                three.score,
                vector(three, &PARTS_3).as_deref(),
            ),
            Rating::new("2.0", two.score, vector(two, &PARTS_2).as_deref()),
        ]);
        let severity = text::severity(&self.severity, FORMAT.severities);
        let (component, version) = dependency.component();
        let file = text::without_version(&dependency.file, version.as_deref().unwrap_or_default());
        let notes = Some(self.notes).filter(|notes| !notes.trim().is_empty());
        let in_name = Some(&self.name).filter(|name| name.starts_with("CWE-"));
        Reported {
            identity: vec![component.clone(), file, self.name.clone()],
            title: format!("{} in {component}", self.name),
            description: Some(self.description),
            severity: severity.or(rating.score.map(cvss::severity)).unwrap_or(Severity::Info),
            scanner_category: self.source,
            vulnerability_type: Some("vulnerable_package".to_owned()),
            cvss_score: rating.score,
            cvss_vector: rating.vector,
            known_exploit: self.exploited.then_some(true),
            cve_ids: text::cve(&self.name).into_iter().collect(),
            cwe_ids: self.cwes.iter().chain(in_name).filter_map(|cwe| text::cwe(cwe)).collect(),
            scanner_reference: Some(self.name),
            component_name: Some(component),
            component_version: version,
            component_purl: dependency.purl.clone(),
            file_path: dependency.path.clone(),
            references: self.references,
            verdict: if suppressed {
                vex::verdict(Vocabulary::DependencyCheck, "suppressed", None, notes, None)
            } else {
                None
            },
            ..Reported::default()
        }
    }
}
