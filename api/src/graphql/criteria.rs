//! Criteria as they travel: the predicate language of filters, views and rules.

use async_graphql::{
    Context, InputValueError, InputValueResult, Object, Scalar, ScalarType, SimpleObject, Value,
};
use domain::vocabulary::criteria::{self, Fault, json_schema};
use domain::vocabulary::field::finding::FINDING;
use record::{record, root};

use super::scalars::Json;

/// A tree of conditions in the predicate language.
#[derive(Clone, Debug)]
pub struct Criteria(pub serde_json::Value);

/// A tree of conditions in the predicate language, as JSON: groups `{"logic": "AND", "conditions":
/// […]}` over leaves `{"field": "severity", "operator": "gte_ord", "value": "high"}`. Its JSON
/// Schema is `criteriaSchema`; `ruleBuilder` lists the fields and operators.
#[Scalar(name = "Criteria", specified_by_url = "https://json-schema.org/draft/2020-12/schema")]
impl ScalarType for Criteria {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Object(_) => Ok(Self(value.into_json()?)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone()).unwrap_or_default()
    }
}

/// A fault of a draft, and where it is.
#[record]
#[derive(Clone, SimpleObject)]
pub struct DraftFault {
    /// The place of the fault, as a JSON Pointer: `/criteria/conditions/0/value`.
    pointer: String,
    /// What kind of fault it is; stable over releases.
    code: &'static str,
    /// A sentence for people.
    message: String,
}

impl From<Fault> for DraftFault {
    fn from(fault: Fault) -> Self {
        Self { pointer: fault.pointer, code: fault.code.word(), message: fault.message }
    }
}

/// Criteria in English.
#[record]
#[derive(SimpleObject)]
pub struct CriteriaSentence {
    /// The sentence; null where the criteria have faults.
    sentence: Option<String>,
    /// What is wrong with the criteria; empty where nothing is.
    faults: Vec<DraftFault>,
}

#[derive(Default)]
pub struct CriteriaQuery;

#[root]
#[Object]
impl CriteriaQuery {
    /// The JSON Schema (draft 2020-12) of criteria over findings.
    async fn criteria_schema(&self, ctx: &Context<'_>) -> async_graphql::Result<Json> {
        super::actor(ctx)?;
        Ok(Json(json_schema(&FINDING)))
    }

    /// Criteria in English: `severity at or above high AND tags contains "pci"`.
    async fn criteria_sentence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The criteria to put in words.")] criteria: Criteria,
    ) -> async_graphql::Result<CriteriaSentence> {
        super::actor(ctx)?;
        Ok(match criteria::Criteria::parse(&FINDING, &criteria.0) {
            Ok(tree) => CriteriaSentence { sentence: Some(tree.sentence()), faults: Vec::new() },
            Err(faults) => CriteriaSentence {
                sentence: None,
                faults: faults.into_vec().into_iter().map(DraftFault::from).collect(),
            },
        })
    }
}
