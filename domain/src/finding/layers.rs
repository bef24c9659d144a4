//! Where the values of a finding come from: entries in, shown value out. Pure.
//!
//! A field is a stack of entries, lowest first: `SCANNER < INTEL < RULE < RUNBOOK < HUMAN`, and
//! inside of a layer in the order in which they were said. The finding shows the top one. In a set
//! field each *element* has a stack of its own, of present and absent, so that a tag that a person
//! removed stays removed. Status is a lifecycle, moved by scans, runbooks and people, under the
//! verdicts that reports, VEX documents and rules lay over it.

use std::collections::BTreeMap;

mod revoking;
mod status;
mod stored;

pub use revoking::{RevokeConflict, RevokeMode, revoke};
pub use status::{Grounds, StatusLayers, Verdict};

use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::vocabulary::terms::{Severity, Status, Term, terms};
use crate::vocabulary::time::Timestamp;

terms! {
    /// Who speaks, the weakest first.
    Layer {
        Scanner = "SCANNER", Intel = "INTEL", Rule = "RULE", Runbook = "RUNBOOK", Human = "HUMAN",
    }

    /// The layered fields that hold one value.
    ScalarField {
        Title = "title", Severity = "severity", VulnerabilityType = "vulnerability_type",
        Remediation = "remediation", CvssScore = "cvss_score", CvssVector = "cvss_vector",
        EpssScore = "epss_score", EpssPercentile = "epss_percentile", KnownExploit = "known_exploit",
        KevDueAt = "kev_due_at", RansomwareUse = "ransomware_use",
    }

    /// The layered fields that hold a set, each element with entries of its own.
    SetField {
        Tags = "tags", AssignedUsers = "assigned_users", AssignedTeams = "assigned_teams",
        Effects = "effects", RootCauses = "root_causes",
        RemediationTechniques = "remediation_techniques", AttackTechniques = "attack_techniques",
        CveIds = "cve_ids", CweIds = "cwe_ids",
    }
}

/// A field that has layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayeredField {
    Scalar(ScalarField),
    Status,
    Set(SetField),
}

impl LayeredField {
    const STATUS: &str = "status";

    pub fn all() -> impl Iterator<Item = Self> {
        let scalars = ScalarField::ALL.iter().map(|field| Self::Scalar(*field));
        scalars.chain([Self::Status]).chain(SetField::ALL.iter().map(|field| Self::Set(*field)))
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Scalar(field) => field.word(),
            Self::Status => Self::STATUS,
            Self::Set(field) => field.word(),
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        let scalar = || ScalarField::parse(word).map(Self::Scalar);
        let set = || SetField::parse(word).map(Self::Set);
        if word == Self::STATUS { Some(Self::Status) } else { scalar().or_else(set) }
    }
}

/// Who said something: the layer, and which rule, run, feed, series of documents or person in it (nil
/// for the scanner).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    pub layer: Layer,
    pub by: Uuid,
}

impl Source {
    pub const SCANNER: Source = Source { layer: Layer::Scanner, by: Uuid::nil() };

    pub fn rule(rule: Uuid) -> Self {
        Self { layer: Layer::Rule, by: rule }
    }

    /// A feed, or a series of VEX documents.
    pub fn intel(by: Uuid) -> Self {
        Self { layer: Layer::Intel, by }
    }

    pub fn human(person: Uuid) -> Self {
        Self { layer: Layer::Human, by: person }
    }

    /// A later word of the same speaker takes the place of an earlier one. The scanner and people
    /// speak with one voice each: the last person to speak is the one who is heard.
    fn same_voice(self, other: Self) -> bool {
        self.layer == other.layer
            && (matches!(self.layer, Layer::Scanner | Layer::Human) || self.by == other.by)
    }
}

/// The value of a scalar field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scalar {
    Severity(Severity),
    Flag(bool),
    Number(f64),
    Text(String),
    Time(Timestamp),
}

/// What one speaker says of a field or element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry<T> {
    pub source: Source,
    pub value: T,
}

/// Room for those who speak beside the first.
const SPEAKERS: usize = 3;

/// All that is said of one field or element, lowest first. Of most, one speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack<T>(SmallVec<[Entry<T>; 1]>);

/// The stacks of what is said of the elements of a set.
type Elements = LiteMap<String, Stack<bool>>;

impl<T> Default for Stack<T> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<T> Stack<T> {
    pub fn entries(&self) -> &[Entry<T>] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn top(&self) -> Option<&Entry<T>> {
        self.0.last()
    }

    /// Whether a runbook or a person has spoken: rules read such a field and never touch it.
    pub fn is_settled(&self) -> bool {
        self.top().is_some_and(|top| top.source.layer >= Layer::Runbook)
    }

    /// Adds an entry on top of its layer, in the place of what the same speaker said before.
    fn say(&mut self, source: Source, value: T) {
        self.0.retain(|entry| !entry.source.same_voice(source));
        let at = self.0.partition_point(|entry| entry.source.layer <= source.layer);
        if self.0.len() == self.0.inline_size() {
            // Where a second one speaks, others do.
            self.0.reserve(SPEAKERS);
        }
        self.0.insert(at, Entry { source, value });
    }

    fn retain(&mut self, keep: impl Fn(Source) -> bool) {
        self.0.retain(|entry| keep(entry.source));
    }

    /// Takes `source`'s entry away, and with `force` all above it. `Err` names what lies above
    /// where that is in the way.
    fn take(&mut self, source: Source, force: bool) -> Result<bool, Vec<Source>> {
        let Some(at) = self.0.iter().position(|entry| entry.source == source) else { return Ok(false) };
        if force {
            self.0.truncate(at);
        } else if at + 1 < self.0.len() {
            return Err(self.0[at + 1..].iter().map(|entry| entry.source).collect());
        } else {
            self.0.pop();
        }
        Ok(true)
    }
}

/// One thing to say about a finding: the unit of every change of its layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statement {
    Set(ScalarField, Option<Scalar>),
    Element(SetField, String, bool),
    /// What the finding comes to though it is still seen: people and runbooks move the lifecycle
    /// instead.
    Judge(Verdict),
}

impl Statement {
    /// The field that it speaks of.
    pub fn field(&self) -> LayeredField {
        match self {
            Self::Set(field, _) => LayeredField::Scalar(*field),
            Self::Element(field, _, _) => LayeredField::Set(*field),
            Self::Judge(_) => LayeredField::Status,
        }
    }
}

/// The fields that statements speak of, each once, in the order of their names.
pub(crate) fn fields_of<'s>(statements: impl IntoIterator<Item = &'s Statement>) -> Vec<LayeredField> {
    let mut fields: Vec<LayeredField> = statements.into_iter().map(Statement::field).collect();
    fields.sort_unstable_by_key(|field| field.word());
    fields.dedup();
    fields
}

/// All that is said of one finding. There are many findings and little is said of each, so the maps
/// are lists in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    scalars: LiteMap<ScalarField, Stack<Option<Scalar>>>,
    sets: LiteMap<SetField, Elements>,
    status: StatusLayers,
    /// What each observed rule would say: recorded, never shown.
    observed: BTreeMap<Uuid, Vec<Statement>>,
}

impl Layers {
    /// The layers of a finding of which nothing is said yet but that it is open.
    pub fn new() -> Self {
        Self {
            scalars: LiteMap::new(),
            sets: LiteMap::new(),
            status: StatusLayers {
                lifecycle: Entry { source: Source::SCANNER, value: Status::Open },
                grounds: Grounds::default(),
                verdicts: Stack::default(),
            },
            observed: BTreeMap::new(),
        }
    }

    pub fn scalar(&self, field: ScalarField) -> Option<&Scalar> {
        self.scalars.get(&field)?.top()?.value.as_ref()
    }

    pub fn stack(&self, field: ScalarField) -> &[Entry<Option<Scalar>>] {
        self.scalars.get(&field).map_or(&[], Stack::entries)
    }

    /// The elements that are shown, in their order.
    pub fn set(&self, field: SetField) -> impl Iterator<Item = &str> {
        self.sets.get(&field).into_iter().flat_map(Elements::iter).filter_map(|(element, stack)| {
            stack.top().is_some_and(|top| top.value).then_some(element.as_str())
        })
    }

    pub fn contains(&self, field: SetField, element: &str) -> bool {
        self.element(field, element).last().is_some_and(|top| top.value)
    }

    pub fn element(&self, field: SetField, element: &str) -> &[Entry<bool>] {
        self.sets.get(&field).and_then(|set| set.get(element)).map_or(&[], Stack::entries)
    }

    /// Every element that anything is said of, shown or not.
    pub fn elements(&self, field: SetField) -> impl Iterator<Item = (&str, &[Entry<bool>])> {
        self.sets
            .get(&field)
            .into_iter()
            .flat_map(Elements::iter)
            .map(|(element, stack)| (element.as_str(), stack.entries()))
    }

    pub fn status(&self) -> &StatusLayers {
        &self.status
    }

    /// Whether a person has spoken on any field.
    pub fn has_human(&self) -> bool {
        let human = |source: Source| source.layer == Layer::Human;
        let mut elements = self.sets.values().flat_map(Elements::values);
        human(self.status.lifecycle.source)
            || self.scalars.values().any(|stack| stack.entries().iter().any(|entry| human(entry.source)))
            || elements.any(|stack| stack.entries().iter().any(|entry| human(entry.source)))
    }

    pub fn observed(&self) -> &BTreeMap<Uuid, Vec<Statement>> {
        &self.observed
    }

    pub(crate) fn observe(&mut self, observed: BTreeMap<Uuid, Vec<Statement>>) {
        self.observed = observed;
    }

    /// Whether a runbook or a person has spoken on what `statement` is about.
    pub fn is_settled(&self, statement: &Statement) -> bool {
        match statement {
            Statement::Set(field, _) => self.scalars.get(field).is_some_and(Stack::is_settled),
            Statement::Element(field, element, _) => {
                self.sets.get(field).and_then(|set| set.get(element)).is_some_and(Stack::is_settled)
            }
            Statement::Judge(_) => self.status.is_settled(),
        }
    }

    /// Whether a runbook or a person has spoken on anything.
    pub fn has_settled(&self) -> bool {
        self.status.is_settled() || self.sources().any(|source| source.layer >= Layer::Runbook)
    }

    /// Whether what is shown already says `statement`.
    pub fn shows(&self, statement: &Statement) -> bool {
        match statement {
            Statement::Set(field, value) => self.scalar(*field) == value.as_ref(),
            Statement::Element(field, element, present) => self.contains(*field, element) == *present,
            Statement::Judge(verdict) => self.status.shown() == verdict.status,
        }
    }

    /// Lets `source` say `statement`, in the place of what it said of the same before.
    pub fn say(&mut self, source: Source, statement: Statement) {
        match statement {
            Statement::Set(field, value) => self.scalars.entry(field).or_default().say(source, value),
            Statement::Element(field, element, present) => {
                self.sets.entry(field).or_default().entry(element).or_default().say(source, present);
            }
            Statement::Judge(verdict) => self.status.verdicts.say(source, verdict),
        }
    }

    /// Moves the lifecycle. What rules accepted ends with FIXED and CLOSED; what a report or a VEX
    /// document says of the finding is true whether it is seen or not.
    pub fn move_to(&mut self, source: Source, status: Status) {
        self.status.lifecycle = Entry { source, value: status };
        self.status.grounds = Grounds::default();
        if matches!(status, Status::Fixed | Status::Closed) {
            self.status.verdicts.retain(|source| source.layer != Layer::Rule);
        }
    }

    /// Says why the lifecycle was moved to where it stands.
    pub fn justify(&mut self, grounds: Grounds) {
        self.status.grounds = grounds;
    }

    /// Takes away what `rule` calls the finding, where nobody has decided otherwise.
    pub fn retract_verdict(&mut self, rule: Uuid) {
        if !self.status.is_settled() {
            self.status.verdicts.retain(|source| source != Source::rule(rule));
        }
    }

    /// Puts what the scanner now says in the place of all it said before.
    pub fn refresh(&mut self, facts: impl IntoIterator<Item = Statement>) {
        self.retain(|source| source.layer != Layer::Scanner);
        for fact in facts {
            self.say(Source::SCANNER, fact);
        }
        self.prune();
    }

    /// Puts what feeds and VEX documents now say in the place of all they said before.
    pub fn inform(&mut self, said: impl IntoIterator<Item = (Uuid, Statement)>) {
        self.retain(|source| source.layer != Layer::Intel);
        for (by, statement) in said {
            self.say(Source::intel(by), statement);
        }
        self.prune();
    }

    /// Whether anything is said by intelligence.
    pub fn has_intel(&self) -> bool {
        let verdicts = self.status.verdicts.0.iter().map(|entry| entry.source);
        self.sources().chain(verdicts).any(|source| source.layer == Layer::Intel)
    }

    /// Whether the scanner has a value for this field.
    pub fn scanned(&self, field: ScalarField) -> bool {
        self.stack(field).iter().any(|entry| entry.source == Source::SCANNER && entry.value.is_some())
    }

    /// Whether the scanner named any element of this set.
    pub fn scanned_set(&self, field: SetField) -> bool {
        let set = self.sets.get(&field).into_iter().flat_map(Elements::values);
        set.flat_map(Stack::entries).any(|entry| entry.source == Source::SCANNER && entry.value)
    }

    /// Who says anything of a field or element.
    fn sources(&self) -> impl Iterator<Item = Source> {
        let scalars = self.scalars.values().flat_map(|stack| stack.0.iter().map(|entry| entry.source));
        let sets = self.sets.values().flat_map(Elements::values);
        scalars.chain(sets.flat_map(|stack| stack.0.iter().map(|entry| entry.source)))
    }

    /// Drops what people said of these fields; a lifecycle that a person moved stays where it is,
    /// but as if a scan had moved it, so that rules may speak again.
    pub fn release(&mut self, scalars: &[ScalarField], sets: &[SetField], status: bool) {
        for field in scalars {
            if let Some(stack) = self.scalars.get_mut(field) {
                stack.retain(|source| source.layer != Layer::Human);
            }
        }
        for field in sets {
            for (_, stack) in self.sets.get_mut(field).into_iter().flat_map(Elements::iter_mut) {
                stack.retain(|source| source.layer != Layer::Human);
            }
        }
        if status && self.status.lifecycle.source.layer == Layer::Human {
            self.status.lifecycle.source = Source::SCANNER;
            self.status.grounds = Grounds::default();
        }
        self.prune();
    }

    /// These layers without what `rules` say, but for what is settled: that is kept as it is.
    pub fn without(&self, rules: impl Fn(Uuid) -> bool) -> Self {
        let mut base = self.clone();
        let keep = |source: Source| source.layer != Layer::Rule || !rules(source.by);
        base.retain_unsettled(keep);
        if !base.status.is_settled() {
            base.status.verdicts.retain(keep);
        }
        base.prune();
        base
    }

    /// What `rule` says where nothing is settled, in the order of the fields.
    pub fn said_by(&self, rule: Uuid) -> Vec<Statement> {
        self.words(Source::rule(rule), true)
    }

    /// All that `source` says, under others too, but for where it moved the lifecycle to.
    pub fn words_of(&self, source: Source) -> Vec<Statement> {
        self.words(source, false)
    }

    fn words(&self, source: Source, unsettled: bool) -> Vec<Statement> {
        let mut said = Vec::new();
        let heard = |settled: bool| !(unsettled && settled);
        for (field, stack) in self.scalars.iter().filter(|(_, stack)| heard(stack.is_settled())) {
            for entry in stack.entries().iter().filter(|entry| entry.source == source) {
                said.push(Statement::Set(*field, entry.value.clone()));
            }
        }
        for (field, set) in self.sets.iter() {
            for (element, stack) in set.iter().filter(|(_, stack)| heard(stack.is_settled())) {
                for entry in stack.entries().iter().filter(|entry| entry.source == source) {
                    said.push(Statement::Element(*field, element.clone(), entry.value));
                }
            }
        }
        if heard(self.status.is_settled()) {
            let verdicts = self.status.verdicts.entries().iter().filter(|entry| entry.source == source);
            said.extend(verdicts.map(|entry| Statement::Judge(entry.value.clone())));
        }
        said
    }

    /// The people and runbooks that anything of these layers is of.
    pub fn deciders(&self) -> Vec<Source> {
        let sources = self.sources().chain([self.status.lifecycle.source]);
        let mut deciders: Vec<Source> = sources.filter(|source| source.layer >= Layer::Runbook).collect();
        deciders.sort_unstable();
        deciders.dedup();
        deciders
    }

    /// Every rule that has an entry.
    pub fn rules(&self) -> Vec<Uuid> {
        let verdicts = self.status.verdicts.0.iter().map(|entry| entry.source);
        let mut rules: Vec<Uuid> = self
            .sources()
            .chain(verdicts)
            .filter(|source| source.layer == Layer::Rule)
            .map(|source| source.by)
            .collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    fn retain(&mut self, keep: impl Fn(Source) -> bool) {
        self.scalars.iter_mut().for_each(|(_, stack)| stack.retain(&keep));
        let elements = self.sets.iter_mut().flat_map(|(_, set)| set.iter_mut());
        elements.for_each(|(_, stack)| stack.retain(&keep));
        self.status.verdicts.retain(&keep);
    }

    fn retain_unsettled(&mut self, keep: impl Fn(Source) -> bool) {
        let scalars = self.scalars.iter_mut().filter(|(_, stack)| !stack.is_settled());
        scalars.for_each(|(_, stack)| stack.retain(&keep));
        let elements = self.sets.iter_mut().flat_map(|(_, set)| set.iter_mut());
        elements.filter(|(_, stack)| !stack.is_settled()).for_each(|(_, stack)| stack.retain(&keep));
    }

    /// A field of which nothing is said any more is as if nothing had been said of it ever.
    fn prune(&mut self) {
        self.scalars.retain(|_, stack| !stack.is_empty());
        self.sets.iter_mut().for_each(|(_, set)| set.retain(|_, stack| !stack.is_empty()));
        self.sets.retain(|_, set| !set.is_empty());
    }
}

impl Default for Layers {
    fn default() -> Self {
        Self::new()
    }
}
