//! Every kind of event, declared once: its word, what it tells, and a sample of its payload.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::ledger::Document;

/// An event as a transaction emits it; its number comes with the commit.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: EventKind,
    /// What it is about: events of one subject are delivered in order.
    pub subject: Uuid,
    /// The rule, run or job it came from.
    pub cause: Option<Document>,
    /// How many automations stand between this and a person or a scanner.
    pub depth: i32,
    pub payload: Document,
}

impl Event {
    pub fn new(kind: EventKind, subject: Uuid, payload: impl Into<Document>) -> Self {
        Self { kind, subject, cause: None, depth: 0, payload: payload.into() }
    }

    /// The event as the doing of an automation.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Document>, depth: i32) -> Self {
        self.cause = Some(cause.into());
        self.depth = depth;
        self
    }
}

macro_rules! events {
    ($($variant:ident = $word:literal, $subject:literal, $tells:literal, $sample:tt;)+) => {
        /// The kind of an event. Only kinds that something produces are listed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventKind { $(#[doc = $tells] $variant),+ }

        impl EventKind {
            pub const ALL: &'static [EventKind] = &[$(EventKind::$variant),+];

            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The noun of the record it is about.
            pub fn subject(self) -> &'static str {
                match self { $(Self::$variant => $subject),+ }
            }

            /// What it tells, in a sentence.
            pub fn tells(self) -> &'static str {
                match self { $(Self::$variant => $tells),+ }
            }

            /// A payload as this kind carries it.
            pub fn sample(self) -> Json {
                match self { $(Self::$variant => json!($sample)),+ }
            }

            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.word() == word)
            }
        }
    };
}

events! {
    FindingCreated = "finding_created", "finding", "A finding came into being.",
        {"asset": "0190a5a0-0000-7000-8000-000000000001", "project": "0190a5a0-0000-7000-8000-000000000002",
         "severity": "critical", "status": "OPEN", "scan": "0190a5a0-0000-7000-8000-000000000003"};
    FindingUpdated = "finding_updated", "finding", "What a finding shows changed, other than its status and assignees.",
        {"changed": ["severity"], "before": {"severity": "critical"}, "after": {"severity": "high"}};
    FindingStatusChanged = "finding_status_changed", "finding", "A finding's status changed.",
        {"before": "OPEN", "after": "FIXED"};
    FindingAssigned = "finding_assigned", "finding", "The people or teams of a finding changed.",
        {"users": ["0190a5a0-0000-7000-8000-000000000004"], "teams": []};
    FindingNoteAdded = "finding_note_added", "finding", "Someone commented on a finding.",
        {"comment": "0190a5a0-0000-7000-8000-000000000005"};
    FindingAcceptanceEnding = "finding_acceptance_ending", "finding", "The risk of a finding is accepted until a date that is near.",
        {"acceptance": "0190a5a0-0000-7000-8000-000000000008", "until": "2026-12-31T00:00:00.000000Z",
         "owner": "0190a5a0-0000-7000-8000-000000000004"};
    FindingRuleApplied = "finding_rule_applied", "finding", "A rule's entries on a finding were added, changed or withdrawn.",
        {"rule": "0190a5a0-0000-7000-8000-000000000006", "version": 1, "change": "ADDED",
         "before": {"severity": "critical"}, "after": {"severity": "high"}};
    FindingBulkUpdated = "finding_bulk_updated", "job", "A bulk change of findings ended.",
        {"job": "0190a5a0-0000-7000-8000-000000000007", "changed": 250, "unchanged": 3};
    ScanStarted = "scan_started", "scan", "A scan's report is being taken in.",
        {"project": "0190a5a0-0000-7000-8000-000000000002", "format": "TRIVY_JSON"};
    ScanFinished = "scan_finished", "scan", "A scan's report has been taken in, with its counts as the scanner gave them.",
        {"urgent": 0, "critical": 2, "high": 5, "medium": 9, "low": 1, "info": 0, "total": 17};
    ScanFailed = "scan_failed", "scan", "A scan's report could not be taken in.",
        {"code": "REPORT_MALFORMED", "message": "The report ends in the middle of a value."};
    AssetCreated = "asset_created", "asset", "An asset came into being.", {"name": "web-01", "type": "host"};
    AssetUpdated = "asset_updated", "asset", "An asset was changed.",
        {"changed": ["criticality"], "before": {"criticality": "low"}, "after": {"criticality": "high"}};
    AssetDeleted = "asset_deleted", "asset", "An asset was archived.", {"name": "web-01"};
    CompanyCreated = "company_created", "company", "A company came into being.", {"name": "Acme"};
    CompanyUpdated = "company_updated", "company", "A company was changed.", {"changed": ["name"]};
    ProjectCreated = "project_created", "project", "A project came into being.", {"name": "Web shop"};
    ProjectUpdated = "project_updated", "project", "A project was changed.", {"changed": ["name"]};
    ProjectArchived = "project_archived", "project", "A project was archived.", {"name": "Web shop"};
    ApprovalRequested = "approval_requested", "approval", "Somebody asked for the approval of a second person.",
        {"subject": {"kind": "RULE", "id": "0190a5a0-0000-7000-8000-000000000006"}, "title": "Dev and test down", "stage": "PENDING"};
    ApprovalVoted = "approval_voted", "approval", "An approver voted for something that takes more votes.",
        {"subject": {"kind": "RULE", "id": "0190a5a0-0000-7000-8000-000000000006"}, "title": "Dev and test down", "stage": "PENDING"};
    ApprovalApproved = "approval_approved", "approval", "Something was approved, and what was asked for is done.",
        {"subject": {"kind": "RULE", "id": "0190a5a0-0000-7000-8000-000000000006"}, "title": "Dev and test down", "stage": "APPROVED"};
    ApprovalRejected = "approval_rejected", "approval", "Something was refused its approval.",
        {"subject": {"kind": "RULE", "id": "0190a5a0-0000-7000-8000-000000000006"}, "title": "Dev and test down", "stage": "REJECTED"};
    ApprovalWithdrawn = "approval_withdrawn", "approval", "What waited for approval waits no more: it was taken back, edited, or nobody decided in time.",
        {"subject": {"kind": "RULE", "id": "0190a5a0-0000-7000-8000-000000000006"}, "title": "Dev and test down", "stage": "WITHDRAWN"};
    ApprovalReminded = "approval_reminded", "approval", "Something has waited for its approval for long.",
        {"subject": {"kind": "RULE", "id": "0190a5a0-0000-7000-8000-000000000006"}, "title": "Dev and test down", "stage": "PENDING"};
    ApprovalReviewed = "approval_reviewed", "approval", "A second person reviewed an emergency approval.",
        {"subject": {"kind": "RULE", "id": "0190a5a0-0000-7000-8000-000000000006"}, "title": "Dev and test down", "stage": "APPROVED"};
}
