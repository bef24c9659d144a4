//! What waits for a second person.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Union};
use domain::approval::state::Vote;
use domain::approval::{Approval, ApprovalFilter, Subject};
use domain::finding::request::ChangeRequest;
use domain::rule::Rule;
use record::{record, root};

use super::finding::request::ChangeRequestNode;
use super::id::Noun;
use super::loaders::nodes;
use super::page::{Counter, args, connection};
use super::person::{Person, people};
use super::policy::ChangePolicyNode;
use super::rule::RuleNode;
use super::scalars::{DateTime, Json};
use super::words::Allowed;
use super::{actor, domain, found};

pub mod mutation;
pub mod subscription;

/// Where an approval stands.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::approval::Stage")]
pub enum ApprovalStage {
    /// It waits for votes.
    Pending,
    /// It has its votes, and what was asked for is done.
    Approved,
    /// Somebody refused it, with a reason.
    Rejected,
    /// It waits no more: it was taken back, edited, or nobody decided in time.
    Withdrawn,
}

/// What kind of thing is to be approved.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::approval::SubjectKind")]
pub enum ApprovalSubjectKind {
    /// The draft of a rule.
    Rule,
    /// A change of findings.
    Change,
    /// What the company asks of changes, where it is to ask less.
    Policy,
}

/// What is to be approved.
#[record]
#[derive(Union)]
pub enum ApprovalSubject {
    Rule(Arc<RuleNode>),
    Change(Arc<ChangeRequestNode>),
    Policy(Arc<ChangePolicyNode>),
}

/// How many active findings something touches.
#[record]
#[derive(SimpleObject)]
pub struct BlastRadius {
    /// How many; null where that is more than is counted.
    count: Option<i64>,
    /// Of all active findings, from 0 to 1.
    share: Option<f64>,
    /// When they were counted: when it was asked for, and once it is decided, at the decision.
    as_of: DateTime,
}

/// One thing that approval changes.
#[record]
#[derive(SimpleObject)]
pub struct FieldChange {
    /// The name of what changes.
    field: String,
    /// Its value before; null where there was none.
    before: Option<Json>,
    /// Its value after; null where there is none.
    after: Option<Json>,
}

impl FieldChange {
    /// A change of values, of which null is none.
    pub fn new(field: String, before: serde_json::Value, after: serde_json::Value) -> Self {
        let value = |value: serde_json::Value| (!value.is_null()).then_some(Json(value));
        Self { field, before: value(before), after: value(after) }
    }
}

pub struct ApprovalVoteNode(Vote);

/// A vote for what somebody saw.
#[record]
#[Object(name = "ApprovalVote")]
impl ApprovalVoteNode {
    /// Who voted.
    async fn by(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.hand.id))).await
    }

    /// The approver who was away and in whose place it was given; null for one's own vote.
    async fn on_behalf_of(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        let behalf = rows.iter().map(|row| (row.0.voice != row.0.hand.person).then_some(row.0.voice));
        people(ctx, behalf).await
    }

    /// What was said with it.
    fn comment(&self) -> Option<&str> {
        self.0.comment.as_deref()
    }

    /// When.
    fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }
}

/// An approval that one administrator gave alone.
#[record]
#[derive(SimpleObject)]
pub struct EmergencyApproval {
    /// What was approved ends then, unless it is reviewed.
    until: DateTime,
    /// When a second person reviewed it; null while nobody has.
    reviewed_at: Option<DateTime>,
    /// Whether it was upheld; null while nobody has reviewed it.
    upheld: Option<bool>,
}

pub struct ApprovalNode(Approval);

impl From<Approval> for ApprovalNode {
    fn from(approval: Approval) -> Self {
        Self(approval)
    }
}

/// Something that waits for a second person, or waited.
#[record]
#[Object(name = "Approval")]
impl ApprovalNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Approval.id(self.0.id)
    }

    /// What kind of thing is to be approved.
    fn kind(&self) -> ApprovalSubjectKind {
        self.0.subject.kind().into()
    }

    /// What is to be approved; null where the caller cannot see it.
    async fn subject(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<ApprovalSubject>>> {
        use domain::approval::SubjectKind;

        let of = |kind: SubjectKind| {
            rows.iter().filter(move |row| row.0.subject.kind() == kind).map(|row| row.0.subject.id())
        };
        let rules = nodes::<Rule, RuleNode>(ctx, of(SubjectKind::Rule)).await?;
        let changes = nodes::<ChangeRequest, ChangeRequestNode>(ctx, of(SubjectKind::Change)).await?;
        let policy = match of(SubjectKind::Policy).next() {
            Some(_) => Some(Arc::new(ChangePolicyNode::from(domain(ctx).change_policy(actor(ctx)?).await?))),
            None => None,
        };
        let subject = |row: &&Self| match row.0.subject {
            Subject::Rule(id) => rules.get(&id).cloned().map(ApprovalSubject::Rule),
            Subject::Change(id) => changes.get(&id).cloned().map(ApprovalSubject::Change),
            Subject::Policy(_) => policy.clone().map(ApprovalSubject::Policy),
        };
        Ok(rows.iter().map(subject).collect())
    }

    /// Where it stands.
    fn stage(&self) -> ApprovalStage {
        self.0.stage.into()
    }

    /// What it is called.
    fn title(&self) -> &str {
        &self.0.title
    }

    /// Why it takes a second person.
    fn reasons(&self) -> &[String] {
        &self.0.reasons
    }

    /// What is to be approved, whole.
    fn content(&self) -> Json {
        Json(self.0.content.clone())
    }

    /// SHA-256, in hexadecimal, of what is to be approved: whoever approves names what was seen.
    fn content_hash(&self) -> &str {
        &self.0.content_hash
    }

    /// What approval changes.
    fn diff(&self) -> Vec<FieldChange> {
        let names = self.0.diff.get("changed").and_then(serde_json::Value::as_array).into_iter().flatten();
        let value = |side: &str, name: &str| {
            self.0.diff.get(side).and_then(|of| of.get(name)).cloned().unwrap_or_default()
        };
        let change =
            |name: &str| FieldChange::new(name.to_owned(), value("before", name), value("after", name));
        names.filter_map(serde_json::Value::as_str).map(change).collect()
    }

    /// How many active findings it touches.
    fn blast_radius(&self) -> BlastRadius {
        let blast = self.0.blast;
        BlastRadius { count: blast.count, share: blast.share, as_of: DateTime(blast.as_of) }
    }

    /// Who began what is to be approved.
    async fn author(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.author.id))).await
    }

    /// Who edited it last.
    async fn editor(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.editor.id))).await
    }

    /// How many votes it takes.
    fn required(&self) -> i32 {
        i32::try_from(self.0.required).unwrap_or(i32::MAX)
    }

    /// The votes so far.
    fn votes(&self) -> Vec<ApprovalVoteNode> {
        self.0.votes.iter().cloned().map(ApprovalVoteNode).collect()
    }

    /// When it waits no more; null for never.
    fn deadline(&self) -> Option<DateTime> {
        self.0.deadline.map(DateTime)
    }

    /// When it was reminded of.
    fn reminded_at(&self) -> Option<DateTime> {
        self.0.reminded_at.map(DateTime)
    }

    /// When it was decided or taken back.
    fn decided_at(&self) -> Option<DateTime> {
        self.0.decided_at.map(DateTime)
    }

    /// Whose vote decided, or who refused it or took it back; null for the server itself.
    async fn decided_by(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| row.0.decided_by)).await
    }

    /// Why it was refused or taken back, or approved in an emergency.
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// What is to be known where one administrator approved it alone; null otherwise.
    fn emergency(&self) -> Option<EmergencyApproval> {
        let emergency = self.0.emergency?;
        Some(EmergencyApproval {
            until: DateTime(emergency.until),
            reviewed_at: emergency.review.map(|review| DateTime(review.at)),
            upheld: emergency.review.map(|review| review.upheld),
        })
    }

    /// When it was asked for.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// What the caller can do about it now.
    async fn viewer_can(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<ApprovalViewerCan>> {
        let approvals: Vec<&Approval> = rows.iter().map(|row| &row.0).collect();
        let rights = domain(ctx).approval_rights(actor(ctx)?, &approvals).await?;
        let can = |rights: domain::approval::ApprovalRights| {
            let vote = rights.vote;
            let reject = match &vote {
                Ok(()) => Ok(()),
                Err(error) => Err(domain::error::Error::new(error.code, error.message.clone())),
            };
            ApprovalViewerCan {
                approve: vote.into(),
                reject: reject.into(),
                approve_emergency: rights.emergency.into(),
                withdraw: rights.withdraw.into(),
                review: rights.review.into(),
            }
        };
        Ok(rights.into_iter().map(can).collect())
    }
}

/// What the caller can do about an approval.
#[record]
#[derive(SimpleObject)]
pub struct ApprovalViewerCan {
    /// To vote for it.
    approve: Allowed,
    /// To refuse it.
    reject: Allowed,
    /// To approve it alone.
    approve_emergency: Allowed,
    /// To take it back.
    withdraw: Allowed,
    /// To review that it was approved in an emergency.
    review: Allowed,
}

connection!(ApprovalConnection, ApprovalEdge, ApprovalNode, "A page of approvals.", "An approval in a page.");

/// Which approvals: all that is said must hold.
#[derive(Default, InputObject)]
pub struct ApprovalFilterInput {
    /// Only those that wait for the caller's vote.
    #[graphql(default)]
    for_me: bool,
    /// At one of these stages.
    stages: Option<Vec<ApprovalStage>>,
    /// Of one of these kinds.
    kinds: Option<Vec<ApprovalSubjectKind>>,
    /// Only emergencies that nobody has reviewed.
    #[graphql(default)]
    unreviewed: bool,
    /// Of this rule.
    rule: Option<ID>,
}

impl ApprovalFilterInput {
    fn read(self) -> domain::error::Result<ApprovalFilter> {
        let rule = self.rule.map(|id| Noun::Rule.read_at(&id, "rule")).transpose()?;
        Ok(ApprovalFilter {
            for_me: self.for_me,
            stages: self.stages.into_iter().flatten().map(Into::into).collect(),
            kinds: self.kinds.into_iter().flatten().map(Into::into).collect(),
            unreviewed: self.unreviewed,
            subject: rule,
        })
    }
}

#[derive(Default)]
pub struct ApprovalQuery;

#[root]
#[Object]
impl ApprovalQuery {
    /// One approval.
    async fn approval(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The approval's global id.")] id: ID,
    ) -> async_graphql::Result<Option<ApprovalNode>> {
        let Ok(id) = Noun::Approval.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).approval(actor(ctx)?, id).await)?)
    }

    /// What waits for a second person and what waited, the newest first: rules and everything else that
    /// can be approved. Who covers only a part of the company sees what they asked for themselves.
    async fn approvals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<ApprovalFilterInput>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<ApprovalConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read()?;
        let page = domain.approvals(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.approval_count(&actor, &filter).await }
        });
        Ok(ApprovalConnection::new(page, total))
    }
}
