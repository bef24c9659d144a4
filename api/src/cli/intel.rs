//! `countersign intel load`: what a feed says, out of a file, without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use domain::error::{Error, Result};
use domain::intel::feed::Feed;
use domain::job::JobState;
use domain::vocabulary::terms::Term;

use super::{import, open_folder, operator};
use crate::config::Config;

#[derive(Subcommand)]
pub enum Intel {
    /// Loads a feed from a file, for all companies or for one.
    Load(Load),
}

#[derive(Args)]
pub struct Load {
    /// The file, as it is or gzipped.
    file: PathBuf,
    /// `KEV`, `EPSS`, `CVE` or `NVD`.
    #[arg(long)]
    feed: String,
    /// The company that it is for; all if not said.
    #[arg(long)]
    company: Option<String>,
}

impl Intel {
    pub async fn run(self, config: &Config) -> Result<ExitCode> {
        let Self::Load(load) = self;
        let unknown = || Error::invalid("feed", format!("There is no feed `{}`.", load.feed));
        let feed = Feed::parse(&load.feed.to_ascii_uppercase()).ok_or_else(unknown)?;
        let (domain, folder) = open_folder(config).await?;
        let actor = match &load.company {
            Some(company) => operator::of(operator::existing_company(&domain, company).await?.id),
            None => operator::platform(),
        };
        let name = load.file.file_name().map_or("feed".into(), |name| name.to_string_lossy());
        let job = domain.intel_load_start(&actor, feed, &name).await?;
        let ended = import::upload(&domain, &actor, &job, &load.file).await?;
        drop(folder);
        Ok(if ended.state == JobState::Completed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
