//! GraphQL over HTTP: `POST` of JSON, and `GET` of queries.
//!
//! Everything that can be refused by its head is refused before the body is read, and the caller
//! is known before it is.

use std::time::Instant;

use async_graphql::Executor;
use async_graphql::parser::types::OperationType;
use axum::extract::{Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use domain::access::Actor;
use domain::error::{Code, Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::auth::{Transport, bearer};
use super::body::Incoming;
use super::limits::Limits;
use super::operation::{Operation, Parameters, Unreadable};
use super::reply::{Answer, MediaType, Outcome, Refusal};
use super::trace::TraceId;
use super::{Server, origin, trace, variables};

/// Answers one GraphQL request.
pub async fn graphql<E: Executor>(server: Server<E>, request: Request) -> Response {
    let trace = trace::of(request.extensions());
    let media = MediaType::accepted(request.headers());
    let answered = match media {
        None => Err(Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            "This answers application/graphql-response+json or application/json.",
        )),
        Some(_) if request.method() == Method::POST => post(&server, request, &trace).await,
        Some(_) if request.method() == Method::GET => get(&server, request, &trace).await,
        Some(_) => Err(not_allowed("GET, POST", "Send GraphQL requests by POST, or queries by GET.")),
    };
    let media = media.unwrap_or(MediaType::Json);
    match answered {
        Ok(answer) => answer.reply(media),
        Err(refusal) => refusal.reply(media, &trace),
    }
}

type Answered = Result<Answer, Refusal>;

async fn post<E: Executor>(server: &Server<E>, request: Request, trace: &TraceId) -> Answered {
    let started = Instant::now();
    let settings = server.settings();
    let (head, body) = request.into_parts();
    let body = Incoming::new(&head.headers, body);
    check_content_type(&head.headers)?;
    let announced = content_length(&head.headers);
    if announced.is_some_and(|length: usize| length > settings.body_bytes) {
        return Err(too_large(settings.body_bytes));
    }
    let actor = actor(server, &head).await.map_err(Refusal::domain)?;
    let body =
        timeout(settings.request_time, collect(body, settings.body_bytes)).await.unwrap_or_else(|_| {
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "The body of the request did not arrive in time."))
        })?;
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "Send one operation per request: batches are not run.",
        ));
    }
    let parameters = Parameters::read(&body, &settings.limits).map_err(|unreadable| match unreadable {
        Unreadable::Limit(error) => Refusal::domain(error),
        Unreadable::Malformed(message) => Refusal::new(StatusCode::BAD_REQUEST, message),
    })?;
    drop(body);
    run(server, parameters, actor, started, trace, |_| Ok(())).await
}

/// A query string, each member the text of what a body holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryString {
    query: String,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

async fn get<E: Executor>(server: &Server<E>, request: Request, trace: &TraceId) -> Answered {
    let started = Instant::now();
    let limits = &server.settings().limits;
    let (head, _) = request.into_parts();
    let actor = actor(server, &head).await.map_err(Refusal::domain)?;
    let Query(text) = Query::<QueryString>::try_from_uri(&head.uri).map_err(|_| {
        let message = "The query string needs one \"query\", and its other members at most once.";
        Refusal::new(StatusCode::BAD_REQUEST, message)
    })?;
    let parameters = Parameters {
        query: text.query,
        operation_name: text.operation_name,
        variables: member("variables", text.variables.as_deref(), limits)?,
        extensions: member("extensions", text.extensions.as_deref(), limits)?,
    };
    run(server, parameters, actor, started, trace, |operation| match operation.kind {
        OperationType::Query => Ok(()),
        _ => Err(not_allowed("POST", "Only queries may be sent by GET.")),
    })
    .await
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

async fn run<E: Executor>(
    server: &Server<E>,
    parameters: Parameters,
    actor: Actor,
    started: Instant,
    trace: &TraceId,
    allow: impl FnOnce(&Operation) -> Result<(), Refusal>,
) -> Answered {
    let operation = match server.prepare(parameters) {
        Ok(operation) => operation,
        Err(error) => return Ok(Answer::failed(error, Outcome::Refused, trace)),
    };
    allow(&operation)?;
    if operation.kind == OperationType::Subscription {
        let refusal = Refusal::new(
            StatusCode::BAD_REQUEST,
            "Subscriptions run over a WebSocket (graphql-transport-ws) at this address.",
        );
        return Err(refusal);
    }
    let left = server.settings().request_time.saturating_sub(started.elapsed());
    let label = server.counter().label(operation.name.as_deref());
    let kind = operation.kind;
    let answer = operation.run(server.schema(), actor, left, trace).await;
    server.counter().count(label, kind, answer.outcome, started);
    Ok(answer)
}

/// The one who asks, by the token of the request.
pub async fn actor<E: Executor>(server: &Server<E>, head: &Parts) -> Result<Actor, Error> {
    let token = bearer(&head.headers)?;
    server.authenticate(token, origin(&head.extensions, Transport::Http)).await
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

/// JSON alone: what a form or a page of another site can send without asking is not executed.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
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
