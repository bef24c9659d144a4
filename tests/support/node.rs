//! Other people's clients: scripts of `tests/node`, run by Node.js against a server on the loopback.
//!
//! The packages that the lock file names are installed into `tests/node/node_modules` by the first
//! test that needs them, and again whenever the lock file changed. Their install scripts are not run.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// How long a script may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs `script` of `tests/node` with these arguments and returns the lines that it printed; `None`
/// where Node.js is not installed, which is said loudly, and is a failure where `CI=true`.
///
/// A script that ends with another code than 0 fails the test with all that it said.
pub async fn run(script: &str, arguments: &[&str]) -> Option<Vec<String>> {
    let folder = tokio::task::spawn_blocking(ready).await.expect("npm can be run")?;
    let running = tokio::process::Command::new("node")
        .arg(folder.join(script))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(PATIENCE, running).await;
    let ran = ran.unwrap_or_else(|_| panic!("{script} does not end")).expect("node can be run");
    assert!(ran.status.success(), "{script} ended with {}:\n{}", ran.status, all(&ran));
    Some(String::from_utf8_lossy(&ran.stdout).lines().map(str::to_owned).collect())
}

/// The folder of the scripts, with their packages beside them.
fn ready() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(install).as_deref()
}

fn install() -> Option<PathBuf> {
    if Command::new("npm").arg("--version").output().is_err() {
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "Node.js is not installed, and CI=true");
        let warning = "\n*** Node.js IS NOT INSTALLED: the tests with it pass WITHOUT BEING RUN. ***\n\n";
        std::io::stderr().write_all(warning.as_bytes()).expect("stderr can be written to");
        return None;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let modules = folder.join("node_modules");
    std::fs::create_dir_all(&modules).expect("the folder of the tests can be written to");
    // Another process of tests may be at it.
    let lock =
        File::create(folder.join("node_modules.lock")).expect("the folder of the tests can be written to");
    lock.lock().expect("the other process ends");
    let wanted = std::fs::read(folder.join("package-lock.json")).expect("the lock file is there");
    let stamp = modules.join(".countersign");
    if std::fs::read(&stamp).ok().as_deref() == Some(&*wanted) {
        return Some(folder);
    }
    let npm = Command::new("npm").arg("ci").current_dir(&folder).stdin(Stdio::null()).output();
    let npm = npm.expect("npm can be run");
    assert!(npm.status.success(), "npm ci ended with {}:\n{}", npm.status, all(&npm));
    std::fs::write(&stamp, &wanted).expect("the folder of the tests can be written to");
    Some(folder)
}

fn all(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
