//! The pass: what the rules make of a finding. Pure, and `pass(pass(x)) = pass(x)`.
//!
//! It starts from the *base*, all entries but those of the rules it evaluates, and walks those rules
//! in order; each sees what the earlier ones made of the finding. It yields their entries anew, so
//! that what no longer holds falls away. What a runbook or a person settled is read, never touched;
//! a finding that is not active on the base is left as it is; the walk ends where a rule makes it
//! inactive. A rule whose criteria end in an error keeps what it said: an error is neither a match
//! nor a silent no-match. A rule that a finding is exempt from says nothing of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::action::Action;
use crate::finding::facts::{Facts, Finding, Shown};
use crate::finding::layers::{Layers, ScalarField, SetField, Source, Statement};
use crate::inventory::asset::Asset;
use crate::vocabulary::criteria::{Compiled, Explanation, Outcome, ReadFault, Subject, Value};
use crate::vocabulary::field::finding::FindingField;
use crate::vocabulary::terms::{Term, terms};
use crate::vocabulary::time::Timestamp;

terms! {
    /// Whether a rule is evaluated, and whether what it says is shown.
    Mode { Off = "OFF", Observe = "OBSERVE", Enforce = "ENFORCE" }

    /// How a rule's entries on a finding changed.
    Turn { Added = "ADDED", Changed = "CHANGED", Withdrawn = "WITHDRAWN" }
}

/// A rule as the pass evaluates it: live, unexpired, in ENFORCE or OBSERVE.
#[derive(Debug)]
pub struct LiveRule {
    pub id: Uuid,
    pub name: String,
    pub version: i64,
    pub content_hash: String,
    /// ENFORCE, or else OBSERVE.
    pub enforced: bool,
    /// The compiled criteria, or why they no longer compile.
    pub criteria: Result<Compiled, String>,
    pub action: Action,
}

impl LiveRule {
    /// What the rule has said of a finding, or would have said.
    fn said_in(&self, layers: &Layers) -> Vec<Statement> {
        if self.enforced {
            layers.said_by(self.id)
        } else {
            layers.observed().get(&self.id).cloned().unwrap_or_default()
        }
    }
}

/// Which rules do not speak of which findings: what they said there was taken back. It holds for the
/// rule as it was then: one that changed speaks again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exempt(HashMap<Uuid, Vec<(Uuid, String)>>);

impl Exempt {
    pub fn add(&mut self, finding: Uuid, rule: Uuid, content_hash: String) {
        self.0.entry(finding).or_default().push((rule, content_hash));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules that a finding is exempt from, each with the hash that it had.
    pub fn of(&self, finding: Uuid) -> &[(Uuid, String)] {
        self.0.get(&finding).map_or(&[], Vec::as_slice)
    }

    fn silences(&self, rule: &LiveRule, finding: Uuid) -> bool {
        self.of(finding).iter().any(|(id, hash)| *id == rule.id && *hash == rule.content_hash)
    }
}

/// The application of one rule to one finding: the difference that a pass made.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// The place of the rule in the walk.
    pub rule: usize,
    pub turn: Turn,
    /// What the rule would say but, being observed, does not.
    pub observed: bool,
    /// The fields it speaks of, as they were before it spoke and after.
    pub before: Values,
    pub after: Values,
}

/// Some fields and their values, by name: a JSON object, written once for all who tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values(String);

impl Values {
    /// The fields that `statements` speak of, as `shown` shows them.
    pub(crate) fn of(shown: &Shown, statements: &[Statement]) -> Self {
        let mut text = Vec::with_capacity(48);
        match statements {
            // Nearly all that rules say is of one field.
            [first, others @ ..] if others.iter().all(|other| other.field() == first.field()) => {
                member(&mut text, first, shown);
            }
            _ => {
                let mut fields: Vec<&Statement> = statements.iter().collect();
                fields.sort_unstable_by_key(|statement| statement.field());
                fields.dedup_by_key(|statement| statement.field());
                fields.into_iter().for_each(|statement| member(&mut text, statement, shown));
            }
        }
        if text.is_empty() {
            text.push(b'{');
        }
        text.push(b'}');
        Self(String::from_utf8(text).expect("JSON is text"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_text(self) -> String {
        self.0
    }

    /// The names of the fields.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> {
        let members = self.members();
        let scalars = ScalarField::ALL.iter().map(|field| field.word());
        let sets = SetField::ALL.iter().map(|field| field.word());
        scalars.chain(sets).chain(["status"]).filter(move |field| members.contains_key(*field))
    }

    /// The values by field.
    pub fn members(&self) -> Map<String, Json> {
        serde_json::from_str(&self.0).expect("it was written as an object")
    }
}

/// Writes the field that `statement` speaks of, after an opening brace or the members so far.
fn member(text: &mut Vec<u8>, statement: &Statement, shown: &Shown) {
    text.push(if text.is_empty() { b'{' } else { b',' });
    // Names of fields have nothing to escape.
    text.push(b'"');
    text.extend_from_slice(statement.field().as_bytes());
    text.extend_from_slice(b"\":");
    serde_json::to_writer(text, &shown.spoken(statement)).expect("values are text, numbers and lists");
}

/// What a pass makes of a finding.
#[derive(Debug, PartialEq)]
pub struct Passed {
    entries: Entries,
    pub shown: Shown,
    pub applications: Vec<Application>,
    /// The rules whose criteria could not be decided, and why.
    pub errors: Vec<(usize, String)>,
}

/// What a pass makes of the entries of a finding.
#[derive(Debug, PartialEq)]
enum Entries {
    /// None of the rules had said or observed anything before: these are more of the same. By far most
    /// findings are so, and have their layers left where they are.
    More { said: Vec<(Uuid, Vec<Statement>)>, observed: BTreeMap<Uuid, Vec<Statement>> },
    /// Layers in the place of those that it had.
    Anew(Layers),
}

impl Passed {
    /// The layers of the finding after the pass; `before` it they were these.
    pub fn layers(&self, before: &Layers) -> Layers {
        match &self.entries {
            Entries::Anew(layers) => layers.clone(),
            Entries::More { said, observed } => {
                let mut layers = before.clone();
                add(&mut layers, said.clone(), observed.clone());
                layers
            }
        }
    }

    /// Whether the pass changes the layers, which before it are these.
    pub(crate) fn changes(&self, before: &Layers) -> bool {
        self.entries.change(before)
    }

    /// Makes of the finding what the pass made of it, and returns what it showed until then, with what
    /// is to be told.
    pub fn apply(self, finding: &mut Finding) -> (Shown, Vec<Application>, Vec<(usize, String)>) {
        match self.entries {
            Entries::Anew(layers) => finding.layers = layers,
            Entries::More { said, observed } => add(&mut finding.layers, said, observed),
        }
        (std::mem::replace(&mut finding.shown, self.shown), self.applications, self.errors)
    }
}

impl Entries {
    fn change(&self, before: &Layers) -> bool {
        match self {
            Self::Anew(layers) => layers != before,
            Self::More { said, observed } => !said.is_empty() || observed != before.observed(),
        }
    }
}

/// Lets rules say more; what they would have said takes the place of what they would have before.
fn add(layers: &mut Layers, said: Vec<(Uuid, Vec<Statement>)>, observed: BTreeMap<Uuid, Vec<Statement>>) {
    for (rule, statements) in said {
        statements.into_iter().for_each(|statement| layers.say(Source::rule(rule), statement));
    }
    layers.observe(observed);
}

/// What one rule said at its turn.
struct Said {
    rule: usize,
    observed: bool,
    statements: Vec<Statement>,
    before: Values,
    after: Values,
}

/// One finding on its way past the rules, which take their turns in order.
pub struct Walk<'a> {
    finding: &'a Finding,
    asset: &'a Asset,
    /// The rules that have entries on the finding, or would have, by their place in the walk.
    known: Vec<usize>,
    base: Cow<'a, Layers>,
    /// Whether anything on the base is settled: on most findings nothing is.
    settled: bool,
    /// What the rules so far have made of it.
    shown: Cow<'a, Shown>,
    said: Vec<Said>,
    errors: Vec<(usize, String)>,
}

/// Walks `rules` over a finding whose layers are `finding.layers`. `None`: nothing changes.
pub fn pass(
    finding: &Finding,
    asset: &Asset,
    rules: &[LiveRule],
    exempt: &Exempt,
    now: Timestamp,
) -> Option<Passed> {
    let mut walk = Walk::new(finding, asset, rules, |id| rules.iter().position(|rule| rule.id == id));
    for (at, rule) in rules.iter().enumerate() {
        if !walk.is_active() {
            break;
        }
        if !exempt.silences(rule, finding.id) {
            walk.ask(at, rule, now);
        }
    }
    walk.end(rules)
}

/// Why the criteria of the rule at `at` hold for a finding when its turn comes, or do not. `None`: it
/// does not come, as the finding is not active by then; or the criteria no longer compile.
pub fn explain(
    finding: &Finding,
    asset: &Asset,
    rules: &[LiveRule],
    exempt: &Exempt,
    at: usize,
    now: Timestamp,
) -> Option<Explanation> {
    let mut walk = Walk::new(finding, asset, rules, |id| rules.iter().position(|rule| rule.id == id));
    for (place, rule) in rules[..at].iter().enumerate() {
        if !walk.is_active() {
            break;
        }
        if !exempt.silences(rule, finding.id) {
            walk.ask(place, rule, now);
        }
    }
    let criteria = rules[at].criteria.as_ref().ok().filter(|_| walk.is_active())?;
    Some(criteria.explain(&walk, now))
}

/// Why the turn of a rule is an error.
pub(super) const UNDECIDED: &str = "the criteria could not be decided";

impl Subject for Walk<'_> {
    fn read(&self, field: usize) -> Result<Value<'_>, ReadFault> {
        let facts = Facts { finding: self.finding, asset: self.asset, shown: &self.shown };
        Ok(facts.value(FindingField::ALL[field]))
    }
}

impl<'a> Walk<'a> {
    /// A finding before the first turn. `place`: where in the walk a rule is, if it is evaluated.
    pub fn new(
        finding: &'a Finding,
        asset: &'a Asset,
        rules: &[LiveRule],
        place: impl Fn(Uuid) -> Option<usize>,
    ) -> Self {
        let layers = &finding.layers;
        let evaluated = |rule: Uuid| place(rule).filter(|at| rules[*at].enforced);
        let mut known: Vec<usize> = layers.rules().into_iter().filter_map(evaluated).collect();
        // Most findings were never touched by a rule: their base is what they are.
        let (base, shown) = if known.is_empty() {
            (Cow::Borrowed(layers), Cow::Borrowed(&finding.shown))
        } else {
            let base = layers.without(|rule| evaluated(rule).is_some());
            let shown = Shown::of(&base);
            (Cow::Owned(base), Cow::Owned(shown))
        };
        known.extend(layers.observed().keys().filter_map(|rule| place(*rule)));
        let settled = base.has_settled();
        Self { finding, asset, known, base, settled, shown, said: Vec::new(), errors: Vec::new() }
    }

    /// Whether the walk goes on: the finding is active, on the base and after the turns so far.
    pub fn is_active(&self) -> bool {
        self.shown.status.is_active()
    }

    /// Asks the criteria of a rule, and lets it speak if they hold.
    fn ask(&mut self, at: usize, rule: &LiveRule, now: Timestamp) {
        let turn = match &rule.criteria {
            Err(reason) => Err(reason.as_str()),
            Ok(criteria) => match criteria.matches(self, now) {
                Outcome::False => return,
                Outcome::True => Ok(None),
                Outcome::Error => Err(UNDECIDED),
            },
        };
        self.turn(at, rule, turn, now, |_| {});
    }

    /// Lets a rule speak whose criteria hold, or could not be decided for the reason given: then it
    /// says what it said before. `fixed`: what it says of every finding, if that is known. `changed` is
    /// told what shows another value from now on.
    pub fn turn(
        &mut self,
        at: usize,
        rule: &LiveRule,
        holds: Result<Option<&[Statement]>, &str>,
        now: Timestamp,
        mut changed: impl FnMut(&Statement),
    ) {
        let says = match holds {
            Ok(Some(fixed)) => Cow::Borrowed(fixed),
            Ok(None) => Cow::Owned(rule.action.statements(&self.shown, now)),
            Err(error) => {
                self.errors.push((at, error.to_owned()));
                Cow::Owned(rule.said_in(&self.finding.layers))
            }
        };
        let stands = |statement: &Statement| {
            self.shown.says(statement) || self.settled && self.base.is_settled(statement)
        };
        let statements: Vec<Statement> =
            says.iter().filter(|statement| !stands(statement)).cloned().collect();
        if statements.is_empty() {
            return;
        }
        let before = Values::of(&self.shown, &statements);
        let shown = self.shown.to_mut();
        let after = if rule.enforced {
            for statement in &statements {
                shown.show(statement);
                changed(statement);
            }
            Values::of(shown, &statements)
        } else {
            let mut undoing = Vec::with_capacity(statements.len());
            for statement in &statements {
                undoing.push(shown.undoing(statement));
                shown.show(statement);
            }
            let after = Values::of(shown, &statements);
            undoing.iter().rev().for_each(|statement| shown.show(statement));
            after
        };
        self.said.push(Said { rule: at, observed: !rule.enforced, statements, before, after });
    }

    /// What all turns together make of the finding. `None`: nothing changes.
    pub fn end(self, rules: &[LiveRule]) -> Option<Passed> {
        let Self { finding, known, base, shown, mut said, errors, .. } = self;
        // Without rules there is nothing to say, but what a rule that is gone would have said is to go.
        if said.is_empty() && known.is_empty() && errors.is_empty() && finding.layers.observed().is_empty() {
            return None;
        }
        if !base.status().shown().is_active() {
            return None;
        }
        let (mut more, mut observed) = (Vec::new(), BTreeMap::new());
        for turn in &mut said {
            let (id, statements) = (rules[turn.rule].id, std::mem::take(&mut turn.statements));
            if turn.observed {
                observed.insert(id, statements);
            } else {
                more.push((id, statements));
            }
        }
        let entries = match base {
            Cow::Borrowed(_) if known.is_empty() => Entries::More { said: more, observed },
            base => {
                let mut layers = base.into_owned();
                add(&mut layers, more, observed);
                Entries::Anew(layers)
            }
        };
        if !entries.change(&finding.layers) && errors.is_empty() {
            return None;
        }
        let applications = match &entries {
            Entries::More { .. } => said.into_iter().map(Said::added).collect(),
            Entries::Anew(layers) => applications(finding, &shown, rules, layers, known, said),
        };
        Some(Passed { entries, shown: shown.into_owned(), applications, errors })
    }
}

impl Said {
    /// The application of a rule that had said nothing before.
    fn added(self) -> Application {
        let Self { rule, observed, before, after, .. } = self;
        Application { rule, turn: Turn::Added, observed, before, after }
    }
}

/// The difference between what each rule said before and says now, in the order of the walk.
fn applications(
    finding: &Finding,
    shown: &Shown,
    rules: &[LiveRule],
    layers: &Layers,
    mut known: Vec<usize>,
    said: Vec<Said>,
) -> Vec<Application> {
    known.sort_unstable();
    let mut places: Vec<usize> = known.iter().copied().chain(said.iter().map(|turn| turn.rule)).collect();
    places.sort_unstable();
    places.dedup();
    let mut said = said.into_iter().peekable();
    let mut applications = Vec::with_capacity(places.len());
    for at in places {
        let rule = &rules[at];
        let (before, after, kind) = match said.next_if(|turn| turn.rule == at) {
            // Most had said nothing before.
            Some(turn) if known.binary_search(&at).is_err() => {
                applications.push(turn.added());
                continue;
            }
            turn => {
                let (then, now) = (rule.said_in(&finding.layers), rule.said_in(layers));
                let kind = match (then.is_empty(), now.is_empty()) {
                    (true, true) => continue,
                    _ if then == now && !comes_to_show(&finding.shown, shown, turn.as_ref()) => continue,
                    (true, false) => Turn::Added,
                    (false, true) => Turn::Withdrawn,
                    (false, false) => Turn::Changed,
                };
                match turn {
                    Some(turn) => (turn.before, turn.after, kind),
                    None => (Values::of(&finding.shown, &then), Values::of(shown, &then), kind),
                }
            }
        };
        applications.push(Application { rule: at, turn: kind, observed: !rule.enforced, before, after });
    }
    applications
}

/// Whether what the rule says, though it is what it said before, only now is what is shown: the
/// order of the rules changed.
fn comes_to_show(then: &Shown, now: &Shown, turn: Option<&Said>) -> bool {
    let text = |shown: &Shown, field: &str| shown.json(field).to_string();
    turn.is_some_and(|turn| {
        let after: BTreeMap<&str, &RawValue> =
            serde_json::from_str(turn.after.as_str()).expect("it was written as an object");
        after
            .into_iter()
            .any(|(field, value)| text(now, field) == value.get() && text(then, field) != value.get())
    })
}

/// The badge of a rule whose entry is on top: `Rule 'No Exploit Critical to High': severity
/// critical to high`.
pub fn badge(rule: &str, field: &str, before: &Json, after: &Json) -> String {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Null => "none".to_owned(),
        other => other.to_string(),
    };
    format!("Rule '{rule}': {field} {} to {}", text(before), text(after))
}

/// What the rules show on a finding now: for each field whose top entry is a rule's, the rule and
/// the change from what lies below it.
pub fn badges(layers: &Layers) -> Vec<(Uuid, &'static str, Json, Json)> {
    use crate::finding::layers::{Entry, Layer};

    let mut badges = Vec::new();
    for field in ScalarField::ALL {
        if let [below @ .., Entry { source, value: Some(value) }] = layers.stack(*field)
            && source.layer == Layer::Rule
        {
            let below = below.last().and_then(|entry| entry.value.as_ref());
            badges.push((source.by, field.word(), below.map_or(Json::Null, |v| v.json()), value.json()));
        }
    }
    for field in SetField::ALL {
        for (element, stack) in layers.elements(*field) {
            if let [.., Entry { source, value: true }] = stack
                && source.layer == Layer::Rule
            {
                badges.push((source.by, field.word(), Json::Null, json!(element)));
            }
        }
    }
    let status = layers.status();
    if let Some(verdict) = status.verdict().filter(|verdict| verdict.source.layer == Layer::Rule) {
        badges.push((verdict.source.by, "status", json!(status.lifecycle.value), json!(status.shown())));
    }
    badges
}
