//! Values that no report should have: each is read as documented, or refused with its place.

use std::ops::Range;

use domain::error::Code;
use domain::intake::format::Format;
use domain::intake::limits::Limits;
use domain::intake::mapping::{Mapped, Mapping};

use crate::fixtures::{all, both_of, lines, objects, path, table};

/// `accepted`, or why not: the limit that was met, or the code.
fn outcome(report: &[u8], format: Format, mapping: Option<&Mapping>) -> String {
    match both_of(report, format, mapping, &Limits::default()) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => {
            if matches!(error.code, Code::ReportMalformed | Code::ReportTooLarge) {
                for key in ["line", "column", "offset"] {
                    assert!(error.details.contains_key(key), "{format}: {key} of {error}");
                }
            }
            let limit = error.details.get("limit").and_then(|limit| limit.as_str());
            limit.unwrap_or(error.code.word()).to_owned()
        }
    }
}

fn mapping(format: Format) -> Option<Mapping> {
    match format {
        Format::Csv => Some(table()),
        Format::Jsonl => Some(lines()),
        Format::Json => Some(objects()),
        _ => None,
    }
}

fn is_xml(format: Format) -> bool {
    format.entry().media_types.iter().any(|kind| kind.ends_with("xml"))
}

/// The values of a report: numbers, words and texts with their quotes in JSON; attributes and texts
/// in XML; cells in a table.
fn values(report: &str, format: Format) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    let bytes = report.as_bytes();
    let mut at = 0;
    let run = |from: usize, ends: &dyn Fn(u8) -> bool| {
        from + bytes[from..].iter().position(|byte| ends(*byte)).unwrap_or(bytes.len() - from)
    };
    while at < bytes.len() {
        let (start, end) = match bytes[at] {
            _ if format == Format::Csv => (at, run(at, &|byte| matches!(byte, b';' | b'\n'))),
            b'"' if is_xml(format) => (at + 1, run(at + 1, &|byte| byte == b'"')),
            b'>' if is_xml(format) => (at + 1, run(at + 1, &|byte| byte == b'<')),
            _ if is_xml(format) => (at, at),
            b'"' => {
                let end = run(at + 1, &|byte| byte == b'"') + 1;
                // The name of a member is no value.
                if bytes.get(end) == Some(&b':') { (end, end) } else { (at, end) }
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'-' => {
                (at, run(at, &|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n')))
            }
            _ => (at, at),
        };
        if !report[start..end].trim().is_empty() {
            values.push(start..end);
        }
        at = end.max(at + 1);
    }
    values
}

const WORDS: &[&str] = &[
    "",
    " ",
    "7",
    "-1",
    "0",
    "-0",
    "1e400",
    "-1e-400",
    "4294967296",
    "18446744073709551616",
    "99999999999999999999999999",
    "0.1e1",
    "10.1",
    "NaN",
    "-inf",
    "Infinity",
    "0x10",
    "+1",
    "1_000",
    "1,5",
    "true",
    "null",
    "\u{feff}",
    "\u{3000}\u{2028}",
    "\u{e9}\u{10348}\u{200d}\u{130}",
    "0000-00-00",
    "2024-02-30T00:00:00Z",
    "+292277026596-12-04T15:30:08Z",
    "-0001-01-01 00:00:00",
    "9999-12-31T23:59:59-01:00",
    "99999999999",
    "CVE-2021-44228",
    "CVE-2021-\u{661}\u{662}\u{663}\u{664}",
    "CWE-79",
    "cwe\u{130}-1",
    "pkg:npm/%40a/b@1?c=d#e",
    "pkg:/@",
    "pkg:a/%ff@",
    "http://[::1",
    "https://a:99999/?b#c",
    "//",
    "\\\\a\\b",
    "CVSS:3.1/AV:N",
    "CVSS:9.9/AV:N/AC:L",
    "AV:N/AC:L/Au:N/C:P/I:P/A:P",
    "{0}{1}{",
    "%s%n",
    "a@b@c:d:e",
    "a (b) (c",
    "../../etc/passwd",
];

/// Each value of each report, in turn, is one of the words, as a text and as it is.
#[test]
fn every_value_in_turn_is_something_else() {
    let (mut accepted, mut refused) = (0, 0);
    for (number, (file, format, mapping)) in all().into_iter().enumerate() {
        let report = std::fs::read_to_string(path(file)).expect("the fixture");
        for (at, value) in values(&report, format).into_iter().enumerate() {
            // A word for each, so that every word comes to every kind of value in some report.
            let word = WORDS[(at * 7 + number * 3) % WORDS.len()];
            let written = match () {
                () if is_xml(format) || format == Format::Csv => vec![word.to_owned()],
                () => vec![serde_json::to_string(word).expect("a text is JSON"), word.to_owned()],
            };
            for word in written {
                let changed = [&report[..value.start], &word, &report[value.end..]].concat();
                match outcome(changed.as_bytes(), format, mapping.as_ref()).as_str() {
                    "accepted" => accepted += 1,
                    // A declaration in front of the report is no value either.
                    "REPORT_MALFORMED" | "entities" => refused += 1,
                    "INVALID" if mapping.is_some() => refused += 1,
                    other => panic!("{file} with `{word}` for `{}`: {other}", &report[value]),
                }
            }
        }
    }
    assert!(accepted > 1_000 && refused > 500, "{accepted} accepted, {refused} refused");
}

#[test]
fn times_of_every_kind() {
    let cases = [
        ("2024-02-29T12:00:00Z", Some("2024-02-29T12:00:00.000000Z")),
        ("2024-02-29T12:00:00+05:30", Some("2024-02-29T06:30:00.000000Z")),
        ("2024-02-29T12:00:00+0530", Some("2024-02-29T06:30:00.000000Z")),
        ("2024-02-29T12:00:00.123456789Z", Some("2024-02-29T12:00:00.123456Z")),
        ("2024-02-29t12:00:00z", Some("2024-02-29T12:00:00.000000Z")),
        ("2024-02-29T12:00:00", Some("2024-02-29T12:00:00.000000Z")),
        ("2024-02-29 12:00:00.5", Some("2024-02-29T12:00:00.500000Z")),
        ("2024/02/29 12:00:00", Some("2024-02-29T12:00:00.000000Z")),
        ("2024-02-29", Some("2024-02-29T00:00:00.000000Z")),
        ("Thu Feb 29 12:00:00 2024", Some("2024-02-29T12:00:00.000000Z")),
        ("Thu Feb 29 12:00:00 CET 2024", Some("2024-02-29T12:00:00.000000Z")),
        ("Thu, 29 Feb 2024 12:00:00", Some("2024-02-29T12:00:00.000000Z")),
        ("Thu, 29 Feb 2024 12:00:00 GMT", Some("2024-02-29T12:00:00.000000Z")),
        ("Thu, 29 Feb 2024 12:00:00 +0530", Some("2024-02-29T06:30:00.000000Z")),
        ("1709208000", Some("2024-02-29T12:00:00.000000Z")),
        ("1709208000000", Some("2024-02-29T12:00:00.000000Z")),
        ("99999999999", Some("5138-11-16T09:46:39.000000Z")),
        ("2016-12-31T23:59:60Z", Some("2017-01-01T00:00:00.000000Z")),
        ("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00.000000Z")),
        ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59.000000Z")),
        // Years that RFC 3339 cannot write.
        ("9999-12-31T23:59:59-01:00", None),
        ("0000-01-01T00:00:00+01:00", None),
        ("10000-01-01T00:00:00Z", None),
        ("+10000-01-01", None),
        ("+10000-01-01 00:00:00", None),
        ("-0001-01-01 00:00:00", None),
        ("+292277026596-12-04T15:30:08Z", None),
        // Days and hours that there are not.
        ("2023-02-29T12:00:00Z", None),
        ("2024-02-30", None),
        ("2024-13-01", None),
        ("2024-02-29T24:00:01Z", None),
        ("2024-02-29T12:00:00+25:00", None),
        ("Mon Feb 29 12:00:00 2024", None),
        ("1709208000.5", None),
        ("17092080000000000", None),
        ("-1709208000", Some("1915-11-03T12:00:00.000000Z")),
        ("20240229", None),
        ("1", None),
        ("NaN", None),
        ("yesterday", None),
    ];
    let mut mapping = lines();
    mapping.columns.insert(Mapped::FirstSeenAt, "seen".to_owned());
    for (text, expected) in cases {
        let row = |id: u8| serde_json::json!({ "id": "1", "title": format!("t{id}"), "severity": "low", "seen": text });
        // Two entries of one finding, which is set aside on disk between them.
        let report = format!("{}\n{}\n", row(1), row(2));
        match (both_of(report.as_bytes(), Format::Jsonl, Some(&mapping), &Limits::default()), expected) {
            (Ok((_, found)), Some(expected)) => {
                let seen = found[0].0.first_seen_at.expect("it has a time");
                assert_eq!(seen.to_string(), expected, "{text}");
            }
            (Err(error), None) => {
                assert_eq!(error.code, Code::ReportMalformed, "{text}: {error}");
                assert_eq!(error.details["line"], 1, "{text}");
            }
            (outcome, _) => panic!("`{text}` is {outcome:?}"),
        }
    }
}

#[test]
fn numbers_of_every_kind() {
    let secret =
        |line: &str| format!(r#"{{"Results":[{{"Secrets":[{{"RuleID":"r","StartLine":{line}}}]}}]}}"#);
    let score = |score: &str| {
        format!(
            r#"{{"bomFormat":"CycloneDX","vulnerabilities":[{{"id":"a","ratings":[{{"method":"CVSSv3","score":{score}}}]}}]}}"#
        )
    };
    let epss = |value: &str| {
        format!(
            r#"{{"vulnerabilities":[{{"id":"a","packageName":"p","epssDetails":{{"probability":{value}}}}}]}}"#
        )
    };
    let item = |port: &str| {
        format!(
            "<NessusClientData_v2><Report><ReportHost name='h'><ReportItem pluginID='1' severity='1' port='{port}'/></ReportHost></Report></NessusClientData_v2>"
        )
    };
    let row = |cells: &str| format!("Host;Check;Name;Risk;CVE;Score;Port;Seen;Links\na;1;n;low;;{cells};;\n");
    let cases = [
        (secret("4294967295"), Format::TrivyJson, "accepted"),
        (secret("4294967296"), Format::TrivyJson, "REPORT_MALFORMED"),
        (secret("-1"), Format::TrivyJson, "REPORT_MALFORMED"),
        (secret("1.5"), Format::TrivyJson, "REPORT_MALFORMED"),
        (secret("1e400"), Format::TrivyJson, "REPORT_MALFORMED"),
        (secret("\"7\""), Format::TrivyJson, "REPORT_MALFORMED"),
        (secret("NaN"), Format::TrivyJson, "REPORT_MALFORMED"),
        (secret("01"), Format::TrivyJson, "REPORT_MALFORMED"),
        (secret("null"), Format::TrivyJson, "accepted"),
        // Scores out of range are left out.
        (score("1e300"), Format::CyclonedxJson, "accepted"),
        (score("-0.1"), Format::CyclonedxJson, "accepted"),
        (score("1e400"), Format::CyclonedxJson, "REPORT_MALFORMED"),
        (score("\"9.8\""), Format::CyclonedxJson, "REPORT_MALFORMED"),
        (epss("\"NaN\""), Format::SnykJson, "accepted"),
        (epss("\"inf\""), Format::SnykJson, "accepted"),
        (epss("18446744073709551616"), Format::SnykJson, "accepted"),
        (epss("[[]]"), Format::SnykJson, "accepted"),
        (item("65535"), Format::NessusXml, "accepted"),
        (item("65536"), Format::NessusXml, "REPORT_MALFORMED"),
        (item("-1"), Format::NessusXml, "REPORT_MALFORMED"),
        (row("7.5;443"), Format::Csv, "accepted"),
        (row("11;0"), Format::Csv, "accepted"),
        (row("NaN;443"), Format::Csv, "REPORT_MALFORMED"),
        (row("inf;443"), Format::Csv, "REPORT_MALFORMED"),
        (row("1e400;443"), Format::Csv, "REPORT_MALFORMED"),
        (row("7,5;443"), Format::Csv, "REPORT_MALFORMED"),
        (row("7.5;65536"), Format::Csv, "REPORT_MALFORMED"),
        (row("7.5;-443"), Format::Csv, "REPORT_MALFORMED"),
        (row("7.5;443.0"), Format::Csv, "REPORT_MALFORMED"),
    ];
    for (report, format, expected) in cases {
        assert_eq!(
            outcome(report.as_bytes(), format, mapping(format).as_ref()),
            expected,
            "{format}: {report}"
        );
        if expected == "accepted" {
            let (_, found) = both_of(report.as_bytes(), format, mapping(format).as_ref(), &Limits::default())
                .expect("it was accepted");
            let (reported, _) = &found[0];
            assert!(reported.cvss_score.is_none_or(|score| (0.0..=10.0).contains(&score)), "{report}");
            assert!(reported.epss_score.is_none_or(|score| (0.0..=1.0).contains(&score)), "{report}");
        }
    }
}

#[test]
fn bytes_of_every_kind() {
    let trivy =
        |title: &[u8]| [br#"{"Results":[{"Secrets":[{"RuleID":"r","Title":""#, title, br#""}]}]}"#].concat();
    let nessus = |text: &[u8]| {
        [b"<NessusClientData_v2><Report><ReportHost name='h'><ReportItem pluginID='1' severity='1'><description>", text, b"</description></ReportItem></ReportHost></Report></NessusClientData_v2>"].concat()
    };
    let cell = |text: &[u8]| {
        [b"Host;Check;Name;Risk;CVE;Score;Port;Seen;Links\na;1;", text, b";low;;;;;\n"].concat()
    };
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut lone = wide(r#"{"Results":[],"x":""#);
    lone.extend([0x00, 0xd8]);
    lone.extend(wide(r#""}"#));
    let mut odd = wide(r#"{"Results":[]}"#);
    odd.push(0x20);
    let declared = |name: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"{name}\"?><NessusClientData_v2><Report/></NessusClientData_v2>"
        )
        .into_bytes()
    };
    let (no, yes) = ("REPORT_MALFORMED", "accepted");
    let cases: Vec<(&str, Vec<u8>, Format, &str)> = vec![
        ("U+0000 as an escape", trivy(b"a\\u0000b"), Format::TrivyJson, yes),
        ("U+0000 alone", trivy(b"\\u0000"), Format::TrivyJson, yes),
        ("a raw NUL in a string", trivy(b"a\0b"), Format::TrivyJson, no),
        ("a raw NUL between values", b"{\"Results\":\0[]}".to_vec(), Format::TrivyJson, no),
        ("a lone surrogate", trivy(b"\\ud800"), Format::TrivyJson, no),
        ("surrogates the wrong way round", trivy(b"\\udc00\\ud800"), Format::TrivyJson, no),
        ("a pair of surrogates", trivy(b"\\ud83d\\ude00"), Format::TrivyJson, yes),
        ("a character in too many bytes", trivy(b"\xc0\x80"), Format::TrivyJson, no),
        ("a surrogate in UTF-8", trivy(b"\xed\xa0\x80"), Format::TrivyJson, no),
        ("beyond the last character", trivy(b"\xf4\x90\x80\x80"), Format::TrivyJson, no),
        ("the middle of a character", trivy(b"\x80"), Format::TrivyJson, no),
        ("half a character at the end", b"{\"Results\":[]}\xe2\x82".to_vec(), Format::TrivyJson, no),
        ("a mark of byte order inside", b"{\"Results\":\xef\xbb\xbf[]}".to_vec(), Format::TrivyJson, no),
        (
            "two marks of byte order",
            b"\xef\xbb\xbf\xef\xbb\xbf{\"Results\":[]}".to_vec(),
            Format::TrivyJson,
            no,
        ),
        ("UTF-16 with a lone surrogate", lone, Format::TrivyJson, no),
        ("UTF-16 with half a character", odd, Format::TrivyJson, no),
        ("a raw NUL in XML", nessus(b"a\0b"), Format::NessusXml, yes),
        ("U+0000 as a reference", nessus(b"&#0;"), Format::NessusXml, no),
        ("a surrogate as a reference", nessus(b"&#xd800;"), Format::NessusXml, no),
        ("beyond the last character as a reference", nessus(b"&#x110000;"), Format::NessusXml, no),
        ("a reference to nothing", nessus(b"&nbsp;"), Format::NessusXml, no),
        ("a lone ampersand", nessus(b"a & b"), Format::NessusXml, no),
        ("bytes that are not UTF-8 in XML", nessus(b"\xff"), Format::NessusXml, no),
        ("another encoding", declared("ISO-8859-1"), Format::NessusXml, yes),
        ("an encoding that nobody knows", declared("EBCDIC-0"), Format::NessusXml, no),
        ("a raw NUL in a cell", cell(b"a\0b"), Format::Csv, yes),
        ("a quote inside of a cell", cell(b"a\"b"), Format::Csv, yes),
        ("a quoted cell without an end", cell(b"\"a"), Format::Csv, no),
        ("bytes that are not UTF-8 in a cell", cell(b"\xff"), Format::Csv, no),
        ("a raw NUL in a line", b"{\"id\":\"1\",\"title\":\"t\0\"}\n".to_vec(), Format::Jsonl, no),
        (
            "a name twice",
            br#"{"Results":[{"Secrets":[{"RuleID":"r","RuleID":"s"}]}]}"#.to_vec(),
            Format::TrivyJson,
            no,
        ),
        ("a list twice", br#"{"Results":[],"Results":[]}"#.to_vec(), Format::TrivyJson, yes),
        (
            "a column twice",
            b"Host;Check;Name;Risk;CVE;Score;Port;Seen;Links;Host\na;1;n;low;;;;;;b\n".to_vec(),
            Format::Csv,
            yes,
        ),
    ];
    for (name, report, format, expected) in cases {
        assert_eq!(outcome(&report, format, mapping(format).as_ref()), expected, "{name}");
        if expected == yes {
            let (_, found) = both_of(&report, format, mapping(format).as_ref(), &Limits::default())
                .expect("it was accepted");
            let written = serde_json::to_string(
                &found
                    .iter()
                    .map(|(reported, _)| (&reported.title, &reported.description))
                    .collect::<Vec<_>>(),
            );
            assert!(!written.expect("it can be written").contains("\\u0000"), "{name}: {found:?}");
        }
    }
}

/// Nothing at all, and the wrong thing at the top, given to every format.
#[test]
fn documents_of_every_kind() {
    let documents = [
        "",
        " \n",
        "\u{feff}",
        "null",
        "true",
        "0",
        "\"a\"",
        "[]",
        "[null]",
        "[[]]",
        "[[[]]]",
        "{}",
        "{}{}",
        "{\"a\":null}",
        "[{}]",
        "[{\"a\":1}]",
        "{\"results\":null}",
        "{\"results\":{}}",
        "{\"runs\":[],\"results\":[[]]}",
        "<a/>",
        "<a",
        "<>",
        "<?xml version=\"1.0\"?>",
        "<!-- -->",
        "<!DOCTYPE a>",
        "a",
        "a;b\n",
        "]",
        "}",
        ",",
        "\"",
        "//",
        "PK",
        "\u{1f}\u{8b}",
    ];
    for format in Format::ALL {
        let mapping = mapping(*format);
        for document in documents {
            let outcome = outcome(document.as_bytes(), *format, mapping.as_ref());
            let is_known = matches!(outcome.as_str(), "accepted" | "REPORT_MALFORMED")
                // A mapping may not fit what is there.
                || format.entry().mapped && outcome == "INVALID";
            assert!(is_known, "{format}: `{document}` is {outcome}");
            if outcome == "accepted" {
                let (checked, _) =
                    both_of(document.as_bytes(), *format, mapping.as_ref(), &Limits::default())
                        .expect("it was");
                assert_eq!(checked.entries, 0, "{format}: `{document}`");
            }
        }
        if format.entry().mapped && *format == Format::Csv {
            continue;
        }
        let deep = match is_xml(*format) {
            true => format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000)),
            false => format!("{{\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000)),
        };
        let fixture = all().into_iter().find(|(_, of, _)| of == format).expect("every format has one").0;
        let report = std::fs::read_to_string(path(fixture)).expect("the fixture");
        // At the end, inside of what is outermost.
        let end = report.rfind(if is_xml(*format) { "</" } else { "}" }).expect("it ends");
        let inside = match is_xml(*format) {
            true => deep,
            false => format!(",\"deep\":{deep}"),
        };
        let report = [&report[..end], &inside, &report[end..]].concat();
        assert_eq!(outcome(report.as_bytes(), *format, mapping.as_ref()), "nesting", "{format}");
    }
}

/// Markup that a scanner of bytes may see otherwise than a parser does hides no depth from it.
#[test]
fn broken_markup_hides_no_depth() {
    let nested = "<components><component>".repeat(20_000);
    let begins = [
        "<bom>",
        "<bom><>\"",
        "<bom><\"a\" >",
        "<bom></a \">",
        "<bom><!--->",
        "<bom><![CDATA[>",
        "<bom><?>",
        "<bom><a b=\">",
        "<!DOCTYPE bom []\"><bom>",
        "<!DOCTYPE bom [<!ELEMENT a \">]><bom>",
        "<!DOCTYPE bom [<!-- \" -->]><bom>",
        "<!DOCTYPE bom '\"'><bom>",
    ];
    for begin in begins {
        let report = format!("{begin}{nested}");
        let outcome = outcome(report.as_bytes(), Format::CyclonedxXml, None);
        assert!(
            matches!(outcome.as_str(), "nesting" | "REPORT_MALFORMED" | "text" | "string" | "entities"),
            "{begin}: {outcome}"
        );
    }
}
