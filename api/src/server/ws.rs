//! GraphQL over WebSocket: graphql-transport-ws.
//!
//! One task per socket reads, runs and writes. A message is written before the next result is asked
//! for, so that a slow reader slows its own streams and nothing piles up; one that takes nothing for
//! too long is dropped.

mod protocol;
mod socket;

use std::time::Duration;

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use tokio::time::timeout;
use tracing::{Instrument, Span};

use super::auth::{Transport, bearer};
use super::operation::Held;
use super::reply::{MediaType, Refusal};
use super::settings::Origins;
use super::{Server, origin};
use protocol::Close;
use socket::Socket;

/// Buffers of one socket, in bytes: an idle one should cost little.
const READ_BUFFER: usize = 4 << 10;
const WRITE_BUFFER: usize = 16 << 10;
/// How long the client may take to answer a close frame.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Whether a request asks for a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Opens a socket, if the page that asks for it may.
pub fn open(server: Server, head: &Parts, upgrade: WebSocketUpgrade) -> Response {
    let origin = origin(&head.extensions, Transport::WebSocket);
    let settings = &server.settings().sockets;
    if !may_open(&head.headers, &settings.origins) {
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "Pages of this origin may not open a socket here.");
        return refusal.reply(MediaType::Json, &origin.trace);
    }
    let token = bearer(&head.headers).ok().map(str::to_owned);
    let upgrade = upgrade
        .protocols([protocol::NAME])
        .max_message_size(settings.message_bytes)
        .max_frame_size(settings.message_bytes)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER);
    let speaks = upgrade.selected_protocol().is_some();
    // Taken before the upgrade ends, so that a server that stops now waits for this socket too.
    let alive = server.sockets().token();
    // What happens on the socket is told with the trace id of the request that opened it.
    let span = Span::current();
    let life = move |wire| async move {
        let _alive = alive;
        let _held = Held::up(metrics::gauge!("websockets"));
        let (wire, close) = if speaks {
            Socket::new(server, wire, origin, token).run().await
        } else {
            (wire, Close::SUBPROTOCOL)
        };
        metrics::counter!("websocket_closed_total", "code" => close.word()).increment(1);
        shut(wire, &close).await;
    };
    upgrade.on_upgrade(move |wire| life(wire).instrument(span))
}

/// Tells the client why, and waits a moment for it to have read that.
async fn shut(mut wire: WebSocket, close: &Close) {
    if let Some(frame) = close.frame() {
        let farewell = async {
            if wire.send(frame).await.is_err() {
                return;
            }
            while let Some(Ok(_)) = wire.recv().await {}
            if *close == Close::TOO_LARGE {
                // The rest of the message is on its way, and nobody reads it. Were the connection cut
                // now, the client would be told nothing.
                std::future::pending::<()>().await;
            }
        };
        // A client that does not answer is left as it is.
        let _ = timeout(CLOSE_TIME, farewell).await;
    }
}

/// Whether the page that a browser names may open a socket.
fn may_open(headers: &HeaderMap, origins: &Origins) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let same = origin
        .split_once("://")
        .is_some_and(|(_, authority)| host.is_some_and(|host| host.eq_ignore_ascii_case(authority)));
    match origins {
        Origins::Same => same,
        Origins::Listed(listed) => same || listed.iter().any(|one| one.eq_ignore_ascii_case(origin)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_origins_open_nothing() {
        let listed = Origins::Listed(vec!["https://app.example.com".to_owned()]);
        let cases = [
            (None, true, true),
            (Some("http://localhost:8080"), true, true),
            (Some("https://LOCALHOST:8080"), true, true),
            (Some("http://localhost:81"), false, false),
            (Some("https://app.example.com"), false, true),
            (Some("https://app.example.com.evil.org"), false, false),
            (Some("null"), false, false),
            (Some(""), false, false),
        ];
        for (origin, same, by_list) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost:8080".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(may_open(&headers, &Origins::Same), same, "{origin:?}");
            assert_eq!(may_open(&headers, &listed), by_list, "{origin:?}");
        }
    }
}
