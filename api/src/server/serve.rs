//! Listening: connections in, requests to the router, and a stop that loses nothing.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Peer;
use super::operation::Held;
use super::settings::Connections;

/// How often the server asks an HTTP/2 connection whether it lives, and how long it may take to say.
const HTTP2_PING: Duration = Duration::from_secs(30);
const HTTP2_PONG: Duration = Duration::from_secs(20);
const HTTP2_STREAMS: u32 = 100;
/// After a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The bytes by which HTTP/2 is told from HTTP/1.
const PREFACE: usize = 24;

/// Serves `router` on `listener` until `stopping`; then accepts nothing more, lets requests in flight
/// and `sockets` end within the grace, and cuts what is left.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Connections,
    sockets: TaskTracker,
    stopping: CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.header_time);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PONG);
    let builder = Arc::new(builder);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(settings.most));
    let mut connections = JoinSet::new();

    loop {
        let accepted = stopping.run_until_cancelled(async {
            let place = places.clone().acquire_owned().await.expect("the places are never closed");
            (listener.accept().await, place)
        });
        let Some((accepted, place)) = accepted.await else { break };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small answers should not wait for more to send; a socket without the option works as well.
        let _ = stream.set_nodelay(true);
        let (builder, watcher, router) = (builder.clone(), graceful.watcher(), router.clone());
        let settings = settings.clone();
        connections.spawn(async move {
            let service = with_peer(router, peer);
            let io = TokioIo::new(Prompt::new(stream, &settings, place));
            let connection = builder.serve_connection_with_upgrades(io, service);
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%peer, error, "a connection broke");
            }
        });
        while connections.try_join_next().is_some() {}
    }

    drop(listener);
    sockets.close();
    let end = Instant::now() + settings.grace;
    let quiet = async { tokio::join!(graceful.shutdown(), sockets.wait()) };
    if timeout_at(end, quiet).await.is_err() {
        tracing::warn!("some requests were cut off by the stop");
    }
    connections.shutdown().await;
}

/// The router as hyper calls it, each request knowing its peer.
fn with_peer(
    router: Router,
    peer: SocketAddr,
) -> impl Service<
    hyper::Request<hyper::body::Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + Send
+ 'static {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.call(request)
    })
}

/// A stream whose first bytes must arrive in time, and whose other end must take what it is sent.
///
/// hyper measures the time of a request's head only once it knows which HTTP is spoken, and waits for
/// the bytes that tell without a limit; and so it waits for a client that does not read.
struct Prompt {
    stream: TcpStream,
    seen: usize,
    deadline: Option<Pin<Box<Sleep>>>,
    write_time: Duration,
    /// Since the other end takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What the connection holds until its very end, which for a WebSocket is long after its request.
    _place: OwnedSemaphorePermit,
    _held: Held,
}

impl Prompt {
    fn new(stream: TcpStream, settings: &Connections, place: OwnedSemaphorePermit) -> Self {
        let held = Held::up(metrics::gauge!("connections"));
        let deadline = Some(Box::pin(sleep(settings.header_time)));
        let write_time = settings.write_time;
        Self { stream, seen: 0, deadline, write_time, stalled: None, _place: place, _held: held }
    }

    /// What came of an attempt to write, which fails once there were none but vain ones for too long.
    fn written<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let time = self.write_time;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(deadline) = &mut self.deadline {
            if read.is_pending() {
                ready!(deadline.as_mut().poll(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.seen += buf.filled().len() - before;
            if self.seen >= PREFACE {
                self.deadline = None;
            }
        }
        read
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
