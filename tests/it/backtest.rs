//! What a rule would have changed of what was imported, under the rules as they stood.

use std::collections::BTreeMap;

use domain::access::Role;
use domain::error::Code;
use domain::finding::edit::Edit;
use domain::finding::layers::RevokeMode;
use domain::inventory::asset::AssetChange;
use domain::page::PageArgs;
use domain::rule::RuleDraft;
use domain::rule::backtest::{Backtest, Missing, Row};
use domain::rule::pass::Mode;
use domain::rule::preview::Tried;
use domain::rule::revoke::{RevokeOf, RevokeRequest};
use domain::vocabulary::terms::{Criticality, Severity};
use domain::vocabulary::time::{Span, Timestamp};
use serde_json::{Value as Json, json};
use support::{NOW, Wire, World, draft, finished, on_both};

on_both!(
    the_past_is_replayed_under_the_rules_of_then,
    what_was_told_later_is_undone,
    what_cannot_be_told_is_said,
    the_past_has_its_own_modes_and_live_versions,
    a_backtest_is_read_over_the_wire,
);

fn line(reference: &str, severity: &str) -> Json {
    json!({ "scanner_reference": reference, "title": reference, "asset": "web-01", "severity": severity })
}

fn is(severity: &str) -> Json {
    json!({ "field": "severity", "operator": "eq", "value": severity })
}

fn make(severity: &str) -> Json {
    json!({ "type": "override_severity", "config": { "severity": severity } })
}

fn day(number: i64) -> Timestamp {
    NOW.plus(Span(Span::DAY.0 * number))
}

async fn replay(world: &World, draft: RuleDraft, from: Timestamp, to: Timestamp) -> std::sync::Arc<Backtest> {
    let tried = Tried::Draft { of: None, draft: Box::new(draft) };
    world.domain.rule_backtest(world.acme.author(), tried, from, to).await.unwrap()
}

fn rows(backtest: &Backtest) -> Vec<Row> {
    backtest.rows(false, &PageArgs::first(500)).unwrap().nodes().cloned().collect()
}

/// The rows by the title of their finding: the changes as `field: before -> after`.
fn told(backtest: &Backtest) -> BTreeMap<String, Vec<String>> {
    let change = |c: &domain::rule::preview::FieldChange| format!("{}: {} -> {}", c.field, c.before, c.after);
    rows(backtest)
        .iter()
        .map(|row| (row.finding.shown.title.clone(), row.changes.iter().map(change).collect()))
        .collect()
}

async fn the_past_is_replayed_under_the_rules_of_then(world: &World) {
    let urgent = |order: i32| draft("Urgent", order, is("critical"), make("urgent"));
    world.import_lines(&[line("a", "critical"), line("b", "high")]).await;
    world.clock.advance(Span::DAY);
    let down = world.rule("Down", 10, is("critical"), make("high")).await;
    world.clock.advance(Span::DAY);
    let mut again = line("a", "critical");
    again["cvss_score"] = json!(9.1);
    world.import_lines(&[again, line("c", "critical")]).await;
    world.clock.advance(Span::DAY);
    world.domain.rule_set_mode(world.acme.author(), down.id, None, Mode::Off).await.unwrap();
    world.clock.advance(Span::DAY);
    world.import_lines(&[line("d", "critical")]).await;
    let before = world.contents().await;

    // On the first day no rule held.
    let first = replay(world, urgent(20), NOW, day(1)).await;
    assert_eq!((first.totals.evaluated, first.totals.matched, first.truncated), (2, 1, false));
    assert_eq!(
        told(&first),
        BTreeMap::from([("a".to_owned(), vec![r#"severity: "critical" -> "urgent""#.to_owned()])])
    );
    let row = &rows(&first)[0];
    assert!(row.new && row.happened.is_empty() && row.missing.is_empty() && row.scan.is_some());
    assert_eq!((row.at, row.finding.shown.severity), (NOW, Severity::Critical));
    assert_eq!(row.finding.shown.cvss_score, None, "what a later report said is undone");

    // On the third day one had been made: behind it nothing critical is left, before it it has nothing to do.
    let behind = replay(world, urgent(20), day(1), day(3)).await;
    assert_eq!((behind.totals.evaluated, behind.totals.matched), (2, 0));
    let ahead = replay(world, urgent(5), day(1), day(3)).await;
    let expected = vec![r#"severity: "high" -> "urgent""#.to_owned()];
    assert_eq!(
        told(&ahead),
        BTreeMap::from([("a".to_owned(), expected.clone()), ("c".to_owned(), expected)])
    );
    for row in rows(&ahead) {
        // What the replay makes of it without the rule is what happened.
        let happened = &row.happened[0];
        assert_eq!((happened.rule, happened.version, happened.observed), (down.id, 1, false));
        assert_eq!(happened.after["severity"], row.changes[0].before);
        assert_eq!(row.messages, ["Rule 'Urgent': severity high to urgent"]);
    }
    // Then it was turned off.
    let last = replay(world, urgent(20), day(3), day(9)).await;
    assert_eq!(told(&last).keys().collect::<Vec<_>>(), ["d"]);
    // A rule that is kept is replayed instead of its versions.
    let own = Tried::Kept(down.id);
    let own = world.domain.rule_backtest(world.acme.author(), own, NOW, day(9)).await.unwrap();
    assert_eq!((own.totals.evaluated, own.totals.changed), (5, 4));
    assert_eq!(own.totals.severities[&Severity::High], (0, 4));
    assert!(world.contents().await == before, "a backtest writes nothing");
}

async fn what_was_told_later_is_undone(world: &World) {
    let mut first = line("a", "low");
    first["component_name"] = json!("zlib");
    first["component_version"] = json!("1.0");
    first["tags"] = json!("old");
    world.import_lines(&[first.clone(), line("gone", "low")]).await;
    world.clock.advance(Span::DAY);
    let mut second = first;
    second["component_version"] = json!("2.0");
    second["severity"] = json!("high");
    second["tags"] = json!("new");
    world.import_lines(&[second]).await;
    assert_eq!(world.finding("gone").await.shown.status.to_string(), "FIXED");
    let assets =
        world.domain.assets_by_id(world.acme.admin(), &[world.finding("a").await.asset]).await.unwrap();
    let asset = assets.into_values().next().unwrap();
    world.clock.advance(Span::DAY);
    let change = AssetChange { criticality: Some(Some(Criticality::Critical)), ..AssetChange::default() };
    world.domain.asset_update(world.acme.admin(), asset.id, asset.version, change).await.unwrap();

    let leaf = |field: &str, value: Json| json!({ "field": field, "operator": "eq", "value": value });
    let asked = [
        (leaf("component_version", json!("1.0")), vec!["a"]),
        (leaf("component_version", json!("2.0")), vec![]),
        (leaf("tags", json!("old")), vec!["a"]),
        (leaf("tags", json!("new")), vec![]),
        (is("low"), vec!["a", "gone"]),
        (leaf("status", json!("OPEN")), vec!["a", "gone"]),
        (leaf("asset_criticality", json!("critical")), vec![]),
        (json!({ "field": "asset_criticality", "operator": "is_empty" }), vec!["a", "gone"]),
    ];
    for (criteria, expected) in asked {
        let tag = json!({ "type": "append_tag", "config": { "tags": ["x"] } });
        let of = replay(world, draft("Tag", 1, criteria.clone(), tag), NOW, day(1)).await;
        assert_eq!(told(&of).keys().collect::<Vec<_>>(), expected, "{criteria}");
        assert_eq!(of.incomplete, 0, "all of it can be told");
    }
}

async fn what_cannot_be_told_is_said(world: &World) {
    world.import_lines(&[line("a", "critical"), line("b", "critical")]).await;
    world.clock.advance(Span::DAY);
    let a = world.finding("a").await;
    world.edit(a.id, Edit::SetSeverity { severity: Severity::Low, reason: None }).await;
    let urgent = draft("Urgent", 20, is("critical"), make("urgent"));
    let replayed = replay(world, urgent.clone(), NOW, day(1)).await;
    assert_eq!(
        (replayed.incomplete, replayed.totals.changed),
        (1, 2),
        "what a person said later does not count then"
    );
    let missing: BTreeMap<String, Vec<Missing>> =
        rows(&replayed).into_iter().map(|row| (row.finding.shown.title.clone(), row.missing)).collect();
    assert_eq!(missing["a"], [Missing::People]);
    assert!(missing["b"].is_empty());

    let domain = &world.domain;
    let tried = || Tried::Draft { of: None, draft: Box::new(urgent.clone()) };
    let refused = domain.rule_backtest(world.acme.author(), tried(), day(1), day(1)).await.unwrap_err();
    assert_eq!((refused.code, refused.field), (Code::Invalid, vec!["to".to_owned()]));
    let other = domain.rule_backtest(world.globex.author(), tried(), NOW, day(1)).await.unwrap();
    assert_eq!(other.totals.evaluated, 0);
    // Who sees one project alone replays what is in it.
    let narrow = domain.rule_backtest(&world.acme.narrow.actor, tried(), NOW, day(1)).await.unwrap();
    assert_eq!(narrow.totals.evaluated, 2);
    for stranger in [world.acme.admin(), world.globex.author()] {
        assert_eq!(domain.rule_backtested(stranger, replayed.ticket.id).unwrap_err().code, Code::NotFound);
    }
    assert!(domain.rule_backtested(world.acme.author(), replayed.ticket.id).is_ok());
    world.clock.advance(Span::DAY);
    assert_eq!(
        domain.rule_backtested(world.acme.author(), replayed.ticket.id).unwrap_err().code,
        Code::NotFound
    );
}

async fn the_past_has_its_own_modes_and_live_versions(world: &World) {
    let author = world.acme.author();
    let (domain, tag) = (&world.domain, json!({ "type": "append_tag", "config": { "tags": ["seen"] } }));
    // What it finds high, the other rule made so.
    let seen = || draft("Seen", 20, is("high"), tag.clone());
    let global = draft("Down", 10, is("critical"), make("high"));
    let global = domain.rule_create(&world.root, global).await.unwrap();
    world.clock.advance(Span::HOUR);
    world.import_lines(&[line("a", "critical")]).await;
    world.clock.advance(Span::DAY);
    domain.rule_set_company_mode(author, global.id, Some(Mode::Off)).await.unwrap();
    world.clock.advance(Span::DAY);
    world.import_lines(&[line("b", "critical")]).await;
    world.clock.advance(Span::DAY);
    let day_of = async |from: i64| {
        let replayed = replay(world, seen(), day(from), day(from + 1)).await;
        told(&replayed)
    };
    assert_eq!(day_of(0).await.keys().collect::<Vec<_>>(), ["a"]);
    assert!(day_of(2).await.is_empty(), "the company had turned it off by then");

    // A draft that waits for approval is not what held.
    let own = world.rule("Own", 5, is("critical"), make("high")).await;
    world.clock.advance(Span::DAY);
    let gated = RuleDraft { requires_approval: true, ..draft("Own", 5, is("critical"), make("low")) };
    domain.rule_update(author, own.id, own.version, gated).await.unwrap();
    world.import_lines(&[line("c", "critical")]).await;
    assert_eq!(world.finding("c").await.shown.severity, Severity::High);
    world.clock.advance(Span::DAY);
    assert_eq!(day_of(4).await.keys().collect::<Vec<_>>(), ["c"]);

    // What is exempt now may not have been so then.
    let c = world.finding("c").await.id;
    let of = RevokeOf::Rule { rule: own.id, from: None, to: None };
    let request = RevokeRequest { of, mode: RevokeMode::Safe, turn_off: false, sweep: false, reason: None };
    let job = domain.rule_revoke(author, request).await.unwrap();
    if !job.state.is_end() {
        finished(domain, author, job.id).await;
    }
    let missing = replay(world, seen(), day(4), day(5)).await;
    let row = &rows(&missing)[0];
    assert_eq!((row.finding.id, row.missing.as_slice()), (c, &[Missing::Exemption][..]));
}

async fn a_backtest_is_read_over_the_wire(world: &World) {
    let wire = Wire::of(world, world.acme.person(Role::Author)).await;
    world.rule("Down", 10, is("critical"), make("high")).await;
    world.clock.advance(Span::HOUR);
    world.import_lines(&[line("a", "critical"), line("b", "critical")]).await;
    let query = "query($input: RuleBacktestInput!) { ruleBacktest(input: $input) {
        backtestId name evaluated matched changed errors incomplete truncated
        severities { severity before after } fields { field count }
        rows(first: 1) { totalCount pageInfo { endCursor } edges { at new outcome messages missing
            node { title severity } scan { status } changes { field before after }
            happened { rule { name } ruleVersion change observed before after } } } } }";
    let draft = json!({ "name": "Urgent", "order": 5, "criteria": is("critical"), "action": make("urgent") });
    let input = json!({ "draft": draft, "from": NOW.to_string(), "to": day(1).to_string() });
    let told = wire.ask(query, json!({ "input": input })).await["ruleBacktest"].clone();
    assert_eq!(
        (&told["evaluated"], &told["changed"], &told["incomplete"]),
        (&json!(2), &json!(2), &json!(0))
    );
    assert_eq!(told["severities"][0], json!({ "severity": "HIGH", "before": 2, "after": 0 }));
    let row = &told["rows"]["edges"][0];
    assert_eq!(row["changes"], json!([{ "field": "severity", "before": "high", "after": "urgent" }]));
    assert_eq!(
        row["happened"],
        json!([{ "rule": { "name": "Down" }, "ruleVersion": 1, "change": "ADDED", "observed": false,
                 "before": { "severity": "critical" }, "after": { "severity": "high" } }])
    );
    assert_eq!((&row["new"], &row["scan"]["status"]), (&json!(true), &json!("FINISHED")));
    let next = "query($id: ID!, $after: String) { ruleBacktested(backtestId: $id) {
        rows(after: $after, changed: true) { totalCount edges { node { title } } } } }";
    let variables = json!({ "id": told["backtestId"], "after": told["rows"]["pageInfo"]["endCursor"] });
    let rest = wire.ask(next, variables.clone()).await["ruleBacktested"]["rows"].clone();
    assert_eq!((&rest["totalCount"], rest["edges"].as_array().map(Vec::len)), (&json!(2), Some(1)));
    let other = wire.with(&world.acme.person(Role::Admin).token);
    assert_eq!(other.answer(next, variables).await["errors"][0]["extensions"]["code"], "NOT_FOUND");
}
