//! Logs, to standard error, as lines of text or of JSON; and traces, where an operator names a
//! collector.
//!
//! Nothing here or in the server logs a token, a variable or a query's text: spans hold the trace
//! id, the method and the route, and those of the database the text of statements without values.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::Arc;

use async_graphql::async_trait::async_trait;
use domain::error::{Error, Result};
use domain::gateway::collector::Collector;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What is logged unless told otherwise.
pub const DEFAULT_FILTER: &str = "info";

/// The traces of the process, until its end.
#[derive(Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Traces that go to `collector`: of those that begin here, this share. Off by default.
    ///
    /// # Errors
    ///
    /// A refusal if `collector` is no address.
    pub fn to(collector: Option<&str>, share: f64) -> Result<Self> {
        let Some(collector) = collector else { return Ok(Self::default()) };
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::invalid("traces_share", "A share is a number from 0 to 1."));
        }
        let collector = Collector::new(collector)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(collector.url())
            .with_http_client(Client { collector: Arc::new(collector), runtime: Handle::current() })
            .build()
            .map_err(Error::internal)?;
        let resource = Resource::builder()
            .with_service_name("countersign")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
            .with_resource(resource)
            .build();
        Ok(Self(Some(provider)))
    }

    /// Sends what is left. The collector may take its time, so this is a thread's work.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be sent");
        }
    }

    /// Whatever is a span here is one of the trace; lines of the log are not.
    fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> Option<impl Layer<S> + use<S>> {
        let is_ours = |meta: &Metadata<'_>| {
            meta.is_span() && ["api::", "domain::"].iter().any(|ours| meta.target().starts_with(ours))
        };
        let filter: FilterFn = FilterFn::new(is_ours);
        let layer = |provider: &SdkTracerProvider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("countersign"))
                .with_context_activation(false)
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_target(false)
                .with_filter(filter.with_max_level_hint(LevelFilter::DEBUG))
        };
        self.0.as_ref().map(layer)
    }
}

/// The way to the collector: spans are sent by a thread of the library, HTTP is spoken by the
/// runtime.
#[derive(Clone, Debug)]
struct Client {
    collector: Arc<Collector>,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let collector = self.collector.clone();
        let sending = self.runtime.spawn(async move { collector.post(head.headers, body).await });
        let (status, body) = sending.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}

/// Begins logging for the whole process, panics included. `filter` is in the form of `RUST_LOG`
/// (`info,domain=debug`).
///
/// # Errors
///
/// A refusal if `filter` does not parse; a fault if the process already logs.
pub fn init(format: LogFormat, filter: &str, traces: &Traces) -> Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| Error::invalid("log", error.to_string()))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces.layer())
        .try_init()
        .map_err(Error::internal)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panic: {payload}");
}
