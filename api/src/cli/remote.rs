//! A server that a command speaks to over its API, as anybody else does.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use domain::error::{Code, Error, Result};
use domain::gateway::http::Egress;
use serde_json::{Value as Json, json};

/// The variable that holds the token.
pub const TOKEN: &str = "COUNTERSIGN_TOKEN";

/// The most bytes of an answer.
const ANSWER: u64 = 64 << 20;
/// How long a server may let wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which server, and in whose name. The token is never an argument: those are seen by everybody on the machine.
#[derive(Args)]
pub struct Remote {
    /// The server's address: `https://countersign.example`.
    #[arg(long)]
    url: String,
    /// A file with the token; the variable COUNTERSIGN_TOKEN if not said.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// A file of certificates, in PEM, to trust beside the system's.
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// A way to the server.
pub struct Way {
    base: String,
    token: String,
    egress: Egress,
}

fn unread(file: &std::path::Path, error: &std::io::Error, field: &str) -> Error {
    Error::invalid(field, format!("{}: {error}", file.display()))
}

impl Remote {
    pub fn way(&self) -> Result<Way> {
        let token = match &self.token_file {
            Some(file) => {
                std::fs::read_to_string(file).map_err(|error| unread(file, &error, "token-file"))?
            }
            None => std::env::var(TOKEN).unwrap_or_default(),
        };
        let token = token.trim().to_owned();
        if token.is_empty() {
            let message = format!("Set {TOKEN}, or name a file with --token-file.");
            return Err(Error::new(Code::Required, message).at("token"));
        }
        let mut egress = Egress::of_operator().with_patience(PATIENCE);
        if let Some(file) = &self.ca {
            let authorities = std::fs::read(file).map_err(|error| unread(file, &error, "ca"))?;
            egress = egress.trusting(&authorities).map_err(|error| Error::invalid("ca", error.message))?;
        }
        let base = self.url.trim().trim_end_matches('/');
        let base = base.strip_suffix(crate::server::GRAPHQL).unwrap_or(base).to_owned();
        Ok(Way { base, token, egress })
    }
}

impl Way {
    /// The data of an operation.
    ///
    /// # Errors
    /// What the server says that is wrong, and what it cannot be asked for.
    pub async fn ask(&self, query: &str, variables: Json) -> Result<Json> {
        let url = format!("{}{}", self.base, crate::server::GRAPHQL);
        let body = json!({ "query": query, "variables": variables });
        let (status, answer) = self.egress.post_json(&url, &self.token, &body, ANSWER).await?;
        let unknown = || {
            Error::invalid(
                "url",
                format!("{} answers with status {status}, and not as a server of this kind.", self.base),
            )
        };
        let mut answer: Json = serde_json::from_slice(&answer).map_err(|_| unknown())?;
        let errors = answer["errors"].as_array().filter(|errors| !errors.is_empty());
        if let Some(first) = errors.and_then(|errors| errors.first()) {
            return Err(told(first, "extensions"));
        }
        if let Some(detail) = answer["detail"].as_str().or(answer["title"].as_str()) {
            return Err(Error::invalid("url", detail));
        }
        match answer["data"].take() {
            Json::Null => Err(unknown()),
            data => Ok(data),
        }
    }

    /// What a mutation answers that refuses nothing.
    ///
    /// # Errors
    /// Those of [`Self::ask`], and the first of what it refuses.
    pub async fn change(&self, query: &str, variables: Json) -> Result<Json> {
        let data = self.ask(query, variables).await?;
        let payload = data.as_object().and_then(|data| data.values().next()).cloned().unwrap_or_default();
        match payload["userErrors"].as_array().and_then(|errors| errors.first()) {
            Some(refused) => Err(told(refused, "")),
            None => Ok(payload),
        }
    }
}

/// An error as the server tells it. `inside`: where its code is.
fn told(error: &Json, inside: &str) -> Error {
    let code = error[inside]["code"].as_str().or(error["code"].as_str()).unwrap_or_default();
    let known = Code::ALL.iter().copied().find(|known| known.word() == code).unwrap_or(Code::Invalid);
    let message = error["message"].as_str().unwrap_or("The server says that something is wrong.");
    let fields = error["field"].as_array().or(error[inside]["field"].as_array()).into_iter().flatten();
    let fields: Vec<String> = fields.filter_map(Json::as_str).map(str::to_owned).collect();
    let mut error = Error::new(known, message);
    error.field = fields;
    error
}
