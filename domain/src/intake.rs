//! What comes in: reports, their formats, and the stages of an import.

mod aside;
pub mod census;
pub(crate) mod cvss;
pub mod fingerprint;
pub mod format;
pub mod formats;
mod guard;
pub mod import;
pub(crate) mod json;
mod late;
pub mod limits;
pub mod mapping;
pub mod merge;
mod notes;
mod package;
mod packing;
pub mod place;
pub mod preview;
pub mod reading;
pub mod report;
pub mod saved;
pub(crate) mod source;
mod storing;
pub(crate) mod text;
pub mod vex;
mod xml;
