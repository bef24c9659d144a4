//! What happened: immutable facts, written with the change they tell of.

pub mod catalogue;
