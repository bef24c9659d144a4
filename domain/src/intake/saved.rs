//! Saved mappings: what the columns of a house's own reports mean, said once.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::format::Format;
use super::mapping::Mapping;
use crate::Domain;
use crate::access::{Actor, Permission};
use crate::error::{Error, Result};
use crate::inventory::input;
use crate::inventory::record::{Record, taken};
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs, Window};
use crate::store::Tx;
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// The most bytes of a mapping's JSON.
const MAPPING: usize = 64 << 10;
const TAKEN: &str = "a mapping of this name";

#[derive(Clone, Debug, PartialEq)]
pub struct SavedMapping {
    pub id: Uuid,
    pub company: Uuid,
    /// Unique in its company.
    pub name: String,
    /// One of the formats that are read through a mapping.
    pub format: Format,
    pub mapping: Mapping,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

#[derive(Clone, Debug)]
pub struct NewSavedMapping {
    pub name: String,
    pub format: Format,
    pub mapping: Mapping,
}

/// What is to change: `None` leaves a value.
#[derive(Clone, Debug, Default)]
pub struct SavedMappingChange {
    pub name: Option<String>,
    pub mapping: Option<Mapping>,
}

impl Record for SavedMapping {
    const NOUN: &'static str = "saved mapping";

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn facts(&self) -> Json {
        json!({ "name": self.name, "format": self.format.key(), "mapping": self.mapping })
    }
}

impl Domain {
    /// A mapping of the actor's company, or one that is for all companies.
    pub async fn saved_mapping(&self, actor: &Actor, id: Uuid) -> Result<SavedMapping> {
        let scope = actor.allow(Permission::Read)?;
        self.db().saved_mapping(&scope, id).await?.ok_or_else(|| Error::not_found(SavedMapping::NOUN))
    }

    /// The mappings that [`Domain::saved_mapping`] finds, by name.
    pub async fn saved_mappings(&self, actor: &Actor, page: &PageArgs) -> Result<Page<SavedMapping>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().saved_mappings(&scope, &Window::new(page, store::BY_NAME)?).await
    }

    pub async fn saved_mapping_count(&self, actor: &Actor) -> Result<i64> {
        self.db().saved_mapping_count(&actor.allow(Permission::Read)?).await
    }

    pub async fn saved_mapping_create(&self, actor: &Actor, new: NewSavedMapping) -> Result<SavedMapping> {
        let scope = actor.allow(Permission::Import)?;
        let name = input::name("name", &new.name, input::NAME)?;
        check(new.format, &new.mapping)?;
        let mut tx = self.begin(actor, &scope).await?;
        let saved = SavedMapping {
            id: self.clock().id(),
            company: tx.company,
            name,
            format: new.format,
            mapping: new.mapping,
            created_at: tx.now(),
            updated_at: tx.now(),
            version: 1,
        };
        store::insert(&tx, &saved).await.map_err(|error| taken(error, "name", TAKEN))?;
        tx.audit_created("saved_mapping.created", &saved);
        tx.commit().await?;
        Ok(saved)
    }

    /// Changes a mapping. Imports that were started with it go on with what it was.
    pub async fn saved_mapping_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        change: SavedMappingChange,
    ) -> Result<SavedMapping> {
        let (mut tx, before) = self.saved_mapping_begin(actor, id, expected_version).await?;
        let mut after = before.clone();
        if let Some(name) = change.name {
            after.name = input::name("name", &name, input::NAME)?;
        }
        if let Some(mapping) = change.mapping {
            check(after.format, &mapping)?;
            after.mapping = mapping;
        }
        if tx.audit_changed("saved_mapping.updated", &before, &after).is_none() {
            return Ok(before);
        }
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await.map_err(|error| taken(error, "name", TAKEN))?;
        tx.commit().await?;
        Ok(after)
    }

    /// Deletes a mapping; returns the one that was.
    pub async fn saved_mapping_delete(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
    ) -> Result<SavedMapping> {
        let (mut tx, saved) = self.saved_mapping_begin(actor, id, expected_version).await?;
        store::delete(&tx, &saved).await?;
        tx.audit(AuditEntry::new("saved_mapping.deleted", id).before(saved.facts()));
        tx.commit().await?;
        Ok(saved)
    }

    async fn saved_mapping_begin(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
    ) -> Result<(Tx, SavedMapping)> {
        let scope = actor.allow(Permission::Import)?;
        let tx = self.begin(actor, &scope).await?;
        let saved = store::lock(&tx, &scope, id).await?;
        tx.expect_version(&saved, expected_version).await?;
        Ok((tx, saved))
    }

    /// The format and mapping that a caller names: a mapping as it is, or a saved one.
    pub(super) async fn mapping_of(
        &self,
        actor: &Actor,
        format: Option<Format>,
        mapping: Option<&Mapping>,
        saved: Option<Uuid>,
    ) -> Result<(Option<Format>, Option<Mapping>)> {
        let Some(id) = saved else { return Ok((format, mapping.cloned())) };
        if mapping.is_some() {
            let message = "Give a mapping, or name a saved one, but not both.";
            return Err(Error::invalid("savedMapping", message));
        }
        let saved = self.saved_mapping(actor, id).await.map_err(|error| error.at("savedMapping"))?;
        if format.is_some_and(|format| format != saved.format) {
            let message = format!("The saved mapping is of {}.", saved.format);
            return Err(Error::invalid("format", message));
        }
        Ok((Some(saved.format), Some(saved.mapping)))
    }
}

/// The asset may be named by each import, so a mapping need not say one.
fn check(format: Format, mapping: &Mapping) -> Result<()> {
    if !format.entry().mapped {
        return Err(Error::invalid("format", "This format has fields of its own, and takes no mapping."));
    }
    mapping.validate(Some("an asset")).map_err(|error| error.at("mapping"))?;
    let text = serde_json::to_string(mapping).map_err(Error::internal)?;
    if text.len() > MAPPING || text.contains("\\u0000") {
        let message = format!("A mapping has at most {} KiB, without U+0000.", MAPPING >> 10);
        return Err(Error::invalid("mapping", message));
    }
    Ok(())
}
