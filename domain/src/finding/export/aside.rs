//! What of an export waits for its turn: files that are written page by page, off the threads that serve
//! requests, and are gone when they are closed.

use std::io::SeekFrom;
use std::path::Path;

use serde_json::Value as Json;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::error::{Error, Result};

/// How much is read at once.
pub(crate) const BUFFER: usize = 64 << 10;

pub(crate) struct Aside {
    pub rows: u64,
    file: File,
    /// What was put in since it was last kept.
    fresh: Vec<u8>,
}

impl Aside {
    pub async fn new(folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        tokio::fs::create_dir_all(&folder).await.map_err(Error::internal)?;
        let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(folder));
        let file = file.await.map_err(Error::internal)?.map_err(Error::internal)?;
        Ok(Self { rows: 0, file: File::from_std(file), fresh: Vec::new() })
    }

    /// Puts in what is no row, such as a header.
    pub fn put(&mut self, bytes: &[u8]) {
        self.fresh.extend_from_slice(bytes);
    }

    /// Puts in `rows` rows of a table.
    pub fn put_rows(&mut self, bytes: &[u8], rows: usize) {
        self.put(bytes);
        self.rows += rows as u64;
    }

    /// Puts in the next element of a list.
    pub fn put_element(&mut self, row: &Json) {
        let begin = if self.rows == 0 { "[\n" } else { ",\n" };
        self.put_rows(format!("{begin}{row}").as_bytes(), 1);
    }

    /// Ends a list.
    pub fn end_list(&mut self) {
        self.put(if self.rows == 0 { b"[\n]\n" } else { b"\n]\n" });
    }

    /// Writes what was put in.
    pub async fn keep(&mut self) -> Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.fresh).await.map_err(Error::internal)?;
        self.fresh.clear();
        // A file reports what went wrong with a write at the next one: here, as nothing may be missing.
        self.file.flush().await.map_err(Error::internal)
    }

    /// A piece of what was kept, from this byte on; a short one is the last.
    pub async fn read(&mut self, from: u64) -> Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(from)).await.map_err(Error::internal)?;
        let mut piece = Vec::with_capacity(BUFFER);
        let mut file = (&mut self.file).take(BUFFER as u64);
        file.read_to_end(&mut piece).await.map_err(Error::internal)?;
        Ok(piece)
    }
}
