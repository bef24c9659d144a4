//! Companies, people, what they may do, and their tokens.

use std::collections::BTreeSet;

use domain::access::{Actor, Idempotency, Permission, Portfolio, Role};
use domain::error::Code;
use domain::gateway::signing::SigningKey;
use domain::inventory::membership::MembershipChange;
use domain::inventory::project::{NewProject, ProjectFilter};
use domain::inventory::service_account::ServiceAccountChange;
use domain::inventory::team::{TeamFilter, TeamOrder};
use domain::inventory::token::{Holder, NewToken};
use domain::inventory::user::{NewUser, UserChange, UserFilter, UserOrder};
use domain::inventory::view::{NewView, ViewChange, ViewNoun};
use domain::ledger::audit::AuditFilter;
use domain::page::{OrderBy, PageArgs};
use domain::vocabulary::time::Span;
use serde_json::json;
use uuid::Uuid;

use support::{World, content, on_both};

use crate::ground::{Ground, refused, sign_in, token_of};

on_both!(
    whatever_is_wrong_with_a_token_is_answered_the_same,
    a_token_has_what_its_holder_has_now_and_its_scopes_leave,
    the_last_use_is_noted_once_a_minute,
    a_company_keeps_an_admin,
    people_are_invited_once_and_their_account_is_theirs,
    a_stale_change_is_told_whose_change_it_missed,
    teams_are_made_of_members,
    another_companys_record_is_one_that_does_not_exist,
    rights_follow_roles,
    views_are_private_or_shared,
    code_lists_are_the_companys_over_the_global_ones,
    a_mutation_sent_twice_happens_once,
    the_audit_is_listed_newest_first_and_filtered,
    a_head_that_was_kept_proves_that_the_audit_only_grew,
);

fn own_token(scopes: Option<Vec<Permission>>) -> NewToken {
    NewToken { holder: None, name: "own".into(), scopes, life: None }
}

async fn membership_of(ground: &Ground, user: Uuid) -> domain::inventory::membership::Membership {
    ground.domain.memberships_of(&ground.admin, &[user]).await.unwrap().remove(&user).unwrap()
}

async fn whatever_is_wrong_with_a_token_is_answered_the_same(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let ann = ground.member("Ann", Role::Analyst, Portfolio::Whole).await;
    let user = domain.user(&ground.admin, ann.id).await.unwrap();
    let fresh = async || token_of(domain, ground.company.id, &user).await;
    let (revoked_id, revoked) = fresh().await;
    let (_, good) = fresh().await;
    domain.token_revoke(&ann, revoked_id).await.unwrap();
    assert_eq!(domain.authenticate(&good, None, None).await.unwrap().id, ann.id);
    assert!(good.starts_with("cs_") && good.len() == 46, "{good}");

    let account =
        domain.service_account_create(&ground.admin, "ci", Role::Analyst, Portfolio::Whole).await.unwrap();
    let holder = Some(Holder::ServiceAccount(account.id));
    let new = NewToken { holder, name: "ci".into(), scopes: None, life: None };
    let (_, robot) = domain.token_create(&ground.admin, new).await.unwrap();
    let robot = robot.reveal();
    let actor = domain.authenticate(robot, Some("192.0.2.1".into()), Some("t".into())).await.unwrap();
    assert_eq!(
        (actor.id, actor.role, actor.address.as_deref()),
        (account.id, Role::Analyst, Some("192.0.2.1"))
    );
    domain.service_account_archive(&ground.admin, account.id, 1).await.unwrap();

    let mut answers = Vec::new();
    for bad in ["", "cs_", "cs_AAAA", &good[3..], &format!("{good}x"), &revoked, robot] {
        let error = refused(domain.authenticate(bad, None, None).await, Code::Unauthenticated);
        answers.push((error.message, error.details));
    }
    let disabled = UserChange { disabled: Some(true), ..UserChange::default() };
    let ann_now = domain.user_update(&ground.admin, ann.id, 1, disabled).await.unwrap();
    let error = refused(domain.authenticate(&good, None, None).await, Code::Unauthenticated);
    answers.push((error.message, error.details));
    let enabled = UserChange { disabled: Some(false), ..UserChange::default() };
    domain.user_update(&ground.admin, ann.id, ann_now.version, enabled).await.unwrap();
    // What ended with the account stays ended.
    refused(domain.authenticate(&good, None, None).await, Code::Unauthenticated);
    let (_, good) = fresh().await;
    domain.authenticate(&good, None, None).await.unwrap();

    ground.clock.advance(Span(90 * Span::DAY.0 - 1));
    domain.authenticate(&good, None, None).await.unwrap();
    ground.clock.advance(Span(1));
    let error = refused(domain.authenticate(&good, None, None).await, Code::Unauthenticated);
    answers.push((error.message, error.details));

    let (_, last) = fresh().await;
    domain.authenticate(&last, None, None).await.unwrap();
    let membership = membership_of(&ground, ann.id).await;
    domain.membership_remove(&ground.admin, membership.id, membership.version).await.unwrap();
    let error = refused(domain.authenticate(&last, None, None).await, Code::Unauthenticated);
    answers.push((error.message, error.details));
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

async fn a_token_has_what_its_holder_has_now_and_its_scopes_leave(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let ann = ground.member("Ann", Role::Analyst, Portfolio::Whole).await;
    let scopes = vec![Permission::Read, Permission::Import, Permission::Read];
    let (token, secret) = domain.token_create(&ann, own_token(Some(scopes))).await.unwrap();
    assert_eq!(token.scopes, Some(vec![Permission::Read, Permission::Import]));
    let limited = domain.authenticate(secret.reveal(), None, None).await.unwrap();
    assert_eq!(limited.permissions().collect::<Vec<_>>(), [Permission::Read, Permission::Import]);
    refused(domain.token_create(&limited, own_token(None)).await, Code::Forbidden);
    refused(domain.token_create(&ann, own_token(Some(vec![Permission::Approve]))).await, Code::Invalid);
    refused(domain.token_create(&ann, own_token(Some(Vec::new()))).await, Code::Required);
    for life in [Span(0), Span(366 * Span::DAY.0 + 1)] {
        let new = NewToken { life: Some(life), ..own_token(None) };
        refused(domain.token_create(&ann, new).await, Code::Invalid);
    }

    let team = ground.team("Blue", &[ann.id]).await;
    let narrow = Portfolio::Only { projects: BTreeSet::new(), teams: BTreeSet::from([team.id]) };
    let change = MembershipChange { role: Some(Role::Viewer), portfolio: Some(narrow.clone()) };
    let membership = membership_of(&ground, ann.id).await;
    domain.membership_update(&ground.admin, membership.id, 1, change).await.unwrap();
    let now = domain.authenticate(secret.reveal(), None, None).await.unwrap();
    assert_eq!((now.role, &now.portfolio), (Role::Viewer, &narrow));
    assert_eq!(now.permissions().collect::<Vec<_>>(), [Permission::Read]);

    // One's own tokens, and no one else's.
    let bob = ground.member("Bob", Role::Analyst, Portfolio::Whole).await;
    refused(domain.token_revoke(&bob, token.id).await, Code::NotFound);
    refused(domain.token(&bob, token.id).await, Code::NotFound);
    let for_ann = NewToken { holder: Some(Holder::User(ann.id)), ..own_token(None) };
    refused(domain.token_create(&ground.admin, for_ann).await, Code::Forbidden);
    let mine = domain.tokens(&bob, None, &PageArgs::default()).await.unwrap();
    assert!(mine.nodes().all(|token| token.holder == Holder::User(bob.id)));
    assert_eq!(domain.token_count(&bob, Some(Holder::User(ann.id))).await.unwrap(), 0);
    assert_eq!(domain.token_count(&ground.admin, Some(Holder::User(ann.id))).await.unwrap(), 2);
    assert!(domain.token_revoke(&ground.admin, token.id).await.unwrap().revoked_at.is_some());

    // The ledger knows of the token, and nothing of its secret.
    let filter = AuditFilter { record: Some(token.id), ..AuditFilter::default() };
    let entries = domain.audit_entries(&ground.admin, &filter, &PageArgs::default()).await.unwrap();
    let told: Vec<_> = entries.nodes().map(|entry| (entry.action.clone(), format!("{entry:?}"))).collect();
    assert_eq!(
        told.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(),
        ["token.revoked", "token.created"]
    );
    assert!(told.iter().all(|(_, text)| !text.contains(&secret.reveal()[3..])));
    assert_eq!(format!("{secret:?}"), "Secret(…)");
}

async fn the_last_use_is_noted_once_a_minute(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let user = domain.user(&ground.admin, ground.admin.id).await.unwrap();
    let (id, secret) = token_of(domain, ground.company.id, &user).await;
    let used = async || domain.token(&ground.admin, id).await.unwrap().last_used_at;
    assert_eq!(used().await, None);
    let first = ground.clock.now();
    domain.authenticate(&secret, None, None).await.unwrap();
    assert_eq!(used().await, Some(first));
    ground.clock.advance(Span(Span::MINUTE.0 - 1));
    domain.authenticate(&secret, None, None).await.unwrap();
    assert_eq!(used().await, Some(first));
    ground.clock.advance(Span(1));
    domain.authenticate(&secret, None, None).await.unwrap();
    assert_eq!(used().await, Some(ground.clock.now()));
}

async fn a_company_keeps_an_admin(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let own = membership_of(&ground, ground.admin.id).await;
    let down = || MembershipChange { role: Some(Role::Viewer), portfolio: None };
    refused(domain.membership_update(&ground.admin, own.id, 1, down()).await, Code::IllegalState);
    refused(domain.membership_remove(&ground.admin, own.id, 1).await, Code::IllegalState);
    let platform = MembershipChange { role: Some(Role::PlatformAdmin), portfolio: None };
    refused(domain.membership_update(&ground.admin, own.id, 1, platform).await, Code::Invalid);

    let other = ground.member("Bob", Role::Admin, Portfolio::Whole).await;
    let disabled = UserChange { disabled: Some(true), ..UserChange::default() };
    refused(
        domain.user_update(&ground.admin, ground.admin.id, 1, disabled.clone()).await,
        Code::IllegalState,
    );
    domain.user_update(&ground.admin, other.id, 1, disabled).await.unwrap();
    // An admin who cannot come in is none.
    refused(domain.membership_remove(&ground.admin, own.id, 1).await, Code::IllegalState);
    let third = ground.member("Cem", Role::Admin, Portfolio::Whole).await;
    domain.membership_update(&third, own.id, 1, down()).await.unwrap();
}

async fn people_are_invited_once_and_their_account_is_theirs(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let email = ground.address("dee");
    let new =
        |name: &str, grant| NewUser { email: email.clone(), name: name.into(), grant, platform_admin: false };
    let viewer = || Some((Role::Viewer, Portfolio::Whole));
    let dee = domain.user_create(&ground.admin, new("Dee", viewer())).await.unwrap();
    let again = refused(domain.user_create(&ground.admin, new("Dee", viewer())).await, Code::Taken);
    assert_eq!(again.field, ["email"]);
    refused(domain.user_create(&ground.admin, new("Dee", None)).await, Code::Required);
    let mut root = new("Dee", viewer());
    root.platform_admin = true;
    refused(domain.user_create(&ground.admin, root).await, Code::Forbidden);

    // The other company's invitation finds the same account, and neither owns it from then on.
    let rename = |name: &str| UserChange { name: Some(name.into()), ..UserChange::default() };
    let renamed = domain.user_update(&ground.admin, dee.id, 1, rename("Deirdre")).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.version), ("Deirdre", 2));
    let (company, nia) = ground.neighbour().await;
    refused(domain.user(&nia, dee.id).await, Code::NotFound);
    let found = domain.user_create(&nia, new("Somebody", viewer())).await.unwrap();
    assert_eq!((found.id, found.name.as_str()), (dee.id, "Deirdre"));
    refused(domain.user_update(&ground.admin, dee.id, 2, rename("X")).await, Code::IllegalState);
    refused(domain.user_update(&nia, dee.id, 2, rename("X")).await, Code::IllegalState);
    let dee_there = sign_in(domain, company.id, &found).await;
    domain.user_update(&dee_there, dee.id, 2, rename("Dee O.")).await.unwrap();
    let email = UserChange { email: Some("new@example.org".into()), ..UserChange::default() };
    refused(domain.user_update(&dee_there, dee.id, 3, email).await, Code::Forbidden);
    let companies = domain.companies(&dee_there, &PageArgs::default()).await.unwrap();
    assert_eq!(companies.edges.len(), 2);
    assert_eq!(domain.company_count(&ground.admin).await.unwrap(), 1);

    let filter = UserFilter { query: Some("DEE".into()), ..UserFilter::default() };
    let by = OrderBy::ascending(UserOrder::Name);
    let listed = domain.users(&ground.admin, &filter, by, &PageArgs::default()).await.unwrap();
    assert_eq!(listed.nodes().map(|user| user.id).collect::<Vec<_>>(), [dee.id]);
    assert_eq!(domain.user_count(&nia, &UserFilter::default()).await.unwrap(), 2);
}

async fn a_stale_change_is_told_whose_change_it_missed(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let bob = ground.member("Bob", Role::Admin, Portfolio::Whole).await;
    let team = ground.team("Blue", &[]).await;
    domain.team_update(&bob, team.id, 1, Some("Azure")).await.unwrap();
    let error = refused(domain.team_update(&ground.admin, team.id, 1, Some("Cyan")).await, Code::Conflict);
    assert_eq!(error.details["currentVersion"], 2);
    assert_eq!(error.details["author"], "Bob");
    let company =
        domain.company_update(&bob, ground.company.id, 1, Some(&ground.company.name)).await.unwrap();
    assert_eq!(company.version, 1, "nothing changed, nothing is written");
}

async fn teams_are_made_of_members(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let (_, nia) = ground.neighbour().await;
    let ann = ground.member("Ann", Role::Viewer, Portfolio::Whole).await;
    refused(domain.team_create(&ground.admin, "Blue", &[nia.id]).await, Code::NotFound);
    refused(domain.team_create(&ann, "Blue", &[]).await, Code::Forbidden);
    let team = ground.team("Blue", &[ann.id, ann.id]).await;
    let taken = refused(domain.team_create(&ground.admin, " Blue ", &[]).await, Code::Taken);
    assert_eq!(taken.field, ["name"]);
    refused(domain.team_members_change(&ground.admin, team.id, 1, &[nia.id], &[]).await, Code::NotFound);
    let team =
        domain.team_members_change(&ground.admin, team.id, 1, &[ground.admin.id], &[ann.id]).await.unwrap();
    let team =
        domain.team_members_change(&ground.admin, team.id, team.version, &[ann.id], &[]).await.unwrap();
    let members = async || domain.team_members(&ann, &[team.id]).await.unwrap().remove(&team.id).unwrap();
    assert_eq!(BTreeSet::from_iter(members().await), BTreeSet::from([ann.id, ground.admin.id]));
    let filter = TeamFilter { member: Some(ann.id), ..TeamFilter::default() };
    assert_eq!(domain.team_count(&ann, &filter).await.unwrap(), 1);

    let membership = membership_of(&ground, ann.id).await;
    domain.membership_remove(&ground.admin, membership.id, 1).await.unwrap();
    let rest = domain.team_members(&ground.admin, &[team.id]).await.unwrap();
    assert_eq!(rest[&team.id], [ground.admin.id]);
    assert!(domain.team_members(&nia, &[team.id]).await.unwrap().is_empty());

    let gone = domain.team_archive(&ground.admin, team.id, team.version, true).await.unwrap();
    let active = TeamFilter { archived: Some(false), ..TeamFilter::default() };
    let by = OrderBy::descending(TeamOrder::Name);
    assert!(domain.teams(&ground.admin, &active, by, &PageArgs::default()).await.unwrap().edges.is_empty());
    domain.team_archive(&ground.admin, team.id, gone.version, false).await.unwrap();
    assert_eq!(domain.team_count(&ground.admin, &active).await.unwrap(), 1);
}

async fn another_companys_record_is_one_that_does_not_exist(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let (company, nia) = ground.neighbour().await;
    let ann = ground.member("Ann", Role::Viewer, Portfolio::Whole).await;
    let team = ground.team("Blue", &[ann.id]).await.id;
    let project = ground.project("Web").await.id;
    let account =
        domain.service_account_create(&ground.admin, "ci", Role::Viewer, Portfolio::Whole).await.unwrap().id;
    let (token, _) = domain.token_create(&ann, own_token(None)).await.unwrap();
    let view = NewView { name: "Mine".into(), noun: ViewNoun::Assets, filter: json!({}), shared: true };
    let view = domain.view_create(&ann, view).await.unwrap().id;
    let membership = membership_of(&ground, ann.id).await.id;
    let theirs = [team, project, account, token.id, view, membership, ann.id, ground.company.id];
    // The same calls with ids that are nobody's have the same answers.
    let nobodys = theirs.map(|_| ground.clock.id());
    let mut answers = Vec::new();
    for [team, project, account, token, view, membership, user, company] in [theirs, nobodys] {
        let none = MembershipChange::default;
        let user_change = UserChange { name: Some("X".into()), ..UserChange::default() };
        let narrow = |projects: &[Uuid], teams: &[Uuid]| Portfolio::Only {
            projects: BTreeSet::from_iter(projects.iter().copied()),
            teams: BTreeSet::from_iter(teams.iter().copied()),
        };
        let errors = [
            domain.team(&nia, team).await.err(),
            domain.team_update(&nia, team, 1, Some("X")).await.err(),
            domain.team_members_change(&nia, team, 1, &[], &[]).await.err(),
            domain.team_archive(&nia, team, 1, true).await.err(),
            domain.team_create(&nia, "T", &[user]).await.err(),
            domain.project(&nia, project).await.err(),
            domain.project_update(&nia, project, 1, Default::default()).await.err(),
            domain.project_archive(&nia, project, 1, true).await.err(),
            domain.service_account(&nia, account).await.err(),
            domain.service_account_update(&nia, account, 1, ServiceAccountChange::default()).await.err(),
            domain.service_account_archive(&nia, account, 1).await.err(),
            domain.service_account_create(&nia, "r", Role::Viewer, narrow(&[project], &[])).await.err(),
            domain.service_account_create(&nia, "r", Role::Viewer, narrow(&[], &[team])).await.err(),
            domain.token(&nia, token).await.err(),
            domain.token_revoke(&nia, token).await.err(),
            domain
                .token_create(
                    &nia,
                    NewToken { holder: Some(Holder::ServiceAccount(account)), ..own_token(None) },
                )
                .await
                .err(),
            domain.view(&nia, view).await.err(),
            domain.view_update(&nia, view, 1, ViewChange::default()).await.err(),
            domain.view_delete(&nia, view, 1).await.err(),
            domain.membership(&nia, membership).await.err(),
            domain.membership_update(&nia, membership, 1, none()).await.err(),
            domain.membership_remove(&nia, membership, 1).await.err(),
            domain.user(&nia, user).await.err(),
            domain.user_update(&nia, user, 1, user_change).await.err(),
            domain.company(&nia, company).await.err(),
            domain.company_update(&nia, company, 1, Some("X")).await.err(),
        ];
        let told = errors.map(|error| {
            let error = error.expect("it is refused");
            assert_eq!(error.code, Code::NotFound, "{error}");
            (error.message, error.field, error.details)
        });
        answers.push(told);
    }
    assert_eq!(answers[0], answers[1]);

    let all = PageArgs::default();
    let by = OrderBy::ascending(domain::inventory::project::ProjectOrder::Name);
    assert!(domain.projects(&nia, &ProjectFilter::default(), by, &all).await.unwrap().edges.is_empty());
    assert!(domain.views(&nia, None, &all).await.unwrap().edges.is_empty());
    assert_eq!(domain.service_account_count(&nia, None).await.unwrap(), 0);
    let filter = AuditFilter { record: Some(team), ..AuditFilter::default() };
    assert_eq!(domain.audit_count(&nia, &filter).await.unwrap(), 0);
    assert_eq!(domain.users_by_id(&nia, &[ann.id, nia.id]).await.unwrap().len(), 1);
    assert!(domain.memberships_of(&nia, &[ann.id]).await.unwrap().is_empty());
    assert_eq!(domain.company(&ground.platform, company.id).await.unwrap(), company);
}

async fn rights_follow_roles(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let auditor = ground.member("Aud", Role::Auditor, Portfolio::Whole).await;
    let viewer = ground.member("Vi", Role::Viewer, Portfolio::Whole).await;
    let project = NewProject { name: "P".into(), description: None };
    let view = NewView { name: "V".into(), noun: ViewNoun::Findings, filter: json!({}), shared: false };
    refused(domain.project_create(&auditor, project.clone()).await, Code::Forbidden);
    refused(domain.project_create(&viewer, project).await, Code::Forbidden);
    refused(domain.view_create(&auditor, view).await, Code::Forbidden);
    let name = UserChange { name: Some("X".into()), ..UserChange::default() };
    refused(domain.user_update(&auditor, auditor.id, 1, name).await, Code::Forbidden);
    let filter = AuditFilter::default();
    refused(domain.audit_entries(&viewer, &filter, &PageArgs::default()).await, Code::Forbidden);
    assert!(domain.audit_count(&auditor, &filter).await.unwrap() > 3);
    refused(domain.company_create(&ground.admin, "Other", false).await, Code::Forbidden);

    // The platform admin makes companies and joins them; a service account joins none.
    let joined = format!("Joined {}", ground.clock.id());
    let joined = domain.company_create(&ground.platform, &joined, true).await.unwrap();
    let root = domain.user(&ground.platform, ground.platform.id).await.unwrap();
    let there = sign_in(domain, joined.id, &root).await;
    assert_eq!((there.role, there.company), (Role::Admin, joined.id));
    let renamed =
        domain.company_update(&ground.platform, joined.id, 1, Some(&format!("J {}", joined.id))).await;
    assert_eq!(renamed.unwrap().version, 2);
    let error = refused(
        domain.project_create(&ground.platform, NewProject { name: "P".into(), description: None }).await,
        Code::IllegalState,
    );
    assert!(error.message.contains("global"), "{error}");
    let ann = ground.member("Ann", Role::Viewer, Portfolio::Whole).await;
    let member = domain
        .membership_create(&ground.platform, joined.id, ann.id, Role::Analyst, Portfolio::Whole)
        .await
        .unwrap();
    assert_eq!((member.company, member.role), (joined.id, Role::Analyst));
    assert_eq!(domain.membership(&ground.platform, member.id).await.unwrap(), member);
    refused(domain.membership(&ground.admin, member.id).await, Code::NotFound);
    refused(
        domain.membership_create(&there, joined.id, ann.id, Role::Analyst, Portfolio::Whole).await,
        Code::Forbidden,
    );
}

async fn views_are_private_or_shared(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let ann = ground.member("Ann", Role::Viewer, Portfolio::Whole).await;
    let bob = ground.member("Bob", Role::Viewer, Portfolio::Whole).await;
    let new = |name: &str, shared| NewView {
        name: name.into(),
        noun: ViewNoun::Findings,
        filter: json!({ "severity": ["critical"] }),
        shared,
    };
    let own = domain.view_create(&ann, new("Own", false)).await.unwrap();
    let shared = domain.view_create(&ann, new("Shared", true)).await.unwrap();
    let global = domain.view_create(&ground.platform, new("Global", true)).await.unwrap();
    refused(domain.view_create(&ann, new("Own", false)).await, Code::Taken);
    domain.view_create(&bob, new("Own", false)).await.unwrap();
    let mut bad = new("Bad", false);
    bad.filter = json!([]);
    refused(domain.view_create(&ann, bad).await, Code::Invalid);

    refused(domain.view(&bob, own.id).await, Code::NotFound);
    assert_eq!(domain.view(&bob, shared.id).await.unwrap(), shared);
    refused(domain.view_update(&bob, shared.id, 1, ViewChange::default()).await, Code::Forbidden);
    refused(domain.view_delete(&ground.admin, global.id, 1).await, Code::NotFound);
    let listed = domain.views(&bob, Some(ViewNoun::Findings), &PageArgs::default()).await.unwrap();
    let ids = Vec::from_iter(listed.nodes().map(|view| view.id));
    assert!(ids.contains(&shared.id) && ids.contains(&global.id) && !ids.contains(&own.id));
    let hidden = ViewChange { shared: Some(false), ..ViewChange::default() };
    domain.view_update(&ground.admin, shared.id, 1, hidden).await.unwrap();
    refused(domain.view(&bob, shared.id).await, Code::NotFound);
    domain.view_delete(&ann, shared.id, 2).await.unwrap();
    refused(domain.view(&ann, shared.id).await, Code::NotFound);
    domain.view_delete(&ground.platform, global.id, 1).await.unwrap();
}

async fn code_lists_are_the_companys_over_the_global_ones(world: &World) {
    use domain::inventory::code::CodeList::Effects;

    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let (_, nia) = ground.neighbour().await;
    let code = format!("dos-{}", ground.clock.id().simple());
    let labels = async |actor: &Actor| {
        let codes = domain.codes(actor, Effects).await.unwrap();
        codes
            .into_iter()
            .filter(|entry| entry.code == code)
            .map(|entry| (entry.label, entry.global))
            .collect::<Vec<_>>()
    };
    domain.code_set(&ground.platform, Effects, &code, "Denial of service").await.unwrap();
    domain.code_set(&ground.admin, Effects, &code, "Outage").await.unwrap();
    assert_eq!(labels(&ground.admin).await, [("Outage".to_owned(), false)]);
    assert_eq!(labels(&nia).await, [("Denial of service".to_owned(), true)]);
    refused(domain.code_remove(&nia, Effects, &code).await, Code::NotFound);
    domain.code_remove(&ground.admin, Effects, &code).await.unwrap();
    assert_eq!(labels(&ground.admin).await, [("Denial of service".to_owned(), true)]);
    let viewer = ground.member("Vi", Role::Viewer, Portfolio::Whole).await;
    refused(domain.code_set(&viewer, Effects, "x", "y").await, Code::Forbidden);
    refused(domain.code_set(&ground.admin, Effects, " ", "y").await, Code::Required);
}

async fn a_mutation_sent_twice_happens_once(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let keyed = |request: u8| Actor {
        idempotency: Some(Idempotency { key: "k-1".into(), request: [request; 32] }),
        ..ground.admin.clone()
    };
    let new = |name: &str| NewProject { name: name.into(), description: None };
    assert_eq!(domain.answered(&keyed(1)).await.unwrap(), None);
    let project = domain.project_create(&keyed(1), new("Web")).await.unwrap();
    assert_eq!(domain.answered(&keyed(1)).await.unwrap(), Some(project.id));
    refused(domain.answered(&keyed(2)).await, Code::IdempotencyMismatch);
    let other = ground.member("Bob", Role::Analyst, Portfolio::Whole).await;
    let other = Actor { idempotency: keyed(2).idempotency, ..other };
    assert_eq!(domain.answered(&other).await.unwrap(), None, "a key is its actor's");

    // Two at once: the second takes its effect back, and finds the answer of the first.
    refused(domain.project_create(&keyed(1), new("Web 2")).await, Code::Conflict);
    assert_eq!(domain.project_count(&ground.admin, &ProjectFilter::default()).await.unwrap(), 1);
    // A refused mutation keeps no answer.
    refused(domain.project_create(&other, new("Web")).await, Code::Taken);
    assert_eq!(domain.answered(&other).await.unwrap(), None);

    ground.clock.advance(Span::DAY);
    assert_eq!(domain.answered(&keyed(1)).await.unwrap(), None);
    let later = domain.project_create(&keyed(3), new("Web 3")).await.unwrap();
    assert_eq!(domain.answered(&keyed(3)).await.unwrap(), Some(later.id));
    ground.clock.advance(Span::DAY);
    assert!(domain.idempotency_prune().await.unwrap() >= 1);
    // Making a company answers under the key of the company that asked.
    let platform = Actor { idempotency: keyed(4).idempotency, ..ground.platform.clone() };
    let name = format!("Keyed {}", ground.clock.id());
    let company = domain.company_create(&platform, &name, true).await.unwrap();
    assert_eq!(domain.answered(&platform).await.unwrap(), Some(company.id));
}

async fn the_audit_is_listed_newest_first_and_filtered(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let bob = ground.member("Bob", Role::Admin, Portfolio::Whole).await;
    let start = ground.clock.now();
    ground.clock.advance(Span::HOUR);
    let team = ground.team("Blue", &[]).await;
    ground.clock.advance(Span::HOUR);
    domain.team_update(&bob, team.id, 1, Some("Azure")).await.unwrap();
    let list = async |filter: AuditFilter| {
        let page = domain.audit_entries(&ground.admin, &filter, &PageArgs::default()).await.unwrap();
        assert_eq!(domain.audit_count(&ground.admin, &filter).await.unwrap(), page.edges.len() as i64);
        page.nodes().collect::<Vec<_>>()
    };
    let all = list(AuditFilter::default()).await;
    assert!(all.windows(2).all(|pair| pair[0].seq == pair[1].seq + 1), "no gaps, newest first");
    assert_eq!((all[0].action.as_str(), all[0].actor.name.as_str()), ("team.updated", "Bob"));
    assert_eq!(content(&all[0].before), json!({ "name": "Blue" }));
    assert_eq!(content(&all[0].after), json!({ "name": "Azure" }));
    assert_eq!(domain.audit_entry(&ground.admin, all[0].seq).await.unwrap(), all[0]);

    let named = |filter: AuditFilter| async {
        list(filter).await.into_iter().map(|entry| entry.action).collect::<Vec<_>>()
    };
    let none = AuditFilter::default;
    assert_eq!(
        named(AuditFilter { record: Some(team.id), ..none() }).await,
        ["team.updated", "team.created"]
    );
    assert_eq!(named(AuditFilter { actor: Some(bob.id), ..none() }).await, ["team.updated"]);
    assert_eq!(named(AuditFilter { action: Some("team.created".into()), ..none() }).await, ["team.created"]);
    let hour = |hours| Some(start.plus(Span(hours * Span::HOUR.0)));
    assert_eq!(named(AuditFilter { from: hour(1), to: hour(2), ..none() }).await, ["team.created"]);
    let pages = domain.audit_entries(&ground.admin, &none(), &PageArgs::first(1)).await.unwrap();
    let next = PageArgs { after: Some(pages.edges[0].cursor.clone()), ..PageArgs::first(1) };
    let pages = domain.audit_entries(&ground.admin, &none(), &next).await.unwrap();
    assert_eq!(pages.edges[0].node, all[1]);
}

async fn a_head_that_was_kept_proves_that_the_audit_only_grew(world: &World) {
    let ground = Ground::new(world).await;
    let domain = &ground.domain;
    let key = &world.key;
    let heads = domain.audit_head(key).await.unwrap();
    assert!(heads.iter().any(|head| head.company == ground.company.id && head.seq > 0));
    ground.team("Blue", &[]).await;
    let report = domain.audit_verify(key, &heads).await.unwrap();
    assert!(report.is_clean() && report.entries > 3 && report.events >= 1, "{report:?}");
    // Through JSON and back it is the same head.
    let text = serde_json::to_string(&heads).unwrap();
    assert_eq!(serde_json::from_str::<Vec<domain::ledger::audit::SignedHead>>(&text).unwrap(), heads);

    let mut forged = heads.clone();
    forged[0].seq += 1;
    refused(domain.audit_verify(key, &forged).await, Code::Invalid);
    let folder = tempfile::tempdir().unwrap();
    let other = SigningKey::open(&folder.path().join("key")).unwrap();
    refused(domain.audit_verify(&other, &heads).await, Code::Invalid);
}

/// Whatever is done to the tables behind the server's back is named, and where it was done.
#[tokio::test]
async fn a_ledger_that_was_tampered_with_is_told() {
    use domain::ledger::verify::Fault;
    use sea_orm::ConnectionTrait;

    let cases = [
        ("UPDATE audit_entry SET after = '{}' WHERE seq = 2 AND company_id = $", Fault::Content),
        (
            "UPDATE audit_entry SET actor = replace(actor, 'setup', 'nobody') WHERE seq = 2 AND company_id = $",
            Fault::Content,
        ),
        ("UPDATE audit_entry SET rule_id = randomblob(16) WHERE seq = 2 AND company_id = $", Fault::Content),
        ("DELETE FROM audit_entry WHERE seq = 2 AND company_id = $", Fault::Gap),
        ("DELETE FROM audit_entry WHERE seq >= 2 AND company_id = $", Fault::Short),
        ("UPDATE audit_entry SET hash = digest WHERE seq = 2 AND company_id = $", Fault::Chain),
        ("UPDATE ledger_head SET audit_hash = zeroblob(32) WHERE company_id = $", Fault::Head),
        ("UPDATE ledger_head SET audit_seq = audit_seq - 1 WHERE company_id = $", Fault::Head),
        ("DELETE FROM event WHERE seq = 1 AND company_id = $", Fault::EventMissing),
    ];
    for (sql, fault) in cases {
        let ground = Ground::alone().await;
        ground.project("Web").await;
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::open(&folder.path().join("key")).unwrap();
        let heads = ground.domain.audit_head(&key).await.unwrap();
        assert!(ground.domain.audit_verify(&key, &heads).await.unwrap().is_clean());
        let tables = sea_orm::Database::connect(ground.url()).await.unwrap();
        let company = format!("x'{}'", ground.company.id.simple());
        tables.execute_unprepared(&sql.replace('$', &company)).await.unwrap();
        let report = ground.domain.audit_verify(&key, &[]).await.unwrap();
        let broken: Vec<_> = report.broken.iter().map(|broken| (broken.company, broken.fault)).collect();
        assert_eq!(broken, [(ground.company.id, fault)], "{sql}");
    }
}

/// A chain that is cut off or made anew as a whole agrees with itself: a head kept elsewhere tells.
#[tokio::test]
async fn a_ledger_that_shrank_is_told_by_a_head_that_was_kept() {
    use domain::ledger::verify::Fault;
    use sea_orm::ConnectionTrait;

    let ground = Ground::alone().await;
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::open(&folder.path().join("key")).unwrap();
    let early = ground.domain.audit_head(&key).await.unwrap();
    ground.project("Web").await;
    let heads = ground.domain.audit_head(&key).await.unwrap();
    let tables = sea_orm::Database::connect(ground.url()).await.unwrap();
    let company = format!("x'{}'", ground.company.id.simple());
    let last = "(SELECT max(seq) FROM audit_entry e WHERE e.company_id = audit_entry.company_id)";
    let hash = "(SELECT hash FROM audit_entry e WHERE e.company_id = ledger_head.company_id ORDER BY seq DESC LIMIT 1)";
    for sql in [
        format!("DELETE FROM audit_entry WHERE company_id = {company} AND seq = {last}"),
        format!(
            "UPDATE ledger_head SET audit_seq = audit_seq - 1, audit_hash = {hash} WHERE company_id = {company}"
        ),
    ] {
        tables.execute_unprepared(&sql).await.unwrap();
    }
    assert!(ground.domain.audit_verify(&key, &[]).await.unwrap().is_clean());
    assert!(ground.domain.audit_verify(&key, &early).await.unwrap().is_clean());
    let report = ground.domain.audit_verify(&key, &heads).await.unwrap();
    assert_eq!(report.broken.iter().map(|broken| broken.fault).collect::<Vec<_>>(), [Fault::Short]);
    ground.project("Web 2").await;
    let report = ground.domain.audit_verify(&key, &heads).await.unwrap();
    assert_eq!(report.broken.iter().map(|broken| broken.fault).collect::<Vec<_>>(), [Fault::Mark]);
}
