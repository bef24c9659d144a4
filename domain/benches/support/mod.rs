//! What the benches on databases share: a server without its transports, and a count of statements.

use std::time::{Duration, Instant};

use domain::access::{Actor, GLOBAL, Role};
use domain::gateway::clock::Clock;
use domain::intake::limits::Limits;
use domain::inventory::project::NewProject;
use domain::job::{Job, JobState};
use domain::signin::SignInSettings;
use domain::store::Db;
use domain::{Domain, Settings};
use futures_util::StreamExt;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub mod statements;

/// The server's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Begins to count, and tells which databases there are to measure on.
pub fn begin() -> Vec<&'static str> {
    statements::count();
    let postgres = std::env::var_os("COUNTERSIGN_POSTGRES").is_some();
    if !postgres {
        println!("PostgreSQL is not measured: COUNTERSIGN_POSTGRES is not set");
    }
    let only = std::env::var("COUNTERSIGN_DATABASE").ok();
    ["sqlite", "postgres"]
        .into_iter()
        .filter(|name| (*name == "sqlite" || postgres) && only.as_deref().is_none_or(|only| only == *name))
        .collect()
}

/// A number that may be set by a variable.
pub fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.trim().parse().expect("a number"))
}

/// One company on an empty database, with its workers.
pub struct Bench {
    pub url: String,
    pub folder: TempDir,
    pub domain: Domain,
    pub platform: Actor,
    pub actor: Actor,
    pub project: Uuid,
    stop: CancellationToken,
    workers: JoinHandle<()>,
}

impl Bench {
    pub async fn open(database: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = match database {
            "sqlite" => format!("sqlite:{}/bench.db", folder.path().display()),
            _ => std::env::var("COUNTERSIGN_POSTGRES").expect("asked before"),
        };
        if database == "postgres" {
            let text = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
            connect(url.clone()).await.execute_unprepared(text).await.expect("an empty schema");
        }
        let db = Db::open(&url).await.expect("a database");
        db.migrate().await.expect("a migrated database");
        let settings = Settings {
            folder: folder.path().to_owned(),
            limits: Limits::default(),
            sign_in: SignInSettings::default(),
        };
        let clock = Clock::system();
        let worker = clock.id();
        let domain = Domain::new(db, clock, settings, worker);
        let platform = Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "bench") };
        let company = domain.company_create(&platform, "Bench", false).await.expect("a company");
        let actor = Actor::system(company.id, "bench");
        let new = NewProject { name: "p".into(), description: None };
        let project = domain.project_create(&actor, new).await.expect("a project").id;
        let stop = CancellationToken::new();
        let workers = tokio::spawn({
            let (domain, stop) = (domain.clone(), stop.clone());
            async move { domain.run_jobs(stop).await.expect("well") }
        });
        Self { url, folder, domain, platform, actor, project, stop, workers }
    }

    /// Ends the workers; the database stays.
    pub async fn end(self) -> (String, TempDir) {
        self.stop.cancel();
        self.workers.await.expect("the workers end");
        (self.url, self.folder)
    }

    /// Sends a job its file.
    pub async fn upload(&self, actor: &Actor, job: Uuid, lines: impl Iterator<Item = String>) {
        let mut incoming = self.domain.import_upload(actor, job).await.expect("an upload");
        for line in lines {
            incoming.write(line.as_bytes()).await.expect("bytes");
        }
        incoming.finish().await.expect("an end");
    }

    /// Waits for the end of a job: what it came to, how long it took from now on, and how long until
    /// it was at `stage` first.
    pub async fn ended(&self, actor: &Actor, job: Uuid, stage: &str) -> (Job, Duration, Option<Duration>) {
        let start = Instant::now();
        let mut until = None;
        let steps = self.domain.job_steps(actor, job, Some(0)).await.expect("steps");
        let mut steps = std::pin::pin!(steps);
        while let Some(step) = steps.next().await {
            if until.is_none() && step.expect("a step").progress.stage == stage {
                until = Some(start.elapsed());
            }
        }
        let time = start.elapsed();
        let ended = self.domain.job(actor, job).await.expect("the job");
        assert_eq!(ended.state, JobState::Completed, "{:?}", ended.error);
        (ended, time, until)
    }
}

/// A connection beside the server's own, with the same care for what it writes.
pub async fn connect(url: String) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false).map_sqlx_sqlite_opts(|sqlite| {
        sqlite.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
    });
    Database::connect(options).await.expect("a connection")
}
