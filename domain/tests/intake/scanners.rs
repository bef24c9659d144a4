//! What is read of the scanners of the web, of code and of hosts.

use domain::error::Code;
use domain::intake::format::Format;
use domain::intake::limits::Limits;
use domain::intake::report::{Reported, Verdict};
use domain::vocabulary::terms::{Severity, Status};
use domain::vocabulary::time::Timestamp;

use crate::fixtures::both_of;
use crate::reading::{one, read, some};

fn found(bytes: &str, format: Format) -> Vec<Reported> {
    let (_, found) = both_of(bytes.as_bytes(), format, None, &Limits::default())
        .unwrap_or_else(|error| panic!("{error}: {bytes}"));
    found.into_iter().map(|(reported, _)| reported).collect()
}

fn verdict(status: Status, why: &str) -> Option<Verdict> {
    Some(Verdict { status, justification: some(why), statement: None, author: None })
}

#[test]
fn alerts_of_zap_in_xml() {
    let found = read("zap.xml", 4, [1, 1, 1, 1, 0, 0], &["old.example.org", "shop.example.org"]);
    let script = one(&found, "40012");
    assert_eq!(script.identity, ["https://shop.example.org:8443", "40012"]);
    assert_eq!(script.title, "Cross Site Scripting (Reflected)");
    assert_eq!(
        script.description,
        some(
            "A script is <reflected>.\n\nIt runs.\n\nGET https://shop.example.org:8443/find?q=1 parameter: q attack: <script>alert(1);</script> evidence: <script>alert(1);</script>\nPOST https://shop.example.org:8443/find?q=2"
        )
    );
    assert_eq!(
        (script.endpoint.clone(), script.port),
        (some("https://shop.example.org:8443/find?q=1"), Some(8443))
    );
    assert_eq!(
        script.references,
        ["https://example.org/xss", "https://example.org/more", "https://example.org/a03"]
    );
    assert_eq!(script.tags, ["OWASP_2021_A03", "WASC-8", "confidence:medium"]);
    assert_eq!(
        (script.cwe_ids.as_slice(), script.remediation.clone()),
        (["CWE-79".to_owned()].as_slice(), some("Encode output."))
    );
    assert_eq!(script.excerpt, some("GET /find?q=1 HTTP/1.1\n\nHTTP/1.1 200 OK\n<html/>"));
    assert_eq!((script.asset.kind.clone(), script.verdict.clone()), (some("web_application"), None));
    let tokens = one(&found, "10202");
    assert_eq!(tokens.verdict, verdict(Status::FalsePositive, "false positive"));
    assert!(tokens.cwe_ids.is_empty() && tokens.severity == Severity::Medium);
    let cookies: Vec<_> = found.iter().filter(|(one, _)| one.scanner_reference == some("10011")).collect();
    assert_eq!(cookies.len(), 2, "one plugin, two alerts");
    assert_eq!(cookies[0].0.endpoint, some("http://old.example.org"));
}

#[test]
fn alerts_of_zap_in_json_before_the_name_of_their_site() {
    let found = read("zap.json", 2, [0, 0, 1, 1, 0, 0], &["shop.example.org"]);
    let script = one(&found, "40012");
    assert_eq!(script.identity, ["https://shop.example.org:443", "40012"]);
    assert_eq!(script.excerpt, some("GET /find?q=1 HTTP/1.1\n\nHTTP/1.1 200 OK\n<html/>"));
    assert_eq!(one(&found, "10202").verdict, verdict(Status::FalsePositive, "false positive"));
}

#[test]
fn results_of_nuclei() {
    let found =
        read("nuclei.jsonl", 4, [1, 1, 0, 0, 1, 0], &["192.0.2.7", "old.example.org", "shop.example.org"]);
    let injection = one(&found, "CVE-2024-1111");
    assert_eq!(injection.identity, ["CVE-2024-1111", "", "", "https://shop.example.org:8443/find?q=1"]);
    assert_eq!((injection.cvss_score, injection.epss_score), (Some(9.8), Some(0.91)));
    assert_eq!((injection.known_exploit, injection.port), (Some(true), Some(8443)));
    assert_eq!(
        (injection.cve_ids.as_slice(), injection.cwe_ids.as_slice()),
        (["CVE-2024-1111".to_owned()].as_slice(), ["CWE-89".to_owned()].as_slice())
    );
    assert_eq!(injection.description, some("The shop can be injected.\n\nAll is lost."));
    assert_eq!(injection.references, ["https://example.org/one", "https://example.org/t/CVE-2024-1111"]);
    assert_eq!(injection.excerpt, some("GET /find?q=1 HTTP/1.1\n\nHTTP/1.1 500"));
    let tls = one(&found, "tls-version");
    assert_eq!((tls.severity, tls.port, tls.description.clone()), (Severity::Low, Some(443), some("tls10")));
    assert_eq!((tls.tags.len(), tls.references.len()), (2, 2));
    let old = one(&found, "tech-detect");
    assert_eq!((old.title.as_str(), old.identity[1].as_str()), ("Technology: nginx", "nginx"));
    let checked = both_of(b"", Format::NucleiJson, None, &Limits::default()).expect("nothing was found").0;
    assert_eq!(checked.entries, 0);
    let line = r#"{"template-id":"a","info":{},"host":"h"}"#;
    for several in
        [format!("[{line},{line}]"), format!("{line}\n{line}"), format!("[{line}]\n[{line}]"), line.repeat(2)]
    {
        assert_eq!(found_of(&several), (2, 1), "{several}");
    }
}

fn found_of(bytes: &str) -> (u64, u64) {
    let checked =
        both_of(bytes.as_bytes(), Format::NucleiJson, None, &Limits::default()).expect("it is well formed").0;
    (checked.entries, checked.findings)
}

#[test]
fn results_of_semgrep() {
    let found = read("semgrep.json", 3, [0, 1, 1, 1, 0, 0], &["the shop"]);
    let shell = one(&found, "python.lang.security.audit.subprocess-shell-true.subprocess-shell-true");
    assert_eq!(shell.identity[1..], ["src/io/shell.py".to_owned(), "aa11_0".to_owned()]);
    assert_eq!((shell.title.as_str(), shell.line), ("subprocess-shell-true", Some(41)));
    assert_eq!(shell.cwe_ids, ["CWE-78"]);
    assert_eq!(shell.tags, ["A03:2021 - Injection", "python", "confidence:HIGH"]);
    assert_eq!(shell.vulnerability_type, some("Command Injection"));
    assert_eq!((shell.remediation.clone(), shell.fix_available), (some("subprocess.run(words)"), Some(true)));
    assert_eq!(shell.excerpt, some("subprocess.run(line, shell=True)"));
    let ignored = one(&found, "python.requests.no-verify");
    assert_eq!(ignored.identity[2], "7", "a fingerprint that needs a login is none");
    assert_eq!(ignored.verdict, verdict(Status::AcceptedRisk, "nosemgrep"));
    let component = one(&found, "ssc-1");
    assert_eq!(
        (component.component_name.clone(), component.component_version.clone()),
        (some("requests"), some("2.30.0"))
    );
    assert_eq!(component.cve_ids, ["CVE-2023-32681"]);
}

#[test]
fn issues_of_burp() {
    let found = read("burp.xml", 3, [2, 0, 0, 1, 0, 0], &["2001:db8::7", "shop.example.org"]);
    let (injection, _) = found.iter().find(|(one, _)| one.verdict.is_none()).expect("there is one");
    assert_eq!(injection.identity, ["https://shop.example.org:443", "1049088", "/basket [id parameter]"]);
    assert_eq!(
        injection.description,
        some("The id parameter.\nTwo requests.\n\n- one\n\nSQL is injected & run.")
    );
    assert_eq!(
        injection.references,
        ["https://example.org/sql", "https://cwe.mitre.org/data/definitions/89.html"]
    );
    assert_eq!(
        (injection.cwe_ids.as_slice(), injection.tags.as_slice()),
        (
            ["CWE-89".to_owned()].as_slice(),
            ["confidence:firm".to_owned(), "id parameter".to_owned()].as_slice()
        )
    );
    assert_eq!(injection.excerpt, some("GET /basket HTTP/1.1\n\nHTTP/1.1 500"));
    assert_eq!(injection.endpoint, some("https://shop.example.org/basket"));
    let (wrong, _) = found.iter().find(|(one, _)| one.verdict.is_some()).expect("there is one");
    assert_eq!(
        (wrong.verdict.clone(), wrong.severity),
        (verdict(Status::FalsePositive, "false positive"), Severity::Info)
    );
    let cookie = one(&found, "Cookie without flag");
    assert_eq!((cookie.port, cookie.identity[0].as_str()), (Some(8080), "http://2001:db8::7:8080"));
}

#[test]
fn a_glossary_after_what_refers_to_it() {
    let found = read("qualys.xml", 3, [1, 0, 0, 2, 0, 0], &["192.0.2.8", "web1.example.org"]);
    let of = |asset: &str, id: &str| {
        let found =
            found.iter().find(|(one, _)| one.asset.name == asset && one.scanner_reference == some(id));
        &found.expect("it is found").0
    };
    let cipher = of("web1.example.org", "38628");
    assert_eq!(cipher.title, "Weak RC4 Cipher");
    assert_eq!(cipher.description, some("RC4 is broken.\nIt is old.\n\nTraffic can be read."));
    assert_eq!(
        (cipher.cvss_score, cipher.cvss_vector.clone()),
        (Some(5.9), some("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N"))
    );
    assert_eq!(
        (cipher.cve_ids.as_slice(), cipher.known_exploit, cipher.fix_available),
        (["CVE-2013-2566".to_owned()].as_slice(), Some(true), Some(true))
    );
    assert_eq!(cipher.tags, ["CGI", "VEN-1", "ssl", "pci"]);
    assert_eq!(
        (cipher.endpoint.clone(), cipher.excerpt.clone()),
        (some("shop.example.org:443/tcp"), some("RC4 found"))
    );
    assert_eq!(cipher.first_seen_at, Timestamp::parse("2026-01-20T08:17:16Z"));
    let fixed = of("192.0.2.8", "38628");
    assert_eq!(
        (fixed.verdict.clone(), fixed.vulnerability_type.clone()),
        (verdict(Status::Fixed, "fixed"), some("potential"))
    );
    let time = of("web1.example.org", "45038");
    assert_eq!((time.severity, time.title.as_str(), time.port), (Severity::Info, "Host Scan Time", None));
}

#[test]
fn detections_without_a_glossary() {
    let found = read("qualys-list.xml", 2, [0, 1, 0, 0, 1, 0], &["192.0.2.7"]);
    let certificate = one(&found, "38170");
    assert_eq!((certificate.title.as_str(), certificate.port), ("QID 38170", Some(3389)));
    assert_eq!(one(&found, "90043").verdict, verdict(Status::AcceptedRisk, "ignored"));
}

#[test]
fn text_in_html_and_addresses() {
    let of = |desc: &str, host: &str| {
        let report = format!(
            "<issues burpVersion='1'><issue><type>1</type><host>{host}</host><issueDetail><![CDATA[{desc}]]></issueDetail></issue></issues>"
        );
        found(&report, Format::BurpXml).remove(0)
    };
    let texts = [
        ("a < b && c &unknown; &#65;&#x42;", "a < b && c &unknown; AB"),
        ("<ul><li>one</li><li>two</li></ul>end", "- one\n\n- two\n\nend"),
        ("<script src='x'>1</script><!-- no -->2", "12"),
        ("<unfinished", "<unfinished"),
        ("&lt;b&gt; &#xD800; &#99999999999;", "<b> &#xD800; &#99999999999;"),
    ];
    for (html, plain) in texts {
        assert_eq!(of(html, "http://h").description, some(plain), "{html}");
    }
    let addresses = [
        ("https://user:pass@Shop.example.org/x?y#z", "shop.example.org", Some(443)),
        ("http://[::1]:8080", "::1", Some(8080)),
        ("shop.example.org:22", "shop.example.org", Some(22)),
        ("2001:db8::7", "2001:db8::7", None),
        ("http://h:99999", "h", Some(80)),
    ];
    for (address, host, port) in addresses {
        let read = of("d", address);
        assert_eq!((read.asset.name.as_str(), read.port), (host, port), "{address}");
    }
    // Many tags that never end, and a piece of base64 that is none.
    let broken = "<a".repeat(200_000);
    assert!(of(&broken, "http://h").description.is_some_and(|text| text.starts_with("<a<a")));
    let report = "<issues><issue><name>n</name><host>h</host><requestresponse><request base64='true'>%%%</request></requestresponse></issue></issues>";
    assert_eq!(found(report, Format::BurpXml)[0].excerpt, some("%%%"));
}

#[test]
fn nulls_everywhere_are_absent() {
    let zap = r#"{"site":[{"@name":"http://h","alerts":[{"pluginid":"1","name":null,"alert":null,"riskcode":null,"confidence":null,"desc":null,"instances":null,"tags":null,"cweid":null}]},{"@name":"http://i","alerts":null}],"@generated":null}"#;
    let nuclei = r#"{"template-id":"a","info":null,"host":null,"port":null,"matched-at":null,"extracted-results":null,"matcher-status":null,"timestamp":null}"#;
    let semgrep = r#"{"results":[{"check_id":"a","path":"b","start":null,"extra":null},{"check_id":"a","path":"c","start":{"line":null},"extra":{"message":null,"metadata":null,"severity":null,"is_ignored":null,"sca_info":{"dependency_match":null}}}],"errors":null}"#;
    for (text, format, count) in
        [(zap, Format::ZapJson, 1), (nuclei, Format::NucleiJson, 1), (semgrep, Format::SemgrepJson, 2)]
    {
        assert_eq!(found(text, format).len(), count, "{text}");
    }
}

#[test]
fn what_is_not_of_these_formats_is_refused() {
    let cases = [
        ("<a/>", Format::ZapXml),
        (
            "<OWASPZAPReport><site><alerts><alertitem><pluginid>1</pluginid></alertitem></alerts></site></OWASPZAPReport>",
            Format::ZapXml,
        ),
        (
            "<OWASPZAPReport><site name='http://h'><alerts><alertitem><riskcode>1</riskcode></alertitem></alerts></site></OWASPZAPReport>",
            Format::ZapXml,
        ),
        (
            "<OWASPZAPReport><site name='http://h'><alerts><alertitem><pluginid>1</pluginid><riskcode>7</riskcode></alertitem></alerts></site></OWASPZAPReport>",
            Format::ZapXml,
        ),
        ("{}", Format::ZapJson),
        (r#"{"site":{}}"#, Format::ZapJson),
        (r#"{"site":[{"alerts":[{"pluginid":"1"}]}]}"#, Format::ZapJson),
        (r#"{"site":[{"@name":{},"alerts":[]}]}"#, Format::ZapJson),
        (r#"{"site":[{"@name":"http://h","alerts":[{"pluginid":{}}]}]}"#, Format::ZapJson),
        ("3", Format::NucleiJson),
        ("[3]", Format::NucleiJson),
        (r#"{"info":{}}"#, Format::NucleiJson),
        (r#"{"template-id":"a","info":{"severity":"dire"}}"#, Format::NucleiJson),
        (r#"{"template-id":"a","info":"x"}"#, Format::NucleiJson),
        (r#"{"template-id":"a"},"#, Format::NucleiJson),
        ("{}", Format::SemgrepJson),
        (r#"{"results":{}}"#, Format::SemgrepJson),
        (r#"{"results":[{"check_id":"a"}]}"#, Format::SemgrepJson),
        (r#"{"results":[{"check_id":"a","path":"b","start":{"line":-1}}]}"#, Format::SemgrepJson),
        (r#"{"results":[{"check_id":"a","path":"b","extra":{"severity":"DIRE"}}]}"#, Format::SemgrepJson),
        ("<issues><issue><name>n</name></issue></issues>", Format::BurpXml),
        ("<issues><issue><host>h</host></issue></issues>", Format::BurpXml),
        (
            "<issues><issue><name>n</name><host>h</host><severity>Dire</severity></issue></issues>",
            Format::BurpXml,
        ),
        ("<issues>&nbsp;</issues>", Format::BurpXml),
        ("<HOST_LIST/>", Format::QualysXml),
        (
            "<ASSET_DATA_REPORT><HOST_LIST><HOST><VULN_INFO_LIST/></HOST></HOST_LIST></ASSET_DATA_REPORT>",
            Format::QualysXml,
        ),
        (
            "<ASSET_DATA_REPORT><HOST_LIST><HOST><IP>a</IP><VULN_INFO_LIST><VULN_INFO/></VULN_INFO_LIST></HOST></HOST_LIST></ASSET_DATA_REPORT>",
            Format::QualysXml,
        ),
        (
            "<ASSET_DATA_REPORT><HOST_LIST><HOST><IP>a</IP><VULN_INFO_LIST><VULN_INFO><QID>1</QID><PORT>x</PORT></VULN_INFO></VULN_INFO_LIST></HOST></HOST_LIST></ASSET_DATA_REPORT>",
            Format::QualysXml,
        ),
        (
            "<ASSET_DATA_REPORT><GLOSSARY><VULN_DETAILS_LIST><VULN_DETAILS/></VULN_DETAILS_LIST></GLOSSARY></ASSET_DATA_REPORT>",
            Format::QualysXml,
        ),
    ];
    for (text, format) in cases {
        let error = both_of(text.as_bytes(), format, None, &Limits::default())
            .err()
            .unwrap_or_else(|| panic!("{text} is accepted"));
        assert_eq!(error.code, Code::ReportMalformed, "{text}: {error}");
        assert!(
            error.details.contains_key("line") && error.details.contains_key("offset"),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_document_type_declares_elements_at_most() {
    let with = |inside: &str| format!("<!DOCTYPE issues [{inside}]><issues burpVersion='1'/>");
    for inside in [
        "<!ELEMENT a (b)>",
        "<!ATTLIST a b CDATA \"x>]\">",
        "<!-- ' <!ENTITY a \"b\"> -->",
        "<!NOTATION n SYSTEM 'n'>",
    ] {
        assert!(found(&with(inside), Format::BurpXml).is_empty());
    }
    for inside in [
        "<!ENTITY a \"b\">",
        "<!ENTITY % a \"b\"> %a;",
        "%a;",
        "<!-- --><!ENTITY a 'b'>",
        "<![INCLUDE[]]>",
        "<?a ' ?><!ENTITY a \"b\">",
        "<!ATTLIST a b CDATA '<!ENTITY a \"b\">'>",
    ] {
        let error = both_of(with(inside).as_bytes(), Format::BurpXml, None, &Limits::default())
            .err()
            .unwrap_or_else(|| panic!("{inside} is accepted"));
        assert_eq!(error.details.get("limit"), Some(&"entities".into()), "{inside}: {error}");
    }
}

#[test]
fn a_glossary_is_bounded() {
    let details: String = (0..200)
        .map(|number| {
            format!("<VULN_DETAILS><QID>{number}</QID><THREAT>{}</THREAT></VULN_DETAILS>", "t".repeat(1_000))
        })
        .collect();
    let report = format!(
        "<ASSET_DATA_REPORT><GLOSSARY><VULN_DETAILS_LIST>{details}</VULN_DETAILS_LIST></GLOSSARY></ASSET_DATA_REPORT>"
    );
    let limits = Limits { collected: 100_000, ..Limits::default() };
    let error =
        both_of(report.as_bytes(), Format::QualysXml, None, &limits).expect_err("it is over the limit");
    assert_eq!(error.details.get("limit"), Some(&"collected".into()), "{error}");
}
