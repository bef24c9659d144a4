//! `countersign import`: a report out of a file, without a server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use domain::Domain;
use domain::access::Actor;
use domain::error::{Error, Result};
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intake::mapping::Mapping;
use domain::inventory::project::{NewProject, Project, ProjectFilter, ProjectOrder};
use domain::job::{Job, JobState};
use domain::page::{OrderBy, PageArgs};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::{open_folder, operator, print};
use crate::config::Config;

#[derive(Args)]
pub struct Import {
    /// The report.
    file: PathBuf,
    /// The company that it is for.
    #[arg(long)]
    company: String,
    /// The project that its findings belong to; made if it is missing.
    #[arg(long)]
    project: String,
    /// The format; told from the report's beginning if not said.
    #[arg(long)]
    format: Option<String>,
    /// A file of JSON that says what the columns of a table mean.
    #[arg(long)]
    mapping: Option<PathBuf>,
    /// The asset of findings whose report names none.
    #[arg(long)]
    asset: Option<String>,
    /// The series that the report belongs to; by default, the assets it names.
    #[arg(long)]
    series: Option<String>,
    /// The report names only a part: what it does not name is not gone.
    #[arg(long)]
    partial: bool,
}

impl Import {
    pub async fn run(self, config: &Config) -> Result<ExitCode> {
        let (domain, folder) = open_folder(config).await?;
        let company = operator::existing_company(&domain, &self.company).await?;
        let actor = operator::of(company.id);
        let request = self.request(&domain, &actor).await?;
        let job = domain.import_start(&actor, request).await?;
        let ended = upload(&domain, &actor, &job, &self.file).await?;
        drop(folder);
        Ok(if ended.state == JobState::Completed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn request(&self, domain: &Domain, actor: &Actor) -> Result<ImportRequest> {
        let unknown = |key: &str| Error::invalid("format", format!("There is no format `{key}`."));
        let format =
            self.format.as_deref().map(|key| Format::parse(key).ok_or_else(|| unknown(key))).transpose()?;
        let mapping: Option<Mapping> = match &self.mapping {
            Some(file) => {
                let text =
                    std::fs::read(file).map_err(|error| Error::invalid("mapping", error.to_string()))?;
                let read = serde_json::from_slice(&text);
                Some(read.map_err(|error| Error::invalid("mapping", error.to_string()))?)
            }
            None => None,
        };
        let name = self.file.file_name().map_or("report".into(), |name| name.to_string_lossy());
        Ok(ImportRequest {
            project: project(domain, actor, &self.project).await?.id,
            format,
            mapping,
            saved: None,
            asset: self.asset.clone(),
            series: self.series.clone(),
            complete: !self.partial,
            name: name.into_owned(),
        })
    }
}

/// The project of this name, made if it is missing.
async fn project(domain: &Domain, actor: &Actor, name: &str) -> Result<Project> {
    let filter = ProjectFilter { query: Some(name.to_owned()), ..ProjectFilter::default() };
    let order = OrderBy::ascending(ProjectOrder::Name);
    let found = domain.projects(actor, &filter, order, &PageArgs::first(500)).await?;
    match found.nodes().find(|project| project.name == name.trim()) {
        Some(project) => Ok(project),
        None => domain.project_create(actor, NewProject { name: name.to_owned(), description: None }).await,
    }
}

/// Gives a job that waits for it the file, and sees the job to its end.
pub(super) async fn upload(domain: &Domain, actor: &Actor, job: &Job, file: &Path) -> Result<Job> {
    let mut incoming = domain.import_upload(actor, job.id).await?;
    let mut file = tokio::fs::File::open(file).await.map_err(|e| Error::invalid("file", e.to_string()))?;
    let mut buffer = vec![0; 256 * 1_024];
    loop {
        let read = file.read(&mut buffer).await.map_err(Error::internal)?;
        if read == 0 {
            break;
        }
        incoming.write(&buffer[..read]).await?;
    }
    incoming.finish().await?;
    work(domain, actor, job).await
}

/// Works until the job has ended, and prints its steps.
async fn work(domain: &Domain, actor: &Actor, job: &Job) -> Result<Job> {
    let stop = CancellationToken::new();
    let workers = tokio::spawn({
        let (domain, stop) = (domain.clone(), stop.clone());
        async move { domain.run_jobs(stop).await }
    });
    let steps = domain.job_steps(actor, job.id, Some(0)).await?;
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = futures_util::StreamExt::next(&mut steps).await {
        print(super::step(&step?.progress))?;
    }
    stop.cancel();
    workers.await.map_err(Error::internal)??;
    let ended = domain.job(actor, job.id).await?;
    if let Some(error) = &ended.error {
        print(format_args!("{error}"))?;
    }
    Ok(ended)
}
