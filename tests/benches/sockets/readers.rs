//! Those who read: sockets that count what they are sent, and how late.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::gateway::clock::Clock;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::process::{Bare, Process};

/// One step of the histogram, in microseconds.
const STEP: u64 = 50;
const STEPS: usize = 400_000;
/// How long what was sent may be on its way.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many sockets are opened at once.
const AT_ONCE: usize = 50;

/// Small buffers, on both sides of the comparison.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(16 << 10)
}

/// What the readers of one phase saw.
struct Tally {
    delivered: AtomicUsize,
    late: Vec<AtomicU64>,
    sample: Mutex<String>,
    clock: Clock,
}

/// The same, when all of it has come.
pub struct Reading {
    pub delivered: usize,
    late: Vec<u64>,
}

impl Reading {
    /// The delay, in milliseconds, that this share of the messages did not exceed.
    pub fn percentile(&self, share: f64) -> f64 {
        let all: u64 = self.late.iter().sum();
        let wanted = (all as f64 * share / 100.0).ceil() as u64;
        let mut seen = 0;
        let step = self.late.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        (step.unwrap_or(0) as u64 * STEP) as f64 / 1_000.0
    }
}

pub struct Readers {
    tally: Arc<Tally>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

type Stream = WebSocketStream<TcpStream>;

async fn open(stream: TcpStream) -> Stream {
    stream.set_nodelay(true).expect("an option");
    let address = stream.peer_addr().expect("a peer");
    let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
    let protocol = "graphql-transport-ws".parse().expect("a header");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    client_async_with_config(request, stream, Some(config())).await.expect("a socket").0
}

/// Greets, and subscribes to `query`; past the acknowledgement and the snapshot.
async fn begin(stream: TcpStream, token: &str, query: Option<&str>) -> Stream {
    let mut socket = open(stream).await;
    let init = json!({ "type": "connection_init", "payload": { "token": token } });
    socket.send(Message::text(init.to_string())).await.expect("a socket");
    hear(&mut socket).await;
    if let Some(query) = query {
        let subscribe = json!({ "type": "subscribe", "id": "1", "payload": { "query": query } });
        socket.send(Message::text(subscribe.to_string())).await.expect("a socket");
        hear(&mut socket).await;
    }
    socket
}

async fn hear(socket: &mut Stream) {
    loop {
        match socket.next().await.expect("it goes on").expect("a message") {
            Message::Text(text) if text.contains("\"ping\"") => {}
            Message::Text(text) => {
                assert!(text.contains("connection_ack") || text.contains("\"next\""), "{text}");
                return;
            }
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

impl Readers {
    /// `many` sockets of the holders of these tokens in turn.
    pub async fn open(server: &Process, tokens: &[String], many: usize, query: Option<&'static str>) -> Self {
        let begin = |stream, at: usize| {
            let token = tokens[at % tokens.len()].clone();
            async move { begin(stream, &token, query).await }
        };
        Self::of(server.address, many, begin).await
    }

    /// `many` sockets of the bare loop.
    pub async fn open_bare(bare: &Bare, many: usize) -> Self {
        let begin = |stream: TcpStream, _| async move {
            let address = stream.peer_addr().expect("a peer");
            let request = format!("ws://{address}/").into_client_request().expect("a request");
            client_async_with_config(request, stream, Some(config())).await.expect("a socket").0
        };
        let readers = Self::of(bare.address(), many, begin).await;
        // The last of them are being accepted.
        sleep(Duration::from_millis(200)).await;
        readers
    }

    async fn of<F>(address: std::net::SocketAddr, many: usize, begin: impl Fn(TcpStream, usize) -> F) -> Self
    where
        F: Future<Output = Stream> + Send + 'static,
    {
        let tally = Arc::new(Tally {
            delivered: AtomicUsize::new(0),
            late: (0..STEPS).map(|_| AtomicU64::new(0)).collect(),
            sample: Mutex::default(),
            clock: Clock::system(),
        });
        let mut opening = JoinSet::new();
        let mut sockets = Vec::with_capacity(many);
        for at in 0..many {
            if opening.len() >= AT_ONCE {
                sockets.extend(opening.join_next().await.map(|socket| socket.expect("it opens")));
            }
            let stream = TcpStream::connect(address).await.expect("a connection");
            opening.spawn(begin(stream, at));
        }
        while let Some(socket) = opening.join_next().await {
            sockets.push(socket.expect("it opens"));
        }
        let tasks = sockets
            .into_iter()
            .map(|socket| tokio::spawn(read(socket, Arc::clone(&tally))).abort_handle())
            .collect();
        Self { tally, tasks }
    }

    /// Forgets what was seen.
    pub fn reset(&mut self) {
        self.tally.delivered.store(0, Ordering::Relaxed);
        self.tally.late.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// Waits until each has had `made` messages, or nothing more comes.
    pub async fn settle(&mut self, made: usize) -> Reading {
        let expected = made * self.tasks.len();
        let end = Instant::now() + PATIENCE;
        let mut quiet = (0, Instant::now());
        loop {
            let now = self.tally.delivered.load(Ordering::Relaxed);
            if now != quiet.0 {
                quiet = (now, Instant::now());
            }
            if now >= expected || quiet.1.elapsed() > Duration::from_secs(3) || Instant::now() > end {
                let late = self.tally.late.iter().map(|count| count.load(Ordering::Relaxed)).collect();
                return Reading { delivered: now, late };
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// One of the messages.
    pub fn sample(&self) -> String {
        self.tally.sample.lock().expect("no reader failed").clone()
    }
}

async fn read(mut socket: Stream, tally: Arc<Tally>) {
    let mut cursor = String::new();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let Some(at) = member(&text, "\"at\":\"") else { continue };
        let this = member(&text, "\"cursor\":\"").unwrap_or_default();
        assert_ne!(this, cursor, "nothing is told twice in a row");
        this.clone_into(&mut cursor);
        let sent = chrono::DateTime::parse_from_rfc3339(at).expect("a time").timestamp_micros();
        let late = u64::try_from(tally.clock.now().0 - sent).unwrap_or(0);
        let step = usize::try_from(late / STEP).unwrap_or(STEPS).min(STEPS - 1);
        tally.late[step].fetch_add(1, Ordering::Relaxed);
        if tally.delivered.fetch_add(1, Ordering::Relaxed) == 0 {
            text.as_str().clone_into(&mut tally.sample.lock().expect("no reader failed"));
        }
    }
}

/// The text of a member, which has no quotes in it.
fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(name)?;
    rest.split_once('"').map(|(value, _)| value)
}

/// A message like `sample`, sent now.
pub fn stamp(sample: &str, number: u32) -> String {
    let now = Clock::system().now().0;
    let now = chrono::DateTime::from_timestamp_micros(now).expect("a time");
    let now = now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut text = sample.to_owned();
    for (name, value) in [("\"at\":\"", now), ("\"cursor\":\"", format!("{number:022}"))] {
        if let Some(old) = member(&text, name).map(str::to_owned) {
            text = text.replacen(&format!("{name}{old}"), &format!("{name}{value}"), 1);
        }
    }
    text
}

/// Sockets that subscribe and read nothing more, with as small a buffer as the system gives.
pub async fn mute(server: &Process, tokens: &[String], many: usize, query: &'static str) -> Vec<Stream> {
    let mut sockets = Vec::with_capacity(many);
    for at in 0..many {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("an option");
        let stream =
            timeout(PATIENCE, socket.connect(server.address)).await.expect("in time").expect("a connection");
        sockets.push(begin(stream, &tokens[at % tokens.len()], Some(query)).await);
    }
    sockets
}
