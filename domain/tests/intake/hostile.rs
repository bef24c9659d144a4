//! Reports that are broken, or meant to break a reader.

use domain::error::{Code, Error};
use domain::intake::format::{Format, Plan};
use domain::intake::limits::Limits;
use domain::intake::mapping::Mapping;
use domain::intake::reading::check;
use proptest::prelude::*;

use crate::fixtures::{all, both_of, ends_itself, lines, objects, on_disk, path, table};

fn refused(bytes: &[u8], format: Format, mapping: Option<&Mapping>) -> Error {
    match both_of(bytes, format, mapping, &Limits::default()) {
        Err(error) => error,
        Ok((checked, _)) => panic!("{checked:?} was accepted"),
    }
}

fn number(error: &Error, key: &str) -> u64 {
    error.details.get(key).and_then(serde_json::Value::as_u64).unwrap_or_else(|| panic!("{error} has {key}"))
}

#[test]
fn a_report_cut_anywhere_is_refused() {
    for (number, (file, format, mapping)) in all().into_iter().enumerate() {
        let bytes = std::fs::read(path(file)).expect("the fixture");
        let plan = Plan { mapping: mapping.as_ref(), asset: Some("the shop") };
        let report = on_disk(&bytes);
        let cut_to = |end: usize| {
            report.as_file().set_len(end as u64).expect("a file can be made shorter");
            check(report.path(), Some(format), &plan, &Limits::default())
        };
        let whole = cut_to(bytes.len()).expect("it is well formed").entries;
        // From its end to its beginning, at places that are others in each report.
        let end = bytes.trim_ascii_end().len();
        for end in (0..end).rev().skip(number % 7).step_by(1 + end / 120) {
            match cut_to(end) {
                Err(error) => assert!(
                    matches!(error.code, Code::ReportMalformed | Code::Invalid),
                    "{file} cut at {end}: {error}"
                ),
                Ok(cut) => {
                    assert!(!ends_itself(format) && cut.entries <= whole, "{file} cut at {end} is accepted")
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(which in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut all = all();
        let (file, format, mapping) = all.swap_remove(which.index(all.len()));
        let mut bytes = std::fs::read(path(file)).expect("the fixture");
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(error) = both_of(&bytes, format, mapping.as_ref(), &Limits::default()) {
            prop_assert_ne!(error.code, Code::Internal, "{}", error);
        }
        let _ = check(on_disk(&bytes).path(), None, &Plan::default(), &Limits::default());
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), which in any::<prop::sample::Index>()) {
        let mut all = all();
        all.retain(|(_, format, _)| ends_itself(*format));
        let (_, format, mapping) = all.swap_remove(which.index(all.len()));
        prop_assert!(both_of(&bytes, format, mapping.as_ref(), &Limits::default()).is_err());
    }
}

#[test]
fn the_place_of_a_fault() {
    let trivy = "{\n \"ArtifactName\": \"a\",\n \"Results\": [\n  {\"Target\": \"t\",\n   \"Vulnerabilities\": [\n    {\"VulnerabilityID\": \"CVE-2020-0001\",\n     \"PkgName\": 7}\n ]}]}";
    let error = refused(trivy.as_bytes(), Format::TrivyJson, None);
    assert_eq!(error.code, Code::ReportMalformed);
    assert_eq!((number(&error, "line"), number(&error, "column")), (7, 17), "{error}");
    assert_eq!(number(&error, "offset"), trivy.find('7').expect("it is there") as u64, "{error}");
    assert_eq!(error.details["path"], "/Results/0/Vulnerabilities/0");

    let sarif = "{\"version\":\"2.1.0\",\"runs\":[{},{\"results\":\"none\"}]}";
    let error = refused(sarif.as_bytes(), Format::Sarif, None);
    assert_eq!((number(&error, "line"), &error.details["path"]), (1, &"/runs/1/results".into()), "{error}");

    let xml =
        "<NessusClientData_v2>\n<Report>\n<ReportHost name=\"a\"><ReportItem pluginID=\"1\" port=\"http\"/>";
    let error = refused(xml.as_bytes(), Format::NessusXml, None);
    assert_eq!(
        (number(&error, "line"), &error.details["path"]),
        (3, &"/NessusClientData_v2/Report/ReportHost/ReportItem".into()),
        "{error}"
    );

    let rows = "Host;Check;Name;Risk;CVE;Score;Port;Seen;Links\na;1;n;low;;;;;\na;1;n;low;;\n";
    let error = refused(rows.as_bytes(), Format::Csv, Some(&table()));
    assert_eq!((error.code, number(&error, "line")), (Code::ReportMalformed, 3), "{error}");
    let rows = "Host;Check;Name;Risk;CVE;Score;Port;Seen;Links\na;1;n;low;;;;;\na;1;n;so so;;;;;\n";
    let error = refused(rows.as_bytes(), Format::Csv, Some(&table()));
    assert_eq!(number(&error, "line"), 3, "{error}");
    assert!(error.message.contains("`so so`"), "{error}");

    let error = refused(b"{\"id\":\"1\",\"title\":\"t\"}\n{\"id\":}\n", Format::Jsonl, Some(&lines()));
    assert_eq!(
        (error.code, number(&error, "line"), number(&error, "column")),
        (Code::ReportMalformed, 2, 7),
        "{error}"
    );
}

#[test]
fn what_is_not_of_the_format_is_refused() {
    let cases: [(&[u8], Format, Option<Mapping>); 26] = [
        (b"", Format::TrivyJson, None),
        (b"{}", Format::TrivyJson, None),
        (b"3", Format::TrivyJson, None),
        (b"[3]", Format::TrivyJson, None),
        (br#"{"Results":"none"}"#, Format::TrivyJson, None),
        (br#"{"Results":[{"Vulnerabilities":{}}]}"#, Format::TrivyJson, None),
        (br#"{"Results":[{"Vulnerabilities":[{"PkgName":"a"}]}]}"#, Format::TrivyJson, None),
        (br#"{"Results":[{"Vulnerabilities":[{"PkgName":"a","VulnerabilityID":"b","Severity":"DIRE"}]}]}"#, Format::TrivyJson, None),
        (br#"{"Results":[{"Secrets":[{"RuleID":"a","StartLine":1e400}]}]}"#, Format::TrivyJson, None),
        (br#"{"Results":[{"Secrets":[{"RuleID":"a","StartLine":-1}]}]}"#, Format::TrivyJson, None),
        (b"{\"Results\":[],\"x\":\"\xff\"}", Format::TrivyJson, None),
        (br#"{"Results":[]} {}"#, Format::TrivyJson, None),
        (br#"{"version":"2.1.0"}"#, Format::Sarif, None),
        (br#"{"runs":[]}"#, Format::Sarif, None),
        (br#"{"version":"2.0.0","runs":[]}"#, Format::Sarif, None),
        (br#"{"version":"2.1.0","runs":[{"results":[{"level":"bad","message":{"text":"a"}}]}]}"#, Format::Sarif, None),
        (b"<a/>", Format::NessusXml, None),
        (b"<NessusClientData_v2/><b/>", Format::NessusXml, None),
        (b"<NessusClientData_v2>&unknown;</NessusClientData_v2>", Format::NessusXml, None),
        (b"<NessusClientData_v2><a></b></NessusClientData_v2>", Format::NessusXml, None),
        (b"<NessusClientData_v2>\xff</NessusClientData_v2>", Format::NessusXml, None),
        (b"<NessusClientData_v2><Report><ReportHost name='a'><ReportItem pluginID='1' severity='9'/></ReportHost></Report></NessusClientData_v2>", Format::NessusXml, None),
        (b"", Format::Csv, Some(table())),
        (b"Host;Check;Name;Risk;CVE;Score;Port;Seen;Links\na;1;n;low;;;99999;;\n", Format::Csv, Some(table())),
        (b"[1]\n", Format::Jsonl, Some(lines())),
        (br#"{"out":{"findings":{"a":1}}}"#, Format::Json, Some(objects())),
    ];
    for (bytes, format, mapping) in cases {
        let error = refused(bytes, format, mapping.as_ref());
        assert_eq!(error.code, Code::ReportMalformed, "{}: {error}", String::from_utf8_lossy(bytes));
        number(&error, "line");
        number(&error, "offset");
    }
    let nothing_there = refused(b"{\"a\":[]}", Format::Json, Some(&objects()));
    assert_eq!(
        (nothing_there.code, nothing_there.field),
        (Code::Invalid, vec!["mapping".to_owned(), "items".to_owned()])
    );
}

#[test]
fn limits_are_met_while_streaming() {
    let nested =
        |depth: usize| format!("{{\"Results\":[],\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let in_item = |value: &str| {
        format!(
            r#"{{"Results":[{{"Vulnerabilities":[{{"VulnerabilityID":"a","PkgName":"b","x":{value}}}]}}]}}"#
        )
    };
    let wrap = |inside: &str| format!("<NessusClientData_v2>{inside}</NessusClientData_v2>");
    let long = "y".repeat(3 << 20);
    let bomb = format!(
        "<!DOCTYPE NessusClientData_v2 [<!ENTITY a \"aa\"><!ENTITY b \"&a;&a;&a;&a;\">]>{}",
        wrap("&b;")
    );
    let outside = "<!DOCTYPE NessusClientData_v2 [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>".to_owned()
        + &wrap("&x;");
    let attributes: String = (0..100).map(|number| format!(" a{number}=\"\"")).collect();
    let cases = [
        (nested(6_000), Format::TrivyJson, "nesting"),
        (
            in_item(&format!("{}1{}", "{\"a\":".repeat(6_000), "}".repeat(6_000))),
            Format::TrivyJson,
            "nesting",
        ),
        (in_item(&format!("\"{long}\"")), Format::TrivyJson, "string"),
        (format!("{{\"Results\":[],\"{long}\":1}}"), Format::TrivyJson, "string"),
        (in_item(&"9".repeat(5_000)), Format::TrivyJson, "number"),
        (
            in_item(&format!(
                "[{}]",
                vec![format!("\"{}\"", "0123456789abcdef".repeat(8)); 1 << 17].join(",")
            )),
            Format::TrivyJson,
            "item",
        ),
        (
            format!("{}{}", "<NessusClientData_v2>".repeat(6_000), "</NessusClientData_v2>".repeat(6_000)),
            Format::NessusXml,
            "nesting",
        ),
        (wrap(&"y".repeat(9 << 20)), Format::NessusXml, "text"),
        (wrap(&format!("<!--{}-->", "y > ".repeat(3 << 20))), Format::NessusXml, "text"),
        (wrap(&format!("<![CDATA[{}]]>", "y ]> ".repeat(2 << 20))), Format::NessusXml, "text"),
        (wrap(&format!("<a b=\"{long}\"/>")), Format::NessusXml, "string"),
        (wrap(&format!("<a{attributes}/>")), Format::NessusXml, "attributes"),
        (bomb, Format::NessusXml, "entities"),
        (outside, Format::NessusXml, "entities"),
        (format!("a;\"{long}\"\n"), Format::Csv, "string"),
        (format!("{{\"id\":\"{long}\"}}\n"), Format::Jsonl, "string"),
        (format!("{}\n", "[".repeat(6_000)), Format::Jsonl, "nesting"),
    ];
    for (text, format, limit) in cases {
        let mapping = match format {
            Format::Csv => Some(table()),
            Format::Jsonl => Some(lines()),
            _ => None,
        };
        let error = refused(text.as_bytes(), format, mapping.as_ref());
        assert_eq!(
            (error.code, error.details.get("limit")),
            (Code::ReportTooLarge, Some(&limit.into())),
            "{error}"
        );
        number(&error, "value");
        number(&error, "line");
    }
}

#[test]
fn each_limit_can_be_set() {
    let bytes = std::fs::read(path("checks.sarif")).expect("the fixture");
    let with = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        both_of(&bytes, Format::Sarif, None, &limits)
    };
    type Change = fn(&mut Limits);
    let cases: [(Change, &str); 6] = [
        (|limits| limits.bytes = 2_000, "bytes"),
        (|limits| limits.nesting = 6, "nesting"),
        (|limits| limits.string = 20, "string"),
        (|limits| limits.item = 200, "item"),
        (|limits| limits.items = 4, "items"),
        (|limits| limits.collected = 500, "collected"),
    ];
    for (change, limit) in cases {
        let error = with(change).expect_err("it is over the limit");
        assert_eq!(
            (error.code, error.details.get("limit")),
            (Code::ReportTooLarge, Some(&limit.into())),
            "{error}"
        );
    }
    let xml = std::fs::read(path("hosts.nessus")).expect("the fixture");
    let error = both_of(&xml, Format::NessusXml, None, &Limits { item: 300, ..Limits::default() })
        .expect_err("it is over");
    assert_eq!(error.details.get("limit"), Some(&"item".into()), "{error}");
    let (_, found) = with(|limits| limits.list = 1).expect("lists are cut");
    assert!(found.iter().all(|(reported, _)| reported.tags.len() <= 1));
}

/// Pieces of JSON, of which any sequence may or may not be well formed.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\\u00e9\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "1",
        "-0.5e+3",
        "01",
        "1.",
        "-",
        "true",
        "nul",
        "null",
        " ",
        "\n",
        "\"",
        "\\",
        "{\"a\":",
        "[1,",
        "{}",
        "[]",
        "\"\\\\\"",
        "\"\\\"\"",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is passed over is held to the grammar as strictly as what is parsed. A value may close
    /// the entry that it is in and go on behind it: then its neighbours need not be entries.
    #[test]
    fn json_is_what_serde_json_says(value in pieces()) {
        let well_formed = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        let entry = format!(r#"{{"RuleID":"r","x":{value}}}"#);
        let taken = format!(r#"{{"Results":[{{"Secrets":[{entry}]}}]}}"#);
        let skipped = format!(r#"{{"Results":[],"x":{value}}}"#);
        for (text, stays_inside) in [(skipped, true), (taken, well_formed(&entry))] {
            let read = check(on_disk(text.as_bytes()).path(), Some(Format::TrivyJson), &Plan::default(), &Limits::default());
            if stays_inside || !well_formed(&text) {
                prop_assert_eq!(read.is_ok(), well_formed(&text), "{}: {:?}", text, read.err());
            }
        }
    }
}
