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
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::reply::{MediaType, Refusal};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The caller's place in a trace, by W3C Trace Context.
const PARENT: HeaderName = HeaderName::from_static("traceparent");

/// The name of one request in the logs, the audit and the errors that are faults, and of its trace
/// where there is one: 32 hexadecimal digits, unless the caller names its request otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceId(Arc<str>);

impl TraceId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the trace that the caller is in; or the one that the caller chose, if it is fit to
    /// stand in logs; else that of the trace which begins with `span`, or a new one.
    fn of(parent: &SpanContext, headers: &HeaderMap, clock: &Clock, span: &Span) -> Self {
        if parent.is_valid() {
            return Self::from(parent.trace_id().to_string().as_str());
        }
        let chosen = headers.get(&HEADER).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
        if let Some(chosen) = chosen {
            return Self::from(chosen);
        }
        let begun = span.context().span().span_context().trace_id();
        if begun == opentelemetry::TraceId::INVALID {
            Self::from(clock.id().simple().to_string().as_str())
        } else {
            Self::from(begun.to_string().as_str())
        }
    }
}

/// The caller's place in a trace. Its library checks it: what does not fit the specification is as if
/// it were not there.
fn parent(headers: &HeaderMap) -> Context {
    match headers.contains_key(&PARENT) {
        true => {
            TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
        }
        false => Context::new(),
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
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        trace = Empty,
        method = %request.method(),
        route,
        otel.name = Empty,
        otel.kind = Empty,
        otel.status_code = Empty,
        http.request.method = Empty,
        http.route = Empty,
        http.response.status_code = Empty,
    );
    let parent = parent(request.headers());
    let caller = parent.span().span_context().clone();
    // Without traces there is no place in one, and the log is spared their words.
    let is_traced = span.set_parent(parent).is_ok();
    if is_traced {
        span.record("otel.name", format!("{} {route}", request.method()));
        span.record("otel.kind", "server").record("http.request.method", request.method().as_str());
        span.record("http.route", route.as_str());
    }
    let trace = TraceId::of(&caller, request.headers(), &clock, &span);
    span.record("trace", trace.as_str());
    request.extensions_mut().insert(trace.clone());

    let mut response =
        AssertUnwindSafe(next.run(request).instrument(span.clone())).catch_unwind().await.unwrap_or_else(
            |_| Refusal::domain(Error::internal("a handler panicked")).reply(MediaType::Json, &trace),
        );

    let status = response.status();
    if is_traced {
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
    let status = status.as_u16().to_string();
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

    fn named(name: HeaderName, value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let parent = parent(&headers);
        TraceId::of(parent.span().span_context(), &headers, &Clock::system(), &Span::none()).to_string()
    }

    fn is_new(id: &str) -> bool {
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
    }

    #[test]
    fn a_callers_id_is_taken_only_if_it_is_sane() {
        let long = "a".repeat(65);
        for (given, taken) in [
            ("abc-1_2.X", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("<x>", false),
            (long.as_str(), false),
        ] {
            let id = named(HEADER, given);
            assert_eq!(id == given, taken, "{given}");
            assert!(taken || is_new(&id));
        }
        assert_ne!(named(HEADER, ""), named(HEADER, ""));
    }

    #[test]
    fn a_callers_trace_is_taken_only_if_it_is_one() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (given, taken) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), true),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), true),
            // A later version may say more.
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-more"), true),
            (format!("00-{TRACE}-0000000000000000-01"), false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(), false),
            (format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()), false),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), false),
            (TRACE.to_owned(), false),
            ("<script>".to_owned(), false),
            (String::new(), false),
        ] {
            let id = named(PARENT, &given);
            assert_eq!(id == TRACE, taken, "{given}");
            assert!(is_new(&id), "{given}");
        }
    }
}
