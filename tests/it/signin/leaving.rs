//! Somebody leaves.

use domain::access::{Actor, Portfolio, Role};
use domain::error::Code;
use domain::finding::edit::Edit;
use domain::finding::layers::SetField;
use domain::inventory::token::NewToken;
use domain::inventory::user::{NewUser, UserChange};
use domain::inventory::view::{NewView, ViewNoun};
use domain::page::PageArgs;
use serde_json::json;
use support::{World, content, finished, on_both};
use uuid::Uuid;

use super::{PASSWORD, email_of, from, set_password, sign_in, who};
use crate::ground::refused;

on_both!(
    who_is_removed_comes_in_no_more_and_leaves_the_work,
    who_is_disabled_leaves_the_work_in_every_company
);

/// Gives Ann findings and views of Acme.
async fn at_work(world: &World, ann: &Actor) {
    let lines: Vec<_> = (0..3)
        .map(|at| json!({ "scanner_reference": at.to_string(), "title": format!("flaw {at}"), "asset": "a", "severity": "high" }))
        .collect();
    world.import_lines(&lines).await;
    for title in ["flaw 0", "flaw 1"] {
        let edit = Edit::Assign {
            add_users: vec![ann.id],
            add_teams: vec![],
            remove_users: vec![],
            remove_teams: vec![],
        };
        world.edit(world.finding(title).await.id, edit).await;
    }
    for (name, shared) in [("mine", false), ("ours", true)] {
        let filter = json!({ "is": name });
        let new = NewView { name: name.into(), noun: ViewNoun::Findings, filter, shared };
        world.domain.view_create(ann, new).await.unwrap();
    }
}

/// Waits for the job that hands assignments over, and says whose each finding is.
async fn handed_over(world: &World, leaver: Uuid) -> Vec<Vec<String>> {
    let told = world.told_of(leaver).await;
    let entry = told.iter().rev().find(|entry| entry.action == "user.handed_over").expect("it is audited");
    let job = content(&entry.after)["job"].as_str().unwrap().parse().unwrap();
    finished(&world.domain, world.acme.admin(), job).await;
    let mut assigned = Vec::new();
    for title in ["flaw 0", "flaw 1", "flaw 2"] {
        let finding = world.finding(title).await;
        assigned.push(finding.layers.set(SetField::AssignedUsers).map(str::to_owned).collect());
    }
    assigned
}

async fn who_is_removed_comes_in_no_more_and_leaves_the_work(world: &World) {
    let (domain, admin) = (&world.domain, world.acme.admin());
    let ann = world.acme.person(Role::Analyst);
    let heir = world.acme.author();
    let session = set_password(world, world.acme.id, &ann.actor, PASSWORD).await;
    at_work(world, &ann.actor).await;
    let email = email_of(world, &ann.actor).await;
    let membership =
        domain.memberships_of(admin, &[ann.actor.id]).await.unwrap().remove(&ann.actor.id).unwrap();
    let (id, version) = (membership.id, membership.version);
    for nobody in [ann.actor.id, world.globex.analyst().id, Uuid::from_u128(7)] {
        let error = domain.membership_end(admin, id, version, Some(nobody)).await.unwrap_err();
        assert_eq!(error.field, ["handOverTo"], "{error}");
    }
    who(world, session.access.reveal()).await.unwrap();
    domain.membership_end(admin, id, version, Some(heir.id)).await.unwrap();

    refused(who(world, session.access.reveal()).await, Code::Unauthenticated);
    refused(who(world, &ann.token).await, Code::Unauthenticated);
    refused(
        domain.session_refresh(session.refresh.unwrap().reveal(), None, &from("192.0.2.9")).await,
        Code::Unauthenticated,
    );
    refused(sign_in(world, &email, PASSWORD, &from("192.0.2.1")).await, Code::Forbidden);
    let heirs = vec![heir.id.to_string()];
    assert_eq!(handed_over(world, ann.actor.id).await, [heirs.clone(), heirs, vec![]]);
    let views = domain.views(heir, None, &PageArgs::default()).await.unwrap();
    let names: Vec<_> = views.nodes().filter(|view| view.owner == heir.id).map(|view| view.name).collect();
    assert_eq!(names, [format!("mine ({email})"), format!("ours ({email})")]);

    // Who comes back begins anew: what ended stays ended.
    let new = NewUser {
        email: email.clone(),
        name: "Ann".into(),
        grant: Some((Role::Viewer, Portfolio::Whole)),
        platform_admin: false,
    };
    domain.user_create(admin, new).await.unwrap();
    refused(who(world, &ann.token).await, Code::Unauthenticated);
    refused(who(world, session.access.reveal()).await, Code::Unauthenticated);
    sign_in(world, &email, PASSWORD, &from("192.0.2.1")).await.unwrap();
    world.assert_ledger_whole().await;
}

async fn who_is_disabled_leaves_the_work_in_every_company(world: &World) {
    let domain = &world.domain;
    let ann = world.acme.person(Role::Analyst);
    at_work(world, &ann.actor).await;
    let email = email_of(world, &ann.actor).await;
    let new = NewUser {
        email,
        name: "Ann".into(),
        grant: Some((Role::Viewer, Portfolio::Whole)),
        platform_admin: false,
    };
    domain.user_create(world.globex.admin(), new).await.unwrap();
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    let version = domain.user(&ann.actor, ann.actor.id).await.unwrap().version;
    // Neither company's admin may: the account is not theirs alone.
    refused(
        domain.user_update(world.acme.admin(), ann.actor.id, version, change.clone()).await,
        Code::IllegalState,
    );
    let heir = world.acme.author();
    let change = UserChange { hand_over_to: Some(heir.id), ..change };
    let disabled = domain.user_update(&world.root, ann.actor.id, version, change).await.unwrap();
    refused(who(world, &ann.token).await, Code::Unauthenticated);
    let heirs = vec![heir.id.to_string()];
    assert_eq!(handed_over(world, ann.actor.id).await, [heirs.clone(), heirs, vec![]]);

    // Enabled again, the old token stays ended.
    let change = UserChange { disabled: Some(false), ..UserChange::default() };
    domain.user_update(&world.root, ann.actor.id, disabled.version, change).await.unwrap();
    refused(who(world, &ann.token).await, Code::Unauthenticated);
    let again = Actor { token: None, ..ann.actor.clone() };
    let new = NewToken { holder: None, name: "again".into(), scopes: None, life: None };
    let (_, token) = domain.token_create(&again, new).await.unwrap();
    who(world, token.reveal()).await.unwrap();

    // Disabled by the admin of the account's only company, with nobody to take over.
    let bob = world.acme.author();
    let edit = Edit::Assign {
        add_users: vec![],
        add_teams: vec![],
        remove_users: vec![ann.actor.id],
        remove_teams: vec![],
    };
    world.edit(world.finding("flaw 0").await.id, edit).await;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    domain.user_update(world.acme.admin(), bob.id, 1, change).await.unwrap();
    assert_eq!(handed_over(world, bob.id).await, [Vec::<String>::new(), vec![], vec![]]);
}
