//! The end dates of acceptances, which the server keeps.
//!
//! Every server does this, as often as it keeps house: what is due is asked of an index, and nothing
//! else is looked at. A chunk is one transaction, so that a server which is cut off leaves whole ones,
//! and of two servers that come to the same findings one finds them written by the other. What came due
//! while no server ran is due still.
//!
//! The end date of a rule starts a job that passes the findings on which that rule speaks: once for each
//! company, rule and date.

use serde_json::json;
use uuid::Uuid;

use super::store::{Due, Lapse};
use super::{Acceptance, AcceptanceEnd};
use crate::Domain;
use crate::access::{Actor, Portfolio, Scope};
use crate::error::{Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::finding::batch::Batch;
use crate::finding::change::Change;
use crate::job::Principal;
use crate::ledger::AuditEntry;
use crate::store::{at_work, is_transient};

/// How many findings are opened in one transaction.
const CHUNK: i64 = 250;
/// How many such transactions a company gets before others and the rest of the house have their turn.
const CHUNKS: usize = 40;
/// How many end dates of rules are heard of at a time.
const LAPSES: i64 = 500;
/// How often a chunk is tried again after others wrote its findings or rules meanwhile.
const TRIES: usize = 20;

/// Who ends acceptances, for the audit.
const NAME: &str = "end of acceptances";

impl Domain {
    /// Warns of acceptances that will end, and ends those whose date has come. Returns how many
    /// findings were warned of and how many opened.
    pub async fn keep_acceptances(&self) -> Result<(usize, usize)> {
        at_work(async {
            let (mut warned, mut opened) = (0, 0);
            let now = self.clock().now();
            for company in self.db().companies_due(&Scope::System, Due::Warning, now).await? {
                warned += self.warn_of_ends(company).await?;
            }
            for company in self.db().companies_due(&Scope::System, Due::End, now).await? {
                opened += self.end_due(company).await?;
            }
            for lapse in self.db().rules_to_lapse(&Scope::System, now, LAPSES).await? {
                self.lapse(&lapse).await?;
            }
            Ok((warned, opened))
        })
        .await
    }

    async fn warn_of_ends(&self, company: Uuid) -> Result<usize> {
        let (actor, scope) = server(company);
        let mut warned = 0;
        for _ in 0..CHUNKS {
            let mut tx = self.db().begin(&actor, &scope, self.clock().now()).await?;
            let ending = tx.warn_acceptances(CHUNK).await?;
            if ending.is_empty() {
                break;
            }
            for Acceptance { id, finding, terms, .. } in &ending {
                let told = json!({ "acceptance": id, "until": terms.until, "owner": terms.owner });
                tx.audit(AuditEntry::new("finding.acceptance_ending", *finding).after(told.clone()));
                tx.emit(Event::new(EventKind::FindingAcceptanceEnding, *finding, told));
            }
            warned += ending.len();
            tx.commit().await?;
        }
        Ok(warned)
    }

    async fn end_due(&self, company: Uuid) -> Result<usize> {
        let (actor, scope) = server(company);
        let cause = json!({ "acceptance": AcceptanceEnd::Expired });
        let (mut opened, mut tries) = (0, 0);
        let mut chunks = 0;
        while chunks < CHUNKS {
            let now = self.clock().now();
            let due = self.db().acceptances_to_end(&scope, now, CHUNK).await?;
            if due.is_empty() {
                break;
            }
            let ids: Vec<Uuid> = due.iter().map(|acceptance| acceptance.finding).collect();
            let rules = self.live_rules(&scope, now).await?;
            let findings = self.db().findings_by_id(&scope, &ids).await?;
            let exempt = self.exempt(&scope, &rules, ids).await?;
            let assets = self.db().assets_on(&scope, &findings).await?;
            let mut batch = Batch::new(now, &cause);
            for finding in findings {
                if let Some(asset) = assets.get(&finding.asset) {
                    batch.change(finding, asset, vec![Change::Lapsed { rule: None }])?;
                }
            }
            let outcome = batch.pass(Some((&rules.matcher, &exempt)));
            let changed = usize::try_from(outcome.changed()).unwrap_or_default();
            let mut tx = self.db().begin(&actor, &scope, now).await?;
            let kept = match outcome.write(&mut tx).await {
                Ok(true) => {
                    // With the findings that stood elsewhere already, so that none comes up for ever.
                    let due: Vec<Uuid> = due.iter().map(|acceptance| acceptance.id).collect();
                    tx.end_acceptances(&due, AcceptanceEnd::Expired).await?;
                    tx.commit_under(rules.version).await?.is_some()
                }
                Ok(false) => false,
                Err(error) if is_transient(&error) => false,
                Err(error) => return Err(error),
            };
            if kept {
                opened += changed;
                (chunks, tries) = (chunks + 1, 0);
                continue;
            }
            tries += 1;
            if tries == TRIES {
                return Err(Error::internal(
                    "findings were written by others every time they were to be opened",
                ));
            }
        }
        Ok(opened)
    }

    /// Starts the job in which findings hear of the end date of a rule.
    async fn lapse(&self, lapse: &Lapse) -> Result<()> {
        let (actor, scope) = server(lapse.company);
        let mut tx = self.db().begin(&actor, &scope, self.clock().now()).await?;
        if !tx.note_lapse(lapse).await? {
            return Ok(());
        }
        let params = json!({ "rule": lapse.rule, "until": lapse.until });
        tx.start_sweep(self.clock().id(), &Principal::of(&actor), &params).await?;
        tx.commit().await?;
        self.wake_jobs();
        Ok(())
    }
}

/// The server itself, for a company.
fn server(company: Uuid) -> (Actor, Scope) {
    (Actor::system(company, NAME), Scope::Company(company, Portfolio::Whole))
}
