use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::{PATIENCE, World};
use crate::server::settings::Settings;

const ID: &str = "018f0000-0000-7000-8000-000000000001";
const NIL: &str = "00000000-0000-0000-0000-000000000000";
const MAX: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

fn path(id: &str) -> String {
    format!("/v1/imports/{id}/upload")
}

#[tokio::test]
async fn every_upload_has_its_answer() {
    let world = World::start(Settings { upload_bytes: 1 << 20, ..Settings::default() }).await;
    let large = "x".repeat((1 << 20) + 1);
    let parts = stream::iter((0..100).map(|_| Ok::<_, std::io::Error>("x".repeat(64 << 10)))).boxed();
    let cases: Vec<(&str, &str, &str, reqwest::Body, u16, &str)> = vec![
        ("good", "good", ID, "report".into(), 202, ""),
        ("as large as allowed", "good", ID, "x".repeat(1 << 20).into(), 202, ""),
        ("no token", "", ID, "report".into(), 401, "UNAUTHENTICATED"),
        ("bad token", "bad", ID, large.clone().into(), 413, "LIMIT_EXCEEDED"),
        ("unknown", "good", NIL, "report".into(), 404, "NOT_FOUND"),
        ("no id", "good", "7", "x".repeat(1 << 20).into(), 404, "NOT_FOUND"),
        ("malformed", "good", ID, "bad report".into(), 422, "REPORT_MALFORMED"),
        ("announced", "good", ID, large.into(), 413, "LIMIT_EXCEEDED"),
        ("streamed", "good", ID, reqwest::Body::wrap_stream(parts), 413, "LIMIT_EXCEEDED"),
    ];
    for (name, token, id, body, status, code) in cases {
        let mut request = world.http.put(world.url(&path(id))).body(body);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(response.status(), status, "{name}");
        let headers = response.headers().clone();
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["code"].as_str().unwrap_or_default(), code, "{name}: {body}");
        if !code.is_empty() {
            assert_eq!(headers["content-type"], "application/problem+json", "{name}");
            assert_eq!(body["status"], status, "{name}");
        }
        assert_eq!(headers.contains_key("www-authenticate"), status == 401, "{name}");
    }
    assert_eq!(world.received.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [6, 1 << 20]);
    let malformed =
        world.http.put(world.url(&path(ID))).bearer_auth("good").body("bad").send().await.unwrap();
    assert_eq!(malformed.json::<Value>().await.unwrap()["line"], 1);
    world.assert_alive().await;
}

#[tokio::test]
async fn a_panic_of_the_receiver_harms_its_own_response_alone() {
    let world = World::start(Settings::default()).await;
    let response =
        world.http.put(world.url(&path(MAX))).bearer_auth("good").body("report").send().await.unwrap();
    assert_eq!(response.status(), 500);
    let body = response.text().await.unwrap();
    assert!(body.contains("INTERNAL") && body.contains("traceId") && !body.contains("secret"), "{body}");
    world.assert_alive().await;
}

#[tokio::test]
async fn an_upload_that_rests_or_breaks_off_is_not_kept() {
    let world =
        World::start(Settings { upload_idle: Duration::from_millis(50), ..Settings::default() }).await;
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: 100\r\n\r\nhalf",
        path(ID)
    );
    let mut resting = TcpStream::connect(world.address).await.unwrap();
    resting.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    timeout(PATIENCE, resting.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 500");

    let mut broken = TcpStream::connect(world.address).await.unwrap();
    broken.write_all(head.as_bytes()).await.unwrap();
    drop(broken);
    world.assert_alive().await;
    assert!(world.received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_download_is_streamed_under_a_safe_name() {
    let world = World::start(Settings::default()).await;
    let get = |id: &str| world.http.get(world.url(&format!("/v1/exports/{id}")));
    let response = get(ID).bearer_auth("good").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(response.headers()["content-disposition"], "attachment; filename=\"find_ings__.csv\"");
    assert_eq!(response.headers()["content-length"], "8");
    assert_eq!(response.text().await.unwrap(), "a,b\n1,2\n");
    assert_eq!(get(NIL).bearer_auth("good").send().await.unwrap().status(), 404);
    assert_eq!(get("x").bearer_auth("good").send().await.unwrap().status(), 404);
    let refused = get(ID).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], json!("UNAUTHENTICATED"));
}
