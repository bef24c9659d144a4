//! Teams: groups of a company's members that own assets and are assigned findings.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::inventory::record::{Record, taken};
use crate::inventory::{input, user};
use crate::page::{OrderBy, Page, PageArgs, Window};
use crate::store::Tx;
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// The most members of a team.
pub const MEMBERS: usize = 500;

#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    pub id: Uuid,
    pub company: Uuid,
    /// Unique in its company.
    pub name: String,
    pub archived_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// Which teams a list has: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct TeamFilter {
    /// A part of the name, ignoring ASCII case.
    pub query: Option<String>,
    pub archived: Option<bool>,
    /// One of its members.
    pub member: Option<Uuid>,
}

terms! {
    /// What teams are sorted by.
    TeamOrder { Name = "NAME", CreatedAt = "CREATED_AT" }
}

/// A team with the ids of its members, as the ledger tells of it.
struct Roster {
    team: Team,
    members: Vec<Uuid>,
}

impl Record for Roster {
    const NOUN: &'static str = "team";

    fn id(&self) -> Uuid {
        self.team.id
    }

    fn version(&self) -> i64 {
        self.team.version
    }

    fn facts(&self) -> Json {
        json!({
            "name": self.team.name,
            "archived": self.team.archived_at.is_some(),
            "members": self.members,
        })
    }
}

const TAKEN: &str = "a team of this name";

impl Domain {
    pub async fn team(&self, actor: &Actor, id: Uuid) -> Result<Team> {
        let found = self.teams_by_id(actor, &[id]).await?.remove(&id);
        found.ok_or_else(|| Error::not_found(Roster::NOUN))
    }

    pub async fn teams(
        &self,
        actor: &Actor,
        filter: &TeamFilter,
        order: OrderBy<TeamOrder>,
        page: &PageArgs,
    ) -> Result<Page<Team>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().teams(&scope, filter, &Window::new(page, order.sort())?).await
    }

    pub async fn team_count(&self, actor: &Actor, filter: &TeamFilter) -> Result<i64> {
        self.db().team_count(&actor.allow(Permission::Read)?, filter).await
    }

    /// The teams of these ids in the actor's company.
    pub async fn teams_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Team>> {
        let scope = actor.allow(Permission::Read)?;
        store::by_id(self.db().read(), self.db().dialect, &scope, ids).await
    }

    /// The ids of the members of these teams, by team; at most [`MEMBERS`] each.
    pub async fn team_members(&self, actor: &Actor, teams: &[Uuid]) -> Result<HashMap<Uuid, Vec<Uuid>>> {
        let scope = actor.allow(Permission::Read)?;
        store::members(self.db().read(), self.db().dialect, &scope, teams).await
    }

    pub async fn team_create(&self, actor: &Actor, name: &str, members: &[Uuid]) -> Result<Team> {
        let scope = actor.allow(Permission::ManageMembers)?.of_tenant()?;
        let name = input::name("name", name, input::NAME)?;
        let mut tx = self.begin(actor, &scope).await?;
        let now = tx.now();
        let id = self.clock().id();
        let team = Team {
            id,
            company: tx.company,
            name,
            archived_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let members = checked_members(&tx, &scope, members).await?;
        store::insert(&tx, &team).await.map_err(|error| taken(error, "name", TAKEN))?;
        store::add_members(&tx, &team, &members).await?;
        let made = Roster { team, members };
        tx.audit_created("team.created", &made);
        tx.commit().await?;
        Ok(made.team)
    }

    pub async fn team_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        name: Option<&str>,
    ) -> Result<Team> {
        let (tx, _, before) = self.team_begin(actor, id, expected_version).await?;
        let mut team = before.team.clone();
        if let Some(name) = name {
            team.name = input::name("name", name, input::NAME)?;
        }
        let after = Roster { team, members: before.members.clone() };
        save(tx, "team.updated", &before, after).await
    }

    /// Adds members of the company to a team, and takes others out of it.
    pub async fn team_members_change(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        add: &[Uuid],
        remove: &[Uuid],
    ) -> Result<Team> {
        let (tx, scope, before) = self.team_begin(actor, id, expected_version).await?;
        let mut members = before.members.clone();
        members.extend_from_slice(add);
        members.retain(|member| !remove.contains(member));
        members.sort_unstable();
        members.dedup();
        let new: Vec<Uuid> =
            members.iter().copied().filter(|member| !before.members.contains(member)).collect();
        checked_members(&tx, &scope, &new).await.map_err(|error| error.at("add"))?;
        if members.len() > MEMBERS {
            return Err(Error::invalid("add", format!("A team has at most {MEMBERS} members.")));
        }
        store::add_members(&tx, &before.team, &new).await?;
        store::remove_members(&tx, &before.team, remove).await?;
        let after = Roster { team: before.team.clone(), members };
        save(tx, "team.members_changed", &before, after).await
    }

    /// Archives a team, or takes it back. What it owns and is assigned stays.
    pub async fn team_archive(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        archived: bool,
    ) -> Result<Team> {
        let (tx, _, before) = self.team_begin(actor, id, expected_version).await?;
        let mut team = before.team.clone();
        team.archived_at = archived.then(|| team.archived_at.unwrap_or(tx.now()));
        let action = if archived { "team.archived" } else { "team.unarchived" };
        let after = Roster { team, members: before.members.clone() };
        save(tx, action, &before, after).await
    }

    async fn team_begin(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
    ) -> Result<(Tx, Scope, Roster)> {
        let scope = actor.allow(Permission::ManageMembers)?;
        let tx = self.begin(actor, &scope).await?;
        let team = store::lock(&tx, &scope, id).await?;
        let members = store::members(tx.conn(), tx.dialect, &scope, &[id]).await?.remove(&id);
        let roster = Roster { team, members: members.unwrap_or_default() };
        tx.expect_version(&roster, expected_version).await?;
        Ok((tx, scope, roster))
    }
}

async fn save(mut tx: Tx, action: &'static str, before: &Roster, after: Roster) -> Result<Team> {
    if tx.audit_changed(action, before, &after).is_none() {
        return Ok(after.team);
    }
    let mut team = after.team;
    team.updated_at = tx.now();
    team.version += 1;
    store::update(&tx, &team).await.map_err(|error| taken(error, "name", TAKEN))?;
    tx.commit().await?;
    Ok(team)
}

/// The ids, sorted and without repeats, if all are members of the company.
async fn checked_members(tx: &Tx, scope: &Scope, members: &[Uuid]) -> Result<Vec<Uuid>> {
    let mut members = members.to_vec();
    members.sort_unstable();
    members.dedup();
    if members.len() > MEMBERS {
        return Err(Error::invalid("members", format!("A team has at most {MEMBERS} members.")));
    }
    let known = user::store::by_id(tx.conn(), tx.dialect, scope, &members).await?;
    if known.len() < members.len() {
        return Err(Error::new(Code::NotFound, "One of these is not a member of the company.").at("members"));
    }
    Ok(members)
}

/// Refuses, as not found, a team that is not of the company, and one that is archived.
pub(crate) async fn check_exists(tx: &Tx, scope: &Scope, id: Uuid) -> Result<()> {
    let found = store::by_id(tx.conn(), tx.dialect, scope, &[id]).await?.remove(&id);
    match found {
        Some(team) if team.archived_at.is_none() => Ok(()),
        Some(_) => Err(Error::new(Code::IllegalState, "This team is archived.")),
        None => Err(Error::not_found(Roster::NOUN)),
    }
}
