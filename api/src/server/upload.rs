//! Files in and out, beside GraphQL: reports are uploaded and exports downloaded as they are, as
//! streams, so that no file is ever whole in memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::access::Actor;
use domain::error::{Class, Code, Error, Result};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use serde_json::{Map, Value, json};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;
use uuid::Uuid;

use super::auth::challenge;
use super::body::Incoming;
use super::http::{actor, content_length};
use super::reply::retry_after;
use super::trace::TraceId;
use super::{Server, trace};
use crate::error;

/// What takes uploads and gives downloads.
pub trait Files: Send + Sync + 'static {
    /// Takes the report of the import `id`. What it answers is sent back as JSON with status 202.
    fn receive(&self, actor: Actor, id: Uuid, upload: Upload) -> BoxFuture<'_, Result<Value>>;

    /// Gives the file of the export `id`.
    fn send(&self, actor: Actor, id: Uuid) -> BoxFuture<'_, Result<Download>>;
}

/// A report on its way in.
pub struct Upload {
    /// The length the caller announced, in bytes.
    pub length: Option<u64>,
    pub content_type: Option<String>,
    /// Ends with an error if the caller breaks off, pauses too long or sends more than the limit.
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

impl Upload {
    pub fn into_reader(self) -> impl AsyncRead + Send + Unpin + 'static {
        StreamReader::new(self.body)
    }
}

/// A file on its way out.
pub struct Download {
    pub content_type: String,
    /// The name the caller's browser may keep it under.
    pub file_name: String,
    pub length: Option<u64>,
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

/// `PUT /v1/imports/{id}/upload`
pub async fn receive(server: Server, id: &str, request: Request) -> Response {
    let trace = trace::of(request.extensions());
    match try_receive(&server, id, request).await {
        Ok(value) => (StatusCode::ACCEPTED, axum::Json(value)).into_response(),
        Err(error) => problem(&error, &trace),
    }
}

async fn try_receive(server: &Server, id: &str, request: Request) -> Result<Value> {
    let (head, body) = request.into_parts();
    let body = Incoming::new(&head.headers, body);
    let max = server.settings().upload_bytes;
    let length = content_length::<u64>(&head.headers);
    if length.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    let actor = actor(server, &head).await?;
    let id = Uuid::try_parse(id).map_err(|_| Error::not_found("import"))?;
    let over = Arc::new(AtomicBool::new(false));
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let upload = Upload {
        length,
        content_type: content_type.map(str::to_owned),
        body: bounded(body, max, server.settings().upload_idle, over.clone()).boxed(),
    };
    let received = server.files().receive(actor, id, upload).await;
    // Whatever the receiver makes of a stream that ends with an error: the cause is known here.
    if received.is_err() && over.load(Ordering::Relaxed) { Err(too_large(max)) } else { received }
}

/// The body until it is over `max` bytes or rests for `idle`; `over` tells the first from the second.
fn bounded(
    body: Incoming,
    max: u64,
    idle: Duration,
    over: Arc<AtomicBool>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures_util::stream::unfold(Some((body, max)), move |state| {
        let over = over.clone();
        async move {
            let (mut body, left) = state?;
            let part = match tokio::time::timeout(idle, body.next()).await {
                Ok(Some(Ok(part))) => part,
                Ok(Some(Err(error))) => return Some((Err(io::Error::other(error)), None)),
                Ok(None) => return None,
                Err(_) => {
                    let error = io::Error::new(io::ErrorKind::TimedOut, "the upload paused for too long");
                    return Some((Err(error), None));
                }
            };
            match u64::try_from(part.len()).ok().and_then(|length| left.checked_sub(length)) {
                Some(left) => Some((Ok(part), Some((body, left)))),
                None => {
                    over.store(true, Ordering::Relaxed);
                    let error = io::Error::new(io::ErrorKind::FileTooLarge, "the upload is over its limit");
                    Some((Err(error), None))
                }
            }
        }
    })
}

/// `GET /v1/exports/{id}`
pub async fn send(server: Server, id: &str, request: Request) -> Response {
    let trace = trace::of(request.extensions());
    match try_send(&server, id, request).await {
        Ok(download) => stream(download),
        Err(error) => problem(&error, &trace),
    }
}

async fn try_send(server: &Server, id: &str, request: Request) -> Result<Download> {
    let (head, _) = request.into_parts();
    let actor = actor(server, &head).await?;
    let id = Uuid::try_parse(id).map_err(|_| Error::not_found("export"))?;
    server.files().send(actor, id).await
}

fn stream(download: Download) -> Response {
    let name: String = download
        .file_name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !"\"\\/;%".contains(c) { c } else { '_' })
        .collect();
    let mut response = Response::new(Body::from_stream(download.body));
    let headers = response.headers_mut();
    let values = [
        (header::CONTENT_TYPE, download.content_type),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    for (header, value) in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(header, value);
        }
    }
    if let Some(length) = download.length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

fn too_large(max: u64) -> Error {
    Error::new(Code::LimitExceeded, format!("The upload is over {max} bytes."))
        .with("limit", "uploadBytes")
        .with("max", max)
}

/// The error as a problem of RFC 9457, with the members that GraphQL errors have as extensions.
pub(crate) fn problem(error: &Error, trace: &TraceId) -> Response {
    let status = error::status(error.code);
    let mut problem = Map::new();
    if error.class() == Class::Fault {
        tracing::error!(%trace, %error, "a request failed");
        problem.insert("traceId".to_owned(), json!(trace.as_str()));
    } else {
        problem.extend(error.details.clone());
        if !error.field.is_empty() {
            problem.insert("field".to_owned(), json!(error.field));
        }
    }
    problem.insert("type".to_owned(), json!("about:blank"));
    problem.insert("title".to_owned(), json!(status.canonical_reason()));
    problem.insert("status".to_owned(), json!(status.as_u16()));
    problem.insert("detail".to_owned(), json!(error::public_message(error)));
    problem.insert("code".to_owned(), json!(error.code.word()));
    let mut response = (status, axum::Json(problem)).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if error.code == Code::Unauthenticated {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge(error));
    }
    response.headers_mut().extend(retry_after(error).map(|seconds| (header::RETRY_AFTER, seconds)));
    response
}
