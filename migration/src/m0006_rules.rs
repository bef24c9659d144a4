//! Rules, every version they have had, and what is to take the place of their live version.
//!
//! A rule's own row holds its live content; one that never was live, that of its draft.

crate::step! {"
CREATE TABLE rule (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    key $TEXT NOT NULL,
    library_key $TEXT,
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
    gated BOOLEAN NOT NULL,
    live_version BIGINT,
    live_since BIGINT,
    emergency_until BIGINT,
    author_id $UUID NOT NULL,
    archived_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, key)
);
CREATE INDEX rule_of_company ON rule (company_id, position, created_at);
CREATE TABLE rule_version (
    id $UUID NOT NULL UNIQUE,
    rule_id $UUID NOT NULL REFERENCES rule (id),
    version BIGINT NOT NULL,
    company_id $UUID NOT NULL,
    author_id $UUID NOT NULL,
    content $TEXT NOT NULL,
    content_hash $TEXT NOT NULL,
    live BOOLEAN NOT NULL,
    approval_id $UUID,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (rule_id, version)
);
CREATE TABLE rule_draft (
    rule_id $UUID NOT NULL PRIMARY KEY REFERENCES rule (id),
    company_id $UUID NOT NULL,
    content $TEXT NOT NULL,
    content_hash $TEXT NOT NULL,
    approval_id $UUID,
    author_id $UUID NOT NULL,
    author_person $UUID NOT NULL,
    editor_id $UUID NOT NULL,
    editor_person $UUID NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
", drops "rule_draft", "rule_version", "rule"}
