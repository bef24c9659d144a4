//! Findings, and what people say below them.
//!
//! `series_id` is the series of the scan that saw a finding last. Where the finding is `present` in
//! it, it was seen whenever the series was (`series.seen_at`), or later: at `last_seen_at`. So a
//! report of which nothing is new writes no findings. `said` is a digest of what the scanner said;
//! it is gone when anybody else writes. What every scan reads stands first in the row.
//!
//! No foreign keys here: assets and projects are archived and never deleted, and a lookup per row
//! and key is a large part of what a bulk insert costs.

crate::step! {"
CREATE TABLE finding (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL,
    project_id $UUID NOT NULL,
    asset_id $UUID NOT NULL,
    fingerprint $UUID NOT NULL,
    issue_id $UUID NOT NULL,
    issue_by $UUID,
    series_id $UUID,
    present BOOLEAN NOT NULL,
    said BIGINT,
    last_seen_at BIGINT NOT NULL,
    status INTEGER NOT NULL,
    class INTEGER NOT NULL,
    title $TEXT NOT NULL,
    description $TEXT,
    severity INTEGER NOT NULL,
    vulnerability_type $TEXT,
    remediation $TEXT,
    scanner_source $TEXT NOT NULL,
    scanner_category $TEXT,
    scanner_reference $TEXT,
    cvss_score DOUBLE PRECISION,
    cvss_vector $TEXT,
    epss_score DOUBLE PRECISION,
    epss_percentile DOUBLE PRECISION,
    known_exploit BOOLEAN,
    kev_due_at BIGINT,
    ransomware_use BOOLEAN,
    sla_breached BOOLEAN,
    cve_ids $LIST NOT NULL,
    cwe_ids $LIST NOT NULL,
    endpoint $TEXT,
    port INTEGER,
    component_name $TEXT,
    component_version $TEXT,
    component_purl $TEXT,
    fixed_version $TEXT,
    fix_available BOOLEAN,
    file_path $TEXT,
    line BIGINT,
    reference_urls $LIST NOT NULL,
    excerpt $TEXT,
    tags $LIST NOT NULL,
    effects $LIST NOT NULL,
    root_causes $LIST NOT NULL,
    remediation_techniques $LIST NOT NULL,
    attack_techniques $LIST NOT NULL,
    assigned_users $LIST NOT NULL,
    assigned_teams $LIST NOT NULL,
    layers $TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    closed_at BIGINT,
    due_at BIGINT,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX finding_fingerprint ON finding (company_id, project_id, fingerprint);
CREATE INDEX finding_of_issue ON finding (company_id, issue_id);
CREATE INDEX finding_of_asset ON finding (asset_id, id);
CREATE INDEX finding_by_severity ON finding (company_id, status, severity, id);
CREATE INDEX finding_present ON finding (series_id, id) WHERE present;
CREATE INDEX finding_reopened ON finding (series_id, id) WHERE NOT present AND status IN (0, 1, 3);
CREATE TABLE finding_comment (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL,
    finding_id $UUID NOT NULL,
    author $TEXT NOT NULL,
    body $TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX comment_of_finding ON finding_comment (finding_id, created_at);
", drops "finding_comment", "finding"}
