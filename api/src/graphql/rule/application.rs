//! Applications: what rules did to findings, turn by turn.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::access::ActorKind;
use domain::error::Error;
use domain::finding::facts::Finding;
use domain::job;
use domain::page::PageArgs;
use domain::rule::Rule;
use domain::rule::application::{ApplicationFilter, Observed, RuleApplication, standing};
use record::{record, root};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::RuleNode;
use crate::graphql::finding::FindingNode;
use crate::graphql::id::Noun;
use crate::graphql::job::RevokeJob;
use crate::graphql::loaders::{deal, load, one};
use crate::graphql::page::{Counter, args, connection};
use crate::graphql::person::{Person, people};
use crate::graphql::scalars::{DateTime, Json};
use crate::graphql::{actor, domain, found};

/// How what a rule says of a finding turned.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::rule::pass::Turn")]
pub enum RuleTurn {
    /// It said nothing of the finding before.
    Added,
    /// It says something else than before.
    Changed,
    /// It says nothing any more.
    Withdrawn,
}

/// How a rule stands on a finding.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::rule::application::Standing")]
pub enum RuleStanding {
    /// All that it says is shown.
    Shown,
    /// It speaks, but lies under what others say, if only in one field.
    Covered,
    /// It is observed, and would say something.
    Observed,
    /// It says nothing.
    Silent,
}

/// What a rule would have done while it was observed.
#[record]
#[derive(SimpleObject)]
pub struct RuleObserved {
    /// How many turns it would have taken.
    turns: i64,
    /// On how many findings.
    findings: i64,
}

impl From<Observed> for RuleObserved {
    fn from(Observed { turns, findings }: Observed) -> Self {
        Self { turns, findings }
    }
}

pub struct RuleApplicationNode(RuleApplication);

impl From<RuleApplication> for RuleApplicationNode {
    fn from(application: RuleApplication) -> Self {
        Self(application)
    }
}

/// One turn of a rule on a finding. It stands until the rule's next turn there.
#[record]
#[Object(name = "RuleApplication")]
impl RuleApplicationNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::RuleApplication.id(self.0.id())
    }

    /// When.
    fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// The rule as it is now.
    async fn rule(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<RuleNode>>>> {
        one::<Rule, _>(ctx, rows.iter().map(|row| Some(row.0.rule))).await
    }

    /// The rule's version at that time.
    fn version(&self) -> i64 {
        self.0.version
    }

    /// SHA-256, in hexadecimal, of what the rule did and where at that time.
    fn content_hash(&self) -> &str {
        &self.0.content_hash
    }

    /// The action of that version, as it is kept.
    async fn action(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Json>>> {
        let versions: Vec<(Uuid, i64)> = rows.iter().map(|row| (row.0.rule, row.0.version)).collect();
        let actions = domain(ctx).rule_actions_at(actor(ctx)?, &versions).await?;
        Ok(versions.iter().map(|version| actions.get(version).cloned().map(Json)).collect())
    }

    /// The finding as it is now.
    async fn finding(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<FindingNode>>>> {
        one::<Finding, _>(ctx, rows.iter().map(|row| Some(row.0.finding))).await
    }

    /// How what the rule says turned.
    fn change(&self) -> RuleTurn {
        self.0.change.into()
    }

    /// The rule was observed: nothing was written on the finding.
    fn observed(&self) -> bool {
        self.0.observed
    }

    /// The fields that the rule spoke of, as they were shown before it spoke.
    fn before(&self) -> Option<Json> {
        self.0.before.clone().map(Json)
    }

    /// The same fields, as they were shown after.
    fn after(&self) -> Option<Json> {
        self.0.after.clone().map(Json)
    }

    /// Because of what: the scan or job of the pass, or the revoke and its reason.
    fn cause(&self) -> Option<Json> {
        (!self.0.cause.is_empty()).then(|| Json(self.0.cause.clone().into()))
    }

    /// The revoke that took back what the rule said, where it is one that did.
    async fn revoke(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<RevokeJob>>>> {
        one::<job::Job, _>(ctx, rows.iter().map(|row| row.0.revoke())).await
    }

    /// In whose name; null for the server itself, and for those who are gone.
    async fn by(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        let speakers = rows.iter().map(|row| &row.0.actor);
        people(ctx, speakers.map(|who| (who.kind != ActorKind::System).then_some(who.id))).await
    }

    /// How the rule stands on the finding now; null where the finding is gone.
    async fn standing(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<RuleStanding>>> {
        let findings = load::<Finding>(ctx, rows.iter().map(|row| row.0.finding)).await?;
        let of = |row: &&Self| Some(standing(findings.get(&row.0.finding)?, row.0.rule).into());
        Ok(rows.iter().map(of).collect())
    }
}

connection!(
    RuleApplicationConnection,
    RuleApplicationEdge,
    RuleApplicationNode,
    "A page of applications of rules.",
    "An application of a rule in a page."
);

/// A page of the applications of each of these rules.
pub async fn applications_of(
    ctx: &Context<'_>,
    rules: Vec<Uuid>,
    filter: ApplicationFilter,
    page: &PageArgs,
) -> async_graphql::Result<Vec<RuleApplicationConnection>> {
    let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
    let pages = domain.applications_of_rules(&actor, &rules, &filter, page).await?;
    let pages = deal(&rules, pages).into_iter().map(Option::unwrap_or_default);
    // All are counted at once, when the first is.
    let counts = Arc::new((OnceCell::<HashMap<Uuid, i64>>::new(), domain, actor, rules.clone(), filter));
    let connection = |(rule, page): (Uuid, _)| {
        let counts = Arc::clone(&counts);
        let total = Counter::new(move || {
            let counts = Arc::clone(&counts);
            async move {
                let (cell, domain, actor, rules, filter) = &*counts;
                let counts = cell.get_or_try_init(|| domain.application_counts(actor, rules, filter)).await?;
                Ok::<i64, Error>(counts.get(&rule).copied().unwrap_or_default())
            }
        });
        RuleApplicationConnection::new(page, total)
    };
    Ok(rules.into_iter().zip(pages).map(connection).collect())
}

/// Which applications of a rule: all that is said must hold.
#[derive(Default, InputObject)]
pub struct RuleTurnFilter {
    /// Only what it would have done while it was observed, or only what it did.
    observed: Option<bool>,
    /// Only turns of this kind.
    change: Option<RuleTurn>,
}

impl RuleTurnFilter {
    pub fn read(self) -> ApplicationFilter {
        let change = self.change.map(Into::into);
        ApplicationFilter { observed: self.observed, change, ..ApplicationFilter::default() }
    }
}

/// Which applications: all that is said must hold.
#[derive(Default, InputObject)]
pub struct RuleApplicationFilter {
    /// The global id of the rule.
    rule: Option<ID>,
    /// The global id of the finding.
    finding: Option<ID>,
    /// Not before this.
    from: Option<DateTime>,
    /// Before this.
    to: Option<DateTime>,
    /// Only what rules would have done while they were observed, or only what they did.
    observed: Option<bool>,
    /// Only turns of this kind.
    change: Option<RuleTurn>,
}

impl RuleApplicationFilter {
    fn read(self) -> Result<ApplicationFilter, Error> {
        Ok(ApplicationFilter {
            rule: self.rule.map(|id| Noun::Rule.read_at(&id, "rule")).transpose()?,
            finding: self.finding.map(|id| Noun::Finding.read_at(&id, "finding")).transpose()?,
            from: self.from.map(|at| at.0),
            to: self.to.map(|at| at.0),
            observed: self.observed,
            change: self.change.map(Into::into),
        })
    }
}

#[derive(Default)]
pub struct ApplicationQuery;

#[root]
#[Object]
impl ApplicationQuery {
    /// An application of a rule to a finding that the caller may see.
    async fn rule_application(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The application's global id.")] id: ID,
    ) -> async_graphql::Result<Option<RuleApplicationNode>> {
        let Ok(id) = Noun::RuleApplication.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).rule_application(actor(ctx)?, id).await)?)
    }

    /// What rules did to the findings that the caller may see, the newest first.
    async fn rule_applications(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<RuleApplicationFilter>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<RuleApplicationConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read()?;
        let page = domain.rule_applications(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.rule_application_count(&actor, &filter).await }
        });
        Ok(RuleApplicationConnection::new(page, total))
    }
}
