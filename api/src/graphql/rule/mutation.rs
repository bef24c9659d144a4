//! Writing rules.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object};
use domain::approval::Approval;
use domain::job;
use domain::rule::{Rule, RuleDraft};
use record::root;

use super::{OnExpiry, RuleMode, RuleNode};
use crate::graphql::approval::mutation::ApprovalPayload;
use crate::graphql::criteria::Criteria;
use crate::graphql::id::Noun;
use crate::graphql::job::SweepJob;
use crate::graphql::payload::{change, mutate, payload};
use crate::graphql::scalars::{DateTime, Json};

/// A rule as its author writes it.
#[derive(InputObject)]
pub struct RuleDraftInput {
    /// Its stable name for programs: lower-case letters, digits and hyphens, unique in the company. Made
    /// of the name if not said; it never changes.
    key: Option<String>,
    /// Its name, which is on its badges.
    name: String,
    /// What it is for.
    description: Option<String>,
    /// Which findings it holds for. An empty tree, or one that provably holds for all, is refused.
    criteria: Criteria,
    /// What it does: `{"type": …, "config": …}` of one of `ruleBuilder.actions`.
    action: Json,
    /// Its place in the walk: rules are walked in ascending order, the older first among equals.
    #[graphql(default = 100)]
    order: i32,
    /// Whether it is evaluated, and whether what it says is shown.
    #[graphql(default_with = "RuleMode::Off")]
    mode: RuleMode,
    /// When it stops.
    expires_at: Option<DateTime>,
    /// What becomes of what it said when it stops.
    #[graphql(default_with = "OnExpiry::Keep")]
    on_expiry: OnExpiry,
    /// Whether it, and each change of it, takes a second person before it goes live.
    #[graphql(default)]
    requires_approval: bool,
}

impl RuleDraftInput {
    pub fn read(self) -> RuleDraft {
        RuleDraft {
            key: self.key,
            name: self.name,
            description: self.description,
            order: self.order,
            mode: self.mode.into(),
            expires_at: self.expires_at.map(|at| at.0),
            on_expiry: self.on_expiry.into(),
            criteria: self.criteria.0,
            action: self.action.0,
            requires_approval: self.requires_approval,
        }
    }
}

/// What of a rule is to change.
#[derive(InputObject)]
pub struct RuleUpdateInput {
    /// Another name.
    name: Option<String>,
    /// Another description; null takes it away.
    description: MaybeUndefined<String>,
    /// Other criteria.
    criteria: Option<Criteria>,
    /// Another action.
    action: Option<Json>,
    /// Another place in the walk.
    order: Option<i32>,
    /// Another mode.
    mode: Option<RuleMode>,
    /// When it stops; null for never.
    expires_at: MaybeUndefined<DateTime>,
    /// What becomes of what it said when it stops.
    on_expiry: Option<OnExpiry>,
    /// Whether a change of it takes a second person. Turning this off takes one too.
    requires_approval: Option<bool>,
}

impl RuleUpdateInput {
    /// The rule as its draft has it, or as it is, with the changes. That it still is so when it is
    /// written, its version says.
    fn read(self, rule: &Rule) -> RuleDraft {
        let now = RuleDraft::of(rule);
        RuleDraft {
            key: None,
            name: self.name.unwrap_or(now.name),
            description: change(self.description).unwrap_or(now.description),
            order: self.order.unwrap_or(now.order),
            mode: self.mode.map_or(now.mode, Into::into),
            expires_at: change(self.expires_at).map_or(now.expires_at, |at| at.map(|at| at.0)),
            on_expiry: self.on_expiry.map_or(now.on_expiry, Into::into),
            criteria: self.criteria.map_or(now.criteria, |criteria| criteria.0),
            action: self.action.map_or(now.action, |action| action.0),
            requires_approval: self.requires_approval.unwrap_or(now.requires_approval),
        }
    }
}

payload! {
    /// What `ruleCreate` answers.
    RuleCreatePayload {
        /// The new rule.
        rule: RuleNode
    }
    /// What a change of a rule answers.
    RuleUpdatePayload {
        /// The rule as it is now.
        rule: RuleNode
    }
    /// What `ruleSweep` answers.
    RuleSweepPayload {
        /// The sweep, which goes on: `jobProgress` watches it.
        job: SweepJob
    }
}

#[derive(Default)]
pub struct RuleMutation;

#[root]
#[Object]
impl RuleMutation {
    /// Writes a rule. It holds for what arrives or changes from now on; `ruleSweep` runs it over what
    /// is there. One that asks for approval, or of which the company's policy does, is a draft until it
    /// has it: `ruleSubmit` asks.
    async fn rule_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new rule.")] input: RuleDraftInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.rule_create(&actor, input.read()).await },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }

    /// Changes a rule. What it said stays until the next pass of each finding. A change that takes a
    /// second person becomes the rule's draft, and so does every change while the rule has one: the live
    /// version goes on. A change of its mode, or of its words alone, takes nobody else.
    async fn rule_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: RuleUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleUpdatePayload> {
        mutate::<Rule, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Rule.read_at(&id, "id")?;
                let rule = domain.rule_as_drafted(&actor, id).await.map_err(|error| error.at("id"))?;
                domain.rule_update(&actor, id, expected_version, input.read(&rule)).await
            },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }

    /// Turns a rule off or on, or lets it observe. What it said stays until the next pass.
    async fn rule_set_mode(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
        #[graphql(desc = "The mode.")] mode: RuleMode,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleUpdatePayload> {
        mutate::<Rule, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Rule.read_at(&id, "id")?;
                domain.rule_set_mode(&actor, id, expected_version, mode.into()).await
            },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }

    /// Sets the mode that a global rule has for the caller's company. What it said stays until the next
    /// pass.
    async fn rule_set_company_mode(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
        #[graphql(desc = "The mode; null to follow the rule's own.")] mode: Option<RuleMode>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleUpdatePayload> {
        mutate::<Rule, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Rule.read_at(&id, "id")?;
                let mode = mode.map(Into::into);
                domain.rule_set_company_mode(&actor, id, mode).await.map_err(|error| error.at("id"))
            },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }

    /// Moves a rule in the walk; of one that is gated or has a draft, its draft.
    async fn rule_set_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
        #[graphql(desc = "Its place: rules are walked in ascending order.")] order: i32,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleUpdatePayload> {
        mutate::<Rule, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Rule.read_at(&id, "id")?;
                domain.rule_set_order(&actor, id, expected_version, order).await
            },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }

    /// Asks for the approval of a rule's draft.
    async fn rule_submit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
        #[graphql(desc = "The version of the rule that was seen.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ApprovalPayload> {
        mutate::<Approval, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Rule.read_at(&id, "id")?;
                domain.rule_submit(&actor, id, expected_version).await
            },
            |domain, actor, id| async move { domain.approval(&actor, id).await },
        )
        .await
    }

    /// Makes the draft of a rule that takes no second person its live version. One that does goes live by
    /// its approval: `ruleSubmit` asks for that.
    async fn rule_publish(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
        #[graphql(desc = "The version of the rule that was seen.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleUpdatePayload> {
        mutate::<Rule, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Rule.read_at(&id, "id")?;
                domain.rule_publish(&actor, id, expected_version).await
            },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }

    /// Gives up a rule's draft: its live version goes on.
    async fn rule_discard_draft(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleUpdatePayload> {
        mutate::<Rule, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Rule.read_at(&id, "id")?;
                domain.rule_discard_draft(&actor, id, expected_version).await
            },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }

    /// Writes what a rule said in an earlier version again, as its draft: the live version goes on until
    /// `rulePublish` or an approval puts the draft in its place. Where the live version does the same, the
    /// draft that the rule has is given up instead.
    async fn rule_restore(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
        #[graphql(desc = "The number of the earlier version.")] version: i64,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleUpdatePayload> {
        mutate::<Rule, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Rule.read_at(&id, "id")?;
                domain.rule_restore(&actor, id, expected_version, version).await
            },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }

    /// Puts a rule away for good. What it said and its history stay.
    async fn rule_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleUpdatePayload> {
        mutate::<Rule, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Rule.read_at(&id, "id")?;
                domain.rule_archive(&actor, id, expected_version).await
            },
            |domain, actor, id| async move { domain.rule(&actor, id).await },
        )
        .await
    }

    /// Runs the rules that hold over every active finding of the company, as a job.
    async fn rule_sweep(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<RuleSweepPayload> {
        mutate::<job::Job, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = domain.rule_sweep(&actor).await?;
                domain.job(&actor, id).await
            },
            |domain, actor, id| async move { domain.job(&actor, id).await },
        )
        .await
    }
}
