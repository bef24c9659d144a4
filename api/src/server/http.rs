//! GraphQL over HTTP: `POST` of JSON, one operation or a few, and `GET` of queries. A client that
//! prefers a stream of events is answered with one.
//!
//! Everything that can be refused by its head is refused before the body is read, and the caller
//! is known before it is.

use std::sync::Arc;
use std::time::Instant;

use async_graphql::parser::types::OperationType;
use axum::extract::{Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use domain::access::Actor;
use domain::error::{Code, Error};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::accept::{Accept, Events};
use super::auth::{Transport, bearer};
use super::body::Incoming;
use super::limits::{Limits, Size};
use super::operation::{Parameters, Unreadable};
use super::reply::{Answer, MediaType, Outcome, Refusal};
use super::trace::TraceId;
use super::vigil::Admitted;
use super::{Server, origin, sse, trace, variables};
use crate::error::{refusal, request};

/// Answers one GraphQL request.
pub async fn graphql(server: Server, request: Request) -> Response {
    let started = Instant::now();
    let trace = trace::of(request.extensions());
    let accept = Accept::of(request.headers());
    let media = accept.map_or(MediaType::Json, |accept| accept.media);
    let answered = match accept {
        None => Err(Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            "This answers application/graphql-response+json, application/json or text/event-stream.",
        )),
        Some(accept) => {
            let asked = Asked { server: &server, accept, started, trace: &trace };
            match *request.method() {
                Method::POST => asked.post(request).await,
                Method::GET => asked.get(request).await,
                _ => Err(not_allowed("GET, POST", "Send GraphQL requests by POST, or queries by GET.")),
            }
        }
    };
    answered.unwrap_or_else(|refusal| refusal.reply(media, &trace))
}

/// What is known of a request before it is read.
struct Asked<'a> {
    server: &'a Server,
    accept: Accept,
    started: Instant,
    trace: &'a TraceId,
}

/// A query string, each member the text of what a body holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryString {
    query: Option<String>,
    document_id: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

impl Asked<'_> {
    async fn post(self, request: Request) -> Result<Response, Refusal> {
        let settings = self.server.settings();
        let (head, body) = request.into_parts();
        let body = Incoming::new(&head.headers, body);
        check_content(&head.headers)?;
        let announced = content_length(&head.headers);
        if announced.is_some_and(|length: usize| length > settings.body_bytes) {
            return Err(too_large(settings.body_bytes));
        }
        let actor = actor(self.server, &head).await.map_err(Refusal::domain)?;
        let body = timeout(settings.request_time, collect(body, settings.body_bytes)).await.unwrap_or_else(
            |_| {
                Err(Refusal::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "The body of the request did not arrive in time.",
                ))
            },
        )?;
        if body.trim_ascii_start().starts_with(b"[") {
            return self.batch(&body, actor).await;
        }
        let parameters = Parameters::read(&body, &settings.limits).map_err(unreadable)?;
        drop(body);
        self.run(parameters, actor, |_| Ok(())).await
    }

    async fn get(self, request: Request) -> Result<Response, Refusal> {
        let limits = &self.server.settings().limits;
        let (head, _) = request.into_parts();
        let actor = actor(self.server, &head).await.map_err(Refusal::domain)?;
        let Query(text) = Query::<QueryString>::try_from_uri(&head.uri).map_err(|_| {
            let message = "The query string has each of its members once, and its texts are UTF-8.";
            Refusal::new(StatusCode::BAD_REQUEST, message)
        })?;
        let parameters = Parameters {
            query: text.query,
            document_id: text.document_id,
            operation_name: text.operation_name,
            variables: member("variables", text.variables.as_deref(), limits)?,
            extensions: member("extensions", text.extensions.as_deref(), limits)?,
        };
        let parameters = parameters.complete().map_err(unreadable)?;
        let streams = self.accept.events != Events::Never;
        self.run(parameters, actor, |kind| match kind {
            OperationType::Query => Ok(()),
            // EventSource can do nothing else, and a subscription changes nothing.
            OperationType::Subscription if streams => Ok(()),
            _ => Err(not_allowed(
                "POST",
                "Only queries may be sent by GET, and subscriptions for a stream of events.",
            )),
        })
        .await
    }

    /// Runs one operation of a kind that is allowed.
    async fn run(
        self,
        parameters: Parameters,
        actor: Actor,
        allow: impl FnOnce(OperationType) -> Result<(), Refusal>,
    ) -> Result<Response, Refusal> {
        let prepared = self.server.prepare(parameters);
        if let Ok(operation) = &prepared {
            allow(operation.kind)?;
        }
        let is_stream = match (self.accept.events, &prepared) {
            (Events::Always, _) => true,
            (Events::Subscriptions, Ok(operation)) => operation.kind == OperationType::Subscription,
            _ => false,
        };
        match prepared {
            Ok(operation) if is_stream => {
                let admitted = self.admit(actor.clone())?;
                let answers = self.server.answers(operation, actor, self.started, self.trace.clone());
                Ok(sse::open(self.server.clone(), answers, admitted, self.trace.clone()))
            }
            Ok(operation) if operation.kind == OperationType::Subscription => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "Subscriptions run over a WebSocket (graphql-transport-ws) at this address, or as text/event-stream.",
            )),
            Ok(operation) => {
                let answer = self.server.run(operation, actor, self.started, self.trace).await;
                Ok(answer.reply(self.accept.media))
            }
            Err(error) => {
                let answer = Answer::failed(error, Outcome::Refused, self.trace);
                if !is_stream {
                    return Ok(answer.reply(self.accept.media));
                }
                let admitted = self.admit(actor)?;
                let answers = stream::iter([answer]).boxed();
                Ok(sse::open(self.server.clone(), answers, admitted, self.trace.clone()))
            }
        }
    }

    /// Admits one who stays for a stream of events.
    fn admit(&self, actor: Actor) -> Result<Admitted, Refusal> {
        let most = self.server.settings().sockets.per_actor;
        self.server.vigil().admit(Arc::new(actor), most).ok_or_else(|| {
            let message = format!("You have {most} sockets and streams open already, the most you may.");
            let error =
                Error::new(Code::LimitExceeded, message).with("limit", "socketsPerActor").with("max", most);
            Refusal::domain(error).status(StatusCode::TOO_MANY_REQUESTS)
        })
    }

    /// Runs several operations, one after the other. Together they are within the limits of one.
    async fn batch(self, body: &[u8], actor: Actor) -> Result<Response, Refusal> {
        let settings = self.server.settings();
        if settings.batch == 0 {
            let message = "Send one operation per request: batches are switched off on this server.";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
        }
        let all = Parameters::read_all(body, &settings.limits, settings.batch).map_err(unreadable)?;
        // The first was counted with the request.
        self.server.count(&actor, all.len() - 1).map_err(Refusal::domain)?;
        let prepared: Vec<_> = all.into_iter().map(|parameters| self.server.prepare(parameters)).collect();
        let mut whole = Size::default();
        prepared.iter().flatten().for_each(|operation| whole.add(operation.size));
        whole.check(&settings.limits).map_err(|over| Refusal::of(StatusCode::BAD_REQUEST, over.into()))?;
        let mut answers = Vec::with_capacity(prepared.len());
        for operation in prepared {
            let refused = |error| Answer::failed(error, Outcome::Refused, self.trace);
            answers.push(match operation {
                Ok(operation) if operation.kind == OperationType::Subscription => {
                    refused(refusal(request::BAD_REQUEST, "A subscription cannot be in a batch."))
                }
                Ok(operation) => self.server.run(operation, actor.clone(), self.started, self.trace).await,
                Err(error) => refused(error),
            });
        }
        Ok(Answer::reply_all(&answers, self.accept.media))
    }
}

fn unreadable(unreadable: Unreadable) -> Refusal {
    match unreadable {
        Unreadable::Limit(error) => Refusal::domain(error),
        Unreadable::Malformed(message) => Refusal::new(StatusCode::BAD_REQUEST, message),
    }
}

/// An object in a query string; an empty text is none.
fn member<T: DeserializeOwned>(name: &str, json: Option<&str>, limits: &Limits) -> Result<T, Refusal> {
    let json = json.filter(|json| !json.is_empty()).unwrap_or("null");
    variables::check(json.as_bytes(), limits.variables_depth, limits.variables_values)
        .map_err(Refusal::domain)?;
    serde_json::from_str(json).map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("\"{name}\" is not the JSON of an object."))
    })
}

/// The one who asks, by the token of the request, and not too often.
pub async fn actor(server: &Server, head: &Parts) -> Result<Actor, Error> {
    let token = bearer(&head.headers)?;
    let actor = server.authenticate(token, origin(&head.extensions, Transport::Http)).await?;
    server.count(&actor, 1)?;
    Ok(actor)
}

/// The whole body, if it is no more than `max` bytes.
async fn collect(mut body: Incoming, max: usize) -> Result<Bytes, Refusal> {
    let mut whole = BytesMut::new();
    while let Some(part) = body.next().await {
        let part =
            part.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "The body of the request broke off."))?;
        if whole.len() + part.len() > max {
            return Err(too_large(max));
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

fn not_allowed(methods: &'static str, message: &str) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).with(header::ALLOW, methods)
}

fn too_large(max: usize) -> Refusal {
    let error = Error::new(Code::LimitExceeded, format!("The body of the request is over {max} bytes."))
        .with("limit", "bodyBytes")
        .with("max", max);
    Refusal::domain(error).status(StatusCode::PAYLOAD_TOO_LARGE)
}

pub fn content_length<T: std::str::FromStr>(headers: &HeaderMap) -> Option<T> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// JSON alone, and as it is: what a form or a page of another site can send without asking is not
/// executed, and nothing is unpacked that could be larger than it looks.
fn check_content(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send the request uncompressed.");
        return Err(refusal.with(header::ACCEPT_ENCODING, "identity"));
    }
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = value.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts.filter_map(|part| part.split_once('=')).all(|(name, value)| {
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if is_json && is_utf8 {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send the request as application/json in UTF-8."))
}
