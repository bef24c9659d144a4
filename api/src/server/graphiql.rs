//! GraphiQL, for development only.

use async_graphql::http::GraphiQLSource;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

/// The versions of the page's scripts, fixed so that the page does not change by itself.
const GRAPHIQL: &str = "4.1.2";
const REACT: &str = "18.3.1";

/// The page, speaking to `endpoint` over HTTP and WebSocket.
pub fn page(endpoint: &str) -> Response {
    let page = GraphiQLSource::build()
        .endpoint(endpoint)
        .subscription_endpoint(endpoint)
        .version(GRAPHIQL)
        .title("Countersign GraphiQL")
        .finish()
        .replace("react@18/", &format!("react@{REACT}/"))
        .replace("react-dom@18/", &format!("react-dom@{REACT}/"));
    let mut response = Html(page).into_response();
    let no_frames = HeaderValue::from_static("frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, no_frames);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_script_has_its_version() {
        let body = axum::body::to_bytes(page("/graphql").into_body(), 1 << 20).await.unwrap();
        let page = String::from_utf8(body.to_vec()).unwrap();
        let versions: Vec<&str> =
            page.split("unpkg.com/").skip(1).filter_map(|rest| rest.split('/').next()).collect();
        assert_eq!(versions, ["react@18.3.1", "react-dom@18.3.1", "graphiql@4.1.2", "graphiql@4.1.2"]);
    }
}
