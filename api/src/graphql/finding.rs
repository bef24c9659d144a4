//! Findings.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use domain::finding::edit::Comment;
use domain::finding::facts::Finding;
use domain::finding::issue::Issue;
use domain::finding::layers::SetField;
use domain::intel::start::References;
use domain::inventory::asset::Asset;
use domain::inventory::project::Project;
use domain::inventory::team::Team;
use domain::inventory::user::User;
use domain::rule::Rule;
use domain::rule::pass::{badge, badges};
use record::record;
use uuid::Uuid;

use super::actor;
use super::asset::AssetNode;
use super::audit::{AuditEntryConnection, audit_of};
use super::id::Noun;
use super::loaders::{deal, load, many, nodes, one};
use super::page::args;
use super::person::{Person, people};
use super::project::ProjectNode;
use super::rule::RuleNode;
use super::scalars::{DateTime, Json};
use super::team::TeamNode;
use super::user::UserNode;
use super::words::Allowed;
use acceptance::FindingAcceptance;
use issue::IssueNode;
use layers::FieldLayers;
use words::{FindingClass, FindingStatus, Justification, Severity};

pub mod acceptance;
pub mod bulk;
pub mod gate;
pub mod issue;
pub mod layers;
pub mod mutation;
pub mod query;
pub mod request;
pub mod stats;
pub mod subscription;
pub mod words;

/// A finding is large, and stands beside small records in unions.
pub struct FindingNode(Box<Finding>);

impl From<Finding> for FindingNode {
    fn from(finding: Finding) -> Self {
        Self(Box::new(finding))
    }
}

/// A thing to act on, found on an asset. What it shows of its layered fields is the top of all that
/// scanners, rules and people say of them.
#[record]
#[Object(name = "Finding")]
impl FindingNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Finding.id(self.0.id)
    }

    /// The title shown.
    fn title(&self) -> &str {
        &self.0.shown.title
    }

    /// The severity shown.
    fn severity(&self) -> Severity {
        self.0.shown.severity.into()
    }

    /// The status shown.
    fn status(&self) -> FindingStatus {
        self.0.shown.status.into()
    }

    /// Whether somebody still has to act: it is open or in progress.
    fn active(&self) -> bool {
        self.0.shown.status.is_active()
    }

    /// What it is.
    fn class(&self) -> FindingClass {
        self.0.evidence.class.into()
    }

    /// What the scanner says of it.
    fn description(&self) -> Option<&str> {
        self.0.evidence.description.as_deref()
    }

    /// The type of the vulnerability.
    fn vulnerability_type(&self) -> Option<&str> {
        self.0.shown.vulnerability_type.as_deref()
    }

    /// What to do about it.
    fn remediation(&self) -> Option<&str> {
        self.0.shown.remediation.as_deref()
    }

    /// The CVSS base score, 0 to 10.
    fn cvss_score(&self) -> Option<f64> {
        self.0.shown.cvss_score
    }

    /// The CVSS vector that the score is of.
    fn cvss_vector(&self) -> Option<&str> {
        self.0.shown.cvss_vector.as_deref()
    }

    /// The probability of exploitation in the next 30 days, 0 to 1.
    fn epss_score(&self) -> Option<f64> {
        self.0.shown.epss_score
    }

    /// The share of all scored CVEs with the same or a lower probability, 0 to 1.
    fn epss_percentile(&self) -> Option<f64> {
        self.0.shown.epss_percentile
    }

    /// Whether an exploit is known; null if nobody said.
    fn known_exploit(&self) -> Option<bool> {
        self.0.shown.known_exploit
    }

    /// When CISA's catalogue of known exploited vulnerabilities wants it mended; null if it is not in it.
    fn kev_due_at(&self) -> Option<DateTime> {
        self.0.shown.kev_due_at.map(DateTime)
    }

    /// Whether ransomware is known to use it; null if it is not in that catalogue.
    fn ransomware_use(&self) -> Option<bool> {
        self.0.shown.ransomware_use
    }

    /// Whether the due date has passed unmet; null without a due date.
    fn sla_breached(&self) -> Option<bool> {
        self.0.sla_breached
    }

    /// The scanner that reported it.
    fn scanner_source(&self) -> &str {
        &self.0.evidence.scanner_source
    }

    /// The scanner's own category of the check.
    fn scanner_category(&self) -> Option<&str> {
        self.0.evidence.scanner_category.as_deref()
    }

    /// The scanner's own id of the check: a rule, a plugin, a vulnerability.
    fn scanner_reference(&self) -> Option<&str> {
        self.0.evidence.scanner_reference.as_deref()
    }

    /// The URL or address that it was found at.
    fn endpoint(&self) -> Option<&str> {
        self.0.evidence.endpoint.as_deref()
    }

    /// The port that it was found on.
    fn port(&self) -> Option<i32> {
        self.0.evidence.port.map(i32::from)
    }

    /// The component that it is in: a package, a library, an image layer.
    fn component_name(&self) -> Option<&str> {
        self.0.evidence.component_name.as_deref()
    }

    /// The version of the component.
    fn component_version(&self) -> Option<&str> {
        self.0.evidence.component_version.as_deref()
    }

    /// The package URL of the component at fault.
    fn component_purl(&self) -> Option<&str> {
        self.0.evidence.component_purl.as_deref()
    }

    /// The version that mends it.
    fn fixed_version(&self) -> Option<&str> {
        self.0.evidence.fixed_version.as_deref()
    }

    /// Whether there is something that mends it; null if nobody said.
    fn fix_available(&self) -> Option<bool> {
        self.0.evidence.fix_available
    }

    /// The file that it is in.
    fn file_path(&self) -> Option<&str> {
        self.0.evidence.file_path.as_deref()
    }

    /// The line of the file.
    fn line(&self) -> Option<i64> {
        self.0.evidence.line.map(i64::from)
    }

    /// Where to read more: what the scanner gave, or else what feeds say of its CVEs.
    async fn references(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<String>>> {
        let silent = rows.iter().filter(|row| {
            row.0.evidence.references.is_empty() && !row.0.shown.set(SetField::CveIds).is_empty()
        });
        let said = load::<References>(ctx, silent.map(|row| row.0.id)).await?;
        let references = |row: &&Self| match said.get(&row.0.id) {
            Some(References(references)) => references.clone(),
            None => row.0.evidence.references.clone(),
        };
        Ok(rows.iter().map(references).collect())
    }

    /// The beginning of what the report says of it, as evidence.
    fn excerpt(&self) -> Option<&str> {
        self.0.evidence.excerpt.as_deref()
    }

    /// The tags shown.
    fn tags(&self) -> &[String] {
        self.0.shown.set(SetField::Tags)
    }

    /// Its CVE ids.
    fn cve_ids(&self) -> &[String] {
        self.0.shown.set(SetField::CveIds)
    }

    /// Its CWE ids.
    fn cwe_ids(&self) -> &[String] {
        self.0.shown.set(SetField::CweIds)
    }

    /// What it leads to, as codes of the company's list.
    fn effects(&self) -> &[String] {
        self.0.shown.set(SetField::Effects)
    }

    /// Why it came to be, as codes of the company's list.
    fn root_causes(&self) -> &[String] {
        self.0.shown.set(SetField::RootCauses)
    }

    /// How it is mended, as codes of the company's list.
    fn remediation_techniques(&self) -> &[String] {
        self.0.shown.set(SetField::RemediationTechniques)
    }

    /// The ATT&CK techniques that it tells of, as codes of the company's list.
    fn attack_techniques(&self) -> &[String] {
        self.0.shown.set(SetField::AttackTechniques)
    }

    /// Who it is assigned to.
    fn assignees(&self) -> Assignees {
        let ids = |field| self.0.shown.set(field).iter().filter_map(|id| id.parse().ok()).collect();
        Assignees { users: ids(SetField::AssignedUsers), teams: ids(SetField::AssignedTeams) }
    }

    /// What it was found on.
    async fn asset(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<AssetNode>>>> {
        one::<Asset, _>(ctx, rows.iter().map(|row| Some(row.0.asset))).await
    }

    /// The project that it belongs to; null where that lies outside of the caller's portfolio.
    async fn project(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<ProjectNode>>>> {
        one::<Project, _>(ctx, rows.iter().map(|row| Some(row.0.project))).await
    }

    /// Where its values come from: for each field that anything is said of, who says what.
    fn layers(&self) -> Vec<FieldLayers> {
        layers::layers(&self.0)
    }

    /// What rules show on it now: one badge for each field or element whose top entry is a rule's.
    async fn badges(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<Badge>>> {
        let shown: Vec<_> = rows.iter().map(|row| badges(&row.0.layers)).collect();
        let rules = nodes::<Rule, RuleNode>(ctx, shown.iter().flatten().map(|(rule, ..)| *rule)).await?;
        let badge = |(rule, field, before, after): (Uuid, &'static str, serde_json::Value, _)| {
            let rule = Arc::clone(rules.get(&rule)?);
            let message = badge(rule.named(), field, &before, &after);
            let before = (!before.is_null()).then_some(Json(before));
            Some(Badge { rule, field, before, after: Json(after), message })
        };
        Ok(shown.into_iter().map(|shown| shown.into_iter().filter_map(&badge).collect()).collect())
    }

    /// The issue that it is of: the same weakness on the same asset, whoever reports it, or what people
    /// linked by hand.
    async fn issue(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<IssueNode>> {
        let issues = load::<Issue>(ctx, rows.iter().map(|row| row.0.issue)).await?;
        let issues: HashMap<_, _> = issues.into_iter().map(|(id, issue)| (id, Arc::new(issue))).collect();
        let issue = |row: &&Self| {
            let known = issues.get(&row.0.issue).cloned();
            IssueNode { issue: known.unwrap_or_else(|| Issue::alone(&row.0).into()), by: row.0.issue_by }
        };
        Ok(rows.iter().map(issue).collect())
    }

    /// Why its risk is borne, by whom and until when; null where its status is another.
    async fn acceptance(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<FindingAcceptance>>> {
        acceptance::shown(ctx, &rows.iter().map(|row| &*row.0).collect::<Vec<_>>()).await
    }

    /// What a person decided of its status; null where nobody did.
    fn decision(&self) -> Option<FindingDecision> {
        let by = self.0.decided_by()?;
        let grounds = &self.0.layers.status().grounds;
        Some(FindingDecision {
            by,
            status: self.0.shown.status.into(),
            reason: grounds.reason.clone(),
            justification: grounds.justification.map(Into::into),
        })
    }

    /// What people said to each other about it, the oldest first; at most 100.
    async fn comments(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<CommentNode>>> {
        let findings: Vec<Uuid> = rows.iter().map(|row| row.0.id).collect();
        let comments = load::<Vec<Comment>>(ctx, findings.iter().copied()).await?;
        let nodes = |comments: Option<Vec<Comment>>| {
            comments.unwrap_or_default().into_iter().map(CommentNode::from).collect()
        };
        Ok(deal(&findings, comments).into_iter().map(nodes).collect())
    }

    /// What was done to it, the newest first. It takes the right to read the audit.
    async fn audit(
        rows: &[&Self],
        ctx: &Context<'_>,
        #[graphql(desc = "How many rows, from the start or after a cursor; 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows, from the end or before a cursor; at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Vec<AuditEntryConnection>> {
        let records = rows.iter().map(|row| row.0.id).collect();
        audit_of(ctx, records, &args(first, after, last, before)).await
    }

    /// When a scan saw it first.
    fn first_seen_at(&self) -> DateTime {
        DateTime(self.0.first_seen_at)
    }

    /// When a scan saw it last.
    fn last_seen_at(&self) -> DateTime {
        DateTime(self.0.last_seen_at)
    }

    /// When it is due.
    fn due_at(&self) -> Option<DateTime> {
        self.0.due_at.map(DateTime)
    }

    /// When it was last fixed, closed or otherwise put to rest, if it still is.
    fn closed_at(&self) -> Option<DateTime> {
        self.0.closed_at.map(DateTime)
    }

    /// When it came into being here.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Counts its changes: an update names the one that it saw.
    fn version(&self) -> i64 {
        self.0.revision
    }

    /// What the caller can do with it now.
    fn viewer_can(&self, ctx: &Context<'_>) -> async_graphql::Result<FindingViewerCan> {
        let actor = actor(ctx)?;
        let edit = || self.0.may_edit(actor);
        Ok(FindingViewerCan {
            edit: edit().into(),
            comment: edit().into(),
            release: self.0.may_release(actor).into(),
        })
    }
}

pub struct FindingDecision {
    by: Uuid,
    status: FindingStatus,
    reason: Option<String>,
    justification: Option<Justification>,
}

/// What a person decided of a finding's status.
#[record]
#[Object]
impl FindingDecision {
    /// Where the person moved it.
    fn status(&self) -> FindingStatus {
        self.status
    }

    /// Why, in the person's words. Of an accepted risk `acceptance` says more.
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Why it is a false positive, in the word of VEX.
    fn justification(&self) -> Option<Justification> {
        self.justification
    }

    /// Who decided; null where the caller cannot see that one.
    async fn by(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.by))).await
    }
}

pub struct Assignees {
    users: Vec<Uuid>,
    teams: Vec<Uuid>,
}

/// Who a finding is assigned to.
#[record]
#[Object]
impl Assignees {
    /// The people.
    async fn users(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<Arc<UserNode>>>> {
        many::<User, _>(ctx, rows.iter().map(|row| row.users.clone())).await
    }

    /// The teams.
    async fn teams(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<Arc<TeamNode>>>> {
        many::<Team, _>(ctx, rows.iter().map(|row| row.teams.clone())).await
    }
}

/// What a rule shows on a finding, over what lies below it.
#[record]
#[derive(SimpleObject)]
pub struct Badge {
    /// The rule.
    rule: Arc<RuleNode>,
    /// The key of the field.
    field: &'static str,
    /// What would be shown without it; null for an element that it adds.
    before: Option<Json>,
    /// What is shown.
    after: Json,
    /// The badge in words: `Rule 'No Exploit Critical to High': severity critical to high`.
    message: String,
}

/// What the caller can do with a finding.
#[record]
#[derive(SimpleObject)]
pub struct FindingViewerCan {
    /// Set its status and severity, tag and assign it.
    edit: Allowed,
    /// Comment on it.
    comment: Allowed,
    /// Drop what people said of it.
    release: Allowed,
}

pub struct CommentNode(Comment);

impl From<Comment> for CommentNode {
    fn from(comment: Comment) -> Self {
        Self(comment)
    }
}

/// What someone said about a finding.
#[record]
#[Object(name = "Comment")]
impl CommentNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Comment.id(self.0.id)
    }

    /// The text, as it was written.
    fn body(&self) -> &str {
        &self.0.body
    }

    /// Who wrote it; null where the caller cannot see that one.
    async fn author(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| Some(row.0.author_id))).await
    }

    /// The name of its author when it was written.
    fn author_name(&self) -> &str {
        &self.0.author
    }

    /// When it was written.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}
