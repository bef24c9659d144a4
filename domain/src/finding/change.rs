//! The one way in which a finding changes.
//!
//! Whoever wants a finding to change, a report, a rule, a person, says so with a [`Change`]. It
//! adds and withdraws entries of the layers, and answers with what the audit has to know; a change
//! that changes nothing answers with nothing.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::acceptance::Acceptance;
use super::facts::{Evidence, Finding, Sighting};
use super::issue;
use super::layers::{Grounds, Layer, Layers, RevokeMode, ScalarField, SetField, Source, Statement, revoke};
use super::lifecycle;
use super::shown::Shown;
use super::told::Told;
use crate::error::{Code, Error, Result};
use crate::intake::report::ReportedAsset;
use crate::intel::fact::Known;
use crate::ledger::AuditEntry;
use crate::rule::pass::{Applied, LiveRule, Passed, Turn};
use crate::rule::script::{Script, Signature, Span, Texts};
use crate::vocabulary::terms::{Status, Term};
use crate::vocabulary::time::Timestamp;

/// What is to happen to a finding.
#[derive(Clone, Debug)]
pub enum Change {
    /// A scan saw it.
    Sighted { evidence: Box<Evidence>, facts: Vec<Statement>, seen_at: Timestamp, by: Sighting },
    /// A complete report of its series did not name it any more.
    Gone { at: Timestamp },
    /// Feeds and VEX documents say anew what is known of its vulnerability on this asset.
    Informed { known: Arc<Known>, asset: ReportedAsset },
    /// Somebody says what it is.
    Said { source: Source, statements: Vec<Statement> },
    /// Somebody says which issue it is of: one of its own, for none.
    Linked { by: Uuid, issue: Option<Uuid> },
    /// Somebody moves its lifecycle, and may say why.
    Moved { source: Source, status: Status, grounds: Grounds, at: Timestamp },
    /// A person bears its risk, in the place of whoever did before.
    Accepted { acceptance: Box<Acceptance> },
    /// The end date of its acceptance has come: that of a rule, or else a person's.
    Lapsed { rule: Option<Uuid> },
    /// What people said of these fields is dropped.
    Released { scalars: Vec<ScalarField>, sets: Vec<SetField>, status: bool, issue: bool },
    /// What a rule says is taken back. `rules`: those that may have spoken, the rule itself among them.
    Revoked { rule: Uuid, mode: RevokeMode, rules: Arc<Vec<RuleAt>> },
}

/// A rule as it stands, for what is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleAt {
    pub id: Uuid,
    pub version: i64,
    pub content_hash: String,
}

/// How what a rule says of a finding turned, without a pass.
#[derive(Debug)]
pub struct RuleTurn {
    pub(super) rule: RuleAt,
    pub(super) turn: Turn,
    /// What is told, and where in that it stands.
    pub(super) texts: Texts,
    pub(super) span: Span,
}

impl Finding {
    /// A new finding for the audit, as its scanner or the person who entered it gave it.
    pub fn created(&self, cause: &Json) -> AuditEntry {
        let mut after = Map::new();
        after.insert("project".to_owned(), json!(self.project));
        after.insert("asset".to_owned(), json!(self.asset));
        after.insert("class".to_owned(), json!(self.evidence.class));
        after.insert("scanner_source".to_owned(), json!(self.evidence.scanner_source));
        after.insert("status".to_owned(), json!(self.shown.status));
        after.extend(values_of(&self.layers, Layer::Scanner));
        let entry = AuditEntry::new("finding.created", self.id).after(Json::from(after));
        if cause.is_null() { entry } else { entry.because(cause.clone()) }
    }

    /// Makes the change, and says what happened for the audit: nothing, if nothing did. `cause` is
    /// written into each entry.
    ///
    /// # Errors
    ///
    /// `ILLEGAL_STATE` where the lifecycle does not allow a move.
    pub fn change(&mut self, change: Change, cause: &Json) -> Result<Vec<AuditEntry>> {
        let entry = |action, before: Map<String, Json>, after: Map<String, Json>| {
            let entry = AuditEntry::new(action, self.id).before(Json::from(before)).after(Json::from(after));
            if cause.is_null() { entry } else { entry.because(cause.clone()) }
        };
        let before = self.shown.clone();
        let mut entries = Vec::new();
        match change {
            Change::Sighted { evidence, facts, seen_at, by } => {
                if seen_at < self.last_seen_at {
                    return Ok(entries);
                }
                self.last_seen_at = seen_at;
                self.sighting = Some(by);
                let (mut was, mut is) = (Map::new(), Map::new());
                evidence_differences(&self.evidence, &evidence, &mut was, &mut is);
                let said = values_of(&self.layers, Layer::Scanner);
                self.layers.refresh(facts);
                map_differences(said, values_of(&self.layers, Layer::Scanner), &mut was, &mut is);
                self.evidence = *evidence;
                if !was.is_empty() || !is.is_empty() {
                    entries.push(entry("finding.refreshed", was, is));
                }
                let status = self.layers.status().lifecycle.value;
                if let Some(next) = lifecycle::seen(status)
                    && self.closed_at.is_none_or(|closed| closed < seen_at)
                {
                    self.layers.move_to(Source::SCANNER, next);
                    self.closed_at = None;
                    entries.push(entry("finding.status_changed", status_map(status), status_map(next)));
                }
            }
            Change::Gone { at } => {
                self.sighting = self.sighting.map(|sighting| Sighting { present: false, ..sighting });
                let status = self.layers.status().lifecycle.value;
                if let Some(next) = lifecycle::gone(status) {
                    self.layers.move_to(Source::SCANNER, next);
                    self.closed_at = Some(at);
                    entries.push(entry(
                        "finding.status_changed",
                        status_map(before.status),
                        status_map(next),
                    ));
                }
            }
            Change::Informed { known, asset } => {
                let mut said = known.statements(&self.layers);
                said.extend(known.vex.judge(self, &asset));
                if said.is_empty() && !self.layers.has_intel() {
                    return Ok(entries);
                }
                let layers = self.layers.clone();
                self.layers.inform(said);
                if self.layers != layers {
                    let (mut was, mut is) = (Map::new(), Map::new());
                    let [before, after] = [&layers, &self.layers].map(|l| values_of(l, Layer::Intel));
                    map_differences(before, after, &mut was, &mut is);
                    entries.push(entry("finding.informed", was, is));
                }
            }
            Change::Said { source, statements } => {
                let layers = self.layers.clone();
                for statement in statements {
                    self.layers.say(source, statement);
                }
                if self.layers != layers {
                    let (was, is) = shown_differences(&before, &Shown::of(&self.layers));
                    entries.push(entry("finding.updated", was, is));
                }
            }
            Change::Linked { by, issue } => {
                let (was, is) = (self.issue, issue.unwrap_or(self.id));
                if was == is && self.issue_by.is_some() {
                    return Ok(entries);
                }
                (self.issue, self.issue_by) = (is, Some(by));
                entries.push(entry("finding.linked", issue_map(was), issue_map(is)));
            }
            Change::Moved { source, status, grounds, at } => {
                let stood = self.layers.status();
                // Saying again what is shown makes a rule's acceptance, or a scan's word, one's own.
                let stands = stood.lifecycle.value == status && before.status == status;
                let said = grounds.is_empty() || grounds == stood.grounds;
                if stands && stood.lifecycle.source == source && said {
                    return Ok(entries);
                }
                self.allow_move(status)?;
                self.layers.move_to(source, status);
                self.layers.justify(grounds);
                self.closed_at = (!status.is_active()).then_some(at);
                entries.push(entry(
                    "finding.status_changed",
                    status_map(before.status),
                    status_map(self.layers.status().shown()),
                ));
            }
            Change::Accepted { acceptance } => {
                let status = Status::AcceptedRisk;
                self.allow_move(status)?;
                let again = self.is_accepted();
                let by = acceptance.by.map_or(Source::SCANNER, Source::human);
                self.layers.move_to(by, status);
                self.closed_at = self.closed_at.filter(|_| again).or(Some(acceptance.at));
                let mut after = status_map(status);
                after.insert("acceptance".to_owned(), acceptance.terms.json());
                let action = if again { "finding.acceptance_changed" } else { "finding.status_changed" };
                entries.push(entry(action, status_map(before.status), after));
            }
            Change::Lapsed { rule } => {
                match rule {
                    Some(rule) => self.layers.retract_verdict(rule),
                    None if self.is_accepted() => {
                        self.layers.move_to(Source::SCANNER, Status::Open);
                        self.closed_at = None;
                    }
                    None => {}
                }
                let after = self.layers.status().shown();
                if after != before.status {
                    entries.push(entry(
                        "finding.status_changed",
                        status_map(before.status),
                        status_map(after),
                    ));
                }
            }
            Change::Released { scalars, sets, status, issue } => {
                if issue && self.issue_by.take().is_some() {
                    let is = issue::by_rule(self.id, self.asset, &self.evidence, &self.shown);
                    entries.push(entry("finding.linked", issue_map(self.issue), issue_map(is)));
                }
                let layers = self.layers.clone();
                self.layers.release(&scalars, &sets, status);
                if self.layers != layers {
                    let (was, is) = shown_differences(&before, &Shown::of(&self.layers));
                    entries.push(entry("finding.released", was, is));
                }
            }
            Change::Revoked { rule, mode, .. } => {
                let layers = self.layers.clone();
                revoke(&mut self.layers, rule, mode);
                if self.layers.status().lifecycle != layers.status().lifecycle {
                    self.closed_at = None;
                }
                entries.extend(self.released(&layers, &before, cause));
            }
        }
        self.shown = Shown::of(&self.layers);
        self.correlate();
        Ok(entries)
    }

    /// Refuses a person's or a runbook's move that the lifecycle does not have.
    fn allow_move(&self, status: Status) -> Result<()> {
        let shown = self.shown.status;
        if shown == status || lifecycle::moves(shown).contains(&status) {
            return Ok(());
        }
        let message = format!("A finding that is {shown} cannot become {status}.");
        Err(Error::new(Code::IllegalState, message).at("status"))
    }

    /// What of people's and runbooks' words went with what a rule said, one entry each.
    fn released(&self, layers: &Layers, before: &Shown, cause: &Json) -> Vec<AuditEntry> {
        let after = Shown::of(&self.layers);
        let lost = |source: Source| {
            let kept = self.layers.words_of(source);
            let words = layers.words_of(source);
            let mut fields: Vec<&'static str> =
                words.iter().filter(|word| !kept.contains(word)).map(|word| word.field().word()).collect();
            let lifecycle = [layers, &self.layers].map(|layers| layers.status().lifecycle.source == source);
            fields.extend((lifecycle == [true, false]).then_some("status"));
            fields.sort_unstable();
            fields.dedup();
            fields
        };
        let entry = |(source, fields): (Source, Vec<&'static str>)| {
            let values = |shown: &Shown| -> Json {
                fields
                    .iter()
                    .map(|field| ((*field).to_owned(), shown.json(field)))
                    .collect::<Map<_, _>>()
                    .into()
            };
            let mut because = cause.as_object().cloned().unwrap_or_default();
            because.insert("said_by".to_owned(), json!(source));
            AuditEntry::new("finding.released", self.id)
                .before(values(before))
                .after(values(&after))
                .because(Json::from(because))
        };
        let lost = layers.deciders().into_iter().map(|source| (source, lost(source)));
        lost.filter(|(_, fields)| !fields.is_empty()).map(entry).collect()
    }

    /// How what rules say turned since the finding had these layers and showed this.
    pub fn rule_turns(&self, layers: &Layers, shown: &Shown, rules: &[RuleAt]) -> Vec<RuleTurn> {
        let turn = |rule: &RuleAt| {
            let source = Source::rule(rule.id);
            let (then, now) = (layers.words_of(source), self.layers.words_of(source));
            let turn = match (then == now, now.is_empty()) {
                (true, _) => return None,
                (false, true) => Turn::Withdrawn,
                (false, false) => Turn::Changed,
            };
            let turned: Vec<Statement> = then.into_iter().filter(|word| !now.contains(word)).collect();
            let mut script = Script::default();
            let begun = script.begin(shown, &turned);
            let span = script.end(begun, (&self.shown, &turned), turn, &Signature::of(rule.id, rule.version));
            Some(RuleTurn { rule: rule.clone(), turn, texts: script.finish(), span })
        };
        rules.iter().filter_map(turn).collect()
    }

    /// Puts the finding in the issue that the rule says, unless a person said which.
    pub(crate) fn correlate(&mut self) {
        if self.issue_by.is_none() {
            self.issue = issue::by_rule(self.id, self.asset, &self.evidence, &self.shown);
        }
    }

    /// Takes over what a pass made of the finding, and says so for the audit and the events. Returns
    /// what it showed until then.
    pub fn take(&mut self, passed: Passed<'_>, rules: &[LiveRule], told: &mut Told) -> Shown {
        let Applied { before, applications, texts, errors } = passed.apply(self);
        for application in &applications {
            told.application(self.id, &rules[application.rule], application, &texts);
        }
        for (rule, error) in errors {
            told.undecided(self.id, &rules[rule], error);
        }
        before
    }
}

pub(super) fn issue_map(issue: Uuid) -> Map<String, Json> {
    Map::from_iter([("issue".to_owned(), json!(issue))])
}

fn status_map(status: Status) -> Map<String, Json> {
    Map::from_iter([("status".to_owned(), json!(status))])
}

/// What a layer says, by field: of a scalar its last word.
pub(crate) fn values_of(layers: &Layers, layer: Layer) -> Map<String, Json> {
    let says = |source: Source| source.layer == layer;
    let scalars = ScalarField::ALL.iter().filter_map(|field| {
        let said = layers.stack(*field).iter().rfind(|entry| says(entry.source))?;
        Some((field.word().to_owned(), said.value.as_ref()?.json()))
    });
    let sets = SetField::ALL.iter().filter_map(|field| {
        let said: Vec<&str> = layers
            .elements(*field)
            .filter(|(_, stack)| stack.iter().any(|entry| says(entry.source) && entry.value))
            .map(|(element, _)| element)
            .collect();
        (!said.is_empty()).then(|| (field.word().to_owned(), json!(said)))
    });
    let verdicts = layers.status().verdicts.entries().iter();
    let verdict = verdicts.filter(|entry| says(entry.source));
    let verdict = verdict.map(|entry| ("verdict".to_owned(), json!(entry.value)));
    scalars.chain(sets).chain(verdict).collect()
}

/// The members in which two maps differ; one that is missing is null.
fn map_differences(
    was: Map<String, Json>,
    is: Map<String, Json>,
    before: &mut Map<String, Json>,
    after: &mut Map<String, Json>,
) {
    for (field, value) in &was {
        if is.get(field) != Some(value) {
            after.insert(field.clone(), is.get(field).cloned().unwrap_or(Json::Null));
        }
    }
    for (field, value) in is {
        if was.get(&field) != Some(&value) {
            before.insert(field.clone(), was.get(&field).cloned().unwrap_or(Json::Null));
            after.insert(field, value);
        }
    }
    for (field, value) in was {
        if after.contains_key(&field) {
            before.insert(field, value);
        }
    }
}

fn shown_differences(was: &Shown, is: &Shown) -> (Map<String, Json>, Map<String, Json>) {
    let fields = was.differences(is);
    let values = |shown: &Shown| fields.iter().map(|f| ((*f).to_owned(), shown.json(f))).collect();
    (values(was), values(is))
}

fn evidence_differences(
    was: &Evidence,
    is: &Evidence,
    before: &mut Map<String, Json>,
    after: &mut Map<String, Json>,
) {
    if was == is {
        return;
    }
    map_differences(was.json(), is.json(), before, after);
}

impl Evidence {
    /// The members of its JSON.
    pub(crate) const FIELDS: &[&str] = &[
        "class",
        "description",
        "scanner_source",
        "scanner_category",
        "scanner_reference",
        "endpoint",
        "port",
        "component_name",
        "component_version",
        "component_purl",
        "fixed_version",
        "fix_available",
        "file_path",
        "line",
        "references",
        "excerpt",
    ];

    /// The evidence by field, without what is missing.
    pub(crate) fn json(&self) -> Map<String, Json> {
        let all = json!({
            "class": self.class, "description": self.description, "scanner_source": self.scanner_source,
            "scanner_category": self.scanner_category, "scanner_reference": self.scanner_reference,
            "endpoint": self.endpoint, "port": self.port,
            "component_name": self.component_name, "component_version": self.component_version,
            "component_purl": self.component_purl,
            "fixed_version": self.fixed_version, "fix_available": self.fix_available,
            "file_path": self.file_path, "line": self.line, "references": self.references,
            "excerpt": self.excerpt,
        });
        match all {
            Json::Object(all) => all.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            _ => Map::new(),
        }
    }
}
