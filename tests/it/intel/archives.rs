//! Feeds that come as archives: many records in one, an archive in an archive, and traps.

use std::io::{Cursor, Write};

use domain::intel::feed::Feed;
use domain::job::JobState;
use serde_json::{Value as Json, json};
use support::{World, on_both};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{epss, kev, line, load, nvd, record};

on_both!(archives_of_records_are_read_whole, archives_that_are_not_of_the_feed);

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (at, (name, bytes)) in files.iter().enumerate() {
        let stored = at % 2 == 1 && bytes.len() < 1 << 20;
        let method = if stored { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).expect("memory");
        writer.write_all(bytes).expect("memory takes any bytes");
    }
    writer.finish().expect("an archive ends").into_inner()
}

/// An archive as the CVE list publishes it: a folder a thousand numbers, and lists beside the records.
fn cve_list(count: usize) -> Vec<u8> {
    let mut files: Vec<(String, Vec<u8>)> = (0..count)
        .map(|at| {
            let cve = format!("CVE-2026-{at:04}");
            let record = record(&cve, None, "PUBLISHED");
            (format!("cves/2026/{}xxx/{cve}.json", at / 1_000), format!("{record:#}\n").into_bytes())
        })
        .collect();
    files.push(("cves/delta.json".to_owned(), b"{\"new\":[]}".to_vec()));
    files.push(("cves/deltaLog.json".to_owned(), b"[{\"new\":[]}]".to_vec()));
    files.push(("README.md".to_owned(), b"# The list".to_vec()));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    zip(&files)
}

async fn archives_of_records_are_read_whole(world: &World) {
    world.import_lines(&[line("a", "CVE-2026-0001"), line("b", "CVE-2026-1233")]).await;
    let list = cve_list(1_234);
    let nvd_files = [nvd("CVE-2026-0001"), nvd("CVE-2026-0002")];
    let [first, second] = nvd_files.each_ref().map(String::as_bytes);
    let several = format!("{}\n{}", nvd_files[0], nvd_files[1]);
    let cases: Vec<(&str, Feed, Vec<u8>, [i64; 2])> = vec![
        ("the list", Feed::Cve, list.clone(), [1_234, 1_234]),
        ("the list in an archive", Feed::Cve, zip(&[("cves.zip", &list)]), [1_234, 0]),
        (
            "one record",
            Feed::Cve,
            zip(&[("record.txt", record("CVE-2026-0001", None, "PUBLISHED").to_string().as_bytes())]),
            [1, 0],
        ),
        (
            "files of the NVD",
            Feed::Nvd,
            zip(&[("nvdcve-2.0-2025.json", first), ("nvdcve-2.0-2026.json", second)]),
            [2, 2],
        ),
        ("responses after each other", Feed::Nvd, several.into_bytes(), [2, 0]),
        (
            "the catalogue",
            Feed::Kev,
            zip(&[("kev.json", kev(&[("CVE-2026-0001", "2026-12-01", true)]).as_bytes())]),
            [1, 1],
        ),
    ];
    for (name, feed, file, expected) in cases {
        let job = load(&world.domain, &world.root, feed, &file).await;
        assert_eq!(job.state, JobState::Completed, "{name}: {:?}", job.error);
        assert_eq!(["rows", "facts"].map(|count| job.counts[count].as_i64().unwrap()), expected, "{name}");
    }
    for title in ["a", "b"] {
        assert!(world.finding(title).await.layers.has_intel(), "{title}");
    }
}

async fn archives_that_are_not_of_the_feed(world: &World) {
    let list = cve_list(3);
    let good = record("CVE-2026-0001", None, "PUBLISHED").to_string();
    let zeros = vec![b' '; 32 << 20];
    // Each file blows up within what one alone may, and all of them together do not.
    let zeros_of_many: Vec<(String, &[u8])> = (0..4).map(|at| (format!("{at}.json"), &zeros[..])).collect();
    let zeros_of_many: Vec<(&str, &[u8])> =
        zeros_of_many.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    let mut lying = zip(&[("a.json", good.as_bytes()), ("b.json", good.as_bytes())]);
    let sum = lying.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap() + 16;
    lying[sum] ^= 1;
    let cases: Vec<(&str, Feed, Vec<u8>, &str, &str)> = vec![
        (
            "two tables",
            Feed::Epss,
            zip(&[("a.csv", epss(&[]).as_bytes()), ("b.csv", b"")]),
            "REPORT_UNKNOWN",
            "2 files",
        ),
        (
            "no record",
            Feed::Cve,
            zip(&[("a.txt", b"a"), ("b.txt", b"b")]),
            "REPORT_UNKNOWN",
            "none of the feed's files",
        ),
        ("nothing", Feed::Cve, zip(&[]), "REPORT_UNKNOWN", "none of the feed's files"),
        (
            "three deep",
            Feed::Cve,
            zip(&[("a.zip", &zip(&[("cves.zip", &list)]))]),
            "REPORT_UNKNOWN",
            "packed again (ZIP)",
        ),
        (
            "an archive among records",
            Feed::Cve,
            zip(&[("a.json", good.as_bytes()), ("b.json", &list)]),
            "REPORT_MALFORMED",
            "",
        ),
        (
            "one that is not a record",
            Feed::Cve,
            zip(&[("a.json", good.as_bytes()), ("b.json", b"{\"cve\":1}")]),
            "REPORT_MALFORMED",
            "cveMetadata",
        ),
        (
            "one that blows up",
            Feed::Cve,
            zip(&[("a.json", &zeros), ("b.json", good.as_bytes())]),
            "REPORT_TOO_LARGE",
            "times",
        ),
        ("many that do", Feed::Cve, zip(&zeros_of_many), "REPORT_TOO_LARGE", "times"),
        (
            "an archive in it that does",
            Feed::Cve,
            zip(&[("a.zip", &[&b"PK\x03\x04"[..], &zeros].concat())]),
            "REPORT_TOO_LARGE",
            "times",
        ),
        (
            "an archive in it that is cut",
            Feed::Cve,
            zip(&[("a.zip", &list[..list.len() / 2])]),
            "REPORT_MALFORMED",
            "archive is broken",
        ),
        ("a sum that is wrong", Feed::Cve, lying, "REPORT_MALFORMED", "not what its directory says"),
    ];
    for (name, feed, file, code, says) in cases {
        let job = load(&world.domain, &world.root, feed, &file).await;
        let error: Json = job.error.clone().unwrap_or(json!("completed"));
        assert_eq!(error["code"].as_str(), Some(code), "{name}: {error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{name}: {error}");
    }
}
