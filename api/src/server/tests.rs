//! The edge over real sockets, with a schema of its own.

mod files;
mod fuzz;
mod hostile;
mod http;
mod serving;
mod sharing;
mod sse;
mod toy;
mod traffic;
mod wild;
mod world;
mod ws;
