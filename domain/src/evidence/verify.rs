//! Proves an archive of evidence, byte by byte, and names the first that is not what it was.
//!
//! The manifest says what each file is, and its signature that the manifest is the server's; every
//! other byte follows from the names and the contents, and is made again and compared. So there is no
//! byte in an archive that could be another.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use sha2::{Digest, Sha256};

use super::archive::{self, DESCRIPTOR, END, ENTRY, Packed};
use super::manifest::{MANIFEST, Manifest, SIGNATURE, SignedFile};
use crate::gateway::signing::SigningKey;

/// The most bytes of the directory, and of the manifest with its signature, which are held.
const HELD: u64 = 16 << 20;
const BUFFER: usize = 64 << 10;

/// What is not as it was, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Altered {
    /// The file of the archive, or the part of it that is no file.
    pub part: String,
    pub what: String,
}

impl fmt::Display for Altered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.what)
    }
}

/// Why an archive was not proved.
#[derive(Debug)]
pub enum Fault {
    Altered(Altered),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return altered("the archive", "it ends too early");
        }
        Self::Io(error)
    }
}

fn altered(part: &str, what: impl Into<String>) -> Fault {
    Fault::Altered(Altered { part: part.to_owned(), what: what.into() })
}

const DIRECTORY: &str = "the archive's directory";

/// Where a file is, as the directory says.
struct Told {
    name: String,
    bytes: u64,
}

/// Proves an archive against the key of the server that made it; returns its manifest.
///
/// # Errors
/// The first thing that is not as it was, by the order of the archive.
pub fn verify(mut archive: impl Read + Seek, key: &SigningKey) -> Result<Manifest, Fault> {
    let length = archive.seek(SeekFrom::End(0))?;
    let told = directory(&mut archive, length)?;
    archive.seek(SeekFrom::Start(0))?;
    let mut packed: Vec<Packed> = Vec::new();
    let (mut manifest, mut signature) = (None, None);
    let mut at = 0;
    for file in &told {
        let kept = match file.name.as_str() {
            MANIFEST => Some(&mut manifest),
            SIGNATURE => Some(&mut signature),
            _ => None,
        };
        let one = prove_file(&mut archive, file, at, kept)?;
        at += (archive::LOCAL + one.name.len() + DESCRIPTOR) as u64 + one.bytes;
        packed.push(one);
    }
    let mut expected = Vec::new();
    let rest = archive::directory(&packed, at, &mut expected);
    rest.map_err(|error| altered(DIRECTORY, error.message))?;
    let mut rest = Vec::new();
    archive.take(HELD).read_to_end(&mut rest)?;
    if rest != expected {
        return Err(altered(DIRECTORY, "it is not the one of these files"));
    }
    let (Some(manifest), Some(signature)) = (manifest, signature) else {
        return Err(altered(MANIFEST, "the archive has none, or it is not signed"));
    };
    check_manifest(&manifest, &signature, &packed, key)
}

fn check_manifest(
    manifest: &[u8],
    signature: &[u8],
    packed: &[Packed],
    key: &SigningKey,
) -> Result<Manifest, Fault> {
    if !Manifest::is_signed(manifest, signature, key) {
        return Err(altered(
            MANIFEST,
            format!("it is not what this server signed, or {SIGNATURE} is not its signature"),
        ));
    }
    let manifest: Manifest =
        serde_json::from_slice(manifest).map_err(|error| altered(MANIFEST, error.to_string()))?;
    let files = packed.iter().filter(|file| ![MANIFEST, SIGNATURE].contains(&file.name.as_str()));
    let mut listed = manifest.files.iter();
    for file in files {
        let Some(said) = listed.next() else {
            return Err(altered(&file.name, "the manifest does not name it"));
        };
        if *said != SignedFile::of(file, said.rows) {
            return Err(altered(&file.name, format!("it is not what the manifest says of {}", said.name)));
        }
    }
    match listed.next() {
        Some(missing) => Err(altered(&missing.name, "it is missing")),
        None => Ok(manifest),
    }
}

/// Goes through one file, from its header to what stands behind it.
fn prove_file(
    archive: &mut impl Read,
    told: &Told,
    at: u64,
    keep: Option<&mut Option<Vec<u8>>>,
) -> Result<Packed, Fault> {
    let broken = |what: &str| altered(&told.name, what);
    let header = archive::local(&told.name);
    let mut found = vec![0; header.len()];
    archive.read_exact(&mut found)?;
    if found != header {
        return Err(broken("its header was altered"));
    }
    if keep.is_some() && told.bytes > HELD {
        return Err(broken("it is too large"));
    }
    let (mut crc, mut sha256, mut left) = (Crc::new(), Sha256::new(), told.bytes);
    let mut kept = Vec::new();
    let mut buffer = vec![0; BUFFER];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        archive.read_exact(&mut buffer[..most])?;
        crc.update(&buffer[..most]);
        sha256.update(&buffer[..most]);
        if keep.is_some() {
            kept.extend_from_slice(&buffer[..most]);
        }
        left -= most as u64;
    }
    if let Some(keep) = keep {
        *keep = Some(kept);
    }
    let packed = Packed::new(told.name.clone(), told.bytes, sha256.finalize().into(), crc.sum(), at);
    let mut found = [0; DESCRIPTOR];
    archive.read_exact(&mut found)?;
    if found != packed.descriptor() {
        return Err(broken("its content was altered"));
    }
    Ok(packed)
}

/// What the directory says there is. Whether that is so is found out by the files themselves.
fn directory(archive: &mut (impl Read + Seek), length: u64) -> Result<Vec<Told>, Fault> {
    let broken = || altered(DIRECTORY, "it is broken");
    let end_at = length.checked_sub(END as u64).ok_or_else(broken)?;
    archive.seek(SeekFrom::Start(end_at))?;
    let mut end = [0; END];
    archive.read_exact(&mut end)?;
    let at = u64::from(number(&end, 16));
    let size = end_at.checked_sub(at).filter(|size| end.starts_with(b"PK\x05\x06") && *size <= HELD);
    let size = size.ok_or_else(broken)?;
    archive.seek(SeekFrom::Start(at))?;
    let mut listed = vec![0; usize::try_from(size).map_err(|_| broken())?];
    archive.read_exact(&mut listed)?;
    let mut told = Vec::new();
    let mut rest = listed.as_slice();
    while !rest.is_empty() {
        let fixed = rest.get(..ENTRY).filter(|fixed| fixed.starts_with(b"PK\x01\x02")).ok_or_else(broken)?;
        let name_to = ENTRY + usize::from(u16::from_le_bytes([fixed[28], fixed[29]]));
        let name =
            rest.get(ENTRY..name_to).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(broken)?;
        told.push(Told { name: name.to_owned(), bytes: u64::from(number(fixed, 24)) });
        rest = &rest[name_to..];
    }
    Ok(told)
}

fn number(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::archive::Packer;
    use super::super::manifest::Range;
    use super::*;
    use crate::ledger::audit::SignedHead;
    use crate::vocabulary::time::Timestamp;

    fn key(seed: u8) -> SigningKey {
        let mut file = tempfile::NamedTempFile::new().expect("there is room");
        file.write_all(&[seed; 32]).expect("there is room");
        SigningKey::open(file.path()).expect("it is a key")
    }

    fn packed(files: &[(String, Vec<u8>)], key: &SigningKey) -> Vec<u8> {
        let (mut packer, mut out) = (Packer::default(), Vec::new());
        let mut pack = |name: &str, content: &[u8], out: &mut Vec<u8>| {
            packer.begin(name, out);
            // In pieces, as they come.
            content.chunks(7).for_each(|piece| packer.write(piece, out).expect("there is room"));
            SignedFile::of(packer.end(out).expect("it was begun"), 1)
        };
        let listed = files.iter().map(|(name, content)| pack(name, content, &mut out)).collect();
        let head = SignedHead {
            company: Uuid::nil(),
            seq: 1,
            hash: String::new(),
            at: Timestamp(0),
            signature: String::new(),
        };
        let audit = Range { after: 0, last: 1, hash_after: String::new(), hash_last: String::new() };
        let manifest = Manifest {
            format: "x".into(),
            company: Uuid::nil(),
            company_name: "Acme".into(),
            from: Timestamp(0),
            to: Timestamp(1),
            made_at: Timestamp(2),
            made_by: "Ann".into(),
            audit,
            head,
            files: listed,
        };
        let text = serde_json::to_vec_pretty(&manifest).expect("it encodes");
        pack(MANIFEST, &text, &mut out);
        pack(SIGNATURE, Manifest::signature(&text, key).as_bytes(), &mut out);
        packer.finish(&mut out).expect("there is room");
        out
    }

    fn proved(archive: &[u8], key: &SigningKey) -> Result<Manifest, String> {
        verify(Cursor::new(archive), key).map_err(|fault| match fault {
            Fault::Altered(altered) => altered.to_string(),
            Fault::Io(error) => panic!("{error}"),
        })
    }

    fn two() -> Vec<(String, Vec<u8>)> {
        vec![("rules.csv".into(), b"key,name\r\na,b\r\n".to_vec()), ("rules.json".into(), b"[]".to_vec())]
    }

    #[test]
    fn every_byte_of_an_archive_is_proved_and_each_fault_named() {
        let key = key(1);
        let archive = packed(&two(), &key);
        let manifest = proved(&archive, &key).expect("it is whole");
        assert_eq!(
            manifest.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
            ["rules.csv", "rules.json"]
        );
        let content = archive.windows(8).position(|part| part == b"key,name").expect("it is stored");
        for at in 0..archive.len() {
            for mask in [0x01, 0x20, 0x80] {
                let mut other = archive.clone();
                other[at] ^= mask;
                let fault = proved(&other, &key).expect_err(&format!("byte {at} of {}", archive.len()));
                if (content..content + 14).contains(&at) {
                    assert_eq!(fault, "rules.csv: its content was altered");
                }
            }
        }
        for at in 0..archive.len() {
            assert!(proved(&archive[..at], &key).is_err(), "cut off at {at}");
        }
        assert!(proved(&[archive.as_slice(), b"x"].concat(), &key).is_err());
        assert!(
            proved(&archive, &super::tests::key(2))
                .expect_err("it is of another server")
                .starts_with(MANIFEST)
        );
    }

    #[test]
    fn an_archive_that_was_packed_anew_is_told_from_the_one_that_was_signed() {
        let key = key(1);
        let whole = packed(&two(), &key);
        let manifest = proved(&whole, &key).expect("it is whole");
        // All of it fits together, but for the signed manifest.
        let mut files = two();
        files[0].1[0] = b'K';
        let other = packed(&files, &super::tests::key(2));
        let (mut packer, mut out) = (Packer::default(), Vec::new());
        for (name, content) in &files {
            packer.begin(name, &mut out);
            packer.write(content, &mut out).expect("there is room");
            packer.end(&mut out);
        }
        let text = serde_json::to_vec_pretty(&manifest).expect("it encodes");
        for (name, content) in
            [(MANIFEST, text.clone()), (SIGNATURE, Manifest::signature(&text, &key).into_bytes())]
        {
            packer.begin(name, &mut out);
            packer.write(&content, &mut out).expect("there is room");
            packer.end(&mut out);
        }
        packer.finish(&mut out).expect("there is room");
        let fault = proved(&out, &key).expect_err("a file was put in the place of another");
        assert_eq!(fault, "rules.csv: it is not what the manifest says of rules.csv");
        assert!(proved(&other, &key).is_err());
    }

    proptest! {
        #[test]
        fn other_tools_read_an_archive(
            files in proptest::collection::vec(("[a-z]{1,12}", proptest::collection::vec(any::<u8>(), 0..200)), 0..5)
        ) {
            let mut files: Vec<(String, Vec<u8>)> = files;
            files.sort();
            files.dedup_by(|one, other| one.0 == other.0);
            let archive = packed(&files, &key(1));
            let mut read = zip::ZipArchive::new(Cursor::new(&archive)).expect("it is a ZIP");
            prop_assert_eq!(read.len(), files.len() + 2);
            for (name, content) in &files {
                let mut found = Vec::new();
                read.by_name(name).expect("it is there").read_to_end(&mut found).expect("it can be read");
                prop_assert_eq!(&found, content);
            }
        }

        #[test]
        fn whatever_a_file_holds_it_ends(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(verify(Cursor::new(&bytes), &key(1)).is_err());
        }
    }
}
