//! A count of the statements that the database is asked, by the metric that counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Counts statements, whatever the counter is called.
struct Statements;
static STATEMENTS: AtomicU64 = AtomicU64::new(0);

impl CounterFn for Statements {
    fn increment(&self, value: u64) {
        STATEMENTS.fetch_add(value, Ordering::Relaxed);
    }
    fn absolute(&self, _: u64) {}
}

impl Recorder for Statements {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() == "countersign_db_statements_total" {
            Counter::from_arc(Arc::new(Self))
        } else {
            Counter::noop()
        }
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Begins to count.
pub fn count() {
    metrics::set_global_recorder(Statements).expect("nothing else records");
}

/// How many statements there were since the count began.
pub fn statements() -> u64 {
    STATEMENTS.load(Ordering::Relaxed)
}
