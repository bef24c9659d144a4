//! What the server can be told, with what holds when it is told nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use super::trusted::TrustedDocuments;

/// Where the server listens unless told otherwise: this machine alone can reach it.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds of one GraphQL request.
    pub limits: Limits,
    /// The largest body of a GraphQL request, in bytes.
    pub body_bytes: usize,
    /// The time a GraphQL request may take, from its first header to its last resolver.
    /// Subscriptions have no such limit.
    pub request_time: Duration,
    /// From when on an operation is slow, and told in the log.
    pub slow: Duration,
    /// Serves GraphiQL and answers introspection.
    pub development: bool,
    /// The operations that one request may hold in a list; none: lists are refused.
    pub batch: usize,
    /// The documents that are known by their hash.
    pub documents: Arc<TrustedDocuments>,
    pub turns: Turns,
    pub rates: Rates,
    /// The largest uploaded report, in bytes.
    pub upload_bytes: u64,
    /// How long an upload may pause.
    pub upload_idle: Duration,
    pub sockets: Sockets,
    pub connections: Connections,
}

/// How many queries and mutations run at once. More wait for their turn, company by company.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// Of all companies.
    pub at_once: usize,
    /// Of one company.
    pub per_company: usize,
    /// Of one person or service account.
    pub per_actor: usize,
    /// How many of one company may wait; more are refused.
    pub waiting: usize,
}

/// How often something may happen: a bucket of `burst` that fills by so many a second.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

impl Rate {
    /// As often as one likes.
    pub const NONE: Self = Self { per_second: 0, burst: 0 };

    /// So many a second, and what did not come in the last ten seconds at once.
    pub fn per_second(per_second: u32) -> Self {
        Self { per_second, burst: per_second.saturating_mul(10) }
    }
}

/// How often who may ask.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Operations, uploads and downloads of one person or service account.
    pub actor: Rate,
    /// Tokens that were not good before, from one address.
    pub stranger: Rate,
}

/// Bounds of WebSockets and of event streams.
#[derive(Clone, Debug)]
pub struct Sockets {
    /// The pages of browsers that may speak to the server.
    pub origins: Origins,
    /// How long a client may wait before `connection_init`.
    pub init_time: Duration,
    /// How often the server pings, and sends a comment on an event stream; a client that is silent on a
    /// socket for two of these is gone.
    pub ping_every: Duration,
    /// How long a client may take to accept one message.
    pub send_time: Duration,
    /// The largest message of a client, in bytes.
    pub message_bytes: usize,
    /// Operations that may run on one socket at once.
    pub operations: usize,
    /// Sockets and event streams that one person or service account may have open at once, in one company.
    pub per_actor: usize,
}

/// Which pages a browser may speak to the server from, over a socket or (CORS) over HTTP. A client
/// that is no browser sends no origin and is not asked.
#[derive(Clone, Debug)]
pub enum Origins {
    /// Pages of the server's own host.
    Same,
    /// Those, and these (`https://app.example.com`).
    Listed(Vec<String>),
}

/// Bounds of TCP connections.
#[derive(Clone, Debug)]
pub struct Connections {
    /// How long a client may take to send the head of a request, and how long it may idle between two.
    pub header_time: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub write_time: Duration,
    /// How long requests in flight may go on after the server was told to stop.
    pub grace: Duration,
    /// Connections open at once; more wait to be accepted.
    pub most: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            body_bytes: 1 << 20,
            request_time: Duration::from_secs(30),
            slow: Duration::from_secs(1),
            development: false,
            batch: 0,
            documents: Arc::default(),
            turns: Turns::default(),
            rates: Rates::default(),
            upload_bytes: 2 << 30,
            upload_idle: Duration::from_secs(30),
            sockets: Sockets::default(),
            connections: Connections::default(),
        }
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { at_once: 64, per_company: 32, per_actor: 16, waiting: 256 }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self { actor: Rate::NONE, stranger: Rate { per_second: 20, burst: 1_000 } }
    }
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            origins: Origins::Same,
            init_time: Duration::from_secs(10),
            ping_every: Duration::from_secs(15),
            send_time: Duration::from_secs(10),
            message_bytes: 1 << 20,
            operations: 100,
            per_actor: 100,
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            header_time: Duration::from_secs(15),
            write_time: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            most: 16_384,
        }
    }
}
