//! Servers as processes of their own, which do not outlive their test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use api::graphql::id::{Key, Noun, key};
use async_graphql::ID;
use domain::access::{Actor, GLOBAL, Role};
use domain::gateway::clock::Clock;
use domain::job::Job;

use domain::store::Db;
use domain::{Domain, Settings};
use serde_json::{Value as Json, json};
use support::{Database, Wire};
use uuid::Uuid;

use super::commanded;

const COMPANY: &str = "Acme";

/// Runs the server, says its number, and kills it at the end of its standard input: when the test
/// says so, or when the test itself is gone.
const KEEPER: &str = r#"
"$@" 2>>"$LOG" </dev/null &
server=$!
cat >/dev/null
kill -KILL "$server"
wait "$server" 2>/dev/null
"#;

/// The binary that the workspace builds.
pub fn countersign() -> Command {
    let this = std::env::current_exe().expect("a test knows where it is");
    let built =
        this.parent().and_then(|deps| deps.parent()).expect("tests are built in a folder of a folder");
    let binary = built.join("countersign");
    assert!(
        binary.is_file(),
        "{} is missing: `cargo test --workspace` builds it, and so does `cargo build --workspace`",
        binary.display()
    );
    let mut command = Command::new(binary);
    without_settings(&mut command);
    command
}

/// What is set for the tests is not set for the binary, which knows its own settings alone.
fn without_settings(command: &mut Command) {
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COUNTERSIGN_"))
    {
        command.env_remove(name);
    }
}

/// A database and a folder, and who works there.
pub struct Site<'d> {
    database: &'d Database,
    folder: PathBuf,
    pub project: Json,
    token: String,
    company: Uuid,
    /// What is set beside them, as variables.
    pub settings: Vec<(&'static str, String)>,
}

/// A server that runs.
pub struct Served {
    pub wire: Wire,
    /// The time from its start until it was ready.
    pub took: Duration,
    keeper: Child,
}

impl Served {
    /// The number of its process, where the system tells.
    pub fn process(&self) -> Option<u32> {
        let keeper = self.keeper.id();
        let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).ok()?;
        let is_server = |process: &u32| {
            let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            name.trim() == "countersign"
        };
        children.split_whitespace().filter_map(|process| process.parse().ok()).find(is_server)
    }

    /// Kills it as a power failure would, and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().expect("the keeper ends");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

impl<'d> Site<'d> {
    /// A company with a project and an admin, made by the operator's commands.
    pub fn of(database: &'d Database) -> Self {
        let folder = database.folder.path().join("node1");
        let mut site = Self {
            database,
            folder,
            project: Json::Null,
            token: String::new(),
            company: GLOBAL,
            settings: Vec::new(),
        };
        let create =
            ["token", "create", "--company", COMPANY, "--email", "ann@acme.example", "--role", "ADMIN"];
        site.token = site.command(&create);
        site
    }

    /// The same company from a folder of its own, as another node has it.
    pub fn another_folder(&self) -> Self {
        Self {
            database: self.database,
            folder: self.folder.with_file_name("node2"),
            project: self.project.clone(),
            token: self.token.clone(),
            company: self.company,
            settings: self.settings.clone(),
        }
    }

    /// Where the server's log goes.
    pub fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    fn command(&self, arguments: &[&str]) -> String {
        let folder = self.folder.display().to_string();
        let site = ["--database", &self.database.url, "--folder", &folder];
        commanded(&[&site[..], arguments].concat())
    }

    /// Proves every chain and the numbers of every event, with the operator's command. No server
    /// may run.
    pub fn assert_audit_whole(&self) -> String {
        self.database.settle();
        let verified = self.command(&["audit", "verify"]);
        assert!(verified.ends_with(": whole"), "{verified}");
        verified
    }

    /// Starts a server, and waits until it is ready.
    pub async fn serve(&mut self, ready: Duration) -> Served {
        let log = self.log();
        let began = Instant::now();
        let server = countersign();
        let mut keeper = Command::new("sh");
        without_settings(&mut keeper);
        let mut keeper = keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(server.get_program())
            .args(["serve", "--listen", "127.0.0.1:0", "--database", &self.database.url, "--folder"])
            .arg(&self.folder)
            .env("LOG", &log)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let said = keeper.stdout.take().expect("it is piped");
        let address = tokio::task::spawn_blocking(move || address(BufReader::new(said)));
        let address = tokio::time::timeout(ready, address).await;
        let address = address.ok().and_then(Result::ok).flatten();
        let Some(address) = address else {
            drop(keeper.stdin.take());
            panic!("no server: {}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        let wire = Wire::to(address).with(&self.token);
        let mut served = Served { wire, took: Duration::ZERO, keeper };
        while served.wire.try_get("/readyz").await.is_none_or(|(status, _)| status != 200) {
            assert!(began.elapsed() < ready, "the server is not ready after {ready:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        served.took = began.elapsed();
        if self.project.is_null() {
            let create = "mutation { projectCreate(input: { name: \"Web shop\" }) {
                project { id } userErrors { code message } } }";
            self.project = served.wire.done(create, json!({})).await["project"]["id"].clone();
            let viewer = served.wire.ask("{ viewer { company { id } } }", json!({})).await;
            self.company = record(Noun::Company, &viewer["viewer"]["company"]["id"]);
        }
        served
    }

    /// The job as a server left it that is gone, and how many findings have titles that begin so.
    pub async fn left_by(&self, job: &Json, titled: &str) -> (Job, i64) {
        self.database.settle();
        let db = Db::open(&self.database.url).await.expect("the database opens");
        let settings =
            Settings { folder: self.folder.clone(), limits: Default::default(), sign_in: Default::default() };
        let domain = Domain::new(db.clone(), Clock::system(), settings, Uuid::nil());
        let actor = Actor { role: Role::Admin, ..Actor::system(self.company, "test") };
        let job = domain.job(&actor, record(Noun::Job, job)).await.expect("an acknowledged job is there");
        let filter = json!({ "field": "title", "operator": "starts_with", "value": titled });
        let filter = domain.finding_filter(Some(&filter)).expect("the filter is in order");
        let count = domain.finding_count(&actor, &filter).await.expect("findings can be counted");
        let domain::finding::query::Count::Exact(count) = count else { panic!("{count:?}") };
        drop(domain);
        db.close().await.expect("a database closes");
        (job, count)
    }
}

fn record(noun: Noun, id: &Json) -> Uuid {
    match key(&ID(id.as_str().unwrap_or_default().to_owned())) {
        Some((of, Key::Record(record))) if of == noun => record,
        _ => panic!("{id} is of no {noun:?}"),
    }
}

/// The address that a server says it listens on; the rest of what it says is read and let go.
fn address(mut said: BufReader<std::process::ChildStdout>) -> Option<SocketAddr> {
    let mut line = String::new();
    loop {
        line.clear();
        if said.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((_, url)) = line.split_once(" listens on http://") {
            let address = url.trim().split('/').next()?.parse().ok()?;
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            return Some(address);
        }
    }
}
