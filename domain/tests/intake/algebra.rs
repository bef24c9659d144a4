//! The laws of merging and of fingerprints.

use std::collections::HashMap;

use domain::intake::census::Census;
use domain::intake::fingerprint::{VERSION, both, fingerprint};
use domain::intake::merge::merge;
use domain::intake::report::{Reported, ReportedAsset, Verdict};
use domain::vocabulary::terms::{Severity, Status, Term};
use domain::vocabulary::time::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

const LIST: usize = 3;

fn word() -> impl Strategy<Value = String> {
    "[a-d]{1,2}"
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(word(), 0..=LIST).prop_map(|words| {
        let mut distinct: Vec<String> = Vec::new();
        words.into_iter().for_each(|word| {
            if !distinct.contains(&word) {
                distinct.push(word)
            }
        });
        distinct
    })
}

prop_compose! {
    fn reported()(
        severity in 0_u8..6,
        title in word(),
        texts in prop::array::uniform8(prop::option::of(word())),
        scores in (prop::option::of(0.0..10.0_f64), prop::option::of(0.0..1.0_f64)),
        truths in (any::<Option<bool>>(), any::<Option<bool>>()),
        numbers in (any::<Option<u16>>(), any::<Option<u32>>(), any::<Option<i64>>()),
        lists in (words(), words(), words(), words()),
        others in (prop::option::of(word()), prop::option::of(word())),
    ) -> Reported {
        let [description, cvss_vector, component_version, fixed_version, file_path, remediation, endpoint, excerpt] = texts;
        Reported {
            asset: ReportedAsset { name: "a".to_owned(), kind: None },
            severity: Severity::from_code(severity).expect("there are six"),
            title, description, cvss_vector, component_version, fixed_version, file_path, remediation, endpoint, excerpt,
            cvss_score: scores.0,
            epss_score: scores.1,
            known_exploit: truths.0,
            fix_available: truths.1,
            port: numbers.0,
            line: numbers.1,
            first_seen_at: numbers.2.map(Timestamp),
            cve_ids: lists.0,
            cwe_ids: lists.1,
            references: lists.2,
            tags: lists.3,
            component_purl: others.0,
            verdict: others.1.map(|author| Verdict { author: Some(author), ..Verdict::of(Status::FalsePositive) }),
            ..Reported::default()
        }
    }
}

proptest! {
    #[test]
    fn merging_is_associative(a in reported(), b in reported(), c in reported()) {
        let left = merge(merge(a.clone(), b.clone(), LIST), c.clone(), LIST);
        let right = merge(a, merge(b, c, LIST), LIST);
        prop_assert_eq!(left, right);
    }

    #[test]
    fn merging_with_itself_changes_nothing(a in reported(), b in reported()) {
        prop_assert_eq!(merge(a.clone(), a.clone(), LIST), a.clone());
        let both = merge(a, b.clone(), LIST);
        prop_assert_eq!(merge(both.clone(), b, LIST), both);
    }

    #[test]
    fn merging_loses_no_severity_and_no_exploit(a in reported(), b in reported()) {
        let both = merge(a.clone(), b.clone(), LIST);
        prop_assert_eq!(both.severity, a.severity.max(b.severity));
        prop_assert_eq!(both.known_exploit == Some(true), a.known_exploit == Some(true) || b.known_exploit == Some(true));
        prop_assert!(a.tags.iter().all(|tag| both.tags.contains(tag)));
    }

    #[test]
    fn severity_title_and_time_are_no_part_of_a_fingerprint(a in reported(), b in reported(), identity in words()) {
        let one = Reported { identity: identity.clone(), ..a };
        let other = Reported { identity, ..b };
        prop_assert_eq!(fingerprint(VERSION, "s", &one), fingerprint(VERSION, "s", &other));
        prop_assert_ne!(fingerprint(VERSION, "s", &one), fingerprint(VERSION, "t", &one));
        prop_assert_ne!(fingerprint(VERSION, "s", &one), fingerprint(VERSION + 1, "s", &one));
    }

    #[test]
    fn the_census_counts_like_a_map(entries in prop::collection::vec((0_u128..12, 0_u8..6, 0_i64..3), 0..60)) {
        let mut census = Census::default();
        let mut map: HashMap<Uuid, Vec<(Severity, i64)>> = HashMap::new();
        for (number, code, said) in entries {
            // Fingerprints that differ in their highest or lowest bits only.
            let bytes = if number % 2 == 0 { number.to_be_bytes() } else { number.to_le_bytes() };
            let id = uuid::Builder::from_custom_bytes(bytes).into_uuid();
            let severity = Severity::from_code(code).expect("there are six");
            census.add(id, severity, said);
            map.entry(id).or_default().push((severity, said));
        }
        let (counts, named) = census.finish();
        prop_assert_eq!(counts.total(), map.len() as u64);
        prop_assert_eq!(named.len(), map.len());
        prop_assert_eq!(named.repeated(), map.values().filter(|all| all.len() > 1).count());
        for (id, entries) in &map {
            let at = named.find(*id).expect("it was added");
            prop_assert_eq!(named.is_repeated(at), entries.len() > 1);
            let said = entries.iter().map(|(_, said)| *said).reduce(both).expect("there is one");
            prop_assert_eq!(named.said(at), said, "what is said is digested in the order of the report");
        }
        prop_assert_eq!(named.find(Uuid::from_u128(12345)), None);
        for severity in Severity::ALL {
            let most = map.values().filter(|all| all.iter().map(|(severity, _)| severity).max() == Some(severity)).count();
            prop_assert_eq!(counts.of(*severity), most as u64);
        }
    }
}

#[test]
fn parts_of_an_identity_do_not_run_together() {
    let of = |parts: &[&str]| {
        let identity = parts.iter().map(|part| (*part).to_owned()).collect();
        fingerprint(VERSION, "s", &Reported { identity, ..Reported::default() })
    };
    assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    assert_ne!(of(&["a", ""]), of(&["a"]));
    assert_eq!(of(&["a", "b"]).get_version_num(), 8);
}

#[test]
fn the_recipe_stays_as_it_is() {
    let identity = ["vulnerability", "", "", "libssl3", "CVE-2023-0286"].map(str::to_owned).to_vec();
    let asset = ReportedAsset { name: "shop/cart:1.4".to_owned(), kind: None };
    let known = fingerprint(1, "trivy", &Reported { asset, identity, ..Reported::default() });
    assert_eq!(
        known.to_string(),
        "c2e24add-685f-801d-a85f-288d8bc25e67",
        "findings in databases have fingerprints of version 1"
    );
}
