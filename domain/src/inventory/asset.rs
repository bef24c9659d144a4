//! Assets: what can be vulnerable.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Portfolio, Scope};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::intake::report::ReportedAsset;
use crate::inventory::input;
use crate::inventory::record::{Record, taken};
use crate::inventory::team;
use crate::job::Principal;
use crate::ledger::AuditEntry;
use crate::ledger::store::Pending;
use crate::page::{OrderBy, Page, PageArgs, Window};
use crate::store::Tx;
use crate::vocabulary::terms::{Criticality, Environment, terms};
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// Something that findings are found on. Its name is its identity inside of its company.
#[derive(Clone, Debug, PartialEq)]
pub struct Asset {
    pub id: Uuid,
    pub company: Uuid,
    pub name: String,
    /// What it is, as the scanner or a person says: `host`, `container_image`, `repository`.
    pub kind: Option<String>,
    pub class: Option<String>,
    /// Sorted, without repeats; so are the tags.
    pub groups: Vec<String>,
    pub criticality: Option<Criticality>,
    pub environment: Option<Environment>,
    pub internet_exposed: Option<bool>,
    pub owner_team: Option<Uuid>,
    pub tags: Vec<String>,
    pub archived_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

impl Asset {
    /// The asset as reports name it.
    pub fn reported(&self) -> ReportedAsset {
        ReportedAsset { name: self.name.clone(), kind: self.kind.clone() }
    }
}

/// What a caller says of a new asset.
#[derive(Clone, Debug, Default)]
pub struct NewAsset {
    pub name: String,
    pub kind: Option<String>,
    pub class: Option<String>,
    pub groups: Vec<String>,
    pub criticality: Option<Criticality>,
    pub environment: Option<Environment>,
    pub internet_exposed: Option<bool>,
    pub owner_team: Option<Uuid>,
    pub tags: Vec<String>,
}

/// What is to change: `None` leaves a value, `Some(None)` takes it away.
#[derive(Clone, Debug, Default)]
pub struct AssetChange {
    pub name: Option<String>,
    pub kind: Option<Option<String>>,
    pub class: Option<Option<String>>,
    pub groups: Option<Vec<String>>,
    pub criticality: Option<Option<Criticality>>,
    pub environment: Option<Option<Environment>>,
    pub internet_exposed: Option<Option<bool>>,
    pub owner_team: Option<Option<Uuid>>,
    pub tags: Option<Vec<String>>,
}

/// Which assets a list has: all that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct AssetFilter {
    /// A part of the name, ignoring ASCII case.
    pub query: Option<String>,
    pub archived: Option<bool>,
    pub kind: Option<String>,
    pub criticality: Option<Vec<Criticality>>,
    pub environment: Option<Vec<Environment>>,
    pub internet_exposed: Option<bool>,
    pub owner_team: Option<Uuid>,
}

terms! {
    /// What assets are sorted by.
    AssetOrder {
        Name = "NAME", CreatedAt = "CREATED_AT", UpdatedAt = "UPDATED_AT", Criticality = "CRITICALITY",
    }
}

impl Record for Asset {
    const NOUN: &'static str = "asset";

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn facts(&self) -> Json {
        json!({
            "name": self.name,
            "type": self.kind,
            "class": self.class,
            "groups": self.groups,
            "criticality": self.criticality,
            "environment": self.environment,
            "internet_exposed": self.internet_exposed,
            "owner_team": self.owner_team,
            "tags": self.tags,
            "archived": self.archived_at.is_some(),
        })
    }
}

impl Asset {
    /// Whether the actor may change this asset, which it sees.
    pub fn may_edit(&self, actor: &Actor) -> Result<()> {
        self.may_archive(actor)?;
        if self.archived_at.is_some() {
            return Err(Error::new(
                Code::IllegalState,
                "An archived asset is not changed: take it back first.",
            ));
        }
        Ok(())
    }

    /// Whether the actor may archive this asset, which it sees, or take it back.
    pub fn may_archive(&self, actor: &Actor) -> Result<()> {
        actor.allow(Permission::EditInventory).map(drop)
    }
}

impl AssetChange {
    fn of(new: NewAsset) -> Self {
        Self {
            name: Some(new.name),
            kind: Some(new.kind),
            class: Some(new.class),
            groups: Some(new.groups),
            criticality: Some(new.criticality),
            environment: Some(new.environment),
            internet_exposed: Some(new.internet_exposed),
            owner_team: Some(new.owner_team),
            tags: Some(new.tags),
        }
    }

    fn apply(self, asset: &mut Asset) -> Result<()> {
        if let Some(name) = self.name {
            asset.name = input::name("name", &name, input::ASSET_NAME)?;
        }
        if let Some(kind) = self.kind {
            asset.kind = input::optional_name("type", kind.as_deref(), input::NAME)?;
        }
        if let Some(class) = self.class {
            asset.class = input::optional_name("class", class.as_deref(), input::NAME)?;
        }
        if let Some(groups) = self.groups {
            asset.groups = input::words("groups", &groups)?;
        }
        if let Some(tags) = self.tags {
            asset.tags = input::words("tags", &tags)?;
        }
        asset.criticality = self.criticality.unwrap_or(asset.criticality);
        asset.environment = self.environment.unwrap_or(asset.environment);
        asset.internet_exposed = self.internet_exposed.unwrap_or(asset.internet_exposed);
        asset.owner_team = self.owner_team.unwrap_or(asset.owner_team);
        Ok(())
    }
}

impl Domain {
    /// An asset inside of the actor's portfolio.
    pub async fn asset(&self, actor: &Actor, id: Uuid) -> Result<Asset> {
        let scope = actor.allow(Permission::Read)?;
        self.db().asset(&scope, id).await?.ok_or_else(|| Error::not_found(Asset::NOUN))
    }

    pub async fn assets(
        &self,
        actor: &Actor,
        filter: &AssetFilter,
        order: OrderBy<AssetOrder>,
        page: &PageArgs,
    ) -> Result<Page<Asset>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().assets(&scope, filter, &Window::new(page, order.sort())?).await
    }

    pub async fn asset_count(&self, actor: &Actor, filter: &AssetFilter) -> Result<i64> {
        self.db().asset_count(&actor.allow(Permission::Read)?, filter).await
    }

    /// The assets of these ids that the actor may see.
    pub async fn assets_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Asset>> {
        let scope = actor.allow(Permission::Read)?;
        store::by_id(self.db().read(), self.db().dialect, &scope, ids).await
    }

    /// Makes an asset. TAKEN if the company has one of this name, archived ones included.
    pub async fn asset_create(&self, actor: &Actor, new: NewAsset) -> Result<Asset> {
        let scope = actor.allow(Permission::EditInventory)?.of_tenant()?;
        let mut tx = self.begin(actor, &scope).await?;
        let mut asset = Asset {
            id: self.clock().id(),
            company: tx.company,
            name: String::new(),
            kind: None,
            class: None,
            groups: Vec::new(),
            criticality: None,
            environment: None,
            internet_exposed: None,
            owner_team: None,
            tags: Vec::new(),
            archived_at: None,
            created_at: tx.now(),
            updated_at: tx.now(),
            version: 1,
        };
        AssetChange::of(new).apply(&mut asset)?;
        check_owner(&tx, &scope, &asset).await?;
        store::insert(&tx, &asset).await.map_err(|error| taken(error, "name", TAKEN))?;
        tell_new(tx.pending(), std::slice::from_ref(&asset));
        tx.commit().await?;
        Ok(asset)
    }

    /// Changes an asset that is not archived.
    pub async fn asset_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        change: AssetChange,
    ) -> Result<Asset> {
        let scope = actor.allow(Permission::EditInventory)?;
        let mut tx = self.begin(actor, &scope).await?;
        let before = store::lock(&tx, &scope, id).await?;
        tx.expect_version(&before, expected_version).await?;
        before.may_edit(actor)?;
        let mut after = before.clone();
        change.apply(&mut after)?;
        if after.owner_team != before.owner_team {
            check_owner(&tx, &scope, &after).await?;
        }
        let Some(diff) = tx.audit_changed("asset.updated", &before, &after) else { return Ok(before) };
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await.map_err(|error| taken(error, "name", TAKEN))?;
        tx.emit(Event::new(EventKind::AssetUpdated, id, diff.payload()));
        // Rules read assets: the pass goes over the findings on it, as soon as this is committed.
        let sweep = json!({ "asset": id });
        tx.start_sweep(self.clock().id(), &Principal::of(actor), &sweep).await?;
        tx.commit().await?;
        self.wake_jobs();
        Ok(after)
    }

    /// Archives an asset, or takes it back. Its findings stay.
    pub async fn asset_archive(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        archived: bool,
    ) -> Result<Asset> {
        let scope = actor.allow(Permission::EditInventory)?;
        let mut tx = self.begin(actor, &scope).await?;
        let before = store::lock(&tx, &scope, id).await?;
        tx.expect_version(&before, expected_version).await?;
        let mut after = before.clone();
        after.archived_at = archived.then(|| before.archived_at.unwrap_or(tx.now()));
        let action = if archived { "asset.archived" } else { "asset.unarchived" };
        let Some(diff) = tx.audit_changed(action, &before, &after) else { return Ok(before) };
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await?;
        if archived {
            tx.emit(Event::new(EventKind::AssetDeleted, id, json!({ "name": after.name })));
        } else {
            tx.emit(Event::new(EventKind::AssetUpdated, id, diff.payload()));
        }
        tx.commit().await?;
        Ok(after)
    }
}

const TAKEN: &str = "an asset of this name";

/// Tells of new assets.
pub(crate) fn tell_new(pending: &mut Pending, assets: &[Asset]) {
    for asset in assets {
        pending.audit(AuditEntry::new("asset.created", asset.id).after(asset.facts()));
        let told = json!({ "name": asset.name, "type": asset.kind });
        pending.emit(Event::new(EventKind::AssetCreated, asset.id, told));
    }
}

/// The owner team is one of the company, and of the portfolio where that is narrow: what one makes
/// or hands over would otherwise be out of one's own sight.
async fn check_owner(tx: &Tx, scope: &Scope, asset: &Asset) -> Result<()> {
    let inside = match (scope, asset.owner_team) {
        (Scope::Company(_, Portfolio::Only { teams, .. }), owner) => {
            owner.is_some_and(|owner| teams.contains(&owner))
        }
        _ => true,
    };
    if !inside {
        return Err(Error::invalid("ownerTeam", "Your portfolio asks for an owner team that it names."));
    }
    match asset.owner_team {
        Some(owner) => team::check_exists(tx, scope, owner).await.map_err(|error| error.at("ownerTeam")),
        None => Ok(()),
    }
}

/// Writes assets that intake found named for the first time. `false`: another writer made one of
/// them first, and nothing of this transaction may be kept.
pub(crate) async fn insert_new(tx: &Tx, assets: &[Asset]) -> Result<bool> {
    Ok(assets.is_empty() || store::insert_missing(tx, assets).await? == assets.len())
}
