//! What a rule would have changed of what was imported in a past period.
//!
//! Imports tell the audit what scanners said, and everybody what they changed. So a finding is put
//! back to where it stood when an import wrote it: what was told later is undone, newest first. Then
//! it is passed under the rules of that moment, as their versions keep them, with the rule silent and
//! with the rule speaking, as in a preview. Nothing is written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::Rule;
use super::application::{APPLIED, OBSERVED};
use super::matcher::Matcher;
use super::pass::{Exempt, LiveRule, Mode, Turn};
use super::preview::kept::{Snapshot, Ticket};
use super::preview::{self, FieldChange, Totals, Tried, compare, page_of, walk_key};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::finding::facts::Finding;
use crate::inventory::asset::Asset;
use crate::page::{Page, PageArgs};
use crate::vocabulary::criteria::Outcome;
use crate::vocabulary::terms::{Term, terms};
use crate::vocabulary::time::Timestamp;
use past::{asset_at, finding_at};
use store::{CompanyMode, Entry, Stood};

mod past;
pub mod store;

/// The most sightings that are replayed, the newest of the period.
pub const MOST: usize = 2_000;
/// How many findings are put back at a time.
const CHUNK: usize = 500;

terms! {
    /// What of the past cannot be told for certain.
    Missing {
        Asset = "ASSET", People = "PEOPLE", Exemption = "EXEMPTION",
    }
}

/// What a rule would have changed in a period.
#[derive(Debug)]
pub struct Backtest {
    pub ticket: Ticket,
    pub name: String,
    pub from: Timestamp,
    pub to: Timestamp,
    /// Of the findings that imports wrote.
    pub totals: Totals,
    /// There were more in the period.
    pub truncated: bool,
    /// Of how many something is missing.
    pub incomplete: i64,
    rows: Vec<Row>,
}

/// A finding that an import wrote, and that the criteria held for or could not be decided of.
#[derive(Clone, Debug)]
pub struct Row {
    place: usize,
    /// When the import wrote it.
    pub at: Timestamp,
    pub scan: Option<Uuid>,
    /// The finding, as it was put back, before rules.
    pub finding: Finding,
    /// The import found it for the first time.
    pub new: bool,
    pub outcome: Outcome,
    /// What would have been otherwise: without the rule, and with it.
    pub changes: Vec<FieldChange>,
    pub messages: Vec<String>,
    /// What rules really did to it then.
    pub happened: Vec<Happened>,
    pub missing: Vec<Missing>,
}

/// What a rule did.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    pub rule: Uuid,
    pub version: i64,
    pub change: Turn,
    pub observed: bool,
    pub before: Json,
    pub after: Json,
}

/// A sighting, put back.
struct Replayed {
    at: Timestamp,
    scan: Option<Uuid>,
    new: bool,
    finding: Finding,
    asset: Arc<Asset>,
    happened: Vec<Happened>,
    missing: Vec<Missing>,
}

impl Snapshot for Backtest {
    fn ticket(&self) -> Ticket {
        self.ticket
    }

    fn findings(&self) -> usize {
        self.rows.len()
    }
}

impl Backtest {
    /// A page of the findings that the criteria held for, the newest sighting first; with `changed`, of
    /// those alone that would have shown another value.
    ///
    /// # Errors
    ///
    /// Those of any page.
    pub fn rows(&self, changed: bool, args: &PageArgs) -> Result<Page<&Row>> {
        page_of(&self.rows, |row| row.place, |row| !changed || !row.changes.is_empty(), args)
    }

    pub fn row_count(&self, changed: bool) -> i64 {
        if changed { self.totals.changed } else { self.totals.matched + self.totals.errors }
    }
}

impl Domain {
    /// Replays what imports wrote from `from` up to `to` with the rule.
    ///
    /// # Errors
    ///
    /// Those of a preview; `INVALID` for a period that is none, at `to`.
    pub async fn rule_backtest(
        &self,
        actor: &Actor,
        tried: Tried,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Arc<Backtest>> {
        let scope = actor.allow(Permission::Read)?.of_tenant()?;
        if from >= to {
            return Err(Error::invalid("to", "The period ends after it begins."));
        }
        let now = self.clock().now();
        let rule = self.rule_to_try(actor, &scope, tried, now).await?;
        let name = rule.content.name.clone();
        let mut entries = self.db().imported(&scope, from, to, MOST + 1).await?;
        let truncated = entries.len() > MOST;
        entries.truncate(MOST);
        let stood = self.db().rules_until(&scope, to).await?;
        let modes = self.db().company_modes_until(&scope, to).await?;
        let mut replayed = Vec::with_capacity(entries.len());
        for chunk in entries.chunks(CHUNK) {
            replayed.extend(self.put_back(&scope, chunk).await?);
        }
        let tested = tokio::task::spawn_blocking(move || replay(rule, &stood, &modes, replayed));
        let (rows, totals, incomplete) = tested.await.map_err(Error::internal)?;
        let backtest = Arc::new(Backtest {
            ticket: Ticket::of(actor, self.clock().id(), now),
            name,
            from,
            to,
            totals,
            truncated,
            incomplete,
            rows,
        });
        self.backtests().keep(Arc::clone(&backtest), now);
        Ok(backtest)
    }

    /// A backtest that the actor asked for some minutes ago.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` where this process keeps it no longer.
    pub fn rule_backtested(&self, actor: &Actor, id: Uuid) -> Result<Arc<Backtest>> {
        actor.allow(Permission::Read)?;
        let kept = self.backtests().of(actor, id, self.clock().now());
        kept.ok_or_else(|| Error::not_found("backtest"))
    }

    /// The findings of these entries as they stood then. One that is gone is left out.
    async fn put_back(&self, scope: &Scope, entries: &[Entry]) -> Result<Vec<Replayed>> {
        let mut ids: Vec<Uuid> = entries.iter().map(|entry| entry.record).collect();
        ids.sort_unstable();
        ids.dedup();
        let Some(since) = entries.iter().map(|entry| entry.at).min() else { return Ok(Vec::new()) };
        let findings = self.db().findings_by_id(scope, &ids).await?;
        let assets = self.db().assets_on(scope, &findings).await?;
        let of_assets: Vec<Uuid> = assets.keys().copied().collect();
        let exempt = self.exempt_now(scope, ids.iter().copied()).await?;
        let told = by_record(self.db().entries_since(scope, &ids, since).await?);
        let told_of_assets = by_record(self.db().entries_since(scope, &of_assets, since).await?);
        let findings: HashMap<Uuid, Finding> = findings.into_iter().map(|one| (one.id, one)).collect();
        let none = Vec::new();
        let put_back = |entry: &Entry| {
            let finding = findings.get(&entry.record)?;
            let asset = assets.get(&finding.asset)?;
            let told = told.get(&finding.id).unwrap_or(&none);
            let of_asset = told_of_assets.get(&asset.id).unwrap_or(&none);
            let mut replayed = replayed(entry, finding, asset, told, of_asset);
            if !exempt.of(finding.id).is_empty() {
                replayed.missing.push(Missing::Exemption);
            }
            Some(replayed)
        };
        Ok(entries.iter().filter_map(put_back).collect())
    }
}

fn by_record(entries: Vec<Entry>) -> HashMap<Uuid, Vec<Entry>> {
    let mut found: HashMap<Uuid, Vec<Entry>> = HashMap::new();
    for entry in entries {
        found.entry(entry.record).or_default().push(entry);
    }
    found
}

fn replayed(entry: &Entry, finding: &Finding, asset: &Asset, told: &[Entry], of_asset: &[Entry]) -> Replayed {
    let after = |one: &&Entry| one.at > entry.at;
    let past = finding_at(finding, told.iter().filter(after), entry.at);
    let then = asset_at(asset, of_asset.iter().filter(after));
    let mut missing = Vec::new();
    if then.is_none() {
        missing.push(Missing::Asset);
    }
    if past.people_spoke {
        missing.push(Missing::People);
    }
    Replayed {
        at: entry.at,
        scan: entry.because("scan"),
        new: entry.action == "finding.created",
        finding: past.finding,
        asset: Arc::new(then.unwrap_or_else(|| asset.clone())),
        happened: told.iter().filter(|one| one.at == entry.at).filter_map(happened).collect(),
        missing,
    }
}

/// What an entry tells of a rule's application.
fn happened(entry: &Entry) -> Option<Happened> {
    let observed = match entry.action.as_str() {
        APPLIED => false,
        OBSERVED => true,
        _ => return None,
    };
    Some(Happened {
        rule: entry.because("rule")?,
        version: entry.cause["version"].as_i64().unwrap_or_default(),
        change: Turn::parse(entry.cause["change"].as_str()?)?,
        observed,
        before: json!(entry.before),
        after: json!(entry.after),
    })
}

/// Which version of a rule stood, and in which mode.
type AsOf = (Uuid, i64, Mode);

/// Passes what was put back, moment by moment, under the rules that held then. Pure.
fn replay(
    rule: Rule,
    stood: &[Stood],
    modes: &[CompanyMode],
    replayed: Vec<Replayed>,
) -> (Vec<Row>, Totals, i64) {
    let incomplete = replayed.iter().filter(|one| !one.missing.is_empty()).count();
    let mut moments: BTreeMap<Timestamp, Vec<usize>> = BTreeMap::new();
    for (place, one) in replayed.iter().enumerate() {
        moments.entry(one.at).or_default().push(place);
    }
    let mut totals = Totals::default();
    let mut rows: Vec<(usize, preview::Row)> = Vec::new();
    // The rules change seldom: those of a moment are most often those of the one before.
    let mut last: Option<(Vec<AsOf>, Matcher, usize)> = None;
    for (at, places) in moments {
        let holding = holding(stood, modes, &rule, at);
        let versions: Vec<AsOf> = holding.iter().map(|rule| (rule.id, rule.version, rule.mode)).collect();
        if last.as_ref().is_none_or(|(known, ..)| *known != versions) {
            let (matcher, place) = with(holding, &rule);
            last = Some((versions, matcher, place));
        }
        let Some((_, matcher, place)) = &last else { continue };
        let pairs: Vec<(&Finding, &Asset)> =
            places.iter().map(|place| (&replayed[*place].finding, &*replayed[*place].asset)).collect();
        let compared = compare(matcher, *place, &pairs, &Exempt::default(), at);
        totals.add(&compared.totals);
        rows.extend(compared.rows.into_iter().map(|row| (places[row.finding], row)));
    }
    rows.sort_unstable_by_key(|(place, _)| *place);
    let mut rows = rows.into_iter().peekable();
    let row = |(place, one): (usize, Replayed)| {
        let (_, row) = rows.next_if(|(of, _)| *of == place)?;
        Some(Row {
            place,
            at: one.at,
            scan: one.scan,
            finding: one.finding,
            new: one.new,
            outcome: row.outcome,
            changes: row.changes,
            messages: row.messages,
            happened: one.happened,
            missing: one.missing,
        })
    };
    let rows = replayed.into_iter().enumerate().filter_map(row).collect();
    (rows, totals, i64::try_from(incomplete).unwrap_or(i64::MAX))
}

/// The rules that held at a moment, but for the one that is tried: of each its last version by then, in
/// the mode that the company had set for it, if it had.
fn holding(stood: &[Stood], modes: &[CompanyMode], tried: &Rule, at: Timestamp) -> Vec<Rule> {
    let mut last: BTreeMap<Uuid, &Stood> = BTreeMap::new();
    for version in stood.iter().filter(|version| version.since <= at && version.rule.id != tried.id) {
        last.insert(version.rule.id, version);
    }
    let mode = |rule: &Rule| {
        let set = modes.iter().rev().find(|set| set.rule == rule.id && set.since <= at);
        set.and_then(|set| set.mode)
    };
    let own = last.into_values().map(|version| version.rule.clone());
    let mut rules: Vec<Rule> = own
        .map(|rule| {
            let mode = mode(&rule);
            rule.under(mode)
        })
        .collect();
    rules.retain(|rule| rule.idle(at).is_none());
    rules.sort_by_key(walk_key);
    rules
}

/// The rules with the one that is tried at its place.
fn with(mut rules: Vec<Rule>, tried: &Rule) -> (Matcher, usize) {
    let place = rules.partition_point(|other| walk_key(other) < walk_key(tried));
    rules.insert(place, Rule { mode: Mode::Enforce, ..tried.clone() });
    (Matcher::new(rules.into_iter().map(LiveRule::of).collect()), place)
}
