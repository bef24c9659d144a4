//! Connections, health, and the stop.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::{PATIENCE, World, development, eventually};
use crate::server::settings::{Connections, Settings};

fn connections(connections: Connections) -> Settings {
    Settings { connections, ..development() }
}

#[tokio::test]
async fn health_is_told() {
    let world = World::start(Settings::default()).await;
    let get = async |path: &str| {
        let response = world.http.get(world.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(get("/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(get("/readyz").await, (200, "ready\n".to_owned()));
    *world.ready.lock().unwrap() = false;
    assert_eq!(get("/readyz").await, (503, "not ready\n".to_owned()));
    assert_eq!(get("/healthz").await.0, 200);

    world.query(json!({ "query": "query Named { hello }" })).await;
    world.query(json!({ "query": "{" })).await;
    let (status, metrics) = get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "graphql_operations_total{operation=\"Named\",kind=\"query\",outcome=\"ok\"}",
        "graphql_refused_total{code=\"GRAPHQL_PARSE_FAILED\"}",
        "http_requests_total{route=\"/graphql\",status=\"200\"}",
        "http_request_seconds_bucket{route=\"/readyz\",le=\"0.005\"}",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let world = World::start(connections(Connections {
        header_time: Duration::from_millis(80),
        ..Connections::default()
    }))
    .await;
    for beginning in
        ["", "P", "PRI * HT", "GET / HTTP/1.1\r\nx: ", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "still open after {beginning:?}");
    }
    world.assert_alive().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_hung_up_on() {
    let world = World::start(connections(Connections {
        write_time: Duration::from_millis(80),
        ..Connections::default()
    }))
    .await;
    let body = r#"{"query":"subscription{flood}"}"#;
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\naccept: text/event-stream\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    eventually("the stream is alive", || world.streams() == 1).await;
    eventually("the stream ended", || world.streams() == 0).await;
    world.assert_alive().await;
}

#[tokio::test]
async fn only_so_many_connections_are_open_at_once() {
    let world = World::start(connections(Connections { most: 1, ..Connections::default() })).await;
    let first = TcpStream::connect(world.address).await.unwrap();
    let mut second = TcpStream::connect(world.address).await.unwrap();
    second.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut byte = [0];
    assert!(
        timeout(Duration::from_millis(50), second.read(&mut byte)).await.is_err(),
        "the second has to wait"
    );
    drop(first);
    assert_eq!(timeout(PATIENCE, second.read(&mut byte)).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_stop_lets_requests_in_flight_end_and_takes_no_more() {
    let mut world =
        World::start(connections(Connections { grace: PATIENCE, ..Connections::default() })).await;
    // Half of a request's body: the request is in flight until the rest comes.
    let body = r#"{"query":"{hello}"}"#;
    let (begin, rest) = body.split_at(5);
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut go_on)).await.unwrap().unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"));
    stream.write_all(begin.as_bytes()).await.unwrap();

    world.stopping.cancel();
    let address = world.address;
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.unwrap();
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(r#"{"data":{"hello":"world"}}"#),
        "{answer}"
    );
    timeout(PATIENCE, &mut world.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_cuts_what_does_not_end() {
    let mut world =
        World::start(connections(Connections { grace: Duration::from_millis(50), ..Connections::default() }))
            .await;
    let request = world.post().body(r#"{"query":"{forever}"}"#).send();
    let request = tokio::spawn(request);
    let handle = crate::server::health::recorder().unwrap();
    eventually("a connection is open", || handle.render().contains("\nconnections ")).await;
    world.stopping.cancel();
    timeout(PATIENCE, &mut world.serving).await.unwrap().unwrap();
    assert!(timeout(PATIENCE, request).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn a_caller_that_asks_first_is_refused_before_it_sends() {
    let world = World::start(development()).await;
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\nexpect: 100-continue\r\n\r\n";
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && !answer.contains(" 100 "), "{answer}");
}

#[tokio::test]
async fn http_2_is_spoken_too() {
    use axum::body::{Body, to_bytes};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let world = World::start(development()).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let request = hyper::Request::post(world.url("/graphql"))
                .header("authorization", "Bearer good")
                .header("content-type", "application/json")
                .body(Body::from(r#"{"query":"{hello}"}"#))
                .unwrap();
            client.send_request(request)
        })
        .collect();
    for answer in futures_util::future::join_all(requests).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
        let body = to_bytes(Body::new(answer.into_body()), 1 << 20).await.unwrap();
        assert_eq!(body, r#"{"data":{"hello":"world"}}"#.as_bytes());
    }
    // The stop ends the connection once its requests are answered.
    world.stopping.cancel();
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
}
