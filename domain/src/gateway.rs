//! The way out of the process: the clock, HTTP, the server's folder, and later mail and secrets.

pub mod clock;
pub mod folder;
pub mod http;
pub mod signing;
