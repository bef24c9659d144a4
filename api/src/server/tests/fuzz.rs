//! Requests that were damaged at random: each is answered, by the protocol, and leaves nothing behind.
//!
//! `COUNTERSIGN_FUZZ_SECONDS` says how long each property goes on. What once failed is kept in
//! `fuzz.regressions` and tried first.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request, Uri};
use futures_util::StreamExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{FileFailurePersistence, TestCaseError, TestRunner};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::world::{PATIENCE, World, development, eventually};
use crate::server::settings::{Connections, Settings};

/// A request: method, path, headers and body.
type Seed = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// Requests as they should be.
const SEEDS: &[Seed] = &[
    ("POST", "/graphql", &[("content-type", "application/json")], r#"{"query":"{hello itself{me}}"}"#),
    (
        "POST",
        "/graphql",
        &[
            ("content-type", "application/json; charset=utf-8"),
            ("accept", "application/graphql-response+json;q=0.9"),
        ],
        r#"{"query":"query A($v: JSON! = [1]) { ...f } fragment f on Query { a: echo(value: $v) @skip(if: false) }","operationName":"A","variables":{"v":{"a":[null,1.5e3,"\u00e9"]}},"extensions":{}}"#,
    ),
    (
        "POST",
        "/graphql",
        &[
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
            ("accept-encoding", "br, gzip;q=0.1"),
        ],
        r#"{"query":"subscription { count(to: 3) }"}"#,
    ),
    (
        "POST",
        "/graphql",
        &[("content-type", "application/json"), ("accept-encoding", "zstd")],
        r#"[{"query":"{hello}"},{"query":"mutation {bump}"},{"documentId":"sha256:00"}]"#,
    ),
    (
        "GET",
        "/graphql?query=%7Bpage(first:2)%7Bhello%7D%7D&variables=%7B%22a%22:1%7D&operationName=&extensions=%7B%22persistedQuery%22:%7B%22version%22:1,%22sha256Hash%22:%22ab%22%7D%7D",
        &[("accept", "*/*")],
        "",
    ),
    ("GET", "/graphql?documentId=a", &[("upgrade", "websocket"), ("connection", "upgrade")], ""),
    (
        "PUT",
        "/v1/imports/01890000-0000-7000-8000-000000000000/upload",
        &[("expect", "100-continue")],
        "report",
    ),
    ("GET", "/v1/exports/01890000-0000-7000-8000-000000000000", &[("accept-encoding", "gzip")], ""),
    (
        "OPTIONS",
        "/graphql",
        &[("origin", "https://a.example"), ("access-control-request-method", "POST")],
        "",
    ),
];

/// What is put where it does not belong.
const WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[[[[[[[[[[[[[[[[",
    b"]",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\"\"\"",
    b"(",
    b"$v",
    b"@skip(if:true)",
    b"...f",
    b" fragment f on Query{...f}",
    b"#",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"\r\n",
    b"\n\n",
    b"%",
    b"%00",
    b"%ff",
    b"&query=",
    b";q=",
    b",",
    b"999999999999999999999",
    b"-1",
    b"1e999",
    b"null",
    b"true",
    b"__schema{types{name}}",
    b"\r\ncontent-length: 99999999\r\n",
    b"\r\ntransfer-encoding: chunked\r\n",
    b"0\r\n\r\n",
    b"\r\nexpect: 100-continue\r\n",
    b"\r\ncontent-encoding: gzip\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"mutation{bump}",
    b"documentId",
    b"persistedQuery",
];

/// How long a client waits for more of an answer before it hangs up.
const SILENCE: Duration = Duration::from_millis(250);
/// The most that is read of an answer: a damaged stream may have no end.
const ENOUGH: usize = 256 << 10;

#[derive(Clone, Debug)]
enum Damage {
    Byte(Index, u8),
    Cut(Index, usize),
    End(Index),
    Word(Index, Index),
    Repeat(Index, usize, usize),
    Other(Index, Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(place, byte)| Damage::Byte(place, byte)),
        (at(), 1..20_usize).prop_map(|(place, length)| Damage::Cut(place, length)),
        at().prop_map(Damage::End),
        (at(), at()).prop_map(|(place, word)| Damage::Word(place, word)),
        (at(), 1..40_usize, 1..400_usize)
            .prop_map(|(place, length, times)| Damage::Repeat(place, length, times)),
        (at(), at(), at()).prop_map(|(place, seed, from)| Damage::Other(place, seed, from)),
    ]
}

impl Damage {
    fn to(&self, text: &mut Vec<u8>, others: &[Vec<u8>]) {
        let place = |index: &Index, text: &[u8]| index.index(text.len() + 1);
        match self {
            Self::Byte(at, byte) => match place(at, text) {
                at if at < text.len() => text[at] = *byte,
                _ => text.push(*byte),
            },
            Self::Cut(at, length) => {
                let at = place(at, text);
                text.drain(at..(at + length).min(text.len()));
            }
            Self::End(at) => text.truncate(place(at, text)),
            Self::Word(at, word) => {
                let at = place(at, text);
                drop(text.splice(at..at, word.get(WORDS).iter().copied()));
            }
            Self::Repeat(at, length, times) => {
                let at = place(at, text);
                let part = text[at..(at + length).min(text.len())].repeat(*times);
                drop(text.splice(at..at, part));
            }
            Self::Other(at, other, from) => {
                let (at, other) = (place(at, text), other.get(others));
                let rest = other[place(from, other)..].to_vec();
                drop(text.splice(at..at, rest));
            }
        }
    }
}

/// Runs a property, for as long as was asked for.
fn hold<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/tests/fuzz.regressions");
    let config = ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(KEPT))),
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let seconds =
        std::env::var("COUNTERSIGN_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tried: u64 = 0;
    loop {
        TestRunner::new(config.clone())
            .run(strategy, &property)
            .unwrap_or_else(|failure| panic!("{failure}"));
        tried += u64::from(cases);
        if Instant::now() >= end {
            break;
        }
    }
    if seconds > 0 {
        eprintln!("figure: {tried} damaged requests");
    }
}

fn settings(request_time: Duration) -> Settings {
    let connections = Connections { header_time: Duration::from_millis(100), ..Connections::default() };
    Settings { request_time, batch: 5, connections, ..development() }
}

/// What must hold of an answer, whatever was asked.
fn check(status: u16, kind: &str, body: &[u8]) -> Result<(), TestCaseError> {
    const STATUSES: &[u16] =
        &[101, 200, 202, 400, 401, 404, 405, 406, 408, 413, 414, 415, 422, 426, 429, 431, 503, 505];
    prop_assert!(STATUSES.contains(&status), "{status}: {}", String::from_utf8_lossy(body));
    if body.len() < ENOUGH && kind.contains("json") {
        let json: Result<Value, _> = serde_json::from_slice(body);
        let Ok(json) = json else {
            return Err(TestCaseError::fail(format!("no JSON: {}", String::from_utf8_lossy(body))));
        };
        let problems = json["errors"].as_array().cloned().unwrap_or_default();
        prop_assert!(problems.iter().all(|error| error["extensions"]["code"].is_string()), "{json}");
        prop_assert!(!json.to_string().contains("secret"), "{json}");
    }
    Ok(())
}

#[test]
fn a_damaged_request_is_answered_by_the_protocol() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::start(settings(Duration::from_secs(5))));
    let router = TowerToHyperService::new(world.router());
    let others: Vec<Vec<u8>> = SEEDS.iter().map(|(.., body)| body.as_bytes().to_vec()).collect();
    let part = prop_oneof![4 => Just(0_usize), 3 => Just(1), 2 => Just(2), 1 => Just(3)];
    let strategy = (any::<Index>(), proptest::collection::vec((part, damage()), 0..5));
    hold(400, &strategy, |(seed, damages)| {
        let (method, path, headers, body) = seed.get(SEEDS);
        let mut parts =
            [body.as_bytes().to_vec(), path.as_bytes().to_vec(), Vec::new(), method.as_bytes().to_vec()];
        let mut headers: Vec<(&str, Vec<u8>)> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
        headers.push(("authorization", b"Bearer good".to_vec()));
        for (part, damage) in &damages {
            match part {
                2 => {
                    let at = damages.len() % headers.len();
                    damage.to(&mut headers[at].1, &others);
                }
                part => damage.to(&mut parts[*part], &others),
            }
        }
        let [body, path, _, method] = parts;
        let (Ok(method), Ok(uri)) = (Method::from_bytes(&method), Uri::try_from(path)) else { return Ok(()) };
        if uri.path().is_empty() {
            return Ok(());
        }
        let mut request = Request::builder().method(method.clone()).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let Ok(request) = request.body(Body::from(body)) else { return Ok(()) };
        let bumps = world.inside.bumps.load(Ordering::SeqCst);
        runtime.block_on(async {
            let Ok(answer) = timeout(PATIENCE, router.call(request)).await else {
                return Err(TestCaseError::fail("it was not answered"));
            };
            let answer = answer.unwrap_or_else(|never| match never {});
            let status = answer.status().as_u16();
            let header = |name: &str| {
                answer
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default()
                    .to_owned()
            };
            let (kind, encoding) = (header("content-type"), header("content-encoding"));
            let mut text = Vec::new();
            let mut parts = answer.into_body().into_data_stream();
            while text.len() < ENOUGH {
                match timeout(PATIENCE, parts.next()).await {
                    Ok(Some(Ok(part))) => text.extend_from_slice(&part),
                    Ok(_) => break,
                    Err(_) => return Err(TestCaseError::fail("the answer does not end")),
                }
            }
            check(status, if encoding.is_empty() { &kind } else { "" }, &text)
        })?;
        let bumped = world.inside.bumps.load(Ordering::SeqCst) > bumps;
        prop_assert!(!bumped || method == Method::POST, "a mutation ran by {method}");
        Ok(())
    });
    runtime.block_on(async {
        eventually("every stream ended", || world.streams() == 0).await;
        world.assert_alive().await;
    });
}

#[test]
fn damaged_bytes_end_their_connection_and_nothing_else() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::start(settings(Duration::from_millis(100))));
    let raw = |(method, path, headers, body): &(&str, &str, &[(&str, &str)], &str)| {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    };
    let seeds: Vec<Vec<u8>> = SEEDS.iter().map(raw).collect();
    let strategy = (any::<Index>(), proptest::collection::vec(damage(), 1..6));
    hold(40, &strategy, |(seed, damages)| {
        let mut message = seed.get(&seeds).clone();
        for damage in &damages {
            damage.to(&mut message, &seeds);
        }
        runtime.block_on(async {
            let mut stream = TcpStream::connect(world.address).await.unwrap();
            let said = async {
                // It may have been hung up on meanwhile.
                let _ = stream.write_all(&message).await;
                let mut answer = Vec::new();
                let mut part = [0; 4_096];
                while answer.len() < ENOUGH {
                    match timeout(SILENCE, stream.read(&mut part)).await {
                        Ok(Ok(length)) if length > 0 => answer.extend_from_slice(&part[..length]),
                        _ => break,
                    }
                }
                answer
            };
            let Ok(answer) = timeout(PATIENCE, said).await else {
                return Err(TestCaseError::fail("the connection does not end"));
            };
            let text = String::from_utf8_lossy(&answer);
            prop_assert!(!text.contains("secret") && !text.contains("HTTP/1.1 500"), "{text}");
            Ok(())
        })
    });
    runtime.block_on(async {
        eventually("every stream ended", || world.streams() == 0).await;
        // However busy the machine is.
        let alive =
            async { while world.query(serde_json::json!({ "query": "{ hello }" })).await.0 != 200 {} };
        timeout(PATIENCE, alive).await.unwrap();
    });
}
