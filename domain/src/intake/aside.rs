//! Entries of findings that have several, set aside on disk until all of them have come.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use indexmap::map::Entry;

use crate::error::{Error, Result};
use crate::intake::merge::merge;
use crate::intake::report::{Fingerprint, Reported};

/// Findings that are merged in memory at a time, about.
const AT_A_TIME: usize = 1_000;
const MOST_FILES: usize = 256;

/// Files of entries, each with all the entries of its share of the fingerprints.
pub struct Aside {
    folder: PathBuf,
    files: Vec<Option<Part>>,
}

struct Part {
    path: PathBuf,
    lines: BufWriter<File>,
}

impl Aside {
    /// Room for the entries of `findings` findings, in files under `folder` that are made when needed.
    pub fn new(folder: &Path, findings: usize) -> Self {
        let count = (findings / AT_A_TIME + 1).min(MOST_FILES);
        Self { folder: folder.to_owned(), files: (0..count).map(|_| None).collect() }
    }

    pub fn put(&mut self, reported: Reported, fingerprint: Fingerprint) -> Result<()> {
        let share = fingerprint.as_u128() % self.files.len() as u128;
        let number = usize::try_from(share).expect("a remainder is less than the number of files");
        if self.files[number].is_none() {
            fs::create_dir_all(&self.folder).map_err(Error::internal)?;
            let path = self.folder.join(format!("aside-{number}"));
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
            self.files[number] = Some(Part { path, lines: BufWriter::new(file.map_err(Error::internal)?) });
        }
        let part = self.files[number].as_mut().expect("it was made above");
        serde_json::to_writer(&mut part.lines, &(fingerprint, reported)).map_err(Error::internal)?;
        part.lines.write_all(b"\n").map_err(Error::internal)
    }

    /// Hands over the findings, each merged from its entries in the order they came; file by file,
    /// and within a file in order of the first entry.
    pub fn merged(
        mut self,
        list: usize,
        sink: &mut dyn FnMut(Reported, Fingerprint) -> Result<()>,
    ) -> Result<()> {
        for slot in &mut self.files {
            let Some(part) = slot else { continue };
            part.lines.flush().map_err(Error::internal)?;
            let mut file = part.lines.get_ref();
            file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
            let mut findings: IndexMap<Fingerprint, Reported> = IndexMap::new();
            for line in BufReader::new(file).lines() {
                let line = line.map_err(Error::internal)?;
                let (fingerprint, next) = serde_json::from_str(&line).map_err(Error::internal)?;
                match findings.entry(fingerprint) {
                    Entry::Vacant(first) => {
                        first.insert(next);
                    }
                    Entry::Occupied(mut known) => {
                        let first = std::mem::take(known.get_mut());
                        known.insert(merge(first, next, list));
                    }
                }
            }
            for (fingerprint, reported) in findings {
                sink(reported, fingerprint)?;
            }
        }
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        for part in self.files.drain(..).flatten() {
            // A file that is left behind goes with the import's folder.
            let _ = fs::remove_file(part.path);
        }
    }
}
