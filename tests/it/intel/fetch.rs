//! Feeds that are fetched: from a server of the test's own, which is on the loopback and so refused
//! until that is allowed, and which is not always kind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::gateway::http::Egress;
use domain::intake::limits::Limits;
use domain::intel::feed::Feed;
use domain::intel::fetch::{FeedSource, FetchPlan};
use domain::intel::standing::Standing;
use domain::job::{JobFilter, JobKind, JobState};
use domain::page::PageArgs;
use domain::vocabulary::time::Span;
use domain::{Domain, Settings};
use support::{World, finished, on_both};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{kev, line};

on_both!(
    feeds_are_fetched_when_they_are_due,
    hostile_answers_are_recorded,
    one_server_fetches,
    a_fetch_that_is_cut_off_ends
);

/// No load follows.
pub const NOTHING: [Uuid; 0] = [];

/// What the server answers with.
#[derive(Clone)]
pub enum Answer {
    /// These bytes, whole.
    Whole(String),
    /// A head, and bytes without an end.
    Endless(String),
    /// These bytes, and then nothing, for ever.
    Begun(String),
    /// Nothing, for ever.
    Silence,
    /// What it says to that request.
    By(Arc<dyn Fn(&str) -> Answer + Send + Sync>),
}

/// A server on the loopback.
pub struct Server {
    port: u16,
    answer: Arc<Mutex<Answer>>,
    /// The requests so far.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let server = Self { port, answer: Arc::new(Mutex::new(Answer::Silence)), asked: Arc::default() };
        let (answer, asked) = (Arc::clone(&server.answer), Arc::clone(&server.asked));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match socket.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let head = String::from_utf8_lossy(&head).to_lowercase();
                    asked.lock().expect("no test failed here").push(head.clone());
                    let mut answer = answer.lock().expect("no test failed here").clone();
                    while let Answer::By(answers) = answer {
                        answer = answers(&head);
                    }
                    match answer {
                        Answer::Whole(text) => drop(socket.write_all(text.as_bytes()).await),
                        Answer::Endless(text) => {
                            let _ = socket.write_all(text.as_bytes()).await;
                            while socket.write_all(&[b'x'; 4_096]).await.is_ok() {}
                        }
                        Answer::Begun(text) => {
                            let _ = socket.write_all(text.as_bytes()).await;
                            std::future::pending().await
                        }
                        Answer::Silence | Answer::By(_) => std::future::pending().await,
                    }
                });
            }
        });
        server
    }

    fn says(&self, answer: Answer) {
        *self.answer.lock().expect("no test failed here") = answer;
    }

    pub fn answers(&self, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        self.says(Answer::By(Arc::new(answer)));
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test failed here").clone()
    }

    fn plan(&self, allowed: &[&str]) -> FetchPlan {
        let allowed: Vec<String> = allowed.iter().map(|one| (*one).to_owned()).collect();
        let url = format!("http://127.0.0.1:{}/kev.json every 6h", self.port);
        let sources = vec![FeedSource::parse(Feed::Kev, &url).expect("an address")];
        let egress = Egress::new(&allowed).expect("networks").with_patience(Duration::from_millis(300));
        FetchPlan::new(sources, egress)
    }

    /// What is asked for at this path, without a pause between pages.
    pub fn plan_of(&self, feed: Feed, path: &str) -> FetchPlan {
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let sources = vec![FeedSource::parse(feed, &url).expect("an address")];
        FetchPlan { sources, pause: Duration::ZERO, ..self.plan(&["127.0.0.1"]) }
    }
}

pub fn whole(status: &str, headers: &str, body: &str) -> Answer {
    Answer::Whole(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

async fn standing(world: &World) -> Standing {
    standing_of(world, Feed::Kev).await
}

pub async fn standing_of(world: &World, feed: Feed) -> Standing {
    let feeds = world.domain.intel_feeds(&world.root).await.unwrap();
    feeds.into_iter().find(|standing| standing.feed == feed).unwrap()
}

async fn feeds_are_fetched_when_they_are_due(world: &World) {
    world.import_lines(&[line("a", "CVE-2026-0001")]).await;
    let server = Server::start().await;
    let plan = server.plan(&["127.0.0.0/8"]);
    let listed = kev(&[("CVE-2026-0001", "2026-12-01", true)]);
    server.says(whole(
        "200 OK",
        "etag: \"one\"\r\nlast-modified: Fri, 20 Nov 2026 00:00:00 GMT\r\n",
        &listed,
    ));
    let loads = world.domain.fetch_due(&plan).await.unwrap();
    assert_eq!(loads.len(), 1);
    let job = finished(&world.domain, &world.root, loads[0]).await;
    assert_eq!(job.state, JobState::Completed, "{:?}", job.error);
    assert_eq!(world.finding("a").await.shown.known_exploit, Some(true));
    let now = standing(world).await;
    assert_eq!(now.source.as_deref(), Some(plan.sources[0].url.as_str()));
    assert!(!server.asked()[0].contains("if-none-match"));

    // Not due before its time; then asked whether anything is new, and nothing is.
    assert_eq!(world.domain.fetch_due(&plan).await.unwrap(), NOTHING);
    assert_eq!(server.asked().len(), 1);
    world.clock.advance(Span(6 * Span::HOUR.0));
    server.says(Answer::Whole("HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".to_owned()));
    assert_eq!(world.domain.fetch_due(&plan).await.unwrap(), NOTHING);
    let asked = server.asked();
    assert!(
        asked[1].contains("if-none-match: \"one\"") && asked[1].contains("if-modified-since: fri"),
        "{}",
        asked[1]
    );
    let later = standing(world).await;
    assert_eq!((later.loaded_at, later.current_at), (now.loaded_at, Some(world.clock.now())));
    assert_eq!(later.age(world.clock.now()), Some(Span(0)));

    // A redirect inside of what is allowed is followed.
    world.clock.advance(Span(6 * Span::HOUR.0));
    let elsewhere = Server::start().await;
    elsewhere.says(whole("200 OK", "", &kev(&[("CVE-2026-0002", "2026-12-01", true)])));
    let location = format!("location: http://127.0.0.1:{}/there\r\n", elsewhere.port);
    server.says(whole("302 Found", &location, ""));
    let loads = world.domain.fetch_due(&plan).await.unwrap();
    finished(&world.domain, &world.root, loads[0]).await;
    assert_eq!(world.finding("a").await.shown.known_exploit, None, "what is withdrawn is withdrawn");
}

async fn hostile_answers_are_recorded(world: &World) {
    let server = Server::start().await;
    let folder = tempfile::TempDir::new().unwrap();
    let limits = Limits { bytes: 100_000, ..Limits::default() };
    let settings = Settings { folder: folder.path().to_owned(), limits, sign_in: Default::default() };
    let domain = Domain::new(world.domain.db().clone(), world.clock.clone(), settings, Uuid::from_u128(7));
    let elsewhere = |location: &str| whole("302 Found", &format!("location: {location}\r\n"), "");
    let cases: Vec<(&[&str], Answer, &str)> = vec![
        (&[], whole("200 OK", "", "{}"), "not public"),
        (&["127.0.0.0/8"], elsewhere("http://10.0.0.1/kev.json"), "not public"),
        (&["127.0.0.0/8"], elsewhere("http://[::ffff:169.254.169.254]/latest/meta-data"), "not public"),
        (&["127.0.0.0/8"], elsewhere("http://localhost.localdomain.invalid/"), "not known"),
        (&["127.0.0.0/8"], elsewhere("file:///etc/passwd"), "Only http and https"),
        (&["127.0.0.0/8"], elsewhere("/kev.json"), "more than 5 redirects"),
        (&["127.0.0.0/8"], whole("302 Found", "", ""), "redirects to nowhere"),
        (&["127.0.0.0/8"], whole("500 Internal Server Error", "", "no"), "status 500"),
        (&["127.0.0.0/8"], whole("200 OK", "", &"x".repeat(100_001)), "more than 100000 bytes"),
        (
            &["127.0.0.0/8"],
            Answer::Endless("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned()),
            "more than 100000 bytes",
        ),
        (
            &["127.0.0.0/8"],
            Answer::Whole("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{".to_owned()),
            "broke off",
        ),
        (&["127.0.0.0/8"], Answer::Whole("nonsense\r\n\r\n".to_owned()), "broke off"),
        (&["127.0.0.0/8"], Answer::Silence, "takes too long"),
    ];
    let mut failures = 0;
    for (at, (allowed, answer, why)) in cases.into_iter().enumerate() {
        server.says(answer);
        let plan = server.plan(allowed);
        assert_eq!(domain.fetch_due(&plan).await.unwrap(), NOTHING, "case {at}");
        let told = standing(world).await;
        assert!(
            told.error.as_deref().is_some_and(|error| error.contains(why)),
            "case {at}: {:?}",
            told.error
        );
        assert_eq!((told.facts, told.error_at), (0, Some(world.clock.now())), "case {at}");
        // It is tried again, each time later, and never later than it would be fetched anyway.
        let asked = server.asked().len();
        let wait = Span::MINUTE.times(1 << failures).unwrap().min(Span(6 * Span::HOUR.0));
        world.clock.advance(Span(wait.0 - Span::SECOND.0));
        assert_eq!(domain.fetch_due(&plan).await.unwrap(), NOTHING, "case {at}");
        assert_eq!(server.asked().len(), asked, "case {at}: not before its time");
        world.clock.advance(Span::SECOND);
        failures = (failures + 1).min(10);
    }
    assert_eq!(std::fs::read_dir(folder.path().join("spool")).unwrap().count(), 0, "nothing is left behind");

    // What comes well but is no catalogue fails as a load.
    server.says(whole("200 OK", "etag: \"bad\"\r\n", "<html>Sign in</html>"));
    let loads = world.domain.fetch_due(&server.plan(&["127.0.0.1"])).await.unwrap();
    let job = finished(&world.domain, &world.root, loads[0]).await;
    assert_eq!(
        (job.state, job.error.unwrap()["code"].as_str()),
        (JobState::Failed, Some("REPORT_MALFORMED"))
    );
    let told = standing(world).await;
    assert!(told.error.unwrap().contains("malformed at line 1"));
    // It is not taken for known the next time.
    world.clock.advance(Span(6 * Span::HOUR.0));
    server.says(whole("200 OK", "", &kev(&[("CVE-2026-0001", "2026-12-01", true)])));
    let loads = world.domain.fetch_due(&server.plan(&["127.0.0.1"])).await.unwrap();
    assert_eq!(finished(&world.domain, &world.root, loads[0]).await.state, JobState::Completed);
    assert!(!server.asked().last().unwrap().contains("if-none-match"));
    assert_eq!(standing(world).await.error, None);
}

async fn one_server_fetches(world: &World) {
    let server = Server::start().await;
    server.says(whole("200 OK", "", &kev(&[("CVE-2026-0001", "2026-12-01", true)])));
    let plan = server.plan(&["127.0.0.1"]);
    let other = world.start(1).await;
    let fetched = AtomicUsize::new(0);
    let fetch = async |domain: &Domain| {
        fetched.fetch_add(domain.fetch_due(&plan).await.unwrap().len(), Ordering::SeqCst);
    };
    futures_util::join!(fetch(&world.domain), fetch(&other), fetch(&world.domain), fetch(&other));
    assert_eq!((fetched.load(Ordering::SeqCst), server.asked().len()), (1, 1));
}

async fn a_fetch_that_is_cut_off_ends(world: &World) {
    let server = Server::start().await;
    server.says(Answer::Begun("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{".to_owned()));
    let plan = server.plan(&["127.0.0.1"]);
    let plan = FetchPlan { egress: plan.egress.with_patience(Duration::from_secs(600)), ..plan };
    let filter = JobFilter { kinds: vec![JobKind::IntelLoad], ..JobFilter::default() };
    let begun = async {
        loop {
            let page = world.domain.jobs(&world.root, &filter, &PageArgs::first(1)).await.unwrap();
            if let Some(job) = page.nodes().next() {
                return job.id;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // The server is gone in the middle of it.
    let load = tokio::select! {
        _ = world.domain.fetch_due(&plan) => panic!("the fetch cannot end"),
        load = begun => load,
    };
    server.says(whole("200 OK", "", &kev(&[("CVE-2026-0001", "2026-12-01", true)])));
    world.clock.advance(Span(15 * Span::MINUTE.0));
    assert_eq!(world.domain.end_overdue().await.unwrap(), NOTHING, "it may still be fetched");
    world.clock.advance(Span::SECOND);
    assert_eq!(world.domain.end_overdue().await.unwrap(), [load]);
    let job = world.domain.job(&world.root, load).await.unwrap();
    assert_eq!(job.state, JobState::Failed);
    assert!(standing(world).await.error.unwrap().contains("cut off"));

    let loads = world.domain.fetch_due(&plan).await.unwrap();
    assert_eq!(finished(&world.domain, &world.root, loads[0]).await.state, JobState::Completed);
    assert_eq!(standing(world).await.error, None);
}
