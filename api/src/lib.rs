//! Countersign's transports: GraphQL, files, the command line and logs.

// The types of the schema's resolvers nest deeper than the compiler expects by itself.
#![recursion_limit = "512"]

pub mod auth;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod files;
pub mod graphql;
pub mod measures;
pub mod server;
pub mod sign_in;
pub mod telemetry;
