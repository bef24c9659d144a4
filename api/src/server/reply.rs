//! What goes back: the body of a GraphQL response, its media type and its status.

use std::collections::BTreeMap;

use async_graphql::{ServerError, Value};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::error::{Class, Code, Error};
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
    fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::GraphqlResponse => "application/graphql-response+json",
        }
    }

    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        })
    }

    /// The one that the `Accept` headers like best; JSON where they say nothing or like both the same
    /// without naming the other. `None` if neither will do.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let ranges: Vec<Range> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(Range::parse)
            .collect();
        if ranges.is_empty() {
            return Some(Self::Json);
        }
        let liking = |media: Self| {
            let best =
                ranges.iter().filter(|range| range.fits(media.name())).max_by_key(|range| range.exactness());
            best.map_or((0, 0), |range| (range.quality, range.exactness()))
        };
        let (json, graphql) = (liking(Self::Json), liking(Self::GraphqlResponse));
        // Named alike, the status-bearing type is the better answer.
        let best = if graphql > json || (graphql == json && graphql.1 == 2) {
            Self::GraphqlResponse
        } else {
            Self::Json
        };
        (liking(best).0 > 0).then_some(best)
    }
}

/// One range of an `Accept` header.
struct Range<'a> {
    name: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| name.contains('/'))?;
        let quality =
            parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what a quality may be"
        )]
        let quality = (quality.clamp(0.0, 1.0) * 1_000.0) as u16;
        Some(Self { name, quality })
    }

    fn fits(&self, media: &str) -> bool {
        self.name == "*/*" || self.name == "application/*" || self.name.eq_ignore_ascii_case(media)
    }

    fn exactness(&self) -> u8 {
        match self.name {
            "*/*" => 0,
            "application/*" => 1,
            _ => 2,
        }
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
            Self::Fault => "fault",
            Self::TimedOut => "timed_out",
        }
    }

    fn status(self, media: MediaType) -> StatusCode {
        match (self, media) {
            (Self::Ok | Self::FieldErrors, _) | (Self::Refused, MediaType::Json) => StatusCode::OK,
            (Self::Refused, MediaType::GraphqlResponse) => StatusCode::BAD_REQUEST,
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

/// The members of a response as the specification has them: no `data` where nothing ran.
fn body(errors: &[ServerError], data: Option<&Value>, extensions: &BTreeMap<String, Value>) -> Vec<u8> {
    let data_bytes = match data {
        Some(Value::Binary(bytes)) => bytes.len(),
        _ => 0,
    };
    let mut json = Vec::with_capacity(data_bytes + 256);
    json.push(b'{');
    let mut member = |name: &[u8], write: &dyn Fn(&mut Vec<u8>)| {
        if json.len() > 1 {
            json.push(b',');
        }
        json.push(b'"');
        json.extend_from_slice(name);
        json.extend_from_slice(b"\":");
        write(&mut json);
    };
    if !errors.is_empty() {
        member(b"errors", &|json| json.append(&mut encode(&errors)));
    }
    if let Some(data) = data {
        member(b"data", &|json| write_value(json, data));
    }
    if !extensions.is_empty() {
        member(b"extensions", &|json| json.append(&mut encode(extensions)));
    }
    json.push(b'}');
    json
}

/// Writes a value of a response. What is binary is JSON already: it is copied as it is.
pub fn write_value(json: &mut Vec<u8>, value: &Value) {
    let separated =
        |json: &mut Vec<u8>, open, close, parts: &mut dyn Iterator<Item = (Option<&str>, &Value)>| {
            json.push(open);
            for (i, (name, part)) in parts.enumerate() {
                if i > 0 {
                    json.push(b',');
                }
                if let Some(name) = name {
                    json.append(&mut encode(name));
                    json.push(b':');
                }
                write_value(json, part);
            }
            json.push(close);
        };
    match value {
        Value::Binary(bytes) => json.extend_from_slice(bytes),
        Value::List(items) => separated(json, b'[', b']', &mut items.iter().map(|item| (None, item))),
        Value::Object(members) => {
            let members = &mut members.iter().map(|(name, member)| (Some(name.as_str()), member));
            separated(json, b'{', b'}', members);
        }
        leaf => json.append(&mut encode(leaf)),
    }
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
        let ran = matches!(self.outcome, Outcome::Ok | Outcome::FieldErrors);
        body(&self.response.errors, ran.then_some(&self.response.data), &self.response.extensions)
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
        Self {
            status,
            error: Box::new(error::refusal(error::request::BAD_REQUEST, message)),
            headers: HeaderMap::new(),
        }
    }

    /// A refusal by the domain. One for want of a token says how to bring it.
    pub fn domain(error: Error) -> Self {
        let mut headers = HeaderMap::new();
        if error.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, challenge(&error));
        }
        let status = match error.class() {
            Class::Limit => StatusCode::BAD_REQUEST,
            _ => error::status(error.code),
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
        let body = body(std::slice::from_ref(&*self.error), None, &BTreeMap::new());
        let mut reply = json(self.status, media, body);
        reply.headers_mut().extend(self.headers);
        reply
    }
}

/// What is made of strings, numbers and maps with text keys always has a JSON.
pub fn encode(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    serde_json::to_vec(value).expect("a response is made of JSON values")
}

fn json(status: StatusCode, media: MediaType, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media.header()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
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

    #[test]
    fn takes_the_type_that_is_liked_best() {
        use MediaType::{GraphqlResponse, Json};
        let cases = [
            (None, Some(Json)),
            (Some("*/*"), Some(Json)),
            (Some("application/*"), Some(Json)),
            (Some("application/json"), Some(Json)),
            (Some("application/graphql-response+json"), Some(GraphqlResponse)),
            (Some("application/json, application/graphql-response+json"), Some(GraphqlResponse)),
            (Some("application/graphql-response+json, application/json;q=0.9"), Some(GraphqlResponse)),
            (Some("application/graphql-response+json;q=0.1, application/json"), Some(Json)),
            (Some("application/graphql-response+json; charset=utf-8, */*;q=0.1"), Some(GraphqlResponse)),
            (Some("text/html, */*;q=0.1"), Some(Json)),
            (Some("application/json;q=0, */*"), Some(GraphqlResponse)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(MediaType::accepted(&headers), expected, "{accept:?}");
        }
    }
}
