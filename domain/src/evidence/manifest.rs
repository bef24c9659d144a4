//! What an archive of evidence says of itself, and the signature over it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::archive::Packed;
use crate::gateway::signing::SigningKey;
use crate::ledger::audit::{SignedHead, hex, unhex};
use crate::vocabulary::time::Timestamp;

/// The last two files of an archive.
pub const MANIFEST: &str = "manifest.json";
pub const SIGNATURE: &str = "manifest.hmac";

/// What is signed, so that no other signature of the key can stand for it.
const PURPOSE: &[u8] = b"evidence manifest\n";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: String,
    pub company: Uuid,
    pub company_name: String,
    /// From this on, and before that.
    pub from: Timestamp,
    pub to: Timestamp,
    pub made_at: Timestamp,
    pub made_by: String,
    /// The entries of the audit that the archive holds, and the chain's hashes before the first and at the last.
    pub audit: Range,
    /// Where the whole chain stood when the archive was made.
    pub head: SignedHead,
    pub files: Vec<SignedFile>,
}

/// Numbers of a company's audit: after `after`, up to `last`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub after: i64,
    pub last: i64,
    pub hash_after: String,
    pub hash_last: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedFile {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    pub rows: u64,
}

impl SignedFile {
    pub fn of(file: &Packed, rows: u64) -> Self {
        Self { name: file.name.clone(), bytes: file.bytes, sha256: hex(&file.sha256), rows }
    }
}

impl Manifest {
    /// The signature over the bytes of a manifest, in hexadecimal.
    pub fn signature(bytes: &[u8], key: &SigningKey) -> String {
        hex(&key.sign(&[PURPOSE, bytes].concat()))
    }

    /// Whether this server signed these bytes.
    pub fn is_signed(bytes: &[u8], signature: &[u8], key: &SigningKey) -> bool {
        let signed = std::str::from_utf8(signature).ok().and_then(unhex);
        // There is one way of writing it.
        signed
            .filter(|signed| hex(signed).as_bytes() == signature)
            .is_some_and(|signed| key.is_signature(&[PURPOSE, bytes].concat(), &signed))
    }
}
