//! The edge: everything between a TCP connection and the schema.
//!
//! A request goes `serve` (connections) → `trace` (its id, its count) → `layers` (compression, CORS) →
//! `http`, `sse`, `ws` or `upload` (the protocols) → `operation` (`trusted`, `guard`, `variables` and
//! `limits`, then the schema, whose subscriptions `fanout` shares) → `reply`. `rates` and `turns` say
//! who may go on, and `vigil` ends what stays open longer than it may.
//! Nothing here knows the schema's types or the database: the schema is [any](schema::AnySchema), and who
//! asks ([`auth::Authenticate`]), files ([`upload::Files`]) and readiness ([`health::Ready`]) are
//! given from outside.
//!
//! | route | what |
//! | --- | --- |
//! | `POST /graphql`, `GET /graphql?query=` | GraphQL over HTTP, and over server-sent events |
//! | `GET /graphql` with `Upgrade: websocket` | graphql-transport-ws |
//! | `GET /graphiql` | GraphiQL, in development |
//! | `PUT /v1/imports/{id}/upload` | a report in |
//! | `GET /v1/exports/{id}` | a file out |
//! | `/v1/auth/…` | signing in, by whoever knows tokens |
//! | `GET /healthz`, `/readyz`, `/metrics` | alive, ready, counted |

mod accept;
pub mod auth;
mod body;
pub(crate) mod documents;
pub mod fanout;
mod graphiql;
mod guard;
pub mod health;
mod http;
mod layers;
pub mod limits;
mod operation;
mod rates;
pub(crate) mod reply;
pub mod schema;
pub mod serve;
pub mod settings;
mod sse;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod trusted;
mod turns;
pub mod upload;
mod variables;
pub mod vigil;
mod watch;
mod ws;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use async_graphql::ServerError;
use async_graphql::parser::types::OperationType;
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{Extensions, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, put};
use domain::access::Actor;
use domain::error::{Code, Error};
use domain::gateway::clock::Clock;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use auth::{Authenticate, RequestOrigin, Transport};
use documents::Documents;
use fanout::Shared;
use operation::{Counter, Operation, Parameters, counted};
use rates::Rates;
use reply::{Answer, MediaType, Refusal};
use schema::AnySchema;
use settings::Settings;
use trace::{TraceId, observe};
use turns::Turns;
use vigil::Vigil;

/// The address of GraphQL, over HTTP and WebSocket.
pub const GRAPHQL: &str = "/graphql";

/// What the server is made of.
pub struct Parts {
    pub schema: AnySchema,
    pub authenticate: Arc<dyn Authenticate>,
    pub files: Arc<dyn upload::Files>,
    pub ready: Arc<dyn health::Ready>,
    /// What `/metrics` shows; without it there is no such route.
    pub metrics: Option<PrometheusHandle>,
    pub clock: Clock,
    pub settings: Settings,
    /// Told to stop, sockets close with 1001 and `/readyz` says no.
    pub stopping: CancellationToken,
}

/// A server, ready to be mounted or served. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    parts: Parts,
    schema: Shared,
    sockets: TaskTracker,
    counter: Counter,
    documents: Documents,
    vigil: Arc<Vigil>,
    turns: Turns,
    rates: Rates,
}

impl Server {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            schema: Shared::new(parts.schema.clone()),
            sockets: TaskTracker::new(),
            counter: Counter::default(),
            documents: Documents::default(),
            vigil: Vigil::new(parts.clock.clone()),
            turns: Turns::new(parts.settings.turns),
            rates: Rates::new(&parts.settings.rates),
            parts,
        }))
    }

    /// The routes of the table above.
    pub fn router(&self) -> Router {
        let mut router = Router::new()
            .route(GRAPHQL, any(graphql))
            .route("/v1/imports/{id}/upload", put(receive))
            .route("/v1/exports/{id}", get(send))
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(ready));
        if self.settings().development {
            router = router.route("/graphiql", get(async || graphiql::page(GRAPHQL)));
        }
        if self.0.parts.metrics.is_some() {
            router = router.route("/metrics", get(metrics));
        }
        let router = router
            .with_state(self.clone())
            .merge(self.0.parts.authenticate.routes())
            .fallback(async || StatusCode::NOT_FOUND);
        layers::around(router, &self.settings().sockets.origins)
            .layer(from_fn_with_state(self.clock().clone(), observe))
    }

    /// Serves on `listener` until the server is told to stop.
    pub async fn serve(&self, listener: tokio::net::TcpListener) {
        if let Some(handle) = self.0.parts.metrics.clone() {
            tokio::spawn(health::upkeep(handle, self.stopping().clone()));
        }
        tokio::spawn(self.vigil().clone().keep(self.0.parts.authenticate.clone(), self.stopping().clone()));
        let server = self.clone();
        tokio::spawn(async move { server.0.rates.keep(server.stopping()).await });
        let settings = self.settings().connections.clone();
        serve::serve(listener, self.router(), settings, self.sockets().clone(), self.stopping().clone())
            .await;
    }

    pub fn settings(&self) -> &Settings {
        &self.0.parts.settings
    }

    pub fn stopping(&self) -> &CancellationToken {
        &self.0.parts.stopping
    }

    fn schema(&self) -> &Shared {
        &self.0.schema
    }

    fn clock(&self) -> &Clock {
        &self.0.parts.clock
    }

    fn files(&self) -> &dyn upload::Files {
        &*self.0.parts.files
    }

    fn sockets(&self) -> &TaskTracker {
        &self.0.sockets
    }

    /// Where those who stay connected are admitted.
    fn vigil(&self) -> &Arc<Vigil> {
        &self.0.vigil
    }

    fn counter(&self) -> &Counter {
        &self.0.counter
    }

    /// Who the token belongs to. A refusal says that the token was wrong rather than missing; one that
    /// takes longer than a request may is a fault.
    async fn authenticate(&self, token: &str, origin: RequestOrigin) -> domain::error::Result<Actor> {
        self.0.rates.meet(token, origin.address)?;
        let asked = self.0.parts.authenticate.authenticate(token, origin);
        let known = timeout(self.settings().request_time, asked).await;
        let actor = known.map_err(Error::internal)?.map_err(|error| match error.code {
            Code::Unauthenticated => error.with("token", "invalid"),
            _ => error,
        })?;
        self.0.rates.welcome(token);
        Ok(actor)
    }

    /// Counts `operations` of an actor, who may ask only so often.
    fn count(&self, actor: &Actor, operations: usize) -> domain::error::Result<()> {
        self.0.rates.count(actor, u32::try_from(operations).unwrap_or(u32::MAX))
    }

    /// The operation of a request, if it is within the limits.
    fn prepare(&self, mut parameters: Parameters) -> Result<Operation, ServerError> {
        let settings = self.settings();
        let resolved = settings.documents.resolve(&mut parameters);
        let prepared = resolved.and_then(|()| {
            Operation::prepare(parameters, &settings.limits, settings.development, &self.0.documents)
        });
        let mut operation = prepared.inspect_err(|error| {
            let code = crate::error::code(error).unwrap_or_default().to_owned();
            metrics::counter!("graphql_refused_total", "code" => code).increment(1);
        })?;
        operation.about.label = self.counter().label(operation.name.as_deref());
        operation.about.slow = settings.slow;
        Ok(operation)
    }

    /// Runs a query or a mutation when it is its turn; its time counts from `started`.
    async fn run(&self, operation: Operation, actor: Actor, started: Instant, trace: &TraceId) -> Answer {
        let label = self.counter().label(operation.name.as_deref());
        let (kind, time) = (operation.kind, self.settings().request_time);
        let left = || time.saturating_sub(started.elapsed());
        let answer = match timeout(left(), self.0.turns.take(&actor)).await {
            Ok(Ok(_place)) => operation.run(self.schema(), actor, left(), trace).await,
            Ok(Err(error)) => Answer::limited(error, trace),
            Err(_) => operation::timed_out(time, trace),
        };
        self.counter().count(label, kind, answer.outcome, started);
        answer
    }

    /// The answers of any operation, as they come.
    fn answers(
        &self,
        operation: Operation,
        actor: Actor,
        started: Instant,
        trace: TraceId,
    ) -> BoxStream<'static, Answer> {
        let server = self.clone();
        if operation.kind != OperationType::Subscription {
            return stream::once(async move { server.run(operation, actor, started, &trace).await }).boxed();
        }
        let label = self.counter().label(operation.name.as_deref());
        let mut begun = false;
        let answers = operation.stream(self.schema(), actor, trace).inspect(move |answer| {
            if !std::mem::replace(&mut begun, true) {
                let kind = OperationType::Subscription;
                server.counter().count(label.clone(), kind, answer.outcome, started);
            }
        });
        counted(answers).boxed()
    }
}

/// The other end of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

pub(crate) fn origin(extensions: &Extensions, transport: Transport) -> RequestOrigin {
    let address = extensions.get::<Peer>().map(|Peer(address)| address.ip());
    RequestOrigin { address, trace: trace::of(extensions), transport }
}

async fn graphql(State(server): State<Server>, request: Request) -> Response {
    if !ws::is_upgrade(request.headers()) {
        return http::graphql(server, request).await;
    }
    let (mut head, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut head, &()).await {
        Ok(upgrade) => ws::open(server, &head, upgrade),
        Err(rejection) => {
            let refusal = Refusal::new(rejection.status(), rejection.body_text());
            refusal.reply(MediaType::Json, &trace::of(&head.extensions))
        }
    }
}

async fn receive(State(server): State<Server>, Path(id): Path<String>, request: Request) -> Response {
    upload::receive(server, &id, request).await
}

async fn send(State(server): State<Server>, Path(id): Path<String>, request: Request) -> Response {
    upload::send(server, &id, request).await
}

async fn ready(State(server): State<Server>) -> Response {
    health::readiness(&*server.0.parts.ready, server.stopping()).await
}

async fn metrics(State(server): State<Server>) -> Response {
    match &server.0.parts.metrics {
        Some(handle) => {
            server.0.parts.ready.measure();
            health::metrics(handle)
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
