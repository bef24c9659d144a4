//! Coming in by a provider, with true tokens and with hostile ones.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::access::{Actor, Portfolio, Role};
use domain::error::{Code, Error, Result};
use domain::gateway::http::Egress;
use domain::intake::limits::Limits;
use domain::inventory::user::{NewUser, UserChange};
use domain::ledger::audit::AuditFilter;
use domain::page::PageArgs;
use domain::signin::SignInSettings;
use domain::signin::oidc::{ClientSecret, GroupGrant, Provider as Setting, Return};
use domain::signin::session::Granted;
use domain::vocabulary::time::Span;
use domain::{Domain, Settings};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value as Json, json};
use support::provider::{CLIENT, Key, Provider, SECRET, Teller};
use support::{Wire, World, on_both};

use super::{email_of, from, text, who};
use crate::ground::refused;

on_both!(
    a_person_comes_in_by_a_provider,
    hostile_tokens_let_nobody_in,
    what_was_begun_is_finished_once_and_by_who_began_it,
    keys_rotate_and_are_not_asked_for_without_end,
    groups_give_roles_and_take_them,
    an_issuer_takes_over_no_account,
    programs_come_with_an_issuers_token,
    a_browser_goes_and_comes_back,
);

/// The audience of tokens for programs.
const API: &str = "api://countersign";
const URL: &str = "https://countersign.example";

struct Office {
    provider: Provider,
    domain: Domain,
}

impl Office {
    async fn of(world: &World) -> Self {
        let provider = Provider::start(&world.clock, vec![Key::rsa("first")]).await;
        let grant = |group: &str, company: &str, role| GroupGrant {
            group: group.to_owned(),
            company: company.to_owned(),
            role,
        };
        let setting = Setting {
            key: "corp".into(),
            label: "Corp".into(),
            issuer: provider.issuer().to_owned(),
            client_id: CLIENT.into(),
            client_secret: Some(ClientSecret(SECRET.into())),
            scopes: vec!["groups".into()],
            groups_claim: "groups".into(),
            grants: vec![
                grant("authors", "Acme", Role::Author),
                grant("analysts", "Acme", Role::Analyst),
                grant("partners", "Globex", Role::Viewer),
            ],
            domains: vec!["corp.example".into()],
            provisioning: true,
            audience: Some(API.into()),
            redirect: None,
        };
        let sign_in = SignInSettings {
            url: Some(URL.into()),
            providers: vec![setting],
            egress: Egress::new(&["127.0.0.1".to_owned()]).unwrap(),
        };
        let folder = world.domain.settings().folder.clone();
        let settings = Settings { folder, limits: Limits::default(), sign_in };
        let db = world.domain.db().clone();
        let domain = Domain::new(db, world.clock.clone(), settings, world.clock.id());
        Self { provider, domain }
    }

    /// What comes back when `subject` goes to the provider and says yes.
    async fn visit(&self, subject: &str, claims: &Json) -> Return {
        let begun = self.domain.oidc_start("corp", None).await.unwrap();
        let (state, code) = self.provider.consent(&begun.url, subject, claims);
        Return { state, code, binding: begun.binding.reveal().to_owned(), issuer: None }
    }

    async fn finish(&self, came: Return) -> Result<Granted> {
        self.domain.oidc_finish("corp", came, &from("192.0.2.1")).await
    }

    async fn come_in(&self, subject: &str, claims: &Json) -> Result<Granted> {
        let came = self.visit(subject, claims).await;
        self.finish(came).await
    }
}

fn ann(groups: &[&str]) -> Json {
    json!({ "email": "Ann@corp.example", "email_verified": true, "name": "Ann Corp", "groups": groups })
}

fn reason(error: &Error) -> &str {
    text(&error.details["reason"])
}

async fn a_person_comes_in_by_a_provider(world: &World) {
    let office = Office::of(world).await;
    let granted = office.come_in("s-1", &ann(&["analysts", "canteen"])).await.unwrap();
    assert_eq!((granted.company, granted.session.way.as_str()), (world.acme.id, "oidc:corp"));
    assert_eq!(granted.session.ends_at, world.clock.now().plus(Span(12 * Span::HOUR.0)));
    let actor = who(world, granted.access.reveal()).await.unwrap();
    assert_eq!((actor.name.as_str(), actor.role), ("Ann Corp", Role::Analyst));
    assert_eq!(email_of(world, &actor).await, "ann@corp.example");
    // Again, she is the same, whatever her address is called by then.
    let mut moved = ann(&["analysts"]);
    moved["email"] = json!("ann.married@corp.example");
    let again = office.come_in("s-1", &moved).await.unwrap();
    assert_eq!(again.session.user, actor.id);
    // The account that was made has no password.
    let (filter, page) = (AuditFilter::default(), PageArgs::default());
    let told = world.domain.audit_entries(&world.root, &filter, &page).await.unwrap();
    let told: Vec<_> = told.nodes().map(|entry| entry.action).collect();
    assert!(told.contains(&"user.created".to_owned()) && told.contains(&"user.identity_linked".to_owned()));
    world.assert_ledger_whole().await;
}

/// A lie of a provider, or of somebody between: what makes the token, and what it is refused for.
type Lie = (&'static str, Teller, &'static str);

fn lie(teller: impl Fn(&Key, Json) -> String + Send + Sync + 'static) -> Teller {
    Box::new(teller)
}

fn with(mut claims: Json, name: &str, value: Json) -> Json {
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

/// A token put together by hand, signed by nobody.
fn unsigned(header: &Json, claims: &Json, signature: &str) -> String {
    let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

fn lies(now: i64) -> Vec<Lie> {
    let says = |name: &'static str, value: Json| -> Teller {
        lie(move |key, claims| key.sign(&with(claims, name, value.clone())))
    };
    let hmac = |secret: fn(&Key) -> Vec<u8>, kid: Option<&'static str>| -> Teller {
        lie(move |key, claims| {
            let kid = kid.map_or_else(|| Some(key.kid.clone()), |kid| Some(kid.to_owned()));
            let header = Header { kid, ..Header::new(Algorithm::HS256) };
            jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&secret(key))).unwrap()
        })
    };
    let none = |alg: &'static str| -> Teller {
        lie(move |key, claims| unsigned(&json!({ "alg": alg, "kid": key.kid, "typ": "JWT" }), &claims, ""))
    };
    vec![
        ("alg none", none("none"), "algorithm"),
        ("alg None", none("None"), "algorithm"),
        ("alg nOnE", none("nOnE"), "algorithm"),
        ("no alg", lie(|key, claims| unsigned(&json!({ "kid": key.kid }), &claims, "")), "malformed"),
        ("RS256 without a signature", none("RS256"), "signature"),
        (
            "HS256 signed with the public key's modulus",
            hmac(|key| text(&key.public()["n"]).as_bytes().to_vec(), None),
            "algorithm",
        ),
        (
            "HS256 signed with the public key as JSON",
            hmac(|key| key.public().to_string().into_bytes(), None),
            "algorithm",
        ),
        ("HS256 signed with a key of the set", hmac(|_| b"shared".to_vec(), Some("shared")), "algorithm"),
        (
            "ES256 in the name of an RSA key",
            lie(|key, claims| {
                let ec = Key::ec(&key.kid);
                ec.sign_as(&ec.header(), &claims)
            }),
            "key",
        ),
        (
            "signed by another key of the same name",
            lie(|key, claims| {
                let good = key.sign(&claims);
                let (signed, _) = good.rsplit_once('.').unwrap();
                format!("{signed}.{}", URL_SAFE_NO_PAD.encode([7; 256]))
            }),
            "signature",
        ),
        (
            "claims changed after signing",
            lie(|key, claims| {
                let good = key.sign(&claims);
                let parts: Vec<&str> = good.split('.').collect();
                let other = URL_SAFE_NO_PAD.encode(with(claims, "sub", json!("root")).to_string());
                format!("{}.{other}.{}", parts[0], parts[2])
            }),
            "signature",
        ),
        (
            "a key of its own in the header",
            lie(|key, claims| {
                let own = Key::ec("own");
                let header = json!({ "alg": "ES256", "kid": key.kid, "jwk": own.public() });
                let signed = own.sign(&claims);
                let parts: Vec<&str> = signed.split('.').collect();
                format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1], parts[2])
            }),
            "key",
        ),
        (
            "an unknown key",
            lie(|key, claims| key.sign_as(&Header { kid: Some("stranger".into()), ..key.header() }, &claims)),
            "key",
        ),
        (
            "something critical that nobody understands",
            lie(|key, claims| {
                key.sign_as(&Header { crit: Some(vec!["exp".into()]), ..key.header() }, &claims)
            }),
            "malformed",
        ),
        ("expired", says("exp", json!(now - 61)), "expired"),
        ("without an end", says("exp", json!(null)), "expired"),
        ("an end that is no number", says("exp", json!("soon")), "expired"),
        ("not yet valid", says("nbf", json!(now + 120)), "not yet valid"),
        ("issued in the future", says("iat", json!(now + 120)), "not yet valid"),
        ("of another audience", says("aud", json!("another")), "audience"),
        ("of no audience", says("aud", json!(null)), "audience"),
        ("for programs", says("aud", json!(API)), "audience"),
        ("of another issuer", says("iss", json!("https://evil.example")), "issuer"),
        ("of no issuer", says("iss", json!(null)), "issuer"),
        ("with another nonce", says("nonce", json!("another")), "nonce"),
        ("without a nonce", says("nonce", json!(null)), "nonce"),
        ("issued to another party", says("azp", json!("another")), "authorized party"),
        ("for several and nobody named", says("aud", json!([CLIENT, "another"])), "authorized party"),
        ("with another access token", says("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")), "at_hash"),
        ("of nobody", says("sub", json!("")), "subject"),
        ("of nobody at all", says("sub", json!(null)), "subject"),
        ("two parts", lie(|_, _| "eyJhbGciOiJSUzI1NiJ9.e30".into()), "malformed"),
        ("no token", lie(|_, _| "hello".into()), "malformed"),
        (
            "a long one",
            lie(|key, claims| key.sign(&with(claims, "x", json!("y".repeat(20_000))))),
            "malformed",
        ),
    ]
}

async fn hostile_tokens_let_nobody_in(world: &World) {
    let office = Office::of(world).await;
    office.come_in("s-1", &ann(&["analysts"])).await.unwrap();
    let now = world.clock.now().0 / Span::SECOND.0;
    let lies = lies(now);
    let count = lies.len();
    for (name, teller, expected) in lies {
        // A key that is not known may be new: the issuer is asked, once a minute.
        office.provider.tell(Some(teller));
        let error = refused(office.come_in("s-1", &ann(&["analysts"])).await, Code::Unauthenticated);
        assert_eq!(reason(&error), expected, "{name}");
        assert_eq!(error.message, "The provider's answer was not accepted.");
    }
    // Within what clocks differ by, and for several with the party named, it is good.
    for (name, value) in [("exp", json!(now - 59)), ("nbf", json!(now + 59)), ("azp", json!(CLIENT))] {
        office.provider.tell(Some(lie(move |key, claims| key.sign(&with(claims, name, value.clone())))));
        office.come_in("s-1", &ann(&["analysts"])).await.unwrap();
    }
    office.provider.tell(None);
    office.come_in("s-1", &ann(&["analysts"])).await.unwrap();
    let filter = AuditFilter { action: Some("user.sign_in_failed".into()), ..AuditFilter::default() };
    let told = world.domain.audit_entries(&world.root, &filter, &PageArgs::first(500)).await.unwrap();
    assert_eq!(told.edges.len(), count);
    for entry in told.nodes() {
        assert_eq!(entry.actor.address.as_deref(), Some("192.0.2.1"));
        assert!(!format!("{entry:?}").contains("eyJ"));
    }
    world.assert_ledger_whole().await;
}

async fn what_was_begun_is_finished_once_and_by_who_began_it(world: &World) {
    let office = Office::of(world).await;
    let claims = ann(&["analysts"]);
    let wrong = async |came: Return| refused(office.finish(came).await, Code::Unauthenticated);
    let came = office.visit("s-1", &claims).await;
    office.finish(came.clone()).await.unwrap();
    assert_eq!(reason(&wrong(came.clone()).await), "state", "a state is good once");
    // The code again, in a sign-in of its own: the provider knows it, and the verifier is another.
    let own = office.visit("s-2", &claims).await;
    assert_eq!(reason(&wrong(Return { code: came.code, ..own }).await), "code");
    let (stolen, own) = (office.visit("s-1", &claims).await, office.visit("s-2", &claims).await);
    assert_eq!(reason(&wrong(Return { code: stolen.code.clone(), ..own }).await), "code");
    // Somebody else's state: who did not begin it does not finish it, and spoils nothing.
    for binding in ["", "made up", &office.visit("s-2", &claims).await.binding] {
        let error = wrong(Return { binding: binding.to_owned(), ..stolen.clone() }).await;
        assert_eq!(reason(&error), "state");
    }
    let mixed = Return { issuer: Some("https://evil.example".into()), ..office.visit("s-1", &claims).await };
    assert_eq!(reason(&wrong(mixed).await), "issuer");
    let named =
        Return { issuer: Some(office.provider.issuer().into()), ..office.visit("s-1", &claims).await };
    office.finish(named).await.unwrap();
    let late = office.visit("s-1", &claims).await;
    world.clock.advance(Span(10 * Span::MINUTE.0));
    assert_eq!(reason(&wrong(late).await), "state");
    refused(office.domain.oidc_start("nobody", None).await, Code::NotFound);
    let unset = Domain::new(
        world.domain.db().clone(),
        world.clock.clone(),
        Settings {
            sign_in: SignInSettings { url: None, ..office.domain.settings().sign_in.clone() },
            ..office.domain.settings().clone()
        },
        world.clock.id(),
    );
    refused(unset.oidc_start("corp", None).await, Code::IllegalState);
}

async fn keys_rotate_and_are_not_asked_for_without_end(world: &World) {
    let office = Office::of(world).await;
    let (claims, provider) = (ann(&["analysts"]), &office.provider);
    office.come_in("s-1", &claims).await.unwrap();
    office.come_in("s-1", &claims).await.unwrap();
    assert_eq!(provider.keys_asked(), 1, "they are kept");
    // A new key, after the minute in which nobody asks again.
    world.clock.advance(Span::MINUTE);
    let old = Key::rsa("first");
    provider.rotate(vec![Key::ec("second"), old.clone()]);
    office.come_in("s-1", &claims).await.unwrap();
    assert_eq!(provider.keys_asked(), 2);
    // Tokens with made-up keys do not make this server ask without end.
    provider.tell(Some(lie(|key, claims| {
        key.sign_as(&Header { kid: Some("made up".into()), ..key.header() }, &claims)
    })));
    for _ in 0..20 {
        assert_eq!(reason(&office.come_in("s-1", &claims).await.unwrap_err()), "key");
    }
    assert_eq!(provider.keys_asked(), 2);
    world.clock.advance(Span::MINUTE);
    for _ in 0..20 {
        office.come_in("s-1", &claims).await.unwrap_err();
    }
    assert_eq!(provider.keys_asked(), 3);
    // A key that was taken back signs nobody in, once the hour is over.
    provider.rotate(vec![Key::ec("third")]);
    world.clock.advance(Span::HOUR);
    let retired = Arc::new(old);
    provider.tell(Some(lie(move |_, claims| retired.sign(&claims))));
    assert_eq!(reason(&office.come_in("s-1", &claims).await.unwrap_err()), "key");
    provider.tell(None);
    office.come_in("s-1", &claims).await.unwrap();
    // Of keys without a name in the token, only the only one is meant.
    provider.tell(Some(lie(|key, claims| key.sign_as(&Header { kid: None, ..key.header() }, &claims))));
    office.come_in("s-1", &claims).await.unwrap();
    provider.rotate(vec![Key::ec("fourth"), Key::ec("fifth")]);
    world.clock.advance(Span::HOUR);
    assert_eq!(reason(&office.come_in("s-1", &claims).await.unwrap_err()), "key");
}

async fn groups_give_roles_and_take_them(world: &World) {
    let office = Office::of(world).await;
    let first = office.come_in("s-1", &ann(&["analysts"])).await.unwrap();
    let role = async |granted: &Granted| who(world, granted.access.reveal()).await.map(|actor| actor.role);
    assert_eq!(role(&first).await.unwrap(), Role::Analyst);
    // Of several groups for one company the first in the configuration counts.
    let second = office.come_in("s-1", &ann(&["analysts", "authors", "partners"])).await.unwrap();
    assert_eq!(role(&second).await.unwrap(), Role::Author);
    assert_eq!(role(&first).await.unwrap(), Role::Author, "what is open has it too");
    assert_eq!(second.companies.len(), 2);
    // A lost group loses the role, and what is open for that company.
    let third = office.come_in("s-1", &ann(&["partners"])).await.unwrap();
    assert_eq!((third.company, third.companies.len()), (world.globex.id, 1));
    refused(who(world, second.access.reveal()).await, Code::Unauthenticated);
    // Without any there is nothing to come in for.
    refused(office.come_in("s-1", &ann(&[])).await, Code::Forbidden);
    refused(who(world, third.access.reveal()).await, Code::Unauthenticated);
    let mut silent = ann(&[]);
    silent.as_object_mut().unwrap().remove("groups");
    refused(office.come_in("s-1", &silent).await, Code::Forbidden);

    // What an admin gave, no missing group takes; once a group gives it, it is the groups'.
    let new = NewUser {
        email: "ann@corp.example".into(),
        name: "Ann".into(),
        grant: Some((Role::Viewer, Portfolio::Whole)),
        platform_admin: false,
    };
    world.domain.user_create(world.acme.admin(), new).await.unwrap();
    let kept = office.come_in("s-1", &ann(&[])).await.unwrap();
    assert_eq!(role(&kept).await.unwrap(), Role::Viewer);
    let given = office.come_in("s-1", &ann(&["authors"])).await.unwrap();
    assert_eq!(role(&given).await.unwrap(), Role::Author);
    refused(office.come_in("s-1", &ann(&[])).await, Code::Forbidden);
    world.assert_ledger_whole().await;
}

async fn an_issuer_takes_over_no_account(world: &World) {
    let office = Office::of(world).await;
    let says = |email: &str, verified: Json| json!({ "email": email, "email_verified": verified, "groups": ["authors"] });
    for (email, verified) in [
        ("admin@acme.example", json!(true)),
        ("eve@evil.example", json!(true)),
        ("eve@corp.example.evil.example", json!(true)),
        ("eve@corp.example", json!(false)),
        ("eve@corp.example", json!("false")),
        ("eve@corp.example", json!(null)),
        ("", json!(true)),
    ] {
        refused(office.come_in("s-9", &says(email, verified)).await, Code::Forbidden);
    }
    refused(office.come_in("s-9", &json!({ "groups": ["authors"] })).await, Code::Forbidden);

    // An account with an address that the issuer speaks for is linked once, and then known by subject.
    let new = NewUser {
        email: "cem@corp.example".into(),
        name: "Cem".into(),
        grant: Some((Role::Viewer, Portfolio::Whole)),
        platform_admin: false,
    };
    let cem = world.domain.user_create(world.acme.admin(), new).await.unwrap();
    let granted = office.come_in("s-3", &says("cem@corp.example", json!(true))).await.unwrap();
    assert_eq!(granted.session.user, cem.id);
    // A disabled account does not come in this way either.
    let version = world.domain.user(world.acme.admin(), cem.id).await.unwrap().version;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    world.domain.user_update(world.acme.admin(), cem.id, version, change).await.unwrap();
    refused(office.come_in("s-3", &says("cem@corp.example", json!(true))).await, Code::Unauthenticated);
    refused(who(world, granted.access.reveal()).await, Code::Unauthenticated);
}

async fn programs_come_with_an_issuers_token(world: &World) {
    let office = Office::of(world).await;
    let (provider, domain) = (&office.provider, &office.domain);
    let key = Key::rsa("first");
    let come = async |token: &str| domain.authenticate(token, Some("192.0.2.1".into()), None).await;
    let good = |more: Json| key.sign(&provider.claims("s-1", API, &more));
    refused(come(&good(json!({}))).await, Code::Unauthenticated);
    office.come_in("s-1", &ann(&["analysts"])).await.unwrap();
    let actor: Actor = come(&good(json!({ "groups": ["analysts"] }))).await.unwrap();
    assert_eq!((actor.company, actor.role), (world.acme.id, Role::Analyst));
    assert_eq!(actor.expires_at.unwrap().0, world.clock.now().0 + 300 * Span::SECOND.0);
    assert_eq!(come(&good(json!({}))).await.unwrap().role, Role::Analyst);
    // A group more or less than at the last sign-in is not believed until the next.
    for groups in [json!(["authors"]), json!([]), json!("partners")] {
        refused(come(&good(json!({ "groups": groups }))).await, Code::Unauthenticated);
    }
    let now = world.clock.now().0 / Span::SECOND.0;
    for (name, claims) in [
        ("for the client", provider.claims("s-1", CLIENT, &json!({}))),
        ("of another issuer", provider.claims("s-1", API, &json!({ "iss": "https://evil.example" }))),
        ("expired", provider.claims("s-1", API, &json!({ "exp": now - 61 }))),
        ("not yet valid", provider.claims("s-1", API, &json!({ "nbf": now + 120 }))),
        ("of nobody known", provider.claims("s-2", API, &json!({}))),
    ] {
        let error = refused(come(&key.sign(&claims)).await, Code::Unauthenticated);
        assert_eq!(error.message, "No valid token came with the request.", "{name}");
    }
    let claims = provider.claims("s-1", API, &json!({}));
    let header = Header { kid: Some("first".into()), ..Header::new(Algorithm::HS256) };
    let secret = EncodingKey::from_secret(text(&key.public()["n"]).as_bytes());
    let confused = jsonwebtoken::encode(&header, &claims, &secret).unwrap();
    let unsigned = unsigned(&json!({ "alg": "none", "kid": "first" }), &claims, "");
    for hostile in [confused.as_str(), &unsigned, &Key::ec("first").sign(&claims), "eyJ", "eyJ.eyJ.x"] {
        refused(come(hostile).await, Code::Unauthenticated);
    }

    // Over the wire, and on a server that takes none.
    let wire = Wire::serve(domain, Default::default()).await.with(&good(json!({})));
    assert_eq!(wire.reply("{ viewer { roles } }", &json!({})).await.0, 200);
    refused(who(world, &good(json!({}))).await, Code::Unauthenticated);
    let version = domain.user(world.acme.admin(), actor.id).await.unwrap().version;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    domain.user_update(world.acme.admin(), actor.id, version, change).await.unwrap();
    assert_eq!(wire.reply("{ viewer { roles } }", &json!({})).await.0, 401);
}

async fn a_browser_goes_and_comes_back(world: &World) {
    let office = Office::of(world).await;
    let wire = Wire::serve(&office.domain, Default::default()).await;
    let (_, ways) = wire.get("/v1/auth/providers").await;
    assert!(ways.contains("/v1/auth/oidc/corp/start") && !ways.contains(CLIENT), "{ways}");
    let go = async |path: &str, cookie: Option<&str>| wire.hop(path, cookie).await;
    let left = go("/v1/auth/oidc/corp/start", None).await;
    assert_eq!(left.status, 303);
    let cookie = left.cookie.unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/v1/auth/oidc/corp", "Max-Age=600"] {
        assert!(cookie.split("; ").any(|one| one == part), "{part}: {cookie}");
    }
    let url = left.location.unwrap();
    assert!(url.contains("tenant=a") && !url.contains(SECRET), "{url}");
    let (state, code) = office.provider.consent(&url, "s-1", &ann(&["analysts"]));
    let code: String = url::form_urlencoded::byte_serialize(code.as_bytes()).collect();
    let back = format!("/v1/auth/oidc/corp/callback?state={state}&code={code}");
    // Another browser that is sent here, with a state it did not begin, is not signed in.
    let stranger = go("/v1/auth/oidc/corp/start", None).await.cookie.unwrap();
    let stranger = stranger.split(';').next().unwrap();
    assert_eq!((go(&back, None).await.status, go(&back, Some(stranger)).await.status), (401, 401));
    let own = cookie.split(';').next().unwrap();
    let arrived = go(&back, Some(&format!("a=b; {own}"))).await;
    assert_eq!(arrived.status, 200, "{}", arrived.body);
    assert!(arrived.cookie.unwrap().contains("Max-Age=0"));
    let granted: Json = serde_json::from_str(&arrived.body).unwrap();
    assert_eq!(text(&granted["company"]["name"]), "Acme");
    who(world, text(&granted["accessToken"])).await.unwrap();
    assert_eq!(go(&back, Some(own)).await.status, 401);
    let denied = go("/v1/auth/oidc/corp/callback?error=access_denied&state=x", Some(own)).await;
    assert_eq!(denied.status, 401);
    assert!(denied.body.contains("access_denied"));
    assert_eq!(go("/v1/auth/oidc/nobody/start", None).await.status, 404);

    // An application does the same with its own page.
    let (_, begun) = wire.send("/v1/auth/oidc/corp/start", &json!({})).await;
    let (state, code) = office.provider.consent(text(&begun["url"]), "s-1", &ann(&["analysts"]));
    let body = json!({ "state": state, "code": code, "binding": begun["binding"] });
    let (status, granted) = wire.send("/v1/auth/oidc/corp/callback", &body).await;
    assert_eq!(status, 200, "{granted}");
    assert_eq!(wire.send("/v1/auth/oidc/corp/callback", &body).await.0, 401);
}
