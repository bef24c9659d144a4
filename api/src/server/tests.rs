//! The edge over real sockets, with a schema of its own.

mod files;
mod hostile;
mod http;
mod serving;
mod toy;
mod world;
mod ws;
