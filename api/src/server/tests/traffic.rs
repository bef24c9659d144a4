//! Who may ask how often and how much at once; what answers look like on the wire.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::world::{PATIENCE, World, development};
use super::ws::Client;
use crate::server::settings::{Origins, Rate, Rates, Settings, Sockets, Turns};
use crate::server::trusted::TrustedDocuments;

const NONE: Rate = Rate::NONE;

fn rates(actor: Rate, stranger: Rate) -> Settings {
    Settings { rates: Rates { actor, stranger }, ..development() }
}

fn extensions(body: &Value) -> &Value {
    &body["errors"][0]["extensions"]
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let world = World::start(rates(Rate { per_second: 1, burst: 3 }, NONE)).await;
    let ask = async |token: &str| {
        let request = world.http.post(world.url("/graphql")).bearer_auth(token);
        let request = request.header("content-type", "application/json").body(r#"{"query":"{hello}"}"#);
        request.send().await.unwrap()
    };
    let mut refused = None;
    for _ in 0..50 {
        let answer = ask("good").await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("it is too often in the end");
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(extensions(&body)["code"], "RATE_LIMITED");
    assert!(extensions(&body)["retryAfter"].as_u64() >= Some(1));
    assert_eq!(ask("other").await.status(), 200, "another one has a rate of its own");
    // Files are counted too.
    let upload = world.http.put(world.url("/v1/imports/01890000-0000-7000-8000-000000000000/upload"));
    let upload = upload.bearer_auth("good").body("x").send().await.unwrap();
    assert_eq!(upload.status(), 429);
    assert!(upload.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn who_guesses_tokens_stops_nobody_else() {
    let world = World::start(rates(NONE, Rate { per_second: 1, burst: 5 })).await;
    let ask = async |token: &str| {
        let request = world.http.post(world.url("/graphql")).bearer_auth(token);
        request
            .header("content-type", "application/json")
            .body(r#"{"query":"{hello}"}"#)
            .send()
            .await
            .unwrap()
    };
    assert_eq!(ask("good").await.status(), 200);
    let mut statuses = HashMap::<u16, usize>::new();
    for guess in 0..50 {
        let answer = ask(&format!("guess {guess}")).await;
        let status = answer.status().as_u16();
        *statuses.entry(status).or_default() += 1;
        if status == 429 {
            assert!(answer.headers().contains_key("retry-after"));
        }
    }
    assert!(statuses[&401] >= 4 && statuses[&429] > 0, "{statuses:?}");
    assert_eq!(ask("good").await.status(), 200, "who was known goes on");
}

/// Asks until the answer has this status.
async fn ask_until(world: &World, status: u16) -> reqwest::Response {
    let asking = async {
        loop {
            let answer = world.post().body(r#"{"query":"{hello}"}"#).send().await.unwrap();
            if answer.status() == status {
                return answer;
            }
        }
    };
    timeout(PATIENCE, asking).await.unwrap()
}

#[tokio::test]
async fn one_who_floods_waits_behind_itself() {
    let turns = Turns { at_once: 8, per_company: 8, per_actor: 2, waiting: 0 };
    let world = World::start(Settings { turns, ..development() }).await;
    let calls: Vec<_> =
        (0..2).map(|_| tokio::spawn(world.post().body(r#"{"query":"{forever}"}"#).send())).collect();
    let refused = ask_until(&world, 429).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(extensions(&body), &json!({ "code": "OVERLOADED", "retryAfter": 1 }));
    let other = world.http.post(world.url("/graphql")).bearer_auth("other");
    let other = other.header("content-type", "application/json").body(r#"{"query":"{hello}"}"#);
    assert_eq!(other.send().await.unwrap().status(), 200, "another person has a place");
    // Who leaves gives the place back.
    calls.iter().for_each(|call| call.abort());
    ask_until(&world, 200).await;
}

#[tokio::test]
async fn a_batch_is_bounded_and_within_the_limits_of_one() {
    let world = World::start(Settings { batch: 3, ..development() }).await;
    let hello = json!({ "query": "{ hello }" });
    let (status, body) =
        world.query(json!([hello, { "query": "mutation { bump }" }, { "query": "{ nope }" }])).await;
    assert_eq!((status, body.as_array().map(Vec::len)), (200, Some(3)));
    assert_eq!((&body[0]["data"]["hello"], &body[1]["data"]["bump"]), (&json!("world"), &json!(1)));
    assert_eq!(extensions(&body[2])["code"], "GRAPHQL_VALIDATION_FAILED");

    let roots = json!({ "query": format!("{{ {} }}", "hello ".repeat(20)) });
    let deep = format!("[{}]", "[".repeat(200));
    for (batch, code, limit) in [
        (json!([hello, hello, hello, hello]), "LIMIT_EXCEEDED", "batch"),
        (json!(vec![&hello; 500]), "LIMIT_EXCEEDED", "batch"),
        (json!([roots, roots, roots]), "LIMIT_EXCEEDED", "rootFields"),
        (json!([]), "BAD_REQUEST", ""),
        (json!([hello, 7]), "BAD_REQUEST", ""),
        (json!([[hello]]), "BAD_REQUEST", ""),
        (json!([hello, {}]), "BAD_REQUEST", ""),
    ] {
        let (status, body) = world.query(batch.clone()).await;
        assert_eq!(status, 400, "{batch}");
        let told = extensions(&body);
        assert_eq!(
            (&told["code"], told["limit"].as_str().unwrap_or_default()),
            (&json!(code), limit),
            "{batch}"
        );
    }
    let answer = world.post().body(deep).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let (_, body) = world.query(json!([{ "query": "subscription { count(to: 1) }" }])).await;
    assert_eq!(extensions(&body[0])["code"], "BAD_REQUEST");
}

#[tokio::test]
async fn pages_of_other_hosts_read_nothing_unless_they_are_listed() {
    let preflight = async |world: &World, origin: &str| {
        let request = world.http.request(Method::OPTIONS, world.url("/graphql")).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "authorization,content-type").send().await.unwrap()
    };
    let closed = World::start(development()).await;
    let answer = preflight(&closed, "https://app.example.com").await;
    assert_eq!(answer.status(), 405);
    assert!(!answer.headers().contains_key("access-control-allow-origin"));

    let origins = Origins::Listed(vec!["https://app.example.com".to_owned()]);
    let sockets = Sockets { origins, ..Sockets::default() };
    let world = World::start(Settings { sockets, ..development() }).await;
    let answer = preflight(&world, "https://app.example.com").await;
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(answer.status(), 200);
    assert_eq!(header("access-control-allow-origin").as_deref(), Some("https://app.example.com"));
    assert_eq!(header("access-control-allow-methods").as_deref(), Some("GET,POST,PUT"));
    assert!(header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(header("access-control-allow-credentials"), None);
    for origin in ["https://evil.example", "https://app.example.com.evil.example", "null"] {
        let answer = preflight(&world, origin).await;
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{origin}");
    }
    let answer = world.post().header("origin", "https://app.example.com").body(r#"{"query":"{hello}"}"#);
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example.com");
    let vary: Vec<&str> = answer
        .headers()
        .get_all("vary")
        .iter()
        .flat_map(|value| value.to_str().unwrap().split(", "))
        .collect();
    for part in ["accept", "authorization", "origin"] {
        assert!(vary.contains(&part), "{vary:?}");
    }
}

#[tokio::test]
async fn large_answers_are_compressed_as_the_client_likes() {
    let world = World::start(development()).await;
    let long = "a long text ".repeat(1_000);
    let query =
        json!({ "query": "query($v: JSON!) { echo(value: $v) }", "variables": { "v": long } }).to_string();
    let ask = async |encoding: &str, body: &str| {
        world.post().header("accept-encoding", encoding).body(body.to_owned()).send().await.unwrap()
    };
    let plain = ask("identity", &query).await.bytes().await.unwrap();
    for (asked, got, magic) in [
        ("gzip", "gzip", &[0x1f, 0x8b][..]),
        ("br", "br", &[]),
        ("zstd", "zstd", &[0x28, 0xb5, 0x2f, 0xfd]),
        ("gzip;q=0.5, br", "br", &[]),
        ("zstd;q=0, gzip;q=0.1", "gzip", &[0x1f, 0x8b]),
    ] {
        let answer = ask(asked, &query).await;
        assert_eq!(answer.headers()["content-encoding"], got, "{asked}");
        assert!(answer.headers().get_all("vary").iter().any(|value| value == "accept-encoding"), "{asked}");
        let body = answer.bytes().await.unwrap();
        assert!(body.len() < plain.len() / 4 && body.starts_with(magic), "{asked}: {} bytes", body.len());
        if got == "gzip" {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut text).unwrap();
            assert_eq!(text, plain);
        }
    }
    let small = ask("gzip, br, zstd", r#"{"query":"{hello}"}"#).await;
    assert!(!small.headers().contains_key("content-encoding"), "a small answer is sent as it is");
}

#[tokio::test]
async fn a_compressed_request_is_not_unpacked() {
    let world = World::start(development()).await;
    for encoding in ["gzip", "br", "zstd", "deflate", "gzip, gzip", "x", ""] {
        let answer = world.post().header("content-encoding", encoding).body("\x1f").send().await.unwrap();
        assert_eq!(answer.status(), 415, "{encoding:?}");
        assert_eq!(answer.headers()["accept-encoding"], "identity");
    }
    let answer = world.post().header("content-encoding", "identity").body(r#"{"query":"{hello}"}"#);
    assert_eq!(answer.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn trusted_documents_run_by_their_hash_over_every_transport() {
    let count = "subscription { count(to: 1) }";
    let manifest = json!({ "hello": "{ hello }", "bump": "mutation { bump }", "count": count }).to_string();
    let documents = Arc::new(TrustedDocuments::read(manifest.as_bytes(), true).unwrap());
    let world = World::start(Settings { documents, ..development() }).await;
    let (_, body) = world.query(json!({ "documentId": "hello" })).await;
    assert_eq!(body, json!({ "data": { "hello": "world" } }));
    assert_eq!(world.query(json!({ "query": "{ hello }" })).await.1, body, "its text is trusted as well");
    let (_, body) = world.query(json!({ "query": "{ me }" })).await;
    assert_eq!(extensions(&body)["code"], "PERSISTED_QUERY_REQUIRED");
    let (_, body) = world.query(json!({ "documentId": "nothing" })).await;
    assert_eq!(extensions(&body)["code"], "PERSISTED_QUERY_NOT_FOUND");

    let get = async |query: &str| {
        let url = world.url(&format!("/graphql?{query}"));
        let answer = world.http.get(url).bearer_auth("good").send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(get("documentId=hello").await.1["data"]["hello"], "world");
    assert_eq!(get("documentId=bump").await.0, 405, "by its hash a mutation is one, too");
    assert_eq!(world.inside.bumps.load(Ordering::SeqCst), 0);
    // As Apollo's clients ask.
    let hash = "1803cd5f3a4b3f2cd1e0da0b7cd7cb7ab8a6a5f9d8a58bb7dbcbd9d5a8ad1a5e";
    let unknown =
        format!("extensions=%7B%22persistedQuery%22:%7B%22version%22:1,%22sha256Hash%22:%22{hash}%22%7D%7D");
    assert_eq!(extensions(&get(&unknown).await.1)["code"], "PERSISTED_QUERY_NOT_FOUND");

    let events = world.post().header("accept", "text/event-stream").body(r#"{"documentId":"count"}"#);
    let text = events.send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#"{"data":{"count":1}}"#), "{text}");
    let events = world.post().header("accept", "text/event-stream").body(r#"{"query":"{ me }"}"#);
    let text = events.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("PERSISTED_QUERY_REQUIRED"), "{text}");

    let mut socket = Client::ready(&world).await;
    socket.say(r#"{"id":"1","type":"subscribe","payload":{"documentId":"count"}}"#).await;
    assert_eq!(socket.said().await["payload"], json!({ "data": { "count": 1 } }));
    assert_eq!(socket.said().await["type"], "complete");
    socket.say(r#"{"id":"2","type":"subscribe","payload":{"query":"{ me }"}}"#).await;
    assert_eq!(socket.said().await["payload"][0]["extensions"]["code"], "PERSISTED_QUERY_REQUIRED");
}
