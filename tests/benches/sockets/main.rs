//! What open sockets cost: the memory of 10,000 that idle, one company's stream to 1,000 readers
//! beside a bare loop that writes the same bytes, and 100 readers that never read among them.
//!
//! `cargo bench --workspace --bench sockets`, with `-- idle`, `-- fanout` or `-- stalled` for one of
//! them. The server is the real one, as a process of its own; so is the bare loop.
//! `COUNTERSIGN_SOCKETS` says how many idle (10,000 if not set), `COUNTERSIGN_READERS` how many read
//! (1,000), and `COUNTERSIGN_SECONDS` how long each rate is held (15).

mod process;
mod readers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::access::{Actor, GLOBAL, Portfolio, Role};
use domain::gateway::clock::Clock;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intake::limits::Limits;
use domain::inventory::project::NewProject;
use domain::inventory::token::{Holder, NewToken};
use domain::inventory::user::NewUser;
use domain::job::JobState;
use domain::signin::SignInSettings;
use domain::store::Db;
use domain::{Domain, Settings};
use futures_util::{StreamExt, stream};
use serde_json::{Value as Json, json};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use process::{Bare, Process};
use readers::{Readers, Reading};

/// The server's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IDLE: usize = 10_000;
const READERS: usize = 1_000;
const STALLED: usize = 100;
const RATES: [u32; 2] = [20, 100];
const SECONDS: usize = 15;
const PEOPLE: usize = 120;
const FINDINGS: usize = 50;
/// How many changes are on their way at once: fewer than findings, so that no finding's changes meet.
const CHANGES_AT_ONCE: usize = 16;
/// How often the readers are sent something while others stall.
const STALLED_RATE: u32 = 20;

/// What a list of findings watches.
const LIST: &str = "subscription { findingChanged { ... on FindingSnapshot { cursor }
    ... on FindingChange { cursor at delta event finding { id title severity status tags cveIds
        asset { name } } } } }";
/// The same with all that a page of one finding shows; it fills the buffers of those who do not read.
const LARGE: &str = "subscription { findingChanged { ... on FindingSnapshot { cursor }
    ... on FindingChange { cursor at delta event finding { id title description tags layers { field entries { layer value } } } } } }";

/// What a variable says, or else `usual`.
fn set(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// How long each rate is held.
fn span() -> Duration {
    Duration::from_secs(set("COUNTERSIGN_SECONDS", SECONDS) as u64)
}

#[tokio::main]
async fn main() {
    if process::played().await {
        return;
    }
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    let site = Site::build().await;
    if is_asked("idle") {
        idle(&site).await;
    }
    if is_asked("fanout") {
        fanout(&site).await;
    }
    if is_asked("stalled") {
        stalled(&site).await;
    }
}

/// A database with a company, and the tokens of its people.
struct Site {
    folder: tempfile::TempDir,
    tokens: Vec<String>,
}

impl Site {
    fn database(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("bench.db").display())
    }

    async fn build() -> Self {
        let mut site = Self { folder: tempfile::tempdir().expect("a folder"), tokens: Vec::new() };
        let db = Db::open(&site.database()).await.expect("a database");
        db.migrate().await.expect("a migrated database");
        let settings = Settings {
            folder: site.folder.path().join("maker"),
            limits: Limits::default(),
            sign_in: SignInSettings::default(),
        };
        std::fs::create_dir_all(&settings.folder).expect("a folder");
        let clock = Clock::system();
        let worker = clock.id();
        let domain = Domain::new(db.clone(), clock, settings, worker);
        let platform = Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "bench") };
        let company = domain.company_create(&platform, "Bench", false).await.expect("a company");
        let actor = Actor::system(company.id, "bench");
        for person in 0..PEOPLE {
            let name = format!("person {person}");
            let grant = Some((Role::Analyst, Portfolio::Whole));
            let email = format!("person{person}@bench.example");
            let user = NewUser { email, name, grant, platform_admin: false };
            let user = domain.user_create(&actor, user).await.expect("a user");
            let holder = Some(Holder::User(user.id));
            let token = NewToken { holder, name: "bench".to_owned(), scopes: None, life: None };
            let (_, secret) = domain.token_create(&actor, token).await.expect("a token");
            site.tokens.push(secret.reveal().to_owned());
        }
        let stop = CancellationToken::new();
        let workers = tokio::spawn({
            let (domain, stop) = (domain.clone(), stop.clone());
            async move { domain.run_jobs(stop).await }
        });
        import(&domain, &actor).await;
        stop.cancel();
        workers.await.expect("the workers end").expect("well");
        drop(domain);
        db.close().await.expect("a database closes");
        site
    }
}

async fn import(domain: &Domain, actor: &Actor) {
    let new = NewProject { name: "p".into(), description: None };
    let project = domain.project_create(actor, new).await.expect("a project");
    let fields = ["asset", "title", "severity", "scanner_reference", "cve_ids", "description"];
    let columns: serde_json::Map<String, Json> =
        fields.iter().map(|field| ((*field).to_owned(), json!(field))).collect();
    let mapping = json!({ "columns": columns, "identity": ["scanner_reference"] });
    let request = ImportRequest {
        project: project.id,
        format: Some(Format::Jsonl),
        mapping: serde_json::from_value(mapping).expect("a mapping"),
        saved: None,
        asset: None,
        series: Some("bench".to_owned()),
        complete: true,
        name: "bench".to_owned(),
    };
    let line = |n: usize| {
        json!({
            "asset": format!("host-{:03}.example", n % 20), "title": format!("Weakness {n}"), "severity": "high",
            "scanner_reference": format!("CHECK-{n}"), "cve_ids": format!("CVE-2026-{n:05}"),
            "description": "A flaw in the parser lets a remote sender read past the end of a buffer. ".repeat(200),
        })
    };
    let report: String = (0..FINDINGS).map(|n| format!("{}\n", line(n))).collect();
    let job = domain.import_start(actor, request).await.expect("an import");
    let mut incoming = domain.import_upload(actor, job.id).await.expect("an upload");
    incoming.write(report.as_bytes()).await.expect("bytes");
    incoming.finish().await.expect("an end");
    let steps = domain.job_steps(actor, job.id, Some(0)).await.expect("steps");
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = steps.next().await {
        step.expect("a step");
    }
    let ended = domain.job(actor, job.id).await.expect("the job");
    assert_eq!(ended.state, JobState::Completed, "{:?}", ended.error);
}

/// Makes changes of findings, each one event.
struct Producer {
    http: reqwest::Client,
    url: String,
    token: String,
    findings: Vec<String>,
    made: usize,
}

impl Producer {
    async fn of(server: &Process, token: &str) -> Self {
        domain::gateway::http::ready();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("http://{}/graphql", server.address);
        let mut producer = Self { http, url, token: token.to_owned(), findings: Vec::new(), made: 0 };
        let listed = producer.ask("{ findings(first: 500) { nodes { id } } }", json!({})).await;
        let nodes = listed["findings"]["nodes"].as_array().expect("a list");
        producer.findings = nodes.iter().filter_map(|node| node["id"].as_str()).map(str::to_owned).collect();
        assert_eq!(producer.findings.len(), FINDINGS);
        producer
    }

    async fn ask(&self, query: &str, variables: Json) -> Json {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let answer = request.header("content-type", "application/json").body(body).send().await;
        let answer: Json = answer.expect("an answer").json().await.expect("JSON");
        assert!(answer["errors"].is_null(), "{answer}");
        answer["data"].clone()
    }

    /// Tags a finding, or takes the tag away.
    async fn change(&self, number: usize) {
        let finding = &self.findings[number % FINDINGS];
        let word = if (number / FINDINGS).is_multiple_of(2) { "add" } else { "remove" };
        let query = format!(
            "mutation($id: ID!) {{ findingTag(id: $id, input: {{ {word}: [\"bench\"] }}) {{ userErrors {{ code }} }} }}"
        );
        let done = self.ask(&query, json!({ "id": finding })).await;
        assert_eq!(done["findingTag"]["userErrors"], json!([]));
    }

    /// So many changes a second for so long, or as many as the server can make.
    async fn run(&mut self, rate: u32, time: Duration) -> Made {
        let mut every = interval(Duration::from_secs(1) / rate);
        every.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (begun, start) = (self.made, Instant::now());
        let ticks = stream::unfold(every, |mut every| async move {
            every.tick().await;
            Some(((), every))
        });
        let ticks = ticks.take_while(|()| std::future::ready(start.elapsed() < time));
        let producer = &*self;
        let changes = ticks.enumerate().map(|(number, ())| producer.change(begun + number));
        self.made += changes.buffered(CHANGES_AT_ONCE).count().await;
        Made { events: self.made - begun, took: start.elapsed() }
    }
}

/// What a producer made.
#[derive(Clone, Copy)]
struct Made {
    events: usize,
    took: Duration,
}

impl Made {
    /// How many a second.
    fn rate(self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }
}

async fn idle(site: &Site) {
    let count = set("COUNTERSIGN_SOCKETS", IDLE);
    println!("\n{count} sockets that idle");
    println!("{:<44} {:>10} {:>14}", "", "memory", "for each");
    let server = Process::serve(site).await;
    sleep(Duration::from_secs(1)).await;
    let before = server.memory();
    let tell = |what: &str, now: u64| {
        let each = now.saturating_sub(before) as f64 / count as f64;
        println!("{what:<44} {:>6} MiB {each:>10.1} KiB", now >> 10);
    };
    tell("none", before);
    let greeted = Readers::open(&server, &site.tokens[..100], count, None).await;
    sleep(Duration::from_secs(5)).await;
    tell("opened and acknowledged", server.memory());
    drop(greeted);
    sleep(Duration::from_secs(3)).await;
    tell("closed again", server.memory());
    let watching = Readers::open(&server, &site.tokens[..100], count, Some(LIST)).await;
    sleep(Duration::from_secs(5)).await;
    tell("each with a subscription", server.memory());
    drop(watching);
}

async fn fanout(site: &Site) {
    let count = set("COUNTERSIGN_READERS", READERS);
    println!("\n{count} readers of one company's stream");
    let head = ["delivered", "missed", "p50 ms", "p99 ms", "most ms", "CPU µs each"];
    println!(
        "{:<34} {:>9} {:>7} {:>8} {:>8} {:>8} {:>12}",
        "", head[0], head[1], head[2], head[3], head[4], head[5]
    );
    let server = Process::serve(site).await;
    let mut producer = Producer::of(&server, &site.tokens[0]).await;
    // Everything has run once.
    producer.run(50, Duration::from_secs(2)).await;
    let mut nobody = Vec::new();
    for rate in RATES {
        let before = server.cpu();
        let made = producer.run(rate, span()).await;
        nobody.push((server.cpu() - before).as_secs_f64() / made.events as f64);
    }
    let mut readers = Readers::open(&server, &site.tokens[..100], count, Some(LIST)).await;
    let mut sample = String::new();
    let mut ours = Vec::new();
    for (rate, nobody) in RATES.into_iter().zip(nobody) {
        readers.reset();
        let before = server.cpu();
        let made = producer.run(rate, span()).await;
        let reading = readers.settle(made.events).await;
        let cpu = (server.cpu() - before).as_secs_f64();
        let gross = cpu / reading.delivered as f64 * 1e6;
        let net = (cpu - nobody * made.events as f64) / reading.delivered as f64 * 1e6;
        tell(&format!("ours, {:.1}/s of {rate}/s", made.rate()), &reading, count * made.events, net);
        println!("{:<34} {:>66.2}", "  with the making of the events", gross);
        ours.push((made, net));
        sample = readers.sample();
    }
    drop(readers);
    drop(server);
    println!("  a message has {} bytes", sample.len());
    let mut bare = Bare::start(&sample).await;
    let mut readers = Readers::open_bare(&bare, count).await;
    for (made, ours) in ours {
        readers.reset();
        let before = bare.cpu();
        bare.run(made.events, made.took).await;
        let reading = readers.settle(made.events).await;
        let each = (bare.cpu() - before).as_secs_f64() / reading.delivered as f64 * 1e6;
        tell(&format!("a bare loop, {:.1}/s", made.rate()), &reading, count * made.events, each);
        println!("  ours has {:.2} of its rate", each / ours);
    }
}

fn tell(what: &str, reading: &Reading, expected: usize, cpu: f64) {
    println!(
        "{what:<34} {:>9} {:>7} {:>8.2} {:>8.2} {:>8.2} {cpu:>12.2}",
        reading.delivered,
        expected as i64 - reading.delivered as i64,
        reading.percentile(50.0),
        reading.percentile(99.0),
        reading.percentile(100.0),
    );
}

async fn stalled(site: &Site) {
    let count = set("COUNTERSIGN_READERS", READERS);
    println!("\n{STALLED} that never read among {count} that do, at {STALLED_RATE}/s");
    let server = Process::serve(site).await;
    let mut producer = Producer::of(&server, &site.tokens[0]).await;
    producer.run(50, Duration::from_secs(1)).await;
    let mut readers = Readers::open(&server, &site.tokens[..100], count, Some(LIST)).await;
    producer.run(STALLED_RATE, Duration::from_secs(2)).await;
    let head = ["seconds", "memory", "streams", "stalled"];
    println!("{:>8} {:>10} {:>9} {:>9}", head[0], head[1], head[2], head[3]);
    let mute = readers::mute(&server, &site.tokens[100..110], STALLED, LARGE).await;
    readers.reset();
    let server = Arc::new(server);
    let begun = Instant::now();
    let watch = {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let mut every = interval(Duration::from_secs(5));
            loop {
                every.tick().await;
                let metrics = server.metrics().await;
                let find = |name: &str| {
                    let line = metrics.lines().find(|line| line.starts_with(name));
                    line.and_then(|line| line.rsplit_once(' ')).map_or("0", |(_, value)| value).to_owned()
                };
                println!(
                    "{:>8} {:>6} MiB {:>9} {:>9}",
                    begun.elapsed().as_secs(),
                    server.memory() >> 10,
                    find("graphql_streams"),
                    find("websocket_closed_total{code=\"stalled\"}"),
                );
            }
        })
    };
    let made = producer.run(STALLED_RATE, span() * 3).await;
    let reading = readers.settle(made.events).await;
    watch.abort();
    let missed = (count * made.events) as i64 - reading.delivered as i64;
    println!(
        "of the readers: {:.1}/s, {} delivered, {missed} missed, p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms; a message has {} bytes",
        made.rate(),
        reading.delivered,
        reading.percentile(50.0),
        reading.percentile(99.0),
        reading.percentile(100.0),
        readers.sample().len(),
    );
    drop(mute);
}
