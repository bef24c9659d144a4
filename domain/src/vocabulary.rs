//! The words that everything is declared in. Pure: no async, no I/O, no clock.

pub mod criteria;
pub mod field;
pub mod kind;
pub mod operator;
pub mod registry;
pub mod schema;
pub mod terms;
pub mod time;
