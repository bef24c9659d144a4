//! GraphQL over server-sent events, over real connections.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::world::{PATIENCE, World, development, eventually};
use crate::server::settings::{Settings, Sockets};

fn sockets(sockets: Sockets) -> Settings {
    Settings { sockets, ..development() }
}

/// A stream of events, as it is read.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(world: &World, token: &str, query: &str) -> Self {
        let request = world.http.post(world.url("/graphql")).bearer_auth(token);
        let request =
            request.header("content-type", "application/json").header("accept", "text/event-stream");
        let response = request.body(json!({ "query": query }).to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(!response.headers().contains_key("content-encoding"));
        Self { response, text: String::new() }
    }

    /// The next event that is no comment: its name and its data. `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.starts_with(':') {
                    continue;
                }
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_else(|| panic!("{event:?}")).trim_start().to_owned()
                };
                let data = field("data:");
                return Some((field("event:"), serde_json::from_str(&data).unwrap_or_default()));
            }
            let part = timeout(PATIENCE, self.response.chunk()).await.expect("the stream goes on");
            self.text += std::str::from_utf8(&part.ok()??).unwrap();
        }
    }

    /// Everything until the end, and whether it said `complete`.
    async fn all(mut self) -> (Vec<Value>, bool) {
        let mut answers = Vec::new();
        while let Some((event, data)) = self.next().await {
            match event.as_str() {
                "next" => answers.push(data),
                "complete" => {
                    assert_eq!(self.next().await, None, "nothing follows the end");
                    return (answers, true);
                }
                other => panic!("{other}"),
            }
        }
        (answers, false)
    }
}

#[tokio::test]
async fn every_operation_streams_its_answers_and_completes() {
    let world = World::start(development()).await;
    let count = |n: i32| json!({ "data": { "count": n } });
    for (query, expected) in [
        ("subscription { count(to: 3) }", vec![count(1), count(2), count(3)]),
        ("{ hello }", vec![json!({ "data": { "hello": "world" } })]),
        ("mutation { bump }", vec![json!({ "data": { "bump": 1 } })]),
    ] {
        assert_eq!(Events::open(&world, "good", query).await.all().await, (expected, true), "{query}");
    }
    for (query, code) in [
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ boom }", "INTERNAL"),
        ("subscription { refused }", "FORBIDDEN"),
    ] {
        let (answers, completed) = Events::open(&world, "good", query).await.all().await;
        assert_eq!((answers.len(), completed), (1, true), "{query}");
        assert_eq!(answers[0]["errors"][0]["extensions"]["code"], code, "{query}");
    }
    let (answers, completed) = Events::open(&world, "good", "subscription { trap }").await.all().await;
    assert_eq!((answers.len(), completed), (2, true));
    assert_eq!(answers[1]["errors"][0]["extensions"]["code"], "INTERNAL");
    world.assert_alive().await;
}

#[tokio::test]
async fn event_source_asks_by_get_and_changes_nothing() {
    let world = World::start(development()).await;
    let get = |query: &str, accept: &str| {
        let mut url = reqwest::Url::parse(&world.url("/graphql")).unwrap();
        url.query_pairs_mut().append_pair("query", query);
        let request = world.http.get(url).bearer_auth("good");
        request.header("accept", accept).send()
    };
    let streamed = get("subscription { count(to: 1) }", "text/event-stream").await.unwrap();
    let text = streamed.text().await.unwrap();
    assert!(text.starts_with(":\n\n") && text.ends_with("event: complete\ndata:\n\n"), "{text}");
    assert_eq!(get("mutation { bump }", "text/event-stream").await.unwrap().status(), 405);
    assert_eq!(get("subscription { count(to: 1) }", "application/json").await.unwrap().status(), 405);
    // A client that names several is streamed what has several answers.
    let several = "application/graphql-response+json, text/event-stream";
    let kind = async |query: &str| {
        get(query, several).await.unwrap().headers()["content-type"].to_str().unwrap().to_owned()
    };
    assert_eq!(kind("subscription { count(to: 1) }").await, "text/event-stream; charset=utf-8");
    assert_eq!(kind("{ hello }").await, "application/graphql-response+json; charset=utf-8");
    // What is wrong with the request itself is no stream.
    let request = world.http.post(world.url("/graphql")).header("accept", "text/event-stream");
    let refused = request.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert_eq!(refused.status(), 401);
}

#[tokio::test]
async fn a_silent_stream_beats() {
    let settings = sockets(Sockets { ping_every: Duration::from_millis(20), ..Sockets::default() });
    let world = World::start(settings).await;
    let mut events = Events::open(&world, "good", "subscription { silence }").await;
    while events.text.matches(":\n\n").count() < 3 {
        let part = timeout(PATIENCE, events.response.chunk()).await.unwrap().unwrap().unwrap();
        events.text += std::str::from_utf8(&part).unwrap();
    }
}

#[tokio::test]
async fn who_leaves_leaves_nothing_behind() {
    let world = World::start(development()).await;
    let events = Events::open(&world, "good", "subscription { silence }").await;
    eventually("the stream is alive", || world.streams() == 1).await;
    drop(events);
    eventually("the stream ended", || world.streams() == 0).await;
    // A query that runs is given up, too.
    drop(Events::open(&world, "good", "{ forever }").await);
    world.assert_alive().await;
}

#[tokio::test]
async fn who_reads_nothing_is_let_go() {
    let settings = sockets(Sockets { send_time: Duration::from_millis(50), ..Sockets::default() });
    let world = World::start(settings).await;
    let mut events = Events::open(&world, "good", "subscription { flood }").await;
    eventually("the stream is alive", || world.streams() == 1).await;
    eventually("the stream ended", || world.streams() == 0).await;
    while let Some((event, _)) = events.next().await {
        assert_eq!(event, "next", "it is not over, only left");
    }
    world.assert_alive().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let world = World::start(development()).await;
    for token in ["short", "leaver"] {
        let (answers, completed) = Events::open(&world, token, "subscription { silence }").await.all().await;
        assert_eq!((answers.len(), completed), (1, true), "{token}");
        assert_eq!(answers[0]["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{token}");
        eventually("the stream ended", || world.streams() == 0).await;
    }
}

#[tokio::test]
async fn streams_are_counted_with_sockets() {
    let settings = sockets(Sockets { per_actor: 2, ..Sockets::default() });
    let world = World::start(settings).await;
    let _one = Events::open(&world, "good", "subscription { silence }").await;
    let _two = Events::open(&world, "good", "subscription { silence }").await;
    let third =
        world.post().header("accept", "text/event-stream").body(r#"{"query":"subscription{silence}"}"#);
    let third = third.send().await.unwrap();
    assert_eq!(third.status(), 429);
    let body: Value = third.json().await.unwrap();
    assert_eq!(body["errors"][0]["extensions"]["limit"], "socketsPerActor");
    let _other = Events::open(&world, "other", "subscription { silence }").await;
    world.assert_alive().await;
}

#[tokio::test]
async fn a_stop_ends_streams_without_completing_them() {
    let mut world = World::start(development()).await;
    let events = Events::open(&world, "good", "subscription { silence }").await;
    eventually("the stream is alive", || world.streams() == 1).await;
    world.stopping.cancel();
    assert_eq!(events.all().await, (Vec::new(), false));
    timeout(PATIENCE, &mut world.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn http_2_streams_as_well() {
    use axum::body::Body;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let world = World::start(development()).await;
    let stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post(world.url("/graphql"))
        .header("authorization", "Bearer good")
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .body(Body::from(r#"{"query":"subscription{count(to:2)}"}"#))
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
    let mut body = Body::new(answer.into_body()).into_data_stream();
    let mut text = Vec::new();
    while let Some(part) = body.next().await {
        text.extend_from_slice(&part.unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains(r#"{"data":{"count":2}}"#) && text.ends_with("event: complete\ndata:\n\n"),
        "{text}"
    );
}
