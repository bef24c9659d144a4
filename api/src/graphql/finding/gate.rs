//! The gate of a release.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use domain::finding::gate::{GateAnswer, GateQuestion, GateReason};
use record::{record, root};

use super::FindingNode;
use super::words::Severity;
use crate::graphql::criteria::Criteria;
use crate::graphql::id::Noun;
use crate::graphql::project::ProjectNode;
use crate::graphql::scalars::{DateTime, Duration};
use crate::graphql::view::ViewNode;
use crate::graphql::{actor, domain};

/// Why a project may not go out.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::finding::gate::GateReasonKind")]
pub enum ReleaseGateReasonKind {
    /// Active findings of it are what the view and the filter mean.
    ActiveFindings,
    /// It is archived: nothing is looked after there any more.
    ProjectArchived,
    /// No scan of it has finished: nothing is known of it. Documents of OpenVEX and CSAF are no scans.
    NeverScanned,
    /// Its newest finished scan is older than is allowed.
    ScanTooOld,
    /// A report of it is being stored: what is known is half of it.
    ScanRunning,
}

/// How many findings of a severity are in the way.
#[record]
#[derive(SimpleObject)]
pub struct ReleaseGateSeverity {
    /// The severity.
    severity: Severity,
    /// How many findings of it.
    count: i64,
}

/// A reason not to let a project go out.
#[record]
#[derive(SimpleObject)]
pub struct ReleaseGateReason {
    /// What it is.
    kind: ReleaseGateReasonKind,
    /// The same in a sentence.
    message: String,
    /// How many findings are in the way; 0 where it is no matter of findings.
    count: i64,
    /// How many of each severity, the worst first.
    severities: Vec<ReleaseGateSeverity>,
    /// The worst of them, as many as were asked for.
    findings: Vec<FindingNode>,
}

/// Whether a project may go out.
#[record]
#[derive(SimpleObject)]
pub struct ReleaseGate {
    /// Whether there is no reason against it.
    pass: bool,
    /// The moment that this is true of.
    as_of: DateTime,
    /// The project.
    project: ProjectNode,
    /// The view that said what is in the way; null if none was named.
    view: Option<ViewNode>,
    /// When a scanner looked last; null if none ever did.
    last_scan_at: Option<DateTime>,
    /// All that stands against it; empty where it passes.
    reasons: Vec<ReleaseGateReason>,
}

impl From<GateReason> for ReleaseGateReason {
    fn from(reason: GateReason) -> Self {
        let severity = |(severity, count): (domain::vocabulary::terms::Severity, i64)| ReleaseGateSeverity {
            severity: severity.into(),
            count,
        };
        Self {
            kind: reason.kind.into(),
            message: reason.message,
            count: reason.count,
            severities: reason.severities.into_iter().map(severity).collect(),
            findings: reason.findings.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<GateAnswer> for ReleaseGate {
    fn from(answer: GateAnswer) -> Self {
        Self {
            pass: answer.passes(),
            as_of: DateTime(answer.as_of),
            project: answer.project.into(),
            view: answer.view.map(Into::into),
            last_scan_at: answer.last_scan_at.map(DateTime),
            reasons: answer.reasons.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Default)]
pub struct GateQuery;

#[root]
#[Object]
impl GateQuery {
    /// Whether a project may go out: it passes where no active finding of it is one that the view and the filter mean (any at
    /// all, where neither is said), it is not archived, a scan of it has finished and none is being stored. A project or view that
    /// the caller does not see is an error, NOT_FOUND: a gate that is asked wrongly does not pass.
    async fn release_gate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project's global id.")] project: ID,
        #[graphql(desc = "The global id of a saved view of findings: those are in the way.")] view: Option<
            ID,
        >,
        #[graphql(desc = "Which findings are in the way; with a view, those of both.")] filter: Option<
            Criteria,
        >,
        #[graphql(desc = "How old the newest finished scan may be; any age if not said.")]
        max_scan_age: Option<Duration>,
        #[graphql(desc = "How many of the findings in the way are named: at most 500.", default = 10)] first: i32,
    ) -> async_graphql::Result<ReleaseGate> {
        let question = GateQuestion {
            project: Noun::Project.read_at(&project, "project")?,
            view: view.map(|id| Noun::View.read_at(&id, "view")).transpose()?,
            filter: filter.map(|filter| filter.0),
            max_scan_age: max_scan_age.map(|age| age.0),
            named: first.into(),
        };
        Ok(domain(ctx).release_gate(actor(ctx)?, &question).await?.into())
    }
}
