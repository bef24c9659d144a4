//! One-time links: the first admin, invitations, new passwords.

use domain::access::{Actor, GLOBAL, Portfolio, Role};
use domain::error::Code;
use domain::gateway::clock::Clock;
use domain::intake::limits::Limits;
use domain::inventory::user::NewUser;
use domain::signin::SignInSettings;
use domain::signin::invitation::NewInvitation;
use domain::signin::link::{Acceptance, Purpose};
use domain::signin::password::Password;
use domain::store::Db;
use domain::vocabulary::time::Span;
use domain::{Domain, Settings};
use serde_json::json;
use support::{Database, NOW, Wire, World, on_both};

use super::{OTHER, PASSWORD, door, email_of, from, set_password, sign_in, text, who};
use crate::ground::refused;

on_both!(
    the_first_admin_comes_in_by_a_link,
    an_invitation_is_handed_over,
    an_invitation_takes_over_no_account,
    a_link_sets_a_new_password_once,
);

fn with(password: &str) -> Acceptance {
    Acceptance { password: Some(Password::new(password)), ..Acceptance::default() }
}

async fn the_first_admin_comes_in_by_a_link(world: &World) {
    let database = Database::fresh(world.engine).unwrap();
    let clock = Clock::held(NOW);
    let settings = Settings {
        folder: database.folder.path().to_owned(),
        limits: Limits::default(),
        sign_in: SignInSettings {
            url: Some("https://countersign.example/".into()),
            ..SignInSettings::default()
        },
    };
    let domain = Domain::new(Db::open(&database.url).await.unwrap(), clock.clone(), settings, clock.id());
    let operator = Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "command line") };
    let stale = domain.setup_link(&operator).await.unwrap().unwrap();
    let link = domain.setup_link(&operator).await.unwrap().unwrap();
    let url = api::sign_in::link_url(&domain, &link);
    let path = url.strip_prefix("https://countersign.example").expect("the server knows its address");
    let door = Wire::serve(&domain, api::server::settings::Settings::default()).await;
    refused(domain.link(stale.reveal()).await, Code::NotFound);
    let (status, facts) = door.get(path).await;
    assert_eq!(status, 200);
    assert!(facts.contains("SETUP"), "{facts}");

    let good = json!({ "company": "Acme", "name": "Ada", "email": "ada@acme.example", "password": PASSWORD });
    for (field, bad) in [("company", ""), ("email", "ada"), ("password", "Acme-Ada-1234"), ("name", "")] {
        let mut body = good.clone();
        body[field] = json!(bad);
        let (status, problem) = door.send(path, &body).await;
        assert_eq!((status, &problem["field"]), (400, &json!([field])), "{problem}");
    }
    let (status, granted) = door.send(path, &good).await;
    assert_eq!(status, 200, "{granted}");
    assert_eq!(text(&granted["company"]["role"]), "ADMIN");
    let ada = domain.authenticate(text(&granted["accessToken"]), None, None).await.unwrap();
    assert!(domain.user(&ada, ada.id).await.unwrap().platform_admin);
    assert_eq!(granted["companies"].as_array().unwrap().len(), 2, "and what all companies share");

    // It was good once, and there is no other.
    assert_eq!(door.send(path, &good).await.0, 404);
    assert!(domain.setup_link(&operator).await.unwrap().is_none());
    let body = json!({ "email": "ada@acme.example", "password": PASSWORD });
    assert_eq!(door.send("/v1/auth/sign-in", &body).await.0, 200);
    domain.db().clone().close().await.unwrap();
}

async fn an_invitation_is_handed_over(world: &World) {
    let admin = Wire::of(world, world.acme.person(Role::Admin)).await;
    let create = "mutation($input: InvitationCreateInput!, $key: String) {
        invitationCreate(input: $input, idempotencyKey: $key) {
            issued { link invitation { id email role } } userErrors { code field } } }";
    let input = json!({ "email": "Dee@acme.example", "role": "ANALYST" });
    let first = admin.done(create, json!({ "input": input })).await["issued"].clone();
    let again = admin.done(create, json!({ "input": input, "key": "k" })).await["issued"].clone();
    let repeated = admin.done(create, json!({ "input": input, "key": "k" })).await["issued"].clone();
    assert_eq!((&repeated["link"], &repeated["invitation"]), (&json!(null), &again["invitation"]));
    let door = admin.nobody();
    assert_eq!(door.get(text(&first["link"])).await.0, 404, "a new invitation ends the open one");
    let path = text(&again["link"]).to_owned();
    assert!(path.starts_with("/v1/auth/links/cl_"), "{path}");
    let (_, facts) = door.get(&path).await;
    assert!(facts.contains("INVITATION") && facts.contains("dee@acme.example") && facts.contains("Acme"));
    assert_eq!(door.send(&path, &json!({ "name": "Dee" })).await.0, 400);
    assert_eq!(door.send(&path, &json!({ "name": "Dee", "password": "short" })).await.0, 400);
    let body = json!({ "name": "Dee", "password": PASSWORD });
    let (status, granted) = door.send(&path, &body).await;
    assert_eq!((status, text(&granted["company"]["role"])), (200, "ANALYST"), "{granted}");
    assert_eq!(door.send(&path, &body).await.0, 404, "it is good once");
    let taken = admin.try_do(create, json!({ "input": input })).await;
    assert_eq!(taken["userErrors"], json!([{ "code": "TAKEN", "field": ["input", "email"] }]));

    // Taken back, or left too long, it is good no more.
    let input = json!({ "email": "eve@acme.example", "role": "ADMIN" });
    let open = admin.done(create, json!({ "input": input })).await["issued"].clone();
    let revoke =
        "mutation($id: ID!) { invitationRevoke(id: $id) { invitation { revokedAt } userErrors { code } } }";
    let id = json!({ "id": open["invitation"]["id"] });
    assert!(!admin.done(revoke, id.clone()).await["invitation"]["revokedAt"].is_null());
    admin.done(revoke, id).await;
    assert_eq!(door.send(text(&open["link"]), &json!({ "name": "Eve", "password": OTHER })).await.0, 404);
    let open = admin.done(create, json!({ "input": input })).await["issued"].clone();
    world.clock.advance(Span(7 * Span::DAY.0));
    assert_eq!(door.send(text(&open["link"]), &json!({ "name": "Eve", "password": OTHER })).await.0, 404);
    let listed =
        admin.ask("{ invitations { totalCount nodes { email acceptedAt revokedAt } } }", json!({})).await;
    assert_eq!(listed["invitations"]["totalCount"], 4);

    // Only who manages members invites, and nobody to more than there is.
    let new = |role| NewInvitation {
        email: "fay@acme.example".into(),
        role,
        portfolio: Portfolio::Whole,
        life: None,
    };
    let domain = &world.domain;
    refused(domain.invitation_create(world.acme.author(), new(Role::Viewer)).await, Code::Forbidden);
    refused(domain.invitation_create(world.acme.admin(), new(Role::PlatformAdmin)).await, Code::Invalid);
    let life = Some(Span(31 * Span::DAY.0));
    let long = NewInvitation { life, ..new(Role::Viewer) };
    refused(domain.invitation_create(world.acme.admin(), long).await, Code::Invalid);
}

async fn an_invitation_takes_over_no_account(world: &World) {
    let (domain, visitor) = (&world.domain, from("192.0.2.1"));
    let ann = world.acme.analyst();
    let email = email_of(world, ann).await;
    let session = set_password(world, world.acme.id, ann, PASSWORD).await;
    let invite = async |email: &str| {
        let new = NewInvitation {
            email: email.into(),
            role: Role::Viewer,
            portfolio: Portfolio::Whole,
            life: None,
        };
        domain.invitation_create(world.globex.admin(), new).await.unwrap().1
    };
    let link = invite(&email).await;
    assert!(domain.link(link.reveal()).await.unwrap().proof);
    let named = Acceptance { name: Some("Ann".into()), ..with(OTHER) };
    refused(domain.link_accept(link.reveal(), named, &visitor).await, Code::Unauthenticated);
    refused(domain.link_accept(link.reveal(), Acceptance::default(), &visitor).await, Code::Required);
    let eve = set_password(world, world.acme.id, world.acme.author(), OTHER).await;
    let eve = who(world, eve.access.reveal()).await.unwrap();
    let by_eve = Acceptance { actor: Some(eve), ..Acceptance::default() };
    refused(domain.link_accept(link.reveal(), by_eve, &visitor).await, Code::Forbidden);
    let by_token = Acceptance { actor: Some(ann.clone()), ..Acceptance::default() };
    refused(domain.link_accept(link.reveal(), by_token, &visitor).await, Code::Unauthenticated);
    // Nothing of this used the link up: the owner accepts, by a session or the password.
    let actor = who(world, session.access.reveal()).await.unwrap();
    let by_owner = Acceptance { actor: Some(actor), ..Acceptance::default() };
    let granted = domain.link_accept(link.reveal(), by_owner, &visitor).await.unwrap();
    assert_eq!((granted.company, granted.companies.len()), (world.globex.id, 2));
    sign_in(world, &email, PASSWORD, &visitor).await.unwrap();

    // An account without a password that is another company's is not given one either.
    let admin_mail = email_of(world, world.acme.admin()).await;
    let link = invite(&admin_mail).await;
    assert!(domain.link(link.reveal()).await.unwrap().proof);
    refused(domain.link_accept(link.reveal(), with(OTHER), &visitor).await, Code::Unauthenticated);
    // One that is nobody's is.
    let new =
        NewUser { email: "new@x.example".into(), name: "New".into(), grant: None, platform_admin: false };
    domain.user_create(&world.root, new).await.unwrap();
    let link = invite("new@x.example").await;
    assert!(!domain.link(link.reveal()).await.unwrap().proof);
    domain.link_accept(link.reveal(), with(OTHER), &visitor).await.unwrap();
}

async fn a_link_sets_a_new_password_once(world: &World) {
    let (domain, visitor) = (&world.domain, from("192.0.2.1"));
    let ann = world.acme.analyst();
    let email = email_of(world, ann).await;
    let before = set_password(world, world.acme.id, ann, PASSWORD).await;
    let admin = Wire::of(world, world.acme.person(Role::Admin)).await;
    let reset = "mutation($id: ID!) { userPasswordReset(id: $id) {
        issued { link user { email } } userErrors { code } } }";
    let id = api::graphql::id::Noun::User.id(ann.id).to_string();
    let stale = admin.done(reset, json!({ "id": id })).await["issued"]["link"].clone();
    let issued = admin.done(reset, json!({ "id": id })).await["issued"].clone();
    assert_eq!(issued["user"]["email"], json!(email));
    let door = door(world).await;
    assert_eq!(door.send(text(&stale), &json!({ "password": OTHER })).await.0, 404);
    who(world, before.access.reveal()).await.unwrap();
    let path = text(&issued["link"]);
    assert_eq!(door.send(path, &json!({ "password": "Acme Acme Acme" })).await.0, 400);
    let (status, granted) = door.send(path, &json!({ "password": OTHER })).await;
    assert_eq!(status, 200, "{granted}");
    assert_eq!(door.send(path, &json!({ "password": OTHER })).await.0, 404);
    // What was open before is not any more.
    refused(who(world, before.access.reveal()).await, Code::Unauthenticated);
    refused(sign_in(world, &email, PASSWORD, &visitor).await, Code::Unauthenticated);
    sign_in(world, &email, OTHER, &visitor).await.unwrap();

    let (_, link) = domain.password_link(world.acme.admin(), ann.id).await.unwrap();
    assert_eq!(domain.link(link.reveal()).await.unwrap().purpose, Purpose::Password);
    world.clock.advance(Span::DAY);
    refused(domain.link_accept(link.reveal(), with(PASSWORD), &visitor).await, Code::NotFound);
    for nobody in ["", "cl_", "cl_AAAA", &link.reveal()[3..]] {
        refused(domain.link(nobody).await, Code::NotFound);
    }

    // Only who manages members makes one, for an account that is theirs alone.
    refused(domain.password_link(world.acme.author(), ann.id).await, Code::Forbidden);
    refused(domain.password_link(world.globex.admin(), ann.id).await, Code::NotFound);
    let new = NewUser {
        email,
        name: "Ann".into(),
        grant: Some((Role::Viewer, Portfolio::Whole)),
        platform_admin: false,
    };
    domain.user_create(world.globex.admin(), new).await.unwrap();
    for admin in [world.acme.admin(), world.globex.admin()] {
        refused(domain.password_link(admin, ann.id).await, Code::IllegalState);
    }
    domain.password_link(&world.root, ann.id).await.unwrap();
}
