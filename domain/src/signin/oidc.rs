//! Coming in by an issuer of OpenID Connect: the authorization code with PKCE, and, where the
//! configuration says so, bearer tokens of the issuer for programs.
//!
//! A sign-in that was begun is one row with digests: of the state that goes round by the provider, and
//! of a *binding* that stays with the client that began it. The nonce and the PKCE verifier are drawn
//! from the binding, so nothing is kept that could be used. Finishing takes the row away: a state is
//! good once.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use super::Visitor;
use super::secret::{self, Secret, digest};
use super::session::{Granted, scope_of};
use crate::Domain;
use crate::access::{Actor, GLOBAL, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::ledger::AuditEntry;
use crate::vocabulary::time::Span;

pub(crate) mod claims;
mod identity;
pub(crate) mod issuer;
pub(crate) mod store;

pub use issuer::check_address;

use claims::{Claims, Expected, Fault};
use issuer::Issuer;

/// How long somebody may take at the provider.
const PATIENCE: Span = Span(10 * Span::MINUTE.0);
/// How long a session lives before the provider is asked again, and with that the groups.
const LIFE: Span = Span(12 * Span::HOUR.0);
/// The largest answer of a provider, in bytes.
const MOST: u64 = 1 << 20;

/// A secret of the configuration. It is not printed by accident.
#[derive(Clone, Default)]
pub struct ClientSecret(pub String);

impl std::fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// What being in a group gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupGrant {
    pub group: String,
    /// The company's name.
    pub company: String,
    pub role: Role,
}

/// An issuer that people come in by.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// Its name in addresses.
    pub key: String,
    /// What people call it.
    pub label: String,
    pub issuer: String,
    pub client_id: String,
    /// None for a public client.
    pub client_secret: Option<ClientSecret>,
    /// What is asked for beside `openid email profile`.
    pub scopes: Vec<String>,
    /// The claim that names the groups.
    pub groups_claim: String,
    /// In their order: of several for one company the first counts.
    pub grants: Vec<GroupGrant>,
    /// The domains of addresses that the issuer speaks for.
    pub domains: Vec<String>,
    /// Whether who is not known gets an account.
    pub provisioning: bool,
    /// The audience of bearer tokens for programs; without one they are not taken.
    pub audience: Option<String>,
    /// The page that the provider sends people back to, where it is not this server's own.
    pub redirect: Option<String>,
}

/// A sign-in that was begun: where to go, and what to come back with.
#[derive(Clone, Debug)]
pub struct Departure {
    pub url: String,
    pub binding: Secret,
}

/// What somebody comes back with from the provider.
#[derive(Clone, Debug)]
pub struct Return {
    pub state: String,
    pub code: String,
    pub binding: String,
    /// Who says that it answers (RFC 9207).
    pub issuer: Option<String>,
}

/// A value that only who has the binding can work out.
fn drawn(binding: &str, what: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{what}\n{binding}")))
}

impl Domain {
    /// The providers of the configuration, for those who are at the door.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.doors().issuers.iter().map(|issuer| &issuer.provider)
    }

    fn issuer(&self, key: &str) -> Result<&Issuer> {
        let found = self.doors().issuers.iter().find(|issuer| issuer.provider.key == key);
        found.ok_or_else(|| Error::not_found("provider"))
    }

    /// Where the provider sends people back to.
    fn redirect_uri(&self, provider: &Provider) -> Result<String> {
        if let Some(redirect) = &provider.redirect {
            return Ok(redirect.clone());
        }
        let message = "The server does not know its own address: its operator sets `url`.";
        let url = self.settings().sign_in.url.as_deref();
        let url = url.ok_or_else(|| Error::new(Code::IllegalState, message))?;
        Ok(format!("{}/v1/auth/oidc/{}/callback", url.trim_end_matches('/'), provider.key))
    }

    /// Begins a sign-in at a provider, for `company` if said.
    pub async fn oidc_start(&self, key: &str, company: Option<Uuid>) -> Result<Departure> {
        let issuer = self.issuer(key)?;
        let provider = &issuer.provider;
        let redirect = self.redirect_uri(provider)?;
        let now = self.clock().now();
        let found = issuer.discovery(now).await?;
        let (state, binding) = (secret::random()?, Secret::of(secret::random()?));
        let expires = now.plus(PATIENCE);
        let begun = store::Begun { provider: key.to_owned(), company, expires };
        self.db().oidc_begin(&Scope::System, digest(&state), binding.digest(), &begun, now).await?;
        let mut url = Url::parse(&found.authorization_endpoint)
            .map_err(|_| Error::internal("the provider's address is none"))?;
        let scopes = ["openid", "email", "profile"].into_iter().map(str::to_owned);
        let scopes: Vec<String> = scopes.chain(provider.scopes.iter().cloned()).collect();
        let verifier = drawn(binding.reveal(), "verifier");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", &redirect)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &state)
            .append_pair("nonce", &drawn(binding.reveal(), "nonce"))
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier)))
            .append_pair("code_challenge_method", "S256");
        Ok(Departure { url: url.into(), binding })
    }

    /// Finishes a sign-in: exchanges the code, looks at the token, does what the groups say, and
    /// begins a session.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for whatever is wrong with what came back; the audit says what.
    pub async fn oidc_finish(&self, key: &str, came: Return, visitor: &Visitor) -> Result<Granted> {
        let issuer = self.issuer(key)?;
        match self.oidc_claims(issuer, &came).await {
            Ok((claims, company)) => {
                let (user, companies) = self.identified(issuer, &claims, visitor).await?;
                // A company that was left meanwhile is not insisted on.
                let company = company.filter(|company| companies.contains(company));
                let way = format!("oidc:{key}");
                self.session_begin(user, &way, LIFE, company, visitor).await
            }
            Err(Stopped::Fault(fault)) => {
                self.tell_refused(key, fault, visitor).await?;
                Err(Error::new(Code::Unauthenticated, "The provider's answer was not accepted.")
                    .with("reason", fault.word()))
            }
            Err(Stopped::Error(error)) => Err(error),
        }
    }

    async fn oidc_claims(&self, issuer: &Issuer, came: &Return) -> Result<(Claims, Option<Uuid>), Stopped> {
        let provider = &issuer.provider;
        let now = self.clock().now();
        let begun = self.db().oidc_take(&Scope::System, digest(&came.state), digest(&came.binding)).await?;
        let begun = begun.filter(|begun| begun.provider == provider.key && now < begun.expires);
        let begun = begun.ok_or(Fault::State)?;
        if came.issuer.as_ref().is_some_and(|named| *named != provider.issuer) {
            return Err(Fault::Issuer.into());
        }
        let redirect = self.redirect_uri(provider)?;
        let verifier = drawn(&came.binding, "verifier");
        let tokens = issuer.exchange(&came.code, &redirect, &verifier, now).await?;
        let tokens = tokens.ok_or(Fault::Code)?;
        let id_token = tokens["id_token"].as_str().ok_or(Fault::Malformed)?;
        let expected = Expected {
            issuer: &provider.issuer,
            audience: &provider.client_id,
            party: Some(&provider.client_id),
            nonce: Some(&drawn(&came.binding, "nonce")),
            access_token: tokens["access_token"].as_str(),
        };
        let claims = issuer.verify(id_token, &expected, now).await?;
        Ok((claims, begun.company))
    }

    /// Audits that a provider's answer was refused. Who it was is not known.
    async fn tell_refused(&self, key: &str, fault: Fault, visitor: &Visitor) -> Result<()> {
        metrics::counter!("countersign_sign_ins_total", "outcome" => "failed").increment(1);
        let nobody = Actor {
            address: visitor.address.clone(),
            trace: visitor.trace.clone(),
            ..Actor::system(GLOBAL, "sign-in")
        };
        let mut tx = self.begin(&nobody, &scope_of(GLOBAL)).await?;
        let told: Json = json!({ "reason": fault.word(), "provider": key });
        tx.audit(AuditEntry::new("user.sign_in_failed", Uuid::nil()).because(told));
        tx.commit().await?;
        Ok(())
    }

    /// Who comes with a token of an issuer that the configuration lets programs use.
    pub(super) async fn jwt_actor(&self, bearer: &str) -> Result<Option<Actor>> {
        let Some(named) = claims::named_issuer(bearer) else { return Ok(None) };
        let issuer = self
            .doors()
            .issuers
            .iter()
            .find(|issuer| issuer.provider.issuer == named && issuer.provider.audience.is_some());
        let Some(issuer) = issuer else { return Ok(None) };
        let audience = issuer.provider.audience.as_deref().unwrap_or_default();
        let expected = Expected {
            issuer: &issuer.provider.issuer,
            audience,
            party: None,
            nonce: None,
            access_token: None,
        };
        match issuer.verify(bearer, &expected, self.clock().now()).await {
            Ok(claims) => self.bearer_actor(issuer, &claims).await,
            Err(Stopped::Fault(fault)) => {
                tracing::debug!(reason = fault.word(), "a bearer token was not accepted");
                Ok(None)
            }
            Err(Stopped::Error(error)) => Err(error),
        }
    }
}

/// Why a token gives nothing: for what it says, or because it could not be looked at.
#[derive(Debug)]
pub(crate) enum Stopped {
    Fault(Fault),
    Error(Error),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
