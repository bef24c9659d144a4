//! Taking back what a rule did.
//!
//! An application stands until the rule's next turn on its finding. A revoke takes what the rule says
//! away from each finding where an application that it means still stands, and says of every finding
//! what came of it. It runs no rules, and knows of nothing that was applied after it began: it reads the
//! audit up to the number that stood there then. What it took it exempts the findings from, so that the
//! next pass does not bring it back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::exemption::Exemption;
use super::{Rule, application};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::finding::batch::{Batch, Outcome};
use crate::finding::change::{Change, RuleAt};
use crate::finding::facts::Finding;
use crate::finding::layers::{LayeredField, RevokeConflict, RevokeMode, Source, fields_of, revoke};
use crate::job::{Job, JobKind, JobState, Principal};
use crate::ledger::AuditEntry;
use crate::store::Tx;
use crate::vocabulary::terms::{Term, terms};
use crate::vocabulary::time::Timestamp;

pub mod listing;
pub mod preview;
mod run;
pub(crate) mod store;

/// Up to how many findings a revoke happens at once.
pub const INLINE: usize = 200;
/// How many applications may then have to be looked at for them.
const INLINE_TURNS: usize = 1_000;
/// How many applications a revoke may name.
pub const NAMED: usize = 10_000;
const TRIES: usize = 20;

terms! {
    /// What became of one finding: everything of the rule is gone; some of it, the rest lies under
    /// others; nothing, as all of it lies under others; the application did not stand any more; the
    /// finding is not there any more.
    RevokeOutcome {
        Restored = "RESTORED", Partial = "PARTIAL", Conflict = "CONFLICT",
        AlreadyReverted = "ALREADY_REVERTED", Gone = "GONE",
    }
}

impl RevokeOutcome {
    /// Its name among the counts of a job.
    pub fn counted(self) -> String {
        self.word().to_ascii_lowercase()
    }
}

/// What to take back.
#[derive(Clone, Debug)]
pub enum RevokeOf {
    /// These applications, of one rule.
    Applications(Vec<Uuid>),
    /// Those of a rule: not before `from`, and before `to`.
    Rule { rule: Uuid, from: Option<Timestamp>, to: Option<Timestamp> },
    /// What an earlier revoke left as it lay under others.
    Conflicts { job: Uuid },
}

#[derive(Clone, Debug)]
pub struct RevokeRequest {
    pub of: RevokeOf,
    pub mode: RevokeMode,
    /// Turns the rule off in the same transaction.
    pub turn_off: bool,
    /// Runs the rules over all findings afterwards.
    pub sweep: bool,
    pub reason: Option<String>,
}

/// Which applications of its rule a revoke means, told once and for all when it begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Picks {
    Between {
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    },
    /// By their numbers, one a finding, sorted.
    Named(Vec<i64>),
    Conflicts(Uuid),
}

/// A revoke as its job keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revoke {
    pub rule: Uuid,
    pub version: i64,
    pub content_hash: String,
    pub mode: RevokeMode,
    pub picks: Picks,
    /// The newest audit entry when it began.
    pub until: i64,
    /// Whether it leaves exemptions: an expiry does not, as the rule has ended by itself.
    pub exempt: bool,
    pub turned_off: bool,
    /// The sweep that is to follow.
    pub sweep: Option<Uuid>,
    pub reason: Option<String>,
}

/// A finding that a revoke means, with the application that it means there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pick {
    pub finding: Uuid,
    /// The number of the newest application that the revoke means.
    pub application: i64,
    /// The number of the newest of all.
    pub newest: i64,
}

/// What a revoke makes of a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub outcome: RevokeOutcome,
    /// The fields that show what lies below.
    pub restored: Vec<&'static str>,
    pub conflicts: Vec<RevokeConflict>,
}

impl Judged {
    fn bare(outcome: RevokeOutcome) -> Self {
        Self { outcome, restored: Vec::new(), conflicts: Vec::new() }
    }

    /// Whether anything is taken from the finding.
    pub fn takes(&self) -> bool {
        matches!(self.outcome, RevokeOutcome::Restored | RevokeOutcome::Partial)
    }
}

/// Judges what a revoke makes of a finding, if it is there. Pure. `stands`: whether the application that
/// it means is the rule's newest there.
pub fn judge(finding: Option<&Finding>, stands: bool, rule: Uuid, mode: RevokeMode) -> Judged {
    let Some(finding) = finding else { return Judged::bare(RevokeOutcome::Gone) };
    let words = finding.layers.words_of(Source::rule(rule));
    if !stands || words.is_empty() {
        return Judged::bare(RevokeOutcome::AlreadyReverted);
    }
    let mut layers = finding.layers.clone();
    let (taken, conflicts) = revoke(&mut layers, rule, mode);
    let kept = layers.words_of(Source::rule(rule));
    let restored = fields_of(words.iter().filter(|word| !kept.contains(word)));
    let restored = restored.into_iter().map(LayeredField::word).collect();
    let outcome = match (taken, conflicts.is_empty()) {
        (true, true) => RevokeOutcome::Restored,
        (true, false) => RevokeOutcome::Partial,
        (false, _) => RevokeOutcome::Conflict,
    };
    Judged { outcome, restored, conflicts }
}

/// Findings that were judged together, ready to be written.
pub(super) struct Chunk {
    pub outcome: Outcome,
    pub judged: Vec<(Pick, Judged)>,
}

impl Revoke {
    fn rule_at(&self) -> RuleAt {
        RuleAt { id: self.rule, version: self.version, content_hash: self.content_hash.clone() }
    }

    /// What is told of everything that it does.
    fn cause(&self, job: Uuid) -> Json {
        let mut cause = Map::from_iter([("revoke".to_owned(), json!(job))]);
        cause.extend(self.reason.clone().map(|reason| ("reason".to_owned(), reason.into())));
        cause.into()
    }

    pub(super) fn of(job: &Job) -> Result<Self> {
        serde_json::from_value(job.params.clone()).map_err(Error::internal)
    }
}

impl Job {
    /// What the job takes back, if it does.
    pub fn revoke(&self) -> Option<Revoke> {
        (self.kind == JobKind::Revoke).then(|| Revoke::of(self).ok()).flatten()
    }
}

impl Rule {
    /// Whether the actor may take back what this rule, which it sees, did in its company.
    pub fn may_revoke(&self, actor: &Actor) -> Result<()> {
        actor.allow(Permission::WriteRules)?.of_tenant().map(drop)
    }
}

impl Domain {
    /// Takes back what a rule did: at once, as a job that has ended when this returns, or as one that
    /// goes on.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` for applications, rules and jobs out of sight; `INVALID` and `ILLEGAL_STATE` for what
    /// cannot be meant.
    pub async fn rule_revoke(&self, actor: &Actor, request: RevokeRequest) -> Result<Job> {
        let scope = actor.allow(Permission::WriteRules)?.of_tenant()?;
        let (rule, mut revoke) = self.revoke_of(actor, &scope, &request).await?;
        let id = self.clock().id();
        for _ in 0..TRIES {
            let some = self.db().picks(&scope, &revoke, None, INLINE_TURNS + 1).await?;
            let small = some.len() <= INLINE_TURNS && store::findings(&some).len() <= INLINE;
            let now = self.clock().now();
            let chunk = match small {
                true => Some(self.judged(&scope, &revoke, id, &some).await?),
                false => None,
            };
            let mut tx = self.db().begin(actor, &scope, now).await?;
            if request.turn_off {
                tx.turn_off(actor, &scope, &rule).await?;
            }
            let principal = Principal::of(actor);
            let Some(chunk) = chunk else {
                // What is applied before this commits is meant too.
                tx.lock_ledger().await?;
                revoke.until = tx.audit_seq().await?;
                tx.begin_revoke(id, &revoke, &principal, JobState::Pending).await?;
                tx.answer(id);
                tx.commit().await?;
                self.wake_jobs();
                return self.job(actor, id).await;
            };
            tx.begin_revoke(id, &revoke, &principal, JobState::Running).await?;
            let mut counts = Counts::default();
            if !self.keep_chunk(&mut tx, &revoke, (id, actor.id), chunk, &mut counts).await? {
                continue;
            }
            let total = counts.done();
            tx.step_job_at(id, 0, &counts.step(None, total, Some((JobState::Completed, None)))).await?;
            tx.end_revoke(id, &revoke, &principal, &counts).await?;
            tx.answer(id);
            tx.commit().await?;
            self.wake_jobs();
            return self.job(actor, id).await;
        }
        Err(Error::internal("findings were written by others every time the revoke was tried"))
    }

    /// What a request means, as of now.
    async fn revoke_of(
        &self,
        actor: &Actor,
        scope: &Scope,
        request: &RevokeRequest,
    ) -> Result<(Rule, Revoke)> {
        let reason = request.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| reason.len() > 8 * 1_024) {
            return Err(Error::invalid("reason", "A reason has at most 8 KiB."));
        }
        let until = self.db().ledger_head(scope).await?.audit_seq;
        let (rule, picks) = match &request.of {
            RevokeOf::Applications(ids) => self.named(actor, scope, ids).await?,
            RevokeOf::Rule { from: Some(from), to: Some(to), .. } if from >= to => {
                return Err(Error::invalid("to", "The end lies behind the beginning.").at("rule").at("of"));
            }
            RevokeOf::Rule { rule, from, to } => (*rule, Picks::Between { from: *from, to: *to }),
            RevokeOf::Conflicts { job } => {
                let place = |error: Error| error.at("job").at("followUp").at("of");
                let earlier = self.job(actor, *job).await.map_err(place)?;
                let revoke = earlier.revoke().filter(|_| earlier.state.is_end()).ok_or_else(|| {
                    let message = "The job is no revoke that has ended.";
                    place(Error::new(Code::IllegalState, message))
                })?;
                (revoke.rule, Picks::Conflicts(*job))
            }
        };
        let rule = self.rule(actor, rule).await.map_err(|error| error.at("rule").at("rule").at("of"))?;
        let revoke = Revoke {
            rule: rule.id,
            version: rule.live_version(),
            content_hash: rule.content_hash.clone(),
            mode: request.mode,
            picks,
            until,
            exempt: true,
            turned_off: request.turn_off,
            sweep: request.sweep.then(|| self.clock().id()),
            reason: reason.map(str::to_owned),
        };
        Ok((rule, revoke))
    }

    /// The rule of these applications, and their numbers: of each finding the newest.
    async fn named(&self, actor: &Actor, scope: &Scope, ids: &[Uuid]) -> Result<(Uuid, Picks)> {
        let place = |error: Error| error.at("applications").at("of");
        if ids.is_empty() || ids.len() > NAMED {
            return Err(place(Error::new(Code::Invalid, format!("Name 1 to {NAMED} applications."))));
        }
        let company = scope.company()?;
        let known = self.rule_applications_by_id(actor, ids).await?;
        let mut newest: HashMap<Uuid, i64> = HashMap::new();
        let mut rule = None;
        for id in ids {
            let one = known
                .get(id)
                .ok_or_else(|| place(Error::not_found("rule application")).with("id", id.to_string()))?;
            if one.observed {
                let message = "A rule that is observed applies nothing: there is nothing to take back.";
                return Err(place(Error::new(Code::IllegalState, message)));
            }
            if *rule.get_or_insert(one.rule) != one.rule {
                return Err(place(Error::new(Code::Invalid, "Name applications of one rule.")));
            }
            debug_assert_eq!(application::seq_of(company, *id), Some(one.seq));
            let newest = newest.entry(one.finding).or_insert(one.seq);
            *newest = one.seq.max(*newest);
        }
        let mut seqs: Vec<i64> = newest.into_values().collect();
        seqs.sort_unstable();
        rule.map(|rule| (rule, Picks::Named(seqs))).ok_or_else(|| Error::internal("nothing was named"))
    }

    /// Reads the findings of these turns and judges each once, at the newest of its turns that are
    /// meant. The findings are read before it is looked which application stands there: what is applied
    /// between the two is seen, and left alone.
    pub(super) async fn judged(
        &self,
        scope: &Scope,
        revoke: &Revoke,
        job: Uuid,
        turns: &[store::Turned],
    ) -> Result<Chunk> {
        let ids = store::findings(turns);
        let findings = self.db().findings_by_id(scope, &ids).await?;
        let picks = self.db().newest_turns(scope, revoke, turns, &ids).await?;
        let assets = self.db().assets_on(scope, &findings).await?;
        let mut findings: HashMap<Uuid, Finding> = findings.into_iter().map(|one| (one.id, one)).collect();
        let rules = Arc::new(self.rules_on(scope, revoke, findings.values()).await?);
        let cause = revoke.cause(job);
        let mut batch = Batch::new(self.clock().now(), &cause);
        let mut judged = Vec::with_capacity(picks.len());
        for pick in picks {
            let finding = findings.remove(&pick.finding);
            let stands = pick.application == pick.newest;
            let what = judge(finding.as_ref(), stands, revoke.rule, revoke.mode);
            if let Some(finding) = finding.filter(|_| what.takes()) {
                let asset = assets.get(&finding.asset);
                let asset = asset.ok_or_else(|| Error::internal("a finding has no asset"))?;
                let (rule, mode, rules) = (revoke.rule, revoke.mode, Arc::clone(&rules));
                batch.change(finding, asset, vec![Change::Revoked { rule, mode, rules }])?;
            }
            judged.push((pick, what));
        }
        Ok(Chunk { outcome: batch.pass(None), judged })
    }

    /// The rules of which something may be taken, as they stand: with FORCE, all that lie above.
    async fn rules_on<'f>(
        &self,
        scope: &Scope,
        revoke: &Revoke,
        findings: impl Iterator<Item = &'f Finding>,
    ) -> Result<Vec<RuleAt>> {
        let mut rules = vec![revoke.rule_at()];
        if revoke.mode == RevokeMode::Safe {
            return Ok(rules);
        }
        let mut others: Vec<Uuid> = findings.flat_map(|finding| finding.layers.rules()).collect();
        others.sort_unstable();
        others.dedup();
        others.retain(|other| *other != revoke.rule);
        if others.is_empty() {
            return Ok(rules);
        }
        let others = self.db().rules_by_id(scope, &others).await?;
        rules.extend(others.into_iter().map(|other| RuleAt {
            id: other.id,
            version: other.live_version(),
            content_hash: other.content_hash,
        }));
        Ok(rules)
    }

    /// Writes what was judged: the findings, their exemptions and what came of each. `false`: a finding
    /// was written by somebody else meanwhile, and nothing of the transaction may be kept.
    pub(super) async fn keep_chunk(
        &self,
        tx: &mut Tx,
        revoke: &Revoke,
        (job, author): (Uuid, Uuid),
        chunk: Chunk,
        counts: &mut Counts,
    ) -> Result<bool> {
        let Chunk { outcome, judged } = chunk;
        if !outcome.write(tx).await? {
            return Ok(false);
        }
        if revoke.exempt {
            let exemption = |(pick, _): &(Pick, Judged)| Exemption {
                id: self.clock().id(),
                rule: revoke.rule,
                finding: pick.finding,
                content_hash: revoke.content_hash.clone(),
                job,
                author,
                created_at: tx.now(),
            };
            let taken = judged.iter().filter(|(_, judged)| judged.takes());
            let exemptions: Vec<Exemption> = taken.map(exemption).collect();
            tx.keep_exemptions(&exemptions).await?;
        }
        tx.keep_outcomes(job, counts.done(), &judged).await?;
        judged.iter().for_each(|(_, judged)| counts.add(judged.outcome));
        Ok(true)
    }
}

/// How many findings came out how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<RevokeOutcome, i64>);

impl Counts {
    pub(super) fn read(job: &Job) -> Self {
        let count = |outcome: &RevokeOutcome| {
            let count = job.counts.get(&outcome.counted()).and_then(Json::as_i64)?;
            Some((*outcome, count))
        };
        Self(RevokeOutcome::ALL.iter().filter_map(count).collect())
    }

    pub(super) fn add(&mut self, outcome: RevokeOutcome) {
        *self.0.entry(outcome).or_default() += 1;
    }

    pub fn get(&self, outcome: RevokeOutcome) -> i64 {
        self.0.get(&outcome).copied().unwrap_or_default()
    }

    pub(super) fn done(&self) -> i64 {
        self.0.values().sum()
    }

    pub(super) fn told(&self) -> Map<String, Json> {
        RevokeOutcome::ALL.iter().map(|outcome| (outcome.counted(), json!(self.get(*outcome)))).collect()
    }
}

impl Tx {
    /// Turns a rule off for the company: its own, or by its mode for a global one.
    async fn turn_off(&mut self, actor: &Actor, scope: &Scope, rule: &Rule) -> Result<()> {
        use super::pass::Mode;

        if rule.is_global() {
            return self.set_company_mode(rule, Some(Mode::Off), actor.id).await;
        }
        let before = self.rule_to_edit(scope, rule.id, None).await?;
        let after = Rule { mode: Mode::Off, ..before.clone() };
        self.rewrite_rule(actor, "rule.mode_set", before, after).await.map(drop)
    }

    /// Makes the job of a revoke, and says what it is about.
    pub(super) async fn begin_revoke(
        &mut self,
        id: Uuid,
        revoke: &Revoke,
        principal: &Principal,
        state: JobState,
    ) -> Result<()> {
        let params = serde_json::to_value(revoke).map_err(Error::internal)?;
        self.insert_job(id, JobKind::Revoke, state, principal, None, &params).await?;
        let told = json!({ "job": id, "mode": revoke.mode, "picks": revoke.picks, "until": revoke.until,
                           "turned_off": revoke.turned_off, "version": revoke.version });
        let entry = AuditEntry::new("rule.revoked", revoke.rule).after(told);
        self.audit(match &revoke.reason {
            Some(reason) => entry.because(json!({ "reason": reason })),
            None => entry,
        });
        Ok(())
    }

    /// Says what came of a revoke, and starts the sweep that is to follow.
    pub(super) async fn end_revoke(
        &mut self,
        id: Uuid,
        revoke: &Revoke,
        principal: &Principal,
        counts: &Counts,
    ) -> Result<()> {
        self.audit(
            AuditEntry::new("job.ended", id)
                .after(json!({ "state": JobState::Completed, "counts": counts.told() })),
        );
        if let Some(sweep) = revoke.sweep {
            self.start_sweep(sweep, principal, &json!({})).await?;
        }
        Ok(())
    }
}
