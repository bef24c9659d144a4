//! What the server can be told, with what holds when it is told nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::limits::Limits;

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
    /// The largest uploaded report, in bytes.
    pub upload_bytes: u64,
    /// How long an upload may pause.
    pub upload_idle: Duration,
    pub sockets: Sockets,
    pub connections: Connections,
}

/// Bounds of WebSockets.
#[derive(Clone, Debug)]
pub struct Sockets {
    /// The pages that may open a socket.
    pub origins: Origins,
    /// How long a client may wait before `connection_init`.
    pub init_time: Duration,
    /// How often the server pings; a client silent for two of these is gone.
    pub ping_every: Duration,
    /// How long a client may take to accept one message.
    pub send_time: Duration,
    /// The largest message of a client, in bytes.
    pub message_bytes: usize,
    /// Operations that may run on one socket at once.
    pub operations: usize,
    /// Sockets that one person or service account may have open at once, in one company.
    pub per_actor: usize,
}

/// Which pages a browser may open a socket from. A client that is no browser sends no origin and is
/// not asked.
#[derive(Clone, Debug)]
pub enum Origins {
    /// Pages of the host that the socket is opened to.
    Same,
    /// Those, and these (`https://app.example.com`).
    Listed(Vec<String>),
}

/// Bounds of TCP connections.
#[derive(Clone, Debug)]
pub struct Connections {
    /// How long a client may take to send the head of a request, and how long it may idle between two.
    pub header_time: Duration,
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
            upload_bytes: 2 << 30,
            upload_idle: Duration::from_secs(30),
            sockets: Sockets::default(),
            connections: Connections::default(),
        }
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
        Self { header_time: Duration::from_secs(15), grace: Duration::from_secs(10), most: 16_384 }
    }
}
