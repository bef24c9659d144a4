//! Every metric that the server shows, declared once: `/metrics` describes them from here, and
//! `docs/observability.md` is drawn from here.

use std::fmt::Write;

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric.
#[derive(Debug)]
pub struct Measure {
    pub name: &'static str,
    pub kind: Kind,
    /// Each has few values: names of operations are counted one by one up to a bound, then as `other`.
    pub labels: &'static [&'static str],
    pub meaning: &'static str,
}

/// Bounds of the histograms, by how their names end.
pub const BUCKETS: &[(&str, &[f64])] = &[
    ("_seconds", &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0]),
    ("_cost", &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]),
    ("_statements", &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]),
];

macro_rules! measures {
    ($($kind:ident $name:literal $labels:tt $meaning:literal)+) => {
        /// In the order of the page.
        pub const MEASURES: &[Measure] =
            &[$(Measure { name: $name, kind: Kind::$kind, labels: &$labels, meaning: $meaning }),+];
    };
}

measures! {
    Counter "http_requests_total" ["route", "status"]
        "HTTP requests that were answered"
    Histogram "http_request_seconds" ["route"]
        "Time to the head of the answer to an HTTP request"
    Counter "graphql_operations_total" ["operation", "kind", "outcome"]
        "GraphQL operations that ended; of a subscription, its first answer"
    Histogram "graphql_operation_seconds" ["operation", "kind", "outcome"]
        "Time of a GraphQL operation, from its request on; of a subscription, to its first answer"
    Histogram "graphql_operation_cost" ["operation", "kind"]
        "Cost of a GraphQL operation as the limit of complexity counts it: values that its answer could hold"
    Histogram "graphql_operation_statements" ["operation", "kind"]
        "SQL statements that a query or a mutation sent"
    Counter "graphql_refused_total" ["code"]
        "GraphQL requests that were refused before they ran"
    Gauge "graphql_streams" []
        "Subscriptions that are open"
    Gauge "event_streams" []
        "Event streams that are open"
    Gauge "connections" []
        "TCP connections that are open"
    Gauge "websockets" []
        "WebSockets that are open"
    Counter "websocket_closed_total" ["code"]
        "WebSockets that ended, by close code"
    Histogram "countersign_stream_lag_seconds" []
        "Time from the commit of an event to a stream of findings reading it; who comes back with an old cursor counts with all that was missed"
    Counter "countersign_db_statements_total" []
        "SQL statements that were sent"
    Histogram "countersign_db_begin_seconds" []
        "Time to begin a transaction, the wait for its connection included"
    Counter "countersign_db_waits_total" ["pool"]
        "Statements and transactions that found every connection of their pool in use"
    Gauge "countersign_db_connections" ["pool", "state"]
        "Connections of a pool: `used`, `idle`, and the `most` that may be open"
    Gauge "countersign_jobs" ["state"]
        "Jobs of the whole database that are not at their end: `WAITING` for a file, `PENDING`, `RUNNING`"
    Gauge "countersign_jobs_oldest_seconds" ["state"]
        "Time since the oldest of those jobs was asked for; 0 where there is none"
    Counter "countersign_sign_ins_total" ["outcome"]
        "Sign-ins, by what came of them"
    Gauge "countersign_intel_feed_age_seconds" ["feed"]
        "Age of a feed of all companies"
    Counter "countersign_intel_fetch_failures_total" ["feed"]
        "Fetches of feeds that failed"
}

/// Tells the recorder of metrics what each is.
pub fn describe() {
    for Measure { name, kind, meaning, .. } in MEASURES {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *meaning),
            Kind::Gauge => metrics::describe_gauge!(*name, *meaning),
            Kind::Histogram => metrics::describe_histogram!(*name, *meaning),
        }
    }
}

/// The table of `docs/observability.md`.
pub fn table() -> String {
    let mut table = "| metric | kind | labels | what |\n| --- | --- | --- | --- |\n".to_owned();
    for Measure { name, kind, labels, meaning } in MEASURES {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(table, "| `{name}` | {kind} | {} | {meaning} |", labels.join(", "))
            .expect("text can be written to");
    }
    table
}
