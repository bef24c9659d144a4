//! Saved views.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object};
use domain::inventory::user::User;
use domain::inventory::view::{NewView, View, ViewChange};
use record::{record, root};

use super::id::Noun;
use super::loaders::one;
use super::page::{Counter, args, connection};
use super::payload::{Gone, mutate, payload};
use super::scalars::{DateTime, Json};
use super::user::UserNode;
use super::{actor, domain, found};

/// What a view is over.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::inventory::view::ViewNoun")]
pub enum ViewNoun {
    /// Findings.
    Findings,
    /// Assets.
    Assets,
}

pub struct ViewNode(View);

impl From<View> for ViewNode {
    fn from(view: View) -> Self {
        Self(view)
    }
}

/// A saved filter.
#[record]
#[Object(name = "View")]
impl ViewNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::View.id(self.0.id)
    }

    /// The name; unique among its owner's.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is over.
    fn noun(&self) -> ViewNoun {
        self.0.noun.into()
    }

    /// The filter, as it was saved.
    fn filter(&self) -> Json {
        Json(self.0.filter.clone())
    }

    /// Everybody in the company may use it.
    fn shared(&self) -> bool {
        self.0.shared
    }

    /// Who made it; null where that is no member of the caller's company.
    async fn owner(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<UserNode>>>> {
        one::<User, _>(ctx, rows.iter().map(|row| Some(row.0.owner))).await
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Counts its changes: an update names the one that it saw.
    fn version(&self) -> i64 {
        self.0.version
    }
}

connection!(ViewConnection, ViewEdge, ViewNode, "A page of views.", "A view in a page.");

#[derive(Default)]
pub struct ViewQuery;

#[root]
#[Object]
impl ViewQuery {
    /// A view of the caller's, or one that is shared.
    async fn view(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The view's global id.")] id: ID,
    ) -> async_graphql::Result<Option<ViewNode>> {
        let Ok(id) = Noun::View.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).view(actor(ctx)?, id).await)?)
    }

    /// The caller's views and those that are shared, by name.
    async fn views(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those over this.")] noun: Option<ViewNoun>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<ViewConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let noun = noun.map(Into::into);
        let page = domain.views(&actor, noun, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor) = (domain.clone(), actor.clone());
            async move { domain.view_count(&actor, noun).await }
        });
        Ok(ViewConnection::new(page, total))
    }
}

/// A new view.
#[derive(InputObject)]
pub struct ViewCreateInput {
    /// Its name; unique among the caller's.
    name: String,
    /// What it is over.
    noun: ViewNoun,
    /// The filter of the list that it is over: a JSON object.
    filter: Json,
    /// Let everybody in the company use it.
    #[graphql(default)]
    shared: bool,
}

/// What of a view is to change.
#[derive(InputObject)]
pub struct ViewUpdateInput {
    /// Another name.
    name: Option<String>,
    /// Another filter.
    filter: Option<Json>,
    /// Whether everybody in the company may use it.
    shared: Option<bool>,
}

payload! {
    /// What `viewCreate` answers.
    ViewCreatePayload {
        /// The new view.
        view: ViewNode
    }
    /// What `viewUpdate` answers.
    ViewUpdatePayload {
        /// The view as it is now.
        view: ViewNode
    }
    /// What `viewDelete` answers.
    ViewDeletePayload {
        /// The global id of the view that is gone.
        deleted_id: ID
    }
}

#[derive(Default)]
pub struct ViewMutation;

#[root]
#[Object]
impl ViewMutation {
    /// Saves a view.
    async fn view_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new view.")] input: ViewCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ViewCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let new = NewView {
                    name: input.name,
                    noun: input.noun.into(),
                    filter: input.filter.0,
                    shared: input.shared,
                };
                domain.view_create(&actor, new).await
            },
            |domain, actor, id| async move { domain.view(&actor, id).await },
        )
        .await
    }

    /// Changes a view of one's own, or, as who manages the company's settings, a shared one.
    async fn view_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The view's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: ViewUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ViewUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::View.read_at(&id, "id")?;
                let filter = input.filter.map(|filter| filter.0);
                let change = ViewChange { name: input.name, filter, shared: input.shared };
                domain.view_update(&actor, id, expected_version, change).await
            },
            |domain, actor, id| async move { domain.view(&actor, id).await },
        )
        .await
    }

    /// Deletes a view of one's own, or, as who manages the company's settings, a shared one.
    async fn view_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The view's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<ViewDeletePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::View.read_at(&id, "id")?;
                let gone = domain.view_delete(&actor, id, expected_version).await?;
                Ok(Gone(Noun::View, gone.id))
            },
            |_, _, id| async move { Ok(Gone(Noun::View, id)) },
        )
        .await
    }
}
