//! Look-ups by id, for many records at once: a page of records with what they refer to is a fixed,
//! small number of statements.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_graphql::Context;
use domain::Domain;
use domain::access::Actor;
use domain::error::Result;
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
use uuid::Uuid;

use super::{actor, domain};

/// What is looked up by id.
pub trait Loaded: Sized + Send {
    /// Those of these ids that the actor may see.
    fn load(
        domain: &Domain,
        actor: &Actor,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<HashMap<Uuid, Self>>> + Send;
}

/// Declares that a method of the domain looks up many records by id.
macro_rules! loaded {
    ($($record:ty = $method:ident;)+) => {$(
        impl Loaded for $record {
            async fn load(domain: &Domain, actor: &Actor, ids: &[Uuid]) -> Result<HashMap<Uuid, Self>> {
                domain.$method(actor, ids).await
            }
        }
    )+};
}

loaded! {
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

/// Looks up each of these ids once; of none, nothing is asked.
pub async fn load<T: Loaded>(
    ctx: &Context<'_>,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, T>> {
    let ids: HashSet<Uuid> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    T::load(domain(ctx), actor(ctx)?, &ids.into_iter().collect::<Vec<_>>()).await
}

/// The same, as `N` of the schema: a record that many refer to is there once.
pub async fn nodes<T: Loaded, N: From<T>>(
    ctx: &Context<'_>,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, Arc<N>>> {
    let found = load::<T>(ctx, ids).await?;
    Ok(found.into_iter().map(|(id, record)| (id, Arc::new(N::from(record)))).collect())
}

/// For each id, if there is one, the record that the actor may see.
pub async fn one<T: Loaded, N: From<T>>(
    ctx: &Context<'_>,
    ids: impl IntoIterator<Item = Option<Uuid>>,
) -> async_graphql::Result<Vec<Option<Arc<N>>>> {
    let ids: Vec<Option<Uuid>> = ids.into_iter().collect();
    let found = nodes(ctx, ids.iter().copied().flatten()).await?;
    Ok(ids.iter().map(|id| found.get(id.as_ref()?).cloned()).collect())
}

/// For each list of ids, the records that the actor may see, in the order of the ids.
pub async fn many<T: Loaded, N: From<T>>(
    ctx: &Context<'_>,
    lists: impl IntoIterator<Item = Vec<Uuid>>,
) -> async_graphql::Result<Vec<Vec<Arc<N>>>> {
    let lists: Vec<Vec<Uuid>> = lists.into_iter().collect();
    let found = nodes(ctx, lists.iter().flatten().copied()).await?;
    Ok(lists.iter().map(|ids| ids.iter().filter_map(|id| found.get(id).cloned()).collect()).collect())
}
