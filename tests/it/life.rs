//! The whole life of a gated rule, over the wire: drafted, tried, asked for, refused to who wrote it,
//! approved, at work, edited, and taken back. With `COUNTERSIGN_TRANSCRIPT=1` it is printed as it goes.

mod transcript;

use domain::access::Role;
use serde_json::{Value as Json, json};
use support::{Wire, World, on_both};

use transcript::{Transcript, refusal, said};

on_both!(the_life_of_a_gated_rule);

const CREATE: &str = "mutation Create($input: RuleDraftInput!) { ruleCreate(input: $input) {
    rule { id version key idle live { version } draft { stage author { ... on User { name } } } }
    userErrors { code message } } }";

const PREVIEW: &str = "query Preview($input: RulePreviewInput!) { rulePreview(input: $input) {
    active matched changed rows(changed: true) { edges { node { title } messages
        changes { field before after layer } } } } }";

const UPDATE: &str =
    "mutation Update($id: ID!, $v: Int!, $input: RuleUpdateInput!) { ruleUpdate(id: $id, expectedVersion: $v, input: $input) {
    rule { version contentHash live { version } draft { stage contentHash
        author { ... on User { name } } editor { ... on User { name } } approval { stage } } }
    userErrors { code message } } }";

const SUBMIT: &str = "mutation Submit($id: ID!, $v: Int!) { ruleSubmit(id: $id, expectedVersion: $v) {
    approval { id kind stage reasons required viewerCan { approve { allowed reason } } }
    userErrors { code message } } }";

const SECOND: &str = "mutation SecondToken { tokenCreate(input: { name: \"second\" }) {
    issued { secret token { name } } userErrors { code message } } }";

const APPROVE: &str =
    "mutation Approve($id: ID!, $hash: String!) { approvalApprove(id: $id, contentHash: $hash) {
    approval { stage votes { by { ... on User { name } } onBehalfOf { __typename } } }
    userErrors { code message } } }";

const QUEUE: &str = "query Queue { approvals(filter: { forMe: true }) { totalCount nodes {
    id title contentHash deadline blastRadius { count share } diff { field before after }
    author { ... on User { name } } subject { ... on Rule { name } } } } }";

const FINDINGS: &str =
    "query Findings { findings(first: 20) { nodes { id title severity badges { message } } } }";

const RULE: &str =
    "query Rule($id: ID!) { rule(id: $id) { version gated idle live { version } contentHash exempted
    draft { stage approval { stage } } } }";

const SEVERITY: &str =
    "mutation Edit($id: ID!) { findingSetSeverity(id: $id, severity: LOW, reason: \"Behind a proxy.\") {
    finding { title severity badges { message } } userErrors { code message } } }";

const REVOKE: &str = "mutation Revoke($input: RuleRevokeInput!) { ruleRevoke(input: $input) {
    job { id state mode done counts { name count } outcomes(first: 9) { edges { outcome restored
        conflicts { field above { layer by { ... on User { name } ... on Rule { name } } } }
        node { title severity } } } } userErrors { code message } } }";

const HISTORY: &str = "query History($id: ID!) { ruleVersions(rule: $id) { nodes {
    version live changes { field before after } approval { stage } author { ... on User { name } } } } }";

const AUDIT: &str = "query Audit($id: ID!) { auditEntries(filter: { record: $id }) { nodes {
    action actor { kind } } } }";

/// What happens, and to whom.
struct Play {
    transcript: Transcript,
    project: Json,
    analyst: Wire,
}

impl Play {
    async fn new(world: &World) -> Self {
        let analyst = Wire::of(world, world.acme.person(Role::Analyst)).await;
        let projects = analyst.ask("{ projects { nodes { id name } } }", json!({})).await;
        let projects = projects["projects"]["nodes"].as_array().unwrap().clone();
        let shop = projects.into_iter().find(|project| project["name"] == "Web shop").unwrap();
        let transcript = Transcript::new(&format!("The life of a gated rule, on {:?}", world.engine));
        Self { transcript, project: shop["id"].clone(), analyst }
    }

    /// Somebody asks something: the whole answer.
    async fn asks(&self, who: &Wire, does: &str, query: &str, variables: Json) -> Json {
        let answer = who.answer(query, variables.clone()).await;
        self.transcript.step(does, query, &variables, &answer);
        answer
    }

    /// A report of critical findings with these titles, and of what else was there, is imported.
    async fn import(&self, does: &str, critical: &[&str]) {
        let severities = critical.iter().map(|title| (*title, "critical")).chain([("harmless", "low")]);
        let line = |(title, severity): (&str, &str)| json!({ "scanner_reference": title, "title": title, "asset": "web-01", "severity": severity });
        let report: String = severities.map(|of| format!("{}\n", line(of))).collect();
        let columns = ["scanner_reference", "title", "asset", "severity"];
        let columns = columns.map(|field| json!({ "field": field, "column": field }));
        let mapping = json!({ "columns": columns, "identity": ["scanner_reference"] });
        let input =
            json!({ "project": self.project, "name": "night", "format": "JSONL", "mapping": mapping });
        let start = "mutation Import($input: ImportStartInput!) {
            importStart(input: $input) { import { id } uploadUrl userErrors { code message field } } }";
        let started = self.asks(&self.analyst, does, start, json!({ "input": input })).await;
        let started = said(&started);
        let id = json!({ "id": started["import"]["id"] });
        self.analyst.put(started["uploadUrl"].as_str().unwrap(), report).await;
        let watch = "subscription Progress($id: ID!) { importProgress(id: $id) { state stage counts { name count } } }";
        let steps = self.analyst.watch(watch, id.clone()).await;
        let last = json!({ "data": steps.last().expect("an import has steps") });
        self.transcript.step("its last step", watch, &id, &last);
        assert_eq!(last["data"]["importProgress"]["state"], "COMPLETED");
    }

    /// What the findings show: their severities and badges, by title.
    async fn findings(&self, does: &str) -> Json {
        let shown = self.asks(&self.analyst, does, FINDINGS, json!({})).await;
        let rows = said(&shown)["nodes"].as_array().unwrap().clone();
        rows.into_iter().map(|row| (row["title"].as_str().unwrap().to_owned(), row)).collect()
    }
}

async fn the_life_of_a_gated_rule(world: &World) {
    let play = Play::new(world).await;
    let ann = world.join("Ann", Role::Admin).await;
    let bob = world.join("Bob", Role::Admin).await;
    let (ann, bob) = (play.analyst.with(&ann.token), play.analyst.with(&bob.token));
    let second_person = play.analyst.with(&world.acme.person(Role::Approver).token);
    let make = |severity: &str| json!({ "type": "override_severity", "config": { "severity": severity } });

    // Drafted: nothing is live, and what arrives stays as it is.
    let input = json!({ "name": "Critical to high", "mode": "ENFORCE", "requiresApproval": true, "action": make("high"),
                        "criteria": { "field": "severity", "operator": "eq", "value": "critical" } });
    let created = play.asks(&ann, "Ann drafts a gated rule", CREATE, json!({ "input": input })).await;
    let rule = said(&created)["rule"].clone();
    assert_eq!((&rule["live"], &rule["idle"]), (&Json::Null, &json!("waiting for approval")));
    assert_eq!(rule["draft"], json!({ "stage": "DRAFT", "author": { "name": "Acme Ann" } }));
    let of_rule = json!({ "id": rule["id"] });
    play.import("A report comes: the draft does nothing", &["one"]).await;
    assert_eq!(play.findings("What is shown").await["one"]["severity"], "CRITICAL");

    // Tried.
    let tried = json!({ "input": { "rule": rule["id"] } });
    let preview = play.asks(&ann, "Ann previews it", PREVIEW, tried).await;
    let row = json!({ "node": { "title": "one" }, "messages": ["Rule 'Critical to high': severity critical to high"],
        "changes": [{ "field": "severity", "before": "critical", "after": "high", "layer": "RULE" }] });
    assert_eq!(
        said(&preview),
        &json!({ "active": 2, "matched": 1, "changed": 1, "rows": { "edges": [row] } })
    );

    // Written by two, asked for, and refused to both, by whichever token.
    let update =
        json!({ "id": rule["id"], "v": rule["version"], "input": { "action": make("high"), "order": 7 } });
    let edited = play.asks(&bob, "Bob edits the draft", UPDATE, update).await;
    let edited = said(&edited)["rule"].clone();
    let hands = (&edited["draft"]["author"]["name"], &edited["draft"]["editor"]["name"]);
    assert_eq!(hands, (&json!("Acme Ann"), &json!("Acme Bob")));
    let submit = json!({ "id": rule["id"], "v": edited["version"] });
    let asked = play.asks(&ann, "Ann asks for its approval", SUBMIT, submit).await;
    let asked = said(&asked)["approval"].clone();
    assert_eq!(
        (&asked["kind"], &asked["stage"], &asked["required"]),
        (&json!("RULE"), &json!("PENDING"), &json!(1))
    );
    assert_eq!(asked["viewerCan"]["approve"]["allowed"], false);
    let seen = json!({ "id": asked["id"], "hash": edited["draft"]["contentHash"] });
    let issued = play.asks(&ann, "Ann makes herself a second token", SECOND, json!({})).await;
    let second_token = play.analyst.with(said(&issued)["issued"]["secret"].as_str().unwrap());
    for (who, does) in [
        (&ann, "Ann, who wrote it, approves it: refused"),
        (&bob, "Bob, who edited it last, approves it: refused"),
        (&second_token, "Ann approves it by her second token: refused"),
    ] {
        assert_eq!(refusal(&play.asks(who, does, APPROVE, seen.clone()).await), "SELF_APPROVAL");
    }
    let other = play.asks(&play.analyst, "An analyst approves it: refused", APPROVE, seen.clone()).await;
    assert_eq!(refusal(&other), "FORBIDDEN");
    let stale = json!({ "id": asked["id"], "hash": rule["id"] });
    let stale = play.asks(&second_person, "A second person approves what was not seen", APPROVE, stale).await;
    assert_eq!(refusal(&stale), "CONFLICT");
    let still = play.asks(&ann, "It still waits", RULE, of_rule.clone()).await;
    assert_eq!((&said(&still)["live"], &said(&still)["draft"]["stage"]), (&Json::Null, &json!("PENDING")));

    // Approved by another, with the hash of what that one saw.
    let queue = play.asks(&second_person, "What waits for the second person", QUEUE, json!({})).await;
    let waiting = said(&queue)["nodes"][0].clone();
    assert_eq!((&said(&queue)["totalCount"], &waiting["id"]), (&json!(1), &asked["id"]));
    assert_eq!(waiting["blastRadius"], json!({ "count": 1, "share": 0.5 }));
    let fields: Vec<&Json> =
        waiting["diff"].as_array().unwrap().iter().map(|change| &change["field"]).collect();
    assert!(fields.contains(&&json!("criteria")) && fields.contains(&&json!("action")), "{fields:?}");
    let seen = json!({ "id": waiting["id"], "hash": waiting["contentHash"] });
    let done = play.asks(&second_person, "The second person approves it", APPROVE, seen.clone()).await;
    let vote = json!({ "by": { "name": "Acme APPROVER" }, "onBehalfOf": null });
    assert_eq!(said(&done)["approval"], json!({ "stage": "APPROVED", "votes": [vote] }));
    let again = play.asks(&second_person, "and once more: refused", APPROVE, seen).await;
    assert_eq!(refusal(&again), "ILLEGAL_STATE");

    // At work.
    play.import("A report comes: the rule fires", &["one", "two", "three"]).await;
    let shown = play.findings("What is shown, with its badge").await;
    for title in ["one", "two", "three"] {
        assert_eq!(shown[title]["severity"], "HIGH", "{title}");
        let badge = json!([{ "message": "Rule 'Critical to high': severity critical to high" }]);
        assert_eq!(shown[title]["badges"], badge, "{title}");
    }
    assert_eq!(shown["harmless"]["badges"], json!([]));

    // Edited: the edit waits, and the live version goes on.
    let live = play.asks(&ann, "The rule is live", RULE, of_rule.clone()).await;
    let live = said(&live).clone();
    assert_eq!((&live["idle"], &live["draft"], &live["gated"]), (&Json::Null, &Json::Null, &json!(true)));
    let update = json!({ "id": rule["id"], "v": live["version"], "input": { "action": make("medium") } });
    let edited = play.asks(&ann, "Ann edits it", UPDATE, update).await;
    let edited = said(&edited)["rule"].clone();
    assert_eq!((&edited["live"], &edited["contentHash"]), (&live["live"], &live["contentHash"]));
    let submit = json!({ "id": rule["id"], "v": edited["version"] });
    let asked = play.asks(&ann, "Ann asks for the approval of the edit", SUBMIT, submit).await;
    assert_eq!(said(&asked)["approval"]["stage"], "PENDING");
    play.import("A report comes meanwhile", &["one", "two", "three", "four"]).await;
    let shown = play.findings("The live version went on").await;
    assert_eq!(shown["four"]["severity"], "HIGH");
    let waits = play.asks(&ann, "and the edit still waits", RULE, of_rule.clone()).await;
    assert_eq!((&said(&waits)["live"], &said(&waits)["draft"]["stage"]), (&live["live"], &json!("PENDING")));

    // Taken back: what a person said in between stays.
    let two = json!({ "id": shown["two"]["id"] });
    let by_hand = play.asks(&play.analyst, "An analyst says otherwise of one finding", SEVERITY, two).await;
    assert_eq!(said(&by_hand)["finding"]["severity"], "LOW");
    let safe = json!({ "input": { "of": { "rule": { "rule": rule["id"] } }, "mode": "SAFE", "reason": "Too broad." } });
    let revoked = play.asks(&ann, "Ann takes back what it did, SAFE", REVOKE, safe).await;
    let job = said(&revoked)["job"].clone();
    assert_eq!((&job["state"], &job["mode"], &job["done"]), (&json!("COMPLETED"), &json!("SAFE"), &json!(4)));
    for edge in job["outcomes"]["edges"].as_array().unwrap() {
        if edge["node"]["title"] == "two" {
            let above = json!([{ "layer": "HUMAN", "by": { "name": "Acme ANALYST" } }]);
            assert_eq!((&edge["outcome"], &edge["restored"]), (&json!("CONFLICT"), &json!([])));
            assert_eq!(edge["conflicts"], json!([{ "field": "severity", "above": above }]));
            assert_eq!(edge["node"]["severity"], "LOW", "what a person said stays");
        } else {
            assert_eq!((&edge["outcome"], &edge["restored"]), (&json!("RESTORED"), &json!(["severity"])));
            assert_eq!(edge["node"]["severity"], "CRITICAL");
        }
    }
    play.import(
        "A report comes: what was taken back is exempt, what is new is not",
        &["one", "two", "three", "four", "five"],
    )
    .await;
    let shown = play.findings("What is shown").await;
    let expected =
        [("one", "CRITICAL"), ("two", "LOW"), ("three", "CRITICAL"), ("four", "CRITICAL"), ("five", "HIGH")];
    for (title, severity) in expected {
        assert_eq!(shown[title]["severity"], severity, "{title}");
    }
    let force = json!({ "input": { "of": { "followUp": { "job": job["id"] } }, "mode": "FORCE" } });
    let revoked = play.asks(&ann, "Ann takes back the rest, FORCE", REVOKE, force).await;
    let edge = json!([{ "outcome": "RESTORED", "restored": ["severity"], "conflicts": [],
                        "node": { "title": "two", "severity": "CRITICAL" } }]);
    assert_eq!(said(&revoked)["job"]["outcomes"]["edges"], edge, "what lay above went too");

    // All of it is on record.
    let rest = play.asks(&ann, "What the rule is now", RULE, of_rule.clone()).await;
    assert_eq!((&said(&rest)["live"], &said(&rest)["exempted"]), (&live["live"], &json!(4)));
    let history = play.asks(&ann, "What it has said", HISTORY, of_rule.clone()).await;
    let versions: Vec<(&Json, &Json)> = said(&history)["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| (&version["live"], &version["approval"]["stage"]))
        .collect();
    let (written, approved) = ((&json!(false), &Json::Null), (&json!(true), &json!("APPROVED")));
    assert_eq!(versions, [written, approved, written, written]);
    let audit = play.asks(&ann, "What the audit has", AUDIT, of_rule).await;
    let mut acts: Vec<&str> = said(&audit)["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    acts.reverse();
    let expected =
        ["rule.created", "rule.drafted", "rule.went_live", "rule.drafted", "rule.revoked", "rule.revoked"];
    assert_eq!(acts, expected);
    world.assert_ledger_whole().await;
}
