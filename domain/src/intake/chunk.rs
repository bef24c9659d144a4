//! One chunk of an import: what is kept of its findings is read, everything is worked out in memory
//! and brought into the form in which it is written, and then it is written in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::proof::rules_digest;
use super::reading::Handed;
use super::report::{Fingerprint, Reported};
use super::stored::{Counts, Stored};
use super::storing::Import;
use crate::error::{Error, Result};
use crate::finding::batch::Batch;
use crate::finding::change::Change;
use crate::finding::facts::{Evidence, Finding, Sighting, scanner_statements};
use crate::finding::layers::Layers;
use crate::finding::shown::Shown;
use crate::finding::store::Written;
use crate::intake::text;
use crate::intel::fact::Known;
use crate::intel::vex::store::Row;
use crate::inventory::asset::{self, Asset, store as assets};
use crate::ledger::Speaker;
use crate::ledger::store::Pending;
use crate::store::RulesVersion;
use crate::vocabulary::time::Timestamp;

/// What the second reading hands over at a time.
#[derive(Default)]
pub(super) struct Chunk {
    pub findings: Vec<Handed>,
    /// How many findings stand between these of which there is nothing to do.
    pub same: i64,
}

/// How a chunk came out.
pub(super) enum Attempt {
    Kept(Stored),
    /// Others wrote the same findings or the rules meanwhile.
    Again,
    /// The job is no longer ours.
    Lost,
}

/// All that is to be written of a chunk, and under which rules it was worked out.
pub(super) struct Prepared {
    rules: RulesVersion,
    rules_digest: Option<Uuid>,
    pending: Pending,
    written: Written,
    pub assets: Vec<Asset>,
    /// The findings of which nothing is new but that they were seen, and what was said of them.
    seen: Vec<(Uuid, i64)>,
    findings: i64,
    counts: Counts,
    /// Whether some finding of the chunk was seen later by another scan.
    elsewhere: bool,
    /// What it says as a VEX document.
    statements: Vec<Row>,
}

#[derive(Default)]
struct Assets {
    by_id: HashMap<Uuid, Asset>,
    by_name: HashMap<String, Asset>,
    /// Those of `by_name` that are not kept yet.
    new: Vec<Asset>,
}

impl Assets {
    fn with_id(&self, id: Uuid) -> Result<&Asset> {
        self.by_id.get(&id).ok_or_else(|| Error::internal("a finding is on an asset that is not there"))
    }

    fn named(&self, name: &str) -> Result<&Asset> {
        self.by_name.get(name).ok_or_else(|| Error::internal("an asset was neither found nor made"))
    }
}

impl Import {
    /// Reads what is kept of a chunk, and works out in memory all that is to be written. `ahead`:
    /// the assets that the chunk before it is about to make.
    pub(super) async fn prepare(&self, chunk: &Chunk, ahead: &HashMap<String, Asset>) -> Result<Prepared> {
        let now = self.domain.clock().now();
        let rules = self.domain.live_rules(&self.scope, now).await?;
        let fingerprints = chunk.findings.iter().map(|handed| handed.fingerprint);
        let db = self.domain.db();
        let mut known = db.findings_by_fingerprint(&self.scope, self.params.project, fingerprints).await?;
        let assets = self.assets(chunk, &known, ahead, now).await?;
        let kept: Vec<Uuid> = known.values().map(|finding| finding.id).collect();
        let vulnerabilities = known.values().flat_map(Finding::vulnerabilities);
        let reported = chunk.findings.iter().flat_map(|handed| {
            let own = handed.reported.scanner_reference.as_deref().map(text::vulnerability);
            handed.reported.cve_ids.iter().cloned().chain(own)
        });
        let named = reported.chain(vulnerabilities).map(|name| (self.params.project, name));
        let facts = self.domain.known(&self.scope, &rules, named).await?;
        let mut batch = Batch::of_scan(now, &self.cause);
        let mut older = 0;
        // Of those that are kept: by whom they were seen before, and by whom now.
        let mut sightings = HashMap::new();
        for Handed { reported, fingerprint, named } in &chunk.findings {
            let by = Sighting {
                series: self.series.id,
                present: true,
                said: Some(self.checked.named.said(*named)),
            };
            match known.remove(fingerprint) {
                Some(finding) if finding.last_seen_at > self.scanned_at => older += 1,
                Some(finding) => {
                    sightings.insert(finding.id, (finding.sighting, by));
                    let asset = assets.with_id(finding.asset)?;
                    batch.change(finding, asset, self.sighted(reported, by, asset, facts.as_ref()))?;
                }
                None => {
                    let asset = assets.named(&reported.asset.name)?;
                    let finding = self.found(reported, *fingerprint, by, asset, now);
                    batch.create(finding, asset, facts.as_ref())?;
                }
            }
        }
        let exempt = self.domain.exempt(&self.scope, &rules, kept).await?;
        let outcome = batch.pass(Some((&rules.matcher, &exempt)));
        let counts = Counts {
            created: outcome.created(),
            changed: outcome.changed(),
            unchanged: chunk.same + older + i64::try_from(outcome.unchanged().len()).unwrap_or(i64::MAX),
            ..Counts::default()
        };
        // Its series says for all that is present in it when it was seen.
        let seen = outcome.unchanged().iter().filter_map(|id| {
            let (before, by) = sightings.get(id)?;
            (!self.proof.covers || *before != Some(*by)).then_some((*id, by.said?))
        });
        let seen = seen.collect();
        let actor = self.job.principal.actor(self.job.company);
        let mut pending = Pending::new(self.job.company, Speaker::of(&actor), now);
        asset::tell_new(&mut pending, &assets.new);
        let written = outcome.encode(&mut pending);
        Ok(Prepared {
            rules: rules.version,
            rules_digest: rules_digest(&rules),
            pending,
            written,
            assets: assets.new,
            seen,
            findings: i64::try_from(chunk.findings.len()).unwrap_or(i64::MAX) + chunk.same,
            counts,
            elsewhere: older > 0,
            statements: self.statements(chunk),
        })
    }

    /// Writes what was prepared.
    pub(super) async fn keep(&self, prepared: Prepared, stored: &Stored) -> Result<Attempt> {
        let tx = self.domain.db().begin_with(&self.scope, prepared.pending).await?;
        if !asset::insert_new(&tx, &prepared.assets).await? || !tx.write_findings(prepared.written).await? {
            return Ok(Attempt::Again);
        }
        tx.sight_findings(self.series.id, self.scanned_at, &prepared.seen).await?;
        self.keep_statements(&tx, &prepared.statements).await?;
        let mut after = stored.clone();
        after.add(prepared.findings, &prepared.counts);
        after.passed_under(prepared.rules_digest);
        after.elsewhere |= prepared.elsewhere;
        if !tx.step_job(&self.job, &after.step(&self.checked, "storing", None)).await? {
            return Ok(Attempt::Lost);
        }
        Ok(if tx.commit_under(prepared.rules).await?.is_some() {
            Attempt::Kept(after)
        } else {
            Attempt::Again
        })
    }

    /// What is to happen to a finding that was seen again.
    fn sighted(
        &self,
        reported: &Reported,
        by: Sighting,
        asset: &Asset,
        facts: Option<&Arc<Known>>,
    ) -> Vec<Change> {
        let sighted = Change::Sighted {
            evidence: Box::new(Evidence::of(&self.checked.head.scanner, reported)),
            facts: scanner_statements(reported),
            seen_at: self.scanned_at,
            by,
        };
        let informed =
            facts.map(|known| Change::Informed { known: Arc::clone(known), asset: asset.reported() });
        std::iter::once(sighted).chain(informed).collect()
    }

    /// A finding that was not known.
    fn found(
        &self,
        reported: &Reported,
        fingerprint: Fingerprint,
        by: Sighting,
        asset: &Asset,
        now: Timestamp,
    ) -> Finding {
        let mut layers = Layers::new();
        layers.refresh(scanner_statements(reported));
        let id = self.domain.clock().id();
        let mut finding = Finding {
            id,
            company: self.job.company,
            project: self.params.project,
            asset: asset.id,
            fingerprint,
            issue: id,
            issue_by: None,
            evidence: Evidence::of(&self.checked.head.scanner, reported),
            shown: Shown::of(&layers),
            layers,
            first_seen_at: reported.first_seen_at.unwrap_or(self.scanned_at).min(self.scanned_at),
            last_seen_at: self.scanned_at,
            sighting: Some(by),
            closed_at: None,
            sla_breached: None,
            due_at: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        finding.correlate();
        finding
    }

    /// The assets that a chunk is on: those that are kept, and new ones for names that are not.
    async fn assets(
        &self,
        chunk: &Chunk,
        known: &HashMap<Fingerprint, Finding>,
        ahead: &HashMap<String, Asset>,
        now: Timestamp,
    ) -> Result<Assets> {
        let mut ids: Vec<Uuid> = known.values().map(|finding| finding.asset).collect();
        ids.sort_unstable();
        ids.dedup();
        let new = chunk.findings.iter().filter(|handed| !known.contains_key(&handed.fingerprint));
        let mut names: Vec<&Reported> = new.map(|handed| &handed.reported).collect();
        names.sort_unstable_by(|a, b| a.asset.cmp(&b.asset));
        names.dedup_by(|a, b| a.asset.name == b.asset.name);
        let db = self.domain.db();
        let by_id = assets::by_id(db.read(), db.dialect, &self.scope, &ids).await?;
        let by_name: Vec<&str> = names.iter().map(|reported| reported.asset.name.as_str()).collect();
        let by_name = assets::by_name(db.read(), db.dialect, &self.scope, &by_name).await?;
        let mut assets = Assets { by_id, by_name, new: Vec::new() };
        for reported in names {
            if assets.by_name.contains_key(&reported.asset.name) {
                continue;
            }
            if let Some(asset) = ahead.get(&reported.asset.name) {
                assets.by_name.insert(asset.name.clone(), asset.clone());
                continue;
            }
            let asset = Asset {
                id: self.domain.clock().id(),
                company: self.job.company,
                name: reported.asset.name.clone(),
                kind: reported.asset.kind.clone(),
                class: None,
                groups: Vec::new(),
                criticality: None,
                environment: None,
                internet_exposed: None,
                owner_team: None,
                tags: Vec::new(),
                archived_at: None,
                created_at: now,
                updated_at: now,
                version: 1,
            };
            assets.new.push(asset.clone());
            assets.by_name.insert(asset.name.clone(), asset);
        }
        Ok(assets)
    }
}
