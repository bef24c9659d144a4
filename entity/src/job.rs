//! One row of `job`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub company_id: Uuid,
    pub kind: String,
    pub state: i32,
    pub actor: String,
    pub project_id: Option<Uuid>,
    pub params: String,
    pub weight: i64,
    pub position: Option<String>,
    pub total: Option<i64>,
    pub done: i64,
    pub counts: String,
    pub error: Option<String>,
    pub cancel_requested: bool,
    pub lease_owner: Option<Uuid>,
    pub lease_until: Option<i64>,
    pub fence: i64,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub updated_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
