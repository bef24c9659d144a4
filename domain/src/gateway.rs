//! The way out of the process: the clock, and later mail, HTTP and secrets.

pub mod clock;
pub mod folder;
pub mod signing;
