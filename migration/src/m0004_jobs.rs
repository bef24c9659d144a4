//! Long work, and the scans that imports make.
//!
//! `series.seen_at` is the time of the newest scan that saw all that is present in the series, and
//! `series.rules` a digest of the rules that all of that was passed under then. `job.weight` is what
//! a job is expected to cost, in bytes of a report.

crate::step! {"
CREATE TABLE job (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    kind $TEXT NOT NULL,
    state INTEGER NOT NULL,
    actor $TEXT NOT NULL,
    project_id $UUID,
    params $TEXT NOT NULL,
    weight BIGINT NOT NULL,
    position $TEXT,
    total BIGINT,
    done BIGINT NOT NULL,
    counts $TEXT NOT NULL,
    error $TEXT,
    cancel_requested BOOLEAN NOT NULL,
    lease_owner $UUID,
    lease_until BIGINT,
    fence BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    updated_at BIGINT NOT NULL
);
CREATE INDEX job_of_company ON job (company_id, created_at);
CREATE INDEX job_to_claim ON job (state, lease_until);
CREATE TABLE job_progress (
    job_id $UUID NOT NULL,
    seq BIGINT NOT NULL,
    company_id $UUID NOT NULL,
    at BIGINT NOT NULL,
    state INTEGER NOT NULL,
    stage $TEXT NOT NULL,
    total BIGINT,
    done BIGINT NOT NULL,
    counts $TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
);
CREATE TABLE series (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    project_id $UUID NOT NULL REFERENCES project (id),
    scanner $TEXT NOT NULL,
    name $TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    rules $UUID,
    created_at BIGINT NOT NULL,
    UNIQUE (company_id, project_id, scanner, name)
);
CREATE TABLE scan (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    project_id $UUID NOT NULL REFERENCES project (id),
    series_id $UUID REFERENCES series (id),
    job_id $UUID,
    scanner $TEXT,
    format $TEXT,
    name $TEXT NOT NULL,
    status INTEGER NOT NULL,
    complete BOOLEAN NOT NULL,
    scanned_at BIGINT NOT NULL,
    urgent BIGINT NOT NULL,
    critical BIGINT NOT NULL,
    high BIGINT NOT NULL,
    medium BIGINT NOT NULL,
    low BIGINT NOT NULL,
    info BIGINT NOT NULL,
    total BIGINT NOT NULL,
    error $TEXT,
    archived_at BIGINT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    version BIGINT NOT NULL
);
CREATE INDEX scan_of_company ON scan (company_id, created_at);
CREATE INDEX scan_of_project ON scan (project_id, created_at);
CREATE INDEX scan_of_series ON scan (series_id, scanned_at);
", drops "scan", "series", "job_progress", "job"}
