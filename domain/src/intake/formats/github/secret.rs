//! Alerts of secret scanning. The secret itself is never kept.

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
    key: "GITHUB_SECRET_SCANNING",
    label: "GitHub secret scanning alerts",
    media_types: &["application/json"],
    extensions: &["json"],
    scanner: "github secret scanning",
    counting: "Each alert, of the pages of the API one after the other too. Resolved alerts are findings with a verdict.",
    identity: "The alert's number.",
    asset: ASSET,
    required: "`number` and `secret_type` of each alert.",
    severities: &[("validity active", "critical"), ("any other validity, absent", "high")],
    fields: &[
        ("title", "`secret_type_display_name`, or else `secret_type`"),
        ("vulnerability_type", "`secret`"),
        ("scanner_reference", "`secret_type`"),
        ("file_path, line", "`first_location_detected`"),
        ("references", "`html_url`"),
        (
            "tags",
            "`validity:` with the `validity`; `publicly_leaked`, `push_protection_bypassed` where they are true",
        ),
        ("first_seen_at", "`created_at`"),
        ("excerpt", "none: the alert has the secret in it"),
        (
            "verdict",
            "for resolved alerts: FIXED for revoked; FALSE_POSITIVE for false_positive, pattern_edited and pattern_deleted; ACCEPTED_RISK for \
             any other reason (wont_fix, used_in_tests). `resolution_comment` is the statement, `resolved_by` the author",
        ),
        ("time of the scan", "the latest `updated_at`"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| head.has("secret_type") && head.has("number"),
    reader: |plan| Ok(records::reader(plan, SHAPE)),
};

const SHAPE: Shape = Shape { scanner: FORMAT.scanner, member: None, may_be_empty: false, read };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Alert {
    number: Texts,
    state: Texts,
    resolution: Texts,
    resolution_comment: Texts,
    resolved_by: Option<User>,
    secret_type: Texts,
    secret_type_display_name: Texts,
    validity: Texts,
    publicly_leaked: Option<bool>,
    push_protection_bypassed: Option<bool>,
    html_url: Texts,
    created_at: Texts,
    updated_at: Texts,
    first_location_detected: Option<Location>,
    repository: Option<Repository>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    path: Texts,
    start_line: Option<u32>,
}

fn read(record: &Record<'_>, seen: &mut Seen, emit: Emit<'_>) -> Result<()> {
    let read: Alert = record.raw.parse(record.meter)?;
    let (Some(number), Some(kind)) = (read.number.first(), read.secret_type.first()) else {
        return Err(record.meter.malformed("an alert has no `number` or no `secret_type`"));
    };
    seen.scanned_at = seen.scanned_at.max(text::time(read.updated_at.word()));
    let closed = Closed { reason: read.resolution, comment: read.resolution_comment, by: read.resolved_by };
    let state = read.state.word();
    let location = read.first_location_detected.unwrap_or_default();
    let flags = [
        (read.publicly_leaked, "publicly_leaked"),
        (read.push_protection_bypassed, "push_protection_bypassed"),
    ];
    emit(
        FORMAT.scanner,
        Reported {
            asset: asset(read.repository, read.html_url.word(), record.asset),
            identity: vec![number.to_owned()],
            title: read.secret_type_display_name.first().unwrap_or(kind).to_owned(),
            severity: if read.validity.word() == "active" { Severity::Critical } else { Severity::High },
            scanner_reference: Some(kind.to_owned()),
            vulnerability_type: Some("secret".to_owned()),
            file_path: location.path.into_first(),
            line: location.start_line.filter(|line| *line > 0),
            tags: read
                .validity
                .first()
                .map(|validity| format!("validity:{validity}"))
                .into_iter()
                .chain(flags.into_iter().filter(|(is, _)| *is == Some(true)).map(|(_, flag)| flag.to_owned()))
                .collect(),
            references: read.html_url.0,
            first_seen_at: text::time(read.created_at.word()),
            verdict: closed.verdict(Vocabulary::SecretScanning, state),
            ..Reported::default()
        },
    )
}
