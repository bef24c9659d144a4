//! Large imports share the server: a small one, and another company, do not wait for their end.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use domain::intake::import::ImportRequest;
use domain::job::JobState;
use serde_json::json;
use support::{World, finished, on_both, upload};

on_both!(nobody_waits_for_the_large_imports_of_another);

/// Reports that nobody gets to read before they are let go.
#[derive(Default)]
struct Held(Vec<PathBuf>);

impl Held {
    fn hold(&mut self, report: PathBuf) {
        std::fs::remove_file(&report).expect("the report lies in the spool");
        let made = Command::new("mkfifo").arg(&report).status().expect("pipes can be made");
        assert!(made.success());
        self.0.push(report);
    }

    /// Gives each reader something to refuse, once it comes.
    fn let_go(&mut self) {
        for path in self.0.drain(..) {
            std::thread::spawn(move || File::options().write(true).open(path)?.write_all(b"?\n"));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for path in self.0.drain(..) {
            // Opened for reading too, this waits for no reader, and frees those that wait.
            let opened = File::options().read(true).write(true).open(path);
            let _freed = opened.and_then(|mut pipe| pipe.write_all(b"?\n"));
        }
    }
}

async fn nobody_waits_for_the_large_imports_of_another(world: &World) {
    let line = json!({ "scanner_reference": "a", "title": "a", "asset": "web-01", "severity": "low" });
    let small = format!("{line}\n");
    let large = format!("{}{small}", "\n".repeat(9 << 20));
    let spool = world.domain.settings().folder.join("spool");
    let acme = world.acme.analyst();
    world.stop().await;
    let mut held = Held::default();
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let job = upload(&world.domain, acme, world.request("large"), large.as_bytes()).await;
        held.hold(spool.join(job.to_string()));
        waiting.push(job);
    }
    let request = ImportRequest { project: world.globex.project, ..world.request("large") };
    let other = upload(&world.domain, world.globex.analyst(), request, large.as_bytes()).await;
    let short = upload(&world.domain, acme, world.request("small"), small.as_bytes()).await;

    let domain = world.start(0).await;
    for (actor, job) in [(acme, short), (world.globex.analyst(), other)] {
        assert_eq!(finished(&domain, actor, job).await.state, JobState::Completed);
    }
    for job in &waiting {
        assert!(!domain.job(acme, *job).await.unwrap().state.is_end(), "it is still held");
    }
    held.let_go();
    for job in waiting {
        assert_eq!(finished(&domain, acme, job).await.state, JobState::Failed, "what it gets is no report");
    }
}
