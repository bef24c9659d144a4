//! VEX statements: what documents say of products in a project, under each name of a vulnerability.
//!
//! A statement is known by the series of its document and the fingerprint of the finding that was made
//! of it. `changed_by` is the import that changed it last, until the findings have heard of it; `said`
//! is NULL where a later document withdrew it and the findings have yet to hear.

crate::step! {"
CREATE TABLE vex_statement (
    company_id $UUID NOT NULL,
    project_id $UUID NOT NULL,
    vulnerability $TEXT NOT NULL,
    series_id $UUID NOT NULL,
    statement_key $UUID NOT NULL,
    said $TEXT,
    said_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    scan_id $UUID NOT NULL,
    changed_by $UUID,
    PRIMARY KEY (company_id, project_id, vulnerability, series_id, statement_key)
) $CLUSTERED;
", drops "vex_statement"}
