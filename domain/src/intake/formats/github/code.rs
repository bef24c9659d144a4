//! Alerts of code scanning.

use serde::Deserialize;

use super::{ASSET, Closed, Repository, User, asset};
use crate::error::Result;
use crate::intake::format::{Emit, Entry};
use crate::intake::formats::records::{self, Record, Seen, Shape};
use crate::intake::lenient::Texts;
use crate::intake::report::Reported;
use crate::intake::text;
use crate::intake::vex::Vocabulary;
use crate::vocabulary::terms::Severity;

pub const FORMAT: Entry = Entry {
    key: "GITHUB_CODE_SCANNING",
    label: "GitHub code scanning alerts",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "github code scanning",
    counting: "Each alert, of the pages of the API one after the other too. Alerts that are fixed or dismissed are findings with \
         a verdict.",
    identity: "The alert's number: GitHub follows an alert through the changes of its file.",
    asset: ASSET,
    required: "`number` and `rule` of each alert.",
    severities: &[
        ("security_severity_level critical", "critical"),
        ("security_severity_level high; else severity error", "high"),
        ("security_severity_level medium; else severity warning", "medium"),
        ("security_severity_level low; else severity note", "low"),
        ("severity none, absent", "info"),
    ],
    fields: &[
        ("title", "`rule.description`, or else its `name` or `id`"),
        ("description", "`most_recent_instance.message.text`, and `rule.full_description`"),
        ("remediation", "`rule.help`"),
        ("scanner_category", "`tool.name`"),
        ("scanner_reference", "`rule.id`"),
        ("cve_ids, cwe_ids", "`rule.id` where it is a CVE id; tags with a CWE id"),
        ("file_path, line", "the location of `most_recent_instance`"),
        ("references", "`html_url`, `rule.help_uri`"),
        ("tags", "`rule.tags`, and the `classifications` of the instance"),
        ("first_seen_at", "`created_at`"),
        ("excerpt", "the beginning of the alert"),
        (
            "verdict",
            "FIXED for the state fixed. FALSE_POSITIVE for dismissed as false positive; ACCEPTED_RISK for dismissed for any other reason \
             (won't fix, used in tests). `dismissed_comment` is the statement, `dismissed_by` the author",
        ),
        ("time of the scan", "the latest `updated_at`"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| head.has("most_recent_instance") && head.has("rule"),
    reader: |plan| Ok(records::reader(plan, SHAPE)),
};

const SHAPE: Shape = Shape { scanner: FORMAT.scanner, member: None, may_be_empty: false, read };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Alert {
    number: Texts,
    state: Texts,
    html_url: Texts,
    created_at: Texts,
    updated_at: Texts,
    dismissed_by: Option<User>,
    dismissed_reason: Texts,
    dismissed_comment: Texts,
    rule: Option<Rule>,
    tool: Option<Tool>,
    most_recent_instance: Option<Instance>,
    repository: Option<Repository>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    id: Texts,
    name: Texts,
    severity: Texts,
    security_severity_level: Texts,
    description: Texts,
    full_description: Texts,
    tags: Texts,
    help: Texts,
    help_uri: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool {
    name: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Instance {
    message: Option<Message>,
    location: Option<Location>,
    classifications: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    text: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    path: Texts,
    start_line: Option<u32>,
}

fn read(record: &Record<'_>, seen: &mut Seen, emit: Emit<'_>) -> Result<()> {
    let read: Alert = record.raw.parse(record.meter)?;
    let (Some(number), Some(rule)) = (read.number.first(), read.rule) else {
        return Err(record.meter.malformed("an alert has no `number` or no `rule`"));
    };
    let severity = match (rule.security_severity_level.word(), rule.severity.word()) {
        ("critical", _) => Severity::Critical,
        ("high", _) | ("", "error") => Severity::High,
        ("medium", _) | ("", "warning") => Severity::Medium,
        ("low", _) | ("", "note") => Severity::Low,
        ("", "" | "none") => Severity::Info,
        _ => return Err(record.meter.malformed("the severity of the rule is not one of GitHub's")),
    };
    seen.scanned_at = seen.scanned_at.max(text::time(read.updated_at.word()));
    let closed =
        Closed { reason: read.dismissed_reason, comment: read.dismissed_comment, by: read.dismissed_by };
    let state = read.state.word();
    let instance = read.most_recent_instance.unwrap_or_default();
    let location = instance.location.unwrap_or_default();
    let message = instance.message.unwrap_or_default();
    let title = [&rule.description, &rule.name, &rule.id].into_iter().find_map(Texts::first);
    emit(
        FORMAT.scanner,
        Reported {
            asset: asset(read.repository, read.html_url.word(), record.asset),
            identity: vec![number.to_owned()],
            title: title.map_or_else(|| format!("Alert {number}"), str::to_owned),
            description: text::paragraphs([message.text.word(), rule.full_description.word()]),
            severity,
            scanner_category: read.tool.and_then(|tool| tool.name.into_first()),
            cve_ids: rule.id.iter().filter_map(text::cve).collect(),
            cwe_ids: rule
                .tags
                .iter()
                .filter(|tag| tag.to_ascii_lowercase().contains("cwe"))
                .filter_map(text::cwe)
                .collect(),
            scanner_reference: rule.id.into_first(),
            file_path: location.path.into_first(),
            line: location.start_line.filter(|line| *line > 0),
            references: read.html_url.0.into_iter().chain(rule.help_uri.0).collect(),
            tags: rule.tags.0.into_iter().chain(instance.classifications.0).collect(),
            remediation: rule.help.into_first(),
            first_seen_at: text::time(read.created_at.word()),
            excerpt: record.excerpt(),
            verdict: closed.verdict(Vocabulary::CodeScanning, state),
            ..Reported::default()
        },
    )
}
