//! What an operator sets: by flag, or else by a `COUNTERSIGN_…` variable, or else in a file.
//!
//! Every setting is a member of [`Config`]; its name in a file is the member's, and in the
//! environment the same in capitals behind `COUNTERSIGN_`: `COUNTERSIGN_DATABASE`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::{Config as Layers, Environment, File};
use domain::access::Role;
use domain::error::{Error, Result};
use domain::gateway::http::Egress;
use domain::intel::feed::Feed;
use domain::intel::fetch::{FeedSource, FetchPlan};
use domain::signin::SignInSettings;
use domain::signin::oidc::{ClientSecret, GroupGrant, Provider};
use domain::vocabulary::terms::Term;
use serde::Deserialize;

use crate::cli::remote;
use crate::server::settings::{LISTEN, Origins, Rate, Settings};
use crate::server::trusted::TrustedDocuments;
use crate::telemetry::{self, LogFormat};

/// The file that is read where none is named and this one is there.
const FILE: &str = "countersign.toml";

/// Every setting, with what holds when it is not set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `sqlite:FILE` or `postgres://USER:PASSWORD@HOST/NAME`.
    pub database: String,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Where people reach this server, for the links that they are given: `https://countersign.example.com`.
    pub url: Option<String>,
    /// The folder of this server's own: spooled reports, its key, its identity.
    pub folder: PathBuf,
    /// The issuers of OpenID Connect that people come in by, each under a name of its own.
    pub oidc: BTreeMap<String, OidcConfig>,
    /// What is logged, as for `RUST_LOG`.
    pub log: String,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// Where traces are sent, over OTLP: `http://127.0.0.1:4318/v1/traces`. Not set, there are none.
    pub traces: Option<String>,
    /// The share of requests that are traced, unless their caller says.
    pub traces_share: f64,
    /// From how many milliseconds on an operation is told in the log.
    pub slow_millis: u64,
    /// Serves GraphiQL and answers introspection.
    pub development: bool,
    /// Pages of other hosts that may speak to the server, by CORS and over WebSockets: `https://app.example.com`.
    pub origins: Vec<String>,
    /// WebSockets and event streams that one person or service account may have open at once, in one
    /// company.
    pub sockets_per_actor: usize,
    /// Requests a second of one person or service account, in the long run; 0 for any number.
    pub rate: u32,
    /// Operations that one request may hold in a list; 0 for none.
    pub batch: usize,
    /// A manifest of documents that clients may name by their hash.
    pub documents: Option<PathBuf>,
    /// Runs those documents alone.
    pub documents_only: bool,
    /// The largest report, in bytes.
    pub upload_bytes: u64,
    /// Where each feed is fetched from, and how often: `https://… every 6h`. Not set, it is not.
    pub intel_kev: Option<String>,
    pub intel_epss: Option<String>,
    pub intel_cve: Option<String>,
    pub intel_nvd: Option<String>,
    /// Networks that are not public and may be asked all the same: `10.1.0.0/16`.
    pub egress_allow: Vec<String>,
    /// A file of certificates (PEM) of authorities that are trusted beside those of the system.
    pub egress_ca: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: "sqlite:countersign.db".to_owned(),
            listen: LISTEN,
            url: None,
            oidc: BTreeMap::new(),
            folder: PathBuf::from("countersign-data"),
            log: telemetry::DEFAULT_FILTER.to_owned(),
            log_format: LogFormat::Text,
            traces: None,
            traces_share: 1.0,
            slow_millis: 1_000,
            development: false,
            origins: Vec::new(),
            sockets_per_actor: Settings::default().sockets.per_actor,
            rate: 200,
            batch: Settings::default().batch,
            documents: None,
            documents_only: false,
            upload_bytes: Settings::default().upload_bytes,
            intel_kev: None,
            intel_epss: None,
            intel_cve: None,
            intel_nvd: None,
            egress_allow: Vec::new(),
            egress_ca: None,
        }
    }
}

/// An issuer of OpenID Connect, in a table `[oidc.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// What people call it; its name if not set.
    label: Option<String>,
    /// The issuer's address, as its tokens have it.
    issuer: String,
    client_id: String,
    /// The secret, or the file that holds it; neither for a public client.
    client_secret: Option<Hidden>,
    client_secret_file: Option<PathBuf>,
    /// What is asked for beside `openid email profile`.
    #[serde(default)]
    scopes: Vec<String>,
    /// The claim that names the groups; `groups` if not set.
    groups_claim: Option<String>,
    /// What groups give.
    #[serde(default)]
    grants: Vec<GrantConfig>,
    /// The domains of addresses that the issuer speaks for.
    #[serde(default)]
    domains: Vec<String>,
    /// Whether who is not known gets an account.
    #[serde(default)]
    provisioning: bool,
    /// The audience of bearer tokens for programs; not set, they are not taken.
    audience: Option<String>,
    /// The page of an application of one's own that people are sent back to.
    redirect: Option<String>,
}

/// A setting that is not printed by accident.
#[derive(Clone, Deserialize)]
struct Hidden(String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// What being in a group gives: a role in a company.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantConfig {
    group: String,
    company: String,
    role: Role,
}

impl OidcConfig {
    fn provider(&self, key: &str) -> Result<Provider> {
        let wrong = |field: &str, message: &str| Error::invalid(field, message).at(key).at("oidc");
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(wrong("", "The name of a provider is small letters and digits."));
        }
        if let Some(grant) = self.grants.iter().find(|grant| grant.role == Role::PlatformAdmin) {
            return Err(wrong(&grant.group, "No group makes platform admins."));
        }
        if self.audience.as_deref() == Some(self.client_id.as_str()) {
            let message = "Tokens for programs have an audience of their own: not the client's id.";
            return Err(wrong("audience", message));
        }
        if self.provisioning && self.domains.is_empty() {
            return Err(wrong("domains", "Say for which domains it may make accounts."));
        }
        domain::signin::oidc::check_address(&self.issuer)
            .map_err(|_| wrong("issuer", "An issuer has an https address."))?;
        let client_secret = match (&self.client_secret, &self.client_secret_file) {
            (Some(_), Some(_)) => {
                return Err(wrong("client_secret", "Set the secret or its file, not both."));
            }
            (Some(Hidden(secret)), None) => Some(ClientSecret(secret.clone())),
            (None, Some(file)) => {
                let secret = std::fs::read_to_string(file)
                    .map_err(|error| wrong("client_secret_file", &error.to_string()))?;
                Some(ClientSecret(secret.trim().to_owned()))
            }
            (None, None) => None,
        };
        let grant = |grant: &GrantConfig| GroupGrant {
            group: grant.group.clone(),
            company: grant.company.clone(),
            role: grant.role,
        };
        Ok(Provider {
            key: key.to_owned(),
            label: self.label.clone().unwrap_or_else(|| key.to_owned()),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret,
            scopes: self.scopes.clone(),
            groups_claim: self.groups_claim.clone().unwrap_or_else(|| "groups".to_owned()),
            grants: self.grants.iter().map(grant).collect(),
            domains: self.domains.clone(),
            provisioning: self.provisioning,
            audience: self.audience.clone(),
            redirect: self.redirect.clone(),
        })
    }
}

impl Config {
    /// The part of it that concerns signing in.
    pub fn sign_in(&self) -> Result<SignInSettings> {
        let providers = self.oidc.iter().map(|(key, oidc)| oidc.provider(key)).collect::<Result<_>>()?;
        Ok(SignInSettings { url: self.url.clone(), providers, egress: Egress::new(&self.egress_allow)? })
    }

    /// Reads the file and the environment; flags come on top of this.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let (path, required) = file.map_or((Path::new(FILE), false), |file| (file, true));
        let environment = Environment::with_prefix("COUNTERSIGN").prefix_separator("_").try_parsing(true);
        // What the commands send to a server is no setting of one.
        let set = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let environment = environment.source(Some(set.filter(|(name, _)| name != remote::TOKEN).collect()));
        Layers::builder()
            .add_source(File::from(path).required(required))
            .add_source(
                environment
                    .list_separator(",")
                    .with_list_parse_key("origins")
                    .with_list_parse_key("egress_allow"),
            )
            .build()
            .and_then(Layers::try_deserialize)
            .map_err(|error| Error::invalid("config", error.to_string()))
    }

    /// The feeds that are fetched by the clock.
    pub fn fetches(&self) -> Result<FetchPlan> {
        let source = |feed: &Feed| {
            let setting = match feed {
                Feed::Kev => &self.intel_kev,
                Feed::Epss => &self.intel_epss,
                Feed::Cve => &self.intel_cve,
                Feed::Nvd => &self.intel_nvd,
            };
            setting.as_deref().map(|text| FeedSource::parse(*feed, text))
        };
        let sources = Feed::ALL.iter().filter_map(source).collect::<Result<_>>()?;
        let mut egress = Egress::new(&self.egress_allow)?;
        if let Some(path) = &self.egress_ca {
            let authorities = std::fs::read(path)
                .map_err(|error| Error::invalid("egress_ca", format!("{}: {error}", path.display())))?;
            egress = egress.trusting(&authorities)?;
        }
        Ok(FetchPlan::new(sources, egress))
    }

    /// The part of it that concerns the edge.
    pub fn edge(&self) -> Result<Settings> {
        let mut settings = Settings {
            development: self.development,
            batch: self.batch,
            documents: Arc::new(self.trusted()?),
            upload_bytes: self.upload_bytes,
            slow: Duration::from_millis(self.slow_millis),
            ..Settings::default()
        };
        settings.rates.actor = Rate::per_second(self.rate);
        settings.sockets.per_actor = self.sockets_per_actor;
        if !self.origins.is_empty() {
            settings.sockets.origins = Origins::Listed(self.origins.clone());
        }
        Ok(settings)
    }

    /// The documents of the manifest.
    fn trusted(&self) -> Result<TrustedDocuments> {
        let Some(file) = &self.documents else {
            let nothing = Error::invalid("documents_only", "Nothing would run: set \"documents\" too.");
            return if self.documents_only { Err(nothing) } else { Ok(TrustedDocuments::default()) };
        };
        let manifest = std::fs::read(file)
            .map_err(|error| Error::invalid("documents", format!("{}: {error}", file.display())))?;
        TrustedDocuments::read(&manifest, self.documents_only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORP: &str = r#"
        url = "https://countersign.example"
        [oidc.corp]
        issuer = "https://id.corp.example"
        client_id = "countersign"
        client_secret = "hush hush"
        domains = ["corp.example"]
        provisioning = true
        audience = "api://countersign"
        [[oidc.corp.grants]]
        group = "sec"
        company = "Acme"
        role = "ANALYST"
    "#;

    fn read(text: &str) -> Result<SignInSettings> {
        let layers = Layers::builder().add_source(File::from_str(text, config::FileFormat::Toml)).build();
        let config: Config = layers.and_then(Layers::try_deserialize).expect("the file is in order");
        assert!(!format!("{config:?}").contains("hush"), "a secret is not printed");
        config.sign_in()
    }

    #[test]
    fn a_provider_is_read_from_the_file() {
        let settings = read(CORP).expect("the provider is in order");
        assert!(!format!("{settings:?}").contains("hush"), "a secret is not printed");
        let provider = &settings.providers[0];
        assert_eq!((provider.key.as_str(), provider.label.as_str()), ("corp", "corp"));
        assert_eq!(provider.client_secret.as_ref().map(|secret| secret.0.as_str()), Some("hush hush"));
        assert_eq!((provider.groups_claim.as_str(), provider.grants[0].role), ("groups", Role::Analyst));
    }

    #[test]
    fn a_provider_that_would_let_the_wrong_in_is_refused() {
        for (right, wrong, field) in [
            ("https://id.corp.example", "http://id.corp.example", "issuer"),
            ("\"ANALYST\"", "\"PLATFORM_ADMIN\"", "sec"),
            ("api://countersign", "countersign", "audience"),
            ("domains = [\"corp.example\"]", "", "domains"),
            ("client_secret =", "client_secret_file = \"/nowhere\"\nclient_secret =", "client_secret"),
        ] {
            let error = read(&CORP.replacen(right, wrong, 1)).expect_err(wrong);
            assert_eq!(error.field, ["oidc", "corp", field], "{error}");
        }
    }
}
