//! Suggested rules, and how one becomes a rule of the company.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use domain::error::Error;
use domain::rule::Rule;
use domain::rule::library::effect::{Effect, Effects, Wish};
use domain::rule::library::{Example, LIBRARY, Slot, Suggestion};
use domain::vocabulary::criteria;
use domain::vocabulary::field::finding::FINDING;
use record::{record, root};
use serde_json::Value;

use super::mutation::RuleCreatePayload;
use super::{RuleMode, RuleNode};
use crate::graphql::payload::mutate;
use crate::graphql::scalars::{DateTime, Json};
use crate::graphql::{actor, domain};

/// What a suggested rule is for.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(name = "SuggestedRuleCategory", remote = "domain::rule::library::Category")]
pub enum Category {
    /// It makes what is grave graver.
    Raise,
    /// It takes weight from what can wait.
    Lower,
    /// It assigns.
    Route,
    /// It tags.
    Tag,
    /// It gives titles, types and remedies one form.
    Tidy,
    /// It accepts risks.
    Accept,
}

/// A value that the company has to say.
#[record]
#[derive(SimpleObject)]
pub struct SuggestedRuleSlot {
    /// What it is called in `slots`.
    key: &'static str,
    /// The slot for people.
    label: &'static str,
    /// What is asked for.
    description: &'static str,
    /// It is an operand for this field of `ruleBuilder`…
    field: &'static str,
    /// …and for this operator of the field: its arity, value kind and schema are the slot's.
    operator: &'static str,
    /// A value, as an example.
    sample: Json,
    /// What it is where nothing is said.
    default: Option<Json>,
    /// Whether something has to be said.
    required: bool,
}

impl From<&'static Slot> for SuggestedRuleSlot {
    fn from(slot: &'static Slot) -> Self {
        Self {
            key: &slot.key,
            label: &slot.label,
            description: &slot.description,
            field: &slot.field,
            operator: &slot.operator,
            sample: Json(slot.sample.clone()),
            default: slot.default.clone().map(Json),
            required: slot.default.is_none(),
        }
    }
}

/// A finding, and what a suggested rule makes of it.
#[record]
#[derive(SimpleObject)]
pub struct SuggestedRuleExample {
    /// What it shows.
    tells: &'static str,
    /// The finding, as `ruleTest` takes it.
    finding: Json,
    /// Whether the criteria hold for it.
    matched: bool,
    /// The fields that the rule changes, as it has them.
    after: Json,
}

impl From<&'static Example> for SuggestedRuleExample {
    fn from(example: &'static Example) -> Self {
        Self {
            tells: &example.tells,
            finding: Json(example.finding.clone()),
            matched: example.after.is_some(),
            after: Json(example.after.clone().unwrap_or_default().into()),
        }
    }
}

/// Of how many findings something would change in a field.
#[record]
#[derive(SimpleObject)]
pub struct SuggestedRuleField {
    /// The field's key, as in criteria.
    field: &'static str,
    /// How many findings.
    count: i64,
}

/// What a suggested rule would do here and now.
#[record]
#[derive(SimpleObject)]
pub struct SuggestedRuleEffect {
    /// The moment at which it was evaluated.
    as_of: DateTime,
    /// How many findings were evaluated: the newest active ones, at most 5,000.
    evaluated: usize,
    /// There are more active findings.
    truncated: bool,
    /// How many it would change, beyond what the rules that hold do already.
    findings: i64,
    /// How many in each field.
    fields: Vec<SuggestedRuleField>,
    /// Of how many it could not be told whether its criteria hold.
    errors: i64,
}

impl SuggestedRuleEffect {
    fn of(effects: &Effects, effect: &Effect) -> Self {
        let fields = effect.fields.iter().map(|(field, count)| SuggestedRuleField { field, count: *count });
        Self {
            as_of: DateTime(effects.as_of),
            evaluated: effects.evaluated,
            truncated: effects.truncated,
            findings: effect.findings,
            fields: fields.collect(),
            errors: effect.errors,
        }
    }
}

pub struct SuggestedRule(&'static Suggestion);

/// A rule that is shipped with the server, which a company may make its own.
#[record]
#[Object]
impl SuggestedRule {
    /// What it is known by, over releases.
    fn key(&self) -> &'static str {
        &self.0.key
    }

    /// The name that the rule gets, if no other is said.
    fn name(&self) -> &'static str {
        &self.0.name
    }

    /// What it does.
    fn description(&self) -> &'static str {
        &self.0.description
    }

    /// Why it is worth having.
    fn rationale(&self) -> &'static str {
        &self.0.rationale
    }

    /// What it is for.
    fn category(&self) -> Category {
        self.0.category.into()
    }

    /// The place in the walk that the rule gets, if no other is said.
    fn order(&self) -> i32 {
        self.0.order
    }

    /// The mode that the rule gets, if no other is said.
    fn mode(&self) -> RuleMode {
        self.0.mode.into()
    }

    /// What the company has to say.
    fn slots(&self) -> Vec<SuggestedRuleSlot> {
        self.0.slots.iter().map(Into::into).collect()
    }

    /// Which findings it holds for; where a slot goes, an object `{"slot": key}` stands.
    fn criteria(&self) -> Json {
        Json(self.0.criteria.clone())
    }

    /// What it does: `{"type": …, "config": …}`; where a slot goes, an object `{"slot": key}` stands.
    fn action(&self) -> Json {
        Json(self.0.action.clone())
    }

    /// The criteria in English, with the defaults of slots; null where they need one that has none.
    fn sentence(&self) -> Option<String> {
        let outline = self.0.outline()?;
        criteria::Criteria::parse(&FINDING, &outline.criteria).ok().map(|tree| tree.sentence())
    }

    /// What it makes of some findings.
    fn examples(&self) -> Vec<SuggestedRuleExample> {
        self.0.examples.iter().map(Into::into).collect()
    }

    /// What it would do here and now, with the defaults of its slots; null where its criteria need one
    /// that has none. All that are asked for are tried together.
    async fn effect(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<SuggestedRuleEffect>>> {
        let keys: Vec<&str> = rows.iter().map(|row| row.0.key.as_str()).collect();
        let effects = domain(ctx).suggested_effects(actor(ctx)?, &keys).await?;
        let effect = |row: &&Self| effects.of(row.0).map(|effect| SuggestedRuleEffect::of(&effects, effect));
        Ok(rows.iter().map(effect).collect())
    }

    /// The rules, not archived, that were made of it.
    async fn rules(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<Arc<RuleNode>>>> {
        let found = domain(ctx).rules_of_library(actor(ctx)?).await?;
        let nodes: HashMap<String, Vec<Arc<RuleNode>>> = found
            .into_iter()
            .map(|(key, rules)| {
                (key, rules.into_iter().map(|rule: Rule| Arc::new(RuleNode::from(rule))).collect())
            })
            .collect();
        Ok(rows.iter().map(|row| nodes.get(&row.0.key).cloned().unwrap_or_default()).collect())
    }
}

/// A suggested rule, and how the company's own differs from it.
#[derive(InputObject)]
pub struct SuggestedRuleEnableInput {
    /// The suggested rule's `key`.
    key: String,
    /// What the company says: an object of values by the keys of `slots`. A slot that is not named has
    /// its default.
    slots: Option<Json>,
    /// Another mode.
    mode: Option<RuleMode>,
    /// Another name.
    name: Option<String>,
    /// Another place in the walk.
    order: Option<i32>,
    /// It does nothing until it has been approved.
    #[graphql(default)]
    requires_approval: bool,
}

impl SuggestedRuleEnableInput {
    fn read(self) -> domain::error::Result<(String, Wish)> {
        let slots = match self.slots.map(|slots| slots.0) {
            None | Some(Value::Null) => serde_json::Map::new(),
            Some(Value::Object(slots)) => slots,
            Some(_) => return Err(Error::invalid("slots", "Slots are an object of values by their keys.")),
        };
        let wish = Wish {
            slots,
            name: self.name,
            order: self.order,
            mode: self.mode.map(Into::into),
            requires_approval: self.requires_approval,
        };
        Ok((self.key, wish))
    }
}

#[derive(Default)]
pub struct LibraryQuery;

#[root]
#[Object(name = "RuleLibraryQuery")]
impl LibraryQuery {
    /// Rules that are shipped with the server, category by category.
    async fn suggested_rules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this category; of all if not said.")] category: Option<Category>,
    ) -> async_graphql::Result<Vec<SuggestedRule>> {
        actor(ctx)?;
        let wanted = |suggestion: &&Suggestion| {
            category.is_none_or(|category| category == Category::from(suggestion.category))
        };
        Ok(LIBRARY.iter().filter(wanted).map(SuggestedRule).collect())
    }
}

#[derive(Default)]
pub struct LibraryMutation;

#[root]
#[Object(name = "RuleLibraryMutation")]
impl LibraryMutation {
    /// Makes a rule of a suggested one. Any number may be made of one, with other slots.
    async fn suggested_rule_enable(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and with what.")] input: SuggestedRuleEnableInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let (key, wish) = input.read()?;
                domain.suggested_rule_enable(&actor, &key, wish).await
            },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }
}
