//! Rules, and every version they have had.

crate::step! {"
CREATE TABLE rule (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    name $TEXT NOT NULL,
    description $TEXT,
    position INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    expires_at BIGINT,
    on_expiry INTEGER NOT NULL,
    criteria $TEXT NOT NULL,
    action $TEXT NOT NULL,
    requires_approval BOOLEAN NOT NULL,
    content_hash $TEXT NOT NULL,
    author_id $UUID NOT NULL,
    archived_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX rule_of_company ON rule (company_id, position, created_at);
CREATE TABLE rule_version (
    rule_id $UUID NOT NULL REFERENCES rule (id),
    version BIGINT NOT NULL,
    company_id $UUID NOT NULL,
    author_id $UUID NOT NULL,
    content $TEXT NOT NULL,
    content_hash $TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (rule_id, version)
);
", drops "rule_version", "rule"}
