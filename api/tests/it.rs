//! The binary, as an operator calls it.
//!
//! Cargo builds a package's binary for that package's integration tests: with this one in the same
//! run, the tests of the whole workspace find the binary as new as the code.

use std::path::Path;
use std::process::{Command, Output};

fn countersign(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.current_dir(folder).args(arguments);
    // What is set for the tests is not set for the binary.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COUNTERSIGN_"))
    {
        command.env_remove(name);
    }
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it prints text")
}

#[test]
fn a_token_is_made_and_the_audit_is_whole() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("operator");
    // A run before this one may have left its database.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    let create = ["token", "create", "--company", "Acme", "--email", "ann@acme.example"];
    let unknown = countersign(&folder, &create);
    assert!(!unknown.status.success());
    assert!(text(&unknown.stderr).contains("company"), "{unknown:?}");

    let made = countersign(&folder, &[&create[..], &["--role", "ADMIN"]].concat());
    assert!(made.status.success(), "{made:?}");
    assert_eq!(text(&made.stdout).lines().count(), 1, "the secret alone");
    let head = countersign(&folder, &["audit", "head"]);
    std::fs::write(folder.join("heads"), &head.stdout).expect("the temporary folder can be written to");
    let verified = countersign(&folder, &["audit", "verify", "--from", "heads"]);
    assert!(verified.status.success(), "{verified:?}");
    assert!(text(&verified.stdout).contains(": whole"), "{verified:?}");
}

#[test]
fn the_schema_is_printed() {
    let printed = countersign(Path::new("."), &["schema"]);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema.graphql");
    let kept = std::fs::read_to_string(kept).expect("the file is there");
    assert!(text(&printed.stdout) == kept, "schema.graphql is not what is printed");
}
