//! Reports that come packed: gzip, and a ZIP archive with one file in it.
//!
//! Nothing is unpacked to disk, and no name inside of an archive is ever used as a path: what is
//! inside is decoded as it is read. The limits hold while it streams: a small file that blows up is
//! stopped by its ratio, long before the limit on the whole report.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use flate2::Crc;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::error::{Code, Error, Result};
use crate::intake::guard::{Breach, breach};
use crate::intake::limits::{Limits, too_large};
use crate::intake::place::Meter;

/// How much of a file's beginning tells how it is packed.
pub const MAGIC: usize = 8;

const GZIP: &str = "gzip";
const ZIP: &str = "ZIP";
/// What packed files begin with.
const KINDS: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", GZIP),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
];

/// What may be decoded before the ratio counts: small reports of repeated lines are no bombs.
const SLACK: u64 = 16 << 20;
/// What may be read of an archive to find what is in it.
const DIRECTORY: u64 = 4 << 20;
/// How far from the end of an archive its directory is looked for.
const BUFFER: usize = 64 << 10;

/// Whether a file that begins with `head` is packed.
pub fn is_packed(head: &[u8]) -> bool {
    kind(head).is_some()
}

/// The bytes of the report in `file`, which begins with `head`; packed reports are decoded.
///
/// # Errors
/// `REPORT_UNKNOWN` for an archive of other kinds, or one without exactly one file in it;
/// `REPORT_MALFORMED` for one that is broken; `REPORT_TOO_LARGE` for one with too many entries.
pub fn unpacked(mut file: File, head: &[u8], limits: &Limits, meter: &Rc<Meter>) -> Result<Box<dyn Read>> {
    file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
    match kind(head) {
        None => Ok(Box::new(file)),
        Some(GZIP) => {
            let packed = file.metadata().map_err(Error::internal)?.len();
            let inner = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file));
            single(Box::new(Unpacked::new(inner, packed, limits)), meter)
        }
        Some(ZIP) => single(only_entry(file, limits, meter)?, meter),
        Some(other) => Err(packed_otherwise(other)),
    }
}

/// How a file that begins with `head` is packed.
fn kind(head: &[u8]) -> Option<&'static str> {
    KINDS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind)
}

fn packed_otherwise(kind: &str) -> Error {
    let message = format!(
        "The file is packed ({kind}). Reports are read as they are, as gzip, or as a ZIP archive with one file in it."
    );
    Error::new(Code::ReportUnknown, message)
}

/// Refuses what is packed once more inside.
fn single(mut inner: Box<dyn Read>, meter: &Meter) -> Result<Box<dyn Read>> {
    let mut head = Vec::new();
    if let Err(error) = inner.by_ref().take(MAGIC as u64).read_to_end(&mut head) {
        return Err(match breach(&error) {
            Some(Breach::TooLarge(limit)) => too_large(limit, meter.place()),
            Some(breach) => meter.malformed(breach),
            None => Error::internal(error),
        });
    }
    match kind(&head) {
        Some(kind) => {
            let message =
                format!("What is packed in the file is packed again ({kind}). Upload the report itself.");
            Err(Error::new(Code::ReportUnknown, message))
        }
        None => Ok(Box::new(io::Cursor::new(head).chain(inner))),
    }
}

/// The one file of an archive. Folders do not count, nor what systems add by themselves.
fn only_entry(file: File, limits: &Limits, meter: &Rc<Meter>) -> Result<Box<dyn Read>> {
    let broken =
        |error: &dyn std::fmt::Display| meter.malformed(format_args!("the archive is broken: {error}"));
    let bounded = Bounded { file: file.try_clone().map_err(Error::internal)?, left: DIRECTORY };
    let mut archive =
        ZipArchive::new(BufReader::with_capacity(BUFFER, bounded)).map_err(|error| match error {
            ZipError::Io(error) if breach(&error).is_some() => {
                too_large(limits.over_entries(), meter.place())
            }
            error => broken(&error),
        })?;
    if archive.len() > limits.entries {
        return Err(too_large(limits.over_entries(), meter.place()));
    }
    if archive.has_duplicate_names() {
        return Err(broken(&"two entries have the same name"));
    }
    let mut files = Vec::new();
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(|error| broken(&error))?;
        let name = String::from_utf8_lossy(entry.name_raw());
        let own = name.split('/').any(|part| part == "__MACOSX" || part == ".DS_Store");
        if !entry.is_dir() && !own {
            files.push(at);
        }
    }
    let [only] = files[..] else {
        let message = format!("The archive has {} files in it. Upload a report at a time.", files.len());
        return Err(Error::new(Code::ReportUnknown, message));
    };
    let entry = archive.by_index_raw(only).map_err(|error| broken(&error))?;
    if entry.encrypted() {
        return Err(Error::new(Code::ReportUnknown, "What is in the archive is encrypted."));
    }
    let (method, packed, size, crc) =
        (entry.compression(), entry.compressed_size(), entry.size(), entry.crc32());
    let start = entry.data_start().ok_or_else(|| broken(&"an entry has no data"))?;
    drop(entry);
    let mut file = file;
    file.seek(SeekFrom::Start(start)).map_err(Error::internal)?;
    let data = BufReader::with_capacity(BUFFER, file.take(packed));
    let inner: Box<dyn Read> = match method {
        CompressionMethod::Stored => Box::new(data),
        CompressionMethod::Deflated => Box::new(DeflateDecoder::new(data)),
        other => return Err(packed_otherwise(&format!("ZIP, {other}"))),
    };
    Ok(Box::new(Summed { inner: Unpacked::new(inner, packed, limits), sum: Crc::new(), size, crc }))
}

/// The part of an archive that tells what is in it: reading more of it is refused.
struct Bounded {
    file: File,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(Breach::Malformed("its directory is too long"))),
        }
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Decoded bytes, held to a ratio to the packed ones.
struct Unpacked<R> {
    inner: R,
    left: u64,
    limits: Limits,
}

impl<R: Read> Unpacked<R> {
    fn new(inner: R, packed: u64, limits: &Limits) -> Self {
        Self { inner, left: packed.saturating_mul(limits.ratio).max(SLACK), limits: limits.clone() }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                io::Error::new(io::ErrorKind::InvalidData, format!("it cannot be unpacked: {error}"))
            }
            _ => error,
        })?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(Breach::TooLarge(self.limits.over_ratio()))),
        }
        Ok(read)
    }
}

/// An entry of an archive, whose size and sum have to be what the archive says. gzip checks its own.
struct Summed<R> {
    inner: R,
    sum: Crc,
    size: u64,
    crc: u32,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.sum.update(&into[..read]);
        self.size = self.size.checked_sub(read as u64).ok_or_else(mismatch)?;
        if read == 0 && !into.is_empty() && (self.size > 0 || self.sum.sum() != self.crc) {
            return Err(mismatch());
        }
        Ok(read)
    }
}

fn mismatch() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what is in the archive is not what its directory says")
}
