//! All rules as code: a document out, a plan of one, and its application.

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use domain::rule::Rule;
use domain::rule::set::plan::{Difference, Planned, Step};
use domain::rule::set::{Read, SetOptions, SetPlan};
use record::{record, root};
use uuid::Uuid;

use super::RuleNode;
use crate::graphql::criteria::DraftFault;
use crate::graphql::loaders::one;
use crate::graphql::payload::{mutate, payload};
use crate::graphql::scalars::Json;
use crate::graphql::{actor, domain};

/// How a set of rules is written.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::rule::set::document::Notation")]
pub enum RuleSetNotation {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// How a set of rules is applied.
#[derive(Clone, Copy, Debug, Default, InputObject)]
pub struct RuleSetOptionsInput {
    /// Archive rules that the document does not have.
    #[graphql(default)]
    prune: bool,
    /// Ask for the approval of what is gated; or else it stays a draft.
    #[graphql(default)]
    submit: bool,
}

impl From<RuleSetOptionsInput> for SetOptions {
    fn from(input: RuleSetOptionsInput) -> Self {
        Self { prune: input.prune, submit: input.submit }
    }
}

/// What is done with one rule.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum RuleSetStepKind {
    /// It is made.
    Create,
    /// It is written anew: live, or as its draft where it is gated.
    Change,
    /// It is archived: the document does not have it, and this was asked for.
    Archive,
    /// It is as the document says.
    Unchanged,
    /// The document does not have it, and it stays.
    Left,
}

/// A member of a rule that differs.
#[record]
#[derive(SimpleObject)]
pub struct RuleSetChange {
    /// Its name.
    field: String,
    /// What it is; null where it is not said.
    before: Json,
    /// What it will be.
    after: Json,
}

impl From<Difference> for RuleSetChange {
    fn from(difference: Difference) -> Self {
        Self { field: difference.field, before: Json(difference.before), after: Json(difference.after) }
    }
}

/// One rule of a plan.
pub struct RuleSetStep {
    kind: RuleSetStepKind,
    key: String,
    name: String,
    rule: Option<Uuid>,
    changes: Vec<RuleSetChange>,
}

impl From<Planned> for RuleSetStep {
    fn from(planned: Planned) -> Self {
        let (kind, changes) = match planned.step {
            Step::Create => (RuleSetStepKind::Create, Vec::new()),
            Step::Change(differences) => (RuleSetStepKind::Change, differences),
            Step::Archive => (RuleSetStepKind::Archive, Vec::new()),
            Step::Unchanged => (RuleSetStepKind::Unchanged, Vec::new()),
            Step::Left => (RuleSetStepKind::Left, Vec::new()),
        };
        let changes = changes.into_iter().map(Into::into).collect();
        Self { kind, key: planned.key, name: planned.name, rule: planned.rule, changes }
    }
}

/// One rule of a plan.
#[record]
#[Object]
impl RuleSetStep {
    /// What is done with it.
    fn kind(&self) -> RuleSetStepKind {
        self.kind
    }

    /// Its key.
    fn key(&self) -> &str {
        &self.key
    }

    /// Its name.
    fn name(&self) -> &str {
        &self.name
    }

    /// What of it changes, member by member.
    fn changes(&self) -> &[RuleSetChange] {
        &self.changes
    }

    /// The rule as it is; null where there is none yet.
    async fn rule(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<std::sync::Arc<RuleNode>>>> {
        one::<Rule, _>(ctx, rows.iter().map(|row| row.rule)).await
    }
}

/// What a document would make of the rules.
#[record]
#[derive(SimpleObject)]
pub struct RuleSetPlan {
    /// Binds an application to this plan; null where the document has faults.
    hash: Option<String>,
    /// What is done with each rule: those of the document in its order, and then the others by key.
    steps: Vec<RuleSetStep>,
    /// All that is wrong with the document, each with its place in it.
    faults: Vec<DraftFault>,
}

impl From<SetPlan> for RuleSetPlan {
    fn from(plan: SetPlan) -> Self {
        let steps = plan.planned.into_iter().map(Into::into).collect();
        Self { hash: Some(plan.hash), steps, faults: Vec::new() }
    }
}

impl From<Read> for RuleSetPlan {
    fn from(read: Read) -> Self {
        match read {
            Ok(plan) => plan.into(),
            Err(faults) => {
                Self { hash: None, steps: Vec::new(), faults: faults.into_iter().map(Into::into).collect() }
            }
        }
    }
}

#[derive(Default)]
pub struct RuleSetQuery;

#[root]
#[Object]
impl RuleSetQuery {
    /// All rules of the caller's company as a document, with what their drafts say: the global ones are the platform's.
    async fn rule_set_export(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How it is written.", default_with = "RuleSetNotation::Yaml")]
        format: RuleSetNotation,
    ) -> async_graphql::Result<String> {
        Ok(domain(ctx).rule_set_export(actor(ctx)?, format.into()).await?)
    }

    /// What a document would make of the rules of the caller's company. Nothing is written.
    async fn rule_set_plan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The document, in YAML or JSON.")] document: String,
        #[graphql(desc = "How it would be applied.", default)] options: RuleSetOptionsInput,
    ) -> async_graphql::Result<RuleSetPlan> {
        Ok(domain(ctx).rule_set_plan(actor(ctx)?, &document, options.into()).await?.into())
    }
}

payload! {
    /// What `ruleSetApply` answers.
    RuleSetApplyPayload {
        /// What was done.
        plan: RuleSetPlan
    }
}

#[derive(Default)]
pub struct RuleSetMutation;

#[root]
#[Object]
impl RuleSetMutation {
    /// Does what a plan says, all of it or nothing. Refused with CONFLICT where the document or the rules are not what they were
    /// when it was made, and with the first fault of a document, whose details have all of them. What is gated becomes a draft.
    async fn rule_set_apply(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The document, in YAML or JSON.")] document: String,
        #[graphql(desc = "The hash of the plan that was seen.")] plan_hash: String,
        #[graphql(desc = "How it is applied: as the plan was made.", default)] options: RuleSetOptionsInput,
        #[graphql(
            desc = "Makes the mutation happen once, however often it is sent with this key. It is answered again with the plan \
                         of what is left to do."
        )]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleSetApplyPayload> {
        let again = document.clone();
        mutate::<SetPlan, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                domain.rule_set_apply(&actor, &document, options.into(), &plan_hash).await
            },
            |domain, actor, _| {
                let document = again.clone();
                async move { domain.rule_set_left(&actor, &document, options.into()).await }
            },
        )
        .await
    }
}
