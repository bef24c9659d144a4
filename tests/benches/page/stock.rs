//! The same fields as plain resolvers of the library, with its data loaders, as its book has them.

use std::collections::HashMap;
use std::sync::Arc;

use api::graphql::id::Noun;
use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, EmptyMutation, EmptySubscription, ID, Object, Request, Result, Schema};
use axum::extract::State as Given;
use axum::routing::post;
use axum::{Json, Router};
use domain::Domain;
use domain::access::Actor;
use domain::error::Error;
use domain::finding::facts::Finding;
use domain::finding::layers::SetField;
use domain::finding::query::FindingOrder;
use domain::inventory::asset::Asset;
use domain::inventory::team::Team;
use domain::inventory::user::User;
use domain::ledger::audit::Audited;
use domain::page::{Page, PageArgs};
use domain::vocabulary::terms::Term;
use uuid::Uuid;

use crate::bare::ids;

struct State {
    domain: Domain,
    actor: Actor,
}

pub fn router(domain: Domain, actor: Actor) -> Router {
    let state = Arc::new(State { domain, actor });
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription).data(Arc::clone(&state)).finish();
    Router::new().route("/graphql", post(answer)).with_state((schema, state))
}

type Served = (Schema<Query, EmptyMutation, EmptySubscription>, Arc<State>);

async fn answer(Given((schema, state)): Given<Served>, Json(request): Json<Request>) -> Vec<u8> {
    // As is usual, the loaders are of one request.
    let request = request.data(DataLoader::new(Batch(state), tokio::spawn));
    serde_json::to_vec(&schema.execute(request).await).expect("it has a JSON")
}

struct Batch(Arc<State>);

#[derive(Clone, Hash, PartialEq, Eq)]
struct Key<const KIND: u8>(Uuid);

/// Declares the loaders.
macro_rules! loaders {
    ($($kind:literal $record:ty = $method:ident($($more:expr)?);)+) => {$(
        impl Loader<Key<$kind>> for Batch {
            type Value = $record;
            type Error = Arc<Error>;

            async fn load(&self, keys: &[Key<$kind>]) -> Result<HashMap<Key<$kind>, $record>, Arc<Error>> {
                let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
                let State { domain, actor } = &*self.0;
                let found = domain.$method(actor, &ids $(, $more)?).await.map_err(Arc::new)?;
                Ok(found.into_iter().map(|(id, record)| (Key(id), record)).collect())
            }
        }
    )+};
}

loaders! {
    0 Asset = assets_by_id();
    1 User = users_by_id();
    2 Team = teams_by_id();
    3 Page<Audited> = audit_entries_of(&PageArgs::first(3));
}

fn loader<'a>(ctx: &Context<'a>) -> &'a DataLoader<Batch> {
    ctx.data_unchecked::<DataLoader<Batch>>()
}

struct Query;

#[Object]
impl Query {
    async fn findings(&self, ctx: &Context<'_>, first: i64) -> Result<Findings> {
        let State { domain, actor } = &**ctx.data_unchecked::<Arc<State>>();
        let filter = domain.finding_filter(None)?;
        let order = (FindingOrder::Severity, false);
        Ok(Findings(domain.findings(actor, &filter, order, &PageArgs::first(first)).await?))
    }
}

struct Findings(Page<Finding>);

#[Object]
impl Findings {
    async fn nodes(&self) -> Vec<FindingNode<'_>> {
        self.0.edges.iter().map(|edge| FindingNode(&edge.node)).collect()
    }

    async fn page_info(&self) -> PageInfo<'_> {
        PageInfo(&self.0)
    }
}

struct PageInfo<'p>(&'p Page<Finding>);

#[Object]
impl PageInfo<'_> {
    async fn has_next_page(&self) -> bool {
        self.0.has_next
    }

    async fn end_cursor(&self) -> Option<&str> {
        self.0.edges.last().map(|edge| edge.cursor.as_str())
    }
}

struct FindingNode<'f>(&'f Finding);

#[Object(name = "Finding")]
impl FindingNode<'_> {
    async fn id(&self) -> ID {
        Noun::Finding.id(self.0.id)
    }

    async fn title(&self) -> &str {
        &self.0.shown.title
    }

    async fn severity(&self) -> String {
        self.0.shown.severity.word().to_ascii_uppercase()
    }

    async fn status(&self) -> String {
        self.0.shown.status.word().to_ascii_uppercase()
    }

    async fn class(&self) -> String {
        self.0.evidence.class.word().to_ascii_uppercase()
    }

    async fn description(&self) -> Option<&str> {
        self.0.evidence.description.as_deref()
    }

    async fn cvss_score(&self) -> Option<f64> {
        self.0.shown.cvss_score
    }

    async fn scanner_source(&self) -> &str {
        &self.0.evidence.scanner_source
    }

    async fn scanner_reference(&self) -> Option<&str> {
        self.0.evidence.scanner_reference.as_deref()
    }

    async fn tags(&self) -> &[String] {
        self.0.shown.set(SetField::Tags)
    }

    async fn cve_ids(&self) -> &[String] {
        self.0.shown.set(SetField::CveIds)
    }

    async fn first_seen_at(&self) -> String {
        self.0.first_seen_at.to_string()
    }

    async fn last_seen_at(&self) -> String {
        self.0.last_seen_at.to_string()
    }

    async fn version(&self) -> i64 {
        self.0.revision
    }

    async fn asset(&self, ctx: &Context<'_>) -> Result<Option<AssetNode>> {
        Ok(loader(ctx).load_one(Key::<0>(self.0.asset)).await?.map(AssetNode))
    }

    async fn assignees(&self) -> Assignees<'_> {
        Assignees(self.0)
    }

    async fn audit(&self, ctx: &Context<'_>, #[graphql(name = "first")] _first: i64) -> Result<Audit> {
        Ok(Audit(loader(ctx).load_one(Key::<3>(self.0.id)).await?.unwrap_or_default()))
    }
}

struct AssetNode(Asset);

#[Object(name = "Asset")]
impl AssetNode {
    async fn id(&self) -> ID {
        Noun::Asset.id(self.0.id)
    }

    async fn name(&self) -> &str {
        &self.0.name
    }

    #[graphql(name = "type")]
    async fn kind(&self) -> Option<&str> {
        self.0.kind.as_deref()
    }

    async fn criticality(&self) -> Option<String> {
        self.0.criticality.map(|word| word.word().to_ascii_uppercase())
    }

    async fn tags(&self) -> &[String] {
        &self.0.tags
    }
}

struct Assignees<'f>(&'f Finding);

#[Object]
impl Assignees<'_> {
    async fn users(&self, ctx: &Context<'_>) -> Result<Vec<Person>> {
        let ids = ids(self.0, SetField::AssignedUsers);
        let mut found = loader(ctx).load_many(ids.iter().copied().map(Key::<1>)).await?;
        Ok(ids.into_iter().filter_map(|id| found.remove(&Key(id))).map(Person).collect())
    }

    async fn teams(&self, ctx: &Context<'_>) -> Result<Vec<TeamNode>> {
        let ids = ids(self.0, SetField::AssignedTeams);
        let mut found = loader(ctx).load_many(ids.iter().copied().map(Key::<2>)).await?;
        Ok(ids.into_iter().filter_map(|id| found.remove(&Key(id))).map(TeamNode).collect())
    }
}

struct Person(User);

#[Object]
impl Person {
    async fn id(&self) -> ID {
        Noun::User.id(self.0.id)
    }

    async fn name(&self) -> &str {
        &self.0.name
    }

    async fn email(&self) -> &str {
        &self.0.email
    }
}

struct TeamNode(Team);

#[Object(name = "Team")]
impl TeamNode {
    async fn id(&self) -> ID {
        Noun::Team.id(self.0.id)
    }

    async fn name(&self) -> &str {
        &self.0.name
    }
}

struct Audit(Page<Audited>);

#[Object]
impl Audit {
    async fn nodes(&self) -> Vec<Entry<'_>> {
        self.0.edges.iter().map(|edge| Entry(&edge.node)).collect()
    }
}

struct Entry<'e>(&'e Audited);

#[Object]
impl Entry<'_> {
    async fn id(&self) -> ID {
        Noun::AuditEntry.numbered(self.0.seq)
    }

    async fn at(&self) -> String {
        self.0.at.to_string()
    }

    async fn action(&self) -> &str {
        &self.0.action
    }

    async fn actor(&self) -> Speaker<'_> {
        Speaker(&self.0.actor.name)
    }
}

struct Speaker<'e>(&'e str);

#[Object]
impl Speaker<'_> {
    async fn name(&self) -> &str {
        self.0
    }
}
