//! Reports that are small and mean much work, or that are one huge value: what they take of memory
//! is bounded, and twice the report is at most about twice the work.

use std::fmt::Write as _;
use std::io::Write as _;

use domain::error::{Code, Error, Result};
use domain::intake::format::{Format, Plan};
use domain::intake::limits::Limits;
use domain::intake::mapping::Mapping;
use domain::intake::reading::{check, read};
use tempfile::{NamedTempFile, TempDir};

use crate::fixtures::{lines, objects, on_disk, table};
use crate::work::{self, Work};

const MIB: usize = 1 << 20;

fn mapping(format: Format) -> Option<Mapping> {
    match format {
        Format::Csv => Some(table()),
        Format::Jsonl => Some(lines()),
        Format::Json => Some(objects()),
        _ => None,
    }
}

/// Both readings of a report, keeping nothing; the entries and the findings.
fn gone_through(file: &NamedTempFile, format: Format, limits: &Limits) -> Result<(u64, u64)> {
    let mapping = mapping(format);
    let plan = Plan { mapping: mapping.as_ref(), asset: Some("the shop") };
    let checked = check(file.path(), Some(format), &plan, limits)?;
    let scratch = TempDir::new().expect("a temporary folder");
    read(file.path(), &checked, limits, scratch.path(), &mut |_| Ok(()))?;
    Ok((checked.entries, checked.findings))
}

fn place(error: &Error) -> String {
    assert!(error.details.contains_key("line") && error.details.contains_key("offset"), "{error}");
    match error.details.get("limit").and_then(serde_json::Value::as_str) {
        Some(limit) => limit.to_owned(),
        None => error.code.word().to_owned(),
    }
}

/// A report of which one value is 100 MB long.
fn long(before: &str, fill: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    // Of what comes after all limits there are only zeros, which take no room on disk.
    file.write_all(before.as_bytes()).expect("room for it");
    file.write_all(&fill.repeat(17 * MIB / fill.len())).expect("room for it");
    file.as_file().set_len(100_000_000).expect("a file can be made longer");
    file
}

#[test]
fn a_value_of_100_mb_is_refused_where_it_is() {
    let trivy = |value: &str| format!(r#"{{"Results":[{{"Vulnerabilities":[{{"VulnerabilityID":"a",{value}"#);
    let nessus = |inside: &str| format!("<NessusClientData_v2>{inside}");
    let burp = "<issues><issue><type>1</type><name>n</name><requestresponse><request base64=\"true\">";
    let table = "Host;Check;Name;Risk;CVE;Score;Port;Seen;Links\na;1;\"";
    let line = "{\"id\":\"1\",\"title\":\"t\",\"severity\":\"low\",\"x\":[";
    let cases: [(&str, String, &[u8], Format, &str); 16] = [
        ("a string", trivy(r#""PkgName":""#), b"y", Format::TrivyJson, "string"),
        ("a string of escapes", trivy(r#""PkgName":""#), b"\\u0041\\\"", Format::TrivyJson, "string"),
        ("a string that nobody reads", "{\"x\":\"".to_owned(), b"y", Format::TrivyJson, "string"),
        ("a name", trivy("\""), b"k", Format::TrivyJson, "string"),
        ("a number", trivy(r#""x":"#), b"7", Format::TrivyJson, "number"),
        ("a number with a point", trivy(r#""x":0."#), b"7", Format::TrivyJson, "number"),
        ("a text", nessus("<Policy>"), b"y", Format::NessusXml, "text"),
        ("a text with references", nessus("<Policy>"), b"&amp;a  ", Format::NessusXml, "text"),
        ("an attribute", "<NessusClientData_v2 a=\"".to_owned(), b"y", Format::NessusXml, "string"),
        ("the name of an element", "<".to_owned(), b"y", Format::NessusXml, "string"),
        ("a comment that only begins", nessus("<!--->"), b"<a></a>>", Format::NessusXml, "text"),
        (
            "a declaration without an end",
            "<!DOCTYPE a [<!ELEMENT a ]>".to_owned(),
            b"<a></a>>",
            Format::NessusXml,
            "text",
        ),
        ("an instruction", nessus("<?a "), b"<a></a>>", Format::NessusXml, "string"),
        ("a body in base64", burp.to_owned(), b"eXl5", Format::BurpXml, "text"),
        ("a cell", table.to_owned(), b"y", Format::Csv, "string"),
        ("a line", line.to_owned(), b"[],1,   ", Format::Jsonl, "item"),
    ];
    for (name, before, fill, format, limit) in cases {
        let file = long(&before, fill);
        let (done, work) = work::of(|| gone_through(&file, format, &Limits::default()));
        assert_eq!(place(&done.expect_err("it is over the limit")), limit, "{name}");
        eprintln!("{name}: {limit}, peak {} KiB", work.peak >> 10);
        assert!(work.peak < 80 * MIB, "{name}: {work:?}");
    }
}

/// What is two bytes in a report and a structure in memory.
#[test]
fn an_item_full_of_empty_values_is_refused() {
    let times = |value: &str, count: usize| vec![value; count].join(",");
    let cases: [(&str, &str, &str, Format); 9] = [
        (r#"{"document":{"csaf_version":"2.0"},"vulnerabilities":[{"scores":["#, "{}", "]}]}", Format::Csaf),
        (
            r#"{"document":{"csaf_version":"2.0"},"product_tree":{"product_groups":[{"group_id":"g","product_ids":["#,
            "\"\"",
            "]}]}}",
            Format::Csaf,
        ),
        (
            r#"{"bomFormat":"CycloneDX","vulnerabilities":[{"id":"a","affects":["#,
            "{}",
            "]}]}",
            Format::CyclonedxJson,
        ),
        (
            r#"{"statements":[{"status":"fixed","vulnerability":"a","products":["#,
            "\"\"",
            "]}]}",
            Format::Openvex,
        ),
        (
            r#"{"results":[{"packages":[{"vulnerabilities":[{"id":"a","affected":["#,
            "{}",
            "]}]}]}]}",
            Format::OsvScannerJson,
        ),
        (r#"[{"class_uid":2002,"resources":["#, "{}", "]}]", Format::Ocsf),
        (r#"{"out":{"findings":[{"name":["#, "[]", "]}]}}", Format::Json),
        (r#"{"id":"1","title":["#, "[]", "]}\n", Format::Jsonl),
        ("Host;Check;Name;Risk;CVE;Score;Port;Seen;Links", ";", "\n", Format::Csv),
    ];
    for (before, value, after, format) in cases {
        let report = [before, &times(value, 300_000), after].concat();
        let file = on_disk(report.as_bytes());
        let (done, work) = work::of(|| gone_through(&file, format, &Limits::default()));
        let error = done.expect_err("it is over the limit");
        assert_eq!(
            (error.code, place(&error).as_str()),
            (Code::ReportTooLarge, "values"),
            "{format}: {error}"
        );
        eprintln!("{format}: peak {} KiB", work.peak >> 10);
        assert!(work.peak < 64 * MIB, "{format}: {work:?}");
    }
}

/// What is learned of a report beside its findings, value by value without an end.
#[test]
fn what_a_reader_keeps_is_bounded() {
    let wide = "y".repeat(1 << 17);
    let cases: [(&str, &str, String, Format); 8] = [
        (
            "rules",
            r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"rules":["#,
            format!(r#"{{"id":"@","defaultConfiguration":{{"level":"{}"}}}}"#, &wide[..4000]),
            Format::Sarif,
        ),
        (
            "artifacts",
            r#"{"version":"2.1.0","runs":[{"artifacts":["#,
            format!(r#"{{"location":{{"uriBaseId":"{wide}"}}}}"#),
            Format::Sarif,
        ),
        ("groups", r#"{"results":[{"packages":[{"groups":["#, "{}".to_owned(), Format::OsvScannerJson),
        (
            "ids of a group",
            r#"{"results":[{"packages":[{"groups":["#,
            format!(r#"{{"ids":["{wide}"],"aliases":["{wide}"]}}"#),
            Format::OsvScannerJson,
        ),
        (
            "components",
            r#"{"bomFormat":"CycloneDX","components":["#,
            format!(r#"{{"bom-ref":"@","name":"{wide}"}}"#),
            Format::CyclonedxJson,
        ),
        (
            "products",
            r#"{"document":{"csaf_version":"2.0"},"product_tree":{"full_product_names":["#,
            format!(r#"{{"product_id":"@","name":"{wide}"}}"#),
            Format::Csaf,
        ),
        (
            "relationships",
            r#"{"document":{"csaf_version":"2.0"},"product_tree":{"relationships":["#,
            format!(
                r#"{{"product_reference":"{wide}","relates_to_product_reference":"b","full_product_name":{{"product_id":"@"}}}}"#
            ),
            Format::Csaf,
        ),
        (
            "pairs",
            r#"{"statements":["#,
            r#"{"status":"fixed","vulnerability":"@","products":["p"]}"#.to_owned(),
            Format::Openvex,
        ),
    ];
    let limits = Limits { collected: 1 << 20, ..Limits::default() };
    for (name, before, value, format) in cases {
        let mut report = before.to_owned();
        let mut number = 0;
        while report.len() < 3 << 20 && number < 20_000 {
            let comma = if number == 0 { "" } else { "," };
            write!(report, "{comma}{}", value.replace('@', &number.to_string())).expect("memory takes it");
            number += 1;
        }
        let file = on_disk(report.as_bytes());
        let (done, work) = work::of(|| gone_through(&file, format, &limits));
        let error = done.expect_err("it is over the limit");
        assert_eq!(place(&error), "collected", "{name}: {error}");
        eprintln!("{name}: peak {} KiB", work.peak >> 10);
        assert!(work.peak < 8 * MIB, "{name}: {work:?}");
    }
}

/// What a report says once, of many: it is not written out without an end.
#[test]
fn a_small_report_does_not_become_a_huge_one() {
    let page = "y".repeat(1 << 18);
    let many = |value: &str| vec![value; 2_000].join(",");
    let cases = [
        (
            format!(
                r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"rules":[{{"id":"r","help":{{"text":"{page}"}}}}]}}}},"results":[{}]}}]}}"#,
                vec![r#"{"ruleId":"r"}"#; 20_000].join(",")
            ),
            Format::Sarif,
        ),
        (
            format!(
                r#"{{"statements":[{{"status":"fixed","vulnerability":"a","products":[{{"@id":"{page}","subcomponents":[{}]}}]}}]}}"#,
                many("\"b\"")
            ),
            Format::Openvex,
        ),
        (
            format!(
                r#"{{"author":"{page}","statements":[{{"status":"fixed","vulnerability":"a","products":[{}]}}]}}"#,
                many("\"b\"")
            ),
            Format::Openvex,
        ),
        (
            format!(
                r#"{{"document":{{"csaf_version":"2.0"}},"vulnerabilities":[{{"title":"{page}","product_status":{{"fixed":[{}]}}}}]}}"#,
                (0..2_000).map(|at| format!("\"{at}\"")).collect::<Vec<_>>().join(",")
            ),
            Format::Csaf,
        ),
        (
            format!(
                r#"{{"bomFormat":"CycloneDX","vulnerabilities":[{{"id":"{page}","affects":[{}]}}]}}"#,
                many("{}")
            ),
            Format::CyclonedxJson,
        ),
        (
            format!(
                r#"{{"ArtifactName":"{page}","Results":[{{"Secrets":[{}]}}]}}"#,
                many(r#"{"RuleID":"r"}"#)
            ),
            Format::TrivyJson,
        ),
        (
            format!(
                r#"{{"results":[{{"source":{{"path":"{page}"}},"packages":[{{"vulnerabilities":[{}]}}]}}]}}"#,
                many(r#"{"id":"a"}"#)
            ),
            Format::OsvScannerJson,
        ),
    ];
    let limits = Limits { bytes: 16 << 20, ..Limits::default() };
    for (report, format) in cases {
        let file = on_disk(report.as_bytes());
        let (done, work) = work::of(|| gone_through(&file, format, &limits));
        let error = done.expect_err("it is over the limit");
        assert_eq!(place(&error), "bytes", "{format}: {error}");
        eprintln!(
            "{format}: {} KiB in, peak {} KiB, taken {} MiB",
            report.len() >> 10,
            work.peak >> 10,
            work.taken >> 20
        );
        assert!(work.taken < 1 << 30, "{format}: {work:?}");
    }
}

type Written = fn(usize) -> String;

fn joined(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect::<Vec<_>>().join(",")
}

/// Reports of a size, each part of which refers to others.
const GROWING: &[(&str, Format, Written)] = &[
    ("results before their rules", Format::Sarif, |n| {
        let results = joined(n, |at| format!(r#"{{"ruleId":"r{}","message":{{"text":"m"}}}}"#, n - at));
        let rules = joined(n, |at| format!(r#"{{"id":"r{at}","name":"n{at}"}}"#));
        format!(
            r#"{{"version":"2.1.0","runs":[{{"results":[{results}],"tool":{{"driver":{{"rules":[{rules}]}}}}}}]}}"#
        )
    }),
    ("roots of paths in each other", Format::Sarif, |n| {
        let bases = joined(n, |at| format!(r#""b{at}":{{"uri":"a/","uriBaseId":"b{}"}}"#, at + 1));
        let results = joined(n, |at| {
            format!(
                r#"{{"locations":[{{"physicalLocation":{{"artifactLocation":{{"uri":"f{at}","uriBaseId":"b0"}}}}}}]}}"#
            )
        });
        format!(
            r#"{{"version":"2.1.0","runs":[{{"originalUriBaseIds":{{{bases}}},"results":[{results}]}}]}}"#
        )
    }),
    ("products of one vulnerability", Format::Csaf, |n| {
        let ids = joined(n, |at| format!("\"p{at}\""));
        let products = joined(n, |at| format!(r#"{{"product_id":"p{at}","name":"product {at}"}}"#));
        format!(
            r#"{{"document":{{"csaf_version":"2.0"}},"vulnerabilities":[{{"cve":"CVE-2024-0001","product_status":{{"known_affected":[{ids}],"fixed":[{ids}]}},"scores":[{{"products":[{ids}],"cvss_v3":{{"baseScore":7.5}}}}],"remediations":[{{"category":"vendor_fix","details":"d","product_ids":[{ids}]}}]}}],"product_tree":{{"full_product_names":[{products}]}}}}"#
        )
    }),
    ("what is said of all products, of each", Format::Csaf, |n| {
        let ids = joined(n, |at| format!("\"p{at}\""));
        let scores = joined(n, |_| r#"{"cvss_v3":{"baseScore":7.5}}"#.to_owned());
        format!(
            r#"{{"document":{{"csaf_version":"2.0"}},"vulnerabilities":[{{"cve":"CVE-2024-0001","product_status":{{"fixed":[{ids}]}},"scores":[{scores}]}}]}}"#
        )
    }),
    ("products that are parts of each other", Format::Csaf, |n| {
        let ids = joined(n, |at| format!("\"p{at}\""));
        let parts = joined(n, |at| {
            format!(
                r#"{{"product_reference":"p{}","relates_to_product_reference":"p{}","full_product_name":{{"product_id":"p{at}"}}}}"#,
                at + 1,
                at + 1
            )
        });
        format!(
            r#"{{"document":{{"csaf_version":"2.0"}},"product_tree":{{"relationships":[{parts}]}},"vulnerabilities":[{{"title":"t","product_status":{{"fixed":[{ids}]}}}}]}}"#
        )
    }),
    ("statements about one pair", Format::Openvex, |n| {
        let statements =
            joined(n, |_| r#"{"status":"fixed","vulnerability":"a","products":["b"]}"#.to_owned());
        format!(r#"{{"statements":[{statements}]}}"#)
    }),
    ("products of one statement", Format::Openvex, |n| {
        let products = joined(n, |at| format!(r#"{{"@id":"p{at}","subcomponents":["a","b"]}}"#));
        format!(r#"{{"statements":[{{"status":"fixed","vulnerability":"a","products":[{products}]}}]}}"#)
    }),
    ("vulnerabilities before their components", Format::CyclonedxJson, |n| {
        let vulnerabilities =
            joined(n, |at| format!(r#"{{"id":"v{at}","affects":[{{"ref":"c{}"}}]}}"#, n - at));
        let components = joined(n, |at| format!(r#"{{"bom-ref":"c{at}","name":"n{at}"}}"#));
        format!(
            r#"{{"bomFormat":"CycloneDX","vulnerabilities":[{vulnerabilities}],"components":[{components}]}}"#
        )
    }),
    ("what one vulnerability affects", Format::CyclonedxJson, |n| {
        let affects =
            joined(n, |at| format!(r#"{{"ref":"c{at}","versions":[{{"version":"1"}},{{"version":"2"}}]}}"#));
        format!(r#"{{"bomFormat":"CycloneDX","vulnerabilities":[{{"id":"v","affects":[{affects}]}}]}}"#)
    }),
    ("vulnerabilities with one name", Format::OsvScannerJson, |n| {
        let ids = joined(n, |at| format!("\"v{at}\""));
        let vulnerabilities = joined(n, |at| format!(r#"{{"id":"v{at}"}}"#));
        format!(
            r#"{{"results":[{{"packages":[{{"groups":[{{"ids":[{ids}],"aliases":[{ids}]}}],"vulnerabilities":[{vulnerabilities}]}}]}}]}}"#
        )
    }),
    ("packages that make each other vulnerable", Format::NpmAuditJson, |n| {
        let each = joined(n, |at| {
            format!(
                r#""p{at}":{{"severity":"low","via":["p{}",{{"source":{at},"title":"t"}}],"effects":["p{}"]}}"#,
                at + 1,
                at + 2
            )
        });
        format!(r#"{{"auditReportVersion":2,"vulnerabilities":{{{each}}}}}"#)
    }),
    ("hosts before what was found", Format::QualysXml, |n| {
        let hosts: String = (0..n).map(|at| format!("<HOST><IP>10.0.0.1</IP><VULN_INFO_LIST><VULN_INFO><QID id=\"q\">{at}</QID></VULN_INFO></VULN_INFO_LIST></HOST>")).collect();
        let details: String = (0..n)
            .map(|at| format!("<VULN_DETAILS><QID id=\"q\">{at}</QID><TITLE>t</TITLE></VULN_DETAILS>"))
            .collect();
        format!(
            "<ASSET_DATA_REPORT><HOST_LIST>{hosts}</HOST_LIST><GLOSSARY><VULN_DETAILS_LIST>{details}</VULN_DETAILS_LIST></GLOSSARY></ASSET_DATA_REPORT>"
        )
    }),
    ("entries of one identity", Format::Jsonl, |n| {
        (0..n)
            .map(|at| {
                format!("{{\"id\":\"1\",\"title\":\"t{at}\",\"severity\":\"low\",\"tags\":[\"a{at}\"]}}\n")
            })
            .collect()
    }),
    ("entries of two identities in turn", Format::Csv, |n| {
        let rows: String =
            (0..n).map(|at| format!("a;{};n;low;CVE-2024-{at:05};;;;http://a/{at}\n", at % 2)).collect();
        format!("Host;Check;Name;Risk;CVE;Score;Port;Seen;Links\n{rows}")
    }),
    ("instances of one alert", Format::ZapXml, |n| {
        let instances: String = (0..n)
            .map(|at| format!("<instance><uri>http://a/{at}</uri><method>GET</method></instance>"))
            .collect();
        format!(
            "<OWASPZAPReport><site name=\"http://a\"><alerts><alertitem><pluginid>1</pluginid><name>n</name><riskcode>1</riskcode><instances>{instances}</instances></alertitem></alerts></site></OWASPZAPReport>"
        )
    }),
    ("members of one name", Format::TrivyJson, |n| {
        let results = joined(n, |at| {
            format!(r#""Results":[{{"Target":"t","Target":"u","Secrets":[{{"RuleID":"r{at}"}}]}}]"#)
        });
        format!("{{{results}}}")
    }),
];

#[test]
fn twice_the_report_is_twice_the_work() {
    for (name, format, written) in GROWING {
        let took = |n: usize| -> (Result<(u64, u64)>, Work) {
            let file = on_disk(written(n).as_bytes());
            work::of(|| gone_through(&file, *format, &Limits::default()))
        };
        let ((one, once), (two, twice)) = (took(400), took(800));
        let (one, two) = (one.expect("it is well formed"), two.expect("it is well formed"));
        assert!(one.0 > 0 && two.0 == 2 * one.0 || one.0 == two.0, "{name}: {one:?}, {two:?}");
        eprintln!(
            "{name}: {} and {} entries, {} and {} KiB taken, peak {} KiB",
            one.0,
            two.0,
            once.taken >> 10,
            twice.taken >> 10,
            twice.peak >> 10
        );
        // Excerpts grow up to their bound, so it is a little more than twice; a square is four times.
        assert!(twice.taken < once.taken * 3, "{name}: {once:?} became {twice:?}");
        assert!(twice.peak < 16 * MIB, "{name}: {twice:?}");
    }
}
