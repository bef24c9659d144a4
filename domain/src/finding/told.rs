//! What changes of findings have to tell: the audit and whoever listens to events.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::change::{RuleTurn, issue_map};
use super::facts::{Finding, Shown};
use super::layers::SetField;
use crate::event::catalogue::{Event, EventKind};
use crate::ledger::{AuditEntry, Document};
use crate::rule::application::{APPLIED, ERRORED, OBSERVED};
use crate::rule::pass::{Application, LiveRule, Turn, Values};
use crate::vocabulary::terms::Term;

/// What changes of one cause have to tell: their audit entries and their events.
#[derive(Debug)]
pub struct Told {
    cause: Json,
    /// The cause as events have it.
    because: Option<Document>,
    pub entries: Vec<AuditEntry>,
    pub events: Vec<Event>,
    /// What the turns of rules so far have alike, by the rule and the word of the turn.
    turns: HashMap<(Uuid, &'static str), Alike, foldhash::fast::RandomState>,
    undecided: BTreeMap<Uuid, Undecided>,
}

/// A rule that could not be decided, and on which findings.
#[derive(Debug, Serialize)]
struct Undecided {
    version: i64,
    hash: String,
    reason: String,
    findings: Vec<Uuid>,
}

/// What the same turn of a rule tells on every finding.
#[derive(Debug)]
struct Alike {
    /// Because of what, for the audit.
    because: Document,
    /// What the event of an application came from.
    rule: Document,
    /// What follows the values in the payload of an event: its other members and the brace.
    others: String,
}

/// What an event of a rule's turn came from.
#[derive(Serialize)]
struct Because {
    rule: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke: Option<Json>,
}

/// What the event of a changed finding tells.
#[derive(Serialize)]
struct Updated<'a> {
    after: Fields<'a>,
    before: Fields<'a>,
    changed: &'a [&'static str],
}

/// Some fields of what is shown, by name.
struct Fields<'a> {
    shown: &'a Shown,
    fields: &'a [&'static str],
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|field| (field, self.shown.named(field))))
    }
}

impl Told {
    pub fn new(cause: Json) -> Self {
        let because = (!cause.is_null()).then(|| Document::of(&cause).shared());
        Self {
            cause,
            because,
            entries: Vec::new(),
            events: Vec::new(),
            turns: HashMap::default(),
            undecided: BTreeMap::new(),
        }
    }

    /// Makes room for what a pass over so many findings tells.
    pub(super) fn expect(&mut self, findings: usize, applications: usize) {
        self.entries.reserve(findings + applications);
        self.events.reserve(findings + applications);
    }

    /// The turn of a rule came on a finding, and it could not be decided whether it holds.
    pub(super) fn undecided(&mut self, finding: Uuid, rule: &LiveRule, reason: String) {
        let of_rule = || Undecided {
            version: rule.version,
            hash: rule.content_hash.clone(),
            reason,
            findings: Vec::new(),
        };
        self.undecided.entry(rule.id).or_insert_with(of_rule).findings.push(finding);
    }

    /// Audits each rule that could not be decided, with all the findings of this cause on which it could not.
    pub(super) fn audit_undecided(&mut self) {
        for (rule, undecided) in std::mem::take(&mut self.undecided) {
            let findings = undecided.findings.len();
            tracing::warn!(%rule, findings, reason = undecided.reason, "a rule could not be decided");
            let entry = AuditEntry::new(ERRORED, rule).after(Document::of(&undecided));
            self.entries.push(match &self.because {
                Some(because) => entry.because(because.clone()),
                None => entry,
            });
        }
    }

    /// The event of a new finding, told once the rules have had their say.
    pub fn born(&mut self, finding: &Finding) {
        let payload = json!({
            "project": finding.project, "asset": finding.asset,
            "severity": finding.shown.severity, "status": finding.shown.status,
            "scan": self.cause.get("scan"),
        });
        self.events.push(Event::new(EventKind::FindingCreated, finding.id, payload));
    }

    /// The event of a finding that came to be of another issue.
    pub fn linked(&mut self, finding: &Finding, before: Uuid) {
        if finding.issue != before {
            let payload = json!({ "changed": ["issue"], "before": issue_map(before), "after": issue_map(finding.issue) });
            self.events.push(Event::new(EventKind::FindingUpdated, finding.id, payload));
        }
    }

    /// The events of what a finding shows differently.
    pub fn shown(&mut self, finding: Uuid, before: &Shown, after: &Shown) {
        let mut changed = before.differences(after);
        let mut tell = |kind, payload: Document| {
            let event = Event::new(kind, finding, payload);
            self.events.push(match &self.because {
                Some(because) => event.caused_by(because.clone(), 0),
                None => event,
            });
        };
        if before.status != after.status {
            let payload = json!({ "before": before.status, "after": after.status });
            tell(EventKind::FindingStatusChanged, payload.into());
        }
        let assignees = [SetField::AssignedUsers, SetField::AssignedTeams];
        if assignees.iter().any(|field| changed.contains(&field.word())) {
            let [users, teams] = assignees.map(|field| after.set(field).to_vec());
            tell(EventKind::FindingAssigned, json!({ "users": users, "teams": teams }).into());
        }
        changed.retain(|field| !["status", "assigned_users", "assigned_teams"].contains(field));
        if !changed.is_empty() {
            let mut fields = changed.clone();
            fields.sort_unstable();
            let values = |shown| Fields { shown, fields: &fields };
            let told = Updated { after: values(after), before: values(before), changed: &changed };
            tell(EventKind::FindingUpdated, Document::of(&told));
        }
    }

    /// What a pass made a rule say.
    pub(super) fn application(&mut self, finding: Uuid, rule: &LiveRule, application: Application) {
        let Application { before, after, observed, turn, .. } = application;
        let rule = (rule.id, rule.version, rule.content_hash.as_str());
        let event = self.turn(finding, rule, turn, observed, (before, after));
        if let Some((event, from)) = event {
            self.events.push(event.caused_by(from, 1));
        }
    }

    /// What a rule said was taken back: not by an automation.
    pub fn turned(&mut self, finding: Uuid, turned: RuleTurn) {
        let RuleTurn { rule, turn, before, after } = turned;
        let because = Because { rule: rule.id, revoke: self.cause.get("revoke").cloned() };
        let rule = (rule.id, rule.version, rule.content_hash.as_str());
        if let Some((event, _)) = self.turn(finding, rule, turn, false, (before, after)) {
            self.events.push(event.caused_by(Document::of(&because), 0));
        }
    }

    /// Audits how what a rule says turned, and makes the event of it unless it is only observed, with
    /// the rule as what it came from.
    fn turn(
        &mut self,
        finding: Uuid,
        (rule, version, hash): (Uuid, i64, &str),
        turn: Turn,
        observed: bool,
        (before, after): (Values, Values),
    ) -> Option<(Event, Document)> {
        let alike = self
            .turns
            .entry((rule, turn.word()))
            .or_insert_with(|| Alike::of((rule, version, hash), turn, &self.cause));
        let event = (!observed).then(|| {
            let (after, before, others) = (after.as_str(), before.as_str(), alike.others.as_str());
            let payload = ["{\"after\":", after, ",\"before\":", before, ",", others].concat();
            let payload = Document::written(payload);
            (Event::new(EventKind::FindingRuleApplied, finding, payload), alike.rule.clone())
        });
        let entry = AuditEntry::new(if observed { OBSERVED } else { APPLIED }, finding)
            .before(Document::written(before.into_text()))
            .after(Document::written(after.into_text()))
            .because(alike.because.clone());
        self.entries.push(entry.of_rule(rule));
        event
    }
}

impl Alike {
    fn of((rule, version, hash): (Uuid, i64, &str), turn: Turn, cause: &Json) -> Self {
        let change = turn.word();
        let mut because = json!({ "rule": rule, "version": version, "hash": hash, "change": change });
        if let (Some(because), Some(cause)) = (because.as_object_mut(), cause.as_object()) {
            because.extend(cause.clone());
        }
        let others = Document::of(&Others { change, rule, version }).into_text();
        Self {
            because: Document::from(because).shared(),
            rule: Document::of(&Because { rule, revoke: None }).shared(),
            others: others.trim_start_matches('{').to_owned(),
        }
    }
}

/// What the event of a rule's turn tells beside the values.
#[derive(Serialize)]
struct Others {
    change: &'static str,
    rule: Uuid,
    version: i64,
}
