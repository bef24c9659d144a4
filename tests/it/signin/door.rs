//! Passwords at the door: what is told, what is counted, what is kept.

use domain::access::{Actor, Role};
use domain::error::Code;
use domain::inventory::user::UserChange;
use domain::ledger::audit::AuditFilter;
use domain::page::PageArgs;
use domain::signin::Visitor;
use domain::signin::link::Acceptance;
use domain::signin::password::{Password, SignIn};
use domain::vocabulary::time::Span;
use serde_json::json;
use support::{World, content, on_both};

use super::{OTHER, PASSWORD, door, email_of, from, set_password, sign_in, text, who};
use crate::ground::{Ground, refused};

on_both!(
    whatever_is_wrong_at_the_door_is_answered_the_same,
    failures_in_one_place_shut_nobody_out_in_another,
    attempts_at_once_are_counted_before_they_are_looked_at,
    a_password_is_changed_by_its_owner,
);

async fn whatever_is_wrong_at_the_door_is_answered_the_same(world: &World) {
    let (ann, eve) = (world.acme.analyst(), world.acme.author());
    let email = email_of(world, ann).await;
    set_password(world, world.acme.id, ann, PASSWORD).await;
    set_password(world, world.acme.id, eve, OTHER).await;
    let disabled = UserChange { disabled: Some(true), ..UserChange::default() };
    let eve_mail = email_of(world, eve).await;
    world.domain.user_update(world.acme.admin(), eve.id, 1, disabled).await.unwrap();
    let without = email_of(world, world.acme.admin()).await;
    let door = door(world).await;
    let long = "x".repeat(5_000);
    let wrong = [
        (email.as_str(), "seven sheep jump oveR"),
        (email.as_str(), ""),
        (email.as_str(), long.as_str()),
        (eve_mail.as_str(), OTHER),
        (without.as_str(), PASSWORD),
        ("nobody@acme.example", PASSWORD),
        ("' OR 1=1 --", PASSWORD),
        ("", ""),
    ];
    let mut answers = Vec::new();
    for (email, password) in wrong {
        answers.push(door.send("/v1/auth/sign-in", &json!({ "email": email, "password": password })).await);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!((answers[0].0, text(&answers[0].1["code"])), (401, "UNAUTHENTICATED"));

    // The audit knows why and from where, and holds nothing of what was typed.
    let failed = || AuditFilter { action: Some("user.sign_in_failed".into()), ..AuditFilter::default() };
    let mut reasons = Vec::new();
    for entry in world.audit(&failed(), 100).await {
        assert_eq!(entry.actor.address.as_deref(), Some("127.0.0.1"));
        assert!(entry.actor.trace.is_some() && !format!("{entry:?}").contains("sheep"));
        reasons.push(content(&entry.cause)["reason"].as_str().unwrap().to_owned());
    }
    assert_eq!(reasons, ["wrong password", "wrong password", "wrong password", "disabled", "no password"]);
    let shared = world.domain.audit_entries(&world.root, &failed(), &PageArgs::default()).await.unwrap();
    let shared: Vec<_> = shared.nodes().collect();
    assert_eq!(shared.iter().filter(|entry| entry.record.is_nil()).count(), 3);
    assert!(shared.iter().all(|entry| !format!("{entry:?}").contains("nobody@")));
    world.assert_ledger_whole().await;
}

async fn failures_in_one_place_shut_nobody_out_in_another(world: &World) {
    let ann = world.acme.analyst();
    let email = email_of(world, ann).await;
    let before = set_password(world, world.acme.id, ann, PASSWORD).await;
    let (home, cafe) = (from("192.0.2.1"), from("198.51.100.7"));
    let known = sign_in(world, &email, PASSWORD, &cafe).await.unwrap().device.unwrap();
    let guess = async |visitor: &Visitor| sign_in(world, &email, "a guess of mine", visitor).await;
    for _ in 0..6 {
        refused(guess(&cafe).await, Code::Unauthenticated);
    }
    let mut waits = Vec::new();
    for _ in 0..4 {
        let error = refused(guess(&cafe).await, Code::TooManyAttempts);
        // Not even the right password is looked at meanwhile.
        refused(sign_in(world, &email, PASSWORD, &cafe).await, Code::TooManyAttempts);
        let seconds = error.details["retryAfter"].as_i64().unwrap();
        waits.push(seconds);
        world.clock.advance(Span(seconds * Span::SECOND.0));
        refused(guess(&cafe).await, Code::Unauthenticated);
    }
    assert_eq!(waits, [1, 2, 4, 8]);

    // The owner elsewhere, on the device that is known here, and with what is open notices nothing.
    sign_in(world, &email, PASSWORD, &home).await.unwrap();
    let on_device = |device: &str| SignIn {
        email: email.clone(),
        password: Password::new(PASSWORD),
        company: None,
        device: Some(device.to_owned()),
    };
    let again = world.domain.sign_in(on_device(known.reveal()), &cafe).await.unwrap();
    assert_eq!(again.device.unwrap(), known);
    who(world, before.access.reveal()).await.unwrap();
    // A device that is another's, or made up, is none.
    let bob = world.acme.author();
    set_password(world, world.acme.id, bob, OTHER).await;
    let bobs = sign_in(world, &email_of(world, bob).await, OTHER, &home).await.unwrap().device.unwrap();
    for device in [bobs.reveal(), "cd_made_up", ""] {
        refused(world.domain.sign_in(on_device(device), &cafe).await, Code::TooManyAttempts);
    }
    // A stolen device that guesses is slowed down too.
    let mut codes = Vec::new();
    for _ in 0..8 {
        let wrong = SignIn { password: Password::new("a guess of mine"), ..on_device(known.reveal()) };
        codes.push(world.domain.sign_in(wrong, &home).await.unwrap_err().code);
    }
    assert_eq!(codes.iter().filter(|code| **code == Code::TooManyAttempts).count(), 2);

    // One address that tries many accounts is slowed down as a whole.
    let spray = from("203.0.113.5");
    let mut tried = 0;
    while sign_in(world, &format!("user{tried}@acme.example"), PASSWORD, &spray)
        .await
        .is_err_and(|error| error.code == Code::Unauthenticated)
    {
        tried += 1;
    }
    assert_eq!(tried, 31);
    sign_in(world, &email, PASSWORD, &home).await.unwrap();

    // What is refused says when to come back, over the wire too.
    let door = door(world).await;
    let body = json!({ "email": email, "password": "a guess of mine" });
    let answers = [
        door.send("/v1/auth/sign-in", &body).await,
        door.send("/v1/auth/sign-in", &body).await,
        door.send("/v1/auth/sign-in", &body).await,
        door.send("/v1/auth/sign-in", &body).await,
        door.send("/v1/auth/sign-in", &body).await,
        door.send("/v1/auth/sign-in", &body).await,
        door.send("/v1/auth/sign-in", &body).await,
    ];
    let last = &answers[6];
    assert_eq!((last.0, text(&last.1["code"]), &last.1["retryAfter"]), (429, "TOO_MANY_ATTEMPTS", &json!(1)));
}

async fn attempts_at_once_are_counted_before_they_are_looked_at(world: &World) {
    let ann = world.acme.analyst();
    let email = email_of(world, ann).await;
    set_password(world, world.acme.id, ann, PASSWORD).await;
    let visitor = from("192.0.2.77");
    let guesses = (0..20).map(|_| sign_in(world, &email, "a guess of mine", &visitor));
    let answers = futures_util::future::join_all(guesses).await;
    let looked_at =
        answers.iter().filter(|answer| answer.as_ref().is_err_and(|e| e.code == Code::Unauthenticated));
    assert_eq!(looked_at.count(), 6);
}

async fn a_password_is_changed_by_its_owner(world: &World) {
    let ann = world.acme.analyst();
    let email = email_of(world, ann).await;
    let other = set_password(world, world.acme.id, ann, PASSWORD).await;
    let door = door(world).await;
    let body = json!({ "email": email, "password": PASSWORD });
    let (_, mine) = door.send("/v1/auth/sign-in", &body).await;
    let inside = door.with(text(&mine["accessToken"]));
    let change = async |present: &str, new: &str| {
        inside.send("/v1/auth/password", &json!({ "present": present, "new": new })).await
    };
    for (present, new, field) in [
        ("not mine at all", OTHER, "present"),
        (PASSWORD, "too short", "password"),
        (PASSWORD, "acme-Acme-ACME", "password"),
        (PASSWORD, "analyst@acme.example", "password"),
        (PASSWORD, "aaaaaaaaaaaaaaaa", "password"),
    ] {
        let (status, problem) = change(present, new).await;
        assert_eq!((status, &problem["field"]), (400, &json!([field])), "{new}: {problem}");
    }
    let (status, changed) = change(PASSWORD, OTHER).await;
    assert_eq!((status, &changed["sessionsEnded"]), (200, &json!(1)), "{changed}");
    refused(who(world, other.access.reveal()).await, Code::Unauthenticated);
    who(world, text(&mine["accessToken"])).await.unwrap();
    assert_eq!(door.send("/v1/auth/sign-in", &body).await.0, 401);
    assert_eq!(door.send("/v1/auth/sign-in", &json!({ "email": email, "password": OTHER })).await.0, 200);
    let token = door.with(&world.acme.person(Role::Author).token);
    let body = json!({ "present": PASSWORD, "new": OTHER });
    assert_eq!(token.send("/v1/auth/password", &body).await.0, 409);
    assert_eq!(door.send("/v1/auth/password", &body).await.0, 401);
}

/// What is on the disk is of no use to who reads it.
#[test]
fn nothing_that_opens_a_door_is_kept() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ground = Ground::alone().await;
        let (domain, visitor) = (&ground.domain, from("192.0.2.1"));
        let operator = Actor::system(ground.company.id, "operator");
        let (user, link) = domain.password_link(&operator, ground.admin.id).await.unwrap();
        let with = Acceptance { password: Some(Password::new(PASSWORD)), ..Acceptance::default() };
        let by_link = domain.link_accept(link.reveal(), with, &visitor).await.unwrap();
        let sign_in =
            SignIn { email: user.email, password: Password::new(PASSWORD), company: None, device: None };
        let granted = domain.sign_in(sign_in, &visitor).await.unwrap();
        let mut secrets = vec![PASSWORD.to_owned(), link.reveal()[3..].to_owned()];
        for granted in [by_link, granted] {
            secrets.push(granted.access.reveal()[3..].to_owned());
            let refresh = granted.refresh.unwrap().reveal().to_owned();
            secrets.extend([refresh[3..46].to_owned(), refresh[46..].to_owned()]);
            secrets.extend(granted.device.map(|device| device.reveal()[3..].to_owned()));
        }
        let file = ground.url().trim_start_matches("sqlite:");
        let mut kept = std::fs::read(file).unwrap();
        kept.extend(std::fs::read(format!("{file}-wal")).unwrap_or_default());
        let holds = |text: &str| kept.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(holds("$argon2id$") && holds("192.0.2.1"), "it is looked at where it is kept");
        for secret in &secrets {
            assert!(!holds(secret), "{secret} is kept");
        }
        assert_eq!(secrets.len(), 9);
    });
}
