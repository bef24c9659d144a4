//! Intelligence: what feeds say of findings that are there and of those to come.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::Domain;
use domain::access::{Actor, Permission, Role};
use domain::error::Code;
use domain::finding::edit::Edit;
use domain::finding::facts::Finding;
use domain::finding::layers::{Layer, ScalarField, SetField};
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intel::feed::Feed;
use domain::job::{Job, JobState};
use domain::vocabulary::terms::{Severity, Term};
use domain::vocabulary::time::{Span, Timestamp};
use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use support::{Wire, World, finished, on_both, tell};

mod age;
mod archives;
mod fetch;
mod https;
mod pages;

on_both!(
    findings_hear_of_what_is_exploited,
    the_worst_of_several_cves_is_shown,
    records_fill_what_the_scanner_left_empty,
    a_companys_own_word_is_its_own,
    what_cannot_be_read_changes_nothing,
    a_load_that_is_cut_off_goes_on,
    a_load_that_was_cancelled_is_made_good_by_the_next,
    loads_are_asked_for_over_the_wire,
    real_feeds_find_real_findings,
);

/// Loads a feed for the actor's company and waits for the end of it.
async fn load(domain: &Domain, actor: &Actor, feed: Feed, file: &[u8]) -> Job {
    let job = domain.intel_load_start(actor, feed, "feed").await.expect("the load is in order");
    let mut incoming = domain.import_upload(actor, job.id).await.expect("the load waits for its file");
    incoming.write(file).await.expect("the file is small enough");
    let job = incoming.finish().await.expect("the file was received").id;
    finished(domain, actor, job).await
}

/// Loads a feed that is in order; returns rows, facts that changed, and findings that did.
async fn loaded(world: &World, actor: &Actor, feed: Feed, file: &str) -> [i64; 3] {
    let job = load(&world.domain, actor, feed, file.as_bytes()).await;
    assert_eq!(job.state, JobState::Completed, "{:?}", job.error);
    ["rows", "facts", "findings"].map(|name| job.counts[name].as_i64().unwrap())
}

fn kev(listed: &[(&str, &str, bool)]) -> String {
    let one = |(cve, due, known): &(&str, &str, bool)| {
        let known = if *known { "Known" } else { "Unknown" };
        json!({ "cveID": cve, "dueDate": due, "knownRansomwareCampaignUse": known })
    };
    let listed: Vec<Json> = listed.iter().map(one).collect();
    json!({ "title": "KEV", "dateReleased": "2026-11-20T12:00:00Z", "count": listed.len(), "vulnerabilities": listed })
        .to_string()
}

fn epss(scores: &[(&str, f64, f64)]) -> String {
    let rows = scores.iter().map(|(cve, score, percentile)| format!("{cve},{score},{percentile}\n"));
    format!(
        "#model_version:v2025.03.14,score_date:2026-11-20T00:00:00+0000\ncve,epss,percentile\n{}",
        rows.collect::<String>()
    )
}

fn line(reference: &str, cves: &str) -> Json {
    json!({ "scanner_reference": reference, "title": reference, "asset": "web-01", "severity": "critical", "cve_ids": cves })
}

/// Who says what of a scalar field, the weakest first.
fn said(finding: &Finding, field: ScalarField) -> Vec<(Layer, Json)> {
    let value = |entry: &domain::finding::layers::Entry<Option<_>>| {
        (entry.source.layer, entry.value.as_ref().map_or(Json::Null, domain::finding::layers::Scalar::json))
    };
    finding.layers.stack(field).iter().map(value).collect()
}

async fn actions(world: &World, finding: &Finding) -> Vec<String> {
    world.told_of(finding.id).await.into_iter().map(|entry| entry.action).collect()
}

async fn findings_hear_of_what_is_exploited(world: &World) {
    let quiet = json!({ "field": "known_exploit", "operator": "neq", "value": true });
    let low = json!({ "type": "override_severity", "config": { "severity": "low" } });
    world.rule("No known exploit", 1, quiet, low).await;
    let lines = [line("a", "CVE-2026-0001"), line("b", "CVE-2026-0002"), line("c", "")];
    world.import_lines(&lines).await;
    let severities = async || {
        let mut found = Vec::new();
        for title in ["a", "b", "c", "d"] {
            let criteria = json!({ "field": "title", "operator": "eq", "value": title });
            let findings = world.findings(world.acme.admin(), Some(criteria)).await;
            found.extend(findings.first().map(|finding| finding.shown.severity));
        }
        found
    };
    use Severity::{Critical, High, Low};
    assert_eq!(severities().await, [Low, Low, Low]);

    // A finding that is there: the exploit is listed, and the rule falls away.
    let listed = [("CVE-2026-0001", "2026-12-01", true), ("CVE-2026-7777", "2026-12-09", false)];
    assert_eq!(loaded(world, &world.root, Feed::Kev, &kev(&listed)).await, [2, 2, 1]);
    assert_eq!(severities().await, [Critical, Low, Low]);
    let a = world.finding("a").await;
    assert_eq!((a.shown.known_exploit, a.shown.ransomware_use), (Some(true), Some(true)));
    assert_eq!(a.shown.kev_due_at, Timestamp::parse("2026-12-01"));
    assert_eq!(said(&a, ScalarField::KnownExploit), [(Layer::Intel, json!(true))]);
    assert_eq!(
        actions(world, &a).await,
        ["finding.created", "finding.rule_applied", "finding.informed", "finding.rule_applied"]
    );
    // Its fields are filtered by.
    let due = json!({ "logic": "AND", "conditions": [
        { "field": "kev_due_at", "operator": "lt", "value": "2026-12-02T00:00:00Z" },
        { "field": "ransomware_use", "operator": "eq", "value": true } ] });
    let found = world.findings(&world.acme.narrow.actor, Some(due)).await;
    assert_eq!(found.iter().map(|finding| finding.id).collect::<Vec<_>>(), [a.id]);

    // One that comes is born with what is known; the report again changes nothing.
    world.clock.advance(Span::DAY);
    let more: Vec<Json> = lines.iter().cloned().chain([line("d", "CVE-2026-7777, CVE-2026-0001")]).collect();
    assert_eq!(world.import_lines(&more).await.counts(), [1, 0, 3, 0]);
    assert_eq!(severities().await, [Critical, Low, Low, Critical]);
    let d = world.finding("d").await;
    assert_eq!(d.shown.kev_due_at, Timestamp::parse("2026-12-01"), "the earliest of its CVEs");
    assert_eq!(actions(world, &d).await, ["finding.created", "finding.informed"]);
    let before = world.ledger().await;
    world.clock.advance(Span::DAY);
    assert_eq!(world.import_lines(&more).await.counts(), [0, 0, 4, 0]);
    // The import's own entries and events alone.
    let after = world.ledger().await;
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 2));

    // The same file again: nothing differs, and no finding is touched.
    assert_eq!(loaded(world, &world.root, Feed::Kev, &kev(&listed)).await, [2, 0, 0]);

    // What a person said stays on top; what is withdrawn is withdrawn, and the rules come back.
    world.edit(d.id, Edit::SetSeverity { severity: High, reason: None }).await;
    assert_eq!(
        loaded(world, &world.root, Feed::Kev, &kev(&[("CVE-2026-9999", "2026-12-01", false)])).await,
        [1, 3, 2]
    );
    assert_eq!(severities().await, [Low, Low, Low, High]);
    let a = world.finding("a").await;
    assert_eq!((a.shown.known_exploit, a.shown.kev_due_at, a.shown.ransomware_use), (None, None, None));
    assert_eq!(said(&a, ScalarField::KnownExploit), []);
    world.assert_ledger_whole().await;
}

async fn the_worst_of_several_cves_is_shown(world: &World) {
    let mut scored = line("scored", "CVE-2026-0001");
    scored["epss_score"] = json!("0.5");
    scored["known_exploit"] = json!("no");
    world
        .import_lines(&[
            scored.clone(),
            line("both", "CVE-2026-0001 CVE-2026-0002"),
            line("none", "CVE-2026-0003"),
        ])
        .await;
    let scores =
        [("CVE-2026-0001", 0.00043, 0.11), ("CVE-2026-0002", 0.97, 0.999), ("CVE-2025-12345", 0.1, 0.2)];
    assert_eq!(loaded(world, &world.root, Feed::Epss, &epss(&scores)).await, [3, 3, 2]);
    let finding = world.finding("scored").await;
    assert_eq!(
        said(&finding, ScalarField::EpssScore),
        [(Layer::Scanner, json!(0.5)), (Layer::Intel, json!(0.00043))],
        "the feed speaks over the scanner"
    );
    let both = world.finding("both").await.shown;
    assert_eq!((both.epss_score, both.epss_percentile), (Some(0.97), Some(0.999)));
    assert_eq!(world.finding("none").await.shown.epss_score, None);

    // Any digit counts, and only what differs is touched. Packed files are unpacked.
    let scores =
        [("CVE-2026-0001", 0.00044, 0.11), ("CVE-2026-0002", 0.97, 0.999), ("CVE-2025-12345", 0.1, 0.2)];
    let job = load(&world.domain, &world.root, Feed::Epss, &gzip(epss(&scores).as_bytes())).await;
    assert_eq!(
        (job.state, &job.counts["facts"], &job.counts["findings"]),
        (JobState::Completed, &json!(1), &json!(1))
    );
    assert_eq!(world.finding("scored").await.shown.epss_score, Some(0.00044));
    // A report that names other CVEs is told of those.
    world.clock.advance(Span::DAY);
    scored["cve_ids"] = json!("CVE-2026-0002");
    world.import_lines(&[scored]).await;
    assert_eq!(world.finding("scored").await.shown.epss_score, Some(0.97));
    let scores = [("CVE-2026-0001", 0.2, 0.11), ("CVE-2026-0002", 0.96, 0.999), ("CVE-2025-12345", 0.1, 0.2)];
    assert_eq!(loaded(world, &world.root, Feed::Epss, &epss(&scores)).await, [3, 2, 2]);
    assert_eq!(world.finding("scored").await.shown.epss_score, Some(0.96));
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write;

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(plain).expect("memory takes it");
    packed.finish().expect("memory takes it")
}

const VECTOR: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";

fn record(cve: &str, score: Option<f64>, state: &str) -> Json {
    json!({ "dataType": "CVE_RECORD", "cveMetadata": { "cveId": cve, "state": state, "dateUpdated": "2026-11-20T00:00:00Z" },
        "containers": {
            "cna": { "problemTypes": [{ "descriptions": [{ "lang": "en", "description": "n/a" }] }],
                "references": [{ "url": "https://cna.example/1" }] },
            "adp": [{ "title": "CISA ADP Vulnrichment",
                "metrics": [{ "other": { "type": "ssvc" } }, { "cvssV3_1": { "baseScore": score, "vectorString": VECTOR } }],
                "problemTypes": [{ "descriptions": [{ "cweId": "CWE-79", "description": "CWE-79 XSS" }] }] }] } })
}

fn nvd(cve: &str) -> String {
    json!({ "resultsPerPage": 1, "timestamp": "2026-11-20T00:00:00.000", "vulnerabilities": [nvd_item(cve)] })
        .to_string()
}

/// What the NVD says of a CVE.
fn nvd_item(cve: &str) -> Json {
    json!({ "cve": { "id": cve,
        "metrics": { "cvssMetricV2": [{ "type": "Primary", "cvssData": { "baseScore": 1.0, "vectorString": "AV:N/AC:L/Au:N/C:P/I:P/A:P" } }],
            "cvssMetricV31": [
                { "type": "Secondary", "cvssData": { "baseScore": 9.9, "vectorString": VECTOR } },
                { "type": "Primary", "cvssData": { "baseScore": 7.5, "vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N" } }] },
        "weaknesses": [{ "description": [{ "lang": "en", "value": "NVD-CWE-noinfo" }, { "lang": "en", "value": "CWE-22" }] }],
        "references": [{ "url": "https://nvd.example/1" }] } })
}

const SHOWN: &str = "query($filter: Criteria) { findings(first: 5, filter: $filter) { nodes {
    cvssScore cvssVector cweIds references epssPercentile kevDueAt ransomwareUse
    layers { field entries { layer feed value } } } } }";

async fn records_fill_what_the_scanner_left_empty(world: &World) {
    let wire = Wire::of(world, world.acme.person(Role::Viewer)).await;
    let shown = async |title: &str| {
        let filter = json!({ "field": "title", "operator": "eq", "value": title });
        wire.ask(SHOWN, json!({ "filter": filter })).await["findings"]["nodes"][0].clone()
    };
    let mut full = line("full", "CVE-2026-0001");
    for (field, value) in
        [("cvss_score", "4.2"), ("cwe_ids", "CWE-1"), ("references", "https://scanner.example/1")]
    {
        full[field] = json!(value);
    }
    world.import_lines(&[line("empty", "CVE-2026-0001"), full.clone()]).await;
    // A record, many, and one on each line are all read; the score is computed where it is missing.
    let one = record("CVE-2026-0001", None, "PUBLISHED");
    let files = [
        one.to_string(),
        format!("{one:#}"),
        format!("[{one}]"),
        format!("{one}\n\n{one}\n"),
        format!("\u{feff}{one:#}"),
    ];
    for (at, file) in files.iter().enumerate() {
        let counts = loaded(world, &world.root, Feed::Cve, file).await;
        assert_eq!(counts[1..], if at == 0 { [1, 1] } else { [0, 0] }, "file {at}");
    }
    let empty = shown("empty").await;
    assert_eq!((&empty["cvssScore"], &empty["cvssVector"]), (&json!(9.8), &json!(VECTOR)));
    assert_eq!(
        (&empty["cweIds"], &empty["references"]),
        (&json!(["CWE-79"]), &json!(["https://cna.example/1"]))
    );
    let by = empty["layers"].as_array().unwrap().iter().find(|layer| layer["field"] == "cvss_score").unwrap();
    assert_eq!(by["entries"], json!([{ "layer": "INTEL", "feed": "CVE", "value": 9.8 }]));
    let kept = json!([4.2, null, ["CWE-1"], ["https://scanner.example/1"]]);
    let values = |finding: &Json| {
        json!([finding["cvssScore"], finding["cvssVector"], finding["cweIds"], finding["references"]])
    };
    assert_eq!(
        values(&shown("full").await),
        kept,
        "a vector of another score is not shown under the scanner's"
    );

    // NVD is asked first, whichever was loaded first; its primary score of the newest version.
    assert_eq!(loaded(world, &world.root, Feed::Nvd, &nvd("CVE-2026-0001")).await, [1, 1, 1]);
    let said =
        json!([7.5, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", ["CWE-22"], ["https://nvd.example/1"]]);
    assert_eq!(values(&shown("empty").await), said);
    assert_eq!(values(&shown("full").await), kept);

    // The scanner gives its own: the feeds are silent. It takes it back: they speak again.
    world.clock.advance(Span::DAY);
    full["title"] = json!("empty");
    full["scanner_reference"] = json!("empty");
    world.import_lines(&[full]).await;
    assert_eq!(values(&shown("empty").await), kept);
    let finding = world.finding("empty").await;
    assert!(!finding.layers.has_intel());
    world.clock.advance(Span::DAY);
    world.import_lines(&[line("empty", "CVE-2026-0001")]).await;
    assert_eq!(values(&shown("empty").await), said);

    // Records are no snapshot: another file withdraws nothing. A rejected one does.
    assert_eq!(loaded(world, &world.root, Feed::Nvd, &nvd("CVE-2026-0002")).await, [1, 1, 0]);
    let rejected =
        json!({ "vulnerabilities": [{ "cve": { "id": "CVE-2026-0001", "vulnStatus": "Rejected" } }] });
    assert_eq!(loaded(world, &world.root, Feed::Nvd, &rejected.to_string()).await, [1, 1, 1]);
    assert_eq!(shown("empty").await["cvssScore"], json!(9.8), "what is left is said");
    let rejected = record("CVE-2026-0001", None, "REJECTED").to_string();
    assert_eq!(loaded(world, &world.root, Feed::Cve, &rejected).await, [1, 1, 1]);
    assert_eq!(values(&shown("empty").await), json!([null, null, [], []]));
}

async fn a_companys_own_word_is_its_own(world: &World) {
    let (acme, globex) = (&world.acme, &world.globex);
    let report = format!("{}\n", line("a", "CVE-2026-0001"));
    world.import(acme.analyst(), world.request("nightly"), &report).await;
    let request = ImportRequest { project: globex.project, ..world.request("nightly") };
    world.import(globex.analyst(), request.clone(), &report).await;
    let scores = async || {
        let mut scores = Vec::new();
        for actor in [acme.admin(), globex.admin(), &acme.narrow.actor] {
            scores.push(world.findings(actor, None).await[0].shown.epss_score);
        }
        scores
    };
    assert_eq!(
        loaded(world, acme.admin(), Feed::Epss, &epss(&[("CVE-2026-0001", 0.9, 0.9)])).await,
        [1, 1, 1]
    );
    assert_eq!(scores().await, [Some(0.9), None, Some(0.9)]);
    world.clock.advance(Span::DAY);
    world.import(globex.analyst(), request, &report).await;
    assert_eq!(scores().await, [Some(0.9), None, Some(0.9)]);
    // The global word reaches whoever has none of their own.
    assert_eq!(
        loaded(world, &world.root, Feed::Epss, &epss(&[("CVE-2026-0001", 0.1, 0.1)])).await,
        [1, 1, 1]
    );
    assert_eq!(scores().await, [Some(0.9), Some(0.1), Some(0.9)]);
    // It comes to light where the own one is withdrawn.
    assert_eq!(
        loaded(world, acme.admin(), Feed::Epss, &epss(&[("CVE-2020-0001", 0.9, 0.9)])).await,
        [1, 2, 1]
    );
    assert_eq!(scores().await, [Some(0.1), Some(0.1), Some(0.1)]);

    // Each sees how the global feeds stand and their own, and where its own came from.
    let feeds = world.domain.intel_feeds(globex.admin()).await.unwrap();
    assert_eq!(feeds.len(), Feed::ALL.len());
    assert!(feeds.iter().all(|feed| feed.source.is_none()));
    let feeds = world.domain.intel_feeds(acme.admin()).await.unwrap();
    assert_eq!(feeds.len(), Feed::ALL.len() + 1);
    assert_eq!(feeds.iter().filter_map(|feed| feed.source.as_deref()).collect::<Vec<_>>(), ["feed"]);
    // Only who manages the company's settings loads.
    for actor in acme.people.values().map(|person| &person.actor).chain([&acme.narrow.actor]) {
        let asked = world.domain.intel_load_start(actor, Feed::Kev, "kev").await;
        let may = actor.can(Permission::ManageSettings);
        assert_eq!(asked.err().map(|error| error.code), (!may).then_some(Code::Forbidden), "{}", actor.name);
    }
    let waiting = world.domain.intel_load_start(acme.admin(), Feed::Kev, "kev").await.unwrap();
    for (actor, code) in [(globex.admin(), Code::NotFound), (acme.analyst(), Code::Forbidden)] {
        let refused = world.domain.import_upload(actor, waiting.id).await.err().map(|error| error.code);
        assert_eq!(refused, Some(code));
    }
    world.assert_ledger_whole().await;
}

async fn what_cannot_be_read_changes_nothing(world: &World) {
    world.import_lines(&[line("a", "CVE-2026-0001")]).await;
    let good = epss(&[("CVE-2026-0001", 0.5, 0.5)]);
    let wrong_count = kev(&[("CVE-2026-0001", "2026-12-01", true)]).replace("\"count\":1", "\"count\":2");
    let cut = &kev(&[("CVE-2026-0001", "2026-12-01", true)])[..90];
    let bomb = gzip(&vec![b'0'; 32 << 20]);
    let damaged = {
        let mut packed = gzip(good.as_bytes());
        packed.truncate(30);
        packed
    };
    let deep = format!("{{\"vulnerabilities\":{}", "[".repeat(100));
    let cases: Vec<(Feed, Vec<u8>, &str, Option<u64>)> = vec![
        (Feed::Kev, wrong_count.into(), "REPORT_MALFORMED", Some(1)),
        (Feed::Kev, cut.into(), "REPORT_MALFORMED", Some(1)),
        (Feed::Kev, kev(&[]).into(), "REPORT_MALFORMED", None),
        (Feed::Kev, kev(&[("CVE-1", "2026-12-01", true)]).into(), "REPORT_MALFORMED", Some(1)),
        (Feed::Kev, kev(&[("CVE-2026-0001", "soon", true)]).into(), "REPORT_MALFORMED", Some(1)),
        (Feed::Kev, b"<html></html>".to_vec(), "REPORT_MALFORMED", Some(1)),
        (Feed::Kev, b"[]".to_vec(), "REPORT_MALFORMED", Some(1)),
        (Feed::Kev, b"{}".to_vec(), "REPORT_MALFORMED", Some(1)),
        (Feed::Kev, deep.into(), "REPORT_TOO_LARGE", Some(1)),
        (Feed::Epss, b"a,b\n1,2\n".to_vec(), "REPORT_MALFORMED", Some(1)),
        (Feed::Epss, format!("{good}CVE-2026-0002,1.5,0.5\n").into(), "REPORT_MALFORMED", Some(4)),
        (Feed::Epss, format!("{good}CVE-2026-0002,NaN,0.5\n").into(), "REPORT_MALFORMED", Some(4)),
        (Feed::Epss, format!("{good}CVE-2026-0002,0.5\n").into(), "REPORT_MALFORMED", Some(4)),
        (Feed::Epss, format!("{good}nonsense,0.5,0.5\n").into(), "REPORT_MALFORMED", Some(4)),
        (Feed::Epss, [good.as_bytes(), b"\xff\xfe,0.5,0.5\n"].concat(), "REPORT_MALFORMED", Some(4)),
        (Feed::Epss, bomb, "REPORT_TOO_LARGE", Some(1)),
        (Feed::Epss, damaged, "REPORT_MALFORMED", Some(1)),
        (Feed::Cve, b"{\"cveMetadata\":{\"cveId\":\"x\"}}".to_vec(), "REPORT_MALFORMED", Some(1)),
        (
            Feed::Cve,
            format!("{}\n{{\"cve\":1}}\n", record("CVE-2026-0001", None, "PUBLISHED")).into(),
            "REPORT_MALFORMED",
            Some(2),
        ),
        (Feed::Nvd, kev(&[("CVE-2026-0001", "2026-12-01", true)]).into(), "REPORT_MALFORMED", Some(1)),
    ];
    for (at, (feed, file, code, place)) in cases.into_iter().enumerate() {
        let job = load(&world.domain, world.acme.admin(), feed, &file).await;
        let error = job.error.clone().unwrap_or_default();
        assert_eq!((job.state, error["code"].as_str()), (JobState::Failed, Some(code)), "case {at}: {error}");
        assert_eq!(error["line"].as_u64(), place, "case {at}: {error}");
        let feeds = world.domain.intel_feeds(world.acme.admin()).await.unwrap();
        let own = feeds.iter().find(|one| one.feed == feed && one.company == world.acme.id).unwrap();
        assert_eq!((own.error.as_deref(), own.facts, own.loaded_at), (error["message"].as_str(), 0, None));
    }
    assert!(!world.finding("a").await.layers.has_intel());
    assert_eq!(loaded(world, world.acme.admin(), Feed::Epss, &good).await, [1, 1, 1]);
    let feeds = world.domain.intel_feeds(world.acme.admin()).await.unwrap();
    let own = feeds.iter().find(|one| one.feed == Feed::Epss && one.company == world.acme.id).unwrap();
    assert_eq!((own.error.as_deref(), own.facts), (None, 1), "what went wrong before is over");
    assert_eq!(own.as_of, Timestamp::parse("2026-11-20"));
}

/// So many findings, each of a CVE of its own, and their scores.
async fn many(world: &World, count: usize) -> String {
    let lines: Vec<Json> =
        (0..count).map(|at| line(&format!("f{at:04}"), &format!("CVE-2026-{at:05}"))).collect();
    world.import_lines(&lines).await;
    let cves: Vec<String> = (0..count).map(|at| format!("CVE-2026-{at:05}")).collect();
    let scores: Vec<(&str, f64, f64)> = cves.iter().map(|cve| (cve.as_str(), 0.5, 0.5)).collect();
    epss(&scores)
}

/// Uploads the file of a load and waits until its findings begin to hear of it.
async fn begun(world: &World, actor: &Actor, file: &str) -> Job {
    let job = world.domain.intel_load_start(actor, Feed::Epss, "scores").await.unwrap();
    let mut incoming = world.domain.import_upload(actor, job.id).await.unwrap();
    incoming.write(file.as_bytes()).await.unwrap();
    incoming.finish().await.unwrap();
    let steps = world.domain.job_steps(actor, job.id, Some(0)).await.unwrap();
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = steps.next().await {
        if step.unwrap().progress.stage == "telling" {
            break;
        }
    }
    job
}

/// Every finding has heard, and no more than once.
async fn all_heard_once(world: &World, count: usize) {
    let findings = world.findings(world.acme.admin(), None).await;
    assert_eq!(findings.len(), count);
    assert!(findings.iter().all(|finding| finding.shown.epss_score == Some(0.5)));
    assert!(findings.iter().all(|finding| finding.revision == 2), "each was written once");
    world.assert_ledger_whole().await;
}

async fn a_load_that_is_cut_off_goes_on(world: &World) {
    let file = many(world, 1_200).await;
    let admin = world.acme.admin();
    let job = begun(world, admin, &file).await;
    world.stop().await;
    let left = world.domain.job(admin, job.id).await.unwrap();
    let domain = world.start(0).await;
    let ended = finished(&domain, admin, job.id).await;
    assert_eq!(ended.state, JobState::Completed, "{:?}", ended.error);
    assert!(left.done <= ended.done);
    assert_eq!((&ended.counts["findings"], &ended.counts["facts"]), (&json!(1_200), &json!(1_200)));
    all_heard_once(world, 1_200).await;
}

async fn a_load_that_was_cancelled_is_made_good_by_the_next(world: &World) {
    let file = many(world, 1_200).await;
    let admin = world.acme.admin();
    let job = begun(world, admin, &file).await;
    // It may have come to its end just before: then there is nothing to make good.
    let asked = world.domain.job_cancel(admin, job.id).await.unwrap();
    let first = finished(&world.domain, admin, asked.id).await;
    let told = first.counts["findings"].as_i64().unwrap();
    let [rows, facts, findings] = loaded(world, admin, Feed::Epss, &file).await;
    assert_eq!((rows, facts, findings), (1_200, 0, 1_200 - told));
    all_heard_once(world, 1_200).await;
}

const START: &str = "mutation($input: IntelLoadStartInput!) { intelLoadStart(input: $input) {
    load { id state feed uploadUrl } uploadUrl userErrors { code field } } }";
const FEEDS: &str =
    "{ intelFeeds { key label says snapshot global loadedAt asOf rows ageSeconds stale warning
    source lastError lastErrorAt } }";

async fn loads_are_asked_for_over_the_wire(world: &World) {
    world.import_lines(&[line("a", "CVE-2026-0001")]).await;
    let wire = Wire::of(world, world.acme.person(Role::Admin)).await;
    let asked = wire.done(START, json!({ "input": { "feed": "KEV", "name": "kev.json" } })).await;
    assert_eq!((&asked["load"]["state"], &asked["load"]["feed"]), (&json!("WAITING"), &json!("KEV")));
    let path = asked["uploadUrl"].as_str().unwrap();
    wire.put(path, kev(&[("CVE-2026-0001", "2026-12-01", false)])).await;
    let progress = "subscription($id: ID!) { jobProgress(id: $id) { stage job { __typename state } counts { name count } } }";
    let steps = wire.watch(progress, json!({ "id": asked["load"]["id"] })).await;
    let last = &steps.last().unwrap()["jobProgress"];
    assert_eq!(last["job"], json!({ "__typename": "IntelLoadJob", "state": "COMPLETED" }));
    let counts: BTreeMap<&str, i64> = last["counts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|count| (count["name"].as_str().unwrap(), count["count"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        counts,
        BTreeMap::from([("rows", 1), ("facts", 1), ("withdrawn", 0), ("told", 1), ("findings", 1)])
    );
    let feeds = wire.ask(FEEDS, json!({})).await;
    let own = feeds["intelFeeds"].as_array().unwrap().iter().find(|feed| feed["global"] == false).unwrap();
    assert_eq!(own["key"], "KEV");
    assert_eq!(
        (&own["rows"], &own["source"], &own["ageSeconds"]),
        (&json!(1), &json!("kev.json"), &json!(0))
    );
    assert_eq!(
        (&own["stale"], &own["warning"], &own["lastError"]),
        (&json!(false), &Json::Null, &Json::Null)
    );
    let refused = wire.try_do(START, json!({ "input": { "feed": "KEV", "name": "  " } })).await;
    assert_eq!(refused["userErrors"], json!([{ "code": "INVALID", "field": ["input", "name"] }]));
    let analyst = wire.with(&world.acme.person(Role::Analyst).token);
    let answer = analyst.answer(START, json!({ "input": { "feed": "KEV", "name": "kev.json" } })).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

/// The folder of real data, where there is one.
fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("COUNTERSIGN_DATA").map_or(beside, PathBuf::from);
    folder.join("intel").is_dir().then_some(folder)
}

async fn real_feeds_find_real_findings(world: &World) {
    let Some(folder) = data() else {
        eprintln!("SKIPPED: there is no folder of feeds; COUNTERSIGN_DATA names it");
        return;
    };
    let read = |path: &str| std::fs::read(folder.join(path)).expect("the data can be read");
    // Reports with CVE ids, and a table that names every CVE of the feeds.
    let request = ImportRequest { format: Some(Format::TrivyJson), mapping: None, ..world.request("trivy") };
    let report = String::from_utf8(read("scans/trivy/legacy_many_vulns.json")).expect("it is UTF-8");
    let imported = world.import(world.acme.analyst(), request, &report).await;
    let nessus = ImportRequest { format: Some(Format::NessusXml), ..world.request("nessus") };
    let nessus = ImportRequest { mapping: None, ..nessus };
    let report = String::from_utf8(read("scans/nessus/nessus_with_cvssv3.nessus")).expect("it is UTF-8");
    let more = world.import(world.acme.analyst(), nessus, &report).await;
    let mut cves: Vec<String> = std::fs::read_dir(folder.join("intel/cve5"))
        .expect("the data can be read")
        .map(|entry| {
            entry
                .expect("the data can be read")
                .path()
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let pages =
        ["intel/nvd/CVE-2017-7542.json", "intel/nvd/CVE-2021-26855.json", "intel/nvd/search_page_1.json"];
    for page in pages {
        let page: Json = serde_json::from_slice(&read(page)).expect("it is JSON");
        let of = |item: &Json| item["cve"]["id"].as_str().expect("an id").to_owned();
        cves.extend(page["vulnerabilities"].as_array().expect("a list").iter().map(of));
    }
    cves.sort();
    cves.dedup();
    let lines: String = cves.iter().map(|cve| format!("{}\n", line(cve, cve))).collect();
    world.import(world.acme.analyst(), world.request("every CVE"), &lines).await;
    tell(&format!(
        "{:?}: {} findings of reports, and one for each of {} CVEs of the record files",
        world.engine,
        imported.created + more.created,
        cves.len()
    ));
    let records: Vec<Vec<u8>> = cves
        .iter()
        .filter_map(|cve| std::fs::read(folder.join(format!("intel/cve5/{cve}.json"))).ok())
        .collect();
    let one_line = |record: &Vec<u8>| serde_json::from_slice::<Json>(record).expect("it is JSON").to_string();
    let records: Vec<String> = records.iter().map(one_line).collect();
    assert_eq!(records.len(), 39);
    let mut files = vec![
        (
            Feed::Kev,
            "known_exploited_vulnerabilities.json",
            read("intel/known_exploited_vulnerabilities.json"),
            1_404,
        ),
        (Feed::Epss, "epss_kev_nvd.csv", read("intel/epss_kev_nvd.csv"), 1_556),
        (Feed::Cve, "cve5, 39 records", records.join("\n").into_bytes(), 39),
    ];
    files.extend(
        pages
            .iter()
            .map(|page| (Feed::Nvd, *page, read(page), if page.ends_with("1.json") { 47 } else { 1 })),
    );
    for (feed, name, file, rows) in files {
        let job = load(&world.domain, &world.root, feed, &file).await;
        assert_eq!(job.state, JobState::Completed, "{name}: {:?}", job.error);
        assert_eq!(job.counts["rows"], json!(rows), "{name}");
        tell(&format!("{:?}: {name}: {}", world.engine, Json::from(job.counts)));
    }
    let told = world.findings(world.acme.admin(), None).await;
    let with = |field: ScalarField| {
        let by_intel = |finding: &&Finding| {
            finding.layers.stack(field).iter().any(|entry| entry.source.layer == Layer::Intel)
        };
        told.iter().filter(by_intel).count()
    };
    let fields =
        [ScalarField::KnownExploit, ScalarField::EpssScore, ScalarField::CvssScore, ScalarField::CvssVector];
    tell(&format!(
        "{:?}: said by feeds: {:?}",
        world.engine,
        fields.map(|field| (field.word(), with(field)))
    ));
    assert!(fields.iter().all(|field| with(*field) > 0));
    let cwes = |finding: &&Finding| {
        finding.layers.elements(SetField::CweIds).any(|(_, said)| said[0].source.layer == Layer::Intel)
    };
    assert!(told.iter().filter(cwes).count() > 0);
}
