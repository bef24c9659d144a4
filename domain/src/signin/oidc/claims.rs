//! What an issuer's token says, and whether that is what was asked for. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::vocabulary::terms::terms;
use crate::vocabulary::time::{Span, Timestamp};

/// By how much the clocks of an issuer and of this server may differ.
const LEEWAY: Span = Span::MINUTE;
/// The longest token, in bytes.
pub(crate) const LONGEST: usize = 16 * 1024;

terms! {
    /// Why a token, or what came back with it, is not accepted.
    Fault {
        State = "state", Code = "code", Malformed = "malformed", Algorithm = "algorithm", Key = "key",
        Signature = "signature", Issuer = "issuer", Audience = "audience", Party = "authorized party",
        Expired = "expired", NotYet = "not yet valid", Nonce = "nonce", AccessToken = "at_hash",
        Subject = "subject",
    }
}

impl Fault {
    pub fn word(self) -> &'static str {
        crate::vocabulary::terms::Term::word(self)
    }
}

/// What a token has to say.
pub(crate) struct Expected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    /// For whom it was issued, where it says so or names several audiences.
    pub party: Option<&'a str>,
    pub nonce: Option<&'a str>,
    /// The access token that came with it.
    pub access_token: Option<&'a str>,
}

/// The claims of a token whose signature is good.
#[derive(Clone, Debug)]
pub(crate) struct Claims(pub Map<String, Json>);

impl Claims {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        let seconds = self.0.get(name)?;
        #[expect(clippy::cast_possible_truncation, reason = "a time out of range is held at its end")]
        let seconds = seconds.as_i64().or_else(|| seconds.as_f64().map(|seconds| seconds as i64))?;
        Some(Timestamp(seconds.saturating_mul(Span::SECOND.0)))
    }

    pub fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    pub fn expires(&self) -> Option<Timestamp> {
        self.time("exp")
    }

    pub fn name(&self) -> Option<&str> {
        self.text("name").or_else(|| self.text("preferred_username"))
    }

    /// The address, and whether the issuer says that it is the subject's.
    pub fn email(&self) -> Option<(String, bool)> {
        let verified = match self.0.get("email_verified") {
            Some(Json::Bool(verified)) => *verified,
            Some(Json::String(word)) => word == "true",
            _ => false,
        };
        Some((self.text("email")?.trim().to_ascii_lowercase(), verified))
    }

    /// The groups; none where the token does not tell.
    pub fn groups(&self, claim: &str) -> Option<Vec<&str>> {
        match self.0.get(claim)? {
            Json::Array(groups) => Some(groups.iter().filter_map(Json::as_str).collect()),
            Json::String(group) => Some(vec![group]),
            _ => Some(Vec::new()),
        }
    }

    /// Whether the token says what is expected, at this time.
    pub fn check(&self, expected: &Expected<'_>, algorithm: Algorithm, now: Timestamp) -> Result<(), Fault> {
        if self.text("iss") != Some(expected.issuer) {
            return Err(Fault::Issuer);
        }
        let audiences: Vec<&str> = match self.0.get("aud") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(all)) => all.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        if !audiences.contains(&expected.audience) {
            return Err(Fault::Audience);
        }
        if let Some(party) = expected.party {
            match self.text("azp") {
                Some(azp) if azp != party => return Err(Fault::Party),
                None if audiences.len() > 1 => return Err(Fault::Party),
                _ => {}
            }
        }
        if self.expires().is_none_or(|expires| expires.plus(LEEWAY) <= now) {
            return Err(Fault::Expired);
        }
        let early = |name| self.time(name).is_some_and(|from| from > now.plus(LEEWAY));
        if early("nbf") || early("iat") {
            return Err(Fault::NotYet);
        }
        if let Some(nonce) = expected.nonce {
            let told = self.text("nonce").unwrap_or_default();
            if !bool::from(told.as_bytes().ct_eq(nonce.as_bytes())) {
                return Err(Fault::Nonce);
            }
        }
        if let (Some(hash), Some(token)) = (self.0.get("at_hash"), expected.access_token)
            && hash.as_str() != Some(&half_hash(token, algorithm))
        {
            return Err(Fault::AccessToken);
        }
        match self.subject() {
            "" => Err(Fault::Subject),
            subject if subject.len() > 255 => Err(Fault::Subject),
            _ => Ok(()),
        }
    }
}

/// The left half of a token's hash, by the hash of the algorithm that signed.
fn half_hash(token: &str, algorithm: Algorithm) -> String {
    let half = |hash: &[u8]| URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2]);
    match algorithm {
        Algorithm::ES384 | Algorithm::RS384 | Algorithm::PS384 => half(&Sha384::digest(token)),
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => half(&Sha512::digest(token)),
        _ => half(&Sha256::digest(token)),
    }
}

/// The issuer that a token names, before anything of it is believed.
pub(crate) fn named_issuer(token: &str) -> Option<String> {
    if token.len() > LONGEST || !token.starts_with("eyJ") {
        return None;
    }
    let claims: Map<String, Json> = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}
