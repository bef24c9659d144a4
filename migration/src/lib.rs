//! The steps that make the tables, the same on SQLite and PostgreSQL.
//!
//! A step is written as SQL with the few words that the databases name differently as `$WORDS`.
//! Times are whole microseconds in BIGINT. Text on PostgreSQL has COLLATE "C", so that both
//! databases compare by code points.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

mod m0001_people;
mod m0002_inventory;
mod m0003_ledger;
mod m0004_jobs;
mod m0005_findings;
mod m0006_rules;
mod m0007_intel;
mod m0008_mappings;
mod m0009_vex;
mod m0010_signin;
mod m0011_walks;
mod m0012_approvals;
mod m0013_revocation;
mod m0016_acceptance;
mod m0017_exemptions_ended;

pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_people::Migration),
            Box::new(m0002_inventory::Migration),
            Box::new(m0003_ledger::Migration),
            Box::new(m0004_jobs::Migration),
            Box::new(m0005_findings::Migration),
            Box::new(m0006_rules::Migration),
            Box::new(m0007_intel::Migration),
            Box::new(m0008_mappings::Migration),
            Box::new(m0009_vex::Migration),
            Box::new(m0010_signin::Migration),
            Box::new(m0011_walks::Migration),
            Box::new(m0012_approvals::Migration),
            Box::new(m0013_revocation::Migration),
            Box::new(m0016_acceptance::Migration),
            Box::new(m0017_exemptions_ended::Migration),
        ]
    }
}

/// Runs `statements`, separated by semicolons, in the words of the database at hand.
async fn run(manager: &SchemaManager<'_>, statements: &str) -> Result<(), DbErr> {
    let words: [(&str, &str); 6] = match manager.get_database_backend() {
        DbBackend::Postgres => [
            ("$UUID", "UUID"),
            ("$TEXT", "TEXT COLLATE \"C\""),
            ("$BYTES", "BYTEA"),
            ("$LIST", "JSONB"),
            ("$CLUSTERED", ""),
            // Until when a rule accepts a risk: RFC 3339, which sorts as text.
            ("$ACTION_UNTIL", "((action::jsonb) #>> '{config,until}')"),
        ],
        _ => [
            ("$UUID", "BLOB"),
            ("$TEXT", "TEXT"),
            ("$BYTES", "BLOB"),
            ("$LIST", "TEXT"),
            ("$CLUSTERED", "WITHOUT ROWID"),
            ("$ACTION_UNTIL", "json_extract(action, '$.config.until')"),
        ],
    };
    let sql = words.iter().fold(statements.to_owned(), |sql, (word, name)| sql.replace(word, name));
    // SQLite takes a step statement by statement: one that was cut off goes on where it stopped.
    let sql = ["CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX "]
        .iter()
        .fold(sql, |sql, made| sql.replace(made, &format!("{made}IF NOT EXISTS ")));
    for statement in sql.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

/// A step named after its file: what it makes, and what it drops when it is taken back.
macro_rules! step {
    ($up:literal, drops indexes $($index:literal),+) => {
        crate::step! {$up, down concat!($("DROP INDEX ", $index, ";"),+)}
    };
    ($up:literal, drops $($table:literal),+) => {
        crate::step! {$up, down concat!($("DROP TABLE ", $table, ";"),+)}
    };
    ($up:literal, down $down:expr) => {
        use sea_orm_migration::prelude::*;

        #[derive(DeriveMigrationName)]
        pub struct Migration;

        #[async_trait::async_trait]
        impl MigrationTrait for Migration {
            async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                crate::run(manager, $up).await
            }

            async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                crate::run(manager, $down).await
            }
        }
    };
}
use step;
