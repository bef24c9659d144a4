//! The way out of the process: the clock, HTTP, the collector of traces, the server's folder, and later mail and secrets.

pub mod clock;
pub mod collector;
pub mod folder;
pub mod http;
pub mod signing;
