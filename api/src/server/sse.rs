//! GraphQL over server-sent events: graphql-sse, distinct connections.
//!
//! One request, one operation, one stream: a `next` event for each answer and `complete` at the end.
//! A task of its own takes the answers and hands them on one at a time, so that a slow reader slows
//! its own stream and nothing piles up; it ends as soon as nobody reads, or nobody reads for too long.
//!
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::error::{Code, Error};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::Server;
use super::operation::Held;
use super::reply::{Answer, Outcome};
use super::trace::TraceId;
use super::vigil::{Admitted, Over};
use crate::error::server_error;

const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";
/// A comment, by which both ends find out whether the other is there.
const BEAT: &[u8] = b":\n\n";

/// Opens a stream of `answers` for a caller who was admitted.
pub fn open(
    server: Server,
    answers: BoxStream<'static, Answer>,
    admitted: Admitted,
    trace: TraceId,
) -> Response {
    // One event on its way, and one that waits.
    let (events, waiting) = mpsc::channel(1);
    // The first says that the stream is open, also to a proxy that waits for something to pass on.
    let _there_is_room = events.try_send(Bytes::from_static(BEAT));
    tokio::spawn(feed(server, answers, admitted, trace, events));
    let body = stream::unfold(waiting, async |mut waiting| {
        let event: Bytes = waiting.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(event), waiting))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("accept, authorization")),
        // A proxy that collects what it passes on would hold events back.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(body)).into_response()
}

/// Sends answers until there are no more, the caller has to go, or nobody reads. A server that stops
/// says no `complete`: the client is to come back, to the next one.
async fn feed(
    server: Server,
    mut answers: BoxStream<'static, Answer>,
    mut admitted: Admitted,
    trace: TraceId,
    events: mpsc::Sender<Bytes>,
) {
    let _held = Held::up(metrics::gauge!("event_streams"));
    let settings = server.settings().sockets.clone();
    let mut beats = interval_at(Instant::now() + settings.ping_every, settings.ping_every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (event, is_last) = tokio::select! {
            biased;
            () = server.stopping().cancelled() => return,
            () = events.closed() => return,
            over = admitted.over() => (last(&gone(over, &trace)), true),
            _ = beats.tick() => (BEAT.into(), false),
            answer = answers.next() => match answer {
                Some(answer) if matches!(answer.outcome, Outcome::Ok | Outcome::FieldErrors) => {
                    (next(&answer), false)
                }
                Some(answer) => (last(&answer), true),
                None => (COMPLETE.into(), true),
            },
        };
        let sent = timeout(settings.send_time, events.send(event.into())).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

fn next(answer: &Answer) -> Vec<u8> {
    let mut event = b"event: next\ndata: ".to_vec();
    // JSON has no line breaks outside of its strings, and none inside of them.
    answer.write_json(&mut event);
    event.extend_from_slice(b"\n\n");
    event
}

/// The last answer, and the end.
fn last(answer: &Answer) -> Vec<u8> {
    let mut events = next(answer);
    events.extend_from_slice(COMPLETE);
    events
}

/// What a caller is told that has to go.
fn gone(over: Over, trace: &TraceId) -> Answer {
    let message = match over {
        Over::Expired => "The token has expired.",
        Over::Revoked => "The token was revoked, or its rights are others now.",
    };
    let error = Error::new(Code::Unauthenticated, message).with("token", "invalid");
    Answer::failed(server_error(error), Outcome::Refused, trace)
}
