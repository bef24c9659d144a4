//! The other processes of the benchmark: this binary again, as the server or as a bare loop.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;

use super::Site;
use super::readers::{config, stamp};

const ROLE: &str = "SOCKETS_BENCH_ROLE";
/// `/proc` counts in these.
const TICKS_A_SECOND: f64 = 100.0;

/// Whether this process was started to play a part, which has been played then.
pub async fn played() -> bool {
    match std::env::var(ROLE).as_deref() {
        Ok("server") => {
            let cli = api::cli::Cli::parse();
            if let Err(error) = api::cli::run(cli).await {
                eprintln!("the server: {error}");
            }
            true
        }
        Ok("bare") => {
            bare().await;
            true
        }
        _ => false,
    }
}

/// A process that ends with this.
pub struct Process {
    pub address: SocketAddr,
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Process {
    async fn start(role: &str, arguments: &[&str]) -> Self {
        let this = std::env::current_exe().expect("a benchmark knows where it is");
        let mut command = Command::new(this);
        // What is set for the benchmark is no setting of the server.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COUNTERSIGN_"))
        {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments)
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it can be started");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        loop {
            let line = said.next_line().await.expect("it speaks").expect("it says where it listens");
            if let Some((_, url)) = line.split_once(" listens on http://") {
                let address = url.split('/').next().and_then(|address| address.trim().parse().ok());
                return Self { address: address.expect("an address"), child, said };
            }
        }
    }

    /// The server, on this database.
    pub async fn serve(site: &Site) -> Self {
        // One that was killed may take a while to leave its folder.
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let folder = format!("server-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let folder = site.folder.path().join(folder).display().to_string();
        let database = site.database();
        let places = ["--database", &database, "--folder", &folder];
        Self::start("server", &[&["serve", "--listen", "127.0.0.1:0"][..], &places].concat()).await
    }

    fn proc(&self, file: &str) -> String {
        let id = self.child.id().expect("it runs");
        std::fs::read_to_string(format!("/proc/{id}/{file}")).expect("this is Linux")
    }

    /// What it holds of the machine's memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is listed");
        line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a number")
    }

    /// The time of processors that it used.
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS_A_SECOND)
    }

    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.address);
        reqwest::get(url).await.expect("an answer").text().await.expect("text")
    }
}

/// The bare loop: it writes a message to each of its sockets, and nothing else.
pub struct Bare(Process);

impl Bare {
    /// One that writes messages like `sample`.
    pub async fn start(sample: &str) -> Self {
        Self(Process::start("bare", &[sample]).await)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub fn cpu(&self) -> Duration {
        self.0.cpu()
    }

    /// So many messages to each socket, evenly over this time.
    pub async fn run(&mut self, messages: usize, time: Duration) {
        let order = format!("{messages} {}\n", time.as_micros());
        let stdin = self.0.child.stdin.as_mut().expect("it is piped");
        stdin.write_all(order.as_bytes()).await.expect("it listens");
        let done = timeout(time * 4, self.0.said.next_line()).await.expect("it ends");
        assert!(done.expect("it speaks").is_some(), "it goes on");
    }
}

async fn bare() {
    let sample = std::env::args().nth(1).expect("a sample");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("this listens on http://{}", listener.local_addr().expect("an address"));
    let (sender, _) = broadcast::channel::<Message>(4_096);
    tokio::spawn({
        let sender = sender.clone();
        async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("an option");
                let mut messages = sender.subscribe();
                tokio::spawn(async move {
                    use futures_util::SinkExt;
                    let mut socket =
                        accept_async_with_config(stream, Some(config())).await.expect("a socket");
                    while let Ok(message) = messages.recv().await {
                        if socket.send(message).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    let (order, mut orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if order.send(line).is_err() {
                return;
            }
        }
    });
    while let Some(order) = orders.recv().await {
        let (messages, time) = order.split_once(' ').expect("two numbers");
        let messages: u32 = messages.parse().expect("a number");
        let time = Duration::from_micros(time.parse().expect("microseconds"));
        let mut every = interval(time / messages);
        every.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0..messages {
            every.tick().await;
            let message = stamp(&sample, number);
            sender.send(Message::text(message)).expect("somebody listens");
        }
        println!("sent");
    }
}
