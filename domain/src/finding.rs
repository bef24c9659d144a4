//! Findings: what they are, where their values come from, and the one way to change them.

pub mod acceptance;
pub mod batch;
pub mod bulk;
pub mod change;
pub mod edit;
pub mod export;
pub mod facts;
pub mod gate;
pub mod issue;
pub mod layers;
pub mod lifecycle;
pub mod query;
pub mod request;
pub mod selection;
pub mod shown;
pub mod sighting;
pub mod store;
pub mod told;
