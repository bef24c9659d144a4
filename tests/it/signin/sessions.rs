//! Sessions and their tokens.

use std::sync::Arc;

use domain::access::{Actor, Portfolio, Role};
use domain::error::Code;
use domain::inventory::membership::MembershipChange;
use domain::inventory::user::NewUser;
use domain::page::PageArgs;
use domain::vocabulary::time::Span;
use serde_json::json;
use support::{World, on_both};

use super::{OTHER, PASSWORD, door, email_of, from, set_password, sign_in, text, who};
use crate::ground::refused;

on_both!(
    a_person_signs_in_refreshes_and_signs_out_over_the_wire,
    a_refresh_token_is_good_once,
    a_session_ends_by_time,
    sessions_are_listed_and_ended,
    a_session_has_the_rights_of_the_moment,
    a_company_is_chosen_and_switched,
);

const VIEWER: &str = "{ viewer { user { name } roles session { id way address userAgent current } } }";

async fn a_person_signs_in_refreshes_and_signs_out_over_the_wire(world: &World) {
    let ann = world.acme.analyst();
    set_password(world, world.acme.id, ann, PASSWORD).await;
    let door = door(world).await;
    let email = email_of(world, ann).await;
    let (status, granted) =
        door.send("/v1/auth/sign-in", &json!({ "email": email.to_uppercase(), "password": PASSWORD })).await;
    assert_eq!(status, 200, "{granted}");
    assert_eq!((text(&granted["company"]["name"]), text(&granted["company"]["role"])), ("Acme", "ANALYST"));
    assert!(text(&granted["accessToken"]).starts_with("ca_") && text(&granted["accessToken"]).len() == 46);
    assert!(text(&granted["refreshToken"]).starts_with("cr_") && text(&granted["device"]).starts_with("cd_"));

    let inside = door.with(text(&granted["accessToken"]));
    let viewer = inside.ask(VIEWER, json!({})).await["viewer"].clone();
    assert_eq!(viewer["roles"], json!(["ANALYST"]));
    let session = &viewer["session"];
    assert_eq!(session["id"], granted["session"]);
    assert_eq!(
        (&session["way"], &session["address"], &session["userAgent"], &session["current"]),
        (&json!("password"), &json!("127.0.0.1"), &json!("probe/1"), &json!(true))
    );

    let (status, refreshed) =
        door.send("/v1/auth/refresh", &json!({ "refreshToken": granted["refreshToken"] })).await;
    assert_eq!(status, 200, "{refreshed}");
    assert_eq!(refreshed["session"], granted["session"]);
    // What was open goes on until its own end; what is new is good as well.
    for access in [&granted["accessToken"], &refreshed["accessToken"]] {
        door.with(text(access)).ask(VIEWER, json!({})).await;
    }
    assert_eq!(inside.send("/v1/auth/sign-out", &json!({})).await.0, 204);
    for access in [&granted["accessToken"], &refreshed["accessToken"]] {
        assert_eq!(door.with(text(access)).reply(VIEWER, &json!({})).await.0, 401);
    }
    let after = json!({ "refreshToken": refreshed["refreshToken"] });
    assert_eq!(door.send("/v1/auth/refresh", &after).await.0, 401);

    // The door takes JSON alone, of its own shape and size.
    for (path, body) in [("/v1/auth/sign-in", "{}"), ("/v1/auth/refresh", "[]"), ("/v1/auth/switch", "{}")] {
        let (status, problem) = door.send(path, &serde_json::from_str(body).unwrap()).await;
        assert!([400, 401].contains(&status), "{path}: {problem}");
    }
    let long = json!({ "email": "a".repeat(20_000), "password": "b" });
    assert_eq!(door.send("/v1/auth/sign-in", &long).await.0, 413);
    assert_eq!(door.try_put("/v1/auth/sign-in", "{}".into()).await.unwrap().0, 405);
}

async fn a_refresh_token_is_good_once(world: &World) {
    let ann = world.acme.analyst();
    let first = set_password(world, world.acme.id, ann, PASSWORD).await;
    let refresh = async |token: &str| world.domain.session_refresh(token, None, &from("192.0.2.9")).await;
    let spent = first.refresh.unwrap();
    let second = refresh(spent.reveal()).await.unwrap();
    // A client that sends it twice at once loses nothing.
    refused(refresh(spent.reveal()).await, Code::Conflict);
    let third = refresh(second.refresh.unwrap().reveal()).await.unwrap();
    who(world, third.access.reveal()).await.unwrap();
    let good = third.refresh.unwrap();

    // A made-up second half is a copy too; a made-up first one is nobody's.
    let forged = format!("{}{}", &good.reveal()[..46], "A".repeat(43));
    for nobody in ["", "cr_", "cr_x", &format!("cr_{}", "A".repeat(86)), &good.reveal()[3..]] {
        refused(refresh(nobody).await, Code::Unauthenticated);
    }
    who(world, third.access.reveal()).await.unwrap();
    world.clock.advance(Span(11 * Span::SECOND.0));
    refused(refresh(spent.reveal()).await, Code::Unauthenticated);
    for access in [&first.access, &second.access, &third.access] {
        refused(who(world, access.reveal()).await, Code::Unauthenticated);
    }
    refused(refresh(good.reveal()).await, Code::Unauthenticated);
    refused(refresh(&forged).await, Code::Unauthenticated);
    let told = world.told_of(third.session.id).await;
    let actions: Vec<_> = told.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["session.started", "session.reused"]);
    assert_eq!(told[1].actor.address.as_deref(), Some("192.0.2.9"));
    assert_eq!(told[1].actor.trace.as_deref(), Some("t-1"));
    assert!(!format!("{told:?}").contains(&good.reveal()[3..46]), "the audit holds no secret");
    world.assert_ledger_whole().await;
}

async fn a_session_ends_by_time(world: &World) {
    let ann = world.acme.analyst();
    let mut now = set_password(world, world.acme.id, ann, PASSWORD).await;
    let ends = now.session.ends_at;
    let actor = who(world, now.access.reveal()).await.unwrap();
    assert_eq!(actor.expires_at, Some(world.clock.now().plus(Span(15 * Span::MINUTE.0))));
    world.clock.advance(Span(15 * Span::MINUTE.0));
    refused(who(world, now.access.reveal()).await, Code::Unauthenticated);
    let visitor = from("192.0.2.9");
    // Refreshed each six days it goes on, until it has lived for thirty.
    for _ in 0..4 {
        world.clock.advance(Span(6 * Span::DAY.0));
        let token = now.refresh.take().unwrap();
        now = world.domain.session_refresh(token.reveal(), None, &visitor).await.unwrap();
        assert_eq!(now.session.ends_at, ends);
    }
    world.clock.advance(Span(6 * Span::DAY.0));
    refused(
        world.domain.session_refresh(now.refresh.unwrap().reveal(), None, &visitor).await,
        Code::Unauthenticated,
    );
    // Left alone, it ends after a week.
    let email = email_of(world, ann).await;
    let alone = sign_in(world, &email, PASSWORD, &visitor).await.unwrap();
    world.clock.advance(Span(7 * Span::DAY.0));
    refused(
        world.domain.session_refresh(alone.refresh.unwrap().reveal(), None, &visitor).await,
        Code::Unauthenticated,
    );
}

async fn sessions_are_listed_and_ended(world: &World) {
    let ann = world.acme.analyst();
    let email = email_of(world, ann).await;
    let first = set_password(world, world.acme.id, ann, PASSWORD).await;
    let second = sign_in(world, &email, PASSWORD, &from("192.0.2.2")).await.unwrap();
    let third = sign_in(world, &email, PASSWORD, &from("192.0.2.3")).await.unwrap();
    let me = who(world, first.access.reveal()).await.unwrap();
    let listed = world.domain.sessions(&me, &PageArgs::default()).await.unwrap();
    let addresses: Vec<_> = listed.nodes().map(|session| session.address.unwrap()).collect();
    assert_eq!(addresses.len(), 3);
    assert!(addresses.contains(&"192.0.2.2".to_owned()), "{addresses:?}");

    // Nobody sees or ends another's.
    let admin = world.acme.admin();
    refused(world.domain.session_end(admin, second.session.id).await, Code::NotFound);
    refused(world.domain.session(admin, second.session.id).await, Code::NotFound);
    assert_eq!(world.domain.session_count(admin).await.unwrap(), 0);
    world.domain.session_end(&me, second.session.id).await.unwrap();
    refused(world.domain.session_end(&me, second.session.id).await, Code::NotFound);
    refused(who(world, second.access.reveal()).await, Code::Unauthenticated);
    who(world, third.access.reveal()).await.unwrap();

    // Everywhere: the sessions, and the API tokens if asked.
    let token = &world.acme.person(Role::Analyst).token;
    let bob = world.acme.author();
    refused(world.domain.sign_out_everywhere(bob, Some(ann.id), true).await, Code::Forbidden);
    let (_, ended) = world.domain.sign_out_everywhere(&me, None, false).await.unwrap();
    assert_eq!(ended, 2);
    refused(who(world, third.access.reveal()).await, Code::Unauthenticated);
    who(world, token).await.unwrap();
    let again = sign_in(world, &email, PASSWORD, &from("192.0.2.3")).await.unwrap();
    let (_, ended) = world.domain.sign_out_everywhere(admin, Some(ann.id), true).await.unwrap();
    assert_eq!(ended, 1);
    refused(who(world, again.access.reveal()).await, Code::Unauthenticated);
    refused(who(world, token).await, Code::Unauthenticated);
    refused(world.domain.sign_out_everywhere(world.globex.admin(), Some(ann.id), true).await, Code::NotFound);
}

async fn a_session_has_the_rights_of_the_moment(world: &World) {
    let ann = world.acme.analyst();
    let granted = set_password(world, world.acme.id, ann, PASSWORD).await;
    let admin = world.acme.admin();
    // Who is connected is sent away when what it came with ends, or gives other rights.
    let connected = Arc::new(who(world, granted.access.reveal()).await.unwrap());
    let by_issuer = Arc::new(Actor { session: None, ..Actor::clone(&connected) });
    let stand = async |actors: &[Arc<Actor>]| world.domain.standing(actors).await.unwrap();
    let both = [connected.clone(), by_issuer];
    assert_eq!(stand(&both).await, [true, true]);
    let membership = world.domain.memberships_of(admin, &[ann.id]).await.unwrap().remove(&ann.id).unwrap();
    let change = MembershipChange { role: Some(Role::Viewer), portfolio: None };
    world.domain.membership_update(admin, membership.id, membership.version, change).await.unwrap();
    let now = who(world, granted.access.reveal()).await.unwrap();
    assert_eq!(now.role, Role::Viewer);
    assert_eq!(stand(&both).await, [false, false]);
    let again = Arc::new(now.clone());
    assert_eq!(stand(&[again.clone(), connected.clone()]).await, [true, false]);
    world.domain.sign_out(&now).await.unwrap();
    assert_eq!(stand(&[again]).await, [false]);
}

async fn a_company_is_chosen_and_switched(world: &World) {
    let ann = world.acme.analyst();
    let email = email_of(world, ann).await;
    set_password(world, world.acme.id, ann, PASSWORD).await;
    let new = NewUser {
        email: email.clone(),
        name: "Ann".into(),
        grant: Some((Role::Viewer, Portfolio::Whole)),
        platform_admin: false,
    };
    world.domain.user_create(world.globex.admin(), new).await.unwrap();
    let door = door(world).await;
    let body = json!({ "email": email, "password": PASSWORD });
    let (_, granted) = door.send("/v1/auth/sign-in", &body).await;
    assert_eq!(text(&granted["company"]["name"]), "Acme");
    let companies: Vec<_> =
        granted["companies"].as_array().unwrap().iter().map(|company| text(&company["name"])).collect();
    assert_eq!(companies, ["Acme", "Globex"]);
    let globex = &granted["companies"][1]["id"];
    let inside = door.with(text(&granted["accessToken"]));
    let (status, switched) = inside.send("/v1/auth/switch", &json!({ "company": globex })).await;
    assert_eq!((status, text(&switched["company"]["role"])), (200, "VIEWER"), "{switched}");
    assert_eq!(switched["session"], granted["session"]);
    assert_eq!(switched["refreshToken"], json!(null));
    let there = who(world, text(&switched["accessToken"])).await.unwrap();
    assert_eq!((there.company, there.role), (world.globex.id, Role::Viewer));
    let here = who(world, text(&granted["accessToken"])).await.unwrap();
    assert_eq!((here.company, here.role), (world.acme.id, Role::Analyst));

    let chosen = json!({ "email": email, "password": PASSWORD, "company": globex });
    assert_eq!(text(&door.send("/v1/auth/sign-in", &chosen).await.1["company"]["name"]), "Globex");
    // Another's company is one that does not exist.
    let bob = world.globex.analyst();
    set_password(world, world.globex.id, bob, OTHER).await;
    let acme = &granted["companies"][0]["id"];
    let body = json!({ "email": email_of(world, bob).await, "password": OTHER, "company": acme });
    assert_eq!(door.send("/v1/auth/sign-in", &body).await.0, 404);

    // Out of one company, the session goes on in the other.
    let admin = world.globex.admin();
    let membership = world.domain.memberships_of(admin, &[ann.id]).await.unwrap().remove(&ann.id).unwrap();
    world.domain.membership_remove(admin, membership.id, membership.version).await.unwrap();
    refused(who(world, text(&switched["accessToken"])).await, Code::Unauthenticated);
    let body = json!({ "refreshToken": granted["refreshToken"] });
    assert_eq!(text(&door.send("/v1/auth/refresh", &body).await.1["company"]["name"]), "Acme");
    assert_eq!(inside.send("/v1/auth/switch", &json!({ "company": globex })).await.0, 404);
    // An API token has no session to switch.
    let token = door.with(&world.acme.person(Role::Author).token);
    assert_eq!(token.send("/v1/auth/switch", &json!({ "company": acme })).await.0, 409);
}
