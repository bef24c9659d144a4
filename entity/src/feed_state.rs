//! One row of `feed_state`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feed_state")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub company_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub feed: i32,
    pub loads: i64,
    pub informed: i64,
    pub loading: Option<Uuid>,
    pub loaded_at: Option<i64>,
    pub current_at: Option<i64>,
    pub as_of: Option<i64>,
    pub facts: i64,
    pub digest: Option<String>,
    pub source: Option<String>,
    pub fetch_until: Option<i64>,
    pub fetch_next: Option<i64>,
    pub failures: i32,
    pub etag: Option<String>,
    pub modified: Option<String>,
    pub error: Option<String>,
    pub error_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
