//! `countersign audit`: where the chains stand, and the proof that they are whole.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use domain::Domain;
use domain::error::{Error, Result};
use domain::evidence::manifest::Manifest;
use domain::evidence::verify::{Altered, Fault, verify};
use domain::gateway::folder::signing_key;
use domain::gateway::signing::SigningKey;
use domain::ledger::audit::SignedHead;

use super::print;

#[derive(Subcommand)]
pub enum Audit {
    /// Prints the signed head of each company's chain, a line of JSON each, to be kept elsewhere.
    Head,
    /// Proves every chain, and names the first broken link of each that is broken.
    Verify(Verify),
}

#[derive(Args)]
pub struct Verify {
    /// A file of heads that `audit head` printed: proves that the chains only grew since.
    #[arg(long)]
    from: Option<PathBuf>,
    /// An archive of evidence: proves every byte of it, and that the chain still goes through its head.
    #[arg(long)]
    evidence: Option<PathBuf>,
}

impl Audit {
    pub async fn run(self, domain: &Domain) -> Result<ExitCode> {
        let key = signing_key(&domain.settings().folder)?;
        match self {
            Self::Head => {
                for head in domain.audit_head(&key).await? {
                    print(serde_json::to_string(&head).map_err(Error::internal)?)?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Self::Verify(verify) => {
                let mut kept = verify.from.map(|file| read_heads(&file)).transpose()?.unwrap_or_default();
                if let Some(file) = verify.evidence {
                    match prove(&file, &key)? {
                        Ok(manifest) => {
                            print(format_args!(
                                "{}: {} files of {}, {} to {}: whole",
                                file.display(),
                                manifest.files.len(),
                                manifest.company_name,
                                manifest.from,
                                manifest.to
                            ))?;
                            kept.push(manifest.head);
                        }
                        Err(altered) => {
                            print(format_args!("BROKEN {}: {altered}", file.display()))?;
                            return Ok(ExitCode::FAILURE);
                        }
                    }
                }
                let report = domain.audit_verify(&key, &kept).await?;
                for broken in &report.broken {
                    print(format_args!("BROKEN {broken}"))?;
                }
                let verdict = if report.is_clean() { "whole" } else { "NOT whole" };
                print(format_args!(
                    "{} companies, {} audit entries, {} events: {verdict}",
                    report.companies, report.entries, report.events
                ))?;
                Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
        }
    }
}

/// What an archive of evidence says of itself, or where it is not what it was.
fn prove(file: &std::path::Path, key: &SigningKey) -> Result<std::result::Result<Manifest, Altered>> {
    let unread = |error: std::io::Error| Error::invalid("evidence", format!("{}: {error}", file.display()));
    let open = std::fs::File::open(file).map_err(unread)?;
    match verify(std::io::BufReader::new(open), key) {
        Ok(manifest) => Ok(Ok(manifest)),
        Err(Fault::Altered(altered)) => Ok(Err(altered)),
        Err(Fault::Io(error)) => Err(unread(error)),
    }
}

fn read_heads(file: &std::path::Path) -> Result<Vec<SignedHead>> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::invalid("from", error.to_string()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).map_err(|error| Error::invalid("from", error.to_string())))
        .collect()
}
