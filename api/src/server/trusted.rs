//! Trusted documents: operations that the server knows by their hash.
//!
//! A client sends `documentId` (GraphQL over HTTP) or `extensions.persistedQuery.sha256Hash`
//! (Apollo) in the place of `query`. A server that is told to runs nothing else, so that what can be
//! asked of it is what its clients were built with.

use std::collections::HashMap;
use std::fmt::Write;

use async_graphql::{ServerError, Value};
use domain::error::{Error, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::operation::Parameters;
use crate::error::{refusal, request};

/// The documents of a manifest, by SHA-256 and by the id they have there.
#[derive(Clone, Debug, Default)]
pub struct TrustedDocuments {
    known: HashMap<String, String>,
    /// Whether nothing else is run.
    pub only: bool,
}

/// A manifest, as build tools write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Manifest {
    /// Apollo's `apollo-persisted-query-manifest`.
    Apollo { operations: Vec<Entry> },
    /// Relay's, and the simplest: `{ "<id>": "<text>" }`.
    Plain(HashMap<String, String>),
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    body: String,
}

impl TrustedDocuments {
    /// Reads a manifest. An id that looks like a SHA-256 has to be that of its document.
    ///
    /// # Errors
    ///
    /// A refusal of a manifest that is of no known form, or contradicts itself.
    pub fn read(manifest: &[u8], only: bool) -> Result<Self> {
        let manifest = serde_json::from_slice(manifest).map_err(|_| {
            Error::invalid("documents", "A manifest is {\"<SHA-256>\": \"<text>\"}, or Apollo's.")
        })?;
        let entries: Vec<(String, String)> = match manifest {
            Manifest::Apollo { operations } => {
                operations.into_iter().map(|entry| (entry.id, entry.body)).collect()
            }
            Manifest::Plain(entries) => entries.into_iter().collect(),
        };
        let mut known = HashMap::new();
        for (id, text) in entries {
            let hash = sha256(&text);
            let is_hash = id.len() == hash.len() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_hash && !id.eq_ignore_ascii_case(&hash) {
                return Err(Error::invalid(
                    "documents",
                    format!("The document {id} has the SHA-256 {hash}."),
                ));
            }
            if !is_hash {
                known.insert(id, text.clone());
            }
            known.insert(hash, text);
        }
        Ok(Self { known, only })
    }

    /// Puts the text of the document that is meant into the place of its id.
    ///
    /// # Errors
    ///
    /// A refusal of an id that is not known, of a text that is not the document of its id, and of any
    /// text but the known ones where nothing else is run.
    pub fn resolve(&self, parameters: &mut Parameters) -> Result<(), ServerError> {
        let id = match (&parameters.document_id, persisted(parameters)) {
            (Some(id), _) => Some(id.strip_prefix("sha256:").unwrap_or(id).to_owned()),
            (None, hash) => hash.map(str::to_ascii_lowercase),
        };
        let unknown = || refusal(request::DOCUMENT_UNKNOWN, "PersistedQueryNotFound");
        let Some(text) = &parameters.query else {
            let id =
                id.ok_or_else(|| refusal(request::BAD_REQUEST, "The request needs a \"query\" text."))?;
            // The words of the refusal are those that Apollo's clients look for.
            parameters.query = Some(self.known.get(&id).ok_or_else(unknown)?.clone());
            return Ok(());
        };
        let may_run = !self.only || self.known.contains_key(&sha256(text));
        match id {
            None if may_run => Ok(()),
            None => Err(refusal(
                request::DOCUMENT_REQUIRED,
                "This server runs only documents that it knows: send an id.",
            )),
            Some(id) if id != sha256(text) && self.known.get(&id) != Some(text) => {
                Err(refusal(request::BAD_REQUEST, "The \"query\" is not the document of this id."))
            }
            Some(_) if may_run => Ok(()),
            Some(_) => Err(unknown()),
        }
    }
}

/// The hash of Apollo's extension.
pub fn persisted(parameters: &Parameters) -> Option<&str> {
    let Value::Object(persisted) = parameters.extensions.as_ref()?.get("persistedQuery")? else {
        return None;
    };
    match persisted.get("sha256Hash")? {
        Value::String(hash) => Some(hash),
        _ => None,
    }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a text can be written to");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = "{ hello }";

    fn manifest() -> String {
        json!({ sha256(TEXT): TEXT, "md5": "{ other }" }).to_string()
    }

    fn resolved(documents: &TrustedDocuments, request: serde_json::Value) -> Result<String, String> {
        let mut parameters: Parameters = serde_json::from_value(request).unwrap();
        match documents.resolve(&mut parameters) {
            Ok(()) => Ok(parameters.query.unwrap()),
            Err(error) => Err(crate::error::code(&error).unwrap().to_owned()),
        }
    }

    #[test]
    fn the_document_that_is_meant_is_run() {
        let hash = sha256(TEXT);
        let by_apollo = |hash: &str| json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
        let cases = [
            (json!({ "query": "{ a }" }), Ok("{ a }"), Err("PERSISTED_QUERY_REQUIRED")),
            (json!({ "query": TEXT }), Ok(TEXT), Ok(TEXT)),
            (json!({ "documentId": hash }), Ok(TEXT), Ok(TEXT)),
            (json!({ "documentId": format!("sha256:{hash}") }), Ok(TEXT), Ok(TEXT)),
            (json!({ "documentId": "md5" }), Ok("{ other }"), Ok("{ other }")),
            (json!({ "documentId": sha256("{ other }") }), Ok("{ other }"), Ok("{ other }")),
            (json!({ "extensions": by_apollo(&hash) }), Ok(TEXT), Ok(TEXT)),
            (
                json!({ "documentId": "no" }),
                Err("PERSISTED_QUERY_NOT_FOUND"),
                Err("PERSISTED_QUERY_NOT_FOUND"),
            ),
            (
                json!({ "extensions": by_apollo("00") }),
                Err("PERSISTED_QUERY_NOT_FOUND"),
                Err("PERSISTED_QUERY_NOT_FOUND"),
            ),
            // What Apollo's clients send when they were told so.
            (
                json!({ "query": "{ a }", "extensions": by_apollo(&sha256("{ a }")) }),
                Ok("{ a }"),
                Err("PERSISTED_QUERY_NOT_FOUND"),
            ),
            (json!({ "query": "{ a }", "documentId": hash }), Err("BAD_REQUEST"), Err("BAD_REQUEST")),
            (json!({ "query": "{ other }", "documentId": "md5" }), Ok("{ other }"), Ok("{ other }")),
            (json!({}), Err("BAD_REQUEST"), Err("BAD_REQUEST")),
        ];
        for only in [false, true] {
            let documents = TrustedDocuments::read(manifest().as_bytes(), only).unwrap();
            for (request, open, closed) in cases.clone() {
                let expected = if only { closed } else { open };
                let expected = expected.map(str::to_owned).map_err(str::to_owned);
                assert_eq!(resolved(&documents, request.clone()), expected, "{only}: {request}");
            }
        }
    }

    #[test]
    fn manifests_of_build_tools_are_read() {
        let apollo = json!({ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [
            { "id": sha256(TEXT), "name": "Hello", "type": "query", "body": TEXT } ] });
        let documents = TrustedDocuments::read(apollo.to_string().as_bytes(), true).unwrap();
        assert_eq!(resolved(&documents, json!({ "documentId": sha256(TEXT) })), Ok(TEXT.to_owned()));
        for wrong in ["[]", "{", "{\"a\": 1}", &json!({ sha256("x"): TEXT }).to_string()] {
            assert!(TrustedDocuments::read(wrong.as_bytes(), false).is_err(), "{wrong}");
        }
    }
}
