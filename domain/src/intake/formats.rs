//! The readers, one file for each format. A new one is a file here and a line in the catalogue.

pub mod asff;
pub mod burp;
pub mod github;
pub mod nessus;
pub mod nuclei;
pub mod ocsf;
pub mod qualys;
mod records;
pub mod sarif;
pub mod semgrep;
pub mod tabular;
pub mod trivy;
pub mod zap;
