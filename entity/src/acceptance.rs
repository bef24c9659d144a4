//! One row of `acceptance`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "acceptance")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub company_id: Uuid,
    pub finding_id: Uuid,
    pub reason: String,
    pub reference: Option<String>,
    pub owner_id: Option<Uuid>,
    pub until: Option<i64>,
    pub accepted_by: Option<Uuid>,
    pub accepted_at: i64,
    pub request_id: Option<Uuid>,
    pub warned_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub ended_how: Option<i32>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
