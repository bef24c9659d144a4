//! An issuer as this server knows it: its addresses and its keys, which change.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tokio::sync::Mutex;

use super::claims::{Claims, Expected, Fault, LONGEST};
use super::{MOST, Provider, Stopped};
use crate::error::{Code, Error, Result};
use crate::gateway::http::{Conditions, Egress};
use crate::vocabulary::time::{Span, Timestamp};

/// What may sign a token: a key that only the issuer has.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// The smallest RSA modulus, in bytes.
const MODULUS: usize = 256;
/// How long what an issuer says of itself is believed without asking again.
const FRESH: Span = Span::HOUR;
/// How long after the keys were asked for a token with an unknown key may have them asked for again,
/// and how long after a failure an issuer is left alone.
const AGAIN: Span = Span::MINUTE;
const AFTER_FAILURE: Span = Span(5 * Span::SECOND.0);

/// Where an issuer is spoken to.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Discovery {
    issuer: String,
    pub authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// What was heard, and when.
#[derive(Default)]
struct Known {
    discovery: Option<(Discovery, Timestamp)>,
    keys: Vec<Jwk>,
    keys_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
}

pub(crate) struct Issuer {
    pub provider: Provider,
    egress: Egress,
    known: Mutex<Known>,
}

fn unreachable(what: &str) -> Error {
    Error::new(Code::IllegalState, format!("The provider cannot be asked now: {what}"))
}

impl Issuer {
    pub fn new(provider: Provider, egress: Egress) -> Self {
        Self { provider, egress, known: Mutex::new(Known::default()) }
    }

    pub async fn discovery(&self, now: Timestamp) -> Result<Discovery> {
        self.discovered(&mut *self.known.lock().await, now).await
    }

    async fn discovered(&self, known: &mut Known, now: Timestamp) -> Result<Discovery> {
        if let Some((discovery, at)) = &known.discovery
            && now < at.plus(FRESH)
        {
            return Ok(discovery.clone());
        }
        known.may_ask(now)?;
        let issuer = self.provider.issuer.trim_end_matches('/');
        let asked = self.get(&format!("{issuer}/.well-known/openid-configuration")).await;
        let discovery: Discovery = known.heard(asked, now)?;
        // A document that speaks for another is not this issuer's.
        if discovery.issuer != self.provider.issuer {
            return Err(unreachable("it says that it is another."));
        }
        known.discovery = Some((discovery.clone(), now));
        Ok(discovery)
    }

    /// The key that signed, if the issuer has it. One that is not known may be new.
    async fn key(&self, kid: Option<&str>, algorithm: Algorithm, now: Timestamp) -> Result<Jwk, Stopped> {
        let mut known = self.known.lock().await;
        if known.keys_at.is_none_or(|at| now >= at.plus(FRESH)) {
            self.fetch_keys(&mut known, now).await?;
        }
        if let Some(key) = fitting(&known.keys, kid, algorithm) {
            return Ok(key.clone());
        }
        if known.keys_at.is_none_or(|at| now >= at.plus(AGAIN)) {
            self.fetch_keys(&mut known, now).await?;
        }
        fitting(&known.keys, kid, algorithm).cloned().ok_or(Stopped::Fault(Fault::Key))
    }

    async fn fetch_keys(&self, known: &mut Known, now: Timestamp) -> Result<()> {
        let discovery = self.discovered(known, now).await?;
        known.may_ask(now)?;
        let asked = self.get::<KeySet>(&discovery.jwks_uri).await;
        let set = known.heard(asked, now)?;
        // A key of a kind that is not known here is no reason to do without the others.
        known.keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        known.keys_at = Some(now);
        Ok(())
    }

    async fn get<T: for<'a> Deserialize<'a>>(&self, url: &str) -> Result<T> {
        check_address(url)?;
        let download = self.egress.get(url, &Conditions::default(), MOST).await?;
        let mut download = download.ok_or_else(|| unreachable("it answers nothing."))?;
        let mut text = Vec::new();
        while let Some(part) = download.next().await? {
            text.extend_from_slice(&part);
        }
        serde_json::from_slice(&text).map_err(|_| unreachable("its answer is not the JSON of one."))
    }

    /// The tokens of a code; none where the provider does not accept it.
    pub async fn exchange(
        &self,
        code: &str,
        redirect: &str,
        verifier: &str,
        now: Timestamp,
    ) -> Result<Option<Map<String, Json>>> {
        let discovery = self.discovery(now).await?;
        check_address(&discovery.token_endpoint)?;
        let provider = &self.provider;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ];
        let methods = &discovery.token_endpoint_auth_methods_supported;
        let by_form = !methods.is_empty() && !methods.iter().any(|method| method == "client_secret_basic");
        let basic = match &provider.client_secret {
            Some(secret) if !by_form => Some((provider.client_id.as_str(), secret.0.as_str())),
            Some(secret) => {
                form.extend([("client_id", provider.client_id.as_str()), ("client_secret", &secret.0)]);
                None
            }
            None => {
                form.push(("client_id", &provider.client_id));
                None
            }
        };
        let (status, body) =
            self.egress.post_form(&discovery.token_endpoint, &form, basic, MOST).await.map_err(|error| {
                tracing::warn!(provider = provider.key, %error, "a code could not be exchanged");
                unreachable("it does not answer.")
            })?;
        if status != 200 {
            tracing::warn!(provider = provider.key, status, "a code was not accepted");
            return Ok(None);
        }
        serde_json::from_slice(&body).map(Some).map_err(|_| unreachable("its answer is not JSON."))
    }

    /// The claims of a token that this issuer signed and that says what is expected.
    pub async fn verify(
        &self,
        token: &str,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Claims, Stopped> {
        if token.len() > LONGEST {
            return Err(Fault::Malformed.into());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| unreadable(token))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Fault::Algorithm.into());
        }
        // What a token says has to be understood, is not.
        if header.crit.is_some() {
            return Err(Fault::Malformed.into());
        }
        let jwk = self.key(header.kid.as_deref(), header.alg, now).await?;
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| Fault::Key)?;
        // Times are looked at by this server's own clock, and the rest where the expected is known.
        let mut validation = Validation::new(header.alg);
        validation.algorithms = vec![header.alg];
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let data = jsonwebtoken::decode::<Map<String, Json>>(token, &key, &validation)
            .map_err(|_| Fault::Signature)?;
        let claims = Claims(data.claims);
        claims.check(expected, header.alg, now)?;
        Ok(claims)
    }
}

/// What is wrong with a token whose header cannot be read: its algorithm is none, or it is no token.
fn unreadable(token: &str) -> Fault {
    let header = token.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let header = header.and_then(|header| serde_json::from_slice::<Json>(&header).ok());
    let named = header.as_ref().and_then(|header| header["alg"].as_str());
    match named {
        Some(alg) if alg.parse::<Algorithm>().is_err() => Fault::Algorithm,
        _ => Fault::Malformed,
    }
}

impl Known {
    fn may_ask(&self, now: Timestamp) -> Result<()> {
        match self.failed_at {
            Some(at) if now < at.plus(AFTER_FAILURE) => Err(unreachable("it failed a moment ago.")),
            _ => Ok(()),
        }
    }

    fn heard<T>(&mut self, asked: Result<T>, now: Timestamp) -> Result<T> {
        self.failed_at = asked.is_err().then_some(now);
        asked.map_err(|error| {
            tracing::warn!(%error, "an issuer could not be asked");
            unreachable("it does not answer as one.")
        })
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Json>,
}

/// The key of this id, or the only one, that may sign by the algorithm.
fn fitting<'a>(keys: &'a [Jwk], kid: Option<&str>, algorithm: Algorithm) -> Option<&'a Jwk> {
    let mut fitting = keys.iter().filter(|key| {
        let named = kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid));
        let signs = key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let pinned = key.common.key_algorithm.as_ref();
        let pinned = pinned.is_none_or(|pinned| pinned.to_string() == format!("{algorithm:?}"));
        named && signs && pinned && is_of(&key.algorithm, algorithm)
    });
    let first = fitting.next();
    // Without an id it has to be clear which one is meant.
    if kid.is_none() && fitting.next().is_some() { None } else { first }
}

/// Whether a key is of the kind that the algorithm takes, and long enough.
fn is_of(key: &AlgorithmParameters, algorithm: Algorithm) -> bool {
    match (key, algorithm) {
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES384) => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        (
            AlgorithmParameters::RSA(key),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
        ) => URL_SAFE_NO_PAD.decode(&key.n).is_ok_and(|modulus| modulus.len() >= MODULUS),
        _ => false,
    }
}

/// Tokens and keys go over encrypted connections, or stay on this machine.
pub fn check_address(address: &str) -> Result<()> {
    let url = url::Url::parse(address).map_err(|_| unreachable("its address is none."))?;
    let local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && local) {
        return Ok(());
    }
    Err(unreachable("its address is not https."))
}
