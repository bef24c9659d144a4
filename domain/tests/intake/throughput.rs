//! How fast a large report is read. Run with `--ignored --nocapture`.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use domain::intake::format::Plan;
use domain::intake::limits::Limits;
use domain::intake::reading::{check, read};
use tempfile::{NamedTempFile, TempDir};

#[test]
#[ignore = "a measurement"]
fn a_hundred_megabytes_of_trivy() {
    let file = NamedTempFile::new().expect("a temporary file");
    let mut out = BufWriter::new(file.as_file());
    let mut item = String::new();
    let mut bytes = 0;
    write!(out, "{{\"SchemaVersion\":2,\"ArtifactName\":\"shop/cart:1.4\",\"ArtifactType\":\"container_image\",\"Results\":[{{\"Target\":\"package-lock.json\",\"Class\":\"lang-pkgs\",\"Type\":\"npm\",\"Vulnerabilities\":[").expect("room");
    for number in 0.. {
        item.clear();
        write!(
            item,
            "{}{{\"VulnerabilityID\":\"CVE-2024-{:05}\",\"PkgName\":\"package-{number}\",\"InstalledVersion\":\"1.2.{number}\",\"FixedVersion\":\"1.3.0\",\
             \"Severity\":\"HIGH\",\"Title\":\"package: something is wrong\",\"Description\":\"{}\",\"CweIDs\":[\"CWE-79\"],\
             \"CVSS\":{{\"nvd\":{{\"V3Score\":7.5,\"V3Vector\":\"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H\"}}}},\
             \"References\":[\"https://example.org/{number}/a\",\"https://example.org/{number}/b\",\"https://example.org/{number}/c\"],\
             \"PublishedDate\":\"2024-01-01T00:00:00Z\"}}",
            if number == 0 { "" } else { "," },
            number % 90_000,
            "Words that describe what is wrong at some length. ".repeat(16),
        )
        .expect("room");
        out.write_all(item.as_bytes()).expect("room");
        bytes += item.len();
        if bytes > 100 << 20 {
            break;
        }
    }
    write!(out, "]}}]}}").expect("room");
    out.flush().expect("room");
    drop(out);

    measure(file.path(), bytes);
}

#[test]
#[ignore = "a measurement"]
fn a_hundred_megabytes_of_nessus() {
    let file = NamedTempFile::new().expect("a temporary file");
    let mut out = BufWriter::new(file.as_file());
    let mut bytes = 0;
    write!(out, "<NessusClientData_v2><Report name=\"r\">").expect("room");
    for number in 0..70_000 {
        let item = format!(
            "<ReportHost name=\"host-{number}\"><HostProperties><tag name=\"HOST_END\">Mon Mar  2 08:15:30 2026</tag></HostProperties>\
             <ReportItem port=\"443\" svc_name=\"www\" protocol=\"tcp\" severity=\"2\" pluginID=\"104743\" pluginName=\"TLS 1.0\" pluginFamily=\"General\">\
             <cvss3_base_score>6.5</cvss3_base_score><cwe>327</cwe><description>{}</description><see_also>https://example.org/{number}</see_also>\
             <solution>Turn it off &amp; on.</solution><plugin_output>TLS 1.0 answers.</plugin_output></ReportItem></ReportHost>\n",
            "Words that describe what is wrong at some length. ".repeat(20),
        );
        out.write_all(item.as_bytes()).expect("room");
        bytes += item.len();
    }
    write!(out, "</Report></NessusClientData_v2>").expect("room");
    out.flush().expect("room");
    drop(out);
    measure(file.path(), bytes);
}

fn measure(path: &Path, bytes: usize) {
    let speed = |start: Instant| (bytes >> 20) as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    let checked = check(path, None, &Plan::default(), &Limits::default()).expect("it is well formed");
    eprintln!(
        "first reading: {:.0} MiB/s, {} entries, {} findings",
        speed(start),
        checked.entries,
        checked.findings
    );
    let scratch = TempDir::new().expect("a temporary folder");
    let start = Instant::now();
    let mut found = 0;
    read(path, &checked, &Limits::default(), scratch.path(), &mut |_| {
        found += 1;
        Ok(())
    })
    .expect("it is well formed");
    eprintln!("second reading: {:.0} MiB/s, {found} findings", speed(start));
    assert_eq!(found, checked.findings);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    eprintln!(
        "{}",
        status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory is not known here")
    );
}
