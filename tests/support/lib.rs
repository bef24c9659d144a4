//! What integration tests stand on: a [`World`] of two companies on either database, with people of
//! every role, a clock that stands still, and workers that see jobs to their end.
//!
//! A test is an async function of a `World`; [`on_both!`] makes a test of it for each database.

mod contents;
mod held;
pub mod node;
mod postgres;
pub mod provider;
pub mod trees;
mod wire;
mod world;

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use domain::store::Db;
use tempfile::TempDir;

pub use held::{Held, Reading};
pub use wire::{Heard, Reply, Socket, Wire};
pub use world::{House, NOW, Outcome, Person, World, content, draft, finished, mapping, upload};

/// How long one test may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// A database that the product runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A migrated database of one world.
pub struct Database {
    pub url: String,
    /// What a world keeps on disk; a SQLite file too.
    pub folder: TempDir,
    on_cluster: Option<String>,
}

impl Database {
    /// A fresh database, or `None` where the engine is not installed.
    pub fn fresh(engine: Engine) -> Option<Self> {
        let folder = TempDir::new().expect("the temporary folder can be written to");
        match engine {
            Engine::Sqlite => {
                let file = folder.path().join("world.db");
                std::fs::write(&file, &*SQLITE_TEMPLATE).expect("the temporary folder can be written to");
                let url = format!("sqlite:{}", file.display());
                Some(Self { url, folder, on_cluster: None })
            }
            Engine::Postgres => {
                let cluster = postgres::cluster()?;
                let name = cluster.database(Some(&postgres_template(cluster)));
                Some(Self { url: cluster.url(&name), folder, on_cluster: Some(name) })
            }
        }
    }

    /// Waits until what killed servers had sent is done or dropped.
    pub fn settle(&self) {
        if let (Some(name), Some(cluster)) = (&self.on_cluster, postgres::cluster()) {
            cluster.settle(name);
        }
    }

    /// Takes the database away.
    fn remove(self) {
        if let (Some(name), Some(cluster)) = (&self.on_cluster, postgres::cluster()) {
            cluster.drop(name);
        }
    }
}

/// A migrated SQLite file, made once for the process.
static SQLITE_TEMPLATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = TempDir::new().expect("the temporary folder can be written to");
    let file = folder.path().join("template.db");
    migrate(&format!("sqlite:{}", file.display()));
    std::fs::read(&file).expect("a closed database is one file")
});

/// A migrated database of the cluster, made once for the process.
fn postgres_template(cluster: &postgres::Cluster) -> String {
    static TEMPLATE: Mutex<Option<String>> = Mutex::new(None);
    let mut template = TEMPLATE.lock().expect("no other test failed here");
    let made = template.get_or_insert_with(|| {
        let name = cluster.database(None);
        migrate(&cluster.url(&name));
        name
    });
    made.clone()
}

/// Brings a database from nothing to this release, on a thread of its own: whoever is first to need
/// it may be in a runtime already.
fn migrate(url: &str) {
    let migrated = async {
        let db = Db::open(url).await.expect("a fresh database opens");
        db.migrate().await.expect("a fresh database can be migrated");
        db.close().await.expect("a database closes");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| runtime().block_on(migrated)).join().expect("a fresh database can be made");
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads start")
}

/// Runs `test` in a world of its own on `engine`.
pub fn run(engine: Engine, test: impl AsyncFnOnce(&World)) {
    let Some(database) = Database::fresh(engine) else { return };
    let runtime = runtime();
    runtime.block_on(async {
        let world = World::open(engine, database).await;
        tokio::time::timeout(PATIENCE, test(&world)).await.expect("a test ends in time");
        world.close().await.remove();
    });
    runtime.shutdown_timeout(Duration::from_secs(10));
}

/// Makes of each async function of a [`World`] two tests, `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                $crate::run($crate::Engine::Sqlite, super::$name);
            }

            #[test]
            fn postgres() {
                $crate::run($crate::Engine::Postgres, super::$name);
            }
        }
    )+};
}

/// Says a figure past the test harness, which keeps to itself what a passing test prints.
pub fn tell(figure: &str) {
    use std::io::Write;

    writeln!(std::io::stderr(), "figure: {figure}").expect("stderr can be written to");
}
