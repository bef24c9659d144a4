//! One row of `approval`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "approval")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub company_id: Uuid,
    pub subject_kind: i32,
    pub subject_id: Uuid,
    pub stage: i32,
    pub title: String,
    pub reasons: String,
    pub content: String,
    pub content_hash: String,
    pub diff: String,
    pub blast_count: Option<i64>,
    pub blast_share: Option<f64>,
    pub blast_at: i64,
    pub author_id: Uuid,
    pub author_person: Uuid,
    pub editor_id: Uuid,
    pub editor_person: Uuid,
    pub required: i32,
    pub remind_at: Option<i64>,
    pub reminded_at: Option<i64>,
    pub deadline_at: Option<i64>,
    pub decided_at: Option<i64>,
    pub decided_by: Option<Uuid>,
    pub reason: Option<String>,
    pub emergency_until: Option<i64>,
    pub reviewed_at: Option<i64>,
    pub reviewed_by: Option<Uuid>,
    pub upheld: Option<bool>,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
