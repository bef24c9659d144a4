//! The rows of the tables, one table a file. No behaviour: that is the domain's.

pub mod api_token;
pub mod asset;
pub mod audit_entry;
pub mod code;
pub mod company;
pub mod event;
pub mod finding;
pub mod finding_comment;
pub mod idempotency;
pub mod job;
pub mod job_progress;
pub mod ledger_head;
pub mod membership;
pub mod project;
pub mod rule;
pub mod rule_version;
pub mod saved_mapping;
pub mod saved_view;
pub mod scan;
pub mod series;
pub mod service_account;
pub mod team;
pub mod team_member;
pub mod user_account;
