//! Reports that nobody gets to read before a test lets them: pipes in the place of what lies in the spool.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use domain::Domain;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::PATIENCE;

/// The report of a job, every reading of which is held.
pub struct Held(PathBuf);

/// A reading that has begun and has got nothing yet.
pub struct Reading(File);

impl Held {
    /// Holds a report that no worker has begun to read.
    pub fn hold(domain: &Domain, job: Uuid) -> Self {
        let report = domain.settings().folder.join("spool").join(job.to_string());
        assert!(report.is_file(), "the report lies in the spool");
        let held = Self(report);
        held.put(make_pipe);
        held
    }

    /// Waits until the next reading begins. The one after it is held again.
    pub async fn begun(&self) -> Reading {
        let (tell, told) = oneshot::channel();
        let report = self.0.clone();
        // A pipe is opened when somebody reads it. A reading that never comes holds up this thread alone.
        std::thread::spawn(move || tell.send(File::options().write(true).open(report)));
        let opened = tokio::time::timeout(PATIENCE, told).await.expect("a reading begins");
        self.put(make_pipe);
        Reading(opened.expect("the thread tells").expect("a pipe can be written to"))
    }

    /// Lets the readings that have not begun find `report`.
    pub fn let_go(self, report: &str) {
        self.put(|path| std::fs::write(path, report).expect("the spool can be written to"));
    }

    /// Puts what `make` makes in the place of the report, whole.
    fn put(&self, make: impl Fn(&Path)) {
        let beside = self.0.with_extension("held");
        make(&beside);
        std::fs::rename(beside, &self.0).expect("the spool can be written to");
    }
}

impl Reading {
    /// Lets the reading find `report`, which is small enough for a pipe to hold.
    pub fn let_go(mut self, report: &str) {
        self.0.write_all(report.as_bytes()).expect("the reading waits");
    }
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("pipes can be made");
    assert!(made.success());
}

impl Drop for Held {
    /// Gives a reading that waits something to refuse, so that it ends.
    fn drop(&mut self) {
        let is_held = std::fs::metadata(&self.0).is_ok_and(|found| found.file_type().is_fifo());
        if is_held {
            // Opened for reading too, this waits for no reader.
            let opened = File::options().read(true).write(true).open(&self.0);
            let _freed = opened.and_then(|mut pipe| pipe.write_all(b"?\n"));
        }
    }
}
