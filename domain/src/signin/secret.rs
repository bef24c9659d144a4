//! Secrets that this server makes: 256 random bits behind a word that tells what they are for.
//! They are shown once; what is kept is their SHA-256, by which they are looked up.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

pub const API_TOKEN: &str = "cs_";
pub const ACCESS: &str = "ca_";
pub const REFRESH: &str = "cr_";
pub const LINK: &str = "cl_";
pub const DEVICE: &str = "cd_";

/// A secret's text. It is not printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new secret behind `word`.
    pub(crate) fn new(word: &str) -> Result<Self> {
        Ok(Self(format!("{word}{}", random()?)))
    }

    pub(crate) fn of(text: String) -> Self {
        Self(text)
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        digest(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// 256 random bits as base64url.
pub(crate) fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

pub(crate) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}
