//! Findings in the Open Cybersecurity Schema Framework.

mod event;

use crate::error::Result;
use crate::intake::format::{Emit, Entry};
use crate::intake::formats::ocsf::event::Event;
use crate::intake::formats::records::{self, Record, Seen, Shape};

pub const FORMAT: Entry = Entry {
    key: "OCSF",
    label: "OCSF findings",
    media_types: &["application/json", "application/jsonl"],
    extensions: &["json", "jsonl", "ndjson", "ocsf.json"],
    scanner: "ocsf",
    counting: "Each event of a class of findings (2001 security, 2002 vulnerability, 2003 compliance, 2004 detection, 2007 \
         application security posture), once for each of its `vulnerabilities`; events of other classes are left out. A check that \
         passed (`compliance.status_id` 1, `compliance.status` or `status_code` PASS) is not a finding. Suppressed and closed \
         findings are findings with a verdict. Events about the same finding are one finding.",
    identity: "`finding_info.uid` (`finding.uid`), or else the check and the title; with the id of the vulnerability.",
    asset: "`uid` of the first of `resources`, or else its `name`; or else `hostname`, `name`, `ip` or `uid` of `device`; or \
         else the asset that the caller names, or the account.",
    required: "`class_uid` of each event; of a finding `uid` or `title` of `finding_info`, or a vulnerability.",
    severities: &[
        ("0 unknown, 1 informational, 99 other, absent", "info"),
        ("2", "low"),
        ("3", "medium"),
        ("4", "high"),
        ("5, 6 fatal", "critical"),
    ],
    fields: &[
        (
            "scanner",
            "`metadata.product.name` in lower case; findings of a product other than the first's have its name in their fingerprint and in the tag `scanner:name`",
        ),
        (
            "class",
            "by the class; for 2001 and 2007 VULNERABILITY where there are `vulnerabilities`, COMPLIANCE where there is `compliance`, else DETECTION",
        ),
        ("title", "`title` of the vulnerability, or else of `finding_info`, or else `message`"),
        ("description", "`desc` of the vulnerability, or else of `finding_info`; `status_detail`"),
        ("scanner_category", "the first of `finding_info.types`, or else `class_name`"),
        (
            "scanner_reference",
            "the CVE, or else `compliance.control`, `finding_info.analytic`, `metadata.event_code`",
        ),
        ("cvss_score, cvss_vector, epss_score", "`cve.cvss`: version 3 or else 4 or else 2; `cve.epss`"),
        ("cve_ids, cwe_ids", "`cve.uid`; `cwe`, `cve.cwe_uid`, `cve.related_cwes`"),
        ("known_exploit, fix_available", "`is_exploit_available`, `is_fix_available` (`fix_available`)"),
        (
            "component_name, component_version, component_purl, fixed_version",
            "the first of `affected_packages`, or else `packages`",
        ),
        ("file_path, line", "the first of `affected_code`, or else the package's `path`"),
        ("remediation", "`remediation.desc` of the vulnerability, or else of the event"),
        ("references", "of the vulnerability, of its `cve`, of the `remediation`; `src_url`"),
        (
            "tags",
            "`compliance.standards`, `compliance.requirements`, `confidence:` with `confidence`, the region",
        ),
        (
            "first_seen_at",
            "`first_seen_time` of the vulnerability or of `finding_info`, or else `created_time`",
        ),
        ("excerpt", "the beginning of the event"),
        (
            "verdict",
            "FALSE_POSITIVE for the `verdict_id` 1 false positive, 5 benign and 6 test; else ACCEPTED_RISK for 3 disregard; else \
             FALSE_POSITIVE for the `status_id` 3 suppressed, which OCSF keeps for what is benign; else FIXED for 4 resolved, \
             5 archived and 6 deleted, and for the `activity_id` 3 close. `comment` is the statement",
        ),
        ("time of the scan", "the latest `time`"),
    ],
    mapped: false,
    vex: None,
    sniff: |head| head.has("class_uid"),
    reader: |plan| Ok(records::reader(plan, SHAPE)),
};

const SHAPE: Shape = Shape { scanner: FORMAT.scanner, member: None, may_be_empty: false, read };

fn read(record: &Record<'_>, seen: &mut Seen, emit: Emit<'_>) -> Result<()> {
    let event: Event = record.raw.parse(record.meter)?;
    let Some(class) = event.class(record.meter)? else { return Ok(()) };
    seen.scanned_at = seen.scanned_at.max(event.time());
    let scanner = event.product().unwrap_or_else(|| FORMAT.scanner.to_owned());
    let first = seen.scanner.get_or_insert_with(|| scanner.clone());
    let tag = (*first != scanner).then(|| format!("scanner:{scanner}"));
    event.reported(class, record, &mut |mut reported| {
        reported.tags.extend(tag.clone());
        emit(&scanner, reported)
    })
}
