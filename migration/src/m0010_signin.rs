//! How people come in: passwords, sessions with their tokens, one-time links, and identities of
//! other issuers. Every secret is here as its SHA-256, a password as argon2id.
//!
//! `session.family` tells whose refresh token it is over all of its rotations, `present` is the one
//! that is good, and `spent` the one before it. `sign_in_tally.key` is a digest of what attempts are
//! counted by.

crate::step! {"
CREATE TABLE user_password (
    user_id $UUID NOT NULL PRIMARY KEY REFERENCES user_account (id),
    hash $TEXT NOT NULL,
    set_at BIGINT NOT NULL
);
CREATE TABLE session (
    id $UUID NOT NULL PRIMARY KEY,
    user_id $UUID NOT NULL REFERENCES user_account (id),
    company_id $UUID NOT NULL REFERENCES company (id),
    way $TEXT NOT NULL,
    family $BYTES NOT NULL UNIQUE,
    present $BYTES NOT NULL,
    spent $BYTES,
    address $TEXT,
    agent $TEXT,
    created_at BIGINT NOT NULL,
    refreshed_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX session_of_user ON session (user_id, created_at);
CREATE TABLE session_access (
    hash $BYTES NOT NULL PRIMARY KEY,
    session_id $UUID NOT NULL,
    user_id $UUID NOT NULL,
    company_id $UUID NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX access_of_session ON session_access (session_id);
CREATE INDEX access_of_user ON session_access (user_id, company_id);
CREATE TABLE known_device (
    hash $BYTES NOT NULL PRIMARY KEY,
    user_id $UUID NOT NULL REFERENCES user_account (id),
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX device_of_user ON known_device (user_id, last_used_at);
CREATE TABLE sign_in_tally (
    key $BYTES NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    at BIGINT NOT NULL,
    until BIGINT NOT NULL
);
CREATE TABLE one_time_link (
    id $UUID NOT NULL PRIMARY KEY,
    company_id $UUID NOT NULL REFERENCES company (id),
    purpose INTEGER NOT NULL,
    hash $BYTES NOT NULL UNIQUE,
    user_id $UUID REFERENCES user_account (id),
    email $TEXT,
    role INTEGER,
    portfolio $TEXT,
    created_by $UUID NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX link_of_company ON one_time_link (company_id, purpose, created_at);
CREATE TABLE user_identity (
    issuer $TEXT NOT NULL,
    subject $TEXT NOT NULL,
    user_id $UUID NOT NULL REFERENCES user_account (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identity_of_user ON user_identity (user_id);
CREATE TABLE identity_grant (
    user_id $UUID NOT NULL,
    company_id $UUID NOT NULL,
    provider $TEXT NOT NULL,
    PRIMARY KEY (user_id, company_id)
);
CREATE TABLE oidc_login (
    state $BYTES NOT NULL PRIMARY KEY,
    binding $BYTES NOT NULL,
    provider $TEXT NOT NULL,
    company_id $UUID,
    expires_at BIGINT NOT NULL
);
", drops "oidc_login", "identity_grant", "user_identity", "one_time_link", "sign_in_tally", "known_device", "session_access", "session", "user_password"}
