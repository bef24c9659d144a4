//! What a client wants to be answered with: the `Accept` header.

use axum::http::{HeaderMap, header};

use super::reply::MediaType;

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";
const EVENTS: &str = "text/event-stream";

/// How the answers to a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    /// Of one answer, or of a refusal.
    pub media: MediaType,
    pub events: Events,
}

/// When answers are sent as a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    Never,
    /// The client names them among others: for what has more answers than one.
    Subscriptions,
    /// The client likes nothing better.
    Always,
}

impl Accept {
    /// What the `Accept` headers like best; JSON where they say nothing or like several the same
    /// without naming another. `None` if nothing will do that is spoken here.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let ranges: Vec<Range> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(Range::parse)
            .collect();
        if ranges.is_empty() {
            return Some(Self { media: MediaType::Json, events: Events::Never });
        }
        let liking = |media: &str| {
            let fitting = ranges.iter().filter(|range| range.fits(media));
            fitting.max_by_key(|r| (r.exactness(), r.quality)).map_or((0, 0), |r| (r.quality, r.exactness()))
        };
        let (json, graphql, events) = (liking(JSON), liking(GRAPHQL), liking(EVENTS));
        // Named alike, the status-bearing type is the better answer.
        let media = if graphql > json || (graphql == json && graphql.1 == 2) {
            MediaType::GraphqlResponse
        } else {
            MediaType::Json
        };
        let best = json.max(graphql);
        let events = match events {
            (0, _) => Events::Never,
            events if events > best => Events::Always,
            (_, 2) => Events::Subscriptions,
            _ => Events::Never,
        };
        (best.0 > 0 || events != Events::Never).then_some(Self { media, events })
    }
}

/// One range of an `Accept` header.
struct Range<'a> {
    name: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    /// `None` for what is no range. One of another charset than UTF-8 is not liked at all.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| name.contains('/'))?;
        let mut quality = 1.0_f32;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            if name.eq_ignore_ascii_case("q") {
                quality = value.parse().ok()?;
            } else if name.eq_ignore_ascii_case("charset")
                && !value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            {
                quality = 0.0;
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what a quality may be"
        )]
        let quality = (quality.clamp(0.0, 1.0) * 1_000.0) as u16;
        Some(Self { name, quality })
    }

    fn fits(&self, media: &str) -> bool {
        let of_kind = |kind: &str| media.split_once('/').is_some_and(|(of, _)| of.eq_ignore_ascii_case(kind));
        match self.name.split_once('/') {
            Some(("*", "*")) => true,
            Some((kind, "*")) => of_kind(kind),
            _ => self.name.eq_ignore_ascii_case(media),
        }
    }

    fn exactness(&self) -> u8 {
        match self.name.split_once('/') {
            Some(("*", "*")) => 0,
            Some((_, "*")) => 1,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn takes_the_type_that_is_liked_best() {
        use Events::{Always, Never, Subscriptions};
        use MediaType::{GraphqlResponse, Json};
        let cases = [
            (None, Some((Json, Never))),
            (Some("*/*"), Some((Json, Never))),
            (Some("application/*"), Some((Json, Never))),
            (Some("application/json"), Some((Json, Never))),
            (Some("Application/JSON"), Some((Json, Never))),
            (Some("application/graphql-response+json"), Some((GraphqlResponse, Never))),
            (Some("application/json, application/graphql-response+json"), Some((GraphqlResponse, Never))),
            (
                Some("application/graphql-response+json, application/json;q=0.9"),
                Some((GraphqlResponse, Never)),
            ),
            (Some("application/graphql-response+json;q=0.1, application/json"), Some((Json, Never))),
            (
                Some("application/graphql-response+json; charset=utf-8, */*;q=0.1"),
                Some((GraphqlResponse, Never)),
            ),
            (
                Some("application/graphql-response+json; charset=latin1, application/json; Q=0.2"),
                Some((Json, Never)),
            ),
            (Some("text/html, */*;q=0.1"), Some((Json, Never))),
            (Some("application/json;q=0, */*"), Some((GraphqlResponse, Never))),
            (Some("text/event-stream"), Some((Json, Always))),
            (Some("text/event-stream, */*;q=0.1"), Some((Json, Always))),
            (
                Some("application/graphql-response+json, application/json, text/event-stream"),
                Some((GraphqlResponse, Subscriptions)),
            ),
            (Some("application/json, text/event-stream;q=0"), Some((Json, Never))),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
            (Some("application/json; charset=latin1"), None),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            let seen = Accept::of(&headers).map(|accept| (accept.media, accept.events));
            assert_eq!(seen, expected, "{accept:?}");
        }
    }
}
