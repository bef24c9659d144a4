//! Countersign's transports: GraphQL, files, the command line and logs.

pub mod auth;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod files;
pub mod graphql;
pub mod measures;
pub mod server;
pub mod telemetry;
