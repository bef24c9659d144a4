//! The edge over real sockets, with a schema of its own.

mod files;
mod hostile;
mod http;
mod serving;
mod sharing;
mod toy;
mod wild;
mod world;
mod ws;
