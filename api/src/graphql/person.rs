//! Those who act: people and service accounts.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Union};
use domain::inventory::service_account::ServiceAccount;
use domain::inventory::user::User;
use futures_util::future::BoxFuture;
use record::record;
use uuid::Uuid;

use super::loaders::nodes;
use super::service_account::ServiceAccountNode;
use super::user::UserNode;

/// Someone who acts: a user or a service account.
#[record]
#[derive(Union)]
pub enum Person {
    User(Arc<UserNode>),
    ServiceAccount(Arc<ServiceAccountNode>),
}

/// For each id, if there is one, the user or service account that the caller may see.
pub fn people<'a>(
    ctx: &'a Context<'a>,
    ids: impl IntoIterator<Item = Option<Uuid>>,
) -> BoxFuture<'a, async_graphql::Result<Vec<Option<Arc<Person>>>>> {
    let ids: Vec<Option<Uuid>> = ids.into_iter().map(|id| id.filter(|id| !id.is_nil())).collect();
    Box::pin(async move {
        let users = nodes::<User, _>(ctx, ids.iter().copied().flatten()).await?;
        let others = ids.iter().copied().flatten().filter(|id| !users.contains_key(id));
        let accounts = nodes::<ServiceAccount, _>(ctx, others).await?;
        let users = users.into_iter().map(|(id, user)| (id, Arc::new(Person::User(user))));
        let accounts =
            accounts.into_iter().map(|(id, account)| (id, Arc::new(Person::ServiceAccount(account))));
        let people: HashMap<Uuid, Arc<Person>> = users.chain(accounts).collect();
        Ok(ids.iter().map(|id| people.get(id.as_ref()?).cloned()).collect())
    })
}
