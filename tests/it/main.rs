//! Everything that takes more than one module to show, on both databases, through the outer doors.

// The types of the schema's resolvers nest deeper than the compiler expects by itself.
#![recursion_limit = "256"]

mod acceptance;
mod again;
mod algebra;
mod approvals;
mod backtest;
mod crash;
mod decisions;
mod edge;
mod evidence;
mod fairness;
mod filters;
mod gate;
mod graph;
mod ground;
mod hostile;
mod intel;
mod inventory;
mod issues;
mod library;
mod life;
mod mappings;
mod observability;
mod paging;
mod people;
mod policy;
mod preview;
mod registry;
mod revoke;
mod rule_sets;
mod schema;
mod signin;
mod sockets;
mod stories;
mod tenancy;
mod tidy;
mod triage;
mod vex;
mod waiting;
mod walk;
mod warnings;
mod wire;
