//! A server that is killed in the middle of a revoke: every finding comes out in one way, and nothing is
//! taken back twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use support::{Database, Engine, Socket, Wire, tell};

use super::process::{Served, Site};
use super::{Chance, Import, KILLS, PATIENCE, PER_DATABASE, READY, Seen, counts, report};

on_each! {
    a_killed_revoke_goes_on: [Sqlite => sqlite, Postgres => postgres];
}

use super::run;

/// How many findings the rule speaks of.
const FINDINGS: usize = 2_000;
/// How many of them a person said the same of: there what the rule said lies under that.
const SETTLED: usize = 20;

const STEPS: &str = "subscription($id: ID!, $after: String) { jobProgress(id: $id, after: $after) {
    cursor state stage total done counts { name count } job { error { message } } } }";

/// A revoke that its client watches.
struct Watched {
    id: Json,
    steps: Vec<Json>,
}

impl Watched {
    /// Goes on behind the last step that was seen, until the end of the job or of the server.
    async fn go_on(&mut self, wire: &Wire) {
        let socket = self.open(wire).await;
        self.listen(socket).await;
    }

    /// A socket on which the steps come behind the last one that was seen.
    async fn open(&self, wire: &Wire) -> Socket {
        let after = self.steps.last().map(|step| step["cursor"].clone());
        wire.subscribe(STEPS, json!({ "id": self.id, "after": after })).await
    }

    async fn listen(&mut self, mut socket: Socket) {
        while let Ok(Some(item)) = socket.try_item().await {
            self.steps.push(item["jobProgress"].clone());
        }
    }
}

/// A rule that spoke of every finding, and the tag that it appends.
struct Spoken {
    rule: Json,
    tag: String,
}

impl Spoken {
    /// Writes a rule and lets it speak; of some findings a person says the same.
    async fn of(wire: &Wire, round: usize) -> Self {
        let tag = format!("x{round}");
        let criteria = json!({ "field": "title", "operator": "neq", "value": "nothing" });
        let action = json!({ "type": "append_tag", "config": { "tags": [tag] } });
        let input = json!({ "name": tag, "mode": "ENFORCE", "criteria": criteria, "action": action });
        let create = "mutation($input: RuleDraftInput!) {
            ruleCreate(input: $input) { rule { id } userErrors { code message } } }";
        let rule = wire.done(create, json!({ "input": input })).await["rule"]["id"].clone();
        let sweep = "mutation { ruleSweep { job { id } userErrors { code } } }";
        let id = wire.done(sweep, json!({})).await["job"]["id"].clone();
        let mut swept = Watched { id, steps: Vec::new() };
        swept.go_on(wire).await;
        assert_eq!(swept.steps.last().expect("it has steps")["state"], "COMPLETED");
        let spoken = Self { rule, tag };
        assert_eq!(spoken.shown(wire).await, FINDINGS as u64);
        let some = "query($first: Int!) { findings(first: $first) { nodes { id } } }";
        let some = wire.ask(some, json!({ "first": SETTLED })).await;
        for finding in some["findings"]["nodes"].as_array().expect("findings are listed") {
            let add = "mutation($id: ID!, $tag: String!) {
                findingTag(id: $id, input: { add: [$tag] }) { userErrors { code message } } }";
            wire.done(add, json!({ "id": finding["id"], "tag": spoken.tag })).await;
        }
        spoken
    }

    /// How many findings show its tag.
    async fn shown(&self, wire: &Wire) -> u64 {
        let filter = json!({ "field": "tags", "operator": "eq", "value": self.tag });
        let query = "query($filter: Criteria) { findings(filter: $filter, first: 1) { totalCount } }";
        let told = wire.ask(query, json!({ "filter": filter })).await;
        told["findings"]["totalCount"].as_u64().expect("it is counted")
    }

    /// Takes back what it did, and turns it off.
    async fn take_back(&self, wire: &Wire) -> Watched {
        let revoke =
            "mutation($rule: ID!) { ruleRevoke(input: { of: { rule: { rule: $rule } }, turnOff: true }) {
            job { id state } userErrors { code message } } }";
        let job = wire.done(revoke, json!({ "rule": self.rule })).await["job"].clone();
        Watched { id: job["id"].clone(), steps: Vec::new() }
    }
}

/// The ways in which findings came out, and how many turns of the rule took anything back.
async fn check(wire: &Wire, spoken: &Spoken, watched: &Watched) {
    let last = watched.steps.last().expect("it has steps");
    assert_eq!(
        (&last["state"], &last["done"], &last["total"]),
        (&json!("COMPLETED"), &json!(FINDINGS), &json!(FINDINGS)),
        "{last}"
    );
    let told = counts(last);
    assert_eq!((&told["restored"], &told["conflict"]), (&json!(FINDINGS - SETTLED), &json!(SETTLED)));
    let query = "query($job: ID!, $after: String) { job(id: $job) { ... on RevokeJob {
        outcomes(first: 500, after: $after) { totalCount pageInfo { hasNextPage endCursor }
            edges { outcome node { id } } } } } }";
    let (mut findings, mut ways, mut after) = (BTreeSet::new(), Vec::new(), Json::Null);
    loop {
        let page = wire.ask(query, json!({ "job": watched.id, "after": after })).await;
        let page = page["job"]["outcomes"].clone();
        for edge in page["edges"].as_array().expect("outcomes are listed") {
            assert!(findings.insert(edge["node"]["id"].to_string()), "{edge} came out twice");
            ways.push(edge["outcome"].clone());
        }
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            assert_eq!(page["totalCount"], FINDINGS);
            break;
        }
    }
    assert_eq!(findings.len(), FINDINGS, "every finding came out");
    assert_eq!(ways.iter().filter(|way| **way == "CONFLICT").count(), SETTLED);
    let withdrawn = "query($rule: ID!) { ruleApplications(filter: { rule: $rule, change: WITHDRAWN }, first: 1) { totalCount } }";
    let withdrawn = wire.ask(withdrawn, json!({ "rule": spoken.rule })).await;
    let once = &withdrawn["ruleApplications"]["totalCount"];
    assert_eq!(once, &json!(FINDINGS - SETTLED), "each was taken back once");
    assert_eq!(spoken.shown(wire).await, SETTLED as u64);
}

async fn a_killed_revoke_goes_on(engine: Engine) {
    let kills = std::env::var("COUNTERSIGN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let mut chance = Chance::new();
    let mut seen = Seen::default();
    while seen.kills < kills {
        let Some(database) = Database::fresh(engine) else { return };
        let mut site = Site::of(&database);
        let mut server = site.serve(READY).await;
        let import = Import::start(&server.wire, &site.project).await;
        server.wire.put(&import.url, report(0..FINDINGS)).await;
        import.watch(&server.wire, |_| false).await;

        // Undisturbed once.
        let spoken = Spoken::of(&server.wire, 1).await;
        let began = Instant::now();
        let mut usual = spoken.take_back(&server.wire).await;
        usual.go_on(&server.wire).await;
        let took = began.elapsed();
        check(&server.wire, &spoken, &usual).await;
        for round in 2..2 + PER_DATABASE.min(kills - seen.kills) {
            let spoken = Spoken::of(&server.wire, round).await;
            server = killed(&mut site, server, &spoken, took.mul_f64(chance.next()), &mut seen).await;
        }
        server.kill();
        site.assert_audit_whole();
    }
    tell(&format!(
        "{engine:?}: killed {} times in a revoke ({}); {} steps seen before, none lost or sent twice",
        seen.kills,
        seen.stages.iter().map(|(stage, count)| format!("{count} in {stage}")).collect::<Vec<_>>().join(", "),
        seen.steps
    ));
}

/// Takes back what the rule did, kills the server `after` that began, and starts it again.
async fn killed(
    site: &mut Site<'_>,
    server: Served,
    spoken: &Spoken,
    after: Duration,
    seen: &mut Seen,
) -> Served {
    let mut watched = spoken.take_back(&server.wire).await;
    let mut socket = watched.open(&server.wire).await;
    let opening = socket.item().await.expect("it opens with where the job stands");
    watched.steps.push(opening["jobProgress"].clone());
    let client = tokio::spawn(async move {
        watched.listen(socket).await;
        watched
    });
    // The moment is what is tried here: there is nothing to wait for.
    tokio::time::sleep(after).await;
    server.kill();
    let mut watched = client.await.expect("the client goes on");
    let before = watched.steps.len();
    let stage = watched.steps.last().map_or("nothing yet", |step| step["stage"].as_str().unwrap_or_default());
    *seen.stages.entry(stage.to_owned()).or_default() += 1;
    seen.kills += 1;
    seen.steps += before;
    site.assert_audit_whole();

    let server = site.serve(READY).await;
    seen.longest = seen.longest.max(server.took);
    let ended = watched.steps.last().is_some_and(|step| step["state"] == "COMPLETED");
    if !ended {
        let rest = tokio::time::timeout(PATIENCE, watched.go_on(&server.wire)).await;
        rest.expect("the job goes on by itself");
    }
    let cursors: BTreeSet<String> = watched.steps.iter().map(|step| step["cursor"].to_string()).collect();
    assert_eq!(cursors.len(), watched.steps.len(), "no step is sent twice");
    // Whoever never went away sees the same steps.
    let opening = watched.steps.first().map(|step| step["cursor"].clone());
    let mut all = Watched { id: watched.id.clone(), steps: Vec::new() };
    let socket = server.wire.subscribe(STEPS, json!({ "id": watched.id, "after": opening })).await;
    all.listen(socket).await;
    let plain = |steps: &[Json]| -> Vec<(String, Json)> {
        steps.iter().map(|step| (step["cursor"].to_string(), step["done"].clone())).collect()
    };
    assert_eq!(plain(&all.steps), plain(&watched.steps[1..]), "each step was seen once");
    check(&server.wire, spoken, &watched).await;
    server
}
