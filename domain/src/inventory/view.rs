//! Saved views: filters that people keep, and share with their company.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::error::{Error, Result};
use crate::inventory::input;
use crate::inventory::record::{Record, taken};
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs, Window};
use crate::store::Tx;
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

pub(crate) mod store;

/// The most bytes of a filter's JSON.
pub const FILTER: usize = 64 * 1024;

terms! {
    /// What a view is over.
    ViewNoun { Findings = "FINDINGS", Assets = "ASSETS" }
}

#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub id: Uuid,
    pub company: Uuid,
    pub owner: Uuid,
    /// Unique among its owner's.
    pub name: String,
    pub noun: ViewNoun,
    /// The list's filter as the client writes it; it is checked where it is used.
    pub filter: Json,
    /// Everybody in the company may use it.
    pub shared: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

#[derive(Clone, Debug)]
pub struct NewView {
    pub name: String,
    pub noun: ViewNoun,
    pub filter: Json,
    pub shared: bool,
}

/// What is to change: `None` leaves a value.
#[derive(Clone, Debug, Default)]
pub struct ViewChange {
    pub name: Option<String>,
    pub filter: Option<Json>,
    pub shared: Option<bool>,
}

impl Record for View {
    const NOUN: &'static str = "view";

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn facts(&self) -> Json {
        json!({ "name": self.name, "noun": self.noun, "filter": self.filter, "shared": self.shared })
    }
}

const TAKEN: &str = "a view of this name among yours";

impl Domain {
    /// A view of the actor's own, one that its company shares, or one that is for all companies.
    pub async fn view(&self, actor: &Actor, id: Uuid) -> Result<View> {
        let scope = actor.allow(Permission::Read)?;
        self.db().view(&scope, actor.id, id).await?.ok_or_else(|| Error::not_found(View::NOUN))
    }

    /// The views that [`Domain::view`] finds, by name.
    pub async fn views(&self, actor: &Actor, noun: Option<ViewNoun>, page: &PageArgs) -> Result<Page<View>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().views(&scope, actor.id, noun, &Window::new(page, store::BY_NAME)?).await
    }

    pub async fn view_count(&self, actor: &Actor, noun: Option<ViewNoun>) -> Result<i64> {
        self.db().view_count(&actor.allow(Permission::Read)?, actor.id, noun).await
    }

    pub async fn view_create(&self, actor: &Actor, new: NewView) -> Result<View> {
        let scope = actor.allow(Permission::EditViews)?;
        let name = input::name("name", &new.name, input::NAME)?;
        check_filter(&new.filter)?;
        let mut tx = self.begin(actor, &scope).await?;
        let view = View {
            id: self.clock().id(),
            company: tx.company,
            owner: actor.id,
            name,
            noun: new.noun,
            filter: new.filter,
            shared: new.shared,
            created_at: tx.now(),
            updated_at: tx.now(),
            version: 1,
        };
        store::insert(&tx, &view).await.map_err(|error| taken(error, "name", TAKEN))?;
        tx.audit_created("view.created", &view);
        tx.commit().await?;
        Ok(view)
    }

    /// Changes a view of one's own, or, as who manages the company's settings, a shared one.
    pub async fn view_update(
        &self,
        actor: &Actor,
        id: Uuid,
        expected_version: i64,
        change: ViewChange,
    ) -> Result<View> {
        let (mut tx, before) = self.view_begin(actor, id, expected_version).await?;
        let mut after = before.clone();
        if let Some(name) = change.name {
            after.name = input::name("name", &name, input::NAME)?;
        }
        if let Some(filter) = change.filter {
            check_filter(&filter)?;
            after.filter = filter;
        }
        after.shared = change.shared.unwrap_or(before.shared);
        if tx.audit_changed("view.updated", &before, &after).is_none() {
            return Ok(before);
        }
        after.updated_at = tx.now();
        after.version += 1;
        store::update(&tx, &after).await.map_err(|error| taken(error, "name", TAKEN))?;
        tx.commit().await?;
        Ok(after)
    }

    /// Deletes a view that one may change; returns the view that was.
    pub async fn view_delete(&self, actor: &Actor, id: Uuid, expected_version: i64) -> Result<View> {
        let (mut tx, view) = self.view_begin(actor, id, expected_version).await?;
        store::delete(&tx, &view).await?;
        tx.audit(AuditEntry::new("view.deleted", id).before(view.facts()));
        tx.commit().await?;
        Ok(view)
    }

    async fn view_begin(&self, actor: &Actor, id: Uuid, expected_version: i64) -> Result<(Tx, View)> {
        let scope: Scope = actor.allow(Permission::EditViews)?;
        let tx = self.begin(actor, &scope).await?;
        let view = store::lock(&tx, &scope, actor.id, id).await?;
        if view.owner != actor.id && !actor.can(Permission::ManageSettings) {
            return Err(Error::forbidden("change the views of others"));
        }
        tx.expect_version(&view, expected_version).await?;
        Ok((tx, view))
    }
}

fn check_filter(filter: &Json) -> Result<()> {
    if !filter.is_object() {
        return Err(Error::invalid("filter", "A filter is a JSON object."));
    }
    let text = filter.to_string();
    if text.len() > FILTER || text.contains("\\u0000") {
        return Err(Error::invalid(
            "filter",
            format!("A filter has at most {FILTER} bytes, without U+0000."),
        ));
    }
    Ok(())
}
