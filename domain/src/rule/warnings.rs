//! What is odd about the rules of a company, and about a rule that is about to be one of them.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::analysis::{Analysis, Warning, analyse};
use super::pass::Mode;
use super::preview::{drafted, walk_key};
use super::{Rule, RuleDraft};
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};

impl Domain {
    /// What is odd about the rules that hold for the actor's company, the global ones among them.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub async fn rule_set_warnings(&self, actor: &Actor) -> Result<Analysis> {
        let scope = actor.allow(Permission::Read)?;
        analysed(self.holding(&scope).await?, None).await
    }

    /// What is odd about each of these rules, as its draft has it, among those that hold, as if they
    /// were all enforced.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub async fn rule_warnings(&self, actor: &Actor, rules: &[Rule]) -> Result<HashMap<Uuid, Vec<Warning>>> {
        let scope = actor.allow(Permission::Read)?;
        let about: BTreeSet<Uuid> = rules.iter().map(|rule| rule.id).collect();
        let mut all = self.holding(&scope).await?;
        all.retain(|rule| !about.contains(&rule.id));
        let ids: Vec<Uuid> = about.iter().copied().collect();
        let mut drafts = self.rule_drafts(actor, &ids).await?;
        for rule in rules.iter().filter(|rule| rule.archived_at.is_none()).cloned() {
            let rule = Rule { mode: Mode::Enforce, ..rule };
            all.push(match drafts.remove(&rule.id) {
                Some(draft) => rule.saying(draft.content),
                None => rule,
            });
        }
        all.sort_by_key(walk_key);
        let analysis = analysed(all, Some(about.clone())).await?;
        let mut found: HashMap<Uuid, Vec<Warning>> = HashMap::new();
        for warning in analysis.warnings {
            for id in warning.rules.iter().filter(|id| about.contains(id)) {
                found.entry(*id).or_default().push(warning.clone());
            }
        }
        Ok(found)
    }

    /// What would be odd about a draft among the rules that hold, as if it were enforced; `of` is the
    /// rule whose place it takes. Nothing is told of a draft that is refused. Its own id is nil.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub async fn draft_warnings(
        &self,
        actor: &Actor,
        of: Option<Uuid>,
        draft: &RuleDraft,
    ) -> Result<Vec<Warning>> {
        let scope = actor.allow(Permission::Read)?;
        let company = scope.company()?;
        let Ok((content, _)) = draft.clone().check(company) else { return Ok(Vec::new()) };
        let kept = match of {
            Some(id) => self.db().rule(&scope, id).await?,
            None => None,
        };
        let now = self.clock().now();
        let rule = Rule { mode: Mode::Enforce, ..drafted(kept, content, company, now, Uuid::nil()) };
        let mut all = self.holding(&scope).await?;
        all.retain(|other| other.id != rule.id);
        let about = BTreeSet::from([rule.id]);
        all.push(rule);
        all.sort_by_key(walk_key);
        Ok(analysed(all, Some(about)).await?.warnings)
    }

    async fn holding(&self, scope: &Scope) -> Result<Vec<Rule>> {
        let now = self.clock().now();
        let rules = self.db().rules_that_may_hold(scope).await?;
        Ok(rules.into_iter().filter(|rule| rule.idle(now).is_none()).collect())
    }
}

async fn analysed(rules: Vec<Rule>, about: Option<BTreeSet<Uuid>>) -> Result<Analysis> {
    let analysis = tokio::task::spawn_blocking(move || analyse(&rules, about.as_ref()));
    analysis.await.map_err(Error::internal)
}
