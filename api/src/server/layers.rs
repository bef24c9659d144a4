//! What every answer passes on its way out: compression, and the word of whether a page of another
//! host may read it.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, Method, header};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::settings::Origins;

/// Below this a compressed answer is no smaller on the wire.
const SMALL: u64 = 1_024;
/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Puts the layers around `router`.
pub fn around(router: Router, origins: &Origins) -> Router {
    // Events have to leave one by one; a compressor would hold them back.
    let compressed = SizeAbove::new(SMALL).and(NotForContentType::SSE).and(NotForContentType::IMAGES);
    let router = router.layer(CompressionLayer::new().compress_when(compressed));
    match origins {
        Origins::Same => router,
        Origins::Listed(listed) => router.layer(cors(listed.clone())),
    }
}

/// Lets pages of these origins read answers. They send their token themselves: there are no cookies to
/// be sent along.
fn cors(listed: Vec<String>) -> CorsLayer {
    let is_listed = move |origin: &axum::http::HeaderValue, _: &axum::http::request::Parts| {
        listed.iter().any(|one| origin.as_bytes().eq_ignore_ascii_case(one.as_bytes()))
    };
    let asked = [header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT];
    let told = [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::CONTENT_DISPOSITION];
    let traced = [HeaderName::from_static("x-request-id"), HeaderName::from_static("traceparent")];
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_listed))
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers(asked.into_iter().chain(traced.clone()).collect::<Vec<_>>())
        .expose_headers(told.into_iter().chain(traced).collect::<Vec<_>>())
        .max_age(REMEMBERED)
}
