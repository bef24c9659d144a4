//! One table of everything that can go wrong: code, class and message.
//!
//! A [`Class::Refusal`] is something the caller can mend (a user error in the payload of a
//! mutation); every other class is an error of the request itself.

use std::fmt;

use serde_json::{Map, Value};

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The caller's input or the state of the record: mend it and try again.
    Refusal,
    /// The caller lacks a right, or is not known.
    Denied,
    /// A limit of the server was met.
    Limit,
    /// The server failed; nothing of it is told but a trace id.
    Fault,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $class:ident;)+) => {
        /// The code of an error, stable over releases.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $variant),+ }

        impl Code {
            /// Every code, for the documentation and its coverage test.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// The code as clients see it.
            pub fn word(self) -> &'static str {
                match self { $(Code::$variant => $code),+ }
            }

            pub fn class(self) -> Class {
                match self { $(Code::$variant => Class::$class),+ }
            }

            /// What the code means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

codes! {
    /// The record does not exist, or lies outside of what the caller may see.
    NotFound = "NOT_FOUND", Refusal;
    /// A value has the wrong form or lies outside of its range.
    Invalid = "INVALID", Refusal;
    /// A required value is missing or empty.
    Required = "REQUIRED", Refusal;
    /// Another record already has this unique value.
    Taken = "TAKEN", Refusal;
    /// The record was changed by someone else since the caller read it.
    Conflict = "CONFLICT", Refusal;
    /// The record's present state does not allow this.
    IllegalState = "ILLEGAL_STATE", Refusal;
    /// Who wrote or last edited something does not decide on it.
    SelfApproval = "SELF_APPROVAL", Refusal;
    /// The criteria name a field, operator or value that does not exist or does not fit.
    CriteriaInvalid = "CRITERIA_INVALID", Refusal;
    /// The criteria are empty at some level, which would match everything or nothing by accident.
    CriteriaEmpty = "CRITERIA_EMPTY", Refusal;
    /// The criteria provably match every finding.
    CriteriaTautology = "CRITERIA_TAUTOLOGY", Refusal;
    /// The criteria are deeper or larger than allowed.
    CriteriaTooLarge = "CRITERIA_TOO_LARGE", Refusal;
    /// The report is not well formed, or not of the named format.
    ReportMalformed = "REPORT_MALFORMED", Refusal;
    /// The format of the report could not be told from its beginning.
    ReportUnknown = "REPORT_UNKNOWN", Refusal;
    /// The report is over a limit of size, nesting, entities or items.
    ReportTooLarge = "REPORT_TOO_LARGE", Refusal;
    /// The same idempotency key was used for a different request.
    IdempotencyMismatch = "IDEMPOTENCY_MISMATCH", Refusal;
    /// No valid token came with the request.
    Unauthenticated = "UNAUTHENTICATED", Denied;
    /// The caller's role or token does not allow this.
    Forbidden = "FORBIDDEN", Denied;
    /// The request is over a limit of the server.
    LimitExceeded = "LIMIT_EXCEEDED", Limit;
    /// There were too many attempts to come in: wait as long as `retryAfter` says, in seconds.
    TooManyAttempts = "TOO_MANY_ATTEMPTS", Limit;
    /// The cursor is malformed or belongs to another order.
    CursorInvalid = "CURSOR_INVALID", Limit;
    /// The cursor is older than what is kept: take a new snapshot.
    CursorExpired = "CURSOR_EXPIRED", Limit;
    /// Requests come too often: wait as many seconds as `retryAfter` says.
    RateLimited = "RATE_LIMITED", Limit;
    /// Too many requests of the company run and wait already: come back after `retryAfter` seconds.
    Overloaded = "OVERLOADED", Limit;
    /// The server failed. The trace id finds the cause in its logs.
    Internal = "INTERNAL", Fault;
}

/// An error of the domain: what a transport shows, and what only the log is told.
#[derive(Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
    /// The input at fault, as a path of field names (a JSON Pointer's parts for criteria).
    pub field: Vec<String>,
    /// More for machines: the current version of a conflict, the place of a fault in a report.
    pub details: Map<String, Value>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: Vec::new(), details: Map::new(), source: None }
    }

    /// A refusal of `field`.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message).at(field)
    }

    /// The answer to an id that does not exist and to one that the caller may not see: the same.
    pub fn not_found(noun: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {noun}."))
    }

    pub fn forbidden(what: impl fmt::Display) -> Self {
        Self::new(Code::Forbidden, format!("Your role does not allow you to {what}."))
    }

    /// A fault of the server: `source` goes to the log, never to the caller.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let mut error = Self::new(Code::Internal, Code::Internal.meaning());
        error.source = Some(source.into());
        error
    }

    /// Names the input at fault, outermost part last so that callers can wrap: `.at("value").at("input")`.
    #[must_use]
    pub fn at(mut self, part: &str) -> Self {
        self.field.insert(0, part.to_owned());
        self
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    pub fn class(&self) -> Class {
        self.code.class()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.word(), self.message)?;
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
