//! What one operation costs, watched from its start: its place in the trace, what it asks of the
//! database, and a line in the log if it was slow.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::parser::types::{OperationDefinition, OperationType};
use async_graphql::{Name, Value, Variables};
use domain::store::tally::Tally;
use futures_util::{Stream, StreamExt};
use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span};

use super::reply::Outcome;
use super::trace::TraceId;

/// What is known of an operation before it runs. What it is counted under and from when on it is
/// slow is the server's to say.
#[derive(Debug)]
pub struct About {
    /// Its name, cut; `anonymous` without one.
    pub name: String,
    /// The name to count it under.
    pub label: String,
    pub kind: OperationType,
    pub cost: u64,
    pub shapes: Shapes,
    /// From when on it is slow.
    pub slow: Duration,
}

/// An operation that runs.
pub struct Watch {
    about: About,
    trace: TraceId,
    span: Span,
    tally: Arc<Tally>,
    started: Instant,
}

impl Watch {
    pub fn begin(about: About, trace: &TraceId) -> Self {
        let span = debug_span!(
            "operation",
            otel.name = format_args!("{} {}", about.kind, about.name),
            otel.status_code = Empty,
            graphql.operation.name = about.name,
            graphql.operation.type = %about.kind,
            graphql.operation.cost = about.cost,
            graphql.operation.statements = Empty,
            graphql.operation.outcome = Empty,
            trace = trace.as_str(),
        );
        Self { about, trace: trace.clone(), span, tally: Arc::default(), started: Instant::now() }
    }

    /// Does what the operation does.
    pub fn over<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.tally.over(work.instrument(self.span.clone()))
    }

    /// The same of a subscription, whose life is as long as its stream's: it is no slow operation.
    pub fn over_stream<S: Stream + Send + Unpin + 'static>(
        self,
        stream: S,
    ) -> impl Stream<Item = S::Item> + Send + 'static {
        let span = self.span.clone();
        let mut stream = self.tally.over_stream(stream);
        self.cost();
        futures_util::stream::poll_fn(move |cx| {
            // What is held is let go, and told to the trace, with the stream.
            let _watch = &self;
            span.in_scope(|| stream.poll_next_unpin(cx))
        })
    }

    fn cost(&self) {
        let About { label, kind, cost, .. } = &self.about;
        let labels = [("operation", label.clone()), ("kind", kind.to_string())];
        metrics::histogram!("graphql_operation_cost", &labels).record(*cost as f64);
    }

    /// The operation has ended.
    pub fn end(self, outcome: Outcome) {
        let Self { about: About { name, label, kind, cost, shapes, slow }, trace, span, tally, started } =
            &self;
        let took = started.elapsed();
        let statements = tally.statements();
        self.cost();
        let labels = [("operation", label.clone()), ("kind", kind.to_string())];
        metrics::histogram!("graphql_operation_statements", &labels).record(statements as f64);
        if !span.is_disabled() {
            span.record("graphql.operation.statements", statements);
            span.record("graphql.operation.outcome", outcome.word());
            if matches!(outcome, Outcome::Fault | Outcome::TimedOut) {
                span.record("otel.status_code", "ERROR");
            }
        }
        if took >= *slow {
            tracing::warn!(
                %trace,
                operation = name,
                %kind,
                outcome = outcome.word(),
                cost,
                ?took,
                statements,
                statements_took = ?tally.time(),
                variables = %shapes,
                "a slow operation"
            );
        }
    }
}

/// What the variables of an operation look like: enough to tell one call from another, and nothing
/// of what they say. Only those are named that the document declares.
#[derive(Debug, Default)]
pub struct Shapes(Vec<(Name, Shape)>);

/// A value without what it says. Members of objects are not named: in JSON they may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Absent,
    Null,
    Bool,
    Number,
    Text,
    List(usize),
    Object(usize),
}

/// How many variables are told.
const TOLD: usize = 20;
/// How much of a name is told.
const NAME: usize = 64;

impl About {
    pub fn new(name: Option<&str>, operation: &OperationDefinition, cost: u64, sent: &Variables) -> Self {
        let name = name.unwrap_or("anonymous");
        Self {
            name: cut(name).to_owned(),
            label: String::new(),
            kind: operation.ty,
            cost,
            shapes: Shapes::of(operation, sent),
            slow: Duration::MAX,
        }
    }
}

/// The beginning of a name, which is letters, digits and underscores.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME)]
}

impl Shapes {
    pub fn of(operation: &OperationDefinition, sent: &Variables) -> Self {
        let definitions = operation.variable_definitions.iter().take(TOLD);
        let shape = |name: &Name| match sent.get(name) {
            None => Shape::Absent,
            Some(Value::Null) => Shape::Null,
            Some(Value::Boolean(_)) => Shape::Bool,
            Some(Value::Number(_)) => Shape::Number,
            Some(Value::String(_) | Value::Enum(_) | Value::Binary(_)) => Shape::Text,
            Some(Value::List(items)) => Shape::List(items.len()),
            Some(Value::Object(members)) => Shape::Object(members.len()),
        };
        Self(definitions.map(|one| (one.node.name.node.clone(), shape(&one.node.name.node))).collect())
    }
}

impl fmt::Display for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, shape)) in self.0.iter().enumerate() {
            let between = if at == 0 { "" } else { ", " };
            write!(f, "{between}{}: ", cut(name))?;
            match shape {
                Shape::Absent => f.write_str("absent"),
                Shape::Null => f.write_str("null"),
                Shape::Bool => f.write_str("bool"),
                Shape::Number => f.write_str("number"),
                Shape::Text => f.write_str("text"),
                Shape::List(items) => write!(f, "list of {items}"),
                Shape::Object(members) => write!(f, "object of {members}"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::DocumentOperations;
    use serde_json::json;

    use super::*;

    #[test]
    fn shapes_say_nothing_of_values() {
        let text = "query($a: String, $b: [Int!], $c: JSON, $d: Int, $e: Int, $f: Boolean, $g: Int) { x }";
        let document = parse_query(text).unwrap();
        let DocumentOperations::Single(operation) = &document.operations else { panic!("one operation") };
        let sent = Variables::from_json(json!({
            "a": "secret", "b": [1, 2], "c": { "secret": "secret" }, "d": null, "f": true, "g": 7,
            "secret": "not declared",
        }));
        assert_eq!(
            Shapes::of(&operation.node, &sent).to_string(),
            "a: text, b: list of 2, c: object of 1, d: null, e: absent, f: bool, g: number"
        );
    }
}
