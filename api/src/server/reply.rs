//! What goes back: the body of a GraphQL response, its media type and its status.

use async_graphql::{ServerError, Value};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::error::{Code, Error};
use serde::Serialize;

use super::auth::challenge;
use super::trace::TraceId;
use crate::error;

/// The two ways to send a GraphQL response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`: a well-formed request is answered 200, whatever comes of it.
    Json,
    /// `application/graphql-response+json`: the status says whether the operation ran.
    GraphqlResponse,
}

impl MediaType {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        })
    }
}

/// How many of a document's faults are told.
const MOST_ERRORS: usize = 50;

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran, and every field has its value.
    Ok,
    /// It ran, and some field failed.
    FieldErrors,
    /// It did not run: the request is at fault.
    Refused,
    /// It did not run: too much is asked for at this time.
    Limited,
    /// It did not run to its end: a panic.
    Fault,
    /// It did not run to its end: too slow.
    TimedOut,
}

impl Outcome {
    /// The label of metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::FieldErrors => "field_errors",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Fault => "fault",
            Self::TimedOut => "timed_out",
        }
    }

    fn status(self, media: MediaType) -> StatusCode {
        match (self, media) {
            (Self::Ok | Self::FieldErrors, _) | (Self::Refused, MediaType::Json) => StatusCode::OK,
            (Self::Refused, MediaType::GraphqlResponse) => StatusCode::BAD_REQUEST,
            (Self::Limited, _) => StatusCode::TOO_MANY_REQUESTS,
            (Self::Fault, _) => StatusCode::INTERNAL_SERVER_ERROR,
            (Self::TimedOut, _) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A response, its errors already fit to be sent.
#[derive(Debug)]
pub struct Answer {
    pub response: async_graphql::Response,
    pub outcome: Outcome,
}

/// The body of a request that nothing came of.
#[derive(Serialize)]
struct Body<'a> {
    errors: &'a [ServerError],
}

impl Answer {
    /// Presents the errors of a response that the schema gave.
    pub fn of(mut response: async_graphql::Response, trace: &TraceId) -> Self {
        // Every error of a field has a path; one without, and no data, never ran.
        let refused = response.data == Value::Null
            && !response.errors.is_empty()
            && response.errors.iter().all(|error| error.path.is_empty());
        if refused {
            response.errors.truncate(MOST_ERRORS);
        }
        let otherwise = if refused { error::request::VALIDATION_FAILED } else { Code::Invalid.word() };
        for error in &mut response.errors {
            error::present(error, trace, otherwise);
        }
        let outcome = match (refused, response.errors.is_empty()) {
            (true, _) => Outcome::Refused,
            (false, true) => Outcome::Ok,
            (false, false) => Outcome::FieldErrors,
        };
        Self { response, outcome }
    }

    /// The answer to an operation that did not end as it should.
    pub fn failed(mut error: ServerError, outcome: Outcome, trace: &TraceId) -> Self {
        error::present(&mut error, trace, error::request::BAD_REQUEST);
        Self { response: async_graphql::Response::from_errors(vec![error]), outcome }
    }

    /// The JSON of the response.
    pub fn json(&self) -> Vec<u8> {
        let mut text = Vec::new();
        self.write_json(&mut text);
        text
    }

    /// Writes the JSON of the response behind what is there: errors first, and no `data` where nothing
    /// ran.
    pub fn write_json(&self, text: &mut Vec<u8>) {
        let async_graphql::Response { data, extensions, errors, .. } = &self.response;
        let mut open = b'{';
        let mut member = |text: &mut Vec<u8>, name: &[u8]| {
            text.push(std::mem::replace(&mut open, b','));
            text.extend_from_slice(name);
        };
        if !errors.is_empty() {
            member(text, b"\"errors\":");
            encode_into(text, errors);
        }
        if matches!(self.outcome, Outcome::Ok | Outcome::FieldErrors) {
            member(text, b"\"data\":");
            write_value(text, data);
        }
        if !extensions.is_empty() {
            member(text, b"\"extensions\":");
            encode_into(text, extensions);
        }
        text.push(b'}');
    }

    /// The answer to an operation for which there is no place now.
    pub fn limited(error: Error, trace: &TraceId) -> Self {
        let wait = retry_after(&error);
        let mut answer = Self::failed(error::server_error(error), Outcome::Limited, trace);
        answer.response.http_headers.extend(wait.map(|seconds| (header::RETRY_AFTER, seconds)));
        answer
    }

    /// The HTTP response to several operations in one request: their answers in a list. It is 200
    /// whatever came of each, by either type.
    pub fn reply_all(answers: &[Self], media: MediaType) -> Response {
        let mut text = vec![b'['];
        for (at, answer) in answers.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            answer.write_json(&mut text);
        }
        text.push(b']');
        let mut reply = json(StatusCode::OK, media, text);
        for answer in answers {
            reply.headers_mut().extend(answer.response.http_headers.clone());
        }
        reply
    }

    /// The HTTP response.
    pub fn reply(self, media: MediaType) -> Response {
        let status = self.outcome.status(media);
        let mut reply = json(status, media, self.json());
        reply.headers_mut().extend(self.response.http_headers);
        reply
    }
}

/// A request that is answered before there is an operation.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub error: Box<ServerError>,
    pub headers: HeaderMap,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::of(status, error::refusal(error::request::BAD_REQUEST, message))
    }

    pub fn of(status: StatusCode, error: ServerError) -> Self {
        Self { status, error: Box::new(error), headers: HeaderMap::new() }
    }

    /// A refusal by the domain. One for want of a token says how to bring it.
    pub fn domain(error: Error) -> Self {
        let mut headers = HeaderMap::new();
        if error.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, challenge(&error));
        }
        headers.extend(retry_after(&error).map(|seconds| (header::RETRY_AFTER, seconds)));
        let status = match error.code {
            Code::LimitExceeded => StatusCode::BAD_REQUEST,
            code => error::status(code),
        };
        Self { status, error: Box::new(error::server_error(error)), headers }
    }

    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    #[must_use]
    pub fn with(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    pub fn reply(mut self, media: MediaType, trace: &TraceId) -> Response {
        error::present(&mut self.error, trace, error::request::BAD_REQUEST);
        let body = encode(&Body { errors: std::slice::from_ref(&*self.error) });
        let mut reply = json(self.status, media, body);
        reply.headers_mut().extend(self.headers);
        reply
    }
}

/// The `Retry-After` of a refusal that passes with time.
pub fn retry_after(error: &Error) -> Option<HeaderValue> {
    error.details.get("retryAfter")?.as_u64().map(HeaderValue::from)
}

/// What is made of strings, numbers and maps with text keys always has a JSON.
pub fn encode(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let mut text = Vec::new();
    encode_into(&mut text, value);
    text
}

/// The same, behind what is there.
pub fn encode_into(text: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(text, value).expect("a response is made of JSON values");
}

/// More than what comes behind a value in the JSON of a response.
const AROUND: usize = 256;

/// Writes a value. Bytes are JSON that was encoded before, wherever they are.
pub fn write_value(text: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Binary(json) => {
            // Room for what closes around it too, which else would double all of this.
            text.reserve(json.len() + AROUND);
            text.extend_from_slice(json);
        }
        Value::List(items) => {
            let mut open = b'[';
            for item in items {
                text.push(std::mem::replace(&mut open, b','));
                write_value(text, item);
            }
            text.extend_from_slice(if items.is_empty() { b"[]".as_slice() } else { b"]" });
        }
        Value::Object(members) => {
            let mut open = b'{';
            for (name, member) in members {
                text.push(std::mem::replace(&mut open, b','));
                encode_into(text, name);
                text.push(b':');
                write_value(text, member);
            }
            text.extend_from_slice(if members.is_empty() { b"{}".as_slice() } else { b"}" });
        }
        value => encode_into(text, value),
    }
}

fn json(status: StatusCode, media: MediaType, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media.header()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("accept, authorization")),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_json_and_what_is_json_already_is_copied() {
        let raw = |json: &'static str| Value::Binary(json.into());
        let data = async_graphql::value!({ "b\"": [1, 2.5, null, "ä\n"], "a": {}, "list": [] });
        let Value::Object(mut data) = data else { unreachable!() };
        data.insert(async_graphql::Name::new("word"), Value::Enum(async_graphql::Name::new("WORD")));
        data.insert(
            async_graphql::Name::new("raw"),
            Value::List(vec![raw("{\"z\":1,\"a\":[ ]}"), raw("null")]),
        );
        let answer = Answer {
            response: async_graphql::Response::new(Value::Object(data)).extension("x", Value::from(true)),
            outcome: Outcome::Ok,
        };
        let expected = concat!(
            r#"{"data":{"b\"":[1,2.5,null,"ä\n"],"a":{},"list":[],"word":"WORD","#,
            r#""raw":[{"z":1,"a":[ ]},null]},"extensions":{"x":true}}"#
        );
        assert_eq!(String::from_utf8(answer.json()).unwrap(), expected);
    }
}
