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
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::action::Action;
use super::script::{Script, Signature, Span, Texts};
use crate::finding::facts::{Facts, Finding};
use crate::finding::layers::{LayeredField, Layers, ScalarField, SetField, Source, Statement, fields_of};
use crate::finding::shown::Shown;
use crate::inventory::asset::Asset;
use crate::ledger::Document;
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

    pub(super) fn signature(&self) -> Signature {
        Signature::of(self.id, self.version)
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
#[derive(Clone, Debug)]
pub struct Application<'m> {
    /// The place of the rule in the walk.
    pub rule: usize,
    /// The rule itself.
    id: Uuid,
    pub turn: Turn,
    /// What the rule would say but, being observed, does not.
    pub observed: bool,
    /// What the rule says or, where that is nothing any more, said.
    words: Cow<'m, [Statement]>,
    /// Where it is told.
    span: Span,
}

impl Application<'_> {
    /// The fields that the rule speaks of.
    pub fn fields(&self) -> Vec<&'static str> {
        fields_of(self.words.iter()).into_iter().map(LayeredField::word).collect()
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }
}

/// What a pass makes of a finding.
#[derive(Debug)]
pub struct Passed<'m> {
    /// Layers in the place of those that the finding had. `None`: no rule had said or observed anything
    /// before, and what the applications say is to be added. By far most findings are so, and have their
    /// layers left where they are.
    anew: Option<Layers>,
    /// Whether that changes the layers: it may be that a rule could not be decided, and nothing else.
    pub(crate) changes: bool,
    pub shown: Shown,
    pub applications: Vec<Application<'m>>,
    texts: Texts,
    /// The rules whose criteria could not be decided, and why.
    pub errors: Vec<(usize, String)>,
}

/// What a pass made of a finding that took it over, as far as it is to be told.
pub struct Applied<'m> {
    /// What the finding showed until then.
    pub before: Shown,
    pub applications: Vec<Application<'m>>,
    pub(crate) texts: Texts,
    pub errors: Vec<(usize, String)>,
}

impl<'m> Passed<'m> {
    /// The layers of the finding after the pass; `before` it they were these.
    pub fn layers(&self, before: &Layers) -> Layers {
        self.anew.clone().unwrap_or_else(|| {
            let mut layers = before.clone();
            add(&mut layers, &self.applications);
            layers
        })
    }

    /// Makes of the finding what the pass made of it.
    pub fn apply(self, finding: &mut Finding) -> Applied<'m> {
        let Self { anew, shown, applications, texts, errors, .. } = self;
        match anew {
            Some(layers) => finding.layers = layers,
            None => add(&mut finding.layers, &applications),
        }
        Applied { before: std::mem::replace(&mut finding.shown, shown), applications, texts, errors }
    }
}

/// The same is made of a finding, wherever it is told.
impl PartialEq for Passed<'_> {
    fn eq(&self, other: &Self) -> bool {
        type Said<'p> = (usize, Turn, bool, &'p [Statement], Document);
        fn said<'p>(passed: &'p Passed<'_>) -> impl Iterator<Item = Said<'p>> {
            let texts = &passed.texts;
            passed
                .applications
                .iter()
                .map(move |one| (one.rule, one.turn, one.observed, &*one.words, texts.payload(one.span)))
        }
        (&self.anew, self.changes, &self.shown, &self.errors)
            == (&other.anew, other.changes, &other.shown, &other.errors)
            && said(self).eq(said(other))
    }
}

/// Lets rules say more; what they would have said takes the place of what they would have before.
fn add(layers: &mut Layers, said: &[Application<'_>]) {
    for turn in said.iter().filter(|turn| !turn.observed) {
        let source = Source::rule(turn.id);
        turn.words.iter().for_each(|statement| layers.say(source, statement.clone()));
    }
    layers.observe(observed(said));
}

/// Whether [`add`] makes a difference.
fn adds(said: &[Application<'_>], layers: &Layers) -> bool {
    said.iter().any(|turn| !turn.observed) || observed(said) != *layers.observed()
}

/// What observed rules would say.
fn observed(said: &[Application<'_>]) -> BTreeMap<Uuid, Vec<Statement>> {
    let observed = said.iter().filter(|turn| turn.observed);
    observed.map(|turn| (turn.id, turn.words.to_vec())).collect()
}

/// One finding on its way past the rules, which take their turns in order.
pub struct Walk<'a, 'm> {
    finding: &'a Finding,
    asset: &'a Asset,
    /// The rules that have entries on the finding, or would have, by their place in the walk.
    known: Vec<usize>,
    base: Cow<'a, Layers>,
    /// Whether anything on the base is settled: on most findings nothing is.
    settled: bool,
    /// What the rules so far have made of it.
    shown: Cow<'a, Shown>,
    said: Vec<Application<'m>>,
    errors: Vec<(usize, String)>,
}

/// Walks `rules` over a finding whose layers are `finding.layers`. `None`: nothing changes.
pub fn pass(
    finding: &Finding,
    asset: &Asset,
    rules: &[LiveRule],
    exempt: &Exempt,
    now: Timestamp,
) -> Option<Passed<'static>> {
    let mut walk = Walk::new(finding, asset, rules, |id| rules.iter().position(|rule| rule.id == id));
    let mut script = Script::default();
    for (at, rule) in rules.iter().enumerate() {
        if !walk.is_active() {
            break;
        }
        if !exempt.silences(rule, finding.id) {
            walk.ask(at, rule, now, &mut script);
        }
    }
    let ended = walk.end(rules, &mut script);
    ended.map(|ended| ended.told(&script.finish()))
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
    let mut script = Script::default();
    for (place, rule) in rules[..at].iter().enumerate() {
        if !walk.is_active() {
            break;
        }
        if !exempt.silences(rule, finding.id) {
            walk.ask(place, rule, now, &mut script);
        }
    }
    let criteria = rules[at].criteria.as_ref().ok().filter(|_| walk.is_active())?;
    Some(criteria.explain(&walk, now))
}

/// Room for the turns of a few rules: where one speaks, others do.
const USUAL: usize = 16;

/// Why the turn of a rule is an error.
pub(super) const UNDECIDED: &str = "the criteria could not be decided";

impl Subject for Walk<'_, '_> {
    fn read(&self, field: usize) -> Result<Value<'_>, ReadFault> {
        let facts = Facts { finding: self.finding, asset: self.asset, shown: &self.shown };
        Ok(facts.value(FindingField::ALL[field]))
    }
}

impl<'a, 'm> Walk<'a, 'm> {
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
    fn ask(&mut self, at: usize, rule: &LiveRule, now: Timestamp, script: &mut Script) {
        let turn = match &rule.criteria {
            Err(reason) => Err(reason.as_str()),
            Ok(criteria) => match criteria.matches(self, now) {
                Outcome::False => return,
                Outcome::True => Ok(None),
                Outcome::Error => Err(UNDECIDED),
            },
        };
        self.turn(at, (rule, &rule.signature()), turn, now, script, |_| {});
    }

    /// Lets a rule speak whose criteria hold, or could not be decided for the reason given: then it
    /// says what it said before. `fixed`: what it says of every finding, if that is known. `changed` is
    /// told what shows another value from now on.
    pub(super) fn turn(
        &mut self,
        at: usize,
        (rule, signature): (&LiveRule, &Signature),
        holds: Result<Option<&'m [Statement]>, &str>,
        now: Timestamp,
        script: &mut Script,
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
        let Some(words) = self.fresh(says) else { return };
        if self.said.is_empty() {
            self.said.reserve(USUAL);
        }
        let begun = script.begin(&self.shown, &words);
        let shown = self.shown.to_mut();
        let turn = Turn::Added;
        let span = if rule.enforced {
            for statement in words.iter() {
                shown.show(statement);
                changed(statement);
            }
            script.end(begun, (shown, &words), turn, signature)
        } else {
            let mut undoing = Vec::with_capacity(words.len());
            for statement in words.iter() {
                undoing.push(shown.undoing(statement));
                shown.show(statement);
            }
            let span = script.end(begun, (shown, &words), turn, signature);
            undoing.iter().rev().for_each(|statement| shown.show(statement));
            span
        };
        self.said.push(Application { rule: at, id: rule.id, turn, observed: !rule.enforced, words, span });
    }

    /// What of this is neither shown already nor settled, if anything.
    fn fresh(&self, says: Cow<'m, [Statement]>) -> Option<Cow<'m, [Statement]>> {
        let stands = |statement: &Statement| {
            self.shown.says(statement) || self.settled && self.base.is_settled(statement)
        };
        match says.iter().filter(|statement| !stands(statement)).count() {
            0 => None,
            all if all == says.len() => Some(says),
            _ => Some(says.iter().filter(|statement| !stands(statement)).cloned().collect()),
        }
    }

    /// What all turns together make of the finding. `None`: nothing changes.
    pub(super) fn end(self, rules: &[LiveRule], script: &mut Script) -> Option<Ended<'m>> {
        let Self { finding, known, base, shown, said, errors, .. } = self;
        // Without rules there is nothing to say, but what a rule that is gone would have said is to go.
        if said.is_empty() && known.is_empty() && errors.is_empty() && finding.layers.observed().is_empty() {
            return None;
        }
        if !base.status().shown().is_active() {
            return None;
        }
        let anew = match base {
            Cow::Borrowed(_) if known.is_empty() => None,
            base => {
                let mut layers = base.into_owned();
                add(&mut layers, &said);
                Some(layers)
            }
        };
        let changes = match &anew {
            Some(layers) => *layers != finding.layers,
            None => adds(&said, &finding.layers),
        };
        if !changes && errors.is_empty() {
            return None;
        }
        let applications = match &anew {
            None => said,
            Some(layers) => turns(finding, &shown, rules, layers, known, said, script),
        };
        Some(Ended { anew, changes, shown: shown.into_owned(), applications, errors })
    }
}

/// A walk that came to its end; its script has not yet.
pub(super) struct Ended<'m> {
    anew: Option<Layers>,
    changes: bool,
    shown: Shown,
    applications: Vec<Application<'m>>,
    errors: Vec<(usize, String)>,
}

impl<'m> Ended<'m> {
    pub fn told(self, texts: &Texts) -> Passed<'m> {
        let Self { anew, changes, shown, applications, errors } = self;
        Passed { anew, changes, shown, applications, texts: texts.clone(), errors }
    }
}

/// The difference between what each rule said before and says now, in the order of the walk.
fn turns<'m>(
    finding: &Finding,
    shown: &Shown,
    rules: &[LiveRule],
    layers: &Layers,
    mut known: Vec<usize>,
    said: Vec<Application<'m>>,
    script: &mut Script,
) -> Vec<Application<'m>> {
    known.sort_unstable();
    let mut places: Vec<usize> = known.iter().copied().chain(said.iter().map(|turn| turn.rule)).collect();
    places.sort_unstable();
    places.dedup();
    let comes_to_show = |script: &Script, turn: Option<&Application<'_>>| {
        turn.is_some_and(|turn| comes_to_show(&finding.shown, shown, script.after(turn.span)))
    };
    let mut said = said.into_iter().peekable();
    let mut turns = Vec::with_capacity(places.len());
    for at in places {
        let rule = &rules[at];
        let spoke = match said.next_if(|turn| turn.rule == at) {
            // Most had said nothing before.
            Some(added) if known.binary_search(&at).is_err() => {
                turns.push(added);
                continue;
            }
            spoke => spoke,
        };
        let (then, now) = (rule.said_in(&finding.layers), rule.said_in(layers));
        let turn = match (then.is_empty(), now.is_empty()) {
            (true, true) => continue,
            _ if then == now && !comes_to_show(script, spoke.as_ref()) => continue,
            (true, false) => Turn::Added,
            (false, true) => Turn::Withdrawn,
            (false, false) => Turn::Changed,
        };
        turns.push(match spoke {
            Some(spoke) => {
                Application { turn, span: script.again(spoke.span, turn, &rule.signature()), ..spoke }
            }
            None => {
                let begun = script.begin(&finding.shown, &then);
                let span = script.end(begun, (shown, &then), turn, &rule.signature());
                Application {
                    rule: at,
                    id: rule.id,
                    turn,
                    observed: !rule.enforced,
                    words: Cow::Owned(then),
                    span,
                }
            }
        });
    }
    turns
}

/// Whether what the rule says, though it is what it said before, only now is what is shown: the
/// order of the rules changed. `after`: the fields it spoke of, as they were after its turn.
fn comes_to_show(then: &Shown, now: &Shown, after: &str) -> bool {
    let text = |shown: &Shown, field: &str| shown.json(field).to_string();
    let after: BTreeMap<&str, &RawValue> = serde_json::from_str(after).expect("it was written as an object");
    after
        .into_iter()
        .any(|(field, value)| text(now, field) == value.get() && text(then, field) != value.get())
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
