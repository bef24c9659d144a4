//! What a client is told of an error.
//!
//! The domain's table of codes is the table of the API; [`request`] adds the words that
//! GraphQL tools know for requests that never reached the domain. A fault says nothing but its
//! trace id, under which the log has the rest.

use std::sync::Arc;

use async_graphql::{ErrorExtensionValues, ServerError, Value};
use axum::http::StatusCode;
use domain::error::{Class, Code, Error};

use crate::server::trace::TraceId;

/// Codes of requests that are refused before anything of them runs.
pub mod request {
    /// The HTTP request or socket message is not a GraphQL request.
    pub const BAD_REQUEST: &str = "BAD_REQUEST";
    /// The document does not parse.
    pub const PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
    /// The document does not fit the schema.
    pub const VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
    /// The document's id is of none that the server knows.
    pub const DOCUMENT_UNKNOWN: &str = "PERSISTED_QUERY_NOT_FOUND";
    /// The server runs only documents that it knows.
    pub const DOCUMENT_REQUIRED: &str = "PERSISTED_QUERY_REQUIRED";

    /// Every one of them with what it means, for the documentation.
    pub const ALL: &[(&str, &str)] = &[
        (BAD_REQUEST, "The HTTP request or socket message is not a GraphQL request."),
        (PARSE_FAILED, "The document does not parse."),
        (
            VALIDATION_FAILED,
            "The document does not fit the schema, or its variables do not fit the document.",
        ),
        (
            DOCUMENT_UNKNOWN,
            "The id is of no document that this server knows. Apollo's clients then send the text.",
        ),
        (DOCUMENT_REQUIRED, "This server runs only documents that it knows: send the id of one."),
    ];
}

/// The GraphQL error of a domain error, for resolvers that add to it. A plain `?` does as well:
/// the server presents every error on its way out.
pub fn into_graphql(error: Error) -> async_graphql::Error {
    let ServerError { message, source, extensions, .. } = server_error(error);
    async_graphql::Error { message, source, extensions }
}

/// The same for an error of a whole request.
pub fn server_error(error: Error) -> ServerError {
    let mut shown = ServerError::new("", None);
    describe(&mut shown, &error);
    shown.source = Some(Arc::new(error));
    shown
}

/// An error of a request that was refused before the domain saw it.
pub fn refusal(code: &str, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    set(&mut error, "code", code);
    error
}

/// Makes `error` fit to be sent: a domain error becomes its code, message and details; an error of
/// any other type that a resolver let through is a fault; what the library itself refuses gets the
/// code `otherwise`. Faults are logged here, once.
pub fn present(error: &mut ServerError, trace: &TraceId, otherwise: &str) {
    if let Some(source) = error.source.take() {
        match source.downcast::<Error>() {
            Ok(domain) => {
                describe(error, &domain);
                if domain.class() == Class::Fault {
                    log(error, trace, &domain);
                }
            }
            Err(_) => {
                let domain = Error::internal(std::mem::take(&mut error.message));
                describe(error, &domain);
                log(error, trace, &domain);
            }
        }
    } else if code(error).is_none() {
        set(error, "code", otherwise);
    }
}

/// The code that `error` carries.
pub fn code(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => Some(code),
        _ => None,
    }
}

/// The HTTP status of a refusal with this code, where the answer is not a GraphQL response.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::SelfApproval
        | Code::Taken
        | Code::Conflict
        | Code::IllegalState
        | Code::IdempotencyMismatch => StatusCode::CONFLICT,
        Code::ReportMalformed | Code::ReportUnknown => StatusCode::UNPROCESSABLE_ENTITY,
        Code::ReportTooLarge | Code::LimitExceeded => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
        Code::CursorExpired => StatusCode::GONE,
        Code::RateLimited | Code::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Invalid
        | Code::Required
        | Code::CriteriaInvalid
        | Code::CriteriaEmpty
        | Code::CriteriaTautology
        | Code::CriteriaTooLarge
        | Code::CursorInvalid => StatusCode::BAD_REQUEST,
    }
}

/// What a client may read of `error`: never the source of a fault.
pub fn public_message(error: &Error) -> &str {
    if error.class() == Class::Fault { error.code.meaning() } else { &error.message }
}

fn describe(shown: &mut ServerError, error: &Error) {
    shown.message = public_message(error).to_owned();
    if error.class() != Class::Fault {
        for (key, value) in &error.details {
            set(shown, key, Value::from_json(value.clone()).unwrap_or_default());
        }
        if !error.field.is_empty() {
            set(shown, "field", Value::from_iter(error.field.iter().map(String::as_str)));
        }
    }
    set(shown, "code", error.code.word());
}

fn log(shown: &mut ServerError, trace: &TraceId, error: &Error) {
    set(shown, "traceId", trace.as_str());
    let path = shown.path.iter().map(|part| format!("{part:?}")).collect::<Vec<_>>().join("/");
    tracing::error!(%trace, path, %error, "a request failed");
}

fn set(error: &mut ServerError, key: &str, value: impl Into<Value>) {
    error.extensions.get_or_insert_with(ErrorExtensionValues::default).set(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn presented(mut error: ServerError) -> serde_json::Value {
        present(&mut error, &TraceId::from("t-1"), request::VALIDATION_FAILED);
        serde_json::to_value(&error).unwrap()
    }

    /// The error as a resolver's `?` would make it.
    fn questioned<E: std::fmt::Display + Send + Sync + 'static>(error: E) -> ServerError {
        async_graphql::Error::from(error).into_server_error(async_graphql::Pos { line: 1, column: 1 })
    }

    #[test]
    fn a_refusal_is_told_whole() {
        let conflict = || Error::new(Code::Conflict, "Changed.").with("version", 3).at("input");
        let expected = json!({ "code": "CONFLICT", "version": 3, "field": ["input"] });
        for error in [server_error(conflict()), questioned(conflict())] {
            let shown = presented(error);
            assert_eq!(shown["message"], "Changed.");
            assert_eq!(shown["extensions"], expected);
        }
    }

    #[test]
    fn a_fault_is_told_by_its_trace_alone() {
        let secret = "postgres://user:secret@host";
        for error in [
            server_error(Error::internal(secret)),
            questioned(Error::internal(secret).with("url", secret)),
            questioned(std::io::Error::other(secret)),
        ] {
            let shown = presented(error);
            assert!(!shown.to_string().contains("secret"), "{shown}");
            assert_eq!(shown["extensions"], json!({ "code": "INTERNAL", "traceId": "t-1" }));
        }
    }

    #[test]
    fn what_the_library_refuses_gets_a_code_too() {
        let shown = presented(ServerError::new("Unknown field.", None));
        assert_eq!(shown["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
        assert_eq!(presented(refusal("BAD_REQUEST", "No."))["extensions"]["code"], "BAD_REQUEST");
    }

    /// Every code, as `docs/errors.md` lists it.
    fn table() -> String {
        let class = |class: Class| match class {
            Class::Refusal => "refusal",
            Class::Denied => "denied",
            Class::Limit => "limit",
            Class::Fault => "fault",
        };
        let mut text = "# Codes\n\n\
            Every error has its code in `extensions.code`; a mutation tells refusals as `userErrors` of its payload,\n\
            by the same codes. Codes are stable over releases. The status is that of an answer that is not a GraphQL\n\
            response: of an upload, a download, or a request that is refused before its operation is known. A fault\n\
            tells nothing but its `traceId`, under which the log has the rest.\n\n\
            | code | class | status | meaning |\n| --- | --- | --- | --- |\n"
            .to_owned();
        for (word, meaning) in request::ALL {
            text += &format!("| `{word}` | request | 400 | {meaning} |\n");
        }
        for code in Code::ALL {
            let (word, class, status) = (code.word(), class(code.class()), status(*code).as_u16());
            text += &format!("| `{word}` | {class} | {status} | {} |\n", code.meaning());
        }
        text
    }

    #[test]
    fn the_document_lists_every_code() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
        if std::env::var_os("COUNTERSIGN_WRITE_DOCS").is_some() {
            std::fs::write(&file, table()).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(written, table(), "COUNTERSIGN_WRITE_DOCS=1 writes docs/errors.md anew");
    }
}
