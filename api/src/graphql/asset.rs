//! Assets.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use domain::error::Result;
use domain::inventory::asset::{self, Asset, AssetChange, NewAsset};
use domain::inventory::team::Team;
use domain::page::OrderBy;
use record::{record, root};

use super::id::Noun;
use super::loaders::one;
use super::page::{Counter, OrderDirection, args, connection};
use super::payload::{change, mutate, payload};
use super::scalars::DateTime;
use super::team::TeamNode;
use super::words::{Allowed, Criticality, Environment};
use super::{actor, domain, found};

pub struct AssetNode(Asset);

impl From<Asset> for AssetNode {
    fn from(asset: Asset) -> Self {
        Self(asset)
    }
}

/// Something that findings are found on.
#[record]
#[Object(name = "Asset")]
impl AssetNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::Asset.id(self.0.id)
    }

    /// The name, which is its identity in its company.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is, as a scanner or a person says: `host`, `container_image`, `repository`.
    #[graphql(name = "type")]
    fn kind(&self) -> Option<&str> {
        self.0.kind.as_deref()
    }

    /// Its class, in the company's own words.
    fn class(&self) -> Option<&str> {
        self.0.class.as_deref()
    }

    /// The groups that it is in, sorted.
    fn groups(&self) -> &[String] {
        &self.0.groups
    }

    /// How much it matters.
    fn criticality(&self) -> Option<Criticality> {
        self.0.criticality.map(Into::into)
    }

    /// What it is used for.
    fn environment(&self) -> Option<Environment> {
        self.0.environment.map(Into::into)
    }

    /// Whether it can be reached from the internet; null where nobody said.
    fn internet_exposed(&self) -> Option<bool> {
        self.0.internet_exposed
    }

    /// The team that owns it.
    async fn owner_team(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<TeamNode>>>> {
        one::<Team, _>(ctx, rows.iter().map(|row| row.0.owner_team)).await
    }

    /// Its tags, sorted.
    fn tags(&self) -> &[String] {
        &self.0.tags
    }

    /// Since when it is archived; null while it is not.
    fn archived_at(&self) -> Option<DateTime> {
        self.0.archived_at.map(DateTime)
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

    /// What the caller can do with it.
    fn viewer_can(&self, ctx: &Context<'_>) -> async_graphql::Result<AssetViewerCan> {
        let actor = actor(ctx)?;
        Ok(AssetViewerCan { edit: self.0.may_edit(actor).into(), archive: self.0.may_archive(actor).into() })
    }
}

/// What the caller can do with an asset.
#[record]
#[derive(SimpleObject)]
pub struct AssetViewerCan {
    /// To change it.
    edit: Allowed,
    /// To archive it, or to take it back.
    archive: Allowed,
}

connection!(AssetConnection, AssetEdge, AssetNode, "A page of assets.", "An asset in a page.");

/// Which assets: all that is said must hold.
#[derive(InputObject)]
pub struct AssetFilter {
    /// A part of the name, ignoring the case of ASCII letters.
    query: Option<String>,
    /// Only archived ones, or only others; null for both.
    #[graphql(default_with = "Some(false)")]
    archived: Option<bool>,
    /// The type, ignoring the case of ASCII letters.
    #[graphql(name = "type")]
    kind: Option<String>,
    /// One of these criticalities.
    criticality: Option<Vec<Criticality>>,
    /// One of these environments.
    environment: Option<Vec<Environment>>,
    /// Whether it is known to be reachable from the internet, or known not to be.
    internet_exposed: Option<bool>,
    /// The global id of the team that owns it.
    owner_team: Option<ID>,
}

impl AssetFilter {
    fn read(filter: Option<Self>) -> Result<asset::AssetFilter> {
        let Some(filter) = filter else {
            return Ok(asset::AssetFilter { archived: Some(false), ..asset::AssetFilter::default() });
        };
        Ok(asset::AssetFilter {
            query: filter.query,
            archived: filter.archived,
            kind: filter.kind,
            criticality: filter.criticality.map(|words| words.into_iter().map(Into::into).collect()),
            environment: filter.environment.map(|words| words.into_iter().map(Into::into).collect()),
            internet_exposed: filter.internet_exposed,
            owner_team: filter.owner_team.map(|id| Noun::Team.read_at(&id, "ownerTeam")).transpose()?,
        })
    }
}

/// What assets are sorted by.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::inventory::asset::AssetOrder")]
pub enum AssetOrderField {
    /// The name.
    Name,
    /// When the asset was made.
    CreatedAt,
    /// When the asset was last changed.
    UpdatedAt,
    /// How much the asset matters.
    Criticality,
}

/// How assets are sorted.
#[derive(InputObject)]
pub struct AssetOrder {
    /// By what.
    field: AssetOrderField,
    /// Which way.
    #[graphql(default_with = "OrderDirection::Asc")]
    direction: OrderDirection,
}

#[derive(Default)]
pub struct AssetQuery;

#[root]
#[Object]
impl AssetQuery {
    /// An asset inside of the caller's portfolio.
    async fn asset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The asset's global id.")] id: ID,
    ) -> async_graphql::Result<Option<AssetNode>> {
        let Ok(id) = Noun::Asset.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).asset(actor(ctx)?, id).await)?)
    }

    /// The assets inside of the caller's portfolio.
    #[expect(clippy::too_many_arguments, reason = "these are the arguments of a connection")]
    async fn assets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all that are not archived if not said.")] filter: Option<AssetFilter>,
        #[graphql(desc = "How they are sorted; by name if not said.")] order_by: Option<AssetOrder>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<AssetConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = AssetFilter::read(filter)?;
        let order = order_by.map_or(OrderBy::ascending(asset::AssetOrder::Name), |order| OrderBy {
            by: order.field.into(),
            descending: order.direction.descends(),
        });
        let page = domain.assets(&actor, &filter, order, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.asset_count(&actor, &filter).await }
        });
        Ok(AssetConnection::new(page, total))
    }
}

/// A new asset.
#[derive(InputObject)]
pub struct AssetCreateInput {
    /// Its name; unique in the company, archived assets included.
    name: String,
    /// What it is.
    #[graphql(name = "type")]
    kind: Option<String>,
    /// Its class, in the company's own words.
    class: Option<String>,
    /// The groups that it is in.
    #[graphql(default)]
    groups: Vec<String>,
    /// How much it matters.
    criticality: Option<Criticality>,
    /// What it is used for.
    environment: Option<Environment>,
    /// Whether it can be reached from the internet.
    internet_exposed: Option<bool>,
    /// The global id of the team that owns it; needed where the caller's portfolio is narrow.
    owner_team: Option<ID>,
    /// Its tags.
    #[graphql(default)]
    tags: Vec<String>,
}

/// What of an asset is to change; null takes a value away.
#[derive(InputObject)]
pub struct AssetUpdateInput {
    /// Another name.
    name: Option<String>,
    /// What it is.
    #[graphql(name = "type")]
    kind: MaybeUndefined<String>,
    /// Its class.
    class: MaybeUndefined<String>,
    /// All the groups that it is in.
    groups: Option<Vec<String>>,
    /// How much it matters.
    criticality: MaybeUndefined<Criticality>,
    /// What it is used for.
    environment: MaybeUndefined<Environment>,
    /// Whether it can be reached from the internet.
    internet_exposed: MaybeUndefined<bool>,
    /// The global id of the team that owns it.
    owner_team: MaybeUndefined<ID>,
    /// All its tags.
    tags: Option<Vec<String>>,
}

impl AssetCreateInput {
    fn read(self) -> Result<NewAsset> {
        Ok(NewAsset {
            name: self.name,
            kind: self.kind,
            class: self.class,
            groups: self.groups,
            criticality: self.criticality.map(Into::into),
            environment: self.environment.map(Into::into),
            internet_exposed: self.internet_exposed,
            owner_team: self.owner_team.map(|id| Noun::Team.read_at(&id, "ownerTeam")).transpose()?,
            tags: self.tags,
        })
    }
}

impl AssetUpdateInput {
    fn read(self) -> Result<AssetChange> {
        let owner_team = match change(self.owner_team) {
            Some(Some(id)) => Some(Some(Noun::Team.read_at(&id, "ownerTeam")?)),
            Some(None) => Some(None),
            None => None,
        };
        Ok(AssetChange {
            name: self.name,
            kind: change(self.kind),
            class: change(self.class),
            groups: self.groups,
            criticality: change(self.criticality).map(|word| word.map(Into::into)),
            environment: change(self.environment).map(|word| word.map(Into::into)),
            internet_exposed: change(self.internet_exposed),
            owner_team,
            tags: self.tags,
        })
    }
}

payload! {
    /// What `assetCreate` answers.
    AssetCreatePayload {
        /// The new asset.
        asset: AssetNode
    }
    /// What `assetUpdate` answers.
    AssetUpdatePayload {
        /// The asset as it is now.
        asset: AssetNode
    }
    /// What `assetArchive` answers.
    AssetArchivePayload {
        /// The asset as it is now.
        asset: AssetNode
    }
    /// What `assetUnarchive` answers.
    AssetUnarchivePayload {
        /// The asset as it is now.
        asset: AssetNode
    }
}

#[derive(Default)]
pub struct AssetMutation;

#[root]
#[Object]
impl AssetMutation {
    /// Makes an asset.
    async fn asset_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new asset.")] input: AssetCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<AssetCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move { domain.asset_create(&actor, input.read()?).await },
            |domain, actor, id| async move { domain.asset(&actor, id).await },
        )
        .await
    }

    /// Changes an asset that is not archived. The rules look at its findings again.
    async fn asset_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The asset's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: AssetUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<AssetUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Asset.read_at(&id, "id")?;
                domain.asset_update(&actor, id, expected_version, input.read()?).await
            },
            |domain, actor, id| async move { domain.asset(&actor, id).await },
        )
        .await
    }

    /// Archives an asset. Its findings stay.
    async fn asset_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The asset's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<AssetArchivePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Asset.read_at(&id, "id")?;
                domain.asset_archive(&actor, id, expected_version, true).await
            },
            |domain, actor, id| async move { domain.asset(&actor, id).await },
        )
        .await
    }

    /// Takes an archived asset back.
    async fn asset_unarchive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The asset's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<AssetUnarchivePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::Asset.read_at(&id, "id")?;
                domain.asset_archive(&actor, id, expected_version, false).await
            },
            |domain, actor, id| async move { domain.asset(&actor, id).await },
        )
        .await
    }
}
