//! What a rule would make of the findings that are there, without making it so.
//!
//! Active findings are passed twice in memory, under all rules that hold and with this one at its
//! place: once it is silent, once it speaks. What differs is what it changes, and what follows from
//! that at later rules. Nothing is written, audited or told; what was found is kept in this process
//! for a while, so that all pages of a preview, and every explanation, come from one snapshot.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;

use super::matcher::{Matcher, Watch};
use super::pass::{Exempt, LiveRule, Mode, Passed, badge, explain};
use super::{Content, Rule, RuleDraft};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::finding::facts::Finding;
use crate::finding::layers::{Layers, ScalarField, SetField, Source};
use crate::finding::shown::Shown;
use crate::inventory::asset::Asset;
use crate::page::{Key, KeyKind, KeyValue, Page, PageArgs, Sort, Window};
use crate::vocabulary::criteria::{Explanation, Outcome};
use crate::vocabulary::terms::{Severity, Status, Term, terms};
use crate::vocabulary::time::Timestamp;
use kept::{Snapshot, Ticket};

pub mod kept;

terms! {
    /// How many of the active findings a rule is tried on, the newest first.
    Reach { Preview = "PREVIEW", Affected = "AFFECTED" }
}

impl Reach {
    /// The most findings that are evaluated.
    pub fn most(self) -> usize {
        match self {
            Self::Preview => 500,
            Self::Affected => 5_000,
        }
    }
}

/// The rule that is tried.
#[derive(Clone, Debug)]
pub enum Tried {
    /// One that is kept, as it stands.
    Kept(Uuid),
    /// One that is not kept, or not so: with `of`, at the place of that rule and instead of it.
    Draft { of: Option<Uuid>, draft: Box<RuleDraft> },
}

/// What a rule would make of findings.
#[derive(Debug)]
pub struct Preview {
    pub ticket: Ticket,
    pub name: String,
    pub reach: Reach,
    /// How many findings are active, whether they were evaluated or not.
    pub active: i64,
    pub totals: Totals,
    /// There are more active findings than were evaluated.
    pub truncated: bool,
    rows: Vec<Row>,
    findings: Vec<(Finding, Arc<Asset>)>,
    matcher: Matcher,
    exempt: Exempt,
    /// The place of the rule in the walk.
    at: usize,
}

/// A finding that the criteria hold for, or of which that could not be told.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place among the findings that were evaluated.
    pub(super) finding: usize,
    /// Whether the criteria held at the rule's turn.
    pub outcome: Outcome,
    pub changes: Vec<FieldChange>,
    /// The badges that the finding would wear for this rule.
    pub messages: Vec<String>,
}

/// A field that would show another value.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    pub field: &'static str,
    /// What it shows if the rule is silent.
    pub before: Json,
    pub after: Json,
    /// Who says what is shown after.
    pub by: Option<Source>,
}

/// What a preview counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub evaluated: i64,
    pub matched: i64,
    /// The matched ones of which something would show another value.
    pub changed: i64,
    /// Those of which it could not be told whether the criteria hold.
    pub errors: i64,
    /// How many findings show a severity if the rule is silent, and if it speaks, among the matched.
    pub severities: BTreeMap<Severity, (i64, i64)>,
    pub statuses: BTreeMap<Status, (i64, i64)>,
    /// How many findings would show another value of a field.
    pub fields: BTreeMap<&'static str, i64>,
}

/// What was compared of findings.
pub(super) struct Compared {
    pub rows: Vec<Row>,
    pub totals: Totals,
}

/// Passes the findings with the rule at `at` speaking, and those that it holds for once more with it
/// silent, and compares. Pure. The criteria are asked of findings alone that are active when the
/// rule's turn comes; of any other, silence makes no difference.
pub(super) fn compare(
    matcher: &Matcher,
    at: usize,
    findings: &[(&Finding, &Asset)],
    exempt: &Exempt,
    now: Timestamp,
) -> Compared {
    let mut watch = Watch::of(at);
    let spoken = matcher.pass_watching(findings, exempt, now, &mut watch);
    let met = |place: &usize| watch.outcomes()[*place] != Outcome::False;
    let places: Vec<usize> = (0..findings.len()).filter(met).collect();
    let met: Vec<(&Finding, &Asset)> = places.iter().map(|place| findings[*place]).collect();
    let silent = matcher.pass_watching(&met, exempt, now, &mut Watch::silent(at));
    let rule = &matcher.rules()[at];
    let mut compared = Compared { rows: Vec::with_capacity(places.len()), totals: Totals::default() };
    compared.totals.evaluated = i64::try_from(findings.len()).unwrap_or(i64::MAX);
    for ((place, (finding, _)), silent) in places.into_iter().zip(&met).zip(&silent) {
        let outcome = watch.outcomes()[place];
        let spoken = spoken[place].as_ref();
        let layers = spoken.map(|passed| passed.layers(&finding.layers));
        let layers = layers.as_ref().unwrap_or(&finding.layers);
        let (silent, spoken) = (shown(silent.as_ref(), finding), shown(spoken, finding));
        match outcome {
            Outcome::True => compared.totals.matched += 1,
            Outcome::False | Outcome::Error => compared.totals.errors += 1,
        }
        let changes = changes(silent, spoken, layers);
        compared.totals.count(silent, spoken, &changes);
        let of_rule = changes.iter().filter(|change| change.by == Some(Source::rule(rule.id)));
        let messages = of_rule.map(|c| badge(&rule.name, c.field, &c.before, &c.after)).collect();
        compared.rows.push(Row { finding: place, outcome, changes, messages });
    }
    compared
}

fn shown<'a>(passed: Option<&'a Passed<'_>>, finding: &'a Finding) -> &'a Shown {
    passed.map_or(&finding.shown, |passed| &passed.shown)
}

/// The fields in which two differ, with who says what is shown after.
pub(super) fn changes(silent: &Shown, spoken: &Shown, layers: &Layers) -> Vec<FieldChange> {
    let change = |field: &'static str| FieldChange {
        field,
        before: silent.json(field),
        after: spoken.json(field),
        by: said_by(field, silent, spoken, layers),
    };
    silent.differences(spoken).into_iter().map(change).collect()
}

/// Who is on top of a field; of a set, on top of the first element that differs.
fn said_by(field: &str, silent: &Shown, spoken: &Shown, layers: &Layers) -> Option<Source> {
    if let Some(scalar) = ScalarField::parse(field) {
        return layers.stack(scalar).last().map(|entry| entry.source);
    }
    let Some(set) = SetField::parse(field) else {
        let status = layers.status();
        return Some(status.verdict().map_or(status.lifecycle.source, |verdict| verdict.source));
    };
    let (before, after) = (silent.set(set), spoken.set(set));
    let only = |these: &[String], others: &[String]| these.iter().find(|e| !others.contains(e)).cloned();
    let element = only(after, before).or_else(|| only(before, after))?;
    layers.element(set, &element).last().map(|entry| entry.source)
}

impl Totals {
    /// Counts what others counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.evaluated += other.evaluated;
        self.matched += other.matched;
        self.changed += other.changed;
        self.errors += other.errors;
        for (severity, (before, after)) in &other.severities {
            let own = self.severities.entry(*severity).or_default();
            *own = (own.0 + before, own.1 + after);
        }
        for (status, (before, after)) in &other.statuses {
            let own = self.statuses.entry(*status).or_default();
            *own = (own.0 + before, own.1 + after);
        }
        for (field, count) in &other.fields {
            *self.fields.entry(field).or_default() += count;
        }
    }

    fn count(&mut self, silent: &Shown, spoken: &Shown, changes: &[FieldChange]) {
        self.changed += i64::from(!changes.is_empty());
        for change in changes {
            *self.fields.entry(change.field).or_default() += 1;
        }
        self.severities.entry(silent.severity).or_default().0 += 1;
        self.severities.entry(spoken.severity).or_default().1 += 1;
        self.statuses.entry(silent.status).or_default().0 += 1;
        self.statuses.entry(spoken.status).or_default().1 += 1;
    }
}

/// The rows of a preview have no other order than the one they were found in.
const ROWS: Sort = Sort::new("preview", &[Key::new("place", KeyKind::Int)]);

/// A page of the rows that are wanted, which lie in the order of their places.
pub(super) fn page_of<'a, R>(
    rows: &'a [R],
    place: impl Fn(&R) -> usize,
    wanted: impl Fn(&R) -> bool,
    args: &PageArgs,
) -> Result<Page<&'a R>> {
    let window = Window::new(args, ROWS)?;
    let place = |row: &R| i64::try_from(place(row)).unwrap_or(i64::MAX);
    let bound = |cursor: &Option<Vec<KeyValue>>| match cursor.as_deref() {
        Some([KeyValue::Int(place)]) => Some(*place),
        _ => None,
    };
    let (after, before) = (bound(&window.after), bound(&window.before));
    let rows = rows.iter().filter(|row| {
        wanted(row)
            && after.is_none_or(|after| place(row) > after)
            && before.is_none_or(|before| place(row) < before)
    });
    let most = usize::from(window.limit) + 1;
    let rows: Vec<&R> =
        if window.backward { rows.rev().take(most).collect() } else { rows.take(most).collect() };
    Ok(window.page(rows.into_iter().map(|row| (vec![KeyValue::Int(place(row))], row)).collect()))
}

impl Snapshot for Preview {
    fn ticket(&self) -> Ticket {
        self.ticket
    }

    fn findings(&self) -> usize {
        self.findings.len()
    }
}

impl Preview {
    /// The finding of a row, as it was when it was evaluated.
    pub fn finding(&self, row: &Row) -> &Finding {
        &self.findings[row.finding].0
    }

    /// A page of the findings that the criteria hold for, the newest first; with `changed`, of those
    /// alone that would show another value.
    ///
    /// # Errors
    ///
    /// Those of any page.
    pub fn rows(&self, changed: bool, args: &PageArgs) -> Result<Page<&Row>> {
        page_of(&self.rows, |row| row.finding, |row| !changed || !row.changes.is_empty(), args)
    }

    /// How many rows there are; with `changed`, how many that would show another value.
    pub fn row_count(&self, changed: bool) -> i64 {
        if changed { self.totals.changed } else { self.totals.matched + self.totals.errors }
    }

    /// Why the criteria hold for a finding that was evaluated, or do not, condition by condition, as
    /// the earlier rules had left it. `None`: it was not evaluated, or the walk never came so far.
    pub fn explain(&self, finding: Uuid) -> Option<Explanation> {
        let (finding, asset) = self.findings.iter().find(|(kept, _)| kept.id == finding)?;
        explain(finding, asset, self.matcher.rules(), &self.exempt, self.at, self.ticket.as_of)
    }
}

impl Domain {
    /// Tries a rule on the newest active findings that the actor may see.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` for a rule that the actor cannot see; what a draft is refused for, at `draft`.
    pub async fn rule_preview(&self, actor: &Actor, tried: Tried, reach: Reach) -> Result<Arc<Preview>> {
        let scope = actor.allow(Permission::Read)?.of_tenant()?;
        let now = self.clock().now();
        let rule = self.rule_to_try(actor, &scope, tried, now).await?;
        let name = rule.content.name.clone();
        let db = self.db();
        // None of these waits for another. The count is of use only where there are more than are tried,
        // which is where asking for it afterwards would be slow.
        let (mut rules, (findings, truncated), counted) = tokio::try_join!(
            db.rules_that_may_hold(&scope),
            self.findings_to_try(&scope, reach),
            db.count_recent(&scope),
        )?;
        let active = if truncated { counted } else { i64::try_from(findings.len()).unwrap_or(i64::MAX) };
        rules.retain(|other| other.id != rule.id && other.idle(now).is_none());
        let at = rules.partition_point(|other| walk_key(other) < walk_key(&rule));
        rules.insert(at, Rule { mode: Mode::Enforce, ..rule });
        let matcher = Matcher::new(rules.into_iter().map(LiveRule::of).collect());
        let exempt = self.exempt_now(&scope, findings.iter().map(|(finding, _)| finding.id)).await?;
        let preview = tokio::task::spawn_blocking(move || {
            let pairs: Vec<(&Finding, &Asset)> = findings.iter().map(|(f, asset)| (f, &**asset)).collect();
            let Compared { rows, totals } = compare(&matcher, at, &pairs, &exempt, now);
            (rows, totals, findings, matcher, exempt)
        });
        let (rows, totals, findings, matcher, exempt) = preview.await.map_err(Error::internal)?;
        let preview = Arc::new(Preview {
            ticket: Ticket::of(actor, self.clock().id(), now),
            name,
            reach,
            active,
            totals,
            truncated,
            rows,
            findings,
            matcher,
            exempt,
            at,
        });
        self.previews().keep(Arc::clone(&preview), now);
        Ok(preview)
    }

    /// A preview that the actor asked for some minutes ago.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` where this process keeps it no longer: ask for the preview again.
    pub fn rule_previewed(&self, actor: &Actor, id: Uuid) -> Result<Arc<Preview>> {
        actor.allow(Permission::Read)?;
        let kept = self.previews().of(actor, id, self.clock().now());
        kept.ok_or_else(|| Error::not_found("preview"))
    }

    /// The rule as it is tried, whatever its mode.
    pub(super) async fn rule_to_try(
        &self,
        actor: &Actor,
        scope: &Scope,
        tried: Tried,
        now: Timestamp,
    ) -> Result<Rule> {
        let (of, draft) = match tried {
            Tried::Kept(id) => return self.rule_as_drafted(actor, id).await,
            Tried::Draft { of, draft } => (of, draft),
        };
        let (content, _) = (*draft).check(scope.company()?).map_err(|error| error.at("draft"))?;
        if let Some(stranger) = self.strangers(actor, &content.action).await?.into_iter().next() {
            return Err(stranger.at("draft"));
        }
        let kept = match of {
            Some(id) => Some(self.rule(actor, id).await?),
            None => None,
        };
        Ok(drafted(kept, content, scope.company()?, now, self.clock().id()))
    }

    /// The newest findings that are active below what rules say, with their assets; and whether there
    /// are more of them.
    pub(super) async fn findings_to_try(
        &self,
        scope: &Scope,
        reach: Reach,
    ) -> Result<(Vec<(Finding, Arc<Asset>)>, bool)> {
        let mut found: Vec<Finding> = Vec::new();
        let mut before = None;
        loop {
            let wanted = reach.most() + 1 - found.len();
            let read = self.db().recent_findings(scope, before, wanted).await?;
            let more = read.len() == wanted;
            before = read.last().map(|finding| finding.id).or(before);
            found.extend(read.into_iter().filter(is_active_below_rules));
            if !more || found.len() > reach.most() {
                break;
            }
        }
        let truncated = found.len() > reach.most();
        found.truncate(reach.most());
        let assets = self.db().assets_on(scope, &found).await?;
        let assets: HashMap<Uuid, Arc<Asset>> =
            assets.into_iter().map(|(id, asset)| (id, Arc::new(asset))).collect();
        let with_asset = |finding: Finding| {
            let asset = Arc::clone(assets.get(&finding.asset)?);
            Some((finding, asset))
        };
        Ok((found.into_iter().filter_map(with_asset).collect(), truncated))
    }
}

/// A draft as the rule that it would become.
pub(super) fn drafted(kept: Option<Rule>, content: Content, company: Uuid, now: Timestamp, id: Uuid) -> Rule {
    let rule = kept.unwrap_or_else(|| Rule {
        id,
        company,
        key: String::new(),
        library_key: None,
        mode: Mode::Enforce,
        content_hash: String::new(),
        content: content.clone(),
        gated: false,
        live: None,
        author: Uuid::nil(),
        archived_at: None,
        created_at: now,
        updated_at: now,
        version: 0,
    });
    rule.saying(content)
}

/// By what rules follow each other in the walk.
pub(super) fn walk_key(rule: &Rule) -> (i32, Timestamp, Uuid) {
    (rule.content.order, rule.created_at, rule.id)
}

/// Whether somebody would have to act if all rules were silent.
fn is_active_below_rules(finding: &Finding) -> bool {
    // All that rules do to a status is to accept the risk.
    finding.shown.status.is_active() || finding.layers.without(|_| true).status().shown().is_active()
}
