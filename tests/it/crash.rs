//! The binary itself, killed in the middle of its work: what was acknowledged is there, the rest is
//! done, and nothing is done twice.
//!
//! `COUNTERSIGN_KILLS` says how often it is killed on each database.

pub mod process;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};
use support::{Database, Engine, Wire, tell};

use process::{Site, countersign};

/// How long a server is waited for, however busy the machine.
const READY: Duration = Duration::from_secs(120);
/// How long an import is waited for, its server killed or not.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the server is killed unless something else is said.
const KILLS: usize = 3;
/// After so many kills a fresh database is taken, so that proving its audit stays short.
const PER_DATABASE: usize = 10;
/// A chunk of an import.
const CHUNK: i64 = 500;
/// Findings of a report; each report has as many new ones as it no longer names.
const FINDINGS: usize = 3_000;
const STEP: usize = FINDINGS / 2;

/// Makes a test of each function of an engine, for both.
macro_rules! on_each {
    ($($name:ident: [$($engine:ident => $test:ident),+]);+ $(;)?) => {$(
        mod $name {
            $(#[test]
            fn $test() {
                super::run(support::Engine::$engine, super::$name);
            })+
        }
    )+};
}

mod revoke;

on_each! {
    a_killed_import_goes_on: [Sqlite => sqlite, Postgres => postgres];
    another_node_asks_for_the_report_again: [Sqlite => sqlite, Postgres => postgres];
    two_servers_write_one_chain: [Postgres => postgres];
}

fn run(engine: Engine, test: impl AsyncFnOnce(Engine)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads start");
    runtime.block_on(test(engine));
    runtime.shutdown_timeout(Duration::from_secs(10));
}

/// A report of these findings; each is titled by the report that has it first.
fn report(numbers: std::ops::Range<usize>) -> String {
    let line = |number: usize| {
        let severity = if number.is_multiple_of(2) { "critical" } else { "low" };
        let title = format!("in {}: {number}", (number / STEP).saturating_sub(1));
        json!({ "scanner_reference": number.to_string(), "title": title, "severity": severity,
                "asset": format!("host-{}", number % 40), "description": "A flaw like many. ".repeat(10) })
    };
    numbers.map(|number| format!("{}\n", line(number))).collect()
}

const STEPS: &str = "subscription($id: ID!, $after: String) { importProgress(id: $id, after: $after) {
    cursor at state stage total done counts { name count } job { state error { code message } } } }";

/// An import that its client watches.
struct Import {
    id: Json,
    url: String,
    /// Before its first step.
    origin: Json,
}

impl Import {
    async fn start(wire: &Wire, project: &Json) -> Self {
        let columns = ["scanner_reference", "title", "severity", "asset", "description"];
        let columns = columns.map(|field| json!({ "field": field, "column": field }));
        let mapping = json!({ "columns": columns, "identity": ["scanner_reference"] });
        let input = json!({ "project": project, "name": "report.jsonl", "format": "JSONL", "series": "nightly",
                            "mapping": mapping });
        let start = "mutation($input: ImportStartInput!) { importStart(input: $input) {
            import { id } uploadUrl userErrors { code message } } }";
        let started = wire.done(start, json!({ "input": input })).await;
        let id = started["import"]["id"].clone();
        let mut opening = wire.subscribe(STEPS, json!({ "id": id })).await;
        let origin =
            opening.item().await.expect("it opens with where the job stands")["importProgress"].clone();
        assert_eq!(origin["state"], "WAITING");
        let url = started["uploadUrl"].as_str().expect("an import has a path for its report").to_owned();
        Self { id, url, origin: origin["cursor"].clone() }
    }

    /// The steps from the first on: until `enough` of them, the end, or the end of the server.
    async fn watch(&self, wire: &Wire, enough: impl Fn(&Json) -> bool) -> Vec<Json> {
        let mut socket = wire.subscribe(STEPS, json!({ "id": self.id, "after": self.origin })).await;
        let mut steps = Vec::new();
        while let Ok(Some(item)) = socket.try_item().await {
            let mut step = item["importProgress"].clone();
            let job = step.as_object_mut().and_then(|step| step.remove("job")).unwrap_or_default();
            let done = enough(&step);
            steps.push(step);
            if job["state"] == "FAILED" {
                panic!("{job}");
            }
            if done {
                break;
            }
        }
        steps
    }
}

fn counts(step: &Json) -> Map<String, Json> {
    let counts = step["counts"].as_array().cloned().unwrap_or_default();
    counts
        .into_iter()
        .map(|count| (count["name"].as_str().unwrap_or_default().to_owned(), count["count"].clone()))
        .collect()
}

/// How many findings have titles of this beginning; all for none.
async fn findings(wire: &Wire, titled: &str) -> i64 {
    let filter = json!({ "field": "title", "operator": "starts_with", "value": titled });
    let query = "query($filter: Criteria) { findings(filter: $filter, first: 1) { totalCount } }";
    wire.ask(query, json!({ "filter": filter })).await["findings"]["totalCount"]
        .as_i64()
        .expect("it is counted")
}

async fn stats(wire: &Wire) -> (Json, Json) {
    let stats = wire.ask("{ findingStats { total active } }", json!({})).await["findingStats"].clone();
    (stats["total"].clone(), stats["active"].clone())
}

/// Critical findings are to be shown as high, so that a killed pass would show.
async fn make_rule(wire: &Wire) {
    let criteria = json!({ "field": "severity", "operator": "eq", "value": "critical" });
    let action = json!({ "type": "override_severity", "config": { "severity": "high" } });
    let input = json!({ "name": "Calm", "mode": "ENFORCE", "criteria": criteria, "action": action });
    let create =
        "mutation($input: RuleDraftInput!) { ruleCreate(input: $input) { userErrors { code message } } }";
    wire.done(create, json!({ "input": input })).await;
}

/// Moments to kill at, each a part of an import's time.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = std::env::var("COUNTERSIGN_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        tell(&format!("COUNTERSIGN_SEED={seed}"));
        Self(seed)
    }

    /// From 0 up to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 32).expect("it has 32 bits")) / f64::from(u32::MAX)
    }
}

/// What the kills showed.
#[derive(Default)]
struct Seen {
    kills: usize,
    longest: Duration,
    stages: std::collections::BTreeMap<String, usize>,
    steps: usize,
}

async fn a_killed_import_goes_on(engine: Engine) {
    let kills = std::env::var("COUNTERSIGN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let mut chance = Chance::new();
    let mut seen = Seen::default();
    while seen.kills < kills {
        let Some(database) = Database::fresh(engine) else { return };
        let mut site = Site::of(&database);
        let mut server = site.serve(READY).await;
        seen.longest = seen.longest.max(server.took);
        make_rule(&server.wire).await;

        // Undisturbed, twice: the second is what every later one has to come to.
        let mut usual = Duration::ZERO;
        for night in 0..2 {
            let began = Instant::now();
            let import = Import::start(&server.wire, &site.project).await;
            server.wire.put(&import.url, report(night * STEP..night * STEP + FINDINGS)).await;
            let steps = import.watch(&server.wire, |_| false).await;
            check_end(steps.last().expect("it has steps"), night);
            usual = began.elapsed();
        }
        for night in 2..2 + PER_DATABASE.min(kills - seen.kills) {
            let after = usual.mul_f64(1.1 * chance.next());
            server = killed(&mut site, server, night, after, &mut seen).await;
            seen.kills += 1;
            let all = i64::try_from((night + 1) * STEP + STEP).expect("it is small");
            assert_eq!(stats(&server.wire).await, (json!(all), json!(FINDINGS)), "none missing, none twice");
        }
        server.kill();
        site.assert_audit_whole();
    }
    let stages: Vec<String> =
        seen.stages.iter().map(|(stage, count)| format!("{count} in {stage}")).collect();
    tell(&format!(
        "{engine:?}: killed {} times ({}); ready again after {:?} at the longest; {} steps seen before, none lost",
        seen.kills,
        stages.join(", "),
        seen.longest,
        seen.steps
    ));
}

fn check_end(step: &Json, night: usize) {
    assert_eq!(
        (step["state"].as_str(), step["stage"].as_str()),
        (Some("COMPLETED"), Some("finished")),
        "{step}"
    );
    assert_eq!((&step["done"], &step["total"]), (&json!(FINDINGS), &json!(FINDINGS)));
    let counts = counts(step);
    let told = ["created", "changed", "unchanged", "closed"].map(|name| counts[name].as_u64());
    let step = STEP as u64;
    let expected = if night == 0 { [2 * step, 0, 0, 0] } else { [step, 0, step, step] };
    assert_eq!(told, expected.map(Some), "an import that was killed comes to what another comes to");
}

/// Imports the report of `night`, kills the server `after` the upload began, and starts it again.
async fn killed(
    site: &mut Site<'_>,
    server: process::Served,
    night: usize,
    after: Duration,
    seen: &mut Seen,
) -> process::Served {
    let import = Import::start(&server.wire, &site.project).await;
    let text = report(night * STEP..night * STEP + FINDINGS);
    let client = tokio::spawn({
        let (wire, url) = (server.wire.clone(), import.url.clone());
        let watching = Import { url: url.clone(), id: import.id.clone(), origin: import.origin.clone() };
        let text = text.clone();
        async move {
            let taken = wire.try_put(&url, text).await.map(|(status, _)| status);
            let steps = if taken.is_some() { watching.watch(&wire, |_| false).await } else { Vec::new() };
            (taken, steps)
        }
    });
    // The moment is what is tried here: there is nothing to wait for.
    tokio::time::sleep(after).await;
    server.kill();
    let (taken, before) = client.await.expect("the client goes on");
    assert!(matches!(taken, None | Some(202)), "{taken:?}");
    let last = before.last();
    let stage = last.map_or("upload or check", |step| step["stage"].as_str().expect("a step has a stage"));
    *seen.stages.entry(stage.to_owned()).or_default() += 1;
    seen.steps += before.len();

    // The database as the kill left it: whole chunks, and the findings that they count.
    site.assert_audit_whole();
    let (job, stored) = site.left_by(&import.id, &format!("in {night}:")).await;
    assert!(job.done % CHUNK == 0, "whole chunks: {}", job.done);
    assert_eq!(job.counts.get("created").and_then(Json::as_i64).unwrap_or(0), stored);
    if let Some(step) = last {
        assert!(step["done"].as_i64() <= Some(job.done), "{step} was acknowledged");
    }

    let server = site.serve(READY).await;
    seen.longest = seen.longest.max(server.took);
    if job.state == domain::job::JobState::Waiting {
        assert_eq!(taken, None, "an acknowledged report need not be sent again");
        server.wire.put(&import.url, text).await;
    }
    let all = tokio::time::timeout(PATIENCE, import.watch(&server.wire, |_| false)).await;
    let all = all.expect("the job goes on by itself");
    for step in &before {
        assert!(all.contains(step), "{step} was seen before the kill, and is not in {all:?}");
    }
    let done: Vec<i64> = all.iter().filter_map(|step| step["done"].as_i64()).collect();
    assert!(done.is_sorted(), "{done:?}");
    check_end(all.last().expect("it has steps"), night);
    server
}

async fn another_node_asks_for_the_report_again(engine: Engine) {
    const CHUNKS: usize = 20;
    let Some(database) = Database::fresh(engine) else { return };
    let mut first = Site::of(&database);
    let server = first.serve(READY).await;
    let old = Import::start(&server.wire, &first.project).await;
    server.wire.put(&old.url, report(0..10)).await;
    old.watch(&server.wire, |_| false).await;
    assert_eq!(stats(&server.wire).await, (json!(10), json!(10)));

    let import = Import::start(&server.wire, &first.project).await;
    // None of the old ones is in it: whole, it would close them.
    let numbers = 2 * STEP..2 * STEP + CHUNKS * 500;
    server.wire.put(&import.url, report(numbers.clone())).await;
    let steps = import.watch(&server.wire, |step| step["done"].as_i64() >= Some(7 * CHUNK)).await;
    assert!(steps.last().is_some_and(|step| step["state"] == "RUNNING"), "{steps:?}");
    server.kill();

    let (job, _) = first.left_by(&import.id, "in").await;
    assert!(
        job.done >= 7 * CHUNK && job.done % CHUNK == 0 && job.done < CHUNKS as i64 * CHUNK,
        "{}",
        job.done
    );
    let mut second = first.another_folder();
    let server = second.serve(READY).await;
    // The claim of the first has to run out before the second may look.
    let state = "query($id: ID!) { job(id: $id) { state error { code message } } }";
    let deadline = Instant::now() + PATIENCE;
    let failed = loop {
        let job = server.wire.ask(state, json!({ "id": import.id })).await["job"].clone();
        if job["state"] != "RUNNING" {
            break job;
        }
        assert!(Instant::now() < deadline, "{job}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(failed["state"], "FAILED");
    assert!(
        failed["error"]["message"].as_str().is_some_and(|text| text.contains("upload it again")),
        "{failed}"
    );
    let all = 10 + job.done;
    assert_eq!(
        stats(&server.wire).await,
        (json!(all), json!(all)),
        "whole chunks stay, and nothing is closed"
    );

    let again = Import::start(&server.wire, &second.project).await;
    server.wire.put(&again.url, report(numbers)).await;
    let steps = again.watch(&server.wire, |_| false).await;
    let told = counts(steps.last().expect("it has steps"));
    assert_eq!(told["unchanged"], job.done);
    assert_eq!((&told["closed"], &told["created"]), (&json!(10), &json!(CHUNKS as i64 * CHUNK - job.done)));
    server.kill();
    second.assert_audit_whole();
}

async fn two_servers_write_one_chain(engine: Engine) {
    const EDITS: usize = 40;
    let Some(database) = Database::fresh(engine) else { return };
    let mut one = Site::of(&database);
    let first = one.serve(READY).await;
    let second = one.another_folder().serve(READY).await;
    make_rule(&first.wire).await;
    // Half of each report is in both, and each server's client edits what is there.
    let import = async |wire: &Wire, from: usize| {
        let import = Import::start(wire, &one.project).await;
        wire.put(&import.url, report(from..from + FINDINGS)).await;
        let steps = import.watch(wire, |_| false).await;
        let last = steps.last().cloned().expect("it has steps");
        assert_eq!(last["state"], "COMPLETED", "{last}");
    };
    let edit = async |wire: &Wire, tag: &str| {
        let mut edited = 0;
        while edited < EDITS {
            let found = wire.ask("{ findings(first: 10) { nodes { id } } }", json!({})).await;
            for finding in found["findings"]["nodes"].as_array().expect("findings are listed") {
                let tags = json!({ "id": finding["id"], "tag": format!("{tag}{edited}") });
                let add = "mutation($id: ID!, $tag: String!) {
                    findingTag(id: $id, input: { add: [$tag] }) { userErrors { code message } } }";
                wire.done(add, tags).await;
                edited += 1;
            }
        }
    };
    tokio::join!(
        import(&first.wire, 0),
        import(&second.wire, STEP),
        edit(&first.wire, "x"),
        edit(&second.wire, "y")
    );
    let (total, _) = stats(&first.wire).await;
    assert_eq!(total, json!(FINDINGS + STEP), "each finding was made once");
    assert_eq!(findings(&second.wire, "in 0").await, FINDINGS as i64, "both servers tell the same");
    first.kill();
    second.kill();
    tell(&format!("two processes on one PostgreSQL: {}", one.assert_audit_whole()));
}

/// A command beside the servers.
fn commanded(arguments: &[&str]) -> String {
    let output = countersign().args(arguments).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}
