//! Coming in by a provider of OpenID Connect.
//!
//! A browser goes to `start` and comes back to `callback`; a cookie, the only one there is, holds
//! meanwhile what binds the two together. An application does the same by `POST`, and keeps the
//! binding itself.

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Domain;
use domain::error::{Code, Error, Result};
use domain::signin::oidc::{Departure, Return};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Call, Refused, answer, company, granted};

/// How long the cookie lives: as long as somebody may take at the provider.
const COOKIE_SECONDS: u32 = 600;

/// `GET /v1/auth/providers`: the ways to come in.
pub async fn providers(State(domain): State<Domain>, request: Request) -> Response {
    let call = Call::new(request);
    let provider = |provider: &domain::signin::oidc::Provider| {
        json!({
            "key": provider.key,
            "label": provider.label,
            "start": format!("/v1/auth/oidc/{}/start", provider.key),
        })
    };
    let providers: Vec<Json> = domain.providers().map(provider).collect();
    answer(Ok(json!({ "password": true, "oidc": providers })), &call.trace)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    company: Option<String>,
}

/// `POST …/start`: where to go, for an application that keeps the binding.
pub async fn start(State(domain): State<Domain>, Path(key): Path<String>, request: Request) -> Response {
    let mut call = Call::new(request);
    let answered = async {
        let Start { company: id } = call.json().await?;
        let Departure { url, binding } = domain.oidc_start(&key, company(id)?).await?;
        Ok(json!({ "url": url, "binding": binding.reveal() }))
    };
    let answered = answered.await;
    answer(answered, &call.trace)
}

/// `GET …/start`: sends a browser to the provider.
pub async fn leave(
    State(domain): State<Domain>,
    Path(key): Path<String>,
    Query(Start { company: id }): Query<Start>,
    request: Request,
) -> Response {
    let call = Call::new(request);
    let begun = match company(id) {
        Ok(company) => domain.oidc_start(&key, company).await,
        Err(error) => Err(error),
    };
    let Departure { url, binding } = match begun {
        Ok(begun) => begun,
        Err(error) => return answer(Err(Refused::Domain(error)), &call.trace),
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let cookie = cookie(&domain, &key, binding.reveal(), COOKIE_SECONDS);
    for (name, value) in [(header::LOCATION, url), (header::SET_COOKIE, cookie)] {
        match HeaderValue::try_from(value).map_err(Error::internal) {
            Ok(value) => drop(response.headers_mut().insert(name, value)),
            Err(error) => return answer(Err(Refused::Domain(error)), &call.trace),
        }
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Deserialize)]
pub struct Arrival {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

impl Arrival {
    /// What came back, with the binding that stayed here.
    fn with(self, binding: Option<String>) -> Result<Return> {
        if let Some(error) = self.error {
            let word: String =
                error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
            let message = format!("The provider did not let you in: {word}.");
            return Err(Error::new(Code::Unauthenticated, message));
        }
        let missing =
            || Error::new(Code::Unauthenticated, "This is no answer to a sign-in that was begun here.");
        Ok(Return {
            state: self.state.ok_or_else(missing)?,
            code: self.code.ok_or_else(missing)?,
            binding: binding.ok_or_else(missing)?,
            issuer: self.iss,
        })
    }
}

/// `GET …/callback`: a browser comes back.
pub async fn arrive(
    State(domain): State<Domain>,
    Path(key): Path<String>,
    Query(arrival): Query<Arrival>,
    request: Request,
) -> Response {
    let call = Call::new(request);
    let cookies = call.head.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let name = format!("{}=", cookie_name(&key));
    let binding = cookies
        .flat_map(|cookies| cookies.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix(&name))
        .map(str::to_owned);
    let visitor = call.visitor();
    let came = match arrival.with(binding) {
        Ok(came) => domain.oidc_finish(&key, came, &visitor).await,
        Err(error) => Err(error),
    };
    let mut response = answer(came.map(|came| granted(&came)).map_err(Refused::from), &call.trace);
    // The binding was good once.
    let known = domain.providers().any(|provider| provider.key == key);
    if let Ok(gone) = HeaderValue::try_from(cookie(&domain, &key, "", 0))
        && known
    {
        response.headers_mut().insert(header::SET_COOKIE, gone);
    }
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    state: String,
    code: String,
    binding: String,
    iss: Option<String>,
}

/// `POST …/callback`: an application brings what its page got.
pub async fn finish(State(domain): State<Domain>, Path(key): Path<String>, request: Request) -> Response {
    let mut call = Call::new(request);
    let answered = async {
        let Finish { state, code, binding, iss } = call.json().await?;
        let came = Return { state, code, binding, issuer: iss };
        Ok(granted(&domain.oidc_finish(&key, came, &call.visitor()).await?))
    };
    let answered = answered.await;
    answer(answered, &call.trace)
}

fn cookie_name(key: &str) -> String {
    format!("countersign_oidc_{key}")
}

/// The cookie that holds a binding: for this path alone, out of reach of scripts, sent along when the
/// provider sends the browser back, and over encrypted connections only where the server has one.
fn cookie(domain: &Domain, key: &str, binding: &str, seconds: u32) -> String {
    let url = domain.settings().sign_in.url.as_deref().unwrap_or_default();
    let secure = if url.starts_with("https://") { "; Secure" } else { "" };
    let name = cookie_name(key);
    format!("{name}={binding}; Path=/v1/auth/oidc/{key}; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}
