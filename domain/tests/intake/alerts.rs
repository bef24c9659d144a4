//! What is read of findings that services hand on: OCSF, AWS and GitHub.

use domain::error::Code;
use domain::intake::format::Format;
use domain::intake::limits::Limits;
use domain::intake::report::Verdict;
use domain::vocabulary::terms::{FindingClass, Severity, Status};
use domain::vocabulary::time::Timestamp;

use crate::fixtures::{Found, both_of};
use crate::reading::{one, read, some};

fn titled<'f>(found: &'f Found, title: &str) -> &'f domain::intake::report::Reported {
    let (reported, _) = found
        .iter()
        .find(|(reported, _)| reported.title == title)
        .unwrap_or_else(|| panic!("{title} is found"));
    reported
}

fn verdict(status: Status, why: &str, words: Option<&str>, by: Option<&str>) -> Option<Verdict> {
    let owned = |text: &str| text.to_owned();
    Some(Verdict { status, justification: some(why), statement: words.map(owned), author: by.map(owned) })
}

#[test]
fn findings_of_ocsf() {
    let assets = ["arn:aws:ec2:eu-west-1:1:instance/i-1", "b", "the shop", "web1"];
    let found = read("ocsf.json", 5, [1, 0, 1, 2, 1, 0], &assets);
    let shop = one(&found, "CVE-2024-1111");
    assert_eq!(shop.identity, ["f-1", "CVE-2024-1111"]);
    assert_eq!(
        (shop.class, shop.asset.kind.clone()),
        (FindingClass::Vulnerability, some("aws_ec2_instance"))
    );
    assert_eq!((shop.cvss_score, shop.epss_score, shop.known_exploit), (Some(9.8), Some(0.91), Some(true)));
    assert_eq!(
        (shop.component_purl.clone(), shop.fixed_version.clone(), shop.file_path.clone()),
        (some("pkg:npm/shop@1.0"), some("1.1"), some("srv/package.json"))
    );
    assert_eq!(
        (shop.cwe_ids.as_slice(), shop.first_seen_at),
        (["CWE-89".to_owned()].as_slice(), Timestamp::parse("2026-01-01"))
    );
    assert_eq!(shop.remediation, some("Update."));
    let password = titled(&found, "A password in code");
    assert_eq!((password.identity[1].as_str(), password.line), ("A password in code", Some(7)));
    let bucket = one(&found, "S3.1");
    assert_eq!((bucket.class, bucket.asset.kind.clone()), (FindingClass::Compliance, some("aws_s3_bucket")));
    assert_eq!(
        bucket.verdict,
        verdict(Status::FalsePositive, "suppressed", Some("Known to be public."), None)
    );
    assert_eq!(bucket.tags, ["CIS", "2.1.5", "scanner:prowler"]);
    let shell = one(&found, "Shell rule");
    assert_eq!((shell.class, shell.severity), (FindingClass::Detection, Severity::Critical));
    assert_eq!(shell.verdict, verdict(Status::Fixed, "closed", None, None));
    assert_eq!(titled(&found, "Odd").class, FindingClass::Detection);
    let lines = r#"{"class_uid":2004,"finding_info":{"uid":"a"}} {"class_uid":"2004","finding_info":{"uid":"b"},"verdict_id":1}"#;
    let (checked, found) =
        both_of(lines.as_bytes(), Format::Ocsf, None, &Limits::default()).expect("it is well formed");
    assert_eq!((checked.findings, checked.head.scanner.as_str()), (2, "ocsf"));
    assert_eq!(found[1].0.verdict, verdict(Status::FalsePositive, "false positive", None, None));
}

#[test]
fn findings_of_security_hub() {
    let assets = ["1", "arn:aws:ecr:eu-west-1:1:repository/shop/sha256:aa", "arn:aws:s3:::b"];
    let found = read("asff.json", 3, [0, 0, 1, 1, 1, 0], &assets);
    let shop = one(&found, "AWSInspector");
    assert_eq!(shop.asset.kind, some("aws_ecr_container_image"));
    assert_eq!(shop.cve_ids, ["CVE-2024-1111", "CVE-2024-2222"]);
    assert_eq!(
        (shop.cvss_score, shop.epss_score, shop.known_exploit, shop.fix_available),
        (Some(9.8), Some(0.5), Some(false), Some(true))
    );
    assert_eq!((shop.component_name.clone(), shop.fixed_version.clone()), (some("shop"), some("1.1")));
    assert_eq!(shop.references, ["https://example.org/fix", "https://example.org/one"]);
    assert!(shop.tags.contains(&"i-1".to_owned()), "further resources are tags");
    assert_eq!((shop.first_seen_at, shop.verdict.clone()), (Timestamp::parse("2026-01-01"), None));
    let bucket = one(&found, "S3.8");
    assert_eq!(bucket.class, FindingClass::Compliance);
    assert_eq!(
        bucket.verdict,
        verdict(Status::AcceptedRisk, "suppressed", Some("Public on purpose."), Some("ada"))
    );
    let probe = titled(&found, "A port is probed");
    assert_eq!(
        (probe.class, probe.severity, probe.port),
        (FindingClass::Detection, Severity::Medium, Some(22))
    );
    assert_eq!(probe.verdict, verdict(Status::Fixed, "archived", None, None));
    assert_eq!(probe.scanner_category, some("guardduty"));
    let finding = r#"{"Id":"a","ProductArn":"p","AwsAccountId":"1"}"#;
    for (text, count) in [
        (finding.to_owned(), 1),
        (format!("[{finding}]"), 1),
        (format!("{finding}\n{}", finding.replace("\"a\"", "\"b\"")), 2),
    ] {
        assert_eq!(Format::detect(text.as_bytes()).expect("it is told"), Format::Asff, "{text}");
        let checked =
            both_of(text.as_bytes(), Format::Asff, None, &Limits::default()).expect("it is well formed").0;
        assert_eq!(checked.findings, count, "{text}");
    }
}

const REPOSITORY: &str = "https://github.com/shop/cart";

#[test]
fn alerts_of_dependabot() {
    let found = read("dependabot.json", 4, [0, 1, 1, 1, 1, 0], &[REPOSITORY]);
    let django = one(&found, "GHSA-rf4j-j272-fj86");
    assert_eq!(django.identity, ["srv/requirements.txt", "pip", "django", "GHSA-rf4j-j272-fj86"]);
    assert_eq!(
        django.verdict,
        verdict(Status::FalsePositive, "not_used", Some("The form is not used."), Some("ada"))
    );
    assert_eq!((django.cvss_score, django.epss_score), (Some(7.5), Some(0.00045)));
    assert_eq!(
        (django.cve_ids.as_slice(), django.cwe_ids.as_slice()),
        (["CVE-2018-6188".to_owned()].as_slice(), ["CWE-200".to_owned()].as_slice())
    );
    assert_eq!(
        (django.fixed_version.clone(), django.file_path.clone()),
        (some("2.0.2"), some("srv/requirements.txt"))
    );
    assert_eq!(django.tags, ["runtime", "direct", "affected:>= 2.0.0, < 2.0.2"]);
    let lodash = one(&found, "GHSA-35jh-r3h4-6jhm");
    assert_eq!((lodash.verdict.clone(), lodash.cvss_score, lodash.fix_available), (None, None, Some(false)));
    assert_eq!(one(&found, "GHSA-1").verdict, verdict(Status::Fixed, "fixed", None, None));
    assert_eq!(one(&found, "GHSA-2").verdict, verdict(Status::AcceptedRisk, "auto_dismissed", None, None));
}

#[test]
fn alerts_of_code_scanning() {
    let found = read("code-scanning.json", 3, [0, 1, 1, 0, 1, 0], &[REPOSITORY]);
    let slip = one(&found, "js/zipslip");
    assert_eq!(
        (slip.title.as_str(), slip.identity.as_slice()),
        ("Arbitrary file write", ["4".to_owned()].as_slice())
    );
    assert_eq!(
        (slip.file_path.clone(), slip.line, slip.scanner_category.clone()),
        (some("lib/ab12.js"), Some(917), some("CodeQL"))
    );
    assert_eq!((slip.cwe_ids.as_slice(), slip.verdict.clone()), (["CWE-22".to_owned()].as_slice(), None));
    assert_eq!(slip.tags, ["security", "external/cwe/cwe-022", "test"]);
    assert_eq!(
        one(&found, "js/log").verdict,
        verdict(Status::AcceptedRisk, "won't fix", Some("Inside only."), Some("ada"))
    );
    assert_eq!(one(&found, "x").verdict, verdict(Status::FalsePositive, "false positive", None, None));
}

#[test]
fn alerts_of_secret_scanning_without_the_secret() {
    let found = read("secret-scanning.json", 2, [0, 0, 0, 1, 1, 0], &[REPOSITORY]);
    let key = one(&found, "adafruit_io_key");
    assert_eq!(
        (key.title.as_str(), key.line, key.severity),
        ("Adafruit IO Key", Some(3), Severity::Critical)
    );
    assert_eq!(key.tags, ["validity:active", "publicly_leaked"]);
    assert_eq!(
        one(&found, "mailchimp_api_key").verdict,
        verdict(Status::FalsePositive, "false_positive", Some("An example."), Some("ada"))
    );
    let all = serde_json::to_string(&found).expect("it is plain data");
    assert!(!all.contains("notasecret") && !all.contains("XXX-us2"), "{all}");
}

#[test]
fn nulls_are_absent_and_anything_else_is_refused() {
    let cases = [
        (
            r#"{"class_uid":2002,"finding_info":{"uid":"a","analytic":null,"types":[null]},"vulnerabilities":[{"cve":null,"cwe":null,"affected_packages":null}],"metadata":null,"severity_id":null,"device":null}"#,
            Format::Ocsf,
            Some(1),
        ),
        (
            r#"{"class_uid":2002,"vulnerabilities":[{"cve":{"uid":"CVE-2024-1111","cvss":{"base_score":5.0}}}]}"#,
            Format::Ocsf,
            Some(1),
        ),
        (r#"{"class_uid":1001}"#, Format::Ocsf, Some(0)),
        ("", Format::Ocsf, None),
        ("{}", Format::Ocsf, None),
        (r#"{"class_uid":"x"}"#, Format::Ocsf, None),
        (r#"{"class_uid":2004}"#, Format::Ocsf, None),
        (r#"{"class_uid":2004,"finding_info":{"uid":"a"},"severity_id":12}"#, Format::Ocsf, None),
        (r#"{"class_uid":2002,"finding_info":{"uid":"a"},"vulnerabilities":{}}"#, Format::Ocsf, None),
        (
            r#"{"Id":"a","Severity":null,"Compliance":null,"Resources":null,"Vulnerabilities":[{"Cvss":null}],"Types":null,"Note":null}"#,
            Format::Asff,
            Some(1),
        ),
        (r#"{"Findings":null}"#, Format::Asff, Some(0)),
        (r#"{"Findings":{}}"#, Format::Asff, None),
        (r#"{"Findings":[{}]}"#, Format::Asff, None),
        (r#"[{"Id":"a","Severity":{"Label":"DIRE"}}]"#, Format::Asff, None),
        (r#"[{"Id":"a","Resources":[3]}]"#, Format::Asff, None),
        ("[]", Format::GithubDependabot, Some(0)),
        (
            r#"[{"dependency":{"package":{"name":"a"}},"security_advisory":null,"state":null}][]"#,
            Format::GithubDependabot,
            Some(1),
        ),
        (r#"[{"security_advisory":{}}]"#, Format::GithubDependabot, None),
        (
            r#"[{"dependency":{"package":{"name":"a"}},"security_advisory":{"severity":"dire"}}]"#,
            Format::GithubDependabot,
            None,
        ),
        (r#"{"message":"Not Found"}"#, Format::GithubDependabot, None),
        (
            r#"[{"number":1,"rule":{"id":null},"most_recent_instance":{"location":null,"message":null}}]"#,
            Format::GithubCodeScanning,
            Some(1),
        ),
        (r#"[{"number":1}]"#, Format::GithubCodeScanning, None),
        (r#"[{"number":1,"rule":{"severity":"dire"}}]"#, Format::GithubCodeScanning, None),
        (r#"[{"number":1,"secret_type":"a","validity":null}]"#, Format::GithubSecretScanning, Some(1)),
        (r#"[{"secret_type":"a"}]"#, Format::GithubSecretScanning, None),
        (r#"[{"number":1,"secret_type":"a"}"#, Format::GithubSecretScanning, None),
    ];
    for (text, format, count) in cases {
        match (both_of(text.as_bytes(), format, None, &Limits::default()), count) {
            (Ok((checked, _)), Some(count)) => assert_eq!(checked.findings, count, "{text}"),
            (Err(error), None) => {
                assert_eq!(error.code, Code::ReportMalformed, "{text}: {error}");
                assert!(error.details.contains_key("line"), "{text}: {error}");
            }
            (outcome, _) => panic!("{text}: {outcome:?}"),
        }
    }
}
