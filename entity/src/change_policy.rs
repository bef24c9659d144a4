//! One row of `change_policy`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "change_policy")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub company_id: Uuid,
    pub accepting_risk: bool,
    pub false_positive: bool,
    pub lowering_critical: bool,
    pub rules: bool,
    pub share: Option<f64>,
    pub findings: Option<i64>,
    pub quorum: i32,
    pub deadline_hours: i32,
    pub reminder_hours: i32,
    pub warn_days: i32,
    pub acceptance_days: Option<i32>,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
