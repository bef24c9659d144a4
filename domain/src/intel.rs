//! Intelligence: what the world knows of a CVE, said of the findings that name it, in the layer
//! between their scanners and the rules.
//!
//! A feed is loaded by a job: all of it is checked, what differs from what is kept is written, and
//! the findings that name a CVE of which something changed hear of it, company by company, each with
//! the pass that follows. A finding that is new hears of what is kept before its first pass.

mod body;
mod document;
pub mod fact;
pub mod feed;
mod feeds;
pub mod fetch;
mod hearing;
pub(crate) mod load;
pub mod standing;
pub mod start;
pub(crate) mod store;
pub mod vex;

pub use document::document;
