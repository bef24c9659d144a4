//! Which rules were made of suggested ones.

use entity::rule;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::LIBRARY;
use crate::access::Scope;
use crate::error::Result;
use crate::rule::Rule;
use crate::rule::store::{read, readable};
use crate::store::Db;

impl Db {
    /// The rules of the scope that are not archived and were made of suggested ones, with their keys.
    pub(crate) async fn rules_of_library(&self, scope: &Scope) -> Result<Vec<(String, Rule)>> {
        let rows = rule::Entity::find()
            .filter(readable(scope)?)
            .filter(rule::Column::ArchivedAt.is_null())
            .filter(rule::Column::Name.is_in(LIBRARY.iter().map(|suggestion| suggestion.name.as_str())))
            .order_by_asc(rule::Column::Position)
            .order_by_asc(rule::Column::CreatedAt)
            .order_by_asc(rule::Column::Id)
            .all(self.read())
            .await?;
        rows.into_iter().map(|row| Ok((key_of(&row), read(row)?))).collect()
    }
}

/// The key of the suggested rule that a rule was made of.
fn key_of(row: &rule::Model) -> String {
    let suggestion = LIBRARY.iter().find(|suggestion| suggestion.name == row.name);
    suggestion.map_or_else(String::new, |suggestion| suggestion.key.clone())
}
