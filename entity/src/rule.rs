//! One row of `rule`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rule")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub company_id: Uuid,
    pub key: String,
    pub library_key: Option<String>,
    pub name: String,
    pub description: Option<String>,
    pub position: i32,
    pub mode: i32,
    pub expires_at: Option<i64>,
    pub on_expiry: i32,
    pub criteria: String,
    pub action: String,
    pub requires_approval: bool,
    pub content_hash: String,
    pub gated: bool,
    pub live_version: Option<i64>,
    pub live_since: Option<i64>,
    pub emergency_until: Option<i64>,
    pub author_id: Uuid,
    pub archived_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
