//! Any record by its global id.

use async_graphql::{Context, ID, Interface, Object};
use record::{record, root};

use super::approval::ApprovalNode;
use super::asset::AssetNode;
use super::audit::AuditEntryNode;
use super::company::CompanyNode;
use super::finding::acceptance::AcceptanceNode;
use super::finding::request::ChangeRequestNode;
use super::finding::{CommentNode, FindingNode};
use super::id::{Key, Noun, key};
use super::invitation::InvitationNode;
use super::job::{BulkChangeJob, ExportJob, ImportJob, IntelLoadJob, Job, RevokeJob, SweepJob};
use super::membership::MembershipNode;
use super::project::ProjectNode;
use super::rule::RuleNode;
use super::rule::application::RuleApplicationNode;
use super::rule::exemption::RuleExemptionNode;
use super::rule::version::RuleVersionNode;
use super::saved_mapping::SavedMappingNode;
use super::scan::ScanNode;
use super::service_account::ServiceAccountNode;
use super::session::SessionNode;
use super::team::TeamNode;
use super::token::TokenNode;
use super::user::UserNode;
use super::view::ViewNode;
use super::{actor, domain, found};

/// A record with a global id.
#[record]
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The global id, for `node` and as an argument."))]
pub enum Node {
    Company(CompanyNode),
    User(UserNode),
    Membership(MembershipNode),
    Team(TeamNode),
    ServiceAccount(ServiceAccountNode),
    Token(TokenNode),
    Project(ProjectNode),
    Asset(AssetNode),
    View(ViewNode),
    SavedMapping(SavedMappingNode),
    Session(SessionNode),
    Invitation(InvitationNode),
    AuditEntry(AuditEntryNode),
    Scan(ScanNode),
    Finding(FindingNode),
    Comment(CommentNode),
    Acceptance(AcceptanceNode),
    ChangeRequest(ChangeRequestNode),
    Rule(RuleNode),
    RuleApplication(RuleApplicationNode),
    RuleExemption(RuleExemptionNode),
    RuleVersion(RuleVersionNode),
    Approval(ApprovalNode),
    ImportJob(ImportJob),
    IntelLoadJob(IntelLoadJob),
    SweepJob(SweepJob),
    BulkChangeJob(BulkChangeJob),
    ExportJob(ExportJob),
    RevokeJob(RevokeJob),
}

impl From<Job> for Node {
    fn from(job: Job) -> Self {
        match job {
            Job::Import(job) => Self::ImportJob(job),
            Job::IntelLoad(job) => Self::IntelLoadJob(job),
            Job::Sweep(job) => Self::SweepJob(job),
            Job::BulkChange(job) => Self::BulkChangeJob(job),
            Job::Export(job) => Self::ExportJob(job),
            Job::Revoke(job) => Self::RevokeJob(job),
        }
    }
}

#[derive(Default)]
pub struct NodeQuery;

#[root]
#[Object]
impl NodeQuery {
    /// The record of a global id; null where there is none that the caller may see.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id.")] id: ID,
    ) -> async_graphql::Result<Option<Node>> {
        let (domain, actor) = (domain(ctx), actor(ctx)?);
        let Some((noun, key)) = key(&id) else { return Ok(None) };
        let node = match (noun, key) {
            (Noun::AuditEntry, Key::Number(seq)) => {
                found(domain.audit_entry(actor, seq).await)?.map(Node::AuditEntry)
            }
            (noun, Key::Record(id)) => match noun {
                Noun::Company => found(domain.company(actor, id).await)?.map(Node::Company),
                Noun::User => found(domain.user(actor, id).await)?.map(Node::User),
                Noun::Membership => found(domain.membership(actor, id).await)?.map(Node::Membership),
                Noun::Team => found(domain.team(actor, id).await)?.map(Node::Team),
                Noun::ServiceAccount => {
                    found(domain.service_account(actor, id).await)?.map(Node::ServiceAccount)
                }
                Noun::Session => found(domain.session(actor, id).await)?.map(Node::Session),
                Noun::Invitation => found(domain.invitation(actor, id).await)?.map(Node::Invitation),
                Noun::Token => found(domain.token(actor, id).await)?.map(Node::Token),
                Noun::Project => found(domain.project(actor, id).await)?.map(Node::Project),
                Noun::Asset => found(domain.asset(actor, id).await)?.map(Node::Asset),
                Noun::View => found(domain.view(actor, id).await)?.map(Node::View),
                Noun::SavedMapping => found(domain.saved_mapping(actor, id).await)?.map(Node::SavedMapping),
                Noun::Scan => found(domain.scan(actor, id).await)?.map(Node::Scan),
                Noun::Finding => found(domain.finding(actor, id).await)?.map(Node::Finding),
                Noun::Comment => found(domain.comment(actor, id).await)?.map(Node::Comment),
                Noun::Acceptance => found(domain.acceptance(actor, id).await)?.map(Node::Acceptance),
                Noun::ChangeRequest => {
                    found(domain.change_request(actor, id).await)?.map(Node::ChangeRequest)
                }
                Noun::Rule => found(domain.rule(actor, id).await)?.map(Node::Rule),
                Noun::RuleApplication => {
                    found(domain.rule_application(actor, id).await)?.map(Node::RuleApplication)
                }
                Noun::RuleExemption => {
                    found(domain.rule_exemption(actor, id).await)?.map(Node::RuleExemption)
                }
                Noun::RuleVersion => found(domain.rule_version(actor, id).await)?.map(Node::RuleVersion),
                Noun::Approval => found(domain.approval(actor, id).await)?.map(Node::Approval),
                Noun::Job => found::<_, Job>(domain.job(actor, id).await)?.map(Node::from),
                Noun::AuditEntry => None,
            },
            (_, Key::Number(_)) => None,
        };
        Ok(node)
    }
}
