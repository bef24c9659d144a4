//! What changes of findings have to tell: the audit and whoever listens to events.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::change::{RuleTurn, issue_map};
use super::facts::Finding;
use super::layers::LayeredField;
use super::layers::SetField;
use super::shown::Shown;
use crate::event::catalogue::{Event, EventKind};
use crate::ledger::{AuditEntry, Document};
use crate::rule::application::{APPLIED, ERRORED, OBSERVED};
use crate::rule::pass::{Application, LiveRule, Turn};
use crate::rule::script::{Span, Texts};
use crate::vocabulary::terms::{Severity, Status};

/// What changes of one cause have to tell: their audit entries and their events.
#[derive(Debug)]
pub struct Told {
    cause: Json,
    /// The cause as events have it.
    because: Option<Document>,
    pub entries: Vec<AuditEntry>,
    pub events: Vec<Event>,
    /// What the turns of rules so far have alike, by the rule and the kind of the turn.
    turns: HashMap<(Uuid, Turn), Alike, foldhash::fast::RandomState>,
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
}

/// Because of what a rule's turn is audited.
#[derive(Serialize)]
struct Cause<'a> {
    rule: Uuid,
    version: i64,
    hash: &'a str,
    change: Turn,
    /// What made the turn come.
    #[serde(flatten)]
    cause: Option<&'a Map<String, Json>>,
}

/// What an event of a rule's turn came from.
#[derive(Serialize)]
struct Because {
    rule: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke: Option<Json>,
}

/// What the event of a new finding tells.
#[derive(Serialize)]
struct Created<'a> {
    project: Uuid,
    asset: Uuid,
    severity: Severity,
    status: Status,
    scan: Option<&'a Json>,
}

/// What the event of a finding of another status tells.
#[derive(Serialize)]
struct Moved {
    before: Status,
    after: Status,
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
        // What changes of a finding is an event or two beside those of the rules.
        self.events.reserve(2 * findings + applications);
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
        let payload = Document::of(&Created {
            project: finding.project,
            asset: finding.asset,
            severity: finding.shown.severity,
            status: finding.shown.status,
            scan: self.cause.get("scan"),
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
        let (mut moved, mut assigned, mut others) = (false, false, Vec::new());
        for field in before.differing(after) {
            match field {
                LayeredField::Status => moved = true,
                LayeredField::Set(SetField::AssignedUsers | SetField::AssignedTeams) => assigned = true,
                field => others.push(field),
            }
        }
        let mut tell = |kind, payload: Document| {
            let event = Event::new(kind, finding, payload);
            self.events.push(match &self.because {
                Some(because) => event.caused_by(because.clone(), 0),
                None => event,
            });
        };
        if moved {
            let moved = Moved { before: before.status, after: after.status };
            tell(EventKind::FindingStatusChanged, Document::of(&moved));
        }
        if assigned {
            tell(EventKind::FindingAssigned, assigned_now(after));
        }
        if !others.is_empty() {
            tell(EventKind::FindingUpdated, updated(before, after, &others));
        }
    }

    /// What a pass made a rule say, which is told in `texts`.
    pub(super) fn application(
        &mut self,
        finding: Uuid,
        rule: &LiveRule,
        application: &Application<'_>,
        texts: &Texts,
    ) {
        let rule = (rule.id, rule.version, rule.content_hash.as_str());
        let told = (texts, application.span());
        let from = self.turn(finding, rule, application.turn, application.observed, told);
        if !application.observed {
            self.events.push(Event {
                kind: EventKind::FindingRuleApplied,
                subject: finding,
                cause: Some(from),
                depth: 1,
                payload: texts.payload(application.span()),
            });
        }
    }

    /// What a rule said was taken back: not by an automation.
    pub fn turned(&mut self, finding: Uuid, turned: &RuleTurn) {
        let RuleTurn { rule, turn, texts, span } = turned;
        let because = Because { rule: rule.id, revoke: self.cause.get("revoke").cloned() };
        let rule = (rule.id, rule.version, rule.content_hash.as_str());
        self.turn(finding, rule, *turn, false, (texts, *span));
        let event = Event::new(EventKind::FindingRuleApplied, finding, texts.payload(*span));
        self.events.push(event.caused_by(Document::of(&because), 0));
    }

    /// Audits how what a rule says turned. Returns the rule as what an event of it came from.
    fn turn(
        &mut self,
        finding: Uuid,
        (rule, version, hash): (Uuid, i64, &str),
        turn: Turn,
        observed: bool,
        (texts, span): (&Texts, Span),
    ) -> Document {
        let alike = self
            .turns
            .entry((rule, turn))
            .or_insert_with(|| Alike::of((rule, version, hash), turn, &self.cause));
        self.entries.push(AuditEntry {
            action: if observed { OBSERVED } else { APPLIED },
            record: finding,
            before: Some(texts.before(span)),
            after: Some(texts.after(span)),
            cause: Some(alike.because.clone()),
            rule: Some(rule),
        });
        alike.rule.clone()
    }
}

/// What the event of a finding of other people tells: `{"teams": […], "users": […]}`.
fn assigned_now(after: &Shown) -> Document {
    let mut text = String::with_capacity(128);
    for (begin, field) in [("{\"teams\":", SetField::AssignedTeams), (",\"users\":", SetField::AssignedUsers)]
    {
        text.push_str(begin);
        after.value(LayeredField::Set(field)).write(&mut text);
    }
    text.push('}');
    Document::written(text)
}

/// What the event of a changed finding tells: `{"after": {…}, "before": {…}, "changed": […]}`.
fn updated(before: &Shown, after: &Shown, changed: &[LayeredField]) -> Document {
    let mut text = String::with_capacity(256);
    text.push_str("{\"after\":");
    after.write(changed, &mut text);
    text.push_str(",\"before\":");
    before.write(changed, &mut text);
    // Names of fields have nothing to escape.
    let mut part = ",\"changed\":[\"";
    for field in changed {
        text.push_str(part);
        text.push_str(field.word());
        part = "\",\"";
    }
    text.push_str("\"]}");
    Document::written(text)
}

impl Alike {
    fn of((rule, version, hash): (Uuid, i64, &str), change: Turn, cause: &Json) -> Self {
        let because = Cause { rule, version, hash, change, cause: cause.as_object() };
        Self {
            because: Document::of(&because).shared(),
            rule: Document::of(&Because { rule, revoke: None }).shared(),
        }
    }
}
