//! Correlation: findings of different scanners that are the same thing to act on.

use domain::access::Role;
use domain::intake::import::ImportRequest;
use domain::intake::mapping::Mapping;
use serde_json::{Value as Json, json};
use support::{Wire, World, mapping, on_both};

on_both!(scanners_meet_in_an_issue, people_link_and_part, issues_keep_to_the_portfolio);

/// Takes in a report of `scanner`.
async fn import(world: &World, scanner: &str, lines: &[Json]) {
    let request = ImportRequest {
        mapping: Some(Mapping { scanner: Some(scanner.to_owned()), ..mapping() }),
        ..world.request(scanner)
    };
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    world.import(world.acme.analyst(), request, &text).await;
}

fn line(reference: &str, asset: &str, severity: &str, cves: &[&str]) -> Json {
    json!({ "scanner_reference": reference, "title": reference, "asset": asset, "severity": severity, "cve_ids": cves })
}

/// Two scanners that both know of one CVE on `web`, in different words, and of others alone.
async fn two_scanners(world: &World) {
    import(
        world,
        "trivy",
        &[
            line("t1", "web", "high", &["CVE-2020-0001"]),
            line("t2", "web", "low", &["CVE-2020-0002"]),
            line("t3", "web", "low", &[]),
        ],
    )
    .await;
    import(
        world,
        "nessus",
        &[
            line("n1", "web", "critical", &["CVE-2020-0001"]),
            line("n2", "db", "medium", &["CVE-2020-0001"]),
            line("n3", "web", "low", &[]),
        ],
    )
    .await;
}

const ALL: &str = "{ findings(first: 50) { nodes { id title version
    issue { key count byHand scanners findings { title } linkedBy { ... on User { name } } } } } }";

async fn by_title(wire: &Wire, title: &str) -> Json {
    let all = wire.ask(ALL, json!({})).await;
    let nodes = all["findings"]["nodes"].as_array().expect("findings are listed").clone();
    nodes.into_iter().find(|node| node["title"] == title).unwrap_or_else(|| panic!("{title} is in {all}"))
}

const PER_ISSUE: &str = "query($filter: Criteria) {
    findings(filter: $filter, perIssue: true, first: 50) { totalCount nodes { title } }
    findingStats(filter: $filter, perIssue: true) { total bySeverity { severity count } } }";

/// The titles of the findings that stand for issues, sorted, having checked that counts agree.
async fn issues(wire: &Wire, filter: Json) -> Vec<String> {
    let found = wire.ask(PER_ISSUE, json!({ "filter": filter })).await;
    let nodes = found["findings"]["nodes"].as_array().expect("findings are listed");
    let mut titles: Vec<String> =
        nodes.iter().filter_map(|node| Some(node["title"].as_str()?.to_owned())).collect();
    titles.sort();
    assert_eq!(found["findings"]["totalCount"], titles.len());
    assert_eq!(found["findingStats"]["total"], titles.len());
    let counts = found["findingStats"]["bySeverity"].as_array().expect("it is counted").iter();
    assert_eq!(counts.filter_map(|count| count["count"].as_u64()).sum::<u64>(), titles.len() as u64);
    titles
}

async fn scanners_meet_in_an_issue(world: &World) {
    two_scanners(world).await;
    let wire = Wire::of(world, world.acme.person(Role::Analyst)).await;
    let one = by_title(&wire, "t1").await["issue"].clone();
    assert_eq!((&one["count"], &one["byHand"]), (&json!(2), &json!(false)));
    assert_eq!(one["scanners"], json!(["nessus", "trivy"]));
    assert_eq!(one["findings"], json!([{ "title": "n1" }, { "title": "t1" }]), "the worst first");
    assert_eq!(by_title(&wire, "n1").await["issue"]["key"], one["key"]);
    assert_eq!(by_title(&wire, "n2").await["issue"]["count"], 1, "on another asset");
    assert_eq!(by_title(&wire, "t3").await["issue"]["count"], 1, "without an id it is its own");

    // Each once, by the worst of those that pass; all stay where nobody asks.
    assert_eq!(issues(&wire, Json::Null).await, ["n1", "n2", "n3", "t2", "t3"]);
    let of_trivy = json!({ "field": "scanner_source", "operator": "eq", "value": "trivy" });
    assert_eq!(issues(&wire, of_trivy).await, ["t1", "t2", "t3"]);
    let on_web = json!({ "field": "asset_name", "operator": "eq", "value": "web" });
    assert_eq!(issues(&wire, on_web).await, ["n1", "n3", "t2", "t3"]);
    let plain = wire.ask("{ findings(first: 1) { totalCount } }", json!({})).await;
    assert_eq!(plain["findings"]["totalCount"], 6);

    // Page by page it is the same.
    let page = "query($after: String) { findings(perIssue: true, first: 2, after: $after, orderBy: { field: TITLE }) {
        nodes { title } pageInfo { endCursor hasNextPage } } }";
    let (mut after, mut walked) = (Json::Null, Vec::new());
    loop {
        let found = wire.ask(page, json!({ "after": after })).await["findings"].clone();
        walked.extend(
            found["nodes"].as_array().expect("it is a page").iter().map(|node| node["title"].clone()),
        );
        if found["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = found["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(walked, ["n1", "n2", "n3", "t2", "t3"]);

    // A filter that SQL does not decide gives the same, page by page too.
    let matches = |pattern: &str| json!({ "field": "title", "operator": "matches_regex", "value": pattern });
    assert_eq!(issues(&wire, matches("^t")).await, ["t1", "t2", "t3"]);
    assert_eq!(issues(&wire, matches("[0-9]")).await, ["n1", "n2", "n3", "t2", "t3"]);
    assert_eq!(issues(&wire, matches("^x")).await, [""; 0]);
    let page = page.replace("($after: String)", "($after: String, $filter: Criteria)");
    let page = page.replace("perIssue: true,", "perIssue: true, filter: $filter,");
    let (mut after, mut walked) = (Json::Null, Vec::new());
    loop {
        let asked = json!({ "after": after, "filter": matches("[0-9]") });
        let found = wire.ask(&page, asked).await["findings"].clone();
        walked.extend(
            found["nodes"].as_array().expect("it is a page").iter().map(|node| node["title"].clone()),
        );
        if found["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = found["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(walked, ["n1", "n2", "n3", "t2", "t3"]);

    // Seen again with another CVE it leaves the issue, and nothing is left of it.
    import(world, "trivy", &[line("t1", "web", "high", &["CVE-2020-0009"])]).await;
    assert_eq!(by_title(&wire, "n1").await["issue"]["count"], 1);
}

const LINK: &str = "mutation($ids: [ID!]!) { findingLink(ids: $ids) {
    finding { title issue { count byHand findings { title } } } userErrors { code message field } } }";
const UNLINK: &str = "mutation($ids: [ID!]!) { findingUnlink(ids: $ids) {
    finding { issue { count byHand } } userErrors { code message field } } }";

async fn people_link_and_part(world: &World) {
    two_scanners(world).await;
    let person = world.acme.person(Role::Analyst);
    let wire = Wire::of(world, person).await;
    let id = async |title: &str| by_title(&wire, title).await["id"].clone();
    let (t1, t3, n1, n3) = (id("t1").await, id("t3").await, id("n1").await, id("n3").await);

    let linked = wire.done(LINK, json!({ "ids": [t3, n3] })).await["finding"]["issue"].clone();
    assert_eq!((&linked["count"], &linked["byHand"]), (&json!(2), &json!(true)));
    assert_eq!(issues(&wire, Json::Null).await.len(), 4);
    let by = by_title(&wire, "n3").await["issue"]["linkedBy"].clone();
    assert!(by["name"].is_string(), "{by}");

    // What a person parted stays apart, whatever scans say.
    let parted = wire.done(UNLINK, json!({ "ids": [n1] })).await["finding"]["issue"].clone();
    assert_eq!((&parted["count"], &parted["byHand"]), (&json!(1), &json!(true)));
    let (audited, told) = world.ledger().await;
    wire.done(UNLINK, json!({ "ids": [n1] })).await;
    two_scanners(world).await;
    assert_eq!(by_title(&wire, "t1").await["issue"]["count"], 1);
    assert_eq!(world.ledger().await.0 - audited, 2 * 3, "the imports alone: asked, received, ended");
    assert!(told > 0);

    // Released it is where the rule puts it.
    let release = "mutation($id: ID!) { findingRelease(id: $id, fields: [\"issue\"]) {
        finding { issue { count byHand } } userErrors { code message } } }";
    let released = wire.done(release, json!({ "id": n1 })).await["finding"]["issue"].clone();
    assert_eq!(released, json!({ "count": 2, "byHand": false }));
    assert_eq!(by_title(&wire, "t1").await["issue"]["count"], 2);

    // Linking joins what the first is of: t1's own by the rule, with n1.
    wire.done(LINK, json!({ "ids": [t1, t3] })).await;
    assert_eq!(by_title(&wire, "n1").await["issue"]["count"], 3);
    assert_eq!(by_title(&wire, "n3").await["issue"]["count"], 1);

    for (ids, code) in [(json!([]), "INVALID"), (json!([t1, "RmluZGluZzp4"]), "NOT_FOUND")] {
        let refused = wire.try_do(LINK, json!({ "ids": ids })).await["userErrors"][0].clone();
        assert_eq!(refused["code"], code, "{refused}");
    }
    let viewer = wire.with(&world.acme.person(Role::Viewer).token);
    let answer = viewer.answer(LINK, json!({ "ids": [t1, t3] })).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
    world.assert_ledger_whole().await;
}

async fn issues_keep_to_the_portfolio(world: &World) {
    two_scanners(world).await;
    let other = ImportRequest { project: world.acme.other_project, ..world.request("other") };
    let text = format!("{}\n", line("o1", "web", "urgent", &["CVE-2020-0001"]));
    world.import(world.acme.admin(), other, &text).await;
    let wide = Wire::of(world, world.acme.person(Role::Analyst)).await;
    assert_eq!(by_title(&wide, "t1").await["issue"]["count"], 3);
    assert!(issues(&wide, Json::Null).await.contains(&"o1".to_owned()));
    let narrow = wide.with(&world.acme.narrow.token);
    let seen = by_title(&narrow, "t1").await["issue"].clone();
    assert_eq!(
        (&seen["count"], &seen["findings"]),
        (&json!(2), &json!([{ "title": "n1" }, { "title": "t1" }]))
    );
    assert!(issues(&narrow, Json::Null).await.contains(&"n1".to_owned()), "the worst that it may see");
    let globex = wide.with(&world.globex.person(Role::Analyst).token);
    assert_eq!(issues(&globex, Json::Null).await, Vec::<String>::new());
}
