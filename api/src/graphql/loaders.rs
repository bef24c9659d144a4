//! Look-ups by id, gathered while a request is resolved: a page of records with what they refer to
//! is a fixed, small number of statements.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextPrepareRequest};
use async_graphql::{Context, Request, ServerResult};
use domain::Domain;
use domain::access::Actor;
use domain::error::{Code, Error, Result};
use domain::finding::edit::Comment;
use domain::finding::issue::Issue;
use domain::intel::start::References;
use domain::intel::vex::query::Newest;
use domain::inventory::asset::Asset;
use domain::inventory::membership::Membership;
use domain::inventory::project::Project;
use domain::inventory::scan::Scan;
use domain::inventory::service_account::ServiceAccount;
use domain::inventory::team::Team;
use domain::inventory::user::User;
use domain::job::Job;
use domain::rule::Rule;
use domain::store::tally::carried;
use futures_util::future::BoxFuture;
use uuid::Uuid;

/// How long nothing may be asked for until a batch goes.
const QUIET: Duration = Duration::from_millis(1);
/// How many times that a batch waits at most.
const LONGEST: u32 = 100;

/// Gives each request the loaders of its actor.
pub struct PerRequest(pub Domain);

impl ExtensionFactory for PerRequest {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Prepare(self.0.clone()))
    }
}

struct Prepare(Domain);

#[async_graphql::async_trait::async_trait]
impl Extension for Prepare {
    async fn prepare_request(
        &self,
        ctx: &ExtensionContext<'_>,
        request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        let actor = request.data.get(&TypeId::of::<Actor>()).and_then(|actor| actor.downcast_ref::<Actor>());
        let request = match actor.cloned() {
            Some(actor) => request.data(Loaders::new(self.0.clone(), actor)),
            None => request,
        };
        next.run(ctx, request).await
    }
}

/// The loaders of one request: each looks up what its actor may see.
pub struct Loaders {
    pub users: DataLoader<Batch<User>>,
    pub memberships: DataLoader<Batch<Membership>>,
    pub teams: DataLoader<Batch<Team>>,
    pub team_members: DataLoader<Batch<Vec<Uuid>>>,
    pub service_accounts: DataLoader<Batch<ServiceAccount>>,
    pub projects: DataLoader<Batch<Project>>,
    pub assets: DataLoader<Batch<Asset>>,
    pub scans: DataLoader<Batch<Scan>>,
    /// By the id of their series.
    pub newest: DataLoader<Batch<Newest>>,
    pub rules: DataLoader<Batch<Rule>>,
    pub comments: DataLoader<Batch<Vec<Comment>>>,
    pub issues: DataLoader<Batch<Issue>>,
    pub references: DataLoader<Batch<References>>,
    pub jobs: DataLoader<Batch<Job>>,
}

impl Loaders {
    fn new(domain: Domain, actor: Actor) -> Self {
        let batch = Who { domain, actor: Arc::new(actor), asked: Arc::default() };
        Self {
            users: batch.loader(),
            memberships: batch.loader(),
            teams: batch.loader(),
            team_members: batch.loader(),
            service_accounts: batch.loader(),
            projects: batch.loader(),
            assets: batch.loader(),
            scans: batch.loader(),
            newest: batch.loader(),
            rules: batch.loader(),
            comments: batch.loader(),
            issues: batch.loader(),
            references: batch.loader(),
            jobs: batch.loader(),
        }
    }
}

/// Who looks up.
#[derive(Clone)]
struct Who {
    domain: Domain,
    actor: Arc<Actor>,
    /// Counts the look-ups of the request.
    asked: Arc<AtomicU64>,
}

impl Who {
    fn loader<T>(&self) -> DataLoader<Batch<T>>
    where
        Batch<T>: Send + Sync + 'static,
    {
        let batch = Batch { who: self.clone(), what: std::marker::PhantomData };
        let asked = Arc::clone(&self.asked);
        let send = move |batch| tokio::spawn(carried(gathered(Arc::clone(&asked), batch)));
        DataLoader::new(batch, send).delay(Duration::ZERO)
    }
}

/// Sends a batch once nothing more is asked for. A long list is resolved a few rows at a time, with
/// the batch's task in between: sent after a fixed time, it would go with a part of the list's ids.
async fn gathered(asked: Arc<AtomicU64>, batch: BoxFuture<'static, ()>) {
    let mut before = asked.load(Ordering::Relaxed);
    for _ in 0..LONGEST {
        tokio::time::sleep(QUIET).await;
        let now = asked.load(Ordering::Relaxed);
        if now == before {
            break;
        }
        before = now;
    }
    batch.await;
}

/// Looks up many `T` by id at once.
pub struct Batch<T> {
    who: Who,
    what: std::marker::PhantomData<fn() -> T>,
}

/// Declares that a method of the domain looks up many records by id.
macro_rules! batch {
    ($($record:ty = $method:ident;)+) => {$(
        impl Loader<Uuid> for Batch<$record> {
            type Value = $record;
            type Error = Arc<Error>;

            async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, $record>, Arc<Error>> {
                self.who.domain.$method(&self.who.actor, ids).await.map_err(Arc::new)
            }
        }
    )+};
}

batch! {
    Issue = issues;
    User = users_by_id;
    Membership = memberships_of;
    Team = teams_by_id;
    Vec<Uuid> = team_members;
    ServiceAccount = service_accounts_by_id;
    Project = projects_by_id;
    Asset = assets_by_id;
    Scan = scans_by_id;
    Newest = newest_scans;
    Rule = rules_by_id;
    Vec<Comment> = comments_on;
    References = intel_references;
    Job = jobs_by_id;
}

/// The loaders of the request at hand.
pub fn loaders<'a>(ctx: &Context<'a>) -> Result<&'a Loaders> {
    let unknown = |_| Error::new(Code::Unauthenticated, Code::Unauthenticated.meaning());
    ctx.data::<Loaders>().map_err(unknown)
}

/// One record, as `N` of the schema.
pub async fn one<T, N>(loader: &DataLoader<Batch<T>>, id: Uuid) -> Result<Option<N>>
where
    Batch<T>: Loader<Uuid, Value = T, Error = Arc<Error>>,
    T: Clone + Send + Sync + 'static,
    N: From<T>,
{
    loader.loader().who.asked.fetch_add(1, Ordering::Relaxed);
    Ok(loader.load_one(id).await.map_err(shared)?.map(N::from))
}

/// The records of these ids that can be seen, in the order of the ids.
pub async fn many<T, N>(loader: &DataLoader<Batch<T>>, ids: impl IntoIterator<Item = Uuid>) -> Result<Vec<N>>
where
    Batch<T>: Loader<Uuid, Value = T, Error = Arc<Error>>,
    T: Clone + Send + Sync + 'static,
    N: From<T>,
{
    loader.loader().who.asked.fetch_add(1, Ordering::Relaxed);
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut found = loader.load_many(ids.iter().copied()).await.map_err(shared)?;
    Ok(ids.iter().filter_map(|id| found.remove(id)).map(N::from).collect())
}

/// The error of a batch as each of those sees it who waited for it.
fn shared(error: Arc<Error>) -> Error {
    Arc::try_unwrap(error).unwrap_or_else(|error| match error.code {
        Code::Internal => Error::internal(error.to_string()),
        code => Error::new(code, error.message.clone()),
    })
}
