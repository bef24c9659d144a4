//! What comes in: reports, their formats, and the stages of an import.

mod aside;
pub mod census;
mod chunk;
mod closing;
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
mod notes;
mod packing;
pub mod place;
pub mod preview;
mod proof;
pub mod reading;
pub mod report;
pub mod saved;
mod source;
mod stored;
mod storing;
pub(crate) mod text;
mod xml;
