//! The folder that is one server's own: its identity, its key, and the reports it takes in.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::clock::Clock;
use super::signing::SigningKey;
use crate::error::{Error, Result};

/// An open folder. As long as it is held, no other server works in it.
pub struct Folder {
    path: PathBuf,
    /// The name under which the server of this folder claims jobs, over all of its restarts.
    pub worker: Uuid,
    _lock: File,
}

impl Folder {
    /// Opens the folder, made if missing.
    ///
    /// # Errors
    ///
    /// `INVALID` where another server works in it.
    pub fn open(path: &Path, clock: &Clock) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(Error::internal)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path.join("server")).map_err(Error::internal)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("Another server works in the folder {}.", path.display());
                return Err(Error::invalid("folder", message));
            }
            Err(TryLockError::Error(error)) => return Err(Error::internal(error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(Error::internal)?;
        let worker = match text.trim().parse() {
            Ok(worker) => worker,
            Err(_) => {
                let worker = clock.id();
                file.set_len(0).map_err(Error::internal)?;
                file.rewind().map_err(Error::internal)?;
                writeln!(file, "{worker}").map_err(Error::internal)?;
                file.sync_all().map_err(Error::internal)?;
                worker
            }
        };
        Ok(Self { path: path.to_owned(), worker, _lock: file })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The key of the server whose folder `path` is, made at first use.
pub fn signing_key(path: &Path) -> Result<SigningKey> {
    std::fs::create_dir_all(path).map_err(Error::internal)?;
    SigningKey::open(&path.join("audit.key"))
}
