//! Two entries of one report that are the same finding become one.

use std::collections::HashSet;

use crate::intake::report::{Reported, ReportedAsset};

/// `first` and `second`, which have the same fingerprint, as one finding: the higher severity, the
/// lists united in order of appearance (at most `list` of each), an exploit known if either knows
/// one, the earlier first sighting, and of every other field the first value there is. A CVSS
/// score and its vector stay together, and so do a component's version and what fixes it. A verdict
/// stands only where both entries have one: what one entry does not excuse is not excused.
///
/// Merging several in report order gives the same whichever two are merged first.
#[must_use]
pub fn merge(first: Reported, second: Reported, list: usize) -> Reported {
    let (cvss_score, cvss_vector) = match (first.cvss_score, first.cvss_vector) {
        (None, None) => (second.cvss_score, second.cvss_vector),
        there => there,
    };
    let (component_version, fixed_version, fix_available) =
        match (first.component_version, first.fixed_version, first.fix_available) {
            (None, None, None) => (second.component_version, second.fixed_version, second.fix_available),
            there => there,
        };
    Reported {
        asset: ReportedAsset { name: first.asset.name, kind: first.asset.kind.or(second.asset.kind) },
        identity: first.identity,
        class: first.class,
        title: if first.title.is_empty() { second.title } else { first.title },
        description: first.description.or(second.description),
        severity: first.severity.max(second.severity),
        scanner_category: first.scanner_category.or(second.scanner_category),
        scanner_reference: first.scanner_reference.or(second.scanner_reference),
        vulnerability_type: first.vulnerability_type.or(second.vulnerability_type),
        cvss_score,
        cvss_vector,
        epss_score: first.epss_score.or(second.epss_score),
        known_exploit: first.known_exploit.max(second.known_exploit),
        cve_ids: unite(first.cve_ids, second.cve_ids, list),
        cwe_ids: unite(first.cwe_ids, second.cwe_ids, list),
        endpoint: first.endpoint.or(second.endpoint),
        port: first.port.or(second.port),
        component_name: first.component_name.or(second.component_name),
        component_version,
        component_purl: first.component_purl.or(second.component_purl),
        fixed_version,
        fix_available,
        file_path: first.file_path.or(second.file_path),
        line: first.line.or(second.line),
        references: unite(first.references, second.references, list),
        tags: unite(first.tags, second.tags, list),
        remediation: first.remediation.or(second.remediation),
        first_seen_at: match (first.first_seen_at, second.first_seen_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
        excerpt: first.excerpt.or(second.excerpt),
        verdict: second.verdict.and(first.verdict),
        vex: first.vex.or(second.vex),
    }
}

/// Few values are looked for one by one: a set of all that is known, for each entry, is more work.
const FEW: usize = 8;

fn unite(mut first: Vec<String>, mut second: Vec<String>, most: usize) -> Vec<String> {
    if first.len() < most {
        if second.len() <= FEW {
            second.retain(|value| !first.contains(value));
        } else {
            let known: HashSet<&str> = first.iter().map(String::as_str).collect();
            second.retain(|value| !known.contains(value.as_str()));
        }
        first.extend(second);
    }
    first.truncate(most);
    first
}
