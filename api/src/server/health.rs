//! Whether the server lives, whether it can work, and what it counts.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::error::{Error, Result};
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the check of readiness may take.
const READY_TIME: Duration = Duration::from_secs(2);
/// How often histograms are folded when nobody asks for the metrics.
const UPKEEP: Duration = Duration::from_secs(5);
/// Bounds of the latency histograms, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Says whether the server can do its work: whether its database answers.
pub trait Ready: Send + Sync + 'static {
    fn check(&self) -> BoxFuture<'_, Result<()>>;
}

/// A server without anything to wait for.
pub struct AlwaysReady;

impl Ready for AlwaysReady {
    fn check(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// 200 if `ready` says so in time and the server is not about to stop, else 503.
pub async fn readiness(ready: &dyn Ready, stopping: &CancellationToken) -> Response {
    if stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match timeout(READY_TIME, ready.check()).await {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
        }
        Err(_) => {
            tracing::warn!("not ready: the check took too long");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
        }
    }
}

/// The process's recorder of metrics. It is installed at the first call; later calls share it.
///
/// # Errors
///
/// A fault if something else has installed a recorder.
pub fn recorder() -> Result<PrometheusHandle> {
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let installed = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .map_err(Error::internal)?
        .install_recorder()
        .map_err(Error::internal)?;
    describe();
    Ok(handle.insert(installed).clone())
}

fn describe() {
    metrics::describe_counter!("http_requests_total", "HTTP requests by route and status");
    metrics::describe_histogram!("http_request_seconds", "Time to answer an HTTP request, by route");
    metrics::describe_counter!("graphql_operations_total", "GraphQL operations by name, kind and outcome");
    metrics::describe_histogram!(
        "graphql_operation_seconds",
        "Time of a GraphQL operation, by name and kind"
    );
    metrics::describe_counter!("graphql_refused_total", "GraphQL requests refused before they ran, by code");
    metrics::describe_gauge!("graphql_streams", "Subscriptions that are open");
    metrics::describe_gauge!("websockets", "WebSockets that are open");
    metrics::describe_counter!("websocket_closed_total", "WebSockets that ended, by close code");
    metrics::describe_gauge!("countersign_intel_feed_age_seconds", "Age of a feed of all companies, by feed");
    metrics::describe_counter!(
        "countersign_intel_fetch_failures_total",
        "Fetches of feeds that failed, by feed"
    );
    metrics::describe_gauge!("connections", "TCP connections that are open");
}

/// Folds histograms until `stopping`, so that they stay small when nobody asks for them.
pub async fn upkeep(handle: PrometheusHandle, stopping: CancellationToken) {
    let mut every = tokio::time::interval(UPKEEP);
    while stopping.run_until_cancelled(every.tick()).await.is_some() {
        handle.run_upkeep();
    }
}

/// The metrics in Prometheus's text format.
pub fn metrics(handle: &PrometheusHandle) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, handle.render()).into_response()
}
