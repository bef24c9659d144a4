//! Those who act: people and service accounts.

use async_graphql::{Context, Union};
use uuid::Uuid;

use super::loaders::{loaders, one};
use super::service_account::ServiceAccountNode;
use super::user::UserNode;

/// Someone who acts: a user or a service account.
#[derive(Union)]
pub enum Person {
    User(UserNode),
    ServiceAccount(ServiceAccountNode),
}

/// The user or service account of this id, if the caller may see it.
pub async fn person(ctx: &Context<'_>, id: Uuid) -> async_graphql::Result<Option<Person>> {
    if id.is_nil() {
        return Ok(None);
    }
    let loaders = loaders(ctx)?;
    if let Some(user) = one(&loaders.users, id).await? {
        return Ok(Some(Person::User(user)));
    }
    Ok(one(&loaders.service_accounts, id).await?.map(Person::ServiceAccount))
}
