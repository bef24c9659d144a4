//! Sockets that say anything: whatever comes, each ends or answers, and the next is served.
//!
//! `PROPTEST_CASES` says how many are tried. What was found to hurt is kept beside this file and tried
//! first.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::{PATIENCE, World, development, eventually};
use crate::server::settings::{Settings, Sockets};

/// The codes that `docs/sockets.md` lists, and no other.
const CODES: [u16; 12] = [1000, 1001, 1002, 1007, 1009, 4400, 4401, 4403, 4406, 4408, 4409, 4429];
const CASES: u32 = 200;
const LARGEST: usize = 4_096;

/// One thing that a client does.
#[derive(Clone, Debug)]
enum Act {
    /// A message of the protocol.
    Say(String),
    /// The same with some bytes changed, cut off or added.
    Garble(String, Vec<(usize, u8)>, usize),
    /// A frame with this first byte and this body.
    Frame(u8, Vec<u8>),
    /// A message in two frames, with a ping in between.
    Split(String, usize),
    /// Bytes that are no frame.
    Raw(Vec<u8>),
    /// A close frame with this code.
    Close(u16),
}

fn message() -> impl Strategy<Value = String> {
    let id = prop_oneof![Just("1"), Just("2"), Just(""), Just("\\u0000")];
    let query = prop_oneof![
        Just("{ hello }"),
        Just("{ boom }"),
        Just("{ nope }"),
        Just("{"),
        Just("mutation { bump }"),
        Just("subscription { count(to: 5) }"),
        Just("subscription { silence }"),
        Just("subscription { trap }"),
        Just("subscription { refused }"),
        Just("subscription { count(to: 2) silence }"),
        Just("query($v: JSON!) { echo(value: $v) }"),
    ];
    let payload = prop_oneof![
        20 => query.prop_map(|query| json!({ "query": query, "variables": { "v": [1, { "a": null }] } })),
        20 => Just(json!({})),
        20 => Just(json!(7)),
        20 => Just(json!({ "query": 1 })),
        20 => Just(json!({ "token": "good" })),
        20 => Just(json!({ "token": "bad" })),
        20 => Just(json!({ "token": "longer" })),
        // Seldom: whoever sends it is given a second to read why it is closed.
        1 => Just(json!({ "token": "x".repeat(LARGEST) })),
    ];
    let kind = prop_oneof![
        4 => Just("connection_init"), 6 => Just("subscribe"), 3 => Just("complete"), 2 => Just("ping"),
        1 => Just("pong"), 1 => Just("next"), 1 => Just(""),
    ];
    let any_message = (kind, id, payload)
        .prop_map(|(kind, id, payload)| json!({ "type": kind, "id": id, "payload": payload }).to_string());
    prop_oneof![
        2 => Just(json!({ "type": "connection_init", "payload": { "token": "good" } }).to_string()),
        5 => any_message,
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    let changes = proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4);
    prop_oneof![
        12 => message().prop_map(Act::Say),
        4 => (message(), changes, any::<usize>()).prop_map(|(text, changes, cut)| Act::Garble(text, changes, cut)),
        3 => (any::<u8>(), bytes(200)).prop_map(|(first, body)| Act::Frame(first, body)),
        2 => (message(), any::<usize>()).prop_map(|(text, at)| Act::Split(text, at)),
        1 => bytes(64).prop_map(Act::Raw),
        1 => any::<u16>().prop_map(Act::Close),
    ]
}

/// A frame of a client: masked with zeros, which leaves its body as it is.
fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(body.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((body.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(body);
    frame
}

impl Act {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Say(text) => frame(0x81, text.as_bytes()),
            Self::Garble(text, changes, cut) => {
                let mut bytes = text.clone().into_bytes();
                for (at, byte) in changes {
                    let at = at % bytes.len();
                    bytes[at] = *byte;
                }
                bytes.truncate(cut % (bytes.len() * 2) + 1);
                frame(0x81, &bytes)
            }
            Self::Frame(first, body) => frame(*first, body),
            Self::Split(text, at) => {
                let (begin, end) = text.as_bytes().split_at(at % text.len());
                [frame(0x01, begin), frame(0x89, b"hello"), frame(0x80, end)].concat()
            }
            Self::Raw(bytes) => bytes.clone(),
            Self::Close(code) => frame(0x88, &code.to_be_bytes()),
        }
    }

    /// Whether it is a frame that every client may send.
    fn is_sane(&self) -> bool {
        matches!(self, Self::Say(_) | Self::Split(..))
    }
}

/// What a server sent: its messages, and the code that it closed with.
fn read(mut bytes: &[u8]) -> (Vec<Value>, Option<u16>) {
    let (mut messages, mut code) = (Vec::new(), None);
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match (length, rest) {
            (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            (127, rest) if rest.len() >= 8 => {
                (usize::try_from(u64::from_be_bytes(rest[..8].try_into().unwrap())).unwrap(), &rest[8..])
            }
            (short, rest) => (usize::from(*short), rest),
        };
        assert!(code.is_none(), "nothing comes behind a close frame");
        let Some((body, behind)) = rest.split_at_checked(length) else { break };
        match first & 0x0f {
            1 => messages.push(serde_json::from_slice(body).expect("messages are JSON")),
            8 if body.len() >= 2 => code = Some(u16::from_be_bytes([body[0], body[1]])),
            8 => code = Some(1000),
            9 | 10 => {}
            other => panic!("a frame of the kind {other}"),
        }
        bytes = behind;
    }
    (messages, code)
}

/// Nothing is said of an operation that has ended, unless it is asked for again and answers.
fn check_messages(messages: &[Value]) {
    let mut ended = HashSet::new();
    for message in messages {
        let id = message["id"].as_str().unwrap_or_default();
        match message["type"].as_str().unwrap() {
            "connection_ack" | "pong" | "ping" => {}
            "next" => drop(ended.remove(id)),
            "error" => drop(ended.insert(id)),
            "complete" => assert!(ended.insert(id), "{message}"),
            other => panic!("a message of the type {other}"),
        }
    }
}

async fn play(world: &World, acts: &[Act]) {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = "GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    while !all.windows(4).any(|part| part == b"\r\n\r\n") {
        let mut some = [0; 512];
        let many = timeout(PATIENCE, stream.read(&mut some)).await.unwrap().unwrap();
        assert!(many > 0, "the server opens a socket");
        all.extend_from_slice(&some[..many]);
    }
    let end = all.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    let mut all = all.split_off(end);
    let (mut reader, mut writer) = stream.split();
    let writing = async {
        for act in acts {
            // A server that has closed takes no more.
            if writer.write_all(&act.bytes()).await.is_err() {
                return;
            }
        }
        // No client says this, so every socket ends here at the latest.
        if writer.write_all(&frame(0x81, b"the end")).await.is_ok() {
            let _ = writer.shutdown().await;
        }
    };
    let reading = async {
        // A reset is an end, too.
        let _ = reader.read_to_end(&mut all).await;
    };
    let both = async { tokio::join!(writing, reading) };
    timeout(PATIENCE, both).await.expect("every socket ends");
    let (messages, code) = read(&all);
    check_messages(&messages);
    if let Some(code) = code {
        assert!(CODES.contains(&code) || acts.iter().any(|act| !act.is_sane()), "{code}");
    }
    if acts.iter().all(Act::is_sane) {
        assert!(code.is_some(), "a client that is in order is told why");
    }
}

#[test]
fn whatever_is_said_the_server_goes_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sockets = Sockets {
        init_time: Duration::from_millis(300),
        message_bytes: LARGEST,
        operations: 3,
        per_actor: 1_000,
        ..Sockets::default()
    };
    let world = runtime.block_on(World::start(Settings { sockets, ..development() }));
    let mut config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("seeds"))),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let acts = proptest::collection::vec(act(), 0..12);
    TestRunner::new(config)
        .run(&acts, |acts| {
            runtime.block_on(play(&world, &acts));
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        eventually("every stream is let go", || world.streams() == 0).await;
        world.assert_alive().await;
    });
}
