//! The body of a request that may be refused before it is read.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How much of what is refused is still read and thrown away, and for how long.
const LINGER_BYTES: usize = 64 << 20;
const LINGER_TIME: Duration = Duration::from_secs(10);

/// A body on its way in. Where it is dropped before its end, the rest is thrown away for a while, so
/// that the caller can finish sending and read the answer instead of seeing its connection break.
pub struct Incoming {
    rest: Option<BodyDataStream>,
    /// The caller sends nothing until it is asked to go on, which reading does.
    waits: bool,
}

impl Incoming {
    pub fn new(head: &HeaderMap, body: Body) -> Self {
        Self { rest: Some(body.into_data_stream()), waits: head.contains_key(header::EXPECT) }
    }

    /// The next part; nothing follows the end or an error.
    pub async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        self.waits = false;
        let part = self.rest.as_mut()?.next().await;
        if !matches!(part, Some(Ok(_))) {
            self.rest = None;
        }
        part
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.waits {
            return;
        }
        if let (Some(mut rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) {
            runtime.spawn(timeout(LINGER_TIME, async move {
                let mut left = LINGER_BYTES;
                while let Some(Ok(part)) = rest.next().await {
                    match left.checked_sub(part.len()) {
                        Some(less) => left = less,
                        None => return,
                    }
                }
            }));
        }
    }
}
