//! Reports of every format, from small files of our own: what is read of them, what is refused
//! and where, and that nothing makes a reader panic.

mod alerts;
mod algebra;
mod composition;
mod document;
mod extremes;
mod fixtures;
mod hostile;
mod packing;
mod reading;
mod scanners;
mod throughput;
mod traps;
mod work;
