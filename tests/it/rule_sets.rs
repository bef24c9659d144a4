//! Rules as code: out as a document, a plan, and all of it or nothing.

use std::process::Output;

use domain::access::Role;
use domain::approval::Stage;
use domain::rule::pass::Mode;
use domain::rule::set::SetOptions;
use domain::rule::set::document::Notation;
use domain::rule::set::plan::Step;
use domain::rule::{Rule, RuleDraft};
use serde_json::{Value as Json, json};
use support::{Wire, World, draft, on_both};

use crate::crash::process::countersign;

on_both!(
    a_document_comes_back_as_it_went,
    a_plan_says_what_differs_and_is_done_once,
    what_is_gated_becomes_a_draft_and_is_submitted,
    hundreds_are_written_together,
    all_faults_come_at_once_and_nothing_is_written,
    who_may_do_what_with_a_set,
    the_command_exports_plans_and_applies,
);

const PLAN: &str = "query($document: String!, $options: RuleSetOptionsInput!) { ruleSetPlan(document: $document, options: $options) {
    hash steps { kind key name rule { id } changes { field before after } } faults { pointer code } } }";
const APPLY: &str =
    "mutation($document: String!, $hash: String!, $options: RuleSetOptionsInput!, $key: String) {
    ruleSetApply(document: $document, planHash: $hash, options: $options, idempotencyKey: $key) {
        plan { steps { kind } } userErrors { code field details } } }";

fn severity(of: &str) -> Json {
    json!({ "type": "override_severity", "config": { "severity": of } })
}

fn title(is: &str) -> Json {
    json!({ "field": "title", "operator": "eq", "value": is })
}

/// Two rules of Acme, and one that is archived.
async fn seeded(world: &World) {
    let author = world.acme.author();
    let keyed = |key: &str, of: RuleDraft| RuleDraft { key: Some(key.to_owned()), ..of };
    for new in [
        keyed("first", draft("First", 1, title("a: 'b' # c"), severity("low"))),
        keyed(
            "second",
            RuleDraft {
                description: Some("Two\nlines".into()),
                ..draft("Second", 2, title("b"), severity("high"))
            },
        ),
        keyed("gone", draft("Gone", 3, title("c"), severity("high"))),
    ] {
        let rule = world.domain.rule_create(author, new).await.unwrap();
        if rule.key == "gone" {
            world.domain.rule_archive(author, rule.id, None).await.unwrap();
        }
    }
}

async fn exported(world: &World, notation: Notation) -> String {
    world.domain.rule_set_export(world.acme.author(), notation).await.unwrap()
}

/// The document of the set, changed as JSON.
async fn changed(world: &World, change: impl FnOnce(&mut Vec<Json>)) -> String {
    let mut document: Json = serde_json::from_str(&exported(world, Notation::Json).await).unwrap();
    change(document["rules"].as_array_mut().unwrap());
    document.to_string()
}

async fn planned(world: &World, document: &str, options: SetOptions) -> (String, Vec<(String, Step)>) {
    let plan = world.domain.rule_set_plan(world.acme.author(), document, options).await.unwrap().unwrap();
    (plan.hash, plan.planned.into_iter().map(|one| (one.key, one.step)).collect())
}

async fn applied(world: &World, document: &str, options: SetOptions) {
    let (hash, _) = planned(world, document, options).await;
    world.domain.rule_set_apply(world.acme.author(), document, options, &hash).await.unwrap();
}

async fn a_document_comes_back_as_it_went(world: &World) {
    seeded(world).await;
    for notation in [Notation::Yaml, Notation::Json] {
        let text = exported(world, notation).await;
        let (_, steps) = planned(world, &text, SetOptions { prune: true, submit: true }).await;
        assert_eq!(
            steps,
            [("first".to_owned(), Step::Unchanged), ("second".to_owned(), Step::Unchanged)],
            "{text}"
        );
        // In a company without rules it makes the same.
        let globex = world.globex.author();
        let there = world.domain.rule_set_plan(globex, &text, SetOptions::default()).await.unwrap().unwrap();
        assert!(there.planned.iter().all(|one| one.step == Step::Create));
    }
    let text = exported(world, Notation::Yaml).await;
    let globex = world.globex.author();
    let plan = world.domain.rule_set_plan(globex, &text, SetOptions::default()).await.unwrap().unwrap();
    world.domain.rule_set_apply(globex, &text, SetOptions::default(), &plan.hash).await.unwrap();
    assert_eq!(world.domain.rule_set_export(globex, Notation::Yaml).await.unwrap(), text);
    world.assert_ledger_whole().await;
}

async fn a_plan_says_what_differs_and_is_done_once(world: &World) {
    seeded(world).await;
    let wire = Wire::of(world, world.acme.person(Role::Author)).await;
    let document = changed(world, |rules| {
        rules[1]["order"] = json!(20);
        rules[1].as_object_mut().unwrap().remove("description");
        rules.remove(0);
        rules.push(json!({ "key": "third", "name": "Third", "mode": "OBSERVE", "criteria": title("d"), "action": severity("low") }));
    })
    .await;
    let options = json!({ "prune": true, "submit": false });
    let plan =
        wire.ask(PLAN, json!({ "document": document, "options": options })).await["ruleSetPlan"].clone();
    let steps: Vec<(&str, &str)> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["kind"].as_str().unwrap(), step["key"].as_str().unwrap()))
        .collect();
    assert_eq!(steps, [("CHANGE", "second"), ("CREATE", "third"), ("ARCHIVE", "first")]);
    assert_eq!(
        plan["steps"][0]["changes"],
        json!([{ "field": "description", "before": "Two\nlines", "after": null }, { "field": "order", "before": 2, "after": 20 }])
    );
    // Without being asked nothing is archived, and that is another plan.
    let left =
        wire.ask(PLAN, json!({ "document": document, "options": { "prune": false } })).await["ruleSetPlan"]
            .clone();
    assert_eq!((&left["steps"][2]["kind"], left["hash"] == plan["hash"]), (&json!("LEFT"), false));
    let refused =
        wire.try_do(APPLY, json!({ "document": document, "hash": left["hash"], "options": options })).await;
    assert_eq!(refused["userErrors"][0]["code"], "CONFLICT");

    let stood = world.ledger().await;
    let variables = json!({ "document": document, "hash": plan["hash"], "options": options, "key": "once" });
    let done = wire.done(APPLY, variables.clone()).await;
    assert_eq!(done["plan"]["steps"].as_array().unwrap().len(), 3);
    let stands = world.ledger().await;
    assert_eq!(stands.0 - stood.0, 4, "three rules, and the set itself");
    let again = wire.done(APPLY, variables).await;
    let kinds: Vec<&str> = again["plan"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["kind"].as_str().unwrap())
        .collect();
    assert_eq!((kinds, world.ledger().await), (vec!["UNCHANGED", "UNCHANGED"], stands));
    // A rule that somebody touched makes it another plan.
    let (hash, _) = planned(world, &document, SetOptions::default()).await;
    let third = world
        .domain
        .rules(world.acme.author(), &Default::default(), &domain::page::PageArgs::first(9))
        .await
        .unwrap();
    let third = third.nodes().find(|rule| rule.key == "third").unwrap();
    world.domain.rule_set_mode(world.acme.author(), third.id, None, Mode::Off).await.unwrap();
    let late =
        world.domain.rule_set_apply(world.acme.author(), &document, SetOptions::default(), &hash).await;
    assert_eq!(late.unwrap_err().code, domain::error::Code::Conflict);
    world.assert_ledger_whole().await;
}

async fn what_is_gated_becomes_a_draft_and_is_submitted(world: &World) {
    let author = world.acme.author();
    let gated = json!({ "key": "gated", "name": "Gated", "mode": "ENFORCE", "requires_approval": true, "criteria": title("a"), "action": severity("low") });
    let document = |rule: &Json| json!({ "format": "countersign/rules/1", "rules": [rule] }).to_string();
    applied(world, &document(&gated), SetOptions::default()).await;
    let rules =
        world.domain.rules(author, &Default::default(), &domain::page::PageArgs::first(9)).await.unwrap();
    let rule = rules.nodes().next().unwrap();
    assert!(rule.live.is_none(), "nobody approved it");
    // The same document again has nothing to do: its draft says so already.
    assert_eq!(
        planned(world, &document(&gated), SetOptions::default()).await.1,
        [("gated".to_owned(), Step::Unchanged)]
    );
    let mut other = gated.clone();
    other["order"] = json!(7);
    applied(world, &document(&other), SetOptions { submit: true, prune: false }).await;
    let drafted = world.domain.rule_drafts(author, &[rule.id]).await.unwrap().remove(&rule.id).unwrap();
    let approval =
        world.domain.approvals(author, &Default::default(), &domain::page::PageArgs::first(9)).await.unwrap();
    let approval = approval.nodes().next().unwrap();
    assert_eq!(
        (approval.stage, approval.subject.id(), approval.content_hash.as_str()),
        (Stage::Pending, rule.id, drafted.content_hash.as_str())
    );
    assert!(approval.blast.count.is_some());
    let own = world.domain.approval_approve(author, approval.id, &approval.content_hash, None).await;
    assert!(own.is_err(), "an author does not approve a set either");
    world.assert_ledger_whole().await;
}

/// Every tenth of three hundred rules is gated: all are made, then changed, and then some are put away.
async fn hundreds_are_written_together(world: &World) {
    const RULES: usize = 300;
    let (domain, author) = (&world.domain, world.acme.author());
    let document = |rules: usize, order: usize| {
        let rule = |at: usize| {
            json!({ "key": format!("rule-{at}"), "name": format!("Rule {at}"), "mode": "ENFORCE", "order": order + at,
                    "requires_approval": at.is_multiple_of(10), "criteria": title(&format!("t{at}")), "action": severity("low") })
        };
        let rules: Vec<Json> = (0..rules).map(rule).collect();
        json!({ "format": "countersign/rules/1", "rules": rules }).to_string()
    };
    let all = async || {
        let filter = domain::rule::RuleFilter { archived: true, ..Default::default() };
        let page = domain.rules(author, &filter, &domain::page::PageArgs::first(500)).await.unwrap();
        let mut rules: Vec<Rule> = page.nodes().collect();
        rules.sort_by_key(|rule| rule.key["rule-".len()..].parse::<usize>().unwrap());
        rules
    };
    let stood = world.ledger().await.0;
    applied(world, &document(RULES, 0), SetOptions::default()).await;
    assert_eq!(world.ledger().await.0 - stood, RULES as i64 + 1, "each is told, and the set itself");
    let made = all().await;
    assert_eq!(made.len(), RULES);
    for (at, rule) in made.iter().enumerate() {
        assert_eq!((rule.live.is_some(), rule.gated), (at % 10 != 0, at % 10 == 0), "{}", rule.key);
        assert_eq!((rule.content.order, rule.version), (at as i32, 1));
    }
    // One has a draft that nobody gates: what the document says goes live, and the draft is given up.
    let once = domain.rule_set_order(author, made[1].id, None, 5_000).await.unwrap();
    domain.rule_restore(author, made[1].id, once.version, 1).await.unwrap();

    let kept = RULES - 50;
    let options = SetOptions { prune: true, submit: true };
    applied(world, &document(kept, 1_000), options).await;
    let ids: Vec<uuid::Uuid> = made.iter().map(|rule| rule.id).collect();
    let drafts = domain.rule_drafts(author, &ids).await.unwrap();
    for (at, rule) in all().await.into_iter().enumerate() {
        let moved = (1_000 + at) as i32;
        let draft = drafts.get(&rule.id).map(|draft| draft.content.order);
        if at >= kept {
            assert_eq!(
                (rule.archived_at.is_some(), rule.mode, draft),
                (true, Mode::Off, None),
                "{}",
                rule.key
            );
        } else if at % 10 == 0 {
            assert_eq!((rule.live, draft), (None, Some(moved)), "{}", rule.key);
        } else {
            let live = rule.live.map(|live| live.version);
            assert_eq!((rule.content.order, live, draft), (moved, Some(rule.version), None), "{}", rule.key);
        }
    }
    let waiting = domain.approval_count(author, &Default::default()).await.unwrap();
    assert_eq!(waiting, (kept as i64 + 9) / 10);
    let history = domain.rule_versions(author, made[2].id, &domain::page::PageArgs::first(9)).await.unwrap();
    assert_eq!(history.nodes().map(|version| version.live).collect::<Vec<_>>(), [true, true]);
    world.assert_ledger_whole().await;
}

async fn all_faults_come_at_once_and_nothing_is_written(world: &World) {
    seeded(world).await;
    let stood = world.ledger().await;
    let wire = Wire::of(world, world.acme.person(Role::Author)).await;
    let stranger = world.globex.team;
    let document = json!({ "format": "countersign/rules/1", "rules": [
        { "key": "fine", "name": "Fine", "criteria": title("x"), "action": severity("low") },
        { "key": "bad", "name": " ", "criteria": { "field": "severity", "operator": "eq", "value": "dire" }, "action": severity("none") },
        { "key": "all", "name": "All", "criteria": { "field": "severity", "operator": "gte_ord", "value": "info" }, "action": severity("low") },
        { "key": "theirs", "name": "Theirs", "criteria": title("x"), "action": { "type": "assign", "config": { "teams": [stranger] } } },
    ] })
    .to_string();
    let plan = wire.ask(PLAN, json!({ "document": document, "options": {} })).await["ruleSetPlan"].clone();
    let pointers: Vec<&str> =
        plan["faults"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(
        pointers,
        [
            "/rules/1/name",
            "/rules/1/criteria/value",
            "/rules/1/action/config/severity",
            "/rules/2/criteria",
            "/rules/3/action/config/teams"
        ],
        "{plan}"
    );
    assert_eq!((&plan["hash"], &plan["steps"]), (&Json::Null, &json!([])));
    let refused =
        wire.try_do(APPLY, json!({ "document": document, "hash": "x", "options": {} })).await["userErrors"]
            [0]
        .clone();
    assert_eq!(
        (&refused["field"][0], refused["details"]["faults"].as_array().map(Vec::len)),
        (&json!("document"), Some(5)),
        "{refused}"
    );
    let archived = json!({ "format": "countersign/rules/1",
        "rules": [{ "key": "gone", "name": "Gone", "criteria": title("x"), "action": severity("low") }] })
    .to_string();
    let plan = wire.ask(PLAN, json!({ "document": archived, "options": {} })).await["ruleSetPlan"].clone();
    assert_eq!(plan["faults"], json!([{ "pointer": "/rules/0/key", "code": "TAKEN" }]));
    let plan = wire.ask(PLAN, json!({ "document": "rules: [", "options": {} })).await["ruleSetPlan"].clone();
    assert_eq!(plan["faults"], json!([{ "pointer": "", "code": "INVALID" }]));
    assert_eq!(world.ledger().await, stood);
}

async fn who_may_do_what_with_a_set(world: &World) {
    seeded(world).await;
    let text = exported(world, Notation::Yaml).await;
    let analyst = world.acme.analyst();
    let plan = world.domain.rule_set_plan(analyst, &text, SetOptions::default()).await.unwrap().unwrap();
    let refused = world.domain.rule_set_apply(analyst, &text, SetOptions::default(), &plan.hash).await;
    assert_eq!(refused.unwrap_err().code, domain::error::Code::Forbidden);
    // Nobody takes out, or plans against, the rules of others.
    let globex = world.domain.rule_set_export(world.globex.author(), Notation::Json).await.unwrap();
    assert!(!globex.contains("First"), "{globex}");
}

async fn the_command_exports_plans_and_applies(world: &World) {
    seeded(world).await;
    let author = world.acme.person(Role::Author);
    let wire = Wire::of(world, author).await;
    let (url, token) = (wire.url(), author.token.clone());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    let path = file.to_str().unwrap().to_owned();
    let run = async |arguments: &[&str]| -> (i32, String, String) {
        let mut command = countersign();
        command.arg("rules").args(arguments).args(["--url", &url]).env("COUNTERSIGN_TOKEN", &token);
        command.stdin(std::process::Stdio::null());
        let output: Output =
            tokio::task::spawn_blocking(move || command.output().expect("the binary runs")).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, text, complaint) = run(&["export"]).await;
    assert_eq!(code, 0, "{complaint}");
    std::fs::write(&file, text.replace("order: 2", "order: 22")).unwrap();
    let (code, said, _) = run(&["plan", &path]).await;
    assert_eq!(code, 0, "{said}");
    for words in ["~ second  Second", "order: 2 -> 22", "0 to create, 1 to change, 0 to archive, 1 unchanged"]
    {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    let hash = said.lines().last().unwrap().strip_prefix("plan ").unwrap().to_owned();
    // Nobody is there to be asked.
    let (code, _, complaint) = run(&["apply", &path]).await;
    assert_eq!((code, complaint.contains("--plan")), (2, true), "{complaint}");
    let (code, said, complaint) = run(&["apply", &path, "--plan", &hash]).await;
    assert_eq!(code, 0, "{said} {complaint}");
    let (code, _, complaint) = run(&["apply", &path, "--plan", &hash]).await;
    assert_eq!((code, complaint.contains("plan again")), (2, true), "{complaint}");
    let (code, said, _) = run(&["apply", &path]).await;
    assert_eq!((code, said.contains("2 unchanged")), (0, true), "{said}");
    std::fs::write(&file, "format: countersign/rules/1\nrules: [{ key: Bad }]\n").unwrap();
    let (code, said, _) = run(&["plan", &path]).await;
    assert_eq!((code, said.contains("/rules/0/key")), (1, true), "{said}");
    wire.stop();
}
