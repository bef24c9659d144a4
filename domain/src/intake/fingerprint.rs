//! The fingerprint: by what a finding is known again when it is reported again.
//!
//! It is made of the scanner, the name of the asset, and the parts that the format calls the
//! identity of the finding (see the catalogue). Severity, title and times are never part of it, so
//! a finding keeps its fingerprint when they change; nor is a line number where the format has
//! something steadier. Findings of different scanners never share one.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::intake::report::{Fingerprint, Reported};

/// The version of the recipe. A new one makes every finding a new one, so it changes only with a
/// migration of the stored fingerprints.
pub const VERSION: u32 = 1;

/// SHA-256 over the version, the scanner, the asset's name and the parts of the identity, each
/// with its length in front so that no two lists of parts read the same; the first 16 bytes of it,
/// as a UUID of version 8.
pub fn fingerprint(version: u32, scanner: &str, reported: &Reported) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(version.to_le_bytes());
    let parts =
        [scanner, &reported.asset.name].into_iter().chain(reported.identity.iter().map(String::as_str));
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    custom(&hash.finalize())
}

/// A digest of all that an entry says, to be held against what it said the last time. `room` is used
/// again from call to call. Its recipe may change freely: then everything is looked at once more.
pub fn said(scanner: &str, reported: &Reported, room: &mut Room) -> i64 {
    room.0.clear();
    (scanner, reported).hash(room);
    number(&Sha256::digest(&room.0))
}

/// Where all that is hashed of an entry is written down: a digest of many small pieces takes longer
/// than one of all of them.
#[derive(Default)]
pub struct Room(Vec<u8>);

impl Hasher for Room {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        number(&Sha256::digest(&self.0)).cast_unsigned()
    }
}

/// The digest of two entries that are one finding, the one before the other.
pub fn both(first: i64, second: i64) -> i64 {
    number(&Sha256::new().chain_update(first.to_le_bytes()).chain_update(second.to_le_bytes()).finalize())
}

fn number(digest: &[u8]) -> i64 {
    i64::from_le_bytes(digest[..8].try_into().expect("a digest has more than eight bytes"))
}

/// A name for a set of assets: of reports that name the same ones, whatever their order.
pub fn of_assets<'a>(sorted: impl IntoIterator<Item = &'a str>) -> Uuid {
    let mut hash = Sha256::new();
    for name in sorted {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
    }
    custom(&hash.finalize())
}

fn custom(digest: &[u8]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}
