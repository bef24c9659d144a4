//! One throw-away PostgreSQL for a test process, made from the distribution's own programs.
//!
//! The cluster lives in a folder of its own and listens on a socket in it, so that any number of
//! test processes run beside each other. A small shell owns the server: it waits on a pipe that
//! closes when this process ends, however it ends, and then takes the server and the folder away.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long the server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(180);
const USER: &str = "countersign";

/// Starts the server, says so, and waits for the end of its standard input.
const KEEPER: &str = r#"
trap '' INT TERM HUP
"$@" >"$FOLDER/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -QUIT "$server"
wait "$server"
rm -rf "$FOLDER"
"#;

/// A running cluster.
pub struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    databases: AtomicU32,
    _keeper: Child,
}

/// This process's cluster; `None` where PostgreSQL is not installed.
pub fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(start).as_ref()
}

/// Whether tests may pass without PostgreSQL.
fn may_be_absent() -> bool {
    !std::env::var("CI").is_ok_and(|ci| ci == "true")
}

fn start() -> Option<Cluster> {
    let Some(bin) = programs() else {
        assert!(may_be_absent(), "PostgreSQL is not installed, and CI=true does without nothing");
        // Written past the test harness, which keeps to itself what a passing test prints.
        let warning = "\n*** PostgreSQL IS NOT INSTALLED: the tests on it pass WITHOUT BEING RUN. ***\n\n";
        std::io::stderr().write_all(warning.as_bytes()).expect("stderr can be written to");
        return None;
    };
    let folder = std::env::temp_dir().join(format!("countersign-pg-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    let user = unprivileged();
    if let Some((uid, gid)) = user {
        std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).expect("root may give folders away");
    }
    let data = folder.join("data");
    let made = said(
        as_user(user, &bin.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", USER, "-D"])
            .arg(&data),
    );
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let server = as_user(user, &bin.join("postgres"));
    let keeper = Command::new("sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(server.get_program())
        .args(server.get_args())
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(&folder)
        .args(["-c", "listen_addresses=", "-c", "max_connections=300", "-c", "fsync=off"])
        .args(["-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "jit=off"])
        .args(["-c", "shared_buffers=128MB", "-c", "autovacuum=off"])
        .env("FOLDER", &folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is a shell");
    let cluster = Cluster { bin, folder, databases: AtomicU32::new(0), _keeper: keeper };
    let deadline = Instant::now() + PATIENCE;
    while !said(cluster.client("pg_isready")).status.success() {
        let log = || std::fs::read_to_string(cluster.folder.join("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "PostgreSQL does not answer: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(cluster)
}

impl Cluster {
    /// Makes a fresh database, a copy of `template` where one is named, and returns its name.
    pub fn database(&self, template: Option<&str>) -> String {
        let name = format!("world{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut create = self.client("createdb");
        if let Some(template) = template {
            create.args(["-T", template]);
        }
        let made = said(create.arg(&name));
        assert!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
        name
    }

    pub fn drop(&self, database: &str) {
        let gone = said(self.client("dropdb").args(["--force", database]));
        assert!(gone.status.success(), "dropdb: {}", String::from_utf8_lossy(&gone.stderr));
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@localhost/{database}?host={}", self.folder.display())
    }

    /// Waits until nobody is connected to the database: what a killed client had sent is done or
    /// dropped only when its session ends, which the kill does not wait for.
    pub fn settle(&self, database: &str) {
        let others = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = said(self.client("psql").args(["-d", "postgres", "-Atc", &others]));
            assert!(told.status.success(), "psql: {}", String::from_utf8_lossy(&told.stderr));
            if told.stdout.trim_ascii() == b"0" {
                return;
            }
            assert!(Instant::now() < deadline, "sessions outlive the servers they belong to");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.arg("-h").arg(&self.folder).args(["-U", USER]);
        command
    }
}

fn said(mut command: impl std::borrow::BorrowMut<Command>) -> Output {
    command.borrow_mut().stdin(Stdio::null()).output().expect("a program that is there runs")
}

/// The folder of the server's programs: the newest of Debian's, what `pg_config` says, or the path.
fn programs() -> Option<PathBuf> {
    let has_initdb = |folder: &PathBuf| folder.join("initdb").is_file();
    let mut debian: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    debian.sort();
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    debian.into_iter().rev().map(|(_, bin)| bin).chain(configured).chain(on_path).find(has_initdb)
}

/// PostgreSQL refuses to run as root: the user to run it as instead, if this process is root.
fn unprivileged() -> Option<(u32, u32)> {
    let own = std::fs::metadata("/proc/self").ok()?.uid();
    if own != 0 {
        return None;
    }
    let number = |flag: &str, user: &str| -> Option<u32> {
        let output = Command::new("id").args([flag, user]).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    let found =
        ["postgres", "nobody"].iter().find_map(|user| Some((number("-u", user)?, number("-g", user)?)));
    Some(found.expect("there is a user `nobody`"))
}

/// `program`, run as this user where one is given.
fn as_user(user: Option<(u32, u32)>, program: &Path) -> Command {
    let Some((uid, gid)) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).args(["--clear-groups", "--"]);
    command.arg(program).current_dir("/");
    command
}
