//! One row of `finding`.

use sea_orm::entity::prelude::Json;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "finding")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub company_id: Uuid,
    pub project_id: Uuid,
    pub asset_id: Uuid,
    pub fingerprint: Uuid,
    pub issue_id: Uuid,
    pub issue_by: Option<Uuid>,
    pub series_id: Option<Uuid>,
    pub present: bool,
    pub said: Option<i64>,
    pub last_seen_at: i64,
    pub status: i32,
    pub class: i32,
    pub title: String,
    pub description: Option<String>,
    pub severity: i32,
    pub vulnerability_type: Option<String>,
    pub remediation: Option<String>,
    pub scanner_source: String,
    pub scanner_category: Option<String>,
    pub scanner_reference: Option<String>,
    pub cvss_score: Option<f64>,
    pub cvss_vector: Option<String>,
    pub epss_score: Option<f64>,
    pub epss_percentile: Option<f64>,
    pub known_exploit: Option<bool>,
    pub kev_due_at: Option<i64>,
    pub ransomware_use: Option<bool>,
    pub sla_breached: Option<bool>,
    pub cve_ids: Json,
    pub cwe_ids: Json,
    pub endpoint: Option<String>,
    pub port: Option<i32>,
    pub component_name: Option<String>,
    pub component_version: Option<String>,
    pub component_purl: Option<String>,
    pub fixed_version: Option<String>,
    pub fix_available: Option<bool>,
    pub file_path: Option<String>,
    pub line: Option<i64>,
    pub reference_urls: Json,
    pub excerpt: Option<String>,
    pub tags: Json,
    pub effects: Json,
    pub root_causes: Json,
    pub remediation_techniques: Json,
    pub attack_techniques: Json,
    pub assigned_users: Json,
    pub assigned_teams: Json,
    pub layers: String,
    pub first_seen_at: i64,
    pub closed_at: Option<i64>,
    pub due_at: Option<i64>,
    pub revision: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
