//! Rules that take a second person: nobody approves what they wrote, an approval is of what was seen,
//! and what nobody approved is never evaluated.

use std::collections::BTreeMap;

use domain::access::{Actor, Portfolio, Role};
use domain::approval::{ApprovalFilter, Stage};
use domain::error::Code;
use domain::inventory::token::{Holder, NewToken};
use domain::page::PageArgs;
use domain::rule::pass::Mode;
use domain::rule::{Rule, RuleDraft};
use domain::vocabulary::terms::Severity::{self, Critical, High, Low, Medium};
use domain::vocabulary::time::{Span, Timestamp};
use serde_json::{Value as Json, json};
use support::{Wire, World, draft, on_both};
use uuid::Uuid;

on_both!(
    nobody_approves_what_they_wrote,
    an_edit_goes_on_beside_the_live_version,
    the_gate_is_gated,
    approving_races_editing,
    a_rejection_and_a_restored_version,
    a_restored_version_is_a_draft_without_a_gate_too,
    two_have_to_agree,
    an_emergency_ends_without_a_review,
    deputies_vote_for_who_is_away,
    the_clock_reminds_and_ends,
    the_queue_is_watched,
    keys_are_unique_and_stay,
);

fn is(severity: Severity) -> Json {
    json!({ "field": "severity", "operator": "eq", "value": severity })
}

fn make(severity: Severity) -> Json {
    json!({ "type": "override_severity", "config": { "severity": severity } })
}

fn line(reference: &str, severity: Severity) -> Json {
    json!({ "scanner_reference": reference, "title": reference, "asset": "web-01", "severity": severity })
}

fn gated(name: &str, criteria: Json, action: Json) -> RuleDraft {
    RuleDraft { requires_approval: true, ..draft(name, 1, criteria, action) }
}

fn approver(world: &World) -> &Actor {
    &world.acme.person(Role::Approver).actor
}

/// What a kept rule says with another action.
fn acting(rule: &Rule, action: Json) -> RuleDraft {
    RuleDraft { action, ..RuleDraft::of(rule) }
}

/// A gated rule that went live by the author's word and the approver's.
async fn approved(world: &World, name: &str, criteria: Json, action: Json) -> Rule {
    let (domain, author) = (&world.domain, world.acme.author());
    let rule = domain.rule_create(author, gated(name, criteria, action)).await.unwrap();
    assert_eq!(rule.live, None);
    let asked = domain.rule_submit(author, rule.id, rule.version).await.unwrap();
    let done = domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await.unwrap();
    assert_eq!(done.stage, Stage::Approved);
    domain.rule(author, rule.id).await.unwrap()
}

/// What findings show, by their title.
async fn severities(world: &World) -> BTreeMap<String, Severity> {
    let found = world.findings(world.acme.admin(), None).await;
    found.into_iter().map(|finding| (finding.shown.title.clone(), finding.shown.severity)).collect()
}

async fn nobody_approves_what_they_wrote(world: &World) {
    let (domain, admin) = (&world.domain, world.acme.admin());
    let ann = world.join("ann", Role::Admin).await.actor;
    let bob = world.join("bob", Role::Admin).await.actor;
    let rule = domain.rule_create(&ann, gated("one", is(Critical), make(High))).await.unwrap();
    // Bob is the last editor, Ann the author: neither decides.
    let rule = domain.rule_update(&bob, rule.id, rule.version, acting(&rule, make(Medium))).await.unwrap();
    let asked = domain.rule_submit(&bob, rule.id, rule.version).await.unwrap();
    let token = |holder, name: &str| NewToken { holder, name: name.into(), scopes: None, life: None };
    // Through another token, and through a program whose token they made.
    let (_, second) = domain.token_create(&ann, token(None, "second")).await.unwrap();
    let second = domain.authenticate(second.reveal(), None, None).await.unwrap();
    let account = domain.service_account_create(admin, "robot", Role::Admin, Portfolio::Whole).await.unwrap();
    let holder = Some(Holder::ServiceAccount(account.id));
    let (_, robot) = domain.token_create(&bob, token(holder, "robot")).await.unwrap();
    let robot = domain.authenticate(robot.reveal(), None, None).await.unwrap();
    let until = world.clock.now().plus(Span::HOUR);
    for who in [&ann, &bob, &second, &robot] {
        let hash = &asked.content_hash;
        let codes = [
            domain.approval_approve(who, asked.id, hash, None).await.unwrap_err().code,
            domain.approval_reject(who, asked.id, "no").await.unwrap_err().code,
            domain.approval_approve_emergency(who, asked.id, hash, "now", until).await.unwrap_err().code,
        ];
        assert_eq!(codes, [Code::SelfApproval; 3], "{}", who.name);
        let for_me = ApprovalFilter { for_me: true, ..ApprovalFilter::default() };
        assert_eq!(domain.approval_count(who, &for_me).await.unwrap(), 0, "{}", who.name);
    }
    // Another admin is a second person; so is the robot whose token a third one made.
    let (_, theirs) = domain.token_create(admin, token(holder, "theirs")).await.unwrap();
    let theirs = domain.authenticate(theirs.reveal(), None, None).await.unwrap();
    let done = domain.approval_approve(&theirs, asked.id, &asked.content_hash, None).await.unwrap();
    assert_eq!(done.stage, Stage::Approved);
}

async fn an_edit_goes_on_beside_the_live_version(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let rule = approved(world, "down", is(Critical), make(High)).await;
    let drafted = domain.rule_update(author, rule.id, rule.version, acting(&rule, make(Low))).await.unwrap();
    let asked = domain.rule_submit(author, rule.id, drafted.version).await.unwrap();
    assert_eq!(
        domain.rule_submit(author, rule.id, drafted.version).await.unwrap_err().code,
        Code::IllegalState
    );
    // Another edit takes the question back: what was asked for is no longer what the draft says.
    let redrafted =
        domain.rule_update(author, rule.id, drafted.version, acting(&drafted, make(Medium))).await.unwrap();
    let now = domain.approval(author, asked.id).await.unwrap();
    assert_eq!(now.stage, Stage::Withdrawn);
    let refused = domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await;
    assert_eq!(refused.unwrap_err().code, Code::IllegalState);
    // Words alone bind nothing, and go live at once.
    let again = domain.rule_as_drafted(author, rule.id).await.unwrap();
    assert_eq!(again.content.action, redrafted_action(&again));
    let renamed = RuleDraft { name: "Down".into(), ..RuleDraft::of(&rule) };
    let after = domain.rule_update(author, rule.id, redrafted.version, renamed).await.unwrap();
    assert_eq!((after.content.name.as_str(), after.live), ("Down", rule.live));
    assert!(domain.rule_drafts(author, &[rule.id]).await.unwrap().is_empty(), "it says what is live");
    // Turning a rule off takes nobody else, and neither does turning it on again.
    for mode in [Mode::Off, Mode::Enforce] {
        let set = domain.rule_set_mode(author, rule.id, None, mode).await.unwrap();
        assert_eq!((set.mode, set.live), (mode, rule.live));
    }
    // Its place in the walk does.
    let moved = domain.rule_set_order(author, rule.id, None, 7).await.unwrap();
    assert_eq!(moved.content.order, 1);
    let draft = domain.rule_drafts(author, &[rule.id]).await.unwrap().remove(&rule.id).unwrap();
    assert_eq!(draft.content.order, 7);
    let given_up = domain.rule_discard_draft(author, rule.id, Some(moved.version)).await.unwrap();
    assert_eq!(given_up.content, after.content);
    assert!(domain.rule_drafts(author, &[rule.id]).await.unwrap().is_empty());
}

fn redrafted_action(rule: &Rule) -> domain::rule::action::Action {
    assert_eq!(serde_json::to_value(&rule.content.action).unwrap(), make(Medium));
    rule.content.action.clone()
}

async fn the_gate_is_gated(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let open = |rule: &Rule| RuleDraft { requires_approval: false, ..RuleDraft::of(rule) };
    // Before its first approval, and after it.
    let never = domain.rule_create(author, gated("never", is(Low), make(Medium))).await.unwrap();
    let once = approved(world, "once", is(Critical), make(High)).await;
    for rule in [never, once] {
        let mut at = domain.rule_update(author, rule.id, rule.version, open(&rule)).await.unwrap();
        // Once more: the draft's own word does not open the gate.
        let words = RuleDraft { order: 9, ..open(&at) };
        at = domain.rule_update(author, rule.id, at.version, words).await.unwrap();
        assert!(at.gated && at.live == rule.live, "{}", rule.content.name);
        let asked = domain.rule_submit(author, rule.id, at.version).await.unwrap();
        domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await.unwrap();
        let at = domain.rule(author, rule.id).await.unwrap();
        assert!(!at.gated, "{}", rule.content.name);
        let free = domain.rule_update(author, rule.id, at.version, acting(&at, make(High))).await.unwrap();
        assert_eq!(free.live.map(|live| live.version), Some(free.version));
    }
}

/// A hundred rounds, on each database, of an approval that meets an edit: one of them loses, and what
/// nobody approved is never live.
async fn approving_races_editing(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let rounds = std::env::var("COUNTERSIGN_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let rule = approved(world, "raced", is(Critical), make(High)).await;
    let other = world.start(2).await;
    let (mut approvals, mut edits) = (0, 0);
    for round in 0..rounds {
        let order = |order: i32| RuleDraft { order, ..RuleDraft::of(&rule) };
        let at = domain.rule(author, rule.id).await.unwrap();
        let shown = domain.rule_update(author, rule.id, at.version, order(100 + round)).await.unwrap();
        let asked = domain.rule_submit(author, rule.id, shown.version).await.unwrap();
        let edit = async {
            // An approval reads more before it writes: every other round the edit does too.
            for _ in 0..round % 2 * 12 {
                domain.rule_as_drafted(author, rule.id).await?;
            }
            domain.rule_update(author, rule.id, shown.version, order(100_000 + round)).await
        };
        let (approved, edited) =
            tokio::join!(other.approval_approve(approver(world), asked.id, &asked.content_hash, None), edit,);
        let at = domain.rule(author, rule.id).await.unwrap();
        match (approved, edited) {
            (Ok(_), Err(lost)) => {
                approvals += 1;
                assert_eq!(lost.code, Code::Conflict);
                assert_eq!(at.content.order, 100 + round);
            }
            (Err(lost), Ok(_)) => {
                edits += 1;
                assert!([Code::IllegalState, Code::Conflict].contains(&lost.code), "{lost}");
                assert_ne!(at.content.order, 100_000 + round, "nobody approved it");
            }
            other => panic!("{other:?}"),
        }
        assert!(at.content.order < 100_000, "what nobody saw is live");
    }
    assert_eq!(approvals + edits, rounds);
    support::tell(&format!("{rounds} rounds: {approvals} approvals and {edits} edits came first"));
    let live = domain.rule_versions(author, rule.id, &PageArgs::first(500)).await.unwrap();
    for version in live.nodes().filter(|version| version.live) {
        let approval = domain.approval(author, version.approval.expect("by approval")).await.unwrap();
        assert_eq!((approval.stage, &approval.content_hash), (Stage::Approved, &version.content_hash));
    }
    world.assert_ledger_whole().await;
}

async fn a_rejection_and_a_restored_version(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let rule = approved(world, "back", is(Critical), make(High)).await;
    let drafted = domain.rule_update(author, rule.id, rule.version, acting(&rule, make(Low))).await.unwrap();
    let asked = domain.rule_submit(author, rule.id, drafted.version).await.unwrap();
    assert_eq!(
        domain.approval_reject(approver(world), asked.id, "  ").await.unwrap_err().code,
        Code::Required
    );
    let no = domain.approval_reject(approver(world), asked.id, "Too low.").await.unwrap();
    assert_eq!((no.stage, no.reason.as_deref()), (Stage::Rejected, Some("Too low.")));
    let draft = domain.rule_drafts(author, &[rule.id]).await.unwrap().remove(&rule.id).unwrap();
    assert_eq!(draft.stage, domain::rule::gate::DraftStage::Rejected);
    let asked = domain.rule_submit(author, rule.id, drafted.version).await.unwrap();
    domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await.unwrap();
    let low = domain.rule(author, rule.id).await.unwrap();
    assert_ne!(low.content_hash, rule.content_hash);
    // The old one again: as a draft, as the rule is gated.
    let restored = domain.rule_restore(author, rule.id, low.version, rule.version).await.unwrap();
    assert_eq!(restored.content_hash, low.content_hash);
    let draft = domain.rule_drafts(author, &[rule.id]).await.unwrap().remove(&rule.id).unwrap();
    assert_eq!(draft.content_hash, rule.content_hash);
    let none = domain.rule_restore(author, rule.id, restored.version, 99).await.unwrap_err();
    assert_eq!(none.code, Code::NotFound);
    // Who wrote it takes it back.
    let asked = domain.rule_submit(author, rule.id, restored.version).await.unwrap();
    assert_eq!(
        domain.approval_withdraw(world.acme.analyst(), asked.id).await.unwrap_err().code,
        Code::Forbidden
    );
    let back = domain.approval_withdraw(author, asked.id).await.unwrap();
    assert_eq!(back.stage, Stage::Withdrawn);
    // Archived, its draft goes too.
    let asked = domain.rule_submit(author, rule.id, restored.version).await.unwrap();
    domain.rule_archive(author, rule.id, None).await.unwrap();
    assert_eq!(domain.approval(author, asked.id).await.unwrap().stage, Stage::Withdrawn);
}

async fn a_restored_version_is_a_draft_without_a_gate_too(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let first = world.rule("free", 1, is(Critical), make(High)).await;
    let second =
        domain.rule_update(author, first.id, first.version, acting(&first, make(Low))).await.unwrap();
    let drafts = async || domain.rule_drafts(author, &[first.id]).await.unwrap().remove(&first.id);
    let publish = async |version: i64| domain.rule_publish(author, first.id, version).await;
    assert_eq!(publish(second.version).await.unwrap_err().code, Code::IllegalState, "there is no draft");

    let restored = domain.rule_restore(author, first.id, second.version, first.version).await.unwrap();
    assert_eq!((restored.live, &restored.content, restored.gated), (second.live, &second.content, false));
    let draft = drafts().await.unwrap();
    assert_eq!(draft.content_hash, first.content_hash);
    assert!(restored.may_publish(author, Some((&draft.content, draft.stage))).is_ok());
    world.import_lines(&[line("one", Critical)]).await;
    assert_eq!(severities(world).await["one"], Low, "the live version goes on");

    // While there is a draft, edits change it.
    let moved = domain.rule_set_order(author, first.id, Some(restored.version), 7).await.unwrap();
    let as_drafted = domain.rule_as_drafted(author, first.id).await.unwrap();
    let edited = domain.rule_update(author, first.id, moved.version, acting(&as_drafted, make(Medium))).await;
    let edited = edited.unwrap();
    assert_eq!((edited.live, &edited.content), (second.live, &second.content));
    assert_eq!(publish(moved.version).await.unwrap_err().code, Code::Conflict);
    let other = world.acme.analyst();
    assert_eq!(domain.rule_publish(other, first.id, edited.version).await.unwrap_err().code, Code::Forbidden);
    let published = publish(edited.version).await.unwrap();
    assert_eq!(published.live.map(|live| live.version), Some(published.version));
    assert_eq!((published.content.order, drafts().await.is_none()), (7, true));
    world.import_lines(&[line("one", Critical)]).await;
    assert_eq!(severities(world).await["one"], Medium);

    // What is live already makes no draft, and takes the one away that there is.
    let draft = domain.rule_restore(author, first.id, published.version, first.version).await.unwrap();
    assert!(drafts().await.is_some());
    let back = domain.rule_restore(author, first.id, draft.version, published.version).await.unwrap();
    assert_eq!((back.live, drafts().await.is_none()), (published.live, true));

    // A second person may be asked all the same; meanwhile it is not published.
    let draft = domain.rule_restore(author, first.id, back.version, first.version).await.unwrap();
    let asked = domain.rule_submit(author, first.id, draft.version).await.unwrap();
    assert_eq!(asked.reasons, ["Its author asks for it."]);
    assert_eq!(publish(draft.version).await.unwrap_err().code, Code::IllegalState);
    domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await.unwrap();
    let live = domain.rule(author, first.id).await.unwrap();
    assert_eq!((&live.content_hash, live.gated), (&first.content_hash, false));

    // A policy that gates it since it was written is asked when it is to go live.
    let draft = domain.rule_restore(author, first.id, live.version, published.version).await.unwrap();
    let every = domain::policy::Policy { rules: true, ..Default::default() };
    domain.change_policy_set(world.acme.admin(), 0, every).await.unwrap();
    assert_eq!(publish(draft.version).await.unwrap_err().code, Code::IllegalState);
    // So is the gate of a rule that says itself that it has one.
    let gated = approved(world, "gated", is(High), make(Low)).await;
    let drafted = domain.rule_update(author, gated.id, gated.version, acting(&gated, make(Medium))).await;
    let refused = domain.rule_publish(author, gated.id, drafted.unwrap().version).await.unwrap_err();
    assert_eq!(refused.code, Code::IllegalState);
    let told: Vec<String> = world.told_of(first.id).await.into_iter().map(|entry| entry.action).collect();
    let went_live = told.iter().filter(|action| *action == "rule.went_live").count();
    assert_eq!(
        (went_live, told.iter().filter(|action| *action == "rule.drafted").count()),
        (2, 6),
        "{told:?}"
    );
    world.assert_ledger_whole().await;
}

const VOTE: &str = "mutation($id: ID!, $hash: String!) { approvalApprove(id: $id, contentHash: $hash) {
    approval { stage required votes { by { ... on User { name } } onBehalfOf { ... on User { name } } } }
    userErrors { code } } }";

async fn two_have_to_agree(world: &World) {
    let author = Wire::of(world, world.acme.person(Role::Author)).await;
    let of = |role: Role| author.with(&world.acme.person(role).token);
    let (admin, carol, analyst) = (of(Role::Admin), of(Role::Approver), of(Role::Analyst));
    let dave = author.with(&world.join("Dave", Role::Approver).await.token);
    let set = "mutation($v: Int!, $quorum: Int!) { changePolicySet(expectedVersion: $v,
        input: { acceptingRisk: false, falsePositive: false, loweringCritical: false, rules: false, quorum: $quorum }) {
        changePolicy { quorum version } approval { id contentHash required reasons } userErrors { code } } }";
    let made = admin.done(set, json!({ "v": 0, "quorum": 2 })).await;
    assert_eq!(made["changePolicy"], json!({ "quorum": 2, "version": 1 }));

    let create = "mutation($input: RuleDraftInput!) { ruleCreate(input: $input) { rule { id version } userErrors { code } } }";
    let submit = "mutation($id: ID!, $v: Int!) { ruleSubmit(id: $id, expectedVersion: $v) {
        approval { id contentHash required stage } userErrors { code } } }";
    let ask = async |name: &str| {
        let input =
            json!({ "name": name, "criteria": is(Critical), "action": make(High), "requiresApproval": true });
        let rule = author.done(create, json!({ "input": input })).await["rule"].clone();
        let of = json!({ "id": rule["id"], "v": rule["version"] });
        let asked = author.done(submit, of).await["approval"].clone();
        assert_eq!((&asked["required"], &asked["stage"]), (&json!(2), &json!("PENDING")));
        json!({ "id": asked["id"], "hash": asked["contentHash"] })
    };
    let vote = async |who: &Wire, asked: &Json| {
        let answer = who.try_do(VOTE, asked.clone()).await;
        match answer["userErrors"][0]["code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => Ok(answer["approval"].clone()),
        }
    };
    let twice = Err("ILLEGAL_STATE".to_owned());

    // The first voice is told, and decides nothing; nor does the same person again.
    let changes = "subscription { approvalChanged { ... on ApprovalChange { event approval { stage votes { by { ... on User { name } } } } } } }";
    let mut heard = author.subscribe(changes, json!({})).await;
    heard.item().await.unwrap();
    let asked = ask("two").await;
    let first = vote(&carol, &asked).await.unwrap();
    let own = json!({ "by": { "name": "Acme APPROVER" }, "onBehalfOf": null });
    assert_eq!(first, json!({ "stage": "PENDING", "required": 2, "votes": [own] }));
    for event in ["approval_requested", "approval_voted"] {
        assert_eq!(heard.item().await.unwrap()["approvalChanged"]["event"], event);
    }
    let token =
        "mutation { tokenCreate(input: { name: \"second\" }) { issued { secret } userErrors { code } } }";
    let secret = carol.done(token, json!({})).await["issued"]["secret"].clone();
    let again = author.with(secret.as_str().unwrap());
    assert_eq!((vote(&carol, &asked).await, vote(&again, &asked).await), (twice.clone(), twice.clone()));
    let read = "query($id: ID!) { node(id: $id) { ... on Approval { stage votes { by { __typename } } viewerCan { approve { allowed } } } } }";
    let stands = again.ask(read, json!({ "id": asked["id"] })).await["node"].clone();
    assert_eq!(
        (&stands["stage"], &stands["viewerCan"]["approve"]["allowed"]),
        (&json!("PENDING"), &json!(false))
    );
    assert_eq!(stands["votes"].as_array().unwrap().len(), 1);
    assert_eq!(vote(&dave, &asked).await.unwrap()["stage"], "APPROVED");
    assert_eq!(heard.item().await.unwrap()["approvalChanged"]["event"], "approval_approved");
    let audit = "query($id: ID!) { auditEntries(filter: { record: $id }) { nodes { action } } }";
    let told = admin.ask(audit, json!({ "id": asked["id"] })).await["auditEntries"]["nodes"].clone();
    let acts = ["approval.approved", "approval.voted", "approval.requested"];
    assert_eq!(told, json!(acts.map(|action| json!({ "action": action }))));

    // A deputy gives the voice of who is away, and no other beside it.
    let away = "mutation($id: ID!, $from: DateTime!, $until: DateTime!) {
        absenceSet(input: { deputy: $id, from: $from, until: $until }) { userErrors { code } } }";
    let viewer = "{ viewer { user { id } } }";
    let leave = async |who: &Wire, deputy: &Wire| {
        let id = deputy.ask(viewer, json!({})).await["viewer"]["user"]["id"].clone();
        let (from, until) = (world.clock.now(), world.clock.now().plus(Span::WEEK));
        who.done(away, json!({ "id": id, "from": from, "until": until })).await;
    };
    leave(&dave, &carol).await;
    let asked = ask("deputised by an approver").await;
    assert_eq!(vote(&carol, &asked).await.unwrap()["stage"], "PENDING", "her own voice");
    assert_eq!(vote(&carol, &asked).await, twice, "and not his beside it");
    leave(&dave, &analyst).await;
    let his = vote(&analyst, &asked).await.unwrap();
    let voices = json!([own, { "by": { "name": "Acme ANALYST" }, "onBehalfOf": { "name": "Acme Dave" } }]);
    assert_eq!((&his["stage"], &his["votes"]), (&json!("APPROVED"), &voices));
    let asked = ask("deputised by an analyst").await;
    assert_eq!(vote(&analyst, &asked).await.unwrap()["stage"], "PENDING");
    for who in [&analyst, &dave] {
        assert_eq!(vote(who, &asked).await, twice, "his voice was given");
    }
    assert_eq!(vote(&carol, &asked).await.unwrap()["stage"], "APPROVED");

    // That one is enough is for two to say, even where the policy gates nothing else.
    let fewer = admin.done(set, json!({ "v": 1, "quorum": 1 })).await;
    assert_eq!(fewer["changePolicy"], json!({ "quorum": 2, "version": 1 }));
    let waiting = &fewer["approval"];
    assert_eq!((&waiting["required"], &waiting["reasons"]), (&json!(2), &json!(["It asks less: quorum."])));
    let asked = json!({ "id": waiting["id"], "hash": waiting["contentHash"] });
    assert_eq!(vote(&admin, &asked).await, Err("SELF_APPROVAL".to_owned()));
    assert_eq!(vote(&carol, &asked).await.unwrap()["stage"], "PENDING");
    assert_eq!(admin.ask("{ changePolicy { quorum } }", json!({})).await["changePolicy"]["quorum"], 2);
    assert_eq!(vote(&dave, &asked).await.unwrap()["stage"], "APPROVED");
    assert_eq!(admin.ask("{ changePolicy { quorum } }", json!({})).await["changePolicy"]["quorum"], 1);
    world.assert_ledger_whole().await;
}

async fn an_emergency_ends_without_a_review(world: &World) {
    let (domain, author, admin) = (&world.domain, world.acme.author(), world.acme.admin());
    let now = world.clock.now();
    let until = now.plus(Span::HOUR);
    let asked = async |name: &str| {
        let rule = domain.rule_create(author, gated(name, is(Critical), make(High))).await.unwrap();
        (rule.id, domain.rule_submit(author, rule.id, rule.version).await.unwrap())
    };
    let (_, first) = asked("first").await;
    let alone = async |who: &Actor, reason: &str, until: Timestamp| {
        domain.approval_approve_emergency(who, first.id, &first.content_hash, reason, until).await
    };
    assert_eq!(alone(approver(world), "now", until).await.unwrap_err().code, Code::Forbidden);
    assert_eq!(alone(admin, " ", until).await.unwrap_err().code, Code::Required);
    for bad in [now, now.plus(Span(73 * Span::HOUR.0))] {
        assert_eq!(alone(admin, "now", bad).await.unwrap_err().code, Code::Invalid);
    }
    let mut rules = Vec::new();
    for name in ["kept", "stopped", "forgotten"] {
        let (rule, asked) = asked(name).await;
        let hash = &asked.content_hash;
        let done =
            domain.approval_approve_emergency(admin, asked.id, hash, "An attack.", until).await.unwrap();
        assert_eq!(done.stage, Stage::Approved);
        rules.push((rule, asked.id));
    }
    let unreviewed = ApprovalFilter { unreviewed: true, ..ApprovalFilter::default() };
    assert_eq!(domain.approval_count(admin, &unreviewed).await.unwrap(), 3);
    // Neither who wrote it nor who approved it reviews it.
    assert_eq!(domain.approval_review(admin, rules[0].1, true).await.unwrap_err().code, Code::SelfApproval);
    domain.approval_review(approver(world), rules[0].1, true).await.unwrap();
    domain.approval_review(approver(world), rules[1].1, false).await.unwrap();
    let again = domain.approval_review(approver(world), rules[1].1, true).await.unwrap_err();
    assert_eq!(again.code, Code::IllegalState);
    world.clock.advance(Span(2 * Span::HOUR.0));
    let later = world.clock.now();
    let mut idle = Vec::new();
    for (rule, _) in &rules {
        idle.push(domain.rule(admin, *rule).await.unwrap().idle(later));
    }
    assert_eq!(idle, [None, Some("off"), Some("its emergency approval ended")]);
    // To turn on again what was not upheld, or forgotten, takes another approval of the same content.
    for (at, (rule, _)) in rules.iter().enumerate().skip(1) {
        let on = domain.rule_set_mode(author, *rule, None, Mode::Enforce).await.unwrap();
        assert_eq!(on.idle(later), Some("its emergency approval ended"));
        let name = ["kept", "stopped", "forgotten"][at];
        let anew = gated(name, is(Critical), make(High));
        let anew = domain.rule_update(author, *rule, on.version, anew).await.unwrap();
        let asked = domain.rule_submit(author, *rule, anew.version).await.unwrap();
        domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await.unwrap();
        assert_eq!(domain.rule(admin, *rule).await.unwrap().idle(later), None);
        domain.rule_set_mode(author, *rule, None, Mode::Off).await.unwrap();
    }
    // What is idle says nothing.
    domain.rule_archive(admin, rules[0].0, None).await.unwrap();
    world.import_lines(&[line("late", Critical)]).await;
    assert_eq!(severities(world).await["late"], Critical);
}

async fn deputies_vote_for_who_is_away(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let now = world.clock.now();
    let deputy = world.acme.analyst();
    let rule = domain.rule_create(author, gated("away", is(Critical), make(High))).await.unwrap();
    let asked = domain.rule_submit(author, rule.id, rule.version).await.unwrap();
    let vote = async || domain.approval_approve(deputy, asked.id, &asked.content_hash, None).await;
    assert_eq!(vote().await.unwrap_err().code, Code::Forbidden);
    let (tomorrow, week) = (now.plus(Span::DAY), now.plus(Span(7 * Span::DAY.0)));
    let away = approver(world);
    let set = async |who: &Actor, user: Option<Uuid>, deputy: Option<Uuid>| {
        domain.absence_set(who, user, tomorrow, week, deputy).await
    };
    assert_eq!(set(author, Some(away.id), Some(deputy.id)).await.unwrap_err().code, Code::Forbidden);
    assert_eq!(set(away, None, Some(away.id)).await.unwrap_err().code, Code::Invalid);
    let stranger = world.globex.admin().id;
    assert_eq!(set(away, None, Some(stranger)).await.unwrap_err().code, Code::NotFound);
    set(away, None, Some(deputy.id)).await.unwrap();
    assert_eq!(vote().await.unwrap_err().code, Code::Forbidden, "not before it begins");
    world.clock.advance(Span(2 * Span::DAY.0));
    let for_me = ApprovalFilter { for_me: true, ..ApprovalFilter::default() };
    assert_eq!(domain.approval_count(deputy, &for_me).await.unwrap(), 1);
    let done = vote().await.unwrap();
    assert_eq!((done.votes[0].hand.id, done.votes[0].voice), (deputy.id, away.id));
    assert_eq!(done.stage, Stage::Approved);
    domain.absence_end(away, None).await.unwrap();
    assert_eq!(domain.absence_end(away, None).await.unwrap_err().code, Code::IllegalState);
    assert!(domain.absences_of(author, &[away.id]).await.unwrap().is_empty());
}

async fn the_clock_reminds_and_ends(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let rule = domain.rule_create(author, gated("slow", is(Critical), make(High))).await.unwrap();
    let asked = domain.rule_submit(author, rule.id, rule.version).await.unwrap();
    let other = world.start(2).await;
    let keep = async || {
        let mut warned = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        let (one, two) = tokio::join!(domain.tidy_up(&mut warned.0), other.tidy_up(&mut warned.1));
        one.unwrap();
        two.unwrap();
        domain.approval(author, asked.id).await.unwrap()
    };
    assert_eq!(keep().await.version, 1);
    let to = |at: Timestamp| Span(at.0 - world.clock.now().0);
    world.clock.advance(to(asked.remind_at.unwrap()));
    let reminded = keep().await;
    assert_eq!((reminded.reminded_at, reminded.stage), (Some(world.clock.now()), Stage::Pending));
    assert_eq!(keep().await.version, reminded.version, "once");
    world.clock.advance(to(asked.deadline.unwrap()));
    let ended = keep().await;
    assert_eq!((ended.stage, ended.version), (Stage::Withdrawn, reminded.version + 1));
    // It is a draft again, and can be asked for again.
    let at = domain.rule(author, rule.id).await.unwrap();
    domain.rule_submit(author, rule.id, at.version).await.unwrap();
    let told: Vec<String> = world.told_of(asked.id).await.into_iter().map(|entry| entry.action).collect();
    assert_eq!(told, ["approval.requested", "approval.reminded", "approval.withdrawn"]);
}

async fn the_queue_is_watched(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let wire = Wire::of(world, world.acme.person(Role::Approver)).await;
    let changes = "subscription($after: String) { approvalChanged(after: $after) { __typename
        ... on ApprovalSnapshot { cursor } ... on ApprovalChange { cursor event approval { title stage } } } }";
    let count = "subscription { pendingApprovalCount { count } }";
    let mut queue = wire.subscribe(changes, json!({})).await;
    let mut waiting = wire.subscribe(count, json!({})).await;
    let opening = queue.item().await.unwrap()["approvalChanged"].clone();
    assert_eq!(opening["__typename"], "ApprovalSnapshot");
    assert_eq!(waiting.item().await.unwrap()["pendingApprovalCount"]["count"], 0);
    let rule = domain.rule_create(author, gated("seen", is(Critical), make(High))).await.unwrap();
    let asked = domain.rule_submit(author, rule.id, rule.version).await.unwrap();
    let item = queue.item().await.unwrap()["approvalChanged"].clone();
    assert_eq!((&item["event"], &item["approval"]["title"]), (&json!("approval_requested"), &json!("seen")));
    assert_eq!(waiting.item().await.unwrap()["pendingApprovalCount"]["count"], 1);
    domain.approval_approve(approver(world), asked.id, &asked.content_hash, None).await.unwrap();
    let item = queue.item().await.unwrap()["approvalChanged"].clone();
    assert_eq!(item["event"], "approval_approved");
    assert_eq!(waiting.item().await.unwrap()["pendingApprovalCount"]["count"], 0);
    // Whoever comes back with the first cursor hears both again, and nothing twice.
    let mut again = wire.subscribe(changes, json!({ "after": opening["cursor"] })).await;
    for event in ["approval_requested", "approval_approved"] {
        assert_eq!(again.item().await.unwrap()["approvalChanged"]["event"], event);
    }
}

async fn keys_are_unique_and_stay(world: &World) {
    let (domain, author) = (&world.domain, world.acme.author());
    let create = async |draft: RuleDraft| domain.rule_create(author, draft).await;
    let plain = |name: &str| draft(name, 1, is(Critical), make(High));
    let keys =
        [create(plain("Same name")).await, create(plain("same  name!")).await, create(plain("…")).await];
    let keys = keys.map(|rule| rule.unwrap().key);
    assert_eq!(keys, ["same-name", "same-name-2", "rule"]);
    let said = |key: &str| RuleDraft { key: Some(key.into()), ..plain("said") };
    assert_eq!(create(said("same-name")).await.unwrap_err().code, Code::Taken);
    assert_eq!(create(said("Not A Key")).await.unwrap_err().code, Code::Invalid);
    let rule = create(said("mine")).await.unwrap();
    let renamed = RuleDraft { name: "other".into(), key: Some("other".into()), ..RuleDraft::of(&rule) };
    let after = domain.rule_update(author, rule.id, rule.version, renamed).await.unwrap();
    assert_eq!((after.key.as_str(), after.content.name.as_str()), ("mine", "other"));
    // Another company's keys are its own.
    let theirs = RuleDraft { key: Some("mine".into()), ..plain("theirs") };
    let theirs = domain.rule_create(world.globex.admin(), theirs).await.unwrap();
    assert_eq!(theirs.key, "mine");
}
