//! What a rule did is taken back: finding by finding, with what came of each, and nothing that anybody
//! said later is lost unless it is asked for.

mod exemptions;
mod expiry;
mod jobs;
mod modes;

use std::collections::BTreeMap;

use api::graphql::id::Noun;
use domain::access::Role;
use domain::error::{Code, Error};
use domain::finding::edit::Edit;
use domain::finding::layers::{Layer, RevokeMode, SetField};
use domain::job::{Job, JobState};
use domain::ledger::audit::AuditFilter;
use domain::page::PageArgs;
use domain::rule::application::{ApplicationFilter, RuleApplication, Standing, standing};
use domain::rule::pass::{Mode, Turn};
use domain::rule::revoke::listing::{OutcomeFilter, RevokedFinding};
use domain::rule::revoke::{RevokeOf, RevokeOutcome, RevokeRequest};
use domain::vocabulary::terms::{Severity, Term};
use domain::vocabulary::time::Span;
use serde_json::{Value as Json, json};
use support::{Wire, World, content, finished, on_both};
use uuid::Uuid;

on_both!(
    each_finding_comes_out_in_one_way,
    force_takes_what_lies_above_and_tells_of_each,
    an_application_stands_until_the_next_turn,
    applications_are_seen_with_their_findings,
    what_cannot_be_meant_is_refused,
    a_revoke_over_the_wire,
);

fn line(reference: &str, severity: Severity) -> Json {
    json!({ "scanner_reference": reference, "title": reference, "asset": "web-01", "severity": severity })
}

fn every() -> Json {
    json!({ "field": "title", "operator": "neq", "value": "nothing" })
}

fn is(severity: Severity) -> Json {
    json!({ "field": "severity", "operator": "eq", "value": severity })
}

fn make(severity: Severity) -> Json {
    json!({ "type": "override_severity", "config": { "severity": severity } })
}

fn tag(tags: &[&str]) -> Json {
    json!({ "type": "append_tag", "config": { "tags": tags } })
}

fn by_hand(tags: &[&str]) -> Edit {
    Edit::Tag { add: tags.iter().map(|tag| (*tag).to_owned()).collect(), remove: vec![] }
}

fn all_of(rule: Uuid) -> RevokeRequest {
    let of = RevokeOf::Rule { rule, from: None, to: None };
    RevokeRequest { of, mode: RevokeMode::Safe, turn_off: false, sweep: false, reason: None }
}

fn forced(request: RevokeRequest) -> RevokeRequest {
    RevokeRequest { mode: RevokeMode::Force, ..request }
}

/// An author of Acme takes back, and waits for the end of it.
async fn take_back(world: &World, request: RevokeRequest) -> Job {
    let job = world.domain.rule_revoke(world.acme.author(), request).await.expect("the revoke is in order");
    if job.state.is_end() { job } else { finished(&world.domain, world.acme.author(), job.id).await }
}

/// What came of each finding of a revoke.
async fn outcomes(world: &World, job: Uuid) -> Vec<RevokedFinding> {
    let mut args = PageArgs::first(500);
    let mut all = Vec::new();
    loop {
        let filter = OutcomeFilter::default();
        let mut pages =
            world.domain.revoke_outcomes(world.acme.author(), &[job], &filter, &args).await.unwrap();
        let page = pages.remove(&job).unwrap_or_default();
        args.after = page.edges.last().map(|edge| edge.cursor.clone());
        let more = page.has_next;
        all.extend(page.nodes());
        if !more {
            return all;
        }
    }
}

async fn outcome_of(world: &World, job: &Job, finding: Uuid) -> RevokedFinding {
    let all = outcomes(world, job.id).await;
    let mut of: Vec<_> = all.into_iter().filter(|outcome| outcome.finding == finding).collect();
    assert_eq!(of.len(), 1, "a finding comes out once");
    of.remove(0)
}

/// The applications that the filter finds, the oldest first.
async fn applications(world: &World, filter: ApplicationFilter) -> Vec<RuleApplication> {
    let page = world.domain.rule_applications(world.acme.admin(), &filter, &PageArgs::first(500)).await;
    let mut all: Vec<_> = page.unwrap().nodes().collect();
    all.reverse();
    all
}

async fn turns_on(world: &World, rule: Uuid, finding: Uuid) -> Vec<Turn> {
    let filter = ApplicationFilter { rule: Some(rule), finding: Some(finding), ..Default::default() };
    applications(world, filter).await.iter().map(|application| application.change).collect()
}

fn counts(job: &Job) -> BTreeMap<String, i64> {
    assert_eq!(job.state, JobState::Completed, "{:?}", job.error);
    let counts = job.counts.iter().map(|(name, count)| (name.clone(), count.as_i64().unwrap()));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn counted(counts: &[(&str, i64)]) -> BTreeMap<String, i64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

async fn each_finding_comes_out_in_one_way(world: &World) {
    let rule = world.rule("Tagged", 1, every(), tag(&["dmz", "pci"])).await;
    let names = ["restored", "partial", "conflict", "reverted", "gone"];
    world.import_lines(&names.map(|name| line(name, Severity::High))).await;
    let ids: BTreeMap<&str, Uuid> = {
        let mut ids = BTreeMap::new();
        for name in names {
            ids.insert(name, world.finding(name).await.id);
        }
        ids
    };
    world.edit(ids["partial"], by_hand(&["pci"])).await;
    world.edit(ids["conflict"], by_hand(&["dmz", "pci"])).await;
    let one =
        applications(world, ApplicationFilter { finding: Some(ids["reverted"]), ..Default::default() }).await;
    let single = RevokeRequest { of: RevokeOf::Applications(vec![one[0].id()]), ..all_of(rule.id) };
    assert_eq!(counts(&take_back(world, single).await), counted(&[("restored", 1)]));
    world.forget_finding(ids["gone"]).await;

    let before = world.contents().await;
    let preview = world.domain.rule_revoke_preview(world.acme.author(), &all_of(rule.id)).await.unwrap();
    assert_eq!(world.contents().await, before, "a preview writes nothing");
    let job = take_back(world, all_of(rule.id)).await;
    let expected =
        counted(&[("restored", 1), ("partial", 1), ("conflict", 1), ("already_reverted", 1), ("gone", 1)]);
    assert_eq!((counts(&job), job.done, job.total), (expected, 5, Some(5)));
    for outcome in RevokeOutcome::ALL {
        assert_eq!(preview.counts.get(*outcome), 1, "{outcome}");
    }
    let rows = preview.rows(&[], &PageArgs::first(9)).unwrap();
    let foreseen: Vec<RevokeOutcome> = rows.nodes().map(|row| row.judged.outcome).collect();
    let came: Vec<RevokeOutcome> = outcomes(world, job.id).await.iter().map(|row| row.outcome).collect();
    assert_eq!(came, foreseen, "what is previewed comes true, in its order");
    for (name, outcome) in names.iter().zip(RevokeOutcome::ALL) {
        assert_eq!(outcome_of(world, &job, ids[name]).await.outcome, *outcome, "{name}");
    }

    // What people said stays, and stands in the way by name.
    let shown = async |name: &str| world.finding(name).await.shown.set(SetField::Tags).to_vec();
    assert_eq!(shown("restored").await, [""; 0]);
    assert_eq!(shown("partial").await, ["pci"]);
    assert_eq!(shown("conflict").await, ["dmz", "pci"]);
    let conflicts = outcome_of(world, &job, ids["conflict"]).await.conflicts;
    let above = |element: &str| {
        let conflict =
            conflicts.iter().find(|conflict| conflict.element.as_deref() == Some(element)).unwrap();
        (conflict.field.to_string(), conflict.above.clone())
    };
    for element in ["dmz", "pci"] {
        let (field, above) = above(element);
        assert_eq!((field.as_str(), above.len()), ("tags", 1));
        assert_eq!((above[0].layer, above[0].by), (Layer::Human, world.acme.analyst().id));
    }
    let partial = outcome_of(world, &job, ids["partial"]).await;
    assert_eq!(partial.restored, ["tags"]);
    assert_eq!(partial.conflicts.len(), 1);

    // Each finding that changed has one entry and one event of it.
    assert_eq!(turns_on(world, rule.id, ids["restored"]).await, [Turn::Added, Turn::Withdrawn]);
    assert_eq!(turns_on(world, rule.id, ids["partial"]).await, [Turn::Added, Turn::Changed]);
    assert_eq!(turns_on(world, rule.id, ids["conflict"]).await, [Turn::Added]);
    let last = applications(
        world,
        ApplicationFilter {
            finding: Some(ids["restored"]),
            change: Some(Turn::Withdrawn),
            ..Default::default()
        },
    )
    .await;
    assert_eq!(last[0].revoke(), Some(job.id));
    assert_eq!(
        (&last[0].before, &last[0].after),
        (&Some(json!({ "tags": ["dmz", "pci"] })), &Some(json!({ "tags": [] })))
    );
    let told = world.audit(&AuditFilter { record: Some(rule.id), ..Default::default() }, 9).await;
    assert_eq!(told.iter().filter(|entry| entry.action == "rule.revoked").count(), 2);

    // Nothing is left to do but what lay under others.
    let again = take_back(world, all_of(rule.id)).await;
    assert_eq!(counts(&again), counted(&[("conflict", 2), ("already_reverted", 2), ("gone", 1)]));
    let follow = RevokeRequest { of: RevokeOf::Conflicts { job: job.id }, ..all_of(rule.id) };
    let follow = take_back(world, forced(follow)).await;
    assert_eq!(counts(&follow), counted(&[("restored", 2)]));
    assert_eq!((shown("partial").await, shown("conflict").await), (vec![], vec![]));
    world.assert_ledger_whole().await;
}

async fn force_takes_what_lies_above_and_tells_of_each(world: &World) {
    let first = world.rule("Down", 1, is(Severity::Critical), make(Severity::High)).await;
    let second = world.rule("Further", 2, is(Severity::High), make(Severity::Medium)).await;
    world.import_lines(&[line("a", Severity::Critical), line("b", Severity::Critical)]).await;
    let (a, b) = (world.finding("a").await.id, world.finding("b").await.id);
    world.edit(b, Edit::SetSeverity { severity: Severity::Low, reason: None }).await;
    let severity = async |title: &str| world.finding(title).await.shown.severity;
    assert_eq!((severity("a").await, severity("b").await), (Severity::Medium, Severity::Low));

    let safe = take_back(world, all_of(first.id)).await;
    assert_eq!(counts(&safe), counted(&[("conflict", 2)]));
    let above = async |finding| {
        let conflicts = outcome_of(world, &safe, finding).await.conflicts;
        conflicts[0].above.iter().map(|source| (source.layer, source.by)).collect::<Vec<_>>()
    };
    let person = (Layer::Human, world.acme.analyst().id);
    assert_eq!(above(a).await, [(Layer::Rule, second.id)]);
    assert_eq!(above(b).await, [(Layer::Rule, second.id), person]);
    assert_eq!((severity("a").await, severity("b").await), (Severity::Medium, Severity::Low));

    let reason = Some("It was a mistake.".to_owned());
    let job = take_back(world, RevokeRequest { reason, ..forced(all_of(first.id)) }).await;
    assert_eq!(counts(&job), counted(&[("restored", 2)]));
    assert_eq!((severity("a").await, severity("b").await), (Severity::Critical, Severity::Critical));
    for rule in [first.id, second.id] {
        for finding in [a, b] {
            assert_eq!(turns_on(world, rule, finding).await, [Turn::Added, Turn::Withdrawn]);
        }
    }
    let released = async |finding: Uuid| {
        let told = world.told_of(finding).await;
        told.into_iter().filter(|entry| entry.action == "finding.released").collect::<Vec<_>>()
    };
    assert!(released(a).await.is_empty());
    let of_b = released(b).await;
    assert_eq!(of_b.len(), 1);
    assert_eq!(
        (content(&of_b[0].before), content(&of_b[0].after)),
        (json!({ "severity": "low" }), json!({ "severity": "critical" }))
    );
    let cause = content(&of_b[0].cause);
    assert_eq!(cause["reason"], "It was a mistake.");
    assert_eq!(cause["said_by"]["by"], json!(world.acme.analyst().id));

    // The first rule is exempt; the second no longer matches.
    world.sweep().await;
    assert_eq!(severity("a").await, Severity::Critical);
    world.assert_ledger_whole().await;
}

async fn an_application_stands_until_the_next_turn(world: &World) {
    let rule = world.rule("Down", 1, is(Severity::Critical), make(Severity::High)).await;
    world.import_lines(&[line("a", Severity::Critical)]).await;
    let a = world.finding("a").await.id;
    world.clock.advance(Span::DAY);
    let noon = world.clock.now();
    world.import_lines(&[line("a", Severity::Critical), line("b", Severity::Critical)]).await;
    let b = world.finding("b").await.id;
    world.clock.advance(Span::DAY);

    // What the rule did before noon, and from then on.
    let until =
        |to, from| RevokeRequest { of: RevokeOf::Rule { rule: rule.id, from, to }, ..all_of(rule.id) };
    let job = take_back(world, until(Some(noon), None)).await;
    assert_eq!(outcomes(world, job.id).await.iter().map(|one| one.finding).collect::<Vec<_>>(), [a]);
    let severity = async |title: &str| world.finding(title).await.shown.severity;
    assert_eq!((severity("a").await, severity("b").await), (Severity::Critical, Severity::High));

    // The rule speaks of the second anew: its first application does not stand any more.
    let first =
        applications(world, ApplicationFilter { finding: Some(b), ..Default::default() }).await[0].id();
    let edited = support::draft("Down", 1, is(Severity::Critical), make(Severity::Low));
    world.domain.rule_update(world.acme.author(), rule.id, 1, edited).await.unwrap();
    world.sweep().await;
    assert_eq!(turns_on(world, rule.id, b).await, [Turn::Added, Turn::Changed]);
    let single = RevokeRequest { of: RevokeOf::Applications(vec![first]), ..all_of(rule.id) };
    let job = take_back(world, single).await;
    let outcome = outcome_of(world, &job, b).await;
    assert_eq!(outcome.outcome, RevokeOutcome::AlreadyReverted);
    assert_eq!(outcome.application(), first);
    let newest = applications(world, ApplicationFilter { finding: Some(b), ..Default::default() }).await;
    assert_eq!(outcome.replaced_by(), newest.last().map(RuleApplication::id));
    assert_eq!(severity("b").await, Severity::Low);

    let job = take_back(world, until(None, Some(noon))).await;
    assert_eq!(outcome_of(world, &job, b).await.outcome, RevokeOutcome::Restored);
    assert_eq!(severity("b").await, Severity::Critical);
}

async fn applications_are_seen_with_their_findings(world: &World) {
    let enforced = world.rule("Down", 1, is(Severity::Critical), make(Severity::High)).await;
    let observed = world.rule("Watch", 2, every(), tag(&["seen"])).await;
    world.domain.rule_set_mode(world.acme.author(), observed.id, None, Mode::Observe).await.unwrap();
    world.import_lines(&[line("a", Severity::Critical), line("b", Severity::Low)]).await;
    let elsewhere =
        domain::intake::import::ImportRequest { project: world.acme.other_project, ..world.request("other") };
    let report = format!("{}\n", line("c", Severity::Critical));
    world.import(world.acme.analyst(), elsewhere, &report).await;

    let of = |rule: Uuid| ApplicationFilter { rule: Some(rule), ..Default::default() };
    let would = applications(world, of(observed.id)).await;
    assert_eq!(would.len(), 3);
    assert!(would.iter().all(|one| one.observed && one.after == Some(json!({ "tags": ["seen"] }))));
    let told = world.domain.observed_counts(world.acme.admin(), &[observed.id, enforced.id]).await.unwrap();
    assert_eq!((told[&observed.id].turns, told[&observed.id].findings), (3, 3));
    assert!(!told.contains_key(&enforced.id));
    let a = world.finding("a").await;
    assert!(a.shown.set(SetField::Tags).is_empty(), "what is observed is not written");
    assert_eq!(standing(&a, observed.id), Standing::Observed);
    assert_eq!(standing(&a, enforced.id), Standing::Shown);
    assert_eq!(standing(&world.finding("b").await, enforced.id), Standing::Silent);
    world.edit(a.id, Edit::SetSeverity { severity: Severity::Low, reason: None }).await;
    assert_eq!(standing(&world.finding("a").await, enforced.id), Standing::Covered);

    // A narrow portfolio sees the applications on its own findings.
    let narrow = &world.acme.narrow.actor;
    let seen = world.domain.rule_applications(narrow, &of(enforced.id), &PageArgs::first(9)).await.unwrap();
    assert_eq!(seen.nodes().map(|one| one.finding).collect::<Vec<_>>(), [a.id]);
    assert_eq!(world.domain.rule_application_count(narrow, &of(enforced.id)).await.unwrap(), 1);
    let hidden =
        applications(world, of(enforced.id)).await.into_iter().find(|one| one.finding != a.id).unwrap();
    let refused = world.domain.rule_application(narrow, hidden.id()).await.unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    let refused = world.domain.rule_application(world.globex.admin(), hidden.id()).await.unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    let actions = world.domain.rule_actions_at(narrow, &[(enforced.id, hidden.version)]).await.unwrap();
    assert_eq!(actions[&(enforced.id, 1)], make(Severity::High));
}

async fn what_cannot_be_meant_is_refused(world: &World) {
    let rule = world.rule("Down", 1, is(Severity::Critical), make(Severity::High)).await;
    let other = world.rule("Tag", 2, every(), tag(&["x"])).await;
    let watched = world.rule("Watch", 3, every(), tag(&["seen"])).await;
    world.domain.rule_set_mode(world.acme.author(), watched.id, None, Mode::Observe).await.unwrap();
    world.import_lines(&[line("a", Severity::Critical)]).await;
    let id = async |rule: Uuid| {
        applications(world, ApplicationFilter { rule: Some(rule), ..Default::default() }).await[0].id()
    };
    let (one, two, seen) = (id(rule.id).await, id(other.id).await, id(watched.id).await);
    let named = |ids: Vec<Uuid>| RevokeRequest { of: RevokeOf::Applications(ids), ..all_of(rule.id) };
    let refused = async |actor, request: RevokeRequest| -> Error {
        let preview = world.domain.rule_revoke_preview(actor, &request).await.err();
        let error = world.domain.rule_revoke(actor, request).await.unwrap_err();
        assert_eq!(preview.map(|error| error.code), Some(error.code), "a preview is refused alike");
        error
    };
    let author = world.acme.author();
    let now = world.clock.now();
    let sweep = world.sweep().await.id;
    for (request, code, place) in [
        (named(vec![]), Code::Invalid, "of.applications"),
        (named(vec![one, two]), Code::Invalid, "of.applications"),
        (named(vec![seen]), Code::IllegalState, "of.applications"),
        (named(vec![Uuid::from_u128(7)]), Code::NotFound, "of.applications"),
        (all_of(Uuid::from_u128(7)), Code::NotFound, "of.rule.rule"),
        (
            RevokeRequest {
                of: RevokeOf::Rule { rule: rule.id, from: Some(now), to: Some(now) },
                ..all_of(rule.id)
            },
            Code::Invalid,
            "of.rule.to",
        ),
        (
            RevokeRequest { of: RevokeOf::Conflicts { job: sweep }, ..all_of(rule.id) },
            Code::IllegalState,
            "of.followUp.job",
        ),
        (RevokeRequest { reason: Some("x".repeat(9_000)), ..all_of(rule.id) }, Code::Invalid, "reason"),
    ] {
        let error = refused(author, request.clone()).await;
        assert_eq!((error.code, error.field.join(".").as_str()), (code, place), "{request:?}");
    }
    assert_eq!(refused(world.acme.analyst(), all_of(rule.id)).await.code, Code::Forbidden);
    assert_eq!(refused(world.globex.admin(), all_of(rule.id)).await.code, Code::NotFound);
    assert_eq!(refused(world.globex.admin(), named(vec![one])).await.code, Code::NotFound);
    assert_eq!(refused(&world.root, all_of(rule.id)).await.code, Code::IllegalState);
    assert_eq!(world.finding("a").await.shown.severity, Severity::High, "nothing of it was done");
}

const REVOKE: &str = "mutation($input: RuleRevokeInput!, $key: String) { ruleRevoke(input: $input, idempotencyKey: $key) {
    job { id state mode reason turnedOff done total counts { name count } rule { name mode exempted } sweep { state }
        outcomes(filter: { outcomes: [RESTORED, CONFLICT] }, first: 9) { totalCount edges { outcome restored
            conflicts { field element above { layer by { ... on User { name } ... on Rule { name } } } }
            application { id change standing revoke { id } } replacedBy { change } node { title severity } } } }
    userErrors { code field message } } }";

async fn a_revoke_over_the_wire(world: &World) {
    let wire = Wire::of(world, world.acme.person(Role::Author)).await;
    let rule = world.rule("Down", 1, is(Severity::Critical), make(Severity::High)).await;
    world.import_lines(&[line("a", Severity::Critical), line("b", Severity::Critical)]).await;
    world
        .edit(world.finding("b").await.id, Edit::SetSeverity { severity: Severity::Low, reason: None })
        .await;
    let rule_id = Noun::Rule.id(rule.id).to_string();
    let input = json!({ "of": { "rule": { "rule": rule_id } }, "turnOff": true, "reason": "Too broad." });

    let preview = "query($input: RuleRevokeInput!) { ruleRevokePreview(input: $input) {
        previewId asOf total evaluated truncated counts { outcome count }
        rows(outcomes: [RESTORED], first: 1) { totalCount pageInfo { hasNextPage }
            edges { outcome changes { field before after layer } node { title } } } } }";
    let told = wire.ask(preview, json!({ "input": input })).await["ruleRevokePreview"].clone();
    assert_eq!(
        (&told["total"], &told["evaluated"], &told["truncated"]),
        (&json!(2), &json!(2), &json!(false))
    );
    assert_eq!(told["counts"][0], json!({ "outcome": "RESTORED", "count": 1 }));
    let row = &told["rows"]["edges"][0];
    assert_eq!((&told["rows"]["totalCount"], &row["node"]["title"]), (&json!(1), &json!("a")));
    let change = json!([{ "field": "severity", "before": "high", "after": "critical", "layer": "SCANNER" }]);
    assert_eq!(row["changes"], change);

    // Its other pages are of the same moment, whatever happens meanwhile; for who asked alone.
    let again = "query($id: ID!) { ruleRevokePreviewed(previewId: $id) { asOf
        rows(first: 9) { totalCount edges { outcome node { title severity } } } } }";
    let page = wire.ask(again, json!({ "id": told["previewId"] })).await["ruleRevokePreviewed"].clone();
    let a = world.finding("a").await.id;
    world.edit(a, Edit::SetSeverity { severity: Severity::Info, reason: None }).await;
    let after = wire.ask(again, json!({ "id": told["previewId"] })).await["ruleRevokePreviewed"].clone();
    assert_eq!(after, page);
    assert_eq!((&page["rows"]["totalCount"], &page["asOf"]), (&json!(2), &told["asOf"]));
    world.edit(a, Edit::Release { fields: vec!["severity".to_owned()] }).await;
    let others = wire.with(&world.acme.person(Role::Admin).token);
    let refused = async |who: &Wire, id: &Json| {
        let answer = who.answer(again, json!({ "id": id })).await;
        answer["errors"][0]["extensions"]["code"].clone()
    };
    assert_eq!(refused(&others, &told["previewId"]).await, "NOT_FOUND");
    assert_eq!(refused(&wire, &json!("x")).await, "NOT_FOUND");
    world.clock.advance(Span(15 * Span::MINUTE.0));
    assert_eq!(refused(&wire, &told["previewId"]).await, "NOT_FOUND");

    let done = wire.done(REVOKE, json!({ "input": input, "key": "once" })).await;
    let job = &done["job"];
    assert_eq!(
        (&job["state"], &job["mode"], &job["reason"], &job["turnedOff"]),
        (&json!("COMPLETED"), &json!("SAFE"), &json!("Too broad."), &json!(true))
    );
    assert_eq!(job["rule"], json!({ "name": "Down", "mode": "OFF", "exempted": 1 }));
    assert_eq!(job["outcomes"]["totalCount"], 2);
    let edges = job["outcomes"]["edges"].as_array().unwrap();
    let of = |title: &str| edges.iter().find(|edge| edge["node"]["title"] == title).unwrap();
    assert_eq!((&of("a")["outcome"], &of("a")["restored"]), (&json!("RESTORED"), &json!(["severity"])));
    assert_eq!(of("a")["application"]["standing"], "SILENT");
    assert_eq!(
        of("b")["conflicts"],
        json!([{ "field": "severity", "element": null,
                 "above": [{ "layer": "HUMAN", "by": { "name": "Acme ANALYST" } }] }])
    );
    let again = wire.done(REVOKE, json!({ "input": input, "key": "once" })).await;
    assert_eq!(again["job"]["id"], job["id"], "it happens once");

    let applications = "query($rule: ID!) { rule(id: $rule) { gone: applications(filter: { change: WITHDRAWN, observed: false }) { totalCount }
            applications(first: 9) { totalCount nodes {
            id change observed version contentHash action before after cause by { ... on User { name } }
            finding { title } rule { name } revoke { id } standing } }
            observed { turns findings } viewerCan { revoke { allowed } setCompanyMode { allowed reason } } }
        ruleApplications(filter: { rule: $rule, change: WITHDRAWN }) { totalCount nodes { id } } }";
    let told = wire.ask(applications, json!({ "rule": rule_id })).await;
    let list = &told["rule"]["applications"];
    assert_eq!((&list["totalCount"], &told["rule"]["gone"]["totalCount"]), (&json!(3), &json!(1)));
    let newest = &list["nodes"][0];
    assert_eq!(told["ruleApplications"]["nodes"], json!([{ "id": newest["id"] }]));
    assert_eq!((&newest["change"], &newest["revoke"]["id"]), (&json!("WITHDRAWN"), &job["id"]));
    assert_eq!(
        (&newest["after"], &newest["action"]),
        (&json!({ "severity": "critical" }), &make(Severity::High))
    );
    assert_eq!(newest["by"]["name"], "Acme AUTHOR");
    assert_eq!(told["rule"]["viewerCan"]["revoke"]["allowed"], true);
    assert_eq!(told["rule"]["viewerCan"]["setCompanyMode"]["allowed"], false);

    let follow = json!({ "of": { "followUp": { "job": job["id"] } }, "mode": "FORCE", "sweep": true });
    let done = wire.done(REVOKE, json!({ "input": follow })).await;
    assert_eq!(done["job"]["outcomes"]["edges"][0]["node"], json!({ "title": "b", "severity": "CRITICAL" }));
    assert!(done["job"]["sweep"].is_object(), "it begins with the end of the revoke");
    let nothing = wire.try_do(REVOKE, json!({ "input": { "of": { "application": "x" } } })).await;
    let error = &nothing["userErrors"][0];
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("NOT_FOUND"), &json!(["input", "of", "application"]))
    );
}
