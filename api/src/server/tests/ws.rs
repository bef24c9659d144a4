//! graphql-transport-ws, by scripts of what is said and heard.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::world::{PATIENCE, World, development, eventually};
use crate::server::settings::{Origins, Settings, Sockets};

const PROTOCOL: &str = "graphql-transport-ws";

pub(super) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What a client hears.
#[derive(Debug, PartialEq)]
enum Heard {
    Said(Value),
    Ping,
    Closed(u16),
    Gone,
}

impl Client {
    async fn connect(world: &World, headers: &[(&str, &str)]) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{}/graphql", world.address).into_client_request().unwrap();
        for (name, value) in headers {
            let name: tungstenite::http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        // A client that offers protocols expects one to be chosen; that the server refuses them all
        // afterwards, by its close code, is what some tests look for.
        match timeout(PATIENCE, connect_async(request)).await.unwrap() {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(error) => Err(error),
        }
    }

    async fn open(world: &World) -> Self {
        Self::connect(world, &[("sec-websocket-protocol", PROTOCOL)]).await.unwrap()
    }

    /// Opens and is let in.
    pub(super) async fn ready(world: &World) -> Self {
        let mut client = Self::open(world).await;
        client.say(&init("good")).await;
        assert_eq!(client.hear().await, Heard::Said(json!({ "type": "connection_ack" })));
        client
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(&subscribe(id, query)).await;
    }

    async fn hear(&mut self) -> Heard {
        match timeout(PATIENCE, self.0.next()).await.expect("something to hear") {
            Some(Ok(Message::Text(text))) => Heard::Said(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Ping(_))) => Heard::Ping,
            Some(Ok(Message::Close(Some(frame)))) => Heard::Closed(frame.code.into()),
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(_)) | None => Heard::Gone,
        }
    }

    /// The next thing that is said.
    pub(super) async fn said(&mut self) -> Value {
        match self.hear().await {
            Heard::Said(value) => value,
            other => panic!("{other:?}"),
        }
    }
}

fn init(token: &str) -> String {
    json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {token}") } })
        .to_string()
}

fn renewal(token: &str) -> String {
    json!({ "type": "ping", "payload": { "token": token } }).to_string()
}

fn subscribe(id: &str, query: &str) -> String {
    json!({ "id": id, "type": "subscribe", "payload": { "query": query } }).to_string()
}

fn next(id: &str, data: Value) -> Value {
    json!({ "id": id, "type": "next", "payload": { "data": data } })
}

fn complete(id: &str) -> Value {
    json!({ "id": id, "type": "complete" })
}

#[tokio::test]
async fn every_fault_has_its_close_code() {
    let sockets =
        Sockets { init_time: Duration::from_millis(150), message_bytes: 4_096, ..Sockets::default() };
    let world = World::start(Settings { sockets, ..development() }).await;
    let silence = subscribe("1", "subscription { silence }");
    let long = "x".repeat(5_000);
    let ack = json!({ "type": "connection_ack" });
    let scripts: Vec<(&str, Vec<String>, u16)> = vec![
        ("no JSON", vec!["hello".into()], 4400),
        ("no such type", vec![json!({ "type": "start" }).to_string()], 4400),
        (
            "a payload of another type",
            vec![json!({ "type": "connection_init", "payload": 7 }).to_string()],
            4400,
        ),
        (
            "subscribe without id",
            vec![init("good"), json!({ "type": "subscribe", "payload": {} }).to_string()],
            4400,
        ),
        (
            "subscribe without query",
            vec![init("good"), json!({ "id": "1", "type": "subscribe", "payload": {} }).to_string()],
            4400,
        ),
        (
            "variables of another type",
            vec![
                init("good"),
                json!({ "id": "1", "type": "subscribe", "payload": { "query": "{hello}", "variables": 7 } })
                    .to_string(),
            ],
            4400,
        ),
        ("subscribe before init", vec![silence.clone()], 4401),
        ("no token", vec![json!({ "type": "connection_init" }).to_string()], 4403),
        ("bad token", vec![init("bad")], 4403),
        ("forbidden token", vec![init("forbidden")], 4403),
        (
            "token of another type",
            vec![json!({ "type": "connection_init", "payload": { "token": 7 } }).to_string()],
            4403,
        ),
        ("token that is over", vec![init("expired")], 4403),
        ("token that ends meanwhile", vec![init("short"), silence.clone()], 4403),
        ("no init", vec![], 4408),
        ("pings are no init", vec![json!({ "type": "ping" }).to_string()], 4408),
        ("tokens that take too long", vec![init("slow")], 4408),
        ("a token that is revoked", vec![init("leaver"), silence.clone()], 4403),
        ("renewed by a bad token", vec![init("good"), renewal("bad")], 4403),
        ("renewed by another's token", vec![init("good"), renewal("other")], 4403),
        ("renewed by a token that is over", vec![init("good"), renewal("expired")], 4403),
        ("a fault of the tokens later", vec![init("good"), renewal("broken")], 4500),
        ("the same id twice", vec![init("good"), silence.clone(), silence], 4409),
        ("init twice", vec![init("good"), init("good")], 4429),
        ("a fault of the tokens", vec![init("broken")], 4500),
        ("a large message", vec![init(&long)], 1009),
    ];
    for (name, script, code) in scripts {
        let mut client = Client::open(&world).await;
        for message in &script {
            client.say(message).await;
        }
        let closed = loop {
            match client.hear().await {
                Heard::Said(said) if said == ack || said["type"] == "pong" => {}
                other => break other,
            }
        };
        assert_eq!(closed, Heard::Closed(code), "{name}");
    }
    let mut client = Client::open(&world).await;
    client.0.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(client.hear().await, Heard::Closed(4400), "binary");
    for (name, frame, code) in [
        ("no UTF-8", Frame::message(vec![0xff], OpCode::Data(Data::Text), true), 1007),
        ("a continuation of nothing", Frame::message(vec![1], OpCode::Data(Data::Continue), true), 1002),
    ] {
        let mut client = Client::open(&world).await;
        client.0.send(Message::Frame(frame)).await.unwrap();
        assert_eq!(client.hear().await, Heard::Closed(code), "{name}");
    }
    let mut client = Client::connect(&world, &[]).await.unwrap();
    assert_eq!(client.hear().await, Heard::Closed(4406), "no protocol");
    eventually("every stream is let go", || world.streams() == 0).await;
    world.assert_alive().await;
}

#[tokio::test]
async fn another_protocol_is_closed_with_its_code() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::start(development()).await;
    // The client library refuses an answer without a protocol, so this one speaks for itself.
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = "GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-ws\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    assert!(!String::from_utf8_lossy(&answer[..end]).contains("sec-websocket-protocol"));
    assert_eq!(answer[end], 0x88, "a close frame");
    assert_eq!(u16::from_be_bytes([answer[end + 2], answer[end + 3]]), 4406);
}

#[tokio::test]
async fn operations_run_to_their_end() {
    let world = World::start(development()).await;
    let mut client = Client::ready(&world).await;
    client.subscribe("q", "{ hello me }").await;
    assert_eq!(client.said().await, next("q", json!({ "hello": "world", "me": "Ada" })));
    assert_eq!(client.said().await, complete("q"));
    client.subscribe("m", "mutation { bump }").await;
    assert_eq!(client.said().await, next("m", json!({ "bump": 1 })));
    assert_eq!(client.said().await, complete("m"));
    client.subscribe("s", "subscription { count(to: 3) }").await;
    for i in 1..=3 {
        assert_eq!(client.said().await, next("s", json!({ "count": i })));
    }
    assert_eq!(client.said().await, complete("s"));
    // An id is free again after its end.
    client.subscribe("s", "subscription { count(to: 1) }").await;
    assert_eq!(client.said().await, next("s", json!({ "count": 1 })));
    assert_eq!(client.said().await, complete("s"));
    client.say(&json!({ "type": "ping", "payload": {} }).to_string()).await;
    assert_eq!(client.said().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn an_operation_that_fails_harms_itself_alone() {
    let world = World::start(Settings { request_time: Duration::from_millis(100), ..development() }).await;
    let mut client = Client::ready(&world).await;
    let deep = format!("{{ echo(value: {}{}) }}", "[".repeat(2_000), "]".repeat(2_000));
    let chain: String =
        (0..20).map(|i| format!("fragment f{i} on Query {{...f{0} ...f{0}}} ", i + 1)).collect();
    let chain = format!("{{ ...f0 }} {chain} fragment f20 on Query {{ hello }}");
    let cases = [
        ("{", "GRAPHQL_PARSE_FAILED", ""),
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED", ""),
        ("subscription { nope }", "GRAPHQL_VALIDATION_FAILED", ""),
        ("{ ...a } fragment a on Query { ...a }", "GRAPHQL_VALIDATION_FAILED", ""),
        (deep.as_str(), "LIMIT_EXCEEDED", "brackets"),
        (chain.as_str(), "LIMIT_EXCEEDED", "selections"),
        ("{ boom }", "INTERNAL", ""),
        ("{ forever }", "LIMIT_EXCEEDED", "requestTime"),
    ];
    for (query, code, limit) in cases {
        client.subscribe("1", query).await;
        let said = client.said().await;
        assert_eq!((&said["id"], &said["type"]), (&json!("1"), &json!("error")), "{query}");
        let error = &said["payload"][0];
        assert_eq!(error["extensions"]["code"], code, "{error}");
        assert_eq!(error["extensions"]["limit"].as_str().unwrap_or_default(), limit, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for depth in [1_000, 2_000, 6_000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let message = format!(
            r#"{{"id":"1","type":"subscribe","payload":{{"query":"query($v:JSON!){{echo(value:$v)}}","variables":{{"v":{nested}}}}}}}"#
        );
        client.say(&message).await;
        let said = client.said().await;
        assert_eq!(said["payload"][0]["extensions"]["limit"], "variablesDepth", "{said}");
    }
    // A panic after the first value is the stream's last word.
    client.subscribe("1", "subscription { trap }").await;
    assert_eq!(client.said().await, next("1", json!({ "trap": 0 })));
    let said = client.said().await;
    assert_eq!(
        (&said["type"], &said["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("INTERNAL"))
    );
    // A stream that cannot begin says why.
    client.subscribe("1", "subscription { refused }").await;
    assert_eq!(client.said().await["payload"]["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(client.said().await, complete("1"));
    // A field's error is part of an answer.
    client.subscribe("1", "{ hello conflict }").await;
    let said = client.said().await;
    assert_eq!(said["payload"]["data"]["hello"], "world");
    assert_eq!(said["payload"]["errors"][0]["extensions"]["code"], "CONFLICT");
    assert_eq!(client.said().await, complete("1"));
}

#[tokio::test]
async fn a_stream_that_the_client_completes_is_let_go() {
    let world = World::start(development()).await;
    let mut client = Client::ready(&world).await;
    client.subscribe("1", "subscription { silence }").await;
    eventually("the stream is open", || world.streams() == 1).await;
    client.say(&complete("1").to_string()).await;
    eventually("the stream is let go", || world.streams() == 0).await;
    // Completing what is not running is nothing; nothing more is said of the first.
    client.say(&complete("1").to_string()).await;
    client.subscribe("1", "{ hello }").await;
    assert_eq!(client.said().await, next("1", json!({ "hello": "world" })));
    assert_eq!(client.said().await, complete("1"));
    client.subscribe("2", "subscription { silence }").await;
    eventually("the stream is open", || world.streams() == 1).await;
    drop(client);
    eventually("the stream is let go", || world.streams() == 0).await;
}

#[tokio::test]
async fn a_socket_runs_only_so_many_operations() {
    let sockets = Sockets { operations: 2, ..Sockets::default() };
    let world = World::start(Settings { sockets, ..development() }).await;
    let mut client = Client::ready(&world).await;
    for id in ["1", "2", "3"] {
        client.subscribe(id, "subscription { silence }").await;
    }
    let said = client.said().await;
    assert_eq!((&said["id"], &said["type"]), (&json!("3"), &json!("error")));
    assert_eq!(said["payload"][0]["extensions"]["limit"], "operationsPerSocket");
    client.say(&complete("1").to_string()).await;
    client.subscribe("3", "{ hello }").await;
    assert_eq!(client.said().await, next("3", json!({ "hello": "world" })));
}

#[tokio::test]
async fn one_caller_opens_only_so_many_sockets() {
    let sockets = Sockets { per_actor: 2, ..Sockets::default() };
    let world = World::start(Settings { sockets, ..development() }).await;
    let first = Client::ready(&world).await;
    let _second = Client::ready(&world).await;
    let greet = async |token: &str| {
        let mut client = Client::open(&world).await;
        client.say(&init(token)).await;
        client.hear().await
    };
    assert_eq!(greet("good").await, Heard::Closed(4429));
    let ack = Heard::Said(json!({ "type": "connection_ack" }));
    assert_eq!(greet("other").await, ack, "others have places of their own");
    drop(first);
    let end = tokio::time::Instant::now() + PATIENCE;
    while greet("good").await != ack {
        assert!(tokio::time::Instant::now() < end, "a place becomes free");
    }
}

#[tokio::test]
async fn a_socket_is_renewed_in_place() {
    let world = World::start(development()).await;
    let ack = Heard::Said(json!({ "type": "connection_ack" }));
    let mut client = loop {
        let mut client = Client::open(&world).await;
        client.say(&init("leaver")).await;
        client.say(&renewal("longer")).await;
        assert_eq!(client.hear().await, ack);
        // Whoever left may be looked for in between; then it is too late.
        let Heard::Said(said) = client.hear().await else { continue };
        assert_eq!((&said["type"], &said["payload"]["renewed"]), (&json!("pong"), &json!(true)));
        assert!(said["payload"]["expiresAtMicros"].is_i64(), "{said}");
        break client;
    };
    client.subscribe("1", "subscription { silence }").await;
    let mut after = Client::open(&world).await;
    after.say(&init("leaver")).await;
    assert_eq!(after.hear().await, ack);
    assert_eq!(after.hear().await, Heard::Closed(4403), "its token is revoked");
    assert_eq!(world.streams(), 1, "the stream goes on");
    client.subscribe("2", "{ hello }").await;
    assert_eq!(client.said().await, next("2", json!({ "hello": "world" })));
}

#[tokio::test]
async fn tokens_come_by_payload_or_header() {
    let world = World::start(development()).await;
    let protocol = ("sec-websocket-protocol", PROTOCOL);
    let header = ("authorization", "Bearer good");
    let bad_header = ("authorization", "Bearer bad");
    let bare = json!({ "type": "connection_init" });
    let with = |payload: Value| json!({ "type": "connection_init", "payload": payload });
    let cases = [
        (vec![protocol, header], bare.clone(), true),
        (vec![protocol, bad_header], bare.clone(), false),
        (vec![protocol, bad_header], with(json!({ "token": "good" })), true),
        (vec![protocol, header], with(json!({ "token": "bad" })), false),
        (vec![protocol], with(json!({ "token": "good" })), true),
        (vec![protocol], with(json!({ "authorization": "Bearer good" })), true),
        (vec![protocol], with(json!({ "Authorization": "bearer good" })), true),
        (vec![protocol], with(json!({ "authorization": "good" })), false),
        (vec![protocol], bare, false),
    ];
    for (headers, init, let_in) in cases {
        let mut client = Client::connect(&world, &headers).await.unwrap();
        client.say(&init.to_string()).await;
        let expected =
            if let_in { Heard::Said(json!({ "type": "connection_ack" })) } else { Heard::Closed(4403) };
        assert_eq!(client.hear().await, expected, "{headers:?} {init}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_open_no_socket() {
    let origins = Origins::Listed(vec!["https://app.example.com".to_owned()]);
    let sockets = Sockets { origins, ..Sockets::default() };
    let world = World::start(Settings { sockets, ..development() }).await;
    let same = format!("http://{}", world.address);
    for (origin, opens) in
        [(same.as_str(), true), ("https://app.example.com", true), ("https://evil.example", false)]
    {
        let headers = [("sec-websocket-protocol", PROTOCOL), ("origin", origin)];
        match Client::connect(&world, &headers).await {
            Ok(_) => assert!(opens, "{origin}"),
            Err(tungstenite::Error::Http(response)) => {
                assert!(!opens && response.status() == 403, "{origin}: {}", response.status());
            }
            Err(error) => panic!("{origin}: {error}"),
        }
    }
}

#[tokio::test]
async fn the_server_pings_and_drops_the_silent() {
    let sockets = Sockets { ping_every: Duration::from_millis(40), ..Sockets::default() };
    let world = World::start(Settings { sockets, ..development() }).await;
    let mut client = Client::ready(&world).await;
    client.subscribe("1", "subscription { silence }").await;
    for _ in 0..5 {
        assert_eq!(client.hear().await, Heard::Ping);
        assert_eq!(client.said().await, json!({ "type": "ping" }));
    }
    assert_eq!(world.streams(), 1, "a client that answers stays");
    // Not read any more, it answers no more.
    eventually("the silent client is dropped", || world.streams() == 0).await;
    drop(client);
}

#[tokio::test]
async fn a_reader_that_stalls_is_dropped_and_others_are_not_late() {
    let sockets = Sockets { send_time: Duration::from_millis(100), ..Sockets::default() };
    let world = World::start(Settings { sockets, ..development() }).await;
    let mut stalled = Client::ready(&world).await;
    stalled.subscribe("1", "subscription { flood }").await;
    eventually("the flood runs", || world.streams() == 1).await;
    let mut other = Client::ready(&world).await;
    other.subscribe("1", "subscription { count(to: 100) }").await;
    for i in 1..=100 {
        assert_eq!(other.said().await, next("1", json!({ "count": i })));
    }
    eventually("the stalled reader is dropped", || world.streams() == 0).await;
    assert_eq!(other.said().await, complete("1"));
}

#[tokio::test]
async fn a_stop_closes_sockets_and_waits_for_them() {
    let mut world = World::start(development()).await;
    let mut before_init = Client::open(&world).await;
    let mut client = Client::ready(&world).await;
    client.subscribe("1", "subscription { silence }").await;
    eventually("the stream is open", || world.streams() == 1).await;
    world.stopping.cancel();
    assert_eq!(client.hear().await, Heard::Closed(1001));
    assert_eq!(before_init.hear().await, Heard::Closed(1001));
    assert_eq!(client.hear().await, Heard::Gone);
    assert_eq!(before_init.hear().await, Heard::Gone);
    timeout(PATIENCE, &mut world.serving).await.unwrap().unwrap();
    assert_eq!(world.streams(), 0);
}
