//! Trying rules before they hold: what is wrong with a draft, and what it would make of a finding.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::error::{Code, Error};
use domain::rule::test::Tested;
use domain::vocabulary::criteria::{Criteria as Tree, ExplainedLeaf};
use domain::vocabulary::field::finding::FINDING;
use record::{record, root};

use super::mutation::RuleDraftInput;
use super::warning::RuleWarning;
use crate::graphql::criteria::{Criteria, DraftFault};
use crate::graphql::id::Noun;
use crate::graphql::scalars::Json;
use crate::graphql::{actor, domain};

/// What became of a condition.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(name = "ConditionOutcome", remote = "domain::vocabulary::criteria::Outcome")]
pub enum ConditionOutcome {
    /// It held.
    True,
    /// It did not hold.
    False,
    /// It could not be told. Never a match.
    Error,
}

/// What is wrong with a draft.
#[record]
#[derive(SimpleObject)]
pub struct RuleValidation {
    /// Nothing is.
    valid: bool,
    /// All that is, each with its place in the draft.
    faults: Vec<DraftFault>,
    /// The criteria in English; null where they have faults of form.
    sentence: Option<String>,
    /// What would be odd about it among the rules that hold; nothing is told of a draft with faults.
    warnings: Vec<RuleWarning>,
}

/// A rule to try: one that is kept, a draft, or the one with parts of the other.
#[derive(InputObject)]
pub struct RuleTestInput {
    /// The global id of a rule; what is not said beside it is taken from it.
    rule: Option<ID>,
    /// The name for the badges.
    name: Option<String>,
    /// The criteria.
    criteria: Option<Criteria>,
    /// What it does: `{"type": …, "config": …}`.
    action: Option<Json>,
}

/// A condition with what was seen.
#[record]
#[derive(SimpleObject)]
pub struct TestedCondition {
    /// Its place in the criteria, as a JSON Pointer.
    pointer: String,
    /// The key of the field.
    field: &'static str,
    /// The key of the operator.
    operator: &'static str,
    /// What the value was compared with; null where the operator takes nothing.
    operand: Option<Json>,
    /// The value that was seen; null where there is none.
    seen: Option<Json>,
    /// What became of it.
    outcome: ConditionOutcome,
    /// Why it could not be told.
    error: Option<String>,
}

impl From<&ExplainedLeaf> for TestedCondition {
    fn from(leaf: &ExplainedLeaf) -> Self {
        let given = |value: &serde_json::Value| (!value.is_null()).then(|| Json(value.clone()));
        Self {
            pointer: leaf.pointer.clone(),
            field: leaf.field,
            operator: leaf.operator.name(),
            operand: given(&leaf.operand),
            seen: given(&leaf.seen),
            outcome: leaf.outcome.into(),
            error: leaf.error.clone(),
        }
    }
}

/// What a rule makes of a finding.
#[record]
#[derive(SimpleObject)]
pub struct RuleTestResult {
    /// Whether the criteria hold for it.
    matched: bool,
    /// The fields that it would change, as they are.
    before: Json,
    /// The same fields, as it would have them.
    after: Json,
    /// The badges that the finding would wear.
    messages: Vec<String>,
    /// The whole tree of criteria, each group and condition with what became of it.
    explanation: Json,
    /// The conditions alone, in the order of the tree.
    conditions: Vec<TestedCondition>,
}

impl From<Tested> for RuleTestResult {
    fn from(tested: Tested) -> Self {
        Self {
            matched: tested.matched,
            before: Json(tested.before.into()),
            after: Json(tested.after.into()),
            messages: tested.messages,
            conditions: tested.explanation.leaves().into_iter().map(Into::into).collect(),
            explanation: Json(serde_json::to_value(&tested.explanation).unwrap_or_default()),
        }
    }
}

#[derive(Default)]
pub struct TrialQuery;

#[root]
#[Object]
impl TrialQuery {
    /// All that is wrong with a draft of a rule. Nothing is kept.
    async fn rule_validate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The draft.")] draft: RuleDraftInput,
        #[graphql(desc = "The global id of the rule whose place it takes.")] rule: Option<ID>,
    ) -> async_graphql::Result<RuleValidation> {
        let of = rule.map(|id| Noun::Rule.read_at(&id, "rule")).transpose()?;
        if let Some(of) = of {
            domain(ctx).rule(actor(ctx)?, of).await.map_err(|error| error.at("rule"))?;
        }
        let draft = draft.read();
        let faults = domain(ctx).rule_faults(actor(ctx)?, &draft).await?;
        let sentence = Tree::parse(&FINDING, &draft.criteria).ok().map(|tree| tree.sentence());
        let warnings = match faults.is_empty() {
            true => domain(ctx).draft_warnings(actor(ctx)?, of, &draft).await?,
            false => Vec::new(),
        };
        let faults: Vec<DraftFault> = faults.into_iter().map(Into::into).collect();
        let warnings = warnings.into_iter().map(Into::into).collect();
        Ok(RuleValidation { valid: faults.is_empty(), faults, sentence, warnings })
    }

    /// What a rule makes of a finding that the caller supplies. Nothing of it is read or kept.
    async fn rule_test(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule.")] input: RuleTestInput,
        #[graphql(
            desc = "The finding: an object of its fields by their keys, written as in criteria. What it does not name is missing; severity is info, status OPEN and the times are now."
        )]
        finding: Json,
    ) -> async_graphql::Result<RuleTestResult> {
        let (domain, actor) = (domain(ctx), actor(ctx)?);
        let kept = match &input.rule {
            Some(id) => Some(domain.rule(actor, Noun::Rule.read_at(id, "rule")?).await?),
            None => None,
        };
        let missing = |field| Error::new(Code::Required, "Give this, or a rule to take it from.").at(field);
        let criteria = input.criteria.map(|criteria| criteria.0);
        let criteria = criteria.or_else(|| kept.as_ref().map(|rule| rule.content.criteria.clone()));
        let action = input
            .action
            .map(|action| action.0)
            .or_else(|| kept.as_ref().and_then(|rule| serde_json::to_value(&rule.content.action).ok()));
        let name =
            input.name.or_else(|| kept.map(|rule| rule.content.name)).unwrap_or_else(|| "Draft".to_owned());
        let criteria = criteria.ok_or_else(|| missing("criteria"))?;
        let action = action.ok_or_else(|| missing("action"))?;
        Ok(domain.rule_test(actor, &name, &criteria, &action, &finding.0)?.into())
    }
}
