//! What is read of each format.

use std::collections::{HashMap, HashSet};

use domain::error::{Code, Error};
use domain::intake::format::{Format, Plan};
use domain::intake::limits::Limits;
use domain::intake::mapping::{Mapped, Mapping};
use domain::intake::reading::{check, check_watched};
use domain::vocabulary::terms::{FindingClass, Severity, Term};
use domain::vocabulary::time::Timestamp;

use crate::fixtures::{Found, all, both, both_of, lines, on_disk, path, table};

/// The findings of a fixture, with the counts and the assets that it must have.
pub fn read(name: &str, entries: u64, by_severity: [u64; 6], assets: &[&str]) -> Found {
    let (_, format, mapping) = all().into_iter().find(|(file, ..)| *file == name).expect("a fixture");
    let named = format.entry().mapped.then_some(format);
    let plan = Plan { mapping: mapping.as_ref(), asset: Some("the shop") };
    let (checked, found) = both(&path(name), named, &plan, &Limits::default()).expect("it is well formed");
    assert_eq!(checked.format, format, "{name}");
    assert_eq!(checked.entries, entries, "{name}");
    assert_eq!(
        Severity::ALL.iter().map(|one| checked.counts.of(*one)).collect::<Vec<_>>(),
        by_severity,
        "{name}"
    );
    assert_eq!(checked.assets, assets, "{name}");
    assert_eq!(found.len() as u64, checked.findings, "{name}");
    let mut seen: Vec<_> = found.iter().map(|(_, fingerprint)| fingerprint).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), found.len(), "{name}: each fingerprint once");
    for severity in Severity::ALL {
        let count = found.iter().filter(|(reported, _)| reported.severity == *severity).count() as u64;
        assert_eq!(count, checked.counts.of(*severity), "{name}: {severity}");
    }
    found
}

pub fn one<'f>(found: &'f Found, reference: &str) -> &'f domain::intake::report::Reported {
    let mut of_it =
        found.iter().filter(|(reported, _)| reported.scanner_reference.as_deref() == Some(reference));
    let (reported, _) = of_it.next().unwrap_or_else(|| panic!("{reference} is found"));
    assert!(of_it.next().is_none(), "{reference} is found once");
    reported
}

pub fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn an_image_whose_name_comes_after_its_results() {
    let found = read("trivy-image.json", 8, [1, 0, 0, 4, 2, 0], &["registry.example.org/shop/cart:1.4"]);
    let openssl = one(&found, "CVE-2023-0286");
    assert_eq!(openssl.identity, ["vulnerability", "", "", "libssl3", "CVE-2023-0286"]);
    assert_eq!(openssl.asset.kind, some("container_image"));
    assert_eq!(openssl.description, some("A type confusion in the parsing of X.400 addresses."));
    assert_eq!((openssl.cvss_score, openssl.severity), (Some(7.1), Severity::High));
    assert_eq!(
        openssl.references,
        ["https://avd.example.org/nvd/cve-2023-0286", "https://example.org/a", "https://example.org/b"]
    );
    assert_eq!(openssl.cwe_ids, ["CWE-843"]);
    assert_eq!((openssl.fixed_version.clone(), openssl.fix_available), (some("3.0.8-r0"), Some(true)));
    assert_eq!(openssl.tags, ["alpine", "fixed"]);

    let lodash = one(&found, "CVE-2021-23337");
    assert_eq!(lodash.severity, Severity::High, "the higher of the two entries");
    assert_eq!(
        (lodash.title.as_str(), lodash.component_version.clone()),
        ("CVE-2021-23337 in lodash", some("4.17.4"))
    );
    assert_eq!(lodash.cwe_ids, ["CWE-94", "CWE-77"]);
    assert_eq!(lodash.references, ["https://example.org/l", "https://example.org/m"]);
    assert_eq!(lodash.file_path, some("app/package-lock.json"));

    let user = one(&found, "AVD-DS-0002");
    assert_eq!(
        (user.class, user.line, user.file_path.clone()),
        (FindingClass::Compliance, Some(1), some("Dockerfile"))
    );
    let token = one(&found, "github-pat");
    assert_eq!((token.vulnerability_type.clone(), token.line), (some("secret"), Some(24)));
    assert_eq!(one(&found, "GPL-2.0-only").title, "GPL-2.0-only in busybox");
    assert!(
        found.last().is_some_and(|(last, _)| last.component_name == some("lodash")),
        "what is merged comes last"
    );
}

#[test]
fn the_head_of_a_report() {
    for (file, scanner, at) in [
        ("trivy-image.json", "trivy", "2026-03-02T07:15:30.123456Z"),
        ("checks.sarif", "check it", "2026-02-01T10:04:00Z"),
        ("hosts.nessus", "nessus", "2026-03-03T01:06:40Z"),
    ] {
        let checked =
            check(&path(file), None, &Plan::default(), &Limits::default()).expect("it is well formed");
        assert_eq!(checked.head.scanned_at, Timestamp::parse(at), "{file}");
        assert_eq!(checked.head.scanner, scanner, "{file}");
    }
}

#[test]
fn the_old_array_is_about_one_artifact() {
    let found = read("trivy-old.json", 3, [0, 1, 1, 1, 0, 0], &["the shop"]);
    assert_eq!(one(&found, "CVE-2020-27350").identity[1], "", "the operating system has one place");
    assert_eq!(one(&found, "CVE-2020-8203").identity[1], "srv/yarn.lock");
    let checked = check(&path("trivy-old.json"), None, &Plan::default(), &Limits::default())
        .expect("it is well formed");
    assert_eq!(checked.assets, ["shop/cart:1.2"]);
}

#[test]
fn resources_of_a_cluster_are_assets() {
    let assets = ["prod-eu/shop/Deployment/cart", "prod-eu/shop/Deployment/search"];
    let found = read("trivy-cluster.json", 4, [0, 0, 2, 2, 0, 0], &assets);
    assert!(found.iter().all(|(reported, _)| reported.asset.kind == some("kubernetes_resource")));
}

#[test]
fn results_before_the_rules_that_they_are_of() {
    let assets = ["https://git.example.org/shop/cart", "shop.example.org"];
    let found = read("checks.sarif", 5, [1, 0, 1, 1, 1, 0], &assets);
    let injection = one(&found, "py/injection");
    assert_eq!(injection.severity, Severity::Critical, "by the security severity of its rule");
    assert_eq!(injection.title, "Command injection");
    assert_eq!(
        injection.description,
        some("'name' of {0} reaches a shell {2}.\n\nA command is built from input.")
    );
    assert_eq!(injection.file_path, some("src/io/shell.py"));
    assert_eq!((injection.line, injection.cwe_ids.as_slice()), (Some(41), ["CWE-78".to_owned()].as_slice()));
    assert_eq!(injection.remediation, some("Use a list of arguments."));
    assert_eq!(injection.tags, ["security", "external/cwe/cwe-078"]);
    let hash = found
        .iter()
        .find(|(reported, _)| reported.tags.contains(&"suppressed".to_owned()))
        .expect("it is kept");
    assert_eq!(hash.0.file_path, some("src/hash.py"));
    assert_eq!(hash.0.identity, ["X7", "src/hash.py", "primaryLocationLineHash=aa11:1"]);
    assert_eq!(
        (hash.0.cwe_ids.as_slice(), hash.0.severity),
        (["CWE-328".to_owned()].as_slice(), Severity::Medium)
    );
    let old = one(&found, "CVE-2022-1234");
    assert_eq!(
        (old.endpoint.clone(), old.file_path.clone()),
        (some("https://shop.example.org/login?x=1"), None)
    );
    assert_eq!(
        (old.tags.as_slice(), old.cve_ids.as_slice()),
        (["scanner:other tool".to_owned()].as_slice(), ["CVE-2022-1234".to_owned()].as_slice())
    );
}

#[test]
fn a_nessus_report() {
    let found = read("hosts.nessus", 5, [1, 0, 0, 2, 1, 0], &["db1.example.org", "web1.example.org"]);
    let postgres = one(&found, "63347");
    assert_eq!(postgres.severity, Severity::Critical);
    assert_eq!(postgres.title, "PostgreSQL 14 < 14.7");
    assert_eq!(postgres.cve_ids, ["CVE-2022-41862", "CVE-2023-2454"]);
    assert_eq!(postgres.cwe_ids, ["CWE-200"]);
    assert_eq!(postgres.cvss_score, Some(7.5));
    assert_eq!(postgres.description, some("A database is out of date.\n\nThe version is older\nthan 14.7."));
    assert_eq!(postgres.excerpt, some("Installed: 14.5 <b>"));
    assert_eq!(postgres.references, ["https://example.org/one", "https://example.org/two"]);
    assert_eq!((postgres.port, postgres.endpoint.clone()), (Some(5432), some("db1.example.org:5432/tcp")));
    assert_eq!((postgres.known_exploit, postgres.fix_available), (Some(true), Some(true)));
    let os = one(&found, "11936");
    assert_eq!((os.severity, os.port, os.endpoint.clone()), (Severity::Info, None, None));
    assert_eq!(found.iter().filter(|(reported, _)| reported.class == FindingClass::Compliance).count(), 2);
}

#[test]
fn a_table_with_a_mark_and_carriage_returns() {
    let found = read("table.csv", 3, [0, 0, 1, 0, 1, 0], &["web1"]);
    let tls = one(&found, "101");
    assert_eq!((tls.title.as_str(), tls.cvss_score, tls.port), ("TLS 1.0; still on", Some(6.1), Some(443)));
    assert_eq!(tls.first_seen_at, Timestamp::parse("2026-03-02"));
    assert_eq!(tls.references, ["https://example.org/a", "https://example.org/b"]);
    assert_eq!(tls.asset.kind, some("host"));
    let quoted = one(&found, "102");
    assert_eq!((quoted.title.as_str(), quoted.severity), ("A \"quoted\" name", Severity::Critical));
    assert_eq!(quoted.cve_ids, ["CVE-2024-1111", "CVE-2024-2222"]);
}

#[test]
fn lines_and_objects() {
    let found = read("lines.jsonl", 3, [0, 1, 0, 1, 0, 0], &["files.example.org", "vault.example.org"]);
    let bucket = one(&found, "a1");
    assert_eq!(
        (bucket.tags.as_slice(), bucket.known_exploit),
        (["s3", "public", "old"].map(str::to_owned).as_slice(), Some(true))
    );
    assert_eq!(bucket.file_path, some("/y"));
    let found = read("objects.json", 2, [0, 0, 2, 0, 0, 0], &["the shop"]);
    assert!(found.iter().all(|(reported, _)| reported.cwe_ids == ["CWE-489"] && reported.line.is_some()));
}

#[test]
fn the_order_is_the_same_each_time() {
    for (file, format, mapping) in all() {
        let plan = Plan { mapping: mapping.as_ref(), asset: Some("the shop") };
        let read =
            || both(&path(file), Some(format), &plan, &Limits::default()).expect("it is well formed").1;
        assert_eq!(read(), read(), "{file}");
    }
}

#[test]
fn a_byte_order_mark_changes_nothing() {
    for (file, format, mapping) in all() {
        let bytes = std::fs::read(path(file)).expect("the fixture");
        let plain = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let marked = [b"\xef\xbb\xbf", plain].concat();
        let found = |bytes: &[u8]| {
            both_of(bytes, format, mapping.as_ref(), &Limits::default()).expect("it is well formed").1
        };
        assert_eq!(found(plain), found(&marked), "{file}");
    }
}

#[test]
fn xml_in_other_encodings() {
    let text = std::fs::read_to_string(path("hosts.nessus"))
        .expect("the fixture")
        .replace("A database", "Eine Datenbänk");
    let found = |bytes: &[u8]| {
        let found = both_of(bytes, Format::NessusXml, None, &Limits::default()).expect("it is well formed").1;
        one(&found, "63347").description.clone().expect("a description")
    };
    let latin: Vec<u8> = text
        .replacen("version=\"1.0\" ", "version=\"1.0\" encoding=\"ISO-8859-1\"", 1)
        .chars()
        .map(|c| u8::try_from(u32::from(c)).expect("it is in Latin 1"))
        .collect();
    let wide = |order: fn(u16) -> [u8; 2]| {
        text.replacen("version=\"1.0\" ", "version=\"1.0\" encoding=\"UTF-16\"", 1)
            .encode_utf16()
            .flat_map(order)
            .collect::<Vec<u8>>()
    };
    for bytes in [
        latin,
        [b"\xff\xfe".to_vec(), wide(u16::to_le_bytes)].concat(),
        [b"\xfe\xff".to_vec(), wide(u16::to_be_bytes)].concat(),
    ] {
        assert!(found(&bytes).starts_with("Eine Datenbänk"));
        assert_eq!(Format::detect(&bytes).expect("it is told"), Format::NessusXml);
    }
    assert_eq!(found(text.as_bytes()).lines().next(), Some("Eine Datenbänk is out of date."));
}

#[test]
fn formats_are_told_by_their_beginning() {
    for (file, format, mapping) in all() {
        let bytes = std::fs::read(path(file)).expect("the fixture");
        let told = Format::detect(&bytes);
        match mapping {
            None => assert_eq!(told.expect("it is told"), format, "{file}"),
            Some(_) => {
                let error = told.expect_err("formats under a mapping are never told");
                assert_eq!(error.code, Code::ReportUnknown, "{file}");
                assert!(error.message.contains("CSV, JSONL, JSON also need a mapping"), "{}", error.message);
            }
        }
    }
    for unknown in
        [&b""[..], b"   ", b"null", b"[]", b"{}", b"<html></html>", b"\x00\xff\x13\x37", b"{\"runs"]
    {
        assert_eq!(Format::detect(unknown).expect_err("it is not told").code, Code::ReportUnknown);
    }
    let keys: Vec<_> = Format::ALL.iter().map(|format| format.key()).collect();
    let distinct: HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
    assert!(Format::ALL.iter().all(|format| Format::parse(&format.key().to_lowercase()) == Some(*format)));
}

#[test]
fn a_mapping_has_to_fit() {
    let table = "Host,Name\nweb1,TLS 1.0\n";
    let with = |change: fn(&mut Mapping)| {
        let mut mapping = Mapping::default();
        mapping.columns.insert(Mapped::Title, "Name".to_owned());
        mapping.columns.insert(Mapped::Asset, "Host".to_owned());
        change(&mut mapping);
        let plan = Plan { mapping: Some(&mapping), asset: None };
        check(on_disk(table.as_bytes()).path(), Some(Format::Csv), &plan, &Limits::default())
    };
    assert_eq!(with(|_| {}).expect("it fits").findings, 1);
    type Change = fn(&mut Mapping);
    let faults: [(Change, Code, &[&str]); 9] = [
        (|m| drop(m.columns.remove(&Mapped::Title)), Code::Required, &["mapping", "columns", "title"]),
        (|m| drop(m.columns.remove(&Mapped::Asset)), Code::Required, &["mapping", "columns", "asset"]),
        (
            |m| drop(m.columns.insert(Mapped::Port, "Prot".to_owned())),
            Code::Invalid,
            &["mapping", "columns", "port"],
        ),
        (
            |m| drop(m.constants.insert(Mapped::Severity, "bad".to_owned())),
            Code::Invalid,
            &["mapping", "constants", "severity"],
        ),
        (|m| m.identity.push("Nonce".to_owned()), Code::Invalid, &["mapping", "identity"]),
        (|m| m.list_separator = Some(String::new()), Code::Invalid, &["mapping", "listSeparator"]),
        (|m| m.delimiter = Some('"'), Code::Invalid, &["mapping", "delimiter"]),
        (|m| m.items = Some("x".to_owned()), Code::Invalid, &["mapping", "items"]),
        (|m| m.time_format = Some("%".to_owned()), Code::Invalid, &["mapping", "timeFormat"]),
    ];
    for (change, code, field) in faults {
        let error = with(change).expect_err("it does not fit");
        assert_eq!(
            (error.code, error.field.iter().map(String::as_str).collect::<Vec<_>>()),
            (code, field.to_vec()),
            "{error}"
        );
    }
    let plan = Plan::default();
    let error = check(on_disk(table.as_bytes()).path(), Some(Format::Csv), &plan, &Limits::default())
        .expect_err("it has none");
    assert_eq!((error.code, error.field), (Code::Required, vec!["mapping".to_owned()]));
}

#[test]
fn a_first_reading_can_be_cancelled() {
    let mut seen = 0;
    let mut stop = |entries| {
        seen = entries;
        if entries < 3 { Ok(()) } else { Err(Error::new(Code::IllegalState, "cancelled")) }
    };
    let error = check_watched(&path("checks.sarif"), None, &Plan::default(), &Limits::default(), &mut stop);
    assert_eq!(error.expect_err("it was cancelled").code, Code::IllegalState);
    assert_eq!(seen, 3);
}

#[test]
fn a_finding_without_an_asset_is_on_an_unnamed_one() {
    let text = br#"{"Results":[{"Secrets":[{"RuleID":"r"}]}]}"#;
    let assets = |asset| {
        let plan = Plan { mapping: None, asset };
        check(on_disk(text).path(), Some(Format::TrivyJson), &plan, &Limits::default())
            .expect("it is well formed")
            .assets
    };
    assert_eq!(assets(None), ["unnamed asset"]);
    assert_eq!(assets(Some("  ")), ["unnamed asset"]);
    assert_eq!(assets(Some("the shop")), ["the shop"]);
}

#[test]
fn a_mapping_is_written_as_json() {
    let text = serde_json::to_string(&table()).expect("it is plain data");
    assert_eq!(serde_json::from_str::<Mapping>(&text).expect("what was written is read"), table());
    assert!(serde_json::from_str::<Mapping>(r#"{"colums":{}}"#).is_err(), "a misspelt member is refused");
    assert!(
        serde_json::from_str::<Mapping>(r#"{"columns":{"tittle":"x"}}"#).is_err(),
        "a misspelt field is refused"
    );
}

/// Enough repeated findings for several files set aside, against the highest of each in memory.
#[test]
fn what_is_set_aside_on_disk_is_merged() {
    let severities = ["low", "high", "medium", "critical"];
    let rows: String = (0..9_000)
        .map(|row| {
            // A third of the findings has one entry, the others have two or three.
            let id = if row % 3 == 0 { row } else { row % 2_500 };
            format!("{{\"id\":\"{id}\",\"title\":\"t{row}\",\"severity\":\"{}\",\"tags\":[\"a{}\",\"b\"],\"where\":{{\"host\":\"h\"}}}}\n", severities[row % 4], row % 5)
        })
        .collect();
    let (checked, found) = both_of(rows.as_bytes(), Format::Jsonl, Some(&lines()), &Limits::default())
        .expect("it is well formed");
    assert!(checked.named.repeated() > 2_000 && checked.entries == 9_000, "{checked:?}");
    let mut expected: HashMap<String, (String, Severity)> = HashMap::new();
    for line in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("it was written above");
        let word = |name: &str| row[name].as_str().expect("a word").to_owned();
        let severity = Severity::parse(&word("severity")).expect("one of ours");
        let known = expected.entry(word("id")).or_insert((word("title"), severity));
        known.1 = severity.max(known.1);
    }
    assert_eq!(found.len(), expected.len());
    for (reported, _) in &found {
        let id = reported.scanner_reference.as_deref().expect("an id");
        assert_eq!((&reported.title, reported.severity), (&expected[id].0, expected[id].1), "{id}");
    }
}
