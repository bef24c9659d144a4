//! Nuclei's results: JSON lines (`-jsonl`) or an array of the same (`-json-export`).

use serde::Deserialize;

use crate::error::Result;
use crate::intake::format::{Emit, Entry};
use crate::intake::formats::records::{self, Record, Seen, Shape};
use crate::intake::lenient::Texts;
use crate::intake::report::{Reported, ReportedAsset};
use crate::intake::text;
use crate::intake::web::{self, Address};
use crate::vocabulary::terms::Severity;

pub const FORMAT: Entry = Entry {
    key: "NUCLEI_JSON",
    label: "Nuclei JSON lines or array",
    media_types: &["application/jsonl", "application/x-ndjson", "application/json"],
    extensions: &["jsonl", "ndjson", "json"],
    scanner: "nuclei",
    counting: "Each result, except those whose `matcher-status` is false, which say that nothing was found. Results of the \
         same template and matcher at the same place are one finding, whatever they extracted. An empty file is a report \
         without findings (it has to be named, there is nothing to tell it by).",
    identity: "`template-id`, `matcher-name`, `extractor-name` and `matched-at`, or else the host.",
    asset: "The host name or address in `host`, or else in `url`, `matched-at` or `ip`.",
    required: "`template-id` (`templateID`) of each result.",
    severities: &[
        ("info, unknown, absent", "info"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("critical", "critical"),
    ],
    fields: &[
        ("title", "`info.name`, with the `matcher-name`; or else the template's id"),
        ("description", "`info.description`, `info.impact`, and `extracted-results`"),
        ("remediation", "`info.remediation`"),
        ("scanner_category", "`type`"),
        ("scanner_reference", "`template-id`"),
        ("cvss_score, cvss_vector", "`info.classification`: `cvss-score`, `cvss-metrics`"),
        ("epss_score", "`info.classification.epss-score`"),
        ("cve_ids", "`info.classification.cve-id`, and the template's id where it is one"),
        ("cwe_ids", "`info.classification.cwe-id`"),
        ("known_exploit", "true where the template has the tag `kev`"),
        ("endpoint, port", "`matched-at`, or else the host; `port`, or else the port there"),
        ("references", "`info.reference`, `template-url`"),
        ("tags", "`info.tags`"),
        ("excerpt", "`request` and `response`, or else the beginning of the result"),
        ("time of the scan", "the latest `timestamp`"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| head.has("info") && (head.has("template-id") || head.has("templateID")),
    reader: |plan| Ok(records::reader(plan, SHAPE)),
};

const SHAPE: Shape = Shape { scanner: FORMAT.scanner, member: None, may_be_empty: true, read };

/// A result as it is written; the names with underscores are those of the first versions.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Written {
    #[serde(alias = "templateID")]
    template_id: Texts,
    template_url: Texts,
    info: Option<Info>,
    #[serde(alias = "matcher_name")]
    matcher_name: Texts,
    #[serde(alias = "extractor_name")]
    extractor_name: Texts,
    #[serde(rename = "type")]
    kind: Texts,
    host: Texts,
    port: Texts,
    url: Texts,
    ip: Texts,
    #[serde(alias = "matched")]
    matched_at: Texts,
    #[serde(alias = "extracted_results")]
    extracted_results: Texts,
    request: Texts,
    response: Texts,
    timestamp: Texts,
    matcher_status: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    name: Texts,
    severity: Texts,
    description: Texts,
    impact: Texts,
    remediation: Texts,
    reference: Texts,
    tags: Texts,
    classification: Option<Classification>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Classification {
    cve_id: Texts,
    cwe_id: Texts,
    cvss_metrics: Texts,
    cvss_score: Texts,
    epss_score: Texts,
}

fn read(record: &Record<'_>, seen: &mut Seen, emit: Emit<'_>) -> Result<()> {
    let read: Written = record.raw.parse(record.meter)?;
    let Some(template) = read.template_id.first() else {
        return Err(record.meter.malformed("a result has no `template-id`"));
    };
    let info = read.info.unwrap_or_default();
    let severity = match info.severity.word().to_ascii_lowercase().as_str() {
        "" | "info" | "unknown" => Severity::Info,
        "low" => Severity::Low,
        "medium" => Severity::Medium,
        "high" => Severity::High,
        "critical" => Severity::Critical,
        other => {
            let other = text::beginning(other, 80);
            return Err(record.meter.malformed(format_args!("`{other}` is not a severity of Nuclei")));
        }
    };
    seen.scanned_at = seen.scanned_at.max(text::time(read.timestamp.word()));
    if read.matcher_status == Some(false) {
        return Ok(());
    }
    let places = [&read.host, &read.url, &read.matched_at, &read.ip];
    let host = places.into_iter().find_map(|place| Address::of(place.word()));
    let matched = read.matched_at.first().or(read.host.first());
    let port = read
        .port
        .number()
        .or_else(|| Address::of(matched?)?.port)
        .or(host.as_ref().and_then(|host| host.port));
    let classification = info.classification.unwrap_or_default();
    let matcher = read.matcher_name.word();
    let title = info.name.first().unwrap_or(template);
    let extracted = read.extracted_results.0.join("\n");
    let references =
        info.reference.iter().flat_map(str::lines).map(|line| line.trim_start_matches(['-', ' ']).to_owned());
    let tags: Vec<String> = info.tags.parts().map(str::to_owned).collect();
    let reported = Reported {
        asset: ReportedAsset {
            name: host.map_or_else(String::new, |host| host.host),
            kind: Some("host".to_owned()),
        },
        identity: [template, matcher, read.extractor_name.word(), matched.unwrap_or_default()]
            .map(str::to_owned)
            .to_vec(),
        title: if matcher.is_empty() { title.to_owned() } else { format!("{title}: {matcher}") },
        description: text::paragraphs([info.description.word(), info.impact.word(), &extracted]),
        severity,
        scanner_category: read.kind.into_first(),
        scanner_reference: Some(template.to_owned()),
        cvss_score: classification.cvss_score.number(),
        cvss_vector: classification.cvss_metrics.into_first(),
        epss_score: classification.epss_score.number(),
        known_exploit: tags.iter().any(|tag| tag == "kev").then_some(true),
        cve_ids: classification.cve_id.parts().filter_map(text::cve).chain(text::cve(template)).collect(),
        cwe_ids: classification.cwe_id.parts().filter_map(text::cwe).collect(),
        endpoint: matched.map(str::to_owned),
        port,
        references: references.chain(read.template_url.0).collect(),
        tags,
        remediation: info.remediation.into_first(),
        excerpt: web::exchange(read.request.word(), read.response.word()).or_else(|| record.excerpt()),
        ..Reported::default()
    };
    emit(FORMAT.scanner, reported)
}
