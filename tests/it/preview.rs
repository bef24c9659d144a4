//! What a rule would do is told before it does, writes nothing, and comes true.

use std::collections::BTreeMap;

use domain::access::Role;
use domain::error::Code;
use domain::finding::edit::Edit;
use domain::finding::layers::Layer;
use domain::finding::shown::Shown;
use domain::page::PageArgs;
use domain::rule::RuleDraft;
use domain::rule::pass::Mode;
use domain::rule::preview::{Preview, Reach, Tried};
use domain::vocabulary::criteria::Outcome;
use domain::vocabulary::terms::Severity::{Critical, High, Low, Medium};
use domain::vocabulary::terms::{Severity, Status};
use domain::vocabulary::time::Span;
use serde_json::{Value as Json, json};
use support::{Wire, World, draft, on_both};
use uuid::Uuid;

on_both!(
    what_is_previewed_comes_true_and_writes_nothing,
    a_rule_that_holds_is_compared_with_its_silence,
    what_follows_at_later_rules_is_told,
    pages_come_from_one_snapshot,
    the_newest_are_tried,
    drafts_are_refused_with_the_place,
    a_preview_is_read_over_the_wire,
);

fn line(reference: &str, severity: Severity) -> Json {
    json!({ "scanner_reference": reference, "title": reference, "asset": "web-01", "severity": severity })
}

fn is(severity: Severity) -> Json {
    json!({ "field": "severity", "operator": "eq", "value": severity })
}

fn make(severity: Severity) -> Json {
    json!({ "type": "override_severity", "config": { "severity": severity } })
}

fn unkept(draft: RuleDraft) -> Tried {
    Tried::Draft { of: None, draft: Box::new(draft) }
}

/// The rows by the title of their finding: the changes as `field: before -> after`.
fn told(preview: &Preview) -> BTreeMap<String, Vec<String>> {
    let page = preview.rows(false, &PageArgs::first(500)).unwrap();
    let change = |c: &domain::rule::preview::FieldChange| format!("{}: {} -> {}", c.field, c.before, c.after);
    page.nodes()
        .map(|row| {
            let title = preview.finding(row).shown.title.clone();
            (title, row.changes.iter().map(change).collect())
        })
        .collect()
}

/// What every finding shows.
async fn shown(world: &World) -> BTreeMap<Uuid, Json> {
    let findings = world.findings(world.acme.admin(), None).await;
    let fields = ["title", "severity", "status", "tags", "assigned_users"];
    let all = |shown: &Shown| Json::from_iter(fields.map(|field| (field, shown.json(field))));
    findings.into_iter().map(|finding| (finding.id, all(&finding.shown))).collect()
}

async fn what_is_previewed_comes_true_and_writes_nothing(world: &World) {
    let actor = world.acme.author();
    let tag = json!({ "type": "append_tag", "config": { "tags": ["late"] } });
    world.rule("High is late", 50, is(High), tag).await;
    let lines = [line("a", Critical), line("b", High), line("c", Critical), line("d", Low)];
    world.import_lines(&lines).await;
    let settled = world.finding("c").await;
    world.edit(settled.id, Edit::SetSeverity { severity: Critical, reason: None }).await;
    let closed = world.finding("d").await;
    let status = Edit::SetStatus { status: Status::FalsePositive, reason: Some("a test".to_owned()) };
    world.edit(closed.id, status).await;

    let wanted = draft("Down", 10, is(Critical), make(High));
    let before = (world.contents().await, shown(world).await);
    let preview = world.domain.rule_preview(actor, unkept(wanted.clone()), Reach::Preview).await.unwrap();
    assert!(world.contents().await == before.0, "a preview writes nothing");

    let rows = told(&preview);
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(rows["a"], [r#"severity: "critical" -> "high""#, r#"tags: [] -> ["late"]"#]);
    assert!(rows["c"].is_empty(), "what a person settled does not change");
    let totals = &preview.totals;
    assert_eq!((totals.evaluated, totals.matched, totals.changed, totals.errors), (3, 2, 1, 0));
    assert_eq!(totals.severities, BTreeMap::from([(Critical, (2, 1)), (High, (0, 1))]));
    assert_eq!(totals.statuses, BTreeMap::from([(Status::Open, (2, 2))]));
    assert_eq!(totals.fields, BTreeMap::from([("severity", 1), ("tags", 1)]));
    assert_eq!((preview.active, preview.truncated), (3, false));

    // What was said comes true, of the findings that were named and of no other.
    world.domain.rule_create(actor, wanted).await.unwrap();
    world.sweep().await;
    let after = shown(world).await;
    let page = preview.rows(true, &PageArgs::first(500)).unwrap();
    let mut expected = before.1;
    for row in page.nodes() {
        let finding = expected.get_mut(&preview.finding(row).id).unwrap();
        for change in &row.changes {
            assert_eq!(finding[change.field], change.before);
            finding[change.field] = change.after.clone();
        }
    }
    assert_eq!(after, expected);
}

async fn a_rule_that_holds_is_compared_with_its_silence(world: &World) {
    let actor = world.acme.author();
    let rule = world.rule("Down", 10, is(Critical), make(High)).await;
    world.import_lines(&[line("a", Critical), line("b", High)]).await;
    let kept = world.domain.rule_preview(actor, Tried::Kept(rule.id), Reach::Preview).await.unwrap();
    let rows = told(&kept);
    assert_eq!(
        rows,
        BTreeMap::from([("a".to_owned(), vec![r#"severity: "critical" -> "high""#.to_owned()])])
    );
    let page = kept.rows(false, &PageArgs::first(1)).unwrap();
    let row = page.nodes().next().unwrap();
    assert_eq!(row.messages, ["Rule 'Down': severity critical to high"]);
    assert_eq!(row.changes[0].by.map(|source| (source.layer, source.by)), Some((Layer::Rule, rule.id)));

    // A draft of it is tried in its place: what the rule says now does not count.
    let wider =
        draft("Down", 10, json!({ "field": "severity", "operator": "gte_ord", "value": "high" }), make(Low));
    let instead = Tried::Draft { of: Some(rule.id), draft: Box::new(wider) };
    let rows = told(&world.domain.rule_preview(actor, instead, Reach::Preview).await.unwrap());
    assert_eq!(rows["a"], [r#"severity: "critical" -> "low""#]);
    assert_eq!(rows["b"], [r#"severity: "high" -> "low""#]);

    // An explanation sees what earlier rules had left.
    let later = draft("Later", 20, is(Critical), make(Medium));
    let later = world.domain.rule_preview(actor, unkept(later), Reach::Preview).await.unwrap();
    assert_eq!(later.totals.matched, 0, "there is no critical finding left for it");
    let a = world.finding("a").await;
    let why = later.explain(a.id).unwrap();
    assert_eq!(why.outcome(), Outcome::False);
    assert_eq!(why.leaves()[0].seen, json!("high"));
    assert!(later.explain(Uuid::nil()).is_none());
}

async fn what_follows_at_later_rules_is_told(world: &World) {
    let actor = world.acme.author();
    let urgent = world.rule("Critical is urgent", 50, is(Critical), make(Severity::Urgent)).await;
    world.import_lines(&[line("a", Critical), line("b", High)]).await;
    assert_eq!(world.finding("a").await.shown.severity, Severity::Urgent);
    // Down first, and the later rule has nothing to say any more.
    let down = draft("Down", 10, is(Critical), make(Low));
    let preview = world.domain.rule_preview(actor, unkept(down), Reach::Preview).await.unwrap();
    assert_eq!(told(&preview)["a"], [r#"severity: "urgent" -> "low""#]);
    // Up first, and the later rule speaks on top.
    let up = draft("Up", 10, is(High), make(Critical));
    let preview = world.domain.rule_preview(actor, unkept(up), Reach::Preview).await.unwrap();
    let page = preview.rows(false, &PageArgs::first(9)).unwrap();
    let row = page.nodes().next().unwrap();
    assert_eq!(told(&preview)["b"], [r#"severity: "high" -> "urgent""#]);
    assert_eq!(row.changes[0].by.map(|source| source.by), Some(urgent.id));
    assert!(row.messages.is_empty(), "it is not this rule's badge");
}

async fn pages_come_from_one_snapshot(world: &World) {
    let domain = &world.domain;
    let actor = world.acme.author();
    let lines: Vec<Json> = (0..7).map(|n| line(&format!("f{n}"), Critical)).collect();
    world.import_lines(&lines).await;
    let tried = unkept(draft("Down", 10, is(Critical), make(High)));
    let id = domain.rule_preview(actor, tried, Reach::Affected).await.unwrap().ticket.id;
    let first = domain.rule_previewed(actor, id).unwrap();
    let first = first.rows(true, &PageArgs::first(3)).unwrap();
    assert!(first.has_next);
    let after = first.edges.last().map(|edge| edge.cursor.clone());

    world.import_lines(&lines[..2]).await;
    let kept = domain.rule_previewed(actor, id).unwrap();
    let rest = kept.rows(true, &PageArgs { first: Some(9), after, ..PageArgs::default() }).unwrap();
    assert_eq!((rest.edges.len(), rest.has_next, rest.has_previous), (4, false, true));
    assert!(rest.edges.iter().all(|edge| kept.finding(edge.node).shown.status == Status::Open));
    let last = kept.rows(true, &PageArgs { last: Some(2), ..PageArgs::default() }).unwrap();
    assert_eq!(last.edges[1].cursor, rest.edges[3].cursor);

    // Another person has another portfolio, and another company nothing of it at all.
    let strangers = [world.acme.admin(), &world.acme.narrow.actor, world.globex.author()];
    for stranger in strangers {
        assert_eq!(domain.rule_previewed(stranger, id).unwrap_err().code, Code::NotFound);
    }
    world.clock.advance(Span::DAY);
    assert_eq!(domain.rule_previewed(actor, id).unwrap_err().code, Code::NotFound);
}

async fn the_newest_are_tried(world: &World) {
    let lines: Vec<Json> = (0..510).map(|n| line(&format!("f{n}"), Critical)).collect();
    world.import_lines(&lines).await;
    let rule = world.rule(
        "Accept",
        10,
        is(Critical),
        json!({
            "type": "accepted_risk", "config": { "reason": "a test", "reference": "T-1" }
        }),
    );
    let rule = rule.await;
    world.sweep().await;
    let actor = world.acme.author();
    // What this rule accepted is active without it.
    let few = world.domain.rule_preview(actor, Tried::Kept(rule.id), Reach::Preview).await.unwrap();
    assert_eq!((few.totals.evaluated, few.totals.changed, few.active, few.truncated), (500, 500, 510, true));
    assert_eq!(few.totals.statuses[&Status::AcceptedRisk], (0, 500));
    let all = world.domain.rule_preview(actor, Tried::Kept(rule.id), Reach::Affected).await.unwrap();
    assert_eq!((all.totals.evaluated, all.active, all.truncated), (510, 510, false));
    // A narrow portfolio sees its own findings, and counts them.
    let narrow = &world.acme.narrow.actor;
    let own = world.domain.rule_preview(narrow, Tried::Kept(rule.id), Reach::Affected).await.unwrap();
    let visible = world.findings(narrow, None).await.len();
    assert_eq!(usize::try_from(own.totals.evaluated).unwrap(), visible);
    // A rule that is off is tried as if it were on.
    world.domain.rule_set_mode(actor, rule.id, None, Mode::Off).await.unwrap();
    let off = world.domain.rule_preview(actor, Tried::Kept(rule.id), Reach::Affected).await.unwrap();
    assert_eq!(off.totals.changed, 510);
    let globex = world.globex.author();
    let other = world.domain.rule_preview(globex, Tried::Kept(rule.id), Reach::Preview).await;
    assert_eq!(other.unwrap_err().code, Code::NotFound);
}

async fn drafts_are_refused_with_the_place(world: &World) {
    let actor = world.acme.author();
    let assign = |user: Uuid| json!({ "type": "assign", "config": { "users": [user], "teams": [] } });
    let always = json!({ "field": "severity", "operator": "gte_ord", "value": "info" });
    let cases = [
        (draft("", 1, is(High), make(Low)), "draft.name"),
        (draft("x", 1, always, make(Low)), "draft.criteria"),
        (draft("x", 1, json!({ "logic": "AND", "conditions": [] }), make(Low)), "draft.criteria"),
        (draft("x", 1, is(High), json!({ "type": "explode" })), "draft.action"),
        (draft("x", 1, is(High), assign(world.globex.author().id)), "draft.action.config.users"),
    ];
    for (draft, place) in cases {
        let refused = world.domain.rule_preview(actor, unkept(draft), Reach::Preview).await.unwrap_err();
        assert!(refused.field.join(".").starts_with(place), "{place}: {refused:?}");
    }
}

async fn a_preview_is_read_over_the_wire(world: &World) {
    let wire = Wire::of(world, world.acme.person(Role::Author)).await;
    world.import_lines(&[line("a", Critical), line("b", High), line("c", Critical)]).await;
    let query = "query($draft: RuleDraftInput) { rulePreview(input: { draft: $draft }) {
        previewId name limit evaluated active truncated matched changed errors
        severities { severity before after } statuses { status before after } fields { field count }
        rows(first: 1) { totalCount pageInfo { hasNextPage endCursor } edges {
            outcome messages node { id title severity } changes { field before after layer } } } } }";
    let draft = json!({ "name": "Down", "criteria": is(Critical), "action": make(High) });
    let told = wire.ask(query, json!({ "draft": draft })).await["rulePreview"].clone();
    let preview = told["previewId"].clone();
    let mut counts = told.clone();
    for gone in ["previewId", "rows"] {
        counts.as_object_mut().unwrap().remove(gone);
    }
    assert_eq!(
        counts,
        json!({
            "name": "Down", "limit": 500, "evaluated": 3, "active": 3, "truncated": false, "matched": 2,
            "changed": 2, "errors": 0, "fields": [{ "field": "severity", "count": 2 }],
            "severities": [
                { "severity": "HIGH", "before": 0, "after": 2 },
                { "severity": "CRITICAL", "before": 2, "after": 0 },
            ],
            "statuses": [{ "status": "OPEN", "before": 2, "after": 2 }],
        })
    );
    let row = &told["rows"]["edges"][0];
    assert_eq!(row["messages"], json!(["Rule 'Down': severity critical to high"]));
    assert_eq!(row["node"]["severity"], "CRITICAL", "the finding as it is");
    let change = json!([{ "field": "severity", "before": "critical", "after": "high", "layer": "RULE" }]);
    assert_eq!(row["changes"], change);
    let next = "query($id: ID!, $after: String, $finding: ID!) { rulePreviewed(previewId: $id) {
        rows(first: 9, after: $after) { totalCount edges { node { title } } pageInfo { hasNextPage } } }
        rulePreviewExplanation(previewId: $id, finding: $finding) {
            outcome conditions { field seen outcome } } }";
    let after = &told["rows"]["pageInfo"]["endCursor"];
    let variables = json!({ "id": preview, "after": after, "finding": row["node"]["id"] });
    let told = wire.ask(next, variables.clone()).await;
    let rest = &told["rulePreviewed"];
    assert_eq!(rest["rows"]["totalCount"], 2);
    assert_eq!(rest["rows"]["edges"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        told["rulePreviewExplanation"],
        json!({ "outcome": "TRUE", "conditions": [{ "field": "severity", "seen": "critical", "outcome": "TRUE" }] })
    );
    // Nobody else reads it, and without a rule there is nothing to try.
    let other = wire.with(&world.acme.person(Role::Admin).token);
    let refused = other.answer(next, variables).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "NOT_FOUND");
    let nothing = wire.answer("{ ruleAffected(input: {}) { matched } }", json!({})).await;
    assert_eq!(nothing["errors"][0]["extensions"]["code"], "REQUIRED");
}
