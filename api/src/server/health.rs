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

use crate::measures::{self, BUCKETS};

/// How long the check of readiness may take.
const READY_TIME: Duration = Duration::from_secs(2);
/// How often histograms are folded when nobody asks for the metrics.
const UPKEEP: Duration = Duration::from_secs(5);

/// Says whether the server can do its work: whether its database answers.
pub trait Ready: Send + Sync + 'static {
    fn check(&self) -> BoxFuture<'_, Result<()>>;

    /// Brings gauges up to date that are looked at rather than counted; called before each reading.
    fn measure(&self) {}
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
    let builder = BUCKETS.iter().try_fold(PrometheusBuilder::new(), |builder, (suffix, bounds)| {
        builder.set_buckets_for_metric(Matcher::Suffix((*suffix).to_owned()), bounds)
    });
    let installed = builder.and_then(PrometheusBuilder::install_recorder).map_err(Error::internal)?;
    measures::describe();
    Ok(handle.insert(installed).clone())
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
