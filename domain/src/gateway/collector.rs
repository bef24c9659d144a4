//! The collector that an operator sends traces to: the one address that is asked wherever it lies,
//! because nobody but the operator can name it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{Client, Url, redirect};

use super::http::ready;
use crate::error::{Error, Result};

/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of its answer is read.
const ANSWER: usize = 64 << 10;

#[derive(Clone, Debug)]
pub struct Collector {
    client: Client,
    url: Url,
}

impl Collector {
    /// The way to `url`: `http://127.0.0.1:4318/v1/traces`.
    pub fn new(url: &str) -> Result<Self> {
        let refused = || Error::invalid("traces", "A collector is named by http://… or https://…");
        let url = Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        let url = url.ok_or_else(refused)?;
        ready();
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::internal)?;
        Ok(Self { client, url })
    }

    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Sends a body with these headers; answers with the status and the beginning of the answer.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<(u16, Bytes)> {
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
        let mut response = request.send().await.map_err(Error::internal)?;
        let status = response.status().as_u16();
        let mut answer = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(Error::internal)? {
            if answer.len() + part.len() > ANSWER {
                break;
            }
            answer.extend_from_slice(&part);
        }
        Ok((status, answer.freeze()))
    }
}
