//! The readers of reports, given anything.
//!
//! `FORMAT` names the format of the input by its key; without it the format is told from the input,
//! packed or not. A format that needs a mapping has that in the input's first line, as JSON.
//!
//! Every input is refused with the place of its fault, or accepted. What is accepted is the same on
//! every reading, and keeps what a finding promises.

#![no_main]

mod mutate;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::LazyLock;

use domain::error::{Code, Error};
use domain::intake::format::{Format, Plan};
use domain::intake::limits::Limits;
use domain::intake::mapping::Mapping;
use domain::intake::preview::preview;
use domain::intake::reading::{Checked, check, read};
use domain::intake::report::{Fingerprint, Reported};
use domain::vocabulary::terms::Severity;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use tempfile::TempDir;

/// Small, so that what goes over a limit is found and every input is quick.
static LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits {
    bytes: 1 << 20,
    nesting: 32,
    string: 64 << 10,
    text: 64 << 10,
    item: 128 << 10,
    items: 5_000,
    list: 100,
    collected: 128 << 10,
    ..Limits::default()
});

static FORMAT: LazyLock<Option<Format>> = LazyLock::new(|| {
    let key = std::env::var("FORMAT").ok()?;
    Some(Format::parse(&key).unwrap_or_else(|| panic!("there is no format `{key}`")))
});

static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a temporary folder"));

fuzz_target!(|bytes: &[u8]| {
    let named = *FORMAT;
    let mapped = named.is_some_and(|format| format.entry().mapped);
    let (first, report) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if mapped => (&bytes[..end], &bytes[end + 1..]),
        _ => (&b""[..], bytes),
    };
    let Ok(mapping) = mapped.then(|| serde_json::from_slice::<Mapping>(first)).transpose() else { return };
    // Some of the inputs come without an asset of the caller's.
    let asset = report.len().is_multiple_of(2).then_some("the shop");
    let plan = Plan { mapping: mapping.as_ref(), asset };
    let path = SCRATCH.path().join("report");
    std::fs::write(&path, report).expect("room for the report");
    match check(&path, named, &plan, &LIMITS) {
        Ok(checked) => accepted(&path, &checked),
        Err(error) => refused(&error),
    }
    if let Ok(sample) = std::str::from_utf8(report)
        && let Err(error) = preview(sample.to_owned(), named, &plan, 10, &LIMITS)
    {
        assert_ne!(error.code, Code::Internal, "{error}");
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed)
});

fn refused(error: &Error) {
    match error.code {
        Code::ReportMalformed | Code::ReportTooLarge => {
            for key in ["line", "column", "offset"] {
                assert!(error.details.get(key).is_some_and(serde_json::Value::is_u64), "{key} of {error}");
            }
        }
        Code::ReportUnknown | Code::Invalid | Code::Required => {}
        code => panic!("{code:?}: {error}"),
    }
}

fn accepted(path: &Path, checked: &Checked) {
    let first = reading(path, checked);
    assert_eq!(first, reading(path, checked), "a second reading is the same");
    assert_eq!(first.len() as u64, checked.findings);
    assert!(checked.findings <= checked.entries && checked.entries <= LIMITS.items);
    let ids: HashSet<Fingerprint> = first.iter().map(|(_, fingerprint)| *fingerprint).collect();
    assert_eq!(ids.len(), first.len(), "every finding comes once");
    let mut counts: BTreeMap<Severity, u64> = BTreeMap::new();
    for (reported, _) in &first {
        *counts.entry(reported.severity).or_default() += 1;
        promised(reported);
    }
    assert!(
        checked.counts.iter().all(|(severity, count)| counts.get(&severity).copied().unwrap_or(0) == count)
    );
    let assets: BTreeSet<&str> = first.iter().map(|(reported, _)| reported.asset.name.as_str()).collect();
    assert!(
        assets.iter().copied().eq(checked.assets.iter().map(String::as_str)),
        "the assets are those of findings"
    );
}

fn reading(path: &Path, checked: &Checked) -> Vec<(Reported, Fingerprint)> {
    let mut found = Vec::new();
    let scratch = SCRATCH.path().join("aside");
    let done = read(path, checked, &LIMITS, &scratch, &mut |handed| {
        found.push((handed.reported, handed.fingerprint));
        Ok(())
    });
    done.unwrap_or_else(|error| panic!("what was accepted cannot be read: {error}: {:?}", error.details));
    found
}

/// The form of every finding.
fn promised(reported: &Reported) {
    let line = |text: &str| !text.is_empty() && text.chars().count() <= 500 && !text.contains('\0');
    assert!(line(&reported.asset.name) && line(&reported.title), "{reported:?}");
    let lines = [
        &reported.asset.kind,
        &reported.scanner_category,
        &reported.scanner_reference,
        &reported.vulnerability_type,
        &reported.cvss_vector,
        &reported.endpoint,
        &reported.component_name,
        &reported.component_version,
        &reported.component_purl,
        &reported.fixed_version,
        &reported.file_path,
    ];
    assert!(lines.into_iter().flatten().all(|text| line(text)), "{reported:?}");
    let lists = [&reported.cve_ids, &reported.cwe_ids, &reported.references, &reported.tags];
    for list in lists {
        assert!(list.len() <= LIMITS.list, "{list:?}");
        assert!(list.iter().all(|value| !value.is_empty() && !value.contains('\0')), "{list:?}");
        assert_eq!(list.iter().collect::<HashSet<_>>().len(), list.len(), "{list:?}");
    }
    assert!(reported.cvss_score.is_none_or(|score| (0.0..=10.0).contains(&score)), "{reported:?}");
    assert!(reported.epss_score.is_none_or(|score| (0.0..=1.0).contains(&score)), "{reported:?}");
    let stored = serde_json::to_string(reported).expect("a finding can be written");
    assert_eq!(&serde_json::from_str::<Reported>(&stored).expect("and read"), reported);
}
