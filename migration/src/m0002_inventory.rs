//! What can be vulnerable, the scopes of work, and people's saved views of them.

crate::step! {"
CREATE TABLE project (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    name $TEXT NOT NULL,
    description $TEXT,
    archived_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, name)
);
CREATE TABLE asset (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    name $TEXT NOT NULL,
    type $TEXT,
    class $TEXT,
    asset_groups $LIST NOT NULL,
    criticality INTEGER,
    environment INTEGER,
    internet_exposed BOOLEAN,
    owner_team_id $UUID REFERENCES team (id),
    tags $LIST NOT NULL,
    archived_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, name)
);
CREATE INDEX asset_of_team ON asset (company_id, owner_team_id);
CREATE TABLE saved_view (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    owner_id $UUID NOT NULL,
    name $TEXT NOT NULL,
    noun $TEXT NOT NULL,
    filter $TEXT NOT NULL,
    shared BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, owner_id, name)
);
CREATE TABLE code (
    company_id $UUID NOT NULL REFERENCES company (id),
    list $TEXT NOT NULL,
    code $TEXT NOT NULL,
    label $TEXT NOT NULL,
    PRIMARY KEY (company_id, list, code)
);
", drops "code", "saved_view", "asset", "project"}
