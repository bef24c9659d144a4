//! What requests made to hurt cost the real server, as a process of its own: the time until each is
//! refused, and the memory that it had meanwhile beyond what it has when it rests.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use support::{Database, Engine, tell};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::crash::process::{Served, Site};

/// How long the server is waited for, however busy the machine.
const READY: Duration = Duration::from_secs(120);
/// The most memory that one of them may cost.
const MOST_MEMORY: u64 = 64 << 20;
/// How often each is sent; the slowest counts.
const TIMES: usize = 5;

struct Hostile {
    name: &'static str,
    body: Vec<u8>,
    encoding: Option<&'static str>,
    /// The status, the code and the limit that refuse it.
    refused: (u16, &'static str, &'static str),
}

fn hostile() -> Vec<Hostile> {
    let of = |name, query: String, refused| Hostile {
        name,
        body: json!({ "query": query }).to_string().into_bytes(),
        encoding: None,
        refused,
    };
    let repeat = |count: usize, part: &dyn Fn(usize) -> String| -> String { (0..count).map(part).collect() };
    let chain = repeat(20, &|at| format!("fragment f{at} on Query{{...f{0} ...f{0}}}", at + 1));
    let deep = format!("{}user{{id}}{}", "viewer{".repeat(3_000), "}".repeat(3_000));
    let introspection = format!("{}name{}", "fields{type{".repeat(12), "}}".repeat(12));
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..100 {
        bomb.write_all(&vec![b' '; 1 << 20]).expect("memory can be written to");
    }
    let plain = |name, body: Vec<u8>, refused| Hostile { name, body, encoding: None, refused };
    const LIMIT: &str = "LIMIT_EXCEEDED";
    vec![
        of(
            "exponential fragments",
            format!("{{...f0}}{chain}fragment f20 on Query{{serverInfo{{version}}}}"),
            (200, LIMIT, "selections"),
        ),
        of("3,000 deep", format!("{{{deep}}}"), (200, LIMIT, "brackets")),
        of(
            "500 aliases",
            format!("{{viewer{{{}}}}}", repeat(500, &|at| format!("a{at}:roles "))),
            (200, LIMIT, "aliases"),
        ),
        of("10,000 fields", format!("{{viewer{{{}}}}}", "roles ".repeat(10_000)), (200, LIMIT, "selections")),
        of(
            "6,000 nested values",
            format!("{{criteriaSentence(criteria:{}{}){{sentence}}}}", "[".repeat(6_000), "]".repeat(6_000)),
            (200, LIMIT, "brackets"),
        ),
        plain(
            "6,000 nested variables",
            format!(
                r#"{{"query":"{{viewer{{roles}}}}","variables":{{"a":{}{}}}}}"#,
                "[".repeat(6_000),
                "]".repeat(6_000)
            )
            .into_bytes(),
            (400, LIMIT, "variablesDepth"),
        ),
        of("20 MiB body", format!("{{viewer{{roles}}}}#{}", "x".repeat(20 << 20)), (413, LIMIT, "bodyBytes")),
        plain(
            "batch of 500",
            Json::from(vec![json!({ "query": "{viewer{roles}}" }); 500]).to_string().into_bytes(),
            (400, "BAD_REQUEST", ""),
        ),
        of(
            "circular fragments",
            "{...a}fragment a on Query{...b}fragment b on Query{...a}".to_owned(),
            (200, "GRAPHQL_VALIDATION_FAILED", ""),
        ),
        of("introspection bomb", format!("{{__schema{{types{{{introspection}}}}}}}"), (200, LIMIT, "depth")),
        of("introspection", "{__schema{types{name}}}".to_owned(), (200, "FORBIDDEN", "")),
        Hostile {
            name: "compressed bomb",
            body: bomb.finish().expect("memory can be written to"),
            encoding: Some("gzip"),
            refused: (415, "BAD_REQUEST", ""),
        },
    ]
}

/// A number of `/proc/…/status`, in bytes.
fn memory(process: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Forgets the peak, and tells what there is now.
fn resting(process: u32) -> Option<u64> {
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").ok()?;
    memory(process, "VmRSS")
}

fn mib(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB")
}

async fn next_is_answered(served: &Served, after: &str) {
    let next = served.wire.ask("{ viewer { roles } }", json!({})).await;
    assert_eq!(next["viewer"]["roles"], json!(["ADMIN"]), "after {after}");
}

/// One request, its answer, and how long that took.
async fn send(served: &Served, hostile: &Hostile) -> (u16, Json, Duration) {
    let mut request = served.wire.asking(reqwest::Method::POST, "/graphql");
    request = request.header("content-type", "application/json").body(hostile.body.clone());
    if let Some(encoding) = hostile.encoding {
        request = request.header("content-encoding", encoding);
    }
    let began = Instant::now();
    let answer = request.send().await.expect("the server answers");
    let (status, text) = (answer.status().as_u16(), answer.text().await.expect("the answer is whole"));
    (status, serde_json::from_str(&text).expect("an answer is JSON"), began.elapsed())
}

/// Two hundred connections that send their head a byte at a time: how long until the last is hung up
/// on, while others are served.
async fn slow_loris(served: &Served) -> Duration {
    let address = served.wire.address();
    let began = Instant::now();
    let one = async || {
        let mut stream = TcpStream::connect(address).await.expect("the server accepts");
        let (mut answer, mut sent) = (Vec::new(), 0);
        let head = "GET /graphql HTTP/1.1\r\nhost: x\r\nx-slow: ".bytes().chain(std::iter::repeat(b'a'));
        for byte in head {
            let mut part = [0; 512];
            // The pace of the attack.
            match tokio::time::timeout(Duration::from_millis(250), stream.read(&mut part)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(length)) => answer.extend_from_slice(&part[..length]),
                Err(_) if stream.write_all(&[byte]).await.is_err() => break,
                Err(_) => sent += 1,
            }
            assert!(began.elapsed() < READY, "still open after {sent} bytes");
        }
    };
    let all = futures_util::future::join_all((0..200).map(|_| one()));
    let others = async {
        for _ in 0..20 {
            next_is_answered(served, "slow heads").await;
        }
    };
    tokio::join!(all, others);
    began.elapsed()
}

#[test]
fn what_is_made_to_hurt_costs_little() {
    let Some(database) = Database::fresh(Engine::Sqlite) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
    runtime.block_on(async {
        let mut site = Site::of(&database);
        let served = site.serve(READY).await;
        let process = served.process();
        for hostile in hostile() {
            next_is_answered(&served, "nothing").await;
            let rest = process.and_then(resting);
            let mut slowest = Duration::ZERO;
            for _ in 0..TIMES {
                let (status, answer, took) = send(&served, &hostile).await;
                let told = &answer["errors"][0]["extensions"];
                let limit = told["limit"].as_str().unwrap_or_default();
                assert_eq!((status, told["code"].as_str().unwrap_or_default(), limit), hostile.refused, "{}", hostile.name);
                slowest = slowest.max(took);
            }
            let peak = process.and_then(|process| memory(process, "VmHWM"));
            next_is_answered(&served, hostile.name).await;
            let cost = rest.zip(peak).map(|(rest, peak)| peak.saturating_sub(rest));
            let (status, code, limit) = hostile.refused;
            let (kib, shown) = (hostile.body.len() >> 10, cost.map_or("not known".to_owned(), mib));
            tell(&format!(
                "{} ({kib} KiB): {status} {code} {limit}, slowest of {TIMES} {slowest:.1?}, {shown} over rest",
                hostile.name
            ));
            assert!(cost.is_none_or(|cost| cost < MOST_MEMORY), "{}", hostile.name);
        }
        let rest = process.and_then(resting);
        let took = slow_loris(&served).await;
        let peak = process.and_then(|process| memory(process, "VmHWM"));
        let cost = rest.zip(peak).map(|(rest, peak)| peak.saturating_sub(rest));
        let shown = cost.map_or("not known".to_owned(), mib);
        tell(&format!("200 slow heads: hung up on after {took:.1?}, {shown} over rest, others served meanwhile"));
        assert!(cost.is_none_or(|cost| cost < MOST_MEMORY));
        next_is_answered(&served, "slow heads").await;
    });
}
