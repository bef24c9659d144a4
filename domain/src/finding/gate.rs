//! The gate of a release: whether a project may go out, and if not, why.
//!
//! | it does not pass where | because |
//! | --- | --- |
//! | an active finding of the project is one that the view and the filter mean | that is what is not to go out |
//! | the project is archived | nothing is looked after there any more |
//! | no scan of it has finished | nothing is known of it |
//! | the newest finished scan is older than is allowed | what is known is no longer true |
//! | a report is being stored | what is known is half of it |
//!
//! A document that only says what was decided, of OpenVEX or CSAF, is no scan: nobody looked. A scan
//! that was put away is none either.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::facts::Finding;
use super::query::FindingOrder;
use super::selection::{Selected, all_of};
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Error, Result};
use crate::intake::format::Format;
use crate::inventory::project::Project;
use crate::inventory::view::View;
use crate::page::PageArgs;
use crate::vocabulary::field::finding::FindingField;
use crate::vocabulary::terms::{Severity, Status, Term, terms};
use crate::vocabulary::time::{Span, Timestamp};

/// Formats that say what somebody decided, and not what somebody saw.
const NO_SCANS: [Format; 2] = [Format::Openvex, Format::Csaf];

/// The most findings that are named.
pub const NAMED: i64 = 500;

terms! {
    /// Why a project may not go out.
    GateReasonKind {
        ActiveFindings = "ACTIVE_FINDINGS", ProjectArchived = "PROJECT_ARCHIVED", NeverScanned = "NEVER_SCANNED",
        ScanTooOld = "SCAN_TOO_OLD", ScanRunning = "SCAN_RUNNING",
    }
}

/// What is asked of the gate.
#[derive(Clone, Debug)]
pub struct GateQuestion {
    pub project: Uuid,
    /// Which active findings are in the way: those of both, where both are said, and all, where neither is.
    pub view: Option<Uuid>,
    pub filter: Option<Json>,
    /// How old the newest scan may be; any age, if nothing is said.
    pub max_scan_age: Option<Span>,
    /// How many of the findings in the way are named, the worst first.
    pub named: i64,
}

/// A reason not to pass.
#[derive(Clone, Debug)]
pub struct GateReason {
    pub kind: GateReasonKind,
    pub message: String,
    /// How many findings are in the way, in all and by severity, the worst first.
    pub count: i64,
    pub severities: Vec<(Severity, i64)>,
    /// The worst of them.
    pub findings: Vec<Finding>,
}

/// What the gate says.
#[derive(Clone, Debug)]
pub struct GateAnswer {
    pub project: Project,
    pub view: Option<View>,
    pub as_of: Timestamp,
    /// When a scanner looked last.
    pub last_scan_at: Option<Timestamp>,
    pub reasons: Vec<GateReason>,
}

impl GateAnswer {
    pub fn passes(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl GateReason {
    fn of(kind: GateReasonKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), count: 0, severities: Vec::new(), findings: Vec::new() }
    }
}

impl Domain {
    /// Asks whether a project may go out. One that the actor does not see is `NOT_FOUND`, and so is a view: a gate that is asked
    /// wrongly does not pass.
    pub async fn release_gate(&self, actor: &Actor, question: &GateQuestion) -> Result<GateAnswer> {
        let scope = actor.allow(Permission::Read)?;
        if !(0..=NAMED).contains(&question.named) {
            return Err(Error::invalid("first", format!("Between 0 and {NAMED}.")));
        }
        let selected = Selected {
            filter: question.filter.clone(),
            view: question.view,
            project: Some(question.project),
        };
        let selection = self.finding_selection(actor, &selected).await?;
        let project = selection.project.ok_or_else(|| Error::not_found("project"))?;
        let as_of = self.clock().now();
        let (last_scan_at, running) =
            self.db().last_look(&scope, project.id, &NO_SCANS.map(Format::key)).await?;
        let mut reasons = Vec::new();
        if project.archived_at.is_some() {
            reasons.push(GateReason::of(GateReasonKind::ProjectArchived, "The project is archived."));
        }
        match last_scan_at {
            None => reasons
                .push(GateReason::of(GateReasonKind::NeverScanned, "No scan of the project has finished.")),
            Some(at) => {
                if let Some(age) = question.max_scan_age.filter(|age| at < as_of.minus(*age)) {
                    let message = format!("The last scan is of {at}: older than {age}.");
                    reasons.push(GateReason::of(GateReasonKind::ScanTooOld, message));
                }
            }
        }
        if running {
            let message = "A report of the project is being stored: ask again when that is done.";
            reasons.push(GateReason::of(GateReasonKind::ScanRunning, message));
        }
        let active: Vec<Status> = Status::ALL.iter().copied().filter(|status| status.is_active()).collect();
        let active = json!({ "field": "status", "operator": "in", "value": active });
        let criteria = all_of([Some(active), selection.criteria].into_iter().flatten().collect());
        reasons.extend(self.findings_in_the_way(actor, criteria.as_ref(), question.named).await?);
        Ok(GateAnswer { project, view: selection.view, as_of, last_scan_at, reasons })
    }

    async fn findings_in_the_way(
        &self,
        actor: &Actor,
        criteria: Option<&Json>,
        named: i64,
    ) -> Result<Option<GateReason>> {
        let filter = self.finding_filter(criteria)?;
        let groups = self.finding_groups(actor, &filter, &[FindingField::Severity]).await?;
        let severity = |values: &[Json]| values.first().and_then(Json::as_str).and_then(Severity::parse);
        let mut severities: Vec<(Severity, i64)> =
            groups.iter().filter_map(|group| Some((severity(&group.values)?, group.count))).collect();
        severities.sort_unstable_by(|one, other| other.cmp(one));
        let count: i64 = severities.iter().map(|(_, count)| count).sum();
        if count == 0 {
            return Ok(None);
        }
        let findings = if named == 0 {
            Vec::new()
        } else {
            let order = (FindingOrder::Severity, false);
            self.findings(actor, &filter, order, &PageArgs::first(named)).await?.nodes().collect()
        };
        let what = if count == 1 {
            "1 active finding is".to_owned()
        } else {
            format!("{count} active findings are")
        };
        let reason = GateReason::of(GateReasonKind::ActiveFindings, format!("{what} in the way."));
        Ok(Some(GateReason { count, severities, findings, ..reason }))
    }
}
