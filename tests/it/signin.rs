//! How people come in and go: links, passwords, sessions.

mod door;
mod leaving;
mod links;
mod oidc;
mod sessions;

use domain::access::Actor;
use domain::error::Result;
use domain::signin::Visitor;
use domain::signin::link::Acceptance;
use domain::signin::password::{Password, SignIn};
use domain::signin::session::Granted;
use serde_json::Value as Json;
use support::{Wire, World};

pub const PASSWORD: &str = "seven sheep jump over";
pub const OTHER: &str = "eight goats look away";

/// Somebody at an address.
pub fn from(address: &str) -> Visitor {
    Visitor { address: Some(address.to_owned()), agent: Some("probe/1".into()), trace: Some("t-1".into()) }
}

/// Gives a member a password, by a link of the operator's.
pub async fn set_password(world: &World, company: uuid::Uuid, user: &Actor, password: &str) -> Granted {
    let operator = Actor::system(company, "operator");
    let (_, link) = world.domain.password_link(&operator, user.id).await.unwrap();
    let with = Acceptance { password: Some(Password::new(password)), ..Acceptance::default() };
    world.domain.link_accept(link.reveal(), with, &from("192.0.2.9")).await.unwrap()
}

pub async fn sign_in(world: &World, email: &str, password: &str, visitor: &Visitor) -> Result<Granted> {
    let sign_in =
        SignIn { email: email.to_owned(), password: Password::new(password), company: None, device: None };
    world.domain.sign_in(sign_in, visitor).await
}

pub async fn email_of(world: &World, actor: &Actor) -> String {
    world.domain.user(actor, actor.id).await.unwrap().email
}

pub async fn who(world: &World, access: &str) -> Result<Actor> {
    world.domain.authenticate(access, None, None).await
}

/// A way to a server on which nobody has come in.
pub async fn door(world: &World) -> Wire {
    Wire::of(world, world.acme.person(domain::access::Role::Admin)).await.nobody()
}

pub fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}
