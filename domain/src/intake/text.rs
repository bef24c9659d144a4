//! The form that every reported value is brought into before anything else sees it: texts trimmed
//! and without U+0000, never empty, cut to their bounds; lists without doubles; numbers in range.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDateTime};

use crate::intake::cvss;
use crate::intake::report::{Reported, ReportedAsset};
use crate::vocabulary::terms::{Severity, Term};
use crate::vocabulary::time::Timestamp;

/// Characters of a title, an asset's name and every other one-line text.
pub const LINE: usize = 500;
/// Bytes of a description or a remediation.
pub const PAGE: usize = 32 << 10;
/// Bytes of one entry of a list.
pub const REFERENCE: usize = 2 << 10;
/// Bytes of an excerpt.
pub const EXCERPT: usize = 4 << 10;

/// Brings everything in `reported` into its form. `list` is what is kept of one list.
pub fn tidy(reported: &mut Reported, list: usize) {
    let Reported {
        asset: ReportedAsset { name, kind },
        identity,
        class: _,
        title,
        description,
        severity: _,
        scanner_category,
        scanner_reference,
        vulnerability_type,
        cvss_score,
        cvss_vector,
        epss_score,
        known_exploit: _,
        cve_ids,
        cwe_ids,
        endpoint,
        port: _,
        component_name,
        component_version,
        component_purl,
        fixed_version,
        fix_available: _,
        file_path,
        line: _,
        references,
        tags,
        remediation,
        first_seen_at: _,
        excerpt,
        verdict,
        vex,
    } = reported;
    for text in [name, title] {
        clean(text);
        cut_chars(text, LINE);
    }
    for text in [
        kind,
        scanner_category,
        scanner_reference,
        vulnerability_type,
        cvss_vector,
        endpoint,
        component_name,
        component_version,
        component_purl,
        fixed_version,
        file_path,
    ] {
        optional(text, |text| cut_chars(text, LINE));
    }
    optional(description, |text| cut_bytes(text, PAGE));
    optional(remediation, |text| cut_bytes(text, PAGE));
    optional(excerpt, |text| cut_bytes(text, EXCERPT));
    if let Some(verdict) = verdict {
        optional(&mut verdict.justification, |text| cut_chars(text, LINE));
        optional(&mut verdict.author, |text| cut_chars(text, LINE));
        optional(&mut verdict.statement, |text| cut_bytes(text, PAGE));
    }
    if let Some(vex) = vex {
        for text in [&mut vex.product.name, &mut vex.state] {
            clean(text);
            cut_chars(text, LINE);
        }
        optional(&mut vex.product.purl, |text| cut_chars(text, LINE));
        distinct(&mut vex.vulnerabilities, list);
    }
    identity.iter_mut().for_each(clean);
    for values in [cve_ids, cwe_ids, references, tags] {
        distinct(values, list);
    }
    *cvss_score = cvss_score
        .filter(|score| (0.0..=10.0).contains(score))
        .or_else(|| cvss::score(cvss_vector.as_deref()?));
    *epss_score = epss_score.filter(|score| (0.0..=1.0).contains(score));
}

fn clean(text: &mut String) {
    if text.contains('\0') {
        text.retain(|c| c != '\0');
    }
    text.truncate(text.trim_end().len());
    let before = text.len() - text.trim_start().len();
    if before > 0 {
        text.drain(..before);
    }
}

fn optional(text: &mut Option<String>, cut: impl Fn(&mut String)) {
    if let Some(value) = text {
        clean(value);
        cut(value);
        if value.is_empty() {
            *text = None;
        }
    }
}

fn cut_chars(text: &mut String, most: usize) {
    if text.len() > most
        && let Some((end, _)) = text.char_indices().nth(most)
    {
        text.truncate(end);
    }
}

/// The severity that a word means by `table`, whose left column has words parted by commas.
pub fn severity(word: &str, table: &[(&str, &str)]) -> Option<Severity> {
    let word = word.trim();
    let (_, ours) =
        table.iter().find(|(words, _)| words.split(", ").any(|one| one.eq_ignore_ascii_case(word)))?;
    Severity::parse(ours)
}

/// `text` with `*` in place of the last `version` in it: the same for the next version.
pub fn without_version(text: &str, version: &str) -> String {
    match text.rfind(version) {
        Some(at) if !version.is_empty() => format!("{}*{}", &text[..at], &text[at + version.len()..]),
        _ => text.to_owned(),
    }
}

/// The texts that say something, as paragraphs.
pub fn paragraphs<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<String> {
    let texts: Vec<&str> = texts.into_iter().map(str::trim).filter(|text| !text.is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// Cuts at the last whole character within `most` bytes.
pub fn cut_bytes(text: &mut String, most: usize) {
    text.truncate(text.floor_char_boundary(most));
}

/// The beginning of `text`, for an excerpt or another bounded copy.
pub fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The kind of an asset from a name of types: `aws_ec2_instance` from `AwsEc2Instance` or
/// `AWS::EC2::Instance`.
pub fn kind(name: &str) -> Option<String> {
    let mut kind = String::with_capacity(name.len() + 8);
    let mut before = ' ';
    for letter in name.trim().chars() {
        let begins = letter.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        if (begins || !letter.is_alphanumeric()) && !kind.is_empty() && !kind.ends_with('_') {
            kind.push('_');
        }
        if letter.is_alphanumeric() {
            kind.extend(letter.to_lowercase());
        }
        before = letter;
    }
    let kind = kind.trim_end_matches('_');
    (!kind.is_empty()).then(|| kind.to_owned())
}

fn distinct(values: &mut Vec<String>, most: usize) {
    for value in values.iter_mut() {
        clean(value);
        cut_bytes(value, REFERENCE);
    }
    values.retain(|value| !value.is_empty());
    // Most lists have no second element.
    if values.len() > 1 {
        let mut seen = HashSet::new();
        let kept: Vec<bool> = values.iter().map(|value| seen.insert(value.as_str())).collect();
        let mut kept = kept.into_iter();
        values.retain(|_| kept.next().unwrap_or(false));
    }
    values.truncate(most);
}

/// `CVE-2021-44228` from any spelling of it; `None` for what is not a CVE id.
pub fn cve(text: &str) -> Option<String> {
    let text = text.trim();
    let (year, number) =
        text.get(..4).filter(|head| head.eq_ignore_ascii_case("CVE-")).and(text.get(4..))?.split_once('-')?;
    let digits = |part: &str, least: usize| {
        (least..=10).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    (digits(year, 4) && year.len() == 4 && digits(number, 4)).then(|| format!("CVE-{year}-{number}"))
}

/// The name of a vulnerability in the form in which names are compared: a CVE id, or else upper case.
pub fn vulnerability(name: &str) -> String {
    cve(name).unwrap_or_else(|| name.trim().to_ascii_uppercase())
}

/// Every CVE id in a text, in order.
pub fn cves(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter_map(cve).collect()
}

/// `CWE-79` from `CWE-79`, `cwe-079`, `79`, `external/cwe/cwe-079` or `CWE-79: Cross-site Scripting`;
/// `None` for anything else and for number 0.
pub fn cwe(text: &str) -> Option<String> {
    let text = text.trim();
    let at = text.to_ascii_lowercase().rfind("cwe").map_or(0, |at| at + 3);
    let digits = if at == 0 { text } else { text[at..].trim_start_matches(['-', '_', ':', ' ']) };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    if at == 0 && end < digits.len() {
        return None;
    }
    digits[..end]
        .parse()
        .ok()
        .filter(|number| (1..100_000).contains(number))
        .map(|number: u32| format!("CWE-{number}"))
}

/// The forms of times without a zone, or with the letters of one, which say no offset.
const FORMS: [&str; 6] = [
    "%a %b %e %H:%M:%S %Y",
    "%a %b %e %H:%M:%S %Z %Y",
    "%a, %d %b %Y %H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S",
];

/// A time in any of the forms that reports use: RFC 3339, also without the colon in the zone, RFC 2822, a bare date, seconds since 1970
/// (nine digits or more: fewer are more likely a date), milliseconds (thirteen digits), or one of
/// [`FORMS`]. Forms without an offset are read as UTC.
pub fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(at) = Timestamp::parse(text) {
        return Some(at);
    }
    // ISO 8601 without the colon of RFC 3339 in its offset.
    if let Ok(at) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Timestamp::of(at.to_utc());
    }
    if let Ok(at) = DateTime::parse_from_rfc2822(text) {
        return Timestamp::of(at.to_utc());
    }
    if (9..=11).contains(&text.len())
        && let Some(at) = text.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0))
    {
        return Timestamp::of(at);
    }
    if text.len() == 13
        && let Some(at) = text.parse().ok().and_then(DateTime::from_timestamp_millis)
    {
        return Timestamp::of(at);
    }
    let at = FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    Timestamp::of(at.and_utc())
}
