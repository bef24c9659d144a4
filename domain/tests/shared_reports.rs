//! Real reports from a folder of data outside of this repository: how many entries and findings
//! each has. Skipped, loudly, where the folder is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use domain::intake::format::{Format, Plan};
use domain::intake::limits::Limits;
use domain::intake::mapping::{Mapped, Mapping};
use domain::intake::reading::{check, read};
use domain::vocabulary::terms::Severity;
use tempfile::TempDir;

/// A report: its file, its format, and what is expected of it.
struct Case {
    file: &'static str,
    format: Format,
    /// How many entries the format itself would count.
    raw: u64,
    entries: u64,
    findings: u64,
    /// Why the three differ.
    because: &'static str,
}

const fn same(file: &'static str, format: Format, count: u64) -> Case {
    Case { file, format, raw: count, entries: count, findings: count, because: "" }
}

const CASES: &[Case] = &[
    same("trivy/debian-buster.json.golden", Format::TrivyJson, 2),
    Case {
        file: "trivy/kubernetes.json",
        format: Format::TrivyJson,
        raw: 10,
        entries: 20,
        findings: 20,
        because: "the results of each resource count, those with misconfigurations too",
    },
    same("trivy/legacy_many_vulns.json", Format::TrivyJson, 93),
    same("trivy/misconfigurations_and_secrets.json", Format::TrivyJson, 5),
    same("trivy/pip.json.golden", Format::TrivyJson, 2),
    same("trivy/scheme_2_many_vulns.json", Format::TrivyJson, 5),
    same("trivy/scheme_2_no_vuln.json", Format::TrivyJson, 0),
    same("sarif/appendix_k.sarif", Format::Sarif, 1),
    Case {
        file: "sarif/bash-report.sarif",
        format: Format::Sarif,
        raw: 27,
        entries: 27,
        findings: BASH,
        because: "the same file was scanned several times: results with the same rule, file and partial fingerprint are one",
    },
    same("sarif/codeQL-output.sarif", Format::Sarif, 72),
    Case {
        file: "sarif/gitleaks_7.5.0.sarif",
        format: Format::Sarif,
        raw: 8,
        entries: 8,
        findings: 4,
        because: "the same secret at the same place, in two commits, is one finding",
    },
    same("sarif/no_runs.sarif", Format::Sarif, 0),
    same("sarif/spotbugs.sarif", Format::Sarif, 56),
    same("sarif/suppression_test.sarif", Format::Sarif, 5),
    Case {
        file: "sarif-tutorial/Baseline.sarif",
        format: Format::Sarif,
        raw: 4,
        entries: 3,
        findings: 3,
        because: "one result has the baseline state absent",
    },
    same("sarif-tutorial/Catastrophic_configuration_error.sarif", Format::Sarif, 0),
    same("sarif-tutorial/Catastrophic_execution_error.sarif", Format::Sarif, 0),
    same("sarif-tutorial/CodeFlows.sarif", Format::Sarif, 1),
    same("sarif-tutorial/ContextRegion.sarif", Format::Sarif, 1),
    same("sarif-tutorial/DefaultRuleConfiguration.sarif", Format::Sarif, 2),
    same("sarif-tutorial/EmbeddedBinaryContent.sarif", Format::Sarif, 1),
    same("sarif-tutorial/EmbeddedTextContent.sarif", Format::Sarif, 2),
    same("sarif-tutorial/Empty_runs.sarif", Format::Sarif, 0),
    same("sarif-tutorial/No_runs.sarif", Format::Sarif, 0),
    same("sarif-tutorial/Notifications.sarif", Format::Sarif, 0),
    same("sarif-tutorial/One_run_empty_results.sarif", Format::Sarif, 0),
    same("sarif-tutorial/One_run_no_results.sarif", Format::Sarif, 0),
    same("sarif-tutorial/One_run_with_results.sarif", Format::Sarif, 1),
    same("sarif-tutorial/OriginalUriBaseIds.sarif", Format::Sarif, 3),
    Case {
        file: "sarif-tutorial/RegionVariants.sarif",
        format: Format::Sarif,
        raw: 18,
        entries: 18,
        findings: 13,
        because: "results of one rule that begin at the same place, and differ in length only, are one",
    },
    same("sarif-tutorial/ResultStacks.sarif", Format::Sarif, 1),
    same("sarif-tutorial/RuleMetadata.sarif", Format::Sarif, 1),
    same("sarif-tutorial/Suppressions.sarif", Format::Sarif, 9),
    same("sarif-tutorial/Taxonomies.sarif", Format::Sarif, 2),
    same("sarif-tutorial/_template.sarif", Format::Sarif, 1),
    same("sarif-tutorial/automation-details.sarif", Format::Sarif, 0),
    same("sarif-tutorial/bad-eval-related-locations.sarif", Format::Sarif, 1),
    same("sarif-tutorial/bad-eval-with-code-flow.sarif", Format::Sarif, 1),
    same("sarif-tutorial/bad-eval.sarif", Format::Sarif, 1),
    same("sarif-tutorial/link-to-location.sarif", Format::Sarif, 1),
    same("sarif-tutorial/message-from-metadata.sarif", Format::Sarif, 1),
    same("sarif-tutorial/message-with-arguments.sarif", Format::Sarif, 1),
    same("sarif-tutorial/simple-example.sarif", Format::Sarif, 1),
    same("sarif-tutorial/standard-taxonomy.sarif", Format::Sarif, 1),
    same("nessus/nessus_many_vuln.xml", Format::NessusXml, 7),
    same("nessus/nessus_was_many_vuln.xml", Format::NessusXml, 5),
    Case {
        file: "nessus/nessus_with_cvssv3.nessus",
        format: Format::NessusXml,
        raw: 49,
        entries: 49,
        findings: 48,
        because: "a plugin reported twice for the same port",
    },
    Case {
        file: "grype/check_all_fields.json",
        format: Format::GrypeJson,
        raw: 6,
        entries: 6,
        findings: 5,
        because: "a package is matched twice by one vulnerability",
    },
    same("grype/many_vulns3.json", Format::GrypeJson, 327),
    same("grype/many_vulns4.json", Format::GrypeJson, 9),
    same("grype/no_vuln.json", Format::GrypeJson, 0),
    same("cyclonedx/jake2.json", Format::CyclonedxJson, 7),
    same("cyclonedx/log4j.json", Format::CyclonedxJson, 8),
    same("cyclonedx/valid-vulnerability-1.4.json", Format::CyclonedxJson, 1),
    same("cyclonedx/valid-vulnerability-1.4.xml", Format::CyclonedxXml, 1),
    same("openvex/openvex_many_vuln.json", Format::Openvex, 6),
    same("openvex/openvex_no_vuln.json", Format::Openvex, 0),
    Case {
        file: "csaf/csaf_many_vuln.json",
        format: Format::Csaf,
        raw: 2,
        entries: 5,
        findings: 5,
        because: "each product of a vulnerability is a finding",
    },
    same("csaf/csaf_no_vuln.json", Format::Csaf, 0),
    same("dependency-check/dc_empty.xml", Format::DependencyCheckXml, 0),
    Case {
        file: "dependency-check/multiple_vulnerabilities_has_multiple_findings.xml",
        format: Format::DependencyCheckXml,
        raw: 7,
        entries: 9,
        findings: 9,
        because: "two are suppressed: they are findings with a verdict",
    },
    same("dependency-check/single_vuln.xml", Format::DependencyCheckXml, 1),
    same("osv/some_findings.json", Format::OsvScannerJson, 1),
    Case {
        file: "cargo-audit/many_findings.json",
        format: Format::CargoAuditJson,
        raw: 4,
        entries: 13,
        findings: 11,
        because: "warnings are findings: unmaintained and yanked crates; two versions of a crate are one",
    },
    same("cargo-audit/no_findings.json", Format::CargoAuditJson, 0),
    same("../vex/csaf/2022-evd-uc-01-a-001.json", Format::Csaf, 1),
    same("../vex/csaf/2022-evd-uc-01-f-001.json", Format::Csaf, 1),
    same("../vex/csaf/2022-evd-uc-01-na-001.json", Format::Csaf, 1),
    same("../vex/csaf/2022-evd-uc-01-ui-001.json", Format::Csaf, 1),
    same("../vex/csaf/2022-evd-uc-02-na-001.json", Format::Csaf, 19),
    same("../vex/csaf/2022-evd-uc-03-ms-001.json", Format::Csaf, 19),
    Case {
        file: "../vex/csaf/2022-evd-uc-04-001.json",
        format: Format::Csaf,
        raw: 1,
        entries: 3,
        findings: 3,
        because: "each product of a vulnerability is a finding",
    },
    same("../vex/csaf/2022-evd-uc-05-001.json", Format::Csaf, 1),
    Case {
        file: "../vex/csaf/2022-evd-uc-06-001.json",
        format: Format::Csaf,
        raw: 1,
        entries: 7,
        findings: 7,
        because: "each product of a vulnerability is a finding",
    },
    Case {
        file: "../vex/csaf/2022-evd-uc-07-001.json",
        format: Format::Csaf,
        raw: 1,
        entries: 10,
        findings: 10,
        because: "each product of a vulnerability is a finding",
    },
    Case {
        file: "../vex/csaf/2022-evd-uc-08-001.json",
        format: Format::Csaf,
        raw: 2,
        entries: 21,
        findings: 21,
        because: "each product of a vulnerability is a finding; recommended is no status of its own",
    },
    Case {
        file: "../vex/csaf/2022-evd-uc-09-001.json",
        format: Format::Csaf,
        raw: 2,
        entries: 4,
        findings: 4,
        because: "each product of a vulnerability is a finding",
    },
    same("../vex/csaf/sec-vex-2022-0001.json", Format::Csaf, 3),
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-1_vex-affected.json", Format::CyclonedxJson, 1),
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-1_vex-fixed.json", Format::CyclonedxJson, 1),
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-1_vex-not_affected.json", Format::CyclonedxJson, 1),
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-1_vex-under_investigation.json", Format::CyclonedxJson, 1),
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-2_vex.json", Format::CyclonedxJson, 19),
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-3_vex.json", Format::CyclonedxJson, 19),
    Case {
        file: "../vex/cyclonedx/VEX_CISA-Use-Cases_Case-4_vex.json",
        format: Format::CyclonedxJson,
        raw: 1,
        entries: 3,
        findings: 3,
        because: "the product has no version of its own: each of its versions is a finding",
    },
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-5_vex.json", Format::CyclonedxJson, 1),
    Case {
        file: "../vex/cyclonedx/VEX_CISA-Use-Cases_Case-6_vex.json",
        format: Format::CyclonedxJson,
        raw: 2,
        entries: 7,
        findings: 7,
        because: "the product has no version of its own: each of its versions is a finding",
    },
    Case {
        file: "../vex/cyclonedx/VEX_CISA-Use-Cases_Case-7_vex.json",
        format: Format::CyclonedxJson,
        raw: 4,
        entries: 10,
        findings: 10,
        because: "the product has no version of its own: each of its versions is a finding",
    },
    Case {
        file: "../vex/cyclonedx/VEX_CISA-Use-Cases_Case-8_vex.json",
        format: Format::CyclonedxJson,
        raw: 8,
        entries: 24,
        findings: 22,
        because: "the product has no version of its own: each of its versions is a finding; two are stated twice",
    },
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-7_bom-1.json", Format::CyclonedxJson, 0),
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-7_bom-2.json", Format::CyclonedxJson, 0),
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-8_bom-1.json", Format::CyclonedxJson, 0),
    same("../vex/cyclonedx/VEX_CISA-Use-Cases_Case-8_bom-2.json", Format::CyclonedxJson, 0),
    same("../sbom/bom.1.4.json", Format::CyclonedxJson, 0),
    Case {
        file: "nessus/nessus_many_vuln2-default.csv",
        format: Format::Csv,
        raw: 30,
        entries: 30,
        findings: 29,
        because: "a plugin reported twice for the same port",
    },
    same("burp/one_finding.xml", Format::BurpXml, 3),
    same("burp/seven_findings.xml", Format::BurpXml, 16),
    same("nuclei/empty.jsonl", Format::NucleiJson, 0),
    same("nuclei/many_findings.json", Format::NucleiJson, 18),
    Case {
        file: "nuclei/multiple_v3.json",
        format: Format::NucleiJson,
        raw: 6,
        entries: 6,
        findings: 5,
        because: "one template matched the same place twice, and extracted something else each time",
    },
    same("qualys/Qualys_Sample_Report.csv", Format::Csv, 6),
    same("qualys/empty.xml", Format::QualysXml, 0),
    same("semgrep/empty.json", Format::SemgrepJson, 0),
    same("semgrep/many_findings.json", Format::SemgrepJson, 3),
    same("zap/empty_2.9.0.xml", Format::ZapXml, 0),
    same("zap/juicy2.xml", Format::ZapXml, 6),
    same("zap/some_2.9.0.xml", Format::ZapXml, 7),
    same("zap/zap-results-first-scan.xml", Format::ZapXml, 15),
    same("generic/generic_csv_with_epss.csv", Format::Csv, 1),
    same("generic/generic_report1.csv", Format::Csv, 5),
    same("generic/generic_report1.json", Format::Json, 2),
    same("generic/generic_report_kev_cvssv4.json", Format::Json, 2),
];

const BASH: u64 = 12;

/// The folder named by `COUNTERSIGN_DATA`, or the one beside the workspace.
fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("COUNTERSIGN_DATA").map_or(beside, PathBuf::from).join("scans");
    folder.is_dir().then_some(folder)
}

fn mapping(file: &str) -> Option<Mapping> {
    match file {
        "nessus/nessus_many_vuln2-default.csv" => Some(Mapping {
            columns: columns(&[
                (Mapped::Asset, "Host"),
                (Mapped::Title, "Name"),
                (Mapped::Reference, "Plugin ID"),
                (Mapped::CveIds, "CVE"),
                (Mapped::CvssScore, "CVSS"),
                (Mapped::Severity, "Risk"),
                (Mapped::Port, "Port"),
                (Mapped::Description, "Description"),
                (Mapped::Remediation, "Solution"),
                (Mapped::References, "See Also"),
            ]),
            identity: ["Plugin ID", "Port", "Protocol"].map(str::to_owned).to_vec(),
            scanner: Some("nessus".to_owned()),
            ..Mapping::default()
        }),
        "qualys/Qualys_Sample_Report.csv" => Some(Mapping {
            columns: columns(&[
                (Mapped::Asset, "DNS"),
                (Mapped::Title, "Title"),
                (Mapped::Reference, "QID"),
                (Mapped::CveIds, "CVE ID"),
                (Mapped::Severity, "Severity"),
                (Mapped::Port, "Port"),
                (Mapped::Description, "Threat"),
                (Mapped::Remediation, "Solution"),
                (Mapped::FirstSeenAt, "First Detected"),
            ]),
            severities: BTreeMap::from([("5".to_owned(), Severity::Critical)]),
            identity: ["QID", "Port", "Protocol"].map(str::to_owned).to_vec(),
            time_format: Some("%m/%d/%Y %H:%M:%S".to_owned()),
            scanner: Some("qualys".to_owned()),
            ..Mapping::default()
        }),
        "generic/generic_csv_with_epss.csv" => Some(generic_table("%m/%d/%Y")),
        "generic/generic_report1.csv" => Some(generic_table("%d/%m/%Y")),
        _ if file.starts_with("generic/") => Some(Mapping {
            columns: columns(&[
                (Mapped::Title, "title"),
                (Mapped::Severity, "severity"),
                (Mapped::Description, "description"),
                (Mapped::CveIds, "cve"),
                (Mapped::CweIds, "cwe"),
                (Mapped::CvssVector, "/cvssv3"),
                (Mapped::Tags, "tags"),
                (Mapped::Reference, "vuln_id_from_tool"),
                (Mapped::FirstSeenAt, "date"),
                (Mapped::KnownExploit, "known_exploited"),
            ]),
            items: Some("/findings".to_owned()),
            ..Mapping::default()
        }),
        _ => None,
    }
}

fn generic_table(date: &str) -> Mapping {
    Mapping {
        columns: columns(&[
            (Mapped::Title, "Title"),
            (Mapped::Severity, "Severity"),
            (Mapped::Description, "Description"),
            (Mapped::CweIds, "CweId"),
            (Mapped::Endpoint, "Url"),
            (Mapped::Remediation, "Mitigation"),
            (Mapped::FirstSeenAt, "Date"),
        ]),
        time_format: Some(date.to_owned()),
        ..Mapping::default()
    }
}

fn columns(columns: &[(Mapped, &str)]) -> BTreeMap<Mapped, String> {
    columns.iter().map(|(field, column)| (*field, (*column).to_owned())).collect()
}

/// The folders of reports that are read.
const KINDS: &[&str] = &[
    "trivy",
    "sarif",
    "sarif-tutorial",
    "nessus",
    "generic",
    "burp",
    "nuclei",
    "qualys",
    "semgrep",
    "zap",
    "grype",
    "cyclonedx",
    "openvex",
    "csaf",
    "dependency-check",
    "osv",
    "cargo-audit",
    "../vex/csaf",
    "../vex/cyclonedx",
    "../sbom",
];

#[test]
fn every_report_has_the_findings_that_the_rules_say() {
    let Some(folder) = folder() else {
        eprintln!("SKIPPED: there is no folder of reports; COUNTERSIGN_DATA names it");
        return;
    };
    let mut unlisted: BTreeSet<String> = KINDS
        .iter()
        .flat_map(|kind| {
            std::fs::read_dir(folder.join(kind)).expect("a folder of each kind").map(move |file| (kind, file))
        })
        .map(|(kind, file)| format!("{kind}/{}", file.expect("a file").file_name().to_string_lossy()))
        .collect();
    eprintln!("{:<56} {:>4} {:>7} {:>8}", "file", "raw", "entries", "findings");
    for case in CASES {
        let Case { file, format, raw, entries, findings, because } = *case;
        let path = folder.join(file);
        let mapping = mapping(file);
        // There is nothing in an empty file to tell its format by.
        let is_empty = std::fs::metadata(&path).is_ok_and(|file| file.len() == 0);
        let named = (format.entry().mapped || is_empty).then_some(format);
        let plan = Plan { mapping: mapping.as_ref(), asset: Some("the shop") };
        let checked =
            check(&path, named, &plan, &Limits::default()).unwrap_or_else(|error| panic!("{file}: {error}"));
        eprintln!("{file:<56} {raw:>4} {:>7} {:>8}  {because}", checked.entries, checked.findings);
        assert_eq!(
            (checked.format, checked.entries, checked.findings),
            (format, entries, findings),
            "{file}"
        );
        let explained = raw == entries && entries == findings || !because.is_empty();
        assert!(explained, "{file}: a difference needs its rule");
        let scratch = TempDir::new().expect("a temporary folder");
        let mut found = BTreeSet::new();
        read(&path, &checked, &Limits::default(), scratch.path(), &mut |handed| {
            assert!(found.insert(handed.fingerprint), "{file}: {} comes twice", handed.reported.title);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(found.len() as u64, findings, "{file}");
        unlisted.remove(file);
    }
    assert!(unlisted.is_empty(), "these reports have no expectation: {unlisted:?}");
}

/// Reports of other formats are not taken for one of ours.
#[test]
fn other_reports_are_unknown() {
    let Some(folder) = folder() else {
        eprintln!("SKIPPED: there is no folder of reports; COUNTERSIGN_DATA names it");
        return;
    };
    let kinds = ["../playbooks/cacao", "../playbooks/cisa-bpmn", "../playbooks/keep"];
    for kind in kinds {
        for file in std::fs::read_dir(folder.join(kind)).expect("a folder of each kind") {
            let path = file.expect("a file").path();
            let error = check(&path, None, &Plan::default(), &Limits::default())
                .expect_err("it is of another format");
            assert_eq!(error.code, domain::error::Code::ReportUnknown, "{}: {error}", path.display());
        }
    }
}
