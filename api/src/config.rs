//! What an operator sets: by flag, or else by a `COUNTERSIGN_…` variable, or else in a file.
//!
//! Every setting is a member of [`Config`]; its name in a file is the member's, and in the
//! environment the same in capitals behind `COUNTERSIGN_`: `COUNTERSIGN_DATABASE`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Config as Layers, Environment, File};
use domain::error::{Error, Result};
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
            .add_source(environment.list_separator(",").with_list_parse_key("origins"))
            .build()
            .and_then(Layers::try_deserialize)
            .map_err(|error| Error::invalid("config", error.to_string()))
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
