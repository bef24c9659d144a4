//! An event, and the findings in it.

use serde::Deserialize;

use crate::error::Result;
use crate::intake::formats::records::Record;
use crate::intake::json::or_default;
use crate::intake::lenient::Texts;
use crate::intake::place::Meter;
use crate::intake::report::{Reported, ReportedAsset, Verdict};
use crate::intake::text;
use crate::intake::vex::{self, Vocabulary};
use crate::vocabulary::terms::{FindingClass, Severity};
use crate::vocabulary::time::Timestamp;

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Event {
    class_uid: Texts,
    class_name: Texts,
    activity_id: Texts,
    severity_id: Texts,
    status_id: Texts,
    status: Texts,
    status_code: Texts,
    status_detail: Texts,
    verdict_id: Texts,
    verdict: Texts,
    comment: Texts,
    message: Texts,
    confidence: Texts,
    src_url: Texts,
    time: Texts,
    time_dt: Texts,
    metadata: Option<Metadata>,
    #[serde(alias = "finding")]
    finding_info: Option<Info>,
    compliance: Option<Compliance>,
    remediation: Option<Remediation>,
    cloud: Option<Cloud>,
    device: Option<Device>,
    #[serde(deserialize_with = "or_default")]
    resources: Vec<Resource>,
    #[serde(deserialize_with = "or_default")]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    event_code: Texts,
    product: Option<Named>,
}

/// Something with an id and a name.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    uid: Texts,
    name: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    uid: Texts,
    title: Texts,
    desc: Texts,
    types: Texts,
    analytic: Option<Named>,
    first_seen_time: Texts,
    created_time: Texts,
    src_url: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Compliance {
    control: Texts,
    status: Texts,
    status_id: Texts,
    status_detail: Texts,
    standards: Texts,
    requirements: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Remediation {
    desc: Texts,
    references: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cloud {
    account: Option<Named>,
    region: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Device {
    hostname: Texts,
    name: Texts,
    ip: Texts,
    uid: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    uid: Texts,
    name: Texts,
    #[serde(rename = "type")]
    kind: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Vulnerability {
    title: Texts,
    desc: Texts,
    cve: Option<Cve>,
    cwe: Option<Named>,
    references: Texts,
    remediation: Option<Remediation>,
    first_seen_time: Texts,
    is_exploit_available: Option<bool>,
    #[serde(alias = "fix_available")]
    is_fix_available: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    affected_packages: Vec<Package>,
    #[serde(deserialize_with = "or_default")]
    packages: Vec<Package>,
    #[serde(deserialize_with = "or_default")]
    affected_code: Vec<Code>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cve {
    uid: Texts,
    desc: Texts,
    title: Texts,
    references: Texts,
    cwe_uid: Texts,
    cwe: Option<Named>,
    #[serde(deserialize_with = "or_default")]
    related_cwes: Vec<Named>,
    #[serde(deserialize_with = "scores")]
    cvss: Vec<Cvss>,
    epss: Option<Epss>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cvss {
    version: Texts,
    base_score: Texts,
    vector_string: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Epss {
    score: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Package {
    name: Texts,
    version: Texts,
    fixed_in_version: Texts,
    purl: Texts,
    path: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Code {
    file: Option<File>,
    start_line: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    path: Texts,
    name: Texts,
}

/// The first version of the schema had one score, not a list of them.
fn scores<'de, D: serde::Deserializer<'de>>(json: D) -> Result<Vec<Cvss>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scores {
        Several(Vec<Cvss>),
        One(Cvss),
    }
    Ok(match Option::deserialize(json)? {
        None => Vec::new(),
        Some(Scores::Several(scores)) => scores,
        Some(Scores::One(score)) => vec![score],
    })
}

impl Event {
    /// The class of the findings in it; `None` where it has none, or says that all is well.
    pub fn class(&self, meter: &Meter) -> Result<Option<FindingClass>> {
        let Some(uid) = self.class_uid.number::<i64>() else {
            return Err(meter.malformed("an event has no `class_uid`"));
        };
        let class = match uid {
            2002 => FindingClass::Vulnerability,
            2003 => FindingClass::Compliance,
            2004 => FindingClass::Detection,
            2001 | 2007 if !self.vulnerabilities.is_empty() => FindingClass::Vulnerability,
            2001 | 2007 if self.compliance.is_some() => FindingClass::Compliance,
            2001 | 2007 => FindingClass::Detection,
            _ => return Ok(None),
        };
        let passed = |word: &Texts| matches!(word.word().to_ascii_uppercase().as_str(), "PASS" | "PASSED");
        let check = self.compliance.as_ref();
        let is_well = check.is_some_and(|check| check.status_id.word() == "1" || passed(&check.status));
        Ok(Some(class).filter(|_| !is_well && !passed(&self.status_code)))
    }

    pub fn time(&self) -> Option<Timestamp> {
        text::time(self.time_dt.word()).or_else(|| text::time(self.time.word()))
    }

    /// The name of what found it, in lower case.
    pub fn product(&self) -> Option<String> {
        let product = self.metadata.as_ref()?.product.as_ref()?;
        product.name.first().map(|name| text::beginning(&name.to_lowercase(), text::LINE).to_owned())
    }

    /// Hands over a finding for each vulnerability, or the one that the event is.
    pub fn reported(
        mut self,
        class: FindingClass,
        record: &Record<'_>,
        each: &mut dyn FnMut(Reported) -> Result<()>,
    ) -> Result<()> {
        let vulnerabilities = std::mem::take(&mut self.vulnerabilities);
        let event = self.common(class, record)?;
        let mut known = |reported: Reported| {
            if reported.identity.iter().all(String::is_empty) {
                return Err(record.meter.malformed("a finding has neither an id nor a title"));
            }
            each(reported)
        };
        if vulnerabilities.is_empty() {
            return known(event);
        }
        vulnerabilities.into_iter().try_for_each(|vulnerability| known(vulnerability.of(event.clone())))
    }

    /// What all findings of the event have in common.
    fn common(self, class: FindingClass, record: &Record<'_>) -> Result<Reported> {
        let severity = match self.severity_id.word() {
            "" | "0" | "1" | "99" => Severity::Info,
            "2" => Severity::Low,
            "3" => Severity::Medium,
            "4" => Severity::High,
            "5" | "6" => Severity::Critical,
            _ => return Err(record.meter.malformed("`severity_id` is not one of OCSF's")),
        };
        let verdict = self.judged();
        let asset = self.asset(record.asset);
        let info = self.finding_info.unwrap_or_default();
        let check = self.compliance.unwrap_or_default();
        let analytic = info.analytic.unwrap_or_default();
        let code = self.metadata.map(|metadata| metadata.event_code).unwrap_or_default();
        let reference =
            [&check.control, &analytic.uid, &analytic.name, &code].into_iter().find_map(Texts::first);
        let title = info.title.first().or(self.message.first()).unwrap_or_default();
        let identity = match info.uid.first() {
            Some(uid) => vec![uid.to_owned()],
            None => vec![reference.unwrap_or_default().to_owned(), title.to_owned()],
        };
        let remediation = self.remediation.unwrap_or_default();
        let detail = check.status_detail.first().or(self.status_detail.first()).unwrap_or_default();
        let region = self.cloud.map(|cloud| cloud.region).unwrap_or_default();
        let confidence = self.confidence.first().map(|word| format!("confidence:{}", word.to_lowercase()));
        Ok(Reported {
            asset,
            identity,
            class,
            title: title.to_owned(),
            description: text::paragraphs([info.desc.word(), detail]),
            severity,
            scanner_category: info.types.first().or(self.class_name.first()).map(str::to_owned),
            scanner_reference: reference.map(str::to_owned),
            references: [remediation.references, self.src_url, info.src_url]
                .into_iter()
                .flat_map(|texts| texts.0)
                .collect(),
            tags: check
                .standards
                .0
                .into_iter()
                .chain(check.requirements.0)
                .chain(confidence)
                .chain(region.0)
                .collect(),
            remediation: remediation.desc.into_first(),
            first_seen_at: info.first_seen_time.first().or(info.created_time.first()).and_then(text::time),
            excerpt: record.excerpt(),
            verdict,
            ..Reported::default()
        })
    }

    fn asset(&self, by_caller: Option<&str>) -> ReportedAsset {
        let named = |name: &str, kind: Option<String>| ReportedAsset { name: name.to_owned(), kind };
        if let Some(resource) = self.resources.first()
            && let Some(name) = resource.uid.first().or(resource.name.first())
        {
            return named(name, text::kind(resource.kind.word()));
        }
        if let Some(device) = &self.device
            && let Some(name) =
                [&device.hostname, &device.name, &device.ip, &device.uid].into_iter().find_map(Texts::first)
        {
            return named(name, Some("host".to_owned()));
        }
        let account = self.cloud.as_ref().and_then(|cloud| cloud.account.as_ref()?.uid.first());
        match (by_caller, account) {
            (Some(name), _) => named(name, None),
            (None, Some(name)) => named(name, Some("account".to_owned())),
            (None, None) => ReportedAsset::default(),
        }
    }

    fn judged(&self) -> Option<Verdict> {
        let why = match (self.verdict_id.word(), self.status_id.word(), self.activity_id.word()) {
            ("1", ..) => "false positive",
            ("5", ..) => "benign",
            ("6", ..) => "test",
            ("3", ..) => "disregard",
            (_, "3", _) => "suppressed",
            (_, "4", _) => "resolved",
            (_, "5", _) => "archived",
            (_, "6", _) => "deleted",
            (.., "3") => "closed",
            // Some products write the words without their numbers.
            _ if self.verdict.word().eq_ignore_ascii_case("False Positive") => "false positive",
            _ if self.status.word().eq_ignore_ascii_case("Suppressed") => "suppressed",
            _ if self.status.word().eq_ignore_ascii_case("Resolved") => "resolved",
            _ => return None,
        };
        vex::verdict(Vocabulary::Ocsf, why, Some(why), self.comment.first().map(str::to_owned), None)
    }
}

impl Vulnerability {
    /// The finding of `event` that this vulnerability is.
    fn of(self, event: Reported) -> Reported {
        let cve = self.cve.unwrap_or_default();
        let id = cve.uid.first().map(str::to_owned);
        let title = [&self.title, &cve.title].into_iter().find_map(Texts::first).map(str::to_owned);
        let description = [&self.desc, &cve.desc].into_iter().find_map(Texts::first).map(str::to_owned);
        let package = self.affected_packages.into_iter().chain(self.packages).next().unwrap_or_default();
        let code = self.affected_code.into_iter().next().unwrap_or_default();
        let file = code.file.unwrap_or_default();
        let remediation = self.remediation.unwrap_or_default();
        let cwes =
            [self.cwe, cve.cwe].into_iter().flatten().chain(cve.related_cwes).flat_map(|cwe| cwe.uid.0);
        let score = |version: &str| cve.cvss.iter().find(|cvss| cvss.version.word().starts_with(version));
        let best = score("3").or_else(|| score("4")).or_else(|| score("2")).or(cve.cvss.first());
        let subject = id.clone().or_else(|| title.clone()).unwrap_or_default();
        let fixed_version = package.fixed_in_version.into_first();
        Reported {
            identity: event.identity.into_iter().chain([subject]).collect(),
            title: title
                .or(Some(event.title).filter(|title| !title.is_empty()))
                .or(id.clone())
                .unwrap_or_default(),
            description: description.or(event.description),
            cvss_score: best.and_then(|cvss| cvss.base_score.number()),
            cvss_vector: best.and_then(|cvss| cvss.vector_string.first()).map(str::to_owned),
            epss_score: cve.epss.and_then(|epss| epss.score.number()),
            known_exploit: self.is_exploit_available,
            cve_ids: cve.uid.iter().filter_map(text::cve).collect(),
            cwe_ids: cwes.chain(cve.cwe_uid.0).filter_map(|id| text::cwe(&id)).collect(),
            scanner_reference: id.or(event.scanner_reference),
            component_name: package.name.into_first(),
            component_version: package.version.into_first(),
            component_purl: package.purl.into_first(),
            fix_available: self.is_fix_available.or(fixed_version.is_some().then_some(true)),
            fixed_version,
            file_path: [file.path, file.name, package.path].into_iter().find_map(Texts::into_first),
            line: code.start_line.filter(|line| *line > 0),
            references: [self.references, cve.references, remediation.references]
                .into_iter()
                .flat_map(|texts| texts.0)
                .chain(event.references)
                .collect(),
            remediation: remediation.desc.into_first().or(event.remediation),
            first_seen_at: text::time(self.first_seen_time.word()).or(event.first_seen_at),
            ..event
        }
    }
}
