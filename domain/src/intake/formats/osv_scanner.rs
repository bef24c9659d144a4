//! The JSON of OSV-Scanner.

use std::collections::HashMap;

use serde::Deserialize;

use crate::error::Result;
use crate::intake::cvss::{self, Rating};
use crate::intake::format::{Emit, Entry, Pass, Plan, Reader};
use crate::intake::json::{Value, or_default};
use crate::intake::late::{Late, Scope, Weight};
use crate::intake::limits::{Limits, too_large};
use crate::intake::package::{self, Package as Purl};
use crate::intake::place::Meter;
use crate::intake::report::{ReportHead, Reported, ReportedAsset};
use crate::intake::source::Source;
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::vocabulary::terms::Severity;

pub const FORMAT: Entry = Entry {
    key: "OSV_SCANNER_JSON",
    label: "OSV-Scanner JSON",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "osv-scanner",
    counting: "Each entry of `vulnerabilities` of each package of each of `results`. Those that `groups` says are the same \
         vulnerability under several ids are one finding. What the analysis of calls says is not called, and what a \
         distribution calls unimportant, is a finding with a verdict (see the table of verdicts).",
    identity: "The path of the source, the package's ecosystem and name, and the vulnerability: the first CVE id of its group \
         in order of the alphabet, or else the first id. The installed version is no part of it.",
    asset: "The asset that the caller names, or else the path of the source.",
    required: "`results` (which may be null); `name` of a package and `id` of a vulnerability.",
    severities: &[
        ("LOW", "low"),
        ("MODERATE, MEDIUM", "medium"),
        ("HIGH, IMPORTANT", "high"),
        ("CRITICAL", "critical"),
    ],
    fields: &[
        ("title", "`summary`, or else the id and the package"),
        ("description", "`details`"),
        (
            "severity",
            "critical for a malicious package (`MAL-`); or else `database_specific.severity`, or else of the CVSS score, or else of \
             `max_severity` of the group, or else info",
        ),
        ("vulnerability_type", "`vulnerable_package`, or `malicious_package`"),
        ("scanner_reference", "`id`"),
        ("scanner_category", "the ecosystem"),
        (
            "cvss_score, cvss_vector",
            "`severity`: CVSS version 4, or else 3, or else 2; or else `max_severity` of the group as the score",
        ),
        ("cve_ids, cwe_ids", "`id` and `aliases`; `database_specific.cwe_ids`"),
        ("component_name, component_version", "`name` and `version` of the package"),
        ("component_purl", "`purl` of what is affected, with the version"),
        (
            "fixed_version, fix_available",
            "each `fixed` of the affected package's ranges; whether there is one",
        ),
        ("file_path", "the path of the source"),
        ("tags", "the type of the source, and other aliases"),
        ("references", "`references`"),
        ("verdict", "`called` false and `unimportant` true of the group's analysis"),
        ("excerpt", "the beginning of the vulnerability"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| {
        !head.array
            && head.has("results")
            && (head.has("experimental_config") || head.has_inside("packages") && head.has_inside("source"))
    },
    reader: |plan| Ok(Box::new(OsvScanner::new(plan))),
};

#[derive(Clone, Default)]
struct OsvScanner {
    asset: Option<String>,
    sources: Late<Origin>,
    packages: Late<Package>,
}

/// Where packages were found.
#[derive(Clone, Debug, Default, Deserialize)]
struct Origin {
    path: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Weight for Origin {
    fn weight(&self) -> usize {
        self.path.as_ref().map_or(0, String::len) + 64
    }
}

/// A package, and which of its vulnerabilities are the same.
#[derive(Clone, Debug, Default)]
struct Package {
    about: About,
    groups: Vec<Group>,
    /// The place among the groups of each id.
    by_id: HashMap<String, usize>,
    weight: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct About {
    name: String,
    version: Option<String>,
    ecosystem: Option<String>,
}

/// Vulnerabilities that are the same, as they are written.
#[derive(Deserialize)]
struct WrittenGroup {
    #[serde(default, deserialize_with = "or_default")]
    ids: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    aliases: Vec<String>,
    max_severity: Option<String>,
    #[serde(
        default,
        alias = "experimentalAnalysis",
        alias = "experimental_analysis",
        deserialize_with = "or_default"
    )]
    analysis: HashMap<String, Analysis>,
}

/// What findings need of a group.
#[derive(Clone, Debug)]
struct Group {
    /// By what the vulnerability is known, whichever of its ids a database leads with.
    name: Option<String>,
    max_severity: Option<f64>,
    analysis: HashMap<String, Analysis>,
}

#[derive(Clone, Debug, Deserialize)]
struct Analysis {
    called: Option<bool>,
    unimportant: Option<bool>,
}

impl Weight for Package {
    fn weight(&self) -> usize {
        self.weight
    }
}

impl Package {
    fn is(&mut self, about: About) {
        let texts = [&about.version, &about.ecosystem].into_iter().flatten().map(String::len);
        self.weight += about.name.len() + texts.sum::<usize>() + 256;
        self.about = about;
    }

    fn add(&mut self, written: WrittenGroup) {
        let at = self.groups.len();
        let name = written.name().map(str::to_owned);
        self.weight += name.as_ref().map_or(0, String::len) + 256;
        self.weight +=
            written.ids.iter().chain(written.analysis.keys()).map(|id| id.len() + 128).sum::<usize>();
        self.by_id.extend(written.ids.into_iter().map(|id| (id, at)));
        let max_severity = written.max_severity.and_then(|score| score.trim().parse().ok());
        self.groups.push(Group { name, max_severity, analysis: written.analysis });
    }
}

impl OsvScanner {
    fn new(plan: &Plan<'_>) -> Self {
        Self { asset: plan.asset.map(str::to_owned), ..Self::default() }
    }

    fn package(
        &mut self,
        value: Value<'_>,
        origin: &mut Scope<Origin>,
        meter: &Meter,
        limits: &Limits,
        emit: Emit<'_>,
    ) -> Result<()> {
        let mut package = self.packages.begin();
        let by_caller = self.asset.as_deref();
        let bounded = |package: &Scope<Package>| {
            if package.so_far().weight > limits.collected {
                return Err(too_large(limits.over_collected(), meter.place()));
            }
            Ok(())
        };
        value.object(&mut |name, value| match name {
            "package" => {
                let about: About = value.get()?;
                package.learn(|package| package.is(about));
                bounded(&package)
            }
            "groups" => value.array(&mut |value| {
                let group: WrittenGroup = value.get()?;
                package.learn(|package| package.add(group));
                bounded(&package)
            }),
            "vulnerabilities" => value.array(&mut |value| {
                let raw = value.raw()?;
                let vulnerability: Vulnerability = raw.parse(meter)?;
                let mut reported = vulnerability.reported(package.used(), origin.used(), by_caller);
                reported.excerpt = Some(text::beginning(raw.text(), text::EXCERPT).to_owned());
                emit(FORMAT.scanner, reported)
            }),
            _ => Ok(()),
        })?;
        self.packages.end(package, limits, meter)
    }
}

impl Reader for OsvScanner {
    fn pass(&mut self, source: Source, emit: Emit<'_>) -> Result<Pass> {
        self.sources.rewind();
        self.packages.rewind();
        let (meter, limits) = (source.meter(), source.limits().clone());
        let mut own = false;
        source.json(&mut |root| {
            root.object(&mut |name, value| match name {
                "results" => {
                    own = true;
                    value.array(&mut |result| {
                        let mut origin = self.sources.begin();
                        result.object(&mut |name, value| match name {
                            "source" => {
                                let learned: Option<Origin> = value.get()?;
                                origin.learn(|origin| *origin = learned.unwrap_or_default());
                                Ok(())
                            }
                            "packages" => value
                                .array(&mut |value| self.package(value, &mut origin, &meter, &limits, emit)),
                            _ => Ok(()),
                        })?;
                        self.sources.end(origin, &limits, &meter)
                    })
                }
                _ => Ok(()),
            })
        })?;
        if !own {
            return Err(meter.malformed("this is not a report of OSV-Scanner: it has no `results`"));
        }
        Ok(Pass::again(self.sources.again() || self.packages.again()))
    }

    fn head(&self) -> ReportHead {
        ReportHead { scanner: FORMAT.scanner.to_owned(), scanned_at: None }
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

#[derive(Deserialize)]
struct Vulnerability {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    aliases: Vec<String>,
    summary: Option<String>,
    details: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    severity: Vec<Score>,
    #[serde(default, deserialize_with = "or_default")]
    affected: Vec<Affected>,
    #[serde(default, deserialize_with = "or_default")]
    references: Vec<Reference>,
    #[serde(default, deserialize_with = "or_default")]
    database_specific: Specific,
}

#[derive(Deserialize)]
struct Score {
    #[serde(rename = "type")]
    kind: Option<String>,
    score: Option<String>,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(default, deserialize_with = "or_default")]
    package: AffectedPackage,
    #[serde(default, deserialize_with = "or_default")]
    ranges: Vec<Range>,
    #[serde(default, deserialize_with = "or_default")]
    severity: Vec<Score>,
}

#[derive(Default, Deserialize)]
struct AffectedPackage {
    name: Option<String>,
    ecosystem: Option<String>,
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default, deserialize_with = "or_default")]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    fixed: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    url: Option<String>,
}

/// What a database adds, which is of any type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Specific {
    severity: serde_json::Value,
    cwe_ids: serde_json::Value,
}

impl Vulnerability {
    fn reported(self, package: &Package, origin: &Origin, by_caller: Option<&str>) -> Reported {
        let about = &package.about;
        let group = package.by_id.get(&self.id).and_then(|at| package.groups.get(*at));
        let of_package: Vec<&Affected> = self.affected.iter().filter(|one| one.is_of(about)).collect();
        let scores = self.severity.iter().chain(of_package.iter().flat_map(|one| &one.severity));
        let mut rating = cvss::best(scores.map(|one| {
            let kind = one.kind.as_deref().filter(|kind| kind.starts_with("CVSS"))?;
            Rating::new(kind, None, one.score.as_deref())
        }));
        rating.score = rating.score.or(group.and_then(|group| group.max_severity));
        let malicious = self.id.starts_with("MAL-");
        let word = self.database_specific.severity.as_str();
        let by_word = word.and_then(|word| text::severity(word, FORMAT.severities));
        let severity = match malicious {
            true => Severity::Critical,
            false => by_word.or(rating.score.map(cvss::severity)).unwrap_or(Severity::Info),
        };
        let mut fixed: Vec<&str> = Vec::new();
        let events = of_package.iter().flat_map(|one| &one.ranges).flat_map(|range| &range.events);
        for version in events.filter_map(|event| event.fixed.as_deref()).take(LONGEST) {
            if !fixed.contains(&version) {
                fixed.push(version);
            }
        }
        let names = || std::iter::once(&self.id).chain(&self.aliases);
        let others = self.aliases.iter().filter(|alias| text::cve(alias).is_none()).cloned();
        let path = origin.path.as_deref().unwrap_or_default();
        let kind = origin.kind.as_deref().unwrap_or_default();
        let purl = of_package.iter().find_map(|one| one.package.purl.as_deref());
        let analysis = group.and_then(|group| group.analysis.get(&self.id));
        let state = match analysis {
            Some(analysis) if analysis.called == Some(false) => "uncalled",
            Some(analysis) if analysis.unimportant == Some(true) => "unimportant",
            _ => "",
        };
        let cwes = self.database_specific.cwe_ids.as_array().into_iter().flatten();
        Reported {
            asset: ReportedAsset {
                name: by_caller.unwrap_or(path).to_owned(),
                kind: Some(match kind {
                    "docker" | "image" => "container_image".to_owned(),
                    _ => "repository".to_owned(),
                }),
            },
            identity: vec![
                path.to_owned(),
                about.ecosystem.clone().unwrap_or_default(),
                about.name.clone(),
                group.and_then(|group| group.name.as_deref()).unwrap_or(&self.id).to_owned(),
            ],
            title: match self.summary.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
                Some(summary) => summary.to_owned(),
                None => format!("{} in {}", self.id, about.name),
            },
            description: self.details.clone(),
            severity,
            scanner_category: about.ecosystem.clone(),
            scanner_reference: Some(self.id.clone()),
            vulnerability_type: Some(
                if malicious { "malicious_package" } else { "vulnerable_package" }.to_owned(),
            ),
            cvss_score: rating.score,
            cvss_vector: rating.vector,
            cve_ids: names().filter_map(|id| text::cve(id)).collect(),
            cwe_ids: cwes.filter_map(|cwe| text::cwe(cwe.as_str()?)).collect(),
            component_name: Some(about.name.clone()),
            component_version: about.version.clone(),
            component_purl: purl.map(|purl| match (Purl::parse(purl), about.version.as_deref()) {
                (Some(Purl { version: None, .. }), Some(version)) => package::with_version(purl, version),
                _ => purl.to_owned(),
            }),
            fix_available: (!of_package.is_empty()).then_some(!fixed.is_empty()),
            fixed_version: Some(fixed.join(", ")),
            file_path: Some(path.to_owned()),
            references: self.references.iter().filter_map(|reference| reference.url.clone()).collect(),
            tags: std::iter::once(kind.to_owned()).chain(others).collect(),
            verdict: vex::verdict(Vocabulary::OsvScanner, state, Some(state), None, None),
            ..Reported::default()
        }
    }
}

/// Versions that are looked at for what fixes a vulnerability.
const LONGEST: usize = 1_000;

impl Affected {
    fn is_of(&self, about: &About) -> bool {
        let ecosystem = |text: &Option<String>| {
            text.as_deref().unwrap_or_default().split(':').next().unwrap_or_default().to_ascii_lowercase()
        };
        self.package.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&about.name))
            && ecosystem(&self.package.ecosystem) == ecosystem(&about.ecosystem)
    }
}

impl WrittenGroup {
    /// By what the vulnerability is known, whichever of its ids a database leads with.
    fn name(&self) -> Option<&str> {
        let all = || self.ids.iter().chain(&self.aliases).map(String::as_str);
        all().filter(|id| text::cve(id).is_some()).min().or_else(|| all().min())
    }
}
