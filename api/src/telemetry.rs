//! Logs: to standard error, as lines of text or of JSON.
//!
//! Nothing here or in the server logs a token, a variable or a query's text: spans hold the trace
//! id, the method and the route.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use domain::error::{Error, Result};
use tracing_subscriber::EnvFilter;

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

/// Begins logging for the whole process, panics included. `filter` is in the form of `RUST_LOG`
/// (`info,domain=debug`).
///
/// # Errors
///
/// A refusal if `filter` does not parse; a fault if the process already logs.
pub fn init(format: LogFormat, filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| Error::invalid("log", error.to_string()))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(Error::internal)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panic: {payload}");
}
