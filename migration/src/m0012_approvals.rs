//! What waits for a second person, who voted, and who stands in for whom.

crate::step! {"
CREATE TABLE approval (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    subject_kind INTEGER NOT NULL,
    subject_id $UUID NOT NULL,
    stage INTEGER NOT NULL,
    title $TEXT NOT NULL,
    reasons $TEXT NOT NULL,
    content $TEXT NOT NULL,
    content_hash $TEXT NOT NULL,
    diff $TEXT NOT NULL,
    blast_count BIGINT,
    blast_share DOUBLE PRECISION,
    blast_at BIGINT NOT NULL,
    author_id $UUID NOT NULL,
    author_person $UUID NOT NULL,
    editor_id $UUID NOT NULL,
    editor_person $UUID NOT NULL,
    required INTEGER NOT NULL,
    remind_at BIGINT,
    reminded_at BIGINT,
    deadline_at BIGINT,
    decided_at BIGINT,
    decided_by $UUID,
    reason $TEXT,
    emergency_until BIGINT,
    reviewed_at BIGINT,
    reviewed_by $UUID,
    upheld BOOLEAN,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX approval_of_company ON approval (company_id, created_at, id);
CREATE INDEX approval_of_subject ON approval (subject_id, created_at);
CREATE INDEX approval_pending ON approval (company_id, created_at, id) WHERE stage = 0;
CREATE INDEX approval_to_remind ON approval (remind_at) WHERE stage = 0 AND reminded_at IS NULL;
CREATE INDEX approval_to_end ON approval (deadline_at) WHERE stage = 0;
CREATE TABLE approval_vote (
    approval_id $UUID NOT NULL REFERENCES approval (id),
    voice $UUID NOT NULL,
    company_id $UUID NOT NULL,
    voter_id $UUID NOT NULL,
    voter_person $UUID NOT NULL,
    comment $TEXT,
    at BIGINT NOT NULL,
    PRIMARY KEY (approval_id, voice)
);
CREATE TABLE absence (
    user_id $UUID NOT NULL REFERENCES user_account (id),
    company_id $UUID NOT NULL REFERENCES company (id),
    from_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    deputy_id $UUID REFERENCES user_account (id),
    PRIMARY KEY (company_id, user_id)
);
CREATE INDEX absence_of_deputy ON absence (deputy_id, company_id) WHERE deputy_id IS NOT NULL;
", drops "absence", "approval_vote", "approval"}
