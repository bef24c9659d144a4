//! A small provider of OpenID Connect on the loopback, with keys of its own, that tells the truth
//! unless it is told to lie.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json as Answer, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::gateway::clock::Clock;
use domain::vocabulary::time::Span;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::EncodePrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

pub const CLIENT: &str = "countersign";
/// It has what has to be escaped on the way.
pub const SECRET: &str = "s3cret: with+odd/signs%";

/// A key that signs, and what is told of it.
#[derive(Clone)]
pub struct Key {
    pub kid: String,
    pub algorithm: Algorithm,
    private: EncodingKey,
    public: Json,
}

/// An RSA key takes a while to find: one for the process.
static RSA: LazyLock<rsa::RsaPrivateKey> =
    LazyLock::new(|| rsa::RsaPrivateKey::new(&mut OsRng, 2_048).expect("there are primes"));

impl Key {
    pub fn rsa(kid: &str) -> Self {
        let der = RSA.to_pkcs1_der().expect("a key encodes");
        let number = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
        let (n, e) = (number(RSA.n().to_bytes_be()), number(RSA.e().to_bytes_be()));
        Self {
            kid: kid.to_owned(),
            algorithm: Algorithm::RS256,
            private: EncodingKey::from_rsa_der(der.as_bytes()),
            public: json!({ "kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e }),
        }
    }

    /// A new key on P-256.
    pub fn ec(kid: &str) -> Self {
        let key = p256::ecdsa::SigningKey::random(&mut OsRng);
        let point = key.verifying_key().to_encoded_point(false);
        let part = |bytes: Option<&[u8]>| URL_SAFE_NO_PAD.encode(bytes.expect("the point is not compressed"));
        let (x, y) = (part(point.x().map(|x| &x[..])), part(point.y().map(|y| &y[..])));
        let der = key.to_pkcs8_der().expect("a key encodes");
        Self {
            kid: kid.to_owned(),
            algorithm: Algorithm::ES256,
            private: EncodingKey::from_ec_der(der.as_bytes()),
            public: json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": x, "y": y }),
        }
    }

    /// What everybody may know of it.
    pub fn public(&self) -> &Json {
        &self.public
    }

    pub fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) }
    }

    pub fn sign(&self, claims: &Json) -> String {
        self.sign_as(&self.header(), claims)
    }

    pub fn sign_as(&self, header: &Header, claims: &Json) -> String {
        jsonwebtoken::encode(header, claims, &self.private).expect("the key signs")
    }
}

/// Somebody who said yes at the provider.
struct Consent {
    challenge: String,
    redirect: String,
    claims: Json,
}

/// Makes the ID token of true claims.
pub type Teller = Box<dyn Fn(&Key, Json) -> String + Send + Sync>;

struct Desk {
    keys: Vec<Key>,
    consents: HashMap<String, Consent>,
    teller: Option<Teller>,
}

struct Office {
    issuer: String,
    desk: Mutex<Desk>,
    keys_asked: AtomicU64,
    codes: AtomicU64,
}

/// A provider that runs until it is dropped.
pub struct Provider {
    office: Arc<Office>,
    clock: Clock,
    serving: JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Provider {
    pub async fn start(clock: &Clock, keys: Vec<Key>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address: SocketAddr = listener.local_addr().expect("it is bound");
        let office = Arc::new(Office {
            issuer: format!("http://{address}"),
            desk: Mutex::new(Desk { keys, consents: HashMap::new(), teller: None }),
            keys_asked: AtomicU64::new(0),
            codes: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys_of))
            .route("/token", post(token))
            .with_state(office.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a provider serves until it is dropped");
        });
        Self { office, clock: clock.clone(), serving }
    }

    pub fn issuer(&self) -> &str {
        &self.office.issuer
    }

    /// How often the keys were asked for.
    pub fn keys_asked(&self) -> u64 {
        self.office.keys_asked.load(Ordering::SeqCst)
    }

    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.office.desk.lock().expect("no test failed here")
    }

    /// Signs with the first of these keys from now on, and tells of them all.
    pub fn rotate(&self, keys: Vec<Key>) {
        self.desk().keys = keys;
    }

    /// Tells something else than the truth, or the truth again.
    pub fn tell(&self, teller: Option<Teller>) {
        self.desk().teller = teller;
    }

    /// What is true of a subject now, for `audience`.
    pub fn claims(&self, subject: &str, audience: &str, more: &Json) -> Json {
        let now = self.clock.now().0 / Span::SECOND.0;
        let mut claims = json!({
            "iss": self.issuer(), "sub": subject, "aud": audience, "iat": now, "exp": now + 300,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    }

    /// `subject` says yes to a sign-in that was begun; returns the state and the code.
    pub fn consent(&self, url: &str, subject: &str, more: &Json) -> (String, String) {
        let url = Url::parse(url).expect("a sign-in begins at an address");
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", CLIENT));
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(asked["scope"].split(' ').any(|scope| scope == "openid"));
        let code = format!("code {}+", self.office.codes.fetch_add(1, Ordering::SeqCst));
        let mut claims = self.claims(subject, CLIENT, more);
        claims["nonce"] = json!(asked["nonce"]);
        let consent = Consent {
            challenge: asked["code_challenge"].clone(),
            redirect: asked["redirect_uri"].clone(),
            claims,
        };
        self.desk().consents.insert(code.clone(), consent);
        (asked["state"].clone(), code)
    }
}

async fn discovery(State(office): State<Arc<Office>>) -> Answer<Json> {
    let issuer = &office.issuer;
    Answer(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize?tenant=a"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "id_token_signing_alg_values_supported": ["RS256", "none"],
    }))
}

async fn keys_of(State(office): State<Arc<Office>>) -> Answer<Json> {
    office.keys_asked.fetch_add(1, Ordering::SeqCst);
    let desk = office.desk.lock().expect("no test failed here");
    let mut keys: Vec<Json> = desk.keys.iter().map(|key| key.public.clone()).collect();
    // Of kinds that nobody here knows, and one that a fool would verify with.
    keys.push(json!({ "kty": "OKP", "crv": "X9", "kid": "odd" }));
    keys.push(json!({ "kty": "oct", "kid": "shared", "k": "c2hhcmVk" }));
    Answer(json!({ "keys": keys }))
}

async fn token(
    State(office): State<Arc<Office>>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Answer<Json>) {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Answer(json!({ "error": error })));
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = STANDARD.encode(format!("{}:{}", encoded(CLIENT), encoded(SECRET)));
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if shown != Some(&format!("Basic {basic}")) {
        return refused("invalid_client");
    }
    let desk = &mut *office.desk.lock().expect("no test failed here");
    // A code is good once.
    let consent = desk.consents.remove(form.get("code").map(String::as_str).unwrap_or_default());
    let Some(consent) = consent else { return refused("invalid_grant") };
    let verifier = form.get("code_verifier").cloned().unwrap_or_default();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    if challenge != consent.challenge || form.get("redirect_uri") != Some(&consent.redirect) {
        return refused("invalid_grant");
    }
    let access = "an access token of the provider";
    let mut claims = consent.claims;
    claims["at_hash"] = json!(URL_SAFE_NO_PAD.encode(&Sha256::digest(access)[..16]));
    let key = desk.keys.first().expect("a provider has a key");
    let id_token = match &desk.teller {
        Some(teller) => teller(key, claims),
        None => key.sign(&claims),
    };
    let tokens = json!({ "access_token": access, "token_type": "Bearer", "id_token": id_token });
    (StatusCode::OK, Answer(tokens))
}
