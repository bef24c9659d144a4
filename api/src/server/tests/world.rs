//! A server on a socket of its own, and clients of it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::access::{Actor, ActorKind, Portfolio, Role};
use domain::error::{Code, Error, Result};
use domain::gateway::clock::Clock;
use domain::vocabulary::time::Span;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::toy::{Inside, schema};
use crate::server::auth::{Authenticate, RequestOrigin};
use crate::server::health::{Ready, recorder};
use crate::server::settings::Settings;
use crate::server::upload::{Download, Files, Upload};
use crate::server::{Parts, Server};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub address: SocketAddr,
    pub inside: Inside,
    pub stopping: CancellationToken,
    pub serving: JoinHandle<()>,
    /// The files that were received whole.
    pub received: Arc<Mutex<Vec<Vec<u8>>>>,
    pub ready: Arc<Mutex<bool>>,
    pub http: reqwest::Client,
    server: Server,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// Settings for a test: development, so that introspection is on.
pub fn development() -> Settings {
    Settings { development: true, ..Settings::default() }
}

impl World {
    pub async fn start(settings: Settings) -> Self {
        let inside = Inside::default();
        let stopping = CancellationToken::new();
        let received = Arc::new(Mutex::new(Vec::new()));
        let ready = Arc::new(Mutex::new(true));
        let server = Server::new(Parts {
            schema: schema(inside.clone()),
            authenticate: Arc::new(Tokens),
            files: Arc::new(Shelf(received.clone())),
            ready: Arc::new(Gate(ready.clone())),
            metrics: Some(recorder().unwrap()),
            clock: Clock::system(),
            settings,
            stopping: stopping.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn({
            let server = server.clone();
            async move { server.serve(listener).await }
        });
        domain::gateway::http::ready();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { address, inside, stopping, serving, received, ready, http, server }
    }

    /// The server without its connections.
    pub fn router(&self) -> axum::Router {
        self.server.router()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A `POST` of JSON with a good token.
    pub fn post(&self) -> reqwest::RequestBuilder {
        self.http.post(self.url("/graphql")).bearer_auth("good").header("content-type", "application/json")
    }

    /// What the server answers to a query: status and body.
    pub async fn query(&self, body: Value) -> (u16, Value) {
        let response = self.post().body(body.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Whether the server still does its work.
    pub async fn assert_alive(&self) {
        let answer = self.query(json!({ "query": "{ hello }" })).await;
        assert_eq!(answer, (200, json!({ "data": { "hello": "world" } })));
    }

    pub fn streams(&self) -> usize {
        self.inside.streams.load(Ordering::SeqCst)
    }
}

/// Looks until it is so.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    let mut look = tokio::time::interval(Duration::from_millis(5));
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        look.tick().await;
    }
}

/// Knows the tokens of the tests by what they say.
struct Tokens;

impl Authenticate for Tokens {
    fn authenticate<'a>(&'a self, bearer: &'a str, origin: RequestOrigin) -> BoxFuture<'a, Result<Actor>> {
        async move {
            let expires_at = match bearer {
                "good" | "leaver" | "other" => None,
                "longer" => Some(Clock::system().now().plus(Span::HOUR)),
                "short" => Some(Clock::system().now().plus(Span(200_000))),
                "expired" => Some(Clock::system().now()),
                "forbidden" => return Err(Error::forbidden("use this token here")),
                "broken" => return Err(Error::internal("the database is gone, and a secret")),
                "slow" => std::future::pending().await,
                _ => return Err(Error::new(Code::Unauthenticated, "The token is not known.")),
            };
            Ok(Actor {
                kind: ActorKind::User,
                id: Uuid::from_u128(u128::from(bearer == "other")),
                name: if bearer == "leaver" { "Eve" } else { "Ada" }.to_owned(),
                role: Role::Admin,
                portfolio: Portfolio::Whole,
                expires_at,
                address: origin.address.map(|address| address.to_string()),
                trace: Some(origin.trace.to_string()),
                ..Actor::system(Uuid::nil(), "test")
            })
        }
        .boxed()
    }

    /// Eve leaves at once.
    fn standing<'a>(&'a self, actors: &'a [Arc<Actor>]) -> BoxFuture<'a, Result<Vec<bool>>> {
        let stands = actors.iter().map(|actor| actor.name != "Eve").collect();
        async move { Ok(stands) }.boxed()
    }
}

struct Gate(Arc<Mutex<bool>>);

impl Ready for Gate {
    fn check(&self) -> BoxFuture<'_, Result<()>> {
        let open = *self.0.lock().unwrap();
        async move { if open { Ok(()) } else { Err(Error::internal("the database is gone")) } }.boxed()
    }
}

struct Shelf(Arc<Mutex<Vec<Vec<u8>>>>);

impl Files for Shelf {
    fn receive(&self, actor: Actor, id: Uuid, upload: Upload) -> BoxFuture<'_, Result<Value>> {
        async move {
            if id.is_nil() {
                return Err(Error::not_found("import"));
            }
            if id == Uuid::max() {
                panic!("the shelf broke, and a secret");
            }
            let whole = upload.body.try_fold(Vec::new(), async |mut whole, part| {
                whole.extend_from_slice(&part);
                Ok(whole)
            });
            let whole = whole.await.map_err(Error::internal)?;
            if whole.starts_with(b"bad") {
                return Err(Error::new(Code::ReportMalformed, "Not a report.").with("line", 1));
            }
            let bytes = whole.len();
            self.0.lock().unwrap().push(whole);
            Ok(json!({ "bytes": bytes, "by": actor.name }))
        }
        .boxed()
    }

    fn send(&self, _: Actor, id: Uuid) -> BoxFuture<'_, Result<Download>> {
        async move {
            if id.is_nil() {
                return Err(Error::not_found("export"));
            }
            let parts = [Ok::<_, io::Error>(Bytes::from_static(b"a,b\n")), Ok(Bytes::from_static(b"1,2\n"))];
            Ok(Download {
                content_type: "text/csv; charset=utf-8".to_owned(),
                file_name: "find\"ings\r\n.csv".to_owned(),
                length: Some(8),
                body: stream::iter(parts).boxed(),
            })
        }
        .boxed()
    }
}
