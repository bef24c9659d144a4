//! A report that comes again: what is the same is told by its series, and whatever could make a
//! difference is looked at.

use domain::finding::edit::Edit;
use domain::finding::facts::Finding;
use domain::finding::layers::SetField;
use domain::finding::query::FindingOrder;
use domain::intake::import::ImportRequest;
use domain::intake::mapping::Mapped;
use domain::job::JobState;
use domain::page::PageArgs;
use domain::rule::pass::Mode;
use domain::vocabulary::terms::{Severity, Status, Term};
use domain::vocabulary::time::{Span, Timestamp};
use serde_json::{Value as Json, json};
use support::{Held, World, draft, finished, on_both, upload};

on_both!(
    what_is_seen_again_is_told_by_its_series,
    each_thing_that_a_scanner_says_is_compared,
    a_rule_that_changed_is_asked_again,
    a_rule_that_looks_at_the_clock_is_asked_every_time,
    a_word_that_was_taken_back_is_looked_at,
    entries_of_one_finding_are_compared_together,
    what_is_not_named_was_not_seen,
    a_part_of_a_report_speaks_for_itself,
    what_a_person_reopened_is_closed_again,
    two_series_of_one_report_take_turns,
    two_scans_at_once_leave_what_the_newer_one_saw,
    what_another_scan_finds_meanwhile_was_seen_by_that_one,
);

fn line(reference: &str, severity: Severity) -> Json {
    json!({ "scanner_reference": reference, "title": reference, "asset": "web-01", "severity": severity })
}

fn is_high() -> Json {
    json!({ "field": "severity", "operator": "eq", "value": "high" })
}

fn tag(name: &str) -> Json {
    json!({ "type": "append_tag", "config": { "tags": [name] } })
}

async fn night(world: &World, lines: &[Json]) -> [i64; 4] {
    world.clock.advance(Span::DAY);
    world.import_lines(lines).await.counts()
}

/// When the finding was seen last, as a row, a filter and an order have it: all the same.
async fn last_seen(world: &World, title: &str) -> Timestamp {
    let finding = world.finding(title).await;
    let at = finding.last_seen_at;
    for (operator, holds) in [("gte", true), ("lt", false)] {
        let tree = json!({ "field": "last_seen_at", "operator": operator, "value": at.to_string() });
        let found = world.findings(world.acme.admin(), Some(tree)).await;
        assert_eq!(found.iter().any(|found| found.id == finding.id), holds, "{title} {operator} {at}");
    }
    at
}

async fn newest(world: &World) -> Finding {
    let filter = world.domain.finding_filter(None).unwrap();
    let order = (FindingOrder::LastSeen, false);
    let page = world.domain.findings(world.acme.admin(), &filter, order, &PageArgs::first(1)).await;
    page.unwrap().nodes().next().unwrap()
}

async fn what_is_seen_again_is_told_by_its_series(world: &World) {
    let report = [line("a", Severity::High), line("b", Severity::Low)];
    assert_eq!(night(world, &report).await, [2, 0, 0, 0]);
    world.edit(world.finding("b").await.id, Edit::Tag { add: vec!["mine".to_owned()], remove: vec![] }).await;
    for _ in 0..3 {
        let before = world.findings(world.acme.admin(), None).await;
        assert_eq!(night(world, &report).await, [0, 0, 2, 0]);
        for before in before {
            let after = world.finding(&before.shown.title).await;
            assert_eq!(last_seen(world, &before.shown.title).await, world.clock.now());
            assert_eq!((after.revision, after.updated_at), (before.revision, before.updated_at));
        }
    }
    assert_eq!(night(world, &[line("a", Severity::High)]).await, [0, 0, 1, 1]);
    assert_eq!(newest(world).await.shown.title, "a", "what is gone is not seen with its series");
    world.assert_ledger_whole().await;
}

async fn each_thing_that_a_scanner_says_is_compared(world: &World) {
    let whole = json!({
        "asset": "web-01", "title": "t", "description": "d", "severity": "low", "class": "VULNERABILITY",
        "scanner_category": "c", "scanner_reference": "r", "vulnerability_type": "v", "cvss_score": 5.0,
        "cvss_vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "epss_score": 0.5, "known_exploit": false,
        "cve_ids": "CVE-2026-0001", "cwe_ids": "CWE-1", "endpoint": "https://e.example", "port": 1,
        "component_name": "n", "component_version": "1", "fixed_version": "2", "fix_available": true,
        "file_path": "f", "line": 1, "references": "https://example.org/1", "tags": "x", "remediation": "m",
    });
    let others = json!({
        "title": "T", "description": "D", "severity": "high", "class": "DETECTION", "scanner_category": "C",
        "vulnerability_type": "V", "cvss_score": 6.0, "cvss_vector": "CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        "epss_score": 0.6, "known_exploit": true, "cve_ids": "CVE-2026-0002", "cwe_ids": "CWE-2",
        "endpoint": "https://f.example", "port": 2, "component_name": "N", "component_version": "3",
        "fixed_version": "4", "fix_available": false, "file_path": "F", "line": 2,
        "references": "https://example.org/2", "tags": "y", "remediation": "M",
    });
    assert_eq!(night(world, std::slice::from_ref(&whole)).await, [1, 0, 0, 0]);
    let others = others.as_object().unwrap();
    for (field, other) in others {
        assert!(Mapped::parse(field).is_some(), "{field}");
        for value in [other, &Json::Null, &whole[field]] {
            if field == "title" && value.is_null() {
                continue;
            }
            let mut line = whole.clone();
            line[field] = value.clone();
            assert_eq!(night(world, std::slice::from_ref(&line)).await, [0, 1, 0, 0], "{field}: {value}");
            assert_eq!(night(world, &[line]).await, [0, 0, 1, 0], "{field}: {value}");
        }
    }
}

async fn a_rule_that_changed_is_asked_again(world: &World) {
    let report = [line("a", Severity::High), line("b", Severity::Low)];
    let tags = async || world.finding("a").await.shown.set(SetField::Tags).to_vec();
    assert_eq!(night(world, &report).await, [2, 0, 0, 0]);
    let rule = world.rule("Tag", 1, is_high(), tag("one")).await;
    assert_eq!(night(world, &report).await, [0, 1, 1, 0]);
    assert_eq!(tags().await, ["one"]);
    assert_eq!(night(world, &report).await, [0, 0, 2, 0]);

    let author = world.acme.author();
    let draft = draft("Tag", 1, is_high(), tag("two"));
    let rule = world.domain.rule_update(author, rule.id, rule.version, draft.clone()).await.unwrap();
    assert_eq!(night(world, &report).await, [0, 1, 1, 0]);
    assert_eq!(tags().await, ["two"]);

    let off = domain::rule::RuleDraft { mode: Mode::Off, ..draft };
    world.domain.rule_update(author, rule.id, rule.version, off).await.unwrap();
    assert_eq!(night(world, &report).await, [0, 0, 2, 0], "a rule that is off says nothing more");
    assert_eq!(night(world, &report).await, [0, 0, 2, 0]);
    world.assert_ledger_whole().await;
}

async fn a_rule_that_looks_at_the_clock_is_asked_every_time(world: &World) {
    let old = json!({ "field": "first_seen_at", "operator": "older_than", "value": "2d" });
    world.rule("Old", 1, old, tag("old")).await;
    let report = [line("a", Severity::High)];
    assert_eq!(night(world, &report).await, [1, 0, 0, 0]);
    assert_eq!(night(world, &report).await, [0, 0, 1, 0]);
    world.clock.advance(Span::DAY);
    assert_eq!(night(world, &report).await, [0, 1, 0, 0]);
    assert_eq!(world.finding("a").await.shown.set(SetField::Tags), ["old"]);
    assert_eq!(night(world, &report).await, [0, 0, 1, 0]);

    let late = world.clock.now().plus(Span::DAY);
    let seen = json!({ "field": "last_seen_at", "operator": "gt", "value": late.to_string() });
    world.rule("Seen", 2, seen, tag("seen")).await;
    assert_eq!(night(world, &report).await, [0, 0, 1, 0]);
    assert_eq!(night(world, &report).await, [0, 1, 0, 0]);
    assert_eq!(world.finding("a").await.shown.set(SetField::Tags), ["old", "seen"]);
}

async fn a_word_that_was_taken_back_is_looked_at(world: &World) {
    let make = json!({ "type": "override_severity", "config": { "severity": "urgent" } });
    let report = [line("a", Severity::High)];
    assert_eq!(night(world, &report).await, [1, 0, 0, 0]);
    let finding = world.finding("a").await.id;
    let low = Edit::SetSeverity { severity: Severity::Low, reason: None };
    world.edit(finding, low).await;
    world.rule("Urgent", 1, is_high(), make).await;
    assert_eq!(night(world, &report).await, [0, 0, 1, 0], "the rule reads what the person said");
    assert_eq!(night(world, &report).await, [0, 0, 1, 0]);
    let released = world.edit(finding, Edit::Release { fields: vec!["severity".to_owned()] }).await;
    assert_eq!(released.shown.severity, Severity::High);
    assert_eq!(night(world, &report).await, [0, 1, 0, 0], "nothing else has changed, and the rule speaks");
    assert_eq!(world.finding("a").await.shown.severity, Severity::Urgent);
}

async fn entries_of_one_finding_are_compared_together(world: &World) {
    let with = |severity, tags: &str| {
        let mut line = line("a", severity);
        line["tags"] = json!(tags);
        line
    };
    let report = [with(Severity::Low, "x"), line("b", Severity::Low), with(Severity::High, "y")];
    assert_eq!(night(world, &report).await, [2, 0, 0, 0]);
    assert_eq!(night(world, &report).await, [0, 0, 2, 0]);
    let second = [with(Severity::Low, "x"), line("b", Severity::Low), with(Severity::High, "z")];
    assert_eq!(night(world, &second).await, [0, 1, 1, 0]);
    assert_eq!(world.finding("a").await.shown.set(SetField::Tags), ["x", "z"]);
    assert_eq!(night(world, &second).await, [0, 0, 2, 0]);
    assert_eq!(night(world, &second[..2]).await, [0, 1, 1, 0], "one entry less");
}

async fn what_is_not_named_was_not_seen(world: &World) {
    let report = [line("a", Severity::High), line("b", Severity::Low)];
    assert_eq!(night(world, &report).await, [2, 0, 0, 0]);
    let mistaken = Edit::SetStatus { status: Status::FalsePositive, reason: None };
    world.edit(world.finding("b").await.id, mistaken).await;
    assert_eq!(night(world, &report).await, [0, 0, 2, 0]);
    let seen = world.clock.now();
    for _ in 0..2 {
        assert_eq!(night(world, &report[..1]).await, [0, 0, 1, 0], "what a person decided is not closed");
        assert_eq!(last_seen(world, "b").await, seen);
        assert_eq!(last_seen(world, "a").await, world.clock.now());
    }
    assert_eq!(night(world, &report).await, [0, 0, 2, 0]);
    assert_eq!(last_seen(world, "b").await, world.clock.now());
    assert_eq!(world.finding("b").await.shown.status, Status::FalsePositive);
}

async fn a_part_of_a_report_speaks_for_itself(world: &World) {
    let report = [line("a", Severity::High), line("b", Severity::Low)];
    let import = async |lines: &[Json]| {
        world.clock.advance(Span::DAY);
        let request = ImportRequest { complete: false, ..world.request("nightly") };
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        world.import(world.acme.analyst(), request, &text).await.counts()
    };
    assert_eq!(import(&report).await, [2, 0, 0, 0]);
    assert_eq!(import(&report).await, [0, 0, 2, 0]);
    let both = world.clock.now();
    assert_eq!((last_seen(world, "a").await, last_seen(world, "b").await), (both, both));
    assert_eq!(import(&report[..1]).await, [0, 0, 1, 0]);
    assert_eq!((last_seen(world, "a").await, last_seen(world, "b").await), (world.clock.now(), both));
    assert_eq!(import(&report).await, [0, 0, 2, 0]);
    assert_eq!(last_seen(world, "b").await, world.clock.now());
}

async fn what_a_person_reopened_is_closed_again(world: &World) {
    let report = [line("a", Severity::High), line("b", Severity::Low)];
    assert_eq!(night(world, &report).await, [2, 0, 0, 0]);
    assert_eq!(night(world, &report[..1]).await, [0, 0, 1, 1]);
    let open = Edit::SetStatus { status: Status::Open, reason: None };
    let reopened = world.edit(world.finding("b").await.id, open).await;
    assert_eq!(reopened.shown.status, Status::Open);
    assert_eq!(night(world, &report[..1]).await, [0, 0, 1, 1]);
    assert_eq!(world.finding("b").await.shown.status, Status::Fixed);
    assert_eq!(night(world, &report).await, [0, 1, 1, 0], "and seen again it is open");
}

async fn two_series_of_one_report_take_turns(world: &World) {
    let report = [line("a", Severity::High), line("b", Severity::Low)];
    let text: String = report.iter().map(|line| format!("{line}\n")).collect();
    let mut all = [2, 0, 0, 0];
    for _ in 0..2 {
        for series in ["nightly", "weekly"] {
            world.clock.advance(Span::DAY);
            let outcome = world.import(world.acme.analyst(), world.request(series), &text).await;
            assert_eq!(outcome.counts(), all, "{series}");
            all = [0, 0, 2, 0];
            assert_eq!(last_seen(world, "a").await, world.clock.now());
        }
    }
    assert_eq!(night(world, &report[..1]).await, [0, 0, 1, 0], "the weekly series saw both last");
    assert_eq!(world.finding("b").await.shown.status, Status::Open);
}

/// Two servers store two reports of one series at once. Both are as long as what was there before, so
/// that no count tells them apart.
async fn two_scans_at_once_leave_what_the_newer_one_saw(world: &World) {
    let other = world.start(1).await;
    let report = |names: [&str; 2]| -> String {
        names.map(|name| format!("{}\n", line(name, Severity::High))).concat()
    };
    world.import(world.acme.analyst(), world.request("nightly"), &report(["a", "b"])).await.counts();
    let pairs = [(["a", "c"], ["b", "c"]), (["a", "b"], ["c", "a"]), (["b", "c"], ["a", "b"])];
    for (round, (older, newer)) in pairs.into_iter().cycle().take(9).enumerate() {
        let mut jobs = Vec::new();
        for (domain, names) in [(&world.domain, older), (&other, newer)] {
            // Less than a lease: neither server is to take over what the other works on.
            world.clock.advance(Span::SECOND);
            let request = world.request("nightly");
            jobs.push(upload(domain, world.acme.analyst(), request, report(names).as_bytes()).await);
        }
        for job in jobs {
            let job = finished(&world.domain, world.acme.analyst(), job).await;
            assert_eq!(job.state, JobState::Completed, "{:?}", job.error);
        }
        let all = world.findings(world.acme.admin(), None).await;
        let open: Vec<&str> = all
            .iter()
            .filter(|finding| finding.shown.status == Status::Open)
            .map(|finding| finding.shown.title.as_str())
            .collect();
        let mut expected = newer;
        expected.sort_unstable();
        assert_eq!(open, expected, "round {round}");
    }
    world.assert_ledger_whole().await;
}

/// A part of the report that is older is stored while the newer one is: after that looked up what is
/// present in their series, and before it ends. Neither names what the other found.
async fn what_another_scan_finds_meanwhile_was_seen_by_that_one(world: &World) {
    let report = |names: &[&str]| -> String {
        names.iter().map(|name| format!("{}\n", line(name, Severity::High))).collect()
    };
    let [both, older, newer] = [report(&["a", "b"]), report(&["c"]), report(&["a", "b", "d"])];
    let begin = async |report: &str| {
        world.clock.advance(Span::SECOND);
        let request = ImportRequest { complete: false, ..world.request("nightly") };
        let job = upload(&world.domain, world.acme.analyst(), request, report.as_bytes()).await;
        (job, world.clock.now())
    };
    let end = async |domain, job| {
        let job = finished(domain, world.acme.analyst(), job).await;
        assert_eq!(job.state, JobState::Completed, "{:?}", job.error);
    };
    end(&world.domain, begin(&both).await.0).await;
    world.stop().await;
    let (of_older, at_older) = begin(&older).await;
    let held_older = Held::hold(&world.domain, of_older);
    let (of_newer, at_newer) = begin(&newer).await;
    let held_newer = Held::hold(&world.domain, of_newer);
    let domain = world.start(0).await;

    held_newer.begun().await.let_go(&newer);
    let storing = held_newer.begun().await;
    held_newer.let_go(&newer);
    let checking = held_older.begun().await;
    held_older.let_go(&older);
    checking.let_go(&older);
    end(&domain, of_older).await;
    storing.let_go(&newer);
    end(&domain, of_newer).await;

    for (name, at) in [("a", at_newer), ("b", at_newer), ("c", at_older), ("d", at_newer)] {
        assert_eq!(last_seen(world, name).await, at, "{name}");
    }
    world.assert_ledger_whole().await;
}
