//! The ledger of a company: its numbered and chained audit entries, and its numbered events.
//!
//! `ledger_head` has one row a company: a transaction locks it as its last step. `digest` is the
//! SHA-256 of an entry's content and `hash` chains it to the one before, so that content can be
//! erased later without breaking the chain.

crate::step! {"
CREATE TABLE ledger_head (
    company_id $UUID NOT NULL PRIMARY KEY,
    audit_seq BIGINT NOT NULL,
    audit_hash $BYTES NOT NULL,
    event_seq BIGINT NOT NULL,
    rules_version BIGINT NOT NULL
);
CREATE TABLE audit_entry (
    company_id $UUID NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    action $TEXT NOT NULL,
    record_kind $TEXT NOT NULL,
    record_id $UUID NOT NULL,
    actor $TEXT NOT NULL,
    before $TEXT,
    after $TEXT,
    cause $TEXT,
    digest $BYTES NOT NULL,
    hash $BYTES NOT NULL,
    PRIMARY KEY (company_id, seq)
) $CLUSTERED;
CREATE INDEX audit_of_record ON audit_entry (record_id, seq);
CREATE TABLE event (
    company_id $UUID NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind $TEXT NOT NULL,
    subject_id $UUID NOT NULL,
    cause $TEXT,
    depth INTEGER NOT NULL,
    payload $TEXT NOT NULL,
    PRIMARY KEY (company_id, seq)
) $CLUSTERED;
CREATE TABLE idempotency (
    company_id $UUID NOT NULL,
    actor_id $UUID NOT NULL,
    key $TEXT NOT NULL,
    request $BYTES NOT NULL,
    answer $TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (company_id, actor_id, key)
);
", drops "idempotency", "event", "audit_entry", "ledger_head"}
