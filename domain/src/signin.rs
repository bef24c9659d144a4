//! How people come in, and how what they came in with ends.
//!
//! A person shows a password, a one-time link, or that an issuer of the configuration knows them, and
//! is given a *session*: an access token that lives for minutes, and a refresh token that is good
//! once. Programs come with API tokens ([`crate::inventory::token`]) or, where the configuration says
//! so, with an issuer's own tokens. Whatever one comes with, [`Domain::authenticate`] makes an
//! [`Actor`] of it with the rights of that moment.

use std::time::Duration;

use crate::Domain;
use crate::access::Actor;
use crate::error::{Code, Error, Result};
use crate::gateway::http::Egress;

pub mod invitation;
pub mod leaving;
pub mod link;
pub mod oidc;
pub mod password;
pub mod secret;
pub mod session;
pub mod setup;
pub mod throttle;

use oidc::Provider;
use oidc::issuer::Issuer;
use password::hash::Passwords;

/// How long an issuer may let wait for itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an operator sets of signing in.
#[derive(Clone, Debug, Default)]
pub struct SignInSettings {
    /// Where people reach this server: `https://countersign.example.com`.
    pub url: Option<String>,
    /// The issuers that people come in by.
    pub providers: Vec<Provider>,
    /// The way out to them.
    pub egress: Egress,
}

/// What signing in keeps in memory.
pub(crate) struct Doors {
    pub passwords: Passwords,
    pub issuers: Vec<Issuer>,
}

impl Doors {
    pub fn new(settings: &SignInSettings) -> Self {
        let egress = || settings.egress.clone().with_patience(PATIENCE);
        let issuers = settings.providers.iter().map(|provider| Issuer::new(provider.clone(), egress()));
        Self { passwords: Passwords::default(), issuers: issuers.collect() }
    }
}

/// Where somebody who signs in comes from, for the audit and the list of sessions.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    pub address: Option<String>,
    /// What the client calls itself.
    pub agent: Option<String>,
    pub trace: Option<String>,
}

impl Domain {
    /// Who comes with this bearer token. Whatever is wrong with it, the answer is the same.
    pub async fn authenticate(
        &self,
        bearer: &str,
        address: Option<String>,
        trace: Option<String>,
    ) -> Result<Actor> {
        let found = if bearer.starts_with(secret::ACCESS) {
            self.session_actor(bearer).await?
        } else if bearer.starts_with(secret::API_TOKEN) {
            self.token_actor(bearer).await?
        } else {
            self.jwt_actor(bearer).await?
        };
        let mut actor = found.ok_or_else(unknown)?;
        actor.address = address;
        actor.trace = trace;
        Ok(actor)
    }
}

/// The one answer to whatever is wrong with a token.
fn unknown() -> Error {
    Error::new(Code::Unauthenticated, Code::Unauthenticated.meaning())
}
