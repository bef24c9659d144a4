//! Companies, and who acts for them.

crate::step! {"
CREATE TABLE company (
    id $UUID NOT NULL PRIMARY KEY,
    name $TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE TABLE user_account (
    id $UUID NOT NULL PRIMARY KEY,
    email $TEXT NOT NULL UNIQUE,
    name $TEXT NOT NULL,
    platform_admin BOOLEAN NOT NULL,
    disabled_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE TABLE membership (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    user_id $UUID NOT NULL REFERENCES user_account (id),
    role INTEGER NOT NULL,
    portfolio $TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, user_id)
);
CREATE INDEX membership_of_user ON membership (user_id);
CREATE TABLE team (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    name $TEXT NOT NULL,
    archived_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, name)
);
CREATE TABLE team_member (
    team_id $UUID NOT NULL REFERENCES team (id),
    user_id $UUID NOT NULL REFERENCES user_account (id),
    company_id $UUID NOT NULL REFERENCES company (id),
    PRIMARY KEY (team_id, user_id)
);
CREATE TABLE service_account (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    name $TEXT NOT NULL,
    role INTEGER NOT NULL,
    portfolio $TEXT NOT NULL,
    archived_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, name)
);
CREATE TABLE api_token (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    user_id $UUID REFERENCES user_account (id),
    service_account_id $UUID REFERENCES service_account (id),
    name $TEXT NOT NULL,
    hash $BYTES NOT NULL UNIQUE,
    scopes $TEXT,
    issued_by $UUID NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT,
    created_at BIGINT NOT NULL
);
CREATE INDEX api_token_of_company ON api_token (company_id, created_at);
", drops "api_token", "service_account", "team_member", "team", "membership", "user_account", "company"}
