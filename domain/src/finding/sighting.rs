//! Which findings a series of scans sees: what is written of a finding that is seen again, and what
//! is read to tell whether that is needed at all.

pub mod store;
