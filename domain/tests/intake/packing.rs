//! Reports in other wrappings and encodings are the same reports; packed ones that are broken or meant
//! to hurt are refused.

use std::io::{Cursor, Write};

use domain::error::{Code, Error};
use domain::intake::format::{Format, Plan};
use domain::intake::limits::Limits;
use domain::intake::reading::check;
use domain::intake::report::{Fingerprint, Reported};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::fixtures::{all, both_of, on_disk, path};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes any bytes")
}

fn archive(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in files {
        if name.ends_with('/') {
            writer.add_directory(*name, options).expect("a folder can be added");
        } else {
            writer.start_file(*name, options).expect("a file can be added");
            writer.write_all(bytes).expect("memory takes any bytes");
        }
    }
    writer.finish().expect("an archive ends").into_inner()
}

fn deflated(files: &[(&str, &[u8])]) -> Vec<u8> {
    archive(files, CompressionMethod::Deflated)
}

fn wide(text: &str, mark: bool, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    mark.then_some(0xfeff).into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
}

/// The findings without the excerpts, in which line ends are as the report has them.
fn bare(found: Vec<(Reported, Fingerprint)>) -> Vec<(Reported, Fingerprint)> {
    let bare = |(reported, fingerprint)| (Reported { excerpt: None, ..reported }, fingerprint);
    found.into_iter().map(bare).collect()
}

#[test]
fn a_report_is_the_same_however_it_is_wrapped() {
    for (file, format, mapping) in all() {
        let bytes = std::fs::read(path(file)).expect("the fixture");
        let text = String::from_utf8(bytes.clone()).expect("our fixtures are UTF-8");
        let (middle, end) = bytes.split_at(bytes.len() / 2);
        let wrappings = [
            ("gzip", gzip(&bytes)),
            ("gzip in two members", [gzip(middle), gzip(end)].concat()),
            ("ZIP", deflated(&[(file, &bytes)])),
            ("ZIP, stored", archive(&[(file, &bytes)], CompressionMethod::Stored)),
            (
                "ZIP of a Mac",
                deflated(&[
                    ("out/", b""),
                    ("out/r", &bytes),
                    ("__MACOSX/out/._r", b"x"),
                    ("out/.DS_Store", b"y"),
                ]),
            ),
            ("ZIP whose entry leaves its folder", deflated(&[("../../etc/passwd", &bytes)])),
            ("byte order mark", [b"\xef\xbb\xbf", &bytes[..]].concat()),
            ("UTF-16LE", wide(&text, true, u16::to_le_bytes)),
            ("UTF-16BE", wide(&text, true, u16::to_be_bytes)),
            ("UTF-16LE without a mark", wide(&text, false, u16::to_le_bytes)),
            ("UTF-16BE without a mark", wide(&text, false, u16::to_be_bytes)),
            ("gzip of UTF-16", gzip(&wide(&text, true, u16::to_le_bytes))),
            ("CRLF", text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()),
        ];
        let plain =
            both_of(&bytes, format, mapping.as_ref(), &Limits::default()).expect("the fixture is read");
        for (wrapping, wrapped) in wrappings {
            let found = both_of(&wrapped, format, mapping.as_ref(), &Limits::default());
            let (checked, found) = found.unwrap_or_else(|error| panic!("{file} as {wrapping}: {error}"));
            assert_eq!(bare(found), bare(plain.1.clone()), "{file} as {wrapping}");
            assert_eq!(checked.counts, plain.0.counts, "{file} as {wrapping}");
            if mapping.is_none() {
                let told = check(on_disk(&wrapped).path(), None, &Plan::default(), &Limits::default());
                assert_eq!(told.expect("it is told").format, format, "{file} as {wrapping}");
            }
        }
    }
}

fn refused(bytes: &[u8]) -> Error {
    match both_of(bytes, Format::Sarif, None, &Limits::default()) {
        Err(error) => error,
        Ok((checked, _)) => panic!("{checked:?} was accepted"),
    }
}

fn sarif() -> Vec<u8> {
    std::fs::read(path("checks.sarif")).expect("the fixture")
}

#[test]
fn what_is_packed_otherwise_or_again_is_refused() {
    let sarif = sarif();
    let cases = [
        (b"\x28\xb5\x2f\xfdrest".to_vec(), "Zstandard"),
        (b"BZh9rest".to_vec(), "bzip2"),
        (gzip(&gzip(&sarif)), "packed again (gzip)"),
        (deflated(&[("r.json.gz", &gzip(&sarif))]), "packed again (gzip)"),
        (gzip(&deflated(&[("r.json", &sarif)])), "packed again (ZIP)"),
        (deflated(&[]), "0 files"),
        (deflated(&[("a/", b"")]), "0 files"),
        (deflated(&[("a.json", &sarif), ("b.json", &sarif)]), "2 files"),
    ];
    for (bytes, says) in cases {
        let error = refused(&bytes);
        assert_eq!(error.code, Code::ReportUnknown, "{says}: {error}");
        assert!(error.message.contains(says), "{says}: {error}");
    }
    // The bit that says so, in both headers of the entry.
    let mut locked = deflated(&[("r.json", &sarif)]);
    locked[6] |= 1;
    let directory = locked.windows(4).position(|bytes| bytes == b"PK\x01\x02").expect("it has a directory");
    locked[directory + 8] |= 1;
    assert!(refused(&locked).message.contains("encrypted"));
}

#[test]
fn bombs_are_stopped_while_they_unfold() {
    let zeros = vec![b' '; 200 << 20];
    let many: Vec<(String, Vec<u8>)> = (0..1_001).map(|at| (format!("f{at}"), Vec::new())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    let cases = [
        (gzip(&zeros), "ratio"),
        (gzip(&gzip(&zeros)), "REPORT_UNKNOWN"),
        (deflated(&[("r.json", &zeros)]), "ratio"),
        (archive(&many, CompressionMethod::Stored), "entries"),
    ];
    for (bytes, limit) in cases {
        let error = refused(&bytes);
        let met = error.details.get("limit").and_then(|limit| limit.as_str());
        assert_eq!(met.unwrap_or(error.code.word()), limit, "{error}");
    }
}

/// The places of the last record of an archive's directory, and of the first one.
fn directory(archive: &[u8]) -> (usize, usize) {
    let find = |mark: &[u8]| archive.windows(4).rposition(|bytes| bytes == mark).expect("it has one");
    (find(b"PK\x01\x02"), find(b"PK\x05\x06"))
}

#[test]
fn archives_that_are_not_what_they_seem() {
    let sarif = sarif();
    let whole = deflated(&[("r.json", &sarif)]);
    let (entry, end) = directory(&whole);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        bytes
    };
    let put = |bytes: &mut Vec<u8>, at: usize, value: &[u8]| {
        bytes.splice(at..at + value.len(), value.iter().copied());
    };
    // Two entries of one name, of which the first would go unseen.
    let twice = {
        let mut bytes = deflated(&[("a.json", &sarif), ("b.json", &sarif)]);
        let places: Vec<usize> =
            bytes.windows(6).enumerate().filter(|(_, name)| *name == b"b.json").map(|(at, _)| at).collect();
        places.into_iter().for_each(|at| bytes[at] = b'a');
        bytes
    };
    // The end as ZIP64 has it, with so many entries and so many bytes in front of it as its directory.
    let long = |entries: u64, size: u64, padding: usize| {
        let mut bytes = whole[..end].to_vec();
        bytes.resize(end + padding, 0);
        let record = bytes.len() as u64;
        bytes.extend([&b"PK\x06\x06"[..], &44_u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8]].concat());
        let from = record - size;
        [entries, entries, size, from].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend([&b"PK\x06\x07"[..], &[0; 4], &record.to_le_bytes(), &1_u32.to_le_bytes()].concat());
        bytes.extend([&b"PK\x05\x06"[..], &[0; 4], &[0xff; 12], &[0; 2]].concat());
        bytes
    };
    let size = (end - entry) as u64;
    let comment = vec![b'c'; usize::from(u16::MAX)];
    let accepted = "accepted";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "a comment of 64 KiB",
            changed(&|bytes| {
                put(bytes, end + 20, &u16::MAX.to_le_bytes());
                bytes.extend(&comment);
            }),
            accepted,
        ),
        (
            "a comment shorter than it says",
            changed(&|bytes| put(bytes, end + 20, &9_u16.to_le_bytes())),
            "REPORT_MALFORMED",
        ),
        (
            "an end inside of a comment",
            changed(&|bytes| {
                put(bytes, end + 20, &22_u16.to_le_bytes());
                bytes.extend(b"PK\x05\x06");
                bytes.extend([0; 18]);
            }),
            "REPORT_UNKNOWN",
        ),
        ("two entries of one name", twice, "REPORT_MALFORMED"),
        (
            "more entries than there are",
            changed(&|bytes| {
                put(bytes, end + 8, &9_u16.to_le_bytes());
                put(bytes, end + 10, &9_u16.to_le_bytes());
            }),
            "REPORT_MALFORMED",
        ),
        (
            "as many as ZIP64 has",
            changed(&|bytes| {
                put(bytes, end + 8, &u16::MAX.to_le_bytes());
                put(bytes, end + 10, &u16::MAX.to_le_bytes());
            }),
            "REPORT_MALFORMED",
        ),
        (
            "a directory behind the end",
            changed(&|bytes| put(bytes, end + 16, &u32::MAX.to_le_bytes())),
            "REPORT_MALFORMED",
        ),
        (
            "an entry behind the end",
            changed(&|bytes| put(bytes, entry + 42, &u32::MAX.to_le_bytes()[..4])),
            "REPORT_MALFORMED",
        ),
        (
            "an entry inside of another's data",
            changed(&|bytes| put(bytes, entry + 42, &40_u32.to_le_bytes())),
            "REPORT_MALFORMED",
        ),
        (
            "a size that is not there",
            changed(&|bytes| put(bytes, entry + 24, &u32::MAX.to_le_bytes())),
            "REPORT_MALFORMED",
        ),
        (
            "sizes behind the data, as a stream writes them",
            changed(&|bytes| {
                bytes[6] |= 8;
                bytes[entry + 8] |= 8;
                put(bytes, 14, &[0; 12]);
            }),
            accepted,
        ),
        ("ZIP64", long(1, size, 0), accepted),
        ("ZIP64 with more entries than fit", long(u64::MAX, size, 0), "REPORT_MALFORMED"),
        ("ZIP64 with as many entries as fit", long(600_000, 32 << 20, 32 << 20), "REPORT_TOO_LARGE"),
        ("ZIP64 with entries that are none", long(1_000, 46_000, 46_000), "REPORT_MALFORMED"),
        ("ZIP64 with a directory behind its entries", long(1, size + 46, 46), "REPORT_MALFORMED"),
        ("something in front of the archive", [&b"PK\x03\x04"[..], &whole].concat(), accepted),
        ("another method", changed(&|bytes| put(bytes, entry + 10, &12_u16.to_le_bytes())), "REPORT_UNKNOWN"),
        ("an entry of 0 bytes", deflated(&[("r.json", b"")]), "REPORT_MALFORMED"),
        ("a member of 0 bytes", gzip(b""), "REPORT_MALFORMED"),
        ("many members of gzip", sarif.iter().flat_map(|byte| gzip(&[*byte])).collect(), accepted),
        ("many empty members of gzip", [gzip(b"").repeat(20_000), gzip(&sarif)].concat(), accepted),
        ("gzip with something behind it", [gzip(&sarif), b"more".to_vec()].concat(), "REPORT_MALFORMED"),
        ("gzip with zeros behind it", [gzip(&sarif), vec![0; 512]].concat(), "REPORT_MALFORMED"),
        (
            "a name in gzip without an end",
            [&b"\x1f\x8b\x08\x08\0\0\0\0\0\x03"[..], &vec![b'n'; 1 << 20]].concat(),
            "REPORT_MALFORMED",
        ),
        (
            "gzip of reserved flags",
            [&b"\x1f\x8b\x08\xe0\0\0\0\0\0\x03"[..], &gzip(&sarif)[10..]].concat(),
            "REPORT_MALFORMED",
        ),
    ];
    for (name, bytes, expected) in cases {
        let (done, work) = crate::work::of(|| both_of(&bytes, Format::Sarif, None, &Limits::default()));
        let outcome = done.as_ref().map_or_else(|error| error.code.word(), |_| accepted);
        assert_eq!(outcome, expected, "{name}: {:?}", done.err());
        assert!(work.peak < 48 << 20, "{name}: {work:?}");
    }
}

#[test]
fn a_packed_report_cut_anywhere_is_refused() {
    for packed in [gzip(&sarif()), deflated(&[("r.json", &sarif())])] {
        for end in 4..packed.len() {
            let error = refused(&packed[..end]);
            assert_eq!(error.code, Code::ReportMalformed, "cut at {end}: {error}");
        }
    }
}

#[test]
fn what_an_archive_holds_is_what_it_says() {
    let whole = deflated(&[("r.json", &sarif())]);
    let directory = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").expect("it has a directory");
    // The sum, the packed size and the size in the directory, which is what is believed.
    for field in [16, 20, 24] {
        let mut lying = whole.clone();
        lying[directory + field] ^= 1;
        assert_eq!(refused(&lying).code, Code::ReportMalformed, "field {field}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_of_an_archive_never_panic(zipped in any::<bool>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = if zipped { deflated(&[("r.json", &sarif())]) } else { gzip(&sarif()) };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(error) = both_of(&bytes, Format::Sarif, None, &Limits::default()) {
            prop_assert_ne!(error.code, Code::Internal, "{}", error);
        }
    }
}
