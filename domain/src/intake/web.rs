//! What scanners of the web report: addresses, texts in HTML, requests and responses.

use crate::intake::text::{self, EXCERPT, PAGE};

/// Where something answers: what is before the path of a URL, or a host with its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub scheme: Option<String>,
    /// In lower case; of IPv6 without brackets.
    pub host: String,
    /// The port that is written, or else the one of the scheme.
    pub port: Option<u16>,
}

impl Address {
    /// The address in `https://user@shop.example.org:8443/x`, `shop.example.org:22`, `[::1]:443` or
    /// `shop.example.org`.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        let authority = rest.split(['/', '?', '#', ' ']).next()?.rsplit('@').next()?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(inside) => {
                let (host, behind) = inside.split_once(']')?;
                (host, behind.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                // More colons than one: an IPv6 address without brackets.
                Some((_, port)) if port.contains(':') => (authority, None),
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let usual = match scheme.as_deref() {
            Some("http" | "ws") => Some(80),
            Some("https" | "wss") => Some(443),
            _ => None,
        };
        let port = port.and_then(|port| port.parse().ok()).filter(|port| *port > 0).or(usual);
        (!host.is_empty()).then(|| Self { scheme, host: host.to_ascii_lowercase(), port })
    }

    /// The scheme, the host and the port, as one text that is the same however the address is written.
    pub fn origin(&self) -> String {
        let scheme = self.scheme.as_deref().unwrap_or_default();
        let port = self.port.map(|port| port.to_string()).unwrap_or_default();
        format!("{scheme}://{}:{port}", self.host)
    }
}

/// How long a tag is at most; what is longer is text with a `<` in it.
const TAG: usize = 2 << 10;

/// The text of an HTML fragment: tags left out, the usual entities resolved, a line for each block.
/// A `<` or `&` that begins neither stays as it is.
pub fn plain(html: &str) -> String {
    let mut text = String::with_capacity(html.len().min(PAGE));
    let mut rest = text::beginning(html, 4 * PAGE);
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = if rest.starts_with('<') { tag(rest, &mut text) } else { entity(rest, &mut text) };
        rest = &rest[length..];
    }
    text.push_str(rest);
    let mut tidy = String::with_capacity(text.len());
    for line in text.lines().map(str::trim) {
        // Blocks inside of each other make one empty line, not several.
        if !(line.is_empty() && (tidy.is_empty() || tidy.ends_with("\n\n"))) {
            tidy.push_str(line);
            tidy.push('\n');
        }
    }
    tidy.truncate(tidy.trim_end().len());
    tidy
}

/// Reads the tag that `rest` begins with. How long it is.
fn tag(rest: &str, into: &mut String) -> usize {
    let inside = rest[1..].trim_start_matches('/');
    let is_tag = inside.starts_with(|c: char| c.is_ascii_alphabetic()) || inside.starts_with("!--");
    let Some(end) = text::beginning(rest, TAG).find('>').filter(|_| is_tag) else {
        into.push('<');
        return 1;
    };
    let name = inside.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "li" if !rest.starts_with("</") => into.push_str("\n- "),
        "p" | "br" | "li" | "ul" | "ol" | "div" | "table" | "tr" | "pre" | "h1" | "h2" | "h3" | "h4" => {
            into.push('\n');
        }
        _ => {}
    }
    end + 1
}

/// Reads the entity that `rest` begins with. How long it is.
fn entity(rest: &str, into: &mut String) -> usize {
    let end = rest.bytes().take(12).position(|byte| byte == b';');
    let name = end.map_or("", |end| &rest[1..end]);
    let number = name.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => number.parse().ok(),
    });
    let character = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => number.and_then(char::from_u32),
    };
    match (character, end) {
        (Some(character), Some(end)) => {
            into.push(character);
            end + 1
        }
        _ => {
            into.push('&');
            1
        }
    }
}

/// The addresses that the links of an HTML fragment lead to.
pub fn links(html: &str) -> Vec<String> {
    text::beginning(html, 4 * PAGE)
        .split("href=")
        .skip(1)
        .filter_map(|rest| {
            let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            rest[1..].split(quote).next().map(plain)
        })
        .collect()
}

/// The beginning of a request and of its response, as evidence. `None` where there is neither.
pub fn exchange(request: &str, response: &str) -> Option<String> {
    let request = text::beginning(request.trim(), EXCERPT / 2);
    text::paragraphs([request, text::beginning(response.trim(), EXCERPT - request.len() - 2)])
}
