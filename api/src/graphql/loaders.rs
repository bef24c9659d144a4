//! Look-ups by id, for many records at once: a page of records with what they refer to is a fixed,
//! small number of statements.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_graphql::Context;
use domain::Domain;
use domain::access::Actor;
use domain::approval::Approval;
use domain::approval::absence::Absence;
use domain::error::Result;
use domain::finding::acceptance::Acceptance;
use domain::finding::edit::Comment;
use domain::finding::facts::Finding;
use domain::finding::issue::Issue;
use domain::finding::request::ChangeRequest;
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
use domain::rule::application::RuleApplication;
use domain::rule::gate::Drafted;
use domain::rule::pass::Mode;
use futures_util::future::BoxFuture;
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
    Acceptance = acceptances_of;
    ChangeRequest = change_requests_by_id;
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
    RuleApplication = rule_applications_by_id;
    Mode = rule_company_modes;
    Finding = findings_by_id;
    Drafted = rule_drafts;
    Approval = approvals_by_id;
    Absence = absences_of;
    Vec<Comment> = comments_on;
    References = intel_references;
    Job = jobs_by_id;
}

/// What will have been found. The ids are gone through at once.
pub type Found<'a, T> = BoxFuture<'a, Result<T>>;

/// Looks up each of these ids once; of none, nothing is asked.
pub fn load<'a, T: Loaded + 'a>(
    ctx: &'a Context<'a>,
    ids: impl IntoIterator<Item = Uuid>,
) -> Found<'a, HashMap<Uuid, T>> {
    let ids: HashSet<Uuid> = ids.into_iter().collect();
    Box::pin(async move {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        T::load(domain(ctx), actor(ctx)?, &ids.into_iter().collect::<Vec<_>>()).await
    })
}

/// The same, as `N` of the schema: a record that many refer to is there once.
pub fn nodes<'a, T: Loaded + 'a, N: From<T> + Send + Sync + 'a>(
    ctx: &'a Context<'a>,
    ids: impl IntoIterator<Item = Uuid>,
) -> Found<'a, HashMap<Uuid, Arc<N>>> {
    let found = load::<T>(ctx, ids);
    Box::pin(async move {
        let found = found.await?.into_iter();
        Ok(found.map(|(id, record)| (id, Arc::new(N::from(record)))).collect())
    })
}

/// For each id, if there is one, the record that the actor may see.
pub fn one<'a, T: Loaded + 'a, N: From<T> + Send + Sync + 'a>(
    ctx: &'a Context<'a>,
    ids: impl IntoIterator<Item = Option<Uuid>>,
) -> BoxFuture<'a, async_graphql::Result<Vec<Option<Arc<N>>>>> {
    let ids: Vec<Option<Uuid>> = ids.into_iter().collect();
    let found = nodes::<T, N>(ctx, ids.iter().copied().flatten());
    Box::pin(async move {
        let found = found.await?;
        Ok(ids.iter().map(|id| found.get(id.as_ref()?).cloned()).collect())
    })
}

/// For each list of ids, the records that the actor may see, in the order of the ids.
pub fn many<'a, T: Loaded + 'a, N: From<T> + Send + Sync + 'a>(
    ctx: &'a Context<'a>,
    lists: impl IntoIterator<Item = Vec<Uuid>>,
) -> BoxFuture<'a, async_graphql::Result<Vec<Vec<Arc<N>>>>> {
    let lists: Vec<Vec<Uuid>> = lists.into_iter().collect();
    let found = nodes::<T, N>(ctx, lists.iter().flatten().copied());
    Box::pin(async move {
        let found = found.await?;
        Ok(lists.iter().map(|ids| ids.iter().filter_map(|id| found.get(id).cloned()).collect()).collect())
    })
}

/// For each id what was found of it. A copy is made only for an id that comes again.
pub fn deal<T: Clone>(ids: &[Uuid], mut found: HashMap<Uuid, T>) -> Vec<Option<T>> {
    let last: HashMap<Uuid, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let take = |(at, id): (usize, &Uuid)| match last[id] == at {
        true => found.remove(id),
        false => found.get(id).cloned(),
    };
    ids.iter().enumerate().map(take).collect()
}
