//! What an operator sets: by flag, or else by a `COUNTERSIGN_…` variable, or else in a file.
//!
//! Every setting is a member of [`Config`]; its name in a file is the member's, and in the
//! environment the same in capitals behind `COUNTERSIGN_`: `COUNTERSIGN_DATABASE`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Config as Layers, Environment, File};
use domain::error::{Error, Result};
use domain::gateway::http::Egress;
use domain::intel::feed::Feed;
use domain::intel::fetch::{FeedSource, FetchPlan};
use domain::vocabulary::terms::Term;
use serde::Deserialize;

use crate::server::settings::{LISTEN, Origins, Settings};
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
    /// The folder of this server's own: spooled reports, its key, its identity.
    pub folder: PathBuf,
    /// What is logged, as for `RUST_LOG`.
    pub log: String,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// Serves GraphiQL and answers introspection.
    pub development: bool,
    /// Pages of other hosts that may open a WebSocket: `https://app.example.com`.
    pub origins: Vec<String>,
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
            folder: PathBuf::from("countersign-data"),
            log: telemetry::DEFAULT_FILTER.to_owned(),
            log_format: LogFormat::Text,
            development: false,
            origins: Vec::new(),
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

impl Config {
    /// Reads the file and the environment; flags come on top of this.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let (path, required) = file.map_or((Path::new(FILE), false), |file| (file, true));
        let environment = Environment::with_prefix("COUNTERSIGN").prefix_separator("_").try_parsing(true);
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
    pub fn edge(&self) -> Settings {
        let mut settings = Settings {
            development: self.development,
            upload_bytes: self.upload_bytes,
            ..Settings::default()
        };
        if !self.origins.is_empty() {
            settings.sockets.origins = Origins::Listed(self.origins.clone());
        }
        settings
    }
}
