//! Which rules were made of suggested ones.

use entity::rule;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::access::Scope;
use crate::error::Result;
use crate::rule::Rule;
use crate::rule::store::{read, readable};
use crate::store::Db;

impl Db {
    /// The rules of the scope that are not archived and were made of suggested ones.
    pub(crate) async fn rules_of_library(&self, scope: &Scope) -> Result<Vec<Rule>> {
        let rows = rule::Entity::find()
            .filter(readable(scope)?)
            .filter(rule::Column::ArchivedAt.is_null())
            .filter(rule::Column::LibraryKey.is_not_null())
            .order_by_asc(rule::Column::Position)
            .order_by_asc(rule::Column::CreatedAt)
            .order_by_asc(rule::Column::Id)
            .all(self.read())
            .await?;
        rows.into_iter().map(read).collect()
    }
}
