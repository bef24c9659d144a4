//! The life of one socket.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_graphql::Executor;
use async_graphql::parser::types::OperationType;
use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use domain::access::Actor;
use domain::error::{Class, Code, Error};
use futures_util::StreamExt;
use futures_util::stream::{self, AbortHandle, BoxStream, SelectAll};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite;

use super::protocol::{Close, Said, ack, complete, error, next, pong};
use crate::error::server_error;
use crate::server::Server;
use crate::server::auth::{RequestOrigin, bearer_value};
use crate::server::operation::{Operation, Parameters, Unreadable, counted};
use crate::server::reply::{Answer, Outcome};

/// Longer than any token or process lives.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// What the operations of a socket have to say.
struct Event {
    id: String,
    /// `None` at the end.
    answer: Option<Answer>,
}

pub struct Socket<E> {
    server: Server<E>,
    wire: WebSocket,
    origin: RequestOrigin,
    /// The token of the upgrade's header, for clients that can send one.
    token: Option<String>,
    /// Known once `connection_init` was accepted.
    actor: Option<Actor>,
    /// The end of waiting for `connection_init`; then the end of the token.
    deadline: Pin<Box<Sleep>>,
    pings: Interval,
    /// Whether nothing was heard since the last ping.
    silent: bool,
    running: HashMap<String, AbortHandle>,
    events: SelectAll<BoxStream<'static, Event>>,
}

impl<E: Executor> Socket<E> {
    pub fn new(server: Server<E>, wire: WebSocket, origin: RequestOrigin, token: Option<String>) -> Self {
        let settings = &server.settings().sockets;
        let mut pings = interval_at(tokio::time::Instant::now() + settings.ping_every, settings.ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            deadline: Box::pin(sleep(settings.init_time)),
            pings,
            server,
            wire,
            origin,
            token,
            actor: None,
            silent: false,
            running: HashMap::new(),
            events: SelectAll::new(),
        }
    }

    /// Serves the socket to its end, and says how it ended.
    pub async fn run(mut self) -> (WebSocket, Close) {
        loop {
            let step = tokio::select! {
                () = self.server.stopping().cancelled() => Err(Close::GOING_AWAY),
                () = &mut self.deadline => Err(match self.actor {
                    Some(_) => Close::EXPIRED,
                    None => Close::INIT_TIMEOUT,
                }),
                message = self.wire.recv() => self.receive(message).await,
                Some(event) = self.events.next() => self.emit(event).await,
                _ = self.pings.tick() => self.ping().await,
            };
            if let Err(close) = step {
                return (self.wire, close);
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Close> {
        match timeout(self.server.settings().sockets.send_time, self.wire.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Close::Gone),
            Err(_) => Err(Close::Stalled),
        }
    }

    async fn ping(&mut self) -> Result<(), Close> {
        if self.silent {
            return Err(Close::Stalled);
        }
        self.silent = true;
        self.send(Message::Ping(Bytes::new())).await
    }

    async fn receive(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Close> {
        self.silent = false;
        match message {
            Some(Ok(Message::Text(text))) => match Said::read(&text) {
                Some(said) => self.hear(said).await,
                None => Err(Close::INVALID),
            },
            Some(Ok(Message::Binary(_))) => Err(Close::INVALID),
            // The library answers pings itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_))) | None => Err(Close::Gone),
            Some(Err(failure)) => Err(broken(failure)),
        }
    }

    async fn hear(&mut self, said: Said<'_>) -> Result<(), Close> {
        match said {
            Said::Init(payload) => self.init(payload).await,
            Said::Ping => self.send(pong()).await,
            Said::Pong => Ok(()),
            Said::Subscribe { id, payload } => self.subscribe(id, payload).await,
            Said::Complete { id } => {
                if let Some(handle) = self.running.remove(&id) {
                    handle.abort();
                }
                Ok(())
            }
        }
    }

    async fn init(&mut self, payload: Option<Map<String, Value>>) -> Result<(), Close> {
        if self.actor.is_some() {
            return Err(Close::TOO_MANY_INITS);
        }
        let payload = payload.unwrap_or_default();
        let token = token_of(&payload).or(self.token.as_deref()).ok_or(Close::FORBIDDEN)?;
        let known = tokio::select! {
            known = self.server.authenticate(token, self.origin.clone()) => known,
            () = &mut self.deadline => return Err(Close::INIT_TIMEOUT),
        };
        let actor = known.map_err(|error| match error.class() {
            Class::Fault => {
                tracing::error!(trace = %self.origin.trace, %error, "a socket could not be authenticated");
                Close::FAULT
            }
            _ => Close::FORBIDDEN,
        })?;
        let left = match actor.expires_at {
            Some(end) => {
                let micros = end.0.saturating_sub(self.server.clock().now().0);
                Duration::from_micros(u64::try_from(micros).unwrap_or(0)).min(NEVER)
            }
            None => NEVER,
        };
        self.deadline.as_mut().reset(tokio::time::Instant::now() + left);
        self.actor = Some(actor);
        self.send(ack()).await
    }

    async fn subscribe(&mut self, id: String, payload: &RawValue) -> Result<(), Close> {
        let Some(actor) = self.actor.clone() else { return Err(Close::UNAUTHORIZED) };
        if self.running.contains_key(&id) {
            return Err(Close::duplicate(&id));
        }
        let started = Instant::now();
        let settings = self.server.settings();
        let parameters = match Parameters::read(payload.get().as_bytes(), &settings.limits) {
            Ok(parameters) => parameters,
            Err(Unreadable::Limit(limit)) => return self.refuse(&id, server_error(limit)).await,
            Err(Unreadable::Malformed(_)) => return Err(Close::INVALID),
        };
        let max = settings.sockets.operations;
        if self.running.len() >= max {
            let message = format!("This socket already runs {max} operations, the most it may.");
            let error = Error::new(Code::LimitExceeded, message)
                .with("limit", "operationsPerSocket")
                .with("max", max);
            return self.refuse(&id, server_error(error)).await;
        }
        match self.server.prepare(parameters) {
            Ok(operation) => self.start(id, operation, actor, started),
            Err(error) => return self.refuse(&id, error).await,
        }
        Ok(())
    }

    async fn refuse(&mut self, id: &str, refusal: async_graphql::ServerError) -> Result<(), Close> {
        let answer = Answer::failed(refusal, Outcome::Refused, &self.origin.trace);
        self.send(error(id, &answer)).await
    }

    fn start(&mut self, id: String, operation: Operation, actor: Actor, started: Instant) {
        let server = self.server.clone();
        let trace = self.origin.trace.clone();
        let label = server.counter().label(operation.name.as_deref());
        let kind = operation.kind;
        let answers = if kind == OperationType::Subscription {
            let answers = operation.stream(server.schema(), actor, trace);
            let mut begun = false;
            let answers = answers.inspect(move |answer| {
                if !std::mem::replace(&mut begun, true) {
                    server.counter().count(label.clone(), kind, answer.outcome, started);
                }
            });
            counted(answers).boxed()
        } else {
            stream::once(async move {
                let time = server.settings().request_time;
                let answer = operation.run(server.schema(), actor, time, &trace).await;
                server.counter().count(label, kind, answer.outcome, started);
                answer
            })
            .boxed()
        };
        let said = id.clone();
        let events = answers.map(Some).chain(stream::iter([None]));
        let events = events.map(move |answer| Event { id: said.clone(), answer });
        let (events, handle) = stream::abortable(events);
        self.running.insert(id, handle);
        self.events.push(events.boxed());
    }

    /// Sends what an operation has to say. One that never ran, or failed as a whole, ends with its
    /// error; the stream behind it is let go.
    async fn emit(&mut self, Event { id, answer }: Event) -> Result<(), Close> {
        let message = match &answer {
            Some(answer) if matches!(answer.outcome, Outcome::Ok | Outcome::FieldErrors) => {
                return self.send(next(&id, answer)).await;
            }
            Some(answer) => error(&id, answer),
            None => complete(&id),
        };
        if let Some(handle) = self.running.remove(&id) {
            handle.abort();
        }
        self.send(message).await
    }
}

/// The token in the payload of `connection_init`: `{"authorization": "Bearer …"}` or `{"token": …}`.
fn token_of(payload: &Map<String, Value>) -> Option<&str> {
    let text = |key: &str| payload.get(key).and_then(Value::as_str);
    text("authorization").or_else(|| text("Authorization")).and_then(bearer_value).or_else(|| text("token"))
}

/// How a socket ends that could not be read.
fn broken(failure: axum::Error) -> Close {
    match failure.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Close::TOO_LARGE,
        _ => Close::Gone,
    }
}
