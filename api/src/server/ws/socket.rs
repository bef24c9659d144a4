//! The life of one socket.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use domain::access::Actor;
use domain::error::{Class, Code, Error};
use futures_util::stream::{self, AbortHandle, BoxStream, SelectAll};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::protocol::{Close, Said, ack, complete, error, next, ping, pong, renewed};
use crate::error::server_error;
use crate::server::Server;
use crate::server::auth::{RequestOrigin, bearer_value};
use crate::server::operation::{Operation, Parameters, Unreadable};
use crate::server::reply::{Answer, Outcome};
use crate::server::vigil::{Admitted, Over};

/// How many results that are there at once go out together, and how many bytes of them.
const BURST: usize = 32;
const BURST_BYTES: usize = 64 << 10;

/// What the operations of a socket have to say.
struct Event {
    id: Arc<str>,
    /// `None` at the end.
    answer: Option<Answer>,
}

pub struct Socket {
    server: Server,
    wire: WebSocket,
    origin: RequestOrigin,
    /// The token of the upgrade's header, for clients that can send one.
    token: Option<String>,
    greeting: Greeting,
    /// Registered once, and not for every message.
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    pings: Interval,
    /// Whether nothing was heard since the last ping.
    silent: bool,
    running: HashMap<Arc<str>, AbortHandle>,
    events: SelectAll<BoxStream<'static, Event>>,
}

/// Whether `connection_init` was accepted.
enum Greeting {
    /// Not yet, and this is how long it may take.
    Awaited(Pin<Box<Sleep>>),
    Accepted(Admitted),
}

impl Greeting {
    /// Returns when the socket has to end.
    async fn over(&mut self) -> Close {
        match self {
            Self::Awaited(deadline) => {
                deadline.await;
                Close::INIT_TIMEOUT
            }
            Self::Accepted(admitted) => match admitted.over().await {
                Over::Expired => Close::EXPIRED,
                Over::Revoked => Close::REVOKED,
            },
        }
    }
}

impl Socket {
    pub fn new(server: Server, wire: WebSocket, origin: RequestOrigin, token: Option<String>) -> Self {
        let settings = &server.settings().sockets;
        let mut pings = interval_at(tokio::time::Instant::now() + settings.ping_every, settings.ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            greeting: Greeting::Awaited(Box::pin(sleep(settings.init_time))),
            stopping: Box::pin(server.stopping().clone().cancelled_owned()),
            pings,
            server,
            wire,
            origin,
            token,
            silent: false,
            running: HashMap::new(),
            events: SelectAll::new(),
        }
    }

    /// Serves the socket to its end, and says how it ended.
    pub async fn run(mut self) -> (WebSocket, Close) {
        loop {
            let step = tokio::select! {
                () = &mut self.stopping => Err(Close::GOING_AWAY),
                close = self.greeting.over() => Err(close),
                // What happens seldom is kept off a socket that idles.
                message = self.wire.recv() => Box::pin(self.receive(message)).await,
                Some(event) = self.events.next() => self.emit(event).await,
                _ = self.pings.tick() => Box::pin(self.ping()).await,
            };
            if let Err(close) = step {
                return (self.wire, close);
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Close> {
        self.send_all([message]).await
    }

    async fn send_all(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), Close> {
        let wire = &mut self.wire;
        let sent = async {
            for message in messages {
                wire.feed(message).await?;
            }
            wire.flush().await
        };
        match timeout(self.server.settings().sockets.send_time, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Close::Gone),
            Err(_) => Err(Close::Stalled),
        }
    }

    /// Asks whether somebody is there: the library that the client is made with, which answers by
    /// itself, and the client, so that whatever lies between sees messages too.
    async fn ping(&mut self) -> Result<(), Close> {
        if std::mem::replace(&mut self.silent, true) {
            return Err(Close::Stalled);
        }
        let greeted = matches!(self.greeting, Greeting::Accepted(_));
        self.send_all([Message::Ping(Bytes::new())].into_iter().chain(greeted.then(ping))).await
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
            Said::Ping(payload) => self.pinged(payload).await,
            Said::Pong => Ok(()),
            Said::Subscribe { id, payload } => self.subscribe(id, payload).await,
            Said::Complete { id } => {
                if let Some(handle) = self.running.remove(&*id) {
                    handle.abort();
                }
                Ok(())
            }
        }
    }

    async fn init(&mut self, payload: Option<Map<String, Value>>) -> Result<(), Close> {
        if matches!(self.greeting, Greeting::Accepted(_)) {
            return Err(Close::TOO_MANY_INITS);
        }
        let payload = payload.unwrap_or_default();
        let token = token_of(&payload).or(self.token.as_deref()).ok_or(Close::FORBIDDEN)?.to_owned();
        let actor = self.authenticate(&token).await?;
        let most = self.server.settings().sockets.per_actor;
        let admitted = self.server.vigil().admit(actor, most).ok_or(Close::TOO_MANY_SOCKETS)?;
        self.greeting = Greeting::Accepted(admitted);
        // It is not needed again.
        self.token = None;
        self.send(ack()).await
    }

    /// Who comes with this token. It may take no longer than the socket may last.
    async fn authenticate(&mut self, token: &str) -> Result<Arc<Actor>, Close> {
        let known = tokio::select! {
            known = self.server.authenticate(token, self.origin.clone()) => known,
            close = self.greeting.over() => return Err(close),
        };
        known.map(Arc::new).map_err(|error| match error.class() {
            Class::Fault => {
                tracing::error!(trace = %self.origin.trace, %error, "a socket could not be authenticated");
                Close::FAULT
            }
            _ => Close::FORBIDDEN,
        })
    }

    /// Answers a ping. One that brings a token renews the socket: streams go on, and it ends with that
    /// token. It has to be of the same caller, with the same rights.
    async fn pinged(&mut self, payload: Option<&RawValue>) -> Result<(), Close> {
        let payload: Map<String, Value> = match payload {
            Some(payload) => serde_json::from_str(payload.get()).map_err(|_| Close::INVALID)?,
            None => Map::new(),
        };
        let Some(token) = token_of(&payload).filter(|_| matches!(self.greeting, Greeting::Accepted(_)))
        else {
            return self.send(pong()).await;
        };
        let actor = self.authenticate(token).await?;
        let until = actor.expires_at.map(|until| until.0);
        if let Greeting::Accepted(admitted) = &mut self.greeting {
            admitted.renew(actor).map_err(|_| Close::REVOKED)?;
        }
        self.send(renewed(until)).await
    }

    async fn subscribe(&mut self, id: String, payload: &RawValue) -> Result<(), Close> {
        let Greeting::Accepted(admitted) = &self.greeting else { return Err(Close::UNAUTHORIZED) };
        let actor = (**admitted.actor()).clone();
        if self.running.contains_key(&*id) {
            return Err(Close::duplicate(&id));
        }
        let started = Instant::now();
        let settings = self.server.settings();
        if let Err(often) = self.server.count(&actor, 1) {
            return self.refuse(&id, server_error(often)).await;
        }
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
            Ok(operation) => self.start(id.into(), operation, actor, started),
            Err(error) => return self.refuse(&id, error).await,
        }
        Ok(())
    }

    async fn refuse(&mut self, id: &str, refusal: async_graphql::ServerError) -> Result<(), Close> {
        let answer = Answer::failed(refusal, Outcome::Refused, &self.origin.trace);
        self.send(error(id, &answer)).await
    }

    fn start(&mut self, id: Arc<str>, operation: Operation, actor: Actor, started: Instant) {
        let answers = self.server.answers(operation, actor, started, self.origin.trace.clone());
        let said = id.clone();
        let events = answers.map(Some).chain(stream::iter([None]));
        let events = events.map(move |answer| Event { id: said.clone(), answer });
        let (events, handle) = stream::abortable(events);
        self.running.insert(id, handle);
        self.events.push(events.boxed());
    }

    /// Sends what operations have to say: this, and what else is there already.
    async fn emit(&mut self, first: Event) -> Result<(), Close> {
        let first = self.message(first);
        let mut bytes = length(&first);
        let mut messages = vec![first];
        while messages.len() < BURST
            && bytes < BURST_BYTES
            && let Some(Some(event)) = self.events.next().now_or_never()
        {
            let message = self.message(event);
            bytes += length(&message);
            messages.push(message);
        }
        self.send_all(messages).await
    }

    /// The message of what an operation has to say. One that never ran, or failed as a whole, ends with
    /// its error; the stream behind it is let go.
    fn message(&mut self, Event { id, answer }: Event) -> Message {
        let message = match &answer {
            Some(answer) if matches!(answer.outcome, Outcome::Ok | Outcome::FieldErrors) => {
                return next(&id, answer);
            }
            Some(answer) => error(&id, answer),
            None => complete(&id),
        };
        if let Some(handle) = self.running.remove(&id) {
            handle.abort();
        }
        message
    }
}

fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        _ => 0,
    }
}

/// The token in the payload of `connection_init` or of a ping: `{"authorization": "Bearer …"}` or `{"token": …}`.
fn token_of(payload: &Map<String, Value>) -> Option<&str> {
    let text = |key: &str| payload.get(key).and_then(Value::as_str);
    text("authorization").or_else(|| text("Authorization")).and_then(bearer_value).or_else(|| text("token"))
}

/// How a socket ends that could not be read.
fn broken(failure: axum::Error) -> Close {
    match failure.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Close::TOO_LARGE,
        Some(tungstenite::Error::Utf8(_)) => Close::NO_TEXT,
        Some(tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Close::Gone,
        Some(tungstenite::Error::Protocol(_)) => Close::PROTOCOL,
        _ => Close::Gone,
    }
}
