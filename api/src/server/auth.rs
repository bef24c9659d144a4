//! Who asks: bearer tokens, by whatever knows them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use domain::access::Actor;
use domain::error::{Code, Error, Result};
use futures_util::future::BoxFuture;

use super::trace::TraceId;

/// Where a request came from, for the audit.
#[derive(Clone, Debug)]
pub struct RequestOrigin {
    /// The address of the peer; `None` where the router is called without a connection.
    pub address: Option<IpAddr>,
    pub trace: TraceId,
    pub transport: Transport,
}

/// How a token arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Http,
    WebSocket,
}

/// Turns a bearer token into the one who acts.
///
/// The implementation puts the address and trace of `origin` into the actor. It answers
/// [`Code::Unauthenticated`] to a token that is unknown, expired or revoked, [`Code::Forbidden`]
/// to one that may not be used here, and any fault as it is.
pub trait Authenticate: Send + Sync + 'static {
    fn authenticate<'a>(&'a self, bearer: &'a str, origin: RequestOrigin) -> BoxFuture<'a, Result<Actor>>;

    /// The routes by which a token is come by, served beside the server's own.
    fn routes(&self) -> Router {
        Router::new()
    }

    /// Of each of these, whether what it came with is still good and gives the same rights.
    fn standing<'a>(&'a self, actors: &'a [Arc<Actor>]) -> BoxFuture<'a, Result<Vec<bool>>>;
}

/// The token of an `Authorization: Bearer …` header.
///
/// # Errors
///
/// [`Code::Unauthenticated`] without one.
pub fn bearer(headers: &HeaderMap) -> Result<&str> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(bearer_value).ok_or_else(|| {
        Error::new(Code::Unauthenticated, "This needs a token: send it as \"Authorization: Bearer <token>\".")
            .with("token", "missing")
    })
}

/// The token in the text `Bearer <token>`; the word may be in any case.
pub fn bearer_value(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The `WWW-Authenticate` header of a refusal for want of a token.
pub fn challenge(error: &Error) -> HeaderValue {
    HeaderValue::from_static(match error.details.get("token").and_then(|token| token.as_str()) {
        Some("missing") => "Bearer realm=\"countersign\"",
        _ => "Bearer realm=\"countersign\", error=\"invalid_token\"",
    })
}
