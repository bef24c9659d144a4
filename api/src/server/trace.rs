//! What surrounds every request: its trace id, its count, and a net for panics.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::error::Error;
use domain::gateway::clock::Clock;
use futures_util::FutureExt;
use tracing::Instrument;

use super::reply::{MediaType, Refusal};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The name of one request in the logs, the audit and the errors that are faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceId(Arc<str>);

impl TraceId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id that the caller chose, if it is fit to stand in logs; else a new one.
    fn of(headers: &HeaderMap, clock: &Clock) -> Self {
        let chosen = headers.get(&HEADER).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
        chosen.map_or_else(|| Self::from(clock.id().to_string().as_str()), Self::from)
    }
}

impl From<&str> for TraceId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_sane(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The trace id that [`observe`] gave a request.
pub fn of(extensions: &Extensions) -> TraceId {
    extensions.get::<TraceId>().cloned().unwrap_or_else(|| TraceId::from("untraced"))
}

/// Runs one request: names it, counts it, and answers for a handler that panics.
pub async fn observe(State(clock): State<Clock>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let trace = TraceId::of(request.headers(), &clock);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", %trace, method = %request.method(), route);
    request.extensions_mut().insert(trace.clone());

    let mut response =
        AssertUnwindSafe(next.run(request).instrument(span.clone())).catch_unwind().await.unwrap_or_else(
            |_| Refusal::domain(Error::internal("a handler panicked")).reply(MediaType::Json, &trace),
        );

    let status = response.status().as_u16().to_string();
    let took = started.elapsed();
    span.in_scope(|| tracing::debug!(status, ?took, "answered"));
    metrics::counter!("http_requests_total", "route" => route.clone(), "status" => status).increment(1);
    metrics::histogram!("http_request_seconds", "route" => route).record(took.as_secs_f64());

    let id = HeaderValue::from_str(trace.as_str()).expect("a trace id is letters, digits and -_.");
    response.headers_mut().insert(HEADER, id);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_id_is_taken_only_if_it_is_sane() {
        let clock = Clock::system();
        let long = "a".repeat(65);
        for (given, taken) in [
            ("abc-1_2.X", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("<x>", false),
            (long.as_str(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, given.parse().unwrap());
            assert_eq!(TraceId::of(&headers, &clock).as_str() == given, taken, "{given}");
        }
        assert_ne!(TraceId::of(&HeaderMap::new(), &clock), TraceId::of(&HeaderMap::new(), &clock));
    }
}
