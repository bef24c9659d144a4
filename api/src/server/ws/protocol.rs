//! The messages of graphql-transport-ws, and the codes a socket is closed with.
//!
//! <https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverWebSocket.md>

use std::borrow::Cow;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::server::reply::{Answer, encode_into};

/// The name of the protocol in `Sec-WebSocket-Protocol`.
pub const NAME: &str = "graphql-transport-ws";

/// The longest id of an operation: it is sent back with every message.
const ID_BYTES: usize = 256;

/// What a client may say.
#[derive(Debug)]
pub enum Said<'a> {
    Init(Option<Map<String, Value>>),
    /// The payload is not looked at here.
    Ping(Option<&'a RawValue>),
    Pong,
    /// The payload is not looked at here.
    Subscribe {
        id: String,
        payload: &'a RawValue,
    },
    Complete {
        id: String,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

impl<'a> Said<'a> {
    /// Reads one message; `None` for what the protocol does not know.
    pub fn read(text: &'a str) -> Option<Self> {
        let envelope: Envelope<'a> = serde_json::from_str(text).ok()?;
        let id = || envelope.id.as_deref().filter(|id| (1..=ID_BYTES).contains(&id.len())).map(str::to_owned);
        let is_object = |payload: &RawValue| payload.get().starts_with('{');
        let payload_fits = envelope.payload.is_none_or(is_object);
        match &*envelope.kind {
            "connection_init" => {
                let payload = envelope.payload.map(|payload| serde_json::from_str(payload.get())).transpose();
                Some(Self::Init(payload.ok()?))
            }
            "ping" if payload_fits => Some(Self::Ping(envelope.payload)),
            "pong" if payload_fits => Some(Self::Pong),
            "subscribe" => Some(Self::Subscribe {
                id: id()?,
                payload: envelope.payload.filter(|payload| is_object(payload))?,
            }),
            "complete" => Some(Self::Complete { id: id()? }),
            _ => None,
        }
    }
}

pub fn ack() -> Message {
    text(&json!({ "type": "connection_ack" }))
}

pub fn ping() -> Message {
    text(&json!({ "type": "ping" }))
}

pub fn pong() -> Message {
    text(&json!({ "type": "pong" }))
}

/// The answer to a ping that brought another token: until when it is good, in microseconds since 1970,
/// if it ends at all.
pub fn renewed(expires_at: Option<i64>) -> Message {
    text(&json!({ "type": "pong", "payload": { "renewed": true, "expiresAtMicros": expires_at } }))
}

pub fn complete(id: &str) -> Message {
    text(&json!({ "id": id, "type": "complete" }))
}

/// A result of an operation.
pub fn next(id: &str, answer: &Answer) -> Message {
    let mut message = Vec::with_capacity(256);
    message.extend_from_slice(b"{\"id\":");
    encode_into(&mut message, &id);
    message.extend_from_slice(b",\"type\":\"next\",\"payload\":");
    answer.write_json(&mut message);
    message.push(b'}');
    let message = Utf8Bytes::try_from(message).expect("JSON is UTF-8");
    Message::Text(message)
}

/// The end of an operation that never ran.
pub fn error(id: &str, answer: &Answer) -> Message {
    text(&json!({ "id": id, "type": "error", "payload": answer.response.errors }))
}

fn text(message: &Value) -> Message {
    Message::Text(message.to_string().into())
}

/// How a socket ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// The client closed it, or is gone.
    Gone,
    /// The client takes no messages or does not answer pings: nothing can be told to it.
    Stalled,
    Told {
        code: u16,
        reason: Cow<'static, str>,
    },
}

impl Close {
    pub const GOING_AWAY: Self = told(1001, "Going away");
    pub const PROTOCOL: Self = told(1002, "Protocol error");
    pub const NO_TEXT: Self = told(1007, "Not UTF-8");
    pub const TOO_LARGE: Self = told(1009, "Message too large");
    pub const INVALID: Self = told(4400, "Invalid message received");
    pub const UNAUTHORIZED: Self = told(4401, "Unauthorized");
    pub const FORBIDDEN: Self = told(4403, "Forbidden");
    pub const EXPIRED: Self = told(4403, "Forbidden: the token has expired");
    pub const REVOKED: Self = told(4403, "Forbidden: the token or its rights were taken away");
    pub const SUBPROTOCOL: Self = told(4406, "Subprotocol not acceptable");
    pub const INIT_TIMEOUT: Self = told(4408, "Connection initialisation timeout");
    pub const TOO_MANY_INITS: Self = told(4429, "Too many initialisation requests");
    pub const TOO_MANY_SOCKETS: Self = told(4429, "Too many sockets of one caller");
    pub const FAULT: Self = told(4500, "Internal server error");

    pub fn duplicate(id: &str) -> Self {
        // The reason of a close frame has 123 bytes at most.
        let reason = match id.len() {
            0..=80 => format!("Subscriber for {id} already exists"),
            _ => "Subscriber for this id already exists".to_owned(),
        };
        Self::Told { code: 4409, reason: reason.into() }
    }

    /// The label of metrics.
    pub fn word(&self) -> String {
        match self {
            Self::Gone => "gone".to_owned(),
            Self::Stalled => "stalled".to_owned(),
            Self::Told { code, .. } => code.to_string(),
        }
    }

    pub fn frame(&self) -> Option<Message> {
        match self {
            Self::Gone | Self::Stalled => None,
            Self::Told { code, reason } => {
                Some(Message::Close(Some(CloseFrame { code: *code, reason: reason.as_ref().into() })))
            }
        }
    }
}

const fn told(code: u16, reason: &'static str) -> Close {
    Close::Told { code, reason: Cow::Borrowed(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_protocol_knows_and_nothing_else() {
        let long = format!(r#"{{"type":"complete","id":"{}"}}"#, "x".repeat(257));
        let cases = [
            (r#"{"type":"connection_init"}"#, "Init(None)"),
            (r#"{"type":"connection_init","payload":null}"#, "Init(None)"),
            (r#"{"type":"connection_init","payload":{"token":"t"}}"#, "Init(Some"),
            (r#"{"type":"connection_init","payload":"t"}"#, ""),
            (r#"{"type":"connection_init","payload":[]}"#, ""),
            (r#"{"type":"ping"}"#, "Ping(None)"),
            (r#"{"type":"ping","payload":{}}"#, "Ping(Some"),
            (r#"{"type":"ping","payload":1}"#, ""),
            (r#"{"type":"pong","payload":{"a":1}}"#, "Pong"),
            (r#"{"id":"1","type":"subscribe","payload":{"query":"{a}"}}"#, "Subscribe"),
            (r#"{"id":"\u0031","type":"subscribe","payload":{}}"#, "Subscribe { id: \"1\""),
            (r#"{"id":"","type":"subscribe","payload":{}}"#, ""),
            (r#"{"id":1,"type":"subscribe","payload":{}}"#, ""),
            (r#"{"type":"subscribe","payload":{}}"#, ""),
            (r#"{"id":"1","type":"subscribe"}"#, ""),
            (r#"{"id":"1","type":"subscribe","payload":"q"}"#, ""),
            (r#"{"id":"1","type":"complete"}"#, "Complete"),
            (r#"{"type":"complete"}"#, ""),
            (long.as_str(), ""),
            (r#"{"id":"1","type":"next","payload":{}}"#, ""),
            (r#"{"type":"connection_ack"}"#, ""),
            (r#"{"type":"start"}"#, ""),
            (r#"{"type":"ping"} x"#, ""),
            ("{}", ""),
            ("[]", ""),
            ("", ""),
        ];
        for (message, expected) in cases {
            let seen = Said::read(message).map(|said| format!("{said:?}")).unwrap_or_default();
            assert!(
                seen.starts_with(expected) && seen.is_empty() == expected.is_empty(),
                "{message}: {seen}"
            );
        }
    }

    #[test]
    fn a_payload_of_any_depth_is_passed_over() {
        for depth in [1_000, 100_000] {
            let nested = "[".repeat(depth) + &"]".repeat(depth);
            let message = format!(r#"{{"id":"1","type":"subscribe","payload":{{"variables":{nested}}}}}"#);
            assert!(matches!(Said::read(&message), Some(Said::Subscribe { .. })), "{depth}");
            let message = format!(r#"{{"type":"connection_init","payload":{{"token":{nested}}}}}"#);
            assert!(Said::read(&message).is_none(), "{depth}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn never_panics(message in any::<String>()) {
            let _ = Said::read(&message);
        }

        #[test]
        fn close_reasons_fit_their_frame(id in "\\PC{1,256}") {
            let Close::Told { reason, .. } = Close::duplicate(&id) else { unreachable!() };
            prop_assert!(reason.len() <= 123);
        }
    }
}
