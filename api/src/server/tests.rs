//! The edge over real sockets, with a schema of its own.

mod files;
mod fuzz;
mod hostile;
mod http;
mod serving;
mod sse;
mod toy;
mod traffic;
mod world;
mod ws;
