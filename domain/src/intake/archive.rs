//! What is in a ZIP archive, by its directory, and the bytes of its files.
//!
//! The directory is read entry by entry and nothing is reserved by what it says of itself, so an
//! archive costs what its files cost and no more. What it says is held against what there is: an
//! archive whose parts do not fit together is broken.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::guard::Breach;

/// The fixed parts of an archive's records, and what each begins with.
const END: (usize, &[u8]) = (22, b"PK\x05\x06");
const LOCATOR: (usize, &[u8]) = (20, b"PK\x06\x07");
const END_64: (usize, &[u8]) = (56, b"PK\x06\x06");
const ENTRY: (usize, &[u8]) = (46, b"PK\x01\x02");
const LOCAL: (usize, &[u8]) = (30, b"PK\x03\x04");
/// What an entry of the directory may have on average: its name and what else is said of it.
const PER_ENTRY: u64 = 4 << 10;
const BUFFER: usize = 64 << 10;

/// Where a file of the archive is, and what has to come out of it.
#[derive(Clone, Debug)]
pub struct Packed {
    /// What `pick` said of its name.
    pub named: bool,
    pub method: u16,
    pub encrypted: bool,
    /// Where its own header is.
    at: u64,
    packed: u64,
    size: u64,
    crc: u32,
}

/// Why there is nothing to be read.
#[derive(Debug)]
pub enum Fault {
    Broken(&'static str),
    /// More entries than may be, or a directory of that size.
    Entries,
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Broken("it ends too early"),
            _ => Self::Io(error),
        }
    }
}

/// The directory of an archive, as its end tells.
struct Directory {
    entries: u64,
    /// Where it begins, and how long it is.
    from: u64,
    size: u64,
    /// What stands in front of the archive: places count from behind it.
    shift: u64,
}

/// The files of the archive, in the order of the directory, without those of whose names `pick` says
/// nothing. At most `most` entries may be in it, whichever they are. No name is kept or used as a path.
pub fn files(
    file: &mut File,
    most: usize,
    pick: &mut dyn FnMut(&str) -> Option<bool>,
) -> Result<Vec<Packed>, Fault> {
    let directory = directory(file)?;
    if directory.entries > most as u64 || directory.size > PER_ENTRY.saturating_mul(most as u64) {
        return Err(Fault::Entries);
    }
    file.seek(SeekFrom::Start(directory.from))?;
    let mut rest = BufReader::with_capacity(BUFFER, file).take(directory.size);
    let (mut files, mut names, hasher) = (Vec::new(), HashSet::new(), RandomState::new());
    for _ in 0..directory.entries {
        let mut head = [0; ENTRY.0];
        rest.read_exact(&mut head)?;
        if !head.starts_with(ENTRY.1) {
            return Err(Fault::Broken("its directory has not the entries that it says"));
        }
        let mut name = vec![0; usize::from(u16_at(&head, 28))];
        rest.read_exact(&mut name)?;
        let mut extra = vec![0; usize::from(u16_at(&head, 30))];
        rest.read_exact(&mut extra)?;
        io::copy(&mut rest.by_ref().take(u16_at(&head, 32).into()), &mut io::sink())?;
        if !names.insert(hasher.hash_one(&name)) {
            return Err(Fault::Broken("two entries have the same name"));
        }
        let mut long = Long::of(&extra);
        let (size, packed) = (long.or(u32_at(&head, 24))?, long.or(u32_at(&head, 20))?);
        let at = long.or(u32_at(&head, 42))?.checked_add(directory.shift);
        let at = at.filter(|at| at.checked_add(packed).is_some_and(|end| end <= directory.from));
        let name = String::from_utf8_lossy(&name);
        let Some(named) = pick(&name).filter(|_| !name.ends_with('/')) else { continue };
        files.push(Packed {
            named,
            method: u16_at(&head, 10),
            encrypted: u16_at(&head, 8) & 1 == 1,
            at: at.ok_or(Fault::Broken("an entry has its data elsewhere"))?,
            packed,
            size,
            crc: u32_at(&head, 16),
        });
    }
    if rest.limit() > 0 {
        return Err(Fault::Broken("its directory has not the entries that it says"));
    }
    Ok(files)
}

/// Finds the end of the archive, which is the end of the file, and reads where the directory is.
fn directory(file: &mut File) -> Result<Directory, Fault> {
    let len = file.metadata()?.len();
    let most = (LOCATOR.0 + END.0 + usize::from(u16::MAX)) as u64;
    let tail_from = len.saturating_sub(most);
    file.seek(SeekFrom::Start(tail_from))?;
    let mut tail = Vec::new();
    file.by_ref().take(most).read_to_end(&mut tail)?;
    let ends = |at: &usize| {
        let record = &tail[*at..];
        record.starts_with(END.1) && END.0 + usize::from(u16_at(record, 20)) == record.len()
    };
    let at = (0..=tail.len().saturating_sub(END.0)).rev().filter(|at| tail.len() - at >= END.0).find(ends);
    let at = at.ok_or(Fault::Broken("it has no end"))?;
    let end = &tail[at..];
    if [u16_at(end, 4), u16_at(end, 6)].iter().any(|disk| ![0, u16::MAX].contains(disk)) {
        return Err(Fault::Broken("it is a part of a larger one"));
    }
    let locator = at.checked_sub(LOCATOR.0).filter(|from| tail[*from..].starts_with(LOCATOR.1));
    let (behind, entries, size, from) = match locator {
        None => {
            let (size, from) = (u32_at(end, 12).into(), u32_at(end, 16).into());
            (tail_from + at as u64, u64::from(u16_at(end, 10)), size, from)
        }
        Some(locator) => {
            let behind = (tail_from + locator as u64).checked_sub(END_64.0 as u64);
            let behind = behind.ok_or(Fault::Broken("it has no end"))?;
            file.seek(SeekFrom::Start(behind))?;
            let mut record = [0; END_64.0];
            file.read_exact(&mut record)?;
            if !record.starts_with(END_64.1) {
                return Err(Fault::Broken("it has no end"));
            }
            (behind, u64_at(&record, 32), u64_at(&record, 40), u64_at(&record, 48))
        }
    };
    // The directory stands right before its end. What is left over stands in front of the archive.
    let begin = behind.checked_sub(size).ok_or(Fault::Broken("its directory is longer than the file"))?;
    let shift = begin.checked_sub(from).ok_or(Fault::Broken("its directory is not where it says"))?;
    if entries > size / ENTRY.0 as u64 {
        return Err(Fault::Broken("its directory has not the entries that it says"));
    }
    Ok(Directory { entries, from: begin, size, shift })
}

/// The numbers of an entry that take eight bytes, in their order.
struct Long<'e>(&'e [u8]);

impl<'e> Long<'e> {
    fn of(mut extra: &'e [u8]) -> Self {
        while extra.len() >= 4 {
            let (kind, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
            let Some(field) = extra.get(4..4 + len) else { break };
            if kind == 1 {
                return Self(field);
            }
            extra = &extra[4 + len..];
        }
        Self(&[])
    }

    /// `short`, or where that says so the next of the long ones.
    fn or(&mut self, short: u32) -> Result<u64, Fault> {
        if short != u32::MAX {
            return Ok(short.into());
        }
        let (number, rest) =
            self.0.split_at_checked(8).ok_or(Fault::Broken("an entry has its data elsewhere"))?;
        self.0 = rest;
        Ok(u64_at(number, 0))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// What can be decoded.
pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;

/// Some files of an archive one after the other, a line end between them.
pub struct Contents {
    file: File,
    files: std::vec::IntoIter<Packed>,
    now: Option<Box<dyn Read>>,
}

impl Contents {
    pub fn new(file: File, files: Vec<Packed>) -> Self {
        Self { file, files: files.into_iter(), now: None }
    }

    /// The bytes of one file, which have to be what the directory says of them.
    fn open(&self, packed: &Packed) -> io::Result<Box<dyn Read>> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(packed.at))?;
        let mut head = [0; LOCAL.0];
        file.read_exact(&mut head).map_err(|_| broken("it ends too early"))?;
        if !head.starts_with(LOCAL.1) || u16_at(&head, 8) != packed.method {
            return Err(broken("an entry is not where the directory says"));
        }
        let skipped = i64::from(u16_at(&head, 26)) + i64::from(u16_at(&head, 28));
        file.seek(SeekFrom::Current(skipped))?;
        let buffer = usize::try_from(packed.packed).unwrap_or(BUFFER).clamp(1, BUFFER);
        let data = BufReader::with_capacity(buffer, file.take(packed.packed));
        let inner: Box<dyn Read> = match packed.method {
            STORED => Box::new(data),
            _ => Box::new(DeflateDecoder::new(data)),
        };
        Ok(Box::new(Summed { inner, sum: Crc::new(), size: packed.size, crc: packed.crc }))
    }
}

impl Read for Contents {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(now) = &mut self.now {
                match now.read(into)? {
                    0 if into.is_empty() => return Ok(0),
                    0 => self.now = None,
                    read => return Ok(read),
                }
                if self.files.len() > 0 {
                    into[0] = b'\n';
                    return Ok(1);
                }
            }
            let Some(next) = self.files.next() else { return Ok(0) };
            self.now = Some(self.open(&next)?);
        }
    }
}

/// A file of an archive, whose size and sum have to be what the archive says. gzip checks its own.
struct Summed<R> {
    inner: R,
    sum: Crc,
    size: u64,
    crc: u32,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into).map_err(super::packing::undecodable)?;
        self.sum.update(&into[..read]);
        self.size = self.size.checked_sub(read as u64).ok_or_else(|| broken(MISMATCH))?;
        if read == 0 && !into.is_empty() && (self.size > 0 || self.sum.sum() != self.crc) {
            return Err(broken(MISMATCH));
        }
        Ok(read)
    }
}

const MISMATCH: &str = "what is in the archive is not what its directory says";

fn broken(what: &'static str) -> io::Error {
    io::Error::other(Breach::Malformed(what))
}
