//! What people do to one finding.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use domain::error::Result;
use domain::finding::edit::{Edit, NewFinding};
use domain::finding::facts::Finding;
use domain::finding::request::{ChangeRequest, Made};
use domain::intake::report::Reported;
use domain::vocabulary::terms;
use record::{record, root};

use super::request::ChangeRequestNode;
use super::words::{FindingClass, FindingStatus, Justification, Severity};
use super::{CommentNode, FindingNode};
use crate::graphql::id::Noun;
use crate::graphql::payload::{Outcome, UserError, mutate, payload};
use crate::graphql::scalars::DateTime;

/// A finding that a person enters.
#[derive(InputObject)]
pub struct FindingCreateInput {
    /// The global id of the project that it belongs to.
    project: ID,
    /// The global id of the asset that it was found on.
    asset: ID,
    /// Its title.
    title: String,
    /// How bad it is.
    severity: Severity,
    /// What it is.
    #[graphql(default_with = "FindingClass::Vulnerability")]
    class: FindingClass,
    /// Who found it: `manual` if not said. It is a part of what the finding is known again by.
    scanner: Option<String>,
    /// The finder's own id of it, by which it is known again; without it the finding is always new.
    reference: Option<String>,
    /// What there is to say of it.
    description: Option<String>,
    /// The type of the vulnerability.
    vulnerability_type: Option<String>,
    /// What to do about it.
    remediation: Option<String>,
    /// The CVSS base score, 0 to 10.
    cvss_score: Option<f64>,
    /// The CVSS vector.
    cvss_vector: Option<String>,
    /// The probability of exploitation in the next 30 days, 0 to 1.
    epss_score: Option<f64>,
    /// Whether an exploit is known.
    known_exploit: Option<bool>,
    /// Its CVE ids.
    #[graphql(default)]
    cve_ids: Vec<String>,
    /// Its CWE ids.
    #[graphql(default)]
    cwe_ids: Vec<String>,
    /// Its tags.
    #[graphql(default)]
    tags: Vec<String>,
    /// Where to read more.
    #[graphql(default)]
    references: Vec<String>,
    /// The URL or address that it was found at.
    endpoint: Option<String>,
    /// The port that it was found on.
    #[graphql(validator(minimum = 0, maximum = 65535))]
    port: Option<i32>,
    /// The component that it is in.
    component_name: Option<String>,
    /// The version of the component.
    component_version: Option<String>,
    /// The version that mends it.
    fixed_version: Option<String>,
    /// Whether there is something that mends it.
    fix_available: Option<bool>,
    /// The file that it is in.
    file_path: Option<String>,
    /// The line of the file.
    #[graphql(validator(minimum = 0))]
    line: Option<i32>,
    /// When it was first seen; now if not said.
    first_seen_at: Option<DateTime>,
}

impl FindingCreateInput {
    fn read(self) -> Result<NewFinding> {
        Ok(NewFinding {
            project: Noun::Project.read_at(&self.project, "project")?,
            asset: Noun::Asset.read_at(&self.asset, "asset")?,
            scanner: self.scanner,
            reported: Reported {
                class: self.class.into(),
                title: self.title,
                description: self.description,
                severity: terms::Severity::from(self.severity),
                scanner_reference: self.reference,
                vulnerability_type: self.vulnerability_type,
                cvss_score: self.cvss_score,
                cvss_vector: self.cvss_vector,
                epss_score: self.epss_score,
                known_exploit: self.known_exploit,
                cve_ids: self.cve_ids,
                cwe_ids: self.cwe_ids,
                endpoint: self.endpoint,
                port: self.port.and_then(|port| u16::try_from(port).ok()),
                component_name: self.component_name,
                component_version: self.component_version,
                fixed_version: self.fixed_version,
                fix_available: self.fix_available,
                file_path: self.file_path,
                line: self.line.and_then(|line| u32::try_from(line).ok()),
                references: self.references,
                tags: self.tags,
                remediation: self.remediation,
                first_seen_at: self.first_seen_at.map(|at| at.0),
                ..Reported::default()
            },
        })
    }
}

/// Tags to add and to take away.
#[derive(InputObject)]
pub struct FindingTagInput {
    /// The tags that it is to have.
    #[graphql(default)]
    pub add: Vec<String>,
    /// The tags that it is not to have, whoever said them.
    #[graphql(default)]
    pub remove: Vec<String>,
}

impl FindingTagInput {
    pub fn read(self) -> Edit {
        Edit::Tag { add: self.add, remove: self.remove }
    }
}

/// Who is to work on a finding, and who no longer.
#[derive(InputObject)]
pub struct FindingAssignInput {
    /// The global ids of the users to assign.
    #[graphql(default)]
    add_users: Vec<ID>,
    /// The global ids of the teams to assign.
    #[graphql(default)]
    add_teams: Vec<ID>,
    /// The global ids of the users to take off.
    #[graphql(default)]
    remove_users: Vec<ID>,
    /// The global ids of the teams to take off.
    #[graphql(default)]
    remove_teams: Vec<ID>,
}

impl FindingAssignInput {
    pub fn read(self) -> Result<Edit> {
        Ok(Edit::Assign {
            add_users: Noun::User.read_all(&self.add_users, "addUsers")?,
            add_teams: Noun::Team.read_all(&self.add_teams, "addTeams")?,
            remove_users: Noun::User.read_all(&self.remove_users, "removeUsers")?,
            remove_teams: Noun::Team.read_all(&self.remove_teams, "removeTeams")?,
        })
    }
}

payload! {
    /// What `findingCreate` answers.
    FindingCreatePayload {
        /// The new finding, as the rules have it.
        finding: FindingNode
    }
    /// What `findingComment` answers.
    FindingCommentPayload {
        /// The new comment.
        comment: CommentNode
    }
}

/// What a change of one finding answers.
#[record]
#[derive(SimpleObject)]
pub struct FindingUpdatePayload {
    /// The finding as it is now.
    finding: Option<FindingNode>,
    /// The request that the change became: the company's policy asks for a second person, and nothing
    /// was changed. Null where it was done.
    request: Option<ChangeRequestNode>,
    /// Why it was refused; empty if it was done or asked for.
    user_errors: Vec<UserError>,
}

impl From<Outcome<(Option<Finding>, Option<ChangeRequest>)>> for FindingUpdatePayload {
    fn from(outcome: Outcome<(Option<Finding>, Option<ChangeRequest>)>) -> Self {
        match outcome.0 {
            Ok((finding, request)) => Self {
                finding: finding.map(Into::into),
                request: request.map(Into::into),
                user_errors: Vec::new(),
            },
            Err(refused) => Self { finding: None, request: None, user_errors: vec![refused] },
        }
    }
}

/// Makes one change to one finding, or asks for it.
pub(super) async fn edit(
    ctx: &Context<'_>,
    key: Option<String>,
    id: ID,
    expected: Option<i64>,
    edit: impl FnOnce() -> Result<Edit> + Send,
) -> async_graphql::Result<FindingUpdatePayload> {
    let id = Noun::Finding.read_at(&id, "id");
    let finding = id.as_ref().ok().copied();
    mutate::<(Option<Finding>, Option<ChangeRequest>), _, _, _>(
        ctx,
        key,
        |domain, actor| {
            let edit = edit();
            async move {
                let id = id?;
                Ok(match domain.finding_edit(&actor, id, expected, edit?).await? {
                    Made::Done(finding) => (Some(finding), None),
                    Made::Asked(request) => (Some(domain.finding(&actor, id).await?), Some(*request)),
                })
            }
        },
        |domain, actor, answer| async move {
            let id = finding.unwrap_or(answer);
            let request =
                if id == answer { None } else { Some(domain.change_request(&actor, answer).await?) };
            Ok((Some(domain.finding(&actor, id).await?), request))
        },
    )
    .await
}

#[derive(Default)]
pub struct FindingMutation;

#[root]
#[Object]
impl FindingMutation {
    /// Enters a finding by hand. Rules hold for it as for any other.
    async fn finding_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new finding.")] input: FindingCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingCreatePayload> {
        mutate::<Finding, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.finding_create(&actor, input.read()?).await },
            |domain, actor, id| async move { domain.finding(&actor, id).await },
        )
        .await
    }

    /// Moves a finding in its lifecycle.
    #[expect(clippy::too_many_arguments, reason = "each says one thing of the move")]
    async fn finding_set_status(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The finding's global id.")] id: ID,
        #[graphql(desc = "Where it is to stand.")] status: FindingStatus,
        #[graphql(desc = "Why. Whoever accepts a risk has to say it; `findingAcceptRisk` takes more.")]
        reason: Option<String>,
        #[graphql(desc = "Why it is a false positive: of that status alone.")] justification: Option<
            Justification,
        >,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingUpdatePayload> {
        let justification = justification.map(Into::into);
        let change = || Edit::status(status.into(), reason, justification);
        edit(ctx, idempotency_key, id, expected_version, change).await
    }

    /// Says how bad a finding is, over what scanners and rules say.
    async fn finding_set_severity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The finding's global id.")] id: ID,
        #[graphql(desc = "How bad it is.")] severity: Severity,
        #[graphql(desc = "Why, for the audit.")] reason: Option<String>,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingUpdatePayload> {
        let change = || Ok(Edit::SetSeverity { severity: severity.into(), reason });
        edit(ctx, idempotency_key, id, expected_version, change).await
    }

    /// Tags a finding, or takes tags off. A tag that a person took off stays off, whatever rules say.
    async fn finding_tag(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The finding's global id.")] id: ID,
        #[graphql(desc = "The tags.")] input: FindingTagInput,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingUpdatePayload> {
        edit(ctx, idempotency_key, id, expected_version, || Ok(input.read())).await
    }

    /// Assigns a finding to people and teams of the company, or takes them off.
    async fn finding_assign(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The finding's global id.")] id: ID,
        #[graphql(desc = "Who.")] input: FindingAssignInput,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingUpdatePayload> {
        edit(ctx, idempotency_key, id, expected_version, || input.read()).await
    }

    /// Drops what people said of fields, so that scanners and rules are heard again.
    async fn finding_release(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The finding's global id.")] id: ID,
        #[graphql(desc = "The keys of the fields, as in `layers`.")] fields: Vec<String>,
        #[graphql(desc = "The version that the change was made on.")] expected_version: Option<i64>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingUpdatePayload> {
        edit(ctx, idempotency_key, id, expected_version, || Ok(Edit::Release { fields })).await
    }

    /// Comments on a finding.
    async fn finding_comment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The finding's global id.")] id: ID,
        #[graphql(desc = "The text: at most 32 KiB.")] body: String,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingCommentPayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Finding.read_at(&id, "id")?;
                domain.finding_comment(&actor, id, &body).await
            },
            |domain, actor, id| async move { domain.comment(&actor, id).await },
        )
        .await
    }
}
