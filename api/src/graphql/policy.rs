//! What a company asks of changes.

use std::sync::Arc;

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use domain::policy::keeping::PolicySet;
use domain::policy::{Kept, Policy};
use record::{record, root};

use super::approval::ApprovalNode;
use super::payload::{Outcome, UserError, mutate};
use super::rule::RuleNode;
use super::scalars::DateTime;
use super::{actor, domain};

/// Why a change takes a second person.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(name = "ChangeGate", remote = "domain::policy::Gate")]
pub enum Gate {
    /// It accepts a risk.
    AcceptingRisk,
    /// It calls a finding a false positive.
    FalsePositive,
    /// It lowers what is critical or worse.
    LoweringCritical,
    /// It touches too large a share of the active findings.
    Share,
    /// It touches too many active findings.
    Findings,
    /// It is a rule's.
    Rules,
}

pub struct ChangePolicyNode(Kept);

impl From<Kept> for ChangePolicyNode {
    fn from(kept: Kept) -> Self {
        Self(kept)
    }
}

/// What a company asks of changes: which of them take a second person, whoever makes them.
#[record]
#[Object(name = "ChangePolicy")]
impl ChangePolicyNode {
    /// Accepting a risk takes a second person.
    fn accepting_risk(&self) -> bool {
        self.0.policy.accepting_risk
    }

    /// Calling a finding a false positive takes a second person.
    fn false_positive(&self) -> bool {
        self.0.policy.false_positive
    }

    /// Lowering what is critical or worse takes a second person.
    fn lowering_critical(&self) -> bool {
        self.0.policy.lowering_critical
    }

    /// Whatever a rule does takes a second person.
    fn rules(&self) -> bool {
        self.0.policy.rules
    }

    /// Touching more than this share of the active findings takes a second person, from 0 to 1; null for
    /// no such limit.
    fn share(&self) -> Option<f64> {
        self.0.policy.share
    }

    /// Touching more than so many active findings takes a second person; null for no such limit.
    fn findings(&self) -> Option<i64> {
        self.0.policy.findings
    }

    /// How many people have to agree.
    fn quorum(&self) -> i32 {
        self.0.policy.quorum
    }

    /// For how many hours a change waits for them.
    fn deadline_hours(&self) -> i32 {
        self.0.policy.deadline_hours
    }

    /// After how many hours they are reminded.
    fn reminder_hours(&self) -> i32 {
        self.0.policy.reminder_hours
    }

    /// How many days before its end an accepted risk is warned of.
    fn warn_days(&self) -> i32 {
        self.0.policy.warn_days
    }

    /// Within how many days an accepted risk has to end; null, and it may be without an end.
    fn acceptance_days(&self) -> Option<i32> {
        self.0.policy.acceptance_days
    }

    /// When it was last set; null where nobody ever did.
    fn updated_at(&self) -> Option<DateTime> {
        self.0.updated_at.map(DateTime)
    }

    /// Counts the times that it was set, from 0: setting it names the one that was seen.
    fn version(&self) -> i64 {
        self.0.version
    }
}

/// A rule that does not conform: it holds, would take a second person today, and nobody agreed to it.
#[record]
#[derive(SimpleObject)]
pub struct RuleNonconformance {
    /// The rule.
    rule: Arc<RuleNode>,
    /// Why it would take a second person.
    gates: Vec<Gate>,
}

/// What holds now and would not be let through by the change policy in force.
#[record]
#[derive(SimpleObject)]
pub struct ChangePolicyConformance {
    /// The rules, in the order of the walk.
    rules: Vec<RuleNonconformance>,
    /// How many risks are accepted inside of the caller's portfolio that nobody else agreed to, or that
    /// end too late or never: `acceptances` lists them.
    acceptance_count: i64,
}

/// What a company asks of changes: all of it.
#[derive(InputObject)]
pub struct ChangePolicyInput {
    /// Accepting a risk takes a second person.
    accepting_risk: bool,
    /// Calling a finding a false positive takes a second person.
    false_positive: bool,
    /// Lowering what is critical or worse takes a second person.
    lowering_critical: bool,
    /// Whatever a rule does takes a second person.
    rules: bool,
    /// Touching more than this share of the active findings takes a second person, from 0 to 1.
    share: Option<f64>,
    /// Touching more than so many active findings takes a second person.
    findings: Option<i64>,
    /// How many people have to agree: 1 to 10.
    #[graphql(default = 1)]
    quorum: i32,
    /// For how many hours a change waits for them.
    #[graphql(default = 168)]
    deadline_hours: i32,
    /// After how many hours they are reminded.
    #[graphql(default = 72)]
    reminder_hours: i32,
    /// How many days before its end an accepted risk is warned of.
    #[graphql(default = 14)]
    warn_days: i32,
    /// Within how many days an accepted risk has to end.
    acceptance_days: Option<i32>,
}

impl ChangePolicyInput {
    fn read(self) -> Policy {
        Policy {
            accepting_risk: self.accepting_risk,
            false_positive: self.false_positive,
            lowering_critical: self.lowering_critical,
            rules: self.rules,
            share: self.share,
            findings: self.findings,
            quorum: self.quorum,
            deadline_hours: self.deadline_hours,
            reminder_hours: self.reminder_hours,
            warn_days: self.warn_days,
            acceptance_days: self.acceptance_days,
        }
    }
}

/// What `changePolicySet` answers.
#[record]
#[derive(SimpleObject)]
pub struct ChangePolicySetPayload {
    /// The policy in force now.
    change_policy: Option<ChangePolicyNode>,
    /// What waits for a second person, where the new policy asks less than the one in force; null where
    /// it is in force.
    approval: Option<ApprovalNode>,
    /// Why it was refused; empty if it was done or asked for.
    user_errors: Vec<UserError>,
}

impl From<Outcome<PolicySet>> for ChangePolicySetPayload {
    fn from(outcome: Outcome<PolicySet>) -> Self {
        match outcome.0 {
            Ok(PolicySet { kept, approval }) => Self {
                change_policy: Some(kept.into()),
                approval: approval.map(|approval| (*approval).into()),
                user_errors: Vec::new(),
            },
            Err(refused) => Self { change_policy: None, approval: None, user_errors: vec![refused] },
        }
    }
}

#[derive(Default)]
pub struct PolicyQuery;

#[root]
#[Object]
impl PolicyQuery {
    /// What the company asks of changes. It asks nothing where nobody ever set it.
    async fn change_policy(&self, ctx: &Context<'_>) -> async_graphql::Result<ChangePolicyNode> {
        Ok(domain(ctx).change_policy(actor(ctx)?).await?.into())
    }

    /// What holds now and would not be let through by the policy in force.
    async fn change_policy_conformance(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<ChangePolicyConformance> {
        let found = domain(ctx).change_policy_conformance(actor(ctx)?).await?;
        let rules = found.rules.into_iter().map(|unagreed| RuleNonconformance {
            rule: Arc::new(unagreed.rule.into()),
            gates: unagreed.gates.into_iter().map(Into::into).collect(),
        });
        Ok(ChangePolicyConformance { rules: rules.collect(), acceptance_count: found.acceptances })
    }
}

#[derive(Default)]
pub struct PolicyMutation;

#[root]
#[Object]
impl PolicyMutation {
    /// Sets what the company asks of changes. To ask less than the policy in force takes a second person.
    async fn change_policy_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The version that was seen; 0 where nobody ever set it.")] expected_version: i64,
        #[graphql(desc = "The whole policy.")] input: ChangePolicyInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ChangePolicySetPayload> {
        mutate::<PolicySet, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.change_policy_set(&actor, expected_version, input.read()).await },
            |domain, actor, answer| async move { domain.change_policy_answer(&actor, answer).await },
        )
        .await
    }
}
