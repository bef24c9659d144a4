//! Accepted risks.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::error::Result;
use domain::finding::acceptance::{Acceptance, AcceptanceFilter, Terms};
use domain::finding::edit::Edit;
use domain::finding::facts::Finding;
use domain::finding::request::ChangeRequest;
use domain::inventory::user::User;
use domain::rule::Rule;
use domain::rule::action::{AcceptedRisk, Action};
use domain::vocabulary::time::Timestamp;
use record::{record, root};
use uuid::Uuid;

use super::FindingNode;
use super::mutation::{FindingUpdatePayload, edit};
use super::request::ChangeRequestNode;
use crate::graphql::id::Noun;
use crate::graphql::loaders::{load, nodes, one};
use crate::graphql::page::{Counter, args, connection};
use crate::graphql::person::{Person, people};
use crate::graphql::rule::RuleNode;
use crate::graphql::scalars::DateTime;
use crate::graphql::user::UserNode;
use crate::graphql::words::Allowed;
use crate::graphql::{actor, domain};

/// How an acceptance came to its end.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::finding::acceptance::AcceptanceEnd")]
pub enum AcceptanceEnd {
    /// The finding was mended.
    Fixed,
    /// Its end date came: the finding is open again.
    Expired,
    /// A person decided otherwise.
    Reopened,
    /// Another acceptance took its place.
    Extended,
    /// What was said of the finding was taken back.
    Revoked,
}

pub struct AcceptanceNode(Acceptance);

impl From<Acceptance> for AcceptanceNode {
    fn from(acceptance: Acceptance) -> Self {
        Self(acceptance)
    }
}

/// A risk that a person accepted.
#[record]
#[Object(name = "Acceptance")]
impl AcceptanceNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Acceptance.id(self.0.id)
    }

    /// The finding whose risk it is.
    async fn finding(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<FindingNode>>>> {
        one::<Finding, _>(ctx, rows.iter().map(|row| Some(row.0.finding))).await
    }

    /// Why the risk is borne.
    fn reason(&self) -> &str {
        &self.0.terms.reason
    }

    /// Where it is written down elsewhere: a ticket, a register of risks.
    fn reference(&self) -> Option<&str> {
        self.0.terms.reference.as_deref()
    }

    /// Who answers for it.
    async fn owner(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<UserNode>>>> {
        one::<User, _>(ctx, rows.iter().map(|row| row.0.terms.owner)).await
    }

    /// When the finding is open again; null for never.
    fn until(&self) -> Option<DateTime> {
        self.0.terms.until.map(DateTime)
    }

    /// Who accepted it; null where that was not kept or the caller cannot see that one.
    async fn by(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| row.0.by)).await
    }

    /// When it was accepted.
    fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// The request by which a second person agreed; null where nobody had to.
    async fn request(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<ChangeRequestNode>>>> {
        one::<ChangeRequest, _>(ctx, rows.iter().map(|row| row.0.request)).await
    }

    /// When its end was warned of; null before.
    fn warned_at(&self) -> Option<DateTime> {
        self.0.warned_at.map(DateTime)
    }

    /// When it ended; null while it holds.
    fn ended_at(&self) -> Option<DateTime> {
        self.0.ended.map(|(at, _)| DateTime(at))
    }

    /// How it ended; null while it holds.
    fn ended_how(&self) -> Option<AcceptanceEnd> {
        self.0.ended.map(|(_, how)| how.into())
    }

    /// What the caller can do with it now.
    fn viewer_can(&self, ctx: &Context<'_>) -> async_graphql::Result<AcceptanceViewerCan> {
        Ok(AcceptanceViewerCan { extend: self.0.may_extend(actor(ctx)?).into() })
    }
}

/// What the caller can do with an acceptance.
#[record]
#[derive(SimpleObject)]
pub struct AcceptanceViewerCan {
    /// Let it last longer.
    extend: Allowed,
}

connection!(
    AcceptanceConnection,
    AcceptanceEdge,
    AcceptanceNode,
    "A page of acceptances.",
    "An acceptance in a page."
);

/// Why the risk of a finding is borne now: by a person's word, or by a rule's.
#[record]
#[derive(SimpleObject)]
pub struct FindingAcceptance {
    /// Why.
    reason: String,
    /// Where it is written down elsewhere.
    reference: Option<String>,
    /// Who answers for it.
    owner: Option<Arc<UserNode>>,
    /// When the finding is open again; null for never.
    until: Option<DateTime>,
    /// Who accepted it: of a rule, its author. Null where the caller cannot see that one.
    by: Option<Arc<Person>>,
    /// When a person accepted it; null where a rule does.
    at: Option<DateTime>,
    /// Whether its end was warned of.
    warned: bool,
    /// The rule that accepts it; null where a person does.
    rule: Option<Arc<RuleNode>>,
    /// The acceptance that is kept of a person; null where a rule accepts.
    acceptance: Option<AcceptanceNode>,
}

/// What is known of one acceptance before its people are looked up.
struct Found {
    terms: Terms,
    by: Option<Uuid>,
    at: Option<Timestamp>,
    warned: bool,
    rule: Option<Arc<RuleNode>>,
    acceptance: Option<Acceptance>,
}

impl Found {
    fn of_person(finding: &Finding, acceptance: Acceptance) -> Self {
        Self {
            terms: acceptance.terms.clone(),
            // Who did so before that was kept, the layers know.
            by: acceptance.by.or(finding.decided_by()),
            at: Some(acceptance.at),
            warned: acceptance.warned_at.is_some(),
            rule: None,
            acceptance: Some(acceptance),
        }
    }

    fn of_rule(rule: &Rule, node: Arc<RuleNode>) -> Option<Self> {
        let Action::AcceptedRisk(AcceptedRisk { reason, reference, owner, until }) =
            rule.content.action.clone()
        else {
            return None;
        };
        let terms = Terms { reason, reference, owner, until };
        let rule = (Some(node), rule.author);
        Some(Self { terms, by: Some(rule.1), at: None, warned: false, rule: rule.0, acceptance: None })
    }
}

/// The acceptances that findings show, people's and rules'.
pub(super) async fn shown(
    ctx: &Context<'_>,
    findings: &[&Finding],
) -> async_graphql::Result<Vec<Option<FindingAcceptance>>> {
    let accepted =
        findings.iter().filter(|finding| finding.is_accepted() && finding.accepting_rule().is_none());
    let mut kept = load::<Acceptance>(ctx, accepted.map(|finding| finding.id)).await?;
    let rules = load::<Rule>(ctx, findings.iter().filter_map(|finding| finding.accepting_rule())).await?;
    let found: Vec<Option<Found>> = findings
        .iter()
        .map(|finding| match finding.accepting_rule() {
            Some(rule) => {
                let rule = rules.get(&rule)?;
                Found::of_rule(rule, Arc::new(rule.clone().into()))
            }
            None => kept.remove(&finding.id).map(|acceptance| Found::of_person(finding, acceptance)),
        })
        .collect();
    let owners = found.iter().flatten().filter_map(|found| found.terms.owner);
    let owners = nodes::<User, UserNode>(ctx, owners).await?;
    let by = people(ctx, found.iter().map(|found| found.as_ref()?.by)).await?;
    let made = found.into_iter().zip(by).map(|(found, by)| {
        let Found { terms, at, warned, rule, acceptance, .. } = found?;
        Some(FindingAcceptance {
            reason: terms.reason,
            reference: terms.reference,
            owner: terms.owner.and_then(|owner| owners.get(&owner).cloned()),
            until: terms.until.map(DateTime),
            by,
            at: at.map(DateTime),
            warned,
            rule,
            acceptance: acceptance.map(AcceptanceNode::from),
        })
    });
    Ok(made.collect())
}

/// What is agreed on when a risk is accepted.
#[derive(InputObject)]
pub struct AcceptRiskInput {
    /// Why the risk is borne; not empty.
    reason: String,
    /// Where it is written down elsewhere: a ticket, a register of risks.
    reference: Option<String>,
    /// The global id of the user who answers for it.
    owner: Option<ID>,
    /// When the finding is open again; never, if not said.
    until: Option<DateTime>,
}

impl AcceptRiskInput {
    pub fn read(self) -> Result<Edit> {
        Ok(Edit::Accept(Terms {
            reason: self.reason,
            reference: self.reference,
            owner: self.owner.map(|id| Noun::User.read_at(&id, "owner")).transpose()?,
            until: self.until.map(|at| at.0),
        }))
    }
}

/// For how much longer risks are accepted.
#[derive(InputObject)]
pub struct ExtendAcceptanceInput {
    /// The new end date, later than the present one.
    until: DateTime,
    /// Why; not empty.
    reason: String,
}

impl ExtendAcceptanceInput {
    pub fn read(self) -> Edit {
        Edit::Extend { until: self.until.0, reason: self.reason }
    }
}

/// Which acceptances: all that is said must hold.
#[derive(Default, InputObject)]
pub struct AcceptanceFilterInput {
    /// The global id of the user who answers for them.
    owner: Option<ID>,
    /// The global id of the finding.
    finding: Option<ID>,
    /// The global id of the project of their findings.
    project: Option<ID>,
    /// Those that hold, or those that have ended; both if not said.
    open: Option<bool>,
    /// Those whose end date lies before this.
    ending_before: Option<DateTime>,
    /// Those that are as the company's change policy now asks, or those that are not; both if not said.
    conforming: Option<bool>,
}

impl AcceptanceFilterInput {
    fn read(self) -> Result<AcceptanceFilter> {
        Ok(AcceptanceFilter {
            owner: self.owner.map(|id| Noun::User.read_at(&id, "owner")).transpose()?,
            finding: self.finding.map(|id| Noun::Finding.read_at(&id, "finding")).transpose()?,
            project: self.project.map(|id| Noun::Project.read_at(&id, "project")).transpose()?,
            open: self.open,
            ending_before: self.ending_before.map(|at| at.0),
            conforming: self.conforming,
        })
    }
}

#[derive(Default)]
pub struct AcceptanceQuery;

#[root]
#[Object]
impl AcceptanceQuery {
    /// The risks that people accepted, of findings inside of the caller's portfolio: the first to end
    /// first, those without an end last.
    async fn acceptances(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<AcceptanceFilterInput>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<AcceptanceConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read()?;
        let page = domain.acceptances(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.acceptance_count(&actor, &filter).await }
        });
        Ok(AcceptanceConnection::new(page, total))
    }
}

#[derive(Default)]
pub struct AcceptanceMutation;

#[root]
#[Object]
impl AcceptanceMutation {
    /// Accepts the risk of a finding, in the place of whoever did before.
    async fn finding_accept_risk(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The finding's global id.")] id: ID,
        #[graphql(desc = "Why, who answers for it, and until when.")] input: AcceptRiskInput,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingUpdatePayload> {
        edit(ctx, idempotency_key, id, expected_version, || input.read()).await
    }

    /// Lets the acceptance of a finding's risk last longer: another one takes its place. What a rule
    /// accepts lasts as long as the rule says.
    async fn finding_acceptance_extend(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The finding's global id.")] id: ID,
        #[graphql(desc = "The new end date, and why.")] input: ExtendAcceptanceInput,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingUpdatePayload> {
        edit(ctx, idempotency_key, id, expected_version, || Ok(input.read())).await
    }
}
