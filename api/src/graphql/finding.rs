//! Findings.

use std::collections::{BTreeSet, HashMap};

use async_graphql::{Context, ID, Object, SimpleObject};
use domain::finding::edit::Comment;
use domain::finding::facts::Finding;
use domain::finding::issue::Issue;
use domain::finding::layers::SetField;
use domain::intel::start::References;
use domain::ledger::audit::AuditFilter;
use domain::rule::Rule;
use domain::rule::pass::{badge, badges};
use uuid::Uuid;

use super::asset::AssetNode;
use super::audit::AuditEntryConnection;
use super::id::Noun;
use super::loaders::{loaders, many, one};
use super::page::{Counter, args};
use super::person::{Person, person};
use super::project::ProjectNode;
use super::rule::RuleNode;
use super::scalars::{DateTime, Json};
use super::team::TeamNode;
use super::user::UserNode;
use super::words::Allowed;
use super::{actor, domain};
use issue::IssueNode;
use layers::FieldLayers;
use words::{FindingClass, FindingStatus, Severity};

pub mod bulk;
pub mod issue;
pub mod layers;
pub mod mutation;
pub mod query;
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
#[Object(name = "Finding")]
impl FindingNode {
    /// The global id.
    pub async fn id(&self) -> ID {
        Noun::Finding.id(self.0.id)
    }

    /// The title shown.
    async fn title(&self) -> &str {
        &self.0.shown.title
    }

    /// The severity shown.
    async fn severity(&self) -> Severity {
        self.0.shown.severity.into()
    }

    /// The status shown.
    async fn status(&self) -> FindingStatus {
        self.0.shown.status.into()
    }

    /// Whether somebody still has to act: it is open or in progress.
    async fn active(&self) -> bool {
        self.0.shown.status.is_active()
    }

    /// What it is.
    async fn class(&self) -> FindingClass {
        self.0.evidence.class.into()
    }

    /// What the scanner says of it.
    async fn description(&self) -> Option<&str> {
        self.0.evidence.description.as_deref()
    }

    /// The type of the vulnerability.
    async fn vulnerability_type(&self) -> Option<&str> {
        self.0.shown.vulnerability_type.as_deref()
    }

    /// What to do about it.
    async fn remediation(&self) -> Option<&str> {
        self.0.shown.remediation.as_deref()
    }

    /// The CVSS base score, 0 to 10.
    async fn cvss_score(&self) -> Option<f64> {
        self.0.shown.cvss_score
    }

    /// The CVSS vector that the score is of.
    async fn cvss_vector(&self) -> Option<&str> {
        self.0.shown.cvss_vector.as_deref()
    }

    /// The probability of exploitation in the next 30 days, 0 to 1.
    async fn epss_score(&self) -> Option<f64> {
        self.0.shown.epss_score
    }

    /// The share of all scored CVEs with the same or a lower probability, 0 to 1.
    async fn epss_percentile(&self) -> Option<f64> {
        self.0.shown.epss_percentile
    }

    /// Whether an exploit is known; null if nobody said.
    async fn known_exploit(&self) -> Option<bool> {
        self.0.shown.known_exploit
    }

    /// When CISA's catalogue of known exploited vulnerabilities wants it mended; null if it is not in it.
    async fn kev_due_at(&self) -> Option<DateTime> {
        self.0.shown.kev_due_at.map(DateTime)
    }

    /// Whether ransomware is known to use it; null if it is not in that catalogue.
    async fn ransomware_use(&self) -> Option<bool> {
        self.0.shown.ransomware_use
    }

    /// Whether the due date has passed unmet; null without a due date.
    async fn sla_breached(&self) -> Option<bool> {
        self.0.sla_breached
    }

    /// The scanner that reported it.
    async fn scanner_source(&self) -> &str {
        &self.0.evidence.scanner_source
    }

    /// The scanner's own category of the check.
    async fn scanner_category(&self) -> Option<&str> {
        self.0.evidence.scanner_category.as_deref()
    }

    /// The scanner's own id of the check: a rule, a plugin, a vulnerability.
    async fn scanner_reference(&self) -> Option<&str> {
        self.0.evidence.scanner_reference.as_deref()
    }

    /// The URL or address that it was found at.
    async fn endpoint(&self) -> Option<&str> {
        self.0.evidence.endpoint.as_deref()
    }

    /// The port that it was found on.
    async fn port(&self) -> Option<i32> {
        self.0.evidence.port.map(i32::from)
    }

    /// The component that it is in: a package, a library, an image layer.
    async fn component_name(&self) -> Option<&str> {
        self.0.evidence.component_name.as_deref()
    }

    /// The version of the component.
    async fn component_version(&self) -> Option<&str> {
        self.0.evidence.component_version.as_deref()
    }

    /// The package URL of the component at fault.
    async fn component_purl(&self) -> Option<&str> {
        self.0.evidence.component_purl.as_deref()
    }

    /// The version that mends it.
    async fn fixed_version(&self) -> Option<&str> {
        self.0.evidence.fixed_version.as_deref()
    }

    /// Whether there is something that mends it; null if nobody said.
    async fn fix_available(&self) -> Option<bool> {
        self.0.evidence.fix_available
    }

    /// The file that it is in.
    async fn file_path(&self) -> Option<&str> {
        self.0.evidence.file_path.as_deref()
    }

    /// The line of the file.
    async fn line(&self) -> Option<i64> {
        self.0.evidence.line.map(i64::from)
    }

    /// Where to read more: what the scanner gave, or else what feeds say of its CVEs.
    async fn references(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<String>> {
        if !self.0.evidence.references.is_empty() || self.0.shown.set(SetField::CveIds).is_empty() {
            return Ok(self.0.evidence.references.clone());
        }
        let said: Option<References> = one(&loaders(ctx)?.references, self.0.id).await?;
        Ok(said.map(|References(references)| references).unwrap_or_default())
    }

    /// The beginning of what the report says of it, as evidence.
    async fn excerpt(&self) -> Option<&str> {
        self.0.evidence.excerpt.as_deref()
    }

    /// The tags shown.
    async fn tags(&self) -> &[String] {
        self.0.shown.set(SetField::Tags)
    }

    /// Its CVE ids.
    async fn cve_ids(&self) -> &[String] {
        self.0.shown.set(SetField::CveIds)
    }

    /// Its CWE ids.
    async fn cwe_ids(&self) -> &[String] {
        self.0.shown.set(SetField::CweIds)
    }

    /// What it leads to, as codes of the company's list.
    async fn effects(&self) -> &[String] {
        self.0.shown.set(SetField::Effects)
    }

    /// Why it came to be, as codes of the company's list.
    async fn root_causes(&self) -> &[String] {
        self.0.shown.set(SetField::RootCauses)
    }

    /// How it is mended, as codes of the company's list.
    async fn remediation_techniques(&self) -> &[String] {
        self.0.shown.set(SetField::RemediationTechniques)
    }

    /// The ATT&CK techniques that it tells of, as codes of the company's list.
    async fn attack_techniques(&self) -> &[String] {
        self.0.shown.set(SetField::AttackTechniques)
    }

    /// Who it is assigned to.
    async fn assignees(&self, ctx: &Context<'_>) -> async_graphql::Result<Assignees> {
        let loaders = loaders(ctx)?;
        let ids = |field| -> Vec<Uuid> {
            self.0.shown.set(field).iter().filter_map(|id| id.parse().ok()).collect()
        };
        let users = many(&loaders.users, ids(SetField::AssignedUsers));
        let teams = many(&loaders.teams, ids(SetField::AssignedTeams));
        let (users, teams) = futures_util::try_join!(users, teams)?;
        Ok(Assignees { users, teams })
    }

    /// What it was found on.
    async fn asset(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<AssetNode>> {
        Ok(one(&loaders(ctx)?.assets, self.0.asset).await?)
    }

    /// The project that it belongs to; null where that lies outside of the caller's portfolio.
    async fn project(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ProjectNode>> {
        Ok(one(&loaders(ctx)?.projects, self.0.project).await?)
    }

    /// Where its values come from: for each field that anything is said of, who says what.
    async fn layers(&self) -> Vec<FieldLayers> {
        layers::layers(&self.0)
    }

    /// What rules show on it now: one badge for each field or element whose top entry is a rule's.
    async fn badges(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Badge>> {
        let shown = badges(&self.0.layers);
        let ids: BTreeSet<Uuid> = shown.iter().map(|(rule, ..)| *rule).collect();
        let rules: Vec<Rule> = many(&loaders(ctx)?.rules, ids).await?;
        let rules: HashMap<Uuid, Rule> = rules.into_iter().map(|rule| (rule.id, rule)).collect();
        let badge = |(rule, field, before, after): (Uuid, &'static str, serde_json::Value, _)| {
            let rule = rules.get(&rule)?;
            let message = badge(&rule.name, field, &before, &after);
            let before = (!before.is_null()).then_some(Json(before));
            Some(Badge { rule: rule.clone().into(), field, before, after: Json(after), message })
        };
        Ok(shown.into_iter().filter_map(badge).collect())
    }

    /// The issue that it is of: the same weakness on the same asset, whoever reports it, or what people
    /// linked by hand.
    async fn issue(&self, ctx: &Context<'_>) -> async_graphql::Result<IssueNode> {
        let issue: Option<Issue> = one(&loaders(ctx)?.issues, self.0.issue).await?;
        Ok(IssueNode { issue: issue.unwrap_or_else(|| Issue::alone(&self.0)), by: self.0.issue_by })
    }

    /// What people said to each other about it, the oldest first; at most 100.
    async fn comments(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<CommentNode>> {
        let comments: Option<Vec<Comment>> = one(&loaders(ctx)?.comments, self.0.id).await?;
        Ok(comments.unwrap_or_default().into_iter().map(CommentNode::from).collect())
    }

    /// What was done to it, the newest first. It takes the right to read the audit.
    async fn audit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many rows, from the start or after a cursor; 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows, from the end or before a cursor; at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<AuditEntryConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = AuditFilter { record: Some(self.0.id), ..AuditFilter::default() };
        let page = domain.audit_entries(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.audit_count(&actor, &filter).await }
        });
        Ok(AuditEntryConnection::new(page, total))
    }

    /// When a scan saw it first.
    async fn first_seen_at(&self) -> DateTime {
        DateTime(self.0.first_seen_at)
    }

    /// When a scan saw it last.
    async fn last_seen_at(&self) -> DateTime {
        DateTime(self.0.last_seen_at)
    }

    /// When it is due.
    async fn due_at(&self) -> Option<DateTime> {
        self.0.due_at.map(DateTime)
    }

    /// When it was last fixed, closed or otherwise put to rest, if it still is.
    async fn closed_at(&self) -> Option<DateTime> {
        self.0.closed_at.map(DateTime)
    }

    /// When it came into being here.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Counts its changes: an update names the one that it saw.
    async fn version(&self) -> i64 {
        self.0.revision
    }

    /// What the caller can do with it now.
    async fn viewer_can(&self, ctx: &Context<'_>) -> async_graphql::Result<FindingViewerCan> {
        let actor = actor(ctx)?;
        let edit = || self.0.may_edit(actor);
        Ok(FindingViewerCan {
            edit: edit().into(),
            comment: edit().into(),
            release: self.0.may_release(actor).into(),
        })
    }
}

/// Who a finding is assigned to.
#[derive(SimpleObject)]
pub struct Assignees {
    /// The people.
    users: Vec<UserNode>,
    /// The teams.
    teams: Vec<TeamNode>,
}

/// What a rule shows on a finding, over what lies below it.
#[derive(SimpleObject)]
pub struct Badge {
    /// The rule.
    rule: RuleNode,
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
#[Object(name = "Comment")]
impl CommentNode {
    /// The global id.
    pub async fn id(&self) -> ID {
        Noun::Comment.id(self.0.id)
    }

    /// The text, as it was written.
    async fn body(&self) -> &str {
        &self.0.body
    }

    /// Who wrote it; null where the caller cannot see that one.
    async fn author(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Person>> {
        person(ctx, self.0.author_id).await
    }

    /// The name of its author when it was written.
    async fn author_name(&self) -> &str {
        &self.0.author
    }

    /// When it was written.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}
