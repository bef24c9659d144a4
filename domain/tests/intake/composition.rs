//! Reports of software composition and VEX: what is read of each, and what each says of its own findings.

use domain::error::Code;
use domain::intake::format::{Format, Plan};
use domain::intake::limits::Limits;
use domain::intake::reading::check;
use domain::intake::report::Reported;
use domain::vocabulary::terms::{FindingClass, Severity, Status};
use domain::vocabulary::time::Timestamp;
use serde_json::{Value, json};

use crate::fixtures::{Found, all, both, both_of, path};
use crate::reading::{one, read, some};

/// The status and the justification of a verdict.
fn verdict(reported: &Reported) -> Option<(Status, Option<&str>)> {
    reported.verdict.as_ref().map(|verdict| (verdict.status, verdict.justification.as_deref()))
}

fn author(reported: &Reported) -> Option<&str> {
    reported.verdict.as_ref()?.author.as_deref()
}

fn statement(reported: &Reported) -> Option<&str> {
    reported.verdict.as_ref()?.statement.as_deref()
}

fn purl(reported: &Reported) -> Option<&str> {
    reported.component_purl.as_deref()
}

#[test]
fn grype() {
    let found = read("grype.json", 5, [2, 0, 0, 0, 2, 0], &["registry.example.org/shop/search:2.0"]);
    let django = one(&found, "GHSA-v6rh-hp5x-86rv");
    assert_eq!(django.severity, Severity::Critical, "the higher of the two entries");
    assert_eq!(
        django.identity,
        [
            "vulnerability",
            "python",
            "/srv/site-packages/Django-*.dist-info/METADATA",
            "Django",
            "GHSA-v6rh-hp5x-86rv"
        ]
    );
    assert_eq!(django.asset.kind, some("container_image"));
    assert_eq!((django.cvss_score, django.epss_score), (Some(7.3), Some(0.0123)), "computed from the vector");
    assert_eq!(django.cve_ids, ["CVE-2021-44420"]);
    assert_eq!(django.cwe_ids, ["CWE-290"]);
    assert_eq!((django.known_exploit, django.fix_available), (Some(true), Some(true)));
    assert_eq!(purl(django), Some("pkg:pypi/Django@3.2.9"));
    assert_eq!(django.description, some("URLs with trailing newlines pass."));
    let krb = one(&found, "CVE-2004-0971");
    assert_eq!((krb.severity, krb.fix_available, verdict(krb)), (Severity::Info, Some(false), None));
    assert_eq!(krb.identity[2], "", "a package of the system is in one place");
    let ignored = one(&found, "CVE-2021-33574");
    assert_eq!(verdict(ignored), Some((Status::FalsePositive, Some("vulnerable_code_not_in_execute_path"))));
    assert_eq!(statement(ignored), Some("Nothing here calls mq_notify."));
    assert_eq!(
        verdict(one(&found, "CVE-2019-1010022")),
        Some((Status::AcceptedRisk, Some("fix-state: wont-fix")))
    );
}

#[test]
fn what_trivy_was_told_to_leave_out() {
    let found = read("trivy-modified.json", 4, [1, 0, 0, 2, 1, 0], &["cart"]);
    assert_eq!(purl(one(&found, "CVE-2021-23337")), Some("pkg:npm/lodash@4.17.4"));
    let vex = one(&found, "CVE-2020-8203");
    assert_eq!(verdict(vex), Some((Status::FalsePositive, Some("vulnerable_code_not_in_execute_path"))));
    assert_eq!(author(vex), Some("vex.json"));
    let secret = one(&found, "github-pat");
    assert_eq!(
        (verdict(secret), statement(secret)),
        (Some((Status::AcceptedRisk, None)), Some("A test key."))
    );
    assert_eq!(verdict(one(&found, "CVE-2019-10744")), None);
}

#[test]
fn suppressed_results_have_a_verdict() {
    let found = read(
        "checks.sarif",
        5,
        [1, 0, 1, 1, 1, 0],
        &["https://git.example.org/shop/cart", "shop.example.org"],
    );
    let with: Vec<_> = found.iter().filter_map(|(reported, _)| verdict(reported)).collect();
    assert_eq!(with, [(Status::AcceptedRisk, Some("inSource"))]);
    let result = |suppressions: Value| {
        let report = json!({"version": "2.1.0", "runs": [{"results": [{"message": {"text": "a"}, "suppressions": suppressions}]}]});
        let (_, found) = both_of(report.to_string().as_bytes(), Format::Sarif, None, &Limits::default())
            .expect("it is well formed");
        (found[0].0.verdict.is_some(), found[0].0.tags.contains(&"suppressed".to_owned()))
    };
    assert_eq!(result(json!([])), (false, false));
    assert_eq!(result(json!([{"kind": "external", "status": "accepted"}])), (true, true));
    assert_eq!(
        result(json!([{"kind": "inSource"}, {"kind": "external", "status": "rejected"}])),
        (false, false)
    );
}

#[test]
fn cyclonedx_with_everything_after_what_refers_to_it() {
    let found = read("bom.cdx.json", 7, [4, 0, 0, 1, 1, 0], &["shop/cart"]);
    let lodash = one(&found, "GHSA-35jh-r3h4-6jhm");
    assert_eq!(lodash.identity, ["vulnerability", "pkg:npm/lodash", "", "GHSA-35jh-r3h4-6jhm"]);
    assert_eq!(lodash.severity, Severity::High, "of the vulnerability's own source");
    assert_eq!(
        (lodash.cvss_score, lodash.cvss_vector.as_deref()),
        (Some(7.2), Some("CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H"))
    );
    assert_eq!(lodash.cve_ids, ["CVE-2021-23337"]);
    assert_eq!(lodash.cwe_ids, ["CWE-94", "CWE-77"]);
    assert_eq!(
        (purl(lodash), lodash.component_version.as_deref()),
        (Some("pkg:npm/lodash@4.17.4"), Some("4.17.4"))
    );
    assert_eq!(lodash.asset.kind, some("container_image"));
    assert_eq!(lodash.remediation, some("Upgrade lodash."));
    let log4j = one(&found, "CVE-2021-44228");
    assert_eq!(log4j.severity, Severity::Critical);
    assert_eq!(verdict(log4j), Some((Status::FalsePositive, Some("code_not_present"))));
    assert_eq!((author(log4j), statement(log4j)), (Some("The Shop"), Some("The class was removed.")));
    assert_eq!(verdict(one(&found, "CVE-2021-45046")), Some((Status::AcceptedRisk, Some("will_not_fix"))));
    let theme: Vec<_> = found
        .iter()
        .filter(|(reported, _)| reported.scanner_reference.as_deref() == Some("CVE-2021-45105"))
        .map(|(reported, _)| (reported.component_version.as_deref(), verdict(reported)))
        .collect();
    let unaffected = (Some("vers:generic/>=2.7|<=2.8"), Some((Status::FalsePositive, None)));
    assert_eq!(theme, [(Some("2.4"), None), unaffected]);
    assert_eq!(one(&found, "v-5").title, "v-5");
    let checked =
        check(&path("bom.cdx.json"), None, &Plan::default(), &Limits::default()).expect("it is well formed");
    assert_eq!(checked.head.scanner, "trivy");
    assert_eq!(checked.head.scanned_at, Timestamp::parse("2026-03-02T10:00:00Z"));
}

#[test]
fn cyclonedx_in_xml_with_vulnerabilities_inside_of_components() {
    let found = read("bom.cdx.xml", 2, [0, 0, 1, 0, 1, 0], &["shop/cart"]);
    let old = one(&found, "CVE-2018-7489");
    assert_eq!((old.severity, old.cvss_score), (Severity::Critical, Some(9.8)));
    assert_eq!(old.cvss_vector, some("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"));
    assert_eq!(old.references, ["https://nvd.example.org/CVE-2018-7489", "https://example.org/commit"]);
    assert_eq!(old.cwe_ids, ["CWE-184"]);
    let snyk = one(&found, "SNYK-JAVA-32111");
    assert_eq!(snyk.identity, ["vulnerability", "pkg:maven/com.fasterxml/databind", "", "SNYK-JAVA-32111"]);
    assert_eq!(snyk.component_name, some("com.fasterxml:databind"));
    assert_eq!(snyk.cve_ids, ["CVE-2018-7490"]);
    assert_eq!(snyk.description, some("Deserialization & more."));
    assert_eq!(snyk.references, ["https://snyk.example.org/32111", "https://example.org/issue"]);
    assert_eq!(verdict(snyk), Some((Status::AcceptedRisk, Some("protected_at_perimeter"))));
    assert_eq!((author(snyk), statement(snyk)), (Some("Kim"), Some("Behind a proxy.")));
    assert_eq!(snyk.tags, ["not_affected", "update"]);
}

#[test]
fn openvex_counts_the_latest_statement_of_each_pair() {
    let plan = Plan::default();
    let (checked, found) =
        both(&path("openvex.json"), None, &plan, &Limits::default()).expect("it is well formed");
    assert_eq!((checked.entries, checked.findings), (4, 4));
    assert_eq!(checked.assets, ["cart", "cart-3.1", "pkg:apk/alpine/openssl", "pkg:oci/cart"]);
    let busybox = one(&found, "CVE-2024-10001");
    assert_eq!(verdict(busybox), Some((Status::AcceptedRisk, Some("inline_mitigations_already_exist"))));
    assert_eq!((author(busybox), statement(busybox)), (Some("The Shop"), Some("The path is off.")));
    assert_eq!(
        (busybox.component_name.as_deref(), busybox.component_version.as_deref()),
        (Some("busybox"), Some("1.30.1-r3"))
    );
    assert_eq!(verdict(one(&found, "CVE-2024-10003")), Some((Status::Fixed, None)));
    let affected = found.iter().filter(|(reported, _)| reported.cve_ids == ["CVE-2024-10002"]);
    assert!(affected.clone().all(|(reported, _)| verdict(reported).is_none()));
    assert_eq!(affected.count(), 2);
    read("openvex.json", 4, [4, 0, 0, 0, 0, 0], &["the shop"]);
}

#[test]
fn csaf_speaks_of_products() {
    let plan = Plan::default();
    let (checked, found) =
        both(&path("advisory.csaf.json"), None, &plan, &Limits::default()).expect("it is well formed");
    assert_eq!((checked.entries, checked.findings), (6, 6));
    assert_eq!(checked.assets, ["P-9", "Shop Cart", "Shop Search", "unnamed asset"]);
    assert_eq!(checked.head.scanned_at, Timestamp::parse("2026-03-01T00:00:00Z"));
    let of = |product: &str| {
        let has = |reported: &Reported| reported.identity[1] == product;
        &found.iter().find(|(reported, _)| has(reported)).unwrap_or_else(|| panic!("{product} is found")).0
    };
    let cart = of("Shop Cart 1.0.0");
    assert_eq!((cart.cvss_score, cart.severity, verdict(cart)), (Some(7.5), Severity::High, None));
    assert_eq!(
        (cart.component_name.as_deref(), cart.component_version.as_deref()),
        (Some("Cart"), Some("1.0.0"))
    );
    assert_eq!(
        (cart.remediation.clone(), cart.fix_available),
        (some("Upgrade to 1.0.1.\n\nLimit the size."), Some(true))
    );
    assert_eq!(cart.references, ["https://example.org/CVE-2026-10002", "https://example.org/fix"]);
    assert_eq!(cart.description, some("A payload takes all memory."));
    assert_eq!(cart.cwe_ids, ["CWE-770"]);
    assert_eq!(cart.tags, ["known_affected", "SHOP-2026-1"]);
    let zlib = of("zlib as a component of Shop Cart 1.0.0");
    assert_eq!((zlib.asset.name.as_str(), purl(zlib)), ("Shop Cart", Some("pkg:deb/debian/zlib1g@1.2.11")));
    assert_eq!(
        (zlib.component_name.as_deref(), zlib.severity),
        (Some("zlib1g"), Severity::High),
        "by the impact"
    );
    assert_eq!(verdict(of("Shop Cart 1.0.1")), Some((Status::Fixed, None)));
    let search = of("Shop Search");
    assert_eq!(verdict(search), Some((Status::AcceptedRisk, Some("inline_mitigations_already_exist"))));
    assert_eq!(
        (author(search), statement(search)),
        (Some("The Shop"), Some("The proxy holds it.\n\nImportant"))
    );
    assert_eq!(one(&found, "SHOP-7").severity, Severity::Medium, "by the whole advisory");
}

#[test]
fn dependency_check() {
    let found = read("dependency-check.xml", 3, [0, 0, 2, 0, 1, 0], &["shop-cart"]);
    let dom4j = one(&found, "CVE-2020-10683");
    assert_eq!(dom4j.identity, ["org.dom4j:dom4j", "cart.ear: dom4j-*.jar", "CVE-2020-10683"]);
    assert_eq!((dom4j.cvss_score, dom4j.severity), (Some(9.8), Severity::Critical));
    assert_eq!(dom4j.cvss_vector, some("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"));
    assert_eq!((purl(dom4j), dom4j.known_exploit), (Some("pkg:maven/org.dom4j/dom4j@2.1.1"), Some(true)));
    assert_eq!(dom4j.cwe_ids, ["CWE-611"]);
    let suppressed = one(&found, "CWE-400: Uncontrolled Resource Consumption");
    assert_eq!(
        (verdict(suppressed), statement(suppressed)),
        (Some((Status::FalsePositive, None)), Some("Another dom4j."))
    );
    assert_eq!(
        (suppressed.severity, suppressed.cwe_ids.as_slice()),
        (Severity::Medium, ["CWE-400".to_owned()].as_slice())
    );
    let old = one(&found, "CVE-2020-0001");
    assert_eq!(
        (old.component_name.as_deref(), old.component_version.as_deref()),
        (Some("org.owasp:library"), Some("6.7.8"))
    );
    assert_eq!((old.cvss_score, old.severity), (Some(6.8), Severity::Medium));
    let checked = check(&path("dependency-check.xml"), None, &Plan::default(), &Limits::default())
        .expect("it is well formed");
    assert_eq!(checked.head.scanned_at, Timestamp::parse("2026-03-02T12:00:00.5Z"));
}

#[test]
fn osv_scanner_groups_are_one_finding() {
    let found = read("osv.json", 4, [1, 0, 0, 1, 1, 0], &["the shop"]);
    let lodash = one(&found, "GHSA-35jh-r3h4-6jhm");
    assert_eq!(lodash.identity, ["web/yarn.lock", "npm", "lodash", "CVE-2021-23337"]);
    assert_eq!(
        (lodash.severity, lodash.cvss_score),
        (Severity::High, Some(7.2)),
        "the alias has only the group's score"
    );
    assert_eq!(
        (lodash.fixed_version.as_deref(), purl(lodash)),
        (Some("4.17.21"), Some("pkg:npm/lodash@4.17.4"))
    );
    assert_eq!(lodash.cwe_ids, ["CWE-94"]);
    assert_eq!(verdict(one(&found, "GO-2024-1")), Some((Status::FalsePositive, Some("uncalled"))));
    let malicious = one(&found, "MAL-2023-1035");
    assert_eq!(
        (malicious.severity, malicious.vulnerability_type.as_deref()),
        (Severity::Critical, Some("malicious_package"))
    );
    let checked =
        check(&path("osv.json"), None, &Plan::default(), &Limits::default()).expect("it is well formed");
    assert_eq!(checked.assets, ["web/yarn.lock"]);
}

#[test]
fn cargo_audit_with_its_warnings() {
    let found = read("cargo-audit.json", 5, [3, 1, 0, 1, 0, 0], &["the shop"]);
    let swap = one(&found, "RUSTSEC-2020-0091");
    assert_eq!((swap.severity, swap.cvss_score), (Severity::High, Some(7.5)));
    assert_eq!(swap.cve_ids, ["CVE-2020-35711"]);
    assert_eq!(swap.tags, ["memory-corruption", "GHSA-9pqx-g3jh-qpqq"]);
    assert_eq!(
        (purl(swap), swap.fixed_version.as_deref()),
        (Some("pkg:cargo/arc-swap@0.4.7"), Some(">=1.1.0 || >=0.4.8, <1.0.0"))
    );
    let old = one(&found, "RUSTSEC-2021-0001");
    assert_eq!((old.title.as_str(), old.fix_available, purl(old)), ("old: vulnerability", Some(false), None));
    let yanked = one(&found, "yanked");
    assert_eq!((yanked.title.as_str(), yanked.class), ("arc-swap: yanked", FindingClass::Compliance));
    assert_eq!(one(&found, "RUSTSEC-2022-0002").severity, Severity::Low);
}

#[test]
fn npm_audit_of_both_versions() {
    let found = read("npm-audit-1.json", 2, [0, 1, 0, 0, 1, 0], &["the shop"]);
    let minimist = one(&found, "1179");
    assert_eq!(
        (minimist.component_version.as_deref(), purl(minimist)),
        (Some("0.0.8"), Some("pkg:npm/minimist@0.0.8"))
    );
    assert_eq!((minimist.fixed_version.as_deref(), minimist.fix_available), (Some(">=0.2.1"), Some(true)));
    assert_eq!(minimist.references.len(), 3);
    let left = one(&found, "GHSA-aaaa-bbbb-cccc");
    assert_eq!(
        (left.fix_available, left.cvss_score, purl(left)),
        (Some(false), None, Some("pkg:npm/%40shop/left"))
    );
    assert_eq!(left.cwe_ids, ["CWE-79", "CWE-80"]);

    let found = read("npm-audit-2.json", 2, [0, 0, 0, 1, 1, 0], &["the shop"]);
    let pollution = one(&found, "GHSA-w457-6q6x-cgp9");
    assert_eq!((pollution.severity, pollution.cvss_score), (Severity::High, Some(7.3)));
    assert_eq!(pollution.tags, ["direct", "via:optimist", "effect:templates"]);
    assert_eq!(
        (pollution.fixed_version.as_deref(), pollution.remediation.as_deref()),
        (Some("4.7.8"), Some("Install handlebars 4.7.8 (a major change)."))
    );
    assert_eq!(one(&found, "1164").severity, Severity::Critical, "of the package");
}

#[test]
fn snyk_with_what_is_ignored_and_patched() {
    let found = read("snyk.json", 6, [0, 2, 2, 1, 0, 0], &["shop"]);
    let lodash = one(&found, "SNYK-JS-LODASH-1018905");
    assert_eq!(lodash.identity, ["package-lock.json", "lodash", "SNYK-JS-LODASH-1018905"]);
    assert_eq!(
        (lodash.cvss_score, lodash.epss_score, lodash.known_exploit),
        (Some(7.2), Some(0.00467), Some(true))
    );
    assert_eq!(lodash.remediation, some("Upgrade to lodash@4.17.21."));
    assert_eq!((lodash.fixed_version.as_deref(), lodash.fix_available), (Some("4.17.21"), Some(true)));
    assert_eq!(one(&found, "snyk:lic:npm:gpl:GPL-2.0").class, FindingClass::Compliance);
    let ignored = one(&found, "SNYK-JS-QS-1");
    assert_eq!(verdict(ignored), Some((Status::FalsePositive, Some("not-vulnerable"))));
    assert_eq!((author(ignored), statement(ignored)), (Some("kim@example.org"), Some("Input is ours.")));
    assert_eq!(verdict(one(&found, "SNYK-JS-QS-2")), Some((Status::AcceptedRisk, None)));
    assert_eq!(verdict(one(&found, "SNYK-JS-MS-1")), Some((Status::Fixed, None)));

    let assets = ["cart:/app/package.json", "registry.example.org/cart:1.4"];
    let found = read("snyk-projects.json", 2, [0, 0, 0, 1, 1, 0], &assets);
    let busybox = one(&found, "SNYK-ALPINE-1");
    assert_eq!((busybox.severity, busybox.asset.kind.as_deref()), (Severity::High, Some("container_image")));
}

fn sorted(mut found: Found) -> Found {
    found.iter_mut().for_each(|(reported, _)| reported.excerpt = None);
    found.sort_by_key(|(_, fingerprint)| *fingerprint);
    found
}

/// The members of every object in the order of the alphabet, or against it.
fn written(value: &Value, backwards: bool) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            if backwards {
                names.reverse();
            }
            let member = |name: &&String| format!("{}:{}", json!(name), written(&members[*name], backwards));
            format!("{{{}}}", names.iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(elements) => {
            let elements = elements.iter().map(|element| written(element, backwards));
            format!("[{}]", elements.collect::<Vec<_>>().join(","))
        }
        leaf => leaf.to_string(),
    }
}

/// What findings refer to may stand before or after them.
#[test]
fn the_order_of_members_changes_nothing() {
    for (file, format, mapping) in all() {
        if mapping.is_some() || !(file.ends_with("json") || file.ends_with("sarif")) {
            continue;
        }
        let bytes = std::fs::read(path(file)).expect("the fixture");
        let value: Value = serde_json::from_slice(&bytes).expect("it is JSON");
        let found = |bytes: &[u8]| {
            let (_, found) = both_of(bytes, format, None, &Limits::default())
                .unwrap_or_else(|error| panic!("{file}: {error} {:?}", error.details));
            sorted(found)
        };
        let as_it_is = found(&bytes);
        assert!(!as_it_is.is_empty(), "{file}");
        assert_eq!(found(written(&value, false).as_bytes()), as_it_is, "{file} forwards");
        assert_eq!(found(written(&value, true).as_bytes()), as_it_is, "{file} backwards");
    }
}

fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{at}/{name}"), all);
            });
        }
        Value::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}

/// Every value of every report, in turn, is nothing, or of another type, or in the wrong place.
#[test]
fn a_value_of_another_type_is_read_or_refused_with_its_place() {
    let others = [json!(null), json!(7), json!({ "word": {} })];
    for (file, format, mapping) in all() {
        if mapping.is_some() || !(file.ends_with("json") || file.ends_with("sarif")) {
            continue;
        }
        let bytes = std::fs::read(path(file)).expect("the fixture");
        let value: Value = serde_json::from_slice(&bytes).expect("it is JSON");
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        let (mut read, mut refused) = (0, 0);
        for pointer in &all {
            for other in &others {
                let mut changed = value.clone();
                *changed.pointer_mut(pointer).expect("it was found there") = other.clone();
                match both_of(changed.to_string().as_bytes(), format, None, &Limits::default()) {
                    Ok(_) => read += 1,
                    Err(error) => {
                        refused += 1;
                        assert_eq!(error.code, Code::ReportMalformed, "{file}{pointer} as {other}: {error}");
                        assert!(error.details.contains_key("line"), "{file}{pointer}: {error}");
                    }
                }
            }
        }
        assert!(read > 0 && refused > 0, "{file}: {read} read, {refused} refused");
    }
}
