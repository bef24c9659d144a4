//! Reports that come packed: gzip, and a ZIP archive with one file in it; of feeds, one with many.
//!
//! Nothing is unpacked to disk but an archive inside of a feed's archive, and no name inside of an archive is ever used as a path: what is
//! inside is decoded as it is read. The limits hold while it streams: a small file that blows up is
//! stopped by its ratio, long before the limit on the whole report.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Code, Error, Result};
use crate::intake::archive::{self, Contents, Fault};
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
const BUFFER: usize = 64 << 10;

/// Whether a file that begins with `head` is packed.
pub fn is_packed(head: &[u8]) -> bool {
    kind(head).is_some()
}

/// Which files of an archive are read.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// The only one.
    One,
    /// Each whose name is one of the feed's, as one text after the other; the only one, whatever its
    /// name, or what is in that if it is an archive.
    Every(fn(&str) -> bool),
}

/// The bytes of the report in `file`, of which `head` has been read; packed reports are decoded. An archive
/// inside of an archive is laid down in `spool`.
///
/// # Errors
/// `REPORT_UNKNOWN` for an archive of other kinds, or one without the files that are read;
/// `REPORT_MALFORMED` for one that is broken; `REPORT_TOO_LARGE` for one with too many entries.
pub fn unpacked(
    file: File,
    head: &[u8],
    (wanted, spool): (Wanted, &Path),
    limits: &Limits,
    meter: &Rc<Meter>,
) -> Result<Box<dyn Read>> {
    let begun = io::Cursor::new(head.to_vec());
    match kind(head) {
        None => Ok(Box::new(begun.chain(file))),
        Some(GZIP) => {
            let packed = file.metadata().map_err(Error::internal)?.len();
            let inner = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, begun.chain(file)));
            single(Box::new(Unpacked::new(inner, packed, limits)), meter)
        }
        Some(ZIP) => archived(file, wanted, Some(spool), limits, meter),
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
    let (head, again) = begun(&mut inner, meter)?;
    match again {
        Some(kind) => {
            let message =
                format!("What is packed in the file is packed again ({kind}). Upload the report itself.");
            Err(Error::new(Code::ReportUnknown, message))
        }
        None => Ok(Box::new(io::Cursor::new(head).chain(inner))),
    }
}

/// The first bytes of what was packed, and how it is packed once more, if it is.
fn begun(inner: &mut Box<dyn Read>, meter: &Meter) -> Result<(Vec<u8>, Option<&'static str>)> {
    let mut head = Vec::new();
    let read = inner.by_ref().take(MAGIC as u64).read_to_end(&mut head);
    read.map_err(|error| unreadable(&error, meter))?;
    let again = kind(&head);
    Ok((head, again))
}

fn unreadable(error: &io::Error, meter: &Meter) -> Error {
    match breach(error) {
        Some(Breach::TooLarge(limit)) => too_large(limit, meter.place()),
        Some(breach) => meter.malformed(breach),
        None => Error::internal(error.to_string()),
    }
}

/// The files of an archive that are read. Folders do not count, nor what systems add by themselves.
fn archived(
    mut file: File,
    wanted: Wanted,
    spool: Option<&Path>,
    limits: &Limits,
    meter: &Rc<Meter>,
) -> Result<Box<dyn Read>> {
    let most = match wanted {
        Wanted::One => limits.entries,
        Wanted::Every(_) => limits.records,
    };
    let size = file.metadata().map_err(Error::internal)?.len();
    let own = |name: &str| name.split('/').any(|part| part == "__MACOSX" || part == ".DS_Store");
    let found = archive::files(&mut file, most, &mut |name| {
        let named = matches!(wanted, Wanted::Every(is_wanted) if is_wanted(name));
        (!own(name)).then_some(named)
    });
    let mut found = found.map_err(|fault| match fault {
        Fault::Broken(what) => meter.malformed(format_args!("the archive is broken: {what}")),
        Fault::Entries => too_large(Limits { entries: most, ..limits.clone() }.over_entries(), meter.place()),
        Fault::Io(error) => Error::internal(error),
    })?;
    match wanted {
        Wanted::One if found.len() != 1 => {
            let message = format!("The archive has {} files in it. Upload a report at a time.", found.len());
            return Err(Error::new(Code::ReportUnknown, message));
        }
        Wanted::Every(_) if found.len() != 1 => found.retain(|file| file.named),
        _ => {}
    }
    if found.is_empty() {
        return Err(Error::new(Code::ReportUnknown, "The archive has none of the feed's files in it."));
    }
    for entry in &found {
        if entry.encrypted {
            return Err(Error::new(Code::ReportUnknown, "What is in the archive is encrypted."));
        }
        if ![archive::STORED, archive::DEFLATED].contains(&entry.method) {
            return Err(packed_otherwise(&format!("ZIP, method {}", entry.method)));
        }
    }
    let is_one = found.len() == 1;
    let inner = Box::new(Unpacked::new(Contents::new(file, found), size, limits));
    match (wanted, spool) {
        (Wanted::Every(_), Some(spool)) if is_one => nested(inner, wanted, spool, limits, meter),
        (Wanted::Every(_), _) if !is_one => Ok(inner),
        _ => single(inner, meter),
    }
}

/// The one file of an archive, which may be an archive once more: that one is laid down beside the
/// upload, without a name, as its directory is at its end.
fn nested(
    mut inner: Box<dyn Read>,
    wanted: Wanted,
    spool: &Path,
    limits: &Limits,
    meter: &Rc<Meter>,
) -> Result<Box<dyn Read>> {
    let (head, rest) = begun(&mut inner, meter)?;
    let whole = Box::new(io::Cursor::new(head).chain(inner));
    if rest != Some(ZIP) {
        return single(whole, meter);
    }
    let mut file = tempfile::tempfile_in(spool).map_err(Error::internal)?;
    let copied = io::copy(&mut whole.take(limits.bytes.saturating_add(1)), &mut file);
    if copied.map_err(|error| unreadable(&error, meter))? > limits.bytes {
        return Err(too_large(limits.over_bytes(), meter.place()));
    }
    archived(file, wanted, None, limits, meter)
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
        let read = self.inner.read(into).map_err(undecodable)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(Breach::TooLarge(self.limits.over_ratio()))),
        }
        Ok(read)
    }
}

/// An error of a decoder, as one of the file.
pub(super) fn undecodable(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::InvalidData, format!("it cannot be unpacked: {error}"))
        }
        _ => error,
    }
}
