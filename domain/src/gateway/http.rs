//! The only way out: requests to the outside, to addresses that are public or that the
//! administrator allows.
//!
//! A name is resolved once, each of its addresses is checked, and the connection goes to those and to
//! no others. Every redirect is a request like the first. No proxy is taken from the environment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION,
};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url, redirect};
use serde_json::Value as Json;
use url::form_urlencoded;

use crate::error::{Code, Error, Result};

/// How many redirects are followed.
const HOPS: usize = 5;
/// How long a connection, and a pause in what it brings, may last.
const CONNECT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(30);

/// The way out, with what it may reach beside public addresses.
#[derive(Clone, Debug)]
pub struct Egress {
    allowed: Vec<IpNet>,
    /// Authorities that are trusted beside those of the system.
    authorities: Vec<Certificate>,
    /// How long an answer may let wait for itself, or for its next bytes.
    patience: Duration,
}

impl Default for Egress {
    fn default() -> Self {
        Self { allowed: Vec::new(), authorities: Vec::new(), patience: PAUSE }
    }
}

/// What a server said the last time, so that it need not say it again.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    pub etag: Option<String>,
    pub modified: Option<String>,
}

/// A body on its way.
pub struct Download {
    response: Response,
    left: u64,
    most: u64,
    /// What to ask with the next time.
    pub conditions: Conditions,
}

/// Readies cryptography for the process: whoever makes a client calls this first.
pub fn ready() {
    static ONCE: Once = Once::new();
    // Another part of the process may have chosen a provider before: that one serves as well.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Code::Invalid, message).at("url")
}

impl Egress {
    /// A way out that also reaches the networks of `allowed`: `10.1.0.0/16`, `127.0.0.1`.
    ///
    /// # Errors
    /// `INVALID` for what is no network.
    pub fn new(allowed: &[String]) -> Result<Self> {
        let network = |text: &String| {
            let text = text.trim();
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| Error::invalid("egress_allow", format!("`{text}` is not a network.")))
        };
        Ok(Self { allowed: allowed.iter().map(network).collect::<Result<_>>()?, ..Self::default() })
    }

    /// The way out of a command that its operator gave the address of: it reaches any.
    pub fn of_operator() -> Self {
        Self { allowed: vec![Ipv4Net::default().into(), Ipv6Net::default().into()], ..Self::default() }
    }

    /// The same way out, which also trusts the authorities whose certificates these are, in PEM.
    ///
    /// # Errors
    /// `INVALID` for what has no certificate in it.
    pub fn trusting(self, authorities: &[u8]) -> Result<Self> {
        let none = || Error::invalid("egress_ca", "The file has no certificate in it.");
        let authorities = Certificate::from_pem_bundle(authorities).map_err(|_| none())?;
        if authorities.is_empty() { Err(none()) } else { Ok(Self { authorities, ..self }) }
    }

    /// The same way out for who waits only so long.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Whether this address may be reached.
    pub fn reaches(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allowed.iter().any(|network| network.contains(&address))
    }

    /// Gets what is at `url`, at most `most` bytes of it. `None`: it is what it was under `conditions`.
    ///
    /// # Errors
    /// `INVALID` with what stood in the way: an address that may not be reached, a redirect to one, a
    /// status that is no success.
    pub async fn get(&self, url: &str, conditions: &Conditions, most: u64) -> Result<Option<Download>> {
        let mut url = Url::parse(url).map_err(|_| refused("This is not an address."))?;
        for _ in 0..=HOPS {
            let response = self.hop(&url, conditions).await?;
            let status = response.status();
            if status == StatusCode::NOT_MODIFIED {
                return Ok(None);
            }
            if status.is_redirection() {
                url = next(&url, response.headers())?;
                continue;
            }
            if !status.is_success() {
                return Err(refused(format!("{} answers with status {}.", place(&url), status.as_u16())));
            }
            let told = |name: HeaderName| {
                response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            };
            let conditions = Conditions { etag: told(ETAG), modified: told(LAST_MODIFIED) };
            if response.content_length().is_some_and(|length| length > most) {
                return Err(too_long(most));
            }
            return Ok(Some(Download { response, left: most, most, conditions }));
        }
        Err(refused(format!("There are more than {HOPS} redirects.")))
    }

    /// Sends a form, with a name and a secret if given, and reads what is answered, whatever its
    /// status: at most `most` bytes. A redirect is an answer like any other.
    ///
    /// # Errors
    /// `INVALID` with what stood in the way.
    pub async fn post_form(
        &self,
        url: &str,
        fields: &[(&str, &str)],
        basic: Option<(&str, &str)>,
        most: u64,
    ) -> Result<(u16, Vec<u8>)> {
        let url = Url::parse(url).map_err(|_| refused("This is not an address."))?;
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self.client(&url).await?.post(url.clone()).body(form);
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request = request.header(ACCEPT, "application/json");
        if let Some((name, secret)) = basic {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encoded(name), Some(encoded(secret)));
        }
        answer(request, &url, most).await
    }

    /// Sends JSON in the name of who holds this token, and reads what is answered, whatever its status: at
    /// most `most` bytes. A redirect is an answer like any other.
    ///
    /// # Errors
    /// `INVALID` with what stood in the way.
    pub async fn post_json(&self, url: &str, bearer: &str, body: &Json, most: u64) -> Result<(u16, Vec<u8>)> {
        let url = Url::parse(url).map_err(|_| refused("This is not an address."))?;
        let request = self.client(&url).await?.post(url.clone()).json(body);
        answer(request.header(ACCEPT, "application/json").bearer_auth(bearer), &url, most).await
    }

    /// Gets what is at `url` in the name of who holds this token. A redirect is an answer like any other.
    ///
    /// # Errors
    /// `INVALID` with what stood in the way, or a status that is no success.
    pub async fn get_as(&self, url: &str, bearer: &str, most: u64) -> Result<Download> {
        let url = Url::parse(url).map_err(|_| refused("This is not an address."))?;
        let request = self.client(&url).await?.get(url.clone()).bearer_auth(bearer);
        let response = request.send().await.map_err(|error| broken(&url, &error))?;
        if !response.status().is_success() {
            return Err(refused(format!(
                "{} answers with status {}.",
                place(&url),
                response.status().as_u16()
            )));
        }
        Ok(Download { response, left: most, most, conditions: Conditions::default() })
    }

    /// One request, to addresses that were checked.
    async fn hop(&self, url: &Url, conditions: &Conditions) -> Result<Response> {
        let mut request = self.client(url).await?.get(url.clone());
        for (name, value) in [(IF_NONE_MATCH, &conditions.etag), (IF_MODIFIED_SINCE, &conditions.modified)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request.send().await.map_err(|error| broken(url, &error))
    }

    /// A client that reaches the checked addresses of the URL's host, and no others.
    async fn client(&self, url: &Url) -> Result<Client> {
        ready();
        if !["http", "https"].contains(&url.scheme()) {
            return Err(refused("Only http and https addresses are asked."));
        }
        let host = url.host_str().ok_or_else(|| refused("The address has no host."))?.to_owned();
        let addresses = self.addresses(url, &host).await?;
        Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(self.patience)
            .tls_certs_merge(self.authorities.iter().cloned())
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .resolve_to_addrs(&host, &addresses)
            .build()
            .map_err(Error::internal)
    }

    /// The addresses of a host, if all of them may be reached: one among others that may not is a
    /// name that plays games.
    async fn addresses(&self, url: &Url, host: &str) -> Result<Vec<SocketAddr>> {
        let port = url.port_or_known_default().unwrap_or(443);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                let found = tokio::net::lookup_host((bare, port)).await;
                found.map_err(|_| refused(format!("The host {host} is not known.")))?.collect()
            }
        };
        if addresses.is_empty() {
            return Err(refused(format!("The host {host} has no address.")));
        }
        match addresses.iter().find(|address| !self.reaches(address.ip())) {
            Some(_) => Err(refused(format!(
                "The host {host} has an address that is not public. An administrator can allow its network."
            ))),
            None => Ok(addresses),
        }
    }
}

impl Download {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// `INVALID` past the size limit, and where the server breaks off or pauses.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let url = self.response.url().clone();
        let part = self.response.chunk().await.map_err(|error| broken(&url, &error))?;
        if let Some(part) = &part {
            let left = self.left.checked_sub(part.len() as u64);
            self.left = left.ok_or_else(|| too_long(self.most))?;
        }
        Ok(part)
    }
}

/// The status and the body of what is answered, whatever they are.
async fn answer(request: RequestBuilder, url: &Url, most: u64) -> Result<(u16, Vec<u8>)> {
    let response = request.send().await.map_err(|error| broken(url, &error))?;
    let status = response.status().as_u16();
    let mut answer = Download { response, left: most, most, conditions: Conditions::default() };
    let mut body = Vec::new();
    while let Some(part) = answer.next().await? {
        body.extend_from_slice(&part);
    }
    Ok((status, body))
}

/// Where a redirect leads: never from an encrypted connection to an open one.
fn next(url: &Url, headers: &HeaderMap) -> Result<Url> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| refused(format!("{} redirects to nowhere.", place(url))))?;
    let next = url.join(location).map_err(|_| refused(format!("{} redirects to no address.", place(url))))?;
    if url.scheme() == "https" && next.scheme() != "https" {
        return Err(refused(format!("{} redirects to an open connection.", place(url))));
    }
    Ok(next)
}

/// An address without what may be secret in it.
fn place(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn broken(url: &Url, error: &reqwest::Error) -> Error {
    let what = if error.is_timeout() {
        "takes too long"
    } else if error.is_connect() {
        "cannot be reached"
    } else {
        "broke off"
    };
    refused(format!("{} {what}.", place(url)))
}

fn too_long(most: u64) -> Error {
    refused(format!("The answer has more than {most} bytes."))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || (a == 192 && b == 88 && c == 99);
    !(reserved
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation())
}

/// Only global unicast, and no form that carries an IPv4 address in it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let carries = a == 0x2002 || (a == 0x2001 && b < 0x0200);
    let documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    (0x2000..0x4000).contains(&a) && !carries && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached() {
        let egress = Egress::default();
        let cases = [
            ("93.184.215.14", true),
            ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", true),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("172.31.255.255", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("198.18.0.1", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("2002:7f00:1::", false),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", false),
            ("fc00::1", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
        ];
        for (address, reached) in cases {
            assert_eq!(egress.reaches(address.parse().expect("an address")), reached, "{address}");
        }
    }

    #[test]
    fn an_administrator_allows_networks() {
        let egress = Egress::new(&["10.1.0.0/16".to_owned(), "127.0.0.1".to_owned()]).expect("networks");
        for (address, reached) in [
            ("10.1.2.3", true),
            ("10.2.0.1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::ffff:10.1.2.3", true),
        ] {
            assert_eq!(egress.reaches(address.parse().expect("an address")), reached, "{address}");
        }
        assert_eq!(Egress::new(&["10.1.0.0/33".to_owned()]).expect_err("no network").code, Code::Invalid);
    }
}
