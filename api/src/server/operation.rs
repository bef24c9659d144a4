//! One GraphQL operation, the same over every transport: refused cheaply, or run and counted.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType,
};
use async_graphql::{Extensions, Request, ServerError, Variables};
use domain::access::Actor;
use domain::error::{Code, Error};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::documents::{Asked, Documents, Known};
use super::fanout::Shared;
use super::limits::{Limits, Size, measure};
use super::reply::{Answer, Outcome};
use super::trace::TraceId;
use super::trusted::persisted;
use super::watch::{About, Watch};
use super::{guard, variables};
use crate::error;

/// What a client sends, in a body, a socket message or a query string.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameters {
    #[serde(default)]
    pub query: Option<String>,
    /// The id of a document that the server knows, in the place of its text.
    #[serde(default)]
    pub document_id: Option<String>,
    #[serde(default)]
    pub operation_name: Option<String>,
    #[serde(default)]
    pub variables: Variables,
    #[serde(default)]
    pub extensions: Option<Extensions>,
}

/// Why JSON is not the parameters of an operation.
#[derive(Debug)]
pub enum Unreadable {
    /// Over a limit.
    Limit(Error),
    /// Not JSON, or not of the shape; the text says which, and holds nothing of the values.
    Malformed(String),
}

impl Parameters {
    /// Reads JSON, its nesting and size checked first.
    pub fn read(json: &[u8], limits: &Limits) -> Result<Self, Unreadable> {
        // One level is the request itself.
        variables::check(json, limits.variables_depth + 1, limits.variables_values)
            .map_err(Unreadable::Limit)?;
        Self::parse::<Self>(json)?.complete()
    }

    /// Reads several in a list, no more than `most`; the whole list is within the limits of one.
    pub fn read_all(json: &[u8], limits: &Limits, most: usize) -> Result<Vec<Self>, Unreadable> {
        variables::check(json, limits.variables_depth + 2, limits.variables_values)
            .map_err(Unreadable::Limit)?;
        let all: Vec<&RawValue> = Self::parse(json)?;
        if all.len() > most {
            let error = Error::new(Code::LimitExceeded, format!("A batch has at most {most} operations."))
                .with("limit", "batch")
                .with("max", most)
                .with("actual", all.len());
            return Err(Unreadable::Limit(error));
        }
        if all.is_empty() {
            return Err(Unreadable::Malformed("The batch is empty.".to_owned()));
        }
        all.into_iter().map(|one| Self::parse::<Self>(one.get().as_bytes())?.complete()).collect()
    }

    /// Refuses what says nothing of an operation.
    pub fn complete(self) -> Result<Self, Unreadable> {
        match self.query.is_some() || self.document_id.is_some() || persisted(&self).is_some() {
            true => Ok(self),
            false => Err(Unreadable::Malformed(
                "The request needs a \"query\" text, or the id of a document.".to_owned(),
            )),
        }
    }

    fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Unreadable> {
        serde_json::from_slice(json).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Unreadable::Malformed(match error.classify() {
                serde_json::error::Category::Data => {
                    format!("The members of the request need their types: \"query\" is a text ({place}).")
                }
                _ => format!("The request is not well-formed JSON ({place})."),
            })
        })
    }
}

/// An operation that has passed the limits and is parsed.
pub struct Operation {
    pub kind: OperationType,
    pub name: Option<String>,
    /// What its document may cost.
    pub size: Size,
    pub about: About,
    request: Request,
}

impl Operation {
    /// Checks the query's text, parses it, and measures the document, in this order.
    pub fn prepare(
        parameters: Parameters,
        limits: &Limits,
        introspection: bool,
        documents: &Documents,
    ) -> Result<Self, ServerError> {
        let query = parameters.query.unwrap_or_default();
        let known = match documents.find(&query) {
            Some(known) => known,
            None => Arc::new(parse(&query, limits)?),
        };
        let document = &known.document;
        let size = measure(document, &parameters.variables, limits)?;
        if size.introspects && !introspection {
            let off = Error::new(Code::Forbidden, "Introspection is switched off on this server.");
            return Err(error::server_error(off));
        }
        let name = parameters.operation_name.filter(|name| !name.is_empty());
        let (operation, name) = choose(document, name.as_deref())?;
        check_variables(operation, &parameters.variables)?;
        let about = About::new(name, operation, size.complexity, &parameters.variables);
        let (kind, name) = (operation.ty, name.map(str::to_owned));
        let asked = Asked::new(documents, &known, operation, &parameters.variables);
        let mut request = Request::new(query).data(asked);
        request.set_parsed_query(document.clone());
        request.operation_name.clone_from(&name);
        request.variables = parameters.variables;
        request.extensions = parameters.extensions.unwrap_or_default();
        Ok(Self { kind, name, size, about, request })
    }

    /// Runs a query or a mutation to its end, or to the end of its time.
    pub async fn run(self, schema: &Shared, actor: Actor, time: Duration, trace: &TraceId) -> Answer {
        let watch = Watch::begin(self.about, trace);
        let running = AssertUnwindSafe(schema.execute(self.request.data(actor))).catch_unwind();
        let answer = match watch.over(tokio::time::timeout(time, running)).await {
            Ok(Ok(response)) => Answer::of(response, trace),
            Ok(Err(_)) => panicked(trace),
            Err(_) => timed_out(time, trace),
        };
        watch.end(answer.outcome);
        answer
    }

    /// The answers of a subscription. A panic is its last.
    pub fn stream(self, schema: &Shared, actor: Actor, trace: TraceId) -> BoxStream<'static, Answer> {
        let watch = Watch::begin(self.about, &trace);
        let answers = schema.execute_stream(self.request.data(actor));
        let answers = AssertUnwindSafe(answers).catch_unwind().map(move |answer| match answer {
            Ok(response) => Answer::of(response, &trace),
            Err(_) => panicked(&trace),
        });
        watch.over_stream(answers.boxed()).boxed()
    }
}

/// Parses a text that the guard lets through.
fn parse(text: &str, limits: &Limits) -> Result<Known, ServerError> {
    guard::scan(text, limits.tokens, limits.brackets).map_err(guard_error)?;
    let document = parse_query(text).map_err(|error| {
        let parse = ServerError::from(error);
        let locations = parse.locations;
        ServerError { locations, ..error::refusal(error::request::PARSE_FAILED, parse.message) }
    })?;
    Ok(Known::new(text, document))
}

fn panicked(trace: &TraceId) -> Answer {
    Answer::failed(error::server_error(Error::internal("a resolver panicked")), Outcome::Fault, trace)
}

pub fn timed_out(time: Duration, trace: &TraceId) -> Answer {
    let error = Error::new(Code::LimitExceeded, format!("The request took longer than {time:?}."))
        .with("limit", "requestTime")
        .with("max", time.as_secs_f64());
    Answer::failed(error::server_error(error), Outcome::TimedOut, trace)
}

fn guard_error(refused: guard::Refused) -> ServerError {
    let (limit, max) = match refused {
        guard::Refused::Unterminated { .. } => {
            return error::refusal(error::request::PARSE_FAILED, refused.to_string());
        }
        guard::Refused::TooDeep { max } => ("brackets", max),
        guard::Refused::TooManyTokens { max } => ("tokens", max),
    };
    let error = Error::new(Code::LimitExceeded, refused.to_string()).with("limit", limit).with("max", max);
    error::server_error(error)
}

/// The operation that a request means, and its name.
pub fn choose<'a>(
    document: &'a ExecutableDocument,
    name: Option<&'a str>,
) -> Result<(&'a OperationDefinition, Option<&'a str>), ServerError> {
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok((&operation.node, None)),
        (DocumentOperations::Multiple(operations), Some(name)) if operations.contains_key(name) => {
            Ok((&operations[name].node, Some(name)))
        }
        (_, Some(name)) => Err(invalid(format!("There is no operation named \"{name}\"."))),
        (DocumentOperations::Multiple(operations), None) => match operations.iter().next() {
            Some((name, operation)) if operations.len() == 1 => Ok((&operation.node, Some(name.as_str()))),
            _ => {
                Err(invalid("The document has several operations: name one in \"operationName\".".to_owned()))
            }
        },
    }
}

/// Refuses an operation that lacks a variable it requires. The library would find out field by field,
/// when the others have already run.
fn check_variables(operation: &OperationDefinition, variables: &Variables) -> Result<(), ServerError> {
    let lacks = operation.variable_definitions.iter().map(|definition| &definition.node).find(|definition| {
        let value = variables.get(definition.name.node.as_str());
        let is_absent = value.is_none() && definition.default_value.is_none();
        let is_null = value == Some(&async_graphql::Value::Null);
        !definition.var_type.node.nullable && (is_absent || is_null)
    });
    match lacks {
        None => Ok(()),
        Some(definition) => {
            let (name, kind) = (&definition.name.node, &definition.var_type.node);
            Err(invalid(format!("The variable \"${name}\" of the type {kind} needs a value.")))
        }
    }
}

fn invalid(message: String) -> ServerError {
    error::refusal(error::request::VALIDATION_FAILED, message)
}

/// Counts operations by name. Clients choose the names, so only the first few hundred get their own
/// series.
#[derive(Default)]
pub struct Counter(Mutex<HashSet<String>>);

impl Counter {
    const NAMES: usize = 300;
    const NAME_BYTES: usize = 64;

    /// The name to count an operation under.
    pub fn label(&self, name: Option<&str>) -> String {
        let Some(name) = name else { return "anonymous".to_owned() };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(name) {
            if known.len() >= Self::NAMES || name.len() > Self::NAME_BYTES {
                return "other".to_owned();
            }
            known.insert(name.to_owned());
        }
        name.to_owned()
    }

    /// One operation that ended, or a subscription that began.
    pub fn count(&self, operation: String, kind: OperationType, outcome: Outcome, started: Instant) {
        let labels =
            [("operation", operation), ("kind", kind.to_string()), ("outcome", outcome.word().to_owned())];
        metrics::counter!("graphql_operations_total", &labels).increment(1);
        metrics::histogram!("graphql_operation_seconds", &labels).record(started.elapsed().as_secs_f64());
    }
}

/// Holds a gauge up for as long as it lives.
pub struct Held(metrics::Gauge);

impl Held {
    pub fn up(gauge: metrics::Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// A stream that is counted among the open ones until it is dropped.
pub fn counted<S: Stream + Send + 'static>(stream: S) -> impl Stream<Item = S::Item> + Send + 'static {
    let held = Held::up(metrics::gauge!("graphql_streams"));
    stream.inspect(move |_| {
        let _ = &held;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let counter = Counter::default();
        assert_eq!(counter.label(None), "anonymous");
        assert_eq!(counter.label(Some(&"a".repeat(65))), "other");
        for i in 0..Counter::NAMES {
            assert_eq!(counter.label(Some(&format!("q{i}"))), format!("q{i}"));
        }
        assert_eq!(counter.label(Some("one more")), "other");
        assert_eq!(counter.label(Some("q7")), "q7");
    }

    #[test]
    fn chooses_the_operation_that_is_meant_and_has_its_variables() {
        let cases = [
            ("{ a }", None, Ok(OperationType::Query)),
            ("mutation { a }", Some(""), Ok(OperationType::Mutation)),
            ("query A { a } subscription B { b }", Some("B"), Ok(OperationType::Subscription)),
            ("query A { a }", None, Ok(OperationType::Query)),
            ("query A { a } query B { b }", None, Err("several")),
            ("query A { a }", Some("C"), Err("no operation")),
            ("{ a }", Some("C"), Err("no operation")),
            ("query($v: Int!) { a }", None, Err("$v")),
            ("query($v: Int!) { a } ", Some(""), Err("Int!")),
            ("query($v: Int! = 1, $w: Int) { a }", None, Ok(OperationType::Query)),
            ("query($null: Int!) { a }", None, Err("$null")),
            ("query($null: Int! = 1) { a }", None, Err("$null")),
            ("query($null: Int) { a }", None, Ok(OperationType::Query)),
            ("fragment f on Q { a }", None, Err("")),
            ("", None, Err("")),
        ];
        for (query, name, expected) in cases {
            let parameters = Parameters {
                query: Some(query.to_owned()),
                document_id: None,
                operation_name: name.map(str::to_owned),
                variables: Variables::from_json(serde_json::json!({ "null": null })),
                extensions: None,
            };
            let operation = Operation::prepare(parameters, &Limits::default(), true, &Documents::default());
            match (operation, expected) {
                (Ok(operation), Ok(kind)) => assert_eq!(operation.kind, kind, "{query}"),
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{query}: {error:?}"),
                (result, _) => panic!("{query}: {:?}", result.map(|operation| operation.kind)),
            }
        }
    }
}
