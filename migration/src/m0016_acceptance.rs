//! Risks that people accepted, each with its reason, its owner and its end; what the company asks of
//! changes; and the changes that wait for a second person.
//!
//! A finding has one open acceptance at most. What was accepted before reasons were kept gets one
//! without an end, so that it is listed with the others. `rule_lapse` notes of which end dates of rules
//! the findings have heard.

crate::step! {"
CREATE TABLE acceptance (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL,
    finding_id $UUID NOT NULL,
    reason $TEXT NOT NULL,
    reference $TEXT,
    owner_id $UUID,
    until BIGINT,
    accepted_by $UUID,
    accepted_at BIGINT NOT NULL,
    request_id $UUID,
    warned_at BIGINT,
    ended_at BIGINT,
    ended_how INTEGER
);
CREATE UNIQUE INDEX acceptance_open ON acceptance (finding_id) WHERE ended_at IS NULL;
CREATE INDEX acceptance_of_finding ON acceptance (finding_id, accepted_at);
CREATE INDEX acceptance_of_company ON acceptance (company_id, until, id);
CREATE INDEX acceptance_due ON acceptance (company_id, until) WHERE ended_at IS NULL;
CREATE INDEX acceptance_unwarned ON acceptance (company_id, until) WHERE ended_at IS NULL AND warned_at IS NULL;
INSERT INTO acceptance (id, company_id, finding_id, reason, accepted_at)
    SELECT f.id, f.company_id, f.id, 'Accepted before reasons were kept: the audit of the finding may tell.',
        COALESCE(f.closed_at, f.updated_at)
    FROM finding AS f WHERE f.status = 3 AND (f.layers LIKE '%\"value\":\"ACCEPTED_RISK\"%'
        OR f.layers NOT LIKE '%\"lifecycle\":%')
    ON CONFLICT DO NOTHING;
CREATE TABLE change_policy (
    company_id $UUID NOT NULL PRIMARY KEY REFERENCES company (id),
    accepting_risk BOOLEAN NOT NULL,
    false_positive BOOLEAN NOT NULL,
    lowering_critical BOOLEAN NOT NULL,
    rules BOOLEAN NOT NULL,
    share DOUBLE PRECISION,
    findings BIGINT,
    quorum INTEGER NOT NULL,
    deadline_hours INTEGER NOT NULL,
    reminder_hours INTEGER NOT NULL,
    warn_days INTEGER NOT NULL,
    acceptance_days INTEGER,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE TABLE change_request (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL,
    edit $TEXT NOT NULL,
    gates $TEXT NOT NULL,
    principal $TEXT NOT NULL,
    author_id $UUID NOT NULL,
    findings BIGINT NOT NULL,
    touched BIGINT NOT NULL,
    active BIGINT NOT NULL,
    digest $TEXT NOT NULL,
    state INTEGER NOT NULL,
    approval_id $UUID NOT NULL,
    job_id $UUID,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX change_request_of_company ON change_request (company_id, created_at, id);
CREATE TABLE change_request_item (
    request_id $UUID NOT NULL,
    finding_id $UUID NOT NULL,
    company_id $UUID NOT NULL,
    was $TEXT NOT NULL,
    becomes $TEXT NOT NULL,
    outcome INTEGER NOT NULL,
    moved $TEXT,
    PRIMARY KEY (request_id, finding_id)
) $CLUSTERED;
CREATE TABLE rule_lapse (
    company_id $UUID NOT NULL,
    rule_id $UUID NOT NULL,
    until $TEXT NOT NULL,
    PRIMARY KEY (company_id, rule_id, until)
) $CLUSTERED;
CREATE INDEX rule_until ON rule ($ACTION_UNTIL);
", down "
DROP INDEX rule_until;
DROP TABLE rule_lapse;
DROP TABLE change_request_item;
DROP TABLE change_request;
DROP TABLE change_policy;
DROP TABLE acceptance;
"}
