//! Documents that are sent again: parsed and validated once.
//!
//! What is kept is the parsed document of a text that passed validation, up to a number of bytes; the
//! one not asked for the longest goes first. Limits are measured for every request, with its variables. The library
//! checks the values of variables while it validates: that is skipped only where all of them are of
//! built-in scalars and fit. Documents of several operations are not kept.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::parser::types::{BaseType, ExecutableDocument, OperationDefinition, Type};
use async_graphql::{CacheControl, ServerError, ValidationResult, Value, Variables};

/// About how many bytes a parsed document takes for each byte of its text.
const PARSED: usize = 32;

/// The most bytes that are kept.
const MOST: usize = 32 << 20;

/// A parsed document.
pub struct Known {
    text: Arc<str>,
    pub document: ExecutableDocument,
    /// What validation found of it, when it passed.
    valid: OnceLock<(CacheControl, usize, usize)>,
    /// It was asked for since the last look.
    asked: AtomicBool,
}

impl Known {
    pub fn new(text: &str, document: ExecutableDocument) -> Self {
        Self { text: text.into(), document, valid: OnceLock::new(), asked: AtomicBool::new(false) }
    }

    fn bytes(&self) -> usize {
        self.text.len() * PARSED
    }
}

/// The documents that are kept. Clones are the same.
#[derive(Clone, Default)]
pub struct Documents(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    by_text: HashMap<Arc<str>, Arc<Known>>,
    /// In the order in which they go.
    queue: VecDeque<Arc<Known>>,
    bytes: usize,
}

impl Documents {
    /// The parsed document of a text, if it is kept.
    pub fn find(&self, text: &str) -> Option<Arc<Known>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.by_text.get(text)?;
        known.asked.store(true, Ordering::Relaxed);
        Some(Arc::clone(known))
    }

    /// Keeps a document that passed validation.
    fn keep(&self, known: &Arc<Known>) {
        if known.bytes() > MOST || known.document.operations.iter().count() != 1 {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_text.insert(Arc::clone(&known.text), Arc::clone(known)).is_some() {
            // Two requests were the first: both found the same, and one of them is in the queue.
            return;
        }
        kept.bytes += known.bytes();
        kept.queue.push_back(Arc::clone(known));
        while kept.bytes > MOST {
            let Some(oldest) = kept.queue.pop_front() else { break };
            if oldest.asked.swap(false, Ordering::Relaxed) {
                kept.queue.push_back(oldest);
            } else {
                kept.bytes -= oldest.bytes();
                kept.by_text.remove(&oldest.text);
            }
        }
    }
}

/// The document of a request, in its data.
pub struct Asked {
    documents: Documents,
    known: Arc<Known>,
    /// The variables need no validation.
    fits: bool,
}

impl Asked {
    pub fn new(
        documents: &Documents,
        known: &Arc<Known>,
        operation: &OperationDefinition,
        variables: &Variables,
    ) -> Self {
        let fits = operation.variable_definitions.iter().all(|definition| {
            let definition = &definition.node;
            let value = variables.get(&definition.name.node);
            value.map_or_else(
                || is_built_in(&definition.var_type.node.base),
                |value| fits(&definition.var_type.node, value),
            )
        });
        Self { documents: documents.clone(), known: Arc::clone(known), fits }
    }
}

fn is_built_in(base: &BaseType) -> bool {
    match base {
        BaseType::Named(name) => ["Int", "Float", "String", "Boolean", "ID"].contains(&name.as_str()),
        BaseType::List(of) => is_built_in(&of.base),
    }
}

/// Whether a value is, without any doubt, one of a built-in type.
fn fits(of: &Type, value: &Value) -> bool {
    if *value == Value::Null {
        return of.nullable && is_built_in(&of.base);
    }
    match (&of.base, value) {
        (BaseType::List(of), Value::List(items)) => {
            is_built_in(&of.base) && items.iter().all(|item| fits(of, item))
        }
        (BaseType::Named(name), value) => match (name.as_str(), value) {
            ("Int", Value::Number(number)) => {
                number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
            }
            ("Float", Value::Number(_))
            | ("String" | "ID", Value::String(_))
            | ("Boolean", Value::Boolean(_)) => true,
            _ => false,
        },
        (BaseType::List(_), _) => false,
    }
}

/// Validates a document of a request unless that was done before.
pub struct Validation;

impl ExtensionFactory for Validation {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for Validation {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let Some(asked) = ctx.data_opt::<Asked>() else { return next.run(ctx).await };
        if let (true, Some(&(cache_control, complexity, depth))) = (asked.fits, asked.known.valid.get()) {
            return Ok(ValidationResult { cache_control, complexity, depth });
        }
        let found = next.run(ctx).await?;
        if asked.known.valid.set((found.cache_control, found.complexity, found.depth)).is_ok() {
            asked.documents.keep(&asked.known);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    fn known(text: &str) -> Arc<Known> {
        Arc::new(Known::new(text, parse_query(text).unwrap()))
    }

    #[test]
    fn what_was_not_asked_for_the_longest_goes_first() {
        let documents = Documents::default();
        let text = |at: usize| format!("{{ f{at}{} }}", "0".repeat(MOST / PARSED / 4 - 10));
        for at in 0..4 {
            documents.keep(&known(&text(at)));
        }
        assert!(documents.find(&text(0)).is_some());
        documents.keep(&known(&text(4)));
        let there: Vec<bool> = (0..5).map(|at| documents.find(&text(at)).is_some()).collect();
        assert_eq!(there, [true, false, true, true, true]);
        documents.keep(&known("query A { a } query B { b }"));
        assert!(documents.find("query A { a } query B { b }").is_none());
    }

    #[test]
    fn only_fitting_values_of_built_in_scalars_go_without_validation() {
        let cases = [
            ("$v: Int!", json!({ "v": 1 }), true),
            ("$v: Int!", json!({ "v": 3_000_000_000_i64 }), false),
            ("$v: Int!", json!({ "v": "1" }), false),
            ("$v: Int", json!({ "v": null }), true),
            ("$v: Int!", json!({ "v": null }), false),
            ("$v: Int", json!({}), true),
            ("$v: String", json!({ "v": "a" }), true),
            ("$v: ID", json!({ "v": "a" }), true),
            ("$v: Float", json!({ "v": 1.5 }), true),
            ("$v: Boolean", json!({ "v": 0 }), false),
            ("$v: [ID!]!", json!({ "v": ["a", "b"] }), true),
            ("$v: [ID!]!", json!({ "v": ["a", null] }), false),
            ("$v: [ID!]!", json!({ "v": "a" }), false),
            ("$v: Criteria", json!({ "v": {} }), false),
            ("$v: Criteria", json!({}), false),
            ("$v: [Severity!]", json!({ "v": [] }), false),
            ("$v: Int, $w: Other", json!({ "v": 1, "w": 1 }), false),
        ];
        for (variables, values, expected) in cases {
            let known = known(&format!("query({variables}) {{ a }}"));
            let (_, operation) = known.document.operations.iter().next().unwrap();
            let variables = Variables::from_json(values);
            let asked = Asked::new(&Documents::default(), &known, &operation.node, &variables);
            assert_eq!(asked.fits, expected, "{variables:?}");
        }
    }
}
