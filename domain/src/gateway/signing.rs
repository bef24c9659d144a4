//! The key that this server signs with: 256 random bits in a file that only its user can read.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::{Error, Result};

/// Signs with HMAC-SHA256.
#[derive(Clone)]
pub struct SigningKey([u8; 32]);

impl SigningKey {
    /// Reads the key in `file`, which is made at first use.
    pub fn open(file: &Path) -> Result<Self> {
        match std::fs::File::open(file) {
            Ok(mut open) => {
                let mut bytes = Vec::new();
                open.read_to_end(&mut bytes).map_err(Error::internal)?;
                let key = bytes.try_into();
                let wrong = |_| Error::internal(format!("{} is not a key of 32 bytes", file.display()));
                key.map(Self).map_err(wrong)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(file),
            Err(error) => Err(Error::internal(error)),
        }
    }

    /// The whole key comes into being at once: a start that is cut off leaves none, and of two
    /// servers that start together one makes it and the other reads it.
    fn make(file: &Path) -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| Error::internal(error.to_string()))?;
        let part = file.with_extension(format!("{}.part", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&part).and_then(|mut open| {
            open.write_all(&bytes)?;
            open.sync_all()?;
            std::fs::hard_link(&part, file)
        });
        let removed = std::fs::remove_file(&part);
        match written {
            Ok(()) => removed.map(|()| Self(bytes)).map_err(Error::internal),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Self::open(file),
            Err(error) => Err(Error::internal(error)),
        }
    }

    pub fn sign(&self, content: &[u8]) -> [u8; 32] {
        self.mac(content).finalize().into_bytes().into()
    }

    /// Whether `signature` is this key's of `content`; it takes as long whatever the answer.
    pub fn is_signature(&self, content: &[u8], signature: &[u8]) -> bool {
        self.mac(content).verify_slice(signature).is_ok()
    }

    fn mac(&self, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(content);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = std::env::temp_dir().join(format!("countersign-key-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("key");
        let key = SigningKey::open(&file).unwrap();
        let again = SigningKey::open(&file).unwrap();
        assert_eq!(key.sign(b"text"), again.sign(b"text"));
        assert!(key.is_signature(b"text", &again.sign(b"text")));
        assert!(!key.is_signature(b"text.", &again.sign(b"text")));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
        std::fs::write(&file, b"short").unwrap();
        assert!(SigningKey::open(&file).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
