//! The readers, one file for each format. A new one is a file here and a line in the catalogue.

pub mod nessus;
pub mod sarif;
pub mod tabular;
pub mod trivy;
