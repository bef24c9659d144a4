//! The commands.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use domain::error::{Error, Result};
use domain::gateway::clock::Clock;
use domain::gateway::folder::Folder;
use domain::intake::limits::Limits;
use domain::store::Db;
use domain::{Domain, Settings};

use crate::config::Config;
use crate::telemetry::{self, Traces};

mod audit;
mod gate;
mod import;
mod intel;
pub(crate) mod operator;
pub(crate) mod remote;
mod rules;
mod serve;
mod token;
mod user;

/// Automates vulnerability operations: rules that hold for findings from the moment they arrive.
#[derive(Parser)]
#[command(name = "countersign", version)]
pub struct Cli {
    /// A file of settings; `countersign.toml` if that is there.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// `sqlite:FILE` or `postgres://…`; `sqlite:countersign.db` if not set.
    #[arg(long, global = true)]
    database: Option<String>,
    /// The folder of this server's own; `countersign-data` if not set.
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the API, and works on jobs.
    Serve(serve::Serve),
    /// Brings the database up to this release.
    Migrate,
    /// API tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// People's accounts.
    #[command(subcommand)]
    User(user::User),
    /// Takes in a report from a file, without a server.
    Import(import::Import),
    /// What feeds say of CVEs.
    #[command(subcommand)]
    Intel(intel::Intel),
    Gate(gate::Gate),
    /// All rules of a company as a file, over the API.
    #[command(subcommand)]
    Rules(rules::Rules),
    /// Prints the GraphQL schema.
    Schema,
    /// The audit's chains.
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// Runs one command to its end.
pub async fn run(cli: Cli) -> Result<ExitCode> {
    if matches!(cli.command, Command::Schema) {
        print!("{}", crate::graphql::sdl());
        return Ok(ExitCode::SUCCESS);
    }
    // What speaks to a server over its API has no database and no settings.
    match cli.command {
        Command::Gate(gate) => return Ok(gate.run().await),
        Command::Rules(rules) => return Ok(rules.run().await),
        _ => {}
    }
    let mut config = Config::read(cli.config.as_deref())?;
    config.database = cli.database.unwrap_or(config.database);
    config.folder = cli.folder.unwrap_or(config.folder);
    if let Command::Serve(serve) = cli.command {
        return serve.run(config).await;
    }
    // What a command prints is for its caller; only what goes wrong is logged beside it.
    telemetry::init(config.log_format, "warn", &Traces::default())?;
    match cli.command {
        Command::Migrate => {
            let db = Db::open(&config.database).await?;
            db.migrate().await?;
            db.close().await?;
            println!("The database is up to date.");
            Ok(ExitCode::SUCCESS)
        }
        Command::Token(token) => token.run(&open(&config).await?).await,
        Command::User(user) => user.run(&open(&config).await?).await,
        Command::Import(import) => import.run(&config).await,
        Command::Intel(intel) => intel.run(&config).await,
        Command::Audit(audit) => audit.run(&open(&config).await?).await,
        Command::Serve(_) | Command::Schema | Command::Gate(_) | Command::Rules(_) => Ok(ExitCode::SUCCESS),
    }
}

/// A domain for a command that does no long work: it claims no jobs, so it may stand beside a server.
async fn open(config: &Config) -> Result<Domain> {
    let db = Db::open(&config.database).await?;
    db.migrate().await?;
    let clock = Clock::system();
    let worker = clock.id();
    Ok(Domain::new(db, clock, settings(config)?, worker))
}

/// A domain that works on jobs in its folder.
async fn open_folder(config: &Config) -> Result<(Domain, Folder)> {
    let clock = Clock::system();
    let folder = Folder::open(&config.folder, &clock)?;
    let db = Db::open(&config.database).await?;
    db.migrate().await?;
    Ok((Domain::new(db, clock, settings(config)?, folder.worker), folder))
}

fn settings(config: &Config) -> Result<Settings> {
    let limits = Limits { bytes: config.upload_bytes, ..Limits::default() };
    Ok(Settings { folder: config.folder.clone(), limits, sign_in: config.sign_in()? })
}

/// The member of the actor's company with this address.
pub(crate) use token::user as member;

/// A step of a job, as a line.
pub(crate) fn step(progress: &domain::job::Progress) -> String {
    let total = progress.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
    let counts: Vec<String> = progress.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!("{:<9} {}/{total}  {}", progress.stage, progress.done, counts.join(", "))
}

/// What standard output refuses is a fault like any other.
fn print(text: impl std::fmt::Display) -> Result<()> {
    use std::io::Write;

    writeln!(std::io::stdout(), "{text}").map_err(Error::internal)
}
