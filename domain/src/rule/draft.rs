//! What the author of a rule writes, and what is wrong with it.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value as Json;
use uuid::Uuid;

use super::action::Action;
use super::pass::Mode;
use super::{Content, OnExpiry, Rule, limits};
use crate::Domain;
use crate::access::{Actor, GLOBAL, Permission};
use crate::error::{Error, Result};
use crate::vocabulary::criteria::{Criteria, Fault};
use crate::vocabulary::field::finding::FINDING;
use crate::vocabulary::time::Timestamp;

/// What the author of a rule writes.
#[derive(Clone, Debug)]
pub struct RuleDraft {
    /// Its stable name for programs; made of the name where it is not said. It never changes.
    pub key: Option<String>,
    pub name: String,
    pub description: Option<String>,
    pub order: i32,
    pub mode: Mode,
    pub expires_at: Option<Timestamp>,
    pub on_expiry: OnExpiry,
    pub criteria: Json,
    pub action: Json,
    pub requires_approval: bool,
}

/// Checks criteria for a rule: well formed, and not provably true of every finding.
pub fn check_criteria(criteria: &Json) -> Result<Criteria> {
    let tree = Criteria::parse(&FINDING, criteria)?;
    tree.refuse_tautology()?;
    Ok(tree)
}

impl RuleDraft {
    /// What would be written to leave a rule as it is.
    pub fn of(rule: &Rule) -> Self {
        let content = rule.content.clone();
        Self {
            key: None,
            name: content.name,
            description: content.description,
            order: content.order,
            mode: rule.mode,
            expires_at: content.expires_at,
            on_expiry: content.on_expiry,
            criteria: content.criteria,
            action: serde_json::to_value(&content.action).expect("an action encodes"),
            requires_approval: content.requires_approval,
        }
    }

    /// Checks everything that can be checked without the database.
    pub(crate) fn check(mut self, company: Uuid) -> Result<(Content, Mode)> {
        self.check_words()?;
        let criteria = check_criteria(&self.criteria).map_err(|error| error.at("criteria"))?.to_json();
        let action = self.check_action(company)?;
        let content = Content {
            name: self.name,
            description: self.description,
            order: self.order,
            criteria,
            action,
            expires_at: self.expires_at,
            on_expiry: self.on_expiry,
            requires_approval: self.requires_approval,
        };
        Ok((content, self.mode))
    }

    fn check_words(&mut self) -> Result<()> {
        self.name = self.name.trim().to_owned();
        if self.name.is_empty() || self.name.len() > limits::NAME_BYTES {
            return Err(Error::invalid("name", "A name has 1 to 200 bytes."));
        }
        if let Some(key) = &self.key {
            check_key(key)?;
        }
        self.description =
            self.description.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if self.description.as_ref().is_some_and(|text| text.len() > limits::DESCRIPTION_BYTES) {
            return Err(Error::invalid("description", "A description has at most 8 KiB."));
        }
        Ok(())
    }

    fn check_action(&self, company: Uuid) -> Result<Action> {
        let action = Action::parse(&self.action).map_err(|error| error.at("action"))?;
        let (users, teams) = action.names();
        if company == GLOBAL && !(users.is_empty() && teams.is_empty()) {
            let message = "A global rule names no users or teams: those belong to a company.";
            return Err(Error::invalid("action", message));
        }
        Ok(action)
    }

    /// All that is wrong with it that can be told without the database, and its action if that is in order.
    fn faults(&self, company: Uuid) -> (Vec<Fault>, Option<Action>) {
        let mut faults = Vec::new();
        faults.extend(self.clone().check_words().err().map(Fault::from));
        match Criteria::parse(&FINDING, &self.criteria) {
            Ok(tree) => {
                faults.extend(tree.refuse_tautology().err().map(|fault| fault_of("criteria", &fault)));
            }
            Err(all) => faults.extend(all.iter().map(|fault| fault_of("criteria", fault))),
        }
        match self.check_action(company) {
            Ok(action) => (faults, Some(action)),
            Err(error) => {
                match Action::faults(&self.action) {
                    faulty if faulty.is_empty() => faults.push(error.into()),
                    faulty => faults.extend(faulty.iter().map(|fault| fault_of("action", fault))),
                }
                (faults, None)
            }
        }
    }
}

/// How many users, and how many teams, are looked up in one statement.
const LOOKED_UP: usize = 1_000;

/// The most bytes of a key.
const KEY: usize = 100;

/// Refuses a key that is not of lower-case letters, digits and single hyphens inside.
pub(crate) fn check_key(key: &str) -> Result<()> {
    if !key.is_empty() && key.len() <= KEY && slug(key) == key {
        return Ok(());
    }
    let message = format!("A key has 1 to {KEY} lower-case letters, digits and single hyphens between them.");
    Err(Error::invalid("key", message))
}

/// A name in the letters of keys; empty where it has none of them.
pub(crate) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.truncate(KEY);
    slug.trim_end_matches('-').to_owned()
}

/// A fault of the member `of` of a draft.
fn fault_of(of: &str, fault: &Fault) -> Fault {
    Fault { pointer: format!("/{of}{}", fault.pointer), ..fault.clone() }
}

impl Domain {
    /// All that is wrong with a draft, each with its place in it: nothing is written.
    pub async fn rule_faults(&self, actor: &Actor, draft: &RuleDraft) -> Result<Vec<Fault>> {
        let of_one = self.rules_faults(actor, std::slice::from_ref(draft)).await?;
        Ok(of_one.into_iter().flatten().collect())
    }

    /// The same of each of these drafts: whom their actions name is looked up for all of them together.
    pub(crate) async fn rules_faults(&self, actor: &Actor, drafts: &[RuleDraft]) -> Result<Vec<Vec<Fault>>> {
        let company = actor.allow(Permission::Read)?.company()?;
        let mut found: Vec<_> = drafts.iter().map(|draft| draft.faults(company)).collect();
        let known = self.known_people(actor, found.iter().flat_map(|(_, action)| action)).await?;
        for (faults, action) in &mut found {
            faults.extend(action.iter().flat_map(|action| known.strangers(action)).map(Fault::from));
        }
        Ok(found.into_iter().map(|(faults, _)| faults).collect())
    }

    /// What is wrong with the users and teams that an action names.
    pub(crate) async fn strangers(&self, actor: &Actor, action: &Action) -> Result<Vec<Error>> {
        Ok(self.known_people(actor, [action]).await?.strangers(action))
    }

    /// Those whom these actions name and who are of the company: none is asked for where none is named.
    async fn known_people<'a>(
        &self,
        actor: &Actor,
        actions: impl IntoIterator<Item = &'a Action>,
    ) -> Result<People> {
        let (mut users, mut teams) = (BTreeSet::new(), BTreeSet::new());
        for action in actions {
            let (own_users, own_teams) = action.names();
            users.extend(own_users);
            teams.extend(own_teams);
        }
        let mut known = People::default();
        let (users, teams): (Vec<Uuid>, Vec<Uuid>) =
            (users.into_iter().collect(), teams.into_iter().collect());
        for some in users.chunks(LOOKED_UP) {
            known.users.extend(self.users_by_id(actor, some).await?.into_keys());
        }
        for some in teams.chunks(LOOKED_UP) {
            known.teams.extend(self.teams_by_id(actor, some).await?.into_keys());
        }
        Ok(known)
    }
}

/// Users and teams of a company.
#[derive(Default)]
struct People {
    users: HashSet<Uuid>,
    teams: HashSet<Uuid>,
}

impl People {
    /// An error for each noun of an action of which one is not among these.
    fn strangers(&self, action: &Action) -> Vec<Error> {
        let (users, teams) = action.names();
        let strangers = [
            ("user", users.iter().any(|user| !self.users.contains(user))),
            ("team", teams.iter().any(|team| !self.teams.contains(team))),
        ];
        let unknown = strangers.into_iter().filter(|(_, unknown)| *unknown);
        let error = |noun: &str| Error::not_found(noun).at(&format!("{noun}s")).at("config").at("action");
        unknown.map(|(noun, _)| error(noun)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_key() {
        let cases = [
            ("No Exploit: Critical to High", "no-exploit-critical-to-high"),
            ("  PCI -- tags  ", "pci-tags"),
            ("Überall", "berall"),
            ("…", ""),
        ];
        for (name, key) in cases {
            assert_eq!(slug(name), key, "{name}");
            assert_eq!(check_key(key).is_ok(), !key.is_empty(), "{key}");
        }
        for bad in ["", "A", "-a", "a-", "a--b", "a b", &"a".repeat(101)] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }
}
