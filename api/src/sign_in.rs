//! The routes by which people come in: JSON in and out, under `/v1/auth`.
//!
//! No cookie lets anybody in, so no page of another site can act for somebody: whoever calls has to
//! hold the secret. What is sent must be JSON by its content type.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::Domain;
use domain::access::Actor;
use domain::error::{Code, Error, Result};
use domain::signin::Visitor;
use domain::signin::link::{Acceptance, LinkFacts};
use domain::signin::password::{Password, SignIn};
use domain::signin::secret::Secret;
use domain::signin::session::{Choice, Granted};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use crate::graphql::id::Noun;
use crate::server::auth::{Transport, bearer};
use crate::server::origin;
use crate::server::trace::{self, TraceId};
use crate::server::upload::problem;

mod oidc;

/// The largest body, and how long it may take to come.
const BODY_BYTES: usize = 16 << 10;
const BODY_TIME: Duration = Duration::from_secs(15);

/// The routes of signing in.
pub fn routes(domain: Domain) -> Router {
    Router::new()
        .route("/v1/auth/sign-in", post(sign_in))
        .route("/v1/auth/refresh", post(refresh))
        .route("/v1/auth/switch", post(switch))
        .route("/v1/auth/sign-out", post(sign_out))
        .route("/v1/auth/password", post(password))
        .route("/v1/auth/providers", get(oidc::providers))
        .route("/v1/auth/oidc/{provider}/start", get(oidc::leave).post(oidc::start))
        .route("/v1/auth/oidc/{provider}/callback", get(oidc::arrive).post(oidc::finish))
        .route("/v1/auth/links/{secret}", get(link).post(link_accept))
        .with_state(domain)
}

/// The address of a one-time link: whole where the server knows its own, and else from its root.
pub fn link_url(domain: &Domain, secret: &Secret) -> String {
    let base = domain.settings().sign_in.url.as_deref().unwrap_or_default();
    format!("{}/v1/auth/links/{}", base.trim_end_matches('/'), secret.reveal())
}

/// A request, apart from its body.
pub(crate) struct Call {
    pub head: Parts,
    body: Body,
    pub trace: TraceId,
}

/// Why a request is not answered as it wished.
pub(crate) enum Refused {
    Domain(Error),
    /// It is not JSON that is sent, or not in time.
    Http(StatusCode, &'static str),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl Refused {
    fn reply(self, trace: &TraceId) -> Response {
        let mut response = match &self {
            Self::Domain(error) => problem(error, trace),
            Self::Http(status, message) => {
                let mut response = problem(&Error::new(Code::Invalid, *message), trace);
                *response.status_mut() = *status;
                response
            }
        };
        if let Self::Domain(error) = &self
            && let Some(seconds) = error.details.get("retryAfter").and_then(Json::as_i64)
        {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl Call {
    pub fn new(request: Request) -> Self {
        let trace = trace::of(request.extensions());
        let (head, body) = request.into_parts();
        Self { head, body, trace }
    }

    /// Where it comes from.
    pub fn visitor(&self) -> Visitor {
        let origin = origin(&self.head.extensions, Transport::Http);
        let agent = self.head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Visitor {
            address: origin.address.map(|address| address.to_string()),
            agent: agent.map(str::to_owned),
            trace: Some(origin.trace.to_string()),
        }
    }

    /// Who sent it, by its bearer token.
    fn actor(&self, domain: &Domain) -> impl Future<Output = Result<Actor>> + use<> {
        let (visitor, domain) = (self.visitor(), domain.clone());
        let token = bearer(&self.head.headers).map(str::to_owned);
        async move { domain.authenticate(&token?, visitor.address, visitor.trace).await }
    }

    /// Its body, which is JSON of this shape. What was sent is never told: it holds secrets.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Refused> {
        let kind = self.head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let message = "Send the request as application/json.";
            return Err(Refused::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let body = axum::body::to_bytes(std::mem::take(&mut self.body), BODY_BYTES);
        let body = timeout(BODY_TIME, body)
            .await
            .map_err(|_| Refused::Http(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time."))?
            .map_err(|_| {
                Refused::Http(StatusCode::PAYLOAD_TOO_LARGE, "The body is over 16 KiB or broke off.")
            })?;
        serde_json::from_slice(&body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Refused::Domain(Error::new(
                Code::Invalid,
                format!("This is not the JSON of the request ({place})."),
            ))
        })
    }
}

/// Answers with JSON that nobody keeps.
pub(crate) fn answer(result: Result<Json, Refused>, trace: &TraceId) -> Response {
    let mut response = match result {
        Ok(Json::Null) => StatusCode::NO_CONTENT.into_response(),
        Ok(json) => axum::Json(json).into_response(),
        Err(refused) => refused.reply(trace),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What somebody who came in is told.
pub(crate) fn granted(granted: &Granted) -> Json {
    let choice = |choice: &Choice| {
        json!({
            "id": Noun::Company.id(choice.company).as_str(),
            "name": choice.name,
            "role": choice.role,
        })
    };
    let chosen = granted.companies.iter().find(|choice| choice.company == granted.company);
    json!({
        "tokenType": "Bearer",
        "accessToken": granted.access.reveal(),
        "accessTokenExpiresAt": granted.access_until,
        "refreshToken": granted.refresh.as_ref().map(Secret::reveal),
        "refreshTokenExpiresAt": granted.session.until(),
        "session": Noun::Session.id(granted.session.id).as_str(),
        "company": chosen.map(choice),
        "companies": granted.companies.iter().map(choice).collect::<Vec<_>>(),
        "device": granted.device.as_ref().map(Secret::reveal),
    })
}

/// A company by its global id.
pub(crate) fn company(id: Option<String>) -> Result<Option<uuid::Uuid>> {
    id.map(|id| Noun::Company.read_at(&id.into(), "company")).transpose()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignInBody {
    email: String,
    password: String,
    company: Option<String>,
    device: Option<String>,
}

async fn sign_in(State(domain): State<Domain>, request: Request) -> Response {
    let mut call = Call::new(request);
    let answered = async {
        let SignInBody { email, password, company: id, device } = call.json().await?;
        let sign_in = SignIn { email, password: Password::new(password), company: company(id)?, device };
        Ok(granted(&domain.sign_in(sign_in, &call.visitor()).await?))
    };
    let answered = answered.await;
    answer(answered, &call.trace)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RefreshBody {
    refresh_token: String,
    company: Option<String>,
}

async fn refresh(State(domain): State<Domain>, request: Request) -> Response {
    let mut call = Call::new(request);
    let answered = async {
        let RefreshBody { refresh_token, company: id } = call.json().await?;
        Ok(granted(&domain.session_refresh(&refresh_token, company(id)?, &call.visitor()).await?))
    };
    let answered = answered.await;
    answer(answered, &call.trace)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchBody {
    company: String,
}

async fn switch(State(domain): State<Domain>, request: Request) -> Response {
    let mut call = Call::new(request);
    let answered = async {
        let actor = call.actor(&domain).await?;
        let SwitchBody { company: id } = call.json().await?;
        let company = Noun::Company.read_at(&id.into(), "company")?;
        Ok(granted(&domain.session_switch(&actor, company, &call.visitor()).await?))
    };
    let answered = answered.await;
    answer(answered, &call.trace)
}

async fn sign_out(State(domain): State<Domain>, request: Request) -> Response {
    let call = Call::new(request);
    let actor = call.actor(&domain);
    let answered = async {
        domain.sign_out(&actor.await?).await?;
        Ok(Json::Null)
    };
    let answered = answered.await;
    answer(answered, &call.trace)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    present: String,
    new: String,
}

async fn password(State(domain): State<Domain>, request: Request) -> Response {
    let mut call = Call::new(request);
    let answered = async {
        let actor = call.actor(&domain).await?;
        let PasswordBody { present, new } = call.json().await?;
        let (present, new) = (Password::new(present), Password::new(new));
        let ended = domain.password_change(&actor, present, new, &call.visitor()).await?;
        Ok(json!({ "sessionsEnded": ended }))
    };
    let answered = answered.await;
    answer(answered, &call.trace)
}

async fn link(State(domain): State<Domain>, Path(secret): Path<String>, request: Request) -> Response {
    let call = Call::new(request);
    let answered = domain.link(&secret).await.map_err(Refused::from).map(|facts| {
        let LinkFacts { purpose, company, email, expires_at, proof } = facts;
        json!({
            "purpose": purpose,
            "company": company,
            "email": email,
            "expiresAt": expires_at,
            "needsPresentPassword": proof,
        })
    });
    answer(answered, &call.trace)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptBody {
    company: Option<String>,
    email: Option<String>,
    name: Option<String>,
    password: Option<String>,
}

async fn link_accept(State(domain): State<Domain>, Path(secret): Path<String>, request: Request) -> Response {
    let mut call = Call::new(request);
    let answered = async {
        let actor = match call.head.headers.contains_key(header::AUTHORIZATION) {
            true => Some(call.actor(&domain).await?),
            false => None,
        };
        let AcceptBody { company, email, name, password } = call.json().await?;
        let with = Acceptance { company, email, name, password: password.map(Password::new), actor };
        Ok(granted(&domain.link_accept(&secret, with, &call.visitor()).await?))
    };
    let answered = answered.await;
    answer(answered, &call.trace)
}
