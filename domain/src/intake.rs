//! What comes in: reports, their formats, and the stages of an import.

mod aside;
pub mod census;
pub mod fingerprint;
pub mod format;
pub mod formats;
mod guard;
pub mod import;
mod json;
mod late;
pub mod limits;
pub mod mapping;
pub mod merge;
mod packing;
pub mod place;
pub mod reading;
pub mod report;
mod source;
mod storing;
pub(crate) mod text;
mod xml;
