//! Taking back what rules did: applications in the audit by their rule, the modes that companies set
//! for global rules, exemptions, what revokes came to, and the expiries that were seen to.
//!
//! `audit_entry.rule_id` is set where an entry tells of a rule's turn on a finding: it repeats what the
//! cause says, so that a rule's applications are found without reading causes.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

const TABLES: &str = "
CREATE INDEX audit_of_rule ON audit_entry (company_id, rule_id, seq) WHERE rule_id IS NOT NULL;
CREATE TABLE rule_company_mode (
    company_id $UUID NOT NULL,
    rule_id $UUID NOT NULL REFERENCES rule (id),
    mode INTEGER NOT NULL,
    set_by $UUID NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (company_id, rule_id)
) $CLUSTERED;
CREATE TABLE rule_exemption (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL,
    rule_id $UUID NOT NULL,
    finding_id $UUID NOT NULL,
    content_hash $TEXT NOT NULL,
    job_id $UUID NOT NULL,
    author_id $UUID NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX exemption_of_finding ON rule_exemption (finding_id, rule_id);
CREATE INDEX exemption_of_rule ON rule_exemption (company_id, rule_id, id);
CREATE TABLE revoke_outcome (
    job_id $UUID NOT NULL,
    place BIGINT NOT NULL,
    company_id $UUID NOT NULL,
    finding_id $UUID NOT NULL,
    application BIGINT NOT NULL,
    replaced_by BIGINT,
    outcome INTEGER NOT NULL,
    restored $TEXT NOT NULL,
    conflicts $TEXT NOT NULL,
    PRIMARY KEY (job_id, place)
) $CLUSTERED;
CREATE UNIQUE INDEX outcome_of_finding ON revoke_outcome (job_id, finding_id);
CREATE TABLE rule_expiry (
    company_id $UUID NOT NULL,
    rule_id $UUID NOT NULL,
    expires_at BIGINT NOT NULL,
    job_id $UUID,
    PRIMARY KEY (company_id, rule_id, expires_at)
) $CLUSTERED;
";

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if !manager.has_column("audit_entry", "rule_id").await? {
            crate::run(manager, "ALTER TABLE audit_entry ADD COLUMN rule_id $UUID").await?;
        }
        let rule = match manager.get_database_backend() {
            DbBackend::Postgres => "CAST(CAST(cause AS JSONB) ->> 'rule' AS UUID)",
            _ => "unhex(replace(json_extract(cause, '$.rule'), '-', ''))",
        };
        // Once more does no harm: a step that was cut off begins again.
        let told = "action IN ('finding.rule_applied', 'finding.rule_observed')";
        let fill = format!("UPDATE audit_entry SET rule_id = {rule} WHERE rule_id IS NULL AND {told}");
        crate::run(manager, &fill).await?;
        crate::run(manager, TABLES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = "DROP TABLE rule_expiry; DROP TABLE revoke_outcome; DROP TABLE rule_exemption;
            DROP TABLE rule_company_mode; DROP INDEX audit_of_rule;
            ALTER TABLE audit_entry DROP COLUMN rule_id;";
        crate::run(manager, drop).await
    }
}
