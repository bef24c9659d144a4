//! An archive of evidence: a ZIP of stored files of which every byte is given by the names and the
//! contents, so that whoever has those can say of each byte whether it is the one. Pure.
//!
//! Files are not compressed and have no times. Sizes and checks follow each file, so the archive is
//! written while its contents come.

use flate2::Crc;
use sha2::{Digest, Sha256};

use crate::error::{Code, Error, Result};

/// Stored, with what is only known at the end behind the file, and names in UTF-8.
const FLAGS: u16 = 0x0808;
/// The first day that ZIP knows.
const DAY: u16 = 0x0021;
const VERSION: u16 = 20;
/// The most files, and bytes, that the records of an archive have room for.
const FILES: usize = 0xFFFE;
const BYTES: u64 = 0xFFFF_FFFE;

pub const LOCAL: usize = 30;
pub const DESCRIPTOR: usize = 16;
pub const ENTRY: usize = 46;
pub const END: usize = 22;

/// A file that was packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    pub name: String,
    pub bytes: u64,
    pub sha256: [u8; 32],
    crc: u32,
    at: u64,
}

/// Packs files, one after the other.
#[derive(Default)]
pub struct Packer {
    at: u64,
    packed: Vec<Packed>,
    open: Option<Open>,
}

struct Open {
    name: String,
    at: u64,
    bytes: u64,
    crc: Crc,
    sha256: Sha256,
}

impl Packer {
    /// Begins a file: the one before has ended.
    pub fn begin(&mut self, name: &str, out: &mut Vec<u8>) {
        let header = local(name);
        self.open = Some(Open {
            name: name.to_owned(),
            at: self.at,
            bytes: 0,
            crc: Crc::new(),
            sha256: Sha256::new(),
        });
        self.at += header.len() as u64;
        out.extend_from_slice(&header);
    }

    /// Adds to the file that is begun.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` past what an archive has room for.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let open = self.open.as_mut().ok_or_else(|| Error::internal("no file is begun"))?;
        open.bytes += bytes.len() as u64;
        self.at += bytes.len() as u64;
        if self.at > BYTES {
            return Err(full());
        }
        open.crc.update(bytes);
        open.sha256.update(bytes);
        out.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the file that is begun.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Option<&Packed> {
        let open = self.open.take()?;
        let sha256 = open.sha256.finalize().into();
        let packed = Packed::new(open.name, open.bytes, sha256, open.crc.sum(), open.at);
        let descriptor = packed.descriptor();
        self.at += descriptor.len() as u64;
        out.extend_from_slice(&descriptor);
        self.packed.push(packed);
        self.packed.last()
    }

    /// The directory of all files, which ends the archive.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` past what an archive has room for.
    pub fn finish(&self, out: &mut Vec<u8>) -> Result<()> {
        directory(&self.packed, self.at, out)
    }
}

/// The directory of these files, which stands at `at`, and the end of the archive.
///
/// # Errors
/// `LIMIT_EXCEEDED` past what an archive has room for.
pub fn directory(packed: &[Packed], at: u64, out: &mut Vec<u8>) -> Result<()> {
    let begin = out.len();
    for file in packed {
        out.extend_from_slice(&entry(file));
    }
    let size = out.len() - begin;
    if packed.len() > FILES || at + size as u64 > BYTES {
        return Err(full());
    }
    let files = (packed.len() as u16).to_le_bytes();
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&files);
    out.extend_from_slice(&files);
    out.extend_from_slice(&(size as u32).to_le_bytes());
    out.extend_from_slice(&(at as u32).to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    Ok(())
}

fn full() -> Error {
    Error::new(Code::LimitExceeded, "An archive has at most 4 GiB: ask for a shorter period.")
}

impl Packed {
    pub fn new(name: String, bytes: u64, sha256: [u8; 32], crc: u32, at: u64) -> Self {
        Self { name, bytes, sha256, crc, at }
    }

    /// What stands behind a file.
    pub fn descriptor(&self) -> [u8; DESCRIPTOR] {
        let mut descriptor = *b"PK\x07\x08\0\0\0\0\0\0\0\0\0\0\0\0";
        descriptor[4..8].copy_from_slice(&self.crc.to_le_bytes());
        for at in [8, 12] {
            descriptor[at..at + 4].copy_from_slice(&(self.bytes as u32).to_le_bytes());
        }
        descriptor
    }
}

/// What stands before a file.
pub fn local(name: &str) -> Vec<u8> {
    let mut header = b"PK\x03\x04".to_vec();
    for number in [VERSION, FLAGS, 0, 0, DAY] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    header.extend_from_slice(&[0; 12]);
    header.extend_from_slice(&(name.len() as u16).to_le_bytes());
    header.extend_from_slice(&[0, 0]);
    header.extend_from_slice(name.as_bytes());
    header
}

fn entry(file: &Packed) -> Vec<u8> {
    let mut entry = b"PK\x01\x02".to_vec();
    for number in [VERSION, VERSION, FLAGS, 0, 0, DAY] {
        entry.extend_from_slice(&number.to_le_bytes());
    }
    for number in [file.crc, file.bytes as u32, file.bytes as u32] {
        entry.extend_from_slice(&number.to_le_bytes());
    }
    entry.extend_from_slice(&(file.name.len() as u16).to_le_bytes());
    entry.extend_from_slice(&[0; 12]);
    entry.extend_from_slice(&(file.at as u32).to_le_bytes());
    entry.extend_from_slice(file.name.as_bytes());
    entry
}
