//! What a page costs: findings with their assets, owners and audit, from SQLite, over HTTP.
//!
//! `cargo bench --workspace --bench page`; `COUNTERSIGN_FINDINGS` says how many findings there are (10,000
//! if not set), `COUNTERSIGN_REQUESTS` how many requests of each kind are measured (1,000 if not set).
//!
//! The same page is asked of four servers on the loopback, by one client whose thread is not counted: of
//! this server as it is; of the same fields as plain resolvers of the library, with its data loaders, in
//! a plain handler; of a handler that runs the same statements and encodes with serde; and of one that
//! runs the statements and answers nothing. The processor's time is that of all threads of the process
//! but the client's, the database's included.

mod bare;
#[path = "../../../domain/benches/support/statements.rs"]
mod statements;
mod stock;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as Bound, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use api::auth::DomainReady;
use api::files::DomainFiles;
use api::server::auth::{Authenticate, RequestOrigin};
use api::server::settings::Settings as Serving;
use api::server::{Parts, Server};
use axum::Router;
use domain::access::{Actor, GLOBAL, Portfolio, Role};
use domain::finding::edit::Edit;
use domain::finding::query::FindingOrder;
use domain::gateway::clock::Clock;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intake::limits::Limits;
use domain::inventory::project::NewProject;
use domain::inventory::user::NewUser;
use domain::job::JobState;
use domain::page::PageArgs;
use domain::signin::SignInSettings;
use domain::store::Db;
use domain::{Domain, Settings};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

/// The server's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUERY: &str = "query Page($first: Int!) {
    findings(first: $first) {
        nodes {
            id title severity status class description cvssScore scannerSource scannerReference tags cveIds
            firstSeenAt lastSeenAt version
            asset { id name type criticality tags }
            assignees { users { id name email } teams { id name } }
            audit(first: 3) { nodes { id at action actor { name } } }
        }
        pageInfo { hasNextPage endCursor }
    }
}";

/// Everybody is the admin: who asks is not what is measured.
struct Admin(Actor);

impl Authenticate for Admin {
    fn authenticate<'a>(
        &'a self,
        _: &'a str,
        _: RequestOrigin,
    ) -> BoxFuture<'a, domain::error::Result<Actor>> {
        async { Ok(self.0.clone()) }.boxed()
    }

    fn standing<'a>(&'a self, actors: &'a [Arc<Actor>]) -> BoxFuture<'a, domain::error::Result<Vec<bool>>> {
        async { Ok(vec![true; actors.len()]) }.boxed()
    }
}

/// The servers take turns of so many requests, so that what else the machine does falls on all alike; the
/// median of the turns counts.
const IN_TURN: usize = 20;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() {
    statements::count();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let findings = setting("COUNTERSIGN_FINDINGS", 10_000);
    let (domain, actor) = runtime.block_on(seed(folder.path(), findings));
    let stopping = CancellationToken::new();
    let settings = Serving::default();
    let ours = Server::new(Parts {
        schema: api::graphql::served(domain.clone(), &settings),
        authenticate: Arc::new(Admin(actor.clone())),
        files: Arc::new(DomainFiles(domain.clone())),
        ready: Arc::new(DomainReady(domain.clone())),
        metrics: None,
        clock: domain.clock().clone(),
        settings,
        stopping: stopping.clone(),
    });
    let state = bare::State { domain: domain.clone(), actor: actor.clone() };
    let servers = [
        ("this server", ours.router()),
        ("stock resolvers", stock::router(domain, actor)),
        ("statements and serde", bare::router(state.clone(), true)),
        ("statements alone", bare::router(state, false)),
    ];
    let servers = servers.map(|(name, router)| (name, serve(&runtime, router)));

    println!("a page of findings with assets, owners and audit; SQLite, {findings} findings\n");
    println!("{:<22} {:>16} {:>16} {:>16}", "statements", "1 row", "50 rows", "500 rows");
    for (name, address) in servers {
        let counts = [1, 50, 500].map(|first| {
            let mut client = Client::to(address);
            client.ask(first);
            let before = statements::statements();
            client.ask(first);
            statements::statements() - before
        });
        println!("{name:<22} {:>16} {:>16} {:>16}", counts[0], counts[1], counts[2]);
    }

    let answers = servers.map(|(_, address)| Client::to(address).ask(50));
    let read = |answer: &[u8]| serde_json::from_slice::<Json>(answer).expect("JSON")["data"].clone();
    assert!(!read(&answers[0])["findings"]["nodes"][0]["assignees"]["users"][0].is_null());
    assert_eq!(read(&answers[0]), read(&answers[1]), "the same page");
    assert_eq!(read(&answers[0]), read(&answers[2]), "the same page");

    let requests = setting("COUNTERSIGN_REQUESTS", 1_000);
    println!(
        "\n50 rows, {} bytes; processor time per request, {requests} requests each, {IN_TURN} in turn",
        answers[0].len()
    );
    let mut clients = servers.map(|(_, address)| Client::to(address));
    let mut rounds = servers.map(|_| Vec::new());
    for round in 0..=requests / IN_TURN {
        for (client, costs) in clients.iter_mut().zip(&mut rounds) {
            let before = processor();
            (0..IN_TURN).for_each(|_| drop(client.ask(50)));
            // In the first round everything runs for the first time.
            if round > 0 {
                // A thread that ended took its time with it: such a turn counts too little, and is one of many.
                let cost = processor().saturating_sub(before);
                costs.push(cost.as_secs_f64() * 1e6 / IN_TURN as f64);
            }
        }
    }
    let costs = rounds.map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 2]
    });
    for ((name, _), cost) in servers.iter().zip(costs) {
        println!("{name:<22} {cost:>12.0} µs");
    }
    let [ours, stock, bare, alone] = costs;
    println!("\nthis server / statements and serde: {:.2} (aim: at most 1.5)", ours / bare);
    println!(
        "without the statements, stock / this server: {:.1} (aim: at least 10)",
        (stock - alone) / (ours - alone)
    );
    println!("without the statements, this server / serde: {:.1}", (ours - alone) / (bare - alone));
    stopping.cancel();
}

/// Serves `router` on the loopback.
fn serve(runtime: &tokio::runtime::Runtime, router: Router) -> SocketAddr {
    let bound = Bound::bind(("127.0.0.1", 0)).expect("a port");
    let address = bound.local_addr().expect("it is bound");
    bound.set_nonblocking(true).expect("it can wait");
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(bound).expect("a listener");
        axum::serve(listener, router).await
    });
    address
}

/// The processor's time of all threads but this one.
fn processor() -> Duration {
    let me = std::process::id().to_string();
    let threads = std::fs::read_dir("/proc/self/task").expect("threads are listed");
    let threads = threads.map(|thread| thread.expect("a thread").path()).filter(|path| !path.ends_with(&me));
    let times = threads.filter_map(|path| std::fs::read_to_string(path.join("schedstat")).ok());
    times.filter_map(|stat| stat.split(' ').next()?.parse().ok()).map(Duration::from_nanos).sum()
}

/// A client that waits for each answer, on one connection.
struct Client(TcpStream);

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self(stream)
    }

    /// Asks for a page; returns the body of the answer.
    fn ask(&mut self, first: usize) -> Vec<u8> {
        let body = json!({ "query": QUERY, "variables": { "first": first } }).to_string();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer t\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0
            .write_all(head.as_bytes())
            .and_then(|()| self.0.write_all(body.as_bytes()))
            .expect("it is sent");
        let mut answer = Vec::with_capacity(64 << 10);
        let mut part = vec![0; 64 << 10];
        loop {
            let read = self.0.read(&mut part).expect("an answer");
            assert!(read > 0, "the server hung up: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..read]);
            let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.expect("a length").parse().expect("a number");
            if answer.len() >= end + 4 + length {
                return answer.split_off(end + 4);
            }
        }
    }
}

/// Findings on 200 assets; the first page of them is assigned.
async fn seed(folder: &std::path::Path, findings: usize) -> (Domain, Actor) {
    let db = Db::open(&format!("sqlite:{}/bench.db", folder.display())).await.expect("a database");
    db.migrate().await.expect("a migrated database");
    let settings =
        Settings { folder: folder.to_owned(), limits: Limits::default(), sign_in: SignInSettings::default() };
    let clock = Clock::system();
    let worker = clock.id();
    let domain = Domain::new(db, clock, settings, worker);
    let platform = Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "bench") };
    let company = domain.company_create(&platform, "Bench", false).await.expect("a company");
    let actor = Actor::system(company.id, "bench");
    let mut people = Vec::new();
    for person in 0..10 {
        let user = NewUser {
            email: format!("person{person}@bench.example"),
            name: format!("Person {person}"),
            grant: Some((Role::Analyst, Portfolio::Whole)),
            platform_admin: false,
        };
        people.push(domain.user_create(&actor, user).await.expect("a user").id);
    }
    let team = domain.team_create(&actor, "Blue", &people).await.expect("a team").id;
    let project = NewProject { name: "p".into(), description: None };
    let project = domain.project_create(&actor, project).await.expect("a project");
    let fields = ["asset", "title", "severity", "scanner_reference", "cve_ids", "description"];
    let columns: serde_json::Map<String, Json> =
        fields.iter().map(|field| ((*field).to_owned(), json!(field))).collect();
    let request = ImportRequest {
        project: project.id,
        format: Some(Format::Jsonl),
        mapping: serde_json::from_value(json!({ "columns": columns, "identity": ["scanner_reference"] }))
            .expect("a mapping"),
        saved: None,
        asset: None,
        series: Some("bench".to_owned()),
        complete: true,
        name: "bench".to_owned(),
    };
    let line = |n: usize| {
        json!({
            "asset": format!("host-{:03}.example", n % 200), "title": format!("Weakness {n}"),
            "severity": if n < 500 { "critical" } else { "high" },
            "scanner_reference": format!("CHECK-{n}"), "cve_ids": format!("CVE-2026-{n:05}"),
            "description": "A flaw in the parser lets a remote sender read past the end of a buffer. ".repeat(3),
        })
    };
    let report: String = (0..findings).map(|n| format!("{}\n", line(n))).collect();
    let stop = CancellationToken::new();
    let workers = tokio::spawn({
        let (domain, stop) = (domain.clone(), stop.clone());
        async move { domain.run_jobs(stop).await }
    });
    let job = domain.import_start(&actor, request).await.expect("an import");
    let mut incoming = domain.import_upload(&actor, job.id).await.expect("an upload");
    incoming.write(report.as_bytes()).await.expect("bytes");
    incoming.finish().await.expect("an end");
    let steps = domain.job_steps(&actor, job.id, Some(0)).await.expect("steps");
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = steps.next().await {
        step.expect("a step");
    }
    let ended = domain.job(&actor, job.id).await.expect("the job");
    assert_eq!(ended.state, JobState::Completed, "{:?}", ended.error);
    stop.cancel();
    workers.await.expect("the workers end").expect("well");
    let filter = domain.finding_filter(None).expect("no filter");
    let args = PageArgs::first(500);
    let page = domain.findings(&actor, &filter, (FindingOrder::Severity, false), &args).await;
    for (at, finding) in page.expect("a page").nodes().enumerate() {
        let assign = Edit::Assign {
            add_users: vec![people[at % 10], people[(at + 3) % 10]],
            add_teams: vec![team],
            remove_users: Vec::new(),
            remove_teams: Vec::new(),
        };
        domain.finding_edit(&actor, finding.id, None, assign).await.expect("it is assigned");
    }
    (domain, actor)
}
