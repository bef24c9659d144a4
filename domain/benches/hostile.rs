//! What files that are meant to hurt cost: each is read by a process of its own, which tells the most
//! memory that it had (VmHWM).
//!
//! `cargo bench --workspace --bench hostile`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use domain::intake::format::{Format, Plan};
use domain::intake::limits::Limits;
use domain::intake::mapping::Mapping;
use domain::intake::reading::{check, read};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The server's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MANY: usize = 100 << 20;

type Make = fn(&mut BufWriter<File>) -> std::io::Result<()>;

/// A name, a format (empty: it is told from the file), and what makes the file.
const CASES: &[(&str, &str, Make)] = &[
    ("nothing: an empty report", "TRIVY_JSON", |file| file.write_all(br#"{"Results":[]}"#)),
    ("JSON: a text of 100 MiB in a finding", "TRIVY_JSON", |file| in_item(file, b"\"", b"y", b"\"")),
    ("JSON: a text of 100 MiB that nobody reads", "TRIVY_JSON", |file| beside(file, b"\"", b"y", b"\"")),
    ("JSON: a number of 100 MiB", "TRIVY_JSON", |file| in_item(file, b"", b"9", b"")),
    ("JSON: 100 MiB of [", "TRIVY_JSON", |file| beside(file, b"", b"[", b"")),
    ("JSON: 100 MiB of {} in a list", "TRIVY_JSON", |file| beside(file, b"[0", b",{}", b"]")),
    ("JSON: 100 MiB of references of one finding", "TRIVY_JSON", |file| {
        file.write_all(
            br#"{"Results":[{"Vulnerabilities":[{"VulnerabilityID":"a","PkgName":"b","References":["a""#,
        )?;
        repeat(file, br#","https://example.org/a""#)?;
        file.write_all(b"]}]}]}")
    }),
    ("JSON: 100 MiB of escapes in a text", "TRIVY_JSON", |file| beside(file, b"\"", b"\\u0000", b"\"")),
    ("JSON: 100 MiB of findings, all the same", "TRIVY_JSON", |file| {
        file.write_all(br#"{"Results":[{"Vulnerabilities":[{"VulnerabilityID":"a","PkgName":"b"}"#)?;
        repeat(file, br#",{"VulnerabilityID":"a","PkgName":"b"}"#)?;
        file.write_all(b"]}]}")
    }),
    ("JSON: 100 MiB of findings, all others", "TRIVY_JSON", |file| {
        file.write_all(br#"{"Results":[{"Vulnerabilities":[{"VulnerabilityID":"a","PkgName":"b"}"#)?;
        (0..MANY / 43).try_for_each(|n| write!(file, r#",{{"VulnerabilityID":"a{n:06}","PkgName":"b"}}"#))?;
        file.write_all(b"]}]}")
    }),
    ("SARIF: 100 MiB of rules before the results", "SARIF", |file| {
        file.write_all(br#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"a","rules":[{"id":"r"}"#)?;
        (0..MANY / 40).try_for_each(|n| write!(file, r#",{{"id":"r{n:07}","name":"a rule of many"}}"#))?;
        file.write_all(br#"]}},"results":[]}]}"#)
    }),
    ("XML: a text of 100 MiB", "NESSUS_XML", |file| in_xml(file, b"<a>", b"y", b"</a>")),
    ("XML: an attribute of 100 MiB", "NESSUS_XML", |file| in_xml(file, b"<a b='", b"y", b"'/>")),
    ("XML: a comment of 100 MiB", "NESSUS_XML", |file| in_xml(file, b"<!--", b"y > ", b"-->")),
    ("XML: CDATA of 100 MiB", "NESSUS_XML", |file| in_xml(file, b"<![CDATA[", b"y ]> ", b"]]>")),
    ("XML: 100 MiB of elements in each other", "NESSUS_XML", |file| in_xml(file, b"", b"<a>", b"")),
    ("XML: a name of 100 MiB", "NESSUS_XML", |file| in_xml(file, b"<", b"a", b"/>")),
    ("XML: an entity bomb", "NESSUS_XML", |file| {
        file.write_all(b"<!DOCTYPE NessusClientData_v2 [<!ENTITY a0 'lol'>")?;
        (1..64).try_for_each(|n| write!(file, "<!ENTITY a{n} '&a{0};&a{0};'>", n - 1))?;
        file.write_all(b"]><NessusClientData_v2>&a63;</NessusClientData_v2>")
    }),
    ("XML: an entity from a file", "NESSUS_XML", |file| {
        file.write_all(b"<!DOCTYPE NessusClientData_v2 [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>")?;
        file.write_all(b"<NessusClientData_v2>&x;</NessusClientData_v2>")
    }),
    ("CSV: a cell of 100 MiB", "CSV", |file| {
        file.write_all(b"Name\n\"")?;
        repeat(file, b"y")?;
        file.write_all(b"\"\n")
    }),
    ("CSV: 100 Mi columns", "CSV", |file| {
        file.write_all(b"Name")?;
        repeat(file, b";")
    }),
    ("JSONL: a line of 100 MiB", "JSONL", |file| {
        file.write_all(b"{\"Name\":\"")?;
        repeat(file, b"y")?;
        file.write_all(b"\"}\n")
    }),
    ("100 MiB of NUL bytes", "", |file| repeat(file, b"\0")),
    ("NUL bytes in a text", "TRIVY_JSON", |file| beside(file, b"\"", b"\0", b"\"")),
    ("broken UTF-8 in a text", "TRIVY_JSON", |file| beside(file, b"\"", b"\xff", b"\"")),
    ("100 MiB of spaces", "", |file| repeat(file, b" ")),
    ("gzip: 1 GiB of spaces", "TRIVY_JSON", |file| {
        let mut packed = GzEncoder::new(file, Compression::best());
        let block = vec![b' '; 1 << 20];
        (0..1 << 10).try_for_each(|_| packed.write_all(&block))?;
        packed.finish().map(drop)
    }),
    ("ZIP: 1 GiB of spaces in one file", "TRIVY_JSON", |file| {
        let mut archive = ZipWriter::new_stream(file);
        let options = SimpleFileOptions::default().large_file(true);
        archive.start_file("a.json", options).expect("a file can be added");
        let block = vec![b' '; 1 << 20];
        (0..1 << 10).try_for_each(|_| archive.write_all(&block))?;
        archive.finish().map(drop).map_err(std::io::Error::other)
    }),
    ("ZIP: 100,000 files", "", |file| {
        let mut archive = ZipWriter::new_stream(file);
        for n in 0..100_000 {
            archive
                .start_file(format!("{n}.json"), SimpleFileOptions::default())
                .expect("a file can be added");
        }
        archive.finish().map(drop).map_err(std::io::Error::other)
    }),
    ("ZIP: a name that leaves its folder", "TRIVY_JSON", |file| {
        let mut archive = ZipWriter::new_stream(file);
        let options = SimpleFileOptions::default();
        archive.start_file("../../../etc/passwd", options).expect("a file can be added");
        archive.write_all(br#"{"Results":[]}"#)?;
        archive.finish().map(drop).map_err(std::io::Error::other)
    }),
];

fn repeat(file: &mut impl Write, piece: &[u8]) -> std::io::Result<()> {
    let block = piece.repeat((1 << 16) / piece.len());
    (0..MANY / block.len()).try_for_each(|_| file.write_all(&block))
}

fn in_item(file: &mut impl Write, before: &[u8], piece: &[u8], behind: &[u8]) -> std::io::Result<()> {
    file.write_all(br#"{"Results":[{"Vulnerabilities":[{"VulnerabilityID":"a","PkgName":"b","Title":"#)?;
    file.write_all(before)?;
    repeat(file, piece)?;
    file.write_all(behind)?;
    file.write_all(b"}]}]}")
}

fn beside(file: &mut impl Write, before: &[u8], piece: &[u8], behind: &[u8]) -> std::io::Result<()> {
    file.write_all(br#"{"Results":[],"x":"#)?;
    file.write_all(before)?;
    repeat(file, piece)?;
    file.write_all(behind)?;
    file.write_all(b"}")
}

fn in_xml(file: &mut impl Write, before: &[u8], piece: &[u8], behind: &[u8]) -> std::io::Result<()> {
    file.write_all(b"<NessusClientData_v2>")?;
    file.write_all(before)?;
    repeat(file, piece)?;
    file.write_all(behind)?;
    file.write_all(b"</NessusClientData_v2>")
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, one, format, path] = &arguments[..]
        && one == "--one"
    {
        return told(format, Path::new(path));
    }
    let folder = tempfile::tempdir().expect("a folder");
    println!("{:<46} {:>9} {:>8} {:>8}  outcome", "file", "MiB", "seconds", "VmHWM MiB");
    for (name, format, make) in CASES {
        let path = folder.path().join("report");
        let mut file = BufWriter::new(File::create(&path).expect("a file"));
        make(&mut file).and_then(|()| file.flush()).expect("room for it");
        drop(file);
        let mib = std::fs::metadata(&path).expect("it is there").len() as f64 / f64::from(1 << 20);
        let start = Instant::now();
        let own = std::env::current_exe().expect("this program");
        let said = Command::new(own).args(["--one", format]).arg(&path).output().expect("it runs");
        let time = start.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let (peak, outcome) = said.split_once(' ').unwrap_or(("?", "it died"));
        println!("{name:<46} {mib:>9.2} {time:>8.2} {peak:>8}  {}", outcome.trim());
    }
}

/// Reads one file, and tells the peak and what came of it.
fn told(format: &str, path: &Path) {
    let format = Format::parse(format);
    let mapping: Mapping =
        serde_json::from_value(json!({ "columns": { "title": "Name" } })).expect("a mapping");
    let mapped = format.is_some_and(|format| format.entry().mapped);
    let plan = Plan { mapping: mapped.then_some(&mapping), asset: Some("the shop") };
    let scratch = tempfile::tempdir().expect("a folder");
    let limits = Limits::default();
    let outcome = check(path, format, &plan, &limits).and_then(|checked| {
        read(path, &checked, &limits, scratch.path(), &mut |_| Ok(()))?;
        Ok(format!("accepted: {} entries, {} findings", checked.entries, checked.findings))
    });
    let outcome = outcome.unwrap_or_else(|error| format!("{}: {}", error.code.word(), error.message));
    println!("{} {outcome}", peak_mib());
}

/// The most memory that this process has had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1_024
}
