//! From a report to triaged findings, over the wire: the schema and the files beside it.

use std::collections::BTreeSet;

use api::files::DomainFiles;
use api::graphql::{Schema, schema};
use api::server::upload::{Files, Upload};
use async_graphql::{Request, Variables};
use domain::access::{Actor, Role};
use domain::error::{Code, Error};
use domain::finding::edit::{Edit, NewFinding};
use domain::intake::report::Reported;
use domain::inventory::asset::NewAsset;
use domain::vocabulary::terms::Severity;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value as Json, json};
use support::{World, on_both};
use uuid::Uuid;

use crate::graph::{Client, Statements};
use crate::ground::Ground;

on_both!(
    a_report_is_triaged_as_it_comes,
    lists_are_filtered_sorted_and_paged,
    findings_are_counted_by_what_they_have_in_common,
    a_person_is_heard_over_rules,
    a_change_happens_once,
    many_are_changed_together,
    findings_are_taken_out,
    what_changes_is_watched_without_a_gap,
    a_job_is_seen_by_who_started_it,
);

mod rules;

/// One image with a critical package without a known fix, a high one, a low one and a secret.
fn report() -> String {
    let flaw = |id: &str, package: &str, severity: &str, fixed: &str| {
        json!({ "VulnerabilityID": id, "PkgName": package, "InstalledVersion": "1.0", "FixedVersion": fixed,
                "Severity": severity, "Title": format!("{package}: {id}") })
    };
    json!({
        "SchemaVersion": 2, "ArtifactName": "registry.example/shop:1", "ArtifactType": "container_image",
        "Results": [
            { "Target": "shop (alpine)", "Class": "os-pkgs", "Type": "alpine", "Vulnerabilities": [
                flaw("CVE-2026-0001", "openssl", "CRITICAL", ""),
                flaw("CVE-2026-0002", "zlib", "HIGH", "1.1"),
                flaw("CVE-2026-0003", "busybox", "LOW", "1.2") ] },
            { "Target": "app/config.py", "Class": "secret", "Secrets": [
                { "RuleID": "token", "Category": "Generic", "Severity": "MEDIUM", "Title": "A token",
                  "StartLine": 3, "EndLine": 3, "Match": "***" } ] }
        ]
    })
    .to_string()
}

const START: &str = "mutation($input: ImportStartInput!, $key: String) {
    importStart(input: $input, idempotencyKey: $key) {
        import { id state kind scan { id status } project { name } cancellable { allowed } uploadUrl }
        uploadUrl userErrors { code field message } } }";

const STEPS: &str = "subscription($id: ID!, $after: String) { importProgress(id: $id, after: $after) {
    cursor state stage done total counts { name count } job { __typename state error { code message } } } }";

const CHANGES: &str = "subscription($filter: Criteria, $after: String) {
    findingChanged(filter: $filter, after: $after) {
        ... on FindingSnapshot { snapshot: cursor }
        ... on FindingChange { cursor delta event finding { id title severity } } } }";

/// Somebody of Acme, before the schema of its server.
fn client<'a>(schema: &'a Schema, actor: &Actor) -> Client<'a> {
    Client { schema, actor: actor.clone() }
}

async fn project(client: &Client<'_>) -> Json {
    let found = client.ask("{ projects { nodes { id name } } }", json!({})).await;
    let nodes = found["projects"]["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["name"] == "Web shop").unwrap()["id"].clone()
}

/// Puts a report where its upload URL says, as the server's edge would.
async fn put(world: &World, actor: &Actor, url: &Json, report: &str) -> Result<Json, Error> {
    let id: Uuid = url.as_str().unwrap().split('/').nth(3).unwrap().parse().unwrap();
    let parts: Vec<_> = report.as_bytes().chunks(100).map(|part| Ok(part.to_vec().into())).collect();
    let upload = Upload { length: None, content_type: None, body: stream::iter(parts).boxed() };
    DomainFiles(world.domain.clone()).receive(actor.clone(), id, upload).await
}

/// The items of a subscription, until `enough` of them or its end.
async fn watch(client: &Client<'_>, query: &str, variables: Json, enough: usize) -> Vec<Json> {
    let request = Request::new(query).variables(Variables::from_json(variables)).data(client.actor.clone());
    let items = client.schema.execute_stream(request).take(enough).map(|response| {
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        api::graphql::data(&response)
    });
    items.collect().await
}

/// Takes the report in and waits for its end; returns the import's id.
async fn import(world: &World, client: &Client<'_>) -> Json {
    let input = json!({ "project": project(client).await, "name": "shop.json" });
    let started = client.ask(START, json!({ "input": input })).await["importStart"].clone();
    assert_eq!(started["userErrors"], json!([]));
    put(world, &client.actor, &started["uploadUrl"], &report()).await.unwrap();
    let id = started["import"]["id"].clone();
    let steps = watch(client, STEPS, json!({ "id": id }), usize::MAX).await;
    assert_eq!(steps.last().unwrap()["importProgress"]["state"], "COMPLETED", "{steps:?}");
    id
}

const RULE: &str = "mutation($input: RuleDraftInput!) { ruleCreate(input: $input) {
    rule { id name sentence mode order idle version global author { ... on User { name } }
           action { type label sentence json } viewerCan { edit { allowed } } }
    userErrors { code field message details } } }";

async fn rule(client: &Client<'_>, name: &str, criteria: Json, action: Json) -> Json {
    let input = json!({ "name": name, "criteria": criteria, "action": action, "mode": "ENFORCE" });
    let made = client.ask(RULE, json!({ "input": input })).await["ruleCreate"].clone();
    assert_eq!(made["userErrors"], json!([]));
    made["rule"].clone()
}

fn leaf(field: &str, operator: &str, value: Json) -> Json {
    json!({ "field": field, "operator": operator, "value": value })
}

/// The findings that a filter leaves.
async fn findings(client: &Client<'_>, filter: Json) -> Vec<Json> {
    let query = "query($filter: Criteria) { findings(filter: $filter) { nodes {
        id title severity status version tags assignees { users { name } teams { name } } } } }";
    client.ask(query, json!({ "filter": filter })).await["findings"]["nodes"].as_array().unwrap().clone()
}

async fn finding(client: &Client<'_>, component: &str) -> Json {
    let mut found = findings(client, leaf("component_name", "eq", json!(component))).await;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

async fn a_report_is_triaged_as_it_comes(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let author = client(&schema, world.acme.author());
    let calm = rule(
        &author,
        "No Exploit Critical to High",
        leaf("severity", "eq", json!("critical")),
        json!({ "type": "override_severity", "config": { "severity": "high" } }),
    )
    .await;
    assert_eq!(calm["sentence"], "severity is critical");
    assert_eq!(calm["action"]["sentence"], "set severity to high");
    assert_eq!(calm["author"]["name"], "Acme AUTHOR");
    let analyst = client(&schema, world.acme.analyst());

    let input = json!({ "project": project(&analyst).await, "name": "shop.json" });
    let started = analyst.ask(START, json!({ "input": input, "key": "k" })).await["importStart"].clone();
    assert_eq!(started["import"]["state"], "WAITING");
    assert_eq!(started["import"]["scan"]["status"], "PENDING");
    assert_eq!(started["import"]["uploadUrl"], started["uploadUrl"]);
    let again = analyst.ask(START, json!({ "input": input, "key": "k" })).await["importStart"].clone();
    assert_eq!(again, started, "a key stands for one import");

    let id = &started["import"]["id"];
    let open = watch(&analyst, STEPS, json!({ "id": id }), 1).await[0]["importProgress"].clone();
    assert_eq!((&open["state"], &open["stage"]), (&json!("WAITING"), &json!("waiting")));
    let nia = client(&schema, world.globex.analyst());
    let foreign = put(world, &nia.actor, &started["uploadUrl"], &report()).await.unwrap_err();
    assert_eq!(foreign.code, Code::NotFound);
    let received = put(world, &analyst.actor, &started["uploadUrl"], &report()).await.unwrap();
    assert_eq!(received["bytes"], report().len());
    let twice = put(world, &analyst.actor, &started["uploadUrl"], &report()).await.unwrap_err();
    assert_eq!(twice.code, Code::IllegalState);

    // Whoever comes back with a cursor sees every step behind it, to the end.
    let steps = watch(&analyst, STEPS, json!({ "id": id, "after": open["cursor"] }), usize::MAX).await;
    let last = &steps.last().unwrap()["importProgress"];
    assert_eq!((&last["state"], &last["job"]["__typename"]), (&json!("COMPLETED"), &json!("ImportJob")));
    assert_eq!(last["done"], 4);
    let cursors: BTreeSet<&str> =
        steps.iter().map(|step| step["importProgress"]["cursor"].as_str().unwrap()).collect();
    assert_eq!(cursors.len(), steps.len());
    assert!(watch(&analyst, STEPS, json!({ "id": id, "after": last["cursor"] }), 1).await.is_empty());

    let query = "query($filter: Criteria) { findings(filter: $filter) { totalCount nodes {
        title severity status class active componentName asset { name type } project { name }
        badges { rule { name } field before after message }
        layers { field value entries { layer value shown by { ... on Rule { name } } } elements { element shown } }
        viewerCan { edit { allowed } release { allowed reason } } } } }";
    let filter = leaf("component_name", "eq", json!("openssl"));
    let found = analyst.ask(query, json!({ "filter": filter })).await["findings"].clone();
    assert_eq!(found["totalCount"], 1);
    let node = &found["nodes"][0];
    assert_eq!((&node["severity"], &node["status"]), (&json!("HIGH"), &json!("OPEN")));
    assert_eq!(node["asset"], json!({ "name": "registry.example/shop:1", "type": "container_image" }));
    assert_eq!(node["project"]["name"], "Web shop");
    assert_eq!(
        node["badges"],
        json!([{ "rule": { "name": "No Exploit Critical to High" }, "field": "severity",
                 "before": "critical", "after": "high",
                 "message": "Rule 'No Exploit Critical to High': severity critical to high" }])
    );
    let layers = node["layers"].as_array().unwrap();
    let severity = layers.iter().find(|layer| layer["field"] == "severity").unwrap();
    assert_eq!(
        severity["entries"],
        json!([{ "layer": "SCANNER", "value": "critical", "shown": false, "by": null },
               { "layer": "RULE", "value": "high", "shown": true, "by": { "name": "No Exploit Critical to High" } }])
    );
    assert_eq!(node["viewerCan"]["release"]["allowed"], false);

    let about = "{ scans { totalCount nodes { name scanner format status totals { critical high low medium total } job { id kind } } }
                   jobs(filter: { kinds: [IMPORT], states: [COMPLETED] }) { totalCount nodes { id startedBy { ... on User { name } } cancellable { allowed } } } }";
    let about = analyst.ask(about, json!({})).await;
    let scan = &about["scans"]["nodes"][0];
    assert_eq!((&scan["status"], &scan["format"]), (&json!("FINISHED"), &json!("TRIVY_JSON")));
    assert_eq!(scan["totals"], json!({ "critical": 1, "high": 1, "low": 1, "medium": 1, "total": 4 }));
    assert_eq!((&scan["job"]["id"], &about["jobs"]["nodes"][0]["id"]), (id, id));
    assert_eq!(about["jobs"]["nodes"][0]["startedBy"]["name"], "Acme ANALYST");
    assert_eq!(about["jobs"]["nodes"][0]["cancellable"]["allowed"], false);

    // For the neighbour nothing of it exists.
    let none =
        nia.ask("{ findings { totalCount } scans { totalCount } jobs { totalCount } }", json!({})).await;
    assert_eq!(
        none,
        json!({ "findings": { "totalCount": 0 }, "scans": { "totalCount": 0 }, "jobs": { "totalCount": 0 } })
    );
    let node = "query($id: ID!) { node(id: $id) { __typename } job(id: $id) { id } }";
    assert_eq!(nia.ask(node, json!({ "id": id })).await, json!({ "node": null, "job": null }));
    assert_eq!(analyst.ask(node, json!({ "id": id })).await["node"]["__typename"], "ImportJob");
}

async fn lists_are_filtered_sorted_and_paged(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    import(world, &ann).await;
    let list = "query($filter: Criteria, $by: FindingOrderBy, $first: Int, $after: String, $last: Int, $before: String) {
        findings(filter: $filter, orderBy: $by, first: $first, after: $after, last: $last, before: $before) {
            totalCount totalCountReason pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
            nodes { severity } } }";
    let page = async |variables: Json| ann.ask(list, variables).await["findings"].clone();
    let severities = |page: &Json| -> Vec<String> {
        let nodes = page["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["severity"].as_str().unwrap().to_owned()).collect()
    };
    let all = ["CRITICAL", "HIGH", "MEDIUM", "LOW"];
    assert_eq!(severities(&page(json!({})).await), all);
    let ascending = page(json!({ "by": { "field": "SEVERITY", "direction": "ASC" } })).await;
    assert_eq!(severities(&ascending), ["LOW", "MEDIUM", "HIGH", "CRITICAL"]);
    let one = page(json!({ "first": 3 })).await;
    assert_eq!(
        (severities(&one), &one["totalCount"]),
        (all[..3].iter().copied().map(Into::into).collect(), &json!(4))
    );
    assert_eq!(one["pageInfo"]["hasNextPage"], true);
    let two = page(json!({ "first": 3, "after": one["pageInfo"]["endCursor"] })).await;
    assert_eq!((severities(&two), &two["pageInfo"]["hasNextPage"]), (vec!["LOW".to_owned()], &json!(false)));
    let back = page(json!({ "last": 2, "before": two["pageInfo"]["startCursor"] })).await;
    assert_eq!(severities(&back), ["HIGH", "MEDIUM"]);
    let pattern = leaf("title", "matches_regex", json!("^(openssl|zlib):"));
    let matched = page(json!({ "filter": pattern })).await;
    assert_eq!(
        (severities(&matched), &matched["totalCount"]),
        (vec!["CRITICAL".into(), "HIGH".into()], &json!(2))
    );
    assert_eq!(matched["totalCountReason"], Json::Null);
    let query = "query($f: Criteria) { findings(filter: $f) { totalCount } }";
    let empty = json!({ "logic": "AND", "conditions": [] });
    assert_eq!(ann.fails(query, json!({ "f": empty })).await, Code::CriteriaEmpty);
    assert_eq!(
        ann.fails(query, json!({ "f": leaf("nothing", "eq", json!(1)) })).await,
        Code::CriteriaInvalid
    );
    let narrow = client(&schema, &world.acme.narrow.actor);
    assert_eq!(findings(&narrow, Json::Null).await.len(), 4);
}

async fn findings_are_counted_by_what_they_have_in_common(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    import(world, &ann).await;
    let zlib = finding(&ann, "zlib").await;
    let set =
        "mutation($id: ID!) { findingSetStatus(id: $id, status: FALSE_POSITIVE) { userErrors { code } } }";
    ann.ask(set, json!({ "id": zlib["id"] })).await;
    let stats =
        "{ findingStats(groupBy: [\"project\", \"status\"]) { total active bySeverity { severity count }
        byStatus { status count } groups { count values { field value label } } } }";
    let stats = ann.ask(stats, json!({})).await["findingStats"].clone();
    assert_eq!((&stats["total"], &stats["active"]), (&json!(4), &json!(3)));
    assert_eq!(stats["bySeverity"][4], json!({ "severity": "CRITICAL", "count": 1 }));
    assert_eq!(stats["bySeverity"][5], json!({ "severity": "URGENT", "count": 0 }));
    assert_eq!(stats["byStatus"][4], json!({ "status": "FALSE_POSITIVE", "count": 1 }));
    assert_eq!(stats["groups"][0]["count"], 3);
    assert_eq!(stats["groups"][0]["values"][0]["label"], "Web shop");
    assert_eq!(stats["groups"][0]["values"][1]["label"], "Open");
    let facets = "{ findingFacets(by: [\"severity\", \"cve_ids\", \"assigned_users\"], first: 2) { field label values { value label count } } }";
    let facets = ann.ask(facets, json!({})).await["findingFacets"].clone();
    assert_eq!(facets[0]["values"].as_array().unwrap().len(), 2);
    assert_eq!(facets[2]["values"], json!([{ "value": null, "label": "None", "count": 4 }]));
    let values = "{ fieldValues(field: \"component_name\", query: \"SSL\") { value label count } }";
    assert_eq!(
        ann.ask(values, json!({})).await["fieldValues"],
        json!([{ "value": "openssl", "label": "openssl", "count": 1 }])
    );
    assert_eq!(ann.fails("{ fieldValues(field: \"nothing\") { count } }", json!({})).await, Code::Invalid);
    let three = "{ findingStats(groupBy: [\"title\", \"status\", \"class\"]) { groups { count } } }";
    assert_eq!(ann.fails(three, json!({})).await, Code::Invalid);
}

async fn a_person_is_heard_over_rules(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let author = client(&schema, world.acme.author());
    let tag = json!({ "type": "append_tag", "config": { "tags": ["web"] } });
    rule(&author, "Tag", leaf("component_name", "eq", json!("zlib")), tag).await;
    let ann = client(&schema, world.acme.analyst());
    import(world, &ann).await;
    let zlib = finding(&ann, "zlib").await;
    assert_eq!(zlib["tags"], json!(["alpine", "web"]));
    let id = &zlib["id"];
    let untag = "mutation($id: ID!, $input: FindingTagInput!) { findingTag(id: $id, input: $input) {
        finding { tags version badges { message } viewerCan { release { allowed } } } userErrors { code } } }";
    let done = ann.ask(untag, json!({ "id": id, "input": { "add": ["mine"], "remove": ["web"] } })).await;
    let done = &done["findingTag"]["finding"];
    assert_eq!((&done["tags"], &done["badges"]), (&json!(["alpine", "mine"]), &json!([])));
    assert_eq!(done["viewerCan"]["release"]["allowed"], true);
    let sweep = "mutation { ruleSweep { job { id kind } userErrors { code } } }";
    let job = author.ask(sweep, json!({})).await["ruleSweep"]["job"]["id"].clone();
    let steps = "subscription($id: ID!) { jobProgress(id: $id) { state job { __typename } } }";
    let steps = watch(&author, steps, json!({ "id": job }), usize::MAX).await;
    assert_eq!(
        steps.last().unwrap()["jobProgress"],
        json!({ "state": "COMPLETED", "job": { "__typename": "SweepJob" } })
    );
    assert_eq!(finding(&ann, "zlib").await["tags"], json!(["alpine", "mine"]));

    let release = "mutation($id: ID!, $fields: [String!]!) { findingRelease(id: $id, fields: $fields) {
        finding { tags } userErrors { code field } } }";
    let unknown =
        ann.ask(release, json!({ "id": id, "fields": ["nothing"] })).await["findingRelease"].clone();
    assert_eq!(unknown["userErrors"], json!([{ "code": "INVALID", "field": ["fields"] }]));
    let released = ann.ask(release, json!({ "id": id, "fields": ["tags"] })).await["findingRelease"].clone();
    assert_eq!(released["finding"]["tags"], json!(["alpine", "web"]));

    let users = "{ users { nodes { id name } } teams { nodes { id name } } }";
    let admin = client(&schema, world.acme.admin());
    let people = admin.ask(users, json!({})).await;
    let assign = "mutation($id: ID!, $input: FindingAssignInput!) { findingAssign(id: $id, input: $input) {
        finding { assignees { users { name } teams { name } } } userErrors { code field } } }";
    let input = json!({ "addUsers": [people["users"]["nodes"][0]["id"]], "addTeams": [people["teams"]["nodes"][0]["id"]] });
    let assigned =
        ann.ask(assign, json!({ "id": id, "input": input })).await["findingAssign"]["finding"].clone();
    assert_eq!(assigned["assignees"]["users"][0]["name"], people["users"]["nodes"][0]["name"]);
    assert_eq!(assigned["assignees"]["teams"][0]["name"], "Blue");
    let gia = client(&schema, world.globex.admin());
    let strangers = gia.ask(users, json!({})).await;
    let input = json!({ "addUsers": [strangers["users"]["nodes"][0]["id"]] });
    let refused = ann.ask(assign, json!({ "id": id, "input": input })).await["findingAssign"].clone();
    assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND");

    let audit = "query($id: ID!) { finding(id: $id) { audit(first: 1) { totalCount nodes { action actor { name } } } } }";
    let told = admin.ask(audit, json!({ "id": id })).await["finding"]["audit"].clone();
    assert_eq!(told["nodes"][0], json!({ "action": "finding.updated", "actor": { "name": "Acme ANALYST" } }));
    assert_eq!(ann.fails(audit, json!({ "id": id })).await, Code::Forbidden);
}

async fn a_change_happens_once(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    import(world, &ann).await;
    let zlib = finding(&ann, "zlib").await;
    let (id, version) = (&zlib["id"], &zlib["version"]);
    let set = "mutation($id: ID!, $severity: Severity!, $version: Int, $key: String) {
        findingSetSeverity(id: $id, severity: $severity, reason: \"seen\", expectedVersion: $version, idempotencyKey: $key) {
            finding { severity version } userErrors { code field details } } }";
    let variables = json!({ "id": id, "severity": "LOW", "version": version, "key": "once" });
    let done = ann.ask(set, variables.clone()).await["findingSetSeverity"].clone();
    assert_eq!(done["finding"]["severity"], "LOW");
    assert_eq!(ann.ask(set, variables).await["findingSetSeverity"], done);
    let stale = json!({ "id": id, "severity": "HIGH", "version": version });
    let stale = ann.ask(set, stale).await["findingSetSeverity"]["userErrors"].clone();
    assert_eq!(stale[0]["code"], "CONFLICT");
    assert_eq!(stale[0]["details"]["author"], "Acme ANALYST");
    assert_eq!(stale[0]["details"]["currentVersion"], done["finding"]["version"]);
    let other = json!({ "id": id, "severity": "HIGH", "key": "once" });
    let other = ann.ask(set, other).await["findingSetSeverity"]["userErrors"].clone();
    assert_eq!(other[0]["code"], "IDEMPOTENCY_MISMATCH");
    let close = "mutation($id: ID!, $to: FindingStatus!) { findingSetStatus(id: $id, status: $to) {
        finding { status active closedAt } userErrors { code field } } }";
    let closed = ann.ask(close, json!({ "id": id, "to": "FIXED" })).await["findingSetStatus"].clone();
    assert_eq!(
        (&closed["finding"]["status"], &closed["finding"]["active"]),
        (&json!("FIXED"), &json!(false))
    );
    let refused =
        ann.ask(close, json!({ "id": id, "to": "FALSE_POSITIVE" })).await["findingSetStatus"].clone();
    assert_eq!(refused["userErrors"], json!([{ "code": "ILLEGAL_STATE", "field": ["status"] }]));
    let gia = client(&schema, world.globex.analyst());
    let foreign = gia.ask(close, json!({ "id": id, "to": "FIXED" })).await["findingSetStatus"].clone();
    assert_eq!(foreign["userErrors"][0]["code"], "NOT_FOUND");
    let viewer = client(&schema, &world.acme.person(Role::Viewer).actor);
    assert_eq!(viewer.fails(close, json!({ "id": id, "to": "OPEN" })).await, Code::Forbidden);

    let say = "mutation($id: ID!, $body: String!, $key: String) { findingComment(id: $id, body: $body, idempotencyKey: $key) {
        comment { id body authorName author { ... on User { name } } } userErrors { code field } } }";
    let said = json!({ "id": id, "body": " Look at this. ", "key": "say" });
    let comment = ann.ask(say, said.clone()).await["findingComment"].clone();
    assert_eq!(comment["comment"]["body"], "Look at this.");
    assert_eq!(comment["comment"]["author"]["name"], "Acme ANALYST");
    assert_eq!(ann.ask(say, said).await["findingComment"], comment);
    let read = "query($id: ID!, $comment: ID!) { finding(id: $id) { comments { body } } node(id: $comment) { __typename id } }";
    let read = ann.ask(read, json!({ "id": id, "comment": comment["comment"]["id"] })).await;
    assert_eq!(read["finding"]["comments"], json!([{ "body": "Look at this." }]));
    assert_eq!(read["node"]["__typename"], "Comment");

    let create = "mutation($input: FindingCreateInput!, $key: String) { findingCreate(input: $input, idempotencyKey: $key) {
        finding { id title severity scannerSource class port } userErrors { code field } } }";
    let asset = "query($id: ID!) { finding(id: $id) { asset { id } project { id } } }";
    let place = ann.ask(asset, json!({ "id": id })).await["finding"].clone();
    let input = json!({ "project": place["project"]["id"], "asset": place["asset"]["id"], "title": "Open door",
                        "severity": "URGENT", "class": "COMPLIANCE", "port": 22, "reference": "door-1" });
    let made = ann.ask(create, json!({ "input": input, "key": "new" })).await["findingCreate"].clone();
    let expected = json!({ "id": made["finding"]["id"], "title": "Open door", "severity": "URGENT",
                           "scannerSource": "manual", "class": "COMPLIANCE", "port": 22 });
    assert_eq!(made["finding"], expected);
    assert_eq!(ann.ask(create, json!({ "input": input, "key": "new" })).await["findingCreate"], made);
    let taken = ann.ask(create, json!({ "input": input })).await["findingCreate"].clone();
    assert_eq!(taken["userErrors"][0]["code"], "TAKEN");
}

const BULK: &str = "mutation($ids: [ID!], $filter: Criteria, $edit: FindingEditInput!, $key: String) {
    findingBulkUpdate(ids: $ids, filter: $filter, edit: $edit, idempotencyKey: $key) {
        changed unchanged refused job { id state kind } userErrors { code field } } }";

async fn many_are_changed_together(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    import(world, &ann).await;
    let edit = json!({ "tag": { "add": ["seen"] } });
    let filter = leaf("severity", "gte_ord", json!("high"));
    let variables = json!({ "filter": filter, "edit": edit, "key": "bulk" });
    let done = ann.ask(BULK, variables.clone()).await["findingBulkUpdate"].clone();
    assert_eq!((&done["changed"], &done["unchanged"], &done["refused"]), (&json!(2), &json!(0), &json!(0)));
    assert_eq!((&done["job"]["state"], &done["job"]["kind"]), (&json!("COMPLETED"), &json!("BULK_CHANGE")));
    assert_eq!(ann.ask(BULK, variables).await["findingBulkUpdate"], done, "a key stands for one change");
    let same = ann.ask(BULK, json!({ "filter": filter, "edit": edit })).await["findingBulkUpdate"].clone();
    assert_eq!((&same["changed"], &same["unchanged"]), (&json!(0), &json!(2)));
    let zlib = finding(&ann, "zlib").await["id"].clone();
    let close = json!({ "setStatus": { "status": "CLOSED" } });
    ann.ask(BULK, json!({ "ids": [zlib], "edit": close })).await;
    let all: Vec<Json> = findings(&ann, Json::Null).await.iter().map(|node| node["id"].clone()).collect();
    let deny = json!({ "setStatus": { "status": "FALSE_POSITIVE" } });
    let mixed = ann.ask(BULK, json!({ "ids": all, "edit": deny })).await["findingBulkUpdate"].clone();
    assert_eq!((&mixed["changed"], &mixed["refused"]), (&json!(3), &json!(1)));
    let neither = ann.ask(BULK, json!({ "edit": edit })).await["findingBulkUpdate"].clone();
    assert_eq!(neither["userErrors"][0]["code"], "REQUIRED");
    let empty = json!({ "filter": { "logic": "OR", "conditions": [] }, "edit": edit });
    assert_eq!(ann.ask(BULK, empty).await["findingBulkUpdate"]["userErrors"][0]["code"], "CRITERIA_EMPTY");
    world.assert_ledger_whole().await;
}

async fn findings_are_taken_out(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    import(world, &ann).await;
    let export =
        "mutation($filter: Criteria, $fields: [String!]) { findingExport(filter: $filter, fields: $fields) {
        job { id state ... on ExportJob { url } } url expiresAt userErrors { code field } } }";
    let filter = leaf("severity", "gte_ord", json!("high"));
    let fields = ["severity", "component_name"];
    let asked = ann.ask(export, json!({ "filter": filter, "fields": fields })).await["findingExport"].clone();
    assert_eq!((&asked["job"]["state"], &asked["job"]["url"]), (&json!("WAITING"), &asked["url"]));
    let id: Uuid = asked["url"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap();
    let files = DomainFiles(world.domain.clone());
    for stranger in [world.globex.analyst(), world.acme.admin()] {
        assert_eq!(
            files.send(stranger.clone(), id).await.err().map(|error| error.code),
            Some(Code::NotFound)
        );
    }
    let file = files.send(ann.actor.clone(), id).await.unwrap_or_else(|error| panic!("{error}"));
    let parts: Vec<_> = file.body.try_collect().await.unwrap();
    let text = String::from_utf8(parts.concat()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "id,severity,component_name");
    let mut rows: Vec<&str> = lines.iter().map(|line| line.split_once(',').unwrap().1).collect();
    rows.sort_unstable();
    assert_eq!(rows, ["critical,openssl", "high,zlib"]);
    assert_eq!(
        files.send(ann.actor.clone(), id).await.err().map(|error| error.code),
        Some(Code::IllegalState)
    );
    let unknown = ann.ask(export, json!({ "fields": ["nothing"] })).await["findingExport"].clone();
    assert_eq!(unknown["userErrors"], json!([{ "code": "INVALID", "field": ["fields"] }]));
}

async fn what_changes_is_watched_without_a_gap(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    let high = leaf("severity", "gte_ord", json!("high"));
    let opening = watch(&ann, CHANGES, json!({ "filter": high }), 1).await;
    let begin = opening[0]["findingChanged"]["snapshot"].clone();
    assert!(begin.is_string(), "{opening:?}");
    import(world, &ann).await;
    let changes = |items: Vec<Json>| -> Vec<Json> {
        items.into_iter().map(|item| item["findingChanged"].clone()).collect()
    };
    let entered = changes(watch(&ann, CHANGES, json!({ "filter": high, "after": begin }), 2).await);
    assert!(entered.iter().all(|item| item["delta"] == "ENTERED" && item["event"] == "finding_created"));
    let severities: BTreeSet<&str> =
        entered.iter().map(|item| item["finding"]["severity"].as_str().unwrap()).collect();
    assert_eq!(severities, BTreeSet::from(["CRITICAL", "HIGH"]));
    let after = json!({ "filter": high, "after": entered[0]["cursor"] });
    assert_eq!(changes(watch(&ann, CHANGES, after, 1).await)[0], entered[1], "once each");
    let zlib = finding(&ann, "zlib").await;
    let set = "mutation($id: ID!, $severity: Severity!) { findingSetSeverity(id: $id, severity: $severity) { userErrors { code } } }";
    ann.ask(set, json!({ "id": zlib["id"], "severity": "LOW" })).await;
    let after = json!({ "filter": high, "after": entered[1]["cursor"] });
    let rest = changes(watch(&ann, CHANGES, after, 1).await);
    assert_eq!((&rest[0]["delta"], &rest[0]["event"]), (&json!("LEFT"), &json!("finding_updated")));
    assert_eq!(rest[0]["finding"]["id"], zlib["id"]);

    let gia = client(&schema, world.globex.analyst());
    let foreign = "subscription($after: String) { findingChanged(after: $after) { __typename } }";
    let request = |after: &Json| {
        Request::new(foreign)
            .variables(Variables::from_json(json!({ "after": after })))
            .data(gia.actor.clone())
    };
    let refused: Vec<_> = schema.execute_stream(request(&json!("x"))).collect().await;
    assert_eq!(refused[0].errors[0].source::<Error>().unwrap().code, Code::CursorInvalid);
    let steps = "subscription($id: ID!) { importProgress(id: $id) { cursor } }";
    let jobs = ann.ask("{ jobs { nodes { id } } }", json!({})).await["jobs"]["nodes"][0]["id"].clone();
    let request =
        Request::new(steps).variables(Variables::from_json(json!({ "id": jobs }))).data(gia.actor.clone());
    let refused: Vec<_> = schema.execute_stream(request).collect().await;
    assert_eq!(refused[0].errors[0].source::<Error>().unwrap().code, Code::NotFound);
}

async fn a_job_is_seen_by_who_started_it(world: &World) {
    let schema = schema(world.domain.clone()).finish();
    let ann = client(&schema, world.acme.analyst());
    import(world, &ann).await;
    let narrow = client(&schema, &world.acme.narrow.actor);
    let edit = json!({ "tag": { "add": ["mine"] } });
    let filter = leaf("severity", "gte_ord", json!("info"));
    let done = narrow.ask(BULK, json!({ "filter": filter, "edit": edit })).await["findingBulkUpdate"].clone();
    let id = &done["job"]["id"];
    let job = "query($id: ID!) { job(id: $id) { id } jobs(filter: { kinds: [BULK_CHANGE] }) { totalCount } }";
    assert_eq!(narrow.ask(job, json!({ "id": id })).await["job"]["id"], *id);
    assert_eq!(narrow.ask(job, json!({ "id": id })).await["jobs"]["totalCount"], 1);
    ann.ask(BULK, json!({ "filter": filter, "edit": { "tag": { "add": ["all"] } } })).await;
    assert_eq!(narrow.ask(job, json!({ "id": id })).await["jobs"]["totalCount"], 1);
    assert_eq!(ann.ask(job, json!({ "id": id })).await["jobs"]["totalCount"], 2);

    // An import that waits for its report ends at once, and its scan with it.
    let input = json!({ "project": project(&ann).await, "name": "late.json" });
    let started = ann.ask(START, json!({ "input": input })).await["importStart"].clone();
    let cancel = "mutation($id: ID!) { importCancel(id: $id) {
        import { state scan { status } cancellable { allowed } } userErrors { code field } } }";
    let gone =
        ann.ask(cancel, json!({ "id": started["import"]["id"] })).await["importCancel"]["import"].clone();
    assert_eq!(
        gone,
        json!({ "state": "CANCELLED", "scan": { "status": "FAILED" }, "cancellable": { "allowed": false } })
    );
    let late = put(world, &ann.actor, &started["uploadUrl"], &report()).await.unwrap_err();
    assert_eq!(late.code, Code::IllegalState);
    let other = ann.ask(cancel, json!({ "id": id })).await["importCancel"]["userErrors"].clone();
    assert_eq!(other, json!([{ "code": "NOT_FOUND", "field": ["id"] }]));
}

#[tokio::test]
async fn a_page_of_findings_with_what_it_refers_to_is_few_statements() {
    let ground = Ground::alone().await;
    let (domain, admin) = (&ground.domain, &ground.admin);
    for (name, tag) in [("One", "a"), ("Two", "b")] {
        let criteria = leaf("severity", "gte_ord", json!("low"));
        let action = json!({ "type": "append_tag", "config": { "tags": [tag] } });
        domain.rule_create(admin, support::draft(name, 1, criteria, action)).await.unwrap();
    }
    let project = ground.project("Web").await;
    let team = ground.team("Blue", &[]).await;
    for at in 0..60 {
        let new = NewAsset { name: format!("host-{at}"), ..NewAsset::default() };
        let asset = domain.asset_create(admin, new).await.unwrap();
        let reported =
            Reported { title: format!("Flaw {at}"), severity: Severity::High, ..Reported::default() };
        let new = NewFinding { project: project.id, asset: asset.id, scanner: None, reported };
        let finding = domain.finding_create(admin, new).await.unwrap();
        let edit = Edit::Assign {
            add_users: vec![admin.id],
            add_teams: vec![team.id],
            remove_users: Vec::new(),
            remove_teams: Vec::new(),
        };
        domain.finding_edit(admin, finding.id, None, edit).await.unwrap();
    }
    let schema = schema(domain.clone()).finish();
    let client = client(&schema, admin);
    let statements = Statements::default();
    let counted = metrics::set_default_local_recorder(&statements);
    let query = "{ findings(first: 50) { totalCount nodes { title asset { name } project { name }
        badges { rule { name } message } assignees { users { name } teams { name } } comments { body } } } }";
    let page = client.ask(query, json!({})).await["findings"].clone();
    drop(counted);
    let nodes = page["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), &page["totalCount"]), (50, &json!(60)));
    assert!(nodes.iter().all(|node| node["badges"].as_array().unwrap().len() == 2
        && node["asset"]["name"].is_string()
        && node["assignees"]["users"][0]["name"] == "Ada"
        && node["assignees"]["teams"][0]["name"] == "Blue"));
    // The page, its count, and one each for assets, projects, rules, users, teams and comments.
    assert_eq!(statements.count(), 8);
}
