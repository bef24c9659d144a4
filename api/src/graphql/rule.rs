//! Rules.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::rule::gate::Drafted;
use domain::rule::pass::Mode;
use domain::rule::{Rule, RuleFilter};
use domain::vocabulary::criteria;
use domain::vocabulary::field::finding::FINDING;

use super::criteria::Criteria;
use super::id::Noun;
use super::loaders::{load, one};
use super::page::{Counter, args, connection};
use super::person::{Person, people};
use super::scalars::DateTime;
use super::words::Allowed;
use super::{actor, domain, found};
use action::RuleAction;
use application::{RuleApplicationConnection, RuleObserved, RuleTurnFilter, applications_of};
use record::{record, root};
use warning::RuleWarning;

use uuid::Uuid;

pub mod action;
pub mod application;
pub mod backtest;
pub mod conformance;
pub mod draft;
pub mod exemption;
pub mod library;
pub mod mutation;
pub mod preview;
pub mod revoke;
pub mod set;
pub mod trial;
pub mod version;
pub mod warning;

/// Whether a rule is evaluated, and whether what it says is shown.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::rule::pass::Mode")]
pub enum RuleMode {
    /// It is not evaluated.
    Off,
    /// It is evaluated and recorded; nothing changes.
    Observe,
    /// What it says is shown.
    Enforce,
}

/// What becomes of what a rule said when it expires.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::rule::OnExpiry")]
pub enum OnExpiry {
    /// It stays.
    Keep,
    /// It is taken away.
    Revert,
}

pub struct RuleNode(Rule);

impl RuleNode {
    /// Its name, for what is said of it.
    pub fn named(&self) -> &str {
        &self.0.content.name
    }
}

impl From<Rule> for RuleNode {
    fn from(rule: Rule) -> Self {
        Self(rule)
    }
}

/// A policy that holds for findings from the moment they arrive.
#[record]
#[Object(name = "Rule")]
impl RuleNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Rule.id(self.0.id)
    }

    /// Its stable name for programs, unique in its company: rule sets as code know it by this.
    fn key(&self) -> &str {
        &self.0.key
    }

    /// The key of the suggested rule that it was made of; null for one that was written here.
    fn library_key(&self) -> Option<&str> {
        self.0.library_key.as_deref()
    }

    /// The name, which is on its badges.
    fn name(&self) -> &str {
        &self.0.content.name
    }

    /// What it is for.
    fn description(&self) -> Option<&str> {
        self.0.content.description.as_deref()
    }

    /// Which findings it holds for.
    fn criteria(&self) -> Criteria {
        Criteria(self.0.content.criteria.clone())
    }

    /// The criteria in English; null where a later release no longer reads them.
    fn sentence(&self) -> Option<String> {
        criteria::Criteria::parse(&FINDING, &self.0.content.criteria).ok().map(|tree| tree.sentence())
    }

    /// What it does.
    fn action(&self) -> RuleAction {
        self.0.content.action.clone().into()
    }

    /// Whether it is evaluated, and whether what it says is shown.
    fn mode(&self) -> RuleMode {
        self.0.mode.into()
    }

    /// The mode that the caller's company set for a rule that holds for all; null where it follows the
    /// rule's own.
    async fn company_mode(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<RuleMode>>> {
        let modes = company_modes(rows, ctx).await?;
        Ok(rows.iter().map(|row| modes.get(&row.0.id).map(|mode| (*mode).into())).collect())
    }

    /// The mode that it has for the caller's company.
    async fn effective_mode(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<RuleMode>> {
        let modes = company_modes(rows, ctx).await?;
        Ok(rows.iter().map(|row| modes.get(&row.0.id).copied().unwrap_or(row.0.mode).into()).collect())
    }

    /// Its turns on findings that the caller may see, the newest first.
    async fn applications(
        rows: &[&Self],
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<RuleTurnFilter>,
        #[graphql(desc = "How many rows, from the start or after a cursor; 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows, from the end or before a cursor; at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Vec<RuleApplicationConnection>> {
        let rules = rows.iter().map(|row| row.0.id).collect();
        applications_of(ctx, rules, filter.unwrap_or_default().read(), &args(first, after, last, before))
            .await
    }

    /// What it would have done while it was observed, counted.
    async fn observed(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<RuleObserved>> {
        let rules: Vec<Uuid> = rows.iter().map(|row| row.0.id).collect();
        let counts = domain(ctx).observed_counts(actor(ctx)?, &rules).await?;
        Ok(rules.iter().map(|rule| counts.get(rule).copied().unwrap_or_default().into()).collect())
    }

    /// How many findings are exempt from it as it is now: what it said of them was taken back.
    async fn exempted(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<i64>> {
        let rules: Vec<Uuid> = rows.iter().map(|row| row.0.id).collect();
        let counts = domain(ctx).rule_exemption_counts(actor(ctx)?, &rules).await?;
        Ok(rules.iter().map(|rule| counts.get(rule).copied().unwrap_or_default()).collect())
    }

    /// Its place in the walk: rules are walked in ascending order, the older first among equals.
    fn order(&self) -> i32 {
        self.0.content.order
    }

    /// When it stops; null for never.
    fn expires_at(&self) -> Option<DateTime> {
        self.0.content.expires_at.map(DateTime)
    }

    /// What becomes of what it said when it stops.
    fn on_expiry(&self) -> OnExpiry {
        self.0.content.on_expiry.into()
    }

    /// Whether a change of it takes a second person, by its own word.
    fn requires_approval(&self) -> bool {
        self.0.content.requires_approval
    }

    /// Whether a change of it waits for approval: by its own word, or by the company's policy when it
    /// went live. Turning this off takes an approval itself.
    fn gated(&self) -> bool {
        self.0.gated
    }

    /// Which version is evaluated; null for a rule that never was approved: then its fields say what
    /// its draft says.
    fn live(&self) -> Option<RuleLive> {
        self.0.live.map(|live| RuleLive {
            version: live.version,
            since: DateTime(live.since),
            emergency_until: live.emergency_until.map(DateTime),
        })
    }

    /// What is to take the place of the live version; null where nothing is.
    async fn draft(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<draft::RuleDraftNode>>>> {
        one::<Drafted, _>(ctx, rows.iter().map(|row| Some(row.0.id))).await
    }

    /// It holds for all companies.
    fn global(&self) -> bool {
        self.0.is_global()
    }

    /// Why its live version does nothing now for the caller's company; null while it holds.
    async fn idle(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<&'static str>>> {
        let modes = company_modes(rows, ctx).await?;
        let now = domain(ctx).clock().now();
        let idle = |row: &&Self| row.0.clone().under(modes.get(&row.0.id).copied()).idle(now);
        Ok(rows.iter().map(idle).collect())
    }

    /// SHA-256, in hexadecimal, of what it does and where: what an approval binds to.
    fn content_hash(&self) -> &str {
        &self.0.content_hash
    }

    /// Who wrote it first; null where the caller cannot see that one.
    async fn author(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.author))).await
    }

    /// Since when it is archived; null while it is not.
    fn archived_at(&self) -> Option<DateTime> {
        self.0.archived_at.map(DateTime)
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Counts its changes: an update names the one that it saw.
    fn version(&self) -> i64 {
        self.0.version
    }

    /// What is odd about it among the rules that hold, as if it, and whatever other rules are asked about
    /// beside it, were enforced.
    async fn warnings(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<RuleWarning>>> {
        let asked: Vec<Rule> = rows.iter().map(|row| row.0.clone()).collect();
        let mut found = domain(ctx).rule_warnings(actor(ctx)?, &asked).await?;
        let warnings = |row: &&Self| found.remove(&row.0.id).unwrap_or_default();
        Ok(rows.iter().map(warnings).map(|all| all.into_iter().map(Into::into).collect()).collect())
    }

    /// What the caller can do with it now.
    async fn viewer_can(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<RuleViewerCan>> {
        let actor = actor(ctx)?;
        let drafts = load::<Drafted>(ctx, rows.iter().map(|row| row.0.id)).await?;
        let draft = |row: &&Self| drafts.get(&row.0.id);
        let can = |row: &&Self| RuleViewerCan {
            edit: row.0.may_edit(actor).into(),
            submit: row.0.may_submit(actor, draft(row)).into(),
            publish: row.0.may_publish(actor, draft(row).map(|draft| (&draft.content, draft.stage))).into(),
            set_mode: row.0.may_edit(actor).into(),
            archive: row.0.may_archive(actor).into(),
            revoke: row.0.may_revoke(actor).into(),
            set_company_mode: row.0.may_set_company_mode(actor).into(),
        };
        Ok(rows.iter().map(can).collect())
    }
}

/// Which version of a rule is evaluated.
#[record]
#[derive(SimpleObject)]
pub struct RuleLive {
    /// The version: applications name it.
    version: i64,
    /// Since when.
    since: DateTime,
    /// It was approved in an emergency, and ends then unless that is reviewed; null otherwise.
    emergency_until: Option<DateTime>,
}

/// What the caller can do with a rule.
#[record]
#[derive(SimpleObject)]
pub struct RuleViewerCan {
    /// To change it.
    edit: Allowed,
    /// To ask for the approval of its draft.
    submit: Allowed,
    /// To make its draft live without one.
    publish: Allowed,
    /// To turn it off or on.
    set_mode: Allowed,
    /// To put it away.
    archive: Allowed,
    /// To take back what it did in the caller's company.
    revoke: Allowed,
    /// To set a mode of the caller's company for it.
    set_company_mode: Allowed,
}

/// The modes that the caller's company set for the global ones of these rules.
async fn company_modes(rows: &[&RuleNode], ctx: &Context<'_>) -> async_graphql::Result<HashMap<Uuid, Mode>> {
    let global = rows.iter().filter(|row| row.0.is_global());
    Ok(load::<Mode>(ctx, global.map(|row| row.0.id)).await?)
}

connection!(RuleConnection, RuleEdge, RuleNode, "A page of rules.", "A rule in a page.");

/// Which rules: all that is said must hold.
#[derive(Default, InputObject)]
pub struct RuleFilterInput {
    /// In one of these modes.
    modes: Option<Vec<RuleMode>>,
    /// Archived ones too.
    #[graphql(default)]
    archived: bool,
    /// A part of the name, ignoring the case of ASCII letters.
    query: Option<String>,
}

impl RuleFilterInput {
    fn read(self) -> RuleFilter {
        RuleFilter {
            modes: self.modes.into_iter().flatten().map(Into::into).collect(),
            archived: self.archived,
            query: self.query,
        }
    }
}

#[derive(Default)]
pub struct RuleQuery;

#[root]
#[Object]
impl RuleQuery {
    /// A rule of the company, or a global one.
    async fn rule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule's global id.")] id: ID,
    ) -> async_graphql::Result<Option<RuleNode>> {
        let Ok(id) = Noun::Rule.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).rule(actor(ctx)?, id).await)?)
    }

    /// The rules in the order in which they are walked, the global ones among them.
    async fn rules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all that are not archived if not said.")] filter: Option<
            RuleFilterInput,
        >,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<RuleConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read();
        let page = domain.rules(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.rule_count(&actor, &filter).await }
        });
        Ok(RuleConnection::new(page, total))
    }
}
